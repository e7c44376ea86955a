/* SPDX-License-Identifier: MIT
 * Sources of bytes: see source.h. Knows nothing of what the bytes mean. Invariants: `size` is what was seen at opening and never
 * changes; no read goes beyond it; only a PATH source owns its file. Threads: see source.h. */
#include "files/source.h"

#include "base/os.h"
#include "base/size.h"

#include <string.h>

struct lm_source {
    lm_host *host;
    int32_t  kind;                      /* LLM_SOURCE_* */
    lm_file  file;                      /* PATH: owned; FD: borrowed */
    uint64_t offset, size;              /* offset: of the first byte in the file */
    const unsigned char *data;          /* BUFFER */
    llm_reader reader;
    size_t   path_len;
    char     path[];                    /* with a NUL */
};

/* A descriptor of any age as one of ours: fields beyond its size are zero, bytes beyond ours must be. `known`: sizeof ours. */
static llm_status source_descriptor(void *out, const void *in, size_t known, const char *name, llm_error *error)
{
    uint32_t size;
    memcpy(&size, in, sizeof size);
    if (size < 8 || size > 4096)
        return lm_fail_at(error, LLM_E_INVALID, name, strlen(name), UINT64_MAX, "%s.struct_size is %u: begin it with LLM_INIT(%s)", name, size, name);
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)in)[i] != 0)
            return lm_fail_at(error, LLM_E_UNSUPPORTED, name, strlen(name), UINT64_MAX, "%s has a field at byte %zu that this library does not know", name, i);
    memset(out, 0, known);
    memcpy(out, in, size < known ? size : known);
    return LLM_OK;
}

static llm_status source_open_fd(lm_source *s, const llm_source *desc, llm_error *error)
{
    uint64_t all, end;
    s->file.handle = desc->fd;
    LM_TRY(lm_file_size(s->file, &all, error));
    if (desc->offset > all)
        return lm_fail(error, LLM_E_INVALID, "llm_source.offset is %llu, but the file has %llu bytes", (unsigned long long)desc->offset, (unsigned long long)all);
    s->offset = desc->offset;
    s->size = desc->size ? desc->size : all - desc->offset;
    if (!lm_add_u64(s->offset, s->size, &end) || end > all)
        return lm_fail(error, LLM_E_INVALID, "llm_source.offset %llu and size %llu pass the end of the file at byte %llu", (unsigned long long)desc->offset,
                       (unsigned long long)desc->size, (unsigned long long)all);
    return LLM_OK;
}

static llm_status source_open_kind(lm_source *s, const llm_source *desc, llm_error *error)
{
    switch (desc->kind) {
    case LLM_SOURCE_PATH:
        LM_TRY(lm_file_open(s->path, s->path_len, &s->file, error));
        llm_status status = lm_file_size(s->file, &s->size, error);
        if (status < 0)
            lm_file_close(s->file);
        return status;
    case LLM_SOURCE_FD:
        return source_open_fd(s, desc, error);
    case LLM_SOURCE_BUFFER:
        if (!desc->data && desc->data_len != 0)
            return lm_fail(error, LLM_E_INVALID, "llm_source.data is NULL with a length of %zu", desc->data_len);
        s->data = desc->data;
        s->size = desc->data_len;
        return LLM_OK;
    case LLM_SOURCE_READER:
        if (!desc->reader)
            return lm_fail(error, LLM_E_INVALID, "llm_source.reader is NULL");
        LM_TRY(source_descriptor(&s->reader, desc->reader, sizeof s->reader, "llm_reader", error));
        if (!s->reader.read)
            return lm_fail(error, LLM_E_INVALID, "llm_reader.read is NULL");
        s->size = s->reader.size;
        return LLM_OK;
    default:
        return lm_fail(error, LLM_E_INVALID, "llm_source.kind is %d: expected LLM_SOURCE_PATH, FD, BUFFER or READER", desc->kind);
    }
}

llm_status lm_source_open(lm_host *host, const llm_source *desc, lm_source **out, llm_error *error)
{
    llm_source given;
    size_t path_len = 0;
    lm_source *s;
    llm_status status;
    if (!desc)
        return lm_fail(error, LLM_E_INVALID, "the source is NULL");
    LM_TRY(source_descriptor(&given, desc, sizeof given, "llm_source", error));
    if (given.kind == LLM_SOURCE_PATH) {
        if (!given.path)
            return lm_fail(error, LLM_E_INVALID, "llm_source.path is NULL");
        path_len = given.path_len == LLM_NUL ? strlen(given.path) : given.path_len;
        if (path_len > 1 << 20)
            return lm_fail(error, LLM_E_INVALID, "llm_source.path_len is %zu: no path is that long", path_len);
    }
    s = lm_mem_new(&host->mem, sizeof *s + path_len + 1, LLM_MEMORY_OTHER);
    if (!s)
        return lm_fail_memory(error, "a source of a model", sizeof *s + path_len + 1);
    s->host = host;
    s->kind = given.kind;
    s->path_len = path_len;
    if (path_len)
        memcpy(s->path, given.path, path_len);
    status = source_open_kind(s, &given, error);
    if (status < 0) {
        lm_mem_free(&host->mem, s);
        return status;
    }
    *out = s;
    return LLM_OK;
}

void lm_source_close(lm_source *source)
{
    if (!source)
        return;
    if (source->kind == LLM_SOURCE_PATH)
        lm_file_close(source->file);
    lm_mem_free(&source->host->mem, source);
}

uint64_t lm_source_size(const lm_source *source) { return source->size; }

llm_status lm_source_read(lm_source *source, uint64_t offset, void *out, size_t n, llm_error *error)
{
    uint64_t end;
    llm_status status;
    if (!lm_add_u64(offset, n, &end) || end > source->size)
        return lm_fail_at(error, LLM_E_FORMAT, NULL, 0, source->size, "truncated: %zu bytes are wanted at byte %llu, but %s ends at byte %llu", n,
                          (unsigned long long)offset, lm_source_name(source), (unsigned long long)source->size);
    if (n == 0)
        return LLM_OK;
    switch (source->kind) {
    case LLM_SOURCE_BUFFER:
        memcpy(out, source->data + offset, n);
        return LLM_OK;
    case LLM_SOURCE_READER:
        status = source->reader.read(source->reader.user, offset, out, n);
        if (status >= 0)
            return LLM_OK;
        return lm_fail_at(error, status >= LLM_E_MISMATCH ? status : LLM_E_IO, NULL, 0, offset, "the host's reader failed with status %d: %zu bytes at byte %llu", status, n,
                          (unsigned long long)offset);
    default:
        return lm_file_read(source->file, source->offset + offset, out, n, error);
    }
}

const void *lm_source_peek(const lm_source *source, uint64_t offset, uint64_t n)
{
    uint64_t end;
    if (source->kind != LLM_SOURCE_BUFFER || !lm_add_u64(offset, n, &end) || end > source->size)
        return NULL;
    return source->data + offset;
}

bool lm_source_reads_alone(const lm_source *source) { return source->kind == LLM_SOURCE_READER; }

llm_status lm_source_stamp(const lm_source *source, int64_t *out, llm_error *error)
{
    if (source->kind != LLM_SOURCE_PATH && source->kind != LLM_SOURCE_FD)
        return LLM_E_NOT_FOUND;
    return lm_file_stamp(source->file, out, error);
}

const char *lm_source_name(const lm_source *source)
{
    switch (source->kind) {
    case LLM_SOURCE_PATH: return source->path;
    case LLM_SOURCE_FD: return "descriptor";
    case LLM_SOURCE_BUFFER: return "buffer";
    default: return "reader";
    }
}

llm_str lm_source_path(const lm_source *source) { return (llm_str){ source->path, source->path_len }; }
