/* SPDX-License-Identifier: MIT
 * One arithmetic: the bits of every logit do not depend on the tier of kernels, the number of threads, how a prompt is cut into
 * passes, who shares a pass, or where a budget stops it. Everything is compared with the reference tier on one thread. Three models go through every
 * combination; the others, for time, through each tier with several cuts (the reference kernels emulate fma on some builds). */
#include "forward.h"

#include "gold.h"

enum { INVARIANCE_TOKENS = 300, INVARIANCE_MAX = INVARIANCE_TOKENS * 100 };
static float invariance_want[INVARIANCE_MAX], invariance_have[INVARIANCE_MAX];

static void invariance_same(const gold *g, const char *what, int32_t tier, int32_t threads, uint32_t chunk)
{
    size_t bytes = (size_t)g->n_tokens * g->n_vocab * sizeof(float);
    if (memcmp(invariance_want, invariance_have, bytes) == 0)
        return;
    for (size_t i = 0; i < bytes / sizeof(float); i++) {
        bool same = memcmp(&invariance_want[i], &invariance_have[i], sizeof(float)) == 0;
        if (!same) {
            CHECK_MSG(same, "%s: tier %d, %d threads, chunk %u: position %zu, token %zu: %a, expected %a", what, tier, threads, chunk, i / g->n_vocab, i % g->n_vocab,
                      (double)invariance_have[i], (double)invariance_want[i]);
            return;
        }
    }
}

static void invariance_chunk(forward *f, const gold *g, const char *what, int32_t tier, int32_t threads, uint32_t chunk)
{
    memset(invariance_have, 0, sizeof invariance_have);
    if (CHECK_MSG(forward_all(f, g->tokens, g->n_tokens, chunk, invariance_have) == LLM_OK, "%s", f->error.message))
        invariance_same(g, what, tier, threads, chunk);
}

/* Budgets that stop a pass in its middle, many times. */
static void invariance_budget(forward *f, const gold *g, const char *what, int32_t tier, int32_t threads)
{
    f->n_steps = 0;
    f->deadline_us = 20;
    memset(invariance_have, 0, sizeof invariance_have);
    if (CHECK_MSG(forward_all(f, g->tokens, g->n_tokens, 512, invariance_have) == LLM_OK, "%s", f->error.message))
        invariance_same(g, what, tier, threads, 512);
    CHECK_MSG(f->n_steps > 1, "%llu steps", (unsigned long long)f->n_steps);
    f->deadline_us = 0;
}

/* Three sequences in one pass, each elsewhere in the same tokens and with another number of rows. */
static void invariance_mix(forward *f, const gold *g, const char *what, int32_t tier, int32_t threads)
{
    static float parts_out[3][INVARIANCE_MAX];
    static const uint32_t step[3] = { 1, 13, 40 };
    forward_seq seqs[3];
    memset(seqs, 0, sizeof seqs);
    memset(parts_out, 0, sizeof parts_out);
    for (bool left = true; left;) {
        forward_part parts[3];
        uint32_t n = 0;
        for (int i = 0; i < 3; i++) {
            uint32_t at = seqs[i].n_tokens, end = i == 0 ? 30 : g->n_tokens;
            if (at < end)
                parts[n++] = (forward_part){ &seqs[i], g->tokens + at, LM_MIN(step[i], end - at), parts_out[i] + (size_t)at * g->n_vocab };
        }
        left = n != 0;
        if (left && !CHECK_MSG(forward_pass(f, parts, n) == LLM_OK, "%s", f->error.message))
            break;
    }
    for (int i = 0; i < 3; i++) {
        memcpy(invariance_have, invariance_want, sizeof invariance_have);
        memcpy(invariance_have, parts_out[i], (size_t)seqs[i].n_tokens * g->n_vocab * sizeof(float));
        invariance_same(g, what, tier, threads, step[i]);
        forward_drop(f, &seqs[i]);
    }
}

static void invariance_test_model(const char *name, int32_t state_type, bool full)
{
    static const int32_t threads[] = { 1, 2, 3, 8 }, tiers[] = { LLM_CPU_REFERENCE, LLM_CPU_AVX2, LLM_CPU_AVX512, LLM_CPU_NEON, LLM_CPU_NEON_I8MM, LLM_CPU_AMX };
    static const uint32_t chunks[] = { 512, 7, 64, 1 };
    forward f;
    gold g;
    char path[512];
    gold_path(path, name, "gguf");
    if (!CHECK_MSG(gold_read(name, &g) && g.n_tokens * g.n_vocab <= INVARIANCE_MAX, "%s", name))
        return;
    for (size_t t = 0; t < LM_COUNT(tiers); t++)
        for (size_t n = 0; n < LM_COUNT(threads); n++) {
            bool first = tiers[t] == LLM_CPU_REFERENCE && threads[n] == 1;
            if (!full && !first && (tiers[t] == LLM_CPU_REFERENCE || threads[n] != 3))
                continue;
            if (!CHECK_MSG(forward_open(&f, path, NULL, tiers[t], threads[n], state_type, FORWARD_CTX) == LLM_OK, "%s: %s", name, f.error.message))
                continue;
            bool there = lm_cpu_backend_tier(f.backend) == tiers[t];    /* else this machine has it not */
            if (first)
                CHECK_MSG(there && forward_all(&f, g.tokens, g.n_tokens, 512, invariance_want) == LLM_OK, "%s", f.error.message);
            for (size_t c = 0; there && c < LM_COUNT(chunks); c++)
                if (full || (!first && c < 2))
                    invariance_chunk(&f, &g, name, tiers[t], threads[n], chunks[c]);
            if (there && (full || !first)) {
                invariance_mix(&f, &g, name, tiers[t], threads[n]);
                invariance_budget(&f, &g, name, tiers[t], threads[n]);
            }
            forward_close(&f);
        }
    free(g.file);
}

int main(void)
{
    static const char *const full[] = { "llama-bias", "mixtral-q4_0", "qwen3-k" };
    for (int i = 0; i < GOLD_MODELS; i++) {
        int32_t state_type = (i + 1) % 3;                   /* LLM_STATE_TYPE_* */
        bool all = false;
        for (size_t k = 0; k < LM_COUNT(full); k++)
            if (strcmp(gold_models[i].name, full[k]) == 0) {
                state_type = (int32_t)k;
                all = true;
            }
        invariance_test_model(gold_models[i].name, state_type, all);
    }
    return TEST_DONE();
}
