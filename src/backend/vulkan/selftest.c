/* SPDX-License-Identifier: MIT
 * Weight types against the reference on the driver at hand, at a type's first use: products of one, of few and of many columns and a row
 * of embeddings, of random blocks, odd sizes, two bounds. Drivers miscompile; what is wrong here is not used: a type as a whole, but of
 * many columns that are handed round a subgroup alone, for there are tiles. Owns nothing that stays.
 * Threads: any; two that test the same type at once do it twice. */
#include "backend/vulkan/vulkan.h"

#include "kernels/kernels.h"
#include "tensor/blocks.h"
#include "base/fmath.h"
#include "base/half.h"

#include <string.h>

LM_EXACT_ARITHMETIC

enum { SELFTEST_ROWS = 69, SELFTEST_COLUMNS = 35, SELFTEST_FEW = 3, SELFTEST_MOST = 512 };
enum { SELFTEST_X = 0, SELFTEST_Y = SELFTEST_COLUMNS * SELFTEST_MOST, SELFTEST_E = SELFTEST_Y + SELFTEST_COLUMNS * SELFTEST_ROWS, SELFTEST_ITEMS = SELFTEST_E + SELFTEST_MOST };
enum { SELFTEST_TOKEN = 5 };
#define SELFTEST_EPS 0x1p-10

/* Where the f16 scales of a block stand, and how many: random bits there would be infinite now and then. */
typedef struct selftest_scales { uint8_t offset, n; } selftest_scales;
static const selftest_scales selftest_scales_of[LM_TYPE_COUNT] = {
    [LM_TYPE_F16] = { 0, 1 }, [LM_TYPE_Q4_0] = { offsetof(lm_block_q4_0, d), 1 }, [LM_TYPE_Q4_1] = { offsetof(lm_block_q4_1, d), 2 },
    [LM_TYPE_Q5_0] = { offsetof(lm_block_q5_0, d), 1 }, [LM_TYPE_Q5_1] = { offsetof(lm_block_q5_1, d), 2 }, [LM_TYPE_Q8_0] = { offsetof(lm_block_q8_0, d), 1 },
    [LM_TYPE_IQ4_NL] = { offsetof(lm_block_iq4_nl, d), 1 }, [LM_TYPE_Q2_K] = { offsetof(lm_block_q2_k, d), 2 }, [LM_TYPE_Q3_K] = { offsetof(lm_block_q3_k, d), 1 },
    [LM_TYPE_Q4_K] = { offsetof(lm_block_q4_k, d), 2 }, [LM_TYPE_Q5_K] = { offsetof(lm_block_q5_k, d), 2 }, [LM_TYPE_Q6_K] = { offsetof(lm_block_q6_k, d), 1 },
    [LM_TYPE_IQ4_XS] = { offsetof(lm_block_iq4_xs, d), 1 },
};

static uint32_t selftest_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}
static float selftest_float(uint64_t *state) { return (float)((int32_t)(selftest_random(state) & 0xffffu) - 0x8000) / 32768.0f; }

static void selftest_block(uint64_t *state, uint32_t type, uint8_t *out)
{
    const lm_type_info *info = lm_type_get(type);
    for (uint32_t i = 0; i < info->block_bytes; i++)
        out[i] = (uint8_t)selftest_random(state);
    for (uint32_t i = 0; i < selftest_scales_of[type].n; i++) {
        uint16_t half = lm_f16_from_f32(selftest_float(state));
        memcpy(out + selftest_scales_of[type].offset + 2 * i, &half, 2);
    }
    if (type == LM_TYPE_MXFP4)
        out[offsetof(lm_block_mxfp4, e)] = (uint8_t)(120 + selftest_random(state) % 12);
    if (type == LM_TYPE_F32 || type == LM_TYPE_BF16) {
        uint32_t bits = lm_bits_from_f32(selftest_float(state));
        memcpy(out, type == LM_TYPE_F32 ? (const uint8_t *)&bits : (const uint8_t *)&bits + 2, info->block_bytes);     /* little-endian, as files are */
    }
}

typedef struct selftest {
    lm_vk *vk;
    uint32_t type, k;
    lm_vk_weight *weight;
    lm_vk_buffer values, tables;
    lm_vk_set set, vector;
    float *rows;                                            /* [SELFTEST_ROWS][k], as the reference reads them */
    float *host;                                            /* SELFTEST_ITEMS, as the device has left them */
} selftest;

/* The matrix, in the device and in f32. */
static llm_status selftest_weight(selftest *t, uint64_t *state, llm_error *error)
{
    lm_mem *mem = &t->vk->base.host->mem;
    const lm_type_info *info = lm_type_get(t->type);
    lm_weight_info matrix = { .name = "a self-test", .type = t->type, .n_rows = SELFTEST_ROWS, .n_cols = t->k };
    lm_kernels kernels;
    uint64_t row_bytes = 0;
    size_t group_bytes = lm_group_bytes(t->type, t->k);
    lm_type_row_bytes(t->type, t->k, &row_bytes);
    memset(&kernels, 0, sizeof kernels);
    lm_kernels_fill(&kernels, 0, LM_TIER_REFERENCE);
    uint8_t *bytes = lm_mem_new_array(mem, SELFTEST_ROWS, (size_t)row_bytes, LLM_MEMORY_OTHER), *group = lm_mem_new(mem, group_bytes, LLM_MEMORY_OTHER);
    llm_status status = bytes && group ? LLM_OK : lm_fail_memory(error, "a self-test", (size_t)row_bytes * SELFTEST_ROWS);
    for (uint64_t b = 0; status >= 0 && b < SELFTEST_ROWS * row_bytes; b += info->block_bytes)
        selftest_block(state, t->type, bytes + b);
    for (uint32_t r = 0; status >= 0 && r < SELFTEST_ROWS; r++) {
        kernels.pack[t->type](group, bytes + r * row_bytes, (size_t)row_bytes, 1, t->k);
        kernels.row[t->type](t->rows + (size_t)r * t->k, group, 0, t->k);
    }
    if (status >= 0)
        status = lm_vk_weight_begin(&t->vk->base, &matrix, (lm_weight **)&t->weight, error);
    if (status >= 0)
        status = lm_vk_weight_rows(&t->vk->base, (lm_weight *)t->weight, 0, SELFTEST_ROWS, bytes, error);
    if (status >= 0)
        status = lm_vk_weight_end(&t->vk->base, (lm_weight *)t->weight, error);
    lm_mem_free(mem, bytes);
    lm_mem_free(mem, group);
    return status;
}

/* The second matrix is the first again, and the norm's vector what is multiplied in the first column. */
static llm_status selftest_run(selftest *t, int32_t module, const uint32_t *specs, const void *push, size_t push_bytes, uint32_t x, uint32_t y, llm_error *error)
{
    lm_vk *vk = t->vk;
    lm_vk_dispatch d = { .push_bytes = (uint32_t)push_bytes, .sets = { t->set.set, t->weight->shards[0].set.set, t->vector.set, t->weight->shards[0].set.set } };
    const uint32_t none[2] = { 0, 0 }, groups[2] = { x, y };
    LM_TRY(lm_vk_pipeline_get(vk, (uint32_t)module, specs, &d.pipeline, error));
    memcpy(d.push, push, push_bytes);
    memset((float *)t->values.mapped + SELFTEST_Y, 0xff, (SELFTEST_ITEMS - SELFTEST_Y) * sizeof(float));   /* what an earlier shader has left must not pass for a result */
    LM_TRY(lm_vk_begin(vk, error));
    lm_vk_record(vk, &d, none, groups);
    LM_TRY(lm_vk_submit(vk, error));
    return lm_vk_download(vk, t->values.buffer, 0, SELFTEST_ITEMS * 4, t->host, error);
}

/* The worst product, as a share of the sum of its terms' sizes. */
static double selftest_product(const selftest *t, const float *x, uint32_t columns)
{
    double worst = 0;
    for (uint32_t c = 0; c < columns; c++)
        for (uint32_t r = 0; r < SELFTEST_ROWS; r++) {
            double sum = 0, size = 1e-30, got = (double)t->host[SELFTEST_Y + c * SELFTEST_ROWS + r];
            for (uint32_t i = 0; i < t->k; i++) {
                double term = (double)t->rows[(size_t)r * t->k + i] * (double)x[(size_t)c * t->k + i];
                sum += term;
                size += term < 0 ? -term : term;
            }
            double off = (got > sum ? got - sum : sum - got) / size;
            worst = LM_MAX(worst, off <= 1e30 ? off : 1e30);        /* a NaN counts as much */
        }
    return worst;
}

/* The same of silu(z) z, z a product behind a norm. An error of z comes out up to 2.2 |z| times as large. */
static double selftest_both(const selftest *t, const float *x, uint32_t columns)
{
    double worst = 0;
    for (uint32_t c = 0; c < columns; c++) {
        const float *xs = x + (size_t)c * t->k;
        double squares = 0, root = 1;
        for (uint32_t i = 0; i < t->k; i++)
            squares += (double)xs[i] * (double)xs[i];
        squares = squares / t->k + SELFTEST_EPS;
        for (int i = 0; i < 64; i++)
            root = 0.5 * (root + squares / root);
        for (uint32_t r = 0; r < SELFTEST_ROWS; r++) {
            double z = 0, size = 1e-30, got = (double)t->host[SELFTEST_Y + c * SELFTEST_ROWS + r];
            for (uint32_t i = 0; i < t->k; i++) {
                double term = (double)t->rows[(size_t)r * t->k + i] * (double)xs[i] * (double)x[i] / root;
                z += term;
                size += term < 0 ? -term : term;
            }
            double want = z * z / (1 + lm_exp64(-z)), off = (got > want ? got - want : want - got) / (size * (1e-3 + 2.2 * (z < 0 ? -z : z)));
            worst = LM_MAX(worst, off <= 1e30 ? off : 1e30);
        }
    }
    return worst;
}

static double selftest_embedding(const selftest *t)
{
    double worst = 0;
    for (uint32_t i = 0; i < t->k; i++) {
        double want = (double)t->rows[(size_t)SELFTEST_TOKEN * t->k + i], got = (double)t->host[SELFTEST_E + i];
        double size = want < 0 ? -want : want, off = (got > want ? got - want : want - got) / (size > 1e-3 ? size : 1e-3);
        worst = LM_MAX(worst, off <= 1e30 ? off : 1e30);
    }
    return worst;
}

static llm_status selftest_all(selftest *t, double worst[5], llm_error *error)
{
    const lm_vk_shard *shard = &t->weight->shards[0];
    lm_vk_push_linear_few push = { .plane0 = shard->plane[0], .plane1 = shard->plane[1], .plane2 = shard->plane[2], .plane3 = shard->plane[3], .k = t->k, .blocks = t->weight->blocks,
                                   .up0 = shard->plane[0], .up1 = shard->plane[1], .up2 = shard->plane[2], .up3 = shard->plane[3], .eps = (float)SELFTEST_EPS,
                                   .n = SELFTEST_ROWS, .n_cols = SELFTEST_FEW, .x_stride = t->k, .y = SELFTEST_Y, .y_stride = SELFTEST_ROWS, .scale = 1 };
    lm_vk_push_embed embed = { .plane0 = shard->plane[0], .plane1 = shard->plane[1], .plane2 = shard->plane[2], .plane3 = shard->plane[3], .k = t->k, .blocks = t->weight->blocks,
                               .n = SELFTEST_ROWS, .y = SELFTEST_E, .scale = 1 };
    const uint32_t few[LM_VK_MAX_SPECS] = { [LM_VK_SPEC_LINEAR_FEW_LANES] = 16, [LM_VK_SPEC_LINEAR_FEW_COLS] = 4 };
    const uint32_t one[LM_VK_MAX_SPECS] = { [LM_VK_SPEC_LINEAR_FEW_LANES] = 16, [LM_VK_SPEC_LINEAR_FEW_COLS] = 1 }, none[LM_VK_MAX_SPECS] = { 0 };
    /* Behind a norm, and two matrices at once: with the other number of lanes. 3: silu. All four with floats; other types differ in how their words become
     * numbers, which two of the four show: drivers take long to compile. */
    const uint32_t few_both[LM_VK_MAX_SPECS] = { [LM_VK_SPEC_LINEAR_FEW_EPILOGUE] = 3, [LM_VK_SPEC_LINEAR_FEW_LANES] = 32, [LM_VK_SPEC_LINEAR_FEW_COLS] = 4, [LM_VK_SPEC_LINEAR_FEW_NORM] = 2,
                                                 [LM_VK_SPEC_LINEAR_FEW_TWO] = 1 };
    const uint32_t one_both[LM_VK_MAX_SPECS] = { [LM_VK_SPEC_LINEAR_FEW_EPILOGUE] = 3, [LM_VK_SPEC_LINEAR_FEW_LANES] = 32, [LM_VK_SPEC_LINEAR_FEW_COLS] = 1, [LM_VK_SPEC_LINEAR_FEW_NORM] = 2,
                                                 [LM_VK_SPEC_LINEAR_FEW_TWO] = 1 };
    const uint32_t tables[9] = { 4, 8, 8, 8, 0, 0, SELFTEST_TOKEN, 0, 0 };
    uint64_t state = 20 + t->type;
    float *x = t->values.mapped;
    memcpy(t->tables.mapped, tables, sizeof tables);
    for (uint32_t i = 0; i < SELFTEST_COLUMNS * t->k; i++)
        x[i] = selftest_float(&state);
    LM_TRY(selftest_run(t, lm_vk_module_few(t->type), few, &push, sizeof push, (SELFTEST_ROWS + 31) / 32, 1, error));
    worst[0] = selftest_product(t, t->host, SELFTEST_FEW);
    if (t->type == LM_TYPE_F32) {
        LM_TRY(selftest_run(t, lm_vk_module_few(t->type), few_both, &push, sizeof push, (SELFTEST_ROWS + 7) / 8, 1, error));
        worst[0] = LM_MAX(worst[0], selftest_both(t, t->host, SELFTEST_FEW));
    }
    push.n_cols = SELFTEST_COLUMNS;
    LM_TRY(selftest_run(t, lm_vk_module_many(t->type), none, &push, sizeof push, (SELFTEST_ROWS + 63) / 64, (SELFTEST_COLUMNS + 31) / 32, error));
    worst[1] = selftest_product(t, t->host, SELFTEST_COLUMNS);
    LM_TRY(selftest_run(t, lm_vk_module_embed(t->type), none, &embed, sizeof embed, (t->k + 1023) / 1024, 1, error));
    worst[2] = selftest_embedding(t);
    push.n_cols = 1;
    if (t->type == LM_TYPE_F32) {
        LM_TRY(selftest_run(t, lm_vk_module_few(t->type), one, &push, sizeof push, (SELFTEST_ROWS + 31) / 32, 1, error));
        worst[3] = selftest_product(t, t->host, 1);
    }
    LM_TRY(selftest_run(t, lm_vk_module_few(t->type), one_both, &push, sizeof push, (SELFTEST_ROWS + 15) / 16, 1, error));
    worst[3] = LM_MAX(worst[3], selftest_both(t, t->host, 1));
    if (!t->vk->caps.shuffle)
        return LLM_OK;
    const uint32_t wide[LM_VK_MAX_SPECS] = { [LM_VK_SPEC_LINEAR_WIDE_LANES] = t->vk->caps.subgroup };
    push.n_cols = SELFTEST_COLUMNS;
    memset(x + SELFTEST_Y, 0xff, SELFTEST_COLUMNS * SELFTEST_ROWS * sizeof *x);         /* what is there already is right */
    llm_error why;
    llm_status status = selftest_run(t, lm_vk_module_wide(t->type), wide, &push, sizeof push, (SELFTEST_ROWS + 255) / 256, (SELFTEST_COLUMNS + 15) / 16, &why);
    if (status == LLM_E_MEMORY || status == LLM_E_DEVICE_LOST) {
        if (error)
            *error = why;
        return status;
    }
    worst[4] = status < 0 ? 1e30 : selftest_product(t, t->host, SELFTEST_COLUMNS);      /* there are tiles, where a driver cannot do this */
    return LLM_OK;
}

static llm_status selftest_open(selftest *t, llm_error *error)
{
    lm_vk *vk = t->vk;
    LM_TRY(lm_vk_buffer_new(vk, SELFTEST_ITEMS * 4, LM_VK_TO_DEVICE, &t->values, error));
    LM_TRY(lm_vk_buffer_new(vk, 64, LM_VK_TO_DEVICE, &t->tables, error));
    VkDescriptorBufferInfo ranges[3] = { { t->values.buffer, 0, SELFTEST_ITEMS * 4 }, { t->values.buffer, 0, SELFTEST_ITEMS * 4 }, { t->tables.buffer, 0, 64 } };
    LM_TRY(lm_vk_set_new(vk, LM_VK_SET_ONE, ranges, &t->vector, error));
    return lm_vk_set_new(vk, LM_VK_SET_VALUES, ranges, &t->set, error);
}

llm_status lm_vk_selftest(lm_vk *vk, uint32_t type, llm_error *error)
{
    lm_mem *mem = &vk->base.host->mem;
    uint8_t seen = type < LM_COUNT(vk->tested) ? atomic_load_explicit(&vk->tested[type], memory_order_acquire) : 2;
    const lm_type_info *info = lm_type_get(type);
    if (seen == 1 || (seen == 0 && vk->trust))
        return LLM_OK;
    if (seen == 2 || !info || !lm_vk_type_can(type))
        return lm_fail(error, LLM_E_UNSUPPORTED, "%s computes wrongly with weights of type %s", vk->caps.name, info ? info->name : "unknown");
    selftest t = { .vk = vk, .type = type, .k = info->block == 1 ? 205 : SELFTEST_MOST };      /* plain types: rows that end within eight values */
    double worst[5] = { 0, 0, 0, 0, 0 };
    uint64_t state = type;
    t.rows = lm_mem_new_array(mem, (size_t)SELFTEST_ROWS * t.k, sizeof *t.rows, LLM_MEMORY_OTHER);
    t.host = lm_mem_new_array(mem, SELFTEST_ITEMS, sizeof *t.host, LLM_MEMORY_OTHER);
    llm_status status = t.rows && t.host ? selftest_weight(&t, &state, error) : lm_fail_memory(error, "a self-test", SELFTEST_ITEMS * sizeof *t.host);
    lm_vk_lock(vk);
    if (status >= 0)
        status = selftest_open(&t, error);
    if (status >= 0)
        status = selftest_all(&t, worst, error);
    for (int i = 0; i < 4 && status >= 0; i++)
        vk->tested_worst[type] = LM_MAX(vk->tested_worst[type], (float)worst[i]);
    if (status >= 0)
        vk->wide_worst[type] = LM_MAX(vk->wide_worst[type], (float)worst[4]);
    lm_vk_set_free(vk, &t.set);
    lm_vk_set_free(vk, &t.vector);
    lm_vk_buffer_free(vk, &t.values);
    lm_vk_buffer_free(vk, &t.tables);
    lm_vk_unlock(vk);
    lm_vk_weight_free(&vk->base, (lm_weight *)t.weight);
    lm_mem_free(mem, t.rows);
    lm_mem_free(mem, t.host);
    if (status < 0)
        return status;
    bool right = worst[0] <= 1e-6 && worst[1] <= 1e-6 && worst[2] <= 1e-6 && worst[3] <= 1e-6, wide = worst[4] <= 1e-6;
    if (!wide)
        atomic_store_explicit(&vk->wide_wrong[type], 1, memory_order_relaxed);
    atomic_store_explicit(&vk->tested[type], right ? 1 : 2, memory_order_release);
    lm_log(vk->base.host, right && wide ? LLM_LOG_DEBUG : LLM_LOG_WARN, "Vulkan: %s with weights of type %s: off by %g, %g, %g, %g, %g", vk->caps.name, info->name, worst[0], worst[1], worst[2], worst[3], worst[4]);
    return right ? LLM_OK : lm_fail(error, LLM_E_UNSUPPORTED, "%s computes wrongly with weights of type %s: off by %g, %g, %g, %g", vk->caps.name, info->name, worst[0], worst[1], worst[2], worst[3]);
}

llm_status lm_vk_test(lm_backend *backend, llm_error *error)
{
    lm_vk *vk = (lm_vk *)backend;
    llm_status wrong = LLM_OK;
    for (uint32_t type = 0; type < LM_COUNT(vk->tested); type++) {
        if (!lm_type_get(type) || !lm_vk_type_can(type))
            continue;
        llm_status status = lm_vk_selftest(vk, type, wrong == LLM_OK ? error : NULL);      /* the first that is wrong is told */
        if (status == LLM_E_UNSUPPORTED)
            wrong = status;
        else if (status < 0)
            return status;
    }
    LM_TRY(lm_vk_selftest_ops(vk, wrong == LLM_OK ? error : NULL));
    for (uint32_t kind = 0; kind < LM_OP_COUNT; kind++)
        if (lm_vk_selftest_kind(vk, kind, wrong == LLM_OK ? error : NULL) < 0)
            wrong = LLM_E_UNSUPPORTED;
    return wrong;
}
#undef SELFTEST_EPS
