/* SPDX-License-Identifier: MIT
 * The operations of the Vulkan backend: one row each, which says whether it can run and turns it into dispatches; and the barriers between
 * them, from what each dispatch says it reads and writes. A plan belongs to a number of rows and a depth, up to twice it; positions, tokens and pages are not in it:
 * shaders read them from the tables, so that a plan can be recorded once and played again. Owns nothing. Threads: under `gpu`. */
#include "backend/vulkan/vulkan.h"

#include <string.h>

enum { PLAN_FEW_COLUMNS = 8, PLAN_SOME_COLUMNS = 16, PLAN_GROUPS = 128, PLAN_FEW_ROWS = 8, PLAN_HEAD_DIM = 512, PLAN_EXPERTS = 1024 };
enum { PLAN_SPLITS = 32, PLAN_COUNTERS = 256 };             /* of attention's keys: at most, of all rows together; and the groups that may then be */
/* As shaders/linear.glsl has them. */
enum { PLAN_EPILOGUE_NONE, PLAN_EPILOGUE_RESIDUAL, PLAN_EPILOGUE_RESIDUAL_GATE, PLAN_EPILOGUE_SILU, PLAN_EPILOGUE_GELU };
enum { PLAN_EXPERTS_NONE, PLAN_EXPERTS_UP, PLAN_EXPERTS_DOWN };
enum { PLAN_NORM_APART, PLAN_NORM_PLAIN, PLAN_NORM_VECTOR };  /* of linear_few.comp: none is in the product; one, without a vector or with one */

/* All products are pushed the same words. */
_Static_assert(sizeof(lm_vk_push_linear_few) == sizeof(lm_vk_push_linear_many) && offsetof(lm_vk_push_linear_few, softcap) == offsetof(lm_vk_push_linear_many, softcap) &&
                   (int)LM_VK_SPEC_LINEAR_FEW_EPILOGUE == (int)LM_VK_SPEC_LINEAR_MANY_EPILOGUE && (int)LM_VK_SPEC_LINEAR_FEW_SOFTCAP == (int)LM_VK_SPEC_LINEAR_MANY_SOFTCAP && sizeof(lm_vk_push_linear_few) == sizeof(lm_vk_push_linear_wide) &&
                   (int)LM_VK_SPEC_LINEAR_FEW_LANES == (int)LM_VK_SPEC_LINEAR_WIDE_LANES,
               "linear.glsl is included by all");

/* ---- making dispatches --------------------------------------------------------------------------------------------------- */

static const lm_value *plan_value(const lm_vk_plan *plan, int32_t value) { return &plan->exec->program->values[value]; }

/* Where a value begins, in items of its row set's buffer. */
static uint32_t plan_at(const lm_vk_plan *plan, int32_t value)
{
    return value == LM_NONE ? 0 : (uint32_t)((uint64_t)plan_value(plan, value)->offset * plan->n_rows[plan_value(plan, value)->rows]);
}

/* Behind the program's values, in those of all rows: attention's counters, then what an operation needs for itself alone. */
static uint32_t plan_counters_at(const lm_vk_plan *plan) { return (uint32_t)((uint64_t)plan->exec->program->row_items[LM_ROWS_ALL] * plan->n_rows[LM_ROWS_ALL]); }
static uint32_t plan_scratch_at(const lm_vk_plan *plan, uint32_t rows)
{
    return (uint32_t)((uint64_t)plan->exec->program->row_items[rows] * plan->n_rows[rows] + (rows == LM_ROWS_ALL ? PLAN_COUNTERS : 0));
}

static void plan_range(lm_vk_dispatch *d, uint32_t space, uint32_t write, uint64_t begin, uint64_t n)
{
    d->accesses[d->n_accesses++] = (lm_vk_access){ space, write, begin, begin + n };
}

static void plan_access(const lm_vk_plan *plan, lm_vk_dispatch *d, int32_t value, uint32_t write)
{
    if (value == LM_NONE)
        return;
    const lm_value *v = plan_value(plan, value);
    plan_range(d, v->rows, write, plan_at(plan, value), (uint64_t)v->width * plan->n_rows[v->rows]);
}

static void plan_state(const lm_vk_plan *plan, lm_vk_dispatch *d, int32_t stream, uint32_t write)
{
    plan_range(d, LM_VK_SPACE_STREAMS + (uint32_t)stream, write, 0, (uint64_t)plan->pool->streams[stream].page_words * plan->pool->streams[stream].capacity);
}

/* A dispatch of the operation at hand; push: without its bases, which are 0. */
static llm_status plan_add(lm_vk_plan *plan, int32_t module, const uint32_t *specs, uint32_t n_specs, const void *push, size_t push_bytes, uint64_t x, uint64_t y, uint64_t work,
                           lm_vk_dispatch **out, llm_error *error)
{
    const lm_op *op = &plan->exec->program->ops[plan->op];
    uint32_t all[LM_VK_MAX_SPECS] = { 0 };
    if (module < 0 || push_bytes != lm_vk_module_get((uint32_t)module)->push_bytes || plan->n == plan->cap || x > UINT32_MAX || y > UINT32_MAX)
        return lm_fail(error, LLM_E_INTERNAL, "Vulkan: operation %u (%s): dispatch %u of %u of module %d", plan->op, lm_op_name(op->kind), plan->n, plan->cap, module);
    for (uint32_t i = 0; i < n_specs; i++)
        all[i] = specs[i];
    lm_vk_dispatch *d = &plan->dispatches[plan->n];
    memset(d, 0, sizeof *d);
    LM_TRY(lm_vk_pipeline_get(plan->vk, (uint32_t)module, all, &d->pipeline, error));
    memcpy(d->push, push, push_bytes);
    d->push_bytes = (uint32_t)push_bytes;
    d->groups[0] = (uint32_t)x;
    d->groups[1] = (uint32_t)y;
    d->op = plan->op;
    d->work = LM_MAX(work, 1);
    d->sets[0] = plan->arena->sets[op->rows].set;
    for (int i = 1; i < LM_VK_SETS; i++)
        d->sets[i] = plan->vk->none_set.set;
    plan->n++;
    *out = d;
    return LLM_OK;
}

static VkDescriptorSet plan_vector(const lm_vk_plan *plan, int32_t weight)
{
    return weight == LM_NONE ? plan->vk->none_set.set : plan->exec->weights[weight]->shards[0].set.set;
}

static uint64_t plan_ceil(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

/* ---- EMBED, ANGLES ------------------------------------------------------------------------------------------------------- */

static llm_status plan_can_always(const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)program, (void)op, (void)state_type, (void)error;
    return LLM_OK;
}

static llm_status plan_can_types(const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)state_type;
    for (int i = 0; i < 3; i++) {
        const lm_weight_info *info = op->weight[i] == LM_NONE ? NULL : &program->weights[op->weight[i]];
        const lm_type_info *type = info ? lm_type_get(info->type) : NULL;
        if (info && !info->is_vector && !lm_vk_type_can(info->type))
            return lm_fail(error, LLM_E_UNSUPPORTED, "%s: the Vulkan backend does not compute with weights of type %s", info->name ? info->name : "a weight", type ? type->name : "unknown");
        if (info && op->kind != LM_OP_EMBED && type && type->block != 1 && program->values[op->in[0]].offset % 4 != 0)      /* linear_few.comp reads it in fours */
            return lm_fail(error, LLM_E_INTERNAL, "%s: what it is multiplied with begins at %u", info->name ? info->name : "a weight", program->values[op->in[0]].offset);
    }
    return LLM_OK;
}

static llm_status plan_embed(lm_vk_plan *plan, const lm_op *op, llm_error *error)
{
    const lm_vk_weight *w = plan->exec->weights[op->weight[0]];
    uint32_t k = (uint32_t)w->info.n_cols;
    for (uint32_t s = 0; s < w->n_shards; s++) {
        const lm_vk_shard *shard = &w->shards[s];
        lm_vk_dispatch *d;
        lm_vk_push_embed push = { .plane0 = shard->plane[0], .plane1 = shard->plane[1], .plane2 = shard->plane[2], .plane3 = shard->plane[3], .k = k, .blocks = w->blocks,
                                  .first = (uint32_t)shard->first, .n = (uint32_t)shard->n, .y = plan_at(plan, op->out[0]), .scale = op->u.embed.scale };
        LM_TRY(plan_add(plan, lm_vk_module_embed(w->info.type), NULL, 0, &push, sizeof push, plan_ceil(k, 1024), plan->n_rows[op->rows], (uint64_t)k * plan->n_rows[op->rows], &d, error));
        d->sets[1] = shard->set.set;
        plan_access(plan, d, op->out[0], 2);                /* shards write different rows */
    }
    return LLM_OK;
}

static llm_status plan_angles(lm_vk_plan *plan, const lm_op *op, llm_error *error)
{
    const lm_op_angles *u = &op->u.angles;
    uint32_t n = u->n_rot / 2;
    lm_vk_dispatch *d;
    lm_vk_push_angles push = { .n_pairs = n, .y = plan_at(plan, op->out[0]), .has_long = op->weight[1] != LM_NONE, .magnitude = (float)u->magnitude };
    LM_TRY(plan_add(plan, LM_VK_MODULE_angles, NULL, 0, &push, sizeof push, plan_ceil(n, 64), plan->n_rows[op->rows], (uint64_t)n * plan->n_rows[op->rows] * 32, &d, error));
    d->sets[1] = plan->exec->sets[plan->op].set;
    plan_access(plan, d, op->out[0], 1);
    return LLM_OK;
}

/* ---- NORM, and the prologue of products ------------------------------------------------------------------------------------ */

static llm_status plan_norm_at(lm_vk_plan *plan, const lm_op *op, int32_t in, int32_t add, uint32_t y, float eps, lm_vk_dispatch **d, llm_error *error)
{
    uint32_t n = plan_value(plan, in)->width, rows = plan->n_rows[op->rows];
    const uint32_t specs[] = { [LM_VK_SPEC_NORM_WEIGHTED] = op->weight[3] != LM_NONE, [LM_VK_SPEC_NORM_ADD] = add != LM_NONE };
    lm_vk_push_norm push = { .n = n, .x = plan_at(plan, in), .y = y, .a = plan_at(plan, add), .eps = eps };
    LM_TRY(plan_add(plan, LM_VK_MODULE_norm, specs, LM_COUNT(specs), &push, sizeof push, 1, rows, (uint64_t)n * rows * 2, d, error));
    (*d)->sets[1] = plan_vector(plan, op->weight[3]);
    plan_access(plan, *d, in, 0);
    plan_access(plan, *d, add, 0);
    return LLM_OK;
}

static llm_status plan_norm(lm_vk_plan *plan, const lm_op *op, llm_error *error)
{
    lm_vk_dispatch *d;
    LM_TRY(plan_norm_at(plan, op, op->in[0], op->in[1], plan_at(plan, op->out[0]), op->u.norm.eps, &d, error));
    plan_access(plan, d, op->out[0], 1);
    return LLM_OK;
}

/* What a product multiplies: its input, or in the scratch the norm of it. Products of few columns norm on their way. */
typedef struct plan_input { uint32_t at, width; int32_t value; uint32_t norm; float eps; } plan_input;      /* value LM_NONE: the scratch; norm: PLAN_NORM_* */

static void plan_input_access(const lm_vk_plan *plan, lm_vk_dispatch *d, const lm_op *op, const plan_input *x)
{
    if (x->value != LM_NONE)
        plan_access(plan, d, x->value, 0);
    else
        plan_range(d, op->rows, 0, x->at, (uint64_t)x->width * plan->n_rows[op->rows]);
}

/* Drivers may run other subgroups than they told of: the self-test finds out. */
bool lm_vk_wide(const lm_vk *vk, uint32_t type) { return vk->caps.shuffle && !atomic_load_explicit(&vk->wide_wrong[type], memory_order_relaxed); }

/* Products for few columns: there are few, or so few workgroups would be there for many that most of a device had nothing to do. */
static bool plan_few(const lm_vk_plan *plan, const lm_op *op)
{
    uint32_t columns = plan->n_rows[op->rows];
    bool few = columns <= PLAN_SOME_COLUMNS;
    for (uint32_t i = 0; few && columns > PLAN_FEW_COLUMNS && i < op->u.linear.n_matrices; i++) {
        const lm_weight_info *w = &plan->exec->program->weights[op->weight[i]];
        few = plan_ceil(w->n_rows, lm_vk_wide(plan->vk, w->type) ? 256 : 64) < PLAN_GROUPS;
    }
    return few;
}

static llm_status plan_prologue(lm_vk_plan *plan, const lm_op *op, uint32_t norm, float eps, bool few, plan_input *x, llm_error *error)
{
    lm_vk_dispatch *d;
    *x = (plan_input){ plan_at(plan, op->in[0]), plan_value(plan, op->in[0])->width, op->in[0], PLAN_NORM_APART, eps };
    if (norm == LM_NORM_NONE)
        return LLM_OK;
    if (few && op->kind != LM_OP_LOGITS) {      /* a barrier less, for an item more to read with each of x; logits are too many for that */
        x->norm = op->weight[3] == LM_NONE ? PLAN_NORM_PLAIN : PLAN_NORM_VECTOR;
        return LLM_OK;
    }
    *x = (plan_input){ plan_scratch_at(plan, op->rows), x->width, LM_NONE, PLAN_NORM_APART, eps };
    LM_TRY(plan_norm_at(plan, op, op->in[0], LM_NONE, x->at, eps, &d, error));
    plan_range(d, op->rows, 1, x->at, (uint64_t)x->width * plan->n_rows[op->rows]);
    return LLM_OK;
}

/* Can both matrices of a gated product be one dispatch? They must be cut alike, and their sets are taken. */
static bool plan_two(const lm_vk_plan *plan, const lm_op *op)
{
    const lm_vk_weight *a = plan->exec->weights[op->weight[0]], *b = plan->exec->weights[op->weight[1]];
    bool two = a->info.type == b->info.type && a->n_shards == b->n_shards && op->weight[4] == LM_NONE && op->weight[5] == LM_NONE;
    for (uint32_t s = 0; two && s < a->n_shards; s++)
        two = a->shards[s].first == b->shards[s].first && a->shards[s].n == b->shards[s].n;
    return two;
}

/* The second matrix and the norm's vector, where linear_few.comp looks for them. */
static void plan_extras(const lm_vk_plan *plan, const lm_op *op, const plan_input *x, const lm_vk_shard *second, lm_vk_dispatch *d)
{
    if (second)
        d->sets[3] = second->set.set;
    if (x->norm == PLAN_NORM_VECTOR)
        d->sets[second ? 2 : 3] = plan_vector(plan, op->weight[3]);
}

static uint64_t plan_linear_scratch(const lm_program *program, const lm_op *op, uint32_t rows) { return op->u.linear.norm == LM_NORM_NONE ? 0 : (uint64_t)program->values[op->in[0]].width * rows; }
static uint64_t plan_experts_scratch(const lm_program *program, const lm_op *op, uint32_t rows) { return op->u.experts.norm == LM_NORM_NONE ? 0 : (uint64_t)program->values[op->in[0]].width * rows; }
static uint64_t plan_no_scratch(const lm_program *program, const lm_op *op, uint32_t rows)
{
    (void)program, (void)op, (void)rows;
    return 0;
}

/* ---- LINEAR, LOGITS --------------------------------------------------------------------------------------------------------- */

/* Of linear_few.comp: invocations that share rows along k, and rows that a workgroup has then. */
static uint32_t plan_lanes(uint32_t k) { return k < 1024 ? 16 : k < 4096 ? 32 : 64; }
static uint32_t plan_rows_a_group(uint32_t lanes, uint32_t columns, bool two) { return (columns != 1 && two ? 4 : 8) * (64 / lanes); }

static lm_vk_push_linear_few plan_push(const lm_vk_weight *w, const lm_vk_shard *shard, const lm_vk_shard *second, float eps)
{
    if (!second)
        second = shard;
    return (lm_vk_push_linear_few){ .up0 = second->plane[0], .up1 = second->plane[1], .up2 = second->plane[2], .up3 = second->plane[3], .eps = eps,
                                    .plane0 = shard->plane[0], .plane1 = shard->plane[1], .plane2 = shard->plane[2], .plane3 = shard->plane[3], .k = (uint32_t)w->info.n_cols,
                                    .blocks = w->blocks, .first = (uint32_t)shard->first, .n = (uint32_t)shard->n, .scale = 1 };
}

static llm_status plan_linear_one(lm_vk_plan *plan, const lm_op *op, uint32_t i, bool few, bool two, const plan_input *x, llm_error *error)
{
    const lm_op_linear *u = &op->u.linear;
    const lm_vk_weight *w = plan->exec->weights[op->weight[i]];
    bool gated = u->epilogue == LM_EPILOGUE_GATED, residual = u->epilogue == LM_EPILOGUE_RESIDUAL, last = !gated || i == 1 || two, gate = residual && op->in[2] != LM_NONE;
    int32_t out = op->out[gated ? 0 : i];
    uint32_t columns = plan->n_rows[op->rows], k = (uint32_t)w->info.n_cols, lanes = plan_lanes(k), wide = !few && lm_vk_wide(plan->vk, w->info.type);
    int32_t module = few ? lm_vk_module_few(w->info.type) : wide ? lm_vk_module_wide(w->info.type) : lm_vk_module_many(w->info.type);
    const uint32_t specs[] = {
        [LM_VK_SPEC_LINEAR_FEW_BIAS] = op->weight[4 + i] != LM_NONE,
        [LM_VK_SPEC_LINEAR_FEW_EPILOGUE] = gate ? PLAN_EPILOGUE_RESIDUAL_GATE : residual ? PLAN_EPILOGUE_RESIDUAL
                                           : gated && last ? (u->act == LM_ACT_GELU ? PLAN_EPILOGUE_GELU : PLAN_EPILOGUE_SILU) : PLAN_EPILOGUE_NONE,
        [LM_VK_SPEC_LINEAR_FEW_SOFTCAP] = u->softcap != 0,
        [LM_VK_SPEC_LINEAR_FEW_EXPERTS] = PLAN_EXPERTS_NONE,
        [LM_VK_SPEC_LINEAR_FEW_LANES] = few ? lanes : wide ? plan->vk->caps.subgroup : 0,
        [LM_VK_SPEC_LINEAR_FEW_COLS] = !few ? 0 : columns == 1 ? 1 : 4,
        [LM_VK_SPEC_LINEAR_FEW_NORM] = x->norm,
        [LM_VK_SPEC_LINEAR_FEW_TWO] = two,
    };
    uint32_t rows_a_group = wide ? 256 : !few ? 64 : plan_rows_a_group(lanes, columns, two), columns_a_group = wide ? 16 : few ? 4 : 32;
    for (uint32_t s = 0; s < w->n_shards; s++) {
        const lm_vk_shard *shard = &w->shards[s], *second = two ? &plan->exec->weights[op->weight[1]]->shards[s] : NULL;
        lm_vk_dispatch *d;
        lm_vk_push_linear_few push = plan_push(w, shard, second, x->eps);
        push.n_cols = columns;
        push.x = x->at;
        push.x_stride = x->width;
        push.y = plan_at(plan, out);
        push.y_stride = plan_value(plan, out)->width;
        push.a = residual ? plan_at(plan, op->in[1]) : 0;
        push.gate = gate ? plan_at(plan, op->in[2]) : 0;
        push.scale = last ? u->scale : 1;
        push.softcap = u->softcap;
        LM_TRY(plan_add(plan, module, specs, LM_COUNT(specs), &push, sizeof push, plan_ceil(shard->n, rows_a_group), plan_ceil(columns, columns_a_group),
                        (two ? 2 : 1) * shard->n * k * columns, &d, error));
        d->sets[1] = shard->set.set;
        d->sets[2] = plan_vector(plan, op->weight[4 + i]);
        plan_extras(plan, op, x, second, d);
        plan_input_access(plan, d, op, x);
        if (residual)
            plan_access(plan, d, op->in[1], 0);
        if (gate)
            plan_access(plan, d, op->in[2], 0);
        plan_access(plan, d, out, gated ? 2 + i : 2);       /* shards write different items; the second matrix what the first has written */
    }
    return LLM_OK;
}

static llm_status plan_linear(lm_vk_plan *plan, const lm_op *op, llm_error *error)
{
    plan_input x;
    bool few = plan_few(plan, op), two = op->u.linear.epilogue == LM_EPILOGUE_GATED && few && plan_two(plan, op);
    LM_TRY(plan_prologue(plan, op, op->u.linear.norm, op->u.linear.eps, few, &x, error));
    for (uint32_t i = 0; i < (two ? 1 : op->u.linear.n_matrices); i++)
        LM_TRY(plan_linear_one(plan, op, i, few, two, &x, error));
    return LLM_OK;
}

/* ---- LINEAR_EXPERTS, ROUTE --------------------------------------------------------------------------------------------------- */

static llm_status plan_experts_one(lm_vk_plan *plan, const lm_op *op, uint32_t i, bool two, const plan_input *x, llm_error *error)
{
    const lm_op_experts *u = &op->u.experts;
    const lm_vk_weight *w = plan->exec->weights[op->weight[i]];
    uint32_t rows = plan->n_rows[op->rows], n_out = (uint32_t)(w->info.n_rows / u->n_expert), k = (uint32_t)w->info.n_cols, lanes = plan_lanes(k);
    const uint32_t specs[] = {
        [LM_VK_SPEC_LINEAR_FEW_EPILOGUE] = u->down ? PLAN_EPILOGUE_RESIDUAL : i == 1 || two ? (u->act == LM_ACT_GELU ? PLAN_EPILOGUE_GELU : PLAN_EPILOGUE_SILU) : PLAN_EPILOGUE_NONE,
        [LM_VK_SPEC_LINEAR_FEW_EXPERTS] = u->down ? PLAN_EXPERTS_DOWN : PLAN_EXPERTS_UP,
        [LM_VK_SPEC_LINEAR_FEW_LANES] = lanes,
        [LM_VK_SPEC_LINEAR_FEW_COLS] = 1,
        [LM_VK_SPEC_LINEAR_FEW_NORM] = x->norm,
        [LM_VK_SPEC_LINEAR_FEW_TWO] = two,
    };
    for (uint32_t s = 0; s < w->n_shards; s++) {
        const lm_vk_shard *second = two ? &plan->exec->weights[op->weight[1]]->shards[s] : NULL;
        lm_vk_dispatch *d;
        lm_vk_push_linear_few push = plan_push(w, &w->shards[s], second, x->eps);
        push.x = x->at;
        push.x_stride = x->width;
        push.y = plan_at(plan, op->out[0]);
        push.y_stride = n_out;
        push.a = u->down ? plan_at(plan, s == 0 ? op->in[3] : op->out[0]) : 0;      /* later shards add to what earlier ones have */
        push.ids = plan_at(plan, op->in[1]);
        push.ranks = plan_at(plan, op->in[2]);
        push.n_used = u->n_used;
        push.n_out = n_out;
        push.n_cols = u->down ? rows : rows * u->n_used;
        LM_TRY(plan_add(plan, lm_vk_module_few(w->info.type), specs, LM_COUNT(specs), &push, sizeof push, plan_ceil(n_out, plan_rows_a_group(lanes, 1, two)), push.n_cols,
                        (uint64_t)(two ? 2 : 1) * n_out * k * rows * u->n_used, &d, error));
        d->sets[1] = w->shards[s].set.set;
        plan_extras(plan, op, x, second, d);
        plan_input_access(plan, d, op, x);
        plan_access(plan, d, op->in[1], 0);
        if (u->down)
            plan_access(plan, d, op->in[2], 0);
        if (u->down && s == 0)
            plan_access(plan, d, op->in[3], 0);
        plan_access(plan, d, op->out[0], u->down ? 1 : 2 + i);
    }
    return LLM_OK;
}

static llm_status plan_experts(lm_vk_plan *plan, const lm_op *op, llm_error *error)
{
    plan_input x;
    LM_TRY(plan_prologue(plan, op, op->u.experts.norm, op->u.experts.eps, plan->n_rows[op->rows] <= PLAN_FEW_COLUMNS, &x, error));
    bool two = !op->u.experts.down && plan_two(plan, op);
    for (uint32_t i = 0; i < (op->u.experts.down || two ? 1u : 2u); i++)
        LM_TRY(plan_experts_one(plan, op, i, two, &x, error));
    return LLM_OK;
}

static llm_status plan_route_can(const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)program, (void)state_type;
    if (op->u.route.n_expert > PLAN_EXPERTS)
        return lm_fail(error, LLM_E_UNSUPPORTED, "%u experts: the Vulkan backend routes among at most %d", op->u.route.n_expert, PLAN_EXPERTS);
    return LLM_OK;
}

static llm_status plan_route(lm_vk_plan *plan, const lm_op *op, llm_error *error)
{
    const lm_op_route *u = &op->u.route;
    lm_vk_dispatch *d;
    lm_vk_push_route push = { .n_expert = u->n_expert, .n_used = u->n_used, .x = plan_at(plan, op->in[0]), .ids = plan_at(plan, op->out[0]), .weights = plan_at(plan, op->out[1]),
                              .normalize = u->normalize, .scale = u->scale };
    LM_TRY(plan_add(plan, LM_VK_MODULE_route, NULL, 0, &push, sizeof push, 1, plan->n_rows[op->rows], (uint64_t)u->n_expert * u->n_used * plan->n_rows[op->rows], &d, error));
    plan_access(plan, d, op->in[0], 0);
    plan_access(plan, d, op->out[0], 1);
    plan_access(plan, d, op->out[1], 1);
    return LLM_OK;
}

/* ---- HEAD, ATTEND --------------------------------------------------------------------------------------------------------------- */

static llm_status plan_heads_can(uint32_t head_dim, uint32_t v_dim, int32_t state_type, llm_error *error)
{
    if (lm_state_row_bytes(state_type, 1) == 0)
        return lm_fail(error, LLM_E_UNSUPPORTED, "the Vulkan backend keeps state as f16, f32 or int8, not as type %d", state_type);
    if (head_dim > PLAN_HEAD_DIM || v_dim > PLAN_HEAD_DIM)
        return lm_fail(error, LLM_E_UNSUPPORTED, "heads of %u and %u items: the Vulkan backend attends with at most %d", head_dim, v_dim, PLAN_HEAD_DIM);
    return LLM_OK;
}

static llm_status plan_head_can(const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)program;
    return plan_heads_can(op->u.head.head_dim, op->u.head.v_dim, state_type, error);
}

static llm_status plan_attend_can(const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)program;
    return plan_heads_can(op->u.attend.head_dim, op->u.attend.v_dim, state_type, error);
}

static llm_status plan_head(lm_vk_plan *plan, const lm_op *op, llm_error *error)
{
    const lm_op_head *u = &op->u.head;
    const lm_vk_stream *stream = &plan->pool->streams[op->state];
    uint32_t rows = plan->n_rows[op->rows], heads = u->n_head + 2 * u->n_head_kv;
    const uint32_t specs[] = { [LM_VK_SPEC_HEAD_STATE] = (uint32_t)plan->pool->state_type, [LM_VK_SPEC_HEAD_ROPE] = u->rope, [LM_VK_SPEC_HEAD_NORM_Q] = op->weight[0] != LM_NONE,
                               [LM_VK_SPEC_HEAD_NORM_K] = op->weight[1] != LM_NONE };
    lm_vk_dispatch *d;
    lm_vk_push_head push = { .n_head = u->n_head, .n_head_kv = u->n_head_kv, .head_dim = u->head_dim, .v_dim = u->v_dim, .n_rot = u->n_rot, .q = plan_at(plan, op->in[0]),
                             .k = plan_at(plan, op->in[1]), .v = plan_at(plan, op->in[2]), .angles = plan_at(plan, op->in[3]), .out_q = plan_at(plan, op->out[0]),
                             .page_class = stream->page_class, .page_positions = LM_PAGE_POSITIONS, .page_words = stream->page_words, .v_words = stream->v_words, .eps = u->eps,
                             .q_scale = u->q_scale };
    if (rows <= PLAN_FEW_ROWS) {
        push.counters = plan_counters_at(plan);
        push.n_counters = PLAN_COUNTERS;
    }
    LM_TRY(plan_add(plan, LM_VK_MODULE_head, specs, LM_COUNT(specs), &push, sizeof push, heads, rows, (uint64_t)heads * u->head_dim * rows * 4, &d, error));
    d->sets[1] = plan_vector(plan, op->weight[0]);
    d->sets[2] = plan_vector(plan, op->weight[1]);
    d->sets[3] = stream->set.set;
    for (int i = 0; i < 4; i++)
        plan_access(plan, d, op->in[i], 0);
    plan_access(plan, d, op->out[0], 1);
    plan_state(plan, d, op->state, 1);
    if (push.n_counters)
        plan_range(d, op->rows, 1, push.counters, push.n_counters);
    return LLM_OK;
}

/* How attention is cut into workgroups. A few rows, or rows of many sessions, have a tile each and, the few, their keys split; others share tiles.
 * Shared memory bounds the queries of a tile: 12.5 KiB for 16 of 128 items, 14 KiB for 4 of 512. */
typedef struct plan_tiles { uint32_t queries, heads, parts, rows, splits; } plan_tiles;

static plan_tiles plan_attend_tiles(const lm_vk_plan *plan, const lm_op *op)
{
    const lm_op_attend *u = &op->u.attend;
    uint32_t rows = plan->n_rows[op->rows], group = u->n_head / u->n_head_kv, most = u->head_dim <= 128 ? 16 : u->head_dim <= 256 ? 8 : 4;
    bool few = rows <= PLAN_FEW_ROWS, alone = few || plan->n_slots > rows / 4;
    plan_tiles t = { .queries = alone ? LM_MIN(most, group <= 4 ? 4u : group <= 8 ? 8u : 16u) : most, .splits = 1 };
    t.heads = LM_MIN(group, t.queries);
    t.parts = (uint32_t)plan_ceil(group, t.heads);
    t.rows = alone ? 1 : t.queries / t.heads;
    if (few && rows * u->n_head_kv * t.parts <= PLAN_COUNTERS) {        /* at most as many as the deepest row has tiles of keys; in steps of two, so that a plan serves for a while */
        uint64_t tiles = LM_MIN(plan_ceil(plan->deepest, 64), u->window ? plan_ceil(u->window, 64) + 1 : UINT32_MAX);
        while (t.splits < tiles && 2 * t.splits * rows <= PLAN_SPLITS)
            t.splits *= 2;
    }
    return t;
}

static uint64_t plan_attend_scratch(const lm_program *program, const lm_op *op, uint32_t rows)
{
    (void)program, (void)rows;
    return (uint64_t)PLAN_SPLITS * op->u.attend.n_head * (op->u.attend.v_dim + 2);
}

static llm_status plan_attend(lm_vk_plan *plan, const lm_op *op, llm_error *error)
{
    const lm_op_attend *u = &op->u.attend;
    const lm_vk_stream *stream = &plan->pool->streams[op->state];
    plan_tiles t = plan_attend_tiles(plan, op);
    uint32_t rows = plan->n_rows[op->rows], partials = plan_scratch_at(plan, op->rows), counters = plan_counters_at(plan);
    uint64_t keys = u->window ? LM_MIN(plan->keys, (uint64_t)u->window * rows) : plan->keys;
    const uint32_t specs[] = { [LM_VK_SPEC_ATTEND_STATE] = (uint32_t)plan->pool->state_type, [LM_VK_SPEC_ATTEND_SOFTCAP] = u->softcap != 0, [LM_VK_SPEC_ATTEND_QUERIES] = t.queries,
                               [LM_VK_SPEC_ATTEND_K_DIM] = u->head_dim, [LM_VK_SPEC_ATTEND_V_DIM] = u->v_dim };
    lm_vk_dispatch *d;
    lm_vk_push_attend push = { .n_rows = rows, .n_head = u->n_head, .n_head_kv = u->n_head_kv, .heads = t.heads, .parts = t.parts, .tile_rows = t.rows, .splits = t.splits, .window = u->window,
                               .q = plan_at(plan, op->in[0]), .y = plan_at(plan, op->out[0]), .partials = partials, .counters = counters, .page_class = stream->page_class,
                               .page_positions = LM_PAGE_POSITIONS, .page_words = stream->page_words, .v_words = stream->v_words, .scale = u->scale, .softcap = u->softcap };
    LM_TRY(plan_add(plan, LM_VK_MODULE_attend, specs, LM_COUNT(specs), &push, sizeof push, (uint64_t)u->n_head_kv * t.parts * t.splits, plan_ceil(rows, t.rows),
                    keys * u->n_head * (u->head_dim + u->v_dim), &d, error));
    d->sets[3] = stream->set.set;
    plan_access(plan, d, op->in[0], 0);
    plan_state(plan, d, op->state, 0);
    plan_access(plan, d, op->out[0], 1);
    if (t.splits > 1) {
        plan_range(d, op->rows, 1, counters, PLAN_COUNTERS);
        plan_range(d, op->rows, 1, partials, (uint64_t)rows * t.splits * u->n_head * (u->v_dim + 2));
    }
    return LLM_OK;
}

/* ---- GATHER ------------------------------------------------------------------------------------------------------------------- */

static llm_status plan_gather(lm_vk_plan *plan, const lm_op *op, llm_error *error)
{
    uint32_t n = plan_value(plan, op->out[0])->width, rows = plan->n_rows[LM_ROWS_OUT];
    lm_vk_dispatch *d;
    lm_vk_push_gather push = { .n = n, .x = plan_at(plan, op->in[0]), .y = plan_at(plan, op->out[0]) };
    LM_TRY(plan_add(plan, LM_VK_MODULE_gather, NULL, 0, &push, sizeof push, plan_ceil(n, 64), rows, (uint64_t)n * rows, &d, error));
    plan_access(plan, d, op->in[0], 0);
    plan_access(plan, d, op->out[0], 1);
    return LLM_OK;
}

/* ---- the table --------------------------------------------------------------------------------------------------------------- */

typedef struct plan_op {
    llm_status (*can)(const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error);
    uint64_t (*scratch)(const lm_program *program, const lm_op *op, uint32_t rows);
    llm_status (*plan)(lm_vk_plan *plan, const lm_op *op, llm_error *error);
} plan_op;

/* An operation without a row does not compile. */
#define PLAN_EMBED { plan_can_types, plan_no_scratch, plan_embed }
#define PLAN_ANGLES { plan_can_always, plan_no_scratch, plan_angles }
#define PLAN_LINEAR { plan_can_types, plan_linear_scratch, plan_linear }
#define PLAN_HEAD { plan_head_can, plan_no_scratch, plan_head }
#define PLAN_ATTEND { plan_attend_can, plan_attend_scratch, plan_attend }
#define PLAN_ROUTE { plan_route_can, plan_no_scratch, plan_route }
#define PLAN_LINEAR_EXPERTS { plan_can_types, plan_experts_scratch, plan_experts }
#define PLAN_NORM { plan_can_always, plan_no_scratch, plan_norm }
#define PLAN_GATHER { plan_can_always, plan_no_scratch, plan_gather }
#define PLAN_LOGITS { plan_can_types, plan_linear_scratch, plan_linear }
static const plan_op plan_ops[LM_OP_COUNT] = {
#define PLAN_ROW(name, split, reads, writes) [LM_OP_##name] = PLAN_##name,
    LM_OPS(PLAN_ROW)
#undef PLAN_ROW
};
#undef PLAN_EMBED
#undef PLAN_ANGLES
#undef PLAN_LINEAR
#undef PLAN_HEAD
#undef PLAN_ATTEND
#undef PLAN_ROUTE
#undef PLAN_LINEAR_EXPERTS
#undef PLAN_NORM
#undef PLAN_GATHER
#undef PLAN_LOGITS

llm_status lm_vk_op_can(const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    if (op->kind >= LM_OP_COUNT)
        return lm_fail(error, LLM_E_UNSUPPORTED, "operation %u is unknown to the Vulkan backend", op->kind);
    return plan_ops[op->kind].can(program, op, state_type, error);
}

uint64_t lm_vk_op_scratch(const lm_program *program, const lm_op *op, uint32_t rows)
{
    return plan_ops[op->kind].scratch(program, op, rows) + (op->rows == LM_ROWS_ALL ? PLAN_COUNTERS : 0);
}

uint32_t lm_vk_op_dispatches(const lm_vk_exec *exec, const lm_op *op)
{
    uint32_t n = 1;
    for (int i = 0; i < 3; i++)                             /* vectors count too: one too many harms nobody */
        n += op->weight[i] != LM_NONE ? exec->weights[op->weight[i]]->n_shards : 0;
    return n;
}

llm_status lm_vk_plan_make(lm_vk_plan *plan, llm_error *error)
{
    const lm_program *program = plan->exec->program;
    plan->n = 0;
    for (plan->op = 0; plan->op < program->n_ops; plan->op++)
        if (plan->n_rows[program->ops[plan->op].rows] != 0)
            LM_TRY(plan_ops[program->ops[plan->op].kind].plan(plan, &program->ops[plan->op], error));
    lm_vk_plan_barriers(plan->dispatches, plan->n);
    return LLM_OK;
}

/* ---- barriers ------------------------------------------------------------------------------------------------------------------ */

/* `write` of an access: 0: a read; 1: a write; 2 and 3: a write of the same operation's shards, which touch different items: the same
 * number in the same operation does not conflict with itself. */
static bool plan_conflict(const lm_vk_dispatch *a, const lm_vk_dispatch *b)
{
    for (uint32_t i = 0; i < a->n_accesses; i++)
        for (uint32_t j = 0; j < b->n_accesses; j++) {
            const lm_vk_access *x = &a->accesses[i], *y = &b->accesses[j];
            if (x->space != y->space || (!x->write && !y->write) || x->begin >= y->end || y->begin >= x->end)
                continue;
            if (!(a->op == b->op && x->write >= 2 && x->write == y->write))
                return true;
        }
    return false;
}

void lm_vk_plan_barriers(lm_vk_dispatch *dispatches, uint32_t n)
{
    uint32_t since = 0;
    for (uint32_t i = 0; i < n; i++) {
        dispatches[i].barrier = 0;
        for (uint32_t j = since; j < i && !dispatches[i].barrier; j++)
            dispatches[i].barrier = plan_conflict(&dispatches[j], &dispatches[i]);
        if (dispatches[i].barrier)
            since = i;
    }
}

uint32_t lm_vk_plan_hazard(const lm_vk_dispatch *dispatches, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        bool ordered = false;                               /* a barrier lies between j and i */
        for (uint32_t j = i; j-- > 0 && !ordered;) {
            ordered = dispatches[j + 1].barrier != 0;
            if (!ordered && plan_conflict(&dispatches[j], &dispatches[i]))
                return i;
        }
    }
    return UINT32_MAX;
}
