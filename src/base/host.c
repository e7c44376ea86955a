/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_base_host_c;
