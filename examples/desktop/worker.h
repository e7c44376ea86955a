/* SPDX-License-Identifier: MIT
 * The assistant behind the window: a thread of its own that holds engine, model, session and chat, and takes in and gives out text through one
 * small lock. The window never waits for it: the lock is held for copies only, never while something is computed.
 *
 *     window                                 worker
 *     worker_start  ---------------------->  loads, WORKER_LOADING -> WORKER_READY
 *     worker_ask    --- question --------->  WORKER_TALKING: step, read, step, read ... -> WORKER_READY
 *     worker_look   <-- text, figures -----
 *     worker_stop   --- llm_session_cancel ->  within 10 ms
 *     worker_end    --- the same, and joins */
#ifndef DESKTOP_WORKER_H
#define DESKTOP_WORKER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct worker worker;

enum { WORKER_LOADING, WORKER_READY, WORKER_TALKING, WORKER_FAILED };
typedef struct worker_view {
    int    state;                           /* WORKER_* */
    float  loaded;                          /* LOADING: 0 to 1 */
    double tokens_per_second;               /* of the last reply or the one in progress; 0: none yet */
    int    n_tokens, n_ctx;                 /* of the conversation; the context */
    bool   stopped;                         /* the last reply did not come to its end */
    char   model[64];                       /* its name, once loaded */
    char   words[384];                      /* FAILED: what went wrong; else a remark on the last reply, or empty */
} worker_view;

/* wake: called on the worker's thread when there is something to see. NULL: no memory, no thread. */
worker *worker_start(const char *model_path, int n_threads, void (*wake)(void *user), void *user);
/* False: it is not READY. */
bool    worker_ask(worker *w, const char *question);
void    worker_stop(worker *w);
/* How things are, and up to cap - 1 bytes of what was said since the last call. */
size_t  worker_look(worker *w, worker_view *view, char *text, size_t cap);
void    worker_end(worker *w);

#endif
