/* SPDX-License-Identifier: MIT
 * What a timeline does, state by state: put in, step, take out, ends, failures that change nothing. */
#include "tiny.h"

static llm_engine *engine;
static llm_model *model;

static int check_status(llm_status got, llm_status wanted, const llm_error *error, const char *file, int line)
{
    if (got == wanted && error->status == (wanted < 0 ? wanted : LLM_OK) && (wanted < 0) == (error->message[0] != 0))
        return 1;
    fprintf(stderr, "%s:%d: %s where %s was expected: %s\n", file, line, llm_status_name(got), llm_status_name(wanted), error->message);
    test_failures++;
    return 0;
}
#define STATUS(wanted, call) check_status((call), (wanted), &error, __FILE__, __LINE__)

static void test_states(void)
{
    llm_error error;
    const float *logits;
    size_t n;
    llm_token prompt[5] = { 1, 300, 301, 302, 303 };
    llm_session *s = tiny_session(model, 0, 0);
    CHECK(llm_session_state(s) == LLM_STATE_READY);
    STATUS(LLM_OK, llm_session_step(&s, 1, LLM_FOREVER, 0, &error));
    STATUS(LLM_E_STATE, llm_session_logits(s, &logits, &n, &error));
    STATUS(LLM_E_STATE, llm_session_generate(s, NULL, &error));
    STATUS(LLM_OK, llm_session_append(s, prompt, 5, 0, &error));
    CHECK(llm_session_state(s) == LLM_STATE_WORKING && llm_session_n_tokens(s) == 5 && llm_session_n_pending(s) == 5);
    STATUS(LLM_MORE, llm_session_step(&s, 1, 0, 0, &error));            /* a spent budget only collects */
    STATUS(LLM_MORE, llm_session_step(&s, 1, -7, 0, &error));
    CHECK(llm_session_n_pending(s) == 5);
    STATUS(LLM_OK, llm_session_step(&s, 1, LLM_FOREVER, 0, &error));
    CHECK(llm_session_state(s) == LLM_STATE_READY && llm_session_n_pending(s) == 0);
    STATUS(LLM_OK, llm_session_logits(s, &logits, &n, &error));
    CHECK(n == tiny_small.n_vocab);
    uint64_t first = tiny_logits_hash(s);

    STATUS(LLM_OK, llm_session_rewind(s, 5, &error));                   /* the last is pending again */
    CHECK(llm_session_n_pending(s) == 1 && llm_session_state(s) == LLM_STATE_WORKING);
    STATUS(LLM_E_STATE, llm_session_logits(s, &logits, &n, &error));
    STATUS(LLM_OK, llm_session_step(&s, 1, LLM_FOREVER, 0, &error));
    CHECK(tiny_logits_hash(s) == first);
    STATUS(LLM_E_INVALID, llm_session_rewind(s, 6, &error));
    CHECK(tiny_logits_hash(s) == first);
    STATUS(LLM_OK, llm_session_rewind(s, 0, &error));
    CHECK(llm_session_state(s) == LLM_STATE_READY && llm_session_n_tokens(s) == 0);
    STATUS(LLM_OK, llm_session_sync(s, prompt, 5, 0, &error));
    STATUS(LLM_OK, tiny_drain(s, LLM_FOREVER, &error));
    CHECK(tiny_logits_hash(s) == first);
    STATUS(LLM_OK, llm_session_sync(s, prompt, 5, 0, &error));          /* the same: nothing to do */
    CHECK(llm_session_state(s) == LLM_STATE_READY && tiny_logits_hash(s) == first);
    STATUS(LLM_OK, llm_session_sync(s, prompt, 3, 0, &error));
    CHECK(llm_session_n_pending(s) == 1);
    STATUS(LLM_OK, llm_session_sync(s, prompt, 5, 0, &error));
    CHECK(llm_session_n_tokens(s) == 5 && llm_session_n_pending(s) == 3);
    STATUS(LLM_OK, tiny_drain(s, LLM_FOREVER, &error));
    CHECK(tiny_logits_hash(s) == first);

    STATUS(LLM_OK, llm_session_generate(s, NULL, &error));              /* logits are there: the step draws without a pass */
    STATUS(LLM_MORE, llm_session_step(&s, 1, LLM_FOREVER, 0, &error));
    CHECK(llm_session_n_tokens(s) == 6 && llm_session_n_pending(s) == 1 && tiny_logits_hash(s) == first);
    STATUS(LLM_MORE, llm_session_step(&s, 1, LLM_FOREVER, 0, &error));
    CHECK(llm_session_n_tokens(s) == 7);
    STATUS(LLM_OK, llm_session_append(s, prompt, 1, 0, &error));        /* a put-in ends the reply */
    CHECK(llm_session_n_pending(s) == 2);
    STATUS(LLM_OK, tiny_drain(s, LLM_FOREVER, &error));
    CHECK(llm_session_n_tokens(s) == 8 && llm_session_state(s) == LLM_STATE_READY);
    llm_session_free(s);
}

static void test_failures_change_nothing(void)
{
    llm_error error;
    llm_token tokens[20], bad[2] = { 5, (llm_token)tiny_small.n_vocab };
    tiny_tokens(tokens, 20, tiny_small.n_vocab, 3);
    llm_session *s = tiny_session(model, 16, 0);
    STATUS(LLM_OK, llm_session_append(s, tokens, 10, 0, &error));
    STATUS(LLM_OK, tiny_drain(s, LLM_FOREVER, &error));
    uint64_t hash = tiny_logits_hash(s);
    STATUS(LLM_E_CONTEXT_FULL, llm_session_append(s, tokens, 7, 0, &error));
    STATUS(LLM_E_CONTEXT_FULL, llm_session_sync(s, tokens, 17, 0, &error));
    STATUS(LLM_E_CONTEXT_FULL, llm_session_append_text(s, "hello hello hello hello hello", LLM_NUL, 0, &error));
    STATUS(LLM_E_INVALID, llm_session_append(s, bad, 2, 0, &error));
    STATUS(LLM_E_INVALID, llm_session_sync(s, bad, 2, 0, &error));
    bad[1] = -1;
    STATUS(LLM_E_INVALID, llm_session_append(s, bad, 2, 0, &error));
    STATUS(LLM_E_INVALID, llm_session_append(s, NULL, 2, 0, &error));
    STATUS(LLM_E_UNSUPPORTED, llm_session_append(s, tokens, 2, 2, &error));
    STATUS(LLM_E_UNSUPPORTED, llm_session_sync(s, tokens, 2, 4, &error));
    STATUS(LLM_E_UNSUPPORTED, llm_session_append_text(s, "a", 1, 8, &error));
    STATUS(LLM_E_UNSUPPORTED, llm_session_step(&s, 1, 100, 2, &error));
    CHECK(llm_session_n_tokens(s) == 10 && llm_session_n_pending(s) == 0 && tiny_logits_hash(s) == hash);
    STATUS(LLM_OK, llm_session_append(s, tokens + 10, 6, 0, &error));
    STATUS(LLM_OK, llm_session_append(s, NULL, 0, 0, &error));
    STATUS(LLM_OK, tiny_drain(s, LLM_FOREVER, &error));
    STATUS(LLM_OK, llm_session_generate(s, NULL, &error));              /* no room for a token */
    STATUS(LLM_OK, tiny_drain(s, LLM_FOREVER, &error));
    CHECK(llm_session_state(s) == LLM_END_CONTEXT && llm_session_n_tokens(s) == 16);
    llm_session_free(s);
}

/* Runs a scripted reply and returns how it ended; text gets all that can be read, in pieces of `cap`. */
static int32_t say(llm_session *s, const llm_token *tokens, size_t n, llm_generate_desc desc, char *text, size_t cap, int late)
{
    llm_error error;
    tiny_script script = { tokens, n, 0 };
    size_t len = 0, got;
    desc.on_logits = tiny_say;
    desc.user = &script;
    text[0] = 0;
    if (!CHECK(llm_session_generate(s, &desc, &error) == LLM_OK))
        return -1000;
    llm_status status;
    do {
        status = llm_session_step(&s, 1, LLM_FOREVER, 0, &error);
        while (!late && (got = llm_session_read_text(s, text + len, cap)) > 0)
            len += got;
    } while (status == LLM_MORE);
    CHECK_MSG(status == LLM_OK, "%s", error.message);
    while ((got = llm_session_read_text(s, text + len, cap)) > 0)
        len += got;
    return llm_session_state(s);
}

static void test_ends(void)
{
    const llm_token prompt[2] = { TINY_BOS, TINY_HELLO };
    char text[256];
    struct { const char *name; llm_token say[8]; size_t n; uint32_t flags; int32_t max; const char *stop; llm_token stop_token; int32_t end; const char *text; size_t n_tokens; } cases[] = {
        { "end token", { TINY_WORLD, TINY_A, TINY_EOS }, 3, 0, 0, NULL, 0, LLM_END_TOKEN, " worlda", 5 },
        { "end token ignored", { TINY_WORLD, TINY_EOS, TINY_A }, 3, LLM_GENERATE_IGNORE_END, 3, NULL, 0, LLM_END_LENGTH, " worlda", 5 },
        { "length", { TINY_A, TINY_B, TINY_C }, 3, 0, 2, NULL, 0, LLM_END_LENGTH, "ab", 4 },
        { "length and end token", { TINY_A, TINY_EOS }, 2, 0, 2, NULL, 0, LLM_END_TOKEN, "a", 4 },
        { "stop in one token", { TINY_A, TINY_STOP, TINY_C }, 3, 0, 0, "<stop>", 0, LLM_END_STOP, "a", 4 },
        { "stop across tokens", { TINY_A, TINY_LT, TINY_WORD_STOP, TINY_GT, TINY_C }, 5, 0, 0, "<stop>", 0, LLM_END_STOP, "a", 6 },
        { "almost a stop", { TINY_A, TINY_LT, TINY_WORD_STOP, TINY_C, TINY_EOS }, 5, 0, 0, "<stop>", 0, LLM_END_TOKEN, "a<stopc", 7 },
        { "stop inside a token", { TINY_A, TINY_END, TINY_C }, 3, 0, 0, "N", 0, LLM_END_STOP, "aE", 4 },
        { "stop begins again", { TINY_LT, TINY_LT, TINY_WORD_STOP, TINY_GT }, 4, 0, 0, "<stop>", 0, LLM_END_STOP, "<", 6 },
        { "kept back at the end", { TINY_A, TINY_EN, TINY_EOS }, 3, 0, 0, "END", 0, LLM_END_TOKEN, "aEN", 5 },
        { "stop token", { TINY_A, TINY_NEWLINE, TINY_B }, 3, 0, 0, NULL, TINY_NEWLINE, LLM_END_STOP, "a", 4 },
        { "whole characters", { TINY_BYTE_0 + 0xe2, TINY_BYTE_0 + 0x82, TINY_BYTE_0 + 0xac, TINY_E_ACUTE, TINY_EURO, TINY_EOS }, 6, 0, 0, NULL, 0, LLM_END_TOKEN,
          "\xe2\x82\xac\xc3\xa9\xe2\x82\xac", 8 },
        { "broken character", { TINY_BYTE_0 + 0xe2, TINY_BYTE_0 + 0x82, TINY_A, TINY_BYTE_0 + 0xff, TINY_EOS }, 5, 0, 0, NULL, 0, LLM_END_TOKEN,
          "\xef\xbf\xbd" "a\xef\xbf\xbd", 7 },
        { "cut character", { TINY_A, TINY_BYTE_0 + 0xc3, TINY_EOS }, 3, 0, 0, NULL, 0, LLM_END_TOKEN, "a\xef\xbf\xbd", 5 },
        { "stop in bytes of a character", { TINY_A, TINY_BYTE_0 + 0xc3, TINY_BYTE_0 + 0xa9, TINY_B }, 4, 0, 0, "\xc3\xa9", 0, LLM_END_STOP, "a", 5 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int how = 0; how < 4; how++) {
            llm_error error;
            llm_generate_desc desc = LLM_INIT(llm_generate_desc);
            llm_str stops[2] = { { "no such thing", 13 }, { cases[i].stop, LLM_NUL } };
            llm_session *s = tiny_session(model, 64, 0);
            CHECK(llm_session_append(s, prompt, 2, 0, &error) == LLM_OK);
            desc.flags = cases[i].flags;
            desc.max_tokens = cases[i].max;
            desc.stops = stops;
            desc.n_stops = cases[i].stop ? 2 : how & 1;
            desc.stop_tokens = &cases[i].stop_token;
            desc.n_stop_tokens = cases[i].stop_token != 0;
            int32_t end = say(s, cases[i].say, cases[i].n, desc, text, how & 2 ? 5 : 64, how == 3);
            CHECK_MSG(end == cases[i].end, "%s: ended as %d", cases[i].name, end);
            CHECK_MSG(strcmp(text, cases[i].text) == 0, "%s: '%s'", cases[i].name, text);
            CHECK_MSG(llm_session_n_tokens(s) == cases[i].n_tokens, "%s: %zu tokens", cases[i].name, llm_session_n_tokens(s));
            CHECK(llm_session_step(&s, 1, LLM_FOREVER, 0, &error) == LLM_OK && llm_session_state(s) == end);     /* passed over */
            llm_session_free(s);
        }
    /* context end */
    llm_session *s = tiny_session(model, 6, 0);
    llm_error error;
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    const llm_token abc[] = { TINY_A, TINY_B, TINY_C };
    CHECK(llm_session_append(s, prompt, 2, 0, &error) == LLM_OK);
    CHECK(say(s, abc, 3, desc, text, 64, 0) == LLM_END_CONTEXT && strcmp(text, "abcc") == 0 && llm_session_n_tokens(s) == 6);
    llm_session_free(s);
}

static void test_text(void)
{
    llm_error error;
    const llm_token *tokens;
    size_t n;
    char text[16] = "x";
    const llm_token words[] = { TINY_HELLO, TINY_WORLD, TINY_EOS };
    llm_session *s = tiny_session(model, 64, 0);
    CHECK(llm_session_append_text(s, "hello", LLM_NUL, 0, &error) == LLM_OK);
    CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && n >= 2 && tokens[0] == TINY_BOS);
    size_t before = n;
    CHECK(llm_session_append_text(s, "", 0, 0, &error) == LLM_OK && llm_session_n_tokens(s) == before);
    CHECK(llm_session_append_text(s, NULL, 0, 0, &error) == LLM_OK);
    CHECK(llm_session_append_text(s, NULL, 1, 0, &error) == LLM_E_INVALID);
    CHECK(llm_session_append_text(s, NULL, LLM_NUL, 0, &error) == LLM_E_INVALID);
    CHECK(llm_session_rewind(s, 0, &error) == LLM_OK);
    CHECK(llm_session_append_text(s, "hello", 5, LLM_APPEND_NO_BOS, &error) == LLM_OK);
    CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && n == before - 1 && tokens[0] != TINY_BOS);
    CHECK(llm_session_rewind(s, 0, &error) == LLM_OK);
    CHECK(llm_session_append_text(s, "</s>", LLM_NUL, LLM_APPEND_NO_BOS | LLM_APPEND_PARSE_SPECIAL, &error) == LLM_OK);
    CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && n == 1 && tokens[0] == TINY_EOS);
    CHECK(llm_session_rewind(s, 0, &error) == LLM_OK);
    CHECK(llm_session_append_text(s, "</s>", LLM_NUL, LLM_APPEND_NO_BOS, &error) == LLM_OK);
    CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && n > 1);

    /* text goes on after text without a space of its own; after a control token it begins anew */
    CHECK(llm_session_rewind(s, 0, &error) == LLM_OK);
    CHECK(llm_session_append_text(s, "a", LLM_NUL, 0, &error) == LLM_OK && llm_session_append_text(s, "b", LLM_NUL, 0, &error) == LLM_OK);
    CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && n == 4 && tokens[1] == TINY_SPACE && tokens[2] == TINY_A && tokens[3] == TINY_B);
    CHECK(llm_session_rewind(s, 1, &error) == LLM_OK && llm_session_append_text(s, "b", LLM_NUL, 0, &error) == LLM_OK);
    CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && n == 3 && tokens[1] == TINY_SPACE && tokens[2] == TINY_B);

    /* a reply that begins the text loses the space that the tokenizer would have put there */
    CHECK(llm_session_rewind(s, 0, &error) == LLM_OK);
    const llm_token bos = TINY_BOS;
    CHECK(llm_session_append(s, &bos, 1, 0, &error) == LLM_OK);
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    char all[64];
    CHECK(say(s, words, 3, desc, all, 32, 0) == LLM_END_TOKEN && strcmp(all, "hello world") == 0);
    CHECK(llm_session_read_text(s, text, 0) == 0 && text[0] == 'x');
    CHECK(llm_session_read_text(s, NULL, 5) == 0);
    CHECK(llm_session_read_text(s, text, 1) == 0 && text[0] == 0);

    /* text not read stays through an append, and goes with the next generate */
    tiny_script script = { words, 3, 0 };
    desc.on_logits = tiny_say;
    desc.user = &script;
    CHECK(llm_session_generate(s, &desc, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_append(s, &bos, 1, 0, &error) == LLM_OK);
    CHECK(llm_session_read_text(s, text, 8) == 7 && strcmp(text, " hello ") == 0);
    script.at = 0;
    CHECK(llm_session_generate(s, &desc, &error) == LLM_OK && llm_session_read_text(s, text, 8) == 0);
    CHECK(tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_rewind(s, llm_session_n_tokens(s) - 2, &error) == LLM_OK);        /* into the reply: its text is dropped */
    CHECK(llm_session_read_text(s, text, 16) == 0);
    llm_session_free(s);
}

static double log_prob(const float *logits, size_t n, llm_token token)
{
    double max = logits[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += exp(logits[i] - max);
    return logits[token] - max - log(sum);
}

/* What on_score saw: as many calls as scores, in rising order, the very logits. */
typedef struct watched { const llm_token *tokens; double sum; size_t n, last; int rising; } watched;

static void on_score(void *user, size_t position, const float *logits, int32_t n_vocab)
{
    watched *w = user;
    w->rising = w->rising && position > w->last;
    w->last = position;
    w->sum += log_prob(logits, (size_t)n_vocab, w->tokens[position]);
    w->n++;
}

static void test_scores(void)
{
    llm_error error;
    enum { N = 90 };
    llm_token tokens[N];
    double wanted[N + 1];
    const float *scores, *logits;
    size_t n;
    tiny_tokens(tokens, N, tiny_small.n_vocab, 11);
    llm_session *one = tiny_session(model, 0, LLM_STATE_TYPE_F32), *all = tiny_session(model, 0, LLM_STATE_TYPE_F32);
    for (int i = 0; i < N; i++) {                           /* token by token, from the logits */
        if (i != 0 && CHECK(llm_session_logits(one, &logits, &n, &error) == LLM_OK))
            wanted[i] = log_prob(logits, n, tokens[i]);
        CHECK(llm_session_append(one, &tokens[i], 1, 0, &error) == LLM_OK && tiny_drain(one, LLM_FOREVER, &error) == LLM_OK);
    }
    CHECK(llm_session_scores(one, &scores, &n, &error) == LLM_OK && n == N && isnan(scores[0]) && isnan(scores[N - 1]));
    watched seen = { .tokens = tokens, .rising = 1 };
    double sum = 0;
    CHECK(llm_session_watch_scores(all, on_score, &seen, &error) == LLM_OK);
    CHECK(llm_session_append(all, tokens, 40, LLM_APPEND_SCORE, &error) == LLM_OK && tiny_drain(all, LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_append(all, tokens + 40, 10, 0, &error) == LLM_OK && tiny_drain(all, LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_append(all, tokens + 50, N - 50, LLM_APPEND_SCORE, &error) == LLM_OK);
    llm_session *fork = NULL;
    CHECK(llm_session_step(&all, 1, LLM_FOREVER, 0, &error) >= 0 && llm_session_fork(all, &fork, &error) == LLM_OK);
    CHECK(tiny_drain(all, LLM_FOREVER, &error) == LLM_OK && tiny_drain(fork, LLM_FOREVER, &error) == LLM_OK);
    for (int k = 0; k < 2; k++) {
        CHECK(llm_session_scores(k ? fork : all, &scores, &n, &error) == LLM_OK && n == N && isnan(scores[0]));
        for (int i = 1; i < N; i++)
            if (i >= 40 && i < 50)
                CHECK(isnan(scores[i]));
            else
                CHECK_MSG(fabs(scores[i] - wanted[i]) < 1e-4, "token %d: %g, %g", i, (double)scores[i], wanted[i]);
    }
    for (int i = 1; i < N; i++)
        sum += i < 40 || i >= 50 ? wanted[i] : 0;
    CHECK_MSG(seen.n == 39 + N - 50 && seen.rising && seen.last == N - 1, "%zu calls, the last at %zu", seen.n, seen.last);
    CHECK_MSG(fabs(seen.sum - sum) < 1e-2, "%g, %g", seen.sum, sum);
    CHECK(llm_session_watch_scores(all, NULL, NULL, &error) == LLM_OK);
    CHECK(tiny_logits_hash(all) == tiny_logits_hash(one) && tiny_logits_hash(fork) == tiny_logits_hash(one));

    llm_token_score best[5];
    CHECK(llm_session_best(all, best, 5, &n, &error) == LLM_OK && n == 5);
    CHECK(llm_session_logits(all, &logits, &n, &error) == LLM_OK);
    for (int i = 0; i < 5; i++) {
        CHECK(fabs(best[i].log_prob - log_prob(logits, n, best[i].token)) < 1e-5);
        CHECK(i == 0 || best[i].log_prob <= best[i - 1].log_prob);
    }
    CHECK(llm_session_best(all, NULL, 0, &n, &error) == LLM_OK && n == 0);
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    desc.flags = LLM_GENERATE_SCORE;
    desc.max_tokens = 3;
    CHECK(llm_session_generate(all, &desc, &error) == LLM_OK && tiny_drain(all, LLM_FOREVER, &error) == LLM_OK);
    const llm_token *timeline;
    CHECK(llm_session_tokens(all, &timeline, &n, &error) == LLM_OK && timeline[N] == best[0].token);
    CHECK(llm_session_scores(all, &scores, &n, &error) == LLM_OK && n == N + 3 && fabs(scores[N] - best[0].log_prob) < 1e-5 && !isnan(scores[N + 2]));
    CHECK(llm_session_rewind(all, 30, &error) == LLM_OK);   /* scores of what stays are kept; then the same again */
    CHECK(llm_session_append(all, tokens + 30, 10, LLM_APPEND_SCORE, &error) == LLM_OK && tiny_drain(all, LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_scores(all, &scores, &n, &error) == LLM_OK && n == 40);
    for (int i = 1; i < 40; i++)
        CHECK_MSG(fabs(scores[i] - wanted[i]) < 1e-4, "token %d again: %g, %g", i, (double)scores[i], wanted[i]);
    llm_session_free(one);
    llm_session_free(all);
    llm_session_free(fork);
}

static void test_forks(void)
{
    llm_error error;
    llm_token tokens[200];
    tiny_tokens(tokens, 200, tiny_small.n_vocab, 5);
    llm_session *plain = tiny_session(model, 0, 0), *s = tiny_session(model, 0, 0), *forks[4];
    CHECK(llm_session_append(s, tokens, 100, 0, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_append(s, tokens + 100, 5, 0, &error) == LLM_OK);         /* pending in the forks too */
    for (int i = 0; i < 4; i++)
        CHECK(llm_session_fork(s, &forks[i], &error) == LLM_OK && llm_session_n_pending(forks[i]) == 5);
    for (int i = 0; i < 4; i++)                                                 /* each goes its own way */
        CHECK(llm_session_append(forks[i], tokens + 105 + i, 10, 0, &error) == LLM_OK);
    CHECK(llm_session_append(s, tokens + 150, 10, 0, &error) == LLM_OK);
    llm_session *both[5] = { forks[3], s, forks[0], forks[2], forks[1] };
    llm_status status;
    do
        status = llm_session_step(both, 5, LLM_FOREVER, 0, &error);
    while (status == LLM_MORE);
    CHECK(status == LLM_OK);
    for (int i = 0; i < 5; i++) {
        CHECK(llm_session_rewind(plain, 0, &error) == LLM_OK && llm_session_append(plain, tokens, 105, 0, &error) == LLM_OK);
        CHECK(llm_session_append(plain, i < 4 ? tokens + 105 + i : tokens + 150, 10, 0, &error) == LLM_OK && tiny_drain(plain, LLM_FOREVER, &error) == LLM_OK);
        CHECK_MSG(tiny_logits_hash(plain) == tiny_logits_hash(i < 4 ? forks[i] : s), "fork %d", i);
    }
    llm_session_free(s);                                                        /* the forks keep what they share */
    CHECK(llm_session_rewind(forks[0], 50, &error) == LLM_OK && tiny_drain(forks[0], LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_rewind(plain, 50, &error) == LLM_OK && tiny_drain(plain, LLM_FOREVER, &error) == LLM_OK);
    CHECK(tiny_logits_hash(plain) == tiny_logits_hash(forks[0]));
    CHECK(llm_session_append(forks[0], tokens + 50, 50, 0, &error) == LLM_OK && tiny_drain(forks[0], LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_append(forks[1], tokens + 99, 1, 0, &error) == LLM_OK && tiny_drain(forks[1], LLM_FOREVER, &error) == LLM_OK);
    for (int i = 0; i < 4; i++)
        llm_session_free(forks[i]);
    llm_session_free(plain);
}

/* Sampling: the same seed gives the same reply, whatever happened before; rewind repeats it. */
static void test_sampling(void)
{
    llm_error error;
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_sampler *sampler = NULL;
    const llm_token prompt[3] = { TINY_BOS, TINY_A, TINY_B }, *tokens;
    llm_token first[23];
    size_t n;
    recipe.temperature = 1.0f;
    recipe.top_p = 0.9f;
    recipe.repeat_penalty = 1.3f;
    CHECK(llm_sampler_create(llm_model_tokenizer(model), &recipe, &sampler, &error) == LLM_OK);
    llm_session *s = tiny_session(model, 0, 0);
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    desc.sampler = sampler;
    desc.flags = LLM_GENERATE_IGNORE_END;
    for (int round = 0; round < 4; round++) {
        desc.seed = round == 2 ? 8 : 7;
        desc.max_tokens = 20;
        if (round == 3)                                     /* goes on from the middle of the first reply */
            CHECK(llm_session_sync(s, first, 10, 0, &error) == LLM_OK && (desc.max_tokens = 13));
        else
            CHECK(llm_session_rewind(s, 0, &error) == LLM_OK && llm_session_append(s, prompt, 3, 0, &error) == LLM_OK);
        CHECK(llm_session_generate(s, &desc, &error) == LLM_OK);
        if (round == 3)
            llm_sampler_free(sampler);                      /* still needed inside */
        CHECK(tiny_drain(s, round == 1 ? 50 : LLM_FOREVER, &error) == LLM_OK);
        CHECK(llm_session_tokens(s, &tokens, &n, &error) == LLM_OK && n == 23);
        if (round == 0)
            memcpy(first, tokens, sizeof first);
        else
            CHECK_MSG((memcmp(first, tokens, sizeof first) == 0) == (round != 2), "round %d", round);
    }
    llm_session_free(s);
}

static void test_info(void)
{
    llm_error error;
    llm_token tokens[100];
    tiny_tokens(tokens, 100, tiny_small.n_vocab, 1);
    llm_session *s = tiny_session(model, 0, LLM_STATE_TYPE_F32);
    llm_session_info info = LLM_INIT(llm_session_info);
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    desc.max_tokens = 7;
    desc.flags = LLM_GENERATE_IGNORE_END;
    CHECK(llm_session_append(s, tokens, 100, 0, &error) == LLM_OK && llm_session_generate(s, &desc, &error) == LLM_OK);
    CHECK(tiny_drain(s, LLM_FOREVER, &error) == LLM_OK && llm_session_get_info(s, &info, &error) == LLM_OK);
    CHECK(info.n_prompt == 100 && info.n_generated == 7 && info.n_ctx == 512 && info.state_type == LLM_STATE_TYPE_F32 && info.state_bytes > 0);
    CHECK(llm_session_append(s, tokens, 3, 0, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
    CHECK(llm_session_get_info(s, &info, &error) == LLM_OK && info.n_prompt == 103 && info.n_generated == 7);
    llm_session_free(s);
}

int main(void)
{
    tiny_open(&tiny_small, NULL, &engine, &model);
    test_states();
    test_failures_change_nothing();
    test_ends();
    test_text();
    test_scores();
    test_forks();
    test_sampling();
    test_info();
    llm_model_free(model);
    llm_engine_free(engine);
    return TEST_DONE();
}
