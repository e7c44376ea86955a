/* SPDX-License-Identifier: MIT
 * Steps: from sessions with work to one pass over the weights and back: rows, pages, lane, run, logits, draws.
 *
 *      find a paused pass whose sessions are all here  --none-->  begin: choose sessions, share the rows, take a lane and pages
 *                        |                                                     |
 *                        +------------------> run <---------------------------+      until done, the budget's end, a cancel, or
 *                                              |                                      somebody waits at the turnstile. A pass on a GPU
 *                                              |                                      takes no turn there, and may stay in flight
 *                                   done: scores, logits, a draw each
 *
 * Invariants: 1. A step holds (busy) every session it was given; a pass is run by a step that holds all its members. 2. A session is in
 * one pass at most, which starts at its n_evaluated. 3. Until a pass is done nothing of a session changes but pages beyond n_evaluated;
 * so dropping a pass needs no undo. 4. Lanes' member lists and sessions' `lane` change under the engine's lock. */
#include "session/session.h"

#include "session/grammar.h"

#include "base/cpu.h"
#include "base/half.h"
#include "base/os.h"

#include <math.h>
#include <string.h>

/* A turn while others wait; how long to wait for a lane before answering; what a step computes for at least, so that no budget stands still. */
enum { STEP_QUANTUM_NS = 2000000, STEP_LANE_WAIT_NS = 1000000, STEP_LEAST_NS = 20000 };

typedef struct step_call {
    llm_engine *engine;
    llm_model *model;
    llm_session *const *sessions; size_t n;
    int64_t begin_ns, deadline_ns;
    bool no_wait, look;                 /* devices are given work and left with it; only what they have done is fetched */
    llm_status status;                  /* of the first session that failed */
    llm_error *error;
} step_call;

/* A session stops here until it is mended. The first failure of a step is its answer. */
static void step_fail(step_call *call, llm_session *s, llm_status status, const llm_error *why)
{
    s->failed = status;
    if (s->reply)
        lm_reply_end(s->reply);
    if (call->status != LLM_OK)
        return;
    call->status = status;
    if (call->error && why != call->error)
        *call->error = *why;
}

/* ---- passes in progress --------------------------------------------------------------------------------------------------- */

/* Under the engine's lock: the pass is over, done or not. Its lane stays taken. */
static void step_end_pass(lm_lane *lane)
{
    for (uint32_t i = 0; i < lane->n_members; i++)
        lane->members[i]->lane = NULL;
    lane->n_members = 0;
    lane->backend->table->run_end(lane->backend, lane->run);
    lane->run = NULL;
}

static void step_close_pass(llm_engine *engine, lm_lane *lane)
{
    lm_mutex_lock(&engine->lock);
    step_end_pass(lane);
    lm_mutex_unlock(&engine->lock);
    lm_engine_give_lane(engine, lane);
}

void lm_session_drop_pass(llm_session *s)
{
    llm_engine *engine = s->model->engine;
    lm_mutex_lock(&engine->lock);
    lm_lane *lane = s->lane;
    if (lane)
        step_end_pass(lane);
    lm_mutex_unlock(&engine->lock);
    if (lane)
        lm_engine_give_lane(engine, lane);
}

/* True if the step holds every member. Under the engine's lock. */
static bool step_holds(const step_call *call, const lm_lane *lane)
{
    for (uint32_t i = 0; i < lane->n_members; i++)
        if (atomic_load(&lane->members[i]->caller) != call)
            return false;
    return true;
}

/* The oldest pass in progress of these sessions; those that have members elsewhere are dropped: their sessions changed company. */
static lm_lane *step_find_pass(step_call *call)
{
    lm_lane *found = NULL;
    for (size_t i = 0; i < call->n; i++) {
        llm_session *s = call->sessions[i];
        lm_mutex_lock(&call->engine->lock);
        lm_lane *lane = s->lane, *dropped = NULL;
        if (lane && lane != found && !step_holds(call, lane))
            step_end_pass(dropped = lane);
        else if (lane && (!found || lane->began < found->began))
            found = lane;
        lm_mutex_unlock(&call->engine->lock);
        if (dropped)
            lm_engine_give_lane(call->engine, dropped);
    }
    return found;
}

/* ---- beginning one -------------------------------------------------------------------------------------------------------- */

static uint32_t step_round_up(uint32_t n)
{
    uint32_t p = 1;
    while (p < n)
        p *= 2;
    return p;
}

lm_lane_need lm_step_need_alone(const llm_engine *engine, uint32_t n_ctx, uint32_t n_classes)
{
    return (lm_lane_need){ .rows = LM_MIN((uint32_t)engine->n_chunk, n_ctx), .out = 1, .slots = 1, .pages = lm_pages_count(n_ctx) * n_classes };
}

/* By contexts, not by what is in them, so that a lane does not grow as they fill. */
lm_lane_need lm_step_need(const llm_engine *engine, llm_session *const *members, uint32_t n)
{
    lm_lane_need need = { 0, 0, 0, 0 };
    uint64_t rows = 0;
    bool scores = false;
    for (uint32_t i = 0; i < n; i++) {
        lm_lane_need one = lm_step_need_alone(engine, members[i]->n_ctx, members[i]->pages->n_classes);
        rows += one.rows;
        need.pages += one.pages;
        scores |= members[i]->n_scores > members[i]->n_evaluated;
    }
    need.rows = (uint32_t)LM_MIN(rows, (uint64_t)engine->n_chunk);
    need.slots = step_round_up(n);
    need.out = LM_MIN(LM_MAX(need.slots, scores ? (uint32_t)LM_PASS_SCORES : 1u), need.rows);
    return need;
}

static bool step_wants_logits(const llm_session *s, size_t position)
{
    return position + 1 == s->n_tokens || lm_session_wants_score(s, position + 1);
}

static bool step_can_join(const llm_session *s, const lm_pages *pages)
{
    return s->failed == 0 && s->ended == 0 && !s->stepped && s->n_evaluated < s->n_tokens && (!pages || s->pages == pages);
}

/* Who takes part: who waited longest first, then in the order given. */
static uint32_t step_choose(step_call *call, llm_session **members)
{
    uint32_t n = 0, most = (uint32_t)LM_MIN(LM_PASS_SLOTS, call->engine->n_chunk);
    size_t first = call->n;
    for (size_t i = 0; i < call->n; i++)
        if (step_can_join(call->sessions[i], NULL) && (first == call->n || call->sessions[i]->turn < call->sessions[first]->turn))
            first = i;
    for (size_t k = 0; first < call->n && k < call->n && n < most; k++) {
        llm_session *s = call->sessions[(first + k) % call->n];
        if (step_can_join(s, call->sessions[first]->pages))
            members[n++] = s;
    }
    return n;
}

/* Shares the rows of a pass: equal parts, what one does not need goes to the others; then cuts where rows that want logits are too many. */
static void step_share_rows(llm_session *const *members, uint32_t n, const lm_lane_need *size, uint32_t max_rows, uint32_t *n_rows)
{
    uint32_t left = LM_MIN(size->rows, max_rows), hungry = n, out_left = size->out;
    memset(n_rows, 0, n * sizeof *n_rows);
    while (left > 0 && hungry > 0) {
        uint32_t part = LM_MAX(left / hungry, 1u);
        hungry = 0;
        for (uint32_t i = 0; i < n && left > 0; i++) {
            size_t wanted = members[i]->n_tokens - members[i]->n_evaluated - n_rows[i];
            uint32_t take = LM_MIN((uint32_t)LM_MIN(wanted, (size_t)part), left);
            n_rows[i] += take;
            left -= take;
            hungry += wanted > take;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t out = 0, allowed = out_left - (n - 1 - i);     /* one is kept for each of the rest */
        for (uint32_t r = 0; r < n_rows[i]; r++) {
            if (!step_wants_logits(members[i], members[i]->n_evaluated + r))
                continue;
            if (out == allowed) {
                n_rows[i] = r;
                break;
            }
            out++;
        }
        out_left -= out;
    }
}

/* The log-probability of the token at `position` by the logits before it. There is room for it. */
static void step_score(llm_session *s, size_t position, const float *logits, uint32_t n_vocab)
{
    s->scores[position] = (float)((double)logits[s->tokens->ids[position]] - lm_logits_log_sum(logits, n_vocab, NULL));
    if (s->on_score)
        s->on_score(s->on_score_user, position, logits, (int32_t)n_vocab);
}

/* A token that was given after its predecessor had been taken in: the logits are there. */
static void step_score_first(llm_session *s)
{
    if (s->logits_at != 0 && s->logits_at == s->n_evaluated && lm_session_wants_score(s, s->n_evaluated))
        step_score(s, s->n_evaluated, s->logits->values, s->logits->n);
}

/* Pages and room for what the pass will leave behind. On failure the session is as before. */
static llm_status step_prepare(llm_session *s, uint32_t n_rows, llm_error *error)
{
    lm_host *host = &s->model->engine->host;
    LM_TRY(lm_page_table_write(s->pages, &s->table, s->n_evaluated, s->n_evaluated + n_rows, error));
    if (s->n_evaluated + n_rows == s->n_tokens) {
        if (s->logits_at != s->n_evaluated || s->logits_at == 0) {      /* else they are still good, and may be shared: see finish */
            LM_TRY(lm_logits_room(host, &s->logits, s->model->model->n_vocab, error));
            s->logits_at = 0;
        }
        if (s->reply && s->reply->active && s->n_tokens < s->n_ctx)
            LM_TRY(lm_ids_room(host, &s->tokens, s->n_tokens, s->n_tokens + 1, s->n_ctx, error));
    }
    return LLM_OK;
}

/* Drops from the pass those for whom there is no memory. */
static uint32_t step_prepare_all(step_call *call, llm_session **members, uint32_t *n_rows, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        llm_error why;
        llm_status status = step_prepare(members[i], n_rows[i], &why);
        if (status < 0) {
            step_fail(call, members[i], status, &why);
            continue;
        }
        n_rows[kept] = n_rows[i];
        members[kept++] = members[i];
    }
    return kept;
}

static lm_batch step_table(lm_lane *lane, llm_session *const *members, const uint32_t *n_rows, uint32_t n)
{
    lm_batch batch = { .rows = lane->rows, .slots = lane->slots, .n_slots = n };
    for (uint32_t i = 0; i < n; i++) {
        const llm_session *s = members[i];
        for (uint32_t c = 0; c < LM_MAX_PAGE_CLASSES; c++) {
            bool used = c < s->pages->n_classes;
            lane->slots[i].pages[c] = used ? s->table.pages[c] : NULL;
            lane->slots[i].n_pages[c] = used ? lm_pages_count(s->n_evaluated + n_rows[i]) : 0;
        }
        for (uint32_t r = 0; r < n_rows[i]; r++) {
            size_t position = s->n_evaluated + r;
            bool out = step_wants_logits(s, position);
            lane->rows[batch.n_rows++] = (lm_row){ .slot = i, .position = (int32_t)position, .token = s->tokens->ids[position],
                                                   .flags = s->row_flags | (out ? LM_ROW_LOGITS : 0) };
            batch.n_out += out;
        }
    }
    return batch;
}

/* LLM_OK: *out is a pass, or NULL if nobody is left to run. LLM_MORE: no lane is free. */
static llm_status step_begin(step_call *call, lm_lane **out)
{
    llm_session *members[LM_PASS_SLOTS];
    uint32_t n_rows[LM_PASS_SLOTS], n = step_choose(call, members);
    lm_model *model = call->model->model;
    llm_error why;
    *out = NULL;
    if (n == 0)
        return LLM_OK;
    lm_lane_need need = lm_step_need(call->engine, members, n);
    lm_lane *lane = NULL;
    llm_status status = lm_engine_take_lane(call->engine, model->backend, model->exec, &need, &lane, &why);
    if (status == LLM_MORE)
        return LLM_MORE;
    if (status == LLM_OK) {
        for (uint32_t i = 0; i < n; i++)
            step_score_first(members[i]);
        step_share_rows(members, n, &lane->size, (uint32_t)call->engine->n_chunk, n_rows);
        n = step_prepare_all(call, members, n_rows, n);
        if (n == 0) {
            lm_engine_give_lane(call->engine, lane);
            return LLM_OK;
        }
        lm_batch batch = step_table(lane, members, n_rows, n);
        lane->n_batch = batch.n_rows;
        lane->n_out = batch.n_out;
        batch.no_wait = call->no_wait;
        status = model->backend->table->run_begin(model->backend, model->exec, members[0]->pages->pool, lane->arena, &batch, &lane->run, &why);
        if (status != LLM_OK) {
            lane->run = NULL;
            lm_engine_give_lane(call->engine, lane);
        }
        if (status == LLM_MORE)
            return LLM_MORE;
    }
    if (status < 0) {
        for (uint32_t i = 0; i < n; i++)
            step_fail(call, members[i], status, &why);
        return LLM_OK;
    }
    lm_mutex_lock(&call->engine->lock);
    lane->began = atomic_fetch_add(&call->engine->n_passes, 1) + 1;
    lane->n_members = n;
    lane->op = 0;
    for (uint32_t i = 0; i < n; i++) {
        lane->members[i] = members[i];
        lane->n_rows[i] = n_rows[i];
        lane->cancel[i] = &members[i]->cancel;
        members[i]->lane = lane;
        members[i]->turn = lane->began;
    }
    lm_mutex_unlock(&call->engine->lock);
    *out = lane;
    return LLM_OK;
}

/* ---- running one ---------------------------------------------------------------------------------------------------------- */

/* The time from begin to now, of which one may be 0: see lm_now_ns. */
static uint64_t step_spent(int64_t begin, int64_t now) { return begin > 0 && now > begin ? (uint64_t)(now - begin) : 0; }

static void step_account(lm_lane *lane, uint64_t ns)
{
    for (uint32_t i = 0; i < lane->n_members; i++) {
        llm_session *s = lane->members[i];
        if (s->reply_drawn && lane->n_rows[i] == 1)
            s->generate_ns += ns;
        else
            s->prompt_ns += ns;
    }
}

/* The work in progress of this session ends at its last whole token. */
static void step_cancel(llm_session *s)
{
    lm_session_drop_pass(s);
    atomic_store(&s->cancel, 0);
    if (s->ended != 0 || s->failed != 0)
        return;
    s->ended = LLM_END_CANCELLED;
    if (s->reply)
        lm_reply_end(s->reply);
}

static bool step_cancel_members(step_call *call)
{
    bool any = false;
    for (size_t i = 0; i < call->n; i++)
        if (atomic_load(&call->sessions[i]->cancel) != 0) {
            step_cancel(call->sessions[i]);
            any = true;
        }
    return any;
}

/* It goes on beside the processor: no turn is needed. */
static bool step_beside(const lm_lane *lane)
{
    const lm_backend_table *table = lane->backend->table;
    return table->run_beside && table->run_beside(lane->backend, lane->run);
}

/* LLM_OK: the pass is done. LLM_MORE: it is paused or in flight, or was dropped because of a cancel. < 0: it is dead. */
static llm_status step_run(step_call *call, lm_lane *lane, llm_error *why)
{
    lm_turnstile *turnstile = &call->engine->turnstile;
    lm_importance *importance = call->model->importance;
    lane->cancel[lane->n_members] = &turnstile->waiting;
    for (;;) {
        bool beside = step_beside(lane);
        if (!beside && (call->look || !lm_turnstile_enter(turnstile, call->deadline_ns)))
            return LLM_MORE;
        lm_run_control control = { .deadline_ns = call->deadline_ns, .cancel = lane->cancel, .n_cancel = lane->n_members + !beside,
                                   .stop_op = LM_RUN_ALL_OPS, .no_wait = call->no_wait };
        int64_t begin = lm_now_ns();
        if (call->look)
            control.deadline_ns = 0;
        else if (control.deadline_ns - begin < STEP_LEAST_NS)
            control.deadline_ns = begin + STEP_LEAST_NS;
        if (!beside && atomic_load(&turnstile->waiting) != 0) {        /* somebody is next: a short turn, but one that gets on */
            control.deadline_ns = LM_MIN(control.deadline_ns, begin + STEP_QUANTUM_NS);
            control.n_cancel--;
        }
        if (importance) {                                   /* up to the next product, whose input is then there */
            control.stop_op = lm_importance_next(call->model->model->program, lane->op);
            control.deadline_ns = INT64_MAX;
            control.no_wait = false;
        }
        llm_status status = lane->backend->table->run_step(lane->backend, lane->run, &control, why);
        if (!beside)
            lm_turnstile_leave(turnstile);
        if (importance && status == LLM_MORE) {
            lm_mutex_lock(&call->model->lock);
            lm_importance_add(importance, lane->backend, lane->run, control.stop_op, lane->n_batch, lane->n_out);
            lm_mutex_unlock(&call->model->lock);
            lane->op = control.stop_op + 1;
        }
        int64_t now = lm_now_ns();
        step_account(lane, step_spent(begin, now));
        if (status == LLM_OK)
            return LLM_OK;
        if (status != LLM_MORE && status != LLM_E_CANCELLED)
            return status;
        if (step_cancel_members(call))
            return LLM_MORE;
        if (now >= call->deadline_ns || (beside && call->no_wait && !importance))
            return LLM_MORE;
    }
}

/* ---- after one ------------------------------------------------------------------------------------------------------------ */

static llm_status step_check_logits(const float *logits, uint32_t n, llm_error *error)
{
    if (lm_logits_finite(logits, n))
        return LLM_OK;
    for (uint32_t i = 0; i < n; i++)
        if ((lm_bits_from_f32(logits[i]) & 0x7f800000u) == 0x7f800000u)
            return lm_fail(error, LLM_E_NUMERIC, "the model gave NaN or infinity as the logit of token %u: its weights are damaged or overflow", i);
    return LLM_OK;
}

/* *out LLM_TOKEN_NONE: a grammar's text is whole, and nothing may follow. */
static llm_status step_draw_with(llm_session *s, lm_reply *reply, lm_room *room, llm_token *out, lm_memory *memory, llm_error *error)
{
    uint32_t n_vocab = s->logits->n;
    bool over = false;
    memcpy(room->logits, s->logits->values, (size_t)n_vocab * sizeof(float));
    if (reply->on_logits)
        reply->on_logits(reply->user, room->logits, (int32_t)n_vocab);
    if (lm_grammar_of(reply))
        LM_TRY(lm_grammar_mask(reply, s->model->model->tokenizer, s->tokens->ids, room->logits, &over, error));
    if (over)
        return LLM_OK;
    if (reply->sampler) {
        const lm_memory *last = s->n_memories != 0 ? &s->memories->at[s->n_memories - 1] : NULL;
        lm_draw draw = { .tokens = s->tokens->ids, .n_tokens = s->n_tokens, .seed = reply->seed, .position = s->n_tokens + s->n_slid,
                         .memory = last && last->kind == reply->sampler->remembers ? last : NULL };
        return lm_sampler_draw(reply->sampler, &draw, room, out, memory, error);
    }
    for (uint32_t i = 0; i < n_vocab; i++)
        if (!(room->logits[i] < INFINITY))
            return lm_fail(error, LLM_E_NUMERIC, "the hook left NaN or infinity as the logit of token %u", i);
    return lm_sampler_argmax(room->logits, n_vocab, out, error);
}

static llm_status step_pick(llm_session *s, llm_token *out, lm_memory *memory, llm_error *error)
{
    lm_reply *reply = s->reply;
    if (!reply->on_logits && (!reply->sampler || lm_sampler_is_greedy(reply->sampler)))
        return lm_sampler_argmax(s->logits->values, s->logits->n, out, error);
    lm_scratch *scratch = NULL;
    LM_TRY(lm_loaded_take_scratch(s->model, &scratch, error));
    llm_status status = step_draw_with(s, reply, &scratch->room, out, memory, error);
    lm_loaded_give_scratch(s->model, scratch);
    return status;
}

/* The reply ends, or the context slides and it goes on when the rest has been taken in. */
static llm_status step_full(llm_session *s, llm_error *error)
{
    llm_status status = lm_grammar_of(s->reply) ? LLM_MORE : lm_session_slide(s, 1, error);  /* a grammar's place is found by all of the reply */
    if (status == LLM_MORE) {
        lm_reply_end(s->reply);
        s->ended = LLM_END_CONTEXT;
    }
    return status < 0 ? status : LLM_OK;
}

/* A token stands at the end of the timeline: the reply takes it in. */
static int32_t step_accept(llm_session *s, llm_token token)
{
    s->n_tokens++;
    s->reply_drawn = true;
    return lm_reply_accept(s->reply, s->model->model->tokenizer, token);
}

/* What a grammar says must come is appended without a draw, to be taken in together; not where each token's probability is asked for. No
 * failure is one: a draw under the mask does it too. Returns how the reply ended, or LLM_STATE_WORKING. */
static int32_t step_force(llm_session *s)
{
    enum { STEP_FORCED = 64 };
    lm_reply *reply = s->reply;
    llm_token forced[STEP_FORCED];
    size_t n = 0, room = s->n_ctx - s->n_tokens;
    bool over = false;
    int32_t end = LLM_STATE_WORKING;
    llm_error why;
    if (reply->flags & LLM_GENERATE_SCORE)
        room = 0;
    if (lm_grammar_forced(reply, s->model->model->tokenizer, s->tokens->ids, forced, LM_MIN(room, (size_t)STEP_FORCED), &n, &over, &why) == LLM_OK && n != 0 &&
        lm_ids_room(&s->model->engine->host, &s->tokens, s->n_tokens, s->n_tokens + n, s->n_ctx, &why) == LLM_OK)
        for (size_t i = 0; i < n && end == LLM_STATE_WORKING; i++) {
            s->tokens->ids[s->n_tokens] = forced[i];
            end = step_accept(s, forced[i]);
        }
    if (n != 0 && end == LLM_STATE_WORKING &&
        lm_grammar_forced(reply, s->model->model->tokenizer, s->tokens->ids, forced, 0, &n, &over, &why) < 0)
        over = false;
    if (end == LLM_STATE_WORKING && over) {
        lm_reply_end(reply);
        reply->over = true;
        end = LLM_END_GRAMMAR;
    }
    return end;
}

/* Draws a token if the reply wants one. All is taken in, and its logits are there. On failure the timeline is unchanged. */
static llm_status step_draw(llm_session *s, llm_error *error)
{
    lm_reply *reply = s->reply;
    llm_token token = LLM_TOKEN_NONE;
    if (!reply || !reply->active || s->n_evaluated != s->n_tokens)
        return LLM_OK;
    if (s->n_tokens == s->n_ctx)
        return step_full(s, error);
    LM_TRY(lm_ids_room(&s->model->engine->host, &s->tokens, s->n_tokens, s->n_tokens + 1, s->n_ctx, error));
    if (reply->flags & LLM_GENERATE_SCORE)
        LM_TRY(lm_session_scores_room(s, s->n_tokens + 1, error));
    bool remembers = reply->sampler && reply->sampler->remembers != LM_REMEMBERS_NOTHING;
    lm_memory memory = { 0 };
    if (remembers)
        LM_TRY(lm_memories_room(&s->model->engine->host, &s->memories, s->n_memories, s->n_memories + 1, error));
    LM_TRY(step_pick(s, &token, &memory, error));
    if (token == LLM_TOKEN_NONE) {
        lm_reply_end(reply);
        reply->over = true;
        s->ended = LLM_END_GRAMMAR;
        return LLM_OK;
    }
    memory.position = (uint32_t)s->n_tokens;                /* in the timeline, also where it has slid */
    if (remembers)
        s->memories->at[s->n_memories++] = memory;
    s->tokens->ids[s->n_tokens] = token;
    if (reply->flags & LLM_GENERATE_SCORE) {
        while (s->n_scores <= s->n_tokens)
            s->scores[s->n_scores++] = NAN;
        step_score(s, s->n_tokens, s->logits->values, s->logits->n);
    }
    s->n_generated++;
    int32_t end = step_accept(s, token);
    if (end == LLM_STATE_WORKING && lm_grammar_of(reply))
        end = step_force(s);
    s->ended = end == LLM_STATE_WORKING ? 0 : end;
    return end == LLM_STATE_WORKING && s->n_tokens == s->n_ctx ? step_full(s, error) : LLM_OK;
}

/* What a done pass left for one member. out: the number of its first row with logits; advanced past its rows. On failure the session
 * is as it was before the pass. */
static llm_status step_collect(llm_session *s, lm_lane *lane, uint32_t n_rows, uint32_t *out, llm_error *error)
{
    const lm_program *program = s->model->model->program;
    uint32_t n_vocab = s->model->model->n_vocab, first = *out;
    for (uint32_t r = 0; r < n_rows; r++)
        *out += step_wants_logits(s, s->n_evaluated + r);
    for (uint32_t r = 0; r < n_rows; r++) {
        size_t position = s->n_evaluated + r;
        if (!step_wants_logits(s, position))
            continue;
        const float *logits = lane->backend->table->run_value(lane->backend, lane->run, program->logits, first++);
        LM_TRY(step_check_logits(logits, n_vocab, error));
        if (position + 1 < s->n_tokens) {
            step_score(s, position + 1, logits, n_vocab);
            continue;
        }
        LM_TRY(lm_logits_room(&s->model->engine->host, &s->logits, n_vocab, error));
        memcpy(s->logits->values, logits, (size_t)n_vocab * sizeof(float));
        s->logits_at = s->n_tokens;
    }
    s->n_evaluated += n_rows;
    s->n_prompt += n_rows - s->reply_drawn;
    s->reply_drawn = false;
    return LLM_OK;
}

static void step_finish(step_call *call, lm_lane *lane)
{
    llm_session *members[LM_PASS_SLOTS];
    uint32_t n = lane->n_members, out = 0;
    for (uint32_t i = 0; i < n; i++) {
        llm_error why;
        members[i] = lane->members[i];
        llm_status status = step_collect(members[i], lane, lane->n_rows[i], &out, &why);
        if (status < 0)
            step_fail(call, members[i], status, &why);
    }
    step_close_pass(call->engine, lane);                    /* before hooks are called: they may take their time */
    for (uint32_t i = 0; i < n; i++) {
        llm_error why;
        lm_page_table_trim(members[i]->pages, &members[i]->table, members[i]->n_evaluated, (members[i]->flags & LLM_SESSION_RESERVE) != 0);
        llm_status status = members[i]->failed ? LLM_OK : step_draw(members[i], &why);
        if (status < 0)
            step_fail(call, members[i], status, &why);
    }
}

/* ---- the call ------------------------------------------------------------------------------------------------------------- */

/* Sessions whose tokens are all taken in and that want a token: no pass is needed, their logits are there. */
static void step_draw_waiting(step_call *call)
{
    for (size_t i = 0; i < call->n; i++) {
        llm_session *s = call->sessions[i];
        llm_error why;
        if (s->failed != 0 || s->ended != 0 || !s->reply || !s->reply->active || s->n_evaluated != s->n_tokens)
            continue;
        s->stepped = true;
        int64_t begin = lm_now_ns();
        llm_status status = step_draw(s, &why);
        s->generate_ns += step_spent(begin, lm_now_ns());
        if (status < 0)
            step_fail(call, s, status, &why);
    }
}

/* Runs a pass and takes in what it leaves. As step_run; a dead one has failed its sessions. */
static llm_status step_pass(step_call *call, lm_lane *lane)
{
    llm_error why;
    llm_status status = step_run(call, lane, &why);
    if (status == LLM_OK) {
        step_finish(call, lane);
    } else if (status < 0) {
        llm_session *members[LM_PASS_SLOTS];
        uint32_t n = lane->n_members;
        memcpy(members, lane->members, n * sizeof(llm_session *));
        step_close_pass(call->engine, lane);
        for (uint32_t i = 0; i < n; i++)
            step_fail(call, members[i], status, &why);
    }
    return status;
}

/* Passes in flight that have landed, and nothing else. */
static void step_look(step_call *call)
{
    for (size_t i = 0; i < call->n; i++) {
        lm_mutex_lock(&call->engine->lock);
        lm_lane *lane = call->sessions[i]->lane;
        bool held = lane && step_holds(call, lane);
        lm_mutex_unlock(&call->engine->lock);
        if (held && !call->model->importance && step_beside(lane))
            step_pass(call, lane);
    }
}

static void step_advance(step_call *call)
{
    uint32_t given = atomic_load(&call->engine->lanes_given);
    step_draw_waiting(call);
    lm_lane *lane = step_find_pass(call);
    if (lane && call->no_wait && !call->model->importance && step_beside(lane)) {       /* what has been in flight since an earlier step is fetched on the way */
        call->look = true;
        llm_status status = step_pass(call, lane);
        call->look = false;
        if (status < 0 || lm_now_ns() >= call->deadline_ns)
            return;
        lane = step_find_pass(call);
    }
    if (!lane && step_begin(call, &lane) == LLM_MORE) {     /* all lanes hold paused passes of others */
        int64_t left = call->deadline_ns - lm_now_ns();
        if (left > 0 && !call->no_wait)
            lm_park(&call->engine->lanes_given, given, LM_MIN(left, (int64_t)STEP_LANE_WAIT_NS));
        return;
    }
    if (lane)
        step_pass(call, lane);
}

static llm_status step_all(step_call *call, int64_t budget_us)
{
    bool more = false;
    step_cancel_members(call);
    for (size_t i = 0; i < call->n; i++) {
        llm_session *s = call->sessions[i];
        s->stepped = false;
        if (s->failed != 0 && call->status == LLM_OK)
            call->status = lm_fail(call->error, s->failed, "session %zu of the step failed earlier with status %d: take it out, or mend it with "
                                   "llm_session_rewind or llm_session_sync", i, s->failed);
    }
    if (budget_us > 0)
        step_advance(call);
    else
        step_look(call);
    for (size_t i = 0; i < call->n; i++) {
        lm_session_settle(call->sessions[i]);
        more |= atomic_load(&call->sessions[i]->state) == LLM_STATE_WORKING;
    }
    return call->status != LLM_OK ? call->status : more ? LLM_MORE : LLM_OK;
}

static llm_status step_check(llm_session *const *sessions, size_t n, uint32_t flags, llm_error *error)
{
    if (flags & ~(uint32_t)LLM_STEP_NO_WAIT)
        return lm_fail(error, LLM_E_UNSUPPORTED, "flags is 0x%x: an unknown LLM_STEP_* is set", flags);
    for (size_t i = 0; i < n; i++)
        if (!sessions[i])
            return lm_fail(error, LLM_E_INVALID, "sessions[%zu] is NULL", i);
        else if (sessions[i]->model != sessions[0]->model)
            return lm_fail(error, LLM_E_INVALID, "sessions[%zu] belongs to another model than sessions[0]", i);
    return lm_engine_here(sessions[0]->model->engine, error);
}

/* Claims all or none. */
static llm_status step_claim(const step_call *call, llm_error *error)
{
    for (size_t i = 0; i < call->n; i++) {
        llm_session *s = call->sessions[i];
        if (lm_session_claim(s)) {
            atomic_store(&s->caller, (const void *)call);
            continue;
        }
        llm_status status = atomic_load(&s->caller) == (const void *)call
                                ? lm_fail(error, LLM_E_INVALID, "sessions[%zu] is given twice", i)
                                : lm_fail(error, LLM_E_BUSY, "another call is in progress on sessions[%zu]", i);
        while (i-- > 0) {
            atomic_store(&call->sessions[i]->caller, NULL);
            lm_session_release(call->sessions[i]);
        }
        return status;
    }
    return LLM_OK;
}

llm_status lm_session_step(llm_session *const *sessions, size_t n, int64_t budget_us, uint32_t flags, llm_error *error)
{
    if (n == 0)
        return LLM_OK;
    LM_TRY(step_check(sessions, n, flags, error));
    step_call call = { .engine = sessions[0]->model->engine, .model = sessions[0]->model, .sessions = sessions, .n = n, .error = error };
    call.begin_ns = lm_now_ns();
    call.no_wait = budget_us <= 0 || (flags & LLM_STEP_NO_WAIT) != 0;
    call.look = budget_us <= 0;
    call.deadline_ns = budget_us >= (INT64_MAX - call.begin_ns) / 1000 ? INT64_MAX : call.begin_ns + LM_MAX(budget_us, 0) * 1000;
    LM_TRY(step_claim(&call, error));
    uint64_t mode = lm_fp_enter();
    llm_status status = step_all(&call, budget_us);
    lm_fp_leave(mode);
    for (size_t i = 0; i < n; i++) {
        atomic_store(&sessions[i]->caller, NULL);
        lm_session_release(sessions[i]);
    }
    return status;
}
