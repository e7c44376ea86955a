#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// The embedding of each row's token, times a scale. x: 512 values; y: rows. Tokens that other planes hold are left alone.
layout(push_constant) uniform Push {
    uint base_x, base_y;
    uint plane0, plane1, plane2, plane3;
    uint k, blocks, first, n, y;
    float scale;
} push;
#include "common.glsl"
#include "tables.glsl"
#include "weight.glsl"

void main()
{
    uint r = gl_WorkGroupID.y + push.base_y, k = 512u * (gl_WorkGroupID.x + push.base_x) + 8u * gl_LocalInvocationID.x, row = row_token(r) - push.first;
    vec4 lo, hi;
    if (k >= push.k || row >= push.n)
        return;
    weight8(0u, row * push.blocks, k, lo, hi);
    for (uint i = 0u; i < 4u; i++) {
        if (k + i < push.k)
            value_set(push.y + r * push.k + k + i, push.scale * lo[i]);
        if (k + 4u + i < push.k)
            value_set(push.y + r * push.k + k + 4u + i, push.scale * hi[i]);
    }
}
