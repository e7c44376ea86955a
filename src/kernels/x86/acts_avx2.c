/* SPDX-License-Identifier: MIT
 * Activations with AVX2, FMA: the bits of kernels/ref/acts_ref.c. Whole registers first, then the last part of a row under a
 * mask (masked stores are slow on some processors, so once a row). A lane that adds zero keeps its bits, because sums of squares
 * and of exponentials are never -0. Threads: any. */
#include "kernels/kernels.h"
#include "kernels/x86/math_avx2.h"
#include "kernels/x86/x86.h"

#include "base/compiler.h"

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX2

/* Up to eight values of a row with `left` to go, zeros behind; and back. */
LM_INLINE __m256 acts_avx2_load(const float *x, size_t left)
{
    return LM_LIKELY(left >= 8) ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, math_avx2_mask(left));
}

LM_INLINE void acts_avx2_store(float *y, size_t left, __m256 v)
{
    if (LM_LIKELY(left >= 8))
        _mm256_storeu_ps(y, v);
    else
        _mm256_maskstore_ps(y, math_avx2_mask(left), v);
}

LM_INLINE __m256i acts_avx2_magnitude(const float *x)
{
    return _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(x)), _mm256_set1_epi32(0x7fffffff));
}

/* The scale d of a block and its reciprocal in *r, 0 where all q are 0. most: magnitudes as integers, none negative. */
LM_INLINE float acts_avx2_scale_of(__m256i most, float *r)
{
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1));
    uint32_t bits = (uint32_t)_mm_cvtsi128_si32(m);
    float amax = lm_f32_from_bits(bits);
    *r = 0.0f;
    if (bits >= 0x7f800000u)
        return NAN;
    if (amax < 0x1p-100f)
        return 0.0f;
    *r = 127.0f / amax;
    return amax / 127.0f;
}

LM_INLINE __m256i acts_avx2_rounded(const float *x, float r)
{
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), _mm256_set1_ps(r)));
}

/* 32 q of one block; zeros where r is 0 (NaN * 0 is no number). */
LM_INLINE __m256i acts_avx2_q32(const float *x, float r)
{
    if (!(r > 0))
        return _mm256_setzero_si256();
    __m256i a = _mm256_packs_epi32(acts_avx2_rounded(x, r), acts_avx2_rounded(x + 8, r));
    __m256i b = _mm256_packs_epi32(acts_avx2_rounded(x + 16, r), acts_avx2_rounded(x + 24, r));
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* The sums of q 0..15 and q 16..31, each spread over four int32 of its half. */
LM_INLINE __m256i acts_avx2_sums(__m256i q)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
    __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    fours = _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, 0x4e));
    return _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, 0xb1));
}

static void acts_avx2_quantize_32(int8_t *q, float *d, int32_t *s, const float *x, size_t n)
{
    for (size_t b = 0; b < n / 32; b++, x += 32, q += 32) {
        __m256i most = _mm256_max_epi32(_mm256_max_epi32(acts_avx2_magnitude(x), acts_avx2_magnitude(x + 8)),
                                        _mm256_max_epi32(acts_avx2_magnitude(x + 16), acts_avx2_magnitude(x + 24)));
        float r;
        d[b] = acts_avx2_scale_of(most, &r);
        __m256i v = acts_avx2_q32(x, r), sums = acts_avx2_sums(v);
        _mm256_storeu_si256((__m256i *)q, v);
        s[b] = _mm_cvtsi128_si32(_mm256_castsi256_si128(sums)) + _mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1));
    }
}

static void acts_avx2_quantize_256(int8_t *q, float *d, int16_t *s, const float *x, size_t n)
{
    for (size_t b = 0; b < n / 256; b++, x += 256, q += 256, s += 16) {
        __m256i most = _mm256_setzero_si256();
        for (size_t i = 0; i < 256; i += 8)
            most = _mm256_max_epi32(most, acts_avx2_magnitude(x + i));
        float r;
        d[b] = acts_avx2_scale_of(most, &r);
        for (size_t i = 0; i < 256; i += 32) {
            __m256i v = acts_avx2_q32(x + i, r), sums = acts_avx2_sums(v);
            _mm256_storeu_si256((__m256i *)(q + i), v);
            s[i / 16] = (int16_t)_mm_cvtsi128_si32(_mm256_castsi256_si128(sums));
            s[i / 16 + 1] = (int16_t)_mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1));
        }
    }
}

static void acts_avx2_rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    __m256 low = _mm256_setzero_ps(), high = low;
    for (size_t i = 0; i < n; i += 16) {
        __m256 a = acts_avx2_load(x + i, n - i);
        low = _mm256_fmadd_ps(a, a, low);
        if (n - i > 8) {
            a = acts_avx2_load(x + i + 8, n - i - 8);
            high = _mm256_fmadd_ps(a, a, high);
        }
    }
    float mean = math_avx2_tree16(low, high) / (float)n;
    __m256 s = _mm256_set1_ps(1.0f / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps))));
    for (size_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_mul_ps(acts_avx2_load(x + i, n - i), s);
        if (w)
            v = _mm256_mul_ps(v, acts_avx2_load(w + i, n - i));
        acts_avx2_store(y + i, n - i, v);
    }
}

static void acts_avx2_add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        acts_avx2_store(y + i, n - i, _mm256_add_ps(acts_avx2_load(a + i, n - i), acts_avx2_load(b + i, n - i)));
}

static void acts_avx2_scale(float *y, const float *x, float s, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        acts_avx2_store(y + i, n - i, _mm256_mul_ps(acts_avx2_load(x + i, n - i), _mm256_set1_ps(s)));
}

static void acts_avx2_add_scaled(float *y, const float *x, float s, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        __m256 sum = _mm256_fmadd_ps(_mm256_set1_ps(s), acts_avx2_load(x + i, n - i), acts_avx2_load(y + i, n - i));
        acts_avx2_store(y + i, n - i, sum);
    }
}

static void acts_avx2_silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        __m256 g = acts_avx2_load(gate + i, n - i);
        __m256 e = lm_expf8(_mm256_xor_ps(g, _mm256_set1_ps(-0.0f)));
        __m256 a = _mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
        acts_avx2_store(y + i, n - i, _mm256_mul_ps(a, acts_avx2_load(up + i, n - i)));
    }
}

static void acts_avx2_gelu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        __m256 g = acts_avx2_load(gate + i, n - i);
        __m256 u = _mm256_mul_ps(g, _mm256_fmadd_ps(_mm256_set1_ps(LM_GELUF_C1), _mm256_mul_ps(g, g), _mm256_set1_ps(LM_GELUF_C0)));
        __m256 e = lm_expf8(_mm256_xor_ps(u, _mm256_set1_ps(-0.0f)));
        __m256 a = _mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
        acts_avx2_store(y + i, n - i, _mm256_mul_ps(a, acts_avx2_load(up + i, n - i)));
    }
}

static void acts_avx2_softcap(float *y, const float *x, float cap, size_t n)
{
    __m256 c = _mm256_set1_ps(cap);
    for (size_t i = 0; i < n; i += 8)
        acts_avx2_store(y + i, n - i, _mm256_mul_ps(c, math_avx2_tanh(_mm256_div_ps(acts_avx2_load(x + i, n - i), c))));
}

/* exp(x - most) of up to eight values, zeros behind; stored in y. */
LM_INLINE __m256 acts_avx2_softmax_part(float *y, const float *x, size_t left, __m256 most)
{
    __m256 p = lm_expf8(_mm256_sub_ps(acts_avx2_load(x, left), most));
    p = _mm256_and_ps(p, _mm256_castsi256_ps(math_avx2_mask(left)));
    acts_avx2_store(y, left, p);
    return p;
}

static void acts_avx2_softmax(float *y, const float *x, size_t n)
{
    __m256 most8 = _mm256_set1_ps(-INFINITY), low = _mm256_setzero_ps(), high = low;
    for (size_t i = 0; i < n; i += 8) {                     /* max_ps gives its second operand where the first is NaN */
        __m256 seen = _mm256_castsi256_ps(math_avx2_mask(n - i));
        __m256 v = _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), acts_avx2_load(x + i, n - i), seen);
        most8 = _mm256_max_ps(v, most8);
    }
    __m128 most4 = _mm_max_ps(_mm256_castps256_ps128(most8), _mm256_extractf128_ps(most8, 1));
    most4 = _mm_max_ps(most4, _mm_movehl_ps(most4, most4));
    most4 = _mm_max_ss(most4, _mm_movehdup_ps(most4));
    __m256 most = _mm256_add_ps(_mm256_broadcastss_ps(most4), _mm256_setzero_ps());
    for (size_t i = 0; i < n; i += 16) {
        low = _mm256_add_ps(low, acts_avx2_softmax_part(y + i, x + i, n - i, most));
        if (n - i > 8)
            high = _mm256_add_ps(high, acts_avx2_softmax_part(y + i + 8, x + i + 8, n - i - 8, most));
    }
    __m256 sum = _mm256_set1_ps(math_avx2_tree16(low, high));
    for (size_t i = 0; i < n; i += 8)
        acts_avx2_store(y + i, n - i, _mm256_div_ps(acts_avx2_load(y + i, n - i), sum));
}

/* Even lanes hold a, odd lanes b: a cos - round(b sin), a sin + round(b cos). */
static void acts_avx2_rope_pairs(float *x, const float *cs, size_t n_rot)
{
    for (size_t i = 0; i < n_rot; i += 8) {
        __m256 v = acts_avx2_load(x + i, n_rot - i), c = acts_avx2_load(cs + i, n_rot - i);
        __m256 turned = _mm256_mul_ps(_mm256_movehdup_ps(v), _mm256_permute_ps(c, 0xb1));
        acts_avx2_store(x + i, n_rot - i, _mm256_fmaddsub_ps(_mm256_moveldup_ps(v), c, turned));
    }
}

static void acts_avx2_rope_halves(float *x, const float *cs, size_t n_rot)
{
    float *y = x + n_rot / 2;
    for (size_t i = 0; i < n_rot / 2; i += 8) {
        size_t left = n_rot / 2 - i;
        __m256 low = acts_avx2_load(cs + 2 * i, 2 * left);
        __m256 high = left > 4 ? acts_avx2_load(cs + 2 * i + 8, 2 * left - 8) : _mm256_setzero_ps();
        __m256 first = _mm256_permute2f128_ps(low, high, 0x20), second = _mm256_permute2f128_ps(low, high, 0x31);
        __m256 c = _mm256_shuffle_ps(first, second, 0x88), s = _mm256_shuffle_ps(first, second, 0xdd);
        __m256 a = acts_avx2_load(x + i, left), b = acts_avx2_load(y + i, left);
        acts_avx2_store(x + i, left, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        acts_avx2_store(y + i, left, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
    }
}

LM_TARGET_END

void lm_kernels_acts_avx2(lm_kernels *table)
{
    table->quantize_32 = acts_avx2_quantize_32;
    table->quantize_256 = acts_avx2_quantize_256;
    table->rms_norm = acts_avx2_rms_norm;
    table->add = acts_avx2_add;
    table->scale = acts_avx2_scale;
    table->add_scaled = acts_avx2_add_scaled;
    table->silu_mul = acts_avx2_silu_mul;
    table->gelu_mul = acts_avx2_gelu_mul;
    table->softcap = acts_avx2_softcap;
    table->softmax = acts_avx2_softmax;
    table->rope_pairs = acts_avx2_rope_pairs;
    table->rope_halves = acts_avx2_rope_halves;
}
#else
void lm_kernels_acts_avx2(lm_kernels *table) { (void)table; }
#endif
