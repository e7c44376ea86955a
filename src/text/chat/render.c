/* SPDX-License-Identifier: MIT
 * Statements of templates, carried out: see tree.h and template.h. Floor 3. */
#include "text/chat/tree.h"

#include "text/chat/adapt.h"

#include <string.h>

enum { RENDER_STAY = 0, RENDER_BREAK = 1, RENDER_CONTINUE = 2 };
enum { RENDER_STEPS = LM_BOUND(10000000, 100000), RENDER_DEPTH = 100, RENDER_DEPTH_MOST = 200, RENDER_OUTPUT = LM_BOUND(16 << 20, 1 << 20),
       RENDER_MEMORY = LM_BOUND(256 << 20, 16 << 20) };

static lm_scope *render_scope(lm_jinja *run, lm_scope *outer)
{
    lm_scope *scope = lm_jinja_new(run, sizeof *scope);
    if (scope)
        scope->outer = outer;
    return scope;
}

static bool render_assign(lm_jinja *run, lm_scope *scope, const lm_node *target, lm_val v)
{
    lm_val_list *items;
    lm_val of;
    size_t i = 0;
    run->line = target->line;
    if (target->kind == LM_NODE_NAME)
        return lm_scope_set(run, scope, target->text, v);
    if (target->kind == LM_NODE_ATTRIBUTE) {
        if (!lm_eval(run, scope, target->a, &of))
            return false;
        if (of.kind != LM_VAL_NAMESPACE)
            return lm_jinja_fail(run, LLM_E_INVALID, "cannot assign attribute on non-namespace object");
        return lm_dict_set(run, of.dict, lm_val_str(target->text.ptr, target->text.len), v);
    }
    if (!lm_jinja_enter(run) || !lm_val_items(run, v, &items))
        return false;
    for (const lm_node *part = target->list; part; part = part->next, i++)
        if (i >= items->n)
            return lm_jinja_fail(run, LLM_E_INVALID, "not enough values to unpack (got %zu)", items->n);
        else if (!render_assign(run, scope, part, items->at[i]))
            return false;
    if (i < items->n)
        return lm_jinja_fail(run, LLM_E_INVALID, "too many values to unpack (expected %zu)", i);
    lm_jinja_leave(run);
    return true;
}

bool lm_render_capture(lm_jinja *run, lm_scope *scope, const lm_node *list, lm_val *out)
{
    lm_text text = { 0 }, *before = run->out;
    lm_scope *inner = render_scope(run, scope);
    int leave = RENDER_STAY;
    bool ok;
    if (!inner)
        return false;
    run->out = &text;
    ok = lm_render_body(run, inner, list, &leave);
    run->out = before;
    *out = lm_text_val(&text);
    return ok;
}

/* ---- loops */

bool lm_render_loop(lm_jinja *run, lm_scope *scope, const lm_node *node, lm_val over, uint32_t depth0, int *leave)
{
    lm_val_list *all, *kept;
    lm_loop *loop;
    lm_scope *inner;
    int went = RENDER_STAY;
    if (!lm_val_items(run, over, &all))
        return false;
    kept = all;
    if (node->c) {
        if (!lm_list_new(run, 0, &kept))
            return false;
        for (size_t i = 0; i < all->n; i++) {
            lm_val keep;
            if (!(inner = render_scope(run, scope)) || !render_assign(run, inner, node->a, all->at[i]) || !lm_eval(run, inner, node->c, &keep)
                || (lm_val_truth(keep) && !lm_list_add(run, kept, all->at[i])))
                return false;
        }
    }
    if (kept->n == 0)
        return !node->otherwise || ((inner = render_scope(run, scope)) != NULL && lm_render_body(run, inner, node->otherwise, leave));
    if (!(loop = lm_jinja_new(run, sizeof *loop)))
        return false;
    *loop = (lm_loop){ .items = kept, .depth0 = depth0, .node = node, .scope = scope };
    for (; loop->at < kept->n && went != RENDER_BREAK; loop->at++) {
        went = RENDER_STAY;
        if (!lm_jinja_step(run, 1) || !(inner = render_scope(run, scope))
            || !lm_scope_set(run, inner, (llm_str){ "loop", 4 }, (lm_val){ .kind = LM_VAL_LOOP, .loop = loop })
            || !render_assign(run, inner, node->a, kept->at[loop->at]) || !lm_render_body(run, inner, node->list, &went))
            return false;
    }
    return true;
}

/* ---- macros */

/* Parameters without an argument: the default, computed where the macro was made, with the parameters before it. */
bool lm_render_macro(lm_jinja *run, lm_macro *macro, const lm_args *args, lm_val *out)
{
    lm_scope *scope = render_scope(run, macro->scope);
    lm_val_list *varargs;
    lm_val_dict *kwargs;
    lm_val caller = lm_val_undefined((llm_str){ "caller", 6 });
    size_t place = 0, used = 0;
    uint32_t line = run->line;
    if (!scope || !lm_list_new(run, 0, &varargs) || !lm_dict_new(run, &kwargs))
        return false;
    for (size_t i = 0; i < args->n_named; i++) {
        const lm_node *param = macro->node->params;
        size_t at = 0;
        while (param && !lm_val_is(args->named[i].key, param->text.ptr, param->text.len))
            param = param->next, at++;
        if (param && at < args->n)
            return lm_jinja_fail(run, LLM_E_INVALID, "macro '%.*s' got two values for '%.*s'", (int)macro->name.len, macro->name.ptr,
                                 (int)param->text.len, param->text.ptr);
        if (!param && lm_val_is(args->named[i].key, "caller", 6))
            caller = args->named[i].value;
        else if (!param && !lm_dict_set(run, kwargs, args->named[i].key, args->named[i].value))
            return false;
        used += param != NULL;
    }
    (void)used;
    if (!lm_scope_set(run, scope, (llm_str){ "caller", 6 }, caller))
        return false;
    for (const lm_node *param = macro->node->params; param; param = param->next, place++) {
        lm_val v = lm_val_undefined(param->text);
        bool given = place < args->n;
        if (given)
            v = args->at[place];
        for (size_t i = 0; !given && i < args->n_named; i++)
            if (lm_val_is(args->named[i].key, param->text.ptr, param->text.len)) {
                v = args->named[i].value;
                given = true;
            }
        if ((!given && param->a && !lm_eval(run, scope, param->a, &v)) || !lm_scope_set(run, scope, param->text, v))
            return false;
    }
    for (; place < args->n; place++)
        if (!lm_list_add(run, varargs, args->at[place]))
            return false;
    if (!lm_scope_set(run, scope, (llm_str){ "varargs", 7 }, lm_list_val(LM_VAL_TUPLE, varargs))
        || !lm_scope_set(run, scope, (llm_str){ "kwargs", 6 }, (lm_val){ .kind = LM_VAL_DICT, .dict = kwargs })
        || !lm_render_capture(run, scope, macro->node->list, out))
        return false;
    run->line = line;
    return true;
}

static bool render_call_block(lm_jinja *run, lm_scope *scope, const lm_node *node)
{
    lm_macro *caller = lm_jinja_new(run, sizeof *caller);
    lm_val f, v;
    lm_args args;
    lm_val_pair *named;
    if (!caller)
        return false;
    *caller = (lm_macro){ node, scope, node->text };
    if (!lm_eval(run, scope, node->a->a, &f) || !lm_eval_args(run, scope, node->a->list, &args)
        || !(named = lm_jinja_new(run, (args.n_named + 1) * sizeof *named)))
        return false;
    if (args.n_named)
        memcpy(named, args.named, args.n_named * sizeof *named);
    named[args.n_named++] = (lm_val_pair){ lm_val_str("caller", 6), { .kind = LM_VAL_MACRO, .macro = caller } };
    args.named = named;
    return lm_eval_call(run, f, &args, &v) && lm_val_print(run, run->out, v);
}

/* ---- statements */

static bool render_if(lm_jinja *run, lm_scope *scope, const lm_node *node, int *leave)
{
    lm_val v;
    for (;;) {
        if (!lm_eval(run, scope, node->a, &v))
            return false;
        if (lm_val_truth(v))
            return lm_render_body(run, scope, node->list, leave);
        if (!node->otherwise)
            return true;
        if (node->otherwise->kind != LM_NODE_IF || node->otherwise->next)
            return lm_render_body(run, scope, node->otherwise, leave);
        node = node->otherwise;         /* an elif */
    }
}

static bool render_node(lm_jinja *run, lm_scope *scope, const lm_node *node, int *leave)
{
    lm_val v;
    lm_scope *inner;
    lm_macro *macro;
    run->line = node->line;
    switch ((lm_node_kind)node->kind) {
    case LM_NODE_DATA:
        return lm_text_add_val(run, run->out, lm_val_own(node->text.ptr, node->text.len));
    case LM_NODE_PRINT:
        return lm_eval(run, scope, node->a, &v) && lm_val_print(run, run->out, v);
    case LM_NODE_IF:
        return render_if(run, scope, node, leave);
    case LM_NODE_FOR:
        return lm_eval(run, scope, node->b, &v) && lm_render_loop(run, scope, node, v, 0, leave);
    case LM_NODE_SET:
        return lm_eval(run, scope, node->b, &v) && render_assign(run, scope, node->a, v);
    case LM_NODE_SET_BLOCK:
        return lm_render_capture(run, scope, node->list, &v) && (!node->b || lm_eval_filter(run, scope, node->b, &v, &v))
               && render_assign(run, scope, node->a, v);
    case LM_NODE_FILTER_BLOCK:
        return lm_render_capture(run, scope, node->list, &v) && lm_eval_filter(run, scope, node->a, &v, &v) && lm_val_print(run, run->out, v);
    case LM_NODE_MACRO:
        if (!(macro = lm_jinja_new(run, sizeof *macro)))
            return false;
        *macro = (lm_macro){ node, scope, node->text };
        return lm_scope_set(run, scope, node->text, (lm_val){ .kind = LM_VAL_MACRO, .macro = macro });
    case LM_NODE_CALL_BLOCK:
        return render_call_block(run, scope, node);
    case LM_NODE_WITH:
        if (!(inner = render_scope(run, scope)))
            return false;
        for (const lm_node *set = node->params; set; set = set->next)
            if (!lm_eval(run, scope, set->b, &v) || !render_assign(run, inner, set->a, v))
                return false;
        return lm_render_body(run, inner, node->list, leave);
    case LM_NODE_GROUP:
        return lm_render_body(run, scope, node->list, leave);
    case LM_NODE_BREAK:
        *leave = RENDER_BREAK;
        return true;
    default:
        *leave = RENDER_CONTINUE;
        return true;
    }
}

bool lm_render_body(lm_jinja *run, lm_scope *scope, const lm_node *list, int *leave)
{
    bool ok = true;
    if (!lm_jinja_enter(run))
        return false;
    for (; ok && list && *leave == RENDER_STAY; list = list->next)
        ok = lm_jinja_step(run, 1) && render_node(run, scope, list, leave);
    lm_jinja_leave(run);
    return ok;
}

/* ---- the whole */

/* A role that is a word is the host's to say: templates put it between the signs of a control token ('<|' + role + '|>'). */
static bool render_role(lm_jinja *run, lm_val_dict *message)
{
    lm_val *role;
    if (!lm_dict_find(run, message, lm_val_str("role", 4), &role))
        return false;
    if (role && role->kind == LM_VAL_STR) {
        size_t i = 0;
        while (i < role->len && ((role->s[i] >= 'a' && role->s[i] <= 'z') || role->s[i] == '_'))
            i++;
        if (i == role->len)
            role->trust = LM_TRUST_ALL;
    }
    return true;
}

static bool render_messages(lm_jinja *run, const lm_template_var *var, lm_val *out)
{
    lm_val_list *list;
    if (!lm_list_new(run, var->n_messages, &list))
        return false;
    for (size_t i = 0; i < var->n_messages; i++) {
        const lm_template_message *m = &var->messages[i];
        lm_val message = { .kind = LM_VAL_DICT };
        if (m->json.ptr ? !lm_json_read(run, m->json.ptr, m->json.len, &message)
                        : !lm_dict_new(run, &message.dict) || !lm_dict_set_name(run, message.dict, "role", lm_val_str(m->role.ptr, m->role.len))
                          || !lm_dict_set_name(run, message.dict, "content", lm_val_str(m->content.ptr, m->content.len)))
            return false;
        if (message.kind != LM_VAL_DICT)
            return lm_jinja_fail(run, LLM_E_FORMAT, "message %zu is no JSON object", i);
        if (!render_role(run, message.dict) || !lm_list_add(run, list, message))
            return false;
    }
    *out = lm_list_val(LM_VAL_LIST, list);
    return lm_adapt_messages(run, list, run->options->adapt);
}

static bool render_members(lm_jinja *run, lm_val v)
{
    if (v.kind != LM_VAL_DICT)
        return lm_jinja_fail(run, LLM_E_FORMAT, "the %.*s are no JSON object", (int)run->about.len, run->about.ptr);
    for (size_t i = 0; i < v.dict->n; i++)
        if (!lm_scope_set(run, run->globals, (llm_str){ v.dict->at[i].key.s, v.dict->at[i].key.len }, v.dict->at[i].value))
            return false;
    return true;
}

static bool render_variables(lm_jinja *run, const lm_template_var *vars, size_t n_vars)
{
    for (size_t i = 0; i < n_vars; i++) {
        lm_val v = lm_val_str(vars[i].text.ptr, vars[i].text.len);
        run->about = vars[i].name;
        if (vars[i].text.len > UINT32_MAX)
            return lm_jinja_fail(run, LLM_E_LIMIT, "a variable of %zu bytes", vars[i].text.len);
        if (vars[i].kind == LM_TEMPLATE_OWN)
            v.trust = LM_TRUST_ALL;
        if ((vars[i].kind == LM_TEMPLATE_JSON || vars[i].kind == LM_TEMPLATE_MEMBERS) && !lm_json_read(run, vars[i].text.ptr, vars[i].text.len, &v))
            return false;
        if (vars[i].kind == LM_TEMPLATE_MESSAGES && !render_messages(run, &vars[i], &v))
            return false;
        if (!(vars[i].kind == LM_TEMPLATE_MEMBERS ? render_members(run, v) : lm_scope_set(run, run->globals, vars[i].name, v)))
            return false;
    }
    return true;
}

static llm_status render_give(lm_mem *mem, const lm_text *text, lm_template_text *out, llm_error *error)
{
    const lm_span whole = { 0, text->own };
    size_t n = text->trust ? text->trust->n : text->own ? 1 : 0, at = (text->len + sizeof(lm_span)) / sizeof(lm_span) * sizeof(lm_span);
    char *block = lm_mem_new(mem, at + n * sizeof(lm_span), LLM_MEMORY_OTHER);
    if (!block)
        return lm_fail_memory(error, "a chat template's text", at + n * sizeof(lm_span));
    if (text->len)
        memcpy(block, text->ptr, text->len);
    if (n)
        memcpy(block + at, text->trust ? text->trust->at : &whole, n * sizeof(lm_span));
    *out = (lm_template_text){ block, text->len, (const lm_span *)(const void *)(block + at), n };
    return LLM_OK;
}

llm_status lm_template_render(const lm_template *tpl, lm_mem *mem, const lm_template_var *vars, size_t n_vars, const lm_template_options *options,
                              lm_template_text *out, llm_error *error)
{
    static const lm_template_options plain;
    lm_jinja run = { .error = error, .options = options ? options : &plain };
    lm_text text = { 0 };
    lm_scope *body;
    int leave = RENDER_STAY;
    run.limits = run.options->limits;
    if (!run.limits.steps)
        run.limits.steps = RENDER_STEPS;
    if (!run.limits.depth)
        run.limits.depth = RENDER_DEPTH;
    run.limits.depth = LM_MIN(run.limits.depth, (uint32_t)RENDER_DEPTH_MOST);
    if (!run.limits.output_bytes)
        run.limits.output_bytes = RENDER_OUTPUT;
    if (!run.limits.memory_bytes)
        run.limits.memory_bytes = RENDER_MEMORY;
    run.limits.output_bytes = LM_MIN(run.limits.output_bytes, (size_t)UINT32_MAX - 1);
    run.steps = run.limits.steps;
    run.out = &text;
    lm_arena_init(&run.arena, mem, LLM_MEMORY_OTHER);
    run.globals = render_scope(&run, NULL);
    if (run.globals && render_variables(&run, vars, n_vars) && (body = render_scope(&run, run.globals)) != NULL
        && lm_render_body(&run, body, tpl->body, &leave)) {
        run.status = render_give(mem, &text, out, error);
    }
    lm_arena_free(&run.arena);
    return run.status;
}
