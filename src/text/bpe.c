/* SPDX-License-Identifier: MIT
 * Byte-level BPE, as GPT-2 introduced it: bytes are written as printable characters in the vocabulary, words are merged by
 * the rank of pairs. In memory tokens are bytes; the characters exist in files alone.
 *
 * Does not know special tokens (they are cut out before) nor how text is cut into words (pretokenize.h). */
#include "text/encoder.h"

#include "base/utf8.h"

/* Bytes 0x21-0x7E, 0xA1-0xAC, 0xAE-0xFF stand for themselves; the 68 others, in order, are U+0100 to U+0143. */
static int32_t bpe_byte_of(uint32_t cp)
{
    if (cp < 0x100)
        return (cp >= 0x21 && cp <= 0x7e) || (cp >= 0xa1 && cp <= 0xac) || cp >= 0xae ? (int32_t)cp : -1;
    if (cp < 0x100 + 0x21)
        return (int32_t)cp - 0x100;
    if (cp < 0x143)
        return (int32_t)cp - 0x121 + 0x7f;
    return cp == 0x143 ? 0xad : -1;
}

size_t lm_bpe_bytes(llm_str text, char *out, bool *mapped)
{
    size_t n = 0, at = 0;
    *mapped = true;
    while (at < text.len) {
        unsigned char lead = (unsigned char)text.ptr[at];
        if (lead >= 0x21 && lead <= 0x7e) {
            if (out)
                out[n] = (char)lead;
            n++;
            at++;
        } else {
            uint32_t cp;
            size_t len = lm_utf8_decode(text.ptr + at, text.len - at, false, &cp);
            int32_t byte = bpe_byte_of(cp);
            if (byte < 0) {                                 /* no byte: stands for itself */
                *mapped = false;
                if (out)
                    memcpy(out + n, text.ptr + at, len);
                n += len;
            } else {
                if (out)
                    out[n] = (char)byte;
                n++;
            }
            at += len;
        }
    }
    return n;
}

static const char bpe_merges_key[] = "tokenizer.ggml.merges";

static llm_status bpe_merge_lie(llm_error *error, uint64_t index, const char *what)
{
    return lm_fail_at(error, LLM_E_FORMAT, bpe_merges_key, sizeof bpe_merges_key - 1, UINT64_MAX, "tokenizer.ggml.merges: merge %llu %s",
                      (unsigned long long)index, what);
}

/* One merge: its two pieces and what they make are looked up by hashes of the bytes, the sum continuing the left one. */
static llm_status bpe_add_merge(lm_tokenizer *t, llm_str merge, uint64_t index, char *bytes, llm_error *error)
{
    const char *space = merge.len > 2 ? memchr(merge.ptr + 1, ' ', merge.len - 1) : NULL;
    llm_str left, right;
    bool left_mapped, right_mapped;
    size_t n_left, n_right;
    uint64_t hash;
    uint32_t a, b, both;
    if (!space || space == merge.ptr + merge.len - 1)
        return bpe_merge_lie(error, index, "is not two pieces with a space between them");
    left = (llm_str){ merge.ptr, (size_t)(space - merge.ptr) };
    right = (llm_str){ space + 1, merge.len - left.len - 1 };
    n_left = lm_bpe_bytes(left, bytes, &left_mapped);
    n_right = lm_bpe_bytes(right, bytes + n_left, &right_mapped);
    if (!left_mapped || !right_mapped)
        return bpe_merge_lie(error, index, "has a character that stands for no byte");
    hash = lm_hash_more(0, bytes, n_left);
    a = lm_tokens_find(&t->tokens, bytes, n_left, hash);
    both = lm_tokens_find(&t->tokens, bytes, n_left + n_right, lm_hash_more(hash, bytes + n_left, n_right));
    b = lm_tokens_find(&t->tokens, bytes + n_left, n_right, lm_hash_more(0, bytes + n_left, n_right));
    if (a == LM_ID_NONE || b == LM_ID_NONE)
        return bpe_merge_lie(error, index, "has a piece that is no token");
    if (both == LM_ID_NONE)
        return bpe_merge_lie(error, index, "makes what is no token");
    t->values[index] = both;
    if (!lm_token_plain(t, a) || !lm_token_plain(t, b) || !lm_token_plain(t, both))
        return LLM_OK;                                      /* control tokens do not come from text */
    if (!lm_pairs_add(&t->pairs, a, b, (uint32_t)index))
        return lm_fail_at(error, LLM_E_LIMIT, bpe_merges_key, sizeof bpe_merges_key - 1, UINT64_MAX, "tokenizer.ggml.merges: too many pairs collide");
    return LLM_OK;
}

static llm_status bpe_build_merges(lm_tokenizer *t, const lm_vocab_desc *vocab, llm_error *error)
{
    size_t longest = 0;
    char *bytes;
    llm_status status = LLM_OK;
    for (uint64_t i = 0; i < vocab->n_merges; i++) {
        if (!vocab->merges[i].ptr || vocab->merges[i].len > 2 * (size_t)LM_MAX_TOKEN_BYTES)
            return bpe_merge_lie(error, i, vocab->merges[i].ptr ? "is too long" : "is missing");
        longest = LM_MAX(longest, vocab->merges[i].len);
    }
    LM_TRY(lm_pairs_init(&t->pairs, &t->host->mem, vocab->n_merges, t->n_vocab, vocab->n_merges, error));
    t->values = lm_mem_new_array(&t->host->mem, (size_t)vocab->n_merges, sizeof *t->values, LLM_MEMORY_TOKENIZER);
    bytes = lm_mem_new(&t->host->mem, longest, LLM_MEMORY_TOKENIZER);
    if (!t->values || !bytes)
        status = lm_fail_memory(error, "the merges", (size_t)vocab->n_merges * sizeof *t->values + longest);
    for (uint64_t i = 0; i < vocab->n_merges && status == LLM_OK; i++)
        status = bpe_add_merge(t, vocab->merges[i], i, bytes, error);
    t->pairs.result = t->values;
    lm_mem_free(&t->host->mem, bytes);
    return status;
}

llm_status lm_bpe_build(lm_tokenizer *t, const lm_vocab_desc *vocab, llm_error *error)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        char text = (char)byte;
        uint32_t id = lm_tokens_find(&t->tokens, &text, 1, lm_hash_more(0, &text, 1));
        if (id != LM_ID_NONE && lm_token_plain(t, id))
            t->bytes[byte] = id;
    }
    if (vocab->n_merges == 0)
        for (uint32_t id = 0; id < t->n_vocab; id++)
            if (lm_token_kind(t, id) == LLM_TOKEN_NORMAL && lm_tokens_str(&t->tokens, id).len > 1)
                return lm_fail_at(error, LLM_E_FORMAT, bpe_merges_key, sizeof bpe_merges_key - 1, UINT64_MAX,
                                  "tokenizer.ggml.merges is missing: token %u can only come from merges", id);
    return bpe_build_merges(t, vocab, error);
}

static llm_status bpe_flush(lm_encoder *e, size_t n, llm_error *error)
{
    size_t left = n;
    if (n > 1)
        LM_TRY(lm_merge_run(&e->t->pairs, &e->work, n, &left, error));
    for (size_t i = 0; i < left; i++)
        lm_encoder_put(e, e->work.ids[i]);
    return LLM_OK;
}

static llm_status bpe_word(lm_encoder *e, const char *word, size_t len, llm_error *error)
{
    const lm_tokenizer *t = e->t;
    size_t n = 0;
    if (t->ignore_merges && len > 1 && len <= t->tokens.longest) {
        uint32_t id = lm_tokens_find(&t->tokens, word, len, lm_hash_more(0, word, len));
        if (id != LM_ID_NONE && lm_token_plain(t, id)) {
            lm_encoder_put(e, id);
            return LLM_OK;
        }
    }
    LM_TRY(lm_merge_reserve(&e->work, len, error));
    for (size_t i = 0; i < len; i++) {
        uint32_t id = t->bytes[(unsigned char)word[i]];
        if (LM_LIKELY(id != LM_ID_NONE)) {
            e->work.ids[n++] = id;
        } else {                                            /* a vocabulary without this byte: nothing merges across it */
            LM_TRY(bpe_flush(e, n, error));
            n = 0;
            lm_encoder_put_unknown(e, word + i, 1);
        }
    }
    return bpe_flush(e, n, error);
}

llm_status lm_bpe_encode(lm_encoder *e, const char *text, size_t len, llm_error *error)
{
    lm_pre_walk walk;
    const char *word;
    lm_pre_begin(&walk, e->t->pre, text, len);
    while (lm_pre_next(&walk, &word)) {
        size_t n = (size_t)(walk.at - word), n_before;
        bool known;
        lm_word *slot = lm_encoder_recall(e, word, n, (size_t)(text + len - word), &known);
        if (known)
            continue;
        n_before = e->n;
        LM_TRY(bpe_word(e, word, n, error));
        if (slot)
            lm_encoder_keep(e, slot, word, n, n_before);
    }
    return LLM_OK;
}
