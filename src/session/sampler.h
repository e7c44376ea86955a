/* SPDX-License-Identifier: MIT
 * From logits to a token: the recipe and its stages. Floor 9. A recipe is immutable; what it remembers (the tokens so far) is
 * handed in. Knows no session. Threads: shared. */
#ifndef LM_SESSION_SAMPLER_H
#define LM_SESSION_SAMPLER_H

#include "session/engine.h"

typedef struct lm_candidate { float logit; llm_token token; } lm_candidate;

struct llm_sampler {
    llm_engine *engine;
    _Atomic uint32_t refs;
    uint32_t n_vocab;
    llm_sampler_desc desc;              /* defaults resolved; biases lie behind this struct */
    llm_token_bias biases[];
};

/* What is being drawn for. */
typedef struct lm_draw {
    const llm_token *tokens; size_t n_tokens;   /* the timeline: what the penalties look at */
    uint64_t seed, position;                    /* position: of the token to be drawn */
} lm_draw;

llm_status lm_sampler_new(llm_engine *engine, uint32_t n_vocab, const llm_sampler_desc *desc, llm_sampler **out, llm_error *error);
void lm_sampler_hold(llm_sampler *sampler);
void lm_sampler_drop(llm_sampler *sampler);
/* The recipe needs a copy of the logits and room: anything but a plain argmax. */
bool lm_sampler_is_greedy(const llm_sampler *sampler);

/* The likeliest token, lowest id on a tie. E_NUMERIC: all are -infinity. */
llm_status lm_sampler_argmax(const float *logits, uint32_t n, llm_token *out, llm_error *error);
/* Runs all stages. logits [n_vocab] are changed; candidates [n_vocab] and counts [n_vocab, all 0 before and after] are room.
 * E_NUMERIC: NaN or +infinity among them (a hook's doing), or nothing is left. */
llm_status lm_sampler_draw(const llm_sampler *sampler, const lm_draw *draw, float *logits, lm_candidate *candidates, uint32_t *counts,
                           llm_token *out, llm_error *error);
/* The stages before the draw: fills candidates, in the order in which the draw walks them, and returns how many. Their logits are then
 * (logit - largest) / temperature, so that lm_expf of them is proportional to the probability. A greedy recipe leaves one. */
uint32_t lm_sampler_stages(const llm_sampler *sampler, const lm_draw *draw, float *logits, lm_candidate *candidates, uint32_t *counts);

/* Moves the k best candidates to the front, best first (higher logit, then lower id). */
void lm_candidates_best(lm_candidate *candidates, uint32_t n, uint32_t k);
/* log of the sum of exp(logits), all finite; *max: the largest. Sums in double, in rising order of id. */
double lm_logits_log_sum(const float *logits, uint32_t n, float *max);

#endif
