/* SPDX-License-Identifier: MIT
 * The CPU backend against the plain composition, bit for bit: every shape and type, state of every type, prompts of 1 to 70 rows in
 * one pass and then one by one, and one long enough for several chunks of attention. */
#include "little.h"

#include <math.h>

static void plain_shape(const little_shape *shape, int32_t state_type, uint32_t n, uint32_t step)
{
    little m;
    little_rig rig;
    lm_backend *backend = NULL;
    llm_error error;
    if (!CHECK(little_open(&m, shape, NULL)))
        return;
    lm_cpu_desc desc = { 2, 0, NULL };
    CHECK(lm_cpu_backend_open(&m.host, &desc, &backend, &error) == LLM_OK);
    llm_token *tokens = calloc(n, sizeof *tokens);
    little_tokens(&m, tokens, n, 3);
    float *want = little_plain_run(&m, state_type, tokens, n);
    bool finite = true;
    for (size_t i = 0; i < (size_t)n * m.program->n_vocab; i++)
        finite = finite && isfinite(want[i]);
    CHECK(finite);
    llm_status status = little_rig_open(&rig, &m, backend, state_type, n, 2, 2 * (n / LM_PAGE_POSITIONS + 1) * 2, 9, &error);
    CHECK_MSG(status == LLM_OK, "%s", error.message);
    for (uint32_t rows = 1; status == LLM_OK && rows <= n; rows += step) {
        little_session session, *sessions[1] = { &session };
        little_session_open(&session, &m, tokens, n);
        status = little_pass(&rig, rig.arena, sessions, &rows, 1, -1, NULL, &error);
        CHECK_MSG(status == LLM_OK, "%s", error.message);
        for (uint32_t one = 1, more = 0; more < 3 && session.n_done < n && status == LLM_OK; more++)
            status = little_pass(&rig, rig.arena, sessions, &one, 1, -1, NULL, &error);
        CHECK_MSG(status == LLM_OK, "%s", error.message);
        uint32_t at = little_differs(&m, want, session.logits, session.n_done);
        if (!CHECK_MSG(at == session.n_done, "shape %d, %u rows: position %u differs: %a, not %a", (int)(shape - little_shapes), rows, at,
                       (double)session.logits[(size_t)at * m.program->n_vocab], (double)want[(size_t)at * m.program->n_vocab]))
            status = LLM_E_INTERNAL;
        little_session_close(&rig, &session);
    }
    little_rig_close(&rig);
    free(want);
    free(tokens);
    little_close(&m);
    CHECK(atomic_load(&m.host.mem.used) == 0);
}

int main(void)
{
    for (size_t s = 0; s < LM_COUNT(little_shapes); s++) {
        plain_shape(&little_shapes[s], LLM_STATE_TYPE_F16, TEST_EMULATED ? 40 : 70, TEST_EMULATED ? 19 : 1);
        plain_shape(&little_shapes[s], LLM_STATE_TYPE_F32, TEST_EMULATED ? 20 : 70, TEST_EMULATED ? 18 : 23);
        plain_shape(&little_shapes[s], LLM_STATE_TYPE_INT8, TEST_EMULATED ? 20 : 70, TEST_EMULATED ? 18 : 34);
    }
    if (TEST_EMULATED) {                                    /* two chunks are several */
        plain_shape(&little_shapes[1], LLM_STATE_TYPE_F16, 280, 275);
        plain_shape(&little_shapes[2], LLM_STATE_TYPE_INT8, 280, 275);
    } else {
        plain_shape(&little_shapes[1], LLM_STATE_TYPE_F16, 600, 549);
        plain_shape(&little_shapes[2], LLM_STATE_TYPE_F32, 800, 790);
        plain_shape(&little_shapes[1], LLM_STATE_TYPE_INT8, 600, 549);
        plain_shape(&little_shapes[2], LLM_STATE_TYPE_INT8, 800, 790);
    }
    return TEST_DONE();
}
