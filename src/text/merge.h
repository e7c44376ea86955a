/* SPDX-License-Identifier: MIT
 * Merging neighbours by priority, the heart of both tokenizers: a table of pairs of ids, and the algorithm in O(n log n).
 * Knows ids only: no text, no bytes. Floor 3. The table is immutable once filled; the work belongs to one call. */
#ifndef LM_TEXT_MERGE_H
#define LM_TEXT_MERGE_H

#include "text/tokens.h"

/* A slot holds the pair and what it leads to: left id, right id, value, from high bits to low. The value is a number of a
 * merge (BPE: lower comes first) or the id of the merged token (SPM: the one with the lower `order` comes first). */
typedef struct lm_pairs {
    uint64_t *slots;
    uint32_t  n_slots, n;
    uint32_t  id_bits, value_bits;
    const uint32_t *result;             /* BPE: id of the merged token by value; SPM: NULL, the value is the id */
    const uint32_t *order;              /* SPM: priority by value, lower first; BPE: NULL, the value is the priority */
} lm_pairs;

/* Room for n_most pairs of ids below n_ids, and of values below n_values. E_LIMIT if they do not fit into 64 bits. */
llm_status lm_pairs_init(lm_pairs *pairs, lm_mem *mem, uint64_t n_most, uint32_t n_ids, uint64_t n_values, llm_error *error);
void       lm_pairs_free(lm_pairs *pairs, lm_mem *mem);     /* the slots; result and order are the owner's */
typedef struct lm_pair { uint32_t left, right, value; } lm_pair;
/* The first value of a pair counts. false: too many collisions. */
bool       lm_pairs_add(lm_pairs *pairs, const lm_pair *list, size_t n);
uint32_t   lm_pairs_find(const lm_pairs *pairs, uint32_t left, uint32_t right);    /* LM_ID_NONE */

/* Buffers of one call, grown as words need them. Zero-initialized but for mem. */
typedef struct lm_merge_work {
    lm_mem   *mem;
    uint32_t *ids; size_t cap;          /* the symbols of the word at hand */
    void     *nodes; size_t nodes_cap;  /* of a long word: the same, linked */
    uint64_t *heap; size_t n_heap, heap_cap;
} lm_merge_work;
/* Room for n symbols in work->ids, keeping those there. */
llm_status lm_merge_reserve(lm_merge_work *work, size_t n, llm_error *error);
/* Merges work->ids[0, n) in place, the best pair first, the leftmost of equals; returns how many are left in *n_left. */
llm_status lm_merge_run(const lm_pairs *pairs, lm_merge_work *work, size_t n, size_t *n_left, llm_error *error);
void       lm_merge_free(lm_merge_work *work);

/* A heap of numbers, the least on top. */
void     lm_heap_make(uint64_t *heap, size_t n);
void     lm_heap_push(uint64_t *heap, size_t *n, uint64_t key);
uint64_t lm_heap_pop(uint64_t *heap, size_t *n);            /* n > 0 */

#endif
