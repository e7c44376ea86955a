/* SPDX-License-Identifier: MIT */
#include "forward.h"

#include "base/os.h"

#include <string.h>

llm_status (*forward_place)(void *user, const lm_program *program, uint32_t n_layers, lm_backend **backend, llm_error *error);

llm_status forward_load(lm_host *host, lm_backend *backend, const char *path, const lm_load *load, lm_model **out, llm_error *error)
{
    lm_catalogue *catalogue = NULL;
    llm_source source = LLM_INIT(llm_source);
    const llm_source *parts[1] = { &source };
    source.path = path;
    source.path_len = LLM_NUL;
    LM_TRY(lm_catalogue_open(host, parts, 1, &catalogue, error));
    llm_status status = lm_model_open(host, backend, catalogue, load, out, error);
    if (status < 0)
        lm_catalogue_free(catalogue);
    return status;
}

llm_status forward_open(forward *f, const char *path, lm_backend *backend, int32_t tier, int32_t threads, int32_t state_type, uint32_t max_rows)
{
    const lm_cpu_desc cpu = { .n_threads = threads, .tier = tier };
    lm_load load = { .vocab_only = false };
    const uint32_t max_pages = LM_MAX_PAGE_CLASSES * FORWARD_SLOTS * (FORWARD_CTX / LM_PAGE_POSITIONS + 1);
    lm_host *host = backend ? backend->host : &f->host;
    memset(f, 0, sizeof *f);
    load.place = forward_place;
    load.place_user = host;
    lm_mem_init(&f->host.mem, NULL, 0);
    f->backend = backend;
    f->max_rows = max_rows;
    llm_status status = LLM_OK;
    if (!backend)
        status = lm_cpu_backend_open(&f->host, &cpu, &f->backend, &f->error);
    if (status >= 0)
        status = forward_load(host, f->backend, path, &load, &f->model, &f->error);
    if (status >= 0)
        f->backend = f->model->backend;
    if (status >= 0)
        status = f->backend->table->pool_open(f->backend, f->model->program, state_type, &f->pool, &f->error);
    if (status >= 0)
        status = f->backend->table->arena_open(f->backend, f->model->exec, max_rows, max_rows, FORWARD_SLOTS, max_pages, &f->arena, &f->error);
    if (status < 0)
        forward_close(f);
    return status;
}

void forward_close(forward *f)
{
    if (f->backend) {
        const lm_backend_table *t = f->backend->table;
        t->arena_close(f->backend, f->arena);
        t->pool_close(f->backend, f->pool);
        lm_model_close(f->model);
        t->close(f->backend);
    }
    f->backend = NULL;
}

void forward_drop(forward *f, forward_seq *seq)
{
    for (uint32_t c = 0; c < f->model->program->n_page_classes; c++)
        for (uint32_t i = 0; i < seq->n_pages[c]; i++)
            f->backend->table->page_give(f->backend, f->pool, c, seq->pages[c][i]);
    memset(seq, 0, sizeof *seq);
}

static llm_status forward_pages(forward *f, forward_seq *seq, uint32_t n_tokens)
{
    for (uint32_t c = 0; c < f->model->program->n_page_classes; c++)
        while (seq->n_pages[c] * LM_PAGE_POSITIONS < n_tokens) {
            LM_TRY(f->backend->table->page_take(f->backend, f->pool, c, &seq->pages[c][seq->n_pages[c]], &f->error));
            seq->n_pages[c]++;
        }
    return LLM_OK;
}

static llm_status forward_steps(forward *f, lm_run *run)
{
    for (;;) {
        lm_run_control control = { .deadline_ns = INT64_MAX, .stop_op = LM_RUN_ALL_OPS };
        if (f->deadline_us)
            control.deadline_ns = lm_now_ns() + f->deadline_us * 1000;
        llm_status status = f->backend->table->run_step(f->backend, run, &control, &f->error);
        f->n_steps++;
        if (status != LLM_MORE)
            return status;
    }
}

llm_status forward_pass(forward *f, const forward_part *parts, uint32_t n_parts)
{
    static lm_row rows[FORWARD_CTX * FORWARD_SLOTS];
    lm_slot slots[FORWARD_SLOTS];
    lm_batch batch = { .rows = rows, .slots = slots, .n_slots = n_parts };
    const lm_program *p = f->model->program;
    lm_run *run = NULL;
    memset(slots, 0, sizeof slots);
    for (uint32_t i = 0; i < n_parts; i++) {
        forward_seq *seq = parts[i].seq;
        LM_TRY(forward_pages(f, seq, seq->n_tokens + parts[i].n));
        for (uint32_t c = 0; c < p->n_page_classes; c++) {
            slots[i].pages[c] = seq->pages[c];
            slots[i].n_pages[c] = seq->n_pages[c];
        }
        for (uint32_t k = 0; k < parts[i].n; k++)
            rows[batch.n_rows++] = (lm_row){ .slot = i, .position = (int32_t)(seq->n_tokens + k), .token = parts[i].tokens[k], 
                                                   .flags = (parts[i].logits ? LM_ROW_LOGITS : 0) | lm_program_row_flags(p, FORWARD_CTX) };
        batch.n_out += parts[i].logits ? parts[i].n : 0;
    }
    LM_TRY(f->backend->table->run_begin(f->backend, f->model->exec, f->pool, f->arena, &batch, &run, &f->error));
    llm_status status = forward_steps(f, run);
    for (uint32_t i = 0, out = 0; status == LLM_OK && i < n_parts; i++) {
        for (uint32_t k = 0; parts[i].logits && k < parts[i].n; k++)
            memcpy(parts[i].logits + (size_t)k * p->n_vocab, f->backend->table->run_value(f->backend, run, p->logits, out++), p->n_vocab * sizeof(float));
        parts[i].seq->n_tokens += parts[i].n;
    }
    f->backend->table->run_end(f->backend, run);
    return status;
}

llm_status forward_all(forward *f, const llm_token *tokens, uint32_t n, uint32_t chunk, float *logits)
{
    forward_seq seq;
    memset(&seq, 0, sizeof seq);
    llm_status status = LLM_OK;
    for (uint32_t at = 0; status >= 0 && at < n; at += chunk) {
        forward_part part = { &seq, tokens + at, LM_MIN(chunk, n - at), logits + (size_t)at * f->model->program->n_vocab };
        status = forward_pass(f, &part, 1);
    }
    forward_drop(f, &seq);
    return status;
}
