/* SPDX-License-Identifier: MIT
 * The vocabulary of a file, given to floor 3 as plain arrays. Checks that arrays are what the keys promise: the item type before any
 * cast, ids before any use. What the tokens mean, and whether counts agree, is the tokenizer's to check. Owns nothing. Threads: any. */
#include "model/vocab.h"

#include <string.h>

static const char *const vocab_type_names[] = { "uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string", "array",
                                                "uint64", "int64", "float64" };

static const char *vocab_type_name(uint32_t type)
{
    return type < LM_COUNT(vocab_type_names) ? vocab_type_names[type] : "unknown";
}

/* An array of items of `type` (or `also`), or NULL where the key is absent. */
static llm_status vocab_array(const lm_catalogue *c, const char *name, uint32_t type, uint32_t also, const lm_key **out, llm_error *error)
{
    const lm_key *key = lm_catalogue_key(c, name, LLM_NUL);
    *out = NULL;
    if (!key)
        return LLM_OK;
    if (key->type != LM_VALUE_ARRAY)
        return lm_fail_at(error, LLM_E_FORMAT, name, strlen(name), key->offset, "key '%s' is of type %s, expected an array of %s", name,
                          vocab_type_name(key->type), vocab_type_name(type));
    if (key->item_type != type && key->item_type != also)
        return lm_fail_at(error, LLM_E_FORMAT, name, strlen(name), key->offset, "key '%s' is an array of %s, expected an array of %s", name,
                          vocab_type_name(key->item_type), vocab_type_name(type));
    *out = key;
    return LLM_OK;
}

static llm_status vocab_arrays(const lm_catalogue *c, lm_vocab_desc *v, llm_error *error)
{
    const lm_key *key;
    LM_TRY(vocab_array(c, "tokenizer.ggml.tokens", LM_VALUE_STRING, LM_VALUE_STRING, &key, error));
    if (!key)
        return lm_fail_at(error, LLM_E_FORMAT, "tokenizer.ggml.tokens", 21, UINT64_MAX, "key 'tokenizer.ggml.tokens' is missing; expected an array of string");
    if (key->n_items == 0 || key->n_items > INT32_MAX)
        return lm_fail_at(error, LLM_E_FORMAT, "tokenizer.ggml.tokens", 21, key->offset, "key 'tokenizer.ggml.tokens' has %llu tokens, expected 1 to %d",
                          (unsigned long long)key->n_items, INT32_MAX);
    v->tokens = key->items;
    v->n_tokens = (uint32_t)key->n_items;
    LM_TRY(vocab_array(c, "tokenizer.ggml.scores", LM_VALUE_F32, LM_VALUE_F32, &key, error));
    v->scores = key ? key->items : NULL;
    v->n_scores = key ? key->n_items : 0;
    LM_TRY(vocab_array(c, "tokenizer.ggml.token_type", LM_VALUE_I32, LM_VALUE_U32, &key, error));
    v->types = key ? key->items : NULL;                     /* unsigned ones read as int32: whatever is too big is no known type */
    v->n_types = key ? key->n_items : 0;
    LM_TRY(vocab_array(c, "tokenizer.ggml.merges", LM_VALUE_STRING, LM_VALUE_STRING, &key, error));
    v->merges = key ? key->items : NULL;
    v->n_merges = key ? key->n_items : 0;
    return LLM_OK;
}

static const struct { int32_t special; const char *key; } vocab_ids[] = {      /* a later line wins: the newer of two names */
    { LLM_SPECIAL_BOS, "bos_token_id" }, { LLM_SPECIAL_EOS, "eos_token_id" }, { LLM_SPECIAL_EOT, "eot_token_id" },
    { LLM_SPECIAL_EOM, "eom_token_id" }, { LLM_SPECIAL_UNK, "unknown_token_id" },
    { LLM_SPECIAL_SEP, "separator_token_id" }, { LLM_SPECIAL_SEP, "seperator_token_id" },
    { LLM_SPECIAL_PAD, "padding_token_id" }, { LLM_SPECIAL_MASK, "mask_token_id" },
    { LLM_SPECIAL_FIM_PREFIX, "prefix_token_id" }, { LLM_SPECIAL_FIM_PREFIX, "fim_pre_token_id" },
    { LLM_SPECIAL_FIM_SUFFIX, "suffix_token_id" }, { LLM_SPECIAL_FIM_SUFFIX, "fim_suf_token_id" },
    { LLM_SPECIAL_FIM_MIDDLE, "middle_token_id" }, { LLM_SPECIAL_FIM_MIDDLE, "fim_mid_token_id" },
    { LLM_SPECIAL_FIM_PAD, "fim_pad_token_id" }, { LLM_SPECIAL_FIM_REPO, "fim_rep_token_id" }, { LLM_SPECIAL_FIM_SEP, "fim_sep_token_id" }
};

static llm_status vocab_special(const lm_catalogue *c, lm_vocab_desc *v, llm_error *error)
{
    for (int i = 0; i < LM_N_SPECIAL; i++)
        v->special[i] = -1;
    for (size_t i = 0; i < LM_COUNT(vocab_ids); i++) {
        char name[64];
        uint64_t id = 0;
        lm_print(name, sizeof name, "tokenizer.ggml.%s", vocab_ids[i].key);
        llm_status status = lm_catalogue_u64(c, name, 0, 0, v->n_tokens - 1, &id, error);
        if (status == LLM_OK)
            v->special[vocab_ids[i].special] = (int64_t)id;
        else if (status != LLM_E_NOT_FOUND)
            return status;
    }
    return LLM_OK;
}

static llm_status vocab_flag(const lm_catalogue *c, const char *name, int8_t *out, llm_error *error)
{
    bool flag = false;
    llm_status status = lm_catalogue_bool(c, name, 0, &flag, error);
    *out = LM_FLAG_UNSET;
    if (status == LLM_OK)
        *out = flag;
    return status == LLM_E_NOT_FOUND ? LLM_OK : status;
}

static bool vocab_same(llm_str a, const char *b)
{
    return a.len == strlen(b) && memcmp(a.ptr, b, a.len) == 0;
}

llm_status lm_vocab_open(lm_host *host, const lm_catalogue *catalogue, lm_tokenizer **out, llm_error *error)
{
    lm_vocab_desc v;
    llm_str model = { NULL, 0 };
    memset(&v, 0, sizeof v);
    llm_status status = lm_catalogue_str(catalogue, "tokenizer.ggml.model", &model, error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    if (status == LLM_E_NOT_FOUND ? !lm_catalogue_key(catalogue, "tokenizer.ggml.tokens", LLM_NUL)
                                  : vocab_same(model, "none") || vocab_same(model, "no_vocab")) {
        *out = NULL;
        return LLM_OK;
    }
    if (status == LLM_E_NOT_FOUND)
        return lm_fail_at(error, LLM_E_FORMAT, "tokenizer.ggml.model", 20, UINT64_MAX, "key 'tokenizer.ggml.model' is missing, but there are tokens");
    bool gemma4 = vocab_same(model, "gemma4");
    v.kind = vocab_same(model, "llama") ? LM_VOCAB_SPM : vocab_same(model, "gpt2") || gemma4 ? LM_VOCAB_BPE : 0;
    if (v.kind == 0)
        return lm_fail_at(error, LLM_E_UNSUPPORTED, "tokenizer.ggml.model", 20, UINT64_MAX, "key 'tokenizer.ggml.model' is '%.*s'; known are llama, gpt2, gemma4",
                          (int)LM_MIN(model.len, 40), model.ptr);
    status = lm_catalogue_str(catalogue, "tokenizer.ggml.pre", &v.pre, error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    LM_TRY(vocab_arrays(catalogue, &v, error));
    LM_TRY(vocab_special(catalogue, &v, error));
    LM_TRY(vocab_flag(catalogue, "tokenizer.ggml.add_bos_token", &v.add_bos, error));
    LM_TRY(vocab_flag(catalogue, "tokenizer.ggml.add_eos_token", &v.add_eos, error));
    LM_TRY(vocab_flag(catalogue, "tokenizer.ggml.add_space_prefix", &v.add_space_prefix, error));
    LM_TRY(vocab_flag(catalogue, "tokenizer.ggml.ignore_merges", &v.ignore_merges, error));
    if (gemma4) {                                           /* the model's name says it all, whatever else the file says */
        v.pre = (llm_str){ "gemma4", 6 };
        v.add_bos = 1;
    }
    return lm_tokenizer_create(host, &v, out, error);
}
