/* SPDX-License-Identifier: MIT
 * Stages against their plain reading in NumPy (tools/gen_sampler_goldens.py), draws against their probabilities, selection against sorting. */
#include "test.h"

#include "session/sampler.h"

#include "base/fmath.h"

#include <math.h>

static llm_engine engine;                                   /* its memory alone is used */

typedef struct gold_reader { const char *at; } gold_reader;
static uint32_t gold_u32(gold_reader *r) { uint32_t v; memcpy(&v, r->at, 4); r->at += 4; return v; }
static double gold_f64(gold_reader *r) { double v; memcpy(&v, r->at, 8); r->at += 8; return v; }
static void gold_bytes(gold_reader *r, void *out, size_t n) { memcpy(out, r->at, n); r->at += n; }

enum { N_SETS = 5, MOST = 3000, N_HISTORY = 256 };
static float sets[N_SETS][MOST];
static uint32_t set_size[N_SETS], n_histories[N_SETS];
static llm_token histories[N_SETS][N_HISTORY];

static float logits[MOST], weights[MOST];
static lm_candidate candidates[MOST], spare[MOST];
static uint32_t counts[MOST], lengths[LM_DRY_MOST];
static lm_room room = { logits, candidates, spare, weights, counts, lengths };
static double probability[MOST];

static uint32_t run_stages(const llm_sampler *sampler, const float *from, const llm_token *history, size_t n_history)
{
    lm_draw draw = { .tokens = history, .n_tokens = n_history, .position = n_history };
    llm_error error;
    double sum = 0;
    uint32_t n = 0;
    memcpy(logits, from, sampler->n_vocab * sizeof *logits);
    CHECK_MSG(lm_sampler_stages(sampler, &draw, &room, &n, &error) == LLM_OK, "%s", error.message);
    memset(probability, 0, sizeof probability);
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)candidates[i].logit);
    for (uint32_t i = 0; i < n; i++)
        probability[candidates[i].token] = exp((double)candidates[i].logit) / sum;
    for (uint32_t i = 0; i < sampler->n_vocab; i++)
        CHECK(counts[i] == 0);
    return n;
}

/* A recipe as the generator writes it, made; *n_history < 0: the set's own. */
typedef struct gold_case { uint32_t set; llm_sampler *sampler; const llm_token *history; uint32_t n_history; } gold_case;
static gold_case gold_recipe(gold_reader *r, const char *what, uint32_t number)
{
    static llm_token history[N_HISTORY];
    llm_sampler_desc desc = LLM_INIT(llm_sampler_desc);
    llm_token_bias biases[8];
    uint8_t order[16];
    gold_case c = { .set = gold_u32(r) };
    llm_error error;
    gold_bytes(r, &desc.temperature, 9 * 4);            /* the fields stand in the struct's order */
    gold_bytes(r, &desc.dynatemp_range, 15 * 4);
    int32_t n_order = (int32_t)gold_u32(r);
    desc.n_dry_breakers = 0;
    if (n_order >= 0) {
        desc.order = order;
        desc.n_order = (size_t)n_order;
        gold_bytes(r, order, ((size_t)n_order + 3) / 4 * 4);
    }
    desc.n_biases = gold_u32(r);
    desc.biases = biases;
    gold_bytes(r, biases, desc.n_biases * 8);
    c.n_history = gold_u32(r);
    c.history = c.n_history ? history : histories[c.set];
    gold_bytes(r, history, c.n_history * 4);
    if (c.n_history == 0)
        c.n_history = n_histories[c.set];
    CHECK_MSG(lm_sampler_new(&engine, NULL, set_size[c.set], &desc, &c.sampler, &error) == LLM_OK, "%s %u: %s", what, number, error.message);
    return c;
}

static void gold_stages(gold_reader *r)
{
    uint32_t n_cases = gold_u32(r);
    for (uint32_t k = 0; k < n_cases; k++) {
        gold_case c = gold_recipe(r, "case", k);
        uint32_t n_kept = gold_u32(r), n_shown = gold_u32(r), kept = 0;
        if (!c.sampler)
            return;
        uint32_t n = run_stages(c.sampler, sets[c.set], c.history, c.n_history);
        for (uint32_t i = 0; i < n; i++)
            kept += lm_expf(candidates[i].logit) > 0;
        CHECK_MSG(kept == n_kept, "case %u (set %u): %u tokens kept, %u expected", k, c.set, kept, n_kept);
        for (uint32_t i = 0; i < n_shown; i++) {
            int32_t token;
            double p;
            memcpy(&token, r->at + 4 * i, 4);
            memcpy(&p, r->at + 4 * n_shown + 8 * i, 8);
            CHECK_MSG(fabs(probability[token] - p) <= 1e-9 + 4e-6 * p, "case %u (set %u): token %d has %.12g, expected %.12g", k, c.set, token, probability[token], p);
        }
        r->at += 12 * n_shown;
        lm_sampler_drop(c.sampler);
    }
    printf("%u cases\n", n_cases);
}

/* 100000 draws: token for token as often as by the reference with the same random numbers, but for the few that its rounding parts. */
static void gold_draws(gold_reader *r)
{
    enum { DRAWS = 100000 };
    uint32_t n_cases = gold_u32(r);
    for (uint32_t k = 0; k < n_cases; k++) {
        static uint32_t seen[MOST];
        gold_case c = gold_recipe(r, "draws", k);
        uint64_t seed = gold_u32(r), hash = 0xcbf29ce484222325u;
        double a = gold_f64(r), b = gold_f64(r);
        lm_memory memory = { 0 };
        lm_draw draw = { .tokens = c.history, .n_tokens = c.n_history, .seed = seed };
        llm_error error;
        if (!c.sampler)
            return;
        memset(seen, 0, sizeof seen);
        for (draw.position = 0; draw.position < DRAWS; draw.position++) {
            llm_token token = LLM_TOKEN_NONE;
            memcpy(logits, sets[c.set], set_size[c.set] * sizeof *logits);
            if (!CHECK_MSG(lm_sampler_draw(c.sampler, &draw, &room, &token, &memory, &error) == LLM_OK, "draws %u: %s", k, error.message))
                return;
            draw.memory = c.sampler->remembers ? &memory : NULL;
            seen[token]++;
            hash = (hash ^ (uint64_t)token) * 0x100000001b3u;
        }
        uint32_t off = 0;
        for (uint32_t i = 0; i < set_size[c.set]; i++) {
            uint32_t wanted = gold_u32(r);
            off += seen[i] > wanted ? seen[i] - wanted : wanted - seen[i];
        }
        printf("draws %u: %u of %d are others, hash %016llx\n", k, off / 2, DRAWS, (unsigned long long)hash);
        CHECK_MSG(off <= 2 * 10, "draws %u: %u of %d are others than the reference's", k, off / 2, DRAWS);
        CHECK_MSG(fabs(memory.a - a) <= 1e-5 + 1e-5 * fabs(a) && fabs(memory.b - b) <= 1e-9 * fabs(b), "draws %u: %.12g, %.12g are remembered, expected %.12g, %.12g", k,
                  memory.a, memory.b, a, b);
        lm_sampler_drop(c.sampler);
    }
}

static void test_gold(void)
{
    size_t size;
    char *file = test_read_file(LLM_TEST_TREE "/session/data/sampler.gold", &size);
    if (!CHECK(file && size > 100 && memcmp(file, "LMSAMP2", 8) == 0))
        return;
    gold_reader r = { file + 8 };
    if (!CHECK(gold_u32(&r) == N_SETS))
        return;
    for (int s = 0; s < N_SETS; s++) {
        set_size[s] = gold_u32(&r);
        gold_bytes(&r, sets[s], set_size[s] * 4);
        n_histories[s] = gold_u32(&r);
        gold_bytes(&r, histories[s], n_histories[s] * 4);
    }
    gold_stages(&r);
    gold_draws(&r);
    CHECK(r.at == file + size);
    free(file);
}

/* Draws of many positions follow the probabilities (chi-square), and depend on seed and position alone: their bits are pinned. */
static void test_draws(void)
{
    static const llm_sampler_desc recipes[] = {
        { .struct_size = sizeof(llm_sampler_desc), .temperature = 1.0f },
        { .struct_size = sizeof(llm_sampler_desc), .temperature = 1.7f, .top_k = 50 },
        { .struct_size = sizeof(llm_sampler_desc), .temperature = 0.8f, .top_p = 0.9f, .min_p = 0.01f },
    };
    enum { DRAWS = 20000 };
    for (size_t k = 0; k < LM_COUNT(recipes); k++)
        for (uint64_t seed = 0; seed < 2; seed++) {
            static uint32_t seen[MOST];
            llm_sampler *sampler = NULL;
            llm_error error;
            uint64_t hash = 0xcbf29ce484222325u;
            memset(seen, 0, sizeof seen);
            CHECK(lm_sampler_new(&engine, NULL, 300, &recipes[k], &sampler, &error) == LLM_OK);
            for (uint64_t position = 0; position < DRAWS; position++) {
                lm_draw draw = { .seed = seed, .position = position };
                llm_token token = LLM_TOKEN_NONE;
                memcpy(logits, sets[2], 300 * sizeof *logits);
                if (!CHECK(lm_sampler_draw(sampler, &draw, &room, &token, NULL, &error) == LLM_OK && token >= 0 && token < 300))
                    return;
                seen[token]++;
                if (position < 1000)
                    hash = (hash ^ (uint64_t)token) * 0x100000001b3u;
            }
            uint32_t n = run_stages(sampler, sets[2], NULL, 0), cells = 0;
            double chi = 0, rest_p = 0, rest_seen = 0;
            for (uint32_t i = 0; i < 300; i++) {
                double expected = probability[i] * DRAWS;
                CHECK(probability[i] > 0 || seen[i] == 0);
                if (expected < 8) {                         /* rare ones together */
                    rest_p += expected;
                    rest_seen += seen[i];
                    continue;
                }
                chi += (seen[i] - expected) * (seen[i] - expected) / expected;
                cells++;
            }
            if (rest_p > 0)
                chi += (rest_seen - rest_p) * (rest_seen - rest_p) / rest_p, cells++;
            double z = cells > 1 ? (chi - (cells - 1)) / sqrt(2.0 * (cells - 1)) : 0;
            CHECK_MSG(fabs(z) < 4, "recipe %zu, seed %llu: chi-square %.1f over %u cells", k, (unsigned long long)seed, chi, cells);
            printf("recipe %zu seed %llu: %u candidates, z = %+.2f, hash %016llx\n", k, (unsigned long long)seed, n, z, (unsigned long long)hash);
            static const uint64_t pinned[] = { 0xa8d76ffbd55b3ca0u, 0xa6018555596dbd04u, 0x3d193083377a4a16u, 0x4c6835c190cd14c2u, 0xd362b34428acd3bdu, 0xb23f9ba9f23dc2eeu };
            CHECK_MSG(pinned[2 * k + seed] == hash, "recipe %zu: draws have changed", k);
            lm_sampler_drop(sampler);
        }
}

static int by_value(const void *a, const void *b)
{
    const lm_candidate *x = a, *y = b;
    return x->logit != y->logit ? (x->logit < y->logit ? 1 : -1) : (x->token > y->token) - (x->token < y->token);
}

static void test_selection(void)
{
    static lm_candidate sorted[MOST];
    static const uint32_t ks[] = { 0, 1, 2, 3, 7, 40, 299, 300, 1000, 1024, 1025, 2500, 3000 };
    for (int s = 0; s < 2 * N_SETS; s++)
        for (size_t i = 0; i < LM_COUNT(ks); i++) {
            const float *from = sets[s / 2];
            int scrambled = s & 1;
            uint32_t n = set_size[s / 2], k = LM_MIN(ks[i], n);
            for (uint32_t t = 0; t < n; t++)
                sorted[t] = candidates[t] = (lm_candidate){ t % 50 == 7 ? -0.0f : floorf(from[t] * 4), (llm_token)t };    /* many ties */
            for (uint32_t t = n; scrambled && t > 1; t--) {
                uint32_t with = (t * 2654435761u >> 7) % t;
                lm_candidate swap = candidates[t - 1];
                candidates[t - 1] = candidates[with];
                candidates[with] = swap;
            }
            qsort(sorted, n, sizeof *sorted, by_value);
            lm_candidates_best(candidates, spare, n, ks[i]);
            CHECK(memcmp(sorted, candidates, k * sizeof *sorted) == 0);
            uint64_t sum = 0;                               /* nobody is lost */
            for (uint32_t t = 0; t < n; t++)
                sum += (uint64_t)candidates[t].token;
            CHECK(sum == (uint64_t)n * (n - 1) / 2);
        }
}

static void test_numeric(void)
{
    static const float bad[] = { NAN, INFINITY };
    llm_sampler_desc desc = LLM_INIT(llm_sampler_desc);
    llm_token_bias ban[6] = { { 0, -INFINITY }, { 1, -INFINITY }, { 2, -INFINITY }, { 3, -INFINITY }, { 4, -INFINITY }, { 5, -INFINITY } };
    llm_sampler *sampler = NULL;
    llm_error error;
    llm_token token = -5;
    lm_draw draw = { .seed = 1, .position = 1 };
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < 2; i++) {
            desc.temperature = (float)t;
            CHECK(lm_sampler_new(&engine, NULL, 6, &desc, &sampler, &error) == LLM_OK);
            memcpy(logits, sets[0], 24);
            logits[3] = bad[i];
            CHECK(lm_sampler_draw(sampler, &draw, &room, &token, NULL, &error) == LLM_E_NUMERIC && token == -5);
            lm_sampler_drop(sampler);
        }
    for (int t = 0; t < 2; t++) {
        desc.temperature = (float)t;
        desc.biases = ban;
        desc.n_biases = 6;
        CHECK(lm_sampler_new(&engine, NULL, 6, &desc, &sampler, &error) == LLM_OK);
        memcpy(logits, sets[0], 24);
        CHECK(lm_sampler_draw(sampler, &draw, &room, &token, NULL, &error) == LLM_E_NUMERIC && token == -5);
        lm_sampler_drop(sampler);
    }
    float max = 0;
    double sum = lm_logits_log_sum(sets[0], 6, &max);
    CHECK(max == 3 && fabs(sum - (3 - log(0.557275))) < 1e-5);      /* facts of the logits 3, 2, 1.5, 1, 0, -1 */
    const float tie[4] = { 1, 4, 4, 0 };
    CHECK(lm_sampler_argmax(tie, 4, &token, &error) == LLM_OK && token == 1);
}

/* The first of the largest, and whether all are finite: beside the plain loop, on all lengths, with ties, zeros of both signs and what is no number. */
static void test_all_logits(void)
{
    static const float values[] = { 0.0f, -0.0f, 1.0f, -1.0f, 2.5f, -3e38f, 1e-42f, -INFINITY, INFINITY, NAN };
    uint32_t seed = 1;
    float logits[5000];
    for (uint32_t n = 1; n <= 5000; n += n < 200 ? 1 : 337)
        for (uint32_t set = 2; set <= 10; set++) {
            uint32_t best = 0, bad = 0;
            for (uint32_t i = 0; i < n; i++) {
                seed = seed * 1664525u + 1013904223u;
                logits[i] = values[(seed >> 16) % set];
                bad += !isfinite(logits[i]);
            }
            for (uint32_t i = 1; i < n; i++)
                if (logits[i] > logits[best])
                    best = i;
            CHECK_MSG(lm_logits_best(logits, n) == best, "%u of %u: %u", n, set, lm_logits_best(logits, n));
            CHECK(lm_logits_finite(logits, n) == (bad == 0));
        }
}

int main(void)
{
    lm_mem_init(&engine.host.mem, NULL, 0);
    atomic_init(&engine.refs, 1);
    test_all_logits();
    test_gold();
    test_draws();
    test_selection();
    test_numeric();
    CHECK(atomic_load(&engine.host.mem.used) == 0 && atomic_load(&engine.refs) == 1);
    return TEST_DONE();
}
