/* SPDX-License-Identifier: MIT
 * libllm quantize: a model file with smaller types. */
#include "tool.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const struct { const char *name; int32_t type; } quantize_types[] = {
    { "f32", LLM_FILE_F32 },       { "f16", LLM_FILE_F16 },       { "bf16", LLM_FILE_BF16 },     { "q8_0", LLM_FILE_Q8_0 },     { "q4_0", LLM_FILE_Q4_0 },
    { "q4_1", LLM_FILE_Q4_1 },     { "q5_0", LLM_FILE_Q5_0 },     { "q5_1", LLM_FILE_Q5_1 },     { "q4_k_s", LLM_FILE_Q4_K_S }, { "q4_k_m", LLM_FILE_Q4_K_M },
    { "q4_k", LLM_FILE_Q4_K_M },   { "q5_k_s", LLM_FILE_Q5_K_S }, { "q5_k_m", LLM_FILE_Q5_K_M }, { "q5_k", LLM_FILE_Q5_K_M },   { "q6_k", LLM_FILE_Q6_K },
    { "iq4_nl", LLM_FILE_IQ4_NL }, { "iq4_xs", LLM_FILE_IQ4_XS },
};

typedef struct quantize_bar { bool on; int shown; } quantize_bar;

static int32_t quantize_on_progress(void *user, float fraction)
{
    quantize_bar *bar = user;

    if (bar->on)
        tool_bar("quantizing", fraction, &bar->shown);
    return tool_interrupted();
}

static void quantize_tell(const tool_args *args, const llm_quantize_info *info, uint64_t memory_peak, double seconds)
{
    char in[32], out[32], peak[32];

    tool_bytes(info->bytes_in, in);
    tool_bytes(info->bytes_out, out);
    tool_bytes(memory_peak, peak);
    fprintf(stderr, "%s: %s of tensors became %s in %.1f s, with %s of memory: %u of %u changed their type", args->output, in, out, seconds, peak, info->n_quantized, info->n_tensors);
    if (args->imatrix)
        fprintf(stderr, ", %u by their importance", info->n_weighted);
    if (info->n_fallback)
        fprintf(stderr, "; %u have rows of odd lengths and got another type (-v tells which)", info->n_fallback);
    fputc('\n', stderr);
}

static int quantize_file(const tool_args *args, llm_engine *engine, int32_t type)
{
    llm_source from = LLM_INIT(llm_source), importance = LLM_INIT(llm_source);
    const llm_source *part = &from;
    llm_sink to = LLM_INIT(llm_sink);
    llm_quantize_desc desc = LLM_INIT(llm_quantize_desc);
    llm_quantize_info info = LLM_INIT(llm_quantize_info);
    llm_engine_info state = LLM_INIT(llm_engine_info);
    quantize_bar bar = { !args->quiet && isatty(STDERR_FILENO), -1 };
    double start = tool_seconds();
    llm_error error;
    llm_status status;

    from.path = args->model;
    from.path_len = LLM_NUL;
    to.path = args->output;
    to.path_len = LLM_NUL;
    importance.path = args->imatrix;
    importance.path_len = LLM_NUL;
    desc.file_type = type;
    desc.flags = (args->pure ? LLM_QUANTIZE_PURE : 0) | (args->keep_output ? LLM_QUANTIZE_KEEP_OUTPUT : 0);
    desc.importance = args->imatrix ? &importance : NULL;
    desc.progress = quantize_on_progress;
    desc.user = &bar;
    status = llm_model_quantize(engine, &part, 1, &to, &desc, &info, &error);
    if (bar.shown >= 0)
        fprintf(stderr, "\r%64s\r", "");
    if (status == LLM_E_CANCELLED) {
        fprintf(stderr, "libllm quantize: interrupted, nothing was written\n");
        return TOOL_INTERRUPTED;
    }
    if (status != LLM_OK) {
        char doing[512];
        snprintf(doing, sizeof doing, "cannot quantize %.400s", args->model);
        return tool_fail(args, doing, &error);
    }
    if (!args->quiet && llm_engine_get_info(engine, &state, &error) == LLM_OK)
        quantize_tell(args, &info, state.memory_peak, tool_seconds() - start);
    return TOOL_OK;
}

int quantize_main(const tool_args *args)
{
    static const llm_logger logger = { .struct_size = sizeof(llm_logger), .level = LLM_LOG_DEBUG, .write = tool_on_log };
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    llm_error error;
    int32_t type = 0;
    int code;

    for (size_t i = 0; i < sizeof quantize_types / sizeof quantize_types[0]; i++)
        if (strcasecmp(args->type, quantize_types[i].name) == 0)
            type = quantize_types[i].type;
    if (type == 0)
        return tool_usage(args, "no type \"%s\": expected q4_k_m, q5_k_m, q6_k, q8_0, iq4_xs, q4_0 or another one that --help names", args->type);
    desc.n_threads = (int32_t)args->n_threads;
    desc.logger = args->verbose ? &logger : NULL;
    if (llm_engine_create(LLM_ABI, &desc, &engine, &error) != LLM_OK)
        return tool_fail(args, "cannot start", &error);
    tool_catch_interrupts();
    code = quantize_file(args, engine, type);
    llm_engine_free(engine);
    return code;
}
