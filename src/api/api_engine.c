/* SPDX-License-Identifier: MIT
 * llm.h: version, engine, devices. */
#include "api/api.h"

#include "session/engine.h"

uint32_t llm_version(void)
{
    return LLM_ABI;
}

const char *llm_status_name(llm_status status)
{
    static const struct { llm_status status; const char *name; } names[] = {
#define API_ENGINE_NAME(name) { name, #name }
        API_ENGINE_NAME(LLM_OK), API_ENGINE_NAME(LLM_MORE), API_ENGINE_NAME(LLM_E_INVALID), API_ENGINE_NAME(LLM_E_STATE),
        API_ENGINE_NAME(LLM_E_BUSY), API_ENGINE_NAME(LLM_E_MEMORY), API_ENGINE_NAME(LLM_E_IO), API_ENGINE_NAME(LLM_E_FORMAT),
        API_ENGINE_NAME(LLM_E_UNSUPPORTED), API_ENGINE_NAME(LLM_E_VERSION), API_ENGINE_NAME(LLM_E_CANCELLED),
        API_ENGINE_NAME(LLM_E_CONTEXT_FULL), API_ENGINE_NAME(LLM_E_SPACE), API_ENGINE_NAME(LLM_E_DEVICE_LOST),
        API_ENGINE_NAME(LLM_E_NO_DEVICE), API_ENGINE_NAME(LLM_E_NUMERIC), API_ENGINE_NAME(LLM_E_LIMIT),
        API_ENGINE_NAME(LLM_E_NOT_FOUND), API_ENGINE_NAME(LLM_E_INTERNAL), API_ENGINE_NAME(LLM_E_MISMATCH)
#undef API_ENGINE_NAME
    };
    for (size_t i = 0; i < LM_COUNT(names); i++)
        if (names[i].status == status)
            return names[i].name;
    return "LLM_E_UNKNOWN";
}

int32_t llm_has(int32_t feature)
{
    return feature == LLM_FEATURE_CPU || feature == LLM_FEATURE_STATE_INT8 || feature == LLM_FEATURE_PACK || feature == LLM_FEATURE_CHAT ||
           feature == LLM_FEATURE_SAVE || feature == LLM_FEATURE_GRAMMAR ||
           (feature == LLM_FEATURE_VULKAN && lm_vulkan_built());
}

/* The tables of callbacks have sizes of their own. */
static llm_status api_engine_hooks(llm_engine_desc *desc, llm_allocator *allocator, llm_logger *logger, llm_parallel *parallel, llm_vulkan *vulkan, llm_error *error)
{
    LM_TRY(LM_API_DESC(desc->vulkan, vulkan, llm_vulkan, error));       /* NULL: its defaults */
    desc->vulkan = vulkan;
    if (desc->allocator) {
        LM_TRY(LM_API_DESC(desc->allocator, allocator, llm_allocator, error));
        if (!allocator->allocate || !allocator->release)
            return lm_fail(error, LLM_E_INVALID, "llm_allocator needs both allocate and release");
        desc->allocator = allocator;
    }
    if (desc->logger) {
        LM_TRY(LM_API_DESC(desc->logger, logger, llm_logger, error));
        if (!logger->write)
            return lm_fail(error, LLM_E_INVALID, "llm_logger needs write");
        if (logger->level < 0 || logger->level > LLM_LOG_DEBUG)
            return lm_fail(error, LLM_E_INVALID, "llm_logger.level is %d: expected 0 or LLM_LOG_*", logger->level);
        if (logger->level == 0)
            logger->level = LLM_LOG_WARN;
        desc->logger = logger;
    }
    if (desc->parallel) {
        LM_TRY(LM_API_DESC(desc->parallel, parallel, llm_parallel, error));
        if (!parallel->run || parallel->n_threads == 0)
            return lm_fail(error, LLM_E_INVALID, "llm_parallel needs run, and n_threads of at least 1");
        desc->parallel = parallel;
    }
    return LLM_OK;
}

llm_status llm_engine_create(uint32_t abi, const llm_engine_desc *desc, llm_engine **out, llm_error *error)
{
    llm_engine_desc full;
    llm_allocator allocator;
    llm_logger logger;
    llm_parallel parallel;
    llm_vulkan vulkan;
    LM_API_NEED(out, error);
    if (abi == 0)
        return lm_fail(error, LLM_E_INVALID, "abi is 0: pass LLM_ABI");
    if (abi >> 16 != LLM_ABI >> 16 || abi > LLM_ABI)
        return lm_fail(error, LLM_E_VERSION, "the program needs version %u.%u of the library, this is %u.%u", abi >> 16, abi & 0xffffu,
                       (unsigned)(LLM_ABI >> 16), (unsigned)(LLM_ABI & 0xffffu));
    LM_TRY(LM_API_DESC(desc, &full, llm_engine_desc, error));
    LM_TRY(api_engine_hooks(&full, &allocator, &logger, &parallel, &vulkan, error));
    return lm_api_done(lm_engine_new(&full, out, error), error);
}

void llm_engine_free(llm_engine *engine)
{
    if (engine && lm_engine_is_here(engine))
        lm_engine_drop(engine);
}

llm_status llm_engine_get_info(const llm_engine *engine, llm_engine_info *info, llm_error *error)
{
    llm_engine_info ours = LLM_INIT(llm_engine_info);
    LM_API_NEED(engine, error);
    LM_TRY(lm_api_info_check(info, "llm_engine_info", error));
    lm_engine_info(engine, &ours);
    lm_api_info_give(&ours, sizeof ours, info);
    return lm_api_done(LLM_OK, error);
}

int32_t llm_engine_device_count(const llm_engine *engine)
{
    return engine ? lm_engine_n_devices(engine) : 0;
}

llm_status llm_engine_device_info(const llm_engine *engine, int32_t index, llm_device_info *info, llm_error *error)
{
    llm_device_info ours = LLM_INIT(llm_device_info);
    LM_API_NEED(engine, error);
    LM_TRY(lm_engine_here(engine, error));
    LM_TRY(lm_api_info_check(info, "llm_device_info", error));
    LM_TRY(lm_engine_device((llm_engine *)engine, index, &ours, error));     /* no GPU is opened for it: as const as it looks */
    lm_api_info_give(&ours, sizeof ours, info);
    return lm_api_done(LLM_OK, error);
}

llm_status llm_engine_device_test(llm_engine *engine, int32_t device, llm_error *error)
{
    LM_API_NEED(engine, error);
    LM_TRY(lm_engine_here(engine, error));
    return lm_api_done(lm_engine_device_test(engine, device, error), error);
}

llm_status llm_engine_device_report(llm_engine *engine, int32_t device, char *text, size_t cap, size_t *n, llm_error *error)
{
    LM_API_NEED(engine, error);
    LM_TRY(lm_engine_here(engine, error));
    LM_API_NEED(n, error);
    if (!text && cap != 0)
        return lm_fail(error, LLM_E_INVALID, "text is NULL, cap is %zu", cap);
    return lm_api_done(lm_engine_device_report(engine, device, text, cap, n, error), error);
}

llm_status llm_engine_device_cache(llm_engine *engine, int32_t device, void *out, size_t cap, size_t *n, llm_error *error)
{
    LM_API_NEED(engine, error);
    LM_TRY(lm_engine_here(engine, error));
    LM_API_NEED(n, error);
    if (!out && cap != 0)
        return lm_fail(error, LLM_E_INVALID, "out is NULL, cap is %zu", cap);
    return lm_api_done(lm_engine_device_cache(engine, device, out, cap, n, error), error);
}

llm_status llm_engine_device_set_cache(llm_engine *engine, int32_t device, const void *data, size_t n, llm_error *error)
{
    LM_API_NEED(engine, error);
    LM_TRY(lm_engine_here(engine, error));
    LM_API_NEED(data, error);
    return lm_api_done(lm_engine_device_set_cache(engine, device, data, n, error), error);
}
