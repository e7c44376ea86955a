/* SPDX-License-Identifier: MIT
 * Weights of the Vulkan backend. A file's block is cut into planes, each a range of its bytes: all blocks' quants side by side, all
 * scales side by side, so that every plane can be read in words at any row. No byte is changed and none is added, but for rows of plain
 * types, which are filled with zeros to a multiple of sixteen values. A matrix that passes the largest buffer is cut by rows into shards,
 * each with all its planes. shaders/weight.glsl reads the planes in the order of the table below.
 *
 * Owns spans, sets and a vector's copy on the host. Threads: as backend.h says; uploads under `gpu`. */
#include "backend/vulkan/vulkan.h"

#include "kernels/kernels.h"
#include "tensor/blocks.h"
#include "base/size.h"

#include <string.h>

/* ---- the table */

typedef struct planes_plane { uint8_t offset, bytes; } planes_plane;
typedef struct planes_type { uint16_t values, block_bytes; planes_plane planes[LM_VK_PLANES]; } planes_type;

#define PLANES_FIELD(type, field) { (uint8_t)offsetof(type, field), (uint8_t)sizeof(((type *)0)->field) }
/* Two fields side by side as one plane. */
#define PLANES_FIELDS(type, first, second) { (uint8_t)offsetof(type, first), (uint8_t)(sizeof(((type *)0)->first) + sizeof(((type *)0)->second)) }
#define PLANES_ROW(NAME, type, n, ...) [LM_TYPE_##NAME] = { n, sizeof(type), { __VA_ARGS__ } }
static const planes_type planes_types[LM_TYPE_COUNT] = {
    [LM_TYPE_F32] = { 16, 64, { { 0, 64 } } },              /* sixteen values are a block of a plain type */
    [LM_TYPE_F16] = { 16, 32, { { 0, 32 } } },
    [LM_TYPE_BF16] = { 16, 32, { { 0, 32 } } },
    PLANES_ROW(Q4_0, lm_block_q4_0, 32, PLANES_FIELD(lm_block_q4_0, qs), PLANES_FIELD(lm_block_q4_0, d)),
    PLANES_ROW(Q4_1, lm_block_q4_1, 32, PLANES_FIELD(lm_block_q4_1, qs), PLANES_FIELDS(lm_block_q4_1, d, m)),
    PLANES_ROW(Q5_0, lm_block_q5_0, 32, PLANES_FIELD(lm_block_q5_0, qs), PLANES_FIELD(lm_block_q5_0, qh), PLANES_FIELD(lm_block_q5_0, d)),
    PLANES_ROW(Q5_1, lm_block_q5_1, 32, PLANES_FIELD(lm_block_q5_1, qs), PLANES_FIELD(lm_block_q5_1, qh), PLANES_FIELDS(lm_block_q5_1, d, m)),
    PLANES_ROW(Q8_0, lm_block_q8_0, 32, PLANES_FIELD(lm_block_q8_0, qs), PLANES_FIELD(lm_block_q8_0, d)),
    PLANES_ROW(IQ4_NL, lm_block_iq4_nl, 32, PLANES_FIELD(lm_block_iq4_nl, qs), PLANES_FIELD(lm_block_iq4_nl, d)),
    PLANES_ROW(MXFP4, lm_block_mxfp4, 32, PLANES_FIELD(lm_block_mxfp4, qs), PLANES_FIELD(lm_block_mxfp4, e)),
    PLANES_ROW(Q2_K, lm_block_q2_k, 256, PLANES_FIELD(lm_block_q2_k, qs), PLANES_FIELD(lm_block_q2_k, scales), PLANES_FIELDS(lm_block_q2_k, d, dmin)),
    PLANES_ROW(Q3_K, lm_block_q3_k, 256, PLANES_FIELD(lm_block_q3_k, qs), PLANES_FIELD(lm_block_q3_k, hmask), PLANES_FIELD(lm_block_q3_k, scales), PLANES_FIELD(lm_block_q3_k, d)),
    PLANES_ROW(Q4_K, lm_block_q4_k, 256, PLANES_FIELD(lm_block_q4_k, qs), PLANES_FIELD(lm_block_q4_k, scales), PLANES_FIELDS(lm_block_q4_k, d, dmin)),
    PLANES_ROW(Q5_K, lm_block_q5_k, 256, PLANES_FIELD(lm_block_q5_k, qs), PLANES_FIELD(lm_block_q5_k, scales), PLANES_FIELDS(lm_block_q5_k, d, dmin), PLANES_FIELD(lm_block_q5_k, qh)),
    PLANES_ROW(Q6_K, lm_block_q6_k, 256, PLANES_FIELD(lm_block_q6_k, ql), PLANES_FIELD(lm_block_q6_k, qh), PLANES_FIELD(lm_block_q6_k, scales), PLANES_FIELD(lm_block_q6_k, d)),
    PLANES_ROW(IQ4_XS, lm_block_iq4_xs, 256, PLANES_FIELD(lm_block_iq4_xs, qs), PLANES_FIELD(lm_block_iq4_xs, scales_l), PLANES_FIELDS(lm_block_iq4_xs, d, scales_h)),
};
#undef PLANES_FIELD
#undef PLANES_FIELDS
#undef PLANES_ROW

bool lm_vk_type_can(uint32_t type) { return type < LM_TYPE_COUNT && planes_types[type].values != 0 && lm_vk_module_few(type) >= 0 && lm_vk_module_many(type) >= 0 && lm_vk_module_embed(type) >= 0; }

static const char *planes_name(const lm_weight_info *info) { return info->name ? info->name : "a weight"; }

/* ---- sizes */

/* Bytes of n rows' planes, each aligned; where each begins, in words. UINT64_MAX: they do not fit. */
static uint64_t planes_layout(const planes_type *type, uint32_t blocks, uint64_t n, uint32_t plane[LM_VK_PLANES])
{
    uint64_t at = 0, n_blocks, bytes;
    if (!lm_mul_u64(n, blocks, &n_blocks))
        return UINT64_MAX;
    for (uint32_t p = 0; p < LM_VK_PLANES; p++) {
        if (plane)
            plane[p] = (uint32_t)(at / 4);
        if (!lm_mul_u64(n_blocks, type->planes[p].bytes, &bytes) || !lm_align_u64(bytes, 16, &bytes) || !lm_add_u64(at, bytes, &at))
            return UINT64_MAX;
    }
    return at;
}

/* Rows of a shard, 0: not even one fits. */
static uint64_t planes_rows(const lm_vk *vk, const lm_weight_info *info, uint32_t blocks)
{
    const planes_type *type = &planes_types[info->type];
    uint64_t most = LM_MIN(vk->caps.max_range, vk->caps.max_slab) - LM_VK_ALIGN + 1, low = 0, high = info->n_rows;
    if (planes_layout(type, blocks, high, NULL) <= most && high * blocks <= UINT32_MAX / 64)
        return high;
    while (high - low > 1) {                                /* the most rows that fit */
        uint64_t middle = low + (high - low) / 2;
        if (planes_layout(type, blocks, middle, NULL) <= most && middle <= UINT32_MAX / 64 / blocks)
            low = middle;
        else
            high = middle;
    }
    return low > LM_ROW_GROUP ? low - low % LM_ROW_GROUP : low;
}

static bool planes_blocks(const lm_weight_info *info, uint64_t *row_bytes, uint32_t *blocks)
{
    if (!lm_type_row_bytes(info->type, info->n_cols, row_bytes) || info->n_rows == 0 || info->n_cols == 0 || info->n_cols > UINT32_MAX - 256 ||
        info->n_rows > UINT32_MAX || (info->is_vector && info->n_rows != 1))
        return false;
    *blocks = (uint32_t)((info->n_cols + planes_types[info->type].values - 1) / planes_types[info->type].values);
    return true;
}

/* What it costs on the device and, a few words, on the host. */
uint64_t lm_vk_weight_cost(const lm_backend *backend, const lm_weight_info *info)
{
    uint64_t row_bytes, bytes;
    uint32_t blocks;
    (void)backend;
    if (!lm_vk_type_can(info->type) || !planes_blocks(info, &row_bytes, &blocks))
        return UINT64_MAX;
    if (info->is_vector)
        return lm_mem_cost(sizeof(lm_vk_weight) + sizeof(lm_vk_shard)) + lm_mem_cost(info->n_cols * 4) + info->n_cols * 4;
    bytes = planes_layout(&planes_types[info->type], blocks, info->n_rows, NULL);
    return bytes == UINT64_MAX ? UINT64_MAX : lm_mem_cost(sizeof(lm_vk_weight) + sizeof(lm_vk_shard)) + bytes;
}

/* ---- begin */

static llm_status planes_shards(lm_vk *vk, lm_vk_weight *w, uint64_t rows, llm_error *error)
{
    for (uint32_t s = 0; s < w->n_shards; s++) {
        lm_vk_shard *shard = &w->shards[s];
        shard->first = s * rows;
        shard->n = LM_MIN(rows, w->info.n_rows - shard->first);
        uint64_t bytes = w->info.is_vector ? w->info.n_cols * 4 : planes_layout(&planes_types[w->info.type], w->blocks, shard->n, shard->plane);
        LM_TRY(lm_vk_span_new(vk, bytes, &shard->span, error));
        VkDescriptorBufferInfo place = { shard->span.slab->buffer.buffer, shard->span.offset, shard->span.bytes };
        LM_TRY(lm_vk_set_new(vk, LM_VK_SET_ONE, &place, &shard->set, error));
    }
    return LLM_OK;
}

llm_status lm_vk_weight_begin(lm_backend *backend, const lm_weight_info *info, lm_weight **out, llm_error *error)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_mem *mem = &backend->host->mem;
    const char *name = planes_name(info);
    uint64_t row_bytes, rows;
    uint32_t blocks;
    if (!lm_vk_type_can(info->type))
        return lm_fail_at(error, LLM_E_UNSUPPORTED, name, strlen(name), UINT64_MAX, "the Vulkan backend does not compute with weights of type %u", info->type);
    if (!planes_blocks(info, &row_bytes, &blocks))
        return lm_fail_at(error, LLM_E_LIMIT, name, strlen(name), UINT64_MAX, "%llu rows of %llu values do not fit", (unsigned long long)info->n_rows, (unsigned long long)info->n_cols);
    rows = info->is_vector ? 1 : planes_rows(vk, info, blocks);
    if (rows == 0 || (info->n_rows + rows - 1) / rows > 4096)
        return lm_fail_at(error, LLM_E_LIMIT, name, strlen(name), UINT64_MAX, "%llu rows of %llu values: the device's buffers are too small", (unsigned long long)info->n_rows,
                          (unsigned long long)info->n_cols);
    uint32_t n_shards = (uint32_t)((info->n_rows + rows - 1) / rows);
    lm_vk_weight *w = lm_mem_new(mem, sizeof *w + n_shards * sizeof *w->shards, LLM_MEMORY_WEIGHTS);
    if (!w)
        return lm_fail_memory(error, name, sizeof *w);
    w->info = *info;
    w->row_bytes = row_bytes;
    w->blocks = blocks;
    w->n_shards = n_shards;
    llm_status status = LLM_OK;
    if (info->is_vector) {
        w->vector = lm_mem_new_array(mem, (size_t)info->n_cols, sizeof *w->vector, LLM_MEMORY_WEIGHTS);
        if (!w->vector)
            status = lm_fail_memory(error, name, (size_t)info->n_cols * sizeof *w->vector);
    }
    lm_vk_lock(vk);
    if (status >= 0)
        status = planes_shards(vk, w, rows, error);
    lm_vk_unlock(vk);
    if (status < 0)
        lm_vk_weight_free(backend, (lm_weight *)w);
    else
        *out = (lm_weight *)w;
    return status;
}

void lm_vk_weight_free(lm_backend *backend, lm_weight *weight)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_vk_weight *w = (lm_vk_weight *)weight;
    if (!w)
        return;
    lm_vk_lock(vk);
    for (uint32_t s = 0; s < w->n_shards; s++) {
        lm_vk_set_free(vk, &w->shards[s].set);
        lm_vk_span_free(vk, &w->shards[s].span);
    }
    lm_vk_unlock(vk);
    lm_mem_free(&backend->host->mem, w->vector);
    lm_mem_free(&backend->host->mem, w);
}

/* ---- rows */

/* One plane of blocks [begin, begin + n) of a shard, from rows that begin with the shard's block 0 at `rows`. */
static void planes_cut(const lm_vk_weight *w, const planes_type *type, planes_plane plane, const uint8_t *rows, uint64_t begin, uint64_t n, uint8_t *out)
{
    uint64_t row = begin / w->blocks, block = begin % w->blocks;
    for (uint64_t i = 0; i < n; i++, out += plane.bytes) {
        uint64_t at = block * type->block_bytes + plane.offset, left = w->row_bytes > at ? w->row_bytes - at : 0;
        uint64_t bytes = LM_MIN((uint64_t)plane.bytes, left);
        memcpy(out, rows + row * w->row_bytes + at, (size_t)bytes);
        memset(out + bytes, 0, (size_t)(plane.bytes - bytes));      /* the end of a row of a plain type */
        if (++block == w->blocks) {
            block = 0;
            row++;
        }
    }
}

/* Rows [row, row + n) of a shard. */
static llm_status planes_push(lm_vk *vk, const lm_vk_weight *w, const lm_vk_shard *shard, uint64_t row, uint64_t n, const uint8_t *rows, llm_error *error)
{
    const planes_type *type = &planes_types[w->info.type];
    uint64_t first = row * w->blocks, n_blocks = n * w->blocks, most = lm_vk_staging_bytes(vk) / 256;
    for (uint64_t done = 0; done < n_blocks;) {
        uint64_t count = LM_MIN(n_blocks - done, most);
        for (uint32_t p = 0; p < LM_VK_PLANES && type->planes[p].bytes; p++) {
            uint64_t offset = shard->span.offset + (uint64_t)shard->plane[p] * 4 + (first + done) * type->planes[p].bytes;
            void *place;
            LM_TRY(lm_vk_upload(vk, shard->span.slab->buffer.buffer, offset, count * type->planes[p].bytes, &place, error));
            planes_cut(w, type, type->planes[p], rows, done, count, place);
        }
        done += count;
    }
    return LLM_OK;
}

static llm_status planes_vector(lm_vk *vk, lm_vk_weight *w, const void *row, llm_error *error)
{
    const uint64_t bytes = w->info.n_cols * 4;
    if (w->info.type == LM_TYPE_F32) {
        memcpy(w->vector, row, (size_t)bytes);
    } else {                                                /* one row of a packed group, as the reference reads it */
        lm_kernels kernels;
        memset(&kernels, 0, sizeof kernels);
        lm_kernels_fill(&kernels, 0, LM_TIER_REFERENCE);
        size_t group_bytes = lm_group_bytes(w->info.type, (size_t)w->info.n_cols);
        void *group = lm_mem_raw(&vk->base.host->mem, group_bytes, LLM_MEMORY_OTHER);
        if (!group)
            return lm_fail_memory(error, planes_name(&w->info), group_bytes);
        kernels.pack[w->info.type](group, row, (size_t)w->row_bytes, 1, (size_t)w->info.n_cols);
        kernels.row[w->info.type](w->vector, group, 0, (size_t)w->info.n_cols);
        lm_mem_free(&vk->base.host->mem, group);
    }
    for (uint64_t done = 0; done < bytes;) {
        uint64_t n = LM_MIN(bytes - done, lm_vk_staging_bytes(vk));
        void *place;
        LM_TRY(lm_vk_upload(vk, w->shards[0].span.slab->buffer.buffer, w->shards[0].span.offset + done, n, &place, error));
        memcpy(place, (const uint8_t *)w->vector + done, (size_t)n);
        done += n;
    }
    return LLM_OK;
}

llm_status lm_vk_weight_rows(lm_backend *backend, lm_weight *weight, uint64_t row, uint64_t n, const void *rows, llm_error *error)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_vk_weight *w = (lm_vk_weight *)weight;
    llm_status status = LLM_OK;
    if (w->complete || row != w->n_done || n > w->info.n_rows - row)
        return lm_fail(error, LLM_E_INTERNAL, "%s: rows %llu..%llu pushed after %llu of %llu", planes_name(&w->info), (unsigned long long)row, (unsigned long long)(row + n),
                       (unsigned long long)w->n_done, (unsigned long long)w->info.n_rows);
    lm_vk_lock(vk);
    if (w->info.is_vector && n != 0)
        status = planes_vector(vk, w, rows, error);
    for (uint32_t s = 0; s < w->n_shards && !w->info.is_vector && status >= 0; s++) {
        const lm_vk_shard *shard = &w->shards[s];
        uint64_t from = LM_MAX(row, shard->first), to = LM_MIN(row + n, shard->first + shard->n);
        if (from < to)
            status = planes_push(vk, w, shard, from - shard->first, to - from, (const uint8_t *)rows + (from - row) * w->row_bytes, error);
    }
    lm_vk_unlock(vk);
    if (status >= 0)
        w->n_done += n;
    return status;
}

llm_status lm_vk_weight_end(lm_backend *backend, lm_weight *weight, llm_error *error)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_vk_weight *w = (lm_vk_weight *)weight;
    if (w->n_done != w->info.n_rows)
        return lm_fail(error, LLM_E_INTERNAL, "%s: ended after %llu of %llu rows", planes_name(&w->info), (unsigned long long)w->n_done, (unsigned long long)w->info.n_rows);
    lm_vk_lock(vk);
    llm_status status = lm_vk_flush(vk, error);
    lm_vk_unlock(vk);
    w->complete = status >= 0;
    return status;
}
