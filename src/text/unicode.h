/* SPDX-License-Identifier: MIT
 * What kind of character a code point is, as far as pre-tokenizers ask. Exact: Unicode's general categories and properties, not
 * approximations of them. Floor 3. Threads: any. */
#ifndef LM_TEXT_UNICODE_H
#define LM_TEXT_UNICODE_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of characters, a bit each; every character has one. SPACE is the property White_Space, the rest general categories. */
enum {
    LM_OTHER = 1,                       /* control, format, private, unassigned */
    LM_UPPER = 2, LM_LOWER = 4,         /* Lu and Lt; Ll */
    LM_UNCASED = 8,                     /* Lm and Lo */
    LM_DIGIT = 16, LM_NUMERAL = 32,     /* Nd; Nl and No */
    LM_MARK = 64, LM_PUNCT = 128, LM_SYMBOL = 256, LM_SPACE = 512,
    LM_LETTER = LM_UPPER | LM_LOWER | LM_UNCASED,
    LM_NUMBER = LM_DIGIT | LM_NUMERAL,
    LM_ANY = 1023
};

typedef struct lm_char {
    const char *next;                   /* behind it */
    uint32_t cp;                        /* what is no UTF-8 counts as U+FFFD, a symbol */
    uint32_t is;                        /* its kind; 0 at the end of the text, where there is none */
} lm_char;

extern const uint16_t lm_unicode_ascii[256];    /* the kinds of U+0000 to U+007F, then 0: a byte of a longer character */
uint32_t lm_unicode_kind(uint32_t cp);
lm_char  lm_unicode_char(const char *at, const char *end);      /* at < end */
bool     lm_unicode_is_han(uint32_t cp);        /* the script */
bool     lm_unicode_is_word(lm_char c);         /* what \b of regular expressions takes for a part of a word */

LM_INLINE lm_char lm_char_at(const char *at, const char *end)
{
    if (at == end)
        return (lm_char){ end, UINT32_MAX, 0 };
    if (LM_LIKELY((unsigned char)*at < 0x80))
        return (lm_char){ at + 1, (unsigned char)*at, lm_unicode_ascii[(unsigned char)*at] };
    return lm_unicode_char(at, end);
}

/* Code points of [first, last], in rising order in a set. */
typedef struct lm_range { uint32_t first, last; } lm_range;
LM_INLINE bool lm_range_has(const lm_range *set, size_t n, uint32_t cp)
{
    size_t from = 0;
    while (n > 0) {                     /* the first range that does not end before cp is in [from, from + n] */
        size_t half = n / 2;
        if (set[from + half].last < cp) {
            from += half + 1;
            n -= half + 1;
        } else if (set[from + half].first <= cp) {
            return true;
        } else {
            n = half;
        }
    }
    return false;
}

#endif
