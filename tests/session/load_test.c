/* SPDX-License-Identifier: MIT
 * Loading with several threads: whatever the source, the number of threads and the order in which a host runs them, the weights are those that
 * plain packing of the file's rows makes; the first lie of a file is the one reported; a host's reader is called by the loading thread alone; a
 * load gets on beside a session that computes, and the other way. */
#if !defined(_WIN32)
#define _DEFAULT_SOURCE 1
#endif
#include "session/loaded.h"

#include "backend/cpu/cpu.h"

#include "base/os.h"

#include "../api/tiny.h"

#if !defined(_WIN32)
#include <fcntl.h>
#include <unistd.h>
#endif

/* Matrices of several tasks each, with rows that are no multiple of a group at their end. */
static const tiny_shape load_shape = { 2, 256, 1000, 4, 2, 64, 1003, 5, 0 };
static const char load_path[] = "load_test.gguf";

static llm_error load_error;

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

static llm_status load_take(void *user, const void *data, size_t n)
{
    tiny_put(user, data, n);
    return LLM_OK;
}

static tiny_file load_quantized(const tiny_file *plain, int32_t file_type)
{
    tiny_file out = { 0 };
    llm_engine *engine = NULL;
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    llm_writer writer = LLM_INIT(llm_writer);
    llm_sink sink = LLM_INIT(llm_sink);
    llm_quantize_desc desc = LLM_INIT(llm_quantize_desc);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = plain->data;
    source.data_len = plain->size;
    writer.user = &out;
    writer.write = load_take;
    sink.kind = LLM_SINK_WRITER;
    sink.writer = &writer;
    desc.file_type = file_type;
    CHECK(llm_engine_create(LLM_ABI, NULL, &engine, &load_error) == LLM_OK);
    CHECK_MSG(llm_model_quantize(engine, &part, 1, &sink, &desc, NULL, &load_error) == LLM_OK, "%s", load_error.message);
    llm_engine_free(engine);
    return out;
}

/* ---- sources ----------------------------------------------------------------------------------------------------------------- */

typedef struct load_reader { const tiny_file *file; _Atomic uint32_t inside; uint32_t n; uint32_t fail_at; } load_reader;

static llm_status load_read(void *user, uint64_t offset, void *out, size_t n)
{
    load_reader *reader = user;
    CHECK(atomic_fetch_add(&reader->inside, 1) == 0);
    if (offset > reader->file->size || n > reader->file->size - offset)
        return LLM_E_IO;
    memcpy(out, reader->file->data + offset, n);
    CHECK(atomic_fetch_sub(&reader->inside, 1) == 1);
    return ++reader->n == reader->fail_at ? LLM_E_IO : LLM_OK;
}

/* ---- hosts' threads ------------------------------------------------------------------------------------------------------------ */

enum { LOAD_OWN, LOAD_BACKWARDS, LOAD_LAST_ALONE, LOAD_ORDERS };

/* The last job does everything, or the jobs run from the last to the first. */
static void load_run(void *user, uint32_t n, void (*job)(void *data, uint32_t i), void *data)
{
    uint32_t end = *(int *)user == LOAD_LAST_ALONE ? n - 1 : 0;
    for (uint32_t i = n; i-- > end;)
        job(data, i);
}

static llm_engine *load_engine(int32_t n_threads, int order, int32_t tier)
{
    static int orders[LOAD_ORDERS] = { LOAD_OWN, LOAD_BACKWARDS, LOAD_LAST_ALONE };
    llm_parallel parallel = LLM_INIT(llm_parallel);
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_engine *engine = NULL;
    parallel.n_threads = (uint32_t)n_threads;
    parallel.user = &orders[order];
    parallel.run = load_run;
    desc.n_threads = n_threads;
    desc.cpu_tier = tier;
    desc.parallel = order == LOAD_OWN ? NULL : &parallel;
    CHECK(llm_engine_create(LLM_ABI, &desc, &engine, &load_error) == LLM_OK);
    return engine;
}

/* ---- the weights are right -------------------------------------------------------------------------------------------------------- */

/* Against the reference's packing of rows that a plain read gives. */
static void load_check_weights(const llm_model *model, const tiny_file *file)
{
    lm_host host;
    lm_kernels plain;
    lm_catalogue *c = NULL;
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    const lm_program *program = model->model->program;
    memset(&host, 0, sizeof host);
    lm_mem_init(&host.mem, NULL, 0);
    lm_kernels_fill(&plain, 0, 0);
    source.kind = LLM_SOURCE_BUFFER;
    source.data = file->data;
    source.data_len = file->size;
    if (!CHECK(lm_catalogue_open(&host, &part, 1, &c, &load_error) == LLM_OK))
        return;
    for (uint32_t i = 0; i < program->n_weights; i++) {
        const lm_cpu_weight *w = (const lm_cpu_weight *)model->model->weights[i];
        const lm_tensor *t = lm_catalogue_tensor(c, w->info.name);
        if (!CHECK(w->complete && w->n_done == w->info.n_rows) || !CHECK_MSG(t != NULL, "%s", w->info.name))
            continue;
        if (w->info.is_vector) {
            CHECK(memcmp(w->data, file->data + t->offset, (size_t)w->bytes) == 0);
            continue;
        }
        unsigned char *group = malloc((size_t)w->group_bytes);
        for (uint64_t row = 0; row < t->n_rows; row += LM_GROUP) {
            plain.pack[t->type](group, file->data + t->offset + row * t->row_bytes, (size_t)t->row_bytes, (size_t)LM_MIN(t->n_rows - row, (uint64_t)LM_GROUP), (size_t)t->ne[0]);
            if (!CHECK_MSG(memcmp(group, w->data + row / LM_GROUP * w->group_bytes, (size_t)w->group_bytes) == 0, "%s, row %d", w->info.name, (int)row))
                break;
        }
        free(group);
    }
    lm_catalogue_free(c);
}

static void load_test_file(const tiny_file *file, int32_t n_threads, int order, int kind)
{
    llm_engine *engine = load_engine(n_threads, order, 0);
    load_reader state = { .file = file };
    llm_reader reader = LLM_INIT(llm_reader);
    llm_source source = LLM_INIT(llm_source);
    const llm_source *part = &source;
    llm_model *model = NULL;
    source.kind = kind;
    source.path = load_path;
    source.path_len = LLM_NUL;
    source.data = file->data;
    source.data_len = file->size;
    source.reader = &reader;
    reader.size = file->size;
    reader.user = &state;
    reader.read = load_read;
#if !defined(_WIN32)
    source.fd = open(load_path, O_RDONLY);
#endif
    if (CHECK_MSG(llm_model_load_from(engine, &part, 1, NULL, &model, &load_error) == LLM_OK, "%s", load_error.message))
        load_check_weights(model, file);
#if !defined(_WIN32)
    close((int)source.fd);
#endif
    llm_model_free(model);
    llm_engine_free(engine);
}

static void load_write(const tiny_file *file)
{
    FILE *out = fopen(load_path, "wb");
    CHECK(out && fwrite(file->data, 1, file->size, out) == file->size && fclose(out) == 0);
}

static void load_test_sources(const tiny_file *file)
{
    static const int32_t threads[] = { 1, 2, 3, 8, 20 };
    load_write(file);
    for (size_t i = 0; i < LM_COUNT(threads); i++)
        for (int order = 0; order < LOAD_ORDERS; order++)
            load_test_file(file, threads[i], order, LLM_SOURCE_PATH);
    for (int order = 0; order < LOAD_ORDERS; order++) {
        load_test_file(file, 3, order, LLM_SOURCE_BUFFER);
        load_test_file(file, 3, order, LLM_SOURCE_READER);
#if !defined(_WIN32)
        load_test_file(file, 3, order, LLM_SOURCE_FD);
#endif
    }
}

/* ---- lies, cut files, cancelling ---------------------------------------------------------------------------------------------------- */

/* Of two NaNs the one that the program reads first is told, by name and row, whichever thread is first. */
static void load_test_first_lie(const tiny_file *good)
{
    static const struct { const char *first; uint64_t row; const char *second; } cases[] = {
        { "token_embd.weight", 250, "token_embd.weight" }, { "blk.0.attn_q.weight", 17, "blk.0.attn_v.weight" }, { "blk.1.ffn_gate.weight", 999, "blk.1.ffn_down.weight" },
        { "blk.0.attn_norm.weight", 0, "blk.0.attn_q.weight" }, { "blk.0.ffn_up.weight", 300, "blk.1.attn_norm.weight" } };
    tiny_file f = *good;
    f.data = malloc(f.size);
    for (size_t i = 0; i < LM_COUNT(cases); i++)
        for (int order = 0; order < 8; order++) {
            llm_engine *engine = load_engine(order < 4 ? 4 : 3, order < 4 ? LOAD_OWN : order % LOAD_ORDERS, 0);
            llm_source source = LLM_INIT(llm_source);
            const llm_source *part = &source;
            lm_host host;
            lm_catalogue *c = NULL;
            llm_model *model = NULL;
            const uint32_t nan = 0x7fc00000;
            char says[64];
            memset(&host, 0, sizeof host);
            lm_mem_init(&host.mem, NULL, 0);
            memcpy(f.data, good->data, f.size);
            source.kind = LLM_SOURCE_BUFFER;
            source.data = f.data;
            source.data_len = f.size;
            if (!CHECK(lm_catalogue_open(&host, &part, 1, &c, &load_error) == LLM_OK))
                continue;
            const lm_tensor *first = lm_catalogue_tensor(c, cases[i].first), *second = lm_catalogue_tensor(c, cases[i].second);
            memcpy(f.data + first->offset + cases[i].row * first->row_bytes + 8, &nan, 4);
            memcpy(f.data + second->offset + (second->n_rows - 1) * second->row_bytes + 4, &nan, 4);
            lm_catalogue_free(c);
            snprintf(says, sizeof says, "in row %d, block 2", (int)cases[i].row);
            llm_status status = llm_model_load_from(engine, &part, 1, NULL, &model, &load_error);
            CHECK_MSG(status == LLM_E_FORMAT && strcmp(load_error.subject, cases[i].first) == 0 && strstr(load_error.message, says), "%d: '%s'", status, load_error.message);
            llm_engine_info info = LLM_INIT(llm_engine_info);
            CHECK(llm_engine_get_info(engine, &info, &load_error) == LLM_OK && info.memory_used == engine->base_bytes);
            llm_engine_free(engine);
        }
    free(f.data);
}

#if !defined(_WIN32)
static int32_t load_cut(void *user, float fraction)
{
    int *cut = user;
    if (fraction > 0.3f && !*cut)
        *cut = truncate(load_path, 1 << 16) == 0;
    return 0;
}

/* Another program shortens the file while it is read. */
static void load_test_cut(const tiny_file *file)
{
    llm_engine *engine = load_engine(3, LOAD_OWN, 0);
    llm_model_desc desc = LLM_INIT(llm_model_desc);
    llm_engine_info info = LLM_INIT(llm_engine_info);
    llm_model *model = NULL;
    int cut = 0;
    load_write(file);
    desc.progress = load_cut;
    desc.user = &cut;
    llm_status status = llm_model_load(engine, load_path, LLM_NUL, &desc, &model, &load_error);
    CHECK_MSG(cut && status == LLM_E_IO && !model && strstr(load_error.message, "shorter"), "%d '%s'", status, load_error.message);
    CHECK(llm_engine_get_info(engine, &info, &load_error) == LLM_OK && info.memory_used == engine->base_bytes);
    llm_engine_free(engine);
}
#else
static void load_test_cut(const tiny_file *file) { (void)file; }
#endif

static void load_test_reader_fails(const tiny_file *file)
{
    uint32_t fail_at = 1;
    llm_status status = LLM_E_IO;
    for (; status == LLM_E_IO; fail_at += 3 + fail_at / 4) {
        llm_engine *engine = load_engine(2, LOAD_OWN, 0);
        load_reader state = { .file = file, .fail_at = fail_at };
        llm_reader reader = LLM_INIT(llm_reader);
        llm_source source = LLM_INIT(llm_source);
        const llm_source *part = &source;
        llm_model *model = NULL;
        source.kind = LLM_SOURCE_READER;
        source.reader = &reader;
        reader.size = file->size;
        reader.user = &state;
        reader.read = load_read;
        status = llm_model_load_from(engine, &part, 1, NULL, &model, &load_error);
        CHECK((status == LLM_OK) == (state.n < fail_at));
        llm_model_free(model);
        llm_engine_free(engine);
    }
    CHECK(status == LLM_OK && fail_at > 10);
}

/* ---- beside a session ------------------------------------------------------------------------------------------------------------------ */

typedef struct load_beside { llm_engine *engine; _Atomic uint32_t stop; uint32_t n_loads, n_failed; } load_beside;

static void load_beside_main(void *arg)
{
    load_beside *beside = arg;
    while (!atomic_load(&beside->stop) || beside->n_loads == 0) {
        llm_model *model = NULL;
        beside->n_failed += llm_model_load(beside->engine, load_path, LLM_NUL, NULL, &model, NULL) != LLM_OK;
        beside->n_loads++;
        llm_model_free(model);
    }
}

static uint64_t load_generate(llm_model *model, int32_t n_ctx)
{
    llm_session *s = tiny_session(model, n_ctx, LLM_STATE_TYPE_F16);
    llm_token tokens[40];
    tiny_tokens(tokens, 40, load_shape.n_vocab, 3);
    CHECK(llm_session_append(s, tokens, 40, 0, &load_error) == LLM_OK);
    CHECK(tiny_drain(s, 2000, &load_error) == LLM_OK);
    uint64_t hash = tiny_logits_hash(s);
    llm_session_free(s);
    return hash;
}

static void load_test_beside(const tiny_file *file)
{
    load_beside beside = { .engine = load_engine(2, LOAD_OWN, 0) };
    lm_thread thread;
    llm_model *model = NULL;
    load_write(file);
    if (CHECK(tiny_load(beside.engine, file, &model, &load_error) == LLM_OK)) {
        uint64_t alone = load_generate(model, 64);
        if (CHECK(lm_thread_start(&thread, load_beside_main, &beside, &load_error) == LLM_OK)) {
            for (int i = 0; i < 20; i++)
                CHECK(load_generate(model, 64) == alone);
            atomic_store(&beside.stop, 1);
            lm_thread_join(&thread);
            CHECK(beside.n_failed == 0 && beside.n_loads > 0);
        }
    }
    llm_model_free(model);
    llm_engine_free(beside.engine);
}

int main(void)
{
    static const int32_t types[] = { LLM_FILE_Q4_0, LLM_FILE_Q8_0, LLM_FILE_Q4_K_M, LLM_FILE_IQ4_XS };
    tiny_file plain = tiny_make(&load_shape);
    load_test_sources(&plain);
    for (size_t i = 0; i < LM_COUNT(types); i++) {
        tiny_file file = load_quantized(&plain, types[i]);
        load_write(&file);
        load_test_file(&file, 4, LOAD_OWN, LLM_SOURCE_PATH);
        load_test_file(&file, 4, LOAD_BACKWARDS, LLM_SOURCE_READER);
        free(file.data);
    }
    load_test_first_lie(&plain);
    load_test_cut(&plain);
    load_test_reader_fails(&plain);
    load_test_beside(&plain);
    free(plain.data);
    remove(load_path);
    return TEST_DONE();
}
