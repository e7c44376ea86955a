/* SPDX-License-Identifier: MIT
 * The verify backend runs every shape without a word, and names each fault that is made on purpose. */
#include "little.h"

#include "base/status.h"

enum { VERIFY_TOKENS = 300 };

static llm_token verify_tokens[VERIFY_TOKENS];

typedef struct verify_bench { little m; little_rig rig; lm_backend *backend; llm_error error; bool open; } verify_bench;

static void bench_open(verify_bench *b, const little_shape *shape)
{
    memset(b, 0, sizeof *b);
    b->open = CHECK(little_open(&b->m, shape, NULL)) && CHECK(lm_verify_backend_open(&b->m.host, &b->backend, &b->error) == LLM_OK) &&
              CHECK_MSG(little_rig_open(&b->rig, &b->m, b->backend, LLM_STATE_TYPE_F16, 70, 3, 120, 5, &b->error) == LLM_OK, "%s", b->error.message);
    little_tokens(&b->m, verify_tokens, VERIFY_TOKENS, 3);
}

static void bench_close(verify_bench *b)
{
    little_rig_close(&b->rig);
    little_close(&b->m);
    CHECK(atomic_load(&b->m.host.mem.used) == 0);
}

static void bench_expect(verify_bench *b, llm_status status, const char *message)
{
    CHECK_MSG(status == LLM_E_INTERNAL && strstr(b->error.message, message), "%d '%s', expected '%s'", status, b->error.message, message);
}

/* ---- without a word */

static void test_quiet(const little_shape *shape)
{
    verify_bench b;
    bench_open(&b, shape);
    if (b.open) {
        little_session s[3], *list[3] = { &s[0], &s[1], &s[2] };
        little_rng rng = { 99 };
        uint64_t before = lm_verify_backend_objects(b.backend);
        uint32_t classes = b.m.program->n_page_classes, calls = 0;
        CHECK(before == b.m.program->n_weights + 3);
        for (int i = 0; i < 3; i++)
            little_session_open(&s[i], &b.m, verify_tokens, VERIFY_TOKENS);
        for (int pass = 0; pass < 12; pass++) {
            uint32_t n[3];
            for (int i = 0; i < 3; i++)
                n[i] = 1 + little_below(&rng, 20);
            CHECK_MSG(little_pass(&b.rig, b.rig.arena, list, n, 1 + (uint32_t)pass % 3, pass % 2 ? -1 : 1000000, &calls, &b.error) == LLM_OK, "%s", b.error.message);
        }
        CHECK(s[0].n_done > 64 && s[0].logits[5] == 0);
        CHECK(lm_verify_backend_objects(b.backend) == before + classes * (s[0].n_pages + s[1].n_pages + s[2].n_pages));
        for (int i = 0; i < 3; i++)
            little_session_close(&b.rig, &s[i]);
        CHECK(lm_verify_backend_objects(b.backend) == before);
    }
    bench_close(&b);
}

static void test_costs(void)
{
    verify_bench b;
    bench_open(&b, &little_shapes[1]);
    const lm_backend_table *t = b.backend->table;
    uint64_t before = b.m.host.mem.used;
    lm_run_arena *arena = NULL;
    lm_weight *w = NULL;
    uint32_t page = 0;
    CHECK(t->arena_open(b.backend, b.rig.exec, 17, 5, 2, 9, &arena, &b.error) == LLM_OK);
    CHECK(b.m.host.mem.used - before == t->arena_cost(b.backend, b.m.program, 17, 5, 2, 9));
    t->arena_close(b.backend, arena);
    CHECK(t->weight_begin(b.backend, &b.m.program->weights[0], &w, &b.error) == LLM_OK);
    CHECK(b.m.host.mem.used - before == t->weight_cost(b.backend, &b.m.program->weights[0]));
    t->weight_free(b.backend, w);
    CHECK(t->page_take(b.backend, b.rig.pool, 0, &page, &b.error) == LLM_OK);
    t->page_give(b.backend, b.rig.pool, 0, page);
    before = b.m.host.mem.used;
    CHECK(t->page_take(b.backend, b.rig.pool, 0, &page, &b.error) == LLM_OK);
    CHECK(b.m.host.mem.used - before == t->pool_page_cost(b.backend, b.m.program, LLM_STATE_TYPE_F16, 0));
    t->page_give(b.backend, b.rig.pool, 0, page);
    bench_close(&b);
}

/* ---- weights and programs */

static void test_weights(void)
{
    verify_bench b;
    bench_open(&b, &little_shapes[0]);
    const lm_backend_table *t = b.backend->table;
    uint32_t m = 0;                                         /* a matrix */
    while (b.m.program->weights[m].is_vector)
        m++;
    const lm_weight_info *info = &b.m.program->weights[m];
    lm_weight *w = NULL, *was;
    lm_exec *exec = NULL;
    CHECK(t->weight_begin(b.backend, info, &w, &b.error) == LLM_OK);
    bench_expect(&b, t->weight_rows(b.backend, w, 1, 1, b.m.bytes[m], &b.error), "where row 0 of");
    CHECK(t->weight_rows(b.backend, w, 0, 2, b.m.bytes[m], &b.error) == LLM_OK);
    bench_expect(&b, t->weight_rows(b.backend, w, 0, 1, b.m.bytes[m], &b.error), "where row 2 of");
    bench_expect(&b, t->weight_rows(b.backend, w, 2, info->n_rows, b.m.bytes[m], &b.error), "where row 2 of");
    bench_expect(&b, t->weight_end(b.backend, w, &b.error), "after 2 of");
    was = b.rig.weights[m];
    b.rig.weights[m] = w;
    bench_expect(&b, t->exec_open(b.backend, b.m.program, b.rig.weights, &exec, &b.error), "not been ended");
    b.rig.weights[m] = b.rig.weights[m + 1];
    bench_expect(&b, t->exec_open(b.backend, b.m.program, b.rig.weights, &exec, &b.error), "bound to another");
    b.rig.weights[m] = NULL;
    bench_expect(&b, t->exec_open(b.backend, b.m.program, b.rig.weights, &exec, &b.error), "missing");
    b.rig.weights[m] = was;
    t->weight_free(b.backend, w);
    t->weight_free(b.backend, was);                         /* in use: it stays, and the next call says so */
    bench_expect(&b, t->weight_begin(b.backend, info, &w, &b.error), "is freed while 1 programs use it");
    bench_close(&b);
}

static void test_programs(void)
{
    verify_bench b;
    bench_open(&b, &little_shapes[0]);
    lm_program *p = b.m.program;
    lm_exec *exec = NULL;
    lm_op was = p->ops[3];
    lm_value value = p->values[p->ops[3].out[0]];
    p->ops[3].in[0] = (int32_t)p->n_values;
    CHECK(b.backend->table->exec_open(b.backend, p, b.rig.weights, &exec, &b.error) == LLM_E_INTERNAL);
    p->ops[3] = was;
    for (int i = 0; i < LM_OP_IN && was.in[i] != LM_NONE; i++) {
        p->values[was.out[0]].offset = p->values[was.in[i]].offset;     /* onto its own input */
        CHECK(b.backend->table->exec_open(b.backend, p, b.rig.weights, &exec, &b.error) == LLM_E_INTERNAL);
        p->values[was.out[0]] = value;
    }
    bench_close(&b);
}

/* ---- rows, pages, state */

/* One pass of n rows from `position` on the pages given; returns what went wrong, if anything. */
static llm_status run_rows(verify_bench *b, const uint32_t *pages, uint32_t n_pages, int32_t position, uint32_t n)
{
    lm_row rows[70];
    lm_slot slot = { .pages = { pages, pages }, .n_pages = { n_pages, n_pages } };
    lm_batch batch = { .rows = rows, .n_rows = n, .slots = &slot, .n_slots = 1, .n_out = 0 };
    lm_run_control control = { .deadline_ns = INT64_MAX, .stop_op = LM_RUN_ALL_OPS };
    lm_run *run = NULL;
    const lm_backend_table *t = b->backend->table;
    for (uint32_t r = 0; r < n; r++)
        rows[r] = (lm_row){ 0, position + (int32_t)r, verify_tokens[r], 0 };
    LM_TRY(t->run_begin(b->backend, b->rig.exec, b->rig.pool, b->rig.arena, &batch, &run, &b->error));
    llm_status status = t->run_step(b->backend, run, &control, &b->error);
    t->run_end(b->backend, run);
    return status;
}

static void take_pages(verify_bench *b, uint32_t *pages, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        CHECK(b->backend->table->page_take(b->backend, b->rig.pool, 0, &pages[i], &b->error) == LLM_OK);
}

static void test_rows(void)
{
    verify_bench b;
    bench_open(&b, &little_shapes[0]);
    const lm_backend_table *t = b.backend->table;
    uint32_t pages[8];
    lm_row rows[3] = { { 0, 0, 1, 0 }, { 0, 1, 1, 0 }, { 0, 2, 1, LM_ROW_LOGITS } };
    lm_slot slots[2] = { { .pages = { pages }, .n_pages = { 1 } }, { .pages = { pages }, .n_pages = { 1 } } };
    lm_batch batch = { .rows = rows, .n_rows = 3, .slots = slots, .n_slots = 2, .n_out = 1 };
    lm_run *run = NULL;
    take_pages(&b, pages, 8);
#define BEGIN() t->run_begin(b.backend, b.rig.exec, b.rig.pool, b.rig.arena, &batch, &run, &b.error)
    rows[1].position = 2;
    bench_expect(&b, BEGIN(), "where 1 was due");
    rows[1].position = 1, rows[1].token = (llm_token)b.m.program->n_vocab;
    bench_expect(&b, BEGIN(), "row 1: token");
    rows[1].token = -1;
    bench_expect(&b, BEGIN(), "row 1: token");
    rows[1].token = 1, rows[1].slot = 2;
    bench_expect(&b, BEGIN(), "session 2 of 2");
    rows[1].slot = 1, rows[2].position = 1;
    bench_expect(&b, BEGIN(), "one after another");
    rows[1].slot = 0, rows[2].position = 2, batch.n_out = 2;
    bench_expect(&b, BEGIN(), "announced");
    batch.n_out = 1, slots[0].n_pages[0] = 0;
    bench_expect(&b, BEGIN(), "its last row needs 1");
    slots[0].n_pages[0] = 1, rows[2] = (lm_row){ 1, 0, 1, LM_ROW_LOGITS };
    bench_expect(&b, BEGIN(), "session 1 writes it while another run or session writes it");
    rows[2].slot = 0, rows[2].position = 2;
    uint32_t was = pages[0];
    pages[0] = 12345;
    bench_expect(&b, BEGIN(), "number 12345, which is not taken");
    pages[0] = was;
    batch.n_rows = 0;
    bench_expect(&b, BEGIN(), "0 rows");
    batch.n_rows = 3;
    CHECK_MSG(BEGIN() == LLM_OK, "%s", b.error.message);
    lm_run *second = NULL;
    bench_expect(&b, t->run_begin(b.backend, b.rig.exec, b.rig.pool, b.rig.arena, &batch, &second, &b.error), "serves another run");
    lm_run_arena *arena = NULL;
    CHECK(t->arena_open(b.backend, b.rig.exec, 70, 70, 2, 9, &arena, &b.error) == LLM_OK);
    bench_expect(&b, t->run_begin(b.backend, b.rig.exec, b.rig.pool, arena, &batch, &second, &b.error), "while another run or session writes it");
    t->arena_close(b.backend, arena);
    bench_expect(&b, t->page_copy(b.backend, b.rig.pool, 0, pages[1], pages[0], &b.error), "while a run writes it");
    bench_expect(&b, t->page_copy(b.backend, b.rig.pool, 0, 999, pages[1], &b.error), "not taken");
    lm_run_control control = { .deadline_ns = INT64_MAX, .stop_op = 2 };
    CHECK(t->run_step(b.backend, run, &control, &b.error) == LLM_MORE);
    CHECK(t->run_value(b.backend, run, b.m.program->ops[1].out[0], 2) != NULL);
    control.stop_op = LM_RUN_ALL_OPS;
    CHECK(t->run_step(b.backend, run, &control, &b.error) == LLM_OK && t->run_step(b.backend, run, &control, &b.error) == LLM_OK);
    const float *logits = t->run_value(b.backend, run, b.m.program->logits, 0);
    CHECK(logits && logits[0] == 0 && logits[b.m.program->n_vocab - 1] == 0);
    t->page_give(b.backend, b.rig.pool, 0, pages[0]);       /* in use */
    bench_expect(&b, t->page_take(b.backend, b.rig.pool, 0, &pages[7], &b.error), "given back while a run uses it");
    t->run_end(b.backend, run);
#undef BEGIN
    bench_close(&b);
}

static void test_cancel(void)
{
    verify_bench b;
    bench_open(&b, &little_shapes[0]);
    const lm_backend_table *t = b.backend->table;
    uint32_t pages[1];
    lm_row row = { 0, 0, 1, 0 };
    lm_slot slot = { .pages = { pages }, .n_pages = { 1 } };
    lm_batch batch = { .rows = &row, .n_rows = 1, .slots = &slot, .n_slots = 1, .n_out = 0 };
    _Atomic uint32_t word = 1;
    const _Atomic uint32_t *words[1] = { &word };
    lm_run_control control = { .deadline_ns = INT64_MAX, .cancel = words, .n_cancel = 1, .stop_op = LM_RUN_ALL_OPS };
    lm_run *run = NULL;
    take_pages(&b, pages, 1);
    CHECK(t->run_begin(b.backend, b.rig.exec, b.rig.pool, b.rig.arena, &batch, &run, &b.error) == LLM_OK);
    CHECK(t->run_step(b.backend, run, &control, &b.error) == LLM_E_CANCELLED);
    atomic_store(&word, 0);
    control.deadline_ns = 0;
    CHECK(t->run_step(b.backend, run, &control, &b.error) == LLM_MORE);
    control.deadline_ns = INT64_MAX;
    CHECK(t->run_step(b.backend, run, &control, &b.error) == LLM_OK);
    t->run_end(b.backend, run);
    bench_close(&b);
}

static void test_state(void)
{
    verify_bench b;
    bench_open(&b, &little_shapes[0]);
    const lm_backend_table *t = b.backend->table;
    uint32_t pages[12], fork[12], mixed[12];
    take_pages(&b, pages, 12);
    take_pages(&b, fork, 12);
    bench_expect(&b, run_rows(&b, fork, 12, 10, 1), "reads state at position 0 of stream 0, which was not written");
    CHECK(run_rows(&b, pages, 12, 0, 70) == LLM_OK && run_rows(&b, pages, 12, 70, 70) == LLM_OK && run_rows(&b, pages, 12, 140, 1) == LLM_OK);
    bench_expect(&b, run_rows(&b, pages, 12, 142, 1), "reads state at position 141");
    CHECK(run_rows(&b, pages, 12, 141, 1) == LLM_OK);
    /* back to 133 inside the last page: what came after it is another timeline's */
    CHECK(run_rows(&b, pages, 12, 133, 2) == LLM_OK);
    bench_expect(&b, run_rows(&b, pages, 12, 137, 1), "reads state at position 135");
    CHECK(run_rows(&b, pages, 12, 135, 1) == LLM_OK);
    /* two pages in each other's place */
    memcpy(mixed, pages, sizeof pages);
    mixed[0] = pages[1], mixed[1] = pages[0];
    bench_expect(&b, run_rows(&b, mixed, 12, 136, 1), "but it was written as page");
    /* a fork shares whole pages and copies the one it writes */
    uint32_t last = 135 / LM_PAGE_POSITIONS;
    memcpy(mixed, pages, sizeof pages);
    mixed[last] = fork[5];
    bench_expect(&b, run_rows(&b, mixed, 12, 136, 1), "which was not written");
    t->page_give(b.backend, b.rig.pool, 0, fork[0]);
    CHECK(t->page_take(b.backend, b.rig.pool, 0, &fork[0], &b.error) == LLM_OK);
    mixed[last] = fork[0];
    CHECK(t->page_copy(b.backend, b.rig.pool, 0, pages[last], fork[0], &b.error) == LLM_OK);
    CHECK_MSG(run_rows(&b, mixed, 12, 136, 1) == LLM_OK, "%s", b.error.message);
    CHECK(run_rows(&b, pages, 12, 136, 1) == LLM_OK && run_rows(&b, pages, 12, 137, 1) == LLM_OK);
    bench_expect(&b, run_rows(&b, mixed, 12, 138, 1), "reads state at position 137");
    /* out and in again */
    uint64_t bytes = t->pool_page_bytes(b.backend, b.rig.pool, 0);
    unsigned char *saved = malloc((size_t)bytes);
    uint32_t loaded[12];
    CHECK(bytes == (uint64_t)LM_PAGE_POSITIONS * 2 * (64 + 64) * 2 * 2);
    take_pages(&b, loaded, 12);
    for (uint32_t i = 0; i <= 137 / LM_PAGE_POSITIONS; i++) {
        CHECK(t->page_export(b.backend, b.rig.pool, 0, pages[i], saved, &b.error) == LLM_OK);
        CHECK(t->page_import(b.backend, b.rig.pool, 0, loaded[i], saved, &b.error) == LLM_OK);
    }
    free(saved);
    bench_expect(&b, run_rows(&b, loaded, 12, 139, 1), "reads state at position 138");
    CHECK_MSG(run_rows(&b, loaded, 12, 138, 1) == LLM_OK, "%s", b.error.message);
    /* given back twice */
    t->page_give(b.backend, b.rig.pool, 0, loaded[0]);
    t->page_give(b.backend, b.rig.pool, 0, loaded[0]);
    bench_expect(&b, run_rows(&b, pages, 12, 138, 1), "is not taken");
    bench_close(&b);
}

/* A window keeps its pages only as long as it looks at them. */
static void test_window(void)
{
    verify_bench b;
    little_shape shape = little_shapes[1];
    bench_open(&b, &shape);
    const lm_backend_table *t = b.backend->table;
    little_session s, *list[1] = { &s };
    uint32_t n = 60, first;
    little_session_open(&s, &b.m, verify_tokens, VERIFY_TOKENS);
    for (int i = 0; i < 3; i++)
        CHECK(little_pass(&b.rig, b.rig.arena, list, &n, 1, -1, NULL, &b.error) == LLM_OK);
    first = (s.n_done - shape.window + 1) / LM_PAGE_POSITIONS;
    for (uint32_t i = 0; i < first; i++) {                  /* the pages of the windowed class that nobody sees any more */
        t->page_give(b.backend, b.rig.pool, 1, s.pages[1][i]);
        s.pages[1][i] = 4242;
    }
    n = 1;
    CHECK_MSG(little_pass(&b.rig, b.rig.arena, list, &n, 1, -1, NULL, &b.error) == LLM_OK, "%s", b.error.message);
    t->page_give(b.backend, b.rig.pool, 1, s.pages[1][first]);
    bench_expect(&b, little_pass(&b.rig, b.rig.arena, list, &n, 1, -1, NULL, &b.error), "which is not taken");
    free(s.logits);
    bench_close(&b);
}

int main(void)
{
    for (size_t i = 0; i < LM_COUNT(little_shapes); i++)
        test_quiet(&little_shapes[i]);
    test_costs();
    test_weights();
    test_programs();
    test_rows();
    test_cancel();
    test_state();
    test_window();
    return TEST_DONE();
}
