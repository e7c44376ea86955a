/* SPDX-License-Identifier: MIT
 * Reading a session: see save.h. All that a session will be is made beside it, from bytes that are not believed: a size is held against what it must
 * be before memory is taken by it, and every section against its digest. Only when the file has been read to its end does the session change,
 * and that cannot fail. */
#include "session/save.h"

#include "base/half.h"
#include "base/size.h"

#include <string.h>

typedef struct restore_plan {
    llm_session *s;
    uint32_t flags;                     /* LLM_RESTORE_* */
    lm_saved saved;
    bool use_state;
    const char *why_not;                /* use_state is false */
    size_t n_tokens, n_memories, n_scores;
    lm_reply_past past;
    lm_ids *tokens;
    lm_memories *memories;
    float *scores;
    lm_logits *logits;
    lm_page_table table;
    bool has_state, has_logits;         /* which sections there were */
} restore_plan;

static llm_status restore_lie(const restore_plan *p, const char *what, llm_error *error)
{
    const char *name = lm_source_name(p->saved.source);
    return lm_fail_at(error, LLM_E_FORMAT, name, strlen(name), p->saved.at, "'%s' is damaged: %s (byte %llu)", name, what, (unsigned long long)p->saved.at);
}

static bool restore_finite(float x) { return (lm_bits_from_f32(x) & 0x7f800000u) != 0x7f800000u; }

/* ---- the header against the session */

static bool restore_state_fits(const llm_session *s, const lm_saved_about *about, const char **why)
{
    *why = about->n_evaluated == 0 ? "it was saved without its state" : about->arithmetic != LM_ARITHMETIC ? "its state is of another arithmetic"
           : about->state_type != s->state_type ? "its state is of another type than the session's" : "its state sees positions in another way than the session's context";
    return about->n_evaluated != 0 && about->arithmetic == LM_ARITHMETIC && about->state_type == s->state_type && about->row_flags == s->row_flags;
}

static llm_status restore_check(restore_plan *p, llm_error *error)
{
    const llm_session *s = p->s;
    const lm_saved_about *about = &p->saved.about;
    uint64_t model, vocabulary;
    lm_loaded_fingerprint(s->model, &model, &vocabulary);
    if (about->n_evaluated > about->n_tokens || about->n_reply > about->n_tokens)
        return restore_lie(p, "its header contradicts itself", error);
    if (about->vocabulary != vocabulary || about->n_vocab != s->model->model->n_vocab)
        return lm_fail(error, LLM_E_MISMATCH, "'%s' was saved by another model, whose tokens are others", lm_source_name(p->saved.source));
    if (about->model != model && !(p->flags & LLM_RESTORE_OTHER_MODEL))
        return lm_fail(error, LLM_E_MISMATCH, "'%s' was saved by another model with the same vocabulary", lm_source_name(p->saved.source));
    if (about->n_tokens > s->n_ctx)
        return lm_fail(error, LLM_E_CONTEXT_FULL, "'%s' holds %llu tokens, the session's context %u", lm_source_name(p->saved.source), (unsigned long long)about->n_tokens,
                       s->n_ctx);
    p->n_tokens = (size_t)about->n_tokens;
    p->use_state = restore_state_fits(s, about, &p->why_not);
    if (p->use_state && about->model != model) {
        p->use_state = false;
        p->why_not = "its state is another model's";
    }
    return LLM_OK;
}

/* ---- sections */

static llm_status restore_tokens(restore_plan *p, const lm_saved_section *section, llm_error *error)
{
    llm_session *s = p->s;
    size_t room = s->flags & LLM_SESSION_RESERVE ? s->n_ctx : p->n_tokens;
    if (section->bytes != (uint64_t)p->n_tokens * sizeof(llm_token))
        return restore_lie(p, "it has more or fewer tokens than its header says", error);
    LM_TRY(lm_ids_room(&s->model->engine->host, &p->tokens, 0, room, s->n_ctx, error));
    LM_TRY(lm_saved_read(&p->saved, p->tokens->ids, p->n_tokens * sizeof(llm_token), error));
    for (size_t i = 0; i < p->n_tokens; i++)
        if (p->tokens->ids[i] < 0 || (uint32_t)p->tokens->ids[i] >= s->model->model->n_vocab)
            return restore_lie(p, "a token is outside the vocabulary", error);
    return LLM_OK;
}

static llm_status restore_memories(restore_plan *p, const lm_saved_section *section, llm_error *error)
{
    uint64_t n = section->bytes / sizeof(lm_memory);
    if (section->bytes % sizeof(lm_memory) != 0 || n > p->n_tokens)
        return restore_lie(p, "what a sampler remembers has another size than it can have", error);
    LM_TRY(lm_memories_room(&p->s->model->engine->host, &p->memories, 0, p->s->flags & LLM_SESSION_RESERVE ? p->s->n_ctx : (size_t)n, error));
    LM_TRY(lm_saved_read(&p->saved, p->memories->at, (size_t)section->bytes, error));
    for (size_t i = 0; i < n; i++) {
        const lm_memory *m = &p->memories->at[i];
        bool finite = m->a - m->a == 0 && m->b - m->b == 0;
        if (!finite || m->position >= p->n_tokens || (i > 0 && m->position <= m[-1].position) || (m->kind != LM_REMEMBERS_MIROSTAT && m->kind != LM_REMEMBERS_ADAPTIVE))
            return restore_lie(p, "what a sampler remembers cannot be", error);
    }
    p->n_memories = (size_t)n;
    return LLM_OK;
}

static llm_status restore_scores(restore_plan *p, const lm_saved_section *section, llm_error *error)
{
    llm_session *s = p->s;
    uint64_t n = section->bytes / sizeof(float);
    size_t room = s->flags & LLM_SESSION_RESERVE ? s->n_ctx : (size_t)n;
    if (section->bytes % sizeof(float) != 0 || n > p->n_tokens)
        return restore_lie(p, "it has scores of more tokens than there are", error);
    p->scores = lm_mem_new_array(&s->model->engine->host.mem, room, sizeof *p->scores, LLM_MEMORY_OTHER);
    if (!p->scores)
        return lm_fail_memory(error, "the tokens' scores", room * sizeof *p->scores);
    LM_TRY(lm_saved_read(&p->saved, p->scores, (size_t)section->bytes, error));
    p->n_scores = (size_t)n;
    return LLM_OK;
}

static llm_status restore_logits(restore_plan *p, const lm_saved_section *section, llm_error *error)
{
    uint32_t n = p->s->model->model->n_vocab;
    if (section->bytes != (uint64_t)n * sizeof(float) || p->saved.about.n_evaluated == 0)
        return restore_lie(p, "its logits are more or fewer than the vocabulary has tokens", error);
    if (!p->use_state)
        return LLM_OK;
    LM_TRY(lm_logits_room(&p->s->model->engine->host, &p->logits, n, error));
    LM_TRY(lm_saved_read(&p->saved, p->logits->values, n * sizeof(float), error));
    for (uint32_t i = 0; i < n; i++)
        if (!restore_finite(p->logits->values[i]))
            return restore_lie(p, "a logit is NaN or infinite", error);
    p->has_logits = true;
    return LLM_OK;
}

/* ---- state */

/* Reads how the section begins. *same: the streams are this program's. */
static llm_status restore_state_head(restore_plan *p, const lm_saved_section *section, uint64_t *first, bool *same, llm_error *error)
{
    const lm_program *program = p->s->model->model->program;
    lm_save_state head;
    uint64_t bytes = 0;
    LM_TRY(lm_saved_read(&p->saved, &head, sizeof head, error));
    *same = head.n_streams == program->n_streams && head.n_classes == program->n_page_classes;
    for (uint32_t i = 0; *same && i < program->n_streams; i++) {
        lm_save_stream there, ours = lm_save_stream_of(&program->streams[i]);
        LM_TRY(lm_saved_read(&p->saved, &there, sizeof there, error));
        *same = memcmp(&there, &ours, sizeof there) == 0;
    }
    if (!*same)
        return LLM_OK;
    LM_TRY(lm_saved_read(&p->saved, first, program->n_page_classes * sizeof *first, error));
    if (!lm_save_state_bytes(program, p->s->state_type, first, p->saved.about.n_evaluated, &bytes) || bytes != section->bytes)
        return restore_lie(p, "its state has another size than it can have", error);
    return LLM_OK;
}

/* Pages for all that is there, and for all that will ever be if the session reserves. A page whose beginning is not there is left out. */
static llm_status restore_state_pages(restore_plan *p, const uint64_t *first, llm_error *error)
{
    llm_session *s = p->s;
    lm_lane_need need = lm_step_need_alone(s->model->engine, s->n_ctx, s->pages->n_classes);
    bool reserve = (s->flags & LLM_SESSION_RESERVE) != 0;
    uint32_t n = lm_pages_count(p->saved.about.n_evaluated), room = lm_page_table_room(s->model->model->program, s->n_ctx, need.rows);
    LM_TRY(lm_page_table_reserve(s->pages, &p->table, reserve ? room : n, error));
    for (uint32_t c = 0; c < s->pages->n_classes; c++) {
        uint32_t begin = LM_MIN(lm_pages_count(first[c]), n), most = begin + lm_pages_most(s->pages->keep[c], s->n_ctx, need.rows);
        lm_page_table_begin(&p->table, c, begin);
        LM_TRY(lm_page_table_extend(s->pages, &p->table, c, reserve ? LM_MIN(LM_MAX(most, n), room) : n, error));
    }
    return LLM_OK;
}

/* room: a page as it is imported, and behind it its rows. */
static llm_status restore_state_class(restore_plan *p, uint32_t page_class, uint64_t first, unsigned char *room, llm_error *error)
{
    llm_session *s = p->s;
    const lm_program *program = s->model->model->program;
    const lm_backend *backend = s->pages->backend;
    uint64_t page_bytes = backend->table->pool_page_bytes(backend, s->pages->pool, page_class), row_bytes = lm_save_row_bytes(program, s->state_type, page_class);
    uint64_t end = p->saved.about.n_evaluated;
    for (uint64_t at = first; at < end;) {
        uint32_t i = (uint32_t)(at / LM_PAGE_POSITIONS), begin = (uint32_t)(at % LM_PAGE_POSITIONS);
        uint32_t n = (uint32_t)LM_MIN(end - at, (uint64_t)(LM_PAGE_POSITIONS - begin));
        LM_TRY(lm_saved_read(&p->saved, room + page_bytes, (size_t)(n * row_bytes), error));
        at += n;
        if (i < p->table.first[page_class])
            continue;
        memset(room, 0xff, (size_t)page_bytes);             /* what no row has written */
        lm_save_rows(program, s->state_type, page_class, room, room + page_bytes, begin, n, false);
        LM_TRY(backend->table->page_import(s->pages->backend, s->pages->pool, page_class, p->table.pages[page_class][i], room, error));
    }
    return LLM_OK;
}

static llm_status restore_state(restore_plan *p, const lm_saved_section *section, llm_error *error)
{
    lm_pages *pages = p->s->pages;
    lm_mem *mem = &p->s->model->engine->host.mem;
    uint64_t first[LM_MAX_PAGE_CLASSES] = { 0 }, most = 0;
    bool same = true;
    if (p->saved.about.n_evaluated == 0)
        return restore_lie(p, "it has state of tokens that were not taken in", error);
    if (!p->use_state)
        return LLM_OK;
    LM_TRY(restore_state_head(p, section, first, &same, error));
    if (!same) {
        p->use_state = false;
        p->why_not = "its state is laid out for another program";
        return LLM_OK;
    }
    LM_TRY(restore_state_pages(p, first, error));
    p->has_state = true;
    for (uint32_t c = 0; c < pages->n_classes; c++)
        most = LM_MAX(most, pages->backend->table->pool_page_bytes(pages->backend, pages->pool, c));
    unsigned char *room = lm_fits_size(most * 2) ? lm_mem_raw(mem, (size_t)most * 2, LLM_MEMORY_OTHER) : NULL;
    if (!room)
        return lm_fail_memory(error, "a page of state on its way", (size_t)(most * 2));
    llm_status status = LLM_OK;
    for (uint32_t c = 0; status >= 0 && c < pages->n_classes; c++)
        status = restore_state_class(p, c, first[c], room, error);
    lm_mem_free(mem, room);
    return status;
}

/* ---- the reply */

static llm_status restore_reply(restore_plan *p, const lm_saved_section *section, llm_error *error)
{
    const lm_saved_about *about = &p->saved.about;
    lm_save_reply reply;
    if (section->bytes != sizeof reply)
        return restore_lie(p, "what it knows of a reply has another size than it can have", error);
    LM_TRY(lm_saved_read(&p->saved, &reply, sizeof reply, error));
    if (reply.flags & ~(uint32_t)(LM_SAVE_STRIP | LM_SAVE_OVER) || reply.reserved != 0 || reply.n_gone > about->n_slid)
        return restore_lie(p, "what it knows of a reply cannot be", error);
    p->past = (lm_reply_past){ true, (reply.flags & LM_SAVE_OVER) != 0, (reply.flags & LM_SAVE_STRIP) != 0, about->n_tokens, about->n_reply, reply.n_gone, reply.n_unread };
    return LLM_OK;
}

/* ---- all of it */

static llm_status restore_section(restore_plan *p, const lm_saved_section *section, llm_error *error)
{
    switch (section->kind) {
    case LM_SAVED_TOKENS: return restore_tokens(p, section, error);
    case LM_SAVED_MEMORIES: return restore_memories(p, section, error);
    case LM_SAVED_SCORES: return restore_scores(p, section, error);
    case LM_SAVED_LOGITS: return restore_logits(p, section, error);
    case LM_SAVED_STATE: return restore_state(p, section, error);
    case LM_SAVED_REPLY: return restore_reply(p, section, error);
    default: return LLM_OK;
    }
}

static llm_status restore_read(restore_plan *p, llm_error *error)
{
    lm_saved_section section;
    llm_status status;
    LM_TRY(restore_check(p, error));
    while ((status = lm_saved_next(&p->saved, &section, error)) == LLM_MORE) {
        LM_TRY(restore_section(p, &section, error));
        LM_TRY(lm_saved_end(&p->saved, error));
    }
    LM_TRY(status);
    if (p->n_tokens != 0 && !p->tokens)
        return restore_lie(p, "its tokens are missing", error);
    if (p->use_state && !p->has_state)
        return restore_lie(p, "its state is missing", error);
    if (p->use_state && !lm_page_table_holds(p->s->pages, &p->table, p->saved.about.n_evaluated)) {
        p->use_state = false;
        p->why_not = "its state does not reach back far enough";
    }
    if (!p->use_state && p->flags & LLM_RESTORE_NEED_STATE && p->n_tokens != 0)
        return lm_fail(error, LLM_E_UNSUPPORTED, "'%s' could be taken in anew only: %s", lm_source_name(p->saved.source), p->why_not);
    if (!p->use_state && p->s->flags & LLM_SESSION_RESERVE && !p->has_state) {
        const uint64_t nothing[LM_MAX_PAGE_CLASSES] = { 0 };
        p->has_state = true;
        LM_TRY(restore_state_pages(p, nothing, error));
    }
    if (p->s->flags & LLM_SESSION_RESERVE && !p->logits)
        LM_TRY(lm_logits_room(&p->s->model->engine->host, &p->logits, p->s->model->model->n_vocab, error));
    return LLM_OK;
}

/* What the plan holds becomes the session's, and the other way round. */
static void restore_swap(restore_plan *p)
{
    llm_session *s = p->s;
    lm_host *host = &s->model->engine->host;
    restore_plan old = { .tokens = s->tokens, .memories = s->memories, .scores = s->scores, .logits = s->logits, .table = s->table };
    lm_session_drop_pass(s);
    lm_reply_free(host, s->reply);
    s->reply = NULL;
    s->past = p->past;
    s->tokens = p->tokens;
    s->n_tokens = p->n_tokens;
    s->memories = p->memories;
    s->n_memories = p->n_memories;
    s->scores = p->scores;
    s->n_scores = p->n_scores;
    s->cap_scores = p->scores ? lm_mem_size(p->scores) / sizeof *p->scores : 0;
    s->logits = p->logits;
    s->table = p->table;
    s->n_evaluated = p->use_state ? (size_t)p->saved.about.n_evaluated : 0;
    s->logits_at = p->has_logits && p->use_state ? s->n_evaluated : 0;      /* RESERVE has made room for them in any case */
    s->anew = !p->use_state && p->saved.about.n_tokens != 0;
    s->n_slid = p->saved.about.n_slid;
    s->ended = 0;
    s->failed = 0;
    s->reply_drawn = false;
    p->tokens = old.tokens;
    p->memories = old.memories;
    p->scores = old.scores;
    p->logits = old.logits;
    p->table = old.table;
    if (s->n_evaluated != 0 && s->logits_at == 0 && (s->n_evaluated == s->n_tokens || lm_session_wants_score(s, s->n_evaluated)))
        s->n_evaluated--;                                   /* its logits are needed: it is taken in again */
    lm_session_check_window(s);
    if (!p->use_state)
        lm_page_table_restart(s->pages, &s->table);
    if (!(s->flags & LLM_SESSION_RESERVE))
        lm_page_table_cut(s->pages, &s->table, lm_pages_count(s->n_evaluated));
}

llm_status lm_session_restore(llm_session *s, const llm_source *source, uint32_t flags, llm_error *error)
{
    restore_plan plan = { .s = s, .flags = flags };
    lm_host *host = &s->model->engine->host;
    if (flags & ~(uint32_t)(LLM_RESTORE_NEED_STATE | LLM_RESTORE_OTHER_MODEL))
        return lm_fail(error, LLM_E_UNSUPPORTED, "flags is 0x%x: an unknown LLM_RESTORE_* is set", flags);
    LM_TRY(lm_session_enter(s, error));
    llm_status status = lm_saved_open(host, source, &plan.saved, error);
    if (status < 0)
        return lm_session_leave(s, status);
    status = restore_read(&plan, error);
    if (status >= 0)
        restore_swap(&plan);
    lm_saved_close(&plan.saved);
    lm_ids_drop(host, plan.tokens);
    lm_memories_drop(host, plan.memories);
    lm_mem_free(&host->mem, plan.scores);
    lm_logits_drop(host, plan.logits);
    lm_page_table_free(s->pages, &plan.table);
    return lm_session_leave(s, status < 0 ? status : LLM_OK);
}

/* ---- looking at one */

llm_status lm_saved_info_get(llm_model *model, const llm_source *source, llm_saved_info *out, llm_error *error)
{
    lm_saved saved;
    lm_saved_section section;
    uint64_t print, vocabulary;
    llm_status status;
    LM_TRY(lm_saved_open(&model->engine->host, source, &saved, error));
    const lm_saved_about *about = &saved.about;
    lm_loaded_fingerprint(model, &print, &vocabulary);
    out->note_len = 0;
    while ((status = lm_saved_next(&saved, &section, error)) == LLM_MORE) {
        if (section.kind == LM_SAVED_NOTE)
            out->note_len = section.bytes;
        lm_saved_pass(&saved);
    }
    lm_saved_close(&saved);
    LM_TRY(status);
    bool same_vocabulary = about->vocabulary == vocabulary && about->n_vocab == model->model->n_vocab, same = same_vocabulary && about->model == print;
    out->flags = (same ? LLM_SAVED_SAME_MODEL : 0) | (same_vocabulary ? LLM_SAVED_SAME_VOCABULARY : 0) |
                 (same && about->n_evaluated != 0 && about->arithmetic == LM_ARITHMETIC ? LLM_SAVED_STATE : 0);
    out->n_tokens = about->n_tokens;
    out->n_evaluated = about->n_evaluated;
    out->n_reply = about->n_reply;
    out->file_bytes = saved.size;
    out->n_ctx = (int32_t)LM_MIN(about->n_ctx, (uint32_t)INT32_MAX);
    out->state_type = about->state_type;
    out->version = saved.version;
    out->arithmetic = about->arithmetic;
    return LLM_OK;
}

/* The section is a note of at most cap bytes, or SPACE. */
static llm_status restore_note(lm_saved *saved, uint64_t bytes, void *note, size_t cap, size_t *n, llm_error *error)
{
    if (bytes > LM_SAVE_MAX_NOTE)
        return lm_fail(error, LLM_E_FORMAT, "the note has %llu bytes: at most %d", (unsigned long long)bytes, LM_SAVE_MAX_NOTE);
    if (bytes > cap) {
        *n = (size_t)bytes;
        return lm_fail(error, LLM_E_SPACE, "the note has %zu bytes, there is room for %zu", (size_t)bytes, cap);
    }
    LM_TRY(lm_saved_read(saved, note, (size_t)bytes, error));
    LM_TRY(lm_saved_end(saved, error));
    *n = (size_t)bytes;
    return LLM_OK;
}

llm_status lm_saved_note_get(llm_model *model, const llm_source *source, void *note, size_t cap, size_t *n, llm_error *error)
{
    lm_saved saved;
    lm_saved_section section;
    llm_status status;
    LM_TRY(lm_saved_open(&model->engine->host, source, &saved, error));
    while ((status = lm_saved_next(&saved, &section, error)) == LLM_MORE && section.kind != LM_SAVED_NOTE)
        lm_saved_pass(&saved);
    if (status == LLM_MORE)
        status = restore_note(&saved, section.bytes, note, cap, n, error);
    else if (status == LLM_OK)
        *n = 0;
    lm_saved_close(&saved);
    return status;
}
