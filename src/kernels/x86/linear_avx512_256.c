/* SPDX-License-Identifier: MIT
 * Products for AVX-512 with VNNI of the types in blocks of 256, in the shape of linear_avx512.h. A type is a front end of two functions: what
 * it says of a block (scales, minimums), and 32 of its values as eight lines of unsigned bytes, a known bias above their value. Bits: those of
 * ref/linear_ref_256.c. Threads: any; nothing is kept.
 *
 * The sum of a sub-block is scaled where it is made. Of 16 values of Q2_K and Q3_K it is narrow, it fits int16 (16 * 4 * 127), so that
 * vpdpwssd scales and adds at once. Of the others it is not, and vpmulld scales it: on Intel's processors as many slots as two vpdpwssd over
 * halves that fit would take, on AMD's fewer. */
#include "kernels/x86/linear_avx512.h"

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX512

typedef struct linear512_panel256 {
    _Alignas(64) uint8_t q[LINEAR512_VALUES / 4][2][64];
    linear512_said said[2];
} linear512_panel256;

/* ---- the tile, and directly ---------------------------------------------------------------------------------------------- */

/* isum += scale * sum of a sub-block */
LM_INLINE __m512i linear512_scaled(__m512i isum, __m512i sum, __m512i scale, const int narrow)
{
    return narrow ? _mm512_dpwssd_epi32(isum, sum, scale) : _mm512_add_epi32(isum, _mm512_mullo_epi32(sum, scale));
}

/* What `bias` adds to the sums of sub-blocks, taken off at their start: 256 / sub numbers, from the sums of 16 */
LM_INLINE void linear512_starts(int32_t out[16], const int16_t s16[16], const int sub, const int bias)
{
    const __m256i sums = _mm256_loadu_si256((const __m256i *)(const void *)s16);

    if (sub == 16)
        _mm512_store_si512(out, _mm512_mullo_epi32(_mm512_cvtepi16_epi32(sums), _mm512_set1_epi32(-bias)));
    else
        _mm256_store_si256((__m256i *)(void *)out, _mm256_madd_epi16(sums, _mm256_set1_epi16((int16_t)-bias)));
}

LM_INLINE __m512i linear512_min_sum(const linear512_said *said, const int32_t pairs[8], const int sub)
{
    const int n = sub == 16 ? 8 : 4;
    __m512i msum = _mm512_setzero_si512();

    LM_UNROLL
    for (int j = 0; j < n; j++)
        msum = _mm512_dpwssd_epi32(msum, _mm512_load_si512(said->min[j]), _mm512_set1_epi32(pairs[j]));
    return msum;
}

LM_INLINE void linear512_tile256(const void *panel, const linear512_tile *t, const int C, const int sub, const int narrow, const int bias, const int has_min)
{
    const linear512_panel256 *p = panel;
    const size_t k = t->k;
    const int8_t *x = t->x->q256 + t->col * k + t->at;
    const float *d = t->x->d256 + t->col * (k / 256) + t->at / 256;
    const int16_t *s16 = t->x->s16 + t->col * (k / 16) + t->at / 16;
    _Alignas(64) int32_t start[LINEAR512_COLS][16];
    __m512i isum[LINEAR512_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++) {
        if (bias)
            linear512_starts(start[c], s16 + (size_t)c * (k / 16), sub, bias);
        isum[c][0] = isum[c][1] = _mm512_setzero_si512();
    }
    for (size_t j = 0; j < 256 / (size_t)sub; j++) {
        const __m512i sc0 = _mm512_load_si512(p->said[0].scale[j]), sc1 = _mm512_load_si512(p->said[1].scale[j]);
        __m512i s[LINEAR512_COLS][2];

        LM_UNROLL
        for (int c = 0; c < C; c++)
            s[c][0] = s[c][1] = bias ? _mm512_set1_epi32(start[c][j]) : _mm512_setzero_si512();
        LM_UNROLL
        for (int l = 0; l < sub / 4; l++) {
            const size_t line = j * (size_t)sub / 4 + (size_t)l;
            const __m512i w0 = _mm512_load_si512(p->q[line][0]), w1 = _mm512_load_si512(p->q[line][1]);

            LM_UNROLL
            for (int c = 0; c < C; c++) {
                const __m512i v = linear512_dword(x + (size_t)c * k + 4 * line);

                s[c][0] = _mm512_dpbusd_epi32(s[c][0], w0, v);
                s[c][1] = _mm512_dpbusd_epi32(s[c][1], w1, v);
            }
        }
        LM_UNROLL
        for (int c = 0; c < C; c++) {
            isum[c][0] = linear512_scaled(isum[c][0], s[c][0], sc0, narrow);
            isum[c][1] = linear512_scaled(isum[c][1], s[c][1], sc1, narrow);
        }
    }
    LM_UNROLL
    for (int c = 0; c < C; c++) {
        const __m512 dx = _mm512_set1_ps(d[(size_t)c * (k / 256)]);
        _Alignas(16) int32_t pairs[8];

        if (has_min)
            linear512_pairs(pairs, s16 + (size_t)c * (k / 16), sub);
        LM_UNROLL
        for (int g = 0; g < 2; g++) {
            __m512 acc = linear512_fma_int(isum[c][g], _mm512_mul_ps(_mm512_load_ps(p->said[g].d), dx), linear512_get(t, c, g));

            if (has_min)
                acc = linear512_fma_int(linear512_min_sum(&p->said[g], pairs, sub), _mm512_mul_ps(_mm512_load_ps(p->said[g].minus_dmin), dx), acc);
            linear512_put(t, c, g, acc);
        }
    }
}

/* 32 values, u of a block, of C columns: q256 of the first of them, `start` of the block. */
LM_INLINE void linear512_unit(__m512i *isum, const __m512i v[8], const linear512_said *said, size_t u, const int8_t *q, size_t k, const int32_t (*start)[16], const int C,
                              const int sub, const int narrow, const int bias)
{
    const int n = sub == 16 ? 2 : 1;

    LM_UNROLL
    for (int c = 0; c < C; c++, q += k)
        LM_UNROLL
        for (int i = 0; i < n; i++) {
            const size_t j = u * (size_t)n + (size_t)i;
            __m512i s = bias ? _mm512_set1_epi32(start[c][j]) : _mm512_setzero_si512();

            LM_UNROLL
            for (int l = 0; l < sub / 4; l++)
                s = _mm512_dpbusd_epi32(s, v[i * 4 + l], linear512_dword(q + 16 * i + 4 * l));
            isum[c] = linear512_scaled(isum[c], s, _mm512_load_si512(said->scale[j]), narrow);
        }
}

LM_INLINE void linear512_finish(__m512 *acc, const __m512i *isum, const linear512_said *said, size_t i, const lm_acts *x, size_t k, const int C, const int sub, const int has_min)
{
    LM_UNROLL
    for (int c = 0; c < C; c++) {
        const __m512 dx = _mm512_set1_ps(x->d256[(size_t)c * (k / 256) + i]);
        _Alignas(16) int32_t pairs[8];

        acc[c] = linear512_fma_int(isum[c], _mm512_mul_ps(_mm512_load_ps(said->d), dx), acc[c]);
        if (has_min) {
            linear512_pairs(pairs, x->s16 + (size_t)c * (k / 16) + 16 * i, sub);
            acc[c] = linear512_fma_int(linear512_min_sum(said, pairs, sub), _mm512_mul_ps(_mm512_load_ps(said->minus_dmin), dx), acc[c]);
        }
    }
}

#define LINEAR512_256(type, sub, narrow, bias, has_min, WIDE)                                                                                    \
    LM_INLINE void linear512_unpack_##type(void *panel, const void *group, int g, size_t at, size_t n)                              \
    {                                                                                                                               \
        linear512_panel256 *p = panel;                                                                                              \
        const lm_packed_##type *b = (const lm_packed_##type *)group + at / 256;                                                     \
                                                                                                                                    \
        (void)n;                                                                                                                    \
        linear512_say_##type(&p->said[g], b);                                                                                       \
        for (size_t u = 0; u < 8; u++) {                                                                                            \
            __m512i v[8];                                                                                                           \
                                                                                                                                    \
            linear512_prefetch((const uint8_t *)b + u * (sizeof *b / 8), sizeof *b / 8);                                            \
            linear512_lines_##type(v, b, u);                                                                                        \
            LM_UNROLL                                                                                                               \
            for (int l = 0; l < 8; l++)                                                                                             \
                _mm512_store_si512(p->q[8 * u + (size_t)l][g], v[l]);                                                               \
        }                                                                                                                           \
    }                                                                                                                               \
    LM_INLINE void linear512_tile_##type(const void *panel, const linear512_tile *t, const int C) { linear512_tile256(panel, t, C, (sub), (narrow), (bias), (has_min)); } \
    LM_INLINE void linear512_direct_##type(__m512 *acc, const void *group, const lm_acts *x, size_t k, const int C)                 \
    {                                                                                                                               \
        const lm_packed_##type *b = group;                                                                                          \
                                                                                                                                    \
        for (size_t i = 0; i < k / 256; i++, b++) {                                                                                 \
            _Alignas(64) int32_t start[LINEAR512_DIRECT][16];                                                                       \
            linear512_said said;                                                                                                    \
            __m512i isum[LINEAR512_DIRECT];                                                                                         \
                                                                                                                                    \
            linear512_say_##type(&said, b);                                                                                         \
            LM_UNROLL                                                                                                               \
            for (int c = 0; c < C; c++) {                                                                                           \
                if (bias)                                                                                                           \
                    linear512_starts(start[c], x->s16 + (size_t)c * (k / 16) + 16 * i, (sub), (bias));                              \
                isum[c] = _mm512_setzero_si512();                                                                                   \
            }                                                                                                                       \
            for (size_t u = 0; u < 8; u++) {                                                                                        \
                __m512i v[8];                                                                                                       \
                                                                                                                                    \
                linear512_prefetch((const uint8_t *)b + u * (sizeof *b / 8), sizeof *b / 8);                                        \
                linear512_lines_##type(v, b, u);                                                                                    \
                linear512_unit(isum, v, &said, u, x->q256 + 256 * i + 32 * u, k, (const int32_t (*)[16])start, C, (sub), (narrow), (bias)); \
            }                                                                                                                       \
            linear512_finish(acc, isum, &said, i, x, k, C, (sub), (has_min));                                                       \
        }                                                                                                                           \
    }                                                                                                                               \
    LINEAR512_TILES(type)                                                                                                           \
    LINEAR512(type, linear512_##type##_tiles, 0, linear512_panel256, 1, LINEAR512_VALUES, k / 256 * sizeof(lm_packed_##type), WIDE)
LINEAR512_256(q2_k, 16, 1, 0, 1, LINEAR512_NO)
LINEAR512_256(q3_k, 16, 1, 4, 0, LINEAR512_NO)
LINEAR512_256(q4_k, 32, 0, 0, 1, LINEAR512_YES)
LINEAR512_256(q5_k, 32, 0, 0, 1, LINEAR512_NO)
LINEAR512_256(q6_k, 16, 0, 32, 0, LINEAR512_YES)
LINEAR512_256(iq4_xs, 32, 0, 128, 0, LINEAR512_NO)
#undef LINEAR512_256

LM_TARGET_END

void lm_kernels_linear_256_avx512(lm_kernels *table)
{
    table->linear[LM_TYPE_Q2_K] = lm_linear512_q2_k;
    table->linear[LM_TYPE_Q3_K] = lm_linear512_q3_k;
    table->linear[LM_TYPE_Q4_K] = lm_linear512_q4_k;
    table->linear[LM_TYPE_Q6_K] = lm_linear512_q6_k;
    table->linear[LM_TYPE_Q5_K] = lm_linear512_q5_k;
    table->linear[LM_TYPE_IQ4_XS] = lm_linear512_iq4_xs;
}

#else

void lm_kernels_linear_256_avx512(lm_kernels *table)
{
    (void)table;
}

#endif
