/* SPDX-License-Identifier: MIT
 * llm_model_quantize: files of every type that load and generate, the same bytes for all threads, memory that does not grow with the model,
 * importance matrices, split sources, and every allocation, read, write and progress call failed in turn. */
#define _GNU_SOURCE 1                   /* memmem */
#include "tiny.h"

#include <dirent.h>
#include <stdatomic.h>
#include <unistd.h>

static const tiny_shape wide = { 3, 256, TEST_EMULATED ? 256 : 512, 8, 2, 128, TEST_EMULATED ? 300 : 400, 5, 0 };
static const tiny_shape small = { 1, 256, 256, 4, 2, 64, 300, 6, 0 };

/* ---- what a writer gets, a reader that fails, an allocator that fails */

typedef struct kept { unsigned char *data; size_t n, cap, calls, fail_at; } kept;

static llm_status keep(void *user, const void *data, size_t n)
{
    kept *k = user;
    if (++k->calls == k->fail_at)
        return LLM_E_IO;
    if (k->n + n > k->cap) {
        k->cap = 2 * (k->n + n);
        k->data = realloc(k->data, k->cap);
    }
    memcpy(k->data + k->n, data, n);
    k->n += n;
    return LLM_OK;
}

static void kept_free(kept *k)
{
    free(k->data);
    *k = (kept){ 0 };
}

typedef struct shelf { const unsigned char *data; size_t size, calls, fail_at; } shelf;

static llm_status shelf_read(void *user, uint64_t offset, void *out, size_t n)
{
    shelf *s = user;
    if (++s->calls == s->fail_at)
        return LLM_E_IO;
    memcpy(out, s->data + offset, n);
    return LLM_OK;
}

typedef struct heap { _Atomic long long calls, fail_at, live, bytes, peak; } heap;

static void *heap_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    heap *h = user;
    void *p = NULL;
    (void)kind;
    if (atomic_fetch_add(&h->calls, 1) + 1 == atomic_load(&h->fail_at) || posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size) != 0)
        return NULL;
    long long now = atomic_fetch_add(&h->bytes, (long long)size) + (long long)size, peak = atomic_load(&h->peak);
    while (now > peak && !atomic_compare_exchange_weak(&h->peak, &peak, now))
        ;
    atomic_fetch_add(&h->live, 1);
    return p;
}

static void heap_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    heap *h = user;
    (void)align, (void)kind;
    atomic_fetch_sub(&h->live, 1);
    atomic_fetch_sub(&h->bytes, (long long)size);
    free(ptr);
}

static llm_engine *open_engine(int32_t n_threads, heap *h, const llm_parallel *parallel)
{
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_allocator allocator = LLM_INIT(llm_allocator);
    llm_engine *engine = NULL;
    llm_error error;
    allocator.user = h;
    allocator.allocate = heap_allocate;
    allocator.release = heap_release;
    desc.n_threads = n_threads;
    desc.allocator = h ? &allocator : NULL;
    desc.parallel = parallel;
    if (!CHECK(llm_engine_create(LLM_ABI, &desc, &engine, &error) == LLM_OK))
        exit(1);
    return engine;
}

static llm_source buffer(const void *data, size_t n)
{
    llm_source s = LLM_INIT(llm_source);
    s.kind = LLM_SOURCE_BUFFER;
    s.data = data;
    s.data_len = n;
    return s;
}

/* From a buffer to a writer. */
static llm_status quantize(llm_engine *engine, const void *data, size_t n, const llm_quantize_desc *desc, kept *out, llm_quantize_info *info, llm_error *error)
{
    llm_source source = buffer(data, n);
    const llm_source *part = &source;
    llm_writer writer = LLM_INIT(llm_writer);
    llm_sink sink = LLM_INIT(llm_sink);
    writer.user = out;
    writer.write = keep;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    return llm_model_quantize(engine, &part, 1, &sink, desc, info, error);
}

static llm_quantize_desc desc_of(int32_t file_type)
{
    llm_quantize_desc desc = LLM_INIT(llm_quantize_desc);
    desc.file_type = file_type;
    return desc;
}

/* ---- the result is a model */

static double distance(llm_model *a, llm_model *b)
{
    const float *la, *lb;
    size_t n;
    double error = 0, sum = 0;
    llm_token tokens[20];
    llm_error why;
    llm_session *sa = tiny_session(a, 0, 0), *sb = tiny_session(b, 0, 0);
    tiny_tokens(tokens, 20, 300, 3);
    CHECK(llm_session_append(sa, tokens, 20, 0, &why) == LLM_OK && tiny_drain(sa, LLM_FOREVER, &why) == LLM_OK);
    CHECK(llm_session_append(sb, tokens, 20, 0, &why) == LLM_OK && tiny_drain(sb, LLM_FOREVER, &why) == LLM_OK);
    CHECK(llm_session_logits(sa, &la, &n, &why) == LLM_OK && llm_session_logits(sb, &lb, &n, &why) == LLM_OK);
    for (size_t i = 0; i < n; i++) {
        error += ((double)la[i] - lb[i]) * ((double)la[i] - lb[i]);
        sum += (double)la[i] * la[i];
    }
    llm_session_free(sa);
    llm_session_free(sb);
    return sqrt(error / sum);
}

static const char *type_of(llm_model *model, const char *name)
{
    llm_error error;
    for (size_t i = 0; i < llm_model_tensor_count(model); i++) {
        llm_tensor_info info = LLM_INIT(llm_tensor_info);
        if (llm_model_tensor_at(model, i, &info, &error) == LLM_OK && strcmp(info.name, name) == 0)
            return info.type;
    }
    return "absent";
}

static int64_t meta_of(llm_model *model, const char *key)
{
    llm_meta meta = LLM_INIT(llm_meta);
    llm_error error;
    return llm_model_meta_find(model, key, LLM_NUL, &meta, &error) == LLM_OK ? meta.integer : -1;
}

static void test_types(void)
{
    static const struct { int32_t type, number; double most; const char *q, *down; } files[] = {
        { LLM_FILE_F32, 0, 1e-9, "F32", "F32" },       { LLM_FILE_F16, 1, 0.002, "F16", "F16" },          { LLM_FILE_BF16, 32, 0.02, "BF16", "BF16" },
        { LLM_FILE_Q8_0, 7, 0.06, "Q8_0", "Q8_0" },    { LLM_FILE_Q6_K, 18, 0.14, "Q6_K", "Q6_K" },       { LLM_FILE_Q5_K_M, 17, 0.25, "Q5_K", "Q6_K" },
        { LLM_FILE_Q4_K_M, 15, 0.4, "Q4_K", "Q6_K" }, { LLM_FILE_Q4_K_S, 14, 0.4, "Q4_K", "Q4_K" },     { LLM_FILE_IQ4_XS, 30, 0.4, "IQ4_XS", "IQ4_XS" },
        { LLM_FILE_Q4_0, 2, 0.45, "Q4_0", "Q4_0" },     { LLM_FILE_IQ4_NL, 25, 0.4, "IQ4_NL", "IQ4_NL" }, { LLM_FILE_Q5_1, 9, 0.2, "Q5_1", "Q5_1" },
    };
    llm_engine *engine = open_engine(2, NULL, NULL);
    llm_model *full = NULL, *model = NULL;
    tiny_file file = tiny_make(&wide);
    llm_error error;
    CHECK(tiny_load(engine, &file, &full, &error) == LLM_OK);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i += TEST_EMULATED ? 6 : 1) {
        llm_quantize_desc desc = desc_of(files[i].type);
        llm_quantize_info info = LLM_INIT(llm_quantize_info);
        kept out = { 0 };
        llm_status status = quantize(engine, file.data, file.size, &desc, &out, &info, &error);
        if (!CHECK_MSG(status == LLM_OK && error.message[0] == 0, "%s: %s", files[i].q, error.message))
            continue;
        CHECK(info.n_tensors == 29 && info.n_quantized == (files[i].number ? 22u : 0u) && info.bytes_out <= info.bytes_in && info.bytes_out < out.n && info.n_weighted == 0);
        tiny_file made = { .data = out.data, .size = out.n };
        status = tiny_load(engine, &made, &model, &error);
        if (status == LLM_E_UNSUPPORTED) {
            fprintf(stderr, "skipped: %s\n", error.message);
        } else if (CHECK_MSG(status == LLM_OK, "%s: %s", files[i].q, error.message)) {
            double d = distance(full, model);
            CHECK_MSG(d <= files[i].most, "%s: the logits are %.4f off", files[i].q, d);
            CHECK(strcmp(type_of(model, "blk.1.attn_q.weight"), files[i].q) == 0 && strcmp(type_of(model, "blk.2.ffn_down.weight"), files[i].down) == 0);
            CHECK(strcmp(type_of(model, "blk.0.attn_norm.weight"), "F32") == 0);
            CHECK(meta_of(model, "general.file_type") == files[i].number && meta_of(model, "general.quantization_version") == 2 && meta_of(model, "llama.block_count") == 3);
            llm_model_free(model);
        }
        kept_free(&out);
    }
    llm_model_free(full);
    llm_engine_free(engine);
    free(file.data);
}

/* ---- the same bytes */

static void run_backwards(void *user, uint32_t n, void (*job)(void *data, uint32_t i), void *data)
{
    (void)user;
    while (n-- > 0)
        job(data, n);
}
static void run_nothing(void *user, uint32_t n, void (*job)(void *data, uint32_t i), void *data) { (void)user, (void)n, (void)job, (void)data; }

static void test_threads(void)
{
    llm_parallel parallel = LLM_INIT(llm_parallel);
    tiny_file file = tiny_make(TEST_EMULATED ? &small : &wide);
    kept first = { 0 };
    llm_error error;
    for (int i = 0; i < (TEST_EMULATED ? 3 : 5); i += TEST_EMULATED ? 2 : 1) {
        kept out = { 0 };
        llm_quantize_desc desc = desc_of(LLM_FILE_Q4_K_M);
        parallel.n_threads = 3;
        parallel.run = i == 3 ? run_backwards : run_nothing;
        llm_engine *engine = open_engine(i < 3 ? 1 + 2 * i : 1, NULL, i < 3 ? NULL : &parallel);
        CHECK(quantize(engine, file.data, file.size, i ? &desc : NULL, &out, NULL, &error) == LLM_OK);
        if (i == 0)
            first = out;
        else
            CHECK_MSG(out.n == first.n && memcmp(out.data, first.data, out.n) == 0, "other bytes in run %d", i);
        if (i)
            kept_free(&out);
        llm_engine_free(engine);
    }
    kept_free(&first);
    free(file.data);
}

/* ---- sources that are quantized, spoilt, split */

/* Where the data of the first tensor (the embedding) begin: it is the last thing but the layers. */
static size_t data_at(const tiny_shape *s, const tiny_file *file)
{
    size_t n = (size_t)s->n_vocab * s->n_embd * 4 + s->n_embd * 4, kv = s->n_embd / s->n_head * s->n_head_kv;
    n += s->n_layers * 4 * (2 * (size_t)s->n_embd + 2 * (size_t)s->n_embd * s->n_embd + 2 * s->n_embd * kv + 3 * (size_t)s->n_embd * s->n_ff);
    return file->size - n;
}

static void test_sources(void)
{
    llm_engine *engine = open_engine(2, NULL, NULL);
    tiny_file file = tiny_make(&small);
    size_t at = data_at(&small, &file);
    llm_quantize_desc q8 = desc_of(LLM_FILE_Q8_0), q4 = desc_of(LLM_FILE_Q4_0), f16 = desc_of(LLM_FILE_F16);
    kept once = { 0 }, twice = { 0 }, half = { 0 };
    llm_quantize_info info = LLM_INIT(llm_quantize_info);
    llm_error error;
    CHECK(quantize(engine, file.data, file.size, &q8, &once, NULL, &error) == LLM_OK);
    CHECK(quantize(engine, once.data, once.n, &q8, &twice, &info, &error) == LLM_OK && info.n_quantized == 0);     /* all stays as it is */
    CHECK(twice.n == once.n && memcmp(twice.data, once.data, once.n) == 0);
    kept_free(&twice);
    llm_status status = quantize(engine, once.data, once.n, &q4, &twice, &info, &error);
    CHECK_MSG(status == LLM_E_UNSUPPORTED && strstr(error.message, "Q8_0 already") && strcmp(error.subject, "token_embd.weight") == 0, "%d %s, %s", status, error.message, error.subject);
    CHECK(twice.n == 0);
    CHECK(quantize(engine, file.data, file.size, &f16, &half, NULL, &error) == LLM_OK && quantize(engine, half.data, half.n, &q4, &twice, &info, &error) == LLM_OK && info.n_quantized == 8);
    kept_free(&twice);

    float old, bad[3] = { NAN, INFINITY, 1e30f };
    memcpy(&old, file.data + at + 4 * (5 * 256 + 70), 4);                               /* row 5, column 70 of the embedding */
    for (int i = 0; i < 3; i++) {
        memcpy(file.data + at + 4 * (5 * 256 + 70), &bad[i], 4);
        status = quantize(engine, file.data, file.size, &q4, &twice, NULL, &error);
        CHECK_MSG(status == LLM_E_NUMERIC && strstr(error.message, "row 5") && strcmp(error.subject, "token_embd.weight") == 0, "%d %s", status, error.message);
        CHECK_MSG(strstr(error.message, i < 2 ? "NaN or infinity" : "too large") != NULL, "%s", error.message);
        kept_free(&twice);
    }
    memcpy(file.data + at + 4 * (5 * 256 + 70), &old, 4);

    llm_quantize_desc odd = LLM_INIT(llm_quantize_desc);
    odd.file_type = 99;
    CHECK(quantize(engine, file.data, file.size, &odd, &twice, NULL, &error) == LLM_E_UNSUPPORTED && strstr(error.message, "99"));
    odd.file_type = 0, odd.flags = 1024;
    CHECK(quantize(engine, file.data, file.size, &odd, &twice, NULL, &error) == LLM_E_UNSUPPORTED && strstr(error.message, "0x400"));
    odd.flags = 0, odd.reserved = 1;
    CHECK(quantize(engine, file.data, file.size, &odd, &twice, NULL, &error) == LLM_E_UNSUPPORTED);
    CHECK(quantize(engine, file.data, 1000, NULL, &twice, NULL, &error) == LLM_E_FORMAT && twice.n == 0);
    CHECK(llm_model_quantize(NULL, NULL, 0, NULL, NULL, NULL, &error) == LLM_E_INVALID && llm_model_quantize(engine, NULL, 0, NULL, NULL, NULL, &error) == LLM_E_INVALID);
    kept_free(&once);
    kept_free(&half);
    free(file.data);
    llm_engine_free(engine);
}

/* Two parts, the second without a model's keys; an architecture that cannot be run. */
static tiny_file make_part(uint32_t no)
{
    tiny_file f = { 0 };
    tiny_put(&f, "GGUF", 4);
    tiny_u32(&f, 3);
    tiny_u64(&f, 1);
    tiny_u64(&f, no == 0 ? 4 : 3);
    if (no == 0) {
        tiny_str(&f, "general.architecture");
        tiny_u32(&f, 8);
        tiny_str(&f, "strange");
    }
    tiny_key_u32(&f, "split.no", no);
    tiny_key_u32(&f, "split.count", 2);
    tiny_key_u32(&f, "split.tensors.count", 2);
    tiny_str(&f, no == 0 ? "first.weight" : "second.weight");
    tiny_u32(&f, 2);
    tiny_u64(&f, 96);
    tiny_u64(&f, 3);
    tiny_u32(&f, 0);
    tiny_u64(&f, 0);
    while (f.size % 32)
        tiny_put(&f, "", 1);
    f.random = no + 1;
    tiny_values(&f, 96, 3);
    return f;
}

static void test_split(void)
{
    llm_engine *engine = open_engine(1, NULL, NULL);
    tiny_file parts[2] = { make_part(0), make_part(1) };
    llm_source sources[2] = { buffer(parts[0].data, parts[0].size), buffer(parts[1].data, parts[1].size) };
    const llm_source *list[2] = { &sources[0], &sources[1] };
    llm_quantize_info info = LLM_INIT(llm_quantize_info);
    kept out = { 0 };
    llm_writer writer = LLM_INIT(llm_writer);
    llm_sink sink = LLM_INIT(llm_sink);
    llm_error error;
    writer.user = &out;
    writer.write = keep;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    CHECK_MSG(llm_model_quantize(engine, list, 2, &sink, NULL, &info, &error) == LLM_OK, "%s", error.message);
    CHECK(info.n_tensors == 2 && info.n_quantized == 2 && info.n_fallback == 2 && info.bytes_in == 2 * 96 * 3 * 4 && info.bytes_out == 2 * 3 * 3 * 22);    /* Q5_0: 22 bytes for 32 */
    CHECK(memmem(out.data, out.n, "split.", 6) == NULL && memmem(out.data, out.n, "second.weight", 13) != NULL);
    kept_free(&out);
    free(parts[0].data);
    free(parts[1].data);
    llm_engine_free(engine);
}

/* ---- importance */

/* For one tensor of the model: cols weights, the first few of them large. */
static tiny_file make_importance(const char *type, const char *name, uint32_t cols, uint32_t rows, float first, float count)
{
    tiny_file f = { 0 };
    char text[64];
    tiny_put(&f, "GGUF", 4);
    tiny_u32(&f, 3);
    tiny_u64(&f, 2);
    tiny_u64(&f, 4);
    tiny_str(&f, "general.type"); tiny_u32(&f, 8); tiny_str(&f, type);
    tiny_key_array(&f, "imatrix.datasets", 8, 1); tiny_str(&f, "a text");
    tiny_key_u32(&f, "imatrix.chunk_count", 7);
    tiny_key_u32(&f, "imatrix.chunk_size", 512);
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "%s.%s", name, i ? "counts" : "in_sum2");
        tiny_str(&f, text);
        tiny_u32(&f, 2);
        tiny_u64(&f, i ? 1 : cols);
        tiny_u64(&f, rows);
        tiny_u32(&f, 0);
        tiny_u64(&f, i ? ((uint64_t)cols * rows * 4 + 31) / 32 * 32 : 0);
    }
    while (f.size % 32)
        tiny_put(&f, "", 1);
    for (uint32_t i = 0; i < cols * rows; i++)
        tiny_f32(&f, i < 8 ? first : 1);
    while (f.size % 32)
        tiny_put(&f, "", 1);
    for (uint32_t i = 0; i < rows; i++)
        tiny_f32(&f, count);
    while (f.size % 32)
        tiny_put(&f, "", 1);
    return f;
}

static void test_importance(void)
{
    llm_engine *engine = open_engine(2, NULL, NULL);
    tiny_file file = tiny_make(&small);
    kept plain = { 0 };
    llm_error error;
    CHECK(quantize(engine, file.data, file.size, NULL, &plain, NULL, &error) == LLM_OK);
    static const struct { const char *type, *name; uint32_t cols, rows; float first, count; llm_status status; const char *says; } cases[] = {
        { "imatrix", "blk.0.attn_q.weight", 256, 1, 1000, 10, LLM_OK, "" },
        { "imatrix", "blk.0.attn_q.weight", 256, 1, 1000, 0, LLM_OK, "" },                     /* nothing was counted: as without */
        { "model", "blk.0.attn_q.weight", 256, 1, 1000, 10, LLM_E_FORMAT, "no importance matrix" },
        { "imatrix", "blk.9.attn_q.weight", 256, 1, 1000, 10, LLM_E_NOT_FOUND, "nothing for any tensor" },
        { "imatrix", "blk.0.attn_q.weight", 128, 1, 1000, 10, LLM_E_FORMAT, "128 columns, expected 256" },
        { "imatrix", "blk.0.attn_q.weight", 256, 2, 1000, 10, LLM_E_FORMAT, "2 matrices, expected 1" },
        { "imatrix", "blk.0.attn_q.weight", 256, 1, -1, 10, LLM_E_FORMAT, "below zero" },
        { "imatrix", "blk.0.attn_q.weight", 256, 1, NAN, 10, LLM_E_FORMAT, "NaN" },
        { "imatrix", "blk.0.attn_q.weight", 256, 1, 1, INFINITY, LLM_E_FORMAT, "infinity" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tiny_file matrix = make_importance(cases[i].type, cases[i].name, cases[i].cols, cases[i].rows, cases[i].first, cases[i].count);
        llm_source source = buffer(matrix.data, matrix.size);
        llm_quantize_desc desc = LLM_INIT(llm_quantize_desc);
        llm_quantize_info info = LLM_INIT(llm_quantize_info);
        kept out = { 0 };
        desc.importance = &source;
        llm_status status = quantize(engine, file.data, file.size, &desc, &out, &info, &error);
        CHECK_MSG(status == cases[i].status && strstr(error.message, cases[i].says), "case %zu: %d %s", i, status, error.message);
        if (i == 0) {
            llm_model *model = NULL;
            tiny_file made = { .data = out.data, .size = out.n };
            CHECK(info.n_weighted == 1 && tiny_load(engine, &made, &model, &error) == LLM_OK);
            CHECK(meta_of(model, "quantize.imatrix.entries_count") == 1 && meta_of(model, "quantize.imatrix.chunks_count") == 7);
            llm_meta meta = LLM_INIT(llm_meta);
            CHECK(llm_model_meta_find(model, "quantize.imatrix.dataset", LLM_NUL, &meta, &error) == LLM_OK && strcmp(meta.string, "a text") == 0);
            CHECK(llm_model_meta_find(model, "quantize.imatrix.file", LLM_NUL, &meta, &error) == LLM_OK && strcmp(meta.string, "buffer") == 0);
            llm_model_free(model);
            size_t last = plain.n < out.n ? plain.n : out.n;                                 /* the end of both: the last layer's tensors */
            CHECK(memcmp(plain.data + plain.n - 1000, out.data + out.n - 1000, 1000) == 0 && memcmp(plain.data + 100000, out.data + 100000, last - 100000) != 0);
        }
        if (i == 1)
            CHECK(info.n_weighted == 0);
        kept_free(&out);
        free(matrix.data);
    }
    kept_free(&plain);
    free(file.data);
    llm_engine_free(engine);
}

/* ---- faults */

typedef struct stopper { size_t calls, stop_at; float last; } stopper;

static int32_t stop(void *user, float fraction)
{
    stopper *s = user;
    CHECK(fraction >= s->last && fraction <= 1);
    s->last = fraction;
    return ++s->calls == s->stop_at;
}

static void test_faults(void)
{
    tiny_file file = tiny_make(&small), matrix = make_importance("imatrix", "blk.0.ffn_up.weight", 256, 1, 50, 2);
    llm_source importance = buffer(matrix.data, matrix.size);
    llm_error error;
    size_t n_failed[3] = { 0, 0, 0 };
    for (int what = 0; what < 3; what++)                    /* an allocation, a read, a write */
        for (size_t n = 1;; n++) {
            heap h = { 0 };
            llm_engine *engine = open_engine(1, &h, NULL);
            long long before = atomic_load(&h.bytes);
            shelf s = { .data = file.data, .size = file.size, .fail_at = what == 1 ? n : 0 };
            kept out = { .fail_at = what == 2 ? n : 0 };
            llm_reader reader = LLM_INIT(llm_reader);
            llm_source source = LLM_INIT(llm_source);
            const llm_source *part = &source;
            llm_writer writer = LLM_INIT(llm_writer);
            llm_sink sink = LLM_INIT(llm_sink);
            llm_quantize_desc desc = desc_of(LLM_FILE_Q8_0);
            llm_quantize_info info = LLM_INIT(llm_quantize_info);
            reader.size = file.size, reader.user = &s, reader.read = shelf_read;
            source.kind = LLM_SOURCE_READER, source.reader = &reader;
            writer.user = &out, writer.write = keep;
            sink.kind = LLM_SINK_WRITER, sink.writer = &writer;
            desc.importance = &importance;
            info.n_tensors = 77;
            if (what == 0)
                atomic_store(&h.fail_at, atomic_load(&h.calls) + (long long)n);
            llm_status status = llm_model_quantize(engine, &part, 1, &sink, &desc, &info, &error);
            CHECK_MSG(atomic_load(&h.bytes) == before, "%lld bytes are left", atomic_load(&h.bytes) - before);
            llm_engine_free(engine);
            CHECK(atomic_load(&h.live) == 0);
            kept_free(&out);
            if (status == LLM_OK)
                break;
            CHECK_MSG(status == (what ? LLM_E_IO : LLM_E_MEMORY) && error.message[0] && info.n_tensors == 77, "%d %s", status, error.message);
            n_failed[what]++;
        }
    CHECK(n_failed[0] > 8 && n_failed[1] > 15 && n_failed[2] > 5);

    llm_engine *engine = open_engine(1, NULL, NULL);
    for (size_t n = 1;; n++) {                              /* a cancel at every progress call */
        stopper s = { .stop_at = n };
        kept out = { 0 };
        llm_quantize_desc desc = desc_of(LLM_FILE_Q8_0);
        desc.progress = stop;
        desc.user = &s;
        llm_status status = quantize(engine, file.data, file.size, &desc, &out, NULL, &error);
        kept_free(&out);
        if (status == LLM_OK) {
            CHECK(s.last == 1 && n > 10);
            break;
        }
        CHECK(status == LLM_E_CANCELLED);
    }
    llm_engine_free(engine);
    free(matrix.data);
    free(file.data);
}

/* A path: a cancelled call leaves what was there; a whole one replaces it, its own source too. */
static void test_paths(void)
{
    char folder[] = "/tmp/llm-quantize-XXXXXX", path[64];
    llm_engine *engine = open_engine(2, NULL, NULL);
    tiny_file file = tiny_make(&small);
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    llm_sink sink = LLM_INIT(llm_sink);
    llm_quantize_desc desc = desc_of(LLM_FILE_Q4_K_M);
    stopper s = { .stop_at = 5 };
    kept wanted = { 0 };
    llm_error error;
    size_t n;
    if (!CHECK(mkdtemp(folder) != NULL))
        return;
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    FILE *to = fopen(path, "wb");
    CHECK(to && fwrite(file.data, 1, file.size, to) == file.size && fclose(to) == 0);
    source.path = sink.path = path;
    source.path_len = sink.path_len = LLM_NUL;
    desc.progress = stop;
    desc.user = &s;
    CHECK(llm_model_quantize(engine, &part, 1, &sink, &desc, NULL, &error) == LLM_E_CANCELLED);
    char *there = test_read_file(path, &n);
    CHECK(there && n == file.size && memcmp(there, file.data, n) == 0);
    free(there);
    desc.progress = NULL;
    CHECK(llm_model_quantize(engine, &part, 1, &sink, &desc, NULL, &error) == LLM_OK);
    CHECK(quantize(engine, file.data, file.size, &desc, &wanted, NULL, &error) == LLM_OK);
    there = test_read_file(path, &n);
    CHECK(there && n == wanted.n && memcmp(there, wanted.data, n) == 0);
    free(there);
    kept_free(&wanted);
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int n_files = 0;
    while (dir && (entry = readdir(dir)) != NULL)
        n_files += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    CHECK(n_files == 1);
    unlink(path);
    rmdir(folder);
    free(file.data);
    llm_engine_free(engine);
}

/* Eight times the weights, the same memory but for the lists of keys and tensors. */
static void test_memory(void)
{
    static const tiny_shape shapes[2] = { { 2, 512, 1024, 8, 4, 64, 500, 1, 0 }, { 16, 512, 1024, 8, 4, 64, 500, 1, 0 } };
    long long peaks[2];
    size_t sizes[2];
    llm_error error;
    for (int i = 0; i < 2; i++) {
        heap h = { 0 };
        llm_engine *engine = open_engine(2, &h, NULL);
        tiny_file file = tiny_make(&shapes[i]);
        llm_quantize_desc desc = desc_of(LLM_FILE_Q8_0);
        kept out = { 0 };
        long long before = atomic_load(&h.bytes);
        atomic_store(&h.peak, before);
        CHECK(quantize(engine, file.data, file.size, &desc, &out, NULL, &error) == LLM_OK);
        peaks[i] = atomic_load(&h.peak) - before;
        sizes[i] = file.size;
        kept_free(&out);
        free(file.data);
        llm_engine_free(engine);
    }
    printf("memory to quantize %zu bytes: %lld; %zu bytes: %lld\n", sizes[0], peaks[0], sizes[1], peaks[1]);
    CHECK(sizes[1] > 5 * sizes[0] && peaks[1] < 1500000 && peaks[1] - peaks[0] < 150000);
}

int main(void)
{
    test_types();
    test_threads();
    test_sources();
    test_split();
    if (!TEST_EMULATED) {                                   /* nothing about the processor: tensor_quantize has the bytes */
        test_importance();
        test_faults();
        test_paths();
        test_memory();
    }
    return TEST_DONE();
}
