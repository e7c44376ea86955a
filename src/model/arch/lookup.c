/* SPDX-License-Identifier: MIT
 * Tensors of blocks: found under GGUF's names, their exact shapes and types checked, made weights of the program. Owns nothing: names
 * of weights are borrowed from the catalogue. Knows no keys and no operations. Threads: one builder, one thread. */
#include "model/arch/blocks.h"

#include <string.h>

enum { LOOKUP_NAME = 96 };

static void lookup_name(const lm_blocks *b, char out[LOOKUP_NAME], const char *name, const char *suffix)
{
    if (b->layer >= 0)
        lm_print(out, LOOKUP_NAME, "blk.%d.%s.%s", b->layer, name, suffix);
    else
        lm_print(out, LOOKUP_NAME, "%s.%s", name, suffix);
}

static size_t lookup_shape(char *out, size_t cap, const uint64_t *ne, uint32_t n)
{
    size_t len = lm_print(out, cap, "[%llu", (unsigned long long)ne[0]);
    for (uint32_t i = 1; i < n; i++)
        len += lm_print(out + len, cap - len, ", %llu", (unsigned long long)ne[i]);
    return len + lm_print(out + len, cap - len, "]");
}

/* The tensor of exactly this shape (ne[0] first), or NULL with the error set; missing and optional: NULL without. */
static const lm_tensor *lookup_tensor(lm_blocks *b, const char *name, const uint64_t ne[3], uint32_t n_dims, bool optional)
{
    char have[96], want[96];
    if (b->status < 0)
        return NULL;
    const lm_tensor *t = lm_catalogue_tensor(b->catalogue, name);
    if (!t) {
        lookup_shape(want, sizeof want, ne, n_dims);
        if (!optional)
            b->status = lm_fail_at(b->error, LLM_E_FORMAT, name, strlen(name), UINT64_MAX, "tensor '%s' is missing; expected one of shape %s", name, want);
        return NULL;
    }
    if (t->ne[0] != ne[0] || t->ne[1] != ne[1] || t->ne[2] != ne[2] || t->ne[3] != 1) {
        lookup_shape(want, sizeof want, ne, n_dims);
        lookup_shape(have, sizeof have, t->ne, LM_MAX(t->n_dims, 1));
        b->status = lm_fail_at(b->error, LLM_E_FORMAT, name, strlen(name), t->offset, "tensor '%s' has the shape %s, expected %s", name, have, want);
        return NULL;
    }
    return t;
}

static int32_t lookup_weight(lm_blocks *b, const lm_tensor *t, bool vector, uint64_t first, uint64_t n_rows, uint64_t n_cols)
{
    const lm_type_info *type = lm_type_get(t->type);
    if (vector && t->type != LM_TYPE_F32 && t->type != LM_TYPE_F16 && t->type != LM_TYPE_BF16) {
        b->status = lm_fail_at(b->error, LLM_E_FORMAT, t->name.ptr, t->name.len, t->offset, "tensor '%s' is of type %s, expected F32, F16 or BF16", t->name.ptr,
                               type ? type->name : "unknown");
        return LM_NONE;
    }
    if (!type || !type->computes) {
        b->status = lm_fail_at(b->error, LLM_E_UNSUPPORTED, t->name.ptr, t->name.len, t->offset, "tensor '%s' is of type %s, which this library does not compute with",
                               t->name.ptr, type ? type->name : "unknown");
        return LM_NONE;
    }
    lm_weight_info info = { .name = t->name.ptr, .type = vector ? LM_TYPE_F32 : t->type, .is_vector = vector, .n_rows = n_rows, .n_cols = n_cols,
                            .first = first };
    return lm_graph_weight(b->graph, &info);
}

int32_t lm_block_matrix(lm_blocks *b, const char *name, uint64_t n_rows, uint64_t n_cols, bool optional)
{
    char full[LOOKUP_NAME];
    lookup_name(b, full, name, "weight");
    const lm_tensor *t = lookup_tensor(b, full, (uint64_t[]){ n_cols, n_rows, 1 }, 2, optional);
    return t ? lookup_weight(b, t, false, 0, n_rows, n_cols) : LM_NONE;
}

const lm_tensor *lm_block_find(const lm_blocks *b, const char *name)
{
    char full[LOOKUP_NAME];
    lookup_name(b, full, name, "weight");
    return lm_catalogue_tensor(b->catalogue, full);
}

void lm_block_fused(lm_blocks *b, const char *name, uint32_t n, const uint32_t *n_rows, uint64_t n_cols, bool biases, int32_t *matrices, int32_t *vectors)
{
    char full[LOOKUP_NAME];
    uint64_t sum = 0, first = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += n_rows[i];
    lookup_name(b, full, name, "weight");
    const lm_tensor *matrix = lookup_tensor(b, full, (uint64_t[]){ n_cols, sum, 1 }, 2, false), *bias = NULL;
    lookup_name(b, full, name, "bias");
    if (biases)
        bias = lookup_tensor(b, full, (uint64_t[]){ sum, 1, 1 }, 1, true);
    for (uint32_t i = 0; matrix && i < n; first += n_rows[i++]) {
        matrices[i] = lookup_weight(b, matrix, false, first, n_rows[i], n_cols);
        vectors[i] = bias ? lookup_weight(b, bias, true, first, 1, n_rows[i]) : LM_NONE;
    }
}

int32_t lm_block_vector(lm_blocks *b, const char *name, const char *suffix, uint64_t n, bool optional)
{
    char full[LOOKUP_NAME];
    lookup_name(b, full, name, suffix);
    const lm_tensor *t = lookup_tensor(b, full, (uint64_t[]){ n, 1, 1 }, 1, optional);
    return t ? lookup_weight(b, t, true, 0, 1, n) : LM_NONE;
}

int32_t lm_block_experts_matrix(lm_blocks *b, const char *name, uint64_t n_rows, uint64_t n_cols)
{
    char full[LOOKUP_NAME], stacked[48], single[48];
    uint32_t n = b->p->n_expert;
    lm_print(stacked, sizeof stacked, "%s_exps", name);
    lm_print(single, sizeof single, "%s.0", name);
    lookup_name(b, full, single, "weight");
    if (!lm_catalogue_tensor(b->catalogue, full)) {
        lookup_name(b, full, stacked, "weight");
        const lm_tensor *t = lookup_tensor(b, full, (uint64_t[]){ n_cols, n_rows, n }, 3, false);
        return t ? lookup_weight(b, t, false, 0, n * n_rows, n_cols) : LM_NONE;
    }
    const lm_tensor *first = NULL;                          /* files of 2023-24: a tensor for each expert */
    for (uint32_t e = 0; e < n; e++) {
        lm_print(single, sizeof single, "%s.%u", name, e);
        lookup_name(b, full, single, "weight");
        const lm_tensor *t = lookup_tensor(b, full, (uint64_t[]){ n_cols, n_rows, 1 }, 2, false);
        if (!t)
            return LM_NONE;
        first = first ? first : t;
        if (t->type != first->type) {
            b->status = lm_fail_at(b->error, LLM_E_UNSUPPORTED, full, strlen(full), t->offset, "tensor '%s' is of another type than '%s'", full, first->name.ptr);
            return LM_NONE;
        }
    }
    return lookup_weight(b, first, false, 0, n * n_rows, n_cols);
}

const lm_tensor *lm_block_weight_part(const lm_catalogue *catalogue, const lm_weight_info *info, uint32_t part)
{
    const lm_tensor *first = lm_catalogue_tensor(catalogue, info->name);
    if (part == 0 || !first || first->n_rows >= info->n_rows)
        return part == 0 ? first : NULL;
    if (part >= info->n_rows / first->n_rows)
        return NULL;
    static const char tail[] = ".0.weight";                 /* "blk.1.ffn_up.0.weight": the first expert of several */
    char full[LOOKUP_NAME];
    size_t len = strlen(info->name);
    if (len < sizeof tail || len >= LOOKUP_NAME || memcmp(info->name + len - (sizeof tail - 1), tail, sizeof tail - 1) != 0)
        return NULL;
    lm_print(full, sizeof full, "%.*s.%u.weight", (int)(len - (sizeof tail - 1)), info->name, part);
    return lm_catalogue_tensor(catalogue, full);
}
