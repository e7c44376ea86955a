#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
// SPDX-License-Identifier: MIT
// Products for many columns where subgroups can shuffle: an invocation has four rows, whose weights it reads and unpacks into registers
// once for 16 columns; what they are multiplied with is read once by a subgroup, each invocation one item, and handed round. No shared
// memory and no barrier. x: 256 outputs; y: 16 columns.
#include "common.glsl"
#include "linear.glsl"
#include "weight.glsl"

const uint COLUMNS = 16u, PER = LANES / 8u;          // columns that one load of a subgroup has eight items of

void main()
{
    uint t = gl_LocalInvocationID.x, lane = gl_SubgroupInvocationID, r0 = 256u * (gl_WorkGroupID.x + push.base_x) + 4u * (t & ~(LANES - 1u));
    uint c0 = COLUMNS * (gl_WorkGroupID.y + push.base_y), top = push.n - 1u;
    if (r0 >= push.n)                                   // all of the subgroup
        return;
    uvec4 rows = r0 + lane + LANES * uvec4(0u, 1u, 2u, 3u), first = min(rows, uvec4(top)) * push.blocks;
    vec4 sum[COLUMNS];
    uint x[COLUMNS];
    [[unroll]] for (uint c = 0u; c < COLUMNS; c++)
        sum[c] = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < COLUMNS / PER; i++)        // columns that are not there count as the last one that is; nobody takes their sums
        x[i] = push.x + min(c0 + i * PER + lane / 8u, push.n_cols - 1u) * push.x_stride + (lane & 7u);
    for (uint k = 0u; k < push.k; k += 8u) {
        vec4 lo[4], hi[4];
        float xs[COLUMNS];
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            weight8(0u, first[i], k, lo[i], hi[i]);
        [[unroll]] for (uint i = 0u; i < COLUMNS / PER; i++)
            xs[i] = BLOCK != 8 || k + (lane & 7u) < push.k ? value(x[i] + k) : 0.0;
        [[unroll]] for (uint j = 0u; j < 8u; j++) {
            vec4 w = j < 4u ? vec4(lo[0][j & 3u], lo[1][j & 3u], lo[2][j & 3u], lo[3][j & 3u]) : vec4(hi[0][j & 3u], hi[1][j & 3u], hi[2][j & 3u], hi[3][j & 3u]);
            [[unroll]] for (uint c = 0u; c < COLUMNS; c++)
                sum[c] = fma(w, vec4(subgroupShuffle(xs[c / PER], 8u * (c % PER) + j)), sum[c]);
        }
    }
    [[unroll]] for (uint c = 0u; c < COLUMNS; c++)
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            if (rows[i] < push.n && c0 + c < push.n_cols)
                finish(push.first + rows[i], c0 + c, sum[c][i]);
}
