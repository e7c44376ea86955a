/* SPDX-License-Identifier: MIT
 * What the driver has compiled, out to the host and back. Drivers trust such data, and hosts keep it on disks: it comes back in a wrapping
 * that says of which device and driver it is, with a checksum, and nothing else goes to a driver. Owns nothing. Threads: any; the cache is
 * touched under `compile` and `gpu`. */
#include "backend/vulkan/vulkan.h"

#include <string.h>

/* The wrapping, in bytes: magic, checksum of all behind it, vendor, device, driver's version, the driver's id of its format. */
enum { CACHE_MAGIC = 0, CACHE_SUM = 8, CACHE_VENDOR = 16, CACHE_DEVICE = 20, CACHE_DRIVER = 24, CACHE_RESERVED = 28, CACHE_UUID = 32, CACHE_HEAD = CACHE_UUID + VK_UUID_SIZE };
static const char cache_magic[8] = { 'l', 'l', 'm', 'v', 'k', 'p', '0', '1' };

static uint64_t cache_sum(const uint8_t *bytes, size_t n)      /* FNV-1a */
{
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

static void cache_head(const lm_vk *vk, uint8_t head[CACHE_HEAD])
{
    memset(head, 0, CACHE_HEAD);
    memcpy(head + CACHE_MAGIC, cache_magic, sizeof cache_magic);
    memcpy(head + CACHE_VENDOR, &vk->caps.vendor, 4);
    memcpy(head + CACHE_DEVICE, &vk->caps.device, 4);
    memcpy(head + CACHE_DRIVER, &vk->caps.driver_version, 4);
    memcpy(head + CACHE_UUID, vk->caps.cache_uuid, VK_UUID_SIZE);
}

static llm_status cache_read(lm_vk *vk, uint8_t *out, size_t cap, size_t *n, llm_error *error)
{
    size_t size = 0;
    LM_TRY(lm_vk_alive(vk, error));
    VkResult result = vk->fn.GetPipelineCacheData(vk->device, vk->cache, &size, NULL);
    if (result != VK_SUCCESS)
        return lm_vk_fail(vk, result, "the cache of pipelines", error);
    if (!out || cap < CACHE_HEAD + size) {
        *n = CACHE_HEAD + size;
        return out ? lm_fail(error, LLM_E_SPACE, "the cache of pipelines has %zu bytes, there is room for %zu", CACHE_HEAD + size, cap) : LLM_OK;
    }
    size_t room = cap - CACHE_HEAD;
    size = room;
    result = vk->fn.GetPipelineCacheData(vk->device, vk->cache, &size, out + CACHE_HEAD);
    if (result == VK_INCOMPLETE) {                          /* a driver may have more to say the second time */
        *n = CACHE_HEAD + 2 * room;
        return lm_fail(error, LLM_E_SPACE, "the cache of pipelines has grown: it has more than %zu bytes", cap);
    }
    if (result != VK_SUCCESS)
        return lm_vk_fail(vk, result, "the cache of pipelines", error);
    cache_head(vk, out);
    uint64_t sum = cache_sum(out + CACHE_VENDOR, CACHE_HEAD - CACHE_VENDOR + size);
    memcpy(out + CACHE_SUM, &sum, 8);
    *n = CACHE_HEAD + size;
    return LLM_OK;
}

llm_status lm_vk_cache_get(lm_backend *backend, void *out, size_t cap, size_t *n, llm_error *error)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_mutex_lock(&vk->compile);
    lm_vk_lock_busy(vk);
    llm_status status = cache_read(vk, out, cap, n, error);
    lm_vk_unlock(vk);
    lm_mutex_unlock(&vk->compile);
    return status;
}

static llm_status cache_merge(lm_vk *vk, const uint8_t *data, size_t n, llm_error *error)
{
    VkPipelineCacheCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO, .initialDataSize = n, .pInitialData = data };
    VkPipelineCache other = VK_NULL_HANDLE;
    LM_TRY(lm_vk_alive(vk, error));
    VkResult result = vk->fn.CreatePipelineCache(vk->device, &info, NULL, &other);
    if (result != VK_SUCCESS)
        return lm_vk_fail(vk, result, "a cache of pipelines", error);
    result = vk->fn.MergePipelineCaches(vk->device, vk->cache, 1, &other);
    vk->fn.DestroyPipelineCache(vk->device, other, NULL);
    return result == VK_SUCCESS ? LLM_OK : lm_vk_fail(vk, result, "caches of pipelines", error);
}

llm_status lm_vk_cache_put(lm_backend *backend, const void *data, size_t n, llm_error *error)
{
    lm_vk *vk = (lm_vk *)backend;
    const uint8_t *bytes = data;
    uint8_t head[CACHE_HEAD];
    uint64_t sum;
    if (n < CACHE_HEAD || memcmp(bytes, cache_magic, sizeof cache_magic) != 0)
        return lm_fail(error, LLM_E_FORMAT, "this is no cache of pipelines of this library");
    memcpy(&sum, bytes + CACHE_SUM, 8);
    if (sum != cache_sum(bytes + CACHE_VENDOR, n - CACHE_VENDOR))
        return lm_fail(error, LLM_E_FORMAT, "the cache of pipelines is damaged: its checksum is another");
    cache_head(vk, head);
    if (memcmp(head + CACHE_VENDOR, bytes + CACHE_VENDOR, CACHE_HEAD - CACHE_VENDOR) != 0)
        return lm_fail(error, LLM_E_VERSION, "the cache of pipelines is of another device or driver than %s", vk->caps.name);
    lm_mutex_lock(&vk->compile);
    lm_vk_lock_busy(vk);
    llm_status status = cache_merge(vk, bytes + CACHE_HEAD, n - CACHE_HEAD, error);
    lm_vk_unlock(vk);
    lm_mutex_unlock(&vk->compile);
    return status;
}
