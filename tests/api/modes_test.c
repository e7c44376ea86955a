/* SPDX-License-Identifier: MIT
 * Hosts whose threads flush denormals to zero, round elsewhere, or count with commas: everything comes to the same bits, and the host's mode is as it was. Each call is
 * made under each mode: loading, quantizing, prompts, sampling, templates, grammars. */
#include "tiny.h"

#include <fenv.h>
#include <locale.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

static tiny_file file;

static llm_status modes_take(void *user, const void *data, size_t n)
{
    uint64_t *hash = user;
    *hash = tiny_hash(data, n, *hash);
    return LLM_OK;
}

static uint64_t modes_quantize(llm_engine *engine)
{
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    llm_writer writer = LLM_INIT(llm_writer);
    llm_sink sink = LLM_INIT(llm_sink);
    llm_quantize_desc desc = LLM_INIT(llm_quantize_desc);
    llm_error error;
    uint64_t hash = 7;
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file.data;
    source.data_len = file.size;
    writer.user = &hash;
    writer.write = modes_take;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    desc.file_type = LLM_FILE_Q5_1;
    CHECK_MSG(llm_model_quantize(engine, &part, 1, &sink, &desc, NULL, &error) == LLM_OK, "%s", error.message);
    return hash;
}

static uint64_t modes_chat(llm_model *model)
{
    llm_chat_desc desc = LLM_INIT(llm_chat_desc);
    llm_chat *chat = NULL;
    llm_error error;
    char text[256] = "";
    size_t n = 0;
    desc.template_text = "{{ 1.5 }} {{ 1 / 3 }} {{ '2.25'|float * 2 }} {{ 1e300 * 1e-300 }} {{ 4.9e-324 }} {{ x }} {{ [0.1, 1e22]|tojson }} {{ 7 // 2.0 }} {{ 2.675|round(2) }}";
    desc.template_text_len = LLM_NUL;
    desc.variables = "{\"x\": [0.30000000000000004, 5e-324, 1.7976931348623157e308]}";
    desc.variables_len = LLM_NUL;
    CHECK_MSG(llm_chat_create(model, &desc, &chat, &error) == LLM_OK && llm_chat_add(chat, "user", LLM_NUL, "a", 1, &error) == LLM_OK, "%s", error.message);
    CHECK_MSG(llm_chat_render(chat, 0, text, sizeof text, &n, &error) == LLM_OK && strchr(text, ',') != NULL && strstr(text, "1.5 0.333"), "%s '%s'", error.message, text);
    llm_chat_free(chat);
    return tiny_hash(text, n, 3);
}

/* Prompts, a reply drawn under every stage, its scores. */
static uint64_t modes_reply(llm_model *model, int32_t state_type)
{
    llm_session *s = tiny_session(model, 128, state_type);
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_sampler *sampler = NULL;
    llm_grammar *grammar = NULL;
    llm_error error;
    llm_token prompt[60];
    const llm_token *tokens = NULL;
    const float *scores = NULL;
    size_t n = 0, m = 0;
    uint64_t hash = 0;
    tiny_tokens(prompt, 60, 400, 5);
    CHECK_MSG(llm_grammar_create(llm_model_tokenizer(model), LLM_GRAMMAR_JSON_SCHEMA, 0, "{\"type\":\"number\",\"minimum\":0.25,\"maximum\":1234.5}", LLM_NUL, &grammar, &error) == LLM_OK, "%s",
              error.message);
    recipe.temperature = 0.7f, recipe.top_p = 0.95f, recipe.min_p = 1e-30f, recipe.typical_p = 0.99f, recipe.top_n_sigma = 3, recipe.repeat_penalty = 1.1f, recipe.dry_multiplier = 0.8f;
    recipe.xtc_probability = 0.5f, recipe.dynatemp_range = 0.2f;
    recipe.grammar = state_type == LLM_STATE_TYPE_F32 ? grammar : NULL;
    CHECK_MSG(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error) == LLM_OK, "%s", error.message);
    reply.sampler = sampler;
    reply.seed = 9;
    reply.max_tokens = 20;
    reply.flags = LLM_GENERATE_SCORE;
    CHECK(llm_session_append(s, prompt, 60, LLM_APPEND_SCORE, &error) == LLM_OK && llm_session_generate(s, &reply, &error) == LLM_OK);
    CHECK_MSG(tiny_drain(s, LLM_FOREVER, &error) == LLM_OK, "%s", error.message);
    if (CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && llm_session_scores(s, &scores, &m, &error) == LLM_OK && n > 60 && m == n)) {
        hash = tiny_hash(tokens, n * sizeof *tokens, 1);
        hash = tiny_hash(scores + 1, (m - 1) * sizeof *scores, hash);
    }
    llm_session_free(s);
    llm_sampler_free(sampler);
    llm_grammar_free(grammar);
    return hash;
}

static uint64_t modes_all(int32_t n_threads)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    llm_model *model = NULL;
    llm_error error;
    uint64_t hash = 0;
    desc.n_threads = n_threads;                             /* the file is made once: its maker rounds as the host does */
    CHECK_MSG(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK && tiny_load(engine, &file, &model, &error) == LLM_OK, "%s", error.message);
    hash = hash * 31 + modes_quantize(engine);
    hash = hash * 31 + modes_chat(model);
    for (int32_t type = 0; type < 3; type++)
        hash = hash * 31 + modes_reply(model, type);
    llm_model_free(model);
    llm_engine_free(engine);
    return hash;
}

int main(void)
{
    static const int rounds[] = {
#if defined(FE_UPWARD)
        FE_UPWARD,
#endif
#if defined(FE_DOWNWARD)
        FE_DOWNWARD,
#endif
#if defined(FE_TOWARDZERO)
        FE_TOWARDZERO,
#endif
        FE_TONEAREST
    };
    static const char *const locales[] = { "de_DE.UTF-8", "fr_FR.UTF-8", "tr_TR.UTF-8", "" };
    int n = 0;
    file = tiny_make(&tiny_small);
    uint64_t truth = modes_all(1);
    CHECK(modes_all(2) == truth);
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        if (fesetround(rounds[i]) != 0)
            continue;
        uint64_t hash = modes_all(1 + (int32_t)i % 2);
        CHECK_MSG(fegetround() == rounds[i], "rounding %d became %d", rounds[i], fegetround());
        fesetround(FE_TONEAREST);
        CHECK_MSG(hash == truth, "rounding %d: other bits", rounds[i]);
        n++;
    }
#if defined(__SSE2__)
    static const unsigned modes[] = { 0x40, 0x8000, 0x8040, 0x8040 | 0x2000 };      /* denormals are zero; are flushed; both; both, rounding down */
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        unsigned before = _mm_getcsr(), set = before | modes[i];
        _mm_setcsr(set);
        uint64_t hash = modes_all(1);
        unsigned after = _mm_getcsr();
        _mm_setcsr(before);
        CHECK_MSG((after & 0xffc0) == (set & 0xffc0), "mode %x became %x", set, after);
        CHECK_MSG(hash == truth, "mode %x: other bits", set);
        n++;
    }
#endif
    for (size_t i = 0; i < sizeof locales / sizeof *locales; i++)
        if (setlocale(LC_ALL, locales[i])) {
            CHECK_MSG(modes_all(1) == truth, "locale '%s': other bits", locales[i]);
            setlocale(LC_ALL, "C");
            n++;
        }
    printf("%d modes\n", n);
    free(file.data);
    return TEST_DONE();
}
