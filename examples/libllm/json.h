/* SPDX-License-Identifier: MIT
 * Writes JSON, one member a line. Strings may be any bytes: what is no UTF-8 becomes U+FFFD. */
#ifndef LIBLLM_JSON_H
#define LIBLLM_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct json { FILE *file; int depth; bool first; } json;

/* key NULL: an item of an array, or the whole document. */
void json_open(json *j, const char *key, char bracket);         /* '{' or '[' */
void json_close(json *j, char bracket);                         /* '}' or ']' */
void json_string(json *j, const char *key, const char *text, size_t len);
void json_text(json *j, const char *key, const char *text);     /* NUL-terminated */
void json_int(json *j, const char *key, int64_t value);
void json_uint(json *j, const char *key, uint64_t value);
void json_number(json *j, const char *key, double value);       /* NaN and infinity: null */
void json_bool(json *j, const char *key, bool value);

/* Bytes for a terminal: control characters and what is no UTF-8 are written as \xNN, so that a file cannot drive it. */
void json_print_safe(FILE *file, const char *text, size_t len);

#endif
