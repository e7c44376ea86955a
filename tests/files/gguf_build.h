/* SPDX-License-Identifier: MIT
 * Builds GGUF files in memory, true ones and lies: writes what it is told and checks nothing. */
#ifndef TESTS_GGUF_BUILD_H
#define TESTS_GGUF_BUILD_H

#include "files/catalogue.h"

#include "test.h"

typedef struct gguf_out { unsigned char *bytes; size_t n, cap; } gguf_out;

static inline void put_bytes(gguf_out *o, const void *bytes, size_t n)
{
    if (o->n + n > o->cap) {
        o->cap = (o->n + n) * 2 + 64;
        o->bytes = realloc(o->bytes, o->cap);
    }
    if (n)
        memcpy(o->bytes + o->n, bytes, n);
    o->n += n;
}
static inline void put_u8(gguf_out *o, uint8_t v) { put_bytes(o, &v, 1); }
static inline void put_u32(gguf_out *o, uint32_t v) { put_bytes(o, &v, 4); }
static inline void put_u64(gguf_out *o, uint64_t v) { put_bytes(o, &v, 8); }
static inline void put_f32(gguf_out *o, float v) { put_bytes(o, &v, 4); }
static inline void put_text(gguf_out *o, const char *text, size_t len)
{
    put_u64(o, len);
    put_bytes(o, text, len);
}
static inline void put_string(gguf_out *o, const char *text) { put_text(o, text, strlen(text)); }
static inline void put_key(gguf_out *o, const char *name, uint32_t type)
{
    put_string(o, name);
    put_u32(o, type);
}
static inline void put_key_u32(gguf_out *o, const char *name, uint32_t v)
{
    put_key(o, name, LM_VALUE_U32);
    put_u32(o, v);
}
static inline void put_key_string(gguf_out *o, const char *name, const char *v)
{
    put_key(o, name, LM_VALUE_STRING);
    put_string(o, v);
}
static inline void put_key_array(gguf_out *o, const char *name, uint32_t item_type, uint64_t n)
{
    put_key(o, name, LM_VALUE_ARRAY);
    put_u32(o, item_type);
    put_u64(o, n);
}
static inline void put_head(gguf_out *o, uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
    put_bytes(o, "GGUF", 4);
    put_u32(o, version);
    put_u64(o, n_tensors);
    put_u64(o, n_keys);
}
static inline void put_info(gguf_out *o, const char *name, uint32_t n_dims, const uint64_t *ne, uint32_t type, uint64_t offset)
{
    put_string(o, name);
    put_u32(o, n_dims);
    put_bytes(o, ne, n_dims * sizeof *ne);
    put_u32(o, type);
    put_u64(o, offset);
}
static inline void put_padding(gguf_out *o, size_t align)
{
    while (o->n % align)
        put_u8(o, 0);
}
/* n bytes whose value tells their place. */
static inline void put_data(gguf_out *o, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_u8(o, (uint8_t)(i * 7 + (i >> 8)));
}
static inline void gguf_out_free(gguf_out *o)
{
    free(o->bytes);
    *o = (gguf_out){ 0 };
}

static inline llm_source gguf_buffer(const gguf_out *o)
{
    llm_source source = LLM_INIT(llm_source);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = o->bytes;
    source.data_len = o->n;
    return source;
}

static inline void test_host(lm_host *host)
{
    memset(host, 0, sizeof *host);
    lm_mem_init(&host->mem, NULL, 0);
}

/* Opens one source. On failure *out is NULL and nothing may be left. */
static inline llm_status gguf_open(lm_host *host, const llm_source *source, lm_catalogue **out, llm_error *error)
{
    uint64_t before = host->mem.used;
    llm_status status;
    *out = NULL;
    memset(error, 0xee, sizeof *error);
    status = lm_catalogue_open(host, &source, 1, out, error);
    CHECK((status == LLM_OK) == (*out != NULL));
    if (status < 0) {
        CHECK(host->mem.used == before);
        CHECK(error->status == status && error->message_len == strlen(error->message) && error->message_len > 0);
    }
    return status;
}

#endif
