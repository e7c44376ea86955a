/* SPDX-License-Identifier: MIT
 * qwen2: the dense Qwen 1.5, 2 and 2.5 models. As llama, with biases on q, k and v, and halves rotated (j, j + n_rot / 2).
 * Threads: any. */
#include "model/arch/arch.h"
#include "model/arch/blocks.h"
#include "model/params.h"

static llm_status qwen2_build(const lm_catalogue *catalogue, const lm_params *p, lm_graph *graph, int32_t *logits, llm_error *error)
{
    static const lm_neutral_key foreign[] = { { "attention.sliding_window", 0 }, { "expert_count", 0 } };
    LM_TRY(lm_params_neutral(catalogue, "qwen2", foreign, LM_COUNT(foreign), error));
    lm_blocks b = lm_blocks_begin(catalogue, p, LM_ROPE_HALVES, graph, error);
    int32_t x = lm_block_embed(&b, 1.0f);
    b.angles = lm_block_angles(&b, &p->angles, true);
    for (b.layer = 0; b.layer < (int32_t)p->n_layers; b.layer++) {
        x = lm_block_attend(&b, x, (lm_block_attention){ .biases = true, .last = b.layer + 1 == (int32_t)p->n_layers });
        x = lm_block_ffn(&b, x, (lm_block_feed){ .act = LM_ACT_SILU });
    }
    *logits = lm_block_logits(&b, x);
    return lm_blocks_end(&b);
}

const lm_arch lm_arch_qwen2 = { .name = "qwen2", .build = qwen2_build };
