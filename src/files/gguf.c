/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_files_gguf_c;
