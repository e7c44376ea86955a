/* SPDX-License-Identifier: MIT
 * Reference products of the types in blocks of 32 that came after Q8_0 and Q4_0: Q4_1, Q5_0, Q5_1, IQ4_NL, MXFP4. See linear_ref.c.
 * All are one shape: a number of eight bits for each value, a scale, and for two of them a minimum. Threads: any; nothing is kept. */
#include "kernels/ref/linear_ref.h"

#include "base/compiler.h"
#include "base/fmath.h"
#include "base/half.h"

LM_EXACT_ARITHMETIC

/* ---- pack -------------------------------------------------------------------------------------------------------------- */

/* 16 bytes of nibbles, the first half of the values low */
static inline void linear_pack_halves(uint8_t (*lines)[16][4], size_t r, const uint8_t qs[16])
{
    linear_pack_from_nibbles(lines, 2, r, qs, 0);
    linear_pack_from_nibbles(lines + 2, 2, r, qs, 4);
}

/* The fifth bits: that of value k is bit k of qh; byte i of the line has every fourth of them from i on, pushed together. */
static inline void linear_pack_fifth(uint8_t (*line)[4], size_t r, const uint8_t qh[4])
{
    uint32_t all = qh[0] | (uint32_t)qh[1] << 8 | (uint32_t)qh[2] << 16 | (uint32_t)qh[3] << 24;

    for (int i = 0; i < 4; i++) {
        uint32_t bits = (all >> i) & 0x11111111u;

        bits = (bits | bits >> 3) & 0x03030303u;
        bits = (bits | bits >> 6) & 0x000f000fu;
        line[r][i] = (uint8_t)(bits | bits >> 12);
    }
}

static void linear_pack_q4_1(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_q4_1 *out = group;

    for (size_t i = 0; i < k / 32; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_q4_1 b;

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            out[i].d[r] = b.d;
            out[i].m[r] = b.m;
            linear_pack_halves(out[i].q, r, b.qs);
        }
}

static void linear_pack_q5_0(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_q5_0 *out = group;

    for (size_t i = 0; i < k / 32; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_q5_0 b;

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            out[i].d[r] = b.d;
            linear_pack_fifth(out[i].qh, r, b.qh);
            linear_pack_halves(out[i].q, r, b.qs);
        }
}

static void linear_pack_q5_1(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_q5_1 *out = group;

    for (size_t i = 0; i < k / 32; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_q5_1 b;

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            out[i].d[r] = b.d;
            out[i].m[r] = b.m;
            linear_pack_fifth(out[i].qh, r, b.qh);
            linear_pack_halves(out[i].q, r, b.qs);
        }
}

static void linear_pack_iq4_nl(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_iq4_nl *out = group;

    for (size_t i = 0; i < k / 32; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_iq4_nl b;

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            out[i].d[r] = b.d;
            linear_pack_halves(out[i].q, r, b.qs);
        }
}

static void linear_pack_mxfp4(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_mxfp4 *out = group;

    for (size_t i = 0; i < k / 32; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_mxfp4 b;

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            out[i].e[r] = b.e;
            linear_pack_halves(out[i].q, r, b.qs);
        }
}

/* ---- what a block says: value i, scale and minimum of lane r -------------------------------------------------------------- */

typedef int32_t linear_value_fn(const void *block, size_t r, size_t i);
typedef float linear_float_fn(const void *block, size_t r);

static const int8_t linear_iq4_values[16] = { LM_IQ4_VALUES }, linear_mxfp4_values[16] = { LM_MXFP4_VALUES };

static inline int32_t linear_value_q4_1(const void *p, size_t r, size_t i) { return linear_nibble(((const lm_packed_q4_1 *)p)->q, r, i); }
static inline float linear_scale_q4_1(const void *p, size_t r) { return lm_f32_from_f16(((const lm_packed_q4_1 *)p)->d[r]); }
static inline float linear_min_q4_1(const void *p, size_t r) { return lm_f32_from_f16(((const lm_packed_q4_1 *)p)->m[r]); }

static inline int32_t linear_value_q5_0(const void *p, size_t r, size_t i)
{
    const lm_packed_q5_0 *b = p;
    return (linear_nibble(b->q, r, i) | linear_bit(&b->qh, r, i) << 4) - 16;
}
static inline float linear_scale_q5_0(const void *p, size_t r) { return lm_f32_from_f16(((const lm_packed_q5_0 *)p)->d[r]); }

static inline int32_t linear_value_q5_1(const void *p, size_t r, size_t i)
{
    const lm_packed_q5_1 *b = p;
    return linear_nibble(b->q, r, i) | linear_bit(&b->qh, r, i) << 4;
}
static inline float linear_scale_q5_1(const void *p, size_t r) { return lm_f32_from_f16(((const lm_packed_q5_1 *)p)->d[r]); }
static inline float linear_min_q5_1(const void *p, size_t r) { return lm_f32_from_f16(((const lm_packed_q5_1 *)p)->m[r]); }

static inline int32_t linear_value_iq4_nl(const void *p, size_t r, size_t i) { return linear_iq4_values[linear_nibble(((const lm_packed_iq4_nl *)p)->q, r, i)]; }
static inline float linear_scale_iq4_nl(const void *p, size_t r) { return lm_f32_from_f16(((const lm_packed_iq4_nl *)p)->d[r]); }

static inline int32_t linear_value_mxfp4(const void *p, size_t r, size_t i) { return linear_mxfp4_values[linear_nibble(((const lm_packed_mxfp4 *)p)->q, r, i)]; }
static inline float linear_scale_mxfp4(const void *p, size_t r) { return lm_f32_from_e8m0(((const lm_packed_mxfp4 *)p)->e[r]); }

/* ---- row, linear ---------------------------------------------------------------------------------------------------------- */

LM_INLINE void linear_row_32(float *y, const void *w, size_t row, size_t k, size_t block_bytes, linear_value_fn *value, linear_float_fn *scale, linear_float_fn *min)
{
    const uint8_t *b = (const uint8_t *)w + row / LM_GROUP * (k / 32) * block_bytes;
    size_t r = row % LM_GROUP;

    for (; k != 0; b += block_bytes, y += 32, k -= 32)
        for (size_t i = 0; i < 32; i++) {
            y[i] = scale(b, r) * (float)value(b, r, i);
            if (min)
                y[i] = y[i] + min(b, r);
        }
}

LM_INLINE void linear_column_32(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c, size_t block_bytes, linear_value_fn *value,
                                linear_float_fn *scale, linear_float_fn *min)
{
    const uint8_t *b = group;
    const int8_t *q = x->q32 + c * k;

    for (size_t i = 0; i < k / 32; i++, b += block_bytes, q += 32) {
        float d = x->d32[c * (k / 32) + i], sum = (float)x->s32[c * (k / 32) + i];

        for (size_t r = 0; r < 16; r++) {
            int32_t isum = 0;

            for (size_t j = 0; j < 32; j++)
                isum += value(b, r, j) * q[j];
            acc[r] = lm_fmaf((float)isum, scale(b, r) * d, acc[r]);
            if (min)
                acc[r] = lm_fmaf(sum, min(b, r) * d, acc[r]);
        }
    }
}

#define LINEAR_REF_32(type, min)                                                                                                    \
    static void linear_row_##type(float *y, const void *w, size_t row, size_t k)                                                    \
    {                                                                                                                               \
        linear_row_32(y, w, row, k, sizeof(lm_packed_##type), linear_value_##type, linear_scale_##type, min);                       \
    }                                                                                                                               \
    static void linear_column_##type(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c)                        \
    {                                                                                                                               \
        linear_column_32(acc, group, k, x, c, sizeof(lm_packed_##type), linear_value_##type, linear_scale_##type, min);             \
    }                                                                                                                               \
    LINEAR_REF(type, k / 32 * sizeof(lm_packed_##type))
LINEAR_REF_32(q4_1, linear_min_q4_1)
LINEAR_REF_32(q5_0, NULL)
LINEAR_REF_32(q5_1, linear_min_q5_1)
LINEAR_REF_32(iq4_nl, NULL)
LINEAR_REF_32(mxfp4, NULL)
#undef LINEAR_REF_32

void lm_kernels_linear_32_ref(lm_kernels *table)
{
    LINEAR_ENTRY(Q4_1, q4_1, linear_pack_q4_1);
    LINEAR_ENTRY(Q5_0, q5_0, linear_pack_q5_0);
    LINEAR_ENTRY(Q5_1, q5_1, linear_pack_q5_1);
    LINEAR_ENTRY(IQ4_NL, iq4_nl, linear_pack_iq4_nl);
    LINEAR_ENTRY(MXFP4, mxfp4, linear_pack_mxfp4);
}
