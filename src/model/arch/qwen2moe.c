/* SPDX-License-Identifier: MIT
 * qwen2moe: Qwen 1.5 and 2 with experts. As qwen2, with the best experts of several in place of each feed-forward block, their weights
 * as the softmax over all gave them, and one expert more that every row passes, behind a gate of its own:
 *
 *     x += sum over the chosen of p_e ffn_e(m) + sigmoid(Wg m) ffn_shared(m)        m = rms(x; ffn_norm)
 *
 * Threads: any. */
#include "model/arch/arch.h"
#include "model/arch/blocks.h"
#include "model/params.h"

static llm_status qwen2moe_build(const lm_catalogue *catalogue, const lm_params *p, lm_graph *graph, int32_t *logits, llm_error *error)
{
    static const lm_neutral_key foreign[] = { { "attention.sliding_window", 0 } };
    LM_TRY(lm_params_neutral(catalogue, "qwen2moe", foreign, LM_COUNT(foreign), error));
    if (p->n_expert == 0)
        return lm_fail(error, LLM_E_FORMAT, "key 'qwen2moe.expert_count' is missing or 0: this architecture is made of experts");
    lm_blocks b = lm_blocks_begin(catalogue, p, LM_ROPE_HALVES, graph, error);
    int32_t x = lm_block_embed(&b, 1.0f);
    b.angles = lm_block_angles(&b, &p->angles, true);
    for (b.layer = 0; b.layer < (int32_t)p->n_layers; b.layer++) {
        x = lm_block_attend(&b, x, (lm_block_attention){ .biases = true, .last = b.layer + 1 == (int32_t)p->n_layers });
        x = lm_block_experts(&b, x, true);
    }
    *logits = lm_block_logits(&b, x);
    return lm_blocks_end(&b);
}

const lm_arch lm_arch_qwen2moe = { .name = "qwen2moe", .knows = LM_KNOWS_SHARED_EXPERT, .defaults = { .plain_experts = 1 }, .build = qwen2moe_build };
