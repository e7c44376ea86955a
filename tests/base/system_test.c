/* SPDX-License-Identifier: MIT
 * Floor 0 and the system: memory and its accounting, threads and parking, clock, files, processor, floating-point mode. */
#if !defined(_WIN32)
#define _GNU_SOURCE 1
#endif
#include "base/cpu.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/status.h"
#include "base/thread.h"

#include "test.h"

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

/* ---- memory */

typedef struct system_heap {            /* an allocator that remembers, and fails at the n-th call */
    size_t live, calls, fail_at;
    uint64_t bytes, most;
    int32_t last_kind;
} system_heap;

typedef struct system_block { void *base; size_t size, align; int32_t kind; } system_block;

static void *heap_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    system_heap *heap = user;
    char *base, *at;
    if (++heap->calls == heap->fail_at)
        return NULL;
    base = malloc(size + align + sizeof(system_block));
    at = (char *)(((uintptr_t)base + sizeof(system_block) + align - 1) & ~(uintptr_t)(align - 1));
    ((system_block *)(void *)at)[-1] = (system_block){ base, size, align, kind };
    heap->live++;
    heap->bytes += size;
    heap->most = heap->bytes > heap->most ? heap->bytes : heap->most;
    heap->last_kind = kind;
    return at;
}

static void heap_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    system_heap *heap = user;
    system_block block = ((system_block *)ptr)[-1];
    CHECK(block.size == size && block.align == align && block.kind == kind);
    heap->live--;
    heap->bytes -= size;
    free(block.base);
}

static llm_allocator heap_hooks(system_heap *heap)
{
    llm_allocator hooks = LLM_INIT(llm_allocator);
    hooks.user = heap;
    hooks.allocate = heap_allocate;
    hooks.release = heap_release;
    return hooks;
}

static void test_mem(void)
{
    system_heap heap = { 0 };
    llm_allocator hooks = heap_hooks(&heap);
    lm_mem mem;
    unsigned char *a, *b;
    lm_mem_init(&mem, &hooks, 0);
    a = lm_mem_new(&mem, 100, LLM_MEMORY_STATE);
    CHECK(a && (uintptr_t)a % 64 == 0 && lm_mem_size(a) == 100 && heap.last_kind == LLM_MEMORY_STATE);
    for (int i = 0; i < 100; i++)
        CHECK(a[i] == 0);
    CHECK(mem.used == lm_mem_cost(100) && mem.used == heap.bytes && mem.peak == mem.used);
    memset(a, 7, 100);
    b = lm_mem_grow(&mem, a, 300, LLM_MEMORY_STATE);
    CHECK(b && b[99] == 7 && b[100] == 0 && b[299] == 0 && lm_mem_size(b) == 300);
    CHECK(mem.used == lm_mem_cost(300) && mem.peak == lm_mem_cost(100) + lm_mem_cost(300) && mem.peak == heap.most);
    heap.fail_at = heap.calls + 1;
    CHECK(lm_mem_grow(&mem, b, 1000, LLM_MEMORY_STATE) == NULL && b[99] == 7 && mem.used == lm_mem_cost(300));
    CHECK(mem.peak == heap.most);                           /* what the allocator refused is no peak */
    lm_mem_free(&mem, b);
    lm_mem_free(&mem, NULL);
    a = lm_mem_new(&mem, 0, 0);
    CHECK(a && lm_mem_size(a) == 0);
    lm_mem_free(&mem, a);
    a = lm_mem_grow(&mem, NULL, 10, 0);
    CHECK(a && a[9] == 0);
    lm_mem_free(&mem, a);
    CHECK(lm_mem_new_array(&mem, SIZE_MAX / 4, 8, 0) == NULL && lm_mem_new(&mem, SIZE_MAX - 8, 0) == NULL && lm_mem_raw(&mem, SIZE_MAX, 0) == NULL);
    CHECK(lm_mem_size(NULL) == 0 && heap.live == 0 && mem.used == 0);

    lm_mem_init(&mem, NULL, lm_mem_cost(1000) + lm_mem_cost(2000));
    a = lm_mem_new(&mem, 1000, 0);
    CHECK(lm_mem_new(&mem, 2001, 0) == NULL && mem.used == lm_mem_cost(1000));
    b = lm_mem_raw(&mem, 2000, 0);
    CHECK(a && b && mem.used == mem.limit && mem.peak == mem.limit && lm_mem_new(&mem, 0, 0) == NULL);
    CHECK(!LM_HOSTILE || b[0] != 0);
    lm_mem_free(&mem, a);
    lm_mem_free(&mem, b);
    CHECK(mem.used == 0);

    lm_mem_init(&mem, NULL, 0);                             /* big blocks: their header stands on a border of 2 MiB */
    a = lm_mem_new(&mem, (size_t)5 << 20, LLM_MEMORY_WEIGHTS);
    CHECK(a && ((uintptr_t)a - 64) % ((uintptr_t)2 << 20) == 0 && a[(5 << 20) - 1] == 0);
    lm_mem_free(&mem, a);
}

static void test_arena(void)
{
    system_heap heap = { 0 };
    llm_allocator hooks = heap_hooks(&heap);
    for (size_t fail_at = 0; fail_at < 40; fail_at++) {
        lm_mem mem;
        lm_arena arena;
        size_t sizes = 0, failed = 0;
        heap.calls = 0;
        heap.fail_at = fail_at;
        lm_mem_init(&mem, &hooks, 0);
        lm_arena_init(&arena, &mem, LLM_MEMORY_TOKENIZER);
        for (size_t i = 0; i < 2000; i++) {
            size_t size = i % 97 == 0 ? i * 40 : i % 37;
            unsigned char *p = lm_arena_new(&arena, size);
            failed += !p;
            if (!p)
                continue;
            CHECK((uintptr_t)p % 16 == 0);
            for (size_t k = 0; k < size; k++)
                if (p[k] != 0) {
                    CHECK_MSG(0, "arena memory is not zero");
                    break;
                }
            memset(p, 0xee, size);
            sizes += size;
        }
        CHECK(failed == (fail_at != 0 && fail_at <= heap.calls));
        CHECK(mem.used >= sizes && mem.used < 2 * sizes + 4096);
        CHECK(lm_arena_array(&arena, SIZE_MAX / 2, 16) == NULL && lm_arena_new(&arena, SIZE_MAX) == NULL);
        lm_arena_free(&arena);
        CHECK(mem.used == 0 && heap.live == 0);
    }
}

/* ---- threads */

enum { SYSTEM_THREADS = 4, SYSTEM_ROUNDS = 2000 };
static lm_mutex system_lock;
static long system_sum;
static _Atomic uint32_t system_go, system_asleep;

static void system_add(void *arg)
{
    (void)arg;
    atomic_fetch_add(&system_asleep, 1);
    while (atomic_load(&system_go) == 0)
        lm_park(&system_go, 0, -1);
    for (int i = 0; i < SYSTEM_ROUNDS; i++) {
        lm_mutex_lock(&system_lock);
        system_sum++;
        lm_mutex_unlock(&system_lock);
    }
}

static void system_try(void *arg) { *(int *)arg = lm_mutex_try(&system_lock) ? 1 : 0; }

static void test_threads(void)
{
    lm_thread threads[SYSTEM_THREADS], other;
    llm_error error;
    lm_mem mem;
    int tried = -1;
    int64_t before;
    _Atomic uint32_t word = 1;
    lm_mem_init(&mem, NULL, 0);
    CHECK(lm_mutex_init(&system_lock, &error) == LLM_OK);
    for (int i = 0; i < SYSTEM_THREADS; i++)
        CHECK(lm_thread_start(&threads[i], system_add, NULL, &error) == LLM_OK);
    while (atomic_load(&system_asleep) != SYSTEM_THREADS)
        lm_cpu_relax();
    atomic_store(&system_go, 1);
    lm_unpark_all(&system_go);
    for (int i = 0; i < SYSTEM_THREADS; i++)
        lm_thread_join(&threads[i]);
    CHECK(system_sum == SYSTEM_THREADS * SYSTEM_ROUNDS);
    lm_mutex_lock(&system_lock);
    CHECK(lm_thread_start(&other, system_try, &tried, &error) == LLM_OK);
    lm_thread_join(&other);
    CHECK(tried == 0);
    lm_mutex_unlock(&system_lock);
    CHECK(lm_mutex_try(&system_lock));
    lm_mutex_unlock(&system_lock);
    lm_mutex_destroy(&system_lock);

    before = lm_now_ns();
    lm_park(&word, 0, -1);                                  /* another value: does not sleep */
    CHECK(lm_now_ns() - before < 1000000000);
    before = lm_now_ns();
    while (lm_now_ns() - before < 20000000)
        lm_park(&word, 1, 20000000);
    CHECK(lm_now_ns() - before < 2000000000);
}

#if !defined(_WIN32)
static void system_mask(void *arg) { pthread_sigmask(SIG_SETMASK, NULL, arg); }

static void test_signals(void)
{
    sigset_t seen, before, after;
    lm_thread thread;
    sigemptyset(&seen);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    CHECK(lm_thread_start(&thread, system_mask, &seen, NULL) == LLM_OK);
    lm_thread_join(&thread);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    CHECK(sigismember(&seen, SIGINT) && sigismember(&seen, SIGTERM) && sigismember(&seen, SIGPROF) && sigismember(&seen, SIGUSR1));
    CHECK(sigismember(&before, SIGINT) == sigismember(&after, SIGINT) && !sigismember(&after, SIGUSR1));
}

static void test_files(void)
{
    char path[] = "/tmp/llm-system-test-XXXXXX", fifo[64], bytes[16];
    int fd = mkstemp(path);
    lm_file file;
    uint64_t size;
    llm_error error;
    CHECK(fd >= 0 && write(fd, "0123456789", 10) == 10);
    CHECK(lm_file_open(path, strlen(path), &file, &error) == LLM_OK);
    CHECK(lm_file_size(file, &size, &error) == LLM_OK && size == 10);
    CHECK(lm_file_read(file, 3, bytes, 4, &error) == LLM_OK && memcmp(bytes, "3456", 4) == 0);
    CHECK(lm_file_read(file, 3, bytes, 0, &error) == LLM_OK);
    CHECK(lm_file_read(file, 8, bytes, 4, &error) == LLM_E_IO && strstr(error.message, "shorter"));
    CHECK(lm_file_read(file, UINT64_MAX - 1, bytes, 1, &error) == LLM_E_IO);
    CHECK(ftruncate(fd, 2) == 0 && lm_file_read(file, 3, bytes, 4, &error) == LLM_E_IO);
    lm_file_close(file);
    CHECK(lm_file_read(file, 0, bytes, 1, &error) == LLM_E_IO);
    close(fd);
    CHECK(lm_file_open(path, 5, &file, &error) == LLM_E_IO && strstr(error.message, "directory"));      /* "/tmp/" */
    CHECK(lm_file_open("/tmp/no/such/file", 17, &file, &error) == LLM_E_NOT_FOUND && strstr(error.message, "/tmp/no/such/file"));
    CHECK(lm_file_open("a\0b", 3, &file, &error) == LLM_E_INVALID && lm_file_open("", 0, &file, &error) == LLM_E_INVALID);
    CHECK(lm_file_open("/dev/null", 9, &file, &error) == LLM_E_IO && strstr(error.message, "regular"));
    lm_print(fifo, sizeof fifo, "%s.fifo", path);
    if (CHECK(mkfifo(fifo, 0600) == 0)) {                   /* nobody writes: a blocking open would hang here */
        CHECK(lm_file_open(fifo, strlen(fifo), &file, &error) == LLM_E_IO && strstr(error.message, "regular"));
        unlink(fifo);
    }
    CHECK(lm_file_size((lm_file){ -1 }, &size, &error) == LLM_E_INVALID);
    int ends[2];
    CHECK(pipe(ends) == 0 && lm_file_size((lm_file){ ends[0] }, &size, &error) == LLM_E_IO);
    close(ends[0]);
    close(ends[1]);
    unlink(path);
}
#else
static void test_signals(void) {}
static void test_files(void) {}
#endif

/* ---- processor */

#if defined(__x86_64__)
static uint64_t system_hostile_mode(void) { return 0x1f80 | 0x8040 | 0x4000; }      /* flush to zero, denormals are zero, round up */
static void system_set_mode(uint64_t mode) { __builtin_ia32_ldmxcsr((unsigned)mode); }
static uint64_t system_mode(void) { return __builtin_ia32_stmxcsr() & ~0x3fu; }
#elif defined(__aarch64__)
static uint64_t system_hostile_mode(void) { return (1u << 24) | (1u << 22); }       /* flush to zero, round up */
static void system_set_mode(uint64_t mode) { __asm__ __volatile__("msr fpcr, %0" ::"r"(mode) : "memory"); }
static uint64_t system_mode(void)
{
    uint64_t mode;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode)::"memory");
    return mode;
}
#else
static uint64_t system_hostile_mode(void) { return 0; }
static void system_set_mode(uint64_t mode) { (void)mode; }
static uint64_t system_mode(void) { return 0; }
#endif

static void test_fp(void)
{
    volatile float tiny = 0x1p-140f, one = 1, two = 2, got;
    uint64_t usual = system_mode(), found;
    system_set_mode(system_hostile_mode());
    found = lm_fp_enter();
    got = tiny / two;
    CHECK(got == 0x1p-141f);
    got = one + 0x1p-30f;
    CHECK(got == 1.0f);                                     /* rounded up it were the next number */
    lm_fp_leave(found);
    CHECK(system_mode() == system_hostile_mode());
    system_set_mode(usual);
    found = lm_fp_enter();
    lm_fp_leave(found);
    CHECK(system_mode() == usual);
}

int main(void)
{
    test_mem();
    test_arena();
    test_threads();
    test_signals();
    test_files();
    test_fp();
    CHECK(lm_os_cores() >= 1);
    CHECK(lm_cpu_features() == lm_cpu_features());
    fprintf(stderr, "%d cores, features %x\n", (int)lm_os_cores(), (unsigned)lm_cpu_features());
    return TEST_DONE();
}
