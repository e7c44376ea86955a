/* SPDX-License-Identifier: MIT
 * How long are tasks and calls? A program of Llama-3.2-1B's shape with two layers, stepped in calls of one task (processor time of each:
 * what a task costs) and with a budget of 2 ms (clock time of each call). Built, not run by ctest. Usage: bench_cpu [threads] */
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#endif
#include "backend/little.h"

#include <time.h>

static const little_shape bench_shape = {
    2, 2048, 32, 8, 64, 64, 64, 8192, 128256, LM_ROPE_PAIRS, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, { LM_TYPE_Q4_0, LM_TYPE_Q4_0, LM_TYPE_Q4_0 }
};

static int bench_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double bench_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static double bench_times[1 << 20];

/* Steps the run to its end in calls of budget_ns. */
static void bench_steps(little_rig *rig, lm_run *run, int64_t budget_ns, clockid_t clock, const char *what)
{
    uint32_t n = 0;
    double sum = 0;
    llm_status status = LLM_MORE;
    while (status == LLM_MORE && n < LM_COUNT(bench_times)) {
        double before = bench_us(clock);
        lm_run_control control = { .deadline_ns = lm_now_ns() + budget_ns, .stop_op = LM_RUN_ALL_OPS };
        status = rig->backend->table->run_step(rig->backend, run, &control, NULL);
        bench_times[n] = bench_us(clock) - before;
        sum += bench_times[n++];
    }
    qsort(bench_times, n, sizeof bench_times[0], bench_order);
    printf("%-34s %7u calls, %9.0f us in all; of a call: median %6.0f, 99 %% %6.0f, most %6.0f us\n", what, n, sum, bench_times[n / 2],
           bench_times[n * 99 / 100], bench_times[n - 1]);
    fflush(stdout);
}

static void bench_pass(little_rig *rig, uint32_t n_rows, int32_t position, int64_t budget_ns, clockid_t clock, const char *what)
{
    enum { PAGES = 8192 / LM_PAGE_POSITIONS };
    static uint32_t pages[PAGES], n_pages;
    static lm_row rows[512];
    llm_error error;
    lm_run *run = NULL;
    while (n_pages * LM_PAGE_POSITIONS < (uint32_t)position + n_rows)
        if (rig->backend->table->page_take(rig->backend, rig->pool, 0, &pages[n_pages++], &error) < 0)
            return;
    for (uint32_t r = 0; r < n_rows; r++)
        rows[r] = (lm_row){ 0, position + (int32_t)r, (llm_token)(r * 7), r + 1 == n_rows };
    lm_slot slot = { { pages }, { n_pages } };
    lm_batch batch = { .rows = rows, .n_rows = n_rows, .slots = &slot, .n_slots = 1, .n_out = 1 };
    if (!CHECK_MSG(rig->backend->table->run_begin(rig->backend, rig->exec, rig->pool, rig->arena, &batch, &run, &error) == LLM_OK, "%s", error.message))
        return;
    bench_steps(rig, run, budget_ns, clock, what);
    rig->backend->table->run_end(rig->backend, run);
}

int main(int argc, char **argv)
{
    little m;
    little_rig rig;
    llm_error error;
    lm_backend *backend = NULL;
    lm_cpu_desc desc = { argc > 1 ? atoi(argv[1]) : 1, 0, NULL };
    if (!little_open(&m, &bench_shape, NULL) || lm_cpu_backend_open(&m.host, &desc, &backend, &error) < 0 ||
        little_rig_open(&rig, &m, backend, LLM_STATE_TYPE_F16, 512, 1, 8192 / LM_PAGE_POSITIONS, 1, &error) < 0)
        return 1;
    for (int32_t at = 0; at < 4096; at += 512)
        bench_pass(&rig, 512, at, INT64_MAX / 2, CLOCK_MONOTONIC, "prefill 512, no budget");
    bench_pass(&rig, 512, 0, 1500, CLOCK_THREAD_CPUTIME_ID, "prefill 512 at 0, task by task");
    bench_pass(&rig, 512, 4096, 1500, CLOCK_THREAD_CPUTIME_ID, "prefill 512 at 4096, task by task");
    bench_pass(&rig, 1, 10, 1500, CLOCK_THREAD_CPUTIME_ID, "decode at 10, task by task");
    bench_pass(&rig, 1, 4097, 1500, CLOCK_THREAD_CPUTIME_ID, "decode at 4097, task by task");
    bench_pass(&rig, 4, 4097, 1500, CLOCK_THREAD_CPUTIME_ID, "4 rows at 4097, task by task");
    bench_pass(&rig, 512, 0, 2000000, CLOCK_MONOTONIC, "prefill 512 at 0, 2 ms");
    bench_pass(&rig, 512, 4096, 2000000, CLOCK_MONOTONIC, "prefill 512 at 4096, 2 ms");
    for (int i = 0; i < 5; i++)
        bench_pass(&rig, 1, 10 + i, 2000000, CLOCK_MONOTONIC, "decode, 2 ms");
    little_rig_close(&rig);
    little_close(&m);
    return TEST_DONE();
}
