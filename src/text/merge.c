/* SPDX-License-Identifier: MIT
 * Merging neighbours by priority: see merge.h.
 *
 * Short words (nearly all) are merged by looking for the best pair again and again: quadratic, but within a few cache lines.
 * Long ones by a heap of (priority, position) over a linked list. Only pairs that come before both pairs they overlap can be
 * next: the heap holds all of these, and of others only stale entries. An entry is stale unless the pair now at its position has
 * its priority: the least one that is not stale is the best pair of all, so stale entries need no further marks. A merge makes
 * at most four pairs the first of their neighbours: n log n whatever the merges are. */
#include "text/merge.h"

#include <string.h>

#define PAIRS_FREE UINT64_MAX
enum { MERGE_SHORT = 40, MERGE_HEAP_PAD = 7 };              /* heap[1] begins a cache line */

/* ---- pairs ---- */

static uint32_t pairs_bits(uint64_t n)                      /* bits for numbers below n + 1, so that all ones stay unused */
{
    uint32_t bits = 1;
    while (bits < 63 && ((uint64_t)1 << bits) <= n)
        bits++;
    return bits;
}

LM_INLINE uint32_t pairs_home(const lm_pairs *pairs, uint64_t key)
{
    key *= 0x9fb21c651e98df25u;
    key ^= key >> 35;
    key *= 0x9fb21c651e98df25u;
    return (uint32_t)(((key >> 32) * pairs->n_slots) >> 32);
}

llm_status lm_pairs_init(lm_pairs *pairs, lm_mem *mem, uint64_t n_most, uint32_t n_ids, uint64_t n_values, llm_error *error)
{
    pairs->id_bits = pairs_bits(n_ids);
    pairs->value_bits = 64 - 2 * pairs->id_bits;
    if (pairs_bits(n_values) > pairs->value_bits || n_most > UINT32_MAX / 2)
        return lm_fail_at(error, LLM_E_LIMIT, "tokenizer.ggml.merges", 21, UINT64_MAX, "%llu merges of %u tokens are more than this library can hold",
                          (unsigned long long)n_most, n_ids);
    pairs->n_slots = (uint32_t)(n_most + n_most / 2 + 8);
    pairs->slots = lm_mem_raw(mem, (size_t)pairs->n_slots * sizeof *pairs->slots, LLM_MEMORY_TOKENIZER);
    if (!pairs->slots)
        return lm_fail_memory(error, "the merges", (size_t)pairs->n_slots * sizeof *pairs->slots);
    memset(pairs->slots, 0xff, (size_t)pairs->n_slots * sizeof *pairs->slots);
    return LLM_OK;
}

void lm_pairs_free(lm_pairs *pairs, lm_mem *mem)
{
    lm_mem_free(mem, pairs->slots);
    memset(pairs, 0, sizeof *pairs);
}

LM_INLINE bool pairs_add(lm_pairs *pairs, uint64_t key, uint32_t slot, uint32_t value)
{
    for (uint32_t probes = 0; probes < LM_MAX_PROBES; probes++) {
        if (pairs->slots[slot] == PAIRS_FREE) {
            pairs->slots[slot] = key << pairs->value_bits | value;
            pairs->n++;
            return true;
        }
        if (pairs->slots[slot] >> pairs->value_bits == key)
            return true;
        if (++slot == pairs->n_slots)
            slot = 0;
    }
    return false;
}

bool lm_pairs_add(lm_pairs *pairs, const lm_pair *list, size_t n)
{
    enum { BATCH = 32 };                                    /* their slots are fetched together */
    uint32_t slots[BATCH];
    for (size_t done = 0; done < n; done += BATCH) {
        size_t batch = LM_MIN(n - done, (size_t)BATCH);
        for (size_t i = 0; i < batch; i++) {
            slots[i] = pairs_home(pairs, (uint64_t)list[done + i].left << pairs->id_bits | list[done + i].right);
            LM_PREFETCH(&pairs->slots[slots[i]]);
        }
        for (size_t i = 0; i < batch; i++) {
            const lm_pair *pair = &list[done + i];
            if (!pairs_add(pairs, (uint64_t)pair->left << pairs->id_bits | pair->right, slots[i], pair->value))
                return false;
        }
    }
    return true;
}

LM_INLINE uint32_t pairs_find(const lm_pairs *pairs, uint32_t left, uint32_t right)
{
    uint64_t key = (uint64_t)left << pairs->id_bits | right;
    uint32_t slot = pairs_home(pairs, key);
    for (;;) {                                              /* ends: there are free slots, and no add went past the bound */
        uint64_t found = pairs->slots[slot];
        if (found >> pairs->value_bits == key)
            return (uint32_t)(found & (((uint64_t)1 << pairs->value_bits) - 1));
        if (found == PAIRS_FREE)
            return LM_ID_NONE;
        if (++slot == pairs->n_slots)
            slot = 0;
    }
}

uint32_t lm_pairs_find(const lm_pairs *pairs, uint32_t left, uint32_t right) { return pairs_find(pairs, left, right); }

LM_INLINE uint32_t pairs_order(const lm_pairs *pairs, uint32_t value) { return pairs->order ? pairs->order[value] : value; }
LM_INLINE uint32_t pairs_result(const lm_pairs *pairs, uint32_t value) { return pairs->result ? pairs->result[value] : value; }

/* ---- heap: eight children a node, one cache line where heap[1] begins one ---- */

static void heap_down(uint64_t *heap, size_t n, size_t at)
{
    uint64_t key = heap[at];
    for (;;) {
        size_t child = at * 8 + 1, best = child, last = LM_MIN(child + 8, n);
        uint64_t least;
        if (child >= n)
            break;
        least = heap[child];
        for (size_t i = child + 1; i < last; i++) {
            best = heap[i] < least ? i : best;
            least = heap[i] < least ? heap[i] : least;
        }
        if (least >= key)
            break;
        heap[at] = least;
        at = best;
    }
    heap[at] = key;
}

void lm_heap_make(uint64_t *heap, size_t n)
{
    for (size_t i = n / 8 + 1; i-- > 0;)
        if (i < n)
            heap_down(heap, n, i);
}

void lm_heap_push(uint64_t *heap, size_t *n, uint64_t key)
{
    size_t at = (*n)++;
    while (at > 0 && heap[(at - 1) / 8] > key) {
        heap[at] = heap[(at - 1) / 8];
        at = (at - 1) / 8;
    }
    heap[at] = key;
}

uint64_t lm_heap_pop(uint64_t *heap, size_t *n)
{
    uint64_t top = heap[0];
    heap[0] = heap[--*n];
    if (*n > 1)
        heap_down(heap, *n, 0);
    return top;
}

/* ---- merging ---- */

llm_status lm_merge_reserve(lm_merge_work *work, size_t n, llm_error *error)
{
    size_t cap = LM_MAX(n, work->cap * 2);
    uint32_t *ids;
    if (n <= work->cap)
        return LLM_OK;
    cap = LM_MAX(cap, (size_t)256);
    ids = cap <= SIZE_MAX / 8 ? lm_mem_grow(work->mem, work->ids, cap * sizeof *ids, LLM_MEMORY_TOKENIZER) : NULL;
    if (!ids)
        return lm_fail_memory(error, "the symbols of a text", cap * sizeof *ids);
    work->ids = ids;
    work->cap = cap;
    return LLM_OK;
}

void lm_merge_free(lm_merge_work *work)
{
    lm_mem_free(work->mem, work->ids);
    lm_mem_free(work->mem, work->nodes);
    lm_mem_free(work->mem, work->heap);
    work->ids = NULL;
    work->nodes = NULL;
    work->heap = NULL;
    work->cap = work->nodes_cap = work->heap_cap = 0;
}

static size_t merge_short(const lm_pairs *pairs, uint32_t *ids, size_t n)
{
    uint32_t values[MERGE_SHORT], orders[MERGE_SHORT];
    for (size_t i = 0; i + 1 < n; i++) {
        values[i] = pairs_find(pairs, ids[i], ids[i + 1]);
        orders[i] = values[i] == LM_ID_NONE ? UINT32_MAX : pairs_order(pairs, values[i]);
    }
    while (n > 1) {
        uint32_t best = UINT32_MAX;
        size_t at = n;
        for (size_t i = 0; i + 1 < n; i++)
            if (orders[i] < best) {                         /* no real priority is UINT32_MAX */
                best = orders[i];
                at = i;
            }
        if (at == n)
            break;
        ids[at] = pairs_result(pairs, values[at]);
        n--;
        for (size_t i = at + 1; i < n; i++)
            ids[i] = ids[i + 1];
        for (size_t i = at + 1; i + 1 < n; i++) {
            values[i] = values[i + 1];
            orders[i] = orders[i + 1];
        }
        for (size_t i = at - (at > 0); i <= at && i + 1 < n; i++) {
            values[i] = pairs_find(pairs, ids[i], ids[i + 1]);
            orders[i] = values[i] == LM_ID_NONE ? UINT32_MAX : pairs_order(pairs, values[i]);
        }
    }
    return n;
}

/* A symbol of a long word; `value`: of the pair that it makes with the one after it, LM_ID_NONE where they make none. */
typedef struct merge_node { uint32_t before, after, id, value; } merge_node;
enum { MERGE_END = UINT32_MAX };                            /* instead of a neighbour; an order that none has */

LM_INLINE uint32_t merge_order(const lm_pairs *pairs, const merge_node *node)
{
    return node->value == LM_ID_NONE ? UINT32_MAX : pairs_order(pairs, node->value);
}

/* Puts the pair at `at` on the heap if it comes before both pairs that it overlaps. */
static llm_status merge_offer(const lm_pairs *pairs, lm_merge_work *work, const merge_node *nodes, uint32_t at, llm_error *error)
{
    const merge_node *node = &nodes[at];
    uint32_t order = merge_order(pairs, node);
    if (order == UINT32_MAX || (node->before != MERGE_END && merge_order(pairs, &nodes[node->before]) <= order) ||
        merge_order(pairs, &nodes[node->after]) < order)
        return LLM_OK;
    if (LM_UNLIKELY(work->n_heap == work->heap_cap)) {
        size_t cap = LM_MAX(work->heap_cap * 2, (size_t)256);
        uint64_t *heap = cap <= SIZE_MAX / 16 ? lm_mem_grow(work->mem, work->heap, (cap + MERGE_HEAP_PAD) * sizeof *heap, LLM_MEMORY_TOKENIZER) : NULL;
        if (!heap)
            return lm_fail_memory(error, "merging a long word", cap * sizeof *heap);
        work->heap = heap;
        work->heap_cap = cap;
    }
    lm_heap_push(work->heap + MERGE_HEAP_PAD, &work->n_heap, (uint64_t)order << 32 | at);
    return LLM_OK;
}

/* Merges the pair at `at`, whose turn it is. A pair elsewhere has to be offered anew only if it became the first of its neighbours
 * by this: its own value changed, or a neighbour's that came before it. */
static llm_status merge_one(const lm_pairs *pairs, lm_merge_work *work, merge_node *nodes, uint32_t at, llm_error *error)
{
    merge_node *node = &nodes[at];
    uint32_t before = node->before, gone = node->after, after = nodes[gone].after, gone_order = merge_order(pairs, &nodes[gone]);
    node->id = pairs_result(pairs, node->value);
    nodes[gone].value = LM_ID_NONE;
    node->after = after;
    node->value = LM_ID_NONE;
    if (after != MERGE_END) {
        nodes[after].before = at;
        node->value = pairs_find(pairs, node->id, nodes[after].id);
    }
    if (before != MERGE_END) {
        merge_node *left = &nodes[before];
        uint32_t left_order = merge_order(pairs, left);
        left->value = pairs_find(pairs, left->id, node->id);
        if (left->before != MERGE_END && left_order < merge_order(pairs, &nodes[left->before]))
            LM_TRY(merge_offer(pairs, work, nodes, left->before, error));
        LM_TRY(merge_offer(pairs, work, nodes, before, error));
    }
    LM_TRY(merge_offer(pairs, work, nodes, at, error));
    return after != MERGE_END && gone_order <= merge_order(pairs, &nodes[after]) ? merge_offer(pairs, work, nodes, after, error) : LLM_OK;
}

static llm_status merge_nodes(lm_merge_work *work, size_t n, llm_error *error)
{
    if (n <= work->nodes_cap)
        return LLM_OK;
    size_t cap = LM_MAX(n, work->nodes_cap * 2);
    lm_mem_free(work->mem, work->nodes);
    work->nodes_cap = 0;
    work->nodes = cap <= SIZE_MAX / 2 / sizeof(merge_node) ? lm_mem_raw(work->mem, cap * sizeof(merge_node), LLM_MEMORY_TOKENIZER) : NULL;
    if (!work->nodes)
        return lm_fail_memory(error, "merging a long word", n * sizeof(merge_node));
    work->nodes_cap = cap;
    return LLM_OK;
}

static llm_status merge_long(const lm_pairs *pairs, lm_merge_work *work, size_t n, size_t *n_left, llm_error *error)
{
    uint32_t *ids = work->ids;
    merge_node *nodes;
    size_t left = 0;
    LM_TRY(merge_nodes(work, n, error));
    nodes = work->nodes;
    work->n_heap = 0;
    for (uint32_t i = 0; i < n; i++)                        /* before the first: MERGE_END */
        nodes[i] = (merge_node){ i - 1, i + 1 < n ? i + 1 : MERGE_END, ids[i], i + 1 < n ? pairs_find(pairs, ids[i], ids[i + 1]) : LM_ID_NONE };
    for (uint32_t i = 0; i < n; i++)
        LM_TRY(merge_offer(pairs, work, nodes, i, error));
    while (work->n_heap > 0) {
        uint64_t top = lm_heap_pop(work->heap + MERGE_HEAP_PAD, &work->n_heap);
        uint32_t at = (uint32_t)top;
        LM_PREFETCH(&nodes[(uint32_t)work->heap[MERGE_HEAP_PAD]]);      /* the next, most likely */
        if (merge_order(pairs, &nodes[at]) == (uint32_t)(top >> 32))    /* or merged away, or with another neighbour since */
            LM_TRY(merge_one(pairs, work, nodes, at, error));
    }
    for (uint32_t i = 0; i != MERGE_END; i = nodes[i].after)
        ids[left++] = nodes[i].id;
    *n_left = left;
    return LLM_OK;
}

llm_status lm_merge_run(const lm_pairs *pairs, lm_merge_work *work, size_t n, size_t *n_left, llm_error *error)
{
    if (n > MERGE_SHORT) {
        if (n >= UINT32_MAX)
            return lm_fail(error, LLM_E_LIMIT, "a word of %zu characters is too long", n);
        return merge_long(pairs, work, n, n_left, error);
    }
    *n_left = merge_short(pairs, work->ids, n);
    return LLM_OK;
}
#undef PAIRS_FREE
