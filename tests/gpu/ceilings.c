/* SPDX-License-Identifier: MIT
 * What a GPU can do at most, as tests/gpu/run.sh asks: copies between two buffers of its own memory (read and written bytes count), and
 * multiply-adds in f32 by a shader that does nothing else (two operations each). The best of five runs; each is one submission, timed from the
 * host. The library uses no matrix units yet, so that theirs are not measured.
 * Usage: gpu_ceilings [DEVICE] [MiB of a copy = 1024]. Prints "name ...", "copy bytes/s", "f32 operations/s". */
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#endif
#include "backend/vulkan/vulkan.h"

#include "base/os.h"

#include "test.h"

#include "gpu_peak.h"

static double gpu_copies(lm_vk *vk, uint64_t bytes, llm_error *error)
{
    lm_vk_buffer from, to;
    double best = 0;
    memset(&from, 0, sizeof from);
    memset(&to, 0, sizeof to);
    bytes = LM_MIN(bytes, vk->caps.max_range);
    llm_status status = lm_vk_buffer_new(vk, bytes, LM_VK_ON_DEVICE, &from, error);
    if (status >= 0)
        status = lm_vk_buffer_new(vk, bytes, LM_VK_ON_DEVICE, &to, error);
    enum { COPIES = 8 };
    for (int run = 0; run < 6 && status >= 0; run++) {
        VkBufferCopy range = { 0, 0, bytes };
        status = lm_vk_begin(vk, error);
        for (int i = 0; i < COPIES && status >= 0; i++)     /* there and back: they depend on one another, and are kept apart */
        {
            static const VkMemoryBarrier after = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                                   .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT };
            vk->fn.CmdCopyBuffer(vk->command, i % 2 ? to.buffer : from.buffer, i % 2 ? from.buffer : to.buffer, 1, &range);
            vk->fn.CmdPipelineBarrier(vk->command, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &after, 0, NULL, 0, NULL);
        }
        int64_t begun = lm_now_ns();
        if (status >= 0)
            status = lm_vk_submit(vk, error);
        double rate = 2.0 * COPIES * (double)bytes * 1e9 / (double)(lm_now_ns() - begun);
        best = run > 0 && rate > best ? rate : best;
    }
    lm_vk_buffer_free(vk, &from);
    lm_vk_buffer_free(vk, &to);
    return status < 0 ? -1 : best;
}

static llm_status gpu_pipeline(lm_vk *vk, VkPipeline *out, llm_error *error)
{
    VkShaderModuleCreateInfo code = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = sizeof gpu_peak, .pCode = gpu_peak };
    VkComputePipelineCreateInfo info = { .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, .layout = vk->layout };
    info.stage = (VkPipelineShaderStageCreateInfo){ .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT, .pName = "main" };
    VkResult result = vk->fn.CreateShaderModule(vk->device, &code, NULL, &info.stage.module);
    if (result != VK_SUCCESS)
        return lm_vk_fail(vk, result, "gpu_peak", error);
    result = vk->fn.CreateComputePipelines(vk->device, VK_NULL_HANDLE, 1, &info, NULL, out);
    vk->fn.DestroyShaderModule(vk->device, info.stage.module, NULL);
    return result == VK_SUCCESS ? LLM_OK : lm_vk_fail(vk, result, "gpu_peak", error);
}

/* Groups enough for any card; rounds so many that a run lasts about 50 ms. */
static double gpu_operations(lm_vk *vk, llm_error *error)
{
    VkPipeline pipeline;
    lm_vk_buffer values;
    lm_vk_set set;
    double best = -1;
    enum { GROUPS = 1 << 14 };
    memset(&values, 0, sizeof values);
    memset(&set, 0, sizeof set);
    if (gpu_pipeline(vk, &pipeline, error) < 0)
        return -1;
    llm_status status = lm_vk_buffer_new(vk, GROUPS * 4, LM_VK_ON_DEVICE, &values, error);
    VkDescriptorBufferInfo ranges[3] = { { values.buffer, 0, GROUPS * 4 }, { values.buffer, 0, GROUPS * 4 }, { values.buffer, 0, GROUPS * 4 } };
    if (status >= 0)
        status = lm_vk_set_new(vk, LM_VK_SET_VALUES, ranges, &set, error);
    uint32_t rounds = 1;
    for (int run = 0; run < 5 && status >= 0;) {
        lm_vk_dispatch d = { .pipeline = pipeline, .sets = { set.set, vk->none_set.set, vk->none_set.set, vk->none_set.set }, .push_bytes = 4 };
        const uint32_t base[2] = { rounds, 0 }, n[2] = { GROUPS, 1 };      /* base[0] is the first word that is pushed */
        status = lm_vk_begin(vk, error);
        if (status < 0)
            break;
        lm_vk_record(vk, &d, base, n);
        int64_t begun = lm_now_ns();
        status = lm_vk_submit(vk, error);
        double spent = (double)(lm_now_ns() - begun) * 1e-9;
        if (spent < 0.05 && rounds < 1u << 20) {
            rounds *= 2;
            continue;
        }
        best = LM_MAX(best, 2.0 * 64 * 8 * 4 * (double)GROUPS * rounds / spent);
        run++;
    }
    vk->fn.DestroyPipeline(vk->device, pipeline, NULL);
    lm_vk_set_free(vk, &set);
    lm_vk_buffer_free(vk, &values);
    return status < 0 ? -1 : best;
}

int main(int argc, char **argv)
{
    lm_host host;
    lm_backend *backend = NULL;
    llm_error error;
    memset(&host, 0, sizeof host);
    lm_mem_init(&host.mem, NULL, 0);
    if (lm_vulkan_backend_open(&host, &(lm_vulkan_desc){ .device = argc > 1 ? argv[1] : NULL, .allow_software = true }, &backend, &error) < 0) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    lm_vk *vk = (lm_vk *)backend;
    lm_vk_lock(vk);
    double copies = gpu_copies(vk, (uint64_t)(argc > 2 ? atoi(argv[2]) : 1024) << 20, &error), operations = copies < 0 ? -1 : gpu_operations(vk, &error);
    lm_vk_unlock(vk);
    printf("name %s\n", vk->caps.name);
    backend->table->close(backend);
    if (operations < 0) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    printf("copy %.0f\nf32 %.0f\n", copies, operations);
    return 0;
}
