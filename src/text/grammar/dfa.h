/* SPDX-License-Identifier: MIT
 * Deterministic automata over characters, for what a JSON schema says of strings, names and numbers: sets of texts that can be joined, cut
 * and turned round. Private to text/grammar. Floor 3. */
#ifndef LM_TEXT_GRAMMAR_DFA_H
#define LM_TEXT_GRAMMAR_DFA_H

#include "text/grammar/net.h"

enum { LM_DFA_MOST_STATES = 16384, LM_DFA_MOST_CELLS = 1 << 20 };

/* Complete: every state has a successor for every class. Class i is the characters [cuts[i], cuts[i + 1]), the last one to the end. */
typedef struct lm_dfa {
    uint32_t n_states, n_classes, start;
    uint32_t *cuts, *next;              /* next [n_states][n_classes] */
    uint8_t *accept;
} lm_dfa;

enum { LM_DFA_AND, LM_DFA_BUT_NOT, LM_DFA_OR };

/* All NULL: failed. Arguments may be NULL too: failed before. */
lm_dfa *lm_dfa_of_pattern(lm_compile *c, const char *text, size_t len, bool anywhere);   /* anywhere: some part of the text matches */
lm_dfa *lm_dfa_of_text(lm_compile *c, const char *text, size_t len);
lm_dfa *lm_dfa_of_length(lm_compile *c, uint32_t min, uint32_t max /* UINT32_MAX: none */);
lm_dfa *lm_dfa_join(lm_compile *c, const lm_dfa *a, const lm_dfa *b, int how);
bool lm_dfa_has(const lm_dfa *dfa, const char *text, size_t len);
bool lm_dfa_is_empty(lm_compile *c, const lm_dfa *dfa);
/* any: of how == LM_CHARS_JSON, a rule for any character, in all its ways to be written; UINT32_MAX: none. */
void lm_dfa_build(lm_net *net, const lm_dfa *dfa, uint32_t from, uint32_t to, int how, uint32_t any);

/* ---- decimal.c: numbers as they are written: -12.5, no exponent ---- */

/* 0.d1d2d3... x 10^point, no zeros at either end; zero has no digits and is not negative. */
typedef struct lm_decimal { bool negative; const char *digits; uint32_t n; int32_t point; } lm_decimal;
bool lm_decimal_read(lm_compile *c, llm_str number, lm_decimal *out);   /* a JSON number; LIMIT: too long for us */
bool lm_decimal_is_whole(const lm_decimal *d);
/* Numbers that compare so: bits. */
enum { LM_IS_LESS = 1, LM_IS_EQUAL = 2, LM_IS_MORE = 4 };
lm_dfa *lm_decimal_compare(lm_compile *c, const lm_decimal *bound, uint32_t accepted);
lm_dfa *lm_decimal_multiple(lm_compile *c, const lm_decimal *of);
/* The shortest way to write it. */
llm_str lm_decimal_text(lm_compile *c, const lm_decimal *d);

#endif
