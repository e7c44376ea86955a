/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_api_api_model_c;
