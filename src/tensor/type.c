/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_tensor_type_c;
