/* SPDX-License-Identifier: MIT
 * The 16-row layout of packed weights. Private to the linear kernels: pack writes it, linear and row read it. Floor 5.
 *
 * A group is 16 rows of the matrix, side by side: lane = row. It has exactly the bytes of its 16 rows in the file, so that a
 * pass over the weights costs what the file counts. Along k a group is an array of the blocks below, and a matrix is an array
 * of groups. In [n][16][4] four values that follow each other in k stand together in a lane: the operand of vpdpbusd, of an AMX
 * tile, of sdot. A "line" is one [16][4], 64 bytes.
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

/* 256 values, nibbles as in Q4_0; the file's 12 bytes of scales in three lines, in file order. */
typedef struct lm_packed_q4_k {
    uint16_t d[16], dmin[16];
    uint8_t  scales[3][16][4];
    uint8_t  q[32][16][4];
} lm_packed_q4_k;

/* 256 values, low nibbles as in Q4_0; byte i of line h of `qh` has the two high bits of the values 16h + i (bits 0, 1),
 * 16h + 4 + i (bits 2, 3), 16h + 8 + i and 16h + 12 + i. */
typedef struct lm_packed_q6_k {
    uint8_t  ql[32][16][4];
    uint8_t  qh[16][16][4];
    int8_t   scales[16][16];                    /* [sub-block][row] */
    uint16_t d[16];
} lm_packed_q6_k;

#endif
