/* SPDX-License-Identifier: MIT
 * An engine: what the host gave (memory, log, threads), the devices, and the lanes in which passes run. Floor 9.
 * Does not know what a pass computes. Threads: shared; counts of references are atomic, lanes and the sessions' pass pointers
 * are under `lock`, computing is under `turnstile`. */
#ifndef LM_SESSION_ENGINE_H
#define LM_SESSION_ENGINE_H

#include "session/devices.h"
#include "session/turnstile.h"

#include "model/model.h"

enum { LM_MAX_BACKENDS = 4, LM_MAX_ARENAS = 64, LM_MAX_CHUNK = 1 << 16, LM_MAX_THREADS = 1024 };
enum { LM_PASS_SLOTS = 64, LM_PASS_SCORES = 32 };       /* most sessions of one pass; rows with logits where scores are asked for */

/* What a pass needs of its lane. */
typedef struct lm_lane_need { uint32_t rows, out, slots, pages; } lm_lane_need;

/* A place for one pass: the arena of the backend and our tables of the same size. While taken it belongs to the pass in it. */
typedef struct lm_lane {
    bool taken;                         /* under the engine's lock, as is `members` while no step holds them all */
    lm_backend *backend;
    const lm_exec *exec;                /* the arena was opened for it; NULL: no arena here */
    lm_run_arena *arena;
    lm_lane_need size;
    void *tables;                       /* one block that holds the five arrays below */
    lm_row *rows;                       /* [size.rows] */
    lm_slot *slots;                     /* [size.slots] */
    llm_session **members;              /* [size.slots] */
    uint32_t *n_rows;                   /* [size.slots]: rows of each member */
    const _Atomic uint32_t **cancel;    /* [size.slots + 1] */
    uint32_t n_members;
    lm_run *run;                        /* or NULL: no pass in it */
    uint32_t n_batch, n_out, op;        /* its rows, those with logits, and the next operation to be observed */
    uint64_t began;                     /* passes are served in the order they began */
} lm_lane;

struct llm_engine {
    lm_host host;
    _Atomic uint32_t refs;
    lm_mutex lock;
    lm_turnstile turnstile;
    lm_mutex roll;                      /* of the list of sessions; taken before `lock` */
    llm_session *sessions;
    lm_backend *backends[LM_MAX_BACKENDS];      /* the CPU, and those of tests */
    uint32_t n_backends;
    lm_devices devices;                 /* GPUs: their ids follow those of the backends */
    int32_t n_threads, n_arenas, n_chunk, cpu_tier;
    lm_lane *lanes;                     /* [n_arenas] */
    _Atomic uint32_t lanes_given;       /* counts lanes given back: who finds none free waits on it */
    _Atomic uint64_t n_passes;
    uint64_t base_bytes;                /* what the engine itself holds, from before the first model */
    uint64_t process;                   /* where it was made */
};

/* desc: complete and of the right size (the API's business). */
llm_status lm_engine_new(const llm_engine_desc *desc, llm_engine **out, llm_error *error);
/* For tests: a further device, closed with the engine. Ids go on: 2, 3, ...; GPUs come behind. Not while other threads use the engine. */
llm_status lm_engine_add_backend(llm_engine *engine, lm_backend *backend, llm_error *error);
/* false in a child of fork(). Its workers stayed with the parent, and a lock that somebody held there is held here for ever: nothing may be
 * waited for, and nothing that others look after may be touched. */
bool lm_engine_is_here(const llm_engine *engine);
llm_status lm_engine_here(const llm_engine *engine, llm_error *error);      /* E_STATE then */
void lm_engine_hold(llm_engine *engine);
void lm_engine_drop(llm_engine *engine);
void lm_engine_info(const llm_engine *engine, llm_engine_info *out);
int32_t lm_engine_n_devices(const llm_engine *engine);
llm_status lm_engine_device(llm_engine *engine, int32_t index, llm_device_info *out, llm_error *error);
/* The backend of a device id; 0 and 1: the CPU. A GPU is opened if that is still due. */
llm_status lm_engine_backend(llm_engine *engine, int32_t device, lm_backend **out, llm_error *error);

llm_status lm_engine_device_test(llm_engine *engine, int32_t device, llm_error *error);
llm_status lm_engine_device_report(llm_engine *engine, int32_t device, char *text, size_t cap, size_t *n, llm_error *error);
llm_status lm_engine_device_cache(llm_engine *engine, int32_t device, void *out, size_t cap, size_t *n, llm_error *error);
llm_status lm_engine_device_set_cache(llm_engine *engine, int32_t device, const void *data, size_t n, llm_error *error);

/* job(data, i) for every i < n on the engine's threads, in turn with passes: keep it to a few milliseconds. A llm_parallel's run. */
void lm_engine_parallel(void *engine, uint32_t n, void (*job)(void *data, uint32_t i), void *data);
/* All that as a llm_parallel. */
llm_parallel lm_engine_threads(llm_engine *engine);

/* LLM_OK: *out is a lane with an arena for this exec and at least this size. LLM_MORE: all are taken. */
llm_status lm_engine_take_lane(llm_engine *engine, lm_backend *backend, const lm_exec *exec, const lm_lane_need *need, lm_lane **out,
                               llm_error *error);
void lm_engine_give_lane(llm_engine *engine, lm_lane *lane);
/* Closes the arenas of an exec that is about to go. None of its passes is in progress. */
void lm_engine_close_lanes(llm_engine *engine, const lm_exec *exec);
/* Closes one arena that no pass is in. false: there is none. */
bool lm_engine_close_lane(llm_engine *engine);
/* Bytes of the tables of a lane, as asked from lm_mem. */
uint64_t lm_lane_tables_bytes(const lm_lane_need *need);

#endif
