/* SPDX-License-Identifier: MIT
 * Products with packed weights for AVX2. Bits: those of ref/linear_ref.c. Threads: any; nothing is kept.
 *
 * The same two ways as in linear_avx512.c: one or two columns read the packed bytes directly, more pass over panels (256 values
 * of one group, unpacked once) in tiles of 16 rows x up to 4 columns, whose running sums wait in y between panels.
 *
 * vpmaddubsw saturates, so every use stays below 2^15, and as many products as fit are added in 16 bits before they are widened:
 *  - nibbles x int8: eight of them, 8 * 2 * 15 * 127 = 30480: a sub-block of 32 values needs one widening;
 *  - Q6_K: q - 32 as the signed side and x + 128 as the unsigned one: two of them, 2 * 2 * 32 * 255 = 32640. What x + 128 counts
 *    too much belongs to the weights alone and is made once a panel;
 *  - Q8_0: |w| is the unsigned side (128 at most) and x with the sign of w the other: 2 * 128 * 127 = 32512, one at a time; in
 *    panels w and x are widened to 16 bits instead. */
#include "kernels/kernels.h"

#include "kernels/layout.h"
#include "kernels/x86/x86.h"
#include "tensor/type.h"
#include "base/compiler.h"

#include <string.h>

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX2

enum {
    LINEAR256_COLS = 4,                         /* columns of a tile */
    LINEAR256_DIRECT = 2,                       /* columns up to which the packed bytes are read directly */
    LINEAR256_VALUES = 256,                     /* values of k in a panel */
    LINEAR256_AHEAD = 2560,                     /* bytes of prefetch */
    LINEAR256_X_BYTES = 256 * 1024              /* activations of a block of columns: they should stay in the second-level cache */
};

/* ---- small things: a vector is 8 of the 16 rows, half h = 0 or 1 ------------------------------------------------------ */

LM_INLINE __m256i linear256_line(const void *line, int h) { return _mm256_loadu_si256((const __m256i *)line + h); }
LM_INLINE void linear256_keep(void *line, int h, __m256i v) { _mm256_store_si256((__m256i *)line + h, v); }
LM_INLINE __m256 linear256_halves(const uint16_t d[16], int h) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)d + h)); }
LM_INLINE __m256 linear256_minus(__m256 v) { return _mm256_xor_ps(v, _mm256_set1_ps(-0.0f)); }

LM_INLINE __m256i linear256_dword(const void *p)        /* four bytes in every lane */
{
    int32_t v;

    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}

LM_INLINE __m256i linear256_low(__m256i line) { return _mm256_and_si256(line, _mm256_set1_epi8(15)); }
LM_INLINE __m256i linear256_high(__m256i line) { return _mm256_and_si256(_mm256_srli_epi16(line, 4), _mm256_set1_epi8(15)); }
LM_INLINE __m256 linear256_fma_int(__m256i sum, __m256 scale, __m256 acc) { return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, acc); }

LM_INLINE void linear256_prefetch(const void *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)p + LINEAR256_AHEAD + i, _MM_HINT_T0);
}

/* Eight of y, of which the rows from `left` on do not exist. */
LM_INLINE __m256i linear256_mask(size_t left)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(left < 8 ? (int)left : 8), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

LM_INLINE void linear256_put(float *y, size_t left, int h, __m256 v)
{
    if (left >= LM_GROUP)
        _mm256_storeu_ps(y + 8 * h, v);
    else if (left > 8 * (size_t)h)
        _mm256_maskstore_ps(y + 8 * h, linear256_mask(left - 8 * (size_t)h), v);
}

LM_INLINE __m256 linear256_get(const float *y, size_t left, int h)
{
    if (left >= LM_GROUP)
        return _mm256_loadu_ps(y + 8 * h);
    return left > 8 * (size_t)h ? _mm256_maskload_ps(y + 8 * h, linear256_mask(left - 8 * (size_t)h)) : _mm256_setzero_ps();
}

/* The six-bit scales and minimums of 8 rows: byte j of a lane belongs to sub-block j (first vector) and 4 + j (second). */
typedef struct linear256_six { __m256i scale[2], min[2]; } linear256_six;

LM_INLINE linear256_six linear256_six_bits(const lm_packed_q4_k *b, int h)
{
    const __m256i s0 = linear256_line(b->scales[0], h), s1 = linear256_line(b->scales[1], h), s2 = linear256_line(b->scales[2], h);
    const __m256i low6 = _mm256_set1_epi8(63), low4 = _mm256_set1_epi8(15), top2 = _mm256_set1_epi8(48);
    linear256_six out;

    out.scale[0] = _mm256_and_si256(s0, low6);
    out.min[0] = _mm256_and_si256(s1, low6);
    out.scale[1] = _mm256_or_si256(_mm256_and_si256(s2, low4), _mm256_and_si256(_mm256_srli_epi16(s0, 2), top2));
    out.min[1] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(s2, 4), low4), _mm256_and_si256(_mm256_srli_epi16(s1, 2), top2));
    return out;
}

/* Bytes a and b of every lane as two numbers of 16 bits. */
LM_INLINE __m256i linear256_byte_pair(__m256i v, int a, int b)
{
    int at = (int)0x80008000 + a + b * 0x10000;

    return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(_mm_set_epi32(at + 0xc000c, at + 0x80008, at + 0x40004, at)));
}

/* The sums of 32 values from those of 16, as eight int16: dword j holds sub-blocks 2j and 2j + 1. */
LM_INLINE void linear256_sums32(int32_t out[4], const int16_t s16[16])
{
    __m256i sums = _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *)(const void *)s16), _mm256_set1_epi16(1));

    _mm_store_si128((__m128i *)(void *)out, _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1)));
}

/* The four lines of 16 values of Q6_K, unsigned */
LM_INLINE void linear256_six_bit_lines(__m256i v[4], const lm_packed_q6_k *b, size_t j, int h)
{
    const __m256i a = linear256_line(b->ql[2 * j], h), z = linear256_line(b->ql[2 * j + 1], h), top = linear256_line(b->qh[j], h), mask = _mm256_set1_epi8(48);

    v[0] = _mm256_or_si256(linear256_low(a), _mm256_and_si256(_mm256_slli_epi16(top, 4), mask));
    v[1] = _mm256_or_si256(linear256_high(a), _mm256_and_si256(_mm256_slli_epi16(top, 2), mask));
    v[2] = _mm256_or_si256(linear256_low(z), _mm256_and_si256(top, mask));
    v[3] = _mm256_or_si256(linear256_high(z), _mm256_and_si256(_mm256_srli_epi16(top, 2), mask));
}

/* A Q6_K scale in both 16-bit halves of a lane */
LM_INLINE __m256i linear256_scale_pairs(const int8_t scales[16], int h)
{
    __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(scales + 8 * h)));

    return _mm256_or_si256(_mm256_and_si256(wide, _mm256_set1_epi32(0xffff)), _mm256_slli_epi32(wide, 16));
}

/* ---- what a tile is ---------------------------------------------------------------------------------------------------- */

/* C columns from column `col` on over the panel of values [at, at + n). y: row 0 of the group, column `col`. */
typedef struct linear256_tile {
    float *y;
    size_t y_stride, k, col, at, n, left;                       /* left: rows that exist, 16 and more are 16 */
    const lm_acts *x;
} linear256_tile;

LM_INLINE __m256 linear256_begin(const linear256_tile *t, int c, int h)
{
    return t->at == 0 ? _mm256_setzero_ps() : linear256_get(t->y + (size_t)c * t->y_stride, t->left, h);
}

LM_INLINE void linear256_end(const linear256_tile *t, int c, int h, __m256 v) { linear256_put(t->y + (size_t)c * t->y_stride, t->left, h, v); }

/* 4 n_lines values of nibbles (or fewer bits) times x into 16-bit sums: the caller knows that they fit. w: lines of 64 bytes */
LM_INLINE void linear256_dot16(__m256i t[][2], const uint8_t (*w)[64], const int8_t *x, size_t k, const int C, const int n_lines)
{
    LM_UNROLL
    for (int l = 0; l < n_lines; l++) {
        const __m256i w0 = linear256_line(w[l], 0), w1 = linear256_line(w[l], 1);

        LM_UNROLL
        for (int c = 0; c < C; c++) {
            const __m256i v = linear256_dword(x + (size_t)c * k + 4 * (size_t)l), a = _mm256_maddubs_epi16(w0, v), z = _mm256_maddubs_epi16(w1, v);

            t[c][0] = l == 0 ? a : _mm256_add_epi16(t[c][0], a);
            t[c][1] = l == 0 ? z : _mm256_add_epi16(t[c][1], z);
            LM_RUNNING(t[c][0]);
            LM_RUNNING(t[c][1]);
        }
    }
}

/* ---- Q4_0 ------------------------------------------------------------------------------------------------------------- */

typedef struct linear256_panel_q4_0 {
    _Alignas(32) uint8_t q[LINEAR256_VALUES / 4][64];
    _Alignas(32) float d[LINEAR256_VALUES / 32][16];
} linear256_panel_q4_0;

LM_INLINE void linear256_nibbles(uint8_t (*out)[64], const uint8_t (*lines)[16][4], size_t n_lines)
{
    for (size_t l = 0; l < n_lines; l++)
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            const __m256i line = linear256_line(lines[l], h);

            linear256_keep(out[2 * l], h, linear256_low(line));
            linear256_keep(out[2 * l + 1], h, linear256_high(line));
        }
}

LM_INLINE void linear256_unpack_q4_0(void *panel, const void *group, size_t at, size_t n)
{
    linear256_panel_q4_0 *p = panel;
    const lm_packed_q4_0 *b = (const lm_packed_q4_0 *)group + at / 32;

    for (size_t i = 0; i < n / 32; i++, b++) {
        linear256_prefetch(b, sizeof *b);
        linear256_nibbles(p->q + 8 * i, b->q, 4);
        LM_UNROLL
        for (int h = 0; h < 2; h++)
            _mm256_store_ps(p->d[i] + 8 * h, linear256_halves(b->d, h));
    }
}

LM_INLINE void linear256_tile_q4_0(const void *panel, const linear256_tile *t, const int C)
{
    const linear256_panel_q4_0 *p = panel;
    const size_t k = t->k, n_blocks = k / 32;
    const int8_t *x = t->x->q32 + t->col * k + t->at;
    const float *d = t->x->d32 + t->col * n_blocks + t->at / 32;
    const int32_t *sums = t->x->s32 + t->col * n_blocks + t->at / 32;
    __m256 acc[LINEAR256_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++)
        acc[c][0] = linear256_begin(t, c, 0), acc[c][1] = linear256_begin(t, c, 1);
    for (size_t i = 0; i < t->n / 32; i++) {
        __m256i dot[LINEAR256_COLS][2];

        linear256_dot16(dot, p->q + 8 * i, x + 32 * i, k, C, 8);
        LM_UNROLL
        for (int c = 0; c < C; c++) {
            const __m256i start = _mm256_set1_epi32(-8 * sums[(size_t)c * n_blocks + i]);
            const __m256 dx = _mm256_set1_ps(d[(size_t)c * n_blocks + i]);

            LM_UNROLL
            for (int h = 0; h < 2; h++) {
                const __m256i sum = _mm256_add_epi32(start, _mm256_madd_epi16(dot[c][h], _mm256_set1_epi16(1)));

                acc[c][h] = linear256_fma_int(sum, _mm256_mul_ps(_mm256_load_ps(p->d[i] + 8 * h), dx), acc[c][h]);
            }
        }
    }
    LM_UNROLL
    for (int c = 0; c < C; c++)
        linear256_end(t, c, 0, acc[c][0]), linear256_end(t, c, 1, acc[c][1]);
}

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

typedef struct linear256_panel_q8_0 {
    _Alignas(32) int16_t q[LINEAR256_VALUES / 2][2][16];        /* [2 values][half][row][2] */
    _Alignas(32) float d[LINEAR256_VALUES / 32][16];
} linear256_panel_q8_0;

LM_INLINE void linear256_unpack_q8_0(void *panel, const void *group, size_t at, size_t n)
{
    linear256_panel_q8_0 *p = panel;
    const lm_packed_q8_0 *b = (const lm_packed_q8_0 *)group + at / 32;
    /* the bytes 0, 1 (then 2, 3) of every lane as the upper bytes of 16 bits, to be shifted down with their sign */
    const __m256i first = _mm256_broadcastsi128_si256(_mm_set_epi8(13, -1, 12, -1, 9, -1, 8, -1, 5, -1, 4, -1, 1, -1, 0, -1));
    const __m256i second = _mm256_broadcastsi128_si256(_mm_set_epi8(15, -1, 14, -1, 11, -1, 10, -1, 7, -1, 6, -1, 3, -1, 2, -1));

    for (size_t i = 0; i < n / 32; i++, b++) {
        linear256_prefetch(b, sizeof *b);
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            _mm256_store_ps(p->d[i] + 8 * h, linear256_halves(b->d, h));
            LM_UNROLL
            for (int l = 0; l < 8; l++) {
                const __m256i line = linear256_line(b->q[l], h);

                _mm256_store_si256((__m256i *)(void *)p->q[16 * i + 2 * (size_t)l][h], _mm256_srai_epi16(_mm256_shuffle_epi8(line, first), 8));
                _mm256_store_si256((__m256i *)(void *)p->q[16 * i + 2 * (size_t)l + 1][h], _mm256_srai_epi16(_mm256_shuffle_epi8(line, second), 8));
            }
        }
    }
}

LM_INLINE void linear256_tile_q8_0(const void *panel, const linear256_tile *t, const int C)
{
    const linear256_panel_q8_0 *p = panel;
    const size_t k = t->k, n_blocks = k / 32;
    const int8_t *q = t->x->q32 + t->col * k + t->at;
    const float *d = t->x->d32 + t->col * n_blocks + t->at / 32;
    _Alignas(32) int16_t x[LINEAR256_COLS][LINEAR256_VALUES];
    __m256 acc[LINEAR256_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++) {
        for (size_t i = 0; i < t->n; i += 16)
            _mm256_store_si256((__m256i *)(void *)(x[c] + i), _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(q + (size_t)c * k + i))));
        acc[c][0] = linear256_begin(t, c, 0), acc[c][1] = linear256_begin(t, c, 1);
    }
    for (size_t i = 0; i < t->n / 32; i++) {
        __m256i s[LINEAR256_COLS][2];

        LM_UNROLL
        for (int l = 0; l < 16; l++) {
            const __m256i w0 = linear256_line(p->q[16 * i + (size_t)l], 0), w1 = linear256_line(p->q[16 * i + (size_t)l], 1);

            LM_UNROLL
            for (int c = 0; c < C; c++) {
                const __m256i v = linear256_dword(x[c] + 32 * i + 2 * (size_t)l), a = _mm256_madd_epi16(w0, v), z = _mm256_madd_epi16(w1, v);

                s[c][0] = l == 0 ? a : _mm256_add_epi32(s[c][0], a);
                s[c][1] = l == 0 ? z : _mm256_add_epi32(s[c][1], z);
                LM_RUNNING(s[c][0]);
                LM_RUNNING(s[c][1]);
            }
        }
        LM_UNROLL
        for (int c = 0; c < C; c++) {
            const __m256 dx = _mm256_set1_ps(d[(size_t)c * n_blocks + i]);

            LM_UNROLL
            for (int h = 0; h < 2; h++)
                acc[c][h] = linear256_fma_int(s[c][h], _mm256_mul_ps(_mm256_load_ps(p->d[i] + 8 * h), dx), acc[c][h]);
        }
    }
    LM_UNROLL
    for (int c = 0; c < C; c++)
        linear256_end(t, c, 0, acc[c][0]), linear256_end(t, c, 1, acc[c][1]);
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
        const linear256_six six = linear256_six_bits(b, h);

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
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            const linear256_six six = linear256_six_bits(b, h);
            __m256i isum[LINEAR256_DIRECT], msum[LINEAR256_DIRECT];

            LM_UNROLL
            for (int c = 0; c < C; c++)
                isum[c] = msum[c] = _mm256_setzero_si256();
            LM_UNROLL
            for (int j = 0; j < 8; j++) {
                const __m256i scale = linear256_byte_pair(six.scale[j / 4], j % 4, j % 4);
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
                    LM_RUNNING(dot[c]);
                    }
                }
                LM_UNROLL
                for (int c = 0; c < C; c++)
                    isum[c] = _mm256_add_epi32(isum[c], _mm256_madd_epi16(dot[c], scale));
                if (j % 2 == 0) {
                    const __m256i mins = linear256_byte_pair(six.min[j / 4], j % 4, j % 4 + 1);

                    LM_UNROLL
                    for (int c = 0; c < C; c++)
                        msum[c] = _mm256_add_epi32(msum[c], _mm256_madd_epi16(mins, _mm256_set1_epi32(sums[c][j / 2])));
                }
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

/* ---- the drivers ------------------------------------------------------------------------------------------------------- */

typedef void linear256_unpack_fn(void *panel, const void *group, size_t at, size_t n);
typedef void linear256_tile_fn(const void *panel, const linear256_tile *t);

LM_INLINE void linear256_panels(void *panel, float *y, size_t y_stride, const uint8_t *w, size_t group_bytes, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols,
                                size_t x_bytes, linear256_unpack_fn *unpack, linear256_tile_fn *const *tiles)
{
    const size_t block = LM_MAX(LINEAR256_X_BYTES / (k * x_bytes) / LINEAR256_COLS, (size_t)4) * LINEAR256_COLS;

    for (size_t c0 = 0; c0 < n_cols; c0 += block)
        for (size_t r = 0; r < n_rows; r += LM_GROUP)
            for (size_t at = 0; at < k; at += LINEAR256_VALUES) {
                size_t n = LM_MIN(k - at, (size_t)LINEAR256_VALUES), left = LM_MIN(n_cols - c0, block), n_tiles = (left + LINEAR256_COLS - 1) / LINEAR256_COLS;
                linear256_tile t = {y + c0 * y_stride + r, y_stride, k, c0, at, n, n_rows - r, x};

                unpack(panel, w + r / LM_GROUP * group_bytes, at, n);
                for (; n_tiles != 0; n_tiles--) {               /* tiles as even as they come */
                    size_t cols = (left + n_tiles - 1) / n_tiles;

                    tiles[cols - 1](panel, &t);
                    t.y += cols * y_stride;
                    t.col += cols;
                    left -= cols;
                }
            }
}

#define LINEAR256_DIRECT_N(type, C)                                                                              \
    for (size_t r = 0; r < n_rows; r += LM_GROUP) {                                                              \
        __m256 acc[LINEAR256_DIRECT][2];                                                                         \
                                                                                                                 \
        LM_UNROLL                                                                                                \
        for (int c = 0; c < (C); c++)                                                                            \
            acc[c][0] = acc[c][1] = _mm256_setzero_ps();                                                         \
        linear256_direct_##type(acc, (const uint8_t *)w + r / LM_GROUP * group_bytes, x, k, (C));                \
        LM_UNROLL                                                                                                \
        for (int c = 0; c < (C); c++) {                                                                          \
            linear256_put(y + (size_t)c * y_stride + r, n_rows - r, 0, acc[c][0]);                               \
            linear256_put(y + (size_t)c * y_stride + r, n_rows - r, 1, acc[c][1]);                               \
        }                                                                                                        \
    }

#define LINEAR256(type, panel_type, x_bytes, group_size)                                                         \
    static void linear256_##type##_1(const void *p, const linear256_tile *t) { linear256_tile_##type(p, t, 1); } \
    static void linear256_##type##_2(const void *p, const linear256_tile *t) { linear256_tile_##type(p, t, 2); } \
    static void linear256_##type##_3(const void *p, const linear256_tile *t) { linear256_tile_##type(p, t, 3); } \
    static void linear256_##type##_4(const void *p, const linear256_tile *t) { linear256_tile_##type(p, t, 4); } \
    static linear256_tile_fn *const linear256_##type##_tiles[LINEAR256_COLS] = {linear256_##type##_1, linear256_##type##_2, linear256_##type##_3, linear256_##type##_4}; \
    LM_NOINLINE static void linear256_##type##_few(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols) \
    {                                                                                                            \
        const size_t group_bytes = (group_size);                                                                 \
                                                                                                                 \
        if (n_cols == 1) {                                                                                       \
            LINEAR256_DIRECT_N(type, 1)                                                                          \
        } else {                                                                                                 \
            LINEAR256_DIRECT_N(type, 2)                                                                          \
        }                                                                                                        \
    }                                                                                                            \
    static void linear256_##type(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols) \
    {                                                                                                            \
        panel_type panel;                                                                                        \
                                                                                                                 \
        if (n_cols == 0)                                                                                         \
            return;                                                                                              \
        if (n_cols <= LINEAR256_DIRECT)                                                                          \
            linear256_##type##_few(y, y_stride, w, n_rows, k, x, n_cols);                                        \
        else                                                                                                     \
            linear256_panels(&panel, y, y_stride, w, (group_size), n_rows, k, x, n_cols, (x_bytes), linear256_unpack_##type, linear256_##type##_tiles); \
    }
LINEAR256(f32, linear256_panel_float, 4, k * 16 * 4)
LINEAR256(f16, linear256_panel_float, 4, k * 16 * 2)
LINEAR256(bf16, linear256_panel_float, 4, k * 16 * 2)
LINEAR256(q8_0, linear256_panel_q8_0, 1, k / 32 * sizeof(lm_packed_q8_0))
LINEAR256(q4_0, linear256_panel_q4_0, 1, k / 32 * sizeof(lm_packed_q4_0))
LINEAR256(q4_k, linear256_panel_q4_k, 1, k / 256 * sizeof(lm_packed_q4_k))
LINEAR256(q6_k, linear256_panel_q6_k, 1, k / 256 * sizeof(lm_packed_q6_k))
#undef LINEAR256
#undef LINEAR256_DIRECT_N

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
