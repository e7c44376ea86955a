/* SPDX-License-Identifier: MIT
 * Writing GGUF files: bytes equal to the `gguf` package's (tools/gen_gguf_golden.py), a path replaced whole or not at all, and every
 * allocation and every write failed in turn. */
#if !defined(_WIN32)
#define _GNU_SOURCE 1
#endif
#include "files/gguf_write.h"

#include "gguf_build.h"

#if !defined(_WIN32)
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

typedef struct taken { gguf_out out; size_t calls, fail_at; llm_status with; } taken;

static llm_status take(void *user, const void *data, size_t n)
{
    taken *t = user;
    if (++t->calls == t->fail_at)
        return t->with;
    put_bytes(&t->out, data, n);
    return LLM_OK;
}

typedef struct heap { size_t calls, fail_at, live; } heap;

static void *heap_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    heap *h = user;
    void *ptr = NULL;
    (void)kind;
    if (++h->calls == h->fail_at)
        return NULL;
    ptr = aligned_alloc(align, (size + align - 1) / align * align);
    h->live += ptr != NULL;
    return ptr;
}

static void heap_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)size, (void)align, (void)kind;
    ((heap *)user)->live--;
    free(ptr);
}

static llm_source source_of(const char *path)
{
    llm_source source = LLM_INIT(llm_source);
    source.path = path;
    source.path_len = LLM_NUL;
    return source;
}

static llm_sink sink_of(const llm_writer *writer)
{
    llm_sink sink = LLM_INIT(llm_sink);
    sink.kind = LLM_SINK_WRITER;
    sink.writer = writer;
    return sink;
}

static llm_sink sink_path(const char *path)
{
    llm_sink sink = LLM_INIT(llm_sink);
    sink.path = path;
    sink.path_len = strlen(path);
    return sink;
}

/* Reads a file and writes it again, data in pieces of `piece` bytes. */
static llm_status copy_file(lm_host *host, const llm_source *from, const llm_sink *to, size_t piece, llm_error *error)
{
    lm_catalogue *c = NULL;
    lm_arena arena;
    lm_key_list keys;
    lm_gguf_writer *w = NULL;
    llm_status status;
    lm_arena_init(&arena, &host->mem, LLM_MEMORY_OTHER);
    lm_key_list_init(&keys, &arena);
    status = lm_catalogue_open(host, &from, 1, &c, error);
    if (status >= 0)
        status = lm_key_list_copy(&keys, c, error);
    if (status >= 0)
        status = lm_gguf_write_open(host, to, keys.keys, keys.n, c->tensors, c->n_tensors, &w, error);
    for (size_t i = 0; status >= 0 && i < c->n_tensors; i++) {
        unsigned char *bytes = malloc(c->tensors[i].bytes);
        status = lm_catalogue_rows(c, &c->tensors[i], 0, c->tensors[i].n_rows, bytes, error);
        for (size_t at = 0; status >= 0 && at < c->tensors[i].bytes; at += piece)
            status = lm_gguf_write_data(w, bytes + at, LM_MIN(piece, c->tensors[i].bytes - at), error);
        free(bytes);
    }
    if (status >= 0)
        status = lm_gguf_write_end(w, error);
    lm_gguf_write_drop(w);
    lm_arena_free(&arena);
    lm_catalogue_free(c);
    return status;
}

static void check_copy(const char *path, size_t piece)
{
    size_t n;
    char *wanted = test_read_file(path, &n);
    lm_host host;
    llm_error error;
    taken t = { .fail_at = 0 };
    llm_writer writer = LLM_INIT(llm_writer);
    llm_source source = source_of(path);
    test_host(&host);
    writer.user = &t;
    writer.write = take;
    llm_sink sink = sink_of(&writer);
    CHECK_MSG(copy_file(&host, &source, &sink, piece, &error) == LLM_OK, "%s", error.message);
    CHECK_MSG(wanted && t.out.n == n && memcmp(t.out.bytes, wanted, n) == 0, "%s copied: %zu bytes of %zu, or others", path, t.out.n, n);
    CHECK(host.mem.used == 0);
    gguf_out_free(&t.out);
    free(wanted);
}

/* ---- keys set and removed */

static void test_keys(void)
{
    lm_host host;
    llm_error error;
    taken t = { .fail_at = 0 };
    llm_writer writer = LLM_INIT(llm_writer);
    lm_arena arena;
    lm_key_list keys;
    lm_gguf_writer *w = NULL;
    lm_catalogue *c = NULL;
    llm_str words[2] = { { "a", 1 }, { "b\0c", 3 } }, text;
    uint64_t value;
    lm_tensor tensor = { .name = { "t", 1 }, .type = LM_TYPE_F32, .n_dims = 2, .ne = { 3, 2, 1, 1 } };
    float data[6] = { 1, 2, 3, 4, 5, 6 }, back[6];
    test_host(&host);
    writer.user = &t;
    writer.write = take;
    llm_sink sink = sink_of(&writer);
    lm_arena_init(&arena, &host.mem, LLM_MEMORY_OTHER);
    lm_key_list_init(&keys, &arena);
    CHECK(lm_key_list_set_string(&keys, "general.architecture", "llama", LLM_NUL, &error) == LLM_OK);
    CHECK(lm_key_list_set_u32(&keys, "n", 7, &error) == LLM_OK);
    CHECK(lm_key_list_set_strings(&keys, "words", words, 2, &error) == LLM_OK);
    CHECK(lm_key_list_set_strings(&keys, "none", NULL, 0, &error) == LLM_OK);
    CHECK(lm_key_list_set_string(&keys, "gone", "x", 1, &error) == LLM_OK);
    for (uint32_t i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "many.%u", i);
        CHECK(lm_key_list_set_u32(&keys, name, i, &error) == LLM_OK);
    }
    CHECK(lm_key_list_set_u32(&keys, "n", 8, &error) == LLM_OK && keys.n == 105);
    lm_key_list_remove(&keys, "gone");
    lm_key_list_remove(&keys, "never there");
    CHECK(keys.n == 104 && !lm_key_list_find(&keys, "gone") && lm_key_list_find(&keys, "many.99"));
    CHECK(lm_gguf_write_open(&host, &sink, keys.keys, keys.n, &tensor, 1, &w, &error) == LLM_OK);
    CHECK(lm_gguf_write_data(w, data, 10, &error) == LLM_OK);
    CHECK(lm_gguf_write_end(w, &error) == LLM_E_STATE);
    CHECK(lm_gguf_write_data(w, (char *)data + 10, 14, &error) == LLM_OK);
    CHECK(lm_gguf_write_data(w, data, 0, &error) == LLM_OK);
    CHECK(lm_gguf_write_data(w, data, 1, &error) == LLM_E_STATE);
    CHECK(lm_gguf_write_end(w, &error) == LLM_OK);
    lm_gguf_write_drop(w);
    llm_source source = gguf_buffer(&t.out);
    if (CHECK(gguf_open(&host, &source, &c, &error) == LLM_OK)) {
        CHECK(c->n_keys == 104 && c->n_tensors == 1);
        CHECK(lm_catalogue_u64(c, "n", 0, 0, 100, &value, &error) == LLM_OK && value == 8);
        CHECK(lm_catalogue_u64(c, "many.42", 0, 0, 100, &value, &error) == LLM_OK && value == 42);
        CHECK(lm_catalogue_str(c, "general.architecture", &text, &error) == LLM_OK && text.len == 5);
        const lm_key *key = lm_catalogue_key(c, "words", LLM_NUL);
        CHECK(key && key->n_items == 2 && ((const llm_str *)key->items)[1].len == 3 && memcmp(((const llm_str *)key->items)[1].ptr, "b\0c", 3) == 0);
        CHECK(lm_catalogue_rows(c, &c->tensors[0], 0, 2, back, &error) == LLM_OK && memcmp(back, data, sizeof data) == 0);
    }
    lm_catalogue_free(c);
    lm_arena_free(&arena);
    gguf_out_free(&t.out);
    CHECK(host.mem.used == 0);
}

/* What the reader would refuse is not written, and no file appears. */
static void refused(lm_host *host, const llm_sink *sink, const lm_key *keys, size_t n_keys, lm_tensor tensor, const char *why)
{
    llm_error error;
    lm_gguf_writer *w = NULL;
    llm_status status = lm_gguf_write_open(host, sink, keys, n_keys, &tensor, 1, &w, &error);
    CHECK_MSG(status == LLM_E_INVALID && !w && strstr(error.message, why), "%d '%s', expected '%s'", status, error.message, why);
    CHECK(host->mem.used == 0);
    lm_gguf_write_drop(w);
}

static void test_refused(void)
{
    lm_host host;
    taken t = { .fail_at = 0 };
    llm_writer writer = LLM_INIT(llm_writer);
    uint32_t bad = 24;
    uint16_t narrow = 32;
    lm_tensor good = { .name = { "t", 1 }, .type = LM_TYPE_Q8_0, .n_dims = 2, .ne = { 32, 2, 1, 1 } }, tensor;
    char name[65];
    lm_key key = { .name = { "general.alignment", 17 }, .type = LM_VALUE_U32, .item_type = LM_VALUE_U32, .n_items = 1, .items = &bad };
    test_host(&host);
    writer.user = &t;
    writer.write = take;
    llm_sink sink = sink_of(&writer);
    memset(name, 'n', sizeof name);
    refused(&host, &sink, &key, 1, good, "power of two");
    key.type = key.item_type = LM_VALUE_U16, key.items = &narrow;
    refused(&host, &sink, &key, 1, good, "32-bit");
    key.name = (llm_str){ "", 0 };
    refused(&host, &sink, &key, 1, good, "name");
    key.name = (llm_str){ "k\xff", 2 };
    refused(&host, &sink, &key, 1, good, "UTF-8");
    key.name = (llm_str){ "k", 1 }, key.type = 77;
    refused(&host, &sink, &key, 1, good, "type 77");
    tensor = good, tensor.name = (llm_str){ name, 64 };
    refused(&host, &sink, NULL, 0, tensor, "64 bytes");
    tensor = good, tensor.ne[0] = 33;
    refused(&host, &sink, NULL, 0, tensor, "33");
    tensor = good, tensor.n_dims = 5;
    refused(&host, &sink, NULL, 0, tensor, "(5)");
    tensor = good, tensor.type = 4;
    refused(&host, &sink, NULL, 0, tensor, "type 4");
    tensor = good, tensor.ne[1] = (uint64_t)1 << 62;
    refused(&host, &sink, NULL, 0, tensor, "cannot be written");
    sink.kind = 2;
    refused(&host, &sink, NULL, 0, good, "kind is 2");
    sink.kind = LLM_SINK_PATH, sink.path = NULL;
    refused(&host, &sink, NULL, 0, good, "path");
    CHECK(t.out.n == 0 && t.calls == 0);
}

/* ---- faults */

static void test_faults(const char *path)
{
    llm_source source = source_of(path);
    size_t n_writes, n_allocations = 0;
    taken t = { .fail_at = 0 };
    llm_writer writer = LLM_INIT(llm_writer);
    llm_error error;
    lm_host host;
    writer.user = &t;
    writer.write = take;
    llm_sink sink = sink_of(&writer);
    test_host(&host);
    CHECK(copy_file(&host, &source, &sink, 100, &error) == LLM_OK);
    n_writes = t.calls;
    CHECK(n_writes >= 1);
    for (size_t i = 1; i <= n_writes; i++) {
        gguf_out_free(&t.out);
        t = (taken){ .fail_at = i, .with = i % 2 ? LLM_E_CANCELLED : -1000 };
        CHECK(copy_file(&host, &source, &sink, 100, &error) == (i % 2 ? LLM_E_CANCELLED : LLM_E_IO) && strstr(error.message, "writer failed"));
        CHECK(host.mem.used == 0);
    }
    for (size_t i = 1;; i++) {
        heap h = { .fail_at = i };
        llm_allocator allocator = LLM_INIT(llm_allocator);
        gguf_out_free(&t.out);
        t = (taken){ .fail_at = 0 };
        allocator.user = &h;
        allocator.allocate = heap_allocate;
        allocator.release = heap_release;
        memset(&host, 0, sizeof host);
        lm_mem_init(&host.mem, &allocator, 0);
        llm_status status = copy_file(&host, &source, &sink, 100, &error);
        CHECK(h.live == 0);
        if (status == LLM_OK)
            break;
        CHECK(status == LLM_E_MEMORY);
        n_allocations++;
    }
    CHECK(n_allocations > 5);
    gguf_out_free(&t.out);
}

#if !defined(_WIN32)
static size_t files_in(const char *folder)
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

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    if (CHECK(file != NULL)) {
        fputs(text, file);
        fclose(file);
    }
}

static int holds_text(const char *path, const char *text)
{
    size_t n;
    char *bytes = test_read_file(path, &n);
    int same = bytes && n == strlen(text) && memcmp(bytes, text, n) == 0;
    free(bytes);
    return same;
}

/* A path: whole or not at all. */
static void test_paths(const char *golden)
{
    char folder[] = "/tmp/llm-write-XXXXXX", path[64], part[64], other[64];
    llm_source source = source_of(golden);
    struct rlimit limit, old;
    lm_host host;
    llm_error error;
    size_t n, m;
    test_host(&host);
    if (!CHECK(mkdtemp(folder) != NULL))
        return;
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    snprintf(part, sizeof part, "%s/model.gguf.part-0", folder);
    llm_sink sink = sink_path(path);
    CHECK_MSG(copy_file(&host, &source, &sink, 1 << 20, &error) == LLM_OK, "%s", error.message);
    char *a = test_read_file(golden, &n), *b = test_read_file(path, &m);
    CHECK(a && b && n == m && memcmp(a, b, n) == 0 && files_in(folder) == 1);
    free(a), free(b);

    write_text(path, "old");
    write_text(part, "another's part");                     /* a name that is taken is left alone */
    CHECK(copy_file(&host, &source, &sink, 1, &error) == LLM_OK && !holds_text(path, "old") && holds_text(part, "another's part") && files_in(folder) == 2);
    unlink(part);

    write_text(path, "old");
    getrlimit(RLIMIT_FSIZE, &old);                          /* the disk gives out in the middle */
    limit = old;
    limit.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    llm_status status = copy_file(&host, &source, &sink, 100, &error);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK_MSG(status == LLM_E_IO && strstr(error.message, path), "%d '%s'", status, error.message);
    CHECK(holds_text(path, "old") && files_in(folder) == 1);

    snprintf(other, sizeof other, "%s/none/model.gguf", folder);
    sink = sink_path(other);
    CHECK(copy_file(&host, &source, &sink, 100, &error) == LLM_E_NOT_FOUND && strstr(error.message, "none/model.gguf"));
    sink = sink_path(folder);
    CHECK(copy_file(&host, &source, &sink, 100, &error) == LLM_E_IO && strstr(error.message, "directory"));
    snprintf(other, sizeof other, "%s/link.gguf", folder);  /* a link that leads nowhere is replaced, not followed */
    CHECK(symlink("nowhere", other) == 0);
    sink = sink_path(other);
    CHECK(copy_file(&host, &source, &sink, 100, &error) == LLM_OK && files_in(folder) == 2);
    unlink(other);
    unlink(path);
    CHECK(files_in(folder) == 0 && host.mem.used == 0);
    rmdir(folder);
}
#else
static void test_paths(const char *golden) { (void)golden; }
#endif

int main(void)
{
    static const char golden[] = LLM_TEST_TREE "/files/data/written.gguf";
    static const char *const models[] = { LLM_TEST_DATA "/models/stories260K-f32.gguf", LLM_TEST_DATA "/tokenizers/ggml-vocab-gpt-2.gguf" };
    check_copy(golden, 1);
    check_copy(golden, 100);
    check_copy(golden, 1 << 20);
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        FILE *file = fopen(models[i], "rb");
        if (file) {
            fclose(file);
            check_copy(models[i], 70000);
        } else {
            fprintf(stderr, "skipped: %s is not there\n", models[i]);
        }
    }
    test_keys();
    test_refused();
    test_faults(golden);
    test_paths(golden);
    return TEST_DONE();
}
