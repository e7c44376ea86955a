/* SPDX-License-Identifier: MIT
 * Block layouts as they stand in files. All fields are little-endian; f16 fields are bits in a uint16_t. Floor 1.
 * Source: ggml-common.h; the formulas stand beside each. Structs have no padding; files may hold them at any alignment. */
#ifndef LM_TENSOR_BLOCKS_H
#define LM_TENSOR_BLOCKS_H

#include <stdint.h>

/* w[j] = d (lo(qs[j]) - 8), w[j+16] = d (hi(qs[j]) - 8), j < 16 */
typedef struct lm_block_q4_0 { uint16_t d; uint8_t qs[16]; } lm_block_q4_0;
/* w[k] = d qs[k] */
typedef struct lm_block_q8_0 { uint16_t d; int8_t qs[32]; } lm_block_q8_0;
/* Eight sub-blocks of 32: w = (d sc) q - (dmin mn), sc and mn of six bits packed in `scales` (lm_q4k_scale) */
typedef struct lm_block_q4_k { uint16_t d, dmin; uint8_t scales[12], qs[128]; } lm_block_q4_k;
/* Sixteen sub-blocks of 16: w = d scales[i/16] (q - 32); q: low four bits in ql, high two in qh */
typedef struct lm_block_q6_k { uint8_t ql[128], qh[64]; int8_t scales[16]; uint16_t d; } lm_block_q6_k;

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
