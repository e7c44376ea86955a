/* SPDX-License-Identifier: MIT
 * A saved session that may say anything, mostly with digests that are right: refused with nothing changed, or restored into a session that can be stepped, saved and
 * restored again. */
#include "fuzz.h"
#include "models.h"

#include "base/digest.h"

#include <stdlib.h>

enum { SAVED_HEADER = 128, SAVED_CTX = 100, SAVED_MOST = 64 * 1024 };

typedef struct saved_file { unsigned char *data; size_t size, cap; } saved_file;
static llm_status saved_write(void *user, const void *data, size_t n)
{
    saved_file *f = user;
    if (n > f->cap - f->size)
        return LLM_E_IO;
    memcpy(f->data + f->size, data, n);
    f->size += n;
    return LLM_OK;
}

static llm_status saved_put(llm_session *s, const llm_save_desc *desc, saved_file *f, llm_error *error)
{
    llm_writer writer = LLM_INIT(llm_writer);
    llm_sink sink = LLM_INIT(llm_sink);
    writer.user = f;
    writer.write = saved_write;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    f->size = 0;
    return llm_session_save_to(s, &sink, desc, error);
}

/* ---- mutation: fields, then digests made right ---- */

static void saved_seal(unsigned char *file, size_t size)
{
    if (size < SAVED_HEADER)
        return;
    uint64_t digest = lm_digest_of(file, SAVED_HEADER - 8), bytes;
    memcpy(file + SAVED_HEADER - 8, &digest, 8);
    for (size_t at = SAVED_HEADER; at + 24 <= size;) {
        memcpy(&bytes, file + at + 8, 8);
        if (bytes > size - at - 24)
            return;
        uint64_t all = 16 + ((bytes + 7) & ~(uint64_t)7);
        if (all + 8 > size - at)
            return;
        digest = lm_digest_of(file + at, (size_t)all);
        memcpy(file + at + all, &digest, 8);
        at += (size_t)all + 8;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static const uint64_t odd[] = { 0, 1, 2, 63, 64, 65, 127, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff };
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1, value = 0;
    if (seed % 5 == 0 || size < SAVED_HEADER)
        size = LLVMFuzzerMutate(data, size, max_size);
    for (int i = 0; i < 1 + (int)(seed % 3) && size >= SAVED_HEADER; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        size_t width = x >> 60 & 1 ? 8 : 4, at = (size_t)(x >> 20) % (x >> 61 & 1 ? SAVED_HEADER - 8 : size - 8) & ~(width - 1);
        memcpy(&value, data + at, width);
        switch (x >> 56 & 3) {
        case 0: value = odd[(x >> 40) % (sizeof odd / sizeof *odd)]; break;
        case 1: value += (x >> 40) % 5 - 2; break;
        case 2: value ^= (uint64_t)1 << (x >> 40) % (width * 8); break;
        default: value = (uint32_t)(x >> 30); break;
        }
        memcpy(data + at, &value, width);
    }
    if (size >= 24 && seed % 7 == 1) {                      /* what the file says of its length is true again */
        value = size;
        memcpy(data + 16, &value, 8);
    }
    if (seed % 16)
        saved_seal(data, size);
    return size;
}

/* ---- sessions ---- */

static llm_session *saved_session(llm_model *model, int32_t state_type)
{
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *s = NULL;
    llm_error error;
    desc.n_ctx = SAVED_CTX;
    desc.state_type = state_type;
    FUZZ_CHECK(llm_session_create(model, &desc, &s, &error) == LLM_OK, "%s", error.message);
    return s;
}

static llm_status saved_drain(llm_session *s, llm_error *error)
{
    llm_status status;
    do
        status = fuzz_status(llm_session_step(&s, 1, LLM_FOREVER, 0, error), error);
    while (status == LLM_MORE);
    return status;
}

static void saved_fill(llm_session *s, uint32_t n, uint32_t flags, const llm_sampler *sampler)
{
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_error error;
    for (uint32_t i = 0; i < n; i++) {
        llm_token token = (llm_token)((i * 7 + 1) % MODELS_VOCAB);
        FUZZ_CHECK(llm_session_append(s, &token, 1, flags, &error) == LLM_OK, "%s", error.message);
    }
    reply.max_tokens = 3;
    reply.flags = LLM_GENERATE_IGNORE_END;
    reply.sampler = sampler;
    FUZZ_CHECK(n == 0 || (llm_session_generate(s, &reply, &error) == LLM_OK && saved_drain(s, &error) == LLM_OK), "%s", error.message);
}

void fuzz_seeds(void (*put)(const char *name, const void *data, size_t size))
{
    static unsigned char bytes[SAVED_MOST];
    llm_model *models[2] = { fuzz_model(fuzz_engine(0), "llama"), fuzz_model(fuzz_engine(0), "gemma2") };
    char name[16] = "s000";
    llm_error error;
    for (int which = 0; which < 2; which++)
        for (int32_t type = 0; type < 3; type++)
            for (int k = 0; k < 3; k++) {
                saved_file f = { bytes, 0, sizeof bytes };
                llm_save_desc desc = LLM_INIT(llm_save_desc);
                llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
                llm_sampler *sampler = NULL;
                llm_session *s = saved_session(models[which], type);
                recipe.mirostat = k == 1 ? 2 : 0;
                recipe.temperature = 1;
                FUZZ_CHECK(llm_sampler_create(llm_model_tokenizer(models[which]), &recipe, &sampler, &error) == LLM_OK, "%s", error.message);
                saved_fill(s, k == 2 ? 0 : 5 + (uint32_t)(k * 65), k == 1 ? LLM_APPEND_SCORE : 0, sampler);
                desc.flags = k == 2 || type == 2 ? LLM_SAVE_TOKENS_ONLY : 0;
                desc.note = k == 0 ? "note" : NULL;
                desc.note_len = k == 0 ? 4 : 0;
                FUZZ_CHECK(saved_put(s, &desc, &f, &error) == LLM_OK, "%s", error.message);
                name[1] = (char)('0' + which);
                name[2] = (char)('0' + type);
                name[3] = (char)('0' + k);
                put(name, f.data, f.size);
                llm_session_free(s);
                llm_sampler_free(sampler);
            }
}

/* What must not change when a restore is refused. */
static uint64_t saved_hash(llm_session *s)
{
    const llm_token *tokens = NULL;
    size_t n = 0;
    llm_error error;
    FUZZ_CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK, "%s", error.message);
    return fuzz_hash(tokens, n * sizeof *tokens) * 31 + llm_session_n_pending(s) * 7 + (uint64_t)llm_session_state(s);
}

static void saved_use(llm_model *model, llm_session *s, int32_t state_type)
{
    static unsigned char bytes[2][SAVED_MOST * 4];
    saved_file f = { bytes[0], 0, sizeof bytes[0] }, again = { bytes[1], 0, sizeof bytes[1] };
    llm_session *twin = saved_session(model, state_type);
    llm_error error;
    FUZZ_CHECK(saved_put(s, NULL, &f, &error) == LLM_OK, "%s", error.message);
    llm_source source = fuzz_source(f.data, f.size);
    llm_status status = fuzz_status(llm_session_restore_from(twin, &source, 0, &error), &error);
    FUZZ_CHECK(status == LLM_OK && saved_put(twin, NULL, &again, &error) == LLM_OK, "%s", error.message);
    FUZZ_CHECK(f.size == again.size && memcmp(f.data, again.data, f.size) == 0, "saved, restored, saved: %zu and %zu bytes", f.size, again.size);
    llm_session_free(twin);
    status = saved_drain(s, &error);
    FUZZ_CHECK(status == LLM_OK || status == LLM_E_NUMERIC, "%s", error.message);
    if (llm_session_n_tokens(s) > 0 && status == LLM_OK) {
        llm_generate_desc reply = LLM_INIT(llm_generate_desc);
        reply.max_tokens = 2;
        FUZZ_CHECK(llm_session_generate(s, &reply, &error) == LLM_OK, "%s", error.message);
        status = saved_drain(s, &error);
        FUZZ_CHECK(status == LLM_OK || status == LLM_E_NUMERIC, "%s", error.message);
    }
    FUZZ_CHECK(llm_session_rewind(s, llm_session_n_tokens(s) / 2, &error) == LLM_OK, "%s", error.message);
    status = saved_drain(s, &error);
    FUZZ_CHECK(status == LLM_OK || status == LLM_E_NUMERIC, "%s", error.message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t hash = fuzz_hash(data, size > 512 ? 512 : size);
    llm_engine *engine = fuzz_engine(0);
    llm_model *model = fuzz_model(engine, hash & 1 ? "llama" : "gemma2");
    int32_t type = (int32_t)(hash >> 1 & 3) % 3;
    llm_saved_info info = LLM_INIT(llm_saved_info);
    llm_source source = fuzz_source(data, size);
    llm_error error;
    char note[64];
    size_t n_note = 0;
    fuzz_begin(size);
    llm_session *s = saved_session(model, type);
    for (llm_token token = 3; token < 6; token++)
        llm_session_append(s, &token, 1, 0, &error);
    uint64_t before = saved_hash(s);
    fuzz_status(llm_saved_get_info(model, &source, &info, &error), &error);
    fuzz_status(llm_saved_note(model, &source, note, sizeof note, &n_note, &error), &error);
    llm_status status = fuzz_status(llm_session_restore_from(s, &source, hash >> 3 & 3, &error), &error);
    if (status == LLM_OK)
        saved_use(model, s, type);
    else
        FUZZ_CHECK(saved_hash(s) == before, "a refused restore has changed the session");
    llm_session_free(s);
    llm_engine_trim(engine, UINT64_MAX, 0, NULL, &error);
    fuzz_end_kept();
    return 0;
}
