/* SPDX-License-Identifier: MIT
 * Sessions saved into memory and back, for the tests of saving. */
#ifndef SAVING_H
#define SAVING_H

#include "tiny.h"

typedef struct saving { unsigned char *data; size_t size, cap; long long n_calls, fail_at; } saving;

static inline llm_status saving_write(void *user, const void *data, size_t n)
{
    saving *f = user;
    if (++f->n_calls == f->fail_at)
        return -12345;
    if (f->size + n > f->cap) {
        f->cap = (f->size + n) * 2;
        f->data = realloc(f->data, f->cap);
    }
    memcpy(f->data + f->size, data, n);
    f->size += n;
    return LLM_OK;
}

static inline llm_status saving_put(llm_session *s, saving *f, const llm_save_desc *desc, llm_error *error)
{
    llm_writer writer = LLM_INIT(llm_writer);
    llm_sink sink = LLM_INIT(llm_sink);
    writer.user = f;
    writer.write = saving_write;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    f->size = 0;
    return llm_session_save_to(s, &sink, desc, error);
}

static inline llm_source saving_source(const void *data, size_t size)
{
    llm_source source = LLM_INIT(llm_source);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = data;
    source.data_len = size;
    return source;
}

static inline llm_status saving_get(llm_session *s, const saving *f, uint32_t flags, llm_error *error)
{
    llm_source source = saving_source(f->data, f->size);
    return llm_session_restore_from(s, &source, flags, error);
}

/* Tokens, how many are pending, and logits where there are any. */
static inline uint64_t saving_hash(llm_session *s)
{
    const llm_token *tokens = NULL;
    size_t n = 0, pending = llm_session_n_pending(s);
    uint64_t hash = tiny_logits_hash(s) * 31 + pending;
    if (llm_session_tokens(s, &tokens, &n, NULL) != LLM_OK)
        return 0;
    return n ? tiny_hash(tokens, n * sizeof *tokens, hash) : hash;
}

static inline size_t saving_same_tokens(llm_session *a, llm_session *b)
{
    const llm_token *x, *y;
    size_t n, m;
    llm_session_tokens(a, &x, &n, NULL);
    llm_session_tokens(b, &y, &m, NULL);
    return n == m && (n == 0 || memcmp(x, y, n * sizeof *x) == 0) ? 1 : 0;
}

#endif
