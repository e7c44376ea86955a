#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// The embedding of each row's token, times a scale. x: 1024 values; y: rows. Tokens that other planes hold are left alone.
layout(push_constant) uniform Push {
    uint base_x, base_y;
    uint plane0, plane1, plane2, plane3;
    uint k, blocks, first, n, y;
    float scale;
} push;
#include "common.glsl"
#include "tables.glsl"
#include "weight.glsl"

void four(uint y, uint k, vec4 x)
{
    for (uint i = 0u; i < 4u; i++)
        if (k + i < push.k)
            value_set(y + k + i, push.scale * x[i]);
}

void main()
{
    uint r = gl_WorkGroupID.y + push.base_y, u = 64u * (gl_WorkGroupID.x + push.base_x) + gl_LocalInvocationID.x, row = row_token(r) - push.first;
    uint k = unit_at(u), y = push.y + r * push.k;
    if (u >= push.blocks * BLOCK_UNITS || row >= push.n)
        return;
    Sixteen s = weight16(0u, row * push.blocks, u);
    four(y, k, weight_values(s, 0u));
    four(y, k + 4u, weight_values(s, 1u));
    four(y, k + SPAN, weight_values(s, 2u));
    four(y, k + SPAN + 4u, weight_values(s, 3u));
}
