/* SPDX-License-Identifier: MIT
 * Methods of strings, lists and dicts in templates: see tree.h. What changes a value is refused, as Jinja's sandbox does, unless
 * the caller allows it. Floor 3. */
#include "text/chat/tree.h"

#include "base/utf8.h"

#include <string.h>

typedef bool method_function(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out);

/* ---- strings */

static bool method_text(lm_jinja *run, const lm_args *args, size_t place, const char *name, lm_val otherwise, lm_val *out)
{
    *out = otherwise;
    if (!lm_args_get(args, place, name, out))
        return true;
    return out->kind == LM_VAL_STR || out->kind == LM_VAL_NONE
           || lm_jinja_fail(run, LLM_E_INVALID, "a string was expected as argument %zu, not %s", place + 1, lm_val_type(*out));
}

static bool method_count(lm_jinja *run, const lm_args *args, size_t place, const char *name, int64_t *out)
{
    lm_val v = lm_val_int(*out);
    lm_args_get(args, place, name, &v);
    *out = v.i;
    return lm_val_is_whole(v) || lm_jinja_fail(run, LLM_E_INVALID, "'%s' object cannot be interpreted as an integer", lm_val_type(v));
}

static bool method_strip_of(lm_jinja *run, lm_val self, const lm_args *args, bool left, bool right, lm_val *out)
{
    lm_val set;
    if (!method_text(run, args, 0, NULL, lm_val_none(), &set))
        return false;
    *out = lm_chars_strip(self, set, left, right);
    return true;
}

static bool method_strip(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_strip_of(run, self, args, true, true, out); }
static bool method_lstrip(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_strip_of(run, self, args, true, false, out); }
static bool method_rstrip(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_strip_of(run, self, args, false, true, out); }

static size_t method_space(const char *s, const char *end, bool *is)
{
    uint32_t cp;
    size_t n = lm_utf8_decode(s, (size_t)(end - s), false, &cp);
    *is = lm_char_is_space(cp);
    return n;
}

/* At white space: `most` cuts from the left. */
static bool method_split_words(lm_jinja *run, lm_val self, int64_t most, lm_val_list *list)
{
    const char *at = self.s, *end = at + self.len, *from;
    bool space = false;
    for (;;) {
        size_t n;
        while (at < end && (n = method_space(at, end, &space), space))
            at += n;
        if (at == end)
            return true;
        if (most == 0)
            return lm_list_add(run, list, lm_chars_strip(lm_val_str(at, (size_t)(end - at)), lm_val_none(), false, false));
        for (from = at; at < end && (n = method_space(at, end, &space), !space);)
            at += n;
        if (!lm_list_add(run, list, lm_val_str(from, (size_t)(at - from))))
            return false;
        most -= most > 0;
    }
}

static bool method_rsplit_words(lm_jinja *run, lm_val self, int64_t most, lm_val_list *list)
{
    lm_val rest = lm_chars_strip(self, lm_val_none(), false, true);
    while (rest.len > 0) {
        size_t cut = rest.len, i = 0;
        bool space;
        if (most == 0)
            return lm_list_add(run, list, rest);
        for (cut = 0; i < rest.len;) {
            i += method_space(rest.s + i, rest.s + rest.len, &space);
            if (space)
                cut = i;
        }
        if (!lm_jinja_step(run, 1 + rest.len / 64) || !lm_list_add(run, list, lm_val_str(rest.s + cut, rest.len - cut)))
            return false;
        rest.len = cut;
        rest = lm_chars_strip(rest, lm_val_none(), false, true);
        most -= most > 0;
    }
    return true;
}

static bool method_split_at(lm_jinja *run, lm_val self, lm_val by, int64_t most, lm_val_list *list)
{
    size_t from = 0;
    for (size_t i = 0; most != 0 && i + by.len <= self.len;) {
        if (memcmp(self.s + i, by.s, by.len) != 0) {
            i++;
            continue;
        }
        if (!lm_list_add(run, list, lm_val_str(self.s + from, i - from)))
            return false;
        i += by.len;
        from = i;
        most -= most > 0;
    }
    return lm_list_add(run, list, lm_val_str(self.s + from, self.len - from));
}

static bool method_rsplit_at(lm_jinja *run, lm_val self, lm_val by, int64_t most, lm_val_list *list)
{
    size_t to = self.len;
    for (size_t i = self.len; most != 0 && i >= by.len;) {
        if (memcmp(self.s + i - by.len, by.s, by.len) != 0) {
            i--;
            continue;
        }
        if (!lm_list_add(run, list, lm_val_str(self.s + i, to - i)))
            return false;
        i -= by.len;
        to = i;
        most -= most > 0;
    }
    return lm_list_add(run, list, lm_val_str(self.s, to));
}

static bool method_split_of(lm_jinja *run, lm_val self, const lm_args *args, bool right, lm_val *out)
{
    lm_val by;
    lm_val_list *list;
    int64_t most = -1;
    if (!method_text(run, args, 0, "sep", lm_val_none(), &by) || !method_count(run, args, 1, "maxsplit", &most) || !lm_list_new(run, 0, &list)
        || !lm_jinja_step(run, self.len / 256))
        return false;
    if (most < 0)
        most = -1;
    if (by.kind == LM_VAL_STR && by.len == 0)
        return lm_jinja_fail(run, LLM_E_INVALID, "empty separator");
    if (!(by.kind == LM_VAL_NONE ? (right ? method_rsplit_words(run, self, most, list) : method_split_words(run, self, most, list))
                                 : (right ? method_rsplit_at(run, self, by, most, list) : method_split_at(run, self, by, most, list))))
        return false;
    for (size_t i = 0; right && i < list->n / 2; i++) {      /* found from the end */
        lm_val swap = list->at[i];
        list->at[i] = list->at[list->n - 1 - i];
        list->at[list->n - 1 - i] = swap;
    }
    *out = lm_list_val(LM_VAL_LIST, list);
    return true;
}

static bool method_split(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_split_of(run, self, args, false, out); }
static bool method_rsplit(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_split_of(run, self, args, true, out); }

static bool method_splitlines(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_val_list *list;
    (void)args;
    if (!lm_str_lines(run, self, &list))
        return false;
    *out = lm_list_val(LM_VAL_LIST, list);
    return true;
}

static bool method_has_edge(lm_val self, lm_val edge, bool end)
{
    return edge.len <= self.len && (edge.len == 0 || memcmp(self.s + (end ? self.len - edge.len : 0), edge.s, edge.len) == 0);
}

static bool method_edge(lm_jinja *run, lm_val self, const lm_args *args, bool end, lm_val *out)
{
    lm_val edge = args->at[0];
    bool has = false;
    if (edge.kind != LM_VAL_STR && edge.kind != LM_VAL_TUPLE)
        return lm_jinja_fail(run, LLM_E_INVALID, "%s first arg must be str or a tuple of str, not %s", end ? "endswith" : "startswith", lm_val_type(edge));
    if (edge.kind == LM_VAL_STR)
        has = method_has_edge(self, edge, end);
    for (size_t i = 0; edge.kind == LM_VAL_TUPLE && i < edge.list->n && !has; i++)
        if (edge.list->at[i].kind != LM_VAL_STR)
            return lm_jinja_fail(run, LLM_E_INVALID, "tuple for startswith or endswith must only contain str, not %s", lm_val_type(edge.list->at[i]));
        else
            has = method_has_edge(self, edge.list->at[i], end);
    *out = lm_val_bool(has);
    return true;
}

static bool method_startswith(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_edge(run, self, args, false, out); }
static bool method_endswith(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_edge(run, self, args, true, out); }

static bool method_remove(lm_jinja *run, lm_val self, const lm_args *args, bool end, lm_val *out)
{
    lm_val edge;
    if (!method_text(run, args, 0, NULL, lm_val_none(), &edge) || edge.kind != LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "removeprefix and removesuffix want a string");
    *out = self;
    if (method_has_edge(self, edge, end)) {
        out->s += end ? 0 : edge.len;
        out->len -= edge.len;
    }
    return true;
}

static bool method_removeprefix(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_remove(run, self, args, false, out); }
static bool method_removesuffix(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_remove(run, self, args, true, out); }

static bool method_replace(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_val from, to;
    int64_t most = -1;
    if (!method_text(run, args, 0, NULL, lm_val_none(), &from) || !method_text(run, args, 1, NULL, lm_val_none(), &to)
        || !method_count(run, args, 2, "count", &most))
        return false;
    if (from.kind != LM_VAL_STR || to.kind != LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "replace() argument must be str, not NoneType");
    return lm_str_replace(run, self, from, to, most, out);
}

static bool method_by_filter(lm_jinja *run, const char *filter, lm_val self, const lm_args *args, lm_val *out)
{
    return lm_text_filter_apply(run, (llm_str){ filter, strlen(filter) }, self, args, out);
}

static bool method_upper(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_by_filter(run, "upper", self, args, out); }
static bool method_lower(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_by_filter(run, "lower", self, args, out); }
static bool method_capitalize(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return method_by_filter(run, "capitalize", self, args, out); }

static bool method_title(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    char *text;
    bool inside = false;                /* of a word: letters behind letters; unlike the filter, which asks for white space */
    (void)args;
    if (!lm_chars_map(run, self, 0, out) || !(text = lm_jinja_new(run, self.len + 1)))
        return false;
    for (size_t i = 0; i < self.len; i++) {
        bool letter = out->s[i] >= 'a' && out->s[i] <= 'z';
        text[i] = letter && !inside ? (char)(out->s[i] - 32) : out->s[i];
        inside = letter || (unsigned char)out->s[i] >= 0x80;
    }
    *out = lm_val_str(text, self.len);
    return true;
}

static bool method_join(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_val_list *items;
    lm_text text = { 0 };
    if (!lm_val_items(run, args->at[0], &items))
        return false;
    for (size_t i = 0; i < items->n; i++) {
        if (items->at[i].kind != LM_VAL_STR)
            return lm_jinja_fail(run, LLM_E_INVALID, "sequence item %zu: expected str instance, %s found", i, lm_val_type(items->at[i]));
        if ((i && !lm_text_add(run, &text, self.s, self.len)) || !lm_text_add(run, &text, items->at[i].s, items->at[i].len))
            return false;
    }
    *out = lm_text_val(&text);
    return true;
}

/* Where, in characters; -1: nowhere. */
static bool method_where(lm_jinja *run, lm_val self, const lm_args *args, bool last, int64_t *out)
{
    lm_val what;
    *out = -1;
    if (!method_text(run, args, 0, NULL, lm_val_none(), &what) || what.kind != LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "find: a string was expected");
    for (size_t i = 0; i + what.len <= self.len && (last || *out < 0); i++)
        if (what.len == 0 || memcmp(self.s + i, what.s, what.len) == 0)
            *out = (int64_t)i;
    if (*out >= 0)
        *out = (int64_t)lm_chars_count(self.s, (size_t)*out);
    return lm_jinja_step(run, self.len / 256);
}

static bool method_find(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return *out = lm_val_int(0), method_where(run, self, args, false, &out->i); }
static bool method_rfind(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return *out = lm_val_int(0), method_where(run, self, args, true, &out->i); }

static bool method_str_index(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    *out = lm_val_int(0);
    return method_where(run, self, args, false, &out->i) && (out->i >= 0 || lm_jinja_fail(run, LLM_E_INVALID, "substring not found"));
}

static bool method_str_count(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_val what = args->at[0];
    *out = lm_val_int(0);
    if (what.kind != LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "must be str, not %s", lm_val_type(what));
    if (what.len == 0)
        out->i = (int64_t)lm_chars_count(self.s, self.len) + 1;
    for (size_t i = 0; what.len && i + what.len <= self.len;) {
        bool here = memcmp(self.s + i, what.s, what.len) == 0;
        out->i += here;
        i += here ? what.len : 1;
    }
    return lm_jinja_step(run, self.len / 256);
}

static bool method_all(lm_val self, bool digits)
{
    for (size_t i = 0; i < self.len; i++)
        if (digits ? self.s[i] < '0' || self.s[i] > '9' : !lm_char_is_space((unsigned char)self.s[i]))
            return false;
    return self.len > 0;
}

static bool method_isdigit(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return (void)run, (void)args, *out = lm_val_bool(method_all(self, true)), true; }
static bool method_isspace(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return (void)run, (void)args, *out = lm_val_bool(method_all(self, false)), true; }

/* {}, {0} and {name}; no attributes, no format after a colon. */
static bool method_format(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
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
            if (!lm_text_add(run, &text, &c, 1))
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

/* ---- dicts */

static bool method_get(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_val *value;
    *out = lm_val_none();
    lm_args_get(args, 1, NULL, out);
    if (!lm_dict_find(run, self.dict, args->at[0], &value))
        return false;
    if (value)
        *out = *value;
    return true;
}

static bool method_view(lm_jinja *run, lm_val self, uint8_t what, lm_val *out)
{
    lm_val_list *list;
    if (!lm_list_new(run, self.dict->n, &list))
        return false;
    for (size_t i = 0; i < self.dict->n; i++) {
        lm_val_pair *pair = &self.dict->at[i];
        lm_val v = what == 0 ? pair->key : pair->value;
        if ((what == 2 && !lm_pair_new(run, pair->key, pair->value, &v)) || !lm_list_add(run, list, v))
            return false;
    }
    *out = lm_list_val(LM_VAL_VIEW, list);
    out->flag = what;
    return true;
}

static bool method_keys(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return (void)args, method_view(run, self, 0, out); }
static bool method_values(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return (void)args, method_view(run, self, 1, out); }
static bool method_items(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out) { return (void)args, method_view(run, self, 2, out); }

static bool method_merge(lm_jinja *run, lm_val_dict *into, lm_val from)
{
    for (size_t i = 0; from.kind == LM_VAL_DICT && i < from.dict->n; i++)
        if (!lm_dict_set(run, into, from.dict->at[i].key, from.dict->at[i].value))
            return false;
    return from.kind == LM_VAL_DICT || lm_jinja_fail(run, LLM_E_INVALID, "'%s' object is not a mapping", lm_val_type(from));
}

static bool method_update(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    *out = lm_val_none();
    if (args->n && !method_merge(run, self.dict, args->at[0]))
        return false;
    for (size_t i = 0; i < args->n_named; i++)
        if (!lm_dict_set(run, self.dict, args->named[i].key, args->named[i].value))
            return false;
    return true;
}

static bool method_dict_copy(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    (void)args;
    *out = (lm_val){ .kind = LM_VAL_DICT };
    return lm_dict_new(run, &out->dict) && method_merge(run, out->dict, self);
}

static bool method_dict_pop(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_val *value;
    size_t i;
    if (!lm_dict_find(run, self.dict, args->at[0], &value))
        return false;
    if (!value)
        return lm_args_get(args, 1, NULL, out) || lm_jinja_fail(run, LLM_E_INVALID, "pop: there is no such key");
    *out = *value;
    for (i = 0; &self.dict->at[i].value != value; i++)
        continue;
    memmove(&self.dict->at[i], &self.dict->at[i + 1], (--self.dict->n - i) * sizeof *self.dict->at);
    return true;
}

/* ---- lists */

static bool method_list_index(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    for (size_t i = 0; i < self.list->n; i++) {
        bool equal;
        if (!lm_val_equal(run, self.list->at[i], args->at[0], &equal))
            return false;
        if (equal) {
            *out = lm_val_int((int64_t)i);
            return true;
        }
    }
    return lm_jinja_fail(run, LLM_E_INVALID, "index: the value is not in the list");
}

static bool method_list_count(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    *out = lm_val_int(0);
    for (size_t i = 0; i < self.list->n; i++) {
        bool equal;
        if (!lm_val_equal(run, self.list->at[i], args->at[0], &equal))
            return false;
        out->i += equal;
    }
    return true;
}

static bool method_append(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    *out = lm_val_none();
    return lm_list_add(run, self.list, args->at[0]);
}

static bool method_extend(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    lm_val_list *items;
    size_t n;
    *out = lm_val_none();
    if (!lm_val_items(run, args->at[0], &items))
        return false;
    n = items->n;                       /* which may be this very list */
    for (size_t i = 0; i < n; i++)
        if (!lm_list_add(run, self.list, items->at[i]))
            return false;
    return true;
}

static bool method_list_pop(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out)
{
    int64_t i = -1, n = (int64_t)self.list->n;
    if (!method_count(run, args, 0, NULL, &i))
        return false;
    if (i < 0)
        i += n;
    if (i < 0 || i >= n)
        return lm_jinja_fail(run, LLM_E_INVALID, "pop: the index is out of range");
    *out = self.list->at[i];
    memmove(self.list->at + i, self.list->at + i + 1, (size_t)(n - i - 1) * sizeof *self.list->at);
    self.list->n--;
    return true;
}

/* ---- all of them */

enum { METHOD_CHANGES = 1, METHOD_NAMES = 2 /* takes arguments by name */ };
static const struct { const char *name; method_function *call; uint8_t kind, least, most, flags; } method_rows[] = {
    { "strip", method_strip, LM_VAL_STR, 0, 1, 0 }, { "lstrip", method_lstrip, LM_VAL_STR, 0, 1, 0 }, { "rstrip", method_rstrip, LM_VAL_STR, 0, 1, 0 },
    { "split", method_split, LM_VAL_STR, 0, 2, METHOD_NAMES }, { "rsplit", method_rsplit, LM_VAL_STR, 0, 2, METHOD_NAMES },
    { "splitlines", method_splitlines, LM_VAL_STR, 0, 0, 0 }, { "startswith", method_startswith, LM_VAL_STR, 1, 1, 0 },
    { "endswith", method_endswith, LM_VAL_STR, 1, 1, 0 }, { "removeprefix", method_removeprefix, LM_VAL_STR, 1, 1, 0 },
    { "removesuffix", method_removesuffix, LM_VAL_STR, 1, 1, 0 }, { "replace", method_replace, LM_VAL_STR, 2, 3, 0 },
    { "upper", method_upper, LM_VAL_STR, 0, 0, 0 }, { "lower", method_lower, LM_VAL_STR, 0, 0, 0 },
    { "capitalize", method_capitalize, LM_VAL_STR, 0, 0, 0 }, { "title", method_title, LM_VAL_STR, 0, 0, 0 },
    { "join", method_join, LM_VAL_STR, 1, 1, 0 }, { "find", method_find, LM_VAL_STR, 1, 1, 0 }, { "rfind", method_rfind, LM_VAL_STR, 1, 1, 0 },
    { "index", method_str_index, LM_VAL_STR, 1, 1, 0 }, { "count", method_str_count, LM_VAL_STR, 1, 1, 0 },
    { "isdigit", method_isdigit, LM_VAL_STR, 0, 0, 0 }, { "isspace", method_isspace, LM_VAL_STR, 0, 0, 0 },
    { "format", method_format, LM_VAL_STR, 0, 255, METHOD_NAMES },
    { "get", method_get, LM_VAL_DICT, 1, 2, 0 }, { "items", method_items, LM_VAL_DICT, 0, 0, 0 }, { "keys", method_keys, LM_VAL_DICT, 0, 0, 0 },
    { "values", method_values, LM_VAL_DICT, 0, 0, 0 }, { "copy", method_dict_copy, LM_VAL_DICT, 0, 0, 0 },
    { "update", method_update, LM_VAL_DICT, 0, 1, METHOD_CHANGES | METHOD_NAMES }, { "pop", method_dict_pop, LM_VAL_DICT, 1, 2, METHOD_CHANGES },
    { "index", method_list_index, LM_VAL_LIST, 1, 1, 0 }, { "count", method_list_count, LM_VAL_LIST, 1, 1, 0 },
    { "append", method_append, LM_VAL_LIST, 1, 1, METHOD_CHANGES }, { "extend", method_extend, LM_VAL_LIST, 1, 1, METHOD_CHANGES },
    { "pop", method_list_pop, LM_VAL_LIST, 0, 1, METHOD_CHANGES },
};

bool lm_method_find(lm_jinja *run, lm_val self, llm_str name, lm_val *out, bool *found)
{
    uint8_t kind = self.kind == LM_VAL_TUPLE ? LM_VAL_LIST : self.kind;
    *found = false;
    if ((self.kind == LM_VAL_LOOP && (lm_name_is(name, "cycle") || lm_name_is(name, "changed")))
        || (self.kind == LM_VAL_CYCLER && (lm_name_is(name, "next") || lm_name_is(name, "reset")))) {
        *out = (lm_val){ .kind = LM_VAL_METHOD, .method = lm_jinja_new(run, sizeof *out->method) };
        *found = out->method != NULL;
        if (*found)
            *out->method = (lm_method){ self, name, UINT32_MAX };
        return *found;
    }
    for (uint32_t i = 0; i < LM_COUNT(method_rows); i++) {
        if (method_rows[i].kind != kind || !lm_name_is(name, method_rows[i].name))
            continue;
        *found = true;
        if ((method_rows[i].flags & METHOD_CHANGES) && (self.kind == LM_VAL_TUPLE || !run->options->mutable_values)) {
            *out = lm_val_undefined(name);
            out->flag = self.kind != LM_VAL_TUPLE;      /* known and forbidden */
            return true;
        }
        *out = (lm_val){ .kind = LM_VAL_METHOD, .method = lm_jinja_new(run, sizeof *out->method) };
        if (!out->method)
            return false;
        *out->method = (lm_method){ self, name, i };
        return true;
    }
    return true;
}

static bool method_of_loop(lm_jinja *run, const lm_method *method, const lm_args *args, lm_val *out)
{
    lm_loop *loop = method->self.loop;
    lm_val now;
    bool equal = false;
    if (lm_name_is(method->name, "cycle")) {
        if (args->n == 0)
            return lm_jinja_fail(run, LLM_E_INVALID, "no items for cycling given");
        *out = args->at[loop->at % args->n];
        return true;
    }
    now = lm_list_val(LM_VAL_TUPLE, lm_jinja_new(run, sizeof(lm_val_list)));
    if (!now.list)
        return false;
    *now.list = (lm_val_list){ .at = args->at, .n = args->n };
    if (loop->has_changed && !lm_val_equal(run, loop->changed, now, &equal))
        return false;
    loop->changed = now;
    loop->has_changed = true;
    *out = lm_val_bool(!equal);
    return true;
}

bool lm_method_call(lm_jinja *run, const lm_method *method, const lm_args *args, lm_val *out)
{
    lm_val_list *cycle = method->self.list;
    if (method->self.kind == LM_VAL_LOOP)
        return method_of_loop(run, method, args, out);
    if (method->self.kind == LM_VAL_CYCLER) {
        bool next = lm_name_is(method->name, "next");
        *out = next ? cycle->at[cycle->pos] : lm_val_none();
        cycle->pos = next ? (cycle->pos + 1) % cycle->n : 0;
        return true;
    }
    if (args->n < method_rows[method->which].least || args->n > method_rows[method->which].most)
        return lm_jinja_fail(run, LLM_E_INVALID, "%s() takes %u to %u arguments, %zu given", method_rows[method->which].name,
                             (unsigned)method_rows[method->which].least, (unsigned)method_rows[method->which].most, args->n);
    if (args->n_named && !(method_rows[method->which].flags & METHOD_NAMES))
        return lm_jinja_fail(run, LLM_E_INVALID, "%s.%s() takes no keyword arguments", lm_val_type(method->self), method_rows[method->which].name);
    return method_rows[method->which].call(run, method->self, args, out);
}
