/* SPDX-License-Identifier: MIT
 * What we ask of the compiler, in one place. Floor 0. */
#ifndef LM_BASE_COMPILER_H
#define LM_BASE_COMPILER_H

/* At the head of every file that computes: no product and sum may be fused unless the code says fmaf. gcc fuses even
 * intrinsics and ignores the standard pragma; clang fuses scalars under -std=c11 and knows only the standard pragma. */
#if defined(__clang__)
#define LM_EXACT_ARITHMETIC _Pragma("STDC FP_CONTRACT OFF")
#elif defined(__GNUC__)
#define LM_EXACT_ARITHMETIC _Pragma("GCC optimize(\"fp-contract=off\")")
#else
#define LM_EXACT_ARITHMETIC _Pragma("STDC FP_CONTRACT OFF")
#endif

/* The number at the head of docs/ARITHMETIC.md, which what is kept on disk carries. */
enum { LM_ARITHMETIC = 1 };

/* Our formatter's language is C99's on every system; gcc for Windows would otherwise check for Microsoft's. */
#if defined(__clang__)
#define LM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#elif defined(__GNUC__)
#define LM_PRINTF(fmt, args) __attribute__((format(gnu_printf, fmt, args)))
#else
#define LM_PRINTF(fmt, args)
#endif

#if defined(__GNUC__)
#define LM_NOINLINE __attribute__((noinline))
#define LM_INLINE static inline __attribute__((always_inline))
#define LM_LIKELY(x) __builtin_expect(!!(x), 1)
#define LM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LM_PREFETCH(p) __builtin_prefetch((p))
#else
#define LM_NOINLINE
#define LM_INLINE static inline
#define LM_LIKELY(x) (x)
#define LM_UNLIKELY(x) (x)
#define LM_PREFETCH(p) ((void)(p))
#endif

/* Before a loop of few, known turns over registers: unroll it whole even at -O2, so that the arrays it indexes become registers.
 * (clang knows GCC's spelling, but unrolls too late for that: five times slower.) */
#if defined(__clang__)
#define LM_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define LM_UNROLL _Pragma("GCC unroll 16")
#else
#define LM_UNROLL
#endif

/* The hostile build (-DLM_HOSTILE=1): junk-filled memory, pages of one position in shuffled order, tiny staging. */
#ifndef LM_HOSTILE
#define LM_HOSTILE 0
#endif

#define LM_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LM_MIN(a, b) ((a) < (b) ? (a) : (b))
#define LM_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Bounds on work for strangers' texts: far in the library; near in the fuzzers' build, where inputs must be cheap and should get there. */
#if defined(LM_FUZZING)
#define LM_BOUND(far_one, near_one) (near_one)
#else
#define LM_BOUND(far_one, near_one) (far_one)
#endif

#endif
