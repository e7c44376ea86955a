/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_ops_ops_c;
