/* SPDX-License-Identifier: MIT
 * What the CPU backend does when things go wrong: memory refused at every call in turn, batches that would corrupt memory,
 * types and states it does not have. And its bookkeeping: estimates to the byte, pages copied, exported and imported. */
#include "little.h"

/* ---- memory ------------------------------------------------------------------------------------------------------------------ */

static int64_t fail_at = -1, fail_count;                    /* the call that gets nothing; only used while one thread allocates */

static void *fail_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)kind;
    if (fail_at >= 0 && fail_count++ == fail_at)
        return NULL;
    return aligned_alloc(align < 16 ? 16 : align, (size + align - 1) / align * align);
}
static void fail_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)size, (void)align, (void)kind;
    free(ptr);
}
static const llm_allocator fail_hooks = { sizeof(llm_allocator), 0, NULL, fail_allocate, fail_release, NULL };

/* Everything from opening a backend to a pass of a few rows. */
static llm_status fail_all(little *m, llm_error *error)
{
    lm_cpu_desc desc = { 2, 0, NULL };
    lm_backend *backend = NULL;
    little_rig rig = { 0 };
    llm_token tokens[20];
    uint32_t n = 20;
    little_tokens(m, tokens, n, 1);
    LM_TRY(lm_cpu_backend_open(&m->host, &desc, &backend, error));
    llm_status status = little_rig_open(&rig, m, backend, LLM_STATE_TYPE_F16, n, 1, 8, 3, error);
    if (status == LLM_OK) {
        little_session session, *one[1] = { &session };
        little_session_open(&session, m, tokens, n);
        status = little_pass(&rig, rig.arena, one, &n, 1, -1, NULL, error);
        little_session_close(&rig, &session);
    }
    little_rig_close(&rig);
    return status;
}

static void fail_memory(void)
{
    little m;
    if (!CHECK(little_open(&m, &little_shapes[3], &fail_hooks)))
        return;
    uint64_t before = atomic_load(&m.host.mem.used);
    for (fail_at = 0;; fail_at++) {
        llm_error error;
        fail_count = 0;
        llm_status status = fail_all(&m, &error);
        CHECK(atomic_load(&m.host.mem.used) == before);
        if (status == LLM_OK)
            break;
        if (!CHECK_MSG(status == LLM_E_MEMORY && error.status == status && error.message_len > 0, "call %d: status %d", (int)fail_at, status))
            break;
    }
    CHECK_MSG(fail_at > 20, "only %d calls failed", (int)fail_at);
    fail_at = -1;
    little_close(&m);
    CHECK(atomic_load(&m.host.mem.used) == 0);
}

/* ---- bookkeeping --------------------------------------------------------------------------------------------------------------- */

static uint64_t fail_used(const little *m) { return atomic_load(&m->host.mem.used); }

static void fail_costs(void)
{
    little m;
    little_rig rig = { 0 };
    llm_error error;
    lm_backend *backend = NULL;
    lm_cpu_desc desc = { 3, 0, NULL };
    if (!CHECK(little_open(&m, &little_shapes[1], NULL)))
        return;
    CHECK(lm_cpu_backend_open(&m.host, &desc, &backend, &error) == LLM_OK);
    const lm_backend_table *t = backend->table;
    uint64_t before = fail_used(&m), sum = 0;
    CHECK(little_rig_open(&rig, &m, backend, LLM_STATE_TYPE_F16, 33, 3, 40, 3, &error) == LLM_OK);
    t->arena_close(backend, rig.arena);
    t->pool_close(backend, rig.pool);
    t->exec_close(backend, rig.exec);
    rig.arena = NULL;
    rig.pool = NULL;
    rig.exec = NULL;
    for (uint32_t w = 0; w < m.program->n_weights; w++)
        sum += t->weight_cost(backend, &m.program->weights[w]);
    CHECK_MSG(fail_used(&m) - before == sum, "%llu, estimated %llu", (unsigned long long)(fail_used(&m) - before), (unsigned long long)sum);
    CHECK(t->exec_open(backend, m.program, rig.weights, &rig.exec, &error) == LLM_OK);
    before = fail_used(&m);
    CHECK(t->arena_open(backend, rig.exec, 77, 5, 3, 40, &rig.arena, &error) == LLM_OK);
    CHECK(fail_used(&m) - before == t->arena_cost(backend, m.program, 77, 5, 3, 40));
    CHECK(t->arena_cost(backend, m.program, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX) > (uint64_t)1 << 40);
    lm_run_arena *too_big = NULL;
    m.host.mem.limit = 1 << 30;                             /* so that no allocator is asked for terabytes */
    CHECK(t->arena_open(backend, rig.exec, UINT32_MAX, 1, 1, UINT32_MAX, &too_big, &error) == LLM_E_MEMORY && !too_big);
    m.host.mem.limit = 0;
    CHECK(t->arena_open(backend, rig.exec, 0, 0, 1, 1, &too_big, &error) == LLM_E_INVALID);
    CHECK(t->pool_open(backend, m.program, LLM_STATE_TYPE_INT8 + 1, &rig.pool, &error) == LLM_E_UNSUPPORTED);
    for (uint32_t o = 0; o < m.program->n_ops; o++) {
        const lm_op *op = &m.program->ops[o];
        bool state = lm_op_reads_state(op->kind) || lm_op_writes_state(op->kind);
        CHECK(t->can_run(backend, m.program, op, LLM_STATE_TYPE_F32, &error) == LLM_OK);
        CHECK(t->can_run(backend, m.program, op, LLM_STATE_TYPE_INT8, &error) == LLM_OK);
        CHECK(t->can_run(backend, m.program, op, LLM_STATE_TYPE_INT8 + 1, &error) == (state ? LLM_E_UNSUPPORTED : LLM_OK));
    }
    lm_weight_info strange = { "strange", LM_TYPE_IQ2_XS, 0, 16, 256, 0 }, unknown = { "unknown", 5, 0, 16, 256, 0 };
    lm_weight *weight = NULL;
    CHECK(t->weight_begin(backend, &strange, &weight, &error) == LLM_E_UNSUPPORTED && strstr(error.message, "IQ2_XS"));
    CHECK(t->weight_begin(backend, &unknown, &weight, &error) == LLM_E_UNSUPPORTED && !weight);
    lm_weight_info huge = { "huge", LM_TYPE_F32, 0, UINT64_MAX / 2, UINT64_MAX / 2, 0 };
    CHECK(t->weight_begin(backend, &huge, &weight, &error) == LLM_E_LIMIT && t->weight_cost(backend, &huge) == UINT64_MAX);
    lm_weight_info few = { "few", LM_TYPE_F32, 0, 5, 4, 0 };
    float row[20] = { 0 };
    CHECK(t->weight_begin(backend, &few, &weight, &error) == LLM_OK);
    CHECK(t->weight_rows(backend, weight, 1, 1, row, &error) == LLM_E_INTERNAL);
    CHECK(t->weight_rows(backend, weight, 0, 6, row, &error) == LLM_E_INTERNAL);
    CHECK(t->weight_rows(backend, weight, 0, 3, row, &error) == LLM_OK);
    CHECK(t->weight_end(backend, weight, &error) == LLM_E_INTERNAL && strstr(error.message, "few"));
    t->weight_free(backend, weight);
    little_rig_close(&rig);
    for (int32_t threads = -1; threads <= 0; threads++) {
        lm_cpu_desc bad = { threads, 0, NULL };
        CHECK(lm_cpu_backend_open(&m.host, &bad, &backend, &error) == LLM_E_INVALID);
    }
    little_close(&m);
    CHECK(atomic_load(&m.host.mem.used) == 0);
}

static void fail_pages(int32_t state_type)
{
    little m;
    little_rig rig = { 0 };
    llm_error error;
    lm_backend *backend = NULL;
    lm_cpu_desc desc = { 1, 0, NULL };
    enum { N = 100 };
    llm_token tokens[N];
    uint32_t n = N, half = 50, rest = N - 50;
    if (!CHECK(little_open(&m, &little_shapes[1], NULL)))
        return;
    little_tokens(&m, tokens, N, 8);
    CHECK(lm_cpu_backend_open(&m.host, &desc, &backend, &error) == LLM_OK);
    const lm_backend_table *t = backend->table;
    CHECK(little_rig_open(&rig, &m, backend, state_type, N, 1, 64, 3, &error) == LLM_OK);
    little_session a, b, *one[1] = { &a };
    little_session_open(&a, &m, tokens, N);
    little_session_open(&b, &m, tokens, N);
    CHECK(little_pass(&rig, rig.arena, one, &half, 1, -1, NULL, &error) == LLM_OK);
    uint64_t before = fail_used(&m);
    CHECK(little_session_pages(&rig, &b, half, &error) == LLM_OK);
    uint64_t costs = 0;
    for (uint32_t c = 0; c < m.program->n_page_classes; c++)
        costs += b.n_pages * t->pool_page_cost(backend, m.program, state_type, c);
    CHECK(fail_used(&m) - before == costs);
    /* b gets a's pages: some copied, some by way of the canonical layout. */
    for (uint32_t c = 0; c < m.program->n_page_classes; c++)
        for (uint32_t i = 0; i < a.n_pages; i++) {
            uint64_t bytes = t->pool_page_bytes(backend, rig.pool, c);
            uint8_t *canonical = malloc((size_t)bytes), *again = malloc((size_t)bytes);
            CHECK(t->page_export(backend, rig.pool, c, a.pages[c][i], canonical, &error) == LLM_OK);
            if (i % 2)
                CHECK(t->page_copy(backend, rig.pool, c, a.pages[c][i], b.pages[c][i], &error) == LLM_OK);
            else
                CHECK(t->page_import(backend, rig.pool, c, b.pages[c][i], canonical, &error) == LLM_OK);
            CHECK(t->page_export(backend, rig.pool, c, b.pages[c][i], again, &error) == LLM_OK);
            CHECK(memcmp(canonical, again, (size_t)bytes) == 0);
            /* The layout is the header's: V of head 1 stands behind that of head 0, position by position. */
            const lm_stream *s = &m.program->streams[c];
            size_t k_bytes = (size_t)lm_state_row_bytes(state_type, s->k_dim), v_bytes = (size_t)lm_state_row_bytes(state_type, s->v_dim);
            const uint8_t *v = canonical + LM_PAGE_POSITIONS * s->n_heads * k_bytes;
            CHECK(bytes == LM_PAGE_POSITIONS * s->n_heads * (k_bytes + v_bytes) && memcmp(v, v + v_bytes, v_bytes) != 0);
            /* int8: the scale is the largest of a head over 127, so that some level is 127 or -127. */
            for (uint32_t d = 0, most = 0; state_type == LLM_STATE_TYPE_INT8 && d < s->v_dim; d++) {
                most = LM_MAX(most, (uint32_t)abs((int8_t)v[4 + d]));
                CHECK(d + 1 < s->v_dim || most == 127);
            }
            free(canonical);
            free(again);
        }
    CHECK(t->page_copy(backend, rig.pool, 0, a.pages[0][0], 12345, &error) == LLM_E_INTERNAL);
    CHECK(t->page_export(backend, rig.pool, 7, 0, NULL, &error) == LLM_E_INTERNAL);
    b.n_done = half;
    memcpy(b.logits, a.logits, (size_t)half * m.program->n_vocab * sizeof(float));
    CHECK(little_pass(&rig, rig.arena, one, &rest, 1, -1, NULL, &error) == LLM_OK);
    one[0] = &b;
    CHECK(little_pass(&rig, rig.arena, one, &rest, 1, -1, NULL, &error) == LLM_OK);
    CHECK(little_differs(&m, a.logits, b.logits, n) == n);
    /* Numbers come back. */
    uint32_t most = 0, page = 0;
    for (int i = 0; i < 1000; i++) {
        CHECK(t->page_take(backend, rig.pool, 0, &page, &error) == LLM_OK);
        most = LM_MAX(most, page);
        t->page_give(backend, rig.pool, 0, page);
    }
    CHECK(most < 64);
    little_session_close(&rig, &a);
    free(b.logits);                                         /* its pages go with the pool */
    little_rig_close(&rig);
    little_close(&m);
    CHECK(atomic_load(&m.host.mem.used) == 0);
}

/* ---- batches that lie -------------------------------------------------------------------------------------------------------------- */

static void fail_batches(void)
{
    little m;
    little_rig rig = { 0 };
    llm_error error;
    lm_backend *backend = NULL;
    lm_cpu_desc desc = { 1, 0, NULL };
    if (!CHECK(little_open(&m, &little_shapes[2], NULL)))
        return;
    CHECK(lm_cpu_backend_open(&m.host, &desc, &backend, &error) == LLM_OK);
    const lm_backend_table *t = backend->table;
    CHECK(little_rig_open(&rig, &m, backend, LLM_STATE_TYPE_F32, 4, 2, 4, 3, &error) == LLM_OK);
    uint32_t pages[2][8], bad[8] = { 99, 99, 99, 99, 99, 99, 99, 99 };
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < 2; i++)
            CHECK(t->page_take(backend, rig.pool, 0, &pages[s][i], &error) == LLM_OK);
    lm_slot good[2] = { { { pages[0] }, { 2 } }, { { pages[1] }, { 2 } } }, wrong[2] = { { { bad }, { 2 } }, { { pages[1] }, { 2 } } };
    lm_row rows[5] = { { 0, 3, 1, 0 }, { 0, 4, 2, LM_ROW_LOGITS }, { 1, 0, 3, 0 }, { 1, 1, 4, LM_ROW_LOGITS }, { 1, 2, 4, 0 } };
    struct { lm_row row; int at; uint32_t n_rows, n_slots, n_out; const lm_slot *slots; llm_status status; } cases[] = {
        { { 0, 4, 2, LM_ROW_LOGITS }, 1, 4, 2, 2, good, LLM_OK },
        { { 0, 4, -1, LM_ROW_LOGITS }, 1, 4, 2, 2, good, LLM_E_INVALID },
        { { 0, 4, 50, LM_ROW_LOGITS }, 1, 4, 2, 2, good, LLM_E_INVALID },
        { { 0, 5, 2, LM_ROW_LOGITS }, 1, 4, 2, 2, good, LLM_E_INTERNAL },
        { { 2, 4, 2, LM_ROW_LOGITS }, 1, 4, 2, 2, good, LLM_E_INTERNAL },
        { { 0, 4, 2, 0 }, 1, 4, 2, 2, good, LLM_E_INTERNAL },
        { { 0, 4, 2, LM_ROW_LOGITS }, 1, 4, 2, 1, good, LLM_E_INTERNAL },
        { { 0, -1, 2, 0 }, 0, 4, 2, 2, good, LLM_E_INVALID },
        { { 0, INT32_MAX, 2, 0 }, 0, 4, 2, 2, good, LLM_E_INVALID },
        { { 1, 1, 2, 0 }, 0, 4, 2, 2, good, LLM_E_INTERNAL },
        { { 0, 6, 2, 0 }, 2, 4, 2, 2, good, LLM_E_INTERNAL },
        { { 0, 4, 2, LM_ROW_LOGITS }, 1, 5, 2, 2, good, LLM_E_INVALID },
        { { 0, 4, 2, LM_ROW_LOGITS }, 1, 0, 2, 0, good, LLM_E_INVALID },
        { { 0, 4, 2, LM_ROW_LOGITS }, 1, 4, 3, 2, good, LLM_E_INVALID },
        { { 0, 4, 2, LM_ROW_LOGITS }, 1, 4, 2, 2, wrong, LLM_E_INTERNAL },
        { { 1, 2 * LM_PAGE_POSITIONS, 2, LM_ROW_LOGITS }, 3, 4, 2, 2, good, LLM_E_INTERNAL },
    };
    for (size_t c = 0; c < LM_COUNT(cases); c++) {
        lm_row some[5];
        lm_run *run = NULL;
        memcpy(some, rows, sizeof some);
        some[cases[c].at] = cases[c].row;
        lm_batch batch = { .rows = some, .n_rows = cases[c].n_rows, .slots = cases[c].slots, .n_slots = cases[c].n_slots, .n_out = cases[c].n_out };
        llm_status status = t->run_begin(backend, rig.exec, rig.pool, rig.arena, &batch, &run, &error);
        CHECK_MSG(status == cases[c].status && (status == LLM_OK || (error.message_len > 0 && !run)), "case %d: %d %s", (int)c, status, error.message);
        if (status != LLM_OK)
            continue;
        lm_run_control control = { .deadline_ns = INT64_MAX, .stop_op = 0 };
        for (uint32_t o = 0; o < m.program->n_ops; o++) {   /* one operation at a time */
            control.stop_op = o;
            CHECK(t->run_step(backend, run, &control, &error) == LLM_MORE);
        }
        control.stop_op = LM_RUN_ALL_OPS;
        CHECK(t->run_step(backend, run, &control, &error) == LLM_OK);
        CHECK(t->run_step(backend, run, &control, &error) == LLM_OK);
        CHECK(t->run_value(backend, run, m.program->logits, 1) && !t->run_value(backend, run, m.program->logits, 2));
        CHECK(!t->run_value(backend, run, -1, 0) && !t->run_value(backend, run, (int32_t)m.program->n_values, 0));
        t->run_end(backend, run);
    }
    little_rig_close(&rig);
    little_close(&m);
    CHECK(atomic_load(&m.host.mem.used) == 0);
}

/* ---- programs that lie --------------------------------------------------------------------------------------------------------------- */

static void fail_programs(void)
{
    little m;
    llm_error error;
    if (!CHECK(little_open(&m, &little_shapes[3], NULL)))
        return;
    lm_program *p = m.program;
    CHECK(lm_program_check(p, &error) == LLM_OK);
    /* Every operand of every operation, wrong in turn, is seen. */
    for (uint32_t o = 0; o < p->n_ops; o++) {
        lm_op *op = &p->ops[o];
        int32_t *operands[LM_OP_IN + LM_OP_OUT + LM_OP_WEIGHTS + 1];
        int n = 0;
        for (int i = 0; i < LM_OP_IN; i++)
            operands[n++] = &op->in[i];
        for (int i = 0; i < LM_OP_OUT; i++)
            operands[n++] = &op->out[i];
        for (int i = 0; i < LM_OP_WEIGHTS; i++)
            operands[n++] = &op->weight[i];
        operands[n++] = &op->state;
        for (int i = 0; i < n; i++) {
            int32_t was = *operands[i], wrong[3] = { -2, 1000, was == LM_NONE ? 0 : LM_NONE };
            for (int w = 0; w < 3; w++) {
                bool optional = w == 2 && ((i == 10 && op->kind == LM_OP_LINEAR) || (i == 10 && op->kind == LM_OP_LINEAR_EXPERTS) ||
                                           (i == 10 && op->kind == LM_OP_LOGITS) || ((i == 7 || i == 8) && op->kind == LM_OP_ANGLES));
                *operands[i] = wrong[w];
                llm_status status = lm_program_check(p, &error);
                if (optional)                               /* a norm without weights, angles without divisors */
                    CHECK(status == LLM_OK || status == LLM_E_INTERNAL);
                else
                    CHECK_MSG(status == LLM_E_INTERNAL && strstr(error.message, "operation"), "operation %u (%s), operand %d, %d", o, lm_op_name(op->kind), i, wrong[w]);
                *operands[i] = was;
            }
        }
        uint32_t kind = op->kind, rows = op->rows;
        op->kind = LM_OP_COUNT;
        CHECK(lm_program_check(p, &error) == LLM_E_INTERNAL);
        op->kind = kind;
        op->rows = 1 - rows;
        CHECK(lm_program_check(p, &error) == LLM_E_INTERNAL);
        op->rows = rows;
    }
    for (uint32_t v = 0; v < p->n_values; v++) {
        lm_value was = p->values[v];
        p->values[v].width++;
        CHECK(lm_program_check(p, &error) == LLM_E_INTERNAL);
        p->values[v] = was;
        p->values[v].offset = p->row_items[was.rows];
        CHECK(lm_program_check(p, &error) == LLM_E_INTERNAL);
        p->values[v] = was;
        if (was.first_op > 0) {
            p->values[v].first_op--;
            CHECK(lm_program_check(p, &error) == LLM_E_INTERNAL);
            p->values[v] = was;
        }
        if (was.last_op > was.first_op) {
            p->values[v].last_op--;
            CHECK(lm_program_check(p, &error) == LLM_E_INTERNAL);
            p->values[v] = was;
        }
    }
    CHECK(lm_program_check(p, &error) == LLM_OK);
    little_close(&m);
}

int main(void)
{
    fail_memory();
    fail_costs();
    fail_pages(LLM_STATE_TYPE_F16);
    fail_pages(LLM_STATE_TYPE_F32);
    fail_pages(LLM_STATE_TYPE_INT8);
    fail_batches();
    fail_programs();
    return TEST_DONE();
}
