/* SPDX-License-Identifier: MIT
 * gemma2: Gemma 2.
 *
 *     x = embed(token) * sqrt(n_embd)
 *     for each layer:  x += rms(Wo attend(rope(Wq n), rope(Wk n), Wv n); post_attention_norm)     n = rms(x; attn_norm)
 *                      x += rms(Wdown (gelu(Wgate m) * Wup m); post_ffw_norm)                     m = rms(x; ffn_norm)
 *     logits = cap(W rms(x; output_norm)),  W the embedding
 *
 * Scores of attention and logits pass soft caps (50 and 30). Even layers look back a window of 4096, odd ones see everything. Rope rotates
 * halves (j, j + n_rot / 2). Files hold the norms' weights with the 1 that the original adds. No key says how scores are scaled: by
 * 1 / sqrt(head_dim), and in the model of 46 layers (27B) by 1 / sqrt(n_embd / n_head). Threads: any. */
#include "model/arch/arch.h"
#include "model/arch/blocks.h"
#include "model/params.h"

#include <math.h>

enum { GEMMA2_LAYERS_27B = 46 };

static llm_status gemma2_build(const lm_catalogue *catalogue, const lm_params *params, lm_graph *graph, int32_t *logits, llm_error *error)
{
    static const lm_neutral_key foreign[] = { { "expert_count", 0 } };
    LM_TRY(lm_params_neutral(catalogue, "gemma2", foreign, LM_COUNT(foreign), error));
    lm_params p = *params;
    if (!p.scale_stated && p.n_layers == GEMMA2_LAYERS_27B)
        p.attention_scale = 1.0f / sqrtf((float)p.n_embd / (float)p.n_head);
    lm_blocks b = lm_blocks_begin(catalogue, &p, LM_ROPE_HALVES, graph, error);
    int32_t x = lm_block_embed(&b, sqrtf((float)p.n_embd));
    b.angles = lm_block_angles(&b, &p.angles, true);
    for (b.layer = 0; b.layer < (int32_t)p.n_layers; b.layer++) {
        x = lm_block_attend(&b, x, (lm_block_attention){ .post_norm = true, .window = lm_params_window(&p, b.layer), .last = b.layer + 1 == (int32_t)p.n_layers });
        x = lm_block_ffn(&b, x, (lm_block_feed){ .act = LM_ACT_GELU, .post_norm = true });
    }
    *logits = lm_block_logits(&b, x);
    return lm_blocks_end(&b);
}

const lm_arch lm_arch_gemma2 = {
    .name = "gemma2",
    .knows = LM_KNOWS_SOFTCAPS | LM_KNOWS_WINDOW_PATTERN | LM_KNOWS_GELU,
    .defaults = { .window = 4096, .window_period = 2, .attention_softcap = 50.0f, .logit_softcap = 30.0f },
    .build = gemma2_build
};
