/* SPDX-License-Identifier: MIT
 * State of the CPU backend, page by page. Owns the bytes; who owns a page number, and how often, is the session's.
 *
 * A page of a class holds LM_PAGE_POSITIONS positions of every stream of the class: stream by stream, head by head, K as
 * [positions / 16][k_dim][16], then V as [positions][v_dim], f16 or f32. Each page is one block of the allocator, given back when the page is.
 * Nothing in a new page is set: positions that no row has written take no part in anything.
 *
 * Invariants: a number below 64 << n_segments is a pointer (even: taken) or a link of the free list (odd). Segments never
 * move, so a taken page's pointer may be read while others come and go.
 * Threads: taking and giving under the caller's lock; reading taken pages any. */
#include "backend/cpu/cpu.h"

#include "base/size.h"

#include <string.h>

enum { PAGES_NONE = 0x7fffffff };                          /* end of the free list; also the most numbers there can be */

/* Item bytes of a state type; 0: not here. */
static uint32_t cpu_pages_item(int32_t state_type)
{
    return state_type == LLM_STATE_TYPE_F16 ? 2 : state_type == LLM_STATE_TYPE_F32 ? 4 : 0;
}

/* Places of one class's streams; returns the page's bytes, UINT64_MAX if they do not fit. */
static uint64_t cpu_pages_layout(const lm_program *program, uint32_t item, uint32_t page_class, lm_cpu_stream *streams)
{
    uint64_t at = 0;
    for (uint32_t s = 0; s < program->n_streams; s++) {
        const lm_stream *from = &program->streams[s];
        uint64_t k_bytes, v_bytes, head_bytes, bytes;
        if (from->page_class != page_class)
            continue;
        if (!lm_mul_u64((uint64_t)LM_PAGE_POSITIONS * item, from->k_dim, &k_bytes) || !lm_mul_u64((uint64_t)LM_PAGE_POSITIONS * item, from->v_dim, &v_bytes) ||
            !lm_add_u64(k_bytes, v_bytes, &head_bytes) || !lm_mul_u64(head_bytes, from->n_heads, &bytes))
            return UINT64_MAX;
        if (streams)
            streams[s] = (lm_cpu_stream){ page_class, from->n_heads, from->k_dim, from->v_dim, at, k_bytes, head_bytes };
        if (!lm_add_u64(at, bytes, &at))
            return UINT64_MAX;
    }
    return lm_fits_size(at) ? at : UINT64_MAX;
}

uint64_t lm_cpu_pool_page_cost(const lm_backend *backend, const lm_program *program, int32_t state_type, uint32_t page_class)
{
    uint32_t item = cpu_pages_item(state_type);
    (void)backend;
    uint64_t bytes = item ? cpu_pages_layout(program, item, page_class, NULL) : UINT64_MAX;
    return bytes == UINT64_MAX ? UINT64_MAX : lm_mem_cost(bytes);
}

llm_status lm_cpu_pool_open(lm_backend *backend, const lm_program *program, int32_t state_type, lm_pool **out, llm_error *error)
{
    uint32_t item = cpu_pages_item(state_type);
    size_t size = sizeof(lm_cpu_pool) + program->n_streams * sizeof(lm_cpu_stream);
    if (!item)
        return lm_fail(error, LLM_E_UNSUPPORTED, "the CPU keeps state as f16 or f32, not as type %d", state_type);
    if (program->n_page_classes > LM_MAX_PAGE_CLASSES)
        return lm_fail(error, LLM_E_INTERNAL, "%u page classes of at most %d", program->n_page_classes, LM_MAX_PAGE_CLASSES);
    lm_cpu_pool *pool = lm_mem_new(&backend->host->mem, size, LLM_MEMORY_STATE);
    if (!pool)
        return lm_fail_memory(error, "the state's pool", size);
    pool->state_type = state_type;
    pool->item_bytes = item;
    pool->n_streams = program->n_streams;
    pool->n_classes = program->n_page_classes;
    for (uint32_t c = 0; c < pool->n_classes; c++) {
        pool->classes[c].first_free = PAGES_NONE;
        pool->classes[c].page_bytes = cpu_pages_layout(program, item, c, pool->streams);
        if (pool->classes[c].page_bytes == UINT64_MAX) {
            lm_mem_free(&backend->host->mem, pool);
            return lm_fail(error, LLM_E_LIMIT, "a page of state does not fit: %d positions of %u streams", LM_PAGE_POSITIONS, program->n_streams);
        }
    }
    *out = (lm_pool *)pool;
    return LLM_OK;
}

void lm_cpu_pool_close(lm_backend *backend, lm_pool *handle)
{
    lm_cpu_pool *pool = (lm_cpu_pool *)handle;
    if (!pool)
        return;
    for (uint32_t c = 0; c < pool->n_classes; c++)
        for (uint32_t s = 0; s < pool->classes[c].n_segments; s++) {
            for (uint32_t i = 0; i < (uint32_t)LM_CPU_FIRST_SEGMENT << s; i++)
                if (!(pool->classes[c].segments[s][i] & 1))
                    lm_mem_free(&backend->host->mem, (void *)pool->classes[c].segments[s][i]);
            lm_mem_free(&backend->host->mem, pool->classes[c].segments[s]);
        }
    lm_mem_free(&backend->host->mem, pool);
}

/* Where a number's entry stands; NULL beyond the table. Numbers below 64 are segment 0, below 192 segment 1, and so on. Reads
 * nothing that taking another page writes. */
static uintptr_t *cpu_pages_entry(const lm_cpu_page_table *table, uint32_t page)
{
    uint32_t first = 0, s = 0;
    while (s < LM_CPU_PAGE_SEGMENTS && page - first >= (uint32_t)LM_CPU_FIRST_SEGMENT << s)
        first += (uint32_t)LM_CPU_FIRST_SEGMENT << s++;
    return s < LM_CPU_PAGE_SEGMENTS && table->segments[s] ? &table->segments[s][page - first] : NULL;
}

uint8_t *lm_cpu_page(const lm_cpu_pool *pool, uint32_t page_class, uint32_t page)
{
    uintptr_t *entry = page_class < pool->n_classes ? cpu_pages_entry(&pool->classes[page_class], page) : NULL;
    return entry && !(*entry & 1) ? (uint8_t *)*entry : NULL;
}

/* One more segment, its numbers linked in front of the free list: rising, or in the hostile build all over the place. */
static llm_status cpu_pages_grow(lm_mem *mem, lm_cpu_page_table *table, llm_error *error)
{
    uint32_t s = table->n_segments, n = (uint32_t)LM_CPU_FIRST_SEGMENT << s;
    uint32_t first = ((uint32_t)LM_CPU_FIRST_SEGMENT << s) - LM_CPU_FIRST_SEGMENT, step = LM_HOSTILE ? 37 : 1;
    if (s == LM_CPU_PAGE_SEGMENTS)
        return lm_fail(error, LLM_E_LIMIT, "more than %u pages of state", first);
    uintptr_t *segment = lm_mem_new_array(mem, n, sizeof *segment, LLM_MEMORY_STATE);
    if (!segment)
        return lm_fail_memory(error, "the table of state pages", n * sizeof *segment);
    uint32_t next = table->first_free;
    for (uint32_t i = n; i-- > 0;) {
        uint32_t place = i * step % n;                      /* n is a power of two, step is odd: every place once */
        segment[place] = (uintptr_t)next << 1 | 1;
        next = first + place;
    }
    table->first_free = next;
    table->segments[s] = segment;
    table->n_segments = s + 1;
    return LLM_OK;
}

llm_status lm_cpu_page_take(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t *out, llm_error *error)
{
    lm_cpu_pool *pool = (lm_cpu_pool *)handle;
    lm_mem *mem = &backend->host->mem;
    if (page_class >= pool->n_classes)
        return lm_fail(error, LLM_E_INTERNAL, "page class %u of %u", page_class, pool->n_classes);
    lm_cpu_page_table *table = &pool->classes[page_class];
    if (table->first_free == PAGES_NONE)
        LM_TRY(cpu_pages_grow(mem, table, error));
    uint8_t *bytes = lm_mem_raw(mem, (size_t)table->page_bytes, LLM_MEMORY_STATE);
    if (!bytes)
        return lm_fail_memory(error, "a page of state", (size_t)table->page_bytes);
    uint32_t page = table->first_free;
    uintptr_t *entry = cpu_pages_entry(table, page);
    table->first_free = (uint32_t)(*entry >> 1);
    *entry = (uintptr_t)bytes;
    *out = page;
    return LLM_OK;
}

void lm_cpu_page_give(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t page)
{
    lm_cpu_pool *pool = (lm_cpu_pool *)handle;
    uint8_t *bytes = lm_cpu_page(pool, page_class, page);
    if (!bytes)
        return;
    lm_mem_free(&backend->host->mem, bytes);
    *cpu_pages_entry(&pool->classes[page_class], page) = (uintptr_t)pool->classes[page_class].first_free << 1 | 1;
    pool->classes[page_class].first_free = page;
}

/* Both pages or E_INTERNAL. */
static llm_status cpu_pages_get(const lm_cpu_pool *pool, uint32_t page_class, uint32_t page, uint8_t **out, llm_error *error)
{
    *out = lm_cpu_page(pool, page_class, page);
    return *out ? LLM_OK : lm_fail(error, LLM_E_INTERNAL, "page %u of class %u is not taken", page, page_class);
}

llm_status lm_cpu_page_copy(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t from, uint32_t to, llm_error *error)
{
    lm_cpu_pool *pool = (lm_cpu_pool *)handle;
    uint8_t *a, *b;
    (void)backend;
    LM_TRY(cpu_pages_get(pool, page_class, from, &a, error));
    LM_TRY(cpu_pages_get(pool, page_class, to, &b, error));
    if (a != b)
        memcpy(b, a, (size_t)pool->classes[page_class].page_bytes);
    return LLM_OK;
}

uint64_t lm_cpu_pool_page_bytes(const lm_backend *backend, const lm_pool *handle, uint32_t page_class)
{
    const lm_cpu_pool *pool = (const lm_cpu_pool *)handle;
    (void)backend;
    return page_class < pool->n_classes ? pool->classes[page_class].page_bytes : 0;
}

/* Between the canonical layout, stream by stream K [position][head][k_dim] then V [position][head][v_dim], and ours. */
static void cpu_pages_convert(const lm_cpu_pool *pool, uint32_t page_class, uint8_t *page, uint8_t *canonical, bool out)
{
    size_t item = pool->item_bytes;
    for (uint32_t s = 0; s < pool->n_streams; s++) {
        const lm_cpu_stream *stream = &pool->streams[s];
        if (stream->page_class != page_class)
            continue;
        for (size_t p = 0; p < LM_PAGE_POSITIONS; p++)
            for (uint32_t h = 0; h < stream->n_heads; h++) {
                uint8_t *k = page + stream->offset + h * stream->head_bytes + (p / LM_KEYS * stream->k_dim * LM_KEYS + p % LM_KEYS) * item;
                for (uint32_t d = 0; d < stream->k_dim; d++, k += LM_KEYS * item, canonical += item)
                    memcpy(out ? canonical : k, out ? k : canonical, item);
            }
        for (size_t p = 0; p < LM_PAGE_POSITIONS; p++)
            for (uint32_t h = 0; h < stream->n_heads; h++) {
                uint8_t *v = page + stream->offset + h * stream->head_bytes + stream->k_bytes + p * stream->v_dim * item;
                memcpy(out ? canonical : v, out ? v : canonical, stream->v_dim * item);
                canonical += stream->v_dim * item;
            }
    }
}

llm_status lm_cpu_page_export(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t page, void *out, llm_error *error)
{
    lm_cpu_pool *pool = (lm_cpu_pool *)handle;
    uint8_t *bytes;
    (void)backend;
    LM_TRY(cpu_pages_get(pool, page_class, page, &bytes, error));
    cpu_pages_convert(pool, page_class, bytes, out, true);
    return LLM_OK;
}

llm_status lm_cpu_page_import(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t page, const void *in, llm_error *error)
{
    lm_cpu_pool *pool = (lm_cpu_pool *)handle;
    uint8_t *bytes;
    (void)backend;
    LM_TRY(cpu_pages_get(pool, page_class, page, &bytes, error));
    cpu_pages_convert(pool, page_class, bytes, (uint8_t *)(uintptr_t)in, false);
    return LLM_OK;
}
