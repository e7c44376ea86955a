/* SPDX-License-Identifier: MIT
 * A backend that executes nothing and checks everything: that programs are what their operations demand and that no operation writes
 * over what a later one reads; that weights come row by row; that rows, slots and page numbers are true; that state is written before it
 * is read, at the position it is read at, and by nobody else meanwhile; that nothing is freed while it is in use. Logits are 0.
 *
 * What it keeps of a page instead of state: which positions of which streams were written, and which positions the page stands for.
 * An exported page says the same in the canonical layout: positions not written have all bits set.
 *
 * A fault in a call that has no status is kept, told to the log, and returned by the next call that has one.
 * Invariants: a page is written by at most one active run, and then read by no other; n_objects counts all that is open.
 * Threads: as backend.h says; one lock covers all, because pages are taken under the caller's other lock. */
#include "backend/backend.h"

#include "base/os.h"
#include "base/size.h"
#include "base/thread.h"

#include <string.h>

enum { VERIFY_ANY_PLACE = -1, VERIFY_NO_PAGE = UINT32_MAX };

typedef struct verify {
    lm_backend base;
    lm_mutex lock;
    uint64_t n_objects;
    llm_status fault;                   /* the first, of a call without a status */
    char fault_text[256];
} verify;

typedef struct verify_weight { lm_weight_info info; uint64_t row_bytes, n_done; uint32_t complete, n_users; uint64_t sum; } verify_weight;

typedef struct verify_page {
    int64_t  place;                     /* holds positions place * LM_PAGE_POSITIONS and up; VERIFY_ANY_PLACE: nothing tells */
    uint32_t n_readers, n_writers;      /* active runs */
    uint64_t written[];                 /* of each stream of the program (those of other classes stay 0): a bit a position */
} verify_page;

typedef struct verify_class { verify_page **pages; uint32_t cap, n_taken, cursor; uint64_t page_bytes; } verify_class;

typedef struct verify_pool {
    const lm_program *program;
    int32_t state_type;
    uint32_t n_runs;
    verify_class classes[LM_MAX_PAGE_CLASSES];
} verify_pool;

typedef struct verify_exec { const lm_program *program; uint32_t n_arenas, n_runs; verify_weight *weights[]; } verify_exec;

typedef struct verify_run {
    verify *owner;
    verify_exec *exec;
    verify_pool *pool;
    struct verify_arena *arena;
    uint32_t op, active, dead, done, n_rows, n_out, n_slots;     /* done: its pages are only read from now on */
} verify_run;

typedef struct verify_slot { uint32_t *pages[LM_MAX_PAGE_CLASSES]; uint32_t n_pages[LM_MAX_PAGE_CLASSES], first_seen[LM_MAX_PAGE_CLASSES], first_written, n_rows; int32_t position; } verify_slot;

typedef struct verify_arena {
    verify_exec *exec;
    uint32_t max_rows, max_out, max_slots, max_pages;
    verify_run run;
    lm_row *rows;
    verify_slot *slots;
    uint32_t *pages;                    /* of all slots, one after another */
    float *zero;                        /* what every value looks like */
} verify_arena;

/* ---- faults and locking */

LM_PRINTF(2, 3) static void verify_fault(verify *v, const char *format, ...)
{
    va_list args;
    if (v->fault < 0)
        return;
    v->fault = LLM_E_INTERNAL;
    va_start(args, format);
    lm_format(v->fault_text, sizeof v->fault_text, format, args);
    va_end(args);
    lm_log(v->base.host, LLM_LOG_ERROR, "verify: %s", v->fault_text);
}

static verify *verify_enter(const lm_backend *backend)
{
    verify *v = (verify *)(uintptr_t)backend;
    lm_mutex_lock(&v->lock);
    return v;
}

/* The same for a call with a status: it fails with the fault of an earlier one, and then does nothing. */
static llm_status verify_try(const lm_backend *backend, verify **out, llm_error *error)
{
    verify *v = verify_enter(backend);
    llm_status status = v->fault < 0 ? lm_fail(error, v->fault, "verify, in an earlier call: %s", v->fault_text) : LLM_OK;
    *out = v;
    if (status < 0)
        lm_mutex_unlock(&v->lock);
    return status;
}

static llm_status verify_leave(verify *v, llm_status status)
{
    lm_mutex_unlock(&v->lock);
    return status;
}

static void *verify_new(verify *v, size_t size, int32_t kind, const char *what, llm_error *error)
{
    void *object = lm_mem_new(&v->base.host->mem, size, kind);
    if (!object)
        lm_fail_memory(error, what, size);
    v->n_objects += object != NULL;
    return object;
}

static void verify_free(verify *v, void *object)
{
    v->n_objects--;
    lm_mem_free(&v->base.host->mem, object);
}

static void verify_close(lm_backend *backend)
{
    verify *v = (verify *)backend;
    if (!v)
        return;
    if (v->n_objects != 0)
        lm_log(backend->host, LLM_LOG_ERROR, "verify: the backend is closed while %llu of its objects are open", (unsigned long long)v->n_objects);
    lm_mutex_destroy(&v->lock);
    lm_mem_free(&backend->host->mem, v);
}

static void verify_device(const lm_backend *backend, lm_device *out)
{
    (void)backend;
    *out = (lm_device){ .name = "verify", .kind = LLM_DEVICE_KIND_SOFTWARE };
}

static llm_status verify_can_run(const lm_backend *backend, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)backend, (void)program;
    if (op->kind >= LM_OP_COUNT)
        return lm_fail(error, LLM_E_UNSUPPORTED, "operation %u is unknown", op->kind);
    if (lm_state_row_bytes(state_type, 1) == 0)
        return lm_fail(error, LLM_E_UNSUPPORTED, "state of type %d", state_type);
    return LLM_OK;
}

/* ---- weights */

static uint64_t verify_weight_cost(const lm_backend *backend, const lm_weight_info *info)
{
    (void)backend, (void)info;
    return lm_mem_cost(sizeof(verify_weight));
}

static const char *verify_name(const lm_weight_info *info) { return info->name ? info->name : "(no name)"; }

static llm_status verify_weight_begin(lm_backend *backend, const lm_weight_info *info, lm_weight **out, llm_error *error)
{
    uint64_t row_bytes, bytes;
    if (!lm_type_row_bytes(info->type, info->n_cols, &row_bytes) || !lm_mul_u64(row_bytes, info->n_rows, &bytes) || bytes == 0 || (info->is_vector && info->n_rows != 1))
        return lm_fail(error, LLM_E_INTERNAL, "verify: weight %s: type %u, %llu rows of %llu", verify_name(info), info->type, (unsigned long long)info->n_rows,
                       (unsigned long long)info->n_cols);
    verify *v = NULL;
    LM_TRY(verify_try(backend, &v, error));
    verify_weight *w = verify_new(v, sizeof *w, LLM_MEMORY_WEIGHTS, "a weight", error);
    if (w) {
        w->info = *info;
        w->row_bytes = row_bytes;
        *out = (lm_weight *)w;
    }
    return verify_leave(v, w ? LLM_OK : LLM_E_MEMORY);
}

static llm_status verify_weight_rows(lm_backend *backend, lm_weight *weight, uint64_t row, uint64_t n, const void *rows, llm_error *error)
{
    verify_weight *w = (verify_weight *)weight;
    const unsigned char *bytes = rows;
    (void)backend;
    if (w->complete)
        return lm_fail(error, LLM_E_INTERNAL, "verify: weight %s: rows after its end", verify_name(&w->info));
    if (row != w->n_done || n > w->info.n_rows - row)
        return lm_fail(error, LLM_E_INTERNAL, "verify: weight %s: rows %llu to %llu where row %llu of %llu is due", verify_name(&w->info), (unsigned long long)row,
                       (unsigned long long)(row + n), (unsigned long long)w->n_done, (unsigned long long)w->info.n_rows);
    for (uint64_t i = 0; i < n * w->row_bytes; i++)         /* all of them can be read */
        w->sum += bytes[i];
    w->n_done += n;
    return LLM_OK;
}

static llm_status verify_weight_end(lm_backend *backend, lm_weight *weight, llm_error *error)
{
    verify_weight *w = (verify_weight *)weight;
    (void)backend;
    if (w->complete || w->n_done != w->info.n_rows)
        return lm_fail(error, LLM_E_INTERNAL, "verify: weight %s: ended %s after %llu of %llu rows", verify_name(&w->info), w->complete ? "twice" : "once",
                       (unsigned long long)w->n_done, (unsigned long long)w->info.n_rows);
    w->complete = 1;
    return LLM_OK;
}

static void verify_weight_free(lm_backend *backend, lm_weight *weight)
{
    verify_weight *w = (verify_weight *)weight;
    if (!w)
        return;
    verify *v = verify_enter(backend);
    if (w->n_users)
        verify_fault(v, "weight %s is freed while %u programs use it", verify_name(&w->info), w->n_users);
    else
        verify_free(v, w);
    lm_mutex_unlock(&v->lock);
}

/* ---- pages of state */

/* Bytes of one position of a stream, in the canonical layout: K, and V. */
static void verify_position_bytes(const lm_stream *stream, int32_t state_type, uint64_t bytes[2])
{
    bytes[0] = stream->n_heads * lm_state_row_bytes(state_type, stream->k_dim);
    bytes[1] = stream->n_heads * lm_state_row_bytes(state_type, stream->v_dim);
}

static uint64_t verify_page_size(const lm_program *program, uint32_t page_class, int32_t state_type)
{
    uint64_t bytes = 0;
    for (uint32_t s = 0; s < program->n_streams; s++) {
        uint64_t part[2];
        verify_position_bytes(&program->streams[s], state_type, part);
        if (program->streams[s].page_class == page_class)
            bytes += (part[0] + part[1]) * LM_PAGE_POSITIONS;
    }
    return bytes;
}

static size_t verify_page_block(const lm_program *program) { return sizeof(verify_page) + program->n_streams * sizeof(uint64_t); }

static llm_status verify_pool_open(lm_backend *backend, const lm_program *program, int32_t state_type, lm_pool **out, llm_error *error)
{
    if (lm_state_row_bytes(state_type, 1) == 0)
        return lm_fail(error, LLM_E_UNSUPPORTED, "verify: state of type %d", state_type);
    LM_TRY(lm_program_check(program, error));
    verify *v = NULL;
    LM_TRY(verify_try(backend, &v, error));
    verify_pool *pool = verify_new(v, sizeof *pool, LLM_MEMORY_STATE, "a pool of pages", error);
    if (pool) {
        pool->program = program;
        pool->state_type = state_type;
        for (uint32_t c = 0; c < program->n_page_classes; c++)
            pool->classes[c].page_bytes = verify_page_size(program, c, state_type);
        *out = (lm_pool *)pool;
    }
    return verify_leave(v, pool ? LLM_OK : LLM_E_MEMORY);
}

static void verify_pool_close(lm_backend *backend, lm_pool *handle)
{
    verify_pool *pool = (verify_pool *)handle;
    if (!pool)
        return;
    verify *v = verify_enter(backend);
    if (pool->n_runs)
        verify_fault(v, "a pool is closed while %u runs use it", pool->n_runs);
    else {
        for (uint32_t c = 0; c < LM_MAX_PAGE_CLASSES; c++) {
            for (uint32_t i = 0; i < pool->classes[c].cap; i++)
                if (pool->classes[c].pages[i])
                    verify_free(v, pool->classes[c].pages[i]);
            lm_mem_free(&v->base.host->mem, pool->classes[c].pages);
        }
        verify_free(v, pool);
    }
    lm_mutex_unlock(&v->lock);
}

static uint64_t verify_pool_page_cost(const lm_backend *backend, const lm_program *program, int32_t state_type, uint32_t page_class)
{
    (void)backend, (void)state_type, (void)page_class;
    return lm_mem_cost(verify_page_block(program));
}

static verify_page *verify_find(const verify_pool *pool, uint32_t page_class, uint32_t page)
{
    return page_class < pool->program->n_page_classes && page < pool->classes[page_class].cap ? pool->classes[page_class].pages[page] : NULL;
}

/* A number that is free, from all over the table: who counts on their order is found out. */
static uint32_t verify_free_number(verify_class *c)
{
    do
        c->cursor = (c->cursor + 37) & (c->cap - 1);        /* cap: a power of two, so every number comes */
    while (c->pages[c->cursor]);
    return c->cursor;
}

static llm_status verify_take(verify *v, verify_pool *pool, uint32_t page_class, uint32_t *out, llm_error *error)
{
    if (page_class >= pool->program->n_page_classes)
        return lm_fail(error, LLM_E_INTERNAL, "verify: page class %u of %u", page_class, pool->program->n_page_classes);
    verify_class *c = &pool->classes[page_class];
    if (c->n_taken == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 16;
        verify_page **pages = lm_mem_grow(&v->base.host->mem, c->pages, cap * sizeof *pages, LLM_MEMORY_STATE);
        if (!pages)
            return lm_fail_memory(error, "a table of pages", cap * sizeof *pages);
        c->pages = pages;
        c->cap = cap;
    }
    verify_page *page = verify_new(v, verify_page_block(pool->program), LLM_MEMORY_STATE, "a page of state", error);
    if (!page)
        return LLM_E_MEMORY;
    page->place = VERIFY_ANY_PLACE;
    *out = verify_free_number(c);
    c->pages[*out] = page;
    c->n_taken++;
    return LLM_OK;
}

static llm_status verify_page_take(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t *out, llm_error *error)
{
    verify *v = NULL;
    LM_TRY(verify_try(backend, &v, error));
    return verify_leave(v, verify_take(v, (verify_pool *)pool, page_class, out, error));
}

static void verify_page_give(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t number)
{
    verify *v = verify_enter(backend);
    verify_pool *pool = (verify_pool *)handle;
    verify_page *page = verify_find(pool, page_class, number);
    if (!page)
        verify_fault(v, "page %u of class %u is given back, but is not taken", number, page_class);
    else if (page->n_readers || page->n_writers)
        verify_fault(v, "page %u of class %u is given back while a run uses it", number, page_class);
    else {
        pool->classes[page_class].pages[number] = NULL;
        pool->classes[page_class].n_taken--;
        verify_free(v, page);
    }
    lm_mutex_unlock(&v->lock);
}

/* A page that a call reads or, with `write`, changes: taken, and nobody in its way. */
static llm_status verify_use(const verify_pool *pool, uint32_t page_class, uint32_t number, bool write, verify_page **out, llm_error *error)
{
    *out = verify_find(pool, page_class, number);
    if (!*out)
        return lm_fail(error, LLM_E_INTERNAL, "verify: page %u of class %u is not taken", number, page_class);
    if ((*out)->n_writers || (write && (*out)->n_readers))
        return lm_fail(error, LLM_E_INTERNAL, "verify: page %u of class %u is %s while a run %s it", number, page_class, write ? "changed" : "read",
                       (*out)->n_writers ? "writes" : "reads");
    return LLM_OK;
}

static llm_status verify_page_copy(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t from, uint32_t to, llm_error *error)
{
    verify *v = NULL;
    LM_TRY(verify_try(backend, &v, error));
    verify_pool *pool = (verify_pool *)handle;
    verify_page *a = NULL, *b = NULL;
    llm_status status = from == to ? lm_fail(error, LLM_E_INTERNAL, "verify: page %u is copied onto itself", from) : verify_use(pool, page_class, from, false, &a, error);
    if (status == LLM_OK)
        status = verify_use(pool, page_class, to, true, &b, error);
    if (status == LLM_OK) {
        b->place = a->place;
        memcpy(b->written, a->written, pool->program->n_streams * sizeof a->written[0]);
    }
    return verify_leave(v, status);
}

static uint64_t verify_pool_page_bytes(const lm_backend *backend, const lm_pool *pool, uint32_t page_class)
{
    (void)backend;
    return page_class < LM_MAX_PAGE_CLASSES ? ((const verify_pool *)pool)->classes[page_class].page_bytes : 0;
}

/* Walks the canonical layout: K of all positions, then V of all positions, stream by stream. out: marks what was written; else reads it. */
static void verify_page_bytes(const verify_pool *pool, uint32_t page_class, verify_page *page, unsigned char *out, const unsigned char *in)
{
    uint64_t at = 0;
    for (uint32_t s = 0; s < pool->program->n_streams; s++) {
        const lm_stream *stream = &pool->program->streams[s];
        uint64_t part[2];
        if (stream->page_class != page_class)
            continue;
        verify_position_bytes(stream, pool->state_type, part);
        if (in)
            page->written[s] = 0;
        for (int kv = 0; kv < 2; kv++)
            for (uint32_t p = 0; p < LM_PAGE_POSITIONS; p++, at += part[kv]) {
                if (out)
                    memset(out + at, page->written[s] >> p & 1 ? 0 : 0xff, (size_t)part[kv]);
                for (uint64_t i = 0; in && i < part[kv]; i++)
                    if (in[at + i] != 0xff)
                        page->written[s] |= (uint64_t)1 << p;
            }
    }
}

static llm_status verify_page_export(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t number, void *out, llm_error *error)
{
    verify *v = NULL;
    LM_TRY(verify_try(backend, &v, error));
    verify_page *page;
    llm_status status = verify_use((verify_pool *)pool, page_class, number, false, &page, error);
    if (status == LLM_OK)
        verify_page_bytes((verify_pool *)pool, page_class, page, out, NULL);
    return verify_leave(v, status);
}

static llm_status verify_page_import(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t number, const void *in, llm_error *error)
{
    verify *v = NULL;
    LM_TRY(verify_try(backend, &v, error));
    verify_page *page;
    llm_status status = verify_use((verify_pool *)pool, page_class, number, true, &page, error);
    if (status == LLM_OK) {
        page->place = VERIFY_ANY_PLACE;
        verify_page_bytes((verify_pool *)pool, page_class, page, NULL, in);
    }
    return verify_leave(v, status);
}

/* ---- programs */

static bool verify_overlap(const lm_value *a, const lm_value *b)
{
    return a->rows == b->rows && a->offset < (uint64_t)b->offset + b->width && b->offset < (uint64_t)a->offset + a->width;
}

/* Independently of the lifetimes that the plan claims: between its writer and its reader nobody writes over a value, and no operation
 * writes over what it reads. */
static llm_status verify_hazards(const lm_program *p, llm_error *error)
{
    for (uint32_t reader = 0; reader < p->n_ops; reader++)
        for (uint32_t i = 0; i < LM_OP_IN; i++) {
            int32_t in = p->ops[reader].in[i];
            bool found = false;
            for (uint32_t o = reader + 1; in != LM_NONE && !found && o-- > 0;)
                for (uint32_t k = 0; k < LM_OP_OUT; k++) {
                    int32_t out = p->ops[o].out[k];
                    if (out == LM_NONE || !verify_overlap(&p->values[out], &p->values[in]))
                        continue;
                    if (out != in || o == reader)
                        return lm_fail(error, LLM_E_INTERNAL, "verify: operation %u (%s) writes value %d over value %d, which operation %u (%s) reads", o,
                                       lm_op_name(p->ops[o].kind), out, in, reader, lm_op_name(p->ops[reader].kind));
                    found = true;
                }
            if (in != LM_NONE && !found)
                return lm_fail(error, LLM_E_INTERNAL, "verify: operation %u (%s) reads value %d, which nobody wrote", reader, lm_op_name(p->ops[reader].kind), in);
        }
    return LLM_OK;
}

static llm_status verify_bindings(const lm_program *p, lm_weight *const *weights, llm_error *error)
{
    for (uint32_t i = 0; i < p->n_weights; i++) {
        const verify_weight *w = (const verify_weight *)weights[i];
        const lm_weight_info *a = &p->weights[i];
        if (!w)
            return lm_fail(error, LLM_E_INTERNAL, "verify: weight %u (%s) is missing", i, verify_name(a));
        if (!w->complete)
            return lm_fail(error, LLM_E_INTERNAL, "verify: weight %u (%s) has not been ended", i, verify_name(a));
        if (w->info.type != a->type || !w->info.is_vector != !a->is_vector || w->info.n_rows != a->n_rows || w->info.n_cols != a->n_cols)
            return lm_fail(error, LLM_E_INTERNAL, "verify: weight %u (%s) is bound to another one (%s)", i, verify_name(a), verify_name(&w->info));
    }
    return LLM_OK;
}

static llm_status verify_exec_open(lm_backend *backend, const lm_program *program, lm_weight *const *weights, lm_exec **out, llm_error *error)
{
    LM_TRY(lm_program_check(program, error));
    LM_TRY(verify_hazards(program, error));
    LM_TRY(verify_bindings(program, weights, error));
    verify *v = NULL;
    LM_TRY(verify_try(backend, &v, error));
    verify_exec *exec = verify_new(v, sizeof *exec + program->n_weights * sizeof exec->weights[0], LLM_MEMORY_OTHER, "a program made ready", error);
    if (exec) {
        exec->program = program;
        for (uint32_t i = 0; i < program->n_weights; i++) {
            exec->weights[i] = (verify_weight *)weights[i];
            exec->weights[i]->n_users++;
        }
        *out = (lm_exec *)exec;
    }
    return verify_leave(v, exec ? LLM_OK : LLM_E_MEMORY);
}

static void verify_exec_close(lm_backend *backend, lm_exec *handle)
{
    verify_exec *exec = (verify_exec *)handle;
    if (!exec)
        return;
    verify *v = verify_enter(backend);
    if (exec->n_arenas || exec->n_runs)
        verify_fault(v, "a program is closed while %u arenas and %u runs use it", exec->n_arenas, exec->n_runs);
    else {
        for (uint32_t i = 0; i < exec->program->n_weights; i++)
            exec->weights[i]->n_users--;
        verify_free(v, exec);
    }
    lm_mutex_unlock(&v->lock);
}

/* ---- arenas */

/* Lays the parts out behind the arena; base NULL: only the size. */
static uint64_t verify_arena_lay(verify_arena *arena, const lm_program *program, unsigned char *base)
{
    uint64_t at = (sizeof *arena + 15) & ~(uint64_t)15, width = program->n_vocab;
    uint64_t slots, rows, pages;
    for (uint32_t i = 0; i < program->n_values; i++)
        width = LM_MAX(width, (uint64_t)program->values[i].width);
    slots = at, at += (uint64_t)arena->max_slots * sizeof(verify_slot);
    rows = at, at += (uint64_t)arena->max_rows * sizeof(lm_row);
    pages = at, at += ((uint64_t)arena->max_pages * sizeof(uint32_t) + 15) & ~(uint64_t)15;
    if (base) {
        arena->slots = (void *)(base + slots);
        arena->rows = (void *)(base + rows);
        arena->pages = (void *)(base + pages);
        arena->zero = (void *)(base + at);
    }
    return at + width * sizeof(float);
}

static uint64_t verify_arena_cost(const lm_backend *backend, const lm_program *program, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages)
{
    verify_arena arena = { .max_rows = max_rows, .max_out = max_out, .max_slots = max_slots, .max_pages = max_pages };
    (void)backend;
    return lm_mem_cost(verify_arena_lay(&arena, program, NULL));
}

static llm_status verify_arena_open(lm_backend *backend, const lm_exec *handle, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages,
                                    lm_run_arena **out, llm_error *error)
{
    verify_exec *exec = (verify_exec *)(uintptr_t)handle;
    verify_arena sizes = { .exec = exec, .max_rows = max_rows, .max_out = max_out, .max_slots = max_slots, .max_pages = max_pages };
    if (max_rows == 0 || max_slots == 0 || max_out > max_rows)
        return lm_fail(error, LLM_E_INVALID, "verify: an arena of %u rows, %u outputs and %u sessions", max_rows, max_out, max_slots);
    uint64_t bytes = verify_arena_lay(&sizes, exec->program, NULL);
    verify *v = NULL;
    LM_TRY(verify_try(backend, &v, error));
    verify_arena *arena = lm_fits_size(bytes) ? verify_new(v, (size_t)bytes, LLM_MEMORY_ARENA, "an arena", error) : NULL;
    if (arena) {
        *arena = sizes;
        verify_arena_lay(arena, exec->program, (unsigned char *)arena);
        exec->n_arenas++;
        *out = (lm_run_arena *)arena;
    }
    return verify_leave(v, arena ? LLM_OK : LLM_E_MEMORY);
}

static void verify_arena_close(lm_backend *backend, lm_run_arena *handle)
{
    verify_arena *arena = (verify_arena *)handle;
    if (!arena)
        return;
    verify *v = verify_enter(backend);
    if (arena->run.active)
        verify_fault(v, "an arena is closed while its run is in progress");
    else {
        arena->exec->n_arenas--;
        verify_free(v, arena);
    }
    lm_mutex_unlock(&v->lock);
}

/* ---- runs: the beginning */

static llm_status verify_rows(verify_arena *arena, const lm_batch *batch, llm_error *error)
{
    const lm_program *program = arena->exec->program;
    uint32_t n_out = 0, last = UINT32_MAX;
    for (uint32_t i = 0; i < batch->n_slots; i++)
        arena->slots[i] = (verify_slot){ .position = -1 };
    for (uint32_t r = 0; r < batch->n_rows; r++) {
        const lm_row *row = &batch->rows[r];
        if (row->slot >= batch->n_slots)
            return lm_fail(error, LLM_E_INTERNAL, "verify: row %u is of session %u of %u", r, row->slot, batch->n_slots);
        verify_slot *slot = &arena->slots[row->slot];
        if (row->token < 0 || (uint32_t)row->token >= program->n_vocab || row->position < 0 || row->position == INT32_MAX ||
            row->flags & ~(uint32_t)(LM_ROW_LOGITS | LM_ROW_LONG))
            return lm_fail(error, LLM_E_INTERNAL, "verify: row %u: token %d of %u, position %d, flags %x", r, row->token, program->n_vocab, row->position, row->flags);
        if (slot->n_rows != 0 && (last != row->slot || row->position != slot->position + (int32_t)slot->n_rows))
            return lm_fail(error, LLM_E_INTERNAL, "verify: row %u: session %u is at position %d, where %d was due, its rows one after another", r, row->slot, row->position,
                           slot->position + (int32_t)slot->n_rows);
        if (slot->n_rows != 0 && (row->flags ^ arena->rows[r - 1].flags) & LM_ROW_LONG)
            return lm_fail(error, LLM_E_INTERNAL, "verify: row %u: some rows of session %u are of a long context, some are not", r, row->slot);
        if (slot->n_rows++ == 0)
            slot->position = row->position;
        last = row->slot;
        n_out += (row->flags & LM_ROW_LOGITS) != 0;
        arena->rows[r] = *row;
    }
    return n_out == batch->n_out ? LLM_OK : lm_fail(error, LLM_E_INTERNAL, "verify: %u rows want logits, %u were announced", n_out, batch->n_out);
}

/* Copies the page table of a slot that has rows: the pages that its rows see. */
static llm_status verify_table(verify_arena *arena, const lm_slot *from, uint32_t number, uint32_t *used, llm_error *error)
{
    const lm_program *program = arena->exec->program;
    verify_slot *slot = &arena->slots[number];
    uint32_t first = (uint32_t)slot->position, end = (first + slot->n_rows - 1) / LM_PAGE_POSITIONS + 1;
    slot->first_written = first / LM_PAGE_POSITIONS;
    for (uint32_t c = 0; c < program->n_page_classes; c++) {
        uint32_t keep = lm_program_keep(program, c);
        if (from->n_pages[c] < end)
            return lm_fail(error, LLM_E_INTERNAL, "verify: session %u has %u pages of class %u, its last row needs %u", number, from->n_pages[c], c, end);
        if (end > arena->max_pages - *used)
            return lm_fail(error, LLM_E_INTERNAL, "verify: the sessions of this pass have more than the arena's %u pages", arena->max_pages);
        slot->first_seen[c] = keep == 0 || first < keep ? 0 : (first - keep + 1) / LM_PAGE_POSITIONS;
        slot->pages[c] = arena->pages + *used;
        slot->n_pages[c] = end;
        memcpy(slot->pages[c], from->pages[c], end * sizeof *slot->pages[c]);
        for (uint32_t i = 0; i < slot->first_seen[c]; i++)
            slot->pages[c][i] = VERIFY_NO_PAGE;
        *used += end;
    }
    return LLM_OK;
}

/* Lets go of the pages held so far: of slots before `n_slots` whole, and of slot n_slots before (page_class, page). */
static void verify_let_go(verify_run *run, uint32_t n_slots, uint32_t page_class, uint32_t page)
{
    for (uint32_t s = 0; s < run->n_slots && s <= n_slots; s++) {
        verify_slot *slot = &run->arena->slots[s];
        for (uint32_t c = 0; slot->n_rows && c < run->exec->program->n_page_classes; c++)
            for (uint32_t i = slot->first_seen[c]; i < slot->n_pages[c]; i++) {
                if (s == n_slots && (c > page_class || (c == page_class && i >= page)))
                    return;
                verify_page *held = verify_find(run->pool, c, slot->pages[c][i]);
                if (i >= slot->first_written && !run->done)
                    held->n_writers--;
                else
                    held->n_readers--;
            }
    }
}

/* Takes hold of all pages of the pass: those that rows are written to for writing, so that nobody else, of this pass neither, sees them. */
static llm_status verify_hold(verify_run *run, llm_error *error)
{
    for (uint32_t s = 0; s < run->n_slots; s++) {
        verify_slot *slot = &run->arena->slots[s];
        for (uint32_t c = 0; slot->n_rows && c < run->exec->program->n_page_classes; c++)
            for (uint32_t i = slot->first_seen[c]; i < slot->n_pages[c]; i++) {
                verify_page *page = verify_find(run->pool, c, slot->pages[c][i]);
                bool write = i >= slot->first_written;
                llm_status status = LLM_OK;
                if (!page)
                    status = lm_fail(error, LLM_E_INTERNAL, "verify: page %u of class %u of session %u is number %u, which is not taken", i, c, s, slot->pages[c][i]);
                else if (page->n_writers || (write && page->n_readers))
                    status = lm_fail(error, LLM_E_INTERNAL, "verify: page %u of class %u, number %u: session %u %s it while another run or session %s it", i, c,
                                     slot->pages[c][i], s, write ? "writes" : "reads", page->n_writers ? "writes" : "reads");
                else if (!write && page->place != VERIFY_ANY_PLACE && page->place != i)
                    status = lm_fail(error, LLM_E_INTERNAL, "verify: session %u reads page number %u of class %u as its page %u, but it was written as page %lld", s,
                                     slot->pages[c][i], c, i, (long long)page->place);
                if (status < 0) {
                    verify_let_go(run, s, c, i);
                    return status;
                }
                if (write)
                    page->n_writers++;
                else
                    page->n_readers++;
            }
    }
    return LLM_OK;
}

/* The pass is over: what it wrote may be read (exported) while the run still stands. */
static void verify_written(verify_run *run)
{
    for (uint32_t s = 0; s < run->n_slots; s++) {
        verify_slot *slot = &run->arena->slots[s];
        for (uint32_t c = 0; slot->n_rows && c < run->exec->program->n_page_classes; c++)
            for (uint32_t i = LM_MAX(slot->first_seen[c], slot->first_written); i < slot->n_pages[c]; i++) {
                verify_page *page = verify_find(run->pool, c, slot->pages[c][i]);
                page->n_writers--;
                page->n_readers++;
            }
    }
    run->done = 1;
}

static bool verify_same_streams(const lm_program *a, const lm_program *b)
{
    bool same = a->n_streams == b->n_streams && a->n_page_classes == b->n_page_classes;
    for (uint32_t s = 0; same && s < a->n_streams; s++)
        same = memcmp(&a->streams[s], &b->streams[s], sizeof a->streams[s]) == 0;
    return same;
}

static llm_status verify_begin(verify *v, verify_exec *exec, verify_pool *pool, verify_arena *arena, const lm_batch *batch, llm_error *error)
{
    uint32_t used = 0;
    if (arena->run.active)
        return lm_fail(error, LLM_E_INTERNAL, "verify: the arena serves another run");
    if (arena->exec != exec || !verify_same_streams(exec->program, pool->program))
        return lm_fail(error, LLM_E_INTERNAL, "verify: arena, pool and program were not made for one another");
    if (batch->n_rows == 0 || batch->n_rows > arena->max_rows || batch->n_slots == 0 || batch->n_slots > arena->max_slots || batch->n_out > arena->max_out)
        return lm_fail(error, LLM_E_INTERNAL, "verify: %u rows, %u sessions, %u outputs in an arena of %u, %u, %u", batch->n_rows, batch->n_slots, batch->n_out,
                       arena->max_rows, arena->max_slots, arena->max_out);
    LM_TRY(verify_rows(arena, batch, error));
    for (uint32_t s = 0; s < batch->n_slots; s++)
        if (arena->slots[s].n_rows)
            LM_TRY(verify_table(arena, &batch->slots[s], s, &used, error));
    arena->run = (verify_run){ .owner = v, .exec = exec, .pool = pool, .arena = arena, .n_rows = batch->n_rows, .n_out = batch->n_out, .n_slots = batch->n_slots };
    LM_TRY(verify_hold(&arena->run, error));
    arena->run.active = 1;
    exec->n_runs++;
    pool->n_runs++;
    v->n_objects++;
    return LLM_OK;
}

static llm_status verify_run_begin(lm_backend *backend, lm_exec *exec, lm_pool *pool, lm_run_arena *arena, const lm_batch *batch, lm_run **out, llm_error *error)
{
    verify *v = NULL;
    LM_TRY(verify_try(backend, &v, error));
    llm_status status = verify_begin(v, (verify_exec *)exec, (verify_pool *)pool, (verify_arena *)arena, batch, error);
    if (status == LLM_OK)
        *out = (lm_run *)&((verify_arena *)arena)->run;
    return verify_leave(v, status);
}

/* ---- runs: operations */

static llm_status verify_write_state(verify_run *run, const lm_op *op, llm_error *error)
{
    uint32_t c = run->exec->program->streams[op->state].page_class;
    for (uint32_t r = 0; r < run->n_rows; r++) {
        const lm_row *row = &run->arena->rows[r];
        uint32_t place = (uint32_t)row->position / LM_PAGE_POSITIONS, at = (uint32_t)row->position % LM_PAGE_POSITIONS;
        verify_page *page = verify_find(run->pool, c, run->arena->slots[row->slot].pages[c][place]);
        if (page->place != place) {                         /* a page begun anew: what it held before is gone */
            if (page->place != VERIFY_ANY_PLACE && at != 0)
                return lm_fail(error, LLM_E_INTERNAL, "verify: operation %u writes position %d into a page that was written as page %lld", run->op, row->position,
                               (long long)page->place);
            if (page->place != VERIFY_ANY_PLACE)
                memset(page->written, 0, run->exec->program->n_streams * sizeof page->written[0]);
            page->place = place;
        }
        page->written[op->state] &= ((uint64_t)1 << at) - 1;    /* what came after it was of another timeline */
        page->written[op->state] |= (uint64_t)1 << at;
    }
    return LLM_OK;
}

static llm_status verify_read_state(verify_run *run, const lm_op *op, llm_error *error)
{
    uint32_t c = run->exec->program->streams[op->state].page_class, window = op->u.attend.window;
    for (uint32_t r = 0; r < run->n_rows; r++) {
        const lm_row *row = &run->arena->rows[r];
        const verify_slot *slot = &run->arena->slots[row->slot];
        uint32_t end = (uint32_t)row->position + 1, first = window == 0 || window > end ? 0 : end - window;
        for (uint32_t p = first; p < end; p++) {
            uint32_t i = p / LM_PAGE_POSITIONS;
            const verify_page *page = i < slot->first_seen[c] ? NULL : verify_find(run->pool, c, slot->pages[c][i]);
            if (!page || !(page->written[op->state] >> (p % LM_PAGE_POSITIONS) & 1))
                return lm_fail(error, LLM_E_INTERNAL, "verify: operation %u (%s, layer %d): row %u at position %d of session %u reads state at position %u of stream %d, %s", run->op,
                               lm_op_name(op->kind), op->layer, r, row->position, row->slot, p, op->state, page ? "which was not written" : "which is not kept");
        }
    }
    return LLM_OK;
}

static bool verify_cancelled(const lm_run_control *control)
{
    for (uint32_t i = 0; i < control->n_cancel; i++)
        if (atomic_load_explicit(control->cancel[i], memory_order_relaxed))
            return true;
    return false;
}

static llm_status verify_step(verify_run *run, const lm_run_control *control, llm_error *error)
{
    const lm_program *program = run->exec->program;
    if (!run->active || run->dead)
        return lm_fail(error, LLM_E_INTERNAL, "verify: a step of a run that %s", run->dead ? "failed" : "has ended");
    for (; run->op < program->n_ops; run->op++) {
        const lm_op *op = &program->ops[run->op];
        llm_status status = LLM_OK;
        if (verify_cancelled(control))
            return lm_fail(error, LLM_E_CANCELLED, "cancelled at operation %u of %u", run->op, program->n_ops);
        if (run->op >= control->stop_op || (control->deadline_ns != INT64_MAX && lm_now_ns() >= control->deadline_ns))
            return LLM_MORE;
        if (lm_op_writes_state(op->kind))
            status = verify_write_state(run, op, error);
        if (status == LLM_OK && lm_op_reads_state(op->kind))
            status = verify_read_state(run, op, error);
        if (status < 0) {
            run->dead = 1;
            return status;
        }
    }
    if (!run->done)
        verify_written(run);
    return LLM_OK;
}

static llm_status verify_run_step(lm_backend *backend, lm_run *run, const lm_run_control *control, llm_error *error)
{
    verify *v = NULL;
    LM_TRY(verify_try(backend, &v, error));
    return verify_leave(v, verify_step((verify_run *)run, control, error));
}

static const void *verify_run_value(lm_backend *backend, lm_run *handle, int32_t value, uint32_t index)
{
    verify *v = verify_enter(backend);
    const verify_run *run = (const verify_run *)handle;
    const lm_program *program = run->exec->program;
    const void *out = NULL;
    if (!run->active || value < 0 || (uint32_t)value >= program->n_values)
        verify_fault(v, "value %d of a run with %u values is asked for", value, program->n_values);
    else {
        const lm_value *asked = &program->values[value];
        uint32_t n = asked->rows == LM_ROWS_OUT ? run->n_out : run->n_rows;
        if (index >= n)
            verify_fault(v, "row %u of value %d is asked for, which has %u", index, value, n);
        else if (asked->first_op >= run->op || (asked->last_op + 1 < run->op && value != program->logits))
            verify_fault(v, "value %d is asked for at operation %u, but lives from %u to %u", value, run->op, asked->first_op, asked->last_op);
        else
            out = run->arena->zero;
    }
    lm_mutex_unlock(&v->lock);
    return out;
}

static void verify_run_end(lm_backend *backend, lm_run *handle)
{
    verify_run *run = (verify_run *)handle;
    if (!run)
        return;
    verify *v = verify_enter(backend);
    if (!run->active)
        verify_fault(v, "a run is ended twice");
    else {
        verify_let_go(run, run->n_slots, 0, 0);
        run->active = 0;
        run->exec->n_runs--;
        run->pool->n_runs--;
        v->n_objects--;
    }
    lm_mutex_unlock(&v->lock);
}

/* ---- the table */

static const lm_backend_table verify_backend_table = {
    .name = "verify",
    .close = verify_close,
    .device = verify_device,
    .can_run = verify_can_run,
    .weight_cost = verify_weight_cost,
    .weight_begin = verify_weight_begin,
    .weight_rows = verify_weight_rows,
    .weight_end = verify_weight_end,
    .weight_free = verify_weight_free,
    .pool_open = verify_pool_open,
    .pool_close = verify_pool_close,
    .pool_page_cost = verify_pool_page_cost,
    .page_take = verify_page_take,
    .page_give = verify_page_give,
    .page_copy = verify_page_copy,
    .pool_page_bytes = verify_pool_page_bytes,
    .page_export = verify_page_export,
    .page_import = verify_page_import,
    .exec_open = verify_exec_open,
    .exec_close = verify_exec_close,
    .arena_cost = verify_arena_cost,
    .arena_open = verify_arena_open,
    .arena_close = verify_arena_close,
    .run_begin = verify_run_begin,
    .run_step = verify_run_step,
    .run_value = verify_run_value,
    .run_end = verify_run_end,
};

llm_status lm_verify_backend_open(lm_host *host, lm_backend **out, llm_error *error)
{
    verify *v = lm_mem_new(&host->mem, sizeof *v, LLM_MEMORY_OTHER);
    if (!v)
        return lm_fail_memory(error, "the verify backend", sizeof *v);
    llm_status status = lm_mutex_init(&v->lock, error);
    if (status < 0) {
        lm_mem_free(&host->mem, v);
        return status;
    }
    v->base.table = &verify_backend_table;
    v->base.host = host;
    *out = &v->base;
    return LLM_OK;
}

uint64_t lm_verify_backend_objects(const lm_backend *backend)
{
    verify *v = verify_enter(backend);
    uint64_t n = v->n_objects;
    lm_mutex_unlock(&v->lock);
    return n;
}
