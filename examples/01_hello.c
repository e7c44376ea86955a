/* SPDX-License-Identifier: MIT
 * Opens a model and tells a story, as the likeliest words come. */
#include <llm.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    llm_engine *engine = NULL;
    llm_model *model = NULL;
    llm_session *session = NULL;
    llm_error error;
    llm_status status;
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);  /* all zero: every default */
    reply.max_tokens = 200;                                 /* no sampler: always the likeliest token */
    if (argc != 2)
        return fprintf(stderr, "usage: hello MODEL.gguf\n"), 2;

    if ((status = llm_engine_create(LLM_ABI, NULL, &engine, &error)) == LLM_OK &&
        (status = llm_model_load(engine, argv[1], LLM_NUL, NULL, &model, &error)) == LLM_OK &&
        (status = llm_session_create(model, NULL, &session, &error)) == LLM_OK &&
        (status = llm_session_append_text(session, "Once upon a time", LLM_NUL, 0, &error)) == LLM_OK &&
        (status = llm_session_generate(session, &reply, &error)) == LLM_OK)
        do {                                                /* a step: a piece of the prompt, or one token */
            char text[256];
            status = llm_session_step(&session, 1, LLM_FOREVER, 0, &error);
            while (llm_session_read_text(session, text, sizeof text) > 0)
                fputs(text, stdout);                        /* whole characters, NUL-terminated */
            fflush(stdout);
        } while (status == LLM_MORE);

    if (status != LLM_OK)
        fprintf(stderr, "hello: %s\n", error.message);
    llm_session_free(session);                              /* in any order; NULL is fine */
    llm_model_free(model);
    llm_engine_free(engine);
    return status != LLM_OK;
}
