/* SPDX-License-Identifier: MIT
 * Recipes in sessions: what they remember is the timeline's, so that rewind, fork, sync, budgets, cancelled and dropped passes and company
 * change nothing of what is drawn. */
#include "tiny.h"

enum { N_PROMPT = 20, N_FIRST = 25, N_REPLY = 60, N_ALL = N_PROMPT + N_REPLY };

static llm_sampler *make(llm_model *model, int which)
{
    llm_sampler_desc desc = LLM_INIT(llm_sampler_desc);
    llm_sampler *sampler = NULL;
    llm_error error;
    static const uint8_t order[] = { LLM_STAGE_TEMPERATURE, LLM_STAGE_DRY, LLM_STAGE_MIN_P };
    desc.temperature = 0.9f;
    switch (which) {
    case 0: desc.mirostat = 2; desc.mirostat_tau = 3; desc.mirostat_eta = 0.4f; break;
    case 1: desc.mirostat = 1; desc.mirostat_tau = 3; desc.mirostat_eta = 0.4f; break;
    case 2: desc.adaptive_target = 0.3f; desc.min_p = 0.01f; desc.adaptive_decay = 0.8f; break;
    case 3: desc.xtc_probability = 0.5f; desc.xtc_threshold = 0.05f; desc.dry_multiplier = 0.8f; desc.dynatemp_range = 0.4f; desc.repeat_penalty = 1.1f; break;
    default: desc.dry_multiplier = 1; desc.dry_allowed_length = 1; desc.min_p = 0.05f; desc.adaptive_target = 0.4f; desc.order = order; desc.n_order = 3; break;
    }
    CHECK_MSG(llm_sampler_create(llm_model_tokenizer(model), &desc, &sampler, &error) == LLM_OK, "%s", error.message);
    return sampler;
}

static void reply(llm_session *s, const llm_sampler *sampler, uint64_t seed, int n)
{
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    llm_error error;
    desc.flags = LLM_GENERATE_IGNORE_END;
    desc.seed = seed;
    desc.max_tokens = n;
    desc.sampler = sampler;
    CHECK_MSG(llm_session_generate(s, &desc, &error) == LLM_OK, "%s", error.message);
}

static void say(llm_session *s, const llm_sampler *sampler, uint64_t seed, int n)
{
    llm_error error;
    reply(s, sampler, seed, n);
    CHECK_MSG(tiny_drain(s, LLM_FOREVER, &error) == LLM_OK, "%s", error.message);
}

static int is(llm_session *s, const llm_token *wanted, size_t n, const char *what, int which)
{
    const llm_token *tokens = NULL;
    size_t have = 0;
    llm_error error;
    CHECK(llm_session_tokens(s, &tokens, &have, &error) == LLM_OK);
    return CHECK_MSG(have == n && memcmp(tokens, wanted, n * sizeof *tokens) == 0, "recipe %d: another reply %s", which, what);
}

/* Returns 1 if tokens that were put in instead of drawn lead to another reply. */
static int test_timeline(llm_model *model, int which)
{
    llm_sampler *sampler = make(model, which);
    llm_session *s = tiny_session(model, 0, 0), *fork = NULL, *other = tiny_session(model, 0, 0);
    llm_token prompt[N_PROMPT], wanted[N_ALL], second[N_ALL];
    const llm_token *tokens;
    size_t n;
    llm_error error;
    tiny_tokens(prompt, N_PROMPT, tiny_small.n_vocab, 3);
    CHECK(llm_session_append(s, prompt, N_PROMPT, 0, &error) == LLM_OK);
    say(s, sampler, 11, N_REPLY);
    CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && n == N_ALL);
    memcpy(wanted, tokens, sizeof wanted);

    CHECK(llm_session_rewind(s, N_PROMPT, &error) == LLM_OK);
    say(s, sampler, 11, N_FIRST);                           /* in two replies */
    CHECK(llm_session_fork(s, &fork, &error) == LLM_OK);
    say(s, sampler, 11, N_REPLY - N_FIRST);
    is(s, wanted, N_ALL, "in two parts", which);
    say(fork, sampler, 12, N_REPLY - N_FIRST);              /* its own way, on shared memory */
    CHECK(llm_session_tokens(fork, &tokens, &n, &error) == LLM_OK && n == N_ALL);
    memcpy(second, tokens, sizeof second);
    CHECK(memcmp(second, wanted, sizeof second) != 0);
    for (size_t at = N_PROMPT + 1; at < N_ALL; at += 7) {
        CHECK(llm_session_rewind(s, at, &error) == LLM_OK);
        say(s, sampler, 11, (int)(N_ALL - at));
        is(s, wanted, N_ALL, "after rewind", which);
    }
    CHECK(llm_session_rewind(fork, N_PROMPT + N_FIRST, &error) == LLM_OK);
    say(fork, sampler, 11, N_REPLY - N_FIRST);
    is(fork, wanted, N_ALL, "in a fork", which);

    CHECK(llm_session_sync(s, second, N_ALL, 0, &error) == LLM_OK && llm_session_sync(s, wanted, N_PROMPT + N_FIRST, 0, &error) == LLM_OK);
    say(s, sampler, 11, N_REPLY - N_FIRST);
    is(s, wanted, N_ALL, "after sync", which);

    CHECK(llm_session_rewind(s, N_PROMPT + N_FIRST, &error) == LLM_OK && llm_session_append(s, prompt, 5, 0, &error) == LLM_OK);
    say(s, sampler, 11, 10);                                /* tokens put in between, and back */
    CHECK(llm_session_rewind(s, N_PROMPT + N_FIRST, &error) == LLM_OK);
    say(s, sampler, 11, N_REPLY - N_FIRST);
    is(s, wanted, N_ALL, "after a digression", which);

    CHECK(llm_session_rewind(s, N_PROMPT, &error) == LLM_OK && llm_session_append(other, prompt, 7, 0, &error) == LLM_OK);
    reply(s, sampler, 11, N_REPLY);
    reply(other, sampler, 5, 0);
    for (int step = 0; step < 100000 && llm_session_state(s) == LLM_STATE_WORKING; step++) {
        llm_session *both[2] = { s, other };
        llm_status status = llm_session_step(both, step % 3 == 0 ? 1 : 2, step % 5 == 0 ? LLM_FOREVER : 40, 0, &error);
        CHECK_MSG(status >= 0, "%s", error.message);
        if (step % 9 == 4) {                                /* a dropped pass, a new reply at the same place */
            llm_session_cancel(s);
            CHECK(llm_session_step(&s, 1, 0, 0, &error) >= 0);
            n = llm_session_n_tokens(s);
            if (n < N_ALL)
                reply(s, sampler, 11, (int)(N_ALL - n));
        }
    }
    is(s, wanted, N_ALL, "with budgets, company and cancels", which);

    llm_session_free(other);
    other = tiny_session(model, 0, 0);
    CHECK(llm_session_append(other, wanted, N_PROMPT + N_FIRST, 0, &error) == LLM_OK);
    say(other, sampler, 11, N_REPLY - N_FIRST);
    CHECK(llm_session_tokens(other, &tokens, &n, &error) == LLM_OK && n == N_ALL);
    int differs = memcmp(tokens, wanted, sizeof wanted) != 0;
    llm_session_free(other);
    llm_session_free(fork);
    llm_session_free(s);
    llm_sampler_free(sampler);
    return differs;
}

/* A sampler of another kind in between: the first goes on where it was. */
static void test_kinds(llm_model *model)
{
    llm_sampler *mirostat = make(model, 0), *adaptive = make(model, 2), *plain = make(model, 3);
    llm_session *s = tiny_session(model, 0, 0), *t = tiny_session(model, 0, 0);
    llm_token prompt[N_PROMPT];
    const llm_token *tokens;
    size_t n;
    llm_error error;
    tiny_tokens(prompt, N_PROMPT, tiny_small.n_vocab, 4);
    CHECK(llm_session_append(s, prompt, N_PROMPT, 0, &error) == LLM_OK && llm_session_append(t, prompt, N_PROMPT, 0, &error) == LLM_OK);
    say(s, mirostat, 1, 10);
    say(s, plain, 1, 10);
    say(s, mirostat, 1, 10);
    say(s, adaptive, 1, 10);
    say(s, mirostat, 1, 10);                                /* anew: the last token drawn so was adaptive's */
    CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && n == N_PROMPT + 50);
    say(t, mirostat, 1, 10);
    CHECK(llm_session_append(t, tokens + N_PROMPT + 10, 10, 0, &error) == LLM_OK);
    say(t, mirostat, 1, 10);
    is(t, tokens, N_PROMPT + 30, "after tokens that were put in", 0);
    llm_session_free(s);
    llm_session_free(t);
    llm_sampler_free(mirostat);
    llm_sampler_free(adaptive);
    llm_sampler_free(plain);
}

int main(void)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine;
    llm_model *model;
    int differs = 0;
    desc.n_threads = 2;
    tiny_open(&tiny_small, &desc, &engine, &model);
    for (int which = 0; which < 5; which++) {
        int other = test_timeline(model, which);
        CHECK(which != 3 || !other);                        /* it looks at tokens alone */
        differs += other;
    }
    CHECK(differs >= 2);                                    /* the others do remember something */
    test_kinds(model);
    llm_model_free(model);
    llm_engine_free(engine);
    return TEST_DONE();
}
