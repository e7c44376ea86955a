/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_kernels_kernels_c;
