/* SPDX-License-Identifier: MIT
 * Hyper-parameters from a catalogue. Floor 8, private to model/. */
#ifndef LM_MODEL_PARAMS_H
#define LM_MODEL_PARAMS_H

#include "model/model.h"

/* Reads and checks what all families share, under the keys "<arch>.*". All but n_vocab and rope, which stay 0: the vocabulary and the architecture
 * say them. Nothing was allocated. E_FORMAT names the key and what was expected; E_UNSUPPORTED names a key that asks for
 * arithmetic that is not there. */
llm_status lm_params_read(const lm_catalogue *catalogue, const lm_arch *arch, lm_params *out, llm_error *error);

/* A key that changes what a model computes, and the value at which it changes nothing. Absent is neutral too. */
typedef struct lm_neutral_key { const char *key; double neutral; } lm_neutral_key;
llm_status lm_params_neutral(const lm_catalogue *catalogue, const char *arch, const lm_neutral_key *keys, size_t n, llm_error *error);

#endif
