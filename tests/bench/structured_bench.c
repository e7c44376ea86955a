/* SPDX-License-Identifier: MIT
 * structured_bench VOCABULARY.tiktoken: what grammars cost over 128,000 tokens, in time of the processor: the tree of the vocabulary, compiling, and
 * a mask for each token of a reply: the grammar's first, its second, the first once more. Then walks of legal tokens by chance, which see far more
 * places than replies do. Nothing is judged. */
#include "text/grammar/grammar.h"

#include "test.h"

#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);             /* others may have the machine meanwhile */
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

static const struct { const char *name; int32_t kind; const char *text, *replies[2]; } grammars[] = {
    { "any JSON", LLM_GRAMMAR_JSON_SCHEMA, "true",
      { "{\"title\": \"The old mill by the river\", \"year\": 1987, \"tags\": [\"history\", \"water\", \"caf\\u00e9 \xe6\xb0\xb4\xe8\xbb\x8a" "\"], \"open\": true, \"place\": {\"lat\": 48.137154, \"lon\": -11.576124, \"notes\": null}, \"visits\": [[1, 2], [3, 4.5e10]]}",
        "[{\"user\": \"anna\", \"score\": 12.25, \"friends\": []}, {\"user\": \"bo\", \"score\": -3, \"friends\": [\"anna\", \"cleo \xf0\x9f\x99\x82" "\"], \"bio\": \"Likes long walks, tea & C.\\nWrites \\\"short\\\" letters.\"}]" } },
    { "person", LLM_GRAMMAR_JSON_SCHEMA, "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":130},\"email\":{\"type\":\"string\",\"pattern\":"
      "\"^[a-z0-9.]+@[a-z0-9.]+\\\\.[a-z]{2,}$\"},\"born\":{\"type\":\"string\",\"format\":\"date-time\"},\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\",\"c\"]}},\"home\":{\"type\":\"object\",\"properties\":"
      "{\"street\":{\"type\":\"string\",\"maxLength\":80},\"zip\":{\"type\":\"string\",\"pattern\":\"^[0-9]{5}$\"}},\"required\":[\"street\"]}},\"required\":[\"name\",\"age\"],\"additionalProperties\":false}",
      { "{\"name\": \"Maria Lindqvist-Okafor\", \"age\": 42, \"email\": \"maria.lindqvist@mail.example.com\", \"born\": \"1983-07-19T04:21:09Z\", \"tags\": [\"a\", \"c\"], \"home\": {\"street\": \"221 Old Kent Road, second floor on the left\", \"zip\": \"10997\"}}",
        "{\"name\": \"Bo\", \"age\": 7, \"email\": \"bo42@example.org\", \"home\": {\"street\": \"Kastanienallee 12\", \"zip\": \"80331\"}}" } },
    { "tools", LLM_GRAMMAR_JSON_SCHEMA, "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"tool\":{\"const\":\"search\"},\"query\":{\"type\":\"string\",\"maxLength\":200}},\"required\":[\"tool\",\"query\"],\"additionalProperties\":false},"
      "{\"type\":\"object\",\"properties\":{\"tool\":{\"const\":\"open\"},\"url\":{\"type\":\"string\"},\"page\":{\"type\":\"integer\",\"minimum\":1}},\"required\":[\"tool\",\"url\"],\"additionalProperties\":false},"
      "{\"type\":\"object\",\"properties\":{\"tool\":{\"const\":\"stop\"}},\"required\":[\"tool\"],\"additionalProperties\":false}]}",
      { "{\"tool\": \"search\", \"query\": \"how do tides in the Bay of Fundy differ from those of the Mediterranean, and why are they so high there\"}",
        "{\"tool\": \"open\", \"url\": \"https://example.com/articles/tides?id=12&lang=en\", \"page\": 3}" } },
    { "tree", LLM_GRAMMAR_JSON_SCHEMA, "{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"string\"},\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}},\"required\":[\"v\"],\"additionalProperties\":false}",
      { "{\"v\": \"root of all\", \"kids\": [{\"v\": \"left\", \"kids\": [{\"v\": \"left of left\"}, {\"v\": \"a leaf\"}]}, {\"v\": \"right\", \"kids\": []}]}",
        "{\"v\": \"one\", \"kids\": [{\"v\": \"two\", \"kids\": [{\"v\": \"three\", \"kids\": [{\"v\": \"four\", \"kids\": [{\"v\": \"the deepest of them\"}]}]}]}]}" } },
    { "regex", LLM_GRAMMAR_REGEX, "(?:[A-Z][a-z]+ ){2,6}(?:is|was) \\d{1,4}(?:\\.\\d+)?\\.",
      { "The Great Northern Railway Company was 1846.5.",
        "Mount Saint Helens is 2549." } },
    { "GBNF", LLM_GRAMMAR_GBNF, "root ::= (expr \"=\" ws term \"\\n\")+\nexpr ::= term ([-+*/] term)*\nterm ::= ident | num | \"(\" ws expr \")\" ws\nident ::= [a-z] [a-z0-9_]* ws\nnum ::= [0-9]+ ws\nws ::= [ \\t\\n]*",
      { "price *(count +shipping_cost) -discount = total\nx2 *14 = y\n",
        "a*b+c=12\nlonger_name /other_name2 = value\n" } },
};

/* The token of most bytes that the text begins with. */
static uint32_t longest(const lm_trie *trie, const char *text, size_t len)
{
    uint32_t token = 0, depth = 0;
    for (uint32_t i = 1, end = trie->n_nodes; i < end && depth < len;) {
        const lm_trie_node *node = &trie->nodes[i];
        if (node->byte != (uint8_t)text[depth]) {
            i = node->skip;
            continue;
        }
        if (node->rank != node[1].rank)
            token = trie->order[node->rank];
        depth++;
        end = node->skip;
        i++;
    }
    return token;
}

enum { MOST_STEPS = 4000 };

static void say(const char *what, double *times, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += times[i];
    double middle = median(times, n);
    printf("    %-26s %4d masks: median %7.2f us, mean %7.1f, 99%% %7.1f, most %7.1f\n", what, n, middle, sum / (n ? n : 1), times[n * 99 / 100], times[n - 1]);
}

/* A reply, mask by mask; false: it is not of the grammar. */
static bool reply(lm_matcher *m, const lm_trie *trie, const llm_str *tokens, const char *what, const char *text)
{
    static double times[MOST_STEPS];
    lm_place place = { 0 };
    lm_token_mask mask;
    llm_error error;
    bool legal = true;
    int n = 0;
    if (lm_matcher_start(m, &place, &error) != LLM_OK)
        return false;
    for (size_t at = 0, len = strlen(text); at <= len && n < MOST_STEPS && legal; n++) {
        uint32_t token = longest(trie, text + at, len - at);
        double begin = now();
        if (lm_matcher_mask(m, place, false, &mask, &error) != LLM_OK)
            return false;
        times[n] = now() - begin;
        if (at == len)
            legal = mask.may_end;
        else if (lm_matcher_advance(m, &place, tokens[token].ptr, tokens[token].len, &legal, &error) != LLM_OK)
            return false;
        at += at == len ? 1 : tokens[token].len;
    }
    say(what, times, n);
    return legal;
}

int main(int argc, char **argv)
{
    enum { MOST = 1 << 18 };
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
        lm_matcher_new(&mem, a, trie, 0, &m, &error);
        printf("%s: %u states, compiled in %.2f ms\n", grammars[g].name, lm_automaton_n_states(a), compiled);
        static const char *const turns[] = { "the first reply", "another", "the first again" };
        for (int k = 0; k < 3; k++)
            if (!reply(m, trie, tokens, turns[k], grammars[g].replies[k % 2]))
                printf("    %s: NOT OF THE GRAMMAR\n", turns[k]);
        static double times[MOST_STEPS];
        int n_times = 0;
        uint64_t seed = 88172645463325252u;
        lm_place place = { 0 };
        bool fresh = true;
        for (int step = 0; step < MOST_STEPS; step++) {
            lm_token_mask mask;
            bool legal;
            if (fresh && lm_matcher_start(m, &place, &error) != LLM_OK)
                return 1;
            fresh = false;
            begin = now();
            if (lm_matcher_mask(m, place, false, &mask, &error) != LLM_OK)
                break;
            times[n_times++] = now() - begin;
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
        say("by chance", times, n_times);
        printf("    tables: %zu KiB\n", lm_matcher_bytes_held(m) / 1024);
        lm_matcher_free(m);
        lm_automaton_free(&mem, a);
    }
    lm_trie_drop(trie);
    free(file);
    free(store);
    free(tokens);
    free(ends);
    return 0;
}
