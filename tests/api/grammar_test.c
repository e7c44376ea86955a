/* SPDX-License-Identifier: MIT
 * Replies under grammars, of a random model at a high temperature: each is a text of its grammar or the beginning of one; which one does
 * not depend on budgets, company or what was given up meanwhile; spans without a choice are what drawing them would have said too. */
#include "tiny.h"

static llm_grammar *grammar(llm_model *model, int32_t kind, uint32_t flags, const char *text)
{
    llm_grammar *out = NULL;
    llm_error error;
    CHECK_MSG(llm_grammar_create(llm_model_tokenizer(model), kind, flags, text, LLM_NUL, &out, &error) == LLM_OK, "%s", error.message);
    return out;
}

static llm_sampler *sampler(llm_model *model, const llm_grammar *g, float temperature)
{
    llm_sampler_desc desc = LLM_INIT(llm_sampler_desc);
    llm_sampler *out = NULL;
    llm_error error;
    desc.temperature = temperature;
    desc.grammar = g;
    CHECK_MSG(llm_sampler_create(llm_model_tokenizer(model), &desc, &out, &error) == LLM_OK, "%s", error.message);
    return out;
}

static int32_t reply(llm_session *s, const llm_sampler *how, uint64_t seed, int n, uint32_t flags, int64_t budget, char *text, size_t cap)
{
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    llm_error error;
    llm_status status;
    size_t have = 0, more;
    desc.flags = flags;
    desc.seed = seed;
    desc.max_tokens = n;
    desc.sampler = how;
    CHECK_MSG(llm_session_generate(s, &desc, &error) == LLM_OK, "%s", error.message);
    do {
        status = llm_session_step(&s, 1, budget, 0, &error);
        while (cap - have > 5 && (more = llm_session_read_text(s, text + have, cap - have)) > 0)
            have += more;
    } while (status == LLM_MORE);
    text[have] = 0;
    CHECK_MSG(status == LLM_OK, "%s", error.message);
    return llm_session_state(s);
}

/* "a" or "b", five to nine times, then what the pattern goes on with. */
static int is_ab(const char *text)
{
    size_t n = strspn(text, "ab");
    return n >= 5 && n <= 9 && strcmp(text + n, "END hello world") == 0;
}

/* {"name":"...","age":n} without white space: name of at most 4 characters, age 7 or 8. */
static int is_person(const char *text)
{
    const char *name = "{\"name\":\"", *end;
    if (strncmp(text, name, strlen(name)) != 0 || (end = strstr(text, "\",\"age\":")) == NULL)
        return 0;
    end += strlen("\",\"age\":");
    return (*end == '7' || *end == '8') && strcmp(end + 1, "}") == 0;
}

static const char person[] = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":4},\"age\":{\"type\":\"integer\",\"minimum\":7,\"maximum\":8}},"
                             "\"required\":[\"name\",\"age\"],\"additionalProperties\":false}";

static void test_replies(llm_model *model)
{
    llm_grammar *ab = grammar(model, LLM_GRAMMAR_REGEX, 0, "[ab]{5,9}END hello world"), *json = grammar(model, LLM_GRAMMAR_JSON_SCHEMA, LLM_GRAMMAR_COMPACT, person);
    llm_sampler *of_ab = sampler(model, ab, 5), *of_json = sampler(model, json, 5), *greedy = sampler(model, ab, 0);
    char text[1024], again[1024];
    llm_grammar_free(ab);                                   /* the samplers keep them */
    llm_grammar_free(json);
    for (uint64_t seed = 1; seed <= 40; seed++) {
        llm_session *s = tiny_session(model, 0, 0), *fork = NULL;
        llm_error error;
        llm_token prompt[3] = { TINY_BOS, TINY_HELLO, TINY_WORLD };
        const llm_token *tokens;
        size_t n = 0;
        CHECK(llm_session_append(s, prompt, seed % 4 ? 3 : 1, 0, &error) == LLM_OK);
        int32_t end = reply(s, of_ab, seed, 0, 0, LLM_FOREVER, text, sizeof text);
        CHECK_MSG(end == LLM_END_GRAMMAR && is_ab(text), "%d '%s'", end, text);
        CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK);
        CHECK(llm_session_rewind(s, seed % 4 ? 3 : 1, &error) == LLM_OK);
        end = reply(s, of_ab, seed, 0, 0, 30, again, sizeof again);             /* in slices */
        CHECK_MSG(end == LLM_END_GRAMMAR && strcmp(text, again) == 0, "'%s' in slices is '%s'", text, again);
        CHECK(llm_session_rewind(s, seed % 4 ? 3 : 1, &error) == LLM_OK);
        CHECK(llm_session_fork(s, &fork, &error) == LLM_OK);
        end = reply(s, of_json, seed, 0, 0, LLM_FOREVER, text, sizeof text);
        CHECK_MSG(end == LLM_END_GRAMMAR && is_person(text), "%d '%s'", end, text);
        end = reply(fork, of_json, seed, 12, 0, LLM_FOREVER, again, sizeof again);
        if (strlen(again) > 2 && strcmp(again + strlen(again) - 3, "\xef\xbf\xbd") == 0)
            again[strlen(again) - 3] = 0;                   /* half a character */
        CHECK_MSG(strncmp(text, again, strlen(again)) == 0, "'%s' cut short is '%s'", text, again);
        CHECK(llm_session_rewind(s, seed % 4 ? 3 : 1, &error) == LLM_OK);
        end = reply(s, of_ab, seed, 0, LLM_GENERATE_SCORE | LLM_GENERATE_IGNORE_END, LLM_FOREVER, text, sizeof text);     /* each token drawn */
        CHECK_MSG(end == LLM_END_GRAMMAR && is_ab(text), "%d '%s'", end, text);
        llm_session_free(fork);
        llm_session_free(s);
    }
    llm_session *s = tiny_session(model, 0, 0);
    llm_token bos = TINY_BOS;
    llm_error error;
    CHECK(llm_session_append(s, &bos, 1, 0, &error) == LLM_OK);
    int32_t end = reply(s, greedy, 0, 0, 0, LLM_FOREVER, text, sizeof text);
    CHECK_MSG(end == LLM_END_GRAMMAR && is_ab(text), "%d '%s'", end, text);
    llm_session_free(s);
    llm_sampler_free(of_ab);
    llm_sampler_free(of_json);
    llm_sampler_free(greedy);
}

/* Where the text may end, an end token may be drawn, and only there. */
static void test_ends(llm_model *model)
{
    llm_grammar *g = grammar(model, LLM_GRAMMAR_GBNF, 0, "root ::= (\"ab\")*");
    llm_sampler *how = sampler(model, g, 50);
    char text[4096];
    int ended = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        llm_session *s = tiny_session(model, 0, 0);
        llm_token bos = TINY_BOS;
        llm_error error;
        CHECK(llm_session_append(s, &bos, 1, 0, &error) == LLM_OK);
        int32_t end = reply(s, how, seed, 40, 0, LLM_FOREVER, text, sizeof text);
        for (size_t i = 0; text[i]; i++)
            CHECK(text[i] == "ab"[i % 2]);
        CHECK(end == LLM_END_TOKEN || end == LLM_END_LENGTH);
        CHECK_MSG(end != LLM_END_TOKEN || strlen(text) % 2 == 0, "ended within: '%s'", text);
        ended += end == LLM_END_TOKEN;
        llm_session_free(s);
    }
    CHECK(ended > 10);
    llm_grammar_free(g);
    llm_sampler_free(how);
}

static void test_refusals(llm_model *model)
{
    llm_grammar *g = NULL;
    llm_sampler_desc desc = LLM_INIT(llm_sampler_desc);
    llm_sampler *how = NULL;
    llm_error error;
    const llm_tokenizer *t = llm_model_tokenizer(model);
    CHECK(llm_has(LLM_FEATURE_GRAMMAR) == 1);
    CHECK(llm_grammar_create(t, LLM_GRAMMAR_JSON_SCHEMA, 0, "{\n\"uniqueItems\": true}", LLM_NUL, &g, &error) == LLM_E_UNSUPPORTED);
    CHECK_MSG(strstr(error.message, "line 2") && strstr(error.message, "uniqueItems") && error.offset == 17, "%s", error.message);
    CHECK(llm_grammar_create(t, LLM_GRAMMAR_REGEX, 0, "(", LLM_NUL, &g, &error) == LLM_E_FORMAT && error.offset == 1);
    CHECK(llm_grammar_create(t, LLM_GRAMMAR_REGEX, 8, "a", LLM_NUL, &g, &error) == LLM_E_UNSUPPORTED);
    CHECK(llm_grammar_create(t, 7, 0, "a", LLM_NUL, &g, &error) == LLM_E_INVALID);
    CHECK(llm_grammar_create(NULL, LLM_GRAMMAR_REGEX, 0, "a", LLM_NUL, &g, &error) == LLM_E_INVALID);
    CHECK(llm_grammar_create(t, LLM_GRAMMAR_REGEX, 0, NULL, 0, &g, &error) == LLM_E_INVALID);
    CHECK(g == NULL);
    llm_grammar_free(NULL);
    desc.reserved_ptr = &desc;
    CHECK(llm_sampler_create(t, &desc, &how, &error) == LLM_E_UNSUPPORTED && how == NULL);
}

int main(void)
{
    llm_engine *engine;
    llm_model *model;
    tiny_open(&tiny_small, NULL, &engine, &model);
    test_replies(model);
    test_ends(model);
    test_refusals(model);
    llm_model_free(model);
    llm_engine_free(engine);
    return TEST_DONE();
}
