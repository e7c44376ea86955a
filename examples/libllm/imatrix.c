/* SPDX-License-Identifier: MIT
 * libllm imatrix: an importance matrix from a text: lets the model read it in windows and writes what its matrices were multiplied with. */
#include "tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMATRIX_CTX = 512 };

typedef struct imatrix_state {
    const tool_args *args;
    tool_model   opened;
    llm_session *session;
    llm_token   *tokens;
    size_t       n_tokens;
    int32_t      n_ctx, n_windows;
} imatrix_state;

static int imatrix_text(imatrix_state *m)
{
    const tool_args *args = m->args;
    const llm_tokenizer *tokenizer = llm_model_tokenizer(m->opened.model);
    size_t len = 0;
    char *text = tool_read_file(args->prompt_file, &len);
    llm_error error;
    int code = TOOL_OK;

    if (!text) {
        fprintf(stderr, "libllm imatrix: cannot read %s: %s\n", args->prompt_file, strerror(errno));
        code = TOOL_FAILED;
    } else if (!tokenizer) {
        fprintf(stderr, "libllm imatrix: this model has no tokenizer\n");
        code = TOOL_FAILED;
    } else if (!(m->tokens = malloc((len + 2) * sizeof *m->tokens))) {
        fprintf(stderr, "libllm imatrix: no memory for the tokens of %zu bytes\n", len);
        code = TOOL_FAILED;
    } else if (llm_tokenizer_encode(tokenizer, text, len, LLM_ENCODE_ADD_SPECIAL | (args->parse_special ? LLM_ENCODE_PARSE_SPECIAL : 0), m->tokens, len + 2,
                                    &m->n_tokens, &error) != LLM_OK) {
        code = tool_fail(args, "cannot encode the text", &error);
    }
    free(text);
    return code;
}

/* One window: all of it is scored, so that the last layer sees every row. */
static int imatrix_window(imatrix_state *m, int32_t index)
{
    llm_error error;
    llm_status status = llm_session_sync(m->session, NULL, 0, 0, &error);

    if (status == LLM_OK)
        status = llm_session_append(m->session, m->tokens + (size_t)index * (size_t)m->n_ctx, (size_t)m->n_ctx, LLM_APPEND_SCORE, &error);
    while (status == LLM_OK && (status = llm_session_step(&m->session, 1, LLM_FOREVER, 0, &error)) == LLM_MORE)
        status = LLM_OK;
    if (status < 0)
        return tool_fail(m->args, "cannot take in a window", &error);
    if (tool_interrupted() || llm_session_state(m->session) == LLM_END_CANCELLED) {
        fprintf(stderr, "libllm imatrix: interrupted\n");
        return TOOL_INTERRUPTED;
    }
    return TOOL_OK;
}

static int imatrix_read(imatrix_state *m)
{
    bool terminal = isatty(STDERR_FILENO);
    double start = tool_seconds();

    for (int32_t i = 0; i < m->n_windows; i++) {
        int code = imatrix_window(m, i);
        if (code != TOOL_OK)
            return code;
        if (!m->args->quiet && (terminal || i + 1 == m->n_windows))
            fprintf(stderr, "%swindow %d of %d, %.0f s left%s", terminal ? "\r" : "", i + 1, m->n_windows,
                    (tool_seconds() - start) / (i + 1) * (m->n_windows - i - 1), i + 1 == m->n_windows ? "   \n" : "   ");
    }
    return TOOL_OK;
}

static int imatrix_write(imatrix_state *m)
{
    llm_sink sink = LLM_INIT(llm_sink);
    llm_importance_desc desc = LLM_INIT(llm_importance_desc);
    llm_error error;

    sink.path = m->args->output;
    sink.path_len = LLM_NUL;
    desc.flags = m->args->process_output ? LLM_IMPORTANCE_OUTPUT : 0;
    desc.dataset = m->args->prompt_file;
    desc.dataset_len = LLM_NUL;
    desc.n_chunks = m->n_windows;
    desc.chunk_tokens = m->n_ctx;
    if (llm_model_write_importance(m->opened.model, &sink, &desc, &error) != LLM_OK)
        return tool_fail(m->args, "cannot write the importance matrix", &error);
    return TOOL_OK;
}

static int imatrix_open(imatrix_state *m)
{
    const tool_args *args = m->args;
    llm_session_desc session = LLM_INIT(llm_session_desc);
    llm_error error;
    int code = tool_open(args, (int32_t)args->n_threads, LLM_MODEL_OBSERVE, &m->opened);

    if (code == TOOL_OK)
        code = imatrix_text(m);
    if (code != TOOL_OK)
        return code;
    m->n_ctx = args->n_ctx ? (int32_t)args->n_ctx : IMATRIX_CTX;
    m->n_windows = (int32_t)(m->n_tokens / (size_t)m->n_ctx);
    if (args->chunks > 0 && args->chunks < m->n_windows)
        m->n_windows = (int32_t)args->chunks;
    if (m->n_windows == 0) {
        fprintf(stderr, "libllm imatrix: %s has %zu tokens, a window needs %d: give more text, or a smaller window with -c\n", args->prompt_file,
                m->n_tokens, m->n_ctx);
        return TOOL_FAILED;
    }
    session.n_ctx = m->n_ctx;
    session.state_type = args->state_type;
    if (llm_session_create(m->opened.model, &session, &m->session, &error) != LLM_OK)
        return tool_fail(args, "cannot start a session", &error);
    tool_watch(m->session);
    return TOOL_OK;
}

int imatrix_main(const tool_args *args)
{
    imatrix_state m = { .args = args };
    int code;

    tool_catch_interrupts();
    code = imatrix_open(&m);
    if (code == TOOL_OK)
        code = imatrix_read(&m);
    if (code == TOOL_OK)
        code = imatrix_write(&m);
    tool_watch(NULL);
    llm_session_free(m.session);
    tool_close(&m.opened);
    free(m.tokens);
    return code;
}
