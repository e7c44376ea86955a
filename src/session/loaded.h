/* SPDX-License-Identifier: MIT
 * What lies behind the public handles of models and tokenizers: a loaded model with the pools of its state, and who still needs it.
 * Floor 9. Threads: shared; references are atomic, pools and scratch are under `lock`. */
#ifndef LM_SESSION_LOADED_H
#define LM_SESSION_LOADED_H

#include "session/candidates.h"
#include "session/engine.h"
#include "session/pages.h"
#include "session/placing.h"

#include "model/importance.h"
#include "model/model.h"

enum { LM_N_STATE_TYPES = 3 };

struct llm_tokenizer {
    lm_host *host;
    const lm_tokenizer *tokenizer;
    llm_engine *engine;                 /* held if `refs` counts; for samplers */
    lm_model *model;                    /* of its own, or NULL: borrowed from a llm_model */
    _Atomic uint32_t refs;              /* of its own only */
};

/* Room to sample in: one for each step that draws at the same time, kept for the next. */
typedef struct lm_scratch {
    struct lm_scratch *next;
    lm_room room;
} lm_scratch;

struct llm_model {
    llm_engine *engine;
    lm_model *model;
    lm_placing placing;                 /* its backend, if it lies on two devices */
    _Atomic uint32_t refs;
    struct llm_tokenizer tokenizer;     /* .tokenizer NULL: none */
    size_t longest_token;               /* bytes */
    lm_mutex lock;
    lm_pages pools[LM_N_STATE_TYPES];   /* by LLM_STATE_TYPE_*; opened when first asked for */
    bool pool_open[LM_N_STATE_TYPES];
    lm_scratch *scratch;                /* free ones */
    lm_importance *importance;          /* or NULL: not observed */
    llm_str architecture, name;
    bool printed;                       /* the fingerprints are known */
    uint64_t print, vocabulary_print;
};

/* desc: complete, lengths resolved. */
lm_load_pack lm_loaded_pack(const llm_model_desc *desc);
llm_status lm_loaded_new(llm_engine *engine, const llm_source *const *parts, size_t n_parts, const llm_model_desc *desc, llm_model **out,
                         llm_error *error);
void lm_loaded_hold(llm_model *model);
void lm_loaded_drop(llm_model *model);
llm_status lm_loaded_write_importance(llm_model *model, const llm_sink *sink, const llm_importance_desc *desc, llm_error *error);
llm_status lm_loaded_plan(const llm_model *model, char *text, size_t cap, size_t *n, llm_error *error);
void lm_loaded_info(const llm_model *model, llm_model_info *out);
llm_status lm_loaded_meta(const llm_model *model, size_t index, llm_meta *out, llm_error *error);
llm_status lm_loaded_meta_find(const llm_model *model, const char *key, size_t key_len, llm_meta *out, llm_error *error);
llm_status lm_loaded_meta_item(const llm_model *model, size_t index, uint64_t item, llm_meta *out, llm_error *error);
llm_status lm_loaded_tensor(const llm_model *model, size_t index, llm_tensor_info *out, llm_error *error);

/* lm_model_fingerprint, once. */
void lm_loaded_fingerprint(llm_model *model, uint64_t *out_model, uint64_t *out_vocabulary);
/* The pool of this state type, opened if it is the first use; lives as long as the model. */
llm_status lm_loaded_pool(llm_model *model, int32_t state_type, lm_pages **out, llm_error *error);
llm_status lm_loaded_take_scratch(llm_model *model, lm_scratch **out, llm_error *error);
void lm_loaded_give_scratch(llm_model *model, lm_scratch *scratch);
void lm_loaded_free_scratch(llm_model *model);              /* what nobody uses now */
uint64_t lm_scratch_bytes(uint32_t n_vocab);

llm_status lm_loaded_tokenizer_new(llm_engine *engine, const llm_source *source, llm_tokenizer **out, llm_error *error);
void lm_loaded_tokenizer_drop(llm_tokenizer *tokenizer);

#endif
