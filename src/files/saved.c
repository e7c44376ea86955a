/* SPDX-License-Identifier: MIT
 * Saved sessions as files: see saved.h.
 *
 *     header    128 bytes, the last 8 the digest of the others
 *     section   16 bytes of head, the payload, zeros up to a multiple of 8, and the digest of all that
 *
 * Numbers are little-endian and go out as they lie in memory: the library is built for little-endian machines. Threads: see saved.h. */
#include "files/saved.h"

#include "base/size.h"

#include <stddef.h>
#include <string.h>

enum { SAVED_ALIGN = 8, SAVED_SKIP = 4096 };
#define SAVED_OPTIONAL 0x80000000u      /* of a kind: who does not know it may pass it over */
static const char saved_magic[8] = { 'l', 'l', 'm', 's', 'a', 'v', 'e', '\n' };

typedef struct saved_header {
    char     magic[8];
    uint32_t version, n_sections;
    uint64_t file_bytes;
    lm_saved_about about;
    uint64_t reserved[3];
    uint64_t digest;                    /* of all before */
} saved_header;
_Static_assert(sizeof(lm_saved_about) == 72 && sizeof(saved_header) == 128 && sizeof(lm_saved_section) == 16, "as docs/SESSIONS.md has it, no padding");

/* Bytes of a section, all told. */
static bool saved_section_bytes(uint64_t payload, uint64_t *out)
{
    return lm_align_u64(payload, SAVED_ALIGN, out) && lm_add_u64(*out, sizeof(lm_saved_section) + sizeof(uint64_t), out);
}

/* ---- writing */

llm_status lm_saved_write_open(lm_host *host, const llm_sink *sink, const lm_saved_about *about, const lm_saved_section *sections, uint32_t n_sections,
                               lm_saved_writer *out, llm_error *error)
{
    saved_header header;
    lm_saved_writer w;
    memset(&header, 0, sizeof header);
    memset(&w, 0, sizeof w);
    w.total = sizeof header;
    for (uint32_t i = 0; i < n_sections; i++) {
        uint64_t bytes = 0;
        if (!saved_section_bytes(sections[i].bytes, &bytes) || !lm_add_u64(w.total, bytes, &w.total) || w.total > INT64_MAX)
            return lm_fail(error, LLM_E_LIMIT, "the session passes the size of a file");
    }
    memcpy(header.magic, saved_magic, sizeof saved_magic);
    header.version = LM_SAVED_VERSION;
    header.n_sections = n_sections;
    header.file_bytes = w.total;
    header.about = *about;
    header.digest = lm_digest_of(&header, offsetof(saved_header, digest));
    if (sink->kind == LLM_SINK_PATH && sink->path)
        lm_sink_sweep(host, (llm_str){ sink->path, sink->path_len }, saved_magic, sizeof saved_magic);
    LM_TRY(lm_sink_open(host, sink, &w.sink, error));
    llm_status status = lm_sink_write(w.sink, &header, sizeof header, error);
    if (status < 0) {
        lm_sink_drop(w.sink);
        return status;
    }
    *out = w;
    return LLM_OK;
}

llm_status lm_saved_write_section(lm_saved_writer *w, const lm_saved_section *section, llm_error *error)
{
    lm_digest_begin(&w->digest);
    lm_digest_add(&w->digest, section, sizeof *section);
    w->left = section->bytes;
    return lm_sink_write(w->sink, section, sizeof *section, error);
}

llm_status lm_saved_write(lm_saved_writer *w, const void *data, size_t n, llm_error *error)
{
    if (n > w->left)
        return lm_fail(error, LLM_E_INTERNAL, "a section of a saved session has more bytes than it said");
    w->left -= n;
    lm_digest_add(&w->digest, data, n);
    return lm_sink_write(w->sink, data, n, error);
}

llm_status lm_saved_write_section_end(lm_saved_writer *w, llm_error *error)
{
    static const unsigned char zeros[SAVED_ALIGN];
    if (w->left != 0)
        return lm_fail(error, LLM_E_INTERNAL, "a section of a saved session has fewer bytes than it said");
    size_t pad = (size_t)(-lm_sink_written(w->sink) & (SAVED_ALIGN - 1));
    lm_digest_add(&w->digest, zeros, pad);
    LM_TRY(lm_sink_write(w->sink, zeros, pad, error));
    uint64_t digest = lm_digest_end(&w->digest);
    return lm_sink_write(w->sink, &digest, sizeof digest, error);
}

llm_status lm_saved_write_end(lm_saved_writer *w, llm_error *error)
{
    if (lm_sink_written(w->sink) != w->total)
        return lm_fail(error, LLM_E_INTERNAL, "a saved session has %llu bytes where %llu were to come", (unsigned long long)lm_sink_written(w->sink), (unsigned long long)w->total);
    return lm_sink_end(w->sink, error);
}

void lm_saved_write_drop(lm_saved_writer *w)
{
    lm_sink_drop(w->sink);
    w->sink = NULL;
}

/* ---- reading */

static llm_status saved_damaged(const lm_saved *s, uint64_t at, const char *what, llm_error *error)
{
    const char *name = lm_source_name(s->source);
    return lm_fail_at(error, LLM_E_FORMAT, name, strlen(name), at, "'%s' is damaged: %s (byte %llu)", name, what, (unsigned long long)at);
}

static llm_status saved_header_read(lm_saved *s, llm_error *error)
{
    saved_header header;
    const char *name = lm_source_name(s->source);
    if (s->size < sizeof saved_magic)
        return lm_fail_at(error, LLM_E_FORMAT, name, strlen(name), 0, "'%s' is no saved session: it has %llu bytes", name, (unsigned long long)s->size);
    LM_TRY(lm_source_read(s->source, 0, header.magic, sizeof header.magic, error));
    if (memcmp(header.magic, saved_magic, sizeof saved_magic) != 0)
        return lm_fail_at(error, LLM_E_FORMAT, name, strlen(name), 0, "'%s' is no saved session: it does not begin as one", name);
    if (s->size < sizeof header)
        return saved_damaged(s, s->size, "it ends in its header", error);
    LM_TRY(lm_source_read(s->source, 0, &header, sizeof header, error));
    if (header.version > LM_SAVED_VERSION)
        return lm_fail_at(error, LLM_E_VERSION, name, strlen(name), 8, "'%s' has version %u of the format: this library reads 1 to %u", name, header.version, LM_SAVED_VERSION);
    if (header.digest != lm_digest_of(&header, offsetof(saved_header, digest)) || header.version == 0 || memcmp(header.magic, saved_magic, sizeof saved_magic) != 0)
        return saved_damaged(s, 0, "its header does not have its checksum", error);
    if (header.file_bytes != s->size)
        return lm_fail_at(error, LLM_E_FORMAT, name, strlen(name), s->size, "'%s' is %s: it has %llu bytes where its header says %llu", name,
                          header.file_bytes > s->size ? "truncated" : "damaged", (unsigned long long)s->size, (unsigned long long)header.file_bytes);
    s->version = header.version;
    s->n_sections = header.n_sections;
    s->about = header.about;
    s->at = s->end = sizeof header;
    return LLM_OK;
}

llm_status lm_saved_open(lm_host *host, const llm_source *source, lm_saved *out, llm_error *error)
{
    lm_saved s;
    memset(&s, 0, sizeof s);
    LM_TRY(lm_source_open(host, source, &s.source, error));
    s.size = lm_source_size(s.source);
    llm_status status = saved_header_read(&s, error);
    if (status < 0) {
        lm_source_close(s.source);
        return status;
    }
    *out = s;
    return LLM_OK;
}

void lm_saved_close(lm_saved *saved)
{
    lm_source_close(saved->source);
    saved->source = NULL;
}

llm_status lm_saved_next(lm_saved *s, lm_saved_section *out, llm_error *error)
{
    for (;;) {
        lm_saved_section head;
        uint64_t bytes = 0;
        if (s->n_sections == 0)
            return s->at == s->size ? LLM_OK : saved_damaged(s, s->at, "something stands behind its last section", error);
        if (s->size - s->at < sizeof head)
            return saved_damaged(s, s->at, "it ends before its last section", error);
        LM_TRY(lm_source_read(s->source, s->at, &head, sizeof head, error));
        if (head.reserved != 0 || !saved_section_bytes(head.bytes, &bytes) || bytes > s->size - s->at)
            return saved_damaged(s, s->at, "a section passes its end", error);
        if (head.kind <= s->kind)
            return saved_damaged(s, s->at, "a section stands where it cannot be", error);
        lm_digest_begin(&s->digest);
        lm_digest_add(&s->digest, &head, sizeof head);
        s->n_sections--;
        s->kind = head.kind;
        s->at += sizeof head;
        s->end = s->at + head.bytes;
        if (head.kind <= LM_SAVED_KINDS || head.kind == LM_SAVED_REPLY) {
            *out = head;
            return LLM_MORE;
        }
        LM_TRY(lm_saved_end(s, error));
        if (!(head.kind & SAVED_OPTIONAL))
            return lm_fail_at(error, LLM_E_VERSION, NULL, 0, s->at, "'%s' was written by a later library: its section of kind %u is not known here",
                              lm_source_name(s->source), head.kind);
    }
}

llm_status lm_saved_read(lm_saved *s, void *out, size_t n, llm_error *error)
{
    if (n > s->end - s->at)
        return saved_damaged(s, s->at, "a section is too short for what is in it", error);
    LM_TRY(lm_source_read(s->source, s->at, out, n, error));
    lm_digest_add(&s->digest, out, n);
    s->at += n;
    return LLM_OK;
}

llm_status lm_saved_end(lm_saved *s, llm_error *error)
{
    unsigned char skipped[SAVED_SKIP];
    uint64_t digest;
    s->end += -s->end & (SAVED_ALIGN - 1);
    while (s->at < s->end)
        LM_TRY(lm_saved_read(s, skipped, (size_t)LM_MIN(s->end - s->at, (uint64_t)SAVED_SKIP), error));
    LM_TRY(lm_source_read(s->source, s->at, &digest, sizeof digest, error));
    if (digest != lm_digest_end(&s->digest))
        return saved_damaged(s, s->at, "a section does not have its checksum", error);
    s->at += sizeof digest;
    return LLM_OK;
}

void lm_saved_pass(lm_saved *s)
{
    s->at = s->end + (-s->end & (SAVED_ALIGN - 1)) + sizeof(uint64_t);
}
#undef SAVED_OPTIONAL
