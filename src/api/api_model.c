/* SPDX-License-Identifier: MIT
 * llm.h: models, what can be asked of them, estimates. */
#include "api/api.h"

#include "session/estimate.h"
#include "session/loaded.h"

#include "model/quantize.h"

enum { API_MODEL_MAX_PARTS = 1024 };

/* The callers' sources, of whatever version, as ours: one array of structs and one of pointers to them, in memory of the engine. */
typedef struct api_model_parts { llm_source *sources; llm_reader *readers; const llm_source **list; void *block; } api_model_parts;

static llm_status api_model_source(const llm_source *given, llm_source *source, llm_reader *reader, llm_error *error)
{
    LM_API_NEED(given, error);
    LM_TRY(LM_API_DESC(given, source, llm_source, error));
    if (source->reserved_ptr)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_source.reserved_ptr must be NULL");
    if (source->kind == LLM_SOURCE_PATH)
        LM_TRY(lm_api_text(source->path, &source->path_len, "llm_source.path", error));
    if (source->kind == LLM_SOURCE_READER) {
        LM_API_NEED(source->reader, error);
        LM_TRY(LM_API_DESC(source->reader, reader, llm_reader, error));
        if (!reader->read)
            return lm_fail(error, LLM_E_INVALID, "llm_reader needs read");
        source->reader = reader;
    }
    return LLM_OK;
}

static llm_status api_model_parts_take(llm_engine *engine, const llm_source *const *given, size_t n, api_model_parts *out, llm_error *error)
{
    LM_API_NEED(given, error);
    if (n == 0 || n > API_MODEL_MAX_PARTS)
        return lm_fail(error, LLM_E_INVALID, "n_parts is %zu: expected 1 to %d", n, API_MODEL_MAX_PARTS);
    size_t bytes = n * (sizeof(llm_source) + sizeof(llm_reader) + sizeof(llm_source *));
    out->block = lm_mem_new(&engine->host.mem, bytes, LLM_MEMORY_OTHER);
    if (!out->block)
        return lm_fail_memory(error, "a list of sources", bytes);
    out->sources = out->block;
    out->readers = (llm_reader *)(out->sources + n);
    out->list = (const llm_source **)(out->readers + n);
    for (size_t i = 0; i < n; i++) {
        llm_status status = api_model_source(given[i], &out->sources[i], &out->readers[i], error);
        if (status < 0) {
            lm_mem_free(&engine->host.mem, out->block);
            return status;
        }
        out->list[i] = &out->sources[i];
    }
    return LLM_OK;
}

static llm_status api_model_desc(const llm_model_desc *desc, llm_model_desc *out, llm_error *error)
{
    LM_TRY(LM_API_DESC(desc, out, llm_model_desc, error));
    LM_TRY(lm_api_text(out->pack, &out->pack_len, "llm_model_desc.pack", error));
    if (out->pack && (out->pack_len == 0 || memchr(out->pack, 0, out->pack_len)))
        return lm_fail(error, LLM_E_INVALID, "llm_model_desc.pack is empty or holds a NUL byte: expected the name of a file");
    return LLM_OK;
}

llm_status llm_model_load_from(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_model_desc *desc, llm_model **out,
                               llm_error *error)
{
    llm_model_desc full;
    api_model_parts taken;
    LM_API_NEED(engine, error);
    LM_TRY(lm_engine_here(engine, error));
    LM_API_NEED(out, error);
    LM_TRY(api_model_desc(desc, &full, error));
    LM_TRY(api_model_parts_take(engine, parts, n_parts, &taken, error));
    llm_status status = lm_loaded_new(engine, taken.list, n_parts, &full, out, error);
    lm_mem_free(&engine->host.mem, taken.block);
    return lm_api_done(status, error);
}

llm_status llm_model_load(llm_engine *engine, const char *path, size_t path_len, const llm_model_desc *desc, llm_model **out, llm_error *error)
{
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    LM_API_NEED(path, error);
    source.path = path;
    source.path_len = path_len;
    return llm_model_load_from(engine, &part, 1, desc, out, error);
}

void llm_model_free(llm_model *model)
{
    if (model && lm_engine_is_here(model->engine))
        lm_loaded_drop(model);
}

llm_status llm_model_get_info(const llm_model *model, llm_model_info *info, llm_error *error)
{
    llm_model_info ours = LLM_INIT(llm_model_info);
    LM_API_NEED(model, error);
    LM_TRY(lm_api_info_check(info, "llm_model_info", error));
    lm_loaded_info(model, &ours);
    lm_api_info_give(&ours, sizeof ours, info);
    return lm_api_done(LLM_OK, error);
}

llm_status llm_model_plan(const llm_model *model, char *text, size_t cap, size_t *n, llm_error *error)
{
    LM_API_NEED(model, error);
    LM_TRY(lm_engine_here(model->engine, error));
    LM_API_NEED(n, error);
    if (!text && cap != 0)
        return lm_fail(error, LLM_E_INVALID, "text is NULL, cap is %zu", cap);
    return lm_api_done(lm_loaded_plan(model, text, cap, n, error), error);
}

llm_status llm_model_write_importance(llm_model *model, const llm_sink *sink, const llm_importance_desc *desc, llm_error *error)
{
    llm_sink full_sink;
    llm_writer writer;
    llm_importance_desc full;
    LM_API_NEED(model, error);
    LM_TRY(lm_engine_here(model->engine, error));
    LM_TRY(lm_api_sink(sink, &full_sink, &writer, error));
    LM_TRY(LM_API_DESC(desc, &full, llm_importance_desc, error));
    LM_TRY(lm_api_text(full.dataset, &full.dataset_len, "llm_importance_desc.dataset", error));
    return lm_api_done(lm_loaded_write_importance(model, &full_sink, &full, error), error);
}

llm_status llm_model_quantize(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_sink *sink, const llm_quantize_desc *desc,
                              llm_quantize_info *info, llm_error *error)
{
    llm_quantize_desc full;
    llm_quantize_info ours = LLM_INIT(llm_quantize_info);
    llm_sink full_sink;
    llm_writer writer;
    llm_source importance;
    llm_reader reader;
    api_model_parts taken;
    LM_API_NEED(engine, error);
    LM_TRY(lm_engine_here(engine, error));
    if (info)
        LM_TRY(lm_api_info_check(info, "llm_quantize_info", error));
    LM_TRY(LM_API_DESC(desc, &full, llm_quantize_desc, error));
    LM_TRY(lm_api_sink(sink, &full_sink, &writer, error));
    if (full.importance) {
        LM_TRY(api_model_source(full.importance, &importance, &reader, error));
        full.importance = &importance;
    }
    if (full.reserved != 0)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_quantize_desc.reserved must be 0");
    LM_TRY(api_model_parts_take(engine, parts, n_parts, &taken, error));
    llm_parallel parallel = lm_engine_threads(engine);
    llm_status status = lm_model_quantize(&engine->host, taken.list, n_parts, &full_sink, &full, &parallel, &ours, error);
    lm_mem_free(&engine->host.mem, taken.block);
    if (status == LLM_OK && info)
        lm_api_info_give(&ours, sizeof ours, info);
    return lm_api_done(status, error);
}

size_t llm_model_meta_count(const llm_model *model)
{
    return model ? model->model->catalogue->n_keys : 0;
}

llm_status llm_model_meta_at(const llm_model *model, size_t index, llm_meta *out, llm_error *error)
{
    llm_meta ours = LLM_INIT(llm_meta);
    LM_API_NEED(model, error);
    LM_TRY(lm_api_info_check(out, "llm_meta", error));
    LM_TRY(lm_loaded_meta(model, index, &ours, error));
    lm_api_info_give(&ours, sizeof ours, out);
    return lm_api_done(LLM_OK, error);
}

llm_status llm_model_meta_find(const llm_model *model, const char *key, size_t key_len, llm_meta *out, llm_error *error)
{
    llm_meta ours = LLM_INIT(llm_meta);
    LM_API_NEED(model, error);
    LM_API_NEED(key, error);
    LM_TRY(lm_api_text(key, &key_len, "key", error));
    LM_TRY(lm_api_info_check(out, "llm_meta", error));
    LM_TRY(lm_loaded_meta_find(model, key, key_len, &ours, error));
    lm_api_info_give(&ours, sizeof ours, out);
    return lm_api_done(LLM_OK, error);
}

llm_status llm_model_meta_item(const llm_model *model, size_t index, uint64_t item, llm_meta *out, llm_error *error)
{
    llm_meta ours = LLM_INIT(llm_meta);
    LM_API_NEED(model, error);
    LM_TRY(lm_api_info_check(out, "llm_meta", error));
    LM_TRY(lm_loaded_meta_item(model, index, item, &ours, error));
    lm_api_info_give(&ours, sizeof ours, out);
    return lm_api_done(LLM_OK, error);
}

size_t llm_model_tensor_count(const llm_model *model)
{
    return model ? model->model->catalogue->n_tensors : 0;
}

llm_status llm_model_tensor_at(const llm_model *model, size_t index, llm_tensor_info *out, llm_error *error)
{
    llm_tensor_info ours = LLM_INIT(llm_tensor_info);
    LM_API_NEED(model, error);
    LM_TRY(lm_api_info_check(out, "llm_tensor_info", error));
    LM_TRY(lm_loaded_tensor(model, index, &ours, error));
    lm_api_info_give(&ours, sizeof ours, out);
    return lm_api_done(LLM_OK, error);
}

const llm_tokenizer *llm_model_tokenizer(const llm_model *model)
{
    return model && model->tokenizer.tokenizer ? &model->tokenizer : NULL;
}

llm_status llm_tokenizer_load(llm_engine *engine, const llm_source *source, llm_tokenizer **out, llm_error *error)
{
    llm_source full;
    llm_reader reader;
    LM_API_NEED(engine, error);
    LM_TRY(lm_engine_here(engine, error));
    LM_API_NEED(out, error);
    LM_TRY(api_model_source(source, &full, &reader, error));
    return lm_api_done(lm_loaded_tokenizer_new(engine, &full, out, error), error);
}

llm_status llm_model_estimate(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_model_desc *model,
                              const llm_session_desc *session, llm_estimate_info *out, llm_error *error)
{
    llm_model_desc full_model;
    llm_session_desc full_session;
    llm_estimate_info ours = LLM_INIT(llm_estimate_info);
    api_model_parts taken;
    LM_API_NEED(engine, error);
    LM_TRY(lm_engine_here(engine, error));
    LM_TRY(lm_api_info_check(out, "llm_estimate_info", error));
    LM_TRY(api_model_desc(model, &full_model, error));
    LM_TRY(LM_API_DESC(session, &full_session, llm_session_desc, error));
    LM_TRY(api_model_parts_take(engine, parts, n_parts, &taken, error));
    llm_status status = lm_estimate(engine, taken.list, n_parts, &full_model, &full_session, &ours, error);
    lm_mem_free(&engine->host.mem, taken.block);
    if (status == LLM_OK)
        lm_api_info_give(&ours, sizeof ours, out);
    return lm_api_done(status, error);
}
