/* SPDX-License-Identifier: MIT
 * State and attention with AVX-512: the bits of kernels/ref/attend_ref.c.
 *
 * Queries go in tiles of up to eight, so that a key or value is read and widened once a tile. Scores: lane = key, sixteen keys
 * side by side as K is stored, one chain over head_dim for each query and group of keys. Sums of V: lane = dimension, one chain
 * over the keys for each query. Keys that all queries of a tile see go through the tile; the ragged ends of those that see
 * more go query by query, so that an unseen key is never multiplied, not even by zero. Scores that no query sees are computed
 * (from whatever the page holds) and then masked. Many queries go as kernels/attend_many.inc says. Stack: 8 KiB of scores, 12 KiB with
 * int8. Threads: any. */
#include "kernels/attend_tile.h"
#include "kernels/kernels.h"
#include "kernels/x86/math_avx512.h"
#include "kernels/x86/x86.h"

#include "base/compiler.h"

#include <string.h>

LM_EXACT_ARITHMETIC

#if LM_X86
LM_TARGET_AVX512

/* Sixteen stored numbers, widened. */
LM_INLINE __m512 attend_avx512_load(const void *x, size_t i, int type)
{
    return type == LM_ATTEND_f16 ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)((const uint16_t *)x + i)))
                                 : _mm512_loadu_ps((const float *)x + i);
}

LM_INLINE __m512 attend_avx512_load_part(const void *x, size_t i, __mmask16 mask, int type)
{
    return type == LM_ATTEND_f16 ? _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, (const uint16_t *)x + i))
                                 : _mm512_maskz_loadu_ps(mask, (const float *)x + i);
}

/* The scores of n_q queries against n_groups groups of keys, from `first` of t->k on. What follows in k is fetched. */
LM_INLINE void attend_avx512_scores(const lm_attend_tile *t, int first, int type, int n_q, int n_groups)
{
    const void *const *k = t->k + first;
    const int *number = t->number + first;
    size_t head_dim = t->args->head_dim;
    __m512 sum[16], scale = _mm512_set1_ps(t->args->scale);

    LM_UNROLL
    for (int i = 0; i < n_q * n_groups; i++)
        sum[i] = _mm512_setzero_ps();
    for (size_t d = 0; d < head_dim; d++) {
        __m512 key[4];
        LM_UNROLL
        for (int g = 0; g < n_groups; g++)
            key[g] = attend_avx512_load(k[g], d * LM_KEYS, type);
        LM_UNROLL
        for (int g = 0; g < n_groups; g++)
            LM_PREFETCH((const char *)k[n_groups + g] + d * LM_KEYS * lm_attend_item(type));
        LM_UNROLL
        for (int i = 0; i < n_q; i++) {
            __m512 q = _mm512_set1_ps(t->q[i][d]);
            LM_UNROLL
            for (int g = 0; g < n_groups; g++)
                sum[i * n_groups + g] = _mm512_fmadd_ps(q, key[g], sum[i * n_groups + g]);
        }
    }
    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int g = 0; g < n_groups; g++)
            _mm512_storeu_ps(t->p[i] + number[g] * LM_KEYS, _mm512_mul_ps(sum[i * n_groups + g], scale));
    }
}

/* The lanes j .. j + 15 that lie in from .. to. */
LM_INLINE __mmask16 attend_avx512_seen(int j, int from, int to)
{
    return (__mmask16)(math_avx512_mask((size_t)(to - j)) & ~math_avx512_mask(from > j ? (size_t)(from - j) : 0));
}

/* Scores to probabilities for what one query sees; its maximum and sum. Unseen neighbours in the end groups become -infinity, then 0 (or NaN,
 * where all that is seen does). */
static void attend_avx512_softmax(float *p, int from, int to, float softcap, float *max, float *sum)
{
    __m512 least = _mm512_set1_ps(-INFINITY), most = least, other = least, lanes = _mm512_setzero_ps(), cap = _mm512_set1_ps(softcap);
    int begin = from / LM_KEYS * LM_KEYS, last = (to - 1) / LM_KEYS * LM_KEYS;
    if (softcap != 0)
        for (int j = begin; j < to; j += LM_KEYS)
            _mm512_storeu_ps(p + j, _mm512_mul_ps(cap, math_avx512_tanh(_mm512_div_ps(_mm512_loadu_ps(p + j), cap))));
    _mm512_mask_storeu_ps(p + begin, (__mmask16)~attend_avx512_seen(begin, from, to), least);
    _mm512_mask_storeu_ps(p + last, (__mmask16)~attend_avx512_seen(last, from, to), least);
    for (int j = begin; j <= last; j += 2 * LM_KEYS) {              /* max_ps gives its second operand where the first is NaN */
        most = _mm512_max_ps(_mm512_loadu_ps(p + j), most);
        other = _mm512_max_ps(_mm512_loadu_ps(p + LM_MIN(j + LM_KEYS, last)), other);
    }
    most = _mm512_add_ps(_mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(most, other))), _mm512_setzero_ps());
    for (int j = begin; j < to; j += LM_KEYS) {
        __m512 e = math_avx512_exp_low(_mm512_sub_ps(_mm512_loadu_ps(p + j), most));
        lanes = _mm512_add_ps(lanes, e);
        _mm512_storeu_ps(p + j, e);
    }
    *max = _mm512_cvtss_f32(most);
    *sum = math_avx512_tree16(lanes);
}

/* acc += p V for the keys from..to and the dimensions d .. d + 16 n_v; part != 0: only so many of sixteen. */
LM_INLINE void attend_avx512_values(const lm_attend_tile *t, int first, int from, int to, size_t d, size_t part, int type, int n_q, int n_v)
{
    size_t v_dim = t->args->v_dim, item = lm_attend_item(type);
    __mmask16 mask = part ? math_avx512_mask(part) : 0xffff;
    __m512 sum[16];

    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int v = 0; v < n_v; v++)
            sum[i * n_v + v] = _mm512_maskz_loadu_ps(mask, t->acc[first + i] + d + (size_t)v * 16);
    }
    for (int j = from; j < to;) {
        int group = j / LM_KEYS, end = LM_MIN(to, (group + 1) * LM_KEYS);
        size_t row_at = (size_t)(j % LM_KEYS) * v_dim * item;
        const char *row = t->v[group] + row_at, *next = t->v[end < to ? group + 1 : group] + row_at + d * item;
        for (; j < end; j++, row += v_dim * item, next += v_dim * item) {
            LM_UNROLL
            for (int v = 0; v < n_v; v += 4 / (int)item)
                LM_PREFETCH(next + (size_t)v * 16 * item);
            __m512 value[4];
            LM_UNROLL
            for (int v = 0; v < n_v; v++)
                value[v] = part ? attend_avx512_load_part(row, d + (size_t)v * 16, mask, type)
                                : attend_avx512_load(row, d + (size_t)v * 16, type);
            LM_UNROLL
            for (int i = 0; i < n_q; i++) {
                __m512 p = _mm512_set1_ps(t->p[first + i][j]);
                LM_UNROLL
                for (int v = 0; v < n_v; v++)
                    sum[i * n_v + v] = _mm512_fmadd_ps(p, value[v], sum[i * n_v + v]);
            }
        }
    }
    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int v = 0; v < n_v; v++)
            _mm512_mask_storeu_ps(t->acc[first + i] + d + (size_t)v * 16, mask, sum[i * n_v + v]);
    }
}

/* ---- int8: vpdpbusd adds four products of a byte without a sign and one with, vpdpwssd two of sixteen bits ---- */

/* Keys get 128 added, to be without a sign: 128 (sum of q) too much. */
LM_INLINE int32_t attend_avx512_i8_begin(const int8_t *q, size_t n)
{
    __m512i sum = _mm512_setzero_si512();
    for (size_t d = 0; d < n; d += 64) {
        __mmask64 mask = n - d >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << (n - d)) - 1;
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8((char)0x80), _mm512_maskz_loadu_epi8(mask, q + d));
    }
    return -_mm512_reduce_add_epi32(sum);
}

/* Four bytes, or two of sixteen bits, in all lanes. */
LM_INLINE __m512i attend_avx512_set4(const void *x)
{
    int32_t four;
    memcpy(&four, x, 4);
    return _mm512_set1_epi32(four);
}

LM_INLINE void attend_avx512_i8_scores(const lm_attend_tile *t, const lm_attend_i8 *x, int first, int n_q, int n_groups)
{
    const void *const *k = t->k + first;
    const int *number = t->number + first;
    size_t n = lm_i8_padded(t->args->head_dim), scales = LM_KEYS * sizeof(float);
    __m512i sum[16], flip = _mm512_set1_epi8((char)0x80);

    LM_UNROLL
    for (int i = 0; i < n_q * n_groups; i++)
        sum[i] = _mm512_set1_epi32(x->begin[i / n_groups]);
    for (size_t d = 0; d < n; d += 4) {
        __m512i key[4];
        LM_UNROLL
        for (int g = 0; g < n_groups; g++) {
            key[g] = _mm512_xor_si512(_mm512_loadu_si512((const char *)k[g] + scales + d * LM_KEYS), flip);
            LM_PREFETCH((const char *)k[n_groups + g] + d * LM_KEYS);
        }
        LM_UNROLL
        for (int i = 0; i < n_q; i++) {
            __m512i q = attend_avx512_set4(t->q8[i] + d);
            LM_UNROLL
            for (int g = 0; g < n_groups; g++) {
                sum[i * n_groups + g] = _mm512_dpbusd_epi32(sum[i * n_groups + g], key[g], q);
                LM_RUNNING(sum[i * n_groups + g]);
            }
        }
    }
    LM_UNROLL
    for (int g = 0; g < n_groups; g++) {
        __m512 k_scale = _mm512_loadu_ps(k[g]);
        LM_PREFETCH((const char *)k[n_groups + g] + n * LM_KEYS);
        LM_UNROLL
        for (int i = 0; i < n_q; i++)
            _mm512_storeu_ps(t->p[i] + number[g] * LM_KEYS,
                             _mm512_mul_ps(_mm512_cvtepi32_ps(sum[i * n_groups + g]), _mm512_mul_ps(_mm512_set1_ps(x->q_scale[i]), k_scale)));
    }
}

static float attend_avx512_i8_levels(const lm_attend_tile *t, int i, int16_t *level)
{
    float *p = t->p[i], r, scale;
    __m512i most = _mm512_setzero_si512(), magnitude = _mm512_set1_epi32(0x7fffffff);
    for (int g = 0; g < t->n_groups; g++) {
        int j = t->number[g] * LM_KEYS;
        __mmask16 seen = j < t->to[i] ? attend_avx512_seen(j, t->from[i], t->to[i]) : 0;
        __m512 w = _mm512_maskz_mul_ps(seen, _mm512_loadu_ps(p + j), _mm512_loadu_ps(t->k[t->n_groups + g]));
        most = _mm512_max_epu32(most, _mm512_and_si512(_mm512_castps_si512(w), magnitude));
        _mm512_storeu_ps(p + j, w);
    }
    scale = lm_attend_scale(_mm512_reduce_max_epu32(most), 32767.0f, &r);
    for (int g = 0; g < t->n_groups; g++) {
        int j = t->number[g] * LM_KEYS;
        __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(p + j), _mm512_set1_ps(r)));
        _mm256_storeu_si256((__m256i *)(level + j), _mm512_cvtepi32_epi16(r > 0 ? q : _mm512_setzero_si512()));
    }
    return scale;
}

LM_INLINE void attend_avx512_i8_values(const lm_attend_tile *t, const lm_attend_i8 *x, size_t d, size_t part, int n_q, int n_v)
{
    size_t row_bytes = t->args->v_dim * 2, scales = LM_KEYS * sizeof(float);
    __mmask16 mask = part ? math_avx512_mask(part) : 0xffff;
    __mmask32 pairs = part ? (__mmask32)((1ull << 2 * part) - 1) : ~(__mmask32)0;
    __m512i sum[16];

    LM_UNROLL
    for (int i = 0; i < n_q * n_v; i++)
        sum[i] = _mm512_setzero_si512();
    for (int g = 0; g < t->n_groups; g++) {
        int j = t->number[g] * LM_KEYS;
        const char *row = t->v[t->number[g]] + scales + d * 2, *next = t->v[t->number[LM_MIN(g + 1, t->n_groups - 1)]] + scales + d * 2;
        for (int pair = 0; pair < LM_KEYS / 2; pair++, row += row_bytes, next += row_bytes) {
            __m512i value[4];
            LM_UNROLL
            for (int v = 0; v < n_v; v += 2)
                LM_PREFETCH(next + v * 32);
            LM_UNROLL
            for (int v = 0; v < n_v; v++)
                value[v] = _mm512_cvtepi8_epi16(part ? _mm256_maskz_loadu_epi8(pairs, row) : _mm256_loadu_si256((const __m256i *)(row + v * 32)));
            LM_UNROLL
            for (int i = 0; i < n_q; i++) {
                __m512i p = attend_avx512_set4(x->level[i] + j + 2 * pair);
                LM_UNROLL
                for (int v = 0; v < n_v; v++) {
                    sum[i * n_v + v] = _mm512_dpwssd_epi32(sum[i * n_v + v], value[v], p);
                    LM_RUNNING(sum[i * n_v + v]);
                }
            }
        }
    }
    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int v = 0; v < n_v; v++)
            _mm512_mask_storeu_ps(t->acc[i] + d + (size_t)v * 16, mask, _mm512_mul_ps(_mm512_cvtepi32_ps(sum[i * n_v + v]), _mm512_set1_ps(x->w_scale[i])));
    }
}

#define ATTEND(name) attend_avx512_##name
#define ATTEND_I8_TILES(tile) tile(1, 4, 4) tile(2, 4, 4) tile(4, 4, 4) tile(8, 2, 2)
#define ATTEND_TILES_f16(tile) tile(f16, 1, 4, 4) tile(f16, 2, 4, 4) tile(f16, 4, 4, 4) tile(f16, 8, 2, 2)
#define ATTEND_TILES_f32(tile) tile(f32, 1, 4, 4) tile(f32, 4, 4, 4)
enum { attend_avx512_TILE_f16 = 8, attend_avx512_TILE_f32 = 4 };
enum { attend_avx512_LANES = 16, attend_avx512_TILE = 8, attend_avx512_RAGGED = 4, attend_avx512_I8_LANES = 16 };
#include "kernels/attend_i8.inc"
#include "kernels/attend_tile.inc"

/* ---- many queries: parts of K and V in f32, two registers at a time ---- */

/* A register of each row, from x[at] on. */
LM_INLINE void attend_avx512_widen_column(float *to, size_t to_stride, const void *x, size_t at, size_t x_stride, size_t n_rows, __mmask16 mask,
                                        int type)
{
    for (size_t row = 0; row < n_rows; row++, at += x_stride)
        _mm512_storeu_ps(to + row * to_stride, attend_avx512_load_part(x, at, mask, type));
}

static void attend_avx512_widen(float *to, size_t to_stride, const void *x, size_t x_stride, size_t n_rows, size_t n, int type)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = math_avx512_mask(n - i);
        if (type == LM_ATTEND_f16)
            attend_avx512_widen_column(to + i, to_stride, x, i, x_stride, n_rows, mask, LM_ATTEND_f16);
        else
            attend_avx512_widen_column(to + i, to_stride, x, i, x_stride, n_rows, mask, LM_ATTEND_f32);
    }
}

enum { attend_avx512_MANY = 20, attend_avx512_KEYS = 32, attend_avx512_ROWS = 128, attend_avx512_DIMS = 64 };

static LM_NOINLINE void attend_avx512_part_scores(const lm_attend_tile *t, int j, const float *key)
{
    __m512 sum[2 * attend_avx512_TILE], scale = _mm512_set1_ps(t->args->scale);

    LM_UNROLL
    for (int i = 0; i < 2 * attend_avx512_TILE; i++)
        sum[i] = _mm512_setzero_ps();
    for (size_t d = 0; d < t->args->head_dim; d++, key += attend_avx512_KEYS) {
        __m512 low = _mm512_loadu_ps(key), high = _mm512_loadu_ps(key + 16);
        LM_UNROLL
        for (int i = 0; i < attend_avx512_TILE; i++) {
            __m512 q = _mm512_set1_ps(t->q[i][d]);
            sum[2 * i] = _mm512_fmadd_ps(q, low, sum[2 * i]);
            sum[2 * i + 1] = _mm512_fmadd_ps(q, high, sum[2 * i + 1]);
        }
    }
    LM_UNROLL
    for (int i = 0; i < attend_avx512_TILE; i++) {
        _mm512_storeu_ps(t->p[i] + j, _mm512_mul_ps(sum[2 * i], scale));
        _mm512_storeu_ps(t->p[i] + j + 16, _mm512_mul_ps(sum[2 * i + 1], scale));
    }
}

LM_INLINE void attend_avx512_part_values(const lm_attend_tile *t, int first, int from, int to, size_t d, const float *row, int n_q)
{
    size_t left = t->args->v_dim - d;
    __mmask16 mask = math_avx512_mask(left), more = left > 16 ? math_avx512_mask(left - 16) : 0;
    __m512 sum[2 * attend_avx512_TILE];

    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        sum[2 * i] = _mm512_maskz_loadu_ps(mask, t->acc[first + i] + d);
        sum[2 * i + 1] = _mm512_maskz_loadu_ps(more, t->acc[first + i] + d + 16);
    }
    for (int j = from; j < to; j++, row += attend_avx512_DIMS) {
        __m512 low = _mm512_loadu_ps(row), high = _mm512_loadu_ps(row + 16);
        LM_UNROLL
        for (int i = 0; i < n_q; i++) {
            __m512 p = _mm512_set1_ps(t->p[first + i][j]);
            sum[2 * i] = _mm512_fmadd_ps(p, low, sum[2 * i]);
            sum[2 * i + 1] = _mm512_fmadd_ps(p, high, sum[2 * i + 1]);
        }
    }
    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        _mm512_mask_storeu_ps(t->acc[first + i] + d, mask, sum[2 * i]);
        _mm512_mask_storeu_ps(t->acc[first + i] + d + 16, more, sum[2 * i + 1]);
    }
}

#include "kernels/attend_many.inc"
#undef ATTEND

static void attend_avx512_merge(float *max, float *sum, float *acc, float chunk_max, float chunk_sum, const float *chunk_acc, size_t v_dim)
{
    float most = chunk_max > *max ? chunk_max : *max;
    __m512 u = math_avx512_exp(_mm512_set1_ps(*max - most)), w = math_avx512_exp(_mm512_set1_ps(chunk_max - most));
    *max = most;
    *sum = _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(*sum), _mm512_castps512_ps128(u), _mm_set_ss(chunk_sum * _mm512_cvtss_f32(w))));
    for (size_t d = 0; d < v_dim; d += 16) {
        __mmask16 mask = math_avx512_mask(v_dim - d);
        __m512 part = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, chunk_acc + d), w);
        _mm512_mask_storeu_ps(acc + d, mask, _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, acc + d), u, part));
    }
}

static void attend_avx512_finish(float *y, float sum, const float *acc, size_t v_dim)
{
    __m512 r = _mm512_set1_ps(1.0f / sum);
    for (size_t d = 0; d < v_dim; d += 16) {
        __mmask16 mask = math_avx512_mask(v_dim - d);
        _mm512_mask_storeu_ps(y + d, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, acc + d), r));
    }
}

LM_TARGET_END

/* Storing one position is the AVX2 kernels' work: it is bound by the scattered stores. */
void lm_kernels_attend_avx512(lm_kernels *table)
{
    table->attend_f32 = attend_avx512_many_f32;
    table->attend_f16 = attend_avx512_many_f16;
    table->attend_i8 = attend_avx512_i8;
    table->attend_merge = attend_avx512_merge;
    table->attend_finish = attend_avx512_finish;
}
#else
void lm_kernels_attend_avx512(lm_kernels *table) { (void)table; }
#endif
