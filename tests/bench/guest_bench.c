/* SPDX-License-Identifier: MIT
 * The manners of a guest, measured through llm.h on a real model: how long calls with a budget last, whether sessions stepped in turn all
 * get on, how soon a cancel returns, what idle workers cost, what too many threads cost, what parked forks hold.
 *
 *     bench_guest MODEL.gguf [threads, default 2]
 *
 * A benchmark, not a test: it prints figures and fails only if bits differ. Make a model with `libllm make --shape 1b -o FILE`. */
#include "test.h"

#include <llm.h>

#include <math.h>
#include <pthread.h>
#include <time.h>

enum { MOST_CALLS = 1 << 16, PROMPT = 512, REPLY = 24, N_TURNS = 4, N_FORKS = 1000 };

static llm_error error;

#define MUST(call)                                                                  \
    do {                                                                            \
        llm_status must_status = (call);                                            \
        if (must_status < 0)                                                        \
            exit((fprintf(stderr, "%s: %s\n", #call, error.message), 1));           \
    } while (0)

static double now_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static llm_engine *open_engine(int n_threads)
{
    llm_engine *engine = NULL;
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    desc.n_threads = n_threads;
    MUST(llm_engine_create(LLM_ABI, &desc, &engine, &error));
    return engine;
}

static llm_session *open_session(llm_model *model, unsigned seed, size_t n_prompt)
{
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *s = NULL;
    llm_token tokens[PROMPT];
    int32_t n_vocab = llm_tokenizer_n_vocab(llm_model_tokenizer(model));
    desc.n_ctx = PROMPT + 2 * REPLY + 8;
    for (size_t i = 0; i < n_prompt; i++) {
        seed = seed * 1664525u + 1013904223u;
        tokens[i] = (llm_token)((seed >> 8) % (unsigned)n_vocab);
    }
    MUST(llm_session_create(model, &desc, &s, &error));
    MUST(llm_session_append(s, tokens, n_prompt, 0, &error));
    return s;
}

static void generate(llm_session *s, int32_t n)
{
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    desc.max_tokens = n;
    desc.flags = LLM_GENERATE_IGNORE_END;
    MUST(llm_session_generate(s, &desc, &error));
}

/* FNV-1a over the logits' bytes. */
static uint64_t hash_logits(llm_session *s)
{
    const float *logits;
    size_t n;
    uint64_t h = 14695981039346656037u;
    MUST(llm_session_logits(s, &logits, &n, &error));
    for (size_t i = 0; i < n * sizeof *logits; i++)
        h = (h ^ ((const unsigned char *)logits)[i]) * 1099511628211u;
    return h;
}

/* Steps until done; call times in microseconds to calls. */
static int step_all(llm_session *s, int64_t budget_us, double *calls)
{
    int n = 0;
    llm_status status;
    do {
        double begin = now_us(CLOCK_MONOTONIC);
        MUST(status = llm_session_step(&s, 1, budget_us, 0, &error));
        if (calls && n < MOST_CALLS)
            calls[n] = now_us(CLOCK_MONOTONIC) - begin;
        n++;
    } while (status == LLM_MORE);
    return n < MOST_CALLS ? n : MOST_CALLS;
}

static void print_calls(const char *what, double *calls, int n)
{
    int late = 0;
    for (int i = 0; i < n; i++)
        late += calls[i] > 2500;
    qsort(calls, (size_t)n, sizeof *calls, by_value);
    printf("budget 2 ms, %-11s %6d calls: median %.0f us, 99 %% %.0f us, most %.0f us; %.1f %% end within 2.5 ms\n", what, n, calls[n / 2],
           calls[n * 99 / 100], calls[n - 1], 100.0 * (n - late) / n);
}

static void bench_budget(llm_model *model)
{
    static double calls[MOST_CALLS];
    llm_session *free_running = open_session(model, 1, PROMPT), *bounded = open_session(model, 1, PROMPT);
    double begin = now_us(CLOCK_MONOTONIC);
    step_all(free_running, LLM_FOREVER, NULL);
    double whole = now_us(CLOCK_MONOTONIC) - begin, sum = 0;
    int n = step_all(bounded, 2000, calls);
    for (int i = 0; i < n; i++)
        sum += calls[i];
    print_calls("prefill", calls, n);
    printf("  in slices %.2f times as long as at once; %s\n", sum / whole, hash_logits(free_running) == hash_logits(bounded) ? "same bits" : "OTHER BITS");
    CHECK(hash_logits(free_running) == hash_logits(bounded));
    generate(free_running, REPLY);
    step_all(free_running, LLM_FOREVER, NULL);
    generate(bounded, REPLY);
    print_calls("decode", calls, step_all(bounded, 2000, calls));
    CHECK(hash_logits(free_running) == hash_logits(bounded));
    llm_session_free(free_running);
    llm_session_free(bounded);
}

static void bench_turns(llm_model *model)
{
    llm_session *s[N_TURNS];
    int left = N_TURNS, rounds = 0, ended[N_TURNS] = { 0 };
    for (int i = 0; i < N_TURNS; i++) {
        s[i] = open_session(model, (unsigned)i + 7, 32);
        generate(s[i], 8);
    }
    while (left > 0) {
        rounds++;
        for (int i = 0; i < N_TURNS; i++) {
            llm_status status = LLM_OK;
            if (ended[i])
                continue;
            MUST(status = llm_session_step(&s[i], 1, 2000, 0, &error));
            if (status != LLM_MORE) {
                ended[i] = rounds;
                left--;
            }
        }
    }
    printf("four sessions in turn, 2 ms each: ended in rounds %d, %d, %d, %d\n", ended[0], ended[1], ended[2], ended[3]);
    for (int i = 0; i < N_TURNS; i++)
        llm_session_free(s[i]);
}

typedef struct canceller { llm_session *session; double after_us, at; } canceller;

static void *cancel_later(void *arg)
{
    canceller *c = arg;
    struct timespec t = { 0, (long)(c->after_us * 1e3) };
    nanosleep(&t, NULL);
    c->at = now_us(CLOCK_MONOTONIC);
    llm_session_cancel(c->session);
    return NULL;
}

static void bench_cancel(llm_model *model)
{
    double times[20];
    for (int i = 0; i < 20; i++) {
        llm_session *s = open_session(model, 3, PROMPT);
        canceller c = { s, 20000 + 9000 * i, 0 };
        pthread_t thread;
        if (pthread_create(&thread, NULL, cancel_later, &c) != 0)
            exit(1);
        step_all(s, LLM_FOREVER, NULL);
        times[i] = now_us(CLOCK_MONOTONIC);
        pthread_join(thread, NULL);
        times[i] -= c.at;
        llm_session_free(s);
    }
    qsort(times, 20, sizeof *times, by_value);
    printf("cancel inside a pass of %d tokens: median %.2f ms, most %.2f ms\n", PROMPT, times[10] / 1e3, times[19] / 1e3);
}

static void bench_idle(llm_model *model)
{
    llm_session *s = open_session(model, 3, 8);
    struct timespec t = { 0, 100000000 }, second = { 1, 0 };
    step_all(s, LLM_FOREVER, NULL);
    nanosleep(&t, NULL);
    double begin = now_us(CLOCK_PROCESS_CPUTIME_ID);
    nanosleep(&second, NULL);
    printf("idle, 100 ms after a call: %.3f %% of one core\n", (now_us(CLOCK_PROCESS_CPUTIME_ID) - begin) / 1e4);
    llm_session_free(s);
}

static void bench_forks(llm_engine *engine, llm_model *model)
{
    llm_engine_info info = LLM_INIT(llm_engine_info);
    static llm_session *forks[N_FORKS];
    llm_session *s = open_session(model, 3, 200);
    step_all(s, LLM_FOREVER, NULL);
    MUST(llm_engine_get_info(engine, &info, &error));
    uint64_t before = info.memory_used;
    for (int i = 0; i < N_FORKS; i++)
        MUST(llm_session_fork(s, &forks[i], &error));
    MUST(llm_engine_get_info(engine, &info, &error));
    printf("%d parked forks of a prompt of 200 tokens: %llu bytes each\n", N_FORKS, (unsigned long long)((info.memory_used - before) / N_FORKS));
    for (int i = 0; i < N_FORKS; i++)
        llm_session_free(forks[i]);
    llm_session_free(s);
}

static void rates(const char *path, int n_threads, double *prefill, double *decode)
{
    llm_engine *engine = open_engine(n_threads);
    llm_model *model = NULL;
    MUST(llm_model_load(engine, path, LLM_NUL, NULL, &model, &error));
    llm_session *s = open_session(model, 5, 128);
    double begin = now_us(CLOCK_MONOTONIC);
    step_all(s, LLM_FOREVER, NULL);
    *prefill = 128e6 / (now_us(CLOCK_MONOTONIC) - begin);
    generate(s, REPLY);
    begin = now_us(CLOCK_MONOTONIC);
    step_all(s, LLM_FOREVER, NULL);
    *decode = REPLY * 1e6 / (now_us(CLOCK_MONOTONIC) - begin);
    llm_session_free(s);
    llm_model_free(model);
    llm_engine_free(engine);
}

static void bench_oversubscribed(const char *path, int n_threads)
{
    double ratio[2][5];
    for (int i = 0; i < 5; i++) {
        double prefill[2], decode[2];
        rates(path, n_threads, &prefill[0], &decode[0]);
        rates(path, 4 * n_threads, &prefill[1], &decode[1]);
        ratio[0][i] = prefill[1] / prefill[0];
        ratio[1][i] = decode[1] / decode[0];
    }
    qsort(ratio[0], 5, sizeof(double), by_value);
    qsort(ratio[1], 5, sizeof(double), by_value);
    printf("%d threads against %d, medians of 5: prefill %.0f %%, decode %.0f %%\n", 4 * n_threads, n_threads, 100 * ratio[0][2], 100 * ratio[1][2]);
}

int main(int argc, char **argv)
{
    int n_threads = argc > 2 ? atoi(argv[2]) : 2;
    llm_model *model = NULL;
    if (argc < 2 || n_threads < 1)
        return fprintf(stderr, "usage: bench_guest MODEL.gguf [THREADS]\n"), 2;
    llm_engine *engine = open_engine(n_threads);
    MUST(llm_model_load(engine, argv[1], LLM_NUL, NULL, &model, &error));
    bench_budget(model);
    bench_turns(model);
    bench_cancel(model);
    bench_idle(model);
    bench_forks(engine, model);
    llm_model_free(model);
    llm_engine_free(engine);
    bench_oversubscribed(argv[1], n_threads);
    return TEST_DONE();
}
