/* SPDX-License-Identifier: MIT
 * What loading costs, and what is held afterwards: times against one thread's read() of the whole file into fresh memory, where they go, the
 * peak of resident memory, and allocations while decoding.
 *
 *     bench_load MODEL.gguf [rounds, default 5 [PACK]]
 *
 * PACK: the path of a pack; it is made if it is not there, and the load from it, the first token after a load and the decoding of tokens are measured
 * beside the load from the model's file.
 *
 * Every measurement runs in a process of its own, in turn with the others; medians are printed. The file is read once before, so that all is
 * about memory and not about the disk. A benchmark, not a test. Make a model with `libllm make --shape 1b -o FILE`. */
#if defined(__linux__)
#define _GNU_SOURCE 1
#else
#define _DARWIN_C_SOURCE 1
#endif
#include "test.h"

#include "files/catalogue.h"
#include "kernels/kernels.h"
#include "text/tokenizer.h"
#include "model/vocab.h"
#include "base/cpu.h"
#include "base/os.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS_MAX = 25, N_CTX = 1024, PROMPT = 512, REPLY = 128, STAGING = 1 << 18 };

static const char *path, *pack;
static llm_error error;

#define MUST(call)                                                                  \
    do {                                                                            \
        llm_status must_status = (call);                                            \
        if (must_status < 0)                                                        \
            exit((fprintf(stderr, "%s: %s\n", #call, error.message), 1));           \
    } while (0)

/* What a child measured. */
typedef struct sample { double v[8]; } sample;

static double seconds(void) { return (double)lm_now_ns() * 1e-9; }

/* of all threads of this process: in the system, and in all */
static void cpu_seconds(double out[2])
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    out[0] = (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec * 1e-6;
    out[1] = out[0] + (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec * 1e-6;
}

/* Runs body in a child with little memory of its own. */
static sample in_child(void (*body)(sample *out, int how), int how)
{
    sample *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), out;
    struct rusage used;
    int state = 1;
    pid_t pid;
    if (shared == MAP_FAILED)
        exit(1);
    memset(shared, 0, sizeof *shared);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        body(shared, how);
        _exit(0);
    }
    if (pid < 0 || wait4(pid, &state, 0, &used) != pid || state != 0)
        exit((fprintf(stderr, "a measurement failed\n"), 1));
    out = *shared;
    out.v[7] = (double)used.ru_maxrss * 1024;
    munmap(shared, sizeof *shared);
    return out;
}

/* ---- the baseline ------------------------------------------------------------------------------------------------------- */

static void read_whole(sample *out, int how)
{
    double begin = seconds();
    struct stat info;
    int fd = open(path, O_RDONLY);
    size_t done = 0, size;
    char *memory;
    (void)how;
    if (fd < 0 || fstat(fd, &info) != 0)
        exit(1);
    size = (size_t)info.st_size;
    memory = malloc(size);
    while (memory && done < size) {
        ssize_t n = read(fd, memory + done, size - done);
        if (n <= 0)
            exit(1);
        done += (size_t)n;
    }
    out->v[0] = seconds() - begin;
    cpu_seconds(&out->v[1]);
}

/* ---- the whole load ------------------------------------------------------------------------------------------------------ */

static llm_engine *open_engine(int n_threads, const llm_allocator *allocator)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    desc.n_threads = n_threads;
    desc.allocator = allocator;
    MUST(llm_engine_create(LLM_ABI, &desc, &engine, &error));
    return engine;
}

/* From the pack, or from the model's file. */
static llm_model *load(llm_engine *engine, int packed)
{
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    llm_model_info info = LLM_INIT(llm_model_info);
    llm_model *model = NULL;
    desc.pack = packed ? pack : NULL;
    desc.pack_len = packed ? LLM_NUL : 0;
    MUST(llm_model_load(engine, path, LLM_NUL, &desc, &model, &error));
    MUST(llm_model_get_info(model, &info, &error));
    if (packed && info.mapped_bytes == 0)
        exit((fprintf(stderr, "the pack %s cannot be used\n", pack), 1));
    return model;
}

static void load_whole(sample *out, int n_threads)
{
    double begin = seconds();
    load(open_engine(n_threads, NULL), 0);
    out->v[0] = seconds() - begin;
    cpu_seconds(&out->v[1]);
}

static void load_packed(sample *out, int n_threads)
{
    double begin = seconds();
    load(open_engine(n_threads, NULL), 1);
    out->v[0] = seconds() - begin;
    cpu_seconds(&out->v[1]);
}

/* Load, the first token, and those after it. */
static void first_tokens(sample *out, int packed)
{
    enum { N = 24 };
    double begin = seconds(), first;
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_generate_desc generate = LLM_INIT(llm_generate_desc);
    llm_model *model = load(open_engine(2, NULL), packed);
    llm_session *s = NULL;
    llm_token token = 1;
    desc.n_ctx = 64;
    generate.flags = LLM_GENERATE_IGNORE_END;
    generate.max_tokens = 1 + N;
    MUST(llm_session_create(model, &desc, &s, &error));
    MUST(llm_session_append(s, &token, 1, 0, &error));
    MUST(llm_session_generate(s, &generate, &error));
    while (llm_session_n_tokens(s) < 2)
        MUST(llm_session_step(&s, 1, LLM_FOREVER, 0, &error));
    first = seconds();
    out->v[0] = first - begin;
    while (llm_session_n_tokens(s) < 2 + N)
        MUST(llm_session_step(&s, 1, LLM_FOREVER, 0, &error));
    out->v[1] = N / (seconds() - first);
}

static double anonymous_bytes(void)
{
    char line[256];
    double kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %lf", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

static void load_vocabulary(sample *out, int how)
{
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    double begin = seconds();
    llm_model *model = NULL;
    (void)how;
    desc.flags = LLM_MODEL_VOCAB_ONLY;
    MUST(llm_model_load(open_engine(1, NULL), path, LLM_NUL, &desc, &model, &error));
    out->v[0] = seconds() - begin;
}

/* ---- its parts, one thread ------------------------------------------------------------------------------------------------- */

enum { PART_HEADER, PART_TOKENIZER, PART_READ, PART_LOOK, PART_PACK, PART_TOUCH, N_PARTS };
static const char *const part_names[N_PARTS] = { "header: keys, tensor infos", "tokenizer from it", "reading rows into 256 KiB", "looking for NaN",
                                                 "packing rows into 16s, in cache", "touching fresh memory" };

static void parts(sample *out, int tier)
{
    lm_host host;
    lm_catalogue *c = NULL;
    lm_tokenizer *tokenizer = NULL;
    lm_kernels kernels;
    static unsigned char staging[STAGING], packed[STAGING + 4096];
    llm_source source = LLM_INIT(llm_source);
    const llm_source *one[1] = { &source };
    double at = seconds();
    memset(&host, 0, sizeof host);
    lm_mem_init(&host.mem, NULL, 0);
    lm_kernels_fill(&kernels, lm_cpu_features(), tier);
    source.path = path;
    source.path_len = LLM_NUL;
    MUST(lm_catalogue_open(&host, one, 1, &c, &error));
    out->v[PART_HEADER] = seconds() - at;
    at = seconds();
    MUST(lm_vocab_open(&host, c, &tokenizer, &error));
    out->v[PART_TOKENIZER] = seconds() - at;
    for (size_t i = 0; i < c->n_tensors; i++) {
        const lm_tensor *t = &c->tensors[i];
        uint64_t most = STAGING / t->row_bytes / 16 * 16, n, bad;
        if (!kernels.pack[t->type] || most == 0 || t->n_rows < 16)
            continue;
        for (uint64_t row = 0; row < t->n_rows; row += n) {
            n = LM_MIN(most, t->n_rows - row);
            double begin = seconds(), read, looked;
            MUST(lm_catalogue_rows(c, t, row, n, staging, &error));
            read = seconds();
            for (uint64_t r = 0; r < n; r++)
                if (!lm_type_row_finite(t->type, staging + r * t->row_bytes, t->ne[0], &bad))
                    exit(1);
            looked = seconds();
            for (uint64_t g = 0; g < n; g += 16)
                kernels.pack[t->type](packed + g * t->row_bytes, staging + g * t->row_bytes, (size_t)t->row_bytes, (size_t)LM_MIN(16, n - g), (size_t)t->ne[0]);
            out->v[PART_PACK] += seconds() - looked;
            out->v[PART_LOOK] += looked - read;
            out->v[PART_READ] += read - begin;
        }
    }
    at = seconds();
    for (size_t i = 0; i < c->n_tensors; i++) {
        unsigned char *memory = lm_mem_raw(&host.mem, (size_t)c->tensors[i].bytes, LLM_MEMORY_WEIGHTS);
        for (size_t b = 0; memory && b < c->tensors[i].bytes; b += 4096)
            memory[b] = 1;
    }
    out->v[PART_TOUCH] = seconds() - at;
}

/* ---- memory: a host's allocator that counts, over the system's ---------------------------------------------------------------- */

static atomic_long n_allocations;

static void *count_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)kind;
    atomic_fetch_add(&n_allocations, 1);
    return lm_os_allocate(size, align);
}

static void count_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)size, (void)align, (void)kind;
    lm_os_release(ptr);
}

static llm_session *prompted(llm_model *model, uint32_t flags)
{
    llm_session_desc desc = LLM_INIT(llm_session_desc);
    llm_generate_desc generate = LLM_INIT(llm_generate_desc);
    llm_session *s = NULL;
    llm_token tokens[PROMPT];
    for (int i = 0; i < PROMPT; i++)
        tokens[i] = i * 7 + 1;
    desc.n_ctx = N_CTX;
    desc.flags = flags;
    MUST(llm_session_create(model, &desc, &s, &error));
    MUST(llm_session_append(s, tokens, PROMPT, 0, &error));
    MUST(llm_session_step(&s, 1, LLM_FOREVER, 0, &error));
    generate.flags = LLM_GENERATE_IGNORE_END;
    generate.max_tokens = 1;                                /* the first draw makes the room that all later ones use */
    MUST(llm_session_generate(s, &generate, &error));
    MUST(llm_session_step(&s, 1, LLM_FOREVER, 0, &error));
    generate.max_tokens = REPLY;
    MUST(llm_session_generate(s, &generate, &error));
    return s;
}

/* Allocations while REPLY tokens are decoded, and the steps that had any. */
static void decode(sample *out, int reserve)
{
    llm_allocator counting = LLM_INIT(llm_allocator);
    llm_model *model = NULL;
    llm_session *s;
    llm_status status = LLM_MORE;
    counting.allocate = count_allocate;
    counting.release = count_release;
    MUST(llm_model_load(open_engine(2, &counting), path, LLM_NUL, NULL, &model, &error));
    s = prompted(model, reserve ? LLM_SESSION_RESERVE : 0);
    for (int i = 0; status == LLM_MORE; i++) {
        long before = atomic_load(&n_allocations);
        MUST(status = llm_session_step(&s, 1, 5000, 0, &error));   /* a budget in ms: steps that end between tokens and inside them */
        long n = atomic_load(&n_allocations) - before;
        out->v[0] += (double)n;
        out->v[1] += n != 0;
        out->v[2] = i + 1;
    }
}

static void peak(sample *out, int packed)
{
    llm_model *model;
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    llm_session_desc session = LLM_INIT(llm_session_desc);
    llm_source source = LLM_INIT(llm_source);
    const llm_source *one[1] = { &source };
    llm_estimate_info estimate = LLM_INIT(llm_estimate_info);
    llm_engine *engine = open_engine(2, NULL);
    llm_session *s;
    desc.pack = packed ? pack : NULL;
    desc.pack_len = packed ? LLM_NUL : 0;
    source.path = path;
    source.path_len = LLM_NUL;
    session.n_ctx = PROMPT + 1 + REPLY;
    MUST(llm_model_estimate(engine, one, 1, &desc, &session, &estimate, &error));
    model = load(engine, packed);
    s = prompted(model, 0);
    MUST(llm_session_step(&s, 1, LLM_FOREVER, 0, &error));
    out->v[0] = (double)estimate.session_bytes;
    out->v[1] = (double)estimate.total_bytes;
    out->v[2] = anonymous_bytes();
}

/* ---- the table ------------------------------------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *v, int n)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, v, (size_t)n * sizeof *v);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return sorted[n / 2];
}

int main(int argc, char **argv)
{
    static const int32_t tiers[2] = { 0, LM_TIER_REFERENCE };
    double wall[4][ROUNDS_MAX], system[4][ROUNDS_MAX], cpu[4][ROUNDS_MAX], ratio[4][ROUNDS_MAX], vocabulary[ROUNDS_MAX], first[2][ROUNDS_MAX], rate[2][ROUNDS_MAX];
    static const char *const names[4] = { "read() of the file into fresh memory", "load, 1 thread", "load, 2 threads", "load from the pack, 1 thread" };
    int n = argc > 2 ? atoi(argv[2]) : 5;
    struct stat info;
    sample s;
    if (argc < 2 || n < 1 || n > ROUNDS_MAX || stat(argv[1], &info) != 0)
        return fprintf(stderr, "usage: bench_load MODEL.gguf [ROUNDS, at most %d [PACK]]\n", ROUNDS_MAX), 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    path = argv[1];
    pack = argc > 3 ? argv[3] : NULL;
    int ways = pack ? 4 : 3;
    in_child(read_whole, 0);                                /* into the page cache */
    if (pack) {
        bool there = access(pack, F_OK) == 0;
        s = in_child(load_packed, 2);                       /* made now, if it is not there, and into the page cache */
        if (!there)
            printf("load that writes the pack, 2 threads  %7.1f ms\n", 1e3 * s.v[0]);
        in_child(first_tokens, 1);
    }
    for (int i = 0; i < n; i++) {
        for (int t = 0; t < ways; t++) {                    /* threads; 0: read(), 3: the pack */
            s = in_child(t == 3 ? load_packed : t ? load_whole : read_whole, t == 3 ? 1 : t);
            wall[t][i] = s.v[0];
            system[t][i] = s.v[1];
            cpu[t][i] = s.v[2];
            ratio[t][i] = s.v[0] / wall[0][i];
        }
        vocabulary[i] = in_child(load_vocabulary, 0).v[0];
        for (int packed = 0; pack && packed <= 1; packed++) {
            s = in_child(first_tokens, packed);
            first[packed][i] = s.v[0];
            rate[packed][i] = s.v[1];
        }
    }
    double mb = (double)info.st_size / 1e6;
    printf("%s, %.1f MB, medians of %d\n", path, mb, n);
    for (int t = 0; t < ways; t++)
        printf("%-38s %7.1f ms  %5.2f GB/s  %.2f of read()  (processor time %.1f ms, of which system %.1f)\n",
               names[t], 1e3 * median(wall[t], n),
               mb / 1e3 / median(wall[t], n), median(ratio[t], n), 1e3 * median(cpu[t], n), 1e3 * median(system[t], n));
    printf("of that header and tokenizer            %7.1f ms\n", 1e3 * median(vocabulary, n));
    for (int packed = 0; pack && packed <= 1; packed++)
        printf("load and one token, 2 threads, %-8s %7.1f ms; then %.1f tokens/s\n", packed ? "packed" : "source", 1e3 * median(first[packed], n), median(rate[packed], n));
    for (int t = 0; t < 2; t++) {
        s = in_child(parts, tiers[t]);
        printf("parts of a load by one thread, once, kernels: %s\n", t ? "reference" : "the best here");
        for (int i = 0; i < N_PARTS; i++)
            printf("  %-36s  %7.1f ms\n", part_names[i], 1e3 * s.v[i]);
    }
    for (int packed = 0; packed <= (pack != NULL); packed++) {
        s = in_child(peak, packed);
        printf("%s: peak RSS, prompt %d, reply %d          %7.1f MB: %.3f of file + state (%.1f MB) + 48 MB; %.1f MB of it the process's own; estimate %.1f MB\n",
               packed ? "packed" : "source", PROMPT, REPLY, s.v[7] / 1e6, s.v[7] / ((double)info.st_size + s.v[0] + 48e6), s.v[0] / 1e6, s.v[2] / 1e6, s.v[1] / 1e6);
    }
    for (int reserve = 0; reserve <= 1; reserve++) {
        s = in_child(decode, reserve);
        printf("%d tokens decoded, %s reserve: %.0f allocations in %.0f of %.0f steps; borders of pages passed: %d\n", REPLY, reserve ? "with" : "without", s.v[0],
               s.v[1], s.v[2], (PROMPT + REPLY) / 64 - PROMPT / 64);
    }
    return 0;
}
