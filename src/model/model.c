/* SPDX-License-Identifier: MIT
 * From a catalogue to a model, in this order: name of the architecture, hyper-parameters, vocabulary, program (which checks every tensor's
 * shape), the backend's word that it can run it, and only then weights. So the first lie of a file is the one that is reported, and
 * nothing large was allocated before. Owns the parts of lm_model; the catalogue changes owner on success only. Knows
 * one backend through its table. Threads: one load, one thread; a loaded model is immutable. */
#include "model/model.h"

#include "model/arch/arch.h"
#include "model/arch/blocks.h"
#include "model/packs.h"
#include "model/params.h"
#include "model/vocab.h"
#include "model/weights.h"

#include "base/cpu.h"

#include <string.h>

static llm_status model_arch_name(const lm_catalogue *c, llm_str *out, llm_error *error)
{
    static const char key[] = "general.architecture";
    llm_status status = lm_catalogue_str(c, key, out, error);
    if (status == LLM_E_NOT_FOUND)
        return lm_fail_at(error, LLM_E_FORMAT, key, sizeof key - 1, UINT64_MAX, "key '%s' is missing; expected the name of an architecture", key);
    if (status == LLM_OK && out->len == 0)
        return lm_fail_at(error, LLM_E_FORMAT, key, sizeof key - 1, UINT64_MAX, "key '%s' is empty; expected the name of an architecture", key);
    return status;
}

static llm_status model_arch(const lm_catalogue *c, llm_str name, const lm_arch **out, llm_error *error)
{
    static const char key[] = "general.type";
    llm_str type = { "model", 5 };
    llm_status status = lm_catalogue_str(c, key, &type, error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    if (type.len != 5 || memcmp(type.ptr, "model", 5) != 0)
        return lm_fail_at(error, LLM_E_UNSUPPORTED, key, sizeof key - 1, UINT64_MAX, "key '%s' is '%.*s', expected 'model'", key,
                          (int)LM_MIN(type.len, 40), type.ptr);
    *out = lm_arch_find(name);
    if (!*out) {
        char known[256];
        lm_arch_names(known, sizeof known);
        return lm_fail_at(error, LLM_E_UNSUPPORTED, "general.architecture", 20, UINT64_MAX, "key 'general.architecture' is '%.*s', which is not supported; known are %s",
                          (int)LM_MIN(name.len, 40), name.ptr, known);
    }
    return LLM_OK;
}

/* Three things may say how many tokens there are, and must agree: the vocabulary, the key, the rows of the embedding (its shape is checked with
 * the other tensors). */
static llm_status model_n_vocab(const lm_catalogue *c, const lm_arch *arch, const lm_tokenizer *tokenizer, uint32_t *out, llm_error *error)
{
    char key[64];
    uint64_t n = 0;
    lm_print(key, sizeof key, "%s.vocab_size", arch->name);
    llm_status status = lm_catalogue_u64(c, key, 0, 1, INT32_MAX, &n, error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    if (tokenizer) {
        uint32_t tokens = lm_tokenizer_n_vocab(tokenizer);
        if (n != 0 && n != tokens)
            return lm_fail_at(error, LLM_E_FORMAT, key, strlen(key), UINT64_MAX, "key '%s' is %llu, but tokenizer.ggml.tokens has %u tokens", key, (unsigned long long)n, tokens);
        n = tokens;
    }
    const lm_tensor *embedding = lm_catalogue_tensor(c, "token_embd.weight");
    if (n == 0 && embedding)
        n = embedding->ne[1];
    if (n == 0 || n > INT32_MAX)
        return lm_fail_at(error, LLM_E_FORMAT, key, strlen(key), UINT64_MAX, "nothing says how many tokens there are: no vocabulary, no key '%s', no tensor 'token_embd.weight'", key);
    *out = (uint32_t)n;
    return LLM_OK;
}

/* Blocks of an older quantization version mean something else. */
static llm_status model_quantization(const lm_catalogue *c, llm_error *error)
{
    static const char key[] = "general.quantization_version";
    uint64_t version = 2;
    llm_status status = lm_catalogue_u64(c, key, 0, 0, UINT64_MAX, &version, error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    for (size_t i = 0; version != 2 && i < c->n_tensors; i++) {
        const lm_type_info *type = lm_type_get(c->tensors[i].type);
        if (type && type->block > 1)
            return lm_fail_at(error, LLM_E_UNSUPPORTED, key, sizeof key - 1, UINT64_MAX, "key '%s' is %llu, known is 2", key, (unsigned long long)version);
    }
    return LLM_OK;
}

/* Tensors that no graph reads: old tables of inverse frequencies, scales for activations that float arithmetic does not need, and the
 * parts of other models in one file. */
static bool model_may_ignore(llm_str name)
{
    static const char *const tails[] = { ".attn_rot_embd.weight", ".rope_freqs.weight", ".attention.rotary_emb.inv_freq", ".input_scale" };
    static const char *const heads[] = { "v.", "a.", "mm." };
    for (size_t i = 0; i < LM_COUNT(tails); i++) {
        size_t n = strlen(tails[i]);
        if (name.len >= n && memcmp(name.ptr + name.len - n, tails[i], n) == 0)
            return true;
    }
    for (size_t i = 0; i < LM_COUNT(heads); i++)
        if (name.len > strlen(heads[i]) && memcmp(name.ptr, heads[i], strlen(heads[i])) == 0)
            return true;
    return false;
}

/* A tensor that the program does not read, or not to its end, would change what the model computes: a bias, a norm, another family's part. */
static llm_status model_no_strangers(lm_host *host, const lm_catalogue *c, const lm_arch *arch, const lm_program *p, llm_error *error)
{
    llm_status status = LLM_OK;
    uint64_t *used = lm_mem_new_array(&host->mem, c->n_tensors, sizeof *used, LLM_MEMORY_OTHER);      /* items */
    if (!used)
        return lm_fail_memory(error, "the list of tensors", c->n_tensors * sizeof *used);
    for (uint32_t i = 0; i < p->n_weights; i++) {
        const lm_weight_info *info = &p->weights[i];
        const lm_tensor *t;
        for (uint32_t part = 0; (t = lm_block_weight_part(c, info, part)) != NULL; part++)
            used[t - c->tensors] += LM_MIN(info->n_rows, t->n_rows) * info->n_cols;
    }
    for (size_t i = 0; status >= 0 && i < c->n_tensors; i++) {
        const lm_tensor *t = &c->tensors[i];
        uint64_t whole = t->ne[0] * t->n_rows;
        if (used[i] >= whole)
            continue;
        if (used[i] != 0) {
            status = lm_fail_at(error, LLM_E_INTERNAL, t->name.ptr, t->name.len, t->offset, "of tensor '%s' %llu of %llu items would be read", t->name.ptr,
                                (unsigned long long)used[i], (unsigned long long)whole);
            continue;
        }
        if (model_may_ignore(t->name))
            lm_log(host, LLM_LOG_WARN, "tensor '%s' is not used", t->name.ptr);
        else
            status = lm_fail_at(error, LLM_E_UNSUPPORTED, t->name.ptr, t->name.len, t->offset, "tensor '%s' is no part of architecture '%s' as this library knows it",
                                t->name.ptr, arch->name);
    }
    lm_mem_free(&host->mem, used);
    return status;
}

static llm_status model_program(lm_model *m, const lm_catalogue *c, const lm_load *load, llm_error *error)
{
    lm_params params;
    lm_graph *graph = NULL;
    int32_t logits = LM_NONE;
    LM_TRY(lm_params_read(c, m->arch, &params, error));
    LM_TRY(lm_vocab_open(m->host, c, &m->tokenizer, error));
    LM_TRY(model_n_vocab(c, m->arch, m->tokenizer, &params.n_vocab, error));
    LM_TRY(model_quantization(c, error));
    m->n_ctx_train = params.n_ctx_train;
    m->n_embd = params.n_embd;
    m->n_layers = params.n_layers;
    m->n_vocab = params.n_vocab;
    LM_TRY(lm_graph_new(m->host, &graph, error));
    if (load->plain_norms)
        lm_graph_plain_norms(graph);
    llm_status status = m->arch->build(c, &params, graph, &logits, error);
    if (status >= 0)
        status = lm_graph_finish(graph, logits, params.n_vocab, params.n_embd, &m->program, error);
    lm_graph_free(graph);
    if (status >= 0)
        status = model_no_strangers(m->host, c, m->arch, m->program, error);
    if (status >= 0 && load->place)
        status = load->place(load->place_user, m->program, m->n_layers, &m->backend, error);
    for (uint32_t i = 0; status >= 0 && i < m->program->n_ops; i++)
        status = m->backend->table->can_run(m->backend, m->program, &m->program->ops[i], LLM_STATE_TYPE_F16, error);
    return status;
}

static llm_status model_progress(const lm_load *load, float fraction, llm_error *error)
{
    if (load->progress && load->progress(load->user, fraction) != 0)
        return lm_fail(error, LLM_E_CANCELLED, "loading was cancelled by the progress callback");
    return LLM_OK;
}

static llm_status model_weights(lm_model *m, lm_catalogue *c, const lm_load *load, llm_error *error)
{
    m->weights = lm_mem_new_array(&m->host->mem, m->program->n_weights, sizeof *m->weights, LLM_MEMORY_OTHER);
    if (!m->weights)
        return lm_fail_memory(error, "a model", m->program->n_weights * sizeof *m->weights);
    if (load->pack.path.ptr)
        LM_TRY(model_progress(load, 0, error));
    LM_TRY(lm_packs_open(m->host, m->backend, c, m->program, load, &m->pack, error));
    if (m->pack) {
        LM_TRY(lm_packs_adopt(m->backend, m->program, m->pack, m->weights, error));
        LM_TRY(model_progress(load, 1, error));
    } else {
        LM_TRY(lm_weights_load(m->host, m->backend, c, m->program, load, m->weights, error));
    }
    LM_TRY(lm_catalogue_samples(c, &m->samples, error));    /* now that all has just been read, or the pack's key has asked for them */
    const lm_backend_table *table = m->backend->table;
    LM_TRY(table->exec_open(m->backend, m->program, m->weights, &m->exec, error));
    return table->exec_compile ? table->exec_compile(m->backend, m->exec, load->progress, load->user, error) : LLM_OK;
}

static llm_status model_vocab_only(lm_model *m, const lm_catalogue *c, llm_error *error)
{
    LM_TRY(lm_vocab_open(m->host, c, &m->tokenizer, error));
    if (!m->tokenizer)
        return lm_fail_at(error, LLM_E_FORMAT, "tokenizer.ggml.model", 20, UINT64_MAX, "the file has no vocabulary (no key 'tokenizer.ggml.model')");
    m->n_vocab = lm_tokenizer_n_vocab(m->tokenizer);
    return LLM_OK;
}

static llm_status model_open(lm_host *host, lm_backend *backend, lm_catalogue *catalogue, const lm_load *load, lm_model **out, llm_error *error)
{
    llm_str name = { NULL, 0 };
    LM_TRY(model_arch_name(catalogue, &name, error));
    lm_model *m = lm_mem_new(&host->mem, sizeof *m, LLM_MEMORY_OTHER);
    if (!m)
        return lm_fail_memory(error, "a model", sizeof *m);
    m->host = host;
    m->backend = backend;
    for (size_t i = 0; i < catalogue->n_tensors; i++) {
        const lm_tensor *t = &catalogue->tensors[i];
        m->n_params += t->ne[0] * t->n_rows;
        m->weight_bytes += t->bytes;
    }
    llm_status status;
    if (load->vocab_only) {
        status = model_vocab_only(m, catalogue, error);
    } else {
        status = model_arch(catalogue, name, &m->arch, error);
        if (status >= 0)
            status = model_program(m, catalogue, load, error);
        if (status >= 0)
            status = load->plan_only ? lm_packs_open(host, m->backend, catalogue, m->program, load, &m->pack, error) : model_weights(m, catalogue, load, error);
    }
    if (status < 0) {
        lm_model_close(m);                                  /* the catalogue is still the caller's */
        return status;
    }
    m->catalogue = catalogue;
    lm_catalogue_release(catalogue);
    *out = m;
    return LLM_OK;
}

llm_status lm_model_open(lm_host *host, lm_backend *backend, lm_catalogue *catalogue, const lm_load *load, lm_model **out, llm_error *error)
{
    uint64_t mode = lm_fp_enter();                          /* constants of the program are computed here */
    llm_status status = model_open(host, backend, catalogue, load, out, error);
    lm_fp_leave(mode);
    return status;
}

void lm_model_close(lm_model *model)
{
    if (!model)
        return;
    if (model->exec)
        model->backend->table->exec_close(model->backend, model->exec);
    if (model->weights)
        lm_weights_free(model->backend, model->weights, model->program->n_weights);
    lm_mem_free(&model->host->mem, model->weights);
    lm_pack_close(model->pack);
    lm_program_free(model->host, model->program);
    lm_tokenizer_free(model->tokenizer);
    lm_catalogue_free(model->catalogue);
    lm_mem_free(&model->host->mem, model);
}

uint64_t lm_model_weight_cost(const lm_model *model)
{
    const lm_backend_table *table = model->backend->table;
    uint64_t sum = 0;
    for (uint32_t i = 0; model->program && i < model->program->n_weights; i++) {
        sum += table->weight_cost(model->backend, &model->program->weights[i]);
        if (model->pack)
            sum -= lm_mem_cost(table->packed_bytes(model->backend, &model->program->weights[i]));
    }
    return sum;
}

uint64_t lm_model_packing_cost(const lm_model *model, llm_str path)
{
    uint32_t n = model->program ? model->program->n_weights : 0;
    if (!path.ptr || n == 0 || model->pack)
        return 0;
    return lm_pack_write_cost(path, n) + lm_mem_cost(n * sizeof(lm_pack_item)) + lm_mem_cost(n * sizeof(lm_weight *));
}
