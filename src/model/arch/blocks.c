/* SPDX-License-Identifier: MIT
 * Blocks of architectures: tensors looked up and checked, operations emitted. Knows GGUF's tensor names and nothing of keys. Owns nothing:
 * names of weights are borrowed from the catalogue.
 *
 * Shapes in comments are [rows of the pass, items]. Threads: one builder, one thread. */
#include "model/arch/blocks.h"

#include <string.h>

enum { BLOCKS_NAME = 96 };

lm_blocks lm_blocks_begin(const lm_catalogue *catalogue, const lm_params *params, uint32_t rope, lm_graph *graph, llm_error *error)
{
    return (lm_blocks){ .catalogue = catalogue, .p = params, .graph = graph, .error = error, .rope = rope, .rows = LM_ROWS_ALL, .layer = -1,
                        .embedding = LM_NONE, .angles = LM_NONE };
}

llm_status lm_blocks_end(lm_blocks *b)
{
    return b->status;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------------- */

static void blocks_name(const lm_blocks *b, char out[BLOCKS_NAME], const char *name, const char *suffix)
{
    if (b->layer >= 0)
        lm_print(out, BLOCKS_NAME, "blk.%d.%s.%s", b->layer, name, suffix);
    else
        lm_print(out, BLOCKS_NAME, "%s.%s", name, suffix);
}

static size_t blocks_shape(char *out, size_t cap, const uint64_t *ne, uint32_t n)
{
    size_t len = lm_print(out, cap, "[%llu", (unsigned long long)ne[0]);
    for (uint32_t i = 1; i < n; i++)
        len += lm_print(out + len, cap - len, ", %llu", (unsigned long long)ne[i]);
    return len + lm_print(out + len, cap - len, "]");
}

/* The tensor of exactly this shape (ne[0] first), or NULL with the error set; missing and optional: NULL without. */
static const lm_tensor *blocks_tensor(lm_blocks *b, const char *name, const uint64_t ne[3], uint32_t n_dims, bool optional)
{
    char have[96], want[96];
    if (b->status < 0)
        return NULL;
    const lm_tensor *t = lm_catalogue_tensor(b->catalogue, name);
    if (!t) {
        blocks_shape(want, sizeof want, ne, n_dims);
        if (!optional)
            b->status = lm_fail_at(b->error, LLM_E_FORMAT, name, strlen(name), UINT64_MAX, "tensor '%s' is missing; expected one of shape %s", name, want);
        return NULL;
    }
    if (t->ne[0] != ne[0] || t->ne[1] != ne[1] || t->ne[2] != ne[2] || t->ne[3] != 1) {
        blocks_shape(want, sizeof want, ne, n_dims);
        blocks_shape(have, sizeof have, t->ne, LM_MAX(t->n_dims, 1));
        b->status = lm_fail_at(b->error, LLM_E_FORMAT, name, strlen(name), t->offset, "tensor '%s' has the shape %s, expected %s", name, have, want);
        return NULL;
    }
    return t;
}

static int32_t blocks_weight(lm_blocks *b, const lm_tensor *t, bool vector, uint64_t n_rows, uint64_t n_cols)
{
    const lm_type_info *type = lm_type_get(t->type);
    if (vector && t->type != LM_TYPE_F32 && t->type != LM_TYPE_F16 && t->type != LM_TYPE_BF16) {
        b->status = lm_fail_at(b->error, LLM_E_FORMAT, t->name.ptr, t->name.len, t->offset, "tensor '%s' is of type %s, expected F32, F16 or BF16", t->name.ptr,
                               type ? type->name : "unknown");
        return LM_NONE;
    }
    if (!type || !type->computes) {
        b->status = lm_fail_at(b->error, LLM_E_UNSUPPORTED, t->name.ptr, t->name.len, t->offset, "tensor '%s' is of type %s, which this library does not compute with",
                               t->name.ptr, type ? type->name : "unknown");
        return LM_NONE;
    }
    lm_weight_info info = { .name = t->name.ptr, .type = vector ? LM_TYPE_F32 : t->type, .is_vector = vector, .n_rows = n_rows, .n_cols = n_cols };
    return lm_graph_weight(b->graph, &info);
}

int32_t lm_block_matrix(lm_blocks *b, const char *name, uint64_t n_rows, uint64_t n_cols, bool optional)
{
    char full[BLOCKS_NAME];
    blocks_name(b, full, name, "weight");
    const lm_tensor *t = blocks_tensor(b, full, (uint64_t[]){ n_cols, n_rows, 1 }, 2, optional);
    return t ? blocks_weight(b, t, false, n_rows, n_cols) : LM_NONE;
}

int32_t lm_block_vector(lm_blocks *b, const char *name, const char *suffix, uint64_t n, bool optional)
{
    char full[BLOCKS_NAME];
    blocks_name(b, full, name, suffix);
    const lm_tensor *t = blocks_tensor(b, full, (uint64_t[]){ n, 1, 1 }, 1, optional);
    return t ? blocks_weight(b, t, true, 1, n) : LM_NONE;
}

static int32_t blocks_bias(lm_blocks *b, const char *name, uint64_t n, bool wanted)
{
    return wanted ? lm_block_vector(b, name, "bias", n, true) : LM_NONE;
}

int32_t lm_block_experts_matrix(lm_blocks *b, const char *name, uint64_t n_rows, uint64_t n_cols)
{
    char full[BLOCKS_NAME], stacked[48], single[48];
    uint32_t n = b->p->n_expert;
    lm_print(stacked, sizeof stacked, "%s_exps", name);
    lm_print(single, sizeof single, "%s.0", name);
    blocks_name(b, full, single, "weight");
    if (!lm_catalogue_tensor(b->catalogue, full)) {
        blocks_name(b, full, stacked, "weight");
        const lm_tensor *t = blocks_tensor(b, full, (uint64_t[]){ n_cols, n_rows, n }, 3, false);
        return t ? blocks_weight(b, t, false, n * n_rows, n_cols) : LM_NONE;
    }
    const lm_tensor *first = NULL;                          /* files of 2023-24: a tensor for each expert */
    for (uint32_t e = 0; e < n; e++) {
        lm_print(single, sizeof single, "%s.%u", name, e);
        blocks_name(b, full, single, "weight");
        const lm_tensor *t = blocks_tensor(b, full, (uint64_t[]){ n_cols, n_rows, 1 }, 2, false);
        if (!t)
            return LM_NONE;
        first = first ? first : t;
        if (t->type != first->type) {
            b->status = lm_fail_at(b->error, LLM_E_UNSUPPORTED, full, strlen(full), t->offset, "tensor '%s' is of another type than '%s'", full, first->name.ptr);
            return LM_NONE;
        }
    }
    return blocks_weight(b, first, false, n * n_rows, n_cols);
}

const lm_tensor *lm_block_weight_part(const lm_catalogue *catalogue, const lm_weight_info *info, uint32_t part)
{
    const lm_tensor *first = lm_catalogue_tensor(catalogue, info->name);
    if (part == 0 || !first || first->n_rows >= info->n_rows)
        return part == 0 ? first : NULL;
    if (part >= info->n_rows / first->n_rows)
        return NULL;
    static const char tail[] = ".0.weight";                 /* "blk.1.ffn_up.0.weight": the first expert of several */
    char full[BLOCKS_NAME];
    size_t len = strlen(info->name);
    if (len < sizeof tail || len >= BLOCKS_NAME || memcmp(info->name + len - (sizeof tail - 1), tail, sizeof tail - 1) != 0)
        return NULL;
    lm_print(full, sizeof full, "%.*s.%u.weight", (int)(len - (sizeof tail - 1)), info->name, part);
    return lm_catalogue_tensor(catalogue, full);
}

/* ---- operations ---------------------------------------------------------------------------------------------------------- */

static void blocks_emit(lm_blocks *b, const lm_op *op)
{
    if (b->status >= 0)
        lm_graph_op(b->graph, op);
}

/* in[0] and a norm as a linear's prologue. */
static lm_op blocks_linear(lm_blocks *b, int32_t x, const char *norm, uint64_t n)
{
    lm_op op = lm_op_init(LM_OP_LINEAR, b->rows, b->layer);
    op.in[0] = x;
    op.u.linear = (lm_op_linear){ .n_matrices = 1, .scale = 1.0f };
    if (norm) {
        op.weight[3] = lm_block_vector(b, norm, "weight", n, false);
        op.u.linear.norm = LM_NORM_RMS;
        op.u.linear.eps = b->p->rms_eps;
    }
    return op;
}

int32_t lm_block_embed(lm_blocks *b)
{
    lm_op op = lm_op_init(LM_OP_EMBED, LM_ROWS_ALL, -1);
    b->embedding = lm_block_matrix(b, "token_embd", b->p->n_vocab, b->p->n_embd, false);
    op.weight[0] = b->embedding;
    op.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, b->p->n_embd);
    op.u.embed.scale = 1.0f;
    blocks_emit(b, &op);
    return op.out[0];
}

void lm_block_angles(lm_blocks *b)
{
    lm_op op = lm_op_init(LM_OP_ANGLES, LM_ROWS_ALL, -1);
    op.weight[0] = lm_block_vector(b, "rope_freqs", "weight", b->p->n_rot / 2, true);
    op.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, b->p->n_rot);
    op.u.angles = b->p->angles;
    blocks_emit(b, &op);
    b->angles = op.out[0];
}

/* Only the rows that want an output. */
static int32_t blocks_gather(lm_blocks *b, int32_t x, uint32_t width)
{
    lm_op op = lm_op_init(LM_OP_GATHER, LM_ROWS_OUT, b->layer);
    op.in[0] = x;
    op.out[0] = lm_graph_value(b->graph, LM_ROWS_OUT, width);
    blocks_emit(b, &op);
    return op.out[0];
}

/* x + Wx [+ bias] */
static int32_t blocks_add(lm_blocks *b, int32_t x, int32_t in, const char *name, uint32_t n_rows, uint32_t n_cols, bool biases)
{
    lm_op op = blocks_linear(b, in, NULL, 0);
    op.in[1] = x;
    op.weight[0] = lm_block_matrix(b, name, n_rows, n_cols, false);
    op.weight[4] = blocks_bias(b, name, n_rows, biases);
    op.u.linear.epilogue = LM_EPILOGUE_RESIDUAL;
    op.out[0] = lm_graph_value(b->graph, b->rows, n_rows);
    blocks_emit(b, &op);
    return op.out[0];
}

int32_t lm_block_attend(lm_blocks *b, int32_t x, lm_block_attention how)
{
    const lm_params *p = b->p;
    const uint32_t n_q = p->n_head * p->head_dim, n_k = p->n_head_kv * p->head_dim, n_v = p->n_head_kv * p->v_dim, n_o = p->n_head * p->v_dim;

    lm_op qkv = blocks_linear(b, x, "attn_norm", p->n_embd);            /* [all, n_embd] -> q, k, v */
    qkv.u.linear.n_matrices = 3;
    qkv.weight[0] = lm_block_matrix(b, "attn_q", n_q, p->n_embd, false);
    qkv.weight[1] = lm_block_matrix(b, "attn_k", n_k, p->n_embd, false);
    qkv.weight[2] = lm_block_matrix(b, "attn_v", n_v, p->n_embd, false);
    qkv.weight[4] = blocks_bias(b, "attn_q", n_q, how.biases);
    qkv.weight[5] = blocks_bias(b, "attn_k", n_k, how.biases);
    qkv.weight[6] = blocks_bias(b, "attn_v", n_v, how.biases);
    qkv.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, n_q);
    qkv.out[1] = lm_graph_value(b->graph, LM_ROWS_ALL, n_k);
    qkv.out[2] = lm_graph_value(b->graph, LM_ROWS_ALL, n_v);
    blocks_emit(b, &qkv);

    const lm_stream stream = { .kind = LM_STATE_PER_TOKEN, .n_heads = p->n_head_kv, .k_dim = p->head_dim, .v_dim = p->v_dim };
    lm_op head = lm_op_init(LM_OP_HEAD, LM_ROWS_ALL, b->layer);
    head.in[0] = qkv.out[0];
    head.in[1] = qkv.out[1];
    head.in[2] = qkv.out[2];
    head.in[3] = b->rope == LM_ROPE_NONE ? LM_NONE : b->angles;
    if (how.qk_norm) {
        head.weight[0] = lm_block_vector(b, "attn_q_norm", "weight", p->head_dim, false);
        head.weight[1] = lm_block_vector(b, "attn_k_norm", "weight", p->head_dim, false);
    }
    head.state = lm_graph_stream(b->graph, &stream);
    head.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, n_q);
    head.u.head = (lm_op_head){ .n_head = p->n_head, .n_head_kv = p->n_head_kv, .head_dim = p->head_dim, .v_dim = p->v_dim,
                                .n_rot = b->rope == LM_ROPE_NONE ? 0 : p->n_rot, .rope = b->rope, .eps = p->rms_eps, .q_scale = 1.0f };
    blocks_emit(b, &head);

    lm_op attend = lm_op_init(LM_OP_ATTEND, LM_ROWS_ALL, b->layer);
    attend.in[0] = head.out[0];
    attend.state = head.state;
    attend.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, n_o);
    attend.u.attend = (lm_op_attend){ .n_head = p->n_head, .n_head_kv = p->n_head_kv, .head_dim = p->head_dim, .v_dim = p->v_dim, .scale = p->attention_scale };
    blocks_emit(b, &attend);

    int32_t a = attend.out[0];
    if (how.last) {
        a = blocks_gather(b, a, n_o);
        x = blocks_gather(b, x, p->n_embd);
        b->rows = LM_ROWS_OUT;
    }
    return blocks_add(b, x, a, "attn_output", p->n_embd, n_o, how.biases);
}

int32_t lm_block_ffn(lm_blocks *b, int32_t x, bool biases)
{
    const lm_params *p = b->p;
    lm_op op = blocks_linear(b, x, "ffn_norm", p->n_embd);
    op.weight[0] = lm_block_matrix(b, "ffn_gate", p->n_ff, p->n_embd, false);
    op.weight[1] = lm_block_matrix(b, "ffn_up", p->n_ff, p->n_embd, false);
    op.weight[4] = blocks_bias(b, "ffn_gate", p->n_ff, biases);
    op.weight[5] = blocks_bias(b, "ffn_up", p->n_ff, biases);
    op.u.linear.n_matrices = 2;
    op.u.linear.epilogue = LM_EPILOGUE_GATED;
    op.u.linear.act = LM_ACT_SILU;
    op.out[0] = lm_graph_value(b->graph, b->rows, p->n_ff);
    blocks_emit(b, &op);
    return blocks_add(b, x, op.out[0], "ffn_down", p->n_embd, p->n_ff, biases);
}

int32_t lm_block_experts(lm_blocks *b, int32_t x)
{
    const lm_params *p = b->p;
    lm_op router = blocks_linear(b, x, "ffn_norm", p->n_embd);
    router.weight[0] = lm_block_matrix(b, "ffn_gate_inp", p->n_expert, p->n_embd, false);
    router.out[0] = lm_graph_value(b->graph, b->rows, p->n_expert);
    blocks_emit(b, &router);

    lm_op route = lm_op_init(LM_OP_ROUTE, b->rows, b->layer);
    route.in[0] = router.out[0];
    route.out[0] = lm_graph_value(b->graph, b->rows, p->n_expert_used);
    route.out[1] = lm_graph_value(b->graph, b->rows, p->n_expert_used);
    route.u.route = (lm_op_route){ .n_expert = p->n_expert, .n_used = p->n_expert_used, .gating = LM_GATING_SOFTMAX, .normalize = 1, .scale = 1.0f };
    blocks_emit(b, &route);

    lm_op up = lm_op_init(LM_OP_LINEAR_EXPERTS, b->rows, b->layer);
    up.in[0] = x;
    up.in[1] = route.out[0];
    up.in[2] = route.out[1];
    up.weight[0] = lm_block_experts_matrix(b, "ffn_gate", p->n_ff_expert, p->n_embd);
    up.weight[1] = lm_block_experts_matrix(b, "ffn_up", p->n_ff_expert, p->n_embd);
    up.weight[3] = router.weight[3];
    up.out[0] = lm_graph_value(b->graph, b->rows, p->n_expert_used * p->n_ff_expert);
    up.u.experts = (lm_op_experts){ .n_expert = p->n_expert, .n_used = p->n_expert_used, .norm = LM_NORM_RMS, .act = LM_ACT_SILU, .eps = p->rms_eps };
    blocks_emit(b, &up);

    lm_op down = lm_op_init(LM_OP_LINEAR_EXPERTS, b->rows, b->layer);
    down.in[0] = up.out[0];
    down.in[1] = route.out[0];
    down.in[2] = route.out[1];
    down.in[3] = x;
    down.weight[0] = lm_block_experts_matrix(b, "ffn_down", p->n_embd, p->n_ff_expert);
    down.out[0] = lm_graph_value(b->graph, b->rows, p->n_embd);
    down.u.experts = (lm_op_experts){ .n_expert = p->n_expert, .n_used = p->n_expert_used, .down = 1 };
    blocks_emit(b, &down);
    return down.out[0];
}

int32_t lm_block_logits(lm_blocks *b, int32_t x)
{
    b->layer = -1;
    lm_op op = blocks_linear(b, x, "output_norm", b->p->n_embd);
    op.kind = LM_OP_LOGITS;
    op.weight[0] = lm_block_matrix(b, "output", b->p->n_vocab, b->p->n_embd, true);
    if (op.weight[0] == LM_NONE)
        op.weight[0] = b->embedding;
    op.out[0] = lm_graph_value(b->graph, LM_ROWS_OUT, b->p->n_vocab);
    blocks_emit(b, &op);
    return op.out[0];
}
