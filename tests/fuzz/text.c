/* SPDX-License-Identifier: MIT
 * Any text through every kind of vocabulary and back. Byte 0: the vocabulary, byte 1: flags. All of these vocabularies have all bytes, so what comes back is the
 * text; cut anywhere, its parts decode to it. */
#include "fuzz.h"
#include "models.h"

#include "base/utf8.h"

#include <stdlib.h>

static const struct { const char *kind, *pre; } text_kinds[] = {
    { "spm256", NULL }, { "bpe", "default" }, { "bpe", "gpt-2" }, { "bpe", "jina-v1-en" }, { "bpe", "trillion" }, { "bpe", "starcoder" },
    { "bpe", "command-r" }, { "bpe", "falcon" }, { "bpe", "chameleon" }, { "bpe", "llama-bpe" }, { "bpe", "glm4" }, { "bpe", "minicpm5" },
    { "bpe", "jais-2" }, { "bpe", "stablelm2" }, { "bpe", "qwen2" }, { "bpe", "qwen35" }, { "bpe", "laguna" }, { "bpe", "seed-coder" },
    { "bpe", "exaone-moe" }, { "bpe", "gpt-4o" }, { "bpe", "granite-embed-multi-97m" }, { "bpe", "tiny_aya" }, { "bpe", "tekken" }, { "bpe", "youtu" },
    { "bpe", "kimi-k2" }, { "bpe", "deepseek-v3" }, { "bpe", "afmoe" }, { "bpe", "deepseek-llm" }, { "bpe", "deepseek-coder" }, { "bpe", "bloom" },
    { "bpe", "poro-chat" }, { "bpe", "viking" }, { "bpe", "superbpe" }, { "chars256", NULL }
};
enum { TEXT_KINDS = sizeof text_kinds / sizeof *text_kinds };

static llm_tokenizer *text_tokenizer(uint32_t i)
{
    static llm_tokenizer *kept[TEXT_KINDS];
    static bool unknown[TEXT_KINDS];
    static unsigned char file[MODELS_MOST];
    llm_error error;
    if (kept[i] || unknown[i])
        return kept[i];
    doc *d = doc_new();
    doc_text(d, "general.architecture", "llama");
    models_vocabulary(d, text_kinds[i].kind);
    if (text_kinds[i].pre)
        doc_text(d, "tokenizer.ggml.pre", text_kinds[i].pre);
    llm_source source = fuzz_source(file, doc_write(d, file, sizeof file));
    doc_free(d);
    llm_status status = llm_tokenizer_load(fuzz_engine(0), &source, &kept[i], &error);
    FUZZ_CHECK(status == LLM_OK || (status == LLM_E_UNSUPPORTED && text_kinds[i].pre), "%s %s: %s", text_kinds[i].kind, text_kinds[i].pre ? text_kinds[i].pre : "", error.message);
    unknown[i] = status != LLM_OK;
    return kept[i];
}

void fuzz_seeds(void (*put)(const char *name, const void *data, size_t size))
{
    static const char *const texts[] = { "hello  abc\n\n 123456 he'll I'M don't", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 \xe4\xbd\xa0\xe5\xa5\xbd \xed\x95\x9c\xea\xb5\xad",
                                         "<|im_start|>user\n<think>ab</s><s><unk>", "\xff\xfe\xc0\x80\xed\xa0\x80", "\t \r\n  x=1.5e-3;//_A", "\xe2\x96\x81\342\226\201ab", "" };
    char name[32] = "text0";
    uint8_t data[256];
    for (uint32_t i = 0; i < TEXT_KINDS; i++)
        for (uint32_t k = 0; k < 7; k++)
            if (i < 2 || (i + k) % 7 == 0) {
                size_t len = strlen(texts[k]);
                data[0] = (uint8_t)i;
                data[1] = (uint8_t)(i + k);
                memcpy(data + 2, texts[k], len);
                name[4] = (char)('0' + k);
                name[5] = (char)('0' + i);
                put(name, data, len + 2);
            }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint32_t flags = data[1] & (LLM_ENCODE_PARSE_SPECIAL | LLM_ENCODE_CONTINUES);
    llm_tokenizer *t = text_tokenizer(data[0] % TEXT_KINDS);
    const char *text = (const char *)data + 2;
    size_t len = size - 2, cap = len + 3, n = 0, back_len = 0, other = 0;
    llm_error error;
    if (!t)
        return 0;
    bool bpe = text_kinds[data[0] % TEXT_KINDS].pre != NULL;
    llm_token *tokens = malloc(cap * sizeof *tokens);
    char *back = malloc(len * 3 + 64);
    fuzz_begin(size * 16);
    llm_status status = fuzz_status(llm_tokenizer_encode(t, text, len, flags, tokens, cap, &n, &error), &error);
    FUZZ_CHECK(status == LLM_OK, "%s", error.message);
    status = fuzz_status(llm_tokenizer_decode(t, tokens, n, LLM_DECODE_SHOW_SPECIAL, back, len * 3 + 64, &back_len, &error), &error);
    FUZZ_CHECK(status == LLM_OK, "%s", error.message);
    /* to the others U+2581 is a space, what is no UTF-8 becomes U+FFFD, and spaces come behind control tokens */
    if (bpe || (!(flags & LLM_ENCODE_PARSE_SPECIAL) && !memchr(text, 0xe2, len) && lm_utf8_valid(text, len)))
        FUZZ_CHECK(!bpe && (flags & LLM_ENCODE_CONTINUES) ? back_len <= len : back_len == len && memcmp(back, text, len) == 0, "%zu bytes became %zu", len, back_len);
    /* asking for the size, a cap too small, and the same again */
    status = llm_tokenizer_encode(t, text, len, flags, NULL, 0, &other, &error);
    FUZZ_CHECK((status == LLM_E_SPACE || n == 0) && other == n, "%zu, then %zu tokens", n, other);
    status = llm_tokenizer_encode(t, text, len, LLM_ENCODE_ADD_SPECIAL | flags, tokens, cap, &other, &error);
    FUZZ_CHECK((status == LLM_OK || status == LLM_E_SPACE) && other >= n && other <= n + 2, "%zu, with special ones %zu", n, other);
    fuzz_end();
    free(tokens);
    free(back);
    return 0;
}
