/* SPDX-License-Identifier: MIT
 * A recipe that may say anything, and replies under it from logits that may be anything: refused, or a token that exists, or NUMERIC; the same twice. */
#include "fuzz.h"
#include "models.h"

#include <math.h>

void fuzz_seeds(void (*put)(const char *name, const void *data, size_t size))
{
    uint8_t data[200];
    char name[16] = "r0";
    for (int i = 0; i < 8; i++) {
        uint64_t x = (uint64_t)i * 77 + 1;
        for (size_t k = 0; k < sizeof data; k++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            data[k] = i == 0 ? 0 : (uint8_t)(x >> 60 < (uint64_t)i * 2 ? x >> 40 : 0);
        }
        name[1] = (char)('0' + i);
        put(name, data, sizeof data);
    }
}

/* Mostly what somebody would say. */
static float sampler_float(fuzz_in *in)
{
    static const float usual[] = { 0, 1, 0.5f, 0.95f, 0.05f, 2, -1, 5, 0.1f, 1e-30f, 1e30f, -0.0f, 0.999999f, 1.0000001f, 100, 0.8f };
    uint32_t pick = fuzz_u8(in);
    return pick < 240 ? usual[pick % 16] : fuzz_f32(in);
}

typedef struct sampler_lies { uint64_t x; uint32_t kind; } sampler_lies;
static void sampler_logits(void *user, float *logits, int32_t n)
{
    sampler_lies *lies = user;
    for (int32_t i = 0; i < n; i++) {
        lies->x = lies->x * 6364136223846793005u + 1442695040888963407u;
        float v = (float)(lies->x >> 40) / (1 << 20) - 8;
        uint32_t bits = (uint32_t)(lies->x >> 32);
        switch (lies->kind) {
        case 1: v = (float)(lies->x >> 62); break;          /* many of the same */
        case 2: v *= 1e37f; break;
        case 3: v *= 1e-40f; break;
        case 4: v = i == 7 ? 3 : -(float)INFINITY; break;
        case 5: memcpy(&v, &bits, 4); break;                /* NaN too */
        case 6: v = -(float)INFINITY; break;
        case 7: v = 0; break;
        default: break;
        }
        logits[i] = v;
    }
}

static void sampler_reply(llm_model *model, const llm_sampler *sampler, uint32_t kind, uint64_t seed, llm_status *said, llm_token *tokens)
{
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    sampler_lies lies = { seed * 2654435761u + 5, kind };
    llm_session *s = NULL;
    llm_error error;
    llm_status status;
    const llm_token *own;
    size_t n = 0;
    static const llm_token prompt[] = { 1, 14, 15, 16, 14, 15, 16, 14 };
    desc.n_ctx = 32;
    FUZZ_CHECK(llm_session_create(model, &desc, &s, &error) == LLM_OK && llm_session_append(s, prompt, 8, 0, &error) == LLM_OK, "%s", error.message);
    reply.sampler = sampler;
    reply.max_tokens = 6;
    reply.seed = seed;
    reply.on_logits = sampler_logits;
    reply.user = &lies;
    reply.flags = LLM_GENERATE_IGNORE_END | (seed & 1 ? LLM_GENERATE_SCORE : 0);
    FUZZ_CHECK(llm_session_generate(s, &reply, &error) == LLM_OK, "%s", error.message);
    do
        status = fuzz_status(llm_session_step(&s, 1, LLM_FOREVER, 0, &error), &error);
    while (status == LLM_MORE);
    FUZZ_CHECK(status == LLM_OK || status == LLM_E_NUMERIC, "%s", error.message);
    FUZZ_CHECK(llm_session_tokens(s, &own, &n, &error) == LLM_OK && n >= 8 && n <= 14, "%zu tokens", n);
    *said = status;
    memset(tokens, 0xff, 16 * sizeof *tokens);
    memcpy(tokens, own, n * sizeof *own);
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK(own[i] >= 0 && own[i] < MODELS_VOCAB, "token %d", own[i]);
    llm_session_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_in in = { data, data + size };
    llm_engine *engine = fuzz_engine(0);
    llm_model *model = fuzz_model(engine, "llama");
    llm_sampler_desc desc = LLM_INIT(llm_sampler_desc);
    llm_token_bias biases[4];
    llm_str breakers[4];
    uint8_t order[10];
    llm_sampler *sampler = NULL;
    llm_error error;
    llm_token tokens[2][16];
    llm_status said[2];
    uint32_t kind = fuzz_u8(&in) % 8;
    uint64_t seed = fuzz_u8(&in);
    float *floats[] = { &desc.temperature, &desc.top_p, &desc.min_p, &desc.repeat_penalty, &desc.frequency_penalty, &desc.presence_penalty, &desc.dynatemp_range, &desc.dynatemp_exponent,
                        &desc.typical_p, &desc.top_n_sigma, &desc.xtc_probability, &desc.xtc_threshold, &desc.dry_multiplier, &desc.dry_base, &desc.mirostat_tau, &desc.mirostat_eta,
                        &desc.adaptive_target, &desc.adaptive_decay };
    int32_t *integers[] = { &desc.top_k, &desc.min_keep, &desc.penalty_last_n, &desc.dry_allowed_length, &desc.dry_last_n, &desc.mirostat };
    for (uint64_t mask = fuzz_u32(&in), i = 0; i < sizeof floats / sizeof *floats; i++)
        if (mask >> i & 1)
            *floats[i] = sampler_float(&in);
    for (uint64_t mask = fuzz_u8(&in), i = 0; i < sizeof integers / sizeof *integers; i++)
        if (mask >> i & 1)
            *integers[i] = (int32_t)fuzz_odd(&in);
    if (fuzz_u8(&in) % 4 == 1)
        desc.mirostat = (int32_t)(fuzz_u8(&in) % 4);
    desc.n_biases = fuzz_u8(&in) % 5;
    for (size_t i = 0; i < desc.n_biases; i++)
        biases[i] = (llm_token_bias){ (llm_token)(fuzz_u8(&in) < 250 ? fuzz_u8(&in) % MODELS_VOCAB : (uint32_t)fuzz_odd(&in)), sampler_float(&in) };
    desc.biases = desc.n_biases ? biases : NULL;
    desc.n_order = fuzz_u8(&in) % 11;
    for (size_t i = 0; i < desc.n_order; i++)
        order[i] = (uint8_t)(fuzz_u8(&in) % 12);
    desc.order = desc.n_order ? order : NULL;
    desc.n_dry_breakers = fuzz_u8(&in) % 5;
    for (size_t i = 0; i < desc.n_dry_breakers; i++)
        breakers[i] = fuzz_bytes(&in, 50);
    desc.dry_breakers = desc.n_dry_breakers ? breakers : NULL;
    if (fuzz_u8(&in) == 255)
        desc.flags = fuzz_u8(&in);
    if (fuzz_u8(&in) == 255)
        desc.struct_size = (uint32_t)fuzz_odd(&in) % (sizeof desc + 1);
    fuzz_begin(size);
    llm_status status = fuzz_status(llm_sampler_create(llm_model_tokenizer(model), &desc, &sampler, &error), &error);
    FUZZ_CHECK((status == LLM_OK) == (sampler != NULL), "status %d", status);
    FUZZ_CHECK(status == LLM_OK || status == LLM_E_INVALID || status == LLM_E_LIMIT || status == LLM_E_UNSUPPORTED, "%s", error.message);
    if (sampler) {
        sampler_reply(model, sampler, kind, seed, &said[0], tokens[0]);
        sampler_reply(model, sampler, kind, seed, &said[1], tokens[1]);
        FUZZ_CHECK(said[0] == said[1] && memcmp(tokens[0], tokens[1], sizeof tokens[0]) == 0, "another reply");
    }
    llm_sampler_free(sampler);
    llm_engine_trim(engine, UINT64_MAX, 0, NULL, &error);
    fuzz_end_kept();
    return 0;
}
