/* SPDX-License-Identifier: MIT
 * UTF-8. Floor 0. */
#ifndef LM_BASE_UTF8_H
#define LM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool lm_utf8_valid(const char *text, size_t len);
/* Decodes one character; returns its length. Invalid bytes: *cp = 0xFFFD, length of the longest invalid prefix that is one
 * replacement by Unicode's recommendation (at least 1). A cut-off tail at the end: length 0 and *cp = 0xFFFD if `more` may come. */
size_t lm_utf8_decode(const char *text, size_t len, bool more, uint32_t *cp);
size_t lm_utf8_encode(uint32_t cp, char out[4]);        /* surrogates and > 0x10FFFF give U+FFFD */

#endif
