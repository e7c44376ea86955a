/* SPDX-License-Identifier: MIT
 * The GGUF writer: see gguf_write.h; gguf.c is the other half, and takes all that this writes. Does not know what keys mean, but for
 * general.alignment and the three of a split. Values go out as they lie in memory: the library is built for little-endian machines.
 *
 * Invariants: 1. `tensor` is the one whose bytes come next, `done` how many of them came. 2. Behind a tensor's last byte stands its padding,
 * the last tensor's too, as every writer has it. Threads: one at a time. */
#include "files/gguf_write.h"

#include "base/size.h"
#include "base/utf8.h"

#include <string.h>

enum { GGUF_WRITE_NAME_MAX = 63, GGUF_WRITE_KEY_MAX = 65535, GGUF_WRITE_ALIGN = 32, GGUF_WRITE_ALIGN_MIN = 8, GGUF_WRITE_ALIGN_MAX = 65536 };

/* ---- keys */

void lm_key_list_init(lm_key_list *list, lm_arena *arena) { *list = (lm_key_list){ .arena = arena }; }

/* A place for one more; the old array stays in the arena until that goes. NULL: no memory. */
static lm_key *key_list_grow(lm_key_list *list)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 32;
        lm_key *keys = lm_arena_array(list->arena, cap, sizeof *keys);
        if (!keys)
            return NULL;
        if (list->n)
            memcpy(keys, list->keys, list->n * sizeof *keys);
        list->keys = keys;
        list->cap = cap;
    }
    memset(&list->keys[list->n], 0, sizeof *list->keys);
    return &list->keys[list->n++];
}

static bool key_list_of_split(llm_str name) { return name.len > 6 && memcmp(name.ptr, "split.", 6) == 0; }

llm_status lm_key_list_copy(lm_key_list *list, const lm_catalogue *from, llm_error *error)
{
    for (size_t i = 0; i < from->n_keys; i++) {
        lm_key *key;
        if (key_list_of_split(from->keys[i].name))
            continue;
        key = key_list_grow(list);
        if (!key)
            return lm_fail_memory(error, "the list of metadata keys", (list->n + 1) * sizeof *key);
        *key = from->keys[i];
    }
    return LLM_OK;
}

const lm_key *lm_key_list_find(const lm_key_list *list, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < list->n; i++)
        if (list->keys[i].name.len == len && memcmp(list->keys[i].name.ptr, name, len) == 0)
            return &list->keys[i];
    return NULL;
}

void lm_key_list_remove(lm_key_list *list, const char *name)
{
    const lm_key *key = lm_key_list_find(list, name);
    if (!key)
        return;
    size_t at = (size_t)(key - list->keys);
    memmove(list->keys + at, list->keys + at + 1, (list->n - at - 1) * sizeof *list->keys);
    list->n--;
}

/* Copies `len` bytes and a NUL. */
static const char *key_list_text(lm_key_list *list, const char *text, size_t len)
{
    char *copy = lm_arena_new(list->arena, len + 1);
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

static llm_status key_list_set(lm_key_list *list, const char *name, uint32_t type, uint32_t item_type, uint64_t n_items, const void *items, llm_error *error)
{
    lm_key *key = (lm_key *)lm_key_list_find(list, name);
    if (!key && items) {
        const char *copy = key_list_text(list, name, strlen(name));
        key = copy ? key_list_grow(list) : NULL;
        if (key)
            key->name = (llm_str){ copy, strlen(name) };
    }
    if (!key || !items)
        return lm_fail_memory(error, "a metadata key", sizeof *key);
    key->type = type;
    key->item_type = item_type;
    key->n_items = n_items;
    key->items = items;
    key->offset = 0;
    return LLM_OK;
}

llm_status lm_key_list_set_u32(lm_key_list *list, const char *name, uint32_t value, llm_error *error)
{
    uint32_t *item = lm_arena_new(list->arena, sizeof *item);
    if (item)
        *item = value;
    return key_list_set(list, name, LM_VALUE_U32, LM_VALUE_U32, 1, item, error);
}

llm_status lm_key_list_set_string(lm_key_list *list, const char *name, const char *text, size_t len, llm_error *error)
{
    llm_str *item = lm_arena_new(list->arena, sizeof *item);
    if (item) {
        item->len = len == LLM_NUL ? strlen(text) : len;
        item->ptr = key_list_text(list, text, item->len);
        if (!item->ptr)
            item = NULL;
    }
    return key_list_set(list, name, LM_VALUE_STRING, LM_VALUE_STRING, 1, item, error);
}

llm_status lm_key_list_set_strings(lm_key_list *list, const char *name, const llm_str *items, size_t n, llm_error *error)
{
    llm_str *copies = lm_arena_array(list->arena, n, sizeof *copies);
    for (size_t i = 0; copies && i < n; i++) {
        copies[i].len = items[i].len;
        copies[i].ptr = key_list_text(list, items[i].ptr, items[i].len);
        if (!copies[i].ptr)
            copies = NULL;
    }
    return key_list_set(list, name, LM_VALUE_ARRAY, LM_VALUE_STRING, n, copies, error);
}

/* ---- the header */

struct lm_gguf_writer {
    lm_host *host;
    lm_sink *sink;
    uint64_t align;
    size_t   tensor, n_tensors;
    uint64_t done;
    uint64_t bytes[];                   /* [n_tensors] */
};

static llm_status gguf_write_u32(lm_sink *sink, uint32_t value, llm_error *error) { return lm_sink_write(sink, &value, 4, error); }
static llm_status gguf_write_u64(lm_sink *sink, uint64_t value, llm_error *error) { return lm_sink_write(sink, &value, 8, error); }

static llm_status gguf_write_str(lm_sink *sink, llm_str text, llm_error *error)
{
    LM_TRY(gguf_write_u64(sink, text.len, error));
    return lm_sink_write(sink, text.ptr, text.len, error);
}

static uint32_t gguf_write_item_bytes(uint32_t type)        /* 0: not a type of fixed size */
{
    static const uint8_t bytes[13] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return type < LM_COUNT(bytes) ? bytes[type] : 0;
}

static llm_status gguf_write_key(lm_sink *sink, const lm_key *key, llm_error *error)
{
    LM_TRY(gguf_write_str(sink, key->name, error));
    LM_TRY(gguf_write_u32(sink, key->type, error));
    if (key->type == LM_VALUE_ARRAY) {
        LM_TRY(gguf_write_u32(sink, key->item_type, error));
        LM_TRY(gguf_write_u64(sink, key->n_items, error));
    }
    if (key->item_type != LM_VALUE_STRING)
        return lm_sink_write(sink, key->items, (size_t)(key->n_items * gguf_write_item_bytes(key->item_type)), error);
    for (uint64_t i = 0; i < key->n_items; i++)
        LM_TRY(gguf_write_str(sink, ((const llm_str *)key->items)[i], error));
    return LLM_OK;
}

static bool gguf_write_good_name(llm_str name, size_t most)
{
    return name.ptr && name.len > 0 && name.len <= most && !memchr(name.ptr, 0, name.len) && lm_utf8_valid(name.ptr, name.len);
}

static llm_status gguf_write_check_key(const lm_key *key, llm_error *error)
{
    bool array = key->type == LM_VALUE_ARRAY, known = key->item_type == LM_VALUE_STRING || gguf_write_item_bytes(key->item_type) != 0;
    uint64_t bytes;
    if (!gguf_write_good_name(key->name, GGUF_WRITE_KEY_MAX))
        return lm_fail(error, LLM_E_INVALID, "a key to write has a name of %zu bytes that is empty, too long, or no UTF-8", key->name.len);
    if (!known || (!array && (key->type != key->item_type || key->n_items != 1)) || (!key->items && key->n_items) || !lm_mul_u64(key->n_items, 16, &bytes) || !lm_fits_size(bytes))
        return lm_fail_at(error, LLM_E_INVALID, key->name.ptr, key->name.len, UINT64_MAX, "key '%.*s' cannot be written: type %u, %llu items of type %u", (int)LM_MIN(key->name.len, (size_t)80),
                          key->name.ptr, key->type, (unsigned long long)key->n_items, key->item_type);
    return LLM_OK;
}

static llm_status gguf_write_alignment(const lm_key *keys, size_t n, uint64_t *out, llm_error *error)
{
    static const char name[] = "general.alignment";
    uint32_t value = GGUF_WRITE_ALIGN;
    for (size_t i = 0; i < n; i++)
        if (keys[i].name.len == sizeof name - 1 && memcmp(keys[i].name.ptr, name, sizeof name - 1) == 0) {
            if (keys[i].type != LM_VALUE_U32)
                return lm_fail_at(error, LLM_E_INVALID, name, sizeof name - 1, UINT64_MAX, "key 'general.alignment' has the type %u: expected 4, a 32-bit unsigned integer", keys[i].type);
            memcpy(&value, keys[i].items, sizeof value);
        }
    if (!lm_is_pow2(value) || value < GGUF_WRITE_ALIGN_MIN || value > GGUF_WRITE_ALIGN_MAX)
        return lm_fail_at(error, LLM_E_INVALID, name, sizeof name - 1, UINT64_MAX, "key 'general.alignment' is %u: expected a power of two from %d to %d", value, GGUF_WRITE_ALIGN_MIN,
                          GGUF_WRITE_ALIGN_MAX);
    *out = value;
    return LLM_OK;
}

/* Bytes of one tensor, and the offset behind it and its padding. */
static llm_status gguf_write_place(const lm_tensor *t, uint64_t align, uint64_t *offset, uint64_t *bytes, llm_error *error)
{
    uint64_t rows = 1, row_bytes, end;
    bool good = gguf_write_good_name(t->name, GGUF_WRITE_NAME_MAX) && t->n_dims >= 1 && t->n_dims <= 4;
    for (uint32_t i = 0; good && i < t->n_dims; i++)
        good = t->ne[i] >= 1 && t->ne[i] <= INT64_MAX && (i == 0 || lm_mul_u64(rows, t->ne[i], &rows));
    good = good && lm_type_row_bytes(t->type, t->ne[0], &row_bytes) && lm_mul_u64(rows, row_bytes, bytes);
    good = good && lm_add_u64(*offset, *bytes, &end) && lm_align_u64(end, align, offset) && *offset <= INT64_MAX;
    if (!good)
        return lm_fail_at(error, LLM_E_INVALID, t->name.ptr, t->name.ptr ? t->name.len : 0, UINT64_MAX,
                          "a tensor cannot be written: its name (%zu bytes), type %u, number of dimensions (%u) or a dimension (the first is %llu) is none that a GGUF file can have", t->name.len,
                          t->type, t->n_dims, (unsigned long long)t->ne[0]);
    return LLM_OK;
}

static llm_status gguf_write_info(lm_sink *sink, const lm_tensor *t, uint64_t offset, llm_error *error)
{
    LM_TRY(gguf_write_str(sink, t->name, error));
    LM_TRY(gguf_write_u32(sink, t->n_dims, error));
    LM_TRY(lm_sink_write(sink, t->ne, t->n_dims * sizeof *t->ne, error));
    LM_TRY(gguf_write_u32(sink, t->type, error));
    return gguf_write_u64(sink, offset, error);
}

/* Zeros until the place in the file is a multiple of the alignment. */
static llm_status gguf_write_padding(lm_gguf_writer *w, llm_error *error)
{
    static const unsigned char zeros[64];
    for (uint64_t at = lm_sink_written(w->sink), left = (w->align - at % w->align) % w->align; left > 0;) {
        size_t n = (size_t)LM_MIN(left, (uint64_t)sizeof zeros);
        LM_TRY(lm_sink_write(w->sink, zeros, n, error));
        left -= n;
    }
    return LLM_OK;
}

static llm_status gguf_write_header(lm_gguf_writer *w, const lm_key *keys, size_t n_keys, const lm_tensor *tensors, llm_error *error)
{
    uint64_t offset = 0;
    LM_TRY(lm_sink_write(w->sink, "GGUF", 4, error));
    LM_TRY(gguf_write_u32(w->sink, 3, error));
    LM_TRY(gguf_write_u64(w->sink, w->n_tensors, error));
    LM_TRY(gguf_write_u64(w->sink, n_keys, error));
    for (size_t i = 0; i < n_keys; i++)
        LM_TRY(gguf_write_key(w->sink, &keys[i], error));
    for (size_t i = 0; i < w->n_tensors; i++) {
        uint64_t at = offset, bytes;
        LM_TRY(gguf_write_place(&tensors[i], w->align, &offset, &bytes, error));
        LM_TRY(gguf_write_info(w->sink, &tensors[i], at, error));
    }
    return w->n_tensors ? gguf_write_padding(w, error) : LLM_OK;
}

llm_status lm_gguf_write_open(lm_host *host, const llm_sink *sink, const lm_key *keys, size_t n_keys, const lm_tensor *tensors, size_t n_tensors,
                              lm_gguf_writer **out, llm_error *error)
{
    uint64_t align = GGUF_WRITE_ALIGN, offset = 0, size;
    lm_gguf_writer *w;
    llm_status status;
    for (size_t i = 0; i < n_keys; i++)
        LM_TRY(gguf_write_check_key(&keys[i], error));
    LM_TRY(gguf_write_alignment(keys, n_keys, &align, error));
    if (!lm_mul_u64(n_tensors, sizeof w->bytes[0], &size) || !lm_add_u64(size, sizeof *w, &size) || !lm_fits_size(size))
        return lm_fail(error, LLM_E_LIMIT, "%zu tensors are too many", n_tensors);
    w = lm_mem_new(&host->mem, (size_t)size, LLM_MEMORY_OTHER);
    if (!w)
        return lm_fail_memory(error, "a GGUF file to write", (size_t)size);
    w->host = host;
    w->align = align;
    w->n_tensors = n_tensors;
    status = LLM_OK;
    for (size_t i = 0; i < n_tensors && status >= 0; i++)
        status = gguf_write_place(&tensors[i], align, &offset, &w->bytes[i], error);
    if (status >= 0)
        status = lm_sink_open(host, sink, &w->sink, error);
    if (status >= 0)
        status = gguf_write_header(w, keys, n_keys, tensors, error);
    if (status < 0) {
        lm_gguf_write_drop(w);
        return status;
    }
    *out = w;
    return LLM_OK;
}

/* ---- the data */

llm_status lm_gguf_write_data(lm_gguf_writer *writer, const void *data, size_t n, llm_error *error)
{
    const unsigned char *from = data;
    while (n > 0) {
        size_t part;
        if (writer->tensor == writer->n_tensors)
            return lm_fail(error, LLM_E_STATE, "%zu bytes more than the tensors of the file have were to be written", n);
        part = (size_t)LM_MIN((uint64_t)n, writer->bytes[writer->tensor] - writer->done);
        LM_TRY(lm_sink_write(writer->sink, from, part, error));
        from += part;
        n -= part;
        writer->done += part;
        if (writer->done == writer->bytes[writer->tensor]) {
            LM_TRY(gguf_write_padding(writer, error));
            writer->tensor++;
            writer->done = 0;
        }
    }
    return LLM_OK;
}

llm_status lm_gguf_write_end(lm_gguf_writer *writer, llm_error *error)
{
    if (writer->tensor != writer->n_tensors)
        return lm_fail(error, LLM_E_STATE, "only %zu of %zu tensors have been written", writer->tensor, writer->n_tensors);
    return lm_sink_end(writer->sink, error);
}

void lm_gguf_write_drop(lm_gguf_writer *writer)
{
    if (!writer)
        return;
    lm_sink_drop(writer->sink);
    lm_mem_free(&writer->host->mem, writer);
}
