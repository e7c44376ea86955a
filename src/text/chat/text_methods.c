/* SPDX-License-Identifier: MIT
 * Methods of strings in templates: see tree.h. Floor 3. */
#include "text/chat/tree.h"

#include "base/utf8.h"

#include <string.h>

static bool text_method_text(lm_jinja *run, const lm_args *args, size_t place, const char *name, lm_val otherwise, lm_val *out)
{
    *out = otherwise;
    if (!lm_args_get(args, place, name, out))
        return true;
    return out->kind == LM_VAL_STR || out->kind == LM_VAL_NONE
           || lm_jinja_fail(run, LLM_E_INVALID, "a string was expected as argument %zu, not %s", place + 1, lm_val_type(*out));
}

bool lm_method_count(lm_jinja *run, const lm_args *args, size_t place, const char *name, int64_t *out)
{
    lm_val v = lm_val_int(*out);
    lm_args_get(args, place, name, &v);
    *out = v.i;
    return lm_val_is_whole(v) || lm_jinja_fail(run, LLM_E_INVALID, "'%s' object cannot be interpreted as an integer", lm_val_type(v));
}

static bool text_method_strip_of(lm_jinja *run, lm_val self, const lm_args *args, bool left, bool right, lm_val *out)
{
    lm_val set;
    if (!text_method_text(run, args, 0, NULL, lm_val_none(), &set))
        return false;
    *out = lm_chars_strip(run, self, set, left, right);
    return run->status == LLM_OK;
}

static bool text_method_strip(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_strip_of(run, self, args, true, true, out); }
static bool text_method_lstrip(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_strip_of(run, self, args, true, false, out); }
static bool text_method_rstrip(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_strip_of(run, self, args, false, true, out); }

static size_t text_method_space(const char *s, const char *end, bool *is)
{
    uint32_t cp;
    size_t n = lm_utf8_decode(s, (size_t)(end - s), false, &cp);
    *is = lm_char_is_space(cp);
    return n;
}

/* At white space: `most` cuts from the left. */
static bool text_method_split_words(lm_jinja *run, lm_val self, int64_t most, lm_val_list *list)
{
    const char *at = self.s, *end = at + self.len, *from;
    bool space = false;
    for (;;) {
        size_t n;
        while (at < end && (n = text_method_space(at, end, &space), space))
            at += n;
        if (at == end)
            return true;
        if (most == 0)
            return lm_list_add(run, list, lm_chars_strip(NULL, lm_val_part(self, at, (size_t)(end - at)), lm_val_none(), false, false));
        for (from = at; at < end && (n = text_method_space(at, end, &space), !space);)
            at += n;
        if (!lm_list_add(run, list, lm_val_part(self, from, (size_t)(at - from))))
            return false;
        most -= most > 0;
    }
}

static bool text_method_rsplit_words(lm_jinja *run, lm_val self, int64_t most, lm_val_list *list)
{
    lm_val rest = lm_chars_strip(NULL, self, lm_val_none(), false, true);
    while (rest.len > 0) {
        size_t cut = rest.len, i = 0;
        bool space;
        if (most == 0)
            return lm_list_add(run, list, rest);
        for (cut = 0; i < rest.len;) {
            i += text_method_space(rest.s + i, rest.s + rest.len, &space);
            if (space)
                cut = i;
        }
        if (!lm_jinja_step(run, 1 + rest.len / 64) || !lm_list_add(run, list, lm_val_part(rest, rest.s + cut, rest.len - cut)))
            return false;
        rest.len = cut;
        rest = lm_chars_strip(NULL, rest, lm_val_none(), false, true);
        most -= most > 0;
    }
    return true;
}

static bool text_method_split_at(lm_jinja *run, lm_val self, lm_val by, int64_t most, lm_val_list *list)
{
    size_t from = 0;
    for (size_t i = 0; most != 0;) {
        if (!lm_chars_find(run, self, by, i, &i))
            return false;
        if (i == SIZE_MAX)
            break;
        if (!lm_list_add(run, list, lm_val_part(self, self.s + from, i - from)))
            return false;
        i += by.len;
        from = i;
        most -= most > 0;
    }
    return lm_list_add(run, list, lm_val_part(self, self.s + from, self.len - from));
}

static bool text_method_rsplit_at(lm_jinja *run, lm_val self, lm_val by, int64_t most, lm_val_list *list)
{
    size_t to = self.len;
    for (size_t i = self.len; most != 0 && i >= by.len;) {
        if (!lm_jinja_look(run, 4 + by.len / 8))
            return false;
        if (memcmp(self.s + i - by.len, by.s, by.len) != 0) {
            i--;
            continue;
        }
        if (!lm_list_add(run, list, lm_val_part(self, self.s + i, to - i)))
            return false;
        i -= by.len;
        to = i;
        most -= most > 0;
    }
    return lm_list_add(run, list, lm_val_part(self, self.s, to));
}

static bool text_method_split_of(lm_jinja *run, lm_val self, const lm_args *args, bool right, lm_val *out)
{
    lm_val by;
    lm_val_list *list;
    int64_t most = -1;
    if (!text_method_text(run, args, 0, "sep", lm_val_none(), &by) || !lm_method_count(run, args, 1, "maxsplit", &most) || !lm_list_new(run, 0, &list))
        return false;
    if (most < 0)
        most = -1;
    if (by.kind == LM_VAL_STR && by.len == 0)
        return lm_jinja_fail(run, LLM_E_INVALID, "empty separator");
    if (!(by.kind == LM_VAL_NONE ? (right ? text_method_rsplit_words(run, self, most, list) : text_method_split_words(run, self, most, list))
                                 : (right ? text_method_rsplit_at(run, self, by, most, list) : text_method_split_at(run, self, by, most, list))))
        return false;
    for (size_t i = 0; right && i < list->n / 2; i++) {      /* found from the end */
        lm_val swap = list->at[i];
        list->at[i] = list->at[list->n - 1 - i];
        list->at[list->n - 1 - i] = swap;
    }
    *out = lm_list_val(LM_VAL_LIST, list);
    return true;
}

static bool text_method_split(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_split_of(run, self, args, false, out); }
static bool text_method_rsplit(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_split_of(run, self, args, true, out); }

static bool text_method_splitlines(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_val_list *list;
    (void)args;
    if (!lm_str_lines(run, self, &list))
        return false;
    *out = lm_list_val(LM_VAL_LIST, list);
    return true;
}

static bool text_method_has_edge(lm_val self, lm_val edge, bool end)
{
    return edge.len <= self.len && (edge.len == 0 || memcmp(self.s + (end ? self.len - edge.len : 0), edge.s, edge.len) == 0);
}

static bool text_method_edge(lm_jinja *run, lm_val self, const lm_args *args, bool end, lm_val *out)
{
    lm_val edge = args->at[0];
    bool has = false;
    if (edge.kind != LM_VAL_STR && edge.kind != LM_VAL_TUPLE)
        return lm_jinja_fail(run, LLM_E_INVALID, "%s first arg must be str or a tuple of str, not %s", end ? "endswith" : "startswith", lm_val_type(edge));
    if (edge.kind == LM_VAL_STR)
        has = text_method_has_edge(self, edge, end);
    for (size_t i = 0; edge.kind == LM_VAL_TUPLE && i < edge.list->n && !has; i++)
        if (edge.list->at[i].kind != LM_VAL_STR)
            return lm_jinja_fail(run, LLM_E_INVALID, "tuple for startswith or endswith must only contain str, not %s", lm_val_type(edge.list->at[i]));
        else
            has = text_method_has_edge(self, edge.list->at[i], end);
    *out = lm_val_bool(has);
    return true;
}

static bool text_method_startswith(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_edge(run, self, args, false, out); }
static bool text_method_endswith(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_edge(run, self, args, true, out); }

static bool text_method_remove(lm_jinja *run, lm_val self, const lm_args *args, bool end, lm_val *out)
{
    lm_val edge;
    if (!text_method_text(run, args, 0, NULL, lm_val_none(), &edge) || edge.kind != LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "removeprefix and removesuffix want a string");
    *out = self;
    if (text_method_has_edge(self, edge, end)) {
        out->s += end ? 0 : edge.len;
        out->len -= edge.len;
    }
    return true;
}

static bool text_method_removeprefix(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_remove(run, self, args, false, out); }
static bool text_method_removesuffix(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_remove(run, self, args, true, out); }

static bool text_method_replace(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_val from, to;
    int64_t most = -1;
    if (!text_method_text(run, args, 0, NULL, lm_val_none(), &from) || !text_method_text(run, args, 1, NULL, lm_val_none(), &to)
        || !lm_method_count(run, args, 2, "count", &most))
        return false;
    if (from.kind != LM_VAL_STR || to.kind != LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "replace() argument must be str, not NoneType");
    return lm_str_replace(run, self, from, to, most, out);
}

static bool text_method_by_filter(lm_jinja *run, const char *filter, lm_val self, const lm_args *args, lm_val *out)
{
    return lm_text_filter_apply(run, (llm_str){ filter, strlen(filter) }, self, args, out);
}

static bool text_method_upper(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_by_filter(run, "upper", self, args, out); }
static bool text_method_lower(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_by_filter(run, "lower", self, args, out); }
static bool text_method_capitalize(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return text_method_by_filter(run, "capitalize", self, args, out); }

static bool text_method_title(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_text text = { 0 };
    bool inside = false;                /* of a word: letters with cases; unlike the filter, which asks for white space */
    (void)args;
    for (size_t i = 0, n; i < self.len; i += n) {
        uint32_t cp;
        lm_val c = lm_val_str(self.s + i, 0), low, high;
        n = lm_utf8_decode(self.s + i, self.len - i, false, &cp);
        c.len = n;
        if (!lm_chars_map(run, c, 0, &low) || !lm_chars_map(run, c, 1, &high) || !lm_text_add(run, &text, inside ? low.s : high.s, inside ? low.len : high.len))
            return false;
        inside = !(lm_val_is(low, high.s, high.len));
    }
    *out = lm_text_val(&text);
    if (lm_trust_whole(run, self))
        out->trust = LM_TRUST_ALL;
    return true;
}

static bool text_method_join(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_val_list *items;
    lm_text text = { 0 };
    if (!lm_val_items(run, args->at[0], &items))
        return false;
    for (size_t i = 0; i < items->n; i++) {
        if (items->at[i].kind != LM_VAL_STR)
            return lm_jinja_fail(run, LLM_E_INVALID, "sequence item %zu: expected str instance, %s found", i, lm_val_type(items->at[i]));
        if ((i && !lm_text_add_val(run, &text, self)) || !lm_text_add_val(run, &text, items->at[i]))
            return false;
    }
    *out = lm_text_val(&text);
    return true;
}

/* Where, in characters; -1: nowhere. */
static bool text_method_where(lm_jinja *run, lm_val self, const lm_args *args, bool last, int64_t *out)
{
    lm_val what;
    *out = -1;
    if (!text_method_text(run, args, 0, NULL, lm_val_none(), &what) || what.kind != LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "find: a string was expected");
    for (size_t i = 0; last || *out < 0; i++) {
        if (!lm_chars_find(run, self, what, i, &i))
            return false;
        if (i == SIZE_MAX)
            break;
        *out = (int64_t)i;
    }
    if (*out >= 0)
        *out = (int64_t)lm_chars_count(self.s, (size_t)*out);
    return true;
}

static bool text_method_find(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return *out = lm_val_int(0), text_method_where(run, self, args, false, &out->i); }
static bool text_method_rfind(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return *out = lm_val_int(0), text_method_where(run, self, args, true, &out->i); }

static bool text_method_str_index(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    *out = lm_val_int(0);
    return text_method_where(run, self, args, false, &out->i) && (out->i >= 0 || lm_jinja_fail(run, LLM_E_INVALID, "substring not found"));
}

static bool text_method_str_count(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_val what = args->at[0];
    *out = lm_val_int(0);
    if (what.kind != LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "must be str, not %s", lm_val_type(what));
    if (what.len == 0)
        out->i = (int64_t)lm_chars_count(self.s, self.len) + 1;
    for (size_t i = 0; what.len; i += what.len) {
        if (!lm_chars_find(run, self, what, i, &i))
            return false;
        if (i == SIZE_MAX)
            break;
        out->i++;
    }
    return true;
}

static bool text_method_all(lm_val self, bool digits)
{
    for (size_t i = 0; i < self.len; i++)
        if (digits ? self.s[i] < '0' || self.s[i] > '9' : !lm_char_is_space((unsigned char)self.s[i]))
            return false;
    return self.len > 0;
}

static bool text_method_isdigit(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return (void)run, (void)args, *out = lm_val_bool(text_method_all(self, true)), true; }
static bool text_method_isspace(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return (void)run, (void)args, *out = lm_val_bool(text_method_all(self, false)), true; }

/* {}, {0} and {name}; no attributes, no format after a colon. */
static bool text_method_format(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_text text = { 0 };
    size_t next = 0;
    bool numbered = false;
    for (size_t i = 0; i < self.len; i++) {
        char c = self.s[i];
        size_t from = i + 1;
        lm_val v;
        int64_t place;
        bool found = false;
        if ((c == '{' || c == '}') && i + 1 < self.len && self.s[i + 1] == c)
            i++;
        else if (c == '}')
            return lm_jinja_fail(run, LLM_E_INVALID, "Single '}' encountered in format string");
        if (c != '{' || i >= from) {
            if (!lm_text_add_val(run, &text, lm_val_part(self, self.s + i, 1)))
                return false;
            continue;
        }
        while (++i < self.len && self.s[i] != '}')
            if (strchr("{!:.[", self.s[i]))
                return lm_jinja_fail(run, LLM_E_UNSUPPORTED, "format: more than a name or a number in {} is not supported");
        if (i == self.len)
            return lm_jinja_fail(run, LLM_E_INVALID, "Single '{' encountered in format string");
        if (i == from)
            place = (int64_t)next++;
        else if (!lm_number_parse_int(self.s + from, i - from, 10, &place))
            place = -1;
        else
            numbered = true;
        if (numbered && next > 0)
            return lm_jinja_fail(run, LLM_E_INVALID, "format: {} and {0} cannot be mixed");
        if (place >= 0 && (uint64_t)place < args->n) {
            v = args->at[place];
            found = true;
        }
        for (size_t k = 0; place < 0 && k < args->n_named && !found; k++)
            if (lm_val_is(args->named[k].key, self.s + from, i - from)) {
                v = args->named[k].value;
                found = true;
            }
        if (!found)
            return lm_jinja_fail(run, LLM_E_INVALID, "format: there is no argument for {%.*s}", (int)LM_MIN(i - from, (size_t)40), self.s + from);
        if (!lm_val_print(run, &text, v))
            return false;
    }
    *out = lm_text_val(&text);
    return true;
}

const lm_method_row lm_text_methods[] = {
    { "strip", text_method_strip, LM_VAL_STR, 0, 1, 0 }, { "lstrip", text_method_lstrip, LM_VAL_STR, 0, 1, 0 },
    { "rstrip", text_method_rstrip, LM_VAL_STR, 0, 1, 0 }, { "split", text_method_split, LM_VAL_STR, 0, 2, LM_METHOD_NAMES },
    { "rsplit", text_method_rsplit, LM_VAL_STR, 0, 2, LM_METHOD_NAMES }, { "splitlines", text_method_splitlines, LM_VAL_STR, 0, 0, 0 },
    { "startswith", text_method_startswith, LM_VAL_STR, 1, 1, 0 }, { "endswith", text_method_endswith, LM_VAL_STR, 1, 1, 0 },
    { "removeprefix", text_method_removeprefix, LM_VAL_STR, 1, 1, 0 }, { "removesuffix", text_method_removesuffix, LM_VAL_STR, 1, 1, 0 },
    { "replace", text_method_replace, LM_VAL_STR, 2, 3, 0 }, { "upper", text_method_upper, LM_VAL_STR, 0, 0, 0 },
    { "lower", text_method_lower, LM_VAL_STR, 0, 0, 0 }, { "capitalize", text_method_capitalize, LM_VAL_STR, 0, 0, 0 },
    { "title", text_method_title, LM_VAL_STR, 0, 0, 0 }, { "join", text_method_join, LM_VAL_STR, 1, 1, 0 },
    { "find", text_method_find, LM_VAL_STR, 1, 1, 0 }, { "rfind", text_method_rfind, LM_VAL_STR, 1, 1, 0 },
    { "index", text_method_str_index, LM_VAL_STR, 1, 1, 0 }, { "count", text_method_str_count, LM_VAL_STR, 1, 1, 0 },
    { "isdigit", text_method_isdigit, LM_VAL_STR, 0, 0, 0 }, { "isspace", text_method_isspace, LM_VAL_STR, 0, 0, 0 },
    { "format", text_method_format, LM_VAL_STR, 0, 255, LM_METHOD_NAMES },
};
const uint32_t lm_n_text_methods = LM_COUNT(lm_text_methods);
