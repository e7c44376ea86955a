#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// Products for up to four columns, and of experts: LANES invocations share a row along k, a workgroup has 64 / LANES rows.
// x: outputs; y: groups of four columns, or one column of experts.
#include "common.glsl"
#include "linear.glsl"
#include "weight.glsl"

shared vec4 partial[64];

// x[at .. at + 7], zero beyond the row's end (plain types of odd length).
void inputs(uint at, uint k, out vec4 lo, out vec4 hi)
{
    if (BLOCK != 8 || k + 8u <= push.k) {
        lo = vec4(value(at), value(at + 1u), value(at + 2u), value(at + 3u));
        hi = vec4(value(at + 4u), value(at + 5u), value(at + 6u), value(at + 7u));
        return;
    }
    lo = vec4(0.0);
    hi = vec4(0.0);
    for (uint i = 0u; i < 4u; i++) {
        if (k + i < push.k)
            lo[i] = value(at + i);
        if (k + 4u + i < push.k)
            hi[i] = value(at + 4u + i);
    }
}

void main()
{
    uint t = gl_LocalInvocationID.x, lane = t % LANES, group = gl_WorkGroupID.y + push.base_y;
    uint r = (gl_WorkGroupID.x + push.base_x) * (64u / LANES) + t / LANES;
    uint n_rows = EXPERTS != 0u ? push.n_out : push.n;
    uint c = EXPERTS != 0u ? group : 4u * group, n_ranks = EXPERTS == 2u ? push.n_used : 1u;
    vec4 acc = vec4(0.0), lo, hi, xl, xh;
    for (uint rank = 0u; rank < n_ranks; rank++) {
        uint row = r, x = push.x + c * push.x_stride;
        float weight = 1.0;
        if (EXPERTS == 1u) {
            row = values.v[push.ids + c] * push.n_out + r - push.first;
            x = push.x + c / push.n_used * push.x_stride;
        } else if (EXPERTS == 2u) {
            row = values.v[push.ids + c * push.n_used + rank] * push.n_out + r - push.first;
            weight = value(push.ranks + c * push.n_used + rank);
            x = push.x + c * push.x_stride + rank * push.k;
        }
        if (r >= n_rows || row >= push.n)
            continue;
        uint first = row * push.blocks;
        vec4 sum = vec4(0.0);
        for (uint k = 8u * lane; k < push.k; k += 8u * LANES) {
            weight8(first, k, lo, hi);
            inputs(x + k, k, xl, xh);
            sum.x += dot(lo, xl) + dot(hi, xh);
            if (EXPERTS == 0u && c + 1u < push.n_cols) {
                inputs(x + push.x_stride + k, k, xl, xh);
                sum.y += dot(lo, xl) + dot(hi, xh);
            }
            if (EXPERTS == 0u && c + 2u < push.n_cols) {
                inputs(x + 2u * push.x_stride + k, k, xl, xh);
                sum.z += dot(lo, xl) + dot(hi, xh);
            }
            if (EXPERTS == 0u && c + 3u < push.n_cols) {
                inputs(x + 3u * push.x_stride + k, k, xl, xh);
                sum.w += dot(lo, xl) + dot(hi, xh);
            }
        }
        acc += weight * sum;
    }
    partial[t] = acc;
    barrier();
    for (uint n = LANES / 2u; n > 0u; n >>= 1) {
        if (lane < n)
            partial[t] += partial[t + n];
        barrier();
    }
    if (lane != 0u || r >= n_rows)
        return;
    acc = partial[t];
    if (EXPERTS == 1u) {
        if (values.v[push.ids + c] * push.n_out + r - push.first < push.n)
            finish(r, c, acc.x);
        return;
    }
    r += EXPERTS == 0u ? push.first : 0u;
    finish(r, c, acc.x);
    if (EXPERTS != 0u)
        return;
    if (c + 1u < push.n_cols)
        finish(r, c + 1u, acc.y);
    if (c + 2u < push.n_cols)
        finish(r, c + 2u, acc.z);
    if (c + 3u < push.n_cols)
        finish(r, c + 3u, acc.w);
}
