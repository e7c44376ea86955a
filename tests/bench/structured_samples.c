/* SPDX-License-Identifier: MIT
 * structured_samples MODEL KIND GRAMMAR N TEMPERATURE [COMPACT]: N replies under a grammar (a file), a line each: how it ended, a tab, the text as a
 * JSON string. For tools/check_structured.py. */
#include <llm.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT = 1 << 16, TOKENS = 600 };

static void put(const char *text, size_t n)
{
    putchar('"');
    for (size_t i = 0; i < n; i++)
        if (text[i] == '"' || text[i] == '\\')
            printf("\\%c", text[i]);
        else if ((unsigned char)text[i] < 0x20)
            printf("\\u%04x", (unsigned)text[i]);
        else
            putchar(text[i]);
    printf("\"\n");
}

int main(int argc, char **argv)
{
    static char grammar[1 << 20], text[TEXT];
    llm_engine *engine = NULL;
    llm_model *model = NULL;
    llm_grammar *g = NULL;
    llm_sampler *sampler = NULL;
    llm_session *session = NULL;
    llm_engine_desc how = LLM_INIT(llm_engine_desc);
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_session_desc room = LLM_INIT(llm_session_desc);
    llm_error error;
    llm_status status;
    if (argc < 6)
        return 2;
    FILE *file = fopen(argv[3], "rb");
    size_t len = file ? fread(grammar, 1, sizeof grammar, file) : 0;
    if (!file)
        return 2;
    fclose(file);
    how.n_threads = 1;
    room.n_ctx = TOKENS + 8;
    if (llm_engine_create(LLM_ABI, &how, &engine, &error) != LLM_OK || llm_model_load(engine, argv[1], LLM_NUL, NULL, &model, &error) != LLM_OK ||
        llm_grammar_create(llm_model_tokenizer(model), atoi(argv[2]), argc > 6 ? LLM_GRAMMAR_COMPACT : 0, grammar, len, &g, &error) != LLM_OK)
        goto failed;
    recipe.temperature = (float)atof(argv[5]);
    recipe.grammar = g;
    if (llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error) != LLM_OK || llm_session_create(model, &room, &session, &error) != LLM_OK ||
        llm_session_append_text(session, "Once", LLM_NUL, 0, &error) != LLM_OK)
        goto failed;
    reply.sampler = sampler;
    reply.max_tokens = TOKENS - 8;
    size_t begin = llm_session_n_tokens(session);
    for (int i = 0; i < atoi(argv[4]); i++) {
        size_t n = 0, more;
        reply.seed = (uint64_t)i + 1;
        if (llm_session_rewind(session, begin, &error) != LLM_OK || llm_session_generate(session, &reply, &error) != LLM_OK)
            goto failed;
        do {
            status = llm_session_step(&session, 1, LLM_FOREVER, 0, &error);
            while ((more = llm_session_read_text(session, text + n, TEXT - n)) > 0)
                n += more;
        } while (status == LLM_MORE);
        if (status < 0)
            goto failed;
        printf("%d\t", llm_session_state(session));
        put(text, n);
    }
    llm_session_free(session);
    llm_sampler_free(sampler);
    llm_grammar_free(g);
    llm_model_free(model);
    llm_engine_free(engine);
    return 0;
failed:
    fprintf(stderr, "%s\n", error.message);
    return 1;
}
