/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_backend_cpu_pages_c;
