/* SPDX-License-Identifier: MIT
 * Products with packed weights for aarch64 with dot product instructions. Bits: those of ref/linear_ref.c. Threads: any; nothing
 * is kept. The 16-row layout is made for them: sdot takes four rows times four values of k, and the four values of the column
 * from a lane. */
#include "kernels/kernels.h"

#include "kernels/layout.h"
#include "kernels/arm/arm.h"
#include "kernels/arm/linear_neon.h"
#include "tensor/type.h"
#include "base/compiler.h"

LM_EXACT_ARITHMETIC

#if LM_ARM
LM_TARGET_DOT

#define LINEAR_NEON(name) linear_dot_##name

typedef int32x4_t linear_dot_sum;

LM_INLINE linear_dot_sum linear_dot_start(int32_t n) { return vdupq_n_s32(n); }
LM_INLINE int32x4_t linear_dot_total(linear_dot_sum s) { return s; }

LM_INLINE linear_dot_sum linear_dot_dot(linear_dot_sum s, const int8x16_t w[4], int8x16_t x)
{
    s = vdotq_laneq_s32(s, w[0], x, 0);
    s = vdotq_laneq_s32(s, w[1], x, 1);
    s = vdotq_laneq_s32(s, w[2], x, 2);
    return vdotq_laneq_s32(s, w[3], x, 3);
}

enum { linear_dot_PARTS = 2 * LINEAR_NEON_COLS };

LM_INLINE void linear_dot_keep(int8_t panel[64], const int8x16_t w[4])
{
    LM_UNROLL
    for (int i = 0; i < 4; i++)
        vst1q_s8(panel + 16 * i, w[i]);
}

LM_INLINE void linear_dot_tile(int32x4_t s[linear_dot_PARTS], const int8_t (*q)[64], const int8_t *x, size_t k, const int C, const int n)
{
    LM_UNROLL
    for (int i = 0; i < 2 * C; i++)
        s[i] = vdupq_n_s32(0);
    LM_UNROLL
    for (int u = 0; u < n; u++) {
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            int8x16_t w[4];

            LM_UNROLL
            for (int i = 0; i < 4; i++)
                w[i] = vld1q_s8(q[4 * u + h] + 16 * i);
            LM_UNROLL
            for (int c = 0; c < C; c++)
                s[2 * c + h] = linear_dot_dot(s[2 * c + h], w, vld1q_s8(x + (size_t)c * k + 16 * u));
        }
    }
}

LM_INLINE void linear_dot_scaled(int32x4_t isum[linear_dot_PARTS], const int32x4_t s[linear_dot_PARTS], const int32_t scale[8], const int C)
{
    LM_UNROLL
    for (int i = 0; i < 2 * C; i++)
        isum[i] = vmlaq_s32(isum[i], s[i], vld1q_s32(scale + 4 * (i % 2)));
}

LM_INLINE void linear_dot_order(int32x4_t out[][2], const int32x4_t s[linear_dot_PARTS], const int C)
{
    LM_UNROLL
    for (int i = 0; i < 2 * C; i++)
        out[i / 2][i % 2] = s[i];
}

#include "kernels/arm/linear_neon.inc"
#undef LINEAR_NEON

LM_TARGET_END

void lm_kernels_linear_dot(lm_kernels *table) { linear_dot_fill(table); }
#else
void lm_kernels_linear_dot(lm_kernels *table) { (void)table; }
#endif
