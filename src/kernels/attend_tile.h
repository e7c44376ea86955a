/* SPDX-License-Identifier: MIT
 * One tile of queries at work on one chunk: what the attention kernels of every vector tier share. Private to them. attend_tile.inc
 * and, for int8 state, attend_i8.inc drive the tiles; a tier brings the arithmetic. Pure functions. Threads: any. Floor 5. */
#ifndef LM_KERNELS_ATTEND_TILE_H
#define LM_KERNELS_ATTEND_TILE_H

#include "kernels/kernels.h"

#include "base/compiler.h"
#include "base/fmath.h"

/* What the state is stored as: a constant wherever a kernel asks. Spelled as in the names of kernels. */
enum { LM_ATTEND_f32, LM_ATTEND_f16, LM_ATTEND_i8 };

enum { LM_ATTEND_TILE = 8, LM_ATTEND_GROUPS = LM_CHUNK / LM_KEYS };   /* queries of the largest tile; groups of a chunk */

/* Positions are within the chunk. Missing queries repeat the last one. */
typedef struct lm_attend_tile {
    const lm_attend_args *args;
    const float *q[LM_ATTEND_TILE];                         /* int8 state: none, but: */
    const int8_t *q8[LM_ATTEND_TILE];
    float *acc[LM_ATTEND_TILE];
    float *p[LM_ATTEND_TILE];                               /* [LM_CHUNK] scores, then probabilities */
    int from[LM_ATTEND_TILE], to[LM_ATTEND_TILE];           /* what each query sees ... */
    int least, most;                                        /* ... any of them sees ... */
    int all_from, all_to;                                   /* ... and all of them see; both LM_CHUNK: nothing */
    int n_groups, number[LM_ATTEND_GROUPS];                 /* groups of sixteen keys that any query sees */
    const void *k[2 * LM_ATTEND_GROUPS];                    /* [n_groups] of K, then those of V: a kernel may fetch what follows */
    const char *v[LM_ATTEND_GROUPS];                        /* by number: sixteen rows of V each */
} lm_attend_tile;

/* What int8 state needs beside it. */
typedef struct lm_attend_i8 {
    float q_scale[LM_ATTEND_TILE], w_scale[LM_ATTEND_TILE]; /* of a query, times that of scores; of its levels */
    int32_t begin[LM_ATTEND_TILE];                          /* a sum of q k begins with it */
    const int16_t *level[LM_ATTEND_TILE];                   /* [LM_CHUNK] probabilities times scales of V */
} lm_attend_i8;

/* A block's scale by the bits of its largest magnitude; what to multiply by in *r, 0 where all levels are 0. */
LM_INLINE float lm_attend_scale(uint32_t bits, float most, float *r)
{
    float amax = lm_f32_from_bits(bits);
    *r = 0.0f;
    if (bits >= 0x7f800000u)
        return NAN;
    if (amax < 0x1p-100f)
        return 0.0f;
    *r = most / amax;
    return amax / most;
}

LM_INLINE size_t lm_attend_item(int type) { return type == LM_ATTEND_f16 ? 2 : 4; }

/* The queries begin .. begin + count of a tile of n_q; p: LM_CHUNK numbers for each of them. */
LM_INLINE void lm_attend_tile_begin(lm_attend_tile *t, const lm_attend_args *a, float *p, size_t begin, int count, int n_q, int type)
{
    int per_page = a->page_positions / LM_KEYS;
    size_t k_group = type == LM_ATTEND_i8 ? lm_i8_k_group(a->head_dim) : LM_KEYS * a->head_dim * lm_attend_item(type);
    size_t v_group = type == LM_ATTEND_i8 ? lm_i8_v_group(a->v_dim) : LM_KEYS * a->v_dim * lm_attend_item(type);

    t->args = a;
    t->most = t->all_from = t->n_groups = 0;
    t->least = t->all_to = LM_CHUNK;
    for (int i = 0; i < n_q; i++) {
        size_t query = begin + (size_t)LM_MIN(i, count - 1);
        if (type == LM_ATTEND_i8)
            t->q8[i] = a->q8 + query * a->q8_stride;
        else
            t->q[i] = a->q + query * a->q_stride;
        t->acc[i] = a->acc + query * a->v_dim;
        t->p[i] = p + LM_MIN(i, count - 1) * LM_CHUNK;
        t->from[i] = LM_MAX(a->lo[query], a->chunk_pos) - a->chunk_pos;
        t->to[i] = LM_MIN(a->hi[query] - a->chunk_pos, LM_CHUNK);
        t->least = LM_MIN(t->least, t->from[i]);
        t->most = LM_MAX(t->most, t->to[i]);
        t->all_from = LM_MAX(t->all_from, t->from[i]);
        t->all_to = LM_MIN(t->all_to, t->to[i]);
    }
    if (t->all_from >= t->all_to)
        t->all_from = t->all_to = LM_CHUNK;
    for (int j = t->least / LM_KEYS; j < (t->most + LM_KEYS - 1) / LM_KEYS; j++) {
        const char *page = a->k_pages[j / per_page];
        if (!page)                                          /* between two windows */
            continue;
        t->k[t->n_groups] = page + (size_t)(j % per_page) * k_group;
        t->v[j] = (const char *)a->v_pages[j / per_page] + (size_t)(j % per_page) * v_group;
        t->number[t->n_groups++] = j;
    }
    for (int g = 0; g < t->n_groups; g++)
        t->k[t->n_groups + g] = t->v[t->number[g]];
}

#endif
