/* SPDX-License-Identifier: MIT
 * The log: formats into a buffer of its own and hands the text to the host's logger. Silent without one. Threads: any. */
#include "base/host.h"

#include "base/status.h"

void lm_log(const lm_host *host, int32_t level, const char *format, ...)
{
    int32_t wanted = host->logger.level == 0 ? LLM_LOG_WARN : host->logger.level;
    char text[1024];
    va_list args;
    if (!host->logger.write || level > wanted)
        return;
    va_start(args, format);
    size_t n = lm_format(text, sizeof text, format, args);
    va_end(args);
    host->logger.write(host->logger.user, level, text, n);
}
