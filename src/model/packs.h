/* SPDX-License-Identifier: MIT
 * Weights of a program by way of a pack (files/pack.h). Floor 8, private to model/. */
#ifndef LM_MODEL_PACKS_H
#define LM_MODEL_PACKS_H

#include "model/model.h"

#include "files/pack.h"

/* Opens the pack that load->pack names if it fits, and where it does not and may be made, makes it: weights then stream through memory one by
 * one. *out is NULL where there is none to be had, which the log tells: load from the source. With load->plan_only none is made. On failure
 * nothing is held: E_CANCELLED, and what is wrong with the source. Owns: *out. */
llm_status lm_packs_open(lm_host *host, lm_backend *backend, lm_catalogue *catalogue, const lm_program *program, const lm_load *load, lm_pack **out,
                         llm_error *error);
/* weights[i]: of the pack, which must outlive them. On failure all are NULL. */
llm_status lm_packs_adopt(lm_backend *backend, const lm_program *program, const lm_pack *pack, lm_weight **weights, llm_error *error);

#endif
