/* SPDX-License-Identifier: MIT
 * Texts that are hard on a tokenizer, and a vocabulary that makes them so: for the test of growth and for the benchmark. */
#ifndef TEXT_SHAPES_H
#define TEXT_SHAPES_H

#include "text/text_data.h"

#include <time.h>

/* Of this process: others may be busy. Seconds. */
static inline double test_cpu_time(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* Seconds of one encode, the ids thrown away; < 0 if it failed. */
static inline double test_encode_time(const lm_tokenizer *t, const char *text, size_t len, llm_token *ids, size_t cap, size_t *n)
{
    double start = test_cpu_time();
    llm_status status = lm_tokenizer_encode(t, text, len, LLM_ENCODE_PARSE_SPECIAL, ids, cap, n, NULL);
    return status == LLM_OK ? test_cpu_time() - start : -1;
}

static const char *const test_shape_units[] = { "a", "ab", " ", "\n", "0", ".", "=", "\xe4\xba\xba", "\xf0\x9f\x98\x80", "\xff", " \t", "\n ", "a'", "<", "<|",
                                                "e\xcc\x81" };
enum { TEST_SHAPES = LM_COUNT(test_shape_units) + 3 };

/* Fills text with shape i and says in `what` which it is. */
static inline void test_shape(size_t i, char *text, size_t len, char what[64])
{
    static const char *const words[] = { "a random word", "a likely word", "random bytes" };
    uint64_t seed = i;
    if (i < LM_COUNT(test_shape_units)) {
        size_t n = strlen(test_shape_units[i]);
        for (size_t j = 0; j < len; j++)
            text[j] = test_shape_units[i][j % n];
        snprintf(what, 64, "repeated %02x (%zu)", (unsigned char)test_shape_units[i][0], n);
        return;
    }
    i -= LM_COUNT(test_shape_units);
    snprintf(what, 64, "%s", words[i]);
    for (size_t j = 0; j < len; j++) {
        uint64_t r = test_random(&seed);
        text[j] = i == 0 ? (char)('a' + r % 26) : i == 1 ? "etaoinshrdlu"[r % 12] : (char)r;
    }
}

/* Tokens of a character, two, four ... and of spaces and newlines like those of Gemma, which text is searched for. */
static inline void test_vocab_deep(test_vocab *v, int32_t kind)
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

#endif
