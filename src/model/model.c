/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_model_model_c;
