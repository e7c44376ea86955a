/* SPDX-License-Identifier: MIT
 * Sums what loading, passes and one full session will ask of the allocator. Metadata, tokenizer and program are built for real, in memory of
 * their own count, and given back; weights, pages and arenas are costs that the backend states. */
#include "session/estimate.h"

#include "session/placing.h"

#include <string.h>

/* Pages of one session with its context full, in the backend's memory. */
static uint64_t estimate_pages(const llm_engine *engine, const lm_model *model, const llm_session_desc *desc, uint32_t n_ctx)
{
    const lm_program *program = model->program;
    uint64_t sum = 0;
    for (uint32_t c = 0; c < program->n_page_classes; c++)
        sum += (uint64_t)lm_pages_most(lm_program_keep(program, c), n_ctx, LM_MIN((uint32_t)engine->n_chunk, n_ctx)) *
               model->backend->table->pool_page_cost(model->backend, program, desc->state_type, c);
    return sum;
}

/* One session with its context full. */
static uint64_t estimate_session(const llm_engine *engine, const lm_model *model, const llm_session_desc *desc, uint32_t n_ctx)
{
    const lm_program *program = model->program;
    uint32_t n_rows = LM_MIN((uint32_t)engine->n_chunk, n_ctx);
    uint32_t room = desc->flags & LLM_SESSION_RESERVE ? lm_page_table_room(program, n_ctx, n_rows) : lm_pages_count(n_ctx);
    uint64_t sum = lm_mem_cost(sizeof(llm_session)) + lm_mem_cost(lm_page_table_block_bytes(program->n_page_classes, room)) +
                   lm_mem_cost(lm_ids_bytes(n_ctx)) + lm_mem_cost(lm_logits_bytes(model->n_vocab)) + lm_mem_cost(sizeof(lm_reply)) +
                   estimate_pages(engine, model, desc, n_ctx);
    for (uint32_t c = 0; c < program->n_page_classes; c++) {
        uint64_t n_pages = lm_pages_most(lm_program_keep(program, c), n_ctx, n_rows);
        sum += lm_mem_cost(n_pages * sizeof(uint32_t));
    }
    if (desc->flags & LLM_SESSION_RESERVE)
        sum += lm_mem_cost(lm_scratch_bytes(model->n_vocab));
    return sum;
}

static uint64_t estimate_arenas(const llm_engine *engine, const lm_model *model, uint32_t n_ctx)
{
    lm_lane_need need = lm_step_need_alone(engine, n_ctx, model->program->n_page_classes);
    uint64_t one = model->backend->table->arena_cost(model->backend, model->program, need.rows, need.out, need.slots, need.pages);
    return (uint64_t)engine->n_arenas * (one + lm_mem_cost(lm_lane_tables_bytes(&need)));
}

static void estimate_sum(llm_engine *engine, const lm_model *model, const lm_mem *mem, const llm_session_desc *desc, llm_str pack, uint64_t sums,
                         const lm_placing *placing, llm_estimate_info *out)
{
    const lm_program *program = model->program;
    uint32_t n_ctx = lm_session_n_ctx(desc, model->n_ctx_train);
    llm_parallel parallel = lm_engine_threads(engine);
    uint64_t kept = sums + engine->base_bytes + atomic_load(&mem->used) + lm_mem_cost(sizeof(llm_model)) +
                    lm_mem_cost(program->n_weights * sizeof(lm_weight *)) + lm_mem_cost(program->n_weights * 8 + program->n_ops * 24);
    out->weight_bytes = lm_model_weight_cost(model);
    out->mapped_bytes = model->pack ? lm_pack_bytes(model->pack) : 0;
    out->arena_bytes = estimate_arenas(engine, model, n_ctx);
    out->session_bytes = estimate_session(engine, model, desc, n_ctx);
    uint64_t planning = engine->base_bytes + atomic_load(&mem->peak);
    uint64_t loading = kept + out->weight_bytes + lm_model_staging_cost(model, &parallel) + lm_model_packing_cost(model, pack);
    uint64_t running = kept + out->weight_bytes + out->arena_bytes + out->session_bytes;
    out->total_bytes = LM_MAX(LM_MAX(planning, loading), running);
    out->model_bytes = out->total_bytes - out->weight_bytes - out->arena_bytes - out->session_bytes;
    out->device_bytes = model->backend->table->own_memory ? out->weight_bytes + out->arena_bytes + estimate_pages(engine, model, desc, n_ctx) : 0;
    if (placing->split)
        out->device_bytes = lm_placing_device_bytes(engine, placing->device, placing->cut.part[1], desc->state_type, n_ctx, (uint32_t)engine->n_arenas);
}

llm_status lm_estimate(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_model_desc *desc,
                       const llm_session_desc *session, llm_estimate_info *out, llm_error *error)
{
    lm_backend *backend = NULL;
    LM_TRY(lm_engine_backend(engine, desc->device, &backend, error));
    LM_TRY(lm_session_check_desc(session, error));
    if (desc->n_device_layers < LLM_ALL_LAYERS)
        return lm_fail(error, LLM_E_INVALID, "llm_model_desc.n_device_layers is %d: expected 0, a number of layers, or LLM_ALL_LAYERS", desc->n_device_layers);
    lm_host host = { .logger = engine->host.logger };
    lm_mem_init(&host.mem, &engine->host.mem.hooks, engine->host.mem.limit);
    lm_catalogue *catalogue = NULL;
    lm_model *model = NULL;
    llm_parallel parallel = lm_engine_threads(engine);
    lm_load load = { .plan_only = true, .plain_norms = (desc->flags & LLM_MODEL_OBSERVE) != 0, .pack = lm_loaded_pack(desc), .parallel = &parallel };
    load.pack.verify = false;                               /* that would read all of it */
    lm_placing placing = { .engine = engine, .host = &host, .device = backend, .wanted = load.plain_norms ? -1 : desc->n_device_layers };
    load.place = lm_placing_choose;
    load.place_user = &placing;
    LM_TRY(lm_catalogue_open(&host, parts, n_parts, &catalogue, error));
    llm_status status = lm_model_open(&host, backend, catalogue, &load, &model, error);
    if (status < 0) {
        lm_placing_close(&placing);
        lm_catalogue_free(catalogue);
        return status;
    }
    uint64_t sums = desc->flags & LLM_MODEL_OBSERVE && model->program ? lm_importance_cost(model->program) : 0;
    bool may_pack = !load.pack.read_only && backend->table->weight_adopt;
    estimate_sum(engine, model, &host.mem, session, may_pack ? load.pack.path : (llm_str){ NULL, 0 }, sums, &placing, out);
    lm_model_close(model);
    lm_placing_close(&placing);
    return LLM_OK;
}
