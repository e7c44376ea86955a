/* SPDX-License-Identifier: MIT
 * LongRoPE by sessions: one model, two sessions in the same passes, one whose context is longer than the model was first trained for and one
 * whose is not. Each must see positions its own way, as the original does for a long text and for a short one. */
#include "gold.h"

#include <llm.h>

static llm_session *open_session(llm_model *model, int32_t n_ctx)
{
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *s = NULL;
    llm_error error;
    desc.n_ctx = n_ctx;
    desc.state_type = LLM_STATE_TYPE_F32;
    if (!CHECK_MSG(llm_session_create(model, &desc, &s, &error) == LLM_OK, "%s", error.message))
        exit(1);
    return s;
}

/* Appends up to the gold's i-th position. */
static void advance(llm_session *s, const gold *g, uint32_t i)
{
    llm_error error;
    size_t have = llm_session_n_tokens(s), until = (size_t)g->positions[i] + 1;
    CHECK_MSG(llm_session_append(s, (const llm_token *)g->tokens + have, until - have, 0, &error) == LLM_OK, "%s", error.message);
}

static double difference(const float *a, const float *b, uint32_t n)
{
    double worst = 0, largest = 0;
    for (uint32_t v = 0; v < n; v++) {
        worst = fmax(worst, fabs((double)a[v] - b[v]));
        largest = fmax(largest, fabs(a[v]));
    }
    return worst / largest;
}

static double session_difference(llm_session *s, const gold *g, uint32_t i)
{
    const float *logits = NULL;
    size_t n = 0;
    llm_error error;
    if (!CHECK_MSG(llm_session_logits(s, &logits, &n, &error) == LLM_OK && n == g->n_vocab, "%s", error.message))
        return INFINITY;
    return difference(g->logits + (size_t)i * g->n_vocab, logits, g->n_vocab);
}

int main(void)
{
    gold all, begin;
    char path[512];
    llm_error error;
    llm_engine *engine = NULL;
    llm_model *model = NULL;
    double worst[2] = { 0, 0 };
    if (!CHECK(gold_read("phi3-long", &all)) || !CHECK(gold_read("phi3-long-begin", &begin)))
        return TEST_DONE();
    gold_path(path, "phi3-long", "gguf");
    if (!CHECK(llm_engine_create(LLM_ABI, NULL, &engine, &error) == LLM_OK) ||
        !CHECK_MSG(llm_model_load(engine, path, LLM_NUL, NULL, &model, &error) == LLM_OK, "%s", error.message))
        return TEST_DONE();
    llm_session *s[2] = { open_session(model, 129), open_session(model, 128) };          /* 128 is where the model's short context ends */
    for (uint32_t i = 0, k = 0; i < begin.n_positions; i++) {
        while (k < all.n_positions && all.positions[k] < begin.positions[i])
            k++;
        int same = k < all.n_positions && all.positions[k] == begin.positions[i] && all.positions[k] < 129;
        if (same)
            advance(s[0], &all, k);
        advance(s[1], &begin, i);
        llm_status status;
        while ((status = llm_session_step(s, 2, LLM_FOREVER, 0, &error)) == LLM_MORE)
            ;
        CHECK_MSG(status == LLM_OK, "%s", error.message);
        worst[1] = fmax(worst[1], session_difference(s[1], &begin, i));
        if (!same)
            continue;
        worst[0] = fmax(worst[0], session_difference(s[0], &all, k));
        if (all.positions[k] > 1)                            /* else there is nothing to tell apart */
            CHECK(difference(all.logits + (size_t)k * all.n_vocab, begin.logits + (size_t)i * begin.n_vocab, all.n_vocab) > 1e-2);
    }
    printf("long context: max error %.2e; short one, in the same passes: %.2e\n", worst[0], worst[1]);
    CHECK(worst[0] <= 1e-4 && worst[1] <= 1e-4);
    llm_session *fork = NULL;                               /* as its origin */
    CHECK(llm_session_fork(s[0], &fork, &error) == LLM_OK && llm_session_rewind(fork, 65, &error) == LLM_OK);
    while (llm_session_step(&fork, 1, LLM_FOREVER, 0, &error) == LLM_MORE)
        ;
    for (uint32_t k = 0; k < all.n_positions; k++)
        if (all.positions[k] == 64)
            CHECK(session_difference(fork, &all, k) <= 1e-4);
    llm_session_free(fork);
    llm_session_free(s[0]);
    llm_session_free(s[1]);
    llm_model_free(model);
    llm_engine_free(engine);
    free(all.file);
    free(begin.file);
    return TEST_DONE();
}
