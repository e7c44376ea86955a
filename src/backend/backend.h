/* SPDX-License-Identifier: MIT
 * What a device must be able to do, and all that model, graph and session know of one. Floor 6. A backend knows buffers and flat
 * lists of operations; it does not know what a model is.
 *
 *     backend --- weight (rows pushed in, laid out as it likes)
 *             --- pool   (pages of state, by number)
 *             --- exec   (a program made ready for its weights)
 *             --- arena  (memory of one pass)
 *             --- run    (one pass in progress: rows, exec, pool, arena, cursor)
 *
 * Threads: a backend may be used from any threads at once, with these exceptions: one weight is filled by one thread (but see
 * any_order); pages of a
 * pool are taken and given back under the caller's lock; run_step on a backend is called by one thread at a time (the engine's
 * turnstile), while other runs exist paused, but for runs that are `beside`: each by one thread. Everything may be NULL-freed. */
#ifndef LM_BACKEND_BACKEND_H
#define LM_BACKEND_BACKEND_H

#include "ops/ops.h"

#include "base/host.h"

#include <stdatomic.h>

typedef struct lm_backend lm_backend;
typedef struct lm_weight lm_weight;
typedef struct lm_pool lm_pool;
typedef struct lm_exec lm_exec;
typedef struct lm_run_arena lm_run_arena;
typedef struct lm_run lm_run;

/* Bytes of n items of one head at one position in the canonical layout: f32 or f16 as they are; int8 behind their scale, an f32 in the
 * order of bytes of the host, as all of them are. 0: no such type. */
static inline uint64_t lm_state_row_bytes(int32_t state_type, uint32_t n)
{
    return state_type == LLM_STATE_TYPE_F32 ? (uint64_t)n * 4 : state_type == LLM_STATE_TYPE_F16 ? (uint64_t)n * 2 : state_type == LLM_STATE_TYPE_INT8 ? (uint64_t)n + 4 : 0;
}

typedef struct lm_device {                              /* what the engine tells of it */
    const char *name;
    int32_t  kind;                                      /* LLM_DEVICE_KIND_* */
    uint64_t memory_total, memory_free;
    bool     lost;                                      /* nothing can be computed there any more; another backend of the same device could */
} lm_device;

/* A session's state as a run sees it: page_table[class][position / LM_PAGE_POSITIONS] is a page number of the pool. Copied by
 * run_begin. */
typedef struct lm_slot { const uint32_t *pages[LM_MAX_PAGE_CLASSES]; uint32_t n_pages[LM_MAX_PAGE_CLASSES]; } lm_slot;

typedef struct lm_batch {                               /* copied by run_begin; at most the arena's rows */
    const lm_row *rows;   uint32_t n_rows;              /* of one slot: rising positions without gaps, one after another */
    const lm_slot *slots; uint32_t n_slots;
    uint32_t n_out;                                     /* rows with LM_ROW_LOGITS */
    const float *given;                                 /* [n_rows][width] of program->given, where there is such a value */
    bool no_wait;                                       /* run_begin answers LLM_MORE where it would wait for what an earlier run left behind */
} lm_batch;

enum { LM_RUN_ALL_OPS = UINT32_MAX };
typedef struct lm_run_control {
    int64_t deadline_ns;                                /* lm_now_ns clock; INT64_MAX: none */
    const _Atomic uint32_t *const *cancel;              /* any of these nonzero: stop; looked at between tasks */
    uint32_t n_cancel;
    uint32_t stop_op;                                   /* stop when all operations before this one are done (compare, tests) */
    bool no_wait;                                       /* of a run that is beside: LLM_MORE as soon as the device has its work. A deadline that
                                                           has passed: just look whether it has done it */
} lm_run_control;

struct lm_backend {
    const struct lm_backend_table *table;
    lm_host *host;
};

enum { LM_ROW_GROUP = 16 };
typedef struct lm_backend_table {
    const char *name;                                   /* "cpu" */
    void (*close)(lm_backend *backend);
    void (*device)(const lm_backend *backend, lm_device *out);
    /* Can this operation, with these weights and streams, run here? The same row that runs it answers. E_UNSUPPORTED says what. */
    llm_status (*can_run)(const lm_backend *backend, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error);

    /* Weights. begin, rows in rising order without gaps, end. rows: file bytes, row_bytes apart. With any_order rows may also come in
     * any order and from several threads at once, each exactly once, in pieces that begin at a multiple of LM_ROW_GROUP and have a
     * multiple of it or end the matrix. */
    bool any_order;
    uint64_t   (*weight_cost)(const lm_backend *backend, const lm_weight_info *info);      /* bytes from the allocator */
    llm_status (*weight_begin)(lm_backend *backend, const lm_weight_info *info, lm_weight **out, llm_error *error);
    llm_status (*weight_rows)(lm_backend *backend, lm_weight *weight, uint64_t row, uint64_t n, const void *rows, llm_error *error);
    llm_status (*weight_end)(lm_backend *backend, lm_weight *weight, llm_error *error);
    void       (*weight_free)(lm_backend *backend, lm_weight *weight);

    /* Weights kept in a file, laid out. All NULL: this backend keeps none. layout: a number; under one number of a backend's name the bytes are
     * the same for every engine. bytes: of weight_packed, 0 if the weight does not fit. packed: the bytes of a complete weight, as long as it
     * lives. adopt: a complete weight of such bytes, at a multiple of 64, in memory that may be read-only; borrowed until weight_free. */
    uint32_t    (*packed_layout)(const lm_backend *backend);
    uint64_t    (*packed_bytes)(const lm_backend *backend, const lm_weight_info *info);
    const void *(*weight_packed)(lm_backend *backend, const lm_weight *weight);
    llm_status  (*weight_adopt)(lm_backend *backend, const lm_weight_info *info, const void *bytes, lm_weight **out, llm_error *error);

    /* State. The backend owns the bytes, the session the numbers and the counts of owners. Page numbers are small and reused. */
    llm_status (*pool_open)(lm_backend *backend, const lm_program *program, int32_t state_type, lm_pool **out, llm_error *error);
    void       (*pool_close)(lm_backend *backend, lm_pool *pool);                          /* frees pages still taken */
    uint64_t   (*pool_page_cost)(const lm_backend *backend, const lm_program *program, int32_t state_type, uint32_t page_class);
    llm_status (*page_take)(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t *out, llm_error *error);
    void       (*page_give)(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t page);
    /* to becomes a copy of from: before a session writes into a page that has another owner. */
    llm_status (*page_copy)(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t from, uint32_t to, llm_error *error);
    /* One page in the canonical layout, whatever is kept inside: for each stream of the class, in order, K [position][head] of k_dim items
     * then V [position][head] of v_dim, each of lm_state_row_bytes. pool_page_bytes in all. */
    uint64_t   (*pool_page_bytes)(const lm_backend *backend, const lm_pool *pool, uint32_t page_class);
    llm_status (*page_export)(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t page, void *out, llm_error *error);
    llm_status (*page_import)(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t page, const void *in, llm_error *error);

    /* Programs and the memory of a pass. weights[i] belongs to program->weights[i]. program and weights outlive the exec. */
    llm_status (*exec_open)(lm_backend *backend, const lm_program *program, lm_weight *const *weights, lm_exec **out, llm_error *error);
    void       (*exec_close)(lm_backend *backend, lm_exec *exec);
    /* What a driver must compile for this program, or NULL; else runs do it at first use, which may take seconds. progress: as lm_load's, told 1 now and
     * then; an answer other than 0 is E_CANCELLED. */
    llm_status (*exec_compile)(lm_backend *backend, lm_exec *exec, int32_t (*progress)(void *user, float fraction), void *user, llm_error *error);
    uint64_t   (*arena_cost)(const lm_backend *backend, const lm_program *program, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages);
    llm_status (*arena_open)(lm_backend *backend, const lm_exec *exec, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages,
                             lm_run_arena **out, llm_error *error);   /* max_pages: of all slots of a pass together */
    void       (*arena_close)(lm_backend *backend, lm_run_arena *arena);

    /* Runs. A run allocates nothing: it lives in its arena, which serves one run at a time. */
    llm_status (*run_begin)(lm_backend *backend, lm_exec *exec, lm_pool *pool, lm_run_arena *arena, const lm_batch *batch, lm_run **out, llm_error *error);
    /* LLM_OK: the pass is done. LLM_MORE: stopped by the deadline or at stop_op; call again. LLM_E_CANCELLED: stopped by cancel; may be
     * gone on with, or dropped. Another error: the run is dead, end it. */
    llm_status (*run_step)(lm_backend *backend, lm_run *run, const lm_run_control *control, llm_error *error);
    /* NULL: never. Does the next step of this run compute beside the processor? Then it needs no turn of the engine's. */
    bool (*run_beside)(const lm_backend *backend, const lm_run *run);
    /* Row `index` of a value: after the pass only program->logits is certain; after stop_op, the values alive there. Host memory,
     * until the run ends. */
    const void *(*run_value)(lm_backend *backend, lm_run *run, int32_t value, uint32_t index);
    void       (*run_end)(lm_backend *backend, lm_run *run);          /* done or not: its arena is free again */

    /* Of devices beside the processor; NULL: it has none of this. Texts: as lm_program_dump, n counts what there would be. */
    bool own_memory;                                    /* weights, pages and arenas lie in the device's memory, not in lm_mem's */
    llm_status (*test)(lm_backend *backend, llm_error *error);        /* every kernel against the reference. E_UNSUPPORTED: what is wrong */
    size_t     (*report)(lm_backend *backend, char *out, size_t cap);
    size_t     (*exec_report)(lm_backend *backend, const lm_exec *exec, char *out, size_t cap);
    llm_status (*cache_get)(lm_backend *backend, void *out, size_t cap, size_t *n, llm_error *error);   /* compiled kernels; E_SPACE sets n */
    llm_status (*cache_put)(lm_backend *backend, const void *data, size_t n, llm_error *error);
} lm_backend_table;

/* Constructors: one line each, so that whoever composes an engine sees them all. */
typedef struct lm_cpu_desc {
    int32_t n_threads;                                  /* >= 1; 1: the caller alone */
    int32_t tier;                                       /* LLM_CPU_*; 0: best */
    const llm_parallel *parallel;                       /* NULL: our own pool */
} lm_cpu_desc;
llm_status lm_cpu_backend_open(lm_host *host, const lm_cpu_desc *desc, lm_backend **out, llm_error *error);
int32_t    lm_cpu_backend_tier(const lm_backend *backend);                          /* LLM_CPU_* in use */
/* Calls job(data, i) once for every i < n on the CPU backend's threads, in the mode of lm_fp_enter, and returns when all are done. As run_step:
 * one thread at a time. */
void       lm_cpu_backend_parallel(lm_backend *backend, uint32_t n, void (*job)(void *data, uint32_t i), void *data);
/* A GPU through Vulkan, opened at run time. E_NO_DEVICE where there is no loader, no driver, no device that fits, or a library without it;
 * the message says which. All fields may be 0. */
typedef struct lm_vulkan_desc {
    const char *device;                                 /* its number in the driver's order, or how its name begins; NULL: the best one */
    const uint8_t *uuid;                                /* [16], as lm_vulkan_found has it: this one, whatever its number is now; NULL: any */
    bool allow_software;                                /* also a processor that plays a GPU, when no GPU is there */
    bool validate;                                      /* with the validation layers, what they say to the log as errors; E_NO_DEVICE without them */
    uint64_t max_range, max_slab;                       /* bytes: smaller than the device's own limits; 0: those */
    uint32_t submit_ms;                                 /* how long one submission is meant to last at most; 0: 100 */
    bool trust;                                         /* no self-test: for a driver that computes nothing */
    /* vkGetInstanceProcAddr of someone else, for tests and hosts; NULL: the system's loader. */
    void (*(*get_proc)(void *user, void *instance, const char *name))(void);
    void *get_proc_user;
    bool low_priority;
    uint64_t memory_limit;                              /* bytes that may be held on the device; 0: none */
    /* A host's own: all four or none. lock and unlock around submissions, or NULL. */
    void *instance, *physical, *logical, *queue;
    uint32_t queue_family;
    void (*lock)(void *user);
    void (*unlock)(void *user);
    void *lock_user;
    bool no_subgroups;                                  /* as if the device could not shuffle among subgroups: for tests */
} lm_vulkan_desc;
bool lm_vulkan_built(void);                             /* false: the library was made without it */
typedef struct lm_vulkan_found {
    char name[256];
    int32_t kind;                                       /* LLM_DEVICE_KIND_* */
    uint32_t number;                                    /* for lm_vulkan_desc.device */
    uint64_t memory_total, memory_free;
    uint8_t uuid[16];
} lm_vulkan_found;
/* The devices that would fit, each once, also where two drivers offer it. Fails as lm_vulkan_backend_open, but for those that do not fit. */
llm_status lm_vulkan_list(lm_host *host, const lm_vulkan_desc *desc, lm_vulkan_found *out, uint32_t cap, uint32_t *n, llm_error *error);
llm_status lm_vulkan_backend_open(lm_host *host, const lm_vulkan_desc *desc, lm_backend **out, llm_error *error);
typedef struct lm_vulkan_info {
    char name[256];
    uint32_t api_version, driver_version, vendor, subgroup;     /* as Vulkan packs them; invocations, 0: unknown */
    uint64_t max_range, max_slab;
    uint64_t device_bytes;                              /* of the device's memory that we hold now */
    uint32_t shared_bytes, n_modules, n_pipelines, n_submits;
    bool float16, int8, storage16, storage8, int_dot;   /* what the device could do; nothing of it is used yet */
} lm_vulkan_info;
llm_status lm_vulkan_backend_get_info(const lm_backend *backend, lm_vulkan_info *out, llm_error *error);
/* Executes nothing, checks everything: shapes, ranges, rows, pages, state read before it was written, values overlapping, what is freed in
 * use. Logits 0. E_INTERNAL says what; faults of calls without a status come with the next call that has one. */
llm_status lm_verify_backend_open(lm_host *host, lm_backend **out, llm_error *error);
uint64_t   lm_verify_backend_objects(const lm_backend *backend);                    /* weights, pools, pages, execs, arenas and runs now open */
/* Runs a program that was cut, its first part on one backend and then its second on another, one value handed on between them. A model then does
 * not know: it has one backend, for this program alone. Borrows all three; they outlive it. */
llm_status lm_split_backend_open(lm_host *host, lm_backend *first, lm_backend *second, const lm_cut *cut, lm_backend **out, llm_error *error);
/* Runs every operation on both and compares every value written: E_INTERNAL names operation, row, item and both numbers where the
 * difference passes max(absolute, relative * |a|); 0, 0 asks for the same bits. Closes both when closed. */
llm_status lm_compare_backend_open(lm_host *host, lm_backend *a, lm_backend *b, double absolute, double relative, lm_backend **out, llm_error *error);

#endif
