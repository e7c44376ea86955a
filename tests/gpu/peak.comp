#version 450
#extension GL_EXT_control_flow_attributes : require
// SPDX-License-Identifier: MIT
// Multiply-adds without end: 8 chains of four an invocation, push.n rounds. What a card's f32 units can do at most.
layout(local_size_x = 64) in;
layout(push_constant) uniform Push { uint n; } push;
layout(set = 0, binding = 0) buffer Values { float v[]; } values;

void main()
{
    vec4 a[8], x = vec4(1.0 + 1e-7 * float(gl_LocalInvocationID.x)), y = vec4(1e-9);
    [[unroll]] for (uint i = 0u; i < 8u; i++)
        a[i] = vec4(float(i));
    for (uint k = 0u; k < push.n; k++)
        [[unroll]] for (uint i = 0u; i < 8u; i++)
            a[i] = fma(a[i], x, y);
    vec4 sum = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < 8u; i++)
        sum += a[i];
    if (sum.x + sum.y + sum.z + sum.w == 12345.0)       // never; but nobody may leave the work out
        values.v[gl_WorkGroupID.x] = sum.x;
}
