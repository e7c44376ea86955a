/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_kernels_arm_neon_c;
