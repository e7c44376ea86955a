/* SPDX-License-Identifier: MIT
 * A character that speaks: all that the game has to do with libllm. One thread, the game's. */
#ifndef GAME_TALKER_H
#define GAME_TALKER_H

#include <llm.h>
#include <stdbool.h>

typedef struct talker {
    llm_engine  *engine;
    llm_model   *model;
    llm_session *session;
    llm_chat    *chat;
    llm_sampler *sampler;
    uint64_t     n_asked;
    bool         random;                    /* random weights: it has learnt no conversation */
    bool         thinking;                  /* there is work for the next frames */
} talker;

/* path NULL: random weights of this shape (1b, 135m, ...), which takes some seconds. n_threads 0: the library's choice. */
bool talker_open(talker *t, const char *path, const char *shape, int n_threads, llm_error *error);
void talker_close(talker *t);
/* A question that knows nothing of earlier ones. max_tokens 0: until the answer ends. */
bool talker_ask(talker *t, const char *question, int max_tokens, llm_error *error);
/* Once a frame: thinks for at most budget_us. */
bool talker_think(talker *t, int64_t budget_us, llm_error *error);
/* What is said next, at most cap - 1 bytes; 0: nothing now. It need not be fetched as fast as it is thought. */
size_t talker_read(talker *t, char *text, size_t cap);
/* Whether the question is still being taken in. */
bool talker_listens(const talker *t);

#endif
