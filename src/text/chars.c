/* SPDX-License-Identifier: MIT
 * BPE of characters, as Gemma 4 has it: merges with ranks, as in byte-level BPE, over characters and with spaces written as U+2581,
 * as in SentencePiece. In memory tokens hold spaces, and encoding is SentencePiece's with other pairs; what no token covers falls
 * back to bytes. Does not know how text is cut (pretokenize.h). */
#include "text/encoder.h"

/* A few merges at a time: pieces and what they make are looked up together. */
enum { CHARS_BATCH = LM_LOOKUPS / 3, CHARS_BYTES = 4096 };
typedef struct chars_batch {
    lm_lookup lookups[3 * CHARS_BATCH];                     /* of each merge the left piece, the right one, both */
    uint64_t  first;                                        /* number of the first merge */
    size_t    n;
    char     *bytes; size_t used, cap;
} chars_batch;

static llm_status chars_add(lm_tokenizer *t, chars_batch *batch, llm_error *error)
{
    lm_pair pairs[CHARS_BATCH];
    size_t n = 0;
    lm_tokens_find_all(&t->tokens, batch->lookups, 3 * batch->n);
    for (size_t i = 0; i < batch->n; i++) {
        uint32_t left = batch->lookups[3 * i].id, right = batch->lookups[3 * i + 1].id, both = batch->lookups[3 * i + 2].id;
        if (left == LM_ID_NONE || right == LM_ID_NONE)
            return lm_bpe_merge_lie(error, batch->first + i, "has a piece that is no token");
        if (both == LM_ID_NONE)
            return lm_bpe_merge_lie(error, batch->first + i, "makes what is no token");
        t->values[batch->first + i] = both;
        if (lm_token_plain(t, left) && lm_token_plain(t, right) && lm_token_plain(t, both))     /* control tokens do not come from text */
            pairs[n++] = (lm_pair){ left, right, (uint32_t)(batch->first + i) };
    }
    if (!lm_pairs_add(&t->pairs, pairs, n))
        return lm_fail_at(error, LLM_E_LIMIT, "tokenizer.ggml.merges", 21, UINT64_MAX, "tokenizer.ggml.merges: too many pairs collide");
    batch->first += batch->n;
    batch->n = batch->used = 0;
    return LLM_OK;
}

static llm_status chars_add_all(lm_tokenizer *t, const lm_vocab_desc *vocab, chars_batch *batch, llm_error *error)
{
    for (uint64_t i = 0; i < vocab->n_merges; i++) {
        lm_lookup *lookup;
        llm_str pieces[2];
        char *bytes;
        size_t n_left, n_right;
        if (batch->n == CHARS_BATCH || vocab->merges[i].len > batch->cap - batch->used)
            LM_TRY(chars_add(t, batch, error));
        if (!lm_bpe_split_merge(vocab->merges[i], pieces)) {
            LM_TRY(chars_add(t, batch, error));             /* a lie of an earlier one is told first */
            return lm_bpe_merge_lie(error, i, "is not two pieces with a space between them");
        }
        lookup = &batch->lookups[3 * batch->n++];
        bytes = batch->bytes + batch->used;
        n_left = lm_spm_bytes(pieces[0], bytes);
        n_right = lm_spm_bytes(pieces[1], bytes + n_left);
        batch->used += n_left + n_right;
        lookup[0] = (lm_lookup){ bytes, n_left, lm_hash_more(0, bytes, n_left), LM_ID_NONE };
        lookup[1] = (lm_lookup){ bytes + n_left, n_right, lm_hash_more(0, bytes + n_left, n_right), LM_ID_NONE };
        lookup[2] = (lm_lookup){ bytes, n_left + n_right, lm_hash_more(lookup[0].hash, bytes + n_left, n_right), LM_ID_NONE };
    }
    return chars_add(t, batch, error);
}

/* Whether merges may cross from a word into the next: some token has a space after something else. */
static bool chars_have_inner_space(const lm_tokenizer *t)
{
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        llm_str token = lm_tokens_str(&t->tokens, id);
        for (size_t at = 1; lm_token_plain(t, id) && at < token.len; at++)
            if (token.ptr[at] == ' ' && token.ptr[at - 1] != ' ')
                return true;
    }
    return false;
}

llm_status lm_chars_build(lm_tokenizer *t, const lm_vocab_desc *vocab, llm_error *error)
{
    lm_mem *mem = &t->host->mem;
    chars_batch batch = { .cap = CHARS_BYTES };
    llm_status status;
    for (uint32_t id = 0; id < t->n_vocab && vocab->n_merges == 0; id++) {
        llm_str token = lm_tokens_str(&t->tokens, id);
        if (lm_token_kind(t, id) == LLM_TOKEN_NORMAL && lm_scan_skip(token.ptr, token.ptr + token.len, 1) < token.ptr + token.len)
            return lm_fail_at(error, LLM_E_FORMAT, "tokenizer.ggml.merges", 21, UINT64_MAX,
                              "tokenizer.ggml.merges is missing: token %u can only come from merges", id);
    }
    lm_spm_find_ascii(t);
    t->inner_space = chars_have_inner_space(t);
    for (uint64_t i = 0; i < vocab->n_merges; i++) {
        if (!vocab->merges[i].ptr || vocab->merges[i].len > 2 * (size_t)LM_MAX_TOKEN_BYTES)
            return lm_bpe_merge_lie(error, i, vocab->merges[i].ptr ? "is too long" : "is missing");
        batch.cap = LM_MAX(batch.cap, vocab->merges[i].len);
    }
    LM_TRY(lm_pairs_init(&t->pairs, mem, vocab->n_merges, t->n_vocab, vocab->n_merges, error));
    t->values = lm_mem_raw(mem, (size_t)vocab->n_merges * sizeof *t->values, LLM_MEMORY_TOKENIZER);
    t->pairs.result = t->values;
    batch.bytes = lm_mem_raw(mem, batch.cap, LLM_MEMORY_TOKENIZER);
    if (t->values && batch.bytes)
        status = chars_add_all(t, vocab, &batch, error);
    else
        status = lm_fail_memory(error, "the merges", (size_t)vocab->n_merges * sizeof *t->values + batch.cap);
    lm_mem_free(mem, batch.bytes);
    return status;
}

llm_status lm_chars_encode(lm_encoder *e, const char *text, size_t len, llm_error *error)
{
    const lm_tokenizer *t = e->t;
    lm_pre_walk walk;
    const char *piece;
    lm_pre_begin(&walk, t->pre, text, len);
    while (lm_pre_next(&walk, &piece)) {
        size_t n = (size_t)(walk.at - piece);
        if (t->pre->flags & LM_PRE_LINES && *piece == '\n' && n <= t->tokens.longest) {
            uint32_t id = lm_tokens_find(&t->tokens, piece, n, lm_hash_more(0, piece, n));
            if (id != LM_ID_NONE && lm_token_plain(t, id)) {
                lm_encoder_put(e, id);
                continue;
            }
        }
        if (t->pre->flags & LM_PRE_GRAPHS && lm_char_at(piece, walk.at).is & LM_SPACE)
            continue;
        LM_TRY(lm_spm_encode(e, piece, n, false, error));
    }
    return LLM_OK;
}
