/* SPDX-License-Identifier: MIT
 * What lies behind the public handle of a chat: a conversation, and the model whose template and tokenizer it uses. Floor 9.
 * Threads: exclusive, by `busy`. */
#ifndef LM_SESSION_CHAT_H
#define LM_SESSION_CHAT_H

#include "session/loaded.h"

#include "text/chat/answer.h"
#include "text/chat/conversation.h"

/* What a reply has said so far, as JSON's insides. */
typedef struct lm_chat_part { char *ptr; size_t len, cap; } lm_chat_part;

struct llm_chat {
    llm_model *model;                   /* held */
    lm_conversation *conversation;
    _Atomic uint32_t busy;
    int32_t origin;                     /* LLM_CHAT_* */
    llm_str name;                       /* of the template; borrowed from the model, or static */
    lm_answer *answer;                  /* the reply that is read */
    lm_chat_part said, thought, calls;
    lm_chat_part shown;                 /* the last event, with NULs */
    lm_answer_event event;              /* one that there was no memory to keep: it is told the next time */
    uint64_t n_calls;                   /* ids given so far */
    char id[24];                        /* of the last call */
};

/* desc: complete, lengths resolved. */
llm_status lm_chat_new(llm_model *model, const llm_chat_desc *desc, llm_chat **out, llm_error *error);
void       lm_chat_close(llm_chat *chat);
llm_status lm_chat_enter(llm_chat *chat, llm_error *error);
llm_status lm_chat_leave(llm_chat *chat, llm_status status);    /* status */
/* The chat is entered. */
llm_status lm_chat_render(llm_chat *chat, uint32_t flags, char *text, size_t cap, size_t *n, llm_error *error);
llm_status lm_chat_encode(llm_chat *chat, uint32_t flags, llm_token *tokens, size_t cap, size_t *n, llm_error *error);
/* kind LLM_EVENT_NONE: nothing now. */
llm_status lm_chat_read(llm_chat *chat, llm_session *session, llm_chat_event *event, llm_error *error);
llm_status lm_chat_add_reply(llm_chat *chat, llm_error *error);
llm_status lm_chat_sync(llm_chat *chat, llm_session *session, uint32_t flags, llm_error *error);

#endif
