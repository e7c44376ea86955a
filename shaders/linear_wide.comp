#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#ifndef SUBGROUPS_PLAYED
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
// SPDX-License-Identifier: MIT
// Products for many columns where subgroups can shuffle: an invocation has four rows, whose weights it reads and unpacks into registers
// once for 16 columns; what they are multiplied with is read once by a subgroup, each invocation one item, and handed round. No shared
// memory and no barrier. x: 256 outputs; y: 16 columns.
#include "common.glsl"
#include "linear.glsl"
#include "weight.glsl"

// SUBGROUPS_PLAYED: of any size, through shared memory, for tests on devices that have others. There all invocations must come to the barriers.
#ifdef SUBGROUPS_PLAYED
#define LANE (gl_LocalInvocationID.x & (LANES - 1u))
#define HANDED(i, from) handed[i][(gl_LocalInvocationID.x & ~(LANES - 1u)) + (from)]
shared float handed[16][64];
#else
#define LANE gl_SubgroupInvocationID
#define HANDED(i, from) subgroupShuffle(xs[i], from)
#endif

const uint COLUMNS = 16u, PER = LANES / 8u;          // columns that one load of a subgroup has eight items of

void main()
{
    uint t = gl_LocalInvocationID.x, lane = LANE, r0 = 256u * (gl_WorkGroupID.x + push.base_x) + 4u * (t & ~(LANES - 1u));
    uint c0 = COLUMNS * (gl_WorkGroupID.y + push.base_y), top = push.n - 1u;
#ifndef SUBGROUPS_PLAYED
    if (r0 >= push.n)                                   // all of the subgroup
        return;
#endif
    uint row = r0 + lane;                               // no vector of LANES: the validation layers' folding of it for 32 is wrong
    uvec4 rows = uvec4(row, row + LANES, row + 2u * LANES, row + 3u * LANES), first = min(rows, uvec4(top)) * push.blocks;
    vec4 sum[COLUMNS];
    uint x[COLUMNS];
    [[unroll]] for (uint c = 0u; c < COLUMNS; c++)
        sum[c] = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < COLUMNS / PER; i++)        // columns that are not there count as the last one that is; nobody takes their sums
        x[i] = push.x + min(c0 + i * PER + lane / 8u, push.n_cols - 1u) * push.x_stride + (lane & 7u);
    for (uint u = 0u; u < push.blocks * BLOCK_UNITS; u++) {
        Sixteen w[4];
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            w[i] = weight16(0u, first[i], u);
        [[unroll]] for (uint e = 0u; e < 2u; e++) {     // the unit's eights
            uint k = unit_at(u) + e * SPAN;
            vec4 eight[4][2];
            float xs[COLUMNS];
            [[unroll]] for (uint i = 0u; i < 4u; i++) {
                eight[i][0] = weight_values(w[i], 2u * e);
                eight[i][1] = weight_values(w[i], 2u * e + 1u);
            }
            [[unroll]] for (uint i = 0u; i < COLUMNS / PER; i++)
                xs[i] = BLOCK != 16 || k + (lane & 7u) < push.k ? value(x[i] + k) : 0.0;
#ifdef SUBGROUPS_PLAYED
            barrier();
            for (uint i = 0u; i < COLUMNS / PER; i++)
                handed[i][t] = xs[i];
            barrier();
#endif
            [[unroll]] for (uint j = 0u; j < 8u; j++) {
                vec4 four = vec4(eight[0][j >> 2][j & 3u], eight[1][j >> 2][j & 3u], eight[2][j >> 2][j & 3u], eight[3][j >> 2][j & 3u]);
                [[unroll]] for (uint c = 0u; c < COLUMNS; c++)
                    sum[c] = fma(four, vec4(HANDED(c / PER, 8u * (c % PER) + j)), sum[c]);
            }
        }
    }
    [[unroll]] for (uint c = 0u; c < COLUMNS; c++)
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            if (rows[i] < push.n && c0 + c < push.n_cols)
                finish(push.first + rows[i], c0 + c, sum[c][i]);
}
