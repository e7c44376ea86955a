/* SPDX-License-Identifier: MIT
 * The bytes of a vocabulary as a tree in the order of a walk. Tokens are sorted by their bytes, eight at a time; then each adds the nodes by which
 * it differs from the one before it. Floor 3. */
#include "text/trie.h"

#include <string.h>

enum { TRIE_WINDOW = 8, TRIE_FEW = 48 };

const uint8_t lm_trie_kinds[128] = {        /* what grammars tell apart most often */
     9,  9,  9,  9,  9,  9,  9,  9,  9,  8,  6,  9,  9,  7,  9,  9,
     9,  9,  9,  9,  9,  9,  9,  9,  9,  9,  9,  9,  9,  9,  9,  9,
     5, 25, 11, 26, 26, 26, 26, 13, 21, 21, 26, 24, 17, 14, 16, 22,
     0,  0,  0,  0,  0,  0,  0,  0,  0,  0, 18, 25, 26, 26, 26, 25,
    23,  3,  3,  3,  3,  3,  3,  4,  4,  4,  4,  4,  4,  4,  4,  4,
     4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, 20, 12, 20, 26, 15,
    26,  1,  1,  1,  1,  1,  1,  2,  2,  2,  2,  2,  2,  2,  2,  2,
     2,  2,  2,  2,  2,  2,  2,  2,  2,  2,  2, 19, 26, 19, 26, 10,
};

/* ---- sorting ---------------------------------------------------------------------------------------------------------------- */

typedef struct trie_item { uint64_t key; uint32_t id, len; } trie_item;        /* key: TRIE_WINDOW bytes, zeros behind the end */

static uint64_t trie_key(llm_str token, uint32_t from)
{
    uint64_t key = 0;
    for (uint32_t i = from; i < from + TRIE_WINDOW; i++)
        key = key << 8 | (i < token.len ? (unsigned char)token.ptr[i] : 0);
    return key;
}

/* Bytes of the window that a token has; TRIE_WINDOW + 1: more follow. */
static uint32_t trie_within(const trie_item *item, uint32_t from)
{
    return LM_MIN(item->len - from, (uint32_t)TRIE_WINDOW + 1);
}

static bool trie_before(const llm_str *tokens, const trie_item *a, const trie_item *b, uint32_t from)
{
    int order = memcmp(tokens[a->id].ptr + from, tokens[b->id].ptr + from, LM_MIN(a->len, b->len) - from);
    return order != 0 ? order < 0 : a->len < b->len;
}

/* Items that are the same up to byte `from`, by the next bytes: lengths first, then bytes from the last of the window to the first. Sorted items
 * keep their order, so equal tokens stay in that of their ids. other: room for as many. */
static LM_NOINLINE void trie_sort_window(const llm_str *tokens, trie_item *items, trie_item *other, uint32_t n, uint32_t from)
{
    uint32_t counts[TRIE_WINDOW + 1][256] = { 0 };
    trie_item *in = items, *out = other, *swap;
    for (uint32_t i = 0; i < n; i++) {
        items[i].key = trie_key(tokens[items[i].id], from);
        counts[TRIE_WINDOW][trie_within(&items[i], from)]++;
        for (uint32_t b = 0; b < TRIE_WINDOW; b++)
            counts[b][items[i].key >> 8 * b & 255]++;
    }
    for (uint32_t pass = 0; pass <= TRIE_WINDOW; pass++, swap = in, in = out, out = swap) {
        uint32_t b = pass == 0 ? TRIE_WINDOW : pass - 1, at = 0;
        for (uint32_t k = 0; k < 256; k++) {
            uint32_t count = counts[b][k];
            counts[b][k] = at;
            at += count;
        }
        for (uint32_t i = 0; i < n; i++)
            out[counts[b][pass == 0 ? trie_within(&in[i], from) : in[i].key >> 8 * b & 255]++] = in[i];
    }
    if (in != items)
        memcpy(items, in, n * sizeof *items);
}

static void trie_sort(const llm_str *tokens, trie_item *items, trie_item *other, uint32_t n, uint32_t from)
{
    if (n <= TRIE_FEW) {
        for (uint32_t i = 1; i < n; i++) {
            trie_item item = items[i];
            uint32_t k = i;
            for (; k > 0 && trie_before(tokens, &item, &items[k - 1], from); k--)
                items[k] = items[k - 1];
            items[k] = item;
        }
        return;
    }
    trie_sort_window(tokens, items, other, n, from);
    for (uint32_t i = 0, end; i < n; i = end) {             /* what is the same so far, and longer */
        for (end = i + 1; end < n && items[end].key == items[i].key && trie_within(&items[end], from) == trie_within(&items[i], from);)
            end++;
        if (end - i > 1 && trie_within(&items[i], from) > TRIE_WINDOW)
            trie_sort(tokens, items + i, other, end - i, from + TRIE_WINDOW);
    }
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------------ */

/* Where a text stands between bytes: characters that are begun. */
typedef struct trie_char { uint8_t missing, lo, hi; } trie_char;

static uint32_t trie_byte_kinds(uint8_t byte, trie_char before, trie_char *after)
{
    *after = (trie_char){ 0, 0x80, 0xbf };
    if (before.missing > 0) {
        if (byte < before.lo || byte > before.hi)
            return LM_TRIE_INSIDE | LM_TRIE_BROKEN;
        after->missing = before.missing - 1;
        return LM_TRIE_INSIDE | LM_TRIE_BEYOND;
    }
    if (byte < 0x80)
        return (uint32_t)1 << lm_trie_kinds[byte];
    if (byte < 0xc2 || byte > 0xf4)
        return LM_TRIE_BROKEN;
    after->missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    after->lo = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    after->hi = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return LM_TRIE_BEYOND;
}

/* Node `at` is whole: its parent learns what is below. */
static void trie_close(lm_trie_node *nodes, uint32_t at, uint32_t parent, uint32_t skip)
{
    nodes[at].skip = skip;
    nodes[at].chars = (uint8_t)(nodes[at].chars + !(nodes[at].kinds & LM_TRIE_INSIDE));
    nodes[parent].kinds |= nodes[at].kinds & ~(uint32_t)LM_TRIE_INSIDE;
    nodes[parent].chars = LM_MAX(nodes[parent].chars, nodes[at].chars);
}

/* How many nodes the sorted items need. The key of each becomes the number of bytes that it shares with the one before it. */
static uint32_t trie_measure(const llm_str *tokens, trie_item *items, uint32_t n_items)
{
    uint32_t n = 1;
    llm_str last = { NULL, 0 };
    for (uint32_t k = 0; k < n_items; k++) {
        llm_str token = tokens[items[k].id];
        uint32_t common = 0, most = (uint32_t)LM_MIN(last.len, token.len);
        while (common < most && last.ptr[common] == token.ptr[common])
            common++;
        last = token;
        items[k].key = common;
        n += (uint32_t)token.len - common;
    }
    return n;
}

static void trie_lay(lm_trie *trie, const llm_str *tokens, const trie_item *items)
{
    uint32_t n = 1, open[LM_TRIE_MOST_BYTES + 1] = { 0 }, depth = 0;
    trie_char chars[LM_TRIE_MOST_BYTES + 1] = { { 0 } };
    lm_trie_node *nodes = trie->nodes;
    nodes[0] = (lm_trie_node){ .skip = trie->n_nodes };
    nodes[trie->n_nodes] = (lm_trie_node){ .rank = trie->n_ranks };
    for (uint32_t k = 0; k < trie->n_ranks; k++) {
        trie->order[k] = items[k].id;
        for (; depth > items[k].key; depth--)
            trie_close(nodes, open[depth], open[depth - 1], n);
        for (; depth < items[k].len; n++) {
            uint8_t byte = (uint8_t)tokens[items[k].id].ptr[depth];
            uint32_t kinds = trie_byte_kinds(byte, chars[depth], &chars[depth + 1]);
            depth++;
            open[depth] = n;
            nodes[n] = (lm_trie_node){ .rank = k, .kinds = kinds, .byte = byte, .depth = (uint8_t)depth };
        }
    }
    for (; depth > 0; depth--)
        trie_close(nodes, open[depth], open[depth - 1], n);
}

static void trie_join_runs(lm_trie *trie)
{
    for (uint32_t i = trie->n_nodes - 1; i > 0; i--) {
        lm_trie_node *node = &trie->nodes[i], *beside = &trie->nodes[node->skip];
        bool has = node->skip < trie->n_nodes && beside->depth == node->depth;
        if (node->kinds & ~(uint32_t)LM_TRIE_PLAIN) {
            node->run_end = i;
            continue;
        }
        node->run_end = has ? beside->run_end : node->skip;
        node->run_chars = has ? LM_MAX(node->chars, beside->run_chars) : node->chars;
    }
}

/* ---- the wall --------------------------------------------------------------------------------------------------------------- */

static void trie_free(lm_trie *trie)
{
    lm_mem *mem = trie->mem;
    lm_mem_free(mem, trie->order);
    lm_mem_free(mem, trie->usable);
    lm_mem_free(mem, trie->ends);
    lm_mem_free(mem, trie->nodes);
    lm_mem_free(mem, trie);
}

void lm_trie_hold(lm_trie *trie)
{
    atomic_fetch_add(&trie->refs, 1);
}

void lm_trie_drop(lm_trie *trie)
{
    if (trie && atomic_fetch_sub(&trie->refs, 1) == 1)
        trie_free(trie);
}

/* Those that text is made of, in the order of their ids. */
static uint32_t trie_choose(lm_trie *trie, const llm_str *tokens, const bool *ends, trie_item *items)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < trie->n_tokens; i++) {
        uint64_t bit = (uint64_t)1 << i % 64;
        if (ends && ends[i])
            trie->ends[i / 64] |= bit;
        if (tokens[i].len == 0 || tokens[i].len > LM_TRIE_MOST_BYTES || (ends && ends[i]))
            continue;
        items[n++] = (trie_item){ 0, i, (uint32_t)tokens[i].len };
        trie->usable[i / 64] |= bit;
        if (tokens[i].len == 1)
            trie->alone[(uint8_t)tokens[i].ptr[0] / 8] |= (uint8_t)(1 << (uint8_t)tokens[i].ptr[0] % 8);
    }
    return n;
}

llm_status lm_trie_new(lm_mem *mem, const llm_str *tokens, const bool *ends, uint32_t n, lm_trie **out, llm_error *error)
{
    lm_trie *trie = lm_mem_new(mem, sizeof *trie, LLM_MEMORY_TOKENIZER);
    trie_item *items = lm_mem_new_array(mem, n, 2 * sizeof *items, LLM_MEMORY_TOKENIZER);
    if (!trie || !items)
        goto no_memory;
    trie->mem = mem;
    atomic_init(&trie->refs, 1);
    trie->n_tokens = n;
    trie->usable = lm_mem_new_array(mem, n / 64 + 1, sizeof *trie->usable, LLM_MEMORY_TOKENIZER);
    trie->ends = lm_mem_new_array(mem, n / 64 + 1, sizeof *trie->ends, LLM_MEMORY_TOKENIZER);
    if (!trie->usable || !trie->ends)
        goto no_memory;
    trie->n_ranks = trie_choose(trie, tokens, ends, items);
    trie_sort(tokens, items, items + n, trie->n_ranks, 0);
    trie->n_nodes = trie_measure(tokens, items, trie->n_ranks);
    trie->order = lm_mem_new_array(mem, trie->n_ranks, sizeof *trie->order, LLM_MEMORY_TOKENIZER);
    trie->nodes = lm_mem_raw(mem, ((size_t)trie->n_nodes + 1) * sizeof *trie->nodes, LLM_MEMORY_TOKENIZER);
    if (!trie->order || !trie->nodes)
        goto no_memory;
    trie_lay(trie, tokens, items);
    trie_join_runs(trie);
    lm_mem_free(mem, items);
    *out = trie;
    return LLM_OK;
no_memory:
    if (trie) {
        trie->mem = mem;
        trie_free(trie);
    }
    lm_mem_free(mem, items);
    return lm_fail_memory(error, "the tree of a vocabulary", n * 2 * sizeof *items);
}
