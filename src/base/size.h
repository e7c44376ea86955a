/* SPDX-License-Identifier: MIT
 * Checked size arithmetic: files that read untrusted input use these and no bare + or * on sizes. Floor 0. */
#ifndef LM_BASE_SIZE_H
#define LM_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each returns false and leaves *out alone if the result does not fit. */
static inline bool lm_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (a > UINT64_MAX - b)
        return false;
    *out = a + b;
    return true;
}

static inline bool lm_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    if (b != 0 && a > UINT64_MAX / b)
        return false;
    *out = a * b;
    return true;
}

/* align: a power of two. */
static inline bool lm_align_u64(uint64_t a, uint64_t align, uint64_t *out)
{
    if (a > UINT64_MAX - (align - 1))
        return false;
    *out = (a + (align - 1)) & ~(align - 1);
    return true;
}

static inline bool lm_fits_size(uint64_t a) { return a <= (uint64_t)SIZE_MAX; }
static inline bool lm_is_pow2(uint64_t a) { return a != 0 && (a & (a - 1)) == 0; }

#endif
