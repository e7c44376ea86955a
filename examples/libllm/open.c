/* SPDX-License-Identifier: MIT
 * Opens an engine and a model as the options say, with a progress bar on a terminal. */
#define _POSIX_C_SOURCE 200809L
#include "shape.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef TOOL_BOX
#define TOOL_BOX "examples/box/box-q8_0.gguf"    /* the build says where the tree lies */
#endif

typedef struct open_progress { bool bar; int shown; } open_progress;

/* As installed, PREFIX/bin/libllm and PREFIX/share/libllm; a tree may be moved as a whole. In a build: where the sources lie. */
const char *tool_box(void)
{
    static const char tail[] = "/../share/libllm/box-q8_0.gguf";
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof tail);

    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n > 1) {
        memcpy(path + n - 1, tail, sizeof tail);
        if (access(path, R_OK) == 0)
            return path;
    }
    return access(TOOL_BOX, R_OK) == 0 ? TOOL_BOX : NULL;
}

void tool_bar(const char *doing, float fraction, int *shown)
{
    enum { WIDTH = 40 };
    int percent = (int)(fraction * 100);

    if (percent != *shown) {
        char bar[WIDTH + 1];
        int done = percent * WIDTH / 100;
        done = done < 0 ? 0 : done > WIDTH ? WIDTH : done;
        memset(bar, '.', WIDTH);
        memset(bar, '#', (size_t)done);
        bar[WIDTH] = 0;
        fprintf(stderr, "\r%s [%s] %3d%%", doing, bar, percent);
        fflush(stderr);
        *shown = percent;
    }
}

static int32_t open_on_progress(void *user, float fraction)
{
    open_progress *p = user;

    if (p->bar)
        tool_bar("loading", fraction, &p->shown);
    return tool_interrupted();
}

void tool_on_log(void *user, int32_t level, const char *text, size_t len)
{
    static const char *const names[] = { "", "error", "warning", "info", "debug" };
    (void)user;
    fprintf(stderr, "[%s] %.*s\n", level >= 1 && level <= 4 ? names[level] : "log", (int)len, text);
}

/* Where the model lies: on the GPU, or in which parts on GPU and processor, as the first lines of its plan say. */
static void open_tell(const tool_model *m, bool newline)
{
    llm_error error;
    size_t n = 0;
    fprintf(stderr, "%son %s\n", newline ? "\n" : "", m->device);
    if (llm_model_plan(m->model, NULL, 0, &n, &error) != LLM_OK)
        return;
    n += 256;                           /* what may be found out meanwhile */
    char *text = malloc(n);
    if (text && llm_model_plan(m->model, text, n, &n, &error) == LLM_OK)
        for (char *line = strtok(text, "\n"); line && strncmp(line, "part ", 5) == 0; line = strtok(NULL, "\n"))
            fprintf(stderr, "   %s\n", line);
    free(text);
}

int tool_open(const tool_args *args, int32_t n_threads, uint32_t model_flags, tool_model *out)
{
    llm_error error;
    llm_engine_desc engine = LLM_INIT(llm_engine_desc);
    llm_model_desc model = LLM_INIT(llm_model_desc);
    llm_engine_info info = LLM_INIT(llm_engine_info);
    const llm_logger logger = { .struct_size = sizeof(llm_logger), .level = args->verbose ? LLM_LOG_DEBUG : LLM_LOG_WARN, .write = tool_on_log };
    open_progress progress = { !args->quiet && isatty(STDERR_FILENO), -1 };
    const llm_source *part = &out->source;
    llm_status status;
    double start;
    int code;

    memset(out, 0, sizeof *out);
    engine.n_threads = n_threads;
    engine.n_chunk = (int32_t)args->n_chunk;
    engine.cpu_tier = tool_cpu_tier(args);
    engine.logger = args->verbose || (args->pack && !args->quiet) ? &logger : NULL;
    engine.flags = tool_wants_gpus(args) && !(model_flags & LLM_MODEL_VOCAB_ONLY) ? LLM_ENGINE_GPUS : 0;
    if (llm_engine_create(LLM_ABI, &engine, &out->engine, &error) != LLM_OK)
        return tool_fail(args, "cannot start", &error);
    if (llm_engine_get_info(out->engine, &info, &error) == LLM_OK && args->cpu_tier && info.cpu_tier != args->cpu_tier && !args->quiet)
        fprintf(stderr, "this machine or build has no %s kernels: using %s\n", tool_tier_name(args->cpu_tier), tool_tier_name(info.cpu_tier));

    code = engine.flags & LLM_ENGINE_GPUS ? tool_choose(args, out->engine, &model.device, out->device) : TOOL_OK;
    if (code != TOOL_OK)
        return code;

    out->source = (llm_source)LLM_INIT(llm_source);
    if (args->shape) {
        char why[160];
        out->shape = shape_create(args->shape, args->type, args->weight_seed, why);
        if (!out->shape)
            return tool_usage(args, "%s", why);
        out->reader = (llm_reader)LLM_INIT(llm_reader);
        out->reader.size = shape_bytes(out->shape);
        out->reader.user = out->shape;
        out->reader.read = shape_read;
        out->source.kind = LLM_SOURCE_READER;
        out->source.reader = &out->reader;
    } else {
        out->source.kind = LLM_SOURCE_PATH;
        out->source.path = args->model;
        out->source.path_len = LLM_NUL;
    }
    model.flags = model_flags;
    model.progress = open_on_progress;
    model.user = &progress;
    model.pack = args->pack;
    model.pack_len = args->pack ? LLM_NUL : 0;
    model.n_device_layers = (int32_t)args->device_layers;
    start = tool_seconds();
    status = llm_model_load_from(out->engine, &part, 1, &model, &out->model, &error);
    if (model.device && !args->device && (status == LLM_E_MEMORY || status == LLM_E_UNSUPPORTED || status == LLM_E_DEVICE_LOST || status == LLM_E_NO_DEVICE || status == LLM_E_LIMIT ||
                                          status == LLM_E_INTERNAL)) {
        if (!args->quiet)                               /* nobody asked for the GPU */
            fprintf(stderr, "libllm %s: not on %s: %s (%s)\n", args->name, out->device, error.message, llm_status_name(status));
        model.device = 0;
        out->device[0] = 0;
        progress.shown = -1;
        status = llm_model_load_from(out->engine, &part, 1, &model, &out->model, &error);
    }
    if (out->device[0] && status == LLM_OK && !args->quiet)
        open_tell(out, progress.shown >= 0);
    out->load_seconds = tool_seconds() - start;
    if (progress.shown >= 0)
        fprintf(stderr, "\r%60s\r", "");
    if (status != LLM_OK) {
        char doing[512];
        snprintf(doing, sizeof doing, "cannot load %.400s", args->shape ? "the random weights" : args->model);
        return tool_fail(args, doing, &error);
    }
    return TOOL_OK;
}

void tool_close(tool_model *model)
{
    llm_model_free(model->model);
    llm_engine_free(model->engine);
    shape_free(model->shape);
    memset(model, 0, sizeof *model);
}
