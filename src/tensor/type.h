/* SPDX-License-Identifier: MIT
 * Tensor types: the ids, names and block sizes of GGUF, and which of them this library computes with. Floor 1.
 * Knows nothing of files or kernels. Source: the GGUF specification and ggml's block definitions. */
#ifndef LM_TENSOR_TYPE_H
#define LM_TENSOR_TYPE_H

#include "base/status.h"

#include <stdbool.h>

/* X(NAME, GGUF id, values per block, bytes per block, computes: kernels exist) */
#define LM_TYPES(X)             \
    X(F32, 0, 1, 4, 1)          \
    X(F16, 1, 1, 2, 1)          \
    X(Q4_0, 2, 32, 18, 1)       \
    X(Q4_1, 3, 32, 20, 1)       \
    X(Q5_0, 6, 32, 22, 1)       \
    X(Q5_1, 7, 32, 24, 1)       \
    X(Q8_0, 8, 32, 34, 1)       \
    X(Q8_1, 9, 32, 36, 0)       \
    X(Q2_K, 10, 256, 84, 1)     \
    X(Q3_K, 11, 256, 110, 1)    \
    X(Q4_K, 12, 256, 144, 1)    \
    X(Q5_K, 13, 256, 176, 1)    \
    X(Q6_K, 14, 256, 210, 1)    \
    X(Q8_K, 15, 256, 292, 0)    \
    X(IQ2_XXS, 16, 256, 66, 0)  \
    X(IQ2_XS, 17, 256, 74, 0)   \
    X(IQ3_XXS, 18, 256, 98, 0)  \
    X(IQ1_S, 19, 256, 50, 0)    \
    X(IQ4_NL, 20, 32, 18, 1)    \
    X(IQ3_S, 21, 256, 110, 0)   \
    X(IQ2_S, 22, 256, 82, 0)    \
    X(IQ4_XS, 23, 256, 136, 1)  \
    X(I8, 24, 1, 1, 0)          \
    X(I16, 25, 1, 2, 0)         \
    X(I32, 26, 1, 4, 0)         \
    X(I64, 27, 1, 8, 0)         \
    X(F64, 28, 1, 8, 0)         \
    X(IQ1_M, 29, 256, 56, 0)    \
    X(BF16, 30, 1, 2, 1)        \
    X(TQ1_0, 34, 256, 54, 0)    \
    X(TQ2_0, 35, 256, 66, 0)    \
    X(MXFP4, 39, 32, 17, 1)     \
    X(NVFP4, 40, 64, 36, 0)     \
    X(Q1_0, 41, 128, 18, 0)     \
    X(Q2_0, 42, 64, 18, 0)

enum {
#define LM_TYPE_ENUM(name, id, block, bytes, computes) LM_TYPE_##name = id,
    LM_TYPES(LM_TYPE_ENUM)
#undef LM_TYPE_ENUM
    LM_TYPE_COUNT = 43
};

typedef struct lm_type_info {
    const char *name;                   /* "Q4_0"; NULL: no such type */
    uint32_t block, block_bytes;
    bool     computes;
} lm_type_info;

/* NULL for ids that are unknown or were removed from the format. */
const lm_type_info *lm_type_get(uint32_t id);

/* Bytes of n values in a row of this type; false if n is no multiple of the block or the size does not fit. */
bool lm_type_row_bytes(uint32_t type, uint64_t n, uint64_t *out);

/* Looks at one row of n values for NaN and infinity in scales and plain floats. Returns true if all is finite, else false and
 * the first bad block's index. Types that do not compute: true. */
bool lm_type_row_finite(uint32_t type, const void *row, uint64_t n, uint64_t *bad_block);

#endif
