/* SPDX-License-Identifier: MIT
 * Our own elementary functions, so that no result depends on a libm. docs/ARITHMETIC.md gives the formulas. Scalar; the
 * vector kernels compute lm_expf and lm_tanhf with the same operations in the same order, from the constants below. Floor 0. */
#ifndef LM_BASE_FMATH_H
#define LM_BASE_FMATH_H

#include "base/half.h"

#include <math.h>
#include <stddef.h>

/* expf: bounds, argument reduction, the polynomial 1 + r + c2 r^2 + .. + c6 r^6 (minimax, relative error 4.4e-9). */
#define LM_EXPF_HIGH     88.72283f                      /* above it the result is infinite */
#define LM_EXPF_LOW      (-87.33654f)                   /* below it the result is 0 */
#define LM_EXPF_LOG2E    0x1.715476p+0f
#define LM_EXPF_ROUND    0x1.8p+23f                     /* adding it rounds to an integer, in the low bits */
#define LM_EXPF_LN2_HIGH 0x1.62e43p-1f
#define LM_EXPF_LN2_LOW  (-0x1.05c61p-29f)
#define LM_EXPF_C2       0x1p-1f
#define LM_EXPF_C3       0x1.555466p-3f
#define LM_EXPF_C4       0x1.5552fep-5f
#define LM_EXPF_C5       0x1.1257d2p-7f
#define LM_EXPF_C6       0x1.6ff254p-10f

/* tanhf: below the border |x| + |x| x^2 (c0 + c1 x^2 + .. + c4 x^8) (minimax), above it 1 - 2 / (expf(2 |x|) + 1). */
#define LM_TANHF_BORDER  0.625f
#define LM_TANHF_C0      (-0x1.555534p-2f)
#define LM_TANHF_C1      0x1.11075ep-3f
#define LM_TANHF_C2      (-0x1.b842c4p-5f)
#define LM_TANHF_C3      0x1.524c4p-6f
#define LM_TANHF_C4      (-0x1.767a14p-8f)

/* gelu in its tanh form, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), is x / (1 + expf(-u)) with u = x (c0 + c1 x^2). */
#define LM_GELUF_C0      0x1.988454p+0f                 /* 2 sqrt(2/pi) */
#define LM_GELUF_C1      0x1.2444f2p-4f                 /* 0.044715 c0 */

/* a * b + c, rounded once. Not libm's: that of mingw-w64 rounds more than once. */
#if defined(__FP_FAST_FMAF)
static inline float lm_fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
static inline float lm_fmaf(float a, float b, float c)
{
    double product = (double)a * (double)b;                 /* exact: 48 bits */
    double sum = product + (double)c, tail = sum - product;
    double error = (product - (sum - tail)) + ((double)c - tail);   /* exact (Knuth); NaN where something is infinite */
    if (error > 0 || error < 0) {                           /* round to odd, so that the rounding to f32 is the only one */
        uint64_t bits;
        memcpy(&bits, &sum, 8);
        if (!(bits & 1))
            bits = (error > 0) == (sum > 0) ? bits + 1 : bits - 1;
        memcpy(&sum, &bits, 8);
    }
    return (float)sum;
}
#endif

float  lm_expf(float x);                /* f32; error < 1 ulp; no subnormal results: 0 below -87.33654; infinity above 88.72283 */
float  lm_tanhf(float x);               /* f32; error < 1.5 ulp */
/* out[i] = lm_expf(x[i] - shift), i < n; out may be x. The fastest for these LM_CPU_* features; the bits are the same for all. */
typedef void lm_expf_many(const float *x, float shift, float *out, size_t n);
lm_expf_many *lm_expf_many_for(uint32_t features);
double lm_exp64(double x);
double lm_log64(double x);               /* x > 0 */
double lm_pow64(double x, double y);      /* x > 0 */
void   lm_sincos64(double x, double *sine, double *cosine);    /* |x| <= 2^40; NaN for what is larger */

#endif
