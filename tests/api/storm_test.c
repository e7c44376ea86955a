/* SPDX-License-Identifier: MIT
 * Eight threads on sixteen sessions of one engine do whatever comes to their mind: create, put in, step alone and with others, generate, fork, save, restore,
 * cancel, park, trim, load a model beside it all, free. Now and then a thread takes a session for itself and looks whether its logits
 * have the bits that they have in peace. Calls on a session that another thread is in are made too, and answered with BUSY.
 *
 *     test_api_storm             a few seconds: for ctest, the sanitizers, ThreadSanitizer
 *     test_api_storm MINUTES     as long as wanted. Every minute all rest for a moment: what is held then is compared with what was held after
 *                                five minutes, and a fixed piece of work is timed. A line a minute, a verdict at the end. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "tiny.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

enum { SLOTS = 16, WORKERS = 8, PROMPTS = 6, SAMPLERS = 3, STATE_TYPES = 3, N_CTX = 192 };
enum { SHORT_OPS = TEST_EMULATED ? 40 : 400 };             /* of each worker */
static const tiny_shape shape = { 2, 32, 64, 4, 2, 256, 400, 21, 0 };

typedef struct slot { pthread_rwlock_t lock; llm_session *session; } slot;      /* to free it or put another in its place: lock it for writing */
typedef struct prompt { llm_token tokens[80]; size_t n; uint64_t hash[STATE_TYPES]; } prompt;

static slot slots[SLOTS];
static prompt prompts[PROMPTS];
static tiny_file file;
static llm_engine *engine;
static llm_model *model;
static llm_sampler *samplers[SAMPLERS];
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static tiny_file kept;                                      /* the last saved session */
static _Atomic long long n_calls, n_busy, n_checked;
static pthread_rwlock_t parks = PTHREAD_RWLOCK_INITIALIZER; /* for writing: sessions that wait may be parked, whosever they are */
static pthread_barrier_t rest;                              /* the workers and main */
static _Atomic int resting, over;

typedef struct worker { pthread_t thread; uint64_t random; long long n_left; } worker;

static uint32_t below(worker *w, uint32_t n)
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w->random >> 33) % n;
}

/* Statuses that are no surprise when others are at the same session; anything else is told. */
static llm_status may(llm_status status, const char *what, const llm_error *error)
{
    static const llm_status fine[] = { LLM_OK, LLM_MORE, LLM_E_BUSY, LLM_E_CONTEXT_FULL, LLM_E_STATE, LLM_E_INVALID };
    atomic_fetch_add(&n_calls, 1);
    atomic_fetch_add(&n_busy, status == LLM_E_BUSY);
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        if (status == fine[i])
            return status;
    CHECK_MSG(0, "%s: %s: %s", what, llm_status_name(status), error->message);
    return status;
}
#define MAY(call) may((call), #call, &error)

static llm_status storm_write(void *user, const void *data, size_t n) { return tiny_put(user, data, n), LLM_OK; }

/* Until nothing is left, or nothing gets on: all arenas hold passes of others, which only their steps can end. */
static llm_status drain(llm_session *s, int64_t budget_us, llm_error *error)
{
    llm_status status = LLM_MORE;
    for (int idle = 0; status == LLM_MORE && idle < 30; idle++) {
        size_t left = llm_session_n_pending(s);
        status = llm_session_step(&s, 1, budget_us, 0, error);
        idle = llm_session_n_pending(s) < left ? 0 : idle;
    }
    return status;
}

/* The session is the caller's alone. Its logits after a known prompt are those of peace. */
static void check_bits(worker *w, llm_session *s)
{
    const prompt *p = &prompts[below(w, PROMPTS)];
    llm_session_info info = LLM_INIT(llm_session_info);
    llm_error error;
    llm_status status;
    pthread_rwlock_rdlock(&parks);
    for (int tries = 0;; tries++) {                         /* a cancel from before may still be reported */
        status = llm_session_sync(s, p->tokens, p->n, 0, &error);
        if (CHECK_MSG(status == LLM_OK, "sync: %s", error.message))
            status = drain(s, below(w, 2) ? 300 : LLM_FOREVER, &error);
        if (status != LLM_OK || llm_session_state(s) != LLM_END_CANCELLED || tries == 3)
            break;
    }
    if (status != LLM_MORE && CHECK_MSG(status == LLM_OK && llm_session_get_info(s, &info, &error) == LLM_OK, "%s", error.message)) {
        CHECK_MSG(tiny_logits_hash(s) == p->hash[info.state_type], "prompt %d, state type %d: other bits than in peace", (int)(p - prompts), info.state_type);
        atomic_fetch_add(&n_checked, 1);
    }
    pthread_rwlock_unlock(&parks);
}

static void do_create(worker *w, slot *at)
{
    llm_error error;
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    const prompt *p = &prompts[below(w, PROMPTS)];
    desc.n_ctx = N_CTX;
    desc.state_type = (int32_t)below(w, STATE_TYPES);
    desc.when_full = (int32_t)below(w, 2);
    desc.flags = below(w, 4) == 0 ? LLM_SESSION_RESERVE : 0;
    if (!at->session && MAY(llm_session_create(model, &desc, &at->session, &error)) == LLM_OK)
        MAY(llm_session_append(at->session, p->tokens, p->n, below(w, 2) ? LLM_APPEND_SCORE : 0, &error));
}

static void do_fork(worker *w, llm_session *s)
{
    slot *to = &slots[below(w, SLOTS)];
    llm_error error;
    if (pthread_rwlock_trywrlock(&to->lock) != 0)
        return;
    if (!to->session)
        MAY(llm_session_fork(s, &to->session, &error));
    pthread_rwlock_unlock(&to->lock);
}

static void do_step(worker *w, llm_session *s)
{
    static const int64_t budgets[] = { 0, 1, 100, 1000, LLM_FOREVER };
    llm_session *some[3] = { s };
    slot *held[3] = { NULL };
    size_t n = 1;
    llm_error error;
    while (n < 3 && below(w, 3) == 0) {
        slot *other = &slots[below(w, SLOTS)];
        if (pthread_rwlock_tryrdlock(&other->lock) != 0)
            break;
        held[n - 1] = other;
        if (!other->session || other->session == s || (n == 2 && other->session == some[1])) {
            pthread_rwlock_unlock(&other->lock);
            break;
        }
        some[n++] = other->session;
    }
    MAY(llm_session_step(some, n, budgets[below(w, 5)], below(w, 8) == 0 ? LLM_STEP_NO_WAIT : 0, &error));
    while (--n > 0)
        pthread_rwlock_unlock(&held[n - 1]->lock);
}

static void do_generate(worker *w, llm_session *s)
{
    llm_error error;
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_str stop = { "END", 3 };
    reply.seed = below(w, 1000);
    reply.max_tokens = 1 + (int32_t)below(w, 24);
    reply.flags = below(w, 2) ? LLM_GENERATE_IGNORE_END : LLM_GENERATE_SCORE;
    reply.sampler = below(w, 4) == 0 ? NULL : samplers[below(w, SAMPLERS)];
    reply.stops = &stop;
    reply.n_stops = below(w, 2);
    MAY(llm_session_generate(s, &reply, &error));
}

static void do_save(worker *w, llm_session *s)
{
    llm_error error;
    llm_save_desc desc = LLM_INIT(llm_save_desc);
    llm_writer writer = LLM_INIT(llm_writer);
    llm_sink sink = LLM_INIT(llm_sink);
    tiny_file out = { 0 };
    desc.flags = below(w, 3) == 0 ? LLM_SAVE_TOKENS_ONLY : 0;
    writer.user = &out;
    writer.write = storm_write;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    if (MAY(llm_session_save_to(s, &sink, &desc, &error)) == LLM_OK) {
        pthread_mutex_lock(&kept_lock);
        tiny_file old = kept;
        kept = out;
        pthread_mutex_unlock(&kept_lock);
        out = old;
    }
    free(out.data);
}

static void do_restore(llm_session *s)
{
    llm_error error;
    llm_source source = LLM_INIT(llm_source);
    tiny_file copy = { 0 };
    pthread_mutex_lock(&kept_lock);
    if (kept.size)
        tiny_put(&copy, kept.data, kept.size);
    pthread_mutex_unlock(&kept_lock);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = copy.data;
    source.data_len = copy.size;
    if (copy.size)
        MAY(llm_session_restore_from(s, &source, 0, &error));
    free(copy.data);
}

static void do_look(worker *w, llm_session *s)
{
    llm_error error;
    llm_session_info info = LLM_INIT(llm_session_info);
    llm_engine_info engine_info = LLM_INIT(llm_engine_info);
    llm_token_score best[2];
    char text[64];
    size_t n;
    (void)w;
    MAY(llm_session_get_info(s, &info, &error));
    MAY(llm_session_best(s, best, 2, &n, &error));
    MAY(llm_engine_get_info(engine, &engine_info, &error));
    llm_session_read_text(s, text, sizeof text);
    CHECK(llm_session_n_tokens(s) <= N_CTX && llm_session_state(s) >= 0);
}

static void do_trim(worker *w)
{
    llm_error error;
    uint32_t flags = below(w, 2) && pthread_rwlock_trywrlock(&parks) == 0 ? LLM_TRIM_PARK : 0;
    MAY(llm_engine_trim(engine, below(w, 2) ? UINT64_MAX : 10000, flags, NULL, &error));
    if (flags)
        pthread_rwlock_unlock(&parks);
}

static void do_model(worker *w)
{
    llm_error error;
    llm_model *own = NULL;
    llm_session *s = NULL;
    if (MAY(tiny_load(engine, &file, &own, &error)) == LLM_OK && MAY(llm_session_create(own, NULL, &s, &error)) == LLM_OK)
        check_bits(w, s);
    llm_model_free(own);
    llm_session_free(s);
}

/* One thing, with a session that is there (many may be in it) or a slot of one's own. */
static void do_something(worker *w)
{
    llm_error error;
    slot *at = &slots[below(w, SLOTS)];
    uint32_t what = below(w, 100);
    if (what < 25) {
        if (pthread_rwlock_trywrlock(&at->lock) != 0)
            return;
        if (!at->session)
            do_create(w, at);
        else if (what < 8)
            llm_session_free(at->session), at->session = NULL;
        else
            check_bits(w, at->session);
    } else {
        llm_token more[5] = { 4, 7, (llm_token)below(w, 300), 9, 11 };
        if (pthread_rwlock_tryrdlock(&at->lock) != 0)
            return;
        llm_session *s = at->session;
        if (what == 99)
            do_trim(w);
        else if (what == 98)
            do_model(w);
        else if (!s)
            ;
        else if (what < 60)
            do_step(w, s);
        else if (what < 70)
            do_generate(w, s);
        else if (what < 75)
            MAY(llm_session_append(s, more, 1 + below(w, 5), 0, &error));
        else if (what < 78)
            MAY(llm_session_rewind(s, below(w, (uint32_t)llm_session_n_tokens(s) + 1), &error));
        else if (what < 82)
            do_fork(w, s);
        else if (what < 86)
            do_save(w, s);
        else if (what < 89)
            do_restore(s);
        else if (what < 92)
            llm_session_cancel(s);
        else if (what < 94)
            MAY(llm_session_park(s, &error));
        else
            do_look(w, s);
    }
    pthread_rwlock_unlock(&at->lock);
}

static void *worker_run(void *arg)
{
    worker *w = arg;
    while (!atomic_load(&over)) {
        if (w->n_left == 0 || atomic_load(&resting)) {
            pthread_barrier_wait(&rest);                    /* all have stopped */
            pthread_barrier_wait(&rest);                    /* all may go on */
            continue;
        }
        w->n_left -= w->n_left > 0;
        do_something(w);
    }
    return NULL;
}

/* ---- while all rest -------------------------------------------------------------------------------------------------------- */

typedef struct state { uint64_t held; long rss; int threads, files; double work_ms; } state;

static int count(const char *folder)
{
    int n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The same piece of work, in the processor's time: what other programs do counts for less. */
static double work(int n)
{
    llm_error error;
    double best = 1e30;
    for (int i = 0; i < n; i++) {
        llm_session *s = tiny_session(model, N_CTX, 0);
        llm_generate_desc reply = LLM_INIT(llm_generate_desc);
        reply.max_tokens = 100;
        reply.flags = LLM_GENERATE_IGNORE_END;
        double begin = cpu_ms();
        for (int k = 0; k < 10; k++)
            CHECK(llm_session_sync(s, prompts[k % PROMPTS].tokens, prompts[k % PROMPTS].n, 0, &error) == LLM_OK && llm_session_generate(s, &reply, &error) == LLM_OK &&
                  tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
        double ms = cpu_ms() - begin;
        best = ms < best ? ms : best;
        llm_session_free(s);
    }
    return best;
}

static state take_stock(int n_work)
{
    llm_error error;
    llm_engine_info info = LLM_INIT(llm_engine_info);
    state now = { 0 };
    for (int i = 0; i < SLOTS; i++) {
        llm_session_free(slots[i].session);
        slots[i].session = NULL;
    }
    free(kept.data);
    kept = (tiny_file){ 0 };
    now.work_ms = work(n_work);
    CHECK(llm_engine_trim(engine, UINT64_MAX, LLM_TRIM_PARK, NULL, &error) == LLM_OK && llm_engine_get_info(engine, &info, &error) == LLM_OK);
    now.held = info.memory_used;
#if defined(__GLIBC__)
    malloc_trim(0);                                         /* what the C library keeps of freed memory is not ours */
#endif
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm) {
        CHECK(fscanf(statm, "%*d %ld", &now.rss) == 1);
        fclose(statm);
    }
    now.threads = count("/proc/self/task");
    now.files = count("/proc/self/fd");
    return now;
}

static void pause_all(void)
{
    atomic_store(&resting, 1);
    pthread_barrier_wait(&rest);
}
static void go_on(void)
{
    atomic_store(&resting, 0);
    pthread_barrier_wait(&rest);
}

/* Lines and verdict of the long form. */
static void soak(double minutes)
{
    enum { SETTLED = 5 };
    state now = { 0 }, settled = { 0 };
    double first = 1e30, last = 1e30;
    long long calls = 0;
    int n = minutes < 1 ? 1 : (int)minutes;
    double seconds = minutes < 1 ? minutes * 60 : 60;
    long page = sysconf(_SC_PAGESIZE);
    printf("minute   calls     held at rest    resident at rest   threads  files   work\n");
    for (int minute = 1; minute <= n; minute++) {
        struct timespec t = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
        nanosleep(&t, NULL);
        pause_all();
        now = take_stock(5);
        long long before = calls;
        calls = atomic_load(&n_calls);
        printf("%6d %7lld %11llu bytes %11ld KiB %9d %6d %6.1f ms\n", minute, calls - before, (unsigned long long)now.held, now.rss * page / 1024, now.threads, now.files, now.work_ms);
        fflush(stdout);
        if (minute <= SETTLED) {
            settled = now;
            first = now.work_ms < first ? now.work_ms : first;
        }
        if (minute > n - SETTLED)
            last = now.work_ms < last ? now.work_ms : last;
        go_on();
    }
    double grown = settled.rss ? 100.0 * (double)(now.rss - settled.rss) / (double)settled.rss : 0, slower = 100.0 * (last - first) / first;
    printf("%lld calls, %lld of them busy, %lld checks of bits. Memory: %+.2f %% since minute %d. Speed: %+.2f %% time for the same work, the best of the last %d minutes against the "
           "best of the first.\n", calls, (long long)atomic_load(&n_busy), (long long)atomic_load(&n_checked), grown, n < SETTLED ? n : SETTLED, slower, SETTLED);
    CHECK_MSG(now.held <= settled.held + settled.held / 100 && now.threads == settled.threads && now.files == settled.files, "something is held that was not");
    CHECK_MSG(grown < 1, "memory grows");
    CHECK_MSG(slower < 5, "it became slower: if the machine had other work, that says little");
    printf("verdict: %s\n", test_failures ? "FAILED" : "flat and steady");
}

static void prepare(void)
{
    llm_error error;
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    desc.n_threads = 2;
    desc.n_chunk = 40;
    desc.n_arenas = 3;                                      /* fewer than want one */
    tiny_open(&shape, &desc, &engine, &model);
    file = tiny_make(&shape);
    for (int i = 0; i < SAMPLERS; i++) {
        recipe.temperature = 0.5f + 0.3f * (float)i;
        recipe.top_k = 20 * i;
        recipe.dry_multiplier = i == 1 ? 0.7f : 0;
        recipe.mirostat = i == 2 ? 2 : 0;
        if (!CHECK(llm_sampler_create(llm_model_tokenizer(model), &recipe, &samplers[i], &error) == LLM_OK))
            fprintf(stderr, "%s\n", error.message);
    }
    for (int i = 0; i < PROMPTS; i++) {
        prompt *p = &prompts[i];
        p->n = (size_t)(10 + 13 * i);
        tiny_tokens(p->tokens, p->n, shape.n_vocab, (uint32_t)i / 2 + 1);       /* in pairs with a common beginning */
        for (int type = 0; type < STATE_TYPES; type++) {
            llm_session *s = tiny_session(model, N_CTX, type);
            CHECK(llm_session_append(s, p->tokens, p->n, 0, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
            p->hash[type] = tiny_logits_hash(s);
            llm_session_free(s);
        }
    }
}

/* test_api_storm [MINUTES] */
int main(int argc, char **argv)
{
    static worker workers[WORKERS];
    double minutes = argc > 1 ? strtod(argv[1], NULL) : 0;
    prepare();
    pthread_barrier_init(&rest, NULL, WORKERS + 1);
    for (int i = 0; i < SLOTS; i++)
        pthread_rwlock_init(&slots[i].lock, NULL);
    uint64_t before = take_stock(1).held;
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker){ .random = (uint64_t)i * 77 + 1, .n_left = minutes > 0 ? -1 : SHORT_OPS };
        CHECK(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0);
    }
    if (minutes > 0) {
        soak(minutes);
        pause_all();
    } else {
        pthread_barrier_wait(&rest);                        /* when they have done their part */
    }
    uint64_t after = take_stock(1).held;                    /* lists of a pool's pages are as long as they once had to be */
    CHECK_MSG(after < before + 65536, "%llu bytes are held, %llu before", (unsigned long long)after, (unsigned long long)before);
    atomic_store(&over, 1);
    go_on();
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i].thread, NULL);
    if (minutes == 0)
        printf("%lld calls, %lld of them busy, %lld checks of bits\n", (long long)atomic_load(&n_calls), (long long)atomic_load(&n_busy), (long long)atomic_load(&n_checked));
    for (int i = 0; i < SAMPLERS; i++)
        llm_sampler_free(samplers[i]);
    llm_model_free(model);
    llm_engine_free(engine);
    free(file.data);
    return TEST_DONE();
}
