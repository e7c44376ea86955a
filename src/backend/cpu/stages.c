/* SPDX-License-Identifier: MIT
 * The operations of the CPU backend: the table, how work is cut, and the small ones (EMBED, ANGLES, HEAD, ROUTE, NORM, GATHER). The
 * row that runs an operation also says whether it can run. Owns nothing. Threads: tasks of a stage write disjoint places. */
#include "backend/cpu/cpu.h"

#include "base/fmath.h"

#include <string.h>

LM_EXACT_ARITHMETIC

uint32_t lm_cpu_cut(lm_cpu_run *run, uint64_t n, uint64_t work, uint64_t grain)
{
    if (n == 0)
        return 0;
    uint64_t units = LM_MAX(grain / LM_MAX(work, 1), 1), fair = n / (4 * (uint64_t)run->cpu->n_threads);
    /* Finer than a task of full length, if that gives all threads something, but no finer than an eighth. */
    units = LM_MAX(LM_MIN(units, LM_MAX(fair, units / 8)), 1);
    units = LM_MAX(units, n >> 20);                         /* the ticket's field has 22 bits */
    run->cut_units = (uint32_t)LM_MIN(units, n);
    run->n_units = (uint32_t)n;
    return (uint32_t)((n + run->cut_units - 1) / run->cut_units);
}

static llm_status stages_can_always(const lm_cpu *cpu, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)cpu, (void)program, (void)op, (void)state_type, (void)error;
    return LLM_OK;
}

static void stages_need_nothing(const lm_cpu *cpu, const lm_program *program, const lm_op *op, lm_cpu_need *need)
{
    (void)cpu, (void)program, (void)op, (void)need;
}

/* Tasks of rows as wide as out[0]. */
static uint32_t stages_rows_plan(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    (void)round;
    return lm_cpu_cut(run, run->n_rows[op->rows], lm_cpu_width(run, op->out[0]), run->cpu->grain.items);
}

/* ---- EMBED ------------------------------------------------------------------------------------------------------------- */

static llm_status stages_embed_can(const lm_cpu *cpu, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    const lm_weight_info *info = &program->weights[op->weight[0]];
    const lm_type_info *type = lm_type_get(info->type);
    (void)state_type;
    if (!type || !cpu->kernels.row[info->type] || !cpu->kernels.pack[info->type])
        return lm_fail(error, LLM_E_UNSUPPORTED, "%s: the CPU does not read embeddings of type %s", info->name ? info->name : "a weight",
                       type ? type->name : "unknown");
    return LLM_OK;
}

static void stages_embed_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    const lm_cpu_weight *w = lm_cpu_bound(run, op->weight[0]);
    const lm_kernels *kernels = &run->cpu->kernels;
    uint32_t begin, end;
    (void)worker;
    lm_cpu_units(run, task, &begin, &end);
    for (uint32_t r = begin; r < end; r++) {
        float *y = lm_cpu_value(run, op->out[0], r);
        kernels->row[w->info.type](y, w->data, (size_t)run->arena->rows[r].token, (size_t)w->info.n_cols);
        if (op->u.embed.scale != 1)
            kernels->scale(y, y, op->u.embed.scale, (size_t)w->info.n_cols);
    }
}

/* ---- ANGLES ------------------------------------------------------------------------------------------------------------ */

enum { STAGES_ANGLE_WORK = 64 };                            /* a sine and a cosine in double, in items of simpler work */

static uint32_t stages_angles_plan(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    (void)round;
    return lm_cpu_cut(run, run->n_rows[op->rows], (uint64_t)op->u.angles.n_rot * STAGES_ANGLE_WORK / 2, run->cpu->grain.items);
}

static void stages_angles_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    const lm_op_angles *u = &op->u.angles;
    const double *freq = run->exec->ops[run->op].freq, *mix = run->exec->ops[run->op].mix;
    uint32_t begin, end;
    (void)worker;
    lm_cpu_units(run, task, &begin, &end);
    for (uint32_t r = begin; r < end; r++) {
        bool is_long = op->weight[1] != LM_NONE && (run->arena->rows[r].flags & LM_ROW_LONG) != 0;
        const float *divisors = lm_cpu_vector(run, op->weight[is_long]);
        float *y = lm_cpu_value(run, op->out[0], r);
        double position = run->arena->rows[r].position;
        for (uint32_t j = 0; j < u->n_rot / 2; j++) {
            double inv_freq = divisors ? freq[j] / (double)divisors[j] : freq[j], sine, cosine;
            double angle = position * u->freq_scale * inv_freq;
            if (u->ext_factor != 0)
                angle = angle * (1 - mix[j]) + position * inv_freq * mix[j];
            lm_sincos64(angle, &sine, &cosine);
            y[2 * j] = (float)(cosine * u->magnitude);
            y[2 * j + 1] = (float)(sine * u->magnitude);
        }
    }
}

/* ---- HEAD -------------------------------------------------------------------------------------------------------------- */

static llm_status stages_head_can(const lm_cpu *cpu, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)cpu, (void)program, (void)op;
    return lm_cpu_pool_can(state_type, error);
}

static void stages_head_need(const lm_cpu *cpu, const lm_program *program, const lm_op *op, lm_cpu_need *need)
{
    (void)cpu, (void)program;
    need->worker = (uint64_t)op->u.head.head_dim * sizeof(float);
}

/* Units are (kv head, row), rows fastest, so that a task mostly writes whole lines of 16 keys. */
static uint32_t stages_head_plan(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    const lm_op_head *u = &op->u.head;
    (void)round;
    return lm_cpu_cut(run, (uint64_t)u->n_head_kv * run->n_rows[LM_ROWS_ALL], (uint64_t)(u->n_head / u->n_head_kv + 2) * u->head_dim, run->cpu->grain.items);
}

static void stages_head_one(lm_cpu_run *run, const lm_op *op, float *y, const float *x, int32_t norm, const float *angles)
{
    const lm_op_head *u = &op->u.head;
    const lm_kernels *kernels = &run->cpu->kernels;
    if (norm != LM_NONE)
        kernels->rms_norm(y, x, lm_cpu_vector(run, norm), u->head_dim, u->eps);
    else
        memcpy(y, x, u->head_dim * sizeof(float));
    if (u->rope == LM_ROPE_PAIRS)
        kernels->rope_pairs(y, angles, u->n_rot);
    else if (u->rope == LM_ROPE_HALVES)
        kernels->rope_halves(y, angles, u->n_rot);
}

static void stages_head_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    const lm_op_head *u = &op->u.head;
    const lm_cpu_stream *stream = &run->pool->streams[op->state];
    uint32_t begin, end, n_rows = run->n_rows[LM_ROWS_ALL], group = u->n_head / u->n_head_kv, s = 0;
    float *k = (float *)(void *)lm_cpu_scratch(run, worker);
    lm_cpu_units(run, task, &begin, &end);
    for (uint32_t unit = begin; unit < end; unit++) {
        uint32_t h = unit / n_rows, r = unit % n_rows;
        const float *angles = op->in[3] == LM_NONE ? NULL : lm_cpu_value(run, op->in[3], r);
        for (uint32_t g = h * group; g < (h + 1) * group; g++) {
            float *q = lm_cpu_value(run, op->out[0], r) + (size_t)g * u->head_dim;
            stages_head_one(run, op, q, lm_cpu_value(run, op->in[0], r) + (size_t)g * u->head_dim, op->weight[0], angles);
            if (u->q_scale != 1)
                run->cpu->kernels.scale(q, q, u->q_scale, u->head_dim);
        }
        stages_head_one(run, op, k, lm_cpu_value(run, op->in[1], r) + (size_t)h * u->head_dim, op->weight[1], angles);
        const lm_cpu_segment *segment = &run->arena->segments[s];
        if (r - segment->first_row >= segment->n_rows) {    /* another segment: the next one, or we began anew */
            for (s = 0; r - run->arena->segments[s].first_row >= run->arena->segments[s].n_rows; s++)
                ;
            segment = &run->arena->segments[s];
        }
        uint32_t position = (uint32_t)run->arena->rows[r].position, at = position % LM_PAGE_POSITIONS;
        uint8_t *page = segment->pages[stream->page_class][position / LM_PAGE_POSITIONS] + stream->offset + h * stream->head_bytes;
        run->store_k(page, at, k, u->head_dim);
        run->store_v(page + stream->k_bytes, at, lm_cpu_value(run, op->in[2], r) + (size_t)h * u->v_dim, u->v_dim);
    }
}

/* ---- ROUTE ------------------------------------------------------------------------------------------------------------- */

static void stages_route_need(const lm_cpu *cpu, const lm_program *program, const lm_op *op, lm_cpu_need *need)
{
    (void)cpu, (void)program;
    need->worker = (uint64_t)op->u.route.n_expert * sizeof(float);
}

static uint32_t stages_route_plan(lm_cpu_run *run, const lm_op *op, uint32_t round)
{
    (void)round;
    return lm_cpu_cut(run, run->n_rows[op->rows], (uint64_t)op->u.route.n_expert * (4 + op->u.route.n_used), run->cpu->grain.items);
}

/* The largest of p that is less than (last, at id) in the order "larger first, then lower id"; NaN counts as smallest. */
static uint32_t stages_route_next(const float *p, uint32_t n, bool first, float last, uint32_t at)
{
    uint32_t best = UINT32_MAX;
    float most = 0;
    for (uint32_t i = 0; i < n; i++) {
        float value = p[i] == p[i] ? p[i] : -1.0f;          /* probabilities are not negative */
        bool after = first || value < last || (value == last && i > at);
        if (after && (best == UINT32_MAX || value > most)) {
            best = i;
            most = value;
        }
    }
    return best;
}

static void stages_route_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    const lm_op_route *u = &op->u.route;
    float *p = (float *)(void *)lm_cpu_scratch(run, worker);
    uint32_t begin, end;
    lm_cpu_units(run, task, &begin, &end);
    for (uint32_t r = begin; r < end; r++) {
        int32_t *ids = (int32_t *)(void *)lm_cpu_value(run, op->out[0], r);
        float *weights = lm_cpu_value(run, op->out[1], r), last = 0, sum = 0;
        uint32_t at = 0;
        run->cpu->kernels.softmax(p, lm_cpu_value(run, op->in[0], r), u->n_expert);
        for (uint32_t i = 0; i < u->n_used; i++) {
            at = stages_route_next(p, u->n_expert, i == 0, last, at);
            last = p[at] == p[at] ? p[at] : -1.0f;
            ids[i] = (int32_t)at;
            weights[i] = p[at];
            sum = i == 0 ? p[at] : sum + p[at];
        }
        for (uint32_t i = 0; i < u->n_used; i++) {
            if (u->normalize)
                weights[i] = weights[i] / sum;
            if (u->scale != 1)
                weights[i] = weights[i] * u->scale;
        }
    }
}

/* ---- NORM -------------------------------------------------------------------------------------------------------------- */

static void stages_norm_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    const lm_kernels *kernels = &run->cpu->kernels;
    uint32_t begin, end, n = lm_cpu_width(run, op->out[0]);
    (void)worker;
    lm_cpu_units(run, task, &begin, &end);
    for (uint32_t r = begin; r < end; r++) {
        float *y = lm_cpu_value(run, op->out[0], r);
        kernels->rms_norm(y, lm_cpu_value(run, op->in[0], r), lm_cpu_vector(run, op->weight[3]), n, op->u.norm.eps);
        if (op->in[1] != LM_NONE)
            kernels->add(y, lm_cpu_value(run, op->in[1], r), y, n);
    }
}

/* ---- GATHER ------------------------------------------------------------------------------------------------------------ */

static void stages_gather_task(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker)
{
    uint32_t begin, end;
    (void)worker;
    lm_cpu_units(run, task, &begin, &end);
    for (uint32_t r = begin; r < end; r++)
        memcpy(lm_cpu_value(run, op->out[0], r), lm_cpu_value(run, op->in[0], run->arena->out_rows[r]), lm_cpu_width(run, op->out[0]) * sizeof(float));
}

/* ---- the table --------------------------------------------------------------------------------------------------------- */

static const lm_cpu_op stages_embed = { stages_embed_can, stages_need_nothing, { { stages_rows_plan, stages_embed_task, 0 } } };
static const lm_cpu_op stages_angles = { stages_can_always, stages_need_nothing, { { stages_angles_plan, stages_angles_task, 0 } } };
static const lm_cpu_op stages_head = { stages_head_can, stages_head_need, { { stages_head_plan, stages_head_task, 0 } } };
static const lm_cpu_op stages_route = { stages_can_always, stages_route_need, { { stages_route_plan, stages_route_task, 0 } } };
static const lm_cpu_op stages_norm = { stages_can_always, stages_need_nothing, { { stages_rows_plan, stages_norm_task, 0 } } };
static const lm_cpu_op stages_gather = { stages_can_always, stages_need_nothing, { { stages_rows_plan, stages_gather_task, 0 } } };

/* An operation without a row does not compile. */
#define STAGES_EMBED &stages_embed
#define STAGES_ANGLES &stages_angles
#define STAGES_LINEAR &lm_cpu_linear
#define STAGES_HEAD &stages_head
#define STAGES_ATTEND &lm_cpu_attend
#define STAGES_ROUTE &stages_route
#define STAGES_LINEAR_EXPERTS &lm_cpu_experts
#define STAGES_NORM &stages_norm
#define STAGES_GATHER &stages_gather
#define STAGES_LOGITS &lm_cpu_linear

static const lm_cpu_op *const stages_table[LM_OP_COUNT] = {
#define STAGES_ROW(name, split, reads, writes) [LM_OP_##name] = STAGES_##name,
    LM_OPS(STAGES_ROW)
#undef STAGES_ROW
};

#undef STAGES_EMBED
#undef STAGES_ANGLES
#undef STAGES_LINEAR
#undef STAGES_HEAD
#undef STAGES_ATTEND
#undef STAGES_ROUTE
#undef STAGES_LINEAR_EXPERTS
#undef STAGES_NORM
#undef STAGES_GATHER
#undef STAGES_LOGITS

const lm_cpu_op *lm_cpu_op_get(uint32_t kind) { return stages_table[kind]; }
