/* SPDX-License-Identifier: MIT
 * The bytes of all tokens: see tokens.h. Open addressing with linear probing at 5/8 load; the bits of a slot that the id does
 * not need hold a part of the hash, so that the bytes are hardly ever compared in vain. */
#include "text/tokens.h"

#include <string.h>

LM_INLINE uint64_t tokens_mix(uint64_t hash)
{
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93u;
    return hash ^ (hash >> 29);
}

LM_INLINE uint32_t tokens_home(const lm_tokens *tokens, uint64_t mixed) { return (uint32_t)(((mixed >> 32) * tokens->n_slots) >> 32); }

llm_status lm_tokens_init(lm_tokens *tokens, lm_mem *mem, uint32_t n, uint32_t bytes, llm_error *error)
{
    tokens->n = n;
    tokens->n_slots = n + n / 2 + n / 8 + 16;
    tokens->id_mask = 1;
    while (tokens->id_mask <= n)                            /* no id has all bits set: LM_ID_NONE stays free */
        tokens->id_mask = tokens->id_mask * 2 + 1;
    tokens->start = lm_mem_new_array(mem, (size_t)n + 1, sizeof *tokens->start, LLM_MEMORY_TOKENIZER);
    tokens->bytes = lm_mem_new(mem, bytes, LLM_MEMORY_TOKENIZER);
    tokens->slots = lm_mem_new_array(mem, tokens->n_slots, sizeof *tokens->slots, LLM_MEMORY_TOKENIZER);
    if (!tokens->start || !tokens->bytes || !tokens->slots)
        return lm_fail_memory(error, "the vocabulary", (size_t)bytes + ((size_t)n + 1 + tokens->n_slots) * sizeof(uint32_t));
    memset(tokens->slots, 0xff, tokens->n_slots * sizeof *tokens->slots);
    return LLM_OK;
}

void lm_tokens_free(lm_tokens *tokens, lm_mem *mem)
{
    lm_mem_free(mem, tokens->start);
    lm_mem_free(mem, tokens->bytes);
    lm_mem_free(mem, tokens->slots);
    memset(tokens, 0, sizeof *tokens);
}

/* The slot of these bytes, or the free one where they belong; UINT32_MAX after too many probes. */
static uint32_t tokens_slot(const lm_tokens *tokens, const char *text, size_t len, uint64_t mixed)
{
    uint32_t slot = tokens_home(tokens, mixed), mark = (uint32_t)mixed & ~tokens->id_mask;
    for (uint32_t probes = 0; probes < LM_MAX_PROBES; probes++) {
        uint32_t value = tokens->slots[slot];
        if (value == LM_ID_NONE)
            return slot;
        if ((value & ~tokens->id_mask) == mark) {
            llm_str token = lm_tokens_str(tokens, value & tokens->id_mask);
            if (token.len == len && memcmp(token.ptr, text, len) == 0)
                return slot;
        }
        if (++slot == tokens->n_slots)
            slot = 0;
    }
    return UINT32_MAX;
}

bool lm_tokens_index(lm_tokens *tokens, uint32_t id)
{
    llm_str token = lm_tokens_str(tokens, id);
    uint64_t mixed = tokens_mix(lm_hash_more(0, token.ptr, token.len));
    uint32_t slot = tokens_slot(tokens, token.ptr, token.len, mixed);
    if (slot == UINT32_MAX)
        return false;
    tokens->slots[slot] = ((uint32_t)mixed & ~tokens->id_mask) | id;
    if (token.len > tokens->longest)
        tokens->longest = (uint32_t)token.len;
    return true;
}

uint32_t lm_tokens_find(const lm_tokens *tokens, const char *text, size_t len, uint64_t hash)
{
    uint32_t slot;
    if (len > tokens->longest)
        return LM_ID_NONE;
    slot = tokens_slot(tokens, text, len, tokens_mix(hash));
    if (slot == UINT32_MAX || tokens->slots[slot] == LM_ID_NONE)
        return LM_ID_NONE;
    return tokens->slots[slot] & tokens->id_mask;
}
