/* SPDX-License-Identifier: MIT
 * The device and a program on it as text, for people and bug reports. Owns nothing. Threads: any. */
#include "backend/vulkan/vulkan.h"

/* Text that knows how long it would have been. */
typedef struct report_text { char *out; size_t cap, n; } report_text;

LM_PRINTF(2, 3) static void report_print(report_text *text, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    size_t n = lm_format(line, sizeof line, format, args);
    va_end(args);
    for (size_t i = 0; i < n; i++, text->n++)
        if (text->n + 1 < text->cap)
            text->out[text->n] = line[i];
}

static size_t report_end(report_text *text)
{
    if (text->cap)
        text->out[LM_MIN(text->n, text->cap - 1)] = 0;
    return text->n;
}

static const char *report_kind(int32_t kind)
{
    return kind == LLM_DEVICE_KIND_DISCRETE ? "discrete" : kind == LLM_DEVICE_KIND_INTEGRATED ? "integrated" : "software";
}

static const char *report_yes(bool there) { return there ? "yes" : "no"; }

static void report_device(const lm_vk *vk, report_text *text)
{
    const lm_vk_caps *c = &vk->caps;
    report_print(text, "name: %s\nkind: %s\n", c->name, report_kind(c->kind));
    report_print(text, "vulkan: %u.%u.%u\ndriver version: 0x%x, vendor 0x%x, device 0x%x\n", c->api_version >> 22 & 0x7f, c->api_version >> 12 & 0x3ff, c->api_version & 0xfff,
                 c->driver_version, c->vendor, c->device);
}

size_t lm_vk_report(lm_backend *backend, char *out, size_t cap)
{
    lm_vk *vk = (lm_vk *)backend;
    const lm_vk_caps *c = &vk->caps;
    report_text text = { out, cap, 0 };
    unsigned long long mib = 1024 * 1024;
    lm_vk_lock(vk);
    report_device(vk, &text);
    report_print(&text, "memory: %llu MiB, free %llu MiB, held %llu MiB\n", c->memory_total / mib, lm_vk_memory_free(vk) / mib, (unsigned long long)atomic_load_explicit(&vk->device_bytes, memory_order_relaxed) / mib);
    report_print(&text, "limits: buffers %llu MiB, allocations %llu MiB, shared memory %u bytes, subgroups of %u\n", c->max_range / mib, c->max_slab / mib, c->shared_bytes, c->subgroup);
    report_print(&text, "features: float16 %s, int8 %s, 16-bit storage %s, 8-bit storage %s, integer dot product %s\n", report_yes(c->float16), report_yes(c->int8),
                 report_yes(c->storage16), report_yes(c->storage8), report_yes(c->int_dot));
    report_print(&text, "shaders: %u modules, %u pipelines made, %llu submissions of at most %u ms\n", (unsigned)LM_VK_MODULES, vk->n_pipelines, (unsigned long long)vk->n_submits, vk->submit_ms);
    if (atomic_load(&vk->lost))
        report_print(&text, "the device is lost\n");
    for (uint32_t type = 0; type < LM_COUNT(vk->tested); type++) {
        uint8_t tested = atomic_load(&vk->tested[type]);
        if (tested != 0)
            report_print(&text, "self-test %s: %s, off by %g\n", lm_type_get(type)->name, tested == 1 ? "right" : "WRONG, not used", (double)vk->tested_worst[type]);
        if (tested != 0 && atomic_load(&vk->wide_wrong[type]))
            report_print(&text, "self-test %s handed round subgroups: WRONG, not used, off by %g\n", lm_type_get(type)->name, (double)vk->wide_worst[type]);
    }
    for (uint32_t kind = 0; kind < LM_OP_COUNT && atomic_load(&vk->ops_tested); kind++)
        report_print(&text, "self-test %s: %s, off by %g\n", lm_op_name(kind), atomic_load(&vk->ops_wrong[kind]) ? "WRONG, not used" : "right", (double)vk->ops_worst[kind]);
    lm_vk_unlock(vk);
    return report_end(&text);
}

/* What the program's shape, the device and the driver do not say yet: the kernels that will be chosen. They follow a fixed rule of rows,
 * sizes and what the self-tests let pass, so the device's lines, this one and the program are the plan record. */
size_t lm_vk_exec_report(lm_backend *backend, const lm_exec *handle, char *out, size_t cap)
{
    const lm_vk *vk = (const lm_vk *)backend;
    const lm_vk_exec *exec = (const lm_vk_exec *)handle;
    report_text text = { out, cap, 0 };
    uint32_t n_shards = 0, n_matrices = 0;
    report_device(vk, &text);
    for (uint32_t w = 0; w < exec->program->n_weights; w++)
        if (!exec->program->weights[w].is_vector) {
            n_matrices++;
            n_shards += exec->weights[w]->n_shards;
        }
    report_print(&text, "matrices: %u in %u shards of at most %llu MiB; at most %u dispatches a pass\n", n_matrices, n_shards, (unsigned long long)(vk->caps.max_range >> 20),
                 exec->max_dispatches);
    for (uint32_t type = 0; type < LM_COUNT(vk->wide_wrong); type++) {
        bool used = false;
        for (uint32_t w = 0; w < exec->program->n_weights && !used; w++)
            used = !exec->program->weights[w].is_vector && exec->program->weights[w].type == type;
        if (used)
            report_print(&text, "products of many columns, %s: %s\n", lm_type_get(type)->name, lm_vk_wide(vk, type) ? "wide" : "many");
    }
    return report_end(&text);
}
