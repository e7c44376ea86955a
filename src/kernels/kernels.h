/* SPDX-License-Identifier: MIT
 * The table of CPU kernels. Arithmetic on pointers, sizes, strides: no tensors, no models. Floor 5.
 *
 * lm_kernels_fill fills the table with the reference and overwrites it upward for the instruction sets at hand. Every kernel
 * gives the bits of the reference (docs/ARITHMETIC.md), so a tier changes the time and nothing else. All pointers may be
 * unaligned unless a comment says so; sizes are any, unless it says so. Kernels use at most 24 KiB of stack and never fail.
 *
 * WEIGHTS are packed in groups of 16 rows ("the 16-row layout", kernels/layout.h): lane = output row. The packed bytes of a group
 * are exactly 16 rows of file bytes; the last group is filled with zero rows. Only `pack`, `linear` and `row` know it. Packed weights
 * begin at a multiple of 4 bytes; `linear` is fastest at 64. */
#ifndef LM_KERNELS_KERNELS_H
#define LM_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LM_GROUP = 16 };                                 /* rows a group: lanes */
enum { LM_KEYS = 16 };                                  /* keys stored side by side */
enum { LM_CHUNK = 256 };                                /* keys of one attention chunk, by absolute position */
enum { LM_PACKED_LAYOUT = 1 };                          /* number of the layout that all `pack` write: files of packed weights carry it. Raised
                                                           with any change of kernels/layout.h; a tier with a layout of its own needs its own */
enum { LM_KERNEL_TYPES = 43 };                          /* tables are indexed by GGUF type id; NULL: does not compute */

/* The inputs of a product, in every form that weights read. Column c of n_cols begins at c * k (f32, q) and so on. */
typedef struct lm_acts {
    const float   *f32;                                 /* [n_cols, k]       F32, F16, BF16 weights */
    const int8_t  *q32;  const float *d32;  const int32_t *s32;     /* [n_cols, k], [n_cols, k/32] scale, sum of q: blocks of 32 */
    const int8_t  *q256; const float *d256; const int16_t *s16;     /* [n_cols, k], [n_cols, k/256] scale, [n_cols, k/16] sums: blocks of 256 */
} lm_acts;

/* The same from column c on */
static inline lm_acts lm_acts_from(const lm_acts *x, size_t k, size_t c)
{
    lm_acts out = *x;

    if (c != 0 && x->f32)
        out.f32 += c * k;
    if (c != 0 && x->q32)
        out.q32 += c * k, out.d32 += c * (k / 32), out.s32 += c * (k / 32);
    if (c != 0 && x->q256)
        out.q256 += c * k, out.d256 += c * (k / 256), out.s16 += c * (k / 16);
    return out;
}

enum { LM_ACTS_F32 = 1, LM_ACTS_Q32 = 2, LM_ACTS_Q256 = 4 };

/* One chunk of attention: n_q queries that read the same kv head, against the keys [chunk_pos, chunk_pos + LM_CHUNK). */
typedef struct lm_attend_args {
    const float *q; size_t q_stride;                    /* query i: q + i * q_stride, [head_dim]; int8 state does not read it but */
    const int8_t *q8; size_t q8_stride;                 /* query i: q8 + i * q8_stride, lm_i8_padded(head_dim) items of quantize_head, */
    const float *q8_scale;                              /* and its scale */
    size_t n_q, head_dim, v_dim;
    const int32_t *lo, *hi;                             /* query i sees the keys with lo[i] <= position < hi[i], at least one of this chunk */
    const void *const *k_pages, *const *v_pages;        /* of this kv head: page_positions keys each, from chunk_pos on; NULL: no query sees it */
    int32_t chunk_pos;
    int32_t page_positions;                             /* a multiple of LM_KEYS that divides LM_CHUNK */
    float scale, softcap;                               /* s = q.k * scale; softcap c != 0: c tanh(s / c) */
    float *max, *sum, *acc;                             /* out: [n_q], [n_q], [n_q, v_dim] */
    float *scratch;                                     /* lm_attend_scratch(head_dim) floats, aligned to 64 bytes */
} lm_attend_args;

enum { LM_ATTEND_MANY = 64, LM_ATTEND_PART = 32 };     /* most queries that a kernel takes side by side; keys that it widens for them */
static inline size_t lm_attend_scratch(size_t head_dim)
{
    return LM_ATTEND_MANY * LM_CHUNK + LM_ATTEND_PART * (head_dim > LM_CHUNK ? head_dim : (size_t)LM_CHUNK);
}

typedef struct lm_kernels {
    const char *name;                                   /* the tier: "reference", "avx2", "avx512", "neon", "neon-i8mm", "amx" */

    /* y[c * y_stride + r] = row r of W times column c, r < n_rows, c < n_cols. w: packed, from the first row's group on; the first
     * row is a group's first. k: a multiple of the type's block. */
    void (*linear[LM_KERNEL_TYPES])(float *y, size_t y_stride, const void *w, size_t n_rows, size_t k, const lm_acts *x, size_t n_cols);
    /* Up to 16 rows of file bytes (row_bytes apart) into one packed group; missing rows are zero. */
    void (*pack[LM_KERNEL_TYPES])(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k);
    /* One row of a packed matrix as f32: the bits of the `gguf` package's dequantization. w: the whole matrix. */
    void (*row[LM_KERNEL_TYPES])(float *y, const void *w, size_t row, size_t k);

    /* Activations. x[n], n a multiple of 32 / 256. */
    void (*quantize_32)(int8_t *q, float *d, int32_t *s, const float *x, size_t n);
    void (*quantize_256)(int8_t *q, float *d, int16_t *s, const float *x, size_t n);

    void (*rms_norm)(float *y, const float *x, const float *w /* NULL: ones */, size_t n, float eps);   /* y may be x */
    void (*add)(float *y, const float *a, const float *b, size_t n);                    /* y may be a or b */
    void (*scale)(float *y, const float *x, float s, size_t n);                         /* y may be x */
    void (*add_scaled)(float *y, const float *x, float s, size_t n);                    /* y = fma(s, x, y) */
    void (*silu_mul)(float *y, const float *gate, const float *up, size_t n);           /* y may be either */
    void (*gelu_mul)(float *y, const float *gate, const float *up, size_t n);           /* y may be either */
    void (*softcap)(float *y, const float *x, float cap, size_t n);                     /* cap tanh(x / cap); y may be x */
    void (*softmax)(float *y, const float *x, size_t n);                                /* y may be x */
    /* Rotates x[n_rot] in place; cs: n_rot / 2 (cos, sin) pairs. */
    void (*rope_pairs)(float *x, const float *cs, size_t n_rot);
    void (*rope_halves)(float *x, const float *cs, size_t n_rot);

    /* State. K of one head: [positions / 16][k_dim][16]; V: [positions][v_dim]; f32 or f16. `at`: position within the page.
     * int8: groups of 16 positions, see lm_i8_k_group. */
    void (*store_k_f32)(void *k_page, size_t at, const float *k, size_t k_dim);
    void (*store_k_f16)(void *k_page, size_t at, const float *k, size_t k_dim);         /* clamped to +-65504; NaN stays */
    void (*store_v_f32)(void *v_page, size_t at, const float *v, size_t v_dim);
    void (*store_v_f16)(void *v_page, size_t at, const float *v, size_t v_dim);
    void (*store_k_i8)(void *k_page, size_t at, const float *k, size_t k_dim);
    void (*store_v_i8)(void *v_page, size_t at, const float *v, size_t v_dim);
    /* One head to eight bits: returns the scale. q: lm_i8_padded(n) items, zeros behind. */
    float (*quantize_head)(int8_t *q, const float *x, size_t n);
    void (*attend_f32)(const lm_attend_args *args);
    void (*attend_f16)(const lm_attend_args *args);
    void (*attend_i8)(const lm_attend_args *args);
    /* Merges a later chunk's (max, sum, acc) of one query into the running ones. */
    void (*attend_merge)(float *max, float *sum, float *acc, float chunk_max, float chunk_sum, const float *chunk_acc, size_t v_dim);
    /* y = acc / sum: one division, then products. */
    void (*attend_finish)(float *y, float sum, const float *acc, size_t v_dim);
} lm_kernels;

enum { LM_TIER_REFERENCE = 1, LM_TIER_AVX2 = 2, LM_TIER_AVX512 = 3, LM_TIER_NEON = 4, LM_TIER_NEON_I8MM = 5, LM_TIER_AMX = 6,   /* LLM_CPU_* */
       LM_TIER_LAST = LM_TIER_AMX };

/* The table for a processor with `features` (LM_CPU_*, base/cpu.h), held to tiers <= `most` (0: no mask). Returns the tier.
 * LM_TIER_AMX is taken only when `most` names it, and the caller has asked the system (lm_cpu_ask_amx). */
int32_t lm_kernels_fill(lm_kernels *table, uint32_t features, int32_t most);

/* Each file overwrites the entries it has: one function per concern and tier. On other machines those of kernels/x86 and
 * kernels/arm do nothing. */
void lm_kernels_linear_ref(lm_kernels *table);
void lm_kernels_linear_32_ref(lm_kernels *table);
void lm_kernels_linear_256_ref(lm_kernels *table);
void lm_kernels_acts_ref(lm_kernels *table);
void lm_kernels_attend_ref(lm_kernels *table);
void lm_kernels_linear_avx2(lm_kernels *table);
void lm_kernels_linear_32_avx2(lm_kernels *table);
void lm_kernels_linear_256_avx2(lm_kernels *table);
void lm_kernels_acts_avx2(lm_kernels *table);
void lm_kernels_attend_avx2(lm_kernels *table);
void lm_kernels_pack_avx2(lm_kernels *table);
void lm_kernels_linear_avx512(lm_kernels *table);
void lm_kernels_linear_32_avx512(lm_kernels *table);
void lm_kernels_linear_256_avx512(lm_kernels *table);
void lm_kernels_acts_avx512(lm_kernels *table);
void lm_kernels_attend_avx512(lm_kernels *table);
bool lm_kernels_linear_amx(lm_kernels *table);           /* false: this compiler knows no AMX */
void lm_kernels_linear_neon(lm_kernels *table);
void lm_kernels_acts_neon(lm_kernels *table);
void lm_kernels_attend_neon(lm_kernels *table);
void lm_kernels_pack_neon(lm_kernels *table);
void lm_kernels_linear_dot(lm_kernels *table);
void lm_kernels_linear_i8mm(lm_kernels *table);

/* State in int8: a scale for each position and head. A group of 16 positions is its 16 scales, f32, and behind them K as [k_dim / 4, rounded
 * up][16 positions][4] (zeros fill the last four), V as [8 pairs][v_dim][2 positions]: what one multiply-add of pairs or fours wants. */
static inline size_t lm_i8_padded(size_t dim) { return (dim + 3) & ~(size_t)3; }
static inline size_t lm_i8_k_group(size_t k_dim) { return LM_KEYS * (sizeof(float) + lm_i8_padded(k_dim)); }
static inline size_t lm_i8_v_group(size_t v_dim) { return LM_KEYS * (sizeof(float) + v_dim); }
/* Item d of position `at` of the group, in bytes from the group's beginning. */
static inline size_t lm_i8_k_at(size_t at, size_t d) { return LM_KEYS * sizeof(float) + (d / 4 * LM_KEYS + at) * 4 + d % 4; }
static inline size_t lm_i8_v_at(size_t at, size_t d, size_t v_dim) { return LM_KEYS * sizeof(float) + (at / 2 * v_dim + d) * 2 + at % 2; }

/* Bytes of a packed group of 16 rows of k values; 0 if the type does not compute. */
size_t lm_group_bytes(uint32_t type, size_t k);

#endif
