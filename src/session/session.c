/* SPDX-License-Identifier: MIT
 * Timelines: putting in and taking out. Nothing is computed here.
 *
 *          append, sync, rewind             generate
 *   READY ----------------------> WORKING <----------- any but failed
 *     ^                             |  |
 *     +------- all taken in --------+  +--> ENDED (token, stop, length, context, cancelled) --put in--> WORKING
 *                                   +-----> failed (< 0) ------------------------- rewind, sync ------> WORKING or READY
 *
 * Invariants while nobody holds the session: 1. n_evaluated <= n_tokens <= n_ctx. 2. If n_evaluated == n_tokens > 0, logits_at ==
 * n_tokens. 3. The table holds what rows from n_evaluated on see of [0, n_evaluated); where going back asks for more than a window has
 * kept, n_evaluated becomes 0. 4. A pass in progress starts at n_evaluated; whatever changes tokens or shares a page that it writes
 * drops it. 5. A put-in either happens whole or changes nothing. */
#include "session/session.h"

#include "base/cpu.h"
#include "base/half.h"
#include "base/size.h"
#include "base/thread.h"

#include <string.h>

enum { SESSION_DEFAULT_CTX = 4096, SESSION_MAX_CTX = 1 << 27, SESSION_TRIM_WAIT_NS = 1000000 };
#define SESSION_SCORE_WANTED 0x7fc0beefu                    /* a NaN that says: asked for, not there yet */
#define SESSION_SCORE_NONE 0x7fc00000u

bool lm_session_claim(llm_session *s)
{
    uint32_t was = LM_SESSION_FREE;
    while (!atomic_compare_exchange_strong(&s->busy, &was, LM_SESSION_CALLED)) {
        if (was == LM_SESSION_CALLED)
            return false;
        lm_park(&s->busy, LM_SESSION_TRIMMED, SESSION_TRIM_WAIT_NS);
        was = LM_SESSION_FREE;
    }
    return true;
}

void lm_session_release(llm_session *s)
{
    atomic_store(&s->busy, LM_SESSION_FREE);
}

llm_status lm_session_enter(llm_session *s, llm_error *error)
{
    LM_TRY(lm_engine_here(s->model->engine, error));
    if (lm_session_claim(s))
        return LLM_OK;
    return lm_fail(error, LLM_E_BUSY, "another call is in progress on this session");
}

llm_status lm_session_leave(llm_session *s, llm_status status)
{
    lm_session_settle(s);
    lm_session_release(s);
    return status;
}

void lm_session_settle(llm_session *s)
{
    s->anew = s->anew && s->n_evaluated < s->n_tokens;
    bool working = s->n_evaluated < s->n_tokens || (s->reply && s->reply->active);
    atomic_store(&s->shown_tokens, s->n_tokens);
    atomic_store(&s->shown_pending, s->n_tokens - s->n_evaluated);
    atomic_store(&s->state, s->failed ? s->failed : s->ended ? s->ended : working ? LLM_STATE_WORKING : LLM_STATE_READY);
}

/* ---- life ---------------------------------------------------------------------------------------------------------------- */

void lm_session_close(llm_session *session)
{
    llm_model *model = session->model;
    lm_host *host = &model->engine->host;
    lm_session_leave_roll(session);
    if (session->pages) {
        lm_session_drop_pass(session);
        lm_page_table_free(session->pages, &session->table);
    }
    lm_reply_free(host, session->reply);
    lm_ids_drop(host, session->tokens);
    lm_logits_drop(host, session->logits);
    lm_memories_drop(host, session->memories);
    lm_mem_free(&host->mem, session->scores);
    lm_mem_free(&host->mem, session);
    lm_loaded_drop(model);
}

static llm_status session_alloc(llm_model *model, int32_t state_type, llm_session **out, llm_error *error)
{
    llm_session *session = lm_mem_new(&model->engine->host.mem, sizeof *session, LLM_MEMORY_OTHER);
    if (!session)
        return lm_fail_memory(error, "a session", sizeof *session);
    lm_loaded_hold(model);
    session->model = model;
    session->state_type = state_type;
    llm_status status = lm_loaded_pool(model, state_type, &session->pages, error);
    if (status < 0) {
        lm_session_close(session);
        return status;
    }
    lm_session_enroll(session);
    *out = session;
    return LLM_OK;
}

/* All that this session will ever need, its share of the engine too. */
static llm_status session_reserve(llm_session *s, llm_error *error)
{
    llm_model *model = s->model;
    llm_engine *engine = model->engine;
    lm_lane_need need = lm_step_need_alone(engine, s->n_ctx, s->pages->n_classes);
    LM_TRY(lm_page_table_reserve(s->pages, &s->table, lm_page_table_room(model->model->program, s->n_ctx, need.rows), error));
    for (uint32_t c = 0; c < s->pages->n_classes; c++)
        LM_TRY(lm_page_table_extend(s->pages, &s->table, c, lm_pages_most(s->pages->keep[c], s->n_ctx, need.rows), error));
    LM_TRY(lm_ids_room(&engine->host, &s->tokens, 0, s->n_ctx, s->n_ctx, error));
    LM_TRY(lm_logits_room(&engine->host, &s->logits, model->model->n_vocab, error));
    lm_scratch *scratch = NULL;
    LM_TRY(lm_loaded_take_scratch(model, &scratch, error));
    lm_loaded_give_scratch(model, scratch);
    lm_lane *lane = NULL;
    llm_status status = lm_engine_take_lane(engine, model->model->backend, model->model->exec, &need, &lane, error);
    if (status == LLM_OK)
        lm_engine_give_lane(engine, lane);
    return status < 0 ? status : LLM_OK;                    /* all taken: they are there */
}

llm_status lm_session_check_desc(const llm_session_desc *desc, llm_error *error)
{
    if (desc->flags & ~(uint32_t)LLM_SESSION_RESERVE)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_session_desc.flags is 0x%x: an unknown flag is set", desc->flags);
    if (desc->n_ctx < 0 || desc->n_ctx > SESSION_MAX_CTX)
        return lm_fail(error, LLM_E_INVALID, "llm_session_desc.n_ctx is %d: expected 0 to %d", desc->n_ctx, SESSION_MAX_CTX);
    if (desc->state_type != LLM_STATE_TYPE_F16 && desc->state_type != LLM_STATE_TYPE_F32 && desc->state_type != LLM_STATE_TYPE_INT8)
        return lm_fail(error, LLM_E_INVALID, "llm_session_desc.state_type is %d: expected LLM_STATE_TYPE_*", desc->state_type);
    if (desc->when_full != LLM_FULL_END && desc->when_full != LLM_FULL_SLIDE)
        return lm_fail(error, LLM_E_INVALID, "llm_session_desc.when_full is %d: expected LLM_FULL_*", desc->when_full);
    if (desc->n_keep < 0)
        return lm_fail(error, LLM_E_INVALID, "llm_session_desc.n_keep is %d: expected 0 or more", desc->n_keep);
    return LLM_OK;
}

uint32_t lm_session_n_ctx(const llm_session_desc *desc, uint32_t n_ctx_train)
{
    return desc->n_ctx ? (uint32_t)desc->n_ctx : LM_MIN(n_ctx_train, (uint32_t)SESSION_DEFAULT_CTX);
}

llm_status lm_session_new(llm_model *model, const llm_session_desc *desc, llm_session **out, llm_error *error)
{
    LM_TRY(lm_session_check_desc(desc, error));
    uint32_t n_ctx = lm_session_n_ctx(desc, model->model->n_ctx_train);
    if ((uint32_t)desc->n_keep > n_ctx / 2)
        return lm_fail(error, LLM_E_INVALID, "llm_session_desc.n_keep is %d: expected at most half of the context, %u", desc->n_keep, n_ctx / 2);
    if (!model->model->exec)
        return lm_fail(error, LLM_E_STATE, "the model was loaded for its vocabulary only (LLM_MODEL_VOCAB_ONLY)");

    llm_session *session = NULL;
    LM_TRY(session_alloc(model, desc->state_type, &session, error));
    session->flags = desc->flags;
    session->n_ctx = n_ctx;
    session->when_full = desc->when_full;
    session->n_keep = (uint32_t)desc->n_keep;
    session->row_flags = lm_program_row_flags(model->model->program, session->n_ctx);
    if (session->n_ctx > model->model->n_ctx_train)
        lm_log(&model->engine->host, LLM_LOG_WARN, "a session of %u tokens; the model was trained for %u", session->n_ctx, model->model->n_ctx_train);
    llm_status status = desc->flags & LLM_SESSION_RESERVE ? session_reserve(session, error) : LLM_OK;
    if (status < 0) {
        lm_session_close(session);
        return status;
    }
    *out = session;
    return LLM_OK;
}

llm_status lm_session_copy(llm_session *s, llm_session **out, llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    llm_session *fork = NULL;
    llm_status status = session_alloc(s->model, s->state_type, &fork, error);
    if (status < 0)
        return lm_session_leave(s, status);
    if (s->n_evaluated % LM_PAGE_POSITIONS != 0)
        lm_session_drop_pass(s);                            /* it writes into the page that will be shared */
    fork->n_ctx = s->n_ctx;
    fork->when_full = s->when_full;
    fork->n_keep = s->n_keep;
    fork->n_slid = s->n_slid;
    fork->anew = s->anew;
    fork->row_flags = s->row_flags;
    fork->n_tokens = s->n_tokens;
    fork->n_evaluated = s->n_evaluated;
    fork->logits_at = s->logits_at;
    fork->failed = s->failed;
    fork->past = lm_session_past(s);
    if ((status = lm_page_table_share(s->pages, &s->table, lm_pages_count(s->n_evaluated), &fork->table, error)) == LLM_OK && s->n_scores) {
        size_t n = s->n_scores;
        if ((status = lm_session_scores_room(fork, n, error)) == LLM_OK) {
            memcpy(fork->scores, s->scores, n * sizeof *s->scores);
            fork->n_scores = n;
        }
    }
    if (status < 0) {
        lm_session_close(fork);
        return lm_session_leave(s, status);
    }
    fork->tokens = lm_ids_share(s->tokens);
    fork->memories = lm_memories_share(s->memories);
    fork->n_memories = s->n_memories;
    if (s->logits_at == s->n_evaluated && s->logits_at != 0)
        fork->logits = lm_logits_share(s->logits);
    else
        fork->logits_at = 0;
    lm_session_settle(fork);
    *out = fork;
    return lm_session_leave(s, LLM_OK);
}

/* ---- scores -------------------------------------------------------------------------------------------------------------- */

bool lm_session_wants_score(const llm_session *s, size_t i)
{
    return i < s->n_scores && lm_bits_from_f32(s->scores[i]) == SESSION_SCORE_WANTED;
}

llm_status lm_session_scores_room(llm_session *s, size_t n, llm_error *error)
{
    if (n <= s->cap_scores)
        return LLM_OK;
    size_t cap = s->flags & LLM_SESSION_RESERVE ? s->n_ctx : LM_MIN(LM_MAX(n, s->cap_scores + s->cap_scores / 2 + 64), (size_t)s->n_ctx);
    cap = LM_MAX(cap, n);
    float *scores = lm_mem_grow(&s->model->engine->host.mem, s->scores, cap * sizeof *scores, LLM_MEMORY_OTHER);
    if (!scores)
        return lm_fail_memory(error, "the tokens' scores", cap * sizeof *scores);
    s->scores = scores;
    s->cap_scores = cap;
    return LLM_OK;
}

static void session_scores_fill(llm_session *s, size_t n, uint32_t bits)
{
    while (s->n_scores < n)
        s->scores[s->n_scores++] = lm_f32_from_bits(bits);
}

/* ---- put in -------------------------------------------------------------------------------------------------------------- */

static llm_status session_check_tokens(const llm_session *s, const llm_token *tokens, size_t n, llm_error *error)
{
    uint32_t n_vocab = s->model->model->n_vocab;
    if (n != 0 && !tokens)
        return lm_fail(error, LLM_E_INVALID, "tokens is NULL, n is %zu", n);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= n_vocab)
            return lm_fail(error, LLM_E_INVALID, "tokens[%zu] is %d: the vocabulary has %u", i, tokens[i], n_vocab);
    return LLM_OK;
}

static llm_status session_check_room(const llm_session *s, size_t kept, size_t n, llm_error *error)
{
    if (n <= s->n_ctx - kept)
        return LLM_OK;
    return lm_fail(error, LLM_E_CONTEXT_FULL, "the context holds %u tokens: %zu are there, %zu more do not fit", s->n_ctx, kept, n);
}

void lm_session_check_window(llm_session *s)
{
    if (lm_page_table_holds(s->pages, &s->table, s->n_evaluated))
        return;
    s->n_evaluated = s->logits_at = 0;
    lm_page_table_restart(s->pages, &s->table);
}

lm_reply_past lm_session_past(const llm_session *s)
{
    lm_reply_past past = s->reply ? lm_reply_remember(s->reply) : s->past;
    past.known = past.known && past.end == s->n_tokens;
    return past;
}

/* The timeline becomes its first `kept` tokens and n more. All or nothing. */
static llm_status session_put(llm_session *s, size_t kept, const llm_token *tokens, size_t n, bool score, llm_error *error)
{
    LM_TRY(session_check_room(s, kept, n, error));
    if (n != 0)
        LM_TRY(lm_ids_room(&s->model->engine->host, &s->tokens, s->n_tokens, LM_MAX(kept + n, s->n_tokens), s->n_ctx, error));
    if (score)
        LM_TRY(lm_session_scores_room(s, kept + n, error));
    lm_session_drop_pass(s);
    if (s->reply) {
        lm_reply_end(s->reply);
        lm_reply_cut(s->reply, kept);
    }
    s->past.known = s->past.known && kept >= s->past.end;
    if (n != 0)
        memcpy(s->tokens->ids + kept, tokens, n * sizeof *tokens);
    while (s->n_memories != 0 && s->memories->at[s->n_memories - 1].position >= kept)
        s->n_memories--;
    s->n_scores = LM_MIN(s->n_scores, kept);
    if (score) {
        session_scores_fill(s, kept, SESSION_SCORE_NONE);
        session_scores_fill(s, kept + n, SESSION_SCORE_WANTED);
        if (kept == 0 && n != 0)                            /* nothing comes before the first */
            s->scores[0] = lm_f32_from_bits(SESSION_SCORE_NONE);
    }
    s->n_tokens = kept + n;
    if (kept == 0)
        s->n_slid = 0;
    s->n_evaluated = LM_MIN(s->n_evaluated, kept);
    if (s->n_evaluated != 0 && s->logits_at != s->n_evaluated &&
        (s->n_evaluated == s->n_tokens || lm_session_wants_score(s, s->n_evaluated)))
        s->n_evaluated--;                                   /* its logits are needed: it is taken in again */
    if (s->logits_at > s->n_evaluated)
        s->logits_at = 0;
    s->ended = 0;
    if (s->n_evaluated >= kept)                             /* the drawn one is gone, or was taken in */
        s->reply_drawn = false;
    lm_session_check_window(s);
    return LLM_OK;
}

/* At the end, where a full context may slide first. All or nothing. */
static llm_status session_add(llm_session *s, const llm_token *tokens, size_t n, bool score, llm_error *error)
{
    if (n > s->n_ctx - s->n_tokens && s->when_full == LLM_FULL_SLIDE) {
        lm_host *host = &s->model->engine->host;            /* all that could fail, before anything is forgotten */
        LM_TRY(lm_ids_room(host, &s->tokens, s->n_tokens, LM_MIN(s->n_tokens + n, (size_t)s->n_ctx), s->n_ctx, error));
        if (score)
            LM_TRY(lm_session_scores_room(s, s->n_ctx, error));
        LM_TRY(lm_session_slide(s, n, error));
    }
    return session_put(s, s->n_tokens, tokens, n, score, error);
}

static void session_cut_pages(llm_session *s)
{
    if (!(s->flags & LLM_SESSION_RESERVE))
        lm_page_table_cut(s->pages, &s->table, lm_pages_count(s->n_evaluated));
}

static llm_status session_check_failed(const llm_session *s, llm_error *error)
{
    if (s->failed == 0)
        return LLM_OK;
    return lm_fail(error, LLM_E_STATE, "the session failed with status %d: llm_session_rewind or llm_session_sync mends it", s->failed);
}

llm_status lm_session_append(llm_session *s, const llm_token *tokens, size_t n, uint32_t flags, llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    llm_status status = session_check_failed(s, error);
    if (status == LLM_OK && (flags & ~(uint32_t)LLM_APPEND_SCORE))
        status = lm_fail(error, LLM_E_UNSUPPORTED, "flags is 0x%x: of these, llm_session_append knows LLM_APPEND_SCORE", flags);
    if (status == LLM_OK)
        status = session_check_tokens(s, tokens, n, error);
    if (status == LLM_OK && n != 0)
        status = session_add(s, tokens, n, (flags & LLM_APPEND_SCORE) != 0, error);
    return lm_session_leave(s, status);
}

/* Encodes into a block that the caller frees. A second try has the room that the first one asked for. */
static llm_status session_encode(llm_session *s, const char *text, size_t len, uint32_t flags, llm_token **out, size_t *n, llm_error *error)
{
    const lm_tokenizer *tokenizer = s->model->model->tokenizer;
    if (!tokenizer)
        return lm_fail(error, LLM_E_STATE, "the model has no tokenizer: append tokens instead of text");
    lm_mem *mem = &s->model->engine->host.mem;
    llm_token bos = lm_tokenizer_special(tokenizer, LLM_SPECIAL_BOS);
    bool with_bos = s->n_tokens == 0 && !(flags & LLM_APPEND_NO_BOS) && lm_tokenizer_adds_bos(tokenizer) && bos >= 0;
    uint32_t how = flags & LLM_APPEND_PARSE_SPECIAL ? LLM_ENCODE_PARSE_SPECIAL : 0;
    if (s->n_tokens != 0 && lm_tokenizer_kind(tokenizer, s->tokens->ids[s->n_tokens - 1]) != LLM_TOKEN_CONTROL)
        how |= LLM_ENCODE_CONTINUES;
    uint64_t cap = 0;
    if (!lm_add_u64(len, 3, &cap) || cap > UINT32_MAX)
        return lm_fail(error, LLM_E_LIMIT, "a text of %zu bytes: at most 4 GiB at a time", len);
    for (;;) {
        size_t count = 0;
        llm_token *tokens = lm_mem_new_array(mem, (size_t)cap, sizeof *tokens, LLM_MEMORY_OTHER);
        if (!tokens)
            return lm_fail_memory(error, "the text's tokens", (size_t)cap * sizeof *tokens);
        llm_status status = LLM_OK;
        if (len != 0)
            status = lm_tokenizer_encode(tokenizer, text, len, how, tokens + with_bos, (size_t)cap - with_bos, &count, error);
        if (status == LLM_OK) {
            if (with_bos)
                tokens[0] = bos;
            *out = tokens;
            *n = with_bos + count;
            return LLM_OK;
        }
        lm_mem_free(mem, tokens);
        if (status != LLM_E_SPACE || count <= (size_t)cap - with_bos)
            return status;
        cap = (uint64_t)count + with_bos;
    }
}

llm_status lm_session_append_text(llm_session *s, const char *text, size_t len, uint32_t flags, llm_error *error)
{
    const uint32_t known = LLM_APPEND_SCORE | LLM_APPEND_PARSE_SPECIAL | LLM_APPEND_NO_BOS;
    LM_TRY(lm_session_enter(s, error));
    llm_token *tokens = NULL;
    size_t n = 0;
    llm_status status = session_check_failed(s, error);
    if (status == LLM_OK && (flags & ~known))
        status = lm_fail(error, LLM_E_UNSUPPORTED, "flags is 0x%x: an unknown LLM_APPEND_* is set", flags);
    if (status == LLM_OK)
        status = session_encode(s, text, len, flags, &tokens, &n, error);
    if (status == LLM_OK && n != 0)
        status = session_add(s, tokens, n, (flags & LLM_APPEND_SCORE) != 0, error);
    lm_mem_free(&s->model->engine->host.mem, tokens);
    return lm_session_leave(s, status);
}

llm_status lm_session_sync(llm_session *s, const llm_token *tokens, size_t n, uint32_t flags, llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    llm_status status = LLM_OK;
    if (flags & ~(uint32_t)LLM_APPEND_SCORE)
        status = lm_fail(error, LLM_E_UNSUPPORTED, "flags is 0x%x: of these, llm_session_sync knows LLM_APPEND_SCORE", flags);
    if (status == LLM_OK)
        status = session_check_tokens(s, tokens, n, error);
    size_t kept = 0;
    while (status == LLM_OK && kept < LM_MIN(n, s->n_tokens) && s->tokens->ids[kept] == tokens[kept])
        kept++;
    if (status == LLM_OK)
        status = session_put(s, kept, tokens + kept, n - kept, (flags & LLM_APPEND_SCORE) != 0, error);
    if (status == LLM_OK) {
        session_cut_pages(s);
        s->failed = 0;
    }
    return lm_session_leave(s, status);
}

llm_status lm_session_rewind(llm_session *s, size_t n_tokens, llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    if (n_tokens > s->n_tokens)
        return lm_session_leave(s, lm_fail(error, LLM_E_INVALID, "n_tokens is %zu: the timeline has %zu", n_tokens, s->n_tokens));
    llm_status status = session_put(s, n_tokens, NULL, 0, false, error);
    if (status == LLM_OK) {
        if (s->n_evaluated == s->n_tokens && s->n_tokens != 0) {
            s->n_evaluated--;                               /* "the last of them is pending again" */
            s->logits_at = 0;
            lm_session_check_window(s);
        }
        session_cut_pages(s);
        s->failed = 0;
    }
    return lm_session_leave(s, status);
}

llm_status lm_session_generate(llm_session *s, const llm_generate_desc *desc, llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    lm_reply *reply = NULL;
    lm_reply_past past = lm_session_past(s);
    llm_status status = session_check_failed(s, error);
    if (status == LLM_OK && s->n_tokens == 0)
        status = lm_fail(error, LLM_E_STATE, "nothing to continue: the timeline is empty");
    if (status == LLM_OK)
        status = lm_reply_new(s->model, desc, s->tokens ? s->tokens->ids : NULL, s->n_tokens, &past, &reply, error);
    if (status == LLM_OK && (desc->flags & LLM_GENERATE_SCORE))
        status = lm_session_scores_room(s, s->n_tokens + 1, error);
    if (status == LLM_OK && desc->sampler && desc->sampler->remembers)
        status = lm_memories_room(&s->model->engine->host, &s->memories, s->n_memories,
                                  s->flags & LLM_SESSION_RESERVE ? s->n_ctx : s->n_memories + 1, error);
    if (status < 0)
        lm_reply_free(&s->model->engine->host, reply);
    if (status == LLM_OK) {
        lm_reply_free(&s->model->engine->host, s->reply);
        s->reply = reply;
        s->ended = 0;
        atomic_store(&s->cancel, 0);
    }
    return lm_session_leave(s, status);
}

/* ---- take out ------------------------------------------------------------------------------------------------------------ */

size_t lm_session_read_text(llm_session *s, char *buf, size_t cap)
{
    if (cap != 0)
        buf[0] = 0;
    if (!lm_session_claim(s))
        return 0;
    size_t n = s->reply ? lm_reply_read(s->reply, s->model->model->tokenizer, s->tokens ? s->tokens->ids : NULL, buf, cap) : 0;
    lm_session_release(s);
    return n;
}

llm_status lm_session_tokens(llm_session *s, const llm_token **tokens, size_t *n, llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    *tokens = s->tokens ? s->tokens->ids : NULL;
    *n = s->n_tokens;
    return lm_session_leave(s, LLM_OK);
}

static llm_status session_check_logits(const llm_session *s, llm_error *error)
{
    if (s->logits_at != 0 && s->logits_at == s->n_evaluated)
        return LLM_OK;
    return lm_fail(error, LLM_E_STATE, "no logits yet: %zu of %zu tokens are taken in, step first", s->n_evaluated, s->n_tokens);
}

llm_status lm_session_logits(llm_session *s, const float **logits, size_t *n, llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    llm_status status = session_check_logits(s, error);
    if (status == LLM_OK) {
        *logits = s->logits->values;
        *n = s->logits->n;
    }
    return lm_session_leave(s, status);
}

llm_status lm_session_scores(llm_session *s, const float **log_probs, size_t *n, llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    llm_status status = lm_session_scores_room(s, s->n_tokens, error);
    if (status == LLM_OK) {
        session_scores_fill(s, s->n_tokens, SESSION_SCORE_NONE);
        *log_probs = s->scores;
        *n = s->n_tokens;
    }
    return lm_session_leave(s, status);
}

llm_status lm_session_watch_scores(llm_session *s, void (*on_score)(void *user, size_t position, const float *logits, int32_t n_vocab), void *user,
                                   llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    s->on_score = on_score;
    s->on_score_user = user;
    return lm_session_leave(s, LLM_OK);
}

llm_status lm_session_best(llm_session *s, llm_token_score *out, size_t cap, size_t *n, llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    lm_scratch *scratch = NULL;
    llm_status status = session_check_logits(s, error);
    if (status == LLM_OK)
        status = lm_loaded_take_scratch(s->model, &scratch, error);
    if (status == LLM_OK) {
        uint64_t mode = lm_fp_enter();
        lm_room *room = &scratch->room;
        uint32_t n_vocab = s->logits->n, k = (uint32_t)LM_MIN(cap, (size_t)n_vocab);
        double log_sum = lm_logits_log_sum(s->logits->values, n_vocab, NULL);
        for (uint32_t i = 0; i < n_vocab; i++)
            room->candidates[i] = (lm_candidate){ s->logits->values[i], (llm_token)i };
        lm_candidates_best(room->candidates, room->spare, n_vocab, k);
        for (uint32_t i = 0; i < k; i++)
            out[i] = (llm_token_score){ room->candidates[i].token, (float)((double)room->candidates[i].logit - log_sum) };
        *n = k;
        lm_fp_leave(mode);
    }
    lm_loaded_give_scratch(s->model, scratch);
    return lm_session_leave(s, status);
}

llm_status lm_session_info(llm_session *s, llm_session_info *info, llm_error *error)
{
    LM_TRY(lm_session_enter(s, error));
    const lm_program *program = s->model->model->program;
    const lm_backend *backend = s->pages->backend;
    info->n_prompt = s->n_prompt;
    info->prompt_us = s->prompt_ns / 1000;
    info->n_generated = s->n_generated;
    info->generate_us = s->generate_ns / 1000;
    for (uint32_t c = 0; c < s->pages->n_classes; c++)
        info->state_bytes += (uint64_t)(s->table.n[c] - s->table.first[c]) * backend->table->pool_page_cost(backend, program, s->state_type, c);
    info->flags = s->anew ? LLM_SESSION_ANEW : 0;
    info->n_ctx = (int32_t)s->n_ctx;
    info->state_type = s->state_type;
    info->n_slid = s->n_slid;
    return lm_session_leave(s, LLM_OK);
}
