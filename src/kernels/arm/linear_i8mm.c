/* SPDX-License-Identifier: MIT
 * Products with packed weights for aarch64 with i8mm: many columns by smmla, two rows times two columns over eight values of k;
 * one or two columns, whose time is the memory's, by dot products. Bits: those of ref/linear_ref.c. Threads: any; nothing is
 * kept.
 *
 * smmla wants eight values of a row side by side, the 16-row layout has four: two lines are zipped when a panel is made. Sums stand
 * as [row][column] of two by two until `order`. An odd last column is computed twice. */
#include "kernels/kernels.h"

#include "kernels/layout.h"
#include "kernels/arm/arm.h"
#include "kernels/arm/linear_neon.h"
#include "tensor/type.h"
#include "base/compiler.h"

LM_EXACT_ARITHMETIC

#if LM_ARM
LM_TARGET_I8MM

#define LINEAR_NEON(name) linear_i8mm_##name

typedef int32x4_t linear_i8mm_sum;

LM_INLINE linear_i8mm_sum linear_i8mm_start(int32_t n) { return vdupq_n_s32(n); }
LM_INLINE int32x4_t linear_i8mm_total(linear_i8mm_sum s) { return s; }

LM_INLINE linear_i8mm_sum linear_i8mm_dot(linear_i8mm_sum s, const int8x16_t w[4], int8x16_t x)
{
    s = vdotq_laneq_s32(s, w[0], x, 0);
    s = vdotq_laneq_s32(s, w[1], x, 1);
    s = vdotq_laneq_s32(s, w[2], x, 2);
    return vdotq_laneq_s32(s, w[3], x, 3);
}

enum { LINEAR_I8MM_PAIRS = LINEAR_NEON_COLS / 2, linear_i8mm_PARTS = 4 * LINEAR_I8MM_PAIRS };       /* pairs of columns; part 4p + r: pair r of rows */

/* Two vectors of four values of four rows become two of eight values of two rows. */
LM_INLINE void linear_i8mm_keep(int8_t panel[64], const int8x16_t w[4])
{
    LM_UNROLL
    for (int i = 0; i < 4; i += 2) {
        const int32x4_t a = vreinterpretq_s32_s8(w[i]), z = vreinterpretq_s32_s8(w[i + 1]);

        vst1q_s8(panel + 16 * i, vreinterpretq_s8_s32(vzip1q_s32(a, z)));
        vst1q_s8(panel + 16 * i + 16, vreinterpretq_s8_s32(vzip2q_s32(a, z)));
    }
}

LM_INLINE void linear_i8mm_tile(int32x4_t s[linear_i8mm_PARTS], const int8_t (*q)[64], const int8_t *x, size_t k, const int C, const int n)
{
    const int n_pairs = (C + 1) / 2;

    LM_UNROLL
    for (int i = 0; i < 4 * n_pairs; i++)
        s[i] = vdupq_n_s32(0);
    LM_UNROLL
    for (int u = 0; u < n; u++) {
        int8x16_t v[LINEAR_I8MM_PAIRS][2];

        LM_UNROLL
        for (int p = 0; p < n_pairs; p++) {
            const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(x + (size_t)(2 * p) * k + 16 * u));
            const int64x2_t z = 2 * p + 1 < C ? vreinterpretq_s64_s8(vld1q_s8(x + (size_t)(2 * p + 1) * k + 16 * u)) : a;

            v[p][0] = vreinterpretq_s8_s64(vzip1q_s64(a, z));
            v[p][1] = vreinterpretq_s8_s64(vzip2q_s64(a, z));
        }
        LM_UNROLL
        for (int i = 0; i < 8; i++) {                           /* half of the sixteen, pair of rows */
            const int row = i / 4 * 2 + i % 2, half = i / 2 % 2;
            const int8x16_t w = vld1q_s8(q[4 * u + i / 4] + 16 * (i % 4));

            LM_UNROLL
            for (int p = 0; p < n_pairs; p++)
                s[4 * p + row] = vmmlaq_s32(s[4 * p + row], w, v[p][half]);
        }
    }
}

LM_INLINE void linear_i8mm_scaled(int32x4_t isum[linear_i8mm_PARTS], const int32x4_t s[linear_i8mm_PARTS], const int32_t scale[8], const int C)
{
    const int32x4_t low = vld1q_s32(scale), high = vld1q_s32(scale + 4);
    const int32x4_t twice[4] = { vzip1q_s32(low, low), vzip2q_s32(low, low), vzip1q_s32(high, high), vzip2q_s32(high, high) };

    LM_UNROLL
    for (int i = 0; i < 4 * ((C + 1) / 2); i++)
        isum[i] = vmlaq_s32(isum[i], s[i], twice[i % 4]);
}

LM_INLINE void linear_i8mm_order(int32x4_t out[][2], const int32x4_t s[linear_i8mm_PARTS], const int C)
{
    LM_UNROLL
    for (int c = 0; c < C; c++) {
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            const int32x4_t a = s[4 * (c / 2) + 2 * h], z = s[4 * (c / 2) + 2 * h + 1];

            out[c][h] = c % 2 == 0 ? vuzp1q_s32(a, z) : vuzp2q_s32(a, z);
        }
    }
}

#include "kernels/arm/linear_neon.inc"
#undef LINEAR_NEON

LM_TARGET_END

void lm_kernels_linear_i8mm(lm_kernels *table) { linear_i8mm_fill(table); }
#else
void lm_kernels_linear_i8mm(lm_kernels *table) { (void)table; }
#endif
