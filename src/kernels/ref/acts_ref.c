/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_kernels_ref_acts_ref_c;
