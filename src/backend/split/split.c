/* SPDX-License-Identifier: MIT
 * One program on two backends: its first layers on one, the rest on another. A pass runs on the first until what crosses the cut is there, hands
 * that over, once, and goes on on the second. Weights, pages and arenas are pairs; each half lies where it is used, and a weight that both parts
 * read lies in both. Owns the pairs; borrows the backends and the cut. Does not know either backend: only backend.h.
 *
 * Invariant: an object of ours has all the halves that it needs; if one cannot be made, the other is given back.
 * Threads: as backend.h says; the tables of pages are also read by passes that begin, under the pool's own lock. */
#include "backend/backend.h"

#include "base/size.h"
#include "base/status.h"
#include "base/thread.h"

#include <string.h>

enum { SPLIT_FIRST, SPLIT_SECOND, SPLIT_BOTH };

typedef struct split {
    lm_backend base;
    lm_backend *half[SPLIT_BOTH];
    const lm_cut *cut;
} split;

typedef struct split_weight { lm_weight *half[SPLIT_BOTH]; bool used[SPLIT_BOTH]; } split_weight;

/* Our page numbers are indices of `pages`, which holds theirs. */
typedef struct split_page { uint32_t half[SPLIT_BOTH], taken; } split_page;
typedef struct split_class { split_page *pages; uint32_t cap, n_taken; } split_class;

typedef struct split_pool {
    lm_pool *half[SPLIT_BOTH];
    const lm_cut *cut;
    lm_mutex lock;
    split_class classes[LM_MAX_PAGE_CLASSES];
} split_pool;

typedef struct split_exec { lm_exec *half[SPLIT_BOTH]; } split_exec;

typedef struct split_arena split_arena;
typedef struct split_run {
    lm_run *half[SPLIT_BOTH];
    split_exec *exec;
    split_pool *pool;
    split_arena *arena;
    uint32_t n_rows, n_slots, n_out, dead;
    bool crossed;                       /* the first part is done, and what it hands on is in arena->rows_on */
} split_run;

struct split_arena {
    lm_run_arena *half[SPLIT_BOTH];
    uint32_t max_rows, max_slots, max_pages;
    split_run run;
    lm_slot *slots[SPLIT_BOTH];
    lm_row *rows;
    float *rows_on;                     /* [max_rows][width] */
    uint32_t *pages[SPLIT_BOTH];        /* [max_pages] */
};

/* ---- the backend */

static lm_backend *split_half(const lm_backend *backend, int i) { return ((const split *)backend)->half[i]; }
static const lm_cut *split_cut(const lm_backend *backend) { return ((const split *)backend)->cut; }

static void split_close(lm_backend *backend)
{
    if (backend)
        lm_mem_free(&backend->host->mem, backend);
}

/* The second: a device, usually, and what may be lost. */
static void split_device(const lm_backend *backend, lm_device *out)
{
    lm_backend *second = split_half(backend, SPLIT_SECOND);
    second->table->device(second, out);
}

static uint64_t split_sum(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return lm_add_u64(a, b, &sum) ? sum : UINT64_MAX;
}

/* A program other than the one that was cut is a fault of the caller's. */
static llm_status split_check(const lm_backend *backend, const lm_program *program, llm_error *error)
{
    return program == split_cut(backend)->whole ? LLM_OK : lm_fail(error, LLM_E_INTERNAL, "split: this is not the program that was cut");
}

static llm_status split_can_run(const lm_backend *backend, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    const lm_cut *cut = split_cut(backend);
    LM_TRY(split_check(backend, program, error));
    uint32_t o = (uint32_t)(op - program->ops);
    int i = o < cut->op ? SPLIT_FIRST : SPLIT_SECOND;
    lm_backend *half = split_half(backend, i);
    for (uint32_t again = 0; i == SPLIT_SECOND && o == cut->op && again < cut->n_again; again++)
        LM_TRY(half->table->can_run(half, cut->part[i], &cut->part[i]->ops[again], state_type, error));
    return half->table->can_run(half, cut->part[i], &cut->part[i]->ops[i == SPLIT_FIRST ? o : o - cut->op + cut->n_again], state_type, error);
}

/* ---- weights */

/* Does this half read the weight? */
static bool split_reads(const lm_backend *backend, const lm_weight_info *info, int i)
{
    const lm_cut *cut = split_cut(backend);
    bool known = info >= cut->whole->weights && info < cut->whole->weights + cut->whole->n_weights;
    return known && cut->weight[i][info - cut->whole->weights] != LM_NONE;
}

static uint64_t split_weight_cost(const lm_backend *backend, const lm_weight_info *info)
{
    uint64_t sum = lm_mem_cost(sizeof(split_weight));
    for (int i = 0; i < SPLIT_BOTH; i++)
        if (split_reads(backend, info, i))
            sum = split_sum(sum, split_half(backend, i)->table->weight_cost(split_half(backend, i), info));
    return sum;
}

static void split_weight_free(lm_backend *backend, lm_weight *handle)
{
    split_weight *w = (split_weight *)handle;
    if (!w)
        return;
    for (int i = 0; i < SPLIT_BOTH; i++)
        if (w->half[i])
            split_half(backend, i)->table->weight_free(split_half(backend, i), w->half[i]);
    lm_mem_free(&backend->host->mem, w);
}

static llm_status split_weight_begin(lm_backend *backend, const lm_weight_info *info, lm_weight **out, llm_error *error)
{
    split_weight *w = lm_mem_new(&backend->host->mem, sizeof *w, LLM_MEMORY_WEIGHTS);
    llm_status status = LLM_OK;
    if (!w)
        return lm_fail_memory(error, "a weight of two parts", sizeof *w);
    for (int i = 0; i < SPLIT_BOTH && status >= 0; i++) {
        w->used[i] = split_reads(backend, info, i);
        if (w->used[i])
            status = split_half(backend, i)->table->weight_begin(split_half(backend, i), info, &w->half[i], error);
    }
    if (status >= 0 && !w->used[SPLIT_FIRST] && !w->used[SPLIT_SECOND])
        status = lm_fail(error, LLM_E_INTERNAL, "split: neither part reads %s", info->name ? info->name : "a weight");
    if (status < 0)
        split_weight_free(backend, (lm_weight *)w);
    else
        *out = (lm_weight *)w;
    return status;
}

static llm_status split_weight_rows(lm_backend *backend, lm_weight *handle, uint64_t row, uint64_t n, const void *rows, llm_error *error)
{
    split_weight *w = (split_weight *)handle;
    for (int i = 0; i < SPLIT_BOTH; i++)
        if (w->used[i])
            LM_TRY(split_half(backend, i)->table->weight_rows(split_half(backend, i), w->half[i], row, n, rows, error));
    return LLM_OK;
}

static llm_status split_weight_end(lm_backend *backend, lm_weight *handle, llm_error *error)
{
    split_weight *w = (split_weight *)handle;
    for (int i = 0; i < SPLIT_BOTH; i++)
        if (w->used[i])
            LM_TRY(split_half(backend, i)->table->weight_end(split_half(backend, i), w->half[i], error));
    return LLM_OK;
}

/* ---- state */

static void split_pool_close(lm_backend *backend, lm_pool *handle)
{
    split_pool *pool = (split_pool *)handle;
    if (!pool)
        return;
    for (int i = 0; i < SPLIT_BOTH; i++)
        if (pool->half[i])
            split_half(backend, i)->table->pool_close(split_half(backend, i), pool->half[i]);
    for (uint32_t c = 0; c < LM_MAX_PAGE_CLASSES; c++)
        lm_mem_free(&backend->host->mem, pool->classes[c].pages);
    lm_mutex_destroy(&pool->lock);
    lm_mem_free(&backend->host->mem, pool);
}

static llm_status split_pool_open(lm_backend *backend, const lm_program *program, int32_t state_type, lm_pool **out, llm_error *error)
{
    const lm_cut *cut = split_cut(backend);
    LM_TRY(split_check(backend, program, error));
    split_pool *pool = lm_mem_new(&backend->host->mem, sizeof *pool, LLM_MEMORY_STATE);
    if (!pool)
        return lm_fail_memory(error, "a pool of two parts", sizeof *pool);
    llm_status status = lm_mutex_init(&pool->lock, error);
    if (status < 0) {
        lm_mem_free(&backend->host->mem, pool);
        return status;
    }
    pool->cut = cut;
    for (int i = 0; i < SPLIT_BOTH && status >= 0; i++)
        status = split_half(backend, i)->table->pool_open(split_half(backend, i), cut->part[i], state_type, &pool->half[i], error);
    if (status < 0)
        split_pool_close(backend, (lm_pool *)pool);
    else
        *out = (lm_pool *)pool;
    return status;
}

static uint64_t split_pool_page_cost(const lm_backend *backend, const lm_program *program, int32_t state_type, uint32_t page_class)
{
    const lm_cut *cut = split_cut(backend);
    uint64_t sum = sizeof(split_page);
    (void)program;
    for (int i = 0; i < SPLIT_BOTH; i++)
        if (cut->page_class[i][page_class] != LM_NONE)
            sum = split_sum(sum, split_half(backend, i)->table->pool_page_cost(split_half(backend, i), cut->part[i], state_type, (uint32_t)cut->page_class[i][page_class]));
    return sum;
}

/* Both halves of a page, or none. */
static llm_status split_take(lm_backend *backend, split_pool *pool, uint32_t page_class, split_page *out, llm_error *error)
{
    *out = (split_page){ .taken = 1 };
    for (int i = 0; i < SPLIT_BOTH; i++) {
        int32_t theirs = pool->cut->page_class[i][page_class], first = pool->cut->page_class[SPLIT_FIRST][page_class];
        llm_status status = theirs == LM_NONE ? LLM_OK : split_half(backend, i)->table->page_take(split_half(backend, i), pool->half[i], (uint32_t)theirs, &out->half[i], error);
        if (status < 0) {
            if (i == SPLIT_SECOND && first != LM_NONE)
                split_half(backend, SPLIT_FIRST)->table->page_give(split_half(backend, SPLIT_FIRST), pool->half[SPLIT_FIRST], (uint32_t)first, out->half[SPLIT_FIRST]);
            return status;
        }
    }
    return LLM_OK;
}

static llm_status split_page_take(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t *out, llm_error *error)
{
    split_pool *pool = (split_pool *)handle;
    split_page page;
    uint32_t number = 0;
    if (page_class >= pool->cut->whole->n_page_classes)
        return lm_fail(error, LLM_E_INTERNAL, "split: page class %u of %u", page_class, pool->cut->whole->n_page_classes);
    split_class *c = &pool->classes[page_class];
    if (c->n_taken == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 16;
        lm_mutex_lock(&pool->lock);
        split_page *pages = lm_mem_grow(&backend->host->mem, c->pages, cap * sizeof *pages, LLM_MEMORY_STATE);
        if (pages) {
            memset(pages + c->cap, 0, (cap - c->cap) * sizeof *pages);
            c->pages = pages;
            c->cap = cap;
        }
        lm_mutex_unlock(&pool->lock);
        if (!pages)
            return lm_fail_memory(error, "a table of pages", cap * sizeof *pages);
    }
    LM_TRY(split_take(backend, pool, page_class, &page, error));
    while (c->pages[number].taken)
        number++;
    lm_mutex_lock(&pool->lock);
    c->pages[number] = page;
    c->n_taken++;
    lm_mutex_unlock(&pool->lock);
    *out = number;
    return LLM_OK;
}

static const split_page *split_page_of(const split_pool *pool, uint32_t page_class, uint32_t number)
{
    bool there = page_class < pool->cut->whole->n_page_classes && number < pool->classes[page_class].cap && pool->classes[page_class].pages[number].taken;
    return there ? &pool->classes[page_class].pages[number] : NULL;
}

static llm_status split_no_page(uint32_t page_class, uint32_t number, llm_error *error)
{
    return lm_fail(error, LLM_E_INTERNAL, "split: page %u of class %u is not taken", number, page_class);
}

static void split_page_give(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t number)
{
    split_pool *pool = (split_pool *)handle;
    const split_page *page = split_page_of(pool, page_class, number);
    if (!page)
        return;
    for (int i = 0; i < SPLIT_BOTH; i++)
        if (pool->cut->page_class[i][page_class] != LM_NONE)
            split_half(backend, i)->table->page_give(split_half(backend, i), pool->half[i], (uint32_t)pool->cut->page_class[i][page_class], page->half[i]);
    lm_mutex_lock(&pool->lock);
    pool->classes[page_class].pages[number].taken = 0;
    pool->classes[page_class].n_taken--;
    lm_mutex_unlock(&pool->lock);
}

static llm_status split_page_copy(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t from, uint32_t to, llm_error *error)
{
    split_pool *pool = (split_pool *)handle;
    const split_page *source = split_page_of(pool, page_class, from), *target = split_page_of(pool, page_class, to);
    if (!source || !target)
        return split_no_page(page_class, source ? to : from, error);
    for (int i = 0; i < SPLIT_BOTH; i++)
        if (pool->cut->page_class[i][page_class] != LM_NONE)
            LM_TRY(split_half(backend, i)->table->page_copy(split_half(backend, i), pool->half[i], (uint32_t)pool->cut->page_class[i][page_class], source->half[i], target->half[i], error));
    return LLM_OK;
}

static uint64_t split_page_bytes(const lm_backend *backend, const split_pool *pool, int i, uint32_t page_class)
{
    int32_t theirs = pool->cut->page_class[i][page_class];
    return theirs == LM_NONE ? 0 : split_half(backend, i)->table->pool_page_bytes(split_half(backend, i), pool->half[i], (uint32_t)theirs);
}

static uint64_t split_pool_page_bytes(const lm_backend *backend, const lm_pool *handle, uint32_t page_class)
{
    const split_pool *pool = (const split_pool *)handle;
    return split_page_bytes(backend, pool, SPLIT_FIRST, page_class) + split_page_bytes(backend, pool, SPLIT_SECOND, page_class);
}

/* The streams of the first part stand before those of the second: lm_program_cut. */
static llm_status split_page_export(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t number, void *out, llm_error *error)
{
    split_pool *pool = (split_pool *)handle;
    const split_page *page = split_page_of(pool, page_class, number);
    uint8_t *at = out;
    if (!page)
        return split_no_page(page_class, number, error);
    for (int i = 0; i < SPLIT_BOTH; at += split_page_bytes(backend, pool, i, page_class), i++)
        if (pool->cut->page_class[i][page_class] != LM_NONE)
            LM_TRY(split_half(backend, i)->table->page_export(split_half(backend, i), pool->half[i], (uint32_t)pool->cut->page_class[i][page_class], page->half[i], at, error));
    return LLM_OK;
}

static llm_status split_page_import(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t number, const void *in, llm_error *error)
{
    split_pool *pool = (split_pool *)handle;
    const split_page *page = split_page_of(pool, page_class, number);
    const uint8_t *at = in;
    if (!page)
        return split_no_page(page_class, number, error);
    for (int i = 0; i < SPLIT_BOTH; at += split_page_bytes(backend, pool, i, page_class), i++)
        if (pool->cut->page_class[i][page_class] != LM_NONE)
            LM_TRY(split_half(backend, i)->table->page_import(split_half(backend, i), pool->half[i], (uint32_t)pool->cut->page_class[i][page_class], page->half[i], at, error));
    return LLM_OK;
}

/* ---- programs and arenas */

static void split_exec_close(lm_backend *backend, lm_exec *handle)
{
    split_exec *exec = (split_exec *)handle;
    if (!exec)
        return;
    for (int i = 0; i < SPLIT_BOTH; i++)
        if (exec->half[i])
            split_half(backend, i)->table->exec_close(split_half(backend, i), exec->half[i]);
    lm_mem_free(&backend->host->mem, exec);
}

static llm_status split_exec_open(lm_backend *backend, const lm_program *program, lm_weight *const *weights, lm_exec **out, llm_error *error)
{
    lm_mem *mem = &backend->host->mem;
    const lm_cut *cut = split_cut(backend);
    LM_TRY(split_check(backend, program, error));
    split_exec *exec = lm_mem_new(mem, sizeof *exec, LLM_MEMORY_OTHER);
    lm_weight **theirs = lm_mem_new_array(mem, program->n_weights, sizeof *theirs, LLM_MEMORY_OTHER);
    llm_status status = exec && theirs ? LLM_OK : lm_fail_memory(error, "a program of two parts", sizeof *exec + program->n_weights * sizeof *theirs);
    for (int i = 0; i < SPLIT_BOTH && status >= 0; i++) {
        for (uint32_t w = 0; w < program->n_weights; w++)
            if (cut->weight[i][w] != LM_NONE)
                theirs[cut->weight[i][w]] = weights[w] ? ((split_weight *)weights[w])->half[i] : NULL;
        status = split_half(backend, i)->table->exec_open(split_half(backend, i), cut->part[i], theirs, &exec->half[i], error);
    }
    lm_mem_free(mem, theirs);
    if (status < 0)
        split_exec_close(backend, (lm_exec *)exec);
    else
        *out = (lm_exec *)exec;
    return status;
}

static llm_status split_exec_compile(lm_backend *backend, lm_exec *handle, int32_t (*progress)(void *user, float fraction), void *user, llm_error *error)
{
    for (int i = 0; i < SPLIT_BOTH; i++) {
        lm_backend *half = split_half(backend, i);
        if (half->table->exec_compile)
            LM_TRY(half->table->exec_compile(half, ((split_exec *)handle)->half[i], progress, user, error));
    }
    return LLM_OK;
}

/* What crosses, in items a row. */
static uint32_t split_width(const lm_cut *cut) { return cut->part[SPLIT_FIRST]->values[cut->part[SPLIT_FIRST]->logits].width; }

static uint64_t split_arena_size(const lm_cut *cut, uint32_t max_rows, uint32_t max_slots, uint32_t max_pages)
{
    return sizeof(split_arena) + 2 * (uint64_t)max_slots * sizeof(lm_slot) + (uint64_t)max_rows * (sizeof(lm_row) + split_width(cut) * sizeof(float)) +
           2 * (uint64_t)max_pages * sizeof(uint32_t);
}

static uint64_t split_arena_cost(const lm_backend *backend, const lm_program *program, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages)
{
    const lm_cut *cut = split_cut(backend);
    uint64_t sum = lm_mem_cost(split_arena_size(cut, max_rows, max_slots, max_pages));
    (void)program;
    for (int i = 0; i < SPLIT_BOTH; i++)
        sum = split_sum(sum, split_half(backend, i)->table->arena_cost(split_half(backend, i), cut->part[i], max_rows, max_out, max_slots, max_pages));
    return sum;
}

static void split_arena_close(lm_backend *backend, lm_run_arena *handle)
{
    split_arena *arena = (split_arena *)handle;
    if (!arena)
        return;
    for (int i = 0; i < SPLIT_BOTH; i++)
        if (arena->half[i])
            split_half(backend, i)->table->arena_close(split_half(backend, i), arena->half[i]);
    lm_mem_free(&backend->host->mem, arena);
}

static llm_status split_arena_open(lm_backend *backend, const lm_exec *handle, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages,
                                   lm_run_arena **out, llm_error *error)
{
    const split_exec *exec = (const split_exec *)handle;
    uint64_t bytes = split_arena_size(split_cut(backend), max_rows, max_slots, max_pages);
    split_arena *arena = lm_fits_size(bytes) ? lm_mem_new(&backend->host->mem, (size_t)bytes, LLM_MEMORY_ARENA) : NULL;
    llm_status status = LLM_OK;
    if (!arena)
        return lm_fail_memory(error, "an arena of two parts", (size_t)bytes);
    arena->max_rows = max_rows;
    arena->max_slots = max_slots;
    arena->max_pages = max_pages;
    arena->slots[SPLIT_FIRST] = (lm_slot *)(void *)(arena + 1);
    arena->slots[SPLIT_SECOND] = arena->slots[SPLIT_FIRST] + max_slots;
    arena->rows = (lm_row *)(void *)(arena->slots[SPLIT_SECOND] + max_slots);
    arena->rows_on = (float *)(void *)(arena->rows + max_rows);
    arena->pages[SPLIT_FIRST] = (uint32_t *)(void *)(arena->rows_on + (size_t)max_rows * split_width(split_cut(backend)));
    arena->pages[SPLIT_SECOND] = arena->pages[SPLIT_FIRST] + max_pages;
    for (int i = 0; i < SPLIT_BOTH && status >= 0; i++)
        status = split_half(backend, i)->table->arena_open(split_half(backend, i), exec->half[i], max_rows, max_out, max_slots, max_pages, &arena->half[i], error);
    if (status < 0)
        split_arena_close(backend, (lm_run_arena *)arena);
    else
        *out = (lm_run_arena *)arena;
    return status;
}

/* ---- runs */

/* The slots with a half's page numbers. Under the pool's lock. */
static llm_status split_slots(const split_run *run, const lm_batch *batch, int i, llm_error *error)
{
    const lm_cut *cut = run->pool->cut;
    split_arena *arena = run->arena;
    uint32_t used = 0;
    for (uint32_t s = 0; s < batch->n_slots; s++)
        for (uint32_t c = 0; c < cut->whole->n_page_classes; c++) {
            const lm_slot *slot = &batch->slots[s];
            if (cut->page_class[i][c] == LM_NONE)
                continue;
            if (slot->n_pages[c] > arena->max_pages - used)
                return lm_fail(error, LLM_E_INTERNAL, "split: the sessions of this pass have more than the arena's %u pages", arena->max_pages);
            for (uint32_t p = 0; p < slot->n_pages[c]; p++) {
                const split_page *page = split_page_of(run->pool, c, slot->pages[c][p]);
                arena->pages[i][used + p] = page ? page->half[i] : UINT32_MAX;     /* one that is no longer seen */
            }
            arena->slots[i][s].pages[cut->page_class[i][c]] = arena->pages[i] + used;
            arena->slots[i][s].n_pages[cut->page_class[i][c]] = slot->n_pages[c];
            used += slot->n_pages[c];
        }
    return LLM_OK;
}

static void split_run_end(lm_backend *backend, lm_run *handle)
{
    split_run *run = (split_run *)handle;
    if (!run)
        return;
    for (int i = 0; i < SPLIT_BOTH; i++)
        if (run->half[i]) {
            split_half(backend, i)->table->run_end(split_half(backend, i), run->half[i]);
            run->half[i] = NULL;
        }
}

/* A part begins. LLM_MORE: not now. */
static llm_status split_begin(lm_backend *backend, split_run *run, int i, bool no_wait, llm_error *error)
{
    lm_batch batch = { .rows = run->arena->rows, .n_rows = run->n_rows, .slots = run->arena->slots[i], .n_slots = run->n_slots, .n_out = run->n_out,
                       .given = i == SPLIT_SECOND ? run->arena->rows_on : NULL, .no_wait = no_wait };
    return split_half(backend, i)->table->run_begin(split_half(backend, i), run->exec->half[i], run->pool->half[i], run->arena->half[i], &batch, &run->half[i], error);
}

static llm_status split_run_begin(lm_backend *backend, lm_exec *exec, lm_pool *pool, lm_run_arena *handle, const lm_batch *batch, lm_run **out, llm_error *error)
{
    split_arena *arena = (split_arena *)handle;
    split_run *run = &arena->run;
    llm_status status = LLM_OK;
    if (run->half[SPLIT_FIRST])
        return lm_fail(error, LLM_E_BUSY, "another run is in progress in this arena");
    if (batch->n_rows > arena->max_rows || batch->n_slots > arena->max_slots)
        return lm_fail(error, LLM_E_INVALID, "%u rows of %u sessions: the arena holds %u and %u", batch->n_rows, batch->n_slots, arena->max_rows, arena->max_slots);
    *run = (split_run){ .exec = (split_exec *)exec, .pool = (split_pool *)pool, .arena = arena, .n_rows = batch->n_rows, .n_slots = batch->n_slots, .n_out = batch->n_out };
    memcpy(arena->rows, batch->rows, batch->n_rows * sizeof *arena->rows);
    lm_mutex_lock(&run->pool->lock);
    for (int i = 0; i < SPLIT_BOTH && status >= 0; i++)
        status = split_slots(run, batch, i, error);
    lm_mutex_unlock(&run->pool->lock);
    if (status >= 0)
        status = split_begin(backend, run, SPLIT_FIRST, batch->no_wait, error);
    if (status != LLM_OK)
        run->half[SPLIT_FIRST] = NULL;
    else
        *out = (lm_run *)run;
    return status;
}

/* The first part is done: what it hands on. */
static llm_status split_cross(lm_backend *backend, split_run *run, llm_error *error)
{
    lm_backend *first = split_half(backend, SPLIT_FIRST);
    const lm_cut *cut = split_cut(backend);
    uint32_t width = split_width(cut);
    for (uint32_t r = 0; r < run->n_rows; r++) {
        const void *row = first->table->run_value(first, run->half[SPLIT_FIRST], cut->part[SPLIT_FIRST]->logits, r);
        if (!row)
            return lm_fail(error, LLM_E_MEMORY, "split: row %u of what the first layers hand on could not be read", r);
        memcpy(run->arena->rows_on + (size_t)r * width, row, width * sizeof(float));
    }
    run->crossed = true;
    return LLM_OK;
}

/* One part of one step. */
static llm_status split_part(lm_backend *backend, split_run *run, const lm_run_control *control, llm_error *error)
{
    const lm_cut *cut = split_cut(backend);
    lm_run_control theirs = *control;
    int i = run->half[SPLIT_SECOND] ? SPLIT_SECOND : SPLIT_FIRST;
    lm_backend *half = split_half(backend, i);
    if (i == SPLIT_SECOND) {
        theirs.stop_op = control->stop_op == LM_RUN_ALL_OPS ? LM_RUN_ALL_OPS : control->stop_op <= cut->op ? 0 : control->stop_op - cut->op + cut->n_again;
        return half->table->run_step(half, run->half[i], &theirs, error);
    }
    if (!run->crossed) {
        theirs.stop_op = control->stop_op >= cut->op ? LM_RUN_ALL_OPS : control->stop_op;
        llm_status status = half->table->run_step(half, run->half[i], &theirs, error);
        if (status != LLM_OK)
            return status;
        if (control->stop_op < cut->op)                     /* what is left before the stop has no rows */
            return LLM_MORE;
        LM_TRY(split_cross(backend, run, error));
    }
    llm_status status = split_begin(backend, run, SPLIT_SECOND, control->no_wait, error);
    if (status != LLM_OK)
        run->half[SPLIT_SECOND] = NULL;
    return status < 0 ? status : LLM_MORE;                  /* the rest may need no turn of the processor's, or another one */
}

static llm_status split_run_step(lm_backend *backend, lm_run *handle, const lm_run_control *control, llm_error *error)
{
    split_run *run = (split_run *)handle;
    if (run->dead)
        return lm_fail(error, LLM_E_INTERNAL, "split: a step of a run that failed");
    llm_status status = split_part(backend, run, control, error);
    run->dead = status < 0 && status != LLM_E_CANCELLED;
    return status;
}

static bool split_run_beside(const lm_backend *backend, const lm_run *handle)
{
    const split_run *run = (const split_run *)handle;
    int i = run->half[SPLIT_SECOND] ? SPLIT_SECOND : SPLIT_FIRST;
    const lm_backend *half = split_half(backend, i);
    return half->table->run_beside && half->table->run_beside(half, run->half[i]);
}

static const void *split_run_value(lm_backend *backend, lm_run *handle, int32_t value, uint32_t index)
{
    const split_run *run = (const split_run *)handle;
    const lm_cut *cut = split_cut(backend);
    if (value < 0 || (uint32_t)value >= cut->whole->n_values)
        return NULL;
    for (int i = SPLIT_BOTH; i-- > 0;)
        if (run->half[i] && cut->value[i][value] != LM_NONE)
            return split_half(backend, i)->table->run_value(split_half(backend, i), run->half[i], cut->value[i][value], index);
    return NULL;
}

/* ---- words */

static size_t split_exec_report(lm_backend *backend, const lm_exec *handle, char *out, size_t cap)
{
    const lm_cut *cut = split_cut(backend);
    char line[400];
    size_t n = 0;
    for (int i = 0; i < SPLIT_BOTH; i++) {
        lm_backend *half = split_half(backend, i);
        lm_device device = { .name = NULL };
        half->table->device(half, &device);
        uint32_t begin = i ? cut->op : 0, end = i ? cut->whole->n_ops : cut->op;
        int32_t last = 0;
        for (uint32_t o = begin; o < end; o++)
            last = LM_MAX(last, cut->whole->ops[o].layer);
        size_t length = lm_print(line, sizeof line, "part %d: operations %u to %u, layers %d to %d, on %s\n", i + 1, begin, end - 1,
                                 (int)(i ? cut->whole->ops[begin].layer : 0), (int)last, device.name);
        if (n < cap)
            lm_print(out + n, cap - n, "%s", line);
        n += length;
    }
    for (int i = 0; i < SPLIT_BOTH; i++) {
        lm_backend *half = split_half(backend, i);
        const lm_exec *theirs = ((const split_exec *)handle)->half[i];
        if (half->table->exec_report)
            n += half->table->exec_report(half, theirs, n < cap ? out + n : NULL, n < cap ? cap - n : 0);
    }
    return n;
}

/* ---- the table */

static const lm_backend_table split_backend_table = {
    .name = "split",
    .close = split_close,
    .device = split_device,
    .can_run = split_can_run,
    .weight_cost = split_weight_cost,
    .weight_begin = split_weight_begin,
    .weight_rows = split_weight_rows,
    .weight_end = split_weight_end,
    .weight_free = split_weight_free,
    .pool_open = split_pool_open,
    .pool_close = split_pool_close,
    .pool_page_cost = split_pool_page_cost,
    .page_take = split_page_take,
    .page_give = split_page_give,
    .page_copy = split_page_copy,
    .pool_page_bytes = split_pool_page_bytes,
    .page_export = split_page_export,
    .page_import = split_page_import,
    .exec_open = split_exec_open,
    .exec_close = split_exec_close,
    .exec_compile = split_exec_compile,
    .arena_cost = split_arena_cost,
    .arena_open = split_arena_open,
    .arena_close = split_arena_close,
    .run_begin = split_run_begin,
    .run_step = split_run_step,
    .run_beside = split_run_beside,
    .run_value = split_run_value,
    .run_end = split_run_end,
    .exec_report = split_exec_report,
};

llm_status lm_split_backend_open(lm_host *host, lm_backend *first, lm_backend *second, const lm_cut *cut, lm_backend **out, llm_error *error)
{
    split *s = lm_mem_new(&host->mem, sizeof *s, LLM_MEMORY_OTHER);
    if (!s)
        return lm_fail_memory(error, "a split backend", sizeof *s);
    *s = (split){ .base = { &split_backend_table, host }, .half = { first, second }, .cut = cut };
    *out = &s->base;
    return LLM_OK;
}
