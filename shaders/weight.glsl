// SPDX-License-Identifier: MIT
// The weight types: eight neighbouring values of a row, from planes (src/backend/vulkan/planes.c says which bytes of a file's block each
// plane holds, in the same order). TYPE is GGUF's id. BLOCK: values a block; plain types count in blocks of eight.
// A user has the planes' first words in push.plane0 to plane3; one that reads two matrices at once (WEIGHT_TWO) has the second's in push.up0 to
// up3. m: which of them; always a constant.
layout(set = 1, binding = 0) readonly buffer Weights { uint w[]; } weights;
#ifdef WEIGHT_TWO
layout(set = 3, binding = 0) readonly buffer WeightsUp { uint w[]; } weights_up;
uint word(uint m, uint i) { return m == 0u ? weights.w[i] : weights_up.w[i]; }
uint plane0(uint m) { return m == 0u ? push.plane0 : push.up0; }
uint plane1(uint m) { return m == 0u ? push.plane1 : push.up1; }
uint plane2(uint m) { return m == 0u ? push.plane2 : push.up2; }
uint plane3(uint m) { return m == 0u ? push.plane3 : push.up3; }
#else
#define word(m, i) weights.w[i]
#define plane0(m) push.plane0
#define plane1(m) push.plane1
#define plane2(m) push.plane2
#define plane3(m) push.plane3
#endif

#if TYPE <= 1 || TYPE == 30
#define BLOCK 8
#elif TYPE == 2 || TYPE == 3 || TYPE == 6 || TYPE == 7 || TYPE == 8 || TYPE == 20 || TYPE == 39
#define BLOCK 32
#else
#define BLOCK 256
#endif

float plane_half(uint m, uint plane, uint i) { return half_float((word(m, plane + (i >> 1)) >> (16u * (i & 1u))) & 0xffffu); }
uint plane_byte(uint m, uint plane, uint i) { return (word(m, plane + (i >> 2)) >> (8u * (i & 3u))) & 255u; }
vec4 bytes(uint x) { return vec4(float(x & 255u), float((x >> 8) & 255u), float((x >> 16) & 255u), float(x >> 24)); }
vec4 signed_bytes(uint x) { return vec4(float(int(x << 24) >> 24), float(int(x << 16) >> 24), float(int(x << 8) >> 24), float(int(x) >> 24)); }
// Bits i to i + 3 of x, each times 2^to.
vec4 bits(uint x, uint i, uint to) { return vec4(float(((x >> i) & 1u) << to), float(((x >> (i + 1u)) & 1u) << to), float(((x >> (i + 2u)) & 1u) << to), float(((x >> (i + 3u)) & 1u) << to)); }

#if TYPE == 20 || TYPE == 23
const float levels[16] = float[16](-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0);
#elif TYPE == 39
const float levels[16] = float[16](0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0);
#endif
#if TYPE == 20 || TYPE == 23 || TYPE == 39
vec4 looked_up(uint x) { return vec4(levels[x & 15u], levels[(x >> 8) & 15u], levels[(x >> 16) & 15u], levels[(x >> 24) & 15u]); }
#endif

#if TYPE == 12 || TYPE == 13
// Six-bit scale and minimum of sub-block s.
vec2 scale_and_min(uint m, uint at, uint s)
{
    uint sh = 8u * (s & 3u), a = word(m, at) >> sh, b = word(m, at + 1u) >> sh, c = word(m, at + 2u) >> sh;
    return s < 4u ? vec2(float(a & 63u), float(b & 63u)) : vec2(float((c & 15u) | ((a >> 2) & 48u)), float(((c >> 4) & 15u) | ((b >> 2) & 48u)));
}
#endif

// Values k to k + 7 (k a multiple of 8) of the row whose first block is `first`.
void weight8(uint m, uint first, uint k, out vec4 lo, out vec4 hi)
{
    uint b = first + k / uint(BLOCK), i = k % uint(BLOCK);
#if TYPE == 0
    uint at = plane0(m) + 8u * b;
    lo = vec4(uintBitsToFloat(word(m, at)), uintBitsToFloat(word(m, at + 1u)), uintBitsToFloat(word(m, at + 2u)), uintBitsToFloat(word(m, at + 3u)));
    hi = vec4(uintBitsToFloat(word(m, at + 4u)), uintBitsToFloat(word(m, at + 5u)), uintBitsToFloat(word(m, at + 6u)), uintBitsToFloat(word(m, at + 7u)));
#elif TYPE == 1
    uint at = plane0(m) + 4u * b, x = word(m, at), y = word(m, at + 1u), z = word(m, at + 2u), u = word(m, at + 3u);
    lo = vec4(half_float(x & 0xffffu), half_float(x >> 16), half_float(y & 0xffffu), half_float(y >> 16));
    hi = vec4(half_float(z & 0xffffu), half_float(z >> 16), half_float(u & 0xffffu), half_float(u >> 16));
#elif TYPE == 30
    uint at = plane0(m) + 4u * b, x = word(m, at), y = word(m, at + 1u), z = word(m, at + 2u), u = word(m, at + 3u);
    lo = uintBitsToFloat(uvec4(x << 16, x & 0xffff0000u, y << 16, y & 0xffff0000u));
    hi = uintBitsToFloat(uvec4(z << 16, z & 0xffff0000u, u << 16, u & 0xffff0000u));
#elif TYPE == 8
    uint at = plane0(m) + 8u * b + (i >> 2);
    float d = plane_half(m, plane1(m), b);
    lo = d * signed_bytes(word(m, at));
    hi = d * signed_bytes(word(m, at + 1u));
#elif BLOCK == 32
    uint at = plane0(m) + 4u * b + ((i & 15u) >> 2), sh = (i & 16u) >> 2;
    uint x = (word(m, at) >> sh) & 0x0f0f0f0fu, y = (word(m, at + 1u) >> sh) & 0x0f0f0f0fu;
#if TYPE == 2
    float d = plane_half(m, plane1(m), b);
    lo = d * (bytes(x) - 8.0);
    hi = d * (bytes(y) - 8.0);
#elif TYPE == 3
    uint dm = word(m, plane1(m) + b);
    float d = half_float(dm & 0xffffu), low = half_float(dm >> 16);
    lo = d * bytes(x) + low;
    hi = d * bytes(y) + low;
#elif TYPE == 6
    uint q5 = word(m, plane1(m) + b);
    float d = plane_half(m, plane2(m), b);
    lo = d * (bytes(x) + bits(q5, i, 4u) - 16.0);
    hi = d * (bytes(y) + bits(q5, i + 4u, 4u) - 16.0);
#elif TYPE == 7
    uint q5 = word(m, plane1(m) + b), dm = word(m, plane2(m) + b);
    float d = half_float(dm & 0xffffu), low = half_float(dm >> 16);
    lo = d * (bytes(x) + bits(q5, i, 4u)) + low;
    hi = d * (bytes(y) + bits(q5, i + 4u, 4u)) + low;
#elif TYPE == 20
    float d = plane_half(m, plane1(m), b);
    lo = d * looked_up(x);
    hi = d * looked_up(y);
#elif TYPE == 39
    uint e = plane_byte(m, plane1(m), b);
    float d = uintBitsToFloat(e < 2u ? 0x00200000u << e : (e - 1u) << 23);
    lo = d * looked_up(x);
    hi = d * looked_up(y);
#endif
#elif TYPE == 10
    uint at = plane0(m) + 16u * b + (i >> 7) * 8u + ((i & 31u) >> 2), sh = 2u * ((i >> 5) & 3u), s = plane_byte(m, plane1(m), 16u * b + (i >> 4)), dm = word(m, plane2(m) + b);
    float d = half_float(dm & 0xffffu) * float(s & 15u), low = half_float(dm >> 16) * float(s >> 4);
    lo = d * bytes((word(m, at) >> sh) & 0x03030303u) - low;
    hi = d * bytes((word(m, at + 1u) >> sh) & 0x03030303u) - low;
#elif TYPE == 11
    uint at = plane0(m) + 16u * b + (i >> 7) * 8u + ((i & 31u) >> 2), sh = 2u * ((i >> 5) & 3u), top = plane1(m) + 8u * b + ((i & 31u) >> 2), bit = i >> 5, s = i >> 4, at_s = 12u * b;
    uint bottom = plane_byte(m, plane2(m), at_s + (s & 7u)), high = plane_byte(m, plane2(m), at_s + 8u + (s & 3u));
    float d = plane_half(m, plane3(m), b) * (float((s < 8u ? bottom & 15u : bottom >> 4) | (((high >> (2u * (s >> 2))) & 3u) << 4)) - 32.0);
    lo = d * (bytes(((word(m, at) >> sh) & 0x03030303u) | (((word(m, top) >> bit) & 0x01010101u) << 2)) - 4.0);
    hi = d * (bytes(((word(m, at + 1u) >> sh) & 0x03030303u) | (((word(m, top + 1u) >> bit) & 0x01010101u) << 2)) - 4.0);
#elif TYPE == 12
    uint at = plane0(m) + 32u * b + (i >> 6) * 8u + ((i & 31u) >> 2), sh = (i & 32u) >> 3, dm = word(m, plane2(m) + b);
    vec2 s = scale_and_min(m, plane1(m) + 3u * b, i >> 5);
    float d = half_float(dm & 0xffffu) * s.x, low = half_float(dm >> 16) * s.y;
    lo = d * bytes((word(m, at) >> sh) & 0x0f0f0f0fu) - low;
    hi = d * bytes((word(m, at + 1u) >> sh) & 0x0f0f0f0fu) - low;
#elif TYPE == 13
    uint at = plane0(m) + 32u * b + (i >> 6) * 8u + ((i & 31u) >> 2), sh = (i & 32u) >> 3, top = plane3(m) + 8u * b + ((i & 31u) >> 2), bit = i >> 5, dm = word(m, plane2(m) + b);
    vec2 s = scale_and_min(m, plane1(m) + 3u * b, i >> 5);
    float d = half_float(dm & 0xffffu) * s.x, low = half_float(dm >> 16) * s.y;
    lo = d * bytes(((word(m, at) >> sh) & 0x0f0f0f0fu) | (((word(m, top) >> bit) & 0x01010101u) << 4)) - low;
    hi = d * bytes(((word(m, at + 1u) >> sh) & 0x0f0f0f0fu) | (((word(m, top + 1u) >> bit) & 0x01010101u) << 4)) - low;
#elif TYPE == 14
    uint quarter = (i >> 5) & 3u, j = (i & 31u) >> 2, at = plane0(m) + 32u * b + (i >> 7) * 16u + (quarter & 1u) * 8u + j, top = plane1(m) + 16u * b + (i >> 7) * 8u + j;
    uint sh = 4u * (quarter >> 1), up = 2u * quarter, s = plane_byte(m, plane2(m), 16u * b + (i >> 4));
    float d = plane_half(m, plane3(m), b) * float(int(s << 24) >> 24);
    lo = d * (bytes(((word(m, at) >> sh) & 0x0f0f0f0fu) | (((word(m, top) >> up) & 0x03030303u) << 4)) - 32.0);
    hi = d * (bytes(((word(m, at + 1u) >> sh) & 0x0f0f0f0fu) | (((word(m, top + 1u) >> up) & 0x03030303u) << 4)) - 32.0);
#elif TYPE == 23
    uint at = plane0(m) + 32u * b + (i >> 5) * 4u + ((i & 15u) >> 2), sh = (i & 16u) >> 2, s = i >> 5, head = word(m, plane2(m) + b);
    float d = half_float(head & 0xffffu) * (float(((word(m, plane1(m) + b) >> (4u * s)) & 15u) | (((head >> (16u + 2u * s)) & 3u) << 4)) - 32.0);
    lo = d * looked_up((word(m, at) >> sh) & 0x0f0f0f0fu);
    hi = d * looked_up((word(m, at + 1u) >> sh) & 0x0f0f0f0fu);
#else
#error "no such type"
#endif
}
