/* SPDX-License-Identifier: MIT
 * What the NEON kernels of activations and attention share: lm_expf and lm_tanhf in four lanes, the sum of sixteen lanes in
 * four registers, masks and partial registers for the last part of a row. Same operations in the same order as base/fmath.c and
 * docs/ARITHMETIC.md. Floor 5. */
#ifndef LM_KERNELS_ARM_MATH_NEON_H
#define LM_KERNELS_ARM_MATH_NEON_H

#include "kernels/arm/arm.h"
#include "base/compiler.h"
#include "base/fmath.h"

#include <stddef.h>

#if LM_ARM
LM_EXACT_ARITHMETIC

/* The lanes first <= lane + base < last of four, all bits set. */
LM_INLINE uint32x4_t math_neon_between(int base, int first, int last)
{
    static const int32_t lanes[4] = { 0, 1, 2, 3 };
    int32x4_t lane = vaddq_s32(vdupq_n_s32(base), vld1q_s32(lanes));
    return vandq_u32(vcgeq_s32(lane, vdupq_n_s32(first)), vcltq_s32(lane, vdupq_n_s32(last)));
}

/* The first `left` < 4 of four values, zeros behind; and back. */
LM_INLINE float32x4_t math_neon_load_part(const float *x, size_t left)
{
    float part[4] = { 0 };
    for (size_t i = 0; i < left; i++)
        part[i] = x[i];
    return vld1q_f32(part);
}

LM_INLINE void math_neon_store_part(float *y, size_t left, float32x4_t v)
{
    float part[4];
    vst1q_f32(part, v);
    for (size_t i = 0; i < left; i++)
        y[i] = part[i];
}

/* Up to four values of a row with `left` to go. */
LM_INLINE float32x4_t math_neon_load(const float *x, size_t left) { return LM_LIKELY(left >= 4) ? vld1q_f32(x) : math_neon_load_part(x, left); }
LM_INLINE void math_neon_store(float *y, size_t left, float32x4_t v)
{
    if (LM_LIKELY(left >= 4))
        vst1q_f32(y, v);
    else
        math_neon_store_part(y, left, v);
}

LM_INLINE float32x4_t math_neon_and(float32x4_t v, uint32x4_t mask) { return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), mask)); }

/* The larger of v and most, where a NaN of v never wins. (fmaxnm would do, were it not for signalling NaN.) */
LM_INLINE float32x4_t math_neon_max(float32x4_t v, float32x4_t most) { return vbslq_f32(vcgtq_f32(v, most), v, most); }

/* The largest lane; no NaN among them. -0 becomes +0. */
LM_INLINE float math_neon_max_lane(float32x4_t most) { return vmaxvq_f32(most) + 0.0f; }

LM_INLINE float32x4_t math_neon_exp(float32x4_t x)
{
    float32x4_t t = vfmaq_f32(vdupq_n_f32(LM_EXPF_ROUND), x, vdupq_n_f32(LM_EXPF_LOG2E));
    float32x4_t n = vsubq_f32(t, vdupq_n_f32(LM_EXPF_ROUND));
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(LM_EXPF_LN2_HIGH));
    r = vfmsq_f32(r, n, vdupq_n_f32(LM_EXPF_LN2_LOW));
    float32x4_t p = vfmaq_f32(vdupq_n_f32(LM_EXPF_C5), vdupq_n_f32(LM_EXPF_C6), r);
    p = vfmaq_f32(vdupq_n_f32(LM_EXPF_C4), p, r);
    p = vfmaq_f32(vdupq_n_f32(LM_EXPF_C3), p, r);
    p = vfmaq_f32(vdupq_n_f32(LM_EXPF_C2), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    float32x4_t y = vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vreinterpretq_s32_f32(t), 23)));
    y = vbslq_f32(vcgtq_f32(x, vdupq_n_f32(LM_EXPF_HIGH)), vdupq_n_f32(INFINITY), y);
    y = vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), vcltq_f32(x, vdupq_n_f32(LM_EXPF_LOW))));
    return vbslq_f32(vceqq_f32(x, x), y, x);
}

LM_INLINE float32x4_t math_neon_tanh(float32x4_t x)
{
    float32x4_t one = vdupq_n_f32(1.0f), z = vabsq_f32(x), z2 = vmulq_f32(z, z);
    float32x4_t p = vfmaq_f32(vdupq_n_f32(LM_TANHF_C3), vdupq_n_f32(LM_TANHF_C4), z2);
    p = vfmaq_f32(vdupq_n_f32(LM_TANHF_C2), p, z2);
    p = vfmaq_f32(vdupq_n_f32(LM_TANHF_C1), p, z2);
    p = vfmaq_f32(vdupq_n_f32(LM_TANHF_C0), p, z2);
    float32x4_t near = vfmaq_f32(z, vmulq_f32(z2, p), z);
    float32x4_t e = math_neon_exp(vaddq_f32(z, z));
    float32x4_t far = vsubq_f32(one, vdivq_f32(vdupq_n_f32(2.0f), vaddq_f32(e, one)));
    float32x4_t y = vbslq_f32(vcltq_f32(z, vdupq_n_f32(LM_TANHF_BORDER)), near, far);
    return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(y), vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x80000000u))));
}

/* v[i]: lanes 4i .. 4i + 3. */
LM_INLINE float math_neon_tree16(const float32x4_t v[4])
{
    float32x4_t c = vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3]));
    float32x2_t d = vadd_f32(vget_low_f32(c), vget_high_f32(c));
    return vget_lane_f32(d, 0) + vget_lane_f32(d, 1);
}

#endif

#endif
