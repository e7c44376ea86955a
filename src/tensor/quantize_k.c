/* SPDX-License-Identifier: MIT
 * Super-blocks of 256 values: Q4_K, Q5_K, Q6_K.
 *
 * Each sub-block is fitted alone first; that tells how large the scales must be. Then the scales are chosen where they can stand: for given
 * d (and dmin), every sub-block tries the sixteen pairs of small integers around its own fit and keeps the best, codes chosen anew for each;
 * and for these, d and dmin are solved by least squares over the whole super-block. The two alternate; the best seen, with d as f16 has it,
 * is what is written. */
#include "tensor/quantize.h"

#include "tensor/blocks.h"
#include "tensor/fit.h"

#include "base/compiler.h"

#include <string.h>

LM_EXACT_ARITHMETIC

enum { QUANTIZE_K_SUBS = 8, QUANTIZE_K_SUB = 32, QUANTIZE_K6_SUBS = 16, QUANTIZE_K6_SUB = 16, QUANTIZE_K_TURNS = 3, QUANTIZE_K_MOST = 63 };

static int quantize_k_whole(float x, int low, int high)     /* the nearest, in its range */
{
    x = x > (float)low ? x : (float)low;
    x = x < (float)high ? x : (float)high;
    return (int)((x + 12582912.0f) - 12582912.0f);
}

static int quantize_k_clamp(int x, int low, int high) { return x < low ? low : x > high ? high : x; }

/* ---- scale and minimum: Q4_K, Q5_K */

typedef struct quantize_k_choice {
    uint16_t d_bits, m_bits;
    float d, m, error;                  /* as the bits mean them; the error of the whole super-block */
    uint8_t scale[QUANTIZE_K_SUBS], min[QUANTIZE_K_SUBS];
} quantize_k_choice;

/* The best small integers for d and m; a, b: the fits. */
static void quantize_k_choose(const lm_quantize_block *block, float top, const float *a, const float *b, quantize_k_choice *choice)
{
    static const int8_t step_scale[LM_FIT_LANES] = { 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, 2 };
    static const int8_t step_min[LM_FIT_LANES] = { 0, 1, -1, 2, -2, 0, 1, -1, 2, 3, 0, 1, -1, -2, -3, 2 };
    choice->error = 0;
    for (int j = 0; j < QUANTIZE_K_SUBS; j++) {
        int scale = choice->d > 0 ? quantize_k_whole(a[j] / choice->d, 0, QUANTIZE_K_MOST) : 0;
        int min = choice->m > 0 ? quantize_k_whole(-b[j] / choice->m, 0, QUANTIZE_K_MOST) : 0, best = 0;
        int scales[LM_FIT_LANES], mins[LM_FIT_LANES];
        float as[LM_FIT_LANES], bs[LM_FIT_LANES], error[LM_FIT_LANES];
        for (int c = 0; c < LM_FIT_LANES; c++) {
            scales[c] = quantize_k_clamp(scale + step_scale[c], 0, QUANTIZE_K_MOST);
            mins[c] = quantize_k_clamp(min + step_min[c], 0, QUANTIZE_K_MOST);
            as[c] = choice->d * (float)scales[c];
            bs[c] = -(choice->m * (float)mins[c]);
        }
        lm_fit_affine_errors(block->x + j * QUANTIZE_K_SUB, block->w + j * QUANTIZE_K_SUB, QUANTIZE_K_SUB, top, as, bs, error);
        for (int c = 1; c < LM_FIT_LANES; c++)
            best = error[c] < error[best] ? c : best;
        choice->scale[j] = (uint8_t)scales[best];
        choice->min[j] = (uint8_t)mins[best];
        choice->error += error[best];
    }
}

static void quantize_k_codes(const lm_quantize_block *block, float top, const quantize_k_choice *choice, uint8_t q[256])
{
    for (int j = 0; j < QUANTIZE_K_SUBS; j++)
        lm_fit_affine_codes(block->x + j * QUANTIZE_K_SUB, QUANTIZE_K_SUB, top, choice->d * (float)choice->scale[j], -(choice->m * (float)choice->min[j]), q + j * QUANTIZE_K_SUB);
}

/* The best d and m for what was chosen: x = d u - m v with u = scale q, v = min. */
static void quantize_k_solve(const lm_quantize_block *block, const quantize_k_choice *choice, const uint8_t q[256], float *d, float *m)
{
    float uu = 0, uv = 0, vv = 0, xu = 0, xv = 0, det;
    for (int j = 0; j < QUANTIZE_K_SUBS; j++) {
        float w_sum = 0, wq = 0, wqq = 0, wx = 0, wxq = 0, scale = (float)choice->scale[j], min = (float)choice->min[j];
        for (int i = j * QUANTIZE_K_SUB; i < (j + 1) * QUANTIZE_K_SUB; i++) {
            float w = block->w[i], code = (float)q[i];
            w_sum += w;
            wq += w * code;
            wqq += w * code * code;
            wx += w * block->x[i];
            wxq += w * code * block->x[i];
        }
        uu += scale * scale * wqq;
        uv += scale * min * wq;
        vv += min * min * w_sum;
        xu += scale * wxq;
        xv += min * wx;
    }
    det = uu * vv - uv * uv;
    *d = choice->d;
    *m = choice->m;
    if (det > 1e-5f * uu * vv) {
        *d = (xu * vv - xv * uv) / det;
        *m = (xu * uv - xv * uu) / det;
    } else if (uu > 0 && !(vv > 0)) {
        *d = xu / uu;
    }
}

static void quantize_k_fit(const lm_quantize_block *block, float top, quantize_k_choice *best)
{
    float a[QUANTIZE_K_SUBS], b[QUANTIZE_K_SUBS], a_most = 0, b_most = 0, d, m;
    quantize_k_choice choice;
    uint8_t q[256];
    for (int j = 0; j < QUANTIZE_K_SUBS; j++) {
        lm_fit_affine(block->x + j * QUANTIZE_K_SUB, block->w + j * QUANTIZE_K_SUB, QUANTIZE_K_SUB, top, true, &a[j], &b[j]);
        a_most = a[j] > a_most ? a[j] : a_most;
        b_most = -b[j] > b_most ? -b[j] : b_most;
    }
    memset(best, 0, sizeof *best);
    d = a_most / QUANTIZE_K_MOST;
    m = b_most / QUANTIZE_K_MOST;
    for (int turn = 0; turn < QUANTIZE_K_TURNS; turn++) {
        choice.d_bits = lm_quantize_scale(block, d > 0 ? d : 0, &choice.d);
        choice.m_bits = lm_quantize_scale(block, m > 0 ? m : 0, &choice.m);
        quantize_k_choose(block, top, a, b, &choice);
        if (turn > 0 && !(choice.error < best->error))
            break;
        *best = choice;
        quantize_k_codes(block, top, best, q);
        quantize_k_solve(block, best, q, &d, &m);
    }
}

/* Eight scales and eight minima of six bits: lm_q4k_scale reads them. */
static void quantize_k_pack_scales(const quantize_k_choice *choice, uint8_t out[12])
{
    for (int j = 0; j < 4; j++) {
        out[j] = (uint8_t)(choice->scale[j] | (choice->scale[j + 4] >> 4) << 6);
        out[j + 4] = (uint8_t)(choice->min[j] | (choice->min[j + 4] >> 4) << 6);
        out[j + 8] = (uint8_t)((choice->scale[j + 4] & 15) | (choice->min[j + 4] & 15) << 4);
    }
}

static void quantize_k_pack_low(const uint8_t q[256], uint8_t qs[128])
{
    for (int g = 0; g < 4; g++)
        for (int i = 0; i < 32; i++)
            qs[32 * g + i] = (uint8_t)((q[64 * g + i] & 15) | (q[64 * g + 32 + i] & 15) << 4);
}

void lm_quantize_q4_k(const float *x, const float *weights, void *out)
{
    lm_block_q4_k *to = out;
    lm_quantize_block block;
    quantize_k_choice choice;
    uint8_t q[256];
    memset(to, 0, sizeof *to);
    if (!lm_quantize_ready(&block, x, weights, 256))
        return;
    quantize_k_fit(&block, 15, &choice);
    quantize_k_codes(&block, 15, &choice, q);
    to->d = choice.d_bits;
    to->dmin = choice.m_bits;
    quantize_k_pack_scales(&choice, to->scales);
    quantize_k_pack_low(q, to->qs);
}

void lm_quantize_q5_k(const float *x, const float *weights, void *out)
{
    lm_block_q5_k *to = out;
    lm_quantize_block block;
    quantize_k_choice choice;
    uint8_t q[256];
    memset(to, 0, sizeof *to);
    if (!lm_quantize_ready(&block, x, weights, 256))
        return;
    quantize_k_fit(&block, 31, &choice);
    quantize_k_codes(&block, 31, &choice, q);
    to->d = choice.d_bits;
    to->dmin = choice.m_bits;
    quantize_k_pack_scales(&choice, to->scales);
    quantize_k_pack_low(q, to->qs);
    for (int j = 0; j < QUANTIZE_K_SUBS; j++)
        for (int i = 0; i < 32; i++)
            to->qh[i] |= (uint8_t)((q[32 * j + i] >> 4) << j);
}

/* ---- one scale, with a sign: Q6_K */

typedef struct quantize_k6_choice {
    uint16_t d_bits;
    float d, error;
    int8_t scale[QUANTIZE_K6_SUBS];
} quantize_k6_choice;

static void quantize_k6_choose(const lm_quantize_block *block, const float *a, quantize_k6_choice *choice)
{
    choice->error = 0;
    for (int j = 0; j < QUANTIZE_K6_SUBS; j++) {
        int middle = choice->d != 0 ? quantize_k_whole(a[j] / choice->d, -128, 127) : 0, scales[LM_FIT_LANES], best = 0;
        float as[LM_FIT_LANES], error[LM_FIT_LANES];
        for (int c = 0; c < LM_FIT_LANES; c++) {
            scales[c] = quantize_k_clamp(middle + (c % 2 ? (c + 1) / 2 : -(c / 2)), -128, 127);
            as[c] = choice->d * (float)scales[c];
        }
        lm_fit_even_errors(block->x + j * QUANTIZE_K6_SUB, block->w + j * QUANTIZE_K6_SUB, QUANTIZE_K6_SUB, 32, as, error);
        for (int c = 1; c < LM_FIT_LANES; c++)
            best = error[c] < error[best] ? c : best;
        choice->scale[j] = (int8_t)scales[best];
        choice->error += error[best];
    }
}

static void quantize_k6_codes(const lm_quantize_block *block, const quantize_k6_choice *choice, int8_t q[256])
{
    for (int j = 0; j < QUANTIZE_K6_SUBS; j++)
        lm_fit_even_codes(block->x + j * QUANTIZE_K6_SUB, QUANTIZE_K6_SUB, 32, choice->d * (float)choice->scale[j], q + j * QUANTIZE_K6_SUB);
}

static float quantize_k6_solve(const lm_quantize_block *block, const quantize_k6_choice *choice, const int8_t q[256])
{
    float uu = 0, xu = 0;
    for (int i = 0; i < 256; i++) {
        float u = (float)(choice->scale[i / QUANTIZE_K6_SUB] * q[i]), wu = block->w[i] * u;
        uu += wu * u;
        xu += wu * block->x[i];
    }
    return uu > 0 ? xu / uu : choice->d;
}

static void quantize_k6_fit(const lm_quantize_block *block, quantize_k6_choice *best)
{
    float a[QUANTIZE_K6_SUBS], far = 0, d;
    quantize_k6_choice choice;
    int8_t q[256];
    for (int j = 0; j < QUANTIZE_K6_SUBS; j++) {
        lm_fit_even(block->x + j * QUANTIZE_K6_SUB, block->w + j * QUANTIZE_K6_SUB, QUANTIZE_K6_SUB, 32, &a[j]);
        far = (a[j] < 0 ? -a[j] : a[j]) > (far < 0 ? -far : far) ? a[j] : far;
    }
    memset(best, 0, sizeof *best);
    d = far / -128;
    for (int turn = 0; turn < QUANTIZE_K_TURNS; turn++) {
        choice.d_bits = lm_quantize_scale(block, d, &choice.d);
        quantize_k6_choose(block, a, &choice);
        if (turn > 0 && !(choice.error < best->error))
            break;
        *best = choice;
        quantize_k6_codes(block, best, q);
        d = quantize_k6_solve(block, best, q);
    }
}

void lm_quantize_q6_k(const float *x, const float *weights, void *out)
{
    lm_block_q6_k *to = out;
    lm_quantize_block block;
    quantize_k6_choice choice;
    int8_t q[256];
    memset(to, 0, sizeof *to);
    if (!lm_quantize_ready(&block, x, weights, 256))
        return;
    quantize_k6_fit(&block, &choice);
    quantize_k6_codes(&block, &choice, q);
    to->d = choice.d_bits;
    memcpy(to->scales, choice.scale, sizeof to->scales);
    for (int i = 0; i < 256; i++) {
        int h = i / 128, t = i % 128 / 32, l = i % 32, code = q[i] + 32;
        to->ql[64 * h + 32 * (t % 2) + l] |= (uint8_t)((code & 15) << (4 * (t / 2)));
        to->qh[32 * h + l] |= (uint8_t)((code >> 4) << (2 * t));
    }
}
