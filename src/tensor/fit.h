/* SPDX-License-Identifier: MIT
 * Fitting few levels to values: the search that all quantizers share. Sixteen candidates stand side by side, one a lane, and every
 * lane walks the values in order: the compiler makes vectors of it, and the sums have one order on every machine. Floor 1.
 *
 * x: n values (16 or 32), at most 1 in size; w: their weights, >= 0, of a size near 1. Errors are sums of w * (value - level)^2. */
#ifndef LM_TENSOR_FIT_H
#define LM_TENSOR_FIT_H

#include <stdbool.h>
#include <stdint.h>

enum { LM_FIT_LANES = 16, LM_FIT_MOST = 32 };

/* ---- levels a q + b, q = 0..top. a >= 0 */

/* A good a and b, b <= 0 where `below` says so. */
void lm_fit_affine(const float *x, const float *w, int n, float top, bool below, float *a, float *b);
void lm_fit_affine_errors(const float *x, const float *w, int n, float top, const float a[LM_FIT_LANES], const float b[LM_FIT_LANES], float error[LM_FIT_LANES]);
void lm_fit_affine_codes(const float *x, int n, float top, float a, float b, uint8_t *q);

/* ---- levels a q, q = -half..half - 1; a has a sign */

void lm_fit_even(const float *x, const float *w, int n, float half, float *a);
void lm_fit_even_errors(const float *x, const float *w, int n, float half, const float a[LM_FIT_LANES], float error[LM_FIT_LANES]);
void lm_fit_even_codes(const float *x, int n, float half, float a, int8_t *q);

/* ---- levels a T[q], T: the sixteen of IQ4_NL and IQ4_XS; a has a sign */

extern const int8_t lm_fit_iq4_levels[16];
void lm_fit_iq4(const float *x, const float *w, int n, float *a);
void lm_fit_iq4_errors(const float *x, const float *w, int n, const float a[LM_FIT_LANES], float error[LM_FIT_LANES]);
void lm_fit_iq4_codes(const float *x, int n, float a, uint8_t *q);

#endif
