/* SPDX-License-Identifier: MIT
 * A conversation: messages, tools and variables, and the template that makes a text of them. Finds out by small renderings of its own what its
 * template wants (adapt.h), and remembers that. Knows no model: the texts of its tokens are given. Floor 3. Threads: one at a time. */
#ifndef LM_TEXT_CHAT_CONVERSATION_H
#define LM_TEXT_CHAT_CONVERSATION_H

#include "text/chat/template.h"

typedef struct lm_conversation lm_conversation;

typedef struct lm_conversation_desc {
    llm_str source;                     /* the template */
    llm_str tools, variables;           /* a JSON array, a JSON object; absent: none */
    llm_str bos, eos;                   /* texts of those tokens */
    lm_template_time time;              /* month 0: there is none */
} lm_conversation_desc;

/* All is copied. Fails as lm_template_parse; FORMAT: tools or variables are no such JSON; INVALID: a variable that is not the caller's. */
llm_status lm_conversation_new(lm_mem *mem, const lm_conversation_desc *desc, lm_conversation **out, llm_error *error);
void       lm_conversation_free(lm_conversation *c);                /* NULL is fine */

/* INVALID: no role, or no UTF-8; FORMAT: no JSON, or no message; UNSUPPORTED: a part that is no text. */
llm_status lm_conversation_add(lm_conversation *c, llm_str role, llm_str content, llm_error *error);
llm_status lm_conversation_add_json(lm_conversation *c, llm_str message, llm_error *error);
llm_str    lm_conversation_tools(const lm_conversation *c);         /* as given; absent: none */
size_t     lm_conversation_n_messages(const lm_conversation *c);
void       lm_conversation_rewind(lm_conversation *c, size_t n);    /* n <= their number */

/* prompt: with what stands before the reply. Fails as lm_template_render. */
llm_status lm_conversation_render(lm_conversation *c, bool prompt, lm_template_text *out, llm_error *error);

/* "2026-11-22", "2026-11-22 18:30" or "2026-11-22T18:30:00". */
bool lm_template_time_parse(llm_str text, lm_template_time *out);

#endif
