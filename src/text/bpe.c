/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_text_bpe_c;
