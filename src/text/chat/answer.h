/* SPDX-License-Identifier: MIT
 * A reply's text, taken apart as it comes: what is said, what is thought, which tools are called. How a family of models writes that is known by
 * its template. Whatever is no call after all comes out as text: nothing is lost. Floor 3. Threads: one at a time.
 * Invariant: the events do not depend on how the text was cut, but for where texts are cut. */
#ifndef LM_TEXT_CHAT_ANSWER_H
#define LM_TEXT_CHAT_ANSWER_H

#include "text/chat/template.h"

typedef struct lm_answer lm_answer;

enum { LM_ANSWER_NONE = 0, LM_ANSWER_TEXT = 1, LM_ANSWER_REASONING = 2, LM_ANSWER_CALL = 3 };      /* as LLM_EVENT_* */
typedef struct lm_answer_event {
    int32_t kind;
    llm_str text;                       /* of a call: its arguments, JSON; all are borrowed until the next call */
    llm_str name, id;                   /* of a call; the id may be empty */
} lm_answer_event;

/* source: the template. tools: JSON as in the conversation, or absent; must live as long. */
llm_status lm_answer_new(lm_mem *mem, llm_str source, llm_str tools, lm_answer **out, llm_error *error);
void       lm_answer_free(lm_answer *a);                        /* NULL is fine */
/* A new reply, which goes on behind this prompt: it may have opened the reasoning. */
void       lm_answer_begin(lm_answer *a, llm_str prompt);
llm_status lm_answer_reserve(lm_answer *a, size_t len, llm_error *error);       /* a feed of so many bytes will not fail */
llm_status lm_answer_feed(lm_answer *a, const char *text, size_t len, llm_error *error);
/* The next event; kind NONE: more text is needed. final: there is none. */
llm_status lm_answer_next(lm_answer *a, bool final, lm_answer_event *out, llm_error *error);

#endif
