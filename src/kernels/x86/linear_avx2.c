/* SPDX-License-Identifier: MIT
 * Products with packed weights for AVX2: floats, Q8_0, Q4_0, Q4_K, Q6_K. The shape stands in linear_avx2.h; the other types in
 * linear_avx2_32.c and linear_avx2_256.c. Bits: those of ref/linear_ref.c. Threads: any; nothing is kept.
 *
 * vpmaddubsw saturates, so every use stays below 2^15, and as many products as fit are added in 16 bits before they are widened:
 *  - nibbles x int8: eight of them, 8 * 2 * 15 * 127 = 30480: a sub-block of 32 values needs one widening;
 *  - Q6_K: q - 32 as the signed side and x + 128 as the unsigned one: two of them, 2 * 2 * 32 * 255 = 32640. What x + 128 counts
 *    too much belongs to the weights alone and is made once a panel;
 *  - Q8_0: |w| is the unsigned side (128 at most) and x with the sign of w the other: 2 * 128 * 127 = 32512, one at a time; in
 *    panels w and x are widened to 16 bits instead. */
#include "kernels/x86/linear_avx2.h"

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX2

/* The four lines of 16 values of Q6_K, unsigned */
LM_INLINE void linear256_six_bit_lines(__m256i v[4], const lm_packed_q6_k *b, size_t j, int h)
{
    const __m256i a = linear256_line(b->ql[2 * j], h), z = linear256_line(b->ql[2 * j + 1], h), top = linear256_line(b->qh[j], h), mask = _mm256_set1_epi8(48);

    v[0] = _mm256_or_si256(linear256_low(a), _mm256_and_si256(_mm256_slli_epi16(top, 4), mask));
    v[1] = _mm256_or_si256(linear256_high(a), _mm256_and_si256(_mm256_slli_epi16(top, 2), mask));
    v[2] = _mm256_or_si256(linear256_low(z), _mm256_and_si256(top, mask));
    v[3] = _mm256_or_si256(linear256_high(z), _mm256_and_si256(_mm256_srli_epi16(top, 2), mask));
}

/* ---- Q4_0 ------------------------------------------------------------------------------------------------------------- */

LM_INLINE void linear256_unpack_q4_0(void *panel, const void *group, size_t at, size_t n)
{
    linear256_panel_bytes *p = panel;
    const lm_packed_q4_0 *b = (const lm_packed_q4_0 *)group + at / 32;

    for (size_t i = 0; i < n / 32; i++, b++) {
        linear256_prefetch(b, sizeof *b);
        linear256_nibbles(p->q + 8 * i, b->q, 4);
        LM_UNROLL
        for (int h = 0; h < 2; h++)
            _mm256_store_ps(p->d[i] + 8 * h, linear256_halves(b->d, h));
    }
}

LM_INLINE void linear256_tile_q4_0(const void *panel, const linear256_tile *t, const int C) { linear256_tile_bytes(panel, t, C, 8, 0); }

LM_INLINE void linear256_direct_q4_0(__m256 acc[][2], const void *group, const lm_acts *x, size_t k, const int C)
{
    const lm_packed_q4_0 *b = group;

    for (size_t i = 0; i < k / 32; i++, b++) {
        linear256_prefetch(b, sizeof *b);
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            const __m256 d = linear256_halves(b->d, h);
            __m256i dot[LINEAR256_DIRECT];

            LM_UNROLL
            for (int l = 0; l < 4; l++) {
                const __m256i line = linear256_line(b->q[l], h), low = linear256_low(line), high = linear256_high(line);

                LM_UNROLL
                for (int c = 0; c < C; c++) {
                    const int8_t *q = x->q32 + (size_t)c * k + 32 * i + 8 * (size_t)l;
                    const __m256i two = _mm256_add_epi16(_mm256_maddubs_epi16(low, linear256_dword(q)), _mm256_maddubs_epi16(high, linear256_dword(q + 4)));

                    dot[c] = l == 0 ? two : _mm256_add_epi16(dot[c], two);
                    LM_RUNNING(dot[c]);
                }
            }
            LM_UNROLL
            for (int c = 0; c < C; c++) {
                const __m256i sum = _mm256_add_epi32(_mm256_set1_epi32(-8 * x->s32[(size_t)c * (k / 32) + i]), _mm256_madd_epi16(dot[c], _mm256_set1_epi16(1)));

                acc[c][h] = linear256_fma_int(sum, _mm256_mul_ps(d, _mm256_set1_ps(x->d32[(size_t)c * (k / 32) + i])), acc[c][h]);
            }
        }
    }
}

/* ---- Q8_0 ------------------------------------------------------------------------------------------------------------- */

LM_INLINE void linear256_unpack_q8_0(void *panel, const void *group, size_t at, size_t n)
{
    linear256_panel_words *p = panel;
    const lm_packed_q8_0 *b = (const lm_packed_q8_0 *)group + at / 32;

    for (size_t i = 0; i < n / 32; i++, b++) {
        linear256_prefetch(b, sizeof *b);
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            _mm256_store_ps(p->d[i] + 8 * h, linear256_halves(b->d, h));
            LM_UNROLL
            for (int l = 0; l < 8; l++) {
                const __m256i line = linear256_line(b->q[l], h);

                _mm256_store_si256((__m256i *)(void *)p->q[16 * i + 2 * (size_t)l][h], linear256_words(line, 0));
                _mm256_store_si256((__m256i *)(void *)p->q[16 * i + 2 * (size_t)l + 1][h], linear256_words(line, 2));
            }
        }
    }
}

LM_INLINE void linear256_direct_q8_0(__m256 acc[][2], const void *group, const lm_acts *x, size_t k, const int C)
{
    const lm_packed_q8_0 *b = group;

    for (size_t i = 0; i < k / 32; i++, b++) {
        linear256_prefetch(b, sizeof *b);
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            const __m256 d = linear256_halves(b->d, h);
            __m256i s[LINEAR256_DIRECT];

            LM_UNROLL
            for (int l = 0; l < 8; l++) {
                const __m256i w = linear256_line(b->q[l], h), size = _mm256_abs_epi8(w);

                LM_UNROLL
                for (int c = 0; c < C; c++) {
                    const __m256i v = _mm256_sign_epi8(linear256_dword(x->q32 + (size_t)c * k + 32 * i + 4 * (size_t)l), w);
                    const __m256i sum = _mm256_madd_epi16(_mm256_maddubs_epi16(size, v), _mm256_set1_epi16(1));

                    s[c] = l == 0 ? sum : _mm256_add_epi32(s[c], sum);
                }
            }
            LM_UNROLL
            for (int c = 0; c < C; c++)
                acc[c][h] = linear256_fma_int(s[c], _mm256_mul_ps(d, _mm256_set1_ps(x->d32[(size_t)c * (k / 32) + i])), acc[c][h]);
        }
    }
}

/* ---- Q4_K ------------------------------------------------------------------------------------------------------------- */

typedef struct linear256_panel_q4_k {
    _Alignas(32) uint8_t q[64][64];
    _Alignas(32) int16_t scale[8][2][16];                       /* [sub-block][half][row][2], twice the same */
    _Alignas(32) int16_t min[4][2][16];                         /* pairs of sub-blocks */
    _Alignas(32) float d[16], minus_dmin[16];
} linear256_panel_q4_k;

LM_INLINE void linear256_unpack_q4_k(void *panel, const void *group, size_t at, size_t n)
{
    linear256_panel_q4_k *p = panel;
    const lm_packed_q4_k *b = (const lm_packed_q4_k *)group + at / 256;

    (void)n;
    linear256_prefetch(b, sizeof *b);
    LM_UNROLL
    for (int h = 0; h < 2; h++) {
        const linear256_six six = linear256_six_bits(b->scales, h);

        _mm256_store_ps(p->d + 8 * h, linear256_halves(b->d, h));
        _mm256_store_ps(p->minus_dmin + 8 * h, linear256_minus(linear256_halves(b->dmin, h)));
        LM_UNROLL
        for (int j = 0; j < 8; j++)
            _mm256_store_si256((__m256i *)(void *)p->scale[j][h], linear256_byte_pair(six.scale[j / 4], j % 4, j % 4));
        LM_UNROLL
        for (int j = 0; j < 4; j++)
            _mm256_store_si256((__m256i *)(void *)p->min[j][h], linear256_byte_pair(six.min[j / 2], j % 2 * 2, j % 2 * 2 + 1));
    }
    linear256_nibbles(p->q, b->q, 32);
}

LM_INLINE void linear256_tile_q4_k(const void *panel, const linear256_tile *t, const int C)
{
    const linear256_panel_q4_k *p = panel;
    const size_t k = t->k;
    const int8_t *x = t->x->q256 + t->col * k + t->at;
    const float *d = t->x->d256 + t->col * (k / 256) + t->at / 256;
    const int16_t *s16 = t->x->s16 + t->col * (k / 16) + t->at / 16;
    __m256i isum[LINEAR256_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++)
        isum[c][0] = isum[c][1] = _mm256_setzero_si256();
    for (size_t j = 0; j < 8; j++) {
        __m256i dot[LINEAR256_COLS][2];

        linear256_dot16(dot, p->q + 8 * j, x + 32 * j, k, C, 8);
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            const __m256i scale = _mm256_load_si256((const __m256i *)(const void *)p->scale[j][h]);

            LM_UNROLL
            for (int c = 0; c < C; c++)
                isum[c][h] = _mm256_add_epi32(isum[c][h], _mm256_madd_epi16(dot[c][h], scale));
        }
    }
    LM_UNROLL
    for (int c = 0; c < C; c++) {
        const __m256 dx = _mm256_set1_ps(d[(size_t)c * (k / 256)]);
        _Alignas(16) int32_t sums[4];

        linear256_sums32(sums, s16 + (size_t)c * (k / 16));
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            __m256i msum = _mm256_setzero_si256();
            __m256 acc = linear256_fma_int(isum[c][h], _mm256_mul_ps(_mm256_load_ps(p->d + 8 * h), dx), linear256_begin(t, c, h));

            LM_UNROLL
            for (int j = 0; j < 4; j++)
                msum = _mm256_add_epi32(msum, _mm256_madd_epi16(_mm256_load_si256((const __m256i *)(const void *)p->min[j][h]), _mm256_set1_epi32(sums[j])));
            linear256_end(t, c, h, linear256_fma_int(msum, _mm256_mul_ps(_mm256_load_ps(p->minus_dmin + 8 * h), dx), acc));
        }
    }
}

LM_INLINE void linear256_direct_q4_k(__m256 acc[][2], const void *group, const lm_acts *x, size_t k, const int C)
{
    const lm_packed_q4_k *b = group;

    for (size_t i = 0; i < k / 256; i++, b++) {
        _Alignas(16) int32_t sums[LINEAR256_DIRECT][4];

        LM_UNROLL
        for (int c = 0; c < C; c++)
            linear256_sums32(sums[c], x->s16 + (size_t)c * (k / 16) + 16 * i);
        for (int h = 0; h < 2; h++) {
            const linear256_six six = linear256_six_bits(b->scales, h);
            _Alignas(32) int16_t scale[8][16];
            __m256i isum[LINEAR256_DIRECT], msum[LINEAR256_DIRECT];

            LM_UNROLL
            for (int c = 0; c < C; c++)
                isum[c] = msum[c] = _mm256_setzero_si256();
            LM_UNROLL
            for (int j = 0; j < 8; j++)
                _mm256_store_si256((__m256i *)(void *)scale[j], linear256_byte_pair(six.scale[j / 4], j % 4, j % 4));
            LM_UNROLL
            for (int j = 0; j < 4; j++) {
                const __m256i mins = linear256_byte_pair(six.min[j / 2], j % 2 * 2, j % 2 * 2 + 1);

                LM_UNROLL
                for (int c = 0; c < C; c++)
                    msum[c] = _mm256_add_epi32(msum[c], _mm256_madd_epi16(mins, _mm256_set1_epi32(sums[c][j])));
            }
            for (int j = 0; j < 8; j++) {
                __m256i dot[LINEAR256_DIRECT];

                linear256_prefetch((const uint8_t *)b + 1152 * h + 144 * j, 144);
                LM_UNROLL
                for (int l = 0; l < 4; l++) {
                    const __m256i line = linear256_line(b->q[4 * j + l], h), low = linear256_low(line), high = linear256_high(line);

                    LM_UNROLL
                    for (int c = 0; c < C; c++) {
                        const int8_t *q = x->q256 + (size_t)c * k + 256 * i + (size_t)(32 * j + 8 * l);
                        const __m256i two = _mm256_add_epi16(_mm256_maddubs_epi16(low, linear256_dword(q)), _mm256_maddubs_epi16(high, linear256_dword(q + 4)));

                        dot[c] = l == 0 ? two : _mm256_add_epi16(dot[c], two);
                        LM_RUNNING(dot[c]);
                    }
                }
                LM_UNROLL
                for (int c = 0; c < C; c++)
                    isum[c] = _mm256_add_epi32(isum[c], _mm256_madd_epi16(dot[c], _mm256_load_si256((const __m256i *)(void *)scale[j])));
            }
            LM_UNROLL
            for (int c = 0; c < C; c++) {
                const __m256 dx = _mm256_set1_ps(x->d256[(size_t)c * (k / 256) + i]);

                acc[c][h] = linear256_fma_int(isum[c], _mm256_mul_ps(linear256_halves(b->d, h), dx), acc[c][h]);
                acc[c][h] = linear256_fma_int(msum[c], _mm256_mul_ps(linear256_minus(linear256_halves(b->dmin, h)), dx), acc[c][h]);
            }
        }
    }
}

/* ---- Q6_K ------------------------------------------------------------------------------------------------------------- */

typedef struct linear256_panel_q6_k {
    _Alignas(32) int8_t q[64][64];                              /* q - 32 */
    _Alignas(32) int16_t scale[16][2][16];                      /* [sub-block][half][row][2], twice the same */
    _Alignas(32) int32_t start[16];                             /* -128 * the sum of scale * (q - 32) */
    _Alignas(32) float d[16];
} linear256_panel_q6_k;

LM_INLINE void linear256_unpack_q6_k(void *panel, const void *group, size_t at, size_t n)
{
    linear256_panel_q6_k *p = panel;
    const lm_packed_q6_k *b = (const lm_packed_q6_k *)group + at / 256;

    (void)n;
    linear256_prefetch(b, sizeof *b);
    LM_UNROLL
    for (int h = 0; h < 2; h++) {
        __m256i total = _mm256_setzero_si256();

        _mm256_store_ps(p->d + 8 * h, linear256_halves(b->d, h));
        for (size_t j = 0; j < 16; j++) {
            const __m256i scale = linear256_scale_pairs(b->scales[j], h);
            __m256i v[4], sum = _mm256_setzero_si256();

            linear256_six_bit_lines(v, b, j, h);
            LM_UNROLL
            for (int l = 0; l < 4; l++) {
                const __m256i q = _mm256_sub_epi8(v[l], _mm256_set1_epi8(32));

                linear256_keep(p->q[4 * j + (size_t)l], h, q);
                sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(_mm256_set1_epi8(1), q));
            }
            _mm256_store_si256((__m256i *)(void *)p->scale[j][h], scale);
            total = _mm256_add_epi32(total, _mm256_madd_epi16(sum, scale));
        }
        _mm256_store_si256((__m256i *)(void *)(p->start + 8 * h), _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(total, 7)));
    }
}

LM_INLINE void linear256_tile_q6_k(const void *panel, const linear256_tile *t, const int C)
{
    const linear256_panel_q6_k *p = panel;
    const size_t k = t->k;
    const int8_t *q = t->x->q256 + t->col * k + t->at;
    const float *d = t->x->d256 + t->col * (k / 256) + t->at / 256;
    _Alignas(32) uint8_t x[LINEAR256_COLS][256];                /* + 128 */
    __m256i isum[LINEAR256_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++) {
        LM_UNROLL
        for (int i = 0; i < 8; i++)
            linear256_keep(x[c], i, _mm256_xor_si256(linear256_line(q + (size_t)c * k, i), _mm256_set1_epi8(-128)));
        isum[c][0] = _mm256_load_si256((const __m256i *)(const void *)p->start);
        isum[c][1] = _mm256_load_si256((const __m256i *)(const void *)(p->start + 8));
    }
    for (size_t j = 0; j < 16; j++) {
        LM_UNROLL
        for (int l = 0; l < 4; l += 2)
            LM_UNROLL
            for (int h = 0; h < 2; h++) {
                const __m256i w0 = linear256_line(p->q[4 * j + (size_t)l], h), w1 = linear256_line(p->q[4 * j + (size_t)l + 1], h);
                const __m256i scale = _mm256_load_si256((const __m256i *)(const void *)p->scale[j][h]);

                LM_UNROLL
                for (int c = 0; c < C; c++) {
                    const uint8_t *v = x[c] + 16 * j + 4 * (size_t)l;
                    const __m256i two = _mm256_add_epi16(_mm256_maddubs_epi16(linear256_dword(v), w0), _mm256_maddubs_epi16(linear256_dword(v + 4), w1));

                    isum[c][h] = _mm256_add_epi32(isum[c][h], _mm256_madd_epi16(two, scale));
                    LM_RUNNING(isum[c][h]);
                }
            }
    }
    LM_UNROLL
    for (int c = 0; c < C; c++) {
        const __m256 dx = _mm256_set1_ps(d[(size_t)c * (k / 256)]);

        LM_UNROLL
        for (int h = 0; h < 2; h++)
            linear256_end(t, c, h, linear256_fma_int(isum[c][h], _mm256_mul_ps(_mm256_load_ps(p->d + 8 * h), dx), linear256_begin(t, c, h)));
    }
}

/* Directly the weights stay unsigned, and 32 times the sums of x are taken off: two of 63 * 127 * 2 fit 16 bits. */
LM_INLINE void linear256_direct_q6_k(__m256 acc[][2], const void *group, const lm_acts *x, size_t k, const int C)
{
    const lm_packed_q6_k *b = group;

    for (size_t i = 0; i < k / 256; i++, b++) {
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            __m256i isum[LINEAR256_DIRECT], over[LINEAR256_DIRECT];

            LM_UNROLL
            for (int c = 0; c < C; c++)
                isum[c] = over[c] = _mm256_setzero_si256();
            for (size_t j = 0; j < 16; j++) {
                const __m256i scale = linear256_scale_pairs(b->scales[j], h);
                __m256i v[4];

                linear256_prefetch((const uint8_t *)b + 1680 * h + 105 * j, 105);
                linear256_six_bit_lines(v, b, j, h);
                LM_UNROLL
                for (int c = 0; c < C; c++) {
                    const int8_t *q = x->q256 + (size_t)c * k + 256 * i + 16 * j;
                    const __m256i a = _mm256_add_epi16(_mm256_maddubs_epi16(v[0], linear256_dword(q)), _mm256_maddubs_epi16(v[1], linear256_dword(q + 4)));
                    const __m256i z = _mm256_add_epi16(_mm256_maddubs_epi16(v[2], linear256_dword(q + 8)), _mm256_maddubs_epi16(v[3], linear256_dword(q + 12)));
                    const __m256i sum = _mm256_set1_epi32(x->s16[(size_t)c * (k / 16) + 16 * i + j] & 0xffff);

                    isum[c] = _mm256_add_epi32(isum[c], _mm256_add_epi32(_mm256_madd_epi16(a, scale), _mm256_madd_epi16(z, scale)));
                    over[c] = _mm256_add_epi32(over[c], _mm256_madd_epi16(sum, scale));
                }
            }
            LM_UNROLL
            for (int c = 0; c < C; c++) {
                const __m256i sum = _mm256_sub_epi32(isum[c], _mm256_slli_epi32(over[c], 5));

                acc[c][h] = linear256_fma_int(sum, _mm256_mul_ps(linear256_halves(b->d, h), _mm256_set1_ps(x->d256[(size_t)c * (k / 256) + i])), acc[c][h]);
            }
        }
    }
}

/* ---- F32, F16, BF16: the panel is the packed group itself, of which a part of k stays in cache over the columns --------- */

typedef struct linear256_panel_float { const uint8_t *w; } linear256_panel_float;

LM_INLINE __m256 linear256_widen_f32(const void *w, size_t i, int h) { return _mm256_loadu_ps((const float *)w + 16 * i + 8 * h); }
LM_INLINE __m256 linear256_widen_f16(const void *w, size_t i, int h) { return linear256_halves((const uint16_t *)w + 16 * i, h); }
LM_INLINE __m256 linear256_widen_bf16(const void *w, size_t i, int h)
{
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)w + 16 * i) + h);

    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
}

#define LINEAR256_FLOAT(type, bytes)                                                                                        \
    LM_INLINE void linear256_unpack_##type(void *panel, const void *group, size_t at, size_t n)                            \
    {                                                                                                                       \
        (void)n;                                                                                                            \
        ((linear256_panel_float *)panel)->w = (const uint8_t *)group + at * 16 * (bytes);                                   \
    }                                                                                                                       \
    LM_INLINE void linear256_tile_##type(const void *panel, const linear256_tile *t, const int C)                           \
    {                                                                                                                       \
        const uint8_t *w = ((const linear256_panel_float *)panel)->w;                                                       \
        const float *x = t->x->f32 + t->col * t->k + t->at;                                                                 \
        __m256 acc[LINEAR256_COLS][2];                                                                                      \
                                                                                                                            \
        LM_UNROLL                                                                                                           \
        for (int c = 0; c < C; c++)                                                                                         \
            acc[c][0] = linear256_begin(t, c, 0), acc[c][1] = linear256_begin(t, c, 1);                                     \
        for (size_t i = 0; i < t->n; i++) {                                                                                 \
            const __m256 w0 = linear256_widen_##type(w, i, 0), w1 = linear256_widen_##type(w, i, 1);                        \
                                                                                                                            \
            LM_UNROLL                                                                                                       \
            for (int c = 0; c < C; c++) {                                                                                   \
                const __m256 v = _mm256_set1_ps(x[(size_t)c * t->k + i]);                                                   \
                                                                                                                            \
                acc[c][0] = _mm256_fmadd_ps(w0, v, acc[c][0]);                                                              \
                acc[c][1] = _mm256_fmadd_ps(w1, v, acc[c][1]);                                                              \
            }                                                                                                               \
        }                                                                                                                   \
        LM_UNROLL                                                                                                           \
        for (int c = 0; c < C; c++)                                                                                         \
            linear256_end(t, c, 0, acc[c][0]), linear256_end(t, c, 1, acc[c][1]);                                           \
    }                                                                                                                       \
    LM_INLINE void linear256_direct_##type(__m256 acc[][2], const void *group, const lm_acts *x, size_t k, const int C)     \
    {                                                                                                                       \
        for (size_t i = 0; i < k; i++) {                                                                                    \
            const __m256 w0 = linear256_widen_##type(group, i, 0), w1 = linear256_widen_##type(group, i, 1);                \
                                                                                                                            \
            _mm_prefetch((const char *)group + i * 16 * (bytes) + LINEAR256_AHEAD, _MM_HINT_T0);                            \
            LM_UNROLL                                                                                                       \
            for (int c = 0; c < C; c++) {                                                                                   \
                const __m256 v = _mm256_set1_ps(x->f32[(size_t)c * k + i]);                                                 \
                                                                                                                            \
                acc[c][0] = _mm256_fmadd_ps(w0, v, acc[c][0]);                                                              \
                acc[c][1] = _mm256_fmadd_ps(w1, v, acc[c][1]);                                                              \
            }                                                                                                               \
        }                                                                                                                   \
    }
LINEAR256_FLOAT(f32, 4)
LINEAR256_FLOAT(f16, 2)
LINEAR256_FLOAT(bf16, 2)
#undef LINEAR256_FLOAT

LINEAR256_TILES(f32)
LINEAR256_TILES(f16)
LINEAR256_TILES(bf16)
LINEAR256_TILES(q4_0)
LINEAR256_TILES(q4_k)
LINEAR256_TILES(q6_k)

static void linear256_words_2(const void *p, const linear256_tile *t) { linear256_tile_words(p, t, 2); }
static void linear256_words_4(const void *p, const linear256_tile *t) { linear256_tile_words(p, t, 4); }
linear256_tile_fn *const lm_linear256_tiles_words[2] = {linear256_words_2, linear256_words_4};
LINEAR256(f32, linear256_f32_tiles, 0, linear256_panel_float, 4, k * 16 * 4)
LINEAR256(f16, linear256_f16_tiles, 0, linear256_panel_float, 4, k * 16 * 2)
LINEAR256(bf16, linear256_bf16_tiles, 0, linear256_panel_float, 4, k * 16 * 2)
LINEAR256(q8_0, lm_linear256_tiles_words, 0, linear256_panel_words, 1, k / 32 * sizeof(lm_packed_q8_0))
LINEAR256(q4_0, linear256_q4_0_tiles, 8, linear256_panel_bytes, 1, k / 32 * sizeof(lm_packed_q4_0))
LINEAR256(q4_k, linear256_q4_k_tiles, 0, linear256_panel_q4_k, 1, k / 256 * sizeof(lm_packed_q4_k))
LINEAR256(q6_k, linear256_q6_k_tiles, 0, linear256_panel_q6_k, 1, k / 256 * sizeof(lm_packed_q6_k))

LM_TARGET_END

void lm_kernels_linear_avx2(lm_kernels *table)
{
    table->linear[LM_TYPE_F32] = linear256_f32;
    table->linear[LM_TYPE_F16] = linear256_f16;
    table->linear[LM_TYPE_BF16] = linear256_bf16;
    table->linear[LM_TYPE_Q8_0] = linear256_q8_0;
    table->linear[LM_TYPE_Q4_0] = linear256_q4_0;
    table->linear[LM_TYPE_Q4_K] = linear256_q4_k;
    table->linear[LM_TYPE_Q6_K] = linear256_q6_k;
}

#else

void lm_kernels_linear_avx2(lm_kernels *table)
{
    (void)table;
}

#endif
