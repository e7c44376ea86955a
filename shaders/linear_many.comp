#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// Products for many columns: tiles of 32 outputs and 32 columns, 32 of k at a time through shared memory, 4 x 4 sums an invocation.
// x: tiles of outputs; y: tiles of columns.
#include "common.glsl"
#include "linear.glsl"
#include "weight.glsl"

shared vec4 tile_w[32][9], tile_x[32][9];               // [k][outputs or columns / 4], a place of padding

void main()
{
    uint t = gl_LocalInvocationID.x, r0 = 32u * (gl_WorkGroupID.x + push.base_x), c0 = 32u * (gl_WorkGroupID.y + push.base_y), tr = t & 7u, tc = t >> 3;
    vec4 s0 = vec4(0.0), s1 = vec4(0.0), s2 = vec4(0.0), s3 = vec4(0.0);
    for (uint k0 = 0u; k0 < push.k; k0 += 32u) {
        for (uint half_tile = 0u; half_tile < 2u; half_tile++) {       // 32 rows of four eights each
            uint i = t + 64u * half_tile, row = i >> 2, k = 8u * (i & 3u);
            vec4 lo = vec4(0.0), hi = vec4(0.0);
            if (r0 + row < push.n && k0 + k < push.k)
                weight8((r0 + row) * push.blocks, k0 + k, lo, hi);
            for (uint j = 0u; j < 4u; j++) {
                tile_w[k + j][row >> 2][row & 3u] = lo[j];
                tile_w[k + 4u + j][row >> 2][row & 3u] = hi[j];
            }
        }
        for (uint i = t; i < 1024u; i += 64u) {
            uint c = i >> 5, k = i & 31u;
            tile_x[k][c >> 2][c & 3u] = c0 + c < push.n_cols && k0 + k < push.k ? value(push.x + (c0 + c) * push.x_stride + k0 + k) : 0.0;
        }
        barrier();
        for (uint k = 0u; k < 32u; k++) {
            vec4 w = tile_w[k][tr], x = tile_x[k][tc];
            s0 = fma(w, vec4(x.x), s0);
            s1 = fma(w, vec4(x.y), s1);
            s2 = fma(w, vec4(x.z), s2);
            s3 = fma(w, vec4(x.w), s3);
        }
        barrier();
    }
    for (uint i = 0u; i < 4u; i++) {
        uint r = r0 + 4u * tr + i, c = c0 + 4u * tc;
        if (r >= push.n)
            break;
        r += push.first;
        if (c < push.n_cols)
            finish(r, c, s0[i]);
        if (c + 1u < push.n_cols)
            finish(r, c + 1u, s1[i]);
        if (c + 2u < push.n_cols)
            finish(r, c + 2u, s2[i]);
        if (c + 3u < push.n_cols)
            finish(r, c + 3u, s3[i]);
    }
}
