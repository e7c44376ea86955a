/* SPDX-License-Identifier: MIT
 * The machine's ceilings: streaming read bandwidth of memory, and peak int8 and f32 arithmetic. */
#ifndef LIBLLM_CEILINGS_H
#define LIBLLM_CEILINGS_H

#include <stdint.h>

typedef struct ceilings {
    double read_bytes, int8_ops, f32_ops;   /* a second; 0: not measured. A multiply-add is two operations */
    const char *int8_form, *f32_form;       /* the instructions that were timed */
} ceilings;

enum { CEILINGS_PLAIN = 0, CEILINGS_AVX2 = 2, CEILINGS_AVX512 = 3 };    /* which instructions */

/* The median of seven runs on n_threads threads. */
ceilings ceilings_measure(int n_threads, int form);
/* The higher of both, item by item. */
ceilings ceilings_higher(ceilings a, ceilings b);

#endif
