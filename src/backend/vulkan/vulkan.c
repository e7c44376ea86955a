/* SPDX-License-Identifier: MIT
 * The Vulkan backend: its table, opening and closing. Owns the device and all that is shared on it. Threads: as backend.h says. */
#include "backend/vulkan/vulkan.h"

#include <string.h>

enum { VULKAN_SUBMIT_MS = 100 };

static void vulkan_close(lm_backend *backend)
{
    lm_vk *vk = (lm_vk *)backend;
    if (!vk)
        return;
    if (vk->device && vk->fn.QueueSubmit) {                 /* all of its functions were found */
        lm_vk_pipelines_close(vk);
        lm_vk_memory_close(vk);
    }
    lm_vk_device_close(vk);
    if (vk->has_mutex >= 1)
        lm_mutex_destroy(&vk->gpu);
    if (vk->has_mutex >= 2)
        lm_mutex_destroy(&vk->compile);
    lm_mem_free(&backend->host->mem, vk);
}

static void vulkan_device(const lm_backend *backend, lm_device *out)
{
    const lm_vk *vk = (const lm_vk *)backend;
    memset(out, 0, sizeof *out);
    out->name = vk->caps.name;
    out->kind = vk->caps.kind;
    out->memory_total = vk->caps.memory_total;
    out->memory_free = lm_vk_memory_free(vk);
    out->lost = atomic_load_explicit(&vk->lost, memory_order_relaxed) != 0;
}

static llm_status vulkan_can_run(const lm_backend *backend, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)backend;
    return lm_vk_op_can(program, op, state_type, error);
}

static const lm_backend_table vulkan_table = {
    .name = "vulkan",
    .close = vulkan_close,
    .device = vulkan_device,
    .can_run = vulkan_can_run,
    .weight_cost = lm_vk_weight_cost,
    .weight_begin = lm_vk_weight_begin,
    .weight_rows = lm_vk_weight_rows,
    .weight_end = lm_vk_weight_end,
    .weight_free = lm_vk_weight_free,
    .pool_open = lm_vk_pool_open,
    .pool_close = lm_vk_pool_close,
    .pool_page_cost = lm_vk_pool_page_cost,
    .page_take = lm_vk_page_take,
    .page_give = lm_vk_page_give,
    .page_copy = lm_vk_page_copy,
    .pool_page_bytes = lm_vk_pool_page_bytes,
    .page_export = lm_vk_page_export,
    .page_import = lm_vk_page_import,
    .exec_open = lm_vk_exec_open,
    .exec_close = lm_vk_exec_close,
    .exec_compile = lm_vk_exec_compile,
    .arena_cost = lm_vk_arena_cost,
    .arena_open = lm_vk_arena_open,
    .arena_close = lm_vk_arena_close,
    .run_begin = lm_vk_run_begin,
    .run_step = lm_vk_run_step,
    .run_value = lm_vk_run_value,
    .run_beside = lm_vk_run_beside,
    .run_end = lm_vk_run_end,
    .own_memory = true,
    .test = lm_vk_test,
    .report = lm_vk_report,
    .exec_report = lm_vk_exec_report,
    .cache_get = lm_vk_cache_get,
    .cache_put = lm_vk_cache_put,
};

bool lm_vulkan_built(void) { return true; }

static llm_status vulkan_open(lm_vk *vk, const lm_vulkan_desc *desc, llm_error *error)
{
    LM_TRY(lm_mutex_init(&vk->gpu, error));
    vk->has_mutex = 1;
    LM_TRY(lm_mutex_init(&vk->compile, error));
    vk->has_mutex = 2;
    LM_TRY(lm_vk_device_open(vk, desc, error));
    LM_TRY(lm_vk_memory_open(vk, error));
    return lm_vk_pipelines_open(vk, error);
}

llm_status lm_vulkan_backend_open(lm_host *host, const lm_vulkan_desc *desc, lm_backend **out, llm_error *error)
{
    lm_vk *vk = lm_mem_new(&host->mem, sizeof *vk, LLM_MEMORY_OTHER);
    if (!vk)
        return lm_fail_memory(error, "the Vulkan backend", sizeof *vk);
    vk->base.table = &vulkan_table;
    vk->base.host = host;
    vk->submit_ms = desc->submit_ms ? desc->submit_ms : VULKAN_SUBMIT_MS;
    vk->rate = 1e5;                                         /* a slow processor's; doubled until it is the device's */
    vk->trust = desc->trust;
    vk->changes = 1;
    llm_status status = vulkan_open(vk, desc, error);
    if (status < 0) {
        vulkan_close(&vk->base);
        return status;
    }
    *out = &vk->base;
    return LLM_OK;
}

llm_status lm_vulkan_backend_get_info(const lm_backend *backend, lm_vulkan_info *out, llm_error *error)
{
    const lm_vk *vk = (const lm_vk *)backend;
    memset(out, 0, sizeof *out);
    if (backend->table != &vulkan_table)
        return lm_fail(error, LLM_E_INVALID, "this is the %s backend", backend->table->name);
    memcpy(out->name, vk->caps.name, sizeof vk->caps.name);
    out->api_version = vk->caps.api_version;
    out->driver_version = vk->caps.driver_version;
    out->vendor = vk->caps.vendor;
    out->subgroup = vk->caps.subgroup;
    out->max_range = vk->caps.max_range;
    out->max_slab = vk->caps.max_slab;
    out->device_bytes = atomic_load_explicit(&vk->device_bytes, memory_order_relaxed);
    out->shared_bytes = vk->caps.shared_bytes;
    out->n_modules = LM_VK_MODULES;
    out->n_pipelines = vk->n_pipelines;
    out->n_submits = (uint32_t)vk->n_submits;
    out->float16 = vk->caps.float16;
    out->int8 = vk->caps.int8;
    out->storage16 = vk->caps.storage16;
    out->storage8 = vk->caps.storage8;
    out->int_dot = vk->caps.int_dot;
    return LLM_OK;
}
