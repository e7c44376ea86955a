/* SPDX-License-Identifier: MIT
 * The one shape of products for AVX-512 with VNNI, which the files linear_avx512*.c fill with types.
 *
 * Two ways through a matrix:
 *  - few columns ("direct"): the packed bytes of a group are unpacked in registers and meet up to 8 columns. Bound by memory: the
 *    stream is prefetched 5 KB ahead, across the borders of blocks and groups.
 *  - many columns ("panels"): 256 or 512 values of two groups are unpacked once to bytes and scales in the first-level cache, and all
 *    columns of a block pass over them in tiles of 32 rows x 4 or 6 columns (an odd one more is multiplied directly): 12 integer and 12 float accumulators, each
 *    broadcast of activations feeding two products. Between panels the running sums wait in y. A chain over k is cut in time,
 *    never in order, so the bits do not know of it.
 *
 * A type brings linear512_unpack_TYPE (a group into a panel), linear512_direct_TYPE, one line LINEAR512(..., YES or NO to passes of
 * more than three columns), and tiles: its own (LINEAR512_TILES), or in blocks of 32 those that all such types share.
 * Floor 5. Threads: any; nothing is kept. */
#ifndef LM_KERNELS_X86_LINEAR_AVX512_H
#define LM_KERNELS_X86_LINEAR_AVX512_H

#include "kernels/kernels.h"

#include "kernels/x86/formats_avx512.h"
#include "tensor/type.h"

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX512

enum {
    LINEAR512_COLS = 6,                         /* columns of a tile */
    LINEAR512_DIRECT = 8,                       /* columns of a direct pass, where a type is worth the code */
    LINEAR512_FEW = 3,                          /* the same where it is not: two and one */
    LINEAR512_VALUES = 256,                     /* values of k in a panel */
    LINEAR512_VALUES32 = 512                    /* the same for blocks of 32: the sums wait in y half as often */
};

/* ---- what a tile is ---------------------------------------------------------------------------------------------------- */

/* C columns from column `col` on over the panel of values [at, at + n). y: row 0 of the two groups, column `col`. */
typedef struct linear512_tile {
    float *y;
    size_t y_stride, k, col, at, n;
    const lm_acts *x;
    int32_t bias;                               /* of blocks of 32: how far the panel's bytes stand above their values */
    __mmask16 mask[2];
} linear512_tile;

LM_INLINE __m512 linear512_get(const linear512_tile *t, int c, int g)
{
    return t->at == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(t->mask[g], t->y + (size_t)c * t->y_stride + 16 * g);
}

LM_INLINE void linear512_put(const linear512_tile *t, int c, int g, __m512 v)
{
    float *y = t->y + (size_t)c * t->y_stride + 16 * g;

    if (t->mask[g] == 0xffff)                   /* as nearly always, and faster */
        _mm512_storeu_ps(y, v);
    else
        _mm512_mask_storeu_ps(y, t->mask[g], v);
}

/* ---- blocks of 32: unsigned bytes, `bias` above their value, a scale, and a minimum where a type has one ------------------- */

typedef struct linear512_panel32 {
    _Alignas(64) uint8_t q[LINEAR512_VALUES32 / 4][2][64];      /* [4 values][group][row][4] */
    _Alignas(64) float d[LINEAR512_VALUES32 / 32][2][16];
    _Alignas(64) float m[LINEAR512_VALUES32 / 32][2][16];         /* the minimum, where a type has one */
} linear512_panel32;

LM_INLINE void linear512_keep32(linear512_panel32 *p, size_t i, int g, const __m512i v[8], __m512 d, __m512 m, const int has_min)
{
    _mm512_store_ps(p->d[i][g], d);
    if (has_min)
        _mm512_store_ps(p->m[i][g], m);
    LM_UNROLL
    for (int l = 0; l < 8; l++)
        _mm512_store_si512(p->q[8 * i + (size_t)l][g], v[l]);
}

/* A type of blocks of 32 into its panel: its lines, scale and minimum of formats_avx512.h. */
#define LINEAR512_UNPACK32(type, has_min)                                                                                           \
    LM_INLINE void linear512_unpack_##type(void *panel, const void *group, int g, size_t at, size_t n)                              \
    {                                                                                                                               \
        const lm_packed_##type *b = (const lm_packed_##type *)group + at / 32;                                                      \
                                                                                                                                    \
        for (size_t i = 0; i < n / 32; i++, b++) {                                                                                  \
            __m512i v[8];                                                                                                           \
                                                                                                                                    \
            linear512_prefetch(b, sizeof *b);                                                                                       \
            linear512_lines_##type(v, b);                                                                                           \
            linear512_keep32(panel, i, g, v, linear512_scale_##type(b), linear512_min_##type(b), (has_min));                        \
        }                                                                                                                           \
    }

/* Types with a minimum have no bias. */
LM_INLINE void linear512_tile32(const void *panel, const linear512_tile *t, const int C, const int has_min)
{
    const linear512_panel32 *p = panel;
    const size_t k = t->k, n_blocks = t->n / 32;
    const int8_t *x = t->x->q32 + t->col * k + t->at;
    const float *d = t->x->d32 + t->col * (k / 32) + t->at / 32;
    const int32_t *sums = t->x->s32 + t->col * (k / 32) + t->at / 32;
    _Alignas(64) int32_t start[LINEAR512_COLS][16];
    _Alignas(64) float ones[LINEAR512_COLS][16];
    __m512 acc[LINEAR512_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++) {
        __m512i sum = _mm512_maskz_loadu_epi32((__mmask16)((1u << n_blocks) - 1), sums + (size_t)c * (k / 32));

        if (has_min)
            _mm512_store_ps(ones[c], _mm512_cvtepi32_ps(sum));
        else
            _mm512_store_si512(start[c], _mm512_mullo_epi32(sum, _mm512_set1_epi32(-t->bias)));
    }
    LM_UNROLL
    for (int c = 0; c < C; c++)
        acc[c][0] = linear512_get(t, c, 0), acc[c][1] = linear512_get(t, c, 1);
    for (size_t i = 0; i < n_blocks; i++) {
        __m512i s[LINEAR512_COLS][2];
        __m512 d0 = _mm512_load_ps(p->d[i][0]), d1 = _mm512_load_ps(p->d[i][1]);

        LM_UNROLL
        for (int c = 0; c < C; c++)
            s[c][0] = s[c][1] = has_min ? _mm512_setzero_si512() : _mm512_set1_epi32(start[c][i]);
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
            if (has_min) {
                const __m512 sum = _mm512_set1_ps(ones[c][i]);

                acc[c][0] = _mm512_fmadd_ps(sum, _mm512_mul_ps(_mm512_load_ps(p->m[i][0]), dx), acc[c][0]);
                acc[c][1] = _mm512_fmadd_ps(sum, _mm512_mul_ps(_mm512_load_ps(p->m[i][1]), dx), acc[c][1]);
            }
        }
    }
    LM_UNROLL
    for (int c = 0; c < C; c++)
        linear512_put(t, c, 0, acc[c][0]), linear512_put(t, c, 1, acc[c][1]);
}

/* ---- the drivers ------------------------------------------------------------------------------------------------------ */

typedef void linear512_unpack_fn(void *panel, const void *group, int g, size_t at, size_t n);
typedef void linear512_tile_fn(const void *panel, const linear512_tile *t);

LM_INLINE void linear512_panels(void *panel, float *y, size_t y_stride, const uint8_t *w, size_t group_bytes, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols,
                                size_t values, linear512_unpack_fn *unpack, linear512_tile_fn *const *tiles, int bias)
{
    for (size_t at = 0; at < k; at += values) {                 /* outside: a slice of all columns stays in cache for all rows */
        const size_t n = LM_MIN(k - at, values);

        for (size_t r = 0; r < n_rows; r += 2 * LM_GROUP) {
            const uint8_t *group = w + r / LM_GROUP * group_bytes;
            const int second = n_rows - r > LM_GROUP;           /* without one, the first stands in and is not stored */
            linear512_tile t = {y + r, y_stride, k, 0, at, n, x, bias, {linear512_mask(n_rows - r), second ? linear512_mask(n_rows - r - LM_GROUP) : 0}};

            unpack(panel, group, 0, at, n);
            unpack(panel, second ? group + group_bytes : group, 1, at, n);
            for (size_t left = n_cols, cols; left != 0; left -= cols) {     /* in sixes, the last ones in fours: no rest is two */
                cols = left > 9 || left == 6 ? 6 : 4;
                tiles[cols / 2 - 2](panel, &t);
                t.y += cols * y_stride;
                t.col += cols;
            }
        }
    }
}

#define LINEAR512_DIRECT_N(type, C)                                                                              \
    case (C): {                                                                                                  \
        __m512 acc[C];                                                                                           \
                                                                                                                 \
        LM_UNROLL                                                                                                \
        for (int i = 0; i < (C); i++)                                                                            \
            acc[i] = _mm512_setzero_ps();                                                                        \
        linear512_direct_##type(acc, group, &part, k, (C));                                                      \
        LM_UNROLL                                                                                                \
        for (int i = 0; i < (C); i++)                                                                            \
            _mm512_mask_storeu_ps(y + (c + (size_t)i) * y_stride + r, mask, acc[i]);                             \
        break;                                                                                                   \
    }

#define LINEAR512_YES(code) code
#define LINEAR512_NO(code)
/* The sizes of a tile as the table linear512_NAME_tiles */
#define LINEAR512_TILES(name)                                                                                                               \
    static void linear512_##name##_4(const void *p, const linear512_tile *t) { linear512_tile_##name(p, t, 4); }                            \
    static void linear512_##name##_6(const void *p, const linear512_tile *t) { linear512_tile_##name(p, t, 6); }                            \
    static linear512_tile_fn *const linear512_##name##_tiles[] = {linear512_##name##_4, linear512_##name##_6};

/* Of types in blocks of 32, without and with a minimum (linear_avx512_32.c): the same code for all of them. */
extern linear512_tile_fn *const lm_linear512_tiles_32[2], *const lm_linear512_tiles_32_min[2];

#define LINEAR512(type, tiles, bias, panel_type, x_bytes, values, group_size, WIDE)                                                         \
    LM_NOINLINE static void linear512_##type##_few(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols)\
    {                                                                                                                                       \
        const size_t group_bytes = (group_size);                                                                                            \
                                                                                                                                            \
        for (size_t r = 0; r < n_rows; r += LM_GROUP) {                                                                                     \
            const uint8_t *group = (const uint8_t *)w + r / LM_GROUP * group_bytes;                                                         \
            const __mmask16 mask = linear512_mask(n_rows - r);                                                                              \
                                                                                                                                            \
            for (size_t c = 0, n; c < n_cols; c += n) {         /* a second pass finds the group in cache */                                \
                const lm_acts part = lm_acts_from(x, k, c);                                                                                 \
                                                                                                                                            \
                n = n_cols - c;                                                                                                             \
                n -= n == 3 || n == 5 || n == 7;                                                                                            \
                switch (n) {                                                                                                                \
                    LINEAR512_DIRECT_N(type, 1)                                                                                             \
                    LINEAR512_DIRECT_N(type, 2)                                                                                             \
                    WIDE(LINEAR512_DIRECT_N(type, 4))                                                                                       \
                    WIDE(LINEAR512_DIRECT_N(type, 6))                                                                                       \
                    WIDE(LINEAR512_DIRECT_N(type, 8))                                                                                       \
                    default: break;                                                                                                         \
                }                                                                                                                           \
            }                                                                                                                               \
        }                                                                                                                                   \
    }                                                                                                                                       \
    void lm_linear512_##type(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols)            \
    {                                                                                                                                       \
        const size_t few = WIDE(LINEAR512_DIRECT +) 0;                                                                                      \
        panel_type panel;                                                                                                                   \
                                                                                                                                            \
        if (n_cols == 0)                                                                                                                    \
            return;                                                                                                                         \
        if (n_cols <= LM_MAX(few, (size_t)LINEAR512_FEW)) {                                                                                 \
            linear512_##type##_few(y, y_stride, w, n_rows, k, x, n_cols);                                                                   \
            return;                                                                                                                         \
        }                                                                                                                                   \
        linear512_panels(&panel, y, y_stride, w, (group_size), n_rows, k, x, n_cols - n_cols % 2, (values), linear512_unpack_##type, tiles, (bias));\
        if (n_cols % 2 != 0) {                                                                                                              \
            const lm_acts last = lm_acts_from(x, k, n_cols - 1);                                                                            \
                                                                                                                                            \
            linear512_##type##_few(y + (n_cols - 1) * y_stride, y_stride, w, n_rows, k, &last, 1);                                          \
        }                                                                                                                                   \
    }

LM_TARGET_END
#endif

#endif
