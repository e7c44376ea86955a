/* SPDX-License-Identifier: MIT
 * Many threads at once, cancelling from another one, second callers, calls from inside callbacks. */
#include "tiny.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#if TEST_EMULATED
static const tiny_shape shape = { 2, 64, 192, 4, 2, 1024, 600, 3, 0 };
#else
static const tiny_shape shape = { 4, 256, 768, 8, 4, 1024, 600, 3, 0 };
#endif
static llm_engine *engine;
static llm_model *model;
static llm_token prompt[700];

static double now_ms(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void sleep_ms(double ms)
{
    struct timespec t = { 0, (long)(ms * 1e6) };
    nanosleep(&t, NULL);
}

/* ---- cancel -------------------------------------------------------------------------------------------------------------- */

typedef struct canceller { llm_session *session; double after_ms; double at; } canceller;

static void *canceller_run(void *arg)
{
    canceller *c = arg;
    sleep_ms(c->after_ms);
    c->at = now_ms();
    llm_session_cancel(c->session);
    return NULL;
}

static void test_cancel(void)
{
    enum { ROUNDS = TEST_EMULATED ? 4 : 12 };
    llm_error error;
    double worst = 0;
    int in_chunk = 0;
    for (int round = 0; round < ROUNDS; round++) {
        llm_session *s = tiny_session(model, 0, 0), *other = tiny_session(model, 0, 0);
        llm_session *both[2] = { other, s };
        size_t n = 1 + (size_t)(round & 1);
        canceller c = { s, 0.5 + round * 0.4, 0 };
        pthread_t thread;
        CHECK(llm_session_append(s, prompt, 700, 0, &error) == LLM_OK && llm_session_append(other, prompt, 600, 0, &error) == LLM_OK);
        pthread_create(&thread, NULL, canceller_run, &c);
        llm_status status;
        do
            status = llm_session_step(both + (2 - n), n, LLM_FOREVER, 0, &error);
        while (status == LLM_MORE && llm_session_state(s) == LLM_STATE_WORKING);
        double end = now_ms();
        pthread_join(thread, NULL);
        if (llm_session_state(s) == LLM_END_CANCELLED) {
            worst = end - c.at > worst ? end - c.at : worst;
            in_chunk += llm_session_n_pending(s) == 700;
            CHECK(llm_session_n_tokens(s) == 700 && (llm_session_n_pending(s) == 700 || llm_session_n_pending(s) == 700 - 512 || n == 2));
        }
        while (status == LLM_MORE)                          /* the others go on */
            status = llm_session_step(both, 2, LLM_FOREVER, 0, &error);
        CHECK(status == LLM_OK);
        if (n == 2)
            CHECK(llm_session_state(other) == LLM_STATE_READY);
        /* usable afterwards: generate goes on from the last whole token */
        llm_generate_desc desc = LLM_INIT(llm_generate_desc);
        desc.max_tokens = 1;
        CHECK(llm_session_generate(s, &desc, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
        CHECK(llm_session_state(s) == LLM_END_LENGTH || llm_session_state(s) == LLM_END_TOKEN);
        llm_session_free(s);
        llm_session_free(other);
    }
    printf("cancel: %.2f ms at worst, %d of %d inside the first chunk\n", worst, in_chunk, ROUNDS);
    CHECK_MSG(in_chunk > 0, "no cancel came while a chunk was computed");

    /* it holds until a step has reported it, or the next generate */
    llm_session *s = tiny_session(model, 0, 0);
    CHECK(llm_session_append(s, prompt, 10, 0, &error) == LLM_OK);
    llm_session_cancel(s);
    CHECK(llm_session_step(&s, 1, LLM_FOREVER, 0, &error) == LLM_OK && llm_session_state(s) == LLM_END_CANCELLED && llm_session_n_pending(s) == 10);
    CHECK(llm_session_append(s, prompt, 10, 0, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_state(s) == LLM_STATE_READY && llm_session_n_pending(s) == 0);
    llm_session_cancel(s);
    CHECK(llm_session_generate(s, NULL, &error) == LLM_OK && llm_session_step(&s, 1, LLM_FOREVER, 0, &error) == LLM_MORE);
    CHECK(llm_session_n_tokens(s) == 21);
    llm_session_cancel(s);
    CHECK(llm_session_step(&s, 1, 0, 0, &error) == LLM_OK && llm_session_state(s) == LLM_END_CANCELLED);
    llm_session_free(s);
}

/* ---- turns --------------------------------------------------------------------------------------------------------------- */

typedef struct stepper { llm_session *session; int64_t budget_us; int n_calls, late; llm_status status; } stepper;

static void *stepper_run(void *arg)
{
    stepper *p = arg;
    llm_error error;
    do {
        double begin = now_ms();
        p->status = llm_session_step(&p->session, 1, p->budget_us, 0, &error);
        double ms = now_ms() - begin;
        p->n_calls++;
        if (p->budget_us != LLM_FOREVER)
            p->late += ms > (double)p->budget_us / 1e3 + 200;       /* generous: the machine may be shared */
        if (p->status == LLM_MORE && p->n_calls % 8 == 0)
            sched_yield();
    } while (p->status == LLM_MORE);
    return NULL;
}

static void test_turns(void)
{
    enum { N = 6 };
    llm_error error;
    stepper p[N];
    pthread_t threads[N];
    uint64_t hash = 0;
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    desc.max_tokens = 10;
    desc.flags = LLM_GENERATE_IGNORE_END;
    for (int i = 0; i < N; i++) {                           /* more than arenas, some patient, some not */
        p[i] = (stepper){ tiny_session(model, 0, 0), i % 3 == 0 ? LLM_FOREVER : i % 3 == 1 ? 2000 : 300, 0, 0, LLM_OK };
        CHECK(llm_session_append(p[i].session, prompt, 300, 0, &error) == LLM_OK && llm_session_generate(p[i].session, &desc, &error) == LLM_OK);
    }
    for (int i = 0; i < N; i++)
        pthread_create(&threads[i], NULL, stepper_run, &p[i]);
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        CHECK(p[i].status == LLM_OK && llm_session_state(p[i].session) == LLM_END_LENGTH);
        CHECK_MSG(p[i].late * 20 <= p[i].n_calls + 20, "%d of %d calls were late", p[i].late, p[i].n_calls);
        hash = i ? hash : tiny_logits_hash(p[i].session);
        CHECK(tiny_logits_hash(p[i].session) == hash);
        llm_session_free(p[i].session);
    }
}

/* Forks and prompts at once, on a pool that all share. */
static void *forker_run(void *arg)
{
    llm_session *parent = arg;
    llm_error error;
    for (int i = 0; i < 30; i++) {
        llm_session *fork = NULL;
        llm_status status = llm_session_fork(parent, &fork, &error);
        if (status == LLM_E_BUSY)
            continue;
        if (!CHECK(status == LLM_OK))
            break;
        CHECK(llm_session_append(fork, prompt + i, 5, 0, &error) == LLM_OK && tiny_drain(fork, i & 1 ? 200 : LLM_FOREVER, &error) == LLM_OK);
        llm_session_free(fork);
    }
    return NULL;
}

static void test_forks(void)
{
    llm_error error;
    pthread_t threads[4];
    llm_session *parent = tiny_session(model, 0, 0);
    CHECK(llm_session_append(parent, prompt, 70, 0, &error) == LLM_OK && tiny_drain(parent, LLM_FOREVER, &error) == LLM_OK);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, forker_run, parent);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    llm_session_free(parent);
}

/* ---- busy ---------------------------------------------------------------------------------------------------------------- */

typedef struct inside { llm_session *session; int calls, right; } inside;

static void inside_hook(void *user, float *logits, int32_t n_vocab)
{
    inside *in = user;
    llm_session *s = in->session, *fork = NULL;
    const llm_token *tokens;
    const float *values;
    llm_session_info info = LLM_INIT(llm_session_info);
    llm_token_score best;
    size_t n;
    char text[8];
    llm_error error;
    (void)logits;
    (void)n_vocab;
    in->calls++;
    in->right += llm_session_append(s, prompt, 1, 0, &error) == LLM_E_BUSY && error.status == LLM_E_BUSY;
    in->right += llm_session_append_text(s, "a", 1, 0, &error) == LLM_E_BUSY;
    in->right += llm_session_sync(s, prompt, 1, 0, &error) == LLM_E_BUSY;
    in->right += llm_session_rewind(s, 0, &error) == LLM_E_BUSY;
    in->right += llm_session_generate(s, NULL, &error) == LLM_E_BUSY;
    in->right += llm_session_step(&s, 1, 100, 0, &error) == LLM_E_BUSY;
    in->right += llm_session_fork(s, &fork, &error) == LLM_E_BUSY && !fork;
    in->right += llm_session_tokens(s, &tokens, &n, &error) == LLM_E_BUSY;
    in->right += llm_session_logits(s, &values, &n, &error) == LLM_E_BUSY;
    in->right += llm_session_scores(s, &values, &n, &error) == LLM_E_BUSY;
    in->right += llm_session_best(s, &best, 1, &n, &error) == LLM_E_BUSY;
    in->right += llm_session_get_info(s, &info, &error) == LLM_E_BUSY;
    in->right += llm_session_read_text(s, text, 8) == 0;
    in->right += llm_session_n_tokens(s) == 5 && llm_session_state(s) == LLM_STATE_WORKING;       /* anytime */
    llm_session_cancel(s);
}

static void test_busy(void)
{
    llm_error error;
    inside in = { tiny_session(model, 0, 0), 0, 0 };
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    desc.on_logits = inside_hook;
    desc.user = &in;
    CHECK(llm_session_append(in.session, prompt, 5, 0, &error) == LLM_OK && llm_session_generate(in.session, &desc, &error) == LLM_OK);
    CHECK(tiny_drain(in.session, LLM_FOREVER, &error) == LLM_OK && llm_session_state(in.session) == LLM_END_CANCELLED);
    CHECK_MSG(in.calls == 1 && in.right == 14, "%d calls, %d of 14 right", in.calls, in.right);
    llm_session *twice[2] = { in.session, in.session };
    CHECK(llm_session_step(twice, 2, 100, 0, &error) == LLM_E_INVALID);
    CHECK(llm_session_step(twice, 1, 100, 0, &error) == LLM_OK);
    llm_session_free(in.session);
}

/* ---- the host's own threads ---------------------------------------------------------------------------------------------- */

typedef struct host_jobs { void (*job)(void *data, uint32_t i); void *data; uint32_t n; _Atomic uint32_t next; } host_jobs;
static void *host_worker(void *arg)
{
    host_jobs *j = arg;
    for (uint32_t i; (i = atomic_fetch_add(&j->next, 1)) < j->n;)
        j->job(j->data, i);
    return NULL;
}
static void host_run(void *user, uint32_t n, void (*job)(void *data, uint32_t i), void *data)
{
    host_jobs jobs = { .job = job, .data = data, .n = n };
    pthread_t thread;
    (*(int *)user)++;
    atomic_init(&jobs.next, 0);
    int started = pthread_create(&thread, NULL, host_worker, &jobs) == 0;
    host_worker(&jobs);
    if (started)
        pthread_join(thread, NULL);
}

static void test_parallel(void)
{
    int n_runs = 0;
    llm_parallel parallel = LLM_INIT(llm_parallel);
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *own;
    llm_model *own_model;
    llm_error error;
    uint64_t hash[2];
    parallel.n_threads = 2;
    parallel.user = &n_runs;
    parallel.run = host_run;
    desc.parallel = &parallel;
    tiny_open(&shape, &desc, &own, &own_model);
    for (int i = 0; i < 2; i++) {
        llm_session *s = tiny_session(i ? own_model : model, 0, 0);
        CHECK(llm_session_append(s, prompt, 40, 0, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
        hash[i] = tiny_logits_hash(s);
        llm_session_free(s);
    }
    CHECK(hash[0] == hash[1] && n_runs > 0);
    llm_model_free(own_model);
    llm_engine_free(own);
}

/* Threads that make the first grammars of a tokenizer at once, and use one of them together; the tokenizer is gone before they are. */
typedef struct grammar_maker { llm_tokenizer *tokenizer; llm_grammar *grammar; llm_sampler *sampler; llm_session *s; char text[256]; int32_t end; } grammar_maker;

static void *make_grammar(void *arg)
{
    grammar_maker *maker = arg;
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_error error;
    CHECK_MSG(llm_grammar_create(maker->tokenizer, LLM_GRAMMAR_REGEX, 0, "[ab]{5,9}END hello world", LLM_NUL, &maker->grammar, &error) == LLM_OK, "%s", error.message);
    recipe.temperature = 4;
    recipe.grammar = maker->grammar;
    CHECK(llm_sampler_create(maker->tokenizer, &recipe, &maker->sampler, &error) == LLM_OK);
    return NULL;
}

static void *use_grammar(void *arg)
{
    grammar_maker *maker = arg;
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_error error;
    reply.seed = 7;
    reply.sampler = maker->sampler;
    CHECK(llm_session_append(maker->s, prompt, 5, 0, &error) == LLM_OK && llm_session_generate(maker->s, &reply, &error) == LLM_OK);
    CHECK_MSG(tiny_drain(maker->s, LLM_FOREVER, &error) == LLM_OK, "%s", error.message);
    maker->end = llm_session_state(maker->s);
    llm_session_read_text(maker->s, maker->text, sizeof maker->text);
    return NULL;
}

static void test_grammars(void)
{
    enum { N = 4 };
    grammar_maker makers[N];
    pthread_t threads[N];
    tiny_file file = tiny_make(&shape);
    llm_source source = LLM_INIT(llm_source);
    llm_tokenizer *tokenizer = NULL;
    llm_error error;
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file.data;
    source.data_len = file.size;
    if (!CHECK_MSG(llm_tokenizer_load(engine, &source, &tokenizer, &error) == LLM_OK, "%s", error.message))
        return;
    for (int i = 0; i < N; i++) {
        makers[i] = (grammar_maker){ .tokenizer = tokenizer, .s = tiny_session(model, 0, 0) };
        CHECK(pthread_create(&threads[i], NULL, make_grammar, &makers[i]) == 0);
    }
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    llm_tokenizer_free(tokenizer);
    for (int i = 0; i < N; i++) {
        llm_sampler *own = makers[i].sampler;
        makers[i].sampler = i % 2 ? makers[i - 1].sampler : own;    /* two threads, one grammar */
        if (i % 2)
            llm_sampler_free(own);
        llm_grammar_free(makers[i].grammar);
        CHECK(pthread_create(&threads[i], NULL, use_grammar, &makers[i]) == 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        CHECK_MSG(makers[i].end == LLM_END_GRAMMAR && strcmp(makers[i].text, makers[0].text) == 0, "%d '%s'", makers[i].end, makers[i].text);
    }
    for (int i = 0; i < N; i++) {
        llm_session_free(makers[i].s);
        if (i % 2 == 0)
            llm_sampler_free(makers[i].sampler);
    }
    free(file.data);
}

int main(void)
{
    tiny_open(&shape, NULL, &engine, &model);
    tiny_tokens(prompt, 700, shape.n_vocab, 1);
    test_cancel();
    test_turns();
    test_forks();
    test_busy();
    test_parallel();
    test_grammars();
    llm_model_free(model);
    llm_engine_free(engine);
    return TEST_DONE();
}
