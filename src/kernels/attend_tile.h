/* SPDX-License-Identifier: MIT
 * One tile of queries at work on one chunk: what the attention kernels of every vector tier share. Private to them. attend_tile.inc
 * drives the tiles; a tier brings the arithmetic. Pure functions. Threads: any. Floor 5. */
#ifndef LM_KERNELS_ATTEND_TILE_H
#define LM_KERNELS_ATTEND_TILE_H

#include "kernels/kernels.h"

#include "base/compiler.h"

/* What the state is stored as: a constant wherever a kernel asks. Spelled as in the names of kernels. */
enum { LM_ATTEND_f32, LM_ATTEND_f16 };

enum { LM_ATTEND_TILE = 8, LM_ATTEND_GROUPS = LM_CHUNK / LM_KEYS };   /* queries of the largest tile; groups of a chunk */

/* Positions are within the chunk. Missing queries repeat the last one. */
typedef struct lm_attend_tile {
    const lm_attend_args *args;
    const float *q[LM_ATTEND_TILE];
    float *acc[LM_ATTEND_TILE];
    float *p[LM_ATTEND_TILE];                               /* [LM_CHUNK] scores, then probabilities */
    int from[LM_ATTEND_TILE], to[LM_ATTEND_TILE];           /* what each query sees ... */
    int all_from, all_to;                                   /* ... and what all of them see; both LM_CHUNK: nothing */
    int n_groups, number[LM_ATTEND_GROUPS];                 /* groups of sixteen keys that any query sees */
    const void *k[2 * LM_ATTEND_GROUPS];                    /* [n_groups] of K, then those of V: a kernel may fetch what follows */
    const char *v[LM_ATTEND_GROUPS];                        /* by number: sixteen rows of V each */
} lm_attend_tile;

LM_INLINE size_t lm_attend_item(int type) { return type == LM_ATTEND_f16 ? 2 : 4; }

/* The queries begin .. begin + count of a tile of n_q; p: LM_CHUNK numbers for each of them. */
LM_INLINE void lm_attend_tile_begin(lm_attend_tile *t, const lm_attend_args *a, float *p, size_t begin, int count, int n_q, int type)
{
    int least = LM_CHUNK, most = 0, per_page = a->page_positions / LM_KEYS;
    size_t item = lm_attend_item(type);

    t->args = a;
    t->all_from = t->n_groups = 0;
    t->all_to = LM_CHUNK;
    for (int i = 0; i < n_q; i++) {
        size_t query = begin + (size_t)LM_MIN(i, count - 1);
        t->q[i] = a->q + query * a->q_stride;
        t->acc[i] = a->acc + query * a->v_dim;
        t->p[i] = p + LM_MIN(i, count - 1) * LM_CHUNK;
        t->from[i] = LM_MAX(a->lo[query], a->chunk_pos) - a->chunk_pos;
        t->to[i] = LM_MIN(a->hi[query] - a->chunk_pos, LM_CHUNK);
        least = LM_MIN(least, t->from[i]);
        most = LM_MAX(most, t->to[i]);
        t->all_from = LM_MAX(t->all_from, t->from[i]);
        t->all_to = LM_MIN(t->all_to, t->to[i]);
    }
    if (t->all_from >= t->all_to)
        t->all_from = t->all_to = LM_CHUNK;
    for (int j = least / LM_KEYS; j < (most + LM_KEYS - 1) / LM_KEYS; j++) {
        const char *page = a->k_pages[j / per_page];
        if (!page)                                          /* between two windows */
            continue;
        t->k[t->n_groups] = page + (size_t)(j % per_page) * LM_KEYS * a->head_dim * item;
        t->v[j] = (const char *)a->v_pages[j / per_page] + (size_t)(j % per_page) * LM_KEYS * a->v_dim * item;
        t->number[t->n_groups++] = j;
    }
    for (int g = 0; g < t->n_groups; g++)
        t->k[t->n_groups + g] = t->v[t->number[g]];
}

#endif
