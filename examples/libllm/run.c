/* SPDX-License-Identifier: MIT
 * libllm run: continues a text, or talks line by line with one session. Only text goes to standard output. */
#define _POSIX_C_SOURCE 200809L
#include "lines.h"
#include "tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct run_state {
    const tool_args *args;
    tool_model  opened;
    llm_sampler *sampler;
    llm_session *session;
} run_state;

static int run_open(run_state *run)
{
    const tool_args *args = run->args;
    llm_error error;
    llm_session_desc session = LLM_INIT(llm_session_desc);
    int code = tool_open(args, (int32_t)args->n_threads, 0, &run->opened);

    if (code != TOOL_OK)
        return code;
    if (!llm_model_tokenizer(run->opened.model)) {
        fprintf(stderr, "libllm run: this file has no tokenizer, so there is no text to continue\n");
        return TOOL_FAILED;
    }
    code = sampling_make(args, run->opened.model, &run->sampler);
    if (code != TOOL_OK)
        return code;
    session.n_ctx = (int32_t)args->n_ctx;
    session.state_type = args->state_type;
    if (llm_session_create(run->opened.model, &session, &run->session, &error) != LLM_OK)
        return tool_fail(args, "cannot start a session", &error);
    tool_watch(run->session);
    return TOOL_OK;
}

static void run_close(run_state *run)
{
    tool_watch(NULL);
    llm_session_free(run->session);
    llm_sampler_free(run->sampler);
    tool_close(&run->opened);
}

static int run_append(run_state *run, const char *text, size_t len)
{
    uint32_t flags = run->args->parse_special ? LLM_APPEND_PARSE_SPECIAL : 0;
    llm_error error;

    if (llm_session_append_text(run->session, text, len, flags, &error) == LLM_OK)
        return TOOL_OK;
    tool_fail(run->args, "cannot take in the text", &error);
    if (error.status == LLM_E_CONTEXT_FULL)
        fprintf(stderr, "A larger context may help: -c N.\n");
    return TOOL_FAILED;
}

/* Generates one reply onto standard output. */
static int run_reply(run_state *run)
{
    const tool_args *args = run->args;
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_error error;
    llm_status status;

    if (args->n_predict == 0) {                     /* take in the text, draw nothing */
        while ((status = llm_session_step(&run->session, 1, LLM_FOREVER, 0, &error)) == LLM_MORE)
            continue;
        return status == LLM_OK ? TOOL_OK : tool_fail(args, "the model failed", &error);
    }
    reply.flags = args->ignore_end ? LLM_GENERATE_IGNORE_END : 0;
    reply.seed = args->seed;
    reply.max_tokens = args->n_predict > 0 ? (int32_t)args->n_predict : 0;
    reply.sampler = run->sampler;
    reply.stops = args->stops;
    reply.n_stops = (size_t)args->n_stops;
    if (llm_session_generate(run->session, &reply, &error) != LLM_OK) {
        tool_fail(args, "cannot begin a reply", &error);
        if (error.status == LLM_E_STATE)
            fprintf(stderr, "The text came to no token: give a prompt with -p.\n");
        return TOOL_FAILED;
    }
    do {
        char text[512];
        size_t n;
        status = llm_session_step(&run->session, 1, LLM_FOREVER, 0, &error);
        while ((n = llm_session_read_text(run->session, text, sizeof text)) > 0)
            fwrite(text, 1, n, stdout);
        fflush(stdout);
    } while (status == LLM_MORE && !ferror(stdout));
    if (status < 0)
        return tool_fail(args, "the model failed", &error);
    return TOOL_OK;
}

static void run_numbers(run_state *run)
{
    static const char *const ends[] = { "ready", "working", "end token", "stop text", "length (-n)", "context full (-c)", "interrupted", "grammar" };
    llm_session_info info = LLM_INIT(llm_session_info);
    int32_t state = llm_session_state(run->session);

    if (run->args->quiet || llm_session_get_info(run->session, &info, NULL) != LLM_OK)
        return;
    fprintf(stderr, "loaded in %.2f s; prompt %llu tokens, %.2f tokens/s; reply %llu tokens, %.2f tokens/s; end: %s",
            run->opened.load_seconds, (unsigned long long)info.n_prompt, info.prompt_us ? 1e6 * (double)info.n_prompt / (double)info.prompt_us : 0,
            (unsigned long long)info.n_generated, info.generate_us ? 1e6 * (double)info.n_generated / (double)info.generate_us : 0,
            state >= 0 && state <= LLM_END_GRAMMAR ? ends[state] : llm_status_name(state));
    if (run->args->temperature > 0)
        fprintf(stderr, "; seed %llu", (unsigned long long)run->args->seed);
    fputc('\n', stderr);
}

static int run_talk(run_state *run)
{
    bool terminal = isatty(STDIN_FILENO) && !run->args->quiet;
    lines *input = lines_open(terminal ? "> " : NULL);
    const char *line;
    size_t len = 0;
    int code = input ? TOOL_OK : TOOL_FAILED, got;

    if (terminal)
        fprintf(stderr, "The model continues your text. An empty line: go on. Ctrl-C: end a reply. Ctrl-D: end.\n");
    while (code == TOOL_OK && (got = lines_read(input, &line, &len)) != LINES_END) {
        if (got == LINES_INTERRUPT) {
            code = TOOL_INTERRUPTED;                /* Ctrl-C while nothing is in progress */
            break;
        }
        if (len > 0 && llm_session_n_tokens(run->session) > 0)
            code = run_append(run, "\n", 1);
        if (len > 0 && code == TOOL_OK)
            code = run_append(run, line, len);
        else if (len == 0 && llm_session_n_tokens(run->session) == 0)
            continue;
        if (code == TOOL_OK)
            code = run_reply(run);
        if (code == TOOL_INTERRUPTED)
            code = TOOL_OK;                         /* only this reply */
        tool_clear_interrupt();
        if (code != TOOL_OK)
            break;
        fputc('\n', stdout);
        fflush(stdout);
        if (terminal && llm_session_state(run->session) == LLM_END_CONTEXT)
            fprintf(stderr, "The context is full: start again, with a larger one if the memory allows (-c N).\n");
    }
    if (terminal)
        fputc('\n', stderr);
    lines_close(input);
    return code;
}

int run_main(const tool_args *args)
{
    run_state run = { .args = args };
    char *from_file = NULL;
    const char *prompt = args->prompt;
    size_t len = prompt ? strlen(prompt) : 0;
    int code;

    if (args->prompt_file) {
        prompt = from_file = tool_read_file(args->prompt_file, &len);
        if (!prompt) {
            fprintf(stderr, "libllm run: cannot read %s: %s\n", args->prompt_file, strerror(errno));
            return TOOL_FAILED;
        }
    }
    tool_catch_interrupts();
    code = run_open(&run);
    if (code == TOOL_OK && prompt) {
        code = run_append(&run, prompt, len);
        if (code == TOOL_OK && !args->hide_prompt) {
            fwrite(prompt, 1, len, stdout);
            fflush(stdout);
        }
        if (code == TOOL_OK)
            code = run_reply(&run);
        fputc('\n', stdout);
        if (code == TOOL_OK && tool_interrupted())
            code = TOOL_INTERRUPTED;
    } else if (code == TOOL_OK) {
        code = run_talk(&run);
    }
    fflush(stdout);
    if (run.session)
        run_numbers(&run);
    run_close(&run);
    free(from_file);
    return code;
}
