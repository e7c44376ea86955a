/* SPDX-License-Identifier: MIT */
#include "talker.h"
#include "../libllm/shape.h"

#include <stdio.h>
#include <string.h>

/* Weights in the shape of a known model, made as they are read. */
static llm_status talker_load_shape(talker *t, const char *name, llm_error *error)
{
    llm_source source = LLM_INIT(llm_source);
    llm_reader reader = LLM_INIT(llm_reader);
    const llm_source *part = &source;
    shape_model *shape;
    char why[160];

    *error = (llm_error){ .status = LLM_E_INVALID };
    shape = shape_create(name, "q4_0", 1, why);
    if (!shape) {
        snprintf(error->message, sizeof error->message, "%s", why);
        return LLM_E_INVALID;
    }
    reader.size = shape_bytes(shape);
    reader.user = shape;
    reader.read = shape_read;
    source.kind = LLM_SOURCE_READER;
    source.reader = &reader;
    llm_model_load_from(t->engine, &part, 1, NULL, &t->model, error);
    shape_free(shape);
    return error->status;
}

bool talker_open(talker *t, const char *path, const char *shape, int n_threads, llm_error *error)
{
    llm_engine_desc engine = LLM_INIT(llm_engine_desc);
    llm_session_desc session = LLM_INIT(llm_session_desc);
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_model_info info = LLM_INIT(llm_model_info);

    *t = (talker){ .random = !path };
    engine.n_threads = n_threads;
    engine.n_arenas = 1;
    recipe.temperature = 0.8f;
    recipe.top_k = 40;                      /* first of all: drawing among all of 128,000 tokens is no part of the budget, and takes milliseconds */
    recipe.top_p = 0.95f;
    recipe.min_p = 0.05f;
    if (llm_engine_create(LLM_ABI, &engine, &t->engine, error) != LLM_OK ||
        (path ? llm_model_load(t->engine, path, LLM_NUL, NULL, &t->model, error) : talker_load_shape(t, shape, error)) != LLM_OK ||
        llm_model_get_info(t->model, &info, error) != LLM_OK)
        return false;
    session.flags = LLM_SESSION_RESERVE;    /* no frame waits for memory */
    session.n_ctx = info.n_ctx_train > 0 && info.n_ctx_train < 2048 ? info.n_ctx_train : 2048;
    return llm_session_create(t->model, &session, &t->session, error) == LLM_OK && llm_sampler_create(llm_model_tokenizer(t->model), &recipe, &t->sampler, error) == LLM_OK &&
           (t->random || llm_chat_create(t->model, NULL, &t->chat, error) == LLM_OK);
}

void talker_close(talker *t)
{
    llm_chat_free(t->chat);
    llm_sampler_free(t->sampler);
    llm_session_free(t->session);
    llm_model_free(t->model);
    llm_engine_free(t->engine);
}

bool talker_ask(talker *t, const char *question, int max_tokens, llm_error *error)
{
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_status status;

    reply.sampler = t->sampler;
    reply.seed = ++t->n_asked;
    reply.max_tokens = max_tokens;
    reply.flags = t->random ? LLM_GENERATE_IGNORE_END : 0;
    if (t->random) {
        status = llm_session_rewind(t->session, 0, error);
        if (status == LLM_OK)
            status = llm_session_append_text(t->session, question, LLM_NUL, 0, error);
    } else {
        status = llm_chat_rewind(t->chat, 0, error);
        if (status == LLM_OK)
            status = llm_chat_add(t->chat, "user", LLM_NUL, question, LLM_NUL, error);
        if (status == LLM_OK)
            status = llm_session_sync_chat(t->session, t->chat, 0, error);
    }
    if (status == LLM_OK)
        status = llm_session_generate(t->session, &reply, error);
    t->thinking = status == LLM_OK;
    return status == LLM_OK;
}

bool talker_think(talker *t, int64_t budget_us, llm_error *error)
{
    llm_status status = llm_session_step(&t->session, 1, budget_us, LLM_STEP_NO_WAIT, error);

    t->thinking = status == LLM_MORE;
    return status >= 0;
}

size_t talker_read(talker *t, char *text, size_t cap)
{
    return llm_session_read_text(t->session, text, cap);
}

bool talker_listens(const talker *t)
{
    return llm_session_n_pending(t->session) > 1;
}
