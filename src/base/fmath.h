/* SPDX-License-Identifier: MIT
 * Our own elementary functions, so that no result depends on a libm. docs/ARITHMETIC.md gives the formulas. Scalar; the
 * vector kernels compute lm_expf and lm_tanhf with the same operations in the same order. Floor 0. */
#ifndef LM_BASE_FMATH_H
#define LM_BASE_FMATH_H

float  lm_expf(float x);                /* f32; <= 1 ulp or so; 0 below -103.97, infinity above 88.73, NaN stays NaN */
float  lm_tanhf(float x);
double lm_exp64(double x);
double lm_log64(double x);               /* x > 0 */
double lm_pow64(double x, double y);      /* x > 0 */
void   lm_sincos64(double x, double *sine, double *cosine);    /* |x| <= 2^40 */

#endif
