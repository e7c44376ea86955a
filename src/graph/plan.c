/* SPDX-License-Identifier: MIT
 * Memory plan: where each value lies in the arena of a pass. Owns nothing. Knows lifetimes and widths, not what operations do.
 *
 * Two regions, one for each row set (all rows, rows that want an output), are planned alone: their numbers of rows differ. Within
 * one, values go widest first to the lowest place that no value alive at the same time holds (first fit by size, as in
 * Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020). An operation's inputs and outputs are alive together,
 * so that no operation writes what it still reads.
 *
 * Invariant: two values whose [first_op, last_op] meet do not share an item. lm_program_check proves it again.
 * Threads: any, one program each. */
#include "graph/plan.h"

#include "base/size.h"

/* Which values are alive at each operation: list[start[op] .. start[op + 1]). Sum of all lifetimes, a handful an operation. */
typedef struct plan_alive { uint32_t *start, *list; } plan_alive;

static llm_status plan_lifetimes(lm_program *p, llm_error *error)
{
    for (uint32_t v = 0; v < p->n_values; v++)
        p->values[v].first_op = p->values[v].last_op = UINT32_MAX;
    if (p->given && p->given <= p->n_values)
        p->values[p->given - 1].first_op = p->values[p->given - 1].last_op = 0;
    for (uint32_t o = 0; o < p->n_ops; o++) {
        const lm_op *op = &p->ops[o];
        for (uint32_t i = 0; i < LM_OP_IN; i++) {
            int32_t v = op->in[i];
            if (v == LM_NONE)
                continue;
            if (v < 0 || (uint32_t)v >= p->n_values || p->values[v].first_op == UINT32_MAX)
                return lm_fail(error, LLM_E_INTERNAL, "operation %u (%s) reads value %d, which nothing wrote", o, lm_op_name(op->kind), v);
            p->values[v].last_op = o;
        }
        for (uint32_t i = 0; i < LM_OP_OUT; i++) {
            int32_t v = op->out[i];
            if (v == LM_NONE)
                continue;
            if (v < 0 || (uint32_t)v >= p->n_values || p->values[v].first_op != UINT32_MAX)
                return lm_fail(error, LLM_E_INTERNAL, "operation %u (%s) writes value %d, which is none or was written", o, lm_op_name(op->kind), v);
            p->values[v].first_op = p->values[v].last_op = o;
        }
    }
    for (uint32_t v = 0; v < p->n_values; v++)
        if (p->values[v].first_op == UINT32_MAX)
            return lm_fail(error, LLM_E_INTERNAL, "value %u is never written", v);
    if (p->logits < 0 || (uint32_t)p->logits >= p->n_values)
        return lm_fail(error, LLM_E_INTERNAL, "the program has no logits");
    p->values[p->logits].last_op = p->n_ops - 1;            /* read when the pass is done */
    return LLM_OK;
}

static llm_status plan_alive_lists(lm_host *host, const lm_program *p, plan_alive *alive, llm_error *error)
{
    uint64_t total = 0;
    for (uint32_t v = 0; v < p->n_values; v++)
        total += (uint64_t)p->values[v].last_op - p->values[v].first_op + 1;
    if (total > UINT32_MAX)
        return lm_fail(error, LLM_E_LIMIT, "the program is too long: %u operations, %u values", p->n_ops, p->n_values);
    alive->start = lm_mem_new_array(&host->mem, (size_t)p->n_ops + 2, sizeof *alive->start, LLM_MEMORY_OTHER);
    alive->list = lm_mem_new_array(&host->mem, (size_t)total, sizeof *alive->list, LLM_MEMORY_OTHER);
    if (!alive->start || !alive->list)
        return lm_fail_memory(error, "the memory plan", (size_t)total * sizeof *alive->list);
    /* Counting sort: counts at op + 2, their sums make start[op + 1] the running end of op's list, which filling then moves on. */
    for (uint32_t v = 0; v < p->n_values; v++)
        for (uint32_t o = p->values[v].first_op; o <= p->values[v].last_op; o++)
            alive->start[o + 2]++;
    for (uint32_t o = 2; o < p->n_ops + 2; o++)
        alive->start[o] += alive->start[o - 1];
    for (uint32_t v = 0; v < p->n_values; v++)
        for (uint32_t o = p->values[v].first_op; o <= p->values[v].last_op; o++)
            alive->list[alive->start[o + 1]++] = v;
    return LLM_OK;
}

/* Values in falling width, as given on a tie: a merge sort, bottom up, over indices. */
static void plan_sort(const lm_value *values, uint32_t *order, uint32_t *other, uint32_t n)
{
    for (uint32_t run = 1; run < n; run = run > n / 2 ? n : run * 2) {
        for (uint32_t begin = 0; begin < n; begin += LM_MIN(2 * run, n - begin)) {
            uint32_t middle = begin + LM_MIN(run, n - begin), end = middle + LM_MIN(run, n - middle);
            uint32_t a = begin, b = middle;
            for (uint32_t to = begin; to < end; to++) {
                bool left = b == end || (a < middle && values[order[a]].width >= values[order[b]].width);
                other[to] = left ? order[a++] : order[b++];
            }
        }
        for (uint32_t i = 0; i < n; i++)
            order[i] = other[i];
    }
}

static uint64_t plan_end(const lm_value *value)
{
    return ((uint64_t)value->offset + value->width + LM_PLAN_ALIGN - 1) / LM_PLAN_ALIGN * LM_PLAN_ALIGN;
}

/* The lowest offset for value v beside those already placed (offset != UINT32_MAX): whatever overlaps a candidate also overlaps
 * every higher candidate below its own end, so going to that end loses nothing. */
static uint64_t plan_place(const lm_program *p, const plan_alive *alive, uint32_t v)
{
    const lm_value *value = &p->values[v];
    uint64_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = alive->start[value->first_op]; i < alive->start[value->last_op + 1]; i++) {
            const lm_value *other = &p->values[alive->list[i]];
            if (other->rows != value->rows || other->offset == UINT32_MAX)
                continue;
            if (other->offset < at + value->width && at < plan_end(other)) {
                at = plan_end(other);
                moved = true;
            }
        }
    }
    return at;
}

llm_status lm_program_plan(lm_host *host, lm_program *program, llm_error *error)
{
    plan_alive alive = { NULL, NULL };
    uint32_t *order = NULL;
    llm_status status = plan_lifetimes(program, error);
    if (status < 0)
        return status;
    status = plan_alive_lists(host, program, &alive, error);
    if (status < 0)
        goto out;
    order = lm_mem_new_array(&host->mem, (size_t)program->n_values * 2, sizeof *order, LLM_MEMORY_OTHER);
    if (!order) {
        status = lm_fail_memory(error, "the memory plan", (size_t)program->n_values * 2 * sizeof *order);
        goto out;
    }
    for (uint32_t v = 0; v < program->n_values; v++) {
        order[v] = v;
        program->values[v].offset = UINT32_MAX;
    }
    plan_sort(program->values, order, order + program->n_values, program->n_values);
    program->row_items[LM_ROWS_ALL] = program->row_items[LM_ROWS_OUT] = 0;
    for (uint32_t i = 0; i < program->n_values; i++) {
        lm_value *value = &program->values[order[i]];
        uint64_t at = plan_place(program, &alive, order[i]);
        if (at + value->width > INT32_MAX - LM_PLAN_ALIGN) {
            status = lm_fail(error, LLM_E_LIMIT, "the program needs more than 2^31 values a row");
            goto out;
        }
        value->offset = (uint32_t)at;
        program->row_items[value->rows] = LM_MAX(program->row_items[value->rows], (uint32_t)plan_end(value));
    }
out:
    lm_mem_free(&host->mem, order);
    lm_mem_free(&host->mem, alive.list);
    lm_mem_free(&host->mem, alive.start);
    return status;
}
