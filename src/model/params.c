/* SPDX-License-Identifier: MIT
 * Hyper-parameters: read, checked, completed by the defaults of the format. A file is assumed hostile: after lm_params_read no divisor is 0, heads
 * divide as they must, sizes are within limits that keep every product below 2^63, and floats are finite and of a sensible
 * size. Knows no tensors and no architecture but by name. Owns nothing. Threads: any.
 *
 * Limits are far above any model and exist so that later arithmetic cannot overflow. */
#include "model/params.h"

#include "base/fmath.h"

#include <math.h>
#include <string.h>

enum {
    PARAMS_MAX_EMBD = 1 << 20,
    PARAMS_MAX_FF = 1 << 22,
    PARAMS_MAX_EXPERT_ITEMS = 1 << 26,
    PARAMS_MAX_HEADS = 1 << 14,
    PARAMS_MAX_HEAD_DIM = 1024,
    PARAMS_MAX_CTX = 1 << 27            /* positions are int32, angles must stay below 2^40: see params_rope */
};

typedef struct params_reader {
    const lm_catalogue *catalogue;
    const char *arch;
    char key[128];                      /* the one that was read last, for messages */
    uint32_t n_layers;                  /* once known; 1 before */
    llm_error *error;
} params_reader;

static const char *params_key(params_reader *r, const char *suffix)
{
    lm_print(r->key, sizeof r->key, "%s.%s", r->arch, suffix);
    return r->key;
}

LM_PRINTF(3, 4) static llm_status params_fail(params_reader *r, llm_status status, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    lm_format(text, sizeof text, format, args);
    va_end(args);
    const lm_key *key = lm_catalogue_key(r->catalogue, r->key, LLM_NUL);
    return lm_fail_at(r->error, status, r->key, strlen(r->key), key ? key->offset : UINT64_MAX, "key '%s' %s", r->key, text);
}

/* An integer in [min, max]; absent: E_FORMAT, or *out is left alone if `optional`. A value per layer must be the same in all. */
static llm_status params_u32(params_reader *r, const char *suffix, uint64_t min, uint64_t max, bool optional, uint32_t *out)
{
    uint64_t value = 0, other = 0;
    llm_status status = lm_catalogue_u64(r->catalogue, params_key(r, suffix), 0, min, max, &value, r->error);
    if (status == LLM_E_NOT_FOUND)
        return optional ? LLM_OK : params_fail(r, LLM_E_FORMAT, "is missing; expected a number from %llu to %llu", (unsigned long long)min, (unsigned long long)max);
    if (status < 0)
        return status;
    for (uint32_t layer = 1; layer < r->n_layers; layer++) {
        LM_TRY(lm_catalogue_u64(r->catalogue, r->key, layer, min, max, &other, r->error));
        if (other != value)
            return params_fail(r, LLM_E_UNSUPPORTED, "differs between layers (%llu, then %llu in layer %u), which this architecture cannot do here",
                               (unsigned long long)value, (unsigned long long)other, layer);
    }
    *out = (uint32_t)value;
    return LLM_OK;
}

/* A finite number in [min, max]; absent: left alone. */
static llm_status params_f64(params_reader *r, const char *suffix, double min, double max, double *out)
{
    double value = 0;
    llm_status status = lm_catalogue_f64(r->catalogue, params_key(r, suffix), 0, &value, r->error);
    if (status == LLM_E_NOT_FOUND)
        return LLM_OK;
    if (status < 0)
        return status;
    if (!(value >= min && value <= max))
        return params_fail(r, LLM_E_FORMAT, "is %g, expected a number from %g to %g", value, min, max);
    *out = value;
    return LLM_OK;
}

static bool params_same(llm_str a, const char *b)
{
    return a.len == strlen(b) && memcmp(a.ptr, b, a.len) == 0;
}

static llm_status params_sizes(params_reader *r, lm_params *p)
{
    LM_TRY(params_u32(r, "block_count", 1, LM_MAX_LAYERS, false, &p->n_layers));
    r->n_layers = p->n_layers;
    LM_TRY(params_u32(r, "context_length", 1, PARAMS_MAX_CTX, false, &p->n_ctx_train));
    LM_TRY(params_u32(r, "embedding_length", 1, PARAMS_MAX_EMBD, false, &p->n_embd));
    LM_TRY(params_u32(r, "feed_forward_length", 1, PARAMS_MAX_FF, false, &p->n_ff));
    return LLM_OK;
}

static llm_status params_heads(params_reader *r, lm_params *p)
{
    LM_TRY(params_u32(r, "attention.head_count", 1, PARAMS_MAX_HEADS, false, &p->n_head));
    LM_TRY(params_u32(r, "attention.key_length", 1, PARAMS_MAX_HEAD_DIM, true, &p->head_dim));
    LM_TRY(params_u32(r, "attention.value_length", 1, PARAMS_MAX_HEAD_DIM, true, &p->v_dim));
    if (p->head_dim == 0 || p->v_dim == 0) {
        params_key(r, "attention.head_count");
        if (p->n_embd % p->n_head != 0)
            return params_fail(r, LLM_E_FORMAT, "does not fit: %u heads do not divide an embedding of %u, and no key_length is given", p->n_head, p->n_embd);
        if (p->n_embd / p->n_head > PARAMS_MAX_HEAD_DIM)
            return params_fail(r, LLM_E_FORMAT, "does not fit: %u heads of an embedding of %u are longer than %d", p->n_head, p->n_embd, PARAMS_MAX_HEAD_DIM);
        p->head_dim = p->head_dim ? p->head_dim : p->n_embd / p->n_head;
        p->v_dim = p->v_dim ? p->v_dim : p->n_embd / p->n_head;
    }
    if (p->head_dim % 2 != 0) {
        params_key(r, "attention.key_length");
        return params_fail(r, LLM_E_FORMAT, "does not fit: a head is %u long (embedding %u, %u heads), expected an even number", p->head_dim, p->n_embd, p->n_head);
    }
    p->n_head_kv = p->n_head;
    LM_TRY(params_u32(r, "attention.head_count_kv", 1, PARAMS_MAX_HEADS, true, &p->n_head_kv));
    if (p->n_head_kv > p->n_head || p->n_head % p->n_head_kv != 0)
        return params_fail(r, LLM_E_FORMAT, "is %u, expected a divisor of attention.head_count, which is %u", p->n_head_kv, p->n_head);

    double eps = 0, scale = 0;
    llm_status status = lm_catalogue_f64(r->catalogue, params_key(r, "attention.layer_norm_rms_epsilon"), 0, &eps, r->error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    if (status == LLM_E_NOT_FOUND)
        return params_fail(r, LLM_E_FORMAT, "is missing; expected a small positive number");
    if (!(eps >= 1e-30 && eps <= 1.0))
        return params_fail(r, LLM_E_FORMAT, "is %g, expected a small positive number", eps);
    p->rms_eps = (float)eps;

    LM_TRY(params_f64(r, "attention.scale", 0.0, 1e6, &scale));
    p->attention_scale = scale > 0 ? (float)scale : 1.0f / sqrtf((float)p->head_dim);
    p->scale_stated = scale > 0;
    return LLM_OK;
}

/* Which layers look back only so far: the pattern is a period or a flag for each layer. */
static llm_status params_windows(params_reader *r, const lm_arch *arch, lm_params *p)
{
    uint64_t period = arch->defaults.window_period;
    p->window = arch->defaults.window;
    LM_TRY(params_u32(r, "attention.sliding_window", 0, UINT32_MAX, true, &p->window));
    if (p->window > PARAMS_MAX_CTX)
        p->window = 0;                                      /* longer than any context */
    const lm_key *key = NULL;
    if (arch->knows & LM_KNOWS_WINDOW_PATTERN)
        key = lm_catalogue_key(r->catalogue, params_key(r, "attention.sliding_window_pattern"), LLM_NUL);
    if (key && key->type != LM_VALUE_ARRAY) {
        LM_TRY(lm_catalogue_u64(r->catalogue, r->key, 0, 0, LM_MAX_LAYERS, &period, r->error));
        key = NULL;
    }
    for (uint32_t layer = 0; layer < p->n_layers; layer++) {
        bool has = period == 0 || layer % period < period - 1;
        if (key)
            LM_TRY(lm_catalogue_bool(r->catalogue, r->key, layer, &has, r->error));
        p->windowed[layer / 64] |= (uint64_t)has << (layer % 64);
    }
    return LLM_OK;
}

static llm_status params_softcaps(params_reader *r, const lm_arch *arch, lm_params *p)
{
    double scores = arch->defaults.attention_softcap, logits = arch->defaults.logit_softcap;
    if (!(arch->knows & LM_KNOWS_SOFTCAPS))
        return LLM_OK;
    LM_TRY(params_f64(r, "attn_logit_softcapping", 0.0, 1e6, &scores));
    LM_TRY(params_f64(r, "final_logit_softcapping", 0.0, 1e6, &logits));
    p->attention_softcap = scores < 1e-6 ? 0.0f : (float)scores;
    p->logit_softcap = logits < 1e-6 ? 0.0f : (float)logits;
    return LLM_OK;
}

static llm_status params_experts(params_reader *r, const lm_arch *arch, lm_params *p)
{
    LM_TRY(params_u32(r, "expert_count", 0, LM_MAX_EXPERTS, true, &p->n_expert));
    LM_TRY(params_u32(r, "expert_used_count", 0, LM_MAX_EXPERTS, true, &p->n_expert_used));
    if (p->n_expert == 0 && p->n_expert_used != 0)
        return params_fail(r, LLM_E_FORMAT, "is %u, but the model has no experts", p->n_expert_used);
    if (p->n_expert == 0)
        return LLM_OK;
    if (p->n_expert_used == 0 || p->n_expert_used > p->n_expert)
        return params_fail(r, LLM_E_FORMAT, "is %u, expected 1 to expert_count, which is %u", p->n_expert_used, p->n_expert);
    bool normalize = !arch->defaults.plain_experts;
    llm_status status = lm_catalogue_bool(r->catalogue, params_key(r, "expert_weights_norm"), 0, &normalize, r->error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    p->normalize_experts = normalize;
    p->n_ff_expert = p->n_ff;
    if (arch->knows & LM_KNOWS_SHARED_EXPERT) {             /* the shared expert is as wide as a dense block, and so are the chosen ones together */
        p->n_ff_expert = LM_MAX(p->n_ff / p->n_expert_used, 1);
        p->n_ff_shared = p->n_ff;
        LM_TRY(params_u32(r, "expert_shared_feed_forward_length", 1, PARAMS_MAX_FF, true, &p->n_ff_shared));
    }
    LM_TRY(params_u32(r, "expert_feed_forward_length", 1, PARAMS_MAX_FF, true, &p->n_ff_expert));
    if ((uint64_t)p->n_expert_used * p->n_ff_expert > PARAMS_MAX_EXPERT_ITEMS) {
        params_key(r, "expert_used_count");
        return params_fail(r, LLM_E_LIMIT, "does not fit: %u experts of %u values each are too many for a row", p->n_expert_used, p->n_ff_expert);
    }
    return LLM_OK;
}

/* Magnitudes are bounded so that |angle| < 2^40 for every position: 2^27 positions, frequencies <= 1, a scale <= 2^4, divisors
 * >= 2^-8 (checked when they are loaded). */
static llm_status params_rope(params_reader *r, const lm_arch *arch, lm_params *p)
{
    lm_op_angles *a = &p->angles;
    p->n_rot = p->head_dim;
    LM_TRY(params_u32(r, "rope.dimension_count", 1, PARAMS_MAX_HEAD_DIM, true, &p->n_rot));
    if (p->n_rot > p->head_dim || p->n_rot % 2 != 0)
        return params_fail(r, LLM_E_FORMAT, "is %u, expected an even number up to the length of a head, which is %u", p->n_rot, p->head_dim);
    *a = (lm_op_angles){ .n_rot = p->n_rot, .base = 10000.0, .freq_scale = 1.0, .magnitude = 1.0, .beta_fast = 32.0, .beta_slow = 1.0 };
    LM_TRY(params_f64(r, "rope.freq_base", 1.0, 1e15, &a->base));
    p->window_angles = *a;                                  /* scaling is for the layers without a window */
    p->window_angles.base = arch->knows & LM_KNOWS_WINDOW_ROPE ? 10000.0 : a->base;
    LM_TRY(params_f64(r, "rope.freq_base_swa", 1.0, 1e15, &p->window_angles.base));
    if (!(arch->knows & LM_KNOWS_WINDOW_ROPE) && p->window_angles.base != a->base)
        return params_fail(r, LLM_E_UNSUPPORTED, "is %g, not rope.freq_base (%g), which this architecture cannot do here", p->window_angles.base, a->base);

    uint32_t n_ctx_orig = p->n_ctx_train;
    LM_TRY(params_u32(r, "rope.scaling.original_context_length", 1, PARAMS_MAX_CTX, true, &n_ctx_orig));
    a->n_ctx_orig = n_ctx_orig;

    double factor = 0, attn_factor = 1.0, ext_factor = -1.0;
    LM_TRY(params_f64(r, "rope.scale_linear", 0.0, 0x1p20, &factor));                 /* the older name */
    LM_TRY(params_f64(r, "rope.scaling.factor", 0.0, 0x1p20, &factor));
    if (factor != 0 && factor < 0x1p-4)
        return params_fail(r, LLM_E_FORMAT, "is %g, expected 0 (no scaling) or a number from %g on", factor, 0x1p-4);
    LM_TRY(params_f64(r, "rope.scaling.attn_factor", 1e-3, 1e3, &attn_factor));
    LM_TRY(params_f64(r, "rope.scaling.yarn_ext_factor", -1.0, 1.0, &ext_factor));
    LM_TRY(params_f64(r, "rope.scaling.yarn_beta_fast", 1e-3, 1e6, &a->beta_fast));
    LM_TRY(params_f64(r, "rope.scaling.yarn_beta_slow", 1e-3, 1e6, &a->beta_slow));

    llm_str type = { "linear", 6 };
    llm_status status = lm_catalogue_str(r->catalogue, params_key(r, "rope.scaling.type"), &type, r->error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    a->magnitude = attn_factor;
    if (params_same(type, "none"))
        return LLM_OK;
    p->long_rope = params_same(type, "longrope");
    if (p->long_rope)                                       /* its divisors are all; their factor shows in attn_factor only */
        return LLM_OK;
    bool yarn = params_same(type, "yarn");
    if (!yarn && !params_same(type, "linear"))
        return params_fail(r, LLM_E_UNSUPPORTED, "is '%.*s'; known are none, linear, yarn, longrope", (int)LM_MIN(type.len, 40), type.ptr);
    if (factor != 0)
        a->freq_scale = 1.0 / factor;
    if (yarn) {
        a->ext_factor = ext_factor < 0 ? 1.0 : ext_factor;
        if (a->base <= 1.0) {
            params_key(r, "rope.freq_base");
            return params_fail(r, LLM_E_FORMAT, "is %g, expected more than 1 for yarn", a->base);
        }
        if (a->ext_factor != 0 && factor > 1.0)
            a->magnitude *= 1.0 + 0.1 * lm_log64(factor);   /* YaRN's attention temperature, eq. 22 of arXiv:2309.00071 */
    }
    return LLM_OK;
}

llm_status lm_params_neutral(const lm_catalogue *catalogue, const char *arch, const lm_neutral_key *keys, size_t n, llm_error *error)
{
    params_reader r = { .catalogue = catalogue, .arch = arch, .n_layers = 1, .error = error };
    for (size_t i = 0; i < n; i++) {
        const lm_key *key = lm_catalogue_key(catalogue, params_key(&r, keys[i].key), LLM_NUL);
        if (!key)
            continue;
        for (uint64_t item = 0; item < key->n_items; item++) {
            llm_meta meta;
            memset(&meta, 0, sizeof meta);
            lm_key_item(key, item, &meta);
            if (meta.type == LLM_META_STRING)
                return params_fail(&r, LLM_E_FORMAT, "is a string, expected a number");
            if (meta.number != keys[i].neutral && meta.number != 0)     /* 0 says "not used" everywhere */
                return params_fail(&r, LLM_E_UNSUPPORTED, "is %g, which this library does not do for architecture '%s'", meta.number, arch);
        }
    }
    return LLM_OK;
}

/* Keys of other families and of variants that are not here yet. Each would change what is computed. */
static const lm_neutral_key params_foreign[] = {
    { "attention.clamp_kqv", 0 }, { "attention.max_alibi_bias", 0 },
    { "attention.q_lora_rank", 0 }, { "attention.kv_lora_rank", 0 }, { "attention.key_length_mla", 0 }, { "attention.shared_kv_layers", 0 },
    { "attention.recurrent_layers", 0 }, { "attention.temperature_scale", 0 }, { "attention.temperature_length", 0 },
    { "attention.output_scale", 1 }, { "attention.value_scale", 1 }, { "attention.relative_buckets_count", 0 },
    { "router_logit_softcapping", 0 },
    { "logit_scale", 1 }, { "residual_scale", 1 }, { "embedding_scale", 1 }, { "use_parallel_residual", 0 }, { "swin_norm", 0 },
    { "rope.dimension_sections", 0 }, { "rope.scaling.alpha", 0 }, { "rope.scaling.yarn_log_multiplier", 0 },
    { "expert_shared_count", 0 }, { "expert_group_count", 1 }, { "expert_weights_scale", 1 }, { "expert_gating_func", 1 },
    { "leading_dense_block_count", 0 }, { "moe_every_n_layers", 1 }, { "interleave_moe_layer_step", 1 },
    { "nextn_predict_layers", 0 }, { "num_loops", 1 }, { "embedding_length_per_layer_input", 0 }, { "full_attention_interval", 1 },
    { "ssm.inner_size", 0 }, { "ssm.state_size", 0 }, { "shortconv.l_cache", 0 }, { "wkv.head_size", 0 }, { "n_deepstack_layers", 0 },
    { "swiglu_clamp_exp", 0 }, { "swiglu_clamp_shexp", 0 }
};

/* Keys of optional parts, for architectures that do not know them. */
static const struct { uint32_t part; lm_neutral_key key; } params_parts[] = {
    { LM_KNOWS_WINDOW_PATTERN, { "attention.sliding_window_pattern", 0 } },
    { LM_KNOWS_SOFTCAPS, { "attn_logit_softcapping", 0 } },
    { LM_KNOWS_SOFTCAPS, { "final_logit_softcapping", 0 } },
    { LM_KNOWS_SHARED_EXPERT, { "expert_shared_feed_forward_length", 0 } }
};

/* Flags and words that must say what this library does anyway. */
static llm_status params_words(params_reader *r, const lm_arch *arch)
{
    bool flag = true, gelu = arch->knows & LM_KNOWS_GELU;
    llm_str word = { gelu ? "gelu" : "silu", 4 };
    llm_status status = lm_catalogue_bool(r->catalogue, params_key(r, "attention.causal"), 0, &flag, r->error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    if (!flag)
        return params_fail(r, LLM_E_UNSUPPORTED, "is false; only causal attention is there");
    status = lm_catalogue_str(r->catalogue, params_key(r, "hidden_activation"), &word, r->error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    bool known = gelu ? params_same(word, "gelu") || params_same(word, "gelu_pytorch_tanh") : params_same(word, "silu") || params_same(word, "swish");
    if (!known)
        return params_fail(r, LLM_E_UNSUPPORTED, "is '%.*s'; known is %s", (int)LM_MIN(word.len, 40), word.ptr, gelu ? "gelu" : "silu");
    return LLM_OK;
}

llm_status lm_params_read(const lm_catalogue *catalogue, const lm_arch *arch, lm_params *out, llm_error *error)
{
    params_reader r = { .catalogue = catalogue, .arch = arch->name, .n_layers = 1, .error = error };
    lm_params p;
    memset(&p, 0, sizeof p);
    LM_TRY(params_sizes(&r, &p));
    LM_TRY(params_heads(&r, &p));
    LM_TRY(params_windows(&r, arch, &p));
    LM_TRY(params_softcaps(&r, arch, &p));
    LM_TRY(params_experts(&r, arch, &p));
    LM_TRY(params_rope(&r, arch, &p));
    LM_TRY(params_words(&r, arch));
    LM_TRY(lm_params_neutral(catalogue, arch->name, params_foreign, LM_COUNT(params_foreign), error));
    for (size_t i = 0; i < LM_COUNT(params_parts); i++)
        if (!(arch->knows & params_parts[i].part))
            LM_TRY(lm_params_neutral(catalogue, arch->name, &params_parts[i].key, 1, error));
    *out = p;
    return LLM_OK;
}
