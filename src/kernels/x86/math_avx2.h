/* SPDX-License-Identifier: MIT
 * What the AVX2 kernels of activations and attention share: lm_tanhf in eight lanes (lm_expf8 is base/fmath_avx2.h's), the sum of
 * sixteen lanes in two registers, masks for the last part of a row. Same operations in the same order as base/fmath.c and
 * docs/ARITHMETIC.md. Floor 5. */
#ifndef LM_KERNELS_X86_MATH_AVX2_H
#define LM_KERNELS_X86_MATH_AVX2_H

#include "kernels/x86/x86.h"
#include "base/compiler.h"
#include "base/fmath_avx2.h"

#include <stddef.h>

#if LM_X86
LM_EXACT_ARITHMETIC
LM_TARGET_AVX2

/* The lanes first <= lane + base < last of eight, all bits set. */
LM_INLINE __m256i math_avx2_between(int base, int first, int last)
{
    __m256i lane = _mm256_add_epi32(_mm256_set1_epi32(base), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(first), lane), _mm256_cmpgt_epi32(_mm256_set1_epi32(last), lane));
}

/* The first n lanes of eight; n >= 8: all. */
LM_INLINE __m256i math_avx2_mask(size_t n) { return math_avx2_between(0, 0, n >= 8 ? 8 : (int)n); }

LM_INLINE __m256 math_avx2_tanh(__m256 x)
{
    __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_and_ps(x, _mm256_set1_ps(-0.0f)), z = _mm256_xor_ps(x, sign);
    __m256 z2 = _mm256_mul_ps(z, z), p = _mm256_set1_ps(LM_TANHF_C4);
    p = _mm256_fmadd_ps(p, z2, _mm256_set1_ps(LM_TANHF_C3));
    p = _mm256_fmadd_ps(p, z2, _mm256_set1_ps(LM_TANHF_C2));
    p = _mm256_fmadd_ps(p, z2, _mm256_set1_ps(LM_TANHF_C1));
    p = _mm256_fmadd_ps(p, z2, _mm256_set1_ps(LM_TANHF_C0));
    __m256 near = _mm256_fmadd_ps(_mm256_mul_ps(z2, p), z, z);
    __m256 e = lm_expf8(_mm256_add_ps(z, z));
    __m256 far = _mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2.0f), _mm256_add_ps(e, one)));
    __m256 y = _mm256_blendv_ps(far, near, _mm256_cmp_ps(z, _mm256_set1_ps(LM_TANHF_BORDER), _CMP_LT_OQ));
    return _mm256_or_ps(y, sign);
}

/* low: lanes 0..7, high: lanes 8..15. */
LM_INLINE float math_avx2_tree16(__m256 low, __m256 high)
{
    __m256 b = _mm256_add_ps(low, high);
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}

LM_TARGET_END
#endif

#endif
