/* SPDX-License-Identifier: MIT
 * Vulkan against the original implementations and against the CPU's reference, on whatever device there is: a processor that plays one
 * will do. All golden models with state of every type; the validation layers, where they are, must have nothing to say.
 *
 * Products have f32 activations there, so that quantized weights are held to what float weights are: the originals computed with the same
 * dequantized numbers. The compare backend looks at each operation; where weights are quantized the CPU's eight-bit activations are what
 * differs, and its bound is of that size. */
#include "forward.h"

#include "gold.h"

#include "backend/vulkan_open.h"

static float vulkan_logits[FORWARD_CTX * 128];
static const struct lm_backend_table *vulkan_real_table;

/* Forwards close what they were given; the device stays open for the next model. */
static void vulkan_stays(lm_backend *backend) { (void)backend; }

/* With a processor before it: the first half of the layers there, the rest on the device. */
static lm_backend *vulkan_first;
static lm_cut vulkan_cut;
static int vulkan_splits;

static llm_status vulkan_place(void *user, const lm_program *program, uint32_t n_layers, lm_backend **backend, llm_error *error)
{
    lm_host *host = user;
    if (n_layers < 2)                                       /* there is nothing to cut */
        return LLM_OK;
    vulkan_splits++;
    LM_TRY(lm_program_cut(host, program, (int32_t)(n_layers / 2), &vulkan_cut, error));
    return lm_split_backend_open(host, vulkan_first, *backend, &vulkan_cut, backend, error);
}

static void vulkan_measure(const gold *g, double *error, double *kl)
{
    double worst = 0, largest = 0, sum = 0;
    for (uint32_t i = 0; i < g->n_positions; i++) {
        const float *want = g->logits + (size_t)i * g->n_vocab, *have = vulkan_logits + (size_t)g->positions[i] * g->n_vocab;
        for (uint32_t v = 0; v < g->n_vocab; v++) {
            double d = fabs((double)want[v] - have[v]);
            worst = d <= worst ? worst : d;                 /* NaN counts */
            largest = fmax(largest, fabs(want[v]));
        }
        sum += gold_kl(want, have, g->n_vocab);
    }
    *error = worst / largest;
    *kl = sum / g->n_positions;
}

static void vulkan_model(lm_backend *backend, const gold_model *m, int only)
{
    static const int32_t types[3] = { LLM_STATE_TYPE_F32, LLM_STATE_TYPE_F16, LLM_STATE_TYPE_INT8 };
    double error[3] = { 0, 0, 0 }, kl[3] = { 0, 0, 0 };
    forward f;
    gold g;
    char path[512];
    gold_path(path, m->name, "gguf");
    if (!CHECK_MSG(gold_read(m->name, &g) && g.n_vocab <= 128, "%s", m->name))
        return;
    for (int i = 0; i < 3; i++)
        if ((only < 0 || i == only) && CHECK_MSG(forward_open(&f, path, backend, 0, 0, types[i], 64) == LLM_OK, "%s: %s", m->name, f.error.message)) {
            /* Chunks of 37 and 64 rows are tiles, of 5 are columns. */
            if (CHECK_MSG(forward_all(&f, g.tokens, g.n_tokens, i == 0 ? 37 : i == 1 ? 5 : 64, vulkan_logits) == LLM_OK, "%s: %s", m->name, f.error.message))
                vulkan_measure(&g, &error[i], &kl[i]);
            forward_close(&f);
            lm_cut_free(backend->host, &vulkan_cut);
        }
    printf("%-14s f32 state: max error %.2e of the largest logit, KL %.2e; f16: %.2e, KL %.2e; int8: %.2e, KL %.2e\n", m->name, error[0], kl[0], error[1], kl[1], error[2], kl[2]);
    /* The processor's eight-bit activations, where it has a half of the work, are what they are there. */
    double most = vulkan_first ? m->max_error : 1e-4, most_kl = vulkan_first ? m->max_kl : 1e-5;
    CHECK_MSG(error[0] <= most && kl[0] <= most_kl, "%s: f32 state: max error %g, mean KL %g", m->name, error[0], kl[0]);
    CHECK_MSG(kl[1] <= most_kl, "%s: f16 state: mean KL %g", m->name, kl[1]);
    /* int8 state: llama-tied has a KL of 2.9e-3 on either device; half of it on each, which round queries differently, 3.2e-3. */
    CHECK_MSG(error[2] <= GOLD_INT8_ERROR && kl[2] <= (vulkan_first ? 3.5e-3 : GOLD_INT8_KL), "%s: int8 state: max error %g, mean KL %g", m->name, error[2], kl[2]);
    fflush(stdout);
    free(g.file);
}

/* golden_vulkan [split] [all | NAME...]: all models with state of every type; or those whose names begin so, llama by default, each with state of one. */
int main(int argc, char **argv)
{
    lm_host host;
    llm_error error;
    lm_backend *backend = NULL;
    lm_backend_table table;
    llm_status status = vulkan_open(&host, (lm_vulkan_desc){ 0 }, &backend, &error);
    if (status == LLM_E_NO_DEVICE)
        return TEST_SKIP("%s", error.message);
    if (!CHECK_MSG(status == LLM_OK, "%s", error.message))
        return TEST_DONE();
    vulkan_real_table = backend->table;
    table = *backend->table;
    table.close = vulkan_stays;
    backend->table = &table;
    bool split = argc > 1 && strcmp(argv[1], "split") == 0;
    if (split) {
        argc--, argv++;
        if (!CHECK_MSG(lm_cpu_backend_open(&host, &(lm_cpu_desc){ .n_threads = 1 }, &vulkan_first, &error) == LLM_OK, "%s", error.message))
            return TEST_DONE();
        forward_place = vulkan_place;
    }
    for (int i = 0; i < GOLD_MODELS; i++) {
        bool all = argc == 2 && strcmp(argv[1], "all") == 0, wanted = all || (argc < 2 && strncmp(gold_models[i].name, "llama", 5) == 0);
        for (int k = 1; k < argc; k++)
            wanted = wanted || strncmp(gold_models[i].name, argv[k], strlen(argv[k])) == 0;
        if (wanted)
            vulkan_model(backend, &gold_models[i], all ? -1 : i % 4 == 1 ? 1 : i % 4 == 3 ? 2 : 0);
    }
    backend->table = vulkan_real_table;
    CHECK(!split || vulkan_splits > 0);
    lm_vulkan_info info;
    CHECK(lm_vulkan_backend_get_info(backend, &info, &error) == LLM_OK);
    printf("%s: %u modules, %u pipelines, %u submissions\n", info.name, info.n_modules, info.n_pipelines, info.n_submits);
    backend->table->close(backend);
    if (vulkan_first)
        vulkan_first->table->close(vulkan_first);
    CHECK(host.mem.used == 0);
    CHECK_MSG(vulkan_messages == 0, "%u messages of the validation layers", vulkan_messages);
    return TEST_DONE();
}
