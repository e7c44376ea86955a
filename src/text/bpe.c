/* SPDX-License-Identifier: MIT
 * Byte-level BPE, as GPT-2 introduced it: bytes are written as printable characters in the vocabulary, words are merged by
 * the rank of pairs. In memory tokens are bytes; the characters exist in files alone.
 *
 * Does not know special tokens (they are cut out before), how text is cut into words (pretokenize.h), nor how merges are read
 * (merges.c). */
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

/* Characters that stand for bytes, up to the first that does not: those bytes to out; returns what is left. */
LM_INLINE const char *bpe_map(const char *at, const char *end, char *out, size_t *n)
{
    size_t count = 0;
    for (; at < end; count++) {
        unsigned char lead = (unsigned char)*at;
        if (LM_LIKELY(lead >= 0x21 && lead <= 0x7e)) {
            out[count] = (char)lead;
            at++;
        } else {                                            /* all others take two bytes */
            int32_t byte = lead >= 0xc2 && lead <= 0xc5 && end - at >= 2 && ((unsigned char)at[1] & 0xc0) == 0x80
                         ? bpe_byte_of((lead & 0x1fu) << 6 | ((unsigned char)at[1] & 0x3fu)) : -1;
            if (byte < 0)
                break;
            out[count] = (char)byte;
            at += 2;
        }
    }
    *n = count;
    return at;
}

size_t lm_bpe_bytes(llm_str text, char *out, bool *mapped)
{
    const char *at = text.ptr, *end = text.ptr + text.len;
    size_t n = 0, more;
    *mapped = true;
    while ((at = bpe_map(at, end, out + n, &more)) < end) {
        uint32_t cp;
        size_t len = lm_utf8_decode(at, (size_t)(end - at), false, &cp);
        *mapped = false;                                    /* no byte: stands for itself */
        n += more;
        memcpy(out + n, at, len);
        n += len;
        at += len;
    }
    return n + more;
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
