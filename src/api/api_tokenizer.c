/* SPDX-License-Identifier: MIT
 * llm.h: tokenizers. */
#include "api/api.h"

#include "session/loaded.h"

void llm_tokenizer_free(llm_tokenizer *tokenizer)
{
    if (tokenizer && lm_engine_is_here(tokenizer->engine))
        lm_loaded_tokenizer_drop(tokenizer);
}

llm_status llm_tokenizer_encode(const llm_tokenizer *t, const char *text, size_t len, uint32_t flags, llm_token *tokens, size_t cap, size_t *n,
                                llm_error *error)
{
    LM_API_NEED(t, error);
    LM_API_NEED(n, error);
    if (!tokens && cap != 0)
        return lm_fail(error, LLM_E_INVALID, "tokens is NULL, cap is %zu", cap);
    if (flags & ~(uint32_t)(LLM_ENCODE_ADD_SPECIAL | LLM_ENCODE_PARSE_SPECIAL | LLM_ENCODE_CONTINUES))
        return lm_fail(error, LLM_E_UNSUPPORTED, "flags is 0x%x: an unknown LLM_ENCODE_* is set", flags);
    LM_TRY(lm_api_text(text, &len, "text", error));
    return lm_api_done(lm_tokenizer_encode(t->tokenizer, text, len, flags, tokens, cap, n, error), error);
}

llm_status llm_tokenizer_decode(const llm_tokenizer *t, const llm_token *tokens, size_t n_tokens, uint32_t flags, char *text, size_t cap, size_t *n,
                                llm_error *error)
{
    LM_API_NEED(t, error);
    LM_API_NEED(n, error);
    if ((!tokens && n_tokens != 0) || (!text && cap != 0))
        return lm_fail(error, LLM_E_INVALID, "tokens or text is NULL where its size is not 0");
    if (flags & ~(uint32_t)(LLM_DECODE_SHOW_SPECIAL | LLM_DECODE_CLEAN_SPACES))
        return lm_fail(error, LLM_E_UNSUPPORTED, "flags is 0x%x: an unknown LLM_DECODE_* is set", flags);
    uint32_t n_vocab = lm_tokenizer_n_vocab(t->tokenizer);
    for (size_t i = 0; i < n_tokens; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= n_vocab)
            return lm_fail(error, LLM_E_INVALID, "tokens[%zu] is %d: the vocabulary has %u", i, tokens[i], n_vocab);
    return lm_api_done(lm_tokenizer_decode(t->tokenizer, tokens, n_tokens, flags, text, cap, n, error), error);
}

int32_t llm_tokenizer_n_vocab(const llm_tokenizer *t)
{
    return t ? (int32_t)lm_tokenizer_n_vocab(t->tokenizer) : 0;
}

llm_token llm_tokenizer_special(const llm_tokenizer *t, int32_t which)
{
    return t && which > 0 && which < LM_N_SPECIAL ? lm_tokenizer_special(t->tokenizer, which) : LLM_TOKEN_NONE;
}

llm_status llm_tokenizer_token(const llm_tokenizer *t, llm_token token, llm_token_info *out, llm_error *error)
{
    llm_token_info ours = LLM_INIT(llm_token_info);
    LM_API_NEED(t, error);
    LM_TRY(lm_api_info_check(out, "llm_token_info", error));
    if (token < 0 || (uint32_t)token >= lm_tokenizer_n_vocab(t->tokenizer))
        return lm_fail(error, LLM_E_INVALID, "token is %d: the vocabulary has %u", token, lm_tokenizer_n_vocab(t->tokenizer));
    llm_str bytes = lm_tokenizer_bytes(t->tokenizer, token, LLM_DECODE_SHOW_SPECIAL);
    ours.flags = lm_tokenizer_ends(t->tokenizer, token) ? LLM_TOKEN_ENDS : 0;
    ours.kind = lm_tokenizer_kind(t->tokenizer, token);
    ours.bytes = bytes.ptr;
    ours.n_bytes = bytes.len;
    lm_api_info_give(&ours, sizeof ours, out);
    return lm_api_done(LLM_OK, error);
}
