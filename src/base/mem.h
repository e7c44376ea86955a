/* SPDX-License-Identifier: MIT
 * Memory: one lm_mem per engine wraps the host's allocator (or malloc), counts, and keeps the limit. Every block carries its
 * size in front of it, so freeing needs the pointer alone. Floor 0. Threads: any. */
#ifndef LM_BASE_MEM_H
#define LM_BASE_MEM_H

#include "llm.h"

#include <stdatomic.h>

typedef struct lm_mem {
    llm_allocator hooks;                /* complete: the default ones if the host gave none */
    uint64_t limit;                     /* 0: none */
    _Atomic uint64_t used, peak;        /* bytes as asked from the allocator, headers included */
} lm_mem;

void lm_mem_init(lm_mem *mem, const llm_allocator *hooks /* NULL: the C library's */, uint64_t limit);

/* NULL when the allocator or the limit says no; callers answer with lm_fail_memory. Aligned to 64 bytes; blocks of 4 MiB and
 * more stand 64 bytes behind a 2 MiB border (their header stands on it), with huge pages asked for where the default allocator is
 * used. Zero-filled. size 0 gives a valid block. */
void *lm_mem_new(lm_mem *mem, size_t size, int32_t kind /* LLM_MEMORY_* */);
void *lm_mem_new_array(lm_mem *mem, size_t n, size_t size, int32_t kind);      /* checked n * size */
/* Not filled (junk in the hostile build): for big blocks that are written before they are read. */
void *lm_mem_raw(lm_mem *mem, size_t size, int32_t kind);
/* Grows a block from lm_mem_new (ptr may be NULL), keeping its bytes; the rest is zero. NULL: the old block is still there. */
void *lm_mem_grow(lm_mem *mem, void *ptr, size_t size, int32_t kind);
void  lm_mem_free(lm_mem *mem, void *ptr);                                      /* NULL is fine */
size_t lm_mem_size(const void *ptr);                                            /* usable size as asked for */
/* What lm_mem_new(size) takes from the allocator: for estimates. */
uint64_t lm_mem_cost(uint64_t size);

/* A bump arena for structures that live and die together. Zeroed memory; freed as a whole. Not thread-safe. */
typedef struct lm_arena { lm_mem *mem; void *chunk; size_t used, cap; int32_t kind; uint32_t reserved; } lm_arena;
void  lm_arena_init(lm_arena *arena, lm_mem *mem, int32_t kind);
void *lm_arena_new(lm_arena *arena, size_t size);                               /* aligned to 16; NULL: no memory */
void *lm_arena_array(lm_arena *arena, size_t n, size_t size);
void  lm_arena_free(lm_arena *arena);

#endif
