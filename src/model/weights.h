/* SPDX-License-Identifier: MIT
 * Weights of a program, from a catalogue to a backend. Floor 8, private to model/. */
#ifndef LM_MODEL_WEIGHTS_H
#define LM_MODEL_WEIGHTS_H

#include "model/model.h"

#include "files/pack.h"

/* Reads every weight of the program once, in order, row by row, into the backend. Fills weights[program->n_weights]; on failure all are given back
 * and the array is NULLs again. E_FORMAT: NaN or infinity, by tensor, row and block. E_CANCELLED: the callback said so. */
llm_status lm_weights_load(lm_host *host, lm_backend *backend, lm_catalogue *catalogue, const lm_program *program, const lm_load *load, lm_weight **weights,
                           llm_error *error);
/* The same into a pack, in the program's order: each weight leaves memory once it is written. *refused: it was the writer that failed, and the
 * source may be read again. */
llm_status lm_weights_pack(lm_host *host, lm_backend *backend, lm_catalogue *catalogue, const lm_program *program, const lm_load *load, lm_pack_writer *writer,
                           bool *refused, llm_error *error);
/* If this weight is divisors of rope frequencies, which must not blow an angle up (see params.c): the place of the first that does, else
 * UINT64_MAX. */
uint64_t   lm_weights_look_divisors(const lm_program *program, uint32_t index, const float *vector);
void       lm_weights_free(lm_backend *backend, lm_weight **weights, uint32_t n);

#endif
