/* SPDX-License-Identifier: MIT
 * Candidates: see candidates.h. The few best are found with a heap, many by sorting all by their bits, so that no input is slow. */
#include "session/candidates.h"

#include "base/half.h"

#include <math.h>
#include <string.h>

LM_EXACT_ARITHMETIC

enum { CANDIDATES_HEAP_MOST = 1024, CANDIDATES_FIRST_PREFIX = 256, CANDIDATES_BLOCK = 256, CANDIDATES_LANES = 8, CANDIDATES_BEST_LANES = 32, CANDIDATES_BEST_BLOCK = 2048 };

/* ---- all logits ---------------------------------------------------------------------------------------------------------- */

/* Loops that compilers turn into vectors: no branch, and results in lanes. */
bool lm_logits_finite(const float *logits, uint32_t n)
{
    uint32_t lanes[CANDIDATES_LANES] = { 0 }, whole = n / CANDIDATES_LANES * CANDIDATES_LANES, bad = 0;
    for (uint32_t i = 0; i < whole; i += CANDIDATES_LANES)
        for (uint32_t k = 0; k < CANDIDATES_LANES; k++)     /* where the exponent is all ones the sum carries into the sign */
            lanes[k] |= (lm_bits_from_f32(logits[i + k]) & 0x7fffffffu) + 0x00800000u;
    for (uint32_t k = 0; k < CANDIDATES_LANES; k++)
        bad |= lanes[k];
    for (uint32_t i = whole; i < n; i++)
        bad |= (lm_bits_from_f32(logits[i]) & 0x7fffffffu) + 0x00800000u;
    return bad >> 31 == 0;
}

uint32_t lm_logits_best(const float *logits, uint32_t n)
{
    float best = logits[0];
    uint32_t at = 0;                                        /* the block that the best stands in */
    for (uint32_t i = 0; i < n; i += CANDIDATES_BEST_BLOCK) {
        uint32_t end = LM_MIN(n - i, (uint32_t)CANDIDATES_BEST_BLOCK), whole = end / CANDIDATES_BEST_LANES * CANDIDATES_BEST_LANES;
        float most[CANDIDATES_BEST_LANES], block = best;
        for (uint32_t k = 0; k < CANDIDATES_BEST_LANES; k++)
            most[k] = best;
        for (uint32_t j = 0; j < whole; j += CANDIDATES_BEST_LANES)
            for (uint32_t k = 0; k < CANDIDATES_BEST_LANES; k++)
                most[k] = logits[i + j + k] > most[k] ? logits[i + j + k] : most[k];
        for (uint32_t k = 0; k < CANDIDATES_BEST_LANES; k++)
            block = most[k] > block ? most[k] : block;
        for (uint32_t j = whole; j < end; j++)
            block = logits[i + j] > block ? logits[i + j] : block;
        if (block > best) {
            best = block;
            at = i;
        }
    }
    while (at < n && !(logits[at] == best))
        at++;
    return at < n ? at : 0;
}

/* ---- selection ----------------------------------------------------------------------------------------------------------- */

static inline bool candidates_better(lm_candidate a, lm_candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

/* The worst of the heap is at its root. */
static void candidates_sift(lm_candidate *heap, uint32_t n, uint32_t i)
{
    lm_candidate moved = heap[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && candidates_better(heap[child], heap[child + 1]))
            child++;
        if (!candidates_better(moved, heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

static void candidates_heap(lm_candidate *candidates, uint32_t n, uint32_t k)
{
    for (uint32_t i = k / 2; i-- > 0;)
        candidates_sift(candidates, k, i);
    for (uint32_t i = k; i < n; i++)
        if (candidates_better(candidates[i], candidates[0])) {
            lm_candidate out = candidates[0];
            candidates[0] = candidates[i];
            candidates[i] = out;
            candidates_sift(candidates, k, 0);
        }
    for (uint32_t left = k; left > 1;) {                    /* the worst goes to the end, again and again */
        lm_candidate worst = candidates[0];
        candidates[0] = candidates[--left];
        candidates[left] = worst;
        candidates_sift(candidates, left, 0);
    }
}

/* One digit of the key that sorts as wanted: 0 to 3 of the id, 4 to 7 of the logit, falling. -0 counts as +0. */
static inline uint32_t candidates_digit(lm_candidate c, uint32_t digit)
{
    if (digit < 4)
        return ((uint32_t)c.token >> (8 * digit)) & 255u;
    uint32_t bits = lm_bits_from_f32(c.logit + 0.0f);
    bits ^= bits >> 31 ? 0u : 0x7fffffffu;                  /* rising bits are falling numbers: negative ones are so already */
    return (bits >> (8 * (digit - 4))) & 255u;
}

/* By digits, the least first; passes that would move nothing are left out, those of the id if ids rise. */
static void candidates_radix(lm_candidate *candidates, lm_candidate *spare, uint32_t n)
{
    lm_candidate *from = candidates, *to = spare;
    uint32_t rising = 1;
    while (rising < n && candidates[rising - 1].token < candidates[rising].token)
        rising++;
    for (uint32_t digit = rising >= n ? 4 : 0; digit < 8; digit++) {
        uint32_t at[256] = { 0 }, sum = 0;
        for (uint32_t i = 0; i < n; i++)
            at[candidates_digit(from[i], digit)]++;
        if (at[candidates_digit(from[0], digit)] == n)
            continue;
        for (uint32_t d = 0; d < 256; d++) {
            uint32_t count = at[d];
            at[d] = sum;
            sum += count;
        }
        for (uint32_t i = 0; i < n; i++)
            to[at[candidates_digit(from[i], digit)]++] = from[i];
        lm_candidate *swap = from;
        from = to;
        to = swap;
    }
    if (from != candidates)
        memcpy(candidates, from, n * sizeof *candidates);
}

void lm_candidates_best(lm_candidate *candidates, lm_candidate *spare, uint32_t n, uint32_t k)
{
    k = LM_MIN(k, n);
    if (k > CANDIDATES_HEAP_MOST)
        candidates_radix(candidates, spare, n);
    else if (k != 0)
        candidates_heap(candidates, n, k);
}

/* ---- the two forms ------------------------------------------------------------------------------------------------------- */

static void choice_sort(lm_choice *c, uint32_t k)
{
    lm_candidates_best(c->room->candidates, c->room->spare, c->n, k);
    c->sorted = true;
    c->max = c->room->candidates[0].logit;
}

llm_status lm_choice_collect(lm_choice *c, llm_error *error)
{
    const float *logits = c->room->logits;
    lm_candidate *to = c->room->candidates;
    uint32_t n = 0, bad = 0;
    float max = -INFINITY;
    if (c->collected)
        return LLM_OK;
    for (uint32_t i = 0; i < c->n_vocab; i++) {
        float logit = logits[i];
        to[n] = (lm_candidate){ logit, (llm_token)i };
        n += logit != -INFINITY;
        max = logit > max ? logit : max;
        bad |= !(logit < INFINITY);
    }
    if (bad)                                                /* a hook, biases or penalties may have spoilt them */
        for (uint32_t i = 0; i < c->n_vocab; i++)
            if (!(logits[i] < INFINITY))
                return lm_fail(error, LLM_E_NUMERIC, "the logit of token %u is NaN or infinity after the hook, biases and penalties", i);
    if (n == 0)
        return lm_fail(error, LLM_E_NUMERIC, "no token is left to draw: every logit is -infinity");
    c->n = n;
    c->max = max;
    c->base = 0.0f;
    c->collected = true;
    if (c->sorted)
        choice_sort(c, n);
    return LLM_OK;
}

void lm_choice_spread(lm_choice *c)
{
    float *logits = c->room->logits;
    if (!c->collected)
        return;
    for (uint32_t i = 0; i < c->n_vocab; i++)
        logits[i] = -INFINITY;
    for (uint32_t i = 0; i < c->n; i++)
        logits[c->room->candidates[i].token] = c->base + c->room->candidates[i].logit;
    c->collected = false;
}

/* ---- cuts ---------------------------------------------------------------------------------------------------------------- */

void lm_choice_keep_best(lm_choice *c, uint32_t k)
{
    k = LM_MIN(k, c->n);
    if (!c->sorted)
        choice_sort(c, k);
    c->n = k;
}

static bool choice_is_above(const lm_choice *c, float logit, double least, float near_weight)
{
    double x = (double)(logit - c->max);
    if (near_weight > 0.0f && x > least - 1e-3 && x < least + 1e-3)
        return lm_expf(logit - c->max) >= near_weight;
    return x >= least;
}

void lm_choice_keep_above(lm_choice *c, double least, float near_weight, uint32_t min_keep)
{
    lm_candidate *at = c->room->candidates;
    uint32_t kept = 0;
    min_keep = LM_MIN(min_keep, c->n);
    if (c->sorted) {
        while (kept < c->n && choice_is_above(c, at[kept].logit, least, near_weight))
            kept++;
        c->n = LM_MAX(kept, min_keep);
        return;
    }
    for (uint32_t i = 0; i < c->n; i++)
        kept += choice_is_above(c, at[i].logit, least, near_weight);
    if (kept < min_keep) {
        lm_choice_keep_best(c, min_keep);
        return;
    }
    uint32_t m = 0;
    for (uint32_t i = 0; i < c->n; i++)
        if (choice_is_above(c, at[i].logit, least, near_weight))
            at[m++] = at[i];
    c->n = m;
    choice_sort(c, m);
}

void lm_choice_drop_first(lm_choice *c, uint32_t n)
{
    memmove(c->room->candidates, c->room->candidates + n, (c->n - n) * sizeof(lm_candidate));
    c->n -= n;
    c->max = c->room->candidates[0].logit;
}

/* ---- sums ---------------------------------------------------------------------------------------------------------------- */

/* The weights of candidates [i, i + n). */
static void choice_block(const lm_choice *c, uint32_t i, uint32_t n, float *weights)
{
    const lm_candidate *at = c->room->candidates + i;
    for (uint32_t k = 0; k < n; k++)
        weights[k] = at[k].logit;
    c->exps(weights, c->max, weights, n);
}

double lm_choice_sum(const lm_choice *c, double *moment)
{
    double sum = 0.0, first = 0.0;
    for (uint32_t i = 0; i < c->n; i += CANDIDATES_BLOCK) {
        float weights[CANDIDATES_BLOCK];
        uint32_t n = LM_MIN(c->n - i, (uint32_t)CANDIDATES_BLOCK);
        choice_block(c, i, n, weights);
        for (uint32_t k = 0; k < n; k++)
            sum += (double)weights[k];
        for (uint32_t k = 0; moment && k < n; k++)
            if (weights[k] > 0.0f)                          /* else the logit may be -infinity */
                first += (double)weights[k] * (double)(c->room->candidates[i + k].logit - c->max);
    }
    if (moment)
        *moment = first;
    return sum;
}

double lm_choice_weigh(lm_choice *c)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < c->n; i += CANDIDATES_BLOCK) {
        float weights[CANDIDATES_BLOCK];
        uint32_t n = LM_MIN(c->n - i, (uint32_t)CANDIDATES_BLOCK);
        choice_block(c, i, n, weights);
        for (uint32_t k = 0; k < n; k++) {
            c->room->weights[c->room->candidates[i + k].token] = weights[k];
            sum += (double)weights[k];
        }
    }
    return sum;
}

uint32_t lm_choice_prefix(lm_choice *c, double mass, bool strict, uint32_t *sorted)
{
    lm_candidate *at = c->room->candidates;
    uint32_t kept = 0, step = CANDIDATES_FIRST_PREFIX;
    double sum = 0.0;
    while (kept < c->n) {
        if (kept == *sorted) {
            lm_candidates_best(at + kept, c->room->spare, c->n - kept, step);
            *sorted = step > CANDIDATES_HEAP_MOST ? c->n : kept + LM_MIN(step, c->n - kept);
            step = c->n;                                    /* few, or all */
        }
        sum += (double)c->room->weights[at[kept++].token];
        if (strict ? sum > mass : sum >= mass)
            break;
    }
    return kept;
}
