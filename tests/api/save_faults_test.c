/* SPDX-License-Identifier: MIT
 * Saved sessions that were cut, bent, or for which something failed: a status each time, and the session as it was. */
#include "saving.h"

#include <stdatomic.h>

typedef struct ledger { _Atomic long long blocks, n_calls, fail_at; } ledger;

static void *ledger_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    ledger *l = user;
    void *base = NULL;
    (void)kind;
    if (atomic_fetch_add(&l->n_calls, 1) + 1 == atomic_load(&l->fail_at) || posix_memalign(&base, align < sizeof(void *) ? sizeof(void *) : align, size) != 0)
        return NULL;
    memset(base, 0xa5, size);
    atomic_fetch_add(&l->blocks, 1);
    return base;
}

static void ledger_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    ledger *l = user;
    (void)size;
    (void)align;
    (void)kind;
    atomic_fetch_sub(&l->blocks, 1);
    free(ptr);
}

static ledger memory;
static llm_engine *engine;
static llm_model *model;
static saving good;                     /* a session of 70 tokens: 66 taken in, scores, what mirostat remembers, a note */
static llm_session *victim;             /* it has a life of its own, which must go on */
static uint64_t victim_hash, good_hash;

static llm_session *make(uint32_t seed, size_t n)
{
    llm_token tokens[128];
    llm_error error;
    llm_session *s = tiny_session(model, 128, 0);
    tiny_tokens(tokens, n, tiny_small.n_vocab, seed);
    CHECK(llm_session_append(s, tokens, n, LLM_APPEND_SCORE, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
    return s;
}

static void prepare(void)
{
    llm_error error;
    llm_sampler *sampler = NULL;
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_save_desc desc = LLM_INIT(llm_save_desc);
    const llm_token last[4] = { 9, 8, 7, 6 };
    llm_session *s = make(1, 60);
    recipe.mirostat = 2;
    recipe.temperature = 1;
    CHECK(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error) == LLM_OK);
    reply.sampler = sampler;
    reply.max_tokens = 6;
    reply.flags = LLM_GENERATE_IGNORE_END;
    CHECK(llm_session_generate(s, &reply, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_rewind(s, 66, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_append(s, last, 4, LLM_APPEND_SCORE, &error) == LLM_OK);
    desc.note = "note";
    desc.note_len = 4;
    CHECK(saving_put(s, &good, &desc, &error) == LLM_OK);
    good_hash = saving_hash(s);
    llm_session_free(s);
    llm_sampler_free(sampler);
    victim = make(2, 40);
    victim_hash = saving_hash(victim);
    printf("a save of %zu bytes\n", good.size);
}

/* Refused with a message, and nothing changed. */
static void refused(const void *data, size_t size, llm_status a, llm_status b, const char *what, size_t i)
{
    llm_error error;
    llm_source source = saving_source(data, size);
    llm_status status = llm_session_restore_from(victim, &source, 0, &error);
    CHECK_MSG((status == a || status == b) && error.status == status && error.message[0], "%s %zu: %s '%s'", what, i, llm_status_name(status), error.message);
    CHECK_MSG(saving_hash(victim) == victim_hash, "%s %zu: the session has changed", what, i);
}

static void test_bytes(void)
{
    unsigned char *copy = malloc(good.size + 8);
    llm_error error;
    for (size_t i = 0; i < good.size; i++) {
        static const unsigned char flips[] = { 0x01, 0x80, 0xff };
        memcpy(copy, good.data, good.size);
        for (int k = 0; k < 3; k++) {
            copy[i] = good.data[i] ^ flips[k];
            refused(copy, good.size, LLM_E_FORMAT, i >= 8 && i < 12 ? LLM_E_VERSION : LLM_E_FORMAT, "flipped byte", i);
        }
    }
    for (size_t n = 0; n < good.size; n++) {                /* in a block of its own, so that a read beyond it is seen */
        unsigned char *cut = malloc(n + 1);
        memcpy(cut, good.data, n);
        refused(cut, n, LLM_E_FORMAT, LLM_E_FORMAT, "cut to", n);
        free(cut);
    }
    memcpy(copy, good.data, good.size);
    memset(copy + good.size, 0, 8);
    refused(copy, good.size + 8, LLM_E_FORMAT, LLM_E_FORMAT, "longer by", 8);
    refused(copy, good.size + 1, LLM_E_FORMAT, LLM_E_FORMAT, "longer by", 1);
    free(copy);
    /* after all that it still works, and the good one is good */
    CHECK(llm_session_rewind(victim, 40, &error) == LLM_OK && tiny_drain(victim, LLM_FOREVER, &error) == LLM_OK && saving_hash(victim) == victim_hash);
}

/* ---- what fails on the way */

static void test_allocations(void)
{
    llm_error error;
    int n_saved = 0, n_restored = 0;
    saving f = { 0 };
    for (int how = 0; how < 2; how++)
        for (long long n = 1;; n++) {
            llm_session_desc desc = LLM_INIT(llm_session_desc);
            llm_session *s = NULL;
            desc.flags = how ? LLM_SESSION_RESERVE : 0;
            desc.n_ctx = 128;
            CHECK(llm_session_create(model, &desc, &s, &error) == LLM_OK);
            uint64_t before = saving_hash(s);
            atomic_store(&memory.fail_at, atomic_load(&memory.n_calls) + n);
            llm_status status = saving_get(s, &good, LLM_RESTORE_NEED_STATE, &error);
            atomic_store(&memory.fail_at, 0);
            CHECK_MSG(status == LLM_OK || (status == LLM_E_MEMORY && saving_hash(s) == before), "allocation %lld: %s", n, error.message);
            CHECK(saving_get(s, &good, LLM_RESTORE_NEED_STATE, &error) == LLM_OK && saving_hash(s) == good_hash);
            n_restored++;
            if (status == LLM_OK) {
                llm_session_free(s);
                break;
            }
            status = LLM_E_MEMORY;
            for (long long k = 1; n == 1 && status != LLM_OK; k++) {
                atomic_store(&memory.fail_at, atomic_load(&memory.n_calls) + k);
                status = saving_put(s, &f, NULL, &error);
                atomic_store(&memory.fail_at, 0);
                CHECK_MSG((status == LLM_OK || status == LLM_E_MEMORY) && saving_hash(s) == good_hash, "allocation %lld of a save: %s", k, error.message);
                n_saved++;
            }
            llm_session_free(s);
        }
    free(f.data);
    printf("%d restores and %d saves with a failing allocation\n", n_restored - 2, n_saved - 2);
}

typedef struct archive { long long n_calls, fail_at; } archive;

static llm_status archive_read(void *user, uint64_t offset, void *out, size_t n)
{
    archive *a = user;
    if (++a->n_calls == a->fail_at || offset > good.size || n > good.size - offset)
        return LLM_E_IO;
    memcpy(out, good.data + offset, n);
    return LLM_OK;
}

static void test_io(void)
{
    llm_error error;
    for (long long n = 1;; n++) {                           /* reads */
        archive a = { 0, n };
        llm_reader reader = LLM_INIT(llm_reader);
        llm_source source = LLM_INIT(llm_source);
        llm_session *s = make(2, 40);
        reader.user = &a;
        reader.size = good.size;
        reader.read = archive_read;
        source.kind = LLM_SOURCE_READER;
        source.reader = &reader;
        llm_status status = llm_session_restore_from(s, &source, 0, &error);
        CHECK_MSG(status == LLM_OK ? saving_hash(s) == good_hash : status == LLM_E_IO && saving_hash(s) == victim_hash, "read %lld: %s", n, error.message);
        llm_session_free(s);
        if (status == LLM_OK)
            break;
    }
    for (long long n = 1;; n++) {                           /* writes */
        saving f = { .fail_at = n };
        llm_status status = saving_put(victim, &f, NULL, &error);
        CHECK_MSG((status == LLM_OK || status == LLM_E_IO) && saving_hash(victim) == victim_hash, "write %lld: %s", n, error.message);
        free(f.data);
        if (status == LLM_OK)
            break;
    }
}

static llm_status ask_again(void *user, const void *data, size_t n)
{
    llm_session *s = *(llm_session **)user;
    llm_error error;
    (void)data;
    (void)n;
    CHECK(llm_session_append(s, NULL, 0, 0, &error) == LLM_E_BUSY && llm_session_n_tokens(s) == 40);
    return LLM_OK;
}

static void test_busy(void)
{
    llm_error error;
    llm_writer writer = LLM_INIT(llm_writer);
    llm_sink sink = LLM_INIT(llm_sink);
    writer.user = &victim;
    writer.write = ask_again;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    CHECK(llm_session_save_to(victim, &sink, NULL, &error) == LLM_OK);
}

int main(void)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_allocator allocator = LLM_INIT(llm_allocator);
    allocator.user = &memory;
    allocator.allocate = ledger_allocate;
    allocator.release = ledger_release;
    desc.allocator = &allocator;
    desc.n_threads = 1;
    tiny_shape shape = tiny_small;
    shape.n_embd = 16;                                      /* few bytes, so that each can be bent */
    shape.n_head = 2;
    shape.n_head_kv = 1;
    tiny_open(&shape, &desc, &engine, &model);
    prepare();
    test_busy();
    test_bytes();
    test_allocations();
    test_io();
    llm_session_free(victim);
    llm_model_free(model);
    llm_engine_free(engine);
    CHECK_MSG(atomic_load(&memory.blocks) == 0, "%lld blocks leak", (long long)atomic_load(&memory.blocks));
    free(good.data);
    return TEST_DONE();
}
