/* SPDX-License-Identifier: MIT
 * Methods of lists and dicts in templates: see tree.h. What changes a value is refused, as Jinja's sandbox does, unless
 * the caller allows it. Floor 3. */
#include "text/chat/tree.h"

#include <string.h>

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
    if (!lm_method_count(run, args, 0, NULL, &i))
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

/* ---- all of them, behind those of strings */

static const lm_method_row method_rows[] = {
    { "get", method_get, LM_VAL_DICT, 1, 2, 0 }, { "items", method_items, LM_VAL_DICT, 0, 0, 0 },
    { "keys", method_keys, LM_VAL_DICT, 0, 0, 0 }, { "values", method_values, LM_VAL_DICT, 0, 0, 0 },
    { "copy", method_dict_copy, LM_VAL_DICT, 0, 0, 0 }, { "update", method_update, LM_VAL_DICT, 0, 1, LM_METHOD_CHANGES | LM_METHOD_NAMES },
    { "pop", method_dict_pop, LM_VAL_DICT, 1, 2, LM_METHOD_CHANGES }, { "index", method_list_index, LM_VAL_LIST, 1, 1, 0 },
    { "count", method_list_count, LM_VAL_LIST, 1, 1, 0 }, { "append", method_append, LM_VAL_LIST, 1, 1, LM_METHOD_CHANGES },
    { "extend", method_extend, LM_VAL_LIST, 1, 1, LM_METHOD_CHANGES }, { "pop", method_list_pop, LM_VAL_LIST, 0, 1, LM_METHOD_CHANGES },
};

static const lm_method_row *method_row(uint32_t i) { return i < lm_n_text_methods ? &lm_text_methods[i] : &method_rows[i - lm_n_text_methods]; }

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
    for (uint32_t i = 0; i < lm_n_text_methods + LM_COUNT(method_rows); i++) {
        if (method_row(i)->kind != kind || !lm_name_is(name, method_row(i)->name))
            continue;
        *found = true;
        if ((method_row(i)->flags & LM_METHOD_CHANGES) && (self.kind == LM_VAL_TUPLE || !run->options->mutable_values)) {
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
    if (args->n < method_row(method->which)->least || args->n > method_row(method->which)->most)
        return lm_jinja_fail(run, LLM_E_INVALID, "%s() takes %u to %u arguments, %zu given", method_row(method->which)->name,
                             (unsigned)method_row(method->which)->least, (unsigned)method_row(method->which)->most, args->n);
    if (args->n_named && !(method_row(method->which)->flags & LM_METHOD_NAMES))
        return lm_jinja_fail(run, LLM_E_INVALID, "%s.%s() takes no keyword arguments", lm_val_type(method->self), method_row(method->which)->name);
    if (method->self.kind == LM_VAL_STR && !lm_jinja_look(run, method->self.len))
        return false;
    return method_row(method->which)->call(run, method->self, args, out);
}
