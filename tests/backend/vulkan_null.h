/* SPDX-License-Identifier: MIT
 * A Vulkan driver for tests. Alone it computes nothing, counts its objects, and looks at ranges of copies and bindings; before a real one
 * it hands calls on. In both places the n-th call that can fail does, when asked to: alone, or with all after it. One at a time. */
#ifndef TEST_VULKAN_NULL_H
#define TEST_VULKAN_NULL_H

#include "base/library.h"
#include "base/os.h"
#include "base/thread.h"

#include "test.h"

#define VK_NO_PROTOTYPES 1
#include <vulkan/vulkan_core.h>

static struct {
    int64_t objects, calls, fail_at;                        /* fail_at < 0: nothing fails */
    uint64_t faults;
    VkResult result;                                        /* of the call that fails */
    const char *failed;                                     /* its name */
    int onwards;                                            /* all calls from the n-th on fail */
    int64_t waits, hang_after;                              /* waits so far; hang_after > 0: from there on they time out, and nothing may be destroyed */
    int64_t compiles;                                       /* pipelines asked for so far */
    int64_t submits, lose_after;                            /* submissions so far; lose_after > 0: all beyond so many lose the device */
    int64_t skip;                                           /* real: the shader (a number in the order of their first use, from 1) whose dispatches are left out; 0: none */
    int64_t lag, air, most_air, sleeps;                     /* looks at a submission that find it still at work; submissions in the air, and the most so far; waits that may sleep */
    _Atomic uint32_t gate, at_gate;                         /* gate 1: waits that may sleep do so until it is 0; how many do */
    PFN_vkGetInstanceProcAddr real;                         /* NULL: this driver alone */
} null_vk;

static void null_fault(const char *what)
{
    if (null_vk.faults++ < 10)
        fprintf(stderr, "null driver: %s\n", what);
}

static int null_fails(const char *name, VkResult a, VkResult b)
{
    int64_t call = null_vk.calls++;
    if (null_vk.fail_at < 0 || call < null_vk.fail_at || (call > null_vk.fail_at && !null_vk.onwards))
        return 0;
    null_vk.result = call % 2 ? a : b;
    if (call == null_vk.fail_at)
        null_vk.failed = name;
    return 1;
}

/* ---- objects: a tag and what it must remember */

typedef struct null_object { uint32_t tag; uint32_t n; int64_t place; uint64_t size; void *bytes; VkBufferUsageFlags usage; } null_object;
enum { NULL_INSTANCE = 1, NULL_DEVICE, NULL_BUFFER, NULL_MEMORY, NULL_MODULE, NULL_LAYOUT, NULL_PIPELINE, NULL_SET_LAYOUT, NULL_POOL, NULL_SET, NULL_COMMANDS, NULL_FENCE, NULL_CACHE, NULL_QUERIES };

enum { NULL_OBJECTS = 1 << 14 };
static null_object *null_objects[NULL_OBJECTS];            /* all that there are */

static null_object *null_new(uint32_t tag)
{
    null_object *o = calloc(1, sizeof *o);
    o->tag = tag;
    o->place = null_vk.objects++;
    if (o->place < NULL_OBJECTS)
        null_objects[o->place] = o;
    return o;
}
static null_object *null_get(const void *handle, uint32_t tag)
{
    null_object *o = (null_object *)(uintptr_t)handle;
    if (!o || o->tag != tag) {
        null_fault("a handle that is none, or of another kind");
        return NULL;
    }
    return o;
}
static void null_free(const void *handle, uint32_t tag)
{
    null_object *o = handle ? null_get(handle, tag) : NULL;
    if (!o)
        return;
    if (tag == NULL_POOL && o->n != 0)
        null_fault("a pool is destroyed before its sets are given back");
    if (null_vk.hang_after > 0 && null_vk.waits > null_vk.hang_after && tag != NULL_MODULE)
        null_fault("destroyed while the device is at work");
    if (null_vk.air > 0 && (tag == NULL_BUFFER || tag == NULL_MEMORY || tag == NULL_SET || tag == NULL_PIPELINE || tag == NULL_DEVICE))
        null_fault("destroyed while a submission is in the air");
    free(o->bytes);
    o->tag = 0;
    null_vk.objects--;
    if (o->place < NULL_OBJECTS && null_vk.objects < NULL_OBJECTS) {
        null_objects[o->place] = null_objects[null_vk.objects];
        null_objects[o->place]->place = o->place;
    }
    free(o);
}
/* What a device that hangs was left with. Returns how many. */
static inline int64_t null_sweep(void)
{
    int64_t n = null_vk.objects;
    for (int64_t i = 0; i < n && i < NULL_OBJECTS; i++) {
        free(null_objects[i]->bytes);
        free(null_objects[i]);
    }
    null_vk.objects = 0;
    return n;
}
#define NULL_HANDLE(x) ((const void *)(uintptr_t)(x))

/* ---- calls that cannot fail */

static VKAPI_ATTR VkResult VKAPI_CALL null_EnumerateInstanceVersion(uint32_t *version)
{
    *version = VK_API_VERSION_1_1;
    return VK_SUCCESS;
}
static VKAPI_ATTR void VKAPI_CALL null_GetPhysicalDeviceProperties2(VkPhysicalDevice p, VkPhysicalDeviceProperties2 *out)
{
    VkPhysicalDeviceProperties *v = &out->properties;
    (void)p;
    memset(v, 0, sizeof *v);
    v->apiVersion = VK_API_VERSION_1_1;
    v->deviceType = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    strcpy(v->deviceName, "null");
    v->limits.maxStorageBufferRange = 1 << 27;
    v->limits.maxPerStageDescriptorStorageBuffers = 8;
    v->limits.maxBoundDescriptorSets = 4;
    v->limits.minStorageBufferOffsetAlignment = 256;
    v->limits.maxComputeWorkGroupInvocations = 128;
    v->limits.maxComputeSharedMemorySize = 16384;
    v->limits.maxPushConstantsSize = 128;
    v->limits.timestampPeriod = 1;
    v->limits.maxComputeWorkGroupCount[0] = v->limits.maxComputeWorkGroupCount[1] = 65535;
}
static VKAPI_ATTR void VKAPI_CALL null_GetPhysicalDeviceFeatures2(VkPhysicalDevice p, VkPhysicalDeviceFeatures2 *out) { (void)p, (void)out; }
static VKAPI_ATTR void VKAPI_CALL null_GetPhysicalDeviceQueueFamilyProperties(VkPhysicalDevice p, uint32_t *n, VkQueueFamilyProperties *out)
{
    (void)p;
    *n = 1;
    out[0] = (VkQueueFamilyProperties){ .queueFlags = VK_QUEUE_COMPUTE_BIT, .queueCount = 1, .timestampValidBits = 64 };
}
static VKAPI_ATTR void VKAPI_CALL null_GetPhysicalDeviceMemoryProperties2(VkPhysicalDevice p, VkPhysicalDeviceMemoryProperties2 *properties)
{
    VkPhysicalDeviceMemoryProperties *out = &properties->memoryProperties;
    (void)p;
    memset(out, 0, sizeof *out);
    out->memoryHeapCount = 2;
    out->memoryHeaps[0] = (VkMemoryHeap){ 1u << 30, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT };
    out->memoryHeaps[1] = (VkMemoryHeap){ 1u << 30, 0 };
    out->memoryTypeCount = 2;
    out->memoryTypes[0] = (VkMemoryType){ VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0 };
    out->memoryTypes[1] = (VkMemoryType){ VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, 1 };
}
static VKAPI_ATTR void VKAPI_CALL null_GetDeviceQueue(VkDevice d, uint32_t f, uint32_t i, VkQueue *out) { (void)f, (void)i, *out = (VkQueue)d; }
static VKAPI_ATTR void VKAPI_CALL null_GetBufferMemoryRequirements(VkDevice d, VkBuffer b, VkMemoryRequirements *out)
{
    null_object *o = null_get(NULL_HANDLE(b), NULL_BUFFER);
    (void)d;
    *out = (VkMemoryRequirements){ o ? o->size + 4096 : 0, 256, 3 };      /* as drivers that round up: memory is more than its buffer */
}
/* Was never written to. */
static int null_fresh(const void *handle)
{
    null_object *o = null_get(handle, NULL_SET);
    return o && o->n++ == 0;
}
static VKAPI_ATTR void VKAPI_CALL null_UpdateDescriptorSets(VkDevice d, uint32_t n, const VkWriteDescriptorSet *writes, uint32_t m, const VkCopyDescriptorSet *copies)
{
    (void)d, (void)m, (void)copies;
    for (uint32_t i = 0; i < n; i++) {
        const VkDescriptorBufferInfo *info = writes[i].pBufferInfo;
        null_object *b = null_get(NULL_HANDLE(info->buffer), NULL_BUFFER);
        null_get(NULL_HANDLE(writes[i].dstSet), NULL_SET);
        if (null_vk.air > 0 && writes[i].dstBinding == 0 && !null_fresh(NULL_HANDLE(writes[i].dstSet)))
            null_fault("a descriptor set is changed while a submission is in the air");
        if (b && (info->offset % 256 || info->range == 0 || info->offset + info->range > b->size || info->range > 1u << 27))
            null_fault("a binding passes its buffer, or is misplaced");
    }
}
static VKAPI_ATTR void VKAPI_CALL null_CmdBindPipeline(VkCommandBuffer c, VkPipelineBindPoint p, VkPipeline x) { (void)c, (void)p, null_get(NULL_HANDLE(x), NULL_PIPELINE); }
static VKAPI_ATTR void VKAPI_CALL null_CmdBindDescriptorSets(VkCommandBuffer c, VkPipelineBindPoint p, VkPipelineLayout l, uint32_t first, uint32_t n, const VkDescriptorSet *sets, uint32_t m,
                                                             const uint32_t *offsets)
{
    (void)c, (void)p, (void)l, (void)first, (void)m, (void)offsets;
    for (uint32_t i = 0; i < n; i++)
        null_get(NULL_HANDLE(sets[i]), NULL_SET);
}
static VKAPI_ATTR void VKAPI_CALL null_CmdPushConstants(VkCommandBuffer c, VkPipelineLayout l, VkShaderStageFlags s, uint32_t at, uint32_t n, const void *v)
{
    (void)c, (void)l, (void)s, (void)v;
    if (at + n > 128)
        null_fault("more than 128 bytes of push constants");
}
static VKAPI_ATTR void VKAPI_CALL null_CmdDispatch(VkCommandBuffer c, uint32_t x, uint32_t y, uint32_t z)
{
    (void)c;
    if (x == 0 || y == 0 || z != 1 || x > 65535 || y > 65535)
        null_fault("a dispatch of no or too many groups");
}
static VKAPI_ATTR void VKAPI_CALL null_CmdPipelineBarrier(VkCommandBuffer c, VkPipelineStageFlags a, VkPipelineStageFlags b, VkDependencyFlags f, uint32_t n, const VkMemoryBarrier *m, uint32_t o,
                                                          const VkBufferMemoryBarrier *p, uint32_t q, const VkImageMemoryBarrier *r)
{
    (void)c, (void)a, (void)b, (void)f, (void)n, (void)m, (void)o, (void)p, (void)q, (void)r;
}
static VKAPI_ATTR void VKAPI_CALL null_CmdCopyBuffer(VkCommandBuffer c, VkBuffer from, VkBuffer to, uint32_t n, const VkBufferCopy *ranges)
{
    null_object *a = null_get(NULL_HANDLE(from), NULL_BUFFER), *b = null_get(NULL_HANDLE(to), NULL_BUFFER);
    (void)c;
    for (uint32_t i = 0; i < n && a && b; i++)
        if (ranges[i].size == 0 || ranges[i].srcOffset + ranges[i].size > a->size || ranges[i].dstOffset + ranges[i].size > b->size)
            null_fault("a copy passes a buffer's end");
}
static VKAPI_ATTR void VKAPI_CALL null_DestroyInstance(VkInstance x, const VkAllocationCallbacks *a) { (void)a, null_free(x, NULL_INSTANCE); }
static VKAPI_ATTR void VKAPI_CALL null_DestroyDevice(VkDevice x, const VkAllocationCallbacks *a) { (void)a, null_free(x, NULL_DEVICE); }
#define NULL_DESTROY(name, type, tag) \
    static VKAPI_ATTR void VKAPI_CALL null_##name(VkDevice d, type x, const VkAllocationCallbacks *a) { (void)d, (void)a, null_free(NULL_HANDLE(x), tag); }
NULL_DESTROY(FreeMemory, VkDeviceMemory, NULL_MEMORY)
NULL_DESTROY(DestroyBuffer, VkBuffer, NULL_BUFFER)
NULL_DESTROY(DestroyShaderModule, VkShaderModule, NULL_MODULE)
NULL_DESTROY(DestroyPipelineLayout, VkPipelineLayout, NULL_LAYOUT)
NULL_DESTROY(DestroyPipeline, VkPipeline, NULL_PIPELINE)
NULL_DESTROY(DestroyDescriptorSetLayout, VkDescriptorSetLayout, NULL_SET_LAYOUT)
NULL_DESTROY(DestroyDescriptorPool, VkDescriptorPool, NULL_POOL)
NULL_DESTROY(DestroyCommandPool, VkCommandPool, NULL_COMMANDS)
NULL_DESTROY(DestroyFence, VkFence, NULL_FENCE)
NULL_DESTROY(DestroyPipelineCache, VkPipelineCache, NULL_CACHE)
NULL_DESTROY(DestroyQueryPool, VkQueryPool, NULL_QUERIES)
#undef NULL_DESTROY

/* ---- calls that can: what they do here, and before them what makes them fail */

static VKAPI_ATTR VkResult VKAPI_CALL null_EnumerateInstanceExtensionProperties(const char *l, uint32_t *n, VkExtensionProperties *out) { return (void)l, (void)out, *n = 0, VK_SUCCESS; }
static VKAPI_ATTR VkResult VKAPI_CALL null_EnumerateInstanceLayerProperties(uint32_t *n, VkLayerProperties *out) { return (void)out, *n = 0, VK_SUCCESS; }
static VKAPI_ATTR VkResult VKAPI_CALL null_EnumerateDeviceExtensionProperties(VkPhysicalDevice p, const char *l, uint32_t *n, VkExtensionProperties *out)
{
    return (void)p, (void)l, (void)out, *n = 0, VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_EnumeratePhysicalDevices(VkInstance i, uint32_t *n, VkPhysicalDevice *out) { return out[0] = (VkPhysicalDevice)i, *n = 1, VK_SUCCESS; }
static VKAPI_ATTR VkResult VKAPI_CALL null_CreateInstance(const VkInstanceCreateInfo *i, const VkAllocationCallbacks *a, VkInstance *out)
{
    return (void)i, (void)a, *out = (VkInstance)(void *)null_new(NULL_INSTANCE), VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_CreateDevice(VkPhysicalDevice p, const VkDeviceCreateInfo *i, const VkAllocationCallbacks *a, VkDevice *out)
{
    return (void)p, (void)i, (void)a, *out = (VkDevice)(void *)null_new(NULL_DEVICE), VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_AllocateMemory(VkDevice d, const VkMemoryAllocateInfo *i, const VkAllocationCallbacks *a, VkDeviceMemory *out)
{
    null_object *o = null_new(NULL_MEMORY);
    (void)d, (void)a;
    o->size = i->allocationSize;
    o->n = i->memoryTypeIndex;
    *out = (VkDeviceMemory)(uintptr_t)o;
    return VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_MapMemory(VkDevice d, VkDeviceMemory m, VkDeviceSize at, VkDeviceSize n, VkMemoryMapFlags f, void **out)
{
    null_object *o = null_get(NULL_HANDLE(m), NULL_MEMORY);
    (void)d, (void)at, (void)n, (void)f;
    if (!o || o->n != 1)
        null_fault("memory that the host does not see is mapped");
    else
        *out = o->bytes = calloc(1, (size_t)o->size);
    return VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_CreateBuffer(VkDevice d, const VkBufferCreateInfo *i, const VkAllocationCallbacks *a, VkBuffer *out)
{
    null_object *o = null_new(NULL_BUFFER);
    (void)d, (void)a;
    o->size = i->size;
    *out = (VkBuffer)(uintptr_t)o;
    return VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_BindBufferMemory(VkDevice d, VkBuffer b, VkDeviceMemory m, VkDeviceSize at)
{
    null_object *x = null_get(NULL_HANDLE(b), NULL_BUFFER), *y = null_get(NULL_HANDLE(m), NULL_MEMORY);
    (void)d;
    if (x && y && at + x->size > y->size)
        null_fault("a buffer passes its memory");
    return VK_SUCCESS;
}
#define NULL_CREATE(name, info, type, tag)                                                                                             \
    static VKAPI_ATTR VkResult VKAPI_CALL null_##name(VkDevice d, const info *i, const VkAllocationCallbacks *a, type *out)            \
    {                                                                                                                                  \
        (void)d, (void)i, (void)a;                                                                                                     \
        *out = (type)(uintptr_t)null_new(tag);                                                                                         \
        return VK_SUCCESS;                                                                                                             \
    }
NULL_CREATE(CreateShaderModule, VkShaderModuleCreateInfo, VkShaderModule, NULL_MODULE)
NULL_CREATE(CreatePipelineLayout, VkPipelineLayoutCreateInfo, VkPipelineLayout, NULL_LAYOUT)
NULL_CREATE(CreateDescriptorSetLayout, VkDescriptorSetLayoutCreateInfo, VkDescriptorSetLayout, NULL_SET_LAYOUT)
NULL_CREATE(CreateDescriptorPool, VkDescriptorPoolCreateInfo, VkDescriptorPool, NULL_POOL)
NULL_CREATE(CreateCommandPool, VkCommandPoolCreateInfo, VkCommandPool, NULL_COMMANDS)
NULL_CREATE(CreateQueryPool, VkQueryPoolCreateInfo, VkQueryPool, NULL_QUERIES)
NULL_CREATE(CreateFence, VkFenceCreateInfo, VkFence, NULL_FENCE)
NULL_CREATE(CreatePipelineCache, VkPipelineCacheCreateInfo, VkPipelineCache, NULL_CACHE)
#undef NULL_CREATE
static VKAPI_ATTR VkResult VKAPI_CALL null_CreateComputePipelines(VkDevice d, VkPipelineCache c, uint32_t n, const VkComputePipelineCreateInfo *i, const VkAllocationCallbacks *a, VkPipeline *out)
{
    (void)d, (void)c, (void)n, (void)a;
    null_get(NULL_HANDLE(i->stage.module), NULL_MODULE);
    *out = (VkPipeline)(uintptr_t)null_new(NULL_PIPELINE);
    return VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_GetPipelineCacheData(VkDevice d, VkPipelineCache c, size_t *n, void *out)
{
    (void)d;
    null_get(NULL_HANDLE(c), NULL_CACHE);
    if (out && *n >= 4)
        memset(out, 7, 4);
    *n = 4;
    return VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_MergePipelineCaches(VkDevice d, VkPipelineCache to, uint32_t n, const VkPipelineCache *from)
{
    return (void)d, (void)n, null_get(NULL_HANDLE(to), NULL_CACHE), null_get(NULL_HANDLE(from[0]), NULL_CACHE), VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_AllocateDescriptorSets(VkDevice d, const VkDescriptorSetAllocateInfo *i, VkDescriptorSet *out)
{
    null_object *pool = null_get(NULL_HANDLE(i->descriptorPool), NULL_POOL);
    (void)d;
    if (pool)
        pool->n++;
    *out = (VkDescriptorSet)(uintptr_t)null_new(NULL_SET);
    return VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_FreeDescriptorSets(VkDevice d, VkDescriptorPool p, uint32_t n, const VkDescriptorSet *sets)
{
    null_object *pool = null_get(NULL_HANDLE(p), NULL_POOL);
    (void)d;
    for (uint32_t i = 0; i < n; i++)
        null_free(NULL_HANDLE(sets[i]), NULL_SET);
    if (pool)
        pool->n -= n;
    return VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_AllocateCommandBuffers(VkDevice d, const VkCommandBufferAllocateInfo *i, VkCommandBuffer *out) { return (void)i, *out = (VkCommandBuffer)d, VK_SUCCESS; }
static VKAPI_ATTR void VKAPI_CALL null_FreeCommandBuffers(VkDevice d, VkCommandPool p, uint32_t n, const VkCommandBuffer *c) { (void)d, (void)n, (void)c, null_get(NULL_HANDLE(p), NULL_COMMANDS); }
static VKAPI_ATTR void VKAPI_CALL null_CmdResetQueryPool(VkCommandBuffer c, VkQueryPool q, uint32_t first, uint32_t n)
{
    (void)c, null_get(NULL_HANDLE(q), NULL_QUERIES);
    if (first + n > 2)
        null_fault("more queries than there are");
}
static VKAPI_ATTR void VKAPI_CALL null_CmdWriteTimestamp(VkCommandBuffer c, VkPipelineStageFlagBits s, VkQueryPool q, uint32_t i)
{
    (void)c, (void)s, null_get(NULL_HANDLE(q), NULL_QUERIES);
    if (i >= 2)
        null_fault("more queries than there are");
}
static VKAPI_ATTR VkResult VKAPI_CALL null_GetQueryPoolResults(VkDevice d, VkQueryPool q, uint32_t first, uint32_t n, size_t bytes, void *out, VkDeviceSize stride, VkQueryResultFlags f)
{
    const uint64_t ticks[2] = { 7, 7 + 50000 };
    (void)d, (void)f, null_get(NULL_HANDLE(q), NULL_QUERIES);
    if (first != 0 || n != 2 || bytes != sizeof ticks || stride != 8)
        null_fault("other queries than two of 64 bits");
    return memcpy(out, ticks, sizeof ticks), VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_BeginCommandBuffer(VkCommandBuffer c, const VkCommandBufferBeginInfo *i) { return (void)c, (void)i, VK_SUCCESS; }
static VKAPI_ATTR VkResult VKAPI_CALL null_EndCommandBuffer(VkCommandBuffer c) { return (void)c, VK_SUCCESS; }
static VKAPI_ATTR VkResult VKAPI_CALL null_ResetFences(VkDevice d, uint32_t n, const VkFence *f) { return (void)d, (void)n, null_get(NULL_HANDLE(f[0]), NULL_FENCE), VK_SUCCESS; }
static VKAPI_ATTR VkResult VKAPI_CALL null_WaitForFences(VkDevice d, uint32_t n, const VkFence *f, VkBool32 all, uint64_t ns)
{
    return (void)d, (void)n, (void)all, (void)ns, null_get(NULL_HANDLE(f[0]), NULL_FENCE), VK_SUCCESS;
}
static VKAPI_ATTR VkResult VKAPI_CALL null_QueueSubmit(VkQueue q, uint32_t n, const VkSubmitInfo *i, VkFence f) { return (void)q, (void)n, (void)i, null_get(NULL_HANDLE(f), NULL_FENCE), VK_SUCCESS; }

/* X(name, parameters, arguments, what it fails with: two results in turn) */
#define NULL_RESULTS(X)                                                                                                                                                       \
    X(EnumerateDeviceExtensionProperties, (VkPhysicalDevice p, const char *l, uint32_t *n, VkExtensionProperties *o), (p, l, n, o), HOST_MEMORY, DEVICE_MEMORY)              \
    X(EnumeratePhysicalDevices, (VkInstance i, uint32_t *n, VkPhysicalDevice *o), (i, n, o), HOST_MEMORY, INITIALIZATION)                                                   \
    X(CreateInstance, (const VkInstanceCreateInfo *i, const VkAllocationCallbacks *a, VkInstance *o), (i, a, o), HOST_MEMORY, INITIALIZATION)                                \
    X(CreateDevice, (VkPhysicalDevice p, const VkDeviceCreateInfo *i, const VkAllocationCallbacks *a, VkDevice *o), (p, i, a, o), DEVICE_MEMORY, INITIALIZATION)             \
    X(AllocateMemory, (VkDevice d, const VkMemoryAllocateInfo *i, const VkAllocationCallbacks *a, VkDeviceMemory *o), (d, i, a, o), DEVICE_MEMORY, HOST_MEMORY)              \
    X(MapMemory, (VkDevice d, VkDeviceMemory m, VkDeviceSize at, VkDeviceSize n, VkMemoryMapFlags f, void **o), (d, m, at, n, f, o), HOST_MEMORY, MAP)                       \
    X(CreateBuffer, (VkDevice d, const VkBufferCreateInfo *i, const VkAllocationCallbacks *a, VkBuffer *o), (d, i, a, o), HOST_MEMORY, DEVICE_MEMORY)                        \
    X(BindBufferMemory, (VkDevice d, VkBuffer b, VkDeviceMemory m, VkDeviceSize at), (d, b, m, at), HOST_MEMORY, DEVICE_MEMORY)                                              \
    X(CreatePipelineLayout, (VkDevice d, const VkPipelineLayoutCreateInfo *i, const VkAllocationCallbacks *a, VkPipelineLayout *o), (d, i, a, o), HOST_MEMORY, DEVICE_MEMORY)\
    X(CreateDescriptorSetLayout, (VkDevice d, const VkDescriptorSetLayoutCreateInfo *i, const VkAllocationCallbacks *a, VkDescriptorSetLayout *o), (d, i, a, o),             \
      HOST_MEMORY, DEVICE_MEMORY)                                                                                                                                            \
    X(CreateDescriptorPool, (VkDevice d, const VkDescriptorPoolCreateInfo *i, const VkAllocationCallbacks *a, VkDescriptorPool *o), (d, i, a, o), HOST_MEMORY, DEVICE_MEMORY)\
    X(CreateCommandPool, (VkDevice d, const VkCommandPoolCreateInfo *i, const VkAllocationCallbacks *a, VkCommandPool *o), (d, i, a, o), HOST_MEMORY, DEVICE_MEMORY)         \
    X(CreateFence, (VkDevice d, const VkFenceCreateInfo *i, const VkAllocationCallbacks *a, VkFence *o), (d, i, a, o), HOST_MEMORY, DEVICE_MEMORY)                           \
    X(CreateQueryPool, (VkDevice d, const VkQueryPoolCreateInfo *i, const VkAllocationCallbacks *a, VkQueryPool *o), (d, i, a, o), HOST_MEMORY, DEVICE_MEMORY)               \
    X(GetQueryPoolResults, (VkDevice d, VkQueryPool q, uint32_t first, uint32_t n, size_t bytes, void *o, VkDeviceSize stride, VkQueryResultFlags f),                        \
      (d, q, first, n, bytes, o, stride, f), HOST_MEMORY, DEVICE_MEMORY)                                                                                                     \
    X(CreatePipelineCache, (VkDevice d, const VkPipelineCacheCreateInfo *i, const VkAllocationCallbacks *a, VkPipelineCache *o), (d, i, a, o), HOST_MEMORY, DEVICE_MEMORY)   \
    X(GetPipelineCacheData, (VkDevice d, VkPipelineCache c, size_t *n, void *o), (d, c, n, o), HOST_MEMORY, DEVICE_MEMORY)                                                   \
    X(MergePipelineCaches, (VkDevice d, VkPipelineCache c, uint32_t n, const VkPipelineCache *o), (d, c, n, o), HOST_MEMORY, DEVICE_MEMORY)                                  \
    X(AllocateDescriptorSets, (VkDevice d, const VkDescriptorSetAllocateInfo *i, VkDescriptorSet *o), (d, i, o), POOL_MEMORY, FRAGMENTED)                                    \
    X(AllocateCommandBuffers, (VkDevice d, const VkCommandBufferAllocateInfo *i, VkCommandBuffer *o), (d, i, o), HOST_MEMORY, DEVICE_MEMORY)                                 \
    X(BeginCommandBuffer, (VkCommandBuffer c, const VkCommandBufferBeginInfo *i), (c, i), HOST_MEMORY, DEVICE_MEMORY)                                                        \
    X(EndCommandBuffer, (VkCommandBuffer c), (c), HOST_MEMORY, DEVICE_MEMORY)                                                                                                \
    X(ResetFences, (VkDevice d, uint32_t n, const VkFence *f), (d, n, f), DEVICE_MEMORY, LOST)
#define NULL_HOST_MEMORY VK_ERROR_OUT_OF_HOST_MEMORY
#define NULL_DEVICE_MEMORY VK_ERROR_OUT_OF_DEVICE_MEMORY
#define NULL_INITIALIZATION VK_ERROR_INITIALIZATION_FAILED
#define NULL_MAP VK_ERROR_MEMORY_MAP_FAILED
#define NULL_UNKNOWN VK_ERROR_UNKNOWN
#define NULL_POOL_MEMORY VK_ERROR_OUT_OF_POOL_MEMORY
#define NULL_FRAGMENTED VK_ERROR_FRAGMENTED_POOL
#define NULL_LOST VK_ERROR_DEVICE_LOST

#define NULL_WRAP(name, params, args, a, b)                              \
    static PFN_vk##name next_##name;                                     \
    static VKAPI_ATTR VkResult VKAPI_CALL wrap_##name params             \
    {                                                                    \
        return null_fails(#name, NULL_##a, NULL_##b) ? null_vk.result : next_##name args; \
    }
NULL_RESULTS(NULL_WRAP)
#undef NULL_WRAP
/* Shaders by their code, in the order of their first use, and which one is bound. */
enum { NULL_MOST = 512 };
static struct { uint64_t codes[NULL_MOST]; const void *modules[NULL_MOST], *pipelines[NULL_MOST]; int of_pipeline[NULL_MOST], n_codes, n_pipelines, bound; } null_shaders;

static PFN_vkCreateShaderModule next_CreateShaderModule;
static VKAPI_ATTR VkResult VKAPI_CALL wrap_CreateShaderModule(VkDevice d, const VkShaderModuleCreateInfo *i, const VkAllocationCallbacks *a, VkShaderModule *o)
{
    uint64_t code = 14695981039346656037u;                  /* its hash: the words themselves are gone when it is made */
    int k = 0;
    for (size_t w = 0; w < i->codeSize / 4; w++)
        code = (code ^ i->pCode[w]) * 1099511628211u;
    if (null_fails("CreateShaderModule", VK_ERROR_OUT_OF_HOST_MEMORY, VK_ERROR_OUT_OF_DEVICE_MEMORY))
        return null_vk.result;
    VkResult result = next_CreateShaderModule(d, i, a, o);
    while (k < null_shaders.n_codes && null_shaders.codes[k] != code)
        k++;
    if (result == VK_SUCCESS && k < NULL_MOST) {
        null_shaders.n_codes = k == null_shaders.n_codes ? k + 1 : null_shaders.n_codes;
        null_shaders.codes[k] = code;
        for (int j = 0; j < null_shaders.n_codes; j++)      /* handles are used again */
            if (null_shaders.modules[j] == NULL_HANDLE(*o))
                null_shaders.modules[j] = NULL;
        null_shaders.modules[k] = NULL_HANDLE(*o);
    }
    return result;
}
static PFN_vkCreateComputePipelines next_CreateComputePipelines;
static VKAPI_ATTR VkResult VKAPI_CALL wrap_CreateComputePipelines(VkDevice d, VkPipelineCache c, uint32_t n, const VkComputePipelineCreateInfo *i, const VkAllocationCallbacks *a, VkPipeline *o)
{
    null_vk.compiles++;
    if (null_fails("CreateComputePipelines", VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_UNKNOWN))
        return null_vk.result;
    VkResult result = next_CreateComputePipelines(d, c, n, i, a, o);
    for (int k = null_shaders.n_codes; k-- > 0 && result == VK_SUCCESS && null_shaders.n_pipelines < NULL_MOST;)
        if (null_shaders.modules[k] == NULL_HANDLE(i->stage.module)) {
            null_shaders.pipelines[null_shaders.n_pipelines] = NULL_HANDLE(*o);
            null_shaders.of_pipeline[null_shaders.n_pipelines++] = k + 1;
            break;
        }
    return result;
}
static PFN_vkCmdBindPipeline next_CmdBindPipeline;
static VKAPI_ATTR void VKAPI_CALL wrap_CmdBindPipeline(VkCommandBuffer c, VkPipelineBindPoint p, VkPipeline x)
{
    null_shaders.bound = 0;
    for (int k = null_shaders.n_pipelines; k-- > 0 && null_shaders.bound == 0;)     /* handles are used again: the last one counts */
        if (null_shaders.pipelines[k] == NULL_HANDLE(x))
            null_shaders.bound = null_shaders.of_pipeline[k];
    next_CmdBindPipeline(c, p, x);
}
static PFN_vkCmdDispatch next_CmdDispatch;
static VKAPI_ATTR void VKAPI_CALL wrap_CmdDispatch(VkCommandBuffer c, uint32_t x, uint32_t y, uint32_t z)
{
    if (null_vk.skip == 0 || null_vk.skip != null_shaders.bound)
        next_CmdDispatch(c, x, y, z);
}
/* Submissions that are found at work for a while, by their fence. */
enum { NULL_AIR = 64 };
static struct { const void *fence; int64_t looks; } null_air[NULL_AIR];
static void null_take_off(const void *fence)
{
    int i = 0;
    while (i < NULL_AIR - 1 && null_air[i].fence)
        i++;
    null_air[i].fence = fence;
    null_air[i].looks = null_vk.lag;
    null_vk.most_air = ++null_vk.air > null_vk.most_air ? null_vk.air : null_vk.most_air;
}
/* Has it ended? A wait ends it; a look does when there were enough. */
static int null_landed(const void *fence, int waits)
{
    for (int i = 0; i < NULL_AIR; i++)
        if (null_air[i].fence == fence) {
            if (!waits && null_air[i].looks-- > 0)
                return 0;
            null_air[i].fence = NULL;
            null_vk.air--;
            return 1;
        }
    return 1;
}
/* All that is in the air has ended: the next look sees it. */
static inline void null_land(void)
{
    for (int i = 0; i < NULL_AIR; i++)
        null_air[i].looks = 0;
}
/* Loses the device when told to. */
static PFN_vkQueueSubmit next_QueueSubmit;
static VKAPI_ATTR VkResult VKAPI_CALL wrap_QueueSubmit(VkQueue q, uint32_t n, const VkSubmitInfo *i, VkFence f)
{
    int64_t submit = null_vk.submits++;
    if (null_vk.lose_after > 0 && submit >= null_vk.lose_after)
        return VK_ERROR_DEVICE_LOST;
    if (null_fails("QueueSubmit", VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_DEVICE_LOST))
        return null_vk.result;
    VkResult result = next_QueueSubmit(q, n, i, f);
    if (result == VK_SUCCESS && null_vk.lag > 0)
        null_take_off(NULL_HANDLE(f));
    return result;
}
/* A wait that fails leaves a real device at work in memory that will be freed: here it has ended first. Looks that find it at work do not count as
 * calls: how many there are is chance. */
static PFN_vkWaitForFences next_WaitForFences;
static VKAPI_ATTR VkResult VKAPI_CALL wrap_WaitForFences(VkDevice d, uint32_t n, const VkFence *f, VkBool32 all, uint64_t ns)
{
    VkResult result = next_WaitForFences(d, n, f, all, ns);
    null_vk.sleeps += ns != 0;
    if (ns != 0 && atomic_load(&null_vk.gate) != 0) {
        atomic_fetch_add(&null_vk.at_gate, 1);
        while (atomic_load(&null_vk.gate) != 0)
            lm_park(&null_vk.gate, 1, 1000000);
        atomic_fetch_sub(&null_vk.at_gate, 1);
    }
    if (ns == 0 && null_vk.air > 0 && result == VK_SUCCESS && null_fails("WaitForFences (a look)", VK_ERROR_DEVICE_LOST, VK_ERROR_DEVICE_LOST)) {
        for (int i = 0; i < NULL_AIR; i++)                  /* a lost device has ended all of it; a real one must first */
            if (null_air[i].fence) {
                VkFence fence = (VkFence)(uintptr_t)null_air[i].fence;
                next_WaitForFences(d, 1, &fence, VK_TRUE, UINT64_MAX);
                null_landed(null_air[i].fence, 1);
            }
        return null_vk.result;
    }
    if (result == VK_SUCCESS && !null_landed(NULL_HANDLE(f[0]), ns != 0))
        return VK_TIMEOUT;
    if (null_vk.hang_after > 0 && null_vk.waits++ >= null_vk.hang_after)
        return VK_TIMEOUT;
    if (ns == 0)                                            /* a look, which tells the truth */
        return result;
    return null_fails("WaitForFences", VK_ERROR_DEVICE_LOST, VK_TIMEOUT) ? null_vk.result : result;
}

/* ---- by name */

#define NULL_PLAIN(X)                                                                                                                                                       \
    X(EnumerateInstanceVersion) X(EnumerateInstanceExtensionProperties) X(EnumerateInstanceLayerProperties) X(GetPhysicalDeviceProperties2) X(GetPhysicalDeviceFeatures2)   \
    X(GetPhysicalDeviceQueueFamilyProperties) X(GetPhysicalDeviceMemoryProperties2) X(GetDeviceQueue) X(GetBufferMemoryRequirements) X(UpdateDescriptorSets)                 \
    X(CmdBindDescriptorSets) X(CmdPushConstants) X(CmdPipelineBarrier) X(CmdCopyBuffer) X(DestroyInstance) X(DestroyDevice)               \
    X(FreeMemory) X(DestroyBuffer) X(DestroyShaderModule) X(DestroyPipelineLayout) X(DestroyPipeline) X(DestroyDescriptorSetLayout) X(DestroyDescriptorPool)                \
    X(DestroyCommandPool) X(DestroyFence) X(FreeDescriptorSets) X(DestroyPipelineCache) X(FreeCommandBuffers) X(DestroyQueryPool)            \
    X(CmdResetQueryPool) X(CmdWriteTimestamp)

static PFN_vkGetDeviceProcAddr null_real_device;

/* The real one's, or ours. */
static PFN_vkVoidFunction null_next(void *instance, VkDevice device, const char *name, PFN_vkVoidFunction own)
{
    if (!null_vk.real)
        return own;
    return device && null_real_device ? null_real_device(device, name) : null_vk.real((VkInstance)instance, name);
}

static PFN_vkVoidFunction null_find(void *instance, VkDevice device, const char *name);
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL null_GetDeviceProcAddr(VkDevice device, const char *name) { return null_find(NULL, device, name); }

static PFN_vkVoidFunction null_find(void *instance, VkDevice device, const char *name)
{
#define NULL_BY_NAME(function, params, args, a, b)                                                                    \
    if (strcmp(name, "vk" #function) == 0) {                                                                          \
        next_##function = (PFN_vk##function)null_next(instance, device, name, (PFN_vkVoidFunction)null_##function);   \
        return (PFN_vkVoidFunction)wrap_##function;                                                                   \
    }
    NULL_RESULTS(NULL_BY_NAME)
    NULL_BY_NAME(WaitForFences, , , , )
    NULL_BY_NAME(QueueSubmit, , , , )
    NULL_BY_NAME(CreateShaderModule, , , , )
    NULL_BY_NAME(CreateComputePipelines, , , , )
    NULL_BY_NAME(CmdBindPipeline, , , , )
    NULL_BY_NAME(CmdDispatch, , , , )
#undef NULL_BY_NAME
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) {
        null_real_device = null_vk.real ? (PFN_vkGetDeviceProcAddr)null_vk.real((VkInstance)instance, name) : NULL;
        return (PFN_vkVoidFunction)null_GetDeviceProcAddr;
    }
#define NULL_BY_NAME(function)                     \
    if (strcmp(name, "vk" #function) == 0)         \
        return null_next(instance, device, name, (PFN_vkVoidFunction)null_##function);
    NULL_PLAIN(NULL_BY_NAME)
#undef NULL_BY_NAME
    return null_vk.real ? null_next(instance, device, name, NULL) : NULL;
}

/* What lm_vulkan_desc.get_proc wants. */
static void (*null_get_proc(void *user, void *instance, const char *name))(void)
{
    (void)user;
    return (void (*)(void))null_find(instance, NULL, name);
}

#endif
