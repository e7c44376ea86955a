/* SPDX-License-Identifier: MIT
 * Arguments that are wrong, structs of other versions, what can be asked of models and tokenizers, handles freed in any order. */
#include "tiny.h"

#include <stdatomic.h>

static tiny_file file;
static llm_source source;
static const llm_source *part = &source;

static int wrong(llm_status got, llm_status wanted, const llm_error *error, const char *what, int line)
{
    if (got == wanted && error->status == wanted && error->message[0] && strlen(error->message) == error->message_len)
        return 1;
    fprintf(stderr, "args_test.c:%d: %s: %s where %s was expected: '%s'\n", line, what, llm_status_name(got), llm_status_name(wanted), error->message);
    test_failures++;
    return 0;
}
#define WRONG(wanted, call) (memset(&error, 0x55, sizeof error), wrong((call), (wanted), &error, #call, __LINE__))
#define RIGHT(call) (memset(&error, 0x55, sizeof error), CHECK_MSG((call) == LLM_OK && error.status == LLM_OK && error.message[0] == 0 && error.message_len == 0, "%s", #call))

/* ---- NULL everywhere ------------------------------------------------------------------------------------------------------ */

static void test_nulls(llm_engine *engine, llm_model *model)
{
    llm_error error;
    llm_session *s = tiny_session(model, 0, 0), *none = NULL;
    const llm_tokenizer *t = llm_model_tokenizer(model);
    llm_model *m = NULL;
    llm_sampler *sampler = NULL;
    llm_tokenizer *tokenizer = NULL;
    llm_engine_info engine_info = LLM_INIT(llm_engine_info);
    llm_model_info model_info = LLM_INIT(llm_model_info);
    llm_estimate_info estimate = LLM_INIT(llm_estimate_info);
    llm_meta meta = LLM_INIT(llm_meta);
    llm_token_info token_info = LLM_INIT(llm_token_info);
    const llm_source *null_part = NULL;
    const llm_token *tokens;
    const float *floats;
    size_t n = 77;
    WRONG(LLM_E_INVALID, llm_engine_create(LLM_ABI, NULL, NULL, &error));
    WRONG(LLM_E_INVALID, llm_engine_get_info(NULL, &engine_info, &error));
    WRONG(LLM_E_INVALID, llm_engine_get_info(engine, NULL, &error));
    WRONG(LLM_E_INVALID, llm_model_load(NULL, "x", 1, NULL, &m, &error));
    WRONG(LLM_E_INVALID, llm_model_load(engine, NULL, LLM_NUL, NULL, &m, &error));
    WRONG(LLM_E_INVALID, llm_model_load(engine, "x", 1, NULL, NULL, &error));
    WRONG(LLM_E_INVALID, llm_model_load_from(engine, NULL, 1, NULL, &m, &error));
    WRONG(LLM_E_INVALID, llm_model_load_from(engine, &part, 0, NULL, &m, &error));
    WRONG(LLM_E_INVALID, llm_model_load_from(engine, &null_part, 1, NULL, &m, &error));
    WRONG(LLM_E_INVALID, llm_model_get_info(NULL, &model_info, &error));
    WRONG(LLM_E_INVALID, llm_model_plan(NULL, NULL, 0, &n, &error));
    WRONG(LLM_E_INVALID, llm_model_plan(model, NULL, 0, NULL, &error));
    WRONG(LLM_E_INVALID, llm_model_plan(model, NULL, 1, &n, &error));
    WRONG(LLM_E_INVALID, llm_engine_device_test(NULL, 1, &error));
    WRONG(LLM_E_INVALID, llm_engine_device_report(NULL, 1, NULL, 0, &n, &error));
    WRONG(LLM_E_INVALID, llm_engine_device_report(engine, 1, NULL, 0, NULL, &error));
    WRONG(LLM_E_INVALID, llm_engine_device_cache(NULL, 1, NULL, 0, &n, &error));
    WRONG(LLM_E_UNSUPPORTED, llm_engine_device_cache(engine, 1, NULL, 0, &n, &error));
    WRONG(LLM_E_INVALID, llm_engine_device_set_cache(engine, 1, NULL, 0, &error));
    WRONG(LLM_E_UNSUPPORTED, llm_engine_device_set_cache(engine, 1, "x", 1, &error));
    WRONG(LLM_E_NO_DEVICE, llm_engine_device_test(engine, 2, &error));
    RIGHT(llm_engine_device_test(engine, 1, &error));
    WRONG(LLM_E_INVALID, llm_model_meta_at(NULL, 0, &meta, &error));
    WRONG(LLM_E_INVALID, llm_model_meta_find(model, NULL, 3, &meta, &error));
    WRONG(LLM_E_INVALID, llm_model_meta_find(model, "x", 1, NULL, &error));
    WRONG(LLM_E_INVALID, llm_model_estimate(NULL, &part, 1, NULL, NULL, &estimate, &error));
    WRONG(LLM_E_INVALID, llm_model_estimate(engine, &part, 1, NULL, NULL, NULL, &error));
    WRONG(LLM_E_INVALID, llm_tokenizer_load(engine, NULL, &tokenizer, &error));
    WRONG(LLM_E_INVALID, llm_tokenizer_encode(NULL, "a", 1, 0, NULL, 0, &n, &error));
    WRONG(LLM_E_INVALID, llm_tokenizer_encode(t, "a", 1, 0, NULL, 0, NULL, &error));
    WRONG(LLM_E_INVALID, llm_tokenizer_encode(t, "a", 1, 0, NULL, 5, &n, &error));
    WRONG(LLM_E_INVALID, llm_tokenizer_encode(t, NULL, 1, 0, NULL, 0, &n, &error));
    WRONG(LLM_E_INVALID, llm_tokenizer_decode(t, NULL, 1, 0, NULL, 0, &n, &error));
    WRONG(LLM_E_INVALID, llm_tokenizer_token(NULL, 0, &token_info, &error));
    WRONG(LLM_E_INVALID, llm_sampler_create(NULL, NULL, &sampler, &error));
    WRONG(LLM_E_INVALID, llm_sampler_create(t, NULL, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_create(NULL, NULL, &none, &error));
    WRONG(LLM_E_INVALID, llm_session_create(model, NULL, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_fork(NULL, &none, &error));
    WRONG(LLM_E_INVALID, llm_session_fork(s, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_append(NULL, NULL, 0, 0, &error));
    WRONG(LLM_E_INVALID, llm_session_append_text(NULL, "", 0, 0, &error));
    WRONG(LLM_E_INVALID, llm_session_sync(NULL, NULL, 0, 0, &error));
    WRONG(LLM_E_INVALID, llm_session_rewind(NULL, 0, &error));
    WRONG(LLM_E_INVALID, llm_session_generate(NULL, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_step(NULL, 1, 1, 0, &error));
    WRONG(LLM_E_INVALID, llm_session_step(&none, 1, 1, 0, &error));
    WRONG(LLM_E_INVALID, llm_session_tokens(s, NULL, &n, &error));
    WRONG(LLM_E_INVALID, llm_session_tokens(s, &tokens, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_logits(NULL, &floats, &n, &error));
    WRONG(LLM_E_INVALID, llm_session_scores(s, NULL, &n, &error));
    WRONG(LLM_E_INVALID, llm_session_watch_scores(NULL, NULL, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_best(s, NULL, 3, &n, &error));
    WRONG(LLM_E_INVALID, llm_session_get_info(s, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_park(NULL, &error));
    WRONG(LLM_E_INVALID, llm_engine_trim(NULL, 1, 0, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_save(NULL, "x", 1, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_save(s, NULL, 0, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_save(s, "", 0, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_save_to(s, NULL, NULL, &error));
    WRONG(LLM_E_INVALID, llm_session_restore(NULL, "x", 1, 0, &error));
    WRONG(LLM_E_INVALID, llm_session_restore(s, NULL, 0, 0, &error));
    WRONG(LLM_E_INVALID, llm_session_restore_from(s, NULL, 0, &error));
    WRONG(LLM_E_INVALID, llm_saved_get_info(model, NULL, NULL, &error));
    WRONG(LLM_E_INVALID, llm_saved_get_info(model, &source, NULL, &error));
    WRONG(LLM_E_INVALID, llm_saved_note(NULL, &source, NULL, 0, &n, &error));
    WRONG(LLM_E_INVALID, llm_saved_note(model, &source, NULL, 3, &n, &error));
    WRONG(LLM_E_FORMAT, llm_saved_note(model, &source, NULL, 0, &n, &error));           /* a model's file */
    CHECK(n == 77 && !m && !none && !sampler && !tokenizer);    /* outputs are untouched */
    RIGHT(llm_session_step(NULL, 0, LLM_FOREVER, 0, &error));
    CHECK(llm_session_append(NULL, NULL, 0, 0, NULL) == LLM_E_INVALID);     /* no error is asked for */
    llm_engine_free(NULL);
    llm_model_free(NULL);
    llm_tokenizer_free(NULL);
    llm_sampler_free(NULL);
    llm_session_free(NULL);
    llm_session_cancel(NULL);
    CHECK(llm_session_state(NULL) == 0 && llm_session_n_tokens(NULL) == 0 && llm_session_n_pending(NULL) == 0 && llm_session_read_text(NULL, NULL, 0) == 0);
    CHECK(llm_engine_device_count(NULL) == 0 && llm_model_meta_count(NULL) == 0 && llm_model_tensor_count(NULL) == 0 && !llm_model_tokenizer(NULL));
    CHECK(llm_tokenizer_n_vocab(NULL) == 0 && llm_tokenizer_special(NULL, 1) == LLM_TOKEN_NONE);
    llm_session_free(s);
}

/* ---- structs of other versions -------------------------------------------------------------------------------------------- */

static void test_sizes(llm_model *model)
{
    llm_error error;
    llm_session *s = NULL;
    struct { llm_session_desc desc; uint64_t later[4]; } newer;
    struct { llm_model_info info; uint64_t later[2]; } wide;
    memset(&newer, 0, sizeof newer);
    WRONG(LLM_E_INVALID, llm_session_create(model, &newer.desc, &s, &error));           /* struct_size 0: not begun with LLM_INIT */
    newer.desc.struct_size = 7;
    WRONG(LLM_E_INVALID, llm_session_create(model, &newer.desc, &s, &error));
    newer.desc.struct_size = 5000;
    WRONG(LLM_E_INVALID, llm_session_create(model, &newer.desc, &s, &error));
    newer.desc.struct_size = 8;                                                         /* an older program's: the rest is default */
    newer.desc.n_ctx = -9;
    RIGHT(llm_session_create(model, &newer.desc, &s, &error));
    llm_session_free(s);
    newer.desc.n_ctx = 16;
    newer.desc.struct_size = sizeof newer;                                              /* a newer program's, which uses nothing new */
    RIGHT(llm_session_create(model, &newer.desc, &s, &error));
    llm_session_free(s);
    s = NULL;
    newer.later[3] = 1;
    WRONG(LLM_E_UNSUPPORTED, llm_session_create(model, &newer.desc, &s, &error));
    CHECK(!s && strstr(error.message, "newer"));
    memset(&wide, 0xee, sizeof wide);
    wide.info.struct_size = sizeof wide;
    RIGHT(llm_model_get_info(model, &wide.info, &error));
    CHECK(wide.info.struct_size == sizeof wide && wide.later[0] == 0 && wide.later[1] == 0 && wide.info.n_embd == 32);
    memset(&wide, 0xee, sizeof wide);
    wide.info.struct_size = 24;                                                         /* written up to it and no further */
    RIGHT(llm_model_get_info(model, &wide.info, &error));
    CHECK(wide.info.struct_size == 24 && wide.info.architecture_len == 5 && wide.info.name_len == 0xeeeeeeeeeeeeeeee);
    wide.info.struct_size = 4;
    WRONG(LLM_E_INVALID, llm_model_get_info(model, &wide.info, &error));
}

/* ---- values out of their range -------------------------------------------------------------------------------------------- */

static void refuse_engine(llm_engine_desc desc, llm_status status)
{
    llm_engine *engine = NULL;
    llm_error error;
    WRONG(status, llm_engine_create(LLM_ABI, &desc, &engine, &error));
    CHECK(!engine);
}

static void *no_memory(void *user, size_t size, size_t align, int32_t kind) { (void)user; (void)size; (void)align; (void)kind; return NULL; }

static void test_engine_desc(void)
{
    llm_engine *engine = NULL;
    llm_error error;
    llm_allocator allocator = LLM_INIT(llm_allocator);
    llm_logger logger = LLM_INIT(llm_logger);
    llm_parallel parallel = LLM_INIT(llm_parallel);
#define REFUSE(status, ...) do { llm_engine_desc desc = LLM_INIT(llm_engine_desc); __VA_ARGS__; refuse_engine(desc, status); } while (0)
    REFUSE(LLM_E_UNSUPPORTED, desc.flags = 2);
    REFUSE(LLM_E_INVALID, desc.n_threads = -1);
    REFUSE(LLM_E_INVALID, desc.n_threads = 100000);
    REFUSE(LLM_E_INVALID, desc.n_arenas = -1);
    REFUSE(LLM_E_INVALID, desc.n_arenas = 1000);
    REFUSE(LLM_E_INVALID, desc.n_chunk = -1);
    REFUSE(LLM_E_INVALID, desc.n_chunk = 1 << 20);
    REFUSE(LLM_E_INVALID, desc.cpu_tier = 77);
    llm_vulkan gpu = LLM_INIT(llm_vulkan), not_begun = gpu;
    not_begun.struct_size = 0;
    REFUSE(LLM_E_INVALID, desc.vulkan = &not_begun);
    REFUSE(LLM_E_UNSUPPORTED, desc.flags = LLM_ENGINE_GPUS; llm_vulkan v = gpu; v.flags = 4; desc.vulkan = &v);
    REFUSE(LLM_E_INVALID, desc.flags = LLM_ENGINE_GPUS; llm_vulkan v = gpu; v.submit_ms = 60001; desc.vulkan = &v);
    if (TEST_VULKAN)
        REFUSE(LLM_E_INVALID, desc.flags = LLM_ENGINE_GPUS; llm_vulkan v = gpu; v.device = &gpu; desc.vulkan = &v);
    REFUSE(LLM_E_INVALID, desc.allocator = &allocator);
    REFUSE(LLM_E_INVALID, desc.logger = &logger);
    REFUSE(LLM_E_INVALID, desc.parallel = &parallel);
    allocator.allocate = no_memory;
    REFUSE(LLM_E_INVALID, desc.allocator = &allocator);
    REFUSE(LLM_E_MEMORY, desc.memory_limit = 100);
    WRONG(LLM_E_INVALID, llm_engine_create(0, NULL, &engine, &error));
    WRONG(LLM_E_VERSION, llm_engine_create(LLM_ABI + 1, NULL, &engine, &error));
    WRONG(LLM_E_VERSION, llm_engine_create(0x00020000, NULL, &engine, &error));
}

static void test_sampler_desc(llm_model *model)
{
    llm_error error;
    llm_sampler *sampler = NULL;
    const llm_tokenizer *t = llm_model_tokenizer(model);
    const float bad[] = { NAN, INFINITY, -INFINITY, -1.0f };
    llm_token_bias bias = { 5, -INFINITY };
#define SAMPLER(status, field, ...)                                                                       \
    do {                                                                                                  \
        llm_sampler_desc desc = LLM_INIT(llm_sampler_desc);                                               \
        __VA_ARGS__;                                                                                      \
        WRONG(status, llm_sampler_create(t, &desc, &sampler, &error));                                    \
        CHECK_MSG(strstr(error.message, field) != NULL && !sampler, "'%s' names no %s", error.message, field); \
    } while (0)
    for (int i = 0; i < 4; i++) {
        SAMPLER(LLM_E_INVALID, "temperature", desc.temperature = bad[i]);
        SAMPLER(LLM_E_INVALID, "top_p", desc.top_p = bad[i]);
        SAMPLER(LLM_E_INVALID, "min_p", desc.min_p = bad[i]);
        SAMPLER(LLM_E_INVALID, "repeat_penalty", desc.repeat_penalty = bad[i]);
        SAMPLER(LLM_E_INVALID, "dynatemp_range", desc.dynatemp_range = bad[i]);
        SAMPLER(LLM_E_INVALID, "dynatemp_exponent", desc.dynatemp_exponent = bad[i]);
        SAMPLER(LLM_E_INVALID, "typical_p", desc.typical_p = bad[i]);
        SAMPLER(LLM_E_INVALID, "top_n_sigma", desc.top_n_sigma = bad[i]);
        SAMPLER(LLM_E_INVALID, "xtc_probability", desc.xtc_probability = bad[i]);
        SAMPLER(LLM_E_INVALID, "xtc_threshold", desc.xtc_threshold = bad[i]);
        SAMPLER(LLM_E_INVALID, "dry_multiplier", desc.dry_multiplier = bad[i]);
        SAMPLER(LLM_E_INVALID, "dry_base", desc.dry_base = bad[i]);
        SAMPLER(LLM_E_INVALID, "mirostat_tau", desc.mirostat_tau = bad[i]);
        SAMPLER(LLM_E_INVALID, "mirostat_eta", desc.mirostat_eta = bad[i]);
        SAMPLER(LLM_E_INVALID, "adaptive_target", desc.adaptive_target = bad[i]);
        SAMPLER(LLM_E_INVALID, "adaptive_decay", desc.adaptive_decay = bad[i]);
        if (i < 3) {
            SAMPLER(LLM_E_INVALID, "frequency_penalty", desc.frequency_penalty = bad[i]);
            SAMPLER(LLM_E_INVALID, "presence_penalty", desc.presence_penalty = bad[i]);
        }
    }
    SAMPLER(LLM_E_INVALID, "top_p", desc.top_p = 1.5f);
    SAMPLER(LLM_E_INVALID, "min_p", desc.min_p = 1.5f);
    SAMPLER(LLM_E_INVALID, "top_k", desc.top_k = -1);
    SAMPLER(LLM_E_INVALID, "min_keep", desc.min_keep = -1);
    SAMPLER(LLM_E_INVALID, "penalty_last_n", desc.penalty_last_n = -2);
    SAMPLER(LLM_E_UNSUPPORTED, "flags", desc.flags = 4);
    SAMPLER(LLM_E_UNSUPPORTED, "reserved", desc.reserved = 4);
    SAMPLER(LLM_E_INVALID, "biases", desc.n_biases = 1);
    SAMPLER(LLM_E_LIMIT, "biases", desc.biases = &bias; desc.n_biases = SIZE_MAX);
    bias.token = 400;
    SAMPLER(LLM_E_INVALID, "biases[0].token", desc.biases = &bias; desc.n_biases = 1);
    bias.token = -1;
    SAMPLER(LLM_E_INVALID, "biases[0].token", desc.biases = &bias; desc.n_biases = 1);
    bias = (llm_token_bias){ 0, NAN };
    SAMPLER(LLM_E_INVALID, "biases[0].bias", desc.biases = &bias; desc.n_biases = 1);
    SAMPLER(LLM_E_INVALID, "typical_p", desc.typical_p = 1.5f);
    SAMPLER(LLM_E_INVALID, "xtc_probability", desc.xtc_probability = 1.5f);
    SAMPLER(LLM_E_INVALID, "dry_base", desc.dry_base = 0.5f);
    SAMPLER(LLM_E_INVALID, "dry_allowed_length", desc.dry_allowed_length = -1);
    SAMPLER(LLM_E_INVALID, "dry_allowed_length", desc.dry_allowed_length = 1 << 20);
    SAMPLER(LLM_E_INVALID, "dry_last_n", desc.dry_last_n = -2);
    SAMPLER(LLM_E_INVALID, "mirostat", desc.mirostat = 3);
    SAMPLER(LLM_E_INVALID, "mirostat", desc.mirostat = -1);
    SAMPLER(LLM_E_INVALID, "adaptive_target", desc.mirostat = 2; desc.adaptive_target = 0.5f);
    SAMPLER(LLM_E_INVALID, "adaptive_decay", desc.adaptive_decay = 0.995f);
    SAMPLER(LLM_E_UNSUPPORTED, "reserved_2", desc.reserved_2 = 1);
    uint8_t order[40] = { LLM_STAGE_TOP_K, LLM_STAGE_TEMPERATURE, 0 };
    SAMPLER(LLM_E_INVALID, "order[2]", desc.order = order; desc.n_order = 3);
    order[2] = 200;
    SAMPLER(LLM_E_INVALID, "order[2]", desc.order = order; desc.n_order = 3);
    order[2] = LLM_STAGE_TOP_K;
    SAMPLER(LLM_E_INVALID, "order[2]", desc.order = order; desc.n_order = 3);
    SAMPLER(LLM_E_LIMIT, "n_order", desc.order = order; desc.n_order = 40);
    SAMPLER(LLM_E_LIMIT, "n_order", desc.order = order; desc.n_order = SIZE_MAX);
    SAMPLER(LLM_E_INVALID, "order", desc.n_order = 1);
    static llm_str breakers[64];
    for (int i = 0; i < 64; i++)
        breakers[i] = (llm_str){ "ab", 2 };
    SAMPLER(LLM_E_LIMIT, "n_dry_breakers", desc.dry_multiplier = 1; desc.dry_breakers = breakers; desc.n_dry_breakers = 64);
    SAMPLER(LLM_E_LIMIT, "n_dry_breakers", desc.dry_multiplier = 1; desc.dry_breakers = breakers; desc.n_dry_breakers = SIZE_MAX);
    SAMPLER(LLM_E_INVALID, "dry_breakers", desc.dry_multiplier = 1; desc.n_dry_breakers = 2);
    breakers[1] = (llm_str){ "x", 0 };
    SAMPLER(LLM_E_INVALID, "dry_breakers[1]", desc.dry_multiplier = 1; desc.dry_breakers = breakers; desc.n_dry_breakers = 2);
    breakers[1] = (llm_str){ NULL, 3 };
    SAMPLER(LLM_E_INVALID, "dry_breakers[1]", desc.dry_multiplier = 1; desc.dry_breakers = breakers; desc.n_dry_breakers = 2);
    breakers[1] = (llm_str){ "a breaker that is by far too long for a breaker of sequences", LLM_NUL };
    SAMPLER(LLM_E_LIMIT, "dry_breakers[1]", desc.dry_multiplier = 1; desc.dry_breakers = breakers; desc.n_dry_breakers = 2);
    {                                                       /* of a program that was built when the struct ended at n_biases */
        llm_sampler_desc old = LLM_INIT(llm_sampler_desc);
        memset(&old.dynatemp_range, 0x55, sizeof old - offsetof(llm_sampler_desc, dynatemp_range));
        old.struct_size = (uint32_t)offsetof(llm_sampler_desc, dynatemp_range);
        RIGHT(llm_sampler_create(t, &old, &sampler, &error));
        llm_sampler_free(sampler);
    }
}

static void test_session_desc(llm_engine *engine, llm_model *model)
{
    llm_error error;
    llm_session *s = NULL;
#define SESSION(status, ...) do { llm_session_desc desc = LLM_INIT(llm_session_desc); __VA_ARGS__; WRONG(status, llm_session_create(model, &desc, &s, &error)); CHECK(!s); } while (0)
    SESSION(LLM_E_INVALID, desc.n_ctx = -1);
    SESSION(LLM_E_INVALID, desc.n_ctx = INT32_MAX);
    SESSION(LLM_E_INVALID, desc.state_type = 3);
    SESSION(LLM_E_INVALID, desc.state_type = -1);
    SESSION(LLM_E_UNSUPPORTED, desc.flags = 2);
    s = tiny_session(model, 0, 0);
    llm_token one = 1, outside = 400;
    llm_str empty = { "", 0 }, absent = { NULL, 3 }, good = { "abc", LLM_NUL };
    RIGHT(llm_session_append(s, &one, 1, 0, &error));
#define GENERATE(status, ...) do { llm_generate_desc desc = LLM_INIT(llm_generate_desc); __VA_ARGS__; WRONG(status, llm_session_generate(s, &desc, &error)); } while (0)
    GENERATE(LLM_E_UNSUPPORTED, desc.flags = 16);
    GENERATE(LLM_E_UNSUPPORTED, desc.reserved = 8);
    GENERATE(LLM_E_UNSUPPORTED, desc.reserved_ptr = &one);
    GENERATE(LLM_E_INVALID, desc.max_tokens = -1);
    GENERATE(LLM_E_INVALID, desc.n_stops = 1);
    GENERATE(LLM_E_INVALID, desc.stops = &empty; desc.n_stops = 1);
    GENERATE(LLM_E_INVALID, desc.stops = &absent; desc.n_stops = 1);
    GENERATE(LLM_E_LIMIT, desc.stops = &good; desc.n_stops = SIZE_MAX);
    GENERATE(LLM_E_INVALID, desc.n_stop_tokens = 1);
    GENERATE(LLM_E_INVALID, desc.stop_tokens = &outside; desc.n_stop_tokens = 1);
    CHECK(llm_session_n_pending(s) == 1);
    /* sessions of two models do not go together */
    llm_model *other = NULL;
    RIGHT(tiny_load(engine, &file, &other, &error));
    llm_session *both[2] = { s, tiny_session(other, 0, 0) };
    WRONG(LLM_E_INVALID, llm_session_step(both, 2, LLM_FOREVER, 0, &error));
    CHECK(llm_session_n_pending(s) == 1);
    llm_session_free(both[1]);
    llm_model_free(other);
    llm_session_free(s);
}

/* ---- what can be asked ---------------------------------------------------------------------------------------------------- */

static void test_questions(llm_engine *engine, llm_model *model)
{
    llm_error error;
    llm_engine_info engine_info = LLM_INIT(llm_engine_info);
    llm_device_info device = LLM_INIT(llm_device_info);
    llm_model_info info = LLM_INIT(llm_model_info);
    llm_meta meta = LLM_INIT(llm_meta);
    llm_tensor_info tensor = LLM_INIT(llm_tensor_info);
    CHECK(llm_version() == LLM_ABI && llm_has(LLM_FEATURE_CPU) == 1 && llm_has(LLM_FEATURE_STATE_INT8) == 1 && llm_has(LLM_FEATURE_VULKAN) == TEST_VULKAN && llm_has(12345) == 0);
    CHECK(strcmp(llm_status_name(LLM_E_CONTEXT_FULL), "LLM_E_CONTEXT_FULL") == 0 && llm_status_name(-999) != NULL && llm_status_name(12) != NULL);
    for (llm_status s = LLM_E_INTERNAL; s <= LLM_MORE; s++)
        CHECK(strncmp(llm_status_name(s), s < 0 ? "LLM_E_" : "LLM_", s < 0 ? 6 : 4) == 0 && strcmp(llm_status_name(s), "LLM_E_UNKNOWN") != 0);
    RIGHT(llm_engine_get_info(engine, &engine_info, &error));
    CHECK(engine_info.n_threads >= 1 && engine_info.n_arenas == 4 && engine_info.n_chunk == 512 && engine_info.cpu_tier >= 1);
    CHECK(engine_info.memory_used > 0 && engine_info.memory_peak >= engine_info.memory_used);
    CHECK(llm_engine_device_count(engine) == 1);
    RIGHT(llm_engine_device_info(engine, 0, &device, &error));
    CHECK(device.device == 1 && device.kind == LLM_DEVICE_KIND_CPU && device.name && strlen(device.name) == device.name_len && device.name_len > 0);
    WRONG(LLM_E_NOT_FOUND, llm_engine_device_info(engine, 1, &device, &error));
    WRONG(LLM_E_INVALID, llm_engine_device_info(engine, -1, &device, &error));

    RIGHT(llm_model_get_info(model, &info, &error));
    CHECK(strcmp(info.architecture, "llama") == 0 && strcmp(info.name, "tiny") == 0 && info.name_len == 4 && info.n_vocab == 400 && info.n_ctx_train == 512 &&
          info.n_layers == 2 && info.file_bytes == file.size && info.n_params > 20000);
    CHECK(llm_model_meta_count(model) == 18);
    RIGHT(llm_model_meta_at(model, 0, &meta, &error));
    CHECK(meta.type == LLM_META_STRING && strcmp(meta.key, "general.architecture") == 0 && strcmp(meta.string, "llama") == 0 && meta.string_len == 5);
    WRONG(LLM_E_NOT_FOUND, llm_model_meta_at(model, 18, &meta, &error));
    RIGHT(llm_model_meta_find(model, "llama.block_count", LLM_NUL, &meta, &error));
    CHECK(meta.type == LLM_META_UINT && meta.integer == 2 && meta.number == 2.0 && meta.key_len == 17);
    RIGHT(llm_model_meta_find(model, "tokenizer.ggml.add_bos_token!", 28, &meta, &error));
    CHECK(meta.type == LLM_META_BOOL && meta.integer == 1);
    RIGHT(llm_model_meta_find(model, "llama.attention.layer_norm_rms_epsilon", LLM_NUL, &meta, &error));
    CHECK(meta.type == LLM_META_FLOAT && fabs(meta.number - 1e-5) < 1e-9);
    WRONG(LLM_E_NOT_FOUND, llm_model_meta_find(model, "no.such.key", LLM_NUL, &meta, &error));
    CHECK(strcmp(error.subject, "no.such.key") == 0);
    for (size_t i = 0; i < 17; i++) {
        RIGHT(llm_model_meta_at(model, i, &meta, &error));
        if (strcmp(meta.key, "tokenizer.ggml.tokens") != 0)
            continue;
        CHECK(meta.type == LLM_META_ARRAY && meta.item_type == LLM_META_STRING && meta.n_items == 400);
        RIGHT(llm_model_meta_item(model, i, 1, &meta, &error));
        CHECK(meta.type == LLM_META_STRING && strcmp(meta.string, "<s>") == 0);
        WRONG(LLM_E_NOT_FOUND, llm_model_meta_item(model, i, 400, &meta, &error));
    }
    CHECK(llm_model_tensor_count(model) == 20);
    RIGHT(llm_model_tensor_at(model, 0, &tensor, &error));
    CHECK(strcmp(tensor.name, "token_embd.weight") == 0 && strcmp(tensor.type, "F32") == 0 && tensor.n_dims == 2 && tensor.dims[0] == 32 && tensor.dims[1] == 400 &&
          tensor.bytes == 32 * 400 * 4);
    WRONG(LLM_E_NOT_FOUND, llm_model_tensor_at(model, 20, &tensor, &error));
}

static void test_tokenizer(llm_engine *engine, llm_model *model)
{
    llm_error error;
    llm_tokenizer *own = NULL;
    llm_token tokens[64];
    llm_token_info info = LLM_INIT(llm_token_info);
    char text[64];
    size_t n = 0, len = 0;
    RIGHT(llm_tokenizer_load(engine, &source, &own, &error));
    for (int k = 0; k < 2; k++) {
        const llm_tokenizer *t = k ? own : llm_model_tokenizer(model);
        CHECK(llm_tokenizer_n_vocab(t) == 400 && llm_tokenizer_special(t, LLM_SPECIAL_BOS) == 1 && llm_tokenizer_special(t, LLM_SPECIAL_EOS) == 2);
        CHECK(llm_tokenizer_special(t, LLM_SPECIAL_FIM_PREFIX) == LLM_TOKEN_NONE && llm_tokenizer_special(t, 0) == LLM_TOKEN_NONE &&
              llm_tokenizer_special(t, 99) == LLM_TOKEN_NONE && llm_tokenizer_special(t, -3) == LLM_TOKEN_NONE);
        WRONG(LLM_E_SPACE, llm_tokenizer_encode(t, "hello", 5, LLM_ENCODE_ADD_SPECIAL, NULL, 0, &n, &error));
        CHECK(n >= 2);
        RIGHT(llm_tokenizer_encode(t, "hello", 5, LLM_ENCODE_ADD_SPECIAL, tokens, n, &n, &error));
        CHECK(tokens[0] == TINY_BOS);
        WRONG(LLM_E_SPACE, llm_tokenizer_decode(t, tokens, n, 0, text, 2, &len, &error));
        CHECK(len == 5);
        RIGHT(llm_tokenizer_decode(t, tokens, n, 0, text, sizeof text, &len, &error));
        CHECK(len == 5 && strcmp(text, "hello") == 0);
        RIGHT(llm_tokenizer_decode(t, tokens, n, LLM_DECODE_SHOW_SPECIAL, text, sizeof text, &len, &error));
        CHECK(strncmp(text, "<s>", 3) == 0);
        tokens[0] = 400;
        WRONG(LLM_E_INVALID, llm_tokenizer_decode(t, tokens, 1, 0, text, sizeof text, &len, &error));
        WRONG(LLM_E_UNSUPPORTED, llm_tokenizer_encode(t, "a", 1, 64, tokens, 9, &n, &error));
        WRONG(LLM_E_UNSUPPORTED, llm_tokenizer_decode(t, tokens, 0, 64, text, 9, &n, &error));
        RIGHT(llm_tokenizer_encode(t, NULL, 0, 0, tokens, 64, &n, &error));
        CHECK(n == 0);
        RIGHT(llm_tokenizer_token(t, TINY_EOS, &info, &error));
        CHECK(info.kind == LLM_TOKEN_CONTROL && (info.flags & LLM_TOKEN_ENDS));
        RIGHT(llm_tokenizer_token(t, TINY_BYTE_0 + 0xc3, &info, &error));
        CHECK(info.kind == LLM_TOKEN_BYTE && info.n_bytes == 1 && (unsigned char)info.bytes[0] == 0xc3 && info.flags == 0);
        RIGHT(llm_tokenizer_token(t, TINY_HELLO, &info, &error));
        CHECK(info.kind == LLM_TOKEN_NORMAL && info.n_bytes == 6 && memcmp(info.bytes, " hello", 6) == 0);
        WRONG(LLM_E_INVALID, llm_tokenizer_token(t, 400, &info, &error));
        WRONG(LLM_E_INVALID, llm_tokenizer_token(t, -1, &info, &error));
    }
    llm_tokenizer_free(own);
}

/* ---- loading ---------------------------------------------------------------------------------------------------------------- */

typedef struct watcher { int calls, stop_at; float last; int falling; } watcher;
static int32_t watch(void *user, float fraction)
{
    watcher *w = user;
    w->falling += fraction < w->last || !(fraction >= 0.0f && fraction <= 1.0f);
    w->last = fraction;
    return ++w->calls == w->stop_at;
}

static llm_status read_file(void *user, uint64_t offset, void *out, size_t n)
{
    int *left = user;
    if (offset > file.size || n > file.size - offset || (*left)-- <= 0)
        return LLM_E_IO;
    memcpy(out, file.data + offset, n);
    return LLM_OK;
}

static void test_loading(llm_engine *engine)
{
    llm_error error;
    llm_model *model = NULL;
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    llm_engine_info before = LLM_INIT(llm_engine_info), after = LLM_INIT(llm_engine_info);
    watcher w = { 0, 0, 0, 0 };
    desc.progress = watch;
    desc.user = &w;
    RIGHT(llm_engine_get_info(engine, &before, &error));
    RIGHT(llm_model_load_from(engine, &part, 1, &desc, &model, &error));
    CHECK(w.calls > 3 && w.last == 1.0f && w.falling == 0);
    int n_calls = w.calls;
    llm_model_free(model);
    model = NULL;
    for (int i = 1; i <= n_calls; i++) {                    /* cancelled at every place */
        w = (watcher){ 0, i, 0, 0 };
        WRONG(LLM_E_CANCELLED, llm_model_load_from(engine, &part, 1, &desc, &model, &error));
        CHECK(!model && w.calls == i);
    }
    desc = (llm_model_desc)LLM_INIT(llm_model_desc);
    desc.device = 7;
    WRONG(LLM_E_NO_DEVICE, llm_model_load_from(engine, &part, 1, &desc, &model, &error));
    desc.device = -1;
    WRONG(LLM_E_NO_DEVICE, llm_model_load_from(engine, &part, 1, &desc, &model, &error));
    desc.device = 1;
    desc.flags = 0x80000002u;
    WRONG(LLM_E_UNSUPPORTED, llm_model_load_from(engine, &part, 1, &desc, &model, &error));
    desc.flags = LLM_MODEL_VOCAB_ONLY;
    RIGHT(llm_model_load_from(engine, &part, 1, &desc, &model, &error));
    llm_session *s = NULL;
    WRONG(LLM_E_STATE, llm_session_create(model, NULL, &s, &error));
    CHECK(llm_tokenizer_n_vocab(llm_model_tokenizer(model)) == 400);
    llm_model_free(model);
    model = NULL;
    WRONG(LLM_E_NOT_FOUND, llm_model_load(engine, "/no/such/file.gguf", LLM_NUL, NULL, &model, &error));
    WRONG(LLM_E_IO, llm_model_load(engine, "/", 1, NULL, &model, &error));
    llm_source bad = LLM_INIT(llm_source);
    const llm_source *bad_part = &bad;
    bad.kind = 9;
    WRONG(LLM_E_INVALID, llm_model_load_from(engine, &bad_part, 1, NULL, &model, &error));
    bad.kind = LLM_SOURCE_READER;
    WRONG(LLM_E_INVALID, llm_model_load_from(engine, &bad_part, 1, NULL, &model, &error));
    llm_reader reader = LLM_INIT(llm_reader);
    int reads = 0;
    bad.reader = &reader;
    WRONG(LLM_E_INVALID, llm_model_load_from(engine, &bad_part, 1, NULL, &model, &error));
    reader.read = read_file;
    reader.user = &reads;
    reader.size = file.size;
    for (int allowed = 0;; allowed++) {                     /* the n-th read fails */
        reads = allowed;
        llm_status status = llm_model_load_from(engine, &bad_part, 1, NULL, &model, &error);
        if (status == LLM_OK)
            break;
        if (!CHECK_MSG(status == LLM_E_IO && error.message[0] && allowed < 1000, "%d reads: %s", allowed, error.message))
            break;
    }
    llm_model_free(model);
    RIGHT(llm_engine_get_info(engine, &after, &error));
    CHECK(after.memory_used == before.memory_used);
}

/* ---- handles in any order --------------------------------------------------------------------------------------------------- */

static _Atomic long long blocks;
static void *count_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    void *p = NULL;
    (void)user;
    (void)kind;
    if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size ? size : 1) != 0)
        return NULL;
    atomic_fetch_add(&blocks, 1);
    return p;
}
static void count_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)user; (void)size; (void)align; (void)kind;
    atomic_fetch_sub(&blocks, 1);
    free(ptr);
}

static void test_orders(void)
{
    llm_allocator allocator = LLM_INIT(llm_allocator);
    allocator.allocate = count_allocate;
    allocator.release = count_release;
    for (int order = 0; order < 720; order += 7) {
        llm_engine_desc desc = LLM_INIT(llm_engine_desc);
        llm_engine *engine = NULL;
        llm_model *model = NULL;
        llm_session *s, *fork = NULL;
        llm_sampler *sampler = NULL;
        llm_tokenizer *t = NULL;
        llm_error error;
        llm_generate_desc reply = LLM_INIT(llm_generate_desc);
        desc.allocator = &allocator;
        desc.n_threads = 1 + order % 2;
        tiny_open(&tiny_small, &desc, &engine, &model);
        s = tiny_session(model, 0, 0);
        RIGHT(llm_tokenizer_load(engine, &source, &t, &error));
        RIGHT(llm_sampler_create(order & 1 ? t : llm_model_tokenizer(model), NULL, &sampler, &error));
        RIGHT(llm_session_append_text(s, "hello world", LLM_NUL, 0, &error));
        reply.sampler = sampler;
        RIGHT(llm_session_generate(s, &reply, &error));
        CHECK(llm_session_step(&s, 1, order % 3 ? 30 : LLM_FOREVER, 0, &error) == LLM_MORE);     /* some with a pass in progress */
        RIGHT(llm_session_fork(s, &fork, &error));
        CHECK(llm_session_step(&s, 1, 30, 0, &error) == LLM_MORE);
        for (int k = 6, rest = order, left = 63; k > 0; k--) {       /* the order-th permutation of six */
            int pick = rest % k, i = 0;
            for (rest /= k;; i++)
                if ((left >> i & 1) && pick-- == 0)
                    break;
            left &= ~(1 << i);
            if (i == 0) llm_engine_free(engine);
            if (i == 1) llm_model_free(model);
            if (i == 2) llm_session_free(s);
            if (i == 3) llm_session_free(fork);
            if (i == 4) llm_sampler_free(sampler);
            if (i == 5) llm_tokenizer_free(t);
        }
        CHECK_MSG(atomic_load(&blocks) == 0, "order %d leaves %lld blocks", order, (long long)atomic_load(&blocks));
    }
}

int main(void)
{
    llm_engine *engine;
    llm_model *model;
    file = tiny_make(&tiny_small);
    source.struct_size = sizeof source;
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file.data;
    source.data_len = file.size;
    tiny_open(&tiny_small, NULL, &engine, &model);
    test_nulls(engine, model);
    test_sizes(model);
    test_engine_desc();
    test_sampler_desc(model);
    test_session_desc(engine, model);
    test_questions(engine, model);
    test_tokenizer(engine, model);
    test_loading(engine);
    llm_model_free(model);
    llm_engine_free(engine);
    test_orders();
    free(file.data);
    return TEST_DONE();
}
