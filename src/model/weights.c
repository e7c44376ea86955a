/* SPDX-License-Identifier: MIT
 * Streams weights into a backend through small stagings, one a thread. Vectors become F32 on the way; every row is looked through for NaN
 * and infinity, so that a corrupt file is refused here and not answered with nonsense later. Knows no architecture and no layout.
 *
 * What is to be read is cut into tasks, a batch of them at a time. A backend that takes rows in any order has the tasks of a batch read,
 * looked through and pushed by several threads at once; for others, and where a host's reader may only be called by the thread that loads,
 * one thread does them in order. Either way the first lie of the file, in the order of the program, is the one reported.
 *
 * Into a pack: weights are written and freed as they are whole, so that no more than a batch and the greatest of them is in memory.
 *
 * Invariant: weights[i] is NULL or complete, but for those of the batch at hand. Threads: one load, one thread, and those that it is lent
 * for the length of a batch. */
#include "model/weights.h"

#include "model/arch/blocks.h"

#include "base/half.h"
#include "base/size.h"

#include <string.h>

/* Bytes read at once: they stay in the cache between being read, looked through and packed. A row that is longer is read whole. The
 * hostile build reads row by row where it may. */
enum { WEIGHTS_STAGING = LM_HOSTILE ? 1 : 1 << 18 };
/* More threads than this find no more memory bandwidth; stagings together hold so much, or one does. */
enum { WEIGHTS_WORKERS = 8, WEIGHTS_STAGINGS = 8 << 20 };
/* A batch has so many bytes a thread: about a millisecond, so that others who wait for the threads get on. A load has so many batches, so
 * that its progress is told. */
enum { WEIGHTS_BATCH = 1 << 20, WEIGHTS_BATCHES = 16, WEIGHTS_TASKS = 64 };

/* Rows [row, row + n) of a tensor become rows [to, to + n) of a weight; of a vector, all of it. */
typedef struct weights_task { const lm_tensor *tensor; uint64_t row, to, n; uint32_t weight, reserved; } weights_task;

typedef struct weights_worker {
    unsigned char *staging;             /* file bytes */
    float *vector;                      /* one vector as F32 */
    uint32_t failed;                    /* the task that did, UINT32_MAX: none */
    llm_status status;
    llm_error error;
} weights_worker;

typedef struct weights_loader {
    lm_host *host;
    lm_backend *backend;
    lm_catalogue *catalogue;
    const lm_program *program;
    const lm_load *load;
    lm_weight **weights;
    lm_pack_writer *writer;             /* NULL: weights stay in memory */
    bool refused;                       /* by the writer */
    llm_error *error;
    uint64_t done, total;               /* file bytes */
    weights_worker *workers;            /* one block, with their buffers */
    uint32_t n_workers;
    uint32_t n_tasks, first, end;       /* of the batch; the weights [first, end) have been begun and not ended */
    uint64_t batch_bytes, batch_most;
    weights_task tasks[WEIGHTS_TASKS];
    _Atomic uint32_t next, failed;      /* the next task of the batch; the first that failed */
} weights_loader;

static llm_status weights_progress(weights_loader *l)
{
    float fraction = l->total ? (float)((double)l->done / (double)l->total) : 1.0f;
    if (l->load->progress && l->load->progress(l->load->user, fraction) != 0)
        return lm_fail(l->error, LLM_E_CANCELLED, "loading was cancelled by the progress callback");
    return LLM_OK;
}

/* ---- one task, on any thread ---------------------------------------------------------------------------------------------- */

static llm_status weights_look(const lm_tensor *t, uint64_t row, uint64_t n, const unsigned char *rows, llm_error *error)
{
    uint64_t block = 0;
    for (uint64_t i = 0; i < n; i++)
        if (!lm_type_row_finite(t->type, rows + i * t->row_bytes, t->ne[0], &block)) {
            const lm_type_info *type = lm_type_get(t->type);
            return lm_fail_at(error, LLM_E_FORMAT, t->name.ptr, t->name.len, t->offset + (row + i) * t->row_bytes + block * type->block_bytes,
                              "tensor '%s' is corrupt: NaN or infinity in row %llu, block %llu", t->name.ptr, (unsigned long long)(row + i), (unsigned long long)block);
        }
    return LLM_OK;
}

/* The rows as they stand in the file: where the host has them in memory, or read into the staging. */
static llm_status weights_rows(const weights_loader *l, const weights_task *task, weights_worker *worker, const unsigned char **out)
{
    const lm_tensor *t = task->tensor;
    *out = lm_catalogue_peek(l->catalogue, t, task->row, task->n);
    if (!*out) {
        LM_TRY(lm_catalogue_rows(l->catalogue, t, task->row, task->n, worker->staging, &worker->error));
        *out = worker->staging;
    }
    return weights_look(t, task->row, task->n, *out, &worker->error);
}

uint64_t lm_weights_look_divisors(const lm_program *program, uint32_t index, const float *vector)
{
    for (uint32_t o = 0; o < program->n_ops; o++) {
        const lm_op *op = &program->ops[o];
        if (op->kind != LM_OP_ANGLES || (op->weight[0] != (int32_t)index && op->weight[1] != (int32_t)index))
            continue;
        for (uint64_t i = 0; i < program->weights[index].n_cols; i++)
            if (!(vector[i] >= 0x1p-8f))
                return i;
        break;
    }
    return UINT64_MAX;
}

static llm_status weights_look_vector(const weights_loader *l, uint32_t index, const lm_tensor *t, const float *vector, llm_error *error)
{
    uint64_t bad = lm_weights_look_divisors(l->program, index, vector);
    if (bad == UINT64_MAX)
        return LLM_OK;
    return lm_fail_at(error, LLM_E_FORMAT, t->name.ptr, t->name.len, t->offset, "tensor '%s': divisor %llu is %g, expected %g or more", t->name.ptr,
                      (unsigned long long)bad, (double)vector[bad], 0x1p-8);
}

static llm_status weights_vector(const weights_loader *l, const weights_task *task, weights_worker *worker)
{
    const lm_weight_info *info = &l->program->weights[task->weight];
    const lm_tensor *t = task->tensor;
    const unsigned char *row;
    LM_TRY(weights_rows(l, task, worker, &row));
    for (uint64_t i = 0; i < info->n_cols; i++) {
        uint16_t half = 0;
        if (t->type == LM_TYPE_F32) {
            memcpy(&worker->vector[i], row + (info->first + i) * 4, 4);
            continue;
        }
        memcpy(&half, row + (info->first + i) * 2, 2);
        worker->vector[i] = t->type == LM_TYPE_F16 ? lm_f32_from_f16(half) : lm_f32_from_bf16(half);
    }
    LM_TRY(weights_look_vector(l, task->weight, t, worker->vector, &worker->error));
    return l->backend->table->weight_rows(l->backend, l->weights[task->weight], 0, 1, worker->vector, &worker->error);
}

static llm_status weights_matrix(const weights_loader *l, const weights_task *task, weights_worker *worker)
{
    const unsigned char *rows;
    LM_TRY(weights_rows(l, task, worker, &rows));
    return l->backend->table->weight_rows(l->backend, l->weights[task->weight], task->to, task->n, rows, &worker->error);
}

/* Takes tasks until none is left, or one before them has failed. */
static void weights_work(void *data, uint32_t index)
{
    weights_loader *l = data;
    weights_worker *worker = &l->workers[index];
    for (;;) {
        uint32_t i = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
        uint32_t failed = atomic_load_explicit(&l->failed, memory_order_relaxed);
        if (i >= l->n_tasks || i > failed)
            return;
        const weights_task *task = &l->tasks[i];
        worker->status = l->program->weights[task->weight].is_vector ? weights_vector(l, task, worker) : weights_matrix(l, task, worker);
        if (worker->status >= 0)
            continue;
        worker->failed = i;
        while (i < failed && !atomic_compare_exchange_weak_explicit(&l->failed, &failed, i, memory_order_relaxed, memory_order_relaxed))
            ;
        return;
    }
}

/* ---- batches -------------------------------------------------------------------------------------------------------------- */

static llm_status weights_end_whole(weights_loader *l)
{
    const lm_backend_table *table = l->backend->table;
    for (; l->first < l->end; l->first++) {
        LM_TRY(table->weight_end(l->backend, l->weights[l->first], l->error));
        if (!l->writer)
            continue;
        llm_status status = lm_pack_write_item(l->writer, table->weight_packed(l->backend, l->weights[l->first]), l->error);
        if (status < 0) {
            l->refused = true;
            return status;
        }
        table->weight_free(l->backend, l->weights[l->first]);
        l->weights[l->first] = NULL;
    }
    return LLM_OK;
}

/* Does the tasks at hand, and ends the weights that are whole by then. alone: in order, by this thread. */
static llm_status weights_flush(weights_loader *l, bool alone)
{
    const llm_parallel *parallel = l->load->parallel;
    atomic_store_explicit(&l->next, 0, memory_order_relaxed);
    atomic_store_explicit(&l->failed, UINT32_MAX, memory_order_relaxed);
    for (uint32_t w = 0; w < l->n_workers; w++)
        l->workers[w].failed = UINT32_MAX;
    if (!alone && l->n_workers > 1 && l->n_tasks > 1)
        parallel->run(parallel->user, LM_MIN(l->n_workers, l->n_tasks), weights_work, l);
    else
        weights_work(l, 0);
    uint32_t failed = atomic_load_explicit(&l->failed, memory_order_relaxed);
    for (uint32_t w = 0; w < l->n_workers && failed != UINT32_MAX; w++)
        if (l->workers[w].failed == failed) {
            if (l->error)
                *l->error = l->workers[w].error;
            return l->workers[w].status;
        }
    LM_TRY(weights_end_whole(l));
    l->done += l->batch_bytes;
    l->n_tasks = 0;
    l->batch_bytes = 0;
    return weights_progress(l);
}

static llm_status weights_add(weights_loader *l, const weights_task *task, uint64_t bytes, bool alone)
{
    l->tasks[l->n_tasks++] = *task;
    l->batch_bytes += bytes;
    if (!alone && l->n_tasks < WEIGHTS_TASKS && l->batch_bytes < l->batch_most)
        return LLM_OK;
    return weights_flush(l, alone);
}

static llm_status weights_add_vector(weights_loader *l, uint32_t index)
{
    const lm_weight_info *info = &l->program->weights[index];
    const lm_tensor *t = lm_block_weight_part(l->catalogue, info, 0);
    if (!t || info->first + info->n_cols > t->ne[0])
        return lm_fail(l->error, LLM_E_INTERNAL, "weight '%s' has no tensor, or one that is too short", info->name);
    weights_task task = { .tensor = t, .row = 0, .to = 0, .n = 1, .weight = index };
    return weights_add(l, &task, info->n_cols * (t->row_bytes / t->ne[0]), !l->backend->table->any_order);
}

/* Rows of a tensor that are read at once; with a backend that takes them in any order, whole groups of rows. */
static uint64_t weights_most(const lm_tensor *t, bool groups)
{
    uint64_t most = LM_MAX((uint64_t)WEIGHTS_STAGING / t->row_bytes, 1);
    if (most >= LM_ROW_GROUP)
        return most - most % LM_ROW_GROUP;                  /* spares backends that lay rows out in groups the half ones */
    return groups ? LM_ROW_GROUP : most;
}

/* Whether every tensor of the matrix but the last ends with a group of rows. */
static bool weights_in_groups(const lm_catalogue *c, const lm_weight_info *info)
{
    uint64_t to = 0;
    const lm_tensor *t;
    for (uint32_t part = 0; to < info->n_rows && (t = lm_block_weight_part(c, info, part)) != NULL; part++) {
        if (to % LM_ROW_GROUP != 0 || info->first > t->n_rows)
            return false;
        to += LM_MIN(t->n_rows - info->first, info->n_rows - to);
    }
    return true;
}

/* In the hostile build every second matrix still comes row by row. */
static bool weights_any_order(const weights_loader *l, uint32_t index)
{
    return l->backend->table->any_order && !(LM_HOSTILE && index % 2) && weights_in_groups(l->catalogue, &l->program->weights[index]);
}

static llm_status weights_add_matrix(weights_loader *l, uint32_t index)
{
    const lm_weight_info *info = &l->program->weights[index];
    bool groups = weights_any_order(l, index);
    uint64_t to = 0;
    const lm_tensor *t;
    for (uint32_t part = 0; to < info->n_rows && (t = lm_block_weight_part(l->catalogue, info, part)) != NULL; part++) {
        uint64_t end = LM_MIN(t->n_rows, info->first + (info->n_rows - to)), most = weights_most(t, groups), n;
        for (uint64_t row = info->first; row < end; row += n) {
            n = LM_MIN(most, end - row);
            weights_task task = { .tensor = t, .row = row, .to = to, .n = n, .weight = index };
            to += n;
            LM_TRY(weights_add(l, &task, n * t->row_bytes, !groups));
        }
    }
    if (to != info->n_rows)
        return lm_fail(l->error, LLM_E_INTERNAL, "weight '%s' has %llu rows of %llu", info->name, (unsigned long long)to, (unsigned long long)info->n_rows);
    return LLM_OK;
}

static llm_status weights_add_one(weights_loader *l, uint32_t index)
{
    const lm_weight_info *info = &l->program->weights[index];
    LM_TRY(l->backend->table->weight_begin(l->backend, info, &l->weights[index], l->error));
    LM_TRY(info->is_vector ? weights_add_vector(l, index) : weights_add_matrix(l, index));
    l->end = index + 1;
    return l->n_tasks == 0 ? weights_end_whole(l) : LLM_OK;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------- */

typedef struct weights_sizes {
    uint64_t staging, vector;           /* bytes: of the most rows read at once, and of the longest vector */
    uint64_t total;                     /* file bytes, for the progress */
    uint64_t block;                     /* workers with their buffers */
    uint32_t n_workers;
} weights_sizes;

static uint64_t weights_round(uint64_t bytes) { return (bytes + 63) & ~(uint64_t)63; }

/* false: more than this machine can address. */
static bool weights_load_sizes(const lm_catalogue *c, const lm_backend *backend, const lm_program *program, const llm_parallel *parallel, weights_sizes *out)
{
    uint64_t n_workers = parallel && backend->table->any_order && !c->reads_alone ? LM_MIN(parallel->n_threads, WEIGHTS_WORKERS) : 1;
    *out = (weights_sizes){ .staging = 1, .vector = sizeof(float) };
    for (uint32_t i = 0; i < program->n_weights; i++) {
        const lm_weight_info *info = &program->weights[i];
        const lm_tensor *t;
        for (uint32_t part = 0; (t = lm_block_weight_part(c, info, part)) != NULL; part++) {
            uint64_t most = info->is_vector ? 1 : LM_MIN(weights_most(t, backend->table->any_order), t->n_rows);
            out->staging = LM_MAX(out->staging, most * t->row_bytes);                   /* nothing is read twice: at most the size of the files */
            out->total += info->is_vector ? info->n_cols * (t->row_bytes / t->ne[0]) : LM_MIN(info->n_rows, t->n_rows) * t->row_bytes;
        }
        if (info->is_vector && !lm_mul_u64(LM_MAX(info->n_cols, out->vector / sizeof(float)), sizeof(float), &out->vector))
            return false;
    }
    if (out->staging > UINT64_MAX / 64 || out->vector > UINT64_MAX / 64)
        return false;
    out->staging = weights_round(out->staging);
    out->vector = weights_round(out->vector);
    n_workers = LM_MAX(LM_MIN(n_workers, WEIGHTS_STAGINGS / (out->staging + out->vector)), 1);
    out->n_workers = (uint32_t)n_workers;
    out->block = n_workers * (weights_round(sizeof(weights_worker)) + out->staging + out->vector);
    return lm_fits_size(out->block);
}

uint64_t lm_model_staging_cost(const lm_model *model, const llm_parallel *parallel)
{
    weights_sizes sizes;
    if (!model->program)
        return 0;
    return weights_load_sizes(model->catalogue, model->backend, model->program, parallel, &sizes) ? lm_mem_cost(sizes.block) : UINT64_MAX;
}

static llm_status weights_prepare(weights_loader *l)
{
    weights_sizes sizes;
    if (!weights_load_sizes(l->catalogue, l->backend, l->program, l->load->parallel, &sizes))
        return lm_fail(l->error, LLM_E_LIMIT, "a row of a tensor is larger than this machine's memory");
    unsigned char *at = lm_mem_raw(&l->host->mem, (size_t)sizes.block, LLM_MEMORY_OTHER);
    if (!at)
        return lm_fail_memory(l->error, "staging of weights", (size_t)sizes.block);
    l->total = sizes.total;
    l->n_workers = sizes.n_workers;
    l->batch_most = LM_MIN((uint64_t)sizes.n_workers * WEIGHTS_BATCH, sizes.total / WEIGHTS_BATCHES);
    l->workers = (weights_worker *)(void *)at;
    at += weights_round(sizeof(weights_worker)) * sizes.n_workers;
    for (uint32_t w = 0; w < sizes.n_workers; w++, at += sizes.staging + sizes.vector) {
        l->workers[w].staging = at;
        l->workers[w].vector = (float *)(void *)(at + sizes.staging);
    }
    return LLM_OK;
}

static llm_status weights_all(weights_loader *l)
{
    const lm_program *program = l->program;
    llm_status status = weights_prepare(l);
    if (status >= 0)
        status = weights_progress(l);
    for (uint32_t i = 0; status >= 0 && i < program->n_weights; i++)
        status = weights_add_one(l, i);
    if (status >= 0 && l->n_tasks > 0)
        status = weights_flush(l, false);
    lm_mem_free(&l->host->mem, l->workers);
    if (status < 0)
        lm_weights_free(l->backend, l->weights, program->n_weights);
    return status;
}

llm_status lm_weights_load(lm_host *host, lm_backend *backend, lm_catalogue *catalogue, const lm_program *program, const lm_load *load, lm_weight **weights,
                           llm_error *error)
{
    weights_loader l = { .host = host, .backend = backend, .catalogue = catalogue, .program = program, .load = load, .weights = weights, .error = error };
    return weights_all(&l);
}

llm_status lm_weights_pack(lm_host *host, lm_backend *backend, lm_catalogue *catalogue, const lm_program *program, const lm_load *load, lm_pack_writer *writer,
                           bool *refused, llm_error *error)
{
    weights_loader l = { .host = host, .backend = backend, .catalogue = catalogue, .program = program, .load = load, .writer = writer, .error = error };
    l.weights = lm_mem_new_array(&host->mem, program->n_weights, sizeof *l.weights, LLM_MEMORY_OTHER);
    if (!l.weights)
        return lm_fail_memory(error, "a list of weights", program->n_weights * sizeof *l.weights);
    llm_status status = weights_all(&l);
    *refused = l.refused;
    lm_mem_free(&host->mem, l.weights);
    return status;
}

void lm_weights_free(lm_backend *backend, lm_weight **weights, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        backend->table->weight_free(backend, weights[i]);
        weights[i] = NULL;
    }
}
