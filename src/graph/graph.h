/* SPDX-License-Identifier: MIT
 * From recipe to program: a builder that architectures call, then the memory plan. Floor 7. Knows no files, no concrete backend.
 * Threads: one builder, one thread. The finished program is immutable. */
#ifndef LM_GRAPH_GRAPH_H
#define LM_GRAPH_GRAPH_H

#include "ops/ops.h"

#include "base/host.h"

/* Errors stick: after the first one every call does nothing and returns LM_NONE; lm_graph_finish reports it. */
typedef struct lm_graph lm_graph;

llm_status lm_graph_new(lm_host *host, lm_graph **out, llm_error *error);
void       lm_graph_free(lm_graph *graph);

/* From here on a norm before a product becomes an operation of its own: the same bits, and the product's input can be read. */
void    lm_graph_plain_norms(lm_graph *graph);
int32_t lm_graph_weight(lm_graph *graph, const lm_weight_info *info);
int32_t lm_graph_stream(lm_graph *graph, const lm_stream *stream);
int32_t lm_graph_value(lm_graph *graph, uint32_t rows, uint32_t width);
/* This graph is a part of a program: see lm_program. */
void    lm_graph_part(lm_graph *graph, uint32_t given, uint32_t hands_on);
/* Copies *op (begun with lm_op_init) to the end of the program. */
void    lm_graph_op(lm_graph *graph, const lm_op *op);
lm_op   lm_op_init(uint32_t kind, uint32_t rows, int32_t layer);      /* all operands LM_NONE */

/* Plans memory (first fit over lifetimes), checks (lm_program_check), and gives the program. Owns: *out, which no longer needs the
 * graph; names of weights stay borrowed. */
llm_status lm_graph_finish(lm_graph *graph, int32_t logits, uint32_t n_vocab, uint32_t n_embd, lm_program **out, llm_error *error);
void       lm_program_free(lm_host *host, lm_program *program);

/* Cuts a program before the first operation of this layer, which is not the first one. The whole outlives the parts. E_UNSUPPORTED: more than one
 * value crosses there. Owns: what is in *out; free: nothing of it but what is there. */
llm_status lm_program_cut(lm_host *host, const lm_program *program, int32_t layer, lm_cut *out, llm_error *error);
void       lm_cut_free(lm_host *host, lm_cut *cut);

/* The program as text, an operation a line: for people and for tests. Writes at most cap bytes with a NUL; returns the full length. */
size_t     lm_program_dump(const lm_program *program, char *out, size_t cap);

#endif
