#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// The rows that want an output, out of all rows. x: 64 items; y: output rows.
layout(push_constant) uniform Push { uint base_x, base_y, n, x, y; } push;
#include "common.glsl"
#include "tables.glsl"
layout(set = 0, binding = 1) readonly buffer AllValues { uint v[]; } all_values;

void main()
{
    uint i = 64u * (gl_WorkGroupID.x + push.base_x) + gl_LocalInvocationID.x, r = gl_WorkGroupID.y + push.base_y;
    if (i < push.n)
        values.v[push.y + r * push.n + i] = all_values.v[push.x + out_row(r) * push.n + i];
}
