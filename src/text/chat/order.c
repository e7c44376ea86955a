/* SPDX-License-Identifier: MIT
 * Filters of templates that put in order: sort, dictsort, unique, min, max, sum. See tree.h. Floor 3. */
#include "text/chat/tree.h"

#include <string.h>

/* What is compared: a part of the item, letters of either case alike unless asked. */
static bool order_key(lm_jinja *run, lm_val item, lm_val path, bool exact, lm_val *key)
{
    lm_val_list *parts;
    lm_val part;
    const char *at, *end, *comma;
    *key = item;
    if (path.kind != LM_VAL_STR || !memchr(path.s, ',', path.len)) {
        if (path.kind != LM_VAL_NONE && !lm_eval_path(run, item, path, key))
            return false;
        return exact || key->kind != LM_VAL_STR || lm_chars_map(run, *key, 0, key);
    }
    if (!lm_list_new(run, 2, &parts))
        return false;
    for (at = path.s, end = path.s + path.len; at <= end; at = comma + 1) {
        comma = memchr(at, ',', (size_t)(end - at));
        comma = comma ? comma : end;
        if (!lm_eval_path(run, item, lm_val_str(at, (size_t)(comma - at)), &part)
            || (!exact && part.kind == LM_VAL_STR && !lm_chars_map(run, part, 0, &part)) || !lm_list_add(run, parts, part))
            return false;
    }
    *key = lm_list_val(LM_VAL_LIST, parts);
    return true;
}

typedef struct order_entry { lm_val key, value; } order_entry;

static bool order_less(lm_jinja *run, lm_val a, lm_val b, bool *less)
{
    int order;
    bool equal;
    if (!lm_val_equal(run, a, b, &equal))       /* what is equal needs no order: None, Undefined */
        return false;
    *less = false;
    if (equal)
        return true;
    if (!lm_val_compare(run, a, b, "<", &order))
        return false;
    *less = order < 0;
    return true;
}

/* Merges from below, stable; reversed keeps the order of equals too, as Python does. */
static bool order_order(lm_jinja *run, order_entry *at, size_t n, bool reversed)
{
    order_entry *other = lm_jinja_new(run, (n + 1) * sizeof *other), *from = at, *to = other;
    if (!other)
        return false;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low < n; low += 2 * width) {
            size_t middle = LM_MIN(low + width, n), high = LM_MIN(low + 2 * width, n), a = low, b = middle;
            for (size_t i = low; i < high; i++) {
                bool second = a == middle;
                if (!second && b < high
                    && !(reversed ? order_less(run, from[a].key, from[b].key, &second) : order_less(run, from[b].key, from[a].key, &second)))
                    return false;
                to[i] = second ? from[b++] : from[a++];
            }
        }
        order_entry *swap = from;
        from = to;
        to = swap;
    }
    if (from != at && n)
        memcpy(at, from, n * sizeof *at);
    return true;
}

static bool order_ordered(lm_jinja *run, const lm_val_list *items, lm_val path, bool exact, bool reversed, lm_val *out)
{
    order_entry *entries = lm_jinja_new(run, (items->n + 1) * sizeof *entries);
    lm_val_list *list;
    if (!entries || !lm_list_new(run, items->n, &list))
        return false;
    for (size_t i = 0; i < items->n; i++) {
        entries[i].value = items->at[i];
        if (!order_key(run, items->at[i], path, exact, &entries[i].key))
            return false;
    }
    if (!order_order(run, entries, items->n, reversed))
        return false;
    for (size_t i = 0; i < items->n; i++)
        if (!lm_list_add(run, list, entries[i].value))
            return false;
    *out = lm_list_val(LM_VAL_LIST, list);
    return true;
}

bool lm_order_sort(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val_list *items;
    lm_val path = lm_val_none();
    lm_args_get(args, 2, "attribute", &path);
    return lm_val_items(run, v, &items)
           && order_ordered(run, items, path, lm_args_flag(args, 1, "case_sensitive", false), lm_args_flag(args, 0, "reverse", false), out);
}

bool lm_order_dictsort(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val by = lm_val_str("key", 3), items;
    bool key;
    lm_args_get(args, 1, "by", &by);
    key = by.kind == LM_VAL_STR && lm_val_is(by, "key", 3);
    if (!key && !(by.kind == LM_VAL_STR && lm_val_is(by, "value", 5)))
        return lm_jinja_fail(run, LLM_E_INVALID, "You can only sort by either \"key\" or \"value\"");
    if (v.kind != LM_VAL_DICT)
        return lm_jinja_fail(run, LLM_E_INVALID, "'%s' object has no attribute 'items'", lm_val_type(v));
    return lm_filter_apply(run, (llm_str){ "items", 5 }, v, &(lm_args){ 0 }, &items)
           && order_ordered(run, items.list, lm_val_int(key ? 0 : 1), lm_args_flag(args, 0, "case_sensitive", false),
                             lm_args_flag(args, 2, "reverse", false), out);
}

static bool order_extreme(lm_jinja *run, lm_val v, const lm_args *args, bool most, lm_val *out)
{
    lm_val_list *items;
    lm_val path = lm_val_none(), best = lm_val_none(), key;
    bool exact = lm_args_flag(args, 0, "case_sensitive", false), better;
    lm_args_get(args, 1, "attribute", &path);
    if (!lm_val_items(run, v, &items))
        return false;
    *out = lm_val_undefined((llm_str){ "an item of an empty sequence", 28 });
    for (size_t i = 0; i < items->n; i++) {
        if (!order_key(run, items->at[i], path, exact, &key)
            || (i && !(most ? order_less(run, best, key, &better) : order_less(run, key, best, &better))))
            return false;
        if (i == 0 || better) {
            best = key;
            *out = items->at[i];
        }
    }
    return true;
}

bool lm_order_min(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out) { return order_extreme(run, v, args, false, out); }
bool lm_order_max(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out) { return order_extreme(run, v, args, true, out); }

bool lm_order_sum(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val_list *items;
    lm_val path = lm_val_none(), item;
    *out = lm_val_int(0);
    lm_args_get(args, 0, "attribute", &path);
    lm_args_get(args, 1, "start", out);
    if (!lm_val_items(run, v, &items))
        return false;
    for (size_t i = 0; i < items->n; i++) {
        item = items->at[i];
        if ((path.kind != LM_VAL_NONE && !lm_eval_path(run, item, path, &item)) || !lm_eval_binary(run, '+', *out, item, out))
            return false;
    }
    return true;
}

bool lm_order_unique(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out)
{
    lm_val_list *items, *list;
    lm_val_dict *seen;
    lm_val path = lm_val_none(), key, *old;
    bool exact = lm_args_flag(args, 0, "case_sensitive", false);
    lm_args_get(args, 1, "attribute", &path);
    if (!lm_val_items(run, v, &items) || !lm_list_new(run, 0, &list) || !lm_dict_new(run, &seen))
        return false;
    for (size_t i = 0; i < items->n; i++) {
        if (!order_key(run, items->at[i], path, exact, &key) || !lm_dict_find(run, seen, key, &old))
            return false;
        if (!old && (!lm_dict_set(run, seen, key, lm_val_none()) || !lm_list_add(run, list, items->at[i])))
            return false;
    }
    *out = lm_list_val(LM_VAL_GENERATOR, list);
    return true;
}
