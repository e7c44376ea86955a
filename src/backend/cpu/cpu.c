/* SPDX-License-Identifier: MIT
 * The CPU backend: its table, its kernels and its threads. Owns both. Threads: as backend.h says. */
#include "backend/cpu/cpu.h"

#include "base/cpu.h"

#include <string.h>

/* Work of 0.1 to 0.2 ms on a core of 3 GHz, at the rates that the kernels reach there. */
static const lm_cpu_grain cpu_backend_grains[] = {
    [LM_TIER_REFERENCE] = { 100000, 100000, 50000, 1 << 16, 1 << 14, 32, 8, 1 },
    [LM_TIER_AVX2] = { 4000000, 2000000, 1500000, 1 << 19, 1 << 16, 128, 4, 1 },
    [LM_TIER_AVX512] = { 36000000, 8000000, 8500000, 1 << 19, 1 << 16, 264, 6, 2 },
    [LM_TIER_AMX] = { 36000000, 8000000, 8500000, 1 << 19, 1 << 16, 256, 16, 1 },
    [LM_TIER_NEON] = { 4000000, 2000000, 1500000, 1 << 19, 1 << 16, 128, 4, 1 },
    [LM_TIER_NEON_I8MM] = { 4000000, 4000000, 1500000, 1 << 19, 1 << 16, 128, 4, 1 },
};

static void cpu_backend_close(lm_backend *backend)
{
    lm_cpu *cpu = (lm_cpu *)backend;
    if (!cpu)
        return;
    lm_cpu_team_close(cpu->team);
    lm_mem_free(&backend->host->mem, cpu);
}

static void cpu_backend_device(const lm_backend *backend, lm_device *out)
{
    (void)backend;
    memset(out, 0, sizeof *out);
    out->name = "CPU";
    out->kind = LLM_DEVICE_KIND_CPU;
}

static llm_status cpu_backend_can_run(const lm_backend *backend, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    if (op->kind >= LM_OP_COUNT)
        return lm_fail(error, LLM_E_UNSUPPORTED, "operation %u is unknown to the CPU", op->kind);
    return lm_cpu_op_get(op->kind)->can((const lm_cpu *)backend, program, op, state_type, error);
}

static const lm_backend_table cpu_backend_table = {
    .name = "cpu",
    .close = cpu_backend_close,
    .device = cpu_backend_device,
    .can_run = cpu_backend_can_run,
    .any_order = true,
    .weight_cost = lm_cpu_weight_cost,
    .weight_begin = lm_cpu_weight_begin,
    .weight_rows = lm_cpu_weight_rows,
    .weight_end = lm_cpu_weight_end,
    .weight_free = lm_cpu_weight_free,
    .packed_layout = lm_cpu_packed_layout,
    .packed_bytes = lm_cpu_packed_bytes,
    .weight_packed = lm_cpu_weight_packed,
    .weight_adopt = lm_cpu_weight_adopt,
    .pool_open = lm_cpu_pool_open,
    .pool_close = lm_cpu_pool_close,
    .pool_page_cost = lm_cpu_pool_page_cost,
    .page_take = lm_cpu_page_take,
    .page_give = lm_cpu_page_give,
    .page_copy = lm_cpu_page_copy,
    .pool_page_bytes = lm_cpu_pool_page_bytes,
    .page_export = lm_cpu_page_export,
    .page_import = lm_cpu_page_import,
    .exec_open = lm_cpu_exec_open,
    .exec_close = lm_cpu_exec_close,
    .arena_cost = lm_cpu_arena_cost,
    .arena_open = lm_cpu_arena_open,
    .arena_close = lm_cpu_arena_close,
    .run_begin = lm_cpu_run_begin,
    .run_step = lm_cpu_run_step,
    .run_value = lm_cpu_run_value,
    .run_end = lm_cpu_run_end,
};

llm_status lm_cpu_backend_open(lm_host *host, const lm_cpu_desc *desc, lm_backend **out, llm_error *error)
{
    enum { MOST = 1024 };
    uint32_t n_threads = desc->parallel ? desc->parallel->n_threads : (uint32_t)desc->n_threads;
    if ((!desc->parallel && desc->n_threads < 1) || n_threads < 1 || n_threads > MOST)
        return lm_fail(error, LLM_E_INVALID, "%d threads: 1 to %d are possible", (int32_t)n_threads, MOST);
    if (desc->tier < 0 || desc->tier > LM_TIER_LAST)
        return lm_fail(error, LLM_E_INVALID, "no tier of kernels has the number %d", desc->tier);
    if (desc->parallel && !desc->parallel->run)
        return lm_fail(error, LLM_E_INVALID, "the host's parallel-for has no function run");
    lm_cpu *cpu = lm_mem_new(&host->mem, sizeof *cpu, LLM_MEMORY_OTHER);
    if (!cpu)
        return lm_fail_memory(error, "the CPU backend", sizeof *cpu);
    cpu->base.table = &cpu_backend_table;
    cpu->base.host = host;
    uint32_t features = lm_cpu_features();
    if (desc->tier != LM_TIER_AMX || !lm_cpu_ask_amx())
        features &= ~(uint32_t)LM_CPU_AMX_INT8;
    cpu->tier = lm_kernels_fill(&cpu->kernels, features, desc->tier);
    cpu->grain = cpu_backend_grains[cpu->tier];
    cpu->n_threads = n_threads;
    if (desc->parallel) {
        cpu->parallel = *desc->parallel;
    } else if (n_threads > 1) {
        llm_status status = lm_cpu_team_open(host, n_threads, &cpu->team, error);
        if (status < 0) {
            lm_mem_free(&host->mem, cpu);
            return status;
        }
    }
    *out = &cpu->base;
    return LLM_OK;
}

int32_t lm_cpu_backend_tier(const lm_backend *backend) { return ((const lm_cpu *)backend)->tier; }

/* ---- other work on the same threads */

typedef struct cpu_job { void (*job)(void *data, uint32_t i); void *data; uint32_t n; _Atomic uint32_t next; } cpu_job;

static void cpu_job_work(void *data, uint32_t worker)
{
    cpu_job *all = data;
    uint64_t mode = lm_fp_enter();
    (void)worker;
    for (;;) {
        uint32_t i = atomic_fetch_add_explicit(&all->next, 1, memory_order_relaxed);
        if (i >= all->n)
            break;
        all->job(all->data, i);
    }
    lm_fp_leave(mode);
}

void lm_cpu_backend_parallel(lm_backend *backend, uint32_t n, void (*job)(void *data, uint32_t i), void *data)
{
    lm_cpu *cpu = (lm_cpu *)backend;
    cpu_job all = { .job = job, .data = data, .n = n };
    atomic_init(&all.next, 0);
    if (n > 1 && cpu->parallel.run && cpu->n_threads > 1)
        cpu->parallel.run(cpu->parallel.user, LM_MIN(n, cpu->n_threads), cpu_job_work, &all);
    else if (n > 1 && cpu->team)
        lm_cpu_team_run(cpu->team, cpu_job_work, &all);
    cpu_job_work(&all, 0);                                  /* what is left, where the host's threads did not run */
}
