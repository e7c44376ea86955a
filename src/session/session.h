/* SPDX-License-Identifier: MIT
 * A session is one timeline: tokens, how far the model took them in, the pages it left behind, the reply in progress. Floor 9.
 * Does not know which backend runs it. Threads: exclusive, by `busy`; `cancel`, `state` and the counters are atomic; `lane` is
 * under the engine's lock. */
#ifndef LM_SESSION_SESSION_H
#define LM_SESSION_SESSION_H

#include "session/blocks.h"
#include "session/loaded.h"
#include "session/reply.h"
#include "session/sampler.h"

enum { LM_SESSION_FREE = 0, LM_SESSION_CALLED = 1, LM_SESSION_TRIMMED = 2 };        /* trimmed: whoever calls waits */

struct llm_session {
    llm_model *model;                   /* held */
    lm_pages *pages;                    /* the model's pool of our state type */
    _Atomic uint32_t busy, cancel;      /* busy: LM_SESSION_* */
    _Atomic int32_t state;              /* as llm_session_state answers; the three are published by lm_session_settle */
    _Atomic uint64_t shown_tokens, shown_pending;
    _Atomic(const void *) caller;       /* the step in progress that holds us */

    int32_t state_type;
    uint32_t n_ctx, flags;
    uint32_t row_flags;                 /* of every row: LM_ROW_LONG or 0, by n_ctx */
    bool reply_drawn;                   /* the pending token was drawn, not given */
    bool stepped;                       /* this step has drawn for us already */
    bool anew;                          /* what was taken in is taken in anew: LLM_SESSION_ANEW */
    int32_t ended;                      /* LLM_END_* or 0 */
    llm_status failed;                  /* < 0 or 0 */

    lm_ids *tokens;
    size_t n_tokens, n_evaluated;       /* the rest is pending */
    lm_memories *memories;              /* or NULL: nothing was drawn by a recipe that remembers */
    size_t n_memories;                  /* those of tokens of this timeline */
    float *scores;                      /* [cap_scores] or NULL: nobody asked */
    size_t n_scores, cap_scores;        /* valid ones; NaN is none, SCORE_WANTED: asked for, not there yet */
    void (*on_score)(void *user, size_t position, const float *logits, int32_t n_vocab);   /* or NULL */
    void *on_score_user;
    lm_logits *logits;                  /* after token logits_at - 1 */
    size_t logits_at;                   /* 0: none */
    lm_page_table table;
    lm_reply *reply;                    /* or NULL: generate was never called */
    lm_reply_past past;                 /* without a reply: of one that came with a restore or a fork */
    lm_lane *lane;                      /* the pass in progress that we are in */
    _Atomic uint64_t turn;              /* number of our last pass: who waited longest goes first */
    llm_session *before, *after;        /* in the engine's list; under its roll */
    int32_t when_full;                  /* LLM_FULL_* */
    uint32_t n_keep;
    uint64_t n_slid;                    /* tokens that stood behind the kept ones and were forgotten: a draw's position counts them */
    uint64_t n_prompt, prompt_ns, n_generated, generate_ns;
};

llm_status lm_session_check_desc(const llm_session_desc *desc, llm_error *error);
uint32_t lm_session_n_ctx(const llm_session_desc *desc, uint32_t n_ctx_train);      /* what the default comes to */
llm_status lm_session_new(llm_model *model, const llm_session_desc *desc, llm_session **out, llm_error *error);
llm_status lm_session_copy(llm_session *session, llm_session **out, llm_error *error);
void lm_session_close(llm_session *session);
/* The reply that the timeline ends with, if any. */
lm_reply_past lm_session_past(const llm_session *session);

llm_status lm_session_append(llm_session *s, const llm_token *tokens, size_t n, uint32_t flags, llm_error *error);
llm_status lm_session_append_text(llm_session *s, const char *text, size_t len, uint32_t flags, llm_error *error);
llm_status lm_session_sync(llm_session *s, const llm_token *tokens, size_t n, uint32_t flags, llm_error *error);
llm_status lm_session_rewind(llm_session *s, size_t n_tokens, llm_error *error);
llm_status lm_session_generate(llm_session *s, const llm_generate_desc *desc, llm_error *error);
llm_status lm_session_step(llm_session *const *sessions, size_t n, int64_t budget_us, uint32_t flags, llm_error *error);

size_t lm_session_read_text(llm_session *s, char *buf, size_t cap);
llm_status lm_session_tokens(llm_session *s, const llm_token **tokens, size_t *n, llm_error *error);
llm_status lm_session_logits(llm_session *s, const float **logits, size_t *n, llm_error *error);
llm_status lm_session_scores(llm_session *s, const float **log_probs, size_t *n, llm_error *error);
llm_status lm_session_watch_scores(llm_session *s, void (*on_score)(void *user, size_t position, const float *logits, int32_t n_vocab), void *user,
                                   llm_error *error);
llm_status lm_session_best(llm_session *s, llm_token_score *out, size_t cap, size_t *n, llm_error *error);
llm_status lm_session_info(llm_session *s, llm_session_info *info, llm_error *error);

llm_status lm_session_park(llm_session *s, llm_error *error);
/* Parks idle sessions, and before that gives back what is kept for speed, until the engine holds so many bytes less. *freed: how many. */
void lm_sessions_trim(llm_engine *engine, uint64_t bytes, bool park, uint64_t *freed);

/* ---- among the files of this folder: the session is claimed ---------------------------------------------------------------- */

/* Claims it or answers E_BUSY; settles, gives it back and answers status. */
llm_status lm_session_enter(llm_session *s, llm_error *error);
llm_status lm_session_leave(llm_session *s, llm_status status);
/* n_evaluated was lowered: where a window no longer holds what the rows to come see, all is taken in again. */
void lm_session_check_window(llm_session *s);
bool lm_session_claim(llm_session *s);
void lm_session_release(llm_session *s);
/* In the engine's list, as long as it lives. */
void lm_session_enroll(llm_session *s);
void lm_session_leave_roll(llm_session *s);
/* Forgets the older half of what stands behind n_keep, or more where `need` tokens are to come. LLM_MORE: not allowed, or it would not help. */
llm_status lm_session_slide(llm_session *s, size_t need, llm_error *error);
/* Publishes state and counters. */
void lm_session_settle(llm_session *s);
/* The pass in progress, if any, is dropped: for all its sessions, which compute it anew. */
void lm_session_drop_pass(llm_session *s);
bool lm_session_wants_score(const llm_session *s, size_t i);
llm_status lm_session_scores_room(llm_session *s, size_t n, llm_error *error);
/* What a pass with these sessions needs. */
lm_lane_need lm_step_need(const llm_engine *engine, llm_session *const *members, uint32_t n);
/* The same for one session of this context. */
lm_lane_need lm_step_need_alone(const llm_engine *engine, uint32_t n_ctx, uint32_t n_classes);

#endif
