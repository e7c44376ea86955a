/* SPDX-License-Identifier: MIT
 * What every function of llm.h does before and after its one call below: structs of other versions become ours and back. Floor 10. */
#ifndef LM_API_API_H
#define LM_API_API_H

#include "base/status.h"

#include <string.h>

enum { LM_API_MIN_SIZE = 8, LM_API_MAX_SIZE = 4096 };

/* A caller's descriptor becomes a complete one of this library: what is missing is zero, what is unknown must be zero. NULL: all
 * defaults. out: `size` bytes. */
static inline llm_status lm_api_desc(const void *desc, void *out, uint32_t size, const char *type, llm_error *error)
{
    uint32_t given = size;
    memset(out, 0, size);
    if (desc) {
        memcpy(&given, desc, sizeof given);
        if (given < LM_API_MIN_SIZE || given > LM_API_MAX_SIZE)
            return lm_fail_at(error, LLM_E_INVALID, type, strlen(type), UINT64_MAX,
                              "%s.struct_size is %u: begin the struct with LLM_INIT(%s)", type, given, type);
        for (uint32_t i = size; i < given; i++)
            if (((const unsigned char *)desc)[i] != 0)
                return lm_fail_at(error, LLM_E_UNSUPPORTED, type, strlen(type), i,
                                  "%s sets a field that is newer than this library (byte %u, %u bytes are known)", type, i, size);
        memcpy(out, desc, LM_MIN(given, size));
    }
    memcpy(out, &size, sizeof size);
    return LLM_OK;
}
#define LM_API_DESC(desc, out, type, error) lm_api_desc((desc), (out), (uint32_t)sizeof(type), #type, (error))

/* A struct that the library fills: its size is checked, nothing is written yet. */
static inline llm_status lm_api_info_check(const void *info, const char *type, llm_error *error)
{
    uint32_t given = 0;
    if (!info)
        return lm_fail(error, LLM_E_INVALID, "the %s to fill is NULL", type);
    memcpy(&given, info, sizeof given);
    if (given < LM_API_MIN_SIZE || given > LM_API_MAX_SIZE)
        return lm_fail_at(error, LLM_E_INVALID, type, strlen(type), UINT64_MAX, "%s.struct_size is %u: begin the struct with LLM_INIT(%s)", type,
                          given, type);
    return LLM_OK;
}

/* ours: complete, `size` bytes. The caller's is written up to its own size; what this library does not know becomes zero. */
static inline void lm_api_info_give(const void *ours, uint32_t size, void *info)
{
    uint32_t given = 0;
    memcpy(&given, info, sizeof given);
    if (given > size)
        memset((char *)info + size, 0, given - size);
    memcpy((char *)info + sizeof given, (const char *)ours + sizeof given, LM_MIN(given, size) - sizeof given);
}

/* Empty message and LLM_OK or LLM_MORE: functions below write *error only where they fail. */
static inline llm_status lm_api_done(llm_status status, llm_error *error)
{
    if (status >= 0)
        lm_error_clear(error);
    return status;
}

#define LM_API_NEED(pointer, error)                                                           \
    do {                                                                                      \
        if (!(pointer))                                                                       \
            return lm_fail((error), LLM_E_INVALID, "%s: %s is NULL", __func__, #pointer);     \
    } while (0)

/* Pointer and length as llm.h has them. */
static inline llm_status lm_api_text(const char *text, size_t *len, const char *name, llm_error *error)
{
    if (!text && *len != 0)
        return lm_fail(error, LLM_E_INVALID, "%s is NULL, its length is not 0", name);
    if (*len == LLM_NUL)
        *len = strlen(text);
    return LLM_OK;
}

/* A sink as the floors below want it: complete, lengths known. *writer: its writer's copy. */
static inline llm_status lm_api_sink(const llm_sink *sink, llm_sink *out, llm_writer *writer, llm_error *error)
{
    LM_API_NEED(sink, error);
    LM_TRY(LM_API_DESC(sink, out, llm_sink, error));
    if (out->kind == LLM_SINK_PATH) {
        LM_TRY(lm_api_text(out->path, &out->path_len, "llm_sink.path", error));
        if (!out->path || out->path_len == 0)
            return lm_fail(error, LLM_E_INVALID, "llm_sink.path is empty: expected the name of a file");
    } else if (out->kind == LLM_SINK_WRITER) {
        if (!out->writer)
            return lm_fail(error, LLM_E_INVALID, "llm_sink.writer is NULL");
        LM_TRY(LM_API_DESC(out->writer, writer, llm_writer, error));
        if (!writer->write)
            return lm_fail(error, LLM_E_INVALID, "llm_writer.write is NULL");
        out->writer = writer;
    } else {
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_sink.kind is %d: expected LLM_SINK_PATH or LLM_SINK_WRITER", out->kind);
    }
    return LLM_OK;
}

#endif
