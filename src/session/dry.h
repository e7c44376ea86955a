/* SPDX-License-Identifier: MIT
 * DRY: a token that would carry on a repetition of what was said is penalized, the more the longer the repetition. Sequence breakers end
 * repetitions. Floor 9. Breakers are immutable once made. Threads: shared. */
#ifndef LM_SESSION_DRY_H
#define LM_SESSION_DRY_H

#include "session/candidates.h"

#include "text/tokenizer.h"

/* Breaker strings as the vocabulary spells them. A token whose text contains a breaker is one by itself; a token whose text ends as a
 * breaker begins is one if the tokens of the breaker's rest follow. */
typedef struct lm_breakers lm_breakers;

enum { LM_DRY_MAX_ALLOWED = 1024 };

/* strings NULL: "\n" ":" "\"" "*". *out NULL: there are none. Freed with lm_mem_free. */
llm_status lm_breakers_new(lm_host *host, const lm_tokenizer *tokenizer, const llm_str *strings, size_t n, lm_breakers **out, llm_error *error);

typedef struct lm_dry {
    const lm_breakers *breakers;        /* or NULL */
    double multiplier, base;
    uint32_t allowed;                   /* 1 to LM_DRY_MAX_ALLOWED */
    int32_t last_n;                     /* tokens looked back at; <= 0: all */
} lm_dry;

/* Changes room->logits. In time of order n_tokens. */
void lm_dry_penalize(const lm_dry *dry, const llm_token *tokens, size_t n_tokens, lm_room *room);

#endif
