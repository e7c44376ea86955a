/* SPDX-License-Identifier: MIT
 * Which bytes of a text are the template's own: see value.h. What messages, tools and variables bring is not, and whatever is not known to be
 * the template's is not either: an operation that this file does not hear of loses trust, and never gives it. Floor 3. */
#include "text/chat/value.h"

#include <string.h>

/* Of spans that rise: the first that ends behind `from`. */
static size_t trust_first(const lm_trust *trust, size_t from)
{
    size_t low = 0, high = trust->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (trust->at[middle].to <= from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool lm_trust_whole(const lm_jinja *run, lm_val v)
{
    const lm_trust *trust;
    size_t from, i;
    if (v.trust < LM_TRUST_FIRST || v.len == 0)
        return v.trust == LM_TRUST_ALL;
    trust = run->trusts[v.trust - LM_TRUST_FIRST];
    from = (size_t)(v.s - trust->base);
    i = trust_first(trust, from);
    return i < trust->n && trust->at[i].from <= from && trust->at[i].to >= from + v.len;
}

/* Puts an array that is full into one of twice the size. */
static void *trust_grow(lm_jinja *run, const void *old, size_t n, size_t *cap, size_t size)
{
    void *at;
    *cap = n ? n * 2 : 2;
    at = lm_jinja_new(run, *cap * size);
    if (at && n)
        memcpy(at, old, n * size);
    return at;
}

static bool trust_put(lm_jinja *run, lm_trust *trust, size_t from, size_t to)
{
    if (trust->n && trust->at[trust->n - 1].to == from) {
        trust->at[trust->n - 1].to = to;
        return true;
    }
    if (trust->n == trust->cap) {
        lm_span *at = trust_grow(run, trust->at, trust->n, &trust->cap, sizeof *at);
        if (!at)
            return false;
        trust->at = at;
    }
    trust->at[trust->n++] = (lm_span){ from, to };
    return true;
}

/* The text is no longer the template's alone: it gets spans of its own. */
static bool trust_begin(lm_jinja *run, lm_text *text)
{
    lm_trust *trust = lm_jinja_new(run, sizeof *trust);
    if (!trust || (text->own && !trust_put(run, trust, 0, text->own)))
        return false;
    if (run->n_trusts == LM_TRUST_END - LM_TRUST_FIRST)
        return lm_jinja_fail(run, LLM_E_LIMIT, "more than %d texts of its own and of others", run->n_trusts);
    if (run->n_trusts == run->cap_trusts) {
        size_t cap;
        lm_trust **at = trust_grow(run, run->trusts, run->n_trusts, &cap, sizeof *at);
        if (!at)
            return false;
        run->trusts = at;
        run->cap_trusts = (uint32_t)cap;
    }
    text->trust = trust;
    text->id = LM_TRUST_FIRST + run->n_trusts;
    run->trusts[run->n_trusts++] = trust;
    return true;
}

bool lm_trust_break(lm_jinja *run, lm_text *text) { return text->own == 0 || text->trust || trust_begin(run, text); }

bool lm_text_add_val(lm_jinja *run, lm_text *text, lm_val v)
{
    const lm_trust *trust;
    size_t to = text->len, from;
    bool whole = lm_trust_whole(run, v);
    if (whole && !text->trust && text->own == to) {         /* the template's alone so far, and now */
        text->own = 0;
        if (!lm_text_add(run, text, v.s, v.len))
            return false;
        text->own = text->len;
        return true;
    }
    if (v.trust != LM_TRUST_NONE && v.len && !text->trust && !trust_begin(run, text))
        return false;
    if (!lm_text_add(run, text, v.s, v.len))
        return false;
    if (whole)
        return v.len == 0 || trust_put(run, text->trust, to, to + v.len);
    if (v.trust == LM_TRUST_NONE || v.len == 0)
        return true;
    trust = run->trusts[v.trust - LM_TRUST_FIRST];
    from = (size_t)(v.s - trust->base);
    for (size_t i = trust_first(trust, from); i < trust->n && trust->at[i].from < from + v.len; i++) {
        lm_span part = trust->at[i];
        part.from = LM_MAX(part.from, from) - from + to;
        part.to = LM_MIN(part.to, from + v.len) - from + to;
        if (!lm_jinja_step(run, 1) || !trust_put(run, text->trust, part.from, part.to))
            return false;
    }
    return true;
}

lm_val lm_text_val(const lm_text *text)
{
    lm_val v = lm_val_str(text->len ? text->ptr : "", text->len);
    if (text->trust) {
        text->trust->base = v.s;
        v.trust = text->id;
    } else if (text->own) {
        v.trust = LM_TRUST_ALL;
    }
    return v;
}
