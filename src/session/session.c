/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_session_session_c;
