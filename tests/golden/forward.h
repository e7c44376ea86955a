/* SPDX-License-Identifier: MIT
 * Drives a model through backend.h alone: pages, rows, passes. For tests that look at every logit, without the session floor. */
#ifndef FORWARD_H
#define FORWARD_H

#include "model/model.h"

enum { FORWARD_SLOTS = 4, FORWARD_CTX = 512 };

typedef struct forward {
    lm_host host;
    lm_backend *backend;
    lm_model *model;
    lm_pool *pool;
    lm_run_arena *arena;
    uint32_t max_rows;
    int64_t deadline_us;                /* bound of each run_step; 0: none */
    uint64_t n_steps;                   /* run_step calls so far */
    llm_error error;
} forward;

/* One sequence: how far it is and its pages. */
typedef struct forward_seq { uint32_t n_tokens; uint32_t pages[LM_MAX_PAGE_CLASSES][FORWARD_CTX / LM_PAGE_POSITIONS + 1], n_pages[LM_MAX_PAGE_CLASSES]; } forward_seq;

/* What one sequence does in a pass. logits: [n][n_vocab], or NULL where none are wanted. */
typedef struct forward_part { forward_seq *seq; const llm_token *tokens; uint32_t n; float *logits; } forward_part;

/* lm_load.place of the models opened from here on, with their host; or NULL. What it opens is closed with the forward. */
extern llm_status (*forward_place)(void *user, const lm_program *program, uint32_t n_layers, lm_backend **backend, llm_error *error);

/* Takes over the backend, which may be NULL: then a CPU one of `tier` and `threads` is opened. */
llm_status forward_open(forward *f, const char *path, lm_backend *backend, int32_t tier, int32_t threads, int32_t state_type, uint32_t max_rows);
llm_status forward_load(lm_host *host, lm_backend *backend, const char *path, const lm_load *load, lm_model **out, llm_error *error);
llm_status forward_pass(forward *f, const forward_part *parts, uint32_t n_parts);
void       forward_drop(forward *f, forward_seq *seq);
void       forward_close(forward *f);

/* tokens in passes of `chunk` rows on a fresh sequence; logits [n][n_vocab]. */
llm_status forward_all(forward *f, const llm_token *tokens, uint32_t n, uint32_t chunk, float *logits);

#endif
