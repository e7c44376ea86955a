/* SPDX-License-Identifier: MIT
 * The models of lies.inc: each is refused with its status and a message that says so, or runs as if nothing were odd; within four times the file and 64 MiB, with
 * nothing left over. --print writes what each came to. */
#include "lies.h"

#include "fuzz/models.h"

#include "test.h"

#include <stdbool.h>

enum { ROOM = 1 << 18, BEYOND = 64 << 20 };

static llm_engine *engine;
static unsigned char *file;

/* Four tokens from two. */
static llm_status run(llm_model *model, llm_error *error)
{
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    static const llm_token prompt[] = { 1, 14 };
    llm_session *s = NULL;
    desc.n_ctx = 16;
    reply.max_tokens = 4;
    reply.flags = LLM_GENERATE_IGNORE_END;
    llm_status status = llm_session_create(model, &desc, &s, error);
    if (status == LLM_OK && (status = llm_session_append(s, prompt, 2, 0, error)) == LLM_OK && (status = llm_session_generate(s, &reply, error)) == LLM_OK)
        do
            status = llm_session_step(&s, 1, LLM_FOREVER, 0, error);
        while (status == LLM_MORE);
    CHECK(status < 0 || llm_session_n_tokens(s) == 6);
    llm_session_free(s);
    return status;
}

static void check_lie(const lie *l, doc *d, bool print)
{
    llm_engine_info before = LLM_INIT(llm_engine_info), after = LLM_INIT(llm_engine_info);
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    llm_model *model = NULL;
    llm_error error;
    models_make_named(d, l->base);
    l->tell(d, l);
    size_t size = doc_write(d, file, ROOM);
    if (!CHECK_MSG(size > 0, "%s, %s: too large", l->row, l->what))
        return;
    if (l->b && !l->name && strcmp(l->row, "A10") == 0)     /* cut */
        size = (size_t)l->a;
    unsigned char *exact = malloc(size ? size : 1);         /* what lies behind it is seen by sanitizers */
    memcpy(exact, file, size);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = exact;
    source.data_len = size;
    CHECK(llm_engine_get_info(engine, &before, NULL) == LLM_OK);
    llm_status status = llm_model_load_from(engine, &part, 1, NULL, &model, &error);
    CHECK_MSG((status == LLM_OK) == (model != NULL), "%s, %s", l->row, l->what);
    if (status == LLM_OK)
        status = run(model, &error);
    if (print)
        printf("%s|%s|%s|%s|%s\n", l->row, l->what, llm_status_name(status), error.subject, error.message);
    else
        CHECK_MSG(status == l->status && (l->status == LLM_OK || (error.message[0] && strstr(error.message, l->says))), "%s, %s: %s '%s', expected %s '%s'", l->row, l->what,
                  llm_status_name(status), error.message, llm_status_name(l->status), l->says);
    llm_model_free(model);
    CHECK(llm_engine_trim(engine, UINT64_MAX, 0, NULL, NULL) == LLM_OK && llm_engine_get_info(engine, &after, NULL) == LLM_OK);
    CHECK_MSG(after.memory_used == before.memory_used, "%s, %s: %llu bytes left", l->row, l->what, (unsigned long long)(after.memory_used - before.memory_used));
    free(exact);
}

/* Every model of which others are made loads and runs. */
static void check_models(doc *d)
{
    for (size_t i = 0; i < models_count(); i++) {
        llm_source source = LLM_INIT(llm_source);
        const llm_source *part = &source;
        llm_model *model = NULL;
        llm_error error;
        models_make(d, i);
        source.kind = LLM_SOURCE_BUFFER;
        source.data = file;
        source.data_len = doc_write(d, file, ROOM);
        CHECK_MSG(source.data_len > 0 && source.data_len <= MODELS_MOST, "%s has %zu bytes", models_name(i), source.data_len);
        llm_status status = llm_model_load_from(engine, &part, 1, NULL, &model, &error);
        if (CHECK_MSG(status == LLM_OK, "%s: %s", models_name(i), error.message))
            CHECK_MSG(run(model, &error) == LLM_OK, "%s: %s", models_name(i), error.message);
        llm_model_free(model);
    }
}

int main(int argc, char **argv)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_error error;
    doc *d = doc_new();
    file = malloc(ROOM);
    desc.n_threads = 1;
    desc.memory_limit = 4 * MODELS_MOST + BEYOND;           /* a load that wants more is LLM_E_MEMORY, which no row expects */
    CHECK_MSG(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK, "%s", error.message);
    lies_begin();
    check_models(d);
    for (size_t i = 0; i < n_lies; i++)
        check_lie(&lies[i], d, argc > 1 && strcmp(argv[1], "--print") == 0);
    CHECK_MSG(n_lies >= 150, "%zu rows", n_lies);
    llm_engine_free(engine);
    doc_free(d);
    free(file);
    return TEST_DONE();
}
