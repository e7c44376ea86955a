/* SPDX-License-Identifier: MIT
 * See fuzz.h. */
#define _GNU_SOURCE 1
#include "fuzz.h"

#include "models.h"

#include "test.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

enum { FUZZ_MEMORY = 64 << 20, FUZZ_MS = TEST_EMULATED ? 60000 : 1000, FUZZ_MODELS = 8, FUZZ_KEPT = 4 << 20 };

static struct { _Atomic uint64_t now; uint64_t base, most, lowest; _Atomic long long blocks; long long base_blocks; int ms; } fuzz;

void fuzz_fail(const char *file, int line, const char *text, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s:%d: FUZZ_CHECK(%s) failed: ", file, line, text);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

/* ---- memory and time ---- */

static void *fuzz_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    void *p = NULL;
    (void)user;
    (void)kind;
    uint64_t now = atomic_fetch_add(&fuzz.now, size) + size;
    FUZZ_CHECK(fuzz.most > UINT64_MAX - fuzz.base || now <= fuzz.base + fuzz.most, "%zu bytes, %llu together", size, (unsigned long long)(now - fuzz.base));
    if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size ? size : 1) != 0)
        return NULL;
    atomic_fetch_add(&fuzz.blocks, 1);
    return p;
}
static void fuzz_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)user;
    (void)align;
    (void)kind;
    atomic_fetch_sub(&fuzz.now, size);
    atomic_fetch_sub(&fuzz.blocks, 1);
    free(ptr);
}
llm_allocator fuzz_allocator = { .struct_size = sizeof(llm_allocator), .allocate = fuzz_allocate, .release = fuzz_release };

static void fuzz_late(int signal)
{
    (void)signal;
    fprintf(stderr, "an input took more than %d ms of the processor\n", fuzz.ms);
    abort();
}

static void fuzz_clock(int ms)
{
    struct itimerval timer = { .it_value = { ms / 1000, ms % 1000 * 1000 } };
    setitimer(ITIMER_PROF, &timer, NULL);
}

void fuzz_bounds(int ms, uint64_t bytes)
{
    fuzz.most += bytes;
    fuzz.ms = ms > FUZZ_MS ? ms : FUZZ_MS;
    fuzz_clock(fuzz.ms);
}

void fuzz_begin(size_t input_bytes)
{
    static bool ready;
    if (!ready)
        signal(SIGPROF, fuzz_late);
    ready = true;
    fuzz.base = atomic_load(&fuzz.now);
    fuzz.base_blocks = atomic_load(&fuzz.blocks);
    fuzz.most = 4 * (uint64_t)input_bytes + FUZZ_MEMORY;
    fuzz_bounds(FUZZ_MS, 0);
}

void fuzz_end_kept(void)
{
    fuzz_clock(0);
    uint64_t now = atomic_load(&fuzz.now);
    fuzz.lowest = fuzz.lowest == 0 || now < fuzz.lowest ? now : fuzz.lowest;
    FUZZ_CHECK(now - fuzz.lowest <= FUZZ_KEPT, "%llu bytes more than there were once", (unsigned long long)(now - fuzz.lowest));
}

void fuzz_end(void)
{
    fuzz_clock(0);
    FUZZ_CHECK(atomic_load(&fuzz.blocks) == fuzz.base_blocks && atomic_load(&fuzz.now) == fuzz.base, "%lld blocks left, %lld bytes", atomic_load(&fuzz.blocks) - fuzz.base_blocks,
               (long long)(atomic_load(&fuzz.now) - fuzz.base));
}

/* ---- the library ---- */

llm_engine *fuzz_engine(int32_t tier)
{
    static llm_engine *engines[8];
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_error error;
    if (engines[tier])
        return engines[tier];
    fuzz.most = UINT64_MAX;
    desc.n_threads = 1;
    desc.n_arenas = 4;
    desc.n_chunk = 8;
    desc.cpu_tier = tier;
    desc.allocator = &fuzz_allocator;
    llm_status status = llm_engine_create(LLM_ABI, &desc, &engines[tier], &error);
    FUZZ_CHECK(status == LLM_OK, "%s", error.message);
    return engines[tier];
}

llm_source fuzz_source(const void *data, size_t size)
{
    llm_source source = LLM_INIT(llm_source);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = data;
    source.data_len = size;
    return source;
}

llm_model *fuzz_model(llm_engine *engine, const char *name)
{
    static struct { llm_engine *engine; const char *name; llm_model *model; } kept[FUZZ_MODELS];
    static unsigned char file[MODELS_MOST * 4];
    llm_error error;
    int i = 0;
    for (; i < FUZZ_MODELS && kept[i].model; i++)
        if (kept[i].engine == engine && strcmp(kept[i].name, name) == 0)
            return kept[i].model;
    FUZZ_CHECK(i < FUZZ_MODELS, "too many models");
    doc *d = doc_new();
    models_make_named(d, name);
    llm_source source = fuzz_source(file, doc_write(d, file, sizeof file));
    const llm_source *part = &source;
    doc_free(d);
    fuzz.most = UINT64_MAX;
    llm_status status = llm_model_load_from(engine, &part, 1, NULL, &kept[i].model, &error);
    FUZZ_CHECK(status == LLM_OK, "%s: %s", name, error.message);
    kept[i].engine = engine;
    kept[i].name = name;
    return kept[i].model;
}

llm_status fuzz_status(llm_status status, const llm_error *error)
{
    FUZZ_CHECK(status >= LLM_E_MISMATCH && status <= LLM_MORE, "status %d", status);
    FUZZ_CHECK(status != LLM_E_INTERNAL && status != LLM_E_MEMORY, "%s", error->message);
    FUZZ_CHECK(error->status == (status < 0 ? status : error->status) && error->message_len < sizeof error->message && error->message[error->message_len] == 0 &&
                   strlen(error->message) == error->message_len && memchr(error->subject, 0, sizeof error->subject),
               "status %d, error %d '%.384s'", status, error->status, error->message);
    FUZZ_CHECK((status < 0) == (error->message_len > 0), "status %d '%s'", status, error->message);
    return status;
}

/* ---- inputs ---- */

uint32_t fuzz_u8(fuzz_in *in) { return in->at < in->end ? *in->at++ : 0; }
uint32_t fuzz_u32(fuzz_in *in)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v |= fuzz_u8(in) << (8 * i);
    return v;
}
uint64_t fuzz_u64(fuzz_in *in)
{
    uint64_t low = fuzz_u32(in);
    return low | (uint64_t)fuzz_u32(in) << 32;
}
float fuzz_f32(fuzz_in *in)
{
    uint32_t bits = fuzz_u32(in);
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

int64_t fuzz_odd(fuzz_in *in)
{
    static const int64_t odd[] = { 0, 1, 2, 3, -1, -2, 7, 8, 9, 63, 64, 65, 127, 255, 256, 4096, INT32_MAX, (int64_t)INT32_MAX + 1, INT32_MIN, UINT32_MAX, INT64_MAX, INT64_MIN };
    uint32_t pick = fuzz_u8(in);
    if (pick < sizeof odd / sizeof *odd)
        return odd[pick];
    return pick < 200 ? (int64_t)(pick - sizeof odd / sizeof *odd) : (int64_t)(int32_t)fuzz_u32(in);
}

llm_str fuzz_bytes(fuzz_in *in, size_t most)
{
    size_t left = (size_t)(in->end - in->at), n = fuzz_u8(in) % (most + 1);
    if (left > 0)
        left--;
    n = n < left ? n : left;
    llm_str text = { (const char *)in->at, n };
    in->at += n;
    return text;
}

uint64_t fuzz_hash(const void *data, size_t size)
{
    const uint8_t *at = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ at[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

/* ---- "--seeds FOLDER" writes the seeds there ---- */

static const char *fuzz_folder;
static void fuzz_put(const char *name, const void *data, size_t size)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        fuzz_folder = (*argv)[2];
        fuzz_seeds(fuzz_put);
        exit(0);
    }
    return 0;
}
