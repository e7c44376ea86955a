/* SPDX-License-Identifier: MIT
 * The bytes of a vocabulary as a tree in the order of a walk. Floor 3. */
#include "text/grammar/grammar.h"


#include <stdlib.h>
#include <string.h>

typedef struct trie_item { uint64_t key; const unsigned char *ptr; uint32_t len, id; } trie_item;

static int trie_order(const void *a, const void *b)
{
    const trie_item *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    int order = x->len && y->len ? memcmp(x->ptr, y->ptr, LM_MIN(x->len, y->len)) : 0;
    if (order != 0)
        return order;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

void lm_trie_free(lm_mem *mem, lm_trie *trie)
{
    if (!trie)
        return;
    lm_mem_free(mem, trie->same);
    lm_mem_free(mem, trie->ends);
    lm_mem_free(mem, trie->nodes);
    lm_mem_free(mem, trie);
}

/* Nodes that the sorted items need; with out, they are written too. */
static uint32_t trie_lay(lm_trie *trie, const trie_item *items, uint32_t n_items, lm_trie_node *out)
{
    uint32_t n = 1, open[LM_TRIE_MOST_BYTES + 1] = { 0 }, depth = 0;
    const trie_item *last = NULL;
    for (uint32_t k = 0; k < n_items; k++) {
        const trie_item *item = &items[k];
        uint32_t common = 0;
        while (last && common < LM_MIN(last->len, item->len) && last->ptr[common] == item->ptr[common])
            common++;
        for (; out && depth > common; depth--)
            out[open[depth]].skip = n;
        if (last && common == item->len && common == last->len) {
            if (out)
                trie->same[last->id] = item->id;
            last = item;
            continue;
        }
        for (uint32_t d = common; d < item->len; d++, n++)
            if (out) {
                out[n] = (lm_trie_node){ .token = UINT32_MAX, .byte = item->ptr[d], .depth = (uint8_t)(d + 1) };
                open[d + 1] = n;
            }
        depth = item->len;
        if (out)
            out[n - 1].token = item->id;
        last = item;
    }
    for (; out && depth > 0; depth--)
        out[open[depth]].skip = n;
    return n;
}

llm_status lm_trie_new(lm_mem *mem, const llm_str *tokens, const bool *ends, uint32_t n, lm_trie **out, llm_error *error)
{
    lm_trie *trie = lm_mem_new(mem, sizeof *trie, LLM_MEMORY_TOKENIZER);
    trie_item *items = lm_mem_new_array(mem, n, sizeof *items, LLM_MEMORY_TOKENIZER);
    uint32_t n_items = 0;
    if (!trie || !items)
        goto no_memory;
    trie->n_tokens = n;
    trie->same = lm_mem_new_array(mem, n, sizeof *trie->same, LLM_MEMORY_TOKENIZER);
    trie->ends = lm_mem_new_array(mem, n / 64 + 1, sizeof *trie->ends, LLM_MEMORY_TOKENIZER);
    if (!trie->same || !trie->ends)
        goto no_memory;
    uint64_t print = n;
    for (uint32_t i = 0; i < n; i++) {
        trie->same[i] = UINT32_MAX;
        for (size_t k = 0; k < tokens[i].len; k++)
            print = (print ^ (unsigned char)tokens[i].ptr[k]) * 0x100000001b3u;
        print = (print ^ (256 + (ends && ends[i]))) * 0x100000001b3u;
        if (ends && ends[i])
            trie->ends[i / 64] |= (uint64_t)1 << i % 64;
        if (tokens[i].len == 0 || tokens[i].len > LM_TRIE_MOST_BYTES || (ends && ends[i]))
            continue;
        trie_item *item = &items[n_items++];
        *item = (trie_item){ 0, (const unsigned char *)tokens[i].ptr, (uint32_t)tokens[i].len, i };
        for (uint32_t k = 0; k < 8; k++)
            item->key = item->key << 8 | (k < item->len ? item->ptr[k] : 0);
        if (item->len == 1)
            trie->alone[item->ptr[0] / 8] |= (uint8_t)(1 << item->ptr[0] % 8);
    }
    trie->fingerprint = print;
    if (n_items)
        qsort(items, n_items, sizeof *items, trie_order);
    trie->n_nodes = trie_lay(trie, items, n_items, NULL);
    trie->nodes = lm_mem_new_array(mem, trie->n_nodes, sizeof *trie->nodes, LLM_MEMORY_TOKENIZER);
    if (!trie->nodes)
        goto no_memory;
    trie_lay(trie, items, n_items, trie->nodes);
    trie->nodes[0] = (lm_trie_node){ .skip = trie->n_nodes, .token = UINT32_MAX };
    lm_mem_free(mem, items);
    *out = trie;
    return LLM_OK;
no_memory:
    lm_trie_free(mem, trie);
    lm_mem_free(mem, items);
    return lm_fail_memory(error, "the tree of a vocabulary", n * sizeof *items);
}
