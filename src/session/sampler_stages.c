/* SPDX-License-Identifier: MIT
 * The stages of a recipe, one function each. Scalar, on the host, the same bits everywhere: lm_expf for weights, double for sums and
 * thresholds, in the order of the candidates (candidates.h). What was removed counts nowhere. */
#include "session/sampler.h"

#include "base/fmath.h"
#include "base/rand.h"

#include <math.h>

LM_EXACT_ARITHMETIC

/* Streams of the random numbers of one position: no two stages share one. */
enum { STAGE_STREAM_XTC = 1 };

#define STAGE_LN2 0.693147180559945309417

/* ---- by id --------------------------------------------------------------------------------------------------------------- */

void lm_stage_bias(const llm_sampler *sampler, lm_room *room)
{
    for (size_t i = 0; i < sampler->desc.n_biases; i++)
        room->logits[sampler->biases[i].token] += sampler->biases[i].bias;
}

void lm_stage_penalties(const llm_sampler *sampler, const lm_draw *draw, lm_room *room)
{
    const llm_sampler_desc *desc = &sampler->desc;
    uint32_t *counts = room->counts;
    size_t n = draw->n_tokens, first = 0;
    if (desc->penalty_last_n > 0 && n > (size_t)desc->penalty_last_n)
        first = n - (size_t)desc->penalty_last_n;
    for (size_t i = first; i < n; i++)
        counts[draw->tokens[i]]++;
    for (size_t i = first; i < n; i++) {
        uint32_t count = counts[draw->tokens[i]];
        float *logit = &room->logits[draw->tokens[i]];
        if (count == 0)                                     /* done at its first place */
            continue;
        counts[draw->tokens[i]] = 0;
        *logit = *logit > 0.0f ? *logit / desc->repeat_penalty : *logit * desc->repeat_penalty;
        *logit = *logit - (float)count * desc->frequency_penalty;
        *logit = *logit - desc->presence_penalty;
    }
}

/* ---- cuts ---------------------------------------------------------------------------------------------------------------- */

static void stage_top_n_sigma(const llm_sampler_desc *desc, lm_choice *c)
{
    const lm_candidate *at = c->room->candidates;
    double sum = 0.0, squares = 0.0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        float x = at[i].logit - c->max;
        n += x != -INFINITY;                                /* a tiny temperature may have made it so */
        sum += x != -INFINITY ? (double)x : 0.0;
    }
    double mean = sum / n;
    for (uint32_t i = 0; i < c->n; i++) {
        float x = at[i].logit - c->max;
        double d = x != -INFINITY ? (double)x - mean : 0.0;
        squares += d * d;
    }
    lm_choice_keep_above(c, -((double)desc->top_n_sigma * sqrt(squares / n)), 0.0f, 1);
}

static void stage_top_p(const llm_sampler_desc *desc, lm_choice *c)
{
    uint32_t sorted = c->sorted ? c->n : 0;
    double total = lm_choice_weigh(c);
    uint32_t keep = lm_choice_prefix(c, (double)desc->top_p * total, false, &sorted);
    keep = LM_MIN(LM_MAX(keep, (uint32_t)desc->min_keep), c->n);
    c->sorted = sorted >= keep;
    lm_choice_keep_best(c, keep);
}

/* Keeps those whose log-probability lies nearest to its mean. */
static void stage_typical(const llm_sampler_desc *desc, lm_choice *c)
{
    lm_candidate *at = c->room->candidates;
    double moment = 0.0, total = lm_choice_sum(c, &moment), mean = moment / total;
    uint32_t sorted = 0;
    lm_choice_weigh(c);
    for (uint32_t i = 0; i < c->n; i++) {
        double away = (double)(at[i].logit - c->max) - mean;
        c->room->logits[at[i].token] = at[i].logit;
        at[i].logit = (float)(away < 0 ? away : -away);
    }
    uint32_t keep = lm_choice_prefix(c, (double)desc->typical_p * total, true, &sorted);
    if (keep < (uint32_t)desc->min_keep && sorted < LM_MIN((uint32_t)desc->min_keep, c->n)) {
        lm_candidates_best(at + sorted, c->room->spare, c->n - sorted, (uint32_t)desc->min_keep - sorted);
    }
    keep = LM_MIN(LM_MAX(keep, (uint32_t)desc->min_keep), c->n);
    for (uint32_t i = 0; i < keep; i++)
        at[i].logit = c->room->logits[at[i].token];
    c->n = keep;
    c->sorted = false;
    lm_choice_keep_best(c, keep);
}

static void stage_xtc(const llm_sampler_desc *desc, const lm_draw *draw, lm_choice *c)
{
    const lm_candidate *at = c->room->candidates;
    if (c->n < 2 || lm_uniform(draw->seed, draw->position, STAGE_STREAM_XTC) > (double)desc->xtc_probability)
        return;
    double least = (double)desc->xtc_threshold * lm_choice_sum(c, NULL);
    uint32_t n = 0;
    if (!c->sorted)
        lm_choice_keep_best(c, c->n);
    while (n < c->n && (double)lm_expf(at[n].logit - c->max) >= least)
        n++;
    if (n > 1 && c->n - (n - 1) >= (uint32_t)desc->min_keep)
        lm_choice_drop_first(c, n - 1);
}

void lm_stage_cut(const llm_sampler *sampler, const lm_draw *draw, uint8_t stage, lm_choice *c)
{
    const llm_sampler_desc *desc = &sampler->desc;
    switch (stage) {
    case LLM_STAGE_TOP_N_SIGMA:
        stage_top_n_sigma(desc, c);
        return;
    case LLM_STAGE_TOP_K:
        if ((uint32_t)desc->top_k < c->n)
            lm_choice_keep_best(c, (uint32_t)desc->top_k);
        return;
    case LLM_STAGE_TYPICAL:
        stage_typical(desc, c);
        return;
    case LLM_STAGE_TOP_P:
        stage_top_p(desc, c);
        return;
    case LLM_STAGE_MIN_P:
        lm_choice_keep_above(c, lm_log64((double)desc->min_p), desc->min_p, (uint32_t)desc->min_keep);
        return;
    default:                                                /* LLM_STAGE_XTC */
        stage_xtc(desc, draw, c);
        return;
    }
}

/* ---- temperature --------------------------------------------------------------------------------------------------------- */

/* By how even the distribution is: its entropy, 0 to 1. */
static float stage_dynamic_temperature(const llm_sampler_desc *desc, const lm_choice *c)
{
    double range = (double)desc->dynatemp_range, least = (double)desc->temperature - range, most = (double)desc->temperature + range;
    double moment = 0.0, total = lm_choice_sum(c, &moment);
    double even = (lm_log64(total) - moment / total) / lm_log64((double)c->n);
    least = LM_MAX(least, 0.0);
    even = LM_MIN(LM_MAX(even, 0.0), 1.0);
    return (float)(least + (most - least) * lm_pow64(even, (double)desc->dynatemp_exponent));
}

void lm_stage_temperature(const llm_sampler *sampler, lm_choice *c)
{
    float temperature = sampler->desc.temperature, base;
    if (sampler->desc.dynatemp_range > 0.0f && c->n > 1)
        temperature = stage_dynamic_temperature(&sampler->desc, c);
    if (temperature <= 0.0f) {
        lm_choice_keep_best(c, 1);
        return;
    }
    base = c->base + c->max;
    for (uint32_t i = 0; i < c->n; i++)
        c->room->candidates[i].logit = (c->room->candidates[i].logit - c->max) / temperature;
    c->max = 0.0f;
    c->base = base / temperature;
}

/* ---- ways to draw that remember ------------------------------------------------------------------------------------------ */

enum { STAGE_MIROSTAT_M = 100 };

/* Mirostat 1: how many tokens have a surprise of mu, if probabilities fall as Zipf's law says; its exponent from the first hundred. */
static uint32_t stage_mirostat_k(const lm_choice *c, double mu)
{
    const lm_candidate *at = c->room->candidates;
    double tb = 0.0, tt = 0.0;
    for (uint32_t i = 0; i + 1 < LM_MIN(c->n, (uint32_t)STAGE_MIROSTAT_M); i++) {
        double t = lm_log64((double)(i + 2) / (double)(i + 1));
        if (at[i + 1].logit == -INFINITY)                   /* a tiny temperature: nothing else will be drawn */
            return i + 1;
        tb += t * ((double)at[i].logit - (double)at[i + 1].logit);
        tt += t * t;
    }
    double s = tb / tt, epsilon = s - 1.0, bound = lm_exp64(mu * STAGE_LN2), v = (double)c->n_vocab;
    double k = epsilon == 0.0 ? bound / lm_log64(v) : epsilon * bound / (1.0 - lm_pow64(v, -epsilon));
    k = s > 0.0 ? lm_pow64(k, 1.0 / s) : v;
    return k < (double)c->n ? LM_MAX((uint32_t)k, 1u) : c->n;
}

void lm_stage_mirostat(const llm_sampler *sampler, const lm_draw *draw, lm_choice *c)
{
    double mu = draw->memory ? draw->memory->a : 2.0 * (double)sampler->desc.mirostat_tau;
    if (sampler->desc.mirostat == 2) {
        double total = lm_choice_sum(c, NULL);              /* -log2 p <= mu */
        lm_choice_keep_above(c, lm_log64(total) - mu * STAGE_LN2, 0.0f, 1);
        return;
    }
    lm_choice_keep_best(c, c->n);
    if (c->n > 1)
        lm_choice_keep_best(c, stage_mirostat_k(c, mu));
}

void lm_stage_adaptive(const llm_sampler *sampler, const lm_draw *draw, lm_choice *c)
{
    lm_candidate *at = c->room->candidates, *before = c->room->spare;
    double target = (double)sampler->desc.adaptive_target, decay = (double)sampler->desc.adaptive_decay;
    double sum = draw->memory ? draw->memory->a : target / (1.0 - decay), weights = draw->memory ? draw->memory->b : 1.0 / (1.0 - decay);
    double wanted = LM_MIN(LM_MAX(2.0 * target - sum / weights, 0.0), 1.0), total = lm_choice_weigh(c);
    float max = -INFINITY;
    for (uint32_t i = 0; i < c->n; i++) {
        double p = (double)c->room->weights[at[i].token] / total, d = p > wanted ? (p - wanted) / 0.3 : (wanted - p) / 0.3;
        before[i] = (lm_candidate){ (float)p, at[i].token };
        at[i].logit = (float)(5.0 - 10.0 * d * d / (1.0 + d));
        max = LM_MAX(max, at[i].logit);
    }
    c->max = max;
    c->base = 0.0f;
}

#undef STAGE_LN2
