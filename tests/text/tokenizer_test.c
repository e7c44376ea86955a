/* SPDX-License-Identifier: MIT
 * Tokenizers against definitions written out plainly (merging, cutting out special tokens), against vocabularies that lie, and
 * against an allocator that fails at the n-th call. */
#include "text_data.h"

#include "model/vocab.h"

static lm_tokenizer *make(lm_host *host, const test_vocab *v)
{
    lm_tokenizer *t = NULL;
    llm_error error;
    CHECK_MSG(lm_tokenizer_create(host, &v->desc, &t, &error) == LLM_OK, "%s", error.message);
    return t;
}

/* ---- vocabularies that lie ---- */

static void good_spm(test_vocab *v)
{
    test_vocab_init(v, LM_VOCAB_SPM, NULL);
    test_vocab_add(v, "<unk>", 0, LLM_TOKEN_UNKNOWN);
    test_vocab_add(v, "<s>", 0, LLM_TOKEN_CONTROL);
    test_vocab_add(v, "</s>", 0, LLM_TOKEN_CONTROL);
    test_vocab_add(v, "<0x0A>", 0, LLM_TOKEN_BYTE);
    test_vocab_add(v, "\xe2\x96\x81", -1, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "a", -2, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "b", -3, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "ab", -4, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "\xe2\x96\x81" "ab", -5, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "x\xc3\xa9", -6, LLM_TOKEN_NORMAL);   /* characters that are no tokens */
}

static void good_bpe(test_vocab *v)
{
    test_vocab_init(v, LM_VOCAB_BPE, "llama-bpe");
    test_vocab_bytes(v);
    test_vocab_add(v, "ab", 0, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "\xc4\xa0" "ab", 0, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "<|im_end|>", 0, LLM_TOKEN_NORMAL);   /* the file says normal */
    test_vocab_add(v, "<tool>", 0, LLM_TOKEN_USER);
    test_vocab_merge(v, "a b", 3);
    test_vocab_merge(v, "\xc4\xa0 ab", 5);
}

/* BPE of characters. */
static void good_chars(test_vocab *v)
{
    test_vocab_init(v, LM_VOCAB_BPE, "gemma4");
    test_vocab_add(v, "<unk>", 0, LLM_TOKEN_UNKNOWN);
    test_vocab_add(v, "<bos>", 0, LLM_TOKEN_CONTROL);
    test_vocab_add(v, "<0x0A>", 0, LLM_TOKEN_BYTE);
    test_vocab_add(v, "<0xC3>", 0, LLM_TOKEN_BYTE);
    test_vocab_add(v, "\xe2\x96\x81", 0, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "a", 0, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "b", 0, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "\n", 0, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "\xe2\x96\x81" "a", 0, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "\xe2\x96\x81" "ab", 0, LLM_TOKEN_NORMAL);
    test_vocab_add(v, "  ", 0, LLM_TOKEN_USER);             /* as converters write U+2581 in tokens that were added */
    test_vocab_add(v, "\n\n\n", 0, LLM_TOKEN_NORMAL);
    test_vocab_merge(v, "\xe2\x96\x81 a", 5);
    test_vocab_merge(v, "\xe2\x96\x81" "a b", 6);
    test_vocab_merge(v, "\xe2\x96\x81 \xe2\x96\x81", 7);
    v->desc.special[LLM_SPECIAL_UNK] = 0;
    v->desc.special[LLM_SPECIAL_BOS] = 1;
}

static void check_refused(lm_host *host, const char *what, const test_vocab *v, llm_status status, const char *word)
{
    lm_tokenizer *t = (lm_tokenizer *)(uintptr_t)1;
    llm_error error;
    llm_status got = lm_tokenizer_create(host, &v->desc, &t, &error);
    CHECK_MSG(got == status && error.status == status, "%s: status %d", what, got);
    CHECK_MSG(t == (lm_tokenizer *)(uintptr_t)1, "%s: output touched", what);
    CHECK_MSG(strstr(error.message, word) != NULL, "%s: \"%s\" lacks \"%s\"", what, error.message, word);
    CHECK_MSG(atomic_load(&host->mem.used) == 0, "%s: leaks", what);
}

#define LIE(base, change, status, word)           \
    do {                                          \
        test_vocab v;                             \
        base(&v);                                 \
        change;                                   \
        check_refused(host, #change, &v, status, word); \
        test_vocab_free(&v);                      \
    } while (0)

static void check_lies(lm_host *host)
{
    char *long_text = malloc(200001);
    memset(long_text, 'a', 200000);
    long_text[200000] = 0;
    LIE(good_spm, v.desc.n_tokens = 0, LLM_E_FORMAT, "empty");
    LIE(good_spm, v.desc.kind = 7, LLM_E_UNSUPPORTED, "tokenizer.ggml.model");
    LIE(good_spm, v.desc.n_scores--, LLM_E_FORMAT, "tokenizer.ggml.scores");
    LIE(good_spm, v.desc.n_types++, LLM_E_FORMAT, "tokenizer.ggml.token_type");
    LIE(good_spm, v.scores[3] = (float)(0.0 / 0.0 * 1.0), LLM_E_FORMAT, "token 3");
    LIE(good_spm, v.types[4] = 7, LLM_E_FORMAT, "token 4");
    LIE(good_spm, v.types[4] = -1, LLM_E_FORMAT, "token 4");
    LIE(good_spm, v.tokens[5].len = 0, LLM_E_FORMAT, "token 5 is empty");
    LIE(good_spm, test_vocab_token(&v, "\xff", 1, 0, LLM_TOKEN_NORMAL), LLM_E_FORMAT, "token 10 is not valid UTF-8");
    LIE(good_spm, test_vocab_add(&v, long_text, 0, LLM_TOKEN_NORMAL), LLM_E_LIMIT, "token 10");
    LIE(good_spm, test_vocab_token(&v, long_text, 2000, 0, LLM_TOKEN_CONTROL), LLM_E_LIMIT, "special token 10");
    LIE(good_bpe, v.desc.pre = ((llm_str){ "gpt-99", 6 }), LLM_E_UNSUPPORTED, "gpt-99");
    LIE(good_bpe, v.desc.n_merges = 0, LLM_E_FORMAT, "tokenizer.ggml.merges");
    LIE(good_bpe, test_vocab_merge(&v, "a", 1), LLM_E_FORMAT, "merge 2");
    LIE(good_bpe, test_vocab_merge(&v, "ab ", 3), LLM_E_FORMAT, "merge 2");
    LIE(good_bpe, test_vocab_merge(&v, " ab", 3), LLM_E_FORMAT, "merge 2");
    LIE(good_bpe, test_vocab_merge(&v, "a c", 3), LLM_E_FORMAT, "merge 2");
    LIE(good_bpe, test_vocab_merge(&v, "zz a", 4), LLM_E_FORMAT, "merge 2");
    LIE(good_bpe, test_vocab_merge(&v, "a \xe4\xba\xba", 5), LLM_E_FORMAT, "merge 2");
    LIE(good_bpe, test_vocab_merge(&v, long_text, 200000), LLM_E_FORMAT, "merge 2");
    LIE(good_bpe, (test_vocab_merge(&v, "zz a", 4), test_vocab_merge(&v, "a", 1)), LLM_E_FORMAT, "merge 2");    /* the first is told */
    LIE(good_bpe, test_vocab_merge(&v, "a b\0", 4), LLM_E_FORMAT, "merge 2");
    LIE(good_bpe, test_vocab_merge(&v, "a\0 b", 4), LLM_E_FORMAT, "merge 2");
    LIE(good_bpe, test_vocab_token(&v, "a\xff", 2, 0, LLM_TOKEN_NORMAL), LLM_E_FORMAT, "is not valid UTF-8");
    LIE(good_bpe, test_vocab_token(&v, "\xe4\xba", 2, 0, LLM_TOKEN_CONTROL), LLM_E_FORMAT, "is not valid UTF-8");
    LIE(good_chars, v.desc.n_merges = 0, LLM_E_FORMAT, "token 8");
    LIE(good_chars, test_vocab_merge(&v, "ab", 2), LLM_E_FORMAT, "merge 3");
    LIE(good_chars, test_vocab_merge(&v, "c a", 3), LLM_E_FORMAT, "merge 3 has a piece");
    LIE(good_chars, test_vocab_merge(&v, "b a", 3), LLM_E_FORMAT, "merge 3 makes");
    LIE(good_chars, (test_vocab_merge(&v, "b a", 3), test_vocab_merge(&v, "a", 1)), LLM_E_FORMAT, "merge 3 makes");
    LIE(good_chars, test_vocab_merge(&v, long_text, 200000), LLM_E_FORMAT, "merge 3");
    LIE(good_chars, test_vocab_token(&v, "\xff", 1, 0, LLM_TOKEN_NORMAL), LLM_E_FORMAT, "is not valid UTF-8");
    free(long_text);
}

/* What a file may say and is borne: ids outside, duplicates, no types, no scores. */
static void check_borne(lm_host *host)
{
    test_vocab v;
    lm_tokenizer *t;
    good_spm(&v);
    v.desc.special[LLM_SPECIAL_BOS] = 1000000;
    v.desc.special[LLM_SPECIAL_EOS] = INT64_MAX;
    v.desc.special[LLM_SPECIAL_PAD] = -5;
    test_vocab_add(&v, "ab", -1, LLM_TOKEN_NORMAL);
    if ((t = make(host, &v)) != NULL) {
        static const llm_token last[] = { 4, 6, 10 };
        CHECK(lm_tokenizer_special(t, LLM_SPECIAL_BOS) == LLM_TOKEN_NONE && !lm_tokenizer_adds_bos(t));
        CHECK(lm_tokenizer_special(t, LLM_SPECIAL_EOS) == LLM_TOKEN_NONE && lm_tokenizer_special(t, LLM_SPECIAL_PAD) == LLM_TOKEN_NONE);
        test_encodes(t, "duplicates: the last", "bab", 3, LLM_ENCODE_ADD_SPECIAL, last, 3);
    }
    lm_tokenizer_free(t);
    v.desc.types = NULL;
    v.desc.scores = NULL;
    if ((t = make(host, &v)) != NULL)
        CHECK(lm_tokenizer_kind(t, 4) == LLM_TOKEN_NORMAL && lm_tokenizer_kind(t, 2) == LLM_TOKEN_CONTROL);   /* "</s>" ends, so it controls */
    lm_tokenizer_free(t);
    test_vocab_free(&v);
    good_spm(&v);                                           /* a byte token that is none stands for its text, and text is never it */
    v.types[7] = LLM_TOKEN_BYTE;
    if ((t = make(host, &v)) != NULL) {
        static const llm_token apart[] = { 4, 5, 6 };
        llm_str bytes = lm_tokenizer_bytes(t, 7, 0);
        CHECK(bytes.len == 2 && memcmp(bytes.ptr, "ab", 2) == 0 && lm_tokenizer_kind(t, 7) == LLM_TOKEN_BYTE);
        test_encodes(t, "no byte token by its text", "a" "b", 2, 0, apart, 3);
    }
    lm_tokenizer_free(t);
    test_vocab_free(&v);
    test_vocab_init(&v, LM_VOCAB_SPM, NULL);                /* too small for the usual ids */
    test_vocab_add(&v, "a", 0, LLM_TOKEN_NORMAL);
    if ((t = make(host, &v)) != NULL)
        CHECK(lm_tokenizer_special(t, LLM_SPECIAL_EOS) == LLM_TOKEN_NONE);
    lm_tokenizer_free(t);
    test_vocab_free(&v);
}

/* ---- what it says ---- */

static void check_basics(lm_host *host)
{
    static const llm_token spaced[] = { 1, 8, 3, 5, 0, 5 }, bpe_plain[] = { 256, '<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', '>' };
    static const llm_token bpe_parsed[] = { 257, 258, 259, 256 }, bpe_user[] = { 259 }, bad[] = { 5, 5, 99 };
    llm_token out[64], untouched = 12345;
    char text[64];
    size_t n = 0;
    llm_error error;
    test_vocab v, chars;
    lm_tokenizer *t;
    good_spm(&v);
    if ((t = make(host, &v)) != NULL) {
        test_encodes(t, "spm", "ab\na\xc3\xa9\xf0\x9f\x98\x80\xff" "a", 12, LLM_ENCODE_ADD_SPECIAL, spaced, 6);
        out[0] = untouched;
        CHECK(lm_tokenizer_encode(t, "ab\na", 4, 1, out, 2, &n, &error) == LLM_E_SPACE && n == 4 && out[0] == untouched);
        CHECK(lm_tokenizer_encode(t, "ab\na", 4, 1, NULL, 0, &n, &error) == LLM_E_SPACE && n == 4);
        CHECK(lm_tokenizer_encode(t, "ab\na", 4, 1, out, 4, &n, &error) == LLM_OK && n == 4 && out[1] == 8);
        CHECK(lm_tokenizer_encode(t, NULL, 0, 0, NULL, 0, &n, &error) == LLM_OK && n == 0);
        CHECK(lm_tokenizer_encode(t, "a", (size_t)1 << 31, 0, NULL, 0, &n, &error) == LLM_E_LIMIT);
        memset(text, '#', sizeof text);
        CHECK(lm_tokenizer_decode(t, out, 4, 0, text, 4, &n, &error) == LLM_OK && n == 4 && memcmp(text, "ab\na#", 5) == 0);
        CHECK(lm_tokenizer_decode(t, out, 4, LLM_DECODE_SHOW_SPECIAL, text, 64, &n, &error) == LLM_OK && n == 7 && strcmp(text, "<s>ab\na") == 0);
        CHECK(lm_tokenizer_decode(t, out, 4, 0, text, 3, &n, &error) == LLM_E_SPACE && n == 4);
        CHECK(lm_tokenizer_decode(t, bad, 3, 0, text, 64, &n, &error) == LLM_E_INVALID && strstr(error.message, "99") != NULL);
        CHECK(lm_tokenizer_bytes(t, 8, 0).len == 3 && memcmp(lm_tokenizer_bytes(t, 8, 0).ptr, " ab", 4) == 0);
        CHECK(lm_tokenizer_bytes(t, 3, 0).len == 1 && *lm_tokenizer_bytes(t, 3, 0).ptr == '\n' && lm_tokenizer_bytes(t, 1, 0).len == 0);
        CHECK(lm_tokenizer_ends(t, 2) && !lm_tokenizer_ends(t, 1) && !lm_tokenizer_ends(t, -1) && !lm_tokenizer_ends(t, 1000));
        CHECK(lm_tokenizer_special(t, 0) == LLM_TOKEN_NONE && lm_tokenizer_special(t, 16) == LLM_TOKEN_NONE);
    }
    lm_tokenizer_free(t);
    test_vocab_free(&v);
    good_bpe(&v);
    if ((t = make(host, &v)) != NULL) {
        test_encodes(t, "control text stays text", "ab<|im_end|>", 12, 0, bpe_plain, 11);
        test_encodes(t, "control text parsed", " ab<|im_end|><tool>ab", 21, LLM_ENCODE_PARSE_SPECIAL, bpe_parsed, 4);
        test_encodes(t, "user tokens always", "<tool>", 6, 0, bpe_user, 1);
        CHECK(lm_tokenizer_kind(t, 258) == LLM_TOKEN_CONTROL && lm_tokenizer_ends(t, 258) && lm_tokenizer_special(t, LLM_SPECIAL_EOT) == 258);
        CHECK(lm_tokenizer_special(t, LLM_SPECIAL_NEWLINE) == '\n' && !lm_tokenizer_adds_bos(t) && !lm_tokenizer_strips_space(t));
    }
    lm_tokenizer_free(t);
    good_chars(&chars);
    if ((t = make(host, &chars)) != NULL) {
        static const llm_token want[] = { 9, 10, 5, 7, 6, 11, 0, 3, 0, 7, 7 };
        test_encodes(t, "characters", " ab  a\nb\n\n\nc\xc3\xa9\n\n", 16, 0, want, 11);
        CHECK(lm_tokenizer_special(t, LLM_SPECIAL_NEWLINE) == 7 && !lm_tokenizer_adds_bos(t) && !lm_tokenizer_strips_space(t));
        CHECK(lm_tokenizer_bytes(t, 9, 0).len == 3 && memcmp(lm_tokenizer_bytes(t, 9, 0).ptr, " ab", 4) == 0);
    }
    lm_tokenizer_free(t);
    test_vocab_free(&chars);
    test_vocab_add(&v, "<|return|>", 0, LLM_TOKEN_CONTROL);
    test_vocab_add(&v, "<|call|>", 0, LLM_TOKEN_CONTROL);
    test_vocab_add(&v, "<|end|>", 0, LLM_TOKEN_CONTROL);
    test_vocab_add(&v, "<|fim_pad|>", 0, LLM_TOKEN_CONTROL);
    test_vocab_add(&v, "<|fim_prefix|>", 0, LLM_TOKEN_NORMAL);
    if ((t = make(host, &v)) != NULL) {
        CHECK(lm_tokenizer_ends(t, 260) && lm_tokenizer_ends(t, 261) && !lm_tokenizer_ends(t, 262) && lm_tokenizer_ends(t, 263));
        CHECK(lm_tokenizer_special(t, LLM_SPECIAL_FIM_PREFIX) == 264 && lm_tokenizer_kind(t, 264) == LLM_TOKEN_CONTROL);
    }
    lm_tokenizer_free(t);
    test_vocab_free(&v);
}

/* A file says "gemma4" and no more: then that is how its text is cut, and BOS is added, whatever it says of that. */
static void check_gemma4(lm_host *host)
{
    static const llm_token want[] = { 2, 10, 11, 6, 8, 7, 12, 3 };
    llm_source source = LLM_INIT(llm_source);
    const llm_source *parts[1] = { &source };
    lm_catalogue *catalogue = NULL;
    lm_tokenizer *t = NULL;
    llm_error error = { 0 };
    source.path = LLM_TEST_TREE "/text/data/gemma4.gguf";
    source.path_len = LLM_NUL;
    if (CHECK_MSG(lm_catalogue_open(host, parts, 1, &catalogue, &error) == LLM_OK && lm_vocab_open(host, catalogue, &t, &error) == LLM_OK, "%s", error.message))
        test_encodes(t, "gemma4", " ab  a\nb\n\n\nc", 12, LLM_ENCODE_ADD_SPECIAL, want, 8);
    lm_tokenizer_free(t);
    lm_catalogue_free(catalogue);
}

/* ---- merging as it is defined: the best pair, again and again ---- */

/* Letters as symbols; tokens are strings over them. Words are of letters only, so that no pre-tokenizer cuts them. */
static size_t plain_merge(const test_vocab *v, const char *text, size_t len, size_t *cuts)
{
    size_t n = 0;
    for (size_t i = 0; i <= len; i++)
        cuts[n++] = i;
    n--;                                                    /* symbols; cuts[n] is the end */
    for (;;) {
        size_t best = SIZE_MAX;
        double best_order = 0;
        for (size_t i = 0; i + 2 <= n; i++) {
            const char *left = text + cuts[i];
            size_t n_left = cuts[i + 1] - cuts[i], n_both = cuts[i + 2] - cuts[i];
            double order = -1;
            if (v->n_merges == 0 && v->desc.kind == LM_VOCAB_BPE) {     /* ids are ranks */
                for (size_t id = 0; id < v->n_tokens && order < 0; id++)
                    if (v->tokens[id].len == n_both && memcmp(v->tokens[id].ptr, left, n_both) == 0)
                        order = (double)id;
            } else if (v->desc.kind == LM_VOCAB_BPE) {
                for (size_t m = 0; m < v->n_merges && order < 0; m++)
                    if (v->merges[m].len == n_both + 1 && v->merges[m].ptr[n_left] == ' ' && memcmp(v->merges[m].ptr, left, n_left) == 0 &&
                        memcmp(v->merges[m].ptr + n_left + 1, left + n_left, n_both - n_left) == 0)
                        order = (double)m;
            } else {
                for (size_t id = 0; id < v->n_tokens && order < 0; id++)
                    if (v->types[id] == LLM_TOKEN_NORMAL && v->tokens[id].len == n_both && memcmp(v->tokens[id].ptr, left, n_both) == 0)
                        order = 1000 - v->scores[id];
            }
            if (order >= 0 && (best == SIZE_MAX || order < best_order)) {
                best = i;
                best_order = order;
            }
        }
        if (best == SIZE_MAX)
            return n;
        memmove(cuts + best + 1, cuts + best + 2, (n - best - 1) * sizeof *cuts);
        n--;
    }
}

static uint32_t plain_id(const test_vocab *v, const char *text, size_t len)
{
    for (size_t id = 0; id < v->n_tokens; id++)
        if (v->tokens[id].len == len && memcmp(v->tokens[id].ptr, text, len) == 0)
            return (uint32_t)id;
    return UINT32_MAX;
}

static void check_merging(lm_host *host, int32_t kind, const char *pre, uint64_t seed)
{
    for (int round = 0; round < 60; round++) {
        test_vocab v;
        lm_tokenizer *t;
        test_vocab_init(&v, kind, pre);
        v.desc.add_space_prefix = 0;
        if (kind == LM_VOCAB_BPE) {
            test_vocab_bytes(&v);
        } else {
            test_vocab_add(&v, "<unk>", 0, LLM_TOKEN_UNKNOWN);
            for (const char *letter = "abc"; *letter; letter++)
                test_vocab_token(&v, letter, 1, 0, LLM_TOKEN_NORMAL);
        }
        for (int i = 0; i < 40; i++) {                      /* new tokens from two old ones */
            size_t first = kind == LM_VOCAB_BPE ? 'a' : 1, base = kind == LM_VOCAB_BPE ? 256 : 4, a, b;
            char text[600];
            size_t len;
            a = test_random(&seed) % (3 + v.n_tokens - base);
            b = test_random(&seed) % (3 + v.n_tokens - base);
            a = a < 3 ? first + a : base + a - 3;
            b = b < 3 ? first + b : base + b - 3;
            len = v.tokens[a].len + v.tokens[b].len;
            if (len > 24)
                continue;
            memcpy(text, v.tokens[a].ptr, v.tokens[a].len);
            memcpy(text + v.tokens[a].len, v.tokens[b].ptr, v.tokens[b].len);
            if (plain_id(&v, text, len) == UINT32_MAX)
                test_vocab_token(&v, text, len, -(float)(test_random(&seed) % 20), LLM_TOKEN_NORMAL);
            memmove(text + v.tokens[a].len + 1, text + v.tokens[a].len, v.tokens[b].len);
            text[v.tokens[a].len] = ' ';
            if (strcmp(pre, "kimi-k2") != 0)
                test_vocab_merge(&v, text, len + 1);
        }
        if ((t = make(host, &v)) != NULL)
            for (int i = 0; i < 40; i++) {
                char text[256];
                size_t cuts[257], len = test_random(&seed) % (i % 2 ? 30 : 250) + 1, n;
                llm_token want[256];
                for (size_t j = 0; j < len; j++)
                    text[j] = (char)('a' + test_random(&seed) % (i % 3 + 1));
                n = plain_merge(&v, text, len, cuts);
                for (size_t j = 0; j < n; j++)
                    want[j] = (llm_token)plain_id(&v, text + cuts[j], cuts[j + 1] - cuts[j]);
                if (!test_encodes(t, kind == LM_VOCAB_BPE ? "plain merging, bpe" : "plain merging, spm", text, len, 0, want, n))
                    break;
            }
        lm_tokenizer_free(t);
        test_vocab_free(&v);
    }
}

/* ---- special tokens as they are defined: one after the other, the longest first ---- */

/* open: where control tokens are looked for. */
static size_t plain_split(const test_vocab *v, const char *text, size_t len, const bool *open, llm_token *out)
{
    int owner[512];                                         /* token that covers a byte, -1 */
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        owner[i] = -1;
    for (size_t size = 32; size > 0; size--)
        for (size_t id = 256; id < v->n_tokens; id++) {
            if (v->tokens[id].len != size)
                continue;
            for (size_t at = 0; at + size <= len;) {
                bool free_place = memcmp(text + at, v->tokens[id].ptr, size) == 0;
                for (size_t i = 0; i < size && free_place; i++)
                    free_place = owner[at + i] < 0 && (open[at + i] || v->types[id] == LLM_TOKEN_USER);
                if (!free_place) {
                    at++;
                    continue;
                }
                for (size_t i = 0; i < size; i++)
                    owner[at + i] = (int)id;
                at += size;
            }
        }
    for (size_t at = 0; at < len;) {
        out[n++] = owner[at] < 0 ? (llm_token)(unsigned char)text[at] : owner[at];
        at += owner[at] < 0 ? 1 : v->tokens[owner[at]].len;
    }
    return n;
}

static void check_splitting(lm_host *host, uint64_t seed)
{
    for (int round = 0; round < 200; round++) {
        test_vocab v;
        lm_tokenizer *t;
        test_vocab_init(&v, LM_VOCAB_BPE, "gpt-2");
        test_vocab_bytes(&v);
        for (int i = 0; i < 12; i++) {
            char text[32];
            size_t len = test_random(&seed) % (round % 8 + 1) + 1;
            for (size_t j = 0; j < len; j++)
                text[j] = "<|>a"[test_random(&seed) % (round % 3 + 2)];
            if (plain_id(&v, text, len) == UINT32_MAX)
                test_vocab_token(&v, text, len, 0, test_random(&seed) % 2 ? LLM_TOKEN_USER : LLM_TOKEN_CONTROL);
        }
        if ((t = make(host, &v)) != NULL)
            for (int i = 0; i < 30; i++) {
                char text[300];
                llm_token want[300], got[300];
                size_t len = test_random(&seed) % 299 + 1, n, n_got = 0, n_spans = 0;
                bool parse = i % 2 == 0, open[300];
                lm_span spans[300];
                llm_error error;
                for (size_t j = 0; j < len; j++)
                    text[j] = "<|>ab"[test_random(&seed) % (round % 3 + 3)];
                for (size_t j = 0; j < len && i % 4 == 0; j++) {      /* spans of 8 bytes or so */
                    open[j] = test_random(&seed) % 8 ? j > 0 && open[j - 1] : test_random(&seed) % 2;
                    if (open[j] && (j == 0 || !open[j - 1]))
                        spans[n_spans++].from = j;
                    if (open[j])
                        spans[n_spans - 1].to = j + 1;
                }
                n = i % 4 == 0 ? plain_split(&v, text, len, open, want) : 0;
                if (i % 4 == 0 && !CHECK_MSG(lm_tokenizer_encode_spans(t, text, len, 0, spans, n_spans, got, 300, &n_got, &error) == LLM_OK && n_got == n
                               && memcmp(got, want, n * sizeof *got) == 0, "%zu spans in '%.*s'", n_spans, (int)len, text))
                    break;
                for (size_t j = 0; j < len; j++)
                    open[j] = parse;
                n = plain_split(&v, text, len, open, want);
                if (!test_encodes(t, "plain splitting", text, len, parse ? LLM_ENCODE_PARSE_SPECIAL : 0, want, n) ||
                    !test_round_trip(t, "splitting", text, len, LLM_ENCODE_PARSE_SPECIAL))
                    break;
            }
        lm_tokenizer_free(t);
        test_vocab_free(&v);
    }
}

/* ---- the n-th allocation fails ---- */

typedef struct failing { long left; } failing;
static void *failing_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    failing *f = user;
    void *ptr = NULL;
    (void)kind;
    if (f->left-- == 0)
        return NULL;
    ptr = malloc(size + align + sizeof(void *));
    if (ptr) {
        uintptr_t at = ((uintptr_t)ptr + sizeof(void *) + align - 1) & ~(uintptr_t)(align - 1);
        ((void **)at)[-1] = ptr;
        return (void *)at;
    }
    return NULL;
}
static void failing_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)size, (void)align, (void)kind;
    free(((void **)ptr)[-1]);
}

static void check_failing(const test_vocab *v)
{
    failing f = { -1 };
    llm_allocator hooks = LLM_INIT(llm_allocator);
    lm_host host = { 0 };
    lm_tokenizer *t = NULL;
    char *text = malloc(5000);
    llm_token *ids = malloc(6000 * sizeof *ids), *again = malloc(6000 * sizeof *ids);
    size_t n = 0, n_again = 0;
    llm_error error;
    llm_status status = LLM_E_MEMORY;
    hooks.user = &f;
    hooks.allocate = failing_allocate;
    hooks.release = failing_release;
    lm_mem_init(&host.mem, &hooks, 0);
    for (long i = 0; status == LLM_E_MEMORY && i < 1000; i++) {
        f.left = i;
        status = lm_tokenizer_create(&host, &v->desc, &t, &error);
        CHECK(status == LLM_OK || (status == LLM_E_MEMORY && error.message[0] && atomic_load(&host.mem.used) == 0 && !t));
    }
    for (size_t i = 0; i < 5000; i++)
        text[i] = "ab <tool><|im_end|>x</s>\xc3\xa9"[i % 26];
    f.left = -1;
    if (CHECK(status == LLM_OK && lm_tokenizer_encode(t, text, 5000, 3, ids, 6000, &n, &error) == LLM_OK)) {
        uint64_t used = atomic_load(&host.mem.used);
        for (size_t cap = 6000; cap >= n; cap = cap == n ? 0 : n) {
            status = LLM_E_MEMORY;
            for (long i = 0; status == LLM_E_MEMORY && i < 1000; i++) {
                f.left = i;
                status = lm_tokenizer_encode(t, text, 5000, 3, again, cap, &n_again, &error);
                CHECK(status == LLM_OK || status == LLM_E_MEMORY);
                CHECK(atomic_load(&host.mem.used) == used);
            }
            f.left = -1;
            CHECK(status == LLM_OK && n_again == n && memcmp(ids, again, n * sizeof *ids) == 0);
        }
    }
    f.left = -1;
    lm_tokenizer_free(t);
    CHECK(atomic_load(&host.mem.used) == 0);
    free(text);
    free(ids);
    free(again);
}

/* Vocabularies of noise: any status, no crash, nothing left. */
static void check_noise(lm_host *host, uint64_t seed)
{
    for (int round = 0; round < 3000; round++) {
        test_vocab v;
        lm_tokenizer *t = NULL;
        llm_error error;
        size_t n_tokens = test_random(&seed) % 40;
        test_vocab_init(&v, (int32_t)(test_random(&seed) % 2 + 1), round % 3 == 0 ? "gemma4" : round % 3 == 1 ? "default" : "qwen2");
        if (test_random(&seed) % 2)
            test_vocab_bytes(&v);
        for (size_t i = 0; i < n_tokens; i++) {
            char text[16];
            size_t len = test_random(&seed) % 5 + (test_random(&seed) % 50 != 0);
            for (size_t j = 0; j < len; j++)
                text[j] = "ab <>|\xe2\x96\x81" "0"[test_random(&seed) % (test_random(&seed) % 20 ? 6 : 10)];
            test_vocab_token(&v, text, len, (float)(test_random(&seed) % 5), (int32_t)(test_random(&seed) % 5));
        }
        for (size_t i = 0; i < n_tokens && v.n_tokens; i++) {
            char text[40];
            llm_str a = v.tokens[test_random(&seed) % v.n_tokens], b = v.tokens[test_random(&seed) % v.n_tokens];
            memcpy(text, a.ptr, a.len);
            text[a.len] = ' ';
            memcpy(text + a.len + 1, b.ptr, b.len);
            if (test_random(&seed) % 4 == 0)
                test_vocab_merge(&v, text, a.len + 1 + b.len);
        }
        for (int i = 0; i < LM_N_SPECIAL; i++)
            v.desc.special[i] = (int64_t)(test_random(&seed) % 400) - 20;
        v.desc.add_eos = (int8_t)(test_random(&seed) % 2);
        if (lm_tokenizer_create(host, &v.desc, &t, &error) == LLM_OK)
            for (int i = 0; i < 20; i++) {
                char text[80], back[800];
                llm_token ids[300];
                size_t len = test_random(&seed) % 80, n = 0, n_back;
                for (size_t j = 0; j < len; j++)
                    text[j] = "ab <>|\xe2\x96\x81" "0\xff"[test_random(&seed) % 11];
                CHECK(lm_tokenizer_encode(t, text, len, (uint32_t)i % 4, ids, 300, &n, &error) == LLM_OK && n <= 2 * len + 3);
                CHECK(lm_tokenizer_decode(t, ids, n, (uint32_t)i % 2, back, 800, &n_back, &error) == LLM_OK);
            }
        else
            CHECK(error.status < 0 && error.message[0]);
        lm_tokenizer_free(t);
        test_vocab_free(&v);
    }
}

/* Tokens of the same bytes: the last ordinary one is what merges make, wherever merges stand. Pieces of all lengths. */
static void check_twins(lm_host *host)
{
    static const llm_token short_want[] = { 258, 'c' }, long_want[] = { 260 };
    test_vocab v;
    lm_tokenizer *t;
    test_vocab_init(&v, LM_VOCAB_BPE, "gpt-2");
    test_vocab_bytes(&v);
    test_vocab_add(&v, "ab", 0, LLM_TOKEN_NORMAL);
    test_vocab_add(&v, "\xce\x94", 0, LLM_TOKEN_NORMAL);     /* a character for no byte: has the bytes of the next */
    test_vocab_add(&v, "ab", 0, LLM_TOKEN_NORMAL);
    test_vocab_add(&v, "ab", 0, LLM_TOKEN_CONTROL);
    test_vocab_add(&v, "\xc3\x8e\xc4\xb6", 0, LLM_TOKEN_NORMAL);
    test_vocab_merge(&v, "a b", 3);
    test_vocab_merge(&v, "\xc3\x8e \xc4\xb6", 5);
    if ((t = make(host, &v)) != NULL) {
        test_encodes(t, "twins", "abc", 3, 0, short_want, 2);
        test_encodes(t, "twins by bytes", "\xce\x94", 2, 0, long_want, 1);
    }
    lm_tokenizer_free(t);
    test_vocab_free(&v);
    test_vocab_init(&v, LM_VOCAB_BPE, "gpt-2");
    test_vocab_bytes(&v);
    for (size_t n = 2; n <= 40; n++) {                      /* "xyyy...": each a letter longer, the merges from the longest on */
        char text[64] = "x";
        memset(text + 1, 'y', n - 1);
        test_vocab_token(&v, text, n, 0, LLM_TOKEN_NORMAL);
    }
    for (size_t n = 40; n >= 2; n--) {
        char text[64] = "x";
        memset(text + 1, 'y', n - 2);
        memcpy(text + n - 1, " y", 2);
        test_vocab_merge(&v, text, n + 1);
    }
    if ((t = make(host, &v)) != NULL)
        for (llm_token n = 2; n <= 40; n++) {
            char text[64] = "x";
            llm_token want = 256 + n - 2;
            memset(text + 1, 'y', (size_t)n - 1);
            test_encodes(t, "long pieces", text, (size_t)n, 0, &want, 1);
        }
    lm_tokenizer_free(t);
    test_vocab_free(&v);
}

int main(void)
{
    lm_host *host = test_host();
    test_vocab v;
    check_lies(host);
    check_borne(host);
    check_basics(host);
    check_gemma4(host);
    check_twins(host);
    check_merging(host, LM_VOCAB_BPE, "gpt-2", 1);
    check_merging(host, LM_VOCAB_BPE, "kimi-k2", 5);
    check_merging(host, LM_VOCAB_SPM, "", 2);
    check_splitting(host, 3);
    check_noise(host, 4);
    good_spm(&v);
    check_failing(&v);
    test_vocab_free(&v);
    good_bpe(&v);
    check_failing(&v);
    test_vocab_free(&v);
    good_chars(&v);
    check_failing(&v);
    test_vocab_free(&v);
    CHECK(atomic_load(&host->mem.used) == 0);
    return TEST_DONE();
}
