/* SPDX-License-Identifier: MIT
 * Saved sessions that lie with right checksums: what a digest cannot see must be seen, or do no harm. Bytes are changed at random, sizes above all,
 * digests are made anew; each is refused with nothing changed, or restored into a session that can be stepped. */
#include "../api/saving.h"

#include "files/saved.h"

enum { FORGED_ROUNDS = TEST_EMULATED ? 500 : 6000, FORGED_HEADER = 128 };

static uint64_t forged_random(uint64_t *x)
{
    *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
    return *x;
}

/* Walks the sections as the file says they lie, and makes every digest right. */
static void forged_seal(unsigned char *file, size_t size)
{
    uint64_t digest = lm_digest_of(file, FORGED_HEADER - 8);
    memcpy(file + FORGED_HEADER - 8, &digest, 8);
    for (size_t at = FORGED_HEADER; at + 24 <= size;) {
        uint64_t bytes;
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

static void forged_change(unsigned char *file, size_t size, uint64_t *x)
{
    static const uint64_t values[] = { 0, 1, 63, 64, 65, 127, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff };
    int n = 1 + (int)(forged_random(x) % 3);
    for (int i = 0; i < n; i++) {
        size_t at = forged_random(x) % 3 == 0 ? FORGED_HEADER - 8 : size, width = forged_random(x) % 2 ? 8 : 4;
        at = (size_t)(forged_random(x) % (at - 8)) & ~(width - 1);
        uint64_t value = 0;
        memcpy(&value, file + at, width);
        switch (forged_random(x) % 4) {
        case 0: value = values[forged_random(x) % (sizeof values / sizeof *values)]; break;
        case 1: value += forged_random(x) % 5 - 2; break;
        case 2: value ^= (uint64_t)1 << forged_random(x) % (width * 8); break;
        default: value = forged_random(x); break;
        }
        memcpy(file + at, &value, width);
    }
}

int main(void)
{
    llm_engine *engine;
    llm_model *model;
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_error error;
    llm_token tokens[120];
    int n_refused = 0, n_taken = 0;
    uint64_t x = 0x9e3779b97f4a7c15u;
    tiny_shape shape = tiny_small;
    shape.window = 30;
    desc.n_threads = 1;
    tiny_open(&shape, &desc, &engine, &model);
    for (int type = 0; type < 3; type++) {
        saving f = { 0 };
        llm_sampler *sampler = NULL;
        llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
        llm_generate_desc reply = LLM_INIT(llm_generate_desc);
        llm_session *s = tiny_session(model, 200, type), *victim = tiny_session(model, 200, type);
        tiny_tokens(tokens, 120, shape.n_vocab, 30);
        recipe.mirostat = 2;
        recipe.temperature = 1;
        CHECK(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error) == LLM_OK);
        reply.sampler = sampler;
        reply.max_tokens = 5;
        reply.flags = LLM_GENERATE_IGNORE_END;
        CHECK(llm_session_append(s, tokens, 118, LLM_APPEND_SCORE, &error) == LLM_OK && llm_session_generate(s, &reply, &error) == LLM_OK);
        CHECK(tiny_drain(s, LLM_FOREVER, &error) == LLM_OK && saving_put(s, &f, NULL, &error) == LLM_OK);
        unsigned char *copy = malloc(f.size);
        memcpy(copy, f.data, f.size);
        forged_seal(copy, f.size);
        CHECK(memcmp(copy, f.data, f.size) == 0);           /* the seal is the library's */
        for (int i = 0; i < FORGED_ROUNDS / 3; i++) {
            llm_source source = saving_source(copy, f.size);
            llm_saved_info info = LLM_INIT(llm_saved_info);
            memcpy(copy, f.data, f.size);
            forged_change(copy, f.size, &x);
            forged_seal(copy, f.size);
            uint64_t before = saving_hash(victim);
            llm_status status = llm_session_restore_from(victim, &source, i % 2 ? LLM_RESTORE_OTHER_MODEL : 0, &error);
            if (status < 0) {
                n_refused++;
                CHECK_MSG(status != LLM_E_INTERNAL && status != LLM_E_MEMORY && error.message[0] && saving_hash(victim) == before, "%s: '%s'", llm_status_name(status), error.message);
            } else {
                n_taken++;
                reply.max_tokens = 1 + i % 3;
                reply.sampler = i % 3 ? sampler : NULL;
                if (llm_session_n_tokens(victim) > 0)
                    CHECK(llm_session_generate(victim, &reply, &error) == LLM_OK);
                status = tiny_drain(victim, LLM_FOREVER, &error);
                CHECK_MSG(status == LLM_OK || status == LLM_E_NUMERIC, "%s: '%s'", llm_status_name(status), error.message);
                CHECK(llm_session_rewind(victim, llm_session_n_tokens(victim) / 2, &error) == LLM_OK);
                status = tiny_drain(victim, LLM_FOREVER, &error);
                CHECK_MSG(status == LLM_OK || status == LLM_E_NUMERIC, "%s: '%s'", llm_status_name(status), error.message);
            }
            llm_saved_get_info(model, &source, &info, &error);
        }
        free(copy);
        free(f.data);
        llm_session_free(s);
        llm_session_free(victim);
        llm_sampler_free(sampler);
    }
    llm_model_free(model);
    llm_engine_free(engine);
    printf("%d refused, %d taken\n", n_refused, n_taken);
    CHECK(n_refused > 100 && n_taken > 100);
    return TEST_DONE();
}
