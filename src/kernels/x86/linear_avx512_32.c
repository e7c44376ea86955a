/* SPDX-License-Identifier: MIT
 * Products for AVX-512 with VNNI of the types in blocks of 32 that came after Q8_0 and Q4_0: Q4_1, Q5_0, Q5_1, IQ4_NL, MXFP4, in the
 * shape of linear_avx512.h. A type is a front end: the 32 values of a block as eight lines of unsigned bytes, a known bias above
 * their value, with a scale and for two of them a minimum. Bits: those of ref/linear_ref_32.c. Threads: any; nothing is kept. */
#include "kernels/x86/linear_avx512.h"

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX512

/* ---- the tiles of all blocks of 32, Q8_0's and Q4_0's too ------------------------------------------------------------------ */

#define LINEAR512_TILE32(C, has_min) static void linear512_tile32_##C##_##has_min(const void *p, const linear512_tile *t) { linear512_tile32(p, t, (C), (has_min)); }
LINEAR512_TILE32(4, 0)
LINEAR512_TILE32(6, 0)
LINEAR512_TILE32(4, 1)
LINEAR512_TILE32(6, 1)
#undef LINEAR512_TILE32
linear512_tile_fn *const lm_linear512_tiles_32[2] = {linear512_tile32_4_0, linear512_tile32_6_0};
linear512_tile_fn *const lm_linear512_tiles_32_min[2] = {linear512_tile32_4_1, linear512_tile32_6_1};

/* ---- into the panel, and directly ---------------------------------------------------------------------------------------- */

/* Block i of a group, of scale d and minimum m, times C columns */
LM_INLINE void linear512_block32(__m512 *acc, const __m512i v[8], __m512 d, __m512 m, size_t i, const lm_acts *x, size_t k, const int C, const int bias, const int has_min)
{
    LM_UNROLL
    for (int c = 0; c < C; c++) {
        const int8_t *q = x->q32 + (size_t)c * k + 32 * i;
        const int32_t ones = x->s32[(size_t)c * (k / 32) + i];
        const __m512 dx = _mm512_set1_ps(x->d32[(size_t)c * (k / 32) + i]);
        __m512i s = bias ? _mm512_set1_epi32(-bias * ones) : _mm512_setzero_si512(), z = _mm512_setzero_si512();

        LM_UNROLL
        for (int l = 0; l < 8; l += 2) {                        /* two sums: a product waits for the one before it */
            s = _mm512_dpbusd_epi32(s, v[l], linear512_dword(q + 4 * l));
            z = _mm512_dpbusd_epi32(z, v[l + 1], linear512_dword(q + 4 * l + 4));
        }
        acc[c] = linear512_fma_int(_mm512_add_epi32(s, z), _mm512_mul_ps(d, dx), acc[c]);
        if (has_min)
            acc[c] = _mm512_fmadd_ps(_mm512_set1_ps((float)ones), _mm512_mul_ps(m, dx), acc[c]);
    }
}

#define LINEAR512_32(type, tiles, bias, has_min)                                                                                           \
    LINEAR512_UNPACK32(type, has_min)                                                                                                   \
    LM_INLINE void linear512_direct_##type(__m512 *acc, const void *group, const lm_acts *x, size_t k, const int C)                 \
    {                                                                                                                               \
        const lm_packed_##type *b = group;                                                                                          \
                                                                                                                                    \
        for (size_t i = 0; i < k / 32; i++, b++) {                                                                                  \
            __m512i v[8];                                                                                                           \
                                                                                                                                    \
            linear512_prefetch(b, sizeof *b);                                                                                       \
            linear512_lines_##type(v, b);                                                                                           \
            linear512_block32(acc, v, linear512_scale_##type(b), linear512_min_##type(b), i, x, k, C, (bias), (has_min));           \
        }                                                                                                                           \
    }                                                                                                                               \
    LINEAR512(type, tiles, bias, linear512_panel32, 1, LINEAR512_VALUES32, k / 32 * sizeof(lm_packed_##type), LINEAR512_NO)
LINEAR512_32(q4_1, lm_linear512_tiles_32_min, 0, 1)
LINEAR512_32(q5_0, lm_linear512_tiles_32, 16, 0)
LINEAR512_32(q5_1, lm_linear512_tiles_32_min, 0, 1)
LINEAR512_32(iq4_nl, lm_linear512_tiles_32, 128, 0)
LINEAR512_32(mxfp4, lm_linear512_tiles_32, 12, 0)
#undef LINEAR512_32

LM_TARGET_END

void lm_kernels_linear_32_avx512(lm_kernels *table)
{
    table->linear[LM_TYPE_Q4_1] = lm_linear512_q4_1;
    table->linear[LM_TYPE_Q5_0] = lm_linear512_q5_0;
    table->linear[LM_TYPE_Q5_1] = lm_linear512_q5_1;
    table->linear[LM_TYPE_IQ4_NL] = lm_linear512_iq4_nl;
    table->linear[LM_TYPE_MXFP4] = lm_linear512_mxfp4;
}

#else

void lm_kernels_linear_32_avx512(lm_kernels *table)
{
    (void)table;
}

#endif
