/* SPDX-License-Identifier: MIT
 * What the files of reference products share: bits in and out of the 16-row layout, the walk over groups, the entries of the
 * table. Floor 5. Threads: any; nothing is kept. */
#ifndef LM_KERNELS_REF_LINEAR_REF_H
#define LM_KERNELS_REF_LINEAR_REF_H

#include "kernels/kernels.h"

#include "kernels/layout.h"
#include "tensor/blocks.h"
#include "tensor/type.h"
#include "base/compiler.h"

#include <string.h>

/* ---- into a group: values v of lane r in order of k -------------------------------------------------------------------- */

/* Block i of row r of the file's bytes, zero if there is no such row. */
static inline void linear_block(void *block, size_t block_bytes, const void *rows, size_t row_bytes, size_t n_rows, size_t r, size_t i)
{
    if (r < n_rows)
        memcpy(block, (const uint8_t *)rows + r * row_bytes + i * block_bytes, block_bytes);
    else
        memset(block, 0, block_bytes);
}

/* n values of four bits of lane r into lines of nibbles */
static inline void linear_pack_nibbles(uint8_t (*lines)[16][4], size_t r, const uint8_t *v, size_t n)
{
    for (size_t l = 0; l < n / 8; l++)
        for (size_t i = 0; i < 4; i++)
            lines[l][r][i] = (uint8_t)((v[8 * l + i] & 15) | ((v[8 * l + 4 + i] & 15) << 4));
}

/* The same from bytes of the file, four at a time: each function takes what stands `shift` bits up in bytes that follow each other in
 * order of k. Only bytes move, so that no machine's order of bytes matters. */
static inline uint32_t linear_four(const uint8_t *from, int shift, uint32_t mask)
{
    uint32_t word;

    memcpy(&word, from, 4);
    return (word >> shift) & mask;
}

/* 8 n_lines bytes into n_lines lines of nibbles */
static inline void linear_pack_from_nibbles(uint8_t (*lines)[16][4], size_t n_lines, size_t r, const uint8_t *from, int shift)
{
    for (size_t l = 0; l < n_lines; l++) {
        uint32_t word = linear_four(from + 8 * l, shift, 0x0f0f0f0fu) | linear_four(from + 8 * l + 4, shift, 0x0f0f0f0fu) << 4;

        memcpy(lines[l][r], &word, 4);
    }
}

/* 16 bytes into one line of crumbs */
static inline void linear_pack_from_crumbs(uint8_t (*line)[4], size_t r, const uint8_t *from, int shift)
{
    uint32_t word = linear_four(from, shift, 0x03030303u) | linear_four(from + 4, shift, 0x03030303u) << 2 | linear_four(from + 8, shift, 0x03030303u) << 4 |
                    linear_four(from + 12, shift, 0x03030303u) << 6;

    memcpy(line[r], &word, 4);
}

/* 32 bytes into one line of single bits */
static inline void linear_pack_from_bits(uint8_t (*line)[4], size_t r, const uint8_t *from, int shift)
{
    uint32_t word = 0;

    for (int t = 0; t < 8; t++)
        word |= linear_four(from + 4 * t, shift, 0x01010101u) << t;
    memcpy(line[r], &word, 4);
}

/* ---- out of it: value i of lane r ---------------------------------------------------------------------------------------- */

static inline int32_t linear_nibble(const uint8_t (*lines)[16][4], size_t r, size_t i)
{
    uint8_t byte = lines[i / 8][r][i % 4];

    return i & 4 ? byte >> 4 : byte & 15;
}

static inline int32_t linear_crumb(const uint8_t (*lines)[16][4], size_t r, size_t i) { return (lines[i / 16][r][i % 4] >> (i / 4 % 4 * 2)) & 3; }

static inline int32_t linear_bit(const uint8_t (*lines)[16][4], size_t r, size_t i) { return (lines[i / 32][r][i % 4] >> (i / 4 % 8)) & 1; }

/* The scales and minimums of lane r of Q4_K and Q5_K */
static inline void linear_scales_6bit(uint8_t scale[8], uint8_t min[8], const uint8_t (*lines)[16][4], size_t r)
{
    uint8_t bytes[12];

    for (size_t j = 0; j < 3; j++)
        memcpy(bytes + 4 * j, lines[j][r], 4);
    for (int j = 0; j < 8; j++)
        lm_q4k_scale(bytes, j, &scale[j], &min[j]);
}

/* ---- the walk ------------------------------------------------------------------------------------------------------------- */

/* One group times column c: acc is the chain of each lane. */
typedef void linear_column_fn(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c);

static inline void linear_ref_groups(float *y, size_t y_stride, const void *w, size_t group_bytes, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols,
                          linear_column_fn *column)
{
    for (size_t r = 0; r < n_rows; r += LM_GROUP, w = (const uint8_t *)w + group_bytes)
        for (size_t c = 0; c < n_cols; c++) {
            float acc[LM_GROUP] = {0};

            column(acc, w, k, x, c);
            memcpy(y + c * y_stride + r, acc, LM_MIN(n_rows - r, (size_t)LM_GROUP) * sizeof(float));
        }
}

#define LINEAR_REF(type, group_bytes)                                                                                        \
    static void linear_##type(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols) \
    {                                                                                                                        \
        linear_ref_groups(y, y_stride, w, (group_bytes), n_rows, k, x, n_cols, linear_column_##type);                            \
    }

#define LINEAR_ENTRY(NAME, type, pack_function)     \
    table->linear[LM_TYPE_##NAME] = linear_##type;  \
    table->pack[LM_TYPE_##NAME] = pack_function;    \
    table->row[LM_TYPE_##NAME] = linear_row_##type

#endif
