/* SPDX-License-Identifier: MIT
 * The choice of kernels: one ladder a machine, from the reference upward, that stops at the first missing feature or at the mask.
 * A tier changes the time and no bit (docs/ARITHMETIC.md). Threads: any; nothing is kept. */
#include "kernels/kernels.h"

#include "tensor/type.h"
#include "base/cpu.h"

#include <string.h>

static int32_t kernels_fill_x86(lm_kernels *table, uint32_t features, int32_t most)
{
    const uint32_t avx512 = LM_CPU_AVX512 | LM_CPU_AVX512_VNNI;

    if (!(features & LM_CPU_AVX2) || (most != 0 && most < LM_TIER_AVX2))
        return LM_TIER_REFERENCE;
    table->name = "avx2";
    lm_kernels_linear_avx2(table);
    lm_kernels_linear_32_avx2(table);
    lm_kernels_linear_256_avx2(table);
    lm_kernels_acts_avx2(table);
    lm_kernels_attend_avx2(table);
    lm_kernels_pack_avx2(table);

    if ((features & avx512) != avx512 || (most != 0 && most < LM_TIER_AVX512))
        return LM_TIER_AVX2;
    table->name = "avx512";
    lm_kernels_linear_avx512(table);
    lm_kernels_linear_32_avx512(table);
    lm_kernels_linear_256_avx512(table);
    lm_kernels_acts_avx512(table);
    lm_kernels_attend_avx512(table);

    if (!(features & LM_CPU_AMX_INT8) || most != LM_TIER_AMX || !lm_kernels_linear_amx(table))
        return LM_TIER_AVX512;
    table->name = "amx";
    return LM_TIER_AMX;
}

/* Dot products are an extension that nearly every processor with NEON has: the tier of NEON takes them where they are. */
static int32_t kernels_fill_arm(lm_kernels *table, uint32_t features, int32_t most)
{
    const uint32_t i8mm = LM_CPU_DOTPROD | LM_CPU_I8MM;

    if (!(features & LM_CPU_NEON) || (most != 0 && most < LM_TIER_NEON))
        return LM_TIER_REFERENCE;
    table->name = "neon";
    lm_kernels_linear_neon(table);
    lm_kernels_acts_neon(table);
    lm_kernels_attend_neon(table);
    lm_kernels_pack_neon(table);
    if (features & LM_CPU_DOTPROD)
        lm_kernels_linear_dot(table);

    if ((features & i8mm) != i8mm || (most != 0 && most < LM_TIER_NEON_I8MM))
        return LM_TIER_NEON;
    table->name = "neon-i8mm";
    lm_kernels_linear_i8mm(table);
    return LM_TIER_NEON_I8MM;
}

int32_t lm_kernels_fill(lm_kernels *table, uint32_t features, int32_t most)
{
    memset(table, 0, sizeof(*table));
    table->name = "reference";
    lm_kernels_linear_ref(table);
    lm_kernels_linear_32_ref(table);
    lm_kernels_linear_256_ref(table);
    lm_kernels_acts_ref(table);
    lm_kernels_attend_ref(table);
    return features & LM_CPU_NEON ? kernels_fill_arm(table, features, most) : kernels_fill_x86(table, features, most);
}

size_t lm_group_bytes(uint32_t type, size_t k)
{
    const lm_type_info *info = lm_type_get(type);

    if (!info || !info->computes)
        return 0;
    return k / info->block * info->block_bytes * LM_GROUP;
}
