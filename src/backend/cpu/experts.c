/* SPDX-License-Identifier: MIT
 * Routed products: LINEAR_EXPERTS. A pair is (row, rank): pair = row * n_used + rank. Pairs are sorted by expert, so that each expert is
 * read once for all rows that want it; inputs and products lie in that order. A job is a run of pairs of one expert.
 *
 *     up:   group and quantize | gate, up and activation, back to (row, rank)
 *     down: group and quantize | product | added to the residual in the order of ranks
 *
 * Threads: plans run alone; tasks write disjoint tiles. */
#include "backend/cpu/cpu.h"

#include <string.h>

LM_EXACT_ARITHMETIC

static llm_status experts_can(const lm_cpu *cpu, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    const lm_op_experts *u = &op->u.experts;
    (void)state_type;
    for (uint32_t i = 0; i < (u->down ? 1u : 2u); i++) {
        const lm_weight_info *info = &program->weights[op->weight[i]];
        LM_TRY(lm_cpu_can_multiply(cpu, program, op, i, error));
        if (info->n_rows / u->n_expert % LM_GROUP != 0)
            return lm_fail(error, LLM_E_UNSUPPORTED, "%s: experts of %llu outputs, a multiple of %d is needed", info->name ? info->name : "a weight",
                           (unsigned long long)(info->n_rows / u->n_expert), LM_GROUP);
    }
    return LLM_OK;
}

static void experts_need(const lm_cpu *cpu, const lm_program *program, const lm_op *op, lm_cpu_need *need)
{
    const lm_op_experts *u = &op->u.experts;
    const lm_weight_info *info = &program->weights[op->weight[0]];
    uint32_t forms = lm_cpu_acts_forms(program, op);
    uint64_t items = info->n_cols * u->n_used;
    (void)cpu;
    need->f32 = forms & LM_ACTS_F32 ? items : 0;
    need->q32 = forms & LM_ACTS_Q32 ? items : 0;
    need->q256 = forms & LM_ACTS_Q256 ? items : 0;
    need->product = u->down ? info->n_rows / u->n_expert * u->n_used : 0;
    need->pairs = u->n_used;
    need->experts = u->n_expert;
    need->worker = LM_MAX(info->n_cols, 2 * LM_CPU_TILE) * sizeof(float);
}

static uint32_t experts_id(const lm_cpu_run *run, const lm_op *op, uint32_t pair)
{
    const int32_t *ids = (const int32_t *)(const void *)lm_cpu_value(run, op->in[1], pair / op->u.experts.n_used);
    return (uint32_t)ids[pair % op->u.experts.n_used];
}

/* Counting sort of the pairs by expert. */
static void experts_group(lm_cpu_run *run, const lm_op *op)
{
    lm_cpu_arena *arena = run->arena;
    uint32_t n = run->n_rows[op->rows] * op->u.experts.n_used, n_expert = op->u.experts.n_expert, *first = arena->expert_first;
    memset(first, 0, (n_expert + 1) * sizeof *first);
    for (uint32_t pair = 0; pair < n; pair++)
        first[experts_id(run, op, pair) + 1]++;
    for (uint32_t e = 0; e < n_expert; e++)
        first[e + 1] += first[e];
    for (uint32_t pair = 0; pair < n; pair++) {             /* first[e] moves to the end of e's run ... */
        uint32_t place = first[experts_id(run, op, pair)]++;
        arena->pair_place[pair] = place;
        arena->pair_order[place] = pair;
    }
    for (uint32_t e = n_expert; e > 0; e--)                 /* ... which is where the next one's begins */
        first[e] = first[e - 1];
    first[0] = 0;
}

static uint32_t experts_acts_plan(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    (void)round;
    if (run->n_rows[op->rows] == 0)
        return 0;
    experts_group(run, op);
    return lm_cpu_cut(run, run->n_rows[op->rows], 2 * lm_cpu_bound(run, op->weight[0])->info.n_cols * op->u.experts.n_used, run->cpu->grain.items);
}

/* One pair's input to its place, in every form. */
static void experts_input(lm_cpu_run *run, const lm_op *op, uint32_t pair, const float *x, size_t k, float *normed)
{
    const lm_op_experts *u = &op->u.experts;
    uint32_t forms = run->exec->ops[run->op].acts, place = run->arena->pair_place[pair];
    lm_cpu_acts_make(run, forms, u->norm, lm_cpu_vector(run, op->weight[3]), u->eps, x, k, place, normed);
    if (forms & LM_ACTS_F32 && u->norm == LM_NORM_NONE)
        memcpy(run->arena->acts_f32 + place * k, x, k * sizeof(float));
}

/* The same input for another pair of the row. */
static void experts_copy(lm_cpu_run *run, uint32_t from_pair, uint32_t to_pair, size_t k)
{
    lm_cpu_arena *arena = run->arena;
    uint32_t forms = run->exec->ops[run->op].acts;
    size_t from = arena->pair_place[from_pair], to = arena->pair_place[to_pair];
    if (forms & LM_ACTS_F32)
        memcpy(arena->acts_f32 + to * k, arena->acts_f32 + from * k, k * sizeof(float));
    if (forms & LM_ACTS_Q32) {
        memcpy(arena->q32 + to * k, arena->q32 + from * k, k);
        memcpy(arena->d32 + to * (k / 32), arena->d32 + from * (k / 32), k / 32 * sizeof(float));
        memcpy(arena->s32 + to * (k / 32), arena->s32 + from * (k / 32), k / 32 * sizeof(int32_t));
    }
    if (forms & LM_ACTS_Q256) {
        memcpy(arena->q256 + to * k, arena->q256 + from * k, k);
        memcpy(arena->d256 + to * (k / 256), arena->d256 + from * (k / 256), k / 256 * sizeof(float));
        memcpy(arena->s16 + to * (k / 16), arena->s16 + from * (k / 16), k / 16 * sizeof(int16_t));
    }
}

static void experts_acts_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    const lm_op_experts *u = &op->u.experts;
    size_t k = (size_t)lm_cpu_bound(run, op->weight[0])->info.n_cols;
    float *normed = (float *)(void *)lm_cpu_scratch(run, worker);
    uint32_t begin, end;
    lm_cpu_units(run, task, &begin, &end);
    for (uint32_t r = begin; r < end; r++) {
        const float *x = lm_cpu_value(run, op->in[0], r);
        for (uint32_t rank = 0; rank < u->n_used; rank++) {
            if (u->down)
                experts_input(run, op, r * u->n_used + rank, x + rank * k, k, normed);
            else if (rank == 0)
                experts_input(run, op, r * u->n_used, x, k, normed);
            else
                experts_copy(run, r * u->n_used, r * u->n_used + rank, k);
        }
    }
}

static uint32_t experts_plan(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    const lm_cpu_grain *grain = &run->cpu->grain;
    const lm_cpu_weight *w = lm_cpu_bound(run, op->weight[0]);
    lm_cpu_arena *arena = run->arena;
    uint32_t n_expert = op->u.experts.n_expert, n_pairs = run->n_rows[op->rows] * op->u.experts.n_used, beside = op->u.experts.down ? 1 : 2;
    (void)round;
    if (n_pairs == 0)
        return 0;
    uint64_t macs = run->exec->ops[run->op].acts & LM_ACTS_F32 ? grain->macs_float : grain->macs_int;
    uint64_t per_column = LM_GROUP * w->info.n_cols * beside, most = LM_MAX(LM_MIN((uint64_t)grain->cols, macs / per_column), 1), widest = 1;
    run->n_jobs = 0;
    for (uint32_t e = 0; e < n_expert; e++)
        for (uint32_t at = arena->expert_first[e]; at < arena->expert_first[e + 1];) {
            uint32_t n = LM_MIN((uint32_t)most, arena->expert_first[e + 1] - at);
            arena->jobs[2 * run->n_jobs] = at;
            arena->jobs[2 * run->n_jobs++ + 1] = n;
            widest = LM_MAX(widest, n);
            at += n;
        }
    uint64_t all = w->info.n_rows / n_expert / LM_GROUP;
    uint64_t groups = LM_MIN(macs / (per_column * widest), grain->bytes / (w->group_bytes * beside));
    uint64_t fair = all * run->n_jobs / (4 * (uint64_t)run->cpu->n_threads), tile = LM_CPU_TILE / (LM_GROUP * widest);
    groups = LM_MAX(LM_MIN(LM_MIN(groups, fair), LM_MIN(tile, all)), 1);
    if (widest >= grain->tile)                              /* see products_plan */
        groups = lm_cpu_beside(grain, groups, tile);
    run->cut_groups = (uint32_t)groups;
    run->n_blocks = (uint32_t)((all + groups - 1) / groups);
    return run->n_blocks * run->n_jobs;
}

static void experts_tile(lm_cpu_run *run, const lm_op *op, uint32_t i, float *y, size_t stride, uint32_t expert, uint64_t r0, uint64_t n_rows, uint32_t at, uint32_t n)
{
    const lm_cpu_weight *w = lm_cpu_bound(run, op->weight[i]);
    size_t k = (size_t)w->info.n_cols;
    lm_acts x = lm_cpu_acts_at(run->arena, run->arena->acts_f32, k, at);
    uint64_t first = (uint64_t)expert * (w->info.n_rows / op->u.experts.n_expert) + r0;
    run->cpu->kernels.linear[w->info.type](y, stride, w->data + first / LM_GROUP * w->group_bytes, (size_t)n_rows, k, &x, n);
}

static void experts_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    const lm_op_experts *u = &op->u.experts;
    lm_cpu_arena *arena = run->arena;
    uint32_t at = arena->jobs[task / run->n_blocks * 2], n = arena->jobs[task / run->n_blocks * 2 + 1];
    uint32_t expert = experts_id(run, op, arena->pair_order[at]);
    uint64_t n_out = lm_cpu_bound(run, op->weight[0])->info.n_rows / u->n_expert;
    uint64_t r0 = (uint64_t)(task % run->n_blocks) * run->cut_groups * LM_GROUP, n_rows = LM_MIN((uint64_t)run->cut_groups * LM_GROUP, n_out - r0);
    if (u->down) {
        experts_tile(run, op, 0, arena->product + at * n_out + r0, (size_t)n_out, expert, r0, n_rows, at, n);
        return;
    }
    float *gate = (float *)(void *)lm_cpu_scratch(run, worker), *up = gate + LM_CPU_TILE;
    experts_tile(run, op, 0, gate, (size_t)n_rows, expert, r0, n_rows, at, n);
    experts_tile(run, op, 1, up, (size_t)n_rows, expert, r0, n_rows, at, n);
    for (uint32_t c = 0; c < n; c++) {
        uint32_t pair = arena->pair_order[at + c];
        float *y = lm_cpu_value(run, op->out[0], pair / u->n_used) + pair % u->n_used * n_out + r0;
        lm_cpu_gate(&run->cpu->kernels, u->act, y, gate + c * n_rows, up + c * n_rows, (size_t)n_rows);
    }
}

static uint32_t experts_add_plan(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    (void)round;
    if (!op->u.experts.down)
        return 0;
    return lm_cpu_cut(run, run->n_rows[op->rows], (uint64_t)lm_cpu_width(run, op->out[0]) * op->u.experts.n_used, run->cpu->grain.items);
}

static void experts_add_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    const lm_op_experts *u = &op->u.experts;
    size_t n_out = lm_cpu_width(run, op->out[0]);
    uint32_t begin, end;
    (void)worker;
    lm_cpu_units(run, task, &begin, &end);
    for (uint32_t r = begin; r < end; r++) {
        float *y = lm_cpu_value(run, op->out[0], r);
        const float *weights = lm_cpu_value(run, op->in[2], r);
        memcpy(y, lm_cpu_value(run, op->in[3], r), n_out * sizeof(float));
        for (uint32_t rank = 0; rank < u->n_used; rank++)
            run->cpu->kernels.add_scaled(y, run->arena->product + run->arena->pair_place[r * u->n_used + rank] * n_out, weights[rank], n_out);
    }
}

const lm_cpu_op lm_cpu_experts = {
    experts_can, experts_need,
    { { experts_acts_plan, experts_acts_task, 0 }, { experts_plan, experts_task, 0 }, { experts_add_plan, experts_add_task, 0 } }
};
