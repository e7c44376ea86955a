/* SPDX-License-Identifier: MIT
 * Expressions of templates, computed: see tree.h. Floor 3. */
#include "text/chat/tree.h"

#include <string.h>

/* ---- names */

bool lm_scope_set(lm_jinja *run, lm_scope *scope, llm_str name, lm_val v)
{
    lm_binding *b = scope->first;
    while (b && !lm_str_same(b->name, name))
        b = b->next;
    if (!b) {
        if (!lm_jinja_step(run, 1) || !(b = lm_jinja_new(run, sizeof *b)))
            return false;
        *b = (lm_binding){ .next = scope->first, .name = name };
        scope->first = b;
    }
    b->value = v;
    return true;
}

lm_val lm_scope_get(const lm_scope *scope, llm_str name)
{
    lm_val v;
    for (; scope; scope = scope->outer)
        for (const lm_binding *b = scope->first; b; b = b->next)
            if (lm_str_same(b->name, name))
                return b->value;
    return lm_function_find(name, &v) ? v : lm_val_undefined(name);
}

/* ---- nodes */

static bool eval_list(lm_jinja *run, lm_scope *scope, const lm_node *node, lm_val *out)
{
    lm_val_list *list;
    lm_val v;
    if (!lm_list_new(run, 0, &list))
        return false;
    for (const lm_node *item = node->list; item; item = item->next)
        if (!lm_eval(run, scope, item, &v) || !lm_list_add(run, list, v))
            return false;
    *out = lm_list_val(node->kind == LM_NODE_LIST ? LM_VAL_LIST : LM_VAL_TUPLE, list);
    return true;
}

static bool eval_dict(lm_jinja *run, lm_scope *scope, const lm_node *node, lm_val *out)
{
    lm_val_dict *dict;
    lm_val key, v;
    if (!lm_dict_new(run, &dict))
        return false;
    for (const lm_node *item = node->list; item; item = item->next->next)
        if (!lm_eval(run, scope, item, &key) || !lm_eval(run, scope, item->next, &v) || !lm_dict_set(run, dict, key, v))
            return false;
    *out = (lm_val){ .kind = LM_VAL_DICT, .dict = dict };
    return true;
}

static bool eval_concat(lm_jinja *run, lm_scope *scope, const lm_node *node, lm_val *out)
{
    lm_text text = { 0 };
    lm_val v;
    for (const lm_node *item = node->list; item; item = item->next)
        if (!lm_eval(run, scope, item, &v) || !lm_val_print(run, &text, v))
            return false;
    *out = lm_text_val(&text);
    return true;
}

static bool eval_compare(lm_jinja *run, lm_scope *scope, const lm_node *node, lm_val *out)
{
    lm_val a, b;
    bool holds = true;
    if (!lm_eval(run, scope, node->a, &a))
        return false;
    for (const lm_node *part = node->list; part && holds; part = part->next) {
        if (!lm_eval(run, scope, part->a, &b) || !lm_eval_compare(run, part->sign, a, b, &holds))
            return false;
        a = b;
    }
    *out = lm_val_bool(holds);
    return true;
}

static bool eval_item(lm_jinja *run, lm_scope *scope, const lm_node *node, lm_val *out)
{
    lm_val of, key, part[3] = { lm_val_none(), lm_val_none(), lm_val_none() };
    const lm_node *parts[3];
    if (!lm_eval(run, scope, node->a, &of))
        return false;
    if (node->b->kind != LM_NODE_SLICE)
        return lm_eval(run, scope, node->b, &key) && lm_eval_item(run, of, key, out);
    parts[0] = node->b->a, parts[1] = node->b->b, parts[2] = node->b->c;
    for (int i = 0; i < 3; i++)
        if (parts[i] && !lm_eval(run, scope, parts[i], &part[i]))
            return false;
    return lm_eval_slice(run, of, part, out);
}

static bool eval_sign(lm_jinja *run, lm_scope *scope, const lm_node *node, lm_val *out)
{
    lm_val v;
    if (!lm_eval(run, scope, node->a, &v))
        return false;
    if (!lm_val_is_number(v)) {
        if (v.kind == LM_VAL_UNDEFINED)
            return lm_eval_undefined(run, v);
        return lm_jinja_fail(run, LLM_E_INVALID, "bad operand type for unary %c: '%s'", node->kind == LM_NODE_MINUS ? '-' : '+', lm_val_type(v));
    }
    if (v.kind == LM_VAL_FLOAT)
        *out = lm_val_float(node->kind == LM_NODE_MINUS ? -v.f : v.f);
    else if (node->kind == LM_NODE_MINUS && v.i == INT64_MIN)
        return lm_eval_too_big(run);
    else
        *out = lm_val_int(node->kind == LM_NODE_MINUS ? -v.i : v.i);
    return true;
}

bool lm_eval_args(lm_jinja *run, lm_scope *scope, const lm_node *list, lm_args *args)
{
    lm_val_list *at, *items;
    lm_val_dict *named;
    lm_val v;
    *args = (lm_args){ 0 };
    if (!list)
        return true;
    if (!lm_list_new(run, 0, &at) || !lm_dict_new(run, &named))
        return false;
    for (; list; list = list->next) {
        bool special = list->kind == LM_NODE_KEYWORD || list->kind == LM_NODE_STAR || list->kind == LM_NODE_STAR_STAR;
        if (!lm_eval(run, scope, special ? list->a : list, &v))
            return false;
        if (list->kind == LM_NODE_KEYWORD) {
            if (!lm_dict_set(run, named, lm_val_str(list->text.ptr, list->text.len), v))
                return false;
        } else if (list->kind == LM_NODE_STAR_STAR) {
            if (v.kind != LM_VAL_DICT)
                return lm_jinja_fail(run, LLM_E_INVALID, "argument after ** must be a mapping, not %s", lm_val_type(v));
            for (size_t i = 0; i < v.dict->n; i++) {
                if (v.dict->at[i].key.kind != LM_VAL_STR)
                    return lm_jinja_fail(run, LLM_E_INVALID, "keywords must be strings");
                if (!lm_dict_set(run, named, v.dict->at[i].key, v.dict->at[i].value))
                    return false;
            }
        } else if (list->kind == LM_NODE_STAR) {
            if (!lm_val_items(run, v, &items))
                return false;
            for (size_t i = 0; i < items->n; i++)
                if (!lm_list_add(run, at, items->at[i]))
                    return false;
        } else if (!lm_list_add(run, at, v)) {
            return false;
        }
    }
    *args = (lm_args){ at->at, at->n, named->at, named->n };
    return true;
}

bool lm_args_get(const lm_args *args, size_t place, const char *name, lm_val *v)
{
    if (place < args->n) {
        *v = args->at[place];
        return true;
    }
    for (size_t i = 0; name && i < args->n_named; i++)
        if (lm_val_is(args->named[i].key, name, strlen(name))) {
            *v = args->named[i].value;
            return true;
        }
    return false;
}

bool lm_args_check(lm_jinja *run, const lm_args *args, const char *what, size_t least, size_t most, const char *names)
{
    if (args->n > most || args->n + args->n_named < least)
        return lm_jinja_fail(run, LLM_E_INVALID, "%s takes %zu to %zu arguments, %zu given", what, least, most, args->n + args->n_named);
    for (size_t i = 0; i < args->n_named; i++) {
        const char *name = names;
        size_t n = 0, place = 0;
        for (; *name; name += n + (name[n] == ' '), place++) {
            n = strcspn(name, " ");
            if (lm_val_is(args->named[i].key, name, n))
                break;
        }
        if (!*name || place < args->n)
            return lm_jinja_fail(run, LLM_E_INVALID, "%s got an unexpected keyword argument '%.*s'", what,
                                 (int)LM_MIN(args->named[i].key.len, (size_t)40), args->named[i].key.s);
    }
    return true;
}

bool lm_eval_call(lm_jinja *run, lm_val f, const lm_args *args, lm_val *out)
{
    bool ok;
    if (!lm_jinja_enter(run))
        return false;
    switch (f.kind) {
    case LM_VAL_MACRO:
        ok = lm_render_macro(run, f.macro, args, out);
        break;
    case LM_VAL_METHOD:
        ok = lm_method_call(run, f.method, args, out);
        break;
    case LM_VAL_FUNCTION: case LM_VAL_JOINER: case LM_VAL_LOOP:
        ok = lm_function_call(run, f, args, out);
        break;
    case LM_VAL_UNDEFINED:
        ok = lm_eval_undefined(run, f);
        break;
    default:
        ok = lm_jinja_fail(run, LLM_E_INVALID, "'%s' object is not callable", lm_val_type(f));
        break;
    }
    lm_jinja_leave(run);
    return ok;
}

bool lm_eval_filter(lm_jinja *run, lm_scope *scope, const lm_node *node, const lm_val *input, lm_val *out)
{
    lm_args args;
    lm_val v;
    if (!node->a)
        v = *input;
    else if (input ? !lm_eval_filter(run, scope, node->a, input, &v) : !lm_eval(run, scope, node->a, &v))
        return false;
    run->line = node->line;
    return lm_eval_args(run, scope, node->list, &args) && lm_filter_apply(run, node->text, v, &args, out);
}

static bool eval_node(lm_jinja *run, lm_scope *scope, const lm_node *node, lm_val *out)
{
    lm_val a, b;
    lm_args args;
    bool holds;
    switch ((lm_node_kind)node->kind) {
    case LM_NODE_CONST:
        *out = node->value;
        if (out->kind == LM_VAL_STR)
            out->trust = LM_TRUST_ALL;
        return true;
    case LM_NODE_NAME:
        *out = lm_scope_get(scope, node->text);
        return true;
    case LM_NODE_LIST: case LM_NODE_TUPLE:
        return eval_list(run, scope, node, out);
    case LM_NODE_DICT:
        return eval_dict(run, scope, node, out);
    case LM_NODE_CONCAT:
        return eval_concat(run, scope, node, out);
    case LM_NODE_BINARY:
        return lm_eval(run, scope, node->a, &a) && lm_eval(run, scope, node->b, &b) && lm_eval_binary(run, node->sign, a, b, out);
    case LM_NODE_AND: case LM_NODE_OR:
        if (!lm_eval(run, scope, node->a, out))
            return false;
        return lm_val_truth(*out) == (node->kind == LM_NODE_OR) || lm_eval(run, scope, node->b, out);
    case LM_NODE_NOT:
        if (!lm_eval(run, scope, node->a, &a))
            return false;
        *out = lm_val_bool(!lm_val_truth(a));
        return true;
    case LM_NODE_MINUS: case LM_NODE_PLUS:
        return eval_sign(run, scope, node, out);
    case LM_NODE_COMPARE:
        return eval_compare(run, scope, node, out);
    case LM_NODE_IF_ELSE:
        if (!lm_eval(run, scope, node->b, &a))
            return false;
        if (lm_val_truth(a))
            return lm_eval(run, scope, node->a, out);
        *out = lm_val_undefined((llm_str){ "an if without else", 18 });
        return !node->c || lm_eval(run, scope, node->c, out);
    case LM_NODE_ATTRIBUTE:
        return lm_eval(run, scope, node->a, &a) && lm_eval_attribute(run, a, node->text, out);
    case LM_NODE_ITEM:
        return eval_item(run, scope, node, out);
    case LM_NODE_CALL:
        if (!lm_eval(run, scope, node->a, &a) || !lm_eval_args(run, scope, node->list, &args))
            return false;
        run->line = node->line;
        return lm_eval_call(run, a, &args, out);
    case LM_NODE_FILTER:
        return lm_eval_filter(run, scope, node, NULL, out);
    case LM_NODE_TEST:
        if (!lm_eval(run, scope, node->a, &a) || !lm_eval_args(run, scope, node->list, &args) || !lm_test_apply(run, node->text, a, &args, &holds))
            return false;
        *out = lm_val_bool(holds);
        return true;
    default:
        return lm_jinja_fail(run, LLM_E_FORMAT, "a slice has no place here");
    }
}

bool lm_eval(lm_jinja *run, lm_scope *scope, const lm_node *node, lm_val *out)
{
    bool ok;
    if (!lm_jinja_step(run, 1) || !lm_jinja_enter(run))
        return false;
    run->line = node->line;
    ok = eval_node(run, scope, node, out);
    lm_jinja_leave(run);
    return ok;
}
