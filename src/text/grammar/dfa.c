/* SPDX-License-Identifier: MIT
 * Deterministic automata: from expressions by the subset construction, their products, and back into nets. Floor 3. */
#include "text/grammar/dfa.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

static lm_dfa *dfa_new(lm_compile *c, uint32_t n_states, uint32_t n_classes)
{
    if (n_states > LM_DFA_MOST_STATES || (uint64_t)n_states * n_classes > LM_DFA_MOST_CELLS) {
        lm_compile_fail(c, LLM_E_LIMIT, LLM_NUL, "a string, name or number needs an automaton of more than %d states", LM_DFA_MOST_STATES);
        return NULL;
    }
    lm_dfa *dfa = lm_compile_new(c, 1, sizeof *dfa);
    if (!dfa)
        return NULL;
    *dfa = (lm_dfa){ .n_states = n_states, .n_classes = n_classes, .cuts = lm_compile_new(c, n_classes, sizeof *dfa->cuts),
                     .next = lm_compile_new(c, (size_t)n_states * n_classes, sizeof *dfa->next), .accept = lm_compile_new(c, n_states, 1) };
    return c->status >= 0 ? dfa : NULL;
}

static int dfa_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static uint32_t dfa_sort_cuts(uint32_t *cuts, uint32_t n)
{
    uint32_t kept = 0;
    qsort(cuts, n, sizeof *cuts, dfa_order);
    for (uint32_t i = 0; i < n; i++)
        if (cuts[i] <= LM_CHAR_LAST && (kept == 0 || cuts[i] != cuts[kept - 1]))
            cuts[kept++] = cuts[i];
    return kept;
}

static uint32_t dfa_class(const lm_dfa *dfa, uint32_t cp)
{
    uint32_t low = 0, high = dfa->n_classes;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (dfa->cuts[middle] <= cp)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* ---- subsets ---------------------------------------------------------------------------------------------------------------- */

typedef struct dfa_subset { uint32_t *states, n, id; struct dfa_subset *next; } dfa_subset;

typedef struct dfa_maker {
    lm_compile *c;
    const lm_net *net;
    uint32_t end;
    uint32_t *marks, mark;              /* of states in the set being made */
    uint32_t *found, n_found;
    dfa_subset *slots[1024];
    dfa_subset **list; uint32_t n_list, cap_list;
    uint32_t *next;                     /* [cap_list][n_classes] */
    uint8_t *accept;
    uint32_t n_classes, *cuts;
} dfa_maker;

static void dfa_reach(dfa_maker *m, uint32_t state)
{
    if (m->marks[state] == m->mark)
        return;
    m->marks[state] = m->mark;
    m->found[m->n_found++] = state;
}

static void dfa_close(dfa_maker *m, bool at_begin, bool at_end)
{
    for (uint32_t i = 0; i < m->n_found; i++)
        for (uint32_t e = m->net->heads[m->found[i]]; e; e = m->net->edges[e].next) {
            const lm_edge *edge = &m->net->edges[e];
            if (edge->lo == LM_EDGE_EMPTY || (edge->lo == LM_EDGE_BEGIN && at_begin) || (edge->lo == LM_EDGE_END && at_end))
                dfa_reach(m, edge->to);
        }
}

/* The set in `found`, closed, as a state; UINT32_MAX: failed. */
static uint32_t dfa_intern(dfa_maker *m, bool at_begin)
{
    uint32_t hash = 2166136261u;
    qsort(m->found, m->n_found, sizeof *m->found, dfa_order);
    for (uint32_t i = 0; i < m->n_found; i++)
        hash = (hash ^ m->found[i]) * 16777619u;
    hash = (hash ^ hash >> 15) % LM_COUNT(m->slots);
    for (dfa_subset *s = m->slots[hash]; s && !at_begin; s = s->next)
        if (s->n == m->n_found && memcmp(s->states, m->found, s->n * sizeof *s->states) == 0)
            return s->id;
    if (m->n_list == m->cap_list) {
        lm_compile_fail(m->c, LLM_E_LIMIT, LLM_NUL, "the expression needs an automaton of more than %u states", m->cap_list);
        return UINT32_MAX;
    }
    dfa_subset *s = lm_compile_new(m->c, 1, sizeof *s);
    uint32_t *states = lm_compile_new(m->c, m->n_found + 1, sizeof *states);
    if (!s || !states || !lm_compile_work(m->c, m->n_found))
        return UINT32_MAX;
    memcpy(states, m->found, m->n_found * sizeof *states);
    *s = (dfa_subset){ states, m->n_found, m->n_list, at_begin ? NULL : m->slots[hash] };
    if (!at_begin)                                          /* the first state is like no other: nothing leads back to it */
        m->slots[hash] = s;
    m->list[m->n_list++] = s;
    dfa_close(m, at_begin, true);
    m->accept[s->id] = m->marks[m->end] == m->mark;
    return s->id;
}

static void dfa_begin_set(dfa_maker *m)
{
    m->mark++;
    m->n_found = 0;
}

static bool dfa_row(dfa_maker *m, uint32_t id)
{
    const dfa_subset *s = m->list[id];
    for (uint32_t k = 0; k < m->n_classes; k++) {
        dfa_begin_set(m);
        for (uint32_t i = 0; i < s->n; i++)
            for (uint32_t e = m->net->heads[s->states[i]]; e; e = m->net->edges[e].next)
                if (m->net->edges[e].lo <= m->cuts[k] && m->net->edges[e].hi >= m->cuts[k] && m->net->edges[e].lo <= LM_CHAR_LAST)
                    dfa_reach(m, m->net->edges[e].to);
        dfa_close(m, false, false);
        uint32_t to = lm_compile_work(m->c, 1 + s->n / 4) ? dfa_intern(m, false) : UINT32_MAX;
        if (to == UINT32_MAX)
            return false;
        m->next[(size_t)id * m->n_classes + k] = to;
    }
    return true;
}

static lm_dfa *dfa_of_net(lm_compile *c, const lm_net *net, uint32_t start, uint32_t end)
{
    uint32_t n_cuts = 1;
    uint32_t *cuts = lm_compile_new(c, net->n_edges * (size_t)2 + 1, sizeof *cuts);
    dfa_maker *m = lm_compile_new(c, 1, sizeof *m);
    if (!cuts || !m)
        return NULL;
    for (uint32_t e = 1; e < net->n_edges; e++)
        if (net->edges[e].lo <= LM_CHAR_LAST) {
            cuts[n_cuts++] = net->edges[e].lo;
            cuts[n_cuts++] = net->edges[e].hi + 1;
        }
    *m = (dfa_maker){ .c = c, .net = net, .end = end, .cuts = cuts, .n_classes = dfa_sort_cuts(cuts, n_cuts) };
    m->cap_list = LM_MIN((uint32_t)LM_DFA_MOST_STATES, LM_DFA_MOST_CELLS / m->n_classes);
    m->marks = lm_compile_new(c, net->n_states, sizeof *m->marks);
    m->found = lm_compile_new(c, net->n_states, sizeof *m->found);
    m->list = lm_compile_new(c, m->cap_list, sizeof *m->list);
    m->accept = lm_compile_new(c, m->cap_list, 1);
    m->next = lm_mem_new_array(c->arena.mem, m->cap_list, m->n_classes * sizeof *m->next, LLM_MEMORY_OTHER);
    lm_dfa *dfa = NULL;
    if (!m->next)
        c->status = c->status < 0 ? c->status : lm_fail_memory(c->error, "a grammar", (size_t)m->cap_list * m->n_classes * sizeof *m->next);
    if (c->status >= 0) {
        dfa_begin_set(m);
        dfa_reach(m, start);
        dfa_close(m, true, false);
        dfa_intern(m, true);
        for (uint32_t i = 0; i < m->n_list && dfa_row(m, i); i++)
            ;
        dfa = c->status >= 0 ? dfa_new(c, m->n_list, m->n_classes) : NULL;
    }
    if (dfa) {
        memcpy(dfa->cuts, cuts, m->n_classes * sizeof *cuts);
        memcpy(dfa->next, m->next, (size_t)m->n_list * m->n_classes * sizeof *m->next);
        memcpy(dfa->accept, m->accept, m->n_list);
    }
    lm_mem_free(c->arena.mem, m->next);
    return dfa;
}

lm_dfa *lm_dfa_of_pattern(lm_compile *c, const char *text, size_t len, bool anywhere)
{
    lm_expr *expr = lm_regex_parse(c, text, len, LLM_NUL);
    if (!expr)
        return NULL;
    lm_net net;
    lm_net_init(&net, c);
    uint32_t start = lm_net_state(&net), end = lm_net_state(&net), inner = lm_net_state(&net), outer = lm_net_state(&net);
    lm_net_empty(&net, start, inner);
    lm_net_empty(&net, outer, end);
    if (anywhere) {
        lm_net_edge(&net, start, start, 0, LM_CHAR_LAST);
        lm_net_edge(&net, end, end, 0, LM_CHAR_LAST);
    }
    lm_expr_build(&net, expr, inner, outer, LM_CHARS_AS_THEY_ARE);
    lm_dfa *dfa = c->status >= 0 ? dfa_of_net(c, &net, start, end) : NULL;
    lm_net_free(&net);
    return dfa;
}

/* ---- simple ones ------------------------------------------------------------------------------------------------------------ */

lm_dfa *lm_dfa_of_text(lm_compile *c, const char *text, size_t len)
{
    lm_net net;
    lm_net_init(&net, c);
    uint32_t start = lm_net_state(&net), at = start;
    for (size_t i = 0; i < len && c->status >= 0;) {
        uint32_t cp, next = lm_net_state(&net);
        i += lm_utf8_decode(text + i, len - i, false, &cp);
        lm_net_edge(&net, at, next, cp, cp);
        at = next;
    }
    lm_dfa *dfa = c->status >= 0 ? dfa_of_net(c, &net, start, at) : NULL;
    lm_net_free(&net);
    return dfa;
}

lm_dfa *lm_dfa_of_length(lm_compile *c, uint32_t min, uint32_t max)
{
    uint32_t last = max == UINT32_MAX ? min : max;          /* counts up to here; then one more: too many, or as before */
    lm_dfa *dfa = dfa_new(c, last < LM_DFA_MOST_STATES ? last + 2 : UINT32_MAX, 1);
    for (uint32_t i = 0; dfa && i < dfa->n_states; i++) {
        dfa->next[i] = i <= last && !(i == last && max == UINT32_MAX) ? i + 1 : i;
        dfa->accept[i] = i >= min && i <= last;
    }
    return dfa;
}

/* ---- products --------------------------------------------------------------------------------------------------------------- */

typedef struct dfa_pair { uint32_t a, b; } dfa_pair;

/* The state for a pair; slots is a table of `mask` + 1 numbers of pairs, 0 none. */
static uint32_t dfa_pair_id(dfa_pair *pairs, uint32_t *n, uint32_t *slots, uint32_t mask, uint32_t a, uint32_t b)
{
    uint32_t slot = (a * 2654435761u ^ b * 2246822519u) & mask;
    for (; slots[slot]; slot = (slot + 1) & mask)
        if (pairs[slots[slot] - 1].a == a && pairs[slots[slot] - 1].b == b)
            return slots[slot] - 1;
    if (*n > mask / 2)
        return UINT32_MAX;
    pairs[*n] = (dfa_pair){ a, b };
    slots[slot] = ++*n;
    return *n - 1;
}

lm_dfa *lm_dfa_join(lm_compile *c, const lm_dfa *a, const lm_dfa *b, int how)
{
    if (!a || !b)
        return NULL;
    uint32_t n_cuts = a->n_classes + b->n_classes, n = 0;
    const uint32_t mask = LM_DFA_MOST_STATES * 2 - 1;
    uint32_t *cuts = lm_compile_new(c, n_cuts, sizeof *cuts);
    if (!cuts)
        return NULL;
    memcpy(cuts, a->cuts, a->n_classes * sizeof *cuts);
    memcpy(cuts + a->n_classes, b->cuts, b->n_classes * sizeof *cuts);
    n_cuts = dfa_sort_cuts(cuts, n_cuts);
    lm_mem *mem = c->arena.mem;
    dfa_pair *pairs = lm_mem_new_array(mem, LM_DFA_MOST_STATES + 1, sizeof *pairs, LLM_MEMORY_OTHER);
    uint32_t *slots = lm_mem_new_array(mem, mask + 1, sizeof *slots, LLM_MEMORY_OTHER);
    uint32_t *next = NULL, cap = 0;
    if (!pairs || !slots)
        c->status = lm_fail_memory(c->error, "a grammar", (mask + 1) * sizeof *slots);
    else
        dfa_pair_id(pairs, &n, slots, mask, a->start, b->start);
    for (uint32_t i = 0; i < n && lm_compile_work(c, n_cuts); i++) {
        if (i == cap) {
            cap = cap ? cap * 2 : 64;
            uint32_t *grown = lm_mem_grow(mem, next, (size_t)cap * n_cuts * sizeof *next, LLM_MEMORY_OTHER);
            if (!grown) {
                c->status = lm_fail_memory(c->error, "a grammar", (size_t)cap * n_cuts * sizeof *next);
                break;
            }
            next = grown;
        }
        for (uint32_t k = 0; k < n_cuts; k++) {
            uint32_t to = dfa_pair_id(pairs, &n, slots, mask, a->next[pairs[i].a * a->n_classes + dfa_class(a, cuts[k])],
                                      b->next[pairs[i].b * b->n_classes + dfa_class(b, cuts[k])]);
            if (to == UINT32_MAX) {
                lm_compile_fail(c, LLM_E_LIMIT, LLM_NUL, "what is said of a string, name or number together needs an automaton of more than %d states", LM_DFA_MOST_STATES);
                break;
            }
            next[(size_t)i * n_cuts + k] = to;
        }
    }
    lm_dfa *dfa = c->status >= 0 ? dfa_new(c, n, n_cuts) : NULL;
    if (dfa) {
        memcpy(dfa->cuts, cuts, n_cuts * sizeof *cuts);
        memcpy(dfa->next, next, (size_t)n * n_cuts * sizeof *next);
        for (uint32_t i = 0; i < n; i++) {
            bool x = a->accept[pairs[i].a], y = b->accept[pairs[i].b];
            dfa->accept[i] = how == LM_DFA_AND ? x && y : how == LM_DFA_OR ? x || y : x && !y;
        }
    }
    lm_mem_free(mem, next);
    lm_mem_free(mem, slots);
    lm_mem_free(mem, pairs);
    return dfa;
}

bool lm_dfa_has(const lm_dfa *dfa, const char *text, size_t len)
{
    uint32_t at = dfa ? dfa->start : 0;
    for (size_t i = 0; dfa && i < len;) {
        uint32_t cp;
        i += lm_utf8_decode(text + i, len - i, false, &cp);
        at = dfa->next[at * dfa->n_classes + dfa_class(dfa, cp)];
    }
    return dfa && dfa->accept[at];
}

/* All states that products made can be reached. */
bool lm_dfa_is_empty(lm_compile *c, const lm_dfa *dfa)
{
    (void)c;
    for (uint32_t i = 0; dfa && i < dfa->n_states; i++)
        if (dfa->accept[i])
            return false;
    return true;
}

/* ---- into a net ------------------------------------------------------------------------------------------------------------- */

/* A state from which every way stays in it, without acceptance. */
static bool dfa_is_dead(const lm_dfa *dfa, uint32_t state)
{
    for (uint32_t k = 0; k < dfa->n_classes; k++)
        if (dfa->next[state * dfa->n_classes + k] != state)
            return false;
    return !dfa->accept[state];
}

void lm_dfa_build(lm_net *net, const lm_dfa *dfa, uint32_t from, uint32_t to, int how, uint32_t any)
{
    if (!dfa)
        return;
    uint32_t *states = lm_compile_new(net->c, dfa->n_states, sizeof *states);
    for (uint32_t i = 0; states && i < dfa->n_states; i++)
        states[i] = lm_net_state(net);
    if (!states || net->c->status < 0)
        return;
    lm_net_empty(net, from, states[dfa->start]);
    for (uint32_t i = 0; i < dfa->n_states && lm_compile_work(net->c, dfa->n_classes); i++) {
        const uint32_t *row = dfa->next + (size_t)i * dfa->n_classes;
        if (dfa->accept[i])
            lm_net_empty(net, states[i], to);
        for (uint32_t k = 0, end; k < dfa->n_classes; k = end) {
            for (end = k + 1; end < dfa->n_classes && row[end] == row[k]; end++)
                ;
            uint32_t lo = dfa->cuts[k], hi = end < dfa->n_classes ? dfa->cuts[end] - 1 : LM_CHAR_LAST;
            if (dfa_is_dead(dfa, row[k]))
                continue;
            if (lo == 0 && hi == LM_CHAR_LAST && any != UINT32_MAX)
                lm_net_call(net, states[i], states[row[k]], any);
            else
                lm_net_chars(net, states[i], states[row[k]], lo, hi, how);
        }
    }
}
