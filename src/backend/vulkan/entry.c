/* SPDX-License-Identifier: MIT
 * The loader, opened at run time, and the functions that we use of it: one table, so that a test can put in a driver of its own or make
 * the n-th call fail. Owns the library. Threads: filled by one, read by any. */
#include "backend/vulkan/vulkan.h"

#include <string.h>

#if defined(_WIN32)
static const char *const entry_names[] = { "vulkan-1.dll" };
#else
static const char *const entry_names[] = { "libvulkan.so.1", "libvulkan.1.dylib", "libMoltenVK.dylib" };
#endif

static lm_library_function entry_from_library(void *user, void *instance, const char *name)
{
    const lm_vk_entry *fn = user;
    return (lm_library_function)fn->loader((VkInstance)instance, name);
}

static llm_status entry_library(lm_vk_entry *fn, llm_error *error)
{
    lm_library_function found;
    for (size_t i = 0; i < LM_COUNT(entry_names) && !fn->library.handle; i++)
        if (lm_library_open(entry_names[i], &fn->library, NULL) < 0)
            fn->library.handle = NULL;
    if (!fn->library.handle)
        return lm_fail(error, LLM_E_NO_DEVICE, "no Vulkan loader on this machine (%s)", entry_names[0]);
    found = lm_library_find(fn->library, "vkGetInstanceProcAddr");
    if (!found)
        return lm_fail(error, LLM_E_NO_DEVICE, "the Vulkan loader has no vkGetInstanceProcAddr");
    memcpy(&fn->loader, &found, sizeof found);
    fn->get_proc = entry_from_library;
    fn->user = fn;
    return LLM_OK;
}

/* One pointer into the table; `name` as Vulkan spells it. */
static llm_status entry_set(const lm_vk_entry *fn, void *instance, const char *name, void *place, llm_error *error)
{
    lm_library_function function = fn->get_proc(fn->user, instance, name);
    memcpy(place, &function, sizeof function);
    return function ? LLM_OK : lm_fail(error, LLM_E_NO_DEVICE, "the Vulkan loader or driver has no %s: version 1.1 is needed", name);
}

llm_status lm_vk_entry_open(lm_vk_entry *fn, const lm_vulkan_desc *desc, llm_error *error)
{
    fn->get_proc = desc->get_proc;
    fn->user = desc->get_proc_user;
    if (!fn->get_proc)
        LM_TRY(entry_library(fn, error));
    if (entry_set(fn, NULL, "vkEnumerateInstanceVersion", &fn->EnumerateInstanceVersion, NULL) < 0)
        fn->EnumerateInstanceVersion = NULL;
    if (desc->instance)                                     /* the host's: nothing is made without it, and its get_proc need not know */
        return LLM_OK;
#define ENTRY_GLOBAL(name) LM_TRY(entry_set(fn, NULL, "vk" #name, &fn->name, error));
    LM_VK_GLOBAL_FUNCTIONS(ENTRY_GLOBAL)
#undef ENTRY_GLOBAL
    return LLM_OK;
}

llm_status lm_vk_entry_instance(lm_vk_entry *fn, VkInstance instance, llm_error *error)
{
#define ENTRY_INSTANCE(name) LM_TRY(entry_set(fn, (void *)instance, "vk" #name, &fn->name, error));
    LM_VK_INSTANCE_FUNCTIONS(ENTRY_INSTANCE)
#undef ENTRY_INSTANCE
#define ENTRY_DEBUG(name) entry_set(fn, (void *)instance, "vk" #name, &fn->name, NULL);
    LM_VK_DEBUG_FUNCTIONS(ENTRY_DEBUG)
#undef ENTRY_DEBUG
    return LLM_OK;
}

llm_status lm_vk_entry_device(lm_vk_entry *fn, VkDevice device, llm_error *error)
{
    PFN_vkVoidFunction found;
#define ENTRY_DEVICE(name)                                                                                     \
    found = fn->GetDeviceProcAddr(device, "vk" #name);                                                         \
    memcpy(&fn->name, &found, sizeof found);                                                                   \
    if (!found)                                                                                                \
        return lm_fail(error, LLM_E_NO_DEVICE, "the Vulkan driver has no vk" #name);
    LM_VK_DEVICE_FUNCTIONS(ENTRY_DEVICE)
#undef ENTRY_DEVICE
    return LLM_OK;
}

void lm_vk_entry_close(lm_vk_entry *fn)
{
    lm_library_close(fn->library);
    memset(fn, 0, sizeof *fn);
}
