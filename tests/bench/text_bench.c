/* SPDX-License-Identifier: MIT
 * Tokenizers: how long one takes to make and how large it is, how fast it is on plain text, and on a megabyte of each text that is hard
 * on it. One thread; the best of several tries, in time of this process.
 *
 *     bench_text [VOCABULARY.gguf or RANKS.tiktoken]... [-f TEXT]... [--shapes] [--csv]
 *
 * RANKS are read as Llama 3's (make_vocab.py writes them as GGUF). Of a GGUF file, "header read in" is all its keys. --shapes: the hard texts too, also for two made-up vocabularies. --csv: a line `name,what,value,unit` each. */
#include "text/text_shapes.h"

#include "model/vocab.h"

enum { MEGABYTE = 1 << 20, TRIES = 9, MOST = 16 };
static int csv;

static void row(const char *name, const char *what, double value, const char *unit)
{
    const char *slash = strrchr(name, '/');
    printf(csv ? "%s,%s,%.4g,%s\n" : "%-28s %-26s %10.4g %s\n", slash ? slash + 1 : name, what, value, unit);
    fflush(stdout);
}

static void measure_text(const lm_tokenizer *t, const char *name, const char *what, const char *text, size_t len)
{
    llm_token *ids = malloc((len + 2) * sizeof *ids);
    double best = 1e9;
    size_t n = 0;
    for (int i = 0; i < TRIES; i++) {
        double took = test_encode_time(t, text, len, ids, len + 2, &n);
        if (took < 0)
            exit((fprintf(stderr, "%s: %s is not taken\n", name, what), 1));
        best = took < best ? took : best;
    }
    row(name, what, (double)len / best * 1e-6, "MB/s");
    free(ids);
}

/* The file as a model's load takes it, from the page cache. */
static void measure_file(lm_host *host, const char *path)
{
    llm_source source = LLM_INIT(llm_source);
    const llm_source *parts[1] = { &source };
    double header = 1e9, made = 1e9, both = 1e9;
    source.path = path;
    source.path_len = LLM_NUL;
    for (int i = 0; i < TRIES; i++) {
        lm_catalogue *catalogue = NULL;
        lm_tokenizer *t = NULL;
        llm_error error;
        double start = test_cpu_time(), middle, end;
        if (lm_catalogue_open(host, parts, 1, &catalogue, &error) != LLM_OK)
            exit((fprintf(stderr, "%s: %s\n", path, error.message), 1));
        middle = test_cpu_time();
        if (lm_vocab_open(host, catalogue, &t, &error) != LLM_OK)
            exit((fprintf(stderr, "%s: %s\n", path, error.message), 1));
        end = test_cpu_time();
        header = LM_MIN(header, middle - start);
        made = LM_MIN(made, end - middle);
        both = LM_MIN(both, end - start);
        lm_tokenizer_free(t);
        lm_catalogue_free(catalogue);
    }
    row(path, "header read in", header * 1e3, "ms");
    row(path, "tokenizer made in", made * 1e3, "ms");
    row(path, "loaded in", both * 1e3, "ms");
}

static void measure(lm_host *host, test_vocab *v, const char *name, char **files, int n_files, int shapes)
{
    lm_tokenizer *t = NULL;
    llm_error error;
    double best = 1e9;
    uint64_t used = atomic_load(&host->mem.used);
    for (int i = 0; i < TRIES; i++) {
        double start = test_cpu_time(), took;
        lm_tokenizer_free(t);
        t = NULL;
        start = test_cpu_time();
        if (lm_tokenizer_create(host, &v->desc, &t, &error) != LLM_OK)
            exit((fprintf(stderr, "%s: %s\n", name, error.message), 1));
        took = test_cpu_time() - start;
        best = took < best ? took : best;
    }
    row(name, "tokens", v->desc.n_tokens, "");
    row(name, "merges", (double)v->desc.n_merges, "");
    row(name, "made in", best * 1e3, "ms");
    row(name, "memory", (double)(atomic_load(&host->mem.used) - used) * 1e-6, "MB");
    for (int i = 0; i < n_files; i++) {
        size_t size;
        char *text = test_read_file(files[i], &size), *slash = strrchr(files[i], '/');
        if (!text)
            exit((fprintf(stderr, "%s cannot be read\n", files[i]), 1));
        measure_text(t, name, slash ? slash + 1 : files[i], text, size);
        free(text);
    }
    if (shapes) {
        char *text = malloc(MEGABYTE), what[64];
        for (size_t i = 0; i < TEST_SHAPES; i++) {
            test_shape(i, text, MEGABYTE, what);
            measure_text(t, name, what, text, MEGABYTE);
        }
        free(text);
    }
    lm_tokenizer_free(t);
    test_vocab_free(v);
}

int main(int argc, char **argv)
{
    lm_host *host = test_host();
    test_vocab v;
    char *files[MOST], *vocabs[MOST];
    int n_files = 0, n_vocabs = 0, shapes = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--shapes") == 0)
            shapes = 1;
        else if (strcmp(argv[i], "--csv") == 0)
            csv = 1;
        else if (strcmp(argv[i], "-f") == 0 && i + 1 < argc && n_files < MOST)
            files[n_files++] = argv[++i];
        else if (argv[i][0] != '-' && n_vocabs < MOST)
            vocabs[n_vocabs++] = argv[i];
        else
            return fprintf(stderr, "usage: %s [VOCABULARY.gguf or RANKS.tiktoken]... [-f TEXT]... [--shapes] [--csv]\n", argv[0]), 2;
    }
    for (int kind = LM_VOCAB_SPM; shapes && kind <= LM_VOCAB_BPE; kind++) {
        test_vocab_deep(&v, kind);
        measure(host, &v, kind == LM_VOCAB_SPM ? "deep spm" : "deep bpe", files, n_files, shapes);
    }
    for (int i = 0; i < n_vocabs; i++) {
        size_t len = strlen(vocabs[i]);
        bool ranks = len > 9 && strcmp(vocabs[i] + len - 9, ".tiktoken") == 0;
        if (!(ranks ? test_vocab_ranks(&v, vocabs[i], "llama-bpe") : test_vocab_gguf(&v, host, vocabs[i])))
            return fprintf(stderr, "%s cannot be read\n", vocabs[i]), 1;
        if (!ranks)
            measure_file(host, vocabs[i]);
        measure(host, &v, vocabs[i], files, n_files, shapes);
    }
    return 0;
}
