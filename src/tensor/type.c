/* SPDX-License-Identifier: MIT
 * The table of tensor types, and the look at scales and floats for NaN and infinity. The look works on bits, eight bytes at a
 * time where values stand side by side: a load reads every weight once, and this must not be what it waits for. */
#include "tensor/type.h"

#include "tensor/blocks.h"

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

static uint32_t type_f16_bad(const unsigned char *at)
{
    uint16_t h;
    memcpy(&h, at, 2);
    return ((h & 0x7fffu) + 0x400u) & 0x8000u;
}

/* n_f16 scales (1 or 2, side by side) at byte `at` of each block. */
static bool type_scales_finite(const unsigned char *row, uint64_t n_blocks, uint64_t block_bytes, uint64_t at, int n_f16, uint64_t *bad)
{
    uint32_t seen = 0;
    for (uint64_t i = 0; i < n_blocks; i++)
        seen |= type_f16_bad(row + i * block_bytes + at) | type_f16_bad(row + i * block_bytes + at + 2 * (uint64_t)(n_f16 - 1));
    for (uint64_t i = 0; seen && i < n_blocks; i++)
        if (type_f16_bad(row + i * block_bytes + at) | type_f16_bad(row + i * block_bytes + at + 2 * (uint64_t)(n_f16 - 1))) {
            *bad = i;
            return false;
        }
    return true;
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
    case LM_TYPE_Q4_0:
    case LM_TYPE_Q5_0:
    case LM_TYPE_IQ4_NL:
    case LM_TYPE_IQ4_XS:
    case LM_TYPE_Q8_0: return type_scales_finite(row, n / info->block, info->block_bytes, 0, 1, bad_block);
    case LM_TYPE_Q4_1:
    case LM_TYPE_Q5_1:
    case LM_TYPE_Q5_K:
    case LM_TYPE_Q4_K: return type_scales_finite(row, n / info->block, info->block_bytes, 0, 2, bad_block);
    case LM_TYPE_Q2_K: return type_scales_finite(row, n / info->block, info->block_bytes, offsetof(lm_block_q2_k, d), 2, bad_block);
    case LM_TYPE_Q3_K: return type_scales_finite(row, n / info->block, info->block_bytes, offsetof(lm_block_q3_k, d), 1, bad_block);
    case LM_TYPE_Q6_K: return type_scales_finite(row, n / info->block, info->block_bytes, offsetof(lm_block_q6_k, d), 1, bad_block);
    case LM_TYPE_MXFP4: return type_e8m0_finite(row, n / info->block, info->block_bytes, bad_block);
    default: return true;
    }
}
