/* SPDX-License-Identifier: MIT
 * Two backends side by side: every call goes to both, a pass runs operation by operation, and after each one every value it wrote is
 * compared, at the end of the pass the state of its rows too. What callers see are a's numbers. Owns both backends and a pair for each of
 * their objects. Does not know either: only backend.h.
 *
 * Invariant: an object of ours has both halves; if the second one cannot be made, the first is given back.
 * Threads: as backend.h says. */
#include "backend/backend.h"

#include "base/half.h"
#include "base/os.h"
#include "base/size.h"

#include <string.h>

enum { COMPARE_A, COMPARE_B, COMPARE_BOTH };

typedef struct compare {
    lm_backend base;
    lm_backend *half[COMPARE_BOTH];
    double absolute, relative;          /* both 0: the same bits */
} compare;

typedef struct compare_weight { lm_weight *half[COMPARE_BOTH]; } compare_weight;

/* Our page numbers are indices of `pages`, which holds theirs. */
typedef struct compare_page { uint32_t half[COMPARE_BOTH], taken; } compare_page;
typedef struct compare_class { compare_page *pages; uint32_t cap, n_taken; } compare_class;

typedef struct compare_pool {
    lm_pool *half[COMPARE_BOTH];
    const lm_program *program;
    int32_t state_type;
    uint64_t most_bytes;                /* of an exported page */
    compare_class classes[LM_MAX_PAGE_CLASSES];
} compare_pool;

typedef struct compare_exec { lm_exec *half[COMPARE_BOTH]; const lm_program *program; } compare_exec;

typedef struct compare_arena compare_arena;
typedef struct compare_run {
    lm_run *half[COMPARE_BOTH];
    compare_exec *exec;
    compare_pool *pool;
    compare_arena *arena;
    uint32_t op, n_rows, n_out, n_slots, dead;
    bool finished[COMPARE_BOTH];        /* early, where the operations left have no rows */
} compare_run;

struct compare_arena {
    lm_run_arena *half[COMPARE_BOTH];
    uint32_t max_rows, max_slots, max_pages;
    compare_run run;
    lm_row *rows;
    lm_slot *slots;                     /* ours, then theirs */
    uint32_t *pages;                    /* max_pages of ours, then those of the half being begun */
    unsigned char *exported;            /* two pages; made when the first pass ends */
};

/* ---- the backend */

static lm_backend *compare_half(const lm_backend *backend, int i) { return ((const compare *)backend)->half[i]; }

static void compare_close(lm_backend *backend)
{
    compare *c = (compare *)backend;
    if (!c)
        return;
    for (int i = 0; i < COMPARE_BOTH; i++)
        c->half[i]->table->close(c->half[i]);
    lm_mem_free(&backend->host->mem, c);
}

static void compare_device(const lm_backend *backend, lm_device *out)
{
    lm_backend *a = compare_half(backend, COMPARE_A);
    a->table->device(a, out);
    out->name = "compare";
}

static llm_status compare_can_run(const lm_backend *backend, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    for (int i = 0; i < COMPARE_BOTH; i++)
        LM_TRY(compare_half(backend, i)->table->can_run(compare_half(backend, i), program, op, state_type, error));
    return LLM_OK;
}

static uint64_t compare_sum(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return lm_add_u64(a, b, &sum) ? sum : UINT64_MAX;
}

/* ---- weights */

static uint64_t compare_weight_cost(const lm_backend *backend, const lm_weight_info *info)
{
    lm_backend *a = compare_half(backend, COMPARE_A), *b = compare_half(backend, COMPARE_B);
    return compare_sum(compare_sum(a->table->weight_cost(a, info), b->table->weight_cost(b, info)), lm_mem_cost(sizeof(compare_weight)));
}

static void compare_weight_free(lm_backend *backend, lm_weight *handle)
{
    compare_weight *w = (compare_weight *)handle;
    if (!w)
        return;
    for (int i = 0; i < COMPARE_BOTH; i++)
        if (w->half[i])
            compare_half(backend, i)->table->weight_free(compare_half(backend, i), w->half[i]);
    lm_mem_free(&backend->host->mem, w);
}

static llm_status compare_weight_begin(lm_backend *backend, const lm_weight_info *info, lm_weight **out, llm_error *error)
{
    compare_weight *w = lm_mem_new(&backend->host->mem, sizeof *w, LLM_MEMORY_WEIGHTS);
    llm_status status = LLM_OK;
    if (!w)
        return lm_fail_memory(error, "a pair of weights", sizeof *w);
    for (int i = 0; i < COMPARE_BOTH && status >= 0; i++)
        status = compare_half(backend, i)->table->weight_begin(compare_half(backend, i), info, &w->half[i], error);
    if (status < 0)
        compare_weight_free(backend, (lm_weight *)w);
    else
        *out = (lm_weight *)w;
    return status;
}

static llm_status compare_weight_rows(lm_backend *backend, lm_weight *handle, uint64_t row, uint64_t n, const void *rows, llm_error *error)
{
    compare_weight *w = (compare_weight *)handle;
    for (int i = 0; i < COMPARE_BOTH; i++)
        LM_TRY(compare_half(backend, i)->table->weight_rows(compare_half(backend, i), w->half[i], row, n, rows, error));
    return LLM_OK;
}

static llm_status compare_weight_end(lm_backend *backend, lm_weight *handle, llm_error *error)
{
    compare_weight *w = (compare_weight *)handle;
    for (int i = 0; i < COMPARE_BOTH; i++)
        LM_TRY(compare_half(backend, i)->table->weight_end(compare_half(backend, i), w->half[i], error));
    return LLM_OK;
}

/* ---- state */

static void compare_pool_close(lm_backend *backend, lm_pool *handle)
{
    compare_pool *pool = (compare_pool *)handle;
    if (!pool)
        return;
    for (int i = 0; i < COMPARE_BOTH; i++)
        if (pool->half[i])
            compare_half(backend, i)->table->pool_close(compare_half(backend, i), pool->half[i]);
    for (uint32_t c = 0; c < LM_MAX_PAGE_CLASSES; c++)
        lm_mem_free(&backend->host->mem, pool->classes[c].pages);
    lm_mem_free(&backend->host->mem, pool);
}

static llm_status compare_pool_open(lm_backend *backend, const lm_program *program, int32_t state_type, lm_pool **out, llm_error *error)
{
    compare_pool *pool = lm_mem_new(&backend->host->mem, sizeof *pool, LLM_MEMORY_STATE);
    llm_status status = LLM_OK;
    if (!pool)
        return lm_fail_memory(error, "a pair of pools", sizeof *pool);
    pool->program = program;
    pool->state_type = state_type;
    for (int i = 0; i < COMPARE_BOTH && status >= 0; i++)
        status = compare_half(backend, i)->table->pool_open(compare_half(backend, i), program, state_type, &pool->half[i], error);
    for (uint32_t c = 0; c < program->n_page_classes && status >= 0; c++) {
        uint64_t bytes[COMPARE_BOTH];
        for (int i = 0; i < COMPARE_BOTH; i++)
            bytes[i] = compare_half(backend, i)->table->pool_page_bytes(compare_half(backend, i), pool->half[i], c);
        if (bytes[COMPARE_A] != bytes[COMPARE_B])
            status = lm_fail(error, LLM_E_INTERNAL, "compare: a page of class %u has %llu and %llu bytes in the canonical layout", c, (unsigned long long)bytes[COMPARE_A],
                             (unsigned long long)bytes[COMPARE_B]);
        pool->most_bytes = LM_MAX(pool->most_bytes, bytes[COMPARE_A]);
    }
    if (status < 0)
        compare_pool_close(backend, (lm_pool *)pool);
    else
        *out = (lm_pool *)pool;
    return status;
}

static uint64_t compare_pool_page_cost(const lm_backend *backend, const lm_program *program, int32_t state_type, uint32_t page_class)
{
    lm_backend *a = compare_half(backend, COMPARE_A), *b = compare_half(backend, COMPARE_B);
    return compare_sum(a->table->pool_page_cost(a, program, state_type, page_class), b->table->pool_page_cost(b, program, state_type, page_class));
}

static llm_status compare_page_take(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t *out, llm_error *error)
{
    compare_pool *pool = (compare_pool *)handle;
    lm_backend *a = compare_half(backend, COMPARE_A), *b = compare_half(backend, COMPARE_B);
    compare_page page = { .taken = 1 };
    uint32_t number = 0;
    if (page_class >= pool->program->n_page_classes)
        return lm_fail(error, LLM_E_INTERNAL, "compare: page class %u of %u", page_class, pool->program->n_page_classes);
    compare_class *c = &pool->classes[page_class];
    if (c->n_taken == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 16;
        compare_page *pages = lm_mem_grow(&backend->host->mem, c->pages, cap * sizeof *pages, LLM_MEMORY_STATE);
        if (!pages)
            return lm_fail_memory(error, "a table of pages", cap * sizeof *pages);
        c->pages = pages;
        c->cap = cap;
    }
    LM_TRY(a->table->page_take(a, pool->half[COMPARE_A], page_class, &page.half[COMPARE_A], error));
    llm_status status = b->table->page_take(b, pool->half[COMPARE_B], page_class, &page.half[COMPARE_B], error);
    if (status < 0) {
        a->table->page_give(a, pool->half[COMPARE_A], page_class, page.half[COMPARE_A]);
        return status;
    }
    while (c->pages[number].taken)
        number++;
    c->pages[number] = page;
    c->n_taken++;
    *out = number;
    return LLM_OK;
}

static const compare_page *compare_page_of(const compare_pool *pool, uint32_t page_class, uint32_t number)
{
    bool there = page_class < pool->program->n_page_classes && number < pool->classes[page_class].cap && pool->classes[page_class].pages[number].taken;
    return there ? &pool->classes[page_class].pages[number] : NULL;
}

static llm_status compare_no_page(uint32_t page_class, uint32_t number, llm_error *error)
{
    return lm_fail(error, LLM_E_INTERNAL, "compare: page %u of class %u is not taken", number, page_class);
}

static void compare_page_give(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t number)
{
    compare_pool *pool = (compare_pool *)handle;
    const compare_page *page = compare_page_of(pool, page_class, number);
    if (!page)
        return;
    for (int i = 0; i < COMPARE_BOTH; i++)
        compare_half(backend, i)->table->page_give(compare_half(backend, i), pool->half[i], page_class, page->half[i]);
    pool->classes[page_class].pages[number].taken = 0;
    pool->classes[page_class].n_taken--;
}

static llm_status compare_page_copy(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t from, uint32_t to, llm_error *error)
{
    compare_pool *pool = (compare_pool *)handle;
    const compare_page *source = compare_page_of(pool, page_class, from), *target = compare_page_of(pool, page_class, to);
    if (!source || !target)
        return compare_no_page(page_class, source ? to : from, error);
    for (int i = 0; i < COMPARE_BOTH; i++)
        LM_TRY(compare_half(backend, i)->table->page_copy(compare_half(backend, i), pool->half[i], page_class, source->half[i], target->half[i], error));
    return LLM_OK;
}

static uint64_t compare_pool_page_bytes(const lm_backend *backend, const lm_pool *handle, uint32_t page_class)
{
    lm_backend *a = compare_half(backend, COMPARE_A);
    return a->table->pool_page_bytes(a, ((const compare_pool *)handle)->half[COMPARE_A], page_class);
}

static llm_status compare_page_export(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t number, void *out, llm_error *error)
{
    compare_pool *pool = (compare_pool *)handle;
    const compare_page *page = compare_page_of(pool, page_class, number);
    lm_backend *a = compare_half(backend, COMPARE_A);
    if (!page)
        return compare_no_page(page_class, number, error);
    return a->table->page_export(a, pool->half[COMPARE_A], page_class, page->half[COMPARE_A], out, error);
}

static llm_status compare_page_import(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t number, const void *in, llm_error *error)
{
    compare_pool *pool = (compare_pool *)handle;
    const compare_page *page = compare_page_of(pool, page_class, number);
    if (!page)
        return compare_no_page(page_class, number, error);
    for (int i = 0; i < COMPARE_BOTH; i++)
        LM_TRY(compare_half(backend, i)->table->page_import(compare_half(backend, i), pool->half[i], page_class, page->half[i], in, error));
    return LLM_OK;
}

/* ---- programs and arenas */

static void compare_exec_close(lm_backend *backend, lm_exec *handle)
{
    compare_exec *exec = (compare_exec *)handle;
    if (!exec)
        return;
    for (int i = 0; i < COMPARE_BOTH; i++)
        if (exec->half[i])
            compare_half(backend, i)->table->exec_close(compare_half(backend, i), exec->half[i]);
    lm_mem_free(&backend->host->mem, exec);
}

static llm_status compare_exec_open(lm_backend *backend, const lm_program *program, lm_weight *const *weights, lm_exec **out, llm_error *error)
{
    lm_mem *mem = &backend->host->mem;
    compare_exec *exec = lm_mem_new(mem, sizeof *exec, LLM_MEMORY_OTHER);
    lm_weight **theirs = lm_mem_new_array(mem, program->n_weights, sizeof *theirs, LLM_MEMORY_OTHER);
    llm_status status = exec && theirs ? LLM_OK : lm_fail_memory(error, "a pair of programs", sizeof *exec + program->n_weights * sizeof *theirs);
    if (exec)
        exec->program = program;
    for (int i = 0; i < COMPARE_BOTH && status >= 0; i++) {
        for (uint32_t w = 0; w < program->n_weights; w++)
            theirs[w] = weights[w] ? ((compare_weight *)weights[w])->half[i] : NULL;
        status = compare_half(backend, i)->table->exec_open(compare_half(backend, i), program, theirs, &exec->half[i], error);
    }
    lm_mem_free(mem, theirs);
    if (status < 0)
        compare_exec_close(backend, (lm_exec *)exec);
    else
        *out = (lm_exec *)exec;
    return status;
}

static uint64_t compare_arena_size(uint32_t max_rows, uint32_t max_slots, uint32_t max_pages)
{
    return sizeof(compare_arena) + (uint64_t)max_rows * sizeof(lm_row) + 2 * (uint64_t)max_slots * sizeof(lm_slot) + 2 * (uint64_t)max_pages * sizeof(uint32_t);
}

static uint64_t compare_arena_cost(const lm_backend *backend, const lm_program *program, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages)
{
    lm_backend *a = compare_half(backend, COMPARE_A), *b = compare_half(backend, COMPARE_B);
    uint64_t both = compare_sum(a->table->arena_cost(a, program, max_rows, max_out, max_slots, max_pages),
                                b->table->arena_cost(b, program, max_rows, max_out, max_slots, max_pages));
    return compare_sum(both, lm_mem_cost(compare_arena_size(max_rows, max_slots, max_pages)));
}

static void compare_arena_close(lm_backend *backend, lm_run_arena *handle)
{
    compare_arena *arena = (compare_arena *)handle;
    if (!arena)
        return;
    for (int i = 0; i < COMPARE_BOTH; i++)
        if (arena->half[i])
            compare_half(backend, i)->table->arena_close(compare_half(backend, i), arena->half[i]);
    lm_mem_free(&backend->host->mem, arena->exported);
    lm_mem_free(&backend->host->mem, arena);
}

static llm_status compare_arena_open(lm_backend *backend, const lm_exec *handle, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages,
                                     lm_run_arena **out, llm_error *error)
{
    const compare_exec *exec = (const compare_exec *)handle;
    uint64_t bytes = compare_arena_size(max_rows, max_slots, max_pages);
    compare_arena *arena = lm_fits_size(bytes) ? lm_mem_new(&backend->host->mem, (size_t)bytes, LLM_MEMORY_ARENA) : NULL;
    llm_status status = LLM_OK;
    if (!arena)
        return lm_fail_memory(error, "a pair of arenas", (size_t)bytes);
    arena->max_rows = max_rows;
    arena->max_slots = max_slots;
    arena->max_pages = max_pages;
    arena->slots = (lm_slot *)(void *)(arena + 1);
    arena->rows = (lm_row *)(void *)(arena->slots + 2 * (size_t)max_slots);
    arena->pages = (uint32_t *)(void *)(arena->rows + max_rows);
    for (int i = 0; i < COMPARE_BOTH && status >= 0; i++)
        status = compare_half(backend, i)->table->arena_open(compare_half(backend, i), exec->half[i], max_rows, max_out, max_slots, max_pages, &arena->half[i], error);
    if (status < 0)
        compare_arena_close(backend, (lm_run_arena *)arena);
    else
        *out = (lm_run_arena *)arena;
    return status;
}

/* ---- runs */

/* The slots with our page numbers (half < 0: kept for the end of the pass) or those of a half. */
static llm_status compare_tables(const compare_run *run, const lm_batch *batch, int half, lm_slot *slots, uint32_t *pages, llm_error *error)
{
    uint32_t used = 0;
    for (uint32_t s = 0; s < batch->n_slots; s++)
        for (uint32_t c = 0; c < run->pool->program->n_page_classes; c++) {
            const lm_slot *slot = &batch->slots[s];
            if (slot->n_pages[c] > run->arena->max_pages - used)
                return lm_fail(error, LLM_E_INTERNAL, "compare: the sessions of this pass have more than the arena's %u pages", run->arena->max_pages);
            for (uint32_t i = 0; i < slot->n_pages[c]; i++) {
                const compare_page *page = compare_page_of(run->pool, c, slot->pages[c][i]);
                pages[used + i] = half < 0 ? slot->pages[c][i] : page ? page->half[half] : UINT32_MAX;
            }
            slots[s].pages[c] = pages + used;
            slots[s].n_pages[c] = slot->n_pages[c];
            used += slot->n_pages[c];
        }
    return LLM_OK;
}

static void compare_run_end(lm_backend *backend, lm_run *handle)
{
    compare_run *run = (compare_run *)handle;
    if (!run)
        return;
    for (int i = 0; i < COMPARE_BOTH; i++)
        if (run->half[i]) {
            compare_half(backend, i)->table->run_end(compare_half(backend, i), run->half[i]);
            run->half[i] = NULL;
        }
}

static llm_status compare_run_begin(lm_backend *backend, lm_exec *exec, lm_pool *pool, lm_run_arena *handle, const lm_batch *batch, lm_run **out, llm_error *error)
{
    compare_arena *arena = (compare_arena *)handle;
    compare_run *run = &arena->run;
    llm_status status;
    if (batch->n_rows > arena->max_rows || batch->n_slots > arena->max_slots || run->half[COMPARE_A])
        return lm_fail(error, LLM_E_INTERNAL, "compare: %u rows of %u sessions in an arena of %u and %u%s", batch->n_rows, batch->n_slots, arena->max_rows, arena->max_slots,
                       run->half[COMPARE_A] ? ", which serves another run" : "");
    *run = (compare_run){ .exec = (compare_exec *)exec, .pool = (compare_pool *)pool, .arena = arena, .n_rows = batch->n_rows, .n_out = batch->n_out, .n_slots = batch->n_slots };
    status = compare_tables(run, batch, -1, arena->slots, arena->pages, error);
    memcpy(arena->rows, batch->rows, batch->n_rows * sizeof *arena->rows);
    for (int i = 0; i < COMPARE_BOTH && status >= 0; i++) {
        lm_batch theirs = *batch;
        theirs.slots = arena->slots + arena->max_slots;
        status = compare_tables(run, batch, i, arena->slots + arena->max_slots, arena->pages + arena->max_pages, error);
        if (status >= 0)
            status = compare_half(backend, i)->table->run_begin(compare_half(backend, i), run->exec->half[i], run->pool->half[i], arena->half[i], &theirs, &run->half[i], error);
    }
    if (status < 0)
        compare_run_end(backend, (lm_run *)run);
    else
        *out = (lm_run *)run;
    return status;
}

static bool compare_same(const compare *c, double a, double b)
{
    double difference = a > b ? a - b : b - a, size = a < 0 ? -a : a, bound = c->relative * size;
    if (a != a || b != b)
        return a != a && b != b;
    return difference <= (bound > c->absolute ? bound : c->absolute) || a == b;
}

/* Row `r` of a value, as both have it. */
static llm_status compare_row(const lm_backend *backend, const compare_run *run, int32_t value, uint32_t r, bool integers, llm_error *error)
{
    const compare *c = (const compare *)backend;
    const lm_op *op = &run->exec->program->ops[run->op];
    const unsigned char *row[COMPARE_BOTH];
    for (int i = 0; i < COMPARE_BOTH; i++) {
        row[i] = c->half[i]->table->run_value(c->half[i], run->half[i], value, r);
        if (!row[i])
            return lm_fail(error, LLM_E_INTERNAL, "compare: backend %s has no row %u of value %d after operation %u (%s)", c->half[i]->table->name, r, value, run->op,
                           lm_op_name(op->kind));
    }
    for (uint32_t k = 0; k < run->exec->program->values[value].width; k++) {
        uint32_t bits[COMPARE_BOTH];
        for (int i = 0; i < COMPARE_BOTH; i++)
            memcpy(&bits[i], row[i] + (size_t)k * 4, 4);
        if (bits[COMPARE_A] == bits[COMPARE_B])
            continue;
        double a = (double)lm_f32_from_bits(bits[COMPARE_A]), b = (double)lm_f32_from_bits(bits[COMPARE_B]);
        bool exact = integers || (c->absolute == 0 && c->relative == 0 && !(a != a && b != b));
        if (!exact && compare_same(c, a, b))
            continue;
        return lm_fail(error, LLM_E_INTERNAL, "compare: operation %u (%s, layer %d), value %d, row %u, item %u: %s has %g (0x%x), %s has %g (0x%x)", run->op,
                       lm_op_name(op->kind), op->layer, value, r, k, c->half[COMPARE_A]->table->name, a, bits[COMPARE_A], c->half[COMPARE_B]->table->name, b, bits[COMPARE_B]);
    }
    return LLM_OK;
}

static llm_status compare_op(const lm_backend *backend, const compare_run *run, llm_error *error)
{
    const lm_program *program = run->exec->program;
    const lm_op *op = &program->ops[run->op];
    bool over = run->finished[COMPARE_A] || run->finished[COMPARE_B];
    for (int i = 0; i < LM_OP_OUT; i++) {
        int32_t value = op->out[i];
        if (value == LM_NONE || (over && value != program->logits))     /* of a finished pass only the logits are certain */
            continue;
        uint32_t n = program->values[value].rows == LM_ROWS_OUT ? run->n_out : run->n_rows;
        for (uint32_t r = 0; r < n; r++)
            LM_TRY(compare_row(backend, run, value, r, op->kind == LM_OP_ROUTE && i == 0, error));
    }
    return LLM_OK;
}

/* ---- the state that a pass leaves behind */

/* Item k of a head's row at one position: its bits, its number, and how far apart the numbers of neighbours are (0: not a matter of
 * steps). An int8 row's item 0 is the scale; the others are levels, and as numbers levels times the scale. */
static double compare_item(int32_t state_type, const unsigned char *row, uint64_t k, uint32_t *bits, double *step)
{
    uint16_t half = 0;
    float scale;
    *step = 0;
    if (state_type == LLM_STATE_TYPE_F16) {
        memcpy(&half, row + k * 2, 2);
        *bits = half;
        return (double)lm_f32_from_f16(half);
    }
    if (state_type == LLM_STATE_TYPE_INT8 && k > 0) {
        int8_t level = (int8_t)row[k + 3];
        memcpy(&scale, row, 4);
        *bits = (uint8_t)level;
        *step = (double)scale;
        return (double)level * *step;
    }
    memcpy(bits, row + k * 4, 4);
    return (double)lm_f32_from_bits(*bits);
}

/* One head at one position; the item that differs, -1: none. Where bits need not agree, a level may fall one step to either side. */
static int64_t compare_state_row(const compare *c, int32_t state_type, uint64_t n, const unsigned char *const rows[COMPARE_BOTH], double values[COMPARE_BOTH],
                                 uint32_t bits[COMPARE_BOTH])
{
    for (uint64_t k = 0; k < n; k++) {
        double step[COMPARE_BOTH];
        for (int i = 0; i < COMPARE_BOTH; i++)
            values[i] = compare_item(state_type, rows[i], k, &bits[i], &step[i]);
        double a = values[COMPARE_A], b = values[COMPARE_B], nearer = b > a ? b - step[COMPARE_B] : b + step[COMPARE_B];
        bool exact = c->absolute == 0 && c->relative == 0 && !(a != a && b != b);
        if (bits[COMPARE_A] != bits[COMPARE_B] && (exact || !(compare_same(c, a, b) || (step[COMPARE_B] > 0 && compare_same(c, a, nearer)))))
            return (int64_t)k;
    }
    return -1;
}

/* Positions [0, n) of a page, exported by both. */
static llm_status compare_positions(const compare *c, const compare_pool *pool, uint32_t page_class, uint32_t n, const unsigned char *const pages[COMPARE_BOTH], int64_t first,
                                    llm_error *error)
{
    uint64_t at = 0;
    for (uint32_t s = 0; s < pool->program->n_streams; s++) {
        const lm_stream *stream = &pool->program->streams[s];
        if (stream->page_class != page_class)
            continue;
        for (int kv = 0; kv < 2; kv++) {
            uint32_t dim = kv ? stream->v_dim : stream->k_dim;
            uint64_t n_items = dim + (uint64_t)(pool->state_type == LLM_STATE_TYPE_INT8);
            for (uint32_t row = 0; row < LM_PAGE_POSITIONS * stream->n_heads; row++, at += lm_state_row_bytes(pool->state_type, dim)) {
                const unsigned char *rows[COMPARE_BOTH] = { pages[COMPARE_A] + at, pages[COMPARE_B] + at };
                uint32_t bits[COMPARE_BOTH];
                double values[COMPARE_BOTH];
                int64_t item = row / stream->n_heads < n ? compare_state_row(c, pool->state_type, n_items, rows, values, bits) : -1;
                if (item >= 0)
                    return lm_fail(error, LLM_E_INTERNAL, "compare: state of stream %u, %s at position %lld, head %u, item %lld: %s has %g (0x%x), %s has %g (0x%x)", s,
                                   kv ? "V" : "K", (long long)(first + row / stream->n_heads), row % stream->n_heads, (long long)item, c->half[COMPARE_A]->table->name,
                                   values[COMPARE_A], bits[COMPARE_A], c->half[COMPARE_B]->table->name, values[COMPARE_B], bits[COMPARE_B]);
            }
        }
    }
    return LLM_OK;
}

/* The page that position `last` of a slot lies in, up to that position. */
static llm_status compare_page_upto(const lm_backend *backend, compare_run *run, uint32_t slot, int32_t last, llm_error *error)
{
    const compare *c = (const compare *)backend;
    compare_pool *pool = run->pool;
    uint32_t place = (uint32_t)last / LM_PAGE_POSITIONS;
    for (uint32_t page_class = 0; page_class < pool->program->n_page_classes; page_class++) {
        const compare_page *page = compare_page_of(pool, page_class, run->arena->slots[slot].pages[page_class][place]);
        const unsigned char *pages[COMPARE_BOTH] = { run->arena->exported, run->arena->exported + pool->most_bytes };
        if (!page)
            return compare_no_page(page_class, run->arena->slots[slot].pages[page_class][place], error);
        for (int i = 0; i < COMPARE_BOTH; i++)
            LM_TRY(c->half[i]->table->page_export(c->half[i], pool->half[i], page_class, page->half[i], run->arena->exported + (size_t)i * (size_t)pool->most_bytes, error));
        LM_TRY(compare_positions(c, pool, page_class, (uint32_t)last % LM_PAGE_POSITIONS + 1, pages, (int64_t)place * LM_PAGE_POSITIONS, error));
    }
    return LLM_OK;
}

static llm_status compare_state(lm_backend *backend, compare_run *run, llm_error *error)
{
    uint64_t bytes = 2 * run->pool->most_bytes;
    if (bytes == 0)
        return LLM_OK;
    if (lm_mem_size(run->arena->exported) < bytes) {
        lm_mem_free(&backend->host->mem, run->arena->exported);
        run->arena->exported = lm_mem_new(&backend->host->mem, (size_t)bytes, LLM_MEMORY_ARENA);
        if (!run->arena->exported)
            return lm_fail_memory(error, "two pages to compare", (size_t)bytes);
    }
    for (uint32_t r = 0; r < run->n_rows; r++) {
        const lm_row *row = &run->arena->rows[r];
        bool last_of_slot = r + 1 == run->n_rows || row[1].slot != row->slot, last_of_page = (row->position + 1) % LM_PAGE_POSITIONS == 0;
        if (last_of_slot || last_of_page)
            LM_TRY(compare_page_upto(backend, run, row->slot, row->position, error));
    }
    return LLM_OK;
}

/* ---- steps */

/* Both through operation run->op; then what it wrote. */
static llm_status compare_one(lm_backend *backend, compare_run *run, llm_error *error)
{
    lm_run_control control = { .deadline_ns = INT64_MAX, .stop_op = run->op + 1 };
    bool last = run->op + 1 == run->exec->program->n_ops;
    for (int i = 0; i < COMPARE_BOTH; i++) {
        llm_status status = LLM_OK;
        do                                                  /* at the last operation there is nothing to stop at but the end */
            if (!run->finished[i])
                status = compare_half(backend, i)->table->run_step(compare_half(backend, i), run->half[i], &control, error);
        while (status == LLM_MORE && last);
        if (status < 0)
            return status;
        run->finished[i] = status == LLM_OK;
    }
    return compare_op(backend, run, error);
}

static llm_status compare_run_step(lm_backend *backend, lm_run *handle, const lm_run_control *control, llm_error *error)
{
    compare_run *run = (compare_run *)handle;
    const lm_program *program = run->exec->program;
    if (run->dead)
        return lm_fail(error, LLM_E_INTERNAL, "compare: a step of a run that failed");
    while (run->op < program->n_ops) {
        for (uint32_t i = 0; i < control->n_cancel; i++)
            if (atomic_load_explicit(control->cancel[i], memory_order_relaxed))
                return lm_fail(error, LLM_E_CANCELLED, "cancelled at operation %u of %u", run->op, program->n_ops);
        if (run->op >= control->stop_op || (control->deadline_ns != INT64_MAX && lm_now_ns() >= control->deadline_ns))
            return LLM_MORE;
        llm_status status = compare_one(backend, run, error);
        if (status >= 0 && run->op + 1 == program->n_ops)
            status = compare_state(backend, run, error);
        if (status < 0) {
            run->dead = 1;
            return status;
        }
        run->op++;
    }
    return LLM_OK;
}

static const void *compare_run_value(lm_backend *backend, lm_run *handle, int32_t value, uint32_t index)
{
    lm_backend *a = compare_half(backend, COMPARE_A);
    return a->table->run_value(a, ((compare_run *)handle)->half[COMPARE_A], value, index);
}

/* ---- the table */

static const lm_backend_table compare_backend_table = {
    .name = "compare",
    .close = compare_close,
    .device = compare_device,
    .can_run = compare_can_run,
    .weight_cost = compare_weight_cost,
    .weight_begin = compare_weight_begin,
    .weight_rows = compare_weight_rows,
    .weight_end = compare_weight_end,
    .weight_free = compare_weight_free,
    .pool_open = compare_pool_open,
    .pool_close = compare_pool_close,
    .pool_page_cost = compare_pool_page_cost,
    .page_take = compare_page_take,
    .page_give = compare_page_give,
    .page_copy = compare_page_copy,
    .pool_page_bytes = compare_pool_page_bytes,
    .page_export = compare_page_export,
    .page_import = compare_page_import,
    .exec_open = compare_exec_open,
    .exec_close = compare_exec_close,
    .arena_cost = compare_arena_cost,
    .arena_open = compare_arena_open,
    .arena_close = compare_arena_close,
    .run_begin = compare_run_begin,
    .run_step = compare_run_step,
    .run_value = compare_run_value,
    .run_end = compare_run_end,
};

llm_status lm_compare_backend_open(lm_host *host, lm_backend *a, lm_backend *b, double absolute, double relative, lm_backend **out, llm_error *error)
{
    if (!a || !b || !(absolute >= 0) || !(relative >= 0))
        return lm_fail(error, LLM_E_INVALID, "compare: two backends and two bounds from 0 are needed");
    compare *c = lm_mem_new(&host->mem, sizeof *c, LLM_MEMORY_OTHER);
    if (!c)
        return lm_fail_memory(error, "the compare backend", sizeof *c);
    *c = (compare){ .base = { &compare_backend_table, host }, .half = { a, b }, .absolute = absolute, .relative = relative };
    *out = &c->base;
    return LLM_OK;
}
