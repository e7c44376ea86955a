/* SPDX-License-Identifier: MIT
 * Each ceiling is the median of seven runs, every thread on a core of its own, timed from the first start to the last end. The
 * peak loops are written as instructions: left to themselves, compilers spill the accumulators and report half of the peak. Twelve
 * (AVX2: ten) chains cover latency x issue width of the cores we know. Here alone, not in the library, a form is compiled in by #if
 * around whole functions. */
#define _GNU_SOURCE
#include "ceilings.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CEILINGS_MAX_THREADS = 256, CEILINGS_RUNS = 7 };

typedef struct ceilings_job ceilings_job;
typedef double (*ceilings_work)(const ceilings_job *job);   /* returns what it did: bytes or operations */
struct ceilings_job {
    ceilings_work work;
    const char *data;
    size_t bytes;
    int cpu;                            /* to sit on, or -1 */
    atomic_int *go;                     /* 0: wait, 1: run, -1: give up */
    double started, ended, done;
    uint64_t sink;
};

static double ceilings_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void ceilings_keep(const ceilings_job *job, uint64_t value)
{
    ((volatile ceilings_job *)(uintptr_t)job)->sink = value;
}

/* ---- what is timed ---------------------------------------------------------------------------------------------------- */

static double ceilings_read_plain(const ceilings_job *job)
{
    uint64_t a[8] = { 0 };
    for (size_t i = 0; i < job->bytes; i += 64)
        for (int j = 0; j < 8; j++) {
            uint64_t word;
            memcpy(&word, job->data + i + 8 * j, 8);
            a[j] ^= word;
        }
    ceilings_keep(job, a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7]);
    return (double)job->bytes;
}

#if defined(__x86_64__)

static const long ceilings_turns = 20000000;

__attribute__((target("avx2"))) static double ceilings_read_avx2(const ceilings_job *job)
{
    __m256i a[8] = { 0 };
    for (size_t i = 0; i < job->bytes; i += 256)
        for (int j = 0; j < 8; j++)
            a[j] = _mm256_xor_si256(a[j], _mm256_load_si256((const __m256i *)(const void *)(job->data + i + 32 * j)));
    for (int j = 1; j < 8; j++)
        a[0] = _mm256_xor_si256(a[0], a[j]);
    ceilings_keep(job, (uint64_t)_mm256_extract_epi64(a[0], 0));
    return (double)job->bytes;
}

__attribute__((target("avx512f"))) static double ceilings_read_avx512(const ceilings_job *job)
{
    __m512i a[8] = { 0 };
    for (size_t i = 0; i < job->bytes; i += 512)
        for (int j = 0; j < 8; j++)
            a[j] = _mm512_xor_si512(a[j], _mm512_load_si512(job->data + i + 64 * j));
    for (int j = 1; j < 8; j++)
        a[0] = _mm512_xor_si512(a[0], a[j]);
    ceilings_keep(job, (uint64_t)_mm512_reduce_add_epi64(a[0]));
    return (double)job->bytes;
}

#define CEILINGS_ZMM(name, instruction_set, type, init, left, right, insn, operations)                                            \
    __attribute__((target(instruction_set))) static double name(const ceilings_job *job)                                          \
    {                                                                                                                               \
        type x = left, y = right;                                                                                                   \
        type a0 = init, a1 = init, a2 = init, a3 = init, a4 = init, a5 = init, a6 = init, a7 = init, a8 = init, a9 = init,          \
             a10 = init, a11 = init;                                                                                                \
        (void)job;                                                                                                                  \
        for (long k = 0; k < ceilings_turns; k++)                                                                                   \
            __asm__ volatile(insn "0\n" insn "1\n" insn "2\n" insn "3\n" insn "4\n" insn "5\n" insn "6\n" insn "7\n"                  \
                             insn "8\n" insn "9\n" insn "10\n" insn "11"                                                            \
                             : "+v"(a0), "+v"(a1), "+v"(a2), "+v"(a3), "+v"(a4), "+v"(a5), "+v"(a6), "+v"(a7), "+v"(a8),            \
                               "+v"(a9), "+v"(a10), "+v"(a11)                                                                       \
                             : "v"(x), "v"(y));                                                                                     \
        return (double)ceilings_turns * 12 * operations;                                                                            \
    }
CEILINGS_ZMM(ceilings_int8_avx512, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), _mm512_set1_epi8(3), _mm512_set1_epi8(5),
             "vpdpbusd %12, %13, %", 128)
CEILINGS_ZMM(ceilings_f32_avx512, "avx512f", __m512, _mm512_setzero_ps(), _mm512_set1_ps(1.0001f), _mm512_set1_ps(1e-4f),
             "vfmadd231ps %12, %13, %", 32)
#undef CEILINGS_ZMM

__attribute__((target("avx2,fma"))) static double ceilings_f32_avx2(const ceilings_job *job)
{
    __m256 x = _mm256_set1_ps(1.0001f), y = _mm256_set1_ps(1e-4f), z = _mm256_setzero_ps();
    __m256 a0 = z, a1 = z, a2 = z, a3 = z, a4 = z, a5 = z, a6 = z, a7 = z, a8 = z, a9 = z;

    (void)job;
    for (long k = 0; k < ceilings_turns; k++)
        __asm__ volatile("vfmadd231ps %10, %11, %0\n vfmadd231ps %10, %11, %1\n vfmadd231ps %10, %11, %2\n vfmadd231ps %10, %11, %3\n"
                         "vfmadd231ps %10, %11, %4\n vfmadd231ps %10, %11, %5\n vfmadd231ps %10, %11, %6\n vfmadd231ps %10, %11, %7\n"
                         "vfmadd231ps %10, %11, %8\n vfmadd231ps %10, %11, %9\n"
                         : "+x"(a0), "+x"(a1), "+x"(a2), "+x"(a3), "+x"(a4), "+x"(a5), "+x"(a6), "+x"(a7), "+x"(a8), "+x"(a9)
                         : "x"(x), "x"(y));
    return (double)ceilings_turns * 10 * 16;
}

/* Without VNNI a product of bytes takes three instructions: bytes to 16 bits, to 32 bits, add. */
__attribute__((target("avx2"))) static double ceilings_int8_avx2(const ceilings_job *job)
{
    __m256i x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1), z = _mm256_setzero_si256();
    __m256i a0 = z, a1 = z, a2 = z, a3 = z, a4 = z, a5 = z, a6 = z, a7 = z, t0, t1;

    (void)job;
#define CEILINGS_STEP(i, t) "vpmaddubsw %11, %10, %" #t "\n vpmaddwd %12, %" #t ", %" #t "\n vpaddd %" #t ", %" #i ", %" #i "\n"
    for (long k = 0; k < ceilings_turns; k++)
        __asm__ volatile(CEILINGS_STEP(0, 8) CEILINGS_STEP(1, 9) CEILINGS_STEP(2, 8) CEILINGS_STEP(3, 9) CEILINGS_STEP(4, 8)
                         CEILINGS_STEP(5, 9) CEILINGS_STEP(6, 8) CEILINGS_STEP(7, 9)
                         : "+x"(a0), "+x"(a1), "+x"(a2), "+x"(a3), "+x"(a4), "+x"(a5), "+x"(a6), "+x"(a7), "=&x"(t0), "=&x"(t1)
                         : "x"(x), "x"(y), "x"(ones));
#undef CEILINGS_STEP
    return (double)ceilings_turns * 8 * 64;
}

static void ceilings_choose(int form, ceilings *out, ceilings_work work[3])
{
    work[0] = ceilings_read_plain;
    work[1] = work[2] = NULL;
    if (form >= CEILINGS_AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        work[0] = ceilings_read_avx2;
        work[1] = ceilings_int8_avx2;
        work[2] = ceilings_f32_avx2;
        out->int8_form = "AVX2 vpmaddubsw, vpmaddwd, vpaddd";
        out->f32_form = "AVX2 vfmadd231ps";
    }
    if (form >= CEILINGS_AVX512 && __builtin_cpu_supports("avx512f")) {
        work[0] = ceilings_read_avx512;
        work[2] = ceilings_f32_avx512;
        out->f32_form = "AVX-512 vfmadd231ps";
        if (__builtin_cpu_supports("avx512vnni")) {
            work[1] = ceilings_int8_avx512;
            out->int8_form = "AVX-512 vpdpbusd";
        }
    }
}

#else

static void ceilings_choose(int form, ceilings *out, ceilings_work work[3])
{
    (void)form, (void)out;
    work[0] = ceilings_read_plain;
    work[1] = work[2] = NULL;
}

#endif

/* ---- how ---------------------------------------------------------------------------------------------------------------- */

static void *ceilings_thread(void *arg)
{
    ceilings_job *job = arg;
    int go;

    if (job->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(job->cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    while ((go = atomic_load(job->go)) == 0)
        sched_yield();
    if (go < 0)
        return NULL;
    job->started = ceilings_now();
    job->done = job->work(job);
    job->ended = ceilings_now();
    return NULL;
}

static int ceilings_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One run: what all threads did in a second; 0 if threads cannot be had. */
static double ceilings_run(ceilings_work work, int n, const char *data, size_t bytes)
{
    pthread_t threads[CEILINGS_MAX_THREADS];
    ceilings_job jobs[CEILINGS_MAX_THREADS];
    atomic_int go = 0;
    cpu_set_t allowed;
    double first, last, sum = 0;
    int cpu = -1, started = 0;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        CPU_ZERO(&allowed);
    for (; started < n; started++) {
        int i = started;
        size_t part = bytes / (size_t)n / 512 * 512;
        do {
            cpu++;
        } while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &allowed));
        jobs[i] = (ceilings_job){ .work = work, .data = data + (size_t)i * part, .bytes = part, .cpu = cpu < CPU_SETSIZE ? cpu : -1, .go = &go };
        if (pthread_create(&threads[i], NULL, ceilings_thread, &jobs[i]) != 0)
            break;
    }
    atomic_store(&go, started == n ? 1 : -1);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (started < n)
        return 0;
    first = jobs[0].started;
    last = jobs[0].ended;
    for (int i = 0; i < n; i++) {
        first = jobs[i].started < first ? jobs[i].started : first;
        last = jobs[i].ended > last ? jobs[i].ended : last;
        sum += jobs[i].done;
    }
    return last > first ? sum / (last - first) : 0;
}

static double ceilings_median(ceilings_work work, int n, const char *data, size_t bytes)
{
    double rates[CEILINGS_RUNS];

    for (int r = 0; r < CEILINGS_RUNS; r++)
        rates[r] = ceilings_run(work, n, data, bytes);
    qsort(rates, CEILINGS_RUNS, sizeof *rates, ceilings_by_value);
    return rates[CEILINGS_RUNS / 2];
}

ceilings ceilings_measure(int n_threads, int form)
{
    ceilings out = { 0, 0, 0, "", "" };
    ceilings_work work[3];
    long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t bytes = (size_t)2 << 30;                     /* far past the last-level cache */
    char *data = MAP_FAILED;

    if (n_threads < 1 || n_threads > CEILINGS_MAX_THREADS)
        return out;
    ceilings_choose(form, &out, work);
    while (bytes >= (size_t)256 << 20) {
        if (pages <= 0 || (double)pages * (double)page > 1.5 * (double)bytes)
            data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data != MAP_FAILED)
            break;
        bytes /= 2;
    }
    if (data != MAP_FAILED) {
        madvise(data, bytes, MADV_HUGEPAGE);
        memset(data, 1, bytes);
        out.read_bytes = ceilings_median(work[0], n_threads, data, bytes);
        munmap(data, bytes);
    }
    if (work[1])
        out.int8_ops = ceilings_median(work[1], n_threads, NULL, 0);
    if (work[2])
        out.f32_ops = ceilings_median(work[2], n_threads, NULL, 0);
    return out;
}

ceilings ceilings_higher(ceilings a, ceilings b)
{
    a.read_bytes = b.read_bytes > a.read_bytes ? b.read_bytes : a.read_bytes;
    a.int8_ops = b.int8_ops > a.int8_ops ? b.int8_ops : a.int8_ops;
    a.f32_ops = b.f32_ops > a.f32_ops ? b.f32_ops : a.f32_ops;
    return a;
}
