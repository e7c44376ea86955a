/* SPDX-License-Identifier: MIT
 * Nets: states, edges, and characters as bytes; the error and the bounds of a compile. Floor 3. */
#include "text/grammar/net.h"

#include "base/utf8.h"

#include <string.h>

enum { NET_MOST_ARENA = LM_BOUND(64 << 20, 8 << 20) };

void lm_compile_fail(lm_compile *c, llm_status status, size_t at, const char *format, ...)
{
    char what[320];
    if (c->status < 0)
        return;
    va_list args;
    va_start(args, format);
    lm_format(what, sizeof what, format, args);
    va_end(args);
    c->status = status;
    if (at == LLM_NUL) {
        lm_fail(c->error, status, "%s", what);
        return;
    }
    size_t line = 1;
    for (size_t i = 0; i < at && i < c->len; i++)
        line += c->text[i] == '\n';
    lm_fail_at(c->error, status, "", 0, at, "line %zu, byte %zu: %s", line, at, what);
}

void *lm_compile_new(lm_compile *c, size_t n, size_t size)
{
    if (c->status < 0)
        return NULL;
    if (n > NET_MOST_ARENA / size || c->taken + n * size > NET_MOST_ARENA) {
        lm_compile_fail(c, LLM_E_LIMIT, LLM_NUL, "the grammar needs more than %d MiB to compile", NET_MOST_ARENA >> 20);
        return NULL;
    }
    void *p = lm_arena_array(&c->arena, n, size);
    if (!p) {
        c->status = lm_fail_memory(c->error, "a grammar", n * size);
        return NULL;
    }
    c->taken += n * size;
    return p;
}

bool lm_compile_work(lm_compile *c, uint32_t n)
{
    if (c->status < 0)
        return false;
    c->work += n;
    if (c->work <= LM_NET_MOST_WORK)
        return true;
    lm_compile_fail(c, LLM_E_LIMIT, LLM_NUL, "the grammar takes more than %d steps to compile", LM_NET_MOST_WORK);
    return false;
}

void lm_net_init(lm_net *net, lm_compile *c)
{
    *net = (lm_net){ .c = c, .n_edges = 1 };
    lm_net_state(net);                                      /* the one that is none */
}

void lm_net_free(lm_net *net)
{
    lm_mem *mem = net->c->arena.mem;
    lm_mem_free(mem, net->edges);
    lm_mem_free(mem, net->heads);
    lm_mem_free(mem, net->rules);
}

/* Room for one more item of an array; the first `least` are there at once. */
static bool net_room(lm_net *net, void **array, uint32_t n, uint32_t *cap, uint32_t most, size_t size, const char *what)
{
    if (net->c->status < 0)
        return false;
    if (n < *cap)
        return true;
    if (n >= most) {
        lm_compile_fail(net->c, LLM_E_LIMIT, LLM_NUL, "the grammar comes to more than %u %s", most, what);
        return false;
    }
    uint32_t more = LM_MIN(LM_MAX(64u, *cap * 2), most);
    void *grown = lm_mem_grow(net->c->arena.mem, *array, more * size, LLM_MEMORY_OTHER);
    if (!grown) {
        net->c->status = lm_fail_memory(net->c->error, "a grammar", more * size);
        return false;
    }
    *array = grown;
    *cap = more;
    return true;
}

uint32_t lm_net_state(lm_net *net)
{
    void *heads = net->heads;
    bool there = net_room(net, &heads, net->n_states, &net->cap_states, LM_NET_MOST_STATES, sizeof *net->heads, "states");
    net->heads = heads;
    if (!there)
        return 0;
    net->heads[net->n_states] = 0;
    return net->n_states++;
}

uint32_t lm_net_rule(lm_net *net, llm_str name, size_t at)
{
    void *rules = net->rules;
    bool there = net_room(net, &rules, net->n_rules, &net->cap_rules, LM_NET_MOST_RULES, sizeof *net->rules, "rules");
    net->rules = rules;
    uint32_t start = lm_net_state(net), end = lm_net_state(net);
    if (!there)
        return 0;
    net->rules[net->n_rules] = (lm_rule){ start, end, at, name };
    return net->n_rules++;
}

void lm_net_edge(lm_net *net, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi)
{
    void *edges = net->edges;
    bool there = net_room(net, &edges, net->n_edges, &net->cap_edges, LM_NET_MOST_EDGES, sizeof *net->edges, "edges");
    net->edges = edges;
    if (!there)
        return;
    net->edges[net->n_edges] = (lm_edge){ to, net->heads[from], lo, hi };
    net->heads[from] = net->n_edges++;
}

void lm_net_text(lm_net *net, uint32_t from, uint32_t to, const char *text, size_t len)
{
    for (size_t i = 0; i < len && net->c->status >= 0; i++) {
        uint32_t next = i + 1 == len ? to : lm_net_state(net);
        lm_net_edge(net, from, next, (unsigned char)text[i], (unsigned char)text[i]);
        from = next;
    }
    if (len == 0)
        lm_net_empty(net, from, to);
}

/* ---- characters as bytes --------------------------------------------------------------------------------------------------- */

/* Bytes that continue a character, any of them. */
static void net_tail(lm_net *net, uint32_t from, uint32_t to, size_t n)
{
    for (; n > 0 && net->c->status >= 0; n--) {
        uint32_t next = n == 1 ? to : lm_net_state(net);
        lm_net_edge(net, from, next, 0x80, 0xbf);
        from = next;
    }
}

static void net_bytes(lm_net *net, uint32_t from, uint32_t to, const unsigned char *lo, const unsigned char *hi, size_t n)
{
    static const unsigned char least[3] = { 0x80, 0x80, 0x80 }, most[3] = { 0xbf, 0xbf, 0xbf };
    if (n == 1) {
        lm_net_edge(net, from, to, lo[0], hi[0]);
        return;
    }
    unsigned first = lo[0], last = hi[0];
    if (first == last) {
        uint32_t next = lm_net_state(net);
        lm_net_edge(net, from, next, first, first);
        net_bytes(net, next, to, lo + 1, hi + 1, n - 1);
        return;
    }
    if (memcmp(lo + 1, least, n - 1) != 0) {
        uint32_t next = lm_net_state(net);
        lm_net_edge(net, from, next, first, first);
        net_bytes(net, next, to, lo + 1, most, n - 1);
        first++;
    }
    if (memcmp(hi + 1, most, n - 1) != 0) {
        uint32_t next = lm_net_state(net);
        lm_net_edge(net, from, next, last, last);
        net_bytes(net, next, to, least, hi + 1, n - 1);
        last--;
    }
    if (first <= last) {
        uint32_t next = lm_net_state(net);
        lm_net_edge(net, from, next, first, last);
        net_tail(net, next, to, n - 1);
    }
}

static void net_utf8(lm_net *net, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi)
{
    static const uint32_t ends[] = { 0x7f, 0x7ff, 0xd7ff, 0xdfff, 0xffff, LM_CHAR_LAST };
    for (size_t i = 0; i < LM_COUNT(ends) && lo <= hi; i++) {
        uint32_t end = LM_MIN(hi, ends[i]);
        if (lo > end)
            continue;
        if (ends[i] != 0xdfff) {                            /* surrogates are no characters */
            char low[4], high[4];
            size_t n = lm_utf8_encode(lo, low);
            lm_utf8_encode(end, high);
            net_bytes(net, from, to, (const unsigned char *)low, (const unsigned char *)high, n);
        }
        lo = end + 1;
    }
}

/* The one way in which a character that must be escaped is. */
static void net_escaped(lm_net *net, uint32_t from, uint32_t to, uint32_t cp)
{
    static const char plain[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
    char text[8];
    const char *known = cp ? strchr(plain, (int)cp) : NULL;
    size_t n = known ? lm_print(text, sizeof text, "\\%c", names[known - plain])
                     : lm_print(text, sizeof text, "\\u00%c%c", cp >> 4 & 1 ? '1' : '0', "0123456789abcdef"[cp & 15]);
    lm_net_text(net, from, to, text, n);
}

void lm_net_chars(lm_net *net, uint32_t from, uint32_t to, uint32_t lo, uint32_t hi, int how)
{
    if (how == LM_CHARS_AS_THEY_ARE) {
        lm_net_edge(net, from, to, lo, hi);
        return;
    }
    if (how == LM_CHARS_UTF8) {
        net_utf8(net, from, to, lo, hi);
        return;
    }
    static const lm_interval plain[] = { { 0x20, 0x21 }, { 0x23, 0x5b }, { 0x5d, LM_CHAR_LAST } };
    for (uint32_t cp = lo; cp <= hi && cp <= '\\'; cp++)
        if (cp < 0x20 || cp == '"' || cp == '\\')
            net_escaped(net, from, to, cp);
    for (size_t i = 0; i < LM_COUNT(plain); i++)
        if (lo <= plain[i].hi && hi >= plain[i].lo)
            net_utf8(net, from, to, LM_MAX(lo, plain[i].lo), LM_MIN(hi, plain[i].hi));
}
