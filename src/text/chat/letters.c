/* SPDX-License-Identifier: MIT
 * Characters of strings as Python counts and changes them: see value.h. Not known: the small sigma at a word's end. Floor 3. */
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

/* ---- upper and lower case: runs of code points, each or every second, that move by the same amount; and those that become several */

typedef struct letters_run { uint64_t first : 21, last : 21; int64_t step : 3, delta : 19; } letters_run;
typedef struct letters_several { uint16_t cp; char text[8]; } letters_several;
_Static_assert(sizeof(letters_run) == 8, "hundreds of them");
#include "text/chat/case_tables.inc"

static bool letters_move(lm_jinja *run, lm_text *text, uint32_t cp, const char *same, size_t len, bool upper)
{
    const letters_run *runs = upper ? letters_upper : letters_lower;
    const letters_several *several = upper ? letters_upper_several : letters_lower_several;
    size_t n = upper ? LM_COUNT(letters_upper) : LM_COUNT(letters_lower), from = 0, to = n;
    char out[4];
    while (from < to) {                 /* the first run that does not end before cp */
        size_t middle = from + (to - from) / 2;
        if (runs[middle].last < cp)
            from = middle + 1;
        else
            to = middle;
    }
    /* Runs of step 2 may enclose others: a few steps on are enough to see them all. */
    for (; from < n && runs[from].first <= cp; from++)
        if ((cp - runs[from].first) % (uint32_t)runs[from].step == 0)
            return lm_text_add(run, text, out, lm_utf8_encode((uint32_t)((int64_t)cp + runs[from].delta), out));
    n = upper ? LM_COUNT(letters_upper_several) : LM_COUNT(letters_lower_several);
    for (size_t i = 0; i < n; i++)
        if (several[i].cp == cp)
            return lm_text_add_z(run, text, several[i].text);
    return lm_text_add(run, text, same, len);
}

bool lm_chars_map(lm_jinja *run, lm_val s, int upper, lm_val *out)
{
    lm_text text = { 0 };
    char from = upper ? 'a' : 'A';
    for (size_t i = 0, n; i < s.len; i += n) {
        uint32_t cp;
        char c;
        n = lm_utf8_decode(s.s + i, s.len - i, false, &cp);
        c = cp < 0x80 && s.s[i] >= from && s.s[i] <= from + 25 ? (char)(s.s[i] ^ 32) : s.s[i];
        if (!(cp < 0x80 ? lm_text_add(run, &text, &c, 1) : letters_move(run, &text, cp, s.s + i, n, upper)))
            return false;
    }
    *out = lm_text_val(&text);
    out->flag = s.flag;
    if (lm_trust_whole(run, s))
        out->trust = LM_TRUST_ALL;
    return true;
}

static bool letters_in(lm_val set, const char *c, size_t n, uint32_t cp)
{
    if (set.kind != LM_VAL_STR)
        return lm_char_is_space(cp);
    for (size_t i = 0; i + n <= set.len; i++)
        if (memcmp(set.s + i, c, n) == 0)
            return true;
    return false;
}

lm_val lm_chars_strip(lm_jinja *run, lm_val s, lm_val set, bool left, bool right)
{
    uint64_t price = set.kind == LM_VAL_STR ? 1 + (uint64_t)set.len * 2 : 1;
    uint32_t cp;
    while (left && s.len > 0) {
        size_t n = lm_utf8_decode(s.s, s.len, false, &cp);
        if ((run && !lm_jinja_look(run, price)) || !letters_in(set, s.s, n, cp))
            break;
        s.s += n;
        s.len -= n;
    }
    while (right && s.len > 0) {
        size_t n = 1;
        while (n < s.len && ((unsigned char)s.s[s.len - n] & 0xc0) == 0x80)
            n++;
        lm_utf8_decode(s.s + s.len - n, n, false, &cp);
        if ((run && !lm_jinja_look(run, price)) || !letters_in(set, s.s + s.len - n, n, cp))
            break;
        s.len -= n;
    }
    return s;
}

bool lm_chars_find(lm_jinja *run, lm_val in, lm_val what, size_t from, size_t *at)
{
    *at = SIZE_MAX;
    while (what.len <= in.len && from <= in.len - what.len) {
        size_t left = in.len - what.len - from + 1;
        const char *first = what.len ? memchr(in.s + from, what.s[0], left) : in.s + from;
        size_t skipped = first ? (size_t)(first - (in.s + from)) : left;
        if (!lm_jinja_look(run, 8 + skipped / 16 + what.len / 8))
            return false;
        if (!first)
            return true;
        from += skipped;
        if (what.len == 0 || memcmp(first, what.s, what.len) == 0) {
            *at = from;
            return true;
        }
        from++;
    }
    return true;
}
