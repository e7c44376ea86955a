/* SPDX-License-Identifier: MIT
 * Filters of templates over text: see tree.h. Floor 3. */
#include "text/chat/tree.h"

#include "base/utf8.h"

#include <string.h>

typedef bool text_filter_function(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out);

static bool text_filter_upper(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out) { return (void)args, lm_chars_map(run, s, 1, out); }
static bool text_filter_lower(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out) { return (void)args, lm_chars_map(run, s, 0, out); }
static bool text_filter_string(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out) { return (void)run, (void)args, *out = s, true; }
static bool text_filter_safe(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out)
{
    (void)run, (void)args;
    *out = s;
    out->flag = 1;
    return true;
}

static bool text_filter_trim(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out)
{
    lm_val set = lm_val_none();
    lm_args_get(args, 0, "chars", &set);
    *out = lm_chars_strip(run, s, set, true, true);
    return run->status == LLM_OK;
}

/* Lower case, and the first character of every word upper: of the whole, or behind what begins one. */
static bool text_filter_raised(lm_jinja *run, lm_val s, bool words, lm_val *out)
{
    lm_text text = { 0 };
    bool first = true;
    for (size_t i = 0, n; i < s.len; i += n) {
        uint32_t cp;
        lm_val c;
        n = lm_utf8_decode(s.s + i, s.len - i, false, &cp);
        if (!lm_chars_map(run, lm_val_str(s.s + i, n), first, &c) || !lm_text_add(run, &text, c.s, c.len))
            return false;
        first = words && (lm_char_is_space(cp) || (cp && cp < 0x80 && strchr("-({[<", (char)cp)));
    }
    *out = lm_text_val(&text);
    if (lm_trust_whole(run, s))
        out->trust = LM_TRUST_ALL;
    return true;
}

static bool text_filter_capitalize(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out) { return (void)args, text_filter_raised(run, s, false, out); }
static bool text_filter_title(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out) { return (void)args, text_filter_raised(run, s, true, out); }

bool lm_str_replace(lm_jinja *run, lm_val s, lm_val from, lm_val to, int64_t most, lm_val *out)
{
    lm_text text = { 0 };
    size_t at = 0, plain = 0;
    while (most != 0) {
        if (!lm_chars_find(run, s, from, at, &at))
            return false;
        if (at == SIZE_MAX)
            break;
        if (!lm_text_add_val(run, &text, lm_val_part(s, s.s + plain, at - plain)) || !lm_text_add_val(run, &text, to))
            return false;
        most -= most > 0;
        plain = at + from.len;
        if (from.len) {
            at = plain;
        } else {                        /* "" stands before every character and at the end */
            uint32_t cp;
            if (at == s.len)
                break;
            at += lm_utf8_decode(s.s + at, s.len - at, false, &cp);
        }
    }
    if (!lm_text_add_val(run, &text, lm_val_part(s, s.s + plain, s.len - plain)))
        return false;
    *out = lm_text_val(&text);
    return true;
}

static bool text_filter_replace(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out)
{
    lm_val from, to, count = lm_val_none();
    if (!lm_args_get(args, 0, "old", &from) || !lm_args_get(args, 1, "new", &to))
        return lm_jinja_fail(run, LLM_E_INVALID, "replace wants two arguments");
    lm_args_get(args, 2, "count", &count);
    if (count.kind != LM_VAL_NONE && !lm_val_is_whole(count))
        return lm_jinja_fail(run, LLM_E_INVALID, "replace: the count must be an integer, not %s", lm_val_type(count));
    return lm_val_to_str(run, from, &from) && lm_val_to_str(run, to, &to)
           && lm_str_replace(run, s, from, to, count.kind == LM_VAL_NONE ? -1 : count.i, out);
}

/* The lines of s as Python splits them; without their ends. */
bool lm_str_lines(lm_jinja *run, lm_val s, lm_val_list **out)
{
    size_t from = 0, at = 0;
    if (!lm_list_new(run, 0, out))
        return false;
    while (at < s.len) {
        uint32_t cp;
        size_t n = lm_utf8_decode(s.s + at, s.len - at, false, &cp);
        if (!((cp >= 10 && cp <= 13) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 || cp == 0x2029)) {
            at += n;
            continue;
        }
        if (!lm_list_add(run, *out, lm_val_part(s, s.s + from, at - from)))
            return false;
        at += n;
        if (cp == '\r' && at < s.len && s.s[at] == '\n')
            at++;
        from = at;
    }
    return from == s.len || lm_list_add(run, *out, lm_val_part(s, s.s + from, s.len - from));
}

static bool text_filter_indent(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out)
{
    lm_val width = lm_val_int(4), v;
    lm_val_list *lines;
    lm_text text = { 0 };
    bool first = lm_args_get(args, 1, "first", &v) && lm_val_truth(v), blank = lm_args_get(args, 2, "blank", &v) && lm_val_truth(v);
    lm_args_get(args, 0, "width", &width);
    if (width.kind != LM_VAL_STR && !lm_eval_binary(run, '*', lm_val_str(" ", 1), width, &width))
        return false;
    if (!lm_text_add_val(run, &text, s) || !lm_text_add(run, &text, "\n", 1) || !lm_str_lines(run, lm_text_val(&text), &lines))
        return false;
    text = (lm_text){ 0 };
    for (size_t i = 0; i < lines->n; i++) {
        bool shift = i == 0 ? first : blank || lines->at[i].len > 0;
        if ((i && !lm_text_add(run, &text, "\n", 1)) || (shift && !lm_text_add_val(run, &text, width))
            || !lm_text_add_val(run, &text, lines->at[i]))
            return false;
    }
    *out = lm_text_val(&text);
    return true;
}

static bool text_filter_truncate(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out)
{
    lm_val length = lm_val_int(255), end = lm_val_str("...", 3), leeway = lm_val_int(5), v;
    bool cut_words = lm_args_get(args, 1, "killwords", &v) && lm_val_truth(v);
    lm_text text = { 0 };
    size_t n_end, cut;
    lm_args_get(args, 0, "length", &length);
    lm_args_get(args, 2, "end", &end);
    lm_args_get(args, 3, "leeway", &leeway);
    if (leeway.kind == LM_VAL_NONE)
        leeway = lm_val_int(5);
    if (!lm_val_is_whole(length) || !lm_val_is_whole(leeway) || end.kind != LM_VAL_STR || leeway.i < 0 || leeway.i > 1 << 30
        || length.i < (int64_t)(n_end = lm_chars_count(end.s, end.len)))
        return lm_jinja_fail(run, LLM_E_INVALID, "truncate: length, end or leeway are out of their range");
    *out = s;
    if ((int64_t)lm_chars_count(s.s, s.len) <= length.i || (int64_t)lm_chars_count(s.s, s.len) - length.i <= leeway.i)
        return true;
    cut = lm_chars_offset(s.s, s.len, (size_t)length.i - n_end);
    for (size_t i = cut; !cut_words && i-- > 0;)
        if (s.s[i] == ' ') {
            cut = i;
            break;
        }
    if (!lm_text_add_val(run, &text, lm_val_part(s, s.s, cut)) || !lm_text_add_val(run, &text, end))
        return false;
    *out = lm_text_val(&text);
    return true;
}

bool lm_str_escape(lm_jinja *run, lm_val s, lm_val *out)
{
    static const char signs[] = "&<>'\"";
    static const char *const names[] = { "&amp;", "&lt;", "&gt;", "&#39;", "&#34;" };
    lm_text text = { 0 };
    *out = s;
    for (size_t i = 0; !s.flag && i < s.len; i++) {
        const char *sign = s.s[i] ? strchr(signs, s.s[i]) : NULL;
        if (!(sign ? lm_text_add_z(run, &text, names[sign - signs]) : lm_text_add(run, &text, s.s + i, 1)))
            return false;
    }
    if (!s.flag)
        *out = lm_text_val(&text);
    out->flag = 1;
    return true;
}

static bool text_filter_escape(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out) { return (void)args, lm_str_escape(run, s, out); }

static bool text_filter_count(lm_jinja *run, lm_val s, const lm_args *args, lm_val *out)
{
    bool inside = false;
    (void)run, (void)args;
    *out = lm_val_int(0);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.s[i];
        bool word = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || (unsigned char)c >= 0x80;
        out->i += word && !inside;
        inside = word;
    }
    return true;
}

static const struct { const char *name; text_filter_function *apply; size_t most; const char *args; } text_filter_rows[] = {
    { "upper", text_filter_upper, 0, "" }, { "lower", text_filter_lower, 0, "" }, { "string", text_filter_string, 0, "" }, { "safe", text_filter_safe, 0, "" },
    { "trim", text_filter_trim, 1, "chars" }, { "capitalize", text_filter_capitalize, 0, "" }, { "title", text_filter_title, 0, "" },
    { "replace", text_filter_replace, 3, "old new count" }, { "indent", text_filter_indent, 3, "width first blank" },
    { "truncate", text_filter_truncate, 4, "length killwords end leeway" }, { "escape", text_filter_escape, 0, "" }, { "e", text_filter_escape, 0, "" },
    { "wordcount", text_filter_count, 0, "" },
};

bool lm_text_filter_known(llm_str name)
{
    for (size_t i = 0; i < LM_COUNT(text_filter_rows); i++)
        if (lm_name_is(name, text_filter_rows[i].name))
            return true;
    return false;
}

bool lm_text_filter_apply(lm_jinja *run, llm_str name, lm_val v, const lm_args *args, lm_val *out)
{
    for (size_t i = 0; i < LM_COUNT(text_filter_rows); i++)
        if (lm_name_is(name, text_filter_rows[i].name))
            return lm_jinja_step(run, 1) && lm_args_check(run, args, text_filter_rows[i].name, 0, text_filter_rows[i].most, text_filter_rows[i].args)
                   && lm_val_to_str(run, v, &v) && lm_jinja_look(run, v.len) && text_filter_rows[i].apply(run, v, args, out);
    return false;
}
