/* SPDX-License-Identifier: MIT
 * The kind of a code point, from tables that tools/gen_unicode.py makes: two levels for the categories, ranges for the rest. */
#include "text/unicode.h"

#include "base/utf8.h"

#include "text/unicode_tables.inc"

uint32_t lm_unicode_kind(uint32_t cp)
{
    uint32_t block, at;
    if (cp >= UNICODE_END)
        return LM_OTHER;
    block = unicode_index[cp >> UNICODE_BITS];
    at = (block << UNICODE_BITS) | (cp & ((1u << UNICODE_BITS) - 1));
    return 1u << ((unicode_blocks[at / 2] >> (at % 2 * 4)) & 15u);
}

lm_char lm_unicode_char(const char *at, const char *end)
{
    lm_char c;
    c.next = at + lm_utf8_decode(at, (size_t)(end - at), false, &c.cp);
    c.is = lm_unicode_kind(c.cp);
    return c;
}

bool lm_unicode_is_han(uint32_t cp) { return lm_range_has(unicode_han, LM_COUNT(unicode_han), cp); }

bool lm_unicode_is_word(lm_char c)
{
    return c.is & (LM_LETTER | LM_MARK | LM_DIGIT) || (c.is && lm_range_has(unicode_words, LM_COUNT(unicode_words), c.cp));
}
