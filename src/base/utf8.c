/* SPDX-License-Identifier: MIT
 * UTF-8: Unicode 15, table 3-7 (well-formed sequences) and the recommended replacement of maximal subparts. */
#include "base/utf8.h"

#include <string.h>

/* Bytes a sequence beginning with `lead` takes (0: cannot begin one) and the range of its second byte. */
static size_t utf8_shape(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return 0;
    if (lead < 0xe0)
        return 2;
    if (lead < 0xf0) {
        if (lead == 0xe0)
            *low = 0xa0;                                    /* no overlong forms */
        if (lead == 0xed)
            *high = 0x9f;                                   /* no surrogates */
        return 3;
    }
    if (lead == 0xf0)
        *low = 0x90;
    if (lead == 0xf4)
        *high = 0x8f;                                       /* no more than U+10FFFF */
    return 4;
}

size_t lm_utf8_decode(const char *text, size_t len, bool more, uint32_t *cp)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char low, high;
    size_t n, i;
    uint32_t c;
    *cp = 0xfffd;
    if (len == 0)
        return 0;
    n = utf8_shape(s[0], &low, &high);
    if (n == 0)
        return 1;
    if (n == 1) {
        *cp = s[0];
        return 1;
    }
    c = s[0] & (0x7fu >> n);
    for (i = 1; i < n && i < len; i++) {
        if (s[i] < low || s[i] > high)
            return i;
        c = (c << 6) | (s[i] & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    if (i < n)
        return more ? 0 : i;
    *cp = c;
    return n;
}

bool lm_utf8_valid(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len) {
        uint64_t eight;
        uint32_t cp;
        size_t n;
        if (len - i >= 8) {                                 /* most text in files is ASCII */
            memcpy(&eight, text + i, 8);
            if ((eight & 0x8080808080808080u) == 0) {
                i += 8;
                continue;
            }
        }
        if ((unsigned char)text[i] < 0x80) {
            i++;
            continue;
        }
        if ((unsigned char)text[i] >= 0xc2 && (unsigned char)text[i] < 0xe0 && i + 1 < len && ((unsigned char)text[i + 1] & 0xc0) == 0x80) {
            i += 2;
            continue;
        }
        n = lm_utf8_decode(text + i, len - i, false, &cp);
        if (cp == 0xfffd && !(n == 3 && (unsigned char)text[i] == 0xef && (unsigned char)text[i + 1] == 0xbf && (unsigned char)text[i + 2] == 0xbd))
            return false;
        i += n;
    }
    return true;
}

size_t lm_utf8_encode(uint32_t cp, char out[4])
{
    if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
        cp = 0xfffd;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | (cp >> 6));
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | (cp >> 12));
        out[1] = (char)(0x80 | ((cp >> 6) & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (cp >> 18));
    out[1] = (char)(0x80 | ((cp >> 12) & 0x3f));
    out[2] = (char)(0x80 | ((cp >> 6) & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}
