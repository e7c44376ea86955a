/* SPDX-License-Identifier: MIT
 * State and attention with AVX-512: the bits of kernels/ref/attend_ref.c.
 *
 * Queries go in tiles of up to eight, so that a key or value is read and widened once a tile. Scores: lane = key, sixteen keys
 * side by side as K is stored, one chain over head_dim for each query and group of keys. Sums of V: lane = dimension, one chain
 * over the keys for each query. Keys that all queries of a tile see go through the tile; the ragged ends of those that see
 * more go query by query, so that an unseen key is never multiplied, not even by zero. Scores that no query sees are computed
 * (from whatever the page holds) and then masked. Stack: 8 KiB of scores. Threads: any. */
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

/* Scores to probabilities for what one query sees; its maximum and sum. Unseen neighbours in the end groups become 0. */
static void attend_avx512_softmax(float *p, int from, int to, float softcap, float *max, float *sum)
{
    __m512 most = _mm512_set1_ps(-INFINITY), lanes = _mm512_setzero_ps(), cap = _mm512_set1_ps(softcap);
    for (int j = from / LM_KEYS * LM_KEYS; j < to; j += LM_KEYS) {
        __m512 s = _mm512_loadu_ps(p + j);
        if (softcap != 0) {
            s = _mm512_mul_ps(cap, math_avx512_tanh(_mm512_div_ps(s, cap)));
            _mm512_storeu_ps(p + j, s);
        }
        /* max_ps gives its second operand where the first is NaN */
        most = _mm512_mask_max_ps(most, attend_avx512_seen(j, from, to), s, most);
    }
    most = _mm512_add_ps(_mm512_set1_ps(_mm512_reduce_max_ps(most)), _mm512_setzero_ps());
    for (int j = from / LM_KEYS * LM_KEYS; j < to; j += LM_KEYS) {
        __m512 e = _mm512_maskz_mov_ps(attend_avx512_seen(j, from, to), math_avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(p + j), most)));
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

#define ATTEND(name) attend_avx512_##name
#define ATTEND_TILES(tile, type) tile(type, 1, 4, 4) tile(type, 2, 4, 4) tile(type, 4, 4, 4) tile(type, 8, 2, 2)
enum { attend_avx512_LANES = 16, attend_avx512_TILE = 8, attend_avx512_RAGGED = 4 };
#include "kernels/attend_tile.inc"

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
    table->attend_f32 = attend_avx512_f32;
    table->attend_f16 = attend_avx512_f16;
    table->attend_merge = attend_avx512_merge;
    table->attend_finish = attend_avx512_finish;
}
#else
void lm_kernels_attend_avx512(lm_kernels *table) { (void)table; }
#endif
