/* SPDX-License-Identifier: MIT
 * Instance, choice of a device, the device with one compute queue, and submissions. Owns those handles, but for a host's, which it borrows.
 * Asks for no feature: the shaders need none. Never waits without a bound. Threads: opened and closed by one; submissions under `gpu`. */
#include "backend/vulkan/vulkan.h"

#include "base/os.h"

#include <string.h>

enum { DEVICE_MOST = 16, DEVICE_FAMILIES = 16, DEVICE_NEEDED_BUFFERS = 6 };
static const int64_t device_patience_ns = 120000000000;     /* watchdogs of drivers bite long before */

/* ---- failures */

llm_status lm_vk_fail(lm_vk *vk, VkResult result, const char *what, llm_error *error)
{
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTED_POOL:
    case VK_ERROR_TOO_MANY_OBJECTS:
    case VK_ERROR_MEMORY_MAP_FAILED:
        return lm_fail(error, LLM_E_MEMORY, "Vulkan: %s: out of memory (%d)", what, (int)result);
    case VK_ERROR_DEVICE_LOST:
        atomic_store_explicit(&vk->lost, 1, memory_order_relaxed);
        return lm_fail(error, LLM_E_DEVICE_LOST, "Vulkan: %s: the device is lost", what);
    case VK_ERROR_INITIALIZATION_FAILED:
    case VK_ERROR_INCOMPATIBLE_DRIVER:
    case VK_ERROR_LAYER_NOT_PRESENT:
    case VK_ERROR_EXTENSION_NOT_PRESENT:
    case VK_ERROR_FEATURE_NOT_PRESENT:
        return lm_fail(error, LLM_E_NO_DEVICE, "Vulkan: %s: the driver cannot (%d)", what, (int)result);
    default:
        return lm_fail(error, LLM_E_INTERNAL, "Vulkan: %s: result %d", what, (int)result);
    }
}

llm_status lm_vk_alive(const lm_vk *vk, llm_error *error)
{
    if (atomic_load_explicit(&vk->lost, memory_order_relaxed))
        return lm_fail(error, LLM_E_DEVICE_LOST, "Vulkan: the device was lost before this call");
    return LLM_OK;
}

void lm_vk_lock_busy(lm_vk *vk) { lm_mutex_lock(&vk->gpu); }
void lm_vk_unlock(lm_vk *vk) { lm_mutex_unlock(&vk->gpu); }

/* ---- instance */

static VKAPI_ATTR VkBool32 VKAPI_CALL device_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity, VkDebugUtilsMessageTypeFlagsEXT types,
                                                     const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    const lm_vk *vk = user;
    (void)severity, (void)types;
    lm_log(vk->base.host, LLM_LOG_ERROR, "Vulkan validation: %s", data->pMessage ? data->pMessage : "?");
    return VK_FALSE;
}

static llm_status device_instance(lm_vk *vk, bool validate, llm_error *error)
{
    static const char *const layers[] = { "VK_LAYER_KHRONOS_validation" }, *const extensions[] = { VK_EXT_DEBUG_UTILS_EXTENSION_NAME };
    static const VkValidationFeatureEnableEXT enables[] = { VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT };
    VkValidationFeaturesEXT features = { .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT, .enabledValidationFeatureCount = 1, .pEnabledValidationFeatures = enables };
    VkApplicationInfo application = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pEngineName = "libllm", .apiVersion = VK_API_VERSION_1_1 };
    VkInstanceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application };
    VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
        .pfnUserCallback = device_message, .pUserData = vk,
    };
    uint32_t version = VK_API_VERSION_1_0;
    if (vk->borrowed)
        return lm_vk_entry_instance(&vk->fn, vk->instance, error);
    if (vk->fn.EnumerateInstanceVersion)
        vk->fn.EnumerateInstanceVersion(&version);
    if (version < VK_API_VERSION_1_1)
        return lm_fail(error, LLM_E_NO_DEVICE, "the Vulkan loader is of version 1.0; 1.1 is needed");
    if (validate) {
        info.enabledLayerCount = info.enabledExtensionCount = 1;
        info.ppEnabledLayerNames = layers;
        info.ppEnabledExtensionNames = extensions;
        info.pNext = &features;
    }
    VkResult result = vk->fn.CreateInstance(&info, NULL, &vk->instance);
    if (result != VK_SUCCESS) {
        vk->instance = VK_NULL_HANDLE;
        if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
            return lm_fail(error, LLM_E_NO_DEVICE, "no Vulkan driver on this machine");
        return lm_vk_fail(vk, result, validate ? "an instance with the validation layer" : "an instance", error);
    }
    LM_TRY(lm_vk_entry_instance(&vk->fn, vk->instance, error));
    if (validate && vk->fn.CreateDebugUtilsMessengerEXT && vk->fn.DestroyDebugUtilsMessengerEXT) {
        result = vk->fn.CreateDebugUtilsMessengerEXT(vk->instance, &messenger, NULL, &vk->messenger);
        if (result != VK_SUCCESS) {
            vk->messenger = VK_NULL_HANDLE;
            return lm_vk_fail(vk, result, "a messenger", error);
        }
    }
    return LLM_OK;
}

/* ---- choice */

static int32_t device_kind(VkPhysicalDeviceType type)
{
    return type == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU     ? LLM_DEVICE_KIND_DISCRETE
           : type == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU ? LLM_DEVICE_KIND_INTEGRATED
           : type == VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU    ? LLM_DEVICE_KIND_INTEGRATED
                                                            : LLM_DEVICE_KIND_SOFTWARE;
}

/* A queue family that computes: one that does nothing else first. UINT32_MAX: none. */
static uint32_t device_family(const lm_vk *vk, VkPhysicalDevice physical)
{
    VkQueueFamilyProperties families[DEVICE_FAMILIES];
    uint32_t n = DEVICE_FAMILIES, found = UINT32_MAX;
    vk->fn.GetPhysicalDeviceQueueFamilyProperties(physical, &n, families);
    for (uint32_t i = 0; i < n; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || families[i].queueCount == 0)
            continue;
        if (found == UINT32_MAX || !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT))
            found = i;
        if (!(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT))
            break;
    }
    return found;
}

static bool device_extension(const VkExtensionProperties *have, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(have[i].extensionName, name) == 0)
            return true;
    return false;
}

/* What the device has beyond our need: for the report, and for variants. */
static void device_features(lm_vk *vk, VkPhysicalDevice physical, lm_vk_caps *caps)
{
    enum { MOST = 512 };
    uint32_t n = 0;
    VkExtensionProperties *have = NULL;
    if (vk->fn.EnumerateDeviceExtensionProperties(physical, NULL, &n, NULL) == VK_SUCCESS && n > 0 && n <= MOST)
        have = lm_mem_new_array(&vk->base.host->mem, n, sizeof *have, LLM_MEMORY_OTHER);
    if (!have || vk->fn.EnumerateDeviceExtensionProperties(physical, NULL, &n, have) < 0)
        n = 0;
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES };
    VkPhysicalDeviceShaderFloat16Int8Features small = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES };
    VkPhysicalDevice8BitStorageFeatures storage8 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES };
    VkPhysicalDevice16BitStorageFeatures storage16 = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES };
    VkPhysicalDeviceFeatures2 features = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &storage16 };
    void **next = &storage16.pNext;
    bool v12 = caps->api_version >= VK_API_VERSION_1_2, v13 = caps->api_version >= VK_API_VERSION_1_3;
    if (v12 || device_extension(have, n, VK_KHR_8BIT_STORAGE_EXTENSION_NAME)) {
        *next = &storage8;
        next = &storage8.pNext;
    }
    if (v12 || device_extension(have, n, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME)) {
        *next = &small;
        next = &small.pNext;
    }
    if (v13 || device_extension(have, n, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME))
        *next = &dot;
    vk->fn.GetPhysicalDeviceFeatures2(physical, &features);
    caps->float16 = small.shaderFloat16;
    caps->int8 = small.shaderInt8;
    caps->storage16 = storage16.storageBuffer16BitAccess;
    caps->storage8 = storage8.storageBuffer8BitAccess;
    caps->int_dot = dot.shaderIntegerDotProduct;
    caps->budget = device_extension(have, n, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    caps->priority = device_extension(have, n, VK_KHR_GLOBAL_PRIORITY_EXTENSION_NAME);
    lm_mem_free(&vk->base.host->mem, have);
}

static void device_look(lm_vk *vk, VkPhysicalDevice physical, lm_vk_caps *caps, const VkPhysicalDeviceLimits **limits, VkPhysicalDeviceProperties2 *properties)
{
    VkPhysicalDeviceMaintenance3Properties allocation = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES };
    VkPhysicalDeviceSubgroupProperties subgroup = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, .pNext = &allocation };
    VkPhysicalDeviceIDProperties ids = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES, .pNext = &subgroup };
    VkPhysicalDeviceMemoryProperties2 memory = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2 };
    memset(caps, 0, sizeof *caps);
    *properties = (VkPhysicalDeviceProperties2){ .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &ids };
    vk->fn.GetPhysicalDeviceProperties2(physical, properties);
    properties->pNext = NULL;
    vk->fn.GetPhysicalDeviceMemoryProperties2(physical, &memory);
    caps->memory = memory.memoryProperties;
    const VkPhysicalDeviceLimits *l = &properties->properties.limits;
    memcpy(caps->name, properties->properties.deviceName, sizeof caps->name);
    caps->name[sizeof caps->name - 1] = 0;
    caps->kind = device_kind(properties->properties.deviceType);
    caps->api_version = properties->properties.apiVersion;
    caps->driver_version = properties->properties.driverVersion;
    caps->vendor = properties->properties.vendorID;
    caps->device = properties->properties.deviceID;
    memcpy(caps->uuid, ids.deviceUUID, sizeof caps->uuid);
    memcpy(caps->cache_uuid, properties->properties.pipelineCacheUUID, sizeof caps->cache_uuid);
    caps->subgroup = subgroup.subgroupSize;
    caps->shuffle = (subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0 && (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) != 0 &&
                    caps->subgroup >= 8 && caps->subgroup <= 64 && (caps->subgroup & (caps->subgroup - 1)) == 0;
    caps->family = device_family(vk, physical);
    caps->time_ns = l->timestampPeriod;
    caps->shared_bytes = l->maxComputeSharedMemorySize;
    caps->max_groups[0] = l->maxComputeWorkGroupCount[0];
    caps->max_groups[1] = l->maxComputeWorkGroupCount[1];
    caps->max_range = l->maxStorageBufferRange & ~(uint64_t)(LM_VK_ALIGN - 1);
    caps->max_slab = LM_MIN(allocation.maxMemoryAllocationSize ? allocation.maxMemoryAllocationSize : UINT64_MAX, (uint64_t)1 << 30) & ~(uint64_t)(LM_VK_ALIGN - 1);
    for (uint32_t i = 0; i < caps->memory.memoryHeapCount; i++)
        if (caps->memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            caps->memory_total = LM_MAX(caps->memory_total, caps->memory.memoryHeaps[i].size);
    *limits = l;
}

/* NULL: it fits; else why not. */
static const char *device_unfit(const lm_vk_caps *caps, const VkPhysicalDeviceLimits *limits)
{
    if (caps->api_version < VK_API_VERSION_1_1)
        return "it knows Vulkan 1.0 only";
    if (caps->family == UINT32_MAX)
        return "it has no queue that computes";
    if (limits->maxPerStageDescriptorStorageBuffers < DEVICE_NEEDED_BUFFERS || limits->maxBoundDescriptorSets < LM_VK_SETS)
        return "a shader may read too few buffers there";
    if (limits->minStorageBufferOffsetAlignment > LM_VK_ALIGN)
        return "its buffers want a larger alignment than Vulkan allows";
    if (limits->maxComputeWorkGroupInvocations < 64 || caps->shared_bytes < 16384 || limits->maxPushConstantsSize < 128)
        return "its workgroups are too small";
    return NULL;
}

/* Does the caller mean this one: by number, or by the beginning of its name? */
static bool device_named(const char *wanted, uint32_t number, const char *name)
{
    uint32_t value = 0, n = 0;
    for (; wanted[n] >= '0' && wanted[n] <= '9' && n < 4; n++)
        value = value * 10 + (uint32_t)(wanted[n] - '0');
    if (n > 0 && wanted[n] == 0)
        return value == number;
    return strncmp(wanted, name, strlen(wanted)) == 0;
}

/* What the host says of its queue. Queues of a family that does not compute would take our submissions and be lost. */
static llm_status device_hosts(const lm_vk *vk, const lm_vulkan_desc *desc, llm_error *error)
{
    VkQueueFamilyProperties families[DEVICE_FAMILIES];
    uint32_t n = DEVICE_FAMILIES;
    vk->fn.GetPhysicalDeviceQueueFamilyProperties((VkPhysicalDevice)desc->physical, &n, families);
    if (desc->queue_family >= n)
        return lm_fail(error, LLM_E_INVALID, "llm_vulkan.queue_family is %u: the device has %u", desc->queue_family, n);
    if (!(families[desc->queue_family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        return lm_fail(error, LLM_E_INVALID, "llm_vulkan.queue_family is %u: its queues do not compute", desc->queue_family);
    return LLM_OK;
}

/* The host's one, or all that there are. */
static llm_status device_all(const lm_vk *vk, const lm_vulkan_desc *desc, VkPhysicalDevice devices[DEVICE_MOST], uint32_t *n, llm_error *error)
{
    *n = DEVICE_MOST;
    if (vk->borrowed) {
        *n = 1;
        devices[0] = (VkPhysicalDevice)desc->physical;
        return device_hosts(vk, desc, error);
    }
    VkResult result = vk->fn.EnumeratePhysicalDevices(vk->instance, n, devices);
    return result == VK_SUCCESS || result == VK_INCOMPLETE ? LLM_OK : lm_vk_fail((lm_vk *)vk, result, "the devices", error);
}

static llm_status device_choose(lm_vk *vk, const lm_vulkan_desc *desc, llm_error *error)
{
    static const int32_t order[] = { LLM_DEVICE_KIND_DISCRETE, LLM_DEVICE_KIND_INTEGRATED, LLM_DEVICE_KIND_SOFTWARE };
    VkPhysicalDevice devices[DEVICE_MOST];
    uint32_t n, best = LM_COUNT(order);
    const char *why = NULL;
    char seen[200] = "";
    LM_TRY(device_all(vk, desc, devices, &n, error));
    for (uint32_t i = 0; i < n; i++) {
        lm_vk_caps caps;
        const VkPhysicalDeviceLimits *limits;
        VkPhysicalDeviceProperties2 properties;
        uint32_t rank = 0;
        device_look(vk, devices[i], &caps, &limits, &properties);
        while (rank < LM_COUNT(order) && order[rank] != caps.kind)
            rank++;
        if (desc->uuid && memcmp(desc->uuid, caps.uuid, sizeof caps.uuid) != 0)
            why = "it is another one than was found before";
        else if (desc->device && !device_named(desc->device, i, caps.name))
            why = "it is not the one asked for";
        else if (!desc->device && !desc->uuid && !vk->borrowed && caps.kind == LLM_DEVICE_KIND_SOFTWARE && !desc->allow_software)
            why = "it is a processor, which was not asked for";
        else
            why = device_unfit(&caps, limits);
        if (why) {
            size_t used = strlen(seen);
            lm_print(seen + used, sizeof seen - used, "%s%s: %s", used ? "; " : "", caps.name, why);
        } else if (rank < best) {
            best = rank;
            vk->physical = devices[i];
            vk->caps = caps;
        }
    }
    if (best == LM_COUNT(order))
        return lm_fail(error, LLM_E_NO_DEVICE, n ? "no Vulkan device fits: %s" : "the Vulkan drivers see no device%s", seen);
    device_features(vk, vk->physical, &vk->caps);
    if (vk->borrowed)
        vk->caps.family = desc->queue_family;
    vk->caps.shuffle = vk->caps.shuffle && !desc->no_subgroups;
    if (desc->max_range)
        vk->caps.max_range = LM_MIN(vk->caps.max_range, LM_MAX(desc->max_range & ~(uint64_t)(LM_VK_ALIGN - 1), LM_VK_ALIGN));
    if (desc->max_slab)
        vk->caps.max_slab = LM_MIN(vk->caps.max_slab, LM_MAX(desc->max_slab & ~(uint64_t)(LM_VK_ALIGN - 1), LM_VK_ALIGN));
    vk->caps.max_range = LM_MIN(vk->caps.max_range, (uint64_t)UINT32_MAX & ~(uint64_t)(LM_VK_ALIGN - 1));
    return LLM_OK;
}

/* ---- device */

/* One of our own. Of low priority: among this program's queues, and among all programs' where the driver has that and allows it. */
static llm_status device_own(lm_vk *vk, bool low_priority, llm_error *error)
{
    static const char *const extensions[] = { VK_KHR_GLOBAL_PRIORITY_EXTENSION_NAME };
    const float priority = low_priority ? 0.0f : 0.5f;
    VkDeviceQueueGlobalPriorityCreateInfoKHR low = { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_GLOBAL_PRIORITY_CREATE_INFO_KHR, .globalPriority = VK_QUEUE_GLOBAL_PRIORITY_LOW_KHR };
    VkDeviceQueueCreateInfo queue = { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueFamilyIndex = vk->caps.family, .queueCount = 1, .pQueuePriorities = &priority };
    VkDeviceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue };
    if (low_priority && vk->caps.priority) {
        queue.pNext = &low;
        info.enabledExtensionCount = 1;
        info.ppEnabledExtensionNames = extensions;
    }
    VkResult result = vk->fn.CreateDevice(vk->physical, &info, NULL, &vk->device);
    if (queue.pNext && (result == VK_ERROR_NOT_PERMITTED_KHR || result == VK_ERROR_INITIALIZATION_FAILED)) {
        queue.pNext = NULL;
        info.enabledExtensionCount = 0;
        result = vk->fn.CreateDevice(vk->physical, &info, NULL, &vk->device);
    }
    if (result != VK_SUCCESS) {
        vk->device = VK_NULL_HANDLE;
        return lm_vk_fail(vk, result, "a device", error);
    }
    return LLM_OK;
}

/* How the chosen queue tells the time. */
static void device_times(lm_vk *vk)
{
    VkQueueFamilyProperties families[DEVICE_FAMILIES];
    uint32_t n = DEVICE_FAMILIES;
    vk->fn.GetPhysicalDeviceQueueFamilyProperties(vk->physical, &n, families);
    vk->caps.time_bits = vk->caps.family < n && vk->caps.time_ns > 0 ? families[vk->caps.family].timestampValidBits : 0;
}

static llm_status device_create(lm_vk *vk, const lm_vulkan_desc *desc, llm_error *error)
{
    device_times(vk);
    if (vk->borrowed)
        vk->device = (VkDevice)desc->logical;
    else
        LM_TRY(device_own(vk, desc->low_priority, error));
    LM_TRY(lm_vk_entry_device(&vk->fn, vk->device, error));
    if (vk->borrowed)
        vk->queue = (VkQueue)desc->queue;
    else
        vk->fn.GetDeviceQueue(vk->device, vk->caps.family, 0, &vk->queue);
    VkCommandPoolCreateInfo pool = { .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO, .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT, .queueFamilyIndex = vk->caps.family };
    VkResult result = vk->fn.CreateCommandPool(vk->device, &pool, NULL, &vk->command_pool);
    if (result != VK_SUCCESS) {
        vk->command_pool = VK_NULL_HANDLE;
        return lm_vk_fail(vk, result, "a command pool", error);
    }
    VkCommandBufferAllocateInfo commands = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = vk->command_pool, .commandBufferCount = 1 };
    result = vk->fn.AllocateCommandBuffers(vk->device, &commands, &vk->own_command);
    if (result != VK_SUCCESS)
        return lm_vk_fail(vk, result, "a command buffer", error);
    vk->command = vk->own_command;
    VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    result = vk->fn.CreateFence(vk->device, &fence, NULL, &vk->fence);
    if (result != VK_SUCCESS) {
        vk->fence = VK_NULL_HANDLE;
        return lm_vk_fail(vk, result, "a fence", error);
    }
    return LLM_OK;
}

static llm_status device_begin(lm_vk *vk, const lm_vulkan_desc *desc, llm_error *error)
{
    if (desc->instance || desc->physical || desc->logical || desc->queue) {
        if (!desc->instance || !desc->physical || !desc->logical || !desc->queue)
            return lm_fail(error, LLM_E_INVALID, "of the host's Vulkan instance, physical device, device and queue all four are needed");
        vk->borrowed = true;
        vk->instance = (VkInstance)desc->instance;
    }
    LM_TRY(lm_vk_entry_open(&vk->fn, desc, error));
    return device_instance(vk, desc->validate, error);
}

llm_status lm_vk_device_open(lm_vk *vk, const lm_vulkan_desc *desc, llm_error *error)
{
    vk->host_lock = desc->lock;
    vk->host_unlock = desc->unlock;
    vk->host_user = desc->lock_user;
    vk->memory_limit = desc->memory_limit;
    LM_TRY(device_begin(vk, desc, error));
    LM_TRY(device_choose(vk, desc, error));
    return device_create(vk, desc, error);
}

static uint64_t device_memory_free(const lm_vk *vk, VkPhysicalDevice physical, const lm_vk_caps *caps)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT };
    VkPhysicalDeviceMemoryProperties2 memory = { .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, .pNext = &budget };
    uint64_t most = 0;
    uint64_t held = atomic_load_explicit(&vk->device_bytes, memory_order_relaxed);
    if (!caps->budget)
        return caps->memory_total - LM_MIN(held, caps->memory_total);
    vk->fn.GetPhysicalDeviceMemoryProperties2(physical, &memory);
    for (uint32_t i = 0; i < LM_MIN(caps->memory.memoryHeapCount, VK_MAX_MEMORY_HEAPS); i++)
        if (caps->memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
            most = LM_MAX(most, budget.heapBudget[i] - LM_MIN(budget.heapUsage[i], budget.heapBudget[i]));
    return most;
}

uint64_t lm_vk_memory_free(const lm_vk *vk)
{
    uint64_t free = device_memory_free(vk, vk->physical, &vk->caps);
    uint64_t held = atomic_load_explicit(&vk->device_bytes, memory_order_relaxed), left = vk->memory_limit - LM_MIN(held, vk->memory_limit);
    return vk->memory_limit ? LM_MIN(free, left) : free;
}

/* A device seen before through another driver: the same id, which few software drivers leave at 0. */
static bool device_again(const lm_vulkan_found *found, uint32_t n, const lm_vk_caps *caps)
{
    static const uint8_t none[VK_UUID_SIZE] = { 0 };
    for (uint32_t i = 0; i < n && memcmp(caps->uuid, none, sizeof none) != 0; i++)
        if (memcmp(found[i].uuid, caps->uuid, sizeof found[i].uuid) == 0)
            return true;
    return false;
}

static llm_status device_list(lm_vk *vk, const lm_vulkan_desc *desc, lm_vulkan_found *out, uint32_t cap, uint32_t *n, llm_error *error)
{
    VkPhysicalDevice devices[DEVICE_MOST];
    uint32_t n_devices, found = 0;
    LM_TRY(device_begin(vk, desc, error));
    LM_TRY(device_all(vk, desc, devices, &n_devices, error));
    for (uint32_t i = 0; i < n_devices && found < cap; i++) {
        lm_vk_caps caps;
        const VkPhysicalDeviceLimits *limits;
        VkPhysicalDeviceProperties2 properties;
        device_look(vk, devices[i], &caps, &limits, &properties);
        const char *why = device_again(out, found, &caps) ? "another driver offers it too" : device_unfit(&caps, limits);
        if (why) {
            lm_log(vk->base.host, LLM_LOG_INFO, "Vulkan: %s is left out: %s", caps.name, why);
            continue;
        }
        device_features(vk, devices[i], &caps);
        lm_vulkan_found *f = &out[found++];
        memset(f, 0, sizeof *f);
        memcpy(f->name, caps.name, LM_MIN(sizeof f->name - 1, sizeof caps.name));
        f->kind = caps.kind;
        f->number = i;
        f->memory_total = caps.memory_total;
        f->memory_free = device_memory_free(vk, devices[i], &caps);
        memcpy(f->uuid, caps.uuid, sizeof f->uuid);
    }
    *n = found;
    return LLM_OK;
}

llm_status lm_vulkan_list(lm_host *host, const lm_vulkan_desc *desc, lm_vulkan_found *out, uint32_t cap, uint32_t *n, llm_error *error)
{
    lm_vk *vk = lm_mem_new(&host->mem, sizeof *vk, LLM_MEMORY_OTHER);
    if (!vk)
        return lm_fail_memory(error, "looking for GPUs", sizeof *vk);
    vk->base.host = host;
    llm_status status = device_list(vk, desc, out, cap, n, error);
    lm_vk_device_close(vk);
    lm_mem_free(&host->mem, vk);
    return status;
}

void lm_vk_device_close(lm_vk *vk)
{
    if (lm_vk_hung(vk)) {                                   /* the device and the driver stay as they are, for as long as the program does */
        if (vk->messenger)                                  /* but it is not to call us */
            vk->fn.DestroyDebugUtilsMessengerEXT(vk->instance, vk->messenger, NULL);
        memset(&vk->fn, 0, sizeof vk->fn);
        return;
    }
    /* A function that was not found has made nothing. */
    if (vk->device) {
        if (vk->fence)
            vk->fn.DestroyFence(vk->device, vk->fence, NULL);
        if (vk->command_pool)
            vk->fn.DestroyCommandPool(vk->device, vk->command_pool, NULL);
        if (vk->fn.DestroyDevice && !vk->borrowed)
            vk->fn.DestroyDevice(vk->device, NULL);
    }
    if (vk->instance) {
        if (vk->messenger)
            vk->fn.DestroyDebugUtilsMessengerEXT(vk->instance, vk->messenger, NULL);
        if (vk->fn.DestroyInstance && !vk->borrowed)
            vk->fn.DestroyInstance(vk->instance, NULL);
    }
    lm_vk_entry_close(&vk->fn);
}

/* ---- submissions */

/* A lost device has ended. */
static bool device_works(const lm_vk *vk, VkFence fence)
{
    VkResult result = vk->fn.WaitForFences(vk->device, 1, &fence, VK_TRUE, 0);
    return result != VK_SUCCESS && result != VK_ERROR_DEVICE_LOST;
}

bool lm_vk_hung(lm_vk *vk)
{
    if (!vk->hung)
        return false;
    if (!vk->kept) {
        vk->hung = vk->own_stuck && device_works(vk, vk->fence);
        for (const lm_vk_flight *f = vk->stuck; f && !vk->hung; f = f->next)
            vk->hung = device_works(vk, f->fence);
        vk->kept = vk->hung;                                /* what hangs on the first of them is not to be pulled out from under it later */
    }
    return vk->hung;
}

/* Into vk->command. */
static llm_status device_record(lm_vk *vk, bool once, llm_error *error)
{
    static const VkMemoryBarrier before = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
                                            .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT };
    VkCommandBufferBeginInfo info = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO, .flags = once ? VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT : 0 };
    LM_TRY(lm_vk_alive(vk, error));
    VkResult result = vk->fn.BeginCommandBuffer(vk->command, &info);
    if (result != VK_SUCCESS)
        return lm_vk_fail(vk, result, "recording", error);
    /* What earlier submissions wrote becomes visible to this one. */
    vk->fn.CmdPipelineBarrier(vk->command, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, 0, 1, &before, 0, NULL, 0, NULL);
    return LLM_OK;
}

llm_status lm_vk_begin(lm_vk *vk, llm_error *error) { return device_record(vk, true, error); }

static llm_status device_end(lm_vk *vk, llm_error *error)
{
    VkResult result = vk->fn.EndCommandBuffer(vk->command);
    return result == VK_SUCCESS ? LLM_OK : lm_vk_fail(vk, result, "recording", error);
}

/* Off it goes. */
static llm_status device_submit(lm_vk *vk, VkCommandBuffer command, VkFence fence, llm_error *error)
{
    VkSubmitInfo info = { .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &command };
    if (vk->host_lock)
        vk->host_lock(vk->host_user);
    VkResult result = vk->fn.QueueSubmit(vk->queue, 1, &info, fence);
    if (vk->host_unlock)
        vk->host_unlock(vk->host_user);
    if (result != VK_SUCCESS)
        return lm_vk_fail(vk, result, "a submission", error);
    vk->n_submits++;
    return LLM_OK;
}

/* A wait has ended, so. From a submission on the device may be at work in our buffers: a wait that fails leaves them to the device, so it
 * counts as lost. */
static llm_status device_waited(lm_vk *vk, VkResult result, const VkFence *fence, bool *stuck, llm_error *error)
{
    if (result != VK_SUCCESS) {
        llm_status status = lm_vk_fail(vk, result == VK_TIMEOUT ? VK_ERROR_DEVICE_LOST : result, result == VK_TIMEOUT ? "waiting, two minutes" : "waiting", error);
        atomic_store_explicit(&vk->lost, 1, memory_order_relaxed);
        *stuck = result != VK_ERROR_DEVICE_LOST;
        vk->hung = vk->hung || *stuck;
        return status;
    }
    result = vk->fn.ResetFences(vk->device, 1, fence);
    if (result != VK_SUCCESS)
        atomic_store_explicit(&vk->lost, 1, memory_order_relaxed);      /* a fence that stays signaled would lie to the next wait */
    return result == VK_SUCCESS ? LLM_OK : lm_vk_fail(vk, result, "a fence", error);
}

llm_status lm_vk_submit(lm_vk *vk, llm_error *error)
{
    LM_TRY(device_end(vk, error));
    LM_TRY(device_submit(vk, vk->command, vk->fence, error));
    VkResult result = vk->fn.WaitForFences(vk->device, 1, &vk->fence, VK_TRUE, (uint64_t)device_patience_ns);
    return device_waited(vk, result, &vk->fence, &vk->own_stuck, error);
}

/* ---- flights */

llm_status lm_vk_flight_new(lm_vk *vk, lm_vk_flight *out, llm_error *error)
{
    VkCommandBufferAllocateInfo commands = { .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = vk->command_pool, .commandBufferCount = 1 };
    VkFenceCreateInfo fence = { .sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO };
    VkQueryPoolCreateInfo times = { .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO, .queryType = VK_QUERY_TYPE_TIMESTAMP, .queryCount = 2 };
    memset(out, 0, sizeof *out);
    LM_TRY(lm_vk_alive(vk, error));
    VkResult result = vk->fn.AllocateCommandBuffers(vk->device, &commands, &out->command);
    if (result != VK_SUCCESS) {
        out->command = VK_NULL_HANDLE;
        return lm_vk_fail(vk, result, "a command buffer", error);
    }
    result = vk->fn.CreateFence(vk->device, &fence, NULL, &out->fence);
    if (result != VK_SUCCESS) {
        out->fence = VK_NULL_HANDLE;
        return lm_vk_fail(vk, result, "a fence", error);
    }
    if (vk->caps.time_bits == 0)
        return LLM_OK;
    result = vk->fn.CreateQueryPool(vk->device, &times, NULL, &out->times);
    if (result == VK_SUCCESS)
        return LLM_OK;
    out->times = VK_NULL_HANDLE;
    return lm_vk_fail(vk, result, "timestamps", error);
}

/* It is not busy. What is freed halfway, by whoever made it, is all zero but for that. */
void lm_vk_flight_free(lm_vk *vk, lm_vk_flight *f)
{
    bool hung = lm_vk_hung(vk);
    for (lm_vk_flight **link = &vk->stuck; *link; link = &(*link)->next)
        if (*link == f) {
            *link = f->next;
            break;
        }
    if (f->times && !hung)
        vk->fn.DestroyQueryPool(vk->device, f->times, NULL);
    if (f->fence && !hung)
        vk->fn.DestroyFence(vk->device, f->fence, NULL);
    if (f->command && !hung)
        vk->fn.FreeCommandBuffers(vk->device, vk->command_pool, 1, &f->command);
    memset(f, 0, sizeof *f);
}

llm_status lm_vk_flight_begin(lm_vk *vk, lm_vk_flight *f, bool once, llm_error *error)
{
    vk->command = f->command;
    llm_status status = device_record(vk, once, error);
    if (status < 0) {
        vk->command = vk->own_command;
        return status;
    }
    if (f->times) {                                         /* both when all before them has ended: what others have in the queue does not count */
        vk->fn.CmdResetQueryPool(vk->command, f->times, 0, 2);
        vk->fn.CmdWriteTimestamp(vk->command, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, f->times, 0);
    }
    return LLM_OK;
}

llm_status lm_vk_flight_again(lm_vk *vk, lm_vk_flight *f, double work, double ms, llm_error *error)
{
    LM_TRY(lm_vk_alive(vk, error));
    f->began_ns = f->seen_ns = lm_now_ns();
    f->work = work;
    f->ms = ms;
    LM_TRY(device_submit(vk, f->command, f->fence, error));
    f->busy = true;
    f->next = vk->flights;
    vk->flights = f;
    return LLM_OK;
}

llm_status lm_vk_flight_submit(lm_vk *vk, lm_vk_flight *f, double work, double ms, llm_error *error)
{
    if (f->times)
        vk->fn.CmdWriteTimestamp(vk->command, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, f->times, 1);
    llm_status status = device_end(vk, error);
    vk->command = vk->own_command;
    return status < 0 ? status : lm_vk_flight_again(vk, f, work, ms, error);
}

/* How long it took, in ms; < 0: nobody knows. Without the queue's own word: as long as we waited, if we did all the time. */
static double flight_spent(const lm_vk *vk, const lm_vk_flight *f, bool waited)
{
    uint64_t at[2] = { 0, 0 };
    if (f->times && vk->fn.GetQueryPoolResults(vk->device, f->times, 0, 2, sizeof at, at, sizeof at[0], VK_QUERY_RESULT_64_BIT) == VK_SUCCESS) {
        uint64_t ticks = (at[1] - at[0]) & (vk->caps.time_bits >= 64 ? UINT64_MAX : ((uint64_t)1 << vk->caps.time_bits) - 1);
        if (ticks != 0)
            return (double)ticks * (double)vk->caps.time_ns * 1e-6;
    }
    return waited ? (double)(lm_now_ns() - f->began_ns) * 1e-6 : -1;
}

/* What it tells of the device's rate. */
static void flight_rate(lm_vk *vk, const lm_vk_flight *f, bool waited)
{
    double spent = flight_spent(vk, f, waited), busy = (double)(f->seen_ns - f->began_ns) * 1e-6;
    if (spent > 1 && f->work > 0) {                         /* shorter ones tell of the submission, not of the work */
        double rate = f->work / spent, most = vk->rate * 4;
        vk->rate = spent > f->ms ? LM_MIN(rate, vk->rate) : rate > most ? most : (vk->rate + rate) * 0.5;     /* too long: never twice */
    } else if (spent >= 0 && f->work >= vk->rate * f->ms && spent < f->ms * 0.5) {
        vk->rate *= 2;
    } else if (spent < 0 && busy > f->ms && f->work > 0) {
        vk->rate = LM_MIN(vk->rate, f->work / busy);
    }
    vk->rated = vk->rated || spent >= f->ms * 0.5 || busy > f->ms;
}

static void flight_wake(lm_vk *vk)
{
    atomic_fetch_add(&vk->ended, 1);
    lm_unpark_all(&vk->ended);
}

static llm_status flight_end(lm_vk *vk, lm_vk_flight *f, VkResult result, bool waited, llm_error *error)
{
    bool stuck = false;
    for (lm_vk_flight **link = &vk->flights; *link; link = &(*link)->next)
        if (*link == f) {
            *link = f->next;
            break;
        }
    f->busy = false;
    f->next = NULL;
    llm_status status = device_waited(vk, result, &f->fence, &stuck, error);
    if (status >= 0)
        flight_rate(vk, f, waited);
    if (stuck) {
        f->next = vk->stuck;
        vk->stuck = f;
    }
    return status;
}

/* Looks at a flight that nobody watches, or waits for it without `gpu`: being watched it stays where it is. */
static llm_status flight_watch(lm_vk *vk, lm_vk_flight *f, int64_t deadline_ns, llm_error *error)
{
    llm_status status = LLM_OK;
    int64_t now = lm_now_ns(), left = deadline_ns > now ? deadline_ns - now : 0, patience = LM_MAX(f->began_ns + device_patience_ns - now, 0);
    bool waits = left > 0;
    f->watched = true;
    if (waits)
        lm_vk_unlock(vk);
    VkResult result = vk->fn.WaitForFences(vk->device, 1, &f->fence, VK_TRUE, (uint64_t)LM_MIN(left, patience));
    if (waits)
        lm_vk_lock_busy(vk);
    f->watched = false;
    if (result == VK_TIMEOUT && left < patience)
        f->seen_ns = lm_now_ns();
    else
        status = flight_end(vk, f, result, waits && f->seen_ns == f->began_ns, error);
    if (waits || !f->busy)
        flight_wake(vk);
    return status;
}

void lm_vk_flight_pause(lm_vk *vk, int64_t deadline_ns)
{
    uint32_t ended = atomic_load(&vk->ended);
    int64_t left = deadline_ns == INT64_MAX ? -1 : LM_MAX(deadline_ns - lm_now_ns(), 0);
    lm_vk_unlock(vk);
    if (left != 0)
        lm_park(&vk->ended, ended, left);
    lm_vk_lock_busy(vk);
}

llm_status lm_vk_flight_wait(lm_vk *vk, lm_vk_flight *f, int64_t deadline_ns, llm_error *error)
{
    for (bool first = true; f->busy; first = false) {
        if (!first && deadline_ns <= lm_now_ns())
            return LLM_MORE;
        if (!f->watched)
            LM_TRY(flight_watch(vk, f, deadline_ns, error));
        else if (deadline_ns <= lm_now_ns())
            return LLM_MORE;
        else
            lm_vk_flight_pause(vk, deadline_ns);
    }
    return lm_vk_alive(vk, error);
}

void lm_vk_lock(lm_vk *vk)
{
    lm_mutex_lock(&vk->gpu);
    vk->settling++;
    while (vk->flights) {
        lm_vk_flight *f = vk->flights;
        while (f && f->watched)
            f = f->next;
        if (f)
            flight_watch(vk, f, INT64_MAX, NULL);
        else
            lm_vk_flight_pause(vk, INT64_MAX);
    }
    if (--vk->settling == 0)
        flight_wake(vk);
}
