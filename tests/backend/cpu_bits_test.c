/* SPDX-License-Identifier: MIT
 * The same bits, however work is cut: threads, the host's threads in odd orders, tiers, prompts in chunks, sessions mixed in a pass,
 * budgets that end after every task, runs paused while others go, pages anywhere. With a number: that little shape alone. */
#include "little.h"

#include "base/thread.h"

enum { BITS_SESSIONS = 4 };
static const uint32_t bits_lengths[BITS_SESSIONS] = { 90, 41, 7, 300 };

/* ---- the host's parallel-for, three ways ---------------------------------------------------------------------------------- */

static void bits_backwards(void *user, uint32_t n, void (*job)(void *data, uint32_t i), void *data)
{
    (void)user;
    while (n-- > 0)
        job(data, n);
}

typedef struct bits_thread { lm_thread thread; void (*job)(void *data, uint32_t i); void *data; uint32_t i; bool started; } bits_thread;
static void bits_thread_main(void *at)
{
    bits_thread *t = at;
    t->job(t->data, t->i);
}

static void bits_threads(void *user, uint32_t n, void (*job)(void *data, uint32_t i), void *data)
{
    bits_thread t[16];
    (void)user;
    for (uint32_t i = 0; i < n; i++) {
        t[i] = (bits_thread){ .job = job, .data = data, .i = i };
        t[i].started = lm_thread_start(&t[i].thread, bits_thread_main, &t[i], NULL) == LLM_OK;
        if (!t[i].started)
            job(data, i);
    }
    for (uint32_t i = 0; i < n; i++)
        if (t[i].started)
            lm_thread_join(&t[i].thread);
}

/* Breaks its promise and runs nothing: slow, but no hang. */
static void bits_nothing(void *user, uint32_t n, void (*job)(void *data, uint32_t i), void *data)
{
    (void)user, (void)n, (void)job, (void)data;
}

/* ---- one configuration ------------------------------------------------------------------------------------------------------ */

typedef struct bits_config {
    int32_t threads, tier;
    void (*run)(void *user, uint32_t n, void (*job)(void *data, uint32_t i), void *data);
    uint32_t chunk;                                         /* most rows a session brings to a pass; 0: random */
    uint32_t mix;                                           /* most sessions a pass */
    int64_t budget_ns;
} bits_config;

static lm_backend *bits_backend(little *m, const bits_config *config)
{
    llm_parallel parallel = { sizeof parallel, (uint32_t)config->threads, NULL, config->run };
    lm_cpu_desc desc = { config->threads, config->tier, config->run ? &parallel : NULL };
    lm_backend *backend = NULL;
    llm_error error;
    CHECK_MSG(lm_cpu_backend_open(&m->host, &desc, &backend, &error) == LLM_OK, "%s", error.message);
    return backend;
}

static void bits_run(little *m, const bits_config *config, int32_t state_type, llm_token *const *tokens, float **want, uint64_t seed)
{
    little_rig rig;
    little_rng rng = { seed };
    llm_error error;
    little_session sessions[BITS_SESSIONS];
    uint32_t max_pages = 0, calls = 0, passes = 0;
    for (int i = 0; i < BITS_SESSIONS; i++)
        max_pages += 2 * (bits_lengths[i] / LM_PAGE_POSITIONS + 1);
    lm_backend *backend = bits_backend(m, config);
    llm_status status = little_rig_open(&rig, m, backend, state_type, 512, BITS_SESSIONS, max_pages, seed, &error);
    for (int i = 0; i < BITS_SESSIONS; i++)
        little_session_open(&sessions[i], m, tokens[i], bits_lengths[i]);
    while (status == LLM_OK) {
        little_session *some[BITS_SESSIONS];
        uint32_t n[BITS_SESSIONS], count = 0, first = little_below(&rng, BITS_SESSIONS);
        for (uint32_t i = 0; i < BITS_SESSIONS && count < config->mix; i++) {
            little_session *s = &sessions[(first + i) % BITS_SESSIONS];
            uint32_t left = s->n_tokens - s->n_done;
            if (left == 0)
                continue;
            uint32_t chunk = config->chunk ? config->chunk : 1 + little_below(&rng, 3) * little_below(&rng, 60);
            some[count] = s;
            n[count++] = LM_MIN(chunk, left);
        }
        if (count == 0)
            break;
        status = little_pass(&rig, rig.arena, some, n, count, config->budget_ns, &calls, &error);
        passes++;
    }
    CHECK_MSG(status == LLM_OK, "%s", error.message);
    if (config->budget_ns > 0)
        CHECK_MSG(calls > passes, "%u calls, %u passes", calls, passes);
    for (int i = 0; i < BITS_SESSIONS; i++) {
        if (!want[i]) {
            want[i] = sessions[i].logits;
            sessions[i].logits = NULL;
        } else {
            uint32_t at = little_differs(m, want[i], sessions[i].logits, bits_lengths[i]);
            CHECK_MSG(at == bits_lengths[i], "session %d differs at %u: %d threads, tier %d, chunk %u, mix %u, budget %d", i, at, config->threads,
                      config->tier, config->chunk, config->mix, (int)config->budget_ns);
        }
        little_session_close(&rig, &sessions[i]);
    }
    little_rig_close(&rig);
}

static void bits_shape(const little_shape *shape, int32_t state_type)
{
    static const bits_config configs[] = {
        { 1, LM_TIER_REFERENCE, NULL, 1, 1, -1 },           /* what all others must give */
        { 1, LM_TIER_REFERENCE, NULL, 64, 4, -1 },
        { 1, 0, NULL, 512, 4, -1 },
        { 2, 0, NULL, 7, 1, -1 },
        { 3, 0, NULL, 0, 3, -1 },
        { 8, 0, NULL, 0, 4, -1 },
        { 2, LM_TIER_AVX2, NULL, 0, 4, -1 },
        { 1, 0, NULL, 0, 4, 1500 },
        { 2, 0, NULL, 0, 2, 2000 },
        { 3, 0, NULL, 512, 4, 20000 },
        { 4, 0, bits_backwards, 0, 4, -1 },
        { 4, 0, bits_backwards, 0, 4, 2000 },
        { 3, 0, bits_threads, 64, 4, -1 },
        { 2, 0, bits_nothing, 0, 4, -1 },
    };
    little m;
    llm_token *tokens[BITS_SESSIONS];
    float *want[BITS_SESSIONS] = { NULL };
    if (!CHECK(little_open(&m, shape, NULL)))
        return;
    for (int i = 0; i < BITS_SESSIONS; i++) {
        tokens[i] = calloc(bits_lengths[i], sizeof *tokens[i]);
        little_tokens(&m, tokens[i], bits_lengths[i], (uint64_t)i);
    }
    for (size_t c = 0; c < LM_COUNT(configs); c++)
        bits_run(&m, &configs[c], state_type, tokens, want, 5 + c);
    for (int i = 0; i < BITS_SESSIONS; i++) {
        free(tokens[i]);
        free(want[i]);
    }
    little_close(&m);
    CHECK(atomic_load(&m.host.mem.used) == 0);
}

/* ---- paused runs, cancelling ------------------------------------------------------------------------------------------------- */

typedef struct bits_noise { little_rig *rig; lm_mutex lock; _Atomic uint32_t stop; } bits_noise;

/* Another thread takes and gives pages meanwhile, as another session would. */
static void bits_noise_main(void *at)
{
    bits_noise *noise = at;
    uint32_t pages[300];
    while (!atomic_load(&noise->stop)) {
        uint32_t n = 0;
        while (n < 300 && noise->rig->backend->table->page_take(noise->rig->backend, noise->rig->pool, 0, &pages[n], NULL) == LLM_OK)
            n++;
        while (n-- > 0)
            noise->rig->backend->table->page_give(noise->rig->backend, noise->rig->pool, 0, pages[n]);
    }
}

static _Atomic uint32_t bits_cancel;
static void bits_cancel_main(void *at)
{
    (void)at;
    for (volatile int i = 0; i < 20000; i++)
        ;
    atomic_store(&bits_cancel, 1);
}

/* A run is stopped by its clock and by cancel words everywhere while a second arena does another session's work. */
static void bits_paused(const little_shape *shape)
{
    little m;
    little_rig rig;
    llm_error error;
    llm_token tokens[BITS_SESSIONS][300];
    float *want[2];
    bits_config config = { 2, 0, NULL, 0, 1, -1 };
    uint32_t n = 300;
    if (!CHECK(little_open(&m, shape, NULL)))
        return;
    lm_backend *backend = bits_backend(&m, &config);
    llm_status status = little_rig_open(&rig, &m, backend, LLM_STATE_TYPE_F16, n, 1, 2 * (n / LM_PAGE_POSITIONS + 1), 7, &error);
    CHECK_MSG(status == LLM_OK, "%s", error.message);
    const lm_backend_table *t = backend->table;
    little_session sessions[4], *alone[4];
    for (int i = 0; i < 4; i++) {
        little_tokens(&m, tokens[i], n, (uint64_t)i % 2);
        little_session_open(&sessions[i], &m, tokens[i], n);
        alone[i] = &sessions[i];
        CHECK(little_session_pages(&rig, &sessions[i], n, &error) == LLM_OK);
    }
    for (int i = 0; i < 2; i++) {
        CHECK(little_pass(&rig, rig.arena, &alone[i], &n, 1, -1, NULL, &error) == LLM_OK);
        want[i] = sessions[i].logits;
    }
    lm_run_arena *second = NULL;
    CHECK(t->arena_open(backend, rig.exec, n, n, 1, 2 * (n / LM_PAGE_POSITIONS + 1), &second, &error) == LLM_OK);
    bits_noise noise = { .rig = &rig };
    lm_thread thread, canceller;
    CHECK(lm_thread_start(&thread, bits_noise_main, &noise, &error) == LLM_OK);

    lm_row rows[300];
    lm_slot slot;
    for (uint32_t r = 0; r < n; r++)
        rows[r] = (lm_row){ 0, (int32_t)r, tokens[2][r], LM_ROW_LOGITS | lm_program_row_flags(m.program, LITTLE_MAX_POSITIONS) };
    for (int c = 0; c < LM_MAX_PAGE_CLASSES; c++) {
        slot.pages[c] = sessions[2].pages[c];
        slot.n_pages[c] = sessions[2].n_pages;
    }
    lm_batch batch = { .rows = rows, .n_rows = n, .slots = &slot, .n_slots = 1, .n_out = n };
    lm_run *run = NULL, *other = NULL;
    CHECK(t->run_begin(backend, rig.exec, rig.pool, second, &batch, &run, &error) == LLM_OK);
    CHECK(t->run_begin(backend, rig.exec, rig.pool, second, &batch, &other, &error) == LLM_E_BUSY);
    const _Atomic uint32_t *words[1] = { &bits_cancel };
    lm_run_control control = { .deadline_ns = INT64_MAX, .cancel = words, .n_cancel = 1, .stop_op = LM_RUN_ALL_OPS };
    atomic_store(&bits_cancel, 1);
    CHECK(t->run_step(backend, run, &control, &error) == LLM_E_CANCELLED);
    uint32_t cancelled = 0, paused = 0, done = 0;
    lm_run_control brief = { .deadline_ns = lm_now_ns() + 3000, .stop_op = LM_RUN_ALL_OPS };
    CHECK(t->run_step(backend, run, &brief, &error) == LLM_MORE);
    do {                                                    /* in turn: cancelled by another thread, stopped by the clock, a past deadline */
        atomic_store(&bits_cancel, 0);
        CHECK(lm_thread_start(&canceller, bits_cancel_main, NULL, &error) == LLM_OK);
        status = t->run_step(backend, run, &control, &error);
        lm_thread_join(&canceller);
        cancelled += status == LLM_E_CANCELLED;
        if (done < n) {
            uint32_t some = LM_MIN(17, n - done);
            done += some;
            CHECK(little_pass(&rig, rig.arena, &alone[3], &some, 1, 5000, NULL, &error) == LLM_OK);
        }
        if (status != LLM_OK) {
            lm_run_control past = { .deadline_ns = lm_now_ns() - 1, .stop_op = LM_RUN_ALL_OPS };
            brief.deadline_ns = lm_now_ns() + 3000;
            status = t->run_step(backend, run, &brief, &error);
            paused += status == LLM_MORE;
            if (status != LLM_OK)
                CHECK(t->run_step(backend, run, &past, &error) == LLM_MORE);
        }
    } while (status == LLM_MORE || status == LLM_E_CANCELLED);
    CHECK_MSG(status == LLM_OK, "%s", error.message);
    for (uint32_t r = 0; r < n && status == LLM_OK; r++)
        if (!CHECK(memcmp(t->run_value(backend, run, m.program->logits, r), want[0] + (size_t)r * m.program->n_vocab, m.program->n_vocab * 4) == 0))
            break;
    t->run_end(backend, run);
    while (done < n) {
        uint32_t some = LM_MIN(17, n - done);
        done += some;
        CHECK(little_pass(&rig, rig.arena, &alone[3], &some, 1, 5000, NULL, &error) == LLM_OK);
    }
    CHECK(little_differs(&m, want[1], sessions[3].logits, n) == n);
    atomic_store(&noise.stop, 1);
    lm_thread_join(&thread);
    printf("cancelled %u, paused %u times\n", cancelled, paused);
    t->arena_close(backend, second);
    for (int i = 0; i < 4; i++)
        little_session_close(&rig, &sessions[i]);
    little_rig_close(&rig);
    little_close(&m);
    CHECK(atomic_load(&m.host.mem.used) == 0);
}

int main(int argc, char **argv)
{
    size_t only = argc > 1 ? (size_t)atoi(argv[1]) : LM_COUNT(little_shapes);
    for (size_t s = 0; s < LM_COUNT(little_shapes); s++)
        if (argc < 2 || s == only)
            bits_shape(&little_shapes[s], s == 2 ? LLM_STATE_TYPE_F32 : s == 1 || s == 3 ? LLM_STATE_TYPE_INT8 : LLM_STATE_TYPE_F16);
    bits_paused(&little_shapes[0]);
    bits_paused(&little_shapes[3]);
    return TEST_DONE();
}
