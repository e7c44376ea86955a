/* SPDX-License-Identifier: MIT
 * Regular expressions as trees, and sets of characters. Floor 3. */
#include "text/grammar/net.h"

#include <stdlib.h>
#include <string.h>

void lm_set_add(lm_compile *c, lm_set *set, uint32_t lo, uint32_t hi)
{
    if (set->n == set->cap) {
        size_t cap = set->cap ? set->cap * 2 : 4;
        lm_interval *at = lm_compile_new(c, cap, sizeof *at);
        if (!at)
            return;
        if (set->n)
            memcpy(at, set->at, set->n * sizeof *at);
        set->at = at;
        set->cap = cap;
    }
    set->at[set->n++] = (lm_interval){ lo, hi };
}

static int exprs_order(const void *a, const void *b)
{
    uint32_t x = ((const lm_interval *)a)->lo, y = ((const lm_interval *)b)->lo;
    return x < y ? -1 : x > y;
}

void lm_set_settle(lm_compile *c, lm_set *set, bool negated)
{
    size_t n = 0;
    if (set->n > 1)
        qsort(set->at, set->n, sizeof *set->at, exprs_order);
    for (size_t i = 0; i < set->n; i++)
        if (n != 0 && set->at[i].lo <= set->at[n - 1].hi + 1)
            set->at[n - 1].hi = LM_MAX(set->at[n - 1].hi, set->at[i].hi);
        else
            set->at[n++] = set->at[i];
    set->n = n;
    if (!negated)
        return;
    lm_set rest = { 0 };
    uint32_t from = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (set->at[i].lo > from)
            lm_set_add(c, &rest, from, set->at[i].lo - 1);
        from = set->at[i].hi + 1;
    }
    if (from <= LM_CHAR_LAST)
        lm_set_add(c, &rest, from, LM_CHAR_LAST);
    *set = rest;
}

lm_expr *lm_expr_new(lm_compile *c, int kind)
{
    lm_expr *expr = lm_compile_new(c, 1, sizeof *expr);
    if (expr)
        expr->kind = kind;
    return expr;
}

void lm_expr_add(lm_expr *parent, lm_expr *child)
{
    if (!parent || !child)
        return;
    if (parent->last)
        parent->last->next = child;
    else
        parent->child = child;
    parent->last = child;
}

static void expr_build_repeat(lm_net *net, const lm_expr *expr, uint32_t from, uint32_t to, int how)
{
    const lm_expr *child = expr->child;
    for (uint32_t i = 0; i < expr->min && lm_compile_work(net->c, 1); i++) {
        uint32_t next = lm_net_state(net);
        lm_expr_build(net, child, from, next, how);
        from = next;
    }
    if (expr->max == LM_REPEAT_FOREVER) {
        uint32_t turn = lm_net_state(net), again = lm_net_state(net);
        lm_net_empty(net, from, turn);
        lm_expr_build(net, child, turn, again, how);
        lm_net_empty(net, again, turn);
        lm_net_empty(net, turn, to);
        return;
    }
    for (uint32_t i = expr->min; i < expr->max && lm_compile_work(net->c, 1); i++) {
        uint32_t next = lm_net_state(net);
        lm_net_empty(net, from, to);
        lm_expr_build(net, child, from, next, how);
        from = next;
    }
    lm_net_empty(net, from, to);
}

void lm_expr_build(lm_net *net, const lm_expr *expr, uint32_t from, uint32_t to, int how)
{
    if (!lm_compile_work(net->c, 1))
        return;
    switch (expr->kind) {
    case LM_EXPR_SET:
        for (size_t i = 0; i < expr->set.n; i++)
            lm_net_chars(net, from, to, expr->set.at[i].lo, expr->set.at[i].hi, how);
        break;
    case LM_EXPR_SEQ:
        for (const lm_expr *child = expr->child; child; child = child->next) {
            uint32_t next = child->next ? lm_net_state(net) : to;
            lm_expr_build(net, child, from, next, how);
            from = next;
        }
        if (!expr->child)
            lm_net_empty(net, from, to);
        break;
    case LM_EXPR_ALT:
        for (const lm_expr *child = expr->child; child; child = child->next)
            lm_expr_build(net, child, from, to, how);
        break;
    case LM_EXPR_REPEAT:
        expr_build_repeat(net, expr, from, to, how);
        break;
    case LM_EXPR_CALL:
        lm_net_call(net, from, to, expr->rule);
        break;
    default:
        lm_net_edge(net, from, to, expr->kind == LM_EXPR_BEGIN ? LM_EDGE_BEGIN : LM_EDGE_END, 0);
    }
}
