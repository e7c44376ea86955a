/* SPDX-License-Identifier: MIT
 * Importance: for each matrix of a model, the sums of the squares of what its columns were multiplied with. A quantizer keeps exact what is
 * multiplied with large numbers. Made by stopping passes before each product and reading its input; programs are built with norms as
 * operations of their own for that, so that the input is there to be read. Floor 8. Threads: exclusive, but for _next. */
#ifndef LM_MODEL_IMPORTANCE_H
#define LM_MODEL_IMPORTANCE_H

#include "model/model.h"

#include "files/sink.h"

typedef struct lm_importance lm_importance;

/* Sums of zero for each product of the program, which outlives it. Owns: *out. */
llm_status lm_importance_new(lm_host *host, const lm_program *program, lm_importance **out, llm_error *error);
void       lm_importance_free(lm_importance *importance);
uint64_t   lm_importance_cost(const lm_program *program);       /* bytes from the allocator */

/* The first operation from `op` on that multiplies, or LM_RUN_ALL_OPS. */
uint32_t   lm_importance_next(const lm_program *program, uint32_t op);
/* Adds the inputs of operation `op`; the run stands before it. */
void       lm_importance_add(lm_importance *importance, lm_backend *backend, lm_run *run, uint32_t op, uint32_t n_rows, uint32_t n_out);

/* desc: complete. Writes a GGUF file of the kind "imatrix". E_STATE: nothing was computed yet. */
llm_status lm_importance_write(const lm_importance *importance, const lm_catalogue *catalogue, const llm_sink *sink, const llm_importance_desc *desc,
                               llm_error *error);

#endif
