/* SPDX-License-Identifier: MIT
 * Packing of rows into the 16-row layout with vectors: the body that the tiers share. Only bits move, so that every tier has those of
 * kernels/ref; what a line holds stands in kernels/layout.h. Floor 5. Threads: any; nothing is kept.
 *
 * Included once by a file that gives, for its instruction set,
 *
 *     PACK_LANES                                               rows a vector: 4, 8 or 16
 *     pack_lanes                                               a vector of as many uint32_t (arithmetic as GNU C has it)
 *     pack_quad(pack_lanes w[4], const uint8_t *in, stride)    dwords 0..3 of the 16 bytes at `in`, in + stride, ...: lane = row
 *     pack_put32, pack_put16, pack_put8(void *to, v)           all lanes; their low halves; their low bytes
 *
 * A block is packed PACK_LANES rows at a time; `in` is then the block in the first of these rows, `r` that row's lane. All reads are
 * of 16 bytes inside the block, of which some lines may not be wanted. */
#include "kernels/layout.h"
#include "tensor/blocks.h"
#include "tensor/type.h"
#include "base/compiler.h"

#include <string.h>

/* ---- lines from dwords of the file, as linear_ref.h has them for one lane ------------------------------------------------- */

/* n quads, dwords 0 .. 4n-1 */
LM_INLINE void pack_quads(pack_lanes *w, int n, const uint8_t *in, size_t stride)
{
    LM_UNROLL
    for (int i = 0; i < n; i++)
        pack_quad(w + 4 * i, in + 16 * i, stride);
}

LM_INLINE void pack_nibbles(uint8_t (*lines)[16][4], int n, size_t r, const pack_lanes *w, int shift)
{
    LM_UNROLL
    for (int l = 0; l < n; l++)
        pack_put32(lines[l][r], ((w[2 * l] >> shift) & 0x0f0f0f0fu) | ((w[2 * l + 1] >> shift) & 0x0f0f0f0fu) << 4);
}

LM_INLINE void pack_crumbs(uint8_t (*line)[4], size_t r, const pack_lanes *w, int shift)
{
    pack_put32(line[r], ((w[0] >> shift) & 0x03030303u) | ((w[1] >> shift) & 0x03030303u) << 2 | ((w[2] >> shift) & 0x03030303u) << 4 |
                            ((w[3] >> shift) & 0x03030303u) << 6);
}

LM_INLINE void pack_bits(uint8_t (*line)[4], size_t r, const pack_lanes *w, int shift)
{
    pack_lanes all = (w[0] >> shift) & 0x01010101u;

    LM_UNROLL
    for (int t = 1; t < 8; t++)
        all |= ((w[t] >> shift) & 0x01010101u) << t;
    pack_put32(line[r], all);
}

/* Sixteen bytes of nibbles, the first half of the values low */
LM_INLINE void pack_halves(uint8_t (*lines)[16][4], size_t r, const uint8_t *qs, size_t stride)
{
    pack_lanes w[4];

    pack_quad(w, qs, stride);
    pack_nibbles(lines, 2, r, w, 0);
    pack_nibbles(lines + 2, 2, r, w, 4);
}

/* 32 bytes of nibbles, a sub-block of 32 low, the next one high */
LM_INLINE void pack_subs(uint8_t (*lines)[16][4], size_t r, const uint8_t *qs, size_t stride)
{
    pack_lanes w[8];

    pack_quads(w, 2, qs, stride);
    pack_nibbles(lines, 4, r, w, 0);
    pack_nibbles(lines + 4, 4, r, w, 4);
}

/* Bits 0..31 of a value each: byte i of the line has every fourth of them from i on. */
LM_INLINE void pack_fifth(uint8_t (*line)[4], size_t r, pack_lanes all)
{
    pack_lanes out = all ^ all;

    LM_UNROLL
    for (int i = 0; i < 4; i++) {
        pack_lanes bits = (all >> i) & 0x11111111u;

        bits = (bits | bits >> 3) & 0x03030303u;
        bits = (bits | bits >> 6) & 0x000f000fu;
        out |= ((bits | bits >> 12) & 0xffu) << (8 * i);
    }
    pack_put32(line[r], out);
}

/* Two bits each: value 128h + 32j + l in the bits 2j of byte 32h + l */
LM_INLINE void pack_twos(uint8_t (*lines)[16][4], size_t r, const uint8_t *qs, size_t stride)
{
    for (size_t l = 0; l < 16; l += 8)
        for (size_t u = 0; u < 2; u++) {
            pack_lanes w[4];

            pack_quad(w, qs + 4 * l + 16 * u, stride);
            LM_UNROLL
            for (int j = 0; j < 4; j++)
                pack_crumbs(lines[l + 2 * (size_t)j + u], r, w, 2 * j);
        }
}

/* ---- one block of PACK_LANES rows ------------------------------------------------------------------------------------------- */

LM_INLINE void pack_block_32bit(void *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes w[4];

    pack_quad(w, in, stride);
    LM_UNROLL
    for (size_t i = 0; i < 4; i++)
        pack_put32((uint32_t *)out + 16 * i + r, w[i]);
}

LM_INLINE void pack_block_16bit(void *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes w[4];

    pack_quad(w, in, stride);
    LM_UNROLL
    for (size_t i = 0; i < 4; i++) {
        pack_put16((uint16_t *)out + 32 * i + r, w[i]);
        pack_put16((uint16_t *)out + 32 * i + 16 + r, w[i] >> 16);
    }
}

LM_INLINE void pack_block_q8_0(lm_packed_q8_0 *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes w[8], head[4];

    pack_quad(head, in, stride);
    pack_put16(out->d + r, head[0]);
    pack_quads(w, 2, in + 2, stride);
    LM_UNROLL
    for (int l = 0; l < 8; l++)
        pack_put32(out->q[l][r], w[l]);
}

LM_INLINE void pack_block_q4_0(lm_packed_q4_0 *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes head[4];

    pack_quad(head, in, stride);
    pack_put16(out->d + r, head[0]);
    pack_halves(out->q, r, in + 2, stride);
}

LM_INLINE void pack_block_q4_1(lm_packed_q4_1 *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes head[4];

    pack_quad(head, in, stride);
    pack_put16(out->d + r, head[0]);
    pack_put16(out->m + r, head[0] >> 16);
    pack_halves(out->q, r, in + 4, stride);
}

LM_INLINE void pack_block_q5_0(lm_packed_q5_0 *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes head[4];

    pack_quad(head, in, stride);
    pack_put16(out->d + r, head[0]);
    pack_fifth(out->qh, r, head[0] >> 16 | head[1] << 16);
    pack_halves(out->q, r, in + 6, stride);
}

LM_INLINE void pack_block_q5_1(lm_packed_q5_1 *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes head[4];

    pack_quad(head, in, stride);
    pack_put16(out->d + r, head[0]);
    pack_put16(out->m + r, head[0] >> 16);
    pack_fifth(out->qh, r, head[1]);
    pack_halves(out->q, r, in + 8, stride);
}

LM_INLINE void pack_block_iq4_nl(lm_packed_iq4_nl *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes head[4];

    pack_quad(head, in, stride);
    pack_put16(out->d + r, head[0]);
    pack_halves(out->q, r, in + 2, stride);
}

LM_INLINE void pack_block_mxfp4(lm_packed_mxfp4 *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes head[4];

    pack_quad(head, in, stride);
    pack_put8(out->e + r, head[0]);
    pack_halves(out->q, r, in + 1, stride);
}

LM_INLINE void pack_block_q2_k(lm_packed_q2_k *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes w[4];

    pack_quad(w, in, stride);
    LM_UNROLL
    for (int l = 0; l < 4; l++)
        pack_put32(out->scales[l][r], w[l]);
    pack_twos(out->q, r, in + offsetof(lm_block_q2_k, qs), stride);
    pack_quad(w, in + offsetof(lm_block_q2_k, d) - 12, stride);
    pack_put16(out->d + r, w[3]);
    pack_put16(out->dmin + r, w[3] >> 16);
}

LM_INLINE void pack_block_q3_k(lm_packed_q3_k *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes w[8];

    pack_quads(w, 2, in, stride);
    LM_UNROLL
    for (int j = 0; j < 8; j++)
        pack_bits(out->qh[j], r, w, j);
    pack_twos(out->q, r, in + offsetof(lm_block_q3_k, qs), stride);
    pack_quad(w, in + offsetof(lm_block_q3_k, scales) - 2, stride);
    LM_UNROLL
    for (int l = 0; l < 3; l++)
        pack_put32(out->scales[l][r], w[l] >> 16 | w[l + 1] << 16);
    pack_put16(out->d + r, w[3] >> 16);
}

/* d, dmin and twelve bytes of scales */
LM_INLINE void pack_head_k(uint16_t *d, uint16_t *dmin, uint8_t (*scales)[16][4], const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes w[4];

    pack_quad(w, in, stride);
    pack_put16(d + r, w[0]);
    pack_put16(dmin + r, w[0] >> 16);
    LM_UNROLL
    for (int l = 0; l < 3; l++)
        pack_put32(scales[l][r], w[l + 1]);
}

LM_INLINE void pack_block_q4_k(lm_packed_q4_k *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_head_k(out->d, out->dmin, out->scales, in, stride, r);
    for (size_t i = 0; i < 4; i++)
        pack_subs(out->q + 8 * i, r, in + offsetof(lm_block_q4_k, qs) + 32 * i, stride);
}

LM_INLINE void pack_block_q5_k(lm_packed_q5_k *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes w[8];

    pack_head_k(out->d, out->dmin, out->scales, in, stride, r);
    pack_quads(w, 2, in + offsetof(lm_block_q5_k, qh), stride);
    LM_UNROLL
    for (int j = 0; j < 8; j++)
        pack_bits(out->qh[j], r, w, j);
    for (size_t i = 0; i < 4; i++)
        pack_subs(out->q + 8 * i, r, in + offsetof(lm_block_q5_k, qs) + 32 * i, stride);
}

LM_INLINE void pack_block_iq4_xs(lm_packed_iq4_xs *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes head[4];

    pack_quad(head, in, stride);
    pack_put16(out->d + r, head[0]);
    pack_put16(out->scales_h + r, head[0] >> 16);
    pack_put32(out->scales_l[r], head[1]);
    for (size_t i = 0; i < 8; i++)
        pack_halves(out->q + 4 * i, r, in + offsetof(lm_block_iq4_xs, qs) + 16 * i, stride);
}

/* Value 128h + 32t + l: the low bits in nibble t / 2 of ql[64h + 32 (t % 2) + l], the high ones in the bits 2t of qh[32h + l]. */
LM_INLINE void pack_block_q6_k(lm_packed_q6_k *out, const uint8_t *in, size_t stride, size_t r)
{
    pack_lanes w[8];

    for (size_t h = 0; h < 2; h++) {
        for (size_t t = 0; t < 2; t++) {
            pack_quads(w, 2, in + 64 * h + 32 * t, stride);
            pack_nibbles(out->ql + 16 * h + 4 * t, 4, r, w, 0);
            pack_nibbles(out->ql + 16 * h + 4 * t + 8, 4, r, w, 4);
        }
        pack_quads(w, 2, in + offsetof(lm_block_q6_k, qh) + 32 * h, stride);
        LM_UNROLL
        for (int t = 0; t < 4; t++) {
            pack_crumbs(out->qh[8 * h + 2 * (size_t)t], r, w, 2 * t);
            pack_crumbs(out->qh[8 * h + 2 * (size_t)t + 1], r, w + 4, 2 * t);
        }
    }
    pack_quad(w, in + offsetof(lm_block_q6_k, scales), stride);
    LM_UNROLL
    for (int i = 0; i < 16; i++)
        pack_put8(out->scales[i] + r, w[i / 4] >> (i % 4 * 8));
    pack_quad(w, in + offsetof(lm_block_q6_k, d) - 14, stride);
    pack_put16(out->d + r, w[3] >> 16);
}

/* ---- groups ------------------------------------------------------------------------------------------------------------------- */

/* The block of a group that has fewer rows: the others are zero. */
LM_INLINE const uint8_t *pack_fewer(uint8_t *some, size_t block_bytes, const uint8_t *in, size_t row_bytes, size_t n_rows)
{
    memset(some, 0, 16 * block_bytes);
    for (size_t r = 0; r < n_rows; r++)
        memcpy(some + r * block_bytes, in + r * row_bytes, block_bytes);
    return some;
}

#define PACK_TYPE(type, values)                                                                                             \
    static void pack_##type(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)                       \
    {                                                                                                                       \
        lm_packed_##type *out = group;                                                                                      \
        const uint8_t *in = rows;                                                                                           \
        uint8_t some[16 * sizeof(lm_block_##type)];                                                                         \
                                                                                                                            \
        for (size_t i = 0; i < k / (values); i++, out++, in += sizeof(lm_block_##type)) {                                   \
            size_t stride = n_rows >= 16 ? row_bytes : sizeof(lm_block_##type);                                             \
            const uint8_t *from = n_rows >= 16 ? in : pack_fewer(some, stride, in, row_bytes, n_rows);                      \
                                                                                                                            \
            for (size_t r = 0; r < 16; r += PACK_LANES)                                                                     \
                pack_block_##type(out, from + r * stride, stride, r);                                                       \
        }                                                                                                                   \
    }
PACK_TYPE(q8_0, 32)
PACK_TYPE(q4_0, 32)
PACK_TYPE(q4_1, 32)
PACK_TYPE(q5_0, 32)
PACK_TYPE(q5_1, 32)
PACK_TYPE(iq4_nl, 32)
PACK_TYPE(mxfp4, 32)
PACK_TYPE(q2_k, 256)
PACK_TYPE(q3_k, 256)
PACK_TYPE(q4_k, 256)
PACK_TYPE(q5_k, 256)
PACK_TYPE(q6_k, 256)
PACK_TYPE(iq4_xs, 256)
#undef PACK_TYPE

/* Plain values: sixteen bytes of a row make a block; of the last one there may be less. */
#define PACK_PLAIN(type, item_bytes)                                                                                        \
    static void pack_##type(void *group, const void *rows, size_t row_bytes, size_t n_rows, size_t k)                       \
    {                                                                                                                       \
        uint8_t *out = group, some[16 * 16], last[16 * 16];                                                                 \
        const uint8_t *in = rows;                                                                                           \
                                                                                                                            \
        for (size_t left = k * (item_bytes), n; left > 0; left -= n, in += n, out += 16 * n) {                              \
            n = LM_MIN(left, (size_t)16);                                                                                   \
            const uint8_t *from = in;                                                                                       \
            size_t stride = row_bytes;                                                                                      \
                                                                                                                            \
            if (n_rows < 16 || n < 16) {                                                                                    \
                memset(some, 0, sizeof some);                                                                               \
                for (size_t r = 0; r < LM_MIN(n_rows, (size_t)16); r++)                                                     \
                    memcpy(some + 16 * r, in + r * row_bytes, n);                                                           \
                from = some;                                                                                                \
                stride = 16;                                                                                                \
            }                                                                                                               \
            for (size_t r = 0; r < 16; r += PACK_LANES)                                                                     \
                pack_block_##type(n < 16 ? last : out, from + r * stride, stride, r);                                       \
            if (n < 16)                                                                                                     \
                memcpy(out, last, 16 * n);                                                                                  \
        }                                                                                                                   \
    }
PACK_PLAIN(32bit, 4)
PACK_PLAIN(16bit, 2)
#undef PACK_PLAIN

static inline void pack_fill(lm_kernels *table)
{
    table->pack[LM_TYPE_F32] = pack_32bit;
    table->pack[LM_TYPE_F16] = table->pack[LM_TYPE_BF16] = pack_16bit;
    table->pack[LM_TYPE_Q8_0] = pack_q8_0;
    table->pack[LM_TYPE_Q4_0] = pack_q4_0;
    table->pack[LM_TYPE_Q4_1] = pack_q4_1;
    table->pack[LM_TYPE_Q5_0] = pack_q5_0;
    table->pack[LM_TYPE_Q5_1] = pack_q5_1;
    table->pack[LM_TYPE_IQ4_NL] = pack_iq4_nl;
    table->pack[LM_TYPE_MXFP4] = pack_mxfp4;
    table->pack[LM_TYPE_Q2_K] = pack_q2_k;
    table->pack[LM_TYPE_Q3_K] = pack_q3_k;
    table->pack[LM_TYPE_Q4_K] = pack_q4_k;
    table->pack[LM_TYPE_Q5_K] = pack_q5_k;
    table->pack[LM_TYPE_Q6_K] = pack_q6_k;
    table->pack[LM_TYPE_IQ4_XS] = pack_iq4_xs;
}
