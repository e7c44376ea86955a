// SPDX-License-Identifier: MIT
// The weight types: sixteen values of a row at a time, from planes (src/backend/vulkan/planes.c says which bytes of a file's block each
// plane holds, in the same order). TYPE is GGUF's id. BLOCK: values a block; plain types count in blocks of sixteen.
// A unit is what can be unpacked from neighbouring words: eight neighbours and the eight that stand SPAN behind them. Units of a row follow one
// another in their words, so that neighbouring invocations with neighbouring units read neighbouring words, twos and fours at once.
// A user has the planes' first words in push.plane0 to plane3; one that reads two matrices at once (WEIGHT_TWO) has the second's in push.up0 to
// up3. m: which of them; always a constant.
layout(set = 1, binding = 0) readonly buffer Weights { uint w[]; } weights;
layout(set = 1, binding = 0) readonly buffer Weights2 { uvec2 w[]; } weights2;        // the same: planes begin at whole fours of words
layout(set = 1, binding = 0) readonly buffer Weights4 { uvec4 w[]; } weights4;
#ifdef WEIGHT_TWO
layout(set = 3, binding = 0) readonly buffer WeightsUp { uint w[]; } weights_up;
layout(set = 3, binding = 0) readonly buffer WeightsUp2 { uvec2 w[]; } weights_up2;
layout(set = 3, binding = 0) readonly buffer WeightsUp4 { uvec4 w[]; } weights_up4;
uint word(uint m, uint i) { return m == 0u ? weights.w[i] : weights_up.w[i]; }
uvec2 word2(uint m, uint i) { return m == 0u ? weights2.w[i] : weights_up2.w[i]; }
uvec4 word4(uint m, uint i) { return m == 0u ? weights4.w[i] : weights_up4.w[i]; }
uint plane0(uint m) { return m == 0u ? push.plane0 : push.up0; }
uint plane1(uint m) { return m == 0u ? push.plane1 : push.up1; }
uint plane2(uint m) { return m == 0u ? push.plane2 : push.up2; }
uint plane3(uint m) { return m == 0u ? push.plane3 : push.up3; }
#else
#define word(m, i) weights.w[i]
#define word2(m, i) weights2.w[i]
#define word4(m, i) weights4.w[i]
#define plane0(m) push.plane0
#define plane1(m) push.plane1
#define plane2(m) push.plane2
#define plane3(m) push.plane3
#endif

#if TYPE <= 1 || TYPE == 30
#define BLOCK 16
#define SPAN 8u
#elif TYPE == 8
#define BLOCK 32
#define SPAN 8u
#elif TYPE == 2 || TYPE == 3 || TYPE == 6 || TYPE == 7 || TYPE == 20 || TYPE == 39
#define BLOCK 32
#define SPAN 16u
#else
#define BLOCK 256
#if TYPE == 14
#define SPAN 64u
#elif TYPE == 23
#define SPAN 16u
#else
#define SPAN 32u
#endif
#endif
const uint BLOCK_UNITS = uint(BLOCK) / 16u;

// The value is scale * q + low: .x of the first two fours, .y of the others. What is the same for all is said, so that users need not compute with it:
// SCALES: 0: every scale is 1; 1: both are .x; 2. LOWS: 0: every low is 0; 1: both are .x; 2.
#if BLOCK == 16
#define SCALES 0
#elif BLOCK == 32 || TYPE == 23
#define SCALES 1
#else
#define SCALES 2
#endif
#if BLOCK == 16 || TYPE == 8 || TYPE == 20 || TYPE == 23 || TYPE == 39
#define LOWS 0
#elif BLOCK == 32
#define LOWS 1
#else
#define LOWS 2
#endif
// Four words of what is not unpacked yet come first, so that a user may do so when it needs them: the first two fours are neighbours, the others SPAN behind.
#if TYPE == 0
struct Sixteen { uvec4 q[4]; vec2 scale, low; };
#elif BLOCK == 16
struct Sixteen { uvec4 q[2]; vec2 scale, low; };
#else
struct Sixteen { uvec4 q; vec2 scale, low; };           // a byte a value
#endif

// Where the first value of a row's unit stands. Rows have whole blocks of units.
uint unit_at(uint u) { return 2u * SPAN * (u / (SPAN / 8u)) + 8u * (u % (SPAN / 8u)); }

float plane_half(uint m, uint plane, uint i) { return half_float((word(m, plane + (i >> 1)) >> (16u * (i & 1u))) & 0xffffu); }
uint plane_byte(uint m, uint plane, uint i) { return (word(m, plane + (i >> 2)) >> (8u * (i & 3u))) & 255u; }
vec4 bytes(uint x) { return vec4(float(x & 255u), float((x >> 8) & 255u), float((x >> 16) & 255u), float(x >> 24)); }
vec4 signed_bytes(uint x) { return vec4(float(int(x << 24) >> 24), float(int(x << 16) >> 24), float(int(x << 8) >> 24), float(int(x) >> 24)); }
// Four bits, from i on, as bit 4 of four bytes.
uint spread(uint x, uint i) { return ((x >> i) & 1u) << 4 | ((x >> (i + 1u)) & 1u) << 12 | ((x >> (i + 2u)) & 1u) << 20 | ((x >> (i + 3u)) & 1u) << 28; }
int signed_byte(uint x) { return int(x << 24) >> 24; }

#if TYPE == 20 || TYPE == 23
const float levels[16] = float[16](-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0);
#elif TYPE == 39
const float levels[16] = float[16](0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0);
#endif
#if TYPE == 20 || TYPE == 23 || TYPE == 39
vec4 looked_up(uint x) { return vec4(levels[x & 15u], levels[(x >> 8) & 15u], levels[(x >> 16) & 15u], levels[(x >> 24) & 15u]); }
#endif

// Unit u of the row whose first block is `first`.
Sixteen weight16(uint m, uint first, uint u)
{
    Sixteen s;
    uint b = first + u / BLOCK_UNITS, v = u % BLOCK_UNITS;
    s.scale = vec2(1.0);
    s.low = vec2(0.0);
#if TYPE == 0
    uint at = (plane0(m) >> 2) + 4u * b;
    s.q[0] = word4(m, at);
    s.q[1] = word4(m, at + 1u);
    s.q[2] = word4(m, at + 2u);
    s.q[3] = word4(m, at + 3u);
#elif BLOCK == 16
    uint at = (plane0(m) >> 2) + 2u * b;
    s.q[0] = word4(m, at);
    s.q[1] = word4(m, at + 1u);
#elif TYPE == 8
    s.q = word4(m, (plane0(m) >> 2) + 2u * b + v);
    s.scale = vec2(plane_half(m, plane1(m), b));
#elif BLOCK == 32
    uvec2 x = word2(m, (plane0(m) >> 1) + 2u * b + v), lo = x & 0x0f0f0f0fu, hi = (x >> 4) & 0x0f0f0f0fu;
#if TYPE == 6 || TYPE == 7
    uint top = word(m, plane1(m) + b) >> (8u * v);
    lo |= uvec2(spread(top, 0u), spread(top, 4u));
    hi |= uvec2(spread(top, 16u), spread(top, 20u));
#endif
    s.q = uvec4(lo, hi);
#if TYPE == 2
    s.scale = vec2(plane_half(m, plane1(m), b));
    s.low = -8.0 * s.scale;
#elif TYPE == 6
    s.scale = vec2(plane_half(m, plane2(m), b));
    s.low = -16.0 * s.scale;
#elif TYPE == 3 || TYPE == 7
    uint dm = word(m, (TYPE == 3 ? plane1(m) : plane2(m)) + b);
    s.scale = vec2(half_float(dm & 0xffffu));
    s.low = vec2(half_float(dm >> 16));
#elif TYPE == 20
    s.scale = vec2(plane_half(m, plane1(m), b));
#elif TYPE == 39
    uint e = plane_byte(m, plane1(m), b);
    s.scale = vec2(uintBitsToFloat(e < 2u ? 0x00200000u << e : (e - 1u) << 23));
#endif
#elif TYPE == 10 || TYPE == 11
    // 64 values: four units, two of the four pairs of bits in a word.
    uint p = v >> 2, j = v & 3u, half_of = j >> 1;
    uvec2 x = word2(m, (plane0(m) >> 1) + 8u * b + 4u * (p >> 1) + j) >> (4u * (p & 1u)), lo = x & 0x03030303u, hi = (x >> 2) & 0x03030303u;
#if TYPE == 10
    uint sc = word(m, plane1(m) + 4u * b + p) >> (8u * half_of), dm = word(m, plane2(m) + b);
    s.scale = half_float(dm & 0xffffu) * vec2(float(sc & 15u), float((sc >> 16) & 15u));
    s.low = -half_float(dm >> 16) * vec2(float((sc >> 4) & 15u), float((sc >> 20) & 15u));
#else
    uvec2 top = word2(m, (plane1(m) >> 1) + 4u * b + j) >> (2u * p);
    lo |= (top & 0x01010101u) << 2;
    hi |= (top & 0x02020202u) << 1;
    // Sub-blocks 4p + half_of and 4p + half_of + 2: four bits of the first eight bytes, two of the last four.
    uint bottom = word(m, plane2(m) + 3u * b + (p & 1u)) >> (8u * half_of + 4u * (p >> 1)), high = word(m, plane2(m) + 3u * b + 2u) >> (8u * half_of + 2u * p);
    float d = plane_half(m, plane3(m), b);
    s.scale = d * (vec2(float((bottom & 15u) | ((high & 3u) << 4)), float(((bottom >> 16) & 15u) | (((high >> 16) & 3u) << 4))) - 32.0);
    s.low = -4.0 * s.scale;
#endif
    s.q = uvec4(lo, hi);
#elif TYPE == 12 || TYPE == 13
    // 64 values: four units, the nibbles of a word.
    uint p = v >> 2;
    uvec2 x = word2(m, (plane0(m) >> 1) + 16u * b + v), lo = x & 0x0f0f0f0fu, hi = (x >> 4) & 0x0f0f0f0fu;
#if TYPE == 13
    uvec2 top = word2(m, (plane3(m) >> 1) + 4u * b + (v & 3u)) >> (2u * p);
    lo |= (top & 0x01010101u) << 4;
    hi |= (top & 0x02020202u) << 3;
#endif
    s.q = uvec4(lo, hi);
    // Six-bit scales and minima of sub-blocks 2p and 2p + 1.
    uint at = plane1(m) + 3u * b, sh = 16u * (p & 1u), sc = word(m, at) >> sh, mn = word(m, at + 1u) >> sh, dm = word(m, plane2(m) + b);
    if (p >= 2u) {
        uint both = word(m, at + 2u) >> sh;
        sc = (both & 0x0f0fu) | ((sc >> 2) & 0x3030u);
        mn = ((both >> 4) & 0x0f0fu) | ((mn >> 2) & 0x3030u);
    }
    s.scale = half_float(dm & 0xffffu) * vec2(float(sc & 63u), float((sc >> 8) & 63u));
    s.low = -half_float(dm >> 16) * vec2(float(mn & 63u), float((mn >> 8) & 63u));
#elif TYPE == 14
    // 128 values: eight units, the nibbles of a word, and of the four pairs of bits of another the two that go with them.
    uint h = v >> 3, w = v & 7u, sub = 8u * h + (w >> 1);
    uvec2 x = word2(m, (plane0(m) >> 1) + 16u * b + v), top = word2(m, (plane1(m) >> 1) + 8u * b + 4u * h + (w & 3u)) >> (2u * (w >> 2));
    uvec2 lo = (x & 0x0f0f0f0fu) | ((top & 0x03030303u) << 4), hi = ((x >> 4) & 0x0f0f0f0fu) | (top & 0x30303030u);
    s.q = uvec4(lo, hi);
    s.scale = plane_half(m, plane3(m), b) * vec2(float(signed_byte(plane_byte(m, plane2(m), 16u * b + sub))), float(signed_byte(plane_byte(m, plane2(m), 16u * b + sub + 4u))));
    s.low = -32.0 * s.scale;
#elif TYPE == 23
    uint sub = v >> 1, head = word(m, plane2(m) + b);
    uvec2 x = word2(m, (plane0(m) >> 1) + 16u * b + v), lo = x & 0x0f0f0f0fu, hi = (x >> 4) & 0x0f0f0f0fu;
    s.q = uvec4(lo, hi);
    s.scale = vec2(half_float(head & 0xffffu) * (float(((word(m, plane1(m) + b) >> (4u * sub)) & 15u) | (((head >> (16u + 2u * sub)) & 3u) << 4)) - 32.0));
#else
#error "no such type"
#endif
    return s;
}

// q of four values, i: 0 to 3.
vec4 weight_four(Sixteen s, uint i)
{
#if TYPE == 0
    return uintBitsToFloat(s.q[i]);
#elif TYPE == 1
    uint x = s.q[i >> 1][2u * (i & 1u)], y = s.q[i >> 1][2u * (i & 1u) + 1u];
    return vec4(half_float(x & 0xffffu), half_float(x >> 16), half_float(y & 0xffffu), half_float(y >> 16));
#elif TYPE == 30
    uint x = s.q[i >> 1][2u * (i & 1u)], y = s.q[i >> 1][2u * (i & 1u) + 1u];
    return uintBitsToFloat(uvec4(x << 16, x & 0xffff0000u, y << 16, y & 0xffff0000u));
#elif TYPE == 8
    return signed_bytes(s.q[i]);
#elif TYPE == 20 || TYPE == 23 || TYPE == 39
    return looked_up(s.q[i]);
#else
    return bytes(s.q[i]);
#endif
}

// The values themselves.
vec4 weight_values(Sixteen s, uint i)
{
#if SCALES == 0
    return weight_four(s, i);
#else
    return fma(weight_four(s, i), vec4(i < 2u ? s.scale.x : s.scale.y), vec4(i < 2u ? s.low.x : s.low.y));
#endif
}
