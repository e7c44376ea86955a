/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_text_stream_c;
