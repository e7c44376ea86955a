/* SPDX-License-Identifier: MIT
 * Importance matrices: the same bits with and without; the sums beside transformers'; experts counted by where rows go; budgets, cancelling,
 * failing writers and allocations. */
#include "test.h"

#include "files/catalogue.h"

#include "base/host.h"

#include <math.h>
#include <llm.h>

typedef struct host_state { long long bytes, calls, fail_at; } host_state;

static void *host_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    host_state *h = user;
    void *ptr = NULL;
    (void)kind;
    if (++h->calls == h->fail_at || posix_memalign(&ptr, align < sizeof(void *) ? sizeof(void *) : align, size) != 0)
        return NULL;
    h->bytes += (long long)size;
    return ptr;
}

static void host_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)align, (void)kind;
    ((host_state *)user)->bytes -= (long long)size;
    free(ptr);
}

static llm_engine *make_engine(host_state *h)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_allocator allocator = LLM_INIT(llm_allocator);
    llm_engine *engine = NULL;
    llm_error error;
    allocator.user = h;
    allocator.allocate = host_allocate;
    allocator.release = host_release;
    desc.allocator = &allocator;
    desc.n_threads = 1;                                     /* the ledger is not for several */
    CHECK_MSG(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK, "%s", error.message);
    return engine;
}

static llm_model *load(llm_engine *engine, const char *path, uint32_t flags)
{
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    llm_model *model = NULL;
    llm_error error;
    desc.flags = flags;
    CHECK_MSG(llm_model_load(engine, path, LLM_NUL, &desc, &model, &error) == LLM_OK, "%s: %s", path, error.message);
    return model;
}

/* Lets a fresh session take in n tokens, all scored, and gives the sum of their scores. */
static double take_in(llm_model *model, const llm_token *tokens, size_t n, int64_t budget_us)
{
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *s = NULL;
    llm_error error;
    llm_status status;
    const float *scores = NULL;
    double sum = 0;
    desc.n_ctx = (int32_t)n;
    desc.state_type = LLM_STATE_TYPE_F32;
    CHECK(llm_session_create(model, &desc, &s, &error) == LLM_OK);
    CHECK(llm_session_append(s, tokens, n, LLM_APPEND_SCORE, &error) == LLM_OK);
    while ((status = llm_session_step(&s, 1, budget_us, 0, &error)) == LLM_MORE)
        ;
    CHECK_MSG(status == LLM_OK && llm_session_scores(s, &scores, &n, &error) == LLM_OK, "%s", error.message);
    for (size_t i = 1; scores && i < n; i++)
        sum += (double)scores[i];
    llm_session_free(s);
    return sum;
}

/* A file in memory. */
typedef struct memory { unsigned char *data; size_t n, cap, fail_after; } memory;

static llm_status memory_write(void *user, const void *data, size_t n)
{
    memory *m = user;
    if (m->fail_after && m->n + n > m->fail_after)
        return LLM_E_IO;
    if (m->n + n > m->cap)
        m->data = realloc(m->data, m->cap = (m->n + n) * 2);
    memcpy(m->data + m->n, data, n);
    m->n += n;
    return LLM_OK;
}

static llm_status write_to(llm_model *model, memory *m, llm_error *error)
{
    llm_writer writer = LLM_INIT(llm_writer);
    llm_sink sink = LLM_INIT(llm_sink);
    llm_importance_desc desc = LLM_INIT(llm_importance_desc);
    writer.user = m;
    writer.write = memory_write;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    desc.flags = LLM_IMPORTANCE_OUTPUT;
    desc.dataset = "a text";
    desc.dataset_len = LLM_NUL;
    desc.n_chunks = 3;
    m->n = 0;
    return llm_model_write_importance(model, &sink, &desc, error);
}

static lm_catalogue *open_written(lm_host *host, const memory *m)
{
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    lm_catalogue *c = NULL;
    llm_error error;
    source.kind = LLM_SOURCE_BUFFER;
    source.data = m->data;
    source.data_len = m->n;
    CHECK_MSG(lm_catalogue_open(host, &part, 1, &c, &error) == LLM_OK, "%s", error.message);
    return c;
}

/* All numbers of NAME.SUFFIX, to be freed; *n_matrices its rows. */
static float *numbers(lm_catalogue *c, const char *name, const char *suffix, uint64_t *n, uint64_t *n_matrices)
{
    char full[160];
    llm_error error;
    snprintf(full, sizeof full, "%s.%s", name, suffix);
    const lm_tensor *t = lm_catalogue_tensor(c, full);
    float *out = t ? malloc((size_t)t->bytes) : NULL;
    if (!t || lm_catalogue_rows(c, t, 0, t->n_rows, out, &error) != LLM_OK) {
        free(out);
        return NULL;
    }
    *n = t->ne[0];
    *n_matrices = t->n_rows;
    return out;
}

static lm_host *plain_host(void)
{
    static lm_host host;
    lm_mem_init(&host.mem, NULL, 0);
    return &host;
}

/* ---- beside transformers */

static void check_close(const char *name, const char *what, double got, double wanted)
{
    CHECK_MSG(fabs(got / wanted - 1) < 2e-6, "%s, %s: %.9g, expected %.9g", name, what, got, wanted);
}

static bool test_reference(const char *golden)
{
    char line[512], file[128], text_name[128], path[512];
    host_state h = { 0 };
    llm_error error;
    unsigned n_ctx, n_windows;
    size_t len = 0, n = 0;
    FILE *in = fopen(golden, "r");
    if (!CHECK(in && fgets(line, sizeof line, in) && sscanf(line, "# %127s %u %u %127[^:]", file, &n_ctx, &n_windows, text_name) == 4))
        return true;
    snprintf(path, sizeof path, "%s/text/%s", LLM_TEST_DATA, text_name);
    char *text = test_read_file(path, &len);
    if (!text) {
        fclose(in);
        return false;
    }
    snprintf(path, sizeof path, "%s/models/%s", LLM_TEST_DATA, file);
    llm_engine *engine = make_engine(&h);
    llm_model *model = load(engine, path, LLM_MODEL_OBSERVE);
    llm_token *tokens = malloc((len + 2) * sizeof *tokens);
    CHECK(llm_tokenizer_encode(llm_model_tokenizer(model), text, len, LLM_ENCODE_ADD_SPECIAL, tokens, len + 2, &n, &error) == LLM_OK);
    for (unsigned w = 0; w < n_windows; w++)
        take_in(model, tokens + (size_t)w * n_ctx, n_ctx, LLM_FOREVER);
    memory m = { 0 };
    CHECK_MSG(write_to(model, &m, &error) == LLM_OK, "%s", error.message);
    lm_catalogue *c = open_written(plain_host(), &m);
    while (fgets(line, sizeof line, in)) {
        char name[128];
        unsigned long rows;
        double wanted[4], all = 0;
        uint64_t n_cols = 0, one = 0, n_matrices = 0;
        CHECK(sscanf(line, "%127s %lu %lf %lf %lf %lf", name, &rows, &wanted[0], &wanted[1], &wanted[2], &wanted[3]) == 6);
        if (strcmp(name, "output.weight") == 0)
            continue;                                       /* tied in this model: the embedding's, which is not written */
        float *sums = numbers(c, name, "in_sum2", &n_cols, &n_matrices), *counts = numbers(c, name, "counts", &one, &n_matrices);
        if (CHECK_MSG(sums && counts && n_matrices == 1 && one == 1, "%s is not there", name)) {
            for (uint64_t k = 0; k < n_cols; k++)
                all += (double)sums[k];
            CHECK_MSG((unsigned long)counts[0] == rows, "%s: %g rows, expected %lu", name, (double)counts[0], rows);
            check_close(name, "all", all, wanted[0]);
            check_close(name, "first", (double)sums[0], wanted[1]);
            check_close(name, "middle", (double)sums[n_cols / 2], wanted[2]);
            check_close(name, "last", (double)sums[n_cols - 1], wanted[3]);
        }
        free(sums);
        free(counts);
    }
    lm_catalogue_free(c);
    free(m.data);
    free(tokens);
    free(text);
    fclose(in);
    llm_model_free(model);
    llm_engine_free(engine);
    CHECK(h.bytes == 0);
    return true;
}

/* ---- without data from elsewhere: the golden models */

enum { N = 60 };

static void test_bits(const char *name, const llm_token *tokens)
{
    char path[512];
    host_state h = { 0 };
    llm_error error;
    snprintf(path, sizeof path, "%s/golden/data/%s.gguf", LLM_TEST_TREE, name);
    llm_engine *engine = make_engine(&h);
    llm_model *plain = load(engine, path, 0), *observed = load(engine, path, LLM_MODEL_OBSERVE);
    double a = take_in(plain, tokens, N, LLM_FOREVER), b = take_in(observed, tokens, N, LLM_FOREVER), c = take_in(observed, tokens, N, 1);
    CHECK_MSG(a == b && a == c, "%s: %.17g, observed %.17g, with budgets %.17g", name, a, b, c);
    memory m = { 0 };
    CHECK(write_to(plain, &m, &error) == LLM_E_STATE && strstr(error.message, "LLM_MODEL_OBSERVE"));
    CHECK_MSG(write_to(observed, &m, &error) == LLM_OK, "%s", error.message);
    free(m.data);
    llm_model_free(observed);
    llm_model_free(plain);
    llm_engine_free(engine);
    CHECK(h.bytes == 0);
}

/* Each row goes to as many experts as are used; what all experts of a layer saw together is what the router saw, as often. */
static void test_experts(const char *path, const llm_token *tokens, unsigned n_used)
{
    host_state h = { 0 };
    llm_error error;
    llm_engine *engine = make_engine(&h);
    llm_model *model = load(engine, path, LLM_MODEL_OBSERVE);
    memory m = { 0 };
    CHECK(write_to(model, &m, &error) == LLM_E_STATE && strstr(error.message, "no product"));
    take_in(model, tokens, N, LLM_FOREVER);
    CHECK(write_to(model, &m, &error) == LLM_OK);
    lm_catalogue *c = open_written(plain_host(), &m);
    uint64_t n_cols = 0, n_router = 0, n_experts = 0, one = 0;
    float *counts = numbers(c, "blk.0.ffn_gate_exps.weight", "counts", &one, &n_experts);
    float *sums = numbers(c, "blk.0.ffn_gate_exps.weight", "in_sum2", &n_cols, &n_experts);
    float *router = numbers(c, "blk.0.ffn_gate_inp.weight", "in_sum2", &n_router, &one);
    if (CHECK(counts && sums && router && n_experts > n_used && n_router == n_cols)) {
        double rows = 0, seen = 0, once = 0;
        for (uint64_t e = 0; e < n_experts; e++) {
            rows += (double)counts[e];
            for (uint64_t k = 0; k < n_cols; k++)
                seen += (double)sums[e * n_cols + k];
        }
        for (uint64_t k = 0; k < n_cols; k++)
            once += (double)router[k];
        CHECK_MSG(rows == (double)(N * n_used), "%g rows at the experts", rows);
        check_close("experts", "all they saw", seen, once * n_used);
    }
    free(counts);
    free(sums);
    free(router);
    lm_catalogue_free(c);

    size_t whole = m.n;
    for (m.fail_after = 1; m.fail_after < whole; m.fail_after += whole / 23 + 1)
        CHECK_MSG(write_to(model, &m, &error) == LLM_E_IO, "%s", error.message);
    m.fail_after = 0;
    h.calls = 0;
    for (long long n = 1; n < 1000; n++) {                  /* each allocation fails once; then the file is as it was */
        long long before = h.bytes;
        h.calls = 0;
        h.fail_at = n;
        llm_status status = write_to(model, &m, &error);
        h.fail_at = 0;
        CHECK_MSG(h.bytes == before, "allocation %lld failed: %lld bytes are left", n, h.bytes - before);
        if (status == LLM_OK)
            break;
        CHECK_MSG(status == LLM_E_MEMORY, "allocation %lld failed: %s", n, error.message);
    }
    CHECK(m.n == whole);
    free(m.data);
    llm_model_free(model);
    llm_engine_free(engine);
    CHECK(h.bytes == 0);
}

static void test_estimate(const char *path)
{
    host_state h = { 0 };
    llm_error error;
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    llm_session_desc session = LLM_INIT(llm_session_desc);
    llm_estimate_info plain = LLM_INIT(llm_estimate_info), observed = LLM_INIT(llm_estimate_info);
    llm_engine *engine = make_engine(&h);
    source.path = path;
    source.path_len = LLM_NUL;
    session.n_ctx = N;
    CHECK(llm_model_estimate(engine, &part, 1, &desc, &session, &plain, &error) == LLM_OK);
    desc.flags = LLM_MODEL_OBSERVE;
    CHECK(llm_model_estimate(engine, &part, 1, &desc, &session, &observed, &error) == LLM_OK);
    CHECK_MSG(observed.model_bytes > plain.model_bytes, "%llu, observed %llu", (unsigned long long)plain.model_bytes, (unsigned long long)observed.model_bytes);
    llm_engine_free(engine);
}

int main(void)
{
    static const char mixtral[] = LLM_TEST_TREE "/golden/data/mixtral.gguf";
    llm_token tokens[N];
    for (int i = 0; i < N; i++)
        tokens[i] = 3 + i * 7 % 40;
    test_bits("llama-untied", tokens);
    test_bits("llama-q4_0", tokens);
    test_bits("mixtral", tokens);
    test_bits("mixtral-split", tokens);
    test_bits("qwen3-untied", tokens);
    test_experts(mixtral, tokens, 2);
    test_estimate(mixtral);
    if (!test_reference(LLM_TEST_TREE "/golden/importance.tsv"))
        fprintf(stderr, "the comparison with transformers is left out: %s is not there\n", LLM_TEST_DATA);
    return TEST_DONE();
}
