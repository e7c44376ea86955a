/* SPDX-License-Identifier: MIT
 * Shaders and what they are bound to. All pipelines share one layout: set 0 is the memory of a pass, sets 1 to 3 are one buffer each
 * (a weight, a vector or a second one, a stream of state), 128 bytes of push constants. Pipelines are made when first asked for and kept.
 * What a module needs is read from its SPIR-V by tools/spirv_table.c, never repeated here. Threads: under `gpu`, which is let go of while a
 * driver compiles: that may take seconds, and others have work meanwhile. One compiles at a time, under `compile`. */
#define LM_VK_MODULE_DATA 1
#include "backend/vulkan/vulkan.h"

#include <string.h>

_Static_assert(LM_COUNT(lm_vk_module_table) == LM_VK_MODULES && LM_VK_MODULES <= 120, "few modules");

static const uint32_t pipelines_bindings[LM_VK_SET_KINDS] = { 3, 1 };   /* storage buffers of a set, by LM_VK_SET_* */

const lm_vk_module *lm_vk_module_get(uint32_t module) { return &lm_vk_module_table[module]; }
const lm_vk_spec *lm_vk_spec_get(uint32_t i) { return i < LM_COUNT(lm_vk_spec_table) ? &lm_vk_spec_table[i] : NULL; }
int32_t lm_vk_module_few(uint32_t type) { return type < 64 ? (int32_t)lm_vk_linear_few_of_type[type] - 1 : -1; }
int32_t lm_vk_module_many(uint32_t type) { return type < 64 ? (int32_t)lm_vk_linear_many_of_type[type] - 1 : -1; }
int32_t lm_vk_module_wide(uint32_t type) { return type < 64 ? (int32_t)lm_vk_linear_wide_of_type[type] - 1 : -1; }
int32_t lm_vk_module_embed(uint32_t type) { return type < 64 ? (int32_t)lm_vk_embed_of_type[type] - 1 : -1; }

/* ---- layouts */

static llm_status pipelines_layouts(lm_vk *vk, llm_error *error)
{
    VkDescriptorSetLayout sets[LM_VK_SETS];
    for (int kind = 0; kind < LM_VK_SET_KINDS; kind++) {
        VkDescriptorSetLayoutBinding bindings[3];
        for (uint32_t i = 0; i < 3; i++)
            bindings[i] = (VkDescriptorSetLayoutBinding){ .binding = i, .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = 1, .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT };
        VkDescriptorSetLayoutCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = pipelines_bindings[kind], .pBindings = bindings };
        VkResult result = vk->fn.CreateDescriptorSetLayout(vk->device, &info, NULL, &vk->set_layouts[kind]);
        if (result != VK_SUCCESS) {
            vk->set_layouts[kind] = VK_NULL_HANDLE;
            return lm_vk_fail(vk, result, "a descriptor set's layout", error);
        }
    }
    for (int i = 0; i < LM_VK_SETS; i++)
        sets[i] = vk->set_layouts[i == 0 ? LM_VK_SET_VALUES : LM_VK_SET_ONE];
    VkPushConstantRange push = { VK_SHADER_STAGE_COMPUTE_BIT, 0, LM_VK_PUSH_WORDS * 4 };
    VkPipelineLayoutCreateInfo info = { .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = LM_VK_SETS, .pSetLayouts = sets, .pushConstantRangeCount = 1,
                                        .pPushConstantRanges = &push };
    VkResult result = vk->fn.CreatePipelineLayout(vk->device, &info, NULL, &vk->layout);
    if (result != VK_SUCCESS) {
        vk->layout = VK_NULL_HANDLE;
        return lm_vk_fail(vk, result, "a pipeline's layout", error);
    }
    return LLM_OK;
}

/* Modules and the layout agree: what the reflected table says they bind exists. */
static llm_status pipelines_check(llm_error *error)
{
    uint32_t there = 0x07 | 0x01 << 8 | 0x01 << 16 | 0x01u << 24;
    for (uint32_t i = 0; i < LM_VK_MODULES; i++) {
        const lm_vk_module *m = &lm_vk_module_table[i];
        if ((m->bindings & ~there) || m->push_bytes > LM_VK_PUSH_WORDS * 4 || m->local != 64 || (m->capabilities & ~(uint32_t)(LM_VK_CAN_SHADER | LM_VK_CAN_SUBGROUPS | LM_VK_CAN_SHUFFLE)))
            return lm_fail(error, LLM_E_INTERNAL, "module %s: bindings 0x%x, %u bytes of push constants, %u invocations, capabilities 0x%x", m->name, m->bindings, m->push_bytes,
                           m->local, m->capabilities);
    }
    return LLM_OK;
}

llm_status lm_vk_pipelines_open(lm_vk *vk, llm_error *error)
{
    VkPipelineCacheCreateInfo cache = { .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO };
    LM_TRY(pipelines_check(error));
    LM_TRY(pipelines_layouts(vk, error));
    VkResult result = vk->fn.CreatePipelineCache(vk->device, &cache, NULL, &vk->cache);
    if (result != VK_SUCCESS) {
        vk->cache = VK_NULL_HANDLE;
        return lm_vk_fail(vk, result, "a cache of pipelines", error);
    }
    LM_TRY(lm_vk_buffer_new(vk, LM_VK_ALIGN, LM_VK_ON_DEVICE, &vk->none, error));
    VkDescriptorBufferInfo none = { vk->none.buffer, 0, LM_VK_ALIGN };
    return lm_vk_set_new(vk, LM_VK_SET_ONE, &none, &vk->none_set, error);
}

void lm_vk_pipelines_close(lm_vk *vk)
{
    lm_vk_set_free(vk, &vk->none_set);
    lm_vk_buffer_free(vk, &vk->none);
    bool hung = lm_vk_hung(vk);
    while (vk->pipelines) {
        lm_vk_pipeline *p = vk->pipelines;
        vk->pipelines = p->next;
        if (!hung)
            vk->fn.DestroyPipeline(vk->device, p->pipeline, NULL);
        lm_mem_free(&vk->base.host->mem, p);
    }
    while (vk->set_pools) {
        lm_vk_set_pool *p = vk->set_pools;
        vk->set_pools = p->next;
        if (!hung)
            vk->fn.DestroyDescriptorPool(vk->device, p->pool, NULL);
        lm_mem_free(&vk->base.host->mem, p);
    }
    if (vk->cache && !hung)
        vk->fn.DestroyPipelineCache(vk->device, vk->cache, NULL);
    if (vk->layout && !hung)
        vk->fn.DestroyPipelineLayout(vk->device, vk->layout, NULL);
    for (int kind = 0; kind < LM_VK_SET_KINDS; kind++)
        if (vk->set_layouts[kind] && !hung)
            vk->fn.DestroyDescriptorSetLayout(vk->device, vk->set_layouts[kind], NULL);
}

/* ---- descriptor sets */

static llm_status pipelines_pool(lm_vk *vk, llm_error *error)
{
    VkDescriptorPoolSize size = { VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, LM_VK_SETS_A_POOL * 3 };
    VkDescriptorPoolCreateInfo info = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .flags = VK_DESCRIPTOR_POOL_CREATE_FREE_DESCRIPTOR_SET_BIT,
                                        .maxSets = LM_VK_SETS_A_POOL, .poolSizeCount = 1, .pPoolSizes = &size };
    lm_vk_set_pool *pool = lm_mem_new(&vk->base.host->mem, sizeof *pool, LLM_MEMORY_OTHER);
    if (!pool)
        return lm_fail_memory(error, "a pool of descriptor sets", sizeof *pool);
    VkResult result = vk->fn.CreateDescriptorPool(vk->device, &info, NULL, &pool->pool);
    if (result != VK_SUCCESS) {
        lm_mem_free(&vk->base.host->mem, pool);
        return lm_vk_fail(vk, result, "a pool of descriptor sets", error);
    }
    pool->next = vk->set_pools;
    vk->set_pools = pool;
    return LLM_OK;
}

void lm_vk_set_write(lm_vk *vk, int kind, const VkDescriptorBufferInfo *buffers, const lm_vk_set *set)
{
    VkWriteDescriptorSet writes[3];
    vk->changes++;
    for (uint32_t i = 0; i < pipelines_bindings[kind]; i++)
        writes[i] = (VkWriteDescriptorSet){ .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstSet = set->set, .dstBinding = i, .descriptorCount = 1,
                                            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .pBufferInfo = &buffers[i] };
    vk->fn.UpdateDescriptorSets(vk->device, pipelines_bindings[kind], writes, 0, NULL);
}

llm_status lm_vk_set_new(lm_vk *vk, int kind, const VkDescriptorBufferInfo *buffers, lm_vk_set *out, llm_error *error)
{
    memset(out, 0, sizeof *out);
    lm_vk_set_pool *pool = vk->set_pools;
    while (pool && pool->used == LM_VK_SETS_A_POOL)
        pool = pool->next;
    if (!pool) {
        LM_TRY(pipelines_pool(vk, error));
        pool = vk->set_pools;
    }
    VkDescriptorSetAllocateInfo info = { .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO, .descriptorPool = pool->pool, .descriptorSetCount = 1, .pSetLayouts = &vk->set_layouts[kind] };
    VkResult result = vk->fn.AllocateDescriptorSets(vk->device, &info, &out->set);
    if (result != VK_SUCCESS) {
        out->set = VK_NULL_HANDLE;
        return lm_vk_fail(vk, result, "a descriptor set", error);
    }
    out->pool = pool;
    pool->used++;
    lm_vk_set_write(vk, kind, buffers, out);
    return LLM_OK;
}

void lm_vk_set_free(lm_vk *vk, lm_vk_set *set)
{
    if (!set->pool)
        return;
    vk->changes++;
    if (!lm_vk_hung(vk)) {
        vk->fn.FreeDescriptorSets(vk->device, set->pool->pool, 1, &set->set);
        set->pool->used--;
    }
    memset(set, 0, sizeof *set);
}

/* ---- pipelines */

/* The words of a module, to be freed. */
static uint32_t *pipelines_code(lm_vk *vk, const lm_vk_module *m, llm_error *error)
{
    uint32_t *words = lm_mem_new_array(&vk->base.host->mem, m->n_words, sizeof *words, LLM_MEMORY_OTHER);
    const uint8_t *from = m->code;
    if (!words) {
        lm_fail_memory(error, m->name, m->n_words * sizeof *words);
        return NULL;
    }
    for (uint32_t i = 0; i < m->n_words; i++) {
        uint32_t shift = 0;
        for (; *from & 128; from++, shift += 7)
            words[i] |= (uint32_t)(*from & 127) << shift;
        words[i] |= (uint32_t)*from++ << shift;
    }
    return words;
}

static llm_status pipelines_make(lm_vk *vk, lm_vk_pipeline *p, llm_error *error)
{
    const lm_vk_module *m = &lm_vk_module_table[p->module];
    VkSpecializationMapEntry entries[LM_VK_MAX_SPECS];
    for (uint32_t i = 0; i < LM_VK_MAX_SPECS; i++)
        entries[i] = (VkSpecializationMapEntry){ i, i * 4, 4 };
    VkSpecializationInfo specs = { LM_VK_MAX_SPECS, entries, sizeof p->specs, p->specs };
    VkShaderModuleCreateInfo code = { .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = (size_t)m->n_words * 4 };
    VkComputePipelineCreateInfo info = { .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, .layout = vk->layout };
    info.stage = (VkPipelineShaderStageCreateInfo){ .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT, .pName = "main",
                                                    .pSpecializationInfo = &specs };
    uint32_t *words = pipelines_code(vk, m, error);
    if (!words)
        return LLM_E_MEMORY;
    code.pCode = words;
    VkResult result = vk->fn.CreateShaderModule(vk->device, &code, NULL, &info.stage.module);
    lm_mem_free(&vk->base.host->mem, words);
    if (result != VK_SUCCESS)
        return lm_vk_fail(vk, result, m->name, error);
    result = vk->fn.CreateComputePipelines(vk->device, vk->cache, 1, &info, NULL, &p->pipeline);
    vk->fn.DestroyShaderModule(vk->device, info.stage.module, NULL);
    if (result == VK_SUCCESS && p->pipeline)                /* some drivers say yes and give none */
        return LLM_OK;
    return result == VK_SUCCESS ? lm_fail(error, LLM_E_NO_DEVICE, "Vulkan: the driver made no pipeline of %s", m->name) : lm_vk_fail(vk, result, m->name, error);
}

static lm_vk_pipeline *pipelines_find(const lm_vk *vk, uint32_t module, const uint32_t specs[LM_VK_MAX_SPECS])
{
    lm_vk_pipeline *p = vk->pipelines;
    while (p && (p->module != module || memcmp(p->specs, specs, sizeof p->specs) != 0))
        p = p->next;
    return p;
}

/* Only what shaders/variants.list names is ever made: the tests run all of that. */
static llm_status pipelines_listed(uint32_t module, const uint32_t specs[LM_VK_MAX_SPECS], llm_error *error)
{
    const lm_vk_module *m = &lm_vk_module_table[module];
    for (uint32_t i = 0; i < LM_COUNT(lm_vk_spec_table); i++) {
        const lm_vk_spec *s = &lm_vk_spec_table[i];
        bool found = s->n == 0 || strcmp(s->source, m->source) != 0;
        for (uint32_t v = 0; v < s->n; v++)
            found = found || specs[s->index] == s->values[v];
        if (!found)
            return lm_fail(error, LLM_E_INTERNAL, "module %s: %s %u is not in shaders/variants.list", m->name, s->name, specs[s->index]);
    }
    return LLM_OK;
}

/* Under `compile` alone. */
static llm_status pipelines_compile(lm_vk *vk, uint32_t module, const uint32_t specs[LM_VK_MAX_SPECS], lm_vk_pipeline **out, llm_error *error)
{
    LM_TRY(pipelines_listed(module, specs, error));
    lm_vk_pipeline *p = lm_mem_new(&vk->base.host->mem, sizeof *p, LLM_MEMORY_OTHER);
    if (!p)
        return lm_fail_memory(error, "a pipeline", sizeof *p);
    p->module = module;
    memcpy(p->specs, specs, sizeof p->specs);
    llm_status status = pipelines_make(vk, p, error);
    if (status < 0) {
        lm_mem_free(&vk->base.host->mem, p);
        return status;
    }
    *out = p;
    return LLM_OK;
}

llm_status lm_vk_pipeline_get(lm_vk *vk, uint32_t module, const uint32_t specs[LM_VK_MAX_SPECS], VkPipeline *out, llm_error *error)
{
    lm_vk_pipeline *p = pipelines_find(vk, module, specs);
    llm_status status = LLM_OK;
    if (!p) {
        lm_vk_unlock(vk);
        lm_mutex_lock(&vk->compile);
        lm_vk_lock_busy(vk);
        p = pipelines_find(vk, module, specs);              /* another may have made it meanwhile */
        if (!p) {
            lm_vk_unlock(vk);
            status = pipelines_compile(vk, module, specs, &p, error);
            lm_vk_lock_busy(vk);
            if (status >= 0) {
                p->next = vk->pipelines;
                vk->pipelines = p;
                vk->n_pipelines++;
            }
        }
        lm_mutex_unlock(&vk->compile);
    }
    if (status >= 0)
        *out = p->pipeline;
    return status;
}
