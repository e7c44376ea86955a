/* SPDX-License-Identifier: MIT
 * n log n on any input: one repeated character, a two-character period, one random word, white space and the like. Eight times the text
 * may take a few times eight times as long, never sixty-four; the least of several tries counts, so that a busy machine does not. How
 * fast it is, bench_text says. */
#include "text_shapes.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || (LM_HOSTILE)
enum { SMALL = 1 << 14 };
#else
enum { SMALL = 1 << 15 };
#endif
enum { TIMES = 8, LARGE = SMALL * TIMES, TRIES = 6, MOST_GROWTH = 4 * TIMES };

static void check_growth(const lm_tokenizer *t, const char *name, const char *what, const char *text)
{
    llm_token *ids = malloc((LARGE + 2) * sizeof *ids);
    double small = 1e9, large = 1e9, took;
    size_t n = 0;
    for (int i = 0; i < TRIES && (i == 0 || large > MOST_GROWTH * small); i++) {
        if (!CHECK((took = test_encode_time(t, text, SMALL, ids, LARGE + 2, &n)) >= 0))
            break;
        small = took > 1e-6 && took < small ? took : small;
        if (!CHECK((took = test_encode_time(t, text, LARGE, ids, LARGE + 2, &n)) >= 0))
            break;
        large = took < large ? took : large;
    }
    fprintf(stderr, "%-12s %-22s %8.2f ms, %d times as much %8.1f ms, %8zu tokens\n", name, what, small * 1e3, TIMES, large * 1e3, n);
    CHECK_MSG(large <= MOST_GROWTH * small, "%s, %s: %d bytes took %.2f ms, %d bytes %.1f ms", name, what, SMALL, small * 1e3, LARGE, large * 1e3);
    free(ids);
}

static void check_vocab(lm_host *host, test_vocab *v, const char *name)
{
    lm_tokenizer *t = NULL;
    llm_error error;
    char *text = malloc(LARGE), what[64];
    if (CHECK_MSG(lm_tokenizer_create(host, &v->desc, &t, &error) == LLM_OK, "%s: %s", name, error.message))
        for (size_t i = 0; i < TEST_SHAPES; i++) {
            test_shape(i, text, LARGE, what);
            check_growth(t, name, what, text);
        }
    lm_tokenizer_free(t);
    test_vocab_free(v);
    free(text);
}

int main(void)
{
    lm_host *host = test_host();
    test_vocab v;
    test_vocab_deep(&v, LM_VOCAB_BPE);
    check_vocab(host, &v, "deep bpe");
    test_vocab_deep(&v, LM_VOCAB_SPM);
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
