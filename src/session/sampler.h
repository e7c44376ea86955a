/* SPDX-License-Identifier: MIT
 * From logits to a token: the recipe and its stages. Floor 9. A recipe is immutable; what it remembers (the tokens so far, and for some
 * ways to draw a number or two after each drawn token) is handed in and out. Knows no session. Threads: shared. */
#ifndef LM_SESSION_SAMPLER_H
#define LM_SESSION_SAMPLER_H

#include "session/dry.h"
#include "session/engine.h"

enum { LM_MAX_STAGES = 16 };

struct llm_sampler {
    llm_engine *engine;
    _Atomic uint32_t refs;
    uint32_t n_vocab;
    llm_sampler_desc desc;              /* defaults resolved; biases lie behind this struct, the grammar is held, other pointers are NULL */
    uint8_t order[LM_MAX_STAGES];       /* LLM_STAGE_*, those alone that do something */
    uint32_t n_order;
    int32_t remembers;                  /* LM_REMEMBERS_* */
    lm_dry dry;
    lm_expf_many *exps;
    lm_breakers *breakers;
    llm_token_bias biases[];
};

/* What a way to draw remembers from one drawn token to the next. */
enum { LM_REMEMBERS_NOTHING = 0, LM_REMEMBERS_MIROSTAT = 1, LM_REMEMBERS_ADAPTIVE = 2 };
typedef struct lm_memory {
    uint32_t position;                  /* of the token that was drawn */
    int32_t kind;                       /* LM_REMEMBERS_* */
    double a, b;                        /* mirostat: mu; adaptive: the weighted sum of drawn probabilities, the sum of weights */
} lm_memory;

/* What is being drawn for. */
typedef struct lm_draw {
    const llm_token *tokens; size_t n_tokens;   /* the timeline: what penalties and DRY look at */
    uint64_t seed, position;                    /* position: of the token to be drawn */
    const lm_memory *memory;                    /* after the last token drawn so; NULL: none, or of another kind */
} lm_draw;

/* tokenizer: of n_vocab tokens, used during the call; NULL (tests) makes DRY know no breakers. */
llm_status lm_sampler_new(llm_engine *engine, const lm_tokenizer *tokenizer, uint32_t n_vocab, const llm_sampler_desc *desc, llm_sampler **out,
                          llm_error *error);
void lm_sampler_hold(llm_sampler *sampler);
void lm_sampler_drop(llm_sampler *sampler);
/* The recipe is a plain argmax: it needs no copy of the logits and no room. */
bool lm_sampler_is_greedy(const llm_sampler *sampler);

/* The likeliest token, lowest id on a tie. E_NUMERIC: all are -infinity. */
llm_status lm_sampler_argmax(const float *logits, uint32_t n, llm_token *out, llm_error *error);
/* Runs all stages and draws. room->logits [n_vocab] are the model's; all of the room is changed. *memory is filled if the recipe
 * remembers. E_NUMERIC: NaN or +infinity among the logits (a hook's doing), or nothing is left. */
llm_status lm_sampler_draw(const llm_sampler *sampler, const lm_draw *draw, lm_room *room, llm_token *out, lm_memory *memory, llm_error *error);
/* The stages before the draw: room->candidates [*n], in the order in which the draw walks them; lm_expf of their logits is proportional to
 * the probability. If an adaptive recipe draws, room->spare[i].logit is candidate i's probability before that. */
llm_status lm_sampler_stages(const llm_sampler *sampler, const lm_draw *draw, lm_room *room, uint32_t *n, llm_error *error);

/* log of the sum of exp(logits), all finite; *max: the largest. Sums in double, in rising order of id. */
double lm_logits_log_sum(const float *logits, uint32_t n, float *max);

/* ---- sampler_stages.c: one stage each ---- */

void lm_stage_bias(const llm_sampler *sampler, lm_room *room);
void lm_stage_penalties(const llm_sampler *sampler, const lm_draw *draw, lm_room *room);
/* LLM_STAGE_* of a collected set. */
void lm_stage_cut(const llm_sampler *sampler, const lm_draw *draw, uint8_t stage, lm_choice *c);
void lm_stage_temperature(const llm_sampler *sampler, lm_choice *c);
void lm_stage_mirostat(const llm_sampler *sampler, const lm_draw *draw, lm_choice *c);
void lm_stage_adaptive(const llm_sampler *sampler, const lm_draw *draw, lm_choice *c);

#endif
