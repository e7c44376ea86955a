/* SPDX-License-Identifier: MIT
 * n log n on any input: a megabyte of one repeated character, of a two-character period, of one random word, of white space,
 * and the like, each in under a second. Prints speeds on plain text too, where that data is. */
#include "text_data.h"

#include <time.h>

enum { MEGABYTE = 1 << 20 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || (LM_HOSTILE)
static const double bound_s = 20;
#else
static const double bound_s = 1;
#endif

/* Of this process: others may be busy. */
static double now(void) { return (double)clock() / CLOCKS_PER_SEC; }

static void check_time(const lm_tokenizer *t, const char *name, const char *what, const char *text, size_t len, bool bounded)
{
    llm_token *ids = malloc((len + 2) * sizeof *ids);
    size_t n = 0;
    double best = 1e9;
    for (int i = 0; i < (bounded ? 1 : 5); i++) {
        double start = now(), took;
        CHECK(lm_tokenizer_encode(t, text, len, LLM_ENCODE_PARSE_SPECIAL, ids, len + 2, &n, NULL) == LLM_OK);
        took = now() - start;
        best = took < best ? took : best;
    }
    fprintf(stderr, "%-12s %-22s %8.1f ms %8.1f MB/s %8zu tokens\n", name, what, best * 1e3, (double)len / best * 1e-6, n);
    if (bounded)
        CHECK_MSG(best < bound_s, "%s, %s: %.2f s", name, what, best);
    free(ids);
}

static void fill(char *text, const char *unit)
{
    size_t n = strlen(unit);
    for (size_t i = 0; i < MEGABYTE; i++)
        text[i] = unit[i % n];
}

static void check_shapes(const lm_tokenizer *t, const char *name)
{
    static const char *const units[] = { "a", "ab", " ", "\n", "0", ".", "=", "\xe4\xba\xba", "\xf0\x9f\x98\x80", "\xff", " \t", "\n ", "a'", "<", "<|", "e\xcc\x81" };
    char *text = malloc(MEGABYTE);
    uint64_t seed = 1;
    for (size_t i = 0; i < LM_COUNT(units); i++) {
        char what[64];
        fill(text, units[i]);
        snprintf(what, sizeof what, "repeated %02x (%zu)", (unsigned char)units[i][0], strlen(units[i]));
        check_time(t, name, what, text, MEGABYTE, true);
    }
    for (size_t i = 0; i < MEGABYTE; i++)
        text[i] = (char)('a' + test_random(&seed) % 26);
    check_time(t, name, "a random word", text, MEGABYTE, true);
    for (size_t i = 0; i < MEGABYTE; i++)
        text[i] = "etaoinshrdlu"[test_random(&seed) % 12];
    check_time(t, name, "a likely word", text, MEGABYTE, true);
    for (size_t i = 0; i < MEGABYTE; i++)
        text[i] = (char)test_random(&seed);
    check_time(t, name, "random bytes", text, MEGABYTE, true);
    free(text);
}

static void check_text(const lm_tokenizer *t, const char *name)
{
    static const char *const files[] = { "tinyshakespeare.txt", "wikitext-2-test.txt" };
    for (size_t i = 0; i < LM_COUNT(files); i++) {
        char path[512];
        size_t size;
        char *text;
        snprintf(path, sizeof path, "%s/text/%s", LLM_TEST_DATA, files[i]);
        if ((text = test_read_file(path, &size)) != NULL)
            check_time(t, name, files[i], text, size, false);
        free(text);
    }
}

static void check_vocab(lm_host *host, test_vocab *v, const char *name)
{
    lm_tokenizer *t = NULL;
    llm_error error;
    double start = now();
    uint64_t used = atomic_load(&host->mem.used);
    if (CHECK_MSG(lm_tokenizer_create(host, &v->desc, &t, &error) == LLM_OK, "%s: %s", name, error.message)) {
        fprintf(stderr, "%-12s made in %.1f ms, %.2f MB, from %u tokens and %llu merges\n", name, (now() - start) * 1e3,
                (double)(atomic_load(&host->mem.used) - used) * 1e-6, v->desc.n_tokens, (unsigned long long)v->desc.n_merges);
        check_shapes(t, name);
        check_text(t, name);
    }
    lm_tokenizer_free(t);
    test_vocab_free(v);
}

/* Tokens of a character, two, four ... and of spaces and newlines like those of Gemma, which text is searched for. */
static void make_deep(test_vocab *v, int32_t kind)
{
    static const char letters[] = "ab0.= \n<|\xe4";
    test_vocab_init(v, kind, "llama-bpe");
    v->desc.add_space_prefix = 0;
    if (kind == LM_VOCAB_BPE) {
        test_vocab_bytes(v);
    } else {
        test_vocab_add(v, "<unk>", 0, LLM_TOKEN_UNKNOWN);
        for (const char *letter = letters; *letter && (unsigned char)*letter < 0x80; letter++)
            test_vocab_token(v, letter, 1, -1000, LLM_TOKEN_NORMAL);
    }
    for (size_t n = 2; n <= 4096; n *= 2)
        for (int i = 0; i < 2; i++) {
            char text[8200];
            memset(text, i ? '0' : 'a', n);
            if (kind == LM_VOCAB_SPM) {
                test_vocab_token(v, text, n, -(float)n, LLM_TOKEN_NORMAL);
            } else {
                test_vocab_token(v, text, n, 0, LLM_TOKEN_NORMAL);
                memset(text, i ? '0' : 'a', n + 1);
                text[n / 2] = ' ';
                test_vocab_merge(v, text, n + 1);
            }
        }
    for (size_t n = 1; n <= 31; n++)
        for (int i = 0; i < 2; i++) {
            char text[32];
            memset(text, i ? '\n' : ' ', n);
            test_vocab_token(v, text, n, 0, LLM_TOKEN_USER);
        }
    test_vocab_add(v, "<|<|<|", 0, LLM_TOKEN_CONTROL);
    test_vocab_add(v, "|<|<|<", 0, LLM_TOKEN_CONTROL);
    test_vocab_add(v, "|<|", 0, LLM_TOKEN_CONTROL);
}

int main(void)
{
    lm_host *host = test_host();
    test_vocab v;
    make_deep(&v, LM_VOCAB_BPE);
    check_vocab(host, &v, "deep bpe");
    make_deep(&v, LM_VOCAB_SPM);
    check_vocab(host, &v, "deep spm");
    if (test_vocab_gguf(&v, host, LLM_TEST_DATA "/tokenizers/ggml-vocab-gpt-2.gguf"))
        check_vocab(host, &v, "gpt-2");
    if (test_vocab_gguf(&v, host, LLM_TEST_DATA "/tokenizers/ggml-vocab-llama-spm.gguf"))
        check_vocab(host, &v, "llama-spm");
    if (test_vocab_ranks(&v, LLM_TEST_DATA "/tokenizers/llama3.tiktoken", "llama-bpe"))
        check_vocab(host, &v, "llama-bpe");
    CHECK(atomic_load(&host->mem.used) == 0);
    return TEST_DONE();
}
