/* SPDX-License-Identifier: MIT
 * Which model this is, as two numbers that stay the same for ever: saved sessions carry them. Floor 8. Threads: any. */
#ifndef LM_MODEL_FINGERPRINT_H
#define LM_MODEL_FINGERPRINT_H

#include "model/model.h"

/* model: hyper-parameters and tensors, all that decides what the model remembers; vocabulary: what its tokens stand for. Takes as long as
 * going through the metadata does. */
void lm_model_fingerprint(const lm_model *model, uint64_t *out_model, uint64_t *out_vocabulary);

#endif
