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
    tokens->slots = lm_mem_raw(mem, tokens->n_slots * sizeof *tokens->slots, LLM_MEMORY_TOKENIZER);
    if (!tokens->start || !tokens->bytes || !tokens->slots)
        return lm_fail_memory(error, "the vocabulary", (size_t)bytes + ((size_t)n + 1 + tokens->n_slots) * sizeof(uint32_t));
    memset(tokens->slots, 0xff, tokens->n_slots * sizeof *tokens->slots);
    return LLM_OK;
}

void lm_tokens_trim(lm_tokens *tokens, lm_mem *mem)
{
    uint32_t used = tokens->start[tokens->n];
    char *exact = used < lm_mem_size(tokens->bytes) ? lm_mem_raw(mem, used, LLM_MEMORY_TOKENIZER) : NULL;
    if (!exact)
        return;                                             /* without memory: a little more stays taken */
    memcpy(exact, tokens->bytes, used);
    lm_mem_free(mem, tokens->bytes);
    tokens->bytes = exact;
}

void lm_tokens_free(lm_tokens *tokens, lm_mem *mem)
{
    lm_mem_free(mem, tokens->start);
    lm_mem_free(mem, tokens->bytes);
    lm_mem_free(mem, tokens->slots);
    memset(tokens, 0, sizeof *tokens);
}

LM_INLINE bool tokens_are(const lm_tokens *tokens, uint32_t id, const char *text, size_t len)
{
    llm_str token = lm_tokens_str(tokens, id);
    return token.len == len && memcmp(token.ptr, text, len) == 0;
}

/* The slot of these bytes, or the free one where they belong; UINT32_MAX after too many probes. */
LM_INLINE uint32_t tokens_slot(const lm_tokens *tokens, const char *text, size_t len, uint64_t mixed)
{
    uint32_t slot = tokens_home(tokens, mixed), mark = (uint32_t)mixed & ~tokens->id_mask;
    for (uint32_t probes = 0; probes < LM_MAX_PROBES; probes++) {
        uint32_t value = tokens->slots[slot];
        if (value == LM_ID_NONE)
            return slot;
        if ((value & ~tokens->id_mask) == mark && tokens_are(tokens, value & tokens->id_mask, text, len))
            return slot;
        if (++slot == tokens->n_slots)
            slot = 0;
    }
    return UINT32_MAX;
}

static bool tokens_index_one(lm_tokens *tokens, uint32_t id, uint64_t mixed)
{
    llm_str token = lm_tokens_str(tokens, id);
    uint32_t slot = tokens_slot(tokens, token.ptr, token.len, mixed);
    if (slot == UINT32_MAX)
        return false;
    tokens->n_twins += tokens->slots[slot] != LM_ID_NONE;
    tokens->slots[slot] = ((uint32_t)mixed & ~tokens->id_mask) | id;
    if (token.len > tokens->longest)
        tokens->longest = (uint32_t)token.len;
    return true;
}

bool lm_tokens_index(lm_tokens *tokens, const uint32_t *ids, size_t n)
{
    uint64_t mixed[LM_LOOKUPS];
    for (size_t done = 0; done < n; done += LM_LOOKUPS) {
        size_t batch = LM_MIN(n - done, (size_t)LM_LOOKUPS);
        for (size_t i = 0; i < batch; i++) {
            llm_str token = lm_tokens_str(tokens, ids[done + i]);
            mixed[i] = tokens_mix(lm_hash_more(0, token.ptr, token.len));
            LM_PREFETCH(&tokens->slots[tokens_home(tokens, mixed[i])]);
        }
        for (size_t i = 0; i < batch; i++)
            if (!tokens_index_one(tokens, ids[done + i], mixed[i]))
                return false;
    }
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

/* Slots, then where tokens begin, then their bytes: each round asks for what the next one reads. */
void lm_tokens_find_all(const lm_tokens *tokens, lm_lookup *lookups, size_t n)
{
    uint64_t mixed[LM_LOOKUPS];
    for (size_t i = 0; i < n; i++) {
        mixed[i] = tokens_mix(lookups[i].hash);
        LM_PREFETCH(&tokens->slots[tokens_home(tokens, mixed[i])]);
    }
    for (size_t i = 0; i < n; i++) {                        /* the first with the same bits of the hash: nearly always the right one */
        uint32_t slot = tokens_home(tokens, mixed[i]), mark = (uint32_t)mixed[i] & ~tokens->id_mask, value;
        for (uint32_t probes = 0; (value = tokens->slots[slot]) != LM_ID_NONE && (value & ~tokens->id_mask) != mark && probes < LM_MAX_PROBES; probes++)
            slot = slot + 1 == tokens->n_slots ? 0 : slot + 1;
        lookups[i].id = value == LM_ID_NONE ? LM_ID_NONE : value & tokens->id_mask;
        if (value != LM_ID_NONE)
            LM_PREFETCH(&tokens->start[lookups[i].id]);
    }
    for (size_t i = 0; i < n; i++)
        if (lookups[i].id != LM_ID_NONE)
            LM_PREFETCH(tokens->bytes + tokens->start[lookups[i].id]);
    for (size_t i = 0; i < n; i++)
        if (lookups[i].id != LM_ID_NONE && !tokens_are(tokens, lookups[i].id, lookups[i].text, lookups[i].len))
            lookups[i].id = lm_tokens_find(tokens, lookups[i].text, lookups[i].len, lookups[i].hash);
}
