/* SPDX-License-Identifier: MIT
 * A process and its libraries: children of fork(), two copies of the library side by side, one that is opened and closed a thousand times.
 * TEST_LIBRARY is the shared library as a file. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "tiny.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const tiny_shape shape = { 2, 32, 64, 4, 2, 256, 400, 31, 0 };
static tiny_file file;
static llm_token prompt[60];

/* ---- fork() -------------------------------------------------------------------------------------------------------------------- */

typedef struct family {
    llm_engine *engine;
    llm_model *model;
    llm_session *session, *busy;            /* busy: another thread is in it */
    llm_sampler *sampler;
    llm_tokenizer *tokenizer;
    llm_grammar *grammar;
    llm_chat *chat;
    uint64_t hash;
    _Atomic int over;
} family;

static void *family_step(void *arg)
{
    family *f = arg;
    llm_error error;
    while (!atomic_load(&f->over)) {
        CHECK(llm_session_sync(f->busy, prompt, 0, 0, &error) == LLM_OK && llm_session_sync(f->busy, prompt, 60, 0, &error) == LLM_OK);
        CHECK(tiny_drain(f->busy, LLM_FOREVER, &error) == LLM_OK);
    }
    return NULL;
}

static uint64_t fresh_hash(void)
{
    llm_engine *engine = NULL;
    llm_model *model = NULL;
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_error error;
    desc.n_threads = 2;
    tiny_open(&shape, &desc, &engine, &model);
    llm_session *s = tiny_session(model, 0, 0);
    CHECK(llm_session_append(s, prompt, 60, 0, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
    uint64_t hash = tiny_logits_hash(s);
    llm_session_free(s);
    llm_model_free(model);
    llm_engine_free(engine);
    return hash;
}

/* Every call that would make, change or compute something. */
static void child_asks(family *f)
{
    llm_error error;
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    llm_sink sink = LLM_INIT(llm_sink);
    llm_estimate_info estimate = LLM_INIT(llm_estimate_info);
    llm_saved_info saved = LLM_INIT(llm_saved_info);
    llm_session_info info = LLM_INIT(llm_session_info);
    llm_model_info model_info = LLM_INIT(llm_model_info);
    llm_device_info device = LLM_INIT(llm_device_info);
    llm_chat_event event = LLM_INIT(llm_chat_event);
    llm_model *model = NULL;
    llm_session *s = NULL;
    llm_sampler *sampler = NULL;
    llm_grammar *grammar = NULL;
    llm_tokenizer *tokenizer = NULL;
    llm_chat *chat = NULL;
    const llm_token *tokens;
    const float *values;
    llm_token_score best;
    char text[300];
    size_t n;
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file.data;
    source.data_len = file.size;
    sink.path = "never-written";
    sink.path_len = LLM_NUL;
#define GONE(call) CHECK_MSG((call) == LLM_E_STATE && strstr(error.message, "fork"), "%s: %s", #call, error.message)
    GONE(llm_model_load_from(f->engine, &part, 1, NULL, &model, &error));
    GONE(llm_tokenizer_load(f->engine, &source, &tokenizer, &error));
    GONE(llm_model_estimate(f->engine, &part, 1, NULL, NULL, &estimate, &error));
    GONE(llm_model_quantize(f->engine, &part, 1, &sink, NULL, NULL, &error));
    GONE(llm_model_write_importance(f->model, &sink, NULL, &error));
    GONE(llm_model_plan(f->model, NULL, 0, &n, &error));
    GONE(llm_engine_trim(f->engine, 1, 0, NULL, &error));
    GONE(llm_engine_device_info(f->engine, 0, &device, &error));
    GONE(llm_engine_device_test(f->engine, 1, &error));
    GONE(llm_engine_device_report(f->engine, 1, NULL, 0, &n, &error));
    GONE(llm_engine_device_cache(f->engine, 1, NULL, 0, &n, &error));
    GONE(llm_engine_device_set_cache(f->engine, 1, "x", 1, &error));
    GONE(llm_session_create(f->model, NULL, &s, &error));
    GONE(llm_sampler_create(llm_model_tokenizer(f->model), NULL, &sampler, &error));
    GONE(llm_grammar_create(llm_model_tokenizer(f->model), LLM_GRAMMAR_REGEX, 0, "a", LLM_NUL, &grammar, &error));
    GONE(llm_chat_create(f->model, NULL, &chat, &error));
    GONE(llm_saved_get_info(f->model, &source, &saved, &error));
    GONE(llm_saved_note(f->model, &source, NULL, 0, &n, &error));
    GONE(llm_chat_add(f->chat, "user", LLM_NUL, "a", 1, &error));
    GONE(llm_chat_add_json(f->chat, "{}", 2, &error));
    GONE(llm_chat_rewind(f->chat, 0, &error));
    GONE(llm_chat_render(f->chat, 0, NULL, 0, &n, &error));
    GONE(llm_chat_encode(f->chat, 0, NULL, 0, &n, &error));
    GONE(llm_chat_read(f->chat, f->session, &event, &error));
    GONE(llm_chat_add_reply(f->chat, &error));
    GONE(llm_session_sync_chat(f->session, f->chat, 0, &error));
    for (int i = 0; i < 2; i++) {           /* one that nobody was in, one that somebody is in for ever */
        llm_session *t = i ? f->busy : f->session;
        GONE(llm_session_append(t, prompt, 1, 0, &error));
        GONE(llm_session_append_text(t, "a", 1, 0, &error));
        GONE(llm_session_sync(t, prompt, 1, 0, &error));
        GONE(llm_session_rewind(t, 0, &error));
        GONE(llm_session_generate(t, NULL, &error));
        GONE(llm_session_step(&t, 1, LLM_FOREVER, 0, &error));
        GONE(llm_session_fork(t, &s, &error));
        GONE(llm_session_save_to(t, &sink, NULL, &error));
        GONE(llm_session_restore_from(t, &source, 0, &error));
        GONE(llm_session_park(t, &error));
        GONE(llm_session_tokens(t, &tokens, &n, &error));
        GONE(llm_session_logits(t, &values, &n, &error));
        GONE(llm_session_scores(t, &values, &n, &error));
        GONE(llm_session_best(t, &best, 1, &n, &error));
        GONE(llm_session_watch_scores(t, NULL, NULL, &error));
        GONE(llm_session_get_info(t, &info, &error));
        CHECK(llm_session_read_text(t, text, sizeof text) == 0);
        llm_session_cancel(t);
    }
    /* what only tells */
    CHECK(llm_session_n_tokens(f->session) == 60 && llm_session_state(f->session) == LLM_STATE_READY);
    CHECK(llm_model_get_info(f->model, &model_info, &error) == LLM_OK && model_info.n_vocab == 400);
    CHECK(llm_tokenizer_decode(f->tokenizer, prompt, 5, LLM_DECODE_SHOW_SPECIAL, text, sizeof text, &n, &error) == LLM_OK);
    CHECK(!model && !s && !sampler && !grammar && !tokenizer && !chat);
    llm_engine_free(f->engine);             /* nothing, and nothing hangs */
    llm_session_free(f->session);
    llm_session_free(f->busy);
    llm_chat_free(f->chat);
    llm_sampler_free(f->sampler);
    llm_grammar_free(f->grammar);
    llm_model_free(f->model);
    llm_tokenizer_free(f->tokenizer);
    CHECK(fresh_hash() == f->hash);         /* an engine of one's own */
}

static void test_fork(void)
{
    llm_error error;
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_source source = LLM_INIT(llm_source);
    family f = { .hash = fresh_hash() };
    pthread_t thread;
    desc.n_threads = 3;
    tiny_open(&shape, &desc, &f.engine, &f.model);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file.data;
    source.data_len = file.size;
    f.session = tiny_session(f.model, 0, 0);
    f.busy = tiny_session(f.model, 0, 0);
    CHECK(llm_session_append(f.session, prompt, 60, 0, &error) == LLM_OK && tiny_drain(f.session, LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_tokenizer_load(f.engine, &source, &f.tokenizer, &error) == LLM_OK && llm_sampler_create(f.tokenizer, NULL, &f.sampler, &error) == LLM_OK &&
          llm_grammar_create(f.tokenizer, LLM_GRAMMAR_REGEX, 0, "a", LLM_NUL, &f.grammar, &error) == LLM_OK && llm_chat_create(f.model, NULL, &f.chat, &error) == LLM_OK);
    int others = !SANITIZED && !TEST_EMULATED;             /* else the parent has no other thread in a call: sanitizers' own locks do not survive it */
    if (others)
        CHECK(pthread_create(&thread, NULL, family_step, &f) == 0);
    for (int i = 0; i < (others ? 30 : 2); i++) {
        int status = 0;
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            child_asks(&f);
            _exit(test_failures ? 1 : 0);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        if (!CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %d: status %x", i, (unsigned)status))
            break;
    }
    atomic_store(&f.over, 1);
    if (others)
        pthread_join(thread, NULL);
    CHECK(tiny_logits_hash(f.session) == f.hash);           /* the parent's is as it was */
    llm_engine_free(f.engine);
    llm_session_free(f.session);
    llm_session_free(f.busy);
    llm_chat_free(f.chat);
    llm_sampler_free(f.sampler);
    llm_grammar_free(f.grammar);
    llm_model_free(f.model);
    llm_tokenizer_free(f.tokenizer);
}

/* ---- copies of the library ------------------------------------------------------------------------------------------------------ */

#define COPY_FUNCTIONS(X)                                                                                                                        \
    X(llm_engine_create) X(llm_engine_free) X(llm_model_load_from) X(llm_model_free) X(llm_session_create) X(llm_session_free) X(llm_session_append) \
    X(llm_session_step) X(llm_session_logits)
typedef struct copy {
    void *handle;
#define COPY_FIELD(name) __typeof__(&name) name;
    COPY_FUNCTIONS(COPY_FIELD)
#undef COPY_FIELD
    uint64_t hash;
    int n_lives;
} copy;

static int copy_open(copy *c, const char *path)
{
    c->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!CHECK_MSG(c->handle, "%s", dlerror()))
        return 0;
#define COPY_FIND(name)                         \
    void *name##_ = dlsym(c->handle, #name);    \
    memcpy(&c->name, &name##_, sizeof name##_);
    COPY_FUNCTIONS(COPY_FIND)
#undef COPY_FIND
    return 1;
}

/* A short life with a copy's own functions. */
static void *copy_live(void *arg)
{
    copy *c = arg;
    for (int i = 0; i < c->n_lives; i++) {
        llm_error error;
        llm_engine_desc desc = LLM_INIT(llm_engine_desc);
        llm_source source = LLM_INIT(llm_source);
        const llm_source *part = &source;
        llm_engine *engine = NULL;
        llm_model *model = NULL;
        llm_session *s = NULL;
        const float *logits = NULL;
        size_t n = 0;
        llm_status status = LLM_MORE;
        desc.n_threads = 2;
        source.kind = LLM_SOURCE_BUFFER;
        source.data = file.data;
        source.data_len = file.size;
        CHECK(c->llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK && c->llm_model_load_from(engine, &part, 1, NULL, &model, &error) == LLM_OK &&
              c->llm_session_create(model, NULL, &s, &error) == LLM_OK && c->llm_session_append(s, prompt, 60, 0, &error) == LLM_OK);
        while (status == LLM_MORE)
            status = c->llm_session_step(&s, 1, LLM_FOREVER, 0, &error);
        if (CHECK(status == LLM_OK && c->llm_session_logits(s, &logits, &n, &error) == LLM_OK))
            c->hash = tiny_hash(logits, n * sizeof *logits, 0xcbf29ce484222325u);
        c->llm_session_free(s);
        c->llm_model_free(model);
        c->llm_engine_free(engine);
    }
    return NULL;
}

static void copy_file(const char *from, const char *to)
{
    size_t n;
    char *bytes = test_read_file(from, &n);
    FILE *out = fopen(to, "wb");
    CHECK(bytes && out && fwrite(bytes, 1, n, out) == n && fclose(out) == 0);
    free(bytes);
}

static void test_copies(void)
{
    char folder[] = "/tmp/llm-copies-XXXXXX", path[2][64];
    copy c[2];
    pthread_t thread[2];
    uint64_t want = fresh_hash();
    if (!CHECK(mkdtemp(folder)))
        return;
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/copy-%d.so", folder, i);
        copy_file(TEST_LIBRARY, path[i]);
        c[i] = (copy){ .n_lives = TEST_EMULATED ? 2 : 20 };
        if (!copy_open(&c[i], path[i]))
            return;
    }
    CHECK(c[0].handle != c[1].handle && c[0].llm_session_step != c[1].llm_session_step);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&thread[i], NULL, copy_live, &c[i]) == 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        CHECK(c[i].hash == want);
    }
    CHECK(dlclose(c[0].handle) == 0);                       /* the other one lives on */
    copy_live(&c[1]);
    CHECK(c[1].hash == want && dlclose(c[1].handle) == 0);
    unlink(path[1]);

    /* a thousand times, with an engine and its threads in it */
    long settled = 0, now = 0;
    enum { CYCLES = TEST_EMULATED ? 20 : SANITIZED ? 50 : 1000 };
    for (int i = 1; i <= CYCLES; i++) {
        copy one = { .n_lives = 1 };
        if (!copy_open(&one, path[0]))
            break;
        copy_live(&one);
        CHECK(one.hash == want && dlclose(one.handle) == 0);
        FILE *statm = i == CYCLES / 5 || i == CYCLES ? fopen("/proc/self/statm", "r") : NULL;
        if (statm) {
            CHECK(fscanf(statm, "%*d %ld", &now) == 1);
            fclose(statm);
            settled = settled ? settled : now;
        }
    }
    printf("%d times opened and closed: %ld pages, %ld after the first fifth\n", CYCLES, now, settled);
    if (!SANITIZED)
        CHECK_MSG(now <= settled + 64, "%ld pages have become %ld", settled, now);
    unlink(path[0]);
    CHECK(rmdir(folder) == 0);
}

int main(void)
{
    file = tiny_make(&shape);
    tiny_tokens(prompt, 60, shape.n_vocab, 3);
    test_fork();
    test_copies();
    free(file.data);
    return TEST_DONE();
}
