#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// cos and sin of position * frequency. Frequencies are turns a position in fixed point, 64 bits behind the point, so that position *
// frequency mod 1 is exact in integers at any position, without doubles. x: pairs; y: rows.
layout(push_constant) uniform Push { uint base_x, base_y, n_pairs, y, has_long; float magnitude; } push;
#include "common.glsl"
#include "tables.glsl"
layout(set = 1, binding = 0) readonly buffer Frequencies { uint f[]; } frequencies;    // (low, high) pairs; behind them those of long contexts

void main()
{
    uint j = 64u * (gl_WorkGroupID.x + push.base_x) + gl_LocalInvocationID.x, r = gl_WorkGroupID.y + push.base_y;
    if (j >= push.n_pairs)
        return;
    uint at = 2u * (j + (push.has_long != 0u && (row_flags(r) & 2u) != 0u ? push.n_pairs : 0u)), p = row_position(r), carry, low;
    umulExtended(p, frequencies.f[at], carry, low);
    uint turn = p * frequencies.f[at + 1u] + carry, quarter = (turn + 0x20000000u) >> 30;
    float x = (float(int(turn - (quarter << 30))) + float(low) * 2.3283064365386963e-10) * 1.4629180792671596e-9, x2 = x * x;     // times 2 pi / 2^32
    float s = fma(fma(fma(x2, -1.9515295891e-4, 8.3321608736e-3), x2, -1.6666654611e-1) * x2, x, x);
    float c = fma(fma(fma(x2, 2.443315711809948e-5, -1.388731625493765e-3), x2, 4.166664568298827e-2) * x2, x2, fma(x2, -0.5, 1.0));
    vec2 cs = quarter == 0u ? vec2(c, s) : quarter == 1u ? vec2(-s, c) : quarter == 2u ? vec2(-c, -s) : vec2(s, -c);
    value_set(push.y + 2u * (r * push.n_pairs + j), push.magnitude * cs.x);
    value_set(push.y + 2u * (r * push.n_pairs + j) + 1u, push.magnitude * cs.y);
}
