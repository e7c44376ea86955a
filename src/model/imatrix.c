/* SPDX-License-Identifier: MIT
 * Importance matrices read: see imatrix.h. For a tensor NAME of n columns and m matrices (m > 1: experts) the file has NAME.in_sum2 [n, m], the
 * sums of the squares of what the columns were multiplied with, and NAME.counts [1, m], how many rows were summed up; a column's weight is
 * the quotient. The file is read as it is needed, a row at a time. */
#include "model/imatrix.h"

#include "base/compiler.h"
#include "base/cpu.h"

#include <string.h>

LM_EXACT_ARITHMETIC

struct lm_imatrix {
    lm_host *host;
    lm_catalogue *catalogue;
};

static const char imatrix_sums[] = ".in_sum2", imatrix_counts[] = ".counts";

llm_status lm_imatrix_open(lm_host *host, const llm_source *source, lm_imatrix **out, llm_error *error)
{
    lm_catalogue *catalogue = NULL;
    llm_str type = { "", 0 };
    llm_status status;
    llm_error why;
    status = lm_catalogue_open(host, &source, 1, &catalogue, &why);
    if (status < 0)
        return lm_fail_at(error, status, why.subject, strlen(why.subject), why.offset, "the importance matrix: %s", why.message);
    status = lm_catalogue_str(catalogue, "general.type", &type, error);
    if (status >= 0 || status == LLM_E_NOT_FOUND)
        status = type.len == 7 && memcmp(type.ptr, "imatrix", 7) == 0
                     ? LLM_OK
                     : lm_fail_at(error, LLM_E_FORMAT, "general.type", 12, UINT64_MAX, "this is no importance matrix: its key 'general.type' is '%.*s', expected 'imatrix'",
                                  (int)LM_MIN(type.len, (size_t)40), type.ptr);
    lm_imatrix *imatrix = status >= 0 ? lm_mem_new(&host->mem, sizeof *imatrix, LLM_MEMORY_OTHER) : NULL;
    if (status >= 0 && !imatrix)
        status = lm_fail_memory(error, "an importance matrix", sizeof *imatrix);
    if (status < 0) {
        lm_catalogue_free(catalogue);
        return status;
    }
    imatrix->host = host;
    imatrix->catalogue = catalogue;
    *out = imatrix;
    return LLM_OK;
}

void lm_imatrix_close(lm_imatrix *imatrix)
{
    if (!imatrix)
        return;
    lm_catalogue_free(imatrix->catalogue);
    lm_mem_free(&imatrix->host->mem, imatrix);
}

static bool imatrix_ends(llm_str name, const char *suffix)
{
    size_t len = strlen(suffix);
    return name.len > len && memcmp(name.ptr + name.len - len, suffix, len) == 0;
}

llm_status lm_imatrix_about_get(const lm_imatrix *imatrix, lm_imatrix_about *out, llm_error *error)
{
    const lm_catalogue *c = imatrix->catalogue;
    const lm_key *datasets = lm_catalogue_key(c, "imatrix.datasets", LLM_NUL);
    uint64_t chunks = 0;
    llm_status status = lm_catalogue_u64(c, "imatrix.chunk_count", 0, 0, UINT32_MAX, &chunks, error);
    if (status < 0 && status != LLM_E_NOT_FOUND)
        return status;
    out->name = (llm_str){ lm_source_name(c->sources[0]), strlen(lm_source_name(c->sources[0])) };
    out->dataset = (llm_str){ "", 0 };
    if (datasets && datasets->item_type == LM_VALUE_STRING && datasets->n_items > 0)
        out->dataset = *(const llm_str *)datasets->items;
    out->n_chunks = (uint32_t)chunks;
    out->n_entries = 0;
    for (size_t i = 0; i < c->n_tensors; i++)
        out->n_entries += imatrix_ends(c->tensors[i].name, imatrix_sums);
    return LLM_OK;
}

/* "NAME.suffix", or NULL. Names of tensors have at most 63 bytes. */
static const lm_tensor *imatrix_find(const lm_imatrix *imatrix, const lm_tensor *t, const char *suffix)
{
    char name[96];
    if (t->name.len + strlen(suffix) >= sizeof name)
        return NULL;
    memcpy(name, t->name.ptr, t->name.len);
    memcpy(name + t->name.len, suffix, strlen(suffix) + 1);
    return lm_catalogue_tensor(imatrix->catalogue, name);
}

static llm_status imatrix_fail(const lm_tensor *t, const char *what, uint64_t got, uint64_t wanted, llm_error *error)
{
    return lm_fail_at(error, LLM_E_FORMAT, t->name.ptr, t->name.len, t->offset, "the importance matrix does not fit tensor '%s': it has %llu %s, expected %llu. It was made with another model",
                      t->name.ptr, (unsigned long long)got, what, (unsigned long long)wanted);
}

llm_status lm_imatrix_check(const lm_imatrix *imatrix, const lm_tensor *t, llm_error *error)
{
    const lm_tensor *sums = imatrix_find(imatrix, t, imatrix_sums), *counts = imatrix_find(imatrix, t, imatrix_counts);
    uint64_t n = t->ne[2] * t->ne[3];
    if (!sums && !counts)
        return LLM_E_NOT_FOUND;
    if (!sums || !counts || sums->type != LM_TYPE_F32 || counts->type != LM_TYPE_F32)
        return lm_fail_at(error, LLM_E_FORMAT, t->name.ptr, t->name.len, UINT64_MAX, "the importance matrix has no tensor '%s%s' of type F32", t->name.ptr,
                          !sums || sums->type != LM_TYPE_F32 ? imatrix_sums : imatrix_counts);
    if (sums->ne[0] != t->ne[0])
        return imatrix_fail(t, "columns", sums->ne[0], t->ne[0], error);
    if (sums->n_rows != n || counts->ne[0] * counts->n_rows != n)
        return imatrix_fail(t, "matrices", sums->n_rows != n ? sums->n_rows : counts->ne[0] * counts->n_rows, n, error);
    return LLM_OK;
}

llm_status lm_imatrix_read(lm_imatrix *imatrix, const lm_tensor *t, uint64_t matrix, float *out, llm_error *error)
{
    const lm_tensor *sums = imatrix_find(imatrix, t, imatrix_sums), *counts = imatrix_find(imatrix, t, imatrix_counts);
    float count;
    LM_TRY(lm_catalogue_bytes(imatrix->catalogue, counts, matrix * sizeof count, sizeof count, &count, error));
    LM_TRY(lm_catalogue_rows(imatrix->catalogue, sums, matrix, 1, out, error));
    bool good = count >= 0 && count <= 3e38f;
    for (uint64_t i = 0; good && i < t->ne[0]; i++)
        good = out[i] >= 0 && out[i] <= 3e38f;
    if (!good)
        return lm_fail_at(error, LLM_E_FORMAT, t->name.ptr, t->name.len, sums->offset, "the importance matrix holds a number below zero, an infinity or a NaN for tensor '%s', matrix %llu", t->name.ptr,
                          (unsigned long long)matrix);
    if (count == 0)
        return LLM_E_NOT_FOUND;
    uint64_t mode = lm_fp_enter();
    for (uint64_t i = 0; i < t->ne[0]; i++)
        out[i] /= count;
    lm_fp_leave(mode);
    return LLM_OK;
}
