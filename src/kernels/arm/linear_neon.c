/* SPDX-License-Identifier: MIT
 * Products with packed weights for any aarch64: quantized ones by widening multiplications (no dot product instructions), and F32,
 * F16, BF16 for every rung. Bits: those of ref/linear_ref.c. Threads: any; nothing is kept.
 *
 * A sum of two products fits 16 bits: 2 * 128 * 127 = 32512. So two multiplications are added before they are widened, and each
 * lane's sum waits as two halves in a register of four. */
#include "kernels/arm/linear_neon.h"

#include "kernels/kernels.h"
#include "kernels/layout.h"
#include "tensor/type.h"
#include "base/compiler.h"

LM_EXACT_ARITHMETIC

#if LM_ARM

#define LINEAR_NEON(name) linear_neon_##name

typedef struct linear_neon_sum { int32x4_t a, z; } linear_neon_sum;     /* rows 0, 1 and rows 2, 3: two halves each */

LM_INLINE linear_neon_sum linear_neon_start(int32_t n)
{
    const int32x4_t v = vreinterpretq_s32_u64(vdupq_n_u64((uint32_t)n));

    return (linear_neon_sum){ v, v };
}

LM_INLINE int8x16_t linear_neon_four(int8x16_t x, int i)
{
    const int32x4_t v = vreinterpretq_s32_s8(x);

    return vreinterpretq_s8_s32(i == 0 ? vdupq_laneq_s32(v, 0) : i == 1 ? vdupq_laneq_s32(v, 1) : i == 2 ? vdupq_laneq_s32(v, 2) : vdupq_laneq_s32(v, 3));
}

LM_INLINE linear_neon_sum linear_neon_dot(linear_neon_sum s, const int8x16_t w[4], int8x16_t x)
{
    LM_UNROLL
    for (int i = 0; i < 4; i += 2) {
        const int8x16_t x0 = linear_neon_four(x, i), x1 = linear_neon_four(x, i + 1);

        s.a = vpadalq_s16(s.a, vmlal_s8(vmull_s8(vget_low_s8(w[i]), vget_low_s8(x0)), vget_low_s8(w[i + 1]), vget_low_s8(x1)));
        s.z = vpadalq_s16(s.z, vmlal_high_s8(vmull_high_s8(w[i], x0), w[i + 1], x1));
    }
    return s;
}

LM_INLINE int32x4_t linear_neon_total(linear_neon_sum s) { return vpaddq_s32(s.a, s.z); }

enum { linear_neon_PARTS = 2 * LINEAR_NEON_COLS };

LM_INLINE void linear_neon_keep(int8_t panel[64], const int8x16_t w[4])
{
    LM_UNROLL
    for (int i = 0; i < 4; i++)
        vst1q_s8(panel + 16 * i, w[i]);
}

/* A sum takes two registers: two columns at a time. */
LM_INLINE void linear_neon_tile(int32x4_t s[linear_neon_PARTS], const int8_t (*q)[64], const int8_t *x, size_t k, const int C, const int n)
{
    LM_UNROLL
    for (int c0 = 0; c0 < C; c0 += 2) {
        linear_neon_sum sum[4];

        LM_UNROLL
        for (int i = 0; i < 4; i++)
            sum[i] = linear_neon_start(0);
        for (int u = 0; u < n; u++) {           /* not unrolled: compilers would load ahead what registers cannot hold */
            LM_UNROLL
            for (int h = 0; h < 2; h++) {
                int8x16_t w[4];

                LM_UNROLL
                for (int i = 0; i < 4; i++)
                    w[i] = vld1q_s8(q[4 * u + h] + 16 * i);
                LM_UNROLL
                for (int c = 0; c < 2; c++)
                    if (c0 + c < C)
                        sum[2 * c + h] = linear_neon_dot(sum[2 * c + h], w, vld1q_s8(x + (size_t)(c0 + c) * k + 16 * u));
            }
        }
        LM_UNROLL
        for (int i = 0; i < 4; i++)
            if (c0 + i / 2 < C)
                s[2 * c0 + i] = linear_neon_total(sum[i]);
    }
}

LM_INLINE void linear_neon_scaled(int32x4_t isum[linear_neon_PARTS], const int32x4_t s[linear_neon_PARTS], const int32_t scale[8], const int C)
{
    LM_UNROLL
    for (int i = 0; i < 2 * C; i++)
        isum[i] = vmlaq_s32(isum[i], s[i], vld1q_s32(scale + 4 * (i % 2)));
}

LM_INLINE void linear_neon_order(int32x4_t out[][2], const int32x4_t s[linear_neon_PARTS], const int C)
{
    LM_UNROLL
    for (int i = 0; i < 2 * C; i++)
        out[i / 2][i % 2] = s[i];
}

#include "kernels/arm/linear_neon.inc"
#undef LINEAR_NEON

/* ---- F32, F16, BF16: the panel is the packed group itself, of which a part of k stays in cache over the columns --------- */

LM_INLINE void linear_neon_widen_f32(float32x4_t w[4], const void *p, size_t i)
{
    LM_UNROLL
    for (int q = 0; q < 4; q++)
        w[q] = vld1q_f32((const float *)p + 16 * i + 4 * q);
}

LM_INLINE void linear_neon_widen_f16(float32x4_t w[4], const void *p, size_t i)
{
    LM_UNROLL
    for (int q = 0; q < 4; q++)
        w[q] = unpack_neon_halves((const uint16_t *)p + 16 * i, q);
}

LM_INLINE void linear_neon_widen_bf16(float32x4_t w[4], const void *p, size_t i)
{
    LM_UNROLL
    for (int q = 0; q < 4; q++)
        w[q] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16((const uint16_t *)p + 16 * i + 4 * q), 16));
}

typedef void linear_neon_float_fn(const uint8_t *w, const linear_neon_tile_at *t);

LM_INLINE void linear_neon_floats(float *y, size_t y_stride, const uint8_t *w, size_t bytes, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols,
                                  linear_neon_float_fn *const *tiles)
{
    const size_t block = LM_MAX(LINEAR_NEON_X_BYTES / sizeof(float) / LM_MAX(k, (size_t)1) / LINEAR_NEON_COLS, (size_t)4) * LINEAR_NEON_COLS;
    const size_t values = n_cols <= LINEAR_NEON_COLS ? k : LINEAR_NEON_VALUES;      /* read once: one chain through */

    for (size_t c0 = 0; c0 < n_cols; c0 += block)
        for (size_t r = 0; r < n_rows; r += LM_GROUP)
            for (size_t at = 0; at < k; at += values) {
                linear_neon_tile_at t = {y + c0 * y_stride + r, y_stride, k, c0, at, LM_MIN(k - at, values), n_rows - r, x};

                for (size_t left = LM_MIN(n_cols - c0, block), n_tiles = (left + LINEAR_NEON_COLS - 1) / LINEAR_NEON_COLS; n_tiles != 0; n_tiles--) {
                    size_t cols = (left + n_tiles - 1) / n_tiles;

                    tiles[cols - 1](w + (r * k + at * LM_GROUP) * bytes, &t);
                    t.y += cols * y_stride;
                    t.col += cols;
                    left -= cols;
                }
            }
}

#define LINEAR_NEON_FLOAT(type, bytes)                                                                                            \
    LM_INLINE void linear_neon_tile_##type(const uint8_t *w, const linear_neon_tile_at *t, const int C)                           \
    {                                                                                                                             \
        const float *x = t->x->f32 + t->col * t->k + t->at;                                                                       \
        float32x4_t acc[LINEAR_NEON_COLS][4];                                                                                     \
                                                                                                                                  \
        LM_UNROLL                                                                                                                 \
        for (int i = 0; i < 4 * C; i++)                                                                                           \
            acc[i / 4][i % 4] = linear_neon_begin(t, i / 4, i % 4);                                                               \
        for (size_t i = 0; i < t->n; i++) {                                                                                       \
            float32x4_t v[4];                                                                                                     \
                                                                                                                                  \
            linear_neon_widen_##type(v, w, i);                                                                                    \
            LM_UNROLL                                                                                                             \
            for (int j = 0; j < 4 * C; j++)                                                                                       \
                acc[j / 4][j % 4] = vfmaq_n_f32(acc[j / 4][j % 4], v[j % 4], x[(size_t)(j / 4) * t->k + i]);                      \
        }                                                                                                                         \
        LM_UNROLL                                                                                                                 \
        for (int i = 0; i < 4 * C; i++)                                                                                           \
            linear_neon_end(t, i / 4, i % 4, acc[i / 4][i % 4]);                                                                  \
    }                                                                                                                             \
    static void linear_neon_##type##_1(const uint8_t *w, const linear_neon_tile_at *t) { linear_neon_tile_##type(w, t, 1); }      \
    static void linear_neon_##type##_2(const uint8_t *w, const linear_neon_tile_at *t) { linear_neon_tile_##type(w, t, 2); }      \
    static void linear_neon_##type##_3(const uint8_t *w, const linear_neon_tile_at *t) { linear_neon_tile_##type(w, t, 3); }      \
    static void linear_neon_##type##_4(const uint8_t *w, const linear_neon_tile_at *t) { linear_neon_tile_##type(w, t, 4); }      \
    static void linear_neon_##type(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols) \
    {                                                                                                                             \
        static linear_neon_float_fn *const tiles[LINEAR_NEON_COLS] = { linear_neon_##type##_1, linear_neon_##type##_2,            \
                                                                       linear_neon_##type##_3, linear_neon_##type##_4 };          \
                                                                                                                                  \
        linear_neon_floats(y, y_stride, w, (bytes), n_rows, k, x, n_cols, tiles);                                                 \
    }
LINEAR_NEON_FLOAT(f32, 4)
LINEAR_NEON_FLOAT(f16, 2)
LINEAR_NEON_FLOAT(bf16, 2)
#undef LINEAR_NEON_FLOAT

void lm_kernels_linear_neon(lm_kernels *table)
{
    linear_neon_fill(table);
    table->linear[LM_TYPE_F32] = linear_neon_f32;
    table->linear[LM_TYPE_F16] = linear_neon_f16;
    table->linear[LM_TYPE_BF16] = linear_neon_bf16;
}
#else
void lm_kernels_linear_neon(lm_kernels *table) { (void)table; }
#endif
