/* SPDX-License-Identifier: MIT
 * The GGUF container, versions 2 and 3: its header becomes keys and tensor infos. Source: ggml's docs/gguf.md, and the checks of its
 * reference reader. The file is hostile until proven otherwise:
 *
 *   - every count and length is held against the bytes that are left before anything is allocated for it;
 *   - every size goes through the checked arithmetic of base/size.h;
 *   - nothing recurses (arrays of arrays are refused), and no step takes more than n log n;
 *   - a message names what lies: its key or tensor, the byte, what stood there and what was expected.
 *
 * Does not know what keys mean, but for general.alignment. Values are little-endian in the file and copied as they are: the library is
 * built for little-endian machines. Threads: none of its own. */
#include "files/gguf.h"

#include "base/size.h"
#include "base/utf8.h"

#include <string.h>

enum {
    GGUF_WINDOW = 128 * 1024,           /* bytes read at once */
    GGUF_KEY_MAX = 65535,
    GGUF_NAME_MAX = 63,                 /* of a tensor, as the reference has it */
    GGUF_KV_MIN = 8 + 1 + 4 + 1,        /* the fewest bytes a key and its value can take */
    GGUF_INFO_MIN = 8 + 1 + 4 + 8 + 4 + 8,
    GGUF_ALIGN_MIN = 8, GGUF_ALIGN_MAX = 65536, GGUF_ALIGN_DEFAULT = 32,
    GGUF_POOL_FIRST = 512, GGUF_POOL_MOST = 64 * 1024,
    GGUF_SHOWN = 80                     /* bytes of a name that a message repeats */
};
#define GGUF_STRING_MAX ((uint64_t)1 << 30)                 /* as the reference reader */
#define GGUF_ITEMS_MAX ((uint64_t)1 << 30)

/* Small things one after another, so that half a million tokens do not cost sixteen bytes of padding each. */
typedef struct gguf_pool { lm_arena *arena; char *at; size_t left, next; } gguf_pool;

typedef struct gguf_in {
    lm_source *source;
    uint64_t size;                      /* of the source */
    uint64_t pos;                       /* of the next byte to take */
    unsigned char *window;              /* holds [window_pos, window_pos + filled) */
    uint64_t window_pos;
    size_t filled, cap;
    llm_str subject;                    /* the key or tensor being read: for messages; len 0: none yet */
    const char *noun;                   /* "key" or "tensor" */
    llm_error *error;
} gguf_in;

static int gguf_shown(size_t len) { return (int)LM_MIN(len, (size_t)GGUF_SHOWN); }

/* "key 'name': what (at byte n of the file)" */
LM_PRINTF(4, 5) static llm_status gguf_fail(const gguf_in *in, llm_status status, uint64_t offset, const char *format, ...)
{
    char what[256];
    const char *name = lm_source_name(in->source);
    size_t len = strlen(name), skip = len > 60 ? len - 60 : 0;
    va_list args;
    va_start(args, format);
    lm_format(what, sizeof what, format, args);
    va_end(args);
    if (in->subject.len == 0)
        return lm_fail_at(in->error, status, NULL, 0, offset, "%s (byte %llu of %s%s)", what, (unsigned long long)offset, skip ? "..." : "", name + skip);
    return lm_fail_at(in->error, status, in->subject.ptr, in->subject.len, offset, "%s '%.*s': %s (byte %llu of %s%s)", in->noun, gguf_shown(in->subject.len),
                      in->subject.ptr, what, (unsigned long long)offset, skip ? "..." : "", name + skip);
}

static uint64_t gguf_left(const gguf_in *in) { return in->size - in->pos; }

/* ---- bytes */

/* Makes at least n bytes (n <= cap) stand in the window, or says that `what` is cut off. */
static llm_status gguf_need(gguf_in *in, size_t n, const char *what)
{
    size_t have = (size_t)(in->window_pos + in->filled - in->pos), at = (size_t)(in->pos - in->window_pos), more;
    if (have >= n)
        return LLM_OK;
    if (gguf_left(in) < n)
        return gguf_fail(in, LLM_E_FORMAT, in->pos, "truncated: %s needs %zu bytes, but the file ends at byte %llu", what, n, (unsigned long long)in->size);
    memmove(in->window, in->window + at, have);
    in->window_pos = in->pos;
    in->filled = have;
    more = (size_t)LM_MIN((uint64_t)(in->cap - have), gguf_left(in) - have);
    LM_TRY(lm_source_read(in->source, in->pos + have, in->window + have, more, in->error));
    in->filled += more;
    return LLM_OK;
}

/* n bytes to out; the caller has held n against gguf_left. What is not in the window yet goes past it. */
static llm_status gguf_bytes(gguf_in *in, void *out, size_t n)
{
    size_t have = (size_t)(in->window_pos + in->filled - in->pos), take = LM_MIN(have, n);
    if (n == 0)
        return LLM_OK;
    if (have < n && n <= in->cap / 2) {
        LM_TRY(gguf_need(in, n, "a value"));
        take = n;
    }
    memcpy(out, in->window + (in->pos - in->window_pos), take);
    in->pos += take;
    if (take == n)
        return LLM_OK;
    LM_TRY(lm_source_read(in->source, in->pos, (char *)out + take, n - take, in->error));
    in->pos += n - take;
    in->window_pos = in->pos;
    in->filled = 0;
    return LLM_OK;
}

static llm_status gguf_u32(gguf_in *in, const char *what, uint32_t *out)
{
    LM_TRY(gguf_need(in, 4, what));
    memcpy(out, in->window + (in->pos - in->window_pos), 4);
    in->pos += 4;
    return LLM_OK;
}

static llm_status gguf_u64(gguf_in *in, const char *what, uint64_t *out)
{
    LM_TRY(gguf_need(in, 8, what));
    memcpy(out, in->window + (in->pos - in->window_pos), 8);
    in->pos += 8;
    return LLM_OK;
}

static void *gguf_pool_new(gguf_pool *pool, size_t size, size_t align)
{
    size_t pad = (0 - (size_t)(uintptr_t)pool->at) & (align - 1);
    char *at;
    if (pool->at && pad <= pool->left && size <= pool->left - pad) {
        at = pool->at + pad;
        pool->at += pad + size;
        pool->left -= pad + size;
        return at;
    }
    if (size > pool->next / 4)
        return lm_arena_new(pool->arena, size);
    at = lm_arena_new(pool->arena, pool->next);
    if (!at)
        return NULL;
    pool->at = at + size;
    pool->left = pool->next - size;
    pool->next = LM_MIN(pool->next * 2, (size_t)GGUF_POOL_MOST);
    return at;
}

/* A string of at most `most` bytes into the pool, with a NUL behind it. */
static llm_status gguf_string(gguf_in *in, gguf_pool *pool, uint64_t most, const char *what, llm_str *out)
{
    uint64_t at = in->pos, len;
    char *text;
    LM_TRY(gguf_u64(in, what, &len));
    if (len > gguf_left(in))
        return gguf_fail(in, LLM_E_FORMAT, at, "%s says it has %llu bytes, but only %llu are left in the file", what, (unsigned long long)len,
                         (unsigned long long)gguf_left(in));
    if (len > most || !lm_fits_size(len + 1))
        return gguf_fail(in, LLM_E_FORMAT, at, "%s says it has %llu bytes: at most %llu are allowed", what, (unsigned long long)len, (unsigned long long)most);
    text = gguf_pool_new(pool, (size_t)len + 1, 1);
    if (!text)
        return lm_fail_memory(in->error, "a string of the model's metadata", (size_t)len + 1);
    LM_TRY(gguf_bytes(in, text, (size_t)len));
    text[len] = 0;
    *out = (llm_str){ text, (size_t)len };
    return LLM_OK;
}

/* Names are compared, shown and handed out as C strings: whole UTF-8 without NUL. */
static llm_status gguf_check_name(gguf_in *in, llm_str name, uint64_t at, const char *what)
{
    if (name.len == 0)
        return gguf_fail(in, LLM_E_FORMAT, at, "%s is empty", what);
    if (memchr(name.ptr, 0, name.len))
        return gguf_fail(in, LLM_E_FORMAT, at, "%s '%.*s' holds a NUL byte", what, gguf_shown(name.len), name.ptr);
    if (!lm_utf8_valid(name.ptr, name.len))
        return gguf_fail(in, LLM_E_FORMAT, at, "%s '%.*s' is not valid UTF-8", what, gguf_shown(name.len), name.ptr);
    return LLM_OK;
}

/* ---- names, sorted */

static llm_str names_at(const void *names, size_t stride, uint32_t i)
{
    llm_str name;
    memcpy(&name, (const char *)names + (size_t)i * stride, sizeof name);
    return name;
}

static int names_compare(llm_str a, llm_str b)
{
    int order = memcmp(a.ptr, b.ptr, LM_MIN(a.len, b.len));
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static void names_sift(const void *names, size_t stride, uint32_t *index, size_t root, size_t n)
{
    uint32_t moving = index[root];
    llm_str name = names_at(names, stride, moving);
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= n)
            break;
        if (child + 1 < n && names_compare(names_at(names, stride, index[child]), names_at(names, stride, index[child + 1])) < 0)
            child++;
        if (names_compare(name, names_at(names, stride, index[child])) >= 0)
            break;
        index[root] = index[child];
        root = child;
    }
    index[root] = moving;
}

/* Heap sort: no memory, no bad case. A hash table would let a file choose names that collide. */
size_t lm_names_sort(const void *names, size_t stride, uint32_t *index, size_t n)
{
    for (size_t i = 0; i < n; i++)
        index[i] = (uint32_t)i;
    for (size_t i = n / 2; i-- > 0;)
        names_sift(names, stride, index, i, n);
    for (size_t i = n; i-- > 1;) {
        uint32_t last = index[i];
        index[i] = index[0];
        index[0] = last;
        names_sift(names, stride, index, 0, i);
    }
    for (size_t i = 0; i + 1 < n; i++)
        if (names_compare(names_at(names, stride, index[i]), names_at(names, stride, index[i + 1])) == 0)
            return i;
    return n;
}

size_t lm_names_find(const void *names, size_t stride, const uint32_t *index, size_t n, const char *name, size_t len)
{
    llm_str wanted = { name, len };
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = names_compare(wanted, names_at(names, stride, index[middle]));
        if (order == 0)
            return index[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return SIZE_MAX;
}

/* ---- values */

static uint32_t gguf_value_bytes(uint32_t type)             /* 0: not a type of fixed size */
{
    static const uint8_t bytes[13] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return type < LM_COUNT(bytes) ? bytes[type] : 0;
}

static llm_status gguf_check_bools(gguf_in *in, const unsigned char *items, uint64_t n, uint64_t at)
{
    for (uint64_t i = 0; i < n; i++)
        if (items[i] > 1)
            return gguf_fail(in, LLM_E_FORMAT, at + i, "a bool is %u: expected 0 or 1", items[i]);
    return LLM_OK;
}

/* key->item_type, key->n_items are set; reads the items. */
static llm_status gguf_items(gguf_in *in, gguf_pool *pool, lm_key *key)
{
    uint64_t item_bytes = key->item_type == LM_VALUE_STRING ? 8 : gguf_value_bytes(key->item_type), bytes, at = in->pos;
    if (!lm_mul_u64(key->n_items, item_bytes, &bytes) || bytes > gguf_left(in))
        return gguf_fail(in, LLM_E_FORMAT, at, "an array says it has %llu items of at least %llu bytes, but only %llu bytes are left in the file",
                         (unsigned long long)key->n_items, (unsigned long long)item_bytes, (unsigned long long)gguf_left(in));
    if (key->n_items > GGUF_ITEMS_MAX)
        return gguf_fail(in, LLM_E_FORMAT, at, "an array says it has %llu items: at most %llu are allowed", (unsigned long long)key->n_items,
                         (unsigned long long)GGUF_ITEMS_MAX);
    if (key->item_type == LM_VALUE_STRING) {
        llm_str *strings = lm_fits_size(key->n_items) ? lm_arena_array(pool->arena, (size_t)key->n_items, sizeof *strings) : NULL;
        if (!strings)
            return lm_fail_memory(in->error, "an array of strings in the model's metadata", (size_t)key->n_items * sizeof *strings);
        for (uint64_t i = 0; i < key->n_items; i++)
            LM_TRY(gguf_string(in, pool, GGUF_STRING_MAX, "an item of a string array", &strings[i]));
        key->items = strings;
        return LLM_OK;
    }
    void *items = lm_fits_size(bytes) ? gguf_pool_new(pool, (size_t)bytes, 8) : NULL;
    if (!items)
        return lm_fail_memory(in->error, "a value of the model's metadata", (size_t)bytes);
    LM_TRY(gguf_bytes(in, items, (size_t)bytes));
    key->items = items;
    return key->item_type == LM_VALUE_BOOL ? gguf_check_bools(in, items, key->n_items, at) : LLM_OK;
}

static llm_status gguf_value(gguf_in *in, gguf_pool *pool, lm_key *key)
{
    uint64_t at = in->pos;
    LM_TRY(gguf_u32(in, "a value's type", &key->type));
    key->item_type = key->type;
    key->n_items = 1;
    if (key->type == LM_VALUE_STRING) {
        llm_str *string = gguf_pool_new(pool, sizeof *string, 8);
        if (!string)
            return lm_fail_memory(in->error, "a value of the model's metadata", sizeof *string);
        LM_TRY(gguf_string(in, pool, GGUF_STRING_MAX, "a string", string));
        key->items = string;
        return LLM_OK;
    }
    if (key->type == LM_VALUE_ARRAY) {
        at = in->pos;
        LM_TRY(gguf_u32(in, "an array's item type", &key->item_type));
        if (key->item_type == LM_VALUE_ARRAY)
            return gguf_fail(in, LLM_E_FORMAT, at, "an array of arrays, which no reader takes");
        if (key->item_type != LM_VALUE_STRING && gguf_value_bytes(key->item_type) == 0)
            return gguf_fail(in, LLM_E_FORMAT, at, "an array's item type is %u: expected 0 to 12", key->item_type);
        LM_TRY(gguf_u64(in, "an array's length", &key->n_items));
        return gguf_items(in, pool, key);
    }
    if (gguf_value_bytes(key->type) == 0)
        return gguf_fail(in, LLM_E_FORMAT, at, "the value's type is %u: expected 0 to 12", key->type);
    if (gguf_left(in) < gguf_value_bytes(key->type))
        return gguf_fail(in, LLM_E_FORMAT, in->pos, "truncated: the value needs %u bytes, but the file ends at byte %llu", gguf_value_bytes(key->type),
                         (unsigned long long)in->size);
    return gguf_items(in, pool, key);
}

static llm_status gguf_keys(gguf_in *in, gguf_pool *pool, lm_gguf *out)
{
    size_t twin;
    out->keys = lm_arena_array(pool->arena, out->n_keys, sizeof *out->keys);
    out->key_index = lm_arena_array(pool->arena, out->n_keys, sizeof *out->key_index);
    if (!out->keys || !out->key_index)
        return lm_fail_memory(in->error, "the list of metadata keys", out->n_keys * sizeof *out->keys);
    in->noun = "key";
    for (size_t i = 0; i < out->n_keys; i++) {
        lm_key *key = &out->keys[i];
        uint64_t at = in->pos;
        in->subject.len = 0;
        LM_TRY(gguf_string(in, pool, GGUF_KEY_MAX, "a key", &key->name));
        LM_TRY(gguf_check_name(in, key->name, at, "a key"));
        key->offset = at;
        in->subject = key->name;
        LM_TRY(gguf_value(in, pool, key));
    }
    in->subject.len = 0;
    twin = lm_names_sort(out->keys, sizeof *out->keys, out->key_index, out->n_keys);
    if (twin == out->n_keys)
        return LLM_OK;
    const lm_key *a = &out->keys[out->key_index[twin]], *b = &out->keys[out->key_index[twin + 1]];
    in->subject = a->name;
    return gguf_fail(in, LLM_E_FORMAT, LM_MAX(a->offset, b->offset), "a duplicate: it stands at byte %llu already", (unsigned long long)LM_MIN(a->offset, b->offset));
}

static llm_status gguf_alignment(gguf_in *in, const lm_gguf *gguf, uint64_t *out)
{
    static const char name[] = "general.alignment";
    size_t at = lm_names_find(gguf->keys, sizeof *gguf->keys, gguf->key_index, gguf->n_keys, name, sizeof name - 1);
    uint32_t value;
    *out = GGUF_ALIGN_DEFAULT;
    if (at == SIZE_MAX)
        return LLM_OK;
    const lm_key *key = &gguf->keys[at];
    in->subject = key->name;
    if (key->type != LM_VALUE_U32)
        return gguf_fail(in, LLM_E_FORMAT, key->offset, "its type is %u: expected 4, a 32-bit unsigned integer", key->type);
    memcpy(&value, key->items, sizeof value);
    if (!lm_is_pow2(value) || value < GGUF_ALIGN_MIN || value > GGUF_ALIGN_MAX)
        return gguf_fail(in, LLM_E_FORMAT, key->offset, "it is %u: expected a power of two from %d to %d", value, GGUF_ALIGN_MIN, GGUF_ALIGN_MAX);
    in->subject.len = 0;
    *out = value;
    return LLM_OK;
}

/* ---- tensors */

/* Everything of an info but where its data lie. */
static llm_status gguf_shape(gguf_in *in, lm_tensor *t)
{
    uint64_t at = in->pos, n = 1;
    const lm_type_info *type;
    LM_TRY(gguf_u32(in, "a tensor's number of dimensions", &t->n_dims));
    if (t->n_dims < 1 || t->n_dims > 4)
        return gguf_fail(in, LLM_E_FORMAT, at, "it has %u dimensions: expected 1 to 4", t->n_dims);
    for (uint32_t i = 0; i < 4; i++)
        t->ne[i] = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        at = in->pos;
        LM_TRY(gguf_u64(in, "a tensor's dimension", &t->ne[i]));
        if (t->ne[i] < 1 || t->ne[i] > INT64_MAX)
            return gguf_fail(in, LLM_E_FORMAT, at, "dimension %u is %lld: expected at least 1", i, (long long)t->ne[i]);
        if (!lm_mul_u64(n, t->ne[i], &n) || n > INT64_MAX)
            return gguf_fail(in, LLM_E_FORMAT, at, "its dimensions multiply to more values than 63 bits can count (dimension %u is %llu)", i,
                             (unsigned long long)t->ne[i]);
    }
    t->n_rows = n / t->ne[0];
    at = in->pos;
    LM_TRY(gguf_u32(in, "a tensor's type", &t->type));
    type = lm_type_get(t->type);
    if (!type)
        return gguf_fail(in, t->type < LM_TYPE_COUNT ? LLM_E_FORMAT : LLM_E_UNSUPPORTED, at, t->type < LM_TYPE_COUNT ? "its type %u was removed from the format" : "its type %u is unknown",
                         t->type);
    if (t->ne[0] % type->block != 0)
        return gguf_fail(in, LLM_E_FORMAT, at, "its rows have %llu values, which is no multiple of %u, the block of type %s", (unsigned long long)t->ne[0], type->block,
                         type->name);
    if (!lm_type_row_bytes(t->type, t->ne[0], &t->row_bytes) || !lm_mul_u64(t->row_bytes, t->n_rows, &t->bytes) || t->bytes > INT64_MAX)
        return gguf_fail(in, LLM_E_FORMAT, at, "its size in bytes does not fit 63 bits");
    return LLM_OK;
}

static llm_status gguf_infos(gguf_in *in, gguf_pool *pool, lm_arena *info_arena, uint32_t number, lm_gguf *out)
{
    out->tensors = lm_arena_array(info_arena, out->n_tensors, sizeof *out->tensors);
    if (!out->tensors)
        return lm_fail_memory(in->error, "the list of tensors", out->n_tensors * sizeof *out->tensors);
    in->noun = "tensor";
    for (size_t i = 0; i < out->n_tensors; i++) {
        lm_tensor *t = &out->tensors[i];
        uint64_t at = in->pos;
        in->subject.len = 0;
        t->source = number;
        LM_TRY(gguf_string(in, pool, GGUF_NAME_MAX, "a tensor's name", &t->name));
        LM_TRY(gguf_check_name(in, t->name, at, "a tensor's name"));
        in->subject = t->name;
        LM_TRY(gguf_shape(in, t));
        LM_TRY(gguf_u64(in, "a tensor's offset", &t->offset));      /* from the beginning of the data, for now */
    }
    in->subject.len = 0;
    return LLM_OK;
}

/* Data lie in the order of their infos, each padded to the alignment, as every writer and the reference reader have it; only the padding
 * behind the last may be missing. So nothing overlaps, and no byte is left where something could hide. */
static llm_status gguf_places(gguf_in *in, uint64_t align, lm_gguf *out)
{
    uint64_t begin, expected = 0, end;
    if (!lm_align_u64(in->pos, align, &begin))
        return gguf_fail(in, LLM_E_FORMAT, in->pos, "the header's padding passes 64 bits");
    for (size_t i = 0; i < out->n_tensors; i++) {
        lm_tensor *t = &out->tensors[i];
        uint64_t offset = t->offset;
        in->subject = t->name;
        if (offset % align != 0)
            return gguf_fail(in, LLM_E_FORMAT, in->pos, "its data offset %llu is no multiple of the alignment %llu", (unsigned long long)offset, (unsigned long long)align);
        if (!lm_add_u64(begin, offset, &t->offset) || !lm_add_u64(t->offset, t->bytes, &end) || end > in->size)
            return gguf_fail(in, LLM_E_FORMAT, in->pos, "its %llu bytes at data offset %llu lie beyond the end of the file, which has %llu bytes, %llu of them data",
                             (unsigned long long)t->bytes, (unsigned long long)offset, (unsigned long long)in->size,
                             (unsigned long long)(in->size > begin ? in->size - begin : 0));
        if (offset != expected)
            return gguf_fail(in, LLM_E_FORMAT, in->pos, "its data offset is %llu, which %s the tensor before it: expected %llu", (unsigned long long)offset,
                             offset < expected ? "overlaps" : "leaves a gap behind", (unsigned long long)expected);
        if (!lm_add_u64(offset, t->bytes, &end) || !lm_align_u64(end, align, &expected))
            return gguf_fail(in, LLM_E_FORMAT, in->pos, "its end passes 64 bits");
    }
    in->subject.len = 0;
    return LLM_OK;
}

/* ---- the file */

static llm_status gguf_magic(gguf_in *in, uint32_t magic)
{
    static const struct { const char *magic, *what; } others[] = {
        { "lmgg", "an old GGML file" }, { "fmgg", "an old GGML file" }, { "tjgg", "an old GGJT file" }, { "algg", "an old GGML adapter" },
        { "GGML", "an old GGML file" }, { "FUGG", "a GGUF file in big-endian order" }, { "PK\3\4", "a ZIP archive, such as a PyTorch checkpoint" }
    };
    unsigned char bytes[4];
    memcpy(bytes, &magic, 4);
    if (memcmp(bytes, "GGUF", 4) == 0)
        return LLM_OK;
    for (size_t i = 0; i < LM_COUNT(others); i++)
        if (memcmp(bytes, others[i].magic, 4) == 0)
            return gguf_fail(in, LLM_E_UNSUPPORTED, 0, "this is %s: expected a GGUF file; convert it", others[i].what);
    return gguf_fail(in, LLM_E_FORMAT, 0, "not a GGUF file: it begins with the bytes %x %x %x %x, expected 'GGUF'", bytes[0], bytes[1], bytes[2], bytes[3]);
}

static llm_status gguf_version(gguf_in *in, uint32_t version)
{
    if (version == 2 || version == 3)
        return LLM_OK;
    if (version == 1)
        return gguf_fail(in, LLM_E_UNSUPPORTED, 4, "GGUF version 1, which no current reader takes: expected 2 or 3; convert the model again");
    if ((version & 0xffffu) == 0 && version != 0)
        return gguf_fail(in, LLM_E_UNSUPPORTED, 4, "a big-endian GGUF file (its version reads as 0x%x): expected a little-endian one", version);
    return gguf_fail(in, version > 3 && version < 1000 ? LLM_E_UNSUPPORTED : LLM_E_FORMAT, 4, "GGUF version %u is unknown: expected 2 or 3", version);
}

/* A count in the header against the bytes behind it. */
static llm_status gguf_count(gguf_in *in, const char *what, uint64_t n, uint64_t least, uint64_t at, size_t *out)
{
    uint64_t bytes;
    if (!lm_mul_u64(n, least, &bytes) || bytes > gguf_left(in) || n > UINT32_MAX)
        return gguf_fail(in, LLM_E_FORMAT, at, "%s is %llu, at least %llu bytes each, but only %llu bytes are left in the file: a wrong count, or truncated", what,
                         (unsigned long long)n, (unsigned long long)least, (unsigned long long)gguf_left(in));
    *out = (size_t)n;
    return LLM_OK;
}

static llm_status gguf_header(gguf_in *in, lm_gguf *out)
{
    uint32_t magic, version;
    uint64_t n_tensors, n_keys;
    if (in->size == 0)
        return gguf_fail(in, LLM_E_FORMAT, 0, "the file is empty: expected a GGUF file");
    LM_TRY(gguf_u32(in, "the magic number", &magic));
    LM_TRY(gguf_magic(in, magic));
    LM_TRY(gguf_u32(in, "the version", &version));
    LM_TRY(gguf_version(in, version));
    LM_TRY(gguf_u64(in, "tensor_count", &n_tensors));
    LM_TRY(gguf_u64(in, "metadata_kv_count", &n_keys));
    LM_TRY(gguf_count(in, "tensor_count", n_tensors, GGUF_INFO_MIN, 8, &out->n_tensors));
    return gguf_count(in, "metadata_kv_count", n_keys, GGUF_KV_MIN, 16, &out->n_keys);
}

llm_status lm_gguf_read(lm_source *source, uint32_t number, lm_arena *key_arena, lm_arena *info_arena, lm_arena *name_arena, lm_gguf *out, llm_error *error)
{
    gguf_in in = { .source = source, .size = lm_source_size(source), .noun = "key", .error = error };
    gguf_pool keys = { .arena = key_arena, .next = GGUF_POOL_FIRST }, own = { .arena = name_arena, .next = GGUF_POOL_FIRST };
    gguf_pool *names = name_arena == key_arena ? &keys : &own;
    uint64_t align;
    llm_status status;
    in.cap = (size_t)LM_MIN((uint64_t)GGUF_WINDOW, LM_MAX(in.size, (uint64_t)64));
    in.window = lm_mem_raw(key_arena->mem, in.cap, LLM_MEMORY_OTHER);
    if (!in.window)
        return lm_fail_memory(error, "the window on the model's header", in.cap);
    memset(out, 0, sizeof *out);
    status = gguf_header(&in, out);
    if (status >= 0)
        status = gguf_keys(&in, &keys, out);
    if (status >= 0)
        status = gguf_alignment(&in, out, &align);
    if (status >= 0)
        status = gguf_infos(&in, names, info_arena, number, out);
    if (status >= 0)
        status = gguf_places(&in, align, out);
    lm_mem_free(key_arena->mem, in.window);
    return status;
}
