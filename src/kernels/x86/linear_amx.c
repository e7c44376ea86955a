/* SPDX-License-Identifier: MIT
 * Products of many columns for AMX. Bits: those of the reference kernels. Threads: any; nothing is kept, the tiles are released at the end.
 *
 * A tile product multiplies 16 columns of x (the rows of tile A) by 16 rows of weights (the lanes of tile B, in the layout that they are packed
 * in), and its sums come back through memory. As in linear_avx512.h a part of a group is unpacked into a panel in the first-level cache,
 * over which all columns pass. Fewer than 16 columns, what is left of them, and Q4_1, Q5_1 and Q2_K, which would need code of their own for
 * little use, are AVX-512's.
 *
 *  - Blocks of 32: one tile product of 32 values for each scale, then a conversion and an addition in floats for 16 columns. The second part
 *    costs more than the first, so they overlap: while block i is added, i + 1 is stored, i + 3 multiplied and i + 4 loaded, across the
 *    borders of tiles of columns.
 *  - Blocks of 256: sub-blocks have integer scales, which are multiplied into the weights, so that four tile products of 64 values and one
 *    addition do. sc q takes two bytes: for Q4_K and Q5_K, where nothing is negative, (sc & 7) q + 8 (sc >> 3) q, else the low 7 bits
 *    and the rest, signed. So there are two products, and their sums are put together exactly, as int32.
 *
 * Tiles: 0 to 3 sums, 4 and 5 columns of x, 6 and 7 weights. */
#include "kernels/x86/formats_avx512.h"

#include "tensor/type.h"

LM_EXACT_ARITHMETIC

#if LM_X86_AMX
LM_TARGET_AMX

enum {
    LINEAR_AMX_COLS = 16,
    LINEAR_AMX_VALUES32 = 512                   /* values of k in a panel */
};

typedef struct linear_amx_shapes { uint8_t palette, start, zero[14]; uint16_t row_bytes[16]; uint8_t rows[16]; } linear_amx_shapes;

static const linear_amx_shapes linear_amx_by_32 = {1, 0, {0}, {64, 64, 64, 64, 32, 32, 64, 64}, {16, 16, 16, 16, 16, 16, 8, 8}};
static const linear_amx_shapes linear_amx_by_64 = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

/* Tile loads do not tell the compiler that they read memory; and what is written between two tile instructions shall stay there. */
#define LINEAR_AMX_HERE() __asm__ volatile("" ::: "memory")

typedef int32_t linear_amx_sums[LINEAR_AMX_COLS][16];          /* [column][row] */

/* What a product is given, for all of its columns; y, x from the first column of the block of columns on. */
typedef struct linear_amx_job {
    float *y;
    size_t y_stride, k;
    lm_acts x;
    __mmask16 mask;                             /* rows that there are */
} linear_amx_job;

LM_INLINE void linear_amx_get(__m512 acc[LINEAR_AMX_COLS], const linear_amx_job *job, size_t c, size_t at)
{
    LM_UNROLL
    for (size_t j = 0; j < LINEAR_AMX_COLS; j++)
        acc[j] = at == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(job->mask, job->y + (c + j) * job->y_stride);
}

LM_INLINE void linear_amx_put(const __m512 acc[LINEAR_AMX_COLS], const linear_amx_job *job, size_t c)
{
    LM_UNROLL
    for (size_t j = 0; j < LINEAR_AMX_COLS; j++)
        _mm512_mask_storeu_ps(job->y + (c + j) * job->y_stride, job->mask, acc[j]);
}

/* ---- blocks of 32 ------------------------------------------------------------------------------------------------------- */

typedef struct linear_amx_panel32 {
    _Alignas(64) int8_t q[LINEAR_AMX_VALUES32 / 4][64];         /* [4 values][row][4] */
    _Alignas(64) float d[LINEAR_AMX_VALUES32 / 32][16];
} linear_amx_panel32;

LM_INLINE void linear_amx_keep32(linear_amx_panel32 *p, size_t i, const __m512i v[8], __m512 d, const int bias)
{
    _mm512_store_ps(p->d[i], d);
    LM_UNROLL
    for (int l = 0; l < 8; l++)
        _mm512_store_si512(p->q[8 * i + (size_t)l], _mm512_sub_epi8(v[l], _mm512_set1_epi8((char)bias)));
}

/* Adds block i to a quarter of 16 columns, whose scales begin at d, a column every `stride`. */
LM_INLINE void linear_amx_add32(__m512 acc[LINEAR_AMX_COLS], const linear_amx_panel32 *p, size_t i, linear_amx_sums sums, size_t quarter, const float *d, size_t stride)
{
    const __m512 dw = _mm512_load_ps(p->d[i]);

    LINEAR_AMX_HERE();
    LM_UNROLL
    for (size_t j = 4 * quarter; j < 4 * quarter + 4; j++)
        acc[j] = linear512_fma_int(_mm512_load_si512(sums[j]), _mm512_mul_ps(dw, _mm512_set1_ps(d[j * stride + i])), acc[j]);
    LINEAR_AMX_HERE();
}

/* Tiles A and B take block i of the columns at x and of the panel; C multiplies them. Numbers of tiles must be literals. */
#define LINEAR_AMX_LOAD32(A, B, x, i)           \
    do {                                        \
        _tile_loadd(A, (x) + 32 * (i), k);      \
        _tile_loadd(B, p->q[8 * (i)], 64);      \
    } while (0)
#define LINEAR_AMX_MULTIPLY32(C, A, B)          \
    do {                                        \
        _tile_zero(C);                          \
        _tile_dpbssd(C, A, B);                  \
    } while (0)

/* Block i is added, i + 1 stored, i + 3 multiplied, i + 4 (which is i4 of the columns at x4) loaded: a step waits for none of its own, and its
 * four parts stand mixed, so that a core shared by two threads, which looks half as far ahead, finds work as well. */
#define LINEAR_AMX_STEP32(i, e, STORE, MULTIPLY, A_FROM, B_FROM, A_TO, B_TO)                    \
    do {                                                                                        \
        _tile_stored(STORE, sums[STORE], 64);                                                   \
        linear_amx_add32(acc, p, (i) + (e), sums[e], 0, d, stride);                     \
        LINEAR_AMX_MULTIPLY32(MULTIPLY, A_FROM, B_FROM);                                        \
        linear_amx_add32(acc, p, (i) + (e), sums[e], 1, d, stride);                     \
        _tile_loadd(A_TO, x4 + 32 * (i4 + (e)), k);                                             \
        linear_amx_add32(acc, p, (i) + (e), sums[e], 2, d, stride);                     \
        _tile_loadd(B_TO, p->q[8 * (i4 + (e))], 64);                                            \
        linear_amx_add32(acc, p, (i) + (e), sums[e], 3, d, stride);                     \
    } while (0)

/* The panel of the values [at, at + 32 n) times n_cols columns. */
LM_NOINLINE static void linear_amx_columns32(const linear_amx_panel32 *p, const linear_amx_job *job, size_t at, size_t n, size_t n_cols)
{
    const size_t k = job->k, stride = k / 32;
    const int8_t *x = job->x.q32 + at;
    _Alignas(64) linear_amx_sums sums[4];

    if (n % 4 == 0) {
        LINEAR_AMX_LOAD32(4, 6, x, 0);
        LINEAR_AMX_MULTIPLY32(0, 4, 6);
        LINEAR_AMX_LOAD32(5, 7, x, 1);
        LINEAR_AMX_MULTIPLY32(1, 5, 7);
        LINEAR_AMX_LOAD32(4, 6, x, 2);
        LINEAR_AMX_MULTIPLY32(2, 4, 6);
        LINEAR_AMX_LOAD32(5, 7, x, 3);
        _tile_stored(0, sums[0], 64);
    }
    for (size_t c = 0; c < n_cols; c += LINEAR_AMX_COLS) {
        const int8_t *next = c + LINEAR_AMX_COLS < n_cols ? x + LINEAR_AMX_COLS * k : x;        /* behind the last, products are for nothing */
        const float *d = job->x.d32 + c * stride + at / 32;
        __m512 acc[LINEAR_AMX_COLS];

        linear_amx_get(acc, job, c, at);
        if (n % 4 == 0)
            for (size_t i = 0; i < n; i += 4) {
                const int8_t *x4 = i + 4 < n ? x : next;
                const size_t i4 = i + 4 < n ? i + 4 : 0;

                LINEAR_AMX_STEP32(i, 0, 1, 3, 5, 7, 4, 6);
                LINEAR_AMX_STEP32(i, 1, 2, 0, 4, 6, 5, 7);
                LINEAR_AMX_STEP32(i, 2, 3, 1, 5, 7, 4, 6);
                LINEAR_AMX_STEP32(i, 3, 0, 2, 4, 6, 5, 7);
            }
        else
            for (size_t i = 0; i < n; i++) {
                LINEAR_AMX_LOAD32(4, 6, x, i);
                LINEAR_AMX_MULTIPLY32(0, 4, 6);
                _tile_stored(0, sums[0], 64);
                LM_UNROLL
                for (size_t quarter = 0; quarter < 4; quarter++)
                    linear_amx_add32(acc, p, i, sums[0], quarter, d, stride);
            }
        linear_amx_put(acc, job, c);
        x = next;
    }
}

/* ---- blocks of 256 ------------------------------------------------------------------------------------------------------ */

typedef struct linear_amx_panel256 {
    _Alignas(64) int8_t low[64][64], high[64][64];              /* sc q = low + (high << shift): [4 values][row][4] */
    linear512_said said;
} linear_amx_panel256;

/* Eight lines, of unsigned bytes `bias` above their value, times the scales of their one or two sub-blocks */
LM_INLINE void linear_amx_keep256(linear_amx_panel256 *p, size_t u, const __m512i v[8], const int sub, const int bias)
{
    const __m512i even = _mm512_set1_epi16(0xff), low7 = _mm512_set1_epi8(127), off = _mm512_set1_epi16((short)bias);

    LM_UNROLL
    for (size_t l = 0; l < 8; l++) {
        const __m512i one = _mm512_load_si512(p->said.scale[sub == 16 ? 2 * u + l / 4 : u]);
        const __m512i sc = _mm512_or_si512(_mm512_and_si512(one, _mm512_set1_epi32(0xffff)), _mm512_slli_epi32(one, 16));

        if (bias == 0) {                                        /* q * 7 and sc / 8 * q fit a byte each: two products at once */
            _mm512_store_si512(p->low[8 * u + l], _mm512_mullo_epi16(v[l], _mm512_and_si512(sc, _mm512_set1_epi16(7))));
            _mm512_store_si512(p->high[8 * u + l], _mm512_mullo_epi16(v[l], _mm512_srli_epi16(sc, 3)));
        } else {
            const __m512i e = _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_and_si512(v[l], even), off), sc);
            const __m512i o = _mm512_mullo_epi16(_mm512_sub_epi16(_mm512_srli_epi16(v[l], 8), off), sc);

            /* bytes: where `even`, of e, else of o */
            _mm512_store_si512(p->low[8 * u + l], _mm512_and_si512(_mm512_ternarylogic_epi32(even, e, _mm512_slli_epi16(o, 8), 0xca), low7));
            _mm512_store_si512(p->high[8 * u + l], _mm512_ternarylogic_epi32(even, _mm512_srli_epi16(e, 7), _mm512_slli_epi16(o, 1), 0xca));
        }
    }
}

/* Four of 16 columns, from c on of the block's, from j on of their tile. */
LM_INLINE void linear_amx_add256(const linear_amx_panel256 *p, const linear_amx_job *job, linear_amx_sums sums[2], size_t c, size_t j, size_t at, const int shift, const int has_min)
{
    const float *d = job->x.d256 + (c + j) * (job->k / 256) + at / 256;
    const int16_t *s16 = job->x.s16 + (c + j) * (job->k / 16) + at / 16;
    float *y = job->y + (c + j) * job->y_stride;

    LM_UNROLL
    for (size_t i = 0; i < 4; i++, d += job->k / 256, s16 += job->k / 16, y += job->y_stride) {
        const __m512 dx = _mm512_set1_ps(*d);
        __m512 acc = at == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(job->mask, y);
        const __m512i isum = _mm512_add_epi32(_mm512_load_si512(sums[0][j + i]), _mm512_slli_epi32(_mm512_load_si512(sums[1][j + i]), (unsigned)shift));

        acc = linear512_fma_int(isum, _mm512_mul_ps(_mm512_load_ps(p->said.d), dx), acc);
        if (has_min) {
            __m512i msum = _mm512_setzero_si512();
            _Alignas(16) int32_t pairs[4];

            linear512_sums32(pairs, s16);
            LM_UNROLL
            for (int l = 0; l < 4; l++)
                msum = _mm512_dpwssd_epi32(msum, _mm512_load_si512(p->said.min[l]), _mm512_set1_epi32(pairs[l]));
            acc = linear512_fma_int(msum, _mm512_mul_ps(_mm512_load_ps(p->said.minus_dmin), dx), acc);
        }
        _mm512_mask_storeu_ps(y, job->mask, acc);
    }
}

/* Both products of the values 64s .. 64s + 63 */
#define LINEAR_AMX_PRODUCT256(DP, s)                            \
    do {                                                        \
        _tile_loadd(4, x + 64 * (s), job->k);                   \
        _tile_loadd(6, p->low[16 * (s)], 64);                   \
        DP(0, 4, 6);                                            \
        _tile_loadd(7, p->high[16 * (s)], 64);                  \
        DP(1, 4, 7);                                            \
    } while (0)

/* The panel of the values [at, at + 256) times n_cols columns: the products of 16 of them while those before are added. */
LM_INLINE void linear_amx_columns256(const linear_amx_panel256 *p, const linear_amx_job *job, size_t at, size_t n_cols, const int is_signed)
{
    _Alignas(64) linear_amx_sums sums[2][2];
    const int8_t *x = job->x.q256 + at;
    const int shift = is_signed ? 7 : 3;
    int turn = 0;

    for (size_t c = 0; c < n_cols + LINEAR_AMX_COLS; c += LINEAR_AMX_COLS, x += LINEAR_AMX_COLS * job->k, turn ^= 1) {
        const int multiply = c < n_cols, add = c != 0;

        if (multiply) {
            _tile_zero(0);
            _tile_zero(1);
        }
        for (size_t s = 0; s < 4; s++) {
            if (multiply && is_signed)
                LINEAR_AMX_PRODUCT256(_tile_dpbssd, s);
            else if (multiply)
                LINEAR_AMX_PRODUCT256(_tile_dpbsud, s);
            if (add)
                linear_amx_add256(p, job, sums[turn ^ 1], c - LINEAR_AMX_COLS, 4 * s, at, shift, !is_signed);
        }
        if (multiply) {
            _tile_stored(0, sums[turn][0], 64);
            _tile_stored(1, sums[turn][1], 64);
        }
    }
}

LM_NOINLINE static void linear_amx_signed256(const linear_amx_panel256 *p, const linear_amx_job *job, size_t at, size_t n_cols) { linear_amx_columns256(p, job, at, n_cols, 1); }
LM_NOINLINE static void linear_amx_min256(const linear_amx_panel256 *p, const linear_amx_job *job, size_t at, size_t n_cols) { linear_amx_columns256(p, job, at, n_cols, 0); }

/* ---- the drivers -------------------------------------------------------------------------------------------------------- */

typedef union linear_amx_panel { linear_amx_panel32 by_32; linear_amx_panel256 by_256; } linear_amx_panel;

/* A format: how the values [at, at + `values`) of a group are unpacked and multiplied, and what AVX-512 does with few columns. */
typedef struct linear_amx_format {
    const linear_amx_shapes *shapes;
    size_t values, block, block_bytes;                          /* block_bytes: of 16 rows */
    void (*multiply)(linear_amx_panel *panel, const linear_amx_job *job, const void *group, size_t at, size_t n_cols);
    void (*few)(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols);
} linear_amx_format;

/* n_cols: a multiple of LINEAR_AMX_COLS. Not inlined, so that its panel is gone from the stack when AVX-512's begins. */
LM_NOINLINE static void linear_amx_many(const linear_amx_format *format, float *y, size_t y_stride, const uint8_t *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols)
{
    const size_t group_bytes = k / format->block * format->block_bytes, block = LM_MAX(LINEAR512_X_BYTES / k / LINEAR_AMX_COLS, (size_t)4) * LINEAR_AMX_COLS;
    linear_amx_panel panel;

    _tile_loadconfig(format->shapes);
    for (size_t c = 0; c < n_cols; c += block)
        for (size_t r = 0; r < n_rows; r += LM_GROUP) {
            const linear_amx_job job = {y + c * y_stride + r, y_stride, k, lm_acts_from(x, k, c), linear512_mask(n_rows - r)};

            for (size_t at = 0; at < k; at += format->values)
                format->multiply(&panel, &job, w + r / LM_GROUP * group_bytes, at, LM_MIN(block, n_cols - c));
        }
    _tile_release();
}

static void linear_amx_all(const linear_amx_format *format, float *y, size_t y_stride, const uint8_t *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols)
{
    const size_t many = n_cols / LINEAR_AMX_COLS * LINEAR_AMX_COLS;

    if (many != 0)
        linear_amx_many(format, y, y_stride, w, n_rows, k, x, many);
    if (many != n_cols) {
        const lm_acts rest = lm_acts_from(x, k, many);

        format->few(y + many * y_stride, y_stride, w, n_rows, k, &rest, n_cols - many);
    }
}

#define LINEAR_AMX(type, shapes, values, block)                                                                                                   \
    static const linear_amx_format linear_amx_format_##type = {&(shapes), (values), (block), sizeof(lm_packed_##type), linear_amx_multiply_##type, lm_linear512_##type}; \
    static void linear_amx_##type(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols)            \
    {                                                                                                                                             \
        linear_amx_all(&linear_amx_format_##type, y, y_stride, w, n_rows, k, x, n_cols);                                                          \
    }

#define LINEAR_AMX_32(type)                                                                                                                       \
    static void linear_amx_multiply_##type(linear_amx_panel *panel, const linear_amx_job *job, const void *group, size_t at, size_t n_cols)       \
    {                                                                                                                                             \
        const size_t n = LM_MIN(job->k - at, (size_t)LINEAR_AMX_VALUES32) / 32;                                                                   \
        const lm_packed_##type *b = (const lm_packed_##type *)group + at / 32;                                                                    \
                                                                                                                                                  \
        for (size_t i = 0; i < n; i++, b++) {                                                                                                     \
            __m512i v[8];                                                                                                                         \
                                                                                                                                                  \
            linear512_prefetch(b, sizeof *b);                                                                                                     \
            linear512_lines_##type(v, b);                                                                                                         \
            linear_amx_keep32(&panel->by_32, i, v, linear512_scale_##type(b), LINEAR512_BIAS_##type);                                             \
        }                                                                                                                                         \
        LINEAR_AMX_HERE();                                                                                                                        \
        linear_amx_columns32(&panel->by_32, job, at, n, n_cols);                                                                                  \
    }                                                                                                                                             \
    LINEAR_AMX(type, linear_amx_by_32, LINEAR_AMX_VALUES32, 32)
LINEAR_AMX_32(q8_0)
LINEAR_AMX_32(q4_0)
LINEAR_AMX_32(q5_0)
LINEAR_AMX_32(iq4_nl)
LINEAR_AMX_32(mxfp4)

#define LINEAR_AMX_256(type, by_columns, sub)                                                                                                     \
    static void linear_amx_multiply_##type(linear_amx_panel *panel, const linear_amx_job *job, const void *group, size_t at, size_t n_cols)       \
    {                                                                                                                                             \
        linear_amx_panel256 *p = &panel->by_256;                                                                                                  \
        const lm_packed_##type *b = (const lm_packed_##type *)group + at / 256;                                                                   \
                                                                                                                                                  \
        linear512_say_##type(&p->said, b);                                                                                                        \
        for (size_t u = 0; u < 8; u++) {                                                                                                          \
            __m512i v[8];                                                                                                                         \
                                                                                                                                                  \
            linear512_prefetch((const uint8_t *)b + u * (sizeof *b / 8), sizeof *b / 8);                                                          \
            linear512_lines_##type(v, b, u);                                                                                                      \
            linear_amx_keep256(p, u, v, (sub), LINEAR512_BIAS_##type);                                                                            \
        }                                                                                                                                         \
        LINEAR_AMX_HERE();                                                                                                                        \
        by_columns(p, job, at, n_cols);                                                                                                           \
    }                                                                                                                                             \
    LINEAR_AMX(type, linear_amx_by_64, 256, 256)
LINEAR_AMX_256(q3_k, linear_amx_signed256, 16)
LINEAR_AMX_256(q4_k, linear_amx_min256, 32)
LINEAR_AMX_256(q5_k, linear_amx_min256, 32)
LINEAR_AMX_256(q6_k, linear_amx_signed256, 16)
LINEAR_AMX_256(iq4_xs, linear_amx_signed256, 32)
#undef LINEAR_AMX
#undef LINEAR_AMX_32
#undef LINEAR_AMX_256
#undef LINEAR_AMX_LOAD32
#undef LINEAR_AMX_MULTIPLY32
#undef LINEAR_AMX_STEP32
#undef LINEAR_AMX_PRODUCT256
#undef LINEAR_AMX_HERE

LM_TARGET_END

bool lm_kernels_linear_amx(lm_kernels *table)
{
    table->linear[LM_TYPE_Q8_0] = linear_amx_q8_0;
    table->linear[LM_TYPE_Q4_0] = linear_amx_q4_0;
    table->linear[LM_TYPE_Q5_0] = linear_amx_q5_0;
    table->linear[LM_TYPE_IQ4_NL] = linear_amx_iq4_nl;
    table->linear[LM_TYPE_MXFP4] = linear_amx_mxfp4;
    table->linear[LM_TYPE_Q3_K] = linear_amx_q3_k;
    table->linear[LM_TYPE_Q4_K] = linear_amx_q4_k;
    table->linear[LM_TYPE_Q5_K] = linear_amx_q5_k;
    table->linear[LM_TYPE_Q6_K] = linear_amx_q6_k;
    table->linear[LM_TYPE_IQ4_XS] = linear_amx_iq4_xs;
    return true;
}

#else

bool lm_kernels_linear_amx(lm_kernels *table)
{
    (void)table;
    return false;
}

#endif
