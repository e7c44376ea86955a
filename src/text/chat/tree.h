/* SPDX-License-Identifier: MIT
 * The tree of a template, and how its parts are made and walked. Private to text/chat. Floor 3. */
#ifndef LM_TEXT_CHAT_TREE_H
#define LM_TEXT_CHAT_TREE_H

#include "text/chat/value.h"

#include <string.h>

typedef enum lm_tok_kind {
    LM_TOK_END, LM_TOK_DATA, LM_TOK_PRINT_BEGIN, LM_TOK_PRINT_END, LM_TOK_BLOCK_BEGIN, LM_TOK_BLOCK_END,
    LM_TOK_NAME, LM_TOK_STRING, LM_TOK_INT, LM_TOK_FLOAT, LM_TOK_SIGN
} lm_tok_kind;

/* Signs: one character, or two as first << 8 | second. */
#define LM_SIGN2(a, b) ((uint16_t)((a) << 8 | (b)))
typedef struct lm_token { uint8_t kind; uint16_t sign; uint32_t line; llm_str text; int64_t i; double f; } lm_token;

typedef enum lm_node_kind {
    /* expressions */
    LM_NODE_CONST, LM_NODE_NAME, LM_NODE_LIST, LM_NODE_TUPLE, LM_NODE_DICT /* list: key, value, ... */,
    LM_NODE_BINARY /* sign; a b */, LM_NODE_AND, LM_NODE_OR, LM_NODE_NOT, LM_NODE_MINUS, LM_NODE_PLUS,
    LM_NODE_COMPARE /* a; list of OPERAND */, LM_NODE_OPERAND /* sign; a */, LM_NODE_CONCAT /* list */,
    LM_NODE_IF_ELSE /* a if b else c */, LM_NODE_ATTRIBUTE /* a; text */, LM_NODE_ITEM /* a[b] */, LM_NODE_SLICE /* a:b:c */,
    LM_NODE_CALL /* a; list of arguments */, LM_NODE_FILTER /* a, or NULL: the text of a block; text; list */,
    LM_NODE_TEST /* a; text; list */,
    /* arguments: a plain expression, or one of */
    LM_NODE_KEYWORD /* text; a */, LM_NODE_STAR /* *a */, LM_NODE_STAR_STAR /* **a */,
    /* statements */
    LM_NODE_DATA /* text */, LM_NODE_PRINT /* a */, LM_NODE_IF /* a; list; otherwise */,
    LM_NODE_FOR /* a target, b items, c condition or NULL; list; otherwise; flag: recursive */,
    LM_NODE_SET /* a target, b */, LM_NODE_SET_BLOCK /* a target, b filter or NULL; list */,
    LM_NODE_MACRO /* text; params; list */, LM_NODE_CALL_BLOCK /* a: the call; params; list */, LM_NODE_FILTER_BLOCK /* a; list */,
    LM_NODE_WITH /* params: SETs; list */, LM_NODE_GROUP /* list */, LM_NODE_BREAK, LM_NODE_CONTINUE,
    LM_NODE_PARAM /* text; a default or NULL */
} lm_node_kind;

typedef struct lm_node lm_node;
struct lm_node {
    uint8_t kind, flag;
    uint16_t sign;
    uint32_t line;
    lm_node *next;                      /* in the list that it stands in */
    lm_node *a, *b, *c;
    lm_node *list, *otherwise, *params;
    llm_str text;
    lm_val value;
};

struct lm_template { lm_arena arena; lm_mem *mem; lm_node *body; };

/* ---- reading */

typedef struct lm_parse {
    lm_mem *mem;
    lm_arena *arena;
    llm_error *error;
    llm_status status;
    lm_token *tokens;                   /* the last one is LM_TOK_END */
    size_t n, cap, at;
    uint32_t depth, loops, elifs;
} lm_parse;

LM_PRINTF(4, 5) bool lm_parse_fail(lm_parse *p, llm_status status, uint32_t line, const char *format, ...);     /* false */
bool lm_lexer_run(lm_parse *p, const char *text, size_t len);
static inline const lm_token *lm_parse_token(const lm_parse *p) { return p->tokens + p->at; }
static inline const lm_token *lm_parse_ahead(const lm_parse *p) { return p->tokens + (p->at + 1 < p->n ? p->at + 1 : p->at); }
bool lm_parse_is_sign(const lm_parse *p, uint16_t sign);
bool lm_parse_is_name(const lm_parse *p, const char *name);
bool lm_parse_skip_sign(lm_parse *p, uint16_t sign);
bool lm_parse_skip_name(lm_parse *p, const char *name);
bool lm_parse_expect_sign(lm_parse *p, uint16_t sign);
bool lm_parse_expect_name(lm_parse *p, const char *name);
bool lm_parse_unexpected(lm_parse *p, const char *wanted);      /* false */
lm_node *lm_parse_node(lm_parse *p, lm_node_kind kind, uint32_t line);          /* NULL: failed */
bool lm_parse_enter(lm_parse *p);

/* NULL: failed. */
lm_node *lm_expr_parse(lm_parse *p, bool with_else);
enum { LM_TUPLE_WITH_ELSE = 1, LM_TUPLE_SIMPLE = 2, LM_TUPLE_PARENTHESES = 4 };
lm_node *lm_expr_parse_tuple(lm_parse *p, unsigned flags, const char *until /* a name that ends it, or NULL */);
lm_node *lm_expr_parse_filters(lm_parse *p, lm_node *on, bool inline_start);
lm_node *lm_expr_parse_primary(lm_parse *p);

/* ---- walking */

typedef struct lm_binding { struct lm_binding *next; llm_str name; lm_val value; } lm_binding;
typedef struct lm_scope { struct lm_scope *outer; lm_binding *first; } lm_scope;
typedef struct lm_args { lm_val *at; size_t n; lm_val_pair *named; size_t n_named; } lm_args;

typedef struct lm_macro { const lm_node *node; lm_scope *scope; llm_str name; } lm_macro;
typedef struct lm_loop { lm_val_list *items; size_t at; uint32_t depth0; const lm_node *node; lm_scope *scope; lm_val changed; bool has_changed; } lm_loop;
typedef struct lm_method { lm_val self; llm_str name; uint32_t which; } lm_method;

bool lm_scope_set(lm_jinja *run, lm_scope *scope, llm_str name, lm_val v);
lm_val lm_scope_get(const lm_scope *scope, llm_str name);

bool lm_eval(lm_jinja *run, lm_scope *scope, const lm_node *node, lm_val *out);
bool lm_eval_args(lm_jinja *run, lm_scope *scope, const lm_node *list, lm_args *args);
bool lm_eval_attribute(lm_jinja *run, lm_val of, llm_str name, lm_val *out);      /* x.name */
bool lm_eval_item(lm_jinja *run, lm_val of, lm_val key, lm_val *out);             /* x[key] */
bool lm_eval_call(lm_jinja *run, lm_val f, const lm_args *args, lm_val *out);
bool lm_eval_filter(lm_jinja *run, lm_scope *scope, const lm_node *node, const lm_val *input /* for the first of the chain */, lm_val *out);
bool lm_eval_binary(lm_jinja *run, uint16_t sign, lm_val a, lm_val b, lm_val *out);
bool lm_eval_slice(lm_jinja *run, lm_val of, const lm_val part[3], lm_val *out);
bool lm_eval_undefined(lm_jinja *run, lm_val v);        /* fails: it has no value */
bool lm_eval_too_big(lm_jinja *run);                    /* fails: beyond 64 bits */
bool lm_eval_compare(lm_jinja *run, uint16_t sign, lm_val a, lm_val b, bool *holds);
bool lm_eval_path(lm_jinja *run, lm_val of, lm_val path /* "a.b.0" or a number */, lm_val *out);
LM_INLINE bool lm_name_is(llm_str name, const char *text) { return name.len == strlen(text) && memcmp(name.ptr, text, name.len) == 0; }

bool lm_render_body(lm_jinja *run, lm_scope *scope, const lm_node *list, int *leave);
bool lm_render_macro(lm_jinja *run, lm_macro *macro, const lm_args *args, lm_val *out);
bool lm_render_loop(lm_jinja *run, lm_scope *scope, const lm_node *node, lm_val items, uint32_t depth0, int *leave);
bool lm_render_capture(lm_jinja *run, lm_scope *scope, const lm_node *list, lm_val *out);

/* Arguments by place or by name; missing: *found false, *v untouched. */
bool lm_args_get(const lm_args *args, size_t place, const char *name, lm_val *v);
bool lm_args_check(lm_jinja *run, const lm_args *args, const char *what, size_t least, size_t most, const char *names /* "a b c" */);

bool lm_args_flag(const lm_args *args, size_t place, const char *name, bool otherwise);

bool lm_filter_apply(lm_jinja *run, llm_str name, lm_val v, const lm_args *args, lm_val *out);
bool lm_filter_known(llm_str name);
bool lm_order_sort(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out);
bool lm_order_dictsort(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out);
bool lm_order_min(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out);
bool lm_order_max(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out);
bool lm_order_sum(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out);
bool lm_order_unique(lm_jinja *run, lm_val v, const lm_args *args, lm_val *out);
bool lm_test_apply(lm_jinja *run, llm_str name, lm_val v, const lm_args *args, bool *out);
bool lm_test_known(llm_str name);

/* Methods: of strings in a table of their own, numbered first. */
enum { LM_METHOD_CHANGES = 1, LM_METHOD_NAMES = 2 /* takes arguments by name */ };
typedef struct lm_method_row {
    const char *name;
    bool (*call)(lm_jinja *run, lm_val self, const lm_args *args, lm_val *out);
    uint8_t kind, least, most, flags;
} lm_method_row;
extern const lm_method_row lm_text_methods[];
extern const uint32_t lm_n_text_methods;
bool lm_method_count(lm_jinja *run, const lm_args *args, size_t place, const char *name, int64_t *out);     /* *out stays where none is given */
bool lm_method_find(lm_jinja *run, lm_val self, llm_str name, lm_val *out, bool *found);
bool lm_method_call(lm_jinja *run, const lm_method *method, const lm_args *args, lm_val *out);
bool lm_function_find(llm_str name, lm_val *out);
bool lm_function_call(lm_jinja *run, lm_val f, const lm_args *args, lm_val *out);
bool lm_text_filter_known(llm_str name);
bool lm_text_filter_apply(lm_jinja *run, llm_str name, lm_val v, const lm_args *args, lm_val *out);
bool lm_str_escape(lm_jinja *run, lm_val s, lm_val *out);                 /* for HTML, unless it is marked safe */
bool lm_str_lines(lm_jinja *run, lm_val s, lm_val_list **out);
bool lm_str_replace(lm_jinja *run, lm_val s, lm_val from, lm_val to, int64_t most, lm_val *out);

#endif
