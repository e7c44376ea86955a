#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// Products for many columns: tiles of 64 outputs and 32 columns, two units of k at a time through shared memory, 4 x 8 sums an invocation.
// x: tiles of outputs; y: tiles of columns.
#include "common.glsl"
#include "linear.glsl"
#include "weight.glsl"

shared vec4 tile_w[32][17], tile_x[32][9];              // [k][outputs or columns / 4], a place of padding: 13 KiB

void main()
{
    uint t = gl_LocalInvocationID.x, r0 = 64u * (gl_WorkGroupID.x + push.base_x), c0 = 32u * (gl_WorkGroupID.y + push.base_y), tr = t & 15u, tc = 2u * (t >> 4);
    vec4 s0 = vec4(0.0), s1 = vec4(0.0), s2 = vec4(0.0), s3 = vec4(0.0), s4 = vec4(0.0), s5 = vec4(0.0), s6 = vec4(0.0), s7 = vec4(0.0);
    for (uint u0 = 0u; u0 < push.blocks * BLOCK_UNITS; u0 += 2u) {
        for (uint i = t; i < 128u; i += 64u) {          // 64 rows of two units each
            uint row = i >> 1, j = i & 1u;
            vec4 x[4] = vec4[4](vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));
            if (r0 + row < push.n && u0 + j < push.blocks * BLOCK_UNITS) {
                Sixteen s = weight16(0u, (r0 + row) * push.blocks, u0 + j);
                x = vec4[4](weight_values(s, 0u), weight_values(s, 1u), weight_values(s, 2u), weight_values(s, 3u));
            }
            for (uint q = 0u; q < 16u; q++)
                tile_w[16u * j + q][row >> 2][row & 3u] = x[q >> 2][q & 3u];
        }
        for (uint i = t; i < 1024u; i += 64u) {
            uint c = i >> 5, j = i & 31u, k = unit_at(u0 + (j >> 4)) + ((j & 8u) != 0u ? SPAN : 0u) + (j & 7u);
            tile_x[j][c >> 2][c & 3u] = c0 + c < push.n_cols && k < push.k ? value(push.x + (c0 + c) * push.x_stride + k) : 0.0;
        }
        barrier();
        for (uint k = 0u; k < 32u; k++) {
            vec4 w = tile_w[k][tr], x = tile_x[k][tc], y = tile_x[k][tc + 1u];
            s0 = fma(w, vec4(x.x), s0);
            s1 = fma(w, vec4(x.y), s1);
            s2 = fma(w, vec4(x.z), s2);
            s3 = fma(w, vec4(x.w), s3);
            s4 = fma(w, vec4(y.x), s4);
            s5 = fma(w, vec4(y.y), s5);
            s6 = fma(w, vec4(y.z), s6);
            s7 = fma(w, vec4(y.w), s7);
        }
        barrier();
    }
    for (uint i = 0u; i < 4u; i++) {
        uint r = r0 + 4u * tr + i, c = c0 + 4u * tc;
        float sums[8] = float[8](s0[i], s1[i], s2[i], s3[i], s4[i], s5[i], s6[i], s7[i]);
        for (uint j = 0u; j < 8u; j++)
            if (r < push.n && c + j < push.n_cols)
                finish(push.first + r, c + j, sums[j]);
    }
}
