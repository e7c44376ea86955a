/* SPDX-License-Identifier: MIT
 * The bytes of all tokens, and the way back from bytes to an id. Floor 3. Immutable once filled. Threads: shared. */
#ifndef LM_TEXT_TOKENS_H
#define LM_TEXT_TOKENS_H

#include "base/host.h"
#include "base/status.h"

#include <stdbool.h>

#define LM_ID_NONE UINT32_MAX
enum {
    LM_MAX_TOKENS = (1 << 21) - 2,      /* three ids fit into 64 bits with room for a mark: pairs.h */
    LM_MAX_TOKEN_BYTES = 1 << 16,
    LM_MAX_PROBES = 1024                /* of a hash table: honest vocabularies need a few dozen */
};

typedef struct lm_tokens {
    uint32_t  n;                        /* tokens; SPM: also single characters that only occur inside tokens, after n_vocab */
    uint32_t *start;                    /* [n + 1]: token i is bytes[start[i] .. start[i + 1] - 1), a NUL after it */
    char     *bytes;
    uint32_t *slots;                    /* [n_slots]: id in the low bits, some bits of the hash above it; LM_ID_NONE: free */
    uint32_t  n_slots, id_mask;
    uint32_t  longest;                  /* bytes of the longest token */
    uint32_t  n_twins;                  /* tokens that are no longer found, because a later one has their bytes */
} lm_tokens;

LM_INLINE llm_str lm_tokens_str(const lm_tokens *tokens, uint32_t id)
{
    return (llm_str){ tokens->bytes + tokens->start[id], tokens->start[id + 1] - tokens->start[id] - 1 };
}

/* Polynomial hash, so that the hash of a part follows from the hashes of two prefixes: hash(ab) = hash(a) * BASE^len(b) +
 * hash(b). Not against an enemy: the number of probes is bounded instead. */
#define LM_HASH_BASE 0x9e3779b97f4a7c55u
LM_INLINE uint64_t lm_hash_more(uint64_t hash, const char *text, size_t len)
{
    const uint64_t base = (uint64_t)LM_HASH_BASE, base2 = base * base, base3 = base2 * base, base4 = base2 * base2;
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;
    for (; len - i >= 4; i += 4)                            /* products that do not wait for each other */
        hash = hash * base4 + (s[i] + (uint64_t)1) * base3 + (s[i + 1] + (uint64_t)1) * base2 + (s[i + 2] + (uint64_t)1) * base + s[i + 3] + 1;
    for (; i < len; i++)
        hash = hash * base + s[i] + 1;
    return hash;
}

/* Room for n tokens of at most `bytes` bytes together, terminators included, and an empty table. Freed by lm_tokens_free always. */
llm_status lm_tokens_init(lm_tokens *tokens, lm_mem *mem, uint32_t n, uint32_t bytes, llm_error *error);
void       lm_tokens_free(lm_tokens *tokens, lm_mem *mem);
/* Once all are laid out: gives back what was more than their bytes. */
void       lm_tokens_trim(lm_tokens *tokens, lm_mem *mem);
/* Makes ids[0..n), one after the other, the tokens that their bytes are found by; an earlier one with the same bytes is no longer
 * found. false: too many collisions. */
bool       lm_tokens_index(lm_tokens *tokens, const uint32_t *ids, size_t n);
/* The id of these bytes, `hash` being lm_hash_more(0, text, len); LM_ID_NONE. */
uint32_t   lm_tokens_find(const lm_tokens *tokens, const char *text, size_t len, uint64_t hash);

/* Many at once, several times as fast: the waits for memory overlap. */
enum { LM_LOOKUPS = 64 };
typedef struct lm_lookup {
    const char *text; size_t len;
    uint64_t hash;
    uint32_t id;                        /* what lm_tokens_find would say */
} lm_lookup;
void       lm_tokens_find_all(const lm_tokens *tokens, lm_lookup *lookups, size_t n /* <= LM_LOOKUPS */);

#endif
