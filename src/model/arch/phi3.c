/* SPDX-License-Identifier: MIT
 * phi3: Phi-3, Phi-3.5 (the dense ones) and Phi-4. As llama, with halves rotated (j, j + n_rot / 2), in Phi-4-mini only the first three
 * quarters of each head; q, k and v in one tensor (attn_qkv), gate and up in another (ffn_up: gate first).
 *
 * Files of the 128k models hold two sets of divisors of the angles: the long ones serve sessions whose context is longer than
 * rope.scaling.original_context_length, the short ones all others; rope.scaling.attn_factor multiplies cos and sin either way.
 * attention.sliding_window (2047 in the 4k models, 0 or more than the context elsewhere) is honoured, as in transformers; llama.cpp
 * attends to all. Threads: any. */
#include "model/arch/arch.h"
#include "model/arch/blocks.h"
#include "model/params.h"

static llm_status phi3_build(const lm_catalogue *catalogue, const lm_params *p, lm_graph *graph, int32_t *logits, llm_error *error)
{
    static const lm_neutral_key foreign[] = { { "expert_count", 0 } };
    LM_TRY(lm_params_neutral(catalogue, "phi3", foreign, LM_COUNT(foreign), error));
    lm_blocks b = lm_blocks_begin(catalogue, p, LM_ROPE_HALVES, graph, error);
    int32_t x = lm_block_embed(&b, 1.0f);
    b.angles = lm_block_angles(&b, &p->angles, true);
    for (b.layer = 0; b.layer < (int32_t)p->n_layers; b.layer++) {
        x = lm_block_attend(&b, x, (lm_block_attention){ .last = b.layer + 1 == (int32_t)p->n_layers, .window = lm_params_window(p, b.layer) });
        x = lm_block_ffn(&b, x, (lm_block_feed){ .act = LM_ACT_SILU });
    }
    *logits = lm_block_logits(&b, x);
    return lm_blocks_end(&b);
}

const lm_arch lm_arch_phi3 = { .name = "phi3", .build = phi3_build };
