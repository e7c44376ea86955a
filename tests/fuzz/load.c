/* SPDX-License-Identifier: MIT
 * A whole model: loaded, and if it loads, four tokens, on the reference kernels or the best ones. Every eighth one that runs is run on both, which must say the same. */
#include "fuzz.h"
#include "models.h"
#include "mutate.h"

#include <math.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) { return mutate_gguf(data, size, max_size, seed); }
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max_size, unsigned int seed)
{
    return mutate_cross(a, a_size, b, b_size, out, max_size, seed);
}

void fuzz_seeds(void (*put)(const char *name, const void *data, size_t size))
{
    static unsigned char file[MODELS_MOST];
    doc *d = doc_new();
    for (size_t i = 0; i < models_count(); i++) {
        models_make(d, i);
        size_t size = doc_write(d, file, sizeof file);
        FUZZ_CHECK(size > 0, "%s is too large", models_name(i));
        put(models_name(i), file, size);
    }
    doc_free(d);
}

typedef struct load_said { llm_status status; llm_token tokens[16]; size_t n; uint64_t logits; } load_said;

static void load_run(llm_model *model, int32_t state_type, load_said *said)
{
    static const llm_token prompt[] = { 1, 5, 0, 7, 3 };
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_model_info info = LLM_INIT(llm_model_info);
    llm_session *s = NULL;
    llm_error error;
    llm_status status;
    char text[64];
    const llm_token *tokens;
    const float *logits;
    size_t n;
    FUZZ_CHECK(llm_model_get_info(model, &info, &error) == LLM_OK && info.n_vocab > 0 && info.n_layers > 0, "no info");
    desc.n_ctx = 10;
    desc.state_type = state_type;
    status = fuzz_status(llm_session_create(model, &desc, &s, &error), &error);
    FUZZ_CHECK(status == LLM_OK, "%s", error.message);
    for (size_t i = 0; i < sizeof prompt / sizeof *prompt; i++) {
        llm_token token = prompt[i] % info.n_vocab;
        FUZZ_CHECK(llm_session_append(s, &token, 1, 0, &error) == LLM_OK, "%s", error.message);
    }
    reply.max_tokens = 4;
    reply.flags = LLM_GENERATE_IGNORE_END;
    FUZZ_CHECK(llm_session_generate(s, &reply, &error) == LLM_OK, "%s", error.message);
    do {
        status = fuzz_status(llm_session_step(&s, 1, LLM_FOREVER, 0, &error), &error);
        while (llm_session_read_text(s, text, sizeof text) > 0) {}
    } while (status == LLM_MORE);
    FUZZ_CHECK(status == LLM_OK || status == LLM_E_NUMERIC, "%s", error.message);
    said->status = status;
    said->n = 0;
    said->logits = 0;
    if (status == LLM_OK) {
        FUZZ_CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && n == 9, "%zu tokens", n);
        memcpy(said->tokens, tokens, n * sizeof *tokens);
        said->n = n;
        for (size_t i = 0; i < n; i++)
            FUZZ_CHECK(tokens[i] >= 0 && tokens[i] < info.n_vocab, "token %d", tokens[i]);
        FUZZ_CHECK(llm_session_rewind(s, 8, &error) == LLM_OK && fuzz_status(llm_session_step(&s, 1, LLM_FOREVER, 0, &error), &error) == LLM_OK, "%s", error.message);
        FUZZ_CHECK(llm_session_logits(s, &logits, &n, &error) == LLM_OK && n == (size_t)info.n_vocab, "%s", error.message);
        for (size_t i = 0; i < n; i++)
            FUZZ_CHECK(isfinite(logits[i]), "logit %zu is %g", i, (double)logits[i]);
        said->logits = fuzz_hash(logits, n * sizeof *logits);
    }
    llm_session_free(s);
}

static llm_status load_once(const uint8_t *data, size_t size, int32_t tier, int32_t state_type, load_said *said)
{
    llm_source source = fuzz_source(data, size);
    const llm_source *part = &source;
    llm_model *model = NULL;
    llm_error error;
    llm_status status = fuzz_status(llm_model_load_from(fuzz_engine(tier), &part, 1, NULL, &model, &error), &error);
    FUZZ_CHECK((status == LLM_OK) == (model != NULL), "status %d and a model", status);
    FUZZ_CHECK(status <= 0, "status %d", status);
    if (status == LLM_OK)
        load_run(model, state_type, said);
    llm_model_free(model);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load_said best, plain;
    uint64_t hash = fuzz_hash(data, size > 4096 ? 4096 : size);
    int32_t state_type = (int32_t)(hash % 3);
    fuzz_engine(0);
    fuzz_engine(LLM_CPU_REFERENCE);
    fuzz_begin(size);
    llm_status status = load_once(data, size, hash / 3 % 2 ? LLM_CPU_REFERENCE : 0, state_type, &best);
    if (status == LLM_OK && hash / 6 % 8 == 0) {
        FUZZ_CHECK(load_once(data, size, hash / 3 % 2 ? 0 : LLM_CPU_REFERENCE, state_type, &plain) == LLM_OK, "other kernels do not load it");
        FUZZ_CHECK(plain.status == best.status && plain.n == best.n && memcmp(plain.tokens, best.tokens, best.n * sizeof *best.tokens) == 0 && plain.logits == best.logits,
                   "other kernels say something else");
    }
    llm_error error;
    llm_engine_trim(fuzz_engine(0), UINT64_MAX, 0, NULL, &error);
    llm_engine_trim(fuzz_engine(LLM_CPU_REFERENCE), UINT64_MAX, 0, NULL, &error);
    fuzz_end();
    return 0;
}
