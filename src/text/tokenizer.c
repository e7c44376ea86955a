/* SPDX-License-Identifier: MIT
 * Tokenizers: see tokenizer.h. This file checks what a vocabulary says, lays it out, and drives encoding and decoding; the
 * algorithms are bpe.c, spm.c and chars.c over merge.c, special tokens special.c, the bytes of tokens tokens.c. */
#include "text/tokenizer.h"

#include "text/encoder.h"

#include "base/utf8.h"

/* ---- creation: what the vocabulary says, checked ---- */

static llm_status tokenizer_lie(llm_error *error, llm_status status, const char *key, const char *format, ...) LM_PRINTF(4, 5);
static llm_status tokenizer_lie(llm_error *error, llm_status status, const char *key, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    lm_format(text, sizeof text, format, args);
    va_end(args);
    return lm_fail_at(error, status, key, strlen(key), UINT64_MAX, "%s: %s", key, text);
}

static llm_status tokenizer_check_counts(const lm_vocab_desc *vocab, llm_error *error)
{
    if (vocab->kind != LM_VOCAB_SPM && vocab->kind != LM_VOCAB_BPE)
        return tokenizer_lie(error, LLM_E_UNSUPPORTED, "tokenizer.ggml.model", "kind %d is not known", vocab->kind);
    if (vocab->n_tokens == 0 || !vocab->tokens)
        return tokenizer_lie(error, LLM_E_FORMAT, "tokenizer.ggml.tokens", "the vocabulary is empty");
    if (vocab->n_tokens > LM_MAX_TOKENS)
        return tokenizer_lie(error, LLM_E_LIMIT, "tokenizer.ggml.tokens", "%u tokens, more than %d", vocab->n_tokens, LM_MAX_TOKENS);
    if (vocab->scores && vocab->n_scores != vocab->n_tokens)
        return tokenizer_lie(error, LLM_E_FORMAT, "tokenizer.ggml.scores", "%llu scores for %u tokens", (unsigned long long)vocab->n_scores, vocab->n_tokens);
    if (vocab->types && vocab->n_types != vocab->n_tokens)
        return tokenizer_lie(error, LLM_E_FORMAT, "tokenizer.ggml.token_type", "%llu types for %u tokens", (unsigned long long)vocab->n_types, vocab->n_tokens);
    if (vocab->n_merges > 0 && !vocab->merges)
        return tokenizer_lie(error, LLM_E_INVALID, "tokenizer.ggml.merges", "there is no list of %llu merges", (unsigned long long)vocab->n_merges);
    for (uint32_t i = 0; i < vocab->n_tokens && vocab->scores; i++)
        if (vocab->scores[i] != vocab->scores[i])
            return tokenizer_lie(error, LLM_E_FORMAT, "tokenizer.ggml.scores", "the score of token %u is not a number", i);
    for (uint32_t i = 0; i < vocab->n_tokens && vocab->types; i++)
        if (vocab->types[i] < 0 || vocab->types[i] > LLM_TOKEN_BYTE)
            return tokenizer_lie(error, LLM_E_FORMAT, "tokenizer.ggml.token_type", "type %d of token %u is not known", vocab->types[i], i);
    return LLM_OK;
}

static llm_status tokenizer_lie_of_utf8(llm_error *error, uint32_t id)
{
    return tokenizer_lie(error, LLM_E_FORMAT, "tokenizer.ggml.tokens", "token %u is not valid UTF-8", id);
}

static llm_status tokenizer_check_tokens(const lm_vocab_desc *vocab, llm_error *error)
{
    static const char key[] = "tokenizer.ggml.tokens";
    for (uint32_t i = 0; i < vocab->n_tokens; i++) {
        llm_str token = vocab->tokens[i];
        if (!token.ptr || token.len == 0)
            return tokenizer_lie(error, LLM_E_FORMAT, key, "token %u is empty", i);
        if (token.len > LM_MAX_TOKEN_BYTES)
            return tokenizer_lie(error, LLM_E_LIMIT, key, "token %u has %zu bytes, more than %d", i, token.len, LM_MAX_TOKEN_BYTES);
        if (vocab->kind != LM_VOCAB_BPE && !lm_utf8_valid(token.ptr, token.len))
            return tokenizer_lie_of_utf8(error, i);         /* BPE: by who maps them */
    }
    return LLM_OK;
}

static int32_t tokenizer_hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "<0x0A>" and nothing else; -1. */
static int32_t tokenizer_byte(llm_str token)
{
    int32_t high, low;
    if (token.len != 6 || memcmp(token.ptr, "<0x", 3) != 0 || token.ptr[5] != '>')
        return -1;
    high = tokenizer_hex(token.ptr[3]);
    low = tokenizer_hex(token.ptr[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* What token `id` adds to text: its bytes to out, no more than it has in the file. *mapped: found by ordinary text that has these
 * bytes. */
static size_t tokenizer_token(const lm_vocab_desc *vocab, uint32_t kind, uint32_t id, char *out, bool *mapped)
{
    llm_str token = vocab->tokens[id];
    int32_t byte = kind == LLM_TOKEN_BYTE ? tokenizer_byte(token) : -1;
    *mapped = kind != LLM_TOKEN_BYTE;
    if (byte >= 0) {
        *out = (char)byte;
        return 1;
    }
    if (kind == LLM_TOKEN_NORMAL || kind == LLM_TOKEN_UNUSED || kind == LLM_TOKEN_BYTE)
        return vocab->kind == LM_VOCAB_BPE ? lm_bpe_bytes(token, out, mapped) : lm_spm_bytes(token, out);
    if (kind == LLM_TOKEN_USER && vocab->kind != LM_VOCAB_BPE)
        return lm_spm_bytes(token, out);
    for (size_t i = 0; i < token.len && vocab->kind == LM_VOCAB_BPE; i++)       /* where text and its mapping agree */
        if (token.ptr[i] <= ' ' || token.ptr[i] > '~')
            *mapped = false;
    memcpy(out, token.ptr, token.len);
    return token.len;
}

/* ---- creation: laid out ---- */

static llm_status tokenizer_lay_out(lm_tokenizer *t, const lm_vocab_desc *vocab, uint64_t *missing, uint32_t n_missing, uint64_t bytes, llm_error *error)
{
    lm_tokens *tokens = &t->tokens;
    uint32_t at = 0, id;
    for (id = 0; id < t->n_vocab; id++)
        bytes += vocab->tokens[id].len + 1;
    if (bytes > INT32_MAX)
        return tokenizer_lie(error, LLM_E_LIMIT, "tokenizer.ggml.tokens", "the tokens have %llu bytes together", (unsigned long long)bytes);
    LM_TRY(lm_tokens_init(tokens, &t->host->mem, t->n_vocab + n_missing, (uint32_t)bytes, error));
    for (id = 0; id < t->n_vocab; id++) {
        bool mapped;
        tokens->start[id] = at;
        at += (uint32_t)tokenizer_token(vocab, lm_token_kind(t, id), id, tokens->bytes + at, &mapped);
        tokens->bytes[at++] = 0;
        if (mapped)
            t->marks[id] |= LM_MARK_TEXT;
        else if (!lm_utf8_valid(vocab->tokens[id].ptr, vocab->tokens[id].len))
            return tokenizer_lie_of_utf8(error, id);
    }
    for (uint32_t cp = 0; cp < 0x110000 && n_missing > 0; cp += missing[cp / 64] ? 1 : 64)
        if (missing[cp / 64] >> cp % 64 & 1) {
            tokens->start[id++] = at;
            at += (uint32_t)lm_utf8_encode(cp, tokens->bytes + at);
            tokens->bytes[at++] = 0;
            t->marks[id - 1] |= LM_MARK_TEXT;
        }
    tokens->start[id] = at;
    lm_tokens_trim(tokens, &t->host->mem);
    return LLM_OK;
}

/* Ordinary tokens are found before control tokens of the same text; of equals, the last. */
static llm_status tokenizer_index(lm_tokenizer *t, llm_error *error)
{
    uint32_t ids[LM_LOOKUPS], n = 0;
    bool done = true;
    for (int32_t normal = 0; normal < 2; normal++)
        for (uint32_t id = 0; id < t->tokens.n; id++) {
            uint32_t kind = lm_token_kind(t, id);
            if (!(t->marks[id] & LM_MARK_TEXT) || (kind == LLM_TOKEN_NORMAL || kind == LLM_TOKEN_UNUSED) != (normal == 1))
                continue;
            ids[n++] = id;
            if (n == LM_LOOKUPS) {
                done = done && lm_tokens_index(&t->tokens, ids, n);
                n = 0;
            }
        }
    if (!done || !lm_tokens_index(&t->tokens, ids, n))
        return tokenizer_lie(error, LLM_E_LIMIT, "tokenizer.ggml.tokens", "too many tokens collide");
    return LLM_OK;
}

/* Which token stands for each byte. A token that calls itself a byte and is none stands for its text. */
static void tokenizer_bytes(lm_tokenizer *t, const lm_vocab_desc *vocab)
{
    for (uint32_t i = 0; i < 256; i++)
        t->bytes[i] = LM_ID_NONE;
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        int32_t byte;
        if (lm_token_kind(t, id) != LLM_TOKEN_BYTE)
            continue;
        byte = tokenizer_byte(vocab->tokens[id]);
        if (byte >= 0)
            t->bytes[byte] = id;
    }
}

static void tokenizer_set_flags(lm_tokenizer *t, const lm_vocab_desc *vocab)
{
    bool spm = t->kind == LM_VOCAB_SPM;
    t->add_bos = vocab->add_bos == LM_FLAG_UNSET ? spm || (t->pre->flags & LM_PRE_BOS) != 0 : vocab->add_bos != 0;
    t->add_eos = vocab->add_eos > 0;
    t->add_space_prefix = spm && vocab->add_space_prefix != 0;
    t->ignore_merges = !spm && (vocab->ignore_merges == LM_FLAG_UNSET ? (t->pre->flags & LM_PRE_WHOLE) != 0 : vocab->ignore_merges != 0);
    t->cleans = !spm && t->pre->flags & LM_PRE_CLEAN;
    if (t->special[LLM_SPECIAL_NEWLINE] != LLM_TOKEN_NONE)
        return;
    if (t->kind == LM_VOCAB_CHARS && t->ascii['\n'] != LM_ID_NONE)
        t->special[LLM_SPECIAL_NEWLINE] = (llm_token)t->ascii['\n'];
    else if (t->bytes['\n'] != LM_ID_NONE)
        t->special[LLM_SPECIAL_NEWLINE] = (llm_token)t->bytes['\n'];
    else if (spm && t->ascii['\n'] < t->n_vocab)
        t->special[LLM_SPECIAL_NEWLINE] = (llm_token)t->ascii['\n'];
}

static llm_status tokenizer_fill(lm_tokenizer *t, const lm_vocab_desc *vocab, uint64_t **missing, llm_error *error)
{
    lm_mem *mem = &t->host->mem;
    uint32_t n_missing = 0;
    uint64_t bytes = 0;
    t->kind = vocab->kind;
    t->n_vocab = vocab->n_tokens;
    t->marks = lm_mem_new(mem, t->n_vocab, LLM_MEMORY_TOKENIZER);
    if (!t->marks)
        return lm_fail_memory(error, "the kinds of tokens", t->n_vocab);
    for (uint32_t id = 0; id < t->n_vocab; id++)
        t->marks[id] = vocab->types && vocab->types[id] ? (uint8_t)vocab->types[id] : LLM_TOKEN_NORMAL;
    lm_special_find(vocab, t->marks, t->special);
    tokenizer_bytes(t, vocab);
    if (t->kind == LM_VOCAB_SPM) {
        LM_TRY(lm_spm_missing(mem, vocab, t->marks, missing, &n_missing, &bytes, error));
        if (n_missing > 0) {
            uint8_t *marks = lm_mem_grow(mem, t->marks, (size_t)t->n_vocab + n_missing, LLM_MEMORY_TOKENIZER);
            if (!marks)
                return lm_fail_memory(error, "the kinds of tokens", (size_t)t->n_vocab + n_missing);
            t->marks = marks;
            memset(marks + t->n_vocab, LLM_TOKEN_NORMAL, n_missing);
        }
    }
    LM_TRY(tokenizer_lay_out(t, vocab, *missing, n_missing, bytes, error));
    LM_TRY(tokenizer_index(t, error));
    switch (t->kind) {
    case LM_VOCAB_SPM:   LM_TRY(lm_spm_build(t, vocab, error)); break;
    case LM_VOCAB_CHARS: LM_TRY(lm_chars_build(t, vocab, error)); break;
    default:             LM_TRY(lm_bpe_build(t, vocab, error)); break;
    }
    LM_TRY(lm_special_build(t, error));
    tokenizer_set_flags(t, vocab);
    return LLM_OK;
}

static llm_status tokenizer_late(lm_tokenizer *t, llm_error *error)
{
    lm_mem *mem = &t->host->mem;
    lm_late *late = lm_mem_new(mem, sizeof *late, LLM_MEMORY_TOKENIZER);
    if (!late)
        return lm_fail_memory(error, "a tokenizer", sizeof *late);
    llm_status status = lm_mutex_init(&late->lock, error);
    if (status < 0)
        lm_mem_free(mem, late);
    else
        t->late = late;
    return status;
}

llm_status lm_tokenizer_create(lm_host *host, const lm_vocab_desc *vocab, lm_tokenizer **out, llm_error *error)
{
    const lm_pre *pre = NULL;
    lm_vocab_desc chars;
    lm_tokenizer *t;
    uint64_t *missing = NULL;
    llm_status status;
    LM_TRY(tokenizer_check_counts(vocab, error));
    if (vocab->kind == LM_VOCAB_BPE && !(pre = lm_pre_find(vocab->pre)))
        return tokenizer_lie(error, LLM_E_UNSUPPORTED, "tokenizer.ggml.pre", "the pre-tokenizer \"%.*s\" is not known", (int)LM_MIN(vocab->pre.len, (size_t)64), vocab->pre.ptr);
    if (pre && pre->flags & LM_PRE_CHARS) {
        chars = *vocab;
        chars.kind = LM_VOCAB_CHARS;
        vocab = &chars;
    }
    LM_TRY(tokenizer_check_tokens(vocab, error));
    t = lm_mem_new(&host->mem, sizeof *t, LLM_MEMORY_TOKENIZER);
    if (!t)
        return lm_fail_memory(error, "a tokenizer", sizeof *t);
    t->host = host;
    t->pre = pre;
    status = tokenizer_late(t, error);
    if (status == LLM_OK)
        status = tokenizer_fill(t, vocab, &missing, error);
    lm_mem_free(&host->mem, missing);
    if (status != LLM_OK) {
        lm_tokenizer_free(t);
        return status;
    }
    *out = t;
    return LLM_OK;
}

void lm_tokenizer_free(lm_tokenizer *t)
{
    lm_mem *mem;
    if (!t)
        return;
    mem = &t->host->mem;
    if (t->late) {
        lm_trie_drop(t->late->trie);
        lm_mutex_destroy(&t->late->lock);
        lm_mem_free(mem, t->late);
    }
    lm_tokens_free(&t->tokens, mem);
    lm_pairs_free(&t->pairs, mem);
    lm_mem_free(mem, t->values);
    lm_mem_free(mem, t->marks);
    lm_mem_free(mem, t->index.ids);
    lm_mem_free(mem, t);
}

/* ---- encoding ---- */

void lm_encoder_put_unknown(lm_encoder *e, const char *text, size_t len)
{
    llm_token unknown = e->t->special[LLM_SPECIAL_UNK];
    for (size_t i = 0; i < len; i++) {
        uint32_t id = e->t->bytes[(unsigned char)text[i]];
        if (id != LM_ID_NONE) {
            lm_encoder_put(e, id);
        } else if (unknown != LLM_TOKEN_NONE && !e->unknown) {
            lm_encoder_put(e, (uint32_t)unknown);
            e->unknown = true;
        }
    }
}

/* The bytes of a word and their number as two words of 64 bits. */
static void encoder_word_key(const char *text, size_t len, size_t room, uint64_t *low, uint64_t *high)
{
    uint64_t two[2] = { 0, 0 };
    if (LM_LIKELY(room >= sizeof two)) {
        memcpy(two, text, sizeof two);
        if (len < 8) {
            two[0] &= ((uint64_t)1 << 8 * len) - 1;
            two[1] = 0;
        } else {
            two[1] &= ((uint64_t)1 << 8 * (len - 8)) - 1;
        }
    } else {
        memcpy(two, text, len);
    }
    *low = two[0];
    *high = two[1] | (uint64_t)len << 56;
}

lm_word *lm_encoder_recall(lm_encoder *e, const char *text, size_t len, size_t room, bool *known)
{
    uint64_t low, high, hash;
    lm_word *word;
    *known = false;
    if (!e->words || len > LM_WORD_BYTES)
        return NULL;
    encoder_word_key(text, len, room, &low, &high);
    hash = low * 0x9e3779b97f4a7c15u ^ high * 0xc2b2ae3d27d4eb4fu;
    hash ^= hash >> 32;
    word = &e->words[(hash * 0x9e3779b97f4a7c15u) >> 52];
    if (word->low == low && word->high == high) {
        *known = true;
        for (uint32_t i = 0; i < LM_WORD_TOKENS && word->ids[i] != LM_ID_NONE; i++)
            lm_encoder_put(e, word->ids[i]);
    }
    return word;
}
_Static_assert(LM_WORDS == 1 << (64 - 52), "the hash chooses a word");

void lm_encoder_keep(lm_encoder *e, lm_word *word, const char *text, size_t len, size_t n_before)
{
    size_t n = e->n - n_before;
    if (n == 0 || n > LM_WORD_TOKENS)
        return;
    for (size_t i = 0; i < n; i++)
        if (e->last[(n_before + i) % LM_WORD_TOKENS] == (uint32_t)e->t->special[LLM_SPECIAL_UNK])
            return;                                         /* what it becomes depends on what stands before */
    encoder_word_key(text, len, len, &word->low, &word->high);
    for (size_t i = 0; i < LM_WORD_TOKENS; i++)
        word->ids[i] = i < n ? e->last[(n_before + i) % LM_WORD_TOKENS] : LM_ID_NONE;
}

static llm_status encoder_text(lm_encoder *e, const char *text, size_t len, bool continues, llm_error *error)
{
    if (len == 0)
        return LLM_OK;
    e->unknown = false;
    if (e->t->kind == LM_VOCAB_SPM)
        return lm_spm_encode(e, text, len, e->t->add_space_prefix && !continues, error);
    if (e->t->kind == LM_VOCAB_CHARS)
        return lm_chars_encode(e, text, len, error);
    return lm_bpe_encode(e, text, len, error);
}

static llm_status encoder_run(lm_encoder *e, const char *text, size_t len, uint32_t flags, const uint64_t *places, size_t n_places, llm_error *error)
{
    const lm_tokenizer *t = e->t;
    bool special = flags & LLM_ENCODE_ADD_SPECIAL, continues = flags & LLM_ENCODE_CONTINUES;
    size_t at = 0;
    if (special && lm_tokenizer_adds_bos(t))
        lm_encoder_put(e, (uint32_t)t->special[LLM_SPECIAL_BOS]);
    for (size_t i = 0; i < n_places; i++) {
        uint32_t id = (uint32_t)places[i];
        size_t place = (size_t)(places[i] >> 32);
        LM_TRY(encoder_text(e, text + at, place - at, continues && at == 0, error));
        lm_encoder_put(e, id);
        at = place + lm_tokens_str(&t->tokens, id).len;
    }
    LM_TRY(encoder_text(e, text + at, len - at, continues && at == 0, error));
    if (special && t->add_eos && t->special[LLM_SPECIAL_EOS] != LLM_TOKEN_NONE)
        lm_encoder_put(e, (uint32_t)t->special[LLM_SPECIAL_EOS]);
    return LLM_OK;
}

llm_status lm_tokenizer_encode(const lm_tokenizer *t, const char *text, size_t len, uint32_t flags, llm_token *out, size_t cap, size_t *n, llm_error *error)
{
    lm_span all = { 0, len };
    return lm_tokenizer_encode_spans(t, text, len, flags, &all, flags & LLM_ENCODE_PARSE_SPECIAL ? 1 : 0, out, cap, n, error);
}

llm_status lm_tokenizer_encode_spans(const lm_tokenizer *t, const char *text, size_t len, uint32_t flags, const lm_span *spans, size_t n_spans,
                                     llm_token *out, size_t cap, size_t *n, llm_error *error)
{
    enum { FROM = 1024 };                                   /* bytes: remembering words pays */
    lm_mem *mem = &t->host->mem;
    lm_encoder e = { .t = t, .out = out, .cap = out ? cap : 0, .work = { .mem = mem } };
    llm_token *kept = NULL;
    uint64_t *places = NULL;
    size_t n_places = 0;
    llm_status status;
    if (len > INT32_MAX)
        return lm_fail(error, LLM_E_LIMIT, "a text of %zu bytes is more than one call takes (%d)", len, INT32_MAX);
    status = lm_special_split(t, text, len, spans, n_spans, &places, &n_places, error);
    /* At most one token a byte, one for each space prefix, BOS and EOS. Only if they might not fit, they go elsewhere first:
     * a caller whose array is too small finds it as it was. */
    if (status == LLM_OK && e.cap > 0 && e.cap < len + n_places + 3) {
        kept = lm_mem_raw(mem, e.cap * sizeof *kept, LLM_MEMORY_TOKENIZER);
        if (!kept)
            status = lm_fail_memory(error, "tokens", e.cap * sizeof *kept);
        e.out = kept;
    }
    if (len >= FROM)
        e.words = lm_mem_new_array(mem, LM_WORDS, sizeof *e.words, LLM_MEMORY_TOKENIZER);   /* without memory: slower, no more */
    if (status == LLM_OK)
        status = encoder_run(&e, text, len, flags, places, n_places, error);
    if (status == LLM_OK) {
        *n = e.n;
        if (e.n > cap)
            status = lm_fail(error, LLM_E_SPACE, "the text has %zu tokens, there is room for %zu", e.n, cap);
        else if (kept)
            memcpy(out, kept, e.n * sizeof *out);
    }
    lm_mem_free(mem, places);
    lm_mem_free(mem, kept);
    lm_mem_free(mem, e.words);
    lm_merge_free(&e.work);
    return status;
}

/* ---- decoding ---- */

llm_str lm_tokenizer_bytes(const lm_tokenizer *t, llm_token token, uint32_t flags)
{
    uint32_t kind;
    if (token < 0 || (uint32_t)token >= t->n_vocab)
        return (llm_str){ "", 0 };
    kind = lm_token_kind(t, (uint32_t)token);
    if ((kind == LLM_TOKEN_CONTROL || kind == LLM_TOKEN_UNKNOWN) && !(flags & LLM_DECODE_SHOW_SPECIAL))
        return (llm_str){ "", 0 };
    return lm_tokens_str(&t->tokens, (uint32_t)token);
}

static llm_status tokenizer_make_trie(const lm_tokenizer *t, lm_trie **out, llm_error *error)
{
    lm_mem *mem = &t->host->mem;
    llm_str *texts = lm_mem_new_array(mem, t->n_vocab, sizeof *texts, LLM_MEMORY_TOKENIZER);
    bool *ends = lm_mem_new_array(mem, t->n_vocab, sizeof *ends, LLM_MEMORY_TOKENIZER);
    llm_status status = texts && ends ? LLM_OK : lm_fail_memory(error, "the tree of a vocabulary", t->n_vocab * sizeof *texts);
    for (uint32_t id = 0; id < t->n_vocab && status == LLM_OK; id++) {
        uint32_t kind = lm_token_kind(t, id);
        ends[id] = t->marks[id] & LM_MARK_ENDS;
        if (kind == LLM_TOKEN_NORMAL || kind == LLM_TOKEN_USER || kind == LLM_TOKEN_BYTE)
            texts[id] = lm_tokens_str(&t->tokens, id);
    }
    if (status == LLM_OK)
        status = lm_trie_new(mem, texts, ends, t->n_vocab, out, error);
    lm_mem_free(mem, texts);
    lm_mem_free(mem, ends);
    return status;
}

llm_status lm_tokenizer_trie(const lm_tokenizer *t, lm_trie **out, llm_error *error)
{
    llm_status status = LLM_OK;
    lm_mutex_lock(&t->late->lock);
    if (!t->late->trie)
        status = tokenizer_make_trie(t, &t->late->trie, error);
    if (status == LLM_OK) {
        *out = t->late->trie;
        lm_trie_hold(*out);
    }
    lm_mutex_unlock(&t->late->lock);
    return status;
}

static llm_status tokenizer_decode(const lm_tokenizer *t, const llm_token *tokens, size_t n_tokens, uint32_t flags, char *out, size_t cap, size_t *n, llm_error *error)
{
    size_t total = 0, skip = 0, at = 0, first = SIZE_MAX;
    for (size_t i = 0; i < n_tokens; i++) {
        llm_str bytes;
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= t->n_vocab)
            return lm_fail(error, LLM_E_INVALID, "token %d at %zu is not in the vocabulary of %u", tokens[i], i, t->n_vocab);
        bytes = lm_tokenizer_bytes(t, tokens[i], flags);
        if (bytes.len > SIZE_MAX - total)
            return lm_fail(error, LLM_E_LIMIT, "the text is too long");
        total += bytes.len;
        if (first == SIZE_MAX && lm_token_kind(t, (uint32_t)tokens[i]) != LLM_TOKEN_CONTROL) {
            first = i;                                      /* the text begins here: the space that encode put before it goes */
            skip = lm_tokenizer_strips_space(t) && lm_token_plain(t, (uint32_t)tokens[i]) && bytes.len > 0 && bytes.ptr[0] == ' ';
        }
    }
    total -= skip;
    *n = total;
    if (cap < total)
        return lm_fail(error, LLM_E_SPACE, "the text has %zu bytes, there is room for %zu", total, cap);
    for (size_t i = 0; i < n_tokens; i++) {
        llm_str bytes = lm_tokenizer_bytes(t, tokens[i], flags);
        size_t from = i == first ? skip : 0;
        if (bytes.len > from)
            memcpy(out + at, bytes.ptr + from, bytes.len - from);
        at += bytes.len - from;
    }
    if (cap > total)
        out[total] = 0;
    return LLM_OK;
}

llm_status lm_tokenizer_decode(const lm_tokenizer *t, const llm_token *tokens, size_t n_tokens, uint32_t flags, char *out, size_t cap, size_t *n, llm_error *error)
{
    llm_status status;
    size_t size = 0;
    char *text;
    if (!(flags & LLM_DECODE_CLEAN_SPACES) || !t->cleans)
        return tokenizer_decode(t, tokens, n_tokens, flags, out, cap, n, error);
    status = tokenizer_decode(t, tokens, n_tokens, flags, NULL, 0, &size, error);
    if (status != LLM_OK && status != LLM_E_SPACE)
        return status;
    text = lm_mem_raw(&t->host->mem, size, LLM_MEMORY_TOKENIZER);
    if (!text)
        return lm_fail_memory(error, "a text", size);
    status = tokenizer_decode(t, tokens, n_tokens, flags, text, size, &size, error);
    if (status == LLM_OK) {
        *n = lm_clean_spaces(text, size);
        if (cap < *n)
            status = lm_fail(error, LLM_E_SPACE, "the text has %zu bytes, there is room for %zu", *n, cap);
        else if (*n > 0)
            memcpy(out, text, *n);
        if (cap > *n)
            out[*n] = 0;
    }
    lm_mem_free(&t->host->mem, text);
    return status;
}

/* ---- what it says of itself ---- */

uint32_t lm_tokenizer_n_vocab(const lm_tokenizer *t) { return t->n_vocab; }

llm_token lm_tokenizer_special(const lm_tokenizer *t, int32_t which)
{
    return which > 0 && which < LM_N_SPECIAL ? t->special[which] : LLM_TOKEN_NONE;
}

bool lm_tokenizer_ends(const lm_tokenizer *t, llm_token token)
{
    return token >= 0 && (uint32_t)token < t->n_vocab && (t->marks[token] & LM_MARK_ENDS);
}

bool lm_tokenizer_adds_bos(const lm_tokenizer *t) { return t->add_bos && t->special[LLM_SPECIAL_BOS] != LLM_TOKEN_NONE; }

int32_t lm_tokenizer_kind(const lm_tokenizer *t, llm_token token)
{
    return token >= 0 && (uint32_t)token < t->n_vocab ? (int32_t)lm_token_kind(t, (uint32_t)token) : 0;
}

bool lm_tokenizer_strips_space(const lm_tokenizer *t) { return t->kind == LM_VOCAB_SPM && t->add_space_prefix; }
