/* SPDX-License-Identifier: MIT
 * The builder: grows arrays of operations, values, weights and streams, and hands them over as one program. Owns them until then.
 * Knows the form of operands, not what an operation means: that is lm_program_check's. Names of weights stay borrowed.
 *
 * Invariant: `status` is the first error; once it is set nothing is added any more. Threads: one builder, one thread. */
#include "graph/graph.h"

#include "graph/plan.h"

#include <string.h>

enum { GRAPH_MAX_ITEMS = 1 << 24 };

/* One growing array. */
typedef struct graph_list { void *items; uint32_t n, cap; } graph_list;

struct lm_graph {
    lm_host *host;
    graph_list ops, values, weights, streams;
    bool plain_norms;
    uint32_t given, hands_on;
    llm_status status;
    llm_error error;
};

llm_status lm_graph_new(lm_host *host, lm_graph **out, llm_error *error)
{
    lm_graph *graph = lm_mem_new(&host->mem, sizeof *graph, LLM_MEMORY_OTHER);
    if (!graph)
        return lm_fail_memory(error, "a graph", sizeof *graph);
    graph->host = host;
    *out = graph;
    return LLM_OK;
}

void lm_graph_free(lm_graph *graph)
{
    if (!graph)
        return;
    lm_host *host = graph->host;
    lm_mem_free(&host->mem, graph->ops.items);
    lm_mem_free(&host->mem, graph->values.items);
    lm_mem_free(&host->mem, graph->weights.items);
    lm_mem_free(&host->mem, graph->streams.items);
    lm_mem_free(&host->mem, graph);
}

/* Appends a copy of one item; its index, or LM_NONE. */
static int32_t graph_push(lm_graph *graph, graph_list *list, const void *item, size_t size)
{
    if (graph->status < 0)
        return LM_NONE;
    if (list->n == list->cap) {
        uint32_t cap = list->cap ? list->cap * 2 : 64;
        if (cap > GRAPH_MAX_ITEMS) {
            graph->status = lm_fail(&graph->error, LLM_E_LIMIT, "the program is too long");
            return LM_NONE;
        }
        void *items = lm_mem_grow(&graph->host->mem, list->items, (size_t)cap * size, LLM_MEMORY_OTHER);
        if (!items) {
            graph->status = lm_fail_memory(&graph->error, "a graph", (size_t)cap * size);
            return LM_NONE;
        }
        list->items = items;
        list->cap = cap;
    }
    memcpy((char *)list->items + (size_t)list->n * size, item, size);
    return (int32_t)list->n++;
}

int32_t lm_graph_weight(lm_graph *graph, const lm_weight_info *info)
{
    return graph_push(graph, &graph->weights, info, sizeof *info);
}

int32_t lm_graph_stream(lm_graph *graph, const lm_stream *stream)
{
    if (graph->status >= 0 && stream->page_class >= LM_MAX_PAGE_CLASSES)
        graph->status = lm_fail(&graph->error, LLM_E_INTERNAL, "page class %u of a state stream does not exist", stream->page_class);
    return graph_push(graph, &graph->streams, stream, sizeof *stream);
}

int32_t lm_graph_value(lm_graph *graph, uint32_t rows, uint32_t width)
{
    const lm_value value = { .rows = rows, .width = width };
    if (graph->status >= 0 && (rows > LM_ROWS_OUT || width == 0))
        graph->status = lm_fail(&graph->error, LLM_E_INTERNAL, "a value of %u items over row set %u", width, rows);
    return graph_push(graph, &graph->values, &value, sizeof value);
}

lm_op lm_op_init(uint32_t kind, uint32_t rows, int32_t layer)
{
    lm_op op;
    memset(&op, 0, sizeof op);
    op.kind = kind;
    op.rows = rows;
    op.layer = layer;
    op.state = LM_NONE;
    for (int i = 0; i < LM_OP_IN; i++)
        op.in[i] = LM_NONE;
    for (int i = 0; i < LM_OP_OUT; i++)
        op.out[i] = LM_NONE;
    for (int i = 0; i < LM_OP_WEIGHTS; i++)
        op.weight[i] = LM_NONE;
    return op;
}

void lm_graph_part(lm_graph *graph, uint32_t given, uint32_t hands_on)
{
    graph->given = given;
    graph->hands_on = hands_on;
}

void lm_graph_plain_norms(lm_graph *graph)
{
    graph->plain_norms = true;
}

/* Emits the norm of an operation's first input, and makes its result that input. */
static void graph_split_norm(lm_graph *graph, lm_op *op, uint32_t *norm, float *eps)
{
    if (*norm == LM_NORM_NONE || op->in[0] < 0 || (uint32_t)op->in[0] >= graph->values.n)
        return;
    const lm_value *x = (const lm_value *)graph->values.items + op->in[0];
    lm_op plain = lm_op_init(LM_OP_NORM, op->rows, op->layer);
    plain.in[0] = op->in[0];
    plain.weight[3] = op->weight[3];
    plain.u.norm = (lm_op_norm){ *norm, *eps };
    plain.out[0] = lm_graph_value(graph, op->rows, x->width);
    graph_push(graph, &graph->ops, &plain, sizeof plain);
    op->in[0] = plain.out[0];
    op->weight[3] = LM_NONE;
    *norm = LM_NORM_NONE;
    *eps = 0;
}

void lm_graph_op(lm_graph *graph, const lm_op *op)
{
    lm_op copy = *op;
    if (graph->plain_norms && (op->kind == LM_OP_LINEAR || op->kind == LM_OP_LOGITS))
        graph_split_norm(graph, &copy, &copy.u.linear.norm, &copy.u.linear.eps);
    else if (graph->plain_norms && op->kind == LM_OP_LINEAR_EXPERTS)
        graph_split_norm(graph, &copy, &copy.u.experts.norm, &copy.u.experts.eps);
    graph_push(graph, &graph->ops, &copy, sizeof copy);
}

/* An exact copy of a list, so that a program costs what it holds. */
static llm_status graph_copy(lm_host *host, const graph_list *list, size_t size, void **out, llm_error *error)
{
    void *items = lm_mem_new_array(&host->mem, list->n, size, LLM_MEMORY_OTHER);
    if (!items)
        return lm_fail_memory(error, "a program", (size_t)list->n * size);
    if (list->n)
        memcpy(items, list->items, (size_t)list->n * size);
    *out = items;
    return LLM_OK;
}

static llm_status graph_fill(const lm_graph *graph, lm_program *p, llm_error *error)
{
    void *items = NULL;
    LM_TRY(graph_copy(graph->host, &graph->ops, sizeof(lm_op), &items, error));
    p->ops = items;
    LM_TRY(graph_copy(graph->host, &graph->values, sizeof(lm_value), &items, error));
    p->values = items;
    LM_TRY(graph_copy(graph->host, &graph->weights, sizeof(lm_weight_info), &items, error));
    p->weights = items;
    LM_TRY(graph_copy(graph->host, &graph->streams, sizeof(lm_stream), &items, error));
    p->streams = items;
    p->n_ops = graph->ops.n;
    p->n_values = graph->values.n;
    p->n_weights = graph->weights.n;
    p->n_streams = graph->streams.n;
    for (uint32_t s = 0; s < p->n_streams; s++)
        p->n_page_classes = LM_MAX(p->n_page_classes, p->streams[s].page_class + 1);
    return LLM_OK;
}

llm_status lm_graph_finish(lm_graph *graph, int32_t logits, uint32_t n_vocab, uint32_t n_embd, lm_program **out, llm_error *error)
{
    if (graph->status < 0) {
        if (error)
            *error = graph->error;
        return graph->status;
    }
    lm_program *program = lm_mem_new(&graph->host->mem, sizeof *program, LLM_MEMORY_OTHER);
    if (!program)
        return lm_fail_memory(error, "a program", sizeof *program);
    program->logits = logits;
    program->n_vocab = n_vocab;
    program->n_embd = n_embd;
    program->given = graph->given;
    program->hands_on = graph->hands_on;
    llm_status status = graph_fill(graph, program, error);
    if (status >= 0)
        status = lm_program_plan(graph->host, program, error);
    if (status >= 0)
        status = lm_program_check(program, error);
    if (status < 0) {
        lm_program_free(graph->host, program);
        return status;
    }
    *out = program;
    return LLM_OK;
}

void lm_program_free(lm_host *host, lm_program *program)
{
    if (!program)
        return;
    lm_mem_free(&host->mem, program->ops);
    lm_mem_free(&host->mem, program->values);
    lm_mem_free(&host->mem, program->weights);
    lm_mem_free(&host->mem, program->streams);
    lm_mem_free(&host->mem, program);
}
