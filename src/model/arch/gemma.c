/* SPDX-License-Identifier: MIT
 * gemma: Gemma 1 and CodeGemma. As llama, with embeddings times sqrt(n_embd), gelu in place of silu, halves rotated (j, j + n_rot / 2),
 * a head length of its own, and the embedding as output matrix. Files hold the norms' weights with the 1 that the original adds.
 * Threads: any. */
#include "model/arch/arch.h"
#include "model/arch/blocks.h"
#include "model/params.h"

#include <math.h>

static llm_status gemma_build(const lm_catalogue *catalogue, const lm_params *p, lm_graph *graph, int32_t *logits, llm_error *error)
{
    static const lm_neutral_key foreign[] = { { "attention.sliding_window", 0 }, { "expert_count", 0 } };
    LM_TRY(lm_params_neutral(catalogue, "gemma", foreign, LM_COUNT(foreign), error));
    lm_blocks b = lm_blocks_begin(catalogue, p, LM_ROPE_HALVES, graph, error);
    int32_t x = lm_block_embed(&b, sqrtf((float)p->n_embd));
    b.angles = lm_block_angles(&b, &p->angles, true);
    for (b.layer = 0; b.layer < (int32_t)p->n_layers; b.layer++) {
        x = lm_block_attend(&b, x, (lm_block_attention){ .last = b.layer + 1 == (int32_t)p->n_layers });
        x = lm_block_ffn(&b, x, (lm_block_feed){ .act = LM_ACT_GELU });
    }
    *logits = lm_block_logits(&b, x);
    return lm_blocks_end(&b);
}

const lm_arch lm_arch_gemma = { .name = "gemma", .knows = LM_KNOWS_GELU, .build = gemma_build };
