/* SPDX-License-Identifier: MIT
 * Which bytes of a text are the template's own: see value.h. What messages, tools and variables bring is not, and whatever is not known to be
 * the template's is not either: an operation that this file does not hear of loses trust, and never gives it. Floor 3. */
#include "text/chat/value.h"

#include <string.h>

const lm_trust lm_trust_all = { NULL, NULL, 0, 0 };

/* Of v's own bytes: span i of those that reach into it; false: no more. */
static size_t trust_first(const lm_trust *trust, size_t from)
{
    size_t low = 0, high = trust->n;
    while (low < high) {                /* the first that ends behind `from` */
        size_t middle = low + (high - low) / 2;
        if (trust->at[middle].to <= from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool lm_trust_whole(lm_val v)
{
    size_t from, i;
    if (!v.trust || v.trust == &lm_trust_all || v.len == 0)
        return v.trust == &lm_trust_all;
    from = (size_t)(v.s - v.trust->base);
    i = trust_first(v.trust, from);
    return i < v.trust->n && v.trust->at[i].from <= from && v.trust->at[i].to >= from + v.len;
}

static bool trust_put(lm_jinja *run, lm_text *text, size_t from, size_t to)
{
    lm_trust *trust = text->trust;
    if (!trust && !(trust = text->trust = lm_jinja_new(run, sizeof *trust)))
        return false;
    if (trust->n && trust->at[trust->n - 1].to == from) {
        trust->at[trust->n - 1].to = to;
        return true;
    }
    if (trust->n == trust->cap) {
        size_t cap = trust->cap ? trust->cap * 2 : 2;
        lm_span *at = lm_jinja_new(run, cap * sizeof *at);
        if (!at)
            return false;
        if (trust->n)
            memcpy(at, trust->at, trust->n * sizeof *at);
        trust->at = at;
        trust->cap = cap;
    }
    trust->at[trust->n++] = (lm_span){ from, to };
    return true;
}

bool lm_text_add_val(lm_jinja *run, lm_text *text, lm_val v)
{
    size_t to = text->len, from;
    if (!lm_text_add(run, text, v.s, v.len))
        return false;
    if (!v.trust || v.len == 0)
        return true;
    if (v.trust == &lm_trust_all)
        return trust_put(run, text, to, to + v.len);
    from = (size_t)(v.s - v.trust->base);
    for (size_t i = trust_first(v.trust, from); i < v.trust->n && v.trust->at[i].from < from + v.len; i++) {
        lm_span part = v.trust->at[i];
        part.from = LM_MAX(part.from, from) - from + to;
        part.to = LM_MIN(part.to, from + v.len) - from + to;
        if (!lm_jinja_step(run, 1) || !trust_put(run, text, part.from, part.to))
            return false;
    }
    return true;
}

lm_val lm_text_val(const lm_text *text)
{
    lm_val v = lm_val_str(text->len ? text->ptr : "", text->len);
    if (text->trust) {
        text->trust->base = v.s;
        v.trust = text->trust;
    }
    return v;
}
