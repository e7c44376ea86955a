/* SPDX-License-Identifier: MIT
 * Loading and letting go of models, and what can be asked of them. A model lives as long as its handle or any session of it; it
 * holds its engine. */
#include "session/loaded.h"

#include "session/sampler.h"

#include "model/fingerprint.h"

#include <string.h>

static void loaded_close(llm_model *model)
{
    llm_engine *engine = model->engine;
    lm_mem *mem = &engine->host.mem;
    if (model->model)
        lm_engine_close_lanes(engine, model->model->exec);
    for (int32_t i = 0; i < LM_N_STATE_TYPES; i++)
        if (model->pool_open[i])
            lm_pages_close(&model->pools[i]);
    while (model->scratch) {
        lm_scratch *next = model->scratch->next;
        lm_mem_free(mem, model->scratch);
        model->scratch = next;
    }
    lm_importance_free(model->importance);
    lm_model_close(model->model);
    lm_placing_close(&model->placing);
    lm_mutex_destroy(&model->lock);
    lm_mem_free(mem, model);
    lm_engine_drop(engine);
}

static size_t loaded_longest_token(const lm_tokenizer *tokenizer)
{
    size_t longest = 0;
    for (uint32_t i = 0; tokenizer && i < lm_tokenizer_n_vocab(tokenizer); i++)
        longest = LM_MAX(longest, lm_tokenizer_bytes(tokenizer, (llm_token)i, LLM_DECODE_SHOW_SPECIAL).len);
    return longest;
}

/* Catalogue and model, with nothing held on failure. */
static llm_status loaded_open(lm_host *host, lm_backend *backend, const llm_source *const *parts, size_t n_parts, const lm_load *load,
                              lm_model **out, llm_error *error)
{
    lm_catalogue *catalogue = NULL;
    LM_TRY(lm_catalogue_open(host, parts, n_parts, &catalogue, error));
    llm_status status = lm_model_open(host, backend, catalogue, load, out, error);
    if (status < 0)
        lm_catalogue_free(catalogue);
    return status;
}

lm_load_pack lm_loaded_pack(const llm_model_desc *desc)
{
    return (lm_load_pack){ { desc->pack, desc->pack_len }, (desc->flags & LLM_MODEL_PACK_READ_ONLY) != 0, (desc->flags & LLM_MODEL_PACK_VERIFY) != 0 };
}

llm_status lm_loaded_new(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_model_desc *desc, llm_model **out,
                         llm_error *error)
{
    lm_backend *backend = NULL;
    if (desc->flags & ~(uint32_t)(LLM_MODEL_VOCAB_ONLY | LLM_MODEL_OBSERVE | LLM_MODEL_PACK_READ_ONLY | LLM_MODEL_PACK_VERIFY))
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_model_desc.flags is 0x%x: an unknown flag is set", desc->flags);
    if (desc->n_device_layers < LLM_ALL_LAYERS)
        return lm_fail(error, LLM_E_INVALID, "llm_model_desc.n_device_layers is %d: expected 0, a number of layers, or LLM_ALL_LAYERS", desc->n_device_layers);
    LM_TRY(lm_engine_backend(engine, desc->device, &backend, error));
    llm_model *model = lm_mem_new(&engine->host.mem, sizeof *model, LLM_MEMORY_OTHER);
    if (!model)
        return lm_fail_memory(error, "a model", sizeof *model);
    llm_status status = lm_mutex_init(&model->lock, error);
    if (status < 0) {
        lm_mem_free(&engine->host.mem, model);
        return status;
    }
    lm_engine_hold(engine);
    model->engine = engine;
    atomic_init(&model->refs, 1);
    llm_parallel parallel = lm_engine_threads(engine);
    lm_load load = { .vocab_only = (desc->flags & LLM_MODEL_VOCAB_ONLY) != 0, .plain_norms = (desc->flags & LLM_MODEL_OBSERVE) != 0,
                     .pack = lm_loaded_pack(desc), .parallel = &parallel, .progress = desc->progress, .user = desc->user };
    model->placing = (lm_placing){ .engine = engine, .host = &engine->host, .device = backend, .wanted = load.plain_norms ? -1 : desc->n_device_layers };
    load.place = lm_placing_choose;
    load.place_user = &model->placing;
    status = loaded_open(&engine->host, backend, parts, n_parts, &load, &model->model, error);
    if (status == LLM_OK && load.plain_norms && model->model->program)
        status = lm_importance_new(&engine->host, model->model->program, &model->importance, error);
    if (status < 0) {
        loaded_close(model);
        return status;
    }
    lm_catalogue_str(model->model->catalogue, "general.architecture", &model->architecture, NULL);
    lm_catalogue_str(model->model->catalogue, "general.name", &model->name, NULL);
    model->tokenizer.host = &engine->host;
    model->tokenizer.engine = engine;
    model->tokenizer.tokenizer = model->model->tokenizer;
    model->longest_token = loaded_longest_token(model->model->tokenizer);
    *out = model;
    return LLM_OK;
}

void lm_loaded_hold(llm_model *model)
{
    atomic_fetch_add(&model->refs, 1);
}

void lm_loaded_drop(llm_model *model)
{
    if (atomic_fetch_sub(&model->refs, 1) == 1)
        loaded_close(model);
}

llm_status lm_loaded_write_importance(llm_model *model, const llm_sink *sink, const llm_importance_desc *desc, llm_error *error)
{
    if (desc->flags & ~(uint32_t)LLM_IMPORTANCE_OUTPUT)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_importance_desc.flags is 0x%x: an unknown flag is set", desc->flags);
    if (desc->n_chunks < 0 || desc->chunk_tokens < 0)
        return lm_fail(error, LLM_E_INVALID, "llm_importance_desc: %d chunks of %d tokens: expected 0 or more", desc->n_chunks, desc->chunk_tokens);
    if (!model->importance)
        return lm_fail(error, LLM_E_STATE, "this model is not observed: load it with LLM_MODEL_OBSERVE");
    lm_mutex_lock(&model->lock);
    llm_status status = lm_importance_write(model->importance, model->model->catalogue, sink, desc, error);
    lm_mutex_unlock(&model->lock);
    return status;
}

/* The backend's part, then the program. */
llm_status lm_loaded_plan(const llm_model *model, char *text, size_t cap, size_t *n, llm_error *error)
{
    const lm_model *m = model->model;
    const lm_backend_table *table = m->backend->table;
    lm_device device = { .name = NULL };
    char line[300];
    if (!m->program)
        return lm_fail(error, LLM_E_STATE, "a model without weights has no plan (LLM_MODEL_VOCAB_ONLY)");
    table->device(m->backend, &device);
    size_t head = table->exec_report ? table->exec_report(m->backend, m->exec, NULL, 0) : lm_print(line, sizeof line, "name: %s\nkind: processor\n", device.name);
    size_t body = lm_program_dump(m->program, NULL, 0);
    *n = head + body;
    if (!text)
        return LLM_OK;
    if (cap <= head + body)
        return lm_fail(error, LLM_E_SPACE, "the plan has %zu bytes and a NUL, there is room for %zu", head + body, cap);
    if (table->exec_report)
        table->exec_report(m->backend, m->exec, text, cap);
    else
        memcpy(text, line, head);
    lm_program_dump(m->program, text + head, cap - head);
    return LLM_OK;
}

/* ---- what can be asked ------------------------------------------------------------------------------------------------- */

void lm_loaded_info(const llm_model *model, llm_model_info *out)
{
    const lm_model *m = model->model;
    out->architecture = model->architecture.ptr;
    out->architecture_len = model->architecture.len;
    out->name = model->name.ptr;
    out->name_len = model->name.len;
    out->n_params = m->n_params;
    out->file_bytes = m->catalogue->file_bytes;
    out->weight_bytes = m->weight_bytes;
    out->mapped_bytes = m->pack ? lm_pack_bytes(m->pack) : 0;
    out->n_vocab = (int32_t)m->n_vocab;
    out->n_ctx_train = (int32_t)m->n_ctx_train;
    out->n_embd = (int32_t)m->n_embd;
    out->n_layers = (int32_t)m->n_layers;
}

static void loaded_meta_fill(const lm_key *key, llm_meta *out)
{
    if (key->type == LM_VALUE_ARRAY) {
        llm_meta item = { .struct_size = sizeof item };
        if (key->n_items)
            lm_key_item(key, 0, &item);
        out->type = LLM_META_ARRAY;
        out->item_type = item.type;
        out->n_items = key->n_items;
    } else {
        lm_key_item(key, 0, out);
    }
    out->key = key->name.ptr;
    out->key_len = key->name.len;
}

static llm_status loaded_meta_key(const llm_model *model, size_t index, const lm_key **out, llm_error *error)
{
    const lm_catalogue *catalogue = model->model->catalogue;
    if (index >= catalogue->n_keys)
        return lm_fail(error, LLM_E_NOT_FOUND, "no metadata key %zu: there are %zu", index, catalogue->n_keys);
    *out = &catalogue->keys[index];
    return LLM_OK;
}

llm_status lm_loaded_meta(const llm_model *model, size_t index, llm_meta *out, llm_error *error)
{
    const lm_key *key = NULL;
    LM_TRY(loaded_meta_key(model, index, &key, error));
    loaded_meta_fill(key, out);
    return LLM_OK;
}

llm_status lm_loaded_meta_find(const llm_model *model, const char *key, size_t key_len, llm_meta *out, llm_error *error)
{
    const lm_key *found = lm_catalogue_key(model->model->catalogue, key, key_len);
    if (!found)
        return lm_fail_at(error, LLM_E_NOT_FOUND, key, key_len, UINT64_MAX, "the model has no metadata key \"%.*s\"",
                          (int)LM_MIN(key_len, (size_t)200), key);
    loaded_meta_fill(found, out);
    return LLM_OK;
}

llm_status lm_loaded_meta_item(const llm_model *model, size_t index, uint64_t item, llm_meta *out, llm_error *error)
{
    const lm_key *key = NULL;
    LM_TRY(loaded_meta_key(model, index, &key, error));
    if (item >= key->n_items)
        return lm_fail_at(error, LLM_E_NOT_FOUND, key->name.ptr, key->name.len, UINT64_MAX, "\"%.*s\" has %llu items: no item %llu",
                          (int)LM_MIN(key->name.len, (size_t)200), key->name.ptr, (unsigned long long)key->n_items, (unsigned long long)item);
    lm_key_item(key, item, out);
    out->key = key->name.ptr;
    out->key_len = key->name.len;
    return LLM_OK;
}

llm_status lm_loaded_tensor(const llm_model *model, size_t index, llm_tensor_info *out, llm_error *error)
{
    const lm_catalogue *catalogue = model->model->catalogue;
    if (index >= catalogue->n_tensors)
        return lm_fail(error, LLM_E_NOT_FOUND, "no tensor %zu: there are %zu", index, catalogue->n_tensors);
    const lm_tensor *tensor = &catalogue->tensors[index];
    const lm_type_info *type = lm_type_get(tensor->type);
    out->n_dims = tensor->n_dims;
    out->name = tensor->name.ptr;
    out->name_len = tensor->name.len;
    out->type = type->name;
    for (out->type_len = 0; type->name[out->type_len];)
        out->type_len++;
    for (int i = 0; i < 4; i++)
        out->dims[i] = tensor->ne[i];
    out->bytes = tensor->bytes;
    return LLM_OK;
}

void lm_loaded_fingerprint(llm_model *model, uint64_t *out_model, uint64_t *out_vocabulary)
{
    lm_mutex_lock(&model->lock);
    if (!model->printed)
        lm_model_fingerprint(model->model, &model->print, &model->vocabulary_print);
    model->printed = true;
    *out_model = model->print;
    *out_vocabulary = model->vocabulary_print;
    lm_mutex_unlock(&model->lock);
}

/* ---- for sessions ------------------------------------------------------------------------------------------------------ */

llm_status lm_loaded_pool(llm_model *model, int32_t state_type, lm_pages **out, llm_error *error)
{
    llm_status status = LLM_OK;
    lm_mutex_lock(&model->lock);
    if (!model->pool_open[state_type]) {
        status = lm_pages_open(&model->engine->host, model->model->backend, model->model->program, state_type, &model->pools[state_type], error);
        model->pool_open[state_type] = status == LLM_OK;
    }
    lm_mutex_unlock(&model->lock);
    if (status == LLM_OK)
        *out = &model->pools[state_type];
    return status;
}

static uint64_t loaded_scratch_part(uint64_t bytes)
{
    return (bytes + 63) & ~(uint64_t)63;
}

uint64_t lm_scratch_bytes(uint32_t n_vocab)
{
    return loaded_scratch_part(sizeof(lm_scratch)) + 2 * loaded_scratch_part((uint64_t)n_vocab * sizeof(float)) +
           2 * loaded_scratch_part((uint64_t)n_vocab * sizeof(lm_candidate)) + loaded_scratch_part((uint64_t)n_vocab * sizeof(uint32_t)) +
           LM_DRY_MOST * sizeof(uint32_t);
}

llm_status lm_loaded_take_scratch(llm_model *model, lm_scratch **out, llm_error *error)
{
    lm_mutex_lock(&model->lock);
    lm_scratch *scratch = model->scratch;
    if (scratch)
        model->scratch = scratch->next;
    lm_mutex_unlock(&model->lock);
    if (!scratch) {
        uint32_t n_vocab = model->model->n_vocab;
        uint64_t bytes = lm_scratch_bytes(n_vocab);
        char *block = lm_mem_new(&model->engine->host.mem, (size_t)bytes, LLM_MEMORY_OTHER);
        if (!block)
            return lm_fail_memory(error, "room to sample in", (size_t)bytes);
        scratch = (lm_scratch *)(void *)block;
        block += loaded_scratch_part(sizeof *scratch);
        lm_room *room = &scratch->room;
        room->logits = (float *)(void *)block;
        block += loaded_scratch_part((uint64_t)n_vocab * sizeof(float));
        room->weights = (float *)(void *)block;
        block += loaded_scratch_part((uint64_t)n_vocab * sizeof(float));
        room->candidates = (lm_candidate *)(void *)block;
        block += loaded_scratch_part((uint64_t)n_vocab * sizeof(lm_candidate));
        room->spare = (lm_candidate *)(void *)block;
        block += loaded_scratch_part((uint64_t)n_vocab * sizeof(lm_candidate));
        room->counts = (uint32_t *)(void *)block;
        block += loaded_scratch_part((uint64_t)n_vocab * sizeof(uint32_t));
        room->lengths = (uint32_t *)(void *)block;
    }
    *out = scratch;
    return LLM_OK;
}

void lm_loaded_give_scratch(llm_model *model, lm_scratch *scratch)
{
    if (!scratch)
        return;
    lm_mutex_lock(&model->lock);
    scratch->next = model->scratch;
    model->scratch = scratch;
    lm_mutex_unlock(&model->lock);
}

void lm_loaded_free_scratch(llm_model *model)
{
    lm_mutex_lock(&model->lock);
    while (model->scratch) {
        lm_scratch *next = model->scratch->next;
        lm_mem_free(&model->engine->host.mem, model->scratch);
        model->scratch = next;
    }
    lm_mutex_unlock(&model->lock);
}

/* ---- tokenizers of their own ------------------------------------------------------------------------------------------- */

llm_status lm_loaded_tokenizer_new(llm_engine *engine, const llm_source *source, llm_tokenizer **out, llm_error *error)
{
    llm_tokenizer *tokenizer = lm_mem_new(&engine->host.mem, sizeof *tokenizer, LLM_MEMORY_TOKENIZER);
    if (!tokenizer)
        return lm_fail_memory(error, "a tokenizer", sizeof *tokenizer);
    lm_load load = { .vocab_only = true };
    llm_status status = loaded_open(&engine->host, engine->backends[0], &source, 1, &load, &tokenizer->model, error);
    if (status == LLM_OK && !tokenizer->model->tokenizer)
        status = lm_fail(error, LLM_E_UNSUPPORTED, "the file has no vocabulary (tokenizer.ggml.tokens)");
    if (status < 0) {
        lm_model_close(tokenizer->model);
        lm_mem_free(&engine->host.mem, tokenizer);
        return status;
    }
    lm_engine_hold(engine);
    atomic_init(&tokenizer->refs, 1);
    tokenizer->engine = engine;
    tokenizer->host = &engine->host;
    tokenizer->tokenizer = tokenizer->model->tokenizer;
    *out = tokenizer;
    return LLM_OK;
}

void lm_loaded_tokenizer_drop(llm_tokenizer *tokenizer)
{
    if (!tokenizer->model || atomic_fetch_sub(&tokenizer->refs, 1) != 1)
        return;                                             /* a model's own: borrowed, and freed with it */
    llm_engine *engine = tokenizer->engine;
    lm_model_close(tokenizer->model);
    lm_mem_free(&engine->host.mem, tokenizer);
    lm_engine_drop(engine);
}
