/* SPDX-License-Identifier: MIT
 * Saved sessions: what is restored goes on with the same bits, on every little model and with every sampler; what cannot be is refused and changes
 * nothing. */
#include "saving.h"

#include "../golden/gold.h"

static llm_engine *engine;
static llm_model *model;

#define OK(call) CHECK_MSG((call) == LLM_OK, "%s: %s", #call, error.message)

/* ---- every model, every type of state: saved after `n` tokens, and both go on */

static void round_trip(llm_model *m, const char *name, const llm_token *tokens, size_t n_all, size_t n, int32_t type, uint32_t flags)
{
    llm_error error;
    saving f = { 0 };
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_session *a = NULL, *b = NULL;
    desc.n_ctx = (int32_t)n_all + 20;
    desc.state_type = type;
    OK(llm_session_create(m, &desc, &a, &error));
    desc.flags = flags;
    desc.n_ctx += 13;                                       /* an own context is no hindrance */
    OK(llm_session_create(m, &desc, &b, &error));
    OK(llm_session_append(a, tokens, n, 0, &error));
    OK(tiny_drain(a, LLM_FOREVER, &error));
    OK(saving_put(a, &f, NULL, &error));
    OK(llm_session_append(b, tokens + 3, n_all / 2, 0, &error));            /* something to replace */
    OK(tiny_drain(b, LLM_FOREVER, &error));
    OK(saving_get(b, &f, LLM_RESTORE_NEED_STATE, &error));
    CHECK_MSG(saving_hash(a) == saving_hash(b), "%s, type %d, %zu tokens: not as it was saved", name, type, n);
    CHECK(llm_session_n_pending(b) == 0 && llm_session_state(b) == LLM_STATE_READY);
    OK(llm_session_append(a, tokens + n, n_all - n, 0, &error));
    OK(llm_session_append(b, tokens + n, n_all - n, 0, &error));
    OK(tiny_drain(a, LLM_FOREVER, &error));
    OK(tiny_drain(b, LLM_FOREVER, &error));
    CHECK_MSG(saving_hash(a) == saving_hash(b), "%s, type %d, %zu tokens: other logits afterwards", name, type, n);
    size_t back = n > 30 ? n - 30 : 1;                      /* going back a little works as ever */
    OK(llm_session_rewind(a, back, &error));
    OK(llm_session_rewind(b, back, &error));
    OK(tiny_drain(a, LLM_FOREVER, &error));
    OK(tiny_drain(b, LLM_FOREVER, &error));
    CHECK_MSG(saving_hash(a) == saving_hash(b), "%s, type %d, %zu tokens: other logits after a rewind", name, type, n);
    llm_session_free(a);
    llm_session_free(b);
    free(f.data);
}

enum { MODELS_TOKENS = 250 };         /* beyond every window */

static void test_models(void)
{
    for (int i = 0; i < GOLD_MODELS; i++) {
        llm_error error;
        llm_model *m = NULL;
        char path[512];
        gold g;
        gold_path(path, gold_models[i].name, "gguf");
        if (!CHECK(gold_read(gold_models[i].name, &g)) || !OK(llm_model_load(engine, path, LLM_NUL, NULL, &m, &error)))
            continue;
        static llm_token tokens[MODELS_TOKENS];
        const size_t lens[] = { 1, 63, 64, 65, 200 };
        tiny_tokens(tokens, MODELS_TOKENS, g.n_vocab, 5);
        for (int32_t type = 0; type < 3; type++)
            for (size_t k = TEST_EMULATED ? 4 : 0; k < 5; k++)
                if (k == 4 || (i + type) % 4 == (int)k)
                    round_trip(m, gold_models[i].name, tokens, MODELS_TOKENS, lens[k], type, (i + type) % 2 ? LLM_SESSION_RESERVE : 0);
        llm_model_free(m);
        free(g.file);
    }
}

/* ---- moments: pending tokens, a paused pass, forks, scores */

static void test_pending(void)
{
    llm_error error;
    llm_token tokens[300];
    tiny_tokens(tokens, 300, tiny_small.n_vocab, 11);
    for (int paused = 0; paused < 6; paused++) {
        saving f = { 0 };
        llm_session *a = tiny_session(model, 0, 0), *b = tiny_session(model, 0, 0);
        OK(llm_session_append(a, tokens, 300, 0, &error));
        llm_status status = LLM_MORE;
        for (int i = 0; i < paused * 3 && status == LLM_MORE; i++)      /* somewhere in a pass, or between two; at the end, where the workers ran while this thread did not */
            status = llm_session_step(&a, 1, 20, 0, &error);
        CHECK(status == LLM_MORE || (paused && status == LLM_OK));
        OK(saving_put(a, &f, NULL, &error));
        OK(saving_get(b, &f, 0, &error));
        CHECK(saving_hash(a) == saving_hash(b));
        OK(tiny_drain(a, 50, &error));
        OK(tiny_drain(b, LLM_FOREVER, &error));
        CHECK(saving_hash(a) == saving_hash(b));
        llm_session_free(a);
        llm_session_free(b);
        free(f.data);
    }
    /* empty */
    saving f = { 0 };
    llm_session *a = tiny_session(model, 0, 0), *b = tiny_session(model, 0, 0);
    OK(llm_session_append(b, tokens, 10, 0, &error));
    OK(saving_put(a, &f, NULL, &error));
    OK(saving_get(b, &f, LLM_RESTORE_NEED_STATE, &error));
    CHECK(llm_session_n_tokens(b) == 0 && llm_session_state(b) == LLM_STATE_READY && f.size == 128);
    llm_session_free(a);
    llm_session_free(b);
    free(f.data);
}

/* Saved between two chunks of a prompt, where there are no logits, into a session that has room for some: what stands in that room is none. */
static void test_no_logits(void)
{
    llm_error error;
    llm_token tokens[100];
    const float *logits;
    size_t n;
    saving f = { 0 };
    llm_session *a = tiny_session(model, 0, 0), *b = NULL;
    llm_session_desc reserved = LLM_INIT(llm_session_desc);
    reserved.flags = LLM_SESSION_RESERVE;
    tiny_tokens(tokens, 100, tiny_small.n_vocab, 12);
    OK(llm_session_append(a, tokens, 100, 0, &error));
    CHECK(llm_session_step(&a, 1, LLM_FOREVER, 0, &error) == LLM_MORE && llm_session_n_pending(a) == 100 - 64);
    OK(saving_put(a, &f, NULL, &error));
    OK(llm_session_create(model, &reserved, &b, &error));
    OK(saving_get(b, &f, LLM_RESTORE_NEED_STATE, &error));
    CHECK(llm_session_n_pending(b) == 100 - 64 && llm_session_logits(b, &logits, &n, &error) == LLM_E_STATE);
    for (int i = 0; i < 2; i++)
        OK(llm_session_sync(i ? b : a, tokens, 64, 0, &error));
    CHECK(llm_session_n_pending(b) == 1);
    OK(tiny_drain(a, LLM_FOREVER, &error));
    OK(tiny_drain(b, LLM_FOREVER, &error));
    CHECK(tiny_logits_hash(b) != 0 && saving_hash(a) == saving_hash(b));
    llm_session_free(a);
    llm_session_free(b);
    free(f.data);
}

static void test_forks(void)
{
    llm_error error;
    llm_token tokens[200];
    saving f = { 0 };
    tiny_tokens(tokens, 200, tiny_small.n_vocab, 12);
    llm_session *a = tiny_session(model, 0, 0), *fork = NULL, *b = tiny_session(model, 0, 0);
    OK(llm_session_append(a, tokens, 100, 0, &error));
    OK(tiny_drain(a, LLM_FOREVER, &error));
    uint64_t before = saving_hash(a);
    OK(llm_session_fork(a, &fork, &error));
    OK(saving_put(fork, &f, NULL, &error));
    OK(llm_session_append(fork, tokens + 100, 50, 0, &error));
    OK(tiny_drain(fork, LLM_FOREVER, &error));
    uint64_t later = saving_hash(fork);
    OK(saving_get(fork, &f, 0, &error));                    /* back where it was, on pages of its own */
    CHECK(saving_hash(fork) == before && saving_hash(a) == before);
    OK(llm_session_append(fork, tokens + 100, 50, 0, &error));
    OK(tiny_drain(fork, LLM_FOREVER, &error));
    CHECK(saving_hash(fork) == later && saving_hash(a) == before);
    OK(saving_get(a, &f, 0, &error));
    llm_session_free(fork);
    OK(llm_session_fork(a, &fork, &error));
    OK(llm_session_append(fork, tokens + 100, 50, 0, &error));
    OK(tiny_drain(fork, LLM_FOREVER, &error));
    CHECK(saving_hash(fork) == later);
    llm_session_free(a);
    llm_session_free(fork);
    llm_session_free(b);
    free(f.data);
}

static void test_scores(void)
{
    llm_error error;
    llm_token tokens[90];
    saving f = { 0 };
    const float *x, *y;
    size_t n, m;
    tiny_tokens(tokens, 90, tiny_small.n_vocab, 13);
    llm_session *a = tiny_session(model, 0, 0), *b = tiny_session(model, 0, 0);
    OK(llm_session_append(a, tokens, 40, LLM_APPEND_SCORE, &error));
    OK(tiny_drain(a, LLM_FOREVER, &error));
    OK(llm_session_append(a, tokens + 40, 10, 0, &error));
    OK(llm_session_append(a, tokens + 50, 40, LLM_APPEND_SCORE, &error));       /* asked for, not there yet */
    OK(saving_put(a, &f, NULL, &error));
    OK(saving_get(b, &f, 0, &error));
    OK(tiny_drain(a, LLM_FOREVER, &error));
    OK(tiny_drain(b, LLM_FOREVER, &error));
    OK(llm_session_scores(a, &x, &n, &error));
    OK(llm_session_scores(b, &y, &m, &error));
    CHECK(n == 90 && m == 90 && memcmp(x, y, n * sizeof *x) == 0 && !isnan(x[80]) && isnan(x[45]));
    llm_session_free(a);
    llm_session_free(b);
    free(f.data);
}

/* ---- samplers: a reply cut in two by a save is the reply */

static llm_sampler *recipe(int i)
{
    llm_sampler_desc desc = LLM_INIT(llm_sampler_desc);
    llm_sampler *sampler = NULL;
    llm_error error;
    desc.temperature = 1;
    switch (i) {
    case 0: desc.temperature = 0; break;
    case 1: desc.repeat_penalty = 1.3f; desc.frequency_penalty = 0.2f; desc.presence_penalty = 0.1f; desc.penalty_last_n = -1; break;
    case 2: desc.mirostat = 1; desc.mirostat_tau = 3; break;
    case 3: desc.mirostat = 2; break;
    case 4: desc.adaptive_target = 0.4f; break;
    case 5: desc.dry_multiplier = 0.8f; desc.dry_allowed_length = 1; break;
    case 6: desc.xtc_probability = 0.5f; desc.xtc_threshold = 0.05f; desc.min_p = 0.02f; break;
    default: desc.typical_p = 0.9f; desc.top_k = 40; desc.dynatemp_range = 0.5f; break;
    }
    OK(llm_sampler_create(llm_model_tokenizer(model), &desc, &sampler, &error));
    return sampler;
}

static void reply(llm_session *s, llm_sampler *sampler, int32_t n)
{
    llm_error error;
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    desc.seed = 99;
    desc.max_tokens = n;
    desc.flags = LLM_GENERATE_IGNORE_END;
    desc.sampler = sampler;
    OK(llm_session_generate(s, &desc, &error));
    OK(tiny_drain(s, LLM_FOREVER, &error));
}

static void test_samplers(void)
{
    const llm_token prompt[3] = { TINY_BOS, TINY_A, TINY_B };
    for (int i = 0; i < 8; i++)
        for (uint32_t flags = 0; flags < 2; flags++) {
            llm_error error;
            saving f = { 0 };
            llm_save_desc desc = LLM_INIT(llm_save_desc);
            llm_sampler *sampler = recipe(i);
            llm_session *whole = tiny_session(model, 0, 0), *a = tiny_session(model, 0, 0), *b = tiny_session(model, 0, 0);
            desc.flags = flags;                             /* LLM_SAVE_TOKENS_ONLY too */
            OK(llm_session_append(whole, prompt, 3, 0, &error));
            OK(llm_session_append(a, prompt, 3, 0, &error));
            reply(whole, sampler, 80);
            reply(a, sampler, 33);
            OK(saving_put(a, &f, &desc, &error));
            llm_session_free(a);
            OK(saving_get(b, &f, 0, &error));
            reply(b, sampler, 47);
            CHECK_MSG(saving_same_tokens(whole, b) && saving_hash(whole) == saving_hash(b), "recipe %d, flags %u: another reply after a restore", i, flags);
            llm_saved_info info = LLM_INIT(llm_saved_info);
            llm_source source = saving_source(f.data, f.size);
            OK(llm_saved_get_info(model, &source, &info, &error));
            CHECK(info.n_tokens == 36 && info.n_reply == 33 && info.n_evaluated == (flags ? 0 : 35) && info.file_bytes == f.size && info.version == 1);
            CHECK(info.flags == (LLM_SAVED_SAME_MODEL | LLM_SAVED_SAME_VOCABULARY | (flags ? 0 : LLM_SAVED_STATE)) && info.n_ctx == 512 && info.state_type == 0);
            llm_session_free(whole);
            llm_session_free(b);
            llm_sampler_free(sampler);
            free(f.data);
        }
}

/* ---- a reply that goes on: its text as if nothing had been between, half characters, stops and grammars too */

typedef struct going { const llm_sampler *sampler; llm_str stops[2]; uint32_t flags; char text[4096]; size_t len; int32_t end; } going;

/* At most n steps of the reply; what can be read is read, but for the last of it where `late`. */
static void go(going *g, llm_session *s, uint32_t flags, int32_t max_tokens, int n, int late)
{
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    llm_error error;
    llm_status status = LLM_MORE;
    desc.flags = flags | g->flags;
    desc.seed = 5;
    desc.max_tokens = max_tokens;
    desc.sampler = g->sampler;
    desc.stops = g->stops;
    desc.n_stops = 2;
    OK(llm_session_generate(s, &desc, &error));
    for (int i = 0; i < n && status == LLM_MORE; i++) {
        status = llm_session_step(&s, 1, LLM_FOREVER, 0, &error);
        CHECK_MSG(status >= 0, "%s", error.message);
        size_t cap = sizeof g->text - g->len;
        if (!late || i + 4 < n)
            g->len += llm_session_read_text(s, g->text + g->len, late && cap > 9 ? 9 : cap);
    }
    while (status == LLM_OK && sizeof g->text - g->len > 5 && (n = (int)llm_session_read_text(s, g->text + g->len, sizeof g->text - g->len)) > 0)
        g->len += (size_t)n;
    g->text[g->len] = 0;
    g->end = llm_session_state(s);
}

static void test_going_on(void)
{
    const llm_token prompt[3] = { TINY_BOS, TINY_A, TINY_B };
    llm_grammar *grammar = NULL;
    llm_error error;
    OK(llm_grammar_create(llm_model_tokenizer(model), LLM_GRAMMAR_REGEX, 0, "([a-d]|\\u00e9|\\u6c34){30}(hello world)?x?", LLM_NUL, &grammar, &error));
    for (int i = 0; i < 4; i++) {
        llm_sampler_desc desc = LLM_INIT(llm_sampler_desc);
        llm_sampler *sampler = NULL;
        going whole = { .flags = i == 1 ? 0 : LLM_GENERATE_IGNORE_END };
        desc.temperature = i == 3 ? 1 : 4;
        desc.grammar = i == 2 ? grammar : NULL;
        OK(llm_sampler_create(llm_model_tokenizer(model), &desc, &sampler, &error));
        whole.sampler = sampler;
        whole.stops[0] = (llm_str){ "\xef\xbf\xbd\xef\xbf\xbdzzz", LLM_NUL };
        whole.stops[1] = (llm_str){ "e", i == 3 ? 1 : LLM_NUL };
        if (i != 3)
            whole.stops[1] = (llm_str){ "hello worldhello worldhello world!", LLM_NUL };
        llm_session *s = tiny_session(model, 0, 0);
        OK(llm_session_append(s, prompt, i % 2 ? 3 : 1, 0, &error));
        going first = whole;
        go(&whole, s, 0, 70, 10000, 0);
        size_t n_all = llm_session_n_tokens(s);
        llm_session_free(s);
        for (int cut = 1; cut < 60; cut++) {
            going part = first;
            saving f = { 0 };
            llm_save_desc how = LLM_INIT(llm_save_desc);
            llm_session *a = tiny_session(model, 0, 0), *b = tiny_session(model, 0, 0), *fork = NULL;
            how.flags = cut % 3 == 0 ? LLM_SAVE_TOKENS_ONLY : 0;
            OK(llm_session_append(a, prompt, i % 2 ? 3 : 1, 0, &error));
            go(&part, a, 0, 70, cut, cut % 2);
            OK(saving_put(a, &f, &how, &error));
            OK(saving_get(b, &f, 0, &error));
            free(f.data);
            f = (saving){ 0 };
            OK(saving_put(b, &f, &how, &error));            /* and once more: nothing of it is lost on the way */
            OK(saving_get(a, &f, 0, &error));
            free(f.data);
            OK(llm_session_fork(a, &fork, &error));
            if (part.end != LLM_STATE_WORKING) {            /* over: it does not go on */
                llm_generate_desc more = LLM_INIT(llm_generate_desc);
                more.flags = LLM_GENERATE_CONTINUE;
                more.max_tokens = 70;
                CHECK(llm_session_generate(a, &more, &error) == (part.end == LLM_END_LENGTH ? LLM_E_INVALID : LLM_E_STATE));
                CHECK(part.end == whole.end && strcmp(part.text, whole.text) == 0);
            } else {
                going other = part;
                go(&part, a, LLM_GENERATE_CONTINUE, 70, 10000, 0);
                go(&other, fork, LLM_GENERATE_CONTINUE, 70, 10000, 0);
                CHECK_MSG(part.end == whole.end && strcmp(part.text, whole.text) == 0 && llm_session_n_tokens(a) == n_all,
                          "reply %d cut after %d steps, %d for %d:\n%s\n%s", i, cut, part.end, whole.end, part.text, whole.text);
                CHECK(other.end == whole.end && strcmp(other.text, whole.text) == 0);
            }
            llm_session_free(a);
            llm_session_free(b);
            llm_session_free(fork);
        }
        printf("a reply of %zu tokens and %zu bytes goes on behind each of them\n", n_all, whole.len);
        llm_sampler_free(sampler);
    }
    llm_grammar_free(grammar);
    llm_session *s = tiny_session(model, 0, 0);             /* where there is nothing to go on with */
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    desc.flags = LLM_GENERATE_CONTINUE | LLM_GENERATE_IGNORE_END;
    OK(llm_session_append(s, prompt, 3, 0, &error));
    CHECK(llm_session_generate(s, &desc, &error) == LLM_E_STATE);
    reply(s, NULL, 5);
    OK(llm_session_append(s, prompt, 1, 0, &error));
    CHECK(llm_session_generate(s, &desc, &error) == LLM_E_STATE);
    OK(llm_session_rewind(s, 8, &error));                   /* back at its end: by length, so it goes on */
    desc.max_tokens = 5;
    CHECK(llm_session_generate(s, &desc, &error) == LLM_E_INVALID);
    desc.max_tokens = 6;
    OK(llm_session_generate(s, &desc, &error));
    OK(tiny_drain(s, LLM_FOREVER, &error));
    CHECK(llm_session_n_tokens(s) == 9);
    OK(llm_session_rewind(s, 7, &error));                   /* within it */
    CHECK(llm_session_generate(s, &desc, &error) == LLM_E_STATE);
    llm_session_free(s);
}

/* ---- what does not fit */

static void test_fits(void)
{
    llm_error error;
    llm_token tokens[100];
    saving f = { 0 }, small = { 0 };
    llm_save_desc desc = LLM_INIT(llm_save_desc);
    llm_session_info info = LLM_INIT(llm_session_info);
    char note[8];
    size_t n = 77;
    tiny_tokens(tokens, 100, tiny_small.n_vocab, 14);
    llm_session *a = tiny_session(model, 0, 0);
    OK(llm_session_append(a, tokens, 100, 0, &error));
    OK(tiny_drain(a, LLM_FOREVER, &error));
    desc.note = "a note";
    desc.note_len = 6;
    OK(saving_put(a, &f, &desc, &error));
    desc.flags = LLM_SAVE_TOKENS_ONLY;
    OK(saving_put(a, &small, &desc, &error));
    CHECK_MSG(small.size < 100 * 4 + 256 && f.size > 100 * 128, "%zu and %zu bytes", small.size, f.size);
    llm_source source = saving_source(f.data, f.size);
    CHECK(llm_saved_note(model, &source, NULL, 0, &n, &error) == LLM_E_SPACE && n == 6);
    OK(llm_saved_note(model, &source, note, sizeof note, &n, &error));
    CHECK(n == 6 && memcmp(note, "a note", 6) == 0);

    /* anew: tokens alone, other types of state */
    for (int i = 0; i < 3; i++) {
        llm_session *b = tiny_session(model, 0, i);
        const saving *from = i == 0 ? &small : &f;
        CHECK(saving_get(b, from, LLM_RESTORE_NEED_STATE, &error) == LLM_E_UNSUPPORTED && llm_session_n_tokens(b) == 0 && error.message[0]);
        OK(saving_get(b, from, 0, &error));
        CHECK(llm_session_n_tokens(b) == 100 && llm_session_n_pending(b) == 100 && llm_session_state(b) == LLM_STATE_WORKING);
        CHECK(llm_session_get_info(b, &info, &error) == LLM_OK && info.flags == LLM_SESSION_ANEW);
        OK(tiny_drain(b, LLM_FOREVER, &error));
        CHECK(llm_session_get_info(b, &info, &error) == LLM_OK && info.flags == 0);
        CHECK((saving_hash(a) == saving_hash(b)) == (i == 0));
        llm_session_free(b);
    }
    /* a context that is too small, and one that is just large enough */
    llm_session *b = tiny_session(model, 99, 0);
    CHECK(saving_get(b, &f, 0, &error) == LLM_E_CONTEXT_FULL && llm_session_n_tokens(b) == 0);
    llm_session_free(b);
    b = tiny_session(model, 100, 0);
    OK(saving_get(b, &f, LLM_RESTORE_NEED_STATE, &error));
    CHECK(saving_hash(a) == saving_hash(b));
    llm_session_free(b);
    /* other models: of other weights, and of another vocabulary */
    tiny_shape shape = tiny_small;
    for (int i = 0; i < 2; i++) {
        llm_model *other = NULL;
        llm_saved_info saved = LLM_INIT(llm_saved_info);
        shape.seed = 2;
        shape.n_vocab = i ? 401 : 400;
        tiny_file file = tiny_make(&shape);
        OK(tiny_load(engine, &file, &other, &error));
        b = tiny_session(other, 0, 0);
        CHECK(saving_get(b, &f, 0, &error) == LLM_E_MISMATCH && llm_session_n_tokens(b) == 0 && strstr(error.message, "another model"));
        llm_status status = saving_get(b, &f, LLM_RESTORE_OTHER_MODEL, &error);
        CHECK(status == (i ? LLM_E_MISMATCH : LLM_OK) && llm_session_n_tokens(b) == (i ? 0 : 100) && llm_session_n_pending(b) == (i ? 0 : 100));
        OK(tiny_drain(b, LLM_FOREVER, &error));
        OK(llm_saved_get_info(other, &source, &saved, &error));
        CHECK(saved.flags == (i ? 0 : LLM_SAVED_SAME_VOCABULARY) && saved.note_len == 6);
        llm_session_free(b);
        llm_model_free(other);
        free(file.data);
    }
    llm_session_free(a);
    free(f.data);
    free(small.data);
}

/* A failed session is mended; one that generates loses its reply. */
static void test_replaces(void)
{
    llm_error error;
    llm_token tokens[20];
    saving f = { 0 };
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    char text[64];
    tiny_tokens(tokens, 20, tiny_small.n_vocab, 15);
    llm_session *a = tiny_session(model, 0, 0), *b = tiny_session(model, 0, 0);
    OK(llm_session_append(a, tokens, 20, 0, &error));
    OK(tiny_drain(a, LLM_FOREVER, &error));
    OK(saving_put(a, &f, NULL, &error));
    OK(llm_session_append(b, tokens, 5, 0, &error));
    desc.flags = LLM_GENERATE_IGNORE_END;
    OK(llm_session_generate(b, &desc, &error));
    for (int i = 0; i < 7; i++)
        CHECK(llm_session_step(&b, 1, LLM_FOREVER, 0, &error) == LLM_MORE);
    OK(saving_get(b, &f, 0, &error));
    CHECK(llm_session_state(b) == LLM_STATE_READY && llm_session_read_text(b, text, sizeof text) == 0 && saving_hash(a) == saving_hash(b));
    OK(saving_get(b, &f, 0, &error));                       /* and once more */
    CHECK(saving_hash(a) == saving_hash(b));
    llm_session_free(a);
    llm_session_free(b);
    free(f.data);
}

/* ---- paths */

static void test_paths(void)
{
    llm_error error;
    llm_session *a = tiny_session(model, 0, 0), *b = tiny_session(model, 0, 0);
    const llm_token tokens[3] = { 5, 6, 7 };
    const char *path = "save_test.saved";
    llm_source source = LLM_INIT(llm_source);
    llm_saved_info info = LLM_INIT(llm_saved_info);
    OK(llm_session_append(a, tokens, 3, 0, &error));
    OK(tiny_drain(a, LLM_FOREVER, &error));
    remove(path);
    CHECK(llm_session_restore(b, path, LLM_NUL, 0, &error) == LLM_E_NOT_FOUND);
    CHECK(llm_session_save(a, "no/such/folder/x", LLM_NUL, NULL, &error) == LLM_E_NOT_FOUND);
    OK(llm_session_save(a, path, LLM_NUL, NULL, &error));
    OK(llm_session_save(a, path, strlen(path), NULL, &error));                  /* over it */
    OK(llm_session_restore(b, path, LLM_NUL, 0, &error));
    CHECK(saving_hash(a) == saving_hash(b));
    source.path = path;
    source.path_len = LLM_NUL;
    OK(llm_saved_get_info(model, &source, &info, &error));
    CHECK(info.n_tokens == 3 && info.flags & LLM_SAVED_STATE);
    FILE *file = fopen(path, "wb");
    CHECK(file && fputs("this is no saved session, but as long as one might be, and longer than a header of one hundred and twenty-eight bytes, is it not?", file) >= 0 &&
          fclose(file) == 0);
    CHECK(llm_session_restore(b, path, LLM_NUL, 0, &error) == LLM_E_FORMAT && strstr(error.message, "no saved session"));
    CHECK(saving_hash(a) == saving_hash(b));
    remove(path);
    CHECK(llm_session_save(a, NULL, 3, NULL, &error) == LLM_E_INVALID && llm_session_save(NULL, path, LLM_NUL, NULL, &error) == LLM_E_INVALID);
    CHECK(llm_session_restore(a, path, LLM_NUL, 4, &error) == LLM_E_UNSUPPORTED);
    llm_save_desc desc = LLM_INIT(llm_save_desc);
    desc.flags = 2;
    CHECK(llm_session_save(a, path, LLM_NUL, &desc, &error) == LLM_E_UNSUPPORTED);
    desc.flags = 0;
    desc.note_len = 5;
    CHECK(llm_session_save(a, path, LLM_NUL, &desc, &error) == LLM_E_INVALID);
    desc.note = path;
    desc.note_len = (16 << 20) + 1;
    CHECK(llm_session_save(a, path, LLM_NUL, &desc, &error) == LLM_E_LIMIT);
    CHECK(llm_has(LLM_FEATURE_SAVE) == 1 && strcmp(llm_status_name(LLM_E_MISMATCH), "LLM_E_MISMATCH") == 0);
    llm_session_free(a);
    llm_session_free(b);
}

int main(void)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    desc.n_threads = 2;
    desc.n_chunk = 64;
    tiny_open(&tiny_small, &desc, &engine, &model);
    test_pending();
    test_no_logits();
    test_forks();
    test_scores();
    test_samplers();
    test_going_on();
    test_fits();
    test_replaces();
    test_paths();
    test_models();
    llm_model_free(model);
    llm_engine_free(engine);
    return TEST_DONE();
}
