/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_kernels_x86_acts_avx512_c;
