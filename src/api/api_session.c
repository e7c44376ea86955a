/* SPDX-License-Identifier: MIT
 * llm.h: sessions. */
#include "api/api.h"

#include "session/session.h"

llm_status llm_session_create(llm_model *model, const llm_session_desc *desc, llm_session **out, llm_error *error)
{
    llm_session_desc full;
    LM_API_NEED(model, error);
    LM_TRY(lm_engine_here(model->engine, error));
    LM_API_NEED(out, error);
    LM_TRY(LM_API_DESC(desc, &full, llm_session_desc, error));
    return lm_api_done(lm_session_new(model, &full, out, error), error);
}

llm_status llm_session_fork(llm_session *session, llm_session **out, llm_error *error)
{
    LM_API_NEED(session, error);
    LM_API_NEED(out, error);
    return lm_api_done(lm_session_copy(session, out, error), error);
}

void llm_session_free(llm_session *session)
{
    if (session && lm_engine_is_here(session->model->engine))
        lm_session_close(session);
}

llm_status llm_session_append(llm_session *s, const llm_token *tokens, size_t n, uint32_t flags, llm_error *error)
{
    LM_API_NEED(s, error);
    return lm_api_done(lm_session_append(s, tokens, n, flags, error), error);
}

llm_status llm_session_append_text(llm_session *s, const char *text, size_t len, uint32_t flags, llm_error *error)
{
    LM_API_NEED(s, error);
    LM_TRY(lm_api_text(text, &len, "text", error));
    return lm_api_done(lm_session_append_text(s, text, len, flags, error), error);
}

llm_status llm_session_sync(llm_session *s, const llm_token *tokens, size_t n, uint32_t flags, llm_error *error)
{
    LM_API_NEED(s, error);
    return lm_api_done(lm_session_sync(s, tokens, n, flags, error), error);
}

llm_status llm_session_rewind(llm_session *s, size_t n_tokens, llm_error *error)
{
    LM_API_NEED(s, error);
    return lm_api_done(lm_session_rewind(s, n_tokens, error), error);
}

llm_status llm_session_generate(llm_session *s, const llm_generate_desc *desc, llm_error *error)
{
    llm_generate_desc full;
    LM_API_NEED(s, error);
    LM_TRY(LM_API_DESC(desc, &full, llm_generate_desc, error));
    if (full.reserved_ptr || full.reserved)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_generate_desc: reserved fields must be 0");
    return lm_api_done(lm_session_generate(s, &full, error), error);
}

llm_status llm_session_step(llm_session *const *sessions, size_t n, int64_t budget_us, uint32_t flags, llm_error *error)
{
    if (n != 0)
        LM_API_NEED(sessions, error);
    return lm_api_done(lm_session_step(sessions, n, budget_us, flags, error), error);
}

int32_t llm_session_state(const llm_session *s)
{
    return s ? atomic_load(&s->state) : 0;
}

void llm_session_cancel(llm_session *s)
{
    if (s)
        atomic_store(&s->cancel, 1);
}

size_t llm_session_read_text(llm_session *s, char *buf, size_t cap)
{
    return s && buf && cap != 0 ? lm_session_read_text(s, buf, cap) : 0;
}

size_t llm_session_n_tokens(const llm_session *s)
{
    return s ? (size_t)atomic_load(&s->shown_tokens) : 0;
}

size_t llm_session_n_pending(const llm_session *s)
{
    return s ? (size_t)atomic_load(&s->shown_pending) : 0;
}

llm_status llm_session_tokens(llm_session *s, const llm_token **tokens, size_t *n, llm_error *error)
{
    LM_API_NEED(s, error);
    LM_API_NEED(tokens, error);
    LM_API_NEED(n, error);
    return lm_api_done(lm_session_tokens(s, tokens, n, error), error);
}

llm_status llm_session_logits(llm_session *s, const float **logits, size_t *n, llm_error *error)
{
    LM_API_NEED(s, error);
    LM_API_NEED(logits, error);
    LM_API_NEED(n, error);
    return lm_api_done(lm_session_logits(s, logits, n, error), error);
}

llm_status llm_session_scores(llm_session *s, const float **log_probs, size_t *n, llm_error *error)
{
    LM_API_NEED(s, error);
    LM_API_NEED(log_probs, error);
    LM_API_NEED(n, error);
    return lm_api_done(lm_session_scores(s, log_probs, n, error), error);
}

llm_status llm_session_watch_scores(llm_session *s, void (*on_score)(void *user, size_t position, const float *logits, int32_t n_vocab), void *user,
                                    llm_error *error)
{
    LM_API_NEED(s, error);
    return lm_api_done(lm_session_watch_scores(s, on_score, user, error), error);
}

llm_status llm_session_best(llm_session *s, llm_token_score *out, size_t cap, size_t *n, llm_error *error)
{
    LM_API_NEED(s, error);
    LM_API_NEED(n, error);
    if (cap != 0)
        LM_API_NEED(out, error);
    return lm_api_done(lm_session_best(s, out, cap, n, error), error);
}

llm_status llm_session_get_info(llm_session *s, llm_session_info *info, llm_error *error)
{
    llm_session_info ours = LLM_INIT(llm_session_info);
    LM_API_NEED(s, error);
    LM_TRY(lm_api_info_check(info, "llm_session_info", error));
    LM_TRY(lm_session_info(s, &ours, error));
    lm_api_info_give(&ours, sizeof ours, info);
    return lm_api_done(LLM_OK, error);
}
