/* SPDX-License-Identifier: MIT
 * Streams weights into a backend through one small staging buffer. Vectors become F32 on the way; every row is looked through for NaN and
 * infinity, so that a corrupt file is refused here and not answered with nonsense later. Knows no architecture and no layout.
 *
 * Invariant: weights[i] is NULL or complete, but for the one being filled. Threads: one load, one thread. */
#include "model/weights.h"

#include "model/arch/blocks.h"

#include "base/half.h"
#include "base/size.h"

#include <string.h>

/* Bytes read at once; a row that is longer is read whole. The hostile build reads row by row. */
enum { WEIGHTS_STAGING = LM_HOSTILE ? 1 : 1 << 20 };

typedef struct weights_loader {
    lm_host *host;
    lm_backend *backend;
    lm_catalogue *catalogue;
    const lm_program *program;
    const lm_load *load;
    llm_error *error;
    unsigned char *staging;             /* file bytes */
    float *vector;                      /* one vector as F32 */
    uint64_t done, total;               /* file bytes */
} weights_loader;

static llm_status weights_progress(weights_loader *l)
{
    float fraction = l->total ? (float)((double)l->done / (double)l->total) : 1.0f;
    if (l->load->progress && l->load->progress(l->load->user, fraction) != 0)
        return lm_fail(l->error, LLM_E_CANCELLED, "loading was cancelled by the progress callback");
    return LLM_OK;
}

static llm_status weights_look(const weights_loader *l, const lm_tensor *t, uint64_t row, uint64_t n)
{
    uint64_t block = 0;
    for (uint64_t i = 0; i < n; i++)
        if (!lm_type_row_finite(t->type, l->staging + i * t->row_bytes, t->ne[0], &block)) {
            const lm_type_info *type = lm_type_get(t->type);
            return lm_fail_at(l->error, LLM_E_FORMAT, t->name.ptr, t->name.len, t->offset + (row + i) * t->row_bytes + block * type->block_bytes,
                              "tensor '%s' is corrupt: NaN or infinity in row %llu, block %llu", t->name.ptr, (unsigned long long)(row + i), (unsigned long long)block);
        }
    return LLM_OK;
}

/* Divisors of rope frequencies must not blow an angle up (see params.c). */
static llm_status weights_look_divisors(const weights_loader *l, uint32_t index, const lm_tensor *t)
{
    for (uint32_t o = 0; o < l->program->n_ops; o++) {
        const lm_op *op = &l->program->ops[o];
        if (op->kind != LM_OP_ANGLES || (op->weight[0] != (int32_t)index && op->weight[1] != (int32_t)index))
            continue;
        for (uint64_t i = 0; i < l->program->weights[index].n_cols; i++)
            if (!(l->vector[i] >= 0x1p-8f))
                return lm_fail_at(l->error, LLM_E_FORMAT, t->name.ptr, t->name.len, t->offset, "tensor '%s': divisor %llu is %g, expected %g or more", t->name.ptr,
                                  (unsigned long long)i, (double)l->vector[i], 0x1p-8);
        return LLM_OK;
    }
    return LLM_OK;
}

static llm_status weights_load_vector(weights_loader *l, lm_weight *weight, uint32_t index)
{
    const lm_weight_info *info = &l->program->weights[index];
    const lm_tensor *t = lm_block_weight_part(l->catalogue, info, 0);
    if (!t || info->first + info->n_cols > t->ne[0])
        return lm_fail(l->error, LLM_E_INTERNAL, "weight '%s' has no tensor, or one that is too short", info->name);
    LM_TRY(lm_catalogue_rows(l->catalogue, t, 0, 1, l->staging, l->error));
    LM_TRY(weights_look(l, t, 0, 1));
    for (uint64_t i = 0; i < info->n_cols; i++) {
        uint16_t half = 0;
        if (t->type == LM_TYPE_F32) {
            memcpy(&l->vector[i], l->staging + (info->first + i) * 4, 4);
            continue;
        }
        memcpy(&half, l->staging + (info->first + i) * 2, 2);
        l->vector[i] = t->type == LM_TYPE_F16 ? lm_f32_from_f16(half) : lm_f32_from_bf16(half);
    }
    LM_TRY(weights_look_divisors(l, index, t));
    LM_TRY(l->backend->table->weight_rows(l->backend, weight, 0, 1, l->vector, l->error));
    l->done += info->n_cols * (t->row_bytes / t->ne[0]);
    return weights_progress(l);
}

static llm_status weights_matrix(weights_loader *l, lm_weight *weight, const lm_weight_info *info)
{
    uint64_t to = 0;
    const lm_tensor *t;
    for (uint32_t part = 0; to < info->n_rows && (t = lm_block_weight_part(l->catalogue, info, part)) != NULL; part++) {
        uint64_t most = LM_MAX((uint64_t)WEIGHTS_STAGING / t->row_bytes, 1), n;
        if (most >= 16)
            most -= most % 16;                              /* spares backends that lay rows out in groups the half ones */
        uint64_t end = LM_MIN(t->n_rows, info->first + (info->n_rows - to));
        for (uint64_t row = info->first; row < end; row += n) {
            n = LM_MIN(most, end - row);
            LM_TRY(lm_catalogue_rows(l->catalogue, t, row, n, l->staging, l->error));
            LM_TRY(weights_look(l, t, row, n));
            LM_TRY(l->backend->table->weight_rows(l->backend, weight, to, n, l->staging, l->error));
            to += n;
            l->done += n * t->row_bytes;
            LM_TRY(weights_progress(l));
        }
    }
    if (to != info->n_rows)
        return lm_fail(l->error, LLM_E_INTERNAL, "weight '%s' has %llu rows of %llu", info->name, (unsigned long long)to, (unsigned long long)info->n_rows);
    return LLM_OK;
}

static llm_status weights_one(weights_loader *l, uint32_t index, lm_weight **out)
{
    const lm_weight_info *info = &l->program->weights[index];
    LM_TRY(l->backend->table->weight_begin(l->backend, info, out, l->error));
    LM_TRY(info->is_vector ? weights_load_vector(l, *out, index) : weights_matrix(l, *out, info));
    return l->backend->table->weight_end(l->backend, *out, l->error);
}

/* Buffers as big as the largest row and the longest vector (items) ask for, and the sum of bytes for the progress. */
static void weights_load_sizes(const lm_catalogue *c, const lm_program *program, uint64_t *staging, uint64_t *vector, uint64_t *total)
{
    *staging = WEIGHTS_STAGING;
    *vector = 1;
    *total = 0;
    for (uint32_t i = 0; i < program->n_weights; i++) {
        const lm_weight_info *info = &program->weights[i];
        const lm_tensor *t;
        for (uint32_t part = 0; (t = lm_block_weight_part(c, info, part)) != NULL; part++) {
            *staging = LM_MAX(*staging, t->row_bytes);
            *total += info->is_vector ? info->n_cols * (t->row_bytes / t->ne[0]) : LM_MIN(info->n_rows, t->n_rows) * t->row_bytes;
        }                                                   /* nothing is read twice: at most the size of the files */
        if (info->is_vector)
            *vector = LM_MAX(*vector, info->n_cols);
    }
}

uint64_t lm_model_staging_cost(const lm_model *model)
{
    uint64_t staging, vector, total;
    if (!model->program)
        return 0;
    weights_load_sizes(model->catalogue, model->program, &staging, &vector, &total);
    return lm_mem_cost(staging) + lm_mem_cost(vector * sizeof(float));
}

static llm_status weights_prepare(weights_loader *l)
{
    uint64_t staging, vector, total;
    weights_load_sizes(l->catalogue, l->program, &staging, &vector, &total);
    if (!lm_fits_size(staging) || !lm_fits_size(vector) || vector > SIZE_MAX / sizeof *l->vector)
        return lm_fail(l->error, LLM_E_LIMIT, "a row of a tensor is larger than this machine's memory");
    l->total = total;
    l->staging = lm_mem_raw(&l->host->mem, (size_t)staging, LLM_MEMORY_OTHER);
    l->vector = lm_mem_raw(&l->host->mem, (size_t)vector * sizeof *l->vector, LLM_MEMORY_OTHER);
    return l->staging && l->vector ? LLM_OK : lm_fail_memory(l->error, "staging of weights", (size_t)staging);
}

llm_status lm_weights_load(lm_host *host, lm_backend *backend, lm_catalogue *catalogue, const lm_program *program, const lm_load *load, lm_weight **weights,
                           llm_error *error)
{
    weights_loader l = { .host = host, .backend = backend, .catalogue = catalogue, .program = program, .load = load, .error = error };
    llm_status status = weights_prepare(&l);
    if (status >= 0)
        status = weights_progress(&l);
    for (uint32_t i = 0; status >= 0 && i < program->n_weights; i++)
        status = weights_one(&l, i, &weights[i]);
    lm_mem_free(&host->mem, l.vector);
    lm_mem_free(&host->mem, l.staging);
    if (status < 0)
        lm_weights_free(backend, weights, program->n_weights);
    return status;
}

void lm_weights_free(lm_backend *backend, lm_weight **weights, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        backend->table->weight_free(backend, weights[i]);
        weights[i] = NULL;
    }
}
