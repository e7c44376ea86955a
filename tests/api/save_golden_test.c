/* SPDX-License-Identifier: MIT
 * Files of every version of the format, which must be restored for ever: tests/api/data/saved_vN.session, of the golden model llama-tied. With
 * "make FILE" it writes one of the version of today; those of earlier versions are never made again.
 *
 * What must come out: the tokens, the note, scores, what Mirostat remembers (the reply goes on as it would have), and the logits of a session that takes
 * the same tokens in anew: those of the state, if it is of today's arithmetic. */
#include "saving.h"

#include "../golden/gold.h"

enum { GOLDEN_GIVEN = 70, GOLDEN_DRAWN = 10, GOLDEN_MORE = 3, GOLDEN_THEN = 20 };

static llm_engine *engine;
static llm_model *model;
static llm_sampler *sampler;
static llm_token given[GOLDEN_GIVEN + GOLDEN_MORE];

static void reply(llm_session *s, int32_t n)
{
    llm_error error;
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    desc.seed = 4;
    desc.max_tokens = n;
    desc.flags = LLM_GENERATE_IGNORE_END | LLM_GENERATE_SCORE;
    desc.sampler = sampler;
    CHECK(llm_session_generate(s, &desc, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
}

/* The timeline that was saved: given, drawn, and some more that were not taken in. */
static llm_session *live(void)
{
    llm_error error;
    llm_session *s = tiny_session(model, 200, 0);
    CHECK(llm_session_append(s, given, GOLDEN_GIVEN, LLM_APPEND_SCORE, &error) == LLM_OK);
    reply(s, GOLDEN_DRAWN);
    CHECK(llm_session_append(s, given + GOLDEN_GIVEN, GOLDEN_MORE, LLM_APPEND_SCORE, &error) == LLM_OK);
    return s;
}

static void check(const char *name, uint32_t version)
{
    llm_error error;
    char path[512], note[32];
    size_t size, n, m;
    const float *x, *y;
    llm_saved_info info = LLM_INIT(llm_saved_info);
    snprintf(path, sizeof path, "%s/api/data/%s", getenv("LLM_TEST_TREE") ? getenv("LLM_TEST_TREE") : LLM_TEST_TREE, name);
    char *file = test_read_file(path, &size);
    if (!CHECK_MSG(file != NULL, "%s is absent", path))
        return;
    llm_source source = saving_source(file, size);
    llm_session *s = tiny_session(model, 200, 0), *fresh = live();
    CHECK_MSG(llm_saved_get_info(model, &source, &info, &error) == LLM_OK, "%s", error.message);
    CHECK(info.version == version && info.flags & LLM_SAVED_SAME_MODEL && info.n_tokens == GOLDEN_GIVEN + GOLDEN_DRAWN + GOLDEN_MORE && info.note_len == 9);
    CHECK(info.n_evaluated == GOLDEN_GIVEN + GOLDEN_DRAWN - 1 && info.file_bytes == size && info.n_ctx == 200);
    CHECK(llm_saved_note(model, &source, note, sizeof note, &n, &error) == LLM_OK && n == 9 && memcmp(note, "version 1", 9) == 0);
    CHECK_MSG(llm_session_restore_from(s, &source, info.flags & LLM_SAVED_STATE ? LLM_RESTORE_NEED_STATE : 0, &error) == LLM_OK, "%s", error.message);
    CHECK(saving_same_tokens(s, fresh) && llm_session_n_pending(s) == (info.flags & LLM_SAVED_STATE ? 1 + GOLDEN_MORE : info.n_tokens));
    CHECK(tiny_drain(s, LLM_FOREVER, &error) == LLM_OK && tiny_drain(fresh, LLM_FOREVER, &error) == LLM_OK && saving_hash(s) == saving_hash(fresh));
    reply(s, GOLDEN_THEN);
    reply(fresh, GOLDEN_THEN);
    CHECK(saving_hash(s) == saving_hash(fresh) && llm_session_n_tokens(s) == GOLDEN_GIVEN + GOLDEN_DRAWN + GOLDEN_MORE + GOLDEN_THEN);
    CHECK(llm_session_scores(s, &x, &n, &error) == LLM_OK && llm_session_scores(fresh, &y, &m, &error) == LLM_OK && n == m && memcmp(x + 1, y + 1, (n - 1) * sizeof *x) == 0);
    llm_session_free(s);
    llm_session_free(fresh);
    free(file);
}

static void make(const char *path)
{
    llm_error error;
    llm_save_desc desc = LLM_INIT(llm_save_desc);
    llm_session *s = live();
    desc.note = "version 1";
    desc.note_len = 9;
    CHECK_MSG(llm_session_save(s, path, LLM_NUL, &desc, &error) == LLM_OK, "%s", error.message);
    llm_session_free(s);
}

int main(int argc, char **argv)
{
    llm_error error;
    char path[512];
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    gold_path(path, "llama-tied", "gguf");
    recipe.temperature = 1;
    recipe.mirostat = 2;
    recipe.mirostat_tau = 3;
    if (!CHECK(llm_engine_create(LLM_ABI, NULL, &engine, &error) == LLM_OK) || !CHECK(llm_model_load(engine, path, LLM_NUL, NULL, &model, &error) == LLM_OK) ||
        !CHECK(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error) == LLM_OK))
        return 1;
    llm_model_info info = LLM_INIT(llm_model_info);
    CHECK(llm_model_get_info(model, &info, &error) == LLM_OK);
    tiny_tokens(given, GOLDEN_GIVEN + GOLDEN_MORE, (uint32_t)info.n_vocab, 40);
    if (argc == 3 && strcmp(argv[1], "make") == 0)
        make(argv[2]);
    else
        check("saved_v1.session", 1);
    llm_sampler_free(sampler);
    llm_model_free(model);
    llm_engine_free(engine);
    return TEST_DONE();
}
