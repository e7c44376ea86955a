/* SPDX-License-Identifier: MIT
 * What a test of kernels needs, after dav1d's checkasm: the tiers of this processor as the dispatcher gives them, memory that
 * ends at a page which may not be touched and carries canaries before its beginning, hostile numbers, comparison by bits (a NaN
 * equals any NaN), a stopwatch. A body runs once per tier with the same seed and emits what it got; tiers_compare runs it and
 * compares each tier with the one before, the first of which is the reference. */
#ifndef TEST_KERNELS_TIERS_H
#define TEST_KERNELS_TIERS_H

#include "base/cpu.h"
#include "base/half.h"
#include "kernels/kernels.h"
#include "test.h"

#include <stddef.h>
#include <time.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#define TIERS_GUARD_PAGES 1
#else
#define TIERS_GUARD_PAGES 0
#endif

enum { TIERS_MAX = 8, TIERS_BUFFERS = 64, TIERS_CANARY = 64 };

typedef struct tiers_out { uint32_t *items; size_t n, room; } tiers_out;

typedef struct tiers_run {
    const lm_kernels *k;
    uint64_t state;                                         /* random numbers: the same for every tier */
    tiers_out out;                                          /* what the body emitted: f32 (compared as such) or integers */
    struct { unsigned char *map, *data; size_t bytes, mapped; } buffer[TIERS_BUFFERS];
    int n_buffers;
    const char *what;
} tiers_run;

static lm_kernels tiers_table[TIERS_MAX];
static int tiers_count;
static uint64_t tiers_hash = 0xcbf29ce484222325u;           /* FNV-1a of all that the reference emitted; tests pin it */

/* Every table that the dispatcher gives to this processor or to one that lacks what a tier may do without, lowest first; of those
 * that agree in the entries from..to (offsets in lm_kernels) the first. */
static inline void tiers_init(size_t from, size_t to)
{
    const uint32_t lacking[] = { LM_CPU_DOTPROD | LM_CPU_I8MM, lm_cpu_ask_amx() ? 0 : LM_CPU_AMX_INT8 };
    for (size_t i = 0; i < sizeof lacking / sizeof lacking[0]; i++)
        for (int32_t most = LM_TIER_REFERENCE; most <= LM_TIER_LAST; most++) {
            int known = 0;
            int32_t tier = lm_kernels_fill(&tiers_table[tiers_count], lm_cpu_features() & ~lacking[i], most);
            CHECK(tier <= most);
            for (int t = 0; t < tiers_count; t++)
                known |= memcmp((char *)&tiers_table[t] + from, (char *)&tiers_table[tiers_count] + from, to - from) == 0;
            tiers_count += !known;
            if (tiers_count >= TIERS_MAX)
                abort();
        }
    printf("tiers:");
    for (int i = 0; i < tiers_count; i++)
        printf(" %s", tiers_table[i].name);
    printf("\n");
}

static inline uint32_t tiers_random(tiers_run *r)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = r->state;
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    return (uint32_t)x;
}

static inline size_t tiers_below(tiers_run *r, size_t n) { return tiers_random(r) % n; }

/* Roughly normal, variance 1. */
static inline float tiers_normal(tiers_run *r)
{
    float sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (float)(tiers_random(r) >> 8) * 0x1p-24f - 0.5f;
    return sum * 1.7320508f;
}

/* Memory of its own: filled with junk, ends where the mapping ends. */
static inline void *tiers_alloc(tiers_run *r, size_t bytes)
{
    int i = r->n_buffers++;
    if (i >= TIERS_BUFFERS)
        abort();
    size_t page = 4096;
#if TIERS_GUARD_PAGES
    page = (size_t)sysconf(_SC_PAGESIZE);
#endif
    size_t mapped = (bytes + TIERS_CANARY + page - 1) / page * page + page;
#if TIERS_GUARD_PAGES
    unsigned char *map = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + mapped - page, page, PROT_NONE) != 0)
        abort();
#else
    unsigned char *map = malloc(mapped);
    if (!map)
        abort();
#endif
    r->buffer[i].map = map;
    r->buffer[i].mapped = mapped;
    r->buffer[i].bytes = bytes;
    r->buffer[i].data = map + mapped - page - bytes;
    memset(map, 0xa5, mapped - page);
    return r->buffer[i].data;
}

static inline float *tiers_floats(tiers_run *r, size_t n) { return tiers_alloc(r, n * sizeof(float)); }

/* What kernels read: NORMAL; HOSTILE mixes in zeros of both signs, subnormals, large, infinite, NaN. */
enum { TIERS_NORMAL, TIERS_WIDE, TIERS_HOSTILE };
static inline void tiers_fill(tiers_run *r, float *x, size_t n, int kind)
{
    static const uint32_t special[] = { 0, 0x80000000u, 1, 0x80000001u, 0x007fffffu, 0x00800000u, 0x7f7fffffu, 0xff7fffffu, 0x7f800000u,
                                        0xff800000u, 0x7fc00000u, 0xffc00001u, 0x0d800000u, 0x42b17218u, 0xc2aeac50u, 0xc2aeac51u };
    uint32_t density = kind == TIERS_HOSTILE ? 1u << tiers_below(r, 12) : 0;        /* from every second to every 4096th */
    for (size_t i = 0; i < n; i++) {
        x[i] = tiers_normal(r);
        if (kind == TIERS_WIDE)
            x[i] *= lm_f32_from_bits((uint32_t)(127 - 40 + (int)tiers_below(r, 60)) << 23);
        if (density && tiers_below(r, density * 2) == 0)
            x[i] = lm_f32_from_bits(special[tiers_below(r, sizeof(special) / sizeof(special[0]))]);
    }
}

static inline float *tiers_input(tiers_run *r, size_t n, int kind)
{
    float *x = tiers_floats(r, n);
    tiers_fill(r, x, n, kind);
    return x;
}

static inline void tiers_emit(tiers_run *r, uint32_t item)
{
    if (r->out.n == r->out.room) {
        r->out.room = r->out.room ? r->out.room * 2 : 4096;
        r->out.items = realloc(r->out.items, r->out.room * sizeof(uint32_t));
        if (!r->out.items)
            abort();
    }
    r->out.items[r->out.n++] = item;
}

/* Every NaN is emitted as the same one. */
static inline void tiers_emit_floats(tiers_run *r, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tiers_emit(r, x[i] != x[i] ? 0x7fc00000u : lm_bits_from_f32(x[i]));
}

/* Checks the canaries of all buffers and frees them. */
static inline void tiers_release(tiers_run *r)
{
    for (int i = 0; i < r->n_buffers; i++) {
        int whole = 1;
        for (unsigned char *p = r->buffer[i].map; p < r->buffer[i].data; p++)
            whole &= *p == 0xa5;
        CHECK_MSG(whole, "%s (%s) wrote before buffer %d of %zu bytes", r->what, r->k->name, i, r->buffer[i].bytes);
#if TIERS_GUARD_PAGES
        munmap(r->buffer[i].map, r->buffer[i].mapped);
#else
        free(r->buffer[i].map);
#endif
    }
    r->n_buffers = 0;
}

typedef void tiers_body(tiers_run *r, size_t variant);

/* Runs the body on every tier; nonzero: all equal. */
static inline int tiers_compare(const char *what, tiers_body *body, size_t variant, uint64_t seed)
{
    tiers_out last = { 0 };
    int good = 1;
    for (int t = 0; t < tiers_count; t++) {
        tiers_run r = { .k = &tiers_table[t], .state = seed * 0x9e3779b97f4a7c15u + variant, .what = what };
        body(&r, variant);
        tiers_release(&r);
        for (size_t i = 0; t == 0 && i < r.out.n; i++)
            tiers_hash = (tiers_hash ^ r.out.items[i]) * 0x100000001b3u;
        if (t > 0) {
            good &= CHECK_MSG(last.n == r.out.n, "%s: %s emitted %zu items, %s %zu", what, tiers_table[t - 1].name, last.n, r.k->name, r.out.n);
            size_t wrong = 0, first = 0;
            for (size_t i = 0; good && i < r.out.n; i++)
                if (r.out.items[i] != last.items[i] && wrong++ == 0)
                    first = i;
            good &= CHECK_MSG(wrong == 0, "%s variant %zu seed %llu: %s differs from %s in %zu of %zu items, first at %zu", what, variant,
                              (unsigned long long)seed, r.k->name, tiers_table[t - 1].name, wrong, r.out.n, first);
            for (size_t i = first; wrong && i < r.out.n && i < first + 8; i++)      /* side by side */
                fprintf(stderr, "  [%zu] %08x %-14g %08x %-14g%s\n", i, (unsigned)last.items[i], (double)lm_f32_from_bits(last.items[i]),
                        (unsigned)r.out.items[i], (double)lm_f32_from_bits(r.out.items[i]), last.items[i] != r.out.items[i] ? " <" : "");
        }
        free(last.items);
        last = r.out;
    }
    free(last.items);
    return good;
}

/* Of this process; with stretches as long as below its coarse ticks do not matter. */
static inline double tiers_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* Seconds of one call: the best of five stretches of at least 5 ms. */
#define TIERS_TIME(seconds, call)                                                   \
    do {                                                                            \
        (seconds) = 1e9;                                                            \
        for (int stretch_ = 0; stretch_ < 5; stretch_++) {                          \
            size_t n_ = 0;                                                          \
            double begin_ = tiers_seconds(), now_;                                  \
            do {                                                                    \
                for (int i_ = 0; i_ < 8; i_++)                                      \
                    call;                                                           \
                n_ += 8;                                                            \
                now_ = tiers_seconds();                                             \
            } while (now_ - begin_ < 5e-3);                                         \
            if ((now_ - begin_) / (double)n_ < (seconds))                           \
                (seconds) = (now_ - begin_) / (double)n_;                           \
        }                                                                           \
    } while (0)

#endif
