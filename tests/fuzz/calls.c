/* SPDX-License-Identifier: MIT
 * The input is a program: calls on up to four sessions, good ones and bad ones, beside a simple model of what they do. What a reply draws is decided by a hook, so the model
 * knows it; the logits after a timeline are the same whenever and however it came about.
 *
 * The model of a session is its tokens, whether a reply is in progress, and what that may draw. */
#include "fuzz.h"
#include "models.h"

#include <stdlib.h>

enum { CALLS_SESSIONS = 4, CALLS_CTX = 80, CALLS_SAVES = 3, CALLS_SAVE_BYTES = 96 * 1024, CALLS_MOST = 120, CALLS_KNOWN = 1 << 16 };

typedef struct calls_session {
    llm_session *s;
    llm_token tokens[CALLS_CTX];
    size_t n, most;                     /* most: a reply ends there at the latest */
    bool generates;
    uint32_t seed;
    int32_t state_type;
} calls_session;
typedef struct calls_save { unsigned char *data; size_t size, n; llm_token tokens[CALLS_CTX]; } calls_save;

static struct { calls_session s[CALLS_SESSIONS]; calls_save saves[CALLS_SAVES]; llm_model *model; uint32_t which, n_vocab; } calls;
static struct { uint64_t timeline, logits; } calls_known[CALLS_KNOWN];

void fuzz_seeds(void (*put)(const char *name, const void *data, size_t size))
{
    char name[16] = "c0";
    uint8_t data[200];
    for (int i = 0; i < 8; i++) {
        uint64_t x = (uint64_t)i + 7;
        for (size_t k = 0; k < sizeof data; k++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            data[k] = (uint8_t)(x >> 56);
        }
        name[1] = (char)('0' + i);
        put(name, data, 30 + 24 * (size_t)i);
    }
}

static llm_token calls_next(uint32_t seed, size_t position) { return (llm_token)((seed * 31 + position * 7 + 3) % calls.n_vocab); }

static void calls_logits(void *user, float *logits, int32_t n)
{
    const calls_session *m = user;
    llm_token next = calls_next(m->seed, llm_session_n_tokens(m->s));
    llm_error error;
    FUZZ_CHECK((uint32_t)n == calls.n_vocab, "%d logits", n);
    FUZZ_CHECK(llm_session_rewind(m->s, 0, &error) == LLM_E_BUSY, "a callback may rewind");
    for (int32_t i = 0; i < n; i++)
        logits[i] = i == next ? 10.0f : 0.0f;
}

static void calls_create(calls_session *m, int32_t state_type, uint32_t flags)
{
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_error error;
    desc.n_ctx = CALLS_CTX;
    desc.state_type = state_type;
    desc.flags = flags;
    llm_session_free(m->s);
    memset(m, 0, sizeof *m);
    FUZZ_CHECK(fuzz_status(llm_session_create(calls.model, &desc, &m->s, &error), &error) == LLM_OK, "%s", error.message);
    m->state_type = state_type;
}

/* What is there now is what the model says, as far as a reply leaves no choice. */
static void calls_compare(calls_session *m)
{
    const llm_token *tokens = NULL;
    const float *logits = NULL;
    size_t n = 0, n_logits = 0, pending = llm_session_n_pending(m->s);
    llm_error error;
    int32_t state = llm_session_state(m->s);
    FUZZ_CHECK(llm_session_tokens(m->s, &tokens, &n, &error) == LLM_OK && n == llm_session_n_tokens(m->s) && n <= CALLS_CTX && pending <= n, "%zu tokens, %zu pending", n, pending);
    if (m->generates)
        for (; m->n < n && m->n < m->most; m->n++)
            m->tokens[m->n] = calls_next(m->seed, m->n);
    FUZZ_CHECK(n == m->n && (n == 0 || memcmp(tokens, m->tokens, n * sizeof *tokens) == 0), "%zu tokens, expected %zu", n, m->n);
    FUZZ_CHECK(state >= 0 && state <= LLM_END_GRAMMAR && (state != LLM_STATE_READY || pending == 0), "state %d with %zu pending", state, pending);
    FUZZ_CHECK(state < LLM_END_TOKEN || m->generates || state == LLM_END_CANCELLED, "state %d", state);
    FUZZ_CHECK(state != LLM_END_LENGTH || n == m->most, "ended at %zu, expected %zu", n, m->most);
    llm_status status = fuzz_status(llm_session_logits(m->s, &logits, &n_logits, &error), &error);
    FUZZ_CHECK(status == LLM_OK || status == LLM_E_STATE, "%s", error.message);
    FUZZ_CHECK(status == LLM_OK ? n > pending : pending > 0 || n == 0, "logits (%d) with %zu of %zu pending", status, pending, n);
    if (status != LLM_OK)
        return;
    n -= pending;                                           /* after the last one taken in */
    uint64_t timeline = fuzz_hash(tokens, n * sizeof *tokens) * 8 + (uint64_t)m->state_type * 2 + calls.which, hash = fuzz_hash(logits, n_logits * sizeof *logits);
    size_t slot = timeline % CALLS_KNOWN;
    FUZZ_CHECK(calls_known[slot].timeline != timeline || calls_known[slot].logits == hash, "other logits after the same %zu tokens", n);
    calls_known[slot].timeline = timeline;
    calls_known[slot].logits = hash;
}

static size_t calls_tokens(fuzz_in *in, llm_token *tokens)
{
    size_t n = fuzz_u8(in) % 24;
    uint32_t first = fuzz_u8(in);
    for (size_t i = 0; i < n; i++)
        tokens[i] = (llm_token)((first + i * (first % 5 + 1)) % calls.n_vocab);
    return n;
}

static void calls_append(calls_session *m, fuzz_in *in)
{
    llm_token tokens[24] = { 0 };
    size_t n = calls_tokens(in, tokens);
    uint32_t how = fuzz_u8(in);
    bool bad = n > 0 && how % 16 == 1;
    llm_error error;
    if (bad)
        tokens[n - 1] = how & 64 ? -1 : (llm_token)calls.n_vocab;
    llm_status status = fuzz_status(llm_session_append(m->s, tokens, n, how & 32 ? LLM_APPEND_SCORE : 0, &error), &error);
    llm_status expected = bad ? LLM_E_INVALID : m->n + n > CALLS_CTX ? LLM_E_CONTEXT_FULL : LLM_OK;
    FUZZ_CHECK(status == expected || (bad && status == LLM_E_CONTEXT_FULL), "%d, expected %d: %s", status, expected, error.message);
    if (status != LLM_OK)
        return;
    memcpy(m->tokens + m->n, tokens, n * sizeof *tokens);
    m->n += n;
    if (n)
        m->generates = false;
}

static void calls_sync(calls_session *m, fuzz_in *in)
{
    llm_token tokens[CALLS_CTX + 24];
    size_t keep = fuzz_u8(in) % (m->n + 1), n;
    llm_error error;
    memcpy(tokens, m->tokens, keep * sizeof *tokens);
    n = keep + calls_tokens(in, tokens + keep);
    llm_status status = fuzz_status(llm_session_sync(m->s, tokens, n, 0, &error), &error);
    FUZZ_CHECK(status == (n > CALLS_CTX ? LLM_E_CONTEXT_FULL : LLM_OK), "%d: %s", status, error.message);
    if (status != LLM_OK)
        return;
    memcpy(m->tokens, tokens, n * sizeof *tokens);
    m->n = n;
    m->generates = false;
}

static void calls_rewind(calls_session *m, fuzz_in *in)
{
    uint32_t n = fuzz_u8(in) % (CALLS_CTX + 4);
    llm_error error;
    llm_status status = fuzz_status(llm_session_rewind(m->s, n, &error), &error);
    FUZZ_CHECK(status == (n > m->n ? LLM_E_INVALID : LLM_OK), "%d: %s", status, error.message);
    if (status != LLM_OK)
        return;
    m->n = n;
    m->generates = false;
}

static void calls_generate(calls_session *m, fuzz_in *in)
{
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    uint32_t how = fuzz_u8(in), seed = fuzz_u8(in);
    llm_error error;
    desc.max_tokens = (int32_t)(how % 12);
    desc.flags = LLM_GENERATE_IGNORE_END | (how & 64 ? LLM_GENERATE_SCORE : 0) | (how & 32 ? LLM_GENERATE_SHOW_SPECIAL : 0);
    desc.on_logits = calls_logits;
    desc.user = m;
    llm_status status = fuzz_status(llm_session_generate(m->s, &desc, &error), &error);
    FUZZ_CHECK(status == (m->n ? LLM_OK : LLM_E_STATE), "%d: %s", status, error.message);
    if (status != LLM_OK)
        return;
    m->seed = seed;
    m->generates = true;
    m->most = desc.max_tokens && m->n + (size_t)desc.max_tokens < CALLS_CTX ? m->n + (size_t)desc.max_tokens : CALLS_CTX;
}

static void calls_step(fuzz_in *in, bool drain)
{
    static const int64_t budgets[] = { LLM_FOREVER, 0, 1, 50, 500, -1, INT64_MIN, LLM_FOREVER };
    llm_session *list[CALLS_SESSIONS];
    uint32_t mask = fuzz_u8(in), n = 0;
    llm_error error;
    for (int i = 0; i < CALLS_SESSIONS; i++)
        if (mask >> i & 1)
            list[n++] = calls.s[i].s;
    if (mask >> 7 && n > 1 && mask >> 6 & 1) {              /* the same one twice */
        list[n - 1] = list[0];
        llm_status status = fuzz_status(llm_session_step(list, n, LLM_FOREVER, 0, &error), &error);
        FUZZ_CHECK(status == LLM_E_INVALID, "%d", status);
        return;
    }
    for (int rounds = 0; rounds < 400; rounds++) {
        llm_status status = fuzz_status(llm_session_step(list, n, drain ? LLM_FOREVER : budgets[mask >> 4 & 7], 0, &error), &error);
        FUZZ_CHECK(status == LLM_OK || status == LLM_MORE || (status == LLM_E_INVALID && n == 0), "%d: %s", status, error.message);
        if (!drain || status != LLM_MORE)
            return;
    }
    FUZZ_CHECK(!drain, "400 steps and no end");
}

static void calls_fork(calls_session *m, fuzz_in *in)
{
    calls_session *to = &calls.s[fuzz_u8(in) % CALLS_SESSIONS];
    llm_session *fork = NULL;
    llm_error error;
    llm_status status = fuzz_status(llm_session_fork(m->s, &fork, &error), &error);
    FUZZ_CHECK(status == LLM_OK, "%s", error.message);
    if (to == m) {
        llm_session_free(fork);
        return;
    }
    llm_session_free(to->s);
    *to = *m;
    to->s = fork;
    to->generates = false;
}

static llm_status calls_write(void *user, const void *data, size_t n)
{
    calls_save *save = user;
    if (n > CALLS_SAVE_BYTES - save->size)
        return LLM_E_IO;
    memcpy(save->data + save->size, data, n);
    save->size += n;
    return LLM_OK;
}

static void calls_save_to(calls_session *m, fuzz_in *in)
{
    uint32_t how = fuzz_u8(in);
    calls_save *save = &calls.saves[how % CALLS_SAVES];
    llm_writer writer = LLM_INIT(llm_writer);
    llm_sink sink = LLM_INIT(llm_sink);
    llm_save_desc desc = LLM_INIT(llm_save_desc);
    llm_error error;
    writer.user = save;
    writer.write = calls_write;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    desc.flags = how & 16 ? LLM_SAVE_TOKENS_ONLY : 0;
    save->size = 0;
    FUZZ_CHECK(fuzz_status(llm_session_save_to(m->s, &sink, &desc, &error), &error) == LLM_OK, "%s", error.message);
    save->n = m->n;
    memcpy(save->tokens, m->tokens, sizeof save->tokens);
}

static void calls_restore(calls_session *m, fuzz_in *in)
{
    uint32_t how = fuzz_u8(in);
    const calls_save *save = &calls.saves[how % CALLS_SAVES];
    llm_source source = fuzz_source(save->data, save->size);
    llm_error error;
    llm_status status = fuzz_status(llm_session_restore_from(m->s, &source, how & 16 ? LLM_RESTORE_NEED_STATE : 0, &error), &error);
    if (save->size == 0 || status != LLM_OK) {
        FUZZ_CHECK(save->size == 0 ? status == LLM_E_FORMAT : status == LLM_E_UNSUPPORTED && how & 16, "%d: %s", status, error.message);
        return;
    }
    memcpy(m->tokens, save->tokens, sizeof m->tokens);
    m->n = save->n;
    m->generates = false;
}

static void calls_text(calls_session *m, fuzz_in *in)
{
    llm_str text = fuzz_bytes(in, 12);
    const llm_token *tokens;
    size_t n = 0;
    llm_error error;
    llm_status status = fuzz_status(llm_session_append_text(m->s, text.ptr, text.len, 0, &error), &error);
    FUZZ_CHECK(status == LLM_OK || status == LLM_E_CONTEXT_FULL, "%s", error.message);
    if (status != LLM_OK)
        return;
    FUZZ_CHECK(llm_session_tokens(m->s, &tokens, &n, &error) == LLM_OK && n >= m->n, "%zu tokens", n);
    if (n > m->n)
        m->generates = false;
    memcpy(m->tokens + m->n, tokens + m->n, (n - m->n) * sizeof *tokens);      /* what they are is another target's */
    m->n = n;
}

static void calls_ask(calls_session *m, fuzz_in *in)
{
    llm_session_info info = LLM_INIT(llm_session_info);
    llm_token_score best[3];
    const float *scores;
    size_t n = 0;
    char text[32];
    llm_error error;
    size_t cap = fuzz_u8(in) % sizeof text, got = llm_session_read_text(m->s, text, cap);
    FUZZ_CHECK(cap == 0 ? got == 0 : got < cap && text[got] == 0, "%zu bytes of %zu", got, cap);
    FUZZ_CHECK(llm_session_get_info(m->s, &info, &error) == LLM_OK && info.n_ctx == CALLS_CTX && info.state_type == m->state_type, "%s", error.message);
    FUZZ_CHECK(llm_session_scores(m->s, &scores, &n, &error) == LLM_OK && n == m->n, "%zu scores", n);
    llm_status status = fuzz_status(llm_session_best(m->s, best, 3, &n, &error), &error);
    FUZZ_CHECK(status == LLM_E_STATE || (status == LLM_OK && n == 3 && best[0].log_prob >= best[1].log_prob && best[1].log_prob >= best[2].log_prob), "%s", error.message);
}

/* Calls that must be refused, with nothing changed. */
static void calls_wrong(calls_session *m, fuzz_in *in)
{
    llm_error error;
    llm_session *none[1] = { NULL };
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *out = NULL;
    size_t n = 0;
    switch (fuzz_u8(in) % 9) {
    case 0: FUZZ_CHECK(llm_session_append(m->s, NULL, 3, 0, &error) == LLM_E_INVALID, "append"); break;
    case 1: FUZZ_CHECK(llm_session_append(m->s, m->tokens, 0, 64, &error) == LLM_E_UNSUPPORTED, "flags"); break;
    case 2: FUZZ_CHECK(llm_session_step(none, 1, LLM_FOREVER, 0, &error) == LLM_E_INVALID, "step"); break;
    case 3: FUZZ_CHECK(llm_session_rewind(NULL, 0, &error) == LLM_E_INVALID, "rewind"); break;
    case 4: desc.n_ctx = (int32_t)fuzz_odd(in) | INT32_MIN; FUZZ_CHECK(llm_session_create(calls.model, &desc, &out, &error) == LLM_E_INVALID && !out, "create"); break;
    case 5: desc.state_type = 3 + (int32_t)(fuzz_u8(in)); FUZZ_CHECK(llm_session_create(calls.model, &desc, &out, &error) < 0 && !out, "create"); break;
    case 6: FUZZ_CHECK(llm_session_restore_from(m->s, NULL, 0, &error) == LLM_E_INVALID, "restore"); break;
    case 7: FUZZ_CHECK(llm_session_best(m->s, NULL, 5, &n, &error) < 0, "best"); break;
    default: FUZZ_CHECK(llm_session_step(&m->s, 1, LLM_FOREVER, 1u << 31, &error) == LLM_E_UNSUPPORTED, "step"); break;
    }
}

static void calls_call(fuzz_in *in)
{
    uint32_t what = fuzz_u8(in);
    calls_session *m = &calls.s[what >> 6];
    llm_error error;
    switch (what % 19) {
    case 0: case 1: calls_append(m, in); break;
    case 2: calls_text(m, in); break;
    case 3: calls_sync(m, in); break;
    case 4: calls_rewind(m, in); break;
    case 5: case 6: calls_generate(m, in); break;
    case 7: case 8: calls_step(in, false); break;
    case 9: case 10: calls_step(in, true); break;
    case 11: calls_fork(m, in); break;
    case 12: calls_save_to(m, in); break;
    case 13: calls_restore(m, in); break;
    case 14: FUZZ_CHECK(fuzz_status(llm_session_park(m->s, &error), &error) == LLM_OK, "%s", error.message); break;
    case 15: llm_session_cancel(m->s); break;
    case 16: calls_ask(m, in); break;
    case 17: calls_wrong(m, in); break;
    default:
        if (what & 32)
            FUZZ_CHECK(fuzz_status(llm_engine_trim(fuzz_engine(0), fuzz_u8(in) * 1000, what & 16 ? LLM_TRIM_PARK : 0, NULL, &error), &error) == LLM_OK, "%s", error.message);
        else
            calls_create(m, (int32_t)(fuzz_u8(in) % 3), what & 16 ? LLM_SESSION_RESERVE : 0);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char saves[CALLS_SAVES][CALLS_SAVE_BYTES];
    static const char *const names[] = { "llama", "gemma2" };
    fuzz_in in = { data, data + size };
    llm_error error;
    calls.which = fuzz_u8(&in) & 1;
    calls.model = fuzz_model(fuzz_engine(0), names[calls.which]);
    calls.n_vocab = MODELS_VOCAB;
    fuzz_begin(size);
    for (int i = 0; i < CALLS_SAVES; i++)
        calls.saves[i] = (calls_save){ .data = saves[i] };
    for (int i = 0; i < CALLS_SESSIONS; i++)
        calls_create(&calls.s[i], i % 3, i == 3 ? LLM_SESSION_RESERVE : 0);
    for (int n = 0; n < CALLS_MOST && in.at < in.end; n++) {
        calls_call(&in);
        for (int i = 0; i < CALLS_SESSIONS; i++)
            calls_compare(&calls.s[i]);
    }
    for (int i = 0; i < CALLS_SESSIONS; i++) {
        llm_session_free(calls.s[i].s);
        calls.s[i].s = NULL;
    }
    llm_engine_trim(fuzz_engine(0), UINT64_MAX, 0, NULL, &error);
    fuzz_end_kept();
    return 0;
}
