/* SPDX-License-Identifier: MIT
 * libllm devices: what there is to compute on, and what its self-test found. And the choice of one for the other commands. */
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *devices_kind(int32_t kind)
{
    return kind == LLM_DEVICE_KIND_CPU ? "processor" : kind == LLM_DEVICE_KIND_DISCRETE ? "discrete GPU" : kind == LLM_DEVICE_KIND_INTEGRATED ? "integrated GPU"
           : kind == LLM_DEVICE_KIND_SOFTWARE ? "processor that plays a GPU" : "unknown";
}

/* Higher is better; 0: never taken unless asked for by its number. */
static int devices_rank(const llm_device_info *info, bool software)
{
    return info->kind == LLM_DEVICE_KIND_DISCRETE ? 3 : info->kind == LLM_DEVICE_KIND_INTEGRATED ? 2 : info->kind == LLM_DEVICE_KIND_SOFTWARE ? software : 0;
}

/* The best GPU, 0: none. Loading tests what the model needs of it. */
static int32_t devices_best(llm_engine *engine, bool software, char name[TOOL_NAME])
{
    llm_device_info best = LLM_INIT(llm_device_info);
    int rank = 0;

    for (int32_t i = 0; i < llm_engine_device_count(engine); i++) {
        llm_device_info info = LLM_INIT(llm_device_info);
        if (llm_engine_device_info(engine, i, &info, NULL) != LLM_OK)
            continue;
        if (devices_rank(&info, software) > rank || (rank > 0 && devices_rank(&info, software) == rank && info.memory_total > best.memory_total)) {
            rank = devices_rank(&info, software);
            best = info;
        }
    }
    if (rank > 0)
        snprintf(name, TOOL_NAME, "%.*s", (int)best.name_len, best.name);
    return rank > 0 ? best.device : 0;
}

bool tool_wants_gpus(const tool_args *args)
{
    if (args->device)
        return strcmp(args->device, "cpu") != 0;
    return (args->command == TOOL_RUN || args->command == TOOL_PERPLEXITY) && args->cpu_tier == 0 && !tool_given(args, offsetof(tool_args, n_threads));
}

int tool_choose(const tool_args *args, llm_engine *engine, int32_t *device, char name[TOOL_NAME])
{
    llm_device_info info = LLM_INIT(llm_device_info);
    llm_error error;
    char *end;
    long number;

    *device = 0;
    name[0] = 0;
    if (!tool_wants_gpus(args))
        return TOOL_OK;
    if (!args->device || strcmp(args->device, "vulkan") == 0) {
        *device = devices_best(engine, args->device != NULL, name);
        if (*device || !args->device)
            return TOOL_OK;
        fprintf(stderr, "libllm %s: no GPU that could be used%s (libllm devices -v tells more)\n", args->name,
                llm_has(LLM_FEATURE_VULKAN) ? "" : ": this libllm was built without Vulkan");
        return TOOL_FAILED;
    }
    number = strtol(args->device, &end, 10);
    if (*end || end == args->device || number < 1 || number > 64)
        return tool_usage(args, "--device is \"%s\": expected cpu, vulkan, or a number of libllm devices", args->device);
    if (llm_engine_device_info(engine, (int32_t)number - 1, &info, &error) != LLM_OK)
        return tool_fail(args, "cannot use this device", &error);
    if (info.kind == LLM_DEVICE_KIND_CPU)
        return TOOL_OK;
    *device = info.device;
    snprintf(name, TOOL_NAME, "%.*s", (int)info.name_len, info.name);
    return TOOL_OK;
}

/* The text of a report, indented. */
static int devices_report(const tool_args *args, llm_engine *engine, int32_t device)
{
    llm_error error;
    size_t n = 0;
    char *text;

    if (llm_engine_device_report(engine, device, NULL, 0, &n, &error) != LLM_OK)
        return tool_fail(args, "cannot open this device", &error);
    n += 256;                           /* what may be found out meanwhile */
    text = malloc(n);
    if (!text || llm_engine_device_report(engine, device, text, n, &n, &error) != LLM_OK) {
        free(text);
        return tool_fail(args, "cannot tell of this device", &error);
    }
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        printf("     %s\n", line);
    free(text);
    return TOOL_OK;
}

int devices_main(const tool_args *args)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    static const llm_logger logger = { .struct_size = sizeof(llm_logger), .level = LLM_LOG_INFO, .write = tool_on_log };
    llm_engine *engine = NULL;
    llm_error error;
    int code = TOOL_OK;

    desc.flags = LLM_ENGINE_GPUS;
    desc.logger = args->verbose ? &logger : NULL;
    if (llm_engine_create(LLM_ABI, &desc, &engine, &error) != LLM_OK)
        return tool_fail(args, "cannot start", &error);
    for (int32_t i = 0; i < llm_engine_device_count(engine); i++) {
        llm_device_info info = LLM_INIT(llm_device_info);
        char total[32], left[32];
        llm_status status;
        if (llm_engine_device_info(engine, i, &info, &error) != LLM_OK) {
            code = tool_fail(args, "cannot tell of a device", &error);
            break;
        }
        printf("%3d  %.*s\n     %s", info.device, (int)info.name_len, info.name, devices_kind(info.kind));
        if (info.kind == LLM_DEVICE_KIND_CPU) {
            puts("");
            continue;
        }
        tool_bytes(info.memory_total, total);
        tool_bytes(info.memory_free, left);
        printf(", memory %s, free %s\n", total, left);
        if (!args->quiet)
            fprintf(stderr, "libllm devices: testing %.*s\n", (int)info.name_len, info.name);
        status = llm_engine_device_test(engine, info.device, &error);
        printf("     self-test: %s\n", status == LLM_OK ? "passed" : error.message);
        if (devices_report(args, engine, info.device) != TOOL_OK)
            code = TOOL_FAILED;
    }
    if (llm_engine_device_count(engine) == 1)
        printf("no GPU%s\n", llm_has(LLM_FEATURE_VULKAN) ? " (-v tells why)" : ": this libllm was built without Vulkan");
    llm_engine_free(engine);
    return code;
}
