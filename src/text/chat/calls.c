/* SPDX-License-Identifier: MIT
 * Calls of tools as models write them: see calls.h. Floor 3. */
#include "text/chat/calls.h"

#include "base/utf8.h"

#include <string.h>

typedef struct calls_text { const char *at, *end; } calls_text;

/* ---- pieces of text */

static void calls_space(calls_text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\t' || *t->at == '\r'))
        t->at++;
}

static bool calls_skip(calls_text *t, const char *sign)
{
    size_t n = strlen(sign);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, sign, n) != 0)
        return false;
    t->at += n;
    return true;
}

static const char *calls_find(calls_text t, const char *sign)
{
    size_t n = strlen(sign);
    for (; (size_t)(t.end - t.at) >= n; t.at++)
        if (memcmp(t.at, sign, n) == 0)
            return t.at;
    return NULL;
}

/* What stands before the sign, which is skipped. */
static bool calls_until(calls_text *t, const char *sign, lm_val *out)
{
    const char *at = calls_find(*t, sign);
    if (!at)
        return false;
    *out = lm_val_str(t->at, (size_t)(at - t->at));
    t->at = at + strlen(sign);
    return true;
}

static lm_val calls_trim(lm_val v) { return lm_chars_strip(NULL, v, lm_val_none(), true, true); }

/* Reading that may fail: what is no JSON is no error here. */
static bool calls_json(lm_jinja *run, lm_val text, lm_val *out)
{
    llm_error *error = run->error;
    uint32_t depth = run->depth;
    bool ok;
    run->error = NULL;
    ok = lm_json_read(run, text.s, text.len, out);
    run->error = error;
    if (!ok && run->status == LLM_E_MEMORY)
        return lm_fail_memory(error, "the arguments of a call", text.len) == LLM_OK;
    if (!ok) {
        run->status = LLM_OK;
        run->depth = depth;
    }
    return ok;
}

static lm_val calls_member(lm_jinja *run, lm_val dict, const char *name)
{
    lm_val *value = NULL;
    if (dict.kind == LM_VAL_DICT)
        lm_dict_find(run, dict.dict, lm_val_str(name, strlen(name)), &value);
    return value ? *value : lm_val_undefined((llm_str){ "", 0 });
}

/* ---- calls */

static bool calls_add(lm_jinja *run, lm_val_list *calls, lm_val name, lm_val args, lm_val id)
{
    lm_val_list *call;
    if (args.kind == LM_VAL_UNDEFINED || args.kind == LM_VAL_NONE) {
        args = (lm_val){ .kind = LM_VAL_DICT };
        if (!lm_dict_new(run, &args.dict))
            return false;
    }
    if (id.kind == LM_VAL_INT) {        /* Cohere's are numbers in strings, or numbers */
        lm_val text;
        if (!lm_val_to_str(run, id, &text))
            return false;
        id = text;
    }
    return name.kind == LM_VAL_STR && name.len && args.kind == LM_VAL_DICT && lm_list_new(run, 3, &call) && lm_list_add(run, call, name)
           && lm_list_add(run, call, args) && lm_list_add(run, call, id) && lm_list_add(run, calls, lm_list_val(LM_VAL_LIST, call));
}

static const lm_val calls_no_id = { .kind = LM_VAL_NONE };

static bool calls_of_value(lm_jinja *run, lm_val v, lm_val_list *calls)
{
    static const char *const names[] = { "name", "tool_name" }, *const args_names[] = { "arguments", "parameters" }, *const ids[] = { "id", "tool_call_id" };
    lm_val name = lm_val_undefined((llm_str){ "", 0 }), args = name, id = name, inner;
    if (v.kind == LM_VAL_LIST) {
        bool ok = v.list->n != 0;
        for (size_t i = 0; i < v.list->n && ok; i++)
            ok = v.list->at[i].kind == LM_VAL_DICT && calls_of_value(run, v.list->at[i], calls);
        return ok;
    }
    if (v.kind != LM_VAL_DICT)
        return false;
    inner = calls_member(run, v, "function");
    if (inner.kind == LM_VAL_DICT) {
        id = calls_member(run, v, "id");
        v = inner;
    }
    for (size_t i = 0; i < 2; i++) {
        name = name.kind == LM_VAL_UNDEFINED ? calls_member(run, v, names[i]) : name;
        args = args.kind == LM_VAL_UNDEFINED ? calls_member(run, v, args_names[i]) : args;
        id = id.kind == LM_VAL_UNDEFINED ? calls_member(run, v, ids[i]) : id;
    }
    if (name.kind == LM_VAL_UNDEFINED && v.dict->n == 1 && v.dict->at[0].value.kind == LM_VAL_DICT)      /* Apertus: the name is the key */
        return calls_add(run, calls, v.dict->at[0].key, v.dict->at[0].value, calls_no_id);
    if (args.kind == LM_VAL_STR && !calls_json(run, args, &args))
        return false;
    return calls_add(run, calls, name, args, id);
}

/* One value, or several with nothing but white space (or ; and ,) between them. */
static bool calls_read_json(lm_jinja *run, calls_text t, lm_val_list *calls)
{
    size_t n = 0;
    for (;; n++) {
        const char *from;
        int depth = 0;
        bool quoted = false;
        lm_val v;
        for (calls_space(&t); n && t.at < t.end && (*t.at == ';' || *t.at == ','); calls_space(&t))
            t.at++;
        if (t.at == t.end)
            return n != 0;
        from = t.at;
        if (*from != '{' && *from != '[')
            return false;
        do {                            /* to the bracket that closes the first one */
            char c = *t.at++;
            if (quoted && c == '\\' && t.at < t.end)
                t.at++;
            else if (c == '"')
                quoted = !quoted;
            else if (!quoted)
                depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
        } while (depth > 0 && t.at < t.end);
        if (!calls_json(run, lm_val_str(from, (size_t)(t.at - from)), &v) || !calls_of_value(run, v, calls))
            return false;
    }
}

/* What the tool's schema says of an argument: 1 text, -1 something else, 0 nothing. */
static int calls_schema(lm_jinja *run, lm_val tools, lm_val name, lm_val key)
{
    for (size_t i = 0; tools.kind == LM_VAL_LIST && i < tools.list->n; i++) {
        lm_val function = calls_member(run, tools.list->at[i], "function"), type, *property = NULL;
        if (function.kind != LM_VAL_DICT)
            function = tools.list->at[i];
        type = calls_member(run, function, "name");
        if (type.kind != LM_VAL_STR || !lm_val_is(type, name.s, name.len))
            continue;
        type = calls_member(run, calls_member(run, function, "parameters"), "properties");
        if (type.kind != LM_VAL_DICT || !lm_dict_find(run, type.dict, key, &property) || !property)
            return 0;
        type = calls_member(run, *property, "type");
        if (type.kind == LM_VAL_STR)
            return lm_val_is(type, "string", 6) ? 1 : -1;
        for (size_t k = 0; type.kind == LM_VAL_LIST && k < type.list->n; k++)
            if (type.list->at[k].kind == LM_VAL_STR && lm_val_is(type.list->at[k], "string", 6))
                return 1;
        return type.kind == LM_VAL_LIST ? -1 : 0;
    }
    return 0;
}

/* text: 1 it is text, -1 it is JSON, 0 unknown: text, unless it reads as another kind of JSON. */
static bool calls_set(lm_jinja *run, lm_val_dict *args, lm_val key, lm_val value, int text)
{
    lm_val v;
    if (text <= 0 && calls_json(run, value, &v) && (text < 0 || v.kind != LM_VAL_STR))
        value = v;
    return run->status == LLM_OK && lm_dict_set(run, args, key, value);
}

/* One line break at each end belongs to the tags. */
static lm_val calls_inner(lm_val v)
{
    if (v.len && v.s[0] == '\n') {
        v.s++;
        v.len--;
    }
    if (v.len && v.s[v.len - 1] == '\n')
        v.len--;
    return v;
}

static bool calls_read_tags(lm_jinja *run, calls_text t, lm_val tools, lm_val_list *calls)
{
    for (calls_space(&t); t.at < t.end; calls_space(&t)) {
        lm_val name, key, value, args = { .kind = LM_VAL_DICT };
        if (!calls_skip(&t, "<function=") || !calls_until(&t, ">", &name) || !lm_dict_new(run, &args.dict))
            return false;
        for (calls_space(&t); calls_skip(&t, "<parameter="); calls_space(&t)) {
            if (!calls_until(&t, ">", &key) || !calls_until(&t, "</parameter>", &value)
                || !calls_set(run, args.dict, key, calls_inner(value), calls_schema(run, tools, name, key)))
                return false;
        }
        if (!calls_skip(&t, "</function>") || !calls_add(run, calls, name, args, calls_no_id))
            return false;
    }
    return calls->n != 0;
}

static bool calls_read_keys(lm_jinja *run, calls_text t, lm_val tools, lm_val_list *calls)
{
    lm_val name, key, value, args = { .kind = LM_VAL_DICT };
    const char *first = calls_find(t, "<arg_key>");
    name = calls_trim(lm_val_str(t.at, (size_t)((first ? first : t.end) - t.at)));
    t.at = first ? first : t.end;
    if (!lm_dict_new(run, &args.dict))
        return false;
    for (; calls_skip(&t, "<arg_key>"); calls_space(&t)) {
        if (!calls_until(&t, "</arg_key>", &key) || (calls_space(&t), !calls_skip(&t, "<arg_value>")) || !calls_until(&t, "</arg_value>", &value)
            || !calls_set(run, args.dict, key, value, calls_schema(run, tools, name, key)))
            return false;
    }
    return t.at == t.end && calls_add(run, calls, name, args, calls_no_id);
}

/* name="f"> then <...parameter name="k" string="true">v</...parameter> or <param name="k">v</param>. */
static bool calls_read_invoke(lm_jinja *run, calls_text t, lm_val tools, lm_val_list *calls)
{
    lm_val name, key, value, rest, args = { .kind = LM_VAL_DICT };
    if (!calls_skip(&t, "name=\"") || !calls_until(&t, "\">", &name) || !lm_dict_new(run, &args.dict))
        return false;
    for (calls_space(&t); t.at < t.end; calls_space(&t)) {
        int text;
        if (!calls_skip(&t, "<") || !calls_until(&t, "name=\"", &rest) || !calls_until(&t, "\"", &key) || !calls_until(&t, ">", &rest) || !calls_until(&t, "</", &value))
            return false;
        while (!(calls_skip(&t, "param>") || calls_skip(&t, "parameter>") || calls_skip(&t, "\xef\xbd\x9c" "DSML\xef\xbd\x9cparameter>"))) {
            lm_val more;                /* a tag of its own in the value */
            if (!calls_until(&t, "</", &more))
                return false;
            value.len = (uint32_t)(t.at - 2 - value.s);
        }
        rest = calls_trim(rest);
        text = lm_val_is(rest, "string=\"true\"", 13) ? 1 : lm_val_is(rest, "string=\"false\"", 14) ? -1 : calls_schema(run, tools, name, key);
        if (!calls_set(run, args.dict, key, value, text))
            return false;
    }
    return calls_add(run, calls, name, args, calls_no_id);
}

/* JSON arguments, fenced or not, or nothing at all. */
static bool calls_read_args(lm_jinja *run, lm_val text, lm_val *args)
{
    calls_text t = { text.s, text.s + text.len };
    const char *fence;
    calls_space(&t);
    if (calls_skip(&t, "```")) {
        calls_skip(&t, "json");
        if ((fence = calls_find(t, "```")) != NULL)
            t.end = fence;
    }
    text = calls_trim(lm_val_str(t.at, (size_t)(t.end - t.at)));
    *args = lm_val_none();
    return text.len == 0 || (calls_json(run, text, args) && args->kind == LM_VAL_DICT);
}

static bool calls_read_named(lm_jinja *run, lm_val name, lm_val text, lm_val id, lm_val_list *calls)
{
    lm_val args;
    return calls_read_args(run, text, &args) && calls_add(run, calls, calls_trim(name), args, id);
}

static lm_val calls_rest(calls_text t) { return lm_val_str(t.at, (size_t)(t.end - t.at)); }

static bool calls_read_mistral(lm_jinja *run, calls_text t, lm_val_list *calls)
{
    lm_val name, id = calls_no_id;
    calls_text before = t;
    calls_space(&t);
    if (t.at < t.end && (*t.at == '[' || *t.at == '{'))
        return calls_read_json(run, t, calls);
    t = before;
    if (!calls_until(&t, "[ARGS]", &name))
        return false;
    before = (calls_text){ name.s, name.s + name.len };
    if (calls_until(&before, "[CALL_ID]", &name))
        id = calls_trim(calls_rest(before));
    return calls_read_named(run, name, calls_rest(t), id, calls);
}

static bool calls_read_separated(lm_jinja *run, calls_text t, lm_val_list *calls)
{
    lm_val name, line;
    if (!calls_until(&t, "<\xef\xbd\x9ctool\xe2\x96\x81sep\xef\xbd\x9c>", &name))
        return false;
    calls_text after = t;
    if (lm_val_is(calls_trim(name), "function", 8) && calls_until(&after, "\n", &line) && !memchr(line.s, '{', line.len))
        return calls_read_named(run, line, calls_rest(after), calls_no_id, calls);
    return calls_read_named(run, name, calls_rest(t), calls_no_id, calls);
}

static bool calls_read_kimi(lm_jinja *run, calls_text t, lm_val_list *calls)
{
    lm_val id, name;
    size_t n;
    if (!calls_until(&t, "<|tool_call_argument_begin|>", &id))
        return false;
    name = id = calls_trim(id);
    if (name.len > 10 && memcmp(name.s, "functions.", 10) == 0)
        name = lm_val_str(name.s + 10, name.len - 10);
    for (n = name.len; n && name.s[n - 1] >= '0' && name.s[n - 1] <= '9';)
        n--;
    if (n && n < name.len && name.s[n - 1] == ':')
        name.len = (uint32_t)n - 1;
    return calls_read_named(run, name, calls_rest(t), id, calls);
}

/* ---- values that are no JSON: Python's, and Gemma's with bare keys */

static bool calls_is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'; }

static bool calls_name(calls_text *t, lm_val *out)
{
    const char *from = t->at;
    while (t->at < t->end && calls_is_name(*t->at))
        t->at++;
    *out = lm_val_str(from, (size_t)(t->at - from));
    return out->len != 0;
}

static bool calls_string(lm_jinja *run, calls_text *t, lm_val *out)
{
    static const char names[] = "\\'\"nrtbf", values[] = "\\'\"\n\r\t\b\f";
    char quote = *t->at++;
    lm_text text = { 0 };
    for (; t->at < t->end && *t->at != quote; t->at++) {
        const char *name = *t->at == '\\' && t->at + 1 < t->end && t->at[1] ? strchr(names, t->at[1]) : NULL;
        if (!lm_text_add(run, &text, name ? &values[name - names] : t->at, 1))
            return false;
        t->at += name != NULL;
    }
    *out = lm_text_val(&text);
    return t->at++ < t->end;
}

static bool calls_value(lm_jinja *run, calls_text *t, bool gemma, lm_val *out);

/* Items up to `close`; keyed ones go into a dict. */
static bool calls_box(lm_jinja *run, calls_text *t, char close, bool gemma, lm_val_dict *dict, lm_val_list *list)
{
    for (calls_space(t); t->at < t->end && *t->at != close;) {
        lm_val key, value;
        if (dict && close != ')' && t->at < t->end && (*t->at == '"' || *t->at == '\'')) {
            if (!calls_string(run, t, &key))
                return false;
        } else if (dict && gemma && calls_skip(t, "<|\"|>")) {
            if (!calls_until(t, "<|\"|>", &key))
                return false;
        } else if (dict && !calls_name(t, &key)) {
            return false;
        }
        calls_space(t);
        if (dict && !(calls_skip(t, close == ')' ? "=" : ":")))
            return false;
        if (!calls_value(run, t, gemma, &value) || !(dict ? lm_dict_set(run, dict, key, value) : lm_list_add(run, list, value)))
            return false;
        calls_space(t);
        if (t->at < t->end && *t->at == ',')
            t->at++;
        else if (t->at == t->end || *t->at != close)
            return false;
        calls_space(t);
    }
    return t->at++ < t->end;
}

static bool calls_value(lm_jinja *run, calls_text *t, bool gemma, lm_val *out)
{
    static const struct { const char *name; uint8_t kind, value; } words[] = {
        { "True", LM_VAL_BOOL, 1 }, { "False", LM_VAL_BOOL, 0 }, { "None", LM_VAL_NONE, 0 },
        { "true", LM_VAL_BOOL, 1 }, { "false", LM_VAL_BOOL, 0 }, { "null", LM_VAL_NONE, 0 },
    };
    lm_val word;
    bool ok;
    calls_space(t);
    if (t->at == t->end || !lm_jinja_step(run, 1))
        return false;
    if (gemma && calls_skip(t, "<|\"|>"))
        return calls_until(t, "<|\"|>", out);
    if (*t->at == '"' || *t->at == '\'')
        return calls_string(run, t, out);
    if (*t->at == '{' || *t->at == '[') {
        bool dict = *t->at++ == '{';
        *out = (lm_val){ .kind = dict ? LM_VAL_DICT : LM_VAL_LIST };
        if (!lm_jinja_enter(run) || !(dict ? lm_dict_new(run, &out->dict) : lm_list_new(run, 0, &out->list)))
            return false;
        ok = calls_box(run, t, dict ? '}' : ']', gemma, dict ? out->dict : NULL, dict ? NULL : out->list);
        lm_jinja_leave(run);
        return ok;
    }
    if (*t->at == '+' || !calls_name(t, &word))
        return false;
    for (size_t i = 0; i < LM_COUNT(words); i++)
        if (lm_val_is(word, words[i].name, strlen(words[i].name))) {
            *out = (lm_val){ .kind = words[i].kind, .i = words[i].value };
            return true;
        }
    return calls_json(run, word, out) && (out->kind == LM_VAL_INT || out->kind == LM_VAL_FLOAT);
}

static bool calls_read_python(lm_jinja *run, calls_text t, lm_val_list *calls)
{
    bool list;
    calls_space(&t);
    if (t.at < t.end && *t.at == '{')   /* Llama's built-in tools are written so, its others as JSON */
        return calls_read_json(run, t, calls);
    list = calls_skip(&t, "[");
    do {
        lm_val name, args = { .kind = LM_VAL_DICT };
        calls_space(&t);
        if (!calls_name(&t, &name) || !calls_skip(&t, "(") || !lm_dict_new(run, &args.dict) || !calls_box(run, &t, ')', false, args.dict, NULL))
            return false;
        if (name.len > 5 && memcmp(name.s + name.len - 5, ".call", 5) == 0)
            name.len -= 5;
        if (!calls_add(run, calls, name, args, calls_no_id))
            return false;
        calls_space(&t);
    } while (list && calls_skip(&t, ","));
    if (list && !calls_skip(&t, "]"))
        return false;
    calls_space(&t);
    return t.at == t.end;
}

static bool calls_read_gemma(lm_jinja *run, calls_text t, lm_val_list *calls)
{
    lm_val name, args = { .kind = LM_VAL_DICT };
    calls_space(&t);
    if (!calls_skip(&t, "call:") || !calls_name(&t, &name) || !calls_skip(&t, "{") || !lm_dict_new(run, &args.dict)
        || !calls_box(run, &t, '}', true, args.dict, NULL))
        return false;
    calls_space(&t);
    return t.at == t.end && calls_add(run, calls, name, args, calls_no_id);
}

bool lm_calls_read(lm_jinja *run, lm_call_form form, llm_str text, llm_str name, lm_val tools, lm_val_list *calls, bool *is)
{
    calls_text t = { text.ptr, text.ptr + text.len };
    lm_val known;
    *is = false;
    if (!lm_utf8_valid(text.ptr, text.len))
        return true;
    switch (form) {
    case LM_CALL_JSON:
        *is = calls_read_json(run, t, calls);
        break;
    case LM_CALL_TAGS:
        *is = calls_read_tags(run, t, tools, calls) || (calls->n == 0 && run->status == LLM_OK && calls_read_json(run, t, calls));
        break;
    case LM_CALL_KEYS:
        *is = calls_read_keys(run, t, tools, calls);
        break;
    case LM_CALL_INVOKE:
        *is = calls_read_invoke(run, t, tools, calls);
        break;
    case LM_CALL_ARGS:
        *is = calls_read_mistral(run, t, calls);
        break;
    case LM_CALL_SEPARATED:
        *is = calls_read_separated(run, t, calls);
        break;
    case LM_CALL_KIMI:
        *is = calls_read_kimi(run, t, calls);
        break;
    case LM_CALL_NAMED:
        *is = calls_until(&t, ">", &known) && calls_read_named(run, known, calls_rest(t), calls_no_id, calls);
        break;
    case LM_CALL_PYTHON:
        *is = calls_read_python(run, t, calls);
        break;
    case LM_CALL_GEMMA:
        *is = calls_read_gemma(run, t, calls);
        break;
    case LM_CALL_BODY:
        *is = name.len != 0 && calls_read_named(run, lm_val_str(name.ptr, name.len), calls_rest(t), calls_no_id, calls);
        break;
    }
    if (!*is)
        calls->n = 0;
    return true;
}
