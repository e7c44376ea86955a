/* SPDX-License-Identifier: MIT
 * Loading: every lie about hyper-parameters, vocabulary and tensors is refused by name; weights arrive row by row, whole and unchanged;
 * progress, cancelling and failed allocations leave nothing behind. The backend here only records. */
#include "forward.h"

#include "gold.h"

/* ---- a backend that keeps the bytes it was given ---------------------------------------------------------------------------- */

struct lm_weight { lm_weight_info info; uint64_t rows; uint64_t row_bytes; unsigned char *bytes; int ended; };
struct lm_exec { int dummy; };
typedef struct load_backend { lm_backend base; int refuse; lm_weight *last[64]; uint32_t n; } load_backend;

static llm_status load_can_run(const lm_backend *backend, const lm_program *program, const lm_op *op, int32_t state_type, llm_error *error)
{
    (void)program, (void)state_type;
    if (((const load_backend *)backend)->refuse && op->kind == LM_OP_ATTEND)
        return lm_fail(error, LLM_E_UNSUPPORTED, "attend in layer %d", op->layer);
    return LLM_OK;
}
static uint64_t load_weight_cost(const lm_backend *backend, const lm_weight_info *info)
{
    uint64_t row = 0;
    (void)backend;
    lm_type_row_bytes(info->type, info->n_cols, &row);
    return row * info->n_rows;
}
static llm_status load_weight_begin(lm_backend *backend, const lm_weight_info *info, lm_weight **out, llm_error *error)
{
    load_backend *b = (load_backend *)backend;
    lm_weight *w = lm_mem_new(&backend->host->mem, sizeof *w, LLM_MEMORY_OTHER);
    if (!w)
        return lm_fail_memory(error, "weight", sizeof *w);
    w->info = *info;
    lm_type_row_bytes(info->type, info->n_cols, &w->row_bytes);
    w->bytes = lm_mem_new(&backend->host->mem, w->row_bytes * info->n_rows, LLM_MEMORY_WEIGHTS);
    if (!w->bytes) {
        lm_mem_free(&backend->host->mem, w);
        return lm_fail_memory(error, "weight", 0);
    }
    if (b->n < LM_COUNT(b->last))
        b->last[b->n++] = w;
    *out = w;
    return LLM_OK;
}
static llm_status load_weight_rows(lm_backend *backend, lm_weight *w, uint64_t row, uint64_t n, const void *rows, llm_error *error)
{
    (void)backend, (void)error;
    CHECK_MSG(row == w->rows && n > 0 && row + n <= w->info.n_rows, "%s: rows %llu + %llu after %llu", w->info.name, (unsigned long long)row, (unsigned long long)n,
              (unsigned long long)w->rows);
    memcpy(w->bytes + row * w->row_bytes, rows, n * w->row_bytes);
    w->rows += n;
    return LLM_OK;
}
static llm_status load_weight_end(lm_backend *backend, lm_weight *w, llm_error *error)
{
    (void)backend, (void)error;
    CHECK(w->rows == w->info.n_rows && !w->ended);
    w->ended = 1;
    return LLM_OK;
}
static void load_weight_free(lm_backend *backend, lm_weight *w)
{
    if (w)
        lm_mem_free(&backend->host->mem, w->bytes);
    lm_mem_free(&backend->host->mem, w);
}
static llm_status load_exec_open(lm_backend *backend, const lm_program *program, lm_weight *const *weights, lm_exec **out, llm_error *error)
{
    for (uint32_t i = 0; i < program->n_weights; i++)
        CHECK(weights[i] && weights[i]->ended);
    *out = lm_mem_new(&backend->host->mem, sizeof **out, LLM_MEMORY_OTHER);
    return *out ? LLM_OK : lm_fail_memory(error, "exec", sizeof **out);
}
static void load_exec_close(lm_backend *backend, lm_exec *exec) { lm_mem_free(&backend->host->mem, exec); }
static const lm_backend_table load_table = { .name = "record", .can_run = load_can_run, .weight_cost = load_weight_cost, .weight_begin = load_weight_begin,
    .weight_rows = load_weight_rows, .weight_end = load_weight_end, .weight_free = load_weight_free, .exec_open = load_exec_open, .exec_close = load_exec_close };

/* ---- files made by changing a good one --------------------------------------------------------------------------------------- */

typedef struct load_file { char *bytes; size_t size; } load_file;

/* Opens bytes; the model is closed at once. */
static llm_status load_bytes(lm_host *host, load_backend *backend, const char *bytes, size_t size, const lm_load *load, llm_error *error)
{
    lm_catalogue *catalogue = NULL;
    lm_model *model = NULL;
    llm_source source = LLM_INIT(llm_source);
    const llm_source *parts[1] = { &source };
    source.kind = LLM_SOURCE_BUFFER;
    source.data = bytes;
    source.data_len = size;
    memset(backend, 0, sizeof backend->base);
    backend->base.table = &load_table;
    backend->base.host = host;
    backend->n = 0;
    LM_TRY(lm_catalogue_open(host, parts, 1, &catalogue, error));
    llm_status status = lm_model_open(host, &backend->base, catalogue, load, &model, error);
    if (status < 0)
        lm_catalogue_free(catalogue);
    else
        CHECK(model->n_vocab > 0 && (load->vocab_only || model->program));
    lm_model_close(model);
    return status;
}

/* The place of a key's value: after the name comes its type. Only scalars are changed here. */
static char *load_value(load_file *f, const char *key, uint32_t *type)
{
    size_t n = strlen(key);
    for (size_t i = 8; i + n + 8 < f->size; i++) {
        uint64_t len;
        memcpy(&len, f->bytes + i - 8, 8);
        if (len == n && memcmp(f->bytes + i, key, n) == 0) {
            memcpy(type, f->bytes + i + n, 4);
            return f->bytes + i + n + 4;
        }
    }
    return NULL;
}

static load_file load_copy(const char *name)
{
    load_file f;
    char path[512];
    gold_path(path, name, "gguf");
    f.bytes = test_read_file(path, &f.size);
    CHECK_MSG(f.bytes != NULL, "%s", path);
    return f;
}

typedef struct load_lie { const char *model, *key; double value; llm_status status; const char *says; } load_lie;
static const load_lie load_lies[] = {
    { "llama-tied", "llama.block_count", 0, LLM_E_FORMAT, "llama.block_count" },
    { "llama-tied", "llama.block_count", 1025, LLM_E_FORMAT, "llama.block_count" },
    { "llama-tied", "llama.block_count", 4, LLM_E_FORMAT, "blk.3.attn_norm.weight" },
    { "llama-tied", "llama.block_count", 2, LLM_E_UNSUPPORTED, "blk.2." },
    { "llama-tied", "llama.context_length", 0, LLM_E_FORMAT, "llama.context_length" },
    { "llama-tied", "llama.context_length", 4294967295.0, LLM_E_FORMAT, "llama.context_length" },
    { "llama-tied", "llama.embedding_length", 0, LLM_E_FORMAT, "llama.embedding_length" },
    { "llama-tied", "llama.embedding_length", 2147483648.0, LLM_E_FORMAT, "llama.embedding_length" },
    { "llama-tied", "llama.embedding_length", 64, LLM_E_FORMAT, "token_embd.weight" },
    { "llama-tied", "llama.feed_forward_length", 0, LLM_E_FORMAT, "llama.feed_forward_length" },
    { "llama-tied", "llama.feed_forward_length", 41, LLM_E_FORMAT, "ffn_gate" },
    { "llama-tied", "llama.attention.head_count", 0, LLM_E_FORMAT, "llama.attention.head_count" },
    { "llama-tied", "llama.attention.head_count", 3, LLM_E_FORMAT, "llama.attention.head_count" },
    { "llama-tied", "llama.attention.head_count", 4294967295.0, LLM_E_FORMAT, "llama.attention.head_count" },
    { "llama-tied", "llama.attention.head_count", 8, LLM_E_FORMAT, "attn_q.weight" },
    { "llama-tied", "llama.attention.head_count_kv", 0, LLM_E_FORMAT, "llama.attention.head_count_kv" },
    { "llama-tied", "llama.attention.head_count_kv", 3, LLM_E_FORMAT, "llama.attention.head_count_kv" },
    { "llama-tied", "llama.attention.head_count_kv", 8, LLM_E_FORMAT, "llama.attention.head_count_kv" },
    { "llama-tied", "llama.attention.key_length", 7, LLM_E_FORMAT, "llama.attention.key_length" },
    { "llama-tied", "llama.attention.key_length", 2048, LLM_E_FORMAT, "llama.attention.key_length" },
    { "llama-tied", "llama.attention.value_length", 0, LLM_E_FORMAT, "llama.attention.value_length" },
    { "llama-tied", "llama.attention.value_length", 10, LLM_E_FORMAT, "attn_v.weight" },
    { "llama-tied", "llama.rope.dimension_count", 9, LLM_E_FORMAT, "llama.rope.dimension_count" },
    { "llama-tied", "llama.rope.dimension_count", 3, LLM_E_FORMAT, "llama.rope.dimension_count" },
    { "llama-tied", "llama.rope.dimension_count", 0, LLM_E_FORMAT, "llama.rope.dimension_count" },
    { "llama-tied", "llama.rope.freq_base", NAN, LLM_E_FORMAT, "llama.rope.freq_base" },
    { "llama-tied", "llama.rope.freq_base", INFINITY, LLM_E_FORMAT, "llama.rope.freq_base" },
    { "llama-tied", "llama.rope.freq_base", 0, LLM_E_FORMAT, "llama.rope.freq_base" },
    { "llama-tied", "llama.rope.freq_base", -1e4, LLM_E_FORMAT, "llama.rope.freq_base" },
    { "llama-tied", "llama.attention.layer_norm_rms_epsilon", NAN, LLM_E_FORMAT, "layer_norm_rms_epsilon" },
    { "llama-tied", "llama.attention.layer_norm_rms_epsilon", 0, LLM_E_FORMAT, "layer_norm_rms_epsilon" },
    { "llama-tied", "llama.attention.layer_norm_rms_epsilon", -1e-5, LLM_E_FORMAT, "layer_norm_rms_epsilon" },
    { "llama-tied", "llama.vocab_size", 101, LLM_E_FORMAT, "llama.vocab_size" },
    { "llama-tied", "llama.vocab_size", 0, LLM_E_FORMAT, "llama.vocab_size" },
    { "llama-tied", "tokenizer.ggml.bos_token_id", 100, LLM_E_FORMAT, "tokenizer.ggml.bos_token_id" },
    { "llama-tied", "tokenizer.ggml.eos_token_id", 4294967295.0, LLM_E_FORMAT, "tokenizer.ggml.eos_token_id" },
    { "llama-q4_0", "general.quantization_version", 1, LLM_E_UNSUPPORTED, "general.quantization_version" },
    { "llama-rope3", "llama.rope.dimension_count", 8, LLM_E_FORMAT, "rope_freqs.weight" },
    { "llama-linear", "llama.rope.scaling.factor", NAN, LLM_E_FORMAT, "llama.rope.scaling.factor" },
    { "llama-linear", "llama.rope.scaling.factor", -4, LLM_E_FORMAT, "llama.rope.scaling.factor" },
    { "llama-linear", "llama.rope.scaling.factor", 1e-9, LLM_E_FORMAT, "llama.rope.scaling.factor" },
    { "llama-yarn", "llama.rope.scaling.original_context_length", 0, LLM_E_FORMAT, "original_context_length" },
    { "mixtral", "llama.expert_count", 0, LLM_E_FORMAT, "llama.expert_used_count" },
    { "mixtral", "llama.expert_count", 5, LLM_E_FORMAT, "ffn_gate_inp.weight" },
    { "mixtral", "llama.expert_count", 1025, LLM_E_FORMAT, "llama.expert_count" },
    { "mixtral", "llama.expert_used_count", 0, LLM_E_FORMAT, "llama.expert_used_count" },
    { "mixtral", "llama.expert_used_count", 5, LLM_E_FORMAT, "llama.expert_used_count" },
    { "mixtral", "llama.feed_forward_length", 33, LLM_E_FORMAT, "ffn_gate_exps.weight" },
    { "mixtral-split", "llama.expert_count", 3, LLM_E_FORMAT, "ffn_gate_inp.weight" },
    { "qwen3-tied", "qwen3.attention.key_length", 20, LLM_E_FORMAT, "attn_q.weight" },
    { "qwen2moe", "qwen2moe.expert_count", 0, LLM_E_FORMAT, "qwen2moe.expert_used_count" },
    { "qwen2moe", "qwen2moe.expert_shared_feed_forward_length", 0, LLM_E_FORMAT, "qwen2moe.expert_shared_feed_forward_length" },
    { "qwen2moe", "qwen2moe.expert_shared_feed_forward_length", 48, LLM_E_FORMAT, "ffn_gate_shexp.weight" },
    { "gemma2", "gemma2.attn_logit_softcapping", NAN, LLM_E_FORMAT, "gemma2.attn_logit_softcapping" },
    { "gemma2", "gemma2.final_logit_softcapping", -30, LLM_E_FORMAT, "gemma2.final_logit_softcapping" },
    { "gemma3-27b", "gemma3.block_count", 63, LLM_E_FORMAT, "gemma3.attention.sliding_window_pattern" },
    { "gemma3-27b", "gemma3.rope.freq_base_swa", INFINITY, LLM_E_FORMAT, "gemma3.rope.freq_base_swa" }
};

static void load_test_lies(lm_host *host)
{
    static load_backend backend;
    const lm_load load = { .vocab_only = false };
    for (size_t i = 0; i < LM_COUNT(load_lies); i++) {
        const load_lie *lie = &load_lies[i];
        load_file f = load_copy(lie->model);
        llm_error error;
        uint32_t type = 0, number = lie->value >= 0 && lie->value <= UINT32_MAX ? (uint32_t)lie->value : 0;
        float real = (float)lie->value;
        char *value = f.bytes ? load_value(&f, lie->key, &type) : NULL;
        if (CHECK_MSG(value && (type == LM_VALUE_U32 || type == LM_VALUE_F32), "%s: no key %s", lie->model, lie->key)) {
            CHECK_MSG(i % 8 || load_bytes(host, &backend, f.bytes, f.size, &load, &error) == LLM_OK, "%s: %s", lie->model, error.message);
            memcpy(value, type == LM_VALUE_U32 ? (void *)&number : (void *)&real, 4);
            llm_status status = load_bytes(host, &backend, f.bytes, f.size, &load, &error);
            CHECK_MSG(status == lie->status && error.status == status && strstr(error.message, lie->says), "%s %g: status %d, '%s'", lie->key, lie->value, status, error.message);
            CHECK(backend.n == 0);                          /* nothing was allocated for weights */
            CHECK(host->mem.used == 0);
        }
        free(f.bytes);
    }
}

/* Renames a key or a tensor to one of the same length. */
typedef struct load_rename { const char *model, *from, *to; llm_status status; const char *says; } load_rename;
static const load_rename load_renames[] = {
    { "llama-tied", "llama.rope.freq_base", "llama.not_known_to_u", LLM_OK, "" },                   /* an unknown key is nothing to us */
    { "llama-tied", "general.architecture", "general.architectura", LLM_E_FORMAT, "general.architecture" },
    { "llama-linear", "general.name", "general.type", LLM_E_UNSUPPORTED, "general.type" },
    { "llama-tied", "llama.block_count", "llama.block_kount", LLM_E_FORMAT, "llama.block_count" },
    { "llama-tied", "llama.feed_forward_length", "llama.feed_backwrd_length", LLM_E_FORMAT, "llama.feed_forward_length" },
    { "llama-tied", "llama.attention.layer_norm_rms_epsilon", "llama.attention.layer_norm_xxx_epsilon", LLM_E_FORMAT, "layer_norm_rms_epsilon" },
    { "llama-tied", "llama.attention.head_count_kv", "llama.attention.head_count_xx", LLM_E_FORMAT, "attn_k.weight" },
    /* keys of other families */
    { "llama-tied", "llama.rope.dimension_count", "llama.nextn_predict_layers", LLM_E_UNSUPPORTED, "llama.nextn_predict_layers" },
    { "mixtral", "llama.attention.key_length", "llama.expert_weights_scale", LLM_E_UNSUPPORTED, "llama.expert_weights_scale" },
    { "llama-tied", "llama.rope.freq_base", "llama.residual_scale", LLM_E_UNSUPPORTED, "llama.residual_scale" },
    { "llama-tied", "llama.attention.value_length", "llama.attention.output_scale", LLM_E_UNSUPPORTED, "llama.attention.output_scale" },
    { "llama-linear", "llama.rope.scaling.factor", "llama.attention.clamp_kqv", LLM_E_UNSUPPORTED, "llama.attention.clamp_kqv" },
    { "llama-tied", "llama.attention.value_length", "llama.attn_logit_softcapping", LLM_E_UNSUPPORTED, "llama.attn_logit_softcapping" },
    { "llama-tied", "llama.attention.head_count_kv", "llama.final_logit_softcapping", LLM_E_UNSUPPORTED, "llama.final_logit_softcapping" },
    { "gemma3", "gemma3.attention.sliding_window", "gemma3.attention.gliding_window", LLM_OK, "" },     /* then no layer has one */
    { "gemma2", "gemma2.attn_logit_softcapping", "gemma2.router_logit_softcappi", LLM_OK, "" },           /* then the cap is the default */
    /* the vocabulary */
    { "llama-tied", "tokenizer.ggml.scores", "tokenizer.ggml.merges", LLM_E_FORMAT, "tokenizer.ggml.merges" },
    { "llama-tied", "tokenizer.ggml.tokens", "tokenizer.ggml.takens", LLM_E_FORMAT, "tokenizer.ggml.tokens" },
    { "llama-tied", "tokenizer.ggml.model", "tokenizer.ggml.mudel", LLM_E_FORMAT, "tokenizer.ggml.model" },
    /* tensors missing, and strangers in their place */
    { "llama-tied", "token_embd.weight", "token_embt.weight", LLM_E_FORMAT, "token_embd.weight" },
    { "llama-tied", "output_norm.weight", "output_narm.weight", LLM_E_FORMAT, "output_norm.weight" },
    { "llama-untied", "output.weight", "outpat.weight", LLM_E_UNSUPPORTED, "outpat.weight" },       /* a stranger, not a tied output */
    { "llama-tied", "blk.2.attn_v.weight", "blk.2.attn_w.weight", LLM_E_FORMAT, "blk.2.attn_v.weight" },
    { "llama-bias", "blk.1.attn_q.bias", "blk.1.attn_q.bios", LLM_E_UNSUPPORTED, "blk.1.attn_q.bios" },
    { "qwen3-tied", "blk.1.attn_k_norm.weight", "blk.1.attn_j_norm.weight", LLM_E_FORMAT, "blk.1.attn_k_norm.weight" },
    { "mixtral", "blk.0.ffn_up_exps.weight", "blk.0.ffn_op_exps.weight", LLM_E_FORMAT, "blk.0.ffn_up_exps.weight" },
    { "gemma2", "blk.1.post_ffw_norm.weight", "blk.1.past_ffw_norm.weight", LLM_E_FORMAT, "blk.1.post_ffw_norm.weight" },
    { "qwen2moe", "blk.1.ffn_gate_inp_shexp.weight", "blk.1.ffn_gate_inp_shoxp.weight", LLM_E_FORMAT, "blk.1.ffn_gate_inp_shexp.weight" },
    { "mixtral-split", "blk.0.ffn_up.2.weight", "blk.0.ffn_up.9.weight", LLM_E_FORMAT, "blk.0.ffn_up.2.weight" },
    { "llama-rope3", "rope_freqs.weight", "rope_freks.weight", LLM_E_UNSUPPORTED, "rope_freks.weight" },
    /* parts of one tensor, two sets of divisors */
    { "phi3-long", "rope_factors_short.weight", "rope_factors_shirt.weight", LLM_E_FORMAT, "rope_factors_short.weight" },
    { "phi3-long", "rope_factors_long.weight", "rope_factors_lung.weight", LLM_E_FORMAT, "rope_factors_long.weight" },
    { "phi3-long", "blk.0.attn_qkv.weight", "blk.0.attn_qkw.weight", LLM_E_FORMAT, "blk.0.attn_q.weight" },
    { "llama-fused", "blk.0.attn_qkv.bias", "blk.0.attn_qkw.bias", LLM_E_UNSUPPORTED, "blk.0.attn_qkw.bias" },
    { "phi3-long", "phi3.feed_forward_length", "phi3.feed_backwrd_length", LLM_E_FORMAT, "phi3.feed_forward_length" }
};

static int load_replace(load_file *f, const char *from, const char *to)
{
    size_t n = strlen(from), found = 0;
    uint64_t len;
    CHECK_MSG(strlen(to) == n, "%s", to);
    for (size_t i = 8; i + n <= f->size; i++) {
        memcpy(&len, f->bytes + i - 8, 8);
        if (len == n && memcmp(f->bytes + i, from, n) == 0) {
            memcpy(f->bytes + i, to, n);
            found++;
        }
    }
    return (int)found;
}

static void load_test_renames(lm_host *host)
{
    static load_backend backend;
    const lm_load load = { .plan_only = false };
    for (size_t i = 0; i < LM_COUNT(load_renames); i++) {
        const load_rename *r = &load_renames[i];
        load_file f = load_copy(r->model);
        llm_error error;
        if (f.bytes && CHECK_MSG(load_replace(&f, r->from, r->to) > 0, "%s: no %s", r->model, r->from)) {
            llm_status status = load_bytes(host, &backend, f.bytes, f.size, &load, &error);
            CHECK_MSG(status == r->status && (status == LLM_OK || strstr(error.message, r->says)), "%s -> %s: status %d, '%s'", r->from, r->to, status, error.message);
            CHECK(host->mem.used == 0);
        }
        free(f.bytes);
    }
}

/* ---- rows --------------------------------------------------------------------------------------------------------------------- */

typedef struct load_watch { int calls, cancel_at; float last; } load_watch;
static int32_t load_progress(void *user, float fraction)
{
    load_watch *w = user;
    CHECK(fraction >= w->last && fraction <= 1.0f);
    w->last = fraction;
    return w->calls++ == w->cancel_at;
}

/* Every weight holds the bytes of its tensor, vectors as F32. */
static void load_test_rows(const char *name)
{
    static load_backend backend;
    lm_host host;
    lm_catalogue *catalogue = NULL;
    lm_model *model = NULL;
    llm_error error;
    load_watch watch = { 0, -1, 0 };
    const lm_load load = { .progress = load_progress, .user = &watch };
    char path[512];
    llm_source source = LLM_INIT(llm_source);
    const llm_source *parts[1] = { &source };
    memset(&host, 0, sizeof host);
    lm_mem_init(&host.mem, NULL, 0);
    gold_path(path, name, "gguf");
    source.path = path;
    source.path_len = LLM_NUL;
    backend = (load_backend){ .base = { &load_table, &host } };
    if (!CHECK_MSG(forward_load(&host, &backend.base, path, &load, &model, &error) == LLM_OK, "%s: %s", name, error.message))
        return;
    CHECK(watch.calls > 2 && watch.last == 1.0f);
    CHECK(lm_catalogue_open(&host, parts, 1, &catalogue, &error) == LLM_OK);
    for (uint32_t i = 0; i < model->program->n_weights; i++) {
        const lm_weight *w = model->weights[i];
        const lm_tensor *t = lm_catalogue_tensor(catalogue, w->info.name);
        unsigned char *bytes = malloc(t->bytes);
        CHECK(lm_catalogue_rows(catalogue, t, 0, t->n_rows, bytes, &error) == LLM_OK);
        /* a part of the tensor, or all of it, or the first of several */
        uint64_t item = t->row_bytes / t->ne[0], from = w->info.first * (w->info.is_vector ? item : t->row_bytes);
        uint64_t n_bytes = w->info.is_vector ? w->info.n_cols * item : LM_MIN(w->info.n_rows, t->n_rows) * t->row_bytes;
        CHECK(from + n_bytes <= t->bytes);
        if (w->info.is_vector && t->type == LM_TYPE_F16)
            CHECK(w->row_bytes == 2 * n_bytes && w->info.type == LM_TYPE_F32);
        else
            CHECK_MSG(memcmp(bytes + from, w->bytes, n_bytes) == 0, "%s: %s", name, w->info.name);
        free(bytes);
    }
    uint64_t sum = 0;
    for (uint32_t i = 0; i < model->program->n_weights; i++)
        sum += model->weights[i]->row_bytes * model->weights[i]->info.n_rows;
    CHECK(lm_model_weight_cost(model) == sum);
    CHECK(model->n_params > 0 && model->weight_bytes > 0 && model->n_vocab == 100);
    lm_catalogue_free(catalogue);
    lm_model_close(model);
    CHECK(host.mem.used == 0);
}

static void load_test_cancel(lm_host *host)
{
    static load_backend backend;
    load_file f = load_copy("llama-bias");
    llm_error error;
    for (int n = 0; f.bytes; n++) {
        load_watch watch = { 0, n, 0 };
        const lm_load load = { .progress = load_progress, .user = &watch };
        llm_status status = load_bytes(host, &backend, f.bytes, f.size, &load, &error);
        CHECK(host->mem.used == 0);
        if (status == LLM_OK) {
            CHECK(n > 10);
            break;
        }
        if (!CHECK_MSG(status == LLM_E_CANCELLED, "%s", error.message))
            break;
    }
    free(f.bytes);
}

/* A NaN, an infinite scale, a zero divisor: refused by tensor and place. */
static void load_test_corrupt(lm_host *host)
{
    static const struct { const char *model, *tensor; size_t at; uint32_t value; size_t width; const char *says; } cases[] = {
        { "llama-tied", "blk.1.attn_q.weight", 4 * (32 * 5 + 7), 0x7fc00000u, 4, "row 5" },
        { "llama-tied", "blk.1.ffn_norm.weight", 4 * 31, 0x7f800000u, 4, "row 0" },
        { "llama-q4_0", "blk.0.attn_k.weight", 34 * 2 * 3 + 34, 0x7c00u, 2, "row 3, block 1" },
        { "llama-half", "blk.0.ffn_norm.weight", 4, 0x7e00u, 2, "row 0" },
        { "llama-rope3", "rope_freqs.weight", 4, 0, 4, "divisor 1" },
        { "qwen3-k", "blk.0.attn_q.weight", 144 * 9 + 2, 0xfc00u, 2, "row 9, block 0" },
        { "llama-mixed", "blk.0.attn_q.weight", 84 * 9 + 82, 0x7e00u, 2, "row 9, block 0" },
        { "llama-mixed", "blk.0.ffn_down.weight", 18 * 5 * 3 + 18 * 4, 0xfe00u, 2, "row 3, block 4" },
        { "mixtral-32", "output.weight", 17 * 2 * 5 + 17, 0xffu, 1, "row 5, block 1" }
    };
    static load_backend backend;
    const lm_load load = { .vocab_only = false };
    for (size_t i = 0; i < LM_COUNT(cases); i++) {
        load_file f = load_copy(cases[i].model);
        lm_catalogue *catalogue = NULL;
        llm_error error;
        llm_source source = LLM_INIT(llm_source);
        const llm_source *parts[1] = { &source };
        source.kind = LLM_SOURCE_BUFFER;
        source.data = f.bytes;
        source.data_len = f.size;
        if (CHECK(lm_catalogue_open(host, parts, 1, &catalogue, &error) == LLM_OK)) {
            const lm_tensor *t = lm_catalogue_tensor(catalogue, cases[i].tensor);
            if (CHECK(t != NULL))
                memcpy(f.bytes + t->offset + cases[i].at, &cases[i].value, cases[i].width);
            lm_catalogue_free(catalogue);
            llm_status status = load_bytes(host, &backend, f.bytes, f.size, &load, &error);
            CHECK_MSG(status == LLM_E_FORMAT && strstr(error.message, cases[i].tensor) && strstr(error.message, cases[i].says), "%s: %d '%s'", cases[i].tensor, status, error.message);
            CHECK(host->mem.used == 0);
        }
        free(f.bytes);
    }
}

/* The backend's refusal comes before any weight; plan_only stops there too; vocab_only needs no tensor. */
static void load_test_modes(lm_host *host)
{
    static load_backend backend;
    load_file f = load_copy("llama-tied");
    llm_error error;
    if (!f.bytes)
        return;
    backend.refuse = 1;
    CHECK(load_bytes(host, &backend, f.bytes, f.size, &(lm_load){ .plan_only = false }, &error) == LLM_E_UNSUPPORTED && backend.n == 0);
    backend.refuse = 0;
    CHECK(load_bytes(host, &backend, f.bytes, f.size, &(lm_load){ .plan_only = true }, &error) == LLM_OK && backend.n == 0);
    CHECK(load_replace(&f, "token_embd.weight", "token_embt.weight") == 1);
    CHECK(load_bytes(host, &backend, f.bytes, f.size, &(lm_load){ .vocab_only = true }, &error) == LLM_OK && backend.n == 0);
    CHECK(host->mem.used == 0);
    free(f.bytes);
}

/* ---- the n-th allocation fails ------------------------------------------------------------------------------------------------- */

typedef struct load_fault { long left; } load_fault;
static void *load_fault_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    load_fault *fault = user;
    (void)kind;
    return fault->left-- == 0 ? NULL : aligned_alloc(align, (size + align - 1) / align * align);
}
static void load_fault_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)size, (void)align, (void)kind;
    free(ptr);
}

static void load_test_no_memory(const char *name)
{
    static load_backend backend;
    load_file f = load_copy(name);
    const lm_load load = { .vocab_only = false };
    int n_spared = 0;
    for (long n = 0; f.bytes; n++) {
        load_fault fault = { n };
        llm_allocator hooks = { .struct_size = sizeof hooks, .user = &fault, .allocate = load_fault_allocate, .release = load_fault_release };
        lm_host host;
        llm_error error;
        memset(&host, 0, sizeof host);
        lm_mem_init(&host.mem, &hooks, 0);
        llm_status status = load_bytes(&host, &backend, f.bytes, f.size, &load, &error);
        CHECK(host.mem.used == 0);
        if (fault.left >= 0) {
            CHECK_MSG(status == LLM_OK && n > 30, "%s", error.message);
            break;
        }
        n_spared += status == LLM_OK;                       /* one allocation saves memory and can be done without: the vocabulary is trimmed */
        if (!CHECK_MSG(status == LLM_E_MEMORY || (status == LLM_OK && n_spared == 1), "allocation %ld: status %d, '%s'", n, status, error.message))
            break;
    }
    free(f.bytes);
}

/* ---- bytes of the header changed at random ----------------------------------------------------------------------------------- */

/* Any outcome will do but a crash, a leak, a status without a message, or weights that were begun and not finished. */
static void load_test_flips(lm_host *host, const char *name, uint32_t rounds)
{
    static const unsigned char values[] = { 0, 1, 2, 6, 8, 9, 0x10, 0x7f, 0x80, 0xff };
    static load_backend backend;
    load_file f = load_copy(name);
    uint32_t seed = 7, header = 0;
    llm_error error;
    while (f.bytes && header + 4 < f.size && memcmp(f.bytes + header, "blk.0", 5) != 0)
        header++;                                           /* keys, and the first tensors */
    for (uint32_t i = 0; f.bytes && i < rounds; i++) {
        uint32_t at[3], n = 1 + i % 3;
        char old[3];
        for (uint32_t k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            at[k] = (uint32_t)(((uint64_t)seed * (header + 400)) >> 32);
            seed = seed * 1664525u + 1013904223u;
            old[k] = f.bytes[at[k]];
            f.bytes[at[k]] = seed >> 31 ? (char)(seed >> 20) : (char)values[(seed >> 20) % LM_COUNT(values)];
        }
        llm_status status = load_bytes(host, &backend, f.bytes, f.size, &(lm_load){ .vocab_only = i % 7 == 0 }, &error);
        CHECK_MSG(status == LLM_OK || (status < 0 && status != LLM_E_INTERNAL && error.status == status && error.message[0]), "round %u: %d '%s'", i, status, error.message);
        CHECK(host->mem.used == 0);
        for (uint32_t k = n; k-- > 0;)
            f.bytes[at[k]] = old[k];
    }
    free(f.bytes);
}

/* ---- malformed files of the shared data -------------------------------------------------------------------------------------------- */

static const struct { const char *file; llm_status status; const char *says; } load_hostile[] = {
    { "ok_minimal", LLM_E_FORMAT, "token_embd.weight" }, { "arch_wrong_type", LLM_E_FORMAT, "general.architecture" }, { "no_arch", LLM_E_FORMAT, "general.architecture" },
    { "hp_head_count_0x0", LLM_E_FORMAT, "llama.attention.head_count" }, { "hp_head_count_0x3", LLM_E_FORMAT, "llama.attention.head_count" },
    { "hp_head_count_0xffffffff", LLM_E_FORMAT, "llama.attention.head_count" }, { "hp_head_count_kv_0x8", LLM_E_FORMAT, "llama.attention.head_count_kv" },
    { "hp_block_count_0x0", LLM_E_FORMAT, "llama.block_count" }, { "hp_embedding_length_0x80000000", LLM_E_FORMAT, "llama.embedding_length" },
    { "hp_context_length_0xffffffff", LLM_E_FORMAT, "llama.context_length" },
    { "vocab_types_u8", LLM_E_FORMAT, "tokenizer.ggml.token_type" }, { "vocab_tokens_i32", LLM_E_FORMAT, "tokenizer.ggml.tokens" },
    { "vocab_empty_token", LLM_E_FORMAT, "token" }, { "vocab_bad_utf8", LLM_E_FORMAT, "token" }, { "vocab_nan_scores", LLM_E_FORMAT, "score" },
    { "vocab_long_token", LLM_E_LIMIT, "token" }, { "vocab_empty", LLM_E_FORMAT, "token" }
};

static void load_test_hostile(lm_host *host)
{
    static const char *const templates[] = { "loop", "deep", "if_deep", "recursion", "ssti", "range_neg", "huge_int", "bad_utf8", "nul", "list_bomb" };
    static load_backend backend;
    char path[512];
    llm_error error;
    load_file f;
    snprintf(path, sizeof path, "%s/hostile/ok_minimal.gguf", LLM_TEST_DATA);
    f.bytes = test_read_file(path, &f.size);
    if (!f.bytes) {
        printf("no malformed files at %s/hostile: they are skipped\n", LLM_TEST_DATA);
        return;
    }
    free(f.bytes);
    for (size_t i = 0; i < LM_COUNT(load_hostile); i++) {
        snprintf(path, sizeof path, "%s/hostile/%s.gguf", LLM_TEST_DATA, load_hostile[i].file);
        f.bytes = test_read_file(path, &f.size);
        llm_status status = load_bytes(host, &backend, f.bytes, f.size, &(lm_load){ .vocab_only = false }, &error);
        printf("%-32s %s\n", load_hostile[i].file, error.message);
        CHECK_MSG(status == load_hostile[i].status && strstr(error.message, load_hostile[i].says), "%s: %d '%s'", load_hostile[i].file, status, error.message);
        CHECK(host->mem.used == 0);
        free(f.bytes);
    }
    for (size_t i = 0; i < LM_COUNT(templates); i++) {      /* a bad template stops no load: only the tensors are missing */
        snprintf(path, sizeof path, "%s/hostile/tmpl_%s.gguf", LLM_TEST_DATA, templates[i]);
        f.bytes = test_read_file(path, &f.size);
        llm_status status = load_bytes(host, &backend, f.bytes, f.size, &(lm_load){ .vocab_only = true }, &error);
        CHECK_MSG(status == LLM_OK, "%s: %d '%s'", templates[i], status, error.message);
        status = load_bytes(host, &backend, f.bytes, f.size, &(lm_load){ .vocab_only = false }, &error);
        CHECK_MSG(status == LLM_E_FORMAT && strstr(error.message, "tensor"), "%s: %d '%s'", templates[i], status, error.message);
        CHECK(host->mem.used == 0);
        free(f.bytes);
    }
}

int main(void)
{
    lm_host host;
    memset(&host, 0, sizeof host);
    lm_mem_init(&host.mem, NULL, 0);
    load_test_modes(&host);
    load_test_lies(&host);
    load_test_renames(&host);
    for (int i = 0; i < GOLD_MODELS; i++)
        if (strcmp(gold_models[i].name, "mixtral-split") != 0)
            load_test_rows(gold_models[i].name);
    load_test_cancel(&host);
    load_test_corrupt(&host);
    load_test_no_memory("llama-rope3");
    load_test_no_memory("mixtral");
    load_test_no_memory("gemma3");
    load_test_flips(&host, "llama-rope3", 5000);
    load_test_flips(&host, "mixtral-split", 5000);
    load_test_flips(&host, "gemma2", 2000);
    load_test_hostile(&host);
    return TEST_DONE();
}
