/* SPDX-License-Identifier: MIT
 * How long a step goes on after llm_session_cancel from another thread: at moments of chance, in prompts and in replies, alone and in company.
 *
 *     bench_cancel [CANCELS] [THREADS]
 *
 * Prints the median, the 99th percentile and the worst, in ms. The model is of random weights, wide enough that a chunk takes a second and more. */
#include "../api/tiny.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static const tiny_shape shape = { 6, 1024, 2816, 16, 8, 2048, 4000, 5, 0 };

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

typedef struct canceller { llm_session *session; double after_ms, at; } canceller;

static void *canceller_run(void *arg)
{
    canceller *c = arg;
    struct timespec t = { (time_t)(c->after_ms / 1e3), (long)((c->after_ms - 1e3 * (double)(time_t)(c->after_ms / 1e3)) * 1e6) };
    nanosleep(&t, NULL);
    c->at = now_ms();
    llm_session_cancel(c->session);
    return NULL;
}

static int by_size(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b; }

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 300, n_found = 0;
    double *found = calloc((size_t)(n > 0 ? n : 1), sizeof *found);
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    llm_model *model = NULL;
    llm_error error;
    llm_token prompt[1000];
    uint32_t random = 1;
    desc.n_threads = argc > 2 ? atoi(argv[2]) : 0;
    tiny_open(&shape, &desc, &engine, &model);
    tiny_tokens(prompt, 1000, shape.n_vocab, 1);
    for (int i = 0; i < n; i++) {
        llm_session *both[2] = { tiny_session(model, 0, 0), tiny_session(model, 0, 0) };
        llm_generate_desc reply = LLM_INIT(llm_generate_desc);
        canceller c = { both[0], 0, 0 };
        pthread_t thread;
        llm_status status;
        int replies = i % 3 == 0;
        random = random * 1664525 + 1013904223;
        c.after_ms = 1 + (double)(random >> 16) / 65536 * 300;
        reply.flags = LLM_GENERATE_IGNORE_END;
        for (int k = 0; k < 2; k++)
            if (llm_session_append(both[k], prompt, replies ? 3 : 1000, 0, &error) != LLM_OK || (replies && llm_session_generate(both[k], &reply, &error) != LLM_OK))
                return 1;
        if (pthread_create(&thread, NULL, canceller_run, &c) != 0)
            return 1;
        do
            status = llm_session_step(both, (size_t)(1 + i % 2), LLM_FOREVER, 0, &error);
        while (status == LLM_MORE && llm_session_state(both[0]) == LLM_STATE_WORKING);
        double end = now_ms();
        pthread_join(thread, NULL);
        if (status >= 0 && llm_session_state(both[0]) == LLM_END_CANCELLED)
            found[n_found++] = end - c.at;
        llm_session_free(both[0]);
        llm_session_free(both[1]);
    }
    qsort(found, (size_t)n_found, sizeof *found, by_size);
    if (n_found > 0)
        printf("%d cancels: median %.2f ms, 99th percentile %.2f ms, worst %.2f ms\n", n_found, found[n_found / 2], found[(n_found * 99 + 99) / 100 - 1], found[n_found - 1]);
    free(found);
    llm_model_free(model);
    llm_engine_free(engine);
    return 0;
}
