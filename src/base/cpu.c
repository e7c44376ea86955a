/* SPDX-License-Identifier: MIT
 * Features of the processor and its floating-point mode, one section a machine. A feature counts only if the operating system
 * saves the registers it needs. Threads: any; keeps nothing, so ask once and remember. */
#include "base/cpu.h"

#include "base/compiler.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* Which register sets the system saves (XCR0); only where CPUID says OSXSAVE. */
static uint32_t cpu_saved_registers(void)
{
    uint32_t low, high;
    __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

enum { CPU_XCR0_AVX = 0x6, CPU_XCR0_AVX512 = 0xe6, CPU_XCR0_AMX = 0x60000 };

uint32_t lm_cpu_features(void)
{
    unsigned a, b, c, d, max, saved, out = 0;
    unsigned b7, c7, d7, a71 = 0, b71, c71, d71;
    if (!__get_cpuid(0, &max, &b, &c, &d) || max < 7 || !__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    if (!((c >> 27) & 1))                                   /* OSXSAVE */
        return 0;
    saved = cpu_saved_registers();
    if ((saved & CPU_XCR0_AVX) != CPU_XCR0_AVX)
        return 0;
    __cpuid_count(7, 0, a, b7, c7, d7);
    if (a >= 1)
        __cpuid_count(7, 1, a71, b71, c71, d71);
    /* AVX, FMA, F16C; AVX2, BMI2 */
    if (!((c >> 28) & 1) || !((c >> 12) & 1) || !((c >> 29) & 1) || !((b7 >> 5) & 1) || !((b7 >> 8) & 1))
        return 0;
    out |= LM_CPU_AVX2;
    if ((a71 >> 4) & 1)
        out |= LM_CPU_AVX_VNNI;
    if (((d7 >> 24) & 1) && ((d7 >> 25) & 1) && (saved & CPU_XCR0_AMX) == CPU_XCR0_AMX)
        out |= LM_CPU_AMX_INT8;
    if ((saved & CPU_XCR0_AVX512) != CPU_XCR0_AVX512)
        return out;
    /* F, DQ, BW, VL; VBMI */
    if (!((b7 >> 16) & 1) || !((b7 >> 17) & 1) || !((b7 >> 30) & 1) || !((b7 >> 31) & 1) || !((c7 >> 1) & 1))
        return out;
    out |= LM_CPU_AVX512;
    if ((c7 >> 11) & 1)
        out |= LM_CPU_AVX512_VNNI;
    return out;
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

uint32_t lm_cpu_features(void)
{
    unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);
    return ((caps >> 1) & 1 ? LM_CPU_NEON : 0) | ((caps >> 20) & 1 ? LM_CPU_DOTPROD : 0) | ((caps2 >> 13) & 1 ? LM_CPU_I8MM : 0);
}
#elif defined(__aarch64__)
/* Asking waits for a system that we can test on; what the compiler was told to expect is there (on macOS: dot products). */
#if defined(__ARM_FEATURE_DOTPROD)
#define CPU_TOLD_DOTPROD LM_CPU_DOTPROD
#else
#define CPU_TOLD_DOTPROD 0
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
#define CPU_TOLD_I8MM LM_CPU_I8MM
#else
#define CPU_TOLD_I8MM 0
#endif
uint32_t lm_cpu_features(void) { return LM_CPU_NEON | CPU_TOLD_DOTPROD | CPU_TOLD_I8MM; }
#undef CPU_TOLD_DOTPROD
#undef CPU_TOLD_I8MM
#else
uint32_t lm_cpu_features(void) { return 0; }
#endif

#if defined(__x86_64__) && defined(__linux__)
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

long syscall(long number, ...);                             /* not in strict C11's view of unistd.h */

enum { CPU_REQ_XCOMP_PERM = 0x1023, CPU_XTILEDATA = 18 };   /* <asm/prctl.h> of Linux 5.16 */

bool lm_cpu_ask_amx(void)
{
    int saved = errno;
    bool may = (lm_cpu_features() & LM_CPU_AMX_INT8) && syscall(SYS_arch_prctl, CPU_REQ_XCOMP_PERM, CPU_XTILEDATA) == 0;
    errno = saved;
    return may;
}
#else
bool lm_cpu_ask_amx(void) { return false; }
#endif

/* Not inlined, so that no computation of the caller moves across the change of mode. */
#if defined(__x86_64__) || defined(__SSE__)
enum { CPU_MXCSR_DEFAULT = 0x1f80, CPU_MXCSR_FLAGS = 0x3f };

LM_NOINLINE uint64_t lm_fp_enter(void)
{
    uint32_t mode = __builtin_ia32_stmxcsr();
    if ((mode & ~(uint32_t)CPU_MXCSR_FLAGS) != CPU_MXCSR_DEFAULT)
        __builtin_ia32_ldmxcsr(CPU_MXCSR_DEFAULT);
    return mode;
}

LM_NOINLINE void lm_fp_leave(uint64_t mode)
{
    if (__builtin_ia32_stmxcsr() != (uint32_t)mode)         /* the flags of exceptions are the host's too */
        __builtin_ia32_ldmxcsr((uint32_t)mode);
}
#elif defined(__aarch64__)
LM_NOINLINE uint64_t lm_fp_enter(void)
{
    uint64_t mode;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode)::"memory");
    if (mode != 0)
        __asm__ __volatile__("msr fpcr, %0" ::"r"((uint64_t)0) : "memory");
    return mode;
}

LM_NOINLINE void lm_fp_leave(uint64_t mode)
{
    if (mode != 0)
        __asm__ __volatile__("msr fpcr, %0" ::"r"(mode) : "memory");
}
#else
LM_NOINLINE uint64_t lm_fp_enter(void) { return 0; }
LM_NOINLINE void lm_fp_leave(uint64_t mode) { (void)mode; }
#endif
