/* SPDX-License-Identifier: MIT
 * Writing a session: see save.h. Position by position, not page by page, so that a file does not know how large pages are, and nothing of a partly
 * filled page goes out but what was written. */
#include "session/save.h"

#include "base/size.h"

#include <string.h>

typedef struct save_plan {
    llm_session *s;
    const llm_save_desc *desc;
    bool state;                         /* what was taken in goes along */
    uint64_t first[LM_MAX_PAGE_CLASSES];
    lm_saved_about about;
    lm_saved_section sections[LM_SAVED_MOST_SECTIONS];
    lm_reply_past past;
    uint32_t n_sections;
} save_plan;

/* ---- the layout of state, for both ways */

lm_save_stream lm_save_stream_of(const lm_stream *stream)
{
    return (lm_save_stream){ .page_class = stream->page_class, .n_heads = stream->n_heads, .k_dim = stream->k_dim, .v_dim = stream->v_dim, .keep = stream->keep };
}

uint64_t lm_save_row_bytes(const lm_program *program, int32_t state_type, uint32_t page_class)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < program->n_streams; i++) {
        const lm_stream *stream = &program->streams[i];
        if (stream->page_class == page_class)
            bytes += stream->n_heads * (lm_state_row_bytes(state_type, stream->k_dim) + lm_state_row_bytes(state_type, stream->v_dim));
    }
    return bytes;
}

bool lm_save_state_bytes(const lm_program *program, int32_t state_type, const uint64_t *first, uint64_t n_evaluated, uint64_t *out)
{
    uint64_t sum = sizeof(lm_save_state) + program->n_streams * sizeof(lm_save_stream) + program->n_page_classes * sizeof *first, rows;
    for (uint32_t c = 0; c < program->n_page_classes; c++)
        if (first[c] > n_evaluated || !lm_mul_u64(n_evaluated - first[c], lm_save_row_bytes(program, state_type, c), &rows) || !lm_add_u64(sum, rows, &sum) || sum > INT64_MAX)
            return false;
    *out = sum;
    return true;
}

void lm_save_rows(const lm_program *program, int32_t state_type, uint32_t page_class, unsigned char *page, unsigned char *rows, uint32_t begin, uint32_t n,
                  bool out)
{
    uint64_t row_bytes = lm_save_row_bytes(program, state_type, page_class), at = 0;
    for (uint32_t i = 0; i < program->n_streams; i++) {
        const lm_stream *stream = &program->streams[i];
        if (stream->page_class != page_class)
            continue;
        for (int is_v = 0; is_v < 2; is_v++) {
            size_t part = (size_t)(stream->n_heads * lm_state_row_bytes(state_type, is_v ? stream->v_dim : stream->k_dim));
            for (uint32_t p = 0; p < n; p++) {
                unsigned char *ours = page + (begin + p) * part, *theirs = rows + p * row_bytes + at;
                memcpy(out ? theirs : ours, out ? ours : theirs, part);
            }
            page += LM_PAGE_POSITIONS * part;
            at += part;
        }
    }
}

/* ---- what there is to write */

static void save_section(save_plan *p, uint32_t kind, uint64_t bytes)
{
    if (bytes != 0)
        p->sections[p->n_sections++] = (lm_saved_section){ .kind = kind, .bytes = bytes };
}

static llm_status save_plan_make(save_plan *p, llm_error *error)
{
    llm_session *s = p->s;
    const lm_model *model = s->model->model;
    uint64_t state = 0;
    p->state = !(p->desc->flags & LLM_SAVE_TOKENS_ONLY) && s->n_evaluated != 0;
    p->about.arithmetic = LM_ARITHMETIC;
    p->about.state_type = s->state_type;
    lm_loaded_fingerprint(s->model, &p->about.model, &p->about.vocabulary);
    p->about.n_tokens = s->n_tokens;
    p->about.n_evaluated = p->state ? s->n_evaluated : 0;
    p->past = lm_session_past(s);
    p->about.n_reply = p->past.known ? p->past.n_drawn : 0;
    p->about.n_slid = s->n_slid;
    p->about.n_ctx = s->n_ctx;
    p->about.n_vocab = model->n_vocab;
    p->about.row_flags = s->row_flags;
    for (uint32_t c = 0; c < s->pages->n_classes; c++)
        p->first[c] = LM_MIN((uint64_t)s->table.first[c] * LM_PAGE_POSITIONS, p->about.n_evaluated);
    if (p->state && !lm_save_state_bytes(model->program, s->state_type, p->first, s->n_evaluated, &state))
        return lm_fail(error, LLM_E_LIMIT, "the session's state passes the size of a file");
    save_section(p, LM_SAVED_TOKENS, s->n_tokens * sizeof(llm_token));
    save_section(p, LM_SAVED_MEMORIES, s->n_memories * sizeof(lm_memory));
    save_section(p, LM_SAVED_SCORES, s->n_scores * sizeof *s->scores);
    save_section(p, LM_SAVED_LOGITS, p->state && s->logits_at == s->n_evaluated ? s->logits->n * sizeof *s->logits->values : 0);
    save_section(p, LM_SAVED_NOTE, p->desc->note_len);
    save_section(p, LM_SAVED_STATE, state);
    save_section(p, LM_SAVED_REPLY, p->past.known ? sizeof(lm_save_reply) : 0);
    return LLM_OK;
}

/* ---- writing it */

static llm_status save_state_head(const save_plan *p, lm_saved_writer *w, llm_error *error)
{
    const lm_program *program = p->s->model->model->program;
    lm_save_state head = { program->n_streams, program->n_page_classes };
    LM_TRY(lm_saved_write(w, &head, sizeof head, error));
    for (uint32_t i = 0; i < program->n_streams; i++) {
        lm_save_stream stream = lm_save_stream_of(&program->streams[i]);
        LM_TRY(lm_saved_write(w, &stream, sizeof stream, error));
    }
    return lm_saved_write(w, p->first, program->n_page_classes * sizeof *p->first, error);
}

/* room: a page as it is exported, and behind it its rows. */
static llm_status save_state_class(const save_plan *p, uint32_t page_class, unsigned char *room, lm_saved_writer *w, llm_error *error)
{
    llm_session *s = p->s;
    const lm_program *program = s->model->model->program;
    const lm_backend *backend = s->pages->backend;
    uint64_t page_bytes = backend->table->pool_page_bytes(backend, s->pages->pool, page_class), row_bytes = lm_save_row_bytes(program, s->state_type, page_class);
    for (uint64_t at = p->first[page_class]; at < s->n_evaluated; at += LM_PAGE_POSITIONS) {
        uint32_t n = (uint32_t)LM_MIN(s->n_evaluated - at, (uint64_t)LM_PAGE_POSITIONS), page = s->table.pages[page_class][at / LM_PAGE_POSITIONS];
        LM_TRY(backend->table->page_export(s->pages->backend, s->pages->pool, page_class, page, room, error));
        lm_save_rows(program, s->state_type, page_class, room, room + page_bytes, 0, n, true);
        LM_TRY(lm_saved_write(w, room + page_bytes, (size_t)(n * row_bytes), error));
    }
    return LLM_OK;
}

static llm_status save_state(const save_plan *p, lm_saved_writer *w, llm_error *error)
{
    lm_pages *pages = p->s->pages;
    lm_mem *mem = &p->s->model->engine->host.mem;
    uint64_t most = 0;
    for (uint32_t c = 0; c < pages->n_classes; c++)
        most = LM_MAX(most, pages->backend->table->pool_page_bytes(pages->backend, pages->pool, c));
    if (!lm_fits_size(most * 2))
        return lm_fail(error, LLM_E_LIMIT, "a page of state does not fit into memory twice");
    unsigned char *room = lm_mem_raw(mem, (size_t)most * 2, LLM_MEMORY_OTHER);
    if (!room)
        return lm_fail_memory(error, "a page of state on its way", (size_t)most * 2);
    llm_status status = save_state_head(p, w, error);
    for (uint32_t c = 0; status >= 0 && c < pages->n_classes; c++)
        status = save_state_class(p, c, room, w, error);
    lm_mem_free(mem, room);
    return status;
}

static llm_status save_reply(const lm_reply_past *past, lm_saved_writer *w, llm_error *error)
{
    lm_save_reply reply = { past->n_gone, past->n_unread, (past->strip ? LM_SAVE_STRIP : 0) | (past->over ? LM_SAVE_OVER : 0), 0 };
    return lm_saved_write(w, &reply, sizeof reply, error);
}

static llm_status save_contents(const save_plan *p, uint32_t kind, lm_saved_writer *w, llm_error *error)
{
    const llm_session *s = p->s;
    switch (kind) {
    case LM_SAVED_TOKENS: return lm_saved_write(w, s->tokens->ids, s->n_tokens * sizeof(llm_token), error);
    case LM_SAVED_MEMORIES: return lm_saved_write(w, s->memories->at, s->n_memories * sizeof(lm_memory), error);
    case LM_SAVED_SCORES: return lm_saved_write(w, s->scores, s->n_scores * sizeof *s->scores, error);
    case LM_SAVED_LOGITS: return lm_saved_write(w, s->logits->values, s->logits->n * sizeof *s->logits->values, error);
    case LM_SAVED_NOTE: return lm_saved_write(w, p->desc->note, p->desc->note_len, error);
    case LM_SAVED_REPLY: return save_reply(&p->past, w, error);
    default: return save_state(p, w, error);
    }
}

static llm_status save_write(const save_plan *p, const llm_sink *sink, llm_error *error)
{
    lm_saved_writer w;
    LM_TRY(lm_saved_write_open(&p->s->model->engine->host, sink, &p->about, p->sections, p->n_sections, &w, error));
    llm_status status = LLM_OK;
    for (uint32_t i = 0; status >= 0 && i < p->n_sections; i++) {
        status = lm_saved_write_section(&w, &p->sections[i], error);
        if (status >= 0)
            status = save_contents(p, p->sections[i].kind, &w, error);
        if (status >= 0)
            status = lm_saved_write_section_end(&w, error);
    }
    if (status >= 0)
        status = lm_saved_write_end(&w, error);
    lm_saved_write_drop(&w);
    return status < 0 ? status : LLM_OK;
}

llm_status lm_session_save(llm_session *s, const llm_sink *sink, const llm_save_desc *desc, llm_error *error)
{
    save_plan plan = { .s = s, .desc = desc };
    if (desc->flags & ~(uint32_t)LLM_SAVE_TOKENS_ONLY)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_save_desc.flags is 0x%x: an unknown flag is set", desc->flags);
    if (desc->note_len > LM_SAVE_MAX_NOTE)
        return lm_fail(error, LLM_E_LIMIT, "llm_save_desc.note has %zu bytes: at most %d", desc->note_len, LM_SAVE_MAX_NOTE);
    LM_TRY(lm_session_enter(s, error));
    llm_status status = save_plan_make(&plan, error);
    if (status == LLM_OK && plan.state && s->n_evaluated % LM_PAGE_POSITIONS != 0)
        lm_session_drop_pass(s);                            /* it writes into the last page */
    if (status == LLM_OK)
        status = save_write(&plan, sink, error);
    return lm_session_leave(s, status);
}
