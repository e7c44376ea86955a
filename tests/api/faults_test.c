/* SPDX-License-Identifier: MIT
 * The n-th allocation fails, for every n, until a run passes untouched: load, generate, fork, rewind, free. A status each time, nothing
 * leaked, nothing half-changed; what failed for want of memory is mended and tried again. Then memory limits and hosts' allocators. */
#include "tiny.h"

#include <stdatomic.h>

typedef struct ledger { _Atomic long long bytes, blocks, n_calls, fail_at; _Atomic int misaligned, wrong_size; int keep_failing; } ledger;

/* The block's facts stand in front of it, so that a release with other ones is noticed. */
typedef struct ledger_head { size_t size, align, offset; int32_t kind; uint32_t mark; } ledger_head;

static void *ledger_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    ledger *l = user;
    long long call = atomic_fetch_add(&l->n_calls, 1) + 1, fail_at = atomic_load(&l->fail_at);
    if (fail_at && (call == fail_at || (l->keep_failing && call > fail_at)))
        return NULL;
    size_t offset = (sizeof(ledger_head) + align - 1) / align * align;
    void *base = NULL;
    if (posix_memalign(&base, align < sizeof(void *) ? sizeof(void *) : align, offset + size) != 0)
        return NULL;
    char *block = (char *)base + offset;
    ledger_head head = { size, align, offset, kind, 0x6b6f6c62 };
    memcpy(block - sizeof head, &head, sizeof head);
    memset(block, 0xa5, size);
    atomic_fetch_add(&l->bytes, (long long)size);
    atomic_fetch_add(&l->blocks, 1);
    return block;
}

static void ledger_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    ledger *l = user;
    ledger_head head;
    memcpy(&head, (char *)ptr - sizeof head, sizeof head);
    if (head.mark != 0x6b6f6c62 || head.size != size || head.align != align || head.kind != kind)
        atomic_fetch_add(&l->wrong_size, 1);
    atomic_fetch_sub(&l->bytes, (long long)size);
    atomic_fetch_sub(&l->blocks, 1);
    free((char *)ptr - head.offset);
}

static tiny_file file;
static uint64_t good_hash;

/* One life of an engine. Counts failures; goes on after mending where the API says how. Returns 1 if all went through. */
static int live(ledger *l, int *n_failed)
{
    llm_allocator allocator = LLM_INIT(llm_allocator);
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    llm_model *model = NULL;
    llm_session *s = NULL, *fork = NULL;
    llm_sampler *sampler = NULL;
    llm_tokenizer *tokenizer = NULL;
    llm_error error;
    llm_status status;
    llm_token tokens[100];
    int done = 0;
    allocator.user = l;
    allocator.allocate = ledger_allocate;
    allocator.release = ledger_release;
    desc.allocator = &allocator;
    desc.n_threads = 1;
    desc.n_chunk = 32;
    tiny_tokens(tokens, 100, tiny_small.n_vocab, 4);
#define MUST(call)                                                                                                             \
    do {                                                                                                                       \
        status = (call);                                                                                                       \
        if (status < 0) {                                                                                                      \
            CHECK_MSG(status == LLM_E_MEMORY && error.status == status && error.message[0], "%s: %s", #call, error.message);   \
            (*n_failed)++;                                                                                                     \
            status = (call);                /* the same once more: nothing was half-changed */                                 \
            if (status < 0)                                                                                                    \
                goto out;                                                                                                      \
        }                                                                                                                      \
    } while (0)
    MUST(llm_engine_create(LLM_ABI, &desc, &engine, &error));
    MUST(tiny_load(engine, &file, &model, &error));
    llm_source source = LLM_INIT(llm_source);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file.data;
    source.data_len = file.size;
    MUST(llm_tokenizer_load(engine, &source, &tokenizer, &error));
    const llm_source *part = &source;
    llm_estimate_info estimate = LLM_INIT(llm_estimate_info);
    MUST(llm_model_estimate(engine, &part, 1, NULL, NULL, &estimate, &error));
    MUST(llm_session_create(model, NULL, &s, &error));
    MUST(llm_session_append_text(s, "hello world hello", LLM_NUL, 0, &error));
    MUST(llm_session_append(s, tokens, 100, LLM_APPEND_SCORE, &error));
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    recipe.temperature = 1;
    recipe.dry_multiplier = 0.5f;
    recipe.adaptive_target = 0.4f;
    MUST(llm_sampler_create(tokenizer, &recipe, &sampler, &error));
    for (int k = 0; k < 2; k++) {
        llm_session *stepped;
        if (k == 1)
            MUST(llm_session_fork(s, &fork, &error));
        stepped = k ? fork : s;
        if (k == 1)
            MUST(llm_session_append(fork, tokens, 3, 0, &error));
        llm_generate_desc reply = LLM_INIT(llm_generate_desc);
        llm_str stop = { "END", 3 };
        reply.max_tokens = 10;
        reply.flags = LLM_GENERATE_IGNORE_END | LLM_GENERATE_SCORE;
        reply.sampler = sampler;
        reply.stops = &stop;
        reply.n_stops = 1;
        MUST(llm_session_generate(stepped, &reply, &error));
        size_t begin = llm_session_n_tokens(stepped);
        while ((status = llm_session_step(&stepped, 1, LLM_FOREVER, 0, &error)) != LLM_OK) {
            if (status == LLM_MORE)
                continue;
            CHECK_MSG(status == LLM_E_MEMORY && llm_session_state(stepped) == status, "%s", error.message);
            if (++*n_failed > 3)
                goto out;
            CHECK(llm_session_append(stepped, tokens, 1, 0, &error) == LLM_E_STATE);
            CHECK(llm_session_step(&stepped, 1, LLM_FOREVER, 0, &error) == LLM_E_MEMORY);       /* until it is mended */
            size_t n = llm_session_n_tokens(stepped);
            MUST(llm_session_rewind(stepped, n, &error));
            reply.max_tokens = 10 - (int32_t)(n - begin);
            if (reply.max_tokens > 0)
                MUST(llm_session_generate(stepped, &reply, &error));
        }
        CHECK(llm_session_state(stepped) == LLM_END_LENGTH);
    }
    const llm_token *all;
    const float *scores;
    size_t n;
    MUST(llm_session_scores(fork, &scores, &n, &error));
    llm_token_score best[3];
    MUST(llm_session_best(fork, best, 3, &n, &error));
    if (CHECK(llm_session_tokens(fork, &all, &n, &error) == LLM_OK)) {
        uint64_t hash = tiny_hash(all, n * sizeof *all, tiny_logits_hash(fork));
        if (good_hash == 0)
            good_hash = hash;
        CHECK_MSG(hash == good_hash, "another outcome after %d failures, %zu tokens", *n_failed, n);
    }
    done = 1;
out:
    llm_engine_free(engine);                                /* in an unusual order */
    llm_session_free(s);
    llm_sampler_free(sampler);
    llm_model_free(model);
    llm_tokenizer_free(tokenizer);
    llm_session_free(fork);
    return done;
}

static void test_each(int keep_failing)
{
    int n_lives = 0;
    for (long long n = 0;; n++) {
        ledger l = { .keep_failing = keep_failing };
        int n_failed = 0;
        atomic_init(&l.fail_at, n);
        int done = live(&l, &n_failed);
        CHECK_MSG(atomic_load(&l.blocks) == 0 && atomic_load(&l.bytes) == 0, "failing %lld: %lld blocks of %lld bytes leak", n, (long long)atomic_load(&l.blocks),
                  (long long)atomic_load(&l.bytes));
        CHECK_MSG(atomic_load(&l.wrong_size) == 0, "failing %lld: a block was released with another size, alignment or kind", n);
        if (n == 0 || !keep_failing)
            CHECK_MSG(done, "failing %lld once: the second try failed too", n);
        n_lives++;
        if (n > 0 && atomic_load(&l.n_calls) < n)           /* none has failed; where one did and nobody said so, it could be done without */
            break;
        if (!CHECK(n < 100000))
            break;
    }
    printf("%d lives with one allocation failing%s\n", n_lives - 2, keep_failing ? ", and all after it" : "");
}

/* A limit is kept to the byte, and says so. */
static void test_limit(void)
{
    for (uint64_t limit = 1000; limit < 100000000; limit = limit * 5 / 4) {
        ledger l = { .keep_failing = 0 };
        llm_allocator allocator = LLM_INIT(llm_allocator);
        llm_engine_desc desc = LLM_INIT(llm_engine_desc);
        llm_engine *engine = NULL;
        llm_model *model = NULL;
        llm_session *s = NULL;
        llm_error error;
        llm_engine_info info = LLM_INIT(llm_engine_info);
        allocator.user = &l;
        allocator.allocate = ledger_allocate;
        allocator.release = ledger_release;
        desc.allocator = &allocator;
        desc.memory_limit = limit;
        desc.n_threads = 1;
        llm_status status = llm_engine_create(LLM_ABI, &desc, &engine, &error);
        if (status == LLM_OK)
            status = tiny_load(engine, &file, &model, &error);
        if (status == LLM_OK)
            status = llm_session_create(model, NULL, &s, &error);
        if (status == LLM_OK)
            status = llm_session_append_text(s, "hello", LLM_NUL, 0, &error);
        if (status == LLM_OK)
            status = tiny_drain(s, LLM_FOREVER, &error);
        CHECK_MSG(status == LLM_OK || status == LLM_E_MEMORY, "%s", error.message);
        if (engine && CHECK(llm_engine_get_info(engine, &info, &error) == LLM_OK))
            CHECK(info.memory_peak <= limit && info.memory_used == (uint64_t)atomic_load(&l.bytes));
        llm_session_free(s);
        llm_model_free(model);
        llm_engine_free(engine);
        CHECK(atomic_load(&l.blocks) == 0);
        if (status == LLM_OK)
            return;
    }
    CHECK(!"no limit was enough");
}

/* The same for grammars: what is made of the vocabulary and of the text, then masks and spans while a reply is drawn, which is drawn anew where it
 * failed. The tables of masks are the grammar's and are there already then. */
static int grammar_live(ledger *l, int *n_failed, uint64_t *good)
{
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":6},\"kin\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},"
                                 "\"maxItems\":2}},\"required\":[\"name\"],\"additionalProperties\":false}";
    llm_allocator allocator = LLM_INIT(llm_allocator);
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_engine *engine = NULL;
    llm_model *model = NULL;
    llm_session *s = NULL;
    llm_grammar *grammars[2] = { NULL, NULL };
    llm_sampler *sampler = NULL;
    llm_error error;
    llm_status status;
    int done = 0;
    allocator.user = l;
    allocator.allocate = ledger_allocate;
    allocator.release = ledger_release;
    desc.allocator = &allocator;
    desc.n_threads = 1;
    long long fail_at = atomic_exchange(&l->fail_at, 0);
    MUST(llm_engine_create(LLM_ABI, &desc, &engine, &error));
    MUST(tiny_load(engine, &file, &model, &error));
    MUST(llm_session_create(model, NULL, &s, &error));
    MUST(llm_session_append_text(s, "hello world", LLM_NUL, 0, &error));
    atomic_store(&l->fail_at, fail_at ? atomic_load(&l->n_calls) + fail_at : 0);            /* from here on */
    for (int i = 0; i < 2; i++)
        MUST(llm_grammar_create(llm_model_tokenizer(model), LLM_GRAMMAR_JSON_SCHEMA, i ? LLM_GRAMMAR_COMPACT : 0, schema, LLM_NUL, &grammars[i], &error));
    recipe.temperature = 3;
    recipe.grammar = grammars[1];
    MUST(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error));
    reply.max_tokens = 40;
    reply.seed = 11;
    reply.sampler = sampler;
    size_t begin = llm_session_n_tokens(s);
    MUST(llm_session_generate(s, &reply, &error));
    while ((status = llm_session_step(&s, 1, LLM_FOREVER, 0, &error)) != LLM_OK) {
        if (status == LLM_MORE)
            continue;
        CHECK_MSG(status == LLM_E_MEMORY && llm_session_state(s) == status, "%s", error.message);
        if (++*n_failed > 3)
            goto out;
        MUST(llm_session_rewind(s, begin, &error));
        MUST(llm_session_generate(s, &reply, &error));
    }
    const llm_token *all;
    size_t n;
    MUST(llm_session_tokens(s, &all, &n, &error));
    uint64_t hash = tiny_hash(all, n * sizeof *all, 1);
    *good = *good ? *good : hash;
    CHECK_MSG(hash == *good, "another reply after %d failures, %zu tokens", *n_failed, n);
    done = 1;
out:
    llm_model_free(model);                                  /* before the grammars, which have its tree */
    llm_engine_free(engine);
    llm_session_free(s);
    llm_sampler_free(sampler);
    llm_grammar_free(grammars[0]);
    llm_grammar_free(grammars[1]);
    return done;
}

static void test_grammars(int keep_failing)
{
    uint64_t good = 0;
    for (long long n = 0;; n++) {
        ledger l = { .keep_failing = keep_failing };
        int n_failed = 0;
        atomic_init(&l.fail_at, n);
        int done = grammar_live(&l, &n_failed, &good);
        CHECK_MSG(atomic_load(&l.blocks) == 0 && atomic_load(&l.wrong_size) == 0, "failing %lld: %lld blocks leak", n, (long long)atomic_load(&l.blocks));
        CHECK_MSG(done || (n > 0 && keep_failing), "failing %lld: the second try failed too", n);
        if ((n > 0 && atomic_load(&l.n_calls) < atomic_load(&l.fail_at)) || !CHECK(n < 100000)) {
            printf("%lld lives of grammars with one allocation failing%s\n", n, keep_failing ? ", and all after it" : "");
            break;
        }
    }
}

int main(void)
{
    tiny_shape windowed = tiny_small;
    windowed.window = 12;
    file = tiny_make(&tiny_small);
    test_each(0);
    test_each(1);
    test_grammars(0);
    test_grammars(1);
    test_limit();
    free(file.data);
    file = tiny_make(&windowed);                            /* pages come and go; in the hostile build, whose pages are small, all the time */
    good_hash = 0;
    test_each(0);
    free(file.data);
    return TEST_DONE();
}
