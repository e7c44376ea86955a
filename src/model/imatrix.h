/* SPDX-License-Identifier: MIT
 * Reading an importance matrix in llama.cpp's GGUF format: how much each column of a weight matrix counts. Floor 8, private to model/.
 * model/importance.h is where one is made. Threads: one at a time. */
#ifndef LM_MODEL_IMATRIX_H
#define LM_MODEL_IMATRIX_H

#include "files/catalogue.h"

typedef struct lm_imatrix lm_imatrix;

/* E_FORMAT if the file is no importance matrix. Owns: *out. */
llm_status lm_imatrix_open(lm_host *host, const llm_source *source, lm_imatrix **out, llm_error *error);
void       lm_imatrix_close(lm_imatrix *imatrix);

/* For the file's own keys: where it came from (a path, or what kind of source), the first dataset's name ("" if none), entries, chunks. */
typedef struct lm_imatrix_about { llm_str name, dataset; uint32_t n_entries, n_chunks; } lm_imatrix_about;
llm_status lm_imatrix_about_get(const lm_imatrix *imatrix, lm_imatrix_about *out, llm_error *error);

/* Has it weights for this tensor? LLM_OK; LLM_E_NOT_FOUND without a message; E_FORMAT: it has some, of another shape. */
llm_status lm_imatrix_check(const lm_imatrix *imatrix, const lm_tensor *t, llm_error *error);
/* The weights of matrix number `matrix` of a tensor that passed: t->ne[0] numbers >= 0 to out. LLM_E_NOT_FOUND without a message: nothing
 * passed through that matrix. E_FORMAT: no sensible numbers. */
llm_status lm_imatrix_read(lm_imatrix *imatrix, const lm_tensor *t, uint64_t matrix, float *out, llm_error *error);

#endif
