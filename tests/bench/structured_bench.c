/* SPDX-License-Identifier: MIT
 * structured_bench VOCABULARY.tiktoken: what grammars cost over 128,000 tokens: compiling, the first look at a place, the same place again,
 * and a new place of a kind that was seen. Medians; nothing is judged. */
#include "text/grammar/grammar.h"

#include "test.h"

#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *at, int n)
{
    qsort(at, (size_t)n, sizeof *at, by_size);
    return n ? at[n / 2] : 0;
}

static size_t unbase64(const char *s, size_t n, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, have = 0;
    size_t len = 0;
    for (size_t i = 0; i < n && s[i] != '='; i++) {
        bits = bits << 6 | (unsigned)(strchr(digits, s[i]) - digits);
        if ((have += 6) >= 8) {
            have -= 8;
            out[len++] = (char)(bits >> have);
        }
    }
    return len;
}

static const struct { const char *name; int32_t kind; const char *text; } grammars[] = {
    { "any JSON", LLM_GRAMMAR_JSON_SCHEMA, "true" },
    { "person", LLM_GRAMMAR_JSON_SCHEMA, "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":130},\"email\":{\"type\":\"string\",\"pattern\":"
      "\"^[a-z0-9.]+@[a-z0-9.]+\\\\.[a-z]{2,}$\"},\"born\":{\"type\":\"string\",\"format\":\"date-time\"},\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\",\"c\"]}},\"home\":{\"type\":\"object\",\"properties\":"
      "{\"street\":{\"type\":\"string\",\"maxLength\":80},\"zip\":{\"type\":\"string\",\"pattern\":\"^[0-9]{5}$\"}},\"required\":[\"street\"]}},\"required\":[\"name\",\"age\"],\"additionalProperties\":false}" },
    { "tools", LLM_GRAMMAR_JSON_SCHEMA, "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"tool\":{\"const\":\"search\"},\"query\":{\"type\":\"string\",\"maxLength\":200}},\"required\":[\"tool\",\"query\"],\"additionalProperties\":false},"
      "{\"type\":\"object\",\"properties\":{\"tool\":{\"const\":\"open\"},\"url\":{\"type\":\"string\"},\"page\":{\"type\":\"integer\",\"minimum\":1}},\"required\":[\"tool\",\"url\"],\"additionalProperties\":false},"
      "{\"type\":\"object\",\"properties\":{\"tool\":{\"const\":\"stop\"}},\"required\":[\"tool\"],\"additionalProperties\":false}]}" },
    { "tree", LLM_GRAMMAR_JSON_SCHEMA, "{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"string\"},\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}},\"required\":[\"v\"],\"additionalProperties\":false}" },
    { "regex", LLM_GRAMMAR_REGEX, "(?:[A-Z][a-z]+ ){2,6}(?:is|was) \\d{1,4}(?:\\.\\d+)?\\." },
    { "GBNF", LLM_GRAMMAR_GBNF, "root ::= (expr \"=\" ws term \"\\n\")+\nexpr ::= term ([-+*/] term)*\nterm ::= ident | num | \"(\" ws expr \")\" ws\nident ::= [a-z] [a-z0-9_]* ws\nnum ::= [0-9]+ ws\nws ::= [ \\t\\n]*" },
};

int main(int argc, char **argv)
{
    enum { MOST = 1 << 18, STEPS = 4000 };
    size_t size = 0;
    char *file = argc > 1 ? test_read_file(argv[1], &size) : NULL, *store = malloc(size + 1);
    llm_str *tokens = calloc(MOST, sizeof *tokens);
    bool *ends = calloc(MOST, sizeof *ends);
    uint32_t n = 0;
    lm_mem mem;
    llm_error error;
    if (!file)
        return TEST_SKIP("which vocabulary?");
    lm_mem_init(&mem, NULL, 0);
    size_t at = 0;
    for (char *line = file, *end; (end = strchr(line, '\n')) != NULL && n < MOST - 1; line = end + 1) {
        const char *space = strchr(line, ' ');
        size_t len = unbase64(line, (size_t)(space - line), store + at);
        tokens[n++] = (llm_str){ store + at, len };
        at += len;
    }
    ends[n++] = true;
    double begin = now();
    lm_trie *trie = NULL;
    if (lm_trie_new(&mem, tokens, ends, n, &trie, &error) != LLM_OK)
        return 1;
    printf("%u tokens, tree of %u nodes: %.1f ms\n", n, trie->n_nodes, (now() - begin) / 1000);
    for (size_t g = 0; g < sizeof grammars / sizeof *grammars; g++) {
        lm_automaton *a = NULL;
        lm_matcher *m = NULL;
        begin = now();
        if (lm_automaton_new(&mem, grammars[g].kind, 0, grammars[g].text, strlen(grammars[g].text), trie->alone, &a, &error) != LLM_OK) {
            printf("%s: %s\n", grammars[g].name, error.message);
            continue;
        }
        double compiled = (now() - begin) / 1000;
        static double times[2][STEPS];
        int n_times[2] = { 0, 0 }, dead = 0;
        uint64_t seed = 88172645463325252u;
        lm_matcher_new(&mem, a, trie, 0, &m, &error);
        lm_place place = { 0 };
        bool fresh = true;
        for (int round = 0; round < 2; round++) {           /* the first fills tables, the second goes the same ways */
            seed = 88172645463325252u;
            fresh = true;
            for (int step = 0; step < STEPS; step++) {
                lm_token_mask mask;
                bool legal;
                if (fresh && lm_matcher_start(m, &place, &error) != LLM_OK)
                    return 1;
                fresh = false;
                begin = now();
                if (lm_matcher_mask(m, place, false, &mask, &error) != LLM_OK) {
                    dead++;
                    break;
                }
                times[round][n_times[round]++] = now() - begin;
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                uint32_t pick = mask.n_legal ? (uint32_t)((seed >> 33) % mask.n_legal) : 0, token = 0;
                if (mask.n_legal == 0 || (mask.may_end && (seed >> 20) % 4 == 0) || !lm_matcher_holds(m, place)) {
                    fresh = true;
                    continue;
                }
                for (; !(mask.bits[token / 64] >> token % 64 & 1) || pick-- > 0; token++)
                    ;
                if (lm_matcher_advance(m, &place, tokens[token].ptr, tokens[token].len, &legal, &error) != LLM_OK || !legal)
                    return 1;
            }
        }
        double first = median(times[0], n_times[0]), worst = times[0][n_times[0] - 1], again = median(times[1], n_times[1]);
        printf("%-9s %6u states, compiled in %6.2f ms; a mask: first round median %7.1f us, 99%% %7.1f, most %7.1f; second round median %5.2f us, 99%% %6.1f; %zu KiB%s\n", grammars[g].name,
               lm_automaton_n_states(a), compiled, first, times[0][n_times[0] * 99 / 100], worst, again, times[1][n_times[1] * 99 / 100], lm_matcher_bytes_held(m) / 1024, dead ? " LIMIT" : "");
        lm_matcher_free(m);
        lm_automaton_free(&mem, a);
    }
    lm_trie_free(&mem, trie);
    free(file);
    free(store);
    free(tokens);
    free(ends);
    return 0;
}
