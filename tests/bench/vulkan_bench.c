/* SPDX-License-Identifier: MIT
 * A model on a Vulkan device, whichever there is: passes of many rows and of one, and where their time goes, operation by operation (each
 * submitted and waited for alone, so that the parts are more than the whole). Built, not run by ctest.
 * Usage: bench_vulkan MODEL.gguf [rows of a pass = 128] [tokens = 8] [depth = 0] [parts] [ms of a submission] */
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#endif
#include "golden/forward.h"

#include "base/os.h"

#include "test.h"

#include <time.h>

typedef struct bench { lm_host host; forward f; uint32_t pages[LM_MAX_PAGE_CLASSES][FORWARD_CTX / LM_PAGE_POSITIONS + 1], n_pages; double spent[LM_OP_COUNT]; uint32_t count[LM_OP_COUNT]; } bench;

static double bench_now(void) { return (double)lm_now_ns() * 1e-6; }

/* Of the calling thread: what recording, submitting and waiting take of a processor. Drivers on a processor compute in threads of their own. */
#if defined(CLOCK_THREAD_CPUTIME_ID)
static double bench_cpu(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0 ? (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6 : 0;
}
#else
static double bench_cpu(void) { return 0; }
#endif

/* Milliseconds of a pass, -1: it failed. */
static double bench_pass(bench *b, uint32_t n, uint32_t at, bool parts)
{
    static lm_row rows[FORWARD_CTX];
    const lm_backend_table *table = b->f.backend->table;
    const lm_program *program = b->f.model->program;
    lm_run *run = NULL;
    lm_slot slot = { .n_pages = { 0 } };
    for (; b->n_pages * LM_PAGE_POSITIONS < at + n; b->n_pages++)
        for (uint32_t c = 0; c < program->n_page_classes; c++)
            if (table->page_take(b->f.backend, b->f.pool, c, &b->pages[c][b->n_pages], &b->f.error) < 0)
                return -1;
    for (uint32_t c = 0; c < program->n_page_classes; c++) {
        slot.pages[c] = b->pages[c];
        slot.n_pages[c] = b->n_pages;
    }
    for (uint32_t r = 0; r < n; r++)
        rows[r] = (lm_row){ .position = (int32_t)(at + r), .token = (llm_token)((at + r) * 7919 % program->n_vocab), .flags = r + 1 == n ? LM_ROW_LOGITS : 0 };
    lm_batch batch = { .rows = rows, .n_rows = n, .slots = &slot, .n_slots = 1, .n_out = 1 };
    double before = bench_now(), begun;
    if (table->run_begin(b->f.backend, b->f.model->exec, b->f.pool, b->f.arena, &batch, &run, &b->f.error) < 0)
        return -1;
    llm_status status = LLM_MORE;
    for (uint32_t op = 0; parts && op < program->n_ops; op++) {
        lm_run_control control = { .deadline_ns = INT64_MAX, .stop_op = op + 1 };
        begun = bench_now();
        status = table->run_step(b->f.backend, run, &control, &b->f.error);
        b->spent[program->ops[op].kind] += bench_now() - begun;
        b->count[program->ops[op].kind]++;
    }
    while (status == LLM_MORE) {
        lm_run_control control = { .deadline_ns = INT64_MAX, .stop_op = LM_RUN_ALL_OPS };
        status = table->run_step(b->f.backend, run, &control, &b->f.error);
    }
    table->run_value(b->f.backend, run, program->logits, 0);
    table->run_end(b->f.backend, run);
    return status < 0 ? -1 : bench_now() - before;
}

static void bench_parts(bench *b, const char *what)
{
    double all = 0;
    for (int k = 0; k < LM_OP_COUNT; k++)
        all += b->spent[k];
    for (int k = 0; k < LM_OP_COUNT; k++)
        if (b->count[k])
            printf("  %s %-16s %5u times %9.2f ms  %4.1f %%\n", what, lm_op_name((uint32_t)k), b->count[k], b->spent[k], 100 * b->spent[k] / all);
    memset(b->spent, 0, sizeof b->spent);
    memset(b->count, 0, sizeof b->count);
}

int main(int argc, char **argv)
{
    static bench b;
    lm_backend *backend = NULL;
    uint32_t n = argc > 2 ? (uint32_t)atoi(argv[2]) : 128, tokens = argc > 3 ? (uint32_t)atoi(argv[3]) : 8, depth = argc > 4 ? (uint32_t)atoi(argv[4]) : 0;
    if (argc < 2 || n == 0 || depth + n + tokens + 2 > FORWARD_CTX) {
        fprintf(stderr, "usage: bench_vulkan MODEL.gguf [rows of a pass] [tokens] [depth] [parts] [ms of a submission]\n");
        return 2;
    }
    lm_mem_init(&b.host.mem, NULL, 0);
    llm_status status = lm_vulkan_backend_open(&b.host, &(lm_vulkan_desc){ .allow_software = true, .submit_ms = argc > 6 ? (uint32_t)atoi(argv[6]) : 0 }, &backend, &b.f.error);
    if (status >= 0)
        status = forward_open(&b.f, argv[1], backend, 0, 0, LLM_STATE_TYPE_F16, n);
    if (status < 0) {
        fprintf(stderr, "%s\n", b.f.error.message);
        return 1;
    }
    double first = bench_pass(&b, n, 0, false);
    for (uint32_t at = n; at < depth; at += n)              /* what lies below */
        bench_pass(&b, LM_MIN(n, depth - at), at, false);
    double most = bench_pass(&b, n, depth, false), one = bench_pass(&b, 1, depth + n, false), begun = bench_now(), cpu = bench_cpu();
    for (uint32_t i = 0; i < tokens; i++)
        if (bench_pass(&b, 1, depth + n + i, false) < 0)
            break;
    double spent = bench_now() - begun;
    cpu = bench_cpu() - cpu;
    printf("first pass of %u rows %.0f ms, another behind %u %.0f ms: %.2f tokens/s; first token %.0f ms, then %.2f tokens/s\n", n, first, depth, most, n * 1e3 / most, one, tokens * 1e3 / spent);
    printf("the calling thread's processor time: %.1f us a token\n", cpu * 1e3 / tokens);
    if (argc > 5 && strcmp(argv[5], "0") != 0) {
        bench_pass(&b, n, depth, true);
        bench_parts(&b, "many");
        bench_pass(&b, 1, depth + n, true);
        bench_parts(&b, "one ");
    }
    if (b.f.error.message[0])
        fprintf(stderr, "%s\n", b.f.error.message);
    forward_close(&b.f);
    return 0;
}
