/* SPDX-License-Identifier: MIT
 * Sinks of bytes: see sink.h. Knows nothing of what the bytes mean.
 *
 * A path is replaced in one step: 1. "PATH.part-N" is created anew (never opened where something stands: N counts until a name is free, so
 * that two writers of one path do not meet and no link is followed). 2. The bytes go there. 3. They are brought to the disk. 4. The file is
 * renamed to PATH. Before 4 nobody sees a change; whatever fails, the part is removed.
 *
 * Small writes are gathered, so that a header of ten thousand fields is no ten thousand calls into the system. Threads: one at a time. */
#include "files/sink.h"

#include "base/os.h"
#include "base/size.h"

#include <string.h>

enum { SINK_GATHER = 64 * 1024, SINK_TRIES = 1000, SINK_SWEPT = 16, SINK_MAGIC = 16 };
#define SINK_HOUR (INT64_C(3600) * 1000000000)

struct lm_sink {
    lm_host *host;
    int32_t  kind;                      /* LLM_SINK_* */
    bool     open, exists;              /* PATH: the part is open; it stands on the disk */
    lm_file  file;
    llm_writer writer;
    uint64_t passed, written;           /* bytes handed on; bytes taken, gathered ones included */
    size_t   gathered;
    unsigned char *gather;              /* [SINK_GATHER] */
    size_t   path_len, part_len;
    char    *part;                      /* the name of the part */
    char     path[];                    /* with a NUL */
};

static void sink_shut(lm_sink *s)
{
    if (s->open)
        lm_file_close(s->file);
    s->open = false;
    if (s->exists)
        lm_file_remove(s->part, s->part_len);
    s->exists = false;
}

/* What stands at the path now must be nothing or a file: better to hear it before an hour of work than after. */
static llm_status sink_check_place(const lm_sink *s, llm_error *error)
{
    lm_file there;
    llm_error why;
    llm_status status = lm_file_open(s->path, s->path_len, &there, &why);
    if (status == LLM_OK) {
        lm_file_close(there);
        return LLM_OK;
    }
    if (status == LLM_E_NOT_FOUND)
        return LLM_OK;
    return lm_fail_at(error, status, s->path, s->path_len, UINT64_MAX, "'%s' cannot be replaced by a new file: %s", s->path, why.message);
}

size_t lm_sink_part_name(const char *path, size_t path_len, int number, char *name)
{
    memcpy(name, path, path_len);
    return path_len + lm_print(name + path_len, LM_SINK_SUFFIX, ".part-%d", number);
}

void lm_sink_sweep(lm_host *host, llm_str path, const char *magic, size_t n)
{
    char *name = lm_mem_raw(&host->mem, path.len + LM_SINK_SUFFIX, LLM_MEMORY_OTHER);
    for (int i = 0; name && i < SINK_SWEPT; i++) {
        size_t len = lm_sink_part_name(path.ptr, path.len, i, name);
        char there[SINK_MAGIC];
        uint64_t size = 0;
        lm_file file;
        int64_t stamp = INT64_MAX;
        if (lm_file_open(name, len, &file, NULL) < 0)
            continue;
        bool ours = lm_file_size(file, &size, NULL) >= 0 && n <= sizeof there &&
                    (size == 0 || (lm_file_read(file, 0, there, n, NULL) >= 0 && memcmp(there, magic, n) == 0));
        bool old = lm_file_stamp(file, &stamp, NULL) >= 0 && stamp < lm_os_wall_ns() - SINK_HOUR;
        lm_file_close(file);
        if (ours && old)
            lm_file_remove(name, len);
    }
    lm_mem_free(&host->mem, name);
}

static llm_status sink_create_part(lm_sink *s, bool read_only, llm_error *error)
{
    llm_status status = LLM_E_STATE;
    LM_TRY(sink_check_place(s, error));
    for (int i = 0; status == LLM_E_STATE && i < SINK_TRIES; i++) {
        s->part_len = lm_sink_part_name(s->path, s->path_len, i, s->part);
        status = lm_file_create(s->part, s->part_len, read_only, &s->file, error);
    }
    s->open = s->exists = status == LLM_OK;
    return status;
}

static size_t sink_bytes(size_t path_len) { return sizeof(lm_sink) + path_len + 1 + path_len + LM_SINK_SUFFIX + SINK_GATHER; }

uint64_t lm_sink_cost(size_t path_len) { return lm_mem_cost(sink_bytes(path_len)); }

static llm_status sink_open(lm_host *host, const llm_sink *desc, bool read_only, lm_sink **out, llm_error *error)
{
    size_t path_len = desc->kind == LLM_SINK_PATH ? desc->path_len : 0, size = sink_bytes(path_len);
    lm_sink *s;
    llm_status status = LLM_OK;
    if (desc->kind != LLM_SINK_PATH && desc->kind != LLM_SINK_WRITER)
        return lm_fail(error, LLM_E_INVALID, "llm_sink.kind is %d: expected LLM_SINK_PATH or WRITER", desc->kind);
    if (desc->kind == LLM_SINK_PATH && (!desc->path || path_len == 0 || path_len > 1 << 20 || memchr(desc->path, 0, path_len)))
        return lm_fail(error, LLM_E_INVALID, "llm_sink.path is NULL or empty, too long, or holds a NUL byte: no file can have that name");
    if (desc->kind == LLM_SINK_WRITER && (!desc->writer || !desc->writer->write))
        return lm_fail(error, LLM_E_INVALID, "llm_sink.writer is NULL or has no write");
    s = lm_mem_new(&host->mem, size, LLM_MEMORY_OTHER);
    if (!s)
        return lm_fail_memory(error, "a file to write", size);
    s->host = host;
    s->kind = desc->kind;
    s->path_len = path_len;
    s->part = s->path + path_len + 1;
    s->gather = (unsigned char *)s->part + path_len + LM_SINK_SUFFIX;
    if (desc->kind == LLM_SINK_WRITER)
        s->writer = *desc->writer;
    else
        memcpy(s->path, desc->path, path_len);
    if (desc->kind == LLM_SINK_PATH)
        status = sink_create_part(s, read_only, error);
    if (status < 0) {
        lm_mem_free(&host->mem, s);
        return status;
    }
    *out = s;
    return LLM_OK;
}

llm_status lm_sink_open(lm_host *host, const llm_sink *desc, lm_sink **out, llm_error *error) { return sink_open(host, desc, false, out, error); }

llm_status lm_sink_open_read_only(lm_host *host, const char *path, size_t path_len, lm_sink **out, llm_error *error)
{
    llm_sink desc = LLM_INIT(llm_sink);
    desc.path = path;
    desc.path_len = path_len;
    return sink_open(host, &desc, true, out, error);
}

static llm_status sink_pass(lm_sink *s, const void *data, size_t n, llm_error *error)
{
    llm_status status;
    if (n == 0)
        return LLM_OK;
    if (s->kind == LLM_SINK_PATH) {
        llm_error why;
        status = lm_file_write(s->file, s->passed, data, n, &why);
        if (status < 0)
            return lm_fail_at(error, status, s->path, s->path_len, s->passed, "'%s': %s", s->path, why.message);
    } else {
        status = s->writer.write(s->writer.user, data, n);
        if (status < 0)
            return lm_fail_at(error, status >= LLM_E_MISMATCH ? status : LLM_E_IO, NULL, 0, s->passed, "the host's writer failed with status %d: %zu bytes at byte %llu", status,
                              n, (unsigned long long)s->passed);
    }
    s->passed += n;
    return LLM_OK;
}

static llm_status sink_flush(lm_sink *s, llm_error *error)
{
    size_t n = s->gathered;
    s->gathered = 0;
    return sink_pass(s, s->gather, n, error);
}

llm_status lm_sink_write(lm_sink *sink, const void *data, size_t n, llm_error *error)
{
    uint64_t after;
    if (!lm_add_u64(sink->written, n, &after) || after > INT64_MAX)
        return lm_fail(error, LLM_E_LIMIT, "the file to write would pass 63 bits");
    if (n > SINK_GATHER - sink->gathered)
        LM_TRY(sink_flush(sink, error));
    if (n >= SINK_GATHER) {
        LM_TRY(sink_pass(sink, data, n, error));
    } else if (n > 0) {
        memcpy(sink->gather + sink->gathered, data, n);
        sink->gathered += n;
    }
    sink->written = after;
    return LLM_OK;
}

uint64_t lm_sink_written(const lm_sink *sink) { return sink->written; }

static llm_status sink_place(lm_sink *s, llm_error *error)
{
    LM_TRY(lm_file_sync(s->file, error));
    lm_file_close(s->file);
    s->open = false;
    LM_TRY(lm_file_rename(s->part, s->part_len, s->path, s->path_len, error));
    s->exists = false;
    return LLM_OK;
}

llm_status lm_sink_end(lm_sink *sink, llm_error *error)
{
    llm_status status = sink_flush(sink, error);
    if (status >= 0 && sink->kind == LLM_SINK_PATH)
        status = sink_place(sink, error);
    if (status < 0)
        sink_shut(sink);
    return status;
}

void lm_sink_drop(lm_sink *sink)
{
    if (!sink)
        return;
    sink_shut(sink);
    lm_mem_free(&sink->host->mem, sink);
}
#undef SINK_HOUR
