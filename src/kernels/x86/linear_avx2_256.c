/* SPDX-License-Identifier: MIT
 * Products for AVX2 of the types in blocks of 256 that came after Q4_K and Q6_K: Q2_K, Q3_K, Q5_K, IQ4_XS, in the shape of linear_avx2.h.
 * A type is a front end of two functions: what it says of a block (scales, minimums), and half (8 rows) of 32 of its values as
 * eight lines of bytes. Bits: those of ref/linear_ref_256.c. Threads: any; nothing is kept.
 *
 * Four products of up to five bits fit 16 bits together (4 * 2 * 31 * 127 = 31496), so that 16 values need one vpmaddwd, which scales
 * them too. Q3_K's values are 4 above what they stand for: that is taken off through the sums of x, as a minimum is. IQ4_XS has
 * signed bytes: in a panel scale * value stands in 16 bits (32 * 127), directly its sums meet the scale in vpmaddwd. */
#include "kernels/x86/linear_avx2.h"

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX2

/* What a block says of its 16 rows: [sub-block][half][row][2]: scales twice the same, minimums of pairs of sub-blocks. */
typedef struct linear256_said {
    _Alignas(32) int16_t scale[16][2][16];
    _Alignas(32) int16_t min[8][2][16];
    _Alignas(32) float d[16], minus_dmin[16];
} linear256_said;

typedef struct linear256_panel_256 {
    _Alignas(32) uint8_t q[LINEAR256_VALUES / 4][64];
    linear256_said said;
} linear256_panel_256;

LM_INLINE __m256i linear256_load16(const int16_t v[16]) { return _mm256_load_si256((const __m256i *)(const void *)v); }
LM_INLINE void linear256_keep16(int16_t out[16], __m256i v) { _mm256_store_si256((__m256i *)(void *)out, v); }

/* ---- front ends -------------------------------------------------------------------------------------------------------- */

LM_INLINE void linear256_say_q2_k(linear256_said *out, const lm_packed_q2_k *b, int h)
{
    _mm256_store_ps(out->d + 8 * h, linear256_halves(b->d, h));
    _mm256_store_ps(out->minus_dmin + 8 * h, linear256_minus(linear256_halves(b->dmin, h)));
    LM_UNROLL
    for (int l = 0; l < 4; l++) {
        const __m256i line = linear256_line(b->scales[l], h), scale = linear256_low(line), min = linear256_high(line);

        LM_UNROLL
        for (int j = 0; j < 4; j++)
            linear256_keep16(out->scale[4 * l + j][h], linear256_byte_pair(scale, j, j));
        LM_UNROLL
        for (int j = 0; j < 2; j++)
            linear256_keep16(out->min[2 * l + j][h], linear256_byte_pair(min, 2 * j, 2 * j + 1));
    }
}

LM_INLINE void linear256_lines_q2_k(__m256i v[8], const lm_packed_q2_k *b, size_t u, int h)
{
    linear256_crumbs(v, linear256_line(b->q[2 * u], h));
    linear256_crumbs(v + 4, linear256_line(b->q[2 * u + 1], h));
}

LM_INLINE void linear256_say_q3_k(linear256_said *out, const lm_packed_q3_k *b, int h)
{
    const __m256i s0 = linear256_line(b->scales[0], h), s1 = linear256_line(b->scales[1], h), s2 = linear256_line(b->scales[2], h), top = _mm256_set1_epi8(48);
    __m256i scale[4];

    scale[0] = _mm256_or_si256(linear256_low(s0), _mm256_and_si256(_mm256_slli_epi16(s2, 4), top));
    scale[1] = _mm256_or_si256(linear256_low(s1), _mm256_and_si256(_mm256_slli_epi16(s2, 2), top));
    scale[2] = _mm256_or_si256(linear256_high(s0), _mm256_and_si256(s2, top));
    scale[3] = _mm256_or_si256(linear256_high(s1), _mm256_and_si256(_mm256_srli_epi16(s2, 2), top));
    _mm256_store_ps(out->d + 8 * h, linear256_halves(b->d, h));
    LM_UNROLL
    for (int l = 0; l < 4; l++) {
        LM_UNROLL
        for (int j = 0; j < 4; j++)
            linear256_keep16(out->scale[4 * l + j][h], _mm256_sub_epi16(linear256_byte_pair(scale[l], j, j), _mm256_set1_epi16(32)));
        LM_UNROLL
        for (int j = 0; j < 2; j++) {                           /* what the 4 adds, negative */
            const __m256i pair = linear256_byte_pair(scale[l], 2 * j, 2 * j + 1);

            linear256_keep16(out->min[2 * l + j][h], _mm256_slli_epi16(_mm256_sub_epi16(_mm256_set1_epi16(32), pair), 2));
        }
    }
}

LM_INLINE void linear256_lines_q3_k(__m256i v[8], const lm_packed_q3_k *b, size_t u, int h)
{
    const __m256i high = linear256_line(b->qh[u], h), four = _mm256_set1_epi8(4);

    linear256_crumbs(v, linear256_line(b->q[2 * u], h));
    linear256_crumbs(v + 4, linear256_line(b->q[2 * u + 1], h));
    LM_UNROLL
    for (int t = 0; t < 8; t++)
        v[t] = _mm256_or_si256(v[t], _mm256_and_si256(t < 2 ? _mm256_slli_epi16(high, 2 - t) : _mm256_srli_epi16(high, t - 2), four));
}

LM_INLINE void linear256_say_q5_k(linear256_said *out, const lm_packed_q5_k *b, int h)
{
    const linear256_six six = linear256_six_bits(b->scales, h);

    _mm256_store_ps(out->d + 8 * h, linear256_halves(b->d, h));
    _mm256_store_ps(out->minus_dmin + 8 * h, linear256_minus(linear256_halves(b->dmin, h)));
    LM_UNROLL
    for (int j = 0; j < 8; j++)
        linear256_keep16(out->scale[j][h], linear256_byte_pair(six.scale[j / 4], j % 4, j % 4));
    LM_UNROLL
    for (int j = 0; j < 4; j++)
        linear256_keep16(out->min[j][h], linear256_byte_pair(six.min[j / 2], j % 2 * 2, j % 2 * 2 + 1));
}

LM_INLINE void linear256_lines_q5_k(__m256i v[8], const lm_packed_q5_k *b, size_t u, int h)
{
    linear256_quads(v, b->q + 4 * u, h);
    linear256_fifth_bits(v, linear256_line(b->qh[u], h));
}

/* The scale of sub-block j of IQ4_XS in both 16-bit halves of a lane */
LM_INLINE __m256i linear256_scale_iq4_xs(const lm_packed_iq4_xs *b, int j, int h)
{
    const __m256i low = linear256_line(b->scales_l, h), high = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)b->scales_h + h));
    const __m256i four = _mm256_and_si256(_mm256_srli_epi32(low, 4 * j), _mm256_set1_epi32(15));
    const __m256i two = _mm256_and_si256(_mm256_srli_epi32(_mm256_slli_epi32(high, 4), 2 * j), _mm256_set1_epi32(48));
    const __m256i scale = _mm256_or_si256(four, two);

    return _mm256_sub_epi16(_mm256_or_si256(scale, _mm256_slli_epi32(scale, 16)), _mm256_set1_epi16(32));
}

/* ---- unsigned bytes: the tile, and directly --------------------------------------------------------------------------------- */

/* The sums that minimums meet, as pairs of int16 */
LM_INLINE void linear256_pairs(int32_t out[8], const int16_t s16[16], const int sub)
{
    if (sub == 16)
        memcpy(out, s16, 32);
    else
        linear256_sums32(out, s16);
}

LM_INLINE __m256i linear256_min_sum(const linear256_said *said, const int32_t pairs[8], int h, const int sub)
{
    const int n = sub == 16 ? 8 : 4;
    __m256i msum = _mm256_setzero_si256();

    LM_UNROLL
    for (int j = 0; j < n; j++)
        msum = _mm256_add_epi32(msum, _mm256_madd_epi16(linear256_load16(said->min[j][h]), _mm256_set1_epi32(pairs[j])));
    return msum;
}

/* From the sums of a block and a column to its part of the chain. has_min: the minimums are dmin's; else what a bias adds. */
LM_INLINE __m256 linear256_finish(__m256 acc, __m256i isum, const linear256_said *said, const int16_t s16[16], __m256 dx, int h, const int sub, const int has_min)
{
    const __m256 d = _mm256_mul_ps(_mm256_load_ps(said->d + 8 * h), dx);
    _Alignas(16) int32_t pairs[8];

    linear256_pairs(pairs, s16, sub);
    const __m256i msum = linear256_min_sum(said, pairs, h, sub);
    if (!has_min)
        return linear256_fma_int(_mm256_add_epi32(isum, msum), d, acc);
    acc = linear256_fma_int(isum, d, acc);
    return linear256_fma_int(msum, _mm256_mul_ps(_mm256_load_ps(said->minus_dmin + 8 * h), dx), acc);
}

LM_INLINE void linear256_tile_256(const void *panel, const linear256_tile *t, const int C, const int sub, const int has_min)
{
    const linear256_panel_256 *p = panel;
    const size_t k = t->k;
    const int8_t *x = t->x->q256 + t->col * k + t->at;
    const float *d = t->x->d256 + t->col * (k / 256) + t->at / 256;
    const int16_t *s16 = t->x->s16 + t->col * (k / 16) + t->at / 16;
    __m256i isum[LINEAR256_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++)
        isum[c][0] = isum[c][1] = _mm256_setzero_si256();
    for (size_t j = 0; j < 16; j++) {
        __m256i dot[LINEAR256_COLS][2];

        linear256_dot16(dot, p->q + 4 * j, x + 16 * j, k, C, 4);
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            const __m256i scale = linear256_load16(p->said.scale[j * 16 / (size_t)sub][h]);

            LM_UNROLL
            for (int c = 0; c < C; c++)
                isum[c][h] = _mm256_add_epi32(isum[c][h], _mm256_madd_epi16(dot[c][h], scale));
        }
    }
    LM_UNROLL
    for (int c = 0; c < C; c++) {
        const __m256 dx = _mm256_set1_ps(d[(size_t)c * (k / 256)]);

        LM_UNROLL
        for (int h = 0; h < 2; h++)
            linear256_end(t, c, h, linear256_finish(linear256_begin(t, c, h), isum[c][h], &p->said, s16 + (size_t)c * (k / 16), dx, h, sub, has_min));
    }
}

#define LINEAR256_256(type, sub, has_min)                                                                                           \
    LM_INLINE void linear256_unpack_##type(void *panel, const void *group, size_t at, size_t n)                                     \
    {                                                                                                                               \
        linear256_panel_256 *p = panel;                                                                                             \
        const lm_packed_##type *b = (const lm_packed_##type *)group + at / 256;                                                     \
                                                                                                                                    \
        (void)n;                                                                                                                    \
        linear256_prefetch(b, sizeof *b);                                                                                           \
        linear256_say_##type(&p->said, b, 0);                                                                                       \
        linear256_say_##type(&p->said, b, 1);                                                                                       \
        for (size_t u = 0; u < 8; u++)                                                                                              \
            LM_UNROLL                                                                                                               \
            for (int h = 0; h < 2; h++) {                                                                                           \
                __m256i v[8];                                                                                                       \
                                                                                                                                    \
                linear256_lines_##type(v, b, u, h);                                                                                 \
                LM_UNROLL                                                                                                           \
                for (int l = 0; l < 8; l++)                                                                                         \
                    linear256_keep(p->q[8 * u + (size_t)l], h, v[l]);                                                               \
            }                                                                                                                       \
    }                                                                                                                               \
    LM_INLINE void linear256_tile_##type(const void *panel, const linear256_tile *t, const int C) { linear256_tile_256(panel, t, C, (sub), (has_min)); } \
    LM_INLINE void linear256_direct_##type(__m256 acc[][2], const void *group, const lm_acts *x, size_t k, const int C)             \
    {                                                                                                                               \
        const lm_packed_##type *b = group;                                                                                          \
                                                                                                                                    \
        for (size_t i = 0; i < k / 256; i++, b++) {                                                                                 \
            linear256_said said;                                                                                                    \
                                                                                                                                    \
            for (int h = 0; h < 2; h++) {                                                                                           \
                __m256i isum[LINEAR256_DIRECT];                                                                                     \
                                                                                                                                    \
                linear256_say_##type(&said, b, h);                                                                                  \
                LM_UNROLL                                                                                                           \
                for (int c = 0; c < C; c++)                                                                                         \
                    isum[c] = _mm256_setzero_si256();                                                                               \
                for (size_t u = 0; u < 8; u++) {                                                                                    \
                    __m256i v[8];                                                                                                   \
                                                                                                                                    \
                    linear256_prefetch((const uint8_t *)b + ((size_t)h * 8 + u) * (sizeof *b / 16), sizeof *b / 16);                \
                    linear256_lines_##type(v, b, u, h);                                                                             \
                    LM_UNROLL                                                                                                       \
                    for (int c = 0; c < C; c++)                                                                                     \
                        LM_UNROLL                                                                                                   \
                        for (int z = 0; z < 2; z++) {                                                                               \
                            const __m256i dot = linear256_dot_lines(v + 4 * z, x->q256 + (size_t)c * k + 256 * i + 32 * u + (size_t)(16 * z), 4); \
                                                                                                                                    \
                            isum[c] = _mm256_add_epi32(isum[c], _mm256_madd_epi16(dot, linear256_load16(said.scale[(2 * u + (size_t)z) * 16 / (sub)][h]))); \
                        }                                                                                                           \
                }                                                                                                                   \
                LM_UNROLL                                                                                                           \
                for (int c = 0; c < C; c++)                                                                                         \
                    acc[c][h] = linear256_finish(acc[c][h], isum[c], &said, x->s16 + (size_t)c * (k / 16) + 16 * i,                 \
                                                 _mm256_set1_ps(x->d256[(size_t)c * (k / 256) + i]), h, (sub), (has_min));          \
            }                                                                                                                       \
        }                                                                                                                           \
    }                                                                                                                               \
    LINEAR256_TILES(type)                                                                                                           \
    LINEAR256(type, linear256_##type##_tiles, 0, linear256_panel_256, 1, k / 256 * sizeof(lm_packed_##type))
LINEAR256_256(q2_k, 16, 1)
LINEAR256_256(q3_k, 16, 0)
LINEAR256_256(q5_k, 32, 1)
#undef LINEAR256_256

/* ---- IQ4_XS: signed bytes ------------------------------------------------------------------------------------------------------ */

typedef struct linear256_panel_iq4_xs {
    _Alignas(32) int16_t q[LINEAR256_VALUES / 2][2][16];        /* scale * value, [2 values][half][row][2] */
    _Alignas(32) float d[16];
} linear256_panel_iq4_xs;

LM_INLINE void linear256_unpack_iq4_xs(void *panel, const void *group, size_t at, size_t n)
{
    linear256_panel_iq4_xs *p = panel;
    const lm_packed_iq4_xs *b = (const lm_packed_iq4_xs *)group + at / 256;

    (void)n;
    linear256_prefetch(b, sizeof *b);
    for (int h = 0; h < 2; h++) {
        _mm256_store_ps(p->d + 8 * h, linear256_halves(b->d, h));
        for (int j = 0; j < 8; j++) {
            const __m256i scale = linear256_scale_iq4_xs(b, j, h);
            __m256i v[8];

            linear256_looked_up(v, b->q + 4 * j, h, linear256_table_iq4());
            LM_UNROLL
            for (int l = 0; l < 8; l++) {
                _mm256_store_si256((__m256i *)(void *)p->q[16 * j + 2 * l][h], _mm256_mullo_epi16(linear256_words(v[l], 0), scale));
                _mm256_store_si256((__m256i *)(void *)p->q[16 * j + 2 * l + 1][h], _mm256_mullo_epi16(linear256_words(v[l], 2), scale));
            }
        }
    }
}

LM_INLINE void linear256_tile_iq4_xs(const void *panel, const linear256_tile *t, const int C)
{
    const linear256_panel_iq4_xs *p = panel;
    const size_t k = t->k;
    const int8_t *q = t->x->q256 + t->col * k + t->at;
    const float *d = t->x->d256 + t->col * (k / 256) + t->at / 256;
    _Alignas(32) int16_t x[LINEAR256_COLS][LINEAR256_VALUES];
    __m256i s[LINEAR256_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++) {
        linear256_widen(x[c], q + (size_t)c * k, LINEAR256_VALUES);
        s[c][0] = s[c][1] = _mm256_setzero_si256();
    }
    for (size_t i = 0; i < 8; i++)
        linear256_dot_words(s, p->q + 16 * i, x, 32 * i, C);
    LM_UNROLL
    for (int c = 0; c < C; c++) {
        const __m256 dx = _mm256_set1_ps(d[(size_t)c * (k / 256)]);

        LM_UNROLL
        for (int h = 0; h < 2; h++)
            linear256_end(t, c, h, linear256_fma_int(s[c][h], _mm256_mul_ps(_mm256_load_ps(p->d + 8 * h), dx), linear256_begin(t, c, h)));
    }
}

LM_INLINE void linear256_direct_iq4_xs(__m256 acc[][2], const void *group, const lm_acts *x, size_t k, const int C)
{
    const lm_packed_iq4_xs *b = group;

    for (size_t i = 0; i < k / 256; i++, b++) {
        for (int h = 0; h < 2; h++) {
            const __m256 d = linear256_halves(b->d, h);
            __m256i isum[LINEAR256_DIRECT];

            LM_UNROLL
            for (int c = 0; c < C; c++)
                isum[c] = _mm256_setzero_si256();
            for (int j = 0; j < 8; j++) {
                const __m256i scale = linear256_scale_iq4_xs(b, j, h);
                __m256i v[8];

                linear256_prefetch((const uint8_t *)b + (h * 8 + j) * 136, 136);
                linear256_looked_up(v, b->q + 4 * j, h, linear256_table_iq4());
                LM_UNROLL
                for (int c = 0; c < C; c++)
                    isum[c] = _mm256_add_epi32(isum[c], linear256_dot_signed(v, x->q256 + (size_t)c * k + 256 * i + (size_t)(32 * j), scale));
            }
            LM_UNROLL
            for (int c = 0; c < C; c++)
                acc[c][h] = linear256_fma_int(isum[c], _mm256_mul_ps(d, _mm256_set1_ps(x->d256[(size_t)c * (k / 256) + i])), acc[c][h]);
        }
    }
}

LINEAR256_TILES(iq4_xs)
LINEAR256(iq4_xs, linear256_iq4_xs_tiles, 0, linear256_panel_iq4_xs, 1, k / 256 * sizeof(lm_packed_iq4_xs))

LM_TARGET_END

void lm_kernels_linear_256_avx2(lm_kernels *table)
{
    table->linear[LM_TYPE_Q2_K] = linear256_q2_k;
    table->linear[LM_TYPE_Q3_K] = linear256_q3_k;
    table->linear[LM_TYPE_Q5_K] = linear256_q5_k;
    table->linear[LM_TYPE_IQ4_XS] = linear256_iq4_xs;
}

#else

void lm_kernels_linear_256_avx2(lm_kernels *table)
{
    (void)table;
}

#endif
