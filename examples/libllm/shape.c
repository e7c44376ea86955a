/* SPDX-License-Identifier: MIT
 * Random weights, made where they are read: every block of a tensor is a function of (tensor, block number). The header is built
 * once. Shapes are those of the models' published configurations. */
#include "shape.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {                                  /* GGUF ids */
    SHAPE_F32 = 0, SHAPE_F16 = 1, SHAPE_Q4_0 = 2, SHAPE_Q4_1 = 3, SHAPE_Q5_0 = 6, SHAPE_Q5_1 = 7, SHAPE_Q8_0 = 8, SHAPE_Q2_K = 10, SHAPE_Q3_K = 11,
    SHAPE_Q4_K = 12, SHAPE_Q5_K = 13, SHAPE_Q6_K = 14, SHAPE_IQ4_NL = 20, SHAPE_IQ4_XS = 23, SHAPE_BF16 = 30, SHAPE_MXFP4 = 39
};
enum { SHAPE_ALIGN = 32, SHAPE_LEVELS = 4096, SHAPE_MAX_BLOCK = 210 };

typedef struct shape_info {
    const char *name, *arch, *like;
    uint32_t dim, layers, heads, kv, head, ffn, vocab, ctx, experts, used;
    double theta, eps, rope_factor;     /* rope_factor: Llama 3's, 0: none */
    bool tied;                          /* the output matrix is the embedding */
} shape_info;

static const shape_info shapes[] = {
    { "tiny", "llama", "a toy", 256, 2, 4, 2, 64, 512, 4096, 2048, 0, 0, 1e5, 1e-5, 0, true },
    { "tiny-qwen3", "qwen3", "a toy", 256, 2, 4, 2, 128, 512, 4096, 2048, 0, 0, 1e6, 1e-6, 0, false },
    { "tiny-moe", "llama", "a toy with experts", 256, 2, 4, 2, 64, 256, 4096, 2048, 4, 2, 1e6, 1e-5, 0, false },
    { "135m", "llama", "SmolLM2-135M", 576, 30, 9, 3, 64, 1536, 49152, 8192, 0, 0, 1e5, 1e-5, 0, true },
    { "0.6b", "qwen3", "Qwen3-0.6B", 1024, 28, 16, 8, 128, 3072, 151936, 40960, 0, 0, 1e6, 1e-6, 0, true },
    { "1b", "llama", "Llama-3.2-1B", 2048, 16, 32, 8, 64, 8192, 128256, 131072, 0, 0, 5e5, 1e-5, 32, true },
    { "3b", "llama", "Llama-3.2-3B", 3072, 28, 24, 8, 128, 8192, 128256, 131072, 0, 0, 5e5, 1e-5, 32, true },
    { "8b", "llama", "Llama-3.1-8B", 4096, 32, 32, 8, 128, 14336, 128256, 131072, 0, 0, 5e5, 1e-5, 8, false },
};

/* Named as quantizers name them: most matrices have `most`; the last matrix `output`; with `mixed`, half of the layers'
 * attn_v and ffn_down have `better` (as Q4_K_M has it). */
static const struct shape_type { const char *name; uint32_t most, output, better, file_type; bool mixed; } shape_types[] = {
    { "f32", SHAPE_F32, SHAPE_F32, 0, 0, false },
    { "f16", SHAPE_F16, SHAPE_F16, 0, 1, false },
    { "bf16", SHAPE_BF16, SHAPE_BF16, 0, 32, false },
    { "q8_0", SHAPE_Q8_0, SHAPE_Q8_0, 0, 7, false },
    { "q4_0", SHAPE_Q4_0, SHAPE_Q6_K, 0, 2, false },
    { "q4_1", SHAPE_Q4_1, SHAPE_Q6_K, 0, 3, false },
    { "q5_0", SHAPE_Q5_0, SHAPE_Q6_K, 0, 8, false },
    { "q5_1", SHAPE_Q5_1, SHAPE_Q6_K, 0, 9, false },
    { "iq4_nl", SHAPE_IQ4_NL, SHAPE_Q6_K, 0, 25, false },
    { "mxfp4", SHAPE_MXFP4, SHAPE_Q8_0, 0, 38, false },
    { "q2_k", SHAPE_Q2_K, SHAPE_Q2_K, 0, 21, false },
    { "q3_k", SHAPE_Q3_K, SHAPE_Q3_K, 0, 11, false },
    { "q4_k", SHAPE_Q4_K, SHAPE_Q4_K, 0, 14, false },
    { "q5_k", SHAPE_Q5_K, SHAPE_Q5_K, 0, 16, false },
    { "q6_k", SHAPE_Q6_K, SHAPE_Q6_K, 0, 18, false },
    { "iq4_xs", SHAPE_IQ4_XS, SHAPE_IQ4_XS, 0, 30, false },
    { "q4_k_m", SHAPE_Q4_K, SHAPE_Q6_K, SHAPE_Q6_K, 15, true },
    { "q5_k_m", SHAPE_Q5_K, SHAPE_Q6_K, SHAPE_Q6_K, 17, true },
};

/* Blocks. Random bits with scale 1, and the minimum that makes the mean near 0, have the deviation `deviation`: so the scale follows
 * from the deviation that is wanted. `narrow` stands for the type where its block does not divide a row. */
enum { SHAPE_NONE = 0xffff };
static const struct shape_format { uint32_t type, block, bytes, scale, min, narrow; double deviation, ratio; } shape_formats[] = {
    { SHAPE_F32, 1, 4, SHAPE_NONE, SHAPE_NONE, SHAPE_F32, 0, 0 },
    { SHAPE_F16, 1, 2, SHAPE_NONE, SHAPE_NONE, SHAPE_F16, 0, 0 },
    { SHAPE_BF16, 1, 2, SHAPE_NONE, SHAPE_NONE, SHAPE_BF16, 0, 0 },
    { SHAPE_Q4_0, 32, 18, 0, SHAPE_NONE, SHAPE_Q8_0, 4.64, 0 },
    { SHAPE_Q4_1, 32, 20, 0, 2, SHAPE_Q8_0, 4.61, -7.5 },
    { SHAPE_Q5_0, 32, 22, 0, SHAPE_NONE, SHAPE_Q8_0, 9.24, 0 },
    { SHAPE_Q5_1, 32, 24, 0, 2, SHAPE_Q8_0, 9.23, -15.5 },
    { SHAPE_Q8_0, 32, 34, 0, SHAPE_NONE, SHAPE_Q8_0, 73.3, 0 },
    { SHAPE_IQ4_NL, 32, 18, 0, SHAPE_NONE, SHAPE_Q8_0, 67.2, 0 },
    { SHAPE_MXFP4, 32, 17, SHAPE_NONE, SHAPE_NONE, SHAPE_Q8_0, 5.85, 0 },       /* a power of two for a scale */
    { SHAPE_Q2_K, 256, 84, 80, 82, SHAPE_Q4_0, 13.9, 1.5 },
    { SHAPE_Q3_K, 256, 110, 108, SHAPE_NONE, SHAPE_Q4_0, 43.4, 0 },
    { SHAPE_Q4_K, 256, 144, 0, 2, SHAPE_Q5_0, 259, 7.5 },
    { SHAPE_Q5_K, 256, 176, 0, 2, SHAPE_Q5_1, 527, 15.5 },
    { SHAPE_Q6_K, 256, 210, 208, SHAPE_NONE, SHAPE_Q8_0, 1369, 0 },
    { SHAPE_IQ4_XS, 256, 136, 0, SHAPE_NONE, SHAPE_IQ4_NL, 1250, 0 },
};

static const struct shape_format *shape_format(uint32_t type)
{
    size_t i = 0;
    while (shape_formats[i].type != type)
        i++;
    return &shape_formats[i];
}

typedef struct shape_tensor {
    char     name[48];
    uint32_t type, n_dims;
    uint64_t dims[3], n_blocks, bytes, offset;  /* dims[0] contiguous; offset in the file */
    uint64_t seed;
    double   std;                       /* 0: a norm, near 1; < 0: RoPE factors */
    uint16_t *levels;                   /* f16, bf16: SHAPE_LEVELS values to draw from */
} shape_tensor;

struct shape_model {
    const shape_info *info;
    unsigned char *header;
    size_t header_bytes, header_cap;
    bool failed;                        /* no memory while the header was built */
    shape_tensor *tensors;
    uint32_t n_tensors;
    uint64_t bytes;
};

/* ---- numbers ---------------------------------------------------------------------------------------------------------- */

static uint64_t shape_mix(uint64_t x)   /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void shape_random(uint64_t *state, unsigned char *out, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = shape_mix((*state)++);
        for (size_t j = 0; j < 8 && i + j < n; j++)
            out[i + j] = (unsigned char)(word >> (8 * j));
    }
}

/* The f16 next below in size; for values within its range. */
static uint16_t shape_f16(double value)
{
    uint16_t sign = value < 0 ? 0x8000 : 0;
    int exponent;
    double fraction = frexp(fabs(value), &exponent);     /* value = fraction * 2^exponent, 0.5 <= fraction < 1 */

    if (value == 0)
        return sign;
    if (exponent < -13)                                  /* subnormal: units of 2^-24 */
        return (uint16_t)(sign | (uint16_t)(fabs(value) * 16777216.0 + 0.5));
    return (uint16_t)(sign | (uint16_t)(((exponent + 14) << 10) + (int)((fraction * 2 - 1) * 1024)));
}

static uint32_t shape_f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void shape_put(unsigned char *out, uint64_t value, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = (unsigned char)(value >> (8 * i));
}

static float shape_rope_factor(const shape_info *s, uint32_t i)
{
    const double pi = 3.14159265358979323846;
    double length = 2 * pi * pow(s->theta, 2.0 * i / s->head);
    double smooth = (8192 / length - 1) / 3;

    if (length < 2048)
        return 1;
    if (length > 8192)
        return (float)s->rope_factor;
    return (float)(1 / ((1 - smooth) / s->rope_factor + smooth));
}

/* One block's bytes. Scales vary by a quarter and are finite; integers are uniform over what a quantizer writes. */
static void shape_make_block(const shape_model *m, const shape_tensor *t, uint64_t block, unsigned char *out)
{
    uint64_t state = t->seed + block * 32;
    double vary = 0.75 + (double)(shape_mix(~state) >> 56) / 512;

    if (t->type == SHAPE_F32) {
        double unit = (double)(shape_mix(state) >> 11) * 0x1p-53 * 2 - 1;
        float value = t->std < 0 ? shape_rope_factor(m->info, (uint32_t)block) : t->std > 0 ? (float)(unit * 1.7320508 * t->std) : (float)(1 + 0.08 * unit);
        shape_put(out, shape_f32_bits(value), 4);
        return;
    }
    if (t->levels) {
        shape_put(out, t->levels[shape_mix(state) >> 52], 2);
        return;
    }
    const struct shape_format *f = shape_format(t->type);
    double scale = t->std / f->deviation * vary;
    shape_random(&state, out, f->bytes);
    if (f->scale != SHAPE_NONE)
        shape_put(out + f->scale, shape_f16(scale), 2);
    if (f->min != SHAPE_NONE)
        shape_put(out + f->min, shape_f16(scale * f->ratio), 2);
    if (t->type == SHAPE_MXFP4) {
        int exponent;
        frexp(scale, &exponent);
        out[0] = (unsigned char)(127 + exponent);
    }
    for (int i = 2; t->type == SHAPE_Q8_0 && i < 34; i++)
        if (out[i] == 0x80)                             /* quantizers write -127..127 */
            out[i] = 0;
}

llm_status shape_read(void *user, uint64_t offset, void *out, size_t n)
{
    const shape_model *m = user;
    unsigned char *p = out;

    if (offset > m->bytes || n > m->bytes - offset)
        return LLM_E_IO;
    if (offset < m->header_bytes && n > 0) {
        size_t part = m->header_bytes - (size_t)offset < n ? m->header_bytes - (size_t)offset : n;
        memcpy(p, m->header + offset, part);
        p += part, n -= part, offset += part;
    }
    while (n > 0) {
        uint32_t low = 0, high = m->n_tensors;          /* the last tensor that begins at or before offset */
        while (high - low > 1) {
            uint32_t middle = low + (high - low) / 2;
            if (m->tensors[middle].offset <= offset)
                low = middle;
            else
                high = middle;
        }
        const shape_tensor *t = &m->tensors[low];
        uint64_t at = offset - t->offset;
        uint32_t size = shape_format(t->type)->bytes;
        if (at >= t->bytes) {                           /* padding after it */
            uint64_t end = (t->bytes + SHAPE_ALIGN - 1) / SHAPE_ALIGN * SHAPE_ALIGN;
            size_t part = end - at < n ? (size_t)(end - at) : n;
            memset(p, 0, part);
            p += part, n -= part, offset += part;
            continue;
        }
        uint64_t block = at / size;
        while (n > 0 && block < t->n_blocks) {
            unsigned char whole[SHAPE_MAX_BLOCK];
            uint32_t from = (uint32_t)(at - block * size);
            size_t part = size - from < n ? size - from : n;
            shape_make_block(m, t, block, part == size ? p : whole);
            if (part != size)
                memcpy(p, whole + from, part);
            p += part, n -= part, offset += part, at += part;
            block++;
        }
    }
    return LLM_OK;
}

/* ---- the header --------------------------------------------------------------------------------------------------------- */

static void shape_add(shape_model *m, const void *data, size_t n)
{
    if (m->failed)
        return;
    if (m->header_cap - m->header_bytes < n) {
        size_t cap = (m->header_cap + n) * 2;
        unsigned char *grown = realloc(m->header, cap);
        if (!grown) {
            m->failed = true;
            return;
        }
        m->header = grown;
        m->header_cap = cap;
    }
    memcpy(m->header + m->header_bytes, data, n);
    m->header_bytes += n;
}

static void shape_add_int(shape_model *m, uint64_t value, int n)
{
    unsigned char bytes[8];
    shape_put(bytes, value, n);
    shape_add(m, bytes, (size_t)n);
}

static void shape_add_string(shape_model *m, const char *text, size_t n)
{
    shape_add_int(m, n, 8);
    shape_add(m, text, n);
}

enum { SHAPE_KV_U32 = 4, SHAPE_KV_I32 = 5, SHAPE_KV_F32 = 6, SHAPE_KV_BOOL = 7, SHAPE_KV_STRING = 8, SHAPE_KV_ARRAY = 9 };

static void shape_key(shape_model *m, const char *prefix, const char *key, uint32_t type)
{
    char name[96];
    int n = snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", key);
    shape_add_string(m, name, (size_t)n);
    shape_add_int(m, type, 4);
}

static void shape_key_u32(shape_model *m, const char *prefix, const char *key, uint32_t value)
{
    shape_key(m, prefix, key, SHAPE_KV_U32);
    shape_add_int(m, value, 4);
}

static void shape_key_f32(shape_model *m, const char *prefix, const char *key, double value)
{
    shape_key(m, prefix, key, SHAPE_KV_F32);
    shape_add_int(m, shape_f32_bits((float)value), 4);
}

static void shape_key_string(shape_model *m, const char *prefix, const char *key, const char *value)
{
    shape_key(m, prefix, key, SHAPE_KV_STRING);
    shape_add_string(m, value, strlen(value));
}

/* The character that byte-level BPE writes for a byte: printable ones for themselves, the others from U+0100 on, in order. */
static uint32_t shape_byte_character(int byte)
{
    uint32_t next = 256;

    for (int b = 0; b < 256; b++) {
        bool itself = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
        if (b == byte)
            return itself ? (uint32_t)b : next;
        next += !itself;
    }
    return 0;
}

/* Token i: the 256 bytes, a space with b, words of two syllables and more, an end token. Returns its length. */
static size_t shape_token(uint32_t i, uint32_t n_vocab, char out[32])
{
    static const char consonants[] = "bdfgklmnprstvz", vowels[] = "aeiou";

    if (i < 256) {
        uint32_t c = shape_byte_character((int)i);
        if (c < 0x80) {
            out[0] = (char)c;
            return 1;
        }
        out[0] = (char)(0xc0 | (c >> 6));
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (i == n_vocab - 1) {
        memcpy(out, "<|end|>", 7);
        return 7;
    }
    size_t n = 0;
    out[n++] = (char)0xc4;                              /* U+0120, the space */
    out[n++] = (char)0xa0;
    if (i == 256) {
        out[n++] = 'b';
        return n;
    }
    for (uint32_t rest = i - 257 + 70; rest > 0; rest /= 70) {
        out[n++] = consonants[rest % 70 / 5];
        out[n++] = vowels[rest % 5];
    }
    return n;
}

static void shape_add_keys(shape_model *m, const struct shape_type *type)
{
    const shape_info *s = m->info;
    char name[64], token[32];

    snprintf(name, sizeof name, "random weights in the shape of %s", s->like);
    shape_key_string(m, "general", "architecture", s->arch);
    shape_key_string(m, "general", "name", name);
    shape_key_u32(m, "general", "file_type", type->file_type);
    shape_key_u32(m, "general", "quantization_version", 2);
    shape_key_u32(m, s->arch, "block_count", s->layers);
    shape_key_u32(m, s->arch, "context_length", s->ctx);
    shape_key_u32(m, s->arch, "embedding_length", s->dim);
    shape_key_u32(m, s->arch, "feed_forward_length", s->ffn);
    shape_key_u32(m, s->arch, "attention.head_count", s->heads);
    shape_key_u32(m, s->arch, "attention.head_count_kv", s->kv);
    shape_key_u32(m, s->arch, "attention.key_length", s->head);
    shape_key_u32(m, s->arch, "attention.value_length", s->head);
    shape_key_f32(m, s->arch, "attention.layer_norm_rms_epsilon", s->eps);
    shape_key_u32(m, s->arch, "rope.dimension_count", s->head);
    shape_key_f32(m, s->arch, "rope.freq_base", s->theta);
    shape_key_u32(m, s->arch, "vocab_size", s->vocab);
    shape_key_u32(m, s->arch, "expert_count", s->experts);
    shape_key_u32(m, s->arch, "expert_used_count", s->used);
    shape_key_string(m, "tokenizer.ggml", "model", "gpt2");
    shape_key_string(m, "tokenizer.ggml", "pre", "gpt-2");
    shape_key(m, "tokenizer.ggml", "tokens", SHAPE_KV_ARRAY);
    shape_add_int(m, SHAPE_KV_STRING, 4);
    shape_add_int(m, s->vocab, 8);
    for (uint32_t i = 0; i < s->vocab; i++)
        shape_add_string(m, token, shape_token(i, s->vocab, token));
    shape_key(m, "tokenizer.ggml", "token_type", SHAPE_KV_ARRAY);
    shape_add_int(m, SHAPE_KV_I32, 4);
    shape_add_int(m, s->vocab, 8);
    for (uint32_t i = 0; i < s->vocab; i++)
        shape_add_int(m, i == s->vocab - 1 ? 3 : 1, 4);
    shape_key(m, "tokenizer.ggml", "merges", SHAPE_KV_ARRAY);      /* one: other text is encoded byte by byte */
    shape_add_int(m, SHAPE_KV_STRING, 4);
    shape_add_int(m, 1, 8);
    shape_add_string(m, "\xc4\xa0 b", 4);
    shape_key_u32(m, "tokenizer.ggml", "bos_token_id", s->vocab - 1);
    shape_key_u32(m, "tokenizer.ggml", "eos_token_id", s->vocab - 1);
    shape_key(m, "tokenizer.ggml", "add_bos_token", SHAPE_KV_BOOL);
    shape_add_int(m, 0, 1);
}
enum { SHAPE_N_KEYS = 26 };               /* that shape_add_keys writes */

/* ---- tensors ------------------------------------------------------------------------------------------------------------ */

static uint32_t shape_fit(uint32_t type, uint64_t row)
{
    return row % shape_format(type)->block == 0 ? type : shape_format(type)->narrow;
}

static void shape_tensor_add(shape_model *m, uint32_t type, double std, uint64_t d0, uint64_t d1, uint64_t d2, const char *name)
{
    shape_tensor *t = &m->tensors[m->n_tensors++];

    snprintf(t->name, sizeof t->name, "%s", name);
    t->type = shape_fit(type, d0);
    t->dims[0] = d0;
    t->dims[1] = d1;
    t->dims[2] = d2;
    t->n_dims = d2 > 1 ? 3 : d1 > 1 ? 2 : 1;
    t->n_blocks = d0 / shape_format(t->type)->block * d1 * d2;
    t->bytes = t->n_blocks * shape_format(t->type)->bytes;
    t->std = std;
}

static bool shape_better(uint32_t layer, uint32_t n)               /* the layers to which Q4_K_M gives more */
{
    return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
}

static void shape_add_tensors(shape_model *m, const struct shape_type *type)
{
    const shape_info *s = m->info;
    uint64_t q = (uint64_t)s->heads * s->head, kv = (uint64_t)s->kv * s->head, experts = s->experts ? s->experts : 1;
    double residual = 1 / sqrt(2.0 * s->layers), in = 1 / sqrt((double)s->dim);

    shape_tensor_add(m, s->tied ? type->output : type->most, in, s->dim, s->vocab, 1, "token_embd.weight");
    shape_tensor_add(m, SHAPE_F32, 0, s->dim, 1, 1, "output_norm.weight");
    if (!s->tied)
        shape_tensor_add(m, type->output, in, s->dim, s->vocab, 1, "output.weight");
    if (s->rope_factor > 0)
        shape_tensor_add(m, SHAPE_F32, -1, s->head / 2, 1, 1, "rope_freqs.weight");
    for (uint32_t i = 0; i < s->layers; i++) {
        uint32_t better = type->mixed && shape_better(i, s->layers) ? type->better : type->most;
        const char *tail = s->experts ? "_exps" : "";
        char name[48];
#define NAMED(...) (snprintf(name, sizeof name, __VA_ARGS__), name)
        shape_tensor_add(m, SHAPE_F32, 0, s->dim, 1, 1, NAMED("blk.%u.attn_norm.weight", i));
        shape_tensor_add(m, type->most, in, s->dim, q, 1, NAMED("blk.%u.attn_q.weight", i));
        shape_tensor_add(m, type->most, in, s->dim, kv, 1, NAMED("blk.%u.attn_k.weight", i));
        shape_tensor_add(m, better, in, s->dim, kv, 1, NAMED("blk.%u.attn_v.weight", i));
        shape_tensor_add(m, type->most, residual / sqrt((double)q), q, s->dim, 1, NAMED("blk.%u.attn_output.weight", i));
        if (strcmp(s->arch, "qwen3") == 0) {
            shape_tensor_add(m, SHAPE_F32, 0, s->head, 1, 1, NAMED("blk.%u.attn_q_norm.weight", i));
            shape_tensor_add(m, SHAPE_F32, 0, s->head, 1, 1, NAMED("blk.%u.attn_k_norm.weight", i));
        }
        shape_tensor_add(m, SHAPE_F32, 0, s->dim, 1, 1, NAMED("blk.%u.ffn_norm.weight", i));
        if (s->experts)
            shape_tensor_add(m, SHAPE_F32, in, s->dim, s->experts, 1, NAMED("blk.%u.ffn_gate_inp.weight", i));
        shape_tensor_add(m, type->most, in, s->dim, s->ffn, experts, NAMED("blk.%u.ffn_gate%s.weight", i, tail));
        shape_tensor_add(m, type->most, in, s->dim, s->ffn, experts, NAMED("blk.%u.ffn_up%s.weight", i, tail));
        shape_tensor_add(m, better, residual / sqrt((double)s->ffn), s->ffn, s->dim, experts, NAMED("blk.%u.ffn_down%s.weight", i, tail));
#undef NAMED
    }
}

/* Seeds, levels, offsets, and the table of tensors in the header. */
static void shape_place_tensors(shape_model *m, uint64_t seed)
{
    uint64_t offset = 0;

    for (uint32_t i = 0; i < m->n_tensors; i++) {
        shape_tensor *t = &m->tensors[i];
        t->seed = shape_mix(seed * 1000003u + i) & ~(uint64_t)31;
        if (t->type == SHAPE_F16 || t->type == SHAPE_BF16) {
            t->levels = malloc(SHAPE_LEVELS * sizeof *t->levels);
            if (!t->levels) {
                m->failed = true;
                return;
            }
            for (int k = 0; k < SHAPE_LEVELS; k++) {
                double value = ((k + 0.5) / SHAPE_LEVELS * 2 - 1) * 1.7320508 * t->std;
                t->levels[k] = t->type == SHAPE_F16 ? shape_f16(value) : (uint16_t)(shape_f32_bits((float)value) >> 16);
            }
        }
        shape_add_string(m, t->name, strlen(t->name));
        shape_add_int(m, t->n_dims, 4);
        for (uint32_t d = 0; d < t->n_dims; d++)
            shape_add_int(m, t->dims[d], 8);
        shape_add_int(m, t->type, 4);
        shape_add_int(m, offset, 8);
        t->offset = offset;
        offset += (t->bytes + SHAPE_ALIGN - 1) / SHAPE_ALIGN * SHAPE_ALIGN;
    }
    while (!m->failed && m->header_bytes % SHAPE_ALIGN)
        shape_add_int(m, 0, 1);
    for (uint32_t i = 0; i < m->n_tensors; i++)
        m->tensors[i].offset += m->header_bytes;
    m->bytes = m->header_bytes + offset;
}

shape_model *shape_create(const char *shape, const char *type_name, uint64_t seed, char why[160])
{
    const struct shape_type *type = NULL;
    shape_model *m = calloc(1, sizeof *m);

    for (size_t i = 0; m && i < sizeof shapes / sizeof shapes[0]; i++)
        if (strcmp(shape, shapes[i].name) == 0)
            m->info = &shapes[i];
    for (size_t i = 0; i < sizeof shape_types / sizeof shape_types[0]; i++)
        if (strcmp(type_name, shape_types[i].name) == 0)
            type = &shape_types[i];
    if (m && !m->info) {
        snprintf(why, 160, "there is no shape \"%.40s\": tiny, tiny-qwen3, tiny-moe, 135m, 0.6b, 1b, 3b, 8b", shape);
        shape_free(m);
        return NULL;
    }
    if (!type) {
        snprintf(why, 160, "there is no type \"%.16s\": f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, iq4_nl, mxfp4, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_xs, q4_k_m, q5_k_m",
                 type_name);
        shape_free(m);
        return NULL;
    }
    if (m)
        m->tensors = calloc(m->info->layers * 16 + 8, sizeof *m->tensors);
    if (m && m->tensors) {
        shape_add_tensors(m, type);
        shape_add(m, "GGUF", 4);
        shape_add_int(m, 3, 4);
        shape_add_int(m, m->n_tensors, 8);
        shape_add_int(m, SHAPE_N_KEYS, 8);
        shape_add_keys(m, type);
        shape_place_tensors(m, seed);
    }
    if (!m || !m->tensors || m->failed) {
        snprintf(why, 160, "no memory for the header of random weights");
        shape_free(m);
        return NULL;
    }
    return m;
}

void shape_free(shape_model *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->n_tensors; i++)
        free(m->tensors[i].levels);
    free(m->tensors);
    free(m->header);
    free(m);
}

uint64_t shape_bytes(const shape_model *m) { return m->bytes; }
