/* SPDX-License-Identifier: MIT
 * Characters of strings as Python counts and changes them: see value.h. Floor 3. */
#include "text/chat/value.h"

#include "base/utf8.h"

#include <string.h>

bool lm_char_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a)
           || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

size_t lm_chars_count(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

size_t lm_chars_offset(const char *s, size_t len, size_t n)
{
    size_t i = 0;
    for (; i < len; i++)
        if (((unsigned char)s[i] & 0xc0) != 0x80 && n-- == 0)
            break;
    return i;
}

bool lm_chars_map(lm_jinja *run, lm_val s, int upper, lm_val *out)
{
    char *text = lm_jinja_new(run, s.len + 1), from = upper ? 'a' : 'A';
    if (!text || !lm_jinja_step(run, s.len / 1024))
        return false;
    for (size_t i = 0; i < s.len; i++)
        text[i] = s.s[i] >= from && s.s[i] <= from + 25 ? (char)(s.s[i] ^ 32) : s.s[i];
    *out = lm_val_str(text, s.len);
    out->flag = s.flag;
    return true;
}

static bool chars_in(lm_val set, const char *c, size_t n, uint32_t cp)
{
    if (set.kind != LM_VAL_STR)
        return lm_char_is_space(cp);
    for (size_t i = 0; i + n <= set.len; i++)
        if (memcmp(set.s + i, c, n) == 0)
            return true;
    return false;
}

lm_val lm_chars_strip(lm_val s, lm_val set, bool left, bool right)
{
    uint32_t cp;
    while (left && s.len > 0) {
        size_t n = lm_utf8_decode(s.s, s.len, false, &cp);
        if (!chars_in(set, s.s, n, cp))
            break;
        s.s += n;
        s.len -= n;
    }
    while (right && s.len > 0) {
        size_t n = 1;
        while (n < s.len && ((unsigned char)s.s[s.len - n] & 0xc0) == 0x80)
            n++;
        lm_utf8_decode(s.s + s.len - n, n, false, &cp);
        if (!chars_in(set, s.s + s.len - n, n, cp))
            break;
        s.len -= n;
    }
    return s;
}
