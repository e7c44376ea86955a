/* SPDX-License-Identifier: MIT
 * The Vulkan backend of a library that was built without one: it says so. Owns nothing. Threads: any. */
#include "backend/backend.h"

#include "base/status.h"

#if !defined(LM_VULKAN) || !LM_VULKAN
bool lm_vulkan_built(void) { return false; }

llm_status lm_vulkan_list(lm_host *host, const lm_vulkan_desc *desc, lm_vulkan_found *out, uint32_t cap, uint32_t *n, llm_error *error)
{
    (void)host, (void)desc, (void)out, (void)cap, (void)n;
    return lm_fail(error, LLM_E_NO_DEVICE, "this library was built without Vulkan (LLM_VULKAN)");
}

llm_status lm_vulkan_backend_open(lm_host *host, const lm_vulkan_desc *desc, lm_backend **out, llm_error *error)
{
    (void)host, (void)desc, (void)out;
    return lm_fail(error, LLM_E_NO_DEVICE, "this library was built without Vulkan (LLM_VULKAN)");
}

llm_status lm_vulkan_backend_get_info(const lm_backend *backend, lm_vulkan_info *out, llm_error *error)
{
    (void)backend, (void)out;
    return lm_fail(error, LLM_E_NO_DEVICE, "this library was built without Vulkan (LLM_VULKAN)");
}
#endif
