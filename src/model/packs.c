/* SPDX-License-Identifier: MIT
 * Packs of a program's weights: see packs.h. Says which items a program has and what must be equal; used, made anew or passed over is decided
 * here. Trouble with a pack is told to the log and never fails a load that its source can serve; trouble with the source does.
 * Threads: one load, one thread. */
#include "model/packs.h"

#include "model/weights.h"

#include "base/digest.h"

#include <string.h>

typedef struct packs_plan {
    lm_host *host;
    lm_backend *backend;
    lm_catalogue *catalogue;
    const lm_program *program;
    const lm_load *load;
    lm_pack_key key;
    lm_pack_item *items;                /* [program->n_weights] */
} packs_plan;

static void packs_tell(const packs_plan *p, int32_t level, const char *what, const char *why)
{
    lm_log(p->host, level, "pack '%.*s' %s: %s", (int)LM_MIN(p->load->pack.path.len, (size_t)400), p->load->pack.path.ptr, what, why);
}

/* false: a weight that this device cannot lay out; the load itself will say so. */
static bool packs_list(packs_plan *p)
{
    for (uint32_t i = 0; i < p->program->n_weights; i++) {
        const lm_weight_info *info = &p->program->weights[i];
        lm_pack_item *item = &p->items[i];
        item->name = info->name ? lm_digest_of(info->name, strlen(info->name)) : 0;
        item->n_rows = info->n_rows;
        item->n_cols = info->n_cols;
        item->first = info->first;
        item->type = info->type;
        item->is_vector = info->is_vector;
        item->bytes = p->backend->table->packed_bytes(p->backend, info);
        if (item->bytes == 0)
            return false;
    }
    return true;
}

/* ---- looking for one */

/* What may not even be wrong: all else that may stand in a pack makes numbers, if nonsense. */
static bool packs_divisors_fit(const packs_plan *p, const lm_pack *pack)
{
    for (uint32_t i = 0; i < p->program->n_weights; i++)
        if (p->program->weights[i].is_vector && lm_weights_look_divisors(p->program, i, lm_pack_data(pack, i)) != UINT64_MAX)
            return false;
    return true;
}

/* LLM_OK with *out NULL: passed over, and told. LLM_MORE: none that fits, one may be made. */
static llm_status packs_find(const packs_plan *p, lm_pack **out, llm_error *error)
{
    llm_error why;
    lm_pack *pack = NULL;
    bool make = !p->load->pack.read_only && !p->load->plan_only;
    lm_pack_look look = { p->load->progress, p->load->user };
    llm_status status = lm_pack_open(p->host, p->load->pack.path, &p->key, p->items, p->program->n_weights, p->load->pack.verify ? &look : NULL, &pack, &why);
    if (status == LLM_OK && !packs_divisors_fit(p, pack)) {
        lm_pack_close(pack);
        status = lm_fail(&why, LLM_E_FORMAT, "its weights are damaged");
    }
    if (status == LLM_OK) {
        if (make)
            lm_pack_sweep(p->host, p->load->pack.path);
        *out = pack;
        return LLM_OK;
    }
    if (status == LLM_E_MEMORY || status == LLM_E_CANCELLED) {
        if (error)
            *error = why;
        return status;
    }
    if (status != LLM_E_NOT_FOUND && status != LLM_E_FORMAT) {
        packs_tell(p, LLM_LOG_WARN, "is not used, nor replaced", why.message);
        return LLM_OK;
    }
    if (status == LLM_E_FORMAT)
        packs_tell(p, make || p->load->plan_only ? LLM_LOG_INFO : LLM_LOG_WARN, make ? "is made anew" : "is not used", why.message);
    else if (!make && !p->load->plan_only)
        packs_tell(p, LLM_LOG_INFO, "is not used", why.message);
    return make ? LLM_MORE : LLM_OK;
}

/* ---- making one */

static llm_status packs_make(const packs_plan *p, lm_pack **out, llm_error *error)
{
    llm_error why;
    lm_pack_writer *writer = NULL;
    llm_status status = lm_pack_write_open(p->host, p->load->pack.path, &p->key, p->items, p->program->n_weights, &writer, &why);
    bool refused = status < 0;
    if (!refused)
        status = lm_weights_pack(p->host, p->backend, p->catalogue, p->program, p->load, writer, &refused, &why);
    if (status < 0 && !refused) {                           /* the source's fault, or the host's will */
        lm_pack_write_drop(writer);
        if (error)
            *error = why;
        return status;
    }
    if (!refused)
        status = lm_pack_write_end(writer, &why);
    lm_pack_write_drop(writer);
    if (status >= 0)
        status = lm_pack_open(p->host, p->load->pack.path, &p->key, p->items, p->program->n_weights, NULL, out, &why);
    if (status < 0)
        packs_tell(p, LLM_LOG_WARN, "could not be made", why.message);
    return LLM_OK;
}

static llm_status packs_open(packs_plan *p, lm_pack **out, llm_error *error)
{
    if (!packs_list(p))
        return LLM_OK;
    p->key.device = p->backend->table->name;
    p->key.layout = p->backend->table->packed_layout(p->backend);
    p->key.arithmetic = LM_ARITHMETIC;
    LM_TRY(lm_pack_identify(p->catalogue, &p->key, error));
    if (p->key.fresh) {
        packs_tell(p, LLM_LOG_INFO, "is not used", "the model's file was changed a moment ago, and may change again unseen");
        return LLM_OK;
    }
    llm_status status = packs_find(p, out, error);
    return status == LLM_MORE ? packs_make(p, out, error) : status;
}

llm_status lm_packs_open(lm_host *host, lm_backend *backend, lm_catalogue *catalogue, const lm_program *program, const lm_load *load, lm_pack **out,
                         llm_error *error)
{
    packs_plan p = { .host = host, .backend = backend, .catalogue = catalogue, .program = program, .load = load };
    *out = NULL;
    if (!load->pack.path.ptr)
        return LLM_OK;
    if (!backend->table->weight_adopt) {
        packs_tell(&p, LLM_LOG_INFO, "is not used", "this device keeps none");
        return LLM_OK;
    }
    p.items = lm_mem_new_array(&host->mem, program->n_weights, sizeof *p.items, LLM_MEMORY_OTHER);
    if (!p.items)
        return lm_fail_memory(error, "a list of weights", program->n_weights * sizeof *p.items);
    llm_status status = packs_open(&p, out, error);
    lm_mem_free(&host->mem, p.items);
    return status;
}

llm_status lm_packs_adopt(lm_backend *backend, const lm_program *program, const lm_pack *pack, lm_weight **weights, llm_error *error)
{
    llm_status status = LLM_OK;
    for (uint32_t i = 0; status >= 0 && i < program->n_weights; i++)
        status = backend->table->weight_adopt(backend, &program->weights[i], lm_pack_data(pack, i), &weights[i], error);
    if (status < 0)
        lm_weights_free(backend, weights, program->n_weights);
    return status;
}
