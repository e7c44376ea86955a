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

/* Bits 0, 1 of each value */
static inline void linear_pack_crumbs(uint8_t (*lines)[16][4], size_t r, const uint8_t *v, size_t n)
{
    for (size_t l = 0; l < n / 16; l++, v += 16)
        for (size_t i = 0; i < 4; i++)
            lines[l][r][i] = (uint8_t)((v[i] & 3) | (v[4 + i] & 3) << 2 | (v[8 + i] & 3) << 4 | (v[12 + i] & 3) << 6);
}

/* Bit `bit` of each value */
static inline void linear_pack_bits(uint8_t (*lines)[16][4], size_t r, const uint8_t *v, size_t n, int bit)
{
    for (size_t l = 0; l < n / 32; l++, v += 32)
        for (size_t i = 0; i < 4; i++) {
            int byte = 0;

            for (size_t t = 0; t < 8; t++)
                byte |= ((v[4 * t + i] >> bit) & 1) << t;
            lines[l][r][i] = (uint8_t)byte;
        }
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
