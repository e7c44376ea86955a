/* SPDX-License-Identifier: MIT
 * A small random llama model as a GGUF file in memory, of any shape, and what the tests of the API share. A SentencePiece-style
 * vocabulary: <unk>, <s>, </s>, the 256 bytes, the letters, a few words and pieces, then control tokens up to n_vocab. */
#ifndef TINY_H
#define TINY_H

#include "test.h"

#include <llm.h>

#include <math.h>

typedef struct tiny_shape { uint32_t n_layers, n_embd, n_ff, n_head, n_head_kv, n_ctx, n_vocab; uint64_t seed; uint32_t window; } tiny_shape;
static const tiny_shape tiny_small = { 2, 32, 64, 4, 2, 512, 400, 1, 0 };

enum { TINY_BOS = 1, TINY_EOS = 2, TINY_BYTE_0 = 3, TINY_FIRST_PIECE = 259 };
static const char *const tiny_words[] = { "\xe2\x96\x81", "\xe2\x96\x81" "hello", "\xe2\x96\x81" "world", "END", "EN", "D", "<stop>", "<", "stop", ">", "a", "b", "c", "\n",
                                          "\xc3\xa9", "\xe2\x82\xac" };
enum { TINY_SPACE = 259, TINY_HELLO, TINY_WORLD, TINY_END, TINY_EN, TINY_D, TINY_STOP, TINY_LT, TINY_WORD_STOP, TINY_GT, TINY_A, TINY_B, TINY_C, TINY_NEWLINE,
       TINY_E_ACUTE, TINY_EURO, TINY_N_WORDS = 16 };

typedef struct tiny_file { unsigned char *data; size_t size, cap; uint64_t random; uint32_t n_tensors; uint64_t offset; size_t n_values; } tiny_file;

static inline void tiny_put(tiny_file *f, const void *bytes, size_t n)
{
    if (f->size + n > f->cap) {
        f->cap = (f->size + n) * 2;
        f->data = realloc(f->data, f->cap);
    }
    memcpy(f->data + f->size, bytes, n);
    f->size += n;
}
static inline void tiny_u32(tiny_file *f, uint32_t v) { tiny_put(f, &v, 4); }
static inline void tiny_u64(tiny_file *f, uint64_t v) { tiny_put(f, &v, 8); }
static inline void tiny_f32(tiny_file *f, float v) { tiny_put(f, &v, 4); }
static inline void tiny_str(tiny_file *f, const char *s) { tiny_u64(f, strlen(s)); tiny_put(f, s, strlen(s)); }
static inline void tiny_key_u32(tiny_file *f, const char *key, uint32_t v) { tiny_str(f, key); tiny_u32(f, 4); tiny_u32(f, v); }
static inline void tiny_key_array(tiny_file *f, const char *key, uint32_t type, uint32_t n) { tiny_str(f, key); tiny_u32(f, 9); tiny_u32(f, type); tiny_u64(f, n); }

static inline const char *tiny_token(uint32_t i, char out[32])
{
    static const char *const special[] = { "<unk>", "<s>", "</s>" };
    if (i < 3)
        return special[i];
    if (i < TINY_FIRST_PIECE)
        snprintf(out, 32, "<0x%02X>", i - TINY_BYTE_0);
    else if (i < TINY_FIRST_PIECE + TINY_N_WORDS)
        return tiny_words[i - TINY_FIRST_PIECE];
    else
        snprintf(out, 32, "<|c%u|>", i);
    return out;
}

static inline void tiny_tensor(tiny_file *f, const char *name, uint32_t cols, uint32_t rows)
{
    tiny_str(f, name);
    tiny_u32(f, rows ? 2 : 1);
    tiny_u64(f, cols);
    if (rows)
        tiny_u64(f, rows);
    tiny_u32(f, 0);
    tiny_u64(f, f->offset);
    f->offset += ((uint64_t)cols * (rows ? rows : 1) * 4 + 31) & ~(uint64_t)31;
    f->n_tensors++;
}

static inline float tiny_random(tiny_file *f)
{
    f->random = f->random * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(f->random >> 40) / (1 << 24) - 0.5);
}

static inline void tiny_values(tiny_file *f, uint32_t cols, uint32_t rows)
{
    for (uint64_t i = 0; i < (uint64_t)cols * (rows ? rows : 1); i++)
        tiny_f32(f, rows ? tiny_random(f) * 4.0f / sqrtf((float)cols) : 1.0f + 0.25f * tiny_random(f));
    while (f->size % 32)
        tiny_put(f, "", 1);
}

static const char *const tiny_parts[] = { "attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down" };

static inline void tiny_part_shape(const tiny_shape *s, int part, uint32_t *cols, uint32_t *rows)
{
    uint32_t kv = s->n_embd / s->n_head * s->n_head_kv;
    uint32_t r[] = { 0, s->n_embd, kv, kv, s->n_embd, 0, s->n_ff, s->n_ff, s->n_embd };
    *cols = part == 8 ? s->n_ff : s->n_embd;
    *rows = r[part];
}

/* free(.data) */
static inline tiny_file tiny_make(const tiny_shape *s)
{
    tiny_file f = { 0 }, t = { 0 };
    char name[64], text[32];
    uint32_t cols, rows;
    tiny_tensor(&t, "token_embd.weight", s->n_embd, s->n_vocab);
    tiny_tensor(&t, "output_norm.weight", s->n_embd, 0);
    for (uint32_t l = 0; l < s->n_layers; l++)
        for (int p = 0; p < 9; p++) {
            tiny_part_shape(s, p, &cols, &rows);
            snprintf(name, sizeof name, "blk.%u.%s.weight", l, tiny_parts[p]);
            tiny_tensor(&t, name, cols, rows);
        }
    tiny_put(&f, "GGUF", 4);
    tiny_u32(&f, 3);
    tiny_u64(&f, t.n_tensors);
    tiny_u64(&f, 18);
    tiny_str(&f, "general.architecture"); tiny_u32(&f, 8); tiny_str(&f, "llama");
    tiny_str(&f, "general.name"); tiny_u32(&f, 8); tiny_str(&f, "tiny");
    tiny_key_u32(&f, "llama.block_count", s->n_layers);
    tiny_key_u32(&f, "llama.context_length", s->n_ctx);
    tiny_key_u32(&f, "llama.embedding_length", s->n_embd);
    tiny_key_u32(&f, "llama.feed_forward_length", s->n_ff);
    tiny_key_u32(&f, "llama.attention.head_count", s->n_head);
    tiny_key_u32(&f, "llama.attention.sliding_window", s->window);
    tiny_key_u32(&f, "llama.attention.head_count_kv", s->n_head_kv);
    tiny_str(&f, "llama.attention.layer_norm_rms_epsilon"); tiny_u32(&f, 6); tiny_f32(&f, 1e-5f);
    tiny_str(&f, "tokenizer.ggml.model"); tiny_u32(&f, 8); tiny_str(&f, "llama");
    tiny_key_array(&f, "tokenizer.ggml.tokens", 8, s->n_vocab);
    for (uint32_t i = 0; i < s->n_vocab; i++)
        tiny_str(&f, tiny_token(i, text));
    tiny_key_array(&f, "tokenizer.ggml.scores", 6, s->n_vocab);
    for (uint32_t i = 0; i < s->n_vocab; i++)
        tiny_f32(&f, -(float)i);
    tiny_key_array(&f, "tokenizer.ggml.token_type", 5, s->n_vocab);
    for (uint32_t i = 0; i < s->n_vocab; i++)
        tiny_u32(&f, i == 0 ? 2 : i < 3 ? 3 : i < TINY_FIRST_PIECE ? 6 : i < TINY_FIRST_PIECE + TINY_N_WORDS ? 1 : 3);
    tiny_key_u32(&f, "tokenizer.ggml.bos_token_id", TINY_BOS);
    tiny_key_u32(&f, "tokenizer.ggml.eos_token_id", TINY_EOS);
    tiny_key_u32(&f, "tokenizer.ggml.unknown_token_id", 0);
    tiny_str(&f, "tokenizer.ggml.add_bos_token"); tiny_u32(&f, 7); tiny_put(&f, "\1", 1);
    tiny_put(&f, t.data, t.size);
    free(t.data);
    while (f.size % 32)
        tiny_put(&f, "", 1);
    f.random = s->seed * 0x9e3779b97f4a7c15u + 1;
    tiny_values(&f, s->n_embd, s->n_vocab);
    tiny_values(&f, s->n_embd, 0);
    for (uint32_t l = 0; l < s->n_layers; l++)
        for (int p = 0; p < 9; p++) {
            tiny_part_shape(s, p, &cols, &rows);
            tiny_values(&f, cols, rows);
        }
    return f;
}

static inline llm_status tiny_load(llm_engine *engine, const tiny_file *f, llm_model **out, llm_error *error)
{
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    source.kind = LLM_SOURCE_BUFFER;
    source.data = f->data;
    source.data_len = f->size;
    return llm_model_load_from(engine, &part, 1, NULL, out, error);
}

/* Engine and model of the usual small shape; threads and chunk 0: defaults. Exits the test where they do not come. */
static inline void tiny_open(const tiny_shape *shape, const llm_engine_desc *desc, llm_engine **engine, llm_model **model)
{
    llm_error error;
    tiny_file file = tiny_make(shape);
    if (llm_engine_create(LLM_ABI, desc, engine, &error) != LLM_OK || tiny_load(*engine, &file, model, &error) != LLM_OK) {
        fprintf(stderr, "cannot open the test's model: %s\n", error.message);
        exit(1);
    }
    free(file.data);
}

static inline llm_session *tiny_session(llm_model *model, int32_t n_ctx, int32_t state_type)
{
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *s = NULL;
    llm_error error;
    desc.n_ctx = n_ctx;
    desc.state_type = state_type;
    if (llm_session_create(model, &desc, &s, &error) != LLM_OK) {
        fprintf(stderr, "cannot create the test's session: %s\n", error.message);
        exit(1);
    }
    return s;
}

/* n tokens that look like nothing. */
static inline void tiny_tokens(llm_token *out, size_t n, uint32_t n_vocab, uint32_t seed)
{
    uint64_t x = seed * 2654435761u + 12345;
    for (size_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        out[i] = (llm_token)((x >> 33) % n_vocab);
    }
}

/* Steps one session until nothing is left. */
static inline llm_status tiny_drain(llm_session *s, int64_t budget_us, llm_error *error)
{
    llm_status status;
    do
        status = llm_session_step(&s, 1, budget_us, 0, error);
    while (status == LLM_MORE);
    return status;
}

static inline uint64_t tiny_hash(const void *data, size_t n, uint64_t hash)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

/* Of the logits after the last token; 0 if there are none. */
static inline uint64_t tiny_logits_hash(llm_session *s)
{
    const float *logits = NULL;
    size_t n = 0;
    return llm_session_logits(s, &logits, &n, NULL) == LLM_OK ? tiny_hash(logits, n * sizeof *logits, 0xcbf29ce484222325u) : 0;
}

/* A hook that makes the reply say what the test wants: tokens one after another, the last one for ever. */
typedef struct tiny_script { const llm_token *tokens; size_t n, at; } tiny_script;
static inline void tiny_say(void *user, float *logits, int32_t n_vocab)
{
    tiny_script *script = user;
    llm_token token = script->tokens[script->at < script->n ? script->at : script->n - 1];
    for (int32_t i = 0; i < n_vocab; i++)
        logits[i] = i == token ? 0.0f : -100.0f;
    script->at++;
}

#endif
