#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// RMS norm of a row, times a vector where there is one, and something added where there is something. y: rows.
layout(constant_id = 0) const uint WEIGHTED = 0u;
layout(constant_id = 1) const uint ADD = 0u;
layout(push_constant) uniform Push { uint base_x, base_y, n, x, y, a; float eps; } push;
#include "common.glsl"
#include "reduce.glsl"
layout(set = 1, binding = 0) readonly buffer Vector { float v[]; } vector;

void main()
{
    uint t = gl_LocalInvocationID.x, r = gl_WorkGroupID.y + push.base_y, x = push.x + r * push.n;
    float sum = 0.0;
    for (uint i = t; i < push.n; i += 64u)
        sum = fma(value(x + i), value(x + i), sum);
    float s = 1.0 / sqrt(reduce_sum(sum) / float(push.n) + push.eps);
    for (uint i = t; i < push.n; i += 64u) {
        float y = value(x + i) * s;
        if (WEIGHTED != 0u)
            y *= vector.v[i];
        if (ADD != 0u)
            y = value(push.a + r * push.n + i) + y;
        value_set(push.y + r * push.n + i, y);
    }
}
