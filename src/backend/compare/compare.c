/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_backend_compare_compare_c;
