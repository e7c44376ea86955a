/* SPDX-License-Identifier: MIT
 * Numbers by their digits, exact at any length: bounds and multiples as automata over what is written. Floor 3. */
#include "text/grammar/dfa.h"

#include <string.h>

enum { DECIMAL_MOST = 512 };

/* '-' '.' '/' lie beside one another, then the digits: classes by these cuts. */
enum { DECIMAL_MINUS = 1, DECIMAL_POINT = 2, DECIMAL_DIGIT = 4, DECIMAL_CLASSES = 15 };

bool lm_decimal_read(lm_compile *c, llm_str number, lm_decimal *out)
{
    const char *at = number.ptr, *end = at + number.len;
    char *digits = lm_compile_new(c, number.len + 1, 1);
    int64_t exponent = 0;
    int32_t point = 0;
    uint32_t n = 0;
    bool behind = false, negative = *at == '-';
    if (!digits)
        return false;
    for (at += negative; at < end && (*at | 32) != 'e'; at++) {
        if (*at == '.')
            behind = true;
        else if (n != 0 || *at != '0') {
            digits[n++] = *at;
            point += !behind;
        } else
            point -= behind;
    }
    if (at < end) {
        bool down = at[1] == '-';
        for (at += 1 + (at[1] == '-' || at[1] == '+'); at < end; at++)
            exponent = LM_MIN(exponent * 10 + (*at - '0'), (int64_t)1000000);
        exponent = down ? -exponent : exponent;
    }
    while (n > 0 && digits[n - 1] == '0')
        n--;
    *out = (lm_decimal){ n != 0 && negative, digits, n, n ? (int32_t)LM_MAX(LM_MIN(point + exponent, (int64_t)1000000), (int64_t)-1000000) : 0 };
    if (n <= DECIMAL_MOST && out->point <= DECIMAL_MOST && out->point >= -DECIMAL_MOST)
        return true;
    lm_compile_fail(c, LLM_E_LIMIT, LLM_NUL, "the number %.*s has more than %d digits when it is written out", (int)LM_MIN(number.len, (size_t)40), number.ptr, DECIMAL_MOST);
    return false;
}

bool lm_decimal_is_whole(const lm_decimal *d)
{
    return d->point >= (int32_t)d->n || d->n == 0;
}

/* Digits before the point (at least one) and behind it. */
static uint32_t decimal_before(const lm_decimal *d) { return d->point > 0 ? (uint32_t)d->point : 1; }
static uint32_t decimal_behind(const lm_decimal *d) { return (int32_t)d->n > d->point ? (uint32_t)((int32_t)d->n - d->point) : 0; }
/* The digit at place i: 0 is the first before the point. */
static uint32_t decimal_digit(const lm_decimal *d, uint32_t i)
{
    int32_t at = (int32_t)i - (d->point > 0 ? 0 : 1 - d->point);
    return at >= 0 && at < (int32_t)d->n ? (uint32_t)(d->digits[at] - '0') : 0;
}

llm_str lm_decimal_text(lm_compile *c, const lm_decimal *d)
{
    uint32_t before = decimal_before(d), behind = decimal_behind(d);
    char *text = lm_compile_new(c, before + behind + 3, 1);
    size_t n = 0;
    if (!text)
        return (llm_str){ "", 0 };
    if (d->negative)
        text[n++] = '-';
    for (uint32_t i = 0; i < before + behind; i++) {
        if (i == before)
            text[n++] = '.';
        text[n++] = (char)('0' + decimal_digit(d, i));
    }
    return (llm_str){ text, n };
}

/* A table whose state 0 is dead. */
static lm_dfa *decimal_table(lm_compile *c, uint32_t n_states)
{
    lm_dfa *dfa = lm_compile_new(c, 1, sizeof *dfa);
    if (n_states > LM_DFA_MOST_STATES) {
        lm_compile_fail(c, LLM_E_LIMIT, LLM_NUL, "a number's automaton would have more than %d states", LM_DFA_MOST_STATES);
        return NULL;
    }
    if (dfa)
        *dfa = (lm_dfa){ n_states, DECIMAL_CLASSES, 1, lm_compile_new(c, DECIMAL_CLASSES, sizeof *dfa->cuts),
                         lm_compile_new(c, (size_t)n_states * DECIMAL_CLASSES, sizeof *dfa->next), lm_compile_new(c, n_states, 1) };
    if (c->status < 0)
        return NULL;
    for (uint32_t i = 1; i < DECIMAL_CLASSES; i++)
        dfa->cuts[i] = '-' + i - 1;                         /* - . / 0 ... 9 : */
    return dfa;
}

/* Of two magnitudes the number's, less, equal or more so far: 0, 1, 2. */
static uint32_t decimal_step(uint32_t so_far, uint32_t digit, uint32_t bound)
{
    return so_far != 1 ? so_far : digit < bound ? 0 : digit > bound ? 2 : 1;
}

/* States: 1 the beginning; then for either sign, before the point (digits read, relation) and behind it. Longer than the bound: k = before + 1. */
lm_dfa *lm_decimal_compare(lm_compile *c, const lm_decimal *bound, uint32_t accepted)
{
    uint32_t before = decimal_before(bound), behind = decimal_behind(bound), ints = (before + 2) * 3, fracs = (behind + 2) * 3;
    lm_dfa *dfa = decimal_table(c, 2 + 2 * (ints + fracs));
    if (!dfa)
        return NULL;
    bool zero = bound->n == 0;
    for (uint32_t minus = 0; minus < 2; minus++) {
        uint32_t base = 2 + minus * (ints + fracs);
        for (uint32_t k = 0; k <= before + 1; k++)
            for (uint32_t rel = 0; rel < 3; rel++) {
                uint32_t *row = dfa->next + (size_t)(base + k * 3 + rel) * DECIMAL_CLASSES;
                uint32_t size = k < before ? 0 : k > before ? 2 : rel;      /* of the whole part */
                for (uint32_t d = 0; d < 10; d++) {
                    uint32_t then = k < before ? decimal_step(rel, d, decimal_digit(bound, k)) : rel;
                    row[DECIMAL_DIGIT + d] = base + LM_MIN(k + 1, before + 1) * 3 + then;
                }
                if (k != 0)
                    row[DECIMAL_POINT] = base + ints + size;
            }
        for (uint32_t j = 0; j <= behind + 1; j++)
            for (uint32_t rel = 0; rel < 3; rel++)
                for (uint32_t d = 0; d < 10; d++)
                    dfa->next[(size_t)(base + ints + j * 3 + rel) * DECIMAL_CLASSES + DECIMAL_DIGIT + d] =
                        base + ints + LM_MIN(j + 1, behind + 1) * 3 + decimal_step(rel, d, j < behind ? decimal_digit(bound, before + j) : 0);
        for (uint32_t i = 0; i < ints + fracs; i++) {
            uint32_t rel = i % 3, k = i < ints ? i / 3 : (i - ints) / 3;
            if (i < ints)
                rel = k < before ? 0 : k > before ? 2 : rel;
            if (rel == 1 && (i < ints ? behind != 0 : k < behind))          /* digits of the bound are left, the last is no 0 */
                rel = 0;
            /* The numbers themselves: of other signs, of both negative, of both positive. */
            uint32_t is = minus && !bound->negative && !zero ? LM_IS_LESS : !minus && bound->negative ? LM_IS_MORE
                          : rel == 1 ? LM_IS_EQUAL : (rel == 2) != minus ? LM_IS_MORE : LM_IS_LESS;
            dfa->accept[base + i] = (accepted & is) != 0 && !(i < ints && k == 0);
        }
    }
    uint32_t *row = dfa->next + DECIMAL_CLASSES;
    row[DECIMAL_MINUS] = 2 + ints + fracs + 1;
    memcpy(row + DECIMAL_DIGIT, dfa->next + (size_t)(2 + 1) * DECIMAL_CLASSES + DECIMAL_DIGIT, 10 * sizeof *row);
    return dfa;
}

/* States: 1 the beginning, 2 behind a minus; the remainder before the point; behind it, after j digits. */
lm_dfa *lm_decimal_multiple(lm_compile *c, const lm_decimal *of)
{
    uint32_t scale = decimal_behind(of), n = decimal_before(of) + scale, m = 0;     /* a multiple of m units of 10^-scale */
    for (uint32_t i = 0; i < n && m < LM_DFA_MOST_STATES; i++)
        m = m * 10 + decimal_digit(of, i);
    if (m == 0 || (uint64_t)m * (scale + 2) + 3 > LM_DFA_MOST_STATES) {
        lm_compile_fail(c, LLM_E_LIMIT, LLM_NUL, "multipleOf %.*s needs an automaton of more than %d states", (int)LM_MIN(of->n, 40u), of->digits, LM_DFA_MOST_STATES);
        return NULL;
    }
    lm_dfa *dfa = decimal_table(c, 3 + m * (scale + 2));
    if (!dfa)
        return NULL;
    for (uint32_t j = 0; j < scale + 2; j++)                /* 0: before the point; j: j - 1 digits behind it */
        for (uint32_t rest = 0; rest < m; rest++) {
            uint32_t state = 3 + j * m + rest, whole = rest;
            uint32_t *row = dfa->next + (size_t)state * DECIMAL_CLASSES;
            for (uint32_t d = 0; d < 10; d++)
                if (j <= scale)
                    row[DECIMAL_DIGIT + d] = 3 + (j ? j + 1 : 0) * m + (uint32_t)(((uint64_t)rest * 10 + d) % m);
                else if (d == 0)
                    row[DECIMAL_DIGIT] = state;
            if (j == 0)
                row[DECIMAL_POINT] = 3 + m + rest;
            for (uint32_t i = j ? j - 1 : 0; i < scale; i++)
                whole = (uint32_t)((uint64_t)whole * 10 % m);
            dfa->accept[state] = whole == 0;
        }
    for (uint32_t i = 1; i <= 2; i++)
        memcpy(dfa->next + i * (size_t)DECIMAL_CLASSES + DECIMAL_DIGIT, dfa->next + (size_t)3 * DECIMAL_CLASSES + DECIMAL_DIGIT, 10 * sizeof(uint32_t));
    dfa->next[DECIMAL_CLASSES + DECIMAL_MINUS] = 2;
    return dfa;
}
