/* SPDX-License-Identifier: MIT
 * Sessions saved on one device and restored on another: the CPU, a GPU, layers split between both. What is restored and saved again is the same
 * file, byte for byte; what follows is as near as those devices are. */
#include "saving.h"

#include "../golden/gold.h"

enum { PLACES = 3, TAKEN = 90, MORE = 40 };
static const char *const places[PLACES] = { "the CPU", "the GPU", "both" };
static llm_engine *engine;

static double off(llm_session *a, llm_session *b)
{
    const float *x, *y;
    size_t n, m;
    double most = 1e-30, worst = 0;
    if (llm_session_logits(a, &x, &n, NULL) != LLM_OK || llm_session_logits(b, &y, &m, NULL) != LLM_OK || n != m)
        return 1;
    for (size_t i = 0; i < n; i++) {
        most = fabs((double)x[i]) > most ? fabs((double)x[i]) : most;
        worst = fabs((double)x[i] - (double)y[i]) <= worst ? worst : fabs((double)x[i] - (double)y[i]);
    }
    return worst / most;
}

static void move(llm_model *const m[PLACES], const char *name, int from, int to, int32_t type, uint32_t n_vocab)
{
    static const double bound[] = { 5e-3, 1e-4, 5e-2 };     /* f16, f32, int8: as the golden models' */
    llm_error error;
    llm_token tokens[TAKEN + MORE];
    saving f = { 0 }, again = { 0 };
    llm_session *a = tiny_session(m[from], 200, type), *b = tiny_session(m[to], 200, type);
    tiny_tokens(tokens, TAKEN + MORE, n_vocab, 70);
    CHECK_MSG(llm_session_append(a, tokens, TAKEN, 0, &error) == LLM_OK && tiny_drain(a, LLM_FOREVER, &error) == LLM_OK, "%s", error.message);
    CHECK_MSG(saving_put(a, &f, NULL, &error) == LLM_OK, "%s", error.message);
    CHECK_MSG(saving_get(b, &f, LLM_RESTORE_NEED_STATE, &error) == LLM_OK, "%s", error.message);
    CHECK(saving_hash(a) == saving_hash(b));
    CHECK_MSG(saving_put(b, &again, NULL, &error) == LLM_OK, "%s", error.message);
    CHECK_MSG(f.size == again.size && memcmp(f.data, again.data, f.size) == 0, "%s, type %d: saved on %s, restored on %s, saved again: another file", name, type,
              places[from], places[to]);
    CHECK(llm_session_append(a, tokens + TAKEN, MORE, 0, &error) == LLM_OK && tiny_drain(a, LLM_FOREVER, &error) == LLM_OK);
    CHECK_MSG(llm_session_append(b, tokens + TAKEN, MORE, 0, &error) == LLM_OK && tiny_drain(b, LLM_FOREVER, &error) == LLM_OK, "%s", error.message);
    double worst = off(a, b);
    CHECK_MSG(worst < bound[type] && (from != 0 || to != 0 || worst == 0), "%s, type %d: from %s to %s the logits are off by %g", name, type, places[from], places[to], worst);
    llm_session_free(a);
    llm_session_free(b);
    free(f.data);
    free(again.data);
}

int main(void)
{
    static const char *const names[] = { "llama-tied", "gemma3" };      /* two page classes in the second */
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_error error;
    desc.flags = LLM_ENGINE_GPUS;
    desc.n_threads = 2;
    if (!CHECK_MSG(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK, "%s", error.message))
        return 1;
    int n_places = llm_engine_device_count(engine) > 1 ? PLACES : 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        llm_model *m[PLACES] = { NULL };
        llm_model_info info = LLM_INIT(llm_model_info);
        char path[512];
        gold_path(path, names[i], "gguf");
        for (int k = 0; k < n_places; k++) {
            llm_model_desc how = LLM_INIT(llm_model_desc);
            how.device = k ? 2 : 0;
            how.n_device_layers = k == 2 ? 1 : 0;
            CHECK_MSG(llm_model_load(engine, path, LLM_NUL, &how, &m[k], &error) == LLM_OK, "%s", error.message);
        }
        CHECK(llm_model_get_info(m[0], &info, &error) == LLM_OK);
        for (int from = 0; from < n_places; from++)
            for (int to = 0; to < n_places; to++)
                for (int32_t type = 0; type < 3; type++)
                    if (m[from] && m[to] && (from == 0 || to == 0 || type == 0))
                        move(m, names[i], from, to, type, (uint32_t)info.n_vocab);
        for (int k = 0; k < n_places; k++)
            llm_model_free(m[k]);
    }
    llm_engine_free(engine);
    if (n_places == 1 && test_failures == 0)
        return TEST_SKIP("no Vulkan driver on this machine: saved and restored on the CPU alone");
    return TEST_DONE();
}
