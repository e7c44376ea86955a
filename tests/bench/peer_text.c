/* SPDX-License-Identifier: MIT
 * The other side of text_peers.py, which builds it: the same measures as bench_text's, of llama.cpp, through its llama.h.
 *
 *     peer_text VOCABULARY.gguf TEXT
 */
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TRIES = 5 };

static double now(void) { return (double)clock() / CLOCKS_PER_SEC; }

static void quiet(enum ggml_log_level level, const char *text, void *user) { (void)level, (void)text, (void)user; }

int main(int argc, char **argv)
{
    struct llama_model_params params = llama_model_default_params();
    struct llama_model *model = NULL;
    FILE *file = argc == 3 ? fopen(argv[2], "rb") : NULL;
    double load = 1e9, best = 1e9;
    unsigned long long hash = 2166136261u;
    if (!file)
        return fprintf(stderr, "usage: %s VOCABULARY.gguf TEXT\n", argv[0]), 2;
    fseek(file, 0, SEEK_END);
    int32_t size = (int32_t)ftell(file), n = 0;
    char *text = malloc((size_t)size);
    llama_token *ids = malloc(((size_t)size + 2) * sizeof *ids);
    rewind(file);
    if (fread(text, 1, (size_t)size, file) != (size_t)size)
        return fprintf(stderr, "%s cannot be read\n", argv[2]), 1;
    llama_log_set(quiet, NULL);
    llama_backend_init();
    params.vocab_only = true;
    for (int i = 0; i < TRIES; i++) {
        if (model)
            llama_model_free(model);
        double start = now();
        model = llama_model_load_from_file(argv[1], params);
        if (!model)
            return fprintf(stderr, "%s is not taken\n", argv[1]), 1;
        load = now() - start < load ? now() - start : load;
    }
    for (int i = 0; i < TRIES; i++) {
        double start = now();
        n = llama_tokenize(llama_model_get_vocab(model), text, size, ids, size + 2, false, true);
        best = now() - start < best ? now() - start : best;
    }
    for (int32_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned)ids[i]) * 16777619u & 0xffffffffu;
    printf("loaded in,%.4g\nspeed,%.4g\ntokens,%d\nids,%llu\n", load * 1e3, size / best * 1e-6, n, hash);
    return 0;
}
