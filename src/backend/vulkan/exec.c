/* SPDX-License-Identifier: MIT
 * A program made ready for its weights, and the memory of one pass: buffers for values, the small one that shaders read rows and pages
 * from, and one for logits on their way back. Owns both. Threads: an exec is shared; an arena serves one run at a time. */
#include "backend/vulkan/vulkan.h"

#include "base/fmath.h"
#include "base/size.h"

#include <string.h>

LM_EXACT_ARITHMETIC

/* ---- programs ---------------------------------------------------------------------------------------------------------- */

/* Turns a position as 64 bits behind the point; whole turns, and the sign with them, go without a trace. */
static uint64_t exec_turns(double frequency)
{
    double turns = frequency / 6.283185307179586476925;
    if (!(turns > -1e15 && turns < 1e15))                   /* no fraction is left up there, nor in a NaN */
        return 0;
    double part = turns - (double)(int64_t)turns, scaled = (part < 0 ? part + 1 : part) * 18446744073709551616.0;
    return scaled >= 18446744073709551616.0 ? 0 : (uint64_t)scaled;
}

/* The table of an ANGLES: its pairs' turns, and behind them those of long contexts where there are divisors of them. */
static llm_status exec_frequencies(lm_vk *vk, lm_vk_exec *exec, uint32_t o, llm_error *error)
{
    const lm_op *op = &exec->program->ops[o];
    const lm_op_angles *u = &op->u.angles;
    uint32_t n = u->n_rot / 2, n_sets = op->weight[1] != LM_NONE ? 2 : 1;
    size_t bytes = (size_t)n * n_sets * 8;
    lm_mem *mem = &vk->base.host->mem;
    double *freq = lm_mem_new_array(mem, 2 * (size_t)n, sizeof *freq, LLM_MEMORY_OTHER), *mix = freq ? freq + n : NULL;
    if (!freq)
        return lm_fail_memory(error, "frequencies", 2 * (size_t)n * sizeof *freq);
    lm_angles_frequencies(u, freq, mix);
    void *place = NULL;
    llm_status status = lm_vk_span_new(vk, bytes, &exec->spans[o], error);
    if (status >= 0) {
        VkDescriptorBufferInfo range = { exec->spans[o].slab->buffer.buffer, exec->spans[o].offset, exec->spans[o].bytes };
        status = lm_vk_set_new(vk, LM_VK_SET_ONE, &range, &exec->sets[o], error);
    }
    for (uint32_t set = 0; set < n_sets && status >= 0; set++) {
        const float *divisors = op->weight[set] == LM_NONE ? NULL : exec->weights[op->weight[set]]->vector;
        for (uint32_t done = 0; done < n && status >= 0;) {
            uint32_t count = LM_MIN(n - done, 256);
            status = lm_vk_upload(vk, exec->spans[o].slab->buffer.buffer, exec->spans[o].offset + 8 * ((uint64_t)set * n + done), 8 * (uint64_t)count, &place, error);
            for (uint32_t j = done; j < done + count && status >= 0; j++) {
                double own = divisors ? freq[j] / (double)divisors[j] : freq[j], all = own * u->freq_scale;
                uint64_t turns = exec_turns(u->ext_factor != 0 ? all * (1 - mix[j]) + own * mix[j] : all);
                uint32_t words[2] = { (uint32_t)turns, (uint32_t)(turns >> 32) };
                memcpy((uint8_t *)place + 8 * (size_t)(j - done), words, 8);
            }
            done += count;
        }
    }
    lm_mem_free(mem, freq);
    return status < 0 ? status : lm_vk_flush(vk, error);
}

/* Types that this program's products and embeddings use are tested where that is due. */
static llm_status exec_selftests(lm_vk *vk, const lm_program *program, llm_error *error)
{
    LM_TRY(lm_vk_selftest_ops(vk, error));
    for (uint32_t o = 0; o < program->n_ops; o++)
        LM_TRY(lm_vk_selftest_kind(vk, program->ops[o].kind, error));
    for (uint32_t w = 0; w < program->n_weights; w++)
        if (!program->weights[w].is_vector)
            LM_TRY(lm_vk_selftest(vk, program->weights[w].type, error));
    return LLM_OK;
}

llm_status lm_vk_exec_make(lm_vk *vk, const lm_program *program, lm_weight *const *weights, lm_exec **out, llm_error *error)
{
    lm_backend *backend = &vk->base;
    LM_TRY(lm_program_check(program, error));
    for (uint32_t o = 0; o < program->n_ops; o++)
        LM_TRY(lm_vk_op_can(program, &program->ops[o], LLM_STATE_TYPE_F16, error));
    size_t at_weights = (sizeof(lm_vk_exec) + 15) & ~(size_t)15, at_spans = at_weights + ((program->n_weights * sizeof(void *) + 15) & ~(size_t)15);
    size_t at_sets = at_spans + ((program->n_ops * sizeof(lm_vk_span) + 15) & ~(size_t)15), size = at_sets + program->n_ops * sizeof(lm_vk_set);
    uint8_t *block = lm_mem_new(&backend->host->mem, size, LLM_MEMORY_OTHER);
    if (!block)
        return lm_fail_memory(error, "a program made ready", size);
    lm_vk_exec *exec = (lm_vk_exec *)(void *)block;
    exec->program = program;
    exec->weights = (const lm_vk_weight **)(void *)(block + at_weights);
    exec->spans = (lm_vk_span *)(void *)(block + at_spans);
    exec->sets = (lm_vk_set *)(void *)(block + at_sets);
    llm_status status = LLM_OK;
    for (uint32_t w = 0; w < program->n_weights && status >= 0; w++) {
        const lm_weight_info *a = &program->weights[w];
        const lm_vk_weight *b = (const lm_vk_weight *)weights[w];
        if (!b || !b->complete || b->info.type != a->type || b->info.n_rows != a->n_rows || b->info.n_cols != a->n_cols || (b->info.is_vector != 0) != (a->is_vector != 0))
            status = lm_fail(error, LLM_E_INTERNAL, "weight %u (%s) is bound to another one", w, a->name ? a->name : "no name");
        exec->weights[w] = b;
    }
    lm_vk_lock(vk);
    for (uint32_t o = 0; o < program->n_ops && status >= 0; o++) {
        exec->max_dispatches += lm_vk_op_dispatches(exec, &program->ops[o]);
        if (program->ops[o].kind == LM_OP_ANGLES)
            status = exec_frequencies(vk, exec, o, error);
    }
    if (status >= 0) {
        exec->next = vk->execs;
        vk->execs = exec;
    }
    lm_vk_unlock(vk);
    if (status < 0)
        lm_vk_exec_close(backend, (lm_exec *)exec);
    else
        *out = (lm_exec *)exec;
    return status;
}

llm_status lm_vk_exec_open(lm_backend *backend, const lm_program *program, lm_weight *const *weights, lm_exec **out, llm_error *error)
{
    LM_TRY(lm_program_check(program, error));
    LM_TRY(exec_selftests((lm_vk *)backend, program, error));
    return lm_vk_exec_make((lm_vk *)backend, program, weights, out, error);
}

void lm_vk_exec_close(lm_backend *backend, lm_exec *handle)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_vk_exec *exec = (lm_vk_exec *)handle;
    if (!exec)
        return;
    lm_vk_lock(vk);
    vk->changes++;
    for (lm_vk_exec **link = &vk->execs; *link; link = &(*link)->next)
        if (*link == exec) {
            *link = exec->next;
            break;
        }
    for (uint32_t o = 0; o < exec->program->n_ops; o++) {
        lm_vk_set_free(vk, &exec->sets[o]);
        lm_vk_span_free(vk, &exec->spans[o]);
    }
    lm_vk_unlock(vk);
    lm_mem_free(&backend->host->mem, exec);
}

/* ---- compiling --------------------------------------------------------------------------------------------------------- */

/* Numbers of rows around which a plan may become another one, each of one session and of many, of few keys and many: a pass of any size then
 * finds its pipelines made. */
static const uint32_t exec_rows[] = { 1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 128, 129, 512 };
enum { EXEC_MANY_KEYS = 1 << 16 };

/* Plans that are never run: what they ask for is made. */
static llm_status exec_plans(lm_vk *vk, const lm_vk_exec *exec, const lm_vk_pool *pool, int32_t (*progress)(void *user, float fraction), void *user, llm_error *error)
{
    const lm_vk_arena arena = { .program = exec->program };
    size_t bytes = exec->max_dispatches * sizeof(lm_vk_dispatch);
    lm_vk_dispatch *dispatches = lm_mem_new(&vk->base.host->mem, bytes, LLM_MEMORY_OTHER);
    llm_status status = dispatches ? LLM_OK : lm_fail_memory(error, "a plan", bytes);
    for (size_t i = 0; i < 4 * LM_COUNT(exec_rows) && status >= 0; i++) {
        uint32_t rows = exec_rows[i / 4];
        uint64_t deepest = i % 2 ? EXEC_MANY_KEYS : rows;
        lm_vk_plan plan = { .vk = vk, .exec = exec, .pool = pool, .arena = &arena, .n_rows = { rows, rows }, .n_slots = i / 2 % 2 ? rows : 1, .keys = rows * deepest, .deepest = deepest,
                            .dispatches = dispatches, .cap = exec->max_dispatches };
        lm_vk_lock_busy(vk);
        status = lm_vk_plan_make(&plan, error);
        lm_vk_unlock(vk);
        if (status >= 0 && progress && progress(user, 1) != 0)
            status = lm_fail(error, LLM_E_CANCELLED, "loading was cancelled by the progress callback");
    }
    lm_mem_free(&vk->base.host->mem, dispatches);
    return status;
}

llm_status lm_vk_exec_compile(lm_backend *backend, lm_exec *handle, int32_t (*progress)(void *user, float fraction), void *user, llm_error *error)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_vk_exec *exec = (lm_vk_exec *)handle;
    lm_vk_pool *pool = NULL;
    LM_TRY(lm_vk_pool_new(vk, exec->program, LLM_STATE_TYPE_F16, &pool, error));
    llm_status status = exec_plans(vk, exec, pool, progress, user, error);
    lm_vk_pool_close(backend, (lm_pool *)pool);
    lm_vk_lock_busy(vk);
    exec->compiled = status >= 0;
    lm_vk_unlock(vk);
    return status;
}

llm_status lm_vk_pool_compile(lm_vk *vk, const lm_program *program, const lm_vk_pool *pool, llm_error *error)
{
    lm_vk_lock_busy(vk);
    lm_vk_exec *exec = vk->execs;
    while (exec && (exec->program != program || !exec->compiled))
        exec = exec->next;
    lm_vk_unlock(vk);
    return exec ? exec_plans(vk, exec, pool, NULL, NULL, error) : LLM_OK;
}

/* ---- arenas ------------------------------------------------------------------------------------------------------------ */

typedef struct exec_sizes { uint64_t values[2], tables, logits, given; } exec_sizes;   /* bytes */

static bool exec_arena_sizes(const lm_program *program, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages, exec_sizes *out)
{
    uint64_t rows[2] = { max_rows, max_out }, scratch[2] = { 0, 0 };
    memset(out, 0, sizeof *out);
    for (uint32_t o = 0; o < program->n_ops; o++)
        scratch[program->ops[o].rows] = LM_MAX(scratch[program->ops[o].rows], lm_vk_op_scratch(program, &program->ops[o], (uint32_t)rows[program->ops[o].rows]));
    for (int set = 0; set < 2; set++)
        if (!lm_mul_u64(program->row_items[set], rows[set], &out->values[set]) || out->values[set] > UINT64_MAX / 4 - scratch[set] || !lm_mul_u64(out->values[set] + scratch[set], 4, &out->values[set]))
            return false;
    out->tables = 4 * (4 + 4 * (uint64_t)max_rows + max_out + 2 * (uint64_t)max_slots + max_pages);
    if (program->given && !lm_mul_u64((uint64_t)max_rows * 4, program->values[program->given - 1].width, &out->given))
        return false;
    return lm_mul_u64((uint64_t)(program->hands_on ? max_rows : max_out) * 4, program->values[program->logits].width, &out->logits);
}

/* On the device: what exec_arena_sizes says. On the host: nearly nothing. */
uint64_t lm_vk_arena_cost(const lm_backend *backend, const lm_program *program, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages)
{
    exec_sizes sizes;
    (void)backend;
    if (!exec_arena_sizes(program, max_rows, max_out, max_slots, max_pages, &sizes))
        return UINT64_MAX;
    return lm_mem_cost(sizeof(lm_vk_arena) + sizeof(lm_vk_run) + (uint64_t)program->n_ops * 4 * sizeof(lm_vk_dispatch)) + sizes.values[0] + sizes.values[1] + sizes.tables + sizes.logits + sizes.given;
}

static llm_status exec_arena_buffers(lm_vk *vk, lm_vk_arena *arena, const exec_sizes *sizes, llm_error *error)
{
    for (int set = 0; set < 2; set++) {
        if (sizes->values[set] > vk->caps.max_range)
            return lm_fail(error, LLM_E_LIMIT, "the values of a pass of %u rows and %u outputs need %llu bytes, a buffer of this device holds %llu", arena->max_rows, arena->max_out,
                           (unsigned long long)sizes->values[set], (unsigned long long)vk->caps.max_range);
        LM_TRY(lm_vk_buffer_new(vk, sizes->values[set], LM_VK_ON_DEVICE, &arena->values[set], error));
    }
    LM_TRY(lm_vk_flight_new(vk, &arena->flight, error));
    LM_TRY(lm_vk_buffer_new(vk, sizes->tables, LM_VK_TO_DEVICE, &arena->tables, error));
    LM_TRY(lm_vk_buffer_new(vk, sizes->logits, LM_VK_FROM_DEVICE, &arena->logits, error));
    if (sizes->given)
        LM_TRY(lm_vk_buffer_new(vk, sizes->given, LM_VK_TO_DEVICE, &arena->given, error));
    for (int set = 0; set < 2; set++) {
        VkDescriptorBufferInfo ranges[3] = {
            { arena->values[set].buffer, 0, LM_MAX(sizes->values[set], 4) },
            { arena->values[LM_ROWS_ALL].buffer, 0, sizes->values[LM_ROWS_ALL] },
            { arena->tables.buffer, 0, sizes->tables },
        };
        LM_TRY(lm_vk_set_new(vk, LM_VK_SET_VALUES, ranges, &arena->sets[set], error));
    }
    return LLM_OK;
}

llm_status lm_vk_arena_open(lm_backend *backend, const lm_exec *handle, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages,
                            lm_run_arena **out, llm_error *error)
{
    lm_vk *vk = (lm_vk *)backend;
    const lm_vk_exec *exec = (const lm_vk_exec *)handle;
    exec_sizes sizes;
    if (max_rows == 0 || max_slots == 0 || max_out > max_rows)
        return lm_fail(error, LLM_E_INVALID, "an arena for %u rows, %u outputs, %u sessions", max_rows, max_out, max_slots);
    if (!exec_arena_sizes(exec->program, max_rows, max_out, max_slots, max_pages, &sizes))
        return lm_fail(error, LLM_E_LIMIT, "an arena for %u rows and %u pages does not fit", max_rows, max_pages);
    size_t at_run = (sizeof(lm_vk_arena) + 15) & ~(size_t)15, at_list = at_run + ((sizeof(lm_vk_run) + 15) & ~(size_t)15);
    size_t size = at_list + exec->max_dispatches * sizeof(lm_vk_dispatch);
    uint8_t *block = lm_mem_new(&backend->host->mem, size, LLM_MEMORY_ARENA);
    if (!block)
        return lm_fail_memory(error, "the memory of a pass", size);
    lm_vk_arena *arena = (lm_vk_arena *)(void *)block;
    arena->max_rows = max_rows;
    arena->max_out = max_out;
    arena->max_slots = max_slots;
    arena->max_pages = max_pages;
    arena->program = exec->program;
    arena->run = (lm_vk_run *)(void *)(block + at_run);
    arena->dispatches = (lm_vk_dispatch *)(void *)(block + at_list);
    arena->max_dispatches = exec->max_dispatches;
    lm_vk_lock_busy(vk);
    llm_status status = exec_arena_buffers(vk, arena, &sizes, error);
    lm_vk_unlock(vk);
    if (status < 0)
        lm_vk_arena_close(backend, (lm_run_arena *)arena);
    else
        *out = (lm_run_arena *)arena;
    return status;
}

void lm_vk_arena_close(lm_backend *backend, lm_run_arena *handle)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_vk_arena *arena = (lm_vk_arena *)handle;
    if (!arena)
        return;
    lm_vk_lock(vk);
    for (int set = 0; set < 2; set++) {
        lm_vk_set_free(vk, &arena->sets[set]);
        lm_vk_buffer_free(vk, &arena->values[set]);
    }
    lm_vk_buffer_free(vk, &arena->tables);
    lm_vk_buffer_free(vk, &arena->logits);
    lm_vk_buffer_free(vk, &arena->given);
    lm_vk_flight_free(vk, &arena->flight);
    lm_vk_unlock(vk);
    lm_mem_free(&backend->host->mem, arena->mirror);
    lm_mem_free(&backend->host->mem, arena);
}
