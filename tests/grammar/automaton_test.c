/* SPDX-License-Identifier: MIT
 * Grammars against what others say: regular expressions and GBNF against Python's re (tools/make_grammar_vectors.py), plain JSON against
 * JSONTestSuite. Masks against one token after the other. No legal choice of tokens is a dead end. Hostile grammars end soon, with a message;
 * every allocation that fails is told and leaks nothing. */
#include "text/grammar/grammar.h"

#include "test.h"

#include <stdint.h>

typedef struct vector_text { const char *text; int bits; } vector_text;
typedef struct regex_row { const char *pattern; vector_text texts[16]; } regex_row;
typedef struct gbnf_row { const char *file, *text; vector_text texts[64]; } gbnf_row;
#include "vectors.inc"

static lm_mem mem;
static uint64_t seed = 88172645463325252u;
static uint32_t dice(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 20) % n);
}

static lm_matcher *make(int32_t kind, uint32_t flags, const char *text, size_t len, const lm_trie *trie, lm_automaton **a)
{
    llm_error error;
    lm_matcher *m = NULL;
    *a = NULL;
    if (CHECK_MSG(lm_automaton_new(&mem, kind, flags, text, len, trie ? trie->alone : NULL, a, &error) == LLM_OK, "%s\n%.*s", error.message, (int)len, text))
        CHECK(lm_matcher_new(&mem, *a, trie, 0, &m, &error) == LLM_OK);
    return m;
}

static void drop(lm_matcher *m, lm_automaton *a)
{
    lm_matcher_free(m);
    lm_automaton_free(&mem, a);
}

static int accepts(lm_matcher *m, const char *text, size_t len)
{
    lm_place place;
    bool legal = false;
    llm_error error;
    if (!CHECK_MSG(lm_matcher_start(m, &place, &error) == LLM_OK && lm_matcher_advance(m, &place, text, len, &legal, &error) == LLM_OK, "%s", error.message))
        return -1;
    return legal && lm_matcher_may_end(m, place);
}

/* As a JSON string: no control characters in these. */
static size_t quoted(char *out, const char *text)
{
    size_t n = 0;
    out[n++] = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            out[n++] = '\\';
        out[n++] = *text;
    }
    out[n++] = '"';
    out[n] = 0;
    return n;
}

static void test_regex(void)
{
    for (size_t i = 0; i < sizeof regex_rows / sizeof *regex_rows; i++) {
        const regex_row *row = &regex_rows[i];
        char schema[512] = "{\"pattern\":", text[512];
        size_t n = strlen(schema);
        n += quoted(schema + n, row->pattern);
        schema[n++] = '}';
        lm_automaton *a = NULL, *b;
        llm_error error;
        if (lm_automaton_new(&mem, LLM_GRAMMAR_REGEX, 0, row->pattern, strlen(row->pattern), NULL, &a, &error) == LLM_E_INVALID) {
            for (size_t k = 0; k < 16 && row->texts[k].text; k++)
                CHECK_MSG(!(row->texts[k].bits & 1), "%s matches nothing, but all of '%s'", row->pattern, row->texts[k].text);
            continue;
        }
        lm_automaton_free(&mem, a);
        lm_matcher *whole = make(LLM_GRAMMAR_REGEX, 0, row->pattern, strlen(row->pattern), NULL, &a);
        lm_matcher *part = make(LLM_GRAMMAR_JSON_SCHEMA, 0, schema, n, NULL, &b);
        for (size_t k = 0; k < 16 && row->texts[k].text && whole && part; k++) {
            const vector_text *t = &row->texts[k];
            n = quoted(text, t->text);
            CHECK_MSG(accepts(whole, t->text, strlen(t->text)) == (t->bits & 1), "%s matches all of '%s'", row->pattern, t->text);
            CHECK_MSG(accepts(part, text, n) == t->bits >> 1, "%s is found in '%s'", row->pattern, t->text);
        }
        drop(whole, a);
        drop(part, b);
    }
}

static void test_gbnf(void)
{
    for (size_t i = 0; i < sizeof gbnf_rows / sizeof *gbnf_rows; i++) {
        const gbnf_row *row = &gbnf_rows[i];
        char path[512], *file = NULL;
        size_t size = 0;
        if (row->file) {
            snprintf(path, sizeof path, "%s/structured/grammars/%s", LLM_TEST_DATA, row->file);
            file = test_read_file(path, &size);
            if (!file)
                continue;                                   /* no shared data here */
        }
        const char *grammar = file ? file : row->text;
        lm_automaton *a;
        lm_matcher *m = make(LLM_GRAMMAR_GBNF, 0, grammar, strlen(grammar), NULL, &a);
        for (size_t k = 0; k < 64 && row->texts[k].text && m; k++)
            CHECK_MSG(accepts(m, row->texts[k].text, strlen(row->texts[k].text)) == row->texts[k].bits, "%s: '%s'", row->file ? row->file : grammar, row->texts[k].text);
        drop(m, a);
        free(file);
    }
}

/* Without white space outside of strings: grammars write little of it. */
static size_t squeeze(char *text, size_t len)
{
    size_t n = 0;
    bool inside = false;
    for (size_t i = 0; i < len; i++) {
        if (!inside && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r'))
            continue;
        if (inside && text[i] == '\\' && i + 1 < len)
            text[n++] = text[i++];
        else if (text[i] == '"')
            inside = !inside;
        text[n++] = text[i];
    }
    return n;
}

static int test_json(void)
{
    size_t size = 0;
    char *list = test_read_file(LLM_TEST_JSON, &size);
    unsigned yes = 0, no = 0;
    if (!list)
        return 0;
    lm_automaton *a;
    lm_matcher *m = make(LLM_GRAMMAR_JSON_SCHEMA, 0, "true", 4, NULL, &a);
    for (char *path = strtok(list, "\n"); path && m; path = strtok(NULL, "\n")) {
        const char *name = strrchr(path, '/') + 1;
        char *text = test_read_file(path, &size);
        if (!text || strstr(path, "test_parsing") == NULL) {
            free(text);
            continue;
        }
        if (name[0] == 'n')
            no += (unsigned)CHECK_MSG(accepts(m, text, size) == 0, "%s is no JSON", name);
        else if (name[0] == 'y')
            yes += (unsigned)CHECK_MSG(accepts(m, text, squeeze(text, size)) == 1, "%s is JSON", name);
        free(text);
    }
    drop(m, a);
    free(list);
    printf("JSONTestSuite: %u accepted, %u rejected\n", yes, no);
    return 1;
}

/* ---- masks ---- */

enum { PIECES, PIECES_OF_FEW_BYTES, WORDS };

/* Bytes, and pieces of what grammars below are about; or words that share beginnings, so that whole subtrees are taken at once. */
static lm_trie *vocabulary(uint32_t n, int of)
{
    static const char *const letters[] = { "a", "b", "e", "n", "t", "z", "A", "0", "7", " ", "-", "_", "\"", "\\", "\n", "\xc3\xa9", "\xe6\xb0\xb4", "\xf0\x9f\x99\x82", "\xe6\xb0", "\x82" };
    static const char *const pieces[] = { "{\"", "\":", "\",\"", "\"}", "\": ", "name", "age", "true", "false", "null", "[1", "], ", "12", "0.5", "\\u", "00", "{}", "[]",
                                          "}}", "]]", " \n", "abc", "aab", "a,", "((", "))", "e\"", "\xc3", "\xa9x", "\"x\":[", "ul", "\"],", ", \"" };
    static char store[4096][12];
    llm_str *tokens = calloc(n, sizeof *tokens);
    bool *ends = calloc(n, sizeof *ends);
    llm_error error;
    lm_trie *trie = NULL;
    for (uint32_t i = 0; i < n; i++) {
        size_t len = 0;
        if (i < 256 && (of != PIECES_OF_FEW_BYTES || strchr("{}[]\":,aben0t1rufls. ", (int)i)))
            store[i][len++] = (char)i;
        for (uint32_t k = i < 256 || of == WORDS ? 3 : dice(3); k < 3; k++) {
            const char *piece = pieces[dice(sizeof pieces / sizeof *pieces)];
            size_t add = strlen(piece);
            if (len + add <= sizeof store[i]) {
                memcpy(store[i] + len, piece, add);
                len += add;
            }
        }
        while (of == WORDS && i >= 256 && dice(6)) {
            const char *letter = letters[dice(2) ? dice(4) : dice(sizeof letters / sizeof *letters)];
            size_t add = strlen(letter);
            if (len + add > sizeof store[i])
                break;
            memcpy(store[i] + len, letter, add);
            len += add;
        }
        tokens[i] = (llm_str){ store[i], len };
        ends[i] = i == n - 1;
    }
    CHECK(lm_trie_new(&mem, tokens, ends, n, &trie, &error) == LLM_OK);
    free(tokens);
    free(ends);
    return trie;
}

static const char *token_text(const lm_trie *trie, uint32_t token, char *out, size_t *len)
{
    char path[256];
    for (uint32_t i = 1; i < trie->n_nodes; i++) {
        path[trie->nodes[i].depth - 1] = (char)trie->nodes[i].byte;
        for (uint32_t rank = trie->nodes[i].rank; rank < trie->nodes[i + 1].rank; rank++)
            if (trie->order[rank] == token) {
                *len = trie->nodes[i].depth;
                return memcpy(out, path, *len);
            }
    }
    *len = 0;
    return out;
}

static const llm_str *tree_tokens;

static int tree_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    llm_str s = tree_tokens[x], t = tree_tokens[y];
    int order = memcmp(s.ptr, t.ptr, s.len < t.len ? s.len : t.len);
    return order ? order : s.len != t.len ? (s.len < t.len ? -1 : 1) : x < y ? -1 : 1;
}

/* The order of ranks is that of bytes, whatever tokens share; nodes spell the tokens of their ranks. */
static void test_tree(void)
{
    enum { N = 5000 };
    static char store[N][80];
    static llm_str tokens[N];
    static uint32_t order[N];
    char path[256];
    lm_trie *trie = NULL;
    llm_error error;
    for (uint32_t i = 0; i < N; i++) {
        size_t len = i % 7 ? 1 + dice(12) : 8 * dice(10) + dice(3);
        for (size_t k = 0; k < len; k++)
            store[i][k] = (char)(i % 7 ? dice(3) * 127 : k + 3 < len ? 'x' : dice(2));
        tokens[i] = (llm_str){ store[i], len };
        order[i] = i;
    }
    tree_tokens = tokens;
    qsort(order, N, sizeof *order, tree_order);
    uint32_t empty = 0, rank = 0;
    while (tokens[order[empty]].len == 0)
        empty++;
    if (!CHECK(lm_trie_new(&mem, tokens, NULL, N, &trie, &error) == LLM_OK))
        return;
    CHECK(trie->n_ranks == N - empty && memcmp(trie->order, order + empty, trie->n_ranks * sizeof *order) == 0);
    for (uint32_t i = 1; i < trie->n_nodes; i++) {
        const lm_trie_node *node = &trie->nodes[i];
        path[node->depth - 1] = (char)node->byte;
        CHECK(node->skip > i && node->skip <= trie->n_nodes && node->rank == rank);
        CHECK(node->run_end == i || (node->run_end >= node->skip && !(node->kinds & ~(uint32_t)LM_TRIE_PLAIN)));
        for (; rank < node[1].rank; rank++)
            CHECK(tokens[trie->order[rank]].len == node->depth && memcmp(tokens[trie->order[rank]].ptr, path, node->depth) == 0);
    }
    CHECK(rank == trie->n_ranks);
    lm_trie_drop(trie);
}

static const struct { int32_t kind; uint32_t flags; const char *text; } mask_grammars[] = {
    { LLM_GRAMMAR_JSON_SCHEMA, 0, "true" },
    { LLM_GRAMMAR_JSON_SCHEMA, 0, "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":4},\"age\":{\"type\":\"integer\",\"maximum\":12},"
                                  "\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},\"maxItems\":2}},\"required\":[\"name\"],\"additionalProperties\":false}" },
    { LLM_GRAMMAR_JSON_SCHEMA, LLM_GRAMMAR_COMPACT, "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}}},{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}},{\"const\":null}]}" },
    { LLM_GRAMMAR_REGEX, 0, "(a|aa|ab*c?)*,(true|false|null){1,3}" },
    { LLM_GRAMMAR_GBNF, 0, "root ::= \"(\" root \")\" | \"[\" root \"]\" root | \"a\"" },
    { LLM_GRAMMAR_GBNF, 0, "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"" },
    { LLM_GRAMMAR_JSON_SCHEMA, 0, "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":9}}}" },
    { LLM_GRAMMAR_REGEX, 0, "[a-z\\u00e0-\\u00ff0-9]{3,12}|[^x]*7" },
    { LLM_GRAMMAR_GBNF, 0, "root ::= (word \" \"*)+ | \"-\" root \"_\"\nword ::= [a-m] [a-z0-7]*" },
};

/* A walk of legal tokens by chance: each mask is what single tokens say, nothing is a dead end, forced bytes are. */
static void test_masks(int of)
{
    enum { N = 2000 };
    uint32_t n_tokens = of == WORDS ? N : 600;
    lm_trie *trie = vocabulary(n_tokens, of);
    static char texts[N][256];
    static size_t lens[N];
    for (uint32_t i = 0; i < n_tokens && trie; i++)
        token_text(trie, i, texts[i], &lens[i]);
    for (size_t g = 0; g < sizeof mask_grammars / sizeof *mask_grammars && trie; g++) {
        lm_automaton *a = NULL;
        llm_error error;
        if (of == PIECES_OF_FEW_BYTES && lm_automaton_new(&mem, mask_grammars[g].kind, mask_grammars[g].flags, mask_grammars[g].text, strlen(mask_grammars[g].text), trie->alone, &a, &error) < 0)
            continue;
        lm_automaton_free(&mem, a);
        lm_matcher *m = make(mask_grammars[g].kind, mask_grammars[g].flags, mask_grammars[g].text, strlen(mask_grammars[g].text), trie, &a);
        for (int run = 0; run < (TEST_EMULATED ? 2 : of == WORDS ? 4 : 12) && m; run++) {
            lm_place place = { 0 };
            CHECK(lm_matcher_start(m, &place, &error) == LLM_OK);
            for (int step = 0; step < 30; step++) {
                lm_token_mask mask = { 0 };
                bool strip = step == 0 && run % 2;
                char forced[64];
                size_t n_forced = 0;
                if (!CHECK_MSG(lm_matcher_mask(m, place, strip, &mask, &error) == LLM_OK, "%s", error.message))
                    break;
                CHECK(mask.may_end == lm_matcher_may_end(m, place));
                CHECK(lm_matcher_forced(m, place, forced, sizeof forced, &n_forced, &error) == LLM_OK);
                uint32_t n = 0, pick[N];
                for (uint32_t i = 0; i < n_tokens; i++) {
                    lm_place there = place;
                    bool legal = false;
                    size_t skip = strip && lens[i] && texts[i][0] == ' ';
                    CHECK(lm_matcher_advance(m, &there, texts[i] + skip, lens[i] - skip, &legal, &error) == LLM_OK);
                    legal = legal && lens[i] > skip;
                    CHECK_MSG((mask.bits[i / 64] >> i % 64 & 1) == legal, "grammar %zu, token %u '%.*s'", g, i, (int)lens[i], texts[i]);
                    if (legal)
                        pick[n++] = i;
                    if (legal && n_forced && !skip)
                        CHECK(memcmp(texts[i], forced, lens[i] < n_forced ? lens[i] : n_forced) == 0);
                }
                CHECK(n == mask.n_legal);
                if (n == 0 || (mask.may_end && dice(8) == 0)) {
                    CHECK_MSG(mask.may_end, "a dead end in grammar %zu", g);
                    break;
                }
                uint32_t token = pick[dice(n)];
                size_t skip = strip && texts[token][0] == ' ';
                bool legal = false;
                CHECK(lm_matcher_advance(m, &place, texts[token] + skip, lens[token] - skip, &legal, &error) == LLM_OK && legal);
            }
        }
        drop(m, a);
    }
    lm_trie_drop(trie);
}

/* Tables that are thrown away: places are lost, and the same texts stay legal. */
static void test_flush(void)
{
    lm_automaton *a = NULL;
    lm_matcher *m = NULL;
    llm_error error;
    const char *text = "root ::= \"(\" root \")\" | \"a\"";
    CHECK(lm_automaton_new(&mem, LLM_GRAMMAR_GBNF, 0, text, strlen(text), NULL, &a, &error) == LLM_OK);
    CHECK(lm_matcher_new(&mem, a, NULL, 16384, &m, &error) == LLM_OK);
    lm_place place = { 0 }, old;
    bool legal = false, lost = false;
    CHECK(lm_matcher_start(m, &place, &error) == LLM_OK);
    old = place;
    for (int i = 0; i < 3000; i++) {
        if (!lm_matcher_holds(m, place)) {
            CHECK(lm_matcher_start(m, &place, &error) == LLM_OK);
            CHECK(!lm_matcher_holds(m, old));
            lost = true;
            break;
        }
        CHECK(lm_matcher_advance(m, &place, "(", 1, &legal, &error) == LLM_OK && legal);
    }
    CHECK(lost);
    CHECK(lm_matcher_advance(m, &place, "((a))", 5, &legal, &error) == LLM_OK && legal && lm_matcher_may_end(m, place) && lm_matcher_is_over(m, place));
    CHECK(lm_matcher_start(m, &place, &error) == LLM_OK);
    llm_status status = LLM_OK;
    for (int i = 0; i < 100000 && status == LLM_OK; i++)    /* deeper than all tables */
        status = lm_matcher_advance(m, &place, "(", 1, &legal, &error);
    CHECK(status == LLM_E_LIMIT);
    drop(m, a);
}

/* ---- hostile ---- */

static void expect(int32_t kind, const char *text, size_t len, llm_status status, const char *says)
{
    lm_automaton *a = NULL;
    llm_error error = { 0 };
    llm_status got = lm_automaton_new(&mem, kind, 0, text, len, NULL, &a, &error);
    CHECK_MSG(got == status && (!says || strstr(error.message, says)), "%.60s: %d %s", text, got, error.message);
    CHECK((got < 0) == (a == NULL) && error.message[0] != 0);
    lm_automaton_free(&mem, a);
}

static void test_hostile(void)
{
    static const struct { int32_t kind; llm_status status; const char *text, *says; } rows[] = {
        { LLM_GRAMMAR_GBNF, LLM_E_UNSUPPORTED, "root ::= root \"a\" | \"b\"", "calls itself" },
        { LLM_GRAMMAR_GBNF, LLM_E_UNSUPPORTED, "root ::= a\na ::= \"\" b\nb ::= \"x\"? a \"y\" | \"z\"", "left recursion" },
        { LLM_GRAMMAR_GBNF, LLM_E_INVALID, "root ::= \"a\" root", "no text" },
        { LLM_GRAMMAR_GBNF, LLM_E_FORMAT, "root ::= \"a\n", "line 1" },
        { LLM_GRAMMAR_GBNF, LLM_E_FORMAT, "root ::= \"a\"\nb ::= c", "line 2, byte 19: there is no rule c" },
        { LLM_GRAMMAR_GBNF, LLM_E_FORMAT, "root ::= \"a\"\nroot ::= \"b\"", "second time" },
        { LLM_GRAMMAR_GBNF, LLM_E_FORMAT, "a ::= \"b\"", "no rule root" },
        { LLM_GRAMMAR_GBNF, LLM_E_FORMAT, "", "no rule root" },
        { LLM_GRAMMAR_GBNF, LLM_E_FORMAT, "root ::= [z-a]", "rise" },
        { LLM_GRAMMAR_GBNF, LLM_E_FORMAT, "root ::= \"\\q\"", "escape" },
        { LLM_GRAMMAR_GBNF, LLM_E_FORMAT, "root ::= \"\\ud800\"", "surrogate" },
        { LLM_GRAMMAR_GBNF, LLM_E_UNSUPPORTED, "root ::= <think>", "tokens" },
        { LLM_GRAMMAR_GBNF, LLM_E_LIMIT, "root ::= ((\"a\"{60000}){60000}){60000}", "more than" },
        { LLM_GRAMMAR_GBNF, LLM_E_LIMIT, "root ::= ((\"\"{60000}){60000}){60000}", "more than" },
        { LLM_GRAMMAR_GBNF, LLM_E_LIMIT, "root ::= \"a\"{99999999999}", "above" },
        { LLM_GRAMMAR_REGEX, LLM_E_LIMIT, "((a{1,60000}){1,60000}){1,60000}", "more than" },
        { LLM_GRAMMAR_REGEX, LLM_E_UNSUPPORTED, "a(?=b)", "byte 2" },
        { LLM_GRAMMAR_REGEX, LLM_E_UNSUPPORTED, "(a)\\1", "\\1" },
        { LLM_GRAMMAR_REGEX, LLM_E_FORMAT, "(a", "expected )" },
        { LLM_GRAMMAR_REGEX, LLM_E_FORMAT, "a)", "closes nothing" },
        { LLM_GRAMMAR_REGEX, LLM_E_FORMAT, "*a", "nothing stands" },
        { LLM_GRAMMAR_REGEX, LLM_E_FORMAT, "[a", "no end" },
        { LLM_GRAMMAR_REGEX, LLM_E_FORMAT, "a\xff", "UTF-8" },
        { LLM_GRAMMAR_REGEX, LLM_E_INVALID, "a^b", "no text" },
        { LLM_GRAMMAR_REGEX, LLM_E_INVALID, "[^\\0-\\u{10ffff}]", "no text" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_LIMIT, "{\"pattern\":\"(a|b)*a(a|b){20}\"}", "states" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_LIMIT, "{\"maxLength\":100000000}", "length" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_LIMIT, "{\"minItems\":1e9}", "states" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_LIMIT, "{\"multipleOf\":1e-600}", "digits" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_LIMIT, "{\"minimum\":1e99999999999}", "digits" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_FORMAT, "{\"$ref\":\"#\"}", "refers to itself" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_FORMAT, "{\"anyOf\":[{\"allOf\":[{\"$ref\":\"#\"}]},{}]}", "refers to itself" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_FORMAT, "{\"$ref\":\"#/a/b\"}", "place" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_UNSUPPORTED, "{\"$ref\":\"http://x/\"}", "another document" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_UNSUPPORTED, "{\n \"requierd\": []}", "line 2, byte 15: \"requierd\"" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_UNSUPPORTED, "{\"format\":\"email\"}", "format" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_FORMAT, "{\"minLength\":-1}", "whole number" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_FORMAT, "{\"a\":1,\"a\":2}", "second time" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_FORMAT, "{\"type\":", "ends" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_INVALID, "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "no text" },
        { LLM_GRAMMAR_JSON_SCHEMA, LLM_E_INVALID, "{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}", "no text" },
        { 9, LLM_E_INVALID, "a", "kind" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect(rows[i].kind, rows[i].text, strlen(rows[i].text), rows[i].status, rows[i].says);
    enum { DEEP = 200000 };
    char *deep = malloc(DEEP + 64);
    static const struct { int32_t kind; const char *head, *fill; llm_status status; } towers[] = {
        { LLM_GRAMMAR_REGEX, "", "(", LLM_E_LIMIT }, { LLM_GRAMMAR_REGEX, "", "(?:", LLM_E_LIMIT }, { LLM_GRAMMAR_GBNF, "root ::= ", "(", LLM_E_LIMIT },
        { LLM_GRAMMAR_GBNF, "root ::= \"a\"", "*", LLM_E_LIMIT }, { LLM_GRAMMAR_JSON_SCHEMA, "", "{\"not\":", LLM_E_LIMIT }, { LLM_GRAMMAR_JSON_SCHEMA, "", "[", LLM_E_LIMIT },
    };
    for (size_t i = 0; i < sizeof towers / sizeof *towers; i++) {
        size_t n = strlen(towers[i].head), fill = strlen(towers[i].fill);
        memcpy(deep, towers[i].head, n);
        for (; n + fill <= DEEP; n += fill)
            memcpy(deep + n, towers[i].fill, fill);
        expect(towers[i].kind, deep, n, towers[i].status, NULL);
    }
    /* Choices that multiply: 2 to the 40. */
    size_t n = (size_t)sprintf(deep, "{\"allOf\":[");
    for (int i = 0; i < 40; i++)
        n += (size_t)sprintf(deep + n, "%s{\"anyOf\":[{\"minLength\":%d},{\"maxLength\":%d}]}", i ? "," : "", i, i + 50);
    n += (size_t)sprintf(deep + n, "]}");
    expect(LLM_GRAMMAR_JSON_SCHEMA, deep, n, LLM_E_LIMIT, "cases");
    free(deep);
    CHECK(mem.used == 0);
}

/* Random and damaged grammars: an answer each, no crash, nothing leaked; what is taken can be walked. */
static void test_fuzz(void)
{
    static const char *const seeds[] = {
        ("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},\"contains\":{\"const\":1},\"minItems\":2},\"b\":{\"pattern\":\"^a+$\"}},"
        "\"required\":[\"a\"],\"oneOf\":[{\"minProperties\":1},{\"not\":{\"enum\":[1,\"x\"]}}],\"if\":{\"multipleOf\":3},\"then\":{\"maximum\":99}}"),
        "root ::= (a | \"x\"{2,3})+ # c\na ::= [^a-z\\]] root? | \"\\u00e9\" .",
        "^(?:a|[b-d]\\w{2,3})*?(x{2}|\\d+$)",
    };
    static const int32_t kinds[] = { LLM_GRAMMAR_JSON_SCHEMA, LLM_GRAMMAR_GBNF, LLM_GRAMMAR_REGEX };
    for (int i = 0; i < (TEST_EMULATED ? 200 : 6000); i++) {
        uint32_t which = dice(3);
        char text[600];
        size_t n = strlen(seeds[which]);
        memcpy(text, seeds[which], n);
        for (uint32_t k = 1 + dice(6); k > 0 && n > 1; k--) {
            uint32_t at = dice((uint32_t)n), kind = dice(4);
            if (kind == 0)
                text[at] = (char)dice(256);
            else if (kind == 1 || n > 500) {
                memmove(text + at, text + at + 1, n - at - 1);
                n--;
            } else if (kind == 2) {
                memmove(text + at + 1, text + at, n - at);
                text[at] = "{}[]()\"\\|*+?:,-0"[dice(16)];
                n++;
            } else {
                size_t from = dice((uint32_t)n), len = LM_MIN(n - from, (size_t)dice(20));
                char piece[20];
                memcpy(piece, text + from, len);
                memmove(text + at + len, text + at, n - at);
                memcpy(text + at, piece, len);
                n += len;
            }
        }
        lm_automaton *a = NULL;
        lm_matcher *m = NULL;
        llm_error error = { 0 };
        if (lm_automaton_new(&mem, kinds[which], 0, text, n, NULL, &a, &error) < 0) {
            CHECK(error.message[0] != 0);
            continue;
        }
        CHECK(lm_matcher_new(&mem, a, NULL, 1 << 20, &m, &error) == LLM_OK);
        lm_place place = { 0 };
        llm_status status = lm_matcher_start(m, &place, &error);
        for (int step = 0; step < 40 && status == LLM_OK; step++) {
            uint8_t bytes[32];
            char pick[256];
            uint32_t n_pick = 0;
            bool legal = false;
            lm_matcher_bytes(m, place, bytes);
            for (uint32_t b = 0; b < 256; b++)
                if (bytes[b / 8] >> b % 8 & 1)
                    pick[n_pick++] = (char)b;
            if (n_pick == 0) {
                CHECK_MSG(lm_matcher_may_end(m, place), "a dead end of %.*s", (int)n, text);
                break;
            }
            status = lm_matcher_advance(m, &place, &pick[dice(n_pick)], 1, &legal, &error);
            if (status == LLM_OK && !legal)
                break;                                      /* too many threads */
        }
        CHECK(status == LLM_OK || status == LLM_E_LIMIT);
        drop(m, a);
    }
    CHECK(mem.used == 0);
}

/* ---- failing allocations ---- */

static uint64_t allowed = UINT64_MAX;
static void *fail_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)kind;
    if (allowed == 0)
        return NULL;
    allowed--;
    return aligned_alloc(align, (size + align - 1) / align * align);
}
static void fail_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)size, (void)align, (void)kind;
    free(ptr);
}

static llm_status use_all(lm_mem *m, int32_t kind, const char *text, llm_error *error)
{
    static const llm_str tokens[] = { { "a", 1 }, { "{\"", 2 }, { "\"", 1 }, { "{", 1 }, { "}", 1 }, { "x", 1 }, { ":", 1 }, { "1", 1 }, { ",", 1 }, { "[", 1 }, { "]", 1 }, { "b", 1 } };
    lm_trie *trie = NULL;
    lm_automaton *a = NULL;
    lm_matcher *matcher = NULL;
    lm_place place = { 0 };
    lm_token_mask mask;
    bool legal;
    llm_status status = lm_trie_new(m, tokens, NULL, sizeof tokens / sizeof *tokens, &trie, error);
    if (status == LLM_OK)
        status = lm_automaton_new(m, kind, 0, text, strlen(text), trie->alone, &a, error);
    if (status == LLM_OK)
        status = lm_matcher_new(m, a, trie, 0, &matcher, error);
    if (status == LLM_OK)
        status = lm_matcher_start(matcher, &place, error);
    for (int i = 0; i < 8 && status == LLM_OK; i++) {
        status = lm_matcher_mask(matcher, place, i == 0, &mask, error);
        for (uint32_t t = 0; t < sizeof tokens / sizeof *tokens && status == LLM_OK; t++)
            if (mask.bits[0] >> t & 1) {
                status = lm_matcher_advance(matcher, &place, tokens[t].ptr, tokens[t].len, &legal, error);
                break;
            }
    }
    lm_matcher_free(matcher);
    lm_automaton_free(m, a);
    lm_trie_drop(trie);
    return status;
}

static void test_memory(void)
{
    static const struct { int32_t kind; const char *text; } rows[] = {
        { LLM_GRAMMAR_JSON_SCHEMA, "{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"patternProperties\":{\"x+\":{\"minimum\":1}},\"items\":{\"enum\":[\"ab\",1]},\"required\":[\"a\"],\"pattern\":\"a\"}" },
        { LLM_GRAMMAR_GBNF, "root ::= \"{\" root \"}\" | [ab]+" },
        { LLM_GRAMMAR_REGEX, "(a|b)*x" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        llm_allocator hooks = { .struct_size = sizeof hooks, .allocate = fail_allocate, .release = fail_release };
        llm_error error;
        llm_status status = LLM_E_MEMORY;
        uint64_t n = 0;
        for (; status != LLM_OK && n < 5000; n++) {
            lm_mem m;
            lm_mem_init(&m, &hooks, 0);
            allowed = n;
            status = use_all(&m, rows[i].kind, rows[i].text, &error);
            allowed = UINT64_MAX;
            CHECK_MSG(status == LLM_OK || status == LLM_E_MEMORY, "%s", error.message);
            CHECK(m.used == 0);
        }
        CHECK_MSG(status == LLM_OK, "%s", error.message);
        printf("%llu allocations\n", (unsigned long long)n);
    }
}

int main(void)
{
    lm_mem_init(&mem, NULL, 0);
    test_regex();
    test_gbnf();
    if (!test_json())
        printf("no JSONTestSuite: ../shared/data/structured is absent\n");
    test_tree();
    test_masks(PIECES);
    test_masks(PIECES_OF_FEW_BYTES);
    test_masks(WORDS);
    test_flush();
    test_hostile();
    test_fuzz();
    test_memory();
    CHECK(mem.used == 0);
    return TEST_DONE();
}
