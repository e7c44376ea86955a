/* SPDX-License-Identifier: MIT
 * llama: Llama 1 to 3.x, Mistral, Mixtral (experts) and the many that share their shape.
 *
 *     x = embed(token)
 *     for each layer:  x += Wo attend(rope(Wq n), rope(Wk n), Wv n)        n = rms(x; attn_norm)
 *                      x += Wdown (silu(Wgate m) * Wup m)                  m = rms(x; ffn_norm); or the best experts of several
 *     logits = W rms(x; output_norm)
 *
 * Rope rotates pairs (2j, 2j + 1): files of this family hold the rows of Wq and Wk permuted for that. Biases are taken where
 * the file has them. Where a file says attention.sliding_window (Mistral 7B v0.1 was trained with 4096), every layer's rows see only
 * their last so many positions, as in the original and in transformers. llama.cpp neither reads the key for this family nor writes it when
 * it converts, so most files of that model go without, and attend to all. Threads: any. */
#include "model/arch/arch.h"
#include "model/arch/blocks.h"

static llm_status llama_build(const lm_catalogue *catalogue, const lm_params *p, lm_graph *graph, int32_t *logits, llm_error *error)
{
    lm_blocks b = lm_blocks_begin(catalogue, p, LM_ROPE_PAIRS, graph, error);
    int32_t x = lm_block_embed(&b, 1.0f);
    b.angles = lm_block_angles(&b, &p->angles, true);
    for (b.layer = 0; b.layer < (int32_t)p->n_layers; b.layer++) {
        x = lm_block_attend(&b, x, (lm_block_attention){ .biases = true, .last = b.layer + 1 == (int32_t)p->n_layers,
                                                        .window = lm_params_window(p, b.layer) });
        x = p->n_expert ? lm_block_experts(&b, x, false) : lm_block_ffn(&b, x, (lm_block_feed){ .act = LM_ACT_SILU, .biases = true });
    }
    *logits = lm_block_logits(&b, x);
    return lm_blocks_end(&b);
}

const lm_arch lm_arch_llama = { .name = "llama", .build = llama_build };
