/* SPDX-License-Identifier: MIT
 * The hostile corpus, all else that comes from strangers: E templates, F grammars, G arguments, H saved sessions, I files. Each row is refused with its status, or does no
 * harm; nothing is left over, and a reply afterwards is what it was before. --print writes what each came to. */
#define _GNU_SOURCE 1
#include "fuzz/models.h"

#include "base/digest.h"

#include "test.h"

#include "llm.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOM = 1 << 18 };
static llm_engine *engine;
static llm_model *model;
static llm_session *session;            /* of 40 tokens, taken in */
static bool print;
static int n_rows;
static unsigned char *file;

static llm_source buffer(const void *data, size_t size)
{
    llm_source source = LLM_INIT(llm_source);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = data;
    source.data_len = size;
    return source;
}

static llm_status drain(llm_session *s, llm_error *error)
{
    llm_status status;
    do
        status = llm_session_step(&s, 1, LLM_FOREVER, 0, error);
    while (status == LLM_MORE);
    return status;
}

static void row(const char *name, const char *what, llm_status status, llm_status expected, const llm_error *error, const char *says)
{
    n_rows++;
    if (print)
        printf("%s|%s|%s|%s\n", name, what, llm_status_name(status), status < 0 ? error->message : "");
    else
        CHECK_MSG(status == expected && (status >= 0 || (error->message[0] && strstr(error->message, says))), "%s, %s: %s '%s', expected %s '%s'", name, what, llm_status_name(status),
                  status < 0 ? error->message : "", llm_status_name(expected), says);
}

/* ---- E: templates ---- */

static char *repeat(const char *begin, const char *text, size_t n, const char *end)
{
    size_t len = strlen(text), a = strlen(begin), b = strlen(end);
    char *out = malloc(a + n * len + b + 1);
    memcpy(out, begin, a);
    for (size_t i = 0; i < n; i++)
        memcpy(out + a + i * len, text, len);
    memcpy(out + a + n * len, end, b + 1);
    return out;
}

static void check_template(const char *name, const char *what, const char *text, llm_status expected, const char *says)
{
    llm_chat_desc desc = LLM_INIT(llm_chat_desc);
    llm_chat *chat = NULL;
    llm_error error;
    char out[64];
    size_t n = 0;
    desc.template_text = text;
    desc.template_text_len = LLM_NUL;
    llm_status status = llm_chat_create(model, &desc, &chat, &error);
    CHECK((status == LLM_OK) == (chat != NULL));
    if (chat && (status = llm_chat_add(chat, "user", 4, "hello", 5, &error)) == LLM_OK)
        status = llm_chat_render(chat, 0, out, sizeof out, &n, &error);
    row(name, what, status, expected, &error, says);
    llm_chat_free(chat);
}

static void check_templates(void)
{
    static const struct { const char *what, *text; llm_status status; const char *says; } rows[] = {
        { "classes of Python", "{{ ''.__class__.__mro__[1].__subclasses__() }}", LLM_E_INVALID, "undefined" },
        { "what a function closes over", "{{ cycler.__init__.__globals__.os.popen('id').read() }}", LLM_E_INVALID, "undefined" },
        { "attributes by filter", "{{ messages|attr('__class__') }}", LLM_E_INVALID, "No filter named" },
        { "itself", "{{ self.__init__.__globals__ }}", LLM_E_INVALID, "" },
        { "other files", "{% include '/etc/passwd' %}", LLM_E_UNSUPPORTED, "'include' is not supported" },
        { "imports", "{% import 'os' as os %}", LLM_E_UNSUPPORTED, "'import' is not supported" },
        { "CVE-2026-18581", "{{9|9|{", LLM_E_FORMAT, "" },
        { "a range of 10^9", "{{ range(1000000000)|list|length }}", LLM_E_INVALID, "Range too big" },
        { "a range below 0", "{{ range(-5)|list }}", LLM_OK, "" },
        { "a loop of 10^8", "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}", LLM_E_LIMIT, "limit" },
        { "a string of 10^9", "{{ 'x' * 10**9 }}", LLM_E_LIMIT, "limit" },
        { "a string doubled 40 times", "{% set n = namespace(s='x') %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}", LLM_E_LIMIT, "limit" },
        { "a list doubled 40 times", "{% set n = namespace(s=[1]) %}{% for i in range(40) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}", LLM_E_LIMIT, "limit" },
        { "a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", LLM_E_LIMIT, "" },
        { "a list in itself", "{% set n = namespace(l=[]) %}{% set n.l = [n] %}{{ n.l == n.l }}", LLM_OK, "" },
        { "2^200", "{{ 2**200 }}", LLM_E_UNSUPPORTED, "64 bits" },
        { "a number of 400 digits", "{{ 99999999999999999999999999999999999999999999999999 }}", LLM_E_UNSUPPORTED, "64 bits" },
        { "a division by 0", "{{ 1 // 0 }}", LLM_E_INVALID, "zero" },
        { "a rest by 0", "{{ 1 % 0 }}", LLM_E_INVALID, "zero" },
        { "the least integer by -1", "{{ (-9223372036854775807 - 1) // -1 }}", LLM_E_UNSUPPORTED, "64 bits" },
        { "a step of 0", "{{ 'abc'[::0] }}", LLM_E_INVALID, "zero" },
        { "an index of 2^63 - 1", "{{ [1][9223372036854775807] }}", LLM_OK, "" },
        { "searching a megabyte, again and again", "{% set s = 'a' * 1000000 %}{% for a in range(300) %}{% for b in range(300) %}{% if 'b' in s %}{% endif %}{% endfor %}{% endfor %}", LLM_E_LIMIT, "limit" },
        { "searching what repeats itself", "{% set s = 'a' * 4000000 %}{{ s[:2000000] ~ 'b' in s }}", LLM_E_LIMIT, "limit" },
        { "trimming by a megabyte of letters", "{% set s = 'a' * 2000000 %}{{ s.strip('b' * 1000000 ~ 'a') }}", LLM_E_LIMIT, "limit" },
        { "counting characters of a megabyte, again and again", "{% set s = 'a' * 1000000 %}{% for a in range(300) %}{% for b in range(300) %}{% if s|length == 3 %}{% endif %}{% endfor %}{% endfor %}", LLM_E_LIMIT, "limit" },
        { "a sentence without an end", "{% if 1 %}", LLM_E_FORMAT, "" },
        { "an end without a beginning", "{% endif %}", LLM_E_FORMAT, "" },
        { "a comment without an end", "{# ", LLM_E_FORMAT, "no end" },
        { "a string without an end", "{{ 'abc }}", LLM_E_FORMAT, "" },
        { "half a character", "{{ 1 }}\xe2\x82", LLM_E_FORMAT, "UTF-8" },
        { "what refuses", "{{ raise_exception('no') }}", LLM_E_INVALID, "no" },
        { "a call of what is none", "{{ 1() }}", LLM_E_INVALID, "" },
        { "a filter that is none", "{{ 1|nosuch }}", LLM_E_INVALID, "No filter named" },
        { "the clock", "{{ strftime_now('%Y') }}", LLM_E_INVALID, "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_template("E", rows[i].what, rows[i].text, rows[i].status, rows[i].says);
    char *deep[] = { repeat("", "{% if 1 %}", 100000, ""), repeat("{{ ", "(", 100000, " }}"), repeat("{{ ", "[", 100000, " }}"), repeat("{{ ", "not ", 100000, "1 }}"), repeat("{{ 1", "+1", 100000, " }}"),
                     repeat("", "{", 1 << 20, ""), repeat("", "a", (1 << 20) + 1, ""), repeat("{{ 1", "|string", 50000, " }}"), repeat("{{ a", ".a", 100000, " }}"), repeat("{% for a in ", "[", 5000, "") };
    static const struct { const char *what; llm_status status; const char *says; } deep_rows[] = {
        { "100,000 ifs in one another", LLM_E_LIMIT, "" }, { "100,000 parentheses", LLM_E_LIMIT, "" }, { "100,000 lists", LLM_E_LIMIT, "" }, { "100,000 nots", LLM_E_LIMIT, "" },
        { "a sum of 100,000", LLM_E_LIMIT, "" }, { "a mebibyte of braces", LLM_E_LIMIT, "" }, { "a byte more than a mebibyte", LLM_E_LIMIT, "1048576" }, { "50,000 filters", LLM_E_LIMIT, "" },
        { "100,000 attributes", LLM_E_LIMIT, "" }, { "5,000 lists in a loop without an end", LLM_E_LIMIT, "" } };
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        check_template("E", deep_rows[i].what, deep[i], deep_rows[i].status, deep_rows[i].says);
        free(deep[i]);
    }
}

/* ---- F: grammars ---- */

static void check_grammar(const char *what, int32_t kind, const char *text, size_t len, llm_status expected, const char *says)
{
    llm_grammar *grammar = NULL;
    llm_error error;
    llm_status status = llm_grammar_create(llm_model_tokenizer(model), kind, 0, text, len, &grammar, &error);
    CHECK((status == LLM_OK) == (grammar != NULL));
    row("F", what, status, expected, &error, says);
    llm_grammar_free(grammar);
}

static void check_grammars(void)
{
    static const struct { const char *what; int32_t kind; const char *text; llm_status status; const char *says; } rows[] = {
        { "CVE-2026-2069: stars of stars", LLM_GRAMMAR_GBNF, "root ::= (\"a\"*)*", LLM_OK, "" },
        { "left recursion", LLM_GRAMMAR_GBNF, "root ::= root \"a\" | \"a\"", LLM_E_UNSUPPORTED, "" },
        { "left recursion by way of an empty rule", LLM_GRAMMAR_GBNF, "root ::= e root \"a\" | \"a\"\ne ::= \"\"", LLM_E_UNSUPPORTED, "" },
        { "no end", LLM_GRAMMAR_GBNF, "root ::= \"a\" root", LLM_E_INVALID, "" },
        { "no root", LLM_GRAMMAR_GBNF, "a ::= \"b\"", LLM_E_FORMAT, "root" },
        { "a rule that is not there", LLM_GRAMMAR_GBNF, "root ::= nosuch", LLM_E_FORMAT, "nosuch" },
        { "a rule twice", LLM_GRAMMAR_GBNF, "root ::= \"a\"\nroot ::= \"b\"", LLM_E_FORMAT, "second time" },
        { "how often, of nothing", LLM_GRAMMAR_GBNF, "root ::= *", LLM_E_FORMAT, "" },
        { "a million times", LLM_GRAMMAR_GBNF, "root ::= \"a\"{1000000}", LLM_E_LIMIT, "" },
        { "a thousand times a thousand times", LLM_GRAMMAR_GBNF, "root ::= ((\"a\"{1000}){1000}){1000}", LLM_E_LIMIT, "" },
        { "fewer than least", LLM_GRAMMAR_GBNF, "root ::= \"a\"{3,2}", LLM_E_FORMAT, "" },
        { "a set without an end", LLM_GRAMMAR_GBNF, "root ::= [a-", LLM_E_FORMAT, "" },
        { "a character beyond Unicode", LLM_GRAMMAR_GBNF, "root ::= \"\\U00110000\"", LLM_E_FORMAT, "" },
        { "what this vocabulary cannot write", LLM_GRAMMAR_GBNF, "root ::= \"\\xF0\\x9F\\x98\\x80\"", LLM_E_INVALID, "" },
        { "a schema of itself", LLM_GRAMMAR_JSON_SCHEMA, "{\"$ref\":\"#\"}", LLM_E_FORMAT, "refers to itself" },
        { "a reference to nowhere", LLM_GRAMMAR_JSON_SCHEMA, "{\"$ref\":\"#/$defs/x\"}", LLM_E_FORMAT, "" },
        { "a reference to another document", LLM_GRAMMAR_JSON_SCHEMA, "{\"$ref\":\"http://example.org/x\"}", LLM_E_UNSUPPORTED, "" },
        { "nothing satisfies it", LLM_GRAMMAR_JSON_SCHEMA, "false", LLM_E_INVALID, "" },
        { "least above most", LLM_GRAMMAR_JSON_SCHEMA, "{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", LLM_E_INVALID, "" },
        { "a minimum of 1e999999999", LLM_GRAMMAR_JSON_SCHEMA, "{\"type\":\"integer\",\"minimum\":1e999999999}", LLM_E_LIMIT, "digits" },
        { "strings of 10^9", LLM_GRAMMAR_JSON_SCHEMA, "{\"type\":\"string\",\"minLength\":1000000000}", LLM_E_LIMIT, "" },
        { "arrays of 10^9", LLM_GRAMMAR_JSON_SCHEMA, "{\"type\":\"array\",\"minItems\":1000000000}", LLM_E_LIMIT, "" },
        { "a type that is none", LLM_GRAMMAR_JSON_SCHEMA, "{\"type\":\"nosuch\"}", LLM_E_FORMAT, "" },
        { "a number as a schema", LLM_GRAMMAR_JSON_SCHEMA, "3", LLM_E_FORMAT, "" },
        { "no JSON", LLM_GRAMMAR_JSON_SCHEMA, "{\"a\"", LLM_E_FORMAT, "" },
        { "a pattern that blows up", LLM_GRAMMAR_JSON_SCHEMA, "{\"type\":\"string\",\"pattern\":\"^(a?){500}(b?){500}$\"}", LLM_OK, "" },
        { "CVE class ReDoS", LLM_GRAMMAR_REGEX, "(a+)+b", LLM_OK, "" },
        { "a regex of 10^5 times", LLM_GRAMMAR_REGEX, "(a{1000}){1000}", LLM_E_LIMIT, "" },
        { "a lookahead", LLM_GRAMMAR_REGEX, "(?=a)b", LLM_E_UNSUPPORTED, "" },
        { "a backreference", LLM_GRAMMAR_REGEX, "(a)\\1", LLM_E_UNSUPPORTED, "" },
        { "a parenthesis without an end", LLM_GRAMMAR_REGEX, "(a", LLM_E_FORMAT, "" },
        { "how often, of nothing, as a regex", LLM_GRAMMAR_REGEX, "+a", LLM_E_FORMAT, "" },
        { "half a character", LLM_GRAMMAR_REGEX, "a\xe2\x82", LLM_E_FORMAT, "" },
        { "a kind that is none", 9, "a", LLM_E_INVALID, "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_grammar(rows[i].what, rows[i].kind, rows[i].text, LLM_NUL, rows[i].status, rows[i].says);
    char *deep[] = { repeat("root ::= ", "(", 60000, "\"a\""), repeat("", "[", 60000, ""), repeat("", "(", 60000, ""), repeat("", "{\"not\":", 60000, ""), repeat("", "{\"items\":", 150, "true"),
                     repeat("root ::= \"a\"", "| \"a\"", 100000, ""), repeat("", "a|", 300000, ""), repeat("", " ", (1 << 20) + 1, "") };
    static const struct { const char *what; int32_t kind; llm_status status; } deep_rows[] = {
        { "60,000 parentheses", LLM_GRAMMAR_GBNF, LLM_E_LIMIT }, { "60,000 arrays", LLM_GRAMMAR_JSON_SCHEMA, LLM_E_LIMIT }, { "60,000 parentheses of a regex", LLM_GRAMMAR_REGEX, LLM_E_LIMIT },
        { "60,000 schemas", LLM_GRAMMAR_JSON_SCHEMA, LLM_E_LIMIT }, { "a schema that is cut off", LLM_GRAMMAR_JSON_SCHEMA, LLM_E_FORMAT }, { "100,000 ways to say a", LLM_GRAMMAR_GBNF, LLM_OK },
        { "300,000 ways to say a", LLM_GRAMMAR_REGEX, LLM_OK }, { "a byte more than a mebibyte", LLM_GRAMMAR_JSON_SCHEMA, LLM_E_LIMIT } };
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        check_grammar(deep_rows[i].what, deep_rows[i].kind, deep[i], strlen(deep[i]), deep_rows[i].status, "");
        free(deep[i]);
    }
    char *chain = malloc(200000);                           /* 5,000 rules, each calling the next */
    size_t at = (size_t)sprintf(chain, "root ::= r0\n");
    for (int i = 0; i < 5000; i++)
        at += (size_t)sprintf(chain + at, "r%d ::= r%d | \"a\"\n", i, i + 1);
    sprintf(chain + at, "r5000 ::= \"b\"");
    check_grammar("5,000 rules in a chain", LLM_GRAMMAR_GBNF, chain, strlen(chain), LLM_OK, "");
    free(chain);
}

/* ---- G: arguments ---- */

static void check_arguments(void)
{
    llm_error error;
    llm_sampler_desc recipe;
    llm_sampler *sampler = NULL;
    llm_session_desc desc;
    llm_session *s = NULL;
    llm_engine_desc machine;
    llm_engine *other = NULL;
    llm_generate_desc reply;
    llm_token token;
    size_t n = 0;
    char text[8];
    const llm_tokenizer *t = llm_model_tokenizer(model);
#define SAMPLER(what, field, value, expected)                                                        \
    do {                                                                                             \
        recipe = (llm_sampler_desc)LLM_INIT(llm_sampler_desc);                                       \
        recipe.field = value;                                                                        \
        row("G", what, llm_sampler_create(t, &recipe, &sampler, &error), expected, &error, "");      \
        llm_sampler_free(sampler);                                                                   \
        sampler = NULL;                                                                              \
    } while (0)
    SAMPLER("a temperature below 0", temperature, -1.0f, LLM_E_INVALID);
    SAMPLER("a temperature that is no number", temperature, NAN, LLM_E_INVALID);
    SAMPLER("an infinite temperature", temperature, INFINITY, LLM_E_INVALID);
    SAMPLER("a top_k below 0", top_k, -1, LLM_E_INVALID);
    SAMPLER("a top_k of 2^31 - 1", top_k, INT32_MAX, LLM_OK);
    SAMPLER("a top_p that is no number", top_p, NAN, LLM_E_INVALID);
    SAMPLER("a top_p of 2", top_p, 2.0f, LLM_E_INVALID);
    SAMPLER("a min_p below 0", min_p, -0.1f, LLM_E_INVALID);
    SAMPLER("a penalty of nothing", repeat_penalty, -1.0f, LLM_E_INVALID);
    SAMPLER("a dry_allowed_length below 0", dry_allowed_length, -1, LLM_E_INVALID);
    SAMPLER("a dry_base below 1", dry_base, -3.0f, LLM_E_INVALID);
    SAMPLER("a penalty_last_n of -2^31", penalty_last_n, INT32_MIN, LLM_E_INVALID);
    SAMPLER("Mirostat 3", mirostat, 3, LLM_E_INVALID);
    SAMPLER("an unknown flag", flags, 1, LLM_E_UNSUPPORTED);
    SAMPLER("a reserved field", reserved, 1, LLM_E_UNSUPPORTED);
    SAMPLER("a descriptor of 7 bytes", struct_size, 7, LLM_E_INVALID);
    SAMPLER("a descriptor of 2^32 - 1 bytes", struct_size, UINT32_MAX, LLM_E_INVALID);
    SAMPLER("a list that is not there", n_biases, 3, LLM_E_INVALID);
    SAMPLER("2^63 breakers at no address, which are the usual ones", n_dry_breakers, SIZE_MAX / 2, LLM_OK);
#define SESSION(what, field, value, expected)                                                        \
    do {                                                                                             \
        desc = (llm_session_desc)LLM_INIT(llm_session_desc);                                         \
        desc.field = value;                                                                          \
        row("G", what, llm_session_create(model, &desc, &s, &error), expected, &error, "");          \
        llm_session_free(s);                                                                         \
        s = NULL;                                                                                    \
    } while (0)
    SESSION("a context below 0", n_ctx, -1, LLM_E_INVALID);
    SESSION("a context of -2^31", n_ctx, INT32_MIN, LLM_E_INVALID);
    SESSION("a state type that is none", state_type, 3, LLM_E_INVALID);
    SESSION("CVE-2026-21869: keep below 0", n_keep, -1, LLM_E_INVALID);
    SESSION("keep more than half", n_keep, INT32_MAX, LLM_E_INVALID);
    SESSION("what to do when full, that is none", when_full, 2, LLM_E_INVALID);
    SESSION("a session's unknown flag", flags, 2, LLM_E_UNSUPPORTED);
#define ENGINE(what, field, value, expected)                                                         \
    do {                                                                                             \
        machine = (llm_engine_desc)LLM_INIT(llm_engine_desc);                                        \
        machine.field = value;                                                                       \
        row("G", what, llm_engine_create(LLM_ABI, &machine, &other, &error), expected, &error, "");  \
        llm_engine_free(other);                                                                      \
        other = NULL;                                                                                \
    } while (0)
    ENGINE("threads below 0", n_threads, -1, LLM_E_INVALID);
    ENGINE("2^31 - 1 threads", n_threads, INT32_MAX, LLM_E_INVALID);
    ENGINE("arenas below 0", n_arenas, -1, LLM_E_INVALID);
    ENGINE("chunks of 2^31 - 1", n_chunk, INT32_MAX, LLM_E_INVALID);
    ENGINE("a tier that is none", cpu_tier, 99, LLM_E_INVALID);
    ENGINE("a limit of one byte", memory_limit, 1, LLM_E_MEMORY);
    row("G", "an ABI of the future", llm_engine_create(0xffffffffu, NULL, &other, &error), LLM_E_VERSION, &error, "");
    token = -1;
    row("G", "token -1", llm_session_append(session, &token, 1, 0, &error), LLM_E_INVALID, &error, "");
    token = MODELS_VOCAB;
    row("G", "the token behind the last", llm_session_append(session, &token, 1, 0, &error), LLM_E_INVALID, &error, "");
    token = INT32_MAX;
    row("G", "token 2^31 - 1", llm_session_sync(session, &token, 1, 0, &error), LLM_E_INVALID, &error, "");
    row("G", "a text of 2^63 - 1 bytes", llm_tokenizer_encode(t, text, SIZE_MAX / 2, 0, &token, 1, &n, &error), LLM_E_LIMIT, &error, "");
    row("G", "2^60 tokens to decode", llm_tokenizer_decode(t, &token, 0, 1u << 31, text, 8, &n, &error), LLM_E_UNSUPPORTED, &error, "");
    row("G", "back to more than there are", llm_session_rewind(session, 41, &error), LLM_E_INVALID, &error, "");
    row("G", "back to 2^64 - 1", llm_session_rewind(session, SIZE_MAX, &error), LLM_E_INVALID, &error, "");
    row("G", "a step of nobody", llm_session_step(NULL, 1, 0, 0, &error), LLM_E_INVALID, &error, "");
    row("G", "a step of the same session twice", llm_session_step((llm_session *[]){ session, session }, 2, 0, 0, &error), LLM_E_INVALID, &error, "");
    row("G", "the least budget there is", llm_session_step(&session, 1, INT64_MIN, 0, &error), LLM_OK, &error, "");
    row("G", "the largest budget there is", llm_session_step(&session, 1, INT64_MAX - 1, 0, &error), LLM_OK, &error, "");
#define REPLY(what, field, value, expected)                                                          \
    do {                                                                                             \
        reply = (llm_generate_desc)LLM_INIT(llm_generate_desc);                                      \
        reply.field = value;                                                                         \
        row("G", what, llm_session_generate(session, &reply, &error), expected, &error, "");         \
    } while (0)
    REPLY("tokens below 0", max_tokens, -1, LLM_E_INVALID);
    REPLY("a reply's unknown flag", flags, 1u << 31, LLM_E_UNSUPPORTED);
    REPLY("stops that are not there", n_stops, 2, LLM_E_INVALID);
    REPLY("stop tokens that are not there", n_stop_tokens, SIZE_MAX, LLM_E_INVALID);
    CHECK(llm_session_n_tokens(session) == 40 && llm_session_n_pending(session) == 0);
}

/* ---- D, G: texts that take long elsewhere ---- */

static void check_texts(void)
{
    static const struct { const char *what, *text; } rows[] = { { "a million letters of one kind", "a" }, { "a million line ends", "\n" }, { "a million spaces", " " }, { "a million halves of characters", "\xe2" },
                                                                { "a million control tokens", "<|c|>" }, { "a million beginnings of control tokens", "<|" } };
    enum { N = 1000000 };
    llm_error error;
    llm_token *tokens = malloc((N + 3) * sizeof *tokens);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (uint32_t flags = 0; flags < 4; flags += 2) {
            char *text = repeat("", rows[i].text, N / strlen(rows[i].text), "");
            size_t n = 0;
            row("D2", rows[i].what, llm_tokenizer_encode(llm_model_tokenizer(model), text, strlen(text), flags, tokens, N + 3, &n, &error), LLM_OK, &error, "");
            free(text);
        }
    free(tokens);
}

/* ---- H: saved sessions ---- */

static struct { unsigned char *data; size_t size; } saved;
static llm_status save_write(void *user, const void *data, size_t n)
{
    (void)user;
    if (n > ROOM - saved.size)
        return LLM_E_IO;
    memcpy(saved.data + saved.size, data, n);
    saved.size += n;
    return LLM_OK;
}

static void seal(unsigned char *bytes, size_t size)
{
    uint64_t digest = lm_digest_of(bytes, 120), n;
    memcpy(bytes + 120, &digest, 8);
    for (size_t at = 128; at + 24 <= size; at += 16 + (((size_t)n + 7) & ~(size_t)7) + 8) {
        memcpy(&n, bytes + at + 8, 8);
        if (n > size - at - 24 || 16 + ((n + 7) & ~(uint64_t)7) + 8 > size - at)
            return;
        digest = lm_digest_of(bytes + at, 16 + (((size_t)n + 7) & ~(size_t)7));
        memcpy(bytes + at + 16 + (((size_t)n + 7) & ~(size_t)7), &digest, 8);
    }
}

static void check_saved(void)
{
    /* a number of the header or of the first sections; sealed: the digests are made right again */
    static const struct { const char *what; size_t at, width; uint64_t value; bool sealed; llm_status status; const char *says; } rows[] = {
        { "another magic", 0, 4, 0x12345678, true, LLM_E_FORMAT, "" }, { "version 0", 8, 4, 0, true, LLM_E_FORMAT, "" }, { "version 2^32 - 1", 8, 4, UINT32_MAX, true, LLM_E_VERSION, "" },
        { "no sections", 12, 4, 0, true, LLM_E_FORMAT, "" }, { "2^32 - 1 sections", 12, 4, UINT32_MAX, true, LLM_E_FORMAT, "" }, { "a size of 0", 16, 8, 0, true, LLM_E_FORMAT, "" },
        { "a size of 2^64 - 1", 16, 8, UINT64_MAX, true, LLM_E_FORMAT, "" }, { "another arithmetic, unsealed", 24, 4, 9, false, LLM_E_FORMAT, "" },
        { "another arithmetic", 24, 4, 9, true, LLM_OK, "" }, { "a state type that is none: taken in anew", 28, 4, 77, true, LLM_OK, "" }, { "another model", 32, 8, 1, true, LLM_E_MISMATCH, "" },
        { "another vocabulary", 40, 8, 1, true, LLM_E_MISMATCH, "" }, { "no tokens", 48, 8, 0, true, LLM_E_FORMAT, "" }, { "one token more", 48, 8, 41, true, LLM_E_FORMAT, "" },
        { "2^32 tokens", 48, 8, 1ull << 32, true, LLM_E_CONTEXT_FULL, "" }, { "2^62 tokens, whose bytes wrap", 48, 8, 1ull << 62, true, LLM_E_CONTEXT_FULL, "" },
        { "2^64 - 1 tokens", 48, 8, UINT64_MAX, true, LLM_E_CONTEXT_FULL, "" }, { "more taken in than there are", 56, 8, 41, true, LLM_E_FORMAT, "" },
        { "2^63 taken in", 56, 8, 1ull << 63, true, LLM_E_FORMAT, "" }, { "2^64 - 1 forgotten: positions go round", 64, 8, UINT64_MAX, true, LLM_OK, "" },
        { "more drawn than there are", 72, 8, 41, true, LLM_E_FORMAT, "" }, { "a vocabulary of 2^32 - 1", 84, 4, UINT32_MAX, true, LLM_E_MISMATCH, "" },
        { "an unknown way to see positions: taken in anew", 88, 4, 64, true, LLM_OK, "" }, { "what is kept for later, sealed", 92, 4, 1, true, LLM_OK, "" },
        { "a section of an unknown kind", 128, 4, 99, true, LLM_E_VERSION, "" }, { "a section of 2^64 - 1 bytes", 136, 8, UINT64_MAX, true, LLM_E_FORMAT, "" },
        { "a section of no bytes", 136, 8, 0, true, LLM_E_FORMAT, "" }, { "a token of -1", 144, 4, UINT32_MAX, true, LLM_E_FORMAT, "" },
        { "the token behind the last", 144, 4, MODELS_VOCAB, true, LLM_E_FORMAT, "" }, { "a token, unsealed", 144, 4, 7, false, LLM_E_FORMAT, "" },
    };
    llm_writer writer = LLM_INIT(llm_writer);
    llm_sink sink = LLM_INIT(llm_sink);
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *s = NULL;
    llm_error error;
    saved.data = malloc(ROOM);
    unsigned char *copy = malloc(ROOM);
    writer.write = save_write;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    desc.n_ctx = 64;
    CHECK(llm_session_save_to(session, &sink, NULL, &error) == LLM_OK && llm_session_create(model, &desc, &s, &error) == LLM_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        llm_source source = buffer(copy, saved.size);
        memcpy(copy, saved.data, saved.size);
        memcpy(copy + rows[i].at, &rows[i].value, rows[i].width);
        if (rows[i].sealed)
            seal(copy, saved.size);
        llm_status status = llm_session_restore_from(s, &source, 0, &error);
        row("H", rows[i].what, status, rows[i].status, &error, rows[i].says);
        CHECK_MSG(llm_session_n_tokens(s) == (status == LLM_OK ? 40 : 0), "%s: %zu tokens", rows[i].what, llm_session_n_tokens(s));
        CHECK(llm_session_rewind(s, 0, &error) == LLM_OK);
    }
    for (size_t size = 0; size < saved.size; size += size < 400 ? 1 : 97) {      /* cut anywhere: with its own size, or one that says so */
        llm_source source = buffer(copy, size);
        memcpy(copy, saved.data, saved.size);
        CHECK_MSG(llm_session_restore_from(s, &source, 0, &error) == LLM_E_FORMAT, "cut to %zu bytes: '%s'", size, error.message);
        memcpy(copy + 16, &(uint64_t){ size }, 8);
        seal(copy, size < 128 ? 128 : size);
        CHECK_MSG(llm_session_restore_from(s, &source, 0, &error) == LLM_E_FORMAT, "cut to %zu bytes that say so: '%s'", size, error.message);
    }
    memcpy(copy, saved.data, saved.size);
    llm_source source = buffer(copy, saved.size + 1);
    row("H", "a byte behind the end", llm_session_restore_from(s, &source, 0, &error), LLM_E_FORMAT, &error, "");
    llm_session_free(s);
    desc.n_ctx = 39;
    CHECK(llm_session_create(model, &desc, &s, &error) == LLM_OK);
    source = buffer(saved.data, saved.size);
    row("H", "more tokens than the context", llm_session_restore_from(s, &source, 0, &error), LLM_E_CONTEXT_FULL, &error, "");
    llm_session_free(s);
    desc.n_ctx = 64;
    desc.state_type = LLM_STATE_TYPE_INT8;
    s = NULL;
    CHECK(llm_session_create(model, &desc, &s, &error) == LLM_OK);
    row("H", "another state type, which is needed", llm_session_restore_from(s, &source, LLM_RESTORE_NEED_STATE, &error), LLM_E_UNSUPPORTED, &error, "");
    row("H", "another state type", llm_session_restore_from(s, &source, 0, &error), LLM_OK, &error, "");
    CHECK(llm_session_n_pending(s) == 40 && drain(s, &error) == LLM_OK);
    llm_session_free(s);
    free(saved.data);
    free(copy);
}

/* ---- I: files ---- */

static llm_status load_path(const char *path, llm_error *error)
{
    llm_model *m = NULL;
    llm_status status = llm_model_load(engine, path, LLM_NUL, NULL, &m, error);
    llm_model_free(m);
    return status;
}

static bool put_file(const char *path, const void *data, size_t size)
{
    FILE *out = fopen(path, "wb");
    return CHECK(out && fwrite(data, 1, size, out) == size && fclose(out) == 0);
}

/* Part `no` of `count`, with all tensors in the first. */
static size_t make_part(doc *d, uint16_t no, uint16_t count)
{
    if (no == 0) {
        models_make_named(d, "gemma");
    } else {
        doc_clear(d);
    }
    doc_set(d, "split.no", DOC_U16, &no, 2);
    doc_set(d, "split.count", DOC_U16, &count, 2);
    doc_set(d, "split.tensors.count", DOC_I32, &(int32_t){ 12 }, 4);
    doc_place(d);
    return doc_write(d, file, ROOM);
}

static void check_files(void)
{
    char folder[] = "/tmp/llm_hostile_XXXXXX", path[256], other[256];
    llm_error error;
    doc *d = doc_new();
    if (!CHECK(mkdtemp(folder) != NULL))
        return;
#define AT(name) (snprintf(path, sizeof path, "%s/%s", folder, name), path)
    row("I", "a folder", load_path(folder, &error), LLM_E_IO, &error, "");
    row("I", "nothing there", load_path(AT("none.gguf"), &error), LLM_E_NOT_FOUND, &error, "");
    CHECK(symlink(AT("loop"), path) == 0);
    row("I", "a link to itself", load_path(path, &error), LLM_E_IO, &error, "");
    unlink(path);
    CHECK(mkfifo(AT("fifo"), 0600) == 0);
    row("I", "a pipe that nobody writes to", load_path(path, &error), LLM_E_IO, &error, "");
    unlink(path);
    row("I", "/dev/zero", load_path("/dev/zero", &error), LLM_E_IO, &error, "");
    row("I", "/dev/random", load_path("/dev/random", &error), LLM_E_IO, &error, "");
    row("I", "/dev/null", load_path("/dev/null", &error), LLM_E_IO, &error, "");
    models_make_named(d, "llama");
    size_t size = doc_write(d, file, ROOM);
    put_file(AT("sparse"), file, size);
    if (truncate(path, (off_t)1 << 40) == 0)
        row("I", "a tebibyte of nothing behind a model", load_path(path, &error), LLM_OK, &error, "");
    put_file(path, "", 0);
    if (truncate(path, (off_t)1 << 40) == 0)
        row("I", "a tebibyte of nothing", load_path(path, &error), LLM_E_FORMAT, &error, "");
    unlink(path);
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    llm_model *m = NULL;
    source.kind = LLM_SOURCE_FD;
    source.fd = 987654;
    row("I", "a descriptor that is not open", llm_model_load_from(engine, &part, 1, NULL, &m, &error), LLM_E_IO, &error, "");
    put_file(AT("plain"), file, size);
    int fd = open(path, O_RDONLY);
    source.fd = fd;
    source.offset = UINT64_MAX - 3;
    row("I", "an offset of 2^64 - 4", llm_model_load_from(engine, &part, 1, NULL, &m, &error), LLM_E_INVALID, &error, "");
    source.offset = 16;
    source.size = UINT64_MAX - 8;
    row("I", "an offset and a size that wrap", llm_model_load_from(engine, &part, 1, NULL, &m, &error), LLM_E_INVALID, &error, "");
    source.offset = size + 1;
    source.size = 0;
    row("I", "an offset behind the end", llm_model_load_from(engine, &part, 1, NULL, &m, &error), LLM_E_INVALID, &error, "");
    close(fd);
    unlink(path);
    size = make_part(d, 0, UINT16_MAX);
    put_file(AT("m-00001-of-00002.gguf"), file, size);
    row("I", "65,535 parts", load_path(path, &error), LLM_E_LIMIT, &error, "");
    size = make_part(d, 0, 2);
    put_file(path, file, size);
    row("I", "a part that is missing", load_path(path, &error), LLM_E_NOT_FOUND, &error, "");
    snprintf(other, sizeof other, "%s/m-00002-of-00002.gguf", folder);
    put_file(other, file, size);
    row("I", "the first part twice", load_path(path, &error), LLM_E_FORMAT, &error, "split.no");
    size = make_part(d, 1, 3);
    put_file(other, file, size);
    row("I", "a part of another number of parts", load_path(path, &error), LLM_E_FORMAT, &error, "split.count");
    size = make_part(d, 1, 2);
    put_file(other, file, size);
    row("I", "the second part first", load_path(other, &error), LLM_E_FORMAT, &error, "split.no");
    row("I", "parts that hold another number of tensors", load_path(path, &error), LLM_E_FORMAT, &error, "split.tensors.count");
    snprintf(other, sizeof other, "%s/odd.gguf", folder);
    CHECK(rename(path, other) == 0);
    row("I", "a first part whose name does not tell the others'", load_path(other, &error), LLM_E_FORMAT, &error, "");
    unlink(other);
    snprintf(other, sizeof other, "%s/m-00002-of-00002.gguf", folder);
    unlink(other);
    rmdir(folder);
    llm_reader reader = LLM_INIT(llm_reader);
    source = (llm_source)LLM_INIT(llm_source);
    source.kind = LLM_SOURCE_READER;
    source.reader = &reader;
    row("I", "a reader without a function", llm_model_load_from(engine, &part, 1, NULL, &m, &error), LLM_E_INVALID, &error, "");
    source.kind = LLM_SOURCE_BUFFER;
    source.data_len = 100;
    row("I", "100 bytes at no address", llm_model_load_from(engine, &part, 1, NULL, &m, &error), LLM_E_INVALID, &error, "");
    CHECK(m == NULL);
    doc_free(d);
#undef AT
}

int main(int argc, char **argv)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_session_desc session_desc = LLM_INIT(llm_session_desc);
    llm_error error;
    const float *logits;
    float before[MODELS_VOCAB], after[MODELS_VOCAB];
    llm_token tokens[40];
    size_t n = 0;
    doc *d = doc_new();
    print = argc > 1 && strcmp(argv[1], "--print") == 0;
    file = malloc(ROOM);
    desc.n_threads = 1;
    models_make_named(d, "llama");
    llm_source source = buffer(file, doc_write(d, file, ROOM));
    const llm_source *part = &source;
    session_desc.n_ctx = 64;
    for (int i = 0; i < 40; i++)
        tokens[i] = (i * 7 + 1) % MODELS_VOCAB;
    CHECK_MSG(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK && llm_model_load_from(engine, &part, 1, NULL, &model, &error) == LLM_OK &&
                  llm_session_create(model, &session_desc, &session, &error) == LLM_OK && llm_session_append(session, tokens, 40, 0, &error) == LLM_OK && drain(session, &error) == LLM_OK,
              "%s", error.message);
    CHECK(llm_session_logits(session, &logits, &n, &error) == LLM_OK && n == MODELS_VOCAB);
    memcpy(before, logits, sizeof before);
    check_templates();
    check_grammars();
    check_arguments();
    check_texts();
    check_saved();
    check_files();
    CHECK(llm_session_park(session, &error) == LLM_OK && drain(session, &error) == LLM_OK && llm_session_logits(session, &logits, &n, &error) == LLM_OK);
    memcpy(after, logits, sizeof after);
    CHECK(memcmp(before, after, sizeof before) == 0);
    llm_session_free(session);
    llm_model_free(model);
    llm_engine_free(engine);
    doc_free(d);
    free(file);
    if (!print)
        printf("%d rows\n", n_rows);
    return TEST_DONE();
}
