/* SPDX-License-Identifier: MIT
 * The reference of everything that is done to activations: quantization, norms, sums, softmax, RoPE. The plain form of
 * docs/ARITHMETIC.md: written to be read, not to be fast; every tier gives its bits. Pure functions. Threads: any. */
#include "kernels/kernels.h"

#include "base/compiler.h"
#include "base/fmath.h"

LM_EXACT_ARITHMETIC

/* The sum of sixteen lanes, in the one shape. */
static float acts_ref_tree16(const float lane[16])
{
    float b[8], c[4];
    for (int i = 0; i < 8; i++)
        b[i] = lane[i] + lane[i + 8];
    for (int i = 0; i < 4; i++)
        c[i] = b[i] + b[i + 4];
    float d0 = c[0] + c[2], d1 = c[1] + c[3];
    return d0 + d1;
}

/* One block to eight bits; returns its scale. */
static float acts_ref_quantize_block(int8_t *q, const float *x, size_t n)
{
    uint32_t most = 0;                                      /* as integers: NaN > infinity > numbers */
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = lm_bits_from_f32(x[i]) & 0x7fffffffu;
        if (bits > most)
            most = bits;
    }
    float amax = lm_f32_from_bits(most);
    if (most >= 0x7f800000u || amax < 0x1p-100f) {
        for (size_t i = 0; i < n; i++)
            q[i] = 0;
        return most >= 0x7f800000u ? NAN : 0.0f;
    }
    float r = 127.0f / amax;
    for (size_t i = 0; i < n; i++) {
        float rounded = x[i] * r + 0x1.8p23f;               /* to nearest even; |x r| <= 127.00001 */
        q[i] = (int8_t)(rounded - 0x1.8p23f);
    }
    return amax / 127.0f;
}

static void acts_ref_quantize_32(int8_t *q, float *d, int32_t *s, const float *x, size_t n)
{
    for (size_t b = 0; b < n / 32; b++) {
        d[b] = acts_ref_quantize_block(q + b * 32, x + b * 32, 32);
        s[b] = 0;
        for (size_t i = 0; i < 32; i++)
            s[b] += q[b * 32 + i];
    }
}

static void acts_ref_quantize_256(int8_t *q, float *d, int16_t *s, const float *x, size_t n)
{
    for (size_t b = 0; b < n / 256; b++)
        d[b] = acts_ref_quantize_block(q + b * 256, x + b * 256, 256);
    for (size_t b = 0; b < n / 256 * 16; b++) {
        int sum = 0;
        for (size_t i = 0; i < 16; i++)
            sum += q[b * 16 + i];
        s[b] = (int16_t)sum;
    }
}

static void acts_ref_rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    float lane[16] = { 0 };
    for (size_t i = 0; i < n; i++)
        lane[i % 16] = lm_fmaf(x[i], x[i], lane[i % 16]);
    float mean = acts_ref_tree16(lane) / (float)n;
    float s = 1.0f / sqrtf(mean + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = w ? x[i] * s * w[i] : x[i] * s;
}

static void acts_ref_add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static void acts_ref_scale(float *y, const float *x, float s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * s;
}

static void acts_ref_add_scaled(float *y, const float *x, float s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = lm_fmaf(s, x[i], y[i]);
}

static void acts_ref_silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gate[i] / (1.0f + lm_expf(-gate[i])) * up[i];
}

static void acts_ref_gelu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float g = gate[i], u = g * lm_fmaf(LM_GELUF_C1, g * g, LM_GELUF_C0);
        y[i] = g / (1.0f + lm_expf(-u)) * up[i];
    }
}

static void acts_ref_softcap(float *y, const float *x, float cap, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = cap * lm_tanhf(x[i] / cap);
}

static void acts_ref_softmax(float *y, const float *x, size_t n)
{
    float most = -INFINITY, lane[16] = { 0 };
    for (size_t i = 0; i < n; i++)
        if (x[i] > most)                                    /* never a NaN; it comes back through the sum */
            most = x[i];
    most += 0.0f;                                           /* -0 becomes +0: which zero came first does not show */
    for (size_t i = 0; i < n; i++) {
        y[i] = lm_expf(x[i] - most);
        lane[i % 16] += y[i];
    }
    float sum = acts_ref_tree16(lane);
    for (size_t i = 0; i < n; i++)
        y[i] /= sum;
}

/* (a, b) turned by the angle of cs = (cos, sin). */
static void acts_ref_rotate(float *a, float *b, const float *cs)
{
    float bs = *b * cs[1], bc = *b * cs[0];
    *b = lm_fmaf(*a, cs[1], bc);
    *a = lm_fmaf(*a, cs[0], -bs);
}

static void acts_ref_rope_pairs(float *x, const float *cs, size_t n_rot)
{
    for (size_t j = 0; j < n_rot / 2; j++)
        acts_ref_rotate(x + 2 * j, x + 2 * j + 1, cs + 2 * j);
}

static void acts_ref_rope_halves(float *x, const float *cs, size_t n_rot)
{
    for (size_t j = 0; j < n_rot / 2; j++)
        acts_ref_rotate(x + j, x + j + n_rot / 2, cs + 2 * j);
}

void lm_kernels_acts_ref(lm_kernels *table)
{
    table->quantize_32 = acts_ref_quantize_32;
    table->quantize_256 = acts_ref_quantize_256;
    table->rms_norm = acts_ref_rms_norm;
    table->add = acts_ref_add;
    table->scale = acts_ref_scale;
    table->add_scaled = acts_ref_add_scaled;
    table->silu_mul = acts_ref_silu_mul;
    table->gelu_mul = acts_ref_gelu_mul;
    table->softcap = acts_ref_softcap;
    table->softmax = acts_ref_softmax;
    table->rope_pairs = acts_ref_rope_pairs;
    table->rope_halves = acts_ref_rope_halves;
}
