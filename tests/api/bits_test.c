/* SPDX-License-Identifier: MIT
 * How steps are cut and sessions mixed never changes a bit: budgets, chunks, threads, company, order of pages, arenas. */
#include "tiny.h"

#include <time.h>

enum { N_PROMPT = 180, N_REPLY = 12, N_SESSIONS = 4 };
static const tiny_shape shape = { 2, 64, 128, 4, 2, 512, 500, 7, 0 };

typedef struct outcome { uint64_t logits, tokens; } outcome;

static llm_session *start(llm_model *model, int which)
{
    llm_error error;
    llm_token tokens[N_PROMPT];
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    static const int32_t types[3] = { LLM_STATE_TYPE_F16, LLM_STATE_TYPE_F32, LLM_STATE_TYPE_INT8 };
    size_t n = (size_t)(N_PROMPT - which * 41);
    llm_session *s = tiny_session(model, 0, types[which % 3]);
    tiny_tokens(tokens, n, shape.n_vocab, (uint32_t)which + 1);
    desc.max_tokens = N_REPLY;
    desc.flags = LLM_GENERATE_IGNORE_END;
    CHECK(llm_session_append(s, tokens, n, 0, &error) == LLM_OK && llm_session_generate(s, &desc, &error) == LLM_OK);
    return s;
}

static outcome outcome_of(llm_session *s)
{
    const llm_token *tokens;
    size_t n;
    outcome o = { tiny_logits_hash(s), 0 };
    CHECK(llm_session_state(s) == LLM_END_LENGTH);
    if (CHECK(llm_session_tokens(s, &tokens, &n, NULL) == LLM_OK))
        o.tokens = tiny_hash(tokens, n * sizeof *tokens, 1);
    return o;
}

static outcome wanted[N_SESSIONS];

static void check_outcome(llm_session *s, int which, const char *what, int number)
{
    outcome o = outcome_of(s);
    CHECK_MSG(o.logits == wanted[which].logits, "session %d, %s %d: other logits", which, what, number);
    CHECK_MSG(o.tokens == wanted[which].tokens, "session %d, %s %d: other tokens", which, what, number);
    llm_session_free(s);
}

static void run_together(llm_session **s, size_t n, int64_t budget_us)
{
    llm_error error;
    llm_status status;
    do
        status = llm_session_step(s, n, budget_us, 0, &error);
    while (status == LLM_MORE);
    CHECK_MSG(status == LLM_OK, "%s", error.message);
}

static void test_engine(int n_threads, int n_chunk, int tier)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine;
    llm_model *model;
    llm_session *s[N_SESSIONS];
    llm_error error;
    desc.n_threads = n_threads;
    desc.n_chunk = n_chunk;
    desc.cpu_tier = tier;
    tiny_open(&shape, &desc, &engine, &model);
    for (int i = 0; i < N_SESSIONS; i++) {
        s[0] = start(model, i);
        run_together(s, 1, LLM_FOREVER);
        check_outcome(s[0], i, "chunk", n_chunk);
    }
    static const int64_t budgets[] = { 1, 50, 130, 1000, LLM_FOREVER };
    for (size_t b = TEST_EMULATED ? 2 : 0; b < sizeof budgets / sizeof *budgets; b += TEST_EMULATED ? 2 : 1) {
        for (int i = 0; i < N_SESSIONS; i++)
            s[i] = start(model, i);
        run_together(s, N_SESSIONS, budgets[b]);            /* one pass for all of one state type */
        for (int i = 0; i < N_SESSIONS; i++)
            check_outcome(s[i], i, "together, budget", (int)budgets[b]);
        for (int i = 0; i < N_SESSIONS; i++)
            s[i] = start(model, i);
        for (int busy = 1, round = 0; busy; round++) {      /* in turn, in changing company: passes are paused and dropped */
            busy = 0;
            for (int i = 0; i < N_SESSIONS; i++) {
                llm_session *some[2] = { s[i], s[(i + 1 + round % 3) % N_SESSIONS] };
                llm_status status = llm_session_step(some, round % 5 == 0 ? 2 : 1, budgets[b], 0, &error);
                CHECK(status >= 0);
                busy |= status == LLM_MORE;
            }
            for (int i = 0; i < N_SESSIONS; i++)
                busy |= llm_session_state(s[i]) == LLM_STATE_WORKING;
        }
        for (int i = 0; i < N_SESSIONS; i++)
            check_outcome(s[i], i, "in turn, budget", (int)budgets[b]);
    }
    llm_model_free(model);
    llm_engine_free(engine);
}

/* Sessions that come and go leave the pool's free pages in disorder; what stands in them is junk. */
static void test_shuffled_pages(void)
{
    llm_engine *engine;
    llm_model *model;
    llm_error error;
    llm_session *junk[24], *s[1];
    llm_token tokens[300];
    tiny_open(&shape, NULL, &engine, &model);
    tiny_tokens(tokens, 300, shape.n_vocab, 99);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 24; i++) {
            junk[i] = tiny_session(model, 0, i & 1);
            CHECK(llm_session_append(junk[i], tokens, (size_t)(20 + 37 * i % 280), 0, &error) == LLM_OK && tiny_drain(junk[i], LLM_FOREVER, &error) == LLM_OK);
        }
        for (int i = 0; i < 24; i++) {                      /* in a scattered order */
            int k = (i * 7 + round) % 24;
            llm_session_free(junk[k]);
            junk[k] = NULL;
            if (i == 12)
                for (int w = 0; w < N_SESSIONS; w++) {
                    s[0] = start(model, w);
                    run_together(s, 1, LLM_FOREVER);
                    check_outcome(s[0], w, "shuffled pages", round);
                }
        }
    }
    llm_model_free(model);
    llm_engine_free(engine);
}

/* Four sessions stepped in turn with a small budget: all get on, none waits for another to end, fewer arenas than sessions too. */
static void test_in_turn(int n_arenas)
{
    static const tiny_shape big = { 4, 256, 512, 4, 2, 512, 500, 7, 0 };
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine;
    llm_model *model;
    llm_error error;
    llm_session *s[N_SESSIONS];
    llm_token tokens[400];
    int first_done = 0;
    desc.n_arenas = n_arenas;
    tiny_open(&big, &desc, &engine, &model);
    tiny_tokens(tokens, 400, big.n_vocab, 2);
    for (int i = 0; i < N_SESSIONS; i++) {
        s[i] = tiny_session(model, 0, 0);
        CHECK(llm_session_append(s[i], tokens, 400, 0, &error) == LLM_OK);
    }
    for (int round = 0, busy = 1; busy && CHECK(round < 100000); round++) {
        busy = 0;
        for (int i = 0; i < N_SESSIONS; i++) {
            llm_status status = llm_session_step(&s[i], 1, 500, 0, &error);
            CHECK(status >= 0);
            busy |= status == LLM_MORE;
            if (status == LLM_OK && !first_done)
                first_done = round;
        }
        if (!busy && n_arenas == 4)                         /* they ended together */
            CHECK_MSG(first_done > 2 && round <= 2 * first_done + 4, "first in round %d, last in round %d", first_done, round);
    }
    uint64_t hash = tiny_logits_hash(s[0]);
    for (int i = 0; i < N_SESSIONS; i++) {
        CHECK(tiny_logits_hash(s[i]) == hash);
        llm_session_free(s[i]);
    }
    llm_model_free(model);
    llm_engine_free(engine);
}

/* A pass of more sessions than one holds, and more than a chunk's rows. */
static void test_many(int n_chunk)
{
    enum { MANY = 150 };
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine;
    llm_model *model;
    llm_error error;
    llm_session *s[MANY];
    uint64_t alone[3];
    llm_token tokens[20];
    desc.n_chunk = n_chunk;
    tiny_open(&shape, &desc, &engine, &model);
    tiny_tokens(tokens, 20, shape.n_vocab, 4);
    for (int i = 0; i < MANY; i++) {
        s[i] = tiny_session(model, 64, 0);
        CHECK(llm_session_append(s[i], tokens + i % 3, 7, LLM_APPEND_SCORE, &error) == LLM_OK);
        if (i < 3)
            CHECK(tiny_drain(s[i], LLM_FOREVER, &error) == LLM_OK && (alone[i] = tiny_logits_hash(s[i])) != 0);
    }
    for (int steps = 1;; steps++) {
        llm_status status = llm_session_step(s, MANY, LLM_FOREVER, 0, &error);
        if (status == LLM_OK || !CHECK(status == LLM_MORE && steps < 2000))
            break;
    }
    for (int i = 0; i < MANY; i++) {
        CHECK_MSG(tiny_logits_hash(s[i]) == alone[i % 3], "session %d", i);
        llm_session_free(s[i]);
    }
    llm_model_free(model);
    llm_engine_free(engine);
}

int main(void)
{
    llm_engine *engine;
    llm_model *model;
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    desc.n_threads = 1;
    tiny_open(&shape, &desc, &engine, &model);
    for (int i = 0; i < N_SESSIONS; i++) {
        llm_session *s = start(model, i);
        run_together(&s, 1, LLM_FOREVER);
        wanted[i] = outcome_of(s);
        llm_session_free(s);
    }
    llm_model_free(model);
    llm_engine_free(engine);
    static const int chunks[] = { 1, 7, 64, 512 };
    for (int i = TEST_EMULATED; i < (TEST_EMULATED ? 2 : 4); i++)
        test_engine(i % 3 + 1, chunks[i], 0);
    test_engine(2, 64, LLM_CPU_REFERENCE);
    if (!TEST_EMULATED) {                                   /* pages and turns are the same on every processor */
        test_shuffled_pages();
        test_in_turn(4);
        test_in_turn(2);
        test_many(512);
        test_many(5);
    }
    return TEST_DONE();
}
