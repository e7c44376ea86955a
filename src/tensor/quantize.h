/* SPDX-License-Identifier: MIT
 * Rows of floats to blocks as they stand in files, and file rows of plain floats back to f32. Floor 1.
 *
 * Without weights, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 are the bytes of the `gguf` Python package. All else is searched for: the
 * scales and codes of a small sum of squared errors, each multiplied by the value's weight where weights are given. The bytes depend on the
 * values and weights alone: one arithmetic (docs/ARITHMETIC.md), on every machine. Callers compute in the mode of lm_fp_enter. Threads: any. */
#ifndef LM_TENSOR_QUANTIZE_H
#define LM_TENSOR_QUANTIZE_H

#include "tensor/type.h"

/* Types that rows can be made of. */
bool lm_quantize_can(uint32_t type);
/* One row: n finite values, a multiple of the type's block, to n / block blocks at out. weights: n numbers >= 0, or NULL. Scales that f16
 * cannot hold become infinite: look at the row with lm_type_row_finite. */
void lm_quantize_row(uint32_t type, const float *x, const float *weights, uint64_t n, void *out);

/* Types that are plain floats (F32, F16, BF16), and a file row of them as f32. */
bool lm_quantize_plain(uint32_t type);
void lm_quantize_widen(uint32_t type, const void *row, uint64_t n, float *out);

/* ---- between the files of this room: one block each; w: the weights made ready, or NULL for none given */

enum { LM_QUANTIZE_MOST = 256 };        /* values of a block at most */
/* A block's values as a fit wants them: x times a power of two, `up`, so that the greatest is in [0.5, 1), and weights of mean 1 (all 1
 * where none are given or all are zero). False: all values are zero, or so small that no f16 scale could tell. */
typedef struct lm_quantize_block { float x[LM_QUANTIZE_MOST], w[LM_QUANTIZE_MOST], up, down; } lm_quantize_block;
bool lm_quantize_ready(lm_quantize_block *block, const float *x, const float *weights, int n);
/* A scale as f16 bits, and what those bits mean among the values made ready. */
uint16_t lm_quantize_scale(const lm_quantize_block *block, float scale, float *meant);

void lm_quantize_q4_k(const float *x, const float *weights, void *out);
void lm_quantize_q5_k(const float *x, const float *weights, void *out);
void lm_quantize_q6_k(const float *x, const float *weights, void *out);
void lm_quantize_iq4_xs(const float *x, const float *weights, void *out);
void lm_quantize_iq4_nl(const float *x, const float *weights, void *out);

#endif
