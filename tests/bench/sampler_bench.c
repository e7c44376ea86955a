/* SPDX-License-Identifier: MIT
 * What a draw costs: recipes on logits of large vocabularies, in microseconds a token, one thread. tests/bench/peer_samplers.py measures
 * llama.cpp on the same logits.
 *
 *     build/tests/bench/bench_sampler [seconds for each] */
#include "session/sampler.h"

#include "base/os.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static llm_engine engine;

/* Logits like a model's: a normal bulk with a tail of likely tokens. kind 1: all nearly the same; 2: rising, the worst for a heap. */
static void bench_logits(float *out, uint32_t n, int kind)
{
    uint64_t x = 12345;
    for (uint32_t i = 0; i < n; i++) {
        double sum = 0;
        for (int k = 0; k < 12; k++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            sum += (double)(x >> 40) / (1 << 24);
        }
        out[i] = kind == 2 ? (float)i * 1e-4f : (float)((sum - 6) * (kind ? 0.01 : 2.0));
        if (kind == 0 && (x >> 33) % 3000 == 0)
            out[i] += 8.0f;
    }
}

static double bench_run(const llm_sampler *sampler, const float *from, lm_room *room, uint32_t n, const llm_token *history, double seconds)
{
    lm_memory memory = { 0 };
    lm_draw draw = { .tokens = history, .n_tokens = 2000, .seed = 1 };
    int64_t begin = lm_now_ns(), now = begin, best = INT64_MAX;
    while ((double)(now - begin) < seconds * 1e9) {
        llm_token token;
        memcpy(room->logits, from, n * sizeof(float));
        int64_t start = lm_now_ns();
        if (lm_sampler_draw(sampler, &draw, room, &token, &memory, NULL) < 0)
            return -1;
        now = lm_now_ns();
        best = LM_MIN(best, now - start);
        draw.position++;
        draw.memory = sampler->remembers ? &memory : NULL;
    }
    return (double)best / 1000;
}

int main(int argc, char **argv)
{
    static const uint32_t sizes[] = { 32000, 128256, 262144 };
    static const char *const kinds[] = { "model", "flat", "rising" };
    static const struct { const char *name; llm_sampler_desc desc; } recipes[] = {
        { "temperature", { .temperature = 0.8f } },
        { "usual: top_k 40, top_p, min_p, temperature", { .temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f } },
        { "usual and penalties, DRY over 2000 tokens", { .temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .repeat_penalty = 1.1f, .dry_multiplier = 0.8f } },
        { "top_p 0.95, temperature", { .temperature = 0.8f, .top_p = 0.95f } },
        { "min_p 0.05, temperature", { .temperature = 0.8f, .min_p = 0.05f } },
        { "typical 0.9", { .temperature = 1.0f, .typical_p = 0.9f } },
        { "top_n_sigma 1", { .temperature = 1.0f, .top_n_sigma = 1.0f } },
        { "XTC always", { .temperature = 1.0f, .xtc_probability = 1.0f } },
        { "dynamic temperature", { .temperature = 0.8f, .dynatemp_range = 0.5f } },
        { "Mirostat 2", { .temperature = 0.8f, .mirostat = 2 } },
        { "Mirostat 1", { .temperature = 0.8f, .mirostat = 1 } },
        { "min_p 0.05, adaptive-p", { .temperature = 1.0f, .min_p = 0.05f, .adaptive_target = 0.5f } },
    };
    double seconds = argc > 1 ? atof(argv[1]) : 0.1;
    lm_mem_init(&engine.host.mem, NULL, 0);
    atomic_init(&engine.refs, 1);
    printf("%-46s", "microseconds a draw");
    for (size_t s = 0; s < LM_COUNT(sizes); s++)
        for (size_t k = 0; k < LM_COUNT(kinds); k++)
            printf(" %4uk %-6s", sizes[s] / 1000, kinds[k]);
    putchar('\n');
    for (size_t r = 0; r < LM_COUNT(recipes); r++) {
        printf("%-46s", recipes[r].name);
        for (size_t s = 0; s < LM_COUNT(sizes); s++) {
            uint32_t n = sizes[s];
            float *from = malloc(n * sizeof(float));
            lm_room room = { malloc(n * sizeof(float)), malloc(n * sizeof(lm_candidate)), malloc(n * sizeof(lm_candidate)), malloc(n * sizeof(float)),
                             calloc(n, sizeof(uint32_t)), malloc(LM_DRY_MOST * sizeof(uint32_t)) };
            llm_token history[2000];
            for (int i = 0; i < 2000; i++)
                history[i] = (llm_token)((uint32_t)i * 2654435761u >> 20) % 1000;
            for (int kind = 0; kind < 3; kind++) {
                llm_sampler *sampler = NULL;
                bench_logits(from, n, kind);
                if (lm_sampler_new(&engine, NULL, n, &recipes[r].desc, &sampler, NULL) < 0)
                    return 1;
                printf(" %12.1f", bench_run(sampler, from, &room, n, history, seconds));
                fflush(stdout);
                lm_sampler_drop(sampler);
            }
            free(room.logits); free(room.candidates); free(room.spare); free(room.weights); free(room.counts); free(room.lengths);
            free(from);
        }
        putchar('\n');
    }
    return 0;
}
