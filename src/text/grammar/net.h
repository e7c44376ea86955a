/* SPDX-License-Identifier: MIT
 * The one form between the three languages of grammars and the automaton: a net of states with edges over bytes (or, on the way, over
 * characters), empty ones, and calls of rules. Private to text/grammar. Floor 3.
 *
 * A compile carries one error for all: after the first, everything is a no-op and gives 0, so builders look at `status` in loops and at
 * their end alone. What it allocates goes with it. Threads: one compile, one thread. */
#ifndef LM_TEXT_GRAMMAR_NET_H
#define LM_TEXT_GRAMMAR_NET_H

#include "base/compiler.h"
#include "base/mem.h"
#include "base/status.h"

#include <stdbool.h>

enum { LM_NET_MOST_STATES = 1 << 18, LM_NET_MOST_EDGES = 1 << 20, LM_NET_MOST_RULES = 1 << 14, LM_NET_MOST_WORK = LM_BOUND(1 << 24, 1 << 18), LM_NET_MOST_DEPTH = 200 };
#define LM_TEXT_MOST_BYTES ((size_t)1 << 20)
#define LM_CHAR_LAST 0x10ffffu

typedef struct lm_compile {
    lm_arena arena;
    size_t taken;                       /* bytes of the arena */
    llm_error *error;
    llm_status status;
    uint32_t work;                      /* done so far */
    uint32_t flags;                     /* LLM_GRAMMAR_* */
    const char *text; size_t len;       /* what is compiled, for lines in messages */
} lm_compile;

/* Fails once. at: a byte of the text, or LLM_NUL. The message gets "line N: " in front. */
LM_PRINTF(4, 5) void lm_compile_fail(lm_compile *c, llm_status status, size_t at, const char *format, ...);
void *lm_compile_new(lm_compile *c, size_t n, size_t size);     /* zeroed; NULL: failed, also if it had before */
bool lm_compile_work(lm_compile *c, uint32_t n);                /* false: failed */

/* An edge: characters or bytes lo to hi; or one of these as lo. */
enum { LM_EDGE_EMPTY = 0x110000, LM_EDGE_CALL, LM_EDGE_BEGIN, LM_EDGE_END };
typedef struct lm_edge { uint32_t to, next, lo, hi /* CALL: the rule */; } lm_edge;
typedef struct lm_rule { uint32_t start, end; size_t at; llm_str name; } lm_rule;

typedef struct lm_net {
    lm_compile *c;
    lm_edge *edges; uint32_t n_edges, cap_edges;        /* edge 0 is none */
    uint32_t *heads; uint32_t n_states, cap_states;     /* state 0 is none */
    lm_rule *rules; uint32_t n_rules, cap_rules;        /* rule 0 is the root */
} lm_net;

void lm_net_init(lm_net *net, lm_compile *c);
void lm_net_free(lm_net *net);
uint32_t lm_net_state(lm_net *net);
uint32_t lm_net_rule(lm_net *net, llm_str name, size_t at);     /* with its two states */
void lm_net_edge(lm_net *net, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi);
static inline void lm_net_empty(lm_net *net, uint32_t from, uint32_t to) { lm_net_edge(net, from, to, LM_EDGE_EMPTY, 0); }
static inline void lm_net_call(lm_net *net, uint32_t from, uint32_t to, uint32_t rule) { lm_net_edge(net, from, to, LM_EDGE_CALL, rule); }
void lm_net_text(lm_net *net, uint32_t from, uint32_t to, const char *text, size_t len);

/* How characters become edges: as they are, as UTF-8, as a JSON string has them (escaped in one way only). */
enum { LM_CHARS_AS_THEY_ARE, LM_CHARS_UTF8, LM_CHARS_JSON };
void lm_net_chars(lm_net *net, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi, int how);

/* ---- expr.c: regular expressions as trees ---- */

typedef struct lm_interval { uint32_t lo, hi; } lm_interval;
typedef struct lm_set { lm_interval *at; size_t n, cap; } lm_set;
void lm_set_add(lm_compile *c, lm_set *set, uint32_t lo, uint32_t hi);
void lm_set_settle(lm_compile *c, lm_set *set, bool negated);     /* sorted, merged */

enum { LM_EXPR_SET, LM_EXPR_SEQ, LM_EXPR_ALT, LM_EXPR_REPEAT, LM_EXPR_CALL, LM_EXPR_BEGIN, LM_EXPR_END };
#define LM_REPEAT_FOREVER UINT32_MAX
typedef struct lm_expr {
    int kind;
    uint32_t min, max;                  /* REPEAT */
    uint32_t rule;                      /* CALL */
    lm_set set;
    struct lm_expr *child, *last, *next;
} lm_expr;
lm_expr *lm_expr_new(lm_compile *c, int kind);
void lm_expr_add(lm_expr *parent, lm_expr *child);               /* either may be NULL: failed */
void lm_expr_build(lm_net *net, const lm_expr *expr, uint32_t from, uint32_t to, int how);

/* regex.c: text at byte `at` of what is compiled (for messages). JSON: offsets point to the string, `subject` names it. */
lm_expr *lm_regex_parse(lm_compile *c, const char *text, size_t len, size_t at);
/* All of a regular expression between two states of a net of bytes, anchors resolved; what it matches whole. */
void lm_regex_build(lm_net *net, const lm_expr *expr, uint32_t from, uint32_t to);

void lm_gbnf_build(lm_net *net, const char *text, size_t len);
void lm_schema_build(lm_net *net, const char *text, size_t len);

#endif
