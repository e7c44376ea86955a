/* SPDX-License-Identifier: MIT
 * Blocks of architectures: operations emitted over the tensors that lookup.c finds. Knows GGUF's tensor names and nothing of keys. Owns
 * nothing.
 *
 * Shapes in comments are [rows of the pass, items]. Threads: one builder, one thread. */
#include "model/arch/blocks.h"

lm_blocks lm_blocks_begin(const lm_catalogue *catalogue, const lm_params *params, uint32_t rope, lm_graph *graph, llm_error *error)
{
    return (lm_blocks){ .catalogue = catalogue, .p = params, .graph = graph, .error = error, .rope = rope, .rows = LM_ROWS_ALL, .layer = -1,
                        .embedding = LM_NONE, .angles = LM_NONE };
}

llm_status lm_blocks_end(lm_blocks *b)
{
    return b->status;
}

static int32_t blocks_bias(lm_blocks *b, const char *name, uint64_t n, bool wanted)
{
    return wanted ? lm_block_vector(b, name, "bias", n, true) : LM_NONE;
}

static int32_t blocks_norm(lm_blocks *b, const char *name)
{
    return lm_block_vector(b, name, "weight", b->p->n_embd, false);
}

static void blocks_emit(lm_blocks *b, const lm_op *op)
{
    if (b->status >= 0)
        lm_graph_op(b->graph, op);
}

/* in[0] and a norm (its weight) as a linear's prologue. */
static lm_op blocks_linear(lm_blocks *b, int32_t x, int32_t norm)
{
    lm_op op = lm_op_init(LM_OP_LINEAR, b->rows, b->layer);
    op.in[0] = x;
    op.u.linear = (lm_op_linear){ .n_matrices = 1, .scale = 1.0f };
    if (norm != LM_NONE) {
        op.weight[3] = norm;
        op.u.linear.norm = LM_NORM_RMS;
        op.u.linear.eps = b->p->rms_eps;
    }
    return op;
}

int32_t lm_block_embed(lm_blocks *b, float scale)
{
    lm_op op = lm_op_init(LM_OP_EMBED, LM_ROWS_ALL, -1);
    b->embedding = lm_block_matrix(b, "token_embd", b->p->n_vocab, b->p->n_embd, false);
    op.weight[0] = b->embedding;
    op.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, b->p->n_embd);
    op.u.embed.scale = scale;
    blocks_emit(b, &op);
    return op.out[0];
}

int32_t lm_block_angles(lm_blocks *b, const lm_op_angles *angles, bool divisors)
{
    lm_op op = lm_op_init(LM_OP_ANGLES, LM_ROWS_ALL, -1);
    if (divisors && (b->p->long_rope || lm_block_find(b, "rope_factors_long") || lm_block_find(b, "rope_factors_short"))) {
        op.weight[0] = lm_block_vector(b, "rope_factors_short", "weight", b->p->n_rot / 2, false);
        op.weight[1] = lm_block_vector(b, "rope_factors_long", "weight", b->p->n_rot / 2, false);
    } else if (divisors) {
        op.weight[0] = lm_block_vector(b, "rope_freqs", "weight", b->p->n_rot / 2, true);
    }
    op.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, b->p->n_rot);
    op.u.angles = *angles;
    blocks_emit(b, &op);
    return op.out[0];
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

/* The end of a block: x + y, y = W in [+ bias]; with a norm of the block's output: x + rms(y). */
static int32_t blocks_add(lm_blocks *b, int32_t x, int32_t in, const char *name, uint32_t n_cols, bool biases, const char *post_norm)
{
    uint32_t n = b->p->n_embd;
    lm_op op = blocks_linear(b, in, LM_NONE);
    op.weight[0] = lm_block_matrix(b, name, n, n_cols, false);
    op.weight[4] = blocks_bias(b, name, n, biases);
    op.out[0] = lm_graph_value(b->graph, b->rows, n);
    if (!post_norm) {
        op.in[1] = x;
        op.u.linear.epilogue = LM_EPILOGUE_RESIDUAL;
    }
    blocks_emit(b, &op);
    if (!post_norm)
        return op.out[0];
    lm_op norm = lm_op_init(LM_OP_NORM, b->rows, b->layer);
    norm.in[0] = op.out[0];
    norm.in[1] = x;
    norm.weight[3] = blocks_norm(b, post_norm);
    norm.out[0] = lm_graph_value(b->graph, b->rows, n);
    norm.u.norm = (lm_op_norm){ LM_NORM_RMS, b->p->rms_eps };
    blocks_emit(b, &norm);
    return norm.out[0];
}

/* act(Wgate n) * Wup n, n = rms(x; norm) */
static int32_t blocks_gated(lm_blocks *b, int32_t x, int32_t norm, const char *gate, const char *up, uint32_t n_ff, lm_block_feed how)
{
    lm_op op = blocks_linear(b, x, norm);
    const lm_tensor *fused = lm_block_find(b, gate) ? NULL : lm_block_find(b, up);
    if (fused && fused->n_rows == 2 * (uint64_t)n_ff) {
        lm_block_fused(b, up, 2, (uint32_t[]){ n_ff, n_ff }, b->p->n_embd, how.biases, &op.weight[0], &op.weight[4]);
    } else {
        op.weight[0] = lm_block_matrix(b, gate, n_ff, b->p->n_embd, false);
        op.weight[1] = lm_block_matrix(b, up, n_ff, b->p->n_embd, false);
        op.weight[4] = blocks_bias(b, gate, n_ff, how.biases);
        op.weight[5] = blocks_bias(b, up, n_ff, how.biases);
    }
    op.u.linear.n_matrices = 2;
    op.u.linear.epilogue = LM_EPILOGUE_GATED;
    op.u.linear.act = how.act;
    op.out[0] = lm_graph_value(b->graph, b->rows, n_ff);
    blocks_emit(b, &op);
    return op.out[0];
}

/* Streams kept equally long share a page class. */
static uint32_t blocks_page_class(lm_blocks *b, uint32_t keep)
{
    for (uint32_t c = 0; c < b->n_classes; c++)
        if (b->keeps[c] == keep)
            return c;
    if (b->n_classes == LM_MAX_PAGE_CLASSES)
        return LM_MAX_PAGE_CLASSES;                         /* refused by lm_graph_stream */
    b->keeps[b->n_classes] = keep;
    return b->n_classes++;
}

int32_t lm_block_attend(lm_blocks *b, int32_t x, lm_block_attention how)
{
    const lm_params *p = b->p;
    const uint32_t n_q = p->n_head * p->head_dim, n_k = p->n_head_kv * p->head_dim, n_v = p->n_head_kv * p->v_dim, n_o = p->n_head * p->v_dim;

    lm_op qkv = blocks_linear(b, x, blocks_norm(b, "attn_norm"));        /* [all, n_embd] -> q, k, v */
    qkv.u.linear.n_matrices = 3;
    if (!lm_block_find(b, "attn_q") && lm_block_find(b, "attn_qkv")) {
        lm_block_fused(b, "attn_qkv", 3, (uint32_t[]){ n_q, n_k, n_v }, p->n_embd, how.biases, &qkv.weight[0], &qkv.weight[4]);
    } else {
        qkv.weight[0] = lm_block_matrix(b, "attn_q", n_q, p->n_embd, false);
        qkv.weight[1] = lm_block_matrix(b, "attn_k", n_k, p->n_embd, false);
        qkv.weight[2] = lm_block_matrix(b, "attn_v", n_v, p->n_embd, false);
        qkv.weight[4] = blocks_bias(b, "attn_q", n_q, how.biases);
        qkv.weight[5] = blocks_bias(b, "attn_k", n_k, how.biases);
        qkv.weight[6] = blocks_bias(b, "attn_v", n_v, how.biases);
    }
    qkv.out[0] = lm_graph_value(b->graph, LM_ROWS_ALL, n_q);
    qkv.out[1] = lm_graph_value(b->graph, LM_ROWS_ALL, n_k);
    qkv.out[2] = lm_graph_value(b->graph, LM_ROWS_ALL, n_v);
    blocks_emit(b, &qkv);

    const lm_stream stream = { .kind = LM_STATE_PER_TOKEN, .page_class = blocks_page_class(b, how.window), .n_heads = p->n_head_kv, .k_dim = p->head_dim,
                               .v_dim = p->v_dim, .keep = how.window };
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
    attend.u.attend = (lm_op_attend){ .n_head = p->n_head, .n_head_kv = p->n_head_kv, .head_dim = p->head_dim, .v_dim = p->v_dim, .window = how.window,
                                      .scale = p->attention_scale, .softcap = p->attention_softcap };
    blocks_emit(b, &attend);

    int32_t a = attend.out[0];
    if (how.last) {
        a = blocks_gather(b, a, n_o);
        x = blocks_gather(b, x, p->n_embd);
        b->rows = LM_ROWS_OUT;
    }
    return blocks_add(b, x, a, "attn_output", n_o, how.biases, how.post_norm ? "post_attention_norm" : NULL);
}

int32_t lm_block_ffn(lm_blocks *b, int32_t x, lm_block_feed how)
{
    int32_t y = blocks_gated(b, x, blocks_norm(b, "ffn_norm"), "ffn_gate", "ffn_up", b->p->n_ff, how);
    return blocks_add(b, x, y, "ffn_down", b->p->n_ff, how.biases, how.post_norm ? "post_ffw_norm" : NULL);
}

/* y + sigmoid(Wg n) * ffn(n), n = rms(x; norm) */
static int32_t blocks_shared_expert(lm_blocks *b, int32_t x, int32_t norm, int32_t y)
{
    const lm_params *p = b->p;
    lm_op gate = blocks_linear(b, x, norm);
    gate.weight[0] = lm_block_matrix(b, "ffn_gate_inp_shexp", 1, p->n_embd, false);
    gate.out[0] = lm_graph_value(b->graph, b->rows, 1);
    blocks_emit(b, &gate);
    int32_t up = blocks_gated(b, x, norm, "ffn_gate_shexp", "ffn_up_shexp", p->n_ff_shared, (lm_block_feed){ .act = LM_ACT_SILU });
    lm_op down = blocks_linear(b, up, LM_NONE);
    down.in[1] = y;
    down.in[2] = gate.out[0];
    down.weight[0] = lm_block_matrix(b, "ffn_down_shexp", p->n_embd, p->n_ff_shared, false);
    down.u.linear.epilogue = LM_EPILOGUE_RESIDUAL;
    down.out[0] = lm_graph_value(b->graph, b->rows, p->n_embd);
    blocks_emit(b, &down);
    return down.out[0];
}

int32_t lm_block_experts(lm_blocks *b, int32_t x, bool shared)
{
    const lm_params *p = b->p;
    int32_t norm = blocks_norm(b, "ffn_norm");
    lm_op router = blocks_linear(b, x, norm);
    router.weight[0] = lm_block_matrix(b, "ffn_gate_inp", p->n_expert, p->n_embd, false);
    router.out[0] = lm_graph_value(b->graph, b->rows, p->n_expert);
    blocks_emit(b, &router);

    lm_op route = lm_op_init(LM_OP_ROUTE, b->rows, b->layer);
    route.in[0] = router.out[0];
    route.out[0] = lm_graph_value(b->graph, b->rows, p->n_expert_used);
    route.out[1] = lm_graph_value(b->graph, b->rows, p->n_expert_used);
    route.u.route = (lm_op_route){ .n_expert = p->n_expert, .n_used = p->n_expert_used, .gating = LM_GATING_SOFTMAX, .normalize = p->normalize_experts,
                                  .scale = 1.0f };
    blocks_emit(b, &route);

    lm_op up = lm_op_init(LM_OP_LINEAR_EXPERTS, b->rows, b->layer);
    up.in[0] = x;
    up.in[1] = route.out[0];
    up.in[2] = route.out[1];
    up.weight[0] = lm_block_experts_matrix(b, "ffn_gate", p->n_ff_expert, p->n_embd);
    up.weight[1] = lm_block_experts_matrix(b, "ffn_up", p->n_ff_expert, p->n_embd);
    up.weight[3] = norm;
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
    return shared ? blocks_shared_expert(b, x, norm, down.out[0]) : down.out[0];
}

int32_t lm_block_logits(lm_blocks *b, int32_t x)
{
    b->layer = -1;
    lm_op op = blocks_linear(b, x, blocks_norm(b, "output_norm"));
    op.kind = LM_OP_LOGITS;
    op.u.linear.softcap = b->p->logit_softcap;
    op.weight[0] = lm_block_matrix(b, "output", b->p->n_vocab, b->p->n_embd, true);
    if (op.weight[0] == LM_NONE)
        op.weight[0] = b->embedding;
    op.out[0] = lm_graph_value(b->graph, LM_ROWS_OUT, b->p->n_vocab);
    blocks_emit(b, &op);
    return op.out[0];
}
