/* SPDX-License-Identifier: MIT
 * Tensor types: the table, row sizes, and the look for NaN and infinity against a plain one. */
#include "tensor/type.h"

#include "base/compiler.h"
#include "base/os.h"
#include "tensor/blocks.h"

#include "test.h"

/* Where in a block numbers stand that must be finite: count, place, bytes each. */
static const struct { uint32_t type, at[2], n, bytes; } type_numbers[] = {
    { LM_TYPE_F32, { 0 }, 1, 4 },          { LM_TYPE_F16, { 0 }, 1, 2 },    { LM_TYPE_BF16, { 0 }, 1, 2 },     { LM_TYPE_Q4_0, { 0 }, 1, 2 },
    { LM_TYPE_Q8_0, { 0 }, 1, 2 },         { LM_TYPE_Q4_K, { 0, 2 }, 2, 2 }, { LM_TYPE_Q6_K, { 208 }, 1, 2 },
    { LM_TYPE_Q4_1, { 0, 2 }, 2, 2 },      { LM_TYPE_Q5_0, { 0 }, 1, 2 },   { LM_TYPE_Q5_1, { 0, 2 }, 2, 2 },  { LM_TYPE_IQ4_NL, { 0 }, 1, 2 },
    { LM_TYPE_MXFP4, { 0 }, 1, 1 },        { LM_TYPE_Q2_K, { 80, 82 }, 2, 2 }, { LM_TYPE_Q3_K, { 108 }, 1, 2 }, { LM_TYPE_Q5_K, { 0, 2 }, 2, 2 },
    { LM_TYPE_IQ4_XS, { 0 }, 1, 2 },
};

static void test_table(void)
{
    uint64_t n = 77;
    CHECK(!lm_type_get(4) && !lm_type_get(5) && !lm_type_get(31) && !lm_type_get(33) && !lm_type_get(36) && !lm_type_get(38) && !lm_type_get(43) && !lm_type_get(UINT32_MAX));
    CHECK(strcmp(lm_type_get(LM_TYPE_Q6_K)->name, "Q6_K") == 0 && lm_type_get(42)->block == 64);
    CHECK(sizeof(lm_block_q4_0) == 18 && sizeof(lm_block_q8_0) == 34 && sizeof(lm_block_q4_k) == 144 && sizeof(lm_block_q6_k) == 210);
    CHECK(sizeof(lm_block_q4_1) == 20 && sizeof(lm_block_q5_0) == 22 && sizeof(lm_block_q5_1) == 24 && sizeof(lm_block_iq4_nl) == 18 && sizeof(lm_block_mxfp4) == 17);
    CHECK(sizeof(lm_block_q2_k) == 84 && sizeof(lm_block_q3_k) == 110 && sizeof(lm_block_q5_k) == 176 && sizeof(lm_block_iq4_xs) == 136);
    CHECK(!lm_type_row_bytes(LM_TYPE_Q4_0, 33, &n) && !lm_type_row_bytes(4, 32, &n) && !lm_type_row_bytes(LM_TYPE_F32, 1ull << 62, &n) && n == 77);
    CHECK(lm_type_row_bytes(LM_TYPE_Q4_0, 64, &n) && n == 36 && lm_type_row_bytes(LM_TYPE_Q4_K, 512, &n) && n == 288);
    CHECK(lm_type_row_bytes(LM_TYPE_F32, 0, &n) && n == 0);
}

static void put(unsigned char *at, uint32_t type, uint32_t bytes, int what)
{
    static const uint32_t f32[] = { 0x7f800000, 0xff800000, 0x7fc00000, 0xff800001, 0x7f7fffff }, f16[] = { 0x7c00, 0xfc00, 0x7e00, 0xfc01, 0x7bff },
                          bf16[] = { 0x7f80, 0xff80, 0x7fc0, 0xff81, 0x7f7f };
    static const uint32_t e8m0[] = { 0xff, 0xff, 0xff, 0xff, 0xfe };
    uint32_t value = type == LM_TYPE_MXFP4 ? e8m0[what] : type == LM_TYPE_F32 ? f32[what] : type == LM_TYPE_BF16 ? bf16[what] : f16[what];
    memcpy(at, &value, bytes);
}

static void test_finite(void)
{
    enum { BLOCKS = 301 };
    for (size_t k = 0; k < LM_COUNT(type_numbers); k++) {
        uint32_t type = type_numbers[k].type;
        const lm_type_info *info = lm_type_get(type);
        unsigned char *row = malloc(BLOCKS * info->block_bytes + 1) , *odd = row + 1;      /* files align nothing */
        uint64_t bad = 99;
        for (int what = 0; what < 5; what++)
            for (uint32_t block = 0; block < BLOCKS; block += 1 + block / 7)
                for (uint32_t n = 0; n < type_numbers[k].n; n++) {
                    bool expected = what == 4;
                    memset(odd, type_numbers[k].bytes == 4 || info->block == 1 ? 0x3c : 0xff, (size_t)BLOCKS * info->block_bytes);
                    for (uint32_t i = 0; i < BLOCKS; i++)
                        for (uint32_t m = 0; m < type_numbers[k].n; m++)
                            put(odd + i * info->block_bytes + type_numbers[k].at[m], type, type_numbers[k].bytes, 4);
                    put(odd + block * info->block_bytes + type_numbers[k].at[n], type, type_numbers[k].bytes, what);
                    bad = 99999;
                    bool got = lm_type_row_finite(type, odd, (uint64_t)BLOCKS * info->block, &bad);
                    CHECK_MSG(got == expected && (expected ? bad == 99999 : bad == block), "%s, block %u, number %d: %d, %llu", info->name, block, what, got,
                              (unsigned long long)bad);
                }
        free(row);
    }
    CHECK(lm_type_row_finite(LM_TYPE_IQ2_XS, NULL, 256, NULL) && lm_type_row_finite(LM_TYPE_F32, NULL, 0, NULL) && lm_type_row_finite(4, NULL, 32, NULL));
}

int main(void)
{
    test_table();
    test_finite();
    return TEST_DONE();
}
