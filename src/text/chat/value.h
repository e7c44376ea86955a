/* SPDX-License-Identifier: MIT
 * What a template computes with: Python's values as Jinja sees them, in the arena of one render. Private to text/chat. Floor 3.
 * Invariant: a function that returns false has put its reason into run->error. Threads: one render, one thread. */
#ifndef LM_TEXT_CHAT_VALUE_H
#define LM_TEXT_CHAT_VALUE_H

#include "text/chat/template.h"

#include "base/str.h"

typedef enum lm_kind {
    LM_VAL_UNDEFINED, LM_VAL_NONE, LM_VAL_BOOL, LM_VAL_INT, LM_VAL_FLOAT, LM_VAL_STR, LM_VAL_LIST, LM_VAL_TUPLE, LM_VAL_DICT,
    LM_VAL_VIEW,                        /* dict.items() and its like: a list that knows no index */
    LM_VAL_GENERATOR,                   /* what map, select ... give: can be walked once, has no length */
    LM_VAL_RANGE, LM_VAL_NAMESPACE, LM_VAL_MACRO, LM_VAL_METHOD, LM_VAL_FUNCTION, LM_VAL_LOOP, LM_VAL_CYCLER, LM_VAL_JOINER
} lm_kind;

typedef struct lm_val_list lm_val_list;
typedef struct lm_val_dict lm_val_dict;
struct lm_macro;
struct lm_loop;
struct lm_method;

/* The template's own bytes among those from base on: spans that rise and do not touch. */
typedef struct lm_trust { const char *base; lm_span *at; size_t n, cap; } lm_trust;
enum { LM_TRUST_NONE = 0, LM_TRUST_ALL = 1, LM_TRUST_FIRST = 2, LM_TRUST_END = 1 << 20 };    /* from FIRST on: run->trusts[i - FIRST] */

/* 16 bytes, so that it travels in two registers. */
typedef struct lm_val {
    union {
        int64_t i;                      /* BOOL, INT */
        double f;
        const char *s;                  /* STR: `len` bytes of UTF-8; UNDEFINED: its name, for messages */
        lm_val_list *list;              /* LIST, TUPLE, VIEW, GENERATOR, RANGE, CYCLER, JOINER */
        lm_val_dict *dict;              /* DICT, NAMESPACE */
        struct lm_macro *macro;
        struct lm_loop *loop;
        struct lm_method *method;
    };
    uint32_t len;
    uint32_t kind : 8;
    uint32_t flag : 4;                  /* STR: marked safe; VIEW: 0 keys, 1 values, 2 items; FUNCTION: which */
    uint32_t trust : 20;                /* STR: which of its bytes are the template's own */
} lm_val;

struct lm_val_list { lm_val *at; size_t n, cap, pos /* GENERATOR, CYCLER: consumed so far */; int64_t from, to, by /* RANGE */; };
typedef struct lm_val_pair { lm_val key, value; } lm_val_pair;
struct lm_val_dict { lm_val_pair *at; size_t n, cap; };

/* own: so many bytes at its begin are the template's, as long as it is only that; then `trust`, which is known by its id. */
typedef struct lm_text { char *ptr; size_t len, cap, own; lm_trust *trust; uint32_t id; } lm_text;

typedef struct lm_jinja {
    lm_arena arena;
    size_t taken, output;               /* bytes of the arena; the longest text so far */
    uint64_t steps;                     /* left */
    uint64_t looked;                    /* bytes since the last whole step: lm_jinja_look */
    lm_template_limits limits;
    uint32_t depth, line;               /* of the node in progress */
    llm_error *error;
    llm_status status;
    const lm_template_options *options;
    lm_text *out;                       /* where text goes now */
    struct lm_scope *globals;
    llm_str about;                      /* the variable that is being read */
    lm_trust **trusts;
    uint32_t n_trusts, cap_trusts;
} lm_jinja;

/* Failing: false, always. The message gets "line N: " in front. */
LM_PRINTF(3, 4) bool lm_jinja_fail(lm_jinja *run, llm_status status, const char *format, ...);
void *lm_jinja_new(lm_jinja *run, size_t bytes);            /* NULL: failed */
bool  lm_jinja_step(lm_jinja *run, uint64_t n);
/* So many bytes are looked at one by one: 32 are a step, which is about as much work. */
bool  lm_jinja_look(lm_jinja *run, uint64_t bytes);
bool  lm_jinja_enter(lm_jinja *run);                        /* one level deeper; on true lm_jinja_leave must follow */
static inline void lm_jinja_leave(lm_jinja *run) { run->depth--; }

static inline lm_val lm_val_undefined(llm_str name) { return (lm_val){ .kind = LM_VAL_UNDEFINED, .s = name.ptr, .len = (uint32_t)name.len }; }
static inline lm_val lm_val_none(void) { return (lm_val){ .kind = LM_VAL_NONE }; }
static inline lm_val lm_val_bool(bool b) { return (lm_val){ .kind = LM_VAL_BOOL, .i = b }; }
static inline lm_val lm_val_int(int64_t i) { return (lm_val){ .kind = LM_VAL_INT, .i = i }; }
static inline lm_val lm_val_float(double f) { return (lm_val){ .kind = LM_VAL_FLOAT, .f = f }; }
static inline lm_val lm_val_str(const char *s, size_t len) { return (lm_val){ .kind = LM_VAL_STR, .s = s, .len = (uint32_t)len }; }
static inline bool lm_val_is_number(lm_val v) { return v.kind == LM_VAL_BOOL || v.kind == LM_VAL_INT || v.kind == LM_VAL_FLOAT; }
static inline bool lm_val_is_whole(lm_val v) { return v.kind == LM_VAL_BOOL || v.kind == LM_VAL_INT; }
static inline double lm_val_double(lm_val v) { return v.kind == LM_VAL_FLOAT ? v.f : (double)v.i; }
static inline bool lm_val_is(lm_val v, const char *text, size_t len) { return lm_str_same((llm_str){ v.s, v.len }, (llm_str){ text, len }); }

bool lm_val_truth(lm_val v);
const char *lm_val_type(lm_val v);                      /* Python's name of its type */
bool lm_val_equal(lm_jinja *run, lm_val a, lm_val b, bool *equal);
/* < 0, 0, > 0; false where Python cannot order them. */
bool lm_val_compare(lm_jinja *run, lm_val a, lm_val b, const char *sign, int *order);
bool lm_val_length(lm_jinja *run, lm_val v, int64_t *n);
/* All items of what can be walked: a list that the caller may read, not change. */
bool lm_val_items(lm_jinja *run, lm_val v, lm_val_list **items);
bool lm_val_contains(lm_jinja *run, lm_val box, lm_val item, bool *has);

bool lm_list_new(lm_jinja *run, size_t cap, lm_val_list **list);
bool lm_list_add(lm_jinja *run, lm_val_list *list, lm_val v);
static inline lm_val lm_list_val(lm_kind kind, lm_val_list *list) { return (lm_val){ .kind = (uint8_t)kind, .list = list }; }
bool lm_pair_new(lm_jinja *run, lm_val a, lm_val b, lm_val *out);                 /* a tuple */
bool lm_dict_new(lm_jinja *run, lm_val_dict **dict);
bool lm_dict_find(lm_jinja *run, const lm_val_dict *dict, lm_val key, lm_val **value /* NULL in it: no such key */);
bool lm_dict_set(lm_jinja *run, lm_val_dict *dict, lm_val key, lm_val value);
bool lm_dict_set_name(lm_jinja *run, lm_val_dict *dict, const char *name, lm_val value);

bool lm_text_add(lm_jinja *run, lm_text *text, const char *s, size_t len);
static inline bool lm_text_add_z(lm_jinja *run, lm_text *text, const char *s) { return lm_text_add(run, text, s, __builtin_strlen(s)); }
lm_val lm_text_val(const lm_text *text);                /* nothing is added to it any more */
/* The same with what a string knows of its bytes; lm_text_add adds strangers'. */
bool lm_text_add_val(lm_jinja *run, lm_text *text, lm_val v);
bool lm_trust_whole(const lm_jinja *run, lm_val v);      /* every byte is the template's own */
bool lm_trust_break(lm_jinja *run, lm_text *text);      /* what follows is a stranger's */
static inline lm_val lm_val_own(const char *s, size_t len) { return (lm_val){ .kind = LM_VAL_STR, .s = s, .len = (uint32_t)len, .trust = LM_TRUST_ALL }; }
static inline lm_val lm_val_part(lm_val of, const char *s, size_t len) { return (lm_val){ .kind = LM_VAL_STR, .s = s, .len = (uint32_t)len, .trust = of.trust }; }
/* As print would show it, and as repr inside of lists. */
bool lm_val_print(lm_jinja *run, lm_text *text, lm_val v);
bool lm_val_repr(lm_jinja *run, lm_text *text, lm_val v);
bool lm_val_to_str(lm_jinja *run, lm_val v, lm_val *out);         /* a string stays what it is */

/* Numbers. The shortest digits that read back as the same float, as Python writes them: at most 32 bytes. */
size_t lm_number_write(double f, char out[32]);
size_t lm_number_write_int(int64_t i, char out[32]);
double lm_number_read(const char *digits, size_t n_digits, int64_t exponent);  /* 0.d1d2d3... no point in it: digits x 10^exponent */
/* A whole text as Python's float() and int() read it (spaces around, one _ between digits). */
bool lm_number_parse(const char *s, size_t len, double *out);
bool lm_number_parse_int(const char *s, size_t len, int base, int64_t *out);
double lm_number_floor(double f);
double lm_number_round(double f, int64_t digits);         /* behind the point; halves to even, of the exact value */

/* JSON. Reading: duplicate keys, the last counts; numbers beyond 64 bits are refused. */
bool lm_json_read(lm_jinja *run, const char *s, size_t len, lm_val *out);
typedef struct lm_json_style { lm_val item, key, indent; bool ascii, sort; } lm_json_style;
bool lm_json_write(lm_jinja *run, lm_text *text, const lm_json_style *style, lm_val v, uint32_t level);

/* Characters as Python counts them. */
bool   lm_char_is_space(uint32_t cp);                   /* str.isspace */
size_t lm_chars_count(const char *s, size_t len);
size_t lm_chars_offset(const char *s, size_t len, size_t n);    /* of character n, or len */
bool   lm_chars_map(lm_jinja *run, lm_val s, int upper /* 1, or 0: lower */, lm_val *out);
/* run: may be NULL for white space; else it pays for what is looked at, and has failed if that is too much. */
lm_val lm_chars_strip(lm_jinja *run, lm_val s, lm_val set /* NONE: white space */, bool left, bool right);
/* Where `what` begins at or behind `from`, in bytes; SIZE_MAX: nowhere. However both repeat themselves, what is looked at is paid for. */
bool   lm_chars_find(lm_jinja *run, lm_val in, lm_val what, size_t from, size_t *at);

#endif
