/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_session_pages_c;
