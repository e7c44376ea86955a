/* SPDX-License-Identifier: MIT
 * Arrays that timelines share: tokens, logits and memories, counted by owner. A block with more than one owner is immutable; its writer takes
 * another. Floor 9. Threads: counts are atomic; a block's contents belong to its owners as said. */
#ifndef LM_SESSION_BLOCKS_H
#define LM_SESSION_BLOCKS_H

#include "session/sampler.h"

#include "base/host.h"
#include "base/status.h"

#include <stdbool.h>

typedef struct lm_ids { _Atomic uint32_t refs; uint32_t reserved; uint64_t cap; llm_token ids[]; } lm_ids;
typedef struct lm_logits { _Atomic uint32_t refs; uint32_t n; uint64_t reserved; float values[]; } lm_logits;

/* Makes *block the caller's alone with room for n tokens, of which the first `kept` are preserved. On failure nothing changed. */
llm_status lm_ids_room(lm_host *host, lm_ids **block, size_t kept, size_t n, size_t max, llm_error *error);
/* Gives back room beyond n tokens, if the block is the caller's alone and there is memory for the copy. n 0: the block. */
void lm_ids_shrink(lm_host *host, lm_ids **block, size_t n);
lm_ids *lm_ids_share(lm_ids *block);           /* NULL stays NULL */
void lm_ids_drop(lm_host *host, lm_ids *block);

/* Makes *block the caller's alone, contents undefined. */
llm_status lm_logits_room(lm_host *host, lm_logits **block, uint32_t n, llm_error *error);
lm_logits *lm_logits_share(lm_logits *block);
void lm_logits_drop(lm_host *host, lm_logits *block);

/* What a recipe remembers after each token that it drew, by rising position. As tokens: alone with room for n, the first `kept` preserved. */
typedef struct lm_memories { _Atomic uint32_t refs; uint32_t reserved; uint64_t cap; lm_memory at[]; } lm_memories;
llm_status lm_memories_room(lm_host *host, lm_memories **block, size_t kept, size_t n, llm_error *error);
void lm_memories_shrink(lm_host *host, lm_memories **block, size_t n);
lm_memories *lm_memories_share(lm_memories *block);
void lm_memories_drop(lm_host *host, lm_memories *block);

size_t lm_ids_bytes(size_t cap);
size_t lm_logits_bytes(uint32_t n);

#endif
