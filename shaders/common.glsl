// SPDX-License-Identifier: MIT
// What all shaders share: 64 invocations, the values of a pass, the two bases that let any dispatch be cut, exact half floats, and
// elementary functions whose error does not depend on the driver (GLSL allows exp, sin and tanh far too much).
// Needs no capability beyond Shader: no subgroups, no small types, at most 16 KiB of shared memory in every user.
#ifndef COMMON_GLSL
#define COMMON_GLSL

layout(local_size_x = 64) in;

// Values are 32-bit items: floats, or ids where an operation says so. As uints, so that no driver may touch their bits.
#ifndef VALUES_ARE
#define VALUES_ARE
#endif
// VALUES_FOURS: for who reads four at a time. One variable all the same: a second, never written, would look to the layers as if all of it were read.
#ifdef VALUES_FOURS
layout(set = 0, binding = 0) VALUES_ARE buffer Values { uvec4 v[]; } values;
#define VALUE_WORD(i) values.v[(i) >> 2][(i) & 3u]
vec4 value_four(uint i) { return uintBitsToFloat(values.v[i >> 2]); }
#else
layout(set = 0, binding = 0) VALUES_ARE buffer Values { uint v[]; } values;
#define VALUE_WORD(i) values.v[i]
#endif

float value(uint i) { return uintBitsToFloat(VALUE_WORD(i)); }
void value_set(uint i, float x) { VALUE_WORD(i) = floatBitsToUint(x); }

// f16 to f32 by bits: unpackHalf2x16 may flush denormals. Infinity and NaN do not occur (a load refuses them).
float half_float(uint h)
{
    uint e = (h >> 10) & 31u, m = h & 1023u;
    float x = e == 0u ? float(m) * 5.9604644775390625e-8 : uintBitsToFloat(((h & 0x7fffu) << 13) + 0x38000000u);
    return (h & 0x8000u) != 0u ? -x : x;
}

// f32 to f16, to nearest even, clamped to +-65504; NaN stays.
uint float_half(float x)
{
    uint u = floatBitsToUint(x), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u)
        return sign | 0x7e00u;
    if (a >= 0x477fe000u)
        return sign | 0x7bffu;
    if (a < 0x38800000u) {                              // denormal: units of 2^-24
        if (a < 0x33000000u)
            return sign;
        uint shift = 126u - (a >> 23), m = (a & 0x7fffffu) | 0x800000u, whole = m >> shift, rest = m & ((1u << shift) - 1u), most = 1u << (shift - 1u);
        return sign | (whole + ((rest > most || (rest == most && (whole & 1u) != 0u)) ? 1u : 0u));
    }
    return sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13);
}

// Within 2 units of the last place; 0 below -87.
float fast_exp(float x0)
{
    float x = x0 < -87.0 ? -87.0 : x0 > 88.0 ? 88.0 : x0;
    float n = floor(x * 1.44269504088896341 + 0.5), r = fma(n, 2.12194440e-4, fma(n, -0.693359375, x));
    float p = fma(r, 1.9875691500e-4, 1.3981999507e-3);
    p = fma(p, r, 8.3334519073e-3);
    p = fma(p, r, 4.1665795894e-2);
    p = fma(p, r, 1.6666665459e-1);
    p = fma(p, r, 5.0000001201e-1);
    p = fma(p, r * r, r) + 1.0;
    return x0 < -87.0 ? 0.0 : p * uintBitsToFloat(uint(int(n) + 127) << 23);
}

float fast_tanh(float x)
{
    float e = fast_exp(-2.0 * abs(x)), t = (1.0 - e) / (1.0 + e);
    float small = x - x * x * x * (1.0 / 3.0);
    return abs(x) < 0.01 ? small : x < 0.0 ? -t : t;
}

float sigmoid(float x) { return 1.0 / (1.0 + fast_exp(-x)); }
float silu(float x) { return x * sigmoid(x); }
float gelu(float x) { return 0.5 * x * (1.0 + fast_tanh(0.7978845608028654 * fma(0.044715 * x * x, x, x))); }

#endif
