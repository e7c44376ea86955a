/* SPDX-License-Identifier: MIT
 * The 16-row layout of packed weights. Private to the linear kernels: pack writes it, linear and row read it. Floor 5.
 *
 * A group is 16 rows of the matrix, side by side: lane = row. It has exactly the bytes of its 16 rows in the file, so that a
 * pass over the weights costs what the file counts. Along k a group is an array of the blocks below, and a matrix is an array
 * of groups. In [n][16][4] four values that follow each other in k stand together in a lane: the operand of vpdpbusd, of an AMX
 * tile, of sdot. A "line" is one [16][4], 64 bytes.
 *
 * What stands in lines is described by byte i (0..3) of a lane, the same for every row:
 *  - nibbles, two quads of k a line: byte i of line l has value 8l + i in the low nibble, value 8l + 4 + i in the high one;
 *  - pairs of bits ("crumbs"), four quads a line: byte i of line l has value 16l + 4t + i in the bits 2t, t = 0..3;
 *  - single bits, eight quads a line: byte i of line l has the bit of value 32l + 4t + i in bit t, t = 0..7.
 * So one shift and one mask of whole lines give a quad in order of k, whatever the width of the vector.
 *
 * F32, F16, BF16: [k][16]. Packed weights begin at an address that is a multiple of 4. */
#ifndef LM_KERNELS_LAYOUT_H
#define LM_KERNELS_LAYOUT_H

#include <stdint.h>

/* 32 values: line l holds the values 4l .. 4l+3. */
typedef struct lm_packed_q8_0 {
    uint16_t d[16];
    int8_t   q[8][16][4];
} lm_packed_q8_0;

/* 32 values: byte i of line l has value 8l + i in the low nibble, value 8l + 4 + i in the high one. */
typedef struct lm_packed_q4_0 {
    uint16_t d[16];
    uint8_t  q[4][16][4];
} lm_packed_q4_0;

/* 32 values: q d + m. */
typedef struct lm_packed_q4_1 {
    uint16_t d[16], m[16];
    uint8_t  q[4][16][4];                       /* nibbles */
} lm_packed_q4_1;

/* 32 values: (q - 16) d, and q d + m; bit 4 of q in one line of single bits. */
typedef struct lm_packed_q5_0 {
    uint16_t d[16];
    uint8_t  qh[16][4];                         /* single bits */
    uint8_t  q[4][16][4];                       /* nibbles */
} lm_packed_q5_0;

typedef struct lm_packed_q5_1 {
    uint16_t d[16], m[16];
    uint8_t  qh[16][4];
    uint8_t  q[4][16][4];
} lm_packed_q5_1;

/* 32 values: d T[q], T: LM_IQ4_VALUES (tensor/blocks.h). */
typedef struct lm_packed_iq4_nl {
    uint16_t d[16];
    uint8_t  q[4][16][4];                       /* nibbles */
} lm_packed_iq4_nl;

/* 32 values: 2^(e - 128) F[q], F: LM_MXFP4_VALUES. */
typedef struct lm_packed_mxfp4 {
    uint8_t e[16];
    uint8_t q[4][16][4];                        /* nibbles */
} lm_packed_mxfp4;

/* 256 values in sixteen sub-blocks of 16, each a line of crumbs: (d sc) q - (dmin mn). Byte i of line l of `scales`: sub-block
 * 4l + i, sc in the low nibble, mn in the high one (the file's bytes in order). */
typedef struct lm_packed_q2_k {
    uint16_t d[16], dmin[16];
    uint8_t  scales[4][16][4];
    uint8_t  q[16][16][4];
} lm_packed_q2_k;

/* 256 values in sixteen sub-blocks of 16: (d (sc - 32)) (q - 4). Low two bits of q: line l of `q`, crumbs, is sub-block l; bit 2 of
 * q: single bits, line l of `qh` has the sub-blocks 2l (bits 0..3) and 2l + 1 (bits 4..7). The file's 12 bytes of scales in three
 * lines s0 s1 s2, in file order; with byte i of a lane, all bytewise:
 *     sc of sub-block      i: s0 & 15 | (s2 << 4) & 48             4 + i: s1 & 15 | (s2 << 2) & 48
 *                      8 + i: s0 >> 4 | s2 & 48                   12 + i: s1 >> 4 | (s2 >> 2) & 48 */
typedef struct lm_packed_q3_k {
    uint16_t d[16];
    uint8_t  scales[3][16][4];
    uint8_t  qh[8][16][4];
    uint8_t  q[16][16][4];
} lm_packed_q3_k;

/* 256 values, nibbles as in Q4_0; the file's 12 bytes of scales in three lines, in file order. */
typedef struct lm_packed_q4_k {
    uint16_t d[16], dmin[16];
    uint8_t  scales[3][16][4];
    uint8_t  q[32][16][4];
} lm_packed_q4_k;

/* 256 values, as Q4_K; bit 4 of q: single bits, line j of `qh` is sub-block j of 32. */
typedef struct lm_packed_q5_k {
    uint16_t d[16], dmin[16];
    uint8_t  scales[3][16][4];
    uint8_t  qh[8][16][4];
    uint8_t  q[32][16][4];
} lm_packed_q5_k;

/* 256 values in eight sub-blocks of 32: (d (sc - 32)) T[q], T: LM_IQ4_VALUES. With a lane's four bytes of scales_l as one little-endian
 * number: sc of sub-block b = (scales_l >> 4b) & 15 | ((scales_h >> 2b) & 3) << 4, as in the file. */
typedef struct lm_packed_iq4_xs {
    uint16_t d[16], scales_h[16];
    uint8_t  scales_l[16][4];
    uint8_t  q[32][16][4];                      /* nibbles */
} lm_packed_iq4_xs;

/* 256 values, low nibbles as in Q4_0; byte i of line h of `qh` has the two high bits of the values 16h + i (bits 0, 1),
 * 16h + 4 + i (bits 2, 3), 16h + 8 + i and 16h + 12 + i. */
typedef struct lm_packed_q6_k {
    uint8_t  ql[32][16][4];
    uint8_t  qh[16][16][4];
    int8_t   scales[16][16];                    /* [sub-block][row] */
    uint16_t d[16];
} lm_packed_q6_k;

#endif
