/* SPDX-License-Identifier: MIT
 * The builder, the memory plan (no two living values overlap; near the least that lifetimes allow), the dump. */
#include "graph/graph.h"
#include "graph/plan.h"

#include "test.h"

static uint32_t graph_seed = 1;
static uint32_t graph_random(uint32_t n)
{
    graph_seed = graph_seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)graph_seed * n) >> 32);
}

static bool graph_meet(const lm_value *a, const lm_value *b)
{
    return a->rows == b->rows && a->first_op <= b->last_op && b->first_op <= a->last_op;
}

/* Every pair, the slow and sure way; and the sum of what lives at the busiest operation, the least any plan can do. */
static void graph_check_plan(const lm_program *p, double slack)
{
    uint32_t bad = 0;
    uint64_t least[2] = { 0, 0 };
    for (uint32_t a = 0; a < p->n_values; a++) {
        const lm_value *va = &p->values[a];
        CHECK(va->offset % LM_PLAN_ALIGN == 0 && va->offset + va->width <= p->row_items[va->rows]);
        for (uint32_t b = 0; b < a; b++) {
            const lm_value *vb = &p->values[b];
            if (graph_meet(va, vb) && va->offset < vb->offset + vb->width && vb->offset < va->offset + va->width)
                bad++;
        }
    }
    CHECK_MSG(bad == 0, "%u pairs of values that live together overlap", bad);
    for (uint32_t o = 0; o < p->n_ops; o++) {
        uint64_t now[2] = { 0, 0 };
        for (uint32_t v = 0; v < p->n_values; v++)
            if (p->values[v].first_op <= o && o <= p->values[v].last_op)
                now[p->values[v].rows] += (p->values[v].width + LM_PLAN_ALIGN - 1) / LM_PLAN_ALIGN * LM_PLAN_ALIGN;
        least[0] = LM_MAX(least[0], now[0]);
        least[1] = LM_MAX(least[1], now[1]);
    }
    for (int r = 0; r < 2; r++)
        CHECK_MSG((double)p->row_items[r] <= slack * (double)least[r], "row set %d: %u items a row, %llu would do", r, p->row_items[r],
                  (unsigned long long)least[r]);
}

/* Programs of random operations: shapes mean nothing, the plan does not look at them. */
static void graph_test_random_plans(lm_host *host)
{
    static lm_op ops[200];
    static lm_value values[600];
    for (int round = 0; round < 200; round++) {
        lm_program p = { .ops = ops, .values = values };
        llm_error error;
        uint32_t n_ops = 1 + graph_random(200);
        for (uint32_t o = 0; o < n_ops; o++) {
            ops[o] = lm_op_init(LM_OP_LINEAR, LM_ROWS_ALL, -1);
            for (uint32_t i = 0; i < LM_OP_IN && p.n_values; i++) {
                uint32_t back = 1 + graph_random(40);
                if (graph_random(2))
                    ops[o].in[i] = (int32_t)(p.n_values - 1 - graph_random(LM_MIN(p.n_values, back)));
            }
            for (uint32_t i = 0; i < LM_OP_OUT; i++)
                if (i == 0 || graph_random(3) == 0) {
                    values[p.n_values] = (lm_value){ .rows = graph_random(2), .width = 1 + graph_random(1000) };
                    ops[o].out[i] = (int32_t)p.n_values++;
                }
        }
        p.n_ops = n_ops;
        p.logits = (int32_t)graph_random(p.n_values);
        if (CHECK_MSG(lm_program_plan(host, &p, &error) == LLM_OK, "%s", error.message))
            graph_check_plan(&p, 1.5);
    }
}

static void graph_test_plan_refuses(lm_host *host)
{
    llm_error error;
    lm_op ops[2] = { lm_op_init(LM_OP_LINEAR, LM_ROWS_ALL, -1), lm_op_init(LM_OP_LINEAR, LM_ROWS_ALL, -1) };
    lm_value values[2] = { { .width = 4 }, { .width = 4 } };
    lm_program p = { .ops = ops, .n_ops = 2, .values = values, .n_values = 2, .logits = 1 };
    ops[0].out[0] = 0;
    ops[1].in[0] = 0;
    CHECK(lm_program_plan(host, &p, &error) == LLM_E_INTERNAL);         /* value 1 is never written */
    ops[1].out[0] = 0;
    CHECK(lm_program_plan(host, &p, &error) == LLM_E_INTERNAL);         /* value 0 is written twice */
    ops[1].out[0] = 1;
    CHECK(lm_program_plan(host, &p, &error) == LLM_OK);
    ops[0].in[0] = 1;
    CHECK(lm_program_plan(host, &p, &error) == LLM_E_INTERNAL);         /* read before it is written */
    ops[0].in[0] = 7;
    CHECK(lm_program_plan(host, &p, &error) == LLM_E_INTERNAL);
    ops[0].in[0] = LM_NONE;
    p.logits = LM_NONE;
    CHECK(lm_program_plan(host, &p, &error) == LLM_E_INTERNAL);
    p.logits = 1;
    values[0].width = values[1].width = UINT32_MAX / 2;
    CHECK(lm_program_plan(host, &p, &error) == LLM_E_LIMIT);
}

/* The smallest whole program: embed, gather, logits. */
static lm_program *graph_small(lm_host *host, llm_error *error)
{
    lm_graph *graph = NULL;
    lm_program *program = NULL;
    if (!CHECK(lm_graph_new(host, &graph, error) == LLM_OK))
        return NULL;
    int32_t embd = lm_graph_weight(graph, &(lm_weight_info){ .name = "token_embd.weight", .type = LM_TYPE_F16, .n_rows = 10, .n_cols = 8 });
    int32_t norm = lm_graph_weight(graph, &(lm_weight_info){ .name = "output_norm.weight", .type = LM_TYPE_F32, .is_vector = 1, .n_rows = 1, .n_cols = 8 });
    int32_t x = lm_graph_value(graph, LM_ROWS_ALL, 8), y = lm_graph_value(graph, LM_ROWS_OUT, 8), logits = lm_graph_value(graph, LM_ROWS_OUT, 10);
    lm_op op = lm_op_init(LM_OP_EMBED, LM_ROWS_ALL, -1);
    op.weight[0] = embd;
    op.out[0] = x;
    op.u.embed.scale = 1.0f;
    lm_graph_op(graph, &op);
    op = lm_op_init(LM_OP_GATHER, LM_ROWS_OUT, -1);
    op.in[0] = x;
    op.out[0] = y;
    lm_graph_op(graph, &op);
    op = lm_op_init(LM_OP_LOGITS, LM_ROWS_OUT, -1);
    op.in[0] = y;
    op.out[0] = logits;
    op.weight[0] = embd;
    op.weight[3] = norm;
    op.u.linear = (lm_op_linear){ .n_matrices = 1, .norm = LM_NORM_RMS, .eps = 1e-5f, .scale = 1.0f };
    lm_graph_op(graph, &op);
    CHECK_MSG(lm_graph_finish(graph, logits, 10, 8, &program, error) == LLM_OK, "%s", error->message);
    lm_graph_free(graph);
    return program;
}

static void graph_test_dump(lm_host *host)
{
    static const char want[] = "3 operations, 3 values, 2 weights, 0 streams, 16 + 32 items a row, logits v2\n"
                               "0 embed all: v0[8] <- | token_embd.weight F16 [10 x 8] | scale 1\n"
                               "1 gather out: v1[8] <- v0[8]\n"
                               "2 logits out: v2[10] <- v1[8] | token_embd.weight F16 [10 x 8], output_norm.weight [8] | rms\n";
    llm_error error;
    char text[1024], tiny[8];
    lm_program *program = graph_small(host, &error);
    if (!program)
        return;
    size_t n = lm_program_dump(program, text, sizeof text);
    CHECK_MSG(n == strlen(want) && strcmp(text, want) == 0, "\n%s", text);
    CHECK(lm_program_dump(program, NULL, 0) == n);
    CHECK(lm_program_dump(program, tiny, sizeof tiny) == n && strcmp(tiny, "3 opera") == 0);
    lm_program_free(host, program);
}

static void graph_test_errors_stick(lm_host *host)
{
    llm_error error;
    lm_graph *graph = NULL;
    lm_program *program = (lm_program *)&error;
    CHECK(lm_graph_new(host, &graph, &error) == LLM_OK);
    CHECK(lm_graph_value(graph, LM_ROWS_ALL, 4) == 0);
    CHECK(lm_graph_value(graph, LM_ROWS_ALL, 0) == LM_NONE);            /* the error */
    CHECK(lm_graph_value(graph, LM_ROWS_ALL, 4) == LM_NONE);
    CHECK(lm_graph_weight(graph, &(lm_weight_info){ .n_rows = 1, .n_cols = 1 }) == LM_NONE);
    CHECK(lm_graph_finish(graph, 0, 1, 1, &program, &error) == LLM_E_INTERNAL && program == (lm_program *)&error);
    CHECK(strstr(error.message, "0 items") != NULL);
    lm_graph_free(graph);

    CHECK(lm_graph_new(host, &graph, &error) == LLM_OK);
    CHECK(lm_graph_stream(graph, &(lm_stream){ .page_class = LM_MAX_PAGE_CLASSES }) == LM_NONE);
    CHECK(lm_graph_finish(graph, 0, 1, 1, &program, &error) == LLM_E_INTERNAL);
    lm_graph_free(graph);
    lm_graph_free(NULL);
    lm_program_free(host, NULL);
}

/* An allocator that fails at the n-th call. */
typedef struct graph_fault { long left; } graph_fault;
static void *graph_fault_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    graph_fault *fault = user;
    (void)kind;
    if (fault->left-- == 0)
        return NULL;
    return aligned_alloc(align, (size + align - 1) / align * align);
}
static void graph_fault_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)size, (void)align, (void)kind;
    free(ptr);
}

static void graph_test_no_memory(void)
{
    for (long n = 0;; n++) {
        graph_fault fault = { n };
        llm_allocator hooks = { .struct_size = sizeof hooks, .user = &fault, .allocate = graph_fault_allocate, .release = graph_fault_release };
        lm_host host;
        llm_error error;
        lm_graph *graph = NULL;
        lm_program *program = NULL;
        memset(&host, 0, sizeof host);
        lm_mem_init(&host.mem, &hooks, 0);
        llm_status status = lm_graph_new(&host, &graph, &error);
        if (status >= 0) {
            lm_op op = lm_op_init(LM_OP_EMBED, LM_ROWS_ALL, -1);
            op.weight[0] = lm_graph_weight(graph, &(lm_weight_info){ .name = "e", .type = LM_TYPE_F32, .n_rows = 10, .n_cols = 8 });
            op.out[0] = lm_graph_value(graph, LM_ROWS_OUT, 10);
            lm_graph_op(graph, &op);
            status = lm_graph_finish(graph, op.out[0], 10, 8, &program, &error);        /* wrong shapes: only memory matters here */
            lm_graph_free(graph);
        }
        CHECK(host.mem.used == 0 || program);
        lm_program_free(&host, program);
        CHECK(host.mem.used == 0);
        if (status != LLM_E_MEMORY) {
            CHECK(n >= 8);
            return;
        }
    }
}

int main(void)
{
    lm_host host;
    memset(&host, 0, sizeof host);
    lm_mem_init(&host.mem, NULL, 0);
    graph_test_random_plans(&host);
    graph_test_plan_refuses(&host);
    graph_test_dump(&host);
    graph_test_errors_stick(&host);
    graph_test_no_memory();
    CHECK(host.mem.used == 0);
    return TEST_DONE();
}
