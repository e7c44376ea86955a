/* SPDX-License-Identifier: MIT
 * Memory: see mem.h.
 *
 * A block is one allocation: 64 bytes of header, then what the caller asked for. The header holds what the host's `release`
 * wants to hear again. Invariant: mem->used is the sum of all live allocations, headers included, and never passes the limit.
 * Threads: any; the counters are the only shared state. */
#include "base/mem.h"

#include "base/compiler.h"
#include "base/os.h"

#include <stdbool.h>
#include <string.h>

enum { MEM_HEADER = 64, MEM_ALIGN = 64 };
#define MEM_BIG ((size_t)4 << 20)                           /* from here on ... */
#define MEM_HUGE_PAGE ((size_t)2 << 20)                     /* ... allocations stand on huge pages */

typedef struct mem_header { size_t size, total, align; int32_t kind; } mem_header;
_Static_assert(sizeof(mem_header) <= MEM_HEADER, "the header fits");

static void *mem_default_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)kind;
    return lm_os_allocate(size, align);
}

static void mem_default_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)size, (void)align, (void)kind;
    lm_os_release(ptr);
}

void lm_mem_init(lm_mem *mem, const llm_allocator *hooks, uint64_t limit)
{
    memset(&mem->hooks, 0, sizeof mem->hooks);
    mem->hooks.struct_size = (uint32_t)sizeof mem->hooks;
    mem->hooks.allocate = mem_default_allocate;
    mem->hooks.release = mem_default_release;
    if (hooks)
        mem->hooks = *hooks;
    mem->limit = limit;
    atomic_init(&mem->used, 0);
    atomic_init(&mem->peak, 0);
}

static mem_header *mem_header_of(const void *ptr) { return (mem_header *)((char *)(uintptr_t)ptr - MEM_HEADER); }

/* The bytes are counted before the allocator is asked, so that the limit holds at every moment. */
static bool mem_count(lm_mem *mem, uint64_t total)
{
    uint64_t used = atomic_load_explicit(&mem->used, memory_order_relaxed);
    do {
        if (total > UINT64_MAX - used || (mem->limit && used + total > mem->limit))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&mem->used, &used, used + total, memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void mem_note_peak(lm_mem *mem)
{
    uint64_t used = atomic_load_explicit(&mem->used, memory_order_relaxed);
    uint64_t peak = atomic_load_explicit(&mem->peak, memory_order_relaxed);
    while (used > peak && !atomic_compare_exchange_weak_explicit(&mem->peak, &peak, used, memory_order_relaxed, memory_order_relaxed))
        ;
}

static void *mem_take(lm_mem *mem, size_t size, int32_t kind)
{
    size_t total, align = size >= MEM_BIG ? MEM_HUGE_PAGE : MEM_ALIGN;
    char *base;
    if (size > SIZE_MAX / 2)
        return NULL;
    total = size + MEM_HEADER;
    if (!mem_count(mem, total))
        return NULL;
    base = mem->hooks.allocate(mem->hooks.user, total, align, kind);
    if (!base) {
        atomic_fetch_sub_explicit(&mem->used, total, memory_order_relaxed);
        return NULL;
    }
    mem_note_peak(mem);
    *(mem_header *)(void *)base = (mem_header){ size, total, align, kind };
    return base + MEM_HEADER;
}

void *lm_mem_raw(lm_mem *mem, size_t size, int32_t kind)
{
    void *ptr = mem_take(mem, size, kind);
    if (LM_HOSTILE && ptr)
        memset(ptr, 0xa5, size);
    return ptr;
}

void *lm_mem_new(lm_mem *mem, size_t size, int32_t kind)
{
    void *ptr = mem_take(mem, size, kind);
    if (ptr)
        memset(ptr, 0, size);
    return ptr;
}

void *lm_mem_new_array(lm_mem *mem, size_t n, size_t size, int32_t kind)
{
    if (size != 0 && n > SIZE_MAX / size)
        return NULL;
    return lm_mem_new(mem, n * size, kind);
}

void *lm_mem_grow(lm_mem *mem, void *ptr, size_t size, int32_t kind)
{
    size_t old = lm_mem_size(ptr), keep = LM_MIN(old, size);
    char *bigger = mem_take(mem, size, kind);
    if (!bigger)
        return NULL;
    if (keep)
        memcpy(bigger, ptr, keep);
    memset(bigger + keep, 0, size - keep);
    lm_mem_free(mem, ptr);
    return bigger;
}

void lm_mem_free(lm_mem *mem, void *ptr)
{
    mem_header *header, was;
    if (!ptr)
        return;
    header = mem_header_of(ptr);
    was = *header;
    if (LM_HOSTILE)
        memset(header, 0xdd, was.total);                    /* who reads it afterwards, reads junk */
    mem->hooks.release(mem->hooks.user, header, was.total, was.align, was.kind);
    atomic_fetch_sub_explicit(&mem->used, was.total, memory_order_relaxed);
}

size_t lm_mem_size(const void *ptr) { return ptr ? mem_header_of(ptr)->size : 0; }

uint64_t lm_mem_cost(uint64_t size) { return size > UINT64_MAX - MEM_HEADER ? UINT64_MAX : size + MEM_HEADER; }

/* ---- arena: chunks in a list, the newest first; what does not fit into a chunk of the usual size gets its own, behind the newest */

enum { ARENA_FIRST = 1024, ARENA_MOST = 256 * 1024, ARENA_LINK = 16 };
typedef struct arena_chunk { struct arena_chunk *next; } arena_chunk;
_Static_assert(sizeof(arena_chunk) <= ARENA_LINK, "the link fits");

void lm_arena_init(lm_arena *arena, lm_mem *mem, int32_t kind) { *arena = (lm_arena){ .mem = mem, .kind = kind }; }

void *lm_arena_new(lm_arena *arena, size_t size)
{
    arena_chunk *chunk;
    size_t need, cap;
    if (size > SIZE_MAX / 4)
        return NULL;
    need = (size + 15) & ~(size_t)15;
    if (need <= arena->cap - arena->used && arena->chunk) {
        char *at = (char *)arena->chunk + arena->used;
        arena->used += need;
        return at;
    }
    cap = arena->cap == 0 ? ARENA_FIRST : LM_MIN(arena->cap * 2, (size_t)ARENA_MOST);
    if (need > cap / 4 && arena->chunk) {
        chunk = lm_mem_new(arena->mem, ARENA_LINK + need, arena->kind);
        if (!chunk)
            return NULL;
        chunk->next = ((arena_chunk *)arena->chunk)->next;
        ((arena_chunk *)arena->chunk)->next = chunk;
        return (char *)chunk + ARENA_LINK;
    }
    cap = LM_MAX(cap, ARENA_LINK + need);
    chunk = lm_mem_new(arena->mem, cap, arena->kind);
    if (!chunk)
        return NULL;
    chunk->next = arena->chunk;
    arena->chunk = chunk;
    arena->cap = cap;
    arena->used = ARENA_LINK + need;
    return (char *)chunk + ARENA_LINK;
}

void *lm_arena_array(lm_arena *arena, size_t n, size_t size)
{
    if (size != 0 && n > SIZE_MAX / size)
        return NULL;
    return lm_arena_new(arena, n * size);
}

void lm_arena_free(lm_arena *arena)
{
    for (arena_chunk *chunk = arena->chunk; chunk;) {
        arena_chunk *next = chunk->next;
        lm_mem_free(arena->mem, chunk);
        chunk = next;
    }
    arena->chunk = NULL;
    arena->used = arena->cap = 0;
}
