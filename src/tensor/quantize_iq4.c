/* SPDX-License-Identifier: MIT
 * Codes of four bits that stand for sixteen uneven levels: IQ4_NL (blocks of 32 with an f16 scale) and IQ4_XS (super-blocks of 256, their
 * eight scales six bits with a sign times an f16). Searched as quantize_k.c does. */
#include "tensor/quantize.h"

#include "tensor/blocks.h"
#include "tensor/fit.h"

#include "base/compiler.h"

#include <string.h>

LM_EXACT_ARITHMETIC

enum { QUANTIZE_IQ4_SUBS = 8, QUANTIZE_IQ4_SUB = 32, QUANTIZE_IQ4_TURNS = 3, QUANTIZE_IQ4_LOW = -32, QUANTIZE_IQ4_HIGH = 31 };

static void quantize_iq4_pack(const uint8_t q[32], uint8_t qs[16])
{
    for (int i = 0; i < 16; i++)
        qs[i] = (uint8_t)(q[i] | q[i + 16] << 4);
}

void lm_quantize_iq4_nl(const float *x, const float *weights, void *out)
{
    lm_block_iq4_nl *to = out;
    lm_quantize_block block;
    float a, scales[LM_FIT_LANES], error[LM_FIT_LANES];
    uint16_t bits[LM_FIT_LANES];
    uint8_t q[32];
    int best = 0;
    memset(to, 0, sizeof *to);
    if (!lm_quantize_ready(&block, x, weights, 32))
        return;
    lm_fit_iq4(block.x, block.w, 32, &a);
    for (int c = 0; c < LM_FIT_LANES; c++)
        bits[c] = lm_quantize_scale(&block, a * (1 + 0.008f * (float)(c - 8)), &scales[c]);
    lm_fit_iq4_errors(block.x, block.w, 32, scales, error);
    for (int c = 1; c < LM_FIT_LANES; c++)
        best = error[c] < error[best] ? c : best;
    lm_fit_iq4_codes(block.x, 32, scales[best], q);
    to->d = bits[best];
    quantize_iq4_pack(q, to->qs);
}

typedef struct quantize_iq4_choice {
    uint16_t d_bits;
    float d, error;
    int8_t scale[QUANTIZE_IQ4_SUBS];
} quantize_iq4_choice;

static void quantize_iq4_choose(const lm_quantize_block *block, const float *a, quantize_iq4_choice *choice)
{
    choice->error = 0;
    for (int j = 0; j < QUANTIZE_IQ4_SUBS; j++) {
        float wanted = choice->d != 0 ? a[j] / choice->d : 0, as[LM_FIT_LANES], error[LM_FIT_LANES];
        int scales[LM_FIT_LANES], best = 0, middle;
        wanted = wanted > QUANTIZE_IQ4_LOW ? wanted : QUANTIZE_IQ4_LOW;
        wanted = wanted < QUANTIZE_IQ4_HIGH ? wanted : QUANTIZE_IQ4_HIGH;
        middle = (int)((wanted + 12582912.0f) - 12582912.0f);
        for (int c = 0; c < LM_FIT_LANES; c++) {
            int s = middle + (c % 2 ? (c + 1) / 2 : -(c / 2));
            scales[c] = s < QUANTIZE_IQ4_LOW ? QUANTIZE_IQ4_LOW : s > QUANTIZE_IQ4_HIGH ? QUANTIZE_IQ4_HIGH : s;
            as[c] = choice->d * (float)scales[c];
        }
        lm_fit_iq4_errors(block->x + j * QUANTIZE_IQ4_SUB, block->w + j * QUANTIZE_IQ4_SUB, QUANTIZE_IQ4_SUB, as, error);
        for (int c = 1; c < LM_FIT_LANES; c++)
            best = error[c] < error[best] ? c : best;
        choice->scale[j] = (int8_t)scales[best];
        choice->error += error[best];
    }
}

static void quantize_iq4_codes(const lm_quantize_block *block, const quantize_iq4_choice *choice, uint8_t q[256])
{
    for (int j = 0; j < QUANTIZE_IQ4_SUBS; j++)
        lm_fit_iq4_codes(block->x + j * QUANTIZE_IQ4_SUB, QUANTIZE_IQ4_SUB, choice->d * (float)choice->scale[j], q + j * QUANTIZE_IQ4_SUB);
}

static float quantize_iq4_solve(const lm_quantize_block *block, const quantize_iq4_choice *choice, const uint8_t q[256])
{
    float uu = 0, xu = 0;
    for (int i = 0; i < 256; i++) {
        float u = (float)(choice->scale[i / QUANTIZE_IQ4_SUB] * lm_fit_iq4_levels[q[i]]), wu = block->w[i] * u;
        uu += wu * u;
        xu += wu * block->x[i];
    }
    return uu > 0 ? xu / uu : choice->d;
}

void lm_quantize_iq4_xs(const float *x, const float *weights, void *out)
{
    lm_block_iq4_xs *to = out;
    lm_quantize_block block;
    quantize_iq4_choice choice, best = { 0 };
    float a[QUANTIZE_IQ4_SUBS], far = 0, d;
    uint8_t q[256];
    memset(to, 0, sizeof *to);
    if (!lm_quantize_ready(&block, x, weights, 256))
        return;
    for (int j = 0; j < QUANTIZE_IQ4_SUBS; j++) {
        lm_fit_iq4(block.x + j * QUANTIZE_IQ4_SUB, block.w + j * QUANTIZE_IQ4_SUB, QUANTIZE_IQ4_SUB, &a[j]);
        far = (a[j] < 0 ? -a[j] : a[j]) > (far < 0 ? -far : far) ? a[j] : far;
    }
    d = far / QUANTIZE_IQ4_LOW;
    for (int turn = 0; turn < QUANTIZE_IQ4_TURNS; turn++) {
        choice.d_bits = lm_quantize_scale(&block, d, &choice.d);
        quantize_iq4_choose(&block, a, &choice);
        if (turn > 0 && !(choice.error < best.error))
            break;
        best = choice;
        quantize_iq4_codes(&block, &best, q);
        d = quantize_iq4_solve(&block, &best, q);
    }
    quantize_iq4_codes(&block, &best, q);
    to->d = best.d_bits;
    for (int j = 0; j < QUANTIZE_IQ4_SUBS; j++) {
        unsigned scale = (unsigned)(best.scale[j] + 32);
        to->scales_l[j / 2] |= (uint8_t)((scale & 15) << (4 * (j % 2)));
        to->scales_h = (uint16_t)(to->scales_h | (scale >> 4) << (2 * j));
        quantize_iq4_pack(q + 32 * j, to->qs + 16 * j);
    }
}
