/* SPDX-License-Identifier: MIT
 * Weights of the CPU backend: matrices packed in groups of 16 rows while their rows stream in, vectors as f32. Owns the packed
 * bytes. Does not know what a file is, nor the layout inside a group: that is the kernels'.
 *
 * Whole groups are packed straight from the caller's rows, in any order and on any threads. Other cuts come in order from one thread:
 * rows of a group cut in two wait in a staging of one group, which is given back at the end and is not part of the cost.
 *
 * Weights that were adopted have their bytes in another's memory, which is not written to.
 *
 * Threads: as backend.h says of any_order; complete weights are only read. */
#include "backend/cpu/cpu.h"

#include "base/size.h"

#include <string.h>

_Static_assert((int)LM_ROW_GROUP == (int)LM_GROUP, "whole groups need no staging");

static const char *cpu_weights_name(const lm_weight_info *info) { return info->name ? info->name : "a weight"; }

/* Bytes of a row in the file, of a group, and of all that is kept; false if they do not fit. */
static bool cpu_weights_sizes(const lm_weight_info *info, uint64_t *row_bytes, uint64_t *group_bytes, uint64_t *bytes)
{
    if (info->n_rows == 0 || info->n_cols == 0 || (info->is_vector && info->n_rows != 1) || info->n_rows > UINT64_MAX - LM_GROUP ||
        !lm_type_row_bytes(info->type, info->n_cols, row_bytes) || !lm_mul_u64(*row_bytes, LM_GROUP, group_bytes))
        return false;
    if (info->is_vector)
        return lm_mul_u64(info->n_cols, sizeof(float), bytes) && lm_fits_size(*bytes);
    return lm_mul_u64(*group_bytes, (info->n_rows + LM_GROUP - 1) / LM_GROUP, bytes) && lm_fits_size(*bytes);
}

uint64_t lm_cpu_weight_cost(const lm_backend *backend, const lm_weight_info *info)
{
    uint64_t row_bytes, group_bytes, bytes;
    (void)backend;
    if (!cpu_weights_sizes(info, &row_bytes, &group_bytes, &bytes))
        return UINT64_MAX;
    return lm_mem_cost(sizeof(lm_cpu_weight)) + lm_mem_cost(bytes);
}

/* A weight without data. */
static llm_status cpu_weights_new(lm_backend *backend, const lm_weight_info *info, lm_cpu_weight **out, llm_error *error)
{
    lm_cpu *cpu = (lm_cpu *)backend;
    lm_mem *mem = &cpu->base.host->mem;
    const char *name = cpu_weights_name(info);
    uint64_t row_bytes, group_bytes, bytes;
    const lm_type_info *type = lm_type_get(info->type);

    if (!type)
        return lm_fail_at(error, LLM_E_UNSUPPORTED, name, strlen(name), UINT64_MAX, "unknown type %u", info->type);
    if (!cpu->kernels.pack[info->type] || !cpu->kernels.row[info->type])
        return lm_fail_at(error, LLM_E_UNSUPPORTED, name, strlen(name), UINT64_MAX, "the CPU does not compute with weights of type %s", type->name);
    if (!cpu_weights_sizes(info, &row_bytes, &group_bytes, &bytes))
        return lm_fail_at(error, LLM_E_LIMIT, name, strlen(name), UINT64_MAX, "%llu rows of %llu values of type %s do not fit",
                          (unsigned long long)info->n_rows, (unsigned long long)info->n_cols, type->name);
    lm_cpu_weight *w = lm_mem_new(mem, sizeof *w, LLM_MEMORY_WEIGHTS);
    if (!w)
        return lm_fail_memory(error, name, sizeof *w);
    w->info = *info;
    w->row_bytes = row_bytes;
    w->group_bytes = group_bytes;
    w->bytes = bytes;
    *out = w;
    return LLM_OK;
}

llm_status lm_cpu_weight_begin(lm_backend *backend, const lm_weight_info *info, lm_weight **out, llm_error *error)
{
    lm_mem *mem = &backend->host->mem;
    lm_cpu_weight *w = NULL;
    LM_TRY(cpu_weights_new(backend, info, &w, error));
    w->data = lm_mem_raw(mem, (size_t)w->bytes, LLM_MEMORY_WEIGHTS);
    if (!w->data) {
        uint64_t bytes = w->bytes;
        lm_mem_free(mem, w);
        return lm_fail_memory(error, cpu_weights_name(info), (size_t)bytes);
    }
    *out = (lm_weight *)w;
    return LLM_OK;
}

/* The layout is the same for every tier. */
uint32_t lm_cpu_packed_layout(const lm_backend *backend)
{
    (void)backend;
    return LM_PACKED_LAYOUT;
}

uint64_t lm_cpu_packed_bytes(const lm_backend *backend, const lm_weight_info *info)
{
    uint64_t row_bytes, group_bytes, bytes;
    (void)backend;
    return cpu_weights_sizes(info, &row_bytes, &group_bytes, &bytes) ? bytes : 0;
}

const void *lm_cpu_weight_packed(lm_backend *backend, const lm_weight *weight)
{
    (void)backend;
    return ((const lm_cpu_weight *)weight)->data;
}

llm_status lm_cpu_weight_adopt(lm_backend *backend, const lm_weight_info *info, const void *bytes, lm_weight **out, llm_error *error)
{
    lm_cpu_weight *w = NULL;
    LM_TRY(cpu_weights_new(backend, info, &w, error));
    w->data = (uint8_t *)(uintptr_t)bytes;
    w->adopted = w->complete = 1;
    atomic_store_explicit(&w->n_done, info->n_rows, memory_order_relaxed);
    *out = (lm_weight *)w;
    return LLM_OK;
}

static llm_status cpu_weights_vector(lm_cpu *cpu, lm_cpu_weight *w, const void *row, llm_error *error)
{
    if (w->info.type == LM_TYPE_F32) {
        memcpy(w->data, row, (size_t)w->bytes);
        return LLM_OK;
    }
    /* One row of a group of its own: packing and reading back is what dequantizes. */
    void *group = lm_mem_raw(&cpu->base.host->mem, (size_t)w->group_bytes, LLM_MEMORY_OTHER);
    if (!group)
        return lm_fail_memory(error, cpu_weights_name(&w->info), (size_t)w->group_bytes);
    cpu->kernels.pack[w->info.type](group, row, (size_t)w->row_bytes, 1, (size_t)w->info.n_cols);
    cpu->kernels.row[w->info.type]((float *)(void *)w->data, group, 0, (size_t)w->info.n_cols);
    lm_mem_free(&cpu->base.host->mem, group);
    return LLM_OK;
}

static void cpu_weights_pack(lm_cpu *cpu, lm_cpu_weight *w, uint64_t group, const void *rows, size_t n)
{
    cpu->kernels.pack[w->info.type](w->data + group * w->group_bytes, rows, (size_t)w->row_bytes, n, (size_t)w->info.n_cols);
}

/* Rows that begin and end with groups, or with the matrix. */
static void cpu_weights_groups(lm_cpu *cpu, lm_cpu_weight *w, uint64_t row, uint64_t n, const uint8_t *from)
{
    for (uint64_t done = 0; done < n; done += LM_GROUP)
        cpu_weights_pack(cpu, w, (row + done) / LM_GROUP, from + done * w->row_bytes, (size_t)LM_MIN(n - done, (uint64_t)LM_GROUP));
    atomic_fetch_add_explicit(&w->n_done, n, memory_order_relaxed);
}

/* Rows that follow those before them, in any cut. */
static llm_status cpu_weights_in_order(lm_cpu *cpu, lm_cpu_weight *w, uint64_t row, uint64_t n, const uint8_t *from, llm_error *error)
{
    if (!w->staging) {
        w->staging = lm_mem_raw(&cpu->base.host->mem, (size_t)w->group_bytes, LLM_MEMORY_OTHER);
        if (!w->staging)
            return lm_fail_memory(error, cpu_weights_name(&w->info), (size_t)w->group_bytes);
    }
    while (n > 0) {
        uint64_t take = LM_MIN(n, (uint64_t)LM_GROUP - w->n_staged);
        if (w->n_staged == 0 && take == LM_GROUP) {
            cpu_weights_pack(cpu, w, row / LM_GROUP, from, (size_t)take);
        } else {
            memcpy(w->staging + w->n_staged * w->row_bytes, from, (size_t)(take * w->row_bytes));
            w->n_staged += (uint32_t)take;
            if (w->n_staged == LM_GROUP || row + take == w->info.n_rows) {
                cpu_weights_pack(cpu, w, row / LM_GROUP, w->staging, w->n_staged);
                w->n_staged = 0;
            }
        }
        atomic_fetch_add_explicit(&w->n_done, take, memory_order_relaxed);
        row += take;
        from += take * w->row_bytes;
        n -= take;
    }
    return LLM_OK;
}

llm_status lm_cpu_weight_rows(lm_backend *backend, lm_weight *weight, uint64_t row, uint64_t n, const void *rows, llm_error *error)
{
    lm_cpu *cpu = (lm_cpu *)backend;
    lm_cpu_weight *w = (lm_cpu_weight *)weight;
    uint64_t n_rows = w->info.n_rows, n_done = atomic_load_explicit(&w->n_done, memory_order_relaxed);
    bool fits = row <= n_rows && n <= n_rows - row && n <= n_rows - n_done, groups = row % LM_GROUP == 0 && (n % LM_GROUP == 0 || row + n == n_rows);
    if (!fits || (!groups && row != n_done))
        return lm_fail(error, LLM_E_INTERNAL, "%s: rows %llu..%llu pushed after %llu of %llu", cpu_weights_name(&w->info), (unsigned long long)row,
                       (unsigned long long)(row + n), (unsigned long long)n_done, (unsigned long long)n_rows);
    if (n == 0)
        return LLM_OK;
    if (w->info.is_vector) {
        LM_TRY(cpu_weights_vector(cpu, w, rows, error));
        atomic_store_explicit(&w->n_done, 1, memory_order_relaxed);
        return LLM_OK;
    }
    if (!groups)
        return cpu_weights_in_order(cpu, w, row, n, rows, error);
    cpu_weights_groups(cpu, w, row, n, rows);
    return LLM_OK;
}

llm_status lm_cpu_weight_end(lm_backend *backend, lm_weight *weight, llm_error *error)
{
    lm_cpu_weight *w = (lm_cpu_weight *)weight;
    uint64_t n_done = atomic_load_explicit(&w->n_done, memory_order_relaxed);
    if (n_done != w->info.n_rows)
        return lm_fail(error, LLM_E_INTERNAL, "%s: ended after %llu of %llu rows", cpu_weights_name(&w->info), (unsigned long long)n_done,
                       (unsigned long long)w->info.n_rows);
    lm_mem_free(&backend->host->mem, w->staging);
    w->staging = NULL;
    w->complete = 1;
    return LLM_OK;
}

void lm_cpu_weight_free(lm_backend *backend, lm_weight *weight)
{
    lm_cpu_weight *w = (lm_cpu_weight *)weight;
    if (!w)
        return;
    lm_mem_free(&backend->host->mem, w->staging);
    if (!w->adopted)
        lm_mem_free(&backend->host->mem, w->data);
    lm_mem_free(&backend->host->mem, w);
}
