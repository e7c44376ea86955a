/* SPDX-License-Identifier: MIT
 * The table of tensor types, and the look at scales and floats for NaN and infinity. The look works on bits, eight bytes at a
 * time where values stand side by side: a load reads every weight once, and this must not be what it waits for. */
#include "tensor/type.h"

#include "tensor/blocks.h"

#include "base/compiler.h"
#include "base/size.h"

#include <string.h>

static const lm_type_info type_table[LM_TYPE_COUNT] = {
#define TYPE_ROW(type, id, block_values, bytes, can) [id] = { #type, block_values, bytes, can },
    LM_TYPES(TYPE_ROW)
#undef TYPE_ROW
};

const lm_type_info *lm_type_get(uint32_t id) { return id < LM_TYPE_COUNT && type_table[id].name ? &type_table[id] : NULL; }

bool lm_type_row_bytes(uint32_t type, uint64_t n, uint64_t *out)
{
    const lm_type_info *info = lm_type_get(type);
    return info && n % info->block == 0 && lm_mul_u64(n / info->block, info->block_bytes, out);
}

/* Adding one to the exponent field carries into the (masked) sign bit exactly when the exponent was all ones. */
static bool type_plain_finite(const unsigned char *row, uint64_t n, uint64_t item_bytes, uint64_t mask, uint64_t one, uint64_t *bad)
{
    uint64_t bytes = n * item_bytes, i = 0, top = ~mask;
    while (bytes - i >= 256) {
        uint64_t seen = 0;
        for (int k = 0; k < 32; k++) {
            uint64_t word;
            memcpy(&word, row + i + 8 * k, 8);
            seen |= (word & mask) + one;
        }
        if (seen & top)
            break;                                          /* below, item by item, says which */
        i += 256;
    }
    for (; i < bytes; i += item_bytes) {
        uint64_t word = 0;
        memcpy(&word, row + i, (size_t)item_bytes);
        if (((word & mask) + one) & top & (item_bytes == 4 ? 0xffffffffu : 0xffffu)) {
            *bad = i / item_bytes;
            return false;
        }
    }
    return true;
}

/* n_f16 scales (1 or 2, side by side) at byte `at` of each block. The carry of a bad one stays in bit 15 or 31 of what was seen. */
LM_INLINE uint32_t type_scales_carry(const unsigned char *at, int n_f16)
{
    uint16_t one;
    uint32_t two;
    if (n_f16 == 2) {
        memcpy(&two, at, 4);
        return (two & 0x7fff7fffu) + 0x04000400u;
    }
    memcpy(&one, at, 2);
    return (one & 0x7fffu) + 0x0400u;
}

LM_INLINE bool type_scales_finite(const unsigned char *row, uint64_t n_blocks, uint64_t block_bytes, uint64_t at, int n_f16, uint64_t *bad)
{
    uint32_t seen = 0;
    uint64_t i = 0;
    for (; i + 4 <= n_blocks; i += 4)
        for (uint64_t k = i; k < i + 4; k++)
            seen |= type_scales_carry(row + k * block_bytes + at, n_f16);
    for (; i < n_blocks; i++)
        seen |= type_scales_carry(row + i * block_bytes + at, n_f16);
    if (!(seen & 0x80008000u))
        return true;
    for (i = 0; !(type_scales_carry(row + i * block_bytes + at, n_f16) & 0x80008000u); i++)
        ;
    *bad = i;
    return false;
}

/* The scales of MXFP4, one byte a block. */
static bool type_e8m0_finite(const unsigned char *row, uint64_t n_blocks, uint64_t block_bytes, uint64_t *bad)
{
    for (uint64_t i = 0; i < n_blocks; i++)
        if (row[i * block_bytes] == 0xff) {
            *bad = i;
            return false;
        }
    return true;
}

bool lm_type_row_finite(uint32_t type, const void *row, uint64_t n, uint64_t *bad_block)
{
    const lm_type_info *info = lm_type_get(type);
    switch (type) {
    case LM_TYPE_F32: return type_plain_finite(row, n, 4, 0x7fffffff7fffffffu, 0x0080000000800000u, bad_block);
    case LM_TYPE_F16: return type_plain_finite(row, n, 2, 0x7fff7fff7fff7fffu, 0x0400040004000400u, bad_block);
    case LM_TYPE_BF16: return type_plain_finite(row, n, 2, 0x7fff7fff7fff7fffu, 0x0080008000800080u, bad_block);
#define TYPE_LOOK(type, block_type, n_values, first, n_f16) \
    case LM_TYPE_##type: return type_scales_finite(row, n / (n_values), sizeof(block_type), offsetof(block_type, first), n_f16, bad_block);
    TYPE_LOOK(Q4_0, lm_block_q4_0, 32, d, 1)
    TYPE_LOOK(Q5_0, lm_block_q5_0, 32, d, 1)
    TYPE_LOOK(Q8_0, lm_block_q8_0, 32, d, 1)
    TYPE_LOOK(IQ4_NL, lm_block_iq4_nl, 32, d, 1)
    TYPE_LOOK(IQ4_XS, lm_block_iq4_xs, 256, d, 1)
    TYPE_LOOK(Q4_1, lm_block_q4_1, 32, d, 2)
    TYPE_LOOK(Q5_1, lm_block_q5_1, 32, d, 2)
    TYPE_LOOK(Q4_K, lm_block_q4_k, 256, d, 2)
    TYPE_LOOK(Q5_K, lm_block_q5_k, 256, d, 2)
    TYPE_LOOK(Q2_K, lm_block_q2_k, 256, d, 2)
    TYPE_LOOK(Q3_K, lm_block_q3_k, 256, d, 1)
    TYPE_LOOK(Q6_K, lm_block_q6_k, 256, d, 1)
#undef TYPE_LOOK
    case LM_TYPE_MXFP4: return type_e8m0_finite(row, n / info->block, info->block_bytes, bad_block);
    default: return true;
    }
}
