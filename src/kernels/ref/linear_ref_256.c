/* SPDX-License-Identifier: MIT
 * Reference products of the types in blocks of 256 that came after Q4_K and Q6_K: Q2_K, Q3_K, Q5_K, IQ4_XS. See linear_ref.c.
 * All are one shape: sub-blocks of 16 or 32 with an integer scale each, and for two of them an integer minimum. Threads: any;
 * nothing is kept. */
#include "kernels/ref/linear_ref.h"

#include "base/compiler.h"
#include "base/fmath.h"
#include "base/half.h"

LM_EXACT_ARITHMETIC

/* ---- pack -------------------------------------------------------------------------------------------------------------- */

/* Two bits each: value 128h + 32j + l in the bits 2j of byte 32h + l */
static inline void linear_pack_twos(uint8_t (*lines)[16][4], size_t r, const uint8_t qs[64])
{
    for (size_t l = 0; l < 16; l++)
        linear_pack_from_crumbs(lines[l], r, qs + l / 8 * 32 + l % 2 * 16, (int)(l % 8 / 2 * 2));
}

static void linear_pack_q2_k(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_q2_k *out = group;

    for (size_t i = 0; i < k / 256; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_q2_k b;

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            out[i].d[r] = b.d;
            out[i].dmin[r] = b.dmin;
            for (size_t l = 0; l < 4; l++)
                memcpy(out[i].scales[l][r], b.scales + 4 * l, 4);
            linear_pack_twos(out[i].q, r, b.qs);
        }
}

static void linear_pack_q3_k(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_q3_k *out = group;

    for (size_t i = 0; i < k / 256; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_q3_k b;

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            out[i].d[r] = b.d;
            for (size_t l = 0; l < 3; l++)
                memcpy(out[i].scales[l][r], b.scales + 4 * l, 4);
            for (int j = 0; j < 8; j++)
                linear_pack_from_bits(out[i].qh[j], r, b.hmask, j);
            linear_pack_twos(out[i].q, r, b.qs);
        }
}

static void linear_pack_q5_k(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_q5_k *out = group;

    for (size_t i = 0; i < k / 256; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_q5_k b;

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            out[i].d[r] = b.d;
            out[i].dmin[r] = b.dmin;
            for (size_t l = 0; l < 3; l++)
                memcpy(out[i].scales[l][r], b.scales + 4 * l, 4);
            for (int j = 0; j < 8; j++) {
                linear_pack_from_bits(out[i].qh[j], r, b.qh, j);
                linear_pack_from_nibbles(out[i].q + 4 * j, 4, r, b.qs + j / 2 * 32, j % 2 * 4);
            }
        }
}

static void linear_pack_iq4_xs(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_iq4_xs *out = group;

    for (size_t i = 0; i < k / 256; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_iq4_xs b;

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            out[i].d[r] = b.d;
            out[i].scales_h[r] = b.scales_h;
            memcpy(out[i].scales_l[r], b.scales_l, 4);
            for (int j = 0; j < 16; j++)
                linear_pack_from_nibbles(out[i].q + 2 * j, 2, r, b.qs + j / 2 * 16, j % 2 * 4);
        }
}

/* ---- one lane of a block, unpacked ------------------------------------------------------------------------------------------ */

typedef struct linear_lane {
    float d, dmin;
    int32_t scale[16], min[16];                 /* of 16 values each */
    int32_t value[256];
} linear_lane;

typedef void linear_lane_fn(linear_lane *out, const void *block, size_t r);

static inline void linear_lane_q2_k(linear_lane *out, const void *block, size_t r)
{
    const lm_packed_q2_k *b = block;

    out->d = lm_f32_from_f16(b->d[r]);
    out->dmin = lm_f32_from_f16(b->dmin[r]);
    for (size_t j = 0; j < 16; j++) {
        out->scale[j] = b->scales[j / 4][r][j % 4] & 15;
        out->min[j] = b->scales[j / 4][r][j % 4] >> 4;
    }
    for (size_t i = 0; i < 256; i++)
        out->value[i] = linear_crumb(b->q, r, i);
}

static inline void linear_lane_q3_k(linear_lane *out, const void *block, size_t r)
{
    const lm_packed_q3_k *b = block;
    uint8_t bytes[12];

    for (size_t l = 0; l < 3; l++)
        memcpy(bytes + 4 * l, b->scales[l][r], 4);
    out->d = lm_f32_from_f16(b->d[r]);
    for (int j = 0; j < 16; j++)
        out->scale[j] = lm_q3k_scale(bytes, j) - 32;
    for (size_t i = 0; i < 256; i++)
        out->value[i] = (linear_crumb(b->q, r, i) | linear_bit(b->qh, r, i) << 2) - 4;
}

static inline void linear_lane_q5_k(linear_lane *out, const void *block, size_t r)
{
    const lm_packed_q5_k *b = block;
    uint8_t scale[8], min[8];

    linear_scales_6bit(scale, min, b->scales, r);
    out->d = lm_f32_from_f16(b->d[r]);
    out->dmin = lm_f32_from_f16(b->dmin[r]);
    for (size_t j = 0; j < 16; j++) {
        out->scale[j] = scale[j / 2];
        out->min[j] = min[j / 2];
    }
    for (size_t i = 0; i < 256; i++)
        out->value[i] = linear_nibble(b->q, r, i) | linear_bit(b->qh, r, i) << 4;
}

static inline void linear_lane_iq4_xs(linear_lane *out, const void *block, size_t r)
{
    static const int8_t values[16] = { LM_IQ4_VALUES };
    const lm_packed_iq4_xs *b = block;

    out->d = lm_f32_from_f16(b->d[r]);
    for (size_t j = 0; j < 16; j++) {
        size_t sub = j / 2;
        int32_t low = b->scales_l[r][sub / 2] >> (sub % 2 * 4) & 15, high = b->scales_h[r] >> (2 * sub) & 3;

        out->scale[j] = (low | high << 4) - 32;
    }
    for (size_t i = 0; i < 256; i++)
        out->value[i] = values[linear_nibble(b->q, r, i)];
}

/* ---- row, linear ---------------------------------------------------------------------------------------------------------- */

LM_INLINE void linear_row_256(float *y, const void *w, size_t row, size_t k, size_t block_bytes, linear_lane_fn *unpack, int has_min)
{
    const uint8_t *b = (const uint8_t *)w + row / LM_GROUP * (k / 256) * block_bytes;

    for (; k != 0; b += block_bytes, y += 256, k -= 256) {
        linear_lane lane;

        unpack(&lane, b, row % LM_GROUP);
        for (size_t i = 0; i < 256; i++) {
            y[i] = (lane.d * (float)lane.scale[i / 16]) * (float)lane.value[i];
            if (has_min)
                y[i] = y[i] - lane.dmin * (float)lane.min[i / 16];
        }
    }
}

LM_INLINE void linear_column_256(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c, size_t block_bytes, linear_lane_fn *unpack, int has_min)
{
    const uint8_t *b = group;
    const int8_t *q = x->q256 + c * k;
    const int16_t *s = x->s16 + c * (k / 16);

    for (size_t i = 0; i < k / 256; i++, b += block_bytes, q += 256, s += 16)
        for (size_t r = 0; r < 16; r++) {
            float d = x->d256[c * (k / 256) + i];
            int32_t isum = 0, msum = 0;
            linear_lane lane;

            unpack(&lane, b, r);
            for (size_t j = 0; j < 16; j++) {
                int32_t sum = 0;

                for (size_t n = 16 * j; n < 16 * j + 16; n++)
                    sum += lane.value[n] * q[n];
                isum += lane.scale[j] * sum;
                if (has_min)
                    msum += lane.min[j] * s[j];
            }
            acc[r] = lm_fmaf((float)isum, lane.d * d, acc[r]);
            if (has_min)
                acc[r] = lm_fmaf((float)msum, -(lane.dmin * d), acc[r]);
        }
}

#define LINEAR_REF_256(type, has_min)                                                                           \
    static void linear_row_##type(float *y, const void *w, size_t row, size_t k)                                \
    {                                                                                                           \
        linear_row_256(y, w, row, k, sizeof(lm_packed_##type), linear_lane_##type, has_min);                    \
    }                                                                                                           \
    static void linear_column_##type(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c)    \
    {                                                                                                           \
        linear_column_256(acc, group, k, x, c, sizeof(lm_packed_##type), linear_lane_##type, has_min);          \
    }                                                                                                           \
    LINEAR_REF(type, k / 256 * sizeof(lm_packed_##type))
LINEAR_REF_256(q2_k, 1)
LINEAR_REF_256(q3_k, 0)
LINEAR_REF_256(q5_k, 1)
LINEAR_REF_256(iq4_xs, 0)
#undef LINEAR_REF_256

void lm_kernels_linear_256_ref(lm_kernels *table)
{
    LINEAR_ENTRY(Q2_K, q2_k, linear_pack_q2_k);
    LINEAR_ENTRY(Q3_K, q3_k, linear_pack_q3_k);
    LINEAR_ENTRY(Q5_K, q5_k, linear_pack_q5_k);
    LINEAR_ENTRY(IQ4_XS, iq4_xs, linear_pack_iq4_xs);
}
