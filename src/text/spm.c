/* SPDX-License-Identifier: MIT
 * SentencePiece's BPE: characters are merged, the pair that makes the best-scored token first (the leftmost of equals);
 * what no token covers falls back to bytes. U+2581 stands for a space in files; in memory tokens hold spaces.
 *
 * The pairs are found at creation: every way to cut a token into two tokens. So encoding works on ids like BPE does.
 * If no token has a space after something else, merges never cross from one word into the next, and words are merged alone. */
#include "text/encoder.h"

#include "base/utf8.h"

#define SPM_IS_SPACE(p, left) ((left) >= 3 && (unsigned char)(p)[0] == 0xe2 && (unsigned char)(p)[1] == 0x96 && (unsigned char)(p)[2] == 0x81)

size_t lm_spm_bytes(llm_str text, char *out)
{
    size_t n = 0, at = 0;
    while (at < text.len) {
        bool space = SPM_IS_SPACE(text.ptr + at, text.len - at);
        out[n++] = space ? ' ' : text.ptr[at];
        at += space ? 3 : 1;
    }
    return n;
}

static bool spm_plain(uint8_t mark)
{
    uint32_t kind = mark & LM_MARK_KIND;
    return kind == LLM_TOKEN_NORMAL || kind == LLM_TOKEN_USER || kind == LLM_TOKEN_UNUSED;
}

llm_status lm_spm_missing(lm_mem *mem, const lm_vocab_desc *vocab, const uint8_t *marks, uint64_t **bits, uint32_t *n, uint64_t *bytes, llm_error *error)
{
    enum { WORDS = 0x110000 / 64 };
    uint64_t *used = lm_mem_new_array(mem, 2 * (size_t)WORDS, sizeof *used, LLM_MEMORY_TOKENIZER), *have = used + WORDS;
    if (!used)
        return lm_fail_memory(error, "the characters of a vocabulary", 2 * (size_t)WORDS * sizeof *used);
    for (uint32_t id = 0; id < vocab->n_tokens; id++) {
        llm_str token = vocab->tokens[id];
        if (!spm_plain(marks[id]))
            continue;
        for (size_t at = 0, len; at < token.len; at += len) {
            uint32_t cp;
            len = lm_utf8_decode(token.ptr + at, token.len - at, false, &cp);
            if (cp == 0x2581)
                cp = ' ';
            (len == token.len ? have : used)[cp / 64] |= (uint64_t)1 << cp % 64;
        }
    }
    *n = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < WORDS; i++) {
        used[i] &= ~have[i];
        for (uint32_t j = 0; j < 64 && used[i] >> j; j++) {
            char utf8[4];
            if (used[i] >> j & 1) {
                *bytes += lm_utf8_encode(i * 64 + j, utf8) + 1;
                ++*n;
            }
        }
    }
    *bits = used;
    return LLM_OK;
}

/* Cuts of tokens into two pieces: those whose pieces are not looked up yet, and the pairs that were found. */
typedef struct spm_cuts {
    lm_pair  *items; size_t n, cap;
    uint64_t *powers;                   /* powers[k] = LM_HASH_BASE^k gives the hash of a tail from two hashes of prefixes */
    lm_lookup pieces[LM_LOOKUPS];       /* of each cut the left and the right one */
    uint32_t  ids[LM_LOOKUPS / 2];
    size_t    n_open;
} spm_cuts;

static llm_status spm_find_cuts(lm_tokenizer *t, spm_cuts *cuts, llm_error *error)
{
    if (cuts->cap - cuts->n < cuts->n_open) {
        size_t cap = cuts->cap ? cuts->cap * 2 : 4096;
        lm_pair *items = lm_mem_grow(&t->host->mem, cuts->items, cap * sizeof *items, LLM_MEMORY_TOKENIZER);
        if (!items)
            return lm_fail_memory(error, "the pairs of a vocabulary", cap * sizeof *items);
        cuts->items = items;
        cuts->cap = cap;
    }
    lm_tokens_find_all(&t->tokens, cuts->pieces, 2 * cuts->n_open);
    for (size_t i = 0; i < cuts->n_open; i++) {
        uint32_t left = cuts->pieces[2 * i].id, right = cuts->pieces[2 * i + 1].id;
        if (left != LM_ID_NONE && right != LM_ID_NONE && lm_token_plain(t, left) && lm_token_plain(t, right))
            cuts->items[cuts->n++] = (lm_pair){ left, right, cuts->ids[i] };
    }
    cuts->n_open = 0;
    return LLM_OK;
}

/* Every cut of token `id` into two tokens. */
static llm_status spm_cut(lm_tokenizer *t, uint32_t id, spm_cuts *cuts, llm_error *error)
{
    llm_str token = lm_tokens_str(&t->tokens, id);
    uint64_t whole = lm_hash_more(0, token.ptr, token.len), prefix = 0;
    for (size_t at = 1; at < token.len; at++) {
        lm_lookup *left = &cuts->pieces[2 * cuts->n_open];
        prefix = lm_hash_more(prefix, token.ptr + at - 1, 1);
        if (t->kind == LM_VOCAB_SPM && ((unsigned char)token.ptr[at] & 0xc0) == 0x80)
            continue;                                       /* inside a character */
        if (token.ptr[at] == ' ' && token.ptr[at - 1] != ' ')
            t->inner_space = true;
        left[0] = (lm_lookup){ token.ptr, at, prefix, LM_ID_NONE };
        left[1] = (lm_lookup){ token.ptr + at, token.len - at, whole - prefix * cuts->powers[token.len - at], LM_ID_NONE };
        cuts->ids[cuts->n_open++] = id;
        if (cuts->n_open == LM_LOOKUPS / 2)
            LM_TRY(spm_find_cuts(t, cuts, error));
    }
    return LLM_OK;
}

static llm_status spm_cut_all(lm_tokenizer *t, spm_cuts *cuts, llm_error *error)
{
    cuts->powers = lm_mem_new_array(&t->host->mem, (size_t)t->tokens.longest + 1, sizeof *cuts->powers, LLM_MEMORY_TOKENIZER);
    if (!cuts->powers)
        return lm_fail_memory(error, "the pairs of a vocabulary", ((size_t)t->tokens.longest + 1) * sizeof *cuts->powers);
    cuts->powers[0] = 1;
    for (uint32_t i = 1; i <= t->tokens.longest; i++)
        cuts->powers[i] = cuts->powers[i - 1] * (uint64_t)LM_HASH_BASE;
    for (uint32_t id = 0; id < t->n_vocab; id++) {
        llm_str token = lm_tokens_str(&t->tokens, id);
        if (token.len >= 2 && lm_token_plain(t, id) && t->marks[id] & LM_MARK_TEXT && (t->tokens.n_twins == 0 || lm_tokens_find(&t->tokens, token.ptr, token.len, lm_hash_more(0, token.ptr, token.len)) == id))
            LM_TRY(spm_cut(t, id, cuts, error));
    }
    return spm_find_cuts(t, cuts, error);
}

/* Scores as numbers that rise as scores fall; equal scores are equal numbers. Never UINT32_MAX: no score is NaN. */
static uint32_t spm_order(float score)
{
    uint32_t bits;
    score += 0.0f;                                          /* -0 */
    memcpy(&bits, &score, 4);
    return ~(bits & 0x80000000u ? ~bits : bits | 0x80000000u);
}

void lm_spm_find_ascii(lm_tokenizer *t)
{
    for (uint32_t c = 0; c < 128; c++) {
        char text = (char)c;
        uint32_t id = lm_tokens_find(&t->tokens, &text, 1, lm_hash_more(0, &text, 1));
        t->ascii[c] = id != LM_ID_NONE && lm_token_plain(t, id) ? id : LM_ID_NONE;
    }
}

llm_status lm_spm_find_pairs(lm_tokenizer *t, llm_error *error)
{
    lm_mem *mem = &t->host->mem;
    spm_cuts cuts = { 0 };
    llm_status status = spm_cut_all(t, &cuts, error);
    if (status == LLM_OK)
        status = lm_pairs_init(&t->pairs, mem, cuts.n, t->tokens.n, t->tokens.n, error);
    if (status == LLM_OK && !lm_pairs_add(&t->pairs, cuts.items, cuts.n))
        status = lm_fail(error, LLM_E_LIMIT, "tokenizer.ggml.tokens: too many pairs collide");
    lm_mem_free(mem, cuts.items);
    lm_mem_free(mem, cuts.powers);
    return status;
}

llm_status lm_spm_build(lm_tokenizer *t, const lm_vocab_desc *vocab, llm_error *error)
{
    lm_spm_find_ascii(t);
    LM_TRY(lm_spm_find_pairs(t, error));
    t->values = lm_mem_new_array(&t->host->mem, t->n_vocab, sizeof *t->values, LLM_MEMORY_TOKENIZER);
    if (!t->values)
        return lm_fail_memory(error, "the scores", t->n_vocab * sizeof *t->values);
    for (uint32_t id = 0; id < t->n_vocab; id++)
        t->values[id] = spm_order(vocab->scores ? vocab->scores[id] : 0.0f);
    t->pairs.order = t->values;
    return LLM_OK;
}

static llm_status spm_flush(lm_encoder *e, size_t n, llm_error *error)
{
    size_t left = n;
    if (n > 1)
        LM_TRY(lm_merge_run(&e->t->pairs, &e->work, n, &left, error));
    for (size_t i = 0; i < left; i++) {
        uint32_t id = e->work.ids[i];
        if (LM_LIKELY(id < e->t->n_vocab)) {
            lm_encoder_put(e, id);
        } else {                                            /* a character that only counts inside tokens */
            llm_str text = lm_tokens_str(&e->t->tokens, id);
            lm_encoder_put_unknown(e, text.ptr, text.len);
        }
    }
    return LLM_OK;
}

/* The id of the character at text[0, len) and its bytes; LM_ID_NONE. */
static uint32_t spm_character(const lm_tokenizer *t, const char *text, size_t len, size_t *n)
{
    uint32_t cp, id;
    *n = 1;
    if (LM_LIKELY((unsigned char)*text < 0x80))
        return t->ascii[(unsigned char)*text];
    if (SPM_IS_SPACE(text, len)) {
        *n = 3;
        return t->ascii[' '];
    }
    *n = lm_utf8_decode(text, len, false, &cp);
    id = lm_tokens_find(&t->tokens, text, *n, lm_hash_more(0, text, *n));
    return id != LM_ID_NONE && lm_token_plain(t, id) ? id : LM_ID_NONE;
}

/* One stretch of text that is merged alone; prefix: with a space before it. */
static llm_status spm_stretch(lm_encoder *e, const char *text, size_t len, bool prefix, llm_error *error)
{
    size_t n = 0, step;
    if (prefix) {
        if (e->t->ascii[' '] != LM_ID_NONE) {
            LM_TRY(lm_merge_reserve(&e->work, 1, error));
            e->work.ids[n++] = e->t->ascii[' '];
        } else {
            lm_encoder_put_unknown(e, " ", 1);
        }
    }
    LM_TRY(lm_merge_reserve(&e->work, n + len, error));
    for (size_t at = 0; at < len; at += step) {
        uint32_t id = spm_character(e->t, text + at, len - at, &step);
        if (LM_LIKELY(id != LM_ID_NONE)) {
            e->work.ids[n++] = id;
        } else {                                            /* in no token: nothing merges across it */
            LM_TRY(spm_flush(e, n, error));
            n = 0;
            if (step == 3 && SPM_IS_SPACE(text + at, len - at))
                lm_encoder_put_unknown(e, " ", 1);
            else
                lm_encoder_put_unknown(e, text + at, step);
        }
    }
    return spm_flush(e, n, error);
}

/* The end of a word: spaces, then what is no space. */
static const char *spm_word_end(const char *at, const char *end)
{
    for (;;) {
        if (at < end && *at == ' ')
            at++;
        else if (SPM_IS_SPACE(at, end - at))
            at += 3;
        else
            break;
    }
    while (at < end && *at != ' ' && !SPM_IS_SPACE(at, end - at))
        at++;
    return at;
}

llm_status lm_spm_encode(lm_encoder *e, const char *text, size_t len, bool prefix, llm_error *error)
{
    const char *end = text + len;
    if (e->t->inner_space)
        return spm_stretch(e, text, len, prefix, error);
    while (text < end) {
        const char *next = spm_word_end(text, end);
        size_t n_before = e->n;
        bool known = false;
        lm_word *slot = prefix ? NULL : lm_encoder_recall(e, text, (size_t)(next - text), (size_t)(end - text), &known);
        if (!known) {
            LM_TRY(spm_stretch(e, text, (size_t)(next - text), prefix, error));
            if (slot)
                lm_encoder_keep(e, slot, text, (size_t)(next - text), n_before);
        }
        prefix = false;
        text = next;
    }
    return LLM_OK;
}
#undef SPM_IS_SPACE
