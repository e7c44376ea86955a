/* SPDX-License-Identifier: MIT
 * Quantizing rows: the bytes of the `gguf` package where it has them; elsewhere errors no greater than those of ggml's quantizers, on matrices
 * that both sides make and on the trained models (tools/gen_quantize_goldens.py); a pinned hash of the bytes, which every machine must give;
 * values at the ends of their range. */
#include "tensor/quantize.h"

#include "files/catalogue.h"
#include "kernels/kernels.h"

#include "tensor/blocks.h"

#include "base/half.h"

#include "test.h"

enum { ROWS = 64, FIRST = 4, COLS = 512, SETS = 5 };

static lm_kernels kernels;

/* ---- the generator, as the script has it */

typedef struct draws { uint32_t state; } draws;

static uint32_t draw(draws *d)
{
    d->state = d->state * 1664525u + 1013904223u;
    return d->state >> 16;
}

static float bell(draws *d)
{
    int32_t sum = -6 * 65535;
    for (int i = 0; i < 12; i++)
        sum += (int32_t)draw(d);
    return (float)sum * 0x1p-20f;
}

static float *make_matrix(int kind)
{
    draws d = { 7 + (uint32_t)kind };
    float *x = malloc(ROWS * COLS * sizeof *x), size = 1;
    for (int i = 0; i < ROWS * COLS; i++) {
        if (kind == 3 && i % 32 == 0)
            size = (float)(1u << draw(&d) % 6);
        x[i] = bell(&d);
        if (kind == 1)
            x[i] *= (float)draw(&d) * 0x1p-15f;
        if (kind == 2 && i % 211 == 0)
            x[i] *= 24;
        if (kind == 3)
            x[i] *= size;
        if (kind == 4)
            x[i] += 0.125f;
    }
    return x;
}

static float *make_weights(size_t n)
{
    draws d = { 99 };
    float *w = malloc(n * sizeof *w);
    for (size_t i = 0; i < n; i++) {
        float root = (float)(1 + (draw(&d) >> 9));
        w[i] = root * root;
    }
    return w;
}

/* ---- rows back to f32: the reference kernels, which the gguf package's goldens prove */

static void row_back(uint32_t type, const void *row, size_t n, float *y)
{
    uint64_t bytes;
    lm_type_row_bytes(type, n, &bytes);
    void *group = malloc(lm_group_bytes(type, n));
    kernels.pack[type](group, row, (size_t)bytes, 1, n);
    kernels.row[type](y, group, 0, n);
    free(group);
}

static double row_error(uint32_t type, const float *x, const float *w, size_t n, void *bytes, float *y)
{
    double sum = 0;
    lm_quantize_row(type, x, w, n, bytes);
    row_back(type, bytes, n, y);
    for (size_t i = 0; i < n; i++) {
        double e = (double)y[i] - (double)x[i];
        sum += e * e * (w ? (double)w[i] : 1);
    }
    return sum;
}

static uint64_t hash_bytes(uint64_t hash, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

/* ---- goldens */

static void test_plain(void)
{
    static const uint32_t types[] = { LM_TYPE_F16, LM_TYPE_BF16, LM_TYPE_Q8_0, LM_TYPE_Q4_0, LM_TYPE_Q4_1, LM_TYPE_Q5_0, LM_TYPE_Q5_1 };
    size_t size, at;
    char *data = test_read_file(LLM_TEST_TREE "/tensor/data/plain.bin", &size);
    uint32_t n;
    if (!CHECK(data && size > 4))
        return;
    memcpy(&n, data, 4);
    const float *x = (const float *)(const void *)(data + 4);
    at = 4 + (size_t)n * 4;
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        uint64_t bytes = 0;
        CHECK(lm_quantize_can(types[t]) && lm_type_row_bytes(types[t], n, &bytes) && at + bytes <= size);
        unsigned char *ours = malloc((size_t)bytes);
        lm_quantize_row(types[t], x, NULL, n, ours);
        const lm_type_info *info = lm_type_get(types[t]);
        for (uint64_t i = 0; i < n / info->block; i++)
            if (!CHECK_MSG(memcmp(ours + i * info->block_bytes, data + at + i * info->block_bytes, info->block_bytes) == 0, "%s: block %u differs from the gguf package's", info->name, (unsigned)i))
                break;
        free(ours);
        at += (size_t)bytes;
    }
    CHECK(at == size);
    free(data);
}

/* ---- errors */

/* A trained model's matrices as one, 1024 values a row; NULL if the file is not there. */
static float *read_model(const char *name, size_t *rows)
{
    static const struct { const char *name, *path; } models[] = {
        { "stories260K", LLM_TEST_DATA "/models/stories260K-f32.gguf" }, { "babyllama", LLM_TEST_DATA "/models/babyllama-tok105-f32.gguf" } };
    lm_host host;
    llm_error error;
    size_t n = 0;
    float *values = NULL;
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        llm_source source = LLM_INIT(llm_source);
        const llm_source *part = &source;
        lm_catalogue *c = NULL;
        if (strcmp(models[m].name, name) != 0)
            continue;
        memset(&host, 0, sizeof host);
        lm_mem_init(&host.mem, NULL, 0);
        source.path = models[m].path;
        source.path_len = LLM_NUL;
        if (lm_catalogue_open(&host, &part, 1, &c, &error) != LLM_OK)
            return NULL;
        values = malloc((size_t)c->file_bytes);
        for (size_t i = 0; i < c->n_tensors; i++)
            if (c->tensors[i].n_dims > 1) {
                CHECK(c->tensors[i].type == LM_TYPE_F32 && lm_catalogue_rows(c, &c->tensors[i], 0, c->tensors[i].n_rows, values + n, &error) == LLM_OK);
                n += (size_t)(c->tensors[i].bytes / 4);
            }
        lm_catalogue_free(c);
    }
    *rows = n / 1024;
    return values;
}

static void test_errors(void)
{
    size_t size, rows = 0, cols = 0;
    char *text = test_read_file(LLM_TEST_TREE "/tensor/data/errors.txt", &size), last[32] = "", name[32];
    float *x = NULL, *w = NULL, *y = NULL;
    unsigned char *bytes = NULL;
    uint64_t hash = 0xcbf29ce484222325u, first = hash;
    if (!CHECK(text != NULL))
        return;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned type, weighted;
        double theirs, ours = 0;
        uint64_t row_bytes;
        if (!CHECK(sscanf(line, "%31s %u %u %lf", name, &type, &weighted, &theirs) == 4))
            break;
        if (strcmp(name, last) != 0) {
            free(x), free(w), free(y), free(bytes);
            bool made = name[0] >= '0' && name[0] <= '9';
            rows = ROWS;
            cols = made ? COLS : 1024;
            x = made ? make_matrix(atoi(name)) : TEST_EMULATED ? NULL : read_model(name, &rows);
            w = make_weights(cols);
            y = malloc(cols * sizeof *y);
            bytes = malloc(cols * 4);
            if (!x && !TEST_EMULATED)
                fprintf(stderr, "skipped: the model %s is not there\n", name);
            strcpy(last, name);
        }
        if (!x)
            continue;
        lm_type_row_bytes(type, cols, &row_bytes);
        for (size_t r = 0; r < (TEST_EMULATED ? FIRST : rows); r++) {
            ours += row_error(type, x + r * cols, weighted ? w : NULL, cols, bytes, y);
            if (name[0] <= '9')
                hash = hash_bytes(hash, bytes, (size_t)row_bytes);
            if (name[0] <= '9' && r < FIRST)
                first = hash_bytes(first, bytes, (size_t)row_bytes);
        }
        if (TEST_EMULATED)                                  /* not all rows: no sum to compare */
            continue;
        printf("%-12s %-6s %s %.4f of ggml's error\n", name, lm_type_get(type)->name, weighted ? "weighted" : "plain   ", ours / theirs);
        CHECK_MSG(ours <= theirs, "%s, type %s, %s: an error of %.9g, ggml has %.9g", name, lm_type_get(type)->name, weighted ? "weighted" : "plain", ours, theirs);
    }
    free(x), free(w), free(y), free(bytes), free(text);
    /* One arithmetic: this machine gives the bytes of all others. Changing the search changes it, and only that may. The first rows have a
     * hash of their own, which is all that an emulated processor is asked for. */
    CHECK_MSG(first == 0xb44af49b1ad7e950u, "the bytes of the first rows hash to 0x%016llx", (unsigned long long)first);
    if (!TEST_EMULATED)
        CHECK_MSG(hash == 0x10119961c25185e1u, "the bytes hash to 0x%016llx", (unsigned long long)hash);
}

/* ---- ends */

static void test_ends(void)
{
    static const uint32_t types[] = { LM_TYPE_Q4_K, LM_TYPE_Q5_K, LM_TYPE_Q6_K, LM_TYPE_IQ4_XS, LM_TYPE_IQ4_NL, LM_TYPE_Q4_0, LM_TYPE_Q4_1, LM_TYPE_Q5_0, LM_TYPE_Q5_1, LM_TYPE_Q8_0 };
    static const float sizes[] = { 0, -0.0f, 1e-45f, 1e-39f, 1e-20f, 1e-6f, 1, 1000, 3e4f, 1e6f, 3.4e38f };
    static float x[256], y[256], w[256];
    unsigned char bytes[512];
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
            for (int shape = 0; shape < 6; shape++)
                for (int weighted = 0; weighted < 4; weighted += TEST_EMULATED ? 3 : 1) {
                    double sum = 0, error = 0;
                    uint64_t bad;
                    for (int i = 0; i < 256; i++) {
                        static const float part[6][4] = { { 1, 1, 1, 1 }, { -1, -1, -1, -1 }, { 1, -1, 1, -1 }, { 1, 0.5f, -0.25f, 0 }, { 0, 0, 0, 1e-7f }, { 1, 0.999f, 0.998f, 0.997f } };
                        x[i] = sizes[s] * part[shape][i % 4];
                        w[i] = weighted == 1 ? (float)(i % 3) : weighted == 2 ? 0 : 1e30f * (float)(i % 2);
                    }
                    lm_quantize_row(types[t], x, weighted ? w : NULL, 256, bytes);
                    if (!lm_type_row_finite(types[t], bytes, 256, &bad)) {
                        CHECK_MSG(sizes[s] > 1e5f, "%s: %g became infinite", lm_type_get(types[t])->name, (double)sizes[s]);
                        continue;
                    }
                    row_back(types[t], bytes, 256, y);
                    for (int i = 0; i < 256; i++) {
                        sum += (double)x[i] * x[i];
                        error += ((double)y[i] - x[i]) * ((double)y[i] - x[i]);
                    }
                    if (sizes[s] >= 1 && !weighted && shape != 4)
                        CHECK_MSG(error <= 0.01 * sum, "%s, size %g, shape %d: error %g of %g", lm_type_get(types[t])->name, (double)sizes[s], shape, error, sum);
                    if (sizes[s] < 1e-30f)
                        CHECK(error <= sum);
                }
    CHECK(!lm_quantize_can(LM_TYPE_Q2_K) && !lm_quantize_can(LM_TYPE_I32) && !lm_quantize_can(4) && lm_quantize_can(LM_TYPE_F32));
    CHECK(lm_quantize_plain(LM_TYPE_BF16) && !lm_quantize_plain(LM_TYPE_Q8_0));
}

/* F16 and BF16 widened and made again are what they were; rows cut anywhere between blocks give the same bytes. */
static void test_rows(void)
{
    float *x = make_matrix(0), wide[256];
    uint16_t halves[256], again[256];
    unsigned char whole[4096], cut[4096];
    for (uint32_t type = LM_TYPE_F16; type <= LM_TYPE_BF16; type += LM_TYPE_BF16 - LM_TYPE_F16) {
        lm_quantize_row(type, x, NULL, 256, halves);
        lm_quantize_widen(type, halves, 256, wide);
        lm_quantize_row(type, wide, NULL, 256, again);
        CHECK(memcmp(halves, again, sizeof halves) == 0);
    }
    lm_quantize_row(LM_TYPE_Q4_K, x, NULL, 1024, whole);
    for (int i = 0; i < 4; i++)
        lm_quantize_row(LM_TYPE_Q4_K, x + 256 * i, NULL, 256, cut + 144 * i);
    CHECK(memcmp(whole, cut, 4 * 144) == 0);
    free(x);
}

int main(void)
{
    lm_kernels_fill(&kernels, 0, LM_TIER_REFERENCE);
    test_plain();
    test_errors();
    test_ends();
    test_rows();
    return TEST_DONE();
}
