/* SPDX-License-Identifier: MIT
 * The one shape of products for AVX2, which the files linear_avx2*.c fill with types.
 *
 * The same two ways as in linear_avx512.h: one or two columns read the packed bytes directly, more pass over panels (256 values
 * of one group, unpacked once) in tiles of 16 rows x 2 or 4 columns, whose running sums wait in y between panels; an odd column
 * more is read directly too.
 *
 * vpmaddubsw saturates, so a type knows how many of its products fit 16 bits together (linear256_dot16); where not two fit, the
 * panel holds 16-bit values for vpmaddwd.
 *
 * A type brings linear256_unpack_TYPE (a group into a panel), linear256_direct_TYPE, one line LINEAR256(...), and tiles: its own
 * (LINEAR256_TILES), or those of other types with the same panel.
 * Floor 5. Threads: any; nothing is kept. */
#ifndef LM_KERNELS_X86_LINEAR_AVX2_H
#define LM_KERNELS_X86_LINEAR_AVX2_H

#include "kernels/kernels.h"

#include "kernels/layout.h"
#include "kernels/x86/x86.h"
#include "tensor/blocks.h"
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

LM_INLINE linear256_six linear256_six_bits(const uint8_t (*lines)[16][4], int h)
{
    const __m256i s0 = linear256_line(lines[0], h), s1 = linear256_line(lines[1], h), s2 = linear256_line(lines[2], h);
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

/* A signed scale in both 16-bit halves of a lane */
LM_INLINE __m256i linear256_scale_pairs(const int8_t scales[16], int h)
{
    __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(scales + 8 * h)));

    return _mm256_or_si256(_mm256_and_si256(wide, _mm256_set1_epi32(0xffff)), _mm256_slli_epi32(wide, 16));
}

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

/* ---- half of 32 values as eight lines of bytes ----------------------------------------------------------------------------- */

LM_INLINE void linear256_quads(__m256i v[8], const uint8_t (*q)[16][4], int h)
{
    LM_UNROLL
    for (int l = 0; l < 4; l++) {
        const __m256i line = linear256_line(q[l], h);

        v[2 * l] = linear256_low(line);
        v[2 * l + 1] = linear256_high(line);
    }
}

/* Bit t of a line of single bits becomes bit 4 of line t. */
LM_INLINE void linear256_fifth_bits(__m256i v[8], __m256i bits)
{
    LM_UNROLL
    for (int t = 0; t < 8; t++)
        v[t] = _mm256_or_si256(v[t], _mm256_and_si256(t < 4 ? _mm256_slli_epi16(bits, 4 - t) : _mm256_srli_epi16(bits, t - 4), _mm256_set1_epi8(16)));
}

/* The four quads of a line of crumbs */
LM_INLINE void linear256_crumbs(__m256i v[4], __m256i line)
{
    LM_UNROLL
    for (int t = 0; t < 4; t++)
        v[t] = _mm256_and_si256(_mm256_srli_epi16(line, 2 * t), _mm256_set1_epi8(3));
}

/* Nibbles through a table of sixteen bytes, twice the same */
LM_INLINE void linear256_looked_up(__m256i v[8], const uint8_t (*q)[16][4], int h, __m256i table)
{
    linear256_quads(v, q, h);
    LM_UNROLL
    for (int l = 0; l < 8; l++)
        v[l] = _mm256_shuffle_epi8(table, v[l]);
}

/* The values of IQ4_NL and IQ4_XS */
LM_INLINE __m256i linear256_table_iq4(void) { return _mm256_broadcastsi128_si256(_mm_setr_epi8(LM_IQ4_VALUES)); }

/* The signed bytes a and a + 1 of every lane as two numbers of 16 bits: as upper bytes, to be shifted down with their sign. */
LM_INLINE __m256i linear256_words(__m256i line, int a)
{
    const int at = 0x01800080 + a * 0x1000100;

    return _mm256_srai_epi16(_mm256_shuffle_epi8(line, _mm256_broadcastsi128_si256(_mm_set_epi32(at + 0xc000c00, at + 0x8000800, at + 0x4000400, at))), 8);
}

/* n lines of unsigned bytes times 4 n values, in 16 bits: the caller knows that they fit. */
LM_INLINE __m256i linear256_dot_lines(const __m256i *v, const int8_t *q, const int n)
{
    __m256i dot = _mm256_maddubs_epi16(v[0], linear256_dword(q));

    LM_UNROLL
    for (int l = 1; l < n; l++) {
        dot = _mm256_add_epi16(dot, _mm256_maddubs_epi16(v[l], linear256_dword(q + 4 * l)));
        LM_RUNNING(dot);
    }
    return dot;
}

/* Eight lines of signed bytes (-127..127) times 32 values times `scale`, which stands in both halves of a lane: |w| is the unsigned
 * side and x with the sign of w the other; 2 * 127 * 127 = 32258. */
LM_INLINE __m256i linear256_dot_signed(const __m256i v[8], const int8_t *q, __m256i scale)
{
    __m256i sum = _mm256_setzero_si256();

    LM_UNROLL
    for (int l = 0; l < 8; l++) {
        const __m256i x = _mm256_sign_epi8(linear256_dword(q + 4 * l), v[l]);

        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(v[l]), x), scale));
        LM_RUNNING(sum);
    }
    return sum;
}

/* ---- what a tile is ---------------------------------------------------------------------------------------------------- */

/* C columns from column `col` on over the panel of values [at, at + n). y: row 0 of the group, column `col`. */
typedef struct linear256_tile {
    float *y;
    size_t y_stride, k, col, at, n, left;                       /* left: rows that exist, 16 and more are 16 */
    const lm_acts *x;
    int32_t bias;                                               /* of blocks of 32: how far the panel's bytes stand above their values */
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

/* ---- blocks of 32 as unsigned bytes, `bias` above their value, of which `together` lines of products fit 16 bits ----------------- */

typedef struct linear256_panel_bytes {
    _Alignas(32) uint8_t q[LINEAR256_VALUES / 4][64];
    _Alignas(32) float d[LINEAR256_VALUES / 32][16];
    _Alignas(32) float m[LINEAR256_VALUES / 32][16];            /* the minimum, where a type has one */
} linear256_panel_bytes;

/* Types with a minimum have no bias. */
LM_INLINE void linear256_tile_bytes(const void *panel, const linear256_tile *t, const int C, const int together, const int has_min)
{
    const linear256_panel_bytes *p = panel;
    const size_t k = t->k, n_blocks = k / 32;
    const int8_t *x = t->x->q32 + t->col * k + t->at;
    const float *d = t->x->d32 + t->col * n_blocks + t->at / 32;
    const int32_t *sums = t->x->s32 + t->col * n_blocks + t->at / 32;
    __m256 acc[LINEAR256_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++)
        acc[c][0] = linear256_begin(t, c, 0), acc[c][1] = linear256_begin(t, c, 1);
    for (size_t i = 0; i < t->n / 32; i++) {
        __m256i dot[LINEAR256_COLS][2], sum[LINEAR256_COLS][2];

        LM_UNROLL
        for (int l = 0; l < 8; l += together) {
            linear256_dot16(dot, p->q + 8 * i + (size_t)l, x + 32 * i + 4 * (size_t)l, k, C, together);
            LM_UNROLL
            for (int c = 0; c < C; c++)
                LM_UNROLL
                for (int h = 0; h < 2; h++) {
                    const __m256i wide = _mm256_madd_epi16(dot[c][h], _mm256_set1_epi16(1));

                    sum[c][h] = l == 0 ? wide : _mm256_add_epi32(sum[c][h], wide);
                }
        }
        LM_UNROLL
        for (int c = 0; c < C; c++) {
            const int32_t ones = sums[(size_t)c * n_blocks + i];
            const __m256 dx = _mm256_set1_ps(d[(size_t)c * n_blocks + i]);

            LM_UNROLL
            for (int h = 0; h < 2; h++) {
                const __m256i isum = has_min ? sum[c][h] : _mm256_add_epi32(_mm256_set1_epi32(-t->bias * ones), sum[c][h]);

                acc[c][h] = linear256_fma_int(isum, _mm256_mul_ps(_mm256_load_ps(p->d[i] + 8 * h), dx), acc[c][h]);
                if (has_min)
                    acc[c][h] = _mm256_fmadd_ps(_mm256_set1_ps((float)ones), _mm256_mul_ps(_mm256_load_ps(p->m[i] + 8 * h), dx), acc[c][h]);
            }
        }
    }
    LM_UNROLL
    for (int c = 0; c < C; c++)
        linear256_end(t, c, 0, acc[c][0]), linear256_end(t, c, 1, acc[c][1]);
}

/* ---- blocks of 32 as 16-bit values -------------------------------------------------------------------------------------------- */

typedef struct linear256_panel_words {
    _Alignas(32) int16_t q[LINEAR256_VALUES / 2][2][16];        /* [2 values][half][row][2] */
    _Alignas(32) float d[LINEAR256_VALUES / 32][16];
} linear256_panel_words;

LM_INLINE void linear256_widen(int16_t *out, const int8_t *q, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        _mm256_store_si256((__m256i *)(void *)(out + i), _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(q + i))));
}

/* 32 values w times those of x from `at` on, added to s */
LM_INLINE void linear256_dot_words(__m256i s[][2], const int16_t (*w)[2][16], const int16_t (*x)[LINEAR256_VALUES], size_t at, const int C)
{
    LM_UNROLL
    for (int l = 0; l < 16; l++) {
        const __m256i w0 = linear256_line(w[l], 0), w1 = linear256_line(w[l], 1);

        LM_UNROLL
        for (int c = 0; c < C; c++) {
            const __m256i v = linear256_dword(x[c] + at + 2 * (size_t)l);

            s[c][0] = _mm256_add_epi32(s[c][0], _mm256_madd_epi16(w0, v));
            s[c][1] = _mm256_add_epi32(s[c][1], _mm256_madd_epi16(w1, v));
            LM_RUNNING(s[c][0]);
            LM_RUNNING(s[c][1]);
        }
    }
}

LM_INLINE void linear256_tile_words(const void *panel, const linear256_tile *t, const int C)
{
    const linear256_panel_words *p = panel;
    const size_t k = t->k, n_blocks = k / 32;
    const int8_t *q = t->x->q32 + t->col * k + t->at;
    const float *d = t->x->d32 + t->col * n_blocks + t->at / 32;
    _Alignas(32) int16_t x[LINEAR256_COLS][LINEAR256_VALUES];
    __m256 acc[LINEAR256_COLS][2];

    LM_UNROLL
    for (int c = 0; c < C; c++) {
        linear256_widen(x[c], q + (size_t)c * k, t->n);
        acc[c][0] = linear256_begin(t, c, 0), acc[c][1] = linear256_begin(t, c, 1);
    }
    for (size_t i = 0; i < t->n / 32; i++) {
        __m256i s[LINEAR256_COLS][2];

        LM_UNROLL
        for (int c = 0; c < C; c++)
            s[c][0] = s[c][1] = _mm256_setzero_si256();
        linear256_dot_words(s, p->q + 16 * i, x, 32 * i, C);
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

/* ---- the drivers ------------------------------------------------------------------------------------------------------- */

typedef void linear256_unpack_fn(void *panel, const void *group, size_t at, size_t n);
typedef void linear256_tile_fn(const void *panel, const linear256_tile *t);

LM_INLINE void linear256_panels(void *panel, float *y, size_t y_stride, const uint8_t *w, size_t group_bytes, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols,
                                size_t x_bytes, linear256_unpack_fn *unpack, linear256_tile_fn *const *tiles, int bias)
{
    const size_t block = LM_MAX(LINEAR256_X_BYTES / (k * x_bytes) / LINEAR256_COLS, (size_t)4) * LINEAR256_COLS;

    for (size_t c0 = 0, n_here; c0 < n_cols; c0 += n_here) {
        n_here = n_cols - c0 < block + LINEAR256_COLS ? n_cols - c0 : block;    /* a rest joins the block before it */
        for (size_t r = 0; r < n_rows; r += LM_GROUP)
            for (size_t at = 0; at < k; at += LINEAR256_VALUES) {
                size_t n = LM_MIN(k - at, (size_t)LINEAR256_VALUES), left = n_here;
                linear256_tile t = {y + c0 * y_stride + r, y_stride, k, c0, at, n, n_rows - r, x, bias};

                unpack(panel, w + r / LM_GROUP * group_bytes, at, n);
                for (size_t cols; left != 0; left -= cols) {    /* in fours, and a two */
                    cols = left > 2 ? 4 : 2;
                    tiles[cols / 2 - 1](panel, &t);
                    t.y += cols * y_stride;
                    t.col += cols;
                }
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

/* The sizes of a tile as the table linear256_NAME_tiles */
#define LINEAR256_TILES(name)                                                                                    \
    static void linear256_##name##_2(const void *p, const linear256_tile *t) { linear256_tile_##name(p, t, 2); } \
    static void linear256_##name##_4(const void *p, const linear256_tile *t) { linear256_tile_##name(p, t, 4); } \
    static linear256_tile_fn *const linear256_##name##_tiles[] = {linear256_##name##_2, linear256_##name##_4};

/* Of Q8_0 and IQ4_NL: 16-bit values (linear_avx2.c) */
extern linear256_tile_fn *const lm_linear256_tiles_words[2];

#define LINEAR256(type, tiles, bias, panel_type, x_bytes, group_size)                                            \
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
        if (n_cols <= LINEAR256_DIRECT) {                                                                        \
            linear256_##type##_few(y, y_stride, w, n_rows, k, x, n_cols);                                        \
            return;                                                                                              \
        }                                                                                                        \
        linear256_panels(&panel, y, y_stride, w, (group_size), n_rows, k, x, n_cols - n_cols % 2, (x_bytes), linear256_unpack_##type, tiles, (bias));\
        if (n_cols % 2 != 0) {                                                                                   \
            const lm_acts last = lm_acts_from(x, k, n_cols - 1);                                                 \
                                                                                                                 \
            linear256_##type##_few(y + (n_cols - 1) * y_stride, y_stride, w, n_rows, k, &last, 1);               \
        }                                                                                                        \
    }

LM_TARGET_END
#endif

#endif
