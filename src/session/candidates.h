/* SPDX-License-Identifier: MIT
 * The set of tokens that may still be drawn, and what stages do with it: sort, sum, cut. Floor 9. Knows no stage by name.
 * Threads: none of its own; the room belongs to one caller at a time. */
#ifndef LM_SESSION_CANDIDATES_H
#define LM_SESSION_CANDIDATES_H

#include "base/compiler.h"
#include "base/fmath.h"
#include "base/status.h"

#include <stdbool.h>

typedef struct lm_candidate { float logit; llm_token token; } lm_candidate;

enum { LM_DRY_MOST = 4096 };            /* repetitions count up to so many tokens */

/* Room to sample in. Arrays of [n_vocab], but for the last. */
typedef struct lm_room {
    float *logits;                      /* in: the model's; changed */
    lm_candidate *candidates, *spare;
    float *weights;
    uint32_t *counts;                   /* all 0 between uses */
    uint32_t *lengths;                  /* [LM_DRY_MOST] */
} lm_room;

/* The set has two forms, each the truth while it lasts: by id (room->logits, -infinity: removed), where tokens are looked up, and
 * collected (room->candidates [n]), where they are sorted and cut. Collected candidates stand in rising order of id until something is
 * cut, from then on by falling logit, then rising id; sums run in that order, in double. A logit is `base` + candidate.logit. */
typedef struct lm_choice {
    lm_room *room;
    lm_expf_many *exps;
    uint32_t n_vocab, n;
    bool collected, sorted;
    float max;                          /* of the collected candidates' logits */
    float base;
} lm_choice;

/* Into the form asked for, if it is not there. E_NUMERIC: NaN or +infinity among the logits, or none is left. */
llm_status lm_choice_collect(lm_choice *c, llm_error *error);
void lm_choice_spread(lm_choice *c);

/* Keeps the k best; sorted then. */
void lm_choice_keep_best(lm_choice *c, uint32_t k);
/* Keeps logits >= max + least, and at least min_keep of the best; sorted then. near_weight > 0: where logits are within a thousandth of
 * the border, a weight (below) of at least this much decides. */
void lm_choice_keep_above(lm_choice *c, double least, float near_weight, uint32_t min_keep);
/* Drops the first n of a sorted set. */
void lm_choice_drop_first(lm_choice *c, uint32_t n);

/* weight = lm_expf(logit - max). Their sum and, if moment is not NULL, the sum of weight * (logit - max). */
double lm_choice_sum(const lm_choice *c, double *moment);
/* Puts each weight into room->weights[token] and returns their sum. */
double lm_choice_weigh(lm_choice *c);
/* How many of the best candidates have a weight together of at least `mass` (strict: more than it), by room->weights[token]. The first
 * so many are sorted then; *sorted: how many are already. */
uint32_t lm_choice_prefix(lm_choice *c, double mass, bool strict, uint32_t *sorted);

/* Over all logits, as fast as they can be read. Is none NaN or infinite? The first of the largest; NaN is passed over, but for the first logit. */
bool lm_logits_finite(const float *logits, uint32_t n);
uint32_t lm_logits_best(const float *logits, uint32_t n);

/* Moves the k best candidates to the front, best first (higher logit, then lower id). spare: room for n. n log n on any input. */
void lm_candidates_best(lm_candidate *candidates, lm_candidate *spare, uint32_t n, uint32_t k);

#endif
