/* SPDX-License-Identifier: MIT
 * qwen3: the dense Qwen 3 models. As llama, with an RMS norm of each head of q and k before rope, halves rotated (j, j + n_rot / 2),
 * no biases, and a head length of its own (attention.key_length). Threads: any. */
#include "model/arch/arch.h"
#include "model/arch/blocks.h"
#include "model/params.h"

static llm_status qwen3_build(const lm_catalogue *catalogue, const lm_params *p, lm_graph *graph, int32_t *logits, llm_error *error)
{
    static const lm_neutral_key foreign[] = { { "attention.sliding_window", 0 }, { "expert_count", 0 } };
    LM_TRY(lm_params_neutral(catalogue, "qwen3", foreign, LM_COUNT(foreign), error));
    lm_blocks b = lm_blocks_begin(catalogue, p, LM_ROPE_HALVES, graph, error);
    int32_t x = lm_block_embed(&b, 1.0f);
    b.angles = lm_block_angles(&b, &p->angles, true);
    for (b.layer = 0; b.layer < (int32_t)p->n_layers; b.layer++) {
        x = lm_block_attend(&b, x, (lm_block_attention){ .qk_norm = true, .last = b.layer + 1 == (int32_t)p->n_layers });
        x = lm_block_ffn(&b, x, (lm_block_feed){ .act = LM_ACT_SILU });
    }
    *logits = lm_block_logits(&b, x);
    return lm_blocks_end(&b);
}

const lm_arch lm_arch_qwen3 = { .name = "qwen3", .build = qwen3_build };
