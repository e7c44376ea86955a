/* SPDX-License-Identifier: MIT
 * What architectures are made of: each helper looks up its tensors, checks their exact shapes, and emits the operations of one block. Floor 8,
 * private to model/.
 *
 * Errors stick, as in lm_graph: after the first one every helper does nothing and returns LM_NONE; lm_blocks_end reports it.
 * Threads: one builder, one thread. */
#ifndef LM_MODEL_ARCH_BLOCKS_H
#define LM_MODEL_ARCH_BLOCKS_H

#include "model/model.h"

typedef struct lm_blocks {
    const lm_catalogue *catalogue;
    const lm_params *p;
    lm_graph *graph;
    llm_error *error;
    llm_status status;
    uint32_t rope;                      /* LM_ROPE_* of this architecture */
    uint32_t rows;                      /* row set that the residual stream is over: ALL, and OUT once lm_block_gather has run */
    int32_t layer;                      /* of the operations to come; -1: none */
    int32_t embedding;                  /* token_embd.weight, which a tied output shares */
    int32_t angles;                     /* value of (cos, sin), shared by all layers */
} lm_blocks;

/* Names below are without ".weight" and, for tensors of a layer, without "blk.N.". */

lm_blocks  lm_blocks_begin(const lm_catalogue *catalogue, const lm_params *params, uint32_t rope, lm_graph *graph, llm_error *error);
llm_status lm_blocks_end(lm_blocks *b);

/* A matrix of exactly [n_rows, n_cols], a vector of exactly n. Missing: the error names it, or LM_NONE if optional. `suffix`: "weight", "bias". */
int32_t lm_block_matrix(lm_blocks *b, const char *name, uint64_t n_rows, uint64_t n_cols, bool optional);
int32_t lm_block_vector(lm_blocks *b, const char *name, const char *suffix, uint64_t n, bool optional);
/* All experts as one matrix of n_expert * n_rows rows: one tensor {n_cols, n_rows, n_expert} "NAME_exps", or one for each expert, "NAME.E". */
int32_t lm_block_experts_matrix(lm_blocks *b, const char *name, uint64_t n_rows, uint64_t n_cols);

/* x = token_embd[token] */
int32_t lm_block_embed(lm_blocks *b);
/* cos and sin of every row's position, divided by rope_freqs.weight if the file has it. Goes to b->angles. */
void    lm_block_angles(lm_blocks *b);
/* x + Wo attend(rope(norm(Wq n)), rope(norm(Wk n)), Wv n), n = rms(x; attn_norm). q_norm: per-head norms of q and k. biases: taken where the file
 * has them. last: only rows that want an output go on. */
typedef struct lm_block_attention { bool qk_norm, biases, last; } lm_block_attention;
int32_t lm_block_attend(lm_blocks *b, int32_t x, lm_block_attention how);
/* x + Wdown (silu(Wgate n) * Wup n), n = rms(x; ffn_norm) */
int32_t lm_block_ffn(lm_blocks *b, int32_t x, bool biases);
/* x + sum over the chosen experts of weight_e * ffn_e(n), their weights made to sum to 1 */
int32_t lm_block_experts(lm_blocks *b, int32_t x);
/* output (or the embedding, where it is tied) times rms(x; output_norm) */
int32_t lm_block_logits(lm_blocks *b, int32_t x);

/* Part `part` of a weight of the program: most have one, experts in tensors of their own have as many. NULL past the last. */
const lm_tensor *lm_block_weight_part(const lm_catalogue *catalogue, const lm_weight_info *info, uint32_t part);

#endif
