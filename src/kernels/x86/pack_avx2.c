/* SPDX-License-Identifier: MIT
 * Packing of rows into the 16-row layout with AVX2, eight rows a vector: kernels/pack_lanes.inc over a transpose of 8 x 4 dwords.
 * Wider vectors would gain nothing: fresh memory takes the results more slowly than this gives them. Threads: any; nothing is kept. */
#include "kernels/kernels.h"

#include "kernels/x86/x86.h"

#include "kernels/layout.h"
#include "tensor/blocks.h"
#include "tensor/type.h"

#include <string.h>

#if LM_X86
LM_TARGET_AVX2

#define PACK_LANES 8
typedef uint32_t pack_lanes __attribute__((vector_size(32)));

LM_INLINE __m256i pack_two(const uint8_t *low, const uint8_t *high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)low)),
                                   _mm_loadu_si128((const __m128i *)(const void *)high), 1);
}

LM_INLINE void pack_quad(pack_lanes w[4], const uint8_t *in, size_t stride)
{
    const __m256i a = pack_two(in, in + 4 * stride), b = pack_two(in + stride, in + 5 * stride);
    const __m256i c = pack_two(in + 2 * stride, in + 6 * stride), d = pack_two(in + 3 * stride, in + 7 * stride);
    const __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
    const __m256i ab2 = _mm256_unpackhi_epi32(a, b), cd2 = _mm256_unpackhi_epi32(c, d);

    w[0] = (pack_lanes)_mm256_unpacklo_epi64(ab, cd);
    w[1] = (pack_lanes)_mm256_unpackhi_epi64(ab, cd);
    w[2] = (pack_lanes)_mm256_unpacklo_epi64(ab2, cd2);
    w[3] = (pack_lanes)_mm256_unpackhi_epi64(ab2, cd2);
}

LM_INLINE void pack_put32(void *to, pack_lanes v) { _mm256_storeu_si256(to, (__m256i)v); }

LM_INLINE __m128i pack_low16(pack_lanes v)
{
    const __m256i low = (__m256i)(v & 0xffffu);

    return _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
}

LM_INLINE void pack_put16(void *to, pack_lanes v) { _mm_storeu_si128(to, pack_low16(v)); }

LM_INLINE void pack_put8(void *to, pack_lanes v)
{
    const __m128i low = pack_low16(v & 0xffu);

    _mm_storel_epi64(to, _mm_packus_epi16(low, low));
}

#include "kernels/pack_lanes.inc"
#undef PACK_LANES

LM_TARGET_END

void lm_kernels_pack_avx2(lm_kernels *table)
{
    pack_fill(table);
}

#else

void lm_kernels_pack_avx2(lm_kernels *table)
{
    (void)table;
}

#endif
