/* SPDX-License-Identifier: MIT
 * A model in parts that may contradict one another. The input: for each part its length (u32) and its bytes. */
#include "fuzz.h"
#include "models.h"
#include "mutate.h"

#include <stdlib.h>

enum { SPLIT_PARTS = 4 };
typedef struct split_part { const uint8_t *data; uint32_t size; } split_part;

static size_t split_cut(const uint8_t *data, size_t size, split_part parts[SPLIT_PARTS])
{
    size_t n = 0;
    for (size_t at = 0; at + 4 <= size && n < SPLIT_PARTS; n++) {
        memcpy(&parts[n].size, data + at, 4);
        at += 4;
        if (parts[n].size > size - at)
            parts[n].size = (uint32_t)(size - at);
        parts[n].data = data + at;
        at += parts[n].size;
    }
    return n;
}

static size_t split_join(const split_part *parts, size_t n, uint8_t *out, size_t cap)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].size + 4 > cap - at)
            return 0;
        memcpy(out + at, &parts[i].size, 4);
        if (parts[i].size)
            memcpy(out + at + 4, parts[i].data, parts[i].size);
        at += 4 + parts[i].size;
    }
    return at;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static uint8_t part[64 * 1024], file[64 * 1024];
    split_part parts[SPLIT_PARTS];
    size_t n = split_cut(data, size, parts), pick = n ? seed / 16 % n : 0;
    if (n == 0 || seed % 32 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    if (seed % 16 == 1) {
        split_part swap = parts[0];
        parts[0] = parts[pick];
        parts[pick] = swap;
    } else if (seed % 16 == 2) {
        n--;
    } else if (seed % 16 == 3 && n < SPLIT_PARTS) {
        parts[n++] = parts[pick];
    } else if (parts[pick].size <= sizeof part / 2) {
        memcpy(part, parts[pick].data, parts[pick].size);
        parts[pick].size = (uint32_t)mutate_gguf(part, parts[pick].size, sizeof part / 2, seed);
        parts[pick].data = part;
    }
    size_t out = split_join(parts, n, file, max_size < sizeof file ? max_size : sizeof file);
    if (out == 0)
        return size;
    memcpy(data, file, out);
    return out;
}

static void split_say(doc *d, uint16_t no, uint16_t count, int32_t tensors)
{
    doc_set(d, "split.no", DOC_U16, &no, 2);
    doc_set(d, "split.count", DOC_U16, &count, 2);
    doc_set(d, "split.tensors.count", DOC_I32, &tensors, 4);
}

void fuzz_seeds(void (*put)(const char *name, const void *data, size_t size))
{
    static uint8_t bytes[SPLIT_PARTS][MODELS_MOST], file[MODELS_MOST * 2];
    static const char *const names[] = { "gemma", "qwen3", "mixtral_single" };
    doc *d = doc_new(), *part = doc_new();
    for (int which = 0; which < 3; which++)
        for (uint16_t n = 1; n <= 3; n++) {
            split_part parts[SPLIT_PARTS];
            char name[64];
            models_make_named(d, names[which]);
            for (uint16_t i = 0; i < n; i++) {
                doc_clear(part);
                if (i == 0)
                    for (size_t k = 0; k < d->n_keys; k++)
                        part->keys[part->n_keys++] = d->keys[k];
                split_say(part, i, n, (int32_t)d->n_tensors);
                for (size_t k = 0; k < d->n_tensors; k++)
                    if (k * n / d->n_tensors == i)
                        part->tensors[part->n_tensors++] = d->tensors[k];
                doc_place(part);
                parts[i] = (split_part){ bytes[i], (uint32_t)doc_write(part, bytes[i], sizeof bytes[i]) };
            }
            memcpy(name, names[which], strlen(names[which]));
            name[strlen(names[which])] = (char)('0' + n);
            name[strlen(names[which]) + 1] = 0;
            put(name, file, split_join(parts, n, file, sizeof file));
        }
    doc_free(d);
    doc_free(part);
}

static llm_status split_read(void *user, uint64_t offset, void *out, size_t n)
{
    const split_part *part = user;
    if (offset > part->size || n > part->size - offset)
        return LLM_E_IO;
    memcpy(out, part->data + offset, n);
    return LLM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    split_part parts[SPLIT_PARTS];
    llm_source sources[SPLIT_PARTS];
    llm_reader readers[SPLIT_PARTS];
    const llm_source *list[SPLIT_PARTS];
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    llm_estimate_info estimate = LLM_INIT(llm_estimate_info);
    llm_model *model = NULL;
    llm_error error;
    size_t n = split_cut(data, size, parts);
    uint64_t hash = fuzz_hash(data, size > 256 ? 256 : size);
    llm_engine *engine = fuzz_engine(0);
    for (size_t i = 0; i < n; i++) {
        sources[i] = fuzz_source(parts[i].data, parts[i].size);
        if (hash >> i & 1) {
            readers[i] = (llm_reader){ .struct_size = sizeof(llm_reader), .size = parts[i].size, .user = &parts[i], .read = split_read };
            sources[i].kind = LLM_SOURCE_READER;
            sources[i].reader = &readers[i];
        }
        list[i] = &sources[i];
    }
    fuzz_begin(size);
    if (hash >> 8 & 1)
        fuzz_status(llm_model_estimate(engine, list, n, NULL, NULL, &estimate, &error), &error);
    desc.flags = hash >> 9 & 1 ? LLM_MODEL_VOCAB_ONLY : 0;
    llm_status status = fuzz_status(llm_model_load_from(engine, list, n, &desc, &model, &error), &error);
    FUZZ_CHECK((status == LLM_OK) == (model != NULL) && status <= 0, "status %d", status);
    llm_model_free(model);
    fuzz_end();
    return 0;
}
