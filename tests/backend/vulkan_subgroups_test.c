/* SPDX-License-Identifier: MIT
 * shaders/linear_wide.comp with subgroups of 8, 16, 32 and 64, which shared memory plays (SUBGROUPS_PLAYED), on whatever device there is: who
 * has which rows and columns, and whose items are handed to whom, beside plain double arithmetic. Rows, columns and k that no tile divides. */
#include "backend/vulkan/vulkan.h"
#include "tensor/blocks.h"
#include "base/half.h"

#include "vulkan_open.h"

#include "played_0.h"
#include "played_2.h"

enum { ROWS = 301, COLUMNS = 35, MOST_K = 224, ITEMS = COLUMNS * (MOST_K + ROWS) };

static float subgroups_rows[ROWS][MOST_K];
static float subgroups_left[ITEMS];

static float subgroups_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)((int32_t)(*state >> 40) - (1 << 23)) * 0x1p-23f;
}

/* The matrix on the device, and its values here. */
static llm_status subgroups_weight(lm_vk *vk, uint32_t type, uint32_t k, lm_weight **out, llm_error *error)
{
    static uint8_t bytes[ROWS * MOST_K * 4];
    lm_weight_info info = { .name = "played", .type = type, .n_rows = ROWS, .n_cols = k };
    uint64_t state = type + 1;
    for (uint32_t r = 0; r < ROWS; r++)
        for (uint32_t i = 0; i < k; i++) {
            if (type == LM_TYPE_F32) {
                subgroups_rows[r][i] = subgroups_random(&state);
                memcpy(bytes + ((size_t)r * k + i) * 4, &subgroups_rows[r][i], 4);
                continue;
            }
            lm_block_q4_0 *block = (lm_block_q4_0 *)(void *)bytes + ((size_t)r * k + i) / 32;
            uint32_t at = i % 32, quant = (uint32_t)((subgroups_random(&state) + 1) * 7.99f);
            if (at == 0) {
                memset(block, 0, sizeof *block);
                block->d = lm_f16_from_f32(subgroups_random(&state));
            }
            block->qs[at % 16] |= (uint8_t)(at < 16 ? quant : quant << 4);
            subgroups_rows[r][i] = lm_f32_from_f16(block->d) * (float)((int)quant - 8);
        }
    llm_status status = lm_vk_weight_begin(&vk->base, &info, out, error);
    if (status >= 0)
        status = lm_vk_weight_rows(&vk->base, *out, 0, ROWS, bytes, error);
    return status < 0 ? status : lm_vk_weight_end(&vk->base, *out, error);
}

static llm_status subgroups_pipeline(lm_vk *vk, uint32_t type, uint32_t lanes, VkPipeline *out, llm_error *error)
{
    const VkSpecializationMapEntry entry = { 4, 0, 4 };     /* LANES; the others are right as they are */
    VkSpecializationInfo specs = { 1, &entry, 4, &lanes };
    VkShaderModuleCreateInfo code = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = type ? sizeof played_2 : sizeof played_0, .pCode = type ? played_2 : played_0 };
    VkComputePipelineCreateInfo info = { .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, .layout = vk->layout };
    info.stage = (VkPipelineShaderStageCreateInfo){ .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT, .pName = "main",
                                                    .pSpecializationInfo = &specs };
    VkResult result = vk->fn.CreateShaderModule(vk->device, &code, NULL, &info.stage.module);
    if (result != VK_SUCCESS)
        return lm_vk_fail(vk, result, "played", error);
    result = vk->fn.CreateComputePipelines(vk->device, VK_NULL_HANDLE, 1, &info, NULL, out);
    vk->fn.DestroyShaderModule(vk->device, info.stage.module, NULL);
    return result == VK_SUCCESS ? LLM_OK : lm_vk_fail(vk, result, "played", error);
}

static llm_status subgroups_product(lm_vk *vk, const lm_vk_weight *w, const lm_vk_buffer *values, const lm_vk_set *set, uint32_t lanes, llm_error *error)
{
    const lm_vk_shard *shard = &w->shards[0];
    uint32_t k = (uint32_t)w->info.n_cols;
    lm_vk_push_linear_wide push = { .plane0 = shard->plane[0], .plane1 = shard->plane[1], .k = k, .blocks = w->blocks, .n = ROWS, .n_cols = COLUMNS, .x_stride = k,
                                    .y = COLUMNS * MOST_K, .y_stride = ROWS, .scale = 1 };
    lm_vk_dispatch d = { .push_bytes = sizeof push, .sets = { set->set, shard->set.set, vk->none_set.set, vk->none_set.set } };
    const uint32_t none[2] = { 0, 0 }, groups[2] = { (ROWS + 255) / 256, (COLUMNS + 15) / 16 };
    LM_TRY(subgroups_pipeline(vk, w->info.type, lanes, &d.pipeline, error));
    memcpy(d.push, &push, sizeof push);
    memset((float *)values->mapped + COLUMNS * MOST_K, 0xff, COLUMNS * ROWS * sizeof(float));
    llm_status status = lm_vk_begin(vk, error);
    if (status >= 0) {
        lm_vk_record(vk, &d, none, groups);
        status = lm_vk_submit(vk, error);
    }
    if (status >= 0)
        status = lm_vk_download(vk, values->buffer, 0, ITEMS * 4, subgroups_left, error);
    vk->fn.DestroyPipeline(vk->device, d.pipeline, NULL);
    return status;
}

static double subgroups_worst(const float *x, uint32_t k)
{
    double worst = 0;
    for (uint32_t c = 0; c < COLUMNS; c++)
        for (uint32_t r = 0; r < ROWS; r++) {
            double sum = 0, size = 1e-30, got = (double)subgroups_left[COLUMNS * MOST_K + c * ROWS + r];
            for (uint32_t i = 0; i < k; i++) {
                double term = (double)subgroups_rows[r][i] * (double)x[c * k + i];
                sum += term;
                size += term < 0 ? -term : term;
            }
            double off = (got > sum ? got - sum : sum - got) / size;
            worst = off <= worst ? worst : off;             /* a NaN counts */
        }
    return worst;
}

static llm_status subgroups_all(lm_vk *vk, uint32_t type, uint32_t k, uint32_t least, llm_error *error)
{
    lm_weight *weight = NULL;
    lm_vk_buffer values;
    lm_vk_set set;
    memset(&values, 0, sizeof values);
    memset(&set, 0, sizeof set);
    llm_status status = subgroups_weight(vk, type, k, &weight, error);
    lm_vk_lock(vk);
    if (status >= 0)
        status = lm_vk_buffer_new(vk, ITEMS * 4, LM_VK_TO_DEVICE, &values, error);
    VkDescriptorBufferInfo ranges[3] = { { values.buffer, 0, ITEMS * 4 }, { values.buffer, 0, ITEMS * 4 }, { values.buffer, 0, ITEMS * 4 } };
    if (status >= 0)
        status = lm_vk_set_new(vk, LM_VK_SET_VALUES, ranges, &set, error);
    uint64_t state = 9;
    for (uint32_t i = 0; status >= 0 && i < COLUMNS * k; i++)
        ((float *)values.mapped)[i] = subgroups_random(&state);
    for (uint32_t lanes = least; lanes <= 64 && status >= 0; lanes *= 2) {
        status = subgroups_product(vk, (const lm_vk_weight *)weight, &values, &set, lanes, error);
        double worst = status < 0 ? 0 : subgroups_worst(values.mapped, k);
        CHECK_MSG(worst <= 1e-6, "type %u, subgroups of %u: off by %g", type, lanes, worst);
        printf("type %u, subgroups of %u: off by %g\n", type, lanes, worst);
    }
    lm_vk_set_free(vk, &set);
    lm_vk_buffer_free(vk, &values);
    lm_vk_unlock(vk);
    lm_vk_weight_free(&vk->base, weight);
    return status;
}

int main(void)
{
    lm_host host;
    llm_error error;
    lm_backend *backend = NULL;
    llm_status status = vulkan_open(&host, (lm_vulkan_desc){ 0 }, &backend, &error);
    if (status == LLM_E_NO_DEVICE)
        return TEST_SKIP("%s", error.message);
    if (!CHECK_MSG(status == LLM_OK, "%s", error.message))
        return TEST_DONE();
    status = subgroups_all((lm_vk *)backend, LM_TYPE_F32, 205, 64, &error);
    if (CHECK_MSG(status == LLM_OK, "%s", error.message))
        CHECK_MSG(subgroups_all((lm_vk *)backend, LM_TYPE_Q4_0, 224, 8, &error) == LLM_OK, "%s", error.message);
    backend->table->close(backend);
    CHECK(host.mem.used == 0);
    CHECK_MSG(vulkan_messages == 0, "%u messages of the validation layers", vulkan_messages);
    return TEST_DONE();
}
