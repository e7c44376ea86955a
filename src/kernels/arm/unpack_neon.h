/* SPDX-License-Identifier: MIT
 * How the NEON products read each format of packed weights (kernels/layout.h): a format is a few functions here, and the tiles of
 * linear_neon.inc do the rest for all of them. Base instructions only, so that every rung can inline them. Floor 5.
 *
 * Sixteen rows are four quarters of four. A format T gives
 *  - unpack_neon_T(v, b, u, q): the values 16u .. 16u + 15 of the rows of quarter q: v[i] has the values 16u + 4i .. + 3 of each
 *    row, as bytes that are UNPACK_NEON_T above their meaning;
 *  - unpack_neon_T_d(b, q): the scales of a quarter; unpack_neon_T_m(b, q): what a minimum is added with;
 *  - blocks of 256: unpack_neon_T_scales(scale, min, b): integers for each sub-block of 16 or 32. */
#ifndef LM_KERNELS_ARM_UNPACK_NEON_H
#define LM_KERNELS_ARM_UNPACK_NEON_H

#include "kernels/layout.h"
#include "kernels/arm/arm.h"
#include "tensor/blocks.h"
#include "base/compiler.h"

#include <stddef.h>
#include <string.h>

#if LM_ARM

enum {
    UNPACK_NEON_q8_0 = 0, UNPACK_NEON_q4_0 = 8, UNPACK_NEON_q4_1 = 0, UNPACK_NEON_q5_0 = 16, UNPACK_NEON_q5_1 = 0, UNPACK_NEON_iq4_nl = 0,
    UNPACK_NEON_mxfp4 = 0, UNPACK_NEON_q2_k = 0, UNPACK_NEON_q3_k = 4, UNPACK_NEON_q4_k = 0, UNPACK_NEON_q5_k = 0, UNPACK_NEON_q6_k = 32,
    UNPACK_NEON_iq4_xs = 0
};

/* ---- small things ------------------------------------------------------------------------------------------------------ */

LM_INLINE uint8x16_t unpack_neon_line(const uint8_t line[16][4], int q) { return vld1q_u8(line[4 * q]); }
LM_INLINE int8x16_t unpack_neon_signed(uint8x16_t v) { return vreinterpretq_s8_u8(v); }
LM_INLINE uint8x16_t unpack_neon_low(uint8x16_t line) { return vandq_u8(line, vdupq_n_u8(15)); }
LM_INLINE uint8x16_t unpack_neon_high(uint8x16_t line) { return vshrq_n_u8(line, 4); }

LM_INLINE float32x4_t unpack_neon_halves(const uint16_t d[16], int q) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(d + 4 * q))); }

/* Two lines of nibbles. */
LM_INLINE void unpack_neon_nibbles(int8x16_t v[4], const uint8_t (*lines)[16][4], int q)
{
    const uint8x16_t a = unpack_neon_line(lines[0], q), z = unpack_neon_line(lines[1], q);

    v[0] = unpack_neon_signed(unpack_neon_low(a));
    v[1] = unpack_neon_signed(unpack_neon_high(a));
    v[2] = unpack_neon_signed(unpack_neon_low(z));
    v[3] = unpack_neon_signed(unpack_neon_high(z));
}

/* The bit of sixteen values above them: the low or the high four of a line of single bits. `bit`: where it goes, 4 or 16. */
LM_INLINE void unpack_neon_fifth(int8x16_t v[4], const uint8_t line[16][4], int high, int q, const int bit)
{
    const uint8x16_t all = unpack_neon_line(line, q), bits = high ? vshrq_n_u8(all, 4) : all, mask = vdupq_n_u8((uint8_t)bit);

    LM_UNROLL
    for (int i = 0; i < 4; i++) {
        const uint8x16_t at = vshlq_u8(bits, vdupq_n_s8((int8_t)((bit == 4 ? 2 : 4) - i)));

        v[i] = vorrq_s8(v[i], unpack_neon_signed(vandq_u8(at, mask)));
    }
}

/* Four quads of pairs of bits. */
LM_INLINE void unpack_neon_crumbs(int8x16_t v[4], const uint8_t line[16][4], int q)
{
    const uint8x16_t all = unpack_neon_line(line, q), low = vdupq_n_u8(3);

    v[0] = unpack_neon_signed(vandq_u8(all, low));
    v[1] = unpack_neon_signed(vandq_u8(vshrq_n_u8(all, 2), low));
    v[2] = unpack_neon_signed(vandq_u8(vshrq_n_u8(all, 4), low));
    v[3] = unpack_neon_signed(vshrq_n_u8(all, 6));
}

/* Nibbles for what a table has in their place. */
LM_INLINE void unpack_neon_look_up(int8x16_t v[4], const int8_t table[16])
{
    const int8x16_t t = vld1q_s8(table);

    LM_UNROLL
    for (int i = 0; i < 4; i++)
        v[i] = vqtbl1q_s8(t, vreinterpretq_u8_s8(v[i]));
}

static const int8_t unpack_neon_iq4_values[16] = { LM_IQ4_VALUES };
static const int8_t unpack_neon_mxfp4_values[16] = { LM_MXFP4_VALUES };

/* Four bytes of each of 16 rows, [row][4], less `offset`, as four rows of numbers of 32 bits, [4][row]. */
LM_INLINE void unpack_neon_spread(int32_t (*out)[16], const uint8x16_t bytes[4], int offset)
{
    const int32x4_t less = vdupq_n_s32(offset);

    LM_UNROLL
    for (int q = 0; q < 4; q++) {
        const uint32x4_t v = vreinterpretq_u32_u8(bytes[q]);
        const uint32x4_t low = vdupq_n_u32(255);

        vst1q_s32(out[0] + 4 * q, vsubq_s32(vreinterpretq_s32_u32(vandq_u32(v, low)), less));
        vst1q_s32(out[1] + 4 * q, vsubq_s32(vreinterpretq_s32_u32(vandq_u32(vshrq_n_u32(v, 8), low)), less));
        vst1q_s32(out[2] + 4 * q, vsubq_s32(vreinterpretq_s32_u32(vandq_u32(vshrq_n_u32(v, 16), low)), less));
        vst1q_s32(out[3] + 4 * q, vsubq_s32(vreinterpretq_s32_u32(vshrq_n_u32(v, 24)), less));
    }
}

LM_INLINE void unpack_neon_spread16(int16_t (*out)[16], const uint8x16_t bytes[4])
{
    LM_UNROLL
    for (int q = 0; q < 4; q++) {
        const uint32x4_t v = vreinterpretq_u32_u8(bytes[q]);
        const uint32x4_t low = vdupq_n_u32(255);

        vst1_s16(out[0] + 4 * q, vreinterpret_s16_u16(vmovn_u32(vandq_u32(v, low))));
        vst1_s16(out[1] + 4 * q, vreinterpret_s16_u16(vmovn_u32(vandq_u32(vshrq_n_u32(v, 8), low))));
        vst1_s16(out[2] + 4 * q, vreinterpret_s16_u16(vmovn_u32(vandq_u32(vshrq_n_u32(v, 16), low))));
        vst1_s16(out[3] + 4 * q, vreinterpret_s16_u16(vmovn_u32(vshrq_n_u32(v, 24))));
    }
}

/* ---- blocks of 32 ------------------------------------------------------------------------------------------------------ */

LM_INLINE void unpack_neon_q8_0(int8x16_t v[4], const lm_packed_q8_0 *b, size_t u, int q)
{
    LM_UNROLL
    for (int i = 0; i < 4; i++)
        v[i] = vld1q_s8(b->q[4 * u + (size_t)i][4 * q]);
}

LM_INLINE void unpack_neon_q4_0(int8x16_t v[4], const lm_packed_q4_0 *b, size_t u, int q) { unpack_neon_nibbles(v, b->q + 2 * u, q); }
LM_INLINE void unpack_neon_q4_1(int8x16_t v[4], const lm_packed_q4_1 *b, size_t u, int q) { unpack_neon_nibbles(v, b->q + 2 * u, q); }

LM_INLINE void unpack_neon_q5_0(int8x16_t v[4], const lm_packed_q5_0 *b, size_t u, int q)
{
    unpack_neon_nibbles(v, b->q + 2 * u, q);
    unpack_neon_fifth(v, b->qh, u != 0, q, 16);
}

LM_INLINE void unpack_neon_q5_1(int8x16_t v[4], const lm_packed_q5_1 *b, size_t u, int q)
{
    unpack_neon_nibbles(v, b->q + 2 * u, q);
    unpack_neon_fifth(v, b->qh, u != 0, q, 16);
}

LM_INLINE void unpack_neon_iq4_nl(int8x16_t v[4], const lm_packed_iq4_nl *b, size_t u, int q)
{
    unpack_neon_nibbles(v, b->q + 2 * u, q);
    unpack_neon_look_up(v, unpack_neon_iq4_values);
}

LM_INLINE void unpack_neon_mxfp4(int8x16_t v[4], const lm_packed_mxfp4 *b, size_t u, int q)
{
    unpack_neon_nibbles(v, b->q + 2 * u, q);
    unpack_neon_look_up(v, unpack_neon_mxfp4_values);
}

LM_INLINE float32x4_t unpack_neon_q8_0_d(const lm_packed_q8_0 *b, int q) { return unpack_neon_halves(b->d, q); }
LM_INLINE float32x4_t unpack_neon_q4_0_d(const lm_packed_q4_0 *b, int q) { return unpack_neon_halves(b->d, q); }
LM_INLINE float32x4_t unpack_neon_q4_1_d(const lm_packed_q4_1 *b, int q) { return unpack_neon_halves(b->d, q); }
LM_INLINE float32x4_t unpack_neon_q4_1_m(const lm_packed_q4_1 *b, int q) { return unpack_neon_halves(b->m, q); }
LM_INLINE float32x4_t unpack_neon_q5_0_d(const lm_packed_q5_0 *b, int q) { return unpack_neon_halves(b->d, q); }
LM_INLINE float32x4_t unpack_neon_q5_1_d(const lm_packed_q5_1 *b, int q) { return unpack_neon_halves(b->d, q); }
LM_INLINE float32x4_t unpack_neon_q5_1_m(const lm_packed_q5_1 *b, int q) { return unpack_neon_halves(b->m, q); }
LM_INLINE float32x4_t unpack_neon_iq4_nl_d(const lm_packed_iq4_nl *b, int q) { return unpack_neon_halves(b->d, q); }

/* 2^(e - 128): e - 1 in the place of the exponent, or for 0 and 1 half and all of the smallest normal number's half. */
LM_INLINE float32x4_t unpack_neon_mxfp4_d(const lm_packed_mxfp4 *b, int q)
{
    uint32_t four;

    memcpy(&four, b->e + 4 * q, 4);
    const uint32x4_t e = vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four))))), two = vdupq_n_u32(2);
    const uint32x4_t tiny = vshlq_u32(vdupq_n_u32(0x00200000u), vreinterpretq_s32_u32(vminq_u32(e, two)));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, two), tiny, vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23)));
}

/* ---- blocks of 256 ----------------------------------------------------------------------------------------------------- */

LM_INLINE void unpack_neon_q2_k(int8x16_t v[4], const lm_packed_q2_k *b, size_t u, int q) { unpack_neon_crumbs(v, b->q[u], q); }

LM_INLINE void unpack_neon_q3_k(int8x16_t v[4], const lm_packed_q3_k *b, size_t u, int q)
{
    unpack_neon_crumbs(v, b->q[u], q);
    unpack_neon_fifth(v, b->qh[u / 2], u % 2 != 0, q, 4);
}

LM_INLINE void unpack_neon_q4_k(int8x16_t v[4], const lm_packed_q4_k *b, size_t u, int q) { unpack_neon_nibbles(v, b->q + 2 * u, q); }

LM_INLINE void unpack_neon_q5_k(int8x16_t v[4], const lm_packed_q5_k *b, size_t u, int q)
{
    unpack_neon_nibbles(v, b->q + 2 * u, q);
    unpack_neon_fifth(v, b->qh[u / 2], u % 2 != 0, q, 16);
}

LM_INLINE void unpack_neon_q6_k(int8x16_t v[4], const lm_packed_q6_k *b, size_t u, int q)
{
    const uint8x16_t top = unpack_neon_line(b->qh[u], q), mask = vdupq_n_u8(48);

    unpack_neon_nibbles(v, b->ql + 2 * u, q);
    v[0] = vorrq_s8(v[0], unpack_neon_signed(vandq_u8(vshlq_n_u8(top, 4), mask)));
    v[1] = vorrq_s8(v[1], unpack_neon_signed(vandq_u8(vshlq_n_u8(top, 2), mask)));
    v[2] = vorrq_s8(v[2], unpack_neon_signed(vandq_u8(top, mask)));
    v[3] = vorrq_s8(v[3], unpack_neon_signed(vandq_u8(vshrq_n_u8(top, 2), mask)));
}

LM_INLINE void unpack_neon_iq4_xs(int8x16_t v[4], const lm_packed_iq4_xs *b, size_t u, int q)
{
    unpack_neon_nibbles(v, b->q + 2 * u, q);
    unpack_neon_look_up(v, unpack_neon_iq4_values);
}

LM_INLINE float32x4_t unpack_neon_q2_k_d(const lm_packed_q2_k *b, int q) { return unpack_neon_halves(b->d, q); }
LM_INLINE float32x4_t unpack_neon_q2_k_m(const lm_packed_q2_k *b, int q) { return vnegq_f32(unpack_neon_halves(b->dmin, q)); }
LM_INLINE float32x4_t unpack_neon_q3_k_d(const lm_packed_q3_k *b, int q) { return unpack_neon_halves(b->d, q); }
LM_INLINE float32x4_t unpack_neon_q4_k_d(const lm_packed_q4_k *b, int q) { return unpack_neon_halves(b->d, q); }
LM_INLINE float32x4_t unpack_neon_q4_k_m(const lm_packed_q4_k *b, int q) { return vnegq_f32(unpack_neon_halves(b->dmin, q)); }
LM_INLINE float32x4_t unpack_neon_q5_k_d(const lm_packed_q5_k *b, int q) { return unpack_neon_halves(b->d, q); }
LM_INLINE float32x4_t unpack_neon_q5_k_m(const lm_packed_q5_k *b, int q) { return vnegq_f32(unpack_neon_halves(b->dmin, q)); }
LM_INLINE float32x4_t unpack_neon_q6_k_d(const lm_packed_q6_k *b, int q) { return unpack_neon_halves(b->d, q); }
LM_INLINE float32x4_t unpack_neon_iq4_xs_d(const lm_packed_iq4_xs *b, int q) { return unpack_neon_halves(b->d, q); }

LM_INLINE void unpack_neon_q2_k_scales(int32_t (*scale)[16], int16_t (*min)[16], const lm_packed_q2_k *b)
{
    for (int l = 0; l < 4; l++) {
        uint8x16_t sc[4], mn[4];

        LM_UNROLL
        for (int q = 0; q < 4; q++) {
            const uint8x16_t line = unpack_neon_line(b->scales[l], q);

            sc[q] = unpack_neon_low(line);
            mn[q] = unpack_neon_high(line);
        }
        unpack_neon_spread(scale + 4 * l, sc, 0);
        unpack_neon_spread16(min + 4 * l, mn);
    }
}

LM_INLINE void unpack_neon_q3_k_scales(int32_t (*scale)[16], int16_t (*min)[16], const lm_packed_q3_k *b)
{
    const uint8x16_t top = vdupq_n_u8(48);
    uint8x16_t sc[4][4];

    (void)min;
    LM_UNROLL
    for (int q = 0; q < 4; q++) {
        const uint8x16_t s0 = unpack_neon_line(b->scales[0], q), s1 = unpack_neon_line(b->scales[1], q), s2 = unpack_neon_line(b->scales[2], q);

        sc[0][q] = vorrq_u8(unpack_neon_low(s0), vandq_u8(vshlq_n_u8(s2, 4), top));
        sc[1][q] = vorrq_u8(unpack_neon_low(s1), vandq_u8(vshlq_n_u8(s2, 2), top));
        sc[2][q] = vorrq_u8(unpack_neon_high(s0), vandq_u8(s2, top));
        sc[3][q] = vorrq_u8(unpack_neon_high(s1), vandq_u8(vshrq_n_u8(s2, 2), top));
    }
    LM_UNROLL
    for (int i = 0; i < 4; i++)
        unpack_neon_spread(scale + 4 * i, sc[i], 32);
}

/* The six-bit scales and minimums of Q4_K and Q5_K. */
LM_INLINE void unpack_neon_six_bits(int32_t (*scale)[16], int16_t (*min)[16], const uint8_t lines[3][16][4])
{
    uint8x16_t sc[2][4], mn[2][4];

    LM_UNROLL
    for (int q = 0; q < 4; q++) {
        const uint8x16_t s0 = unpack_neon_line(lines[0], q), s1 = unpack_neon_line(lines[1], q), s2 = unpack_neon_line(lines[2], q);

        sc[0][q] = vandq_u8(s0, vdupq_n_u8(63));
        mn[0][q] = vandq_u8(s1, vdupq_n_u8(63));
        sc[1][q] = vorrq_u8(unpack_neon_low(s2), vshlq_n_u8(vshrq_n_u8(s0, 6), 4));
        mn[1][q] = vorrq_u8(unpack_neon_high(s2), vshlq_n_u8(vshrq_n_u8(s1, 6), 4));
    }
    LM_UNROLL
    for (int h = 0; h < 2; h++) {
        unpack_neon_spread(scale + 4 * h, sc[h], 0);
        unpack_neon_spread16(min + 4 * h, mn[h]);
    }
}

LM_INLINE void unpack_neon_q4_k_scales(int32_t (*scale)[16], int16_t (*min)[16], const lm_packed_q4_k *b) { unpack_neon_six_bits(scale, min, b->scales); }
LM_INLINE void unpack_neon_q5_k_scales(int32_t (*scale)[16], int16_t (*min)[16], const lm_packed_q5_k *b) { unpack_neon_six_bits(scale, min, b->scales); }

LM_INLINE void unpack_neon_q6_k_scales(int32_t (*scale)[16], int16_t (*min)[16], const lm_packed_q6_k *b)
{
    (void)min;
    for (int j = 0; j < 16; j++)
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            const int16x8_t v = vmovl_s8(vld1_s8(b->scales[j] + 8 * h));

            vst1q_s32(scale[j] + 8 * h, vmovl_s16(vget_low_s16(v)));
            vst1q_s32(scale[j] + 8 * h + 4, vmovl_high_s16(v));
        }
}

LM_INLINE void unpack_neon_iq4_xs_scales(int32_t (*scale)[16], int16_t (*min)[16], const lm_packed_iq4_xs *b)
{
    (void)min;
    LM_UNROLL
    for (int q = 0; q < 4; q++) {
        const uint32x4_t low = vreinterpretq_u32_u8(unpack_neon_line(b->scales_l, q)), high = vmovl_u16(vld1_u16(b->scales_h + 4 * q));

        LM_UNROLL
        for (int j = 0; j < 8; j++) {
            const uint32x4_t four = vandq_u32(vshlq_u32(low, vdupq_n_s32(-4 * j)), vdupq_n_u32(15));
            const uint32x4_t two = vandq_u32(vshlq_u32(high, vdupq_n_s32(4 - 2 * j)), vdupq_n_u32(48));

            vst1q_s32(scale[j] + 4 * q, vsubq_s32(vreinterpretq_s32_u32(vorrq_u32(four, two)), vdupq_n_s32(32)));
        }
    }
}

#endif

#endif
