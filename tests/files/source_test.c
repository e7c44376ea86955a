/* SPDX-License-Identifier: MIT
 * Sources of every kind, split models, and faults: every allocation and every read failed in turn. */
#if !defined(_WIN32)
#define _GNU_SOURCE 1
#endif
#include "gguf_build.h"

#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

/* ---- a reader and an allocator that fail at the n-th call */

typedef struct faulty_reader { const gguf_out *file; size_t calls, fail_at; llm_status with; } faulty_reader;

static llm_status reader_read(void *user, uint64_t offset, void *out, size_t n)
{
    faulty_reader *r = user;
    if (++r->calls == r->fail_at)
        return r->with;
    CHECK(n > 0 && offset + n <= r->file->n);
    memcpy(out, r->file->bytes + offset, n);
    return LLM_OK;
}

typedef struct faulty_heap { size_t calls, fail_at, live; } faulty_heap;

static void *heap_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    faulty_heap *heap = user;
    void *ptr = NULL;
    (void)kind;
    if (++heap->calls == heap->fail_at)
        return NULL;
    ptr = aligned_alloc(align, (size + align - 1) / align * align);
    heap->live += ptr != NULL;
    return ptr;
}

static void heap_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)size, (void)align, (void)kind;
    ((faulty_heap *)user)->live--;
    free(ptr);
}

/* ---- models */

enum { PART_TENSORS = 3, PARTS = 3 };

/* Part `no` of `count` of a model with PART_TENSORS tensors a part; 9 keys or the three of a part. */
static void build_part(gguf_out *o, uint32_t no, uint32_t count, uint32_t total, uint32_t first_tensor)
{
    uint64_t offset = 0;
    put_head(o, 3, PART_TENSORS, no == 0 ? 6 : 3);
    put_key(o, "split.no", LM_VALUE_U16), put_bytes(o, &(uint16_t){ (uint16_t)no }, 2);
    put_key(o, "split.count", LM_VALUE_U16), put_bytes(o, &(uint16_t){ (uint16_t)count }, 2);
    put_key(o, "split.tensors.count", LM_VALUE_I32), put_u32(o, total);
    if (no == 0) {
        put_key_string(o, "general.architecture", "test");
        put_key_array(o, "words", LM_VALUE_STRING, 300);
        for (int i = 0; i < 300; i++)
            put_string(o, i % 7 ? "word" : "a rather longer word than the others, so that the pool has something to do");
        put_key_array(o, "numbers", LM_VALUE_F32, 3000);
        for (int i = 0; i < 3000; i++)
            put_f32(o, (float)i);
    }
    for (uint32_t i = 0; i < PART_TENSORS; i++, offset += 64) {
        char name[32];
        snprintf(name, sizeof name, "blk.%u.w", (unsigned)(first_tensor + i));
        put_info(o, name, 2, (uint64_t[]){ 8, 2 }, LM_TYPE_F32, offset);
    }
    put_padding(o, 32);
    for (uint32_t i = 0; i < PART_TENSORS; i++)
        for (uint32_t k = 0; k < 64; k++)
            put_u8(o, (uint8_t)(first_tensor + i));
}

static void build_parts(gguf_out parts[PARTS])
{
    for (uint32_t i = 0; i < PARTS; i++)
        build_part(&parts[i], i, PARTS, PARTS * PART_TENSORS, i * PART_TENSORS);
}

static void free_parts(gguf_out parts[PARTS])
{
    for (int i = 0; i < PARTS; i++)
        gguf_out_free(&parts[i]);
}

static void check_split_model(lm_catalogue *c)
{
    llm_error error;
    CHECK(c->n_tensors == PARTS * PART_TENSORS && c->n_sources == PARTS && c->n_keys == 6);
    for (unsigned i = 0; i < PARTS * PART_TENSORS; i++) {
        char name[32];
        unsigned char rows[64];
        const lm_tensor *t;
        snprintf(name, sizeof name, "blk.%u.w", i);
        t = lm_catalogue_tensor(c, name);
        if (CHECK(t != NULL) && CHECK(t->source == i / PART_TENSORS) && CHECK(lm_catalogue_rows(c, t, 0, 2, rows, &error) == LLM_OK))
            CHECK(rows[0] == i && rows[63] == i);
    }
}

/* ---- sources */

static void check_refused(lm_host *host, const llm_source *source, llm_status status, const char *message)
{
    llm_error error;
    lm_catalogue *c;
    llm_status got = gguf_open(host, source, &c, &error);
    CHECK_MSG(got == status && strstr(error.message, message), "%d '%s', expected '%s'", got, error.message, message);
    lm_catalogue_free(c);
}

static void test_descriptors(void)
{
    struct { llm_source source; uint64_t more; } newer = { LLM_INIT(llm_source), 0 };
    llm_reader reader = LLM_INIT(llm_reader);
    llm_source s = LLM_INIT(llm_source);
    lm_host host;
    llm_error error;
    lm_catalogue *c = NULL;
    gguf_out o = { 0 };
    test_host(&host);
    build_part(&o, 0, 1, PART_TENSORS, 0);
    CHECK(lm_catalogue_open(&host, NULL, 0, &c, &error) == LLM_E_INVALID && !c);
    CHECK(lm_catalogue_open(&host, (const llm_source *const[]){ NULL }, 1, &c, &error) == LLM_E_INVALID && !c);
    check_refused(&host, &s, LLM_E_INVALID, "path is NULL");
    s.path = "", s.path_len = 0;
    check_refused(&host, &s, LLM_E_INVALID, "empty");
    s.path = "a\0b", s.path_len = 3;
    check_refused(&host, &s, LLM_E_INVALID, "NUL");
    s.path = "/no/such/model.gguf", s.path_len = LLM_NUL;
    check_refused(&host, &s, LLM_E_NOT_FOUND, "/no/such/model.gguf");
    s.path = "/tmp";
    check_refused(&host, &s, LLM_E_IO, "directory");
    s.kind = 4;
    check_refused(&host, &s, LLM_E_INVALID, "kind is 4");
    s.kind = LLM_SOURCE_BUFFER, s.data_len = 4;
    check_refused(&host, &s, LLM_E_INVALID, "data is NULL");
    s.kind = LLM_SOURCE_READER;
    check_refused(&host, &s, LLM_E_INVALID, "reader is NULL");
    s.reader = &reader;
    check_refused(&host, &s, LLM_E_INVALID, "read is NULL");
    reader.struct_size = 3;
    check_refused(&host, &s, LLM_E_INVALID, "llm_reader.struct_size is 3");
    s.struct_size = 0;
    check_refused(&host, &s, LLM_E_INVALID, "struct_size is 0");
    s.struct_size = 5000;
    check_refused(&host, &s, LLM_E_INVALID, "struct_size is 5000");
    newer.source = gguf_buffer(&o);
    newer.source.struct_size = sizeof newer;
    CHECK(gguf_open(&host, &newer.source, &c, &error) == LLM_OK);
    lm_catalogue_free(c);
    newer.more = 1;
    check_refused(&host, &newer.source, LLM_E_UNSUPPORTED, "does not know");
    lm_catalogue_free(NULL);
    CHECK(host.mem.used == 0);
    gguf_out_free(&o);
}

#if !defined(_WIN32)
static char source_dir[] = "/tmp/llm-source-test-XXXXXX";

static void write_file(const char *name, const gguf_out *o, char path[128])
{
    snprintf(path, 128, "%s/%s", source_dir, name);
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(o->bytes, 1, o->n, file) == o->n);
    if (file)
        fclose(file);
}

static void test_fd(void)
{
    gguf_out o = { 0 }, archive = { 0 };
    char path[128];
    lm_host host;
    llm_error error;
    lm_catalogue *c;
    llm_source s = LLM_INIT(llm_source);
    int fd, ends[2];
    test_host(&host);
    build_part(&o, 0, 1, PART_TENSORS, 0);
    put_data(&archive, 1001);
    put_bytes(&archive, o.bytes, o.n);
    put_data(&archive, 500);
    write_file("archive", &archive, path);
    fd = open(path, O_RDONLY);
    s.kind = LLM_SOURCE_FD;
    s.fd = fd;
    s.offset = 1001;
    s.size = o.n;
    CHECK(lseek(fd, 77, SEEK_SET) == 77);
    if (CHECK(gguf_open(&host, &s, &c, &error) == LLM_OK)) {
        unsigned char row[32];
        const lm_tensor *t = lm_catalogue_tensor(c, "blk.2.w");
        CHECK(c->file_bytes == o.n && lm_catalogue_rows(c, t, 1, 1, row, &error) == LLM_OK && row[0] == 2 && row[31] == 2);
        CHECK(lseek(fd, 0, SEEK_CUR) == 77);
        CHECK(truncate(path, 1001 + (off_t)t->offset) == 0);                    /* it shrinks under us: a status */
        CHECK(lm_catalogue_rows(c, t, 1, 1, row, &error) == LLM_E_IO && strstr(error.message, "shorter"));
    }
    lm_catalogue_free(c);
    CHECK(fcntl(fd, F_GETFD) >= 0);                                             /* borrowed: still open */
    write_file("archive", &archive, path);
    s.size = 0;                                                                 /* to the end */
    CHECK(gguf_open(&host, &s, &c, &error) == LLM_OK && c->file_bytes == o.n + 500);
    lm_catalogue_free(c);
    s.size = o.n + 501;
    check_refused(&host, &s, LLM_E_INVALID, "pass the end");
    s.size = UINT64_MAX;
    check_refused(&host, &s, LLM_E_INVALID, "pass the end");
    s.offset = archive.n + 1, s.size = 0;
    check_refused(&host, &s, LLM_E_INVALID, "offset");
    s.offset = archive.n;
    check_refused(&host, &s, LLM_E_FORMAT, "empty");
    s.offset = 0;
    check_refused(&host, &s, LLM_E_FORMAT, "not a GGUF");
    close(fd);
    check_refused(&host, &s, LLM_E_IO, "descriptor");
    s.fd = -1;
    check_refused(&host, &s, LLM_E_INVALID, "descriptor");
    CHECK(pipe(ends) == 0);
    s.fd = ends[0];
    check_refused(&host, &s, LLM_E_IO, "regular");
    close(ends[0]);
    close(ends[1]);
    CHECK(host.mem.used == 0);
    unlink(path);
    gguf_out_free(&o);
    gguf_out_free(&archive);
}

static void test_split_paths(void)
{
    static const char *const names[PARTS] = { "m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf" };
    gguf_out parts[PARTS] = { { 0 } };
    char paths[PARTS][128], odd[128];
    lm_host host;
    llm_error error;
    lm_catalogue *c;
    llm_source s = LLM_INIT(llm_source);
    s.path_len = LLM_NUL;
    test_host(&host);
    build_parts(parts);
    for (int i = 0; i < PARTS; i++)
        write_file(names[i], &parts[i], paths[i]);
    s.path = paths[0];
    if (CHECK_MSG(gguf_open(&host, &s, &c, &error) == LLM_OK, "%s", error.message))
        check_split_model(c);
    lm_catalogue_free(c);
    s.path = paths[1];
    check_refused(&host, &s, LLM_E_FORMAT, "open the first file");
    write_file("model.gguf", &parts[0], odd);
    s.path = odd;
    check_refused(&host, &s, LLM_E_FORMAT, "must end with '-00001-of-00003.gguf'");
    unlink(odd);
    s.path = paths[0];
    unlink(paths[2]);
    check_refused(&host, &s, LLM_E_NOT_FOUND, "m-00003-of-00003.gguf");
    write_file(names[2], &parts[1], paths[2]);
    check_refused(&host, &s, LLM_E_FORMAT, "'split.no'");
    CHECK(host.mem.used == 0);
    for (int i = 0; i < PARTS; i++)
        unlink(paths[i]);
    free_parts(parts);
}
#endif

/* ---- split models */

static llm_status open_parts(lm_host *host, const gguf_out *parts, size_t n, lm_catalogue **out, llm_error *error)
{
    llm_source sources[8];
    const llm_source *list[8];
    for (size_t i = 0; i < n; i++) {
        sources[i] = gguf_buffer(&parts[i]);
        list[i] = &sources[i];
    }
    *out = NULL;
    return lm_catalogue_open(host, list, n, out, error);
}

static void check_split_refused(const gguf_out *parts, size_t n, llm_status status, const char *message)
{
    lm_host host;
    llm_error error;
    lm_catalogue *c;
    test_host(&host);
    llm_status got = open_parts(&host, parts, n, &c, &error);
    CHECK_MSG(got == status && strstr(error.message, message), "%d '%s', expected '%s'", got, error.message, message);
    CHECK(!c && host.mem.used == 0);
    lm_catalogue_free(c);
}

static void test_split(void)
{
    gguf_out parts[PARTS] = { { 0 } }, other = { 0 };
    lm_host host;
    llm_error error;
    lm_catalogue *c;
    test_host(&host);
    build_parts(parts);
    if (CHECK_MSG(open_parts(&host, parts, PARTS, &c, &error) == LLM_OK, "%s", error.message)) {
        check_split_model(c);
        CHECK(c->file_bytes == parts[0].n + parts[1].n + parts[2].n);
    }
    lm_catalogue_free(c);
    CHECK(host.mem.used == 0);
    check_split_refused(parts, 1, LLM_E_INVALID, "give all of them");
    check_split_refused(parts, 2, LLM_E_INVALID, "2 files were given, but the first one says that the model has 3");
    check_split_refused((gguf_out[]){ parts[0], parts[2], parts[1] }, 3, LLM_E_FORMAT, "in order");
    check_split_refused((gguf_out[]){ parts[1], parts[0], parts[2] }, 3, LLM_E_FORMAT, "open the first file");
    build_part(&other, 1, 4, 9, 3);
    check_split_refused((gguf_out[]){ parts[0], other, parts[2] }, 3, LLM_E_FORMAT, "'split.count'");
    gguf_out_free(&other);
    build_part(&other, 1, 3, 9, 0);
    check_split_refused((gguf_out[]){ parts[0], other, parts[2] }, 3, LLM_E_FORMAT, "duplicate");
    gguf_out_free(&other);
    build_part(&other, 0, 3, 10, 0);
    check_split_refused((gguf_out[]){ other, parts[1], parts[2] }, 3, LLM_E_FORMAT, "'split.tensors.count' says 10, but the 3 parts hold 9");
    gguf_out_free(&other);
    build_part(&other, 0, 60000, 9, 0);
    check_split_refused(&other, 1, LLM_E_LIMIT, "at most 512");
    gguf_out_free(&other);
    put_head(&other, 3, 0, 1);                                                  /* a whole file where a part should be */
    put_key_string(&other, "general.architecture", "test");
    check_split_refused((gguf_out[]){ parts[0], other, parts[2] }, 3, LLM_E_FORMAT, "no key 'split.count'");
    check_split_refused((gguf_out[]){ other, parts[1] }, 2, LLM_E_INVALID, "the model has 1");
    gguf_out_free(&other);
    put_head(&other, 3, 0, 1);
    put_key_string(&other, "split.count", "3");
    check_split_refused(&other, 1, LLM_E_FORMAT, "expected an integer");
    gguf_out_free(&other);
    parts[1].n -= 1;                                                            /* a part cut short */
    check_split_refused(parts, 3, LLM_E_FORMAT, "beyond the end");
    free_parts(parts);
}

/* ---- faults */

/* Fails the n-th allocation, then the n-th read, for every n until all goes well. */
static void test_faults(void)
{
    gguf_out parts[PARTS] = { { 0 } };
    faulty_heap heap = { 0 };
    llm_allocator hooks = LLM_INIT(llm_allocator);
    llm_error error;
    size_t n_allocations = 0, n_reads = 0;
    build_parts(parts);
    hooks.user = &heap;
    hooks.allocate = heap_allocate;
    hooks.release = heap_release;
    for (int what = 0; what < 3; what++) {
        for (size_t n = 1;; n++) {
            faulty_reader readers[PARTS];
            llm_reader tables[PARTS];
            llm_source sources[PARTS];
            const llm_source *list[PARTS];
            lm_host host;
            lm_catalogue *c = NULL;
            size_t reads = 0;
            memset(&host, 0, sizeof host);
            lm_mem_init(&host.mem, &hooks, 0);
            heap.calls = 0;
            heap.fail_at = what == 0 ? n : 0;
            for (int i = 0; i < PARTS; i++) {
                readers[i] = (faulty_reader){ &parts[i], 0, 0, what == 1 ? LLM_E_CANCELLED : -1000 };
                tables[i] = (llm_reader){ .struct_size = sizeof tables[i], .size = parts[i].n, .user = &readers[i], .read = reader_read };
                sources[i] = (llm_source){ .struct_size = sizeof sources[i], .kind = LLM_SOURCE_READER, .reader = &tables[i] };
                list[i] = &sources[i];
            }
            if (what > 0 && n <= PARTS * 4)
                readers[(n - 1) / 4].fail_at = (n - 1) % 4 + 1;
            llm_status status = lm_catalogue_open(&host, list, PARTS, &c, &error);
            for (int i = 0; i < PARTS; i++) {
                reads += readers[i].fail_at && readers[i].calls >= readers[i].fail_at;
                readers[i].fail_at = 0;                     /* from here on they work */
            }
            if (what == 0 && heap.calls >= heap.fail_at)
                CHECK(status == LLM_E_MEMORY && strstr(error.message, "memory"));
            else if (what > 0 && reads)
                CHECK(status == (what == 1 ? LLM_E_CANCELLED : LLM_E_IO) && strstr(error.message, "reader failed"));
            else if (CHECK(status == LLM_OK))
                check_split_model(c);
            n_reads += reads;
            n_allocations += what == 0 && status < 0;
            lm_catalogue_free(c);
            CHECK(host.mem.used == 0 && heap.live == 0);
            if (what == 0 ? status == LLM_OK : n > PARTS * 4)
                break;
        }
    }
    fprintf(stderr, "%zu allocations and %zu reads failed in turn\n", n_allocations, n_reads);
    CHECK(n_allocations > 15 && n_reads >= 2 * PARTS);
    free_parts(parts);
}

/* A limit on memory is a status too, at every height. */
static void test_limit(void)
{
    gguf_out parts[PARTS] = { { 0 } };
    llm_error error;
    lm_catalogue *c;
    build_parts(parts);
    for (uint64_t limit = 1;; limit += 997) {
        lm_host host;
        test_host(&host);
        host.mem.limit = limit;
        llm_status status = open_parts(&host, parts, PARTS, &c, &error);
        CHECK(status == LLM_OK || status == LLM_E_MEMORY);
        CHECK(host.mem.peak <= limit);
        lm_catalogue_free(c);
        CHECK(host.mem.used == 0);
        if (status == LLM_OK)
            break;
    }
    free_parts(parts);
}

int main(void)
{
    test_descriptors();
#if !defined(_WIN32)
    CHECK(mkdtemp(source_dir) != NULL);
    test_fd();
    test_split_paths();
    CHECK(rmdir(source_dir) == 0);
#endif
    test_split();
    test_faults();
    test_limit();
    return TEST_DONE();
}
