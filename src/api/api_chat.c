/* SPDX-License-Identifier: MIT
 * llm.h: chats. */
#include "api/api.h"

#include "session/chat.h"

#include "base/cpu.h"

llm_status llm_chat_create(llm_model *model, const llm_chat_desc *desc, llm_chat **out, llm_error *error)
{
    llm_chat_desc full;
    LM_API_NEED(model, error);
    LM_TRY(lm_engine_here(model->engine, error));
    LM_API_NEED(out, error);
    LM_TRY(LM_API_DESC(desc, &full, llm_chat_desc, error));
    LM_TRY(lm_api_text(full.template_text, &full.template_text_len, "llm_chat_desc.template_text", error));
    LM_TRY(lm_api_text(full.template_name, &full.template_name_len, "llm_chat_desc.template_name", error));
    LM_TRY(lm_api_text(full.tools, &full.tools_len, "llm_chat_desc.tools", error));
    LM_TRY(lm_api_text(full.variables, &full.variables_len, "llm_chat_desc.variables", error));
    LM_TRY(lm_api_text(full.date, &full.date_len, "llm_chat_desc.date", error));
    uint64_t mode = lm_fp_enter();
    llm_status status = lm_chat_new(model, &full, out, error);
    lm_fp_leave(mode);
    return lm_api_done(status, error);
}

void llm_chat_free(llm_chat *chat)
{
    if (chat && lm_engine_is_here(chat->model->engine))
        lm_chat_close(chat);
}

llm_status llm_chat_add(llm_chat *chat, const char *role, size_t role_len, const char *text, size_t len, llm_error *error)
{
    LM_API_NEED(chat, error);
    LM_API_NEED(role, error);
    LM_TRY(lm_api_text(role, &role_len, "role", error));
    LM_TRY(lm_api_text(text, &len, "text", error));
    LM_TRY(lm_chat_enter(chat, error));
    return lm_api_done(lm_chat_leave(chat, lm_conversation_add(chat->conversation, (llm_str){ role, role_len }, (llm_str){ text, len }, error)), error);
}

llm_status llm_chat_add_json(llm_chat *chat, const char *message, size_t len, llm_error *error)
{
    LM_API_NEED(chat, error);
    LM_API_NEED(message, error);
    LM_TRY(lm_api_text(message, &len, "message", error));
    LM_TRY(lm_chat_enter(chat, error));
    uint64_t mode = lm_fp_enter();
    llm_status status = lm_conversation_add_json(chat->conversation, (llm_str){ message, len }, error);
    lm_fp_leave(mode);
    return lm_api_done(lm_chat_leave(chat, status), error);
}

size_t llm_chat_n_messages(const llm_chat *chat)
{
    return chat ? lm_conversation_n_messages(chat->conversation) : 0;
}

llm_status llm_chat_rewind(llm_chat *chat, size_t n_messages, llm_error *error)
{
    LM_API_NEED(chat, error);
    LM_TRY(lm_chat_enter(chat, error));
    size_t n = lm_conversation_n_messages(chat->conversation);
    if (n_messages > n)
        return lm_chat_leave(chat, lm_fail(error, LLM_E_INVALID, "n_messages is %zu: the chat has %zu", n_messages, n));
    lm_conversation_rewind(chat->conversation, n_messages);
    return lm_api_done(lm_chat_leave(chat, LLM_OK), error);
}

llm_status llm_chat_get_info(const llm_chat *chat, llm_chat_info *info, llm_error *error)
{
    llm_chat_info ours = LLM_INIT(llm_chat_info);
    LM_API_NEED(chat, error);
    LM_TRY(lm_api_info_check(info, "llm_chat_info", error));
    ours.origin = chat->origin;
    ours.name = chat->name.ptr;
    ours.name_len = chat->name.len;
    lm_api_info_give(&ours, sizeof ours, info);
    return lm_api_done(LLM_OK, error);
}

llm_status llm_chat_render(llm_chat *chat, uint32_t flags, char *text, size_t cap, size_t *n, llm_error *error)
{
    LM_API_NEED(chat, error);
    LM_API_NEED(n, error);
    if (!text && cap != 0)
        return lm_fail(error, LLM_E_INVALID, "text is NULL, cap is %zu", cap);
    LM_TRY(lm_chat_enter(chat, error));
    uint64_t mode = lm_fp_enter();
    llm_status status = lm_chat_render(chat, flags, text, cap, n, error);
    lm_fp_leave(mode);
    return lm_api_done(lm_chat_leave(chat, status), error);
}

llm_status llm_chat_encode(llm_chat *chat, uint32_t flags, llm_token *tokens, size_t cap, size_t *n, llm_error *error)
{
    LM_API_NEED(chat, error);
    LM_API_NEED(n, error);
    if (!tokens && cap != 0)
        return lm_fail(error, LLM_E_INVALID, "tokens is NULL, cap is %zu", cap);
    LM_TRY(lm_chat_enter(chat, error));
    uint64_t mode = lm_fp_enter();
    llm_status status = lm_chat_encode(chat, flags, tokens, cap, n, error);
    lm_fp_leave(mode);
    return lm_api_done(lm_chat_leave(chat, status), error);
}

llm_status llm_chat_read(llm_chat *chat, llm_session *s, llm_chat_event *event, llm_error *error)
{
    llm_chat_event ours = LLM_INIT(llm_chat_event);
    LM_API_NEED(chat, error);
    LM_API_NEED(s, error);
    LM_TRY(lm_api_info_check(event, "llm_chat_event", error));
    LM_TRY(lm_chat_enter(chat, error));
    uint64_t mode = lm_fp_enter();
    llm_status status = lm_chat_read(chat, s, &ours, error);
    lm_fp_leave(mode);
    if (status == LLM_OK)
        lm_api_info_give(&ours, sizeof ours, event);
    if (status == LLM_OK && ours.kind != LLM_EVENT_NONE)
        status = LLM_MORE;
    return lm_api_done(lm_chat_leave(chat, status), error);
}

llm_status llm_chat_add_reply(llm_chat *chat, llm_error *error)
{
    LM_API_NEED(chat, error);
    LM_TRY(lm_chat_enter(chat, error));
    uint64_t mode = lm_fp_enter();
    llm_status status = lm_chat_add_reply(chat, error);
    lm_fp_leave(mode);
    return lm_api_done(lm_chat_leave(chat, status), error);
}

llm_status llm_session_sync_chat(llm_session *s, llm_chat *chat, uint32_t flags, llm_error *error)
{
    LM_API_NEED(s, error);
    LM_API_NEED(chat, error);
    LM_TRY(lm_chat_enter(chat, error));
    uint64_t mode = lm_fp_enter();
    llm_status status = lm_chat_sync(chat, s, flags, error);
    lm_fp_leave(mode);
    return lm_api_done(lm_chat_leave(chat, status), error);
}
