/* SPDX-License-Identifier: MIT
 * State and attention with NEON, any aarch64: the bits of kernels/ref/attend_ref.c.
 *
 * As x86/attend_avx512.c, which says why: tiles of up to four queries; scores with lane = key, four registers for the sixteen keys
 * stored side by side; sums of V with lane = dimension over the keys that all queries of a tile see, the ragged ends query by
 * query. f16 is widened by instructions that every aarch64 has. Stack: 4 KiB of scores, 6 KiB with int8. Threads: any. */
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

/* ---- int8: products of bytes, added in pairs; products of sixteen bits ---- */

LM_INLINE int32_t attend_neon_i8_begin(const int8_t *q, size_t n)
{
    (void)q, (void)n;
    return 0;
}

/* sum += four keys of four bytes each times four bytes of a query in every lane. 2 * 127 * 127 fits sixteen bits. */
LM_INLINE int32x4_t attend_neon_i8_dot(int32x4_t sum, int8x16_t key, int8x16_t q)
{
    int16x8_t low = vmull_s8(vget_low_s8(key), vget_low_s8(q)), high = vmull_high_s8(key, q);
    return vpadalq_s16(sum, vpaddq_s16(low, high));
}

LM_INLINE void attend_neon_i8_scores(const lm_attend_tile *t, const lm_attend_i8 *x, int first, int n_q, int n_groups)
{
    size_t n = lm_i8_padded(t->args->head_dim), scales = LM_KEYS * sizeof(float);
    int32x4_t sum[16];

    LM_UNROLL
    for (int i = 0; i < n_q * n_groups * 4; i++)
        sum[i] = vdupq_n_s32(0);
    for (size_t d = 0; d < n; d += 4) {
        LM_UNROLL
        for (int g = 0; g < n_groups; g++) {
            const int8_t *k = (const int8_t *)t->k[first + g] + scales + d * LM_KEYS;
            int8x16_t key[4];
            LM_UNROLL
            for (int v = 0; v < 4; v++)
                key[v] = vld1q_s8(k + 16 * v);
            LM_UNROLL
            for (int i = 0; i < n_q; i++) {
                int32_t four;
                memcpy(&four, t->q8[i] + d, 4);
                int8x16_t q = vreinterpretq_s8_s32(vdupq_n_s32(four));
                LM_UNROLL
                for (int v = 0; v < 4; v++)
                    sum[(i * n_groups + g) * 4 + v] = attend_neon_i8_dot(sum[(i * n_groups + g) * 4 + v], key[v], q);
            }
        }
    }
    LM_UNROLL
    for (int g = 0; g < n_groups; g++) {
        LM_UNROLL
        for (int v = 0; v < 4; v++) {
            float32x4_t k_scale = vld1q_f32((const float *)t->k[first + g] + 4 * v);
            LM_UNROLL
            for (int i = 0; i < n_q; i++)
                vst1q_f32(t->p[i] + t->number[first + g] * LM_KEYS + 4 * v,
                          vmulq_f32(vcvtq_f32_s32(sum[(i * n_groups + g) * 4 + v]), vmulq_n_f32(k_scale, x->q_scale[i])));
        }
    }
}

LM_INLINE uint32x4_t attend_neon_magnitude(float32x4_t x) { return vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x7fffffffu)); }

/* Four numbers times r, rounded to nearest even, narrowed; r 0: zeros (NaN * 0 is no number). */
LM_INLINE int16x4_t attend_neon_rounded(float32x4_t x, float r) { return r > 0 ? vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(x, r))) : vdup_n_s16(0); }

static float attend_neon_i8_levels(const lm_attend_tile *t, int i, int16_t *level)
{
    float *p = t->p[i], r, scale;
    uint32x4_t most = vdupq_n_u32(0);
    for (int g = 0; g < t->n_groups; g++) {
        const float *v_scale = t->k[t->n_groups + g];
        LM_UNROLL
        for (int v = 0; v < 4; v++) {
            int j = t->number[g] * LM_KEYS + 4 * v;
            float32x4_t w = math_neon_and(vmulq_f32(vld1q_f32(p + j), vld1q_f32(v_scale + 4 * v)), math_neon_between(j, t->from[i], t->to[i]));
            most = vmaxq_u32(most, attend_neon_magnitude(w));
            vst1q_f32(p + j, w);
        }
    }
    scale = lm_attend_scale(vmaxvq_u32(most), 32767.0f, &r);
    for (int g = 0; g < t->n_groups; g++) {
        int j = t->number[g] * LM_KEYS;
        LM_UNROLL
        for (int v = 0; v < 4; v++)
            vst1_s16(level + j + 4 * v, attend_neon_rounded(vld1q_f32(p + j + 4 * v), r));
    }
    return scale;
}

LM_INLINE void attend_neon_i8_values(const lm_attend_tile *t, const lm_attend_i8 *x, size_t d, size_t part, int n_q, int n_v)
{
    size_t row_bytes = t->args->v_dim * 2, scales = LM_KEYS * sizeof(float);
    int32x4_t sum[16];

    LM_UNROLL
    for (int i = 0; i < n_q * n_v * 2; i++)
        sum[i] = vdupq_n_s32(0);
    for (int g = 0; g < t->n_groups; g++) {
        int j = t->number[g] * LM_KEYS;
        const int8_t *row = (const int8_t *)t->v[t->number[g]] + scales + d * 2;
        for (int pair = 0; pair < LM_KEYS / 2; pair++, row += row_bytes) {
            int16x8_t even[4], odd[4];
            int8_t some[16] = { 0 };
            if (part)
                memcpy(some, row, 2 * part);
            LM_UNROLL
            for (int v = 0; v < n_v; v++) {
                int8x8x2_t both = vld2_s8(part ? some : row + v * 16);
                even[v] = vmovl_s8(both.val[0]);
                odd[v] = vmovl_s8(both.val[1]);
            }
            LM_UNROLL
            for (int i = 0; i < n_q; i++) {
                int16_t a = x->level[i][j + 2 * pair], b = x->level[i][j + 2 * pair + 1];
                LM_UNROLL
                for (int v = 0; v < n_v; v++) {
                    int32x4_t *low = &sum[(i * n_v + v) * 2], *high = low + 1;
                    *low = vmlal_n_s16(vmlal_n_s16(*low, vget_low_s16(even[v]), a), vget_low_s16(odd[v]), b);
                    *high = vmlal_high_n_s16(vmlal_high_n_s16(*high, even[v], a), odd[v], b);
                }
            }
        }
    }
    LM_UNROLL
    for (int i = 0; i < n_q; i++) {
        LM_UNROLL
        for (int v = 0; v < n_v * 2; v++) {
            size_t at = d + (size_t)v * 4, left = part ? (part > (size_t)v * 4 ? part - (size_t)v * 4 : 0) : 4;
            math_neon_store(t->acc[i] + at, left, vmulq_n_f32(vcvtq_f32_s32(sum[i * n_v * 2 + v]), x->w_scale[i]));
        }
    }
}

#define ATTEND(name) attend_neon_##name
#define ATTEND_I8_TILES(tile) tile(1, 2, 4) tile(2, 2, 4) tile(4, 1, 2)
#define ATTEND_TILES_f16(tile) tile(f16, 1, 4, 8) tile(f16, 2, 2, 8) tile(f16, 4, 1, 4)
#define ATTEND_TILES_f32(tile) tile(f32, 1, 4, 8) tile(f32, 2, 2, 8) tile(f32, 4, 1, 4)
enum { attend_neon_TILE_f16 = 4, attend_neon_TILE_f32 = 4 };
enum { attend_neon_LANES = 4, attend_neon_TILE = 4, attend_neon_RAGGED = 8, attend_neon_I8_LANES = 8 };
#include "kernels/attend_i8.inc"
#include "kernels/attend_tile.inc"
#undef ATTEND

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

/* The scale of a head, and what to multiply it by. */
static float attend_neon_head_scale(const float *x, size_t n, float *r)
{
    uint32x4_t most = vdupq_n_u32(0);
    for (size_t d = 0; d < n; d += 4)
        most = vmaxq_u32(most, attend_neon_magnitude(math_neon_load(x + d, n - d)));
    return lm_attend_scale(vmaxvq_u32(most), 127.0f, r);
}

/* Up to four levels of a head with `left` to go, zeros behind. */
LM_INLINE void attend_neon_head_levels(int8_t *out, const float *x, size_t left, float r)
{
    int16x4_t four = attend_neon_rounded(math_neon_load(x, left), r);
    uint32_t bytes = vget_lane_u32(vreinterpret_u32_s8(vmovn_s16(vcombine_s16(four, four))), 0);
    memcpy(out, &bytes, 4);
}

static float attend_neon_quantize_head(int8_t *q, const float *x, size_t n)
{
    float r, scale = attend_neon_head_scale(x, n, &r);
    for (size_t d = 0; d < n; d += 4)
        attend_neon_head_levels(q + d, x + d, n - d, r);
    return scale;
}

static void attend_neon_store_k_i8(void *k_page, size_t at, const float *k, size_t k_dim)
{
    int8_t *group = (int8_t *)k_page + at / LM_KEYS * lm_i8_k_group(k_dim);
    float r, scale = attend_neon_head_scale(k, k_dim, &r);
    memcpy(group + at % LM_KEYS * sizeof(float), &scale, sizeof(float));
    for (size_t d = 0; d < k_dim; d += 4)
        attend_neon_head_levels(group + lm_i8_k_at(at % LM_KEYS, d), k + d, k_dim - d, r);
}

/* Byte by byte: another thread may store the position beside this one. */
static void attend_neon_store_v_i8(void *v_page, size_t at, const float *v, size_t v_dim)
{
    int8_t *group = (int8_t *)v_page + at / LM_KEYS * lm_i8_v_group(v_dim);
    float r, scale = attend_neon_head_scale(v, v_dim, &r);
    memcpy(group + at % LM_KEYS * sizeof(float), &scale, sizeof(float));
    for (size_t d = 0; d < v_dim; d += 4) {
        int8_t four[4];
        attend_neon_head_levels(four, v + d, v_dim - d, r);
        for (size_t i = 0; i < LM_MIN(v_dim - d, (size_t)4); i++)
            group[lm_i8_v_at(at % LM_KEYS, d + i, v_dim)] = four[i];
    }
}

/* f32 state is moved, not computed: the reference stores it. */
void lm_kernels_attend_neon(lm_kernels *table)
{
    table->store_k_f16 = attend_neon_store_k_f16;
    table->store_v_f16 = attend_neon_store_v_f16;
    table->attend_f32 = attend_neon_f32;
    table->attend_f16 = attend_neon_f16;
    table->store_k_i8 = attend_neon_store_k_i8;
    table->store_v_i8 = attend_neon_store_v_i8;
    table->quantize_head = attend_neon_quantize_head;
    table->attend_i8 = attend_neon_i8;
    table->attend_merge = attend_neon_merge;
    table->attend_finish = attend_neon_finish;
}
#else
void lm_kernels_attend_neon(lm_kernels *table) { (void)table; }
#endif
