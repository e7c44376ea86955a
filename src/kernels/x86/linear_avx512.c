/* SPDX-License-Identifier: MIT
 * Products with packed weights for AVX-512 with VNNI: floats, Q8_0, Q4_0. The shape stands in linear_avx512.h; the other types in
 * linear_avx512_32.c and linear_avx512_256.c. Bits: those of ref/linear_ref.c. Threads: any; nothing is kept.
 *
 * vpdpbusd wants one side unsigned: nibbles are (their -8 is taken off through the sum of x), Q8_0 gets +128 the same way. */
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
LINEAR512(f32, linear512_f32_tiles, 0, linear512_panel_float, 4, LINEAR512_VALUES, k * 16 * 4, LINEAR512_NO)
LINEAR512(f16, linear512_f16_tiles, 0, linear512_panel_float, 4, LINEAR512_VALUES, k * 16 * 2, LINEAR512_NO)
LINEAR512(bf16, linear512_bf16_tiles, 0, linear512_panel_float, 4, LINEAR512_VALUES, k * 16 * 2, LINEAR512_NO)
LINEAR512(q8_0, lm_linear512_tiles_32, 128, linear512_panel32, 1, LINEAR512_VALUES32, k / 32 * sizeof(lm_packed_q8_0), LINEAR512_YES)
LINEAR512(q4_0, lm_linear512_tiles_32, 8, linear512_panel32, 1, LINEAR512_VALUES32, k / 32 * sizeof(lm_packed_q4_0), LINEAR512_YES)

LM_TARGET_END

void lm_kernels_linear_avx512(lm_kernels *table)
{
    table->linear[LM_TYPE_F32] = lm_linear512_f32;
    table->linear[LM_TYPE_F16] = lm_linear512_f16;
    table->linear[LM_TYPE_BF16] = lm_linear512_bf16;
    table->linear[LM_TYPE_Q8_0] = lm_linear512_q8_0;
    table->linear[LM_TYPE_Q4_0] = lm_linear512_q4_0;
}

#else

void lm_kernels_linear_avx512(lm_kernels *table)
{
    (void)table;
}

#endif
