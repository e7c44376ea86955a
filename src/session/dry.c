/* SPDX-License-Identifier: MIT
 * DRY: see dry.h. Read from its newest token backwards, the timeline is a text whose prefix may occur again further on; how far it does
 * at each place is what the Z-algorithm finds in linear time. Lengths count up to LM_DRY_MOST, so that it remembers no more places. */
#include "session/dry.h"

#include "base/fmath.h"

#include <float.h>
#include <string.h>

LM_EXACT_ARITHMETIC

enum { DRY_MAX_BREAKERS = 32, DRY_MAX_BREAKER_BYTES = 40, DRY_MAX_TAIL = 20, DRY_MAX_HEADS = 1 << 20 };
enum { DRY_ALONE = 1, DRY_HEAD = 2 };

typedef struct dry_tail { uint32_t n; llm_token tokens[DRY_MAX_TAIL]; } dry_tail;
typedef struct dry_head { llm_token token; uint32_t tail; } dry_head;

struct lm_breakers {
    uint32_t n_heads;
    dry_tail *tails;                    /* one for each way to cut a breaker in two */
    dry_head *heads;                    /* [n_heads], by rising token */
    unsigned char *kinds;               /* [n_vocab]: DRY_* */
};

/* ---- breakers ------------------------------------------------------------------------------------------------------------ */

typedef struct dry_strings { llm_str at[DRY_MAX_BREAKERS]; uint32_t n; bool single[256]; } dry_strings;

static llm_status dry_check_strings(const llm_str *strings, size_t n, dry_strings *out, llm_error *error)
{
    static const llm_str usual[] = { { "\n", 1 }, { ":", 1 }, { "\"", 1 }, { "*", 1 } };
    if (!strings && n != 0)
        return lm_fail(error, LLM_E_INVALID, "llm_sampler_desc.dry_breakers is NULL, n_dry_breakers is %zu", n);
    if (!strings) {
        strings = usual;
        n = LM_COUNT(usual);
    }
    if (n > DRY_MAX_BREAKERS)
        return lm_fail(error, LLM_E_LIMIT, "llm_sampler_desc.n_dry_breakers is %zu: at most %d", n, DRY_MAX_BREAKERS);
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        llm_str s = strings[i];
        if (s.ptr && s.len == LLM_NUL)
            s.len = strlen(s.ptr);
        if (!s.ptr || s.len == 0)
            return lm_fail(error, LLM_E_INVALID, "llm_sampler_desc.dry_breakers[%zu] is empty", i);
        if (s.len > DRY_MAX_BREAKER_BYTES)
            return lm_fail(error, LLM_E_LIMIT, "llm_sampler_desc.dry_breakers[%zu] has %zu bytes: at most %d", i, s.len, DRY_MAX_BREAKER_BYTES);
        if (s.len == 1)
            out->single[(unsigned char)s.ptr[0]] = true;
        else
            out->at[out->n++] = s;
    }
    return LLM_OK;
}

static bool dry_contains(llm_str text, llm_str part)
{
    for (size_t i = 0; i + part.len <= text.len; i++) {
        const char *found = memchr(text.ptr + i, part.ptr[0], text.len - part.len + 1 - i);
        if (!found)
            return false;
        if (memcmp(found, part.ptr, part.len) == 0)
            return true;
        i = (size_t)(found - text.ptr);
    }
    return false;
}

/* What this token's text is to the breakers. Heads go to *heads if it is not NULL; returns how many there are. */
static uint32_t dry_look_at(const dry_strings *strings, llm_str text, llm_token token, unsigned char *kind, dry_head *heads)
{
    uint32_t n = 0, tail = 0;
    for (size_t i = 0; i < text.len; i++)
        if (strings->single[(unsigned char)text.ptr[i]])
            *kind |= DRY_ALONE;
    for (uint32_t b = 0; b < strings->n; b++) {
        llm_str s = strings->at[b];
        bool whole = dry_contains(text, s);
        if (whole)
            *kind |= DRY_ALONE;
        for (size_t len = 1; len < s.len; len++, tail++) {
            if (whole || len > text.len || memcmp(text.ptr + text.len - len, s.ptr, len) != 0)
                continue;
            *kind |= DRY_HEAD;
            if (heads)
                heads[n] = (dry_head){ token, tail };
            n++;
        }
    }
    return n;
}

static llm_status dry_make_tails(const lm_tokenizer *tokenizer, const dry_strings *strings, dry_tail *tails, llm_error *error)
{
    for (uint32_t b = 0; b < strings->n; b++)
        for (size_t len = 1; len < strings->at[b].len; len++, tails++) {
            llm_token tokens[4 * DRY_MAX_BREAKER_BYTES];
            llm_str rest = { strings->at[b].ptr + len, strings->at[b].len - len };
            size_t n = 0;
            LM_TRY(lm_tokenizer_encode(tokenizer, rest.ptr, rest.len, LLM_ENCODE_CONTINUES, tokens, LM_COUNT(tokens), &n, error));
            tails->n = (uint32_t)LM_MIN(n, (size_t)DRY_MAX_TAIL);
            memcpy(tails->tokens, tokens, tails->n * sizeof *tokens);
        }
    return LLM_OK;
}

llm_status lm_breakers_new(lm_host *host, const lm_tokenizer *tokenizer, const llm_str *strings, size_t n, lm_breakers **out, llm_error *error)
{
    dry_strings checked;
    LM_TRY(dry_check_strings(strings, n, &checked, error));
    if (strings && n == 0) {
        *out = NULL;
        return LLM_OK;
    }
    uint32_t n_vocab = lm_tokenizer_n_vocab(tokenizer), n_tails = 0;
    uint64_t n_heads = 0;
    unsigned char kind = 0;
    for (uint32_t b = 0; b < checked.n; b++)
        n_tails += (uint32_t)checked.at[b].len - 1;
    for (uint32_t t = 0; checked.n != 0 && t < n_vocab; t++)
        n_heads += dry_look_at(&checked, lm_tokenizer_bytes(tokenizer, (llm_token)t, LLM_DECODE_SHOW_SPECIAL), (llm_token)t, &kind, NULL);
    if (n_heads > DRY_MAX_HEADS)
        return lm_fail(error, LLM_E_LIMIT, "llm_sampler_desc.dry_breakers: %llu tokens end as one begins, at most %d are allowed",
                       (unsigned long long)n_heads, DRY_MAX_HEADS);
    size_t bytes = sizeof(lm_breakers) + n_tails * sizeof(dry_tail) + (size_t)n_heads * sizeof(dry_head) + n_vocab;
    lm_breakers *breakers = lm_mem_new(&host->mem, bytes, LLM_MEMORY_OTHER);
    if (!breakers)
        return lm_fail_memory(error, "a sampler's breakers", bytes);
    breakers->n_heads = (uint32_t)n_heads;
    breakers->tails = (dry_tail *)(void *)(breakers + 1);
    breakers->heads = (dry_head *)(void *)(breakers->tails + n_tails);
    breakers->kinds = (unsigned char *)(breakers->heads + n_heads);
    llm_status status = dry_make_tails(tokenizer, &checked, breakers->tails, error);
    if (status < 0) {
        lm_mem_free(&host->mem, breakers);
        return status;
    }
    dry_head *next = breakers->heads;
    for (uint32_t t = 0; t < n_vocab; t++)
        next += dry_look_at(&checked, lm_tokenizer_bytes(tokenizer, (llm_token)t, LLM_DECODE_SHOW_SPECIAL), (llm_token)t, &breakers->kinds[t], next);
    *out = breakers;
    return LLM_OK;
}

/* ---- the penalty --------------------------------------------------------------------------------------------------------- */

/* The i-th token from the end. */
static inline llm_token dry_at(const llm_token *end, size_t i)
{
    return end[-1 - (ptrdiff_t)i];
}

/* How long a breaker's tail is that follows its head at place i; -1: none is there. */
static int32_t dry_breaker_at(const lm_breakers *breakers, const llm_token *end, size_t i)
{
    llm_token token = dry_at(end, i);
    int32_t longest = breakers->kinds[token] & DRY_ALONE ? 0 : -1;
    if (!(breakers->kinds[token] & DRY_HEAD))
        return longest;
    uint32_t low = 0, high = breakers->n_heads;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (breakers->heads[middle].token < token)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < breakers->n_heads && breakers->heads[low].token == token; low++) {
        const dry_tail *tail = &breakers->tails[breakers->heads[low].tail];
        uint32_t same = 0;
        if ((int32_t)tail->n <= longest || tail->n > i)
            continue;
        while (same < tail->n && tail->tokens[same] == dry_at(end, i - 1 - same))
            same++;
        if (same == tail->n)
            longest = (int32_t)tail->n;
    }
    return longest;
}

/* No repetition reaches beyond the newest breaker. */
static size_t dry_limit(const lm_breakers *breakers, const llm_token *end, size_t n)
{
    for (size_t i = 0; breakers && i < n; i++) {
        int32_t tail = dry_breaker_at(breakers, end, i);
        if (tail >= 0)
            return i - (size_t)tail;
    }
    return n;
}

/* counts[token] = the longest repetition that the token would carry on, if it is long enough. */
static void dry_find(const llm_token *end, size_t n, uint32_t allowed, uint32_t most, uint32_t *lengths, uint32_t *counts)
{
    size_t left = 0, right = 0;                             /* places [left, right) are as [0, right - left) */
    for (size_t k = 1; k < n; k++) {
        uint32_t length = 0;
        if (k < right)
            length = LM_MIN(lengths[k - left], (uint32_t)(right - k));
        while (length < most && k + length < n && dry_at(end, length) == dry_at(end, k + length))
            length++;
        if (k + length > right) {
            left = k;
            right = k + length;
        }
        if (k < most)
            lengths[k] = length;
        if (length >= allowed) {
            uint32_t *count = &counts[dry_at(end, k - 1)];
            *count = LM_MAX(*count, length);
        }
    }
}

void lm_dry_penalize(const lm_dry *dry, const llm_token *tokens, size_t n_tokens, lm_room *room)
{
    size_t n = dry->last_n > 0 ? LM_MIN((size_t)dry->last_n, n_tokens) : n_tokens;
    if (n <= dry->allowed)
        return;
    const llm_token *end = tokens + n_tokens;
    size_t limit = dry_limit(dry->breakers, end, n);
    if (limit < dry->allowed)
        return;
    dry_find(end, n, dry->allowed, (uint32_t)LM_MIN(limit, (size_t)LM_DRY_MOST), room->lengths, room->counts);
    double most = dry->base > 1.000001 ? 88.7228391 / lm_log64(dry->base) : LM_DRY_MOST;    /* base^more would be no float */
    for (size_t k = 1; k < n; k++) {
        llm_token token = dry_at(end, k - 1);
        uint32_t length = room->counts[token], over = length - dry->allowed;
        if (length == 0)                                    /* none, or done at an earlier place */
            continue;
        room->counts[token] = 0;
        if (dry->breakers && dry->breakers->kinds[token] & DRY_ALONE)
            continue;
        if (over > most)
            over = (uint32_t)most;
        double logit = (double)room->logits[token] - dry->multiplier * lm_pow64(dry->base, over);
        if (room->logits[token] != -INFINITY)
            room->logits[token] = logit < -(double)FLT_MAX ? -FLT_MAX : (float)logit;
    }
}
