/* SPDX-License-Identifier: MIT
 * See models.h. */
#include "models.h"

#include "tensor/type.h"

#include <stdio.h>
#include <string.h>

enum { MODELS_BIASES = 1, MODELS_QK_NORM = 2, MODELS_POST_NORM = 4, MODELS_FUSED = 8, MODELS_TIED = 16, MODELS_SHARED = 32, MODELS_LONGROPE = 64, MODELS_FREQS = 128,
       MODELS_SINGLE_EXPERTS = 256, MODELS_YARN = 512 };
enum { MODELS_MOST_WORDS = MODELS_VOCAB + 256 };
typedef struct models_recipe {
    const char *name, *arch, *vocabulary;
    uint32_t n_layers, n_embd, n_ff, n_head, n_head_kv, head_dim, n_expert, window, flags;
    uint8_t  types[4];                  /* of matrices, in turn */
} models_recipe;

static const models_recipe models_list[] = {
    { "llama", "llama", "spm", 2, 32, 32, 4, 2, 8, 0, 0, 0, { LM_TYPE_Q8_0, LM_TYPE_Q4_0, LM_TYPE_F16, LM_TYPE_Q4_0 } },
    { "llama_f32", "llama", "spm", 1, 8, 16, 2, 1, 4, 0, 0, MODELS_FREQS, { LM_TYPE_F32, LM_TYPE_F32, LM_TYPE_F32, LM_TYPE_F32 } },
    { "llama_bias", "llama", "spm", 1, 32, 32, 2, 2, 16, 0, 4, MODELS_BIASES | MODELS_TIED | MODELS_YARN, { LM_TYPE_Q5_0, LM_TYPE_Q5_1, LM_TYPE_Q4_1, LM_TYPE_BF16 } },
    { "llama_k", "llama", "spm", 1, 256, 4, 1, 1, 4, 0, 0, MODELS_TIED, { LM_TYPE_Q4_K, LM_TYPE_Q5_K, LM_TYPE_Q6_K, LM_TYPE_Q4_K } },
    { "llama_k2", "llama", "spm", 1, 256, 8, 1, 1, 4, 0, 0, MODELS_TIED, { LM_TYPE_Q2_K, LM_TYPE_Q3_K, LM_TYPE_IQ4_XS, LM_TYPE_Q2_K } },
    { "llama_mx", "llama", "spm", 1, 32, 64, 2, 1, 8, 0, 0, MODELS_TIED, { LM_TYPE_IQ4_NL, LM_TYPE_MXFP4, LM_TYPE_IQ4_NL, LM_TYPE_MXFP4 } },
    { "mixtral", "llama", "spm", 1, 32, 16, 2, 1, 8, 4, 0, 0, { LM_TYPE_Q4_0, LM_TYPE_Q8_0, LM_TYPE_F16, LM_TYPE_Q4_0 } },
    { "mixtral_single", "llama", "spm", 1, 32, 32, 2, 1, 8, 2, 0, MODELS_SINGLE_EXPERTS | MODELS_TIED, { LM_TYPE_Q4_0, LM_TYPE_Q8_0, LM_TYPE_Q4_0, LM_TYPE_Q8_0 } },
    { "phi3", "phi3", "spm", 2, 32, 32, 2, 1, 16, 0, 5, MODELS_FUSED | MODELS_LONGROPE, { LM_TYPE_Q4_0, LM_TYPE_Q8_0, LM_TYPE_F16, LM_TYPE_Q4_1 } },
    { "qwen2", "qwen2", "bpe", 1, 32, 32, 2, 1, 8, 0, 0, MODELS_BIASES | MODELS_TIED, { LM_TYPE_Q4_0, LM_TYPE_Q8_0, LM_TYPE_F16, LM_TYPE_Q4_0 } },
    { "qwen2moe", "qwen2moe", "spm", 1, 32, 16, 2, 1, 8, 4, 0, MODELS_BIASES | MODELS_SHARED | MODELS_TIED, { LM_TYPE_Q4_0, LM_TYPE_Q8_0, LM_TYPE_Q4_0, LM_TYPE_F16 } },
    { "qwen3", "qwen3", "chars", 1, 32, 32, 2, 1, 8, 0, 0, MODELS_QK_NORM | MODELS_TIED, { LM_TYPE_Q4_0, LM_TYPE_Q8_0, LM_TYPE_F16, LM_TYPE_Q4_0 } },
    { "qwen3moe", "qwen3moe", "spm", 1, 32, 16, 2, 1, 8, 4, 0, MODELS_QK_NORM | MODELS_TIED, { LM_TYPE_Q8_0, LM_TYPE_Q4_0, LM_TYPE_Q4_0, LM_TYPE_F16 } },
    { "gemma", "gemma", "spm", 1, 32, 32, 2, 1, 8, 0, 0, MODELS_TIED, { LM_TYPE_Q4_0, LM_TYPE_Q8_0, LM_TYPE_F16, LM_TYPE_Q4_0 } },
    { "gemma2", "gemma2", "spm", 2, 32, 32, 2, 1, 8, 0, 4, MODELS_POST_NORM | MODELS_TIED, { LM_TYPE_Q4_0, LM_TYPE_Q8_0, LM_TYPE_F16, LM_TYPE_Q4_0 } },
    { "gemma3", "gemma3", "spm", 3, 32, 32, 2, 1, 8, 0, 4, MODELS_POST_NORM | MODELS_QK_NORM | MODELS_TIED, { LM_TYPE_Q4_0, LM_TYPE_Q8_0, LM_TYPE_Q4_0, LM_TYPE_Q4_0 } },
    { "no_vocabulary", "llama", "none", 1, 8, 16, 2, 1, 4, 0, 0, 0, { LM_TYPE_F16, LM_TYPE_F16, LM_TYPE_F16, LM_TYPE_F16 } },
};

size_t models_count(void) { return sizeof models_list / sizeof *models_list; }
const char *models_name(size_t i) { return models_list[i].name; }

/* ---- vocabularies ---- */

static void models_spm(doc *d)
{
    static const char *const words[] = { "<unk>", "<s>", "</s>", "<0x00>", "<0x0A>", "<0x20>", "<0x41>", "<0x7F>", "<0xC3>", "<0xE2>", "<0x82>", "<0xAC>", "<0xFF>",
                                         "\xe2\x96\x81", "a", "b", "c", "d", "e", "ab", "abc", "\342\226\201a", "\342\226\201ab", "\342\226\201abc", "cd", "de", "cde",
                                         "\"", "{", "}", ":", ",", "1", "12", "\xc3\xa9", "\xe2\x82\xac", "<|c|>", "<|end|>", "END", "u" };
    float scores[MODELS_VOCAB];
    int32_t types[MODELS_VOCAB];
    for (int i = 0; i < MODELS_VOCAB; i++) {
        scores[i] = -(float)i;
        types[i] = i == 0 ? 2 : i < 3 || i == 36 || i == 37 ? 3 : i < 13 ? 6 : i == 38 ? 4 : i == 39 ? 5 : 1;
    }
    doc_text(d, "tokenizer.ggml.model", "llama");
    doc_texts(d, "tokenizer.ggml.tokens", MODELS_VOCAB, words);
    doc_array(d, "tokenizer.ggml.scores", DOC_F32, MODELS_VOCAB, scores, sizeof scores);
    doc_array(d, "tokenizer.ggml.token_type", DOC_I32, MODELS_VOCAB, types, sizeof types);
    doc_u32(d, "tokenizer.ggml.bos_token_id", 1);
    doc_u32(d, "tokenizer.ggml.eos_token_id", 2);
    doc_u32(d, "tokenizer.ggml.unknown_token_id", 0);
    doc_u32(d, "tokenizer.ggml.eot_token_id", 37);
    doc_bool(d, "tokenizer.ggml.add_bos_token", 1);
    doc_bool(d, "tokenizer.ggml.add_space_prefix", 1);
}

/* GPT-2's letters for bytes: the printable ones are themselves, others rise from U+0100. */
static void models_letter(int byte, char out[3])
{
    int cp = byte, shift = 0;
    for (int b = 0; b <= byte; b++)
        if (!((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174)) {
            if (b == byte)
                cp = 256 + shift;
            shift++;
        }
    if (cp < 128)
        out[0] = (char)cp, out[1] = 0;
    else
        out[0] = (char)(0xc0 | cp >> 6), out[1] = (char)(0x80 | (cp & 63)), out[2] = 0;
}

static void models_bpe(doc *d)
{
    static const char *const more[] = { "ab", "abc", "\304\240a", "\304\240ab", "cd", "cde", "12", "123", "he", "llo", "hello", "\304\240hello", "<|im_start|>", "<|im_end|>",
                                        "<|user|>", "<think>" };
    static const char *const merges[] = { "a b", "ab c", "\xc4\xa0 a", "\304\240a b", "c d", "cd e", "1 2", "12 3", "h e" };
    static char letters[256][3];
    const char *words[MODELS_BPE_VOCAB];
    int32_t types[MODELS_BPE_VOCAB];
    for (int i = 0; i < MODELS_BPE_VOCAB; i++) {
        types[i] = i < 256 + 12 ? 1 : i < 256 + 14 ? 3 : 4;
        if (i < 256)
            models_letter(i, letters[i]);
        words[i] = i < 256 ? letters[i] : more[i - 256];
    }
    doc_text(d, "tokenizer.ggml.model", "gpt2");
    doc_text(d, "tokenizer.ggml.pre", "qwen2");
    doc_texts(d, "tokenizer.ggml.tokens", MODELS_BPE_VOCAB, words);
    doc_array(d, "tokenizer.ggml.token_type", DOC_I32, MODELS_BPE_VOCAB, types, sizeof types);
    doc_texts(d, "tokenizer.ggml.merges", sizeof merges / sizeof *merges, merges);
    doc_u32(d, "tokenizer.ggml.eos_token_id", 256 + 13);
}

static void models_chars(doc *d)
{
    static const char *const words[] = { "<pad>", "<eos>", "<bos>", "<unk>", "\xe2\x96\x81", "a", "b", "c", "d", "e", "ab", "abc", "\342\226\201a", "\342\226\201ab", "<0x00>", "<0x0A>",
                                         "<0xC3>", "<0xA9>", "\n", "\n\n", "1", "2", "12", "<start_of_turn>" };
    static const char *const merges[] = { "a b", "ab c", "\xe2\x96\x81 a", "\342\226\201a b", "1 2", "\n \n" };
    enum { N = sizeof words / sizeof *words };
    int32_t types[N];
    for (int i = 0; i < N; i++)
        types[i] = i < 4 || i == N - 1 ? 3 : i >= 14 && i < 18 ? 6 : 1;
    doc_text(d, "tokenizer.ggml.model", "gemma4");
    doc_texts(d, "tokenizer.ggml.tokens", N, words);
    doc_array(d, "tokenizer.ggml.token_type", DOC_I32, N, types, sizeof types);
    doc_texts(d, "tokenizer.ggml.merges", sizeof merges / sizeof *merges, merges);
    doc_u32(d, "tokenizer.ggml.bos_token_id", 2);
    doc_u32(d, "tokenizer.ggml.eos_token_id", 1);
}

/* All 256 bytes as tokens of their own behind the others. */
static void models_bytes(doc *d)
{
    static char names[256][8];
    const char *words[MODELS_MOST_WORDS];
    float scores[MODELS_MOST_WORDS];
    int32_t types[MODELS_MOST_WORDS];
    const doc_key *tokens = doc_find(d, "tokenizer.ggml.tokens"), *old = doc_find(d, "tokenizer.ggml.token_type");
    uint64_t n, len;
    size_t at = 12;
    memcpy(&n, tokens->value + 4, 8);
    for (uint64_t i = 0; i < n; i++) {
        char *word;
        memcpy(&len, tokens->value + at, 8);
        word = doc_room(d, (size_t)len + 1);
        memcpy(word, tokens->value + at + 8, (size_t)len);
        at += 8 + (size_t)len;
        memcpy(&types[i], old->value + 12 + 4 * i, 4);
        if (types[i] == 6) {                                /* they come below */
            types[i] = 5;
            word[0] = '[';
        }
        words[i] = word;
    }
    for (int b = 0; b < 256; b++) {
        snprintf(names[b], sizeof names[b], "<0x%02X>", b);
        words[n + (uint64_t)b] = names[b];
        types[n + (uint64_t)b] = 6;
    }
    n += 256;
    for (uint64_t i = 0; i < n; i++)
        scores[i] = -(float)i;
    doc_texts(d, "tokenizer.ggml.tokens", (size_t)n, words);
    doc_array(d, "tokenizer.ggml.token_type", DOC_I32, n, types, (size_t)n * 4);
    if (doc_find(d, "tokenizer.ggml.scores"))
        doc_array(d, "tokenizer.ggml.scores", DOC_F32, n, scores, (size_t)n * 4);
}

void models_vocabulary(doc *d, const char *kind)
{
    if (strcmp(kind, "spm") == 0)
        models_spm(d);
    else if (strcmp(kind, "bpe") == 0)
        models_bpe(d);
    else if (strcmp(kind, "chars") == 0)
        models_chars(d);
    else if (strcmp(kind, "spm256") == 0)
        models_spm(d), models_bytes(d);
    else if (strcmp(kind, "chars256") == 0)
        models_chars(d), models_bytes(d);
}

static uint64_t models_n_vocab(doc *d)
{
    const doc_key *tokens = doc_find(d, "tokenizer.ggml.tokens");
    uint64_t n = 24;
    if (tokens)
        memcpy(&n, tokens->value + 4, 8);
    return n;
}

/* ---- models ---- */

static void models_keys(doc *d, const models_recipe *r)
{
    char key[96];
#define MODELS_U32(name, value) (snprintf(key, sizeof key, "%s.%s", r->arch, name), doc_u32(d, key, value))
    doc_text(d, "general.architecture", r->arch);
    doc_text(d, "general.name", r->name);
    MODELS_U32("block_count", r->n_layers);
    MODELS_U32("context_length", 64);
    MODELS_U32("embedding_length", r->n_embd);
    MODELS_U32("feed_forward_length", r->n_ff);
    MODELS_U32("attention.head_count", r->n_head);
    MODELS_U32("attention.head_count_kv", r->n_head_kv);
    MODELS_U32("attention.key_length", r->head_dim);
    MODELS_U32("attention.value_length", r->head_dim);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", r->arch);
    doc_f32(d, key, 1e-5f);
    if (r->window)
        MODELS_U32("attention.sliding_window", r->window);
    if (r->n_expert) {
        MODELS_U32("expert_count", r->n_expert);
        MODELS_U32("expert_used_count", 2);
        MODELS_U32("expert_feed_forward_length", r->n_ff);
    }
    if (r->flags & MODELS_SHARED)
        MODELS_U32("expert_shared_feed_forward_length", r->n_ff);
    if (r->flags & (MODELS_LONGROPE | MODELS_YARN)) {
        snprintf(key, sizeof key, "%s.rope.scaling.type", r->arch);
        doc_text(d, key, r->flags & MODELS_YARN ? "yarn" : "longrope");
        MODELS_U32("rope.scaling.original_context_length", 32);
        snprintf(key, sizeof key, "%s.rope.scaling.factor", r->arch);
        doc_f32(d, key, 2.0f);
    }
#undef MODELS_U32
    models_vocabulary(d, r->vocabulary);
    if (strcmp(r->name, "llama") == 0)
        doc_text(d, "tokenizer.chat_template", "{% for m in messages %}<|c|>{{ m.role }}:{{ m.content }}<|end|>{% endfor %}");
}

static uint32_t models_type(const models_recipe *r, uint32_t *turn, uint64_t cols)
{
    for (int i = 0; i < 4; i++) {
        uint32_t type = r->types[(*turn)++ % 4];
        if (cols % lm_type_get(type)->block == 0)
            return type;
    }
    return cols % 32 == 0 ? LM_TYPE_Q8_0 : LM_TYPE_F16;
}

static void models_matrix(doc *d, const models_recipe *r, uint32_t *turn, int layer, const char *name, uint64_t cols, uint64_t rows, uint64_t n)
{
    char full[64];
    if (layer >= 0)
        snprintf(full, sizeof full, "blk.%d.%s.weight", layer, name);
    else
        snprintf(full, sizeof full, "%s.weight", name);
    doc_add(d, full, rows ? models_type(r, turn, cols) : LM_TYPE_F32, cols, rows, n);
}

static void models_bias(doc *d, int layer, const char *name, uint64_t n)
{
    char full[64];
    snprintf(full, sizeof full, "blk.%d.%s.bias", layer, name);
    doc_add(d, full, LM_TYPE_F32, n, 0, 0);
}

static void models_feed(doc *d, const models_recipe *r, uint32_t *turn, int layer)
{
    char name[32];
    models_matrix(d, r, turn, layer, "ffn_norm", r->n_embd, 0, 0);
    if (r->n_expert) {
        models_matrix(d, r, turn, layer, "ffn_gate_inp", r->n_embd, r->n_expert, 0);
        for (uint32_t e = 0; e < r->n_expert && r->flags & MODELS_SINGLE_EXPERTS; e++) {
            static const char *const parts[] = { "gate", "up", "down" };
            for (int i = 0; i < 3; i++) {
                uint32_t same = (uint32_t)i;                /* parts of one weight are of one type */
                snprintf(name, sizeof name, "ffn_%s.%u", parts[i], e);
                models_matrix(d, r, &same, layer, name, i == 2 ? r->n_ff : r->n_embd, i == 2 ? r->n_embd : r->n_ff, 0);
            }
        }
        if (!(r->flags & MODELS_SINGLE_EXPERTS)) {
            models_matrix(d, r, turn, layer, "ffn_gate_exps", r->n_embd, r->n_ff, r->n_expert);
            models_matrix(d, r, turn, layer, "ffn_up_exps", r->n_embd, r->n_ff, r->n_expert);
            models_matrix(d, r, turn, layer, "ffn_down_exps", r->n_ff, r->n_embd, r->n_expert);
        }
        if (r->flags & MODELS_SHARED) {
            models_matrix(d, r, turn, layer, "ffn_gate_inp_shexp", r->n_embd, 0, 0);
            models_matrix(d, r, turn, layer, "ffn_gate_shexp", r->n_embd, r->n_ff, 0);
            models_matrix(d, r, turn, layer, "ffn_up_shexp", r->n_embd, r->n_ff, 0);
            models_matrix(d, r, turn, layer, "ffn_down_shexp", r->n_ff, r->n_embd, 0);
        }
        return;
    }
    if (!(r->flags & MODELS_FUSED))
        models_matrix(d, r, turn, layer, "ffn_gate", r->n_embd, r->n_ff, 0);
    models_matrix(d, r, turn, layer, "ffn_up", r->n_embd, r->flags & MODELS_FUSED ? 2 * r->n_ff : r->n_ff, 0);
    models_matrix(d, r, turn, layer, "ffn_down", r->n_ff, r->n_embd, 0);
    if (r->flags & MODELS_POST_NORM)
        models_matrix(d, r, turn, layer, "post_ffw_norm", r->n_embd, 0, 0);
}

static void models_layer(doc *d, const models_recipe *r, uint32_t *turn, int layer)
{
    uint32_t q = r->n_head * r->head_dim, kv = r->n_head_kv * r->head_dim;
    models_matrix(d, r, turn, layer, "attn_norm", r->n_embd, 0, 0);
    if (r->flags & MODELS_FUSED) {
        models_matrix(d, r, turn, layer, "attn_qkv", r->n_embd, q + 2 * kv, 0);
    } else {
        models_matrix(d, r, turn, layer, "attn_q", r->n_embd, q, 0);
        models_matrix(d, r, turn, layer, "attn_k", r->n_embd, kv, 0);
        models_matrix(d, r, turn, layer, "attn_v", r->n_embd, kv, 0);
    }
    models_matrix(d, r, turn, layer, "attn_output", q, r->n_embd, 0);
    if (r->flags & MODELS_BIASES) {
        models_bias(d, layer, "attn_q", q);
        models_bias(d, layer, "attn_k", kv);
        models_bias(d, layer, "attn_v", kv);
    }
    if (r->flags & MODELS_QK_NORM) {
        models_matrix(d, r, turn, layer, "attn_q_norm", r->head_dim, 0, 0);
        models_matrix(d, r, turn, layer, "attn_k_norm", r->head_dim, 0, 0);
    }
    if (r->flags & MODELS_POST_NORM)
        models_matrix(d, r, turn, layer, "post_attention_norm", r->n_embd, 0, 0);
    models_feed(d, r, turn, layer);
}

void models_make(doc *d, size_t i)
{
    const models_recipe *r = &models_list[i];
    uint32_t turn = 0;
    uint64_t n_vocab;
    doc_clear(d);
    models_keys(d, r);
    n_vocab = models_n_vocab(d);
    models_matrix(d, r, &turn, -1, "token_embd", r->n_embd, n_vocab, 0);
    models_matrix(d, r, &turn, -1, "output_norm", r->n_embd, 0, 0);
    if (!(r->flags & MODELS_TIED))
        models_matrix(d, r, &turn, -1, "output", r->n_embd, n_vocab, 0);
    if (r->flags & MODELS_FREQS)
        models_matrix(d, r, &turn, -1, "rope_freqs", r->head_dim / 2, 0, 0);
    if (r->flags & MODELS_LONGROPE) {
        models_matrix(d, r, &turn, -1, "rope_factors_short", r->head_dim / 2, 0, 0);
        models_matrix(d, r, &turn, -1, "rope_factors_long", r->head_dim / 2, 0, 0);
    }
    for (uint32_t layer = 0; layer < r->n_layers; layer++)
        models_layer(d, r, &turn, (int)layer);
    doc_place(d);
}

void models_make_named(doc *d, const char *name)
{
    size_t i = 0;
    while (i + 1 < models_count() && strcmp(models_name(i), name) != 0)
        i++;
    models_make(d, i);
}
