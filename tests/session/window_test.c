/* SPDX-License-Identifier: MIT
 * Sliding windows give pages back: what a session holds stays bounded however long it goes on, its logits have the bits of the same program
 * with all positions kept, going back a little is free and going back further is right. With a window in every layer, and with layers beside
 * it that see everything. */
#include "../api/tiny.h"

#include "mixed.h"

enum { WINDOW = 48, CHUNK = 64, N_CTX = 1024 };
static const tiny_shape window_shape = { 2, 32, 64, 4, 2, N_CTX, 400, 11, WINDOW };

static llm_engine *window_engine;
static llm_model *window_kept, *window_all;                 /* the model, and the same that forgets nothing */

/* Of page class 0, the window's; of 1, if there is one, in *others. */
static uint32_t pages_in_use(const llm_model *model, uint32_t *others)
{
    const lm_pages *pages = &model->pools[LLM_STATE_TYPE_F16];
    uint32_t n[LM_MAX_PAGE_CLASSES] = { 0 };
    for (uint32_t c = 0; c < pages->n_classes; c++)
        for (uint32_t p = 0; p < pages->n_owners[c]; p++)
            n[c] += pages->owners[c][p] != 0;
    if (others)
        *others = n[1];
    return n[0];
}

static uint32_t pages_most(void)
{
    uint32_t most = lm_pages_most(WINDOW, N_CTX, CHUNK);
    CHECK(most * LM_PAGE_POSITIONS <= WINDOW + CHUNK + 3 * LM_PAGE_POSITIONS);
    return most;
}

static llm_session *open_session(llm_model *model, uint32_t flags)
{
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *s = NULL;
    llm_error error;
    desc.n_ctx = N_CTX;
    desc.flags = flags;
    if (!CHECK_MSG(llm_session_create(model, &desc, &s, &error) == LLM_OK, "%s", error.message))
        exit(1);
    return s;
}

static void put(llm_session *s, size_t n, uint32_t seed)
{
    static llm_token tokens[N_CTX];
    llm_error error;
    tiny_tokens(tokens, n, 400, seed);
    CHECK(llm_session_append(s, tokens, n, 0, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
}

/* A prompt of several windows, then ten windows of reply, beside a session that keeps all. */
static void test_bounded(uint32_t flags)
{
    llm_session *a = open_session(window_kept, flags), *b = open_session(window_all, 0);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_error error;
    uint32_t most = 0, allowed = pages_most();
    size_t n_compared = 0;
    reply.flags = LLM_GENERATE_IGNORE_END;
    reply.max_tokens = 10 * WINDOW;
    put(a, 250, 1);
    put(b, 250, 1);
    CHECK(tiny_logits_hash(a) != 0 && tiny_logits_hash(a) == tiny_logits_hash(b));
    CHECK(llm_session_generate(a, &reply, &error) == LLM_OK && llm_session_generate(b, &reply, &error) == LLM_OK);
    llm_status status;
    do {
        status = llm_session_step(&a, 1, LLM_FOREVER, 0, &error);
        CHECK(llm_session_step(&b, 1, LLM_FOREVER, 0, &error) == status);
        most = LM_MAX(most, pages_in_use(window_kept, NULL));
        n_compared += tiny_logits_hash(a) != 0;
        CHECK_MSG(tiny_logits_hash(a) == tiny_logits_hash(b), "other logits after %zu tokens", llm_session_n_tokens(a));
    } while (status == LLM_MORE);
    CHECK(status == LLM_OK && llm_session_n_tokens(a) == 250 + 10 * WINDOW);
    printf("window %d, chunk %d: at most %u of %u pages of %d, %u where all are kept; %zu logits compared\n", WINDOW, CHUNK, most, allowed, LM_PAGE_POSITIONS,
           pages_in_use(window_all, NULL), n_compared);
    CHECK_MSG(most <= allowed, "%u pages, %u expected", most, allowed);
    CHECK(pages_in_use(window_all, NULL) == lm_pages_count(250 + 10 * WINDOW - 1));
    llm_session_info info = LLM_INIT(llm_session_info);
    CHECK(llm_session_get_info(a, &info, &error) == LLM_OK);
    lm_backend *backend = window_kept->model->backend;
    const lm_program *program = window_kept->model->program;
    uint32_t others = 0;
    uint64_t bytes = pages_in_use(window_kept, &others) * backend->table->pool_page_cost(backend, program, LLM_STATE_TYPE_F16, 0);
    if (program->n_page_classes > 1) {
        CHECK(others == lm_pages_count(flags & LLM_SESSION_RESERVE ? N_CTX : 250 + 10 * WINDOW - 1));
        bytes += others * backend->table->pool_page_cost(backend, program, LLM_STATE_TYPE_F16, 1);
    }
    CHECK(info.state_bytes == bytes);
    llm_session_free(a);
    llm_session_free(b);
    CHECK(pages_in_use(window_kept, NULL) == 0);
}

/* Rewinds to `to` of 400 tokens: n_pending afterwards, and the logits of a session that was never anywhere else. */
static void check_rewind(uint32_t flags, size_t to, size_t n_pending)
{
    llm_session *a = open_session(window_kept, flags), *b = open_session(window_all, 0);
    llm_error error;
    put(a, 400, 3);
    CHECK(llm_session_rewind(a, to, &error) == LLM_OK);
    CHECK_MSG(llm_session_n_pending(a) == n_pending, "back to %zu: %zu are pending, not %zu", to, llm_session_n_pending(a), n_pending);
    put(a, 70, 4);
    put(b, 400, 3);
    CHECK(llm_session_rewind(b, to, &error) == LLM_OK && llm_session_n_pending(b) == (to != 0));
    put(b, 70, 4);
    CHECK_MSG(tiny_logits_hash(a) == tiny_logits_hash(b), "other logits after going back to %zu", to);
    llm_session_free(a);
    llm_session_free(b);
}

static void test_rewind(uint32_t flags)
{
    check_rewind(flags, 400, 1);
    check_rewind(flags, 399, 1);
    check_rewind(flags, 400 - LM_PAGE_SLACK + 1, 1);        /* the row at 400 - slack is taken in again: what it sees is there */
    check_rewind(flags, 150, 150);
    check_rewind(flags, 1, 1);
    check_rewind(flags, 0, 0);
    /* again and again: each goes a little further back */
    llm_session *s = open_session(window_kept, flags);
    llm_error error;
    size_t n_all = 0;
    put(s, 400, 3);
    for (size_t to = 399; to > 200; to--) {
        CHECK(llm_session_rewind(s, to, &error) == LLM_OK);
        size_t pending = llm_session_n_pending(s);
        CHECK(pending == 1 || pending == to);
        n_all += pending == to;
    }
    CHECK(n_all > 0);
    put(s, 1, 5);
    llm_session_free(s);
    CHECK(pages_in_use(window_kept, NULL) == 0);
}

static void test_sync(void)
{
    llm_session *a = open_session(window_kept, 0), *b = open_session(window_all, 0);
    static llm_token tokens[600];
    llm_error error;
    tiny_tokens(tokens, 600, 400, 6);
    for (size_t n = 600; n > 20; n -= 97) {                 /* the same text, changed earlier and earlier */
        tokens[n - 20] = (tokens[n - 20] + 1) % 400;
        CHECK(llm_session_sync(a, tokens, n, 0, &error) == LLM_OK && tiny_drain(a, LLM_FOREVER, &error) == LLM_OK);
        CHECK(llm_session_sync(b, tokens, n, 0, &error) == LLM_OK && tiny_drain(b, LLM_FOREVER, &error) == LLM_OK);
        CHECK(tiny_logits_hash(a) == tiny_logits_hash(b));
        CHECK(pages_in_use(window_kept, NULL) <= pages_most());
    }
    llm_session_free(a);
    llm_session_free(b);
}

/* Forks share the window, and no fork keeps a page of another alive. */
static void test_forks(uint32_t flags)
{
    enum { N = 5 };
    llm_session *s = open_session(window_kept, flags), *forks[N], *all[N];
    llm_error error;
    put(s, 300, 7);
    uint32_t before = pages_in_use(window_kept, NULL);
    for (int i = 0; i < N; i++) {
        llm_session *whole = open_session(window_all, 0);
        put(whole, 300, 7);
        CHECK(llm_session_fork(s, &forks[i], &error) == LLM_OK && llm_session_fork(whole, &all[i], &error) == LLM_OK);
        llm_session_free(whole);
    }
    CHECK(pages_in_use(window_kept, NULL) == before);
    for (int i = 0; i < N; i++) {
        put(forks[i], 30 + 60 * (size_t)i, 8 + (uint32_t)i);
        put(all[i], 30 + 60 * (size_t)i, 8 + (uint32_t)i);
        CHECK(tiny_logits_hash(forks[i]) == tiny_logits_hash(all[i]));
    }
    put(s, 400, 20);
    CHECK(pages_in_use(window_kept, NULL) <= (N + 1) * pages_most());
    for (int i = 0; i < N; i++) {
        llm_session_free(all[i]);
        llm_session_free(forks[i]);
    }
    CHECK(pages_in_use(window_kept, NULL) <= pages_most());
    llm_session_free(s);
    CHECK(pages_in_use(window_kept, NULL) == 0);
}

static void test_all(bool mixed)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_error error;
    tiny_file file = tiny_make(&window_shape);
    desc.n_threads = 1;
    desc.n_chunk = CHUNK;
    tiny_open(&window_shape, &desc, &window_engine, &window_kept);
    CHECK(tiny_load(window_engine, &file, &window_all, &error) == LLM_OK);
    free(file.data);
    if (mixed) {
        mixed_make(window_kept);
        mixed_make(window_all);
    }
    lm_program *program = window_all->model->program;
    for (uint32_t i = mixed; i < program->n_streams; i++) {
        CHECK(program->streams[i].keep == WINDOW);
        program->streams[i].keep = 0;                       /* before its first session */
    }
    test_bounded(0);
    if (!TEST_EMULATED) {                                   /* which pages are kept is the same on every processor */
        test_bounded(LLM_SESSION_RESERVE);
        test_rewind(0);
        test_rewind(LLM_SESSION_RESERVE);
        test_sync();
        test_forks(0);
        test_forks(LLM_SESSION_RESERVE);
    }
    llm_model_free(window_kept);
    llm_model_free(window_all);
    llm_engine_free(window_engine);
}

int main(void)
{
    if (!TEST_EMULATED)
        test_all(false);
    test_all(true);
    return TEST_DONE();
}
