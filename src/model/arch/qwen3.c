/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_model_arch_qwen3_c;
