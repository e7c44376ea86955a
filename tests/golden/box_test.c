/* SPDX-License-Identifier: MIT
 * The model in the box says what it said: golden transcripts (tools/box/transcripts.py), chosen where no rounding turns a choice over. Each by itself,
 * then all at once in one pass, with other threads, tiers and types of state. */
#include <llm.h>

#include "test.h"

enum { BOX_MOST = 64 };
typedef struct box_line { char *prompt, *reply; int n_tokens; } box_line;      /* n_tokens 0: to the end */

static box_line lines[BOX_MOST];
static int n_lines;

/* \n and \\ in place. */
static char *box_text(char *text)
{
    char *to = text;
    for (char *from = text; *from; from++)
        *to++ = *from != '\\' ? *from : *++from == 'n' ? '\n' : *from;
    *to = 0;
    return text;
}

static char *box_read(void)
{
    size_t size;
    char *file = test_read_file(LLM_TEST_TREE "/golden/box_transcripts.txt", &size);
    for (char *line = file ? strtok(file, "\n") : NULL; line; line = strtok(NULL, "\n")) {
        if (line[0] == 'P' && n_lines < BOX_MOST)
            lines[n_lines].prompt = box_text(line + 2);
        else if (line[0] == 'E')
            lines[n_lines++].reply = box_text(line + 2);
        else if (line[0] == 'C') {
            lines[n_lines].n_tokens = (int)strtol(line + 2, &line, 10);
            lines[n_lines++].reply = box_text(line + 1);
        }
    }
    return file;
}

static llm_session *box_start(llm_model *model, const box_line *line, int32_t state_type)
{
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_session *s = NULL;
    llm_error error;
    desc.state_type = state_type;
    reply.max_tokens = line->n_tokens;
    CHECK_MSG(llm_session_create(model, &desc, &s, &error) == LLM_OK &&
                  llm_session_append_text(s, line->prompt, LLM_NUL, LLM_APPEND_PARSE_SPECIAL, &error) == LLM_OK &&
                  llm_session_generate(s, &reply, &error) == LLM_OK, "%s", error.message);
    return s;
}

static void box_end(llm_session *s, const box_line *line, const char *what)
{
    char text[4096];
    size_t n = 0, got;
    while ((got = llm_session_read_text(s, text + n, sizeof text - n)) > 0)
        n += got;
    text[n] = 0;
    CHECK_MSG(strcmp(text, line->reply) == 0, "%s, \"%s\": said \"%s\", not \"%s\"", what, line->prompt, text, line->reply);
    CHECK_MSG(llm_session_state(s) == (line->n_tokens ? LLM_END_LENGTH : LLM_END_TOKEN), "%s, \"%s\": ended by %d", what, line->prompt,
              (int)llm_session_state(s));
    llm_session_free(s);
}

static void box_all(const char *what, int n_threads, int tier, int32_t state_type)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_session *sessions[BOX_MOST];
    llm_engine *engine = NULL;
    llm_model *model = NULL;
    llm_error error;
    llm_status status;
    desc.n_threads = n_threads;
    desc.cpu_tier = tier;
    if (!CHECK_MSG(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK &&
                       llm_model_load(engine, LLM_TEST_TREE "/../examples/box/box-q8_0.gguf", LLM_NUL, NULL, &model, &error) == LLM_OK, "%s", error.message)) {
        llm_engine_free(engine);
        return;
    }
    for (int i = 0; i < n_lines; i++) {
        sessions[0] = box_start(model, &lines[i], state_type);
        while ((status = llm_session_step(sessions, 1, LLM_FOREVER, 0, &error)) == LLM_MORE)
            continue;
        CHECK_MSG(status == LLM_OK, "%s", error.message);
        box_end(sessions[0], &lines[i], what);
    }
    for (int i = 0; i < n_lines; i++)
        sessions[i] = box_start(model, &lines[i], state_type);
    while ((status = llm_session_step(sessions, (size_t)n_lines, LLM_FOREVER, 0, &error)) == LLM_MORE)
        continue;
    CHECK_MSG(status == LLM_OK, "%s", error.message);
    for (int i = 0; i < n_lines; i++)
        box_end(sessions[i], &lines[i], "all at once");
    llm_model_free(model);
    llm_engine_free(engine);
}

int main(void)
{
    char *file = box_read();
    if (!CHECK_MSG(n_lines >= 12, "%d transcripts were read", n_lines))
        return TEST_DONE();
    box_all("f16 state", 1, 0, LLM_STATE_TYPE_F16);
    if (!TEST_EMULATED) {
        box_all("f32 state, 3 threads", 3, 0, LLM_STATE_TYPE_F32);
        box_all("int8 state, AVX2 at most, 2 threads", 2, LLM_CPU_AVX2, LLM_STATE_TYPE_INT8);
        box_all("AMX where there is, 2 threads", 2, LLM_CPU_AMX, LLM_STATE_TYPE_F16);
    }
    free(file);
    return TEST_DONE();
}
