/* SPDX-License-Identifier: MIT
 * State and attention with NEON, any aarch64: the bits of kernels/ref/attend_ref.c.
 *
 * As x86/attend_avx512.c, which says why: tiles of up to four queries; scores with lane = key, four registers for the sixteen keys
 * stored side by side; sums of V with lane = dimension over the keys that all queries of a tile see, the ragged ends query by
 * query. f16 is widened by instructions that every aarch64 has. Stack: 4 KiB of scores. Threads: any. */
#include "kernels/attend_tile.h"
#include "kernels/kernels.h"
#include "kernels/arm/arm.h"
#include "kernels/arm/math_neon.h"

#include "base/compiler.h"

#include <string.h>

LM_EXACT_ARITHMETIC

#if LM_ARM

LM_INLINE float32x4_t attend_neon_widen(uint16x4_t x) { return vcvt_f32_f16(vreinterpret_f16_u16(x)); }

/* 4 n stored numbers, widened. */
LM_INLINE void attend_neon_load(float32x4_t *out, const void *x, size_t i, int type, int n)
{
    LM_UNROLL
    for (int v = 0; v < n; v++)
        out[v] = type == LM_ATTEND_f16 ? attend_neon_widen(vld1_u16((const uint16_t *)x + i + 4 * v)) : vld1q_f32((const float *)x + i + 4 * v);
}

/* The first n < 4, zeros behind. */
LM_INLINE float32x4_t attend_neon_load_part(const void *x, size_t i, size_t n, int type)
{
    if (type == LM_ATTEND_f32)
        return math_neon_load_part((const float *)x + i, n);
    uint16_t part[4] = { 0 };
    memcpy(part, (const uint16_t *)x + i, n * 2);
    return attend_neon_widen(vld1_u16(part));
}

/* The scores of n_q queries against n_groups groups of keys, from `first` of t->k on. */
LM_INLINE void attend_neon_scores(const lm_attend_tile *t, int first, int type, int n_q, int n_groups)
{
    const void *const *k = t->k + first;
    const int *number = t->number + first;
    size_t head_dim = t->args->head_dim;
    float32x4_t sum[16];

    LM_UNROLL
    for (int i = 0; i < n_q * n_groups * 4; i++)
        sum[i] = vdupq_n_f32(0);
    for (size_t d = 0; d < head_dim; d++) {
        LM_UNROLL
        for (int g = 0; g < n_groups; g++) {
            float32x4_t key[4];
            attend_neon_load(key, k[g], d * LM_KEYS, type, 4);
            LM_UNROLL
            for (int i = 0; i < n_q; i++) {
                float q = t->q[i][d];
                LM_UNROLL
                for (int v = 0; v < 4; v++)
                    sum[(i * n_groups + g) * 4 + v] = vfmaq_n_f32(sum[(i * n_groups + g) * 4 + v], key[v], q);
            }
        }
    }
    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int g = 0; g < n_groups; g++) {
            LM_UNROLL
            for (int v = 0; v < 4; v++)
                vst1q_f32(t->p[i] + number[g] * LM_KEYS + 4 * v, vmulq_n_f32(sum[(i * n_groups + g) * 4 + v], t->args->scale));
        }
    }
}

/* Scores to probabilities for what one query sees; its maximum and sum. Unseen neighbours in the end groups become 0. */
static void attend_neon_softmax(float *p, int from, int to, float softcap, float *max, float *sum)
{
    float32x4_t least = vdupq_n_f32(-INFINITY), most4 = least, cap = vdupq_n_f32(softcap), lane[4];
    for (int j = from / LM_KEYS * LM_KEYS; j < to; j += 4) {
        float32x4_t s = vld1q_f32(p + j);
        if (softcap != 0) {
            s = vmulq_f32(cap, math_neon_tanh(vdivq_f32(s, cap)));
            vst1q_f32(p + j, s);
        }
        most4 = math_neon_max(vbslq_f32(math_neon_between(j, from, to), s, least), most4);
    }
    float most = math_neon_max_lane(most4);
    LM_UNROLL
    for (int v = 0; v < 4; v++)
        lane[v] = vdupq_n_f32(0);
    for (int j = from / LM_KEYS * LM_KEYS; j < to; j += LM_KEYS) {
        LM_UNROLL
        for (int v = 0; v < 4; v++) {
            float32x4_t e = math_neon_exp(vsubq_f32(vld1q_f32(p + j + 4 * v), vdupq_n_f32(most)));
            e = math_neon_and(e, math_neon_between(j + 4 * v, from, to));
            lane[v] = vaddq_f32(lane[v], e);
            vst1q_f32(p + j + 4 * v, e);
        }
    }
    *max = most;
    *sum = math_neon_tree16(lane);
}

/* acc += p V for the keys from..to and the dimensions d .. d + 4 n_v; part != 0: only so many of four. */
LM_INLINE void attend_neon_values(const lm_attend_tile *t, int first, int from, int to, size_t d, size_t part, int type, int n_q, int n_v)
{
    size_t v_dim = t->args->v_dim, item = lm_attend_item(type);
    float32x4_t sum[16];

    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int v = 0; v < n_v; v++)
            sum[i * n_v + v] = part ? math_neon_load_part(t->acc[first + i] + d, part) : vld1q_f32(t->acc[first + i] + d + (size_t)v * 4);
    }
    for (int j = from; j < to;) {
        int end = LM_MIN(to, (j / LM_KEYS + 1) * LM_KEYS);
        const char *row = t->v[j / LM_KEYS] + (size_t)(j % LM_KEYS) * v_dim * item;
        for (; j < end; j++, row += v_dim * item) {
            float32x4_t value[8];
            if (part)
                value[0] = attend_neon_load_part(row, d, part, type);
            else
                attend_neon_load(value, row, d, type, n_v);
            LM_UNROLL
            for (int i = 0; i < n_q; i++) {
                float p = t->p[first + i][j];
                LM_UNROLL
                for (int v = 0; v < n_v; v++)
                    sum[i * n_v + v] = vfmaq_n_f32(sum[i * n_v + v], value[v], p);
            }
        }
    }
    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int v = 0; v < n_v; v++) {
            if (part)
                math_neon_store_part(t->acc[first + i] + d, part, sum[i * n_v + v]);
            else
                vst1q_f32(t->acc[first + i] + d + (size_t)v * 4, sum[i * n_v + v]);
        }
    }
}

#define ATTEND(name) attend_neon_##name
#define ATTEND_TILES(tile, type) tile(type, 1, 4, 8) tile(type, 2, 2, 8) tile(type, 4, 1, 4)
enum { attend_neon_LANES = 4, attend_neon_TILE = 4, attend_neon_RAGGED = 8 };
#include "kernels/attend_tile.inc"

static void attend_neon_merge(float *max, float *sum, float *acc, float chunk_max, float chunk_sum, const float *chunk_acc, size_t v_dim)
{
    float most = chunk_max > *max ? chunk_max : *max;
    float u = vgetq_lane_f32(math_neon_exp(vdupq_n_f32(*max - most)), 0), w = vgetq_lane_f32(math_neon_exp(vdupq_n_f32(chunk_max - most)), 0);
    *max = most;
    *sum = lm_fmaf(*sum, u, chunk_sum * w);
    for (size_t d = 0; d < v_dim; d += 4) {
        float32x4_t part = vmulq_n_f32(math_neon_load(chunk_acc + d, v_dim - d), w);
        math_neon_store(acc + d, v_dim - d, vfmaq_n_f32(part, math_neon_load(acc + d, v_dim - d), u));
    }
}

static void attend_neon_finish(float *y, float sum, const float *acc, size_t v_dim)
{
    float r = 1.0f / sum;
    for (size_t d = 0; d < v_dim; d += 4)
        math_neon_store(y + d, v_dim - d, vmulq_n_f32(math_neon_load(acc + d, v_dim - d), r));
}

/* Clamped (a NaN compares false, and stays) and narrowed. */
LM_INLINE uint16x4_t attend_neon_to_f16(float32x4_t x)
{
    x = vbslq_f32(vcgtq_f32(x, vdupq_n_f32(65504.0f)), vdupq_n_f32(65504.0f), x);
    x = vbslq_f32(vcltq_f32(x, vdupq_n_f32(-65504.0f)), vdupq_n_f32(-65504.0f), x);
    return vreinterpret_u16_f16(vcvt_f16_f32(x));
}

static void attend_neon_store_k_f16(void *k_page, size_t at, const float *k, size_t k_dim)
{
    uint16_t *key = (uint16_t *)k_page + at / LM_KEYS * LM_KEYS * k_dim + at % LM_KEYS, part[4];
    for (size_t d = 0; d < k_dim; d += 4) {
        vst1_u16(part, attend_neon_to_f16(math_neon_load(k + d, k_dim - d)));
        for (size_t i = 0; i < LM_MIN(k_dim - d, (size_t)4); i++)
            key[(d + i) * LM_KEYS] = part[i];
    }
}

static void attend_neon_store_v_f16(void *v_page, size_t at, const float *v, size_t v_dim)
{
    uint16_t *value = (uint16_t *)v_page + at * v_dim, part[4];
    size_t d = 0;
    for (; d + 4 <= v_dim; d += 4)
        vst1_u16(value + d, attend_neon_to_f16(vld1q_f32(v + d)));
    if (d < v_dim) {
        vst1_u16(part, attend_neon_to_f16(math_neon_load_part(v + d, v_dim - d)));
        memcpy(value + d, part, (v_dim - d) * 2);
    }
}

/* f32 state is moved, not computed: the reference stores it. */
void lm_kernels_attend_neon(lm_kernels *table)
{
    table->store_k_f16 = attend_neon_store_k_f16;
    table->store_v_f16 = attend_neon_store_v_f16;
    table->attend_f32 = attend_neon_f32;
    table->attend_f16 = attend_neon_f16;
    table->attend_merge = attend_neon_merge;
    table->attend_finish = attend_neon_finish;
}
#else
void lm_kernels_attend_neon(lm_kernels *table) { (void)table; }
#endif
