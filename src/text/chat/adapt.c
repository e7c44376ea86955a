/* SPDX-License-Identifier: MIT
 * Messages as a template wants them: see adapt.h. Floor 3. */
#include "text/chat/adapt.h"

#include "text/chat/tree.h"

#include <string.h>

static bool adapt_get(lm_jinja *run, lm_val_dict *dict, const char *name, lm_val **value)
{
    return lm_dict_find(run, dict, lm_val_str(name, strlen(name)), value);
}

static void adapt_drop(lm_val_dict *dict, const char *name)
{
    for (size_t i = 0; i < dict->n; i++)
        if (dict->at[i].key.kind == LM_VAL_STR && lm_val_is(dict->at[i].key, name, strlen(name))) {
            memmove(&dict->at[i], &dict->at[i + 1], (dict->n - i - 1) * sizeof *dict->at);
            dict->n--;
            return;
        }
}

static bool adapt_has_role(lm_jinja *run, lm_val message, const char *role, bool *has)
{
    lm_val *value;
    if (!adapt_get(run, message.dict, "role", &value))
        return false;
    *has = value && value->kind == LM_VAL_STR && lm_val_is(*value, role, strlen(role));
    return true;
}

/* ---- contents */

static bool adapt_part(lm_jinja *run, lm_val text, lm_val *out)
{
    *out = (lm_val){ .kind = LM_VAL_DICT };
    return lm_dict_new(run, &out->dict) && lm_dict_set_name(run, out->dict, "type", lm_val_str("text", 4))
           && lm_dict_set_name(run, out->dict, "text", text);
}

static bool adapt_to_parts(lm_jinja *run, lm_val *content)
{
    lm_val_list *list;
    lm_val part;
    if (content->kind != LM_VAL_STR)
        return true;
    if (!lm_list_new(run, 1, &list) || !adapt_part(run, *content, &part) || !lm_list_add(run, list, part))
        return false;
    *content = lm_list_val(LM_VAL_LIST, list);
    return true;
}

/* Parts stand on lines of their own. */
static bool adapt_to_text(lm_jinja *run, lm_val *content)
{
    lm_text text = { 0 };
    if (content->kind != LM_VAL_LIST)
        return true;
    for (size_t i = 0; i < content->list->n; i++) {
        lm_val part = content->list->at[i], *said = NULL;
        if (part.kind == LM_VAL_DICT && !adapt_get(run, part.dict, "text", &said))
            return false;
        if ((i && !lm_text_add(run, &text, "\n", 1)) || (said && !lm_val_print(run, &text, *said)))
            return false;
    }
    *content = lm_text_val(&text);
    return true;
}

/* b behind a, a paragraph on. */
static bool adapt_join(lm_jinja *run, lm_val a, lm_val b, lm_val *out)
{
    lm_text text = { 0 };
    if (a.kind == LM_VAL_NONE || (a.kind == LM_VAL_STR && a.len == 0)) {
        *out = b;
        return true;
    }
    if (b.kind == LM_VAL_NONE || (b.kind == LM_VAL_STR && b.len == 0)) {
        *out = a;
        return true;
    }
    if (a.kind == LM_VAL_STR && b.kind == LM_VAL_STR) {
        if (!lm_text_add_val(run, &text, a) || !lm_text_add(run, &text, "\n\n", 2) || !lm_text_add_val(run, &text, b))
            return false;
        *out = lm_text_val(&text);
        return true;
    }
    return adapt_to_parts(run, &a) && adapt_to_parts(run, &b) && lm_eval_binary(run, '+', a, b, out);
}

static bool adapt_content(lm_jinja *run, lm_val message, lm_val *out)
{
    lm_val *content;
    *out = lm_val_none();
    if (!adapt_get(run, message.dict, "content", &content))
        return false;
    if (content)
        *out = *content;
    return true;
}

/* ---- calls */

/* Text that is a JSON object becomes one; other text stays. */
static bool adapt_parse(lm_jinja *run, lm_val *v)
{
    llm_error *error = run->error;
    lm_val object;
    uint32_t depth = run->depth;
    bool ok;
    run->error = NULL;
    ok = lm_json_read(run, v->s, v->len, &object);
    run->error = error;
    if (ok && object.kind == LM_VAL_DICT)
        *v = object;
    if (ok || run->status != LLM_E_FORMAT)
        return ok || lm_fail(error, run->status, "chat template: a call's arguments are too much for its limits or the memory") == LLM_OK;
    run->status = LLM_OK;
    run->depth = depth;
    return true;
}

static bool adapt_write(lm_jinja *run, lm_text *text, lm_val v)
{
    const lm_json_style style = { .item = lm_val_str(", ", 2), .key = lm_val_str(": ", 2) };
    return v.kind == LM_VAL_STR ? lm_text_add_val(run, text, v) : lm_json_write(run, text, &style, v, 0);
}

static bool adapt_id(lm_jinja *run, lm_val *id)
{
    static const char signs[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    uint64_t hash = 0xcbf29ce484222325u;
    bool good = id->kind == LM_VAL_STR && id->len == 9;
    char *text;
    if (id->kind != LM_VAL_STR)
        return true;
    for (size_t i = 0; i < id->len; i++) {
        good = good && id->s[i] && strchr(signs, id->s[i]);
        hash = (hash ^ (unsigned char)id->s[i]) * 0x100000001b3u;
    }
    if (good)
        return true;
    if (!(text = lm_jinja_new(run, 9)))
        return false;
    for (size_t i = 0; i < 9; i++, hash /= 62)
        text[i] = signs[hash % 62];
    *id = lm_val_str(text, 9);
    return true;
}

static bool adapt_member_id(lm_jinja *run, lm_val_dict *dict, const char *name)
{
    lm_val *id;
    return adapt_get(run, dict, name, &id) && (!id || adapt_id(run, id));
}

static bool adapt_own(lm_jinja *run, lm_text *text, const char *s) { return lm_text_add_val(run, text, lm_val_own(s, strlen(s))); }

/* name(key="text", other=1), as Python would write the call. */
static bool adapt_write_python(lm_jinja *run, lm_text *text, lm_val name, lm_val args)
{
    if (!lm_val_print(run, text, name) || !adapt_own(run, text, "("))
        return false;
    for (size_t i = 0; args.kind == LM_VAL_DICT && i < args.dict->n; i++) {
        const lm_json_style style = { .item = lm_val_str(", ", 2), .key = lm_val_str(": ", 2) };
        lm_val v = args.dict->at[i].value;
        if ((i && !adapt_own(run, text, ", ")) || !lm_val_print(run, text, args.dict->at[i].key) || !adapt_own(run, text, "=")
            || !(v.kind == LM_VAL_STR ? lm_json_write(run, text, &style, v, 0) : lm_val_repr(run, text, v)))
            return false;
    }
    return adapt_own(run, text, ")");
}

static bool adapt_write_call(lm_jinja *run, lm_text *text, lm_val name, lm_val args, uint32_t flags)
{
    const lm_json_style style = { .item = lm_val_str(", ", 2), .key = lm_val_str(": ", 2) };
    if (flags & LM_ADAPT_CALLS_LFM)
        return adapt_write_python(run, text, name, args);
    return ((flags & LM_ADAPT_CALLS_HERMES) == 0 || adapt_own(run, text, "<tool_call>\n")) && lm_text_add_z(run, text, "{\"name\": ")
           && lm_json_write(run, text, &style, name, 0) && lm_text_add_z(run, text, ", \"arguments\": ") && adapt_write(run, text, args)
           && lm_text_add_z(run, text, "}") && ((flags & LM_ADAPT_CALLS_HERMES) == 0 || adapt_own(run, text, "\n</tool_call>"));
}

/* The calls of a message, whose functions are in the form that the flags say. */
static bool adapt_calls(lm_jinja *run, lm_val_dict *message, lm_val_list *calls, uint32_t flags)
{
    bool hermes = flags & LM_ADAPT_CALLS_HERMES;
    lm_text text = { 0 };
    lm_val *content;
    if (!adapt_get(run, message, "content", &content))
        return false;
    if (content && content->kind == LM_VAL_STR && content->len && (!lm_text_add_val(run, &text, *content) || !lm_text_add(run, &text, "\n", 1)))
        return false;
    if (!hermes && !adapt_own(run, &text, flags & LM_ADAPT_CALLS_LFM ? "<|tool_call_start|>[" : "<|tool_call|>["))
        return false;
    for (size_t i = 0; i < calls->n; i++) {
        lm_val *function = NULL, *name = NULL, *args = NULL, nothing = { .kind = LM_VAL_DICT };
        if (calls->at[i].kind != LM_VAL_DICT || !adapt_get(run, calls->at[i].dict, "function", &function) || !lm_dict_new(run, &nothing.dict))
            return run->status == LLM_OK;
        if (function && function->kind == LM_VAL_DICT && (!adapt_get(run, function->dict, "name", &name) || !adapt_get(run, function->dict, "arguments", &args)))
            return false;
        if ((i && !adapt_own(run, &text, hermes ? "\n" : ", "))
            || !adapt_write_call(run, &text, name ? *name : lm_val_str("", 0), args ? *args : nothing, flags))
            return false;
    }
    if (!hermes && !adapt_own(run, &text, flags & LM_ADAPT_CALLS_LFM ? "]<|tool_call_end|>" : "]"))
        return false;
    adapt_drop(message, "tool_calls");
    return lm_dict_set_name(run, message, "content", lm_text_val(&text));
}

static bool adapt_call(lm_jinja *run, lm_val call, uint32_t flags)
{
    lm_val *function = NULL, *args = NULL;
    lm_text text = { 0 };
    if (call.kind != LM_VAL_DICT)
        return true;
    if (((flags & LM_ADAPT_IDS) && !adapt_member_id(run, call.dict, "id")) || !adapt_get(run, call.dict, "function", &function))
        return false;
    if (!function || function->kind != LM_VAL_DICT || (adapt_get(run, function->dict, "arguments", &args) && !args))
        return true;
    if (!args)
        return false;
    if (args->kind == LM_VAL_STR && !(flags & LM_ADAPT_ARGS_TEXT))
        return adapt_parse(run, args);
    if (args->kind == LM_VAL_STR || !(flags & LM_ADAPT_ARGS_TEXT))
        return true;
    if (!adapt_write(run, &text, *args))
        return false;
    *args = lm_text_val(&text);
    return true;
}

static bool adapt_message(lm_jinja *run, lm_val_dict *message, uint32_t flags)
{
    lm_val *content, *calls;
    if ((flags & LM_ADAPT_IDS) && !adapt_member_id(run, message, "tool_call_id"))
        return false;
    if (!adapt_get(run, message, "content", &content) || (content && !(flags & LM_ADAPT_PARTS) && !adapt_to_text(run, content))
        || !adapt_get(run, message, "tool_calls", &calls))
        return false;
    if (!calls || calls->kind != LM_VAL_LIST || calls->list->n == 0)
        return true;
    for (size_t i = 0; i < calls->list->n; i++)
        if (!adapt_call(run, calls->list->at[i], flags))
            return false;
    if (flags & LM_ADAPT_CALLS)
        return adapt_calls(run, message, calls->list, flags);
    if (!content || content->kind == LM_VAL_NONE)
        return (flags & LM_ADAPT_NULL && content) || lm_dict_set_name(run, message, "content", flags & LM_ADAPT_NULL ? lm_val_none() : lm_val_str("", 0));
    if ((flags & LM_ADAPT_NULL) && content->kind == LM_VAL_STR && content->len == 0)
        *content = lm_val_none();
    return true;
}

/* ---- who says it */

static bool adapt_system(lm_jinja *run, lm_val_list *list)
{
    lm_val said = lm_val_none(), content, message = { .kind = LM_VAL_DICT };
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        bool system, user;
        if (!adapt_has_role(run, list->at[i], "system", &system) || !adapt_has_role(run, list->at[i], "user", &user)
            || ((system || user) && (!adapt_content(run, list->at[i], &content) || !adapt_join(run, said, content, &content))))
            return false;
        if (user && !lm_dict_set_name(run, list->at[i].dict, "content", content))
            return false;
        said = system ? content : user ? lm_val_none() : said;
        if (!system)
            list->at[n++] = list->at[i];
    }
    list->n = n;
    if (said.kind == LM_VAL_NONE)
        return true;
    return lm_dict_new(run, &message.dict) && lm_dict_set_name(run, message.dict, "role", lm_val_own("user", 4))
           && lm_dict_set_name(run, message.dict, "content", said) && lm_list_add(run, list, message);
}

static bool adapt_plain(lm_jinja *run, lm_val message, const char *role, bool *is)
{
    lm_val *calls;
    if (!adapt_has_role(run, message, role, is) || !adapt_get(run, message.dict, "tool_calls", &calls))
        return false;
    *is = *is && !(calls && lm_val_truth(*calls));
    return true;
}

static bool adapt_merge(lm_jinja *run, lm_val_list *list)
{
    static const char *const roles[] = { "user", "assistant" };
    size_t n = list->n ? 1 : 0;
    for (size_t i = 1; i < list->n; i++) {
        bool same = false, before, now;
        lm_val a, b;
        for (size_t r = 0; r < LM_COUNT(roles) && !same; r++) {
            if (!adapt_plain(run, list->at[n - 1], roles[r], &before) || !adapt_plain(run, list->at[i], roles[r], &now))
                return false;
            same = before && now;
        }
        if (!same)
            list->at[n++] = list->at[i];
        else if (!adapt_content(run, list->at[n - 1], &a) || !adapt_content(run, list->at[i], &b) || !adapt_join(run, a, b, &a)
                 || !lm_dict_set_name(run, list->at[n - 1].dict, "content", a))
            return false;
    }
    list->n = n;
    return true;
}

/* In the form that most models know from a user's turn. */
static bool adapt_tool(lm_jinja *run, lm_val message)
{
    lm_text text = { 0 };
    lm_val content;
    bool tool;
    if (!adapt_has_role(run, message, "tool", &tool) || !adapt_content(run, message, &content))
        return false;
    if (!tool)
        return true;
    return adapt_to_text(run, &content) && adapt_own(run, &text, "<tool_response>\n") && lm_val_print(run, &text, content)
           && adapt_own(run, &text, "\n</tool_response>") && lm_dict_set_name(run, message.dict, "role", lm_val_own("user", 4))
           && lm_dict_set_name(run, message.dict, "content", lm_text_val(&text));
}

bool lm_adapt_messages(lm_jinja *run, lm_val_list *list, uint32_t flags)
{
    lm_val *content;
    for (size_t i = 0; i < list->n; i++)
        if (!adapt_message(run, list->at[i].dict, flags) || ((flags & LM_ADAPT_TOOL) && !adapt_tool(run, list->at[i])))
            return false;
    if (((flags & LM_ADAPT_SYSTEM) && !adapt_system(run, list)) || ((flags & LM_ADAPT_MERGE) && !adapt_merge(run, list)))
        return false;
    for (size_t i = 0; (flags & LM_ADAPT_PARTS) && i < list->n; i++)
        if (!adapt_get(run, list->at[i].dict, "content", &content) || (content && !adapt_to_parts(run, content)))
            return false;
    return true;
}
