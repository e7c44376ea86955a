/* SPDX-License-Identifier: MIT
 * What the NEON products of all rungs share: panels, tiles, the pass of many columns over panels. Base instructions only, so that
 * every rung can inline them; what a rung multiplies with stands in linear_neon.inc. Floor 5. */
#ifndef LM_KERNELS_ARM_LINEAR_NEON_H
#define LM_KERNELS_ARM_LINEAR_NEON_H

#include "kernels/kernels.h"
#include "kernels/arm/arm.h"
#include "kernels/arm/math_neon.h"
#include "kernels/arm/unpack_neon.h"
#include "base/compiler.h"

#include <stddef.h>

#if LM_ARM
LM_EXACT_ARITHMETIC

enum {
    LINEAR_NEON_COLS = 4,                       /* columns of a tile */
    LINEAR_NEON_DIRECT = 2,                     /* columns up to which the packed bytes are read directly */
    LINEAR_NEON_VALUES = 256,                   /* values of k in a panel */
    LINEAR_NEON_X_BYTES = 256 * 1024            /* activations of a block of columns: they should stay in the second-level cache */
};

/* ---- what a panel and a tile are --------------------------------------------------------------------------------------- */

typedef struct linear_neon_panel {
    int8_t q[LINEAR_NEON_VALUES / 16][4][64];   /* [16 values][quarter][what `keep` makes of it] */
    float d[LINEAR_NEON_VALUES / 32][16], m[LINEAR_NEON_VALUES / 32][16];       /* blocks of 256: [0]; m is what is added */
    int32_t scale[LINEAR_NEON_VALUES / 16][16];
    int16_t min[LINEAR_NEON_VALUES / 16][16];
} linear_neon_panel;

/* Columns from column `col` on over the panel of values [at, at + n). y: row 0 of the group, column `col`. */
typedef struct linear_neon_tile_at {
    float *y;
    size_t y_stride, k, col, at, n, left;                       /* left: rows that exist, 16 and more are 16 */
    const lm_acts *x;
} linear_neon_tile_at;

LM_INLINE void linear_neon_put(float *y, size_t left, int q, float32x4_t v)
{
    if (left >= LM_GROUP)
        vst1q_f32(y + 4 * q, v);
    else if (left > 4 * (size_t)q)
        math_neon_store(y + 4 * q, left - 4 * (size_t)q, v);
}

LM_INLINE float32x4_t linear_neon_begin(const linear_neon_tile_at *t, int c, int q)
{
    const float *y = t->y + (size_t)c * t->y_stride + 4 * q;

    if (t->at == 0)
        return vdupq_n_f32(0);
    if (t->left >= LM_GROUP)
        return vld1q_f32(y);
    return t->left > 4 * (size_t)q ? math_neon_load(y, t->left - 4 * (size_t)q) : vdupq_n_f32(0);
}

LM_INLINE void linear_neon_end(const linear_neon_tile_at *t, int c, int q, float32x4_t v) { linear_neon_put(t->y + (size_t)c * t->y_stride, t->left, q, v); }

LM_INLINE float32x4_t linear_neon_fma_int(float32x4_t acc, int32x4_t sum, float32x4_t scale) { return vfmaq_f32(acc, vcvtq_f32_s32(sum), scale); }

/* The offset off: what stands in panels is the value itself. */
LM_INLINE void linear_neon_lower(int8x16_t w[4], const int offset)
{
    if (offset == 0)
        return;
    LM_UNROLL
    for (int i = 0; i < 4; i++)
        w[i] = vsubq_s8(w[i], vdupq_n_s8((int8_t)offset));
}

/* The sums of sub-blocks of `sub` values, made of those of 16. */
LM_INLINE void linear_neon_ones(int16x8_t out[2], const int16_t s16[16], const int sub)
{
    const int16x8_t low = vld1q_s16(s16), high = vld1q_s16(s16 + 8);

    out[0] = sub == 16 ? low : vpaddq_s16(low, high);
    out[1] = high;
}

/* msum += the minimums of 4 rows times those sums, n <= 8 of them. */
LM_INLINE int32x4_t linear_neon_mins8(int32x4_t msum, const int16_t (*min)[16], int r, int16x8_t ones)
{
    msum = vmlal_laneq_s16(msum, vld1_s16(min[0] + r), ones, 0);
    msum = vmlal_laneq_s16(msum, vld1_s16(min[1] + r), ones, 1);
    msum = vmlal_laneq_s16(msum, vld1_s16(min[2] + r), ones, 2);
    msum = vmlal_laneq_s16(msum, vld1_s16(min[3] + r), ones, 3);
    msum = vmlal_laneq_s16(msum, vld1_s16(min[4] + r), ones, 4);
    msum = vmlal_laneq_s16(msum, vld1_s16(min[5] + r), ones, 5);
    msum = vmlal_laneq_s16(msum, vld1_s16(min[6] + r), ones, 6);
    return vmlal_laneq_s16(msum, vld1_s16(min[7] + r), ones, 7);
}

/* The same for all 8 or 16 sub-blocks. */
LM_INLINE int32x4_t linear_neon_mins(const int16_t (*min)[16], int r, const int16_t s16[16], const int sub)
{
    int16x8_t ones[2];

    linear_neon_ones(ones, s16, sub);
    int32x4_t msum = linear_neon_mins8(vdupq_n_s32(0), min, r, ones[0]);
    return sub == 16 ? linear_neon_mins8(msum, min + 8, r, ones[1]) : msum;
}

typedef void linear_neon_unpack_fn(linear_neon_panel *panel, const void *group, size_t at, size_t n);
typedef void linear_neon_tile_fn(const linear_neon_panel *panel, const linear_neon_tile_at *t);

/* ---- the drivers --------------------------------------------------------------------------------------------------------- */

LM_INLINE void linear_neon_panels(linear_neon_panel *panel, float *y, size_t y_stride, const uint8_t *w, size_t group_bytes, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols,
                                  linear_neon_unpack_fn *unpack, linear_neon_tile_fn *const *tiles)
{
    const size_t block = LM_MAX((size_t)LINEAR_NEON_X_BYTES / k / LINEAR_NEON_COLS, (size_t)4) * LINEAR_NEON_COLS;

    for (size_t c0 = 0; c0 < n_cols; c0 += block)
        for (size_t r = 0; r < n_rows; r += LM_GROUP)
            for (size_t at = 0; at < k; at += LINEAR_NEON_VALUES) {
                size_t n = LM_MIN(k - at, (size_t)LINEAR_NEON_VALUES), left = LM_MIN(n_cols - c0, block), n_tiles = (left + LINEAR_NEON_COLS - 1) / LINEAR_NEON_COLS;
                linear_neon_tile_at t = {y + c0 * y_stride + r, y_stride, k, c0, at, n, n_rows - r, x};

                unpack(panel, w + r / LM_GROUP * group_bytes, at, n);
                for (; n_tiles != 0; n_tiles--) {               /* tiles as even as they come */
                    size_t cols = (left + n_tiles - 1) / n_tiles;

                    tiles[cols - 1](panel, &t);
                    t.y += cols * y_stride;
                    t.col += cols;
                    left -= cols;
                }
            }
}

#endif

#endif
