/* SPDX-License-Identifier: MIT
 * Quantizing rows: see quantize.h. Here: the table of types, the blocks of 32 with one scale (or scale and minimum), what all share. The
 * plain forms of those, rounding to the range of the block, follow the `gguf` package step by step; with weights they are fitted. */
#include "tensor/quantize.h"

#include "tensor/blocks.h"
#include "tensor/fit.h"

#include "base/compiler.h"
#include "base/half.h"

#include <string.h>

LM_EXACT_ARITHMETIC

/* ---- what all share */

bool lm_quantize_ready(lm_quantize_block *block, const float *x, const float *weights, int n)
{
    uint32_t most = 0, exponent;
    float sum = 0;
    for (int i = 0; i < n; i++) {
        uint32_t size = lm_bits_from_f32(x[i]) & 0x7fffffffu;
        most = size > most ? size : most;
    }
    exponent = most >> 23;
    if (exponent == 0)
        return false;
    exponent = exponent < 252 ? exponent : 252;             /* both powers stay normal numbers */
    block->up = lm_f32_from_bits((253 - exponent) << 23);
    block->down = lm_f32_from_bits((exponent + 1) << 23);
    for (int i = 0; i < n; i++)
        block->x[i] = x[i] * block->up;
    for (int i = 0; weights && i < n; i++)
        sum += weights[i];
    if (sum > 0 && sum <= 3e38f) {                          /* a little of each counts even where the weights say none */
        float scale = (float)n / sum;
        for (int i = 0; i < n; i++)
            block->w[i] = weights[i] * scale + 0x1p-14f;
    } else {
        for (int i = 0; i < n; i++)
            block->w[i] = 1;
    }
    return true;
}

uint16_t lm_quantize_scale(const lm_quantize_block *block, float scale, float *meant)
{
    uint16_t bits = lm_f16_from_f32(scale * block->down);
    *meant = lm_f32_from_f16(bits) * block->up;
    return bits;
}

/* ---- blocks of 32 as the gguf package makes them. Where the inverse of a (subnormal) scale is infinite, all codes are 0 */

static float quantize_inverse(float d) { return d == 0 ? 0 : 1 / d; }
static bool quantize_endless(float inverse) { return (lm_bits_from_f32(inverse) & 0x7fffffffu) == 0x7f800000u; }

/* The greatest size, as bits. */
static int32_t quantize_most(const int32_t bits[32])
{
    int32_t most[8] = { 0 };
    for (int i = 0; i < 32; i += 8)
        for (int k = 0; k < 8; k++) {
            int32_t size = bits[i + k] & 0x7fffffff;
            most[k] = size > most[k] ? size : most[k];
        }
    for (int k = 1; k < 8; k++)
        most[0] = most[k] > most[0] ? most[k] : most[0];
    return most[0];
}

/* The value farthest from zero, the first of equals. */
static float quantize_farthest(const float *x)
{
    int32_t bits[32], most;
    int i = 0;
    memcpy(bits, x, sizeof bits);
    most = quantize_most(bits);
    while ((bits[i] & 0x7fffffff) != most)
        i++;
    return x[i];
}

static void quantize_range(const float *x, float *low, float *high)
{
    float lows[8], highs[8];
    for (int k = 0; k < 8; k++)
        lows[k] = highs[k] = x[k];
    for (int i = 8; i < 32; i += 8)
        for (int k = 0; k < 8; k++) {
            lows[k] = x[i + k] < lows[k] ? x[i + k] : lows[k];
            highs[k] = x[i + k] > highs[k] ? x[i + k] : highs[k];
        }
    *low = lows[0];
    *high = highs[0];
    for (int k = 1; k < 8; k++) {
        *low = lows[k] < *low ? lows[k] : *low;
        *high = highs[k] > *high ? highs[k] : *high;
    }
}

/* (x - low) * inverse + add, cut to a whole number of 0..most. */
static void quantize_codes(const float *x, float low, float inverse, float add, float most, uint8_t q[32])
{
    int32_t whole[32];
    if (quantize_endless(inverse)) {
        memset(q, 0, 32);
        return;
    }
    for (int i = 0; i < 32; i++) {
        float t = (x[i] - low) * inverse + add;
        t = t > 0 ? t : 0;
        whole[i] = (int32_t)(t < most ? t : most);
    }
    for (int i = 0; i < 32; i++)
        q[i] = (uint8_t)whole[i];
}

/* Codes -half..half-1, stored from 0 up. */
static uint16_t quantize_even(const float *x, float half, uint8_t q[32])
{
    float d = quantize_farthest(x) / -half;
    quantize_codes(x, 0, quantize_inverse(d), half + 0.5f, 2 * half - 1, q);
    return lm_f16_from_f32(d);
}

static void quantize_affine(const float *x, uint8_t top, uint16_t *d, uint16_t *m, uint8_t q[32])
{
    float low, high, scale;
    quantize_range(x, &low, &high);
    scale = (high - low) / (float)top;
    quantize_codes(x, low, quantize_inverse(scale), 0.5f, (float)top, q);
    *d = lm_f16_from_f32(scale);
    *m = lm_f16_from_f32(low);
}

static void quantize_q8_0(const float *x, void *out)
{
    lm_block_q8_0 *block = out;
    int32_t bits[32], whole[32];
    float d, inverse;
    memcpy(bits, x, sizeof bits);
    d = lm_f32_from_bits((uint32_t)quantize_most(bits)) / 127;
    inverse = quantize_inverse(d);
    block->d = lm_f16_from_f32(d);
    if (quantize_endless(inverse))
        inverse = 0;
    for (int i = 0; i < 32; i++) {                          /* halves away from zero; no size passes 127.01 */
        float size = lm_f32_from_bits((uint32_t)bits[i] & 0x7fffffffu) * inverse;
        int32_t floored = (int32_t)size, rounded = floored + (int32_t)(2 * (size - (float)floored)), below = -(int32_t)((uint32_t)bits[i] >> 31);
        whole[i] = (rounded ^ below) - below;
    }
    for (int i = 0; i < 32; i++)
        block->qs[i] = (int8_t)whole[i];
}

/* ---- the same with weights: fitted, then the best of sixteen scales around it, as f16 has them */

static uint16_t quantize_even_fitted(const float *x, const float *weights, float half, uint8_t q[32])
{
    lm_quantize_block block;
    float a, scales[LM_FIT_LANES], error[LM_FIT_LANES];
    uint16_t bits[LM_FIT_LANES];
    int8_t codes[32];
    int best = 0;
    if (!lm_quantize_ready(&block, x, weights, 32)) {
        memset(q, (int)half, 32);
        return 0;
    }
    lm_fit_even(block.x, block.w, 32, half, &a);
    for (int c = 0; c < LM_FIT_LANES; c++)
        bits[c] = lm_quantize_scale(&block, a * (1 + 0.008f * (float)(c - 8)), &scales[c]);
    lm_fit_even_errors(block.x, block.w, 32, half, scales, error);
    for (int c = 1; c < LM_FIT_LANES; c++)
        best = error[c] < error[best] ? c : best;
    lm_fit_even_codes(block.x, 32, half, scales[best], codes);
    for (int i = 0; i < 32; i++)
        q[i] = (uint8_t)(codes[i] + (int)half);
    return bits[best];
}

static void quantize_affine_fitted(const float *x, const float *weights, uint8_t top, uint16_t *d, uint16_t *m, uint8_t q[32])
{
    lm_quantize_block block;
    float a, b, scales[LM_FIT_LANES], lows[LM_FIT_LANES], error[LM_FIT_LANES];
    uint16_t scale_bits[LM_FIT_LANES], low_bits[LM_FIT_LANES];
    int best = 0;
    *d = *m = 0;
    memset(q, 0, 32);
    if (!lm_quantize_ready(&block, x, weights, 32))
        return;
    lm_fit_affine(block.x, block.w, 32, (float)top, false, &a, &b);
    for (int c = 0; c < LM_FIT_LANES; c++) {
        scale_bits[c] = lm_quantize_scale(&block, a * (1 + 0.01f * (float)(c % 4 - 1)), &scales[c]);
        low_bits[c] = lm_quantize_scale(&block, b + 0.1f * a * (float)(c / 4 - 1), &lows[c]);
    }
    lm_fit_affine_errors(block.x, block.w, 32, (float)top, scales, lows, error);
    for (int c = 1; c < LM_FIT_LANES; c++)
        best = error[c] < error[best] ? c : best;
    lm_fit_affine_codes(block.x, 32, (float)top, scales[best], lows[best], q);
    *d = scale_bits[best];
    *m = low_bits[best];
}

/* ---- packing */

static void quantize_pack4(const uint8_t q[32], uint8_t qs[16])
{
    for (int i = 0; i < 16; i++)
        qs[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

static void quantize_pack5(const uint8_t q[32], uint8_t qs[16], uint8_t qh[4])
{
    quantize_pack4(q, qs);
    memset(qh, 0, 4);
    for (int i = 0; i < 32; i++)
        qh[i / 8] |= (uint8_t)((q[i] >> 4) << (i % 8));
}

static void quantize_q4_0(const float *x, const float *weights, void *out)
{
    lm_block_q4_0 *block = out;
    uint8_t q[32];
    block->d = weights ? quantize_even_fitted(x, weights, 8, q) : quantize_even(x, 8, q);
    quantize_pack4(q, block->qs);
}

static void quantize_q5_0(const float *x, const float *weights, void *out)
{
    lm_block_q5_0 *block = out;
    uint8_t q[32];
    block->d = weights ? quantize_even_fitted(x, weights, 16, q) : quantize_even(x, 16, q);
    quantize_pack5(q, block->qs, block->qh);
}

static void quantize_q4_1(const float *x, const float *weights, void *out)
{
    lm_block_q4_1 *block = out;
    uint8_t q[32];
    if (weights)
        quantize_affine_fitted(x, weights, 15, &block->d, &block->m, q);
    else
        quantize_affine(x, 15, &block->d, &block->m, q);
    quantize_pack4(q, block->qs);
}

static void quantize_q5_1(const float *x, const float *weights, void *out)
{
    lm_block_q5_1 *block = out;
    uint8_t q[32];
    if (weights)
        quantize_affine_fitted(x, weights, 31, &block->d, &block->m, q);
    else
        quantize_affine(x, 31, &block->d, &block->m, q);
    quantize_pack5(q, block->qs, block->qh);
}

static void quantize_q8_0_any(const float *x, const float *weights, void *out)
{
    (void)weights;                                          /* the best scale of eight bits is the range, to a part in a thousand */
    quantize_q8_0(x, out);
}

/* ---- rows */

typedef void quantize_block_fn(const float *x, const float *weights, void *out);

static quantize_block_fn *quantize_find(uint32_t type)
{
    switch (type) {
    case LM_TYPE_Q8_0: return quantize_q8_0_any;
    case LM_TYPE_Q4_0: return quantize_q4_0;
    case LM_TYPE_Q4_1: return quantize_q4_1;
    case LM_TYPE_Q5_0: return quantize_q5_0;
    case LM_TYPE_Q5_1: return quantize_q5_1;
    case LM_TYPE_Q4_K: return lm_quantize_q4_k;
    case LM_TYPE_Q5_K: return lm_quantize_q5_k;
    case LM_TYPE_Q6_K: return lm_quantize_q6_k;
    case LM_TYPE_IQ4_NL: return lm_quantize_iq4_nl;
    case LM_TYPE_IQ4_XS: return lm_quantize_iq4_xs;
    default: return NULL;
    }
}

bool lm_quantize_plain(uint32_t type) { return type == LM_TYPE_F32 || type == LM_TYPE_F16 || type == LM_TYPE_BF16; }
bool lm_quantize_can(uint32_t type) { return lm_quantize_plain(type) || quantize_find(type) != NULL; }

static uint16_t quantize_bf16(float x)
{
    uint32_t bits = lm_bits_from_f32(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 64);                 /* quiet */
    return (uint16_t)((bits + (0x7fffu + ((bits >> 16) & 1))) >> 16);
}

static void quantize_narrow(uint32_t type, const float *x, uint64_t n, void *out)
{
    uint16_t *halves = out;
    if (type == LM_TYPE_F32)
        memcpy(out, x, (size_t)n * sizeof *x);
    for (uint64_t i = 0; type == LM_TYPE_F16 && i < n; i++)
        halves[i] = lm_f16_from_f32(x[i]);
    for (uint64_t i = 0; type == LM_TYPE_BF16 && i < n; i++)
        halves[i] = quantize_bf16(x[i]);
}

void lm_quantize_row(uint32_t type, const float *x, const float *weights, uint64_t n, void *out)
{
    quantize_block_fn *quantize = quantize_find(type);
    const lm_type_info *info = lm_type_get(type);
    if (!quantize) {
        quantize_narrow(type, x, n, out);
        return;
    }
    for (uint64_t i = 0; i < n / info->block; i++)
        quantize(x + i * info->block, weights ? weights + i * info->block : NULL, (unsigned char *)out + i * info->block_bytes);
}

void lm_quantize_widen(uint32_t type, const void *row, uint64_t n, float *out)
{
    const uint16_t *halves = row;
    if (type == LM_TYPE_F32)
        memcpy(out, row, (size_t)n * sizeof *out);
    for (uint64_t i = 0; type == LM_TYPE_F16 && i < n; i++)
        out[i] = lm_f32_from_f16(halves[i]);
    for (uint64_t i = 0; type == LM_TYPE_BF16 && i < n; i++)
        out[i] = lm_f32_from_bf16(halves[i]);
}
