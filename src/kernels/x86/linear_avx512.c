/* SPDX-License-Identifier: MIT
 * Products with packed weights for AVX-512 with VNNI. Bits: those of ref/linear_ref.c. Threads: any; nothing is kept.
 *
 * Two ways through a matrix:
 *  - few columns ("direct"): one pass over the packed bytes, a group at a time, unpacked in registers. Bound by memory: the
 *    stream is prefetched 2 to 3 KB ahead, across the borders of blocks and groups.
 *  - many columns ("panels"): 256 values of two groups are unpacked once to bytes and scales in the first-level cache, and all
 *    columns of a block pass over them in tiles of 32 rows x up to 6 columns: 12 integer and 12 float accumulators, each
 *    broadcast of activations feeding two products. Between panels the running sums wait in y. A chain over k is cut in time,
 *    never in order, so the bits do not know of it.
 *
 * The integer sums of sub-blocks are scaled by vpdpwssd, which takes the low half of a lane: sums over 16 values of Q4_K
 * (<= 16 * 15 * 127) and over 8 of Q6_K (<= 8 * 32 * 127) fit int16. vpdpbusd wants one side unsigned: nibbles are (their -8 is
 * taken off through the sum of x), Q8_0 gets +128 the same way, and for Q6_K it is x that gets +128, since then the correction
 * belongs to the weights and is made once a panel. */
#include "kernels/kernels.h"

#include "kernels/layout.h"
#include "kernels/x86/x86.h"
#include "tensor/type.h"
#include "base/compiler.h"

#include <string.h>

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX512

enum {
    LINEAR512_COLS = 6,                         /* columns of a tile */
    LINEAR512_DIRECT = 3,                       /* columns up to which the packed bytes are read directly */
    LINEAR512_VALUES = 256,                     /* values of k in a panel */
    LINEAR512_AHEAD = 2560,                     /* bytes of prefetch */
    LINEAR512_X_BYTES = 512 * 1024              /* activations of a block of columns: they should stay in the second-level cache */
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

LM_INLINE linear512_six linear512_six_bits(const lm_packed_q4_k *b)
{
    const __m512i s0 = linear512_line(b->scales[0]), s1 = linear512_line(b->scales[1]), s2 = linear512_line(b->scales[2]);
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

/* ---- Q4_0, Q8_0: blocks of 32 ---------------------------------------------------------------------------------------- */

typedef struct linear512_panel32 {
    _Alignas(64) uint8_t q[LINEAR512_VALUES / 4][2][64];        /* [4 values][group][row][4] */
    _Alignas(64) float d[LINEAR512_VALUES / 32][2][16];
    int32_t bias;                                               /* q is this much above its value */
} linear512_panel32;

LM_INLINE void linear512_unpack_q4_0(void *panel, const void *group, int g, size_t at, size_t n)
{
    linear512_panel32 *p = panel;
    const lm_packed_q4_0 *b = (const lm_packed_q4_0 *)group + at / 32;

    p->bias = 8;
    for (size_t i = 0; i < n / 32; i++, b++) {
        linear512_prefetch(b, sizeof *b);
        _mm512_store_ps(p->d[i][g], linear512_halves(b->d));
        LM_UNROLL
        for (int l = 0; l < 4; l++) {
            __m512i line = linear512_line(b->q[l]);

            _mm512_store_si512(p->q[8 * i + 2 * (size_t)l][g], linear512_low(line));
            _mm512_store_si512(p->q[8 * i + 2 * (size_t)l + 1][g], linear512_high(line));
        }
    }
}

LM_INLINE void linear512_unpack_q8_0(void *panel, const void *group, int g, size_t at, size_t n)
{
    linear512_panel32 *p = panel;
    const lm_packed_q8_0 *b = (const lm_packed_q8_0 *)group + at / 32;

    p->bias = 128;
    for (size_t i = 0; i < n / 32; i++, b++) {
        linear512_prefetch(b, sizeof *b);
        _mm512_store_ps(p->d[i][g], linear512_halves(b->d));
        LM_UNROLL
        for (int l = 0; l < 8; l++)
            _mm512_store_si512(p->q[8 * i + (size_t)l][g], _mm512_xor_si512(linear512_line(b->q[l]), _mm512_set1_epi8(-128)));
    }
}

/* A tile: C columns from column `col` on over the panel of values [at, at + n). y: row 0 of the two groups, column `col`. */
typedef struct linear512_tile {
    float *y;
    size_t y_stride, k, col, at, n;
    const lm_acts *x;
    __mmask16 mask[2];
} linear512_tile;

LM_INLINE __m512 linear512_get(const linear512_tile *t, int c, int g)
{
    return t->at == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(t->mask[g], t->y + (size_t)c * t->y_stride + 16 * g);
}

LM_INLINE void linear512_put(const linear512_tile *t, int c, int g, __m512 v)
{
    _mm512_mask_storeu_ps(t->y + (size_t)c * t->y_stride + 16 * g, t->mask[g], v);
}

LM_INLINE void linear512_tile32(const void *panel, const linear512_tile *t, const int C)
{
    const linear512_panel32 *p = panel;
    const size_t k = t->k, n_blocks = t->n / 32;
    const int8_t *x = t->x->q32 + t->col * k + t->at;
    const float *d = t->x->d32 + t->col * (k / 32) + t->at / 32;
    const int32_t *sums = t->x->s32 + t->col * (k / 32) + t->at / 32;
    _Alignas(32) int32_t start[LINEAR512_COLS][8];
    __m512 acc[LINEAR512_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++) {
        __m256i sum = _mm256_maskz_loadu_epi32((__mmask8)((1u << n_blocks) - 1), sums + (size_t)c * (k / 32));

        _mm256_store_si256((__m256i *)(void *)start[c], _mm256_mullo_epi32(sum, _mm256_set1_epi32(-p->bias)));
    }
    LM_UNROLL
    for (int c = 0; c < C; c++)
        acc[c][0] = linear512_get(t, c, 0), acc[c][1] = linear512_get(t, c, 1);
    for (size_t i = 0; i < n_blocks; i++) {
        __m512i s[LINEAR512_COLS][2];
        __m512 d0 = _mm512_load_ps(p->d[i][0]), d1 = _mm512_load_ps(p->d[i][1]);

        LM_UNROLL
        for (int c = 0; c < C; c++)
            s[c][0] = s[c][1] = _mm512_set1_epi32(start[c][i]);
        LM_UNROLL
        for (int l = 0; l < 8; l++) {
            __m512i w0 = _mm512_load_si512(p->q[8 * i + (size_t)l][0]), w1 = _mm512_load_si512(p->q[8 * i + (size_t)l][1]);

            LM_UNROLL
            for (int c = 0; c < C; c++) {
                __m512i v = linear512_dword(x + (size_t)c * k + 32 * i + 4 * (size_t)l);

                s[c][0] = _mm512_dpbusd_epi32(s[c][0], w0, v);
                s[c][1] = _mm512_dpbusd_epi32(s[c][1], w1, v);
            }
        }
        LM_UNROLL
        for (int c = 0; c < C; c++) {
            __m512 dx = _mm512_set1_ps(d[(size_t)c * (k / 32) + i]);

            acc[c][0] = linear512_fma_int(s[c][0], _mm512_mul_ps(d0, dx), acc[c][0]);
            acc[c][1] = linear512_fma_int(s[c][1], _mm512_mul_ps(d1, dx), acc[c][1]);
        }
    }
    LM_UNROLL
    for (int c = 0; c < C; c++)
        linear512_put(t, c, 0, acc[c][0]), linear512_put(t, c, 1, acc[c][1]);
}

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
    const linear512_six six = linear512_six_bits(b);

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
        const linear512_six six = linear512_six_bits(b);
        const __m512 d = linear512_halves(b->d), minus_dmin = _mm512_xor_ps(linear512_halves(b->dmin), _mm512_set1_ps(-0.0f));
        _Alignas(16) int32_t sums[LINEAR512_DIRECT][4];
        __m512i isum[LINEAR512_DIRECT], msum[LINEAR512_DIRECT];

        linear512_prefetch(b, 256);
        LM_UNROLL
        for (int c = 0; c < C; c++) {
            linear512_sums32(sums[c], x->s16 + (size_t)c * (k / 16) + 16 * i);
            isum[c] = msum[c] = _mm512_setzero_si512();
        }
        LM_UNROLL
        for (int h = 0; h < 2; h++)
            LM_UNROLL
            for (int j = 0; j < 4; j++) {                       /* sub-block 4h + j */
                const __m512i scale = linear512_byte(six.scale[h], j);

                LM_UNROLL
                for (int half = 0; half < 2; half++) {
                    const uint8_t (*lines)[16][4] = b->q + 16 * h + 4 * j + 2 * half;
                    const int8_t *q = x->q256 + 256 * i + (size_t)(128 * h + 32 * j + 16 * half);
                    const __m512i a = linear512_line(lines[0]), z = linear512_line(lines[1]);

                    linear512_prefetch(lines, 128);
                    LM_UNROLL
                    for (int c = 0; c < C; c++, q += k) {
                        __m512i s = _mm512_dpbusd_epi32(_mm512_setzero_si512(), linear512_low(a), linear512_dword(q));

                        s = _mm512_dpbusd_epi32(s, linear512_high(a), linear512_dword(q + 4));
                        s = _mm512_dpbusd_epi32(s, linear512_low(z), linear512_dword(q + 8));
                        s = _mm512_dpbusd_epi32(s, linear512_high(z), linear512_dword(q + 12));
                        isum[c] = _mm512_dpwssd_epi32(isum[c], s, scale);
                    }
                }
                if (j % 2 == 0) {
                    const __m512i mins = linear512_byte_pair(six.min[h], j);

                    LM_UNROLL
                    for (int c = 0; c < C; c++)
                        msum[c] = _mm512_dpwssd_epi32(msum[c], mins, _mm512_set1_epi32(sums[c][2 * h + j / 2]));
                }
            }
        LM_UNROLL
        for (int c = 0; c < C; c++) {
            __m512 dx = _mm512_set1_ps(x->d256[(size_t)c * (k / 256) + i]);

            acc[c] = linear512_fma_int(isum[c], _mm512_mul_ps(d, dx), acc[c]);
            acc[c] = linear512_fma_int(msum[c], _mm512_mul_ps(minus_dmin, dx), acc[c]);
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

/* ---- the drivers ------------------------------------------------------------------------------------------------------ */

typedef void linear512_unpack_fn(void *panel, const void *group, int g, size_t at, size_t n);
typedef void linear512_tile_fn(const void *panel, const linear512_tile *t);

LM_INLINE void linear512_panels(void *panel, float *y, size_t y_stride, const uint8_t *w, size_t group_bytes, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols,
                                size_t x_bytes, linear512_unpack_fn *unpack, linear512_tile_fn *const *tiles)
{
    const size_t block = LM_MAX(LINEAR512_X_BYTES / (k * x_bytes) / LINEAR512_COLS, (size_t)4) * LINEAR512_COLS;

    for (size_t c0 = 0; c0 < n_cols; c0 += block)
        for (size_t r = 0; r < n_rows; r += 2 * LM_GROUP) {
            const uint8_t *group = w + r / LM_GROUP * group_bytes;
            const int second = n_rows - r > LM_GROUP;           /* without one, the first stands in and is not stored */

            for (size_t at = 0; at < k; at += LINEAR512_VALUES) {
                size_t n = LM_MIN(k - at, (size_t)LINEAR512_VALUES), left = LM_MIN(n_cols - c0, block), n_tiles = (left + LINEAR512_COLS - 1) / LINEAR512_COLS;
                linear512_tile t = {y + c0 * y_stride + r, y_stride, k, c0, at, n, x, {linear512_mask(n_rows - r), second ? linear512_mask(n_rows - r - LM_GROUP) : 0}};

                unpack(panel, group, 0, at, n);
                unpack(panel, second ? group + group_bytes : group, 1, at, n);
                for (; n_tiles != 0; n_tiles--) {               /* tiles as even as they come */
                    size_t cols = (left + n_tiles - 1) / n_tiles;

                    tiles[cols - 1](panel, &t);
                    t.y += cols * y_stride;
                    t.col += cols;
                    left -= cols;
                }
            }
        }
}

#define LINEAR512_DIRECT_N(type, C)                                                                              \
    for (size_t r = 0; r < n_rows; r += LM_GROUP) {                                                              \
        __m512 acc[LINEAR512_DIRECT];                                                                            \
                                                                                                                 \
        LM_UNROLL                                                                                                \
        for (int c = 0; c < (C); c++)                                                                            \
            acc[c] = _mm512_setzero_ps();                                                                        \
        linear512_direct_##type(acc, (const uint8_t *)w + r / LM_GROUP * group_bytes, x, k, (C));                \
        LM_UNROLL                                                                                                \
        for (int c = 0; c < (C); c++)                                                                            \
            _mm512_mask_storeu_ps(y + (size_t)c * y_stride + r, linear512_mask(n_rows - r), acc[c]);             \
    }

#define LINEAR512(type, tile, panel_type, x_bytes, group_size)                                                   \
    static void linear512_##type##_1(const void *p, const linear512_tile *t) { tile(p, t, 1); }                  \
    static void linear512_##type##_2(const void *p, const linear512_tile *t) { tile(p, t, 2); }                  \
    static void linear512_##type##_3(const void *p, const linear512_tile *t) { tile(p, t, 3); }                  \
    static void linear512_##type##_4(const void *p, const linear512_tile *t) { tile(p, t, 4); }                  \
    static void linear512_##type##_5(const void *p, const linear512_tile *t) { tile(p, t, 5); }                  \
    static void linear512_##type##_6(const void *p, const linear512_tile *t) { tile(p, t, 6); }                  \
    static linear512_tile_fn *const linear512_##type##_tiles[LINEAR512_COLS] = {                                 \
        linear512_##type##_1, linear512_##type##_2, linear512_##type##_3, linear512_##type##_4, linear512_##type##_5, linear512_##type##_6}; \
    LM_NOINLINE static void linear512_##type##_few(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols) \
    {                                                                                                            \
        const size_t group_bytes = (group_size);                                                                 \
                                                                                                                 \
        if (n_cols == 1) {                                                                                       \
            LINEAR512_DIRECT_N(type, 1)                                                                          \
        } else if (n_cols == 2) {                                                                                \
            LINEAR512_DIRECT_N(type, 2)                                                                          \
        } else {                                                                                                 \
            LINEAR512_DIRECT_N(type, 3)                                                                          \
        }                                                                                                        \
    }                                                                                                            \
    static void linear512_##type(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols) \
    {                                                                                                            \
        panel_type panel;                                                                                        \
                                                                                                                 \
        if (n_cols == 0)                                                                                         \
            return;                                                                                              \
        if (n_cols <= LINEAR512_DIRECT)                                                                          \
            linear512_##type##_few(y, y_stride, w, n_rows, k, x, n_cols);                                        \
        else                                                                                                     \
            linear512_panels(&panel, y, y_stride, w, (group_size), n_rows, k, x, n_cols, (x_bytes), linear512_unpack_##type, linear512_##type##_tiles); \
    }
LINEAR512(f32, linear512_tile_f32, linear512_panel_float, 4, k * 16 * 4)
LINEAR512(f16, linear512_tile_f16, linear512_panel_float, 4, k * 16 * 2)
LINEAR512(bf16, linear512_tile_bf16, linear512_panel_float, 4, k * 16 * 2)
LINEAR512(q8_0, linear512_tile32, linear512_panel32, 1, k / 32 * sizeof(lm_packed_q8_0))
LINEAR512(q4_0, linear512_tile32, linear512_panel32, 1, k / 32 * sizeof(lm_packed_q4_0))
LINEAR512(q4_k, linear512_tile_q4_k, linear512_panel_q4_k, 1, k / 256 * sizeof(lm_packed_q4_k))
LINEAR512(q6_k, linear512_tile_q6_k, linear512_panel_q6_k, 1, k / 256 * sizeof(lm_packed_q6_k))
#undef LINEAR512
#undef LINEAR512_DIRECT_N

LM_TARGET_END

void lm_kernels_linear_avx512(lm_kernels *table)
{
    table->linear[LM_TYPE_F32] = linear512_f32;
    table->linear[LM_TYPE_F16] = linear512_f16;
    table->linear[LM_TYPE_BF16] = linear512_bf16;
    table->linear[LM_TYPE_Q8_0] = linear512_q8_0;
    table->linear[LM_TYPE_Q4_0] = linear512_q4_0;
    table->linear[LM_TYPE_Q4_K] = linear512_q4_k;
    table->linear[LM_TYPE_Q6_K] = linear512_q6_k;
}

#else

void lm_kernels_linear_avx512(lm_kernels *table)
{
    (void)table;
}

#endif
