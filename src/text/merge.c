/* SPDX-License-Identifier: MIT
 * Merging neighbours by priority: see merge.h.
 *
 * Short words (nearly all) are merged by looking for the best pair again and again: quadratic, but within a few cache lines.
 * Long ones by a heap of (priority, position) over a linked list. An entry of the heap is stale unless the pair now at its
 * position has its priority; a pair that has is right whenever it was pushed, so stale entries need no further marks. */
#include "text/merge.h"

#include <string.h>

#define PAIRS_FREE UINT64_MAX
enum { MERGE_SHORT = 40 };

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

bool lm_pairs_add(lm_pairs *pairs, uint32_t left, uint32_t right, uint32_t value)
{
    uint64_t key = (uint64_t)left << pairs->id_bits | right;
    uint32_t slot = pairs_home(pairs, key);
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
    lm_mem_free(work->mem, work->links);
    work->ids = NULL;
    work->links = NULL;
    work->cap = work->links_cap = 0;
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

typedef struct merge_link { uint32_t before, after, value; } merge_link;

/* The links and the heap share one block: the heap first, at most 2 n entries (n - 1 at the start, one more by each merge), so
 * that heap[1] begins a cache line. */
static llm_status merge_room(lm_merge_work *work, size_t n, uint64_t **heap, merge_link **links, llm_error *error)
{
    size_t each = 2 * sizeof(uint64_t) + sizeof(merge_link);
    if (n > work->links_cap) {
        size_t cap = LM_MAX(n, LM_MIN(work->links_cap * 2, SIZE_MAX / each));
        lm_mem_free(work->mem, work->links);
        work->links_cap = 0;
        work->links = cap <= SIZE_MAX / each - 8 ? lm_mem_raw(work->mem, (cap + 8) * each, LLM_MEMORY_TOKENIZER) : NULL;
        if (!work->links)
            return lm_fail_memory(error, "merging a long word", n * each);
        work->links_cap = cap;
    }
    *heap = (uint64_t *)work->links + 7;
    *links = (merge_link *)(void *)(*heap + 2 * work->links_cap);
    return LLM_OK;
}

static void merge_offer(const lm_pairs *pairs, const uint32_t *ids, merge_link *links, uint32_t at, uint64_t *heap, size_t *n_heap)
{
    uint32_t after = links[at].after;
    links[at].value = after == UINT32_MAX ? LM_ID_NONE : pairs_find(pairs, ids[at], ids[after]);
    if (links[at].value != LM_ID_NONE)
        lm_heap_push(heap, n_heap, (uint64_t)pairs_order(pairs, links[at].value) << 32 | at);
}

static llm_status merge_long(const lm_pairs *pairs, lm_merge_work *work, size_t n, size_t *n_left, llm_error *error)
{
    uint32_t *ids = work->ids;
    merge_link *links = NULL;
    uint64_t *heap = NULL;
    size_t n_heap = 0, left = 0;
    LM_TRY(merge_room(work, n, &heap, &links, error));
    for (uint32_t i = 0; i < n; i++) {
        links[i] = (merge_link){ i - 1, i + 1 < n ? i + 1 : UINT32_MAX, LM_ID_NONE };   /* before the first: UINT32_MAX */
        if (i + 1 < n && (links[i].value = pairs_find(pairs, ids[i], ids[i + 1])) != LM_ID_NONE)
            heap[n_heap++] = (uint64_t)pairs_order(pairs, links[i].value) << 32 | i;
    }
    lm_heap_make(heap, n_heap);
    while (n_heap > 0) {
        uint64_t top = lm_heap_pop(heap, &n_heap);
        uint32_t at = (uint32_t)top, value = links[at].value, gone, after;
        if (value == LM_ID_NONE || pairs_order(pairs, value) != (uint32_t)(top >> 32))
            continue;                                       /* merged away, or with another neighbour since */
        gone = links[at].after;
        after = links[gone].after;
        ids[at] = pairs_result(pairs, value);
        links[gone].value = LM_ID_NONE;
        links[at].after = after;
        if (after != UINT32_MAX)
            links[after].before = at;
        merge_offer(pairs, ids, links, at, heap, &n_heap);
        if (links[at].before != UINT32_MAX)
            merge_offer(pairs, ids, links, links[at].before, heap, &n_heap);
    }
    for (uint32_t i = 0; i != UINT32_MAX; i = links[i].after)
        ids[left++] = ids[i];                               /* left <= i */
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
