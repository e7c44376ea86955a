/* SPDX-License-Identifier: MIT
 * Is this program what its operations demand? Trusts nothing in it but its pointers and counts. Owns and allocates nothing.
 * A failure is a fault of whoever built the program, not of a file: E_INTERNAL with the operation's number. Threads: any. */
#include "ops/ops.h"

/* One operation under check. */
typedef struct check_op { const lm_program *p; const lm_op *op; uint32_t number; llm_error *error; } check_op;

#define CHECK_FAIL(c, ...) check_fail((c), __VA_ARGS__)

LM_PRINTF(2, 3) static llm_status check_fail(const check_op *c, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    lm_format(text, sizeof text, format, args);
    va_end(args);
    return lm_fail(c->error, LLM_E_INTERNAL, "operation %u (%s): %s", c->number, lm_op_name(c->op->kind), text);
}

/* in[i] is there, of `rows` rows and `width` items (0: any), and was written by an earlier operation. */
static llm_status check_in(const check_op *c, uint32_t i, uint32_t rows, uint64_t width)
{
    int32_t v = c->op->in[i];
    if (v < 0 || (uint32_t)v >= c->p->n_values)
        return CHECK_FAIL(c, "input %u is value %d of %u", i, v, c->p->n_values);
    const lm_value *value = &c->p->values[v];
    if (value->rows != rows)
        return CHECK_FAIL(c, "input %u (value %d) is over the other rows", i, v);
    if (width != 0 && value->width != width)
        return CHECK_FAIL(c, "input %u (value %d) has %u items, not %llu", i, v, value->width, (unsigned long long)width);
    if (value->first_op >= c->number && c->p->given != (uint32_t)v + 1)
        return CHECK_FAIL(c, "input %u (value %d) is read before it is written", i, v);
    if (value->last_op < c->number)
        return CHECK_FAIL(c, "input %u (value %d) is read after its life ended", i, v);
    return LLM_OK;
}

static llm_status check_out(const check_op *c, uint32_t i, uint32_t rows, uint64_t width)
{
    int32_t v = c->op->out[i];
    if (v < 0 || (uint32_t)v >= c->p->n_values)
        return CHECK_FAIL(c, "output %u is value %d of %u", i, v, c->p->n_values);
    const lm_value *value = &c->p->values[v];
    if (value->rows != rows)
        return CHECK_FAIL(c, "output %u (value %d) is over the other rows", i, v);
    if (value->width != width)
        return CHECK_FAIL(c, "output %u (value %d) has %u items, not %llu", i, v, value->width, (unsigned long long)width);
    if (value->first_op != c->number)
        return CHECK_FAIL(c, "output %u (value %d) is written twice or out of turn", i, v);
    for (uint32_t j = 0; j < i; j++)
        if (c->op->out[j] == v)
            return CHECK_FAIL(c, "value %d is two outputs", v);
    return LLM_OK;
}

/* weight[i] is there and a matrix of n_cols inputs (0: any), or a vector of n_cols items. */
static llm_status check_weight(const check_op *c, uint32_t i, bool vector, uint64_t n_cols, const lm_weight_info **out)
{
    int32_t w = c->op->weight[i];
    if (w < 0 || (uint32_t)w >= c->p->n_weights)
        return CHECK_FAIL(c, "weight %u is %d of %u", i, w, c->p->n_weights);
    const lm_weight_info *info = &c->p->weights[w];
    if ((info->is_vector != 0) != vector)
        return CHECK_FAIL(c, "weight %u is %s", i, vector ? "a matrix where a vector is due" : "a vector where a matrix is due");
    if (n_cols != 0 && info->n_cols != n_cols)
        return CHECK_FAIL(c, "weight %u has %llu columns, not %llu", i, (unsigned long long)info->n_cols, (unsigned long long)n_cols);
    if (out)
        *out = info;
    return LLM_OK;
}

/* A vector that may be absent. */
static llm_status check_vector(const check_op *c, uint32_t i, uint64_t n)
{
    return c->op->weight[i] == LM_NONE ? LLM_OK : check_weight(c, i, true, n, NULL);
}

static llm_status check_none(const check_op *c, uint32_t n_in, uint32_t n_out, uint32_t weights /* bits that may be used */)
{
    for (uint32_t i = n_in; i < LM_OP_IN; i++)
        if (c->op->in[i] != LM_NONE)
            return CHECK_FAIL(c, "input %u is not used by it", i);
    for (uint32_t i = n_out; i < LM_OP_OUT; i++)
        if (c->op->out[i] != LM_NONE)
            return CHECK_FAIL(c, "output %u is not used by it", i);
    for (uint32_t i = 0; i < LM_OP_WEIGHTS; i++)
        if (!(weights >> i & 1) && c->op->weight[i] != LM_NONE)
            return CHECK_FAIL(c, "weight %u is not used by it", i);
    if (!lm_op_reads_state(c->op->kind) && !lm_op_writes_state(c->op->kind) && c->op->state != LM_NONE)
        return CHECK_FAIL(c, "it has no state");
    return LLM_OK;
}

static uint32_t check_width(const check_op *c, uint32_t i)        /* of in[i], which was checked */
{
    return c->p->values[c->op->in[i]].width;
}

static llm_status check_norm(const check_op *c, uint32_t norm, float eps, uint64_t n)
{
    if (norm > LM_NORM_RMS)
        return CHECK_FAIL(c, "norm %u is unknown", norm);
    if (norm == LM_NORM_NONE)
        return c->op->weight[3] == LM_NONE ? LLM_OK : CHECK_FAIL(c, "a norm's weight without a norm");
    if (!(eps >= 0))
        return CHECK_FAIL(c, "the norm's epsilon is negative or NaN");
    return check_vector(c, 3, n);
}

static llm_status check_embed(const check_op *c)
{
    const lm_weight_info *w = NULL;
    if (c->op->rows != LM_ROWS_ALL)
        return CHECK_FAIL(c, "it runs over all rows only");
    LM_TRY(check_none(c, 0, 1, 1));
    LM_TRY(check_weight(c, 0, false, 0, &w));
    if (w->n_rows != c->p->n_vocab)
        return CHECK_FAIL(c, "%llu rows for a vocabulary of %u", (unsigned long long)w->n_rows, c->p->n_vocab);
    return check_out(c, 0, LM_ROWS_ALL, w->n_cols);
}

static llm_status check_angles(const check_op *c)
{
    const lm_op_angles *u = &c->op->u.angles;
    if (c->op->rows != LM_ROWS_ALL)
        return CHECK_FAIL(c, "it runs over all rows only");
    LM_TRY(check_none(c, 0, 1, 3));
    if (u->n_rot == 0 || u->n_rot % 2 != 0)
        return CHECK_FAIL(c, "n_rot is %u: an even number is due", u->n_rot);
    if (!(u->base > 0) || !(u->freq_scale > 0) || (u->ext_factor != 0 && !(u->n_ctx_orig > 0 && u->beta_fast > 0 && u->beta_slow > 0)))
        return CHECK_FAIL(c, "base, scale and the parameters of YaRN must be positive");
    if (c->op->weight[1] != LM_NONE && (c->op->weight[0] == LM_NONE || !(u->n_ctx_orig > 0)))
        return CHECK_FAIL(c, "divisors of long contexts, but none of short ones, or no length that parts them");
    LM_TRY(check_vector(c, 0, u->n_rot / 2));
    LM_TRY(check_vector(c, 1, u->n_rot / 2));
    return check_out(c, 0, LM_ROWS_ALL, u->n_rot);
}

static llm_status check_linear(const check_op *c)
{
    const lm_op_linear *u = &c->op->u.linear;
    const lm_weight_info *w[3] = { NULL, NULL, NULL };
    uint32_t rows = c->op->rows, residual = u->epilogue == LM_EPILOGUE_RESIDUAL, gate = residual && c->op->in[2] != LM_NONE;
    if (u->n_matrices < 1 || u->n_matrices > 3 || u->epilogue > LM_EPILOGUE_GATED || u->act > LM_ACT_GELU)
        return CHECK_FAIL(c, "%u matrices, epilogue %u, activation %u", u->n_matrices, u->epilogue, u->act);
    if ((residual && u->n_matrices != 1) || (u->epilogue == LM_EPILOGUE_GATED) != (u->act != LM_ACT_NONE) ||
        (u->epilogue == LM_EPILOGUE_GATED && u->n_matrices != 2))
        return CHECK_FAIL(c, "epilogue %u with %u matrices and activation %u", u->epilogue, u->n_matrices, u->act);
    if (!(u->softcap >= 0) || (u->softcap != 0 && c->op->kind != LM_OP_LOGITS))
        return CHECK_FAIL(c, "a soft cap of %g", (double)u->softcap);
    LM_TRY(check_none(c, 1 + residual + gate, u->epilogue == LM_EPILOGUE_NONE ? u->n_matrices : 1,
                      ((1u << u->n_matrices) - 1) * 0x11 | 0x8));
    LM_TRY(check_in(c, 0, rows, 0));
    uint32_t k = check_width(c, 0);
    LM_TRY(check_norm(c, u->norm, u->eps, k));
    for (uint32_t i = 0; i < u->n_matrices; i++) {
        LM_TRY(check_weight(c, i, false, k, &w[i]));
        LM_TRY(check_vector(c, 4 + i, w[i]->n_rows));
        if (u->epilogue == LM_EPILOGUE_NONE)
            LM_TRY(check_out(c, i, rows, w[i]->n_rows));
    }
    if (u->epilogue == LM_EPILOGUE_NONE)
        return LLM_OK;
    if (residual)
        LM_TRY(check_in(c, 1, rows, w[0]->n_rows));
    if (gate)
        LM_TRY(check_in(c, 2, rows, 1));
    if (!residual && w[0]->n_rows != w[1]->n_rows)
        return CHECK_FAIL(c, "gate of %llu rows, up of %llu", (unsigned long long)w[0]->n_rows, (unsigned long long)w[1]->n_rows);
    return check_out(c, 0, rows, w[0]->n_rows);
}

static llm_status check_logits(const check_op *c)
{
    const lm_op_linear *u = &c->op->u.linear;
    if (u->n_matrices != 1 || u->epilogue != LM_EPILOGUE_NONE)
        return CHECK_FAIL(c, "it takes one matrix and no epilogue");
    if (c->op->out[0] != c->p->logits)
        return CHECK_FAIL(c, "its output is not the program's logits");
    return check_linear(c);
}

static llm_status check_stream(const check_op *c, uint32_t n_heads, uint32_t k_dim, uint32_t v_dim, const lm_stream **out)
{
    if (c->op->state < 0 || (uint32_t)c->op->state >= c->p->n_streams)
        return CHECK_FAIL(c, "state stream %d of %u", c->op->state, c->p->n_streams);
    const lm_stream *s = &c->p->streams[c->op->state];
    if (s->n_heads != n_heads || s->k_dim != k_dim || s->v_dim != v_dim)
        return CHECK_FAIL(c, "stream %d holds %u heads of %u and %u, not %u of %u and %u", c->op->state, s->n_heads, s->k_dim, s->v_dim,
                          n_heads, k_dim, v_dim);
    *out = s;
    return LLM_OK;
}

static llm_status check_heads(const check_op *c, uint32_t n_head, uint32_t n_head_kv, uint32_t head_dim, uint32_t v_dim)
{
    if (n_head_kv == 0 || n_head == 0 || n_head % n_head_kv != 0 || head_dim == 0 || v_dim == 0)
        return CHECK_FAIL(c, "%u heads, %u of keys, of %u and %u items", n_head, n_head_kv, head_dim, v_dim);
    return LLM_OK;
}

static llm_status check_head(const check_op *c)
{
    const lm_op_head *u = &c->op->u.head;
    const lm_stream *s = NULL;
    if (c->op->rows != LM_ROWS_ALL)
        return CHECK_FAIL(c, "it runs over all rows only");
    LM_TRY(check_heads(c, u->n_head, u->n_head_kv, u->head_dim, u->v_dim));
    if (u->rope > LM_ROPE_HALVES || (u->rope == LM_ROPE_NONE) != (c->op->in[3] == LM_NONE))
        return CHECK_FAIL(c, "rope %u %s angles", u->rope, c->op->in[3] == LM_NONE ? "without" : "with");
    if (u->rope != LM_ROPE_NONE && (u->n_rot == 0 || u->n_rot % 2 != 0 || u->n_rot > u->head_dim))
        return CHECK_FAIL(c, "n_rot is %u of %u", u->n_rot, u->head_dim);
    LM_TRY(check_none(c, 4, 1, 3));
    LM_TRY(check_in(c, 0, LM_ROWS_ALL, (uint64_t)u->n_head * u->head_dim));
    LM_TRY(check_in(c, 1, LM_ROWS_ALL, (uint64_t)u->n_head_kv * u->head_dim));
    LM_TRY(check_in(c, 2, LM_ROWS_ALL, (uint64_t)u->n_head_kv * u->v_dim));
    if (u->rope != LM_ROPE_NONE)
        LM_TRY(check_in(c, 3, LM_ROWS_ALL, u->n_rot));
    LM_TRY(check_vector(c, 0, u->head_dim));
    LM_TRY(check_vector(c, 1, u->head_dim));
    LM_TRY(check_stream(c, u->n_head_kv, u->head_dim, u->v_dim, &s));
    for (uint32_t o = 0; o < c->number; o++)
        if (lm_op_writes_state(c->p->ops[o].kind) && c->p->ops[o].state == c->op->state)
            return CHECK_FAIL(c, "stream %d is written twice", c->op->state);
    return check_out(c, 0, LM_ROWS_ALL, (uint64_t)u->n_head * u->head_dim);
}

static llm_status check_attend(const check_op *c)
{
    const lm_op_attend *u = &c->op->u.attend;
    const lm_stream *s = NULL;
    if (c->op->rows != LM_ROWS_ALL)
        return CHECK_FAIL(c, "it runs over all rows only");
    LM_TRY(check_heads(c, u->n_head, u->n_head_kv, u->head_dim, u->v_dim));
    LM_TRY(check_none(c, 1, 1, 0));
    LM_TRY(check_in(c, 0, LM_ROWS_ALL, (uint64_t)u->n_head * u->head_dim));
    LM_TRY(check_stream(c, u->n_head_kv, u->head_dim, u->v_dim, &s));
    if (s->keep != 0 && (u->window == 0 || u->window > s->keep))
        return CHECK_FAIL(c, "it looks back %u positions, stream %d keeps %u", u->window, c->op->state, s->keep);
    bool written = false;
    for (uint32_t o = 0; o < c->number; o++)
        written = written || (lm_op_writes_state(c->p->ops[o].kind) && c->p->ops[o].state == c->op->state);
    if (!written)
        return CHECK_FAIL(c, "stream %d is read before this pass's rows are written", c->op->state);
    return check_out(c, 0, LM_ROWS_ALL, (uint64_t)u->n_head * u->v_dim);
}

static llm_status check_route(const check_op *c)
{
    const lm_op_route *u = &c->op->u.route;
    if (u->gating != LM_GATING_SOFTMAX || u->n_used == 0 || u->n_used > u->n_expert)
        return CHECK_FAIL(c, "gating %u, %u of %u experts", u->gating, u->n_used, u->n_expert);
    LM_TRY(check_none(c, 1, 2, 0));
    LM_TRY(check_in(c, 0, c->op->rows, u->n_expert));
    LM_TRY(check_out(c, 0, c->op->rows, u->n_used));
    return check_out(c, 1, c->op->rows, u->n_used);
}

static llm_status check_experts(const check_op *c)
{
    const lm_op_experts *u = &c->op->u.experts;
    const lm_weight_info *w = NULL, *up = NULL;
    uint32_t rows = c->op->rows;
    if (u->n_used == 0 || u->n_used > u->n_expert || u->act > LM_ACT_GELU || (u->down ? u->act != LM_ACT_NONE : u->act == LM_ACT_NONE))
        return CHECK_FAIL(c, "%u of %u experts, activation %u", u->n_used, u->n_expert, u->act);
    LM_TRY(check_none(c, u->down ? 4 : 3, 1, u->down ? 1 : 0xb));
    LM_TRY(check_in(c, 0, rows, 0));
    LM_TRY(check_in(c, 1, rows, u->n_used));
    LM_TRY(check_in(c, 2, rows, u->n_used));
    LM_TRY(check_weight(c, 0, false, u->down ? 0 : check_width(c, 0), &w));
    if (w->n_rows == 0 || w->n_rows % u->n_expert != 0)
        return CHECK_FAIL(c, "%llu rows for %u experts", (unsigned long long)w->n_rows, u->n_expert);
    uint64_t n_out = w->n_rows / u->n_expert;
    if (u->down) {
        if (u->norm != LM_NORM_NONE)
            return CHECK_FAIL(c, "down has no norm");
        if (w->n_cols > UINT32_MAX || w->n_cols * u->n_used != check_width(c, 0))
            return CHECK_FAIL(c, "input 0 has %u items, not %u times %llu", check_width(c, 0), u->n_used, (unsigned long long)w->n_cols);
        LM_TRY(check_in(c, 3, rows, n_out));
        return check_out(c, 0, rows, n_out);
    }
    LM_TRY(check_norm(c, u->norm, u->eps, check_width(c, 0)));
    LM_TRY(check_weight(c, 1, false, check_width(c, 0), &up));
    if (up->n_rows != w->n_rows)
        return CHECK_FAIL(c, "gate of %llu rows, up of %llu", (unsigned long long)w->n_rows, (unsigned long long)up->n_rows);
    return check_out(c, 0, rows, n_out <= UINT32_MAX ? n_out * u->n_used : UINT64_MAX);
}

static llm_status check_norm_alone(const check_op *c)
{
    const lm_op_norm *u = &c->op->u.norm;
    uint32_t rows = c->op->rows, residual = c->op->in[1] != LM_NONE;
    if (u->norm == LM_NORM_NONE)
        return CHECK_FAIL(c, "it has no norm");
    LM_TRY(check_none(c, 1 + residual, 1, 0x8));
    LM_TRY(check_in(c, 0, rows, 0));
    LM_TRY(check_norm(c, u->norm, u->eps, check_width(c, 0)));
    if (residual)
        LM_TRY(check_in(c, 1, rows, check_width(c, 0)));
    return check_out(c, 0, rows, check_width(c, 0));
}

static llm_status check_gather(const check_op *c)
{
    if (c->op->rows != LM_ROWS_OUT)
        return CHECK_FAIL(c, "it runs over the rows that want an output");
    LM_TRY(check_none(c, 1, 1, 0));
    LM_TRY(check_in(c, 0, LM_ROWS_ALL, 0));
    return check_out(c, 0, LM_ROWS_OUT, check_width(c, 0));
}

typedef llm_status (*check_kind)(const check_op *c);
/* By the list: an operation without a check does not compile. */
#define check_EMBED check_embed
#define check_ANGLES check_angles
#define check_LINEAR check_linear
#define check_HEAD check_head
#define check_ATTEND check_attend
#define check_ROUTE check_route
#define check_LINEAR_EXPERTS check_experts
#define check_NORM check_norm_alone
#define check_GATHER check_gather
#define check_LOGITS check_logits
static const check_kind check_kinds[LM_OP_COUNT] = {
#define CHECK_ROW(name, split, reads, writes) [LM_OP_##name] = check_##name,
    LM_OPS(CHECK_ROW)
#undef CHECK_ROW
};
#undef check_EMBED
#undef check_ANGLES
#undef check_LINEAR
#undef check_HEAD
#undef check_ATTEND
#undef check_ROUTE
#undef check_LINEAR_EXPERTS
#undef check_NORM
#undef check_GATHER
#undef check_LOGITS
#undef CHECK_FAIL

static llm_status check_value(const lm_program *p, uint32_t v, llm_error *error)
{
    const lm_value *value = &p->values[v];
    if (value->rows > LM_ROWS_OUT || value->width == 0)
        return lm_fail(error, LLM_E_INTERNAL, "value %u: row set %u, %u items", v, value->rows, value->width);
    if (value->first_op > value->last_op || value->last_op >= p->n_ops)
        return lm_fail(error, LLM_E_INTERNAL, "value %u lives from operation %u to %u of %u", v, value->first_op, value->last_op, p->n_ops);
    if ((uint64_t)value->offset + value->width > p->row_items[value->rows])
        return lm_fail(error, LLM_E_INTERNAL, "value %u lies at %u..%llu of %u items", v, value->offset,
                       (unsigned long long)value->offset + value->width, p->row_items[value->rows]);
    const lm_op *writer = &p->ops[value->first_op];
    bool written = false;
    for (uint32_t i = 0; i < LM_OP_OUT; i++)
        written = written || writer->out[i] == (int32_t)v;
    if (p->given == v + 1 && (written || value->first_op != 0))
        return lm_fail(error, LLM_E_INTERNAL, "value %u is given, and written too", v);
    if (!written && p->given != v + 1)
        return lm_fail(error, LLM_E_INTERNAL, "value %u is not written by operation %u, where its life begins", v, value->first_op);
    for (uint32_t o = 0; o < v; o++) {
        const lm_value *other = &p->values[o];
        if (other->rows == value->rows && other->first_op <= value->last_op && value->first_op <= other->last_op &&
            other->offset < (uint64_t)value->offset + value->width && value->offset < (uint64_t)other->offset + other->width)
            return lm_fail(error, LLM_E_INTERNAL, "values %u and %u overlap in memory while both live", o, v);
    }
    return LLM_OK;
}

llm_status lm_program_check(const lm_program *p, llm_error *error)
{
    if (p->n_ops == 0 || p->n_values == 0 || p->n_weights > INT32_MAX || p->n_values > INT32_MAX || p->n_streams > INT32_MAX)
        return lm_fail(error, LLM_E_INTERNAL, "a program of %u operations and %u values", p->n_ops, p->n_values);
    if (p->n_page_classes > LM_MAX_PAGE_CLASSES)
        return lm_fail(error, LLM_E_INTERNAL, "%u page classes of at most %d", p->n_page_classes, LM_MAX_PAGE_CLASSES);
    if (p->n_vocab == 0 || p->n_vocab > INT32_MAX)
        return lm_fail(error, LLM_E_INTERNAL, "a vocabulary of %u tokens", p->n_vocab);
    for (uint32_t s = 0; s < p->n_streams; s++) {
        const lm_stream *stream = &p->streams[s];
        if (stream->kind != LM_STATE_PER_TOKEN || stream->page_class >= p->n_page_classes || stream->n_heads == 0 || stream->k_dim == 0 ||
            stream->v_dim == 0)
            return lm_fail(error, LLM_E_INTERNAL, "stream %u: kind %u, page class %u, %u heads of %u and %u", s, stream->kind,
                           stream->page_class, stream->n_heads, stream->k_dim, stream->v_dim);
        for (uint32_t o = 0; o < s; o++)                    /* pages of a class live and die as one */
            if (p->streams[o].page_class == stream->page_class && p->streams[o].keep != stream->keep)
                return lm_fail(error, LLM_E_INTERNAL, "streams %u and %u share a page class, but not how long they keep", o, s);
    }
    for (uint32_t w = 0; w < p->n_weights; w++) {
        const lm_weight_info *info = &p->weights[w];
        uint64_t bytes;
        if (!lm_type_get(info->type) || info->n_rows == 0 || info->n_cols == 0 || (info->is_vector && info->n_rows != 1) ||
            !lm_type_row_bytes(info->type, info->n_cols, &bytes) || info->first > UINT64_MAX - (info->is_vector ? info->n_cols : info->n_rows))
            return lm_fail(error, LLM_E_INTERNAL, "weight %u (%s): type %u, %llu rows of %llu", w, info->name ? info->name : "no name",
                           info->type, (unsigned long long)info->n_rows, (unsigned long long)info->n_cols);
    }
    for (uint32_t v = 0; v < p->n_values; v++)
        LM_TRY(check_value(p, v, error));
    for (uint32_t o = 0; o < p->n_ops; o++) {
        check_op c = { p, &p->ops[o], o, error };
        if (c.op->kind >= LM_OP_COUNT || c.op->rows > LM_ROWS_OUT)
            return lm_fail(error, LLM_E_INTERNAL, "operation %u: kind %u, row set %u", o, c.op->kind, c.op->rows);
        LM_TRY(check_kinds[c.op->kind](&c));
    }
    if (p->logits < 0 || (uint32_t)p->logits >= p->n_values)
        return lm_fail(error, LLM_E_INTERNAL, "the logits are value %d of %u", p->logits, p->n_values);
    const lm_value *logits = &p->values[p->logits];
    if (p->given > p->n_values || (p->given && p->values[p->given - 1].rows != LM_ROWS_ALL))
        return lm_fail(error, LLM_E_INTERNAL, "value %u of %u is given, or it is not over all rows", p->given - 1, p->n_values);
    if (p->hands_on && logits->rows == LM_ROWS_ALL && logits->last_op == p->n_ops - 1)
        return LLM_OK;
    if (logits->rows != LM_ROWS_OUT || logits->width != p->n_vocab || logits->last_op != p->n_ops - 1)
        return lm_fail(error, LLM_E_INTERNAL, "the logits are %u wide for a vocabulary of %u, and live to operation %u of %u", logits->width,
                       p->n_vocab, logits->last_op, p->n_ops);
    return LLM_OK;
}
