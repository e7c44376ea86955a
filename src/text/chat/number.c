/* SPDX-License-Identifier: MIT
 * Numbers as text, exact both ways, without the host's locale: see value.h. What is not small is computed with whole numbers of
 * any length. Floor 3. */
#include "text/chat/value.h"

#include "base/compiler.h"


#include <math.h>
#include <string.h>

LM_EXACT_ARITHMETIC

enum { NUMBER_WORDS = 100, NUMBER_DIGITS = 400 };

typedef struct number_big { uint32_t w[NUMBER_WORDS]; size_t n; } number_big;     /* n words, the lowest first; the last is not 0 */

static void number_mul_add(number_big *x, uint32_t by, uint32_t add)
{
    uint64_t carry = add;
    for (size_t i = 0; i < x->n; i++) {
        carry += (uint64_t)x->w[i] * by;
        x->w[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry && x->n < NUMBER_WORDS)
        x->w[x->n++] = (uint32_t)carry;
}

static void number_power_of_ten(number_big *x, int64_t n)
{
    for (; n >= 9; n -= 9)
        number_mul_add(x, 1000000000u, 0);
    for (; n > 0; n--)
        number_mul_add(x, 10, 0);
}

static void number_shift(number_big *x, int64_t bits)        /* to the left */
{
    for (; bits >= 31; bits -= 31)
        number_mul_add(x, (uint32_t)1 << 31, 0);
    number_mul_add(x, (uint32_t)1 << bits, 0);
}

static int number_compare(const number_big *a, const number_big *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (size_t i = a->n; i-- > 0;)
        if (a->w[i] != b->w[i])
            return a->w[i] < b->w[i] ? -1 : 1;
    return 0;
}

static void number_subtract(number_big *a, const number_big *b)      /* a >= b */
{
    int64_t borrow = 0;
    for (size_t i = 0; i < a->n; i++) {
        borrow += (int64_t)a->w[i] - (i < b->n ? (int64_t)b->w[i] : 0);
        a->w[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    while (a->n > 0 && a->w[a->n - 1] == 0)
        a->n--;
}

static int64_t number_bits(const number_big *x)
{
    uint32_t top = x->n ? x->w[x->n - 1] : 0;
    int64_t bits = x->n ? (int64_t)(x->n - 1) * 32 : 0;
    for (; top; top >>= 1)
        bits++;
    return bits;
}

static double number_scale(uint64_t mantissa, int64_t exponent)      /* both exact: mantissa < 2^53, the result is a double */
{
    double x = (double)mantissa;
    for (; exponent > 0; exponent--)
        x *= 2;
    for (; exponent < 0; exponent++)
        x *= 0.5;
    return x;
}

double lm_number_read(const char *digits, size_t n_digits, int64_t exponent)
{
    static const double tens[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    number_big top = { .n = 0 }, low = { .w = { 1 }, .n = 1 };
    uint64_t small = 0, q = 0;
    int64_t shift, drop;
    bool rest;
    while (n_digits > 0 && *digits == '0')
        digits++, n_digits--;
    if (n_digits == 0 || exponent + (int64_t)n_digits < -330)
        return 0;
    if (exponent + (int64_t)n_digits > 310)
        return (double)INFINITY;
    if (n_digits <= 15 && exponent >= -22 && exponent <= 22) {
        for (size_t i = 0; i < n_digits; i++)
            small = small * 10 + (uint64_t)(digits[i] - '0');
        return exponent < 0 ? (double)small / tens[-exponent] : (double)small * tens[exponent];
    }
    if (n_digits > NUMBER_DIGITS) {     /* no half lies between the first 400 digits and the next: a 1 stands for the others */
        exponent += (int64_t)(n_digits - NUMBER_DIGITS);
        n_digits = NUMBER_DIGITS;
        rest = true;
    } else {
        rest = false;
    }
    for (size_t i = 0; i < n_digits; i++)
        number_mul_add(&top, 10, (uint32_t)(digits[i] - '0'));
    if (rest) {
        number_mul_add(&top, 10, 1);
        exponent--;
    }
    number_power_of_ten(exponent < 0 ? &low : &top, exponent < 0 ? -exponent : exponent);
    /* top / low is brought to 55 bits and some; the last place is then dropped with what is left. */
    shift = 56 - (number_bits(&top) - number_bits(&low));
    number_shift(shift > 0 ? &top : &low, shift > 0 ? shift : -shift);
    {
        number_big step = low;
        int k = 0;
        for (; number_compare(&step, &top) <= 0; k++)
            number_mul_add(&step, 2, 0);
        for (; k >= 0; k--) {           /* from 2^k low down to low: halved by hand */
            q <<= 1;
            if (number_compare(&step, &top) <= 0) {
                number_subtract(&top, &step);
                q |= 1;
            }
            for (size_t i = 0; i < step.n; i++)
                step.w[i] = step.w[i] >> 1 | (i + 1 < step.n ? step.w[i + 1] << 31 : 0);
            while (step.n > 0 && step.w[step.n - 1] == 0)
                step.n--;
        }
    }
    rest = top.n > 0;
    {                                   /* value = (q + rest) 2^-shift; keep 53 bits, fewer where it is subnormal */
        int64_t bits = 0, e = -shift;
        uint64_t half, tail;
        for (uint64_t t = q; t; t >>= 1)
            bits++;
        drop = bits - 53;
        if (e + drop < -1074)
            drop = -1074 - e;
        if (drop > 63)
            return 0;
        half = (uint64_t)1 << (drop - 1);
        tail = q & ((half << 1) - 1);
        q >>= drop;
        if (tail > half || (tail == half && (rest || (q & 1))))
            q++;
        if (e + drop > 971 || (e + drop == 971 && q >> 53))
            return (double)INFINITY;
        return number_scale(q, e + drop);
    }
}

/* The first 18 digits of f > 0 and whether more follow; returns the exponent of the first. */
static int64_t number_digits(double f, uint8_t digits[18], bool *more)
{
    number_big top = { .n = 0 }, low = { .w = { 1 }, .n = 1 };
    uint64_t bits, mantissa;
    int64_t e, ten;
    memcpy(&bits, &f, 8);
    mantissa = bits & (((uint64_t)1 << 52) - 1);
    e = (int64_t)(bits >> 52 & 2047);
    if (e)
        mantissa |= (uint64_t)1 << 52;
    else
        e = 1;
    e -= 1075;
    top.w[0] = (uint32_t)mantissa, top.w[1] = (uint32_t)(mantissa >> 32);
    top.n = top.w[1] ? 2 : 1;
    ten = (number_bits(&top) + e - 1) * 30103 / 100000;      /* near the exponent of ten; set right below */
    number_shift(e > 0 ? &top : &low, e > 0 ? e : -e);
    number_power_of_ten(ten > 0 ? &low : &top, ten > 0 ? ten : -ten);
    while (number_compare(&top, &low) < 0) {
        number_mul_add(&top, 10, 0);
        ten--;
    }
    for (;;) {
        number_big next = low;
        number_mul_add(&next, 10, 0);
        if (number_compare(&top, &next) < 0)
            break;
        low = next;
        ten++;
    }
    for (int i = 0; i < 18; i++) {
        uint8_t d = 0;
        while (number_compare(&top, &low) >= 0) {
            number_subtract(&top, &low);
            d++;
        }
        digits[i] = d;
        number_mul_add(&top, 10, 0);
    }
    *more = top.n > 0;
    return ten;
}

size_t lm_number_write_int(int64_t i, char out[32])
{
    return lm_print(out, 32, "%lld", (long long)i);
}

size_t lm_number_write(double f, char out[32])
{
    uint8_t exact[18];
    char digits[20];
    bool more, negative = f < 0 || (f == 0 && 1 / f < 0);
    int64_t ten, point = 0;
    size_t n = 0, n_digits = 0;
    if (f != f)
        return lm_print(out, 32, "nan");
    if (negative) {
        out[n++] = '-';
        f = -f;
    }
    if (f > 1.7976931348623157e308)
        return n + lm_print(out + n, 32 - n, "inf");
    if (f == 0)
        return n + lm_print(out + n, 32 - n, "0.0");
    ten = number_digits(f, exact, &more);
    /* What 15 digits tell apart, a shorter text with zeros behind it tells apart; not so where a float has few bits left. */
    for (size_t want = f < 2.2250738585072014e-308 ? 1 : 15; want <= 17; want++) {
        bool up = exact[want] > 5, tail = more;
        for (size_t i = want + 1; i < 18; i++)
            tail |= exact[i] != 0;
        up |= exact[want] == 5 && (tail || (exact[want - 1] & 1));
        point = ten;
        for (size_t i = 0; i < want; i++)
            digits[i] = (char)('0' + exact[i]);
        for (size_t i = want; up && i-- > 0;) {
            up = digits[i] == '9';
            digits[i] = up ? '0' : (char)(digits[i] + 1);
        }
        if (up) {                       /* 9.99..: now 10.00.. */
            digits[0] = '1';
            point++;
        }
        n_digits = want;
        if (want == 17 || lm_number_read(digits, want, point - (int64_t)want + 1) == f)
            break;
    }
    while (n_digits > 1 && digits[n_digits - 1] == '0')
        n_digits--;
    if (point < -4 || point >= 16) {
        out[n++] = digits[0];
        if (n_digits > 1)
            out[n++] = '.';
        memcpy(out + n, digits + 1, n_digits - 1);
        n += n_digits - 1;
        return n + lm_print(out + n, 32 - n, "e%c%s%d", point < 0 ? '-' : '+', point > -10 && point < 10 ? "0" : "", (int)(point < 0 ? -point : point));
    }
    if (point < 0) {
        n += lm_print(out + n, 32 - n, "0.%s", &"0000"[5 + point]);
        memcpy(out + n, digits, n_digits);
        return n + n_digits;
    }
    for (int64_t i = 0; i <= point || (size_t)i < n_digits; i++) {
        if (i == point + 1)
            out[n++] = '.';
        out[n++] = (size_t)i < n_digits ? digits[i] : '0';
    }
    if (n_digits <= (size_t)point + 1) {
        out[n++] = '.';
        out[n++] = '0';
    }
    return n;
}

static void number_trim(const char **s, size_t *len)
{
    while (*len > 0 && lm_char_is_space((unsigned char)**s))
        ++*s, --*len;
    while (*len > 0 && lm_char_is_space((unsigned char)(*s)[*len - 1]))
        --*len;
}

bool lm_number_parse(const char *s, size_t len, double *out)
{
    char digits[NUMBER_DIGITS + 8];
    size_t i = 0, n = 0, seen = 0;
    int64_t exponent = 0, e = 0;
    bool negative = false, point = false, minus = false;
    number_trim(&s, &len);
    if (len && (*s == '-' || *s == '+')) {
        negative = *s == '-';
        i = 1;
    }
    if (len - i == 3 || len - i == 8) {
        static const char *words[] = { "nan", "inf", "infinity" };
        for (int w = 0; w < 3; w++) {
            size_t k = 0;
            while (words[w][k] && k < len - i && (s[i + k] | 32) == words[w][k])
                k++;
            if (!words[w][k] && k == len - i) {
                *out = w == 0 ? (double)NAN : negative ? -(double)INFINITY : (double)INFINITY;
                return true;
            }
        }
    }
    for (; i < len; i++) {
        if (s[i] == '.' && !point) {
            point = true;
        } else if (s[i] >= '0' && s[i] <= '9') {
            seen++;
            if (n < NUMBER_DIGITS + 1)
                digits[n++] = s[i];
            else
                exponent++;             /* it counts as 0: the digits before it decide, the first of them not 0 or the number tiny */
            exponent -= point;
        } else if (!(s[i] == '_' && i > 0 && i + 1 < len && s[i - 1] >= '0' && s[i - 1] <= '9' && s[i + 1] >= '0' && s[i + 1] <= '9')) {
            break;
        }
    }
    if (seen == 0)
        return false;
    if (i < len && (s[i] | 32) == 'e') {
        i++;
        if (i < len && (s[i] == '-' || s[i] == '+'))
            minus = s[i++] == '-';
        if (i == len)
            return false;
        for (; i < len && ((s[i] >= '0' && s[i] <= '9') || s[i] == '_'); i++)
            if (s[i] != '_' && e < 100000)
                e = e * 10 + (s[i] - '0');
        if (len && s[len - 1] == '_')
            return false;
    }
    if (i < len)
        return false;
    *out = lm_number_read(digits, n, exponent + (minus ? -e : e));
    if (negative)
        *out = -*out;
    return true;
}

bool lm_number_parse_int(const char *s, size_t len, int base, int64_t *out)
{
    uint64_t value = 0, most = (uint64_t)INT64_MAX;
    bool negative = false, any = false;
    size_t i = 0;
    number_trim(&s, &len);
    if (len && (*s == '-' || *s == '+')) {
        negative = *s == '-';
        i = 1;
    }
    if (i + 1 < len && s[i] == '0' && (base == 0 || base == 2 || base == 8 || base == 16)) {
        char c = (char)(s[i + 1] | 32);
        int named = c == 'b' ? 2 : c == 'o' ? 8 : c == 'x' ? 16 : 0;
        if (named && (base == 0 || base == named)) {
            base = named;
            i += 2;
        }
    }
    if (base == 0)
        base = 10;
    most += negative;
    for (; i < len; i++) {
        char c = s[i];
        uint64_t d = c >= '0' && c <= '9' ? (uint64_t)(c - '0') : (c | 32) >= 'a' && (c | 32) <= 'z' ? (uint64_t)((c | 32) - 'a') + 10 : 99;
        if (c == '_' && any && i + 1 < len && s[i - 1] != '_')
            continue;
        if (d >= (uint64_t)base || value > (most - d) / (uint64_t)base)
            return false;
        value = value * (uint64_t)base + d;
        any = true;
    }
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return any;
}

double lm_number_floor(double f)
{
    double whole;
    if (!(f > -4503599627370496.0 && f < 4503599627370496.0))
        return f;                       /* whole already, or not a number */
    whole = (double)(int64_t)f;
    return whole > f ? whole - 1 : whole;
}

double lm_number_round(double f, int64_t digits)
{
    uint8_t exact[18];
    char text[20];
    bool more, up, negative = f < 0;
    int64_t ten, keep;
    double x;
    if (!isfinite(f) || f == 0)
        return f;
    ten = number_digits(negative ? -f : f, exact, &more);
    keep = ten + 1 + digits;            /* of the digits */
    if (keep >= 18)
        return f;
    if (keep < 0)
        return negative ? -0.0 : 0.0;
    up = exact[keep] > 5;
    for (int64_t i = keep + 1; i < 18; i++)
        more |= exact[i] != 0;
    if (exact[keep] == 5)
        up = more || (keep > 0 && (exact[keep - 1] & 1));
    text[0] = '0';
    for (int64_t i = 0; i < keep; i++)
        text[i + 1] = (char)('0' + exact[i]);
    for (int64_t i = keep; up && i >= 0; i--) {
        up = text[i] == '9';
        text[i] = up ? '0' : (char)(text[i] + 1);
    }
    x = lm_number_read(text, (size_t)keep + 1, -digits);
    return negative ? -x : x;
}
