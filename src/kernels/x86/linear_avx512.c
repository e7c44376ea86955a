/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_kernels_x86_linear_avx512_c;
