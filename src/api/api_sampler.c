/* SPDX-License-Identifier: MIT
 * llm.h: grammars and samplers. */
#include "api/api.h"

#include "session/grammar.h"
#include "session/loaded.h"
#include "session/sampler.h"

#include "base/cpu.h"

llm_status llm_grammar_create(const llm_tokenizer *t, int32_t kind, uint32_t flags, const char *text, size_t len, llm_grammar **out, llm_error *error)
{
    LM_API_NEED(t, error);
    LM_TRY(lm_engine_here(t->engine, error));
    LM_API_NEED(text, error);
    LM_API_NEED(out, error);
    LM_TRY(lm_api_text(text, &len, "text", error));
    return lm_api_done(lm_grammar_new(t->engine, t->tokenizer, kind, flags, text, len, out, error), error);
}

void llm_grammar_free(llm_grammar *grammar)
{
    if (grammar && lm_engine_is_here(grammar->engine))
        lm_grammar_drop(grammar);
}

llm_status llm_sampler_create(const llm_tokenizer *t, const llm_sampler_desc *desc, llm_sampler **out, llm_error *error)
{
    llm_sampler_desc full;
    LM_API_NEED(t, error);
    LM_TRY(lm_engine_here(t->engine, error));
    LM_API_NEED(out, error);
    LM_TRY(LM_API_DESC(desc, &full, llm_sampler_desc, error));
    uint64_t mode = lm_fp_enter();
    llm_status status = lm_sampler_new(t->engine, t->tokenizer, lm_tokenizer_n_vocab(t->tokenizer), &full, out, error);
    lm_fp_leave(mode);
    return lm_api_done(status, error);
}

void llm_sampler_free(llm_sampler *sampler)
{
    if (sampler && lm_engine_is_here(sampler->engine))
        lm_sampler_drop(sampler);
}
