/* SPDX-License-Identifier: MIT
 * f16 and bf16 to and from f32, in bits, round to nearest even, as F16C and NEON do; powers of two of eight bits. Floor 0. */
#ifndef LM_BASE_HALF_H
#define LM_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float lm_f32_from_bits(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline uint32_t lm_bits_from_f32(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }

static inline float lm_f32_from_bf16(uint16_t h) { return lm_f32_from_bits((uint32_t)h << 16); }

/* 2^(e - 128): half of what E8M0 says, as MXFP4's values are doubled. e < 2: subnormal. 255 is no number there; here it is 2^127. */
static inline float lm_f32_from_e8m0(uint8_t e) { return lm_f32_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23); }

static inline float lm_f32_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
    if (exponent == 31)                                     /* infinity, NaN (made quiet) */
        return lm_f32_from_bits(sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0));
    if (exponent != 0)
        return lm_f32_from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
    float tiny = (float)mantissa * 0x1p-24f;                /* zero and subnormals: exact */
    return lm_f32_from_bits(sign | lm_bits_from_f32(tiny));
}

static inline uint16_t lm_f16_from_f32(float x)
{
    uint32_t bits = lm_bits_from_f32(x), sign = (bits >> 16) & 0x8000u, a = bits & 0x7fffffffu;
    if (a > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((a >> 13) & 0x3ffu));
    if (a >= 0x477ff000u)                                   /* 65520 and up round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (a < 0x38800000u) {                                  /* below 2^-14: subnormal; adding 0.5 rounds at bit 2^-24 */
        float rounded = lm_f32_from_bits(a) + 0.5f;
        return (uint16_t)(sign | (lm_bits_from_f32(rounded) - 0x3f000000u));
    }
    return (uint16_t)(sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
}

#endif
