/* SPDX-License-Identifier: MIT
 * DRY: against the plain definition on random timelines, breakers of a real tokenizer by their texts, and long hostile timelines. */
#include "../api/tiny.h"

#include "session/dry.h"
#include "session/loaded.h"

enum { N_VOCAB = 400, LONG = 200000 };
static float logits[N_VOCAB];
static uint32_t counts[N_VOCAB], lengths[LM_DRY_MOST];
static lm_room room = { .logits = logits, .counts = counts, .lengths = lengths };

/* The penalty of each token by the definition: compare everything with everything. */
static void plain(const llm_token *tokens, size_t n, size_t limit, const lm_dry *dry, const int *alone, double *out)
{
    size_t best[N_VOCAB] = { 0 };
    for (size_t k = 1; k < n; k++) {
        size_t same = 0;
        while (same < k && same < limit && tokens[k - 1 - same] == tokens[n - 1 - same])
            same++;
        if (same >= dry->allowed && same > best[tokens[k]])
            best[tokens[k]] = same;
    }
    for (int t = 0; t < N_VOCAB; t++)
        out[t] = best[t] && limit >= dry->allowed && !(alone && alone[t]) ? dry->multiplier * pow(dry->base, (double)(best[t] - dry->allowed)) : 0;
}

static void check(const llm_token *tokens, size_t n, size_t limit, const lm_dry *dry, const int *alone, const char *what)
{
    double wanted[N_VOCAB];
    size_t first = dry->last_n > 0 && n > (size_t)dry->last_n ? n - (size_t)dry->last_n : 0;
    plain(tokens + first, n - first, limit < n - first ? limit : n - first, dry, alone, wanted);
    memset(logits, 0, sizeof logits);
    lm_dry_penalize(dry, tokens, n, &room);
    for (int t = 0; t < N_VOCAB; t++) {
        CHECK_MSG(fabs(-logits[t] - wanted[t]) <= 1e-6 * wanted[t], "%s: token %d loses %g, expected %g", what, t, -logits[t], wanted[t]);
        CHECK(counts[t] == 0);
    }
}

static void test_random(void)
{
    llm_token tokens[200];
    uint64_t x = 5;
    for (int round = 0; round < 2000; round++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        size_t n = (x >> 40) % 200;
        lm_dry dry = { .multiplier = 0.8, .base = 1.1, .allowed = 1 + (uint32_t)(x >> 33) % 4, .last_n = round % 3 ? -1 : 1 + (int32_t)(x >> 50) % 60 };
        tiny_tokens(tokens, n, 1 + round % 5, (uint32_t)round);
        check(tokens, n, SIZE_MAX, &dry, NULL, "random");
    }
}

/* Linear however the timeline looks: 200000 tokens in a moment, and lengths beyond the most count as the most. */
static void test_long(void)
{
    llm_token *tokens = malloc(LONG * sizeof *tokens);
    lm_dry dry = { .multiplier = 1, .base = 1.0, .allowed = 2, .last_n = -1 };
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < LONG; i++)
            tokens[i] = kind == 0 ? 7 : kind == 1 ? (llm_token)(i % 2) : (llm_token)(__builtin_ctzll(i + 1) % 20);
        memset(logits, 0, sizeof logits);
        for (int times = 0; times < 20; times++)
            lm_dry_penalize(&dry, tokens, LONG, &room);
        CHECK(logits[kind == 0 ? 7 : 0] == -20.0f);
    }
    dry.base = 2;
    for (size_t i = 0; i < LONG; i++)
        tokens[i] = 7;
    memset(logits, 0, sizeof logits);
    lm_dry_penalize(&dry, tokens, LONG, &room);             /* bounded: it stays a number */
    CHECK(logits[7] < -1e30f && logits[7] > -INFINITY && logits[8] == 0);
    free(tokens);
}

static void test_breakers(llm_engine *engine, const lm_tokenizer *tokenizer)
{
    static const llm_str strings[] = { { "<stop>", LLM_NUL }, { "END", 3 }, { "b", 1 } };
    lm_breakers *breakers = NULL, *usual = NULL, *none = (lm_breakers *)&room;
    llm_error error;
    int alone[N_VOCAB] = { 0 };
    CHECK(lm_breakers_new(&engine->host, tokenizer, strings, 3, &breakers, &error) == LLM_OK);
    CHECK(lm_breakers_new(&engine->host, tokenizer, NULL, 0, &usual, &error) == LLM_OK && usual);
    CHECK(lm_breakers_new(&engine->host, tokenizer, strings, 0, &none, &error) == LLM_OK && !none);
    lm_dry dry = { .breakers = breakers, .multiplier = 1, .base = 1.5, .allowed = 1, .last_n = -1 };
    const llm_token a = TINY_A, b = TINY_B, c = TINY_C, h = TINY_HELLO, w = TINY_WORLD, byte_b = TINY_BYTE_0 + 'b';
    alone[TINY_B] = alone[byte_b] = alone[TINY_STOP] = alone[TINY_END] = 1;     /* their texts hold a breaker */
    const struct { llm_token tokens[16]; size_t n, limit; const char *what; } cases[] = {
        { { a, c, h, w, a, c, h }, 7, 99, "no breaker" },
        { { a, c, b, h, w, a, c, b, h }, 9, 1, "b" },
        { { a, c, byte_b, h, w, a, c, byte_b, h }, 9, 1, "b as a byte" },
        { { a, TINY_STOP, c, h, w, a, TINY_STOP, c, h }, 9, 2, "a token that is the breaker" },
        { { a, TINY_LT, TINY_WORD_STOP, TINY_GT, c, w, a, TINY_LT, TINY_WORD_STOP, TINY_GT, c }, 11, 99, "not as the tokenizer spells stop>" },
        { { a, TINY_EN, TINY_D, c, h, w, a, TINY_EN, TINY_D, c, h }, 11, 2, "EN D" },
        { { a, TINY_EN, c, h, w, a, TINY_EN, c, h }, 9, 99, "EN alone" },
        { { a, c, h, a, c, b }, 6, 0, "ends with one" },
        { { b, a, c, h, a, c, h, a, c, h }, 10, 9, "long ago" },
        { { TINY_BYTE_0 + 'E', TINY_BYTE_0 + 'N', TINY_D, c, h, TINY_BYTE_0 + 'E', TINY_BYTE_0 + 'N', TINY_D, c }, 9, 1, "E N D, as it spells the rest of E" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(cases[i].tokens, cases[i].n, cases[i].limit, &dry, alone, cases[i].what);
    llm_token spelt[40] = { a, TINY_LT };                   /* "<" and what the tokenizer makes of "stop>", twice, and c after each */
    size_t n = 0;
    CHECK(lm_tokenizer_encode(tokenizer, "stop>", 5, LLM_ENCODE_CONTINUES, spelt + 2, 10, &n, &error) == LLM_OK && n >= 2);
    n += 2;
    spelt[n++] = c;
    memcpy(spelt + n, spelt, n * sizeof *spelt);
    check(spelt, 2 * n, 1, &dry, alone, "< stop >");
    spelt[2 * n - 2] = h;                                   /* without its last */
    spelt[n - 2] = h;
    check(spelt, 2 * n, 99, &dry, alone, "< stop without >");
    dry.breakers = usual;
    memset(alone, 0, sizeof alone);
    for (const char *p = "\n:\"*"; *p; p++)
        alone[TINY_BYTE_0 + *p] = 1;
    alone[TINY_NEWLINE] = 1;
    const llm_token line[] = { a, c, TINY_NEWLINE, h, c, w, a, c, TINY_NEWLINE, h, c };
    check(line, 11, 2, &dry, alone, "the usual ones");
    lm_mem_free(&engine->host.mem, breakers);
    lm_mem_free(&engine->host.mem, usual);
}

int main(void)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine;
    llm_model *model;
    desc.n_threads = 1;
    tiny_open(&tiny_small, &desc, &engine, &model);
    test_random();
    test_long();
    test_breakers(engine, llm_model_tokenizer(model)->tokenizer);
    llm_model_free(model);
    llm_engine_free(engine);
    return TEST_DONE();
}
