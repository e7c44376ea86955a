/* SPDX-License-Identifier: MIT
 * The container: opened, and if it opens, every key, item, tensor and row looked at. What the catalogue's header promises must hold. */
#include "fuzz.h"
#include "models.h"
#include "mutate.h"

#include "files/catalogue.h"

#include "base/utf8.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) { return mutate_gguf(data, size, max_size, seed); }
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max_size, unsigned int seed)
{
    return mutate_cross(a, a_size, b, b_size, out, max_size, seed);
}

/* A key of each type, an array of each; tensors of each number of dimensions. */
static void gguf_all(doc *d)
{
    static const char *const names[13] = { "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64" };
    static const char *const texts[] = { "", "a", "\xe2\x82\xac" };
    char name[32] = "x.";
    doc_clear(d);
    for (uint32_t type = 0; type < 13; type++) {
        const unsigned char zeros[24] = { 1 };
        memcpy(name + 2, names[type], strlen(names[type]) + 1);
        if (doc_value_bytes(type))
            doc_set(d, name, type, zeros, doc_value_bytes(type));
        name[0] = 'y';
        if (doc_value_bytes(type))
            doc_array(d, name, type, 3, zeros, 3 * doc_value_bytes(type));
        name[0] = 'x';
    }
    doc_text(d, "x.string", "text");
    doc_texts(d, "y.string", 3, texts);
    doc_u32(d, "general.alignment", 64);
    d->align = 64;
    doc_add(d, "one", 0, 5, 0, 0);
    doc_add(d, "two", 2, 32, 3, 0);
    doc_add(d, "three", 1, 3, 2, 2);
    doc_place(d);
}

void fuzz_seeds(void (*put)(const char *name, const void *data, size_t size))
{
    static unsigned char file[MODELS_MOST];
    doc *d = doc_new();
    gguf_all(d);
    put("all", file, doc_write(d, file, sizeof file));
    for (size_t i = 0; i < models_count(); i += 4) {
        models_make(d, i);
        put(models_name(i), file, doc_write(d, file, sizeof file));
    }
    doc_free(d);
}

static volatile uint64_t gguf_sum;
static void gguf_keys(const lm_catalogue *c)
{
    llm_error error;
    uint64_t sum = 0;
    for (size_t i = 0; i < c->n_keys; i++) {
        const lm_key *key = &c->keys[i];
        llm_meta meta = LLM_INIT(llm_meta);
        FUZZ_CHECK(lm_utf8_valid(key->name.ptr, key->name.len) && key->name.len > 0 && key->name.ptr[key->name.len] == 0 && strlen(key->name.ptr) == key->name.len, "key %zu", i);
        FUZZ_CHECK(lm_catalogue_key(c, key->name.ptr, key->name.len) == key, "key %zu is found elsewhere", i);
        for (uint64_t k = 0; k < key->n_items && k < 64; k++) {
            lm_key_item(key, k, &meta);
            sum += meta.type == LLM_META_STRING ? fuzz_hash(meta.string, meta.string_len) + (unsigned char)meta.string[meta.string_len] : (uint64_t)meta.integer;
        }
        uint64_t number = 0;
        double real = 0;
        bool flag = false;
        llm_str text = { 0 };
        llm_status status[4] = { lm_catalogue_u64(c, key->name.ptr, 1, 0, 100, &number, &error), lm_catalogue_f64(c, key->name.ptr, 0, &real, &error),
                                 lm_catalogue_bool(c, key->name.ptr, 0, &flag, &error), lm_catalogue_str(c, key->name.ptr, &text, &error) };
        for (int k = 0; k < 4; k++)
            FUZZ_CHECK(status[k] == LLM_OK || status[k] == LLM_E_FORMAT, "key %zu: %d", i, status[k]);
        FUZZ_CHECK(status[0] != LLM_OK || number <= 100, "key %zu", i);
    }
    gguf_sum = sum;                                         /* so that all is read */
}

static void gguf_tensors(lm_catalogue *c, size_t size)
{
    llm_error error;
    uint64_t end = 0, sample;
    static unsigned char row[MODELS_MOST * 2];
    for (size_t i = 0; i < c->n_tensors; i++) {
        const lm_tensor *t = &c->tensors[i];
        FUZZ_CHECK(t->n_dims >= 1 && t->n_dims <= 4 && t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3] == t->ne[0] * t->n_rows && t->n_rows > 0 && t->row_bytes * t->n_rows == t->bytes,
                   "tensor %zu", i);
        FUZZ_CHECK(t->offset >= end && t->offset <= size && t->bytes <= size - t->offset, "tensor %zu lies at %llu", i, (unsigned long long)t->offset);
        end = t->offset + t->bytes;
        FUZZ_CHECK(lm_catalogue_tensor(c, t->name.ptr) == t, "tensor %zu is found elsewhere", i);
        if (t->row_bytes <= sizeof row)
            FUZZ_CHECK(lm_catalogue_rows(c, t, t->n_rows - 1, 1, row, &error) == LLM_OK, "%s", error.message);
        FUZZ_CHECK(lm_catalogue_rows(c, t, t->n_rows, 1, row, &error) == LLM_E_INVALID, "a row beyond the last");
    }
    FUZZ_CHECK(lm_catalogue_samples(c, &sample, &error) == LLM_OK, "%s", error.message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lm_host host = { 0 };
    llm_source source = fuzz_source(data, size);
    const llm_source *part = &source;
    lm_catalogue *c = NULL;
    llm_error error = { 0 };
    fuzz_begin(size);
    lm_mem_init(&host.mem, &fuzz_allocator, 0);
    llm_status status = fuzz_status(lm_catalogue_open(&host, &part, 1, &c, &error), &error);
    FUZZ_CHECK(status == LLM_OK || status == LLM_E_FORMAT || status == LLM_E_UNSUPPORTED || status == LLM_E_LIMIT || status == LLM_E_INVALID, "%d '%s'", status, error.message);
    if (status == LLM_OK) {
        gguf_keys(c);
        gguf_tensors(c, size);
    }
    lm_catalogue_free(c);
    fuzz_end();
    return 0;
}
