/* SPDX-License-Identifier: MIT
 * Memory given back: sessions parked, what engines keep for speed, contexts that slide. Nothing is computed here; what was forgotten and is
 * still needed becomes pending, and steps take it in anew.
 *
 * The list of an engine's sessions is under its `roll`, which is taken before any other lock and held while a session is parked: one that is freed
 * meanwhile waits at its end. A session is parked under LM_SESSION_TRIMMED, which calls wait for instead of answering E_BUSY. */
#include "session/session.h"

#include "base/size.h"
#include "base/thread.h"

#include <string.h>

/* ---- the list */

void lm_session_enroll(llm_session *s)
{
    llm_engine *engine = s->model->engine;
    lm_mutex_lock(&engine->roll);
    s->after = engine->sessions;
    if (s->after)
        s->after->before = s;
    engine->sessions = s;
    lm_mutex_unlock(&engine->roll);
}

void lm_session_leave_roll(llm_session *s)
{
    llm_engine *engine = s->model->engine;
    lm_mutex_lock(&engine->roll);
    if (s->before)
        s->before->after = s->after;
    else if (engine->sessions == s)
        engine->sessions = s->after;
    if (s->after)
        s->after->before = s->before;
    lm_mutex_unlock(&engine->roll);
}

/* ---- parking */

/* The session is claimed. */
static void park_session(llm_session *s)
{
    lm_host *host = &s->model->engine->host;
    lm_session_drop_pass(s);
    lm_page_table_free(s->pages, &s->table);
    lm_logits_drop(host, s->logits);
    s->logits = NULL;
    s->flags &= ~(uint32_t)LLM_SESSION_RESERVE;
    s->anew = s->anew || s->n_evaluated != 0;
    s->n_evaluated = s->logits_at = 0;
    lm_ids_shrink(host, &s->tokens, s->n_tokens);
    lm_memories_shrink(host, &s->memories, s->n_memories);
    if (s->n_scores == 0) {
        lm_mem_free(&host->mem, s->scores);
        s->scores = NULL;
        s->cap_scores = 0;
    } else if (s->cap_scores > s->n_scores) {
        float *scores = lm_mem_raw(&host->mem, s->n_scores * sizeof *scores, LLM_MEMORY_OTHER);
        if (scores) {
            memcpy(scores, s->scores, s->n_scores * sizeof *scores);
            lm_mem_free(&host->mem, s->scores);
            s->scores = scores;
            s->cap_scores = s->n_scores;
        }
    }
}

llm_status lm_session_park(llm_session *s, llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    park_session(s);
    return lm_session_leave(s, LLM_OK);
}

/* ---- trimming */

/* Nothing to do, and something to give. */
static bool park_could(const llm_session *s)
{
    int32_t state = atomic_load(&s->state);
    return (state == LLM_STATE_READY || state >= LLM_END_TOKEN) && atomic_load(&s->shown_tokens) > atomic_load(&s->shown_pending);
}

/* Parks the session that was stepped longest ago. false: there is none. Under the roll. */
static bool park_oldest(llm_engine *engine)
{
    for (;;) {
        llm_session *oldest = NULL;
        uint32_t was = LM_SESSION_FREE;
        for (llm_session *s = engine->sessions; s; s = s->after)
            if (atomic_load(&s->busy) == LM_SESSION_FREE && park_could(s) && (!oldest || atomic_load(&s->turn) < atomic_load(&oldest->turn)))
                oldest = s;
        if (!oldest)
            return false;
        if (!atomic_compare_exchange_strong(&oldest->busy, &was, LM_SESSION_TRIMMED))
            continue;                                       /* a call came first */
        bool parked = park_could(oldest);
        if (parked) {
            park_session(oldest);
            lm_session_settle(oldest);
        }
        atomic_store(&oldest->busy, LM_SESSION_FREE);
        lm_unpark_all(&oldest->busy);
        if (parked)
            return true;
    }
}

static uint64_t park_freed(const llm_engine *engine, uint64_t before)
{
    uint64_t now = atomic_load(&engine->host.mem.used);
    return before > now ? before - now : 0;
}

void lm_sessions_trim(llm_engine *engine, uint64_t bytes, bool park, uint64_t *freed)
{
    uint64_t before = atomic_load(&engine->host.mem.used);
    lm_mutex_lock(&engine->roll);
    while (park_freed(engine, before) < bytes && lm_engine_close_lane(engine))
        ;
    for (llm_session *s = engine->sessions; s && park_freed(engine, before) < bytes; s = s->after)
        lm_loaded_free_scratch(s->model);
    while (park && park_freed(engine, before) < bytes && park_oldest(engine))
        ;
    lm_mutex_unlock(&engine->roll);
    *freed = park_freed(engine, before);
}

/* ---- sliding */

llm_status lm_session_slide(llm_session *s, size_t need, llm_error *error)
{
    lm_host *host = &s->model->engine->host;
    size_t keep = LM_MIN((size_t)s->n_keep, s->n_tokens), least, n = (s->n_tokens - keep + 1) / 2, left = 0;
    if (s->when_full != LLM_FULL_SLIDE || need > s->n_ctx - keep)
        return LLM_MORE;
    least = s->n_tokens + need > s->n_ctx ? s->n_tokens + need - s->n_ctx : 0;
    n = LM_MAX(n, least);
    if (s->reply)
        n = lm_reply_may_forget(s->reply, keep, n);
    if (n < least || n == 0)
        return LLM_MORE;
    LM_TRY(lm_ids_room(host, &s->tokens, s->n_tokens, s->n_tokens, s->n_ctx, error));
    if (s->n_memories != 0)
        LM_TRY(lm_memories_room(host, &s->memories, s->n_memories, s->n_memories, error));
    lm_session_drop_pass(s);
    memmove(s->tokens->ids + keep, s->tokens->ids + keep + n, (s->n_tokens - keep - n) * sizeof(llm_token));
    if (s->n_scores > keep) {
        size_t after = s->n_scores > keep + n ? s->n_scores - keep - n : 0;
        memmove(s->scores + keep, s->scores + keep + n, after * sizeof *s->scores);
        s->n_scores = keep + after;
    }
    for (size_t i = 0; i < s->n_memories; i++) {            /* the last one stays in any case: what was learnt last */
        lm_memory m = s->memories->at[i];
        if (m.position >= keep && m.position < keep + n && i + 1 < s->n_memories)
            continue;
        if (m.position >= keep)
            m.position = m.position >= keep + n ? m.position - (uint32_t)n : (uint32_t)keep;
        s->memories->at[left++] = m;
    }
    s->n_memories = left;
    if (s->reply)
        lm_reply_slide(s->reply, keep, n);
    s->past.known = false;
    s->n_tokens -= n;
    s->n_slid += n;
    s->n_evaluated = LM_MIN(s->n_evaluated, keep);
    s->logits_at = 0;
    s->reply_drawn = false;
    if (s->n_evaluated != 0 && lm_session_wants_score(s, s->n_evaluated))
        s->n_evaluated--;                                   /* its logits are needed: it is taken in again */
    lm_session_check_window(s);
    if (!(s->flags & LLM_SESSION_RESERVE))
        lm_page_table_cut(s->pages, &s->table, lm_pages_count(s->n_evaluated));
    return LLM_OK;
}
