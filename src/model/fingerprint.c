/* SPDX-License-Identifier: MIT
 * Fingerprints: see fingerprint.h. What people change in a file without changing the model is left out: names and licences (general.*), how
 * it is split, how it was quantized, everything about the tokenizer but the tokens, so that a mended chat template makes no other model.
 *
 * Never change what is summed up here, or in which order: sessions saved before would be another model's. */
#include "model/fingerprint.h"

#include "base/digest.h"

#include <string.h>

static void fingerprint_text(lm_digest *digest, llm_str text)
{
    uint64_t len = text.len;
    lm_digest_add(digest, &len, sizeof len);
    if (text.len)
        lm_digest_add(digest, text.ptr, text.len);
}

static size_t fingerprint_item_bytes(uint32_t type)
{
    switch (type) {
    case LM_VALUE_U8: case LM_VALUE_I8: case LM_VALUE_BOOL: return 1;
    case LM_VALUE_U16: case LM_VALUE_I16: return 2;
    case LM_VALUE_U32: case LM_VALUE_I32: case LM_VALUE_F32: return 4;
    default: return 8;
    }
}

static void fingerprint_key(lm_digest *digest, const lm_key *key)
{
    uint32_t type = key->type == LM_VALUE_ARRAY ? key->item_type : key->type, head[2] = { key->type, type };
    fingerprint_text(digest, key->name);
    lm_digest_add(digest, head, sizeof head);
    lm_digest_add(digest, &key->n_items, sizeof key->n_items);
    if (type == LM_VALUE_STRING)
        for (uint64_t i = 0; i < key->n_items; i++)
            fingerprint_text(digest, ((const llm_str *)key->items)[i]);
    else if (key->n_items)
        lm_digest_add(digest, key->items, (size_t)(key->n_items * fingerprint_item_bytes(type)));
}

static bool fingerprint_counts(llm_str name)
{
    static const char *const without[] = { "general.", "tokenizer.", "split.", "quantize." };
    if (name.len == 20 && memcmp(name.ptr, "general.architecture", 20) == 0)
        return true;
    for (size_t i = 0; i < LM_COUNT(without); i++)
        if (name.len >= strlen(without[i]) && memcmp(name.ptr, without[i], strlen(without[i])) == 0)
            return false;
    return true;
}

static uint64_t fingerprint_model(const lm_model *m)
{
    const lm_catalogue *c = m->catalogue;
    lm_digest digest;
    lm_digest_begin(&digest);
    for (size_t i = 0; i < c->n_keys; i++)
        if (fingerprint_counts(c->keys[i].name))
            fingerprint_key(&digest, &c->keys[i]);
    for (size_t i = 0; i < c->n_tensors; i++) {
        const lm_tensor *t = &c->tensors[i];
        fingerprint_text(&digest, t->name);
        lm_digest_add(&digest, &t->type, sizeof t->type);
        lm_digest_add(&digest, t->ne, sizeof t->ne);
    }
    lm_digest_add(&digest, &m->samples, sizeof m->samples);
    return lm_digest_end(&digest);
}

static uint64_t fingerprint_vocabulary(const lm_model *m)
{
    static const char *const keys[] = { "tokenizer.ggml.model", "tokenizer.ggml.tokens" };
    lm_digest digest;
    lm_digest_begin(&digest);
    lm_digest_add(&digest, &m->n_vocab, sizeof m->n_vocab);
    for (size_t i = 0; i < LM_COUNT(keys); i++) {
        const lm_key *key = lm_catalogue_key(m->catalogue, keys[i], LLM_NUL);
        if (key)
            fingerprint_key(&digest, key);
    }
    return lm_digest_end(&digest);
}

void lm_model_fingerprint(const lm_model *model, uint64_t *out_model, uint64_t *out_vocabulary)
{
    *out_model = fingerprint_model(model);
    *out_vocabulary = fingerprint_vocabulary(model);
}
