/* SPDX-License-Identifier: MIT
 * Mixes: every tensor of models of many shapes gets the type that llama.cpp's quantizer gives it (tools/gen_mix_goldens.py). */
#include "model/mix.h"

#include "../files/gguf_build.h"

static const struct { const char *name; int32_t type; } files[] = {
    { "F32", LLM_FILE_F32 },       { "F16", LLM_FILE_F16 },       { "BF16", LLM_FILE_BF16 },     { "Q8_0", LLM_FILE_Q8_0 },     { "Q4_0", LLM_FILE_Q4_0 },
    { "Q4_1", LLM_FILE_Q4_1 },     { "Q5_0", LLM_FILE_Q5_0 },     { "Q5_1", LLM_FILE_Q5_1 },     { "Q4_K_S", LLM_FILE_Q4_K_S }, { "Q4_K_M", LLM_FILE_Q4_K_M },
    { "Q5_K_S", LLM_FILE_Q5_K_S }, { "Q5_K_M", LLM_FILE_Q5_K_M }, { "Q6_K", LLM_FILE_Q6_K },     { "IQ4_NL", LLM_FILE_IQ4_NL }, { "IQ4_XS", LLM_FILE_IQ4_XS },
};

typedef struct spec { char arch[32]; unsigned layers, heads, kv_heads, experts, cols, tied; } spec;
typedef struct infos { gguf_out out; uint64_t offset; unsigned n, cols; } infos;

static void add(infos *t, const char *name, unsigned n_dims)
{
    uint64_t ne[3] = { t->cols, 2, 2 };
    put_info(&t->out, name, n_dims ? n_dims : 1, ne, n_dims ? LM_TYPE_F16 : LM_TYPE_F32, t->offset);
    t->offset = (t->offset + (n_dims ? t->cols * (n_dims == 2 ? 4u : 8u) : t->cols * 4u) + 31) & ~(uint64_t)31;
    t->n++;
}

/* As tensors() of the script. */
static void add_all(infos *t, const spec *s)
{
    static const char *const separate[] = { "attn_q.weight", "attn_k.weight", "attn_v.weight" };
    static const char *const experts[] = { "ffn_gate_exps.weight", "ffn_down_exps.weight", "ffn_up_exps.weight" };
    static const char *const dense[] = { "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight" };
    bool joined = strcmp(s->arch, "falcon") == 0 || strcmp(s->arch, "phi3") == 0;
    char name[64];
    t->cols = s->cols;
    add(t, "token_embd.weight", 2);
    add(t, "output_norm.weight", 0);
    if (!s->tied)
        add(t, "output.weight", 2);
#define ADD(part, n_dims) (snprintf(name, sizeof name, "blk.%u.%s", l, part), add(t, name, n_dims))
    for (unsigned l = 0; l < s->layers; l++) {
        ADD("attn_norm.weight", 0);
        if (joined)
            ADD("attn_qkv.weight", 2);
        for (int i = 0; !joined && i < 3; i++)
            ADD(separate[i], 2);
        if (!joined)
            ADD("attn_v.bias", 0);
        ADD("attn_output.weight", 2);
        if (s->experts)
            ADD("ffn_gate_inp.weight", 2);
        for (int i = 0; i < 3; i++)
            ADD(s->experts ? experts[i] : dense[i], s->experts ? 3 : 2);
    }
#undef ADD
}

static lm_catalogue *make(lm_host *host, const spec *s, gguf_out *o)
{
    infos t = { .n = 0 };
    char key[64];
    lm_catalogue *c = NULL;
    llm_error error;
    add_all(&t, s);
    put_head(o, 3, t.n, 5);
    put_key_string(o, "general.architecture", s->arch);
#define KEY(part, value) (snprintf(key, sizeof key, "%s.%s", s->arch, part), put_key_u32(o, key, value))
    KEY("block_count", s->layers);
    KEY("attention.head_count", s->heads);
    KEY("attention.head_count_kv", s->kv_heads);
    KEY("expert_count", s->experts);
#undef KEY
    put_bytes(o, t.out.bytes, t.out.n);
    gguf_out_free(&t.out);
    put_padding(o, 32);
    put_data(o, (size_t)t.offset);
    llm_source source = gguf_buffer(o);
    CHECK_MSG(gguf_open(host, &source, &c, &error) == LLM_OK, "%s", error.message);
    return c;
}

static void test_goldens(lm_host *host)
{
    size_t size, n_lines = 0;
    char *text = test_read_file(LLM_TEST_TREE "/model/data/mixes.txt", &size);
    lm_catalogue *c = NULL;
    gguf_out out = { 0 };
    spec s = { .layers = 0 };
    llm_error error;
    if (!CHECK(text != NULL))
        return;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char name[16];
        unsigned weighted;
        int at = 0;
        if (strncmp(line, "model ", 6) == 0) {
            CHECK(sscanf(line, "model %31s %u %u %u %u %u %u", s.arch, &s.layers, &s.heads, &s.kv_heads, &s.experts, &s.cols, &s.tied) == 7);
            lm_catalogue_free(c);
            gguf_out_free(&out);
            c = make(host, &s, &out);
            continue;
        }
        if (!CHECK(c != NULL) || !CHECK(sscanf(line, "%15s %u %n", name, &weighted, &at) == 2 && strlen(line + at) == c->n_tensors))
            break;
        lm_mix mix = { .importance = weighted != 0 };
        for (size_t i = 0; i < LM_COUNT(files); i++)
            if (strcmp(files[i].name, name) == 0)
                mix.file_type = files[i].type;
        uint32_t *types = calloc(2 * c->n_tensors, sizeof *types);
        CHECK(lm_mix_types(c, &mix, types, types + c->n_tensors, &error) == LLM_OK);
        for (size_t i = 0; i < c->n_tensors; i++)
            CHECK_MSG(types[i] == (uint32_t)(line[(size_t)at + i] - '0'), "%s, %u layers, %s%s: %s is %u, llama.cpp says %d", s.arch, s.layers, name, weighted ? " with importance" : "",
                      c->tensors[i].name.ptr, types[i], line[(size_t)at + i] - '0');
        free(types);
        n_lines++;
    }
    CHECK(n_lines == 14 * 20);
    lm_catalogue_free(c);
    gguf_out_free(&out);
    free(text);
}

/* What has no model's keys, or odd names, gets the plain type; pure and kept outputs. */
static void test_odd(lm_host *host)
{
    static const char *const names[] = { "output.weight", "blk.99999999999.attn_v.weight", "blk..ffn_down.weight", "blk.1.ffn_down", "weight", "x.weight", "token_embd.weight" };
    static const uint32_t plain[] = { LM_TYPE_Q6_K, LM_TYPE_Q6_K, LM_TYPE_Q6_K, LM_TYPE_F16, LM_TYPE_Q4_K, LM_TYPE_Q4_K, LM_TYPE_Q4_K };
    lm_mix mix = { .file_type = LLM_FILE_Q4_K_M };
    lm_catalogue *c = NULL;
    gguf_out out = { 0 };
    infos t = { .cols = 256 };
    uint32_t types[7], wanted[7];
    llm_error error;
    for (size_t i = 0; i < LM_COUNT(names); i++)
        add(&t, names[i], 2);
    put_head(&out, 3, t.n, 0);
    put_bytes(&out, t.out.bytes, t.out.n);
    put_padding(&out, 32);
    put_data(&out, (size_t)t.offset);
    llm_source source = gguf_buffer(&out);
    if (CHECK(gguf_open(host, &source, &c, &error) == LLM_OK)) {
        CHECK(lm_mix_types(c, &mix, types, wanted, &error) == LLM_OK);
        for (size_t i = 0; i < LM_COUNT(names); i++)
            CHECK_MSG(types[i] == plain[i], "%s: %u", names[i], types[i]);
        mix.pure = mix.keep_output = true;
        CHECK(lm_mix_types(c, &mix, types, wanted, &error) == LLM_OK);
        CHECK(types[0] == LM_TYPE_F16 && types[1] == LM_TYPE_Q4_K && types[2] == LM_TYPE_Q4_K);
        mix.file_type = 77;
        CHECK(lm_mix_types(c, &mix, types, wanted, &error) == LLM_E_INVALID && lm_mix_number(77) == UINT32_MAX && lm_mix_number(LLM_FILE_Q4_K_M) == 15);
    }
    lm_catalogue_free(c);
    gguf_out_free(&out);
    gguf_out_free(&t.out);
}

int main(void)
{
    lm_host host;
    test_host(&host);
    test_goldens(&host);
    test_odd(&host);
    CHECK(host.mem.used == 0);
    return TEST_DONE();
}
