/* SPDX-License-Identifier: MIT
 * Mixes. The names (Q4_K_M and so on) are llama.cpp's, and so is what they mean: which tensors get more bits was found by measuring, and a
 * file of a name should be what people know by it. In short: vectors, norms, routers and small tensors keep their type; the output matrix
 * (or the embedding, where it is the output too) gets Q6_K; in the _M mixes half of the layers' value and down projections, the first, the
 * last and every third, get more; where rows are no multiple of 256, a type of blocks of 32 stands in.
 * Source: the rules of llama.cpp's quantizer as of August 2026. Owns nothing. Threads: any. */
#include "model/mix.h"

#include <string.h>

enum { MIX_LAYERS = 4096 };             /* layers that are told apart; further ones count as the last */

static const struct { int32_t file_type; uint32_t number, type; } mix_files[] = {
    { LLM_FILE_F32, 0, LM_TYPE_F32 },       { LLM_FILE_F16, 1, LM_TYPE_F16 },       { LLM_FILE_BF16, 32, LM_TYPE_BF16 },
    { LLM_FILE_Q8_0, 7, LM_TYPE_Q8_0 },     { LLM_FILE_Q4_0, 2, LM_TYPE_Q4_0 },     { LLM_FILE_Q4_1, 3, LM_TYPE_Q4_1 },
    { LLM_FILE_Q5_0, 8, LM_TYPE_Q5_0 },     { LLM_FILE_Q5_1, 9, LM_TYPE_Q5_1 },     { LLM_FILE_Q4_K_S, 14, LM_TYPE_Q4_K },
    { LLM_FILE_Q4_K_M, 15, LM_TYPE_Q4_K },  { LLM_FILE_Q5_K_S, 16, LM_TYPE_Q5_K },  { LLM_FILE_Q5_K_M, 17, LM_TYPE_Q5_K },
    { LLM_FILE_Q6_K, 18, LM_TYPE_Q6_K },    { LLM_FILE_IQ4_NL, 25, LM_TYPE_IQ4_NL }, { LLM_FILE_IQ4_XS, 30, LM_TYPE_IQ4_XS },
};

static size_t mix_find(int32_t file_type)
{
    size_t i = 0;
    while (i < LM_COUNT(mix_files) && mix_files[i].file_type != file_type)
        i++;
    return i;
}

uint32_t lm_mix_number(int32_t file_type)
{
    size_t i = mix_find(file_type);
    return i < LM_COUNT(mix_files) ? mix_files[i].number : UINT32_MAX;
}

/* ---- names */

static bool mix_has(llm_str name, const char *part)
{
    size_t len = strlen(part);
    for (size_t i = 0; i + len <= name.len; i++)
        if (memcmp(name.ptr + i, part, len) == 0)
            return true;
    return false;
}

static bool mix_is(llm_str name, const char *whole) { return name.len == strlen(whole) && memcmp(name.ptr, whole, name.len) == 0; }

static bool mix_plain_type(uint32_t type) { return type == LM_TYPE_F32 || type == LM_TYPE_F16 || type == LM_TYPE_BF16; }

/* Kept as they are: whatever is no matrix of weights, and the matrices that are small or that do not bear it. */
static bool mix_kept(const lm_tensor *t, bool keep_output)
{
    static const char *const parts[] = {
        "_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj", "ssm_conv1d", "shortconv.conv.weight",
        "indexer.k_proj.weight", "indexer.q_proj.weight", "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight", "time_mix_w2.weight",
        "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight", "time_mix_a0.weight", "time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight",
        "time_mix_g2.weight", "time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight", "attn_rel_b.weight", ".position_embd",
        "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd", ".patch_merger", "a.rvq.codebook", "mm.a.code_embd",
    };
    static const char *const wholes[] = { "position_embd.weight", "token_types.weight" };
    if (t->n_rows == 1 || t->name.len < 6 || memcmp(t->name.ptr + t->name.len - 6, "weight", 6) != 0 || (keep_output && mix_is(t->name, "output.weight")))
        return true;
    for (size_t i = 0; i < LM_COUNT(parts); i++)
        if (mix_has(t->name, parts[i]))
            return true;
    for (size_t i = 0; i < LM_COUNT(wholes); i++)
        if (mix_is(t->name, wholes[i]))
            return true;
    return t->type >= LM_TYPE_I8 && t->type <= LM_TYPE_F64;
}

enum { MIX_OTHER, MIX_OUTPUT, MIX_EMBEDDING, MIX_VALUE, MIX_KEY, MIX_ATTENTION_OUT, MIX_DOWN };

static int mix_role(llm_str name)
{
    if (mix_is(name, "output.weight"))
        return MIX_OUTPUT;
    if (mix_is(name, "token_embd.weight") || mix_is(name, "per_layer_token_embd.weight"))
        return MIX_EMBEDDING;
    if (mix_has(name, "attn_qkv.weight") || mix_has(name, "attn_kv_b.weight") || mix_has(name, "attn_v.weight"))
        return MIX_VALUE;
    if (mix_has(name, "attn_k.weight"))
        return MIX_KEY;
    if (mix_has(name, "attn_output.weight"))
        return MIX_ATTENTION_OUT;
    return mix_has(name, "ffn_down") ? MIX_DOWN : MIX_OTHER;
}

/* "blk.N.": 1 + N; 0 if there is none: those come first. */
static uint32_t mix_layer(llm_str name)
{
    uint32_t layer = 0;
    size_t i = 4;
    if (name.len < 6 || memcmp(name.ptr, "blk.", 4) != 0)
        return 0;
    for (; i < name.len && name.ptr[i] >= '0' && name.ptr[i] <= '9'; i++)
        layer = LM_MIN(layer * 10 + (uint32_t)(name.ptr[i] - '0'), MIX_LAYERS);
    return i > 4 && i < name.len && name.ptr[i] == '.' ? LM_MIN(1 + layer, MIX_LAYERS - 1) : 0;
}

/* ---- the rules */

typedef struct mix_model {
    int32_t  file_type;
    bool     importance, falcon, large, tied;
    uint64_t n_layers, n_shared, n_experts;         /* n_shared: query heads that share a value head */
    uint32_t n_values;                              /* value-like tensors */
} mix_model;

static bool mix_more_bits(uint64_t i, uint64_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

static uint32_t mix_value_type(const mix_model *m, uint32_t type, uint32_t place)
{
    int32_t file = m->file_type;
    if ((file == LLM_FILE_IQ4_NL || file == LLM_FILE_IQ4_XS) && m->n_shared >= 4)
        type = LM_TYPE_Q5_K;
    else if ((file == LLM_FILE_Q4_K_M || file == LLM_FILE_Q5_K_M) && mix_more_bits(place, m->n_values))
        type = LM_TYPE_Q6_K;
    else if (file == LLM_FILE_Q4_K_S && place < 4)
        type = LM_TYPE_Q5_K;
    if (m->large && type == LM_TYPE_Q4_K)
        type = LM_TYPE_Q5_K;
    return m->n_experts == 8 ? LM_TYPE_Q8_0 : type;
}

static uint32_t mix_down_type(const mix_model *m, uint32_t type, uint32_t place)
{
    uint64_t n = m->n_layers;
    bool early = place < n / 8, more = mix_more_bits(place, n);
    switch (m->file_type) {
    case LLM_FILE_Q4_K_M:
        if (m->falcon)
            return place < n / 16 ? LM_TYPE_Q6_K : more ? LM_TYPE_Q5_K : LM_TYPE_Q4_K;
        return more ? LM_TYPE_Q6_K : type;
    case LLM_FILE_Q5_K_M: return more ? LM_TYPE_Q6_K : type;
    case LLM_FILE_Q4_K_S: return early && !m->falcon ? LM_TYPE_Q5_K : type;
    case LLM_FILE_IQ4_NL:
    case LLM_FILE_IQ4_XS: return early && !m->importance ? LM_TYPE_Q5_K : type;
    case LLM_FILE_Q4_0: return early && m->importance ? LM_TYPE_Q4_1 : type;
    case LLM_FILE_Q5_0: return early && m->importance ? LM_TYPE_Q5_1 : type;
    default: return type;
    }
}

static uint32_t mix_type(const mix_model *m, uint32_t type, const lm_tensor *t, uint32_t place)
{
    int role = mix_role(t->name);
    int32_t file = m->file_type;
    if (role == MIX_OUTPUT || (role == MIX_EMBEDDING && m->tied))
        return m->falcon || t->ne[0] % lm_type_get(type)->block != 0 || type == LM_TYPE_Q8_0 ? LM_TYPE_Q8_0 : LM_TYPE_Q6_K;
    if (role == MIX_VALUE)
        return mix_value_type(m, type, place);
    if (role == MIX_KEY && m->n_experts == 8)
        return LM_TYPE_Q8_0;
    if (role == MIX_DOWN)
        return mix_down_type(m, type, place);
    if (role == MIX_ATTENTION_OUT && !m->falcon && m->n_experts == 8 &&
        (file == LLM_FILE_Q4_K_S || file == LLM_FILE_Q4_K_M || file == LLM_FILE_IQ4_NL || file == LLM_FILE_IQ4_XS))
        return LM_TYPE_Q5_K;
    return type;
}

/* Rows that are no multiple of the block. */
static uint32_t mix_fitting(uint32_t type, uint64_t n)
{
    if (n % lm_type_get(type)->block == 0)
        return type;
    switch (type) {
    case LM_TYPE_Q4_K: type = LM_TYPE_Q5_0; break;
    case LM_TYPE_Q5_K: type = LM_TYPE_Q5_1; break;
    case LM_TYPE_Q6_K: type = LM_TYPE_Q8_0; break;
    case LM_TYPE_IQ4_XS: type = LM_TYPE_IQ4_NL; break;
    default: break;
    }
    return n % lm_type_get(type)->block == 0 ? type : LM_TYPE_F16;
}

/* ---- what the keys say */

static llm_status mix_number(const lm_catalogue *c, const char *arch, const char *suffix, uint64_t absent, uint64_t *out, llm_error *error)
{
    char key[128];
    llm_status status;
    lm_print(key, sizeof key, "%s.%s", arch, suffix);
    *out = absent;
    status = lm_catalogue_u64(c, key, 0, 0, UINT32_MAX, out, error);
    return status == LLM_E_NOT_FOUND ? LLM_OK : status;
}

static llm_status mix_read(const lm_catalogue *c, const lm_mix *mix, mix_model *m, llm_error *error)
{
    uint64_t heads, kv_heads;
    llm_str arch = { "", 0 };
    llm_status status = lm_catalogue_str(c, "general.architecture", &arch, error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    if (arch.len > 64 || memchr(arch.ptr, 0, arch.len))
        return lm_fail_at(error, LLM_E_FORMAT, "general.architecture", 20, UINT64_MAX, "key 'general.architecture' is no name of an architecture");
    LM_TRY(mix_number(c, arch.ptr, "block_count", 0, &m->n_layers, error));
    LM_TRY(mix_number(c, arch.ptr, "expert_count", 0, &m->n_experts, error));
    LM_TRY(mix_number(c, arch.ptr, "attention.head_count", 0, &heads, error));
    LM_TRY(mix_number(c, arch.ptr, "attention.head_count_kv", heads, &kv_heads, error));
    m->n_shared = kv_heads ? heads / kv_heads : 0;
    m->file_type = mix->file_type;
    m->importance = mix->importance;
    m->falcon = mix_is(arch, "falcon");
    m->large = m->n_layers == 80 && ((mix_is(arch, "llama") && heads != kv_heads) || mix_is(arch, "qwen2") || mix_is(arch, "deci") || mix_is(arch, "olmo"));
    m->tied = !lm_catalogue_tensor(c, "output.weight");
    return LLM_OK;
}

llm_status lm_mix_types(const lm_catalogue *catalogue, const lm_mix *mix, uint32_t *types, uint32_t *wanted, llm_error *error)
{
    size_t file = mix_find(mix->file_type);
    mix_model model = { 0 };
    uint32_t *places;                   /* of each layer: how many value-like and down tensors come before it, then counted on */
    lm_mem *mem = &catalogue->host->mem;
    if (file == LM_COUNT(mix_files))
        return lm_fail(error, LLM_E_INVALID, "there is no file type %d: expected LLM_FILE_*", mix->file_type);
    LM_TRY(mix_read(catalogue, mix, &model, error));
    places = lm_mem_new_array(mem, 2 * (MIX_LAYERS + 1), sizeof *places, LLM_MEMORY_OTHER);
    if (!places)
        return lm_fail_memory(error, "the places of tensors among the layers", 2 * (MIX_LAYERS + 1) * sizeof *places);
    uint32_t *values = places, *downs = places + MIX_LAYERS + 1;
    for (size_t i = 0; i < catalogue->n_tensors; i++) {
        const lm_tensor *t = &catalogue->tensors[i];
        int role = mix_role(t->name);
        model.n_values += role == MIX_VALUE;
        if ((role == MIX_VALUE || role == MIX_DOWN) && !mix_kept(t, mix->keep_output))
            (role == MIX_VALUE ? values : downs)[mix_layer(t->name) + 1]++;
    }
    for (size_t layer = 1; layer <= MIX_LAYERS; layer++) {
        values[layer] += values[layer - 1];
        downs[layer] += downs[layer - 1];
    }
    for (size_t i = 0; i < catalogue->n_tensors; i++) {
        const lm_tensor *t = &catalogue->tensors[i];
        uint32_t layer = mix_layer(t->name), place = 0, type = mix_files[file].type;
        int role = mix_role(t->name);
        if (mix_kept(t, mix->keep_output)) {
            types[i] = wanted[i] = t->type;
            continue;
        }
        if (role == MIX_VALUE)
            place = values[layer]++;
        if (role == MIX_DOWN)           /* many tensors a layer where there are experts: there the layer itself counts */
            place = model.n_experts > 1 ? (layer ? layer - 1 : 0) : downs[layer]++;
        if (!mix->pure && !mix_plain_type(type))
            type = mix_type(&model, type, t, place);
        wanted[i] = type;
        types[i] = mix_fitting(type, t->ne[0]);
    }
    lm_mem_free(mem, places);
    return LLM_OK;
}
