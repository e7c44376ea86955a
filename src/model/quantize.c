/* SPDX-License-Identifier: MIT
 * Quantizing a file: tensor after tensor, in pieces of a few rows. A piece is read, cut into units that any threads may take, and written;
 * nothing else of the tensors is in memory. Blocks are quantized each by itself, so how a tensor is cut never changes a byte.
 *
 * Rows are never longer than a piece here: values are counted through a whole matrix, and since rows are whole blocks, a unit that begins at a
 * multiple of the greatest block begins at a block. Threads: one at a time; the jobs write apart and share one word, the first bad place. */
#include "model/quantize.h"

#include "model/imatrix.h"
#include "model/mix.h"

#include "files/gguf_write.h"

#include "tensor/quantize.h"

#include "base/size.h"

#include <stdatomic.h>
#include <string.h>

enum { QUANTIZE_UNIT = 8192 };          /* values a job: a multiple of every block */
enum { QUANTIZE_UNITS = 4 };            /* units a piece and thread: so that one slow thread does not leave the others waiting long */
enum { QUANTIZE_STEP = 1024 };          /* values widened at once, on the stack */

typedef struct quantize_file {
    lm_host *host;
    lm_catalogue *catalogue;
    lm_imatrix *imatrix;                /* or NULL */
    lm_gguf_writer *writer;
    const llm_quantize_desc *desc;
    const llm_parallel *parallel;
    llm_quantize_info *info;
    llm_error *error;
    lm_arena arena;                     /* of keys and lists */
    lm_tensor *tensors;                 /* [catalogue->n_tensors], as they will be */
    uint32_t *wanted;                   /* types before the rows' length was looked at */
    uint64_t piece;                     /* values a piece */
    unsigned char *in, *out;            /* a piece of any type each */
    float *weights;                     /* of one matrix's columns; NULL: no imatrix */
    uint64_t bytes, bytes_done;         /* of the source's tensors, for progress */
} quantize_file;

/* ---- the computing: one piece of one matrix */

typedef struct quantize_piece {
    const unsigned char *in;
    unsigned char *out;
    const float *weights;               /* [columns], or NULL */
    uint32_t from, to;                  /* types */
    uint32_t in_bytes, block, block_bytes;
    uint64_t columns, first, n;         /* the place of the first value in its matrix; values */
    _Atomic uint64_t bad;               /* the first bad block's place in the piece, in values, twice; + 1: bad when it came out. UINT64_MAX: none */
} quantize_piece;

static void quantize_bad(quantize_piece *p, uint64_t place, bool came_out)
{
    uint64_t mine = 2 * place + came_out, seen = atomic_load_explicit(&p->bad, memory_order_relaxed);
    while (mine < seen && !atomic_compare_exchange_weak_explicit(&p->bad, &seen, mine, memory_order_relaxed, memory_order_relaxed))
        ;
}

static void quantize_unit(void *data, uint32_t unit)
{
    quantize_piece *p = data;
    uint64_t at = (uint64_t)unit * QUANTIZE_UNIT, end = LM_MIN(at + QUANTIZE_UNIT, p->n);
    float values[QUANTIZE_STEP];
    while (at < end) {
        uint64_t column = (p->first + at) % p->columns, n = LM_MIN(LM_MIN(end - at, (uint64_t)QUANTIZE_STEP), p->columns - column), bad;
        const unsigned char *in = p->in + at * p->in_bytes;
        unsigned char *out = p->out + at / p->block * p->block_bytes;
        if (lm_type_row_finite(p->from, in, n, &bad)) {
            lm_quantize_widen(p->from, in, n, values);
            lm_quantize_row(p->to, values, p->weights ? p->weights + column : NULL, n, out);
            if (!lm_type_row_finite(p->to, out, n, &bad))
                quantize_bad(p, at + bad * p->block, true);
        } else {
            quantize_bad(p, at + bad, false);
        }
        at += n;
    }
}

static llm_status quantize_say_bad(const quantize_file *q, const lm_tensor *t, const quantize_piece *p, uint64_t matrix)
{
    uint64_t bad = atomic_load(&p->bad), row = matrix * t->ne[1] + (p->first + bad / 2) / p->columns;
    if (bad % 2 == 0)
        return lm_fail_at(q->error, LLM_E_NUMERIC, t->name.ptr, t->name.len, t->offset + row * t->row_bytes, "tensor '%s' is corrupt: NaN or infinity in row %llu, near column %llu", t->name.ptr,
                          (unsigned long long)row, (unsigned long long)((p->first + bad / 2) % p->columns));
    return lm_fail_at(q->error, LLM_E_NUMERIC, t->name.ptr, t->name.len, t->offset + row * t->row_bytes, "tensor '%s' cannot become %s: a value in row %llu, near column %llu, is too large for it",
                      t->name.ptr, lm_type_get(p->to)->name, (unsigned long long)row, (unsigned long long)((p->first + bad / 2) % p->columns));
}

static llm_status quantize_progress(quantize_file *q, uint64_t bytes)
{
    q->bytes_done += bytes;
    if (q->desc->progress && q->desc->progress(q->desc->user, q->bytes ? (float)((double)q->bytes_done / (double)q->bytes) : 1))
        return lm_fail(q->error, LLM_E_CANCELLED, "cancelled by the host's progress callback");
    return LLM_OK;
}

static llm_status quantize_matrix(quantize_file *q, const lm_tensor *t, uint32_t to, uint64_t matrix, const float *weights)
{
    const lm_type_info *from_info = lm_type_get(t->type), *to_info = lm_type_get(to);
    uint64_t values = t->ne[0] * t->ne[1], begin = matrix * values * from_info->block_bytes;
    for (uint64_t first = 0; first < values; first += q->piece) {
        quantize_piece p = { .in = q->in, .out = q->out, .weights = weights, .from = t->type, .to = to, .in_bytes = from_info->block_bytes, .block = to_info->block,
                             .block_bytes = to_info->block_bytes, .columns = t->ne[0], .first = first, .n = LM_MIN(q->piece, values - first) };
        atomic_init(&p.bad, UINT64_MAX);
        LM_TRY(lm_catalogue_bytes(q->catalogue, t, begin + first * p.in_bytes, (size_t)(p.n * p.in_bytes), q->in, q->error));
        q->parallel->run(q->parallel->user, (uint32_t)((p.n + QUANTIZE_UNIT - 1) / QUANTIZE_UNIT), quantize_unit, &p);
        if (atomic_load(&p.bad) != UINT64_MAX)
            return quantize_say_bad(q, t, &p, matrix);
        LM_TRY(lm_gguf_write_data(q->writer, q->out, (size_t)(p.n / p.block * p.block_bytes), q->error));
        LM_TRY(quantize_progress(q, p.n * p.in_bytes));
    }
    return LLM_OK;
}

static llm_status quantize_tensor(quantize_file *q, const lm_tensor *t, uint32_t to)
{
    bool has = q->imatrix && lm_imatrix_check(q->imatrix, t, NULL) == LLM_OK, weighted = false;
    for (uint64_t matrix = 0; matrix < t->ne[2] * t->ne[3]; matrix++) {
        llm_status status = LLM_E_NOT_FOUND;
        if (has)
            status = lm_imatrix_read(q->imatrix, t, matrix, q->weights, q->error);
        if (status < 0 && status != LLM_E_NOT_FOUND)
            return status;
        weighted |= status == LLM_OK;
        LM_TRY(quantize_matrix(q, t, to, matrix, status == LLM_OK ? q->weights : NULL));
    }
    q->info->n_weighted += weighted;
    q->info->n_quantized++;
    return LLM_OK;
}

/* A tensor that stays as it is; what it holds is looked at all the same. */
static llm_status quantize_keep(quantize_file *q, const lm_tensor *t)
{
    const lm_type_info *info = lm_type_get(t->type);
    uint64_t most = q->piece * sizeof(float) / info->block_bytes, blocks = t->bytes / info->block_bytes, bad;
    for (uint64_t at = 0; at < blocks; at += most) {
        uint64_t n = LM_MIN(most, blocks - at);
        LM_TRY(lm_catalogue_bytes(q->catalogue, t, at * info->block_bytes, (size_t)(n * info->block_bytes), q->in, q->error));
        if (!lm_type_row_finite(t->type, q->in, n * info->block, &bad))
            return lm_fail_at(q->error, LLM_E_NUMERIC, t->name.ptr, t->name.len, t->offset + (at + bad) * info->block_bytes, "tensor '%s' is corrupt: NaN or infinity in block %llu", t->name.ptr,
                              (unsigned long long)(at + bad));
        LM_TRY(lm_gguf_write_data(q->writer, q->in, (size_t)(n * info->block_bytes), q->error));
        LM_TRY(quantize_progress(q, n * info->block_bytes));
    }
    return LLM_OK;
}

/* ---- the plan */

/* Better before the first tensor than after the last but one. */
static llm_status quantize_check_imatrix(quantize_file *q)
{
    size_t n = 0;
    for (size_t i = 0; i < q->catalogue->n_tensors; i++) {
        llm_status status = LLM_E_NOT_FOUND;
        if (q->tensors[i].type != q->catalogue->tensors[i].type)
            status = lm_imatrix_check(q->imatrix, &q->catalogue->tensors[i], q->error);
        if (status < 0 && status != LLM_E_NOT_FOUND)
            return status;
        n += status == LLM_OK;
    }
    if (n == 0)
        return lm_fail(q->error, LLM_E_NOT_FOUND, "the importance matrix has nothing for any tensor that is quantized: it was made with another model");
    return LLM_OK;
}

static llm_status quantize_plan(quantize_file *q, const lm_mix *mix)
{
    const lm_catalogue *c = q->catalogue;
    uint32_t *types = lm_arena_array(&q->arena, c->n_tensors, sizeof *types);
    uint64_t columns = 0;
    q->wanted = lm_arena_array(&q->arena, c->n_tensors, sizeof *q->wanted);
    q->tensors = lm_arena_array(&q->arena, c->n_tensors, sizeof *q->tensors);
    if (!types || !q->wanted || !q->tensors)
        return lm_fail_memory(q->error, "the list of tensors", c->n_tensors * sizeof *q->tensors);
    LM_TRY(lm_mix_types(c, mix, types, q->wanted, q->error));
    for (size_t i = 0; i < c->n_tensors; i++) {
        const lm_tensor *t = &c->tensors[i];
        q->tensors[i] = *t;
        q->tensors[i].type = types[i];
        q->bytes += t->bytes;
        if (types[i] == t->type)
            continue;
        if (!lm_quantize_plain(t->type))
            return lm_fail_at(q->error, LLM_E_UNSUPPORTED, t->name.ptr, t->name.len, UINT64_MAX,
                              "tensor '%s' is %s already and would become %s: quantizing twice loses more than it saves. Begin with a file of F32, F16 or BF16", t->name.ptr, lm_type_get(t->type)->name,
                              lm_type_get(types[i])->name);
        columns = LM_MAX(columns, t->ne[0]);
        if (types[i] != q->wanted[i]) {
            q->info->n_fallback++;
            lm_log(q->host, LLM_LOG_INFO, "tensor '%s' has rows of %llu values, no multiple of %u: %s instead of %s", t->name.ptr, (unsigned long long)t->ne[0], lm_type_get(q->wanted[i])->block,
                   lm_type_get(types[i])->name, lm_type_get(q->wanted[i])->name);
        }
    }
    if (q->imatrix && columns > 0) {
        uint64_t size;
        LM_TRY(quantize_check_imatrix(q));
        q->weights = lm_mul_u64(columns, sizeof *q->weights, &size) && lm_fits_size(size) ? lm_mem_raw(&q->host->mem, (size_t)size, LLM_MEMORY_OTHER) : NULL;
        if (!q->weights)
            return lm_fail_memory(q->error, "the weights of a row", (size_t)columns * sizeof *q->weights);
    }
    return LLM_OK;
}

static llm_status quantize_keys(quantize_file *q, lm_key_list *keys)
{
    lm_imatrix_about about;
    lm_key_list_init(keys, &q->arena);
    LM_TRY(lm_key_list_copy(keys, q->catalogue, q->error));
    LM_TRY(lm_key_list_set_u32(keys, "general.quantization_version", 2, q->error));
    LM_TRY(lm_key_list_set_u32(keys, "general.file_type", lm_mix_number(q->desc->file_type), q->error));
    if (!q->imatrix)
        return LLM_OK;
    LM_TRY(lm_imatrix_about_get(q->imatrix, &about, q->error));
    LM_TRY(lm_key_list_set_string(keys, "quantize.imatrix.file", about.name.ptr, about.name.len, q->error));
    if (about.dataset.len)
        LM_TRY(lm_key_list_set_string(keys, "quantize.imatrix.dataset", about.dataset.ptr, about.dataset.len, q->error));
    LM_TRY(lm_key_list_set_u32(keys, "quantize.imatrix.entries_count", about.n_entries, q->error));
    return about.n_chunks ? lm_key_list_set_u32(keys, "quantize.imatrix.chunks_count", about.n_chunks, q->error) : LLM_OK;
}

/* Room for a piece: as much as the file's greatest tensor needs, and no more than the threads keep busy. */
static llm_status quantize_buffers(quantize_file *q)
{
    uint64_t units = QUANTIZE_UNITS * (uint64_t)LM_MAX(q->parallel->n_threads, 1u), most = 0;
    for (size_t i = 0; i < q->catalogue->n_tensors; i++)
        most = LM_MAX(most, q->catalogue->tensors[i].ne[0] * q->catalogue->tensors[i].n_rows);
    units = LM_MIN(units, most / QUANTIZE_UNIT + 1);
    q->piece = units * QUANTIZE_UNIT;
    q->in = lm_mem_raw(&q->host->mem, (size_t)q->piece * sizeof(float), LLM_MEMORY_OTHER);
    q->out = lm_mem_raw(&q->host->mem, (size_t)q->piece * sizeof(float), LLM_MEMORY_OTHER);
    if (!q->in || !q->out)
        return lm_fail_memory(q->error, "rows to quantize", (size_t)q->piece * sizeof(float));
    return LLM_OK;
}

static llm_status quantize_write(quantize_file *q)
{
    const lm_catalogue *c = q->catalogue;
    for (size_t i = 0; i < c->n_tensors; i++) {
        const lm_tensor *t = &c->tensors[i];
        uint64_t row_bytes = 0;
        LM_TRY(q->tensors[i].type == t->type ? quantize_keep(q, t) : quantize_tensor(q, t, q->tensors[i].type));
        lm_type_row_bytes(q->tensors[i].type, t->ne[0], &row_bytes);
        q->info->bytes_in += t->bytes;
        q->info->bytes_out += row_bytes * t->n_rows;
    }
    return lm_gguf_write_end(q->writer, q->error);
}

llm_status lm_model_quantize(lm_host *host, const llm_source *const *parts, size_t n_parts, const llm_sink *sink, const llm_quantize_desc *desc,
                             const llm_parallel *parallel, llm_quantize_info *info, llm_error *error)
{
    llm_quantize_desc full = *desc;
    quantize_file q = { .host = host, .desc = &full, .parallel = parallel, .info = info, .error = error };
    lm_mix mix = { .pure = desc->flags & LLM_QUANTIZE_PURE, .keep_output = desc->flags & LLM_QUANTIZE_KEEP_OUTPUT, .importance = desc->importance != NULL };
    lm_key_list keys;
    llm_status status;
    if (full.file_type == 0)
        full.file_type = LLM_FILE_Q4_K_M;
    mix.file_type = full.file_type;
    if (desc->flags & ~(uint32_t)(LLM_QUANTIZE_PURE | LLM_QUANTIZE_KEEP_OUTPUT))
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_quantize_desc.flags is 0x%x: an unknown flag is set", desc->flags);
    if (lm_mix_number(full.file_type) == UINT32_MAX)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_quantize_desc.file_type is %d: expected 0 or LLM_FILE_*", desc->file_type);
    lm_arena_init(&q.arena, &host->mem, LLM_MEMORY_OTHER);
    status = lm_catalogue_open(host, parts, n_parts, &q.catalogue, error);
    if (status >= 0 && desc->importance)
        status = lm_imatrix_open(host, desc->importance, &q.imatrix, error);
    if (status >= 0)
        status = quantize_plan(&q, &mix);
    if (status >= 0)
        status = quantize_buffers(&q);
    if (status >= 0)
        status = quantize_keys(&q, &keys);
    if (status >= 0)
        status = lm_gguf_write_open(host, sink, keys.keys, keys.n, q.tensors, q.catalogue->n_tensors, &q.writer, error);
    if (status >= 0) {
        info->n_tensors = (uint32_t)q.catalogue->n_tensors;
        status = quantize_write(&q);
    }
    lm_gguf_write_drop(q.writer);
    lm_mem_free(&host->mem, q.weights);
    lm_mem_free(&host->mem, q.out);
    lm_mem_free(&host->mem, q.in);
    lm_arena_free(&q.arena);
    lm_imatrix_close(q.imatrix);
    lm_catalogue_free(q.catalogue);
    return status < 0 ? status : LLM_OK;
}
