/* SPDX-License-Identifier: MIT
 * How the products of AVX-512 and AMX read each format of packed weights (kernels/layout.h). A format is a few functions here; the
 * tiles of linear_avx512*.c and linear_amx.c do the rest for all of them. Floor 5.
 *
 * A format T gives
 *  - linear512_lines_T(v, b, ...): 32 values of 16 rows as eight lines of unsigned bytes, LINEAR512_BIAS_T above their meaning;
 *  - in blocks of 32: linear512_scale_T, linear512_min_T;
 *  - in blocks of 256: linear512_say_T, the scales and minimums of the sub-blocks. */
#ifndef LM_KERNELS_X86_FORMATS_AVX512_H
#define LM_KERNELS_X86_FORMATS_AVX512_H

#include "kernels/kernels.h"

#include "kernels/layout.h"
#include "kernels/x86/x86.h"
#include "tensor/blocks.h"
#include "base/compiler.h"

#include <string.h>

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX512

/* Products of AVX-512, for what is left over by AMX: defined in linear_avx512*.c. */
#define LINEAR512_DECLARE(type) \
    void lm_linear512_##type(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols);
LINEAR512_DECLARE(f32)
LINEAR512_DECLARE(f16)
LINEAR512_DECLARE(bf16)
LINEAR512_DECLARE(q8_0)
LINEAR512_DECLARE(q4_0)
LINEAR512_DECLARE(q4_1)
LINEAR512_DECLARE(q5_0)
LINEAR512_DECLARE(q5_1)
LINEAR512_DECLARE(iq4_nl)
LINEAR512_DECLARE(mxfp4)
LINEAR512_DECLARE(q2_k)
LINEAR512_DECLARE(q3_k)
LINEAR512_DECLARE(q4_k)
LINEAR512_DECLARE(q5_k)
LINEAR512_DECLARE(q6_k)
LINEAR512_DECLARE(iq4_xs)
#undef LINEAR512_DECLARE

enum {
    LINEAR512_AHEAD = 5120,                     /* bytes of prefetch */
    LINEAR512_X_BYTES = 512 * 1024              /* activations of a block of columns: they should stay in the second-level cache */
};

enum {
    LINEAR512_BIAS_q8_0 = 128, LINEAR512_BIAS_q4_0 = 8, LINEAR512_BIAS_q4_1 = 0, LINEAR512_BIAS_q5_0 = 16, LINEAR512_BIAS_q5_1 = 0,
    LINEAR512_BIAS_iq4_nl = 128, LINEAR512_BIAS_mxfp4 = 12, LINEAR512_BIAS_q2_k = 0, LINEAR512_BIAS_q3_k = 4, LINEAR512_BIAS_q4_k = 0,
    LINEAR512_BIAS_q5_k = 0, LINEAR512_BIAS_q6_k = 32, LINEAR512_BIAS_iq4_xs = 128
};

/* ---- small things ---------------------------------------------------------------------------------------------------- */

LM_INLINE __m512i linear512_line(const void *p) { return _mm512_loadu_si512(p); }
LM_INLINE __m512 linear512_halves(const uint16_t d[16]) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)d)); }

LM_INLINE __m512i linear512_dword(const void *p)        /* four bytes in every lane */
{
    int32_t v;

    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}

LM_INLINE __m512i linear512_low(__m512i line) { return _mm512_and_si512(line, _mm512_set1_epi8(15)); }
LM_INLINE __m512i linear512_high(__m512i line) { return _mm512_and_si512(_mm512_srli_epi16(line, 4), _mm512_set1_epi8(15)); }
LM_INLINE __m512 linear512_fma_int(__m512i sum, __m512 scale, __m512 acc) { return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, acc); }

LM_INLINE __mmask16 linear512_mask(size_t rows_left) { return rows_left >= 16 ? 0xffff : (__mmask16)((1u << rows_left) - 1); }

LM_INLINE void linear512_prefetch(const void *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)p + LINEAR512_AHEAD + i, _MM_HINT_T0);
}

/* The six-bit scales and minimums of 16 rows: byte j of a lane belongs to sub-block j (first vector) and 4 + j (second). */
typedef struct linear512_six { __m512i scale[2], min[2]; } linear512_six;

LM_INLINE linear512_six linear512_six_bits(const uint8_t (*lines)[16][4])
{
    const __m512i s0 = linear512_line(lines[0]), s1 = linear512_line(lines[1]), s2 = linear512_line(lines[2]);
    const __m512i low6 = _mm512_set1_epi8(63), low4 = _mm512_set1_epi8(15), top2 = _mm512_set1_epi8(48);
    linear512_six out;

    out.scale[0] = _mm512_and_si512(s0, low6);
    out.min[0] = _mm512_and_si512(s1, low6);
    out.scale[1] = _mm512_or_si512(_mm512_and_si512(s2, low4), _mm512_and_si512(_mm512_srli_epi16(s0, 2), top2));
    out.min[1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(s2, 4), low4), _mm512_and_si512(_mm512_srli_epi16(s1, 2), top2));
    return out;
}

/* Byte j of every lane as a number of 32 bits. */
LM_INLINE __m512i linear512_byte(__m512i v, int j)
{
    return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(_mm_set_epi32((int)0x8080800c + j, (int)0x80808008 + j, (int)0x80808004 + j, (int)0x80808000 + j)));
}

/* Bytes j and j + 1 of every lane as two numbers of 16 bits. */
LM_INLINE __m512i linear512_byte_pair(__m512i v, int j)
{
    int at = (int)0x80018000 + j * 0x10001;

    return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(_mm_set_epi32(at + 0xc000c, at + 0x80008, at + 0x40004, at)));
}

/* The sums of 32 values from those of 16, as eight int16: dword j holds sub-blocks 2j and 2j + 1. */
LM_INLINE void linear512_sums32(int32_t out[4], const int16_t s16[16])
{
    __m256i sums = _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *)(const void *)s16), _mm256_set1_epi16(1));

    _mm_store_si128((__m128i *)(void *)out, _mm256_cvtepi32_epi16(sums));
}

/* The sums that minimums meet, as pairs of int16 */
LM_INLINE void linear512_pairs(int32_t out[8], const int16_t s16[16], const int sub)
{
    if (sub == 16)
        memcpy(out, s16, 32);
    else
        linear512_sums32(out, s16);
}

/* ---- 32 values as eight lines of unsigned bytes ------------------------------------------------------------------------ */

LM_INLINE void linear512_nibbles(__m512i v[8], const uint8_t (*q)[16][4])
{
    LM_UNROLL
    for (int l = 0; l < 4; l++) {
        const __m512i line = linear512_line(q[l]);

        v[2 * l] = linear512_low(line);
        v[2 * l + 1] = linear512_high(line);
    }
}

/* a | (b & c) */
LM_INLINE __m512i linear512_or_and(__m512i a, __m512i b, __m512i c) { return _mm512_ternarylogic_epi32(a, b, c, 0xf8); }

/* Bit t of a line of single bits becomes bit 4 of line t. */
LM_INLINE void linear512_fifth_bits(__m512i v[8], __m512i bits)
{
    LM_UNROLL
    for (int t = 0; t < 8; t++)
        v[t] = linear512_or_and(v[t], t < 4 ? _mm512_slli_epi16(bits, (unsigned)(t < 4 ? 4 - t : 0)) : _mm512_srli_epi16(bits, (unsigned)(t < 4 ? 0 : t - 4)),
                                _mm512_set1_epi8(16));
}

/* The four quads of a line of crumbs */
LM_INLINE void linear512_crumbs(__m512i v[4], __m512i line)
{
    LM_UNROLL
    for (int t = 0; t < 4; t++)
        v[t] = _mm512_and_si512(_mm512_srli_epi16(line, (unsigned)(2 * t)), _mm512_set1_epi8(3));
}

/* Nibbles through a table of sixteen bytes, four times the same: vpermb looks at the low six bits of an index, so that what stands
 * above the nibble does not matter. */
LM_INLINE void linear512_looked_up(__m512i v[8], const uint8_t (*q)[16][4], __m512i table)
{
    LM_UNROLL
    for (int l = 0; l < 4; l++) {
        const __m512i line = linear512_line(q[l]);

        v[2 * l] = _mm512_permutexvar_epi8(line, table);
        v[2 * l + 1] = _mm512_permutexvar_epi8(_mm512_srli_epi16(line, 4), table);
    }
}

/* The values of IQ4_NL and IQ4_XS + 128 */
LM_INLINE __m512i linear512_table_iq4(void)
{
    return _mm512_xor_si512(_mm512_broadcast_i32x4(_mm_setr_epi8(LM_IQ4_VALUES)), _mm512_set1_epi8(-128));
}

/* ---- blocks of 32 -------------------------------------------------------------------------------------------------------- */

LM_INLINE __m512 linear512_no_min(const void *b)
{
    (void)b;
    return _mm512_setzero_ps();
}

/* 2^(e - 128): below 2 a bit among those of the fraction, else an exponent */
LM_INLINE __m512 linear512_e8m0(const uint8_t e[16])
{
    const __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)e));
    const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(wide, _mm512_set1_epi32(1)), 23), small = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), wide);

    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, _mm512_cmplt_epi32_mask(wide, _mm512_set1_epi32(2)), small));
}

LM_INLINE void linear512_lines_q8_0(__m512i v[8], const lm_packed_q8_0 *b)
{
    LM_UNROLL
    for (int l = 0; l < 8; l++)
        v[l] = _mm512_xor_si512(linear512_line(b->q[l]), _mm512_set1_epi8(-128));
}
LM_INLINE __m512 linear512_scale_q8_0(const lm_packed_q8_0 *b) { return linear512_halves(b->d); }
LM_INLINE __m512 linear512_min_q8_0(const lm_packed_q8_0 *b) { return linear512_no_min(b); }

LM_INLINE void linear512_lines_q4_0(__m512i v[8], const lm_packed_q4_0 *b) { linear512_nibbles(v, b->q); }
LM_INLINE __m512 linear512_scale_q4_0(const lm_packed_q4_0 *b) { return linear512_halves(b->d); }
LM_INLINE __m512 linear512_min_q4_0(const lm_packed_q4_0 *b) { return linear512_no_min(b); }

LM_INLINE void linear512_lines_q4_1(__m512i v[8], const lm_packed_q4_1 *b) { linear512_nibbles(v, b->q); }
LM_INLINE __m512 linear512_scale_q4_1(const lm_packed_q4_1 *b) { return linear512_halves(b->d); }
LM_INLINE __m512 linear512_min_q4_1(const lm_packed_q4_1 *b) { return linear512_halves(b->m); }

LM_INLINE void linear512_lines_q5_0(__m512i v[8], const lm_packed_q5_0 *b)
{
    linear512_nibbles(v, b->q);
    linear512_fifth_bits(v, linear512_line(b->qh));
}
LM_INLINE __m512 linear512_scale_q5_0(const lm_packed_q5_0 *b) { return linear512_halves(b->d); }
LM_INLINE __m512 linear512_min_q5_0(const lm_packed_q5_0 *b) { return linear512_no_min(b); }

LM_INLINE void linear512_lines_q5_1(__m512i v[8], const lm_packed_q5_1 *b)
{
    linear512_nibbles(v, b->q);
    linear512_fifth_bits(v, linear512_line(b->qh));
}
LM_INLINE __m512 linear512_scale_q5_1(const lm_packed_q5_1 *b) { return linear512_halves(b->d); }
LM_INLINE __m512 linear512_min_q5_1(const lm_packed_q5_1 *b) { return linear512_halves(b->m); }

LM_INLINE void linear512_lines_iq4_nl(__m512i v[8], const lm_packed_iq4_nl *b) { linear512_looked_up(v, b->q, linear512_table_iq4()); }
LM_INLINE __m512 linear512_scale_iq4_nl(const lm_packed_iq4_nl *b) { return linear512_halves(b->d); }
LM_INLINE __m512 linear512_min_iq4_nl(const lm_packed_iq4_nl *b) { return linear512_no_min(b); }

LM_INLINE void linear512_lines_mxfp4(__m512i v[8], const lm_packed_mxfp4 *b)
{
    linear512_looked_up(v, b->q, _mm512_add_epi8(_mm512_broadcast_i32x4(_mm_setr_epi8(LM_MXFP4_VALUES)), _mm512_set1_epi8(12)));
}
LM_INLINE __m512 linear512_scale_mxfp4(const lm_packed_mxfp4 *b) { return linear512_e8m0(b->e); }
LM_INLINE __m512 linear512_min_mxfp4(const lm_packed_mxfp4 *b) { return linear512_no_min(b); }

/* ---- blocks of 256 -------------------------------------------------------------------------------------- */

/* What a block says of its 16 rows. Scales that vpdpwssd takes (Q2_K, Q3_K): the upper half of a lane is zero.
 * Minimums: pairs of sub-blocks. */
typedef struct linear512_said {
    _Alignas(64) int32_t scale[16][16];
    _Alignas(64) int16_t min[8][32];
    _Alignas(64) float d[16], minus_dmin[16];
} linear512_said;

/* Byte j of every lane, signed, in the lower 16 bits; zero above. */
LM_INLINE __m512i linear512_signed_byte(__m512i v, int j)
{
    const int at = (int)0x80800080 + j * 0x100;

    return _mm512_srai_epi16(_mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(_mm_set_epi32(at + 0xc00, at + 0x800, at + 0x400, at))), 8);
}

LM_INLINE __m512 linear512_minus(__m512 v) { return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f)); }

LM_INLINE void linear512_say_q2_k(linear512_said *out, const lm_packed_q2_k *b)
{
    _mm512_store_ps(out->d, linear512_halves(b->d));
    _mm512_store_ps(out->minus_dmin, linear512_minus(linear512_halves(b->dmin)));
    LM_UNROLL
    for (int l = 0; l < 4; l++) {
        const __m512i line = linear512_line(b->scales[l]), scale = linear512_low(line), min = linear512_high(line);

        LM_UNROLL
        for (int j = 0; j < 4; j++)
            _mm512_store_si512(out->scale[4 * l + j], linear512_byte(scale, j));
        LM_UNROLL
        for (int j = 0; j < 2; j++)
            _mm512_store_si512(out->min[2 * l + j], linear512_byte_pair(min, 2 * j));
    }
}

LM_INLINE void linear512_lines_q2_k(__m512i v[8], const lm_packed_q2_k *b, size_t u)
{
    LM_UNROLL
    for (int h = 0; h < 2; h++)
        linear512_crumbs(v + 4 * h, linear512_line(b->q[2 * u + (size_t)h]));
}

LM_INLINE void linear512_say_q3_k(linear512_said *out, const lm_packed_q3_k *b)
{
    const __m512i s0 = linear512_line(b->scales[0]), s1 = linear512_line(b->scales[1]), s2 = linear512_line(b->scales[2]), top = _mm512_set1_epi8(48);
    __m512i scale[4];

    scale[0] = _mm512_or_si512(linear512_low(s0), _mm512_and_si512(_mm512_slli_epi16(s2, 4), top));
    scale[1] = _mm512_or_si512(linear512_low(s1), _mm512_and_si512(_mm512_slli_epi16(s2, 2), top));
    scale[2] = _mm512_or_si512(linear512_high(s0), _mm512_and_si512(s2, top));
    scale[3] = _mm512_or_si512(linear512_high(s1), _mm512_and_si512(_mm512_srli_epi16(s2, 2), top));
    _mm512_store_ps(out->d, linear512_halves(b->d));
    LM_UNROLL
    for (int l = 0; l < 4; l++)
        LM_UNROLL
        for (int j = 0; j < 4; j++)
            _mm512_store_si512(out->scale[4 * l + j], linear512_signed_byte(_mm512_sub_epi8(scale[l], _mm512_set1_epi8(32)), j));
}

LM_INLINE void linear512_lines_q3_k(__m512i v[8], const lm_packed_q3_k *b, size_t u)
{
    const __m512i high = linear512_line(b->qh[u]), four = _mm512_set1_epi8(4);

    LM_UNROLL
    for (int h = 0; h < 2; h++)
        linear512_crumbs(v + 4 * h, linear512_line(b->q[2 * u + (size_t)h]));
    LM_UNROLL
    for (int t = 0; t < 8; t++)
        v[t] = linear512_or_and(v[t], t < 2 ? _mm512_slli_epi16(high, (unsigned)(t < 2 ? 2 - t : 0)) : _mm512_srli_epi16(high, (unsigned)(t < 2 ? 0 : t - 2)), four);
}

LM_INLINE void linear512_say_six(linear512_said *out, const uint16_t d[16], const uint16_t dmin[16], const uint8_t (*scales)[16][4])
{
    const linear512_six six = linear512_six_bits(scales);

    _mm512_store_ps(out->d, linear512_halves(d));
    _mm512_store_ps(out->minus_dmin, linear512_minus(linear512_halves(dmin)));
    LM_UNROLL
    for (int j = 0; j < 8; j++)
        _mm512_store_si512(out->scale[j], linear512_byte(six.scale[j / 4], j % 4));
    LM_UNROLL
    for (int j = 0; j < 4; j++)
        _mm512_store_si512(out->min[j], linear512_byte_pair(six.min[j / 2], j % 2 * 2));
}

LM_INLINE void linear512_say_q4_k(linear512_said *out, const lm_packed_q4_k *b) { linear512_say_six(out, b->d, b->dmin, b->scales); }
LM_INLINE void linear512_lines_q4_k(__m512i v[8], const lm_packed_q4_k *b, size_t u) { linear512_nibbles(v, b->q + 4 * u); }

LM_INLINE void linear512_say_q5_k(linear512_said *out, const lm_packed_q5_k *b) { linear512_say_six(out, b->d, b->dmin, b->scales); }
LM_INLINE void linear512_lines_q5_k(__m512i v[8], const lm_packed_q5_k *b, size_t u)
{
    linear512_nibbles(v, b->q + 4 * u);
    linear512_fifth_bits(v, linear512_line(b->qh[u]));
}

LM_INLINE void linear512_say_iq4_xs(linear512_said *out, const lm_packed_iq4_xs *b)
{
    const __m512i low = linear512_line(b->scales_l), high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)b->scales_h));

    _mm512_store_ps(out->d, linear512_halves(b->d));
    LM_UNROLL
    for (unsigned j = 0; j < 8; j++) {
        const __m512i four = _mm512_and_si512(_mm512_srli_epi32(low, 4 * j), _mm512_set1_epi32(15));
        const __m512i two = j < 3 ? _mm512_slli_epi32(high, j < 3 ? 4 - 2 * j : 0) : _mm512_srli_epi32(high, j < 3 ? 0 : 2 * j - 4);

        _mm512_store_si512(out->scale[j], _mm512_sub_epi32(linear512_or_and(four, two, _mm512_set1_epi32(48)), _mm512_set1_epi32(32)));
    }
}

LM_INLINE void linear512_lines_iq4_xs(__m512i v[8], const lm_packed_iq4_xs *b, size_t u) { linear512_looked_up(v, b->q + 4 * u, linear512_table_iq4()); }

/* The four lines of 16 values, six bits each, unsigned */
LM_INLINE void linear512_six_bit_lines(__m512i v[4], const lm_packed_q6_k *b, size_t j)
{
    const __m512i a = linear512_line(b->ql[2 * j]), z = linear512_line(b->ql[2 * j + 1]), top = linear512_line(b->qh[j]), mask = _mm512_set1_epi8(48);

    v[0] = _mm512_or_si512(linear512_low(a), _mm512_and_si512(_mm512_slli_epi16(top, 4), mask));
    v[1] = _mm512_or_si512(linear512_high(a), _mm512_and_si512(_mm512_slli_epi16(top, 2), mask));
    v[2] = _mm512_or_si512(linear512_low(z), _mm512_and_si512(top, mask));
    v[3] = _mm512_or_si512(linear512_high(z), _mm512_and_si512(_mm512_srli_epi16(top, 2), mask));
}

LM_INLINE __m512i linear512_scales_q6_k(const lm_packed_q6_k *b, size_t j)
{
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)b->scales[j]));
}

LM_INLINE void linear512_say_q6_k(linear512_said *out, const lm_packed_q6_k *b)
{
    _mm512_store_ps(out->d, linear512_halves(b->d));
    LM_UNROLL
    for (size_t j = 0; j < 16; j++)
        _mm512_store_si512(out->scale[j], linear512_scales_q6_k(b, j));
}

LM_INLINE void linear512_lines_q6_k(__m512i v[8], const lm_packed_q6_k *b, size_t u)
{
    linear512_six_bit_lines(v, b, 2 * u);
    linear512_six_bit_lines(v + 4, b, 2 * u + 1);
}

LM_TARGET_END
#endif

#endif
