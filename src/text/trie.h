/* SPDX-License-Identifier: MIT
 * The bytes of a vocabulary as a tree, for who asks which tokens may come next: a tokenizer makes it once (lm_tokenizer_trie), grammars share it.
 * Floor 3. Knows no grammar. Threads: shared; immutable but for the count of those who hold it. */
#ifndef LM_TEXT_TRIE_H
#define LM_TEXT_TRIE_H

#include "base/mem.h"
#include "base/status.h"

#include <stdbool.h>

enum { LM_TRIE_MOST_BYTES = 255 };          /* longer tokens are not in it */

/* Bytes by kinds, so that a whole subtree can be judged at once. Each ASCII byte is of one kind (lm_trie_kinds). */
enum {
    LM_TRIE_ASCII_KINDS = 27,
    LM_TRIE_BEYOND = 1 << 27,               /* characters beyond ASCII, the last one perhaps cut short */
    LM_TRIE_BROKEN = 1 << 28,               /* bytes that are no UTF-8 */
    LM_TRIE_INSIDE = 1 << 29,               /* of a node: its byte is not the first of a character */
    LM_TRIE_PLAIN = (LM_TRIE_BEYOND | (LM_TRIE_BEYOND - 1)) & ~(1 << 6 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 11 | 1 << 12)  /* no controls, " or \\ */
};
extern const uint8_t lm_trie_kinds[128];

/* In the order of a walk from the root, children by rising byte. A node's descendants are (i, skip); tokens have ranks in this order, and those that
 * end at node i are of rank [nodes[i].rank, nodes[i + 1].rank). One node more stands behind the last. */
typedef struct lm_trie_node {
    uint32_t skip, rank;
    uint32_t kinds;                         /* bits: of its byte and of all below it */
    uint8_t  byte, depth;                   /* a byte at depth d has d - 1 before it; the root is of depth 0 */
    uint8_t  chars;                         /* of the longest way down from here, its own too */
    uint8_t  run_chars;                     /* the same of a run: this node and the next ones beside it that have PLAIN kinds alone */
    uint32_t run_end;                       /* the node behind that run; the node itself if it has others */
} lm_trie_node;

typedef struct lm_trie {
    lm_mem *mem;
    _Atomic uint32_t refs;
    uint32_t n_tokens, n_ranks, n_nodes;
    uint8_t  alone[32];                     /* bits: bytes that are a token of their own */
    uint32_t *order;                        /* [n_ranks]: tokens by rank; of the same bytes, by rising id */
    uint64_t *usable;                       /* bits: tokens that have a rank */
    uint64_t *ends;                         /* bits: tokens that end a text */
    lm_trie_node *nodes;                    /* [n_nodes + 1] */
} lm_trie;

/* tokens [n]: what each adds to a text; empty: not in it. ends [n]: those that end a text (not in it), or NULL. mem outlives it. */
llm_status lm_trie_new(lm_mem *mem, const llm_str *tokens, const bool *ends, uint32_t n, lm_trie **out, llm_error *error);
void lm_trie_hold(lm_trie *trie);
void lm_trie_drop(lm_trie *trie);           /* NULL is fine */

#endif
