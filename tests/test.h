/* SPDX-License-Identifier: MIT
 * The little that a test program needs beside ctest: checks that go on after a failure, and skipping. */
#ifndef TEST_H
#define TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_failures;

#define CHECK(condition) \
    ((condition) ? 1 : (fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition), test_failures++, 0))
#define CHECK_MSG(condition, ...) \
    ((condition) ? 1 : (fprintf(stderr, "%s:%d: CHECK(%s) failed: ", __FILE__, __LINE__, #condition), fprintf(stderr, __VA_ARGS__), \
                        fputc('\n', stderr), test_failures++, 0))
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
