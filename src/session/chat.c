/* SPDX-License-Identifier: MIT
 * Chats: see chat.h. Which template is taken, how its text becomes tokens, and how a reply becomes a message. */
#include "session/chat.h"

#include "session/session.h"

#include "base/size.h"

#include <string.h>

/* ---- which template */

static bool chat_meta(const llm_model *model, const char *key, size_t len, llm_meta *out)
{
    *out = (llm_meta)LLM_INIT(llm_meta);
    return lm_loaded_meta_find(model, key, len, out, NULL) == LLM_OK && out->type == LLM_META_STRING && out->string_len > 0;
}

/* Whether the vocabulary knows this text as one control token. */
static bool chat_knows(const lm_tokenizer *tokenizer, const char *text)
{
    llm_token tokens[4];
    size_t n = 0;
    return lm_tokenizer_encode(tokenizer, text, strlen(text), LLM_ENCODE_PARSE_SPECIAL | LLM_ENCODE_CONTINUES, tokens, LM_COUNT(tokens), &n, NULL) == LLM_OK && n == 1
           && lm_tokenizer_kind(tokenizer, tokens[0]) != LLM_TOKEN_NORMAL;
}

static bool chat_named(llm_chat *chat, const char *name, size_t len, llm_str *source)
{
    static const char prefix[] = "tokenizer.chat_template.";
    char key[128];
    const char *builtin = lm_template_builtin(name, len);
    llm_meta meta;
    bool plain = len == 7 && memcmp(name, "default", 7) == 0;
    if (len < sizeof key - sizeof prefix) {
        memcpy(key, prefix, sizeof prefix - 1);
        memcpy(key + sizeof prefix - 1, name, len);
        if (chat_meta(chat->model, key, plain ? sizeof prefix - 2 : sizeof prefix - 1 + len, &meta)) {
            *source = (llm_str){ meta.string, meta.string_len };
            chat->origin = LLM_CHAT_MODEL;
            chat->name = plain ? (llm_str){ "default", 7 } : (llm_str){ meta.key + sizeof prefix - 1, len };
            return true;
        }
    }
    if (!builtin)
        return false;
    *source = (llm_str){ builtin, strlen(builtin) };
    chat->origin = LLM_CHAT_BUILTIN;
    for (size_t i = 0; (chat->name.ptr = lm_template_builtin_name(i)) != NULL; i++)
        if (lm_template_builtin(chat->name.ptr, strlen(chat->name.ptr)) == builtin)
            break;
    chat->name.len = len;
    return true;
}

static llm_status chat_choose(llm_chat *chat, const llm_chat_desc *desc, llm_str *source, llm_error *error)
{
    const lm_tokenizer *tokenizer = chat->model->model->tokenizer;
    const char *name = lm_template_builtin_name(0), *mark;
    if (desc->template_text && desc->template_name)
        return lm_fail(error, LLM_E_INVALID, "llm_chat_desc gives both template_text and template_name: one of them is enough");
    if (desc->template_text) {
        chat->origin = LLM_CHAT_GIVEN;
        chat->name = (llm_str){ "", 0 };
        *source = (llm_str){ desc->template_text, desc->template_text_len };
        return LLM_OK;
    }
    if (desc->template_name) {
        if (chat_named(chat, desc->template_name, desc->template_name_len, source))
            return LLM_OK;
        return lm_fail(error, LLM_E_NOT_FOUND, "there is no chat template '%.*s': neither in the model nor in the library",
                       (int)LM_MIN(desc->template_name_len, (size_t)80), desc->template_name);
    }
    if ((desc->tools && chat_named(chat, "tool_use", 8, source)) || chat_named(chat, "default", 7, source))
        return LLM_OK;
    for (size_t i = 0; lm_template_builtin_name(i); i++)
        if ((mark = lm_template_builtin_mark(i)) != NULL && chat_knows(tokenizer, mark)) {
            name = lm_template_builtin_name(i);
            break;
        }
    chat_named(chat, name, strlen(name), source);
    return LLM_OK;
}

/* ---- life */

static llm_str chat_token_text(const lm_tokenizer *tokenizer, int32_t which)
{
    llm_token token = lm_tokenizer_special(tokenizer, which);
    return token < 0 ? (llm_str){ "", 0 } : lm_tokenizer_bytes(tokenizer, token, LLM_DECODE_SHOW_SPECIAL);
}

static llm_status chat_fill(llm_chat *chat, const llm_chat_desc *desc, llm_error *error)
{
    const lm_tokenizer *tokenizer = chat->model->model->tokenizer;
    lm_conversation_desc conversation = { .tools = { desc->tools, desc->tools_len }, .variables = { desc->variables, desc->variables_len } };
    if (desc->date && !lm_template_time_parse((llm_str){ desc->date, desc->date_len }, &conversation.time))
        return lm_fail(error, LLM_E_INVALID, "llm_chat_desc.date is no date: expected \"2026-11-22\" or \"2026-11-22 18:30:00\"");
    conversation.bos = chat_token_text(tokenizer, LLM_SPECIAL_BOS);
    conversation.eos = chat_token_text(tokenizer, LLM_SPECIAL_EOS);
    LM_TRY(chat_choose(chat, desc, &conversation.source, error));
    LM_TRY(lm_conversation_new(&chat->model->engine->host.mem, &conversation, &chat->conversation, error));
    return lm_answer_new(&chat->model->engine->host.mem, conversation.source, lm_conversation_tools(chat->conversation), &chat->answer, error);
}

llm_status lm_chat_new(llm_model *model, const llm_chat_desc *desc, llm_chat **out, llm_error *error)
{
    llm_chat *chat;
    llm_status status;
    if (desc->flags)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_chat_desc.flags is 0x%x: an unknown flag is set", desc->flags);
    if (!model->model->tokenizer)
        return lm_fail(error, LLM_E_STATE, "the model has no tokenizer: there is nothing to chat with");
    chat = lm_mem_new(&model->engine->host.mem, sizeof *chat, LLM_MEMORY_OTHER);
    if (!chat)
        return lm_fail_memory(error, "a chat", sizeof *chat);
    lm_loaded_hold(model);
    chat->model = model;
    status = chat_fill(chat, desc, error);
    if (status != LLM_OK) {
        lm_chat_close(chat);
        return status;
    }
    *out = chat;
    return LLM_OK;
}

void lm_chat_close(llm_chat *chat)
{
    llm_model *model = chat->model;
    lm_mem *mem = &model->engine->host.mem;
    lm_answer_free(chat->answer);
    lm_conversation_free(chat->conversation);
    lm_mem_free(mem, chat->said.ptr);
    lm_mem_free(mem, chat->thought.ptr);
    lm_mem_free(mem, chat->calls.ptr);
    lm_mem_free(mem, chat->shown.ptr);
    lm_mem_free(mem, chat);
    lm_loaded_drop(model);
}

llm_status lm_chat_enter(llm_chat *chat, llm_error *error)
{
    LM_TRY(lm_engine_here(chat->model->engine, error));
    return atomic_exchange(&chat->busy, 1) == 0 ? LLM_OK : lm_fail(error, LLM_E_BUSY, "another call is in progress on this chat");
}

llm_status lm_chat_leave(llm_chat *chat, llm_status status)
{
    atomic_store(&chat->busy, 0);
    return status;
}

/* ---- text and tokens */

static llm_status chat_text(llm_chat *chat, uint32_t flags, lm_template_text *out, llm_error *error)
{
    if (flags & ~(uint32_t)LLM_CHAT_NO_PROMPT)
        return lm_fail(error, LLM_E_UNSUPPORTED, "flags is 0x%x: an unknown LLM_CHAT_* is set", flags);
    return lm_conversation_render(chat->conversation, !(flags & LLM_CHAT_NO_PROMPT), out, error);
}

llm_status lm_chat_render(llm_chat *chat, uint32_t flags, char *text, size_t cap, size_t *n, llm_error *error)
{
    lm_template_text rendered = { 0 };
    LM_TRY(chat_text(chat, flags, &rendered, error));
    *n = rendered.len;
    if (cap > rendered.len)
        memcpy(text, rendered.ptr, rendered.len + 1);
    lm_mem_free(&chat->model->engine->host.mem, rendered.ptr);
    return cap > *n ? LLM_OK : lm_fail(error, LLM_E_SPACE, "the text has %zu bytes and a NUL, there is room for %zu", *n, cap);
}

/* A block that the caller frees, as is out_text->ptr, if it is asked for. BOS stands in front where the vocabulary wants it and the template has not put it there. */
static llm_status chat_tokens(llm_chat *chat, uint32_t flags, lm_template_text *out_text, llm_token **out, size_t *n, llm_error *error)
{
    const lm_tokenizer *tokenizer = chat->model->model->tokenizer;
    lm_mem *mem = &chat->model->engine->host.mem;
    llm_token bos = lm_tokenizer_special(tokenizer, LLM_SPECIAL_BOS), *tokens = NULL;
    lm_template_text text = { 0 };
    uint64_t cap = 0;
    llm_status status;
    LM_TRY(chat_text(chat, flags, &text, error));
    status = lm_add_u64(text.len, text.n_own * 2 + 4, &cap) ? LLM_OK : lm_fail(error, LLM_E_LIMIT, "the text is too long");
    while (status == LLM_OK) {
        size_t count = 0;
        tokens = lm_mem_new_array(mem, (size_t)cap, sizeof *tokens, LLM_MEMORY_OTHER);
        if (!tokens) {
            status = lm_fail_memory(error, "the chat's tokens", (size_t)cap * sizeof *tokens);
            break;
        }
        status = lm_tokenizer_encode_spans(tokenizer, text.ptr, text.len, 0, text.own, text.n_own, tokens + 1, (size_t)cap - 1, &count, error);
        if (status == LLM_OK) {
            bool with = lm_tokenizer_adds_bos(tokenizer) && (count == 0 || tokens[1] != bos);
            tokens[0] = bos;
            if (!with)
                memmove(tokens, tokens + 1, count * sizeof *tokens);
            *out = tokens;
            *n = count + with;
            break;
        }
        lm_mem_free(mem, tokens);
        if (status == LLM_E_SPACE && count + 1 > cap) {     /* a second try has the room that the first one asked for */
            cap = (uint64_t)count + 1;
            status = LLM_OK;
        }
    }
    if (status == LLM_OK && out_text)
        *out_text = text;
    else
        lm_mem_free(mem, text.ptr);
    return status;
}

llm_status lm_chat_encode(llm_chat *chat, uint32_t flags, llm_token *tokens, size_t cap, size_t *n, llm_error *error)
{
    llm_token *all = NULL;
    size_t count = 0;
    LM_TRY(chat_tokens(chat, flags, NULL, &all, &count, error));
    *n = count;
    if (cap >= count && count != 0)
        memcpy(tokens, all, count * sizeof *tokens);
    lm_mem_free(&chat->model->engine->host.mem, all);
    return cap >= count ? LLM_OK : lm_fail(error, LLM_E_SPACE, "the chat has %zu tokens, there is room for %zu", count, cap);
}

llm_status lm_chat_sync(llm_chat *chat, llm_session *session, uint32_t flags, llm_error *error)
{
    lm_template_text text = { 0 };
    llm_token *tokens = NULL;
    size_t n = 0;
    llm_status status;
    if (session->model != chat->model)
        return lm_fail(error, LLM_E_INVALID, "the session is not of the model that the chat was made for");
    LM_TRY(chat_tokens(chat, flags, &text, &tokens, &n, error));
    status = lm_session_sync(session, tokens, n, 0, error);
    if (status == LLM_OK) {
        lm_answer_begin(chat->answer, (llm_str){ text.ptr, text.len });
        chat->said.len = chat->thought.len = chat->calls.len = 0;
        chat->event.kind = LM_ANSWER_NONE;
    }
    lm_mem_free(&chat->model->engine->host.mem, text.ptr);
    lm_mem_free(&chat->model->engine->host.mem, tokens);
    return status;
}

/* ---- replies */

static llm_status chat_put(llm_chat *chat, lm_chat_part *part, const char *text, size_t len, llm_error *error)
{
    if (len > part->cap - part->len) {
        size_t cap = LM_MAX(part->cap * 2, part->len + len + 256);
        char *ptr = lm_mem_grow(&chat->model->engine->host.mem, part->ptr, cap, LLM_MEMORY_OTHER);
        if (!ptr)
            return lm_fail_memory(error, "a reply's message", cap);
        part->ptr = ptr;
        part->cap = cap;
    }
    if (len)
        memcpy(part->ptr + part->len, text, len);
    part->len += len;
    return LLM_OK;
}

static llm_status chat_put_z(llm_chat *chat, lm_chat_part *part, const char *text, llm_error *error) { return chat_put(chat, part, text, strlen(text), error); }

/* Text as the inside of a JSON string. */
static llm_status chat_put_quoted(llm_chat *chat, lm_chat_part *part, llm_str text, llm_error *error)
{
    for (size_t i = 0, from = 0; i <= text.len; i++) {
        char out[8];
        unsigned char c = i < text.len ? (unsigned char)text.ptr[i] : 0;
        if (i < text.len && c >= 0x20 && c != '"' && c != '\\')
            continue;
        LM_TRY(chat_put(chat, part, text.ptr + from, i - from, error));
        from = i + 1;
        if (i < text.len)
            LM_TRY(chat_put(chat, part, out, c == '"' || c == '\\' ? lm_print(out, sizeof out, "\\%c", c) : lm_print(out, sizeof out, "\\u00%c%c", "01"[c >> 4], "0123456789abcdef"[c & 15]), error));
    }
    return LLM_OK;
}

static llm_status chat_put_call(llm_chat *chat, const lm_answer_event *event, llm_str id, llm_error *error)
{
    LM_TRY(chat_put_z(chat, &chat->calls, chat->calls.len ? ",{\"id\":\"" : "{\"id\":\"", error));
    LM_TRY(chat_put_quoted(chat, &chat->calls, id, error));
    LM_TRY(chat_put_z(chat, &chat->calls, "\",\"type\":\"function\",\"function\":{\"name\":\"", error));
    LM_TRY(chat_put_quoted(chat, &chat->calls, event->name, error));
    LM_TRY(chat_put_z(chat, &chat->calls, "\",\"arguments\":", error));
    LM_TRY(chat_put(chat, &chat->calls, event->text.ptr, event->text.len, error));
    return chat_put_z(chat, &chat->calls, "}}", error);
}

/* Keeps what an event says for lm_chat_add_reply. */
static llm_status chat_keep_event(llm_chat *chat, const lm_answer_event *event, llm_chat_event *out, llm_error *error)
{
    lm_chat_part *part = event->kind == LM_ANSWER_TEXT ? &chat->said : event->kind == LM_ANSWER_REASONING ? &chat->thought : &chat->calls;
    size_t before = part->len;
    llm_str id = event->id;
    llm_status status;
    if (event->kind == LM_ANSWER_CALL && id.len == 0)        /* nine letters and digits: what the strictest templates want */
        id = (llm_str){ chat->id, lm_print(chat->id, sizeof chat->id, "call%c%c%c%c%c", (int)('0' + chat->n_calls / 10000 % 10), (int)('0' + chat->n_calls / 1000 % 10),
                                           (int)('0' + chat->n_calls / 100 % 10), (int)('0' + chat->n_calls / 10 % 10), (int)('0' + chat->n_calls % 10)) };
    status = event->kind == LM_ANSWER_CALL ? chat_put_call(chat, event, id, error) : chat_put_quoted(chat, part, event->text, error);
    chat->shown.len = 0;
    for (size_t i = 0; status == LLM_OK && i < 3; i++) {
        llm_str text = i == 0 ? event->text : i == 1 ? event->name : id;
        if ((status = chat_put(chat, &chat->shown, text.ptr, text.len, error)) == LLM_OK)
            status = chat_put(chat, &chat->shown, "", 1, error);
    }
    if (status != LLM_OK) {
        part->len = before;
        return status;
    }
    chat->n_calls += event->kind == LM_ANSWER_CALL;
    out->kind = event->kind;
    out->text = chat->shown.ptr;
    out->text_len = event->text.len;
    if (event->kind == LM_ANSWER_CALL) {
        out->name = out->text + out->text_len + 1;
        out->name_len = event->name.len;
        out->id = out->name + out->name_len + 1;
        out->id_len = id.len;
    }
    return LLM_OK;
}

llm_status lm_chat_read(llm_chat *chat, llm_session *session, llm_chat_event *out, llm_error *error)
{
    lm_answer_event event = chat->event;
    char text[512];
    llm_status status;
    if (session->model != chat->model)
        return lm_fail(error, LLM_E_INVALID, "the session is not of the model that the chat was made for");
    if (!event.kind)
        LM_TRY(lm_answer_next(chat->answer, false, &event, error));
    while (!event.kind) {
        /* The state is asked first: a reply that ends in between is ended the next time. */
        bool over = atomic_load(&session->state) >= LLM_END_TOKEN;
        LM_TRY(lm_answer_reserve(chat->answer, sizeof text, error));
        size_t n = lm_session_read_text(session, text, sizeof text);
        if (n == 0 && !over)
            return LLM_OK;
        if (n)
            LM_TRY(lm_answer_feed(chat->answer, text, n, error));
        LM_TRY(lm_answer_next(chat->answer, n == 0, &event, error));
        if (n == 0 && !event.kind)
            return LLM_OK;
    }
    status = chat_keep_event(chat, &event, out, error);
    chat->event = event;
    if (status == LLM_OK)
        chat->event.kind = LM_ANSWER_NONE;
    return status;
}

llm_status lm_chat_add_reply(llm_chat *chat, llm_error *error)
{
    lm_chat_part message = { 0 };
    llm_status status = chat_put_z(chat, &message, "{\"role\":\"assistant\",\"content\":\"", error);
    if (status == LLM_OK)
        status = chat_put(chat, &message, chat->said.ptr, chat->said.len, error);
    if (status == LLM_OK && chat->thought.len)
        status = chat_put_z(chat, &message, "\",\"reasoning_content\":\"", error);
    if (status == LLM_OK)
        status = chat_put(chat, &message, chat->thought.ptr, chat->thought.len, error);
    if (status == LLM_OK)
        status = chat_put_z(chat, &message, chat->calls.len ? "\",\"tool_calls\":[" : "\"", error);
    if (status == LLM_OK)
        status = chat_put(chat, &message, chat->calls.ptr, chat->calls.len, error);
    if (status == LLM_OK)
        status = chat_put_z(chat, &message, chat->calls.len ? "]}" : "}", error);
    if (status == LLM_OK)
        status = lm_conversation_add_json(chat->conversation, (llm_str){ message.ptr, message.len }, error);
    lm_mem_free(&chat->model->engine->host.mem, message.ptr);
    return status;
}
