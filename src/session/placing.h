/* SPDX-License-Identifier: MIT
 * Where a model's layers run: all on the device that was asked for, or its last ones there and the first on the processor. Floor 9. Knows sizes
 * and budgets, not what a layer computes. Threads: one placing, one thread, while a model is opened; then it does not change. */
#ifndef LM_SESSION_PLACING_H
#define LM_SESSION_PLACING_H

#include "session/engine.h"

typedef struct lm_placing {
    llm_engine *engine;
    lm_host *host;                      /* of what is allocated here */
    lm_backend *device;                 /* that was asked for */
    int32_t wanted;                     /* llm_model_desc.n_device_layers */
    lm_cut cut;
    lm_backend *split;                  /* both parts as one, or NULL: the model lies whole on the device */
} lm_placing;

/* Into lm_load: place and place_user. */
llm_status lm_placing_choose(void *placing, const lm_program *program, uint32_t n_layers, lm_backend **backend, llm_error *error);
/* After the model. */
void lm_placing_close(lm_placing *placing);
/* Bytes on the device, of one full session, n_arenas passes and the weights: as lm_estimate counts them. */
uint64_t lm_placing_device_bytes(const llm_engine *engine, const lm_backend *device, const lm_program *part, int32_t state_type, uint32_t n_ctx, uint32_t n_arenas);

#endif
