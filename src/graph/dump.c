/* SPDX-License-Identifier: MIT
 * A program as text, an operation a line: for people reading a bug report and for tests. Owns nothing. Threads: any.
 *
 *     12 operations, 20 values, 19 weights, 2 streams, 480 + 352 items a row, logits v19
 *       3 L0 head all: v2[64] <- v1[64] v4[32] v5[32] v0[8] | state 0 | heads 8/4 of 8, rope pairs 8 */
#include "graph/graph.h"

#include <string.h>

/* Text that knows how long it would have been. */
typedef struct dump_text { char *out; size_t cap, n; } dump_text;

static void dump_put(dump_text *text, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++, text->n++)
        if (text->n + 1 < text->cap)
            text->out[text->n] = bytes[i];
}

LM_PRINTF(2, 3) static void dump_print(dump_text *text, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    size_t n = lm_format(line, sizeof line, format, args);
    va_end(args);
    dump_put(text, line, n);
}

static void dump_values(dump_text *text, const lm_program *p, const int32_t *values, int n)
{
    for (int i = 0; i < n; i++) {
        if (values[i] == LM_NONE)
            continue;
        if (values[i] < 0 || (uint32_t)values[i] >= p->n_values)
            dump_print(text, " v%d[?]", values[i]);
        else
            dump_print(text, " v%d[%u]", values[i], p->values[values[i]].width);
    }
}

static void dump_weights(dump_text *text, const lm_program *p, const lm_op *op)
{
    bool first = true;
    for (int i = 0; i < LM_OP_WEIGHTS; i++) {
        if (op->weight[i] == LM_NONE)
            continue;
        dump_print(text, first ? " | " : ", ");
        first = false;
        if (op->weight[i] < 0 || (uint32_t)op->weight[i] >= p->n_weights) {
            dump_print(text, "w%d?", op->weight[i]);
            continue;
        }
        const lm_weight_info *w = &p->weights[op->weight[i]];
        const lm_type_info *type = lm_type_get(w->type);
        const char *name = w->name ? w->name : "?";
        dump_put(text, name, strlen(name));
        if (w->is_vector)
            dump_print(text, " [%llu]", (unsigned long long)w->n_cols);
        else
            dump_print(text, " %s [%llu x %llu]", type ? type->name : "?", (unsigned long long)w->n_rows, (unsigned long long)w->n_cols);
    }
}

static const char *dump_rope(uint32_t rope)
{
    return rope == LM_ROPE_PAIRS ? "pairs" : rope == LM_ROPE_HALVES ? "halves" : "none";
}

static const char *dump_act(uint32_t act)
{
    return act == LM_ACT_SILU ? " silu" : act == LM_ACT_GELU ? " gelu" : "";
}

static void dump_details(dump_text *text, const lm_op *op)
{
    switch (op->kind) {
    case LM_OP_EMBED:
        dump_print(text, " | scale %g", (double)op->u.embed.scale);
        break;
    case LM_OP_ANGLES:
        dump_print(text, " | base %g, scale %g, magnitude %g", op->u.angles.base, op->u.angles.freq_scale, op->u.angles.magnitude);
        if (op->weight[1] != LM_NONE)
            dump_print(text, ", long beyond %g", op->u.angles.n_ctx_orig);
        if (op->u.angles.ext_factor != 0)
            dump_print(text, ", yarn %g beta %g..%g of %g", op->u.angles.ext_factor, op->u.angles.beta_fast, op->u.angles.beta_slow, op->u.angles.n_ctx_orig);
        break;
    case LM_OP_LINEAR:
    case LM_OP_LOGITS:
        dump_print(text, " |%s%s%s", op->u.linear.norm == LM_NORM_RMS ? " rms" : "",
                   op->u.linear.epilogue == LM_EPILOGUE_RESIDUAL ? op->in[2] == LM_NONE ? " residual" : " gated residual" :
                   op->u.linear.epilogue == LM_EPILOGUE_GATED ? " gated" : "", dump_act(op->u.linear.act));
        if (op->u.linear.scale != 1.0f)
            dump_print(text, " scale %g", (double)op->u.linear.scale);
        if (op->u.linear.softcap != 0)
            dump_print(text, " softcap %g", (double)op->u.linear.softcap);
        break;
    case LM_OP_HEAD:
        dump_print(text, " | heads %u/%u of %u, rope %s %u", op->u.head.n_head, op->u.head.n_head_kv, op->u.head.head_dim, dump_rope(op->u.head.rope), op->u.head.n_rot);
        break;
    case LM_OP_ATTEND:
        dump_print(text, " | heads %u/%u of %u, scale %g", op->u.attend.n_head, op->u.attend.n_head_kv, op->u.attend.head_dim, (double)op->u.attend.scale);
        if (op->u.attend.window)
            dump_print(text, ", window %u", op->u.attend.window);
        if (op->u.attend.softcap != 0)
            dump_print(text, ", softcap %g", (double)op->u.attend.softcap);
        break;
    case LM_OP_ROUTE:
        dump_print(text, " | %u of %u experts%s", op->u.route.n_used, op->u.route.n_expert, op->u.route.normalize ? ", normalized" : "");
        break;
    case LM_OP_LINEAR_EXPERTS:
        dump_print(text, " | %s, %u of %u experts%s%s", op->u.experts.down ? "down" : "up", op->u.experts.n_used, op->u.experts.n_expert,
                   op->u.experts.norm == LM_NORM_RMS ? ", rms" : "", dump_act(op->u.experts.act));
        break;
    case LM_OP_NORM:
        dump_print(text, " | rms%s", op->in[1] == LM_NONE ? "" : " residual");
        break;
    default:
        break;
    }
}

size_t lm_program_dump(const lm_program *program, char *out, size_t cap)
{
    dump_text text = { out, cap, 0 };
    dump_print(&text, "%u operations, %u values, %u weights, %u streams, %u + %u items a row, logits v%d\n", program->n_ops, program->n_values,
               program->n_weights, program->n_streams, program->row_items[LM_ROWS_ALL], program->row_items[LM_ROWS_OUT], program->logits);
    for (uint32_t i = 0; i < program->n_ops; i++) {
        const lm_op *op = &program->ops[i];
        dump_print(&text, "%u ", i);
        if (op->layer >= 0)
            dump_print(&text, "L%d ", op->layer);
        dump_print(&text, "%s %s:", lm_op_name(op->kind), op->rows == LM_ROWS_OUT ? "out" : "all");
        dump_values(&text, program, op->out, LM_OP_OUT);
        dump_print(&text, " <-");
        dump_values(&text, program, op->in, LM_OP_IN);
        dump_weights(&text, program, op);
        if (op->state != LM_NONE)
            dump_print(&text, " | state %d", op->state);
        dump_details(&text, op);
        dump_put(&text, "\n", 1);
    }
    if (cap)
        out[text.n < cap ? text.n : cap - 1] = 0;
    return text.n;
}
