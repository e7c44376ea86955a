/* SPDX-License-Identifier: MIT
 * Which type each tensor of a quantized file gets. Floor 8, private to model/. */
#ifndef LM_MODEL_MIX_H
#define LM_MODEL_MIX_H

#include "files/catalogue.h"

typedef struct lm_mix {
    int32_t  file_type;                 /* LLM_FILE_* */
    bool     pure, keep_output;         /* LLM_QUANTIZE_* */
    bool     importance;                /* an importance matrix is at hand */
} lm_mix;

/* general.file_type of a mix, or UINT32_MAX: no such mix. */
uint32_t lm_mix_number(int32_t file_type);

/* types[i] becomes the type of catalogue->tensors[i] in the new file: its own where it is kept. wanted[i]: the same but for its
 * rows being no multiple of that type's block. Any architecture will do; what its keys do not say counts as 0. */
llm_status lm_mix_types(const lm_catalogue *catalogue, const lm_mix *mix, uint32_t *types, uint32_t *wanted, llm_error *error);

#endif
