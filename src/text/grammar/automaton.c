/* SPDX-License-Identifier: MIT
 * From a net to an automaton: what cannot reach an end is cut off, rules that would call themselves without reading are refused, what is left
 * is packed. Floor 3. */
#include "text/grammar/automaton.h"

#include "text/grammar/net.h"

#include <string.h>

/* Edges by where they lead to, and calls by rule. */
typedef struct freeze_work {
    lm_net *net;
    lm_compile *c;
    uint32_t *from;                     /* of each edge: its state */
    uint32_t *into, *into_next;         /* states, edges: those that lead to a state */
    uint32_t *calls, *calls_next;       /* rules, edges: calls of a rule */
    uint32_t *rule_of;                  /* of a state that is a rule's start or end */
    uint8_t *good;                      /* states from which their rule's end can be reached */
    uint8_t *rule_good;
    uint32_t *todo, n_todo;
} freeze_work;

static bool freeze_begin(freeze_work *w, lm_net *net)
{
    lm_compile *c = net->c;
    *w = (freeze_work){ .net = net, .c = c };
    w->from = lm_compile_new(c, net->n_edges, sizeof *w->from);
    w->into_next = lm_compile_new(c, net->n_edges, sizeof *w->into_next);
    w->calls_next = lm_compile_new(c, net->n_edges, sizeof *w->calls_next);
    w->into = lm_compile_new(c, net->n_states, sizeof *w->into);
    w->todo = lm_compile_new(c, net->n_states, sizeof *w->todo);
    w->good = lm_compile_new(c, net->n_states, 1);
    w->rule_of = lm_compile_new(c, net->n_states, sizeof *w->rule_of);
    w->calls = lm_compile_new(c, net->n_rules, sizeof *w->calls);
    w->rule_good = lm_compile_new(c, net->n_rules, 1);
    if (c->status < 0)
        return false;
    for (uint32_t s = 1; s < net->n_states; s++)
        for (uint32_t e = net->heads[s]; e; e = net->edges[e].next) {
            w->from[e] = s;
            w->into_next[e] = w->into[net->edges[e].to];
            w->into[net->edges[e].to] = e;
            if (net->edges[e].lo == LM_EDGE_CALL) {
                w->calls_next[e] = w->calls[net->edges[e].hi];
                w->calls[net->edges[e].hi] = e;
            }
        }
    for (uint32_t r = 0; r < net->n_rules; r++)
        w->rule_of[net->rules[r].start] = w->rule_of[net->rules[r].end] = r;
    return true;
}

static void freeze_mark(freeze_work *w, uint32_t state)
{
    if (w->good[state])
        return;
    w->good[state] = 1;
    w->todo[w->n_todo++] = state;
}

static bool freeze_writable(const uint8_t *alone, const lm_edge *edge)
{
    for (uint32_t b = edge->lo; b <= edge->hi; b++)
        if (!alone || (alone[b / 8] >> b % 8 & 1))
            return true;
    return false;
}

/* good: by moves for which `free` holds, none but empty ones and calls; or by any. */
static void freeze_spread(freeze_work *w, const uint8_t *alone, bool free)
{
    lm_net *net = w->net;
    memset(w->good, 0, net->n_states);
    memset(w->rule_good, 0, net->n_rules);
    for (uint32_t r = 0; r < net->n_rules; r++)
        freeze_mark(w, net->rules[r].end);
    while (w->n_todo > 0) {
        uint32_t s = w->todo[--w->n_todo], r = w->rule_of[s];
        for (uint32_t e = w->into[s]; e; e = w->into_next[e]) {
            const lm_edge *edge = &net->edges[e];
            if (edge->lo == LM_EDGE_EMPTY || (edge->lo == LM_EDGE_CALL ? w->rule_good[edge->hi] : !free && freeze_writable(alone, edge)))
                freeze_mark(w, w->from[e]);
        }
        if (net->rules[r].start == s && !w->rule_good[r]) {
            w->rule_good[r] = 1;
            for (uint32_t e = w->calls[r]; e; e = w->calls_next[e])
                if (w->good[net->edges[e].to])
                    freeze_mark(w, w->from[e]);
        }
    }
}

/* Rules that a rule calls before it reads anything: depth first, over states and calls at once. A state: 0 new, 1 on the way, 2 done. */
static void freeze_refuse_loops(freeze_work *w)
{
    lm_net *net = w->net;
    lm_compile *c = w->c;
    freeze_spread(w, NULL, true);                           /* rule_good: may be empty */
    uint8_t *seen = lm_compile_new(c, net->n_rules, 1), *marks = lm_compile_new(c, net->n_states, 1);
    uint32_t *path = lm_compile_new(c, net->n_rules, sizeof *path), *edges = lm_compile_new(c, net->n_rules, sizeof *edges), n_path = 0;
    /* called[r]: edges of the graph of rules, as a list of pairs */
    uint32_t *heads = lm_compile_new(c, net->n_rules, sizeof *heads), *next = lm_compile_new(c, net->n_edges + 1, sizeof *next);
    if (c->status < 0)
        return;
    for (uint32_t r = 0; r < net->n_rules && lm_compile_work(c, 1); r++) {      /* each state belongs to one rule: marks are shared */
        w->n_todo = 0;
        w->todo[w->n_todo++] = net->rules[r].start;
        marks[net->rules[r].start] = 1;
        while (w->n_todo > 0) {
            uint32_t s = w->todo[--w->n_todo];
            for (uint32_t e = net->heads[s]; e; e = net->edges[e].next) {
                const lm_edge *edge = &net->edges[e];
                if (edge->lo == LM_EDGE_CALL) {
                    next[e] = heads[r];
                    heads[r] = e;
                }
                if ((edge->lo == LM_EDGE_EMPTY || (edge->lo == LM_EDGE_CALL && w->rule_good[edge->hi])) && !marks[edge->to]) {
                    marks[edge->to] = 1;
                    w->todo[w->n_todo++] = edge->to;
                }
            }
        }
    }
    for (uint32_t r = 0; r < net->n_rules && c->status >= 0; r++) {
        if (seen[r])
            continue;
        path[n_path] = r;
        edges[n_path++] = heads[r];
        seen[r] = 1;
        while (n_path > 0) {
            uint32_t e = edges[n_path - 1];
            if (!e) {
                seen[path[--n_path]] = 2;
                continue;
            }
            edges[n_path - 1] = next[e];
            uint32_t callee = net->edges[e].hi;
            if (seen[callee] == 1) {
                const lm_rule *rule = &net->rules[callee];
                lm_compile_fail(c, LLM_E_UNSUPPORTED, rule->at, "the rule %.*s calls itself before it reads anything (left recursion)",
                                (int)LM_MIN(rule->name.len, (size_t)80), rule->name.ptr);
                return;
            }
            if (seen[callee] == 0) {
                seen[callee] = 1;
                path[n_path] = callee;
                edges[n_path++] = heads[callee];
            }
        }
    }
}

static uint32_t freeze_new_state(uint32_t *names, uint32_t *todo, uint32_t *n, uint32_t state)
{
    if (names[state] == 0) {
        todo[*n] = state;
        names[state] = ++*n;
    }
    return names[state];
}

/* Over empty edges that are the only one of their state. */
static uint32_t freeze_skip(const freeze_work *w, uint32_t state)
{
    const lm_net *net = w->net;
    for (uint32_t i = 0; i < 64; i++) {                     /* rings of empty edges end so */
        uint32_t only = 0, n = 0;
        for (uint32_t e = net->heads[state]; e && n < 2; e = net->edges[e].next) {
            const lm_edge *edge = &net->edges[e];
            if (!w->good[edge->to] || (edge->lo == LM_EDGE_CALL && !w->rule_good[edge->hi]))
                continue;
            only = e;
            n++;
        }
        if (n != 1 || net->edges[only].lo != LM_EDGE_EMPTY || net->rules[w->rule_of[state]].end == state)
            break;
        state = net->edges[only].to;
    }
    return state;
}

static void freeze_classes(lm_automaton *a)
{
    bool cut[257] = { false };
    uint32_t n = 0;
    for (uint32_t m = 0; m < a->n_moves; m++)
        if (a->moves[m].kind == LM_MOVE_BYTES)
            cut[a->moves[m].lo] = cut[a->moves[m].hi + 1] = true;
    for (uint32_t b = 0; b < 256; b++) {
        n += b != 0 && cut[b];
        a->classes[b] = (uint8_t)n;
        a->example[n] = (uint8_t)b;
    }
    a->n_classes = n + 1;
}

/* One edge as moves: over bytes it comes apart where some cannot be written. */
static void freeze_move(lm_automaton *a, const uint8_t *alone, const lm_edge *edge, lm_move move, bool count_only)
{
    if (edge->lo >= LM_EDGE_EMPTY) {
        move.kind = edge->lo == LM_EDGE_EMPTY ? LM_MOVE_EMPTY : LM_MOVE_CALL;
        if (!count_only)
            a->moves[a->n_moves] = move;
        a->n_moves++;
        return;
    }
    for (uint32_t lo = edge->lo; lo <= edge->hi; lo++) {
        if (alone && !(alone[lo / 8] >> lo % 8 & 1))
            continue;
        uint32_t hi = lo;
        while (hi < edge->hi && (!alone || (alone[(hi + 1) / 8] >> (hi + 1) % 8 & 1)))
            hi++;
        move.lo = (uint8_t)lo;
        move.hi = (uint8_t)hi;
        if (!count_only)
            a->moves[a->n_moves] = move;
        a->n_moves++;
        lo = hi;
    }
}

static lm_automaton *freeze_pack(freeze_work *w, const uint8_t *alone, lm_mem *mem)
{
    lm_net *net = w->net;
    lm_compile *c = w->c;
    uint32_t *names = lm_compile_new(c, net->n_states, sizeof *names), *order = w->todo, n = 0;
    lm_automaton *a = c->status >= 0 ? lm_mem_new(mem, sizeof *a, LLM_MEMORY_OTHER) : NULL;
    if (!a)
        return NULL;
    a->start = freeze_new_state(names, order, &n, freeze_skip(w, net->rules[0].start));
    for (int turn = 0; turn < 2; turn++) {                  /* counts, then fills; both meet states in the same order */
        a->n_moves = 0;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t s = order[i];
            if (turn) {
                a->first[i + 1] = a->n_moves;
                a->ends[i + 1] = net->rules[w->rule_of[s]].end == s;
            }
            for (uint32_t e = net->heads[s]; e; e = net->edges[e].next) {
                const lm_edge *edge = &net->edges[e];
                bool calls = edge->lo == LM_EDGE_CALL;
                if (!w->good[edge->to] || (calls && !w->rule_good[edge->hi]))
                    continue;
                uint32_t to = freeze_skip(w, edge->to);
                bool last = calls && net->rules[w->rule_of[to]].end == to && net->heads[to] == 0;
                lm_move move = { .to = last ? 0 : freeze_new_state(names, order, &n, to) };
                if (calls)
                    move.start = freeze_new_state(names, order, &n, freeze_skip(w, net->rules[edge->hi].start));
                freeze_move(a, alone, edge, move, !turn);
            }
        }
        if (turn)
            break;
        a->n_states = n + 1;
        a->first = lm_mem_new_array(mem, n + 2, sizeof *a->first, LLM_MEMORY_OTHER);
        a->moves = lm_mem_new_array(mem, a->n_moves, sizeof *a->moves, LLM_MEMORY_OTHER);
        a->ends = lm_mem_new(mem, n + 1, LLM_MEMORY_OTHER);
        if (!a->first || !a->moves || !a->ends) {
            lm_automaton_free(mem, a);
            return NULL;
        }
    }
    a->first[n + 1] = a->n_moves;
    freeze_classes(a);
    return a;
}

llm_status lm_automaton_new(lm_mem *mem, int32_t kind, uint32_t flags, const char *text, size_t len, const uint8_t *alone, lm_automaton **out, llm_error *error)
{
    if (kind < LLM_GRAMMAR_GBNF || kind > LLM_GRAMMAR_REGEX)
        return lm_fail(error, LLM_E_INVALID, "kind is %d: expected LLM_GRAMMAR_*", kind);
    if (flags & ~(uint32_t)LLM_GRAMMAR_COMPACT)
        return lm_fail(error, LLM_E_UNSUPPORTED, "flags is 0x%x: an unknown LLM_GRAMMAR_* is set", flags);
    if (len > LM_TEXT_MOST_BYTES)
        return lm_fail(error, LLM_E_LIMIT, "a grammar of %zu bytes: at most 1 MiB", len);
    lm_compile c = { .error = error, .text = text, .len = len, .flags = flags };
    lm_arena_init(&c.arena, mem, LLM_MEMORY_OTHER);
    lm_net net;
    freeze_work work;
    lm_automaton *automaton = NULL;
    lm_net_init(&net, &c);
    if (kind == LLM_GRAMMAR_GBNF)
        lm_gbnf_build(&net, text, len);
    else if (kind == LLM_GRAMMAR_JSON_SCHEMA)
        lm_schema_build(&net, text, len);
    else {
        uint32_t root = lm_net_rule(&net, (llm_str){ "", 0 }, LLM_NUL);
        lm_expr *expr = lm_regex_parse(&c, text, len, 0);
        if (expr && c.status >= 0)
            lm_regex_build(&net, expr, net.rules[root].start, net.rules[root].end);
    }
    if (c.status >= 0 && freeze_begin(&work, &net)) {
        freeze_refuse_loops(&work);
        if (c.status >= 0) {
            freeze_spread(&work, alone, false);
            if (!work.rule_good[0])
                lm_compile_fail(&c, LLM_E_INVALID, LLM_NUL, "no text satisfies this grammar%s", alone ? ", of those that the vocabulary can write byte by byte" : "");
        }
        automaton = c.status >= 0 ? freeze_pack(&work, alone, mem) : NULL;
        if (!automaton && c.status >= 0)
            c.status = lm_fail_memory(error, "a grammar", net.n_edges * sizeof(lm_move));
    }
    lm_net_free(&net);
    lm_arena_free(&c.arena);
    if (c.status < 0)
        return c.status;
    *out = automaton;
    return LLM_OK;
}

void lm_automaton_free(lm_mem *mem, lm_automaton *automaton)
{
    if (!automaton)
        return;
    lm_mem_free(mem, automaton->first);
    lm_mem_free(mem, automaton->moves);
    lm_mem_free(mem, automaton->ends);
    lm_mem_free(mem, automaton);
}

uint32_t lm_automaton_n_states(const lm_automaton *automaton)
{
    return automaton->n_states;
}
