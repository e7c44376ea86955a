/* SPDX-License-Identifier: MIT
 * llm.h: samplers. */
#include "api/api.h"

#include "session/loaded.h"
#include "session/sampler.h"

#include "base/cpu.h"

llm_status llm_sampler_create(const llm_tokenizer *t, const llm_sampler_desc *desc, llm_sampler **out, llm_error *error)
{
    llm_sampler_desc full;
    LM_API_NEED(t, error);
    LM_API_NEED(out, error);
    LM_TRY(LM_API_DESC(desc, &full, llm_sampler_desc, error));
    uint64_t mode = lm_fp_enter();
    llm_status status = lm_sampler_new(t->engine, t->tokenizer, lm_tokenizer_n_vocab(t->tokenizer), &full, out, error);
    lm_fp_leave(mode);
    return lm_api_done(status, error);
}

void llm_sampler_free(llm_sampler *sampler)
{
    lm_sampler_drop(sampler);
}
