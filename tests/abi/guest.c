/* SPDX-License-Identifier: MIT
 * A program as one of GUEST_LEVEL wrote it, compiled against the header of then (earlier/llm_N.h) and run with the library of now. It uses
 * what that header brought and all that came before. The highest level has the header of today; with GUEST_LATER it has a later
 * one, whose structs are longer. What it computes is the same each time. */
#include "../api/tiny.h"

static const tiny_shape guest_shape = { 2, 32, 64, 4, 2, 512, 400, 11, 0 };
/* Tokens and logits: one arithmetic, whatever the header. */
#define GUEST_STORY 0x82373d9584c75a61u
static tiny_file file;
static long long n_blocks;

#define RIGHT(call) CHECK_MSG((call) == LLM_OK && error.status == LLM_OK, "%s: %s", #call, error.message)
#if GUEST_LATER         /* zeros are no use of a field; what a library does not know it does not pass over */
#define RIGHT_LATER(desc, call)                                                                                              \
    ((desc).later_[1] = 1, CHECK_MSG((call) == LLM_E_UNSUPPORTED && error.message[0], "%s: %s", #call, error.message), (desc).later_[1] = 0, RIGHT(call))
#define FILLED(info, call) (memset(&(info), 0xee, sizeof(info)), (info).struct_size = sizeof(info), RIGHT(call) && CHECK_MSG(((info).later_[0] | (info).later_[1]) == 0, "%s", #call))
#else
#define RIGHT_LATER(desc, call) RIGHT(call)
#define FILLED(info, call) ((info).struct_size = sizeof(info), RIGHT(call))
#endif

static void *guest_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    void *p = NULL;
    (void)kind;
    if (posix_memalign(&p, align < sizeof p ? sizeof p : align, size ? size : 1) != 0)
        return NULL;
    __atomic_add_fetch((long long *)user, 1, __ATOMIC_RELAXED);
    return p;
}
static void guest_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)size, (void)align, (void)kind;
    __atomic_sub_fetch((long long *)user, 1, __ATOMIC_RELAXED);
    free(ptr);
}
static void guest_log(void *user, int32_t level, const char *text, size_t len) { (void)user, (void)level, (void)text, (void)len; }
static void guest_parallel(void *user, uint32_t n, void (*job)(void *data, uint32_t i), void *data)
{
    (void)user;
    for (uint32_t i = 0; i < n; i++)
        job(data, i);
}
static llm_status guest_read(void *user, uint64_t offset, void *out, size_t n)
{
    const tiny_file *f = user;
    return offset > f->size || n > f->size - offset ? LLM_E_IO : (memcpy(out, f->data + offset, n), LLM_OK);
}
static int32_t guest_progress(void *user, float fraction) { return *(float *)user = fraction, 0; }
static void guest_logits(void *user, float *logits, int32_t n_vocab) { ++*(int *)user, logits[n_vocab - 1] = -100.0f; }

/* ---- level 1: engine, model, tokenizer, sampler, session, estimate */

static llm_engine *guest_engine(void)
{
    llm_error error;
    llm_engine *engine = NULL;
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_allocator allocator = LLM_INIT(llm_allocator);
    llm_logger logger = LLM_INIT(llm_logger);
    llm_parallel parallel = LLM_INIT(llm_parallel);
    llm_engine_info info;
    llm_device_info device;
    allocator.user = &n_blocks;
    allocator.allocate = guest_allocate;
    allocator.release = guest_release;
    logger.level = LLM_LOG_DEBUG;
    logger.write = guest_log;
    parallel.n_threads = 2;
    parallel.run = guest_parallel;
    desc.allocator = &allocator;
    desc.logger = &logger;
    desc.parallel = &parallel;
    desc.n_chunk = 24;
#if GUEST_LATER
    void *hooks[4] = { &allocator.later_[1], &logger.later_[1], &parallel.later_[1], &desc.later_[1] };
    for (int i = 0; i < 4; i++) {
        memset(hooks[i], 1, 1);
        CHECK(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_E_UNSUPPORTED && error.message[0]);
        memset(hooks[i], 0, 1);
    }
#endif
    RIGHT(llm_engine_create(LLM_ABI, &desc, &engine, &error));
    if (FILLED(info, llm_engine_get_info(engine, &info, &error)))
        CHECK(info.n_threads == 2 && info.n_chunk == 24 && info.memory_used > 0);
    if (FILLED(device, llm_engine_device_info(engine, 0, &device, &error)))
        CHECK(device.kind == LLM_DEVICE_KIND_CPU && device.name_len == strlen(device.name));
    return engine;
}

static llm_model *guest_model(llm_engine *engine)
{
    llm_error error;
    llm_model *model = NULL;
    llm_source source = LLM_INIT(llm_source);
    llm_reader reader = LLM_INIT(llm_reader);
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    const llm_source *part = &source;
    llm_model_info info;
    llm_meta meta;
    llm_tensor_info tensor;
    llm_estimate_info estimate;
    float fraction = 0;
    source.kind = LLM_SOURCE_READER;
    source.reader = &reader;
    reader.user = &file;
    reader.size = file.size;
    reader.read = guest_read;
    desc.progress = guest_progress;
    desc.user = &fraction;
    RIGHT_LATER(source, llm_model_load_from(engine, &part, 1, &desc, &model, &error));
    llm_model_free(model);
    RIGHT_LATER(reader, llm_model_load_from(engine, &part, 1, &desc, &model, &error));
    llm_model_free(model);
    RIGHT_LATER(desc, llm_model_load_from(engine, &part, 1, &desc, &model, &error));
    CHECK(fraction == 1.0f);
    if (FILLED(info, llm_model_get_info(model, &info, &error)))
        CHECK(info.n_vocab == 400 && info.n_layers == 2 && strcmp(info.architecture, "llama") == 0);
    if (FILLED(meta, llm_model_meta_find(model, "llama.block_count", LLM_NUL, &meta, &error)))
        CHECK(meta.type == LLM_META_UINT && meta.integer == 2);
    if (FILLED(tensor, llm_model_tensor_at(model, 0, &tensor, &error)))
        CHECK(tensor.n_dims == 2 && tensor.dims[1] == 400);
    if (FILLED(estimate, llm_model_estimate(engine, &part, 1, &desc, NULL, &estimate, &error)))
        CHECK(estimate.total_bytes > 0);
    return model;
}

static uint64_t guest_story(llm_model *model, llm_session *s)
{
    llm_error error;
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_sampler *sampler = NULL;
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_session_info info;
    llm_token_info token_info;
    llm_token_score best[3];
    llm_token_bias bias = { 7, -5.0f };
    llm_str stop = { "never said", LLM_NUL };
    const llm_token *tokens;
    const float *scores;
    char text[256];
    size_t n = 0, n_tokens = 0;
    int n_calls = 0;
    recipe.temperature = 0.9f;
    recipe.top_k = 50;
    recipe.top_p = 0.95f;
    recipe.min_p = 0.01f;
    recipe.repeat_penalty = 1.1f;
    recipe.biases = &bias;
    recipe.n_biases = 1;
    RIGHT_LATER(recipe, llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error));
    reply.seed = 5;
    reply.max_tokens = 20;
    reply.flags = LLM_GENERATE_IGNORE_END | LLM_GENERATE_SCORE;
    reply.sampler = sampler;
    reply.stops = &stop;
    reply.n_stops = 1;
    reply.on_logits = guest_logits;
    reply.user = &n_calls;
    RIGHT(llm_session_append_text(s, "hello world hello", LLM_NUL, LLM_APPEND_SCORE, &error));
    RIGHT_LATER(reply, llm_session_generate(s, &reply, &error));
    RIGHT(tiny_drain(s, 1000, &error));
    while (llm_session_read_text(s, text, sizeof text) > 0)
        ;
    CHECK(llm_session_state(s) == LLM_END_LENGTH && n_calls == 20);
    RIGHT(llm_session_rewind(s, llm_session_n_tokens(s), &error));
    RIGHT(tiny_drain(s, 1000, &error));                     /* the last token too: its logits */
    RIGHT(llm_session_tokens(s, &tokens, &n_tokens, &error));
    RIGHT(llm_session_scores(s, &scores, &n, &error));
    CHECK(n == n_tokens && scores[n - 1] < 0);
    RIGHT(llm_session_best(s, best, 3, &n, &error));
    CHECK(n == 3 && best[0].log_prob >= best[1].log_prob);
    if (FILLED(info, llm_session_get_info(s, &info, &error)))
        CHECK(info.n_generated == 20 && info.n_ctx == 96);
    if (FILLED(token_info, llm_tokenizer_token(llm_model_tokenizer(model), TINY_HELLO, &token_info, &error)))
        CHECK(token_info.n_bytes == 6);
    uint64_t hash = tiny_hash(tokens, n_tokens * sizeof *tokens, tiny_logits_hash(s));
    llm_sampler_free(sampler);
    return hash;
}

static llm_session *guest_session(llm_model *model)
{
    llm_error error;
    llm_session *s = NULL;
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    desc.n_ctx = 96;
    desc.state_type = LLM_STATE_TYPE_F32;
    RIGHT_LATER(desc, llm_session_create(model, &desc, &s, &error));
    return s;
}

#if GUEST_LEVEL >= 2    /* writers, quantizing, importance, stages of samplers, int8, packs, GPUs */
static llm_status guest_write(void *user, const void *data, size_t n) { return tiny_put(user, data, n), LLM_OK; }

static void guest_files(llm_engine *engine, llm_model *model)
{
    llm_error error;
    llm_sink sink = LLM_INIT(llm_sink);
    llm_writer writer = LLM_INIT(llm_writer);
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    llm_quantize_desc smaller = LLM_INIT(llm_quantize_desc);
    llm_quantize_info info;
    llm_importance_desc importance = LLM_INIT(llm_importance_desc);
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_vulkan gpu = LLM_INIT(llm_vulkan);
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *with_gpus = NULL;
    llm_sampler *sampler = NULL;
    tiny_file out = { 0 };
    char report[4096];
    size_t n = 0;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    writer.user = &out;
    writer.write = guest_write;
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file.data;
    source.data_len = file.size;
    smaller.file_type = LLM_FILE_Q8_0;
    RIGHT_LATER(sink, llm_model_quantize(engine, &part, 1, &sink, &smaller, NULL, &error));
    RIGHT_LATER(writer, llm_model_quantize(engine, &part, 1, &sink, &smaller, NULL, &error));
    RIGHT_LATER(smaller, llm_model_quantize(engine, &part, 1, &sink, &smaller, NULL, &error));
    if (FILLED(info, llm_model_quantize(engine, &part, 1, &sink, &smaller, &info, &error)))
        CHECK(info.n_quantized > 0 && info.bytes_out < info.bytes_in);
    free(out.data);
    CHECK(llm_model_write_importance(model, &sink, &importance, &error) == LLM_E_STATE);
    recipe.mirostat = 2;
    recipe.dry_multiplier = 0.8f;
    RIGHT(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error));
    llm_sampler_free(sampler);
    CHECK(llm_has(LLM_FEATURE_STATE_INT8) == 1 && llm_has(LLM_FEATURE_PACK) == 1);
    RIGHT(llm_engine_device_report(engine, 1, report, sizeof report, &n, &error));
    gpu.submit_ms = 5;
    desc.vulkan = &gpu;
    RIGHT_LATER(gpu, llm_engine_create(LLM_ABI, &desc, &with_gpus, &error));
    llm_engine_free(with_gpus);
}
#endif

#if GUEST_LEVEL >= 3    /* chats; layers on a GPU */
static void guest_chat(llm_model *model, llm_session *s)
{
    llm_error error;
    llm_chat *chat = NULL;
    llm_chat_desc desc = LLM_INIT(llm_chat_desc);
    llm_chat_info info;
    llm_chat_event event;
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_status status;
    char text[256];
    size_t n = 0;
    desc.template_text = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";
    desc.template_text_len = LLM_NUL;
    RIGHT_LATER(desc, llm_chat_create(model, &desc, &chat, &error));
    if (FILLED(info, llm_chat_get_info(chat, &info, &error)))
        CHECK(info.origin == LLM_CHAT_GIVEN);
    RIGHT(llm_chat_add(chat, "user", LLM_NUL, "hello", LLM_NUL, &error));
    RIGHT(llm_chat_render(chat, 0, text, sizeof text, &n, &error));
    CHECK(strcmp(text, "user: hello\nassistant:") == 0);
    RIGHT(llm_session_sync_chat(s, chat, 0, &error));
    reply.max_tokens = 4;
    reply.flags = LLM_GENERATE_IGNORE_END;
    RIGHT(llm_session_generate(s, &reply, &error));
    RIGHT(tiny_drain(s, LLM_FOREVER, &error));
    do {
        memset(&event, 0xee, sizeof event);
        event.struct_size = sizeof event;
        status = llm_chat_read(chat, s, &event, &error);
    } while (status == LLM_MORE);
    CHECK(status == LLM_OK && event.kind == LLM_EVENT_NONE);
    RIGHT(llm_chat_add_reply(chat, &error));
    CHECK(llm_chat_n_messages(chat) == 2);
    llm_chat_free(chat);
}
#endif

#if GUEST_LEVEL >= 4    /* saved sessions, parked ones, contexts that slide */
static void guest_keep(llm_engine *engine, llm_model *model, llm_session *s)
{
    llm_error error;
    llm_session_desc sliding = LLM_INIT(llm_session_desc);
    llm_session *again = NULL;
    llm_sink sink = LLM_INIT(llm_sink);
    llm_writer writer = LLM_INIT(llm_writer);
    llm_source source = LLM_INIT(llm_source);
    llm_save_desc desc = LLM_INIT(llm_save_desc);
    llm_saved_info info;
    tiny_file out = { 0 };
    uint64_t hash = tiny_logits_hash(s);
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    writer.user = &out;
    writer.write = guest_write;
    desc.note = "kept";
    desc.note_len = 4;
    RIGHT_LATER(desc, llm_session_save_to(s, &sink, &desc, &error));
    source.kind = LLM_SOURCE_BUFFER;
    source.data = out.data;
    source.data_len = out.size;
    if (FILLED(info, llm_saved_get_info(model, &source, &info, &error)))
        CHECK(info.note_len == 4 && (info.flags & LLM_SAVED_SAME_MODEL));
    sliding.n_ctx = 96;
    sliding.state_type = LLM_STATE_TYPE_F32;
    sliding.when_full = LLM_FULL_SLIDE;
    RIGHT(llm_session_create(model, &sliding, &again, &error));
    RIGHT_LATER(source, llm_session_restore_from(again, &source, LLM_RESTORE_NEED_STATE, &error));
    CHECK(tiny_logits_hash(again) == hash);
    RIGHT(llm_session_park(again, &error));
    CHECK(llm_session_n_pending(again) == llm_session_n_tokens(again));
    RIGHT(llm_engine_trim(engine, UINT64_MAX, LLM_TRIM_PARK, NULL, &error));
    RIGHT(tiny_drain(again, LLM_FOREVER, &error));
    CHECK(tiny_logits_hash(again) == hash);
    llm_session_free(again);
    free(out.data);
}
#endif

#if GUEST_LEVEL >= 5    /* grammars */
static void guest_grammar(llm_model *model, llm_session *s)
{
    llm_error error;
    llm_grammar *grammar = NULL;
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_sampler *sampler = NULL;
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    char text[64];
    RIGHT(llm_grammar_create(llm_model_tokenizer(model), LLM_GRAMMAR_REGEX, 0, "[ab]{5}", LLM_NUL, &grammar, &error));
    recipe.grammar = grammar;
    RIGHT(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error));
    reply.sampler = sampler;
    RIGHT(llm_session_generate(s, &reply, &error));
    RIGHT(tiny_drain(s, LLM_FOREVER, &error));
    CHECK(llm_session_state(s) == LLM_END_GRAMMAR && llm_session_read_text(s, text, sizeof text) == 5 && strspn(text, "ab") == 5);
    llm_sampler_free(sampler);
    llm_grammar_free(grammar);
}
#endif

int main(void)
{
    llm_error error;
    CHECK(llm_version() >= LLM_ABI);
    file = tiny_make(&guest_shape);
    llm_engine *engine = guest_engine();
    llm_model *model = guest_model(engine);
    llm_session *s = guest_session(model), *fork = NULL;
    if (test_failures)
        return TEST_DONE();
    uint64_t hash = guest_story(model, s);
    CHECK_MSG(hash == GUEST_STORY, "another story: %016llx", (unsigned long long)hash);
    RIGHT(llm_session_fork(s, &fork, &error));
#if GUEST_LEVEL >= 2
    guest_files(engine, model);
#endif
#if GUEST_LEVEL >= 3
    guest_chat(model, fork);
#endif
#if GUEST_LEVEL >= 4
    guest_keep(engine, model, s);
#endif
#if GUEST_LEVEL >= 5
    guest_grammar(model, fork);
#endif
    llm_session_free(fork);
    llm_session_free(s);
    llm_model_free(model);
    llm_engine_free(engine);
    CHECK_MSG(n_blocks == 0, "%lld blocks are left", n_blocks);
    free(file.data);
    return TEST_DONE();
}
