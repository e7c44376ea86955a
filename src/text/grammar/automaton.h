/* SPDX-License-Identifier: MIT
 * What an automaton is made of: for automaton.c and matcher.c alone. Floor 3. */
#ifndef LM_TEXT_GRAMMAR_AUTOMATON_H
#define LM_TEXT_GRAMMAR_AUTOMATON_H

#include "text/grammar/grammar.h"

/* States of rules, each rule with its own. A move goes over bytes lo to hi; or over nothing; or calls: to the called rule's start, with `to` the
 * state to come back to, 0 if there is nothing left to do there (a call in last place needs no stack). */
enum { LM_MOVE_BYTES, LM_MOVE_EMPTY, LM_MOVE_CALL };
typedef struct lm_move { uint32_t to, start; uint8_t kind, lo, hi, reserved; } lm_move;

struct lm_automaton {
    uint32_t n_states, n_moves, start;      /* state 0 is none */
    uint32_t n_classes;                     /* bytes between which no move tells apart */
    uint8_t  classes[256], example[256];    /* of each byte; a byte of each class */
    uint32_t *first;                        /* moves of state i: [first[i], first[i + 1]) */
    lm_move *moves;
    uint8_t *ends;                          /* [n_states]: the end of its rule */
};

#endif
