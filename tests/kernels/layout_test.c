/* SPDX-License-Identifier: MIT
 * Packed bytes are kept in files: every tier writes the same ones, and under one LM_PACKED_LAYOUT they never change. Where this test fails and
 * the change is meant, raise that number and pin the new sums. */
#include "tiers.h"

#include "tensor/type.h"

enum { K = 512 };
static const struct { uint32_t type, sum; } layout_pins[] = {
    { LM_TYPE_F32, 0x1ec38275 }, { LM_TYPE_F16, 0xd3f6be83 }, { LM_TYPE_BF16, 0xd3f6be83 }, { LM_TYPE_Q4_0, 0xc8562841 },
    { LM_TYPE_Q4_1, 0xc34d787b }, { LM_TYPE_Q5_0, 0xfa3e2f17 }, { LM_TYPE_Q5_1, 0x07046eae }, { LM_TYPE_Q8_0, 0x34c2357d },
    { LM_TYPE_Q2_K, 0x16a1cdf9 }, { LM_TYPE_Q3_K, 0x93fb8105 }, { LM_TYPE_Q4_K, 0xea6d804f }, { LM_TYPE_Q5_K, 0xdb4ab3d1 },
    { LM_TYPE_Q6_K, 0x9d3384df }, { LM_TYPE_IQ4_NL, 0xc8562841 }, { LM_TYPE_IQ4_XS, 0xf24ae6ab }, { LM_TYPE_MXFP4, 0x4b1c7f2c }
};

/* FNV-1a of a whole group and one of five rows, of bytes that all differ from their neighbours. */
static uint32_t layout_sum(const lm_kernels *k, uint32_t type)
{
    static unsigned char rows[16 * K * 4], group[16 * K * 4];
    uint64_t row_bytes = 0;
    uint32_t sum = 2166136261u, x = 1;
    lm_type_row_bytes(type, K, &row_bytes);
    for (size_t i = 0; i < 16 * row_bytes; i++) {
        x = x * 1664525u + 1013904223u;
        rows[i] = (unsigned char)(x >> 24);
    }
    for (size_t n = 16; n > 0; n = n == 16 ? 5 : 0) {
        memset(group, 0xa5, sizeof group);
        k->pack[type](group, rows, row_bytes, n, K);
        for (size_t i = 0; i < 16 * row_bytes; i++)
            sum = (sum ^ group[i]) * 16777619u;
    }
    return sum;
}

int main(void)
{
    size_t n_types = 0;
    tiers_init(offsetof(lm_kernels, pack), offsetof(lm_kernels, row));
    CHECK(LM_PACKED_LAYOUT == 1);
    for (uint32_t type = 0; type < LM_KERNEL_TYPES; type++)
        n_types += tiers_table[0].pack[type] != NULL;
    CHECK(n_types == sizeof layout_pins / sizeof *layout_pins);
    for (size_t i = 0; i < n_types; i++)
        for (int t = 0; t < tiers_count; t++) {
            uint32_t sum = layout_sum(&tiers_table[t], layout_pins[i].type);
            CHECK_MSG(sum == layout_pins[i].sum, "%s, %s: 0x%08x where 0x%08x is pinned", lm_type_get(layout_pins[i].type)->name, tiers_table[t].name, sum,
                      layout_pins[i].sum);
        }
    return TEST_DONE();
}
