/* SPDX-License-Identifier: MIT
 * State of the Vulkan backend. Each stream has one buffer of pages, [position][head] rows of K, then of V, each row padded to whole words
 * and otherwise in the canonical layout. A buffer that is full is replaced by one of twice the pages, stream by stream, so that no more
 * than one stream's pages are there twice. Owns buffers and page numbers' links.
 *
 * Threads: taking and giving under the caller's lock; whatever touches a buffer, and moving the links, under `gpu`: passes look there. */
#include "backend/vulkan/vulkan.h"

#include "base/size.h"

#include <string.h>

/* Bytes copied by one submission as a buffer grows: some milliseconds of the slowest memory. */
enum { STATE_COPY = LM_HOSTILE ? 1 << 12 : 32 << 20 };
enum { STATE_TAKEN = -1, STATE_FIRST_PAGES = LM_HOSTILE ? 4 : 8, STATE_MOST_PAGES = 1 << 24 };

static uint32_t state_row_words(int32_t state_type, uint32_t dim)
{
    return (uint32_t)((lm_state_row_bytes(state_type, dim) + 3) / 4);
}

/* A stream's places; false if a page does not fit. */
static bool state_layout(const lm_stream *from, int32_t state_type, lm_vk_stream *out)
{
    memset(out, 0, sizeof *out);
    out->page_class = from->page_class;
    out->n_heads = from->n_heads;
    out->dim[0] = from->k_dim;
    out->dim[1] = from->v_dim;
    uint64_t words[2], at = 0;
    for (int i = 0; i < 2; i++) {
        if (out->dim[i] > UINT32_MAX / 8)
            return false;
        out->row_words[i] = state_row_words(state_type, out->dim[i]);
        if (!lm_mul_u64((uint64_t)LM_PAGE_POSITIONS * from->n_heads, out->row_words[i], &words[i]) || !lm_add_u64(at, words[i], &at))
            return false;
    }
    out->v_words = (uint32_t)words[0];
    out->page_words = (uint32_t)at;
    return at <= UINT32_MAX / 4;
}

uint64_t lm_vk_pool_page_cost(const lm_backend *backend, const lm_program *program, int32_t state_type, uint32_t page_class)
{
    uint64_t bytes = 0;
    (void)backend;
    for (uint32_t s = 0; s < program->n_streams; s++) {
        lm_vk_stream stream;
        if (program->streams[s].page_class != page_class)
            continue;
        if (lm_state_row_bytes(state_type, 1) == 0 || !state_layout(&program->streams[s], state_type, &stream) || !lm_add_u64(bytes, (uint64_t)stream.page_words * 4, &bytes))
            return UINT64_MAX;
    }
    return bytes;
}

llm_status lm_vk_pool_new(lm_vk *vk, const lm_program *program, int32_t state_type, lm_vk_pool **out, llm_error *error)
{
    lm_backend *backend = &vk->base;
    size_t size = sizeof(lm_vk_pool) + program->n_streams * sizeof(lm_vk_stream);
    if (lm_state_row_bytes(state_type, 1) == 0)
        return lm_fail(error, LLM_E_UNSUPPORTED, "the Vulkan backend keeps state as f16, f32 or int8, not as type %d", state_type);
    if (program->n_page_classes > LM_MAX_PAGE_CLASSES)
        return lm_fail(error, LLM_E_INTERNAL, "%u page classes of at most %d", program->n_page_classes, LM_MAX_PAGE_CLASSES);
    lm_vk_pool *pool = lm_mem_new(&backend->host->mem, size, LLM_MEMORY_STATE);
    if (!pool)
        return lm_fail_memory(error, "the state's pool", size);
    pool->state_type = state_type;
    pool->n_streams = program->n_streams;
    pool->n_classes = program->n_page_classes;
    for (uint32_t s = 0; s < pool->n_streams; s++)
        if (!state_layout(&program->streams[s], state_type, &pool->streams[s])) {
            lm_mem_free(&backend->host->mem, pool);
            return lm_fail(error, LLM_E_LIMIT, "a page of stream %u does not fit: %u heads of %u and %u", s, program->streams[s].n_heads, program->streams[s].k_dim,
                           program->streams[s].v_dim);
        }
    *out = pool;
    return LLM_OK;
}

llm_status lm_vk_pool_open(lm_backend *backend, const lm_program *program, int32_t state_type, lm_pool **out, llm_error *error)
{
    lm_vk_pool *pool = NULL;
    LM_TRY(lm_vk_pool_new((lm_vk *)backend, program, state_type, &pool, error));
    llm_status status = lm_vk_pool_compile((lm_vk *)backend, program, pool, error);
    if (status < 0)
        lm_vk_pool_close(backend, (lm_pool *)pool);
    else
        *out = (lm_pool *)pool;
    return status;
}

void lm_vk_pool_close(lm_backend *backend, lm_pool *handle)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_vk_pool *pool = (lm_vk_pool *)handle;
    if (!pool)
        return;
    lm_vk_lock(vk);
    vk->changes++;
    for (uint32_t s = 0; s < pool->n_streams; s++) {
        lm_vk_set_free(vk, &pool->streams[s].set);
        lm_vk_buffer_free(vk, &pool->streams[s].buffer);
    }
    lm_vk_unlock(vk);
    for (uint32_t c = 0; c < pool->n_classes; c++)
        lm_mem_free(&backend->host->mem, pool->classes[c].links);
    lm_mem_free(&backend->host->mem, pool);
}

/* ---- pages */

bool lm_vk_page_taken(const lm_vk_pool *pool, uint32_t page_class, uint32_t page)
{
    return page_class < pool->n_classes && page < pool->classes[page_class].capacity && pool->classes[page_class].links[page] == (uint32_t)STATE_TAKEN;
}

/* The stream's buffer holds at least so many pages; what it held is kept. *full: the device has no room for so many. */
static llm_status state_grow_stream(lm_vk *vk, lm_vk_stream *stream, uint32_t pages, bool *full, llm_error *error)
{
    uint64_t page_bytes = (uint64_t)stream->page_words * 4, old = stream->capacity * page_bytes;
    lm_vk_buffer buffer;
    if (stream->capacity >= pages)
        return LLM_OK;
    if (pages * page_bytes > vk->caps.max_range)
        return lm_fail(error, LLM_E_LIMIT, "%u pages of state: %llu bytes a stream, a buffer of this device holds %llu", pages, (unsigned long long)(pages * page_bytes),
                       (unsigned long long)vk->caps.max_range);
    llm_status status = lm_vk_buffer_new(vk, pages * page_bytes, LM_VK_ON_DEVICE, &buffer, error);
    *full = status == LLM_E_MEMORY;
    if (status < 0)
        return status;
    for (uint64_t at = 0, n; at < old && status >= 0; at += n) {
        n = LM_MIN(old - at, (uint64_t)STATE_COPY);
        status = lm_vk_copy_now(vk, stream->buffer.buffer, at, buffer.buffer, at, n, error);
    }
    VkDescriptorBufferInfo place = { buffer.buffer, 0, pages * page_bytes };
    if (status >= 0 && !stream->set.pool)
        status = lm_vk_set_new(vk, LM_VK_SET_ONE, &place, &stream->set, error);
    else if (status >= 0)
        lm_vk_set_write(vk, LM_VK_SET_ONE, &place, &stream->set);
    if (status < 0) {
        lm_vk_buffer_free(vk, &buffer);
        return status;
    }
    lm_vk_buffer_free(vk, &stream->buffer);
    stream->buffer = buffer;
    stream->capacity = pages;
    return LLM_OK;
}

static llm_status state_grow_streams(lm_vk *vk, lm_vk_pool *pool, uint32_t page_class, uint32_t pages, bool *full, llm_error *error)
{
    *full = false;
    for (uint32_t s = 0; s < pool->n_streams; s++)
        if (pool->streams[s].page_class == page_class)
            LM_TRY(state_grow_stream(vk, &pool->streams[s], pages, full, error));
    return LLM_OK;
}

static llm_status state_grow(lm_vk *vk, lm_vk_pool *pool, uint32_t page_class, llm_error *error)
{
    lm_vk_class *c = &pool->classes[page_class];
    uint32_t pages = c->capacity ? c->capacity * 2 : STATE_FIRST_PAGES;
    bool full = false;
    for (uint32_t s = 0; s < pool->n_streams; s++)          /* up to what a buffer holds, if twice is too much */
        if (pool->streams[s].page_class == page_class)
            pages = (uint32_t)LM_MIN(pages, LM_MAX(vk->caps.max_range / ((uint64_t)pool->streams[s].page_words * 4), 1));
    if (pages > STATE_MOST_PAGES || pages <= c->capacity)
        return lm_fail(error, LLM_E_LIMIT, "more than %u pages of state", c->capacity);
    lm_vk_lock(vk);
    llm_status status = state_grow_streams(vk, pool, page_class, pages, &full, error);
    if (full && pages > c->capacity + 1) {                  /* twice as many are too many; the one that is due may fit */
        pages = c->capacity + 1;
        status = state_grow_streams(vk, pool, page_class, pages, &full, error);
    }
    /* Streams that have grown already are not harmed by a failure. */
    uint32_t *links = status < 0 ? NULL : lm_mem_grow(&vk->base.host->mem, c->links, pages * sizeof *links, LLM_MEMORY_STATE);
    if (!links && status >= 0)
        status = lm_fail_memory(error, "the table of state pages", pages * sizeof *links);
    for (uint32_t i = 0, n = pages - c->capacity; links && i < n; i++) {        /* rising, or in the hostile build all over the place */
        uint32_t place = c->capacity + (LM_HOSTILE ? i * 3 % n : n - 1 - i);
        links[place] = c->first_free;
        c->first_free = place + 1;
    }
    if (links) {
        c->links = links;
        c->capacity = pages;
    }
    lm_vk_unlock(vk);
    return status;
}

llm_status lm_vk_page_take(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t *out, llm_error *error)
{
    lm_vk_pool *pool = (lm_vk_pool *)handle;
    if (page_class >= pool->n_classes)
        return lm_fail(error, LLM_E_INTERNAL, "page class %u of %u", page_class, pool->n_classes);
    lm_vk_class *c = &pool->classes[page_class];
    if (c->first_free == 0)
        LM_TRY(state_grow((lm_vk *)backend, pool, page_class, error));
    *out = c->first_free - 1;
    c->first_free = c->links[*out];
    c->links[*out] = (uint32_t)STATE_TAKEN;
    return LLM_OK;
}

void lm_vk_page_give(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t page)
{
    lm_vk_pool *pool = (lm_vk_pool *)handle;
    (void)backend;
    if (!lm_vk_page_taken(pool, page_class, page))
        return;
    pool->classes[page_class].links[page] = pool->classes[page_class].first_free;
    pool->classes[page_class].first_free = page + 1;
}

static llm_status state_page_check(const lm_vk_pool *pool, uint32_t page_class, uint32_t page, llm_error *error)
{
    return lm_vk_page_taken(pool, page_class, page) ? LLM_OK : lm_fail(error, LLM_E_INTERNAL, "page %u of class %u is not taken", page, page_class);
}

llm_status lm_vk_page_copy(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t from, uint32_t to, llm_error *error)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_vk_pool *pool = (lm_vk_pool *)handle;
    llm_status status = LLM_OK;
    lm_vk_lock(vk);
    status = state_page_check(pool, page_class, from, error);
    if (status >= 0)
        status = state_page_check(pool, page_class, to, error);
    bool moves = status >= 0 && from != to;
    if (moves)
        status = lm_vk_begin(vk, error);
    for (uint32_t s = 0; moves && s < pool->n_streams && status >= 0; s++) {
        const lm_vk_stream *stream = &pool->streams[s];
        uint64_t bytes = (uint64_t)stream->page_words * 4;
        VkBufferCopy range = { from * bytes, to * bytes, bytes };
        if (stream->page_class == page_class)
            vk->fn.CmdCopyBuffer(vk->command, stream->buffer.buffer, stream->buffer.buffer, 1, &range);
    }
    if (moves && status >= 0)
        status = lm_vk_submit(vk, error);
    lm_vk_unlock(vk);
    return status;
}

/* ---- in and out */

uint64_t lm_vk_pool_page_bytes(const lm_backend *backend, const lm_pool *handle, uint32_t page_class)
{
    const lm_vk_pool *pool = (const lm_vk_pool *)handle;
    uint64_t bytes = 0;
    (void)backend;
    for (uint32_t s = 0; s < pool->n_streams; s++)
        if (pool->streams[s].page_class == page_class)
            bytes += LM_PAGE_POSITIONS * pool->streams[s].n_heads *
                     (lm_state_row_bytes(pool->state_type, pool->streams[s].dim[0]) + lm_state_row_bytes(pool->state_type, pool->streams[s].dim[1]));
    return bytes;
}

/* Rows of a page between the canonical layout and ours: the same but for the padding. Returns where the canonical ones end. */
static uint8_t *state_convert(const lm_vk_pool *pool, const lm_vk_stream *stream, uint8_t *page, uint8_t *canonical, bool out)
{
    for (int i = 0; i < 2; i++) {
        uint64_t bytes = lm_state_row_bytes(pool->state_type, stream->dim[i]), padded = (uint64_t)stream->row_words[i] * 4;
        for (uint32_t row = 0; row < LM_PAGE_POSITIONS * stream->n_heads; row++, page += padded, canonical += bytes) {
            memcpy(out ? canonical : page, out ? page : canonical, (size_t)bytes);
            if (!out)
                memset(page + bytes, 0, (size_t)(padded - bytes));
        }
    }
    return canonical;
}

static llm_status state_move(lm_vk *vk, lm_vk_pool *pool, uint32_t page_class, uint32_t page, uint8_t *canonical, bool out, llm_error *error)
{
    llm_status status = LLM_OK;
    for (uint32_t s = 0; s < pool->n_streams && status >= 0; s++) {
        lm_vk_stream *stream = &pool->streams[s];
        uint64_t bytes = (uint64_t)stream->page_words * 4, offset = page * bytes;
        if (stream->page_class != page_class)
            continue;
        uint8_t *block = lm_mem_raw(&vk->base.host->mem, (size_t)bytes, LLM_MEMORY_OTHER);
        if (!block)
            return lm_fail_memory(error, "a page in transit", (size_t)bytes);
        if (out)
            status = lm_vk_download(vk, stream->buffer.buffer, offset, bytes, block, error);
        if (status >= 0)
            canonical = state_convert(pool, stream, block, canonical, out);
        for (uint64_t done = 0; !out && done < bytes && status >= 0;) {
            uint64_t n = LM_MIN(bytes - done, lm_vk_staging_bytes(vk));
            void *place;
            status = lm_vk_upload(vk, stream->buffer.buffer, offset + done, n, &place, error);
            if (status >= 0)
                memcpy(place, block + done, (size_t)n);
            done += n;
        }
        lm_mem_free(&vk->base.host->mem, block);
    }
    if (!out && status >= 0)
        status = lm_vk_flush(vk, error);
    for (uint32_t s = 0; !out && s < pool->n_streams && status < 0; s++)    /* nothing of it is to be written by a later flush */
        lm_vk_forget(vk, pool->streams[s].buffer.buffer, 0, UINT64_MAX);
    return status;
}

llm_status lm_vk_page_export(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t page, void *out, llm_error *error)
{
    lm_vk_lock((lm_vk *)backend);
    llm_status status = state_page_check((lm_vk_pool *)handle, page_class, page, error);
    if (status >= 0)
        status = state_move((lm_vk *)backend, (lm_vk_pool *)handle, page_class, page, out, true, error);
    lm_vk_unlock((lm_vk *)backend);
    return status;
}

llm_status lm_vk_page_import(lm_backend *backend, lm_pool *handle, uint32_t page_class, uint32_t page, const void *in, llm_error *error)
{
    lm_vk_lock((lm_vk *)backend);
    llm_status status = state_page_check((lm_vk_pool *)handle, page_class, page, error);
    if (status >= 0)
        status = state_move((lm_vk *)backend, (lm_vk_pool *)handle, page_class, page, (uint8_t *)(uintptr_t)in, false, error);
    lm_vk_unlock((lm_vk *)backend);
    return status;
}
