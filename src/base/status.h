/* SPDX-License-Identifier: MIT
 * Statuses and their messages: every function that can fail returns llm_status and fills a caller-owned llm_error.
 * Floor 0. Owns nothing. Threads: any. */
#ifndef LM_BASE_STATUS_H
#define LM_BASE_STATUS_H

#include "base/compiler.h"

#include "llm.h"

#include <stdarg.h>

/* Sets *error (NULL is fine) to `status` and a message, and returns `status`. The format knows %s %.*s %c %d %u %lld %llu
 * %zu %x %llx %g %% and nothing else; it is our own, free of the host's locale. No subject, no offset. */
LM_PRINTF(3, 4) llm_status lm_fail(llm_error *error, llm_status status, const char *format, ...);

/* The same with what the message is about (a tensor, a key; `subject_len` bytes, shortened to fit) and where (byte offset in
 * the file or text, UINT64_MAX if none). */
LM_PRINTF(6, 7) llm_status lm_fail_at(llm_error *error, llm_status status, const char *subject, size_t subject_len, uint64_t offset,
                                      const char *format, ...);

/* "out of memory: %s needs %zu bytes". */
llm_status lm_fail_memory(llm_error *error, const char *what, size_t bytes);

/* Success: status LLM_OK, empty message. */
void lm_error_clear(llm_error *error);

/* Our own vsnprintf: always NUL-terminates when cap > 0; returns the bytes written without the NUL (never more than cap - 1). */
size_t lm_format(char *out, size_t cap, const char *format, va_list args);
LM_PRINTF(3, 4) size_t lm_print(char *out, size_t cap, const char *format, ...);

/* Forwards an error to the caller. For functions that own nothing yet; the others set a status and jump to their one label. */
#define LM_TRY(call)                           \
    do {                                       \
        llm_status lm_try_status = (call);     \
        if (lm_try_status < 0)                 \
            return lm_try_status;              \
    } while (0)

#endif
