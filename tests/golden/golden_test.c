/* SPDX-License-Identifier: MIT
 * Logits against the original implementations: the small random models of tests/golden/data, and two trained ones where the shared
 * data is at hand. */
#include "forward.h"

#include "gold.h"

#include "base/os.h"

static float golden_logits[FORWARD_CTX * 512];

/* Largest difference as a share of the largest |logit|, and mean divergence, over the positions that the reference has. Gives how many
 * of the likeliest tokens differ. */
static uint32_t golden_compare(const gold *g, const float *logits, double *error, double *kl)
{
    double worst = 0, largest = 0, sum = 0;
    uint32_t n_wrong = 0;
    for (uint32_t i = 0; i < g->n_positions; i++) {
        const float *want = g->logits + (size_t)i * g->n_vocab, *have = logits + (size_t)g->positions[i] * g->n_vocab;
        uint32_t best[2] = { 0, 0 };
        for (uint32_t v = 0; v < g->n_vocab; v++) {
            best[0] = want[v] > want[best[0]] ? v : best[0];
            best[1] = have[v] > have[best[1]] ? v : best[1];
            double d = fabs((double)want[v] - have[v]);
            worst = d <= worst ? worst : d;                 /* NaN counts */
            largest = fmax(largest, fabs(want[v]));
        }
        sum += gold_kl(want, have, g->n_vocab);
        n_wrong += best[0] != best[1];
    }
    *error = worst / largest;
    *kl = sum / g->n_positions;
    return n_wrong;
}

static void golden_test_model(const gold_model *m)
{
    forward f;
    gold g;
    char path[512];
    double error[3] = { NAN, NAN, NAN }, kl[3] = { NAN, NAN, NAN };
    uint32_t n_wrong[3] = { 1, 1, 1 };
    static const int32_t types[3] = { LLM_STATE_TYPE_F32, LLM_STATE_TYPE_F16, LLM_STATE_TYPE_INT8 };
    gold_path(path, m->name, "gguf");
    if (!CHECK_MSG(gold_read(m->name, &g), "%s", m->name))
        return;
    for (int i = 0; i < 3; i++) {
        if (CHECK_MSG(forward_open(&f, path, NULL, 0, 2, types[i], FORWARD_CTX) == LLM_OK, "%s: %s", m->name, f.error.message)) {
            if (CHECK_MSG(forward_all(&f, g.tokens, g.n_tokens, FORWARD_CTX, golden_logits) == LLM_OK, "%s: %s", m->name, f.error.message))
                n_wrong[i] = golden_compare(&g, golden_logits, &error[i], &kl[i]);
            forward_close(&f);
        }
        CHECK(f.host.mem.used == 0);
    }
    printf("%-14s f32 state: max error %.2e of the largest logit, KL %.2e; f16 state: max error %.2e, KL %.2e; int8 state: max error %.2e, KL %.2e\n", m->name, error[0],
           kl[0], error[1], kl[1], error[2], kl[2]);
    CHECK_MSG(error[0] <= m->max_error, "%s: max error %g", m->name, error[0]);
    CHECK_MSG(kl[1] <= m->max_kl, "%s: mean KL %g", m->name, kl[1]);
    CHECK_MSG(error[2] <= GOLD_INT8_ERROR && kl[2] <= GOLD_INT8_KL, "%s: int8 state: max error %g, mean KL %g", m->name, error[2], kl[2]);
    CHECK_MSG(n_wrong[0] == 0 || m->max_error > 1e-4, "%s: %u of %u greedy tokens differ", m->name, n_wrong[0], g.n_positions);
    free(g.file);
}

/* The numbers of a JSON array: enough of JSON for a file that we know. */
static uint32_t golden_numbers(const char *text, const char *key, double *out, uint32_t cap)
{
    uint32_t n = 0;
    char *end;
    text = strstr(text, key);
    text = text ? strchr(text, '[') : NULL;
    while (text && *text != ']' && n < cap) {
        text += strspn(text, "[, \n\r\t");
        out[n] = strtod(text, &end);
        if (end == text)
            break;
        text = end;
        n++;
    }
    return n;
}

/* 200 greedy ids from BOS, and the logits that the last of them was taken from. */
static void golden_test_trained(const char *json, const char *name, const char *file)
{
    static double ids[512], want[512];
    forward f;
    char path[512];
    const char *text = strstr(json, name);
    uint32_t n_ids = text ? golden_numbers(text, "\"greedy_ids\"", ids, LM_COUNT(ids)) : 0;
    uint32_t n_want = text ? golden_numbers(text, "\"last_pos_logits\"", want, LM_COUNT(want)) : 0, wrong = 0;
    double worst = 0;
    if (!CHECK(n_ids == 201))
        return;
    snprintf(path, sizeof path, "%s/models/%s", LLM_TEST_DATA, file);
    if (!CHECK_MSG(forward_open(&f, path, NULL, 0, 2, LLM_STATE_TYPE_F32, FORWARD_CTX) == LLM_OK, "%s: %s", name, f.error.message))
        return;
    forward_seq seq;
    memset(&seq, 0, sizeof seq);
    uint32_t n_vocab = f.model->program->n_vocab;
    CHECK(n_vocab == n_want);
    llm_token token = (llm_token)ids[0];
    for (uint32_t i = 0; i + 1 < n_ids && n_vocab <= 512; i++) {        /* ids[0] is BOS */
        forward_part part = { &seq, &token, 1, golden_logits };
        if (!CHECK_MSG(forward_pass(&f, &part, 1) == LLM_OK, "%s", f.error.message))
            break;
        token = 0;
        for (uint32_t v = 1; v < n_vocab; v++)
            token = golden_logits[v] > golden_logits[token] ? (llm_token)v : token;
        wrong += token != (llm_token)ids[i + 1];
    }
    for (uint32_t v = 0; v < n_vocab; v++)
        worst = fmax(worst, fabs(want[v] - golden_logits[v]));
    printf("%-14s %u of %u greedy ids differ; last logits: max error %.2e\n", name, wrong, n_ids - 1, worst);
    CHECK(wrong == 0);
    CHECK_MSG(worst <= 1e-4, "%s: %g", name, worst);
    forward_drop(&f, &seq);
    forward_close(&f);
}

int main(void)
{
    size_t size;
    for (int i = 0; i < GOLD_MODELS; i++)
        golden_test_model(&gold_models[i]);
    char *json = test_read_file(LLM_TEST_DATA "/models/reference_logits.json", &size);
    if (json) {
        golden_test_trained(json, "stories260K", "stories260K-f32.gguf");
        golden_test_trained(json, "babyllama-tok105", "babyllama-tok105-f32.gguf");
    } else {
        printf("no trained models at %s: they are skipped\n", LLM_TEST_DATA);
    }
    free(json);
    return TEST_DONE();
}
