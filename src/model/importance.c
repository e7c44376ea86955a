/* SPDX-License-Identifier: MIT
 * Sums of squares of the inputs of products, and their file, in the format that llama.cpp reads and writes: for each matrix NAME a tensor
 * NAME.in_sum2 [n_matrices, n_cols] and NAME.counts [n_matrices, 1], both F32; n_matrices is 1, or the number of experts.
 *
 * Matrices that read the same input share their sums: an entry belongs to an operation. Sums are in double, in the order of rows, so they
 * are the same for any number of threads; for other chunks they may differ in the last bits. A pass that is dropped and computed anew counts
 * for what it had reached. */
#include "model/importance.h"

#include "model/arch/blocks.h"

#include "files/gguf_write.h"

#include "base/size.h"
#include "base/str.h"

#include <string.h>

LM_EXACT_ARITHMETIC

typedef struct importance_entry {
    uint32_t op;
    uint32_t n_matrices, n_cols;
    double   *sums;                     /* [n_matrices, n_cols] */
    uint64_t *counts;                   /* [n_matrices] rows */
} importance_entry;

struct lm_importance {
    lm_host *host;
    const lm_program *program;
    uint32_t n;
    importance_entry entries[];         /* by rising op; the numbers lie behind */
};

static bool importance_multiplies(const lm_op *op)
{
    return op->kind == LM_OP_LINEAR || op->kind == LM_OP_LINEAR_EXPERTS || op->kind == LM_OP_LOGITS;
}

uint32_t lm_importance_next(const lm_program *program, uint32_t op)
{
    while (op < program->n_ops && !importance_multiplies(&program->ops[op]))
        op++;
    return op < program->n_ops ? op : LM_RUN_ALL_OPS;
}

/* ---- memory -------------------------------------------------------------------------------------------------------------- */

static uint32_t importance_n_matrices(const lm_op *op)
{
    return op->kind == LM_OP_LINEAR_EXPERTS ? op->u.experts.n_expert : 1;
}

static uint64_t importance_bytes(const lm_program *program)
{
    uint64_t n = sizeof(lm_importance);
    for (uint32_t o = lm_importance_next(program, 0); o != LM_RUN_ALL_OPS; o = lm_importance_next(program, o + 1)) {
        uint64_t n_matrices = importance_n_matrices(&program->ops[o]), n_cols = program->weights[program->ops[o].weight[0]].n_cols;
        n += sizeof(importance_entry) + n_matrices * (n_cols * sizeof(double) + sizeof(uint64_t));  /* sizes of a checked program: far from wrapping */
    }
    return n;
}

uint64_t lm_importance_cost(const lm_program *program)
{
    return lm_mem_cost(importance_bytes(program));
}

llm_status lm_importance_new(lm_host *host, const lm_program *program, lm_importance **out, llm_error *error)
{
    uint64_t bytes = importance_bytes(program);
    lm_importance *importance = lm_fits_size(bytes) ? lm_mem_new(&host->mem, (size_t)bytes, LLM_MEMORY_OTHER) : NULL;
    if (!importance)
        return lm_fail_memory(error, "sums of squares", (size_t)bytes);
    importance->host = host;
    importance->program = program;
    for (uint32_t o = lm_importance_next(program, 0); o != LM_RUN_ALL_OPS; o = lm_importance_next(program, o + 1))
        importance->entries[importance->n++] = (importance_entry){ .op = o, .n_matrices = importance_n_matrices(&program->ops[o]),
                                                                   .n_cols = (uint32_t)program->weights[program->ops[o].weight[0]].n_cols };
    double *at = (double *)(void *)&importance->entries[importance->n];
    for (uint32_t i = 0; i < importance->n; i++) {
        importance_entry *e = &importance->entries[i];
        e->sums = at;
        at += (size_t)e->n_matrices * e->n_cols;
        e->counts = (uint64_t *)(void *)at;
        at += e->n_matrices;
    }
    *out = importance;
    return LLM_OK;
}

void lm_importance_free(lm_importance *importance)
{
    if (importance)
        lm_mem_free(&importance->host->mem, importance);
}

/* ---- adding -------------------------------------------------------------------------------------------------------------- */

static void importance_add_row(importance_entry *e, uint32_t matrix, const float *x)
{
    double *sums = e->sums + (size_t)matrix * e->n_cols;
    for (uint32_t k = 0; k < e->n_cols; k++)
        sums[k] += (double)x[k] * (double)x[k];
    e->counts[matrix]++;
}

/* Row r of the inputs of an operation of experts: the row itself for each chosen expert, or each one's part of it. */
static void importance_add_experts(importance_entry *e, const lm_op *op, const float *x, const int32_t *ids)
{
    for (uint32_t rank = 0; rank < op->u.experts.n_used; rank++)
        importance_add_row(e, (uint32_t)ids[rank], op->u.experts.down ? x + (size_t)rank * e->n_cols : x);
}

void lm_importance_add(lm_importance *importance, lm_backend *backend, lm_run *run, uint32_t number, uint32_t n_rows, uint32_t n_out)
{
    const lm_op *op = &importance->program->ops[number];
    uint32_t i = 0, n = op->rows == LM_ROWS_OUT ? n_out : n_rows;
    while (importance->entries[i].op != number)
        i++;
    importance_entry *e = &importance->entries[i];
    for (uint32_t r = 0; r < n; r++) {
        const float *x = backend->table->run_value(backend, run, op->in[0], r);
        const int32_t *ids = op->kind == LM_OP_LINEAR_EXPERTS ? backend->table->run_value(backend, run, op->in[1], r) : NULL;
        if (!x || (op->kind == LM_OP_LINEAR_EXPERTS && !ids))
            continue;
        if (ids)
            importance_add_experts(e, op, x, ids);
        else
            importance_add_row(e, 0, x);
    }
}

/* ---- writing ------------------------------------------------------------------------------------------------------------- */

/* One matrix of the file and what stands for it in the model: experts in tensors of their own are one weight of several tensors. */
typedef struct importance_out { llm_str name; const importance_entry *entry; uint32_t first, n_matrices; } importance_out;

typedef struct importance_writer {
    lm_host *host;
    importance_out *outs;  uint32_t n_outs;
    lm_tensor *tensors;                 /* two an output */
    char *names;                        /* of tensors */
    float *row;                         /* [most columns or matrices] */
    lm_gguf_writer *file;
} importance_writer;

static bool importance_named(const importance_writer *w, llm_str name)
{
    for (uint32_t i = 0; i < w->n_outs; i++)
        if (lm_str_same(w->outs[i].name, name))
            return true;
    return false;
}

static bool importance_wanted(const importance_entry *e, llm_str name, uint32_t flags)
{
    static const char blk[] = "blk.", output[] = "output.weight";
    uint64_t counts = 0;
    for (uint32_t m = 0; m < e->n_matrices; m++)
        counts += e->counts[m];
    if (counts == 0)
        return false;
    if (name.len >= 4 && memcmp(name.ptr, blk, 4) == 0)
        return true;
    return (flags & LLM_IMPORTANCE_OUTPUT) && name.len == sizeof output - 1 && memcmp(name.ptr, output, sizeof output - 1) == 0;
}

/* outs NULL: only counts. */
static uint32_t importance_list(const lm_importance *importance, const lm_catalogue *catalogue, uint32_t flags, importance_writer *w)
{
    uint32_t most = 0;
    w->n_outs = 0;
    for (uint32_t i = 0; i < importance->n; i++) {
        const importance_entry *e = &importance->entries[i];
        const lm_op *op = &importance->program->ops[e->op];
        for (uint32_t k = 0; k < 3 && op->weight[k] != LM_NONE; k++) {
            const lm_weight_info *info = &importance->program->weights[op->weight[k]];
            const lm_tensor *second = e->n_matrices > 1 ? lm_block_weight_part(catalogue, info, 1) : NULL, *part;
            for (uint32_t p = 0; (part = lm_block_weight_part(catalogue, info, p)) != NULL; p++) {
                most++;
                if (w->outs && importance_wanted(e, part->name, flags) && !importance_named(w, part->name))
                    w->outs[w->n_outs++] = (importance_out){ part->name, e, second ? p : 0, second ? 1 : e->n_matrices };
            }
        }
    }
    return most;
}

static void importance_tensor(importance_writer *w, uint32_t index, const char *suffix, uint64_t n_cols, uint64_t n_matrices)
{
    const importance_out *out = &w->outs[index / 2];
    char *name = w->names;
    size_t len = lm_print(name, out->name.len + 16, "%.*s.%s", (int)out->name.len, out->name.ptr, suffix);
    w->names += len + 1;
    w->tensors[index] = (lm_tensor){ .name = { name, len }, .type = LM_TYPE_F32, .n_dims = 2, .ne = { n_cols, n_matrices, 1, 1 } };
}

static llm_status importance_put(importance_writer *w, const importance_out *out, llm_error *error)
{
    const importance_entry *e = out->entry;
    for (uint32_t m = out->first; m < out->first + out->n_matrices; m++) {
        for (uint32_t k = 0; k < e->n_cols; k++)
            w->row[k] = (float)e->sums[(size_t)m * e->n_cols + k];
        LM_TRY(lm_gguf_write_data(w->file, w->row, e->n_cols * sizeof(float), error));
    }
    for (uint32_t m = 0; m < out->n_matrices; m++)
        w->row[m] = (float)e->counts[out->first + m];
    return lm_gguf_write_data(w->file, w->row, out->n_matrices * sizeof(float), error);
}

static llm_status importance_keys(lm_key_list *keys, const llm_importance_desc *desc, llm_error *error)
{
    llm_str dataset = { desc->dataset, desc->dataset_len };
    LM_TRY(lm_key_list_set_string(keys, "general.type", "imatrix", LLM_NUL, error));
    LM_TRY(lm_key_list_set_strings(keys, "imatrix.datasets", &dataset, desc->dataset ? 1 : 0, error));
    LM_TRY(lm_key_list_set_u32(keys, "imatrix.chunk_count", (uint32_t)desc->n_chunks, error));
    return lm_key_list_set_u32(keys, "imatrix.chunk_size", (uint32_t)desc->chunk_tokens, error);
}

static llm_status importance_write_all(importance_writer *w, const llm_sink *sink, const llm_importance_desc *desc, lm_arena *arena, llm_error *error)
{
    lm_key_list keys;
    lm_key_list_init(&keys, arena);
    LM_TRY(importance_keys(&keys, desc, error));
    for (uint32_t i = 0; i < w->n_outs; i++) {
        importance_tensor(w, 2 * i, "in_sum2", w->outs[i].entry->n_cols, w->outs[i].n_matrices);
        importance_tensor(w, 2 * i + 1, "counts", 1, w->outs[i].n_matrices);
    }
    LM_TRY(lm_gguf_write_open(w->host, sink, keys.keys, keys.n, w->tensors, 2 * (size_t)w->n_outs, &w->file, error));
    for (uint32_t i = 0; i < w->n_outs; i++)
        LM_TRY(importance_put(w, &w->outs[i], error));
    return lm_gguf_write_end(w->file, error);
}

llm_status lm_importance_write(const lm_importance *importance, const lm_catalogue *catalogue, const llm_sink *sink, const llm_importance_desc *desc,
                               llm_error *error)
{
    lm_mem *mem = &importance->host->mem;
    importance_writer w = { .host = importance->host };
    uint32_t most = importance_list(importance, catalogue, desc->flags, &w);
    size_t names = 0, row = 1;
    lm_arena arena;
    char *text = NULL;
    llm_status status = LLM_OK;
    w.outs = lm_mem_new_array(mem, most, sizeof *w.outs, LLM_MEMORY_OTHER);
    if (!w.outs)
        return lm_fail_memory(error, "a list of matrices", most * sizeof *w.outs);
    importance_list(importance, catalogue, desc->flags, &w);
    for (uint32_t i = 0; i < w.n_outs; i++) {
        names += 2 * (w.outs[i].name.len + 16);
        row = LM_MAX(row, LM_MAX(w.outs[i].entry->n_cols, w.outs[i].n_matrices));
    }
    lm_arena_init(&arena, mem, LLM_MEMORY_OTHER);
    if (w.n_outs == 0)
        status = lm_fail(error, LLM_E_STATE, "no product was observed yet: let sessions of this model take in some text first");
    if (status == LLM_OK) {
        w.tensors = lm_mem_new_array(mem, 2 * (size_t)w.n_outs, sizeof *w.tensors, LLM_MEMORY_OTHER);
        w.names = text = lm_mem_new(mem, names, LLM_MEMORY_OTHER);
        w.row = lm_mem_new_array(mem, row, sizeof *w.row, LLM_MEMORY_OTHER);
        status = w.tensors && text && w.row ? importance_write_all(&w, sink, desc, &arena, error) : lm_fail_memory(error, "an importance matrix", names);
    }
    lm_gguf_write_drop(w.file);
    lm_arena_free(&arena);
    lm_mem_free(mem, w.row);
    lm_mem_free(mem, text);
    lm_mem_free(mem, w.tensors);
    lm_mem_free(mem, w.outs);
    return status;
}
