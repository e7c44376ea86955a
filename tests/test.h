/* SPDX-License-Identifier: MIT
 * The little that a test program needs beside ctest: checks that go on after a failure, and skipping. */
#ifndef TEST_H
#define TEST_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Under an emulator: fewer cases of the same kinds. */
#ifndef TEST_EMULATED
#define TEST_EMULATED 0
#endif

static int test_failures;

static inline int test_check(int holds, const char *file, int line, const char *text)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, text);
        test_failures++;
    }
    return holds;
}

__attribute__((format(printf, 4, 5))) static inline int test_fail(const char *file, int line, const char *text, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s:%d: CHECK(%s) failed: ", file, line, text);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    test_failures++;
    return 0;
}

#define CHECK(condition) test_check((condition) != 0, __FILE__, __LINE__, #condition)
#define CHECK_MSG(condition, ...) ((condition) ? 1 : test_fail(__FILE__, __LINE__, #condition, __VA_ARGS__))
/* The end of main: 0 if all checks held. */
#define TEST_DONE() (test_failures ? (fprintf(stderr, "%d checks failed\n", test_failures), 1) : 0)
/* ctest shows the test as skipped. */
#define TEST_SKIP(...) (fprintf(stderr, "SKIP: "), fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), 77)

/* A file of the shared test data that may be absent: NULL and *absent set to 1 then. Reads it whole; free() it. */
static inline char *test_read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *data = NULL;
    *size = 0;
    if (!file)
        return NULL;
    if (fseek(file, 0, SEEK_END) == 0) {
        long n = ftell(file);
        rewind(file);
        if (n >= 0 && (data = malloc((size_t)n + 1)) != NULL) {
            *size = fread(data, 1, (size_t)n, file);
            data[*size] = 0;
        }
    }
    fclose(file);
    return data;
}

#endif
