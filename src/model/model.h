/* SPDX-License-Identifier: MIT
 * A catalogue becomes a model: hyper-parameters, tokenizer, program, weights on a device. Floor 8. Immutable once loaded.
 * Does not know sessions or a concrete backend. Threads: shared. */
#ifndef LM_MODEL_MODEL_H
#define LM_MODEL_MODEL_H

#include "graph/graph.h"

#include "backend/backend.h"

#include "text/tokenizer.h"

#include "files/pack.h"

typedef struct lm_model {
    lm_host *host;
    lm_backend *backend;
    lm_catalogue *catalogue;            /* keys and infos; sources released after loading */
    lm_tokenizer *tokenizer;            /* or NULL */
    const struct lm_arch *arch;         /* or NULL: vocabulary only */
    lm_program *program;                /* or NULL: vocabulary only */
    lm_pack *pack;                      /* whose bytes the weights are, or NULL; after plan_only: the one that would be used */
    lm_weight **weights;                /* [program->n_weights] */
    lm_exec *exec;
    uint64_t n_params, weight_bytes;    /* as stored in the file */
    uint64_t samples;                   /* lm_catalogue_samples, where weights were loaded */
    uint32_t n_ctx_train, n_embd, n_layers, n_vocab;
} lm_model;

/* Where laid-out weights are kept; path.ptr NULL: nowhere. */
typedef struct lm_load_pack {
    llm_str path;                       /* borrowed */
    bool read_only;                     /* none is made */
    bool verify;                        /* all its bytes are held against their digests */
} lm_load_pack;

typedef struct lm_load {
    bool vocab_only;
    bool plain_norms;                   /* norms are operations of their own, so that the inputs of products can be read */
    bool plan_only;                     /* stop before weights: for estimates. model->exec and ->weights stay NULL */
    lm_load_pack pack;
    /* Or NULL. Once the program is known: where it is to run, in place of the backend that was given. The new one outlives the model. */
    llm_status (*place)(void *user, const lm_program *program, uint32_t n_layers, lm_backend **backend, llm_error *error);
    void *place_user;
    const llm_parallel *parallel;       /* threads to read and lay out weights with; NULL: the caller's alone */
    int32_t (*progress)(void *user, float fraction);    /* on the caller's thread */
    void *user;
} lm_load;

/* Parse, validate, then allocate. Takes over the catalogue on success only. Owns: *out. */
llm_status lm_model_open(lm_host *host, lm_backend *backend, lm_catalogue *catalogue, const lm_load *load, lm_model **out, llm_error *error);
void       lm_model_close(lm_model *model);

/* Bytes of weights on the backend, without those of a pack; and what reading them, with such threads, asks of the allocator on top, given back before the model
 * is there. */
uint64_t   lm_model_weight_cost(const lm_model *model);
uint64_t   lm_model_staging_cost(const lm_model *model, const llm_parallel *parallel);
uint64_t   lm_model_packing_cost(const lm_model *model, llm_str path);      /* on top of both, if a pack must be made */

/* ---- architectures: one file each in model/arch/, one line each in model/arch/arch.h -------------------------------------- */

/* Hyper-parameters every family shares, read and checked by model/params.c: no divisor is 0, no size is absurd. */
enum { LM_MAX_LAYERS = 1024, LM_MAX_EXPERTS = 1024 };
typedef struct lm_params {
    uint32_t n_layers, n_embd, n_vocab, n_ctx_train, n_ff, n_head, n_head_kv, head_dim, v_dim, n_rot;
    uint32_t n_expert, n_expert_used, n_ff_expert, n_ff_shared;     /* n_ff_shared: of the expert that every row passes; 0: none */
    uint32_t normalize_experts;         /* the weights of the chosen experts are made to sum to 1 */
    uint32_t window;                    /* attention.sliding_window: a row sees its last so many positions; 0: all */
    uint64_t windowed[LM_MAX_LAYERS / 64];      /* a bit for each layer that has the window; see lm_params_window */
    uint32_t rope;                      /* LM_ROPE_*: set by the architecture */
    bool long_rope;                     /* rope.scaling.type says so: there must be two sets of divisors */
    float rms_eps, attention_scale;     /* attention_scale: 1 / sqrt(head_dim) unless the file says otherwise */
    uint32_t scale_stated;              /* the file did */
    float attention_softcap, logit_softcap;     /* 0: none */
    lm_op_angles angles, window_angles; /* window_angles: of layers with a window, where they have a base of their own */
} lm_params;

/* What a layer of these parameters looks back: window, or 0. */
static inline uint32_t lm_params_window(const lm_params *p, int32_t layer)
{
    return p->windowed[layer / 64] >> (layer % 64) & 1 ? p->window : 0;
}

/* Optional parts of an architecture: their keys are read for those that know them, and refused for others. */
enum { LM_KNOWS_SOFTCAPS = 1, LM_KNOWS_SHARED_EXPERT = 2, LM_KNOWS_WINDOW_PATTERN = 4, LM_KNOWS_WINDOW_ROPE = 8, LM_KNOWS_GELU = 16 };

/* What holds where the file does not say. window_period p: layer l has the window if l % p < p - 1; 0: every layer has it. */
typedef struct lm_arch_defaults { uint32_t window, window_period, plain_experts; float attention_softcap, logit_softcap; } lm_arch_defaults;

typedef struct lm_arch {
    const char *name;                   /* general.architecture */
    uint32_t knows;                     /* LM_KNOWS_* */
    lm_arch_defaults defaults;
    /* Emits the whole program. Errors in the file are reported as such, with tensor or key. */
    llm_status (*build)(const lm_catalogue *catalogue, const lm_params *params, lm_graph *graph, int32_t *logits, llm_error *error);
} lm_arch;

const lm_arch *lm_arch_find(llm_str name);

#endif
