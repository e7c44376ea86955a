/* SPDX-License-Identifier: MIT
 * The linear kernels, in three proofs:
 *  1. `row` of the reference gives the bits of the gguf package (data/<type>.bin, made by tools/gen_quant_goldens.py);
 *  2. `linear` of the reference gives the bits of a plain program over the rows of the file, written here from docs/ARITHMETIC.md;
 *  3. every entry that a tier of the dispatcher changes gives the bits of the tier before it, on hostile shapes and values, in
 *     buffers with canaries around the output and, where there is mmap, an unreadable page behind every input.
 * The test asks lm_kernels_fill for its tables, so that a kernel cannot exist untested.
 *
 *     test_kernels_linear --bench [type]     the same calls, timed: GB/s of weights for one column, GOPS for many */
#include "kernels/tiers.h"

#include "kernels/kernels.h"
#include "tensor/blocks.h"
#include "tensor/type.h"
#include "base/cpu.h"
#include "base/half.h"

#include <math.h>
#include <stdint.h>
#include <time.h>

static const uint32_t types[] = {LM_TYPE_F32, LM_TYPE_F16, LM_TYPE_BF16, LM_TYPE_Q8_0, LM_TYPE_Q4_0, LM_TYPE_Q4_1, LM_TYPE_Q5_0, LM_TYPE_Q5_1, LM_TYPE_IQ4_NL, LM_TYPE_MXFP4,
                                 LM_TYPE_Q2_K, LM_TYPE_Q3_K, LM_TYPE_Q4_K, LM_TYPE_Q5_K, LM_TYPE_Q6_K, LM_TYPE_IQ4_XS};
enum { N_TYPES = sizeof types / sizeof types[0] };

/* ---- buffers that end at an unreadable page ------------------------------------------------------------------------ */

#if defined(__unix__)
#include <sys/mman.h>
#include <unistd.h>

typedef struct guarded { void *data, *map; size_t map_bytes; } guarded;

static guarded guarded_new(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (bytes + page - 1) / page * page;
    guarded g = {NULL, mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), body + page};

    if (g.map == MAP_FAILED || mprotect((char *)g.map + body, page, PROT_NONE) != 0) {
        perror("mmap");
        exit(1);
    }
    g.data = (char *)g.map + body - bytes;
    return g;
}

static void guarded_free(guarded g) { munmap(g.map, g.map_bytes); }
#else
typedef struct guarded { void *data; } guarded;

static guarded guarded_new(size_t bytes)
{
    guarded g = {malloc(bytes ? bytes : 1)};

    if (!g.data)
        exit(1);
    return g;
}

static void guarded_free(guarded g) { free(g.data); }
#endif

/* ---- random values --------------------------------------------------------------------------------------------------- */

static uint64_t random_state = 1;

static uint32_t random_u32(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

static size_t random_below(size_t n) { return random_u32() % n; }

static float random_f32(void) { return (float)((double)random_u32() / 2147483648.0 - 1.0); }

/* What the values are like. EXTREME: every field at the ends of its range. WILD: NaN, infinity and subnormal numbers among the floats. */
enum { USUAL, EXTREME, ZERO, WILD, N_MODES };

static float float_of(int mode)
{
    static const uint32_t wild[] = {0x7fc00000, 0x7f800000, 0xff800000, 1, 0x80000001, 0x007fffff, 0, 0x80000000, 0x7f7fffff, 0x00800000};

    if (mode == ZERO)
        return 0;
    if (mode == WILD && random_below(40) == 0)
        return lm_f32_from_bits(wild[random_below(sizeof wild / sizeof wild[0])]);
    return mode == EXTREME ? (random_below(2) ? 1e18f : -1e18f) : random_f32();
}

static uint16_t half_of(int mode)
{
    static const uint16_t extreme[] = {0x7bff, 0xfbff, 0x0001, 0x8001, 0x03ff};

    if (mode == ZERO)
        return 0;
    if (mode == EXTREME)
        return extreme[random_below(5)];
    return lm_f16_from_f32(random_f32() * 0.01f);
}

static void fill_bytes(void *out, size_t n, int mode)
{
    static const uint8_t extreme[] = {0x00, 0xff, 0x80, 0x7f};
    uint8_t *bytes = out, same = extreme[random_below(4)];
    int mixed = random_below(2) != 0;

    for (size_t i = 0; i < n; i++)
        bytes[i] = mode == ZERO ? 0 : mode == EXTREME ? (mixed ? extreme[random_below(4)] : same) : (uint8_t)random_u32();
}

/* One row of the file's bytes. */
static void fill_row(uint8_t *row, uint32_t type, size_t k, int mode)
{
    const lm_type_info *info = lm_type_get(type);

    for (size_t i = 0; i < k / info->block; i++, row += info->block_bytes) {
        float f = float_of(mode);
        uint16_t d = half_of(mode), dmin = half_of(mode);

        fill_bytes(row, info->block_bytes, mode);
        switch (type) {
        case LM_TYPE_F32: memcpy(row, &f, 4); break;
        case LM_TYPE_BF16: d = (uint16_t)(lm_bits_from_f32(f) >> 16); memcpy(row, &d, 2); break;
        case LM_TYPE_F16: d = mode == WILD ? lm_f16_from_f32(f) : d; memcpy(row, &d, 2); break;
        case LM_TYPE_Q6_K: memcpy(row + 208, &d, 2); break;
        case LM_TYPE_Q3_K: memcpy(row + 108, &d, 2); break;
        case LM_TYPE_Q2_K: memcpy(row + 80, &d, 2); memcpy(row + 82, &dmin, 2); break;
        case LM_TYPE_Q4_1:
        case LM_TYPE_Q5_1:
        case LM_TYPE_Q5_K:
        case LM_TYPE_Q4_K: memcpy(row + 2, &dmin, 2); memcpy(row, &d, 2); break;
        case LM_TYPE_MXFP4:                     /* any byte is a scale */
            row[0] = (uint8_t)(mode == USUAL ? 118 + random_below(8) : mode == EXTREME ? (i % 2 ? random_below(3) : 255 - random_below(3)) : row[0]);
            break;
        default: memcpy(row, &d, 2); break;
        }
    }
}

/* ---- one product: inputs, and the output with its canaries ----------------------------------------------------------- */

typedef struct product {
    uint32_t type;
    size_t n_rows, n_cols, k, row_bytes, group_bytes, y_stride;
    uint8_t *rows;                              /* file bytes */
    guarded w, f32, q, d, s32, s16;
    lm_acts x;
} product;

static product product_new(const lm_kernels *table, uint32_t type, size_t n_rows, size_t n_cols, size_t k, int mode)
{
    product p = {.type = type, .n_rows = n_rows, .n_cols = n_cols, .k = k, .group_bytes = lm_group_bytes(type, k), .y_stride = n_rows + 5};
    size_t n_groups = (n_rows + LM_GROUP - 1) / LM_GROUP, block = lm_type_get(type)->block == 256 ? 256 : 32;
    uint64_t bytes = 0;

    CHECK(lm_type_row_bytes(type, k, &bytes));
    p.row_bytes = (size_t)bytes;
    CHECK(p.group_bytes == p.row_bytes * LM_GROUP);
    p.rows = malloc(n_rows * p.row_bytes);
    for (size_t r = 0; r < n_rows; r++)
        fill_row(p.rows + r * p.row_bytes, type, k, mode);
    p.w = guarded_new(n_groups * p.group_bytes);
    for (size_t g = 0; g < n_groups; g++) {
        size_t left = n_rows - g * LM_GROUP;

        table->pack[type]((uint8_t *)p.w.data + g * p.group_bytes, p.rows + g * LM_GROUP * p.row_bytes, p.row_bytes, left < LM_GROUP ? left : LM_GROUP, k);
    }

    p.f32 = guarded_new(n_cols * k * sizeof(float));
    p.q = guarded_new(n_cols * k);
    p.d = guarded_new(n_cols * (k / block) * sizeof(float));
    p.s32 = guarded_new(n_cols * (k / 32) * sizeof(int32_t));
    p.s16 = guarded_new(n_cols * (k / 16) * sizeof(int16_t));
    for (size_t i = 0; i < n_cols * k; i++)
        ((float *)p.f32.data)[i] = float_of(mode);
    for (size_t i = 0; i < n_cols * (k / block); i++)
        ((float *)p.d.data)[i] = float_of(mode);
    for (size_t i = 0; i < n_cols * (k / block); i++) {
        int8_t *q = (int8_t *)p.q.data + i * block, same = random_below(2) ? 127 : -127;
        int mixed = random_below(2) != 0;

        for (size_t j = 0; j < block; j++)
            q[j] = (int8_t)(mode == ZERO ? 0 : mode == EXTREME ? (mixed && random_below(2) ? -same : same) : (int)random_below(255) - 127);
    }
    for (size_t i = 0; lm_type_get(type)->block > 1 && i < n_cols * k; i += 16) {
        int32_t sum = 0;

        for (size_t j = 0; j < 16; j++)
            sum += ((int8_t *)p.q.data)[i + j];
        if (block == 256)
            ((int16_t *)p.s16.data)[i / 16] = (int16_t)sum;
        else if (i % 32 == 0)
            ((int32_t *)p.s32.data)[i / 32] = sum;
        else
            ((int32_t *)p.s32.data)[i / 32] += sum;
    }
    /* Only what the type may read: a NULL shows a kernel that reads something else. */
    if (lm_type_get(type)->block == 1)
        p.x.f32 = p.f32.data;
    else if (block == 32)
        p.x.q32 = p.q.data, p.x.d32 = p.d.data, p.x.s32 = p.s32.data;
    else
        p.x.q256 = p.q.data, p.x.d256 = p.d.data, p.x.s16 = p.s16.data;
    return p;
}

static void product_free(product *p)
{
    free(p->rows);
    guarded_free(p->w);
    guarded_free(p->f32);
    guarded_free(p->q);
    guarded_free(p->d);
    guarded_free(p->s32);
    guarded_free(p->s16);
}

enum { CANARIES = 64 };
static const float canary = -12345.678f;

/* The output has 64 floats before and behind it, and five more between columns. Returns it as [n_cols][n_rows]; free(). */
static float *product_run(const product *p, const lm_kernels *table, const char *where)
{
    size_t n = p->n_cols * p->y_stride + 2 * CANARIES;
    float *y = malloc(n * sizeof(float)), *out = malloc(p->n_cols * p->n_rows * sizeof(float));
    size_t touched = 0;

    for (size_t i = 0; i < n; i++)
        y[i] = canary;
    table->linear[p->type](y + CANARIES, p->y_stride, p->w.data, p->n_rows, p->k, &p->x, p->n_cols);
    for (size_t i = 0; i < n; i++) {
        size_t at = i - CANARIES, c = at / p->y_stride, r = at % p->y_stride;

        if (i >= CANARIES && c < p->n_cols && r < p->n_rows)
            out[c * p->n_rows + r] = y[i];
        else
            touched += memcmp(&y[i], &canary, sizeof canary) != 0;
    }
    CHECK_MSG(touched == 0, "%s %s, %zu rows, %zu columns, k %zu: wrote %zu floats outside of the output", where, lm_type_get(p->type)->name, p->n_rows, p->n_cols,
              p->k, touched);
    free(y);
    return out;
}

/* Equal in bits; two NaN are equal. Shows the first difference. */
static int same_floats(const float *a, const float *b, size_t n, size_t width, const char *what)
{
    for (size_t i = 0; i < n; i++) {
        if (lm_bits_from_f32(a[i]) == lm_bits_from_f32(b[i]) || (isnan(a[i]) && isnan(b[i])))
            continue;
        fprintf(stderr, "%s: first difference at column %zu row %zu: %a (%08x), expected %a (%08x)\n", what, i / width, i % width, (double)a[i], lm_bits_from_f32(a[i]),
                (double)b[i], lm_bits_from_f32(b[i]));
        return 0;
    }
    return 1;
}

/* ---- 1: rows against the gguf package ------------------------------------------------------------------------------- */

static void test_goldens(const lm_kernels *table)
{
    for (int t = 0; t < N_TYPES; t++) {
        const char *name = lm_type_get(types[t])->name;
        char path[512], file[16] = "";
        size_t size;
        char *data;
        uint32_t head[2];

        for (size_t i = 0; name[i]; i++)
            file[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]), file[i + 1] = 0;
        snprintf(path, sizeof path, "%s/kernels/data/%s.bin", LLM_TEST_TREE, file);
        data = test_read_file(path, &size);
        if (!CHECK_MSG(data && size > 8, "cannot read %s", path))
            continue;
        memcpy(head, data, 8);
        size_t rows = head[0], k = head[1], group = lm_group_bytes(types[t], k), row_bytes = group / LM_GROUP;
        if (CHECK(size == 8 + rows * (row_bytes + k * 4))) {
            guarded w = guarded_new((rows + LM_GROUP - 1) / LM_GROUP * group), y = guarded_new(k * sizeof(float));
            float *expected = malloc(k * sizeof(float));

            for (size_t r = 0; r < rows; r += LM_GROUP)
                table->pack[types[t]]((char *)w.data + r / LM_GROUP * group, data + 8 + r * row_bytes, row_bytes, rows - r < LM_GROUP ? rows - r : LM_GROUP, k);
            for (size_t r = 0; r < rows; r++) {
                memcpy(expected, data + 8 + rows * row_bytes + r * k * 4, k * 4);
                table->row[types[t]](y.data, w.data, r, k);
                CHECK_MSG(same_floats(y.data, expected, k, k, name), "%s: row %zu is not gguf's", name, r);
            }
            guarded_free(w);
            guarded_free(y);
            free(expected);
        }
        free(data);
    }
}

/* ---- 2: the text of docs/ARITHMETIC.md, over the rows of the file ---------------------------------------------------- */

static float half_at(const uint8_t *p) { return lm_f32_from_f16((uint16_t)(p[0] | p[1] << 8)); }

static const int plain_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int plain_mxfp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static float plain_block_32(uint32_t type, float acc, const uint8_t *b, const lm_acts *x, size_t at)
{
    const int with_min = type == LM_TYPE_Q4_1 || type == LM_TYPE_Q5_1, five = type == LM_TYPE_Q5_0 || type == LM_TYPE_Q5_1;
    const uint8_t *qh = b + (with_min ? 4 : 2), *qs = type == LM_TYPE_MXFP4 ? b + 1 : five ? qh + 4 : qh;
    float d = type == LM_TYPE_MXFP4 ? (float)ldexp(1, b[0] - 128) : half_at(b);
    int64_t isum = 0, ones = 0;

    for (int i = 0; i < 32; i++) {
        int q = i < 16 ? qs[i] % 16 : qs[i - 16] / 16;

        if (five)
            q += 16 * ((qh[i / 8] >> (i % 8)) & 1);
        if (type == LM_TYPE_Q5_0)
            q -= 16;
        if (type == LM_TYPE_IQ4_NL)
            q = plain_iq4[q];
        if (type == LM_TYPE_MXFP4)
            q = plain_mxfp4[q];
        isum += q * x->q32[at + (size_t)i];
        ones += x->q32[at + (size_t)i];
    }
    d = d * x->d32[at / 32];
    acc = fmaf((float)isum, d, acc);
    if (with_min) {
        float m = half_at(b + 2) * x->d32[at / 32];
        acc = fmaf((float)ones, m, acc);
    }
    return acc;
}

/* Value i of the block, its scale and its minimum, each where the file has its bits. */
static float plain_block_256(uint32_t type, float acc, const uint8_t *b, const lm_acts *x, size_t at)
{
    const int with_min = type == LM_TYPE_Q2_K || type == LM_TYPE_Q5_K;
    float d = half_at(type == LM_TYPE_Q2_K ? b + 80 : type == LM_TYPE_Q3_K ? b + 108 : b), dmin = half_at(type == LM_TYPE_Q2_K ? b + 82 : b + 2);
    int64_t isum = 0, msum = 0;

    for (int i = 0; i < 256; i++) {
        int q = 0, scale = 0, min = 0, half = i / 128, l = i % 32, s16 = i / 16, s32 = i / 32;
        uint8_t sc, mn;

        switch (type) {
        case LM_TYPE_Q2_K:
            q = (b[16 + 32 * half + l] >> (i % 128 / 32 * 2)) & 3;
            scale = b[s16] & 15;
            min = b[s16] >> 4;
            break;
        case LM_TYPE_Q3_K:
            q = ((b[32 + 32 * half + l] >> (i % 128 / 32 * 2)) & 3) - ((b[l] >> s32) & 1 ? 0 : 4);
            scale = ((s16 < 8 ? b[96 + s16] & 15 : b[96 + s16 - 8] >> 4) | ((b[104 + s16 % 4] >> (2 * (s16 / 4))) & 3) * 16) - 32;
            break;
        case LM_TYPE_Q5_K:
            lm_q4k_scale(b + 4, s32, &sc, &mn);
            scale = sc;
            min = mn;
            q = (s32 % 2 ? b[48 + s32 / 2 * 32 + l] >> 4 : b[48 + s32 / 2 * 32 + l] & 15) + 16 * ((b[16 + l] >> s32) & 1);
            break;
        default:
            scale = (((b[4 + s32 / 2] >> (s32 % 2 * 4)) & 15) | (((b[2] | b[3] << 8) >> (2 * s32)) & 3) * 16) - 32;
            q = plain_iq4[l < 16 ? b[8 + 16 * s32 + l] & 15 : b[8 + 16 * s32 + l - 16] >> 4];
            break;
        }
        isum += scale * q * x->q256[at + (size_t)i];
        msum += min * x->q256[at + (size_t)i];
    }
    d = d * x->d256[at / 256];
    acc = fmaf((float)isum, d, acc);
    if (with_min) {
        dmin = dmin * x->d256[at / 256];
        acc = fmaf((float)msum, -dmin, acc);
    }
    return acc;
}

static float plain_block(uint32_t type, float acc, const uint8_t *b, const lm_acts *x, size_t at)
{
    int64_t isum = 0, msum = 0;
    float product_of_scales;

    switch (type) {
    case LM_TYPE_F32: {
        float w;
        memcpy(&w, b, 4);
        return fmaf(w, x->f32[at], acc);
    }
    case LM_TYPE_F16:
        return fmaf(half_at(b), x->f32[at], acc);
    case LM_TYPE_BF16:
        return fmaf(lm_f32_from_bits((uint32_t)(b[0] | b[1] << 8) << 16), x->f32[at], acc);
    case LM_TYPE_Q8_0:
        for (size_t i = 0; i < 32; i++)
            isum += (int8_t)b[2 + i] * x->q32[at + i];
        product_of_scales = half_at(b) * x->d32[at / 32];
        return fmaf((float)isum, product_of_scales, acc);
    case LM_TYPE_Q4_0:
        for (size_t i = 0; i < 16; i++)
            isum += ((b[2 + i] & 15) - 8) * x->q32[at + i] + ((b[2 + i] >> 4) - 8) * x->q32[at + 16 + i];
        product_of_scales = half_at(b) * x->d32[at / 32];
        return fmaf((float)isum, product_of_scales, acc);
    case LM_TYPE_Q4_K:
        for (int j = 0; j < 8; j++) {
            uint8_t scale, min;
            int64_t sum = 0, ones = 0;

            lm_q4k_scale(b + 4, j, &scale, &min);
            for (int i = 0; i < 32; i++) {
                uint8_t byte = b[16 + 32 * (j / 2) + i];
                int8_t q = x->q256[at + (size_t)(32 * j + i)];

                sum += (j % 2 ? byte >> 4 : byte & 15) * q;
                ones += q;
            }
            isum += scale * sum;
            msum += min * ones;
        }
        product_of_scales = half_at(b) * x->d256[at / 256];
        acc = fmaf((float)isum, product_of_scales, acc);
        product_of_scales = half_at(b + 2) * x->d256[at / 256];
        return fmaf((float)msum, -product_of_scales, acc);
    case LM_TYPE_Q4_1:
    case LM_TYPE_Q5_0:
    case LM_TYPE_Q5_1:
    case LM_TYPE_IQ4_NL:
    case LM_TYPE_MXFP4:
        return plain_block_32(type, acc, b, x, at);
    case LM_TYPE_Q2_K:
    case LM_TYPE_Q3_K:
    case LM_TYPE_Q5_K:
    case LM_TYPE_IQ4_XS:
        return plain_block_256(type, acc, b, x, at);
    default:                                    /* Q6_K: value i of the block, wherever its bits are */
        for (size_t i = 0; i < 256; i++) {
            size_t half = i / 128, quarter = i % 128 / 32, j = i % 32;
            int lo = b[64 * half + 32 * (quarter % 2) + j], hi = b[128 + 32 * half + j];
            int q = (quarter < 2 ? lo & 15 : lo >> 4) + ((hi >> (2 * quarter)) & 3) * 16 - 32;

            isum += (int8_t)b[192 + i / 16] * q * x->q256[at + i];
        }
        product_of_scales = half_at(b + 208) * x->d256[at / 256];
        return fmaf((float)isum, product_of_scales, acc);
    }
}

static float *plain_run(const product *p)
{
    const lm_type_info *info = lm_type_get(p->type);
    float *out = malloc(p->n_cols * p->n_rows * sizeof(float));

    for (size_t c = 0; c < p->n_cols; c++)
        for (size_t r = 0; r < p->n_rows; r++) {
            float acc = 0;

            for (size_t i = 0; i < p->k; i += info->block)
                acc = plain_block(p->type, acc, p->rows + r * p->row_bytes + i / info->block * info->block_bytes, &p->x, c * p->k + i);
            out[c * p->n_rows + r] = acc;
        }
    return out;
}

static size_t random_k(uint32_t type)
{
    uint32_t block = lm_type_get(type)->block;

    return block == 1 ? 1 + random_below(200) : block * (1 + random_below(block == 32 ? 20 : 4));
}

static void test_reference(const lm_kernels *table)
{
    for (int t = 0; t < N_TYPES; t++)
        for (int i = 0; i < (TEST_EMULATED ? 12 : 40); i++) {
            product p = product_new(table, types[t], 1 + random_below(20), 1 + random_below(4), random_k(types[t]), i % N_MODES);
            float *expected = plain_run(&p), *y = product_run(&p, table, "reference");

            CHECK_MSG(same_floats(y, expected, p.n_rows * p.n_cols, p.n_rows, lm_type_get(types[t])->name), "%s: the reference is not docs/ARITHMETIC.md",
                      lm_type_get(types[t])->name);
            free(expected);
            free(y);
            product_free(&p);
        }
}

/* ---- 3: tier against tier -------------------------------------------------------------------------------------------- */

static void compare_linear(const lm_kernels *proven, const lm_kernels *table, uint32_t type)
{
    const char *name = lm_type_get(type)->name;
    uint32_t block = lm_type_get(type)->block;

    for (int i = 0; i < (TEST_EMULATED ? 100 : 400); i++) {
        /* every number of columns up to 40, a few large; every number of rows up to 40 */
        size_t n_rows = i < 40 ? (size_t)i + 1 : 1 + random_below(70), n_cols = i < 80 ? (size_t)i % 40 + 1 : i % 50 == 0 ? 100 + random_below(200) : 1 + random_below(40);
        size_t k = i % 100 == 99 ? block * (block == 1 ? 4096 : block == 32 ? 128 : 16) : random_k(type);
        product p = product_new(proven, type, n_rows, n_cols, k, i % N_MODES);
        float *expected = product_run(&p, proven, proven->name), *y = product_run(&p, table, table->name);
        int same = same_floats(y, expected, n_rows * n_cols, n_rows, name);

        CHECK_MSG(same, "%s %s, %zu rows, %zu columns, k %zu, mode %d: not the bits of %s", table->name, name, n_rows, n_cols, k, i % N_MODES, proven->name);
        free(expected);
        free(y);
        product_free(&p);
        if (!same)
            return;
    }
    /* products so deep that a tier walks over its columns in blocks: what a last block may be */
    static const uint8_t cols[] = {17, 25, 18, 19, 20, 26, 29, 30, 31};
    for (size_t i = 0; i < (TEST_EMULATED ? 2 : sizeof cols); i++) {
        size_t n_rows = 3, n_cols = cols[i], k = block == 1 ? 8192 : 24576;
        product p = product_new(proven, type, n_rows, n_cols, k, 0);
        float *expected = product_run(&p, proven, proven->name), *y = product_run(&p, table, table->name);

        CHECK_MSG(same_floats(y, expected, n_rows * n_cols, n_rows, name), "%s %s, %zu columns, k %zu: not the bits of %s", table->name, name, n_cols, k, proven->name);
        free(expected);
        free(y);
        product_free(&p);
    }
}

/* Any bytes, in rows that end where nothing may be read, into memory that ends where nothing may be written. */
static void compare_pack(const lm_kernels *proven, const lm_kernels *table, uint32_t type)
{
    for (int i = 0; i < 30; i++) {
        size_t n_rows = i % 3 ? 1 + random_below(LM_GROUP) : LM_GROUP, k = random_k(type), bytes = lm_group_bytes(type, k);
        size_t row_bytes = bytes / LM_GROUP + random_below(3) * 2, size = (n_rows - 1) * row_bytes + bytes / LM_GROUP;
        guarded rows = guarded_new(size), a = guarded_new(bytes), b = guarded_new(bytes);

        for (size_t at = 0; at < size; at++)
            ((uint8_t *)rows.data)[at] = (uint8_t)random_below(256);
        memset(a.data, 0xa5, bytes);
        memset(b.data, 0x5a, bytes);
        proven->pack[type](a.data, rows.data, row_bytes, n_rows, k);
        table->pack[type](b.data, rows.data, row_bytes, n_rows, k);
        CHECK_MSG(memcmp(a.data, b.data, bytes) == 0, "%s %s: pack of %zu rows, k %zu", table->name, lm_type_get(type)->name, n_rows, k);
        guarded_free(rows);
        guarded_free(a);
        guarded_free(b);
    }
}

static void compare_row(const lm_kernels *proven, const lm_kernels *table, uint32_t type)
{
    for (int i = 0; i < 60; i++) {
        product p = product_new(proven, type, 1 + random_below(40), 1, random_k(type), i % N_MODES);
        guarded a = guarded_new(p.k * sizeof(float)), b = guarded_new(p.k * sizeof(float));
        size_t row = random_below(p.n_rows);

        proven->row[type](a.data, p.w.data, row, p.k);
        table->row[type](b.data, p.w.data, row, p.k);
        CHECK_MSG(same_floats(b.data, a.data, p.k, p.k, "row"), "%s %s: row %zu, k %zu", table->name, lm_type_get(type)->name, row, p.k);
        guarded_free(a);
        guarded_free(b);
        product_free(&p);
    }
}

static void test_tiers(void)
{
    for (int i = 1; i < tiers_count; i++) {
        const lm_kernels *proven = &tiers_table[i - 1], *table = &tiers_table[i];
        int n = 0;

        for (int t = 0; t < N_TYPES; t++) {
            uint32_t type = types[t];

            if (table->linear[type] != proven->linear[type])
                compare_linear(proven, table, type), n++;
            if (table->pack[type] != proven->pack[type])
                compare_pack(proven, table, type), n++;
            if (table->row[type] != proven->row[type])
                compare_row(proven, table, type), n++;
        }
        if (n)
            printf("%s: %d new entries\n", table->name, n);
    }
}

/* Types without kernels have no entry, and an entry has all three. */
static void test_table(const lm_kernels *table)
{
    for (uint32_t type = 0; type < LM_KERNEL_TYPES; type++) {
        int computes = lm_type_get(type) != NULL && lm_type_get(type)->computes;

        CHECK((table->linear[type] != NULL) == computes);
        CHECK((table->pack[type] != NULL) == computes);
        CHECK((table->row[type] != NULL) == computes);
        CHECK((lm_group_bytes(type, 256) != 0) == computes);
    }
}

/* ---- bench ----------------------------------------------------------------------------------------------------------- */

/* Of this process's own, so that neighbours on the machine disturb less. */
static double seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* Best of several: seconds of one call for n_cols columns, called in tasks of 128 rows. */
static double bench_linear(const lm_kernels *table, const product *p, float *y, size_t n_cols)
{
    double best = 1e9, start = seconds();

    for (int i = 0; i < 20 && (i < 3 || seconds() - start < 0.6); i++) {
        double t = seconds();

        for (size_t r = 0; r < p->n_rows; r += 128)
            table->linear[p->type](y + r, p->n_rows, (uint8_t *)p->w.data + r / LM_GROUP * p->group_bytes, p->n_rows - r < 128 ? p->n_rows - r : 128, p->k, &p->x, n_cols);
        t = seconds() - t;
        best = t < best ? t : best;
    }
    return best;
}

static void bench(const char *only)
{
    enum { COLS = 512, K = 2048 };

    printf("%-10s %-6s %12s %12s %12s %12s %12s\n", "tier", "type", "1 col GB/s", "2 col GB/s", "8 col GOPS", "64 col GOPS", "512 col GOPS");
    for (int t = 0; t < N_TYPES; t++) {
        lm_kernels reference;
        uint32_t type = types[t];

        if (only && strcmp(only, lm_type_get(type)->name) != 0)
            continue;
        lm_kernels_fill(&reference, 0, 0);
        product few = product_new(&reference, type, 512, COLS, K, USUAL), many = product_new(&reference, type, 65536, 2, K, USUAL);
        float *y = malloc(sizeof(float) * 65536 * 8);

        memset(y, 0, sizeof(float) * 65536 * 8);
        for (int i = 0; i < tiers_count; i++) {
            const lm_kernels *table = &tiers_table[i];

            if (i > 0 && table->linear[type] == tiers_table[i - 1].linear[type])
                continue;
            int slow = i == 0;
            double bytes = (double)many.group_bytes * 65536 / LM_GROUP * 1e-9, ops = 2e-9 * 512 * K;

            printf("%-10s %-6s", table->name, lm_type_get(type)->name);
            printf(" %12.2f %12.2f", bytes / bench_linear(table, &many, y, 1), slow ? 0 : bytes / bench_linear(table, &many, y, 2));
            printf(" %12.1f %12.1f", ops * 8 / bench_linear(table, &few, y, 8), slow ? 0 : ops * 64 / bench_linear(table, &few, y, 64));
            printf(" %12.1f\n", slow ? 0 : ops * COLS / bench_linear(table, &few, y, COLS));
            fflush(stdout);
        }
        free(y);
        product_free(&few);
        product_free(&many);
    }
}

int main(int argc, char **argv)
{
    lm_kernels reference;

    tiers_init(offsetof(lm_kernels, linear), offsetof(lm_kernels, quantize_32));
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench(argc > 2 ? argv[2] : NULL);
        return 0;
    }
    lm_kernels_fill(&reference, 0, 0);
    test_table(&reference);
    test_goldens(&reference);
    test_reference(&reference);
    test_tiers();
    return TEST_DONE();
}
