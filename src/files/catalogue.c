/* SPDX-License-Identifier: MIT
 * The catalogue: see catalogue.h. Opens the sources, puts the parts of a split model together, finds keys and tensors, reads rows. Does
 * not know what a key means, but for the three that describe a split. Ownership: the arena holds every key, tensor and name; a catalogue
 * that failed to open leaves nothing behind. */
#include "files/catalogue.h"

#include "files/gguf.h"

#include "base/digest.h"
#include "base/size.h"

#include <string.h>

enum { CATALOGUE_PARTS_MAX = 512, CATALOGUE_SUFFIX = sizeof "-00001-of-00002.gguf" - 1, CATALOGUE_SAMPLES = 256, CATALOGUE_SAMPLE = 64 };

/* ---- opening */

static llm_status catalogue_open_sources(lm_catalogue *c, const llm_source *const *parts, size_t n, llm_error *error)
{
    c->sources = lm_mem_new_array(&c->host->mem, n, sizeof *c->sources, LLM_MEMORY_OTHER);
    if (!c->sources)
        return lm_fail_memory(error, "the list of sources", n * sizeof *c->sources);
    for (; c->n_sources < n; c->n_sources++)
        LM_TRY(lm_source_open(c->host, parts[c->n_sources], &c->sources[c->n_sources], error));
    return LLM_OK;
}

static void catalogue_put_number(char *to, uint64_t value)
{
    for (int i = 4; i >= 0; i--, value /= 10)
        to[i] = (char)('0' + value % 10);
}

/* The first part came by path: opens the others beside it. Only the number in the name changes, so the file has no say in where we look. */
static llm_status catalogue_open_siblings(lm_catalogue *c, uint64_t n, llm_error *error)
{
    llm_str path = lm_source_path(c->sources[0]);
    char suffix[CATALOGUE_SUFFIX + 1] = "-00001-of-00000.gguf";
    llm_source desc = LLM_INIT(llm_source);
    lm_source **sources;
    char *name, *number;
    llm_status status = LLM_OK;
    if (path.len == 0)
        return lm_fail(error, LLM_E_INVALID, "this is the first of %llu files of a split model: give all of them, in order", (unsigned long long)n);
    catalogue_put_number(suffix + 10, n);
    if (path.len <= CATALOGUE_SUFFIX || memcmp(path.ptr + path.len - CATALOGUE_SUFFIX, suffix, CATALOGUE_SUFFIX) != 0)
        return lm_fail_at(error, LLM_E_FORMAT, path.ptr, path.len, UINT64_MAX,
                          "this is the first of %llu files of a split model, so its name must end with '%s' to find the others", (unsigned long long)n, suffix);
    sources = lm_mem_grow(&c->host->mem, c->sources, (size_t)n * sizeof *sources, LLM_MEMORY_OTHER);
    if (!sources)
        return lm_fail_memory(error, "the list of sources", (size_t)n * sizeof *sources);
    c->sources = sources;
    name = lm_mem_new(&c->host->mem, path.len + 1, LLM_MEMORY_OTHER);
    if (!name)
        return lm_fail_memory(error, "a file name", path.len + 1);
    memcpy(name, path.ptr, path.len);
    number = name + path.len - CATALOGUE_SUFFIX + 1;
    desc.path = name;
    desc.path_len = path.len;
    for (; status >= 0 && c->n_sources < n; c->n_sources += status >= 0) {
        catalogue_put_number(number, c->n_sources + 1);
        status = lm_source_open(c->host, &desc, &c->sources[c->n_sources], error);
    }
    lm_mem_free(&c->host->mem, name);
    return status;
}

/* Shows only the end of long paths. */
static const char *catalogue_source_name(const lm_catalogue *c, size_t i)
{
    const char *name = lm_source_name(c->sources[i]);
    size_t len = strlen(name);
    return len > 100 ? name + len - 100 : name;
}

/* A number about the split in the keys of one part. Absent: left alone, false. */
static llm_status catalogue_split_number(const lm_catalogue *part, const char *key, uint64_t max, uint64_t *out, llm_error *error)
{
    llm_status status = lm_catalogue_u64(part, key, 0, 0, max, out, error);
    return status == LLM_E_NOT_FOUND ? LLM_OK : status;
}

/* The keys of one part must say that it is number i of n. */
static llm_status catalogue_check_part(const lm_catalogue *c, const lm_gguf *gguf, size_t i, uint64_t n, llm_error *error)
{
    lm_catalogue part = { .keys = gguf->keys, .n_keys = gguf->n_keys, .key_index = gguf->key_index };
    uint64_t no = UINT64_MAX, count = UINT64_MAX;
    LM_TRY(catalogue_split_number(&part, "split.no", UINT32_MAX, &no, error));
    LM_TRY(catalogue_split_number(&part, "split.count", UINT32_MAX, &count, error));
    if (count == UINT64_MAX)
        return lm_fail_at(error, LLM_E_FORMAT, "split.count", 11, UINT64_MAX, "'%s' is no part of a split model: it has no key 'split.count', where %llu was expected",
                          catalogue_source_name(c, i), (unsigned long long)n);
    if (count != n)
        return lm_fail_at(error, LLM_E_FORMAT, "split.count", 11, UINT64_MAX, "key 'split.count' of '%s' is %llu: the first part says %llu", catalogue_source_name(c, i),
                          (unsigned long long)count, (unsigned long long)n);
    if (no == UINT64_MAX)
        return lm_fail_at(error, LLM_E_FORMAT, "split.no", 8, UINT64_MAX, "'%s' has no key 'split.no', where %zu was expected", catalogue_source_name(c, i), i);
    if (no != i)
        return lm_fail_at(error, LLM_E_FORMAT, "split.no", 8, UINT64_MAX, "key 'split.no' of '%s' is %llu, expected %zu: %s", catalogue_source_name(c, i),
                          (unsigned long long)no, i, i == 0 ? "open the first file of a split model" : "the parts must be given in order");
    return LLM_OK;
}

/* Reads parts 1 and up (their keys and infos live in `scratch`) and puts all infos together. The first part has been read. */
static llm_status catalogue_join(lm_catalogue *c, const lm_gguf *first, uint64_t n, lm_arena *scratch, llm_error *error)
{
    lm_gguf *parts = lm_arena_array(scratch, (size_t)n, sizeof *parts);
    uint64_t total = UINT64_MAX, found = 0;
    if (!parts)
        return lm_fail_memory(error, "the parts of a split model", (size_t)n * sizeof *parts);
    parts[0] = *first;
    LM_TRY(catalogue_split_number(c, "split.tensors.count", INT32_MAX, &total, error));
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            LM_TRY(lm_gguf_read(c->sources[i], (uint32_t)i, scratch, scratch, &c->arena, &parts[i], error));
        LM_TRY(catalogue_check_part(c, &parts[i], i, n, error));
        found += parts[i].n_tensors;
    }
    if (total == UINT64_MAX || found != total)
        return lm_fail_at(error, LLM_E_FORMAT, "split.tensors.count", 19, UINT64_MAX, "key 'split.tensors.count' says %lld, but the %llu parts hold %llu tensors",
                          (long long)total, (unsigned long long)n, (unsigned long long)found);
    c->tensors = lm_arena_array(&c->arena, (size_t)found, sizeof *c->tensors);
    if (!c->tensors)
        return lm_fail_memory(error, "the list of tensors", (size_t)found * sizeof *c->tensors);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n_tensors)
            memcpy(c->tensors + c->n_tensors, parts[i].tensors, parts[i].n_tensors * sizeof *c->tensors);
        c->n_tensors += parts[i].n_tensors;
    }
    return LLM_OK;
}

static llm_status catalogue_index(lm_catalogue *c, llm_error *error)
{
    size_t twin;
    c->tensor_index = lm_arena_array(&c->arena, c->n_tensors, sizeof *c->tensor_index);
    if (!c->tensor_index)
        return lm_fail_memory(error, "the index of tensors", c->n_tensors * sizeof *c->tensor_index);
    twin = lm_names_sort(c->tensors, sizeof *c->tensors, c->tensor_index, c->n_tensors);
    if (twin == c->n_tensors)
        return LLM_OK;
    const lm_tensor *a = &c->tensors[c->tensor_index[twin]], *b = &c->tensors[c->tensor_index[twin + 1]];
    return lm_fail_at(error, LLM_E_FORMAT, a->name.ptr, a->name.len, UINT64_MAX, "tensor '%s': a duplicate, its name stands twice (in '%s'%s%s%s)", a->name.ptr,
                      catalogue_source_name(c, a->source), a->source != b->source ? " and '" : "", a->source != b->source ? catalogue_source_name(c, b->source) : "",
                      a->source != b->source ? "'" : "");
}

/* How many parts the first one speaks of: 1 if it is not split. */
static llm_status catalogue_count_parts(const lm_catalogue *c, size_t given, uint64_t *out, llm_error *error)
{
    uint64_t n = 0;
    LM_TRY(catalogue_split_number(c, "split.count", UINT32_MAX, &n, error));
    n = n == 0 ? 1 : n;
    if (n > CATALOGUE_PARTS_MAX)
        return lm_fail_at(error, LLM_E_LIMIT, "split.count", 11, UINT64_MAX, "key 'split.count' is %llu: at most %d parts are possible", (unsigned long long)n,
                          CATALOGUE_PARTS_MAX);
    if (given > 1 && given != n)
        return lm_fail_at(error, LLM_E_INVALID, "split.count", 11, UINT64_MAX, "%zu files were given, but the first one says that the model has %llu", given,
                          (unsigned long long)n);
    *out = n;
    return LLM_OK;
}

static llm_status catalogue_read(lm_catalogue *c, const llm_source *const *parts, size_t n_parts, lm_arena *scratch, llm_error *error)
{
    lm_gguf first;
    uint64_t n = 1;
    LM_TRY(catalogue_open_sources(c, parts, n_parts, error));
    LM_TRY(lm_gguf_read(c->sources[0], 0, &c->arena, &c->arena, &c->arena, &first, error));
    c->keys = first.keys;
    c->n_keys = first.n_keys;
    c->key_index = first.key_index;
    LM_TRY(catalogue_count_parts(c, n_parts, &n, error));
    if (n > 1) {
        LM_TRY(catalogue_check_part(c, &first, 0, n, error));
        if (n_parts == 1)
            LM_TRY(catalogue_open_siblings(c, n, error));
        LM_TRY(catalogue_join(c, &first, n, scratch, error));
    } else {
        c->tensors = first.tensors;
        c->n_tensors = first.n_tensors;
    }
    for (size_t i = 0; i < c->n_sources; i++)
        c->reads_alone |= lm_source_reads_alone(c->sources[i]);
    for (size_t i = 0; i < c->n_sources; i++)
        if (!lm_add_u64(c->file_bytes, lm_source_size(c->sources[i]), &c->file_bytes))
            return lm_fail(error, LLM_E_LIMIT, "the sources together pass 64 bits");
    return catalogue_index(c, error);
}

llm_status lm_catalogue_open(lm_host *host, const llm_source *const *parts, size_t n_parts, lm_catalogue **out, llm_error *error)
{
    lm_catalogue *c;
    lm_arena scratch;
    llm_status status;
    if (!parts || n_parts == 0)
        return lm_fail(error, LLM_E_INVALID, "no source was given");
    if (n_parts > CATALOGUE_PARTS_MAX)
        return lm_fail(error, LLM_E_LIMIT, "%zu parts were given: at most %d are possible", n_parts, CATALOGUE_PARTS_MAX);
    c = lm_mem_new(&host->mem, sizeof *c, LLM_MEMORY_OTHER);
    if (!c)
        return lm_fail_memory(error, "a catalogue", sizeof *c);
    c->host = host;
    lm_arena_init(&c->arena, &host->mem, LLM_MEMORY_OTHER);
    lm_arena_init(&scratch, &host->mem, LLM_MEMORY_OTHER);
    status = catalogue_read(c, parts, n_parts, &scratch, error);
    lm_arena_free(&scratch);
    if (status < 0) {
        lm_catalogue_free(c);
        return status;
    }
    *out = c;
    return LLM_OK;
}

void lm_catalogue_release(lm_catalogue *catalogue)
{
    for (size_t i = 0; i < catalogue->n_sources; i++)
        lm_source_close(catalogue->sources[i]);
    lm_mem_free(&catalogue->host->mem, catalogue->sources);
    catalogue->sources = NULL;
    catalogue->n_sources = 0;
}

void lm_catalogue_free(lm_catalogue *catalogue)
{
    if (!catalogue)
        return;
    lm_catalogue_release(catalogue);
    lm_arena_free(&catalogue->arena);
    lm_mem_free(&catalogue->host->mem, catalogue);
}

/* ---- finding and reading */

const lm_key *lm_catalogue_key(const lm_catalogue *catalogue, const char *name, size_t len)
{
    size_t at = lm_names_find(catalogue->keys, sizeof *catalogue->keys, catalogue->key_index, catalogue->n_keys, name, len == LLM_NUL ? strlen(name) : len);
    return at == SIZE_MAX ? NULL : &catalogue->keys[at];
}

const lm_tensor *lm_catalogue_tensor(const lm_catalogue *catalogue, const char *name)
{
    size_t at = lm_names_find(catalogue->tensors, sizeof *catalogue->tensors, catalogue->tensor_index, catalogue->n_tensors, name, strlen(name));
    return at == SIZE_MAX ? NULL : &catalogue->tensors[at];
}

llm_status lm_catalogue_rows(lm_catalogue *catalogue, const lm_tensor *tensor, uint64_t row, uint64_t n, void *out, llm_error *error)
{
    uint64_t bytes, skip;
    if (tensor->source >= catalogue->n_sources)
        return lm_fail_at(error, LLM_E_STATE, tensor->name.ptr, tensor->name.len, UINT64_MAX, "tensor '%s' cannot be read: its file was released", tensor->name.ptr);
    if (row > tensor->n_rows || n > tensor->n_rows - row || !lm_mul_u64(n, tensor->row_bytes, &bytes) || !lm_mul_u64(row, tensor->row_bytes, &skip) || !lm_fits_size(bytes))
        return lm_fail_at(error, LLM_E_INVALID, tensor->name.ptr, tensor->name.len, UINT64_MAX, "tensor '%s' has %llu rows: %llu from row %llu were asked for", tensor->name.ptr,
                          (unsigned long long)tensor->n_rows, (unsigned long long)n, (unsigned long long)row);
    return lm_source_read(catalogue->sources[tensor->source], tensor->offset + skip, out, (size_t)bytes, error);
}

const void *lm_catalogue_peek(const lm_catalogue *catalogue, const lm_tensor *tensor, uint64_t row, uint64_t n)
{
    uint64_t bytes, skip;
    if (tensor->source >= catalogue->n_sources || row > tensor->n_rows || n > tensor->n_rows - row || !lm_mul_u64(n, tensor->row_bytes, &bytes) ||
        !lm_mul_u64(row, tensor->row_bytes, &skip))
        return NULL;
    return lm_source_peek(catalogue->sources[tensor->source], tensor->offset + skip, bytes);
}

llm_status lm_catalogue_bytes(lm_catalogue *catalogue, const lm_tensor *tensor, uint64_t offset, size_t n, void *out, llm_error *error)
{
    if (tensor->source >= catalogue->n_sources)
        return lm_fail_at(error, LLM_E_STATE, tensor->name.ptr, tensor->name.len, UINT64_MAX, "tensor '%s' cannot be read: its file was released", tensor->name.ptr);
    if (offset > tensor->bytes || n > tensor->bytes - offset)
        return lm_fail_at(error, LLM_E_INVALID, tensor->name.ptr, tensor->name.len, UINT64_MAX, "tensor '%s' has %llu bytes: %zu from byte %llu were asked for", tensor->name.ptr,
                          (unsigned long long)tensor->bytes, n, (unsigned long long)offset);
    return lm_source_read(catalogue->sources[tensor->source], tensor->offset + offset, out, n, error);
}

llm_status lm_catalogue_samples(lm_catalogue *c, uint64_t *out, llm_error *error)
{
    size_t n = LM_MIN(c->n_tensors, (size_t)CATALOGUE_SAMPLES);
    lm_digest digest;
    if (c->sampled) {
        *out = c->samples;
        return LLM_OK;
    }
    lm_digest_begin(&digest);
    for (size_t i = 0; i < n; i++) {
        const lm_tensor *t = &c->tensors[(uint64_t)i * c->n_tensors / n];
        uint64_t at = t->bytes / 2 & ~(uint64_t)(CATALOGUE_SAMPLE - 1);
        unsigned char bytes[CATALOGUE_SAMPLE];
        size_t take = (size_t)LM_MIN(t->bytes - at, (uint64_t)CATALOGUE_SAMPLE);
        LM_TRY(lm_catalogue_bytes(c, t, at, take, bytes, error));
        lm_digest_add(&digest, bytes, take);
    }
    *out = c->samples = lm_digest_end(&digest);
    c->sampled = true;
    return LLM_OK;
}

/* ---- values */

static const char *catalogue_type_name(uint32_t type)
{
    static const char *const names[13] = { "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64" };
    return type < LM_COUNT(names) ? names[type] : "unknown";
}

/* One item, widened. */
typedef struct catalogue_item {
    int32_t  kind;                      /* LLM_META_*, never ARRAY */
    int64_t  integer;
    double   number;
    llm_str  string;
} catalogue_item;

#define CATALOGUE_LOAD(type)                                          \
    do {                                                              \
        type v;                                                       \
        memcpy(&v, (const type *)key->items + index, sizeof v);       \
        item.integer = (int64_t)v;                                    \
        item.number = (double)v;                                      \
    } while (0)
#define CATALOGUE_LOAD_FLOAT(type)                                    \
    do {                                                              \
        type v;                                                       \
        memcpy(&v, (const type *)key->items + index, sizeof v);       \
        item.kind = LLM_META_FLOAT;                                   \
        item.number = (double)v;                                      \
    } while (0)

static catalogue_item catalogue_load(const lm_key *key, uint64_t index)
{
    catalogue_item item = { .kind = LLM_META_INT };
    switch (key->item_type) {
    case LM_VALUE_I8: CATALOGUE_LOAD(int8_t); break;
    case LM_VALUE_I16: CATALOGUE_LOAD(int16_t); break;
    case LM_VALUE_I32: CATALOGUE_LOAD(int32_t); break;
    case LM_VALUE_I64: CATALOGUE_LOAD(int64_t); break;
    case LM_VALUE_U8: item.kind = LLM_META_UINT; CATALOGUE_LOAD(uint8_t); break;
    case LM_VALUE_U16: item.kind = LLM_META_UINT; CATALOGUE_LOAD(uint16_t); break;
    case LM_VALUE_U32: item.kind = LLM_META_UINT; CATALOGUE_LOAD(uint32_t); break;
    case LM_VALUE_U64: item.kind = LLM_META_UINT; CATALOGUE_LOAD(uint64_t); break;
    case LM_VALUE_BOOL: item.kind = LLM_META_BOOL; CATALOGUE_LOAD(uint8_t); break;
    case LM_VALUE_F32: CATALOGUE_LOAD_FLOAT(float); break;
    case LM_VALUE_F64: CATALOGUE_LOAD_FLOAT(double); break;
    default:
        item.kind = LLM_META_STRING;
        item.string = ((const llm_str *)key->items)[index];
        break;
    }
    return item;
}
#undef CATALOGUE_LOAD
#undef CATALOGUE_LOAD_FLOAT

/* The item that a caller means: scalars serve any index. */
static llm_status catalogue_get(const lm_catalogue *c, const char *name, uint64_t index, const lm_key **found, catalogue_item *item, llm_error *error)
{
    const lm_key *key = lm_catalogue_key(c, name, LLM_NUL);
    if (!key)
        return LLM_E_NOT_FOUND;
    if (key->type != LM_VALUE_ARRAY)
        index = 0;
    if (index >= key->n_items)
        return lm_fail_at(error, LLM_E_FORMAT, key->name.ptr, key->name.len, key->offset, "key '%s' has %llu items, but item %llu is needed", name,
                          (unsigned long long)key->n_items, (unsigned long long)index);
    *found = key;
    *item = catalogue_load(key, index);
    return LLM_OK;
}

static llm_status catalogue_wrong_type(const lm_key *key, const char *expected, llm_error *error)
{
    return lm_fail_at(error, LLM_E_FORMAT, key->name.ptr, key->name.len, key->offset, "key '%s' has the type %s%s: expected %s", key->name.ptr,
                      key->type == LM_VALUE_ARRAY ? "array of " : "", catalogue_type_name(key->item_type), expected);
}

llm_status lm_catalogue_u64(const lm_catalogue *c, const char *key, uint64_t index, uint64_t min, uint64_t max, uint64_t *out, llm_error *error)
{
    const lm_key *found = NULL;
    catalogue_item item = { 0 };
    LM_TRY(catalogue_get(c, key, index, &found, &item, error));
    if (item.kind != LLM_META_INT && item.kind != LLM_META_UINT)
        return catalogue_wrong_type(found, "an integer", error);
    if (item.kind == LLM_META_INT && item.integer < 0)
        return lm_fail_at(error, LLM_E_FORMAT, found->name.ptr, found->name.len, found->offset, "key '%s' is %lld: expected %llu to %llu", key, (long long)item.integer,
                          (unsigned long long)min, (unsigned long long)max);
    if ((uint64_t)item.integer < min || (uint64_t)item.integer > max)
        return lm_fail_at(error, LLM_E_FORMAT, found->name.ptr, found->name.len, found->offset, "key '%s' is %llu: expected %llu to %llu", key,
                          (unsigned long long)item.integer, (unsigned long long)min, (unsigned long long)max);
    *out = (uint64_t)item.integer;
    return LLM_OK;
}

llm_status lm_catalogue_f64(const lm_catalogue *c, const char *key, uint64_t index, double *out, llm_error *error)
{
    const lm_key *found = NULL;
    catalogue_item item = { 0 };
    LM_TRY(catalogue_get(c, key, index, &found, &item, error));
    if (item.kind != LLM_META_FLOAT)
        return catalogue_wrong_type(found, "a float", error);
    if (!(item.number >= -1.7976931348623157e308 && item.number <= 1.7976931348623157e308))
        return lm_fail_at(error, LLM_E_FORMAT, found->name.ptr, found->name.len, found->offset, "key '%s' is %g: expected a finite number", key, item.number);
    *out = item.number;
    return LLM_OK;
}

llm_status lm_catalogue_bool(const lm_catalogue *c, const char *key, uint64_t index, bool *out, llm_error *error)
{
    const lm_key *found = NULL;
    catalogue_item item = { 0 };
    LM_TRY(catalogue_get(c, key, index, &found, &item, error));
    if (item.kind != LLM_META_BOOL)
        return catalogue_wrong_type(found, "a bool", error);
    *out = item.integer != 0;
    return LLM_OK;
}

llm_status lm_catalogue_str(const lm_catalogue *c, const char *key, llm_str *out, llm_error *error)
{
    const lm_key *found = lm_catalogue_key(c, key, LLM_NUL);
    if (!found)
        return LLM_E_NOT_FOUND;
    if (found->type != LM_VALUE_STRING)
        return catalogue_wrong_type(found, "a string", error);
    *out = *(const llm_str *)found->items;
    return LLM_OK;
}

void lm_key_item(const lm_key *key, uint64_t index, llm_meta *out)
{
    catalogue_item item = catalogue_load(key, index);
    out->type = item.kind;
    out->item_type = 0;
    out->string = item.string.ptr;
    out->string_len = item.string.len;
    out->integer = item.integer;
    out->number = item.number;
    out->n_items = 0;
}
