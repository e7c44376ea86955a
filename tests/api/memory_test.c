/* SPDX-License-Identifier: MIT
 * What is held: estimates against the allocator's peak, forks that share, decoding that allocates nothing. */
#include "tiny.h"

#include <stdatomic.h>

typedef struct ledger { _Atomic long long bytes, peak, n_calls; } ledger;

static void *ledger_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    ledger *l = user;
    void *p = NULL;
    (void)kind;
    if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size ? size : 1) != 0)
        return NULL;
    long long now = atomic_fetch_add(&l->bytes, (long long)size) + (long long)size, peak = atomic_load(&l->peak);
    while (now > peak && !atomic_compare_exchange_weak(&l->peak, &peak, now))
        ;
    atomic_fetch_add(&l->n_calls, 1);
    return p;
}

static void ledger_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)align;
    (void)kind;
    atomic_fetch_sub(&((ledger *)user)->bytes, (long long)size);
    free(ptr);
}

static llm_engine *open_engine(ledger *l, int n_arenas)
{
    llm_allocator allocator = LLM_INIT(llm_allocator);
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    llm_error error;
    allocator.user = l;
    allocator.allocate = ledger_allocate;
    allocator.release = ledger_release;
    desc.allocator = &allocator;
    desc.n_threads = 1;
    desc.n_arenas = n_arenas;
    if (!CHECK(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK))
        exit(1);
    return engine;
}

/* Loads, fills one session to its last token, and compares the peak with what was said before. */
static void check_estimate(const char *name, const llm_source *source, int32_t n_ctx, int32_t state_type, uint32_t flags)
{
    ledger l = { 0 };
    llm_engine *engine = open_engine(&l, 1);
    llm_model *model = NULL;
    llm_session *s = NULL;
    llm_error error;
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_estimate_info estimate = LLM_INIT(llm_estimate_info);
    desc.n_ctx = n_ctx;
    desc.state_type = state_type;
    desc.flags = flags;
    if (!CHECK_MSG(llm_model_estimate(engine, &source, 1, NULL, &desc, &estimate, &error) == LLM_OK, "%s: %s", name, error.message))
        exit(1);
    CHECK(estimate.total_bytes == estimate.weight_bytes + estimate.model_bytes + estimate.arena_bytes + estimate.session_bytes);
    atomic_store(&l.peak, atomic_load(&l.bytes));
    CHECK(llm_model_load_from(engine, &source, 1, NULL, &model, &error) == LLM_OK);
    llm_model_info info = LLM_INIT(llm_model_info);
    CHECK(llm_model_get_info(model, &info, &error) == LLM_OK);
    CHECK(llm_session_create(model, &desc, &s, &error) == LLM_OK);
    llm_session_info session_info = LLM_INIT(llm_session_info);
    CHECK(llm_session_get_info(s, &session_info, &error) == LLM_OK);
    size_t n = (size_t)session_info.n_ctx - 20;
    llm_token *tokens = malloc(n * sizeof *tokens);
    tiny_tokens(tokens, n, (uint32_t)info.n_vocab, 1);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    reply.flags = LLM_GENERATE_IGNORE_END;
    CHECK(llm_session_append(s, tokens, n, 0, &error) == LLM_OK && llm_session_generate(s, &reply, &error) == LLM_OK);
    CHECK(tiny_drain(s, LLM_FOREVER, &error) == LLM_OK && llm_session_state(s) == LLM_END_CONTEXT);
    double peak = (double)atomic_load(&l.peak), off = ((double)estimate.total_bytes - peak) / peak;
    CHECK_MSG(fabs(off) <= 0.02, "%s, %d tokens, state %d: estimated %.0f, peak %.0f: %+.2f %%", name, session_info.n_ctx, state_type,
              (double)estimate.total_bytes, peak, off * 100);
    printf("%-14s n_ctx %4d  peak %9.0f  estimate %+.3f %%\n", name, session_info.n_ctx, peak, off * 100);
    free(tokens);
    llm_session_free(s);
    llm_model_free(model);
    llm_engine_free(engine);
    CHECK(atomic_load(&l.bytes) == 0);
}

static void test_estimates(void)
{
    static const char *const names[] = { "llama-tied", "llama-untied", "llama-bias", "llama-rope3", "llama-linear", "llama-yarn", "mistral", "mixtral", "mixtral-split",
                                         "qwen2-tied", "qwen2-untied", "qwen3-tied", "qwen3-untied", "qwen3moe", "qwen2moe",
                                         "gemma", "gemma2", "gemma2-27b", "gemma3", "gemma3-27b", "llama-fused", "phi3-window", "phi3-short", "phi3-long", "llama-half", "llama-q8_0", "llama-q4_0", "mixtral-q4_0", "qwen3-k",
                                         "llama-mixed", "qwen3-mixed", "mixtral-32" };
    llm_source source = LLM_INIT(llm_source);
    char path[512];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/golden/data/%s.gguf", LLM_TEST_TREE, names[i]);
        source.path = path;
        source.path_len = LLM_NUL;
        check_estimate(names[i], &source, 0, LLM_STATE_TYPE_F16, 0);
        check_estimate(names[i], &source, 100, i % 2 ? LLM_STATE_TYPE_INT8 : LLM_STATE_TYPE_F32, LLM_SESSION_RESERVE);
    }
    static const char *const real[] = { "stories260K-f32", "babyllama-tok105-f32" };
    for (size_t i = 0; i < 2; i++) {
        size_t size;
        snprintf(path, sizeof path, "%s/models/%s.gguf", LLM_TEST_DATA, real[i]);
        char *there = test_read_file(path, &size);
        free(there);
        if (there)
            check_estimate(real[i], &source, 0, LLM_STATE_TYPE_F16, 0);
        else
            printf("%s is not here: not estimated\n", path);
    }
    tiny_shape shape = { 3, 256, 640, 8, 4, 2048, 5000, 1, 0 };
    tiny_file file = tiny_make(&shape);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file.data;
    source.data_len = file.size;
    check_estimate("tiny", &source, 0, LLM_STATE_TYPE_F16, 0);
    check_estimate("tiny", &source, 0, LLM_STATE_TYPE_F16, LLM_SESSION_RESERVE);
    check_estimate("tiny", &source, 65, LLM_STATE_TYPE_F32, 0);
    check_estimate("tiny", &source, 0, LLM_STATE_TYPE_INT8, 0);
    free(file.data);
    shape.window = 200;                                     /* chunks of 512: a dozen pages of 32 */
    file = tiny_make(&shape);
    source.data = file.data;
    source.data_len = file.size;
    check_estimate("tiny-window", &source, 0, LLM_STATE_TYPE_F16, 0);
    check_estimate("tiny-window", &source, 2048, LLM_STATE_TYPE_F32, LLM_SESSION_RESERVE);
    check_estimate("tiny-window", &source, 0, LLM_STATE_TYPE_INT8, 0);
    free(file.data);
}

/* A thousand forks of one prompt, parked: what grows is their own pages and little beside. */
static void test_forks(void)
{
    enum { N = 1000, N_PROMPT = 300 };
    static llm_session *forks[N];
    ledger l = { 0 };
    llm_engine *engine = open_engine(&l, 1);
    llm_model *model = NULL;
    llm_error error;
    tiny_shape shape = { 4, 128, 256, 4, 4, 512, 400, 1, 0 };
    tiny_file file = tiny_make(&shape);
    llm_token prompt[N_PROMPT];
    CHECK(tiny_load(engine, &file, &model, &error) == LLM_OK);
    free(file.data);
    tiny_tokens(prompt, N_PROMPT, shape.n_vocab, 1);
    llm_session *s = tiny_session(model, 0, 0);
    CHECK(llm_session_append(s, prompt, N_PROMPT, 0, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
    llm_session_info info = LLM_INIT(llm_session_info);
    CHECK(llm_session_get_info(s, &info, &error) == LLM_OK);
    double page = (double)info.state_bytes / ((N_PROMPT + 63) / 64);

    long long before = atomic_load(&l.bytes);
    for (int i = 0; i < N; i++)
        CHECK(llm_session_fork(s, &forks[i], &error) == LLM_OK);
    double each = (double)(atomic_load(&l.bytes) - before) / N;
    printf("a fork: %.0f bytes; a page: %.0f bytes\n", each, page);
    CHECK_MSG(each < 2048, "%.0f bytes each", each);        /* nothing of its own yet */

    before = atomic_load(&l.bytes);
    for (int i = 0; i < N; i++) {                           /* each says something else: one page of its own, its tokens and its logits */
        CHECK(llm_session_append(forks[i], &prompt[i % N_PROMPT], 1, 0, &error) == LLM_OK && tiny_drain(forks[i], LLM_FOREVER, &error) == LLM_OK);
    }
    each = (double)(atomic_load(&l.bytes) - before) / N;
    double own = page + (N_PROMPT + 65) * sizeof(llm_token) + shape.n_vocab * sizeof(float);
    printf("a fork that went on: %.0f bytes, %.0f of them its page\n", each, page);
    CHECK_MSG(each < own + 512, "%.0f bytes each, %.0f expected", each, own);
    for (int i = 0; i < N; i++)
        llm_session_free(forks[i]);
    llm_session_free(s);
    llm_model_free(model);
    llm_engine_free(engine);
    CHECK(atomic_load(&l.bytes) == 0);
}

/* Decoding allocates at page borders only; with everything reserved, never. */
static void test_quiet(int reserve, uint32_t window)
{
    ledger l = { 0 };
    llm_engine *engine = open_engine(&l, 1);
    llm_model *model = NULL;
    llm_error error;
    tiny_shape shape = tiny_small;
    shape.window = window;
    tiny_file file = tiny_make(&shape);
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *s = NULL;
    llm_sampler *sampler = NULL;
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_token prompt[70];
    recipe.temperature = 0.8f;
    recipe.top_p = 0.9f;
    recipe.dry_multiplier = 0.5f;
    recipe.adaptive_target = reserve ? 0.5f : 0;            /* it remembers: room for all is taken by generate */
    reply.flags = LLM_GENERATE_IGNORE_END;
    desc.flags = reserve ? LLM_SESSION_RESERVE : 0;
    CHECK(tiny_load(engine, &file, &model, &error) == LLM_OK);
    free(file.data);
    CHECK(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error) == LLM_OK);
    CHECK(llm_session_create(model, &desc, &s, &error) == LLM_OK);
    tiny_tokens(prompt, 70, tiny_small.n_vocab, 1);
    reply.sampler = sampler;
    CHECK(llm_session_append(s, prompt, 70, 0, &error) == LLM_OK && llm_session_generate(s, &reply, &error) == LLM_OK);
    if (!reserve)
        CHECK(llm_session_step(&s, 1, LLM_FOREVER, 0, &error) == LLM_MORE);
    llm_status status;
    do {
        long long calls = atomic_load(&l.n_calls);
        size_t n = llm_session_n_tokens(s);
        status = llm_session_step(&s, 1, LLM_FOREVER, 0, &error);
        long long made = atomic_load(&l.n_calls) - calls;
        if (reserve || (n % 64 > 1 && n % 64 < 63))         /* hostile pages are smaller: borders every 16 */
            CHECK_MSG(made == 0 || (!reserve && (n - 1) % 16 == 0), "token %zu: %lld allocations", n, made);
    } while (status == LLM_MORE);
    CHECK(status == LLM_OK && llm_session_state(s) == LLM_END_CONTEXT);
    llm_sampler_free(sampler);
    llm_session_free(s);
    llm_model_free(model);
    llm_engine_free(engine);
}

int main(void)
{
    test_estimates();
    test_forks();
    test_quiet(0, 0);
    test_quiet(1, 0);
    test_quiet(0, 40);
    test_quiet(1, 40);
    return TEST_DONE();
}
