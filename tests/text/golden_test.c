/* SPDX-License-Identifier: MIT
 * What Hugging Face `tokenizers` and `sentencepiece` make of awkward texts: files made by tools/gen_tokenizer_goldens.py. */
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

/* Reads tokens, merges and cases as they come; each `P` makes a tokenizer for the lines that follow. */
static void check_file(lm_host *host, const char *file, test_vocab *v)
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
        if (line[0] == 'T' && v->desc.kind == LM_VOCAB_BPE) {
            test_vocab_token(v, line + 2, len, 0, LLM_TOKEN_NORMAL);
        } else if (line[0] == 'T') {
            char *after;
            float score = strtof(line + 2, &after);
            int32_t type = (int32_t)strtol(after, &after, 10);
            len = unhex(after + 1, strlen(after + 1));
            test_vocab_token(v, after + 1, len, score, type);
        } else if (line[0] == 'M') {
            test_vocab_merge(v, line + 2, len);
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
            if (v->desc.kind == LM_VOCAB_BPE)
                test_round_trip(t, name, g.cases[at_case].ptr, g.cases[at_case].len, 0);
            at_case++;
        }
    }
    CHECK_MSG(at_case == g.n_cases, "%s: %zu of %zu cases", file, at_case, g.n_cases);
    lm_tokenizer_free(t);
    free(g.data);
}

/* ---- the little of JSON that a tokenizer.json needs: strings, in order ---- */

static size_t json_utf8(uint32_t cp, char *out)
{
    if (cp < 0x80)
        return out[0] = (char)cp, 1;
    if (cp < 0x800)
        return out[0] = (char)(0xc0 | cp >> 6), out[1] = (char)(0x80 | (cp & 63)), 2;
    return out[0] = (char)(0xe0 | cp >> 12), out[1] = (char)(0x80 | (cp >> 6 & 63)), out[2] = (char)(0x80 | (cp & 63)), 3;
}

/* The string at *at (a quote), unescaped into out; moves *at behind it. */
static size_t json_string(const char **at, char *out)
{
    size_t n = 0;
    const char *p = *at + 1;
    while (*p != '"') {
        if (*p != '\\') {
            out[n++] = *p++;
        } else if (p[1] == 'u') {
            char digits[5] = { p[2], p[3], p[4], p[5], 0 };
            n += json_utf8((uint32_t)strtol(digits, NULL, 16), out + n);
            p += 6;
        } else {
            out[n++] = p[1] == 'n' ? '\n' : p[1] == 't' ? '\t' : p[1] == 'r' ? '\r' : p[1];
            p += 2;
        }
    }
    *at = p + 1;
    return n;
}

static bool load_smollm(test_vocab *v)
{
    size_t size;
    char *data = test_read_file(LLM_TEST_DATA "/tokenizers/smollm-tokenizer.json", &size), text[4096];
    llm_str *by_id;
    const char *at;
    if (!data)
        return false;
    by_id = calloc(100000, sizeof *by_id);
    for (at = strchr(strstr(data, "\"vocab\""), '{') + 1;;) {
        size_t n;
        at += strcspn(at, "\"}");
        if (*at == '}')
            break;
        n = json_string(&at, text);
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
        n = json_string(&at, text);
        test_vocab_merge(v, text, n);
    }
    free(by_id);
    free(data);
    return true;
}

int main(void)
{
    lm_host *host = test_host();
    test_vocab v;
    test_vocab_init(&v, LM_VOCAB_BPE, NULL);
    check_file(host, "bpe.txt", &v);
    test_vocab_free(&v);
    test_vocab_init(&v, LM_VOCAB_SPM, NULL);
    check_file(host, "spm.txt", &v);
    test_vocab_free(&v);
    test_vocab_init(&v, LM_VOCAB_SPM, NULL);
    v.desc.add_space_prefix = 0;
    check_file(host, "spm_plain.txt", &v);
    test_vocab_free(&v);
    test_vocab_init(&v, LM_VOCAB_BPE, NULL);
    if (load_smollm(&v))
        check_file(host, "smollm.txt", &v);
    else
        fprintf(stderr, "no %s/tokenizers/smollm-tokenizer.json: its goldens are left out\n", LLM_TEST_DATA);
    test_vocab_free(&v);
    if (test_vocab_gguf(&v, host, LLM_TEST_DATA "/models/babyllama-tok105-f32.gguf"))
        check_file(host, "tok105.txt", &v);
    else
        fprintf(stderr, "no %s/models/babyllama-tok105-f32.gguf: its goldens are left out\n", LLM_TEST_DATA);
    test_vocab_free(&v);
    CHECK(atomic_load(&host->mem.used) == 0);
    return TEST_DONE();
}
