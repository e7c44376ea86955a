/* SPDX-License-Identifier: MIT
 * The inside of the CPU backend: what its files share. Nothing outside this folder includes it.
 *
 *     cpu.c      the table, the choice of kernels
 *     team.c     threads that wait for work
 *     weights.c  rows into groups of 16        pages.c    state, page by page
 *     exec.c     a program made ready; the arena's layout
 *     run.c      a pass: rows and pages checked and resolved, the cursor, tasks handed out
 *     stages.c   the table of operations, and those that are neither of:
 *     products.c   products                      experts.c  routed products      attention.c   attention
 *
 * A program runs as a row of STAGES, one after another; a stage is n TASKS that may run in any order on any thread. `plan` says
 * how many for this pass (0: the stage is skipped) and leaves the cut in the run; `task` does one. A task is meant to last at most 0.25 ms of
 * one core: between tasks a run may stop. How work is cut never changes a bit (docs/ARITHMETIC.md). */
#ifndef LM_BACKEND_CPU_CPU_H
#define LM_BACKEND_CPU_CPU_H

#include "backend/backend.h"

#include "kernels/kernels.h"

#include "base/status.h"
#include "base/thread.h"

typedef struct lm_cpu lm_cpu;
typedef struct lm_cpu_run lm_cpu_run;

/* ---- team.c ------------------------------------------------------------------------------------------------------------ */

/* Threads that sleep until lm_cpu_team_run. body(data, worker) is called for worker 0 on the caller and for the others as they
 * wake, at most once each; none is waited for before it has entered. Returns when all that entered have returned. */
typedef struct lm_cpu_team lm_cpu_team;
llm_status lm_cpu_team_open(lm_host *host, uint32_t n_threads, lm_cpu_team **out, llm_error *error);   /* fewer threads: no error */
void       lm_cpu_team_close(lm_cpu_team *team);
void       lm_cpu_team_run(lm_cpu_team *team, void (*body)(void *data, uint32_t worker), void *data);
/* Inside a body: something has changed; wait until something changes since `seen` was taken. */
uint32_t   lm_cpu_team_seen(lm_cpu_team *team);
void       lm_cpu_team_signal(lm_cpu_team *team);
void       lm_cpu_team_wait(lm_cpu_team *team, uint32_t seen);

/* ---- cpu.c ------------------------------------------------------------------------------------------------------------- */

/* How much work makes a task of about 0.1 to 0.2 ms, by tier. */
typedef struct lm_cpu_grain {
    uint64_t macs_int, macs_float;                      /* multiply-adds of a product with quantized, with plain weights */
    uint64_t macs_attend;
    uint64_t bytes;                                     /* of weights, when few rows read them */
    uint64_t items;                                     /* f32 items of norms, quantization, copies */
    uint32_t cols;                                      /* most columns of a product's task: a multiple of tile */
    uint32_t tile, groups;                              /* columns, and groups of outputs, that the kernels take side by side */
} lm_cpu_grain;

struct lm_cpu {
    lm_backend base;
    lm_kernels kernels;
    lm_cpu_grain grain;
    int32_t tier;
    uint32_t n_threads;                                 /* scratch places; how finely work is cut */
    llm_parallel parallel;                              /* run NULL: our team */
    lm_cpu_team *team;                                  /* NULL: the caller alone, or the host's threads */
};

/* ---- weights.c --------------------------------------------------------------------------------------------------------- */

typedef struct lm_cpu_weight {
    lm_weight_info info;
    uint64_t row_bytes, group_bytes, bytes;             /* of the file's row, of a packed group, of all */
    _Atomic uint64_t n_done;                            /* rows taken in */
    uint8_t *data;                                      /* packed groups; a vector: n_cols f32 */
    uint8_t *staging;                                   /* rows of a group not yet full; NULL: none were cut so */
    uint32_t n_staged, complete;
    uint32_t adopted, reserved;                         /* data is another's, and read-only */
} lm_cpu_weight;

uint64_t   lm_cpu_weight_cost(const lm_backend *backend, const lm_weight_info *info);
llm_status lm_cpu_weight_begin(lm_backend *backend, const lm_weight_info *info, lm_weight **out, llm_error *error);
llm_status lm_cpu_weight_rows(lm_backend *backend, lm_weight *weight, uint64_t row, uint64_t n, const void *rows, llm_error *error);
llm_status lm_cpu_weight_end(lm_backend *backend, lm_weight *weight, llm_error *error);
uint32_t    lm_cpu_packed_layout(const lm_backend *backend);
uint64_t    lm_cpu_packed_bytes(const lm_backend *backend, const lm_weight_info *info);
const void *lm_cpu_weight_packed(lm_backend *backend, const lm_weight *weight);
llm_status  lm_cpu_weight_adopt(lm_backend *backend, const lm_weight_info *info, const void *bytes, lm_weight **out, llm_error *error);
void       lm_cpu_weight_free(lm_backend *backend, lm_weight *weight);

/* ---- pages.c ----------------------------------------------------------------------------------------------------------- */

/* Where a stream's head h lies in its pages: K at offset + h * head_bytes, V behind it at + k_bytes. In bytes: what is between is the
 * kernels' (kernels/kernels.h). */
typedef struct lm_cpu_stream {
    uint32_t page_class, n_heads, k_dim, v_dim;
    uint64_t offset, k_bytes, head_bytes;
} lm_cpu_stream;

/* Pointers by page number, in segments that never move (segment i holds 64 << i), so that a run may look pages up while
 * others are taken. A free number holds the next free one, shifted left and tagged with 1. */
enum { LM_CPU_PAGE_SEGMENTS = 20, LM_CPU_FIRST_SEGMENT = 64 };
typedef struct lm_cpu_page_table {
    uintptr_t *segments[LM_CPU_PAGE_SEGMENTS];
    uint32_t n_segments, first_free;                    /* first_free: UINT32_MAX: none */
    uint64_t page_bytes;
} lm_cpu_page_table;

typedef struct lm_cpu_pool {
    int32_t state_type;
    uint32_t n_streams, n_classes;
    lm_cpu_page_table classes[LM_MAX_PAGE_CLASSES];
    lm_cpu_stream streams[];
} lm_cpu_pool;

llm_status lm_cpu_pool_can(int32_t state_type, llm_error *error);       /* state of this type is kept here */
llm_status lm_cpu_pool_open(lm_backend *backend, const lm_program *program, int32_t state_type, lm_pool **out, llm_error *error);
void       lm_cpu_pool_close(lm_backend *backend, lm_pool *pool);
uint64_t   lm_cpu_pool_page_cost(const lm_backend *backend, const lm_program *program, int32_t state_type, uint32_t page_class);
llm_status lm_cpu_page_take(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t *out, llm_error *error);
void       lm_cpu_page_give(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t page);
llm_status lm_cpu_page_copy(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t from, uint32_t to, llm_error *error);
uint64_t   lm_cpu_pool_page_bytes(const lm_backend *backend, const lm_pool *pool, uint32_t page_class);
llm_status lm_cpu_page_export(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t page, void *out, llm_error *error);
llm_status lm_cpu_page_import(lm_backend *backend, lm_pool *pool, uint32_t page_class, uint32_t page, const void *in, llm_error *error);
/* NULL: no such page is taken. */
uint8_t   *lm_cpu_page(const lm_cpu_pool *pool, uint32_t page_class, uint32_t page);

/* ---- exec.c ------------------------------------------------------------------------------------------------------------ */

typedef struct lm_cpu_exec_op {
    uint32_t acts;                                      /* LM_ACTS_* that its weights read */
    uint32_t reserved;
    const double *freq, *mix;                           /* ANGLES: base^(-2j / n_rot), and how much of it YaRN leaves as it is */
} lm_cpu_exec_op;

typedef struct lm_cpu_exec {
    const lm_program *program;
    const lm_cpu_weight **weights;
    lm_cpu_exec_op *ops;
} lm_cpu_exec;

llm_status lm_cpu_exec_open(lm_backend *backend, const lm_program *program, lm_weight *const *weights, lm_exec **out, llm_error *error);
void       lm_cpu_exec_close(lm_backend *backend, lm_exec *exec);

/* What one operation needs of an arena, per row of its row set; the arena holds the most of all. */
typedef struct lm_cpu_need {
    uint64_t f32, q32, q256;                            /* inputs of products in each form: items a row */
    uint64_t product;                                   /* f32 items a row: products of experts before they are added */
    uint64_t pairs;                                     /* (row, expert) pairs a row */
    uint64_t heads;                                     /* running (max, sum) of attention: heads a row */
    uint64_t experts;                                   /* in all */
    uint64_t partial;                                   /* f32 items of attention's parts, per row and chunk */
    uint64_t worker;                                    /* bytes of scratch a thread */
} lm_cpu_need;

/* The arena: one block, begun by this. Regions are as big as the program's greediest operation wants them. */
typedef struct lm_cpu_arena {
    uint32_t max_rows, max_out, max_slots, max_pages;
    const lm_program *program;
    float *values[2];                                   /* by LM_ROWS_* */
    float *acts_f32;
    int8_t *q32;  float *d32;  int32_t *s32;
    int8_t *q256; float *d256; int16_t *s16;
    float *product;
    uint32_t *pair_order, *pair_place, *expert_first, *jobs;    /* see experts.c */
    float *running, *partial;                           /* see attention.c */
    uint64_t max_parts;                                 /* (row, chunk) pairs that `partial` holds */
    lm_row *rows;
    uint32_t *out_rows;                                 /* row numbers of the OUT rows */
    struct lm_cpu_segment *segments;
    uint8_t **pages;
    uint8_t *scratch; uint64_t scratch_bytes;           /* a thread: scratch + worker * scratch_bytes */
    lm_cpu_run *run;
} lm_cpu_arena;

uint64_t   lm_cpu_arena_cost(const lm_backend *backend, const lm_program *program, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages);
llm_status lm_cpu_arena_open(lm_backend *backend, const lm_exec *exec, uint32_t max_rows, uint32_t max_out, uint32_t max_slots, uint32_t max_pages,
                             lm_run_arena **out, llm_error *error);
void       lm_cpu_arena_close(lm_backend *backend, lm_run_arena *arena);

/* ---- run.c ------------------------------------------------------------------------------------------------------------- */

/* The rows of one session in a pass: consecutive positions. */
typedef struct lm_cpu_segment {
    uint32_t slot, first_row, n_rows;
    int32_t  position;                                  /* of the first row */
    uint8_t **pages[LM_MAX_PAGE_CLASSES];               /* by position / LM_PAGE_POSITIONS; NULL where no longer kept */
    uint32_t n_pages[LM_MAX_PAGE_CLASSES];
    /* Of the ATTEND in progress: */
    uint32_t split;                                     /* cut by chunks, with parts; else by tiles of rows */
    uint32_t chunk_begin, chunk_end;                    /* that any of its rows sees */
    uint32_t n_units, first_unit;                       /* tasks' units: see attention.c */
    uint64_t first_part;                                /* in (row, chunk) pairs */
} lm_cpu_segment;

struct lm_cpu_run {
    lm_cpu *cpu;
    const lm_cpu_exec *exec;
    const lm_cpu_pool *pool;
    lm_cpu_arena *arena;
    void (*store_k)(void *k_page, size_t at, const float *k, size_t k_dim);
    void (*store_v)(void *v_page, size_t at, const float *v, size_t v_dim);
    void (*attend)(const lm_attend_args *args);
    uint32_t active;
    uint32_t n_rows[2];                                 /* by LM_ROWS_* */
    uint32_t n_segments;
    /* The cursor, and the cut that the stage's plan left for its tasks. */
    uint32_t op, stage, round, finished;
    bool     cols_inside;                               /* products: tasks walk the columns of a block of groups, then the next block */
    uint32_t cut_groups, cut_cols, n_blocks, n_jobs;    /* products: groups of 16 outputs and columns a task; blocks of groups; jobs of experts */
    uint32_t cut_units, n_units;                        /* units a task, and in all */
    uint32_t tile_rows, round_chunks, n_segments_split; /* attention */
    /* The step in progress. */
    int64_t deadline_ns;
    const _Atomic uint32_t *const *cancel;
    uint32_t n_cancel, stop_op, held;                   /* held: tasks of the stage that a stop kept back; 0: none */
    _Alignas(64) _Atomic uint64_t ticket;               /* see run.c */
    _Alignas(64) _Atomic uint32_t done;
    _Alignas(64) _Atomic uint32_t stop;
};

llm_status  lm_cpu_run_begin(lm_backend *backend, lm_exec *exec, lm_pool *pool, lm_run_arena *arena, const lm_batch *batch, lm_run **out, llm_error *error);
llm_status  lm_cpu_run_step(lm_backend *backend, lm_run *run, const lm_run_control *control, llm_error *error);
const void *lm_cpu_run_value(lm_backend *backend, lm_run *run, int32_t value, uint32_t index);
void        lm_cpu_run_end(lm_backend *backend, lm_run *run);

static inline float *lm_cpu_value(const lm_cpu_run *run, int32_t value, uint32_t row)
{
    const lm_value *v = &run->exec->program->values[value];
    return run->arena->values[v->rows] + (size_t)v->offset * run->n_rows[v->rows] + (size_t)row * v->width;
}
static inline uint32_t lm_cpu_width(const lm_cpu_run *run, int32_t value) { return run->exec->program->values[value].width; }
static inline const lm_cpu_weight *lm_cpu_bound(const lm_cpu_run *run, int32_t weight) { return run->exec->weights[weight]; }
static inline const float *lm_cpu_vector(const lm_cpu_run *run, int32_t weight)      /* NULL: none */
{
    return weight == LM_NONE ? NULL : (const float *)(const void *)run->exec->weights[weight]->data;
}
static inline uint8_t *lm_cpu_scratch(const lm_cpu_run *run, uint32_t worker) { return run->arena->scratch + worker * run->arena->scratch_bytes; }

/* ---- stages.c, products.c, experts.c, attention.c ----------------------------------------------------------------------------- */

enum { LM_CPU_STAGES = 4 };
typedef struct lm_cpu_stage {
    uint32_t (*plan)(lm_cpu_run *run, const lm_op *op, uint32_t round);     /* tasks; called by one thread between stages */
    void (*task)(lm_cpu_run *run, const lm_op *op, uint32_t task, uint32_t worker);
    uint32_t rounds;                                    /* 1: planned again, with the next round, until it answers 0 */
} lm_cpu_stage;

/* Most items of a product's tile. */
enum { LM_CPU_TILE = 32768 };

/* As many groups as stand side by side in the kernels, rounded up unless the tile has no room for it. */
static inline uint64_t lm_cpu_beside(const lm_cpu_grain *grain, uint64_t groups, uint64_t tile)
{
    uint64_t more = (groups + grain->groups - 1) / grain->groups * grain->groups;
    return more <= tile ? more : LM_MAX(groups - groups % grain->groups, 1);
}

/* What an operation is here: can it run, what does it need, how does it run. */
typedef struct lm_cpu_op {
    llm_status (*can)(const lm_cpu *cpu, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error);
    void (*need)(const lm_cpu *cpu, const lm_program *program, const lm_op *op, lm_cpu_need *need);
    lm_cpu_stage stages[LM_CPU_STAGES];
} lm_cpu_op;

extern const lm_cpu_op lm_cpu_linear, lm_cpu_experts, lm_cpu_attend;
const lm_cpu_op *lm_cpu_op_get(uint32_t kind);

/* Tasks for n units of `work` each, at about `grain` a task but enough for all threads: leaves run->cut_units and n_units. */
uint32_t lm_cpu_cut(lm_cpu_run *run, uint64_t n, uint64_t work, uint64_t grain);
/* The units of a task. */
static inline void lm_cpu_units(const lm_cpu_run *run, uint32_t task, uint32_t *begin, uint32_t *end)
{
    *begin = task * run->cut_units;
    *end = LM_MIN(*begin + run->cut_units, run->n_units);
}
/* E_UNSUPPORTED if weight i of the operation cannot be multiplied with here. */
llm_status lm_cpu_can_multiply(const lm_cpu *cpu, const lm_program *program, const lm_op *op, uint32_t i, llm_error *error);
uint32_t   lm_cpu_acts_form(uint32_t type);            /* LM_ACTS_* that a type reads */
uint32_t   lm_cpu_acts_forms(const lm_program *program, const lm_op *op);
/* Column `at` of the arena's inputs of k items; f32: what stands for the f32 form. */
lm_acts    lm_cpu_acts_at(const lm_cpu_arena *arena, const float *f32, size_t k, size_t at);
/* The kernel of a gated activation. */
static inline void lm_cpu_gate(const lm_kernels *kernels, uint32_t act, float *y, const float *gate, const float *up, size_t n)
{
    (act == LM_ACT_GELU ? kernels->gelu_mul : kernels->silu_mul)(y, gate, up, n);
}
/* One row into column `at`, in the forms asked for; normed: scratch of k items, used if norm is asked for and f32 is not. */
void       lm_cpu_acts_make(const lm_cpu_run *run, uint32_t forms, uint32_t norm, const float *weight, float eps, const float *x, size_t k, size_t at, float *normed);

#endif
