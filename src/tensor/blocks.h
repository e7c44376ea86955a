/* SPDX-License-Identifier: MIT
 * Block layouts as they stand in files. All fields are little-endian; f16 fields are bits in a uint16_t. Floor 1.
 * Source: ggml-common.h; the formulas stand beside each. Structs have no padding; files may hold them at any alignment. */
#ifndef LM_TENSOR_BLOCKS_H
#define LM_TENSOR_BLOCKS_H

#include <stdint.h>

/* w[j] = d (lo(qs[j]) - 8), w[j+16] = d (hi(qs[j]) - 8), j < 16 */
typedef struct lm_block_q4_0 { uint16_t d; uint8_t qs[16]; } lm_block_q4_0;
/* w[j] = d lo(qs[j]) + m, w[j+16] = d hi(qs[j]) + m */
typedef struct lm_block_q4_1 { uint16_t d, m; uint8_t qs[16]; } lm_block_q4_1;
/* As Q4_0 and Q4_1, value k with bit k of qh (little-endian) for a fifth bit: w[k] = d (q - 16) and w[k] = d q + m */
typedef struct lm_block_q5_0 { uint16_t d; uint8_t qh[4], qs[16]; } lm_block_q5_0;
typedef struct lm_block_q5_1 { uint16_t d, m; uint8_t qh[4], qs[16]; } lm_block_q5_1;
/* w[k] = d qs[k] */
typedef struct lm_block_q8_0 { uint16_t d; int8_t qs[32]; } lm_block_q8_0;
/* Eight sub-blocks of 32: w = (d sc) q - (dmin mn), sc and mn of six bits packed in `scales` (lm_q4k_scale) */
typedef struct lm_block_q4_k { uint16_t d, dmin; uint8_t scales[12], qs[128]; } lm_block_q4_k;
/* As Q4_K, bit k of qh[j] the fifth bit of value j of sub-block k */
typedef struct lm_block_q5_k { uint16_t d, dmin; uint8_t scales[12], qh[32], qs[128]; } lm_block_q5_k;
/* Sixteen sub-blocks of 16: w = (d lo(scales[i/16])) q - (dmin hi(scales[i/16])). Value 128h + 32j + l: bits 2j of qs[32h + l] */
typedef struct lm_block_q2_k { uint8_t scales[16], qs[64]; uint16_t d, dmin; } lm_block_q2_k;
/* Sixteen sub-blocks of 16: w = (d (sc - 32)) (q - 4), sc of six bits packed in `scales` (lm_q3k_scale); low two bits of q as in
 * Q2_K, the high one of value 128h + 32j + l: bit 4h + j of hmask[l] */
typedef struct lm_block_q3_k { uint8_t hmask[32], qs[64], scales[12]; uint16_t d; } lm_block_q3_k;
/* Sixteen sub-blocks of 16: w = d scales[i/16] (q - 32); q: low four bits in ql, high two in qh */
typedef struct lm_block_q6_k { uint8_t ql[128], qh[64]; int8_t scales[16]; uint16_t d; } lm_block_q6_k;

/* w[j] = d T[lo(qs[j])], w[j+16] = d T[hi(qs[j])], T: LM_IQ4_VALUES */
typedef struct lm_block_iq4_nl { uint16_t d; uint8_t qs[16]; } lm_block_iq4_nl;
/* Eight sub-blocks of 32, each as in IQ4_NL: w = (d (sc - 32)) T[q]; the low four bits of sc of sub-block b: nibble b of scales_l,
 * the high two: bits 2b of scales_h */
typedef struct lm_block_iq4_xs { uint16_t d, scales_h; uint8_t scales_l[4], qs[128]; } lm_block_iq4_xs;
/* w[j] = s F[lo(qs[j])], w[j+16] = s F[hi(qs[j])], s = 2^(e - 128) (lm_f32_from_e8m0), F: LM_MXFP4_VALUES; e = 255 is NaN */
typedef struct lm_block_mxfp4 { uint8_t e, qs[16]; } lm_block_mxfp4;

/* What the nibbles of IQ4_NL and IQ4_XS stand for; and those of MXFP4, twice the values of E2M1. Initializers of sixteen. */
#define LM_IQ4_VALUES -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
#define LM_MXFP4_VALUES 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12

/* Scale of sub-block k (0..15) of Q3_K, not yet less 32. */
static inline uint8_t lm_q3k_scale(const uint8_t s[12], int k)
{
    return (uint8_t)((k < 8 ? s[k] & 15 : s[k - 8] >> 4) | ((s[8 + k % 4] >> (k / 4 * 2)) & 3) << 4);
}

/* Scale and minimum of sub-block k (0..7) of Q4_K and Q5_K. */
static inline void lm_q4k_scale(const uint8_t s[12], int k, uint8_t *scale, uint8_t *min)
{
    if (k < 4) {
        *scale = s[k] & 63;
        *min = s[k + 4] & 63;
    } else {
        *scale = (uint8_t)((s[k + 4] & 15) | ((s[k - 4] >> 6) << 4));
        *min = (uint8_t)((s[k + 4] >> 4) | ((s[k] >> 6) << 4));
    }
}

#endif
