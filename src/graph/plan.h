/* SPDX-License-Identifier: MIT
 * The memory plan of a program. Floor 7, used by graph.c and tests. */
#ifndef LM_GRAPH_PLAN_H
#define LM_GRAPH_PLAN_H

#include "ops/ops.h"

#include "base/host.h"

/* Items that every offset is a multiple of: values begin on 64-byte lines whatever the number of rows. */
enum { LM_PLAN_ALIGN = 16 };

/* Fills in lifetimes (first_op, last_op) from the operations, then offsets, and row_items. E_INTERNAL: operands out of range, or a
 * value that nobody or two operations write; E_LIMIT: more items a row than 2^31. */
llm_status lm_program_plan(lm_host *host, lm_program *program, llm_error *error);

#endif
