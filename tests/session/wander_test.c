/* SPDX-License-Identifier: MIT
 * Random walks: sessions are appended to, rewound, synced, forked, freed, cancelled, saved, restored, parked, generate, and are stepped in changing company with
 * changing budgets. On the verify backend every pass is checked (pages, rows, state read before it is written); on the CPU each timeline's
 * logits must be those of a fresh session with the same tokens. */
#include "../api/saving.h"

#include "mixed.h"

enum { N = 6, N_CTX = 400 };

static uint32_t walk_random(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static int32_t walk_kind(llm_session *s)
{
    return llm_session_state(s);
}

static int n_compared;

static void check_fresh(llm_model *model, llm_session *s, uint64_t seed)
{
    llm_error error;
    const llm_token *tokens;
    size_t n;
    if (!CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK) || n == 0 || walk_kind(s) != LLM_STATE_READY)
        return;
    llm_session *fresh = tiny_session(model, N_CTX, s->state_type);
    n_compared++;
    CHECK(llm_session_append(fresh, tokens, n, 0, &error) == LLM_OK && tiny_drain(fresh, LLM_FOREVER, &error) == LLM_OK);
    CHECK_MSG(tiny_logits_hash(fresh) == tiny_logits_hash(s), "seed %llu: other logits after %zu tokens", (unsigned long long)seed, n);
    llm_session_free(fresh);
}

static void walk(llm_model *model, uint64_t seed, int n_moves, int compare)
{
    llm_session *s[N] = { NULL };
    uint64_t r = seed * 2654435761u + 99;
    llm_error error;
    llm_token tokens[N_CTX];
    for (int i = 0; i < N; i++)
        s[i] = tiny_session(model, N_CTX, i == 5 ? LLM_STATE_TYPE_F32 : i == 4 ? LLM_STATE_TYPE_INT8 : 0);
    for (int move = 0; move < n_moves; move++) {
        uint32_t i = walk_random(&r, N), n = walk_random(&r, 90);
        size_t have = llm_session_n_tokens(s[i]);
        llm_status status = LLM_OK;
        tiny_tokens(tokens, n, 400, walk_random(&r, 3));
        switch (walk_random(&r, 11)) {
        case 0: case 1:
            status = llm_session_append(s[i], tokens, n, walk_random(&r, 4) == 0 ? LLM_APPEND_SCORE : 0, &error);
            CHECK(status == LLM_OK || (status == LLM_E_CONTEXT_FULL && have + n > N_CTX));
            break;
        case 2:
            CHECK(llm_session_rewind(s[i], walk_random(&r, (uint32_t)have + 1), &error) == LLM_OK);
            break;
        case 3:
            CHECK(llm_session_sync(s[i], tokens, n, 0, &error) == LLM_OK);
            break;
        case 4: {
            uint32_t k = walk_random(&r, N);
            llm_session *fork = NULL;
            if (k == i || !CHECK(llm_session_fork(s[i], &fork, &error) == LLM_OK))
                break;
            llm_session_free(s[k]);
            s[k] = fork;
            break;
        }
        case 5: {
            llm_generate_desc desc = LLM_INIT(llm_generate_desc);
            desc.max_tokens = (int32_t)walk_random(&r, 20);
            desc.flags = LLM_GENERATE_SCORE;
            if (have > 0)
                CHECK(llm_session_generate(s[i], &desc, &error) == LLM_OK);
            break;
        }
        case 6:
            if (walk_random(&r, 3) == 0)
                llm_session_cancel(s[i]);
            break;
        case 7: {
            uint32_t k = walk_random(&r, N);
            saving f = { 0 };
            llm_save_desc desc = LLM_INIT(llm_save_desc);
            desc.flags = walk_random(&r, 4) == 0 ? LLM_SAVE_TOKENS_ONLY : 0;
            CHECK_MSG(saving_put(s[i], &f, &desc, &error) == LLM_OK, "%s", error.message);
            CHECK_MSG(saving_get(s[k], &f, 0, &error) == LLM_OK, "%s", error.message);
            CHECK(llm_session_n_tokens(s[k]) == have);
            free(f.data);
            break;
        }
        case 8:
            if (walk_random(&r, 2) == 0)
                CHECK(llm_session_park(s[i], &error) == LLM_OK);
            else
                CHECK(llm_engine_trim(model->engine, walk_random(&r, 100000), LLM_TRIM_PARK, NULL, &error) == LLM_OK);
            break;
        default: {
            llm_session *some[N];
            size_t m = 0, first = walk_random(&r, N);
            for (size_t k = 0; k < N; k++)
                if (walk_random(&r, 3) != 0)
                    some[m++] = s[(first + k) % N];
            int64_t budget = walk_random(&r, 3) == 0 ? LLM_FOREVER : (int64_t)walk_random(&r, 200);
            for (uint32_t times = walk_random(&r, 6); m != 0 && times > 0; times--) {
                status = llm_session_step(some, m, budget, 0, &error);
                if (!CHECK_MSG(status >= 0, "seed %llu, move %d: %s", (unsigned long long)seed, move, error.message))
                    goto out;
            }
        }
        }
        if (compare && move % 10 == 0)
            check_fresh(model, s[i], seed);
    }
    for (int i = 0; i < N; i++) {                           /* all come to an end */
        if (walk_kind(s[i]) >= LLM_END_TOKEN)
            CHECK(llm_session_rewind(s[i], llm_session_n_tokens(s[i]), &error) == LLM_OK);
        CHECK(tiny_drain(s[i], LLM_FOREVER, &error) == LLM_OK);
        if (compare)
            check_fresh(model, s[i], seed);
    }
out:
    for (int i = 0; i < N; i++)
        llm_session_free(s[i]);
    lm_pages *pages = &model->pools[0];
    for (uint32_t c = 0; c < pages->n_classes; c++)         /* every page came back */
        for (uint32_t p = 0; p < pages->n_owners[c]; p++)
            CHECK(pages->owners[c][p] == 0);
}

/* Both backends with one model. */
static void wander(const tiny_shape *shape, bool mixed)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine;
    llm_model *cpu, *verify = NULL;
    lm_backend *backend = NULL;
    llm_error error;
    desc.n_threads = 2;
    desc.n_chunk = 64;
    desc.n_arenas = 3;
    tiny_open(shape, &desc, &engine, &cpu);
    CHECK(lm_verify_backend_open(&engine->host, &backend, &error) == LLM_OK && lm_engine_add_backend(engine, backend, &error) == LLM_OK);
    llm_device_info device = LLM_INIT(llm_device_info);
    CHECK(llm_engine_device_count(engine) == 2 && llm_engine_device_info(engine, 1, &device, &error) == LLM_OK && device.device == 2);
    tiny_file file = tiny_make(shape);
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    llm_model_desc model_desc = LLM_INIT(llm_model_desc);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file.data;
    source.data_len = file.size;
    model_desc.device = 2;
    CHECK_MSG(llm_model_load_from(engine, &part, 1, &model_desc, &verify, &error) == LLM_OK, "%s", error.message);
    if (mixed && verify) {
        mixed_make(verify);
        mixed_make(cpu);
    }
    n_compared = 0;
    for (uint64_t seed = 1; verify && seed <= 20; seed++)
        walk(verify, seed, 400, 0);
    for (uint64_t seed = 1; seed <= 8; seed++)
        walk(cpu, seed, 300, 1);
    printf("%d timelines compared\n", n_compared);
    CHECK(n_compared > 50);
    free(file.data);
    llm_model_free(verify);
    llm_model_free(cpu);
    llm_engine_free(engine);
}

int main(void)
{
    static const tiny_shape windowed = { 2, 32, 64, 4, 2, 512, 400, 1, 40 };
    wander(&tiny_small, false);
    wander(&windowed, false);
    wander(&windowed, true);
    return TEST_DONE();
}
