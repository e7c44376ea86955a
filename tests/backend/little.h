/* SPDX-License-Identifier: MIT
 * Little models for tests of backends: programs of a few layers with random weights of every type, loaded in random cuts, and
 * run by a script. And the same computed plainly: row by row, docs/ARITHMETIC.md from its first line to its last, with the reference
 * kernels for products and norms and nothing of the backend's cutting, paging or threading. */
#ifndef TEST_BACKEND_LITTLE_H
#define TEST_BACKEND_LITTLE_H

#include "backend/backend.h"
#include "base/cpu.h"
#include "base/fmath.h"
#include "base/half.h"
#include "base/os.h"
#include "graph/graph.h"
#include "kernels/kernels.h"
#include "test.h"

LM_EXACT_ARITHMETIC

/* Weights lie within +-LITTLE_SIZE. Sums of a hundred terms of 1 and more make scores of hundreds: good for bits, harsh for bounds. */
#ifndef LITTLE_SIZE
#define LITTLE_SIZE 1.0f
#endif

enum { LITTLE_MAX_WEIGHTS = 128, LITTLE_MAX_POSITIONS = 1100 };

typedef struct little_shape {
    uint32_t n_layers, n_embd, n_head, n_head_kv, head_dim, v_dim, n_rot, n_ff, n_vocab, rope;
    uint32_t qk_norm, bias, window, n_expert, n_used, divisors, yarn;
    float softcap, scale, embed_scale;
    uint32_t types[6];                                      /* taken in turn, up to the last that is not F32 */
    uint32_t act, post_norm, shared;                        /* 0: silu; norms after blocks; a gated expert that every row passes */
    float logit_cap;
} little_shape;

static const little_shape little_shapes[] = {
    /* A llama of quantized weights; grouped heads; rope in pairs. */
    { 2, 256, 4, 2, 64, 64, 64, 512, 300, LM_ROPE_PAIRS, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, { LM_TYPE_Q4_0, LM_TYPE_Q8_0, LM_TYPE_Q4_K, LM_TYPE_Q4_1, LM_TYPE_Q5_1 }, 0, 0, 0, 0 },
    /* K-quants and a window that crosses pages and chunks; qk-norm, biases, rope in halves, YaRN. */
    { 2, 256, 6, 2, 32, 48, 24, 256, 77, LM_ROPE_HALVES, 1, 1, 37, 0, 0, 0, 1, 0, 0.5f, 3, { LM_TYPE_Q6_K, LM_TYPE_Q4_K, LM_TYPE_IQ4_XS, LM_TYPE_Q2_K, LM_TYPE_Q5_K, LM_TYPE_Q3_K }, 0, 0, 0, 0 },
    /* Plain floats, odd sizes, soft cap. */
    { 2, 40, 3, 1, 10, 6, 8, 72, 50, LM_ROPE_HALVES, 1, 0, 0, 0, 0, 0, 0, 5, 1, 1, { LM_TYPE_F32, LM_TYPE_F16, LM_TYPE_BF16 }, 0, 0, 0, 0 },
    /* Experts; two sets of divisors, rows of a long context. */
    { 2, 64, 2, 2, 32, 32, 32, 96, 64, LM_ROPE_PAIRS, 0, 0, 0, 5, 3, 2, 0, 0, 1, 1, { LM_TYPE_Q8_0, LM_TYPE_F32, LM_TYPE_Q4_0, LM_TYPE_MXFP4, LM_TYPE_Q5_0, LM_TYPE_IQ4_NL }, 0, 0, 0, 0 },
    /* Norms after blocks, gelu, soft caps of scores and of logits, a window in every other layer. */
    { 2, 64, 4, 2, 32, 32, 32, 160, 90, LM_ROPE_HALVES, 1, 0, 29, 0, 0, 0, 0, 3, 1, 8, { LM_TYPE_Q8_0, LM_TYPE_F32, LM_TYPE_F16 }, LM_ACT_GELU, 1, 0, 7 },
    /* Experts with gelu and one that is shared, behind a gate. */
    { 2, 64, 2, 1, 32, 32, 32, 96, 50, LM_ROPE_HALVES, 0, 1, 0, 4, 2, 0, 0, 0, 1, 1, { LM_TYPE_F32, LM_TYPE_Q4_0, LM_TYPE_Q8_0 }, LM_ACT_GELU, 0, 1, 0 },
};

typedef struct little_rng { uint64_t state; } little_rng;

static inline uint32_t little_random(little_rng *r)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(r->state >> 33);
}
static inline float little_float(little_rng *r) { return (float)little_random(r) / 1073741824.0f - 1.0f; }      /* [-1, 1) */
static inline uint32_t little_below(little_rng *r, uint32_t n) { return little_random(r) % n; }

typedef struct little {
    little_shape shape;
    lm_host host;
    lm_program *program;
    uint8_t *bytes[LITTLE_MAX_WEIGHTS];                     /* as in a file */
    uint8_t *packed[LITTLE_MAX_WEIGHTS];                    /* by the reference, for the plain computation; vectors: f32 */
    lm_kernels ref;
    little_rng rng;
} little;

/* ---- weights ------------------------------------------------------------------------------------------------------------ */

static inline void little_row(little_rng *r, uint32_t type, uint64_t n, uint8_t *out, float size)
{
    const lm_type_info *info = lm_type_get(type);
    for (uint64_t b = 0; b < n / info->block; b++, out += info->block_bytes) {
        uint16_t d = lm_f16_from_f32(little_float(r) * size);
        for (uint32_t i = 0; i < info->block_bytes; i++)
            out[i] = (uint8_t)little_random(r);
        if (type == LM_TYPE_F32) {
            float x = little_float(r) * size;
            memcpy(out, &x, 4);
        } else if (type == LM_TYPE_F16 || type == LM_TYPE_BF16) {
            if (type == LM_TYPE_BF16)
                d = (uint16_t)(lm_bits_from_f32(little_float(r) * size) >> 16);
            memcpy(out, &d, 2);
        } else {
            /* Scales that make values of about `size`: where the f16 stand, one or two, and what one unit of them is worth. */
            static const struct { uint32_t type, at, n; float unit; } scales[] = {
                { LM_TYPE_Q4_0, 0, 1, 0.15f },  { LM_TYPE_Q4_1, 0, 2, 0.08f },  { LM_TYPE_Q5_0, 0, 1, 0.08f },   { LM_TYPE_Q5_1, 0, 2, 0.04f },
                { LM_TYPE_Q8_0, 0, 1, 0.01f },  { LM_TYPE_IQ4_NL, 0, 1, 0.01f }, { LM_TYPE_Q2_K, 80, 2, 0.03f },  { LM_TYPE_Q3_K, 108, 1, 0.01f },
                { LM_TYPE_Q4_K, 0, 2, 0.004f }, { LM_TYPE_Q5_K, 0, 2, 0.002f }, { LM_TYPE_Q6_K, 208, 1, 0.001f }, { LM_TYPE_IQ4_XS, 0, 1, 0.0006f },
            };
            for (size_t i = 0; i < LM_COUNT(scales); i++)
                for (uint32_t j = 0; type == scales[i].type && j < scales[i].n; j++) {
                    d = lm_f16_from_f32(little_float(r) * size * scales[i].unit);
                    memcpy(out + scales[i].at + 2 * j, &d, 2);
                }
            if (type == LM_TYPE_MXFP4)
                out[0] = (uint8_t)(122 + little_below(r, 5));
        }
    }
}

static inline uint64_t little_row_bytes(const lm_weight_info *info)
{
    uint64_t bytes = 0;
    lm_type_row_bytes(info->type, info->n_cols, &bytes);
    return bytes;
}

static inline int32_t little_weight(little *m, lm_graph *graph, uint32_t type, bool vector, uint64_t n_rows, uint64_t n_cols)
{
    lm_weight_info info = { vector ? "a vector" : "a matrix", type, vector, n_rows, n_cols, 0 };
    int32_t w = lm_graph_weight(graph, &info);
    if (w < 0 || w >= LITTLE_MAX_WEIGHTS)
        return LM_NONE;
    uint64_t row = little_row_bytes(&info), groups = (n_rows + 15) / 16;
    m->bytes[w] = malloc((size_t)(row * n_rows));
    m->packed[w] = malloc((size_t)(vector ? n_cols * 4 : lm_group_bytes(type, (size_t)n_cols) * groups));
    for (uint64_t r = 0; r < n_rows; r++)
        little_row(&m->rng, type, n_cols, m->bytes[w] + r * row, vector ? 2.0f : LITTLE_SIZE);
    if (vector) {
        for (uint64_t i = 0; i < n_cols; i++) {
            float x;
            if (type == LM_TYPE_F32)
                memcpy(&x, m->bytes[w] + 4 * i, 4);
            else {
                uint16_t h;
                memcpy(&h, m->bytes[w] + 2 * i, 2);
                x = lm_f32_from_f16(h);
            }
            memcpy(m->packed[w] + 4 * i, &x, 4);
        }
        return w;
    }
    for (uint64_t g = 0; g < groups; g++)
        m->ref.pack[type](m->packed[w] + g * lm_group_bytes(type, (size_t)n_cols), m->bytes[w] + g * 16 * row, (size_t)row,
                          (size_t)LM_MIN(16, n_rows - g * 16), (size_t)n_cols);
    return w;
}

/* ---- the program -------------------------------------------------------------------------------------------------------------- */

typedef struct little_build { little *m; lm_graph *graph; int32_t angles, next_type; } little_build;

static inline uint32_t little_type(little_build *b)
{
    const uint32_t *types = b->m->shape.types;
    int32_t n = 6;
    while (n > 1 && types[n - 1] == LM_TYPE_F32)
        n--;
    return types[b->next_type++ % n];
}

static inline int32_t little_matrix(little_build *b, uint64_t n_rows, uint64_t n_cols)
{
    return little_weight(b->m, b->graph, little_type(b), false, n_rows, n_cols);
}
static inline int32_t little_vector(little_build *b, uint64_t n)
{
    return little_weight(b->m, b->graph, b->next_type % 2 ? LM_TYPE_F32 : LM_TYPE_F16, true, 1, n);
}

static inline uint32_t little_act(const little_build *b) { return b->m->shape.act ? b->m->shape.act : LM_ACT_SILU; }

/* Ends a block: x + y, or x + norm(y). `op` is a linear of one matrix that makes y. */
static inline int32_t little_end(little_build *b, int32_t x, lm_op *op, int32_t layer)
{
    uint32_t n = b->m->shape.n_embd;
    op->u.linear.epilogue = b->m->shape.post_norm ? LM_EPILOGUE_NONE : LM_EPILOGUE_RESIDUAL;
    op->in[1] = b->m->shape.post_norm ? LM_NONE : x;
    op->out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, n);
    lm_graph_op(b->graph, op);
    if (!b->m->shape.post_norm)
        return op->out[0];
    lm_op norm = lm_op_init(LM_OP_NORM, LM_ROWS_ALL, layer);
    norm.u.norm = (lm_op_norm){ LM_NORM_RMS, 1e-6f };
    norm.in[0] = op->out[0];
    norm.in[1] = layer % 2 ? x : LM_NONE;
    norm.weight[3] = little_vector(b, n);
    norm.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, n);
    lm_graph_op(b->graph, &norm);
    return norm.out[0];
}

static inline int32_t little_attention(little_build *b, int32_t x, uint32_t layer)
{
    const little_shape *s = &b->m->shape;
    uint32_t q_dim = s->n_head * s->head_dim, k_dim = s->n_head_kv * s->head_dim, v_dim = s->n_head_kv * s->v_dim;
    lm_op op = lm_op_init(LM_OP_LINEAR, LM_ROWS_ALL, (int32_t)layer);
    op.u.linear = (lm_op_linear){ 3, LM_NORM_RMS, LM_EPILOGUE_NONE, LM_ACT_NONE, 1e-5f, 1, 0 };
    op.in[0] = x;
    uint32_t widths[3] = { q_dim, k_dim, v_dim };
    for (uint32_t i = 0; i < 3; i++) {
        op.weight[i] = little_matrix(b, widths[i], s->n_embd);
        if (s->bias)
            op.weight[4 + i] = little_vector(b, widths[i]);
        op.out[i] = lm_graph_value(b->graph, LM_ROWS_ALL, widths[i]);
    }
    op.weight[3] = little_vector(b, s->n_embd);
    lm_graph_op(b->graph, &op);

    lm_stream stream = { LM_STATE_PER_TOKEN, s->window ? layer % 2 : 0, s->n_head_kv, s->head_dim, s->v_dim, s->window && layer % 2 ? s->window : 0 };
    lm_op head = lm_op_init(LM_OP_HEAD, LM_ROWS_ALL, (int32_t)layer);
    head.u.head = (lm_op_head){ s->n_head, s->n_head_kv, s->head_dim, s->v_dim, s->n_rot, s->rope, 1e-6f, s->window ? 0.7f : 1.0f };
    head.in[0] = op.out[0];
    head.in[1] = op.out[1];
    head.in[2] = op.out[2];
    head.in[3] = b->angles;
    if (s->qk_norm) {
        head.weight[0] = little_vector(b, s->head_dim);
        head.weight[1] = little_vector(b, s->head_dim);
    }
    head.state = lm_graph_stream(b->graph, &stream);
    head.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, q_dim);
    lm_graph_op(b->graph, &head);

    lm_op attend = lm_op_init(LM_OP_ATTEND, LM_ROWS_ALL, (int32_t)layer);
    attend.u.attend = (lm_op_attend){ s->n_head, s->n_head_kv, s->head_dim, s->v_dim, stream.keep, 1.0f / 8, s->softcap, 0 };
    attend.in[0] = head.out[0];
    attend.state = head.state;
    attend.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, s->n_head * s->v_dim);
    lm_graph_op(b->graph, &attend);

    lm_op out = lm_op_init(LM_OP_LINEAR, LM_ROWS_ALL, (int32_t)layer);
    out.u.linear = (lm_op_linear){ 1, LM_NORM_NONE, LM_EPILOGUE_RESIDUAL, LM_ACT_NONE, 0, s->scale, 0 };
    out.in[0] = attend.out[0];
    /* The output of heads may be no multiple of a K-quant's block. */
    out.weight[0] = s->n_head * s->v_dim % 256 && s->n_embd % 256 == 0 ? little_weight(b->m, b->graph, LM_TYPE_Q8_0, false, s->n_embd, s->n_head * s->v_dim)
                                                                     : little_matrix(b, s->n_embd, s->n_head * s->v_dim);
    if (s->bias)
        out.weight[4] = little_vector(b, s->n_embd);
    return little_end(b, x, &out, (int32_t)layer);
}

static inline int32_t little_mlp(little_build *b, int32_t x, int32_t layer)
{
    const little_shape *s = &b->m->shape;
    lm_op op = lm_op_init(LM_OP_LINEAR, LM_ROWS_ALL, layer);
    op.u.linear = (lm_op_linear){ 2, LM_NORM_RMS, LM_EPILOGUE_GATED, little_act(b), 1e-5f, 1, 0 };
    op.in[0] = x;
    op.weight[0] = little_matrix(b, s->n_ff, s->n_embd);
    op.weight[1] = little_matrix(b, s->n_ff, s->n_embd);
    op.weight[3] = little_vector(b, s->n_embd);
    op.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, s->n_ff);
    lm_graph_op(b->graph, &op);
    lm_op down = lm_op_init(LM_OP_LINEAR, LM_ROWS_ALL, layer);
    down.u.linear = (lm_op_linear){ 1, LM_NORM_NONE, LM_EPILOGUE_RESIDUAL, LM_ACT_NONE, 0, 1, 0 };
    down.in[0] = op.out[0];
    down.weight[0] = little_matrix(b, s->n_embd, s->n_ff);
    return little_end(b, x, &down, layer);
}

/* y + sigmoid(gate) * ffn(norm x) */
static inline int32_t little_shared(little_build *b, int32_t x, int32_t y, int32_t layer)
{
    const little_shape *s = &b->m->shape;
    lm_op gate = lm_op_init(LM_OP_LINEAR, LM_ROWS_ALL, layer), up = gate, down = gate;
    gate.u.linear = (lm_op_linear){ 1, LM_NORM_RMS, LM_EPILOGUE_NONE, LM_ACT_NONE, 1e-5f, 1, 0 };
    gate.in[0] = x;
    gate.weight[0] = little_matrix(b, 1, s->n_embd);
    gate.weight[3] = little_vector(b, s->n_embd);
    gate.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, 1);
    lm_graph_op(b->graph, &gate);
    up.u.linear = (lm_op_linear){ 2, LM_NORM_RMS, LM_EPILOGUE_GATED, LM_ACT_SILU, 1e-5f, 1, 0 };
    up.in[0] = x;
    up.weight[0] = little_matrix(b, s->n_ff, s->n_embd);
    up.weight[1] = little_matrix(b, s->n_ff, s->n_embd);
    up.weight[3] = gate.weight[3];
    up.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, s->n_ff);
    lm_graph_op(b->graph, &up);
    down.u.linear = (lm_op_linear){ 1, LM_NORM_NONE, LM_EPILOGUE_RESIDUAL, LM_ACT_NONE, 0, 1, 0 };
    down.in[0] = up.out[0];
    down.in[1] = y;
    down.in[2] = gate.out[0];
    down.weight[0] = little_matrix(b, s->n_embd, s->n_ff);
    down.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, s->n_embd);
    lm_graph_op(b->graph, &down);
    return down.out[0];
}

static inline int32_t little_experts(little_build *b, int32_t x, int32_t layer)
{
    const little_shape *s = &b->m->shape;
    lm_op router = lm_op_init(LM_OP_LINEAR, LM_ROWS_ALL, layer);
    router.u.linear = (lm_op_linear){ 1, LM_NORM_RMS, LM_EPILOGUE_NONE, LM_ACT_NONE, 1e-5f, 1, 0 };
    router.in[0] = x;
    router.weight[0] = little_weight(b->m, b->graph, LM_TYPE_F32, false, s->n_expert, s->n_embd);
    router.weight[3] = little_vector(b, s->n_embd);
    router.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, s->n_expert);
    lm_graph_op(b->graph, &router);
    lm_op route = lm_op_init(LM_OP_ROUTE, LM_ROWS_ALL, layer);
    route.u.route = (lm_op_route){ s->n_expert, s->n_used, LM_GATING_SOFTMAX, (uint32_t)layer % 2, layer % 2 ? 1.0f : 2.5f, 0 };
    route.in[0] = router.out[0];
    route.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, s->n_used);
    route.out[1] = lm_graph_value(b->graph, LM_ROWS_ALL, s->n_used);
    lm_graph_op(b->graph, &route);
    lm_op up = lm_op_init(LM_OP_LINEAR_EXPERTS, LM_ROWS_ALL, layer);
    up.u.experts = (lm_op_experts){ s->n_expert, s->n_used, 0, LM_NORM_RMS, little_act(b), 1e-5f };
    up.in[0] = x;
    up.in[1] = route.out[0];
    up.in[2] = route.out[1];
    up.weight[0] = little_matrix(b, (uint64_t)s->n_ff * s->n_expert, s->n_embd);
    up.weight[1] = little_matrix(b, (uint64_t)s->n_ff * s->n_expert, s->n_embd);
    up.weight[3] = router.weight[3];
    up.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, s->n_ff * s->n_used);
    lm_graph_op(b->graph, &up);
    lm_op down = lm_op_init(LM_OP_LINEAR_EXPERTS, LM_ROWS_ALL, layer);
    down.u.experts = (lm_op_experts){ s->n_expert, s->n_used, 1, LM_NORM_NONE, LM_ACT_NONE, 0 };
    down.in[0] = up.out[0];
    down.in[1] = route.out[0];
    down.in[2] = route.out[1];
    down.in[3] = x;
    down.weight[0] = little_matrix(b, (uint64_t)s->n_embd * s->n_expert, s->n_ff);
    down.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, s->n_embd);
    lm_graph_op(b->graph, &down);
    return down.out[0];
}

/* hooks: NULL or an allocator. */
static inline bool little_open(little *m, const little_shape *shape, const llm_allocator *hooks)
{
    llm_error error;
    memset(m, 0, sizeof *m);
    m->shape = *shape;
    m->rng.state = 12345;
    lm_mem_init(&m->host.mem, hooks, 0);
    lm_kernels_fill(&m->ref, 0, LM_TIER_REFERENCE);
    little_build b = { m, NULL, LM_NONE, 0 };
    if (lm_graph_new(&m->host, &b.graph, &error) < 0)
        return false;
    lm_op angles = lm_op_init(LM_OP_ANGLES, LM_ROWS_ALL, -1);
    angles.u.angles = (lm_op_angles){ shape->n_rot, 0, 10000, 1, 1, 0, 32, 1, 64 };
    if (shape->yarn) {
        angles.u.angles.ext_factor = 1;
        angles.u.angles.freq_scale = 0.25;
        angles.u.angles.magnitude = 1.1;
    }
    if (shape->divisors)
        angles.weight[0] = little_vector(&b, shape->n_rot / 2);
    if (shape->divisors > 1)
        angles.weight[1] = little_vector(&b, shape->n_rot / 2);
    angles.out[0] = b.angles = lm_graph_value(b.graph, LM_ROWS_ALL, shape->n_rot);
    lm_graph_op(b.graph, &angles);
    lm_op embed = lm_op_init(LM_OP_EMBED, LM_ROWS_ALL, -1);
    embed.u.embed.scale = shape->embed_scale;
    embed.weight[0] = little_matrix(&b, shape->n_vocab, shape->n_embd);
    int32_t x = embed.out[0] = lm_graph_value(b.graph, LM_ROWS_ALL, shape->n_embd);
    lm_graph_op(b.graph, &embed);
    for (uint32_t layer = 0; layer < shape->n_layers; layer++) {
        x = little_attention(&b, x, layer);
        int32_t y = shape->n_expert ? little_experts(&b, x, (int32_t)layer) : little_mlp(&b, x, (int32_t)layer);
        x = shape->shared ? little_shared(&b, x, y, (int32_t)layer) : y;
    }
    lm_op gather = lm_op_init(LM_OP_GATHER, LM_ROWS_OUT, -1);
    gather.in[0] = x;
    gather.out[0] = lm_graph_value(b.graph, LM_ROWS_OUT, shape->n_embd);
    lm_graph_op(b.graph, &gather);
    lm_op logits = lm_op_init(LM_OP_LOGITS, LM_ROWS_OUT, -1);
    logits.u.linear = (lm_op_linear){ 1, LM_NORM_RMS, LM_EPILOGUE_NONE, LM_ACT_NONE, 1e-5f, 1, shape->logit_cap };
    logits.in[0] = gather.out[0];
    logits.weight[0] = embed.weight[0];                     /* tied */
    logits.weight[3] = little_vector(&b, shape->n_embd);
    logits.out[0] = lm_graph_value(b.graph, LM_ROWS_OUT, shape->n_vocab);
    lm_graph_op(b.graph, &logits);
    llm_status status = lm_graph_finish(b.graph, logits.out[0], shape->n_vocab, shape->n_embd, &m->program, &error);
    lm_graph_free(b.graph);
    CHECK_MSG(status == LLM_OK, "%s", error.message);
    return status == LLM_OK;
}

static inline void little_close(little *m)
{
    lm_program_free(&m->host, m->program);
    for (int w = 0; w < LITTLE_MAX_WEIGHTS; w++) {
        free(m->bytes[w]);
        free(m->packed[w]);
    }
}

/* ---- plainly ------------------------------------------------------------------------------------------------------------------ */

typedef struct little_plain {
    little *m;
    int32_t state_type;
    float **values;                                         /* one row of each */
    float **k, **v;                                         /* by stream: [position][head][dim]; int8: levels, and their scales: */
    double *freq, *mix;
    float **k_scale, **v_scale;                             /* [position][head] */
} little_plain;

/* Output r of weight w times x: alone, through one column. */
static inline void little_product(const little *m, int32_t w, uint64_t first, uint64_t n, const float *x, float *y)
{
    const lm_weight_info *info = &m->program->weights[w];
    size_t k = (size_t)info->n_cols;
    int8_t *q = malloc(k);
    float *d = malloc(k * sizeof(float));
    int32_t *s32 = malloc(k * sizeof(int32_t));
    int16_t *s16 = malloc(k * sizeof(int16_t));
    lm_acts acts = { x, q, d, s32, q, d, s16 };
    uint32_t block = lm_type_get(info->type)->block;
    if (block == 32)
        m->ref.quantize_32(q, d, s32, x, k);
    else if (block == 256)
        m->ref.quantize_256(q, d, s16, x, k);
    m->ref.linear[info->type](y, (size_t)n, m->packed[w] + first / 16 * lm_group_bytes(info->type, k), (size_t)n, k, &acts, 1);
    free(q);
    free(d);
    free(s32);
    free(s16);
}

static inline const float *little_vec(const little *m, int32_t w) { return w == LM_NONE ? NULL : (const float *)(const void *)m->packed[w]; }

static inline float little_round(const little_plain *p, float x)
{
    if (p->state_type == LLM_STATE_TYPE_F32)
        return x;
    x = x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x;
    return lm_f32_from_f16(lm_f16_from_f32(x));
}

/* n numbers to levels of at most `most`; their scale. */
static inline float little_levels(float *level, const float *x, uint32_t n, float most)
{
    float amax = 0;
    bool finite = true;
    for (uint32_t i = 0; i < n; i++) {
        amax = fmaxf(amax, fabsf(x[i]));
        finite = finite && isfinite(x[i]);
    }
    bool none = !finite || amax < 0x1p-100f;
    float r = none ? 0 : most / amax;
    for (uint32_t i = 0; i < n; i++)
        level[i] = none ? 0 : nearbyintf(x[i] * r);
    return !finite ? NAN : none ? 0 : amax / most;
}

static inline void little_plain_rope(const lm_op_head *u, float *x, const float *cs)
{
    for (uint32_t j = 0; u->rope != LM_ROPE_NONE && j < u->n_rot / 2; j++) {
        float *a = u->rope == LM_ROPE_PAIRS ? &x[2 * j] : &x[j], *b = u->rope == LM_ROPE_PAIRS ? &x[2 * j + 1] : &x[j + u->n_rot / 2];
        float p = *b * cs[2 * j + 1], q = *b * cs[2 * j], a0 = *a;
        *a = fmaf(a0, cs[2 * j], -p);
        *b = fmaf(a0, cs[2 * j + 1], q);
    }
}

static inline void little_plain_head(little_plain *p, const lm_op *op, int32_t position)
{
    const lm_op_head *u = &op->u.head;
    const float *cs = op->in[3] == LM_NONE ? NULL : p->values[op->in[3]];
    for (uint32_t h = 0; h < u->n_head; h++) {
        float *q = p->values[op->out[0]] + h * u->head_dim;
        memcpy(q, p->values[op->in[0]] + h * u->head_dim, u->head_dim * 4);
        if (op->weight[0] != LM_NONE)
            p->m->ref.rms_norm(q, q, little_vec(p->m, op->weight[0]), u->head_dim, u->eps);
        little_plain_rope(u, q, cs);
        for (uint32_t d = 0; d < u->head_dim && u->q_scale != 1; d++)
            q[d] = q[d] * u->q_scale;
    }
    for (uint32_t h = 0; h < u->n_head_kv; h++) {
        float *k = p->k[op->state] + ((size_t)position * u->n_head_kv + h) * u->head_dim;
        float *v = p->v[op->state] + ((size_t)position * u->n_head_kv + h) * u->v_dim;
        memcpy(k, p->values[op->in[1]] + h * u->head_dim, u->head_dim * 4);
        if (op->weight[1] != LM_NONE)
            p->m->ref.rms_norm(k, k, little_vec(p->m, op->weight[1]), u->head_dim, u->eps);
        little_plain_rope(u, k, cs);
        if (p->state_type == LLM_STATE_TYPE_INT8) {
            p->k_scale[op->state][(size_t)position * u->n_head_kv + h] = little_levels(k, k, u->head_dim, 127);
            p->v_scale[op->state][(size_t)position * u->n_head_kv + h] = little_levels(v, p->values[op->in[2]] + h * u->v_dim, u->v_dim, 127);
            continue;
        }
        for (uint32_t d = 0; d < u->head_dim; d++)
            k[d] = little_round(p, k[d]);
        for (uint32_t d = 0; d < u->v_dim; d++)
            v[d] = little_round(p, p->values[op->in[2]][h * u->v_dim + d]);
    }
}

static inline float little_tree(const float *lane)
{
    float a[16];
    memcpy(a, lane, sizeof a);
    for (int n = 8; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            a[i] = a[i] + a[i + n];
    return a[0];
}

/* A score before the soft cap. */
static inline float little_plain_score(const little_plain *p, const lm_op *op, const float *q, int32_t j, uint32_t kv)
{
    const lm_op_attend *u = &op->u.attend;
    size_t at = (size_t)j * u->n_head_kv + kv;
    const float *k = p->k[op->state] + at * u->head_dim;
    if (p->state_type == LLM_STATE_TYPE_INT8) {
        float level[1024];
        float c = little_levels(level, q, u->head_dim, 127) * u->scale, ck = c * p->k_scale[op->state][at];
        int64_t dot = 0;
        for (uint32_t d = 0; d < u->head_dim; d++)
            dot += (int64_t)level[d] * (int64_t)k[d];
        return (float)dot * ck;
    }
    float dot = 0;
    for (uint32_t d = 0; d < u->head_dim; d++)
        dot = fmaf(q[d], k[d], dot);
    return dot * u->scale;
}

/* a[v_dim] from the probabilities of the keys [from, from + n). */
static inline void little_plain_values(const little_plain *p, const lm_op *op, const float *e, int32_t from, int32_t n, uint32_t kv, float *a)
{
    const lm_op_attend *u = &op->u.attend;
    const float *v = p->v[op->state] + ((size_t)from * u->n_head_kv + kv) * u->v_dim, *v_scale = p->v_scale[op->state] + (size_t)from * u->n_head_kv + kv;
    float w[256], scale = 0;
    if (p->state_type == LLM_STATE_TYPE_INT8) {
        for (int32_t j = 0; j < n; j++)
            w[j] = e[j] * v_scale[(size_t)j * u->n_head_kv];
        scale = little_levels(w, w, (uint32_t)n, 32767);
    }
    for (uint32_t d = 0; d < u->v_dim; d++) {
        int64_t sum = 0;
        a[d] = 0;
        for (int32_t j = 0; j < n; j++) {
            float x = v[(size_t)j * u->n_head_kv * u->v_dim + d];
            if (p->state_type == LLM_STATE_TYPE_INT8)
                sum += (int64_t)w[j] * (int64_t)x;
            else
                a[d] = fmaf(e[j], x, a[d]);
        }
        if (p->state_type == LLM_STATE_TYPE_INT8)
            a[d] = (float)sum * scale;
    }
}

static inline void little_plain_attend(little_plain *p, const lm_op *op, int32_t position)
{
    const lm_op_attend *u = &op->u.attend;
    int32_t lo = u->window && position >= (int32_t)u->window ? position - (int32_t)u->window + 1 : 0;
    for (uint32_t h = 0; h < u->n_head; h++) {
        uint32_t kv = h / (u->n_head / u->n_head_kv);
        float *y = p->values[op->out[0]] + h * u->v_dim, M = 0, L = 0;
        const float *q = p->values[op->in[0]] + h * u->head_dim;
        for (int32_t chunk = lo / 256; chunk <= position / 256; chunk++) {
            int32_t from = chunk * 256 > lo ? chunk * 256 : lo, to = chunk * 256 + 256 < position + 1 ? chunk * 256 + 256 : position + 1;
            float s[256], m = -INFINITY, lane[16] = { 0 }, a[256] = { 0 };
            for (int32_t j = from; j < to; j++) {
                float dot = little_plain_score(p, op, q, j, kv);
                if (u->softcap != 0)
                    dot = u->softcap * lm_tanhf(dot / u->softcap);
                s[j - from] = dot;
                m = dot > m ? dot : m;
            }
            for (int32_t j = from; j < to; j++) {
                s[j - from] = lm_expf(s[j - from] - m);
                lane[j % 16] = lane[j % 16] + s[j - from];
            }
            little_plain_values(p, op, s, from, to - from, kv, a);
            float l = little_tree(lane);
            if (chunk == lo / 256) {
                M = m;
                L = l;
                memcpy(y, a, u->v_dim * 4);
            } else {
                float most = M > m ? M : m, uu = lm_expf(M - most), w = lm_expf(m - most), lw = l * w;
                L = fmaf(L, uu, lw);
                for (uint32_t d = 0; d < u->v_dim; d++) {
                    float aw = a[d] * w;
                    y[d] = fmaf(y[d], uu, aw);
                }
                M = most;
            }
        }
        float r = 1.0f / L;
        for (uint32_t d = 0; d < u->v_dim; d++)
            y[d] = y[d] * r;
    }
}

static inline float little_plain_act(uint32_t act, float x)
{
    float u = act == LM_ACT_GELU ? x * fmaf(LM_GELUF_C1, x * x, LM_GELUF_C0) : x;
    return x / (1.0f + lm_expf(-u));
}

static inline void little_plain_norm(little_plain *p, const lm_op *op)
{
    uint32_t n = p->m->program->values[op->in[0]].width;
    float *y = p->values[op->out[0]];
    p->m->ref.rms_norm(y, p->values[op->in[0]], little_vec(p->m, op->weight[3]), n, op->u.norm.eps);
    for (uint32_t i = 0; i < n && op->in[1] != LM_NONE; i++)
        y[i] = p->values[op->in[1]][i] + y[i];
}

static inline void little_plain_linear(little_plain *p, const lm_op *op)
{
    const lm_op_linear *u = &op->u.linear;
    const lm_program *program = p->m->program;
    uint32_t k = program->values[op->in[0]].width;
    float *h = malloc(k * sizeof(float)), *y[3] = { NULL, NULL, NULL };
    memcpy(h, p->values[op->in[0]], k * sizeof(float));
    if (u->norm == LM_NORM_RMS)
        p->m->ref.rms_norm(h, h, little_vec(p->m, op->weight[3]), k, u->eps);
    for (uint32_t i = 0; i < u->n_matrices; i++) {
        uint64_t n = program->weights[op->weight[i]].n_rows;
        y[i] = malloc((size_t)n * sizeof(float));
        little_product(p->m, op->weight[i], 0, n, h, y[i]);
        for (uint64_t r = 0; r < n; r++) {
            if (op->weight[4 + i] != LM_NONE)
                y[i][r] = y[i][r] + little_vec(p->m, op->weight[4 + i])[r];
            if (u->scale != 1 && u->epilogue != LM_EPILOGUE_GATED)
                y[i][r] = y[i][r] * u->scale;
            if (u->epilogue == LM_EPILOGUE_RESIDUAL && op->in[2] != LM_NONE) {
                float sigmoid = 1.0f / (1.0f + lm_expf(-p->values[op->in[2]][0]));
                y[i][r] = fmaf(sigmoid, y[i][r], p->values[op->in[1]][r]);
            } else if (u->epilogue == LM_EPILOGUE_RESIDUAL)
                y[i][r] = p->values[op->in[1]][r] + y[i][r];
            if (u->softcap != 0)
                y[i][r] = u->softcap * lm_tanhf(y[i][r] / u->softcap);
        }
        if (u->epilogue != LM_EPILOGUE_GATED)
            memcpy(p->values[op->out[i]], y[i], (size_t)n * sizeof(float));
    }
    for (uint32_t r = 0; u->epilogue == LM_EPILOGUE_GATED && r < program->values[op->out[0]].width; r++) {
        float act = little_plain_act(u->act, y[0][r]);
        p->values[op->out[0]][r] = act * y[1][r];
    }
    free(h);
    for (int i = 0; i < 3; i++)
        free(y[i]);
}

static inline void little_plain_route(little_plain *p, const lm_op *op)
{
    const lm_op_route *u = &op->u.route;
    float prob[64], lane[16] = { 0 }, m = -INFINITY, sum = 0;
    const float *x = p->values[op->in[0]];
    bool taken[64] = { false };
    for (uint32_t i = 0; i < u->n_expert; i++)
        m = x[i] > m ? x[i] : m;
    for (uint32_t i = 0; i < u->n_expert; i++) {
        prob[i] = lm_expf(x[i] - m);
        lane[i % 16] = lane[i % 16] + prob[i];
    }
    float all = little_tree(lane);
    for (uint32_t r = 0; r < u->n_used; r++) {
        uint32_t best = UINT32_MAX;
        for (uint32_t i = 0; i < u->n_expert; i++)
            if (!taken[i] && (best == UINT32_MAX || prob[i] / all > prob[best] / all))
                best = i;
        taken[best] = true;
        memcpy(&p->values[op->out[0]][r], &best, 4);
        p->values[op->out[1]][r] = prob[best] / all;
        sum = r == 0 ? prob[best] / all : sum + prob[best] / all;
    }
    for (uint32_t r = 0; r < u->n_used; r++) {
        float w = p->values[op->out[1]][r];
        w = u->normalize ? w / sum : w;
        p->values[op->out[1]][r] = u->scale != 1 ? w * u->scale : w;
    }
}

static inline void little_plain_experts(little_plain *p, const lm_op *op)
{
    const lm_op_experts *u = &op->u.experts;
    const lm_weight_info *info = &p->m->program->weights[op->weight[0]];
    uint64_t n = info->n_rows / u->n_expert, k = info->n_cols;
    float *h = malloc(k * sizeof(float)), *a = malloc(n * sizeof(float)), *b = malloc(n * sizeof(float)), *out = p->values[op->out[0]];
    if (u->down)
        memcpy(out, p->values[op->in[3]], n * sizeof(float));
    for (uint32_t r = 0; r < u->n_used; r++) {
        uint32_t id;
        memcpy(&id, &p->values[op->in[1]][r], 4);
        memcpy(h, p->values[op->in[0]] + (u->down ? r * k : 0), k * sizeof(float));
        if (u->norm == LM_NORM_RMS)
            p->m->ref.rms_norm(h, h, little_vec(p->m, op->weight[3]), k, u->eps);
        little_product(p->m, op->weight[0], id * n, n, h, a);
        if (u->down) {
            for (uint64_t i = 0; i < n; i++)
                out[i] = fmaf(p->values[op->in[2]][r], a[i], out[i]);
            continue;
        }
        little_product(p->m, op->weight[1], id * n, n, h, b);
        for (uint64_t i = 0; i < n; i++) {
            float act = little_plain_act(u->act, a[i]);
            out[r * n + i] = act * b[i];
        }
    }
    free(h);
    free(a);
    free(b);
}

static inline void little_plain_angles(little_plain *p, const lm_op *op, int32_t position)
{
    const lm_op_angles *u = &op->u.angles;
    const float *divisors = little_vec(p->m, op->weight[op->weight[1] != LM_NONE]);
    for (uint32_t j = 0; j < u->n_rot / 2; j++) {
        double inv = lm_pow64(u->base, -2.0 * j / u->n_rot), mix = 0, s, c;
        if (divisors)
            inv = inv / divisors[j];
        if (u->ext_factor != 0) {                           /* facts of YaRN: corr(n) = n_rot ln(n_ctx / (2 pi n)) / (2 ln base) */
            double low = u->n_rot * lm_log64(u->n_ctx_orig / (u->beta_fast * 6.283185307179586)) / (2 * lm_log64(u->base));
            double high = u->n_rot * lm_log64(u->n_ctx_orig / (u->beta_slow * 6.283185307179586)) / (2 * lm_log64(u->base));
            low = floor(low) > 0 ? floor(low) : 0;
            high = ceil(high) < u->n_rot - 1.0 ? ceil(high) : u->n_rot - 1.0;
            double ramp = (j - low) / (high - low > 0.001 ? high - low : 0.001);
            mix = (1 - (ramp < 0 ? 0 : ramp > 1 ? 1 : ramp)) * u->ext_factor;
        }
        double angle = position * u->freq_scale * inv;
        if (u->ext_factor != 0)
            angle = angle * (1 - mix) + position * inv * mix;
        lm_sincos64(angle, &s, &c);
        p->values[op->out[0]][2 * j] = (float)(c * u->magnitude);
        p->values[op->out[0]][2 * j + 1] = (float)(s * u->magnitude);
    }
}

/* Logits of every position: [n][n_vocab]. */
static inline float *little_plain_run(little *m, int32_t state_type, const llm_token *tokens, uint32_t n)
{
    const lm_program *program = m->program;
    little_plain p = { m, state_type, calloc(program->n_values, sizeof(float *)), calloc(program->n_streams, sizeof(float *)),
                       calloc(program->n_streams, sizeof(float *)), NULL, NULL, calloc(program->n_streams, sizeof(float *)),
                       calloc(program->n_streams, sizeof(float *)) };
    float *logits = malloc((size_t)n * program->n_vocab * sizeof(float));
    for (uint32_t v = 0; v < program->n_values; v++)
        p.values[v] = calloc(program->values[v].width, sizeof(float));
    for (uint32_t s = 0; s < program->n_streams; s++) {
        p.k[s] = calloc((size_t)n * program->streams[s].n_heads * program->streams[s].k_dim, sizeof(float));
        p.v[s] = calloc((size_t)n * program->streams[s].n_heads * program->streams[s].v_dim, sizeof(float));
        p.k_scale[s] = calloc((size_t)n * program->streams[s].n_heads, sizeof(float));
        p.v_scale[s] = calloc((size_t)n * program->streams[s].n_heads, sizeof(float));
    }
    for (uint32_t r = 0; r < n; r++) {
        for (uint32_t o = 0; o < program->n_ops; o++) {
            const lm_op *op = &program->ops[o];
            uint32_t width = program->values[op->out[0]].width;
            if (op->kind == LM_OP_EMBED) {
                const lm_weight_info *info = &program->weights[op->weight[0]];
                m->ref.row[info->type](p.values[op->out[0]], m->packed[op->weight[0]], (size_t)tokens[r], info->n_cols);
                for (uint32_t i = 0; i < width && op->u.embed.scale != 1; i++)
                    p.values[op->out[0]][i] = p.values[op->out[0]][i] * op->u.embed.scale;
            } else if (op->kind == LM_OP_ANGLES)
                little_plain_angles(&p, op, (int32_t)r);
            else if (op->kind == LM_OP_LINEAR || op->kind == LM_OP_LOGITS)
                little_plain_linear(&p, op);
            else if (op->kind == LM_OP_HEAD)
                little_plain_head(&p, op, (int32_t)r);
            else if (op->kind == LM_OP_ATTEND)
                little_plain_attend(&p, op, (int32_t)r);
            else if (op->kind == LM_OP_NORM)
                little_plain_norm(&p, op);
            else if (op->kind == LM_OP_ROUTE)
                little_plain_route(&p, op);
            else if (op->kind == LM_OP_LINEAR_EXPERTS)
                little_plain_experts(&p, op);
            else
                memcpy(p.values[op->out[0]], p.values[op->in[0]], width * sizeof(float));
        }
        memcpy(logits + (size_t)r * program->n_vocab, p.values[program->logits], program->n_vocab * sizeof(float));
    }
    for (uint32_t v = 0; v < program->n_values; v++)
        free(p.values[v]);
    for (uint32_t s = 0; s < program->n_streams; s++) {
        free(p.k[s]);
        free(p.v[s]);
        free(p.k_scale[s]);
        free(p.v_scale[s]);
    }
    free(p.values);
    free(p.k);
    free(p.v);
    free(p.k_scale);
    free(p.v_scale);
    return logits;
}

/* ---- on a backend ---------------------------------------------------------------------------------------------------------------- */

typedef struct little_rig {
    little *m;
    lm_backend *backend;
    lm_weight *weights[LITTLE_MAX_WEIGHTS];
    lm_exec *exec;
    lm_pool *pool;
    lm_run_arena *arena;
} little_rig;

static inline void little_rig_close(little_rig *rig)
{
    if (!rig->backend)
        return;
    const lm_backend_table *t = rig->backend->table;
    if (rig->arena)
        t->arena_close(rig->backend, rig->arena);
    if (rig->pool)
        t->pool_close(rig->backend, rig->pool);
    if (rig->exec)
        t->exec_close(rig->backend, rig->exec);
    for (uint32_t w = 0; w < LITTLE_MAX_WEIGHTS; w++)
        if (rig->weights[w])
            t->weight_free(rig->backend, rig->weights[w]);
    t->close(rig->backend);
    memset(rig, 0, sizeof *rig);
}

/* Weights go in in random cuts. Takes over `backend`. On failure what was opened stands in the rig: close it. */
static inline llm_status little_rig_open(little_rig *rig, little *m, lm_backend *backend, int32_t state_type, uint32_t max_rows, uint32_t max_slots,
                                         uint32_t max_pages, uint64_t seed, llm_error *error)
{
    const lm_backend_table *t = backend->table;
    little_rng rng = { seed };
    memset(rig, 0, sizeof *rig);
    rig->m = m;
    rig->backend = backend;
    for (uint32_t w = 0; w < m->program->n_weights; w++) {
        const lm_weight_info *info = &m->program->weights[w];
        uint64_t row_bytes = little_row_bytes(info);
        LM_TRY(t->weight_begin(backend, info, &rig->weights[w], error));
        for (uint64_t row = 0; row < info->n_rows;) {
            uint64_t left = info->n_rows - row, n = 1 + little_below(&rng, 3) * little_below(&rng, 40);
            n = LM_MIN(n, left);
            LM_TRY(t->weight_rows(backend, rig->weights[w], row, n, m->bytes[w] + row * row_bytes, error));
            row += n;
        }
        LM_TRY(t->weight_end(backend, rig->weights[w], error));
    }
    LM_TRY(t->exec_open(backend, m->program, rig->weights, &rig->exec, error));
    if (t->exec_compile)
        LM_TRY(t->exec_compile(backend, rig->exec, NULL, NULL, error));
    LM_TRY(t->pool_open(backend, m->program, state_type, &rig->pool, error));
    return t->arena_open(backend, rig->exec, max_rows, max_rows, max_slots, max_pages, &rig->arena, error);
}

typedef struct little_session {
    const llm_token *tokens;
    uint32_t n_tokens, n_done;
    uint32_t pages[LM_MAX_PAGE_CLASSES][LITTLE_MAX_POSITIONS / LM_PAGE_POSITIONS + 2];
    uint32_t n_pages;
    float *logits;                                          /* [n_tokens][n_vocab] */
} little_session;

static inline llm_status little_session_pages(little_rig *rig, little_session *s, uint32_t n_positions, llm_error *error)
{
    for (; s->n_pages * LM_PAGE_POSITIONS < n_positions; s->n_pages++)
        for (uint32_t c = 0; c < rig->m->program->n_page_classes; c++)
            LM_TRY(rig->backend->table->page_take(rig->backend, rig->pool, c, &s->pages[c][s->n_pages], error));
    return LLM_OK;
}

/* Passes do not wait for what they submit; they are left at the first step that would go on later, with LLM_MORE. */
static bool little_no_wait, little_leaves;

/* One pass: the next n[i] tokens of each session. budget_ns: < 0 none, else each call's. */
static inline llm_status little_pass(little_rig *rig, lm_run_arena *arena, little_session *const *sessions, const uint32_t *n, uint32_t n_sessions, int64_t budget_ns,
                                     uint32_t *calls, llm_error *error)
{
    const lm_backend_table *t = rig->backend->table;
    uint32_t n_rows = 0, n_vocab = rig->m->program->n_vocab, at = 0;
    for (uint32_t i = 0; i < n_sessions; i++)
        n_rows += n[i];
    lm_row *rows = calloc(n_rows, sizeof *rows);
    lm_slot *slots = calloc(n_sessions, sizeof *slots);
    lm_run *run = NULL;
    llm_status status = LLM_OK;
    for (uint32_t i = 0; i < n_sessions && status == LLM_OK; i++) {
        little_session *s = sessions[i];
        status = little_session_pages(rig, s, s->n_done + n[i], error);
        for (uint32_t c = 0; c < LM_MAX_PAGE_CLASSES; c++) {
            slots[i].pages[c] = s->pages[c];
            slots[i].n_pages[c] = s->n_pages;
        }
        for (uint32_t r = 0; r < n[i]; r++)
            rows[at++] = (lm_row){ i, (int32_t)(s->n_done + r), s->tokens[s->n_done + r],
                                    LM_ROW_LOGITS | lm_program_row_flags(rig->m->program, LITTLE_MAX_POSITIONS) };
    }
    lm_batch batch = { .rows = rows, .n_rows = n_rows, .slots = slots, .n_slots = n_sessions, .n_out = n_rows, .no_wait = little_no_wait };
    if (status == LLM_OK)
        while ((status = t->run_begin(rig->backend, rig->exec, rig->pool, arena, &batch, &run, error)) == LLM_MORE)
            ;
    if (status == LLM_OK) {
        do {
            lm_run_control control = { .deadline_ns = budget_ns < 0 ? INT64_MAX : lm_now_ns() + budget_ns, .stop_op = LM_RUN_ALL_OPS, .no_wait = little_no_wait };
            status = t->run_step(rig->backend, run, &control, error);
            if (calls)
                ++*calls;
        } while (status == LLM_MORE && !little_leaves);
    }
    at = 0;
    for (uint32_t i = 0; i < n_sessions && status == LLM_OK; i++)
        for (uint32_t r = 0; r < n[i]; r++)
            memcpy(sessions[i]->logits + (size_t)(sessions[i]->n_done + r) * n_vocab, t->run_value(rig->backend, run, rig->m->program->logits, at++),
                   n_vocab * sizeof(float));
    for (uint32_t i = 0; i < n_sessions && status == LLM_OK; i++)
        sessions[i]->n_done += n[i];
    if (run)
        t->run_end(rig->backend, run);
    free(rows);
    free(slots);
    return status;
}

static inline void little_session_open(little_session *s, const little *m, const llm_token *tokens, uint32_t n)
{
    memset(s, 0, sizeof *s);
    s->tokens = tokens;
    s->n_tokens = n;
    s->logits = calloc((size_t)n * m->program->n_vocab, sizeof(float));
}

static inline void little_session_close(little_rig *rig, little_session *s)
{
    for (uint32_t i = 0; i < s->n_pages; i++)
        for (uint32_t c = 0; c < rig->m->program->n_page_classes; c++)
            rig->backend->table->page_give(rig->backend, rig->pool, c, s->pages[c][i]);
    free(s->logits);
}

static inline void little_tokens(const little *m, llm_token *tokens, uint32_t n, uint64_t seed)
{
    little_rng rng = { seed * 77 + 1 };
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (llm_token)little_below(&rng, m->program->n_vocab);
}

/* The first position and item that differ, or n. */
static inline uint32_t little_differs(const little *m, const float *a, const float *b, uint32_t n)
{
    for (uint32_t r = 0; r < n; r++)
        if (memcmp(a + (size_t)r * m->program->n_vocab, b + (size_t)r * m->program->n_vocab, m->program->n_vocab * sizeof(float)) != 0)
            return r;
    return n;
}

#endif
