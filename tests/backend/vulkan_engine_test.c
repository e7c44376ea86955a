/* SPDX-License-Identifier: MIT
 * GPUs through llm.h: found, listed, chosen; sessions on one as on the CPU; a device that is lost in the middle, and going on elsewhere; the
 * host's own device; budgets of memory; what drivers have compiled, out and in; drivers that compute wrongly, and none at all. */
#include "../api/tiny.h"

#include "vulkan_null.h"

#include "session/engine.h"

static const tiny_shape shape = { 2, 64, 128, 4, 2, 512, 500, 7, 0 };
static tiny_file file;
static llm_error error;
static int messages;                                        /* of the validation layers */

static void on_log(void *user, int32_t level, const char *text, size_t len)
{
    (void)user, (void)level;
    if (len > 18 && memcmp(text, "Vulkan validation:", 18) == 0 && messages++ < 10)
        fprintf(stderr, "%.*s\n", (int)len, text);
}
static const llm_logger logger = { .struct_size = sizeof(llm_logger), .level = LLM_LOG_INFO, .write = on_log };

static llm_engine *engine_new(const llm_vulkan *vulkan, int32_t n_threads)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    desc.flags = LLM_ENGINE_GPUS;
    desc.vulkan = vulkan;
    desc.n_threads = n_threads;
    desc.logger = &logger;
    if (!CHECK_MSG(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK, "%s", error.message))
        exit(1);
    return engine;
}

static int32_t device_layers;                              /* of the next models */

static llm_status model_new(llm_engine *engine, int32_t device, llm_model **out)
{
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file.data;
    source.data_len = file.size;
    desc.device = device;
    desc.n_device_layers = device_layers;
    return llm_model_load_from(engine, &part, 1, &desc, out, &error);
}

enum { PROMPT = 90, REPLY = 10 };

static llm_session *session_new(llm_model *model, int32_t state_type, size_t n, uint32_t seed)
{
    llm_session *s = tiny_session(model, 256, state_type);
    llm_token tokens[PROMPT];
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    reply.max_tokens = REPLY;
    reply.flags = LLM_GENERATE_IGNORE_END;
    tiny_tokens(tokens, n, shape.n_vocab, seed);
    CHECK(llm_session_append(s, tokens, n, 0, &error) == LLM_OK && llm_session_generate(s, &reply, &error) == LLM_OK);
    return s;
}

static llm_status drain(llm_session **s, size_t n, int64_t budget_us)
{
    llm_status status;
    while ((status = llm_session_step(s, n, budget_us, 0, &error)) == LLM_MORE)
        ;
    return status;
}

/* The largest difference of logits as a share of the largest logit. */
static double off(llm_session *a, llm_session *b)
{
    const float *x, *y;
    size_t n, m;
    double most = 1e-30, worst = 0;
    if (!CHECK_MSG(llm_session_logits(a, &x, &n, &error) == LLM_OK && llm_session_logits(b, &y, &m, &error) == LLM_OK && n == m, "%s", error.message))
        return 1;
    for (size_t i = 0; i < n; i++) {
        most = fabs((double)x[i]) > most ? fabs((double)x[i]) : most;
        worst = fabs((double)x[i] - (double)y[i]) <= worst ? worst : fabs((double)x[i] - (double)y[i]);
    }
    return worst / most;
}

static void same_tokens(llm_session *a, llm_session *b, const char *what)
{
    const llm_token *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    CHECK(llm_session_tokens(a, &x, &n, &error) == LLM_OK && llm_session_tokens(b, &y, &m, &error) == LLM_OK);
    CHECK_MSG(n == m && memcmp(x, y, n * sizeof *x) == 0, "%s: other tokens than the CPU's", what);
}

/* ---- as on the CPU ---------------------------------------------------------------------------------------------------------- */

static void test_sessions(llm_engine *engine, int32_t gpu)
{
    llm_model *here = NULL, *there = NULL;
    static const int32_t types[] = { LLM_STATE_TYPE_F32, LLM_STATE_TYPE_F16 };
    if (!CHECK_MSG(model_new(engine, 0, &here) == LLM_OK && model_new(engine, gpu, &there) == LLM_OK, "%s", error.message))
        return;
    for (int t = 0; t < 2; t++) {
        llm_session *cpu[3], *vk[3], *fork = NULL, *fork_cpu = NULL;
        for (uint32_t i = 0; i < 3; i++) {
            cpu[i] = session_new(here, types[t], PROMPT - 30 * i, i + 1);
            vk[i] = session_new(there, types[t], PROMPT - 30 * i, i + 1);
        }
        CHECK_MSG(drain(cpu, 3, LLM_FOREVER) == LLM_OK && drain(vk, 3, t ? 300 : LLM_FOREVER) == LLM_OK, "%s", error.message);   /* together; in pieces */
        for (int i = 0; i < 3; i++) {
            CHECK(llm_session_state(vk[i]) == LLM_END_LENGTH);
            same_tokens(vk[i], cpu[i], "a batch");
        }
        llm_token more[3] = { 11, 12, 13 };
        CHECK(llm_session_fork(vk[0], &fork, &error) == LLM_OK && llm_session_fork(cpu[0], &fork_cpu, &error) == LLM_OK);
        CHECK(llm_session_append(fork, more, 3, 0, &error) == LLM_OK && llm_session_append(fork_cpu, more, 3, 0, &error) == LLM_OK);
        CHECK(drain(&fork, 1, LLM_FOREVER) == LLM_OK && drain(&fork_cpu, 1, LLM_FOREVER) == LLM_OK);
        double worst = off(fork_cpu, fork);
        CHECK_MSG(worst < (t ? 2e-3 : 2e-5), "a fork is off by %g", worst);
        CHECK(llm_session_rewind(fork, 20, &error) == LLM_OK && llm_session_rewind(fork_cpu, 20, &error) == LLM_OK);
        CHECK(drain(&fork, 1, LLM_FOREVER) == LLM_OK && drain(&fork_cpu, 1, LLM_FOREVER) == LLM_OK);
        CHECK_MSG((worst = off(fork_cpu, fork)) < (t ? 2e-3 : 2e-5), "rewound, it is off by %g", worst);
        /* cancel */
        llm_session *s = session_new(there, types[t], PROMPT, 9);
        CHECK(llm_session_step(&s, 1, 1, 0, &error) == LLM_MORE);
        llm_session_cancel(s);
        CHECK(llm_session_step(&s, 1, LLM_FOREVER, 0, &error) == LLM_OK && llm_session_state(s) == LLM_END_CANCELLED);
        llm_session_free(s);
        llm_session_free(fork);
        llm_session_free(fork_cpu);
        for (int i = 0; i < 3; i++) {
            llm_session_free(cpu[i]);
            llm_session_free(vk[i]);
        }
    }
    char text[8192];
    size_t n = 0, again = 0;
    CHECK(llm_model_plan(there, NULL, 0, &n, &error) == LLM_OK && n > 200 && n < sizeof text);
    CHECK(llm_model_plan(there, text, n, &again, &error) == LLM_E_SPACE && again == n);
    CHECK(llm_model_plan(there, text, sizeof text, &again, &error) == LLM_OK && again == n && strlen(text) == n && strstr(text, "attend") && strstr(text, "driver version"));
    CHECK((strstr(text, "part 2: ") != NULL) == (device_layers == 1));
    CHECK(llm_model_plan(here, text, sizeof text, &n, &error) == LLM_OK && strstr(text, "attend"));
    llm_model_free(here);
    llm_model_free(there);
}

static void test_estimate(llm_engine *engine, int32_t gpu)
{
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part_source = &source;
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    llm_estimate_info cpu = LLM_INIT(llm_estimate_info), vk = LLM_INIT(llm_estimate_info);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file.data;
    source.data_len = file.size;
    CHECK(llm_model_estimate(engine, &part_source, 1, &desc, NULL, &cpu, &error) == LLM_OK && cpu.device_bytes == 0);
    desc.device = gpu;
    CHECK(llm_model_estimate(engine, &part_source, 1, &desc, NULL, &vk, &error) == LLM_OK);
    CHECK(vk.device_bytes > vk.weight_bytes && vk.device_bytes < vk.total_bytes && vk.weight_bytes >= 4u * 2 * 64 * 128);
    llm_estimate_info part = LLM_INIT(llm_estimate_info);
    desc.n_device_layers = 1;
    CHECK(llm_model_estimate(engine, &part_source, 1, &desc, NULL, &part, &error) == LLM_OK);
    CHECK(part.device_bytes > 0 && part.device_bytes < part.total_bytes && part.device_bytes != vk.device_bytes && part.weight_bytes >= vk.weight_bytes);
    desc.n_device_layers = -2;
    CHECK(llm_model_estimate(engine, &part_source, 1, &desc, NULL, &part, &error) == LLM_E_INVALID);
}

static void test_device(llm_engine *engine, int32_t gpu)
{
    llm_device_info info = LLM_INIT(llm_device_info);
    char text[8192];
    size_t n = 0;
    CHECK(llm_engine_device_info(engine, gpu - 1, &info, &error) == LLM_OK && info.device == gpu && info.kind != LLM_DEVICE_KIND_CPU && info.name_len > 0 && info.memory_total > 0 &&
          info.memory_free <= info.memory_total);
    CHECK_MSG(llm_engine_device_test(engine, gpu, &error) == LLM_OK, "%s", error.message);
    CHECK(llm_engine_device_report(engine, gpu, NULL, 0, &n, &error) == LLM_OK && n > 100);
    CHECK(llm_engine_device_report(engine, gpu, text, 10, &n, &error) == LLM_E_SPACE);
    CHECK(llm_engine_device_report(engine, gpu, text, sizeof text, &n, &error) == LLM_OK && strlen(text) == n && strstr(text, "self-test Q4_0: right") && strstr(text, "self-test attend: right") && !strstr(text, "WRONG"));
    CHECK(llm_engine_device_report(engine, 1, text, sizeof text, &n, &error) == LLM_OK && strlen(text) == n);
    CHECK(llm_engine_device_report(engine, llm_engine_device_count(engine) + 1, text, sizeof text, &n, &error) == LLM_E_NO_DEVICE);
    /* what the driver has compiled */
    CHECK(llm_engine_device_cache(engine, gpu, NULL, 0, &n, &error) == LLM_OK && n >= 48);
    unsigned char *cache = malloc(n + 1);
    size_t got = n;
    CHECK(llm_engine_device_cache(engine, gpu, cache, n - 1, &got, &error) == LLM_E_SPACE && got == n);
    CHECK(llm_engine_device_cache(engine, gpu, cache, n, &got, &error) == LLM_OK && got == n);
    CHECK_MSG(llm_engine_device_set_cache(engine, gpu, cache, n, &error) == LLM_OK, "%s", error.message);
    CHECK(llm_engine_device_set_cache(engine, gpu, cache, 0, &error) == LLM_E_FORMAT && llm_engine_device_set_cache(engine, gpu, cache, 20, &error) == LLM_E_FORMAT);
    for (size_t i = 0; i < n; i += 1 + i / 8) {
        cache[i] ^= 1;
        CHECK(llm_engine_device_set_cache(engine, gpu, cache, n, &error) == LLM_E_FORMAT);
        cache[i] ^= 1;
    }
    free(cache);
}

static void test_budget(int32_t gpu)
{
    llm_vulkan vulkan = LLM_INIT(llm_vulkan);
    int told = 0;
    device_layers = LLM_ALL_LAYERS;
    for (vulkan.memory_limit = 100 << 10;; vulkan.memory_limit += vulkan.memory_limit / 4) {
        llm_engine *engine = engine_new(&vulkan, 1);
        llm_engine_info before = LLM_INIT(llm_engine_info), after = LLM_INIT(llm_engine_info);
        llm_model *model = NULL;
        llm_status status = model_new(engine, gpu, &model);
        CHECK(llm_engine_get_info(engine, &before, NULL) == LLM_OK);
        if (status == LLM_OK) {
            llm_session *s = session_new(model, LLM_STATE_TYPE_F16, PROMPT, 1);
            status = drain(&s, 1, LLM_FOREVER);
            llm_session_free(s);
            llm_model_free(model);
        } else {
            CHECK_MSG(strstr(error.message, "memory_limit") && !model, "%s", error.message);
            model_new(engine, gpu, &model);                 /* nothing is left of the first try */
            CHECK(llm_engine_get_info(engine, &after, &error) == LLM_OK && after.memory_used == before.memory_used);
        }
        CHECK_MSG(status == LLM_OK || status == LLM_E_MEMORY, "%d", status);
        told += status == LLM_E_MEMORY;
        llm_engine_free(engine);
        if (status == LLM_OK || !CHECK(vulkan.memory_limit < 1u << 30))
            break;
    }
    CHECK_MSG(told > 3, "%d budgets were too small", told);
    /* A budget that is too small for all of it: what fits runs there. It needs more than it takes, for there is to be room for a session of 4096 tokens. */
    static const tiny_shape deep = { 6, 256, 512, 4, 2, 512, 500, 7, 0 };
    const tiny_file small = file;
    file = tiny_make(&deep);
    device_layers = 0;
    int parts = 0, wholes = 0;
    for (vulkan.memory_limit = 12 << 20; vulkan.memory_limit < 128 << 20 && wholes == 0; vulkan.memory_limit += vulkan.memory_limit / 4) {
        llm_engine *engine = engine_new(&vulkan, 1);
        llm_model *model = NULL, *cpu = NULL;
        char text[8192];
        size_t n;
        llm_status status = model_new(engine, gpu, &model);
        CHECK_MSG(status == LLM_OK || (status == LLM_E_MEMORY && strstr(error.message, "memory_limit")), "%d: %s", status, error.message);
        if (status == LLM_OK && CHECK(llm_model_plan(model, text, sizeof text, &n, &error) == LLM_OK)) {
            bool split = strstr(text, "part 2: ") != NULL;
            parts += split;
            wholes += !split;
            if (split && parts == 1 && CHECK(model_new(engine, 0, &cpu) == LLM_OK)) {
                llm_session *a = session_new(cpu, LLM_STATE_TYPE_F32, PROMPT, 1), *b = session_new(model, LLM_STATE_TYPE_F32, PROMPT, 1);
                CHECK_MSG(drain(&a, 1, LLM_FOREVER) == LLM_OK && drain(&b, 1, LLM_FOREVER) == LLM_OK, "%s", error.message);
                same_tokens(b, a, "as much as fits");
                llm_session_free(a);
                llm_session_free(b);
            }
        }
        llm_model_free(model);
        llm_model_free(cpu);
        llm_engine_free(engine);
    }
    CHECK_MSG(parts > 0 && wholes > 0, "%d in parts, %d whole", parts, wholes);
    free(file.data);
    file = small;
}

/* ---- steps that do not wait ---------------------------------------------------------------------------------------------------- */

static llm_status step_no_wait(llm_session **s)
{
    int64_t submits = null_vk.submits, sleeps = null_vk.sleeps;
    llm_status status = llm_session_step(s, 1, 2000, LLM_STEP_NO_WAIT, &error);
    CHECK(null_vk.submits - submits <= 1 + null_vk.sleeps - sleeps);       /* a shared page that is about to be written is copied, and that is waited for */
    return status;
}

static llm_status drain_no_wait(llm_session **s)
{
    llm_status status;
    while ((status = step_no_wait(s)) == LLM_MORE)
        ;
    return status;
}

static void same_bits(llm_session *a, llm_session *b, const char *what)
{
    const float *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    same_tokens(a, b, what);
    CHECK(llm_session_logits(a, &x, &n, &error) == LLM_OK && llm_session_logits(b, &y, &m, &error) == LLM_OK);
    CHECK_MSG(n == m && n > 0 && memcmp(x, y, n * sizeof *x) == 0, "%s: other logits", what);
}

/* What a host may do while a pass is in the air. */
static void air_changes(llm_model *model)
{
    llm_session *s = session_new(model, LLM_STATE_TYPE_F16, PROMPT, 2), *fork = NULL, *t = session_new(model, LLM_STATE_TYPE_F16, PROMPT, 2), *u = NULL;
    llm_token more[3] = { 11, 12, 13 };
    CHECK(drain(&t, 1, LLM_FOREVER) == LLM_OK && drain(&s, 1, LLM_FOREVER) == LLM_OK);
    CHECK(llm_session_rewind(s, 70, &error) == LLM_OK && llm_session_rewind(t, 70, &error) == LLM_OK);
    CHECK(drain(&t, 1, LLM_FOREVER) == LLM_OK);
    null_vk.lag = INT64_MAX;
    int64_t sleeps = null_vk.sleeps;
    CHECK(step_no_wait(&s) == LLM_MORE && null_vk.air == 1);
    CHECK(step_no_wait(&s) == LLM_MORE && null_vk.air == 1);
    int64_t submits = null_vk.submits;
    CHECK(llm_session_step(&s, 1, 0, 0, &error) == LLM_MORE && llm_session_step(&s, 1, -5, LLM_STEP_NO_WAIT, &error) == LLM_MORE && null_vk.air == 1);
    CHECK(llm_session_fork(s, &fork, &error) == LLM_OK && llm_session_fork(t, &u, &error) == LLM_OK);
    null_land();
    null_vk.lag = 3;
    CHECK(null_vk.sleeps == sleeps && null_vk.submits == submits);
    CHECK_MSG(drain_no_wait(&s) == LLM_OK, "%s", error.message);
    same_bits(s, t, "forked in the air");
    CHECK(llm_session_append(fork, more, 3, 0, &error) == LLM_OK && llm_session_append(u, more, 3, 0, &error) == LLM_OK);
    CHECK(drain_no_wait(&fork) == LLM_OK && drain(&u, 1, LLM_FOREVER) == LLM_OK);
    same_bits(fork, u, "a fork of what was in the air");
    /* changed in the air: what lies there is of no use any more */
    null_vk.lag = INT64_MAX;
    CHECK(llm_session_append(fork, more, 3, 0, &error) == LLM_OK && llm_session_append(u, more, 2, 0, &error) == LLM_OK);
    CHECK(step_no_wait(&fork) == LLM_MORE && null_vk.air == 1);
    CHECK(llm_session_rewind(fork, 30, &error) == LLM_OK && llm_session_rewind(u, 30, &error) == LLM_OK);
    CHECK(llm_session_append(fork, more, 3, 0, &error) == LLM_OK && llm_session_append(u, more, 3, 0, &error) == LLM_OK);
    CHECK(step_no_wait(&fork) == LLM_MORE);
    null_land();
    null_vk.lag = 3;
    CHECK(drain_no_wait(&fork) == LLM_OK && drain(&u, 1, LLM_FOREVER) == LLM_OK);
    same_bits(fork, u, "rewound in the air");
    /* cancelled there */
    null_vk.lag = INT64_MAX;
    CHECK(llm_session_append(fork, more, 3, 0, &error) == LLM_OK);
    CHECK(step_no_wait(&fork) == LLM_MORE && null_vk.air == 1);
    sleeps = null_vk.sleeps;
    llm_session_cancel(fork);
    CHECK(step_no_wait(&fork) == LLM_OK && llm_session_state(fork) == LLM_END_CANCELLED && null_vk.air == 1 && null_vk.sleeps == sleeps);
    /* and freed with it, or with the model */
    CHECK(llm_session_append(s, more, 3, 0, &error) == LLM_OK);
    step_no_wait(&s);
    CHECK(null_vk.air >= 1);
    llm_session_free(s);
    llm_session_free(fork);
    CHECK(null_vk.sleeps == sleeps);
    CHECK(llm_session_append(t, more, 3, 0, &error) == LLM_OK);
    step_no_wait(&t);
    CHECK(null_vk.air >= 1);
    llm_session_free(t);
    llm_session_free(u);
}

/* A token after another is the same commands once more: nothing is recorded, and the driver is called four times (submit, wait, reset, times). */
static void test_again(void)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    llm_model *gpu = NULL;
    lm_backend *backend = NULL;
    lm_vulkan_desc vulkan = { .get_proc = null_get_proc, .trust = true };
    llm_status status;
    int64_t most = 0;
    int n = 0;
    null_vk.real = NULL;
    null_vk.fail_at = -1;
    desc.n_threads = 1;
    if (!CHECK(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK) ||
        !CHECK_MSG(lm_vulkan_backend_open(&engine->host, &vulkan, &backend, &error) == LLM_OK && lm_engine_add_backend(engine, backend, &error) == LLM_OK, "%s", error.message) ||
        !CHECK_MSG(model_new(engine, 2, &gpu) == LLM_OK, "%s", error.message))
        return;
    llm_session *s = session_new(gpu, LLM_STATE_TYPE_F16, 20, 1), *other = session_new(gpu, LLM_STATE_TYPE_F16, 20, 2);
    do {
        int64_t calls = null_vk.calls;
        status = llm_session_step(&s, 1, LLM_FOREVER, 0, &error);
        if (n++ > 1)                                        /* the prompt, a first token, and then */
            most = null_vk.calls - calls > most ? null_vk.calls - calls : most;
    } while (status == LLM_MORE);
    CHECK_MSG(status == LLM_OK && n >= REPLY && most <= 4, "%d, %d steps, %d calls a token", status, n, (int)most);
    CHECK(drain(&other, 1, LLM_FOREVER) == LLM_OK);
    llm_session_free(s);
    llm_session_free(other);
    llm_model_free(gpu);
    llm_engine_free(engine);
    CHECK_MSG(null_vk.objects == 0 && null_vk.faults == 0, "%d objects are left", (int)null_vk.objects);
}

/* State that cannot double takes one page more, as long as the budget has room for that. */
static void test_last_page(void)
{
    static lm_host host;
    lm_stream stream = { .kind = LM_STATE_PER_TOKEN, .n_heads = 4, .k_dim = 64, .v_dim = 64 };
    lm_program program = { .streams = &stream, .n_streams = 1, .n_page_classes = 1 };
    lm_vulkan_desc vulkan = { .get_proc = null_get_proc, .trust = true };
    lm_vulkan_info info;
    lm_backend *backend = NULL;
    lm_pool *pool = NULL;
    uint32_t page, n = 0, first = LM_HOSTILE ? 4 : 8;
    llm_status status;
    null_vk.real = NULL;
    null_vk.fail_at = -1;
    lm_mem_init(&host.mem, NULL, 0);
    if (!CHECK(lm_vulkan_backend_open(&host, &vulkan, &backend, &error) == LLM_OK && lm_vulkan_backend_get_info(backend, &info, &error) == LLM_OK))
        return;
    uint64_t bytes = backend->table->pool_page_cost(backend, &program, LLM_STATE_TYPE_F16, 0);
    backend->table->close(backend);
    vulkan.memory_limit = info.device_bytes + (2 * first + 1) * bytes + bytes / 2;    /* old and new stand side by side: first + (first + 1); the driver rounds */
    if (!CHECK(lm_vulkan_backend_open(&host, &vulkan, &backend, &error) == LLM_OK && backend->table->pool_open(backend, &program, LLM_STATE_TYPE_F16, &pool, &error) == LLM_OK))
        return;
    while ((status = backend->table->page_take(backend, pool, 0, &page, &error)) == LLM_OK)
        n++;
    CHECK_MSG(status == LLM_E_MEMORY && n == first + 1, "%u pages, then %d: %s", n, status, error.message);
    backend->table->page_give(backend, pool, 0, 0);
    CHECK(backend->table->page_take(backend, pool, 0, &page, &error) == LLM_OK && page == 0);
    backend->table->pool_close(backend, pool);
    backend->table->close(backend);
    CHECK_MSG(null_vk.objects == 0 && null_vk.faults == 0 && atomic_load(&host.mem.used) == 0, "%d objects are left", (int)null_vk.objects);
}

/* The same bits as steps that wait, and no step makes a pipeline. */
static void test_no_wait(void)
{
    llm_vulkan vulkan = LLM_INIT(llm_vulkan);
    llm_model *gpu = NULL;
    vulkan.get_proc = null_get_proc;
    vulkan.flags = LLM_VULKAN_VALIDATE;
    null_vk.fail_at = -1;
    llm_engine *engine = engine_new(&vulkan, 1);
    if (llm_engine_device_count(engine) == 1) {             /* no layers here */
        llm_engine_free(engine);
        vulkan.flags = 0;
        engine = engine_new(&vulkan, 1);
    }
    if (CHECK_MSG(model_new(engine, 2, &gpu) == LLM_OK, "%s", error.message)) {
        static const int32_t types[] = { LLM_STATE_TYPE_F32, LLM_STATE_TYPE_F16 };
        for (int t = 0; t < 2; t++) {
            llm_session *a = session_new(gpu, types[t], PROMPT, 5);
            int64_t compiles = null_vk.compiles;
            CHECK_MSG(drain(&a, 1, LLM_FOREVER) == LLM_OK, "%s", error.message);
            llm_session *b = session_new(gpu, types[t], PROMPT, 5);
            CHECK(drain(&b, 1, LLM_FOREVER) == LLM_OK);     /* there is room for its state then, and it need not grow */
            llm_session_free(b);
            b = session_new(gpu, types[t], PROMPT, 5);
            null_vk.lag = 3;
            int64_t sleeps = null_vk.sleeps;
            CHECK_MSG(drain_no_wait(&b) == LLM_OK, "%s", error.message);
            CHECK_MSG(null_vk.sleeps == sleeps, "%d waits in steps that do not wait", (int)(null_vk.sleeps - sleeps));
            CHECK_MSG(null_vk.compiles == compiles, "%d pipelines were made in steps", (int)(null_vk.compiles - compiles));
            CHECK(llm_session_state(b) == LLM_END_LENGTH);
            same_bits(b, a, "without waiting");
            null_vk.lag = 0;
            llm_session_free(a);
            llm_session_free(b);
        }
        air_changes(gpu);
    }
    llm_model_free(gpu);
    CHECK_MSG(null_vk.air == 0, "%d are in the air", (int)null_vk.air);
    null_vk.lag = 0;
    llm_engine_free(engine);
}

typedef struct waiter { llm_session *s; llm_status status; llm_error error; } waiter;

static void waiter_run(void *data)
{
    waiter *w = data;
    while ((w->status = llm_session_step(&w->s, 1, LLM_FOREVER, 0, &w->error)) == LLM_MORE)
        ;
}

/* On a driver that computes nothing: while one step sleeps until the device is done, a model on the processor goes on, and so does another
 * session on the device. And the changes in the air, with everything counted. */
static void test_beside(void)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    llm_model *cpu = NULL, *gpu = NULL;
    lm_backend *backend = NULL;
    lm_vulkan_desc vulkan = { .get_proc = null_get_proc, .trust = true };
    null_vk.real = NULL;
    null_vk.fail_at = -1;
    desc.n_threads = 1;
    if (!CHECK(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK) ||
        !CHECK_MSG(lm_vulkan_backend_open(&engine->host, &vulkan, &backend, &error) == LLM_OK && lm_engine_add_backend(engine, backend, &error) == LLM_OK, "%s", error.message) ||
        !CHECK_MSG(model_new(engine, 0, &cpu) == LLM_OK && model_new(engine, 2, &gpu) == LLM_OK, "%s", error.message))
        return;
    llm_session *first[2] = { session_new(gpu, LLM_STATE_TYPE_F16, PROMPT, 1), session_new(gpu, LLM_STATE_TYPE_F16, PROMPT, 2) };
    CHECK(drain(&first[0], 1, LLM_FOREVER) == LLM_OK && drain(&first[1], 1, LLM_FOREVER) == LLM_OK);   /* the state has grown */
    llm_session_free(first[0]);
    llm_session_free(first[1]);
    llm_session *a = session_new(gpu, LLM_STATE_TYPE_F16, PROMPT, 1), *b = session_new(gpu, LLM_STATE_TYPE_F16, PROMPT, 2), *c = session_new(cpu, LLM_STATE_TYPE_F16, PROMPT, 3);
    waiter w = { .s = a };
    lm_thread thread;
    atomic_store(&null_vk.gate, 1);
    if (CHECK(lm_thread_start(&thread, waiter_run, &w, &error) == LLM_OK)) {
        while (atomic_load(&null_vk.at_gate) == 0)
            lm_cpu_relax();
        CHECK_MSG(drain(&c, 1, LLM_FOREVER) == LLM_OK && llm_session_state(c) == LLM_END_LENGTH, "%s", error.message);
        CHECK_MSG(drain_no_wait(&b) == LLM_OK && llm_session_state(b) == LLM_END_LENGTH, "%s", error.message);
        CHECK(atomic_load(&null_vk.at_gate) == 1 && llm_session_state(a) == LLM_STATE_WORKING);
        atomic_store(&null_vk.gate, 0);
        lm_unpark_all(&null_vk.gate);
        lm_thread_join(&thread);
        CHECK_MSG(w.status == LLM_OK && llm_session_state(a) == LLM_END_LENGTH, "%s", w.error.message);
    }
    llm_session_free(a);
    llm_session_free(b);
    llm_session_free(c);
    llm_model_free(cpu);
    air_changes(gpu);
    llm_model_free(gpu);
    CHECK_MSG(null_vk.air == 0, "%d are in the air", (int)null_vk.air);
    null_vk.lag = 0;
    llm_engine_free(engine);
    CHECK_MSG(null_vk.objects == 0 && null_vk.faults == 0, "%d objects are left", (int)null_vk.objects);
}

/* ---- drivers that fail ------------------------------------------------------------------------------------------------------- */

static void (*none_get_proc(void *user, void *instance, const char *name))(void)
{
    (void)user, (void)instance, (void)name;
    return NULL;
}

/* No loader, no driver, and one whose shaders do nothing: it is found, and found out. */
static void test_bad_drivers(void)
{
    llm_vulkan vulkan = LLM_INIT(llm_vulkan);
    llm_model *model = NULL;
    char text[8192];
    size_t n;
    vulkan.get_proc = none_get_proc;
    llm_engine *engine = engine_new(&vulkan, 1);
    CHECK(llm_engine_device_count(engine) == 1 && model_new(engine, 2, &model) == LLM_E_NO_DEVICE);
    llm_engine_free(engine);
    null_vk.real = NULL;
    null_vk.fail_at = -1;
    vulkan.get_proc = null_get_proc;
    engine = engine_new(&vulkan, 1);
    CHECK(llm_engine_device_count(engine) == 2 && null_vk.objects == 0);    /* looked at, not opened */
    CHECK(model_new(engine, 2, &model) == LLM_E_UNSUPPORTED && !model && strstr(error.message, "computes wrongly"));
    CHECK(llm_engine_device_test(engine, 2, &error) == LLM_E_UNSUPPORTED && strstr(error.message, "computes wrongly"));
    CHECK(llm_engine_device_report(engine, 2, text, sizeof text, &n, &error) == LLM_OK && strstr(text, "WRONG, not used"));
    CHECK(null_vk.objects > 0);
    llm_engine_free(engine);
    CHECK_MSG(null_vk.objects == 0 && null_vk.faults == 0, "%d objects are left", (int)null_vk.objects);
}

/* Without products handed round subgroups a model runs as before. */
static void wide_less(llm_engine *engine, llm_model *gpu)
{
    llm_model *cpu = NULL;
    char text[8192];
    size_t n;
    CHECK(llm_model_plan(gpu, text, sizeof text, &n, &error) == LLM_OK && strstr(text, ": many\n"));
    if (!CHECK_MSG(model_new(engine, 0, &cpu) == LLM_OK, "%s", error.message))
        return;
    llm_session *a = session_new(cpu, LLM_STATE_TYPE_F32, PROMPT, 4), *b = session_new(gpu, LLM_STATE_TYPE_F32, PROMPT, 4);
    CHECK_MSG(drain(&a, 1, LLM_FOREVER) == LLM_OK && drain(&b, 1, LLM_FOREVER) == LLM_OK, "%s", error.message);
    same_tokens(b, a, "tiles instead of subgroups");
    llm_session_free(a);
    llm_session_free(b);
    llm_model_free(cpu);
}

/* A driver that leaves out the work of one shader: whichever it is, the self-test of a load finds it. Only models that need it are refused,
 * and none for products handed round subgroups. */
static void test_found_out(void)
{
    llm_vulkan vulkan = LLM_INIT(llm_vulkan);
    llm_model *model = NULL;
    int n_shaders = 0, n_refused = 0, n_wide = 0, shuffles = 0;
    vulkan.get_proc = null_get_proc;
    null_vk.fail_at = -1;
    for (null_vk.skip = 0; null_vk.skip <= n_shaders; null_vk.skip++) {
        memset(&null_shaders, 0, sizeof null_shaders);
        llm_engine *engine = engine_new(&vulkan, 1);
        llm_status status = model_new(engine, 2, &model);
        char text[8192];
        size_t n;
        if (null_vk.skip == 0) {
            CHECK_MSG(status == LLM_OK, "%s", error.message);
            n_shaders = null_shaders.n_codes;
            CHECK(llm_model_plan(model, text, sizeof text, &n, &error) == LLM_OK);
            shuffles = strstr(text, ": wide\n") != NULL;
        } else {
            CHECK_MSG(status == LLM_OK || (status == LLM_E_UNSUPPORTED && !model && strstr(error.message, "computes wrongly")), "without shader %d: %s", (int)null_vk.skip, error.message);
            n_refused += status != LLM_OK;
            CHECK_MSG(llm_engine_device_report(engine, 2, text, sizeof text, &n, &error) == LLM_OK && strstr(text, "WRONG, not used"), "shader %d was not found out", (int)null_vk.skip);
            if (strstr(text, "subgroups: WRONG, not used") && CHECK_MSG(status == LLM_OK, "%s", error.message) && n_wide++ < 2)
                wide_less(engine, model);
        }
        llm_model_free(model);
        model = NULL;
        llm_engine_free(engine);
    }
    null_vk.skip = 0;
    /* This model routes to no experts, and has no tiles of f32. */
    CHECK_MSG(n_shaders >= 8 && n_refused + n_wide >= n_shaders - 2 && (n_wide >= 1) == shuffles, "%d shaders, %d refusals, %d without subgroups", n_shaders, n_refused, n_wide);
    printf("each of %d shaders is found out; %d of them hand round subgroups, and tiles take their place\n", n_shaders, n_wide);
}

/* The n-th submission loses the device: a status, the tokens are there, the CPU goes on from them, and the device can be opened anew. */
static void test_lost(void)
{
    llm_vulkan vulkan = LLM_INIT(llm_vulkan);
    int lost_while_stepping = 0;
    vulkan.get_proc = null_get_proc;
    null_vk.fail_at = -1;
    for (int64_t at = -2;; at++) {                          /* in two places of a load, then in each fifth submission of a session */
        llm_engine *engine = engine_new(&vulkan, 1);
        llm_model *cpu = NULL, *gpu = NULL, *again = NULL;
        null_vk.submits = 0;
        null_vk.lose_after = at < 0 ? 1 - 40 * (at + 1) : 0;
        llm_status status = model_new(engine, 2, &gpu);
        null_vk.submits = 0;
        null_vk.lose_after = at < 0 ? 0 : 1 + 5 * at;
        if (status == LLM_OK) {
            llm_session *s = session_new(gpu, LLM_STATE_TYPE_F32, PROMPT, 1), *on = NULL, *whole = NULL;
            status = drain(&s, 1, LLM_FOREVER);
            null_vk.lose_after = 0;
            if (status < 0) {
                const llm_token *tokens = NULL;
                llm_token copy[PROMPT + REPLY];
                size_t n = 0;
                lost_while_stepping++;
                CHECK_MSG(status == LLM_E_DEVICE_LOST && strstr(error.message, "lost") && llm_session_state(s) == LLM_E_DEVICE_LOST, "%d: %s", status, error.message);
                CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && n >= PROMPT && n <= PROMPT + REPLY);
                memcpy(copy, tokens, n * sizeof *copy);
                CHECK(llm_session_step(&s, 1, LLM_FOREVER, 0, &error) == LLM_E_DEVICE_LOST);
                if (CHECK(model_new(engine, 0, &cpu) == LLM_OK)) {
                    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
                    reply.flags = LLM_GENERATE_IGNORE_END;
                    reply.max_tokens = (int32_t)(PROMPT + REPLY - n);
                    on = tiny_session(cpu, 256, LLM_STATE_TYPE_F32);
                    whole = session_new(cpu, LLM_STATE_TYPE_F32, PROMPT, 1);
                    CHECK(llm_session_append(on, copy, n, 0, &error) == LLM_OK);
                    if (reply.max_tokens > 0)
                        CHECK(llm_session_generate(on, &reply, &error) == LLM_OK);
                    CHECK(drain(&on, 1, LLM_FOREVER) == LLM_OK && drain(&whole, 1, LLM_FOREVER) == LLM_OK);
                    same_tokens(on, whole, "going on elsewhere");
                }
                if (CHECK_MSG(model_new(engine, 2, &again) == LLM_OK, "%s", error.message)) {      /* the old model still holds the lost one */
                    llm_session *t = session_new(again, LLM_STATE_TYPE_F32, PROMPT, 1);
                    CHECK(drain(&t, 1, LLM_FOREVER) == LLM_OK);
                    same_tokens(t, whole, "the device opened anew");
                    llm_session_free(t);
                }
            }
            llm_session_free(s);
            llm_session_free(on);
            llm_session_free(whole);
        } else {
            CHECK_MSG(at < 0 && status == LLM_E_DEVICE_LOST && !gpu, "%d: %s", status, error.message);
        }
        null_vk.lose_after = 0;
        llm_model_free(cpu);
        llm_model_free(gpu);
        llm_model_free(again);
        llm_engine_free(engine);
        CHECK_MSG(null_vk.objects == 0 || null_vk.real, "%d objects are left", (int)null_vk.objects);
        if ((status == LLM_OK && at >= 0) || !CHECK(at < 200))
            break;
    }
    CHECK_MSG(lost_while_stepping >= 2, "lost %d times in steps", lost_while_stepping);
    printf("lost in the middle of %d sessions\n", lost_while_stepping);
}

/* ---- the host's own ------------------------------------------------------------------------------------------------------------ */

static int locks, locked;
static void host_lock(void *user) { (void)user, locks++, CHECK(locked++ == 0); }
static void host_unlock(void *user) { (void)user, CHECK(--locked == 0); }

/* Its loss is the host's to mend. */
static void host_lost(const llm_vulkan *hosts)
{
    llm_vulkan vulkan = *hosts;
    llm_model *gpu = NULL, *again = NULL;
    vulkan.get_proc = null_get_proc;
    null_vk.fail_at = -1;
    llm_engine *engine = engine_new(&vulkan, 1);
    if (CHECK_MSG(model_new(engine, 2, &gpu) == LLM_OK, "%s", error.message)) {
        llm_session *s = session_new(gpu, LLM_STATE_TYPE_F32, PROMPT, 3);
        null_vk.submits = 0;
        null_vk.lose_after = 1;
        CHECK(drain(&s, 1, LLM_FOREVER) == LLM_E_DEVICE_LOST);
        null_vk.lose_after = 0;
        CHECK(model_new(engine, 2, &again) == LLM_E_DEVICE_LOST && !again && strstr(error.message, "the host's"));
        llm_session_free(s);
    }
    llm_model_free(gpu);
    llm_engine_free(engine);
}

static void host_family(const llm_vulkan *hosts)
{
    llm_vulkan vulkan = *hosts;
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    vulkan.queue_family = 99;
    desc.flags = LLM_ENGINE_GPUS;
    desc.vulkan = &vulkan;
    desc.logger = &logger;
    CHECK(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_E_INVALID && !engine && strstr(error.message, "llm_vulkan.queue_family"));
}

static void (*host_get_proc(void *user, void *instance, const char *name))(void)
{
    (void)user;                                             /* what needs no instance is not asked for: the host has made it */
    return instance ? (void (*)(void))null_vk.real((VkInstance)instance, name) : NULL;
}

/* As an application would: its instance, its device without one feature, its queue. */
static void test_host(void)
{
    PFN_vkGetInstanceProcAddr get = null_vk.real;
    VkApplicationInfo app = { .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_1 };
    VkInstanceCreateInfo info = { .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app };
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t n = 1;
    float priority = 1;
    if (!CHECK(((PFN_vkCreateInstance)(void (*)(void))get(NULL, "vkCreateInstance"))(&info, NULL, &instance) == VK_SUCCESS))
        return;
    VkResult result = ((PFN_vkEnumeratePhysicalDevices)(void (*)(void))get(instance, "vkEnumeratePhysicalDevices"))(instance, &n, &physical);
    CHECK(result == VK_SUCCESS || result == VK_INCOMPLETE);
    VkDeviceQueueCreateInfo queues = { .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority };
    VkDeviceCreateInfo create = { .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queues };
    if (!CHECK(((PFN_vkCreateDevice)(void (*)(void))get(instance, "vkCreateDevice"))(physical, &create, NULL, &device) == VK_SUCCESS))
        return;
    ((PFN_vkGetDeviceQueue)(void (*)(void))get(instance, "vkGetDeviceQueue"))(device, 0, 0, &queue);
    llm_vulkan vulkan = LLM_INIT(llm_vulkan);
    vulkan.get_proc = host_get_proc;
    vulkan.instance = instance;
    vulkan.physical_device = physical;
    vulkan.device = device;
    vulkan.queue = queue;
    vulkan.lock = host_lock;
    vulkan.unlock = host_unlock;
    vulkan.submit_ms = 2;
    llm_engine *engine = engine_new(&vulkan, 1);
    llm_model *cpu = NULL, *gpu = NULL;
    CHECK(llm_engine_device_count(engine) == 2);
    if (CHECK_MSG(model_new(engine, 0, &cpu) == LLM_OK && model_new(engine, 2, &gpu) == LLM_OK, "%s", error.message)) {
        llm_session *a = session_new(cpu, LLM_STATE_TYPE_F32, PROMPT, 3), *b = session_new(gpu, LLM_STATE_TYPE_F32, PROMPT, 3);
        int before = locks;
        CHECK_MSG(drain(&a, 1, LLM_FOREVER) == LLM_OK && drain(&b, 1, LLM_FOREVER) == LLM_OK, "%s", error.message);
        same_tokens(b, a, "the host's device");
        CHECK_MSG(locks - before >= REPLY, "%d submissions were locked", locks - before);
        llm_session_free(a);
        llm_session_free(b);
    }
    llm_model_free(cpu);
    llm_model_free(gpu);
    llm_engine_free(engine);
    host_lost(&vulkan);
    host_family(&vulkan);
    /* still the host's, and alive */
    ((PFN_vkDestroyDevice)(void (*)(void))get(instance, "vkDestroyDevice"))(device, NULL);
    ((PFN_vkDestroyInstance)(void (*)(void))get(instance, "vkDestroyInstance"))(instance, NULL);
}

static void test_low_priority(int32_t gpu)
{
    llm_vulkan vulkan = LLM_INIT(llm_vulkan);
    vulkan.flags = LLM_VULKAN_LOW_PRIORITY;
    llm_engine *engine = engine_new(&vulkan, 1);
    llm_model *model = NULL;
    CHECK_MSG(model_new(engine, gpu, &model) == LLM_OK, "%s", error.message);
    llm_model_free(model);
    llm_engine_free(engine);
}

/* vulkan_engine: all but what follows; split: again with layers on both sides; found: the work of each shader left out in turn. Minutes on llvmpipe
 * each, since every engine's self-tests have their shaders compiled. */
int main(int argc, char **argv)
{
    static const char *const names[] = { "libvulkan.so.1", "vulkan-1.dll" };
    const char *part = argc > 1 ? argv[1] : "";
    bool whole = *part == 0, found_out = strcmp(part, "found") == 0;
    llm_vulkan vulkan = LLM_INIT(llm_vulkan);
    lm_library library = { NULL };
    lm_library_function found = NULL;
    llm_engine *engine;
    file = tiny_make(&shape);
    if (whole) {
        test_bad_drivers();
        test_last_page();
        test_again();
        test_beside();
    }
    vulkan.flags = LLM_VULKAN_VALIDATE;
    engine = engine_new(&vulkan, 2);
    if (llm_engine_device_count(engine) == 1) {
        llm_engine_free(engine);
        vulkan.flags = 0;
        engine = engine_new(&vulkan, 2);
        fprintf(stderr, "no validation layers here (Debian: vulkan-validationlayers)\n");
    }
    if (llm_engine_device_count(engine) == 1) {
        llm_engine_free(engine);
        free(file.data);
        return test_failures ? TEST_DONE() : TEST_SKIP("no Vulkan driver on this machine");
    }
    device_layers = strcmp(part, "split") == 0;
    if (!found_out)
        test_sessions(engine, 2);
    if (whole) {
        test_estimate(engine, 2);
        test_device(engine, 2);
    }
    llm_engine_free(engine);
    if (whole) {
        test_budget(2);
        test_low_priority(2);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names && !library.handle; i++)
        if (lm_library_open(names[i], &library, NULL) < 0)
            library.handle = NULL;
    if (library.handle)
        found = lm_library_find(library, "vkGetInstanceProcAddr");
    memcpy(&null_vk.real, &found, sizeof found);
    if (null_vk.real && found_out)
        test_found_out();
    if (null_vk.real && !found_out) {
        test_no_wait();
        test_lost();
    }
    if (null_vk.real && whole)
        test_host();
    lm_library_close(library);
    CHECK_MSG(messages == 0, "%d messages of the validation layers", messages);
    free(file.data);
    return TEST_DONE();
}
