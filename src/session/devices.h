/* SPDX-License-Identifier: MIT
 * The devices beside the processor: found when the engine is made, opened when a model first asks, opened anew after they were lost. Floor 9.
 * Threads: any. Who opens a device holds `opening`, as a driver may take seconds; what is open changes under `lock` too, so that looking waits for
 * nobody's driver. */
#ifndef LM_SESSION_DEVICES_H
#define LM_SESSION_DEVICES_H

#include "backend/backend.h"

#include "base/thread.h"

enum { LM_MAX_GPUS = 7, LM_MAX_LOST = 16 };

typedef struct lm_devices {
    lm_mutex opening, lock;             /* taken in this order */
    uint32_t n_locks;                   /* how many of them there are */
    lm_vulkan_desc desc;                /* how GPUs are used */
    uint32_t n_found, n_lost;
    lm_vulkan_found found[LM_MAX_GPUS];
    lm_backend *open[LM_MAX_GPUS];      /* NULL: not yet */
    lm_backend *lost[LM_MAX_LOST];      /* models may still hold them: they go with the engine */
} lm_devices;

/* Finding none is no failure: the log tells. desc, or NULL: none is looked for. */
llm_status lm_devices_open(lm_host *host, const llm_vulkan *desc, lm_devices *out, llm_error *error);
void       lm_devices_close(lm_devices *devices);
/* What is known of one, without opening it. name: until the engine goes. */
void       lm_devices_look(lm_devices *devices, uint32_t index, lm_device *out);
llm_status lm_devices_backend(lm_host *host, lm_devices *devices, uint32_t index, lm_backend **out, llm_error *error);

#endif
