/* SPDX-License-Identifier: MIT
 * A vocabulary that may say anything: loaded, and if it loads, every token asked for and a text encoded and decoded. */
#include "fuzz.h"
#include "models.h"
#include "mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) { return mutate_gguf(data, size, max_size, seed); }
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max_size, unsigned int seed)
{
    return mutate_cross(a, a_size, b, b_size, out, max_size, seed);
}

void fuzz_seeds(void (*put)(const char *name, const void *data, size_t size))
{
    static const char *const kinds[] = { "spm", "spm256", "bpe", "chars" };
    static const char *const pres[] = { "default", "llama-bpe", "deepseek-llm", "deepseek-v3", "gpt-4o", "tekken", "gpt-2", "bert-bpe", "falcon", "kimi-k2" };
    static unsigned char file[MODELS_MOST];
    doc *d = doc_new();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        doc_clear(d);
        doc_text(d, "general.architecture", "llama");
        models_vocabulary(d, kinds[i]);
        put(kinds[i], file, doc_write(d, file, sizeof file));
    }
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        doc_clear(d);
        doc_text(d, "general.architecture", "llama");
        models_vocabulary(d, "bpe");
        doc_text(d, "tokenizer.ggml.pre", pres[i]);
        put(pres[i], file, doc_write(d, file, sizeof file));
    }
    doc_free(d);
}

static void tokenizer_use(const llm_tokenizer *t)
{
    static const char text[] = "ab abc  cde {\"a\": 12}\n\xc3\xa9\xe2\x82\xac \xff<|c|><|im_end|> ENDab\xc0 he'll 1234";
    enum { CAP = 512 };
    llm_token tokens[CAP];
    char back[CAP * 16];
    size_t n = 0, len = 0;
    llm_error error;
    int32_t n_vocab = llm_tokenizer_n_vocab(t);
    llm_token_info info = LLM_INIT(llm_token_info);
    FUZZ_CHECK(n_vocab > 0, "%d tokens", n_vocab);
    for (int32_t i = 0; i < n_vocab; i++) {
        FUZZ_CHECK(llm_tokenizer_token(t, i, &info, &error) == LLM_OK, "%s", error.message);
        FUZZ_CHECK(info.bytes[info.n_bytes] == 0 && info.kind >= LLM_TOKEN_NORMAL && info.kind <= LLM_TOKEN_BYTE, "token %d", i);
        fuzz_status(llm_tokenizer_decode(t, &i, 1, LLM_DECODE_SHOW_SPECIAL, back, sizeof back, &len, &error), &error);
    }
    for (int32_t which = -1; which < 18; which++) {
        llm_token id = llm_tokenizer_special(t, which);
        FUZZ_CHECK(id == LLM_TOKEN_NONE || (id >= 0 && id < n_vocab), "special %d is %d", which, id);
    }
    for (uint32_t flags = 0; flags < 8; flags++) {
        llm_status status = fuzz_status(llm_tokenizer_encode(t, text, sizeof text - 1, flags, tokens, CAP, &n, &error), &error);
        FUZZ_CHECK(status == LLM_OK && n <= sizeof text + 3, "%d: %zu tokens", status, n);
        for (size_t i = 0; i < n; i++)
            FUZZ_CHECK(tokens[i] >= 0 && tokens[i] < n_vocab, "token %d", tokens[i]);
        fuzz_status(llm_tokenizer_decode(t, tokens, n, flags & 3, back, sizeof back, &len, &error), &error);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    llm_tokenizer *t = NULL;
    llm_error error;
    llm_source source = fuzz_source(data, size);
    llm_engine *engine = fuzz_engine(0);
    fuzz_begin(size);
    llm_status status = fuzz_status(llm_tokenizer_load(engine, &source, &t, &error), &error);
    FUZZ_CHECK((status == LLM_OK) == (t != NULL), "status %d", status);
    if (t)
        tokenizer_use(t);
    llm_tokenizer_free(t);
    fuzz_end();
    return 0;
}
