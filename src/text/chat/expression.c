/* SPDX-License-Identifier: MIT
 * Expressions of templates, from tokens to the tree: Jinja's own order of precedence. See tree.h. Floor 3. */
#include "text/chat/tree.h"

#include <string.h>

static lm_node *expr_or(lm_parse *p);
static lm_node *expr_unary(lm_parse *p, bool with_filter);

static lm_node *expr_node(lm_parse *p, lm_node_kind kind, lm_node *a, lm_node *b)
{
    lm_node *node = lm_parse_node(p, kind, a ? a->line : lm_parse_token(p)->line);
    if (node) {
        node->a = a;
        node->b = b;
    }
    return node;
}

static uint16_t expr_sign(const lm_parse *p, const char *signs)      /* "+-": one of single characters; "" none */
{
    const lm_token *t = lm_parse_token(p);
    return t->kind == LM_TOK_SIGN && t->sign < 256 && strchr(signs, t->sign) ? t->sign : 0;
}

lm_node *lm_expr_parse(lm_parse *p, bool with_else)
{
    lm_node *value, *node;
    if (!lm_parse_enter(p))
        return NULL;
    value = expr_or(p);
    while (value && with_else && lm_parse_skip_name(p, "if")) {
        node = expr_node(p, LM_NODE_IF_ELSE, value, NULL);
        if (!node || !(node->b = expr_or(p)))
            return NULL;
        if (lm_parse_skip_name(p, "else") && !(node->c = lm_expr_parse(p, true)))
            return NULL;
        value = node;
    }
    p->depth--;
    return value;
}

static lm_node *expr_compare(lm_parse *p);

static lm_node *expr_not(lm_parse *p)
{
    lm_node *node;
    if (!lm_parse_is_name(p, "not"))
        return expr_compare(p);
    node = expr_node(p, LM_NODE_NOT, NULL, NULL);
    if (!node || !lm_parse_enter(p))
        return NULL;
    p->at++;
    node->a = expr_not(p);
    p->depth--;
    return node->a ? node : NULL;
}

static lm_node *expr_and(lm_parse *p)
{
    lm_node *left = expr_not(p);
    while (left && lm_parse_skip_name(p, "and")) {
        lm_node *right = expr_not(p);
        left = right ? expr_node(p, LM_NODE_AND, left, right) : NULL;
    }
    return left;
}

static lm_node *expr_or(lm_parse *p)
{
    lm_node *left = expr_and(p);
    while (left && lm_parse_skip_name(p, "or")) {
        lm_node *right = expr_and(p);
        left = right ? expr_node(p, LM_NODE_OR, left, right) : NULL;
    }
    return left;
}

static lm_node *expr_power(lm_parse *p)
{
    lm_node *left = expr_unary(p, true);
    while (left && lm_parse_skip_sign(p, LM_SIGN2('*', '*'))) {
        lm_node *right = expr_unary(p, true);
        left = right ? expr_node(p, LM_NODE_BINARY, left, right) : NULL;
        if (left)
            left->sign = LM_SIGN2('*', '*');
    }
    return left;
}

static lm_node *expr_product(lm_parse *p)
{
    lm_node *left = expr_power(p);
    for (;;) {
        uint16_t sign = lm_parse_is_sign(p, LM_SIGN2('/', '/')) ? LM_SIGN2('/', '/') : expr_sign(p, "*/%");
        lm_node *right;
        if (!left || !sign)
            return left;
        p->at++;
        right = expr_power(p);
        left = right ? expr_node(p, LM_NODE_BINARY, left, right) : NULL;
        if (left)
            left->sign = sign;
    }
}

static lm_node *expr_concat(lm_parse *p)
{
    lm_node *first = expr_product(p), *last = first, *node;
    if (!first || !lm_parse_is_sign(p, '~'))
        return first;
    node = expr_node(p, LM_NODE_CONCAT, NULL, NULL);
    while (node && lm_parse_skip_sign(p, '~')) {
        last->next = expr_product(p);
        last = last->next;
        if (!last)
            return NULL;
    }
    if (node)
        node->list = first;
    return node;
}

static lm_node *expr_sum(lm_parse *p)
{
    lm_node *left = expr_concat(p);
    for (;;) {
        uint16_t sign = expr_sign(p, "+-");
        lm_node *right;
        if (!left || !sign)
            return left;
        p->at++;
        right = expr_concat(p);
        left = right ? expr_node(p, LM_NODE_BINARY, left, right) : NULL;
        if (left)
            left->sign = sign;
    }
}

/* The sign of a comparison, taken: 'i' for in, 'n' for not in, 0: none. */
static uint16_t expr_comparison(lm_parse *p)
{
    const lm_token *t = lm_parse_token(p), *ahead = lm_parse_ahead(p);
    if (t->kind == LM_TOK_SIGN) {
        uint16_t s = t->sign;
        if (s == '<' || s == '>' || s == LM_SIGN2('=', '=') || s == LM_SIGN2('!', '=') || s == LM_SIGN2('<', '=') || s == LM_SIGN2('>', '=')) {
            p->at++;
            return s;
        }
    }
    if (lm_parse_skip_name(p, "in"))
        return 'i';
    if (lm_parse_is_name(p, "not") && ahead->kind == LM_TOK_NAME && ahead->text.len == 2 && memcmp(ahead->text.ptr, "in", 2) == 0) {
        p->at += 2;
        return 'n';
    }
    return 0;
}

static lm_node *expr_compare(lm_parse *p)
{
    lm_node *left = expr_sum(p), *node = NULL, **last = NULL;
    uint16_t sign;
    while (left && (sign = expr_comparison(p)) != 0) {
        lm_node *operand = expr_sum(p), *part;
        if (!operand)
            return NULL;
        if (!node) {
            node = expr_node(p, LM_NODE_COMPARE, left, NULL);
            if (!node)
                return NULL;
            last = &node->list;
        }
        part = expr_node(p, LM_NODE_OPERAND, operand, NULL);
        if (!part)
            return NULL;
        part->sign = sign;
        *last = part;
        last = &part->next;
    }
    return node ? node : left;
}

/* ---- what stands behind a value */

static lm_node *expr_arguments(lm_parse *p, lm_node *call)   /* at the ( */
{
    lm_node **last = &call->list;
    bool named = false;
    if (!lm_parse_expect_sign(p, '('))
        return NULL;
    while (!lm_parse_is_sign(p, ')')) {
        const lm_token *t = lm_parse_token(p), *ahead = lm_parse_ahead(p);
        lm_node *arg;
        if (call->list && !lm_parse_expect_sign(p, ','))
            return NULL;
        if (lm_parse_is_sign(p, ')'))
            break;
        t = lm_parse_token(p), ahead = lm_parse_ahead(p);
        if (lm_parse_is_sign(p, '*') || lm_parse_is_sign(p, LM_SIGN2('*', '*'))) {
            arg = expr_node(p, t->sign == '*' ? LM_NODE_STAR : LM_NODE_STAR_STAR, NULL, NULL);
            p->at++;
        } else if (t->kind == LM_TOK_NAME && ahead->kind == LM_TOK_SIGN && ahead->sign == '=') {
            arg = expr_node(p, LM_NODE_KEYWORD, NULL, NULL);
            if (arg)
                arg->text = t->text;
            p->at += 2;
            named = true;
        } else {
            if (named)
                return lm_parse_fail(p, LLM_E_FORMAT, t->line, "an argument without a name behind one with a name"), NULL;
            arg = lm_expr_parse(p, true);
        }
        if (!arg || (arg->kind >= LM_NODE_KEYWORD && arg->kind <= LM_NODE_STAR_STAR && !(arg->a = lm_expr_parse(p, true))))
            return NULL;
        *last = arg;
        last = &arg->next;
    }
    p->at++;
    return call;
}

static lm_node *expr_slice(lm_parse *p)      /* a part of x[...] */
{
    lm_node *parts[3] = { 0 }, *node;
    int i = 0;
    if (!lm_parse_is_sign(p, ':')) {
        parts[0] = lm_expr_parse(p, true);
        if (!parts[0] || !lm_parse_is_sign(p, ':'))
            return parts[0];
    }
    node = expr_node(p, LM_NODE_SLICE, NULL, NULL);
    if (!node)
        return NULL;
    while (i < 2 && lm_parse_skip_sign(p, ':')) {
        i++;
        if (!lm_parse_is_sign(p, ':') && !lm_parse_is_sign(p, ']') && !lm_parse_is_sign(p, ',') && !(parts[i] = lm_expr_parse(p, true)))
            return NULL;
    }
    node->a = parts[0], node->b = parts[1], node->c = parts[2];
    return node;
}

static lm_node *expr_subscript(lm_parse *p, lm_node *of)
{
    const lm_token *t;
    lm_node *node, *key;
    if (lm_parse_skip_sign(p, '.')) {
        t = lm_parse_token(p);
        if (t->kind == LM_TOK_NAME) {
            node = expr_node(p, LM_NODE_ATTRIBUTE, of, NULL);
            if (node)
                node->text = t->text;
        } else if (t->kind == LM_TOK_INT) {
            key = expr_node(p, LM_NODE_CONST, NULL, NULL);
            node = key ? expr_node(p, LM_NODE_ITEM, of, key) : NULL;
            if (key)
                key->value = lm_val_int(t->i);
        } else {
            return lm_parse_unexpected(p, "a name or a number"), NULL;
        }
        p->at++;
        return node;
    }
    p->at++;
    key = expr_slice(p);
    if (!key)
        return NULL;
    if (lm_parse_is_sign(p, ',')) {
        lm_node *tuple = expr_node(p, LM_NODE_TUPLE, NULL, NULL), *last = key;
        if (!tuple)
            return NULL;
        tuple->list = key;
        while (lm_parse_skip_sign(p, ',')) {
            last->next = expr_slice(p);
            last = last->next;
            if (!last)
                return NULL;
        }
        key = tuple;
    }
    return lm_parse_expect_sign(p, ']') ? expr_node(p, LM_NODE_ITEM, of, key) : NULL;
}

static lm_node *expr_postfix(lm_parse *p, lm_node *node)
{
    while (node && expr_sign(p, ".[(")) {
        if (lm_parse_is_sign(p, '(')) {
            lm_node *call = expr_node(p, LM_NODE_CALL, node, NULL);
            node = call ? expr_arguments(p, call) : NULL;
        } else {
            node = expr_subscript(p, node);
        }
    }
    return node;
}

/* A name with dots, as filters and tests have them: only plain ones are known. */
static bool expr_word(lm_parse *p, llm_str *name)
{
    const lm_token *t = lm_parse_token(p);
    if (t->kind != LM_TOK_NAME)
        return lm_parse_unexpected(p, "a name");
    *name = t->text;
    p->at++;
    return true;
}

static lm_node *expr_test(lm_parse *p, lm_node *of)      /* behind `is` */
{
    bool negated = lm_parse_skip_name(p, "not");
    lm_node *node = expr_node(p, LM_NODE_TEST, of, NULL), *arg;
    const lm_token *t;
    if (!node || !expr_word(p, &node->text))
        return NULL;
    t = lm_parse_token(p);
    if (lm_parse_is_sign(p, '(')) {
        if (!expr_arguments(p, node))
            return NULL;
    } else if (t->kind == LM_TOK_STRING || t->kind == LM_TOK_INT || t->kind == LM_TOK_FLOAT || expr_sign(p, "[{")
               || (t->kind == LM_TOK_NAME && !lm_parse_is_name(p, "else") && !lm_parse_is_name(p, "or") && !lm_parse_is_name(p, "and"))) {
        if (lm_parse_is_name(p, "is"))
            return lm_parse_fail(p, LLM_E_FORMAT, t->line, "two tests cannot be chained with is"), NULL;
        arg = lm_expr_parse_primary(p);
        if (arg)
            arg = expr_postfix(p, arg);
        if (!arg)
            return NULL;
        node->list = arg;
    }
    return negated ? expr_node(p, LM_NODE_NOT, node, NULL) : node;
}

lm_node *lm_expr_parse_filters(lm_parse *p, lm_node *on, bool inline_start)
{
    for (;;) {
        lm_node *node;
        if (!inline_start && !lm_parse_skip_sign(p, '|'))
            return on;
        inline_start = false;
        node = expr_node(p, LM_NODE_FILTER, on, NULL);
        if (!node || !expr_word(p, &node->text) || (lm_parse_is_sign(p, '(') && !expr_arguments(p, node)))
            return NULL;
        on = node;
    }
}

static lm_node *expr_unary(lm_parse *p, bool with_filter)
{
    uint16_t sign = expr_sign(p, "+-");
    lm_node *node;
    if (sign) {
        node = expr_node(p, sign == '-' ? LM_NODE_MINUS : LM_NODE_PLUS, NULL, NULL);
        if (!node || !lm_parse_enter(p))
            return NULL;
        p->at++;
        node->a = expr_unary(p, false);
        p->depth--;
        if (!node->a)
            return NULL;
    } else {
        node = lm_expr_parse_primary(p);
    }
    node = node ? expr_postfix(p, node) : NULL;
    while (node && with_filter) {
        if (lm_parse_is_sign(p, '|')) {
            node = lm_expr_parse_filters(p, node, false);
        } else if (lm_parse_skip_name(p, "is")) {
            node = expr_test(p, node);
        } else if (lm_parse_is_sign(p, '(')) {
            lm_node *call = expr_node(p, LM_NODE_CALL, node, NULL);
            node = call ? expr_arguments(p, call) : NULL;
        } else {
            break;
        }
    }
    return node;
}

/* ---- values */

static bool expr_tuple_ends(const lm_parse *p, const char *until)
{
    const lm_token *t = lm_parse_token(p);
    return t->kind == LM_TOK_PRINT_END || t->kind == LM_TOK_BLOCK_END || lm_parse_is_sign(p, ')') || (until && lm_parse_is_name(p, until));
}

lm_node *lm_expr_parse_tuple(lm_parse *p, unsigned flags, const char *until)
{
    lm_node *first = NULL, **last = &first, *tuple;
    uint32_t line = lm_parse_token(p)->line;
    bool is_tuple = false;
    for (;;) {
        if (first && !lm_parse_expect_sign(p, ','))
            return NULL;
        if (expr_tuple_ends(p, until))
            break;
        *last = flags & LM_TUPLE_SIMPLE ? lm_expr_parse_primary(p) : lm_expr_parse(p, flags & LM_TUPLE_WITH_ELSE);
        if (!*last)
            return NULL;
        last = &(*last)->next;
        if (!lm_parse_is_sign(p, ','))
            break;
        is_tuple = true;
    }
    if (!is_tuple && first)
        return first;
    if (!first && !(flags & LM_TUPLE_PARENTHESES))
        return lm_parse_unexpected(p, "an expression"), NULL;
    tuple = lm_parse_node(p, LM_NODE_TUPLE, line);
    if (tuple)
        tuple->list = first;
    return tuple;
}

/* [a, b] and {a: b}: a comma at the end is fine. */
static lm_node *expr_braces(lm_parse *p, bool dict)
{
    lm_node *node = expr_node(p, dict ? LM_NODE_DICT : LM_NODE_LIST, NULL, NULL), **last;
    uint16_t end = dict ? '}' : ']';
    if (!node)
        return NULL;
    last = &node->list;
    p->at++;
    while (!lm_parse_is_sign(p, end)) {
        if (node->list && !lm_parse_expect_sign(p, ','))
            return NULL;
        if (lm_parse_is_sign(p, end))
            break;
        if (!(*last = lm_expr_parse(p, true)))
            return NULL;
        last = &(*last)->next;
        if (!dict)
            continue;
        if (!lm_parse_expect_sign(p, ':') || !(*last = lm_expr_parse(p, true)))
            return NULL;
        last = &(*last)->next;
    }
    p->at++;
    return node;
}

/* Strings that follow each other are one. */
static lm_node *expr_string(lm_parse *p)
{
    lm_node *node = expr_node(p, LM_NODE_CONST, NULL, NULL);
    size_t from = p->at, len = 0;
    char *joined;
    if (!node)
        return NULL;
    for (; lm_parse_token(p)->kind == LM_TOK_STRING; p->at++)
        len += lm_parse_token(p)->text.len;
    node->value = lm_val_str(p->tokens[from].text.ptr, len);
    if (p->at - from == 1)
        return node;
    joined = lm_arena_new(p->arena, len + 1);
    if (!joined) {
        p->status = lm_fail_memory(p->error, "a chat template", len + 1);
        return NULL;
    }
    node->value.s = joined;
    for (; from < p->at; from++) {
        memcpy(joined, p->tokens[from].text.ptr, p->tokens[from].text.len);
        joined += p->tokens[from].text.len;
    }
    return node;
}

lm_node *lm_expr_parse_primary(lm_parse *p)
{
    static const struct { const char *name; uint8_t kind, value; } constants[] = {
        { "true", LM_VAL_BOOL, 1 }, { "True", LM_VAL_BOOL, 1 }, { "false", LM_VAL_BOOL, 0 }, { "False", LM_VAL_BOOL, 0 },
        { "none", LM_VAL_NONE, 0 }, { "None", LM_VAL_NONE, 0 },
    };
    const lm_token *t = lm_parse_token(p);
    lm_node *node;
    if (t->kind == LM_TOK_STRING)
        return expr_string(p);
    if (t->kind == LM_TOK_NAME || t->kind == LM_TOK_INT || t->kind == LM_TOK_FLOAT) {
        node = expr_node(p, t->kind == LM_TOK_NAME ? LM_NODE_NAME : LM_NODE_CONST, NULL, NULL);
        if (!node)
            return NULL;
        node->text = t->text;
        node->value = t->kind == LM_TOK_INT ? lm_val_int(t->i) : lm_val_float(t->f);
        for (size_t i = 0; t->kind == LM_TOK_NAME && i < LM_COUNT(constants); i++)
            if (lm_parse_is_name(p, constants[i].name)) {
                node->kind = LM_NODE_CONST;
                node->value = (lm_val){ .kind = constants[i].kind, .i = constants[i].value };
            }
        p->at++;
        return node;
    }
    if (!expr_sign(p, "([{"))
        return lm_parse_unexpected(p, "an expression"), NULL;
    if (!lm_parse_enter(p))
        return NULL;
    if (t->sign == '(') {
        p->at++;
        node = lm_expr_parse_tuple(p, LM_TUPLE_WITH_ELSE | LM_TUPLE_PARENTHESES, NULL);
        if (!node || !lm_parse_expect_sign(p, ')'))
            return NULL;
        if (node->next) {               /* never shared: a parenthesised value is its own */
            return lm_parse_unexpected(p, "')'"), NULL;
        }
    } else {
        node = expr_braces(p, t->sign == '{');
    }
    p->depth--;
    return node;
}
