/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_files_catalogue_c;
