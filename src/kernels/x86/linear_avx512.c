/* SPDX-License-Identifier: MIT
 * Products with packed weights for AVX-512 with VNNI: floats, Q8_0, Q4_0, Q4_K, Q6_K. The shape stands in linear_avx512.h; the
 * other types in linear_avx512_32.c and linear_avx512_256.c. Bits: those of ref/linear_ref.c. Threads: any; nothing is kept.
 *
 * The integer sums of sub-blocks are scaled by vpdpwssd, which takes the low half of a lane: sums over 16 values of Q4_K
 * (<= 16 * 15 * 127) and over 8 of Q6_K (<= 8 * 32 * 127) fit int16. vpdpbusd wants one side unsigned: nibbles are (their -8 is
 * taken off through the sum of x), Q8_0 gets +128 the same way, and for Q6_K it is x that gets +128, since then the correction
 * belongs to the weights and is made once a panel. */
#include "kernels/x86/linear_avx512.h"

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX512

/* ---- Q4_0, Q8_0 ------------------------------------------------------------------------------------------------------- */

LINEAR512_UNPACK32(q4_0, 0)
LINEAR512_UNPACK32(q8_0, 0)

LM_INLINE void linear512_direct_q4_0(__m512 *acc, const void *group, const lm_acts *x, size_t k, const int C)
{
    const lm_packed_q4_0 *b = group;

    for (size_t i = 0; i < k / 32; i++, b++) {
        __m512i s[LINEAR512_DIRECT];
        __m512 d = linear512_halves(b->d);

        linear512_prefetch(b, sizeof *b);
        LM_UNROLL
        for (int c = 0; c < C; c++)
            s[c] = _mm512_set1_epi32(-8 * x->s32[(size_t)c * (k / 32) + i]);
        LM_UNROLL
        for (int l = 0; l < 4; l++) {
            __m512i line = linear512_line(b->q[l]), low = linear512_low(line), high = linear512_high(line);

            LM_UNROLL
            for (int c = 0; c < C; c++) {
                const int8_t *q = x->q32 + (size_t)c * k + 32 * i + 8 * (size_t)l;

                s[c] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(s[c], low, linear512_dword(q)), high, linear512_dword(q + 4));
            }
        }
        LM_UNROLL
        for (int c = 0; c < C; c++)
            acc[c] = linear512_fma_int(s[c], _mm512_mul_ps(d, _mm512_set1_ps(x->d32[(size_t)c * (k / 32) + i])), acc[c]);
    }
}

LM_INLINE void linear512_direct_q8_0(__m512 *acc, const void *group, const lm_acts *x, size_t k, const int C)
{
    const lm_packed_q8_0 *b = group;

    for (size_t i = 0; i < k / 32; i++, b++) {
        __m512i s[LINEAR512_DIRECT];
        __m512 d = linear512_halves(b->d);

        linear512_prefetch(b, sizeof *b);
        LM_UNROLL
        for (int c = 0; c < C; c++)
            s[c] = _mm512_set1_epi32(-128 * x->s32[(size_t)c * (k / 32) + i]);
        LM_UNROLL
        for (int l = 0; l < 8; l++) {
            __m512i w = _mm512_xor_si512(linear512_line(b->q[l]), _mm512_set1_epi8(-128));

            LM_UNROLL
            for (int c = 0; c < C; c++)
                s[c] = _mm512_dpbusd_epi32(s[c], w, linear512_dword(x->q32 + (size_t)c * k + 32 * i + 4 * (size_t)l));
        }
        LM_UNROLL
        for (int c = 0; c < C; c++)
            acc[c] = linear512_fma_int(s[c], _mm512_mul_ps(d, _mm512_set1_ps(x->d32[(size_t)c * (k / 32) + i])), acc[c]);
    }
}

/* ---- Q4_K ------------------------------------------------------------------------------------------------------------ */

typedef struct linear512_panel_q4_k {
    _Alignas(64) uint8_t q[64][2][64];
    _Alignas(64) int32_t scale[8][2][16];                       /* the upper half of a lane is zero */
    _Alignas(64) int16_t min[4][2][32];                         /* pairs of sub-blocks */
    _Alignas(64) float d[2][16], minus_dmin[2][16];
} linear512_panel_q4_k;

LM_INLINE void linear512_unpack_q4_k(void *panel, const void *group, int g, size_t at, size_t n)
{
    linear512_panel_q4_k *p = panel;
    const lm_packed_q4_k *b = (const lm_packed_q4_k *)group + at / 256;
    const linear512_six six = linear512_six_bits(b->scales);

    (void)n;
    _mm512_store_ps(p->d[g], linear512_halves(b->d));
    _mm512_store_ps(p->minus_dmin[g], _mm512_xor_ps(linear512_halves(b->dmin), _mm512_set1_ps(-0.0f)));
    LM_UNROLL
    for (int j = 0; j < 8; j++)
        _mm512_store_si512(p->scale[j][g], linear512_byte(six.scale[j / 4], j % 4));
    LM_UNROLL
    for (int j = 0; j < 4; j++)
        _mm512_store_si512(p->min[j][g], linear512_byte_pair(six.min[j / 2], j % 2 * 2));
    for (size_t l = 0; l < 32; l++) {
        __m512i line = linear512_line(b->q[l]);

        _mm_prefetch((const char *)(b + 1) + 64 * l, _MM_HINT_T0);
        _mm512_store_si512(p->q[2 * l][g], linear512_low(line));
        _mm512_store_si512(p->q[2 * l + 1][g], linear512_high(line));
    }
}

LM_INLINE void linear512_tile_q4_k(const void *panel, const linear512_tile *t, const int C)
{
    const linear512_panel_q4_k *p = panel;
    const size_t k = t->k;
    const int8_t *x = t->x->q256 + t->col * k + t->at;
    const float *d = t->x->d256 + t->col * (k / 256) + t->at / 256;
    const int16_t *s16 = t->x->s16 + t->col * (k / 16) + t->at / 16;
    _Alignas(16) int32_t sums[LINEAR512_COLS][4];
    __m512i isum[LINEAR512_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++) {
        linear512_sums32(sums[c], s16 + (size_t)c * (k / 16));
        isum[c][0] = isum[c][1] = _mm512_setzero_si512();
    }
    for (size_t j = 0; j < 16; j++) {                           /* 16 values: half a sub-block */
        __m512i s[LINEAR512_COLS][2], sc0 = _mm512_load_si512(p->scale[j / 2][0]), sc1 = _mm512_load_si512(p->scale[j / 2][1]);

        LM_UNROLL
        for (int c = 0; c < C; c++)
            s[c][0] = s[c][1] = _mm512_setzero_si512();
        LM_UNROLL
        for (int l = 0; l < 4; l++) {
            __m512i w0 = _mm512_load_si512(p->q[4 * j + (size_t)l][0]), w1 = _mm512_load_si512(p->q[4 * j + (size_t)l][1]);

            LM_UNROLL
            for (int c = 0; c < C; c++) {
                __m512i v = linear512_dword(x + (size_t)c * k + 16 * j + 4 * (size_t)l);

                s[c][0] = _mm512_dpbusd_epi32(s[c][0], w0, v);
                s[c][1] = _mm512_dpbusd_epi32(s[c][1], w1, v);
            }
        }
        LM_UNROLL
        for (int c = 0; c < C; c++) {
            isum[c][0] = _mm512_dpwssd_epi32(isum[c][0], s[c][0], sc0);
            isum[c][1] = _mm512_dpwssd_epi32(isum[c][1], s[c][1], sc1);
        }
    }
    LM_UNROLL
    for (int c = 0; c < C; c++) {
        const __m512 dx = _mm512_set1_ps(d[(size_t)c * (k / 256)]);

        LM_UNROLL
        for (int g = 0; g < 2; g++) {
            __m512i msum = _mm512_setzero_si512();
            __m512 acc = linear512_fma_int(isum[c][g], _mm512_mul_ps(_mm512_load_ps(p->d[g]), dx), linear512_get(t, c, g));

            LM_UNROLL
            for (int j = 0; j < 4; j++)
                msum = _mm512_dpwssd_epi32(msum, _mm512_load_si512(p->min[j][g]), _mm512_set1_epi32(sums[c][j]));
            linear512_put(t, c, g, linear512_fma_int(msum, _mm512_mul_ps(_mm512_load_ps(p->minus_dmin[g]), dx), acc));
        }
    }
}

LM_INLINE void linear512_direct_q4_k(__m512 *acc, const void *group, const lm_acts *x, size_t k, const int C)
{
    const lm_packed_q4_k *b = group;

    for (size_t i = 0; i < k / 256; i++, b++) {
        const linear512_six six = linear512_six_bits(b->scales);
        const __m512 d = linear512_halves(b->d), minus_dmin = _mm512_xor_ps(linear512_halves(b->dmin), _mm512_set1_ps(-0.0f));
        _Alignas(64) int32_t scale[8][16];
        __m512i isum[LINEAR512_DIRECT], min[4];

        linear512_prefetch(b, 256);
        LM_UNROLL
        for (int j = 0; j < 8; j++)
            _mm512_store_si512(scale[j], linear512_byte(six.scale[j / 4], j % 4));
        LM_UNROLL
        for (int j = 0; j < 4; j++)
            min[j] = linear512_byte_pair(six.min[j / 2], j % 2 * 2);
        LM_UNROLL
        for (int c = 0; c < C; c++)
            isum[c] = _mm512_setzero_si512();
        for (size_t j = 0; j < 8; j++) {
            const __m512i sc = _mm512_load_si512(scale[j]);

            LM_UNROLL
            for (int half = 0; half < 2; half++) {
                const uint8_t (*lines)[16][4] = b->q + 4 * j + 2 * (size_t)half;
                const int8_t *q = x->q256 + 256 * i + 32 * j + (size_t)(16 * half);
                const __m512i a = linear512_line(lines[0]), z = linear512_line(lines[1]);

                linear512_prefetch(lines, 128);
                LM_UNROLL
                for (int c = 0; c < C; c++, q += k) {
                    __m512i s = _mm512_dpbusd_epi32(_mm512_setzero_si512(), linear512_low(a), linear512_dword(q));

                    s = _mm512_dpbusd_epi32(s, linear512_high(a), linear512_dword(q + 4));
                    s = _mm512_dpbusd_epi32(s, linear512_low(z), linear512_dword(q + 8));
                    s = _mm512_dpbusd_epi32(s, linear512_high(z), linear512_dword(q + 12));
                    isum[c] = _mm512_dpwssd_epi32(isum[c], s, sc);
                }
            }
        }
        LM_UNROLL
        for (int c = 0; c < C; c++) {
            const __m512 dx = _mm512_set1_ps(x->d256[(size_t)c * (k / 256) + i]);
            __m512i msum = _mm512_setzero_si512();
            _Alignas(16) int32_t sums[4];

            linear512_sums32(sums, x->s16 + (size_t)c * (k / 16) + 16 * i);
            LM_UNROLL
            for (int j = 0; j < 4; j++)
                msum = _mm512_dpwssd_epi32(msum, min[j], _mm512_set1_epi32(sums[j]));
            acc[c] = linear512_fma_int(isum[c], _mm512_mul_ps(d, dx), acc[c]);
            acc[c] = linear512_fma_int(msum, _mm512_mul_ps(minus_dmin, dx), acc[c]);
        }
    }
}

/* ---- Q6_K ------------------------------------------------------------------------------------------------------------ */

typedef struct linear512_panel_q6_k {
    _Alignas(64) int8_t q[64][2][64];                           /* q - 32 */
    _Alignas(64) int32_t start[32][2][16];                      /* -128 * the sum of eight q: what x + 128 counts too much */
    _Alignas(64) int32_t scale[16][2][16];                      /* the upper half of a lane is zero */
    _Alignas(64) float d[2][16];
} linear512_panel_q6_k;

LM_INLINE void linear512_unpack_q6_k(void *panel, const void *group, int g, size_t at, size_t n)
{
    linear512_panel_q6_k *p = panel;
    const lm_packed_q6_k *b = (const lm_packed_q6_k *)group + at / 256;

    (void)n;
    _mm512_store_ps(p->d[g], linear512_halves(b->d));
    for (size_t j = 0; j < 16; j++) {
        __m512i v[4];

        for (size_t i = 0; i < 4; i++)
            _mm_prefetch((const char *)(b + 1) + 210 * j + 64 * i, _MM_HINT_T0);
        _mm512_store_si512(p->scale[j][g], _mm512_and_si512(linear512_scales_q6_k(b, j), _mm512_set1_epi32(0xffff)));
        linear512_six_bit_lines(v, b, j);
        LM_UNROLL
        for (int i = 0; i < 4; i += 2) {
            __m512i v0 = _mm512_sub_epi8(v[i], _mm512_set1_epi8(32)), v1 = _mm512_sub_epi8(v[i + 1], _mm512_set1_epi8(32)), sum;

            _mm512_store_si512(p->q[4 * j + (size_t)i][g], v0);
            _mm512_store_si512(p->q[4 * j + (size_t)i + 1][g], v1);
            sum = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(-128), v0), _mm512_set1_epi8(-128), v1);
            _mm512_store_si512(p->start[2 * j + (size_t)i / 2][g], _mm512_sub_epi32(_mm512_setzero_si512(), sum));
        }
    }
}

LM_INLINE void linear512_tile_q6_k(const void *panel, const linear512_tile *t, const int C)
{
    const linear512_panel_q6_k *p = panel;
    const size_t k = t->k;
    const int8_t *q = t->x->q256 + t->col * k + t->at;
    const float *d = t->x->d256 + t->col * (k / 256) + t->at / 256;
    _Alignas(64) uint8_t x[LINEAR512_COLS][256];                /* + 128 */
    __m512i isum[LINEAR512_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++) {
        LM_UNROLL
        for (int i = 0; i < 256; i += 64)
            _mm512_store_si512(x[c] + i, _mm512_xor_si512(linear512_line(q + (size_t)c * k + (size_t)i), _mm512_set1_epi8(-128)));
        isum[c][0] = isum[c][1] = _mm512_setzero_si512();
    }
    for (size_t j = 0; j < 16; j++) {
        const __m512i sc0 = _mm512_load_si512(p->scale[j][0]), sc1 = _mm512_load_si512(p->scale[j][1]);

        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            const __m512i start0 = _mm512_load_si512(p->start[2 * j + (size_t)h][0]), start1 = _mm512_load_si512(p->start[2 * j + (size_t)h][1]);
            __m512i s[LINEAR512_COLS][2];

            LM_UNROLL
            for (int c = 0; c < C; c++)
                s[c][0] = start0, s[c][1] = start1;
            LM_UNROLL
            for (int l = 0; l < 2; l++) {
                __m512i w0 = _mm512_load_si512(p->q[4 * j + (size_t)(2 * h + l)][0]), w1 = _mm512_load_si512(p->q[4 * j + (size_t)(2 * h + l)][1]);

                LM_UNROLL
                for (int c = 0; c < C; c++) {
                    __m512i v = linear512_dword(x[c] + 16 * j + (size_t)(8 * h + 4 * l));

                    s[c][0] = _mm512_dpbusd_epi32(s[c][0], v, w0);
                    s[c][1] = _mm512_dpbusd_epi32(s[c][1], v, w1);
                }
            }
            LM_UNROLL
            for (int c = 0; c < C; c++) {
                isum[c][0] = _mm512_dpwssd_epi32(isum[c][0], s[c][0], sc0);
                isum[c][1] = _mm512_dpwssd_epi32(isum[c][1], s[c][1], sc1);
            }
        }
    }
    LM_UNROLL
    for (int c = 0; c < C; c++) {
        const __m512 dx = _mm512_set1_ps(d[(size_t)c * (k / 256)]);

        LM_UNROLL
        for (int g = 0; g < 2; g++)
            linear512_put(t, c, g, linear512_fma_int(isum[c][g], _mm512_mul_ps(_mm512_load_ps(p->d[g]), dx), linear512_get(t, c, g)));
    }
}

LM_INLINE void linear512_direct_q6_k(__m512 *acc, const void *group, const lm_acts *x, size_t k, const int C)
{
    const lm_packed_q6_k *b = group;

    for (size_t i = 0; i < k / 256; i++, b++) {
        _Alignas(64) int32_t start[LINEAR512_DIRECT][16];       /* -32 * the sums of 16 */
        __m512i isum[LINEAR512_DIRECT];
        __m512 d = linear512_halves(b->d);

        LM_UNROLL
        for (int c = 0; c < C; c++) {
            __m512i sums = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(x->s16 + (size_t)c * (k / 16) + 16 * i)));

            _mm512_store_si512(start[c], _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sums, 5)));
            isum[c] = _mm512_setzero_si512();
        }
        for (size_t j = 0; j < 16; j++) {
            const __m512i scale = linear512_scales_q6_k(b, j);
            __m512i v[4];

            linear512_prefetch(b->ql[2 * j], 128);
            linear512_prefetch(b->qh[j], 84);
            linear512_six_bit_lines(v, b, j);
            LM_UNROLL
            for (int c = 0; c < C; c++) {
                const int8_t *q = x->q256 + (size_t)c * k + 256 * i + 16 * j;
                __m512i s = _mm512_set1_epi32(start[c][j]);

                LM_UNROLL
                for (int l = 0; l < 4; l++)
                    s = _mm512_dpbusd_epi32(s, v[l], linear512_dword(q + 4 * l));
                isum[c] = _mm512_add_epi32(isum[c], _mm512_mullo_epi32(s, scale));
            }
        }
        LM_UNROLL
        for (int c = 0; c < C; c++)
            acc[c] = linear512_fma_int(isum[c], _mm512_mul_ps(d, _mm512_set1_ps(x->d256[(size_t)c * (k / 256) + i])), acc[c]);
    }
}

/* ---- F32, F16, BF16: the panel is the packed group itself, of which a part of k stays in cache over the columns -------- */

typedef struct linear512_panel_float { const uint8_t *w[2]; } linear512_panel_float;

LM_INLINE __m512 linear512_widen_f32(const void *w, size_t i) { return _mm512_loadu_ps((const float *)w + 16 * i); }
LM_INLINE __m512 linear512_widen_f16(const void *w, size_t i) { return linear512_halves((const uint16_t *)w + 16 * i); }
LM_INLINE __m512 linear512_widen_bf16(const void *w, size_t i)
{
    const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)((const uint16_t *)w + 16 * i));

    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

#define LINEAR512_FLOAT(type, bytes)                                                                                  \
    LM_INLINE void linear512_unpack_##type(void *panel, const void *group, int g, size_t at, size_t n)               \
    {                                                                                                                 \
        (void)n;                                                                                                      \
        ((linear512_panel_float *)panel)->w[g] = (const uint8_t *)group + at * 16 * (bytes);                          \
    }                                                                                                                 \
    LM_INLINE void linear512_tile_##type(const void *panel, const linear512_tile *t, const int C)                     \
    {                                                                                                                 \
        const linear512_panel_float *p = panel;                                                                       \
        const float *x = t->x->f32 + t->col * t->k + t->at;                                                           \
        __m512 acc[LINEAR512_COLS][2];                                                                                \
                                                                                                                      \
        LM_UNROLL                                                                                                     \
        for (int c = 0; c < C; c++)                                                                                   \
            acc[c][0] = linear512_get(t, c, 0), acc[c][1] = linear512_get(t, c, 1);                                   \
        for (size_t i = 0; i < t->n; i++) {                                                                           \
            __m512 w0 = linear512_widen_##type(p->w[0], i), w1 = linear512_widen_##type(p->w[1], i);                  \
                                                                                                                      \
            LM_UNROLL                                                                                                 \
            for (int c = 0; c < C; c++) {                                                                             \
                __m512 v = _mm512_set1_ps(x[(size_t)c * t->k + i]);                                                   \
                                                                                                                      \
                acc[c][0] = _mm512_fmadd_ps(w0, v, acc[c][0]);                                                        \
                acc[c][1] = _mm512_fmadd_ps(w1, v, acc[c][1]);                                                        \
            }                                                                                                         \
        }                                                                                                             \
        LM_UNROLL                                                                                                     \
        for (int c = 0; c < C; c++)                                                                                   \
            linear512_put(t, c, 0, acc[c][0]), linear512_put(t, c, 1, acc[c][1]);                                     \
    }                                                                                                                 \
    LM_INLINE void linear512_direct_##type(__m512 *acc, const void *group, const lm_acts *x, size_t k, const int C)   \
    {                                                                                                                 \
        for (size_t i = 0; i < k; i++) {                                                                              \
            __m512 w = linear512_widen_##type(group, i);                                                              \
                                                                                                                      \
            _mm_prefetch((const char *)group + i * 16 * (bytes) + LINEAR512_AHEAD, _MM_HINT_T0);                      \
            LM_UNROLL                                                                                                 \
            for (int c = 0; c < C; c++)                                                                               \
                acc[c] = _mm512_fmadd_ps(w, _mm512_set1_ps(x->f32[(size_t)c * k + i]), acc[c]);                       \
        }                                                                                                             \
    }
LINEAR512_FLOAT(f32, 4)
LINEAR512_FLOAT(f16, 2)
LINEAR512_FLOAT(bf16, 2)
#undef LINEAR512_FLOAT

LINEAR512_TILES(f32)
LINEAR512_TILES(f16)
LINEAR512_TILES(bf16)
LINEAR512_TILES(q4_k)
LINEAR512_TILES(q6_k)
LINEAR512(f32, linear512_f32_tiles, 0, linear512_panel_float, 4, LINEAR512_VALUES, k * 16 * 4, LINEAR512_NO)
LINEAR512(f16, linear512_f16_tiles, 0, linear512_panel_float, 4, LINEAR512_VALUES, k * 16 * 2, LINEAR512_NO)
LINEAR512(bf16, linear512_bf16_tiles, 0, linear512_panel_float, 4, LINEAR512_VALUES, k * 16 * 2, LINEAR512_NO)
LINEAR512(q8_0, lm_linear512_tiles_32, 128, linear512_panel32, 1, LINEAR512_VALUES32, k / 32 * sizeof(lm_packed_q8_0), LINEAR512_YES)
LINEAR512(q4_0, lm_linear512_tiles_32, 8, linear512_panel32, 1, LINEAR512_VALUES32, k / 32 * sizeof(lm_packed_q4_0), LINEAR512_YES)
LINEAR512(q4_k, linear512_q4_k_tiles, 0, linear512_panel_q4_k, 1, LINEAR512_VALUES, k / 256 * sizeof(lm_packed_q4_k), LINEAR512_YES)
LINEAR512(q6_k, linear512_q6_k_tiles, 0, linear512_panel_q6_k, 1, LINEAR512_VALUES, k / 256 * sizeof(lm_packed_q6_k), LINEAR512_YES)

LM_TARGET_END

void lm_kernels_linear_avx512(lm_kernels *table)
{
    table->linear[LM_TYPE_F32] = lm_linear512_f32;
    table->linear[LM_TYPE_F16] = lm_linear512_f16;
    table->linear[LM_TYPE_BF16] = lm_linear512_bf16;
    table->linear[LM_TYPE_Q8_0] = lm_linear512_q8_0;
    table->linear[LM_TYPE_Q4_0] = lm_linear512_q4_0;
    table->linear[LM_TYPE_Q4_K] = lm_linear512_q4_k;
    table->linear[LM_TYPE_Q6_K] = lm_linear512_q6_k;
}

#else

void lm_kernels_linear_avx512(lm_kernels *table)
{
    (void)table;
}

#endif
