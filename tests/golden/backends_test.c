/* SPDX-License-Identifier: MIT
 * Every golden model through the two backends that watch: verify executes nothing and checks everything that programs and callers do,
 * compare runs each operation on the reference and on the best tier and asks for the same bits. */
#include "forward.h"

#include "gold.h"

static float backends_logits[FORWARD_CTX * 128];

/* A prompt in uneven passes, and two sequences sharing some. */
static void backends_run(const char *name, const char *what, lm_host *host, lm_backend *backend, int32_t state_type, uint32_t n_tokens)
{
    forward f;
    gold g;
    char path[512];
    forward_seq seqs[2];
    gold_path(path, name, "gguf");
    memset(seqs, 0, sizeof seqs);
    if (!CHECK_MSG(gold_read(name, &g) && g.n_vocab <= 128 && g.n_tokens > 70, "%s", name)) {
        backend->table->close(backend);
        return;
    }
    if (CHECK_MSG(forward_open(&f, path, backend, 0, 0, state_type, 128) == LLM_OK, "%s, %s: %s", what, name, f.error.message)) {
        CHECK_MSG(forward_all(&f, g.tokens, LM_MIN(n_tokens, g.n_tokens), 61, backends_logits) == LLM_OK, "%s, %s: %s", what, name, f.error.message);
        forward_part parts[2] = { { &seqs[0], g.tokens, 70, NULL }, { &seqs[1], g.tokens, 9, backends_logits } };
        CHECK_MSG(forward_pass(&f, parts, 2) == LLM_OK, "%s, %s: %s", what, name, f.error.message);
        parts[0] = (forward_part){ &seqs[0], g.tokens + 70, 1, backends_logits };
        parts[1] = (forward_part){ &seqs[1], g.tokens + 9, 30, NULL };
        CHECK_MSG(forward_pass(&f, parts, 2) == LLM_OK, "%s, %s: %s", what, name, f.error.message);
        forward_drop(&f, &seqs[0]);
        forward_drop(&f, &seqs[1]);
        forward_close(&f);
    }
    CHECK_MSG(host->mem.used == 0, "%s, %s", what, name);
    free(g.file);
}

static void backends_test_model(const char *name, int32_t state_type)
{
    lm_host host;
    llm_error error;
    lm_backend *a = NULL, *b = NULL, *both = NULL;
    memset(&host, 0, sizeof host);
    lm_mem_init(&host.mem, NULL, 0);
    if (CHECK_MSG(lm_verify_backend_open(&host, &a, &error) == LLM_OK, "%s", error.message))
        backends_run(name, "verify", &host, a, state_type, TEST_EMULATED ? 70 : 300);
    a = NULL;
    bool there = lm_cpu_backend_open(&host, &(lm_cpu_desc){ .n_threads = 1, .tier = LLM_CPU_REFERENCE }, &a, &error) == LLM_OK &&
                 lm_cpu_backend_open(&host, &(lm_cpu_desc){ .n_threads = 3 }, &b, &error) == LLM_OK &&
                 lm_compare_backend_open(&host, a, b, 0, 0, &both, &error) == LLM_OK;
    if (CHECK_MSG(there, "%s", error.message))
        backends_run(name, "compare", &host, both, state_type, TEST_EMULATED ? 70 : 200);
}

int main(void)
{
    for (int i = 0; i < GOLD_MODELS; i++)
        backends_test_model(gold_models[i].name, i % 3);    /* LLM_STATE_TYPE_* */
    return TEST_DONE();
}
