/* SPDX-License-Identifier: MIT
 * A pass: rows and pages looked at and written where shaders read them, the plan's dispatches recorded and submitted piece by piece. A
 * submission holds about as much work as is meant to take submit_ms, or what is left until the deadline, at the rate that earlier ones
 * had; any dispatch is cut where it must be. Between submissions a run may stop. A submission in flight belongs to the arena: a step may
 * leave it there, and a run may end before it does. Owns nothing: a run lives in its arena.
 * Threads: as backend.h says; recording and submitting under `gpu`, waiting without it. */
#include "backend/vulkan/vulkan.h"

#include "base/os.h"

#include <string.h>

_Static_assert(LM_MAX_PAGE_CLASSES == 2, "shaders/tables.glsl has two numbers a slot");
enum { RUN_TABLES_HEAD = 4 };

/* ---- recording ------------------------------------------------------------------------------------------------------------- */

void lm_vk_record(lm_vk *vk, const lm_vk_dispatch *d, const uint32_t base[2], const uint32_t n[2])
{
    uint32_t push[LM_VK_PUSH_WORDS];
    memcpy(push, d->push, sizeof push);
    push[0] = base[0];
    push[1] = base[1];
    vk->fn.CmdBindPipeline(vk->command, VK_PIPELINE_BIND_POINT_COMPUTE, d->pipeline);
    vk->fn.CmdBindDescriptorSets(vk->command, VK_PIPELINE_BIND_POINT_COMPUTE, vk->layout, 0, LM_VK_SETS, d->sets, 0, NULL);
    vk->fn.CmdPushConstants(vk->command, vk->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, d->push_bytes, push);
    vk->fn.CmdDispatch(vk->command, n[0], n[1], 1);
}

static void run_barrier(lm_vk *vk, VkPipelineStageFlags to, VkAccessFlags access)
{
    VkMemoryBarrier barrier = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT, .dstAccessMask = access };
    vk->fn.CmdPipelineBarrier(vk->command, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, to, 0, 1, &barrier, 0, NULL, 0, NULL);
}

/* The next piece of the dispatch at the cursor, at most `groups` of it; returns how many. */
static uint64_t run_piece(lm_vk *vk, lm_vk_run *run, uint64_t groups)
{
    const lm_vk_dispatch *d = &run->arena->dispatches[run->at];
    const uint32_t base[2] = { run->piece[0], run->piece[1] };
    uint32_t n[2] = { d->groups[0], 1 };
    if (run->piece[0] == 0 && groups >= d->groups[0] && d->groups[0] <= vk->caps.max_groups[0]) {
        n[1] = (uint32_t)LM_MIN(LM_MIN(groups / d->groups[0], (uint64_t)(d->groups[1] - run->piece[1])), (uint64_t)vk->caps.max_groups[1]);
        run->piece[1] += n[1];
    } else {
        n[0] = (uint32_t)LM_MIN(LM_MIN(LM_MAX(groups, 1), (uint64_t)(d->groups[0] - run->piece[0])), (uint64_t)vk->caps.max_groups[0]);
        run->piece[0] += n[0];
        if (run->piece[0] == d->groups[0]) {
            run->piece[0] = 0;
            run->piece[1]++;
        }
    }
    lm_vk_record(vk, d, base, n);
    if (run->piece[1] == d->groups[1]) {
        run->piece[1] = 0;
        run->at++;
    }
    return (uint64_t)n[0] * n[1];
}

static bool run_stops(const lm_vk_run *run, uint32_t stop_op) { return run->at < run->n_dispatches && run->arena->dispatches[run->at].op >= stop_op; }

/* Logits on their way back: into memory that the host sees. */
static void run_logits(lm_vk *vk, lm_vk_run *run)
{
    static const VkMemoryBarrier after = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT, .dstAccessMask = VK_ACCESS_HOST_READ_BIT };
    const lm_program *program = run->exec->program;
    const lm_value *v = &program->values[program->logits];
    VkBufferCopy range = { (uint64_t)v->offset * run->n_rows[v->rows] * 4, 0, (uint64_t)v->width * run->n_rows[v->rows] * 4 };
    if (range.size == 0)
        return;
    run_barrier(vk, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_READ_BIT);
    vk->fn.CmdCopyBuffer(vk->command, run->arena->values[v->rows].buffer, run->arena->logits.buffer, 1, &range);
    vk->fn.CmdPipelineBarrier(vk->command, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &after, 0, NULL, 0, NULL);
}

/* What came with the batch, to where the program reads it. */
static void run_given(lm_vk *vk, lm_vk_run *run)
{
    static const VkMemoryBarrier after = { .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                           .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT };
    const lm_value *v = &run->exec->program->values[run->exec->program->given - 1];
    VkBufferCopy range = { 0, (uint64_t)v->offset * run->n_rows[v->rows] * 4, (uint64_t)v->width * run->n_rows[v->rows] * 4 };
    vk->fn.CmdCopyBuffer(vk->command, run->arena->given.buffer, run->arena->values[v->rows].buffer, 1, &range);
    vk->fn.CmdPipelineBarrier(vk->command, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &after, 0, NULL, 0, NULL);
}

/* One submission of about `ms`, off into the air. A whole pass in one is recorded so that the next pass of the same plan, which differs in nothing
 * but the tables, is the same commands once more. */
static llm_status run_submit(lm_vk *vk, lm_vk_run *run, uint32_t stop_op, double ms, llm_error *error)
{
    lm_vk_kept *kept = &run->arena->kept;
    double budget = LM_MAX(vk->rate * ms, 1), used = 0;
    bool begun = false, whole = run->at == 0 && run->piece[0] == 0 && run->piece[1] == 0 && stop_op == LM_RUN_ALL_OPS && kept->work <= budget;
    if (whole && kept->recorded == vk->changes) {
        run->at = run->n_dispatches;
        run->given = 0;
        return lm_vk_flight_again(vk, &run->arena->flight, kept->work, ms, error);
    }
    kept->recorded = 0;
    if (whole)
        budget = 1e300;                                     /* however its parts are rounded */
    LM_TRY(lm_vk_flight_begin(vk, &run->arena->flight, !whole, error));
    if (run->given)
        run_given(vk, run);
    run->given = 0;
    while (run->at < run->n_dispatches && !run_stops(run, stop_op) && (!begun || used < budget)) {
        const lm_vk_dispatch *d = &run->arena->dispatches[run->at];
        double group = (double)d->work / ((double)d->groups[0] * d->groups[1]), left = (budget - used) / group;
        if (begun && d->barrier && run->piece[0] == 0 && run->piece[1] == 0)
            run_barrier(vk, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
        used += group * (double)run_piece(vk, run, left < 1 ? 1 : left > 1e15 ? (uint64_t)1000000000000000 : (uint64_t)left);
        begun = true;
    }
    if (run->at == run->n_dispatches)
        run_logits(vk, run);
    LM_TRY(lm_vk_flight_submit(vk, &run->arena->flight, used, ms, error));
    kept->recorded = whole ? vk->changes : 0;
    return LLM_OK;
}

/* ---- steps ------------------------------------------------------------------------------------------------------------------- */

static bool run_cancelled(const lm_run_control *control)
{
    for (uint32_t i = 0; i < control->n_cancel; i++)
        if (atomic_load_explicit(control->cancel[i], memory_order_relaxed) != 0)
            return true;
    return false;
}

/* Under `gpu`, which waits let go of. *bad: the run is dead. */
static llm_status run_steps(lm_vk *vk, lm_vk_run *run, const lm_run_control *control, bool *bad, llm_error *error)
{
    for (;;) {
        double ms = vk->submit_ms;
        uint32_t op = run->at < run->n_dispatches ? run->arena->dispatches[run->at].op : run->exec->program->n_ops;
        llm_status status = lm_vk_flight_wait(vk, &run->arena->flight, control->no_wait ? 0 : control->deadline_ns, error);
        *bad = status < 0;
        run->finished = status == LLM_OK && run->at == run->n_dispatches;
        if (*bad || run->finished)
            return status;
        if (run_cancelled(control))
            return lm_fail(error, LLM_E_CANCELLED, "cancelled at operation %u of %u", op, run->exec->program->n_ops);
        if (status == LLM_MORE || run_stops(run, control->stop_op))
            return LLM_MORE;
        if (control->deadline_ns != INT64_MAX) {
            double left = (double)(control->deadline_ns - lm_now_ns()) * 1e-6;
            if (left <= 0)
                return LLM_MORE;
            ms = left < ms ? left : ms;
        }
        if (vk->settling != 0) {                            /* somebody wants the device for itself */
            if (control->no_wait)
                return LLM_MORE;
            lm_vk_flight_pause(vk, control->deadline_ns);
            continue;
        }
        *bad = (status = run_submit(vk, run, control->stop_op, ms, error)) < 0;
        if (*bad)
            return status;
        if (!control->no_wait)
            continue;
        /* Without a queue's own clock a first rate is found by waiting: what is guessed at first is far too little to take long. */
        if (!run->arena->flight.times && !vk->rated)
            *bad = (status = lm_vk_flight_wait(vk, &run->arena->flight, lm_now_ns() + (int64_t)(ms * 1e6), error)) < 0;
        return status < 0 ? status : LLM_MORE;
    }
}

llm_status lm_vk_run_step(lm_backend *backend, lm_run *handle, const lm_run_control *control, llm_error *error)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_vk_run *run = (lm_vk_run *)handle;
    bool bad = false;
    if (run->dead)
        return lm_fail(error, atomic_load(&vk->lost) ? LLM_E_DEVICE_LOST : LLM_E_INTERNAL, "a step of a pass that failed");
    if (run->finished)
        return LLM_OK;
    lm_vk_lock_busy(vk);
    llm_status status = run_steps(vk, run, control, &bad, error);
    lm_vk_unlock(vk);
    run->dead = bad;
    return status;
}

bool lm_vk_run_beside(const lm_backend *backend, const lm_run *run)
{
    (void)backend, (void)run;
    return true;
}

/* A value in the middle of a pass, or one that a finished pass has left: fetched when asked for. */
static const uint8_t *run_mirror(lm_vk *vk, lm_vk_run *run, int32_t value)
{
    lm_vk_arena *arena = run->arena;
    const lm_value *v = &run->exec->program->values[value];
    uint64_t at[2] = { 0, arena->values[LM_ROWS_ALL].bytes };
    uint64_t offset = (uint64_t)v->offset * run->n_rows[v->rows] * 4, bytes = (uint64_t)v->width * run->n_rows[v->rows] * 4;
    if (!arena->mirror) {
        arena->mirror = lm_mem_raw(&vk->base.host->mem, (size_t)(arena->values[0].bytes + arena->values[1].bytes), LLM_MEMORY_ARENA);
        run->mirrored = LM_NONE;
    }
    if (!arena->mirror)
        return NULL;
    uint8_t *to = arena->mirror + at[v->rows] + offset;
    if (run->mirrored == value && run->mirrored_at == run->at && memcmp(run->mirrored_piece, run->piece, sizeof run->piece) == 0)
        return to;
    lm_vk_lock(vk);
    llm_status status = lm_vk_download(vk, arena->values[v->rows].buffer, offset, bytes, to, NULL);
    lm_vk_unlock(vk);
    run->mirrored = status < 0 ? LM_NONE : value;
    run->mirrored_at = run->at;
    memcpy(run->mirrored_piece, run->piece, sizeof run->piece);
    return status < 0 ? NULL : to;
}

const void *lm_vk_run_value(lm_backend *backend, lm_run *handle, int32_t value, uint32_t index)
{
    lm_vk_run *run = (lm_vk_run *)handle;
    const lm_program *program = run->exec->program;
    if (value < 0 || (uint32_t)value >= program->n_values || index >= run->n_rows[program->values[value].rows])
        return NULL;
    const uint8_t *from = run->finished && value == program->logits ? run->arena->logits.mapped : run_mirror((lm_vk *)backend, run, value);
    return from ? from + (size_t)index * program->values[value].width * 4 : NULL;
}

/* What is in flight stays there, with the arena: whoever comes next looks. */
void lm_vk_run_end(lm_backend *backend, lm_run *handle)
{
    (void)backend;
    if (handle)
        ((lm_vk_run *)handle)->active = 0;
}

/* ---- beginning --------------------------------------------------------------------------------------------------------------- */

/* The parts of the tables, in words: arena's maximums, so that nothing moves. */
typedef struct run_tables { uint32_t *rows, *out_rows, *slots, *pages; } run_tables;

static run_tables run_tables_of(const lm_vk_arena *arena)
{
    uint32_t *base = arena->tables.mapped;
    base[0] = RUN_TABLES_HEAD;
    base[1] = base[0] + 4 * arena->max_rows;
    base[2] = base[1] + arena->max_out;
    base[3] = base[2] + 2 * arena->max_slots;
    return (run_tables){ base + base[0], base + base[1], base + base[2], base + base[3] };
}

/* Everything that a shader will index with is looked at here. */
static llm_status run_rows(const lm_program *program, const lm_batch *batch, const run_tables *tables, uint64_t *keys, llm_error *error)
{
    uint32_t n_out = 0;
    *keys = 0;
    for (uint32_t r = 0; r < batch->n_rows; r++) {
        const lm_row *row = &batch->rows[r], *last = r ? row - 1 : NULL;
        if (row->slot >= batch->n_slots)
            return lm_fail(error, LLM_E_INTERNAL, "row %u is of session %u, the pass has %u", r, row->slot, batch->n_slots);
        if (row->token < 0 || (uint32_t)row->token >= program->n_vocab)
            return lm_fail(error, LLM_E_INVALID, "row %u: token %d, the vocabulary has %u", r, row->token, program->n_vocab);
        if (row->position < 0 || row->position > INT32_MAX - LM_PAGE_POSITIONS)
            return lm_fail(error, LLM_E_INVALID, "row %u: position %d", r, row->position);
        if (last && last->slot == row->slot && row->position != last->position + 1)
            return lm_fail(error, LLM_E_INTERNAL, "row %u: position %d of session %u where %d is due", r, row->position, row->slot, last->position + 1);
        for (uint32_t s = 0; last && last->slot != row->slot && s < r; s++)
            if (batch->rows[s].slot == row->slot)
                return lm_fail(error, LLM_E_INTERNAL, "row %u: rows of session %u do not follow one another", r, row->slot);
        if (row->flags & LM_ROW_LOGITS) {
            if (n_out == batch->n_out)
                return lm_fail(error, LLM_E_INTERNAL, "more than %u rows want logits", batch->n_out);
            tables->out_rows[n_out++] = r;
        }
        *keys += (uint64_t)row->position + 1;
        const uint32_t words[4] = { row->slot, (uint32_t)row->position, (uint32_t)row->token, row->flags };
        memcpy(tables->rows + 4 * (size_t)r, words, sizeof words);
    }
    return n_out == batch->n_out ? LLM_OK : lm_fail(error, LLM_E_INTERNAL, "%u rows want logits, %u were said to", n_out, batch->n_out);
}

/* Pages of the sessions that have rows, from the first one still seen to the last one written. */
static llm_status run_pages(const lm_program *program, const lm_vk_pool *pool, const lm_vk_arena *arena, const lm_batch *batch, const run_tables *tables, llm_error *error)
{
    uint32_t used = 0;
    for (uint32_t r = 0, end; r < batch->n_rows; r = end) {
        uint32_t slot = batch->rows[r].slot, position = (uint32_t)batch->rows[r].position;
        for (end = r + 1; end < batch->n_rows && batch->rows[end].slot == slot; end++)
            ;
        for (uint32_t c = 0; c < program->n_page_classes; c++) {
            uint32_t keep = lm_program_keep(program, c), n = (position + (end - r) - 1) / LM_PAGE_POSITIONS + 1;
            uint32_t first = keep == 0 || position < keep ? 0 : (position - keep + 1) / LM_PAGE_POSITIONS;
            if (batch->slots[slot].n_pages[c] < n)
                return lm_fail(error, LLM_E_INTERNAL, "session %u has %u pages of class %u, position %u needs %u", slot, batch->slots[slot].n_pages[c], c, position + (end - r) - 1, n);
            if (n > arena->max_pages - used)
                return lm_fail(error, LLM_E_INTERNAL, "the pass reads more than the arena's %u pages", arena->max_pages);
            tables->slots[2 * slot + c] = used;
            for (uint32_t i = 0; i < n; i++) {
                uint32_t page = i < first ? 0 : batch->slots[slot].pages[c][i];
                if (i >= first && !lm_vk_page_taken(pool, c, page))
                    return lm_fail(error, LLM_E_INTERNAL, "session %u: page %u of class %u is number %u, which is not taken", slot, i, c, page);
                tables->pages[used + i] = page;
            }
            used += n;
        }
    }
    return LLM_OK;
}

static llm_status run_pool(const lm_program *program, const lm_vk_pool *pool, llm_error *error)
{
    bool same = pool->n_streams == program->n_streams && pool->n_classes == program->n_page_classes;
    for (uint32_t s = 0; same && s < program->n_streams; s++) {
        const lm_vk_stream *a = &pool->streams[s];
        const lm_stream *b = &program->streams[s];
        same = a->page_class == b->page_class && a->n_heads == b->n_heads && a->dim[0] == b->k_dim && a->dim[1] == b->v_dim;
    }
    return same ? LLM_OK : lm_fail(error, LLM_E_INTERNAL, "the pool was made for other streams than the program's");
}

/* Tiles of 64 keys, up to a power of two. */
static uint32_t run_depth(uint64_t deepest)
{
    uint32_t depth = 0;
    while (((uint64_t)64 << depth) < deepest)
        depth++;
    return depth;
}

/* The plan, if it is not there from the pass before. Under `gpu`, which is let go of where a pipeline must be made. */
static llm_status run_plan(lm_vk *vk, lm_vk_plan *plan, lm_vk_arena *arena, llm_error *error)
{
    const lm_vk_kept want = { .exec = plan->exec, .pool = plan->pool, .n_rows = { plan->n_rows[0], plan->n_rows[1] }, .n_slots = plan->n_slots, .depth = run_depth(plan->deepest),
                              .changes = vk->changes };
    lm_vk_kept *kept = &arena->kept;
    if (kept->exec == want.exec && kept->pool == want.pool && kept->n_rows[0] == want.n_rows[0] && kept->n_rows[1] == want.n_rows[1] && kept->n_slots == want.n_slots &&
        kept->depth == want.depth && kept->changes == want.changes)
        return LLM_OK;
    memset(kept, 0, sizeof *kept);
    LM_TRY(lm_vk_plan_make(plan, error));
    *kept = want;
    kept->n_dispatches = plan->n;
    for (uint32_t i = 0; i < plan->n; i++)
        kept->work += (double)plan->dispatches[i].work;
    return LLM_OK;
}

llm_status lm_vk_run_begin(lm_backend *backend, lm_exec *exec, lm_pool *pool, lm_run_arena *handle, const lm_batch *batch, lm_run **out, llm_error *error)
{
    lm_vk *vk = (lm_vk *)backend;
    lm_vk_arena *arena = (lm_vk_arena *)handle;
    lm_vk_run *run = arena->run;
    const lm_program *program = ((lm_vk_exec *)exec)->program;
    lm_vk_plan plan = { .vk = vk, .exec = (lm_vk_exec *)exec, .pool = (lm_vk_pool *)pool, .arena = arena, .dispatches = arena->dispatches, .cap = arena->max_dispatches };
    if (run->active)
        return lm_fail(error, LLM_E_BUSY, "another run is in progress in this arena");
    if (arena->program != program)
        return lm_fail(error, LLM_E_INTERNAL, "the arena was made for another program");
    if (batch->n_rows == 0 || batch->n_rows > arena->max_rows || batch->n_out > arena->max_out || batch->n_slots > arena->max_slots)
        return lm_fail(error, LLM_E_INVALID, "%u rows of %u sessions, %u outputs: the arena holds %u, %u and %u", batch->n_rows, batch->n_slots, batch->n_out, arena->max_rows,
                       arena->max_slots, arena->max_out);
    LM_TRY(run_pool(program, plan.pool, error));
    plan.n_rows[LM_ROWS_ALL] = batch->n_rows;
    plan.n_rows[LM_ROWS_OUT] = batch->n_out;
    for (uint32_t r = 0; r < batch->n_rows; r++) {
        plan.deepest = LM_MAX(plan.deepest, (uint64_t)batch->rows[r].position + 1);
        plan.n_slots += r == 0 || batch->rows[r].slot != batch->rows[r - 1].slot;
    }
    lm_vk_lock_busy(vk);                                    /* another session of the model may grow the pool meanwhile */
    llm_status status = lm_vk_flight_wait(vk, &arena->flight, batch->no_wait ? 0 : INT64_MAX, error);     /* of a run that was ended in the air */
    run_tables tables = run_tables_of(arena);
    if (status == LLM_OK)
        status = run_rows(program, batch, &tables, &plan.keys, error);
    if (status == LLM_OK)
        status = run_pages(program, plan.pool, arena, batch, &tables, error);
    if (status == LLM_OK)
        status = run_plan(vk, &plan, arena, error);
    lm_vk_unlock(vk);
    if (status != LLM_OK)
        return status;
    memset(run, 0, sizeof *run);
    run->exec = (lm_vk_exec *)exec;
    run->arena = arena;
    run->active = 1;
    run->n_rows[LM_ROWS_ALL] = batch->n_rows;
    run->n_rows[LM_ROWS_OUT] = batch->n_out;
    run->n_dispatches = arena->kept.n_dispatches;
    run->mirrored = LM_NONE;
    run->given = program->given != 0;
    if (run->given)
        memcpy(arena->given.mapped, batch->given, (size_t)batch->n_rows * program->values[program->given - 1].width * sizeof(float));
    *out = (lm_run *)run;
    return LLM_OK;
}
