/* SPDX-License-Identifier: MIT
 * What the host gave an engine, carried down to every floor: memory, log. Floor 0. Threads: any. */
#ifndef LM_BASE_HOST_H
#define LM_BASE_HOST_H

#include "base/compiler.h"
#include "base/mem.h"

#include "llm.h"

typedef struct lm_host {
    lm_mem mem;
    llm_logger logger;                  /* write NULL: silent */
} lm_host;

LM_PRINTF(3, 4) void lm_log(const lm_host *host, int32_t level, const char *format, ...);   /* format: as lm_fail */

#endif
