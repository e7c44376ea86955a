/* SPDX-License-Identifier: MIT
 * Packing of rows into the 16-row layout with NEON, four rows a vector: kernels/pack_lanes.inc over a transpose of 4 x 4 dwords.
 * Threads: any; nothing is kept. */
#include "kernels/kernels.h"

#include "kernels/arm/arm.h"

#include "kernels/layout.h"
#include "tensor/blocks.h"
#include "tensor/type.h"

#include <string.h>

#if LM_ARM

#define PACK_LANES 4
typedef uint32_t pack_lanes __attribute__((vector_size(16)));

LM_INLINE uint32x4_t pack_load(const uint8_t *in) { return vreinterpretq_u32_u8(vld1q_u8(in)); }

LM_INLINE void pack_quad(pack_lanes w[4], const uint8_t *in, size_t stride)
{
    const uint32x4_t a = pack_load(in), b = pack_load(in + stride), c = pack_load(in + 2 * stride), d = pack_load(in + 3 * stride);
    const uint64x2_t ab = vreinterpretq_u64_u32(vtrn1q_u32(a, b)), cd = vreinterpretq_u64_u32(vtrn1q_u32(c, d));
    const uint64x2_t ab2 = vreinterpretq_u64_u32(vtrn2q_u32(a, b)), cd2 = vreinterpretq_u64_u32(vtrn2q_u32(c, d));

    w[0] = (pack_lanes)vtrn1q_u64(ab, cd);
    w[1] = (pack_lanes)vtrn1q_u64(ab2, cd2);
    w[2] = (pack_lanes)vtrn2q_u64(ab, cd);
    w[3] = (pack_lanes)vtrn2q_u64(ab2, cd2);
}

LM_INLINE void pack_put32(void *to, pack_lanes v) { vst1q_u8(to, (uint8x16_t)v); }

LM_INLINE void pack_put16(void *to, pack_lanes v) { vst1_u8(to, vreinterpret_u8_u16(vmovn_u32((uint32x4_t)v))); }

LM_INLINE void pack_put8(void *to, pack_lanes v)
{
    const uint16x4_t low = vmovn_u32((uint32x4_t)v);
    const uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(low, low))), 0);

    __builtin_memcpy(to, &bytes, 4);
}

#include "kernels/pack_lanes.inc"
#undef PACK_LANES

void lm_kernels_pack_neon(lm_kernels *table)
{
    pack_fill(table);
}

#else

void lm_kernels_pack_neon(lm_kernels *table)
{
    (void)table;
}

#endif
