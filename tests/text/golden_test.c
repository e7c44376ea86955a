/* SPDX-License-Identifier: MIT
 * What Hugging Face `tokenizers` and `sentencepiece` make of awkward texts: files made by tools/gen_tokenizer_goldens.py, and
 * clean.txt by tools/gen_split_goldens.py. */
#include "text_data.h"

enum { MOST_CASES = 1000 };
typedef struct golden { char *data; llm_str cases[MOST_CASES]; size_t n_cases; } golden;

static size_t unhex(char *text, size_t len)                 /* in place */
{
    for (size_t i = 0; i + 1 < len; i += 2) {
        char digits[3] = { text[i], text[i + 1], 0 };
        text[i / 2] = (char)strtol(digits, NULL, 16);
    }
    return len / 2;
}

static lm_tokenizer *make(lm_host *host, test_vocab *v, const char *name)
{
    lm_tokenizer *t = NULL;
    llm_error error;
    v->desc.pre = (llm_str){ name, strlen(name) };
    CHECK_MSG(lm_tokenizer_create(host, &v->desc, &t, &error) == LLM_OK, "%s: %s", name, error.message);
    return t;
}

/* Reads tokens, merges and cases as they come, hexadecimal or not; each `P` makes a tokenizer for the lines that follow. */
static void check_file(lm_host *host, const char *file, test_vocab *v, bool hex)
{
    static golden g;
    char path[512], name[64] = "";
    lm_tokenizer *t = NULL;
    size_t size, at_case = 0, n_failed = 0;
    snprintf(path, sizeof path, "%s/text/data/%s", LLM_TEST_TREE, file);
    g.n_cases = 0;
    g.data = test_read_file(path, &size);
    if (!CHECK_MSG(g.data != NULL, "%s", path))
        return;
    for (char *line = g.data, *next; line < g.data + size; line = next) {
        char *end = strchr(line, '\n');
        size_t len;
        next = end + 1;
        *end = 0;
        len = (size_t)(end - line) - 2;
        if (line[0] == 'T' && !hex) {
            test_vocab_token(v, line + 2, len, 0, LLM_TOKEN_NORMAL);
        } else if (line[0] == 'T') {
            char *after;
            float score = strtof(line + 2, &after);
            int32_t type = (int32_t)strtol(after, &after, 10);
            len = unhex(after + 1, strlen(after + 1));
            test_vocab_token(v, after + 1, len, score, type);
        } else if (line[0] == 'M') {
            test_vocab_merge(v, line + 2, hex ? unhex(line + 2, len) : len);
        } else if (line[0] == 'C') {
            g.cases[g.n_cases++] = (llm_str){ line + 2, unhex(line + 2, len) };
        } else if (line[0] == 'P') {
            snprintf(name, sizeof name, "%s", line + 2);
            lm_tokenizer_free(t);
            CHECK(at_case == 0 || at_case == g.n_cases);
            at_case = 0;
            t = make(host, v, name);
        } else if (line[0] == 'I' && t && n_failed < 5) {
            llm_token want[4096];
            size_t n = 0;
            for (char *at = line + 1, *after; *at; at = after) {
                long id = strtol(at, &after, 10);
                if (after == at)
                    break;
                want[n++] = (llm_token)id;
            }
            n_failed += !test_encodes(t, name, g.cases[at_case].ptr, g.cases[at_case].len, 0, want, n);
            if (v->desc.kind == LM_VOCAB_BPE && (!hex || (strcmp(name, "whitespace") != 0 && !strstr(g.cases[at_case].ptr, "\xe2\x96\x81"))))
                test_round_trip(t, name, g.cases[at_case].ptr, g.cases[at_case].len, 0);
            at_case++;
        }
    }
    CHECK_MSG(at_case == g.n_cases, "%s: %zu of %zu cases", file, at_case, g.n_cases);
    lm_tokenizer_free(t);
    free(g.data);
}

/* ---- spaces cleaned up ---- */

static void check_clean(lm_host *host)
{
    test_vocab v;
    lm_tokenizer *cleans, *leaves;
    size_t size, n_cases = 0;
    char *data = test_read_file(LLM_TEST_TREE "/text/data/clean.txt", &size);
    test_vocab_init(&v, LM_VOCAB_BPE, NULL);
    test_vocab_bytes(&v);                                   /* so that an id is a byte */
    cleans = make(host, &v, "gpt-2");
    leaves = make(host, &v, "qwen2");
    if (CHECK(data && cleans && leaves))
        for (char *line = data, *next, *end; (end = strchr(line, '\n')) != NULL; line = next, n_cases++) {
            char *space = strchr(line, ' '), text[64];
            llm_token ids[64];
            size_t n = (size_t)(space - line), n_want = (size_t)(end - space) - 1, n_text = 0;
            next = end + 1;
            n = unhex(line, n);
            n_want = unhex(space + 1, n_want);
            for (size_t i = 0; i < n; i++)
                ids[i] = (unsigned char)line[i];
            CHECK(lm_tokenizer_decode(cleans, ids, n, LLM_DECODE_CLEAN_SPACES, text, sizeof text, &n_text, NULL) == LLM_OK);
            if (!CHECK_MSG(n_text == n_want && memcmp(text, space + 1, n_want) == 0 && text[n_want] == 0, "clean: %zu bytes, expected %zu", n_text, n_want))
                test_print_case("clean", line, n);
            CHECK(lm_tokenizer_decode(cleans, ids, n, LLM_DECODE_CLEAN_SPACES, text, n_want, &n_text, NULL) == LLM_OK && n_text == n_want);
            CHECK(lm_tokenizer_decode(cleans, ids, n, LLM_DECODE_CLEAN_SPACES, text, n_want - 1, &n_text, NULL) == LLM_E_SPACE && n_text == n_want);
            CHECK(lm_tokenizer_decode(cleans, ids, n, 0, text, sizeof text, &n_text, NULL) == LLM_OK && n_text == n && memcmp(text, line, n) == 0);
            CHECK(lm_tokenizer_decode(leaves, ids, n, LLM_DECODE_CLEAN_SPACES, text, sizeof text, &n_text, NULL) == LLM_OK && n_text == n && memcmp(text, line, n) == 0);
        }
    CHECK(n_cases == 150);
    lm_tokenizer_free(cleans);
    lm_tokenizer_free(leaves);
    test_vocab_free(&v);
    free(data);
}

int main(void)
{
    lm_host *host = test_host();
    test_vocab v;
    check_clean(host);
    test_vocab_init(&v, LM_VOCAB_BPE, NULL);
    check_file(host, "bpe.txt", &v, false);
    test_vocab_free(&v);
    test_vocab_init(&v, LM_VOCAB_BPE, NULL);
    check_file(host, "chars.txt", &v, true);
    test_vocab_free(&v);
    test_vocab_init(&v, LM_VOCAB_SPM, NULL);
    check_file(host, "spm.txt", &v, true);
    test_vocab_free(&v);
    test_vocab_init(&v, LM_VOCAB_SPM, NULL);
    v.desc.add_space_prefix = 0;
    check_file(host, "spm_plain.txt", &v, true);
    test_vocab_free(&v);
    if (test_vocab_json(&v, LLM_TEST_DATA "/tokenizers/smollm-tokenizer.json", NULL))
        check_file(host, "smollm.txt", &v, false);
    else
        fprintf(stderr, "no %s/tokenizers/smollm-tokenizer.json: its goldens are left out\n", LLM_TEST_DATA);
    test_vocab_free(&v);
    if (test_vocab_gguf(&v, host, LLM_TEST_DATA "/models/babyllama-tok105-f32.gguf"))
        check_file(host, "tok105.txt", &v, true);
    else
        fprintf(stderr, "no %s/models/babyllama-tok105-f32.gguf: its goldens are left out\n", LLM_TEST_DATA);
    test_vocab_free(&v);
    CHECK(atomic_load(&host->mem.used) == 0);
    return TEST_DONE();
}
