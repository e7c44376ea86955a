/* SPDX-License-Identifier: MIT
 * A Vulkan backend for tests: any device will do, a processor too; the validation layers where they are. What they say counts as a failure. */
#ifndef TEST_VULKAN_OPEN_H
#define TEST_VULKAN_OPEN_H

#include "backend/backend.h"

#include "test.h"

static unsigned vulkan_messages;                            /* of the validation layers */

static void vulkan_log(void *user, int32_t level, const char *message, size_t len)
{
    (void)user;
    if (len > 18 && memcmp(message, "Vulkan validation:", 18) == 0) {
        vulkan_messages++;
        if (vulkan_messages < 10)
            fprintf(stderr, "%.*s\n", (int)len, message);
    } else if (level <= LLM_LOG_WARN) {
        fprintf(stderr, "%.*s\n", (int)len, message);
    }
}

/* Fills `host`. LLM_E_NO_DEVICE: skip. Says once whether the layers are there. */
static inline llm_status vulkan_open(lm_host *host, lm_vulkan_desc desc, lm_backend **out, llm_error *error)
{
    memset(host, 0, sizeof *host);
    lm_mem_init(&host->mem, NULL, 0);
    host->logger.write = vulkan_log;
    host->logger.level = LLM_LOG_WARN;
    desc.allow_software = true;
    desc.validate = getenv("LLM_TEST_NO_LAYERS") == NULL;
    llm_status status = lm_vulkan_backend_open(host, &desc, out, error);
    if (status != LLM_E_NO_DEVICE)
        return status;
    desc.validate = false;
    status = lm_vulkan_backend_open(host, &desc, out, error);
    if (status == LLM_OK)
        fprintf(stderr, "no validation layers here (Debian: vulkan-validationlayers)\n");
    return status;
}

#endif
