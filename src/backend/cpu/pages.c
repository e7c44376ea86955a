/* SPDX-License-Identifier: MIT
 * State of the CPU backend, page by page. Owns the bytes; who owns a page number, and how often, is the session's.
 *
 * A page of a class holds LM_PAGE_POSITIONS positions of every stream of the class: stream by stream, head by head, K then V. Of f16 and
 * f32 K is [positions / 16][k_dim][16] and V [positions][v_dim]; of int8 both are groups of 16 positions with their scales
 * (kernels/kernels.h). Each page is one block of the allocator, given back when the page is.
 * Nothing in a new page is set: positions that no row has written take no part in anything.
 *
 * Invariants: a number below 64 << n_segments is a pointer (even: taken) or a link of the free list (odd). Segments never
 * move, so a taken page's pointer may be read while others come and go.
 * Threads: taking and giving under the caller's lock; reading taken pages any. */
#include "backend/cpu/cpu.h"

#include "base/size.h"

#include <string.h>

enum { PAGES_NONE = 0x7fffffff };                          /* end of the free list; also the most numbers there can be */

llm_status lm_cpu_pool_can(int32_t state_type, llm_error *error)
{
    if (lm_state_row_bytes(state_type, 1) == 0)
        return lm_fail(error, LLM_E_UNSUPPORTED, "the CPU keeps state as f16, f32 or int8, not as type %d", state_type);
    return LLM_OK;
}

/* Bytes of 16 positions of one head, K or V, as the kernels keep them. */
static size_t cpu_pages_group(int32_t state_type, bool is_v, uint32_t dim)
{
    if (state_type == LLM_STATE_TYPE_INT8)
        return is_v ? lm_i8_v_group(dim) : lm_i8_k_group(dim);
    return LM_KEYS * (size_t)lm_state_row_bytes(state_type, dim);
}

/* Places of one class's streams; returns the page's bytes, UINT64_MAX if they do not fit. */
static uint64_t cpu_pages_layout(const lm_program *program, int32_t state_type, uint32_t page_class, lm_cpu_stream *streams)
{
    uint64_t at = 0, n_groups = LM_PAGE_POSITIONS / LM_KEYS;
    for (uint32_t s = 0; s < program->n_streams; s++) {
        const lm_stream *from = &program->streams[s];
        uint64_t k_bytes, v_bytes, head_bytes, bytes;
        if (from->page_class != page_class)
            continue;
        if (!lm_mul_u64(n_groups, cpu_pages_group(state_type, false, from->k_dim), &k_bytes) ||
            !lm_mul_u64(n_groups, cpu_pages_group(state_type, true, from->v_dim), &v_bytes) ||
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
    (void)backend;
    uint64_t bytes = lm_state_row_bytes(state_type, 1) != 0 ? cpu_pages_layout(program, state_type, page_class, NULL) : UINT64_MAX;
    return bytes == UINT64_MAX ? UINT64_MAX : lm_mem_cost(bytes);
}

llm_status lm_cpu_pool_open(lm_backend *backend, const lm_program *program, int32_t state_type, lm_pool **out, llm_error *error)
{
    size_t size = sizeof(lm_cpu_pool) + program->n_streams * sizeof(lm_cpu_stream);
    LM_TRY(lm_cpu_pool_can(state_type, error));
    if (program->n_page_classes > LM_MAX_PAGE_CLASSES)
        return lm_fail(error, LLM_E_INTERNAL, "%u page classes of at most %d", program->n_page_classes, LM_MAX_PAGE_CLASSES);
    lm_cpu_pool *pool = lm_mem_new(&backend->host->mem, size, LLM_MEMORY_STATE);
    if (!pool)
        return lm_fail_memory(error, "the state's pool", size);
    pool->state_type = state_type;
    pool->n_streams = program->n_streams;
    pool->n_classes = program->n_page_classes;
    for (uint32_t c = 0; c < pool->n_classes; c++) {
        pool->classes[c].first_free = PAGES_NONE;
        pool->classes[c].page_bytes = cpu_pages_layout(program, state_type, c, pool->streams);
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
    uint64_t bytes = 0;
    for (uint32_t s = 0; s < pool->n_streams; s++) {
        const lm_cpu_stream *stream = &pool->streams[s];
        if (stream->page_class == page_class)
            bytes += LM_PAGE_POSITIONS * stream->n_heads * (lm_state_row_bytes(pool->state_type, stream->k_dim) + lm_state_row_bytes(pool->state_type, stream->v_dim));
    }
    return bytes;
}

/* n items of `item` bytes, a known number: between a row and places `stride` items apart. */
#define CPU_PAGES_ITEMS(type)                                                       \
    for (size_t d = 0; d < n; d++) {                                                \
        uint8_t *a = ours + d * stride * sizeof(type), *b = row + d * sizeof(type); \
        memcpy(out ? b : a, out ? a : b, sizeof(type));                             \
    }
static void cpu_pages_items(uint8_t *ours, size_t stride, uint8_t *row, size_t n, size_t item, bool out)
{
    if (stride == 1)
        memcpy(out ? row : ours, out ? ours : row, n * item);
    else if (item == sizeof(uint16_t))
        CPU_PAGES_ITEMS(uint16_t)
    else
        CPU_PAGES_ITEMS(uint32_t)
}
#undef CPU_PAGES_ITEMS

/* The same of int8: its scale, then its levels. */
static void cpu_pages_levels(bool is_v, uint32_t dim, size_t at, uint8_t *group, uint8_t *row, bool out)
{
    memcpy(out ? row : group + at * sizeof(float), out ? group + at * sizeof(float) : row, sizeof(float));
    row += sizeof(float);
    for (size_t d = 0; d < dim; d++) {
        uint8_t *ours = group + (is_v ? lm_i8_v_at(at, d, dim) : lm_i8_k_at(at, d));
        *(out ? &row[d] : ours) = *(out ? ours : &row[d]);
    }
    for (size_t d = dim; !out && !is_v && d < lm_i8_padded(dim); d++)
        group[lm_i8_k_at(at, d)] = 0;
}

/* One head at one position between its row of the canonical layout and `part`, its K or V of all the page's positions. */
static void cpu_pages_row(int32_t state_type, bool is_v, uint32_t dim, size_t p, uint8_t *part, uint8_t *row, bool out)
{
    size_t item = state_type == LLM_STATE_TYPE_F16 ? 2 : 4, at = p % LM_KEYS;
    uint8_t *group = part + p / LM_KEYS * cpu_pages_group(state_type, is_v, dim);
    if (state_type == LLM_STATE_TYPE_INT8)
        cpu_pages_levels(is_v, dim, at, group, row, out);
    else
        cpu_pages_items(group + (is_v ? at * dim : at) * item, is_v ? 1 : LM_KEYS, row, dim, item, out);
}

/* Between the canonical layout, stream by stream K [position][head] then V [position][head], and ours. */
static void cpu_pages_convert(const lm_cpu_pool *pool, uint32_t page_class, uint8_t *page, uint8_t *canonical, bool out)
{
    for (uint32_t s = 0; s < pool->n_streams; s++) {
        const lm_cpu_stream *stream = &pool->streams[s];
        if (stream->page_class != page_class)
            continue;
        for (int is_v = 0; is_v < 2; is_v++) {
            uint32_t dim = is_v ? stream->v_dim : stream->k_dim;
            for (size_t p = 0; p < LM_PAGE_POSITIONS; p++)
                for (uint32_t h = 0; h < stream->n_heads; h++, canonical += lm_state_row_bytes(pool->state_type, dim))
                    cpu_pages_row(pool->state_type, is_v, dim, p, page + stream->offset + h * stream->head_bytes + (is_v ? stream->k_bytes : 0), canonical, out);
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
