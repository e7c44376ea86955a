/* SPDX-License-Identifier: MIT
 * Activations with AVX-512: the bits of kernels/ref/acts_ref.c. Rows end under a mask; what a mask hides is neither read nor
 * written. A lane that adds zero keeps its bits, because sums of squares and of exponentials are never -0. The quantizers stay
 * those of AVX2: their reductions are short, and sixteen lanes were slower (1.4 against 1.1 us a row of 4096). Threads: any. */
#include "kernels/kernels.h"
#include "kernels/x86/math_avx512.h"
#include "kernels/x86/x86.h"

#include "base/compiler.h"

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX512

static void acts_avx512_rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    __m512 lanes = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(math_avx512_mask(n - i), x + i);
        lanes = _mm512_fmadd_ps(v, v, lanes);
    }
    float mean = math_avx512_tree16(lanes) / (float)n;
    __m512 s = _mm512_set1_ps(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps))));
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = math_avx512_mask(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), s);
        if (w)
            v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, w + i));
        _mm512_mask_storeu_ps(y + i, mask, v);
    }
}

static void acts_avx512_add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = math_avx512_mask(n - i);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i)));
    }
}

static void acts_avx512_scale(float *y, const float *x, float s, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = math_avx512_mask(n - i);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), _mm512_set1_ps(s)));
    }
}

static void acts_avx512_add_scaled(float *y, const float *x, float s, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = math_avx512_mask(n - i);
        __m512 sum = _mm512_fmadd_ps(_mm512_set1_ps(s), _mm512_maskz_loadu_ps(mask, x + i), _mm512_maskz_loadu_ps(mask, y + i));
        _mm512_mask_storeu_ps(y + i, mask, sum);
    }
}

static void acts_avx512_silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = math_avx512_mask(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 e = math_avx512_exp(_mm512_xor_ps(g, _mm512_set1_ps(-0.0f)));
        __m512 a = _mm512_div_ps(g, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(a, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

static void acts_avx512_gelu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = math_avx512_mask(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 u = _mm512_mul_ps(g, _mm512_fmadd_ps(_mm512_set1_ps(LM_GELUF_C1), _mm512_mul_ps(g, g), _mm512_set1_ps(LM_GELUF_C0)));
        __m512 e = math_avx512_exp(_mm512_xor_ps(u, _mm512_set1_ps(-0.0f)));
        __m512 a = _mm512_div_ps(g, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(a, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

static void acts_avx512_softcap(float *y, const float *x, float cap, size_t n)
{
    __m512 c = _mm512_set1_ps(cap);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = math_avx512_mask(n - i);
        __m512 t = math_avx512_tanh(_mm512_div_ps(_mm512_maskz_loadu_ps(mask, x + i), c));
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(c, t));
    }
}

static void acts_avx512_softmax(float *y, const float *x, size_t n)
{
    __m512 most = _mm512_set1_ps(-INFINITY), lanes = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {                    /* max_ps gives its second operand where the first is NaN */
        __mmask16 mask = math_avx512_mask(n - i);
        most = _mm512_mask_max_ps(most, mask, _mm512_maskz_loadu_ps(mask, x + i), most);
    }
    most = _mm512_add_ps(_mm512_set1_ps(_mm512_reduce_max_ps(most)), _mm512_setzero_ps());
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = math_avx512_mask(n - i);
        __m512 p = _mm512_maskz_mov_ps(mask, math_avx512_exp(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), most)));
        lanes = _mm512_add_ps(lanes, p);
        _mm512_mask_storeu_ps(y + i, mask, p);
    }
    __m512 sum = _mm512_set1_ps(math_avx512_tree16(lanes));
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = math_avx512_mask(n - i);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_div_ps(_mm512_maskz_loadu_ps(mask, y + i), sum));
    }
}

/* Even lanes hold a, odd lanes b: a cos - round(b sin), a sin + round(b cos). */
static void acts_avx512_rope_pairs(float *x, const float *cs, size_t n_rot)
{
    for (size_t i = 0; i < n_rot; i += 16) {
        __mmask16 mask = math_avx512_mask(n_rot - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i), c = _mm512_maskz_loadu_ps(mask, cs + i);
        __m512 turned = _mm512_mul_ps(_mm512_movehdup_ps(v), _mm512_permute_ps(c, 0xb1));
        _mm512_mask_storeu_ps(x + i, mask, _mm512_fmaddsub_ps(_mm512_moveldup_ps(v), c, turned));
    }
}

static void acts_avx512_rope_halves(float *x, const float *cs, size_t n_rot)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    float *y = x + n_rot / 2;
    for (size_t i = 0; i < n_rot / 2; i += 16) {
        size_t left = n_rot / 2 - i;
        __mmask16 mask = math_avx512_mask(left);
        __m512 low = _mm512_maskz_loadu_ps(math_avx512_mask(2 * left), cs + 2 * i);
        __m512 high = _mm512_maskz_loadu_ps(math_avx512_mask(left > 8 ? 2 * left - 16 : 0), cs + 2 * i + 16);
        __m512 c = _mm512_permutex2var_ps(low, even, high), s = _mm512_permutex2var_ps(low, odd, high);
        __m512 a = _mm512_maskz_loadu_ps(mask, x + i), b = _mm512_maskz_loadu_ps(mask, y + i);
        _mm512_mask_storeu_ps(x + i, mask, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(y + i, mask, _mm512_fmadd_ps(a, s, _mm512_mul_ps(b, c)));
    }
}

LM_TARGET_END

void lm_kernels_acts_avx512(lm_kernels *table)
{
    table->rms_norm = acts_avx512_rms_norm;
    table->add = acts_avx512_add;
    table->scale = acts_avx512_scale;
    table->add_scaled = acts_avx512_add_scaled;
    table->silu_mul = acts_avx512_silu_mul;
    table->gelu_mul = acts_avx512_gelu_mul;
    table->softcap = acts_avx512_softcap;
    table->softmax = acts_avx512_softmax;
    table->rope_pairs = acts_avx512_rope_pairs;
    table->rope_halves = acts_avx512_rope_halves;
}
#else
void lm_kernels_acts_avx512(lm_kernels *table) { (void)table; }
#endif
