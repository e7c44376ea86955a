/* SPDX-License-Identifier: MIT
 * Products for AVX2 of the types in blocks of 32 that came after Q8_0 and Q4_0: Q4_1, Q5_0, Q5_1, IQ4_NL, MXFP4, in the shape of
 * linear_avx2.h. A type is a front end: half (8 rows) of the 32 values of a block as eight lines of bytes, with a scale and for two of
 * them a minimum. Bits: those of ref/linear_ref_32.c. Threads: any; nothing is kept.
 *
 * In 16 bits fit together: eight products of nibbles (8 * 2 * 15 * 127 = 30480), four of five bits (4 * 2 * 31 * 127 = 31496), four
 * of MXFP4's values + 12 (4 * 2 * 24 * 127 = 24384). IQ4_NL's values are signed bytes and go Q8_0's way (linear_avx2.c). */
#include "kernels/x86/linear_avx2.h"

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX2

/* ---- front ends -------------------------------------------------------------------------------------------------------- */

LM_INLINE __m256 linear256_no_min(const void *b)
{
    (void)b;
    return _mm256_setzero_ps();
}

/* 2^(e - 128): below 2 a bit among those of the fraction, else an exponent */
LM_INLINE __m256 linear256_e8m0(const uint8_t e[16], int h)
{
    const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(e + 8 * h)));
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(wide, _mm256_set1_epi32(1)), 23), small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), wide);

    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), wide)));
}

LM_INLINE void linear256_lines_q4_1(__m256i v[8], const lm_packed_q4_1 *b, int h) { linear256_quads(v, b->q, h); }
LM_INLINE __m256 linear256_scale_q4_1(const lm_packed_q4_1 *b, int h) { return linear256_halves(b->d, h); }
LM_INLINE __m256 linear256_min_q4_1(const lm_packed_q4_1 *b, int h) { return linear256_halves(b->m, h); }

LM_INLINE void linear256_lines_q5_0(__m256i v[8], const lm_packed_q5_0 *b, int h)
{
    linear256_quads(v, b->q, h);
    linear256_fifth_bits(v, linear256_line(b->qh, h));
}
LM_INLINE __m256 linear256_scale_q5_0(const lm_packed_q5_0 *b, int h) { return linear256_halves(b->d, h); }
LM_INLINE __m256 linear256_min_q5_0(const lm_packed_q5_0 *b, int h) { return (void)h, linear256_no_min(b); }

LM_INLINE void linear256_lines_q5_1(__m256i v[8], const lm_packed_q5_1 *b, int h)
{
    linear256_quads(v, b->q, h);
    linear256_fifth_bits(v, linear256_line(b->qh, h));
}
LM_INLINE __m256 linear256_scale_q5_1(const lm_packed_q5_1 *b, int h) { return linear256_halves(b->d, h); }
LM_INLINE __m256 linear256_min_q5_1(const lm_packed_q5_1 *b, int h) { return linear256_halves(b->m, h); }

LM_INLINE void linear256_lines_mxfp4(__m256i v[8], const lm_packed_mxfp4 *b, int h)
{
    linear256_looked_up(v, b->q, h, _mm256_add_epi8(_mm256_broadcastsi128_si256(_mm_setr_epi8(LM_MXFP4_VALUES)), _mm256_set1_epi8(12)));
}
LM_INLINE __m256 linear256_scale_mxfp4(const lm_packed_mxfp4 *b, int h) { return linear256_e8m0(b->e, h); }
LM_INLINE __m256 linear256_min_mxfp4(const lm_packed_mxfp4 *b, int h) { return (void)h, linear256_no_min(b); }

/* ---- unsigned bytes: tiles of lines that are added in eights or fours, with and without a minimum ------------------------------- */

LM_INLINE void linear256_tile_four(const void *panel, const linear256_tile *t, const int C) { linear256_tile_bytes(panel, t, C, 4, 0); }
LM_INLINE void linear256_tile_four_min(const void *panel, const linear256_tile *t, const int C) { linear256_tile_bytes(panel, t, C, 4, 1); }
LM_INLINE void linear256_tile_eight_min(const void *panel, const linear256_tile *t, const int C) { linear256_tile_bytes(panel, t, C, 8, 1); }
LINEAR256_TILES(four)
LINEAR256_TILES(four_min)
LINEAR256_TILES(eight_min)

/* ---- unsigned bytes: into the panel, and directly -------------------------------------------------------------------------- */

LM_INLINE void linear256_keep_bytes(linear256_panel_bytes *p, size_t i, int h, const __m256i v[8], __m256 d, __m256 m, const int has_min)
{
    _mm256_store_ps(p->d[i] + 8 * h, d);
    if (has_min)
        _mm256_store_ps(p->m[i] + 8 * h, m);
    LM_UNROLL
    for (int l = 0; l < 8; l++)
        linear256_keep(p->q[8 * i + (size_t)l], h, v[l]);
}

/* Half h of block i of a group, of scale d and minimum m, times C columns */
LM_INLINE void linear256_block_bytes(__m256 acc[][2], const __m256i v[8], __m256 d, __m256 m, size_t i, int h, const lm_acts *x, size_t k, const int C, const int together,
                                     const int bias, const int has_min)
{
    LM_UNROLL
    for (int c = 0; c < C; c++) {
        const int8_t *q = x->q32 + (size_t)c * k + 32 * i;
        const int32_t ones = x->s32[(size_t)c * (k / 32) + i];
        const __m256 dx = _mm256_set1_ps(x->d32[(size_t)c * (k / 32) + i]);
        __m256i sum = _mm256_set1_epi32(-bias * ones);

        LM_UNROLL
        for (int l = 0; l < 8; l += together)
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(linear256_dot_lines(v + l, q + 4 * l, together), _mm256_set1_epi16(1)));
        acc[c][h] = linear256_fma_int(sum, _mm256_mul_ps(d, dx), acc[c][h]);
        if (has_min)
            acc[c][h] = _mm256_fmadd_ps(_mm256_set1_ps((float)ones), _mm256_mul_ps(m, dx), acc[c][h]);
    }
}

#define LINEAR256_32(type, tiles, together, bias, has_min)                                                                                 \
    LM_INLINE void linear256_unpack_##type(void *panel, const void *group, size_t at, size_t n)                                     \
    {                                                                                                                               \
        const lm_packed_##type *b = (const lm_packed_##type *)group + at / 32;                                                      \
                                                                                                                                    \
        for (size_t i = 0; i < n / 32; i++, b++) {                                                                                  \
            linear256_prefetch(b, sizeof *b);                                                                                       \
            LM_UNROLL                                                                                                               \
            for (int h = 0; h < 2; h++) {                                                                                           \
                __m256i v[8];                                                                                                       \
                                                                                                                                    \
                linear256_lines_##type(v, b, h);                                                                                    \
                linear256_keep_bytes(panel, i, h, v, linear256_scale_##type(b, h), linear256_min_##type(b, h), (has_min));          \
            }                                                                                                                       \
        }                                                                                                                           \
    }                                                                                                                               \
    LM_INLINE void linear256_direct_##type(__m256 acc[][2], const void *group, const lm_acts *x, size_t k, const int C)             \
    {                                                                                                                               \
        const lm_packed_##type *b = group;                                                                                          \
                                                                                                                                    \
        for (size_t i = 0; i < k / 32; i++, b++) {                                                                                  \
            linear256_prefetch(b, sizeof *b);                                                                                       \
            LM_UNROLL                                                                                                               \
            for (int h = 0; h < 2; h++) {                                                                                           \
                __m256i v[8];                                                                                                       \
                                                                                                                                    \
                linear256_lines_##type(v, b, h);                                                                                    \
                linear256_block_bytes(acc, v, linear256_scale_##type(b, h), linear256_min_##type(b, h), i, h, x, k, C, (together), (bias), (has_min)); \
            }                                                                                                                       \
        }                                                                                                                           \
    }                                                                                                                               \
    LINEAR256(type, tiles, bias, linear256_panel_bytes, 1, k / 32 * sizeof(lm_packed_##type))
LINEAR256_32(q4_1, linear256_eight_min_tiles, 8, 0, 1)
LINEAR256_32(q5_0, linear256_four_tiles, 4, 16, 0)
LINEAR256_32(q5_1, linear256_four_min_tiles, 4, 0, 1)
LINEAR256_32(mxfp4, linear256_four_tiles, 4, 12, 0)
#undef LINEAR256_32

/* ---- IQ4_NL: signed bytes ---------------------------------------------------------------------------------------------------- */

LM_INLINE void linear256_unpack_iq4_nl(void *panel, const void *group, size_t at, size_t n)
{
    linear256_panel_words *p = panel;
    const lm_packed_iq4_nl *b = (const lm_packed_iq4_nl *)group + at / 32;

    for (size_t i = 0; i < n / 32; i++, b++) {
        linear256_prefetch(b, sizeof *b);
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            __m256i v[8];

            linear256_looked_up(v, b->q, h, linear256_table_iq4());
            _mm256_store_ps(p->d[i] + 8 * h, linear256_halves(b->d, h));
            LM_UNROLL
            for (int l = 0; l < 8; l++) {
                _mm256_store_si256((__m256i *)(void *)p->q[16 * i + 2 * (size_t)l][h], linear256_words(v[l], 0));
                _mm256_store_si256((__m256i *)(void *)p->q[16 * i + 2 * (size_t)l + 1][h], linear256_words(v[l], 2));
            }
        }
    }
}

LM_INLINE void linear256_direct_iq4_nl(__m256 acc[][2], const void *group, const lm_acts *x, size_t k, const int C)
{
    const lm_packed_iq4_nl *b = group;

    for (size_t i = 0; i < k / 32; i++, b++) {
        linear256_prefetch(b, sizeof *b);
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            const __m256 d = linear256_halves(b->d, h);
            __m256i v[8];

            linear256_looked_up(v, b->q, h, linear256_table_iq4());
            LM_UNROLL
            for (int c = 0; c < C; c++) {
                const __m256i sum = linear256_dot_signed(v, x->q32 + (size_t)c * k + 32 * i, _mm256_set1_epi16(1));

                acc[c][h] = linear256_fma_int(sum, _mm256_mul_ps(d, _mm256_set1_ps(x->d32[(size_t)c * (k / 32) + i])), acc[c][h]);
            }
        }
    }
}

LINEAR256(iq4_nl, lm_linear256_tiles_words, 0, linear256_panel_words, 1, k / 32 * sizeof(lm_packed_iq4_nl))

LM_TARGET_END

void lm_kernels_linear_32_avx2(lm_kernels *table)
{
    table->linear[LM_TYPE_Q4_1] = linear256_q4_1;
    table->linear[LM_TYPE_Q5_0] = linear256_q5_0;
    table->linear[LM_TYPE_Q5_1] = linear256_q5_1;
    table->linear[LM_TYPE_IQ4_NL] = linear256_iq4_nl;
    table->linear[LM_TYPE_MXFP4] = linear256_mxfp4;
}

#else

void lm_kernels_linear_32_avx2(lm_kernels *table)
{
    (void)table;
}

#endif
