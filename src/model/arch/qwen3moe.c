/* SPDX-License-Identifier: MIT
 * qwen3moe: the Qwen 3 models with experts. As qwen3, with the best experts of several in place of each feed-forward block: a softmax
 * over all, the chosen ones' weights made to sum to 1, no shared expert. Threads: any. */
#include "model/arch/arch.h"
#include "model/arch/blocks.h"
#include "model/params.h"

static llm_status qwen3moe_build(const lm_catalogue *catalogue, const lm_params *p, lm_graph *graph, int32_t *logits, llm_error *error)
{
    static const lm_neutral_key foreign[] = { { "attention.sliding_window", 0 } };
    LM_TRY(lm_params_neutral(catalogue, "qwen3moe", foreign, LM_COUNT(foreign), error));
    if (p->n_expert == 0)
        return lm_fail(error, LLM_E_FORMAT, "key 'qwen3moe.expert_count' is missing or 0: this architecture is made of experts");
    lm_blocks b = lm_blocks_begin(catalogue, p, LM_ROPE_HALVES, graph, error);
    int32_t x = lm_block_embed(&b, 1.0f);
    b.angles = lm_block_angles(&b, &p->angles, true);
    for (b.layer = 0; b.layer < (int32_t)p->n_layers; b.layer++) {
        x = lm_block_attend(&b, x, (lm_block_attention){ .qk_norm = true, .last = b.layer + 1 == (int32_t)p->n_layers });
        x = lm_block_experts(&b, x, false);
    }
    *logits = lm_block_logits(&b, x);
    return lm_blocks_end(&b);
}

const lm_arch lm_arch_qwen3moe = { .name = "qwen3moe", .build = qwen3moe_build };
