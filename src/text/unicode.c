/* SPDX-License-Identifier: MIT
 * The class of a code point, from a two-level table that tools/gen_unicode.py makes. */
#include "text/unicode.h"

#include "base/utf8.h"

#include "text/unicode_tables.inc"

uint32_t lm_unicode_class(uint32_t cp)
{
    uint32_t block, at;
    if (cp >= UNICODE_END)
        return LM_CLASS_OTHER;
    block = unicode_index[cp >> UNICODE_BITS];
    at = (block << UNICODE_BITS) | (cp & ((1u << UNICODE_BITS) - 1));
    return (unicode_blocks[at / 2] >> (at % 2 * 4)) & 15u;
}

size_t lm_unicode_next(const char *text, size_t len, uint32_t *class_of)
{
    uint32_t cp;
    size_t n = lm_utf8_decode(text, len, false, &cp);
    *class_of = lm_unicode_class(cp);
    return n;
}
