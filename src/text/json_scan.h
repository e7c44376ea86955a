/* SPDX-License-Identifier: MIT
 * The tokens of JSON (RFC 8259). Who reads a text makes what it likes of them: text/chat values as Python has them, text/grammar a tree with places.
 * Knows no memory, no limits, no messages but its own. For src/text alone. Floor 3. Threads: any. */
#ifndef LM_TEXT_JSON_SCAN_H
#define LM_TEXT_JSON_SCAN_H

#include "llm.h"

#include <stdbool.h>

enum { LM_JSON_NULL, LM_JSON_FALSE, LM_JSON_TRUE, LM_JSON_NUMBER, LM_JSON_STRING, LM_JSON_ARRAY, LM_JSON_OBJECT, LM_JSON_NONE };

typedef struct lm_json_scan {
    const char *start, *at, *end;
    bool halves;                        /* half of a surrogate pair is U+FFFD; else it is refused */
    const char *problem;                /* set where a call fails, with `at` where that is */
} lm_json_scan;

void lm_json_space(lm_json_scan *s);
/* What value begins here, behind white space. A word, a string's quote, a bracket are taken; a number is still to come. NONE: failed. */
int  lm_json_value(lm_json_scan *s);
/* Of an array or object, behind white space: 1: an item follows (its comma is taken), 0: that was all (its end is taken), -1: failed. */
int  lm_json_more(lm_json_scan *s, int kind, bool first);
/* The quote before a member's name, and the colon behind it. */
bool lm_json_name(lm_json_scan *s);
bool lm_json_colon(lm_json_scan *s);
/* Behind a quote: the bytes that lm_json_string needs at most; then the text itself, up to its quote, which is taken. */
bool lm_json_room(lm_json_scan *s, size_t *bytes);
bool lm_json_string(lm_json_scan *s, char *out, size_t *n);
/* A number as it stands there. *whole: without point and exponent. */
bool lm_json_number(lm_json_scan *s, llm_str *text, bool *whole);
/* Nothing follows. */
bool lm_json_over(lm_json_scan *s);

#endif
