/* SPDX-License-Identifier: MIT
 * How a file of kernels/arm asks for its instruction set. No file needs a compiler flag: all of src/ compiles with -O2 for any
 * aarch64, whose base has NEON and fma; what stands between LM_TARGET_DOT or LM_TARGET_I8MM and LM_TARGET_END may use the
 * instructions named too (base/cpu.h says which bits of the processor stand for them). A function of the base may be inlined into
 * such code, never the other way. Floor 5.
 *
 *     #include "kernels/arm/arm.h"
 *     LM_EXACT_ARITHMETIC
 *     #if LM_ARM
 *     LM_TARGET_DOT
 *     ... static functions ...
 *     LM_TARGET_END
 *     void lm_kernels_linear_dot(lm_kernels *table) { ... }
 *     #else
 *     void lm_kernels_linear_dot(lm_kernels *table) { (void)table; }
 *     #endif
 */
#ifndef LM_KERNELS_ARM_ARM_H
#define LM_KERNELS_ARM_ARM_H

#include "base/compiler.h"

#if defined(__aarch64__) && defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LM_ARM 1
#else
#define LM_ARM 0
#endif

#if LM_ARM

/* clang before 16 declares the intrinsics of an extension only where the whole file is compiled for it. */
#if defined(__clang__) && __clang_major__ < 16 && !defined(__ARM_FEATURE_DOTPROD)
#define __ARM_FEATURE_DOTPROD 1
#define ARM_DOTPROD_DECLARED
#endif
#if defined(__clang__) && __clang_major__ < 16 && !defined(__ARM_FEATURE_MATMUL_INT8)
#define __ARM_FEATURE_MATMUL_INT8 1
#define ARM_I8MM_DECLARED
#endif
#include <arm_neon.h>
#if defined(ARM_DOTPROD_DECLARED)
#undef __ARM_FEATURE_DOTPROD
#undef ARM_DOTPROD_DECLARED
#endif
#if defined(ARM_I8MM_DECLARED)
#undef __ARM_FEATURE_MATMUL_INT8
#undef ARM_I8MM_DECLARED
#endif

#if defined(__clang__)
#define LM_TARGET_DOT _Pragma("clang attribute push(__attribute__((target(\"dotprod\"))), apply_to=function)")
#define LM_TARGET_I8MM _Pragma("clang attribute push(__attribute__((target(\"dotprod,i8mm\"))), apply_to=function)")
#define LM_TARGET_END _Pragma("clang attribute pop")
#else
#define LM_TARGET_DOT _Pragma("GCC push_options") _Pragma("GCC target(\"arch=armv8.2-a+dotprod\")")
#define LM_TARGET_I8MM _Pragma("GCC push_options") _Pragma("GCC target(\"arch=armv8.2-a+dotprod+i8mm\")")
#define LM_TARGET_END _Pragma("GCC pop_options")
#endif
#endif

#endif
