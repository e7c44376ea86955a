/* SPDX-License-Identifier: MIT
 * From tokenizer.ggml.* keys to a tokenizer. Floor 8, private to model/. */
#ifndef LM_MODEL_VOCAB_H
#define LM_MODEL_VOCAB_H

#include "text/tokenizer.h"

#include "files/catalogue.h"

/* Owns: *out, which borrows the bytes of its tokens from the catalogue; NULL if the file has no vocabulary (or says it has none). E_FORMAT names the key whose
 * type, count or id is a lie; E_UNSUPPORTED a kind of tokenizer that is not there. */
llm_status lm_vocab_open(lm_host *host, const lm_catalogue *catalogue, lm_tokenizer **out, llm_error *error);

#endif
