/* SPDX-License-Identifier: MIT
 * State and attention with AVX2, FMA, F16C: the bits of kernels/ref/attend_ref.c.
 *
 * As attend_avx512.c, which says why: tiles of up to six queries; scores with lane = key, two registers for the sixteen keys
 * stored side by side; sums of V with lane = dimension over the keys that all queries of a tile see, the ragged ends query by
 * query; many queries as kernels/attend_many.inc says. Stack: 6 KiB of scores, 9 KiB with many queries or int8. Threads: any. */
#include "kernels/attend_tile.h"
#include "kernels/kernels.h"
#include "kernels/x86/math_avx2.h"
#include "kernels/x86/x86.h"

#include "base/compiler.h"

#include <string.h>

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX2

/* Eight stored numbers, widened. */
LM_INLINE __m256 attend_avx2_load(const void *x, size_t i, int type)
{
    return type == LM_ATTEND_f16 ? _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const uint16_t *)x + i))) : _mm256_loadu_ps((const float *)x + i);
}

/* The first n < 8 of them, zeros behind. */
LM_INLINE __m256 attend_avx2_load_part(const void *x, size_t i, size_t n, int type)
{
    if (type == LM_ATTEND_f32)
        return _mm256_maskload_ps((const float *)x + i, math_avx2_mask(n));
    uint16_t part[8] = { 0 };
    for (size_t l = 0; l < n; l++)
        part[l] = ((const uint16_t *)x)[i + l];
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)part));
}

/* The scores of n_q queries against n_groups groups of keys, from `first` of t->k on. What follows in k is fetched. */
LM_INLINE void attend_avx2_scores(const lm_attend_tile *t, int first, int type, int n_q, int n_groups)
{
    const void *const *k = t->k + first;
    const int *number = t->number + first;
    size_t head_dim = t->args->head_dim;
    __m256 sum[12], scale = _mm256_set1_ps(t->args->scale);

    LM_UNROLL
    for (int i = 0; i < n_q * n_groups * 2; i++)
        sum[i] = _mm256_setzero_ps();
    for (size_t d = 0; d < head_dim; d++) {
        __m256 key[8];
        LM_UNROLL
        for (int g = 0; g < n_groups * 2; g++)
            key[g] = attend_avx2_load(k[g / 2], d * LM_KEYS + (size_t)(g % 2) * 8, type);
        LM_UNROLL
        for (int g = 0; g < n_groups; g++)
            LM_PREFETCH((const char *)k[n_groups + g] + d * LM_KEYS * lm_attend_item(type));
        LM_UNROLL
        for (int i = 0; i < n_q; i++) {
            __m256 q = _mm256_broadcast_ss(t->q[i] + d);
            LM_UNROLL
            for (int g = 0; g < n_groups * 2; g++)
                sum[i * n_groups * 2 + g] = _mm256_fmadd_ps(q, key[g], sum[i * n_groups * 2 + g]);
        }
    }
    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int g = 0; g < n_groups * 2; g++)
            _mm256_storeu_ps(t->p[i] + number[g / 2] * LM_KEYS + g % 2 * 8, _mm256_mul_ps(sum[i * n_groups * 2 + g], scale));
    }
}

/* The group of sixteen at p, -infinity for what does not lie in from .. to. */
LM_INLINE void attend_avx2_hide(float *p, int from, int to)
{
    LM_UNROLL
    for (int h = 0; h < 16; h += 8)
        _mm256_storeu_ps(p + h, _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), _mm256_loadu_ps(p + h), _mm256_castsi256_ps(math_avx2_between(h, from, to))));
}

/* Scores to probabilities for what one query sees; its maximum and sum. Unseen neighbours in the end groups become -infinity, then 0 (or NaN,
 * where all that is seen does). */
static void attend_avx2_softmax(float *p, int from, int to, float softcap, float *max, float *sum)
{
    __m256 most_low = _mm256_set1_ps(-INFINITY), most_high = most_low, low = _mm256_setzero_ps(), high = low, cap = _mm256_set1_ps(softcap);
    int begin = from / LM_KEYS * LM_KEYS, last = (to - 1) / LM_KEYS * LM_KEYS;
    if (softcap != 0)
        for (int j = begin; j < to; j += 8)
            _mm256_storeu_ps(p + j, _mm256_mul_ps(cap, math_avx2_tanh(_mm256_div_ps(_mm256_loadu_ps(p + j), cap))));
    attend_avx2_hide(p + begin, from - begin, to - begin);
    attend_avx2_hide(p + last, from - last, to - last);
    for (int j = begin; j < to; j += LM_KEYS) {             /* max_ps gives its second operand where the first is NaN */
        most_low = _mm256_max_ps(_mm256_loadu_ps(p + j), most_low);
        most_high = _mm256_max_ps(_mm256_loadu_ps(p + j + 8), most_high);
    }
    most_low = _mm256_max_ps(most_low, most_high);
    __m128 most4 = _mm_max_ps(_mm256_castps256_ps128(most_low), _mm256_extractf128_ps(most_low, 1));
    most4 = _mm_max_ps(most4, _mm_movehl_ps(most4, most4));
    most4 = _mm_add_ss(_mm_max_ss(most4, _mm_movehdup_ps(most4)), _mm_setzero_ps());
    __m256 most = _mm256_broadcastss_ps(most4);
    for (int j = begin; j < to; j += LM_KEYS) {
        __m256 a = lm_expf8_low(_mm256_sub_ps(_mm256_loadu_ps(p + j), most));
        __m256 b = lm_expf8_low(_mm256_sub_ps(_mm256_loadu_ps(p + j + 8), most));
        low = _mm256_add_ps(low, a);
        high = _mm256_add_ps(high, b);
        _mm256_storeu_ps(p + j, a);
        _mm256_storeu_ps(p + j + 8, b);
    }
    *max = _mm_cvtss_f32(most4);
    *sum = math_avx2_tree16(low, high);
}

/* acc += p V for the keys from..to and the dimensions d .. d + 8 n_v; part != 0: only so many of eight. */
LM_INLINE void attend_avx2_values(const lm_attend_tile *t, int first, int from, int to, size_t d, size_t part, int type, int n_q, int n_v)
{
    size_t v_dim = t->args->v_dim, item = lm_attend_item(type);
    __m256 sum[12];

    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int v = 0; v < n_v; v++)
            sum[i * n_v + v] = part ? _mm256_maskload_ps(t->acc[first + i] + d, math_avx2_mask(part))
                                    : _mm256_loadu_ps(t->acc[first + i] + d + (size_t)v * 8);
    }
    for (int j = from; j < to;) {
        int group = j / LM_KEYS, end = LM_MIN(to, (group + 1) * LM_KEYS);
        size_t row_at = (size_t)(j % LM_KEYS) * v_dim * item;
        const char *row = t->v[group] + row_at, *next = t->v[end < to ? group + 1 : group] + row_at + d * item;
        for (; j < end; j++, row += v_dim * item, next += v_dim * item) {
            LM_UNROLL
            for (int v = 0; v < n_v; v += 8 / (int)item)
                LM_PREFETCH(next + (size_t)v * 8 * item);
            __m256 value[8];
            LM_UNROLL
            for (int v = 0; v < n_v; v++)
                value[v] = part ? attend_avx2_load_part(row, d, part, type) : attend_avx2_load(row, d + (size_t)v * 8, type);
            LM_UNROLL
            for (int i = 0; i < n_q; i++) {
                __m256 p = _mm256_broadcast_ss(t->p[first + i] + j);
                LM_UNROLL
                for (int v = 0; v < n_v; v++)
                    sum[i * n_v + v] = _mm256_fmadd_ps(p, value[v], sum[i * n_v + v]);
            }
        }
    }
    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int v = 0; v < n_v; v++) {
            if (part)
                _mm256_maskstore_ps(t->acc[first + i] + d, math_avx2_mask(part), sum[i * n_v + v]);
            else
                _mm256_storeu_ps(t->acc[first + i] + d + (size_t)v * 8, sum[i * n_v + v]);
        }
    }
}

/* ---- int8: vpmaddubsw wants one side without a sign, so a key gives its sign to the query; vpmaddwd adds what two keys give ---- */

LM_INLINE int32_t attend_avx2_i8_begin(const int8_t *q, size_t n)
{
    (void)q, (void)n;
    return 0;
}

/* Four bytes, or two of sixteen bits, in all lanes. */
LM_INLINE __m256i attend_avx2_set4(const void *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm256_set1_epi32(four);
}

/* Keys n_halves * 8 of a group from `half` on, as many as the registers have room for. 2 * 127 * 127 fits sixteen bits. */
LM_INLINE void attend_avx2_i8_half(const lm_attend_tile *t, const lm_attend_i8 *x, int g, int half, int n_q, int n_halves)
{
    const char *k = (const char *)t->k[g] + half * 32, *next = (const char *)t->k[g + 1];
    size_t n = lm_i8_padded(t->args->head_dim), scales = LM_KEYS * sizeof(float);
    __m256i sum[8], ones = _mm256_set1_epi16(1);

    LM_UNROLL
    for (int i = 0; i < n_q * n_halves; i++)
        sum[i] = _mm256_setzero_si256();
    for (size_t d = 0; d < n; d += 4) {
        __m256i key[2], size[2];
        LM_UNROLL
        for (int h = 0; h < n_halves; h++) {
            key[h] = _mm256_loadu_si256((const __m256i *)(k + scales + d * LM_KEYS + h * 32));
            size[h] = _mm256_abs_epi8(key[h]);
        }
        LM_PREFETCH(next + d * LM_KEYS);
        LM_UNROLL
        for (int i = 0; i < n_q; i++) {
            __m256i q = attend_avx2_set4(t->q8[i] + d);
            LM_UNROLL
            for (int h = 0; h < n_halves; h++) {
                __m256i twos = _mm256_maddubs_epi16(size[h], _mm256_sign_epi8(q, key[h]));
                sum[i * n_halves + h] = _mm256_add_epi32(sum[i * n_halves + h], _mm256_madd_epi16(twos, ones));
                LM_RUNNING(sum[i * n_halves + h]);
            }
        }
    }
    LM_UNROLL
    for (int h = 0; h < n_halves; h++) {
        __m256 k_scale = _mm256_loadu_ps((const float *)t->k[g] + (half + h) * 8);
        LM_UNROLL
        for (int i = 0; i < n_q; i++)
            _mm256_storeu_ps(t->p[i] + t->number[g] * LM_KEYS + (half + h) * 8,
                             _mm256_mul_ps(_mm256_cvtepi32_ps(sum[i * n_halves + h]), _mm256_mul_ps(_mm256_set1_ps(x->q_scale[i]), k_scale)));
    }
}

LM_INLINE void attend_avx2_i8_scores(const lm_attend_tile *t, const lm_attend_i8 *x, int first, int n_q, int n_groups)
{
    LM_UNROLL
    for (int g = first; g < first + n_groups; g++) {
        if (n_q <= 4) {
            attend_avx2_i8_half(t, x, g, 0, n_q, 2);
        } else {
            attend_avx2_i8_half(t, x, g, 0, n_q, 1);
            attend_avx2_i8_half(t, x, g, 1, n_q, 1);
        }
    }
}

LM_INLINE __m256i attend_avx2_magnitude(__m256 x) { return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff)); }

LM_INLINE uint32_t attend_avx2_most(__m256i most)
{
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1)));
}

static float attend_avx2_i8_levels(const lm_attend_tile *t, int i, int16_t *level)
{
    float *p = t->p[i], r, scale;
    __m256i most = _mm256_setzero_si256();
    for (int g = 0; g < t->n_groups; g++) {
        const float *v_scale = t->k[t->n_groups + g];
        LM_UNROLL
        for (int h = 0; h < 2; h++) {
            int j = t->number[g] * LM_KEYS + h * 8;
            __m256 w = _mm256_mul_ps(_mm256_loadu_ps(p + j), _mm256_loadu_ps(v_scale + h * 8));
            w = _mm256_and_ps(w, _mm256_castsi256_ps(math_avx2_between(j, t->from[i], t->to[i])));
            most = _mm256_max_epu32(most, attend_avx2_magnitude(w));
            _mm256_storeu_ps(p + j, w);
        }
    }
    scale = lm_attend_scale(attend_avx2_most(most), 32767.0f, &r);
    __m256 times = _mm256_set1_ps(r);
    for (int g = 0; g < t->n_groups; g++) {
        int j = t->number[g] * LM_KEYS;
        __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(p + j), times)), b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(p + j + 8), times));
        __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
        _mm256_storeu_si256((__m256i *)(level + j), r > 0 ? both : _mm256_setzero_si256());
    }
    return scale;
}

LM_INLINE void attend_avx2_i8_values(const lm_attend_tile *t, const lm_attend_i8 *x, size_t d, size_t part, int n_q, int n_v)
{
    size_t row_bytes = t->args->v_dim * 2, scales = LM_KEYS * sizeof(float);
    __m256i sum[12];

    LM_UNROLL
    for (int i = 0; i < n_q * n_v; i++)
        sum[i] = _mm256_setzero_si256();
    for (int g = 0; g < t->n_groups; g++) {
        int j = t->number[g] * LM_KEYS;
        const char *row = t->v[t->number[g]] + scales + d * 2, *next = t->v[t->number[LM_MIN(g + 1, t->n_groups - 1)]] + scales + d * 2;
        for (int pair = 0; pair < LM_KEYS / 2; pair++, row += row_bytes, next += row_bytes) {
            __m256i value[8];
            char some[16] = { 0 };
            if (part)
                memcpy(some, row, 2 * part);
            LM_UNROLL
            for (int v = 0; v < n_v; v += 4)
                LM_PREFETCH(next + v * 16);
            LM_UNROLL
            for (int v = 0; v < n_v; v++)
                value[v] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(part ? some : row + v * 16)));
            LM_UNROLL
            for (int i = 0; i < n_q; i++) {
                __m256i p = attend_avx2_set4(x->level[i] + j + 2 * pair);
                LM_UNROLL
                for (int v = 0; v < n_v; v++) {
                    sum[i * n_v + v] = _mm256_add_epi32(sum[i * n_v + v], _mm256_madd_epi16(value[v], p));
                    LM_RUNNING(sum[i * n_v + v]);
                }
            }
        }
    }
    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int v = 0; v < n_v; v++) {
            __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[i * n_v + v]), _mm256_set1_ps(x->w_scale[i]));
            if (part)
                _mm256_maskstore_ps(t->acc[i] + d, math_avx2_mask(part), y);
            else
                _mm256_storeu_ps(t->acc[i] + d + (size_t)v * 8, y);
        }
    }
}

#define ATTEND(name) attend_avx2_##name
#define ATTEND_I8_TILES(tile) tile(1, 1, 8) tile(2, 1, 4) tile(4, 1, 2) tile(6, 1, 2)
#define ATTEND_TILES_f16(tile) tile(f16, 1, 4, 8) tile(f16, 2, 2, 4) tile(f16, 4, 1, 2) tile(f16, 6, 1, 2)
#define ATTEND_TILES_f32(tile) tile(f32, 1, 4, 8) tile(f32, 4, 1, 2)
enum { attend_avx2_TILE_f16 = 6, attend_avx2_TILE_f32 = 4 };
enum { attend_avx2_LANES = 8, attend_avx2_TILE = 6, attend_avx2_RAGGED = 8, attend_avx2_I8_LANES = 8 };
#include "kernels/attend_i8.inc"
#include "kernels/attend_tile.inc"

/* ---- many queries: parts of K and V in f32, two registers at a time ---- */

/* A register of each row, from x[at] on. */
LM_INLINE void attend_avx2_widen_column(float *to, size_t to_stride, const void *x, size_t at, size_t x_stride, size_t n_rows, size_t n,
                                        int type)
{
    for (size_t row = 0; row < n_rows; row++, at += x_stride)
        _mm256_storeu_ps(to + row * to_stride, n < 8 ? attend_avx2_load_part(x, at, n, type) : attend_avx2_load(x, at, type));
}

static void attend_avx2_widen(float *to, size_t to_stride, const void *x, size_t x_stride, size_t n_rows, size_t n, int type)
{
    for (size_t i = 0; i < n; i += 8) {
        if (type == LM_ATTEND_f16)
            attend_avx2_widen_column(to + i, to_stride, x, i, x_stride, n_rows, n - i, LM_ATTEND_f16);
        else
            attend_avx2_widen_column(to + i, to_stride, x, i, x_stride, n_rows, n - i, LM_ATTEND_f32);
    }
}

enum { attend_avx2_MANY = 16, attend_avx2_KEYS = 16, attend_avx2_ROWS = 128, attend_avx2_DIMS = 64 };

static LM_NOINLINE void attend_avx2_part_scores(const lm_attend_tile *t, int j, const float *key)
{
    __m256 sum[2 * attend_avx2_TILE], scale = _mm256_set1_ps(t->args->scale);

    LM_UNROLL
    for (int i = 0; i < 2 * attend_avx2_TILE; i++)
        sum[i] = _mm256_setzero_ps();
    for (size_t d = 0; d < t->args->head_dim; d++, key += attend_avx2_KEYS) {
        __m256 low = _mm256_loadu_ps(key), high = _mm256_loadu_ps(key + 8);
        LM_UNROLL
        for (int i = 0; i < attend_avx2_TILE; i++) {
            __m256 q = _mm256_broadcast_ss(t->q[i] + d);
            sum[2 * i] = _mm256_fmadd_ps(q, low, sum[2 * i]);
            sum[2 * i + 1] = _mm256_fmadd_ps(q, high, sum[2 * i + 1]);
        }
    }
    LM_UNROLL
    for (int i = 0; i < attend_avx2_TILE; i++) {
        _mm256_storeu_ps(t->p[i] + j, _mm256_mul_ps(sum[2 * i], scale));
        _mm256_storeu_ps(t->p[i] + j + 8, _mm256_mul_ps(sum[2 * i + 1], scale));
    }
}

LM_INLINE void attend_avx2_part_values(const lm_attend_tile *t, int first, int from, int to, size_t d, const float *row, int n_q)
{
    size_t left = t->args->v_dim - d;
    __m256i mask = math_avx2_mask(left), more = math_avx2_mask(left > 8 ? left - 8 : 0);
    __m256 sum[2 * attend_avx2_TILE];

    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        sum[2 * i] = _mm256_maskload_ps(t->acc[first + i] + d, mask);
        sum[2 * i + 1] = _mm256_maskload_ps(t->acc[first + i] + d + 8, more);
    }
    for (int j = from; j < to; j++, row += attend_avx2_DIMS) {
        __m256 low = _mm256_loadu_ps(row), high = _mm256_loadu_ps(row + 8);
        LM_UNROLL
        for (int i = 0; i < n_q; i++) {
            __m256 p = _mm256_broadcast_ss(t->p[first + i] + j);
            sum[2 * i] = _mm256_fmadd_ps(p, low, sum[2 * i]);
            sum[2 * i + 1] = _mm256_fmadd_ps(p, high, sum[2 * i + 1]);
        }
    }
    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        _mm256_maskstore_ps(t->acc[first + i] + d, mask, sum[2 * i]);
        _mm256_maskstore_ps(t->acc[first + i] + d + 8, more, sum[2 * i + 1]);
    }
}

#include "kernels/attend_many.inc"
#undef ATTEND

static void attend_avx2_merge(float *max, float *sum, float *acc, float chunk_max, float chunk_sum, const float *chunk_acc, size_t v_dim)
{
    float most = chunk_max > *max ? chunk_max : *max;
    __m256 u = lm_expf8(_mm256_set1_ps(*max - most)), w = lm_expf8(_mm256_set1_ps(chunk_max - most));
    *max = most;
    *sum = _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(*sum), _mm256_castps256_ps128(u), _mm_set_ss(chunk_sum * _mm256_cvtss_f32(w))));
    size_t d = 0;
    for (; d + 8 <= v_dim; d += 8) {
        __m256 part = _mm256_mul_ps(_mm256_loadu_ps(chunk_acc + d), w);
        _mm256_storeu_ps(acc + d, _mm256_fmadd_ps(_mm256_loadu_ps(acc + d), u, part));
    }
    if (d < v_dim) {
        __m256i mask = math_avx2_mask(v_dim - d);
        __m256 part = _mm256_mul_ps(_mm256_maskload_ps(chunk_acc + d, mask), w);
        _mm256_maskstore_ps(acc + d, mask, _mm256_fmadd_ps(_mm256_maskload_ps(acc + d, mask), u, part));
    }
}

static void attend_avx2_finish(float *y, float sum, const float *acc, size_t v_dim)
{
    __m256 r = _mm256_set1_ps(1.0f / sum);
    size_t d = 0;
    for (; d + 8 <= v_dim; d += 8)
        _mm256_storeu_ps(y + d, _mm256_mul_ps(_mm256_loadu_ps(acc + d), r));
    if (d < v_dim) {
        __m256i mask = math_avx2_mask(v_dim - d);
        _mm256_maskstore_ps(y + d, mask, _mm256_mul_ps(_mm256_maskload_ps(acc + d, mask), r));
    }
}

/* Clamped (a NaN is the second operand, and stays) and narrowed. */
LM_INLINE __m128i attend_avx2_to_f16(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(-65504.0f), _mm256_min_ps(_mm256_set1_ps(65504.0f), x));
    return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
}

static void attend_avx2_store_k_f16(void *k_page, size_t at, const float *k, size_t k_dim)
{
    uint16_t *key = (uint16_t *)k_page + at / LM_KEYS * LM_KEYS * k_dim + at % LM_KEYS, part[8];
    for (size_t d = 0; d < k_dim; d += 8) {
        size_t n = LM_MIN(k_dim - d, (size_t)8);
        __m256 x = n == 8 ? _mm256_loadu_ps(k + d) : _mm256_maskload_ps(k + d, math_avx2_mask(n));
        _mm_storeu_si128((__m128i *)part, attend_avx2_to_f16(x));
        for (size_t i = 0; i < n; i++)
            key[(d + i) * LM_KEYS] = part[i];
    }
}

static void attend_avx2_store_v_f16(void *v_page, size_t at, const float *v, size_t v_dim)
{
    uint16_t *value = (uint16_t *)v_page + at * v_dim, part[8];
    size_t d = 0;
    for (; d + 8 <= v_dim; d += 8)
        _mm_storeu_si128((__m128i *)(value + d), attend_avx2_to_f16(_mm256_loadu_ps(v + d)));
    if (d < v_dim) {
        _mm_storeu_si128((__m128i *)part, attend_avx2_to_f16(_mm256_maskload_ps(v + d, math_avx2_mask(v_dim - d))));
        memcpy(value + d, part, (v_dim - d) * 2);
    }
}

/* The scale of a head, and what to multiply it by. */
LM_INLINE float attend_avx2_head_scale(const float *x, size_t n, float *r)
{
    __m256i most = _mm256_setzero_si256();
    size_t d = 0;
    for (; d + 8 <= n; d += 8)
        most = _mm256_max_epu32(most, attend_avx2_magnitude(_mm256_loadu_ps(x + d)));
    if (d < n)
        most = _mm256_max_epu32(most, attend_avx2_magnitude(_mm256_maskload_ps(x + d, math_avx2_mask(n - d))));
    return lm_attend_scale(attend_avx2_most(most), 127.0f, r);
}

/* Up to eight levels of a head with `left` to go, zeros behind. */
LM_INLINE void attend_avx2_head_levels(int8_t out[8], const float *x, size_t left, float r)
{
    __m256 values = left >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, math_avx2_mask(left));
    __m256i wide = r > 0 ? _mm256_cvtps_epi32(_mm256_mul_ps(values, _mm256_set1_ps(r))) : _mm256_setzero_si256();
    __m128i half = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    _mm_storel_epi64((__m128i *)out, _mm_packs_epi16(half, half));
}

static float attend_avx2_quantize_head(int8_t *q, const float *x, size_t n)
{
    float r, scale = attend_avx2_head_scale(x, n, &r);
    for (size_t d = 0; d < n; d += 8) {
        int8_t eight[8];
        attend_avx2_head_levels(eight, x + d, n - d, r);
        memcpy(q + d, eight, n - d > 4 ? 8 : 4);
    }
    return scale;
}

static void attend_avx2_store_k_i8(void *k_page, size_t at, const float *k, size_t k_dim)
{
    char *group = (char *)k_page + at / LM_KEYS * lm_i8_k_group(k_dim);
    float r, scale = attend_avx2_head_scale(k, k_dim, &r);
    memcpy(group + at % LM_KEYS * sizeof(float), &scale, sizeof(float));
    for (size_t d = 0; d < k_dim; d += 8) {
        int8_t eight[8];
        attend_avx2_head_levels(eight, k + d, k_dim - d, r);
        memcpy(group + lm_i8_k_at(at % LM_KEYS, d), eight, 4);
        if (k_dim - d > 4)
            memcpy(group + lm_i8_k_at(at % LM_KEYS, d + 4), eight + 4, 4);
    }
}

/* Byte by byte: another thread may store the position beside this one. */
static void attend_avx2_store_v_i8(void *v_page, size_t at, const float *v, size_t v_dim)
{
    char *group = (char *)v_page + at / LM_KEYS * lm_i8_v_group(v_dim);
    float r, scale = attend_avx2_head_scale(v, v_dim, &r);
    memcpy(group + at % LM_KEYS * sizeof(float), &scale, sizeof(float));
    for (size_t d = 0; d < v_dim; d += 8) {
        int8_t eight[8];
        attend_avx2_head_levels(eight, v + d, v_dim - d, r);
        for (size_t i = 0; i < LM_MIN(v_dim - d, (size_t)8); i++)
            group[lm_i8_v_at(at % LM_KEYS, d + i, v_dim)] = (char)eight[i];
    }
}

LM_TARGET_END

/* f32 state is moved, not computed: the reference stores it. */
void lm_kernels_attend_avx2(lm_kernels *table)
{
    table->store_k_f16 = attend_avx2_store_k_f16;
    table->store_v_f16 = attend_avx2_store_v_f16;
    table->attend_f32 = attend_avx2_many_f32;
    table->attend_f16 = attend_avx2_many_f16;
    table->store_k_i8 = attend_avx2_store_k_i8;
    table->store_v_i8 = attend_avx2_store_v_i8;
    table->quantize_head = attend_avx2_quantize_head;
    table->attend_i8 = attend_avx2_i8;
    table->attend_merge = attend_avx2_merge;
    table->attend_finish = attend_avx2_finish;
}
#else
void lm_kernels_attend_avx2(lm_kernels *table) { (void)table; }
#endif
