/* SPDX-License-Identifier: MIT
 * Filters of templates over lists and values, and the table of all: see tree.h. Floor 3. */
#include "text/chat/tree.h"

#include <string.h>

typedef bool filter_function(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out);

bool lm_args_flag(const lm_args *args, size_t place, const char *name, bool otherwise)
{
    lm_val v;
    return lm_args_get(args, place, name, &v) ? lm_val_truth(v) : otherwise;
}

static bool filter_whole(lm_jinja *run, const lm_args *args, size_t place, const char *name, int64_t otherwise, int64_t *out)
{
    lm_val v;
    *out = otherwise;
    if (!lm_args_get(args, place, name, &v) || v.kind == LM_VAL_NONE)
        return true;
    if (!lm_val_is_whole(v))
        return lm_jinja_fail(run, LLM_E_INVALID, "the argument '%s' must be an integer, not %s", name, lm_val_type(v));
    *out = v.i;
    return true;
}

static bool filter_length(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    (void)args;
    *out = lm_val_int(0);
    return lm_val_length(run, v, &out->i);
}

static bool filter_default(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val other = lm_val_str("", 0);
    (void)run;
    lm_args_get(args, 0, "default_value", &other);
    *out = v.kind == LM_VAL_UNDEFINED || (lm_args_flag(args, 1, "boolean", false) && !lm_val_truth(v)) ? other : v;
    return true;
}

static bool filter_items(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val_list *list;
    lm_val pair;
    (void)args;
    if (v.kind != LM_VAL_DICT && v.kind != LM_VAL_UNDEFINED)
        return lm_jinja_fail(run, LLM_E_INVALID, "Can only get item pairs from a mapping.");
    if (!lm_list_new(run, 0, &list))
        return false;
    for (size_t i = 0; v.kind == LM_VAL_DICT && i < v.dict->n; i++)
        if (!lm_pair_new(run, v.dict->at[i].key, v.dict->at[i].value, &pair) || !lm_list_add(run, list, pair))
            return false;
    *out = lm_list_val(LM_VAL_GENERATOR, list);
    return true;
}

static bool filter_list(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val_list *items, *list;
    (void)args;
    if (!lm_val_items(run, v, &items) || !lm_list_new(run, items->n, &list))
        return false;
    for (size_t i = 0; i < items->n; i++)
        if (!lm_list_add(run, list, items->at[i]))
            return false;
    *out = lm_list_val(LM_VAL_LIST, list);
    return true;
}

static bool filter_first(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val_list *items;
    (void)args;
    if (v.kind == LM_VAL_GENERATOR) {
        *out = v.list->pos < v.list->n ? v.list->at[v.list->pos++] : lm_val_undefined((llm_str){ "no first item", 13 });
        return true;
    }
    if (!lm_val_items(run, v, &items))
        return false;
    *out = items->n ? items->at[0] : lm_val_undefined((llm_str){ "no first item", 13 });
    return true;
}

static bool filter_last(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val_list *items;
    (void)args;
    if (v.kind == LM_VAL_GENERATOR)
        return lm_jinja_fail(run, LLM_E_INVALID, "'generator' object is not reversible");
    if (!lm_val_items(run, v, &items))
        return false;
    *out = items->n ? items->at[items->n - 1] : lm_val_undefined((llm_str){ "no last item", 12 });
    return true;
}

static bool filter_reverse(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val_list *items, *list;
    lm_text text = { 0 };
    if (v.kind == LM_VAL_GENERATOR && !filter_list(run, v, args, &v))
        return false;
    if (!lm_val_items(run, v, &items) || !lm_list_new(run, items->n, &list))
        return false;
    for (size_t i = items->n; i-- > 0;)
        if (v.kind == LM_VAL_STR ? !lm_text_add_val(run, &text, items->at[i]) : !lm_list_add(run, list, items->at[i]))
            return false;
    *out = v.kind == LM_VAL_STR ? lm_text_val(&text) : lm_list_val(LM_VAL_GENERATOR, list);
    return true;
}

static bool filter_join(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val_list *items;
    lm_val with = lm_val_str("", 0), path = lm_val_none(), item;
    lm_text text = { 0 };
    lm_args_get(args, 0, "d", &with);
    lm_args_get(args, 1, "attribute", &path);
    if (!lm_val_to_str(run, with, &with) || !lm_val_items(run, v, &items))
        return false;
    for (size_t i = 0; i < items->n; i++) {
        item = items->at[i];
        if ((path.kind != LM_VAL_NONE && !lm_eval_path(run, item, path, &item)) || (i && !lm_text_add_val(run, &text, with))
            || !lm_val_print(run, &text, item))
            return false;
    }
    *out = lm_text_val(&text);
    return true;
}

/* ---- choice */

static bool filter_name(lm_jinja *run, lm_val v, llm_str *name)
{
    if (v.kind != LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "a name in quotes was expected, not %s", lm_val_type(v));
    *name = (llm_str){ v.s, v.len };
    return true;
}

static bool filter_choose(lm_jinja *run, lm_val v, const lm_args *args, bool attribute, bool keep, lm_val *out)
{
    lm_val_list *items, *list;
    size_t first = attribute ? 1 : 0;
    lm_args rest = { args->n > first + 1 ? args->at + first + 1 : NULL, args->n > first + 1 ? args->n - first - 1 : 0, args->named, args->n_named };
    llm_str test = { NULL, 0 };
    if (attribute && args->n == 0)
        return lm_jinja_fail(run, LLM_E_INVALID, "Missing parameter for attribute name");
    if (!lm_val_truth(v))
        v = lm_val_undefined(test);     /* whatever is false has no items: none too */
    if (!lm_val_items(run, v, &items) || !lm_list_new(run, 0, &list) || (args->n > first && !filter_name(run, args->at[first], &test)))
        return false;
    for (size_t i = 0; i < items->n; i++) {
        lm_val item = items->at[i];
        bool holds;
        if (attribute && !lm_eval_path(run, item, args->at[0], &item))
            return false;
        holds = lm_val_truth(item);
        if (test.ptr && !lm_test_apply(run, test, item, &rest, &holds))
            return false;
        if (holds == keep && !lm_list_add(run, list, items->at[i]))
            return false;
    }
    *out = lm_list_val(LM_VAL_GENERATOR, list);
    return true;
}

static bool filter_select(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out) { return filter_choose(run, v, args, false, true, out); }
static bool filter_reject(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out) { return filter_choose(run, v, args, false, false, out); }
static bool filter_selectattr(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out) { return filter_choose(run, v, args, true, true, out); }
static bool filter_rejectattr(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out) { return filter_choose(run, v, args, true, false, out); }

static bool filter_map(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val_list *items, *list;
    lm_args rest = { args->n > 1 ? args->at + 1 : NULL, args->n > 1 ? args->n - 1 : 0, args->named, args->n_named };
    lm_val path = lm_val_none(), other, item;
    bool has_path = args->n == 0 && lm_args_get(args, SIZE_MAX, "attribute", &path), has_other = lm_args_get(args, SIZE_MAX, "default", &other);
    llm_str name = { NULL, 0 };
    if (!lm_val_truth(v))
        v = lm_val_undefined(name);     /* as with select */
    if (!lm_val_items(run, v, &items) || !lm_list_new(run, items->n, &list))
        return false;
    if (!has_path && args->n == 0)
        return lm_jinja_fail(run, LLM_E_INVALID, "map requires a filter argument");
    if (!has_path && !filter_name(run, args->at[0], &name))
        return false;
    for (size_t i = 0; i < items->n; i++) {
        if (has_path ? !lm_eval_path(run, items->at[i], path, &item) : !lm_filter_apply(run, name, items->at[i], &rest, &item))
            return false;
        if (has_path && has_other && item.kind == LM_VAL_UNDEFINED)
            item = other;
        if (!lm_list_add(run, list, item))
            return false;
    }
    *out = lm_list_val(LM_VAL_GENERATOR, list);
    return true;
}

/* ---- numbers */

static bool filter_int(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    int64_t base, i;
    double f;
    lm_val other = lm_val_int(0);
    lm_args_get(args, 0, "default", &other);
    if (!filter_whole(run, args, 1, "base", 10, &base))
        return false;
    if (base != 0 && (base < 2 || base > 36))
        base = 1;                       /* int() refuses; then float() is tried */
    if (lm_val_is_whole(v))
        *out = lm_val_int(v.i);
    else if (v.kind == LM_VAL_STR && base != 1 && lm_number_parse_int(v.s, v.len, (int)base, &i))
        *out = lm_val_int(i);
    else if ((v.kind == LM_VAL_FLOAT && ((f = v.f), true)) || (v.kind == LM_VAL_STR && lm_number_parse(v.s, v.len, &f)))
        *out = f > -9.2e18 && f < 9.2e18 ? lm_val_int((int64_t)f) : other;
    else
        *out = other;
    return true;
}

static bool filter_float(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val other = lm_val_float(0);
    (void)run;
    lm_args_get(args, 0, "default", &other);
    *out = lm_val_float(0);
    if (lm_val_is_number(v))
        out->f = lm_val_double(v);
    else if (v.kind != LM_VAL_STR || !lm_number_parse(v.s, v.len, &out->f))
        *out = other;
    return true;
}

static bool filter_abs(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    (void)args;
    if (!lm_val_is_number(v) || (v.kind != LM_VAL_FLOAT && v.i == INT64_MIN))
        return lm_jinja_fail(run, LLM_E_INVALID, "bad operand type for abs(): '%s'", lm_val_type(v));
    *out = v.kind == LM_VAL_FLOAT ? lm_val_float(v.f < 0 || (v.f == 0) ? 0 - v.f + 0.0 : v.f) : lm_val_int(v.i < 0 ? -v.i : v.i);
    return true;
}

static bool filter_round(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val method = lm_val_str("common", 6);
    int64_t digits;
    lm_args_get(args, 1, "method", &method);
    if (!filter_whole(run, args, 0, "precision", 0, &digits))
        return false;
    if (!lm_val_is_number(v))
        return lm_jinja_fail(run, LLM_E_INVALID, "type %s doesn't define __round__ method", lm_val_type(v));
    if (method.kind != LM_VAL_STR || digits < -20 || digits > 20)
        return lm_jinja_fail(run, LLM_E_INVALID, "round: the method must be common, ceil or floor, the precision -20 to 20");
    if (lm_val_is(method, "common", 6)) {
        *out = v.kind == LM_VAL_FLOAT ? lm_val_float(lm_number_round(v.f, digits)) : lm_val_int(v.i);
        return v.kind == LM_VAL_FLOAT || digits >= 0 || lm_jinja_fail(run, LLM_E_UNSUPPORTED, "round: an integer to tens is not supported");
    }
    {
        double scale = 1, x;
        bool ceil = lm_val_is(method, "ceil", 4);
        if (!ceil && !lm_val_is(method, "floor", 5))
            return lm_jinja_fail(run, LLM_E_INVALID, "method must be common, ceil or floor");
        for (int64_t i = digits; i != 0; i += i > 0 ? -1 : 1)
            scale *= 10;
        x = digits < 0 ? lm_val_double(v) / scale : lm_val_double(v) * scale;
        x = ceil ? -lm_number_floor(-x) : lm_number_floor(x);
        *out = lm_val_float(digits < 0 ? x * scale : x / scale);
    }
    return true;
}

/* ---- JSON */

static bool filter_tojson(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_json_style style = { .item = lm_val_str(", ", 2), .key = lm_val_str(": ", 2) };
    lm_val given;
    lm_text text = { 0 };
    style.ascii = lm_args_flag(args, 0, "ensure_ascii", false);
    style.sort = lm_args_flag(args, 3, "sort_keys", false);
    if (lm_args_get(args, 1, "indent", &given) && given.kind != LM_VAL_NONE) {
        style.item.len = 1;
        if (lm_val_is_whole(given) && !lm_eval_binary(run, '*', lm_val_str(" ", 1), given, &style.indent))
            return false;
        if (given.kind == LM_VAL_STR)
            style.indent = given;
        else if (!lm_val_is_whole(given))
            return lm_jinja_fail(run, LLM_E_INVALID, "tojson: indent must be an integer or a string, not %s", lm_val_type(given));
    }
    if (lm_args_get(args, 2, "separators", &given) && given.kind != LM_VAL_NONE) {
        if ((given.kind != LM_VAL_LIST && given.kind != LM_VAL_TUPLE) || given.list->n != 2 || given.list->at[0].kind != LM_VAL_STR
            || given.list->at[1].kind != LM_VAL_STR)
            return lm_jinja_fail(run, LLM_E_INVALID, "tojson: separators must be two strings");
        style.item = given.list->at[0];
        style.key = given.list->at[1];
    }
    if (!lm_json_write(run, &text, &style, v, 0))
        return false;
    *out = lm_text_val(&text);
    return true;
}

/* ---- all of them */

typedef struct filter_row { const char *name; filter_function *apply; size_t most; const char *args; } filter_row;

static const filter_row filter_rows[] = {
    { "length", filter_length, 0, "" }, { "count", filter_length, 0, "" }, { "default", filter_default, 2, "default_value boolean" },
    { "d", filter_default, 2, "default_value boolean" }, { "items", filter_items, 0, "" }, { "list", filter_list, 0, "" },
    { "first", filter_first, 0, "" }, { "last", filter_last, 0, "" }, { "reverse", filter_reverse, 0, "" }, { "join", filter_join, 2, "d attribute" },
    { "sort", lm_order_sort, 3, "reverse case_sensitive attribute" }, { "dictsort", lm_order_dictsort, 3, "case_sensitive by reverse" },
    { "min", lm_order_min, 2, "case_sensitive attribute" }, { "max", lm_order_max, 2, "case_sensitive attribute" },
    { "sum", lm_order_sum, 2, "attribute start" }, { "unique", lm_order_unique, 2, "case_sensitive attribute" },
    { "select", filter_select, SIZE_MAX, NULL }, { "reject", filter_reject, SIZE_MAX, NULL },
    { "selectattr", filter_selectattr, SIZE_MAX, NULL }, { "rejectattr", filter_rejectattr, SIZE_MAX, NULL }, { "map", filter_map, SIZE_MAX, NULL },
    { "int", filter_int, 2, "default base" }, { "float", filter_float, 1, "default" }, { "abs", filter_abs, 0, "" },
    { "round", filter_round, 2, "precision method" }, { "tojson", filter_tojson, 4, "ensure_ascii indent separators sort_keys" },
};

bool lm_filter_known(llm_str name)
{
    for (size_t i = 0; i < LM_COUNT(filter_rows); i++)
        if (lm_name_is(name, filter_rows[i].name))
            return true;
    return lm_text_filter_known(name);
}

bool lm_filter_apply(lm_jinja *run, llm_str name, lm_val v, const lm_args *args, lm_val *out)
{
    bool ok;
    for (size_t i = 0; i < LM_COUNT(filter_rows); i++)
        if (lm_name_is(name, filter_rows[i].name)) {
            if (filter_rows[i].args && !lm_args_check(run, args, filter_rows[i].name, 0, filter_rows[i].most, filter_rows[i].args))
                return false;
            if (!lm_jinja_step(run, 1) || !lm_jinja_enter(run))
                return false;
            ok = filter_rows[i].apply(run, v, args, out);
            lm_jinja_leave(run);
            return ok;
        }
    if (!lm_text_filter_known(name))
        return lm_jinja_fail(run, LLM_E_INVALID, "No filter named '%.*s' found.", (int)LM_MIN(name.len, (size_t)40), name.ptr);
    return lm_text_filter_apply(run, name, v, args, out);
}
