/* SPDX-License-Identifier: MIT
 * The reference of attention and of the state it reads: one query at a time, one key at a time, as docs/ARITHMETIC.md says.
 * Written to be read, not to be fast; every tier gives its bits. What a query does not see is never used: pages hold junk there.
 * Pure functions. Threads: any. */
#include "kernels/kernels.h"

#include "base/compiler.h"
#include "base/fmath.h"

#include <string.h>

LM_EXACT_ARITHMETIC

/* f16 holds at most 65504; NaN stays. */
static uint16_t attend_ref_to_f16(float x)
{
    return lm_f16_from_f32(x > 65504.0f ? 65504.0f : x < -65504.0f ? -65504.0f : x);
}

static void attend_ref_store_k_f32(void *k_page, size_t at, const float *k, size_t k_dim)
{
    float *key = (float *)k_page + at / LM_KEYS * LM_KEYS * k_dim + at % LM_KEYS;
    for (size_t d = 0; d < k_dim; d++)
        key[d * LM_KEYS] = k[d];
}

static void attend_ref_store_k_f16(void *k_page, size_t at, const float *k, size_t k_dim)
{
    uint16_t *key = (uint16_t *)k_page + at / LM_KEYS * LM_KEYS * k_dim + at % LM_KEYS;
    for (size_t d = 0; d < k_dim; d++)
        key[d * LM_KEYS] = attend_ref_to_f16(k[d]);
}

static void attend_ref_store_v_f32(void *v_page, size_t at, const float *v, size_t v_dim)
{
    memcpy((float *)v_page + at * v_dim, v, v_dim * sizeof(float));
}

static void attend_ref_store_v_f16(void *v_page, size_t at, const float *v, size_t v_dim)
{
    uint16_t *value = (uint16_t *)v_page + at * v_dim;
    for (size_t d = 0; d < v_dim; d++)
        value[d] = attend_ref_to_f16(v[d]);
}

/* ---- int8 ---- */

/* The scale of n values, and what to multiply them by; 0, 0 for next to nothing; NaN, 0 where one is NaN or infinite. */
static float attend_ref_scale(const float *x, size_t n, float most, float *r)
{
    uint32_t bits = 0;                                      /* as integers: NaN > infinity > numbers */
    for (size_t i = 0; i < n; i++)
        bits = LM_MAX(bits, lm_bits_from_f32(x[i]) & 0x7fffffffu);
    float amax = lm_f32_from_bits(bits);
    *r = 0.0f;
    if (bits >= 0x7f800000u)
        return NAN;
    if (amax < 0x1p-100f)
        return 0.0f;
    *r = most / amax;
    return amax / most;
}

/* r 0: 0, whatever x is. */
static int32_t attend_ref_level(float x, float r)
{
    if (r == 0)
        return 0;
    float rounded = x * r + 0x1.8p23f;                      /* to nearest even */
    return (int32_t)(rounded - 0x1.8p23f);
}

static float attend_ref_quantize_head(int8_t *q, const float *x, size_t n)
{
    float r, scale = attend_ref_scale(x, n, 127.0f, &r);
    for (size_t d = 0; d < lm_i8_padded(n); d++)
        q[d] = (int8_t)(d < n ? attend_ref_level(x[d], r) : 0);
    return scale;
}

static void attend_ref_store_k_i8(void *k_page, size_t at, const float *k, size_t k_dim)
{
    unsigned char *group = (unsigned char *)k_page + at / LM_KEYS * lm_i8_k_group(k_dim);
    float r, scale = attend_ref_scale(k, k_dim, 127.0f, &r);
    memcpy(group + at % LM_KEYS * sizeof(float), &scale, sizeof(float));
    for (size_t d = 0; d < lm_i8_padded(k_dim); d++)
        group[lm_i8_k_at(at % LM_KEYS, d)] = (unsigned char)(d < k_dim ? attend_ref_level(k[d], r) : 0);
}

static void attend_ref_store_v_i8(void *v_page, size_t at, const float *v, size_t v_dim)
{
    unsigned char *group = (unsigned char *)v_page + at / LM_KEYS * lm_i8_v_group(v_dim);
    float r, scale = attend_ref_scale(v, v_dim, 127.0f, &r);
    memcpy(group + at % LM_KEYS * sizeof(float), &scale, sizeof(float));
    for (size_t d = 0; d < v_dim; d++)
        group[lm_i8_v_at(at % LM_KEYS, d, v_dim)] = (unsigned char)attend_ref_level(v[d], r);
}

/* ---- attention ---- */

/* Element d of key j of the chunk. */
static float attend_ref_key(const lm_attend_args *a, int is_f16, int32_t j, size_t d)
{
    const void *page = a->k_pages[j / a->page_positions];
    size_t at = (size_t)(j % a->page_positions), i = (at / LM_KEYS * a->head_dim + d) * LM_KEYS + at % LM_KEYS;
    return is_f16 ? lm_f32_from_f16(((const uint16_t *)page)[i]) : ((const float *)page)[i];
}

static float attend_ref_value(const lm_attend_args *a, int is_f16, int32_t j, size_t d)
{
    const void *page = a->v_pages[j / a->page_positions];
    size_t i = (size_t)(j % a->page_positions) * a->v_dim + d;
    return is_f16 ? lm_f32_from_f16(((const uint16_t *)page)[i]) : ((const float *)page)[i];
}

/* Scores of [from, to) to probabilities; their maximum and sum. */
static void attend_ref_softmax(const lm_attend_args *a, float *p, int32_t from, int32_t to, size_t i)
{
    float most = -INFINITY, lane[16] = { 0 };
    for (int32_t j = from; j < to; j++) {
        if (a->softcap != 0)
            p[j] = a->softcap * lm_tanhf(p[j] / a->softcap);
        if (p[j] > most)                                    /* never a NaN; it comes back through the sum */
            most = p[j];
    }
    most += 0.0f;                                           /* -0 becomes +0: which zero came first does not show */
    for (int32_t j = from; j < to; j++) {
        p[j] = lm_expf(p[j] - most);
        lane[j % 16] += p[j];
    }
    float b[8], c[4];
    for (int l = 0; l < 8; l++)
        b[l] = lane[l] + lane[l + 8];
    for (int l = 0; l < 4; l++)
        c[l] = b[l] + b[l + 4];
    float d0 = c[0] + c[2], d1 = c[1] + c[3];
    a->max[i] = most;
    a->sum[i] = d0 + d1;
}

static void attend_ref_query(const lm_attend_args *a, int is_f16, size_t i)
{
    const float *q = a->q + i * a->q_stride;
    int32_t from = LM_MAX(a->lo[i], a->chunk_pos) - a->chunk_pos;
    int32_t to = LM_MIN(a->hi[i], a->chunk_pos + LM_CHUNK) - a->chunk_pos;
    float p[LM_CHUNK];

    for (int32_t j = from; j < to; j++) {
        float dot = 0.0f;
        for (size_t d = 0; d < a->head_dim; d++)
            dot = lm_fmaf(q[d], attend_ref_key(a, is_f16, j, d), dot);
        p[j] = dot * a->scale;
    }
    attend_ref_softmax(a, p, from, to, i);
    for (size_t d = 0; d < a->v_dim; d++) {
        float acc = 0.0f;
        for (int32_t j = from; j < to; j++)
            acc = lm_fmaf(p[j], attend_ref_value(a, is_f16, j, d), acc);
        a->acc[i * a->v_dim + d] = acc;
    }
}

static void attend_ref_f32(const lm_attend_args *args)
{
    for (size_t i = 0; i < args->n_q; i++)
        attend_ref_query(args, 0, i);
}

static void attend_ref_f16(const lm_attend_args *args)
{
    for (size_t i = 0; i < args->n_q; i++)
        attend_ref_query(args, 1, i);
}

/* The group that key j of the chunk lies in. */
static const unsigned char *attend_ref_group(const lm_attend_args *a, const void *const *pages, size_t group_bytes, int32_t j)
{
    return (const unsigned char *)pages[j / a->page_positions] + (size_t)(j % a->page_positions / LM_KEYS) * group_bytes;
}

static float attend_ref_group_scale(const unsigned char *group, int32_t j)
{
    float scale;
    memcpy(&scale, group + (size_t)j % LM_KEYS * sizeof(float), sizeof(float));
    return scale;
}

/* Integers between the scales: the products of a query and a key, and those of probabilities, 15 bits of them, and values. Both sums
 * are exact: |q k| <= 127 * 127 a dimension, and 256 * 32767 * 127 < 2^31. */
static void attend_ref_query_i8(const lm_attend_args *a, size_t i)
{
    const int8_t *q = a->q8 + i * a->q8_stride;
    int32_t from = LM_MAX(a->lo[i], a->chunk_pos) - a->chunk_pos;
    int32_t to = LM_MIN(a->hi[i], a->chunk_pos + LM_CHUNK) - a->chunk_pos, level[LM_CHUNK];
    float p[LM_CHUNK], r, c = a->q8_scale[i] * a->scale;

    for (int32_t j = from; j < to; j++) {
        const unsigned char *group = attend_ref_group(a, a->k_pages, lm_i8_k_group(a->head_dim), j);
        int32_t dot = 0;
        for (size_t d = 0; d < a->head_dim; d++)
            dot += q[d] * (int8_t)group[lm_i8_k_at((size_t)j % LM_KEYS, d)];
        p[j] = (float)dot * (c * attend_ref_group_scale(group, j));
    }
    attend_ref_softmax(a, p, from, to, i);
    for (int32_t j = from; j < to; j++)
        p[j] = p[j] * attend_ref_group_scale(attend_ref_group(a, a->v_pages, lm_i8_v_group(a->v_dim), j), j);
    float scale = attend_ref_scale(p + from, (size_t)(to - from), 32767.0f, &r);
    for (int32_t j = from; j < to; j++)
        level[j] = attend_ref_level(p[j], r);
    for (size_t d = 0; d < a->v_dim; d++) {
        int32_t sum = 0;
        for (int32_t j = from; j < to; j++)
            sum += level[j] * (int8_t)attend_ref_group(a, a->v_pages, lm_i8_v_group(a->v_dim), j)[lm_i8_v_at((size_t)j % LM_KEYS, d, a->v_dim)];
        a->acc[i * a->v_dim + d] = (float)sum * scale;
    }
}

static void attend_ref_i8(const lm_attend_args *args)
{
    for (size_t i = 0; i < args->n_q; i++)
        attend_ref_query_i8(args, i);
}

static void attend_ref_merge(float *max, float *sum, float *acc, float chunk_max, float chunk_sum, const float *chunk_acc, size_t v_dim)
{
    float most = chunk_max > *max ? chunk_max : *max;
    float u = lm_expf(*max - most), w = lm_expf(chunk_max - most);
    *max = most;
    *sum = lm_fmaf(*sum, u, chunk_sum * w);
    for (size_t d = 0; d < v_dim; d++)
        acc[d] = lm_fmaf(acc[d], u, chunk_acc[d] * w);
}

static void attend_ref_finish(float *y, float sum, const float *acc, size_t v_dim)
{
    float r = 1.0f / sum;
    for (size_t d = 0; d < v_dim; d++)
        y[d] = acc[d] * r;
}

void lm_kernels_attend_ref(lm_kernels *table)
{
    table->store_k_f32 = attend_ref_store_k_f32;
    table->store_k_f16 = attend_ref_store_k_f16;
    table->store_v_f32 = attend_ref_store_v_f32;
    table->store_v_f16 = attend_ref_store_v_f16;
    table->store_k_i8 = attend_ref_store_k_i8;
    table->store_v_i8 = attend_ref_store_v_i8;
    table->quantize_head = attend_ref_quantize_head;
    table->attend_f32 = attend_ref_f32;
    table->attend_f16 = attend_ref_f16;
    table->attend_i8 = attend_ref_i8;
    table->attend_merge = attend_ref_merge;
    table->attend_finish = attend_ref_finish;
}
