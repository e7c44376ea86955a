/* SPDX-License-Identifier: MIT
 * GBNF, llama.cpp's form of grammars: rules of literals, classes, groups and repetitions over characters. Two passes: names of rules, then
 * what stands in them. Token items (<...>) are refused: an automaton runs over bytes. Floor 3. */
#include "text/grammar/net.h"

#include "base/str.h"
#include "base/utf8.h"

#include <string.h>

enum { GBNF_MOST_REPEAT = 65536 };

typedef struct gbnf_reader { lm_compile *c; lm_net *net; const char *start, *at, *end; uint32_t depth; } gbnf_reader;

LM_PRINTF(3, 4) static lm_expr *gbnf_fail(gbnf_reader *r, llm_status status, const char *format, ...)
{
    char what[160];
    va_list args;
    va_start(args, format);
    lm_format(what, sizeof what, format, args);
    va_end(args);
    lm_compile_fail(r->c, status, (size_t)(r->at - r->start), "%s", what);
    return NULL;
}

static bool gbnf_sees(const gbnf_reader *r, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(r->end - r->at) >= n && memcmp(r->at, text, n) == 0;
}

static bool gbnf_takes(gbnf_reader *r, const char *text)
{
    bool there = gbnf_sees(r, text);
    r->at += there ? strlen(text) : 0;
    return there;
}

static void gbnf_space(gbnf_reader *r, bool lines)
{
    for (; r->at < r->end; r->at++) {
        if (*r->at == '#')
            while (r->at + 1 < r->end && r->at[1] != '\n' && r->at[1] != '\r')
                r->at++;
        else if (*r->at != ' ' && *r->at != '\t' && !(lines && (*r->at == '\n' || *r->at == '\r')))
            return;
    }
}

static llm_str gbnf_name(gbnf_reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && ((*r->at >= '0' && *r->at <= '9') || ((*r->at | 32) >= 'a' && (*r->at | 32) <= 'z') || *r->at == '-' || *r->at == '_'))
        r->at++;
    return (llm_str){ from, (size_t)(r->at - from) };
}

/* A rule by name; made if `define`, else UINT32_MAX where there is none. Names are looked through one after the other: that is work. */
static uint32_t gbnf_rule(gbnf_reader *r, llm_str name, bool define)
{
    lm_net *net = r->net;
    for (uint32_t i = 0; i < net->n_rules; i++)
        if (lm_str_same(net->rules[i].name, name))
            return i;
    lm_compile_work(r->c, net->n_rules / 4 + 1);
    return define ? lm_net_rule(net, name, (size_t)(name.ptr - r->start)) : UINT32_MAX;
}

/* One character of a literal or class, escapes undone. */
static bool gbnf_char(gbnf_reader *r, uint32_t *cp)
{
    static const char names[] = "nrt\\\"[]", values[] = "\n\r\t\\\"[]";
    if (!gbnf_takes(r, "\\")) {
        size_t n = lm_utf8_decode(r->at, (size_t)(r->end - r->at), false, cp);
        if (*cp == 0xfffd && !gbnf_sees(r, "\xef\xbf\xbd"))
            return gbnf_fail(r, LLM_E_FORMAT, "this is not UTF-8") != NULL;
        r->at += n;
        return true;
    }
    char c = r->at < r->end ? *r->at++ : 0;
    const char *name = c ? strchr(names, c) : NULL;
    if (name) {
        *cp = (unsigned char)values[name - names];
        return true;
    }
    int n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n == 0)
        return gbnf_fail(r, LLM_E_FORMAT, "unknown escape: expected \\n \\r \\t \\\\ \\\" \\[ \\] \\xHH \\uHHHH or \\UHHHHHHHH") != NULL;
    for (*cp = 0; n > 0; n--, r->at++) {
        char d = r->at < r->end ? *r->at : 0;
        uint32_t v = d >= '0' && d <= '9' ? (uint32_t)(d - '0') : (d | 32) >= 'a' && (d | 32) <= 'f' ? (uint32_t)((d | 32) - 'a') + 10 : 16;
        if (v == 16 || *cp > LM_CHAR_LAST >> 4)
            return gbnf_fail(r, LLM_E_FORMAT, "expected hexadecimal digits of a character up to 10FFFF") != NULL;
        *cp = *cp * 16 + v;
    }
    if (*cp >= 0xd800 && *cp < 0xe000)
        return gbnf_fail(r, LLM_E_FORMAT, "half of a surrogate pair is no character") != NULL;
    return true;
}

static lm_expr *gbnf_literal(gbnf_reader *r)                     /* behind " */
{
    lm_expr *sequence = lm_expr_new(r->c, LM_EXPR_SEQ);
    while (r->c->status >= 0 && !gbnf_takes(r, "\"")) {
        uint32_t cp = 0;
        if (r->at == r->end || *r->at == '\n')
            return gbnf_fail(r, LLM_E_FORMAT, "this literal has no end: expected \"");
        lm_expr *set = lm_expr_new(r->c, LM_EXPR_SET);
        if (!set || !gbnf_char(r, &cp))
            return NULL;
        lm_set_add(r->c, &set->set, cp, cp);
        lm_expr_add(sequence, set);
    }
    return sequence;
}

static lm_expr *gbnf_class(gbnf_reader *r)                       /* behind [ */
{
    lm_expr *expr = lm_expr_new(r->c, LM_EXPR_SET);
    bool negated = gbnf_takes(r, "^");
    while (expr && r->c->status >= 0 && !gbnf_takes(r, "]")) {
        uint32_t lo = 0, hi;
        if (r->at == r->end)
            return gbnf_fail(r, LLM_E_FORMAT, "this class has no end: expected ]");
        if (!gbnf_char(r, &lo))
            return NULL;
        hi = lo;
        if (gbnf_sees(r, "-") && r->end - r->at >= 2 && r->at[1] != ']') {
            r->at++;
            if (!gbnf_char(r, &hi))
                return NULL;
            if (hi < lo)
                return gbnf_fail(r, LLM_E_FORMAT, "this range does not rise");
        }
        lm_set_add(r->c, &expr->set, lo, hi);
    }
    if (expr)
        lm_set_settle(r->c, &expr->set, negated);
    return expr;
}

static lm_expr *gbnf_alternatives(gbnf_reader *r, bool lines);

static lm_expr *gbnf_item(gbnf_reader *r)
{
    if (gbnf_takes(r, "\""))
        return gbnf_literal(r);
    if (gbnf_takes(r, "["))
        return gbnf_class(r);
    if (gbnf_takes(r, ".")) {
        lm_expr *any = lm_expr_new(r->c, LM_EXPR_SET);
        if (any)
            lm_set_add(r->c, &any->set, 0, LM_CHAR_LAST);
        return any;
    }
    if (gbnf_takes(r, "(")) {
        if (++r->depth > LM_NET_MOST_DEPTH)
            return gbnf_fail(r, LLM_E_LIMIT, "more than %d groups within one another", LM_NET_MOST_DEPTH);
        lm_expr *group = gbnf_alternatives(r, true);
        r->depth--;
        gbnf_space(r, true);
        return !group || gbnf_takes(r, ")") ? group : gbnf_fail(r, LLM_E_FORMAT, "expected )");
    }
    if (gbnf_sees(r, "<") || gbnf_sees(r, "!"))
        return gbnf_fail(r, LLM_E_UNSUPPORTED, "items that are tokens, <...>, are not supported");
    const char *from = r->at;
    llm_str name = gbnf_name(r);
    if (name.len == 0)
        return NULL;
    lm_expr *call = lm_expr_new(r->c, LM_EXPR_CALL);
    if (!call)
        return NULL;
    call->rule = gbnf_rule(r, name, false);
    r->at = call->rule == UINT32_MAX ? from : r->at;
    return call->rule != UINT32_MAX ? call : gbnf_fail(r, LLM_E_FORMAT, "there is no rule %.*s", (int)LM_MIN(name.len, (size_t)80), name.ptr);
}

static uint32_t gbnf_count(gbnf_reader *r)
{
    uint32_t n = 0;
    if (r->at == r->end || *r->at < '0' || *r->at > '9')
        gbnf_fail(r, LLM_E_FORMAT, "expected {m}, {m,} or {m,n}");
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        if ((n = n * 10 + (uint32_t)(*r->at - '0')) > GBNF_MOST_REPEAT) {
            gbnf_fail(r, LLM_E_LIMIT, "a count above %d", GBNF_MOST_REPEAT);
            return 0;
        }
    return n;
}

static lm_expr *gbnf_repeated(gbnf_reader *r, lm_expr *item)
{
    uint32_t min = 0, max = LM_REPEAT_FOREVER;
    if (gbnf_takes(r, "*"))
        ;
    else if (gbnf_takes(r, "+"))
        min = 1;
    else if (gbnf_takes(r, "?"))
        max = 1;
    else if (gbnf_takes(r, "{")) {
        gbnf_space(r, false);
        max = min = gbnf_count(r);
        gbnf_space(r, false);
        if (gbnf_takes(r, ",")) {
            gbnf_space(r, false);
            max = gbnf_sees(r, "}") ? LM_REPEAT_FOREVER : gbnf_count(r);
            gbnf_space(r, false);
        }
        if (r->c->status >= 0 && (!gbnf_takes(r, "}") || max < min))
            return gbnf_fail(r, LLM_E_FORMAT, "expected {m}, {m,} or {m,n} with n at least m");
    } else {
        return item;
    }
    lm_expr *repeat = lm_expr_new(r->c, LM_EXPR_REPEAT);
    if (repeat) {
        repeat->min = min;
        repeat->max = max;
        lm_expr_add(repeat, item);
    }
    return repeat;
}

static lm_expr *gbnf_sequence(gbnf_reader *r, bool lines)
{
    lm_expr *sequence = lm_expr_new(r->c, LM_EXPR_SEQ);
    while (r->c->status >= 0) {
        gbnf_space(r, lines);
        lm_expr *item = gbnf_item(r);
        if (!item)
            break;
        for (const char *from = NULL; item && r->c->status >= 0 && from != r->at;) {     /* a** is (a*)* */
            gbnf_space(r, lines);
            from = r->at;
            item = gbnf_repeated(r, item);
            if (from != r->at && ++r->depth > LM_NET_MOST_DEPTH)
                return gbnf_fail(r, LLM_E_LIMIT, "more than %d repetitions within one another", LM_NET_MOST_DEPTH);
        }
        lm_expr_add(sequence, item);
    }
    return r->c->status >= 0 ? sequence : NULL;
}

static lm_expr *gbnf_alternatives(gbnf_reader *r, bool lines)
{
    lm_expr *all = lm_expr_new(r->c, LM_EXPR_ALT);
    uint32_t depth = r->depth;
    for (;;) {
        lm_expr_add(all, gbnf_sequence(r, lines));
        r->depth = depth;
        if (r->c->status < 0)
            return NULL;
        if (!gbnf_takes(r, "|"))
            return all;
        gbnf_space(r, true);
    }
}

/* To behind the next rule's "::=": its name. An item that is followed by ::= on a new line begins a rule. */
static bool gbnf_header(gbnf_reader *r, llm_str *name)
{
    gbnf_space(r, true);
    if (r->at == r->end)
        return false;
    *name = gbnf_name(r);
    gbnf_space(r, false);
    if (name->len == 0 || !gbnf_takes(r, "::="))
        return gbnf_fail(r, LLM_E_FORMAT, "expected a rule: name ::= ...") != NULL;
    gbnf_space(r, true);
    return true;
}

/* Passes over what stands in quotes and classes, to the next line that begins a rule. */
static void gbnf_find_rules(gbnf_reader *r)
{
    const char *start = r->at;
    llm_str name;
    while (r->at < r->end) {
        char c = *r->at;
        if (c == '"' || c == '[') {
            char end = c == '[' ? ']' : '"';
            for (r->at++; r->at < r->end && *r->at != end && !(c == '"' && *r->at == '\n'); r->at++)
                if (*r->at == '\\' && r->at + 1 < r->end)
                    r->at++;
            r->at += r->at < r->end;
            continue;
        }
        gbnf_space(r, true);
        const char *from = r->at;
        name = gbnf_name(r);
        if (name.len) {
            gbnf_space(r, false);
            if (gbnf_sees(r, "::="))
                gbnf_rule(r, name, true);
        } else if (r->at == from && r->at < r->end && *r->at != '"' && *r->at != '[') {
            r->at++;
        }
        if (r->c->status < 0)
            return;
    }
    r->at = start;
}

void lm_gbnf_build(lm_net *net, const char *text, size_t len)
{
    gbnf_reader r = { net->c, net, text, text, text + len, 0 };
    llm_str name;
    gbnf_rule(&r, (llm_str){ "root", 4 }, true);
    if (net->c->status < 0)
        return;
    net->rules[0].at = LLM_NUL;
    gbnf_find_rules(&r);
    uint8_t *seen = lm_compile_new(net->c, net->n_rules + 1, 1);
    while (net->c->status >= 0 && gbnf_header(&r, &name)) {
        uint32_t rule = gbnf_rule(&r, name, false);
        lm_expr *body = gbnf_alternatives(&r, false);
        gbnf_space(&r, false);
        if (net->c->status >= 0 && r.at < r.end && *r.at != '\n' && *r.at != '\r')
            gbnf_fail(&r, LLM_E_FORMAT, "expected the end of rule %.*s", (int)LM_MIN(name.len, (size_t)80), name.ptr);
        if (!body || net->c->status < 0 || rule == UINT32_MAX)
            return;
        if (seen[rule]++)
            lm_compile_fail(net->c, LLM_E_FORMAT, (size_t)(name.ptr - text), "rule %.*s stands here for the second time", (int)LM_MIN(name.len, (size_t)80), name.ptr);
        net->rules[rule].at = (size_t)(name.ptr - text);
        lm_expr_build(net, body, net->rules[rule].start, net->rules[rule].end, LM_CHARS_UTF8);
    }
    if (net->c->status >= 0 && net->rules[0].at == LLM_NUL)
        lm_compile_fail(net->c, LLM_E_FORMAT, 0, "there is no rule root");
}
