/* SPDX-License-Identifier: MIT
 * The published vectors of real vocabularies: inputs and ids as llama.cpp ships them. And what those vocabularies decode to. */
#include "text_data.h"

static const char separator[] = "\n__ggml_vocab_test__\n";

/* Each input gives the ids of its line. */
static void check_vectors(const lm_tokenizer *t, const char *name)
{
    char path[512];
    size_t size, size_out, n_cases = 0;
    char *inputs, *outputs, *text, *line;
    snprintf(path, sizeof path, "%s/tokenizers/ggml-vocab-%s.gguf.inp", LLM_TEST_DATA, name);
    inputs = test_read_file(path, &size);
    snprintf(path, sizeof path, "%s/tokenizers/ggml-vocab-%s.gguf.out", LLM_TEST_DATA, name);
    outputs = test_read_file(path, &size_out);
    if (!CHECK(inputs && outputs))
        return;
    for (text = inputs, line = outputs; text;) {
        char *end = strstr(text, separator), *next = strchr(line, '\n');
        size_t len = end ? (size_t)(end - text) : size - (size_t)(text - inputs), n = 0;
        llm_token want[4096];
        if (!next || (!end && len == 0))
            break;
        for (char *at = line, *after; at < next; at = after) {
            long id = strtol(at, &after, 10);
            if (after == at || after > next)
                break;
            want[n++] = (llm_token)id;
        }
        test_encodes(t, name, text, len, 0, want, n);
        test_round_trip(t, name, text, len, 0);
        n_cases++;
        line = next + 1;
        text = end ? end + sizeof separator - 1 : NULL;
    }
    CHECK_MSG(n_cases >= 40, "%s: only %zu cases", name, n_cases);
    free(inputs);
    free(outputs);
}

static void check_fuzz(const lm_tokenizer *t, const char *name, uint64_t seed)
{
    static const char *const parts[] = { "hello", " ", "  ", "\n", "\t", "'s", "\xe4\xba\xba", "\xf0\x9f\x98\x80", "123", "\xff", "\xe2\x96", "\xc0\x80", "\xed\xa0\x80", "</s>", "\x01", "..", "\xc3\xa9" };
    char text[400];
    for (int i = 0; i < 3000; i++) {
        size_t len = 0, want = test_random(&seed) % 120;
        while (len < want) {
            if (test_random(&seed) % 4 == 0) {
                text[len++] = (char)test_random(&seed);
            } else {
                const char *part = parts[test_random(&seed) % LM_COUNT(parts)];
                memcpy(text + len, part, strlen(part));
                len += strlen(part);
            }
        }
        if (!test_round_trip(t, name, text, len, 0))
            break;
    }
}

static lm_tokenizer *make(test_vocab *v, lm_host *host, const char *name)
{
    lm_tokenizer *t = NULL;
    llm_error error;
    CHECK_MSG(lm_tokenizer_create(host, &v->desc, &t, &error) == LLM_OK, "%s: %s", name, error.message);
    return t;
}

int main(void)
{
    static const char *const names[] = { "llama-spm", "gpt-2", "falcon", "starcoder", "deepseek-llm" };
    lm_host *host = test_host();
    test_vocab v;
    lm_tokenizer *t;
    int n_found = 0;
    for (size_t i = 0; i < LM_COUNT(names); i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/tokenizers/ggml-vocab-%s.gguf", LLM_TEST_DATA, names[i]);
        if (!test_vocab_gguf(&v, host, path))
            continue;
        n_found++;
        if ((t = make(&v, host, names[i])) != NULL) {
            check_vectors(t, names[i]);
            if (i == 1)                                     /* the only one here that has a token for every byte */
                check_fuzz(t, names[i], i);
            CHECK(lm_tokenizer_n_vocab(t) == v.desc.n_tokens);
            CHECK(lm_tokenizer_adds_bos(t) == (i == 0 || i == 4));
            CHECK(lm_tokenizer_ends(t, lm_tokenizer_special(t, LLM_SPECIAL_EOS)));
            if (i == 0) {
                CHECK(lm_tokenizer_special(t, LLM_SPECIAL_NEWLINE) == 13 && lm_tokenizer_kind(t, 13) == LLM_TOKEN_BYTE);
                CHECK(lm_tokenizer_special(t, LLM_SPECIAL_UNK) == 0 && lm_tokenizer_strips_space(t));
            }
            if (i == 3)
                CHECK(lm_tokenizer_special(t, LLM_SPECIAL_FIM_PREFIX) == 1 && lm_tokenizer_special(t, LLM_SPECIAL_FIM_SUFFIX) == 3 && lm_tokenizer_special(t, LLM_SPECIAL_FIM_MIDDLE) == 2);
            lm_tokenizer_free(t);
        }
        test_vocab_free(&v);
    }
    if (test_vocab_ranks(&v, LLM_TEST_DATA "/tokenizers/llama3.tiktoken", "llama-bpe")) {
        n_found++;
        CHECK_MSG(v.n_merges == 280147, "%zu merges", v.n_merges);
        if ((t = make(&v, host, "llama-bpe")) != NULL) {
            check_vectors(t, "llama-bpe");
            check_fuzz(t, "llama-bpe", 77);
            lm_tokenizer_free(t);
        }
        test_vocab_free(&v);
    }
    CHECK(atomic_load(&host->mem.used) == 0);
    if (n_found == 0)
        return TEST_SKIP("no vocabularies in %s/tokenizers", LLM_TEST_DATA);
    return TEST_DONE();
}
