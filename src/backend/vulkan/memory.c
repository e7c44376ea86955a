/* SPDX-License-Identifier: MIT
 * Memory of the device: buffers with an allocation of their own, slabs that weights share, and staging in both directions in pieces of a
 * stated size, whatever is moved. Weights lie in memory that the host cannot see, wherever there is some.
 * Invariant: vk->device_bytes counts what is allocated. Threads: under `gpu`, but for lm_vk_staging_bytes. */
#include "backend/vulkan/vulkan.h"

#include "base/size.h"

#include <string.h>

enum { MEMORY_STAGING = LM_HOSTILE ? 4096 : 4 << 20, MEMORY_FIRST_SLAB = 1 << 20 };

/* ---- buffers */

static uint32_t memory_find(const lm_vk *vk, uint32_t allowed, VkMemoryPropertyFlags with, VkMemoryPropertyFlags without)
{
    const VkPhysicalDeviceMemoryProperties *memory = &vk->caps.memory;
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++)
        if ((allowed >> i & 1) && (memory->memoryTypes[i].propertyFlags & with) == with && !(memory->memoryTypes[i].propertyFlags & without))
            return i;
    return UINT32_MAX;
}

/* The types of memory for a use, the best first. */
static uint32_t memory_type(const lm_vk *vk, uint32_t allowed, int where)
{
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, seen = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT,
                                coherent = seen | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
                                odd = VK_MEMORY_PROPERTY_PROTECTED_BIT | VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT | VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD |
                                      VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD;        /* the last two want a feature */
    const VkMemoryPropertyFlags wish[3][3][2] = {
        { { local, seen | odd }, { local, odd }, { 0, odd } },
        { { coherent, cached | local | odd }, { coherent, odd }, { coherent, odd } },
        { { coherent | cached, odd }, { coherent, odd }, { coherent, odd } },
    };
    for (int i = 0; i < 3; i++) {
        uint32_t found = memory_find(vk, allowed, wish[where][i][0], wish[where][i][1]);
        if (found != UINT32_MAX)
            return found;
    }
    return UINT32_MAX;
}

void lm_vk_buffer_free(lm_vk *vk, lm_vk_buffer *buffer)
{
    bool hung = lm_vk_hung(vk);
    vk->changes++;
    if (buffer->buffer)
        lm_vk_forget(vk, buffer->buffer, 0, UINT64_MAX);    /* copies that a failed flush has left */
    if (buffer->buffer && !hung)
        vk->fn.DestroyBuffer(vk->device, buffer->buffer, NULL);
    if (buffer->memory && !hung) {
        vk->fn.FreeMemory(vk->device, buffer->memory, NULL);
        atomic_fetch_sub_explicit(&vk->device_bytes, buffer->held, memory_order_relaxed);
    }
    memset(buffer, 0, sizeof *buffer);
}

static llm_status memory_back(lm_vk *vk, lm_vk_buffer *b, int where, llm_error *error)
{
    VkMemoryRequirements need;
    vk->fn.GetBufferMemoryRequirements(vk->device, b->buffer, &need);
    VkMemoryAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .allocationSize = need.size, .memoryTypeIndex = memory_type(vk, need.memoryTypeBits, where) };
    if (info.memoryTypeIndex == UINT32_MAX)
        return lm_fail(error, LLM_E_NO_DEVICE, "Vulkan: no type of memory fits a buffer");
    uint64_t held = atomic_load_explicit(&vk->device_bytes, memory_order_relaxed);
    if (vk->memory_limit && (need.size > vk->memory_limit || held > vk->memory_limit - need.size))
        return lm_fail(error, LLM_E_MEMORY, "Vulkan: %llu bytes more would pass llm_vulkan.memory_limit, %llu; %llu are held", (unsigned long long)need.size,
                       (unsigned long long)vk->memory_limit, (unsigned long long)held);
    VkResult result = vk->fn.AllocateMemory(vk->device, &info, NULL, &b->memory);
    /* Where processor and GPU share their memory, another type of it may be less bounded. */
    while (result == VK_ERROR_OUT_OF_DEVICE_MEMORY && vk->caps.kind == LLM_DEVICE_KIND_INTEGRATED) {
        need.memoryTypeBits &= ~((uint32_t)1 << info.memoryTypeIndex);
        info.memoryTypeIndex = memory_type(vk, need.memoryTypeBits, where);
        if (info.memoryTypeIndex == UINT32_MAX)
            break;
        result = vk->fn.AllocateMemory(vk->device, &info, NULL, &b->memory);
    }
    if (result != VK_SUCCESS) {
        b->memory = VK_NULL_HANDLE;
        if (result == VK_ERROR_DEVICE_LOST)
            return lm_vk_fail(vk, result, "memory", error);
        return lm_fail(error, LLM_E_MEMORY, "Vulkan: the device gives no %llu bytes (%d)", (unsigned long long)need.size, (int)result);
    }
    b->held = need.size;
    atomic_fetch_add_explicit(&vk->device_bytes, need.size, memory_order_relaxed);
    result = vk->fn.BindBufferMemory(vk->device, b->buffer, b->memory, 0);
    if (result == VK_SUCCESS && where != LM_VK_ON_DEVICE)
        result = vk->fn.MapMemory(vk->device, b->memory, 0, VK_WHOLE_SIZE, 0, &b->mapped);
    return result == VK_SUCCESS ? LLM_OK : lm_vk_fail(vk, result, "a buffer's memory", error);
}

llm_status lm_vk_buffer_new(lm_vk *vk, uint64_t bytes, int where, lm_vk_buffer *out, llm_error *error)
{
    VkBufferCreateInfo info = { .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT };
    memset(out, 0, sizeof *out);
    LM_TRY(lm_vk_alive(vk, error));
    if (!lm_align_u64(LM_MAX(bytes, 1), LM_VK_ALIGN, &info.size))
        return lm_fail(error, LLM_E_LIMIT, "Vulkan: a buffer of %llu bytes", (unsigned long long)bytes);
    VkResult result = vk->fn.CreateBuffer(vk->device, &info, NULL, &out->buffer);
    if (result != VK_SUCCESS) {
        out->buffer = VK_NULL_HANDLE;
        return lm_vk_fail(vk, result, "a buffer", error);
    }
    out->bytes = info.size;
    llm_status status = memory_back(vk, out, where, error);
    if (status < 0)
        lm_vk_buffer_free(vk, out);
    return status;
}

/* ---- slabs: spans one behind the other; a slab goes when its last span does */

static llm_status memory_slab(lm_vk *vk, uint64_t bytes, llm_error *error)
{
    /* Each as large as a quarter of all before together, so that at most a quarter is not used; halved where the device says no. */
    uint64_t size = LM_MAX(bytes, LM_MIN(vk->caps.max_slab, LM_MAX(vk->slab_bytes / 4, MEMORY_FIRST_SLAB)));
    lm_vk_slab *slab = lm_mem_new(&vk->base.host->mem, sizeof *slab, LLM_MEMORY_WEIGHTS);
    llm_status status = slab ? lm_vk_buffer_new(vk, size, LM_VK_ON_DEVICE, &slab->buffer, error) : lm_fail_memory(error, "a slab", sizeof *slab);
    while (slab && status == LLM_E_MEMORY && size > bytes) {
        size = LM_MAX(bytes, size / 2);
        status = lm_vk_buffer_new(vk, size, LM_VK_ON_DEVICE, &slab->buffer, error);
    }
    if (status < 0) {
        lm_mem_free(&vk->base.host->mem, slab);
        return status;
    }
    vk->slab_bytes += slab->buffer.bytes;
    slab->next = vk->slabs;
    vk->slabs = slab;
    return LLM_OK;
}

llm_status lm_vk_span_new(lm_vk *vk, uint64_t bytes, lm_vk_span *out, llm_error *error)
{
    uint64_t size;
    if (!lm_align_u64(LM_MAX(bytes, 1), LM_VK_ALIGN, &size) || size > vk->caps.max_slab || size > vk->caps.max_range)
        return lm_fail(error, LLM_E_LIMIT, "Vulkan: %llu bytes in one piece: the device's most are %llu", (unsigned long long)bytes,
                       (unsigned long long)LM_MIN(vk->caps.max_slab, vk->caps.max_range));
    lm_vk_slab *slab = vk->slabs;
    while (slab && slab->buffer.bytes - slab->used < size)
        slab = slab->next;
    if (!slab) {
        LM_TRY(memory_slab(vk, size, error));
        slab = vk->slabs;
    }
    *out = (lm_vk_span){ slab, slab->used, size };
    slab->used += size;
    slab->live++;
    return LLM_OK;
}

/* Copies that wait for a flush and would go there are forgotten. */
void lm_vk_forget(lm_vk *vk, VkBuffer to, uint64_t offset, uint64_t bytes)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < vk->n_copies; i++)
        if (vk->copies[i].to != to || vk->copies[i].range.dstOffset < offset || vk->copies[i].range.dstOffset - offset >= bytes)
            vk->copies[n++] = vk->copies[i];
    vk->n_copies = n;
}

void lm_vk_span_free(lm_vk *vk, lm_vk_span *span)
{
    lm_vk_slab *slab = span->slab, **link = &vk->slabs;
    if (!slab)
        return;
    lm_vk_forget(vk, slab->buffer.buffer, span->offset, span->bytes);
    if (span->offset + span->bytes == slab->used)           /* the last one: its place serves again */
        slab->used = span->offset;
    memset(span, 0, sizeof *span);
    if (--slab->live != 0)
        return;
    while (*link != slab)
        link = &(*link)->next;
    *link = slab->next;
    vk->slab_bytes -= slab->buffer.bytes;
    lm_vk_buffer_free(vk, &slab->buffer);
    lm_mem_free(&vk->base.host->mem, slab);
}

/* ---- staging */

uint64_t lm_vk_staging_bytes(const lm_vk *vk)
{
    (void)vk;
    return MEMORY_STAGING;
}

llm_status lm_vk_flush(lm_vk *vk, llm_error *error)
{
    if (vk->n_copies == 0) {
        vk->staged = 0;
        return LLM_OK;
    }
    LM_TRY(lm_vk_begin(vk, error));
    for (uint32_t i = 0; i < vk->n_copies; i++)
        vk->fn.CmdCopyBuffer(vk->command, vk->staging.buffer, vk->copies[i].to, 1, &vk->copies[i].range);
    LM_TRY(lm_vk_submit(vk, error));                        /* where it failed they wait on: they may be another weight's than the caller's */
    vk->n_copies = 0;
    vk->staged = 0;
    return LLM_OK;
}

llm_status lm_vk_upload(lm_vk *vk, VkBuffer to, uint64_t offset, uint64_t bytes, void **place, llm_error *error)
{
    uint64_t size = (bytes + 15) & ~(uint64_t)15;
    if (bytes == 0 || size > MEMORY_STAGING)
        return lm_fail(error, LLM_E_INTERNAL, "Vulkan: a piece of %llu bytes for a staging of %d", (unsigned long long)bytes, MEMORY_STAGING);
    if (vk->n_copies == LM_VK_COPIES || size > MEMORY_STAGING - vk->staged)
        LM_TRY(lm_vk_flush(vk, error));
    *place = (uint8_t *)vk->staging.mapped + vk->staged;
    vk->copies[vk->n_copies++] = (lm_vk_copy){ to, { vk->staged, offset, bytes } };
    vk->staged += size;
    return LLM_OK;
}

llm_status lm_vk_copy_now(lm_vk *vk, VkBuffer from, uint64_t from_offset, VkBuffer to, uint64_t to_offset, uint64_t bytes, llm_error *error)
{
    VkBufferCopy range = { from_offset, to_offset, bytes };
    LM_TRY(lm_vk_flush(vk, error));
    LM_TRY(lm_vk_begin(vk, error));
    vk->fn.CmdCopyBuffer(vk->command, from, to, 1, &range);
    return lm_vk_submit(vk, error);
}

llm_status lm_vk_download(lm_vk *vk, VkBuffer from, uint64_t offset, uint64_t bytes, void *to, llm_error *error)
{
    static const VkMemoryBarrier after = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT, .dstAccessMask = VK_ACCESS_HOST_READ_BIT };
    LM_TRY(lm_vk_flush(vk, error));
    for (uint64_t done = 0; done < bytes;) {
        uint64_t n = LM_MIN(bytes - done, (uint64_t)MEMORY_STAGING);
        VkBufferCopy range = { offset + done, 0, n };
        LM_TRY(lm_vk_begin(vk, error));
        vk->fn.CmdCopyBuffer(vk->command, from, vk->readback.buffer, 1, &range);
        vk->fn.CmdPipelineBarrier(vk->command, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &after, 0, NULL, 0, NULL);
        LM_TRY(lm_vk_submit(vk, error));
        memcpy((uint8_t *)to + done, vk->readback.mapped, (size_t)n);
        done += n;
    }
    return LLM_OK;
}

llm_status lm_vk_memory_open(lm_vk *vk, llm_error *error)
{
    LM_TRY(lm_vk_buffer_new(vk, MEMORY_STAGING, LM_VK_TO_DEVICE, &vk->staging, error));
    return lm_vk_buffer_new(vk, MEMORY_STAGING, LM_VK_FROM_DEVICE, &vk->readback, error);
}

void lm_vk_memory_close(lm_vk *vk)
{
    lm_vk_buffer_free(vk, &vk->staging);
    lm_vk_buffer_free(vk, &vk->readback);
}
