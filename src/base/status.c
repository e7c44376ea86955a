/* SPDX-License-Identifier: MIT
 * Statuses, messages and the formatter behind them. Knows nothing of the host's locale or stdio: numbers come out the same
 * everywhere. What stands in a message may come from a hostile file, so messages are cleaned: control characters and broken
 * UTF-8 become '?'. Threads: any; keeps nothing. */
#include "base/status.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct status_out { char *out; size_t cap, n; } status_out;    /* n never passes cap - 1 */

static void status_put(status_out *o, const char *text, size_t len)
{
    size_t room = o->cap - 1 - o->n;
    if (len > room)
        len = room;
    memcpy(o->out + o->n, text, len);
    o->n += len;
}

static void status_put_u64(status_out *o, uint64_t value, unsigned base)
{
    char digits[20];
    size_t n = sizeof digits;
    do {
        digits[--n] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    status_put(o, digits + n, sizeof digits - n);
}

static void status_put_i64(status_out *o, int64_t value)
{
    if (value < 0)
        status_put(o, "-", 1);
    status_put_u64(o, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
}

/* x in [1e-308, 1.8e308] as m * 10^e, 1 <= m < 10 but for the last bits. */
static double status_scale10(double x, int *exponent)
{
    static const double powers[9] = { 1e256, 1e128, 1e64, 1e32, 1e16, 1e8, 1e4, 1e2, 1e1 };
    int e = 0;
    if (x < 1e-290) {                                       /* keeps the factors below in range */
        x *= 1e32;
        e -= 32;
    }
    if (x >= 10) {
        for (int i = 0, p = 256; i < 9; i++, p /= 2)
            if (x >= powers[i]) {
                x /= powers[i];
                e += p;
            }
    } else if (x < 1) {
        for (int i = 0, p = 256; i < 9; i++, p /= 2)
            if (x * powers[i] < 10) {
                x *= powers[i];
                e -= p;
            }
    }
    *exponent = e;
    return x;
}

/* As printf's %g: six significant digits, no trailing zeros; where x lies halfway between two such numbers, either. */
static void status_put_g(status_out *o, double x)
{
    char digits[7], exponent_text[8];
    int exponent, n = 6, k = 0;
    uint64_t bits, number;
    memcpy(&bits, &x, 8);
    if ((bits & 0x7fffffffffffffffu) > 0x7ff0000000000000u) {
        status_put(o, "nan", 3);
        return;
    }
    if (bits >> 63) {
        status_put(o, "-", 1);
        x = -x;
    }
    if ((bits & 0x7fffffffffffffffu) == 0x7ff0000000000000u) {
        status_put(o, "inf", 3);
        return;
    }
    if (x == 0) {
        status_put(o, "0", 1);
        return;
    }
    if (x < 1e-307) {
        x = status_scale10(x * 1e64, &exponent);
        exponent -= 64;
    } else {
        x = status_scale10(x, &exponent);
    }
    number = (uint64_t)(x * 1e5 + 0.5);
    if (number >= 1000000) {
        number = (number + 5) / 10;
        exponent++;
    } else if (number < 100000) {
        number = (uint64_t)(x * 1e6 + 0.5);
        exponent--;
    }
    for (int i = 5; i >= 0; i--, number /= 10)
        digits[i] = (char)('0' + number % 10);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (exponent < -4 || exponent >= 6) {
        status_put(o, digits, 1);
        if (n > 1) {
            status_put(o, ".", 1);
            status_put(o, digits + 1, (size_t)n - 1);
        }
        exponent_text[k++] = 'e';
        exponent_text[k++] = exponent < 0 ? '-' : '+';
        exponent = exponent < 0 ? -exponent : exponent;
        if (exponent >= 100)
            exponent_text[k++] = (char)('0' + exponent / 100);
        exponent_text[k++] = (char)('0' + exponent / 10 % 10);
        exponent_text[k++] = (char)('0' + exponent % 10);
        status_put(o, exponent_text, (size_t)k);
    } else if (exponent < 0) {
        status_put(o, "0.000", (size_t)(1 - exponent));     /* "0." and -exponent - 1 zeros */
        status_put(o, digits, (size_t)n);
    } else {
        int whole = exponent + 1;
        status_put(o, digits, (size_t)(n < whole ? n : whole));
        if (n < whole)
            status_put(o, "00000", (size_t)(whole - n));
        if (n > whole) {
            status_put(o, ".", 1);
            status_put(o, digits + whole, (size_t)(n - whole));
        }
    }
}

/* One conversion; f stands behind the '%'. Returns where the format goes on. args is a pointer so that it moves on. */
static const char *status_convert(status_out *o, const char *f, va_list *args)
{
    if (f[0] == '%') {
        status_put(o, "%", 1);
        return f + 1;
    }
    if (f[0] == 's') {
        const char *s = va_arg(*args, const char *);
        s = s ? s : "(none)";
        status_put(o, s, strlen(s));
        return f + 1;
    }
    if (f[0] == '.' && f[1] == '*' && f[2] == 's') {
        int len = va_arg(*args, int);
        const char *s = va_arg(*args, const char *);
        for (int i = 0; s && i < len; i++)                  /* may come from a file: a NUL must not end the message */
            status_put(o, s[i] ? s + i : "?", 1);
        return f + 3;
    }
    if (f[0] == 'c') {
        char c = (char)va_arg(*args, int);
        status_put(o, &c, 1);
        return f + 1;
    }
    if (f[0] == 'd') {
        status_put_i64(o, va_arg(*args, int));
        return f + 1;
    }
    if (f[0] == 'u') {
        status_put_u64(o, va_arg(*args, unsigned), 10);
        return f + 1;
    }
    if (f[0] == 'x') {
        status_put_u64(o, va_arg(*args, unsigned), 16);
        return f + 1;
    }
    if (f[0] == 'g') {
        status_put_g(o, va_arg(*args, double));
        return f + 1;
    }
    if (f[0] == 'z' && f[1] == 'u') {
        status_put_u64(o, va_arg(*args, size_t), 10);
        return f + 2;
    }
    if (f[0] == 'l' && f[1] == 'l' && f[2] == 'd') {
        status_put_i64(o, va_arg(*args, long long));
        return f + 3;
    }
    if (f[0] == 'l' && f[1] == 'l' && (f[2] == 'u' || f[2] == 'x')) {
        status_put_u64(o, va_arg(*args, unsigned long long), f[2] == 'u' ? 10 : 16);
        return f + 3;
    }
    status_put(o, "%", 1);                                  /* not ours: shown as it stands */
    return f;
}

size_t lm_format(char *out, size_t cap, const char *format, va_list args)
{
    status_out o = { out, cap, 0 };
    va_list own;
    if (cap == 0)
        return 0;
    va_copy(own, args);
    for (const char *f = format; *f;) {
        const char *next = f;
        while (*next && *next != '%')
            next++;
        status_put(&o, f, (size_t)(next - f));
        f = *next ? status_convert(&o, next + 1, &own) : next;
    }
    va_end(own);
    out[o.n] = 0;
    return o.n;
}

size_t lm_print(char *out, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t n = lm_format(out, cap, format, args);
    va_end(args);
    return n;
}

/* Text that may hold anything becomes text that can be shown: whole UTF-8 characters, no control characters. A character
 * cut off at the end goes. Works in place; returns the new length. */
static size_t status_clean(char *text, size_t len)
{
    size_t to = 0;
    for (size_t i = 0; i < len;) {
        uint32_t cp;
        size_t n = lm_utf8_decode(text + i, len - i, true, &cp);
        if (n == 0)
            break;
        if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || (cp == 0xfffd && !(n == 3 && (unsigned char)text[i] == 0xef)))
            text[to++] = '?';
        else
            for (size_t k = 0; k < n; k++)
                text[to++] = text[i + k];
        i += n;
    }
    text[to] = 0;
    return to;
}

static void status_subject(llm_error *error, const char *subject, size_t len)
{
    size_t cap = sizeof error->subject - 1;
    bool cut = len > cap;
    if (cut)
        len = cap - 3;
    memcpy(error->subject, subject, len);
    len = status_clean(error->subject, len);
    if (cut)
        memcpy(error->subject + len, "...", 4);
}

static void status_set(llm_error *error, llm_status status, const char *subject, size_t subject_len, uint64_t offset, const char *format, va_list args)
{
    memset(error, 0, sizeof *error);
    error->status = status;
    error->offset = offset;
    if (subject && subject_len)
        status_subject(error, subject, subject_len);
    size_t n = lm_format(error->message, sizeof error->message, format, args);
    error->message_len = (uint32_t)status_clean(error->message, n);
}

llm_status lm_fail(llm_error *error, llm_status status, const char *format, ...)
{
    if (error) {
        va_list args;
        va_start(args, format);
        status_set(error, status, NULL, 0, UINT64_MAX, format, args);
        va_end(args);
    }
    return status;
}

llm_status lm_fail_at(llm_error *error, llm_status status, const char *subject, size_t subject_len, uint64_t offset, const char *format, ...)
{
    if (error) {
        va_list args;
        va_start(args, format);
        status_set(error, status, subject, subject_len, offset, format, args);
        va_end(args);
    }
    return status;
}

llm_status lm_fail_memory(llm_error *error, const char *what, size_t bytes)
{
    return lm_fail(error, LLM_E_MEMORY, "out of memory: %s needs %zu bytes", what, bytes);
}

void lm_error_clear(llm_error *error)
{
    if (error) {
        memset(error, 0, sizeof *error);
        error->offset = UINT64_MAX;
    }
}
