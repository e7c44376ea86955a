/* SPDX-License-Identifier: MIT
 * Pre-tokenizers: the names that files have, and the walk through a text. */
#include "text/pretokenize.h"

#include <string.h>

enum { PRE_WHOLE = LM_PRE_WHOLE, PRE_BOS = LM_PRE_BOS, PRE_SEP = LM_PRE_SEP, PRE_CLEAN = LM_PRE_CLEAN, PRE_CHARS = LM_PRE_CHARS };

static const lm_pre pre_table[] = {
    { "default", { lm_scan_punct, lm_scan_gpt2, lm_scan_numbers, lm_scan_digits_3 }, PRE_CLEAN },
    /* gpt-2 */
    { "gpt-2 phi-2 jina-es jina-de jina-v2-es jina-v2-de gigachat a.x-4.0 mellum modern-bert exaone4 mpt olmo jais",
      { lm_scan_gpt2 }, PRE_CLEAN },
    { "jina-v1-en jina-v2-code roberta-bpe", { lm_scan_gpt2 }, PRE_CLEAN | PRE_SEP },
    { "trillion granite-docling", { lm_scan_gpt2 }, 0 },
    { "starcoder refact codeshell exaone minerva-7b mellum2", { lm_scan_number, lm_scan_gpt2 }, PRE_CLEAN },
    { "command-r smollm", { lm_scan_number, lm_scan_gpt2 }, 0 },
    { "falcon", { lm_scan_punct_tick, lm_scan_gpt2, lm_scan_digits_3 }, PRE_CLEAN },
    { "chameleon", { lm_scan_sentinel, lm_scan_image, lm_scan_indent, lm_scan_number, lm_scan_each_punct, lm_scan_gpt2 }, PRE_BOS },
    /* llama-3 */
    { "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", { lm_scan_llama3 }, PRE_WHOLE | PRE_BOS | PRE_CLEAN },
    { "dbrx smaug-bpe glm4 chatglm-bpe", { lm_scan_llama3 }, PRE_CLEAN },
    { "minicpm5", { lm_scan_numbers_3, lm_scan_minicpm }, PRE_WHOLE | PRE_CLEAN },
    { "jais-2", { lm_scan_jais2 }, PRE_CLEAN },
    { "stablelm2 megrez", { lm_scan_qwen2 }, PRE_CLEAN },
    { "qwen2 deepseek-r1-qwen kormo f2llmv2 hunyuan solar-open grok-2 bailingmoe bailingmoe2 llada-moe", { lm_scan_qwen2 }, 0 },
    { "qwen35", { lm_scan_qwen35 }, 0 },
    { "laguna", { lm_scan_lines, lm_scan_qwen2 }, 0 },
    { "seed-coder", { lm_scan_seed }, 0 },
    { "exaone-moe", { lm_scan_exaone_moe }, PRE_CLEAN },
    /* gpt-4o */
    { "gpt-4o llama4 kanana2 talkie minimax-m2", { lm_scan_o200k }, 0 },
    { "granite-embed-multi-97m", { lm_scan_o200k }, PRE_WHOLE },
    { "tiny_aya cohere2moe", { lm_scan_thousands, lm_scan_o200k }, 0 },
    { "tekken", { lm_scan_tekken }, PRE_WHOLE | PRE_BOS },
    { "youtu", { lm_scan_youtu_scripts, lm_scan_youtu }, PRE_WHOLE },
    { "kimi-k2", { lm_scan_kimi }, LM_PRE_RANKS },
    /* DeepSeek */
    { "deepseek-v3 hunyuan-dense joyai-llm", { lm_scan_numbers_3, lm_scan_cjk, lm_scan_deepseek3 }, 0 },
    { "afmoe", { lm_scan_thousands_any, lm_scan_afmoe_scripts, lm_scan_deepseek3 }, 0 },
    { "deepseek-llm", { lm_scan_newline, lm_scan_blank_cased, lm_scan_blank_marks, lm_scan_last_spaces, lm_scan_cjk_wide, lm_scan_numbers }, 0 },
    { "deepseek-coder", { lm_scan_newline, lm_scan_blank_letters, lm_scan_blank_punct, lm_scan_cjk_wide, lm_scan_number }, 0 },
    /* others */
    { "bloom gpt3-finnish", { lm_scan_bloom }, PRE_CLEAN },
    { "poro-chat", { lm_scan_bloom }, 0 },
    { "viking", { lm_scan_bloom, lm_scan_number }, 0 },
    { "gemma4 granite-embed-multi-311m", { lm_scan_lines }, PRE_CHARS | LM_PRE_LINES | PRE_CLEAN },
    { "sarvam-moe", { lm_scan_lines }, PRE_CHARS },
    { "whitespace", { lm_scan_graphs }, PRE_CHARS | LM_PRE_GRAPHS | PRE_CLEAN },
    { "superbpe", { lm_scan_numbers, lm_scan_thousand_cuts }, 0 },
};

static bool pre_has_name(const char *names, llm_str name)
{
    while (*names) {
        size_t len = strcspn(names, " ");
        if (len == name.len && memcmp(names, name.ptr, len) == 0)
            return true;
        names += len + (names[len] == ' ');
    }
    return false;
}

const lm_pre *lm_pre_find(llm_str name)
{
    if (!name.ptr || name.len == 0)
        return &pre_table[0];
    for (size_t i = 0; i < LM_COUNT(pre_table); i++)
        if (pre_has_name(pre_table[i].names, name))
            return &pre_table[i];
    return NULL;
}

void lm_pre_begin(lm_pre_walk *walk, const lm_pre *pre, const char *text, size_t len)
{
    walk->pre = pre;
    walk->at = text;
    walk->end = text + len;
    for (int i = 0; i < LM_PRE_STAGES; i++)
        walk->stage_end[i] = walk->stage_mark[i] = text;
}

/* A stage whose piece is used up takes the next one from the piece of the stage outside it. */
bool lm_pre_next(lm_pre_walk *walk, const char **word)
{
    const char *at = walk->at, *container = walk->end;
    if (at == walk->end)
        return false;
    for (int i = 0; i < LM_PRE_STAGES && walk->pre->stages[i]; i++) {
        if (walk->stage_end[i] == at)
            walk->stage_end[i] = walk->pre->stages[i](at, container, &walk->stage_mark[i]);
        container = walk->stage_end[i];
    }
    *word = at;
    walk->at = container;
    return true;
}
