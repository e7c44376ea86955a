/* SPDX-License-Identifier: MIT
 * A pass in progress. Owns nothing: it lives in its arena. Knows stages and tasks, not what they compute.
 *
 * The cursor is (operation, stage, round) and a ticket: [sequence:20 | tasks:22 | next task:22] in one word. Who wants work adds one to the
 * ticket and gets a task of the very stage that the count belongs to. A stage is over when as many tasks are done as it has;
 * whoever finishes the last one alone moves the cursor, does stages of a single task on the spot, and publishes the next ticket.
 * Nobody waits for a thread that holds no task, so threads may come late or never.
 *
 * Stopping: between tasks each thread looks at the clock and at the cancel words. A task taken is done; so when all have left, exactly the
 * tasks before the ticket's count are done, and a later step goes on from there. A step told to stop before an operation leaves that
 * operation wholly undone: its first stage is held back, and published by the next step.
 *
 * Invariants: 1. A valid task keeps its stage from ending, so cursor and cut do not change under it. 2. done <= next, and
 * between steps done == min(next, tasks). 3. A step whose deadline lies ahead does at least one task: the caller's first.
 * Threads: one step at a time on a backend; runs are paused in any number. */
#include "backend/cpu/cpu.h"

#include "base/cpu.h"
#include "base/os.h"

#include <string.h>

enum { RUN_BITS = 22, RUN_MASK = (1 << RUN_BITS) - 1 };
enum { RUN_GOES, RUN_DEADLINE, RUN_CANCEL, RUN_STOP_OP, RUN_FINISHED };

static uint32_t run_next(uint64_t ticket) { return (uint32_t)ticket & RUN_MASK; }
static uint32_t run_tasks(uint64_t ticket) { return (uint32_t)(ticket >> RUN_BITS) & RUN_MASK; }

/* ---- the cursor ------------------------------------------------------------------------------------------------------------ */

/* Moves to the next stage that has tasks; 0: the pass is done. */
static uint32_t run_advance(lm_cpu_run *run)
{
    const lm_program *program = run->exec->program;
    for (; run->op < program->n_ops; run->op++, run->stage = 0, run->round = 0) {
        const lm_op *op = &program->ops[run->op];
        const lm_cpu_op *row = lm_cpu_op_get(op->kind);
        while (run->stage < LM_CPU_STAGES && row->stages[run->stage].plan) {
            const lm_cpu_stage *stage = &row->stages[run->stage];
            uint32_t n = run->round == 0 || stage->rounds ? stage->plan(run, op, run->round) : 0;
            if (n > 0)
                return n;
            run->stage++;
            run->round = 0;
        }
    }
    run->finished = 1;
    return 0;
}

static void run_publish(lm_cpu_run *run, uint32_t n)
{
    uint64_t sequence = (atomic_load_explicit(&run->ticket, memory_order_relaxed) >> (2 * RUN_BITS)) + 1;
    atomic_store_explicit(&run->done, 0, memory_order_relaxed);
    atomic_store_explicit(&run->ticket, sequence << (2 * RUN_BITS) | (uint64_t)n << RUN_BITS, memory_order_release);
}

static void run_signal(lm_cpu_run *run)
{
    if (run->cpu->team)
        lm_cpu_team_signal(run->cpu->team);
}

static void run_stop(lm_cpu_run *run, uint32_t why)
{
    uint32_t goes = RUN_GOES;
    if (atomic_compare_exchange_strong_explicit(&run->stop, &goes, why, memory_order_release, memory_order_relaxed))
        run_signal(run);
}

static bool run_cancelled(const lm_cpu_run *run)
{
    for (uint32_t i = 0; i < run->n_cancel; i++)
        if (atomic_load_explicit(run->cancel[i], memory_order_relaxed) != 0)
            return true;
    return false;
}

/* Between tasks: may this step go on? */
static bool run_goes(lm_cpu_run *run)
{
    if (atomic_load_explicit(&run->stop, memory_order_acquire) != RUN_GOES)
        return false;
    if (run->n_cancel != 0 && run_cancelled(run)) {
        run_stop(run, RUN_CANCEL);
        return false;
    }
    if (run->deadline_ns != INT64_MAX && lm_now_ns() >= run->deadline_ns) {
        run_stop(run, RUN_DEADLINE);
        return false;
    }
    return true;
}

static void run_task(lm_cpu_run *run, uint32_t task, uint32_t worker)
{
    const lm_op *op = &run->exec->program->ops[run->op];
    lm_cpu_op_get(op->kind)->stages[run->stage].task(run, op, task, worker);
}

/* All tasks of a stage are done, and we alone know. */
static void run_turn(lm_cpu_run *run, uint32_t worker)
{
    for (;;) {
        run->round++;
        uint32_t n = run_advance(run);
        if (run->finished) {
            run_publish(run, 0);
            run_stop(run, RUN_FINISHED);
            return;
        }
        if (run->op >= run->stop_op) {                      /* not published: whoever is late must find nothing to do */
            run->held = n;
            run_stop(run, RUN_STOP_OP);
            return;
        }
        if (n > 1 || !run_goes(run)) {
            run_publish(run, n);
            run_signal(run);
            return;
        }
        run_task(run, 0, worker);                           /* too small to share: nobody else is woken for it */
    }
}

/* Takes a task and does it; false: there is none to take now. */
static bool run_take(lm_cpu_run *run, uint32_t worker, bool turn)
{
    uint64_t ticket = atomic_load_explicit(&run->ticket, memory_order_acquire);
    if (run_next(ticket) >= run_tasks(ticket))
        return false;
    ticket = atomic_fetch_add_explicit(&run->ticket, 1, memory_order_acq_rel);
    if (run_next(ticket) >= run_tasks(ticket))
        return false;
    run_task(run, run_next(ticket), worker);
    if (atomic_fetch_add_explicit(&run->done, 1, memory_order_acq_rel) + 1 == run_tasks(ticket) && turn)
        run_turn(run, worker);
    return true;
}

/* ---- three ways to have threads ----------------------------------------------------------------------------------------------- */

static void run_work(void *data, uint32_t worker)
{
    lm_cpu_run *run = data;
    lm_cpu_team *team = run->cpu->team;
    bool first = worker == 0;                               /* the caller's first task is done whatever the clock says by now */
    for (;;) {
        uint32_t seen = team ? lm_cpu_team_seen(team) : 0;
        if (!first && !run_goes(run))
            return;
        first = false;
        if (run_take(run, worker, true))
            continue;
        if (atomic_load_explicit(&run->stop, memory_order_acquire) != RUN_GOES)
            return;
        if (team)
            lm_cpu_team_wait(team, seen);
    }
}

/* A job of the host's parallel-for: tasks of one stage, waiting for nobody. */
static void run_job(void *data, uint32_t i)
{
    lm_cpu_run *run = data;
    uint64_t mode = lm_fp_enter();
    while (run_goes(run) && run_take(run, i, false))
        ;
    lm_fp_leave(mode);
}

static void run_host(lm_cpu_run *run)
{
    const llm_parallel *parallel = &run->cpu->parallel;
    bool mine = true;                                       /* the step's first task is done whatever the clock says by now */
    do {
        uint64_t ticket = atomic_load_explicit(&run->ticket, memory_order_acquire), after = ticket;
        uint32_t tasks = run_tasks(ticket), left = tasks - LM_MIN(run_next(ticket), tasks);
        if (!mine && left > 1 && run->cpu->n_threads > 1) {
            parallel->run(parallel->user, LM_MIN(left, run->cpu->n_threads), run_job, run);
            after = atomic_load_explicit(&run->ticket, memory_order_acquire);
        }
        if (after == ticket)                                /* a host that runs nothing costs speed only */
            run_take(run, 0, false);
        mine = false;
        if (atomic_load_explicit(&run->done, memory_order_acquire) == tasks)
            run_turn(run, 0);
    } while (run_goes(run));
}

/* ---- steps ---------------------------------------------------------------------------------------------------------------------- */

llm_status lm_cpu_run_step(lm_backend *backend, lm_run *handle, const lm_run_control *control, llm_error *error)
{
    lm_cpu *cpu = (lm_cpu *)backend;
    lm_cpu_run *run = (lm_cpu_run *)handle;
    if (run->finished)
        return LLM_OK;
    run->deadline_ns = control->deadline_ns;
    run->cancel = control->cancel;
    run->n_cancel = control->n_cancel;
    run->stop_op = control->stop_op;
    if (run_cancelled(run))
        return lm_fail(error, LLM_E_CANCELLED, "cancelled at operation %u of %u", run->op, run->exec->program->n_ops);
    if (run->op >= run->stop_op || (run->deadline_ns != INT64_MAX && lm_now_ns() >= run->deadline_ns))
        return LLM_MORE;
    atomic_store_explicit(&run->stop, RUN_GOES, memory_order_relaxed);
    if (run->held != 0) {
        run_publish(run, run->held);
        run->held = 0;
    }
    uint64_t mode = lm_fp_enter();
    if (cpu->parallel.run)
        run_host(run);
    else if (cpu->team)
        lm_cpu_team_run(cpu->team, run_work, run);
    else
        run_work(run, 0);
    lm_fp_leave(mode);
    /* Nobody is inside any more. The count may have passed the stage's tasks: put it back. */
    uint64_t ticket = atomic_load_explicit(&run->ticket, memory_order_relaxed);
    if (run_next(ticket) > run_tasks(ticket))
        atomic_store_explicit(&run->ticket, ticket - run_next(ticket) + run_tasks(ticket), memory_order_relaxed);
    if (run->finished)
        return LLM_OK;
    if (atomic_load_explicit(&run->stop, memory_order_relaxed) == RUN_CANCEL)
        return lm_fail(error, LLM_E_CANCELLED, "cancelled at operation %u of %u", run->op, run->exec->program->n_ops);
    return LLM_MORE;
}

const void *lm_cpu_run_value(lm_backend *backend, lm_run *handle, int32_t value, uint32_t index)
{
    const lm_cpu_run *run = (const lm_cpu_run *)handle;
    const lm_program *program = run->exec->program;
    (void)backend;
    if (value < 0 || (uint32_t)value >= program->n_values || index >= run->n_rows[program->values[value].rows])
        return NULL;
    return lm_cpu_value(run, value, index);
}

void lm_cpu_run_end(lm_backend *backend, lm_run *handle)
{
    (void)backend;
    if (handle)
        ((lm_cpu_run *)handle)->active = 0;
}

/* ---- beginning -------------------------------------------------------------------------------------------------------------------- */

/* Rows become segments; everything a task will index with is looked at here. */
static llm_status run_rows(lm_cpu_run *run, const lm_batch *batch, uint64_t n_tokens, llm_error *error)
{
    lm_cpu_arena *arena = run->arena;
    uint32_t n_out = 0, n = 0;
    for (uint32_t r = 0; r < batch->n_rows; r++) {
        const lm_row *row = &batch->rows[r];
        if (row->slot >= batch->n_slots)
            return lm_fail(error, LLM_E_INTERNAL, "row %u is of session %u, the pass has %u", r, row->slot, batch->n_slots);
        if (row->token < 0 || (uint64_t)row->token >= n_tokens)
            return lm_fail(error, LLM_E_INVALID, "row %u: token %d, the vocabulary has %llu", r, row->token, (unsigned long long)n_tokens);
        if (row->position < 0 || row->position > INT32_MAX - LM_CHUNK)
            return lm_fail(error, LLM_E_INVALID, "row %u: position %d", r, row->position);
        if (row->flags & LM_ROW_LOGITS) {
            if (n_out == batch->n_out)
                return lm_fail(error, LLM_E_INTERNAL, "more than %u rows want logits", batch->n_out);
            arena->out_rows[n_out++] = r;
        }
        arena->rows[r] = *row;
        lm_cpu_segment *last = n ? &arena->segments[n - 1] : NULL;
        if (last && last->slot == row->slot) {
            if (row->position != last->position + (int32_t)last->n_rows)
                return lm_fail(error, LLM_E_INTERNAL, "row %u: position %d of session %u where %d is due", r, row->position, row->slot,
                               last->position + (int32_t)last->n_rows);
            last->n_rows++;
            continue;
        }
        for (uint32_t s = 0; s < n; s++)
            if (arena->segments[s].slot == row->slot)
                return lm_fail(error, LLM_E_INTERNAL, "row %u: rows of session %u do not follow one another", r, row->slot);
        memset(&arena->segments[n], 0, sizeof *arena->segments);
        arena->segments[n].slot = row->slot;
        arena->segments[n].first_row = r;
        arena->segments[n].n_rows = 1;
        arena->segments[n++].position = row->position;
    }
    if (n_out != batch->n_out)
        return lm_fail(error, LLM_E_INTERNAL, "%u rows want logits, %u were said to", n_out, batch->n_out);
    run->n_segments = n;
    return LLM_OK;
}

/* Page numbers become pointers, from the first page still seen to the last one written. */
static llm_status run_pages(lm_cpu_run *run, const lm_batch *batch, llm_error *error)
{
    const lm_program *program = run->exec->program;
    uint64_t used = 0;
    for (uint32_t s = 0; s < run->n_segments; s++) {
        lm_cpu_segment *segment = &run->arena->segments[s];
        const lm_slot *slot = &batch->slots[segment->slot];
        for (uint32_t c = 0; c < program->n_page_classes; c++) {
            uint32_t keep = lm_program_keep(program, c), n = (uint32_t)(segment->position + (int32_t)segment->n_rows - 1) / LM_PAGE_POSITIONS + 1;
            uint32_t first = keep == 0 || (uint32_t)segment->position < keep ? 0 : ((uint32_t)segment->position - keep + 1) / LM_PAGE_POSITIONS;
            if (slot->n_pages[c] < n)
                return lm_fail(error, LLM_E_INTERNAL, "session %u has %u pages of class %u, position %d needs %u", segment->slot, slot->n_pages[c], c,
                               segment->position + (int32_t)segment->n_rows - 1, n);
            if (n > run->arena->max_pages - used)
                return lm_fail(error, LLM_E_INTERNAL, "the pass reads more than the arena's %u pages", run->arena->max_pages);
            segment->pages[c] = run->arena->pages + used;
            segment->n_pages[c] = n;
            used += n;
            for (uint32_t i = 0; i < n; i++) {
                segment->pages[c][i] = i < first ? NULL : lm_cpu_page(run->pool, c, slot->pages[c][i]);
                if (i >= first && !segment->pages[c][i])
                    return lm_fail(error, LLM_E_INTERNAL, "session %u: page %u of class %u is number %u, which is not taken", segment->slot, i, c, slot->pages[c][i]);
            }
        }
    }
    return LLM_OK;
}

static llm_status run_pool(const lm_program *program, const lm_cpu_pool *pool, llm_error *error)
{
    bool same = pool->n_streams == program->n_streams && pool->n_classes == program->n_page_classes;
    for (uint32_t s = 0; same && s < program->n_streams; s++) {
        const lm_cpu_stream *a = &pool->streams[s];
        const lm_stream *b = &program->streams[s];
        same = a->page_class == b->page_class && a->n_heads == b->n_heads && a->k_dim == b->k_dim && a->v_dim == b->v_dim;
    }
    return same ? LLM_OK : lm_fail(error, LLM_E_INTERNAL, "the pool was made for other streams than the program's");
}

/* For the state's type, which the pool has checked. */
static void run_state_kernels(lm_cpu_run *run)
{
    const lm_kernels *kernels = &run->cpu->kernels;
    switch (run->pool->state_type) {
    case LLM_STATE_TYPE_F32:
        run->store_k = kernels->store_k_f32;
        run->store_v = kernels->store_v_f32;
        run->attend = kernels->attend_f32;
        break;
    case LLM_STATE_TYPE_INT8:
        run->store_k = kernels->store_k_i8;
        run->store_v = kernels->store_v_i8;
        run->attend = kernels->attend_i8;
        break;
    default:
        run->store_k = kernels->store_k_f16;
        run->store_v = kernels->store_v_f16;
        run->attend = kernels->attend_f16;
    }
}

llm_status lm_cpu_run_begin(lm_backend *backend, lm_exec *exec, lm_pool *pool, lm_run_arena *handle, const lm_batch *batch, lm_run **out, llm_error *error)
{
    lm_cpu *cpu = (lm_cpu *)backend;
    lm_cpu_arena *arena = (lm_cpu_arena *)handle;
    lm_cpu_run *run = arena->run;
    const lm_program *program = ((const lm_cpu_exec *)exec)->program;
    if (run->active)
        return lm_fail(error, LLM_E_BUSY, "another run is in progress in this arena");
    if (arena->program != program)
        return lm_fail(error, LLM_E_INTERNAL, "the arena was made for another program");
    if (batch->n_rows == 0 || batch->n_rows > arena->max_rows || batch->n_out > arena->max_out || batch->n_slots > arena->max_slots)
        return lm_fail(error, LLM_E_INVALID, "%u rows of %u sessions, %u outputs: the arena holds %u, %u and %u", batch->n_rows, batch->n_slots,
                       batch->n_out, arena->max_rows, arena->max_slots, arena->max_out);
    LM_TRY(run_pool(program, (const lm_cpu_pool *)pool, error));
    run->cpu = cpu;
    run->exec = (const lm_cpu_exec *)exec;
    run->pool = (const lm_cpu_pool *)pool;
    run->arena = arena;
    run->n_rows[LM_ROWS_ALL] = batch->n_rows;
    run->n_rows[LM_ROWS_OUT] = batch->n_out;
    LM_TRY(run_rows(run, batch, program->n_vocab, error));
    LM_TRY(run_pages(run, batch, error));
    run_state_kernels(run);
    run->op = run->stage = run->round = run->finished = run->held = 0;
    for (uint32_t r = 0; program->given && r < batch->n_rows; r++) {
        size_t width = program->values[program->given - 1].width;
        memcpy(lm_cpu_value(run, (int32_t)program->given - 1, r), batch->given + r * width, width * sizeof(float));
    }
    run->stop_op = LM_RUN_ALL_OPS;
    run_publish(run, run_advance(run));
    run->active = 1;
    *out = (lm_run *)run;
    return LLM_OK;
}
