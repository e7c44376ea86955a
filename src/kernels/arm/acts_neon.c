/* SPDX-License-Identifier: MIT
 * Activations with NEON, any aarch64: the bits of kernels/ref/acts_ref.c. Whole registers first, then the last part of a row
 * through a little buffer. A lane that adds zero keeps its bits, because sums of squares and of exponentials are never -0.
 * Threads: any. */
#include "kernels/kernels.h"
#include "kernels/arm/arm.h"
#include "kernels/arm/math_neon.h"

#include "base/compiler.h"

LM_EXACT_ARITHMETIC

#if LM_ARM

LM_INLINE uint32x4_t acts_neon_magnitude(const float *x)
{
    return vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x)), vdupq_n_u32(0x7fffffffu));
}

/* The largest magnitude of 32 values, as integers. */
LM_INLINE uint32x4_t acts_neon_most32(const float *x, uint32x4_t most)
{
    LM_UNROLL
    for (int i = 0; i < 8; i++)
        most = vmaxq_u32(most, acts_neon_magnitude(x + 4 * i));
    return most;
}

/* The scale d of a block and its reciprocal in *r, 0 where all q are 0. */
LM_INLINE float acts_neon_scale_of(uint32x4_t most, float *r)
{
    uint32_t bits = vmaxvq_u32(most);
    float amax = lm_f32_from_bits(bits);
    *r = 0.0f;
    if (bits >= 0x7f800000u)
        return NAN;
    if (amax < 0x1p-100f)
        return 0.0f;
    *r = 127.0f / amax;
    return amax / 127.0f;
}

/* Eight values, rounded to nearest even. */
LM_INLINE int16x8_t acts_neon_rounded(const float *x, float r)
{
    int32x4_t a = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), r)), b = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4), r));
    return vcombine_s16(vmovn_s32(a), vmovn_s32(b));
}

/* 16 q of one block; zeros where r is 0 (NaN * 0 is no number). */
LM_INLINE int8x16_t acts_neon_q16(const float *x, float r)
{
    if (!(r > 0))
        return vdupq_n_s8(0);
    return vcombine_s8(vmovn_s16(acts_neon_rounded(x, r)), vmovn_s16(acts_neon_rounded(x + 8, r)));
}

static void acts_neon_quantize_32(int8_t *q, float *d, int32_t *s, const float *x, size_t n)
{
    for (size_t b = 0; b < n / 32; b++, x += 32, q += 32) {
        float r;
        d[b] = acts_neon_scale_of(acts_neon_most32(x, vdupq_n_u32(0)), &r);
        int8x16_t low = acts_neon_q16(x, r), high = acts_neon_q16(x + 16, r);
        vst1q_s8(q, low);
        vst1q_s8(q + 16, high);
        s[b] = vaddlvq_s8(low) + vaddlvq_s8(high);
    }
}

static void acts_neon_quantize_256(int8_t *q, float *d, int16_t *s, const float *x, size_t n)
{
    for (size_t b = 0; b < n / 256; b++, x += 256, q += 256, s += 16) {
        uint32x4_t most = vdupq_n_u32(0);
        for (size_t i = 0; i < 256; i += 32)
            most = acts_neon_most32(x + i, most);
        float r;
        d[b] = acts_neon_scale_of(most, &r);
        for (size_t i = 0; i < 16; i++) {
            int8x16_t v = acts_neon_q16(x + 16 * i, r);
            vst1q_s8(q + 16 * i, v);
            s[i] = vaddlvq_s8(v);
        }
    }
}

static void acts_neon_rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    float32x4_t sum[4];
    size_t i = 0;
    LM_UNROLL
    for (int j = 0; j < 4; j++)
        sum[j] = vdupq_n_f32(0);
    for (; i + 16 <= n; i += 16) {
        LM_UNROLL
        for (int j = 0; j < 4; j++) {
            float32x4_t v = vld1q_f32(x + i + 4 * j);
            sum[j] = vfmaq_f32(sum[j], v, v);
        }
    }
    LM_UNROLL
    for (int j = 0; j < 4; j++, i += 4) {
        if (i < n) {
            float32x4_t v = math_neon_load(x + i, n - i);
            sum[j] = vfmaq_f32(sum[j], v, v);
        }
    }
    float mean = math_neon_tree16(sum) / (float)n;
    float s = 1.0f / vgetq_lane_f32(vsqrtq_f32(vdupq_n_f32(mean + eps)), 0);
    for (i = 0; i < n; i += 4) {
        float32x4_t v = vmulq_n_f32(math_neon_load(x + i, n - i), s);
        if (w)
            v = vmulq_f32(v, math_neon_load(w + i, n - i));
        math_neon_store(y + i, n - i, v);
    }
}

static void acts_neon_add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        math_neon_store(y + i, n - i, vaddq_f32(math_neon_load(a + i, n - i), math_neon_load(b + i, n - i)));
}

static void acts_neon_scale(float *y, const float *x, float s, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        math_neon_store(y + i, n - i, vmulq_n_f32(math_neon_load(x + i, n - i), s));
}

static void acts_neon_add_scaled(float *y, const float *x, float s, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        math_neon_store(y + i, n - i, vfmaq_n_f32(math_neon_load(y + i, n - i), math_neon_load(x + i, n - i), s));
}

static void acts_neon_silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t g = math_neon_load(gate + i, n - i);
        float32x4_t a = vdivq_f32(g, vaddq_f32(vdupq_n_f32(1.0f), math_neon_exp(vnegq_f32(g))));
        math_neon_store(y + i, n - i, vmulq_f32(a, math_neon_load(up + i, n - i)));
    }
}

static void acts_neon_gelu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t g = math_neon_load(gate + i, n - i);
        float32x4_t u = vmulq_f32(g, vfmaq_f32(vdupq_n_f32(LM_GELUF_C0), vdupq_n_f32(LM_GELUF_C1), vmulq_f32(g, g)));
        float32x4_t a = vdivq_f32(g, vaddq_f32(vdupq_n_f32(1.0f), math_neon_exp(vnegq_f32(u))));
        math_neon_store(y + i, n - i, vmulq_f32(a, math_neon_load(up + i, n - i)));
    }
}

static void acts_neon_softcap(float *y, const float *x, float cap, size_t n)
{
    float32x4_t c = vdupq_n_f32(cap);
    for (size_t i = 0; i < n; i += 4)
        math_neon_store(y + i, n - i, vmulq_f32(c, math_neon_tanh(vdivq_f32(math_neon_load(x + i, n - i), c))));
}

static void acts_neon_softmax(float *y, const float *x, size_t n)
{
    float32x4_t least = vdupq_n_f32(-INFINITY), most4 = least, sum[4];
    size_t i;
    for (i = 0; i + 4 <= n; i += 4)
        most4 = math_neon_max(vld1q_f32(x + i), most4);
    if (i < n)
        most4 = math_neon_max(vbslq_f32(math_neon_between(0, 0, (int)(n - i)), math_neon_load_part(x + i, n - i), least), most4);
    float32x4_t most = vdupq_n_f32(math_neon_max_lane(most4));
    LM_UNROLL
    for (int j = 0; j < 4; j++)
        sum[j] = vdupq_n_f32(0);
    for (i = 0; i < n; i += 16) {
        LM_UNROLL
        for (size_t j = 0; j < 4; j++) {
            size_t at = i + 4 * j;
            if (at >= n)
                break;
            float32x4_t p = math_neon_exp(vsubq_f32(math_neon_load(x + at, n - at), most));
            if (n - at < 4)
                p = math_neon_and(p, math_neon_between(0, 0, (int)(n - at)));
            math_neon_store(y + at, n - at, p);
            sum[j] = vaddq_f32(sum[j], p);
        }
    }
    float32x4_t total = vdupq_n_f32(math_neon_tree16(sum));
    for (i = 0; i < n; i += 4)
        math_neon_store(y + i, n - i, vdivq_f32(math_neon_load(y + i, n - i), total));
}

/* (a, b) turned by the angle of (c, s). */
LM_INLINE void acts_neon_rotate(float32x4_t *a, float32x4_t *b, float32x4_t c, float32x4_t s)
{
    float32x4_t bs = vmulq_f32(*b, s), bc = vmulq_f32(*b, c);
    *b = vfmaq_f32(bc, *a, s);
    *a = vfmaq_f32(vnegq_f32(bs), *a, c);
}

static void acts_neon_rope_pairs(float *x, const float *cs, size_t n_rot)
{
    size_t i = 0;
    for (; i + 8 <= n_rot; i += 8) {
        float32x4x2_t v = vld2q_f32(x + i), turn = vld2q_f32(cs + i);
        acts_neon_rotate(&v.val[0], &v.val[1], turn.val[0], turn.val[1]);
        vst2q_f32(x + i, v);
    }
    for (; i < n_rot; i += 2) {
        float32x4_t a = vdupq_n_f32(x[i]), b = vdupq_n_f32(x[i + 1]);
        acts_neon_rotate(&a, &b, vdupq_n_f32(cs[i]), vdupq_n_f32(cs[i + 1]));
        x[i] = vgetq_lane_f32(a, 0);
        x[i + 1] = vgetq_lane_f32(b, 0);
    }
}

static void acts_neon_rope_halves(float *x, const float *cs, size_t n_rot)
{
    size_t half = n_rot / 2, i = 0;
    float *y = x + half;
    for (; i + 4 <= half; i += 4) {
        float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(y + i);
        float32x4x2_t turn = vld2q_f32(cs + 2 * i);
        acts_neon_rotate(&a, &b, turn.val[0], turn.val[1]);
        vst1q_f32(x + i, a);
        vst1q_f32(y + i, b);
    }
    for (; i < half; i++) {
        float32x4_t a = vdupq_n_f32(x[i]), b = vdupq_n_f32(y[i]);
        acts_neon_rotate(&a, &b, vdupq_n_f32(cs[2 * i]), vdupq_n_f32(cs[2 * i + 1]));
        x[i] = vgetq_lane_f32(a, 0);
        y[i] = vgetq_lane_f32(b, 0);
    }
}

void lm_kernels_acts_neon(lm_kernels *table)
{
    table->quantize_32 = acts_neon_quantize_32;
    table->quantize_256 = acts_neon_quantize_256;
    table->rms_norm = acts_neon_rms_norm;
    table->add = acts_neon_add;
    table->scale = acts_neon_scale;
    table->add_scaled = acts_neon_add_scaled;
    table->silu_mul = acts_neon_silu_mul;
    table->gelu_mul = acts_neon_gelu_mul;
    table->softcap = acts_neon_softcap;
    table->softmax = acts_neon_softmax;
    table->rope_pairs = acts_neon_rope_pairs;
    table->rope_halves = acts_neon_rope_halves;
}
#else
void lm_kernels_acts_neon(lm_kernels *table) { (void)table; }
#endif
