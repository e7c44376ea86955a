/* SPDX-License-Identifier: MIT
 * See mutate.h. */
#include "mutate.h"

#include "doc.h"
#include "fuzz.h"

static uint64_t mutate_x;

static uint32_t mutate_random(uint32_t n)
{
    mutate_x = mutate_x * 6364136223846793005u + 1442695040888963407u;
    return n ? (uint32_t)(mutate_x >> 33) % n : 0;
}

static const uint64_t mutate_borders[] = {
    0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 511, 512, 513, 1024, 4096, 65535, 65536, 1 << 20, 1 << 24, 1 << 27,
    0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff, 0x100000000, 0x100000001, 0x3fffffffffffffff, 0x4000000000000000, 0x7ffffffffffffff0,
    0x7fffffffffffffff, 0x8000000000000000, 0xaaaaaaaaaaaaaaab, 0xffffffffffffffe0, 0xfffffffffffffffe, 0xffffffffffffffff
};

static uint64_t mutate_number(uint64_t now, size_t size)
{
    switch (mutate_random(8)) {
    case 0: return now + mutate_random(9) - 4;
    case 1: return now ^ (uint64_t)1 << mutate_random(64);
    case 2: return size + mutate_random(9) - 4;
    case 3: return now * 2;
    case 4: return mutate_random(300);
    default: return mutate_borders[mutate_random(sizeof mutate_borders / sizeof *mutate_borders)];
    }
}

static uint32_t mutate_float(uint32_t now)
{
    static const uint32_t odd[] = { 0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f7fffff, 0xff7fffff, 0x00000001, 0x00800000, 0x33d6bf95, 0x41200000,
                                    0x47c35000, 0x5a0e1bca, 0x7f000000 };
    return mutate_random(3) == 0 ? now ^ 1u << mutate_random(32) : odd[mutate_random(sizeof odd / sizeof *odd)];
}

/* Names that mean something. */
static const char *const mutate_names[] = {
    "general.alignment", "general.architecture", "split.no", "split.count", "split.tensors.count", "%s.block_count", "%s.context_length", "%s.embedding_length",
    "%s.feed_forward_length", "%s.attention.head_count", "%s.attention.head_count_kv", "%s.attention.key_length", "%s.attention.value_length", "%s.attention.layer_norm_rms_epsilon",
    "%s.attention.sliding_window", "%s.attention.sliding_window_pattern", "%s.attention.scale", "%s.attn_logit_softcapping", "%s.final_logit_softcapping", "%s.expert_count",
    "%s.expert_used_count", "%s.expert_feed_forward_length", "%s.expert_shared_feed_forward_length", "%s.expert_weights_norm", "%s.rope.dimension_count", "%s.rope.freq_base",
    "%s.rope.freq_base_swa", "%s.rope.scale_linear", "%s.rope.scaling.factor", "%s.rope.scaling.type", "%s.rope.scaling.attn_factor", "%s.rope.scaling.original_context_length",
    "%s.rope.scaling.yarn_ext_factor", "%s.rope.scaling.yarn_beta_fast", "%s.rope.scaling.yarn_beta_slow", "%s.vocab_size", "%s.attention.causal", "%s.logit_scale",
    "%s.residual_scale", "%s.embedding_scale", "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.unknown_token_id",
    "tokenizer.ggml.padding_token_id", "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token", "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.ignore_merges",
    "tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.fim_suf_token_id", "tokenizer.chat_template", "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
    "output.weight", "token_embd.weight", "output_norm.weight", "blk.0.attn_qkv.weight", "blk.0.attn_q.bias", "blk.0.attn_output.bias", "blk.0.ffn_gate_exps.weight",
    "blk.0.ffn_up.bias", "blk.0.ffn_gate.0.weight", "blk.1.attn_q.weight", "blk.0.attn_q_norm.weight", "blk.0.post_ffw_norm.weight"
};
static const char *const mutate_words[] = {
    "llama", "phi3", "qwen2", "qwen3", "qwen2moe", "qwen3moe", "gemma", "gemma2", "gemma3", "gpt2", "gemma4", "none", "no_vocab", "default", "qwen2", "llama-bpe", "deepseek-llm",
    "deepseek-v3", "gpt-4o", "tekken", "chameleon", "kimi-k2", "mpt", "linear", "yarn", "longrope", "a b", " ", "", "<0x-1>", "<0x00>", "<0xGG>", "\xe2\x96\x81", "\xff", "\xc0\x80", "\xed\xa0\x80",
    "{% for m in messages %}{{ m.content }}{% endfor %}"
};

/* A name of the list, for the file's architecture. */
static void mutate_name(doc *d, const char **name, size_t *len)
{
    const char *from = mutate_names[mutate_random(sizeof mutate_names / sizeof *mutate_names)];
    const doc_key *arch = doc_find(d, "general.architecture");
    char *to = doc_room(d, strlen(from) + 32);
    size_t n = 0;
    if (!to)
        return;
    if (from[0] == '%') {
        uint64_t have = arch && arch->type == DOC_STRING && arch->size >= 8 ? arch->size - 8 : 0;
        n = have < 30 ? (size_t)have : 0;
        if (n)
            memcpy(to, arch->value + 8, n);
        from += 2;
    }
    memcpy(to + n, from, strlen(from));
    *name = to;
    *len = n + strlen(from);
}

/* Text by libFuzzer's own mutations. */
static unsigned char *mutate_text(doc *d, const unsigned char *text, size_t len, size_t *out)
{
    size_t cap = len + 64 > 4096 ? len : len + 64;
    unsigned char *to = doc_room(d, cap + 1);
    if (!to)
        return NULL;
    if (mutate_random(4) == 0) {
        const char *word = mutate_words[mutate_random(sizeof mutate_words / sizeof *mutate_words)];
        *out = strlen(word) < cap ? strlen(word) : cap;
        memcpy(to, word, *out);
        return to;
    }
    if (len)
        memcpy(to, text, len);
    *out = mutate_random(8) == 0 ? 0 : LLVMFuzzerMutate(to, len, cap);
    return to;
}

/* ---- values ---- */

static void mutate_scalar(unsigned char *value, uint32_t type, size_t bytes, size_t size)
{
    uint64_t v = 0;
    memcpy(&v, value, bytes);
    if (type == DOC_F32)
        v = mutate_float((uint32_t)v);
    else if (type == DOC_F64 && mutate_random(2)) {
        static const uint64_t odd[] = { 0, 0x7ff0000000000000, 0x7ff8000000000000, 0x3ff0000000000000, 1, 0x7fefffffffffffff, 0xbff0000000000000 };
        v = odd[mutate_random(7)];
    } else
        v = mutate_number(v, size);
    memcpy(value, &v, bytes);
}

/* The array's strings as another list: one longer, shorter, other, twice. */
static void mutate_texts(doc *d, doc_key *key, uint64_t n)
{
    size_t at = 12, pick = (size_t)mutate_random((uint32_t)(n < 100000 ? n : 100000)), i = 0;
    uint64_t len = 0;
    for (; i < n && at + 8 <= key->size; i++) {
        memcpy(&len, key->value + at, 8);
        if (len > key->size - at - 8 || i == pick)
            break;
        at += 8 + (size_t)len;
    }
    if (i >= n || at + 8 > key->size || len > key->size - at - 8)
        return;
    size_t out = 0, how = mutate_random(6);
    unsigned char *text = mutate_text(d, key->value + at + 8, (size_t)len, &out), *value = doc_room(d, key->size + out + 16);
    size_t after = at + 8 + (size_t)len, w = at;
    if (!text || !value)
        return;
    memcpy(value, key->value, at);
    if (how == 0) {                                         /* gone */
        n--;
    } else {
        uint64_t n_out = how == 1 ? mutate_number(out, key->size) : out;        /* 1: a lie */
        memcpy(value + w, &n_out, 8);
        memcpy(value + w + 8, text, out);
        w += 8 + out;
        if (how == 2) {                                     /* one more */
            n++;
            memcpy(value + w, key->value + at, 8 + (size_t)len);
            w += 8 + (size_t)len;
        }
    }
    memcpy(value + w, key->value + after, key->size - after);
    memcpy(value + 4, &n, 8);
    key->value = value;
    key->size = w + key->size - after;
}

static void mutate_array(doc *d, doc_key *key)
{
    uint32_t item;
    uint64_t n;
    if (key->size < 12)
        return;
    memcpy(&item, key->value, 4);
    memcpy(&n, key->value + 4, 8);
    size_t bytes = doc_value_bytes(item);
    switch (mutate_random(8)) {
    case 0:                                                 /* the length lies */
        n = mutate_number(n, key->size);
        memcpy(key->value + 4, &n, 8);
        return;
    case 1:                                                 /* so does the type */
        item = mutate_random(4) ? mutate_random(14) : (uint32_t)mutate_number(item, key->size);
        memcpy(key->value, &item, 4);
        return;
    case 2:                                                 /* an array of the other type that is as wide */
        item = bytes == 1 ? DOC_U8 : bytes == 2 ? DOC_U16 : bytes == 4 ? (uint32_t[]){ DOC_U32, DOC_I32, DOC_F32 }[mutate_random(3)] : bytes == 8 ? DOC_U64 : item;
        memcpy(key->value, &item, 4);
        return;
    case 3:                                                 /* fewer */
        if (bytes && n * bytes + 12 == key->size) {
            n = mutate_random((uint32_t)n + 1);
            key->size = 12 + (size_t)n * bytes;
            memcpy(key->value + 4, &n, 8);
        }
        return;
    default: break;
    }
    if (item == DOC_STRING)
        mutate_texts(d, key, n);
    else if (bytes && n > 0 && key->size >= 12 + bytes) {
        size_t items = (key->size - 12) / bytes;
        mutate_scalar(key->value + 12 + bytes * mutate_random((uint32_t)items), item, bytes, items);
    }
}

/* Another type, its value made of the bytes that are there. */
static void mutate_type(doc *d, doc_key *key)
{
    unsigned char *value = doc_room(d, key->size + 32);
    uint32_t type = mutate_random(14);
    size_t bytes = doc_value_bytes(type);
    if (!value)
        return;
    if (bytes) {
        memcpy(value, key->value, key->size < bytes ? key->size : bytes);
        key->size = bytes;
    } else if (type == DOC_STRING) {
        uint64_t len = mutate_random(20) % (key->size + 1);
        memcpy(value, &len, 8);
        memcpy(value + 8, key->value, (size_t)len);
        key->size = 8 + (size_t)len;
    } else if (type == DOC_ARRAY) {                         /* of itself, once or more: "for each layer" */
        uint64_t n = 1 + mutate_random(4);
        bytes = doc_value_bytes(key->type);
        if (!bytes || bytes * n > key->size + 20)
            return;
        memcpy(value, &key->type, 4);
        memcpy(value + 4, &n, 8);
        for (size_t i = 0; i < n; i++)
            memcpy(value + 12 + i * bytes, key->value, bytes);
        key->size = 12 + (size_t)n * bytes;
    }
    key->value = value;
    key->type = type;
}

static void mutate_key(doc *d)
{
    if (d->n_keys == 0)
        return;
    size_t i = mutate_random((uint32_t)d->n_keys);
    doc_key *key = &d->keys[i];
    switch (mutate_random(12)) {
    case 0:
        memmove(key, key + 1, (d->n_keys - i - 1) * sizeof *key);
        d->n_keys--;
        return;
    case 1:
        if (d->n_keys < DOC_KEYS) {                         /* twice, or a new one */
            d->keys[d->n_keys++] = *key;
            if (mutate_random(8))
                mutate_name(d, &d->keys[d->n_keys - 1].name, &d->keys[d->n_keys - 1].name_len);
        }
        return;
    case 2: mutate_name(d, &key->name, &key->name_len); return;
    case 3: key->name = (const char *)mutate_text(d, (const unsigned char *)key->name, key->name_len, &key->name_len); key->name_len = key->name ? key->name_len : 0; return;
    case 4: mutate_type(d, key); return;
    case 5:
        if (mutate_random(4) == 0)
            key->type = (uint32_t)mutate_number(key->type, key->size);
        return;
    default: break;
    }
    if (key->type == DOC_ARRAY)
        mutate_array(d, key);
    else if (key->type == DOC_STRING && key->size >= 8) {
        size_t out = 0;
        unsigned char *text = mutate_text(d, key->value + 8, key->size - 8, &out), *value = doc_room(d, out + 8);
        uint64_t len = mutate_random(16) ? out : mutate_number(out, key->size);
        if (!text || !value)
            return;
        memcpy(value, &len, 8);
        memcpy(value + 8, text, out);
        key->value = value;
        key->size = 8 + out;
    } else if (doc_value_bytes(key->type) && key->size >= doc_value_bytes(key->type))
        mutate_scalar(key->value, key->type, doc_value_bytes(key->type), 64);
}

/* ---- tensors ---- */

static void mutate_data(doc_tensor *t)
{
    static const uint16_t halves[] = { 0x7c00, 0xfc00, 0x7e00, 0x0001, 0x7bff, 0, 0x8000, 0x7f80, 0x7fc0, 0xff80 };
    if (t->size < 4)
        return;
    uint32_t bits, at = mutate_random((uint32_t)(t->size - 3));
    switch (mutate_random(5)) {
    case 0: t->data[at] ^= (unsigned char)(1u << mutate_random(8)); break;
    case 1:
        at &= ~3u;
        memcpy(&bits, t->data + at, 4);
        bits = mutate_float(bits);
        memcpy(t->data + at, &bits, 4);
        break;
    case 2: memcpy(t->data + (at & ~1u), &halves[mutate_random(10)], 2); break;
    case 3: memset(t->data + at, mutate_random(2) ? 0 : 0xff, (t->size - at) < 64 ? t->size - at : 1 + mutate_random(64)); break;
    default: doc_fill(t, mutate_x >> 40); break;
    }
}

static void mutate_tensor(doc *d)
{
    if (d->n_tensors == 0)
        return;
    size_t i = mutate_random((uint32_t)d->n_tensors), other = mutate_random((uint32_t)d->n_tensors);
    doc_tensor *t = &d->tensors[i];
    switch (mutate_random(14)) {
    case 0:
        memmove(t, t + 1, (d->n_tensors - i - 1) * sizeof *t);
        d->n_tensors--;
        return;
    case 1:
        if (d->n_tensors < DOC_TENSORS) {
            d->tensors[d->n_tensors++] = *t;
            if (mutate_random(8))
                mutate_name(d, &d->tensors[d->n_tensors - 1].name, &d->tensors[d->n_tensors - 1].name_len);
        }
        return;
    case 2: mutate_name(d, &t->name, &t->name_len); return;
    case 3:
        t->name = d->tensors[other].name;
        t->name_len = d->tensors[other].name_len;
        return;
    case 4: t->n_dims = mutate_random(3) ? mutate_random(6) : (uint32_t)mutate_number(t->n_dims, 4); return;
    case 5: case 6: t->ne[mutate_random(4)] = mutate_number(t->ne[mutate_random(4)], t->size); return;
    case 7: t->type = mutate_random(4) ? mutate_random(44) : (uint32_t)mutate_number(t->type, 44); return;
    case 8: t->offset = mutate_number(t->offset, t->size); return;
    case 9: t->type = d->tensors[other].type; return;
    case 10: {
        doc_tensor swap = *t;
        *t = d->tensors[other];
        d->tensors[other] = swap;
        return;
    }
    default: mutate_data(t); return;
    }
}

size_t mutate_gguf(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static doc *d;
    if (!d)
        d = doc_new();
    mutate_x = seed * 0x9e3779b97f4a7c15u + 1;
    mutate_random(1);
    if (mutate_random(24) == 0)                             /* bytes as they come */
        return LLVMFuzzerMutate(data, size, max_size);
    doc_read(d, data, size);
    uint32_t n = 1 + mutate_random(3), truth = 1;
    for (uint32_t i = 0; i < n; i++)
        switch (mutate_random(16)) {
        case 0: d->add_keys = mutate_random(2) ? 0 : mutate_number(0, size) - d->n_keys; break;
        case 1: d->add_tensors = mutate_random(2) ? 0 : mutate_number(0, size) - d->n_tensors; break;
        case 2: d->version = mutate_random(2) ? 3 : (uint32_t)mutate_number(d->version, size); break;
        case 3: case 4: case 5: case 6: case 7: case 8: mutate_key(d); break;
        case 9: truth = 0; break;
        default: mutate_tensor(d); break;
        }
    if (truth && mutate_random(8))
        doc_place(d);
    unsigned char *out = doc_room(d, max_size);
    size_t written = out ? doc_write(d, out, max_size) : 0;
    if (written == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data, out, written);
    return written;
}

size_t mutate_cross(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max_size, unsigned int seed)
{
    static doc *d, *e;
    if (!d) {
        d = doc_new();
        e = doc_new();
    }
    mutate_x = seed * 0x9e3779b97f4a7c15u + 1;
    mutate_random(1);
    doc_read(d, a, a_size);
    doc_read(e, b, b_size);
    for (uint32_t i = 0, n = 1 + mutate_random(4); i < n; i++) {
        if (mutate_random(2) && e->n_keys && d->n_keys) {
            const doc_key *key = &e->keys[mutate_random((uint32_t)e->n_keys)];
            size_t at = 0;
            while (at < d->n_keys && (d->keys[at].name_len != key->name_len || memcmp(d->keys[at].name, key->name, key->name_len) != 0))
                at++;
            if (at < DOC_KEYS)
                d->keys[at] = *key;
            d->n_keys = at == d->n_keys && at < DOC_KEYS ? at + 1 : d->n_keys;
        } else if (e->n_tensors && d->n_tensors) {
            d->tensors[mutate_random((uint32_t)d->n_tensors)] = e->tensors[mutate_random((uint32_t)e->n_tensors)];
        }
    }
    doc_place(d);
    return doc_write(d, out, max_size);
}
