/* SPDX-License-Identifier: MIT
 * The Universal Declaration of Human Rights in 530 languages under every vocabulary at hand: encoded and decoded it is the same
 * text, and read as it streams, as a session's reader gets it, it is what decoding at once gives. Every fourth text, from another
 * one on for each vocabulary, so that each text is under some of them; with an argument n every n-th, 1 being all under all. */
#include "text_data.h"

#include "session/reply.h"

#include "base/utf8.h"

typedef struct text_file { char *text; size_t len; } text_file;
static text_file files[1000];
static size_t n_files;

static bool load_files(const char *list)
{
    size_t size;
    char *paths = test_read_file(list, &size);
    if (!paths)
        return false;
    for (char *path = paths, *end; n_files < LM_COUNT(files) && (end = strchr(path, '\n')) != NULL; path = end + 1) {
        *end = 0;
        files[n_files].text = test_read_file(path, &files[n_files].len);
        if (CHECK_MSG(files[n_files].text && files[n_files].len > 0, "%s", path))
            n_files++;
    }
    free(paths);
    return true;
}

/* What a reader sees who gets tokens [begin, n) one by one and reads now and then, into small buffers. */
static size_t stream(llm_model *model, const lm_tokenizer *t, const llm_token *tokens, size_t begin, size_t n, const llm_generate_desc *desc, char *out, uint64_t *seed)
{
    lm_reply *reply = NULL;
    char part[64];
    size_t n_out = 0;
    llm_error error;
    if (!CHECK_MSG(lm_reply_new(model, desc, tokens, begin, NULL, &reply, &error) == LLM_OK, "%s", error.message))
        return 0;
    for (size_t i = begin; i <= n; i++) {
        size_t cap, got;
        if (i == n)
            lm_reply_end(reply);
        else
            CHECK(lm_reply_accept(reply, t, tokens[i]) == LLM_STATE_WORKING);
        if (i < n && test_random(seed) % 4 == 0)
            continue;
        do {
            cap = 8 + test_random(seed) % (sizeof part - 7);
            got = lm_reply_read(reply, t, tokens, part, cap);
            CHECK(got < cap && part[got] == 0 && lm_utf8_valid(part, got));
            memcpy(out + n_out, part, got);
            n_out += got;
        } while (got > 0);
    }
    lm_reply_free(&model->engine->host, reply);
    return n_out;
}

/* Text that is held back all the time, but never there. */
static const llm_str stops[] = { { "e\x01", 2 }, { " de\x01", 4 }, { "<p>\x01", 4 }, { "\xe0\xa4\xbe\x01", 4 }, { "\xe3\x80\x81\x01", 4 }, { "\xd8\xa7\xd9\x84\x01", 5 } };

static void check_vocab(lm_host *host, const test_vocab *v, const char *name, size_t each, size_t from)
{
    static llm_engine engine;
    static lm_model inner;
    static llm_model model;
    lm_tokenizer *t = NULL;
    llm_error error;
    uint64_t seed = 1;
    size_t bytes = 0, n_texts = 0, n_tokens = 0, n_failed = 0, n_bytes = 0;
    if (!CHECK_MSG(lm_tokenizer_create(host, &v->desc, &t, &error) == LLM_OK, "%s: %s", name, error.message))
        return;
    lm_mem_init(&engine.host.mem, NULL, 0);
    model.engine = &engine;
    model.model = &inner;
    inner.tokenizer = t;
    inner.n_vocab = lm_tokenizer_n_vocab(t);
    for (llm_token id = 0; (uint32_t)id < inner.n_vocab; id++)
        model.longest_token = LM_MAX(model.longest_token, lm_tokenizer_bytes(t, id, LLM_DECODE_SHOW_SPECIAL).len);
    for (uint32_t byte = 0; byte < 256; byte++) {           /* a vocabulary that lacks bytes drops them: then the text is not the same */
        char text = (char)byte;
        llm_token ids[4];
        size_t n = 0;
        n_bytes += lm_tokenizer_encode(t, &text, 1, LLM_ENCODE_CONTINUES, ids, 4, &n, &error) == LLM_OK && n == 1;
    }
    for (size_t i = from % each; i < n_files && n_failed < 3; i += each) {
        const text_file *file = &files[i];
        llm_generate_desc desc = LLM_INIT(llm_generate_desc);
        llm_token *tokens = malloc((file->len + 4) * sizeof *tokens);
        char *batch = malloc(3 * file->len + 8), *back = malloc(3 * file->len + 8);
        size_t begin = lm_tokenizer_strips_space(t), n = 0, n_batch = 0, n_back;
        if (begin)
            tokens[0] = lm_tokenizer_special(t, LLM_SPECIAL_BOS);
        CHECK(lm_tokenizer_encode(t, file->text, file->len, 0, tokens + begin, file->len + 3, &n, &error) == LLM_OK);
        CHECK(lm_tokenizer_decode(t, tokens + begin, n, 0, batch, 3 * file->len + 8, &n_batch, &error) == LLM_OK);
        if (n_bytes == 256)
            n_failed += !CHECK_MSG(n_batch == file->len && memcmp(batch, file->text, n_batch) == 0, "%s, text %zu: decodes to another", name, i);
        else
            CHECK_MSG(n_batch <= file->len, "%s, text %zu: decodes to more", name, i);
        desc.stops = stops;
        desc.flags = LLM_GENERATE_IGNORE_END;
        for (desc.n_stops = 0; desc.n_stops <= LM_COUNT(stops); desc.n_stops += LM_COUNT(stops)) {
            n_back = stream(&model, t, tokens, begin, begin + n, &desc, back, &seed);
            n_failed += !CHECK_MSG(n_back == n_batch && memcmp(back, batch, n_back) == 0, "%s, text %zu, %zu stops: streams %zu bytes, decodes to %zu", name, i,
                                   desc.n_stops, n_back, n_batch);
        }
        bytes += file->len;
        n_tokens += n;
        n_texts++;
        free(tokens);
        free(batch);
        free(back);
    }
    fprintf(stderr, "%-14s %4zu of %zu texts, %9zu bytes, %9zu tokens%s\n", name, n_texts, n_files, bytes, n_tokens,
            n_bytes == 256 ? "" : ", no token for some bytes");
    CHECK(atomic_load(&engine.host.mem.used) == 0);
    lm_tokenizer_free(t);
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "llama-spm", "gpt-2", "falcon", "starcoder", "deepseek-llm" };
    lm_host *host = test_host();
    size_t each = argc > 1 ? (size_t)atol(argv[1]) : 4, n_found = 0;
    test_vocab v;
    if (!load_files(LLM_TEST_UDHR))
        return TEST_SKIP("no %s: text_udhr_unpack makes it of %s/text/udhr.tar.gz", LLM_TEST_UDHR, LLM_TEST_DATA);
    CHECK(n_files > 500 && each > 0);
    for (size_t i = 0; i < LM_COUNT(names); i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/tokenizers/ggml-vocab-%s.gguf", LLM_TEST_DATA, names[i]);
        if (test_vocab_gguf(&v, host, path)) {
            check_vocab(host, &v, names[i], each, i);
            n_found++;
        }
        test_vocab_free(&v);
    }
    if (test_vocab_ranks(&v, LLM_TEST_DATA "/tokenizers/llama3.tiktoken", "llama-bpe")) {
        check_vocab(host, &v, "llama-bpe", each, 5);
        n_found++;
    }
    test_vocab_free(&v);
    if (test_vocab_json(&v, LLM_TEST_DATA "/tokenizers/smollm-tokenizer.json", "smollm")) {
        check_vocab(host, &v, "smollm", each, 6);
        n_found++;
    }
    test_vocab_free(&v);
    for (size_t i = 0; i < n_files; i++)
        free(files[i].text);
    CHECK(atomic_load(&host->mem.used) == 0);
    if (n_found == 0)
        return TEST_SKIP("no vocabularies in %s/tokenizers", LLM_TEST_DATA);
    return TEST_DONE();
}
