/* SPDX-License-Identifier: MIT
 * llm.h: saved sessions, memory given back. */
#include "api/api.h"

#include "session/save.h"

static llm_status api_save_desc(const llm_save_desc *desc, llm_save_desc *full, llm_error *error)
{
    LM_TRY(LM_API_DESC(desc, full, llm_save_desc, error));
    if (!full->note && full->note_len != 0)
        return lm_fail(error, LLM_E_INVALID, "llm_save_desc.note is NULL, its length is not 0");
    return LLM_OK;
}

static llm_status api_save_path(const char *path, size_t path_len, llm_source *out, llm_error *error)
{
    LM_API_NEED(path, error);
    *out = (llm_source)LLM_INIT(llm_source);
    out->path = path;
    out->path_len = path_len;
    return LLM_OK;
}

llm_status llm_session_save(llm_session *s, const char *path, size_t path_len, const llm_save_desc *desc, llm_error *error)
{
    llm_sink sink = LLM_INIT(llm_sink);
    sink.path = path;
    sink.path_len = path_len;
    LM_API_NEED(path, error);
    return llm_session_save_to(s, &sink, desc, error);
}

llm_status llm_session_save_to(llm_session *s, const llm_sink *sink, const llm_save_desc *desc, llm_error *error)
{
    llm_save_desc full;
    llm_sink ours;
    llm_writer writer;
    LM_API_NEED(s, error);
    LM_TRY(lm_api_sink(sink, &ours, &writer, error));
    LM_TRY(api_save_desc(desc, &full, error));
    return lm_api_done(lm_session_save(s, &ours, &full, error), error);
}

llm_status llm_session_restore(llm_session *s, const char *path, size_t path_len, uint32_t flags, llm_error *error)
{
    llm_source source;
    LM_TRY(api_save_path(path, path_len, &source, error));
    return llm_session_restore_from(s, &source, flags, error);
}

llm_status llm_session_restore_from(llm_session *s, const llm_source *source, uint32_t flags, llm_error *error)
{
    LM_API_NEED(s, error);
    LM_API_NEED(source, error);
    return lm_api_done(lm_session_restore(s, source, flags, error), error);
}

llm_status llm_saved_get_info(llm_model *model, const llm_source *source, llm_saved_info *info, llm_error *error)
{
    llm_saved_info ours = LLM_INIT(llm_saved_info);
    LM_API_NEED(model, error);
    LM_TRY(lm_engine_here(model->engine, error));
    LM_API_NEED(source, error);
    LM_TRY(lm_api_info_check(info, "llm_saved_info", error));
    LM_TRY(lm_saved_info_get(model, source, &ours, error));
    lm_api_info_give(&ours, sizeof ours, info);
    return lm_api_done(LLM_OK, error);
}

llm_status llm_saved_note(llm_model *model, const llm_source *source, void *note, size_t cap, size_t *n, llm_error *error)
{
    LM_API_NEED(model, error);
    LM_TRY(lm_engine_here(model->engine, error));
    LM_API_NEED(source, error);
    LM_API_NEED(n, error);
    if (cap != 0)
        LM_API_NEED(note, error);
    return lm_api_done(lm_saved_note_get(model, source, note, cap, n, error), error);
}

llm_status llm_session_park(llm_session *s, llm_error *error)
{
    LM_API_NEED(s, error);
    return lm_api_done(lm_session_park(s, error), error);
}

llm_status llm_engine_trim(llm_engine *engine, uint64_t bytes, uint32_t flags, uint64_t *freed, llm_error *error)
{
    uint64_t n = 0;
    LM_API_NEED(engine, error);
    LM_TRY(lm_engine_here(engine, error));
    if (flags & ~(uint32_t)LLM_TRIM_PARK)
        return lm_fail(error, LLM_E_UNSUPPORTED, "flags is 0x%x: an unknown LLM_TRIM_* is set", flags);
    lm_sessions_trim(engine, bytes, (flags & LLM_TRIM_PARK) != 0, &n);
    if (freed)
        *freed = n;
    return lm_api_done(LLM_OK, error);
}
