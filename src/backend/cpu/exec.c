/* SPDX-License-Identifier: MIT
 * A program made ready for its weights, and the memory of one pass. Owns both blocks. An arena is one block, laid out by the
 * same function that estimates it, so that the estimate is exact. Threads: an exec is shared; an arena serves one run at a time. */
#include "backend/cpu/cpu.h"

#include "base/fmath.h"
#include "base/size.h"

#include <string.h>

LM_EXACT_ARITHMETIC

/* ---- programs ---------------------------------------------------------------------------------------------------------- */

llm_status lm_cpu_exec_open(lm_backend *backend, const lm_program *program, lm_weight *const *weights, lm_exec **out, llm_error *error)
{
    lm_cpu *cpu = (lm_cpu *)backend;
    size_t n_doubles = 0, at_weights, at_ops, at_doubles, size;
    LM_TRY(lm_program_check(program, error));
    for (uint32_t o = 0; o < program->n_ops; o++) {
        LM_TRY(lm_cpu_op_get(program->ops[o].kind)->can(cpu, program, &program->ops[o], LLM_STATE_TYPE_F16, error));
        if (program->ops[o].kind == LM_OP_ANGLES)
            n_doubles += program->ops[o].u.angles.n_rot;
    }
    at_weights = (sizeof(lm_cpu_exec) + 15) & ~(size_t)15;
    at_ops = at_weights + ((program->n_weights * sizeof(void *) + 15) & ~(size_t)15);
    at_doubles = at_ops + ((program->n_ops * sizeof(lm_cpu_exec_op) + 15) & ~(size_t)15);
    size = at_doubles + n_doubles * sizeof(double);
    uint8_t *block = lm_mem_new(&backend->host->mem, size, LLM_MEMORY_OTHER);
    if (!block)
        return lm_fail_memory(error, "a program made ready", size);
    lm_cpu_exec *exec = (lm_cpu_exec *)(void *)block;
    double *doubles = (double *)(void *)(block + at_doubles);
    exec->program = program;
    exec->weights = (const lm_cpu_weight **)(void *)(block + at_weights);
    exec->ops = (lm_cpu_exec_op *)(void *)(block + at_ops);
    for (uint32_t w = 0; w < program->n_weights; w++) {
        exec->weights[w] = (const lm_cpu_weight *)weights[w];
        const lm_weight_info *a = &program->weights[w];
        if (!weights[w] || exec->weights[w]->info.type != a->type || exec->weights[w]->info.n_rows != a->n_rows || exec->weights[w]->info.n_cols != a->n_cols ||
            (exec->weights[w]->info.is_vector != 0) != (a->is_vector != 0)) {
            lm_mem_free(&backend->host->mem, block);
            return lm_fail(error, LLM_E_INTERNAL, "weight %u (%s) is bound to another one", w, a->name ? a->name : "no name");
        }
    }
    for (uint32_t o = 0; o < program->n_ops; o++) {
        const lm_op *op = &program->ops[o];
        exec->ops[o].acts = lm_cpu_acts_forms(program, op);
        if (op->kind == LM_OP_ANGLES) {
            lm_angles_frequencies(&op->u.angles, doubles, doubles + op->u.angles.n_rot / 2);
            exec->ops[o].freq = doubles;
            exec->ops[o].mix = doubles + op->u.angles.n_rot / 2;
            doubles += op->u.angles.n_rot;
        }
    }
    *out = (lm_exec *)exec;
    return LLM_OK;
}

void lm_cpu_exec_close(lm_backend *backend, lm_exec *exec)
{
    lm_mem_free(&backend->host->mem, exec);
}

/* ---- arenas ------------------------------------------------------------------------------------------------------------ */

/* A block being laid out: base NULL only counts. */
typedef struct exec_layout { uint8_t *base; uint64_t at; bool fits; } exec_layout;

static void *exec_region(exec_layout *layout, uint64_t n, uint64_t item)
{
    uint64_t bytes, at = layout->at, end;
    if (!lm_mul_u64(n, item, &bytes) || !lm_align_u64(bytes, 64, &bytes) || !lm_add_u64(at, bytes, &end) || !lm_fits_size(end)) {
        layout->fits = false;
        return NULL;
    }
    layout->at = end;
    return layout->base ? layout->base + at : NULL;
}

static uint64_t exec_most(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint64_t exec_times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return lm_mul_u64(a, b, &product) ? product : UINT64_MAX;
}

/* The most of all operations, rows multiplied in. */
static void exec_needs(const lm_cpu *cpu, const lm_program *program, const uint32_t rows[2], lm_cpu_need *all)
{
    memset(all, 0, sizeof *all);
    for (uint32_t o = 0; o < program->n_ops; o++) {
        const lm_op *op = &program->ops[o];
        lm_cpu_need one;
        memset(&one, 0, sizeof one);
        lm_cpu_op_get(op->kind)->need(cpu, program, op, &one);
        uint64_t n = rows[op->rows];
        all->f32 = exec_most(all->f32, exec_times(one.f32, n));
        all->q32 = exec_most(all->q32, exec_times(one.q32, n));
        all->q256 = exec_most(all->q256, exec_times(one.q256, n));
        all->product = exec_most(all->product, exec_times(one.product, n));
        all->pairs = exec_most(all->pairs, exec_times(one.pairs, n));
        all->heads = exec_most(all->heads, exec_times(one.heads, n));
        all->experts = exec_most(all->experts, one.experts);
        all->partial = exec_most(all->partial, one.partial);
        all->worker = exec_most(all->worker, one.worker);
    }
}

/* Lays an arena out at layout->base (or nowhere) and leaves its end in layout->at. */
static void exec_arena(const lm_cpu *cpu, const lm_program *program, lm_cpu_arena *arena, exec_layout *layout)
{
    uint32_t rows[2] = { arena->max_rows, arena->max_out };
    lm_cpu_need need;
    exec_needs(cpu, program, rows, &need);
    arena->program = program;
    arena->max_parts = (uint64_t)arena->max_pages * LM_PAGE_POSITIONS / LM_CHUNK + 2 * (uint64_t)arena->max_slots + 1;
    layout->at = 0;
    exec_region(layout, 1, sizeof(lm_cpu_arena));
    arena->run = exec_region(layout, 1, sizeof(lm_cpu_run));
    arena->segments = exec_region(layout, arena->max_slots, sizeof(lm_cpu_segment));
    arena->pages = exec_region(layout, arena->max_pages, sizeof(uint8_t *));
    arena->rows = exec_region(layout, arena->max_rows, sizeof(lm_row));
    arena->out_rows = exec_region(layout, arena->max_out, sizeof(uint32_t));
    for (uint32_t set = 0; set < 2; set++)
        arena->values[set] = exec_region(layout, exec_times(program->row_items[set], rows[set]), sizeof(float));
    arena->acts_f32 = exec_region(layout, need.f32, sizeof(float));
    arena->q32 = exec_region(layout, need.q32, 1);
    arena->d32 = exec_region(layout, need.q32 / 32, sizeof(float));
    arena->s32 = exec_region(layout, need.q32 / 32, sizeof(int32_t));
    arena->q256 = exec_region(layout, need.q256, 1);
    arena->d256 = exec_region(layout, need.q256 / 256, sizeof(float));
    arena->s16 = exec_region(layout, need.q256 / 16, sizeof(int16_t));
    arena->product = exec_region(layout, need.product, sizeof(float));
    arena->pair_order = exec_region(layout, need.pairs, sizeof(uint32_t));
    arena->pair_place = exec_region(layout, need.pairs, sizeof(uint32_t));
    arena->expert_first = exec_region(layout, need.experts + (need.experts != 0), sizeof(uint32_t));
    arena->jobs = exec_region(layout, need.experts ? exec_times(need.pairs, 2) : 0, sizeof(uint32_t));
    arena->running = exec_region(layout, exec_times(need.heads, 2), sizeof(float));
    arena->partial = exec_region(layout, exec_times(need.partial, arena->max_parts), sizeof(float));
    arena->scratch_bytes = (need.worker + 63) & ~(uint64_t)63;
    arena->scratch = exec_region(layout, cpu->n_threads, arena->scratch_bytes);
}

static bool exec_arena_size(const lm_cpu *cpu, const lm_program *program, lm_cpu_arena *arena, uint64_t *size)
{
    exec_layout layout = { NULL, 0, true };
    exec_arena(cpu, program, arena, &layout);
    *size = layout.at;
    return layout.fits;
}

uint64_t lm_cpu_arena_cost(const lm_backend *backend, const lm_program *program, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages)
{
    lm_cpu_arena arena = { .max_rows = max_rows, .max_out = max_out, .max_slots = max_slots, .max_pages = max_pages };
    uint64_t size;
    return exec_arena_size((const lm_cpu *)backend, program, &arena, &size) ? lm_mem_cost(size) : UINT64_MAX;
}

llm_status lm_cpu_arena_open(lm_backend *backend, const lm_exec *handle, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages,
                             lm_run_arena **out, llm_error *error)
{
    const lm_cpu *cpu = (const lm_cpu *)backend;
    const lm_program *program = ((const lm_cpu_exec *)handle)->program;
    lm_cpu_arena arena = { .max_rows = max_rows, .max_out = max_out, .max_slots = max_slots, .max_pages = max_pages };
    uint64_t size;
    if (max_rows == 0 || max_slots == 0 || max_out > max_rows)
        return lm_fail(error, LLM_E_INVALID, "an arena for %u rows, %u outputs, %u sessions", max_rows, max_out, max_slots);
    if (!exec_arena_size(cpu, program, &arena, &size))
        return lm_fail(error, LLM_E_LIMIT, "an arena for %u rows and %u pages does not fit", max_rows, max_pages);
    uint8_t *block = lm_mem_raw(&backend->host->mem, (size_t)size, LLM_MEMORY_ARENA);
    if (!block)
        return lm_fail_memory(error, "the memory of a pass", (size_t)size);
    exec_layout layout = { block, 0, true };
    exec_arena(cpu, program, &arena, &layout);
    memset(arena.run, 0, sizeof *arena.run);
    memcpy(block, &arena, sizeof arena);
    *out = (lm_run_arena *)(void *)block;
    return LLM_OK;
}

void lm_cpu_arena_close(lm_backend *backend, lm_run_arena *arena)
{
    lm_mem_free(&backend->host->mem, arena);
}
