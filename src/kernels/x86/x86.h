/* SPDX-License-Identifier: MIT
 * How a file of kernels/x86 asks for its instruction set. No file needs a compiler flag: all of src/ compiles with -O2 for any
 * x86-64, and what stands between LM_TARGET_* and LM_TARGET_END may use the instructions named (base/cpu.h says which bits of
 * the processor stand for them). Functions that must be inlined across the two have to stand inside. Floor 5.
 *
 *     #include "kernels/x86/x86.h"
 *     LM_EXACT_ARITHMETIC
 *     #if LM_X86
 *     LM_TARGET_AVX2
 *     ... static functions ...
 *     LM_TARGET_END
 *     void lm_kernels_linear_avx2(lm_kernels *table) { ... }
 *     #else
 *     void lm_kernels_linear_avx2(lm_kernels *table) { (void)table; }
 *     #endif
 */
#ifndef LM_KERNELS_X86_X86_H
#define LM_KERNELS_X86_X86_H

#include "base/compiler.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define LM_X86 1
#else
#define LM_X86 0
#endif

#if LM_X86
#include <immintrin.h>

#if defined(__linux__) && defined(__has_include)       /* only Linux can be asked for AMX */
#if __has_include(<amxint8intrin.h>)
#define LM_X86_AMX 1                /* a compiler that knows it: gcc 11, clang 12 */
#endif
#endif

/* Holds the compiler to a running integer sum in one register: gcc otherwise makes a tree of an unrolled one, or copies it at every turn,
 * and spills. No code. */
#define LM_RUNNING(vector) __asm__("" : "+v"(vector))

#if defined(__clang__)
#define LM_TARGET_AVX2 _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,f16c,bmi,bmi2\"))), apply_to=function)")
#define LM_TARGET_AVX512 \
    _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni\"))), apply_to=function)")
#define LM_TARGET_AMX \
    _Pragma("clang attribute push(__attribute__((target(\"avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,amx-tile,amx-int8\"))), apply_to=function)")
#define LM_TARGET_END _Pragma("clang attribute pop")
#else
#define LM_TARGET_AVX2 _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,f16c,bmi,bmi2\")")
#define LM_TARGET_AVX512 \
    _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni\")")
#define LM_TARGET_AMX \
    _Pragma("GCC push_options") _Pragma("GCC target(\"avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni,amx-tile,amx-int8\")")
#define LM_TARGET_END _Pragma("GCC pop_options")
#endif
#endif

#ifndef LM_X86_AMX
#define LM_X86_AMX 0
#endif

#endif
