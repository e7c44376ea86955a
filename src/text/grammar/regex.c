/* SPDX-License-Identifier: MIT
 * Regular expressions as ECMA-262 has them with the flag u (JSON Schema's `pattern`), without what is no regular language: backreferences,
 * assertions about what stands around; and without \b, \p{...} and modifiers. Lazy and greedy are the same here: all that matches is in the
 * language. \d \w are ASCII, \s is ECMA's white space, . is anything but a line's end. Floor 3. */
#include "text/grammar/net.h"

#include "base/utf8.h"

#include <string.h>

enum { REGEX_MOST_REPEAT = 65536 };

typedef struct regex_reader {
    lm_compile *c;
    const char *start, *at, *end;
    size_t base;                        /* of the text's first byte; LLM_NUL: messages name the byte in words alone */
    uint32_t depth;
} regex_reader;

LM_PRINTF(3, 4) static void *regex_fail(regex_reader *r, llm_status status, const char *format, ...)
{
    char what[160];
    va_list args;
    va_start(args, format);
    lm_format(what, sizeof what, format, args);
    va_end(args);
    size_t at = (size_t)(r->at - r->start);
    if (r->base == LLM_NUL)
        lm_compile_fail(r->c, status, LLM_NUL, "in the expression, byte %zu: %s", at, what);
    else
        lm_compile_fail(r->c, status, r->base + at, "%s", what);
    return NULL;
}

static bool regex_takes(regex_reader *r, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0)
        return false;
    r->at += n;
    return true;
}

static int regex_digit(char c, uint32_t base)
{
    int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
    return d < (int)base ? d : -1;
}

static bool regex_hex(regex_reader *r, int n, uint32_t *out)     /* exactly n digits */
{
    *out = 0;
    for (int i = 0; i < n; i++, r->at++) {
        if (r->at == r->end || regex_digit(*r->at, 16) < 0)
            return regex_fail(r, LLM_E_FORMAT, "%d hexadecimal digits are missing", n) != NULL;
        *out = *out * 16 + (uint32_t)regex_digit(*r->at, 16);
    }
    return true;
}

static bool regex_unicode(regex_reader *r, uint32_t *out)        /* behind \u */
{
    if (!regex_takes(r, "{")) {
        uint32_t low;
        if (!regex_hex(r, 4, out))
            return false;
        if (*out >= 0xd800 && *out < 0xdc00 && regex_takes(r, "\\u")) {
            if (!regex_hex(r, 4, &low))
                return false;
            if (low < 0xdc00 || low > 0xdfff)
                return regex_fail(r, LLM_E_FORMAT, "the second half of a surrogate pair is missing") != NULL;
            *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
        }
        return true;
    }
    for (*out = 0; r->at < r->end && regex_digit(*r->at, 16) >= 0 && *out <= LM_CHAR_LAST; r->at++)
        *out = *out * 16 + (uint32_t)regex_digit(*r->at, 16);
    if (*out > LM_CHAR_LAST || !regex_takes(r, "}"))
        return regex_fail(r, LLM_E_FORMAT, "expected \\u{...} with a character up to 10FFFF") != NULL;
    return true;
}

static void regex_class_set(lm_compile *c, char name, lm_set *out)
{
    static const lm_interval digits[] = { { '0', '9' } }, words[] = { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } };
    static const lm_interval spaces[] = { { 9, 13 }, { 32, 32 }, { 0xa0, 0xa0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200a }, { 0x2028, 0x2029 },
                                       { 0x202f, 0x202f }, { 0x205f, 0x205f }, { 0x3000, 0x3000 }, { 0xfeff, 0xfeff } };
    const lm_interval *at = (name | 32) == 'd' ? digits : (name | 32) == 'w' ? words : spaces;
    size_t n = (name | 32) == 'd' ? LM_COUNT(digits) : (name | 32) == 'w' ? LM_COUNT(words) : LM_COUNT(spaces);
    lm_set set = { 0 };
    for (size_t i = 0; i < n; i++)
        lm_set_add(c, &set, at[i].lo, at[i].hi);
    lm_set_settle(c, &set, name < 'a');
    for (size_t i = 0; i < set.n; i++)
        lm_set_add(c, out, set.at[i].lo, set.at[i].hi);
}

/* Behind a backslash. A class goes into the set and *single is false; else *cp is the character. */
static bool regex_escape(regex_reader *r, lm_set *set, bool in_class, bool *single, uint32_t *cp)
{
    static const char names[] = "nrtfv0", values[] = "\n\r\t\f\v";
    *single = true;
    if (r->at == r->end)
        return regex_fail(r, LLM_E_FORMAT, "a backslash at the end") != NULL;
    char c = *r->at++;
    const char *name;
    if (strchr("dwsDWS", c)) {
        *single = false;
        regex_class_set(r->c, c, set);
        return r->c->status >= 0;
    }
    if (c && (name = strchr(names, c)) != NULL) {
        if (c == '0' && r->at < r->end && *r->at >= '0' && *r->at <= '9')
            return regex_fail(r, LLM_E_FORMAT, "octal escapes are no part of this language") != NULL;
        *cp = (unsigned char)values[name - names];
        return true;
    }
    if (c == 'x')
        return regex_hex(r, 2, cp);
    if (c == 'u')
        return regex_unicode(r, cp);
    if (c == 'c' && r->at < r->end && ((*r->at | 32) >= 'a' && (*r->at | 32) <= 'z')) {
        *cp = (uint32_t)*r->at++ & 31;
        return true;
    }
    if (in_class && c == 'b') {
        *cp = '\b';
        return true;
    }
    if (c && strchr("^$\\.*+?()[]{}|/-", c)) {
        *cp = (unsigned char)c;
        return true;
    }
    r->at--;
    if (c == 'b' || c == 'B' || c == 'p' || c == 'P' || c == 'k' || (c >= '1' && c <= '9'))
        return regex_fail(r, LLM_E_UNSUPPORTED, "\\%c is not supported", c) != NULL;
    return regex_fail(r, LLM_E_FORMAT, "unknown escape") != NULL;
}

static bool regex_char(regex_reader *r, uint32_t *cp)
{
    size_t n = lm_utf8_decode(r->at, (size_t)(r->end - r->at), false, cp);
    if (*cp == 0xfffd && !(n == 3 && memcmp(r->at, "\xef\xbf\xbd", 3) == 0))
        return regex_fail(r, LLM_E_FORMAT, "this is not UTF-8") != NULL;
    r->at += n;
    return true;
}

static lm_expr *regex_set(regex_reader *r)                       /* behind [ */
{
    lm_expr *expr = lm_expr_new(r->c, LM_EXPR_SET);
    bool negated = regex_takes(r, "^");
    while (expr && r->c->status >= 0) {
        uint32_t lo = 0, hi;
        bool single = true;
        if (r->at == r->end)
            return regex_fail(r, LLM_E_FORMAT, "this class has no end: expected ]");
        if (regex_takes(r, "]"))
            break;
        if (regex_takes(r, "\\") ? !regex_escape(r, &expr->set, true, &single, &lo) : !regex_char(r, &lo))
            return NULL;
        if (!single)
            continue;
        hi = lo;
        if (r->end - r->at >= 2 && r->at[0] == '-' && r->at[1] != ']') {
            r->at++;
            if (regex_takes(r, "\\") ? !regex_escape(r, &expr->set, true, &single, &hi) : !regex_char(r, &hi))
                return NULL;
            if (!single || hi < lo)
                return regex_fail(r, LLM_E_FORMAT, "this range does not rise");
        }
        lm_set_add(r->c, &expr->set, lo, hi);
    }
    if (expr)
        lm_set_settle(r->c, &expr->set, negated);
    return expr;
}

static lm_expr *regex_alternatives(regex_reader *r);

static lm_expr *regex_group(regex_reader *r)                     /* behind ( */
{
    if (regex_takes(r, "?:"))
        ;
    else if (regex_takes(r, "?<") && r->at < r->end && *r->at != '=' && *r->at != '!') {
        while (r->at < r->end && *r->at != '>')
            r->at++;
        if (!regex_takes(r, ">"))
            return regex_fail(r, LLM_E_FORMAT, "the group's name has no end: expected >");
    } else if (r->at < r->end && (*r->at == '?' || r->at[-1] == '<'))
        return regex_fail(r, LLM_E_UNSUPPORTED, "assertions and modifiers, (?...), are not supported");
    if (++r->depth > LM_NET_MOST_DEPTH)
        return regex_fail(r, LLM_E_LIMIT, "more than %d groups within one another", LM_NET_MOST_DEPTH);
    lm_expr *expr = regex_alternatives(r);
    r->depth--;
    if (expr && !regex_takes(r, ")"))
        return regex_fail(r, LLM_E_FORMAT, "expected )");
    return expr;
}

static lm_expr *regex_atom(regex_reader *r)
{
    uint32_t cp = 0;
    bool single = true;
    if (regex_takes(r, "("))
        return regex_group(r);
    if (regex_takes(r, "["))
        return regex_set(r);
    if (regex_takes(r, "^"))
        return lm_expr_new(r->c, LM_EXPR_BEGIN);
    if (regex_takes(r, "$"))
        return lm_expr_new(r->c, LM_EXPR_END);
    if (*r->at == '*' || *r->at == '+' || *r->at == '?')
        return regex_fail(r, LLM_E_FORMAT, "nothing stands before this %c", *r->at);
    lm_expr *expr = lm_expr_new(r->c, LM_EXPR_SET);
    if (!expr)
        return NULL;
    if (regex_takes(r, ".")) {
        lm_set_add(r->c, &expr->set, '\n', '\n');
        lm_set_add(r->c, &expr->set, '\r', '\r');
        lm_set_add(r->c, &expr->set, 0x2028, 0x2029);
        lm_set_settle(r->c, &expr->set, true);
        return expr;
    }
    if (regex_takes(r, "\\") ? !regex_escape(r, &expr->set, false, &single, &cp) : !regex_char(r, &cp))
        return NULL;
    if (single)
        lm_set_add(r->c, &expr->set, cp, cp);
    lm_set_settle(r->c, &expr->set, false);
    return expr;
}

static bool regex_number(regex_reader *r, uint32_t *out)
{
    uint32_t n = 0;
    const char *from = r->at;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        if ((n = n * 10 + (uint32_t)(*r->at - '0')) > REGEX_MOST_REPEAT)
            return regex_fail(r, LLM_E_LIMIT, "a count above %d", REGEX_MOST_REPEAT) != NULL;
    *out = n;
    return r->at > from;
}

/* *min and *max if a quantifier stands here. */
static bool regex_quantifier(regex_reader *r, uint32_t *min, uint32_t *max)
{
    const char *from = r->at;
    *min = 0;
    *max = LM_REPEAT_FOREVER;
    if (regex_takes(r, "*"))
        return true;
    if (regex_takes(r, "+")) {
        *min = 1;
        return true;
    }
    if (regex_takes(r, "?")) {
        *max = 1;
        return true;
    }
    if (!regex_takes(r, "{") || !regex_number(r, min)) {
        r->at = from;
        return false;
    }
    *max = *min;
    if (regex_takes(r, ",") && !regex_number(r, max))
        *max = LM_REPEAT_FOREVER;
    if (!regex_takes(r, "}") || *max < *min)
        return regex_fail(r, LLM_E_FORMAT, "expected {m}, {m,} or {m,n} with n at least m") != NULL;
    return true;
}

static lm_expr *regex_sequence(regex_reader *r)
{
    lm_expr *sequence = lm_expr_new(r->c, LM_EXPR_SEQ);
    while (r->c->status >= 0 && r->at < r->end && *r->at != '|' && *r->at != ')') {
        uint32_t min, max;
        lm_expr *atom = regex_atom(r);
        if (atom && regex_quantifier(r, &min, &max)) {
            lm_expr *repeat = lm_expr_new(r->c, LM_EXPR_REPEAT);
            if (atom->kind == LM_EXPR_BEGIN || atom->kind == LM_EXPR_END)
                return regex_fail(r, LLM_E_FORMAT, "an anchor cannot be repeated");
            if (repeat) {
                repeat->min = min;
                repeat->max = max;
                lm_expr_add(repeat, atom);
            }
            atom = repeat;
            regex_takes(r, "?");
        }
        lm_expr_add(sequence, atom);
    }
    return r->c->status >= 0 ? sequence : NULL;
}

static lm_expr *regex_alternatives(regex_reader *r)
{
    lm_expr *all = lm_expr_new(r->c, LM_EXPR_ALT);
    do
        lm_expr_add(all, regex_sequence(r));
    while (r->c->status >= 0 && regex_takes(r, "|"));
    return r->c->status >= 0 ? all : NULL;
}

lm_expr *lm_regex_parse(lm_compile *c, const char *text, size_t len, size_t at)
{
    regex_reader r = { c, text, text, text + len, at, 0 };
    lm_expr *expr = regex_alternatives(&r);
    if (expr && r.at < r.end)
        return regex_fail(&r, LLM_E_FORMAT, "this ) closes nothing");
    return expr;
}

/* ---- anchors: a state is one of four: nothing taken yet or something, and whether $ was passed -------------------------------- */

enum { REGEX_TAKEN = 1, REGEX_ENDED = 2 };

typedef struct regex_layers { lm_net *net; uint32_t (*states)[4]; uint32_t *todo, n_todo, to; } regex_layers;

static uint32_t regex_layer(regex_layers *l, uint32_t state, uint32_t layer)
{
    if (l->states[state][layer] == 0) {
        l->states[state][layer] = lm_net_state(l->net);
        l->todo[l->n_todo++] = state * 4 + layer;
    }
    return l->states[state][layer];
}

void lm_regex_build(lm_net *net, const lm_expr *expr, uint32_t from, uint32_t to)
{
    lm_net plain;
    lm_net_init(&plain, net->c);
    uint32_t start = lm_net_state(&plain), end = lm_net_state(&plain);
    if (expr)
        lm_expr_build(&plain, expr, start, end, LM_CHARS_AS_THEY_ARE);
    regex_layers l = { net, lm_compile_new(net->c, plain.n_states, sizeof *l.states), lm_compile_new(net->c, plain.n_states * (size_t)4, sizeof *l.todo), 0, to };
    if (l.states && l.todo)
        lm_net_empty(net, from, regex_layer(&l, start, 0));
    while (l.n_todo > 0 && net->c->status >= 0) {
        uint32_t item = l.todo[--l.n_todo], state = item / 4, layer = item % 4, here = l.states[state][layer];
        if (state == end)
            lm_net_empty(net, here, to);
        for (uint32_t e = plain.heads[state]; e; e = plain.edges[e].next) {
            const lm_edge *edge = &plain.edges[e];
            if (edge->lo == LM_EDGE_EMPTY || (edge->lo == LM_EDGE_BEGIN && !(layer & REGEX_TAKEN)))
                lm_net_empty(net, here, regex_layer(&l, edge->to, layer));
            else if (edge->lo == LM_EDGE_END)
                lm_net_empty(net, here, regex_layer(&l, edge->to, layer | REGEX_ENDED));
            else if (edge->lo <= LM_CHAR_LAST && !(layer & REGEX_ENDED))
                lm_net_chars(net, here, regex_layer(&l, edge->to, REGEX_TAKEN), edge->lo, edge->hi, LM_CHARS_UTF8);
        }
    }
    lm_net_free(&plain);
}
