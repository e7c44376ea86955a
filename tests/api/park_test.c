/* SPDX-License-Identifier: MIT
 * Memory given back: sessions parked by hand and by a trim, arenas closed; and contexts that slide. What goes on afterwards has the bits of what was never
 * parked, and of a fresh session with the tokens that are left. */
#include "saving.h"

#include <pthread.h>
#include <stdatomic.h>

static llm_engine *engine;
static llm_model *model;

#define OK(call) CHECK_MSG((call) == LLM_OK, "%s: %s", #call, error.message)

static uint64_t used(void)
{
    llm_engine_info info = LLM_INIT(llm_engine_info);
    return llm_engine_get_info(engine, &info, NULL) == LLM_OK ? info.memory_used : 0;
}

static llm_session *filled(size_t n, uint32_t seed, uint32_t flags)
{
    llm_error error;
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *s = NULL;
    llm_token *tokens = malloc(n * sizeof *tokens);
    desc.n_ctx = 600;
    desc.flags = flags;
    tiny_tokens(tokens, n, tiny_small.n_vocab, seed);
    OK(llm_session_create(model, &desc, &s, &error));
    OK(llm_session_append(s, tokens, n, 0, &error));
    OK(tiny_drain(s, LLM_FOREVER, &error));
    free(tokens);
    return s;
}

static void reply(llm_session *s, llm_sampler *sampler, int32_t n)
{
    llm_error error;
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    desc.seed = 3;
    desc.max_tokens = n;
    desc.flags = LLM_GENERATE_IGNORE_END;
    desc.sampler = sampler;
    OK(llm_session_generate(s, &desc, &error));
}

/* ---- park */

static void test_park(void)
{
    llm_error error;
    llm_session_info info = LLM_INIT(llm_session_info);
    for (uint32_t flags = 0; flags < 2; flags++) {
        llm_session *a = filled(500, 1, 0), *empty = tiny_session(model, 600, 0);
        llm_session_free(filled(500, 1, flags));            /* the pool's own tables grow now, and not while we measure */
        OK(llm_engine_trim(engine, UINT64_MAX, 0, NULL, &error));
        uint64_t before = used();
        llm_session *s = filled(500, 1, flags);             /* LLM_SESSION_RESERVE too */
        OK(llm_session_park(s, &error));
        OK(llm_engine_trim(engine, UINT64_MAX, 0, NULL, &error));
        uint64_t one = used() - before;
        llm_session *other = tiny_session(model, 600, 0);
        uint64_t none = used() - before - one;
        CHECK_MSG(one - none <= 500 * 8, "%llu bytes for 500 tokens parked", (unsigned long long)(one - none));
        printf("parked: %.2f bytes a token\n", (double)(one - none) / 500);
        CHECK(llm_session_state(s) == LLM_STATE_WORKING && llm_session_n_pending(s) == 500);
        CHECK(llm_session_get_info(s, &info, &error) == LLM_OK && info.flags == LLM_SESSION_ANEW && info.state_bytes == 0);
        OK(llm_session_park(s, &error));                    /* again, and an empty one */
        OK(llm_session_park(empty, &error));
        CHECK(llm_session_state(empty) == LLM_STATE_READY);
        OK(tiny_drain(s, 200, &error));
        CHECK(saving_hash(a) == saving_hash(s) && llm_session_get_info(s, &info, &error) == LLM_OK && info.flags == 0);
        llm_session_free(a);
        llm_session_free(s);
        llm_session_free(other);
        llm_session_free(empty);
    }
    /* in the middle of a reply, of a pass, and of a family */
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_sampler *sampler = NULL;
    recipe.mirostat = 2;
    recipe.temperature = 1;
    OK(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error));
    llm_session *a = filled(90, 2, 0), *b = filled(90, 2, 0), *fork = NULL;
    char x[600], y[600];
    size_t n = 0, m = 0;
    reply(a, sampler, 40);
    reply(b, sampler, 40);
    OK(tiny_drain(a, LLM_FOREVER, &error));
    OK(llm_session_fork(b, &fork, &error));
    for (int i = 0; llm_session_state(b) == LLM_STATE_WORKING; i++) {
        CHECK(llm_session_step(&b, 1, i % 3 ? 20 : LLM_FOREVER, 0, &error) >= 0);
        if (i % 7 == 0 && i < 200)
            OK(llm_session_park(b, &error));
        m += llm_session_read_text(b, y + m, sizeof y - m);
    }
    n = llm_session_read_text(a, x, sizeof x);
    m += llm_session_read_text(b, y + m, sizeof y - m);
    CHECK(saving_same_tokens(a, b) && n == m && memcmp(x, y, n) == 0);
    OK(llm_session_park(a, &error));
    OK(llm_session_rewind(a, 90, &error));
    OK(tiny_drain(a, LLM_FOREVER, &error));
    CHECK(tiny_logits_hash(a) == tiny_logits_hash(fork) && llm_session_state(b) == LLM_END_LENGTH);
    llm_session_free(a);
    llm_session_free(b);
    llm_session_free(fork);
    llm_sampler_free(sampler);
}

/* ---- trim */

static void test_trim(void)
{
    llm_error error;
    enum { N = 4 };
    llm_session *s[N], *working;
    uint64_t hash[N], freed = 0;
    for (int i = 0; i < N; i++)
        s[i] = filled(300, 10 + (uint32_t)i, 0);
    for (int i = 0; i < N; i++) {                           /* stepped in the order 2 0 3 1 */
        static const int order[N] = { 2, 0, 3, 1 };
        OK(llm_session_rewind(s[order[i]], 300, &error));
        OK(tiny_drain(s[order[i]], LLM_FOREVER, &error));
    }
    for (int i = 0; i < N; i++)
        hash[i] = saving_hash(s[i]);
    working = filled(300, 20, 0);
    OK(llm_session_append(working, (const llm_token[]){ 5 }, 1, 0, &error));
    uint64_t before = used();
    OK(llm_engine_trim(engine, 1, 0, &freed, &error));
    CHECK(freed > 0 && used() == before - freed);
    OK(llm_engine_trim(engine, UINT64_MAX, 0, &freed, &error));
    OK(llm_engine_trim(engine, UINT64_MAX, 0, &freed, &error));
    CHECK(freed == 0);
    for (int i = 0; i < N; i++)
        CHECK(llm_session_n_pending(s[i]) == 0);
    OK(llm_engine_trim(engine, 1, LLM_TRIM_PARK, &freed, &error));
    CHECK(freed > 40 * 128 && llm_session_n_pending(s[2]) == 300 && llm_session_n_pending(s[0]) == 0);
    OK(llm_engine_trim(engine, freed + 1, LLM_TRIM_PARK, &freed, &error));
    CHECK(llm_session_n_pending(s[0]) == 300 && llm_session_n_pending(s[3]) == 300 && llm_session_n_pending(s[1]) == 0);
    OK(llm_engine_trim(engine, UINT64_MAX, LLM_TRIM_PARK, NULL, &error));
    CHECK(llm_session_n_pending(s[1]) == 300 && llm_session_n_pending(working) == 1);
    CHECK(llm_engine_trim(engine, 1, 2, &freed, &error) == LLM_E_UNSUPPORTED);
    for (int i = 0; i < N; i++) {
        OK(tiny_drain(s[i], LLM_FOREVER, &error));
        CHECK(saving_hash(s[i]) == hash[i]);
        llm_session_free(s[i]);
    }
    OK(tiny_drain(working, LLM_FOREVER, &error));
    llm_session_free(working);
}

/* A thread that trims all the time changes nothing but the time of those who step. */
static _Atomic int trimming;

static void *trimmer(void *unused)
{
    llm_error error;
    (void)unused;
    while (atomic_load(&trimming))
        OK(llm_engine_trim(engine, UINT64_MAX, LLM_TRIM_PARK, NULL, &error));
    return NULL;
}

static void test_threads(void)
{
    llm_error error;
    pthread_t thread;
    llm_session *plain = filled(100, 30, 0);
    reply(plain, NULL, 100);
    OK(tiny_drain(plain, LLM_FOREVER, &error));
    atomic_store(&trimming, 1);
    if (!CHECK(pthread_create(&thread, NULL, trimmer, NULL) == 0))
        return;
    for (int i = 0; i < (TEST_EMULATED ? 2 : 10); i++) {
        llm_session *s = filled(100, 30, 0), *fork = NULL;
        OK(llm_session_fork(s, &fork, &error));
        reply(s, NULL, 100);
        OK(tiny_drain(s, LLM_FOREVER, &error));
        CHECK(saving_same_tokens(s, plain));
        llm_session_free(s);
        llm_session_free(fork);
    }
    atomic_store(&trimming, 0);
    pthread_join(thread, NULL);
    llm_session_free(plain);
}

/* ---- slide */

static llm_session *sliding(int32_t n_ctx, int32_t n_keep)
{
    llm_error error;
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *s = NULL;
    desc.n_ctx = n_ctx;
    desc.when_full = LLM_FULL_SLIDE;
    desc.n_keep = n_keep;
    OK(llm_session_create(model, &desc, &s, &error));
    return s;
}

/* What is there has the logits of a fresh session with the same tokens. */
static void check_fresh(llm_session *s)
{
    llm_error error;
    const llm_token *tokens;
    size_t n;
    llm_session *fresh = tiny_session(model, 600, 0);
    OK(llm_session_tokens(s, &tokens, &n, &error));
    OK(llm_session_append(fresh, tokens, n - llm_session_n_pending(s), 0, &error));
    OK(tiny_drain(fresh, LLM_FOREVER, &error));
    CHECK(tiny_logits_hash(fresh) == tiny_logits_hash(s));
    llm_session_free(fresh);
}

static void test_slide(void)
{
    llm_error error;
    enum { CTX = 100, KEEP = 10, DRAWN = 500 };
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_sampler *sampler = NULL;
    llm_token start[40], said[DRAWN];
    const llm_token *tokens;
    size_t n, n_said = 0, len = 0, cut_at = 0;
    static char text[DRAWN * 32], all[DRAWN * 32];
    saving f = { 0 };
    llm_session_info info = LLM_INIT(llm_session_info);
    tiny_tokens(start, 40, tiny_small.n_vocab, 50);
    recipe.mirostat = 2;
    recipe.temperature = 1;
    OK(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error));
    llm_session *s = sliding(CTX, KEEP), *b = sliding(CTX, KEEP);
    OK(llm_session_append(s, start, 40, 0, &error));
    reply(s, sampler, DRAWN);
    for (llm_status status = LLM_MORE; status == LLM_MORE;) {
        size_t slid, had = llm_session_n_tokens(s);
        OK(llm_session_get_info(s, &info, &error));
        slid = info.n_slid;
        status = llm_session_step(&s, 1, LLM_FOREVER, 0, &error);
        OK(llm_session_get_info(s, &info, &error));
        OK(llm_session_tokens(s, &tokens, &n, &error));
        CHECK(status >= 0 && memcmp(tokens, start, KEEP * sizeof *tokens) == 0);
        if (info.n_slid + n > slid + had)                   /* a token was drawn */
            said[n_said++] = tokens[n - 1];
        size_t tail = n - KEEP < n_said ? n - KEEP : n_said;
        CHECK(memcmp(tokens + n - tail, said + n_said - tail, tail * sizeof *said) == 0);       /* none is lost but from the front */
        len += llm_session_read_text(s, text + len, sizeof text - len);
        if (n_said % 97 == 0 && llm_session_n_pending(s) == 1)
            check_fresh(s);
        if (n_said == 260 && cut_at == 0) {
            OK(saving_put(s, &f, NULL, &error));
            cut_at = n_said;
        }
    }
    CHECK(llm_session_state(s) == LLM_END_LENGTH && n_said == DRAWN && info.n_slid > 400);
    len += llm_session_read_text(s, text + len, sizeof text - len);
    OK(llm_tokenizer_decode(llm_model_tokenizer(model), said, n_said, 0, all, sizeof all, &n, &error));
    CHECK_MSG(len >= n / 2 && len > 100, "%zu bytes of text, %zu decoded", len, n);      /* bytes that are no UTF-8 differ; see below */
    OK(saving_get(b, &f, LLM_RESTORE_NEED_STATE, &error));
    reply(b, sampler, (int32_t)(DRAWN - cut_at));
    while (llm_session_step(&b, 1, LLM_FOREVER, 0, &error) == LLM_MORE)
        llm_session_read_text(b, all, sizeof all);
    CHECK(llm_session_state(b) == LLM_END_LENGTH && saving_same_tokens(s, b));
    llm_session_free(s);
    llm_session_free(b);
    llm_sampler_free(sampler);
    free(f.data);
}

/* Text, letter by letter, and what happens if nobody reads. */
static void test_slide_text(void)
{
    llm_error error;
    const llm_token letters[4] = { TINY_A, TINY_B, TINY_C, TINY_B };
    llm_token script_tokens[400];
    char text[600];
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    for (int reads = 0; reads < 3; reads++) {
        tiny_script script = { script_tokens, 400, 0 };
        size_t len = 0;
        for (int i = 0; i < 400; i++)
            script_tokens[i] = letters[i % 4];
        llm_session *s = sliding(64, 5);
        const llm_token bos = TINY_BOS;
        OK(llm_session_append(s, &bos, 1, 0, &error));
        desc.on_logits = tiny_say;
        desc.user = &script;
        desc.max_tokens = 300;
        OK(llm_session_generate(s, &desc, &error));
        llm_status status;
        for (int i = 0; (status = llm_session_step(&s, 1, LLM_FOREVER, 0, &error)) == LLM_MORE; i++)
            if (reads == 2 || (reads == 1 && i % 20 == 0))
                len += llm_session_read_text(s, text + len, 5 + 30 * (size_t)(i / 20 % 2));
        CHECK(status == LLM_OK && llm_session_state(s) == (reads ? LLM_END_LENGTH : LLM_END_CONTEXT));
        for (size_t got = 1; got > 0; len += got)
            got = llm_session_read_text(s, text + len, sizeof text - len);
        CHECK_MSG(len == (reads ? 300 : 63), "%zu bytes", len);
        for (size_t i = 0; i < len; i++)
            CHECK(text[i] == "abcb"[i % 4]);
        llm_session_free(s);
    }
}

static void test_slide_append(void)
{
    llm_error error;
    llm_token tokens[300];
    const llm_token *there;
    size_t n;
    llm_session_info info = LLM_INIT(llm_session_info);
    tiny_tokens(tokens, 300, tiny_small.n_vocab, 60);
    llm_session *s = sliding(100, 10);
    OK(llm_session_append(s, tokens, 90, LLM_APPEND_SCORE, &error));
    OK(tiny_drain(s, LLM_FOREVER, &error));
    OK(llm_session_append(s, tokens + 90, 20, LLM_APPEND_SCORE, &error));       /* the older half of 80 goes */
    OK(llm_session_tokens(s, &there, &n, &error));
    CHECK(n == 70 && memcmp(there, tokens, 10 * sizeof *tokens) == 0 && memcmp(there + 10, tokens + 50, 60 * sizeof *tokens) == 0);
    CHECK(llm_session_get_info(s, &info, &error) == LLM_OK && info.n_slid == 40);
    OK(tiny_drain(s, LLM_FOREVER, &error));
    check_fresh(s);
    OK(llm_session_append(s, tokens + 110, 90, 0, &error));                     /* as many as ever fit: nothing old is left but what is kept */
    OK(llm_session_tokens(s, &there, &n, &error));
    CHECK(n == 100 && memcmp(there, tokens, 10 * sizeof *tokens) == 0 && memcmp(there + 10, tokens + 110, 90 * sizeof *tokens) == 0);
    OK(tiny_drain(s, LLM_FOREVER, &error));
    check_fresh(s);
    uint64_t hash = saving_hash(s);
    CHECK(llm_session_append(s, tokens, 91, 0, &error) == LLM_E_CONTEXT_FULL && saving_hash(s) == hash);
    CHECK(llm_session_sync(s, tokens, 101, 0, &error) == LLM_E_CONTEXT_FULL && saving_hash(s) == hash);
    OK(llm_session_append(s, NULL, 0, 0, &error));
    OK(llm_session_rewind(s, 0, &error));
    CHECK(llm_session_get_info(s, &info, &error) == LLM_OK && info.n_slid == 0);
    llm_session_free(s);
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    s = NULL;
    desc.n_ctx = 100;
    desc.n_keep = 51;
    CHECK(llm_session_create(model, &desc, &s, &error) == LLM_E_INVALID);
    desc.n_keep = -1;
    CHECK(llm_session_create(model, &desc, &s, &error) == LLM_E_INVALID);
    desc.n_keep = 0;
    desc.when_full = 2;
    CHECK(llm_session_create(model, &desc, &s, &error) == LLM_E_INVALID && !s);
}

static void all_tests(const tiny_shape *shape)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    desc.n_threads = 2;
    desc.n_chunk = 64;
    tiny_open(shape, &desc, &engine, &model);
    test_park();
    test_trim();
    test_threads();
    test_slide();
    test_slide_text();
    test_slide_append();
    llm_model_free(model);
    llm_engine_free(engine);
}

int main(void)
{
    tiny_shape windowed = tiny_small;
    windowed.window = 40;
    all_tests(&tiny_small);
    all_tests(&windowed);
    return TEST_DONE();
}
