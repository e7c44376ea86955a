/* SPDX-License-Identifier: MIT
 * The least program: opens an engine, asks for a model that is not there, and is told so. */
#include <llm.h>

#include <stdio.h>

int main(void)
{
    llm_engine *engine = NULL;
    llm_model *model = NULL;
    llm_error error;
    llm_status status;

    if (llm_version() < LLM_ABI) {
        fprintf(stderr, "the library is older than its header\n");
        return 1;
    }
    if (llm_engine_create(LLM_ABI, NULL, &engine, &error) != LLM_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    status = llm_model_load(engine, "no-such-model.gguf", LLM_NUL, NULL, &model, &error);
    llm_engine_free(engine);
    printf("version %#x; a missing model: %s, \"%s\"\n", (unsigned)llm_version(), llm_status_name(status), error.message);
    return status < 0 && !model && error.message[0] ? 0 : 1;
}
