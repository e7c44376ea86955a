/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_base_os_posix_c;
