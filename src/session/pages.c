/* SPDX-License-Identifier: MIT
 * Owners of pages. A page with more than one owner is immutable; who wants to write into it takes a copy first.
 *
 * Invariants, under the lock: 1. owners[class][page] is the number of tables that hold the page. 2. 0: the backend may give the
 * number out again. 3. Within a table every page is held once. 4. first <= n <= cap in every class; a class that keeps all has first 0. */
#include "session/pages.h"

#include "base/size.h"

#include <string.h>

enum { PAGES_STEP = 16 };                                   /* tables grow by so many pages at least */

llm_status lm_pages_open(lm_host *host, lm_backend *backend, const lm_program *program, int32_t state_type, lm_pages *out, llm_error *error)
{
    memset(out, 0, sizeof *out);
    out->host = host;
    out->backend = backend;
    out->n_classes = program->n_page_classes;
    for (uint32_t c = 0; c < out->n_classes; c++)
        out->keep[c] = lm_program_keep(program, c);
    LM_TRY(lm_mutex_init(&out->lock, error));
    llm_status status = backend->table->pool_open(backend, program, state_type, &out->pool, error);
    if (status < 0)
        lm_mutex_destroy(&out->lock);
    return status;
}

void lm_pages_close(lm_pages *pages)
{
    pages->backend->table->pool_close(pages->backend, pages->pool);
    for (uint32_t c = 0; c < pages->n_classes; c++)
        lm_mem_free(&pages->host->mem, pages->owners[c]);
    lm_mutex_destroy(&pages->lock);
}

uint32_t lm_pages_count(uint64_t n_positions)
{
    return (uint32_t)((n_positions + LM_PAGE_POSITIONS - 1) / LM_PAGE_POSITIONS);
}

/* The first page that a row at `position` sees. */
static uint32_t pages_seen(uint32_t keep, uint64_t position)
{
    return keep == 0 || position < keep ? 0 : (uint32_t)((position - keep + 1) / LM_PAGE_POSITIONS);
}

/* Before a pass at p the table begins at the page of p - slack - keep + 1 at the latest, and the pass writes up to p + n_rows. */
uint32_t lm_pages_most(uint32_t keep, uint32_t n_ctx, uint32_t n_rows)
{
    uint64_t span = (uint64_t)keep + LM_PAGE_SLACK + n_rows - 1;
    uint64_t most = (span + 2 * LM_PAGE_POSITIONS - 2) / LM_PAGE_POSITIONS;
    return keep == 0 ? lm_pages_count(n_ctx) : (uint32_t)LM_MIN(most, (uint64_t)lm_pages_count(n_ctx));
}

uint32_t lm_page_table_room(const lm_program *program, uint32_t n_ctx, uint32_t n_rows)
{
    uint32_t recycled = 0;
    for (uint32_t c = 0; c < program->n_page_classes; c++) {
        uint32_t keep = lm_program_keep(program, c);
        recycled = LM_MAX(recycled, keep != 0 && keep < n_ctx ? lm_pages_most(keep, n_ctx, n_rows) : 0);
    }
    return lm_pages_count(n_ctx) + recycled;
}

uint64_t lm_page_table_block_bytes(uint32_t n_classes, uint32_t cap)
{
    return (uint64_t)n_classes * cap * sizeof(uint32_t);
}

llm_status lm_page_table_reserve(lm_pages *pages, lm_page_table *table, uint32_t n, llm_error *error)
{
    if (n <= table->cap || pages->n_classes == 0)
        return LLM_OK;
    uint64_t bytes = lm_page_table_block_bytes(pages->n_classes, n);
    uint32_t *block = lm_mem_new(&pages->host->mem, (size_t)bytes, LLM_MEMORY_OTHER);
    if (!block)
        return lm_fail_memory(error, "a page table", (size_t)bytes);
    for (uint32_t c = 0; c < pages->n_classes; c++)
        if (table->n[c])
            memcpy(block + (size_t)c * n, table->pages[c], table->n[c] * sizeof *block);
    lm_mem_free(&pages->host->mem, table->pages[0]);
    for (uint32_t c = 0; c < pages->n_classes; c++)
        table->pages[c] = block + (size_t)c * n;
    table->cap = n;
    return LLM_OK;
}

static void pages_give(lm_pages *pages, uint32_t page_class, uint32_t page)
{
    if (--pages->owners[page_class][page] == 0)
        pages->backend->table->page_give(pages->backend, pages->pool, page_class, page);
}

static llm_status pages_take(lm_pages *pages, uint32_t page_class, uint32_t *out, llm_error *error)
{
    uint32_t page = 0;
    LM_TRY(pages->backend->table->page_take(pages->backend, pages->pool, page_class, &page, error));
    if (page >= pages->n_owners[page_class]) {
        uint32_t n = LM_MAX(page + 1, pages->n_owners[page_class] * 2);
        n = LM_MAX(n, (uint32_t)PAGES_STEP);
        uint32_t *owners = lm_mem_grow(&pages->host->mem, pages->owners[page_class], (size_t)n * sizeof *owners, LLM_MEMORY_OTHER);
        if (!owners) {
            pages->backend->table->page_give(pages->backend, pages->pool, page_class, page);
            return lm_fail_memory(error, "the table of page owners", (size_t)n * sizeof *owners);
        }
        pages->owners[page_class] = owners;
        pages->n_owners[page_class] = n;
    }
    pages->owners[page_class][page] = 1;
    *out = page;
    return LLM_OK;
}

/* Replaces a shared page of the table by one of its own. */
static llm_status pages_own(lm_pages *pages, lm_page_table *table, uint32_t page_class, uint32_t i, bool copy, llm_error *error)
{
    uint32_t old = table->pages[page_class][i], fresh = 0;
    if (pages->owners[page_class][old] == 1)
        return LLM_OK;
    LM_TRY(pages_take(pages, page_class, &fresh, error));
    if (copy) {
        llm_status status = pages->backend->table->page_copy(pages->backend, pages->pool, page_class, old, fresh, error);
        if (status < 0) {
            pages_give(pages, page_class, fresh);
            return status;
        }
    }
    table->pages[page_class][i] = fresh;
    pages_give(pages, page_class, old);
    return LLM_OK;
}

/* Cuts one class. Under the lock. */
static void pages_cut(lm_pages *pages, lm_page_table *table, uint32_t page_class, uint32_t n)
{
    while (table->n[page_class] > LM_MAX(n, table->first[page_class]))
        pages_give(pages, page_class, table->pages[page_class][--table->n[page_class]]);
    if (table->n[page_class] > n)
        table->first[page_class] = table->n[page_class] = n;
}

/* Extends one class. Under the lock; there is room. On failure some are there. */
static llm_status pages_extend(lm_pages *pages, lm_page_table *table, uint32_t page_class, uint32_t n, llm_error *error)
{
    while (table->n[page_class] < n) {
        LM_TRY(pages_take(pages, page_class, &table->pages[page_class][table->n[page_class]], error));
        table->n[page_class]++;
    }
    return LLM_OK;
}

llm_status lm_page_table_extend(lm_pages *pages, lm_page_table *table, uint32_t page_class, uint32_t n, llm_error *error)
{
    LM_TRY(lm_page_table_reserve(pages, table, n, error));
    lm_mutex_lock(&pages->lock);
    uint32_t before = table->n[page_class];
    llm_status status = pages_extend(pages, table, page_class, n, error);
    if (status < 0)
        pages_cut(pages, table, page_class, before);
    lm_mutex_unlock(&pages->lock);
    return status;
}

void lm_page_table_begin(lm_page_table *table, uint32_t page_class, uint32_t first)
{
    for (uint32_t i = 0; i < first; i++)
        table->pages[page_class][i] = LM_NO_PAGE;
    table->first[page_class] = table->n[page_class] = first;
}

llm_status lm_page_table_write(lm_pages *pages, lm_page_table *table, uint64_t begin, uint64_t end, llm_error *error)
{
    uint32_t first = (uint32_t)(begin / LM_PAGE_POSITIONS), last = lm_pages_count(end), before[LM_MAX_PAGE_CLASSES];
    llm_status status = LLM_OK;
    if (last > table->cap) {
        uint32_t cap = LM_MAX(last, table->cap + LM_MAX(table->cap / 2, (uint32_t)PAGES_STEP));
        LM_TRY(lm_page_table_reserve(pages, table, cap, error));
    }
    memcpy(before, table->n, sizeof before);
    lm_mutex_lock(&pages->lock);
    for (uint32_t c = 0; c < pages->n_classes && status == LLM_OK; c++) {
        for (uint32_t i = first; i < LM_MIN(last, before[c]) && status == LLM_OK; i++)
            status = pages_own(pages, table, c, i, (uint64_t)i * LM_PAGE_POSITIONS < begin, error);
        if (status == LLM_OK)
            status = pages_extend(pages, table, c, last, error);
    }
    for (uint32_t c = 0; c < pages->n_classes && status < 0; c++)
        pages_cut(pages, table, c, before[c]);              /* copies that were made stay: they say the same */
    lm_mutex_unlock(&pages->lock);
    return status;
}

void lm_page_table_cut(lm_pages *pages, lm_page_table *table, uint32_t n)
{
    lm_mutex_lock(&pages->lock);
    for (uint32_t c = 0; c < pages->n_classes; c++)
        pages_cut(pages, table, c, n);
    lm_mutex_unlock(&pages->lock);
}

void lm_page_table_trim(lm_pages *pages, lm_page_table *table, uint64_t position, bool recycle)
{
    position -= LM_MIN(position, (uint64_t)LM_PAGE_SLACK);
    for (uint32_t c = 0; c < pages->n_classes; c++) {
        uint32_t first = LM_MIN(pages_seen(pages->keep[c], position), table->n[c]);
        if (table->first[c] >= first)
            continue;
        lm_mutex_lock(&pages->lock);
        for (uint32_t i = table->first[c]; i < first; i++) {
            uint32_t page = table->pages[c][i];
            table->pages[c][i] = LM_NO_PAGE;
            if (recycle && pages->owners[c][page] == 1 && table->n[c] < table->cap)
                table->pages[c][table->n[c]++] = page;
            else
                pages_give(pages, c, page);
        }
        lm_mutex_unlock(&pages->lock);
        table->first[c] = first;
    }
}

bool lm_page_table_holds(const lm_pages *pages, const lm_page_table *table, uint64_t position)
{
    for (uint32_t c = 0; c < pages->n_classes; c++)
        if (table->first[c] > pages_seen(pages->keep[c], position))
            return false;
    return true;
}

void lm_page_table_restart(lm_pages *pages, lm_page_table *table)
{
    for (uint32_t c = 0; c < pages->n_classes; c++) {
        uint32_t first = table->first[c];
        if (first == 0)
            continue;
        memmove(table->pages[c], table->pages[c] + first, (table->n[c] - first) * sizeof *table->pages[c]);
        table->n[c] -= first;
        table->first[c] = 0;
    }
}

llm_status lm_page_table_share(lm_pages *pages, const lm_page_table *table, uint32_t n, lm_page_table *out, llm_error *error)
{
    LM_TRY(lm_page_table_reserve(pages, out, n, error));
    lm_mutex_lock(&pages->lock);
    for (uint32_t c = 0; c < pages->n_classes; c++) {
        out->n[c] = LM_MIN(n, table->n[c]);
        out->first[c] = LM_MIN(table->first[c], out->n[c]);
        for (uint32_t i = 0; i < out->n[c]; i++) {
            out->pages[c][i] = table->pages[c][i];
            if (i >= out->first[c])
                pages->owners[c][out->pages[c][i]]++;
        }
    }
    lm_mutex_unlock(&pages->lock);
    return LLM_OK;
}

void lm_page_table_free(lm_pages *pages, lm_page_table *table)
{
    lm_page_table_cut(pages, table, 0);
    lm_mem_free(&pages->host->mem, table->pages[0]);
    memset(table, 0, sizeof *table);
}
