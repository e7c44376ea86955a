/* SPDX-License-Identifier: MIT
 * Shared arrays. Only an owner can make another owner, so that who sees a count of 1 stays alone. */
#include "session/blocks.h"

#include <string.h>

enum { BLOCKS_STEP = 64 };                                  /* tokens: growth falls together with page borders */

size_t lm_ids_bytes(size_t cap)
{
    return sizeof(lm_ids) + cap * sizeof(llm_token);
}

llm_status lm_ids_room(lm_host *host, lm_ids **block, size_t kept, size_t n, size_t max, llm_error *error)
{
    lm_ids *old = *block;
    bool alone = old && atomic_load(&old->refs) == 1;
    if (alone && old->cap >= n)
        return LLM_OK;
    size_t cap = (LM_MAX(n, alone ? old->cap + old->cap / 2 : n) + BLOCKS_STEP - 1) / BLOCKS_STEP * BLOCKS_STEP;
    cap = LM_MAX(LM_MIN(cap, max), n);
    lm_ids *fresh = lm_mem_raw(&host->mem, lm_ids_bytes(cap), LLM_MEMORY_OTHER);
    if (!fresh)
        return lm_fail_memory(error, "the timeline's tokens", lm_ids_bytes(cap));
    atomic_init(&fresh->refs, 1);
    fresh->cap = cap;
    if (kept)
        memcpy(fresh->ids, old->ids, kept * sizeof(llm_token));
    *block = fresh;
    lm_ids_drop(host, old);
    return LLM_OK;
}

void lm_ids_shrink(lm_host *host, lm_ids **block, size_t n)
{
    lm_ids *old = *block, *fresh = NULL;
    if (!old || atomic_load(&old->refs) != 1 || old->cap == n)
        return;
    if (n != 0) {
        if (!(fresh = lm_mem_raw(&host->mem, lm_ids_bytes(n), LLM_MEMORY_OTHER)))
            return;
        atomic_init(&fresh->refs, 1);
        fresh->cap = n;
        memcpy(fresh->ids, old->ids, n * sizeof(llm_token));
    }
    *block = fresh;
    lm_ids_drop(host, old);
}

lm_ids *lm_ids_share(lm_ids *block)
{
    if (block)
        atomic_fetch_add(&block->refs, 1);
    return block;
}

void lm_ids_drop(lm_host *host, lm_ids *block)
{
    if (block && atomic_fetch_sub(&block->refs, 1) == 1)
        lm_mem_free(&host->mem, block);
}

size_t lm_logits_bytes(uint32_t n)
{
    return sizeof(lm_logits) + (size_t)n * sizeof(float);
}

llm_status lm_logits_room(lm_host *host, lm_logits **block, uint32_t n, llm_error *error)
{
    lm_logits *old = *block;
    if (old && atomic_load(&old->refs) == 1)
        return LLM_OK;
    lm_logits *fresh = lm_mem_raw(&host->mem, lm_logits_bytes(n), LLM_MEMORY_OTHER);
    if (!fresh)
        return lm_fail_memory(error, "a session's logits", lm_logits_bytes(n));
    atomic_init(&fresh->refs, 1);
    fresh->n = n;
    *block = fresh;
    lm_logits_drop(host, old);
    return LLM_OK;
}

lm_logits *lm_logits_share(lm_logits *block)
{
    if (block)
        atomic_fetch_add(&block->refs, 1);
    return block;
}

void lm_logits_drop(lm_host *host, lm_logits *block)
{
    if (block && atomic_fetch_sub(&block->refs, 1) == 1)
        lm_mem_free(&host->mem, block);
}

llm_status lm_memories_room(lm_host *host, lm_memories **block, size_t kept, size_t n, llm_error *error)
{
    lm_memories *old = *block;
    bool alone = old && atomic_load(&old->refs) == 1;
    if (alone && old->cap >= n)
        return LLM_OK;
    size_t cap = (LM_MAX(n, alone ? old->cap + old->cap / 2 : n) + BLOCKS_STEP - 1) / BLOCKS_STEP * BLOCKS_STEP;
    size_t bytes = sizeof(lm_memories) + cap * sizeof(lm_memory);
    lm_memories *fresh = lm_mem_raw(&host->mem, bytes, LLM_MEMORY_OTHER);
    if (!fresh)
        return lm_fail_memory(error, "what a sampler remembers", bytes);
    atomic_init(&fresh->refs, 1);
    fresh->cap = cap;
    if (kept)
        memcpy(fresh->at, old->at, kept * sizeof(lm_memory));
    *block = fresh;
    lm_memories_drop(host, old);
    return LLM_OK;
}

void lm_memories_shrink(lm_host *host, lm_memories **block, size_t n)
{
    lm_memories *old = *block, *fresh = NULL;
    if (!old || atomic_load(&old->refs) != 1 || old->cap == n)
        return;
    if (n != 0) {
        if (!(fresh = lm_mem_raw(&host->mem, sizeof *fresh + n * sizeof(lm_memory), LLM_MEMORY_OTHER)))
            return;
        atomic_init(&fresh->refs, 1);
        fresh->cap = n;
        memcpy(fresh->at, old->at, n * sizeof(lm_memory));
    }
    *block = fresh;
    lm_memories_drop(host, old);
}

lm_memories *lm_memories_share(lm_memories *block)
{
    if (block)
        atomic_fetch_add(&block->refs, 1);
    return block;
}

void lm_memories_drop(lm_host *host, lm_memories *block)
{
    if (block && atomic_fetch_sub(&block->refs, 1) == 1)
        lm_mem_free(&host->mem, block);
}
