/* SPDX-License-Identifier: MIT
 * Vocabularies for the tests of src/text: from GGUF files, from ranks (tiktoken), from goldens, and made up. */
#ifndef TEXT_DATA_H
#define TEXT_DATA_H

#include "text/tokenizer.h"

#include "files/catalogue.h"

#include "test.h"

#include <stdint.h>

typedef struct test_vocab {
    lm_vocab_desc desc;
    llm_str *tokens, *merges;
    float *scores;
    int32_t *types;
    size_t n_tokens, cap_tokens, n_merges, cap_merges;
    lm_catalogue *catalogue;            /* holds the strings, if not NULL */
} test_vocab;

static inline void test_vocab_init(test_vocab *v, int32_t kind, const char *pre)
{
    memset(v, 0, sizeof *v);
    v->desc.kind = kind;
    v->desc.pre = pre ? (llm_str){ pre, strlen(pre) } : (llm_str){ NULL, 0 };
    for (int i = 0; i < LM_N_SPECIAL; i++)
        v->desc.special[i] = -1;
    v->desc.add_bos = v->desc.add_eos = v->desc.add_space_prefix = v->desc.ignore_merges = LM_FLAG_UNSET;
}

static inline llm_str test_copy(const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = 0;
    return (llm_str){ copy, len };
}

static inline void test_vocab_token(test_vocab *v, const char *text, size_t len, float score, int32_t type)
{
    if (v->n_tokens == v->cap_tokens) {
        v->cap_tokens = v->cap_tokens ? v->cap_tokens * 2 : 1024;
        v->tokens = realloc(v->tokens, v->cap_tokens * sizeof *v->tokens);
        v->scores = realloc(v->scores, v->cap_tokens * sizeof *v->scores);
        v->types = realloc(v->types, v->cap_tokens * sizeof *v->types);
    }
    v->tokens[v->n_tokens] = test_copy(text, len);
    v->scores[v->n_tokens] = score;
    v->types[v->n_tokens++] = type;
    v->desc.tokens = v->tokens;
    v->desc.scores = v->scores;
    v->desc.types = v->types;
    v->desc.n_tokens = (uint32_t)v->n_tokens;
    v->desc.n_scores = v->desc.n_types = v->n_tokens;
}

static inline void test_vocab_add(test_vocab *v, const char *text, float score, int32_t type) { test_vocab_token(v, text, strlen(text), score, type); }

static inline void test_vocab_merge(test_vocab *v, const char *text, size_t len)
{
    if (v->n_merges == v->cap_merges) {
        v->cap_merges = v->cap_merges ? v->cap_merges * 2 : 1024;
        v->merges = realloc(v->merges, v->cap_merges * sizeof *v->merges);
    }
    v->merges[v->n_merges++] = test_copy(text, len);
    v->desc.merges = v->merges;
    v->desc.n_merges = v->n_merges;
}

static inline void test_vocab_free(test_vocab *v)
{
    for (size_t i = 0; i < v->n_tokens; i++)
        free((void *)(uintptr_t)v->tokens[i].ptr);
    for (size_t i = 0; i < v->n_merges; i++)
        free((void *)(uintptr_t)v->merges[i].ptr);
    free(v->tokens);
    free(v->scores);
    free(v->types);
    free(v->merges);
    lm_catalogue_free(v->catalogue);
    memset(v, 0, sizeof *v);
}

/* The printable character that stands for a byte in byte-level BPE, as UTF-8; returns its length. */
static inline size_t test_byte_char(unsigned byte, char out[2])
{
    unsigned cp = byte, hidden = 0;
    for (unsigned b = 0; b <= byte; b++) {
        int plain = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        cp = plain ? b : 256 + hidden;
        hidden += !plain;
    }
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    out[0] = (char)(0xc0 | cp >> 6);
    out[1] = (char)(0x80 | (cp & 63));
    return 2;
}

static inline size_t test_map_bytes(const unsigned char *bytes, size_t n, char *out)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        at += test_byte_char(bytes[i], out + at);
    return at;
}

/* 256 single bytes as the first tokens. */
static inline void test_vocab_bytes(test_vocab *v)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[2];
        test_vocab_token(v, text, test_byte_char(byte, text), 0, LLM_TOKEN_NORMAL);
    }
}

static inline const lm_key *test_key(const lm_catalogue *c, const char *name) { return lm_catalogue_key(c, name, LLM_NUL); }

static inline void test_vocab_flag(const lm_catalogue *c, const char *name, int8_t *flag)
{
    bool value;
    if (lm_catalogue_bool(c, name, 0, &value, NULL) == LLM_OK)
        *flag = value;
}

/* False: the file is not there. */
static inline bool test_vocab_gguf(test_vocab *v, lm_host *host, const char *path)
{
    static const struct { const char *key; int which; } ids[] = {
        { "tokenizer.ggml.bos_token_id", LLM_SPECIAL_BOS }, { "tokenizer.ggml.eos_token_id", LLM_SPECIAL_EOS },
        { "tokenizer.ggml.unknown_token_id", LLM_SPECIAL_UNK }, { "tokenizer.ggml.padding_token_id", LLM_SPECIAL_PAD },
    };
    llm_source source = LLM_INIT(llm_source);
    const llm_source *parts[1] = { &source };
    const lm_key *key;
    llm_str model = { "", 0 };
    llm_error error;
    FILE *file = fopen(path, "rb");
    test_vocab_init(v, 0, NULL);
    if (!file)
        return false;
    fclose(file);
    source.path = path;
    source.path_len = LLM_NUL;
    if (!CHECK_MSG(lm_catalogue_open(host, parts, 1, &v->catalogue, &error) == LLM_OK, "%s: %s", path, error.message))
        return false;
    lm_catalogue_str(v->catalogue, "tokenizer.ggml.model", &model, NULL);
    lm_catalogue_str(v->catalogue, "tokenizer.ggml.pre", &v->desc.pre, NULL);
    v->desc.kind = model.len == 5 && memcmp(model.ptr, "llama", 5) == 0 ? LM_VOCAB_SPM : LM_VOCAB_BPE;
    key = test_key(v->catalogue, "tokenizer.ggml.tokens");
    v->desc.tokens = key->items;
    v->desc.n_tokens = (uint32_t)key->n_items;
    if ((key = test_key(v->catalogue, "tokenizer.ggml.scores")) != NULL)
        v->desc.scores = key->items, v->desc.n_scores = key->n_items;
    if ((key = test_key(v->catalogue, "tokenizer.ggml.token_type")) != NULL)
        v->desc.types = key->items, v->desc.n_types = key->n_items;
    if ((key = test_key(v->catalogue, "tokenizer.ggml.merges")) != NULL)
        v->desc.merges = key->items, v->desc.n_merges = key->n_items;
    for (size_t i = 0; i < LM_COUNT(ids); i++) {
        uint64_t id;
        if (lm_catalogue_u64(v->catalogue, ids[i].key, 0, 0, INT32_MAX, &id, NULL) == LLM_OK)
            v->desc.special[ids[i].which] = (int64_t)id;
    }
    test_vocab_flag(v->catalogue, "tokenizer.ggml.add_bos_token", &v->desc.add_bos);
    test_vocab_flag(v->catalogue, "tokenizer.ggml.add_eos_token", &v->desc.add_eos);
    test_vocab_flag(v->catalogue, "tokenizer.ggml.add_space_prefix", &v->desc.add_space_prefix);
    return true;
}

/* ---- ranks: lines of base64 and a rank. The merges of a token are all its cuts into two tokens, in the order of the left one's
 * rank, the right one's: what converters write. ---- */

typedef struct test_rank { unsigned char bytes[160]; size_t len; } test_rank;

static inline uint64_t test_rank_hash(const unsigned char *bytes, size_t len)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash ^ hash >> 29;
}

static inline uint32_t test_rank_find(const test_rank *ranks, const uint32_t *table, uint32_t mask, const unsigned char *bytes, size_t len)
{
    uint32_t slot = (uint32_t)test_rank_hash(bytes, len) & mask;
    for (; table[slot]; slot = (slot + 1) & mask)
        if (ranks[table[slot] - 1].len == len && memcmp(ranks[table[slot] - 1].bytes, bytes, len) == 0)
            return table[slot] - 1;
    return UINT32_MAX;
}

typedef struct test_cut { uint32_t left, right; } test_cut;
static inline int test_cut_order(const void *a, const void *b)
{
    const test_cut *x = a, *y = b;
    return x->left != y->left ? (x->left < y->left ? -1 : 1) : x->right != y->right ? (x->right < y->right ? -1 : 1) : 0;
}

static inline size_t test_base64(const char *text, size_t len, unsigned char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0, n_bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < len && text[i] != '='; i++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, text[i]) - digits);
        n_bits += 6;
        if (n_bits >= 8)
            out[n++] = (unsigned char)(bits >> (n_bits -= 8));
    }
    return n;
}

static inline bool test_vocab_ranks(test_vocab *v, const char *path, const char *pre)
{
    enum { MASK = (1 << 19) - 1, MOST = 200000 };
    size_t size, n = 0;
    char *data = test_read_file(path, &size), *line = data;
    test_rank *ranks;
    uint32_t *table;
    test_vocab_init(v, LM_VOCAB_BPE, pre);
    if (!data)
        return false;
    ranks = calloc(MOST, sizeof *ranks);
    table = calloc((size_t)MASK + 1, sizeof *table);
    while (line < data + size && n < MOST) {
        char *space = strchr(line, ' '), *end = strchr(line, '\n');
        uint32_t slot;
        if (!space || !end)
            break;
        ranks[n].len = test_base64(line, (size_t)(space - line), ranks[n].bytes);
        for (slot = (uint32_t)test_rank_hash(ranks[n].bytes, ranks[n].len) & MASK; table[slot]; slot = (slot + 1) & MASK)
            ;
        table[slot] = (uint32_t)++n;
        line = end + 1;
    }
    for (size_t i = 0; i < n; i++) {
        char text[512];
        test_cut cuts[160];
        size_t n_cuts = 0;
        test_vocab_token(v, text, test_map_bytes(ranks[i].bytes, ranks[i].len, text), 0, LLM_TOKEN_NORMAL);
        for (size_t at = 1; at < ranks[i].len; at++) {
            uint32_t left = test_rank_find(ranks, table, MASK, ranks[i].bytes, at);
            uint32_t right = test_rank_find(ranks, table, MASK, ranks[i].bytes + at, ranks[i].len - at);
            if (left != UINT32_MAX && right != UINT32_MAX)
                cuts[n_cuts++] = (test_cut){ left, right };
        }
        qsort(cuts, n_cuts, sizeof *cuts, test_cut_order);
        for (size_t j = 0; j < n_cuts; j++) {
            size_t len = test_map_bytes(ranks[cuts[j].left].bytes, ranks[cuts[j].left].len, text);
            text[len++] = ' ';
            len += test_map_bytes(ranks[cuts[j].right].bytes, ranks[cuts[j].right].len, text + len);
            test_vocab_merge(v, text, len);
        }
    }
    free(ranks);
    free(table);
    free(data);
    return true;
}

/* ---- the little of JSON that a tokenizer.json needs: strings, in order ---- */

static inline size_t test_json_utf8(uint32_t cp, char *out)
{
    if (cp < 0x80)
        return out[0] = (char)cp, 1;
    if (cp < 0x800)
        return out[0] = (char)(0xc0 | cp >> 6), out[1] = (char)(0x80 | (cp & 63)), 2;
    return out[0] = (char)(0xe0 | cp >> 12), out[1] = (char)(0x80 | (cp >> 6 & 63)), out[2] = (char)(0x80 | (cp & 63)), 3;
}

/* The string at *at (a quote), unescaped into out; moves *at behind it. */
static inline size_t test_json_string(const char **at, char *out)
{
    size_t n = 0;
    const char *p = *at + 1;
    while (*p != '"') {
        if (*p != '\\') {
            out[n++] = *p++;
        } else if (p[1] == 'u') {
            char digits[5] = { p[2], p[3], p[4], p[5], 0 };
            n += test_json_utf8((uint32_t)strtol(digits, NULL, 16), out + n);
            p += 6;
        } else {
            out[n++] = p[1] == 'n' ? '\n' : p[1] == 't' ? '\t' : p[1] == 'r' ? '\r' : p[1];
            p += 2;
        }
    }
    *at = p + 1;
    return n;
}

/* SmolLM's: its first 17 tokens are control tokens. False: the file is not there. */
static inline bool test_vocab_json(test_vocab *v, const char *path, const char *pre)
{
    size_t size;
    char *data = test_read_file(path, &size), text[4096];
    llm_str *by_id;
    const char *at;
    test_vocab_init(v, LM_VOCAB_BPE, pre);
    if (!data)
        return false;
    by_id = calloc(100000, sizeof *by_id);
    for (at = strchr(strstr(data, "\"vocab\""), '{') + 1;;) {
        size_t n;
        at += strcspn(at, "\"}");
        if (*at == '}')
            break;
        n = test_json_string(&at, text);
        by_id[strtol(strchr(at, ':') + 1, NULL, 10)] = test_copy(text, n);
    }
    for (uint32_t id = 0; by_id[id].ptr; id++) {
        test_vocab_token(v, by_id[id].ptr, by_id[id].len, 0, id < 17 ? LLM_TOKEN_CONTROL : LLM_TOKEN_NORMAL);
        free((void *)(uintptr_t)by_id[id].ptr);
    }
    for (at = strchr(strstr(at, "\"merges\""), '[') + 1;;) {
        size_t n;
        at += strcspn(at, "\"]");
        if (*at == ']')
            break;
        n = test_json_string(&at, text);
        test_vocab_merge(v, text, n);
    }
    free(by_id);
    free(data);
    return true;
}

/* ---- checks ---- */

static inline lm_host *test_host(void)
{
    static lm_host host;
    lm_mem_init(&host.mem, NULL, 0);
    memset(&host.logger, 0, sizeof host.logger);
    return &host;
}

/* A failure prints the text as hexadecimal. */
static inline void test_print_case(const char *name, const char *text, size_t len)
{
    fprintf(stderr, "%s:", name);
    for (size_t i = 0; i < len && i < 200; i++)
        fprintf(stderr, " %02x", (unsigned char)text[i]);
    fprintf(stderr, "\n");
}

static inline bool test_encodes(const lm_tokenizer *t, const char *name, const char *text, size_t len, uint32_t flags, const llm_token *want, size_t n_want)
{
    size_t cap = len + 2, n = 0;
    llm_token *got = malloc(cap * sizeof *got);
    llm_error error;
    llm_status status = lm_tokenizer_encode(t, text, len, flags, got, cap, &n, &error);
    bool same = status == LLM_OK && n == n_want && memcmp(got, want, n * sizeof *got) == 0;
    if (!CHECK_MSG(same, "%s: status %d, %zu ids, expected %zu", name, status, n, n_want)) {
        test_print_case(name, text, len);
        for (size_t i = 0; status == LLM_OK && i < LM_MAX(n, n_want) && i < 60; i++)
            fprintf(stderr, " %d/%d", i < n ? got[i] : -1, i < n_want ? want[i] : -1);
        fprintf(stderr, "\n");
    }
    free(got);
    return same;
}

/* decode(encode(text)) == text. */
static inline bool test_round_trip(const lm_tokenizer *t, const char *name, const char *text, size_t len, uint32_t flags)
{
    size_t cap = len + 2, n = 0, n_back = 0;
    llm_token *ids = malloc(cap * sizeof *ids);
    char *back = malloc(len + 1);
    bool same = lm_tokenizer_encode(t, text, len, flags, ids, cap, &n, NULL) == LLM_OK &&
                lm_tokenizer_decode(t, ids, n, flags & LLM_ENCODE_PARSE_SPECIAL ? LLM_DECODE_SHOW_SPECIAL : 0, back, len + 1, &n_back, NULL) == LLM_OK &&
                n_back == len && memcmp(back, text, len) == 0 && back[len] == 0;
    if (!CHECK_MSG(same, "%s: %zu bytes came back as %zu", name, len, n_back))
        test_print_case(name, text, len);
    free(ids);
    free(back);
    return same;
}

static inline uint64_t test_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

#endif
