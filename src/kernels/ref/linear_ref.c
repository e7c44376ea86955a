/* SPDX-License-Identifier: MIT
 * Products with packed weights, plainly: the definition of docs/ARITHMETIC.md in C. All other tiers have these bits. Also what
 * every tier shares: packing into the 16-row layout, and rows as f32. Here: floats, Q8_0, Q4_0, Q4_K, Q6_K; the other types stand in
 * linear_ref_32.c and linear_ref_256.c. Threads: any; nothing is kept.
 *
 * One pass over a group computes its 16 rows for one column, lane by lane. Each lane is one chain over k, as the text says;
 * that sixteen chains run side by side is for the compiler's sake. */
#include "kernels/ref/linear_ref.h"

#include "base/compiler.h"
#include "base/fmath.h"
#include "base/half.h"

#include <string.h>

LM_EXACT_ARITHMETIC

/* ---- values of one block of the file, in order of k --------------------------------------------------------------- */

static void linear_values_q4_0(uint8_t v[32], const lm_block_q4_0 *b)
{
    for (int j = 0; j < 16; j++) {
        v[j] = b->qs[j] & 15;
        v[j + 16] = b->qs[j] >> 4;
    }
}

static void linear_values_q4_k(uint8_t v[256], const lm_block_q4_k *b)
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 32; j++) {
            v[64 * i + j] = b->qs[32 * i + j] & 15;
            v[64 * i + 32 + j] = b->qs[32 * i + j] >> 4;
        }
}

static void linear_values_q6_k(uint8_t v[256], const lm_block_q6_k *b)
{
    for (int half = 0; half < 2; half++)
        for (int j = 0; j < 32; j++) {
            const uint8_t *ql = b->ql + 64 * half, qh = b->qh[32 * half + j];
            uint8_t *out = v + 128 * half;

            out[j] = (uint8_t)((ql[j] & 15) | ((qh & 3) << 4));
            out[j + 32] = (uint8_t)((ql[j + 32] & 15) | (((qh >> 2) & 3) << 4));
            out[j + 64] = (uint8_t)((ql[j] >> 4) | (((qh >> 4) & 3) << 4));
            out[j + 96] = (uint8_t)((ql[j + 32] >> 4) | ((qh >> 6) << 4));
        }
}

/* ---- pack: file bytes into a group; the missing rows of the last group are zero bytes ------------------------------- */

static void linear_pack_32bit(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    uint8_t *out = group;

    for (size_t i = 0; i < k; i++)
        for (size_t r = 0; r < LM_GROUP; r++, out += 4)
            if (r < n_rows)
                memcpy(out, (const uint8_t *)rows + r * row_bytes + 4 * i, 4);
            else
                memset(out, 0, 4);
}

static void linear_pack_16bit(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    uint8_t *out = group;

    for (size_t i = 0; i < k; i++)
        for (size_t r = 0; r < LM_GROUP; r++, out += 2)
            if (r < n_rows)
                memcpy(out, (const uint8_t *)rows + r * row_bytes + 2 * i, 2);
            else
                memset(out, 0, 2);
}

static void linear_pack_q8_0(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_q8_0 *out = group;

    for (size_t i = 0; i < k / 32; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_q8_0 b;

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            out[i].d[r] = b.d;
            for (size_t l = 0; l < 8; l++)
                memcpy(out[i].q[l][r], b.qs + 4 * l, 4);
        }
}

static void linear_pack_q4_0(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_q4_0 *out = group;

    for (size_t i = 0; i < k / 32; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_q4_0 b;
            uint8_t v[32];

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            linear_values_q4_0(v, &b);
            out[i].d[r] = b.d;
            linear_pack_nibbles(out[i].q, r, v, 32);
        }
}

static void linear_pack_q4_k(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_q4_k *out = group;

    for (size_t i = 0; i < k / 256; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_q4_k b;
            uint8_t v[256];

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            linear_values_q4_k(v, &b);
            out[i].d[r] = b.d;
            out[i].dmin[r] = b.dmin;
            for (size_t j = 0; j < 3; j++)
                memcpy(out[i].scales[j][r], b.scales + 4 * j, 4);
            linear_pack_nibbles(out[i].q, r, v, 256);
        }
}

static void linear_pack_q6_k(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)
{
    lm_packed_q6_k *out = group;

    for (size_t i = 0; i < k / 256; i++)
        for (size_t r = 0; r < LM_GROUP; r++) {
            lm_block_q6_k b;
            uint8_t v[256];

            linear_block(&b, sizeof b, rows, row_bytes, n_rows, r, i);
            linear_values_q6_k(v, &b);
            out[i].d[r] = b.d;
            linear_pack_nibbles(out[i].ql, r, v, 256);
            for (size_t j = 0; j < 16; j++) {
                const uint8_t *u = v + 16 * j;

                out[i].scales[j][r] = b.scales[j];
                for (size_t n = 0; n < 4; n++)
                    out[i].qh[j][r][n] = (uint8_t)((u[n] >> 4) | ((u[n + 4] >> 4) << 2) | ((u[n + 8] >> 4) << 4) | ((u[n + 12] >> 4) << 6));
            }
        }
}

/* ---- values of one lane of a packed block ---------------------------------------------------------------------------- */

static inline int32_t linear_six_bits(const lm_packed_q6_k *b, size_t r, size_t i)
{
    return linear_nibble(b->ql, r, i) | ((b->qh[i / 16][r][i % 4] >> (i / 4 % 4 * 2)) & 3) << 4;
}

/* ---- row: the operations of the gguf package, in f32 ----------------------------------------------------------------- */

static void linear_row_f32(float *y, const void *w, size_t row, size_t k)
{
    const float *in = (const float *)w + row / LM_GROUP * LM_GROUP * k + row % LM_GROUP;

    for (size_t i = 0; i < k; i++)
        y[i] = in[i * LM_GROUP];
}

static void linear_row_f16(float *y, const void *w, size_t row, size_t k)
{
    const uint16_t *in = (const uint16_t *)w + row / LM_GROUP * LM_GROUP * k + row % LM_GROUP;

    for (size_t i = 0; i < k; i++)
        y[i] = lm_f32_from_f16(in[i * LM_GROUP]);
}

static void linear_row_bf16(float *y, const void *w, size_t row, size_t k)
{
    const uint16_t *in = (const uint16_t *)w + row / LM_GROUP * LM_GROUP * k + row % LM_GROUP;

    for (size_t i = 0; i < k; i++)
        y[i] = lm_f32_from_bf16(in[i * LM_GROUP]);
}

static void linear_row_q8_0(float *y, const void *w, size_t row, size_t k)
{
    const lm_packed_q8_0 *b = (const lm_packed_q8_0 *)w + row / LM_GROUP * (k / 32);
    size_t r = row % LM_GROUP;

    for (size_t i = 0; i < k; i++)
        y[i] = lm_f32_from_f16(b[i / 32].d[r]) * (float)b[i / 32].q[i % 32 / 4][r][i % 4];
}

static void linear_row_q4_0(float *y, const void *w, size_t row, size_t k)
{
    const lm_packed_q4_0 *b = (const lm_packed_q4_0 *)w + row / LM_GROUP * (k / 32);
    size_t r = row % LM_GROUP;

    for (size_t i = 0; i < k; i++)
        y[i] = lm_f32_from_f16(b[i / 32].d[r]) * (float)(linear_nibble(b[i / 32].q, r, i % 32) - 8);
}

static void linear_row_q4_k(float *y, const void *w, size_t row, size_t k)
{
    const lm_packed_q4_k *b = (const lm_packed_q4_k *)w + row / LM_GROUP * (k / 256);
    size_t r = row % LM_GROUP;

    for (; k != 0; b++, y += 256, k -= 256) {
        float d = lm_f32_from_f16(b->d[r]), dmin = lm_f32_from_f16(b->dmin[r]);
        uint8_t scale[8], min[8];

        linear_scales_6bit(scale, min, b->scales, r);
        for (size_t i = 0; i < 256; i++)
            y[i] = (d * (float)scale[i / 32]) * (float)linear_nibble(b->q, r, i) - dmin * (float)min[i / 32];
    }
}

static void linear_row_q6_k(float *y, const void *w, size_t row, size_t k)
{
    const lm_packed_q6_k *b = (const lm_packed_q6_k *)w + row / LM_GROUP * (k / 256);
    size_t r = row % LM_GROUP;

    for (; k != 0; b++, y += 256, k -= 256)
        for (size_t i = 0; i < 256; i++)
            y[i] = (lm_f32_from_f16(b->d[r]) * (float)b->scales[i / 16][r]) * (float)(linear_six_bits(b, r, i) - 32);
}

/* ---- linear ---------------------------------------------------------------------------------------------------------- */

/* Sums of one column with the 16 lanes: s[r] += sum over the n values of w x. Exact. */
static void linear_dot_nibbles(int32_t s[16], const uint8_t (*lines)[16][4], const int8_t *x, size_t n)
{
    for (size_t l = 0; l < n / 8; l++, x += 8)
        for (size_t r = 0; r < 16; r++) {
            const uint8_t *w = lines[l][r];

            s[r] += (w[0] & 15) * x[0] + (w[1] & 15) * x[1] + (w[2] & 15) * x[2] + (w[3] & 15) * x[3] +
                    (w[0] >> 4) * x[4] + (w[1] >> 4) * x[5] + (w[2] >> 4) * x[6] + (w[3] >> 4) * x[7];
        }
}

static void linear_column_f32(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c)
{
    const float *w = group, *in = x->f32 + c * k;

    for (size_t i = 0; i < k; i++)
        for (size_t r = 0; r < 16; r++)
            acc[r] = lm_fmaf(w[16 * i + r], in[i], acc[r]);
}

static void linear_column_f16(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c)
{
    const uint16_t *w = group;
    const float *in = x->f32 + c * k;

    for (size_t i = 0; i < k; i++)
        for (size_t r = 0; r < 16; r++)
            acc[r] = lm_fmaf(lm_f32_from_f16(w[16 * i + r]), in[i], acc[r]);
}

static void linear_column_bf16(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c)
{
    const uint16_t *w = group;
    const float *in = x->f32 + c * k;

    for (size_t i = 0; i < k; i++)
        for (size_t r = 0; r < 16; r++)
            acc[r] = lm_fmaf(lm_f32_from_bf16(w[16 * i + r]), in[i], acc[r]);
}

static void linear_column_q8_0(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c)
{
    const lm_packed_q8_0 *b = group;
    const int8_t *q = x->q32 + c * k;

    for (size_t i = 0; i < k / 32; i++, b++, q += 32) {
        int32_t sum[16] = {0};
        float d = x->d32[c * (k / 32) + i];

        for (size_t l = 0; l < 8; l++)
            for (size_t r = 0; r < 16; r++)
                sum[r] += b->q[l][r][0] * q[4 * l] + b->q[l][r][1] * q[4 * l + 1] + b->q[l][r][2] * q[4 * l + 2] + b->q[l][r][3] * q[4 * l + 3];
        for (size_t r = 0; r < 16; r++)
            acc[r] = lm_fmaf((float)sum[r], lm_f32_from_f16(b->d[r]) * d, acc[r]);
    }
}

static void linear_column_q4_0(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c)
{
    const lm_packed_q4_0 *b = group;
    const int8_t *q = x->q32 + c * k;

    for (size_t i = 0; i < k / 32; i++, b++, q += 32) {
        int32_t sum[16] = {0};
        float d = x->d32[c * (k / 32) + i];

        linear_dot_nibbles(sum, b->q, q, 32);
        for (size_t r = 0; r < 16; r++)
            acc[r] = lm_fmaf((float)(sum[r] - 8 * x->s32[c * (k / 32) + i]), lm_f32_from_f16(b->d[r]) * d, acc[r]);
    }
}

static void linear_column_q4_k(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c)
{
    const lm_packed_q4_k *b = group;
    const int8_t *q = x->q256 + c * k;
    const int16_t *s = x->s16 + c * (k / 16);

    for (size_t i = 0; i < k / 256; i++, b++, q += 256, s += 16) {
        int32_t sum[8][16] = {{0}};
        float d = x->d256[c * (k / 256) + i];

        for (size_t j = 0; j < 8; j++)
            linear_dot_nibbles(sum[j], b->q + 4 * j, q + 32 * j, 32);
        for (size_t r = 0; r < 16; r++) {
            int32_t isum = 0, msum = 0;
            uint8_t scale[8], min[8];

            linear_scales_6bit(scale, min, b->scales, r);
            for (size_t j = 0; j < 8; j++) {
                isum += scale[j] * sum[j][r];
                msum += min[j] * (s[2 * j] + s[2 * j + 1]);
            }
            acc[r] = lm_fmaf((float)isum, lm_f32_from_f16(b->d[r]) * d, acc[r]);
            acc[r] = lm_fmaf((float)msum, -(lm_f32_from_f16(b->dmin[r]) * d), acc[r]);
        }
    }
}

static void linear_column_q6_k(float acc[16], const void *group, size_t k, const lm_acts *x, size_t c)
{
    const lm_packed_q6_k *b = group;
    const int8_t *q = x->q256 + c * k;

    for (size_t i = 0; i < k / 256; i++, b++, q += 256) {
        int32_t isum[16] = {0};
        float d = x->d256[c * (k / 256) + i];

        for (size_t j = 0; j < 16; j++)
            for (size_t r = 0; r < 16; r++) {
                const uint8_t *lo = b->ql[2 * j][r], *hi = b->ql[2 * j + 1][r], *top = b->qh[j][r];
                int32_t sum = 0;

                for (size_t n = 0; n < 4; n++) {
                    const int8_t *v = q + 16 * j + n;

                    sum += ((lo[n] & 15) + ((top[n] & 3) << 4) - 32) * v[0] + ((lo[n] >> 4) + ((top[n] & 12) << 2) - 32) * v[4] +
                           ((hi[n] & 15) + (top[n] & 48) - 32) * v[8] + ((hi[n] >> 4) + ((top[n] & 192) >> 2) - 32) * v[12];
                }
                isum[r] += b->scales[j][r] * sum;
            }
        for (size_t r = 0; r < 16; r++)
            acc[r] = lm_fmaf((float)isum[r], lm_f32_from_f16(b->d[r]) * d, acc[r]);
    }
}

LINEAR_REF(f32, k * 16 * 4)
LINEAR_REF(f16, k * 16 * 2)
LINEAR_REF(bf16, k * 16 * 2)
LINEAR_REF(q8_0, k / 32 * sizeof(lm_packed_q8_0))
LINEAR_REF(q4_0, k / 32 * sizeof(lm_packed_q4_0))
LINEAR_REF(q4_k, k / 256 * sizeof(lm_packed_q4_k))
LINEAR_REF(q6_k, k / 256 * sizeof(lm_packed_q6_k))

void lm_kernels_linear_ref(lm_kernels *table)
{
    LINEAR_ENTRY(F32, f32, linear_pack_32bit);
    LINEAR_ENTRY(F16, f16, linear_pack_16bit);
    LINEAR_ENTRY(BF16, bf16, linear_pack_16bit);
    LINEAR_ENTRY(Q8_0, q8_0, linear_pack_q8_0);
    LINEAR_ENTRY(Q4_0, q4_0, linear_pack_q4_0);
    LINEAR_ENTRY(Q4_K, q4_k, linear_pack_q4_k);
    LINEAR_ENTRY(Q6_K, q6_k, linear_pack_q6_k);
}
