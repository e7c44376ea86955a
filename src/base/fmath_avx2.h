/* SPDX-License-Identifier: MIT
 * lm_expf of eight numbers with AVX2 and FMA: the same operations in the same order, so the same bits. For code that has asked the
 * processor for both. Floor 0. */
#ifndef LM_BASE_FMATH_AVX2_H
#define LM_BASE_FMATH_AVX2_H

#include "base/compiler.h"
#include "base/fmath.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define LM_FMATH_AVX2 1
#include <immintrin.h>

LM_EXACT_ARITHMETIC

/* lm_expf of what is not above LM_EXPF_HIGH, or NaN. */
__attribute__((target("avx2,fma"))) LM_INLINE __m256 lm_expf8_low(__m256 x)
{
    __m256 t = _mm256_fmadd_ps(x, _mm256_set1_ps(LM_EXPF_LOG2E), _mm256_set1_ps(LM_EXPF_ROUND));
    __m256 n = _mm256_sub_ps(t, _mm256_set1_ps(LM_EXPF_ROUND));
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LM_EXPF_LN2_HIGH), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LM_EXPF_LN2_LOW), r);
    __m256 p = _mm256_set1_ps(LM_EXPF_C6);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LM_EXPF_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LM_EXPF_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LM_EXPF_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LM_EXPF_C2));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
    y = _mm256_and_ps(y, _mm256_cmp_ps(x, _mm256_set1_ps(LM_EXPF_LOW), _CMP_NLT_UQ));
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

__attribute__((target("avx2,fma"))) LM_INLINE __m256 lm_expf8(__m256 x)
{
    return _mm256_blendv_ps(lm_expf8_low(x), _mm256_set1_ps(INFINITY), _mm256_cmp_ps(x, _mm256_set1_ps(LM_EXPF_HIGH), _CMP_GT_OQ));
}
#else
#define LM_FMATH_AVX2 0
#endif

#endif
