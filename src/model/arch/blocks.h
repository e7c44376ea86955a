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
    int32_t angles;                     /* value of (cos, sin) that the next layer rotates by: lm_block_angles */
    uint32_t keeps[LM_MAX_PAGE_CLASSES], n_classes;     /* how long the streams of each page class so far keep */
} lm_blocks;

/* Names below are without ".weight" and, for tensors of a layer, without "blk.N.". */

lm_blocks  lm_blocks_begin(const lm_catalogue *catalogue, const lm_params *params, uint32_t rope, lm_graph *graph, llm_error *error);
llm_status lm_blocks_end(lm_blocks *b);

/* A matrix of exactly [n_rows, n_cols], a vector of exactly n. Missing: the error names it, or LM_NONE if optional. `suffix`: "weight", "bias". */
int32_t lm_block_matrix(lm_blocks *b, const char *name, uint64_t n_rows, uint64_t n_cols, bool optional);
int32_t lm_block_vector(lm_blocks *b, const char *name, const char *suffix, uint64_t n, bool optional);
/* The tensor NAME.weight, or NULL. */
const lm_tensor *lm_block_find(const lm_blocks *b, const char *name);
/* n matrices of n_rows[i] rows that lie one after another in one tensor; their biases, where wanted and there, in one vector. */
void    lm_block_fused(lm_blocks *b, const char *name, uint32_t n, const uint32_t *n_rows, uint64_t n_cols, bool biases, int32_t *matrices, int32_t *vectors);
/* All experts as one matrix of n_expert * n_rows rows: one tensor {n_cols, n_rows, n_expert} "NAME_exps", or one for each expert, "NAME.E". */
int32_t lm_block_experts_matrix(lm_blocks *b, const char *name, uint64_t n_rows, uint64_t n_cols);

/* x = token_embd[token] * scale */
int32_t lm_block_embed(lm_blocks *b, float scale);
/* cos and sin of every row's position, for b->angles. divisors: of the frequencies, by rope_freqs.weight where the file
 * has it, or by rope_factors_short.weight and rope_factors_long.weight. */
int32_t lm_block_angles(lm_blocks *b, const lm_op_angles *angles, bool divisors);

/* x + Wo attend(rope(norm(Wq n)), rope(norm(Wk n)), Wv n), n = rms(x; attn_norm). Wq, Wk, Wv: three tensors, or one, attn_qkv
 *   qk_norm     norms of each head of q and k
 *   biases      taken where the file has them
 *   post_norm   x + rms(Wo ..; post_attention_norm)
 *   window      a row sees its last so many positions, and no more are kept; 0: all
 *   last        only rows that want an output go on */
typedef struct lm_block_attention { bool qk_norm, biases, post_norm, last; uint32_t window; } lm_block_attention;
int32_t lm_block_attend(lm_blocks *b, int32_t x, lm_block_attention how);
/* x + Wdown (act(Wgate n) * Wup n), n = rms(x; ffn_norm); post_norm: x + rms(Wdown ..; post_ffw_norm). Without a ffn_gate the first half of
 * ffn_up's rows is the gate. */
typedef struct lm_block_feed { uint32_t act; bool biases, post_norm; } lm_block_feed;
int32_t lm_block_ffn(lm_blocks *b, int32_t x, lm_block_feed how);
/* x + sum over the chosen experts of weight_e * ffn_e(n), with silu. shared: + sigmoid(Wg n) * ffn_shared(n), an expert for all rows */
int32_t lm_block_experts(lm_blocks *b, int32_t x, bool shared);
/* output (or the embedding, where it is tied) times rms(x; output_norm); a soft cap where the parameters say one */
int32_t lm_block_logits(lm_blocks *b, int32_t x);

/* Part `part` of a weight of the program: most have one, experts in tensors of their own have as many. NULL past the last. */
const lm_tensor *lm_block_weight_part(const lm_catalogue *catalogue, const lm_weight_info *info, uint32_t part);

#endif
