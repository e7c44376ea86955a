/* SPDX-License-Identifier: MIT
 * The golden models: their names, what is asked of them, and their expected logits (files of tools/gen_golden.py). */
#ifndef GOLD_H
#define GOLD_H

#include "test.h"

#include <math.h>
#include <stdint.h>

/* max_error: most that a logit may differ, as a share of the largest |logit|, with state in f32. max_kl: mean divergence with state in
 * f16. Float weights have the bars of the project; quantized ones differ by their eight-bit activations, which the reference has not. */
typedef struct gold_model { const char *name; double max_error, max_kl; } gold_model;

static const gold_model gold_models[] = {
    { "llama-tied", 1e-4, 1e-5 },   { "llama-untied", 1e-4, 1e-5 }, { "llama-bias", 1e-4, 1e-5 },    { "llama-rope3", 1e-4, 1e-5 },
    { "llama-linear", 1e-4, 1e-5 }, { "llama-yarn", 1e-4, 1e-5 },   { "mistral", 1e-4, 1e-5 },       { "mixtral", 1e-4, 1e-5 },       { "mixtral-split", 1e-4, 1e-5 },
    { "qwen2-tied", 1e-4, 1e-5 },   { "qwen2-untied", 1e-4, 1e-5 }, { "qwen3moe", 1e-4, 1e-5 },
    { "qwen3-tied", 1e-4, 1e-5 },   { "qwen3-untied", 1e-4, 1e-5 }, { "llama-half", 1e-4, 1e-5 },    { "llama-partial", 1e-4, 1e-5 },
    { "llama-scale", 1e-4, 1e-5 },  { "llama-fused", 1e-4, 1e-5 },   { "phi3-window", 1e-4, 1e-5 },   { "phi3-short", 1e-4, 1e-5 },
    { "gemma", 1e-4, 1e-5 },        { "gemma2", 1e-4, 1e-5 },       { "gemma2-27b", 1e-4, 1e-5 },   { "gemma3", 1e-4, 1e-5 },        { "gemma3-27b", 1e-4, 1e-5 },
    { "qwen2moe", 1e-4, 1e-5 },     { "phi3-long", 1e-4, 1e-5 },      { "llama-q8_0", 0.04, 5e-4 },
    { "llama-q4_0", 0.04, 5e-4 },    { "mixtral-q4_0", 0.04, 5e-4 },  { "qwen3-k", 0.04, 5e-4 },
    { "llama-mixed", 0.04, 5e-4 },   { "qwen3-mixed", 0.04, 5e-4 },   { "mixtral-32", 0.04, 5e-4 }
};
/* The same with state in int8, of any model. Small random models are harsh: heads of few items, scores without sense. */
#define GOLD_INT8_ERROR 0.05
#define GOLD_INT8_KL 3e-3
enum { GOLD_MODELS = sizeof gold_models / sizeof *gold_models };

typedef struct gold { char *file; uint32_t n_tokens, n_positions, n_vocab; const int32_t *tokens, *positions; const float *logits; } gold;

static inline void gold_path(char out[512], const char *name, const char *suffix)
{
    const char *tree = getenv("LLM_TEST_TREE");             /* a test that is run on another machine than it was built on */
    snprintf(out, 512, "%s/golden/data/%s.%s", tree ? tree : LLM_TEST_TREE, name, suffix);
}

/* false: absent or malformed. free(out->file). */
static inline int gold_read(const char *name, gold *out)
{
    char path[512];
    size_t size;
    uint32_t head[4];
    gold_path(path, name, "gold");
    memset(out, 0, sizeof *out);
    out->file = test_read_file(path, &size);
    if (!out->file || size < 24 || memcmp(out->file, "LMGOLD1", 8) != 0)
        return 0;
    memcpy(head, out->file + 8, sizeof head);
    out->n_tokens = head[0];
    out->n_positions = head[1];
    out->n_vocab = head[2];
    out->tokens = (const int32_t *)(const void *)(out->file + 24);
    out->positions = out->tokens + out->n_tokens;
    out->logits = (const float *)(const void *)(out->positions + out->n_positions);
    return size == 24 + 4 * ((size_t)out->n_tokens + out->n_positions + (size_t)out->n_positions * out->n_vocab);
}

/* KL(softmax(a) || softmax(b)) in double. */
static inline double gold_kl(const float *a, const float *b, uint32_t n)
{
    double ma = a[0], mb = b[0], sa = 0, sb = 0, kl = 0;
    for (uint32_t i = 1; i < n; i++) {
        ma = a[i] > ma ? a[i] : ma;
        mb = b[i] > mb ? b[i] : mb;
    }
    for (uint32_t i = 0; i < n; i++) {
        sa += exp(a[i] - ma);
        sb += exp(b[i] - mb);
    }
    for (uint32_t i = 0; i < n; i++)
        kl += exp(a[i] - ma) / sa * ((a[i] - ma - log(sa)) - (b[i] - mb - log(sb)));
    return kl;
}

#endif
