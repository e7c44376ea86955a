/* SPDX-License-Identifier: MIT
 * Packs: the same bits with and without, for every kind of model, tier and source; a pack that does not fit, in whatever way, is refused and
 * made anew, and nothing that is no pack is touched; disks that fill up, maps that fail, processes that write at once, replaced packs in use,
 * cancelled loads, failed allocations; what is held, and what the estimate says. */
#define _GNU_SOURCE
#include "tiny.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 256 };

static char folder[] = "/tmp/llm-pack-XXXXXX", model_path[64], other_path[64], pack_path[64];
static char logged[2048];               /* the last line */
static int n_logged;

static void on_log(void *user, int32_t level, const char *text, size_t len)
{
    (void)user, (void)level;
    snprintf(logged, sizeof logged, "%.*s", (int)len, text);
    n_logged++;
}
static const llm_logger logger = { .struct_size = sizeof(llm_logger), .level = LLM_LOG_DEBUG, .write = on_log };

/* ---- files */

static size_t files_in_folder(void)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    size_t n = 0;
    while (dir && (entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

/* A file that was last changed `age` seconds ago. */
static void write_file(const char *path, const void *bytes, size_t n, int age)
{
    FILE *file;
    struct timespec times[2];
    unlink(path);
    file = fopen(path, "wb");
    if (!CHECK(file != NULL))
        exit(1);
    CHECK(fwrite(bytes, 1, n, file) == n);
    fclose(file);
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= age;
    times[1] = times[0];
    CHECK(age == 0 || utimensat(AT_FDCWD, path, times, 0) == 0);
}

/* Last changed so many ns from now; INT64_MAX: about the year 2920. */
static void set_time(int fd, int64_t ns)
{
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    int64_t at = ns == INT64_MAX ? 0 : times[0].tv_nsec + ns % 1000000000 + 1000000000;
    times[0].tv_sec = ns == INT64_MAX ? (time_t)INT64_C(30000000000) : times[0].tv_sec + (time_t)(ns / 1000000000 + at / 1000000000 - 1);
    times[0].tv_nsec = (long)(at % 1000000000);
    times[1] = times[0];
    CHECK(futimens(fd, times) == 0);
}

typedef struct bytes { unsigned char *at; size_t n; } bytes;
static bytes read_all(const char *path)
{
    bytes b = { NULL, 0 };
    b.at = (unsigned char *)test_read_file(path, &b.n);
    return b;
}

static int same_file(const char *path, bytes wanted)
{
    bytes there = read_all(path);
    int same = there.at && there.n == wanted.n && memcmp(there.at, wanted.at, wanted.n) == 0;
    free(there.at);
    return same;
}

static uint64_t inode(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_ino : 0;
}

/* ---- loads */

typedef struct how { uint32_t flags; int32_t tier, threads; const char *pack; const llm_allocator *allocator; const llm_source *source; } how;

static llm_engine *open_engine(const how *h)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    llm_error error;
    desc.n_threads = h->threads ? h->threads : 1;
    desc.n_arenas = 1;
    desc.cpu_tier = h->tier;
    desc.logger = &logger;
    desc.allocator = h->allocator;
    if (llm_engine_create(LLM_ABI, &desc, &engine, &error) != LLM_OK)
        exit((fprintf(stderr, "no engine: %s\n", error.message), 1));
    return engine;
}

static llm_status load(llm_engine *engine, const char *path, const how *h, llm_model **model, llm_error *error)
{
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    desc.flags = h->flags;
    desc.pack = h->pack;
    desc.pack_len = h->pack ? LLM_NUL : 0;
    if (h->source)
        return llm_model_load_from(engine, &h->source, 1, &desc, model, error);
    return llm_model_load(engine, path, LLM_NUL, &desc, model, error);
}

/* Of the logits after a prompt and after four tokens more. */
static uint64_t hash_of(llm_model *model)
{
    llm_model_info info = LLM_INIT(llm_model_info);
    llm_session *s = tiny_session(model, 64, 0);
    llm_token tokens[24];
    llm_error error;
    uint64_t hash = 0;
    CHECK(llm_model_get_info(model, &info, &error) == LLM_OK);
    tiny_tokens(tokens, 24, (uint32_t)info.n_vocab, 3);
    for (int i = 0; i < 5; i++) {
        CHECK(llm_session_append(s, i ? tokens + 19 + i : tokens, i ? 1 : 20, 0, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
        hash = hash * 31 + tiny_logits_hash(s);
    }
    llm_session_free(s);
    return hash;
}

typedef struct loaded { uint64_t hash, mapped, used; llm_status status; } loaded;

static loaded load_and_hash(const char *path, how h)
{
    loaded out = { 0 };
    llm_engine *engine = open_engine(&h);
    llm_model *model = NULL;
    llm_error error;
    llm_model_info info = LLM_INIT(llm_model_info);
    llm_engine_info engine_info = LLM_INIT(llm_engine_info);
    out.status = load(engine, path, &h, &model, &error);
    if (out.status == LLM_OK) {
        CHECK(llm_model_get_info(model, &info, &error) == LLM_OK && llm_engine_get_info(engine, &engine_info, &error) == LLM_OK);
        out.mapped = info.mapped_bytes;
        out.used = engine_info.memory_used;
        out.hash = hash_of(model);
    } else {
        CHECK(error.message[0]);
    }
    llm_model_free(model);
    llm_engine_free(engine);
    return out;
}

/* The load is right, from a pack or not. */
static int right(loaded got, uint64_t hash, int mapped, const char *what, long at)
{
    return CHECK_MSG(got.status == LLM_OK && got.hash == hash && (got.mapped != 0) == mapped, "%s %ld: status %d, %s bits, %llu bytes mapped; '%s'", what, at, got.status,
                     got.hash == hash ? "the same" : "other", (unsigned long long)got.mapped, logged);
}

static const how with_pack = { .pack = pack_path }, read_only = { .pack = pack_path, .flags = LLM_MODEL_PACK_READ_ONLY },
                 verified = { .pack = pack_path, .flags = LLM_MODEL_PACK_READ_ONLY | LLM_MODEL_PACK_VERIFY };

/* ---- the same bits */

static void test_bits(const char *name)
{
    char path[512];
    struct stat info;
    snprintf(path, sizeof path, "%s/golden/data/%s.gguf", LLM_TEST_TREE, name);
    bytes model = read_all(path);
    if (!CHECK_MSG(model.at != NULL, "%s", path))
        return;
    write_file(model_path, model.at, model.n, 60);
    free(model.at);
    loaded plain = load_and_hash(model_path, (how){ .pack = NULL });
    loaded absent = load_and_hash(model_path, read_only);
    right(absent, plain.hash, 0, name, 0);
    CHECK(files_in_folder() == 1 && strstr(logged, "is not used"));
    loaded made = load_and_hash(model_path, with_pack);
    right(made, plain.hash, 1, name, 1);
    CHECK(stat(pack_path, &info) == 0 && (info.st_mode & 0777) == 0444 && (uint64_t)info.st_size == made.mapped && files_in_folder() == 2);
    uint64_t was = inode(pack_path);
    n_logged = 0;
    loaded again = load_and_hash(model_path, with_pack);
    right(again, plain.hash, 1, name, 2);
    CHECK(again.used == made.used && again.used < plain.used && n_logged == 0);
    static const how others[] = { { .pack = pack_path, .tier = LLM_CPU_REFERENCE }, { .pack = pack_path, .tier = LLM_CPU_AVX2, .threads = 3 },
                                  { .pack = pack_path, .flags = LLM_MODEL_PACK_VERIFY, .threads = 2 }, { .pack = pack_path, .flags = LLM_MODEL_OBSERVE } };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        right(load_and_hash(model_path, others[i]), plain.hash, 1, name, 3 + (long)i);
    CHECK_MSG(inode(pack_path) == was && n_logged == 0, "%s: the pack was made again: %s", name, logged);
    unlink(pack_path);
}

/* A pack made by one tier serves another, and is the same file. */
static void test_tiers(void)
{
    bytes first = { NULL, 0 };
    for (int tier = 0; tier < 3; tier++) {
        load_and_hash(model_path, (how){ .pack = pack_path, .tier = tier, .threads = 1 + tier });
        if (tier == 0)
            first = read_all(pack_path);
        CHECK(first.at && same_file(pack_path, first));
        unlink(pack_path);
    }
    free(first.at);
}

/* ---- sources without a path */

typedef struct archive { const unsigned char *at; int fail; } archive;
static llm_status archive_read(void *user, uint64_t offset, void *out, size_t n)
{
    archive *a = user;
    memcpy(out, a->at + offset, n);
    return a->fail && --a->fail == 0 ? LLM_E_IO : LLM_OK;
}

static void test_sources(const tiny_file *file, uint64_t hash)
{
    llm_source source = LLM_INIT(llm_source);
    llm_reader reader = LLM_INIT(llm_reader);
    archive archive = { file->data, 0 };
    how h = { .pack = pack_path, .source = &source };
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file->data;
    source.data_len = file->size;
    right(load_and_hash(NULL, h), hash, 1, "buffer", 0);
    uint64_t was = inode(pack_path);
    right(load_and_hash(NULL, h), hash, 1, "buffer", 1);
    reader.user = &archive;
    reader.size = file->size;
    reader.read = archive_read;
    source.kind = LLM_SOURCE_READER;
    source.reader = &reader;
    h.threads = 2;
    right(load_and_hash(NULL, h), hash, 1, "reader", 0);
    CHECK(inode(pack_path) == was);
    unlink(pack_path);
    right(load_and_hash(NULL, h), hash, 1, "reader", 1);
    was = inode(pack_path);
    right(load_and_hash(model_path, with_pack), hash, 1, "path after reader", 0);       /* it has a time, the reader had none */
    CHECK(inode(pack_path) != was && strstr(logged, "changed or copied"));
    was = inode(pack_path);
    source.kind = LLM_SOURCE_FD;
    source.fd = open(model_path, O_RDONLY);
    right(load_and_hash(NULL, h), hash, 1, "descriptor", 0);
    close((int)source.fd);
    CHECK(inode(pack_path) == was);
    unlink(pack_path);
    source.kind = LLM_SOURCE_READER;
    for (int i = 1;; i++) {                                 /* a source that fails, at every read, is what the load reports */
        archive.fail = i;
        loaded got = load_and_hash(NULL, h);
        if (archive.fail > 0) {
            right(got, hash, 1, "reader, none failed", i);
            break;
        }
        CHECK_MSG(got.status == LLM_E_IO && files_in_folder() == 1, "read %d failed: %d, %zu files", i, got.status, files_in_folder());
    }
    unlink(pack_path);
}

/* ---- what does not fit */

static void put_pack(bytes pack, size_t flip, size_t n)
{
    unsigned char *copy = malloc(pack.n + 1);
    memcpy(copy, pack.at, pack.n);
    if (flip < pack.n)
        copy[flip] ^= 1 << flip % 8;
    write_file(pack_path, copy, n, 0);
    free(copy);
}

/* Refused and, where it may be, made again, with the same bytes. */
static void refused(bytes pack, size_t flip, size_t n, uint64_t hash, int make)
{
    put_pack(pack, flip, n);
    n_logged = 0;
    right(load_and_hash(model_path, read_only), hash, 0, flip < pack.n ? "flipped byte" : "bytes left:", (long)(flip < pack.n ? flip : n));
    CHECK_MSG(n_logged > 0 && strstr(logged, "is not used"), "'%s'", logged);
    if (!make)
        return;
    right(load_and_hash(model_path, with_pack), hash, 1, "made again", (long)flip);
    CHECK(same_file(pack_path, pack));
}

static void test_misfits(uint64_t hash)
{
    right(load_and_hash(model_path, with_pack), hash, 1, "made", 0);
    bytes pack = read_all(pack_path);
    size_t table = 0, at;
    memcpy(&at, pack.at + 56, 8);
    table = at;
    if (!CHECK(pack.n > HEADER && table > HEADER && table < pack.n))
        exit(1);
    for (size_t i = 8; i < HEADER; i++)
        refused(pack, i, pack.n, hash, i % 16 == 8);
    for (size_t i = table; i < pack.n; i += TEST_EMULATED ? 37 : 1)
        refused(pack, i, pack.n, hash, i % 256 == 0);
    for (size_t n = 0; n < pack.n; n += n < HEADER + 8 || n > pack.n - 80 ? 1 : 1 + (n ^ 0x155) % 4093)
        refused(pack, SIZE_MAX, n, hash, n % 64 == 8);
    refused(pack, SIZE_MAX, 0, hash, 1);
    unsigned char *longer = calloc(1, pack.n + 100);
    memcpy(longer, pack.at, pack.n);
    write_file(pack_path, longer, pack.n + 64, 0);
    right(load_and_hash(model_path, read_only), hash, 0, "longer", 0);
    right(load_and_hash(model_path, with_pack), hash, 1, "longer", 1);
    CHECK(same_file(pack_path, pack));
    free(longer);
    /* Damage of the weights is only looked for when asked. */
    for (size_t i = HEADER; i < table; i += 1 + table / 9) {
        put_pack(pack, i, pack.n);
        loaded got = load_and_hash(model_path, read_only);
        CHECK(got.mapped && (got.status == LLM_OK || got.status == LLM_E_NUMERIC));
        right(load_and_hash(model_path, verified), hash, 0, "verified", (long)i);
        CHECK(strstr(logged, "its weights are damaged"));
    }
    right(load_and_hash(model_path, (how){ .pack = pack_path, .flags = LLM_MODEL_PACK_VERIFY }), hash, 1, "verified and made", 0);
    CHECK(same_file(pack_path, pack));
    free(pack.at);
    unlink(pack_path);
}

/* Divisors of rope's frequencies are looked at in any case: no angle may be infinite. */
static void test_divisors(void)
{
    static const float wrong[] = { 0.0f, -1.0f, 1e-30f, NAN };
    char path[512];
    snprintf(path, sizeof path, "%s/golden/data/llama-rope3.gguf", LLM_TEST_TREE);
    bytes model = read_all(path);
    if (!CHECK_MSG(model.at != NULL, "%s", path))
        return;
    write_file(model_path, model.at, model.n, 60);
    free(model.at);
    uint64_t hash = load_and_hash(model_path, (how){ .pack = NULL }).hash, table, items = 0;
    right(load_and_hash(model_path, with_pack), hash, 1, "divisors", 0);
    bytes pack = read_all(pack_path);
    memcpy(&table, pack.at + 56, 8);
    for (uint64_t at = table; at + 64 < pack.n; at += 64) {
        uint64_t n_cols, offset;
        memcpy(&n_cols, pack.at + at + 16, 8);
        memcpy(&offset, pack.at + at + 32, 8);
        if (pack.at[at + 52] != 1 || n_cols > 8)            /* the one short vector */
            continue;
        items++;
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            memcpy(pack.at + offset + (n_cols - 1) * 4, &wrong[i], 4);
            write_file(pack_path, pack.at, pack.n, 0);
            right(load_and_hash(model_path, read_only), hash, 0, "divisors", 1 + (long)i);
            CHECK(strstr(logged, "damaged"));
        }
    }
    CHECK_MSG(items == 1, "%llu vectors of at most 8 items", (unsigned long long)items);
    right(load_and_hash(model_path, with_pack), hash, 1, "divisors", 9);
    free(pack.at);
    unlink(pack_path);
}

/* A model's file that changes under its name. */
static void test_changes(const tiny_file *file, uint64_t hash)
{
    tiny_shape shape = tiny_small;
    shape.seed = 2;
    tiny_file two = tiny_make(&shape);
    CHECK(two.size == file->size);
    write_file(other_path, two.data, two.size, 60);
    uint64_t hash_two = load_and_hash(other_path, (how){ .pack = NULL }).hash;
    CHECK(hash_two != hash);
    right(load_and_hash(model_path, with_pack), hash, 1, "changes", 0);
    right(load_and_hash(other_path, read_only), hash_two, 0, "another model", 0);
    CHECK(strstr(logged, "another model"));
    right(load_and_hash(other_path, with_pack), hash_two, 1, "another model", 1);
    right(load_and_hash(model_path, with_pack), hash, 1, "the first again", 0);
    unlink(other_path);

    struct stat info;
    CHECK(stat(model_path, &info) == 0);
    struct timespec times[2] = { info.st_mtim, info.st_mtim };
    write_file(model_path, two.data, two.size, 0);          /* other weights with the same header, size and even time: the samples */
    CHECK(utimensat(AT_FDCWD, model_path, times, 0) == 0);
    right(load_and_hash(model_path, with_pack), hash_two, 1, "same time", 0);
    write_file(model_path, file->data, file->size, 30);
    right(load_and_hash(model_path, with_pack), hash, 1, "back", 0);

    int fd = open(model_path, O_RDWR);                      /* one byte in place, where no sample looks: the time */
    unsigned char byte = 0;
    off_t at = (off_t)file->size - 33;
    CHECK(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= 0x10;
    CHECK(pwrite(fd, &byte, 1, at) == 1);
    set_time(fd, 1500000000);                               /* as by a clock that is a little ahead */
    n_logged = 0;
    loaded got = load_and_hash(model_path, with_pack);      /* changed just now: no pack can tell this from a change to come */
    CHECK_MSG(got.status == LLM_OK && got.hash != hash && got.mapped == 0 && strstr(logged, "a moment ago"), "%d %d '%s'", got.status, got.mapped != 0, logged);
    set_time(fd, -INT64_C(20000000000));                    /* later than the first bytes' */
    loaded later = load_and_hash(model_path, with_pack);
    CHECK(later.status == LLM_OK && later.hash == got.hash && later.mapped);
    set_time(fd, INT64_MAX);                                /* beyond what counts in nanoseconds, if the file system keeps it */
    right(load_and_hash(model_path, with_pack), got.hash, 1, "a far time", 0);
    close(fd);
    unlink(pack_path);
    write_file(model_path, file->data, file->size, 60);
    free(two.data);
}

/* ---- where a pack cannot be written, or must not be */

static void test_places(const tiny_file *file, uint64_t hash)
{
    char path[128];
    bytes original = { file->data, file->size };
    right(load_and_hash(model_path, (how){ .pack = model_path }), hash, 0, "the model itself", 0);
    CHECK(same_file(model_path, original) && strstr(logged, "no pack"));
    write_file(pack_path, "my diary", 8, 0);
    right(load_and_hash(model_path, with_pack), hash, 0, "another file", 0);
    CHECK(same_file(pack_path, (bytes){ (unsigned char *)"my diary", 8 }));
    unlink(pack_path);
    write_file(pack_path, "", 0, 0);                        /* nothing is lost */
    right(load_and_hash(model_path, with_pack), hash, 1, "an empty file", 0);
    unlink(pack_path);
    right(load_and_hash(model_path, (how){ .pack = folder }), hash, 0, "a folder", 0);
    snprintf(path, sizeof path, "%s/none/pack", folder);
    right(load_and_hash(model_path, (how){ .pack = path }), hash, 0, "no folder", 0);
    CHECK(strstr(logged, "could not be made"));
    snprintf(path, sizeof path, "%s/model/pack", model_path);
    right(load_and_hash(model_path, (how){ .pack = path }), hash, 0, "under a file", 0);
    CHECK(mkfifo(pack_path, 0600) == 0);
    right(load_and_hash(model_path, with_pack), hash, 0, "a fifo", 0);
    unlink(pack_path);
    CHECK(symlink("nowhere", pack_path) == 0);
    right(load_and_hash(model_path, with_pack), hash, 1, "a link to nowhere", 0);
    CHECK(files_in_folder() == 2);
    unlink(pack_path);
    right(load_and_hash(model_path, (how){ .pack = pack_path, .flags = LLM_MODEL_OBSERVE }), hash, 1, "observed", 0);
    unlink(pack_path);
    char part[96], stranger[96];                            /* what a killed writer left is swept, what is fresh or another's is not */
    snprintf(part, sizeof part, "%s.part-0", pack_path);
    snprintf(stranger, sizeof stranger, "%s.part-1", pack_path);
    write_file(part, "llmpack\n...", 11, 4000);
    write_file(stranger, "llmpack, a diary", 16, 4000);
    right(load_and_hash(model_path, with_pack), hash, 1, "parts", 0);
    CHECK(!inode(part) && inode(stranger));
    write_file(part, "llmpack\n...", 11, 4000);             /* nor beside one that fits, if the load may write */
    right(load_and_hash(model_path, read_only), hash, 1, "parts", 2);
    CHECK(inode(part));
    right(load_and_hash(model_path, with_pack), hash, 1, "parts", 3);
    CHECK(!inode(part) && inode(stranger));
    unlink(stranger);
    unlink(pack_path);
    write_file(part, "llmpack\n...", 11, 0);
    right(load_and_hash(model_path, with_pack), hash, 1, "parts", 1);
    CHECK(inode(part));
    unlink(part);
    unlink(pack_path);
    /* A disk that fills up, at many places. */
    struct rlimit limit, old;
    getrlimit(RLIMIT_FSIZE, &old);
    size_t size = (size_t)load_and_hash(model_path, with_pack).mapped;
    for (size_t at = 0; at < size; at += 1 + size / 23) {
        unlink(pack_path);
        limit = old;
        limit.rlim_cur = at;
        setrlimit(RLIMIT_FSIZE, &limit);
        loaded got = load_and_hash(model_path, with_pack);
        setrlimit(RLIMIT_FSIZE, &old);
        right(got, hash, 0, "full disk", (long)at);
        CHECK_MSG(files_in_folder() == 1 && strstr(logged, "could not be made"), "%zu files, '%s'", files_in_folder(), logged);
    }
    right(load_and_hash(model_path, with_pack), hash, 1, "a disk with room", 0);
    unlink(pack_path);
}

/* An emulator and sanitizers need address space of their own. */
#if TEST_EMULATED || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { LIMITS_SPACE = 0 };
#else
enum { LIMITS_SPACE = 1 };
#endif

/* In a child whose address space is used up: the map fails, the load does not. */
static char heap[(8 << 20) + 8192];
static size_t heap_used;
static void *heap_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)kind;
    size_t at = (heap_used + align - 1) / align * align;
    if (at > sizeof heap - 8192 || size > sizeof heap - 8192 - at)
        return NULL;
    heap_used = at + size;
    return (char *)((uintptr_t)heap / 4096 * 4096 + 4096) + at;
}
static void heap_release(void *user, void *ptr, size_t size, size_t align, int32_t kind) { (void)user, (void)ptr, (void)size, (void)align, (void)kind; }

static void test_map_fails(uint64_t hash, int made)
{
    llm_allocator allocator = LLM_INIT(llm_allocator);
    allocator.allocate = heap_allocate;
    allocator.release = heap_release;
    if (!LIMITS_SPACE)
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = { 1 << 20, 1 << 20 };         /* less than is in use */
        test_failures = 0;
        how h = { .pack = pack_path, .allocator = &allocator };
        memset(heap, 1, sizeof heap);
        CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
        right(load_and_hash(model_path, h), hash, 0, "no map", made);
        CHECK_MSG(strstr(logged, "cannot map"), "'%s'", logged);
        _exit(test_failures != 0);
    }
    int state = 1;
    CHECK(waitpid(pid, &state, 0) == pid && state == 0);
}

/* ---- at once, and in use */

static void test_at_once(uint64_t hash)
{
    enum { N = 5 };
    pid_t pids[N];
    for (int round = 0; round < 3; round++) {
        if (round < 2)
            unlink(pack_path);
        if (round == 1)
            write_file(pack_path, "llmpack\n and rubbish", 20, 0);
        fflush(stdout);
        for (int i = 0; i < N; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                test_failures = 0;
                for (int k = 0; k < 4; k++)
                    right(load_and_hash(model_path, with_pack), hash, 1, "at once", i);
                _exit(test_failures != 0);
            }
        }
        for (int i = 0; i < N; i++) {
            int state = 1;
            CHECK(waitpid(pids[i], &state, 0) == pids[i] && state == 0);
        }
        CHECK(files_in_folder() == 2);
    }
    unlink(pack_path);
}

/* One that is in use is replaced and removed. */
static void test_in_use(uint64_t hash)
{
    llm_engine *engine = open_engine(&with_pack);
    llm_model *a = NULL, *b = NULL, *c = NULL;
    llm_error error;
    CHECK(load(engine, model_path, &with_pack, &a, &error) == LLM_OK && load(engine, model_path, &with_pack, &b, &error) == LLM_OK);
    uint64_t was = inode(pack_path);
    put_pack((bytes){ (unsigned char *)"llmpack\n", 8 }, SIZE_MAX, 8);      /* another file under the name, not other bytes in the same */
    CHECK(load(engine, model_path, &with_pack, &c, &error) == LLM_OK && inode(pack_path) != was);
    unlink(pack_path);
    CHECK(hash_of(a) == hash && hash_of(b) == hash && hash_of(c) == hash);
    llm_model_free(a);
    CHECK(hash_of(b) == hash && hash_of(c) == hash);
    llm_engine_free(engine);
    llm_model_free(c);
    CHECK(hash_of(b) == hash);
    llm_model_free(b);
}

/* ---- cancelled */

typedef struct cancel { int at, calls; } cancel;
static int32_t on_progress(void *user, float fraction)
{
    cancel *c = user;
    CHECK(fraction >= 0 && fraction <= 1);
    return ++c->calls == c->at;
}

static void test_cancel(void)
{
    llm_engine *engine = open_engine(&with_pack);
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    llm_model *model = NULL;
    llm_error error;
    int n = 0;
    desc.progress = on_progress;
    desc.pack = pack_path;
    desc.pack_len = strlen(pack_path);
    for (int there = 0; there <= 1; there++)
        for (int i = 1;; i++) {
            cancel c = { i, 0 };
            desc.user = &c;
            llm_status status = llm_model_load(engine, model_path, LLM_NUL, &desc, &model, &error);
            if (status == LLM_OK) {
                llm_model_free(model);
                break;
            }
            int present = inode(pack_path) != 0;            /* the last calls come when it is there */
            CHECK(status == LLM_E_CANCELLED && files_in_folder() == 1 + (size_t)present && (there ? present : 1));
            if (!there)
                unlink(pack_path);
            n++;
        }
    CHECK(n > 4);
    llm_engine_free(engine);
    unlink(pack_path);
}

static uint64_t memory_of(llm_engine *engine)
{
    llm_engine_info info = LLM_INIT(llm_engine_info);
    llm_error error;
    CHECK(llm_engine_get_info(engine, &info, &error) == LLM_OK);
    return info.memory_used;
}

/* While a pack is looked through, by this thread: the pack stays as it is, nothing is held, the load does not go on without it. */
static void test_cancel_verify(void)
{
    right(load_and_hash(model_path, with_pack), load_and_hash(model_path, (how){ .pack = NULL }).hash, 1, "to be verified", 0);
    llm_engine *engine = open_engine(&with_pack);
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    llm_model *model = NULL;
    llm_error error;
    uint64_t was = inode(pack_path), held = memory_of(engine);
    int fd = open("/dev/null", O_RDONLY), calls[2] = { 0 };
    desc.progress = on_progress;
    desc.pack = pack_path;
    desc.pack_len = LLM_NUL;
    for (int verify = 0; verify <= 1; verify++) {
        cancel c = { -1, 0 };
        desc.flags = verify ? LLM_MODEL_PACK_VERIFY : 0;
        desc.user = &c;
        CHECK(llm_model_load(engine, model_path, LLM_NUL, &desc, &model, &error) == LLM_OK);
        llm_model_free(model);
        calls[verify] = c.calls;
    }
    CHECK_MSG(calls[1] > calls[0] + 4, "%d calls, verified %d", calls[0], calls[1]);
    n_logged = 0;
    for (int i = 1; i <= calls[1]; i++) {
        cancel c = { i, 0 };
        desc.user = &c;
        model = NULL;
        CHECK(llm_model_load(engine, model_path, LLM_NUL, &desc, &model, &error) == LLM_E_CANCELLED && !model && c.calls == i);
        CHECK_MSG(memory_of(engine) == held && inode(pack_path) == was && n_logged == 0, "call %d: %llu bytes of %llu, '%s'", i, (unsigned long long)memory_of(engine),
                  (unsigned long long)held, logged);
    }
    close(fd);
    int again = open("/dev/null", O_RDONLY);                /* the lowest that is free */
    CHECK_MSG(again == fd, "descriptors: %d, %d", fd, again);
    close(again);
    llm_engine_free(engine);
    unlink(pack_path);
}

/* ---- memory */

typedef struct ledger { long long bytes, peak, calls, fail_at; } ledger;
static void *ledger_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    ledger *l = user;
    void *p = NULL;
    (void)kind;
    if (++l->calls == l->fail_at || posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size ? size : 1) != 0)
        return NULL;
    l->bytes += (long long)size;
    l->peak = l->bytes > l->peak ? l->bytes : l->peak;
    return p;
}
static void ledger_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)align, (void)kind;
    ((ledger *)user)->bytes -= (long long)size;
    free(ptr);
}

/* The n-th allocation fails: a status or a load without the pack, and nothing is left, in memory or in the folder. */
static void test_faults(uint64_t hash)
{
    for (int there = 0; there <= 1; there++) {
        int n_failed = 0, n_passed_over = 0;
        for (long long i = 1;; i++) {
            ledger l = { .fail_at = i };
            llm_allocator allocator = LLM_INIT(llm_allocator);
            llm_engine_desc desc = LLM_INIT(llm_engine_desc);
            llm_engine *engine = NULL;
            llm_model *model = NULL;
            llm_error error;
            allocator.user = &l;
            allocator.allocate = ledger_allocate;
            allocator.release = ledger_release;
            desc.allocator = &allocator;
            desc.n_threads = 1;
            if (!there)
                unlink(pack_path);
            llm_status status = llm_engine_create(LLM_ABI, &desc, &engine, &error);
            if (status == LLM_OK)
                status = load(engine, model_path, &with_pack, &model, &error);
            int untouched = l.calls < i;
            if (status == LLM_OK) {
                llm_model_info info = LLM_INIT(llm_model_info);
                CHECK(llm_model_get_info(model, &info, &error) == LLM_OK);
                n_passed_over += info.mapped_bytes == 0;
                l.fail_at = 0;
                CHECK(hash_of(model) == hash);
            } else {
                CHECK_MSG(status == LLM_E_MEMORY, "%d %s", status, error.message);
                n_failed++;
            }
            llm_model_free(model);
            llm_engine_free(engine);
            CHECK_MSG(l.bytes == 0 && files_in_folder() == 1 + (inode(pack_path) != 0), "%lld bytes after allocation %lld failed, %zu files", l.bytes, i, files_in_folder());
            if (untouched)
                break;
        }
        CHECK_MSG(n_failed > 20 && (there || n_passed_over > 0), "%d failed, %d passed over", n_failed, n_passed_over);
    }
    unlink(pack_path);
}

/* What is held at most with one session full, and what was foretold: without a pack, while one is made, from one that is there. */
static void test_estimate(void)
{
    tiny_shape shape = { 3, 256, 640, 8, 4, 512, 3000, 1, 0 };
    tiny_file file = tiny_make(&shape);
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    uint64_t weights[3] = { 0 }, plain = 0;
    write_file(other_path, file.data, file.size, 60);
    source.path = other_path;
    source.path_len = LLM_NUL;
    for (int way = 0; way < 3; way++) {
        ledger l = { 0 };
        llm_allocator allocator = LLM_INIT(llm_allocator);
        allocator.user = &l;
        allocator.allocate = ledger_allocate;
        allocator.release = ledger_release;
        how h = { .pack = way ? pack_path : NULL, .allocator = &allocator };
        llm_engine *engine = open_engine(&h);
        llm_model *model = NULL;
        llm_error error;
        llm_model_desc desc = LLM_INIT(llm_model_desc);
        llm_session_desc session = LLM_INIT(llm_session_desc);
        llm_estimate_info estimate = LLM_INIT(llm_estimate_info);
        desc.pack = h.pack;
        desc.pack_len = h.pack ? LLM_NUL : 0;
        desc.flags = LLM_MODEL_PACK_VERIFY;
        session.n_ctx = 100;
        CHECK_MSG(llm_model_estimate(engine, &part, 1, &desc, &session, &estimate, &error) == LLM_OK, "%s", error.message);
        CHECK(estimate.total_bytes == estimate.weight_bytes + estimate.model_bytes + estimate.arena_bytes + estimate.session_bytes);
        CHECK((inode(pack_path) != 0) == (way == 2));
        weights[way] = estimate.weight_bytes;
        plain = way ? plain : estimate.total_bytes;
        if (way == 1) {                                     /* none there and none to be made: as without */
            llm_estimate_info passed_over = LLM_INIT(llm_estimate_info);
            desc.flags = LLM_MODEL_PACK_READ_ONLY;
            CHECK(llm_model_estimate(engine, &part, 1, &desc, &session, &passed_over, &error) == LLM_OK);
            CHECK_MSG(passed_over.total_bytes == plain, "%llu, without a pack %llu", (unsigned long long)passed_over.total_bytes, (unsigned long long)plain);
        }
        l.peak = l.bytes;
        CHECK(load(engine, other_path, &h, &model, &error) == LLM_OK);
        llm_model_info info = LLM_INIT(llm_model_info);
        CHECK(llm_model_get_info(model, &info, &error) == LLM_OK && estimate.mapped_bytes == (way == 2 ? info.mapped_bytes : 0) && (info.mapped_bytes != 0) == (way > 0));
        llm_session *s = tiny_session(model, 100, 0);
        llm_token tokens[80];
        llm_generate_desc reply = LLM_INIT(llm_generate_desc);
        tiny_tokens(tokens, 80, shape.n_vocab, 1);
        reply.flags = LLM_GENERATE_IGNORE_END;
        CHECK(llm_session_append(s, tokens, 80, 0, &error) == LLM_OK && llm_session_generate(s, &reply, &error) == LLM_OK && tiny_drain(s, LLM_FOREVER, &error) == LLM_OK);
        double off = ((double)estimate.total_bytes - (double)l.peak) / (double)l.peak;
        printf("way %d: peak %lld, estimate %+.3f %%\n", way, l.peak, off * 100);
        CHECK_MSG(way == 1 ? off >= -0.02 : off >= -0.02 && off <= 0.02, "way %d: estimated %llu, peak %lld", way, (unsigned long long)estimate.total_bytes, l.peak);
        llm_session_free(s);
        llm_model_free(model);
        llm_engine_free(engine);
        CHECK(l.bytes == 0);
    }
    CHECK(weights[1] == weights[0] && weights[2] < weights[0] / 20);
    unlink(pack_path);
    unlink(other_path);
    free(file.data);
}

static void test_arguments(void)
{
    llm_engine *engine = open_engine(&with_pack);
    llm_model *model = NULL;
    llm_error error;
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    desc.pack = "";
    CHECK(llm_model_load(engine, model_path, LLM_NUL, &desc, &model, &error) == LLM_E_INVALID && strstr(error.message, "pack"));
    desc.pack = "a\0b";
    desc.pack_len = 3;
    CHECK(llm_model_load(engine, model_path, LLM_NUL, &desc, &model, &error) == LLM_E_INVALID);
    desc.pack = NULL;
    CHECK(llm_model_load(engine, model_path, LLM_NUL, &desc, &model, &error) == LLM_E_INVALID && !model);
    desc.pack = pack_path;
    desc.pack_len = LLM_NUL;
    desc.flags = LLM_MODEL_VOCAB_ONLY;
    CHECK(llm_model_load(engine, model_path, LLM_NUL, &desc, &model, &error) == LLM_OK && files_in_folder() == 1);
    llm_model_free(model);
    desc.struct_size = (uint32_t)offsetof(llm_model_desc, pack);                        /* a program of an older header */
    desc.flags = 0;
    CHECK(llm_model_load(engine, model_path, LLM_NUL, &desc, &model, &error) == LLM_OK && files_in_folder() == 1);
    llm_model_info info = { .struct_size = (uint32_t)offsetof(llm_model_info, mapped_bytes), .mapped_bytes = 77 };
    CHECK(llm_model_get_info(model, &info, &error) == LLM_OK && info.mapped_bytes == 77);
    llm_model_free(model);
    llm_engine_free(engine);
    CHECK(llm_has(LLM_FEATURE_PACK) == 1);
}

int main(void)
{
    static const char *const names[] = { "llama-tied", "llama-half", "llama-q8_0", "llama-q4_0", "llama-mixed", "llama-fused", "mixtral-q4_0", "mixtral-split", "qwen2-tied",
                                         "qwen3-k", "qwen3-mixed", "gemma3", "phi3-long" };
    umask(022);
    if (!mkdtemp(folder))
        return TEST_SKIP("no folder can be made in /tmp");
    snprintf(model_path, sizeof model_path, "%s/model.gguf", folder);
    snprintf(other_path, sizeof other_path, "%s/other.gguf", folder);
    snprintf(pack_path, sizeof pack_path, "%s/model.pack", folder);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        test_bits(names[i]);
    test_tiers();
    test_divisors();
    tiny_file file = tiny_make(&tiny_small);
    write_file(model_path, file.data, file.size, 60);
    uint64_t hash = load_and_hash(model_path, (how){ .pack = NULL }).hash;
    test_arguments();
    test_sources(&file, hash);
    test_misfits(hash);
    test_changes(&file, hash);
    test_places(&file, hash);
    test_map_fails(hash, 0);
    right(load_and_hash(model_path, with_pack), hash, 1, "made", 0);
    test_map_fails(hash, 1);
    test_at_once(hash);
    test_in_use(hash);
    test_cancel();
    test_cancel_verify();
    test_faults(hash);
    test_estimate();
    free(file.data);
    unlink(model_path);
    CHECK(files_in_folder() == 0);
    rmdir(folder);
    return TEST_DONE();
}
