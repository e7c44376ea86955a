/* SPDX-License-Identifier: MIT
 * Every operation on the driver at hand, once for a device, before its first program: a program of our own, of odd sizes, whose values are
 * compared one by one with plain double arithmetic over the values that the device itself has read. An operation that is wrong is
 * quarantined: programs that have it are refused by name, others run. Owns nothing that stays. Threads: any; two at once do it twice. */
#include "backend/vulkan/vulkan.h"

#include "base/fmath.h"
#include "base/half.h"

#include <string.h>

LM_EXACT_ARITHMETIC

enum { OPS_VOCAB = 41, OPS_EMBD = 72, OPS_HEADS = 4, OPS_KV = 2, OPS_DIM = 24, OPS_V = 20, OPS_ROT = 16, OPS_FF = 40, OPS_EXPERTS = 5, OPS_USED = 2, OPS_WINDOW = 7 };
enum { OPS_ROWS = 11, OPS_FEW = 3, OPS_DEEP = 13 * OPS_ROWS, OPS_OUT = 2, OPS_MOST = 24, OPS_MOST_VALUES = 32, OPS_MOST_WEIGHTS = 40 };
enum { OPS_PAGES = (OPS_DEEP + 1 + OPS_FEW) / LM_PAGE_POSITIONS + 1, OPS_MAX_WIDTH = 128 };

typedef struct selftest_ops {
    lm_vk *vk;
    lm_program program;
    lm_op ops[OPS_MOST];
    lm_value values[OPS_MOST_VALUES];
    lm_weight_info infos[OPS_MOST_WEIGHTS];
    lm_stream streams[2];
    lm_weight *weights[OPS_MOST_WEIGHTS];
    float *data[OPS_MOST_WEIGHTS];
    uint64_t state;                                         /* of the random numbers */
    lm_exec *exec;
    lm_pool *pool;
    lm_run_arena *arena;
    uint32_t pages[2][OPS_PAGES];
    int32_t state_type;
    uint8_t *page;                                          /* of one stream, as exported */
    double *wanted;                                         /* [OPS_MAX_WIDTH] */
    float *fetched[LM_OP_IN + LM_OP_OUT];                   /* [OPS_ROWS * OPS_MAX_WIDTH]: what the operation read and wrote */
    double worst[LM_OP_COUNT];
} selftest_ops;

/* ---- the program ------------------------------------------------------------------------------------------------------------ */

static int32_t ops_value(selftest_ops *t, uint32_t rows, uint32_t width)
{
    lm_program *p = &t->program;
    t->values[p->n_values] = (lm_value){ .rows = rows, .width = width, .offset = p->row_items[rows] };
    p->row_items[rows] += width;
    return (int32_t)p->n_values++;
}

static int32_t ops_weight(selftest_ops *t, uint32_t n_rows, uint32_t n_cols)   /* n_rows 0: a vector */
{
    lm_program *p = &t->program;
    t->infos[p->n_weights] = (lm_weight_info){ .name = "a self-test", .type = LM_TYPE_F32, .is_vector = n_rows == 0, .n_rows = LM_MAX(n_rows, 1), .n_cols = n_cols };
    return (int32_t)p->n_weights++;
}

static lm_op *ops_op(selftest_ops *t, uint32_t kind, uint32_t rows)
{
    lm_op *op = &t->ops[t->program.n_ops++];
    memset(op, 0, sizeof *op);
    op->kind = kind;
    op->rows = rows;
    op->state = op->layer = LM_NONE;
    for (int i = 0; i < LM_OP_IN; i++)
        op->in[i] = LM_NONE;
    for (int i = 0; i < LM_OP_OUT; i++)
        op->out[i] = LM_NONE;
    for (int i = 0; i < LM_OP_WEIGHTS; i++)
        op->weight[i] = LM_NONE;
    return op;
}

static lm_op *ops_linear(selftest_ops *t, int32_t x, uint32_t n, const uint32_t *widths, uint32_t epilogue, bool norm)
{
    uint32_t k = t->values[x].width;
    lm_op *op = ops_op(t, LM_OP_LINEAR, LM_ROWS_ALL);
    op->u.linear = (lm_op_linear){ .n_matrices = n, .norm = norm ? LM_NORM_RMS : LM_NORM_NONE, .epilogue = epilogue, .act = epilogue == LM_EPILOGUE_GATED ? LM_ACT_SILU : LM_ACT_NONE,
                                   .eps = 1e-5f, .scale = 1 };
    op->in[0] = x;
    if (norm)
        op->weight[3] = ops_weight(t, 0, k);
    for (uint32_t i = 0; i < n; i++)
        op->weight[i] = ops_weight(t, widths[i], k);
    for (uint32_t i = 0; i < (epilogue == LM_EPILOGUE_NONE ? n : 1); i++)
        op->out[i] = ops_value(t, LM_ROWS_ALL, widths[i]);
    return op;
}

/* Attention of one layer and what adds it to x. The first has norms of heads, halves, biases; the second a window, pairs, a soft cap. */
static int32_t ops_attention(selftest_ops *t, int32_t x, int32_t angles, uint32_t layer)
{
    static const uint32_t widths[] = { OPS_HEADS * OPS_DIM, OPS_KV * OPS_DIM, OPS_KV * OPS_V }, back[] = { OPS_EMBD };
    lm_op *qkv = ops_linear(t, x, 3, widths, LM_EPILOGUE_NONE, layer == 0);
    for (uint32_t i = 0; i < 3 && layer == 0; i++)
        qkv->weight[4 + i] = ops_weight(t, 0, widths[i]);
    lm_op *head = ops_op(t, LM_OP_HEAD, LM_ROWS_ALL);
    head->u.head = (lm_op_head){ OPS_HEADS, OPS_KV, OPS_DIM, OPS_V, OPS_ROT, layer == 0 ? LM_ROPE_HALVES : LM_ROPE_PAIRS, 1e-5f, 1 };
    memcpy(head->in, qkv->out, 3 * sizeof head->in[0]);
    head->in[3] = angles;
    for (uint32_t i = 0; i < 2 && layer == 0; i++)
        head->weight[i] = ops_weight(t, 0, OPS_DIM);
    head->out[0] = ops_value(t, LM_ROWS_ALL, OPS_HEADS * OPS_DIM);
    head->state = (int32_t)layer;
    t->streams[layer] = (lm_stream){ LM_STATE_PER_TOKEN, layer, OPS_KV, OPS_DIM, OPS_V, layer ? OPS_WINDOW : 0 };
    lm_op *attend = ops_op(t, LM_OP_ATTEND, LM_ROWS_ALL);
    attend->u.attend = (lm_op_attend){ OPS_HEADS, OPS_KV, OPS_DIM, OPS_V, layer ? OPS_WINDOW : 0, 0.3f, layer ? 2.0f : 0, 0 };
    attend->in[0] = head->out[0];
    attend->out[0] = ops_value(t, LM_ROWS_ALL, OPS_HEADS * OPS_V);
    attend->state = (int32_t)layer;
    lm_op *out = ops_linear(t, attend->out[0], 1, back, LM_EPILOGUE_RESIDUAL, false);
    out->in[1] = x;
    return out->out[0];
}

static int32_t ops_experts(selftest_ops *t, int32_t x)
{
    static const uint32_t n_expert[] = { OPS_EXPERTS };
    lm_op *router = ops_linear(t, x, 1, n_expert, LM_EPILOGUE_NONE, true);
    lm_op *route = ops_op(t, LM_OP_ROUTE, LM_ROWS_ALL);
    route->u.route = (lm_op_route){ OPS_EXPERTS, OPS_USED, LM_GATING_SOFTMAX, 1, 1.5f, 0 };
    route->in[0] = router->out[0];
    route->out[0] = ops_value(t, LM_ROWS_ALL, OPS_USED);
    route->out[1] = ops_value(t, LM_ROWS_ALL, OPS_USED);
    lm_op *up = ops_op(t, LM_OP_LINEAR_EXPERTS, LM_ROWS_ALL);
    up->u.experts = (lm_op_experts){ OPS_EXPERTS, OPS_USED, 0, LM_NORM_RMS, LM_ACT_GELU, 1e-5f };
    up->in[0] = x;
    up->in[1] = route->out[0];
    up->in[2] = route->out[1];
    up->weight[0] = ops_weight(t, OPS_EXPERTS * OPS_FF, OPS_EMBD);
    up->weight[1] = ops_weight(t, OPS_EXPERTS * OPS_FF, OPS_EMBD);
    up->weight[3] = ops_weight(t, 0, OPS_EMBD);
    up->out[0] = ops_value(t, LM_ROWS_ALL, OPS_USED * OPS_FF);
    lm_op *down = ops_op(t, LM_OP_LINEAR_EXPERTS, LM_ROWS_ALL);
    down->u.experts = (lm_op_experts){ OPS_EXPERTS, OPS_USED, 1, LM_NORM_NONE, LM_ACT_NONE, 0 };
    down->in[0] = up->out[0];
    down->in[1] = route->out[0];
    down->in[2] = route->out[1];
    down->in[3] = x;
    down->weight[0] = ops_weight(t, OPS_EXPERTS * OPS_EMBD, OPS_FF);
    return down->out[0] = ops_value(t, LM_ROWS_ALL, OPS_EMBD);
}

/* An expert that every row passes, behind a gate of one item. */
static int32_t ops_shared(selftest_ops *t, int32_t x)
{
    static const uint32_t gated[] = { OPS_FF, OPS_FF }, back[] = { OPS_EMBD }, one[] = { 1 };
    lm_op *gate = ops_linear(t, x, 1, one, LM_EPILOGUE_NONE, true), *up = ops_linear(t, x, 2, gated, LM_EPILOGUE_GATED, true);
    up->u.linear.act = LM_ACT_GELU;
    lm_op *down = ops_linear(t, up->out[0], 1, back, LM_EPILOGUE_RESIDUAL, false);
    down->in[1] = x;
    down->in[2] = gate->out[0];
    return down->out[0];
}

static void ops_program(selftest_ops *t)
{
    static const uint32_t gated[] = { OPS_FF, OPS_FF }, back[] = { OPS_EMBD };
    lm_program *p = &t->program;
    *p = (lm_program){ .ops = t->ops, .values = t->values, .weights = t->infos, .streams = t->streams, .n_streams = 2, .n_page_classes = 2, .n_vocab = OPS_VOCAB, .n_embd = OPS_EMBD };
    lm_op *op = ops_op(t, LM_OP_EMBED, LM_ROWS_ALL);
    op->u.embed.scale = 1.25f;
    op->weight[0] = ops_weight(t, OPS_VOCAB, OPS_EMBD);
    int32_t x = op->out[0] = ops_value(t, LM_ROWS_ALL, OPS_EMBD);
    op = ops_op(t, LM_OP_ANGLES, LM_ROWS_ALL);
    op->u.angles = (lm_op_angles){ .n_rot = OPS_ROT, .base = 10000, .freq_scale = 1, .magnitude = 1 };
    int32_t angles = op->out[0] = ops_value(t, LM_ROWS_ALL, OPS_ROT);
    x = ops_attention(t, x, angles, 0);
    op = ops_linear(t, x, 2, gated, LM_EPILOGUE_GATED, true);
    lm_op *down = ops_linear(t, op->out[0], 1, back, LM_EPILOGUE_RESIDUAL, false);
    down->in[1] = x;
    op = ops_op(t, LM_OP_NORM, LM_ROWS_ALL);
    op->u.norm = (lm_op_norm){ LM_NORM_RMS, 1e-5f };
    op->in[0] = down->out[0];
    op->in[1] = x;
    op->weight[3] = ops_weight(t, 0, OPS_EMBD);
    x = op->out[0] = ops_value(t, LM_ROWS_ALL, OPS_EMBD);
    x = ops_shared(t, ops_experts(t, ops_attention(t, x, angles, 1)));
    op = ops_op(t, LM_OP_GATHER, LM_ROWS_OUT);
    op->in[0] = x;
    x = op->out[0] = ops_value(t, LM_ROWS_OUT, OPS_EMBD);
    op = ops_op(t, LM_OP_LOGITS, LM_ROWS_OUT);
    op->u.linear = (lm_op_linear){ .n_matrices = 1, .norm = LM_NORM_RMS, .eps = 1e-5f, .scale = 0.5f, .softcap = 3 };
    op->in[0] = x;
    op->weight[0] = ops_weight(t, OPS_VOCAB, OPS_EMBD);
    op->weight[3] = ops_weight(t, 0, OPS_EMBD);
    p->logits = op->out[0] = ops_value(t, LM_ROWS_OUT, OPS_VOCAB);
    for (uint32_t o = 0; o < p->n_ops; o++)                 /* all live to the end, so that all can be looked at */
        for (int i = 0; i < LM_OP_OUT; i++)
            if (t->ops[o].out[i] != LM_NONE) {
                t->values[t->ops[o].out[i]].first_op = o;
                t->values[t->ops[o].out[i]].last_op = p->n_ops - 1;
            }
}

/* ---- plain arithmetic over one row ------------------------------------------------------------------------------------------- */

typedef struct ops_row { selftest_ops *t; const lm_op *op; uint32_t index, position, token; } ops_row;   /* index: in the operation's row set */

static double ops_root(double x)                            /* Newton; x >= 0 */
{
    double r = x > 1 ? x : 1;
    for (int i = 0; i < 64; i++)
        r = 0.5 * (r + x / r);
    return r;
}
static double ops_sigmoid(double x) { return 1 / (1 + lm_exp64(-x)); }
static double ops_tanh(double x) { return x < 0 ? -ops_tanh(-x) : x > 20 ? 1 : 1 - 2 / (lm_exp64(2 * x) + 1); }
static double ops_act(uint32_t act, double x)
{
    return act == LM_ACT_SILU ? x * ops_sigmoid(x) : x * ops_sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x));
}

static const float *ops_in(const ops_row *r, int i)
{
    return r->t->fetched[i] + (size_t)r->index * r->t->values[r->op->in[i]].width;
}

/* in[0], normed if the operation says so. */
static void ops_input(const ops_row *r, uint32_t norm, float eps, double *out)
{
    const float *x = ops_in(r, 0), *w = r->op->weight[3] == LM_NONE ? NULL : r->t->data[r->op->weight[3]];
    uint32_t n = r->t->values[r->op->in[0]].width;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    double scale = norm == LM_NORM_NONE ? 1 : 1 / ops_root(sum / n + (double)eps);
    for (uint32_t i = 0; i < n; i++)
        out[i] = (double)x[i] * scale * (norm != LM_NORM_NONE && w ? (double)w[i] : 1);
}

static double ops_dot(const float *row, const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)row[i] * x[i];
    return sum;
}

static void ops_want_linear(const ops_row *r, int which, double *out)
{
    const lm_op *op = r->op;
    const lm_op_linear *u = &op->u.linear;
    double x[OPS_MAX_WIDTH];
    uint32_t k = r->t->values[op->in[0]].width, n = r->t->values[op->out[which]].width;
    const float *add = u->epilogue == LM_EPILOGUE_RESIDUAL ? ops_in(r, 1) : NULL;
    double gate = add && op->in[2] != LM_NONE ? ops_sigmoid((double)*ops_in(r, 2)) : 1;
    ops_input(r, u->norm, u->eps, x);
    for (uint32_t i = 0; i < n; i++) {
        double y = ops_dot(r->t->data[op->weight[which]] + (size_t)i * k, x, k) + (op->weight[4 + which] == LM_NONE ? 0 : (double)r->t->data[op->weight[4 + which]][i]);
        if (u->epilogue == LM_EPILOGUE_GATED)
            y = ops_act(u->act, y) * ops_dot(r->t->data[op->weight[1]] + (size_t)i * k, x, k);
        y *= (double)u->scale * gate;
        out[i] = (add ? (double)add[i] : 0) + (u->softcap != 0 ? (double)u->softcap * ops_tanh(y / (double)u->softcap) : y);
    }
}

/* One head's `n` items of q or k: normed and turned. */
static void ops_head_items(const ops_row *r, const float *x, int32_t norm, const float *angles, double *out)
{
    const lm_op_head *u = &r->op->u.head;
    double sum = 0;
    for (uint32_t i = 0; i < OPS_DIM; i++)
        sum += (double)x[i] * (double)x[i];
    for (uint32_t i = 0; i < OPS_DIM; i++)
        out[i] = norm == LM_NONE ? (double)x[i] : (double)x[i] / ops_root(sum / OPS_DIM + (double)u->eps) * (double)r->t->data[norm][i];
    for (uint32_t j = 0; j < OPS_ROT / 2; j++) {
        uint32_t a = u->rope == LM_ROPE_PAIRS ? 2 * j : j, b = u->rope == LM_ROPE_PAIRS ? 2 * j + 1 : j + OPS_ROT / 2;
        double c = (double)angles[2 * j], s = (double)angles[2 * j + 1], p = out[a], q = out[b];
        out[a] = p * c - q * s;
        out[b] = p * s + q * c;
    }
}

/* Item i of a head at a position of a page as exported: K and then V. */
static double ops_state(const selftest_ops *t, uint32_t position, uint32_t head, uint32_t i, bool v)
{
    uint64_t k_row = lm_state_row_bytes(t->state_type, OPS_DIM), v_row = lm_state_row_bytes(t->state_type, OPS_V);
    const uint8_t *row = t->page + (position / LM_PAGE_POSITIONS) * (k_row + v_row) * OPS_KV * LM_PAGE_POSITIONS;
    position %= LM_PAGE_POSITIONS;
    row += v ? k_row * OPS_KV * LM_PAGE_POSITIONS + (position * OPS_KV + head) * v_row : (position * OPS_KV + head) * k_row;
    float x;
    uint16_t half;
    if (t->state_type == LLM_STATE_TYPE_F32) {
        memcpy(&x, row + 4 * (size_t)i, 4);
        return (double)x;
    }
    if (t->state_type == LLM_STATE_TYPE_F16) {
        memcpy(&half, row + 2 * (size_t)i, 2);
        return (double)lm_f32_from_f16(half);
    }
    memcpy(&x, row, 4);
    return (double)x * (double)(int8_t)row[4 + i];
}

static bool ops_fetch_state(const selftest_ops *t, const lm_op *op)
{
    uint32_t c = t->streams[op->state].page_class;
    uint64_t bytes = t->vk->base.table->pool_page_bytes(&t->vk->base, t->pool, c);
    for (uint32_t i = 0; i < OPS_PAGES; i++)
        if (t->vk->base.table->page_export(&t->vk->base, t->pool, c, t->pages[c][i], t->page + i * bytes, NULL) < 0)
            return false;
    return true;
}

static void ops_want_attend(const ops_row *r, const float *q, double *out)
{
    const lm_op_attend *u = &r->op->u.attend;
    uint32_t first = u->window && r->position + 1 > u->window ? r->position + 1 - u->window : 0;
    for (uint32_t h = 0; h < OPS_HEADS; h++) {
        double scores[OPS_DEEP + 1 + OPS_FEW], most = -1e300, sum = 0;
        for (uint32_t p = first; p <= r->position; p++) {
            double s = 0;
            for (uint32_t i = 0; i < OPS_DIM; i++)
                s += (double)q[h * OPS_DIM + i] * ops_state(r->t, p, h / (OPS_HEADS / OPS_KV), i, false);
            s *= (double)u->scale;
            scores[p] = u->softcap != 0 ? (double)u->softcap * ops_tanh(s / (double)u->softcap) : s;
            most = LM_MAX(most, scores[p]);
        }
        for (uint32_t i = 0; i < OPS_V; i++)
            out[h * OPS_V + i] = 0;
        for (uint32_t p = first; p <= r->position; p++) {
            double e = lm_exp64(scores[p] - most);
            sum += e;
            for (uint32_t i = 0; i < OPS_V; i++)
                out[h * OPS_V + i] += e * ops_state(r->t, p, h / (OPS_HEADS / OPS_KV), i, true);
        }
        for (uint32_t i = 0; i < OPS_V; i++)
            out[h * OPS_V + i] /= sum;
    }
}

/* The chosen experts and their weights. */
static void ops_want_route(const ops_row *r, const float *x, int which, double *out)
{
    double most = -1e300, sum = 0, p[OPS_EXPERTS];
    bool taken[OPS_EXPERTS] = { false };
    for (int e = 0; e < OPS_EXPERTS; e++)
        most = LM_MAX(most, (double)x[e]);
    for (int e = 0; e < OPS_EXPERTS; e++)
        p[e] = lm_exp64((double)x[e] - most);
    int ids[OPS_USED];
    for (int i = 0; i < OPS_USED; i++) {
        ids[i] = -1;
        for (int e = 0; e < OPS_EXPERTS; e++)
            if (!taken[e] && (ids[i] < 0 || p[e] > p[ids[i]]))
                ids[i] = e;
        taken[ids[i]] = true;
        sum += p[ids[i]];
    }
    for (int i = 0; i < OPS_USED; i++)
        out[i] = which == 0 ? (double)ids[i] : p[ids[i]] / sum * (double)r->op->u.route.scale;
}

static void ops_want_experts(const ops_row *r, double *out)
{
    const lm_op *op = r->op;
    const lm_op_experts *u = &op->u.experts;
    double x[OPS_MAX_WIDTH];
    int32_t chosen[OPS_USED];
    memcpy(chosen, ops_in(r, 1), sizeof chosen);
    const float *ranks = ops_in(r, 2), *add = u->down ? ops_in(r, 3) : NULL;
    ops_input(r, u->norm, u->eps, x);
    for (uint32_t i = 0; i < OPS_EMBD && u->down; i++)
        out[i] = (double)add[i];
    for (uint32_t n = 0; n < OPS_USED; n++) {
        if (chosen[n] < 0 || chosen[n] >= OPS_EXPERTS)
            return;                                         /* ROUTE was wrong, and has been told */
        for (uint32_t i = 0; i < (u->down ? OPS_EMBD : OPS_FF); i++) {
            uint32_t k = u->down ? OPS_FF : OPS_EMBD;
            size_t row = ((size_t)chosen[n] * (u->down ? OPS_EMBD : OPS_FF) + i) * k;
            double y = ops_dot(r->t->data[op->weight[0]] + row, u->down ? x + n * OPS_FF : x, k);
            if (u->down)
                out[i] += (double)ranks[n] * y;
            else
                out[n * OPS_FF + i] = ops_act(u->act, y) * ops_dot(r->t->data[op->weight[1]] + row, x, k);
        }
    }
}

/* What out[which] of the row should be. GATHER's input was fetched row by row, as its output. */
static void ops_want(const ops_row *r, int which, double *out)
{
    const lm_op *op = r->op;
    const selftest_ops *t = r->t;
    uint32_t width = t->values[op->out[which]].width;
    switch (op->kind) {
    case LM_OP_EMBED:
        for (uint32_t i = 0; i < width; i++)
            out[i] = (double)t->data[op->weight[0]][(size_t)r->token * width + i] * (double)op->u.embed.scale;
        break;
    case LM_OP_ANGLES:
        for (uint32_t j = 0; j < width / 2; j++)
            lm_sincos64((double)r->position * lm_pow64(op->u.angles.base, -2.0 * j / width), &out[2 * j + 1], &out[2 * j]);
        break;
    case LM_OP_NORM:
        ops_input(r, op->u.norm.norm, op->u.norm.eps, out);
        for (uint32_t i = 0; i < width; i++)
            out[i] += (double)ops_in(r, 1)[i];
        break;
    case LM_OP_HEAD:
        for (uint32_t h = 0; h < OPS_HEADS; h++)
            ops_head_items(r, ops_in(r, 0) + h * OPS_DIM, op->weight[0], ops_in(r, 3), out + h * OPS_DIM);
        break;
    case LM_OP_ATTEND:
        ops_want_attend(r, ops_in(r, 0), out);
        break;
    case LM_OP_ROUTE:
        ops_want_route(r, ops_in(r, 0), which, out);
        break;
    case LM_OP_LINEAR_EXPERTS:
        ops_want_experts(r, out);
        break;
    case LM_OP_GATHER:
        for (uint32_t i = 0; i < width; i++)
            out[i] = (double)ops_in(r, 0)[i];
        break;
    default:
        ops_want_linear(r, which, out);
    }
}

/* ---- comparing ---------------------------------------------------------------------------------------------------------------- */

static void ops_note(selftest_ops *t, uint32_t kind, double got, double want, double size)
{
    double off = (got > want ? got - want : want - got) / size;
    if (!(off <= 1e30))                                     /* a NaN counts as much */
        off = 1e30;
    t->worst[kind] = LM_MAX(t->worst[kind], off);
}

static double ops_size(const double *x, uint32_t n)
{
    double most = 1e-3;
    for (uint32_t i = 0; i < n; i++)
        most = LM_MAX(most, x[i] < 0 ? -x[i] : x[i]);
    return most;
}

/* K and V of a row as they came to stand in the page; what types round is allowed for. */
static void ops_written(const ops_row *r)
{
    selftest_ops *t = r->t;
    double k[OPS_DIM], room = t->state_type == LLM_STATE_TYPE_F32 ? 1 : t->state_type == LLM_STATE_TYPE_F16 ? 50 : 500;
    for (uint32_t h = 0; h < OPS_KV; h++) {
        ops_head_items(r, ops_in(r, 1) + h * OPS_DIM, r->op->weight[1], ops_in(r, 3), k);
        for (uint32_t i = 0; i < OPS_DIM; i++)
            ops_note(t, LM_OP_HEAD, ops_state(t, r->position, h, i, false), k[i], ops_size(k, OPS_DIM) * room);
        for (uint32_t i = 0; i < OPS_V; i++)
            k[i] = (double)ops_in(r, 2)[h * OPS_V + i];
        for (uint32_t i = 0; i < OPS_V; i++)
            ops_note(t, LM_OP_HEAD, ops_state(t, r->position, h, i, true), k[i], ops_size(k, OPS_V) * room);
    }
}

/* n rows of a value, from the first-th on. */
static bool ops_fetch(const selftest_ops *t, lm_run *run, int32_t value, uint32_t first, uint32_t n, float *out)
{
    uint32_t width = t->values[value].width;
    for (uint32_t i = 0; i < n; i++) {
        const void *from = t->vk->base.table->run_value(&t->vk->base, run, value, first + i);
        if (!from)
            return false;
        memcpy(out + (size_t)i * width, from, width * sizeof(float));
    }
    return true;
}

/* All rows of an operation that has just run; the rows that want an output are the last ones. false: they could not be fetched. */
static bool ops_compare(selftest_ops *t, lm_run *run, const lm_op *op, const lm_row *rows, uint32_t n_rows, uint32_t n_out)
{
    uint32_t n = op->rows == LM_ROWS_OUT ? n_out : n_rows;
    for (int i = 0; i < LM_OP_IN; i++)
        if (op->in[i] != LM_NONE && !ops_fetch(t, run, op->in[i], op->kind == LM_OP_GATHER ? n_rows - n_out : 0, n, t->fetched[i]))
            return false;
    for (int i = 0; i < LM_OP_OUT; i++)
        if (op->out[i] != LM_NONE && !ops_fetch(t, run, op->out[i], 0, n, t->fetched[LM_OP_IN + i]))
            return false;
    if ((op->kind == LM_OP_HEAD || op->kind == LM_OP_ATTEND) && !ops_fetch_state(t, op))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const lm_row *row = &rows[op->rows == LM_ROWS_OUT ? n_rows - n_out + i : i];
        ops_row r = { t, op, i, (uint32_t)row->position, (uint32_t)row->token };
        for (int which = 0; which < LM_OP_OUT && op->out[which] != LM_NONE; which++) {
            uint32_t width = t->values[op->out[which]].width;
            const float *got = t->fetched[LM_OP_IN + which] + (size_t)i * width;
            ops_want(&r, which, t->wanted);
            double size = ops_size(t->wanted, width);
            if (width == 1 && op->kind == LM_OP_LINEAR)     /* may be near zero by chance; its terms are not */
                size = LM_MAX(size, 1);
            for (uint32_t j = 0; j < width; j++) {
                int32_t id;
                memcpy(&id, &got[j], 4);
                ops_note(t, op->kind, op->kind == LM_OP_ROUTE && which == 0 ? (double)id : (double)got[j], t->wanted[j], size);
            }
        }
        if (op->kind == LM_OP_HEAD)
            ops_written(&r);
    }
    return true;
}

/* One pass, operation by operation: rows at `position` and behind it, the last ones with logits. */
static llm_status ops_pass(selftest_ops *t, uint32_t position, uint32_t n, llm_error *error)
{
    const lm_backend_table *table = t->vk->base.table;
    lm_row rows[OPS_ROWS];
    lm_slot slot = { .n_pages = { OPS_PAGES, OPS_PAGES } };
    uint32_t n_out = LM_MIN(n, OPS_OUT);
    lm_run *run = NULL;
    for (uint32_t i = 0; i < n; i++)
        rows[i] = (lm_row){ 0, (int32_t)(position + i), (llm_token)((position + i) * 17 % OPS_VOCAB), i + n_out >= n ? LM_ROW_LOGITS : 0 };
    slot.pages[0] = t->pages[0];
    slot.pages[1] = t->pages[1];
    lm_batch batch = { .rows = rows, .n_rows = n, .slots = &slot, .n_slots = 1, .n_out = n_out };
    LM_TRY(table->run_begin(&t->vk->base, t->exec, t->pool, t->arena, &batch, &run, error));
    llm_status status = LLM_OK;
    for (uint32_t o = 0; o < t->program.n_ops && status >= 0; o++) {
        lm_run_control control = { .deadline_ns = INT64_MAX, .stop_op = o + 1 };
        status = table->run_step(&t->vk->base, run, &control, error);
        if (status >= 0 && !ops_compare(t, run, &t->ops[o], rows, n, n_out) && (status = lm_vk_alive(t->vk, error)) >= 0)
            status = lm_fail(error, LLM_E_MEMORY, "a self-test could not read its values back");
    }
    table->run_end(&t->vk->base, run);
    return status;
}

/* What an earlier run, or another program, has left in the values and pages must not pass for a result: NaNs stand there. */
static llm_status ops_poison(selftest_ops *t, llm_error *error)
{
    lm_vk *vk = t->vk;
    const lm_vk_arena *arena = (const lm_vk_arena *)t->arena;
    llm_status status = LLM_OK;
    void *place = NULL;
    lm_vk_lock(vk);
    for (int set = 0; set < 2; set++)
        for (uint64_t at = 0, n; at < arena->values[set].bytes && status >= 0; at += n) {
            n = LM_MIN(arena->values[set].bytes - at, lm_vk_staging_bytes(vk));
            status = lm_vk_upload(vk, arena->values[set].buffer, at, n, &place, error);
            if (status >= 0)
                memset(place, 0xff, (size_t)n);
        }
    if (status >= 0)
        status = lm_vk_flush(vk, error);
    lm_vk_unlock(vk);
    return status;
}

static llm_status ops_poison_pages(selftest_ops *t, llm_error *error)
{
    const lm_backend_table *table = t->vk->base.table;
    for (uint32_t c = 0; c < 2; c++) {
        memset(t->page, 0xff, (size_t)table->pool_page_bytes(&t->vk->base, t->pool, c));
        for (uint32_t i = 0; i < OPS_PAGES; i++)
            LM_TRY(table->page_import(&t->vk->base, t->pool, c, t->pages[c][i], t->page, error));
    }
    return LLM_OK;
}

static llm_status ops_state_type(selftest_ops *t, int32_t state_type, llm_error *error)
{
    lm_backend *backend = &t->vk->base;
    const lm_backend_table *table = backend->table;
    t->state_type = state_type;
    t->pool = NULL;
    LM_TRY(table->pool_open(backend, &t->program, state_type, &t->pool, error));
    llm_status status = LLM_OK;
    for (uint32_t c = 0; c < 2 && status >= 0; c++)
        for (uint32_t i = 0; i < OPS_PAGES && status >= 0; i++)
            status = table->page_take(backend, t->pool, c, &t->pages[c][i], error);
    if (status >= 0)
        status = ops_poison_pages(t, error);
    uint32_t deep = state_type == LLM_STATE_TYPE_F16 ? OPS_DEEP : OPS_ROWS;       /* so deep that keys are split */
    for (uint32_t at = 0, n; at < deep + 1 + OPS_FEW && status >= 0; at += n) {   /* many rows at a time, then one, then a few */
        n = at < deep ? OPS_ROWS : at == deep ? 1 : OPS_FEW;
        status = ops_poison(t, error);
        if (status >= 0)
            status = ops_pass(t, at, n, error);
    }
    table->pool_close(backend, t->pool);
    return status;
}

static llm_status ops_weights(selftest_ops *t, llm_error *error)
{
    lm_backend *backend = &t->vk->base;
    for (uint32_t w = 0; w < t->program.n_weights; w++) {
        const lm_weight_info *info = &t->infos[w];
        size_t n = (size_t)(info->n_rows * info->n_cols);
        t->data[w] = lm_mem_new_array(&backend->host->mem, n, sizeof(float), LLM_MEMORY_OTHER);
        if (!t->data[w])
            return lm_fail_memory(error, "a self-test", n * sizeof(float));
        for (size_t i = 0; i < n; i++) {
            t->state = t->state * 6364136223846793005u + 1442695040888963407u;
            float x = (float)((int32_t)(t->state >> 40) - (1 << 23)) * 0x1p-23f;
            t->data[w][i] = info->is_vector ? 1 + 0.25f * x : 0.3f * x;
        }
        LM_TRY(backend->table->weight_begin(backend, info, &t->weights[w], error));
        LM_TRY(backend->table->weight_rows(backend, t->weights[w], 0, info->n_rows, t->data[w], error));
        LM_TRY(backend->table->weight_end(backend, t->weights[w], error));
    }
    return LLM_OK;
}

static llm_status ops_all(selftest_ops *t, llm_error *error)
{
    lm_backend *backend = &t->vk->base;
    lm_mem *mem = &backend->host->mem;
    uint64_t page = (lm_state_row_bytes(LLM_STATE_TYPE_F32, OPS_DIM) + lm_state_row_bytes(LLM_STATE_TYPE_F32, OPS_V)) * OPS_KV * LM_PAGE_POSITIONS;
    static const int32_t types[] = { LLM_STATE_TYPE_F32, LLM_STATE_TYPE_F16, LLM_STATE_TYPE_INT8 };
    ops_program(t);
    t->page = lm_mem_new(mem, (size_t)page * OPS_PAGES, LLM_MEMORY_OTHER);
    t->wanted = lm_mem_new_array(mem, OPS_MAX_WIDTH, sizeof *t->wanted, LLM_MEMORY_OTHER);
    bool there = t->page && t->wanted;
    for (size_t i = 0; i < LM_COUNT(t->fetched); i++)
        there = (t->fetched[i] = lm_mem_new_array(mem, OPS_ROWS * OPS_MAX_WIDTH, sizeof(float), LLM_MEMORY_OTHER)) != NULL && there;
    if (!there)
        return lm_fail_memory(error, "a self-test", (size_t)page);
    LM_TRY(ops_weights(t, error));
    LM_TRY(lm_vk_exec_make(t->vk, &t->program, t->weights, &t->exec, error));
    LM_TRY(backend->table->arena_open(backend, t->exec, OPS_ROWS, OPS_OUT, 1, 2 * OPS_PAGES, &t->arena, error));
    for (size_t i = 0; i < LM_COUNT(types); i++)
        LM_TRY(ops_state_type(t, types[i], error));
    return LLM_OK;
}

static void ops_close(selftest_ops *t)
{
    lm_backend *backend = &t->vk->base;
    lm_mem *mem = &backend->host->mem;
    backend->table->arena_close(backend, t->arena);
    backend->table->exec_close(backend, t->exec);
    for (uint32_t w = 0; w < t->program.n_weights; w++) {
        backend->table->weight_free(backend, t->weights[w]);
        lm_mem_free(mem, t->data[w]);
    }
    for (size_t i = 0; i < LM_COUNT(t->fetched); i++)
        lm_mem_free(mem, t->fetched[i]);
    lm_mem_free(mem, t->page);
    lm_mem_free(mem, t->wanted);
    lm_mem_free(mem, t);
}

llm_status lm_vk_selftest_ops(lm_vk *vk, llm_error *error)
{
    if (vk->trust || atomic_load_explicit(&vk->ops_tested, memory_order_acquire) != 0)
        return LLM_OK;
    llm_error why;
    llm_status status = lm_vk_selftest(vk, LM_TYPE_F32, &why);      /* how its products are to be made: they are not to spoil LINEAR */
    if (status < 0 && status != LLM_E_UNSUPPORTED) {
        if (error)
            *error = why;
        return status;
    }
    selftest_ops *t = lm_mem_new(&vk->base.host->mem, sizeof *t, LLM_MEMORY_OTHER);
    if (!t)
        return lm_fail_memory(error, "a self-test", sizeof *t);
    t->vk = vk;
    t->state = 7;
    status = ops_all(t, error);
    lm_vk_lock(vk);
    for (uint32_t kind = 0; kind < LM_OP_COUNT && status >= 0; kind++) {
        vk->ops_worst[kind] = (float)t->worst[kind];
        atomic_store_explicit(&vk->ops_wrong[kind], !(t->worst[kind] <= 2e-5), memory_order_relaxed);
    }
    if (status >= 0)
        atomic_store_explicit(&vk->ops_tested, 1, memory_order_release);
    lm_vk_unlock(vk);
    for (uint32_t kind = 0; kind < LM_OP_COUNT && status >= 0; kind++)
        if (!(t->worst[kind] <= 2e-5))
            lm_log(vk->base.host, LLM_LOG_WARN, "Vulkan: %s computes %s wrongly: off by %g", vk->caps.name, lm_op_name(kind), t->worst[kind]);
    ops_close(t);
    return status;
}

llm_status lm_vk_selftest_kind(lm_vk *vk, uint32_t kind, llm_error *error)
{
    if (!atomic_load_explicit(&vk->ops_wrong[kind], memory_order_relaxed))
        return LLM_OK;
    lm_vk_lock(vk);
    float worst = vk->ops_worst[kind];
    lm_vk_unlock(vk);
    return lm_fail(error, LLM_E_UNSUPPORTED, "%s computes wrongly: %s is off by %g", vk->caps.name, lm_op_name(kind), (double)worst);
}
