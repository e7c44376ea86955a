/* SPDX-License-Identifier: MIT
 * GPUs of an engine. A backend that was lost stays, for the models that hold it, and a new one of the same device takes its place, but for
 * a host's device, which only the host can make anew. */
#include "session/devices.h"

#include "base/status.h"

#include <string.h>

/* A library without GPUs does without what would handle them. */
#if defined(LM_VULKAN) && LM_VULKAN
enum { DEVICES_BUILT = 1 };
#else
enum { DEVICES_BUILT = 0 };
#endif

static llm_status devices_desc(const llm_vulkan *desc, lm_vulkan_desc *out, llm_error *error)
{
    if (desc->flags & ~(uint32_t)(LLM_VULKAN_LOW_PRIORITY | LLM_VULKAN_VALIDATE))
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_vulkan.flags is 0x%x: an unknown flag is set", desc->flags);
    if (desc->submit_ms > 60000)
        return lm_fail(error, LLM_E_INVALID, "llm_vulkan.submit_ms is %u: expected 0 to 60000", desc->submit_ms);
    if (!DEVICES_BUILT)
        return LLM_OK;
    int n_handles = (desc->instance != NULL) + (desc->physical_device != NULL) + (desc->device != NULL) + (desc->queue != NULL);
    if (n_handles != 0 && n_handles != 4)
        return lm_fail(error, LLM_E_INVALID, "llm_vulkan: instance, physical_device, device and queue go together: %d of them are set", n_handles);
    if (!desc->lock != !desc->unlock)
        return lm_fail(error, LLM_E_INVALID, "llm_vulkan.lock and unlock go together");
    *out = (lm_vulkan_desc){
        .allow_software = true, .validate = (desc->flags & LLM_VULKAN_VALIDATE) != 0, .low_priority = (desc->flags & LLM_VULKAN_LOW_PRIORITY) != 0,
        .submit_ms = desc->submit_ms, .memory_limit = desc->memory_limit, .get_proc = desc->get_proc, .get_proc_user = desc->user,
        .instance = desc->instance, .physical = desc->physical_device, .logical = desc->device, .queue = desc->queue, .queue_family = desc->queue_family,
        .lock = desc->lock, .unlock = desc->unlock, .lock_user = desc->user,
    };
    return LLM_OK;
}

llm_status lm_devices_open(lm_host *host, const llm_vulkan *desc, lm_devices *out, llm_error *error)
{
    llm_error why;
    memset(out, 0, sizeof *out);
    if (!desc)
        return LLM_OK;
    LM_TRY(devices_desc(desc, &out->desc, error));
    if (!DEVICES_BUILT)
        return LLM_OK;                                      /* llm_has tells why */
    LM_TRY(lm_mutex_init(&out->opening, error));
    out->n_locks = 1;
    LM_TRY(lm_mutex_init(&out->lock, error));
    out->n_locks = 2;
    llm_status status = lm_vulkan_list(host, &out->desc, out->found, LM_MAX_GPUS, &out->n_found, &why);
    if (status == LLM_OK) {
        if (out->n_found == 0)
            lm_log(host, LLM_LOG_INFO, "no GPU: the Vulkan drivers see none that fits");
        return LLM_OK;
    }
    out->n_found = 0;
    if (status == LLM_E_MEMORY || status == LLM_E_INVALID) {       /* ours or a driver's, or the caller's word: not a machine without a GPU */
        if (error)
            *error = why;
        return status;
    }
    lm_log(host, LLM_LOG_INFO, "no GPU: %s", why.message);
    return LLM_OK;
}

void lm_devices_close(lm_devices *devices)
{
    if (!DEVICES_BUILT)
        return;
    for (uint32_t i = 0; i < devices->n_found; i++)
        if (devices->open[i])
            devices->open[i]->table->close(devices->open[i]);
    for (uint32_t i = 0; i < devices->n_lost; i++)
        devices->lost[i]->table->close(devices->lost[i]);
    if (devices->n_locks >= 2)
        lm_mutex_destroy(&devices->lock);
    if (devices->n_locks >= 1)
        lm_mutex_destroy(&devices->opening);
}

void lm_devices_look(lm_devices *devices, uint32_t index, lm_device *out)
{
    const lm_vulkan_found *found = &devices->found[index];
    if (!DEVICES_BUILT)
        return;                                             /* none was found: nobody comes here */
    *out = (lm_device){ .name = found->name, .kind = found->kind, .memory_total = found->memory_total, .memory_free = found->memory_free };
    lm_mutex_lock(&devices->lock);
    const lm_backend *backend = devices->open[index];
    if (backend)
        backend->table->device(backend, out);
    lm_mutex_unlock(&devices->lock);
    out->name = found->name;
    if (!backend && devices->desc.memory_limit && devices->desc.memory_limit < out->memory_free)
        out->memory_free = devices->desc.memory_limit;
}

/* Under `opening`. */
static llm_status devices_get(lm_host *host, lm_devices *devices, uint32_t index, lm_backend **out, llm_error *error)
{
    lm_device device = { .lost = false };
    lm_backend *old = devices->open[index];
    char number[16];
    static const uint8_t none[16] = { 0 };
    if (old)
        old->table->device(old, &device);
    if (old && !device.lost) {
        *out = old;
        return LLM_OK;
    }
    if (old && devices->desc.logical)
        return lm_fail(error, LLM_E_DEVICE_LOST, "the host's Vulkan device is lost: make a new one, and a new engine with it");
    if (old && devices->n_lost == LM_MAX_LOST)
        return lm_fail(error, LLM_E_DEVICE_LOST, "%s was lost %d times in this engine: make a new one", devices->found[index].name, LM_MAX_LOST);
    lm_vulkan_desc desc = devices->desc;
    lm_print(number, sizeof number, "%u", devices->found[index].number);
    if (memcmp(devices->found[index].uuid, none, sizeof none) != 0)
        desc.uuid = devices->found[index].uuid;             /* numbers may have moved since it was found */
    else
        desc.device = number;
    LM_TRY(lm_vulkan_backend_open(host, &desc, out, error));
    lm_mutex_lock(&devices->lock);
    if (old)
        devices->lost[devices->n_lost++] = old;
    devices->open[index] = *out;
    lm_mutex_unlock(&devices->lock);
    return LLM_OK;
}

llm_status lm_devices_backend(lm_host *host, lm_devices *devices, uint32_t index, lm_backend **out, llm_error *error)
{
    if (!DEVICES_BUILT)
        return lm_fail(error, LLM_E_NO_DEVICE, "no GPU");
    lm_mutex_lock(&devices->opening);
    llm_status status = devices_get(host, devices, index, out, error);
    lm_mutex_unlock(&devices->opening);
    return status;
}
