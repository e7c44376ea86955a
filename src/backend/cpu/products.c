/* SPDX-License-Identifier: MIT
 * Products: LINEAR and LOGITS. First the rows are normed and quantized in the forms that the matrices read; then tasks over
 * blocks of 16-row groups x columns, each with its epilogue while the tile is warm. Owns nothing. Knows types only as indices
 * of the kernels' table. Threads: tasks write disjoint tiles. */
#include "backend/cpu/cpu.h"

#include "base/fmath.h"

#include <string.h>

LM_EXACT_ARITHMETIC

/* ---- inputs in every form ------------------------------------------------------------------------------------------------ */

uint32_t lm_cpu_acts_form(uint32_t type)
{
    const lm_type_info *info = lm_type_get(type);
    return !info || info->block == 1 ? LM_ACTS_F32 : info->block == 32 ? LM_ACTS_Q32 : LM_ACTS_Q256;
}

uint32_t lm_cpu_acts_forms(const lm_program *program, const lm_op *op)
{
    uint32_t n = 0, forms = 0;
    if (op->kind == LM_OP_LINEAR || op->kind == LM_OP_LOGITS)
        n = op->u.linear.n_matrices;
    else if (op->kind == LM_OP_LINEAR_EXPERTS)
        n = op->u.experts.down ? 1 : 2;
    for (uint32_t i = 0; i < n; i++)
        forms |= lm_cpu_acts_form(program->weights[op->weight[i]].type);
    return forms;
}

lm_acts lm_cpu_acts_at(const lm_cpu_arena *arena, const float *f32, size_t k, size_t at)
{
    lm_acts x = {
        f32 + at * k,
        arena->q32 + at * k, arena->d32 + at * (k / 32), arena->s32 + at * (k / 32),
        arena->q256 + at * k, arena->d256 + at * (k / 256), arena->s16 + at * (k / 16),
    };
    return x;
}

void lm_cpu_acts_make(const lm_cpu_run *run, uint32_t forms, uint32_t norm, const float *weight, float eps, const float *x, size_t k, size_t at, float *normed)
{
    const lm_kernels *kernels = &run->cpu->kernels;
    lm_cpu_arena *arena = run->arena;
    if (norm == LM_NORM_RMS) {
        float *to = forms & LM_ACTS_F32 ? arena->acts_f32 + at * k : normed;
        kernels->rms_norm(to, x, weight, k, eps);
        x = to;
    }
    if (forms & LM_ACTS_Q32)
        kernels->quantize_32(arena->q32 + at * k, arena->d32 + at * (k / 32), arena->s32 + at * (k / 32), x, k);
    if (forms & LM_ACTS_Q256)
        kernels->quantize_256(arena->q256 + at * k, arena->d256 + at * (k / 256), arena->s16 + at * (k / 16), x, k);
}

/* ---- can, need ------------------------------------------------------------------------------------------------------------- */

llm_status lm_cpu_can_multiply(const lm_cpu *cpu, const lm_program *program, const lm_op *op, uint32_t i, llm_error *error)
{
    const lm_weight_info *info = &program->weights[op->weight[i]];
    const lm_type_info *type = lm_type_get(info->type);
    const char *name = info->name ? info->name : "a weight";
    if (!type || !cpu->kernels.linear[info->type] || !cpu->kernels.pack[info->type])
        return lm_fail(error, LLM_E_UNSUPPORTED, "%s: the CPU does not multiply by weights of type %s", name, type ? type->name : "unknown");
    return LLM_OK;
}

static llm_status products_can(const lm_cpu *cpu, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)state_type;
    for (uint32_t i = 0; i < op->u.linear.n_matrices; i++)
        LM_TRY(lm_cpu_can_multiply(cpu, program, op, i, error));
    return LLM_OK;
}

static void products_need(const lm_cpu *cpu, const lm_program *program, const lm_op *op, lm_cpu_need *need)
{
    const lm_op_linear *u = &op->u.linear;
    uint64_t k = program->values[op->in[0]].width;
    uint32_t forms = lm_cpu_acts_forms(program, op);
    need->f32 = forms & LM_ACTS_F32 && u->norm != LM_NORM_NONE ? k : 0;
    need->q32 = forms & LM_ACTS_Q32 ? k : 0;
    need->q256 = forms & LM_ACTS_Q256 ? k : 0;
    need->worker = LM_MAX(u->norm != LM_NORM_NONE ? k : 0, (uint64_t)LM_CPU_TILE * (u->epilogue == LM_EPILOGUE_GATED ? 2 : 1)) * sizeof(float);
    (void)cpu;
}

/* Inputs of so many values stay in a core's cache while all weights pass by, each read once; of more, a block of columns does, and the
 * weights are read again for the next. */
enum { PRODUCTS_WARM = 5 << 18 };

/* ---- stages ---------------------------------------------------------------------------------------------------------------- */

static uint32_t products_acts_plan(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    const lm_op_linear *u = &op->u.linear;
    uint32_t forms = run->exec->ops[run->op].acts;
    (void)round;
    if (u->norm == LM_NORM_NONE && !(forms & (LM_ACTS_Q32 | LM_ACTS_Q256)))
        return 0;
    return lm_cpu_cut(run, run->n_rows[op->rows], lm_cpu_width(run, op->in[0]), run->cpu->grain.items);
}

static void products_acts_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    const lm_op_linear *u = &op->u.linear;
    uint32_t forms = run->exec->ops[run->op].acts, begin, end;
    float *normed = (float *)(void *)lm_cpu_scratch(run, worker);
    lm_cpu_units(run, task, &begin, &end);
    for (uint32_t r = begin; r < end; r++)
        lm_cpu_acts_make(run, forms, u->norm, lm_cpu_vector(run, op->weight[3]), u->eps, lm_cpu_value(run, op->in[0], r), lm_cpu_width(run, op->in[0]), r, normed);
}

/* Groups of 16 outputs of matrix i; GATED walks both matrices together. */
static uint32_t products_groups(const lm_cpu_run *run, const lm_op *op, uint32_t i)
{
    return (uint32_t)((lm_cpu_bound(run, op->weight[i])->info.n_rows + LM_GROUP - 1) / LM_GROUP);
}

static uint32_t products_walked(const lm_op *op) { return op->u.linear.epilogue == LM_EPILOGUE_GATED ? 1 : op->u.linear.n_matrices; }

static uint32_t products_plan(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    const lm_cpu_grain *grain = &run->cpu->grain;
    uint64_t n = run->n_rows[op->rows], k = lm_cpu_width(run, op->in[0]), all = 0, group_bytes = 0;
    uint32_t beside = op->u.linear.epilogue == LM_EPILOGUE_GATED ? 2 : 1;
    (void)round;
    if (n == 0)
        return 0;
    for (uint32_t i = 0; i < op->u.linear.n_matrices; i++)
        group_bytes = LM_MAX(group_bytes, lm_cpu_bound(run, op->weight[i])->group_bytes);
    for (uint32_t i = 0; i < products_walked(op); i++)
        all += products_groups(run, op, i);
    uint64_t macs = run->exec->ops[run->op].acts & LM_ACTS_F32 ? grain->macs_float : grain->macs_int;
    uint64_t per_column = LM_GROUP * k * beside;            /* of one group */
    /* As many columns as fit beside one group, in blocks as even as the kernels' tiles allow. */
    uint64_t cols = LM_MAX(LM_MIN(LM_MIN(n, grain->cols), macs / (per_column * grain->groups)), 1), n_cols = (n + cols - 1) / cols;
    cols = (n + n_cols - 1) / n_cols;
    cols = n_cols > 1 && cols > grain->tile ? LM_MIN((cols + grain->tile - 1) / grain->tile * grain->tile, grain->cols) : cols;
    n_cols = (n + cols - 1) / cols;
    /* As many groups as make a task, but several tasks for every thread. */
    uint64_t groups = LM_MIN(macs / (per_column * cols), grain->bytes / (group_bytes * beside));
    uint64_t fair = all * n_cols / (4 * (uint64_t)run->cpu->n_threads), tile = LM_CPU_TILE / (LM_GROUP * cols);
    groups = LM_MAX(LM_MIN(LM_MIN(groups, fair), LM_MIN(tile, all)), 1);
    if (cols >= grain->tile)                                /* kernels that lack a neighbour multiply by the same group twice */
        groups = lm_cpu_beside(grain, groups, tile);
    run->cut_groups = (uint32_t)groups;
    run->cut_cols = (uint32_t)cols;
    run->n_blocks = (uint32_t)((all + groups - 1) / groups);
    run->cols_inside = n * k <= PRODUCTS_WARM;
    return run->n_blocks * (uint32_t)n_cols;
}

/* Outputs [r0, r0 + n_rows) of matrix i, columns [c0, c0 + n_cols), to tile [n_cols, n_rows]. The tile stands close together: kernels come
 * back to it for every 256 inputs, and columns a power of two apart, as values have them, would fight for the same places of the caches. */
static void products_tile(lm_cpu_run *run, const lm_op *op, uint32_t i, float *tile, uint64_t r0, uint64_t n_rows, uint32_t c0, uint32_t n_cols)
{
    const lm_kernels *kernels = &run->cpu->kernels;
    const lm_op_linear *u = &op->u.linear;
    const lm_cpu_weight *w = lm_cpu_bound(run, op->weight[i]);
    const float *bias = lm_cpu_vector(run, op->weight[4 + i]);
    size_t k = (size_t)w->info.n_cols;
    const float *f32 = u->norm == LM_NORM_NONE ? lm_cpu_value(run, op->in[0], 0) : run->arena->acts_f32;
    lm_acts x = lm_cpu_acts_at(run->arena, f32, k, c0);
    kernels->linear[w->info.type](tile, (size_t)n_rows, w->data + r0 / LM_GROUP * w->group_bytes, (size_t)n_rows, k, &x, n_cols);
    for (uint32_t c = 0; bias && c < n_cols; c++)
        kernels->add(tile + c * n_rows, tile + c * n_rows, bias + r0, (size_t)n_rows);
    if (u->scale != 1 && u->epilogue != LM_EPILOGUE_GATED)
        kernels->scale(tile, tile, u->scale, (size_t)n_rows * n_cols);
}

/* residual + sigmoid(gate) * y, one column */
static void products_add_gated(lm_cpu_run *run, const lm_op *op, const float *tile, uint64_t r0, uint64_t n_rows, uint32_t column)
{
    float *y = lm_cpu_value(run, op->out[0], column) + r0;
    float sigmoid = 1.0f / (1.0f + lm_expf(-*lm_cpu_value(run, op->in[2], column)));
    memcpy(y, lm_cpu_value(run, op->in[1], column) + r0, (size_t)n_rows * sizeof(float));
    run->cpu->kernels.add_scaled(y, tile, sigmoid, (size_t)n_rows);
}

static void products_put(lm_cpu_run *run, const lm_op *op, uint32_t i, const float *tile, uint64_t r0, uint64_t n_rows, uint32_t c0, uint32_t n_cols)
{
    const lm_kernels *kernels = &run->cpu->kernels;
    const lm_op_linear *u = &op->u.linear;
    for (uint32_t c = 0; c < n_cols; c++, tile += n_rows) {
        float *y = lm_cpu_value(run, op->out[i], c0 + c) + r0;
        if (u->epilogue == LM_EPILOGUE_RESIDUAL && op->in[2] != LM_NONE)
            products_add_gated(run, op, tile, r0, n_rows, c0 + c);
        else if (u->epilogue == LM_EPILOGUE_RESIDUAL)
            kernels->add(y, lm_cpu_value(run, op->in[1], c0 + c) + r0, tile, (size_t)n_rows);
        else if (u->epilogue == LM_EPILOGUE_GATED)
            lm_cpu_gate(kernels, u->act, y, tile, tile + LM_CPU_TILE, (size_t)n_rows);
        else if (u->softcap != 0)
            kernels->softcap(y, tile, u->softcap, (size_t)n_rows);
        else
            memcpy(y, tile, (size_t)n_rows * sizeof(float));
        if (u->scale != 1 && u->epilogue == LM_EPILOGUE_GATED)
            kernels->scale(y, y, u->scale, (size_t)n_rows);
    }
}

static void products_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    uint32_t n_all = run->n_rows[op->rows], n_col_blocks = (n_all + run->cut_cols - 1) / run->cut_cols;
    uint32_t block = run->cols_inside ? task / n_col_blocks : task % run->n_blocks;
    uint32_t c0 = (run->cols_inside ? task % n_col_blocks : task / run->n_blocks) * run->cut_cols, n_cols = LM_MIN(run->cut_cols, n_all - c0);
    uint64_t from = (uint64_t)block * run->cut_groups, to = from + run->cut_groups;
    float *tile = (float *)(void *)lm_cpu_scratch(run, worker);
    for (uint32_t i = 0; i < products_walked(op) && to > 0; i++) {
        uint64_t groups = products_groups(run, op, i), begin = LM_MIN(from, groups), end = LM_MIN(to, groups);
        from -= begin;                                      /* what is left belongs to the next matrix */
        to -= end;
        if (begin == end)
            continue;
        uint64_t r0 = begin * LM_GROUP, n_rows = LM_MIN(end * LM_GROUP, lm_cpu_bound(run, op->weight[i])->info.n_rows) - r0;
        products_tile(run, op, i, tile, r0, n_rows, c0, n_cols);
        if (op->u.linear.epilogue == LM_EPILOGUE_GATED)
            products_tile(run, op, 1, tile + LM_CPU_TILE, r0, n_rows, c0, n_cols);
        products_put(run, op, i, tile, r0, n_rows, c0, n_cols);
    }
}

const lm_cpu_op lm_cpu_linear = {
    products_can, products_need, { { products_acts_plan, products_acts_task, 0 }, { products_plan, products_task, 0 } }
};
