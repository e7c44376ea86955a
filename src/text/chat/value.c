/* SPDX-License-Identifier: MIT
 * Values of templates: see value.h. Floor 3. */
#include "text/chat/value.h"

#include "base/utf8.h"

#include <string.h>

/* ---- the run's purse */

bool lm_jinja_fail(lm_jinja *run, llm_status status, const char *format, ...)
{
    char text[300];
    va_list args;
    if (run->status != LLM_OK)
        return false;
    va_start(args, format);
    lm_format(text, sizeof text, format, args);
    va_end(args);
    if (run->line)
        run->status = lm_fail(run->error, status, "chat template, line %u: %s", run->line, text);
    else
        run->status = lm_fail(run->error, status, "%s%s", run->globals ? "chat template: " : "", text);
    return false;
}

void *lm_jinja_new(lm_jinja *run, size_t bytes)
{
    void *ptr;
    if (bytes > run->limits.memory_bytes - run->taken) {
        lm_jinja_fail(run, LLM_E_LIMIT, "its values need more than the limit of %zu bytes", run->limits.memory_bytes);
        return NULL;
    }
    ptr = lm_arena_new(&run->arena, bytes);
    if (!ptr) {
        if (run->status == LLM_OK)
            run->status = lm_fail_memory(run->error, "a chat template", bytes);
        return NULL;
    }
    run->taken += bytes;
    return ptr;
}

bool lm_jinja_step(lm_jinja *run, uint64_t n)
{
    if (n > run->steps) {
        run->steps = 0;
        return lm_jinja_fail(run, LLM_E_LIMIT, "stopped after the limit of %llu steps", (unsigned long long)run->limits.steps);
    }
    run->steps -= n;
    return true;
}

bool lm_jinja_look(lm_jinja *run, uint64_t bytes)
{
    uint64_t all = run->looked + bytes;
    run->looked = all % 32;
    return all < 32 || lm_jinja_step(run, all / 32);
}

bool lm_jinja_enter(lm_jinja *run)
{
    if (run->depth >= run->limits.depth)
        return lm_jinja_fail(run, LLM_E_LIMIT, "nested deeper than the limit of %u", run->limits.depth);
    run->depth++;
    return true;
}

/* ---- boxes */

bool lm_list_new(lm_jinja *run, size_t cap, lm_val_list **out)
{
    lm_val_list *list = lm_jinja_new(run, sizeof *list);
    if (!list || cap > SIZE_MAX / sizeof *list->at / 2 || (cap && !(list->at = lm_jinja_new(run, cap * sizeof *list->at))))
        return list && lm_jinja_fail(run, LLM_E_LIMIT, "a list of %zu items", cap);
    list->cap = cap;
    *out = list;
    return true;
}

bool lm_list_add(lm_jinja *run, lm_val_list *list, lm_val v)
{
    if (!lm_jinja_step(run, 1))
        return false;
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 4;
        lm_val *at = lm_jinja_new(run, cap * sizeof *at);
        if (!at)
            return false;
        if (list->n)
            memcpy(at, list->at, list->n * sizeof *at);
        list->at = at;
        list->cap = cap;
    }
    list->at[list->n++] = v;
    return true;
}

bool lm_pair_new(lm_jinja *run, lm_val a, lm_val b, lm_val *out)
{
    lm_val_list *pair;
    if (!lm_list_new(run, 2, &pair))
        return false;
    *out = lm_list_val(LM_VAL_TUPLE, pair);
    return lm_list_add(run, pair, a) && lm_list_add(run, pair, b);
}

bool lm_dict_new(lm_jinja *run, lm_val_dict **out)
{
    return (*out = lm_jinja_new(run, sizeof **out)) != NULL;
}

static bool value_hashable(lm_val v)
{
    if (v.kind == LM_VAL_TUPLE)
        for (size_t i = 0; i < v.list->n; i++)
            if (!value_hashable(v.list->at[i]))
                return false;
    return v.kind != LM_VAL_LIST && v.kind != LM_VAL_DICT;
}

bool lm_dict_find(lm_jinja *run, const lm_val_dict *dict, lm_val key, lm_val **value)
{
    *value = NULL;
    if (!lm_jinja_step(run, 1 + dict->n / 8))
        return false;
    if (key.kind == LM_VAL_LIST || key.kind == LM_VAL_DICT || !value_hashable(key))
        return lm_jinja_fail(run, LLM_E_INVALID, "unhashable type: '%s'", lm_val_type(key));
    for (size_t i = 0; i < dict->n; i++) {
        bool equal;
        if (key.kind == LM_VAL_STR) {
            equal = dict->at[i].key.kind == LM_VAL_STR && lm_val_is(dict->at[i].key, key.s, key.len);
        } else if (!lm_val_equal(run, dict->at[i].key, key, &equal)) {
            return false;
        }
        if (equal) {
            *value = &dict->at[i].value;
            return true;
        }
    }
    return true;
}

bool lm_dict_set(lm_jinja *run, lm_val_dict *dict, lm_val key, lm_val value)
{
    lm_val *old;
    if (!lm_dict_find(run, dict, key, &old))
        return false;
    if (old) {
        *old = value;
        return true;
    }
    if (dict->n == dict->cap) {
        size_t cap = dict->cap ? dict->cap * 2 : 4;
        lm_val_pair *at = lm_jinja_new(run, cap * sizeof *at);
        if (!at)
            return false;
        if (dict->n)
            memcpy(at, dict->at, dict->n * sizeof *at);
        dict->at = at;
        dict->cap = cap;
    }
    dict->at[dict->n++] = (lm_val_pair){ key, value };
    return true;
}

bool lm_dict_set_name(lm_jinja *run, lm_val_dict *dict, const char *name, lm_val value)
{
    return lm_dict_set(run, dict, lm_val_str(name, strlen(name)), value);
}

/* ---- Python's rules */

bool lm_val_truth(lm_val v)
{
    switch (v.kind) {
    case LM_VAL_UNDEFINED: case LM_VAL_NONE:
        return false;
    case LM_VAL_BOOL: case LM_VAL_INT:
        return v.i != 0;
    case LM_VAL_FLOAT:
        return !(v.f == 0);
    case LM_VAL_STR:
        return v.len != 0;
    case LM_VAL_LIST: case LM_VAL_TUPLE: case LM_VAL_VIEW: case LM_VAL_RANGE:
        return v.list->n != 0;
    case LM_VAL_DICT:
        return v.dict->n != 0;
    default:
        return true;
    }
}

const char *lm_val_type(lm_val v)
{
    static const char *const names[] = {
        "Undefined", "NoneType", "bool", "int", "float", "str", "list", "tuple", "dict", "dict_items", "generator", "range", "Namespace",
        "Macro", "builtin_function_or_method", "function", "LoopContext", "Cycler", "Joiner",
    };
    return names[v.kind];
}

static bool value_lists_equal(lm_jinja *run, const lm_val_list *a, const lm_val_list *b, bool *equal)
{
    *equal = a->n == b->n;
    for (size_t i = 0; *equal && i < a->n; i++)
        if (!lm_val_equal(run, a->at[i], b->at[i], equal))
            return false;
    return true;
}

static bool value_dicts_equal(lm_jinja *run, const lm_val_dict *a, const lm_val_dict *b, bool *equal)
{
    *equal = a->n == b->n;
    for (size_t i = 0; *equal && i < a->n; i++) {
        lm_val *other;
        if (!lm_dict_find(run, b, a->at[i].key, &other))
            return false;
        *equal = other != NULL;
        if (other && !lm_val_equal(run, a->at[i].value, *other, equal))
            return false;
    }
    return true;
}

bool lm_val_equal(lm_jinja *run, lm_val a, lm_val b, bool *equal)
{
    bool ok = true;
    if (!lm_jinja_step(run, 1))
        return false;
    if (lm_val_is_number(a) && lm_val_is_number(b)) {
        *equal = lm_val_is_whole(a) && lm_val_is_whole(b) ? a.i == b.i : lm_val_double(a) == lm_val_double(b);
    } else if (a.kind != b.kind) {
        *equal = false;
    } else if (a.kind == LM_VAL_STR) {
        *equal = lm_val_is(a, b.s, b.len);
        ok = lm_jinja_step(run, a.len / 1024);
    } else if (a.kind == LM_VAL_UNDEFINED || a.kind == LM_VAL_NONE) {
        *equal = true;
    } else if (a.kind == LM_VAL_LIST || a.kind == LM_VAL_TUPLE || a.kind == LM_VAL_RANGE || a.kind == LM_VAL_DICT) {
        if (!lm_jinja_enter(run))
            return false;
        ok = a.kind == LM_VAL_DICT ? value_dicts_equal(run, a.dict, b.dict, equal) : value_lists_equal(run, a.list, b.list, equal);
        lm_jinja_leave(run);
    } else if (a.kind == LM_VAL_FUNCTION) {
        *equal = a.flag == b.flag;
    } else {
        *equal = a.list == b.list;      /* the same object */
    }
    return ok;
}

bool lm_val_compare(lm_jinja *run, lm_val a, lm_val b, const char *sign, int *order)
{
    bool ok = true, equal = true;
    if (lm_val_is_number(a) && lm_val_is_number(b)) {
        if (lm_val_is_whole(a) && lm_val_is_whole(b))
            *order = (a.i > b.i) - (a.i < b.i);
        else
            *order = (lm_val_double(a) > lm_val_double(b)) - (lm_val_double(a) < lm_val_double(b));
        return lm_jinja_step(run, 1);
    }
    if (a.kind == LM_VAL_STR && b.kind == LM_VAL_STR) {
        size_t n = LM_MIN(a.len, b.len);
        int c = n ? memcmp(a.s, b.s, n) : 0;
        *order = c ? c : (a.len > b.len) - (a.len < b.len);
        return lm_jinja_step(run, 1 + n / 1024);
    }
    if (a.kind == b.kind && (a.kind == LM_VAL_LIST || a.kind == LM_VAL_TUPLE)) {
        size_t n = LM_MIN(a.list->n, b.list->n), i = 0;
        if (!lm_jinja_enter(run))
            return false;
        while (ok && i < n && (ok = lm_val_equal(run, a.list->at[i], b.list->at[i], &equal)) && equal)
            i++;
        *order = (a.list->n > b.list->n) - (a.list->n < b.list->n);
        if (ok && i < n)
            ok = lm_val_compare(run, a.list->at[i], b.list->at[i], sign, order);
        lm_jinja_leave(run);
        return ok;
    }
    if (a.kind == LM_VAL_UNDEFINED || b.kind == LM_VAL_UNDEFINED) {
        lm_val u = a.kind == LM_VAL_UNDEFINED ? a : b;
        return lm_jinja_fail(run, LLM_E_INVALID, "'%.*s' is undefined", (int)LM_MIN(u.len, (size_t)80), u.s ? u.s : "");
    }
    return lm_jinja_fail(run, LLM_E_INVALID, "'%s' not supported between instances of '%s' and '%s'", sign, lm_val_type(a), lm_val_type(b));
}

bool lm_val_length(lm_jinja *run, lm_val v, int64_t *n)
{
    switch (v.kind) {
    case LM_VAL_UNDEFINED:
        *n = 0;
        return true;
    case LM_VAL_STR:
        *n = (int64_t)lm_chars_count(v.s, v.len);
        return lm_jinja_look(run, v.len);
    case LM_VAL_LIST: case LM_VAL_TUPLE: case LM_VAL_VIEW: case LM_VAL_RANGE:
        *n = (int64_t)v.list->n;
        return true;
    case LM_VAL_DICT:
        *n = (int64_t)v.dict->n;
        return true;
    default:
        return lm_jinja_fail(run, LLM_E_INVALID, "object of type '%s' has no len()", lm_val_type(v));
    }
}

bool lm_val_items(lm_jinja *run, lm_val v, lm_val_list **items)
{
    lm_val_list *list;
    switch (v.kind) {
    case LM_VAL_LIST: case LM_VAL_TUPLE: case LM_VAL_VIEW: case LM_VAL_RANGE:
        *items = v.list;
        return true;
    case LM_VAL_GENERATOR:              /* what is left of it, and nothing the next time */
        if (!lm_list_new(run, 0, &list))
            return false;
        list->n = v.list->n - v.list->pos;
        if (list->n > 0)
            list->at = v.list->at + v.list->pos;
        v.list->pos = v.list->n;
        *items = list;
        return true;
    case LM_VAL_UNDEFINED:
        return lm_list_new(run, 0, items);
    case LM_VAL_DICT:
        if (!lm_list_new(run, v.dict->n, &list))
            return false;
        for (size_t i = 0; i < v.dict->n; i++)
            if (!lm_list_add(run, list, v.dict->at[i].key))
                return false;
        *items = list;
        return true;
    case LM_VAL_STR:
        if (!lm_list_new(run, lm_chars_count(v.s, v.len), &list))
            return false;
        for (size_t at = 0; at < v.len;) {
            uint32_t cp;
            size_t n = lm_utf8_decode(v.s + at, v.len - at, false, &cp);
            if (!lm_list_add(run, list, lm_val_part(v, v.s + at, n)))
                return false;
            at += n;
        }
        *items = list;
        return true;
    default:
        return lm_jinja_fail(run, LLM_E_INVALID, "'%s' object is not iterable", lm_val_type(v));
    }
}

bool lm_val_contains(lm_jinja *run, lm_val box, lm_val item, bool *has)
{
    lm_val_list *items;
    *has = false;
    if (box.kind == LM_VAL_STR) {
        if (item.kind != LM_VAL_STR)
            return lm_jinja_fail(run, LLM_E_INVALID, "'in <string>' requires string as left operand, not %s", lm_val_type(item));
        size_t at;
        if (!lm_chars_find(run, box, item, 0, &at))
            return false;
        *has = at != SIZE_MAX;
        return true;
    }
    if (box.kind == LM_VAL_DICT) {
        lm_val *value;
        if (!lm_dict_find(run, box.dict, item, &value))
            return false;
        *has = value != NULL;
        return true;
    }
    if (!lm_val_items(run, box, &items))
        return false;
    for (size_t i = 0; i < items->n && !*has; i++)
        if (!lm_val_equal(run, items->at[i], item, has))
            return false;
    return true;
}
