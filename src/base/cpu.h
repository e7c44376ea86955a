/* SPDX-License-Identifier: MIT
 * What this processor can do, and the floating-point mode. Floor 0. Threads: any. */
#ifndef LM_BASE_CPU_H
#define LM_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

enum {
    LM_CPU_AVX2 = 1 << 0,               /* with FMA, F16C, BMI2, and the OS saving the registers */
    LM_CPU_AVX_VNNI = 1 << 1,
    LM_CPU_AVX512 = 1 << 2,             /* F, BW, DQ, VL, VBMI */
    LM_CPU_AVX512_VNNI = 1 << 3,
    LM_CPU_AMX_INT8 = 1 << 4,           /* the processor has it and the OS saves it; who uses it must ask first: lm_cpu_ask_amx */
    LM_CPU_NEON = 1 << 8,
    LM_CPU_DOTPROD = 1 << 9,
    LM_CPU_I8MM = 1 << 10
};
uint32_t lm_cpu_features(void);
/* Asks the system for AMX, for all threads of this process until it ends: there is no way back. True if it may be used. */
bool     lm_cpu_ask_amx(void);

/* IEEE default mode on this thread: round to nearest even, no flush to zero, no traps. Every entry that computes takes it
 * and gives the caller's mode back. */
uint64_t lm_fp_enter(void);             /* returns the mode found */
void     lm_fp_leave(uint64_t mode);

#endif
