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

static void attend_ref_query(const lm_attend_args *a, int is_f16, size_t i)
{
    const float *q = a->q + i * a->q_stride;
    int32_t from = LM_MAX(a->lo[i], a->chunk_pos) - a->chunk_pos;
    int32_t to = LM_MIN(a->hi[i], a->chunk_pos + LM_CHUNK) - a->chunk_pos;
    float p[LM_CHUNK], most = -INFINITY, lane[16] = { 0 };

    for (int32_t j = from; j < to; j++) {
        float dot = 0.0f;
        for (size_t d = 0; d < a->head_dim; d++)
            dot = lm_fmaf(q[d], attend_ref_key(a, is_f16, j, d), dot);
        p[j] = dot * a->scale;
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
    table->attend_f32 = attend_ref_f32;
    table->attend_f16 = attend_ref_f16;
    table->attend_merge = attend_ref_merge;
    table->attend_finish = attend_ref_finish;
}
