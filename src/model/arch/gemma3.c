/* SPDX-License-Identifier: MIT
 * gemma3: the text part of Gemma 3. As gemma2, with an RMS norm of each head of q and k before rope in place of the soft cap of scores, no
 * soft cap of logits unless the file says one, and two ropes: five of six layers look back a window and rotate by a base of 10000, every
 * sixth sees everything and rotates by rope.freq_base, with the file's scaling. No key says how scores are scaled: by
 * 1 / sqrt(head_dim), and in the model of 62 layers (27B) by 1 / sqrt(n_embd / n_head). Threads: any. */
#include "model/arch/arch.h"
#include "model/arch/blocks.h"
#include "model/params.h"

#include <math.h>

enum { GEMMA3_LAYERS_27B = 62 };

static llm_status gemma3_build(const lm_catalogue *catalogue, const lm_params *params, lm_graph *graph, int32_t *logits, llm_error *error)
{
    static const lm_neutral_key foreign[] = { { "expert_count", 0 }, { "attn_logit_softcapping", 0 } };
    LM_TRY(lm_params_neutral(catalogue, "gemma3", foreign, LM_COUNT(foreign), error));
    lm_params p = *params;
    if (!p.scale_stated && p.n_layers == GEMMA3_LAYERS_27B)
        p.attention_scale = 1.0f / sqrtf((float)p.n_embd / (float)p.n_head);
    lm_blocks b = lm_blocks_begin(catalogue, &p, LM_ROPE_HALVES, graph, error);
    int32_t x = lm_block_embed(&b, sqrtf((float)p.n_embd));
    int32_t far = lm_block_angles(&b, &p.angles, true), near = p.window ? lm_block_angles(&b, &p.window_angles, false) : LM_NONE;
    for (b.layer = 0; b.layer < (int32_t)p.n_layers; b.layer++) {
        uint32_t window = lm_params_window(&p, b.layer);
        b.angles = window ? near : far;
        x = lm_block_attend(&b, x, (lm_block_attention){ .qk_norm = true, .post_norm = true, .window = window, .last = b.layer + 1 == (int32_t)p.n_layers });
        x = lm_block_ffn(&b, x, (lm_block_feed){ .act = LM_ACT_GELU, .post_norm = true });
    }
    *logits = lm_block_logits(&b, x);
    return lm_blocks_end(&b);
}

const lm_arch lm_arch_gemma3 = {
    .name = "gemma3",
    .knows = LM_KNOWS_SOFTCAPS | LM_KNOWS_WINDOW_PATTERN | LM_KNOWS_WINDOW_ROPE | LM_KNOWS_GELU,
    .defaults = { .window_period = 6 },
    .build = gemma3_build
};
