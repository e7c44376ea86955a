/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_backend_verify_verify_c;
