/* SPDX-License-Identifier: MIT
 * Chooses how many layers a device takes: as many as were asked for, or as many of the last as fit into its free memory, beside one pass and one
 * session of 4096 tokens. The last, because the logits' matrix is the largest and its result small. */
#include "session/placing.h"

#include "session/pages.h"
#include "session/session.h"

enum { PLACING_CTX = 4096 };            /* of the session that there is to be room for */

uint64_t lm_placing_device_bytes(const llm_engine *engine, const lm_backend *device, const lm_program *part, int32_t state_type, uint32_t n_ctx, uint32_t n_arenas)
{
    const lm_backend_table *table = device->table;
    lm_lane_need need = lm_step_need_alone(engine, n_ctx, part->n_page_classes);
    uint64_t sum = (uint64_t)n_arenas * table->arena_cost(device, part, need.rows, need.out, need.slots, need.pages);
    for (uint32_t w = 0; w < part->n_weights; w++)
        sum += table->weight_cost(device, &part->weights[w]);
    for (uint32_t c = 0; c < part->n_page_classes; c++)
        sum += (uint64_t)lm_pages_most(lm_program_keep(part, c), n_ctx, need.rows) * table->pool_page_cost(device, part, state_type, c);
    return sum;
}

static bool placing_fits(const lm_placing *p, const lm_program *part, uint32_t n_ctx, uint64_t memory)
{
    return lm_placing_device_bytes(p->engine, p->device, part, LLM_STATE_TYPE_F16, n_ctx, 1) <= memory;
}

/* The most of the last layers that fit, 0 to n_layers. */
static llm_status placing_most(lm_placing *p, const lm_program *program, uint32_t n_layers, uint32_t *out, llm_error *error)
{
    lm_device device = { .name = NULL };
    uint32_t n_ctx = PLACING_CTX, least = 0, most = n_layers;
    p->device->table->device(p->device, &device);
    uint64_t memory = device.memory_free - device.memory_free / 32;         /* slabs and state do not come to the byte */
    if (placing_fits(p, program, n_ctx, memory))
        least = n_layers;
    while (least + 1 < most) {                              /* least fits, most does not */
        uint32_t n = least + (most - least) / 2;
        lm_cut cut;
        LM_TRY(lm_program_cut(p->host, program, (int32_t)(n_layers - n), &cut, error));
        if (placing_fits(p, cut.part[1], n_ctx, memory))
            least = n;
        else
            most = n;
        lm_cut_free(p->host, &cut);
    }
    *out = least;
    return LLM_OK;
}

llm_status lm_placing_choose(void *placing, const lm_program *program, uint32_t n_layers, lm_backend **backend, llm_error *error)
{
    lm_placing *p = placing;
    uint32_t n = p->wanted < 0 || (uint32_t)p->wanted > n_layers ? n_layers : (uint32_t)p->wanted;
    if (!p->device->table->own_memory)                      /* the processor's: there is nothing to choose */
        return LLM_OK;
    if (p->wanted == 0)
        LM_TRY(placing_most(p, program, n_layers, &n, error));
    if (n == n_layers)
        return LLM_OK;
    if (n == 0)
        return lm_fail(error, LLM_E_MEMORY, "not one layer fits into the device's free memory or llm_vulkan.memory_limit");
    LM_TRY(lm_program_cut(p->host, program, (int32_t)(n_layers - n), &p->cut, error));
    llm_status status = lm_split_backend_open(p->host, p->engine->backends[0], p->device, &p->cut, &p->split, error);
    if (status < 0) {
        lm_cut_free(p->host, &p->cut);
        return status;
    }
    lm_log(p->host, LLM_LOG_INFO, "%u of %u layers run on the device, the first %u on the processor", n, n_layers, n_layers - n);
    *backend = p->split;
    return LLM_OK;
}

void lm_placing_close(lm_placing *p)
{
    if (!p->split)
        return;
    p->split->table->close(p->split);
    lm_cut_free(p->host, &p->cut);
    p->split = NULL;
}
