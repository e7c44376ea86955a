/* SPDX-License-Identifier: MIT
 * Templates, from tokens to the tree: statements. See tree.h. Floor 3. */
#include "text/chat/tree.h"

#include "base/utf8.h"

#include <string.h>

bool lm_parse_fail(lm_parse *p, llm_status status, uint32_t line, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    lm_format(text, sizeof text, format, args);
    va_end(args);
    if (p->status == LLM_OK)
        p->status = lm_fail(p->error, status, "chat template, line %u: %s", line, text);
    return false;
}

lm_node *lm_parse_node(lm_parse *p, lm_node_kind kind, uint32_t line)
{
    lm_node *node = lm_arena_new(p->arena, sizeof *node);
    if (!node) {
        if (p->status == LLM_OK)
            p->status = lm_fail_memory(p->error, "a chat template", sizeof *node);
        return NULL;
    }
    node->kind = (uint8_t)kind;
    node->line = line;
    return node;
}

bool lm_parse_enter(lm_parse *p)
{
    if (p->depth >= LM_TEMPLATE_PARSE_DEPTH)
        return lm_parse_fail(p, LLM_E_LIMIT, lm_parse_token(p)->line, "nested deeper than %d", LM_TEMPLATE_PARSE_DEPTH);
    p->depth++;
    return true;
}

bool lm_parse_is_sign(const lm_parse *p, uint16_t sign)
{
    const lm_token *t = lm_parse_token(p);
    return t->kind == LM_TOK_SIGN && t->sign == sign;
}

bool lm_parse_is_name(const lm_parse *p, const char *name)
{
    const lm_token *t = lm_parse_token(p);
    return t->kind == LM_TOK_NAME && t->text.len == strlen(name) && memcmp(t->text.ptr, name, t->text.len) == 0;
}

bool lm_parse_skip_sign(lm_parse *p, uint16_t sign) { return lm_parse_is_sign(p, sign) && ++p->at; }
bool lm_parse_skip_name(lm_parse *p, const char *name) { return lm_parse_is_name(p, name) && ++p->at; }

bool lm_parse_unexpected(lm_parse *p, const char *wanted)
{
    const lm_token *t = lm_parse_token(p);
    switch (t->kind) {
    case LM_TOK_END:
        return lm_parse_fail(p, LLM_E_FORMAT, t->line, "the template ends where %s was expected", wanted);
    case LM_TOK_PRINT_END: case LM_TOK_BLOCK_END:
        return lm_parse_fail(p, LLM_E_FORMAT, t->line, "the tag ends where %s was expected", wanted);
    case LM_TOK_STRING:
        return lm_parse_fail(p, LLM_E_FORMAT, t->line, "a string where %s was expected", wanted);
    default:
        return lm_parse_fail(p, LLM_E_FORMAT, t->line, "'%.*s' where %s was expected", (int)LM_MIN(t->text.len, (size_t)40), t->text.ptr, wanted);
    }
}

bool lm_parse_expect_sign(lm_parse *p, uint16_t sign)
{
    char wanted[8];
    if (lm_parse_skip_sign(p, sign))
        return true;
    lm_print(wanted, sizeof wanted, "'%c'", sign & 255);
    return lm_parse_unexpected(p, wanted);
}

bool lm_parse_expect_name(lm_parse *p, const char *name)
{
    char wanted[40];
    if (lm_parse_skip_name(p, name))
        return true;
    lm_print(wanted, sizeof wanted, "'%s'", name);
    return lm_parse_unexpected(p, wanted);
}

static bool parser_tag_ends(lm_parse *p)
{
    if (lm_parse_token(p)->kind != LM_TOK_BLOCK_END)
        return lm_parse_unexpected(p, "the end of the tag");
    p->at++;
    return true;
}

static bool parser_statement(lm_parse *p, lm_node **out);

/* Statements up to a tag that begins with one of `ends` ("else elif endif"), which is left in place; NULL: up to the end. */
static bool parser_body(lm_parse *p, const char *ends, uint32_t line, lm_node **list)
{
    lm_node **last = list;
    *list = NULL;
    if (!lm_parse_enter(p))
        return false;
    for (;;) {
        const lm_token *t = lm_parse_token(p);
        lm_node *node = NULL;
        if (t->kind == LM_TOK_END) {
            if (ends)
                return lm_parse_fail(p, LLM_E_FORMAT, line, "this tag is never closed: expected %s", ends);
            break;
        }
        if (t->kind == LM_TOK_DATA) {
            if (!(node = lm_parse_node(p, LM_NODE_DATA, t->line)))
                return false;
            node->text = t->text;
            p->at++;
        } else if (t->kind == LM_TOK_PRINT_BEGIN) {
            if (!(node = lm_parse_node(p, LM_NODE_PRINT, t->line)))
                return false;
            p->at++;
            if (!(node->a = lm_expr_parse_tuple(p, LM_TUPLE_WITH_ELSE, NULL)))
                return false;
            if (lm_parse_token(p)->kind != LM_TOK_PRINT_END)
                return lm_parse_unexpected(p, "the end of the tag");
            p->at++;
        } else {
            const char *end = ends;
            p->at++;
            while (end && *end) {
                size_t n = strcspn(end, " ");
                t = lm_parse_token(p);
                if (t->kind == LM_TOK_NAME && t->text.len == n && memcmp(t->text.ptr, end, n) == 0) {
                    p->depth--;
                    return true;        /* behind the {% */
                }
                end += n + (end[n] == ' ');
            }
            if (!parser_statement(p, &node))
                return false;
        }
        *last = node;
        last = &node->next;
    }
    p->depth--;
    return true;
}

/* The rest of a statement whose tag ends here: its body and {% endNAME %}. */
static bool parser_rest(lm_parse *p, lm_node *node, const char *end)
{
    return parser_tag_ends(p) && parser_body(p, end, node->line, &node->list) && lm_parse_expect_name(p, end) && parser_tag_ends(p);
}

static bool parser_if(lm_parse *p, lm_node *node)
{
    if (!(node->a = lm_expr_parse_tuple(p, 0, NULL)) || !parser_tag_ends(p) || !parser_body(p, "elif else endif", node->line, &node->list))
        return false;
    if (lm_parse_is_name(p, "elif")) {
        uint32_t line = lm_parse_token(p)->line;
        bool ok;
        p->at++;
        node->otherwise = lm_parse_node(p, LM_NODE_IF, line);
        if (!node->otherwise || ++p->elifs > LM_TEMPLATE_ELIFS)
            return node->otherwise && lm_parse_fail(p, LLM_E_LIMIT, line, "more than %d elif", LM_TEMPLATE_ELIFS);
        ok = parser_if(p, node->otherwise);
        p->elifs--;
        return ok;
    }
    if (lm_parse_skip_name(p, "else") && (!parser_tag_ends(p) || !parser_body(p, "endif", node->line, &node->otherwise)))
        return false;
    return lm_parse_expect_name(p, "endif") && parser_tag_ends(p);
}

/* May it stand left of an = ? */
static bool parser_is_target(lm_parse *p, const lm_node *target)
{
    if (target->kind == LM_NODE_NAME)
        return true;
    if (target->kind == LM_NODE_TUPLE || target->kind == LM_NODE_LIST) {
        for (const lm_node *part = target->list; part; part = part->next)
            if (!parser_is_target(p, part))
                return false;
        return true;
    }
    return lm_parse_fail(p, LLM_E_FORMAT, target->line, "nothing can be assigned to this expression");
}

static bool parser_for(lm_parse *p, lm_node *node)
{
    bool ok;
    if (!(node->a = lm_expr_parse_tuple(p, LM_TUPLE_SIMPLE, "in")) || !parser_is_target(p, node->a) || !lm_parse_expect_name(p, "in")
        || !(node->b = lm_expr_parse_tuple(p, 0, "recursive")))
        return false;
    if (lm_parse_skip_name(p, "if") && !(node->c = lm_expr_parse(p, true)))
        return false;
    node->flag = lm_parse_skip_name(p, "recursive");
    p->loops++;
    ok = parser_tag_ends(p) && parser_body(p, "else endfor", node->line, &node->list);
    p->loops--;
    if (!ok || (lm_parse_skip_name(p, "else") && (!parser_tag_ends(p) || !parser_body(p, "endfor", node->line, &node->otherwise))))
        return false;
    return lm_parse_expect_name(p, "endfor") && parser_tag_ends(p);
}

static bool parser_set(lm_parse *p, lm_node *node)
{
    const lm_token *t = lm_parse_token(p), *ahead = lm_parse_ahead(p);
    if (t->kind == LM_TOK_NAME && ahead->kind == LM_TOK_SIGN && ahead->sign == '.') {     /* namespace.name */
        lm_node *of = lm_parse_node(p, LM_NODE_NAME, t->line);
        node->a = lm_parse_node(p, LM_NODE_ATTRIBUTE, t->line);
        if (!of || !node->a)
            return false;
        of->text = t->text;
        node->a->a = of;
        p->at += 2;
        if (lm_parse_token(p)->kind != LM_TOK_NAME)
            return lm_parse_unexpected(p, "a name");
        node->a->text = lm_parse_token(p)->text;
        p->at++;
    } else if (!(node->a = lm_expr_parse_tuple(p, LM_TUPLE_SIMPLE, NULL)) || !parser_is_target(p, node->a)) {
        return false;
    }
    if (lm_parse_skip_sign(p, '='))
        return (node->b = lm_expr_parse_tuple(p, LM_TUPLE_WITH_ELSE, NULL)) != NULL && parser_tag_ends(p);
    node->kind = LM_NODE_SET_BLOCK;
    if (lm_parse_is_sign(p, '|') && !(node->b = lm_expr_parse_filters(p, NULL, false)))
        return false;
    return parser_rest(p, node, "endset");
}

static bool parser_params(lm_parse *p, lm_node *node)
{
    lm_node **last = &node->params;
    bool with_default = false;
    if (!lm_parse_expect_sign(p, '('))
        return false;
    while (!lm_parse_is_sign(p, ')')) {
        lm_node *param;
        if (node->params && !lm_parse_expect_sign(p, ','))
            return false;
        if (lm_parse_token(p)->kind != LM_TOK_NAME)
            return lm_parse_unexpected(p, "a parameter's name");
        if (!(param = lm_parse_node(p, LM_NODE_PARAM, lm_parse_token(p)->line)))
            return false;
        param->text = lm_parse_token(p)->text;
        p->at++;
        if (lm_parse_skip_sign(p, '=')) {
            with_default = true;
            if (!(param->a = lm_expr_parse(p, true)))
                return false;
        } else if (with_default) {
            return lm_parse_fail(p, LLM_E_FORMAT, param->line, "a parameter without a default behind one with a default");
        }
        *last = param;
        last = &param->next;
    }
    p->at++;
    return true;
}

static bool parser_macro(lm_parse *p, lm_node *node)
{
    uint32_t loops = p->loops;
    bool ok;
    if (lm_parse_token(p)->kind != LM_TOK_NAME)
        return lm_parse_unexpected(p, "the macro's name");
    node->text = lm_parse_token(p)->text;
    p->at++;
    p->loops = 0;
    ok = parser_params(p, node) && parser_rest(p, node, "endmacro");
    p->loops = loops;
    return ok;
}

static bool parser_call(lm_parse *p, lm_node *node)
{
    uint32_t loops = p->loops;
    bool ok;
    node->text = (llm_str){ "caller", 6 };
    if (lm_parse_is_sign(p, '(') && !parser_params(p, node))
        return false;
    if (!(node->a = lm_expr_parse(p, true)))
        return false;
    if (node->a->kind != LM_NODE_CALL)
        return lm_parse_fail(p, LLM_E_FORMAT, node->line, "{%% call %%} wants a call");
    p->loops = 0;
    ok = parser_rest(p, node, "endcall");
    p->loops = loops;
    return ok;
}

static bool parser_with(lm_parse *p, lm_node *node)
{
    lm_node **last = &node->params;
    while (lm_parse_token(p)->kind != LM_TOK_BLOCK_END) {
        lm_node *set;
        if (node->params && !lm_parse_expect_sign(p, ','))
            return false;
        set = lm_parse_node(p, LM_NODE_SET, node->line);
        if (!set || !(set->a = lm_expr_parse_primary(p)) || !parser_is_target(p, set->a) || !lm_parse_expect_sign(p, '=')
            || !(set->b = lm_expr_parse(p, true)))
            return false;
        *last = set;
        last = &set->next;
    }
    return parser_rest(p, node, "endwith");
}

static bool parser_filter(lm_parse *p, lm_node *node)
{
    return (node->a = lm_expr_parse_filters(p, NULL, true)) != NULL && parser_rest(p, node, "endfilter");
}

static bool parser_generation(lm_parse *p, lm_node *node) { return parser_rest(p, node, "endgeneration"); }

static bool parser_leave(lm_parse *p, lm_node *node)
{
    if (p->loops == 0)
        return lm_parse_fail(p, LLM_E_FORMAT, node->line, "break or continue outside of a loop");
    return parser_tag_ends(p);
}

static bool parser_print(lm_parse *p, lm_node *node)
{
    return (node->a = lm_expr_parse_tuple(p, LM_TUPLE_WITH_ELSE, NULL)) != NULL && parser_tag_ends(p);
}

static bool parser_statement(lm_parse *p, lm_node **out)     /* behind the {% */
{
    static const struct { const char *name; bool (*parse)(lm_parse *, lm_node *); lm_node_kind kind; } tags[] = {
        { "if", parser_if, LM_NODE_IF }, { "for", parser_for, LM_NODE_FOR }, { "set", parser_set, LM_NODE_SET },
        { "macro", parser_macro, LM_NODE_MACRO }, { "call", parser_call, LM_NODE_CALL_BLOCK },
        { "filter", parser_filter, LM_NODE_FILTER_BLOCK }, { "with", parser_with, LM_NODE_WITH }, { "print", parser_print, LM_NODE_PRINT },
        { "generation", parser_generation, LM_NODE_GROUP },
        { "break", parser_leave, LM_NODE_BREAK }, { "continue", parser_leave, LM_NODE_CONTINUE },
    };
    static const char unsupported[] = "extends block include import from autoescape do trans";
    const lm_token *t = lm_parse_token(p);
    if (t->kind != LM_TOK_NAME)
        return lm_parse_unexpected(p, "the name of a statement");
    for (size_t i = 0; i < LM_COUNT(tags); i++)
        if (lm_parse_is_name(p, tags[i].name)) {
            p->at++;
            *out = lm_parse_node(p, tags[i].kind, t->line);
            return *out && tags[i].parse(p, *out);
        }
    for (const char *name = unsupported; *name;) {
        size_t n = strcspn(name, " ");
        if (t->text.len == n && memcmp(t->text.ptr, name, n) == 0)
            return lm_parse_fail(p, LLM_E_UNSUPPORTED, t->line, "the statement '%.*s' is not supported", (int)n, name);
        name += n + (name[n] == ' ');
    }
    return lm_parse_fail(p, LLM_E_FORMAT, t->line, "unknown statement '%.*s'", (int)LM_MIN(t->text.len, (size_t)40), t->text.ptr);
}

/* ---- the whole */

/* A copy with \n for every line's end, and without the last of them. */
static size_t parser_copy(char *out, const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        if (text[i] != '\r')
            out[n++] = text[i];
        else if (i + 1 == len || text[i + 1] != '\n')
            out[n++] = '\n';
    if (n > 0 && out[n - 1] == '\n')
        n--;
    return n;
}

void lm_template_free(lm_template *tpl)
{
    if (!tpl)
        return;
    lm_arena_free(&tpl->arena);
    lm_mem_free(tpl->mem, tpl);
}

llm_status lm_template_parse(lm_mem *mem, const char *text, size_t len, lm_template **out, llm_error *error)
{
    lm_parse p = { .mem = mem, .error = error };
    lm_template *tpl;
    char *copy;
    size_t n;
    if (len > LM_TEMPLATE_SOURCE_BYTES)
        return lm_fail(error, LLM_E_LIMIT, "chat template: %zu bytes, at most %d are read", len, LM_TEMPLATE_SOURCE_BYTES);
    if (!lm_utf8_valid(text, len))                          /* its words go out as they are, and what goes out is UTF-8 */
        return lm_fail(error, LLM_E_FORMAT, "chat template: it is not valid UTF-8");
    tpl = lm_mem_new(mem, sizeof *tpl, LLM_MEMORY_OTHER);
    if (!tpl)
        return lm_fail_memory(error, "a chat template", sizeof *tpl);
    tpl->mem = mem;
    lm_arena_init(&tpl->arena, mem, LLM_MEMORY_OTHER);
    p.arena = &tpl->arena;
    copy = lm_arena_new(p.arena, len + 1);
    if (!copy) {
        p.status = lm_fail_memory(error, "a chat template", len + 1);
    } else {
        n = parser_copy(copy, text, len);
        if (lm_lexer_run(&p, copy, n))
            parser_body(&p, NULL, 1, &tpl->body);
    }
    lm_mem_free(mem, p.tokens);
    if (p.status != LLM_OK) {
        lm_template_free(tpl);
        return p.status;
    }
    *out = tpl;
    return LLM_OK;
}
