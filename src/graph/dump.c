/* SPDX-License-Identifier: MIT
 * To be written. */
typedef int lm_empty_graph_dump_c;
