/* SPDX-License-Identifier: MIT
 * Lines that somebody types: with editing and a history on a terminal (libedit, where the build found it), else as they come. */
#ifndef LIBLLM_LINES_H
#define LIBLLM_LINES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct lines lines;

enum { LINES_TEXT, LINES_END, LINES_INTERRUPT };        /* a line; the end of the input (Ctrl-D); Ctrl-C */

/* prompt: shown on standard error before each line, NULL: none; borrowed. NULL: no memory. */
lines *lines_open(const char *prompt);
void   lines_close(lines *l);
/* The next line, without its end; borrowed until the next call. A line that ends in a backslash goes on in the next one. */
int    lines_read(lines *l, const char **text, size_t *len);

#endif
