/* SPDX-License-Identifier: MIT
 * libllm bench: prefill and decode at depths, for numbers of threads, as shares of the machine's ceilings. Ceilings are taken
 * before and after and the higher of both counts, so that a machine that slows down flatters nobody. Tokens are drawn from a seed:
 * nothing is sampled. */
#include "ceilings.h"
#include "json.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct bench_result {
    bool   decode;
    int    threads, sessions;           /* sessions that go on together, a token each in a step */
    int64_t tokens, depth;
    double rate, least, most;           /* tokens a second, of all sessions: median, slowest, fastest run */
    double work;                        /* of one token: bytes read (decode), operations (prefill) */
    double cpu;                         /* seconds of processors' time that a token cost, of all threads */
} bench_result;

enum { BENCH_MAX_RESULTS = 2 * TOOL_MAX_LIST * TOOL_MAX_LIST * TOOL_MAX_LIST * TOOL_MAX_LIST, BENCH_MOST_SESSIONS = 64 };

typedef struct bench {
    const tool_args *args;
    ceilings before[TOOL_MAX_LIST], best[TOOL_MAX_LIST];
    int      threads[TOOL_MAX_LIST];
    int      tier;
    bench_result *results;
    int      n_results;
    char     name[128];
    uint64_t n_params, weight_bytes, memory_peak;
    double   load_seconds;
    double   token_bytes, token_ops;    /* weights read for a token; operations of the layers' matrices for a token */
    bool     int8;
    uint64_t random;
} bench;

static int bench_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench_say(const bench *b, const char *what)
{
    if (!b->args->quiet)
        fprintf(stderr, "%s\n", what);
}

/* ---- what a token costs, by the file's tensors -------------------------------------------------------------------------- */

static double bench_expert_share(const llm_model *model)
{
    llm_model_info info = LLM_INIT(llm_model_info);
    llm_meta count = LLM_INIT(llm_meta), used = LLM_INIT(llm_meta);
    char key[96];

    if (llm_model_get_info(model, &info, NULL) != LLM_OK)
        return 1;
    snprintf(key, sizeof key, "%.60s.expert_count", info.architecture);
    if (llm_model_meta_find(model, key, LLM_NUL, &count, NULL) != LLM_OK || count.number < 1)
        return 1;
    snprintf(key, sizeof key, "%.60s.expert_used_count", info.architecture);
    if (llm_model_meta_find(model, key, LLM_NUL, &used, NULL) != LLM_OK || used.number < 1)
        return 1;
    return used.number / count.number;
}

static void bench_weigh(bench *b, const llm_model *model)
{
    double experts = bench_expert_share(model), quantized = 0, plain = 0;
    bool tied = true;

    b->token_bytes = b->token_ops = 0;
    for (size_t i = 0; i < llm_model_tensor_count(model); i++) {
        llm_tensor_info t = LLM_INIT(llm_tensor_info);
        if (llm_model_tensor_at(model, i, &t, NULL) == LLM_OK && strcmp(t.name, "output.weight") == 0)
            tied = false;
    }
    for (size_t i = 0; i < llm_model_tensor_count(model); i++) {
        llm_tensor_info t = LLM_INIT(llm_tensor_info);
        double share, values = 1;
        if (llm_model_tensor_at(model, i, &t, NULL) != LLM_OK)
            continue;
        share = strstr(t.name, "_exps.") ? experts : 1;
        for (uint32_t d = 0; d < t.n_dims && d < 4; d++)
            values *= (double)t.dims[d];
        if (strcmp(t.name, "token_embd.weight") != 0 || tied)
            b->token_bytes += share * (double)t.bytes;
        if (strncmp(t.name, "blk.", 4) == 0 && t.n_dims >= 2) {
            b->token_ops += share * 2 * values;
            *(t.type[0] == 'F' || t.type[0] == 'B' ? &plain : &quantized) += share * values;    /* F32, F16, BF16 */
        }
    }
    b->int8 = quantized >= plain;
}

/* ---- one measurement ------------------------------------------------------------------------------------------------------ */

static llm_token bench_token(bench *b, int32_t n_vocab)
{
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return (llm_token)((b->random >> 33) % (uint64_t)n_vocab);
}

static llm_status bench_finish(llm_session *const *sessions, size_t n, llm_error *error)
{
    llm_status status;

    do {
        status = tool_interrupted() ? LLM_E_CANCELLED : llm_session_step(sessions, n, LLM_FOREVER, 0, error);
    } while (status == LLM_MORE);
    if (status == LLM_E_CANCELLED && tool_interrupted()) {
        error->status = LLM_E_CANCELLED;
        error->message[0] = 0;
    }
    return status;
}

/* Appends n tokens of the seed to each session and computes them: at once, or one by one. */
static llm_status bench_feed(bench *b, llm_session *const *sessions, size_t n_sessions, int32_t n_vocab, int64_t n, bool one_by_one, llm_error *error)
{
    llm_token piece[256];
    llm_status status = LLM_OK;

    while (n > 0 && status == LLM_OK) {
        size_t k = one_by_one ? 1 : n < 256 ? (size_t)n : 256;
        for (size_t s = 0; s < n_sessions && status == LLM_OK; s++) {
            for (size_t i = 0; i < k; i++)
                piece[i] = bench_token(b, n_vocab);
            status = llm_session_append(sessions[s], piece, k, 0, error);
        }
        if (one_by_one && status == LLM_OK)
            status = bench_finish(sessions, n_sessions, error);
        n -= (int64_t)k;
    }
    return status == LLM_OK ? bench_finish(sessions, n_sessions, error) : status;
}

/* Back to the depth, with nothing pending. */
static llm_status bench_rewind(llm_session *const *sessions, size_t n, int64_t depth, llm_error *error)
{
    llm_status status = LLM_OK;

    for (size_t s = 0; s < n && status == LLM_OK; s++)
        status = llm_session_rewind(sessions[s], (size_t)depth, error);
    return status == LLM_OK ? bench_finish(sessions, n, error) : status;
}

static llm_status bench_test(bench *b, tool_model *opened, int at, bool decode, int64_t tokens, int64_t depth, int64_t n_sessions, llm_error *error)
{
    enum { MOST = 1000 };
    static double rates[MOST];
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session_info info = LLM_INIT(llm_session_info);
    llm_session *sessions[BENCH_MOST_SESSIONS] = { NULL };
    llm_status status = LLM_OK;
    int32_t n_vocab = llm_tokenizer_n_vocab(llm_model_tokenizer(opened->model));
    size_t n = (size_t)n_sessions;
    int runs = (int)b->args->repetitions, done = 0;
    clock_t cpu = 0;
    int64_t warm = decode ? (tokens < 4 ? tokens : 4) : tokens;
    bench_result *r = &b->results[b->n_results];

    desc.n_ctx = (int32_t)(b->args->n_ctx > depth + tokens ? b->args->n_ctx : depth + tokens + 1);
    desc.state_type = b->args->state_type;
    for (size_t s = 0; s < n && status == LLM_OK; s++)
        status = llm_session_create(opened->model, &desc, &sessions[s], error);
    if (status == LLM_OK)
        tool_watch(sessions[0]);
    if (status == LLM_OK && depth > 0)
        status = bench_feed(b, sessions, n, n_vocab, depth, false, error);
    if (status == LLM_OK)
        status = llm_session_get_info(sessions[0], &info, error);
    if (status == LLM_OK)
        status = bench_feed(b, sessions, n, n_vocab, warm, decode, error);
    while (status == LLM_OK && done < runs) {
        double start;
        status = bench_rewind(sessions, n, depth, error);
        start = tool_seconds();
        cpu -= clock();
        if (status == LLM_OK)
            status = bench_feed(b, sessions, n, n_vocab, tokens, decode, error);
        cpu += clock();
        rates[done++] = (double)(tokens * n_sessions) / (tool_seconds() - start);
    }
    tool_watch(NULL);
    for (size_t s = 0; s < n; s++)
        llm_session_free(sessions[s]);
    if (status != LLM_OK)
        return status;
    qsort(rates, (size_t)runs, sizeof *rates, bench_by_value);
    *r = (bench_result){ decode, b->threads[at], (int)n_sessions, tokens, depth, rates[runs / 2], rates[0], rates[runs - 1],
                         decode ? b->token_bytes / (double)n_sessions + (double)info.state_bytes : b->token_ops,
                         (double)cpu / CLOCKS_PER_SEC / (double)(tokens * n_sessions * runs) };
    b->n_results++;
    return LLM_OK;
}

/* All tests with one number of threads. */
static int bench_threads(bench *b, int at)
{
    const tool_args *args = b->args;
    tool_model opened;
    llm_engine_info engine = LLM_INIT(llm_engine_info);
    llm_model_info model = LLM_INIT(llm_model_info);
    llm_error error;
    llm_status status = LLM_OK;
    char line[160];
    int code = tool_open(args, b->threads[at], 0, &opened);

    if (code == TOOL_OK && !llm_model_tokenizer(opened.model)) {
        fprintf(stderr, "libllm bench: this file has no vocabulary to draw tokens from\n");
        code = TOOL_FAILED;
    }
    if (code == TOOL_OK) {
        bench_weigh(b, opened.model);
        status = llm_model_get_info(opened.model, &model, &error);
        for (int d = 0; d < args->depths.n && status == LLM_OK; d++) {
            for (int p = 0; p < args->prompts.n && status == LLM_OK; p++)
                if (args->prompts.at[p] > 0) {
                    snprintf(line, sizeof line, "prefill %lld at depth %lld, threads %d", (long long)args->prompts.at[p], (long long)args->depths.at[d], b->threads[at]);
                    bench_say(b, line);
                    status = bench_test(b, &opened, at, false, args->prompts.at[p], args->depths.at[d], 1, &error);
                }
            for (int n = 0; n < args->replies.n * args->sessions.n && status == LLM_OK; n++) {
                int64_t reply = args->replies.at[n / args->sessions.n], sessions = args->sessions.at[n % args->sessions.n];
                if (reply == 0)
                    continue;
                snprintf(line, sizeof line, "decode %lld at depth %lld, threads %d, sessions %lld", (long long)reply, (long long)args->depths.at[d], b->threads[at], (long long)sessions);
                bench_say(b, line);
                status = bench_test(b, &opened, at, true, reply, args->depths.at[d], sessions, &error);
            }
        }
        if (status == LLM_OK)
            status = llm_engine_get_info(opened.engine, &engine, &error);
        if (status != LLM_OK) {
            code = tool_fail(args, "cannot measure", &error);
        } else {
            snprintf(b->name, sizeof b->name, "%.*s", (int)model.name_len, model.name ? model.name : "");
            b->n_params = model.n_params;
            b->weight_bytes = model.weight_bytes;
            b->load_seconds = opened.load_seconds;
            b->memory_peak = engine.memory_peak > b->memory_peak ? engine.memory_peak : b->memory_peak;
        }
    }
    tool_close(&opened);
    return code;
}

/* What the defaults come to, without a model. */
static int bench_resolve(bench *b)
{
    for (int i = 0; i < b->args->threads.n; i++) {
        llm_engine_desc desc = LLM_INIT(llm_engine_desc);
        llm_engine_info info = LLM_INIT(llm_engine_info);
        llm_engine *engine = NULL;
        llm_error error;
        desc.n_threads = (int32_t)b->args->threads.at[i];
        desc.cpu_tier = tool_cpu_tier(b->args);
        if (llm_engine_create(LLM_ABI, &desc, &engine, &error) != LLM_OK || llm_engine_get_info(engine, &info, &error) != LLM_OK) {
            llm_engine_free(engine);
            return tool_fail(b->args, "cannot start", &error);
        }
        b->threads[i] = info.n_threads;
        b->tier = info.cpu_tier;
        llm_engine_free(engine);
    }
    return TOOL_OK;
}

static ceilings bench_ceilings(const bench *b, int threads)
{
    static const ceilings none = { 0, 0, 0, "", "" };
    int form = b->tier == LLM_CPU_AVX512 || b->tier == LLM_CPU_AMX ? CEILINGS_AVX512 : b->tier == LLM_CPU_AVX2 ? CEILINGS_AVX2 : CEILINGS_PLAIN;
    return b->args->no_ceilings || tool_wants_gpus(b->args) || tool_interrupted() ? none : ceilings_measure(threads, form);
}

/* ---- what is told ----------------------------------------------------------------------------------------------------- */

/* The ceiling of a result and what it is called; 0: not known. */
static double bench_ceiling(const bench *b, const bench_result *r, const char **name)
{
    const ceilings *c = &b->best[0];

    for (int i = 0; i < b->args->threads.n; i++)
        if (b->threads[i] == r->threads)
            c = &b->best[i];
    *name = r->decode ? "read" : b->int8 ? "int8" : "f32";
    return r->decode ? c->read_bytes : b->int8 ? c->int8_ops : c->f32_ops;
}

static void bench_print(const bench *b)
{
    char weights[32], memory[32];

    tool_bytes(b->weight_bytes, weights);
    tool_bytes(b->memory_peak, memory);
    json_print_safe(stdout, b->name, strlen(b->name));
    if (b->args->shape)
        printf(", %s", b->args->type);
    printf(": %.1f million parameters, %s of weights, loaded in %.2f s, %s of memory, %s kernels\n\n", (double)b->n_params / 1e6, weights,
           b->load_seconds, memory, tool_tier_name(b->tier));
    printf("%-8s %7s %7s %8s %8s %12s %12s %12s %10s\n", "test", "tokens", "depth", "threads", "sessions", "tokens/s", "slowest", "fastest", "of ceiling");
    for (int i = 0; i < b->n_results; i++) {
        const bench_result *r = &b->results[i];
        const char *name;
        double ceiling = bench_ceiling(b, r, &name);
        printf("%-8s %7lld %7lld %8d %8d %12.2f %12.2f %12.2f", r->decode ? "decode" : "prefill", (long long)r->tokens, (long long)r->depth, r->threads,
               r->sessions, r->rate, r->least, r->most);
        if (ceiling > 0)
            printf(" %5.1f %% %s\n", 100 * r->rate * r->work / ceiling, name);
        else
            printf(" %10s\n", "-");
    }
    if (b->args->no_ceilings)
        return;
    putchar('\n');
    for (int i = 0; i < b->args->threads.n; i++) {
        const ceilings *c = &b->best[i];
        printf("ceilings, %d thread%s: read %.1f GB/s", b->threads[i], b->threads[i] == 1 ? "" : "s", c->read_bytes / 1e9);
        if (c->int8_ops > 0)
            printf(", int8 %.0f GOPS (%s)", c->int8_ops / 1e9, c->int8_form);
        if (c->f32_ops > 0)
            printf(", f32 %.0f GFLOPS (%s)", c->f32_ops / 1e9, c->f32_form);
        putchar('\n');
    }
    puts("decode: weights and state read for a token, against read. prefill: multiply-adds of the layers' matrices, against int8 or f32.");
}

static void bench_json(const bench *b)
{
    json j = { stdout, 0, true };

    json_open(&j, NULL, '{');
    json_open(&j, "model", '{');
    json_text(&j, "name", b->name);
    json_text(&j, "source", b->args->model ? b->args->model : b->args->shape);
    if (b->args->shape)
        json_text(&j, "type", b->args->type);
    json_uint(&j, "n_params", b->n_params);
    json_uint(&j, "weight_bytes", b->weight_bytes);
    json_close(&j, '}');
    json_text(&j, "cpu_tier", tool_tier_name(b->tier));
    json_number(&j, "load_seconds", b->load_seconds);
    json_uint(&j, "memory_peak_bytes", b->memory_peak);
    json_open(&j, "ceilings", '[');
    for (int i = 0; i < b->args->threads.n && !b->args->no_ceilings; i++) {
        const ceilings *c = &b->best[i];
        json_open(&j, NULL, '{');
        json_int(&j, "threads", b->threads[i]);
        json_number(&j, "read_bytes_per_second", c->read_bytes);
        json_number(&j, "int8_ops_per_second", c->int8_ops);
        json_text(&j, "int8_form", c->int8_form);
        json_number(&j, "f32_ops_per_second", c->f32_ops);
        json_text(&j, "f32_form", c->f32_form);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_open(&j, "results", '[');
    for (int i = 0; i < b->n_results; i++) {
        const bench_result *r = &b->results[i];
        const char *name;
        double ceiling = bench_ceiling(b, r, &name);
        json_open(&j, NULL, '{');
        json_text(&j, "test", r->decode ? "decode" : "prefill");
        json_int(&j, "tokens", r->tokens);
        json_int(&j, "depth", r->depth);
        json_int(&j, "threads", r->threads);
        json_int(&j, "sessions", r->sessions);
        json_number(&j, "tokens_per_second", r->rate);
        json_number(&j, "slowest", r->least);
        json_number(&j, "fastest", r->most);
        json_number(&j, "work_per_token", r->work);
        json_number(&j, "cpu_seconds_per_token", r->cpu);
        json_text(&j, "ceiling", name);
        json_number(&j, "share_of_ceiling", ceiling > 0 ? r->rate * r->work / ceiling : 0);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
}

/* ---- --hash: the bits of a short run -------------------------------------------------------------------------------------- */

static int bench_hash(bench *b)
{
    enum { PROMPT = 300, REPLY = 8 };   /* past one chunk of attention */
    tool_model opened;
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *session = NULL;
    llm_error error;
    llm_status status = LLM_OK;
    uint64_t hash = 0xcbf29ce484222325u;                /* FNV-1a, 64 bits */
    int code = tool_open(b->args, (int32_t)b->args->threads.at[0], 0, &opened);

    if (code == TOOL_OK) {
        int32_t n_vocab = llm_tokenizer_n_vocab(llm_model_tokenizer(opened.model));
        desc.n_ctx = PROMPT + REPLY + 1;
        desc.state_type = b->args->state_type;
        status = llm_session_create(opened.model, &desc, &session, &error);
        if (status == LLM_OK)
            status = bench_feed(b, &session, 1, n_vocab, PROMPT, false, &error);
        for (int i = 0; i <= REPLY && status == LLM_OK; i++) {
            const float *logits;
            llm_token_score best;
            size_t n = 0, n_best = 0;
            status = llm_session_logits(session, &logits, &n, &error);
            for (size_t k = 0; status == LLM_OK && k < n; k++) {
                uint32_t bits;
                memcpy(&bits, &logits[k], sizeof bits);
                for (int s = 0; s < 32; s += 8)
                    hash = (hash ^ ((bits >> s) & 0xff)) * 0x100000001b3u;
            }
            if (status == LLM_OK)
                status = llm_session_best(session, &best, 1, &n_best, &error);
            if (status == LLM_OK && i < REPLY)
                status = llm_session_append(session, &best.token, 1, 0, &error);
            if (status == LLM_OK && i < REPLY)
                status = bench_finish(&session, 1, &error);
        }
        if (status == LLM_OK)
            printf("%016llx\n", (unsigned long long)hash);
        else
            code = tool_fail(b->args, "cannot compute", &error);
    }
    llm_session_free(session);
    tool_close(&opened);
    return code;
}

int bench_main(const tool_args *args)
{
    bench b = { .args = args, .random = args->seed + 1 };
    int code = TOOL_OK;

    tool_catch_interrupts();
    if (args->hash)
        return bench_hash(&b);
    b.results = calloc(BENCH_MAX_RESULTS, sizeof *b.results);
    if (!b.results) {
        fprintf(stderr, "libllm bench: no memory\n");
        return TOOL_FAILED;
    }
    code = bench_resolve(&b);
    for (int i = 0; i < args->threads.n && code == TOOL_OK; i++) {
        if (!args->no_ceilings && !tool_wants_gpus(args))
            bench_say(&b, "ceilings of the machine, before");
        b.before[i] = bench_ceilings(&b, b.threads[i]);
        code = bench_threads(&b, i);
        if (code == TOOL_OK && !args->no_ceilings)
            bench_say(&b, "ceilings of the machine, after");
        if (code == TOOL_OK)
            b.best[i] = ceilings_higher(b.before[i], bench_ceilings(&b, b.threads[i]));
    }
    if (code == TOOL_OK && args->json)
        bench_json(&b);
    else if (code == TOOL_OK)
        bench_print(&b);
    free(b.results);
    return code;
}
