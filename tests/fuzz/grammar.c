/* SPDX-License-Identifier: MIT
 * A grammar, schema or regular expression, made, and a reply drawn under it from random logits: there is always a legal token or an end, whatever was drawn. Byte 0:
 * kind and flags, byte 1: the seed. */
#include "fuzz.h"
#include "models.h"

void fuzz_seeds(void (*put)(const char *name, const void *data, size_t size))
{
    static const struct { uint8_t kind; const char *text; } texts[] = {
        { 0, "root ::= \"a\" (b | [c-e]+ | [^\"\\\\\\x7F]*)? b{2,3}\nb ::= \"12\" | root2 # c\nroot2 ::= (\"ab\" \"c\")*\n" }, { 0, "root ::= (\"a\"*)*" }, { 0, "root ::= root \"a\" | \"a\"" },
        { 0, "root ::= ((((((((\"a\"))))))))" }, { 0, "root ::= \"a\"{1000000}" }, { 0, "root ::= a b\na ::= \"\\u20ac\"\nb ::= .+" }, { 0, "root ::= *" }, { 0, "root ::= \"\" " },
        { 1, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":12},\"b\":{\"enum\":[1,\"x\",null]}},\"required\":[\"a\"],\"additionalProperties\":false}" },
        { 1, "{\"$defs\":{\"t\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"},\"maxItems\":3}},\"$ref\":\"#/$defs/t\"}" }, { 1, "true" }, { 1, "false" }, { 1, "{\"not\":{}}" },
        { 1, "{\"type\":\"string\",\"pattern\":\"^a[bc]+$\",\"minLength\":2,\"maxLength\":4}" }, { 1, "{\"anyOf\":[{\"const\":1},{\"type\":\"number\",\"multipleOf\":0.5}]}" },
        { 1, "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"boolean\"}],\"items\":{\"type\":\"string\",\"format\":\"date-time\"},\"uniqueItems\":false,\"minItems\":1}" },
        { 1, "{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":true}},{\"required\":[\"a\"]}],\"patternProperties\":{\"^b\":{\"type\":\"null\"}},\"maxProperties\":2}" },
        { 1, "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"if\":{\"const\":1},\"then\":true,\"else\":false}" }, { 1, "[[[[[[[[" },
        { 2, "a(b|c)*d{2,3}[^a-c]?\\d+\\w\\s(?:x|y)+?" }, { 2, "(a*)*b" }, { 2, "[\\u{10000}-\\u{10ffff}]" }, { 2, "(?=a)" }, { 2, "a{1,100000}" }, { 2, "((((((((((a))))))))))" }, { 2, "\\x41[\\]a]|" }
    };
    char name[16] = "g00";
    uint8_t data[1024];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t len = strlen(texts[i].text);
        data[0] = (uint8_t)(texts[i].kind + 3 * (i % 2));
        data[1] = (uint8_t)i;
        memcpy(data + 2, texts[i].text, len);
        name[1] = (char)('0' + i / 10);
        name[2] = (char)('0' + i % 10);
        put(name, data, len + 2);
    }
}

static uint64_t grammar_x;
static void grammar_logits(void *user, float *logits, int32_t n)
{
    (void)user;
    for (int32_t i = 0; i < n; i++) {
        grammar_x = grammar_x * 6364136223846793005u + 1442695040888963407u;
        logits[i] = (float)(grammar_x >> 40) / (1 << 20);
    }
}

static void grammar_reply(llm_model *model, const llm_grammar *grammar, uint64_t seed)
{
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_sampler *sampler = NULL;
    llm_session *s = NULL;
    llm_error error;
    llm_status status;
    llm_token bos = 1;
    char text[256];
    recipe.grammar = grammar;
    recipe.temperature = seed & 1 ? 1.0f : 0.0f;
    recipe.top_k = seed & 2 ? 3 : 0;
    desc.n_ctx = 24;
    status = fuzz_status(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error), &error);
    FUZZ_CHECK(status == LLM_OK, "%s", error.message);
    FUZZ_CHECK(llm_session_create(model, &desc, &s, &error) == LLM_OK && llm_session_append(s, &bos, 1, 0, &error) == LLM_OK, "%s", error.message);
    reply.sampler = sampler;
    reply.max_tokens = 12;
    reply.seed = seed;
    reply.on_logits = grammar_logits;
    reply.flags = seed & 4 ? LLM_GENERATE_SCORE : 0;
    FUZZ_CHECK(llm_session_generate(s, &reply, &error) == LLM_OK, "%s", error.message);
    do {
        status = fuzz_status(llm_session_step(&s, 1, LLM_FOREVER, 0, &error), &error);
        while (llm_session_read_text(s, text, sizeof text) > 0) {}
    } while (status == LLM_MORE);
    FUZZ_CHECK(status == LLM_OK || status == LLM_E_LIMIT, "%s", error.message);
    FUZZ_CHECK(status != LLM_OK || llm_session_state(s) >= LLM_END_TOKEN, "state %d", llm_session_state(s));
    llm_session_free(s);
    llm_sampler_free(sampler);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    llm_engine *engine = fuzz_engine(0);
    llm_model *model = fuzz_model(engine, "llama");
    llm_grammar *grammar = NULL;
    llm_error error;
    int32_t kind = 1 + data[0] % 3;
    grammar_x = data[1];
    fuzz_begin(size);
    fuzz_bounds(FUZZ_GRAMMAR_MS, 128 << 20);
    llm_status status = fuzz_status(llm_grammar_create(llm_model_tokenizer(model), kind, kind == LLM_GRAMMAR_JSON_SCHEMA && data[0] / 3 % 2 ? LLM_GRAMMAR_COMPACT : 0, (const char *)data + 2, size - 2,
                                                       &grammar, &error), &error);
    FUZZ_CHECK((status == LLM_OK) == (grammar != NULL), "status %d", status);
    FUZZ_CHECK(status >= 0 || error.offset == UINT64_MAX || error.offset <= size, "offset %llu", (unsigned long long)error.offset);
    if (grammar)
        grammar_reply(model, grammar, data[1]);
    llm_grammar_free(grammar);
    llm_engine_trim(engine, UINT64_MAX, 0, NULL, &error);
    fuzz_end_kept();
    return 0;
}
