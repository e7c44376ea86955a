/* SPDX-License-Identifier: MIT
 * Recipes: checked and made complete, their stages run in order, and the draw: over the candidates' order, in double, with one random
 * number of (seed, position). The stages stand in sampler_stages.c and dry.c. */
#include "session/sampler.h"

#include "session/grammar.h"

#include "base/cpu.h"
#include "base/fmath.h"
#include "base/half.h"
#include "base/rand.h"

#include <math.h>
#include <string.h>

LM_EXACT_ARITHMETIC

enum { SAMPLER_DEFAULT_LAST_N = 64, SAMPLER_STREAM_DRAW = 0 };

/* ---- checks -------------------------------------------------------------------------------------------------------------- */

static bool sampler_finite(float x)
{
    return (lm_bits_from_f32(x) & 0x7f800000u) != 0x7f800000u;
}

static llm_status sampler_check_float(const char *field, float value, float min, float max, llm_error *error)
{
    if (sampler_finite(value) && value >= min && value <= max)
        return LLM_OK;
    return lm_fail_at(error, LLM_E_INVALID, field, strlen(field), UINT64_MAX, "llm_sampler_desc.%s is %g: expected %g to %g", field,
                      (double)value, (double)min, (double)max);
}

static llm_status sampler_check_int(const char *field, int32_t value, int32_t min, int32_t max, llm_error *error)
{
    if (value >= min && value <= max)
        return LLM_OK;
    return lm_fail_at(error, LLM_E_INVALID, field, strlen(field), UINT64_MAX, "llm_sampler_desc.%s is %d: expected %d to %d", field, value, min, max);
}

static llm_status sampler_check_numbers(const llm_sampler_desc *desc, llm_error *error)
{
    LM_TRY(sampler_check_float("temperature", desc->temperature, 0.0f, 1e6f, error));
    LM_TRY(sampler_check_int("top_k", desc->top_k, 0, INT32_MAX, error));
    LM_TRY(sampler_check_float("top_p", desc->top_p, 0.0f, 1.0f, error));
    LM_TRY(sampler_check_float("min_p", desc->min_p, 0.0f, 1.0f, error));
    LM_TRY(sampler_check_int("min_keep", desc->min_keep, 0, INT32_MAX, error));
    LM_TRY(sampler_check_int("penalty_last_n", desc->penalty_last_n, -1, INT32_MAX, error));
    LM_TRY(sampler_check_float("repeat_penalty", desc->repeat_penalty, 0.0f, 1e6f, error));
    LM_TRY(sampler_check_float("frequency_penalty", desc->frequency_penalty, -1e6f, 1e6f, error));
    LM_TRY(sampler_check_float("presence_penalty", desc->presence_penalty, -1e6f, 1e6f, error));
    LM_TRY(sampler_check_float("dynatemp_range", desc->dynatemp_range, 0.0f, 1e6f, error));
    LM_TRY(sampler_check_float("dynatemp_exponent", desc->dynatemp_exponent, 0.0f, 1e6f, error));
    LM_TRY(sampler_check_float("typical_p", desc->typical_p, 0.0f, 1.0f, error));
    LM_TRY(sampler_check_float("top_n_sigma", desc->top_n_sigma, 0.0f, 1e6f, error));
    LM_TRY(sampler_check_float("xtc_probability", desc->xtc_probability, 0.0f, 1.0f, error));
    LM_TRY(sampler_check_float("xtc_threshold", desc->xtc_threshold, 0.0f, 1.0f, error));
    LM_TRY(sampler_check_float("dry_multiplier", desc->dry_multiplier, 0.0f, 1e6f, error));
    if (desc->dry_base != 0.0f)
        LM_TRY(sampler_check_float("dry_base", desc->dry_base, 1.0f, 1e6f, error));
    LM_TRY(sampler_check_int("dry_allowed_length", desc->dry_allowed_length, 0, LM_DRY_MAX_ALLOWED, error));
    LM_TRY(sampler_check_int("dry_last_n", desc->dry_last_n, -1, INT32_MAX, error));
    LM_TRY(sampler_check_int("mirostat", desc->mirostat, 0, 2, error));
    LM_TRY(sampler_check_float("mirostat_tau", desc->mirostat_tau, 0.0f, 1000.0f, error));
    LM_TRY(sampler_check_float("mirostat_eta", desc->mirostat_eta, 0.0f, 1000.0f, error));
    LM_TRY(sampler_check_float("adaptive_target", desc->adaptive_target, 0.0f, 1.0f, error));
    LM_TRY(sampler_check_float("adaptive_decay", desc->adaptive_decay, 0.0f, 0.99f, error));
    if (desc->mirostat != 0 && desc->adaptive_target != 0.0f)
        return lm_fail(error, LLM_E_INVALID, "llm_sampler_desc.mirostat and .adaptive_target are both set: one of them can draw");
    return LLM_OK;
}

static llm_status sampler_check_biases(const llm_sampler_desc *desc, uint32_t n_vocab, llm_error *error)
{
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

static llm_status sampler_check_order(const llm_sampler_desc *desc, llm_error *error)
{
    uint32_t seen = 0;
    if (desc->n_order != 0 && !desc->order)
        return lm_fail(error, LLM_E_INVALID, "llm_sampler_desc.order is NULL, n_order is %zu", desc->n_order);
    if (desc->n_order > LM_MAX_STAGES)
        return lm_fail(error, LLM_E_LIMIT, "llm_sampler_desc.n_order is %zu: at most %d stages", desc->n_order, LM_MAX_STAGES);
    for (size_t i = 0; i < desc->n_order; i++) {
        if (desc->order[i] < LLM_STAGE_PENALTIES || desc->order[i] > LLM_STAGE_TEMPERATURE)
            return lm_fail(error, LLM_E_INVALID, "llm_sampler_desc.order[%zu] is %u: expected LLM_STAGE_*", i, desc->order[i]);
        if (seen >> desc->order[i] & 1)
            return lm_fail(error, LLM_E_INVALID, "llm_sampler_desc.order[%zu] is %u: this stage was named before", i, desc->order[i]);
        seen |= 1u << desc->order[i];
    }
    return LLM_OK;
}

/* ---- making one ---------------------------------------------------------------------------------------------------------- */

static void sampler_resolve(llm_sampler_desc *desc)
{
    if (desc->penalty_last_n == 0)
        desc->penalty_last_n = SAMPLER_DEFAULT_LAST_N;
    if (desc->repeat_penalty == 0.0f)
        desc->repeat_penalty = 1.0f;
    if (desc->min_keep == 0)
        desc->min_keep = 1;
    if (desc->dynatemp_exponent == 0.0f)
        desc->dynatemp_exponent = 1.0f;
    if (desc->xtc_threshold == 0.0f)
        desc->xtc_threshold = 0.1f;
    if (desc->dry_base == 0.0f)
        desc->dry_base = 1.75f;
    if (desc->dry_allowed_length == 0)
        desc->dry_allowed_length = 2;
    if (desc->mirostat_tau == 0.0f)
        desc->mirostat_tau = 5.0f;
    if (desc->mirostat_eta == 0.0f)
        desc->mirostat_eta = 0.1f;
    if (desc->adaptive_decay == 0.0f)
        desc->adaptive_decay = 0.9f;
}

static bool sampler_uses(const llm_sampler_desc *desc, uint8_t stage)
{
    switch (stage) {
    case LLM_STAGE_PENALTIES:
        return desc->repeat_penalty != 1.0f || desc->frequency_penalty != 0.0f || desc->presence_penalty != 0.0f;
    case LLM_STAGE_DRY:
        return desc->dry_multiplier != 0.0f;
    case LLM_STAGE_TOP_N_SIGMA:
        return desc->top_n_sigma != 0.0f;
    case LLM_STAGE_TOP_K:
        return desc->top_k != 0;
    case LLM_STAGE_TYPICAL:
        return desc->typical_p > 0.0f && desc->typical_p < 1.0f;
    case LLM_STAGE_TOP_P:
        return desc->top_p > 0.0f && desc->top_p < 1.0f;
    case LLM_STAGE_MIN_P:
        return desc->min_p > 0.0f;
    case LLM_STAGE_XTC:
        return desc->xtc_probability > 0.0f && desc->xtc_threshold <= 0.5f;
    default:
        return desc->temperature != 1.0f || desc->dynatemp_range > 0.0f;
    }
}

static bool sampler_ends_greedy(const llm_sampler *sampler)
{
    return sampler->n_order != 0 && sampler->order[sampler->n_order - 1] == LLM_STAGE_TEMPERATURE && sampler->desc.temperature == 0.0f &&
           sampler->desc.dynatemp_range == 0.0f;
}

/* The stages that do something. Before a temperature of 0 those that always keep the likeliest do nothing, and nothing is left to do
 * after it. */
static void sampler_plan(llm_sampler *sampler, const uint8_t *order, size_t n)
{
    static const uint8_t usual[] = { LLM_STAGE_PENALTIES, LLM_STAGE_DRY, LLM_STAGE_TOP_N_SIGMA, LLM_STAGE_TOP_K, LLM_STAGE_TYPICAL,
                                     LLM_STAGE_TOP_P, LLM_STAGE_MIN_P, LLM_STAGE_XTC, LLM_STAGE_TEMPERATURE };
    static const uint8_t alone[] = { LLM_STAGE_TEMPERATURE };
    if (!order) {
        order = sampler->desc.mirostat ? alone : usual;
        n = sampler->desc.mirostat ? LM_COUNT(alone) : LM_COUNT(usual);
    }
    for (size_t i = 0; i < n && !sampler_ends_greedy(sampler); i++)
        if (sampler_uses(&sampler->desc, order[i]))
            sampler->order[sampler->n_order++] = order[i];
    if (!sampler_ends_greedy(sampler))
        return;
    const uint32_t keeps_best = 1u << LLM_STAGE_TOP_N_SIGMA | 1u << LLM_STAGE_TOP_K | 1u << LLM_STAGE_TOP_P | 1u << LLM_STAGE_MIN_P;
    while (sampler->n_order > 1 && keeps_best >> sampler->order[sampler->n_order - 2] & 1) {
        sampler->n_order--;
        sampler->order[sampler->n_order - 1] = LLM_STAGE_TEMPERATURE;
    }
}

static llm_status sampler_make_dry(llm_sampler *sampler, const lm_tokenizer *tokenizer, const llm_sampler_desc *desc, llm_error *error)
{
    bool used = false;
    for (uint32_t i = 0; i < sampler->n_order; i++)
        used |= sampler->order[i] == LLM_STAGE_DRY;
    if (!used)
        return LLM_OK;
    if (tokenizer)
        LM_TRY(lm_breakers_new(&sampler->engine->host, tokenizer, desc->dry_breakers, desc->n_dry_breakers, &sampler->breakers, error));
    sampler->dry = (lm_dry){ .breakers = sampler->breakers, .multiplier = (double)sampler->desc.dry_multiplier, .base = (double)sampler->desc.dry_base,
                             .allowed = (uint32_t)sampler->desc.dry_allowed_length, .last_n = sampler->desc.dry_last_n };
    return LLM_OK;
}

llm_status lm_sampler_new(llm_engine *engine, const lm_tokenizer *tokenizer, uint32_t n_vocab, const llm_sampler_desc *desc, llm_sampler **out,
                          llm_error *error)
{
    if (desc->flags != 0 || desc->reserved != 0 || desc->reserved_2 != 0)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_sampler_desc.flags is 0x%x, .reserved 0x%x and .reserved_2 0x%x: all must be 0", desc->flags,
                       desc->reserved, desc->reserved_2);
    LM_TRY(sampler_check_numbers(desc, error));
    LM_TRY(sampler_check_biases(desc, n_vocab, error));
    LM_TRY(sampler_check_order(desc, error));
    if (desc->reserved_ptr)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_sampler_desc.reserved_ptr must be NULL");
    if (desc->grammar && desc->grammar->n_vocab != n_vocab)
        return lm_fail(error, LLM_E_INVALID, "llm_sampler_desc.grammar was made for %u tokens: this vocabulary has %u", desc->grammar->n_vocab, n_vocab);
    size_t bytes = sizeof(llm_sampler) + desc->n_biases * sizeof(llm_token_bias);
    llm_sampler *sampler = lm_mem_new(&engine->host.mem, bytes, LLM_MEMORY_OTHER);
    if (!sampler)
        return lm_fail_memory(error, "a sampler", bytes);
    lm_engine_hold(engine);
    sampler->engine = engine;
    atomic_init(&sampler->refs, 1);
    sampler->n_vocab = n_vocab;
    sampler->desc = *desc;
    if (desc->grammar)
        lm_grammar_hold((llm_grammar *)(uintptr_t)desc->grammar);
    if (desc->n_biases)
        memcpy(sampler->biases, desc->biases, desc->n_biases * sizeof(llm_token_bias));
    sampler->desc.biases = sampler->biases;
    sampler->desc.order = NULL;
    sampler->desc.dry_breakers = NULL;
    sampler_resolve(&sampler->desc);
    sampler_plan(sampler, desc->order, desc->n_order);
    sampler->remembers = desc->mirostat ? LM_REMEMBERS_MIROSTAT : desc->adaptive_target > 0.0f ? LM_REMEMBERS_ADAPTIVE : LM_REMEMBERS_NOTHING;
    sampler->exps = lm_expf_many_for(engine->cpu_tier == LLM_CPU_REFERENCE ? 0 : lm_cpu_features());
    llm_status status = sampler_make_dry(sampler, tokenizer, desc, error);
    if (status < 0) {
        lm_sampler_drop(sampler);
        return status;
    }
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
    lm_grammar_drop((llm_grammar *)(uintptr_t)sampler->desc.grammar);
    lm_mem_free(&engine->host.mem, sampler->breakers);
    lm_mem_free(&engine->host.mem, sampler);
    lm_engine_drop(engine);
}

bool lm_sampler_is_greedy(const llm_sampler *sampler)
{
    return sampler->n_order == 1 && sampler_ends_greedy(sampler) && sampler->desc.n_biases == 0 && !sampler->desc.grammar && sampler->remembers == LM_REMEMBERS_NOTHING;
}

/* ---- over all logits ----------------------------------------------------------------------------------------------------- */

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
    uint32_t best = lm_logits_best(logits, n);
    if (logits[best] == -INFINITY)
        return lm_fail(error, LLM_E_NUMERIC, "no token is left to draw: every logit is -infinity");
    *out = (llm_token)best;
    return LLM_OK;
}

/* ---- a draw -------------------------------------------------------------------------------------------------------------- */

llm_status lm_sampler_stages(const llm_sampler *sampler, const lm_draw *draw, lm_room *room, uint32_t *n, llm_error *error)
{
    lm_choice c = { .room = room, .exps = sampler->exps, .n_vocab = sampler->n_vocab };
    lm_stage_bias(sampler, room);
    for (uint32_t i = 0; i < sampler->n_order; i++) {
        uint8_t stage = sampler->order[i];
        if (stage == LLM_STAGE_PENALTIES || stage == LLM_STAGE_DRY) {
            lm_choice_spread(&c);
            if (stage == LLM_STAGE_DRY)
                lm_dry_penalize(&sampler->dry, draw->tokens, draw->n_tokens, room);
            else
                lm_stage_penalties(sampler, draw, room);
            continue;
        }
        LM_TRY(lm_choice_collect(&c, error));
        if (stage == LLM_STAGE_TEMPERATURE)
            lm_stage_temperature(sampler, &c);
        else
            lm_stage_cut(sampler, draw, stage, &c);
    }
    LM_TRY(lm_choice_collect(&c, error));
    if (sampler->remembers == LM_REMEMBERS_MIROSTAT)
        lm_stage_mirostat(sampler, draw, &c);
    else if (sampler->remembers == LM_REMEMBERS_ADAPTIVE)
        lm_stage_adaptive(sampler, draw, &c);
    for (uint32_t i = 0; i < c.n; i++)
        room->candidates[i].logit -= c.max;
    *n = c.n;
    return LLM_OK;
}

/* p: the drawn token's probability, for mirostat among what was left, for an adaptive recipe before it bent them. */
static lm_memory sampler_remember(const llm_sampler *sampler, const lm_draw *draw, double p)
{
    lm_memory after = { .position = (uint32_t)draw->position, .kind = sampler->remembers };
    if (sampler->remembers == LM_REMEMBERS_MIROSTAT) {
        double tau = (double)sampler->desc.mirostat_tau, mu = draw->memory ? draw->memory->a : 2.0 * tau;
        after.a = mu - (double)sampler->desc.mirostat_eta * (-lm_log64(p) / 0.693147180559945309417 - tau);
    } else {
        double decay = (double)sampler->desc.adaptive_decay;
        after.a = p + decay * (draw->memory ? draw->memory->a : (double)sampler->desc.adaptive_target / (1.0 - decay));
        after.b = 1.0 + decay * (draw->memory ? draw->memory->b : 1.0 / (1.0 - decay));
    }
    return after;
}

llm_status lm_sampler_draw(const llm_sampler *sampler, const lm_draw *draw, lm_room *room, llm_token *out, lm_memory *memory, llm_error *error)
{
    uint32_t n = 0, drawn = 0;
    LM_TRY(lm_sampler_stages(sampler, draw, room, &n, error));
    for (uint32_t i = 0; i < n; i++)
        room->weights[i] = room->candidates[i].logit;
    sampler->exps(room->weights, 0.0f, room->weights, n);
    double total = 0.0, mass = 0.0;
    for (uint32_t i = 0; i < n; i++)
        total += (double)room->weights[i];
    double wanted = lm_uniform(draw->seed, draw->position, SAMPLER_STREAM_DRAW) * total;
    for (uint32_t i = 0; i < n; i++) {                      /* the last with a weight, should rounding lead past the end */
        mass += (double)room->weights[i];
        if (room->weights[i] > 0.0f)
            drawn = i;
        if (mass > wanted)
            break;
    }
    *out = room->candidates[drawn].token;
    if (sampler->remembers == LM_REMEMBERS_MIROSTAT)
        *memory = sampler_remember(sampler, draw, (double)room->weights[drawn] / total);
    else if (sampler->remembers == LM_REMEMBERS_ADAPTIVE)
        *memory = sampler_remember(sampler, draw, (double)room->spare[drawn].logit);
    return LLM_OK;
}
