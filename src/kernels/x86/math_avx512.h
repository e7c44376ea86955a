/* SPDX-License-Identifier: MIT
 * What the AVX-512 kernels of activations and attention share: lm_expf and lm_tanhf in sixteen lanes, the sum of sixteen lanes,
 * masks for the last part of a row. Same operations in the same order as base/fmath.c and docs/ARITHMETIC.md. Floor 5. */
#ifndef LM_KERNELS_X86_MATH_AVX512_H
#define LM_KERNELS_X86_MATH_AVX512_H

#include "kernels/x86/x86.h"
#include "base/compiler.h"
#include "base/fmath.h"

#include <stddef.h>

#if LM_X86
LM_EXACT_ARITHMETIC
LM_TARGET_AVX512

/* The first n lanes of sixteen; n >= 16: all. */
LM_INLINE __mmask16 math_avx512_mask(size_t n) { return (__mmask16)(n >= 16 ? 0xffffu : (1u << n) - 1u); }

/* lm_expf of what is not above LM_EXPF_HIGH, or NaN. */
LM_INLINE __m512 math_avx512_exp_low(__m512 x)
{
    __m512 t = _mm512_fmadd_ps(x, _mm512_set1_ps(LM_EXPF_LOG2E), _mm512_set1_ps(LM_EXPF_ROUND));
    __m512 n = _mm512_sub_ps(t, _mm512_set1_ps(LM_EXPF_ROUND));
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LM_EXPF_LN2_HIGH), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LM_EXPF_LN2_LOW), r);
    __m512 p = _mm512_set1_ps(LM_EXPF_C6);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(LM_EXPF_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(LM_EXPF_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(LM_EXPF_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(LM_EXPF_C2));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    /* exact within the bounds; NaN stays. Lanes below are left out, not cleared after: a subnormal result costs 300 cycles */
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(LM_EXPF_LOW), _CMP_NLT_UQ), p, n);
}

LM_INLINE __m512 math_avx512_exp(__m512 x)
{
    return _mm512_mask_mov_ps(math_avx512_exp_low(x), _mm512_cmp_ps_mask(x, _mm512_set1_ps(LM_EXPF_HIGH), _CMP_GT_OQ), _mm512_set1_ps(INFINITY));
}

LM_INLINE __m512 math_avx512_tanh(__m512 x)
{
    __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_and_ps(x, _mm512_set1_ps(-0.0f)), z = _mm512_xor_ps(x, sign);
    __m512 z2 = _mm512_mul_ps(z, z), p = _mm512_set1_ps(LM_TANHF_C4);
    p = _mm512_fmadd_ps(p, z2, _mm512_set1_ps(LM_TANHF_C3));
    p = _mm512_fmadd_ps(p, z2, _mm512_set1_ps(LM_TANHF_C2));
    p = _mm512_fmadd_ps(p, z2, _mm512_set1_ps(LM_TANHF_C1));
    p = _mm512_fmadd_ps(p, z2, _mm512_set1_ps(LM_TANHF_C0));
    __m512 near = _mm512_fmadd_ps(_mm512_mul_ps(z2, p), z, z);
    __m512 e = math_avx512_exp(_mm512_add_ps(z, z));
    __m512 far = _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2.0f), _mm512_add_ps(e, one)));
    __m512 y = _mm512_mask_mov_ps(far, _mm512_cmp_ps_mask(z, _mm512_set1_ps(LM_TANHF_BORDER), _CMP_LT_OQ), near);
    return _mm512_or_ps(y, sign);
}

LM_INLINE float math_avx512_tree16(__m512 a)
{
    __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}

LM_TARGET_END
#endif

#endif
