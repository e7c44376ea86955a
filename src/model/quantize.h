/* SPDX-License-Identifier: MIT
 * A model's file becomes another one, of other types. Floor 8. */
#ifndef LM_MODEL_QUANTIZE_H
#define LM_MODEL_QUANTIZE_H

#include "files/catalogue.h"

/* sink, desc: complete (the API's business); desc->file_type 0: the default. parallel: where rows are computed, in the mode of lm_fp_enter.
 * info: filled on success. Fails as llm_model_quantize says. */
llm_status lm_model_quantize(lm_host *host, const llm_source *const *parts, size_t n_parts, const llm_sink *sink, const llm_quantize_desc *desc,
                             const llm_parallel *parallel, llm_quantize_info *info, llm_error *error);

#endif
