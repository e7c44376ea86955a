/* SPDX-License-Identifier: MIT
 * What kind of character a code point is, as far as pre-tokenizers ask. Floor 3. Threads: any. */
#ifndef LM_TEXT_UNICODE_H
#define LM_TEXT_UNICODE_H

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

enum {                                  /* exclude one another; SPACE is the property White_Space, the rest general categories */
    LM_CLASS_OTHER = 0, LM_CLASS_LETTER = 1, LM_CLASS_NUMBER = 2, LM_CLASS_MARK = 3, LM_CLASS_PUNCT = 4, LM_CLASS_SYMBOL = 5,
    LM_CLASS_SPACE = 6
};

extern const uint8_t lm_unicode_ascii[128];     /* the classes of U+0000 to U+007F */
uint32_t lm_unicode_class(uint32_t cp);
/* The class of the character at text[0, len), len >= 1, and its bytes. What is no UTF-8 counts as U+FFFD, a symbol. */
size_t   lm_unicode_next(const char *text, size_t len, uint32_t *class_of);

LM_INLINE size_t lm_unicode_step(const char *text, const char *end, uint32_t *class_of)
{
    unsigned char byte = (unsigned char)*text;
    if (LM_LIKELY(byte < 0x80)) {
        *class_of = lm_unicode_ascii[byte];
        return 1;
    }
    return lm_unicode_next(text, (size_t)(end - text), class_of);
}

#endif
