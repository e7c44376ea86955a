/* SPDX-License-Identifier: MIT
 * The recipe, stage by stage: bias, penalties, top_k, top_p, min_p, temperature, draw. Scalar, on the host, the same bits everywhere.
 *
 * Order of candidates: by falling logit, then rising id, once top_k, top_p or min_p is on; by rising id otherwise. Sums of
 * probabilities run in that order, in double, over lm_expf of the distance to the largest logit (top_p without top_k: its total runs
 * by rising id). top_k, top_p and min_p each keep a prefix of the falling order, so the shortest of them is what remains.
 * Partial selection with a heap: n + k log n, and no input is slow. */
#include "session/sampler.h"

#include "base/fmath.h"
#include "base/half.h"
#include "base/rand.h"

#include <math.h>
#include <string.h>

LM_EXACT_ARITHMETIC

enum { SAMPLER_DEFAULT_LAST_N = 64, SAMPLER_FIRST_PREFIX = 256 };

/* ---- making one ---------------------------------------------------------------------------------------------------------- */

static bool sampler_finite(float x)
{
    return (lm_bits_from_f32(x) & 0x7f800000u) != 0x7f800000u;
}

static llm_status sampler_check_range(const char *field, float value, float min, float max, llm_error *error)
{
    if (sampler_finite(value) && value >= min && value <= max)
        return LLM_OK;
    return lm_fail_at(error, LLM_E_INVALID, field, strlen(field), UINT64_MAX, "llm_sampler_desc.%s is %g: expected %g to %g", field,
                      (double)value, (double)min, (double)max);
}

static llm_status sampler_check_int(const char *field, int32_t value, int32_t min, llm_error *error)
{
    if (value >= min)
        return LLM_OK;
    return lm_fail_at(error, LLM_E_INVALID, field, strlen(field), UINT64_MAX, "llm_sampler_desc.%s is %d: expected %d or more", field, value, min);
}

static llm_status sampler_check(const llm_sampler_desc *desc, uint32_t n_vocab, llm_error *error)
{
    if (desc->flags != 0 || desc->reserved != 0)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_sampler_desc.flags is 0x%x and .reserved is 0x%x: both must be 0", desc->flags, desc->reserved);
    LM_TRY(sampler_check_range("temperature", desc->temperature, 0.0f, 1e6f, error));
    LM_TRY(sampler_check_int("top_k", desc->top_k, 0, error));
    LM_TRY(sampler_check_range("top_p", desc->top_p, 0.0f, 1.0f, error));
    LM_TRY(sampler_check_range("min_p", desc->min_p, 0.0f, 1.0f, error));
    LM_TRY(sampler_check_int("min_keep", desc->min_keep, 0, error));
    LM_TRY(sampler_check_int("penalty_last_n", desc->penalty_last_n, -1, error));
    LM_TRY(sampler_check_range("repeat_penalty", desc->repeat_penalty, 0.0f, 1e6f, error));
    LM_TRY(sampler_check_range("frequency_penalty", desc->frequency_penalty, -1e6f, 1e6f, error));
    LM_TRY(sampler_check_range("presence_penalty", desc->presence_penalty, -1e6f, 1e6f, error));
    if (desc->n_biases > n_vocab * (size_t)4)
        return lm_fail(error, LLM_E_LIMIT, "llm_sampler_desc.n_biases is %zu: at most 4 for each of the %u tokens", desc->n_biases, n_vocab);
    if (desc->n_biases != 0 && !desc->biases)
        return lm_fail(error, LLM_E_INVALID, "llm_sampler_desc.biases is NULL, n_biases is %zu", desc->n_biases);
    for (size_t i = 0; i < desc->n_biases; i++) {
        const llm_token_bias *bias = &desc->biases[i];
        if (bias->token < 0 || (uint32_t)bias->token >= n_vocab)
            return lm_fail(error, LLM_E_INVALID, "llm_sampler_desc.biases[%zu].token is %d: the vocabulary has %u", i, bias->token, n_vocab);
        if (!sampler_finite(bias->bias) && bias->bias != -INFINITY)
            return lm_fail(error, LLM_E_INVALID, "llm_sampler_desc.biases[%zu].bias is NaN or infinity: expected a number or -INFINITY", i);
    }
    return LLM_OK;
}

llm_status lm_sampler_new(llm_engine *engine, uint32_t n_vocab, const llm_sampler_desc *desc, llm_sampler **out, llm_error *error)
{
    LM_TRY(sampler_check(desc, n_vocab, error));
    size_t bytes = sizeof(llm_sampler) + desc->n_biases * sizeof(llm_token_bias);
    llm_sampler *sampler = lm_mem_new(&engine->host.mem, bytes, LLM_MEMORY_OTHER);
    if (!sampler)
        return lm_fail_memory(error, "a sampler", bytes);
    lm_engine_hold(engine);
    sampler->engine = engine;
    atomic_init(&sampler->refs, 1);
    sampler->n_vocab = n_vocab;
    sampler->desc = *desc;
    if (desc->n_biases)
        memcpy(sampler->biases, desc->biases, desc->n_biases * sizeof(llm_token_bias));
    sampler->desc.biases = sampler->biases;
    if (desc->penalty_last_n == 0)
        sampler->desc.penalty_last_n = SAMPLER_DEFAULT_LAST_N;
    if (desc->repeat_penalty == 0.0f)
        sampler->desc.repeat_penalty = 1.0f;
    if (desc->min_keep == 0)
        sampler->desc.min_keep = 1;
    *out = sampler;
    return LLM_OK;
}

void lm_sampler_hold(llm_sampler *sampler)
{
    atomic_fetch_add(&sampler->refs, 1);
}

void lm_sampler_drop(llm_sampler *sampler)
{
    if (!sampler || atomic_fetch_sub(&sampler->refs, 1) != 1)
        return;
    llm_engine *engine = sampler->engine;
    lm_mem_free(&engine->host.mem, sampler);
    lm_engine_drop(engine);
}

static bool sampler_penalizes(const llm_sampler_desc *desc)
{
    return desc->repeat_penalty != 1.0f || desc->frequency_penalty != 0.0f || desc->presence_penalty != 0.0f;
}

bool lm_sampler_is_greedy(const llm_sampler *sampler)
{
    return sampler->desc.temperature == 0.0f && sampler->desc.n_biases == 0 && !sampler_penalizes(&sampler->desc);
}

/* ---- selection ----------------------------------------------------------------------------------------------------------- */

static inline bool sampler_better(lm_candidate a, lm_candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

/* The worst of the heap is at its root. */
static void sampler_sift(lm_candidate *heap, uint32_t n, uint32_t i)
{
    lm_candidate moved = heap[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && sampler_better(heap[child], heap[child + 1]))
            child++;
        if (!sampler_better(moved, heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

void lm_candidates_best(lm_candidate *candidates, uint32_t n, uint32_t k)
{
    k = LM_MIN(k, n);
    if (k == 0)
        return;
    for (uint32_t i = k / 2; i-- > 0;)
        sampler_sift(candidates, k, i);
    for (uint32_t i = k; i < n; i++)
        if (sampler_better(candidates[i], candidates[0])) {
            lm_candidate out = candidates[0];
            candidates[0] = candidates[i];
            candidates[i] = out;
            sampler_sift(candidates, k, 0);
        }
    for (uint32_t left = k; left > 1;) {                    /* the worst goes to the end, again and again */
        lm_candidate worst = candidates[0];
        candidates[0] = candidates[--left];
        candidates[left] = worst;
        sampler_sift(candidates, left, 0);
    }
}

double lm_logits_log_sum(const float *logits, uint32_t n, float *max)
{
    float top = logits[0];
    double sum = 0.0;
    for (uint32_t i = 1; i < n; i++)
        top = logits[i] > top ? logits[i] : top;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)lm_expf(logits[i] - top);
    if (max)
        *max = top;
    return (double)top + lm_log64(sum);
}

llm_status lm_sampler_argmax(const float *logits, uint32_t n, llm_token *out, llm_error *error)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    if (logits[best] == -INFINITY)
        return lm_fail(error, LLM_E_NUMERIC, "no token is left to draw: every logit is -infinity");
    *out = (llm_token)best;
    return LLM_OK;
}

/* ---- stages -------------------------------------------------------------------------------------------------------------- */

static void sampler_penalize(const llm_sampler_desc *desc, const lm_draw *draw, float *logits, uint32_t *counts)
{
    size_t n = draw->n_tokens;
    if (desc->penalty_last_n > 0 && n > (size_t)desc->penalty_last_n)
        n = (size_t)desc->penalty_last_n;
    const llm_token *window = draw->tokens + (draw->n_tokens - n);
    for (size_t i = 0; i < n; i++)
        counts[window[i]]++;
    for (size_t i = 0; i < n; i++) {
        uint32_t count = counts[window[i]];
        float *logit = &logits[window[i]];
        if (count == 0)                                     /* done at its first place */
            continue;
        counts[window[i]] = 0;
        *logit = *logit > 0.0f ? *logit / desc->repeat_penalty : *logit * desc->repeat_penalty;
        *logit = *logit - (float)count * desc->frequency_penalty;
        *logit = *logit - desc->presence_penalty;
    }
}

static void sampler_adjust(const llm_sampler *sampler, const lm_draw *draw, float *logits, uint32_t *counts)
{
    for (size_t i = 0; i < sampler->desc.n_biases; i++)
        logits[sampler->biases[i].token] += sampler->biases[i].bias;
    if (sampler_penalizes(&sampler->desc))
        sampler_penalize(&sampler->desc, draw, logits, counts);
}

/* How many of the best reach top_p of the mass of all n; they end up sorted in front. *sorted: how many are already. */
static uint32_t sampler_top_p(lm_candidate *candidates, uint32_t n, float top_p, float max, uint32_t *sorted)
{
    double total = 0.0, mass = 0.0;
    uint32_t kept = 0, step = SAMPLER_FIRST_PREFIX;
    for (uint32_t i = 0; i < n; i++)
        total += (double)lm_expf(candidates[i].logit - max);
    double wanted = (double)top_p * total;
    while (kept < n) {
        if (kept == *sorted) {
            lm_candidates_best(candidates + kept, n - kept, step);
            *sorted = kept + LM_MIN(step, n - kept);
            step = step > n / 8 ? n : step * 8;
        }
        mass += (double)lm_expf(candidates[kept++].logit - max);
        if (mass >= wanted)
            break;
    }
    return kept;
}

static uint32_t sampler_truncate(const llm_sampler_desc *desc, lm_candidate *candidates, uint32_t n, float max)
{
    uint32_t sorted = 0, min_keep = (uint32_t)desc->min_keep;
    bool by_p = desc->top_p > 0.0f && desc->top_p < 1.0f, by_min = desc->min_p > 0.0f;
    if (desc->top_k > 0 && (uint32_t)desc->top_k < n) {
        n = (uint32_t)desc->top_k;
        sorted = n;
    }
    uint32_t keep = n;
    if (by_p)
        keep = LM_MAX(sampler_top_p(candidates, n, desc->top_p, max, &sorted), LM_MIN(min_keep, n));
    if (by_min && sorted == 0) {                            /* alone: no need to sort what falls out */
        uint32_t m = 0;
        for (uint32_t i = 0; i < n; i++)
            if (lm_expf(candidates[i].logit - max) >= desc->min_p) {
                lm_candidate kept = candidates[i];
                candidates[i] = candidates[m];
                candidates[m++] = kept;
            }
        keep = LM_MAX(m, LM_MIN(min_keep, n));
    } else if (by_min) {
        uint32_t m = 0;
        while (m < LM_MIN(keep, sorted) && lm_expf(candidates[m].logit - max) >= desc->min_p)
            m++;
        keep = LM_MAX(m, LM_MIN(min_keep, keep));
    }
    if (keep > sorted)
        lm_candidates_best(candidates + sorted, n - sorted, keep - sorted);
    return keep;
}

uint32_t lm_sampler_stages(const llm_sampler *sampler, const lm_draw *draw, float *logits, lm_candidate *candidates, uint32_t *counts)
{
    const llm_sampler_desc *desc = &sampler->desc;
    sampler_adjust(sampler, draw, logits, counts);
    uint32_t n = 0;
    float max = -INFINITY;
    for (uint32_t i = 0; i < sampler->n_vocab; i++) {
        if (logits[i] == -INFINITY)
            continue;
        candidates[n].logit = logits[i];
        candidates[n++].token = (llm_token)i;
        max = logits[i] > max ? logits[i] : max;
    }
    if (n == 0)
        return 0;
    if (desc->temperature == 0.0f) {
        lm_candidates_best(candidates, n, 1);
        candidates[0].logit = 0.0f;
        return 1;
    }
    if (desc->top_k > 0 && (uint32_t)desc->top_k < n)
        lm_candidates_best(candidates, n, (uint32_t)desc->top_k);
    if (desc->top_k > 0 || (desc->top_p > 0.0f && desc->top_p < 1.0f) || desc->min_p > 0.0f)
        n = sampler_truncate(desc, candidates, n, max);
    for (uint32_t i = 0; i < n; i++)
        candidates[i].logit = (candidates[i].logit - max) / desc->temperature;
    return n;
}

llm_status lm_sampler_draw(const llm_sampler *sampler, const lm_draw *draw, float *logits, lm_candidate *candidates, uint32_t *counts,
                           llm_token *out, llm_error *error)
{
    uint32_t n = lm_sampler_stages(sampler, draw, logits, candidates, counts);
    for (uint32_t i = 0; i < sampler->n_vocab; i++)         /* after bias and penalties: a hook or they may have spoilt them */
        if (!sampler_finite(logits[i]) && logits[i] != -INFINITY)
            return lm_fail(error, LLM_E_NUMERIC, "the logit of token %u is NaN or infinity after the hook, biases and penalties", i);
    if (n == 0)
        return lm_fail(error, LLM_E_NUMERIC, "no token is left to draw: every logit is -infinity");
    double total = 0.0, mass = 0.0;
    for (uint32_t i = 0; i < n; i++)
        total += (double)lm_expf(candidates[i].logit);
    double wanted = lm_uniform(draw->seed, draw->position, 0) * total;
    uint32_t drawn = 0;                                     /* the last with a weight, should rounding lead past the end */
    for (uint32_t i = 0; i < n; i++) {
        double weight = (double)lm_expf(candidates[i].logit);
        mass += weight;
        if (weight > 0.0)
            drawn = i;
        if (mass > wanted)
            break;
    }
    *out = candidates[drawn].token;
    return LLM_OK;
}
