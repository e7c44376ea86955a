/* SPDX-License-Identifier: MIT
 * A program cut in two before a layer, so that its parts can run on two devices, one after the other. Residual streams make that simple: one
 * value crosses. Angles are computed in both parts, where they are needed: they are of positions alone. Owns the parts and the maps.
 * Knows no device. Threads: any; a finished cut is immutable. */
#include "graph/graph.h"

#include <string.h>

/* One part in the making. */
typedef struct cut_part {
    const lm_program *whole;
    lm_graph *graph;
    int32_t *value, *weight;                                /* the maps */
    int32_t *page_class;
    int32_t n_classes;
} cut_part;

static int32_t cut_value(cut_part *c, int32_t v)
{
    if (v == LM_NONE)
        return LM_NONE;
    if (c->value[v] == LM_NONE)
        c->value[v] = lm_graph_value(c->graph, c->whole->values[v].rows, c->whole->values[v].width);
    return c->value[v];
}

static int32_t cut_weight(cut_part *c, int32_t w)
{
    if (w == LM_NONE)
        return LM_NONE;
    if (c->weight[w] == LM_NONE)
        c->weight[w] = lm_graph_weight(c->graph, &c->whole->weights[w]);
    return c->weight[w];
}

static void cut_op(cut_part *c, const lm_op *from, const int32_t *streams)
{
    lm_op op = *from;
    for (int i = 0; i < LM_OP_IN; i++)
        op.in[i] = cut_value(c, from->in[i]);
    for (int i = 0; i < LM_OP_OUT; i++)
        op.out[i] = cut_value(c, from->out[i]);
    for (int i = 0; i < LM_OP_WEIGHTS; i++)
        op.weight[i] = cut_weight(c, from->weight[i]);
    op.state = from->state == LM_NONE ? LM_NONE : streams[from->state];
    lm_graph_op(c->graph, &op);
}

/* Is this value read from operation `begin` on? */
static bool cut_read(const lm_program *p, int32_t v, uint32_t begin)
{
    for (uint32_t o = begin; o < p->n_ops; o++)
        for (int i = 0; i < LM_OP_IN; i++)
            if (p->ops[o].in[i] == v)
                return true;
    return false;
}

/* The one value that crosses; angles do not. */
static llm_status cut_crossing(const lm_program *p, uint32_t at, int32_t *out, llm_error *error)
{
    *out = LM_NONE;
    for (uint32_t o = 0; o < at; o++)
        for (int i = 0; i < LM_OP_OUT; i++) {
            int32_t v = p->ops[o].out[i];
            if (v == LM_NONE || p->ops[o].kind == LM_OP_ANGLES || !cut_read(p, v, at))
                continue;
            if (*out != LM_NONE || p->values[v].rows != LM_ROWS_ALL)
                return lm_fail(error, LLM_E_UNSUPPORTED, "the program cannot be cut before operation %u: values %d and %d cross", at, *out, v);
            *out = v;
        }
    return *out != LM_NONE ? LLM_OK : lm_fail(error, LLM_E_UNSUPPORTED, "the program cannot be cut before operation %u: nothing crosses", at);
}

/* Streams of the operations [begin, end), in their order, with classes of their own. streams: [whole's] becomes the map. */
static llm_status cut_streams(cut_part *c, uint32_t begin, uint32_t end, int32_t *streams, llm_error *error)
{
    for (uint32_t s = 0; s < c->whole->n_streams; s++) {
        bool used = false;
        for (uint32_t o = begin; o < end && !used; o++)
            used = c->whole->ops[o].state == (int32_t)s;
        streams[s] = LM_NONE;
        if (!used)
            continue;
        lm_stream stream = c->whole->streams[s];
        int32_t *class = &c->page_class[stream.page_class];
        if (*class == LM_NONE)
            *class = c->n_classes++;
        stream.page_class = (uint32_t)*class;
        streams[s] = lm_graph_stream(c->graph, &stream);
        for (uint32_t o = 0; o < begin; o++)                /* pages of the whole are the parts' one behind the other */
            if (c->whole->ops[o].state >= (int32_t)s)
                return lm_fail(error, LLM_E_UNSUPPORTED, "the program cannot be cut before operation %u: streams %d and %u stand in another order", begin, c->whole->ops[o].state, s);
    }
    return LLM_OK;
}

static llm_status cut_part_make(lm_host *host, const lm_program *p, int part, int32_t crossing, int32_t *streams, lm_cut *out, llm_error *error)
{
    cut_part c = { .whole = p, .value = out->value[part], .weight = out->weight[part], .page_class = out->page_class[part] };
    LM_TRY(lm_graph_new(host, &c.graph, error));
    uint32_t begin = part ? out->op : 0, end = part ? p->n_ops : out->op;
    llm_status status = cut_streams(&c, begin, end, streams, error);
    if (part) {
        lm_graph_part(c.graph, (uint32_t)cut_value(&c, crossing) + 1, 0);
        for (uint32_t o = 0; o < begin; o++)
            if (p->ops[o].kind == LM_OP_ANGLES && cut_read(p, p->ops[o].out[0], begin)) {
                cut_op(&c, &p->ops[o], streams);
                out->n_again++;
            }
    } else {
        lm_graph_part(c.graph, 0, 1);
    }
    for (uint32_t o = begin; o < end; o++)
        cut_op(&c, &p->ops[o], streams);
    if (status >= 0)
        status = lm_graph_finish(c.graph, c.value[part ? p->logits : crossing], p->n_vocab, p->n_embd, &out->part[part], error);
    lm_graph_free(c.graph);
    return status;
}

llm_status lm_program_cut(lm_host *host, const lm_program *p, int32_t layer, lm_cut *out, llm_error *error)
{
    size_t n = 2 * ((size_t)p->n_values + p->n_weights) + p->n_streams;
    int32_t crossing = LM_NONE;
    memset(out, 0, sizeof *out);
    out->whole = p;
    while (out->op < p->n_ops && p->ops[out->op].layer < layer)
        out->op++;
    if (layer < 1 || out->op == p->n_ops)
        return lm_fail(error, LLM_E_INTERNAL, "a cut before layer %d", layer);
    LM_TRY(cut_crossing(p, out->op, &crossing, error));
    int32_t *maps = lm_mem_new_array(&host->mem, n, sizeof *maps, LLM_MEMORY_OTHER);
    if (!maps)
        return lm_fail_memory(error, "the parts of a program", n * sizeof *maps);
    for (size_t i = 0; i < n; i++)
        maps[i] = LM_NONE;
    for (int part = 0; part < 2; part++) {
        out->value[part] = maps + (size_t)part * p->n_values;
        out->weight[part] = maps + 2 * (size_t)p->n_values + (size_t)part * p->n_weights;
        for (int c = 0; c < LM_MAX_PAGE_CLASSES; c++)
            out->page_class[part][c] = LM_NONE;
    }
    llm_status status = LLM_OK;
    for (int part = 0; part < 2 && status >= 0; part++)
        status = cut_part_make(host, p, part, crossing, maps + 2 * ((size_t)p->n_values + p->n_weights), out, error);
    if (status < 0)
        lm_cut_free(host, out);
    return status;
}

void lm_cut_free(lm_host *host, lm_cut *cut)
{
    lm_program_free(host, cut->part[0]);
    lm_program_free(host, cut->part[1]);
    lm_mem_free(&host->mem, cut->value[0]);
    memset(cut, 0, sizeof *cut);
}
