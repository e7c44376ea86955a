/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <math.h>
#include <string.h>

/* Bytes of the well-formed UTF-8 character at p (Unicode, table 3-7), 0 if there is none. */
static size_t json_character(const unsigned char *p, size_t n)
{
    size_t len;
    unsigned char low = 0x80, high = 0xbf;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        len = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        len = 3;
        low = p[0] == 0xe0 ? 0xa0 : 0x80;
        high = p[0] == 0xed ? 0x9f : 0xbf;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        len = 4;
        low = p[0] == 0xf0 ? 0x90 : 0x80;
        high = p[0] == 0xf4 ? 0x8f : 0xbf;
    } else {
        return 0;
    }
    if (n < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return len;
}

static void json_quoted(FILE *file, const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;

    fputc('"', file);
    for (size_t i = 0; i < n;) {
        size_t len = json_character(p + i, n - i);
        if (len == 0) {
            fputs("\\ufffd", file);
            i++;
        } else if (p[i] == '"' || p[i] == '\\') {
            fprintf(file, "\\%c", p[i++]);
        } else if (p[i] < 0x20 || p[i] == 0x7f) {
            fprintf(file, "\\u%04x", p[i++]);
        } else {
            fwrite(p + i, 1, len, file);
            i += len;
        }
    }
    fputc('"', file);
}

static void json_lead(json *j, const char *key)
{
    if (j->depth > 0)
        fprintf(j->file, j->first ? "\n%*s" : ",\n%*s", 2 * j->depth, "");
    j->first = false;
    if (key) {
        json_quoted(j->file, key, strlen(key));
        fputs(": ", j->file);
    }
}

void json_open(json *j, const char *key, char bracket)
{
    json_lead(j, key);
    fputc(bracket, j->file);
    j->depth++;
    j->first = true;
}

void json_close(json *j, char bracket)
{
    j->depth--;
    if (!j->first)
        fprintf(j->file, "\n%*s", 2 * j->depth, "");
    fputc(bracket, j->file);
    j->first = false;
    if (j->depth == 0)
        fputc('\n', j->file);
}

void json_string(json *j, const char *key, const char *text, size_t len)
{
    json_lead(j, key);
    json_quoted(j->file, text, len);
}

void json_text(json *j, const char *key, const char *text)
{
    json_string(j, key, text, strlen(text));
}

void json_int(json *j, const char *key, int64_t value)
{
    json_lead(j, key);
    fprintf(j->file, "%lld", (long long)value);
}

void json_uint(json *j, const char *key, uint64_t value)
{
    json_lead(j, key);
    fprintf(j->file, "%llu", (unsigned long long)value);
}

void json_number(json *j, const char *key, double value)
{
    json_lead(j, key);
    if (isfinite(value))
        fprintf(j->file, "%.9g", value);
    else
        fputs("null", j->file);
}

void json_bool(json *j, const char *key, bool value)
{
    json_lead(j, key);
    fputs(value ? "true" : "false", j->file);
}

void json_print_safe(FILE *file, const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;

    for (size_t i = 0; i < n;) {
        size_t len = json_character(p + i, n - i);
        bool c1 = len == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0;      /* the other control characters, U+0080 to U+009F */
        if (p[i] == '\n') {
            fputs("\\n", file);
            i++;
        } else if (len == 0 || p[i] < 0x20 || p[i] == 0x7f || c1) {
            fprintf(file, "\\x%02x", p[i++]);
        } else {
            fwrite(p + i, 1, len, file);
            i += len;
        }
    }
}
