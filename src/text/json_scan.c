/* SPDX-License-Identifier: MIT
 * The tokens of JSON. Floor 3. */
#include "text/json_scan.h"

#include "base/compiler.h"
#include "base/utf8.h"

#include <string.h>

static bool scan_fail(lm_json_scan *s, const char *what)
{
    s->problem = what;
    return false;
}

static bool scan_sees(const lm_json_scan *s, char c)
{
    return s->at < s->end && *s->at == c;
}

static bool scan_sees_digit(const lm_json_scan *s)
{
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

void lm_json_space(lm_json_scan *s)
{
    while (scan_sees(s, ' ') || scan_sees(s, '\t') || scan_sees(s, '\n') || scan_sees(s, '\r'))
        s->at++;
}

int lm_json_value(lm_json_scan *s)
{
    static const struct { const char *text; int kind; } begins[] = {
        { "\"", LM_JSON_STRING }, { "{", LM_JSON_OBJECT }, { "[", LM_JSON_ARRAY }, { "null", LM_JSON_NULL }, { "false", LM_JSON_FALSE }, { "true", LM_JSON_TRUE },
    };
    lm_json_space(s);
    if (scan_sees(s, '-') || scan_sees_digit(s))
        return LM_JSON_NUMBER;
    for (size_t i = 0; i < LM_COUNT(begins); i++) {
        size_t n = strlen(begins[i].text);
        if ((size_t)(s->end - s->at) >= n && memcmp(s->at, begins[i].text, n) == 0) {
            s->at += n;
            return begins[i].kind;
        }
    }
    scan_fail(s, s->at == s->end ? "the text ends where a value was expected" : "this is no value");
    return LM_JSON_NONE;
}

int lm_json_more(lm_json_scan *s, int kind, bool first)
{
    bool object = kind == LM_JSON_OBJECT;
    lm_json_space(s);
    if (scan_sees(s, object ? '}' : ']')) {
        s->at++;
        return 0;
    }
    if (!first && !scan_sees(s, ',')) {
        scan_fail(s, object ? "',' or '}' is missing" : "',' or ']' is missing");
        return -1;
    }
    s->at += !first;
    return 1;
}

static bool scan_take(lm_json_scan *s, char c, const char *missing)
{
    lm_json_space(s);
    if (!scan_sees(s, c))
        return scan_fail(s, missing);
    s->at++;
    return true;
}

bool lm_json_name(lm_json_scan *s)
{
    return scan_take(s, '"', "a key in quotes is missing");
}

bool lm_json_colon(lm_json_scan *s)
{
    return scan_take(s, ':', "':' is missing");
}

static bool scan_hex(lm_json_scan *s, uint32_t *out)        /* at the four digits */
{
    *out = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        char c = s->at < s->end ? *s->at : 0;
        uint32_t d = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : (c | 32) >= 'a' && (c | 32) <= 'f' ? (uint32_t)((c | 32) - 'a') + 10 : 16;
        if (d == 16)
            return scan_fail(s, "a hexadecimal digit is missing");
        *out = *out * 16 + d;
    }
    return true;
}

static bool scan_unit(lm_json_scan *s, uint32_t *cp)        /* behind \u: a character, of one unit or two */
{
    uint32_t low;
    if (!scan_hex(s, cp))
        return false;
    if (*cp >= 0xd800 && *cp < 0xdc00 && s->end - s->at >= 2 && s->at[0] == '\\' && s->at[1] == 'u') {
        const char *back = s->at;
        s->at += 2;
        if (!scan_hex(s, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000)
            *cp = 0x10000 + ((*cp - 0xd800) << 10) + (low - 0xdc00);
        else
            s->at = back;
    }
    return (*cp & 0xfffff800) != 0xd800 || s->halves || scan_fail(s, "half of a surrogate pair");
}

static bool scan_escape(lm_json_scan *s, char *out, size_t *n)      /* behind the backslash */
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char c = s->at < s->end ? *s->at : 0;
    const char *name = c ? strchr(names, c) : NULL;
    uint32_t cp;
    if (!name && c != 'u')
        return scan_fail(s, "unknown escape");
    s->at++;
    if (name) {
        out[(*n)++] = values[name - names];
        return true;
    }
    if (!scan_unit(s, &cp))
        return false;
    *n += lm_utf8_encode(cp, out + *n);                     /* no escape is shorter than what it stands for */
    return true;
}

bool lm_json_room(lm_json_scan *s, size_t *bytes)
{
    const char *end = s->at;
    while (end < s->end && *end != '"')
        end += *end == '\\' && end + 1 < s->end ? 2 : 1;
    *bytes = (size_t)(end - s->at);
    return end < s->end || scan_fail(s, "this string has no end");
}

bool lm_json_string(lm_json_scan *s, char *out, size_t *n)
{
    *n = 0;
    while (!scan_sees(s, '"')) {
        if (s->at == s->end)
            return scan_fail(s, "this string has no end");
        if ((unsigned char)*s->at < 0x20)
            return scan_fail(s, "a control character in a string");
        if (*s->at != '\\')
            out[(*n)++] = *s->at++;
        else if (s->at++, !scan_escape(s, out, n))
            return false;
    }
    s->at++;
    return lm_utf8_valid(out, *n) || scan_fail(s, "this string is not UTF-8");
}

static bool scan_digits(lm_json_scan *s)
{
    if (!scan_sees_digit(s))
        return scan_fail(s, "a digit is missing");
    while (scan_sees_digit(s))
        s->at++;
    return true;
}

bool lm_json_number(lm_json_scan *s, llm_str *text, bool *whole)
{
    const char *from = s->at;
    s->at += scan_sees(s, '-');
    const char *digits = s->at;
    if (!scan_digits(s))
        return false;
    if (*digits == '0' && s->at - digits > 1)
        return scan_fail(s, "a number with zeros in front");
    const char *rest = s->at;
    if (scan_sees(s, '.') && (s->at++, !scan_digits(s)))
        return false;
    if (scan_sees(s, 'e') || scan_sees(s, 'E')) {
        s->at++;
        s->at += scan_sees(s, '+') || scan_sees(s, '-');
        if (!scan_digits(s))
            return false;
    }
    *text = (llm_str){ from, (size_t)(s->at - from) };
    *whole = s->at == rest;
    return true;
}

bool lm_json_over(lm_json_scan *s)
{
    lm_json_space(s);
    return s->at == s->end || scan_fail(s, "something follows behind the value");
}
