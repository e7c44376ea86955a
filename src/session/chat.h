/* SPDX-License-Identifier: MIT
 * What lies behind the public handle of a chat: a conversation, and the model whose template and tokenizer it uses. Floor 9.
 * Threads: exclusive, by `busy`. */
#ifndef LM_SESSION_CHAT_H
#define LM_SESSION_CHAT_H

#include "session/loaded.h"

#include "text/chat/conversation.h"

struct llm_chat {
    llm_model *model;                   /* held */
    lm_conversation *conversation;
    _Atomic uint32_t busy;
    int32_t origin;                     /* LLM_CHAT_* */
    llm_str name;                       /* of the template; borrowed from the model, or static */
};

/* desc: complete, lengths resolved. */
llm_status lm_chat_new(llm_model *model, const llm_chat_desc *desc, llm_chat **out, llm_error *error);
void       lm_chat_close(llm_chat *chat);
llm_status lm_chat_enter(llm_chat *chat, llm_error *error);
llm_status lm_chat_leave(llm_chat *chat, llm_status status);    /* status */
/* The chat is entered. */
llm_status lm_chat_render(llm_chat *chat, uint32_t flags, char *text, size_t cap, size_t *n, llm_error *error);
llm_status lm_chat_encode(llm_chat *chat, uint32_t flags, llm_token *tokens, size_t cap, size_t *n, llm_error *error);
llm_status lm_chat_sync(llm_chat *chat, llm_session *session, uint32_t flags, llm_error *error);

#endif
