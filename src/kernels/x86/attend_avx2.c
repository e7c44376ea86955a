/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_kernels_x86_attend_avx2_c;
