/* SPDX-License-Identifier: MIT
 * The bits of the logits after every token of every golden model, for each type of state, as one hash each, which stands in bits.inc under the number of
 * the arithmetic. Whatever a host does on the way - threads, chunks, budgets, tiers, company, a fork, a save and a restore in the middle - and
 * whatever machine it runs on, they are these. Who changes them on purpose raises LM_ARITHMETIC.
 *
 *     test_golden_bits print     prints what bits.inc should say */
#include "../api/saving.h"

#include "gold.h"

static const struct { const char *name; uint64_t hash[3]; } bits_pins[] = {      /* by LLM_STATE_TYPE_* */
#define BITS(name, f16, f32, int8) { name, { f16, f32, int8 } },
#include "bits.inc"
};

typedef struct watch { uint64_t hash; size_t n; } watch;

static void watch_score(void *user, size_t position, const float *logits, int32_t n_vocab)
{
    watch *w = user;
    w->hash = tiny_hash(logits, (size_t)n_vocab * sizeof *logits, w->hash ^ position);
    w->n++;
}

/* What a host may do on the way. */
typedef struct way { const char *what; int32_t n_threads, n_chunk, tier; int64_t budget_us; int company, saves, forks; } way;
static const way ways[] = {
    { "plain", 1, 0, 0, LLM_FOREVER, 0, 0, 0 },
    { "chunks of 7, a lower tier, budgets, in company", 3, 7, LLM_CPU_AVX2, 40, 1, 0, 0 },
    { "saved and restored", 2, 64, 0, LLM_FOREVER, 0, 1, 0 },
    { "forked", 2, 5, 0, 200, 0, 0, 1 },
    { "the reference kernels", 1, 0, LLM_CPU_REFERENCE, LLM_FOREVER, 0, 0, 0 },
    { "AVX-512, saved and restored in company", 3, 16, LLM_CPU_AVX512, 100, 1, 1, 0 },
};
enum { WAYS = sizeof ways / sizeof *ways };

static llm_status put(llm_session *s, const gold *g, size_t from, size_t to, llm_error *error) { return llm_session_append(s, g->tokens + from, to - from, LLM_APPEND_SCORE, error); }

/* The hash, or 0. */
static uint64_t bits_of(llm_model *model, const gold *g, const way *how, int32_t state_type)
{
    llm_error error;
    llm_session *s = tiny_session(model, 0, state_type), *other = NULL, *both[2] = { s };
    watch w = { 0xcbf29ce484222325u, 0 };
    size_t half = g->n_tokens / 2, n = 1;
    llm_status status;
    CHECK(llm_session_watch_scores(s, watch_score, &w, &error) == LLM_OK);
    if (how->company) {
        both[n++] = other = tiny_session(model, 0, state_type);
        CHECK(put(other, g, half, g->n_tokens, &error) == LLM_OK);
    }
    for (size_t from = 0; from < g->n_tokens; from += half ? half : 1) {
        size_t to = from + half > g->n_tokens - half ? g->n_tokens : from + half;
        if (!CHECK_MSG(put(s, g, from, to, &error) == LLM_OK, "%s", error.message))
            break;
        do
            status = llm_session_step(both, n, how->budget_us, 0, &error);
        while (status == LLM_MORE);
        if (!CHECK_MSG(status == LLM_OK, "%s", error.message) || to == g->n_tokens)
            break;
        llm_session *next = NULL;
        if (how->saves) {
            saving f = { 0 };
            llm_source source;
            llm_saved_info info = LLM_INIT(llm_saved_info);
            CHECK(saving_put(s, &f, NULL, &error) == LLM_OK);
            source = saving_source(f.data, f.size);
            CHECK(llm_saved_get_info(model, &source, &info, &error) == LLM_OK);
            CHECK_MSG(info.arithmetic == BITS_NUMBER, "bits.inc is of arithmetic %d, this is %u", BITS_NUMBER, info.arithmetic);
            next = tiny_session(model, 0, state_type);
            CHECK_MSG(saving_get(next, &f, LLM_RESTORE_NEED_STATE, &error) == LLM_OK, "%s", error.message);
            free(f.data);
        } else if (how->forks) {                            /* and who stays behind goes another way */
            CHECK(llm_session_fork(s, &next, &error) == LLM_OK && llm_session_watch_scores(s, NULL, NULL, &error) == LLM_OK && put(s, g, 0, half, &error) == LLM_OK &&
                  tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
        }
        if (next) {
            llm_session_free(s);
            both[0] = s = next;
            CHECK(llm_session_watch_scores(s, watch_score, &w, &error) == LLM_OK);
        }
    }
    CHECK_MSG(w.n == g->n_tokens - 1u, "%zu of %u scores", w.n, g->n_tokens - 1u);
    uint64_t hash = w.hash ^ tiny_logits_hash(s);
    llm_session_free(other);
    llm_session_free(s);
    return hash;
}

int main(int argc, char **argv)
{
    int print = argc > 1 && strcmp(argv[1], "print") == 0;
    uint64_t found[GOLD_MODELS][3] = { { 0 } };
    for (int k = 0; k < WAYS; k += TEST_EMULATED ? 2 : 1) {
        llm_engine_desc desc = LLM_INIT(llm_engine_desc);
        llm_engine *engine = NULL;
        llm_error error;
        desc.n_threads = ways[k].n_threads;
        desc.n_chunk = ways[k].n_chunk;
        desc.cpu_tier = ways[k].tier;
        if (!CHECK(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK))
            break;
        for (int i = 0; i < GOLD_MODELS; i++) {
            char path[512];
            gold g;
            llm_model *model = NULL;
            gold_path(path, gold_models[i].name, "gguf");
            if (!CHECK_MSG(gold_read(gold_models[i].name, &g) && llm_model_load(engine, path, LLM_NUL, NULL, &model, &error) == LLM_OK, "%s: %s", gold_models[i].name, error.message))
                continue;
            for (int32_t type = 0; type < 3; type++) {
                if (type != i % 3 && (ways[k].tier == LLM_CPU_REFERENCE || (TEST_EMULATED && k != 0)))
                    continue;                               /* slow */
                uint64_t hash = bits_of(model, &g, &ways[k], type), want = 0;
                for (size_t p = 0; p < sizeof bits_pins / sizeof *bits_pins; p++)
                    if (strcmp(bits_pins[p].name, gold_models[i].name) == 0)
                        want = bits_pins[p].hash[type];
                found[i][type] = k == 0 ? hash : found[i][type];
                CHECK_MSG(print || hash == want, "%s, state type %d, %s: %016llx, not %016llx", gold_models[i].name, type, ways[k].what, (unsigned long long)hash, (unsigned long long)want);
            }
            llm_model_free(model);
            free(g.file);
        }
        llm_engine_free(engine);
    }
    for (int i = 0; print && i < GOLD_MODELS; i++)
        printf("BITS(\"%s\", 0x%016llxu, 0x%016llxu, 0x%016llxu)\n", gold_models[i].name, (unsigned long long)found[i][0], (unsigned long long)found[i][1], (unsigned long long)found[i][2]);
    return TEST_DONE();
}
