/* SPDX-License-Identifier: MIT
 * A process that saves again and again is killed at 200 moments: what stands there then is always one whole save, the last or the one before. */
#include "saving.h"

#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *path = "save_kill.saved";

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void make(llm_session *s[2], llm_engine **engine, llm_model **model)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_token tokens[300];
    llm_error error;
    desc.n_threads = 1;
    tiny_open(&tiny_small, &desc, engine, model);
    for (int i = 0; i < 2; i++) {
        s[i] = tiny_session(*model, 0, 0);
        tiny_tokens(tokens, 300, tiny_small.n_vocab, 20 + (uint32_t)i);
        CHECK(llm_session_append(s[i], tokens, i ? 300 : 170, 0, &error) == LLM_OK && tiny_drain(s[i], LLM_FOREVER, &error) == LLM_OK);
    }
}

/* Two timelines in turn, until killed: each save says in its note which one it is. With an engine of its own; says when it begins. */
static void save_for_ever(int first, int ready)
{
    llm_error error;
    llm_engine *engine;
    llm_model *model;
    llm_session *s[2];
    make(s, &engine, &model);
    if (test_failures || write(ready, "", 1) != 1)
        _exit(1);
    for (int i = first;; i ^= 1) {
        llm_save_desc desc = LLM_INIT(llm_save_desc);
        desc.note = i ? "b" : "a";
        desc.note_len = 1;
        if (llm_session_save(s[i], path, LLM_NUL, &desc, &error) != LLM_OK)
            _exit(2);
    }
}

int main(void)
{
    llm_engine *engine;
    llm_model *model;
    llm_error error;
    llm_session *s[2], *back;
    uint64_t hash[2], x = 88172645463325252u;
    int seen[2] = { 0, 0 }, n_kills = TEST_EMULATED ? 20 : 200;
    make(s, &engine, &model);
    for (int i = 0; i < 2; i++)
        hash[i] = saving_hash(s[i]);
    back = tiny_session(model, 0, 0);
    remove(path);
    CHECK(llm_session_save(s[0], path, LLM_NUL, NULL, &error) == LLM_OK);
    int64_t begin = now_us();
    CHECK(llm_session_save(s[0], path, LLM_NUL, NULL, &error) == LLM_OK);
    int64_t span = now_us() - begin;
    span = span > 3000 ? 24000 : span < 100 ? 800 : span * 8;       /* some saves long, but not the test for ever */
    for (int i = 0; i < n_kills; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        int ready[2];
        char byte;
        if (!CHECK(pipe(ready) == 0))
            break;
        pid_t child = fork();
        if (child == 0)
            save_for_ever(i & 1, ready[1]);
        close(ready[1]);
        int began = child > 0 && read(ready[0], &byte, 1) == 1;
        close(ready[0]);
        if (!CHECK(began))
            break;
        usleep((useconds_t)(x % (uint64_t)span));
        int status = 0;
        CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        if (!CHECK_MSG(llm_session_restore(back, path, LLM_NUL, LLM_RESTORE_NEED_STATE, &error) == LLM_OK, "kill %d: %s", i, error.message))
            break;
        uint64_t got = saving_hash(back);
        CHECK_MSG(got == hash[0] || got == hash[1], "kill %d: what was restored was never saved", i);
        seen[got == hash[1]]++;
        for (int k = 0; k < 10; k++) {                      /* what the killed one was writing */
            char part[64];
            snprintf(part, sizeof part, "%s.part-%d", path, k);
            remove(part);
        }
    }
    printf("within %lld us, %d kills: %d and %d times the one and the other\n", (long long)span, n_kills, seen[0], seen[1]);
    CHECK(TEST_EMULATED || (seen[0] > 0 && seen[1] > 0));
    remove(path);
    for (int i = 0; i < 2; i++)
        llm_session_free(s[i]);
    llm_session_free(back);
    llm_model_free(model);
    llm_engine_free(engine);
    return TEST_DONE();
}
