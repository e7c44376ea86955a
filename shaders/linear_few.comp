#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// Products of few columns, and of experts: LANES invocations walk along k, with four rows and one column, or with one row and four columns.
// x: 64 / LANES times the rows; y: groups of COLS columns; experts have one.
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

// One row, four columns.
vec4 across(uint first, uint x, uint lane, uint c)
{
    vec4 sum = vec4(0.0), lo, hi, xl, xh;
    for (uint k = 8u * lane; k < push.k; k += 8u * LANES) {
        weight8(first, k, lo, hi);
        inputs(x + k, k, xl, xh);
        sum.x += dot(lo, xl) + dot(hi, xh);
        if (c + 1u < push.n_cols) {
            inputs(x + push.x_stride + k, k, xl, xh);
            sum.y += dot(lo, xl) + dot(hi, xh);
        }
        if (c + 2u < push.n_cols) {
            inputs(x + 2u * push.x_stride + k, k, xl, xh);
            sum.z += dot(lo, xl) + dot(hi, xh);
        }
        if (c + 3u < push.n_cols) {
            inputs(x + 3u * push.x_stride + k, k, xl, xh);
            sum.w += dot(lo, xl) + dot(hi, xh);
        }
    }
    return sum;
}

// Four rows, one column: what is multiplied is read once. Rows that are not there count as the last one that is; nobody takes their sums.
vec4 down(uvec4 first, uint x, uint lane)
{
    vec4 sum = vec4(0.0), lo, hi, xl, xh;
    for (uint k = 8u * lane; k < push.k; k += 8u * LANES) {
        inputs(x + k, k, xl, xh);
        weight8(first.x, k, lo, hi);
        sum.x += dot(lo, xl) + dot(hi, xh);
        weight8(first.y, k, lo, hi);
        sum.y += dot(lo, xl) + dot(hi, xh);
        weight8(first.z, k, lo, hi);
        sum.z += dot(lo, xl) + dot(hi, xh);
        weight8(first.w, k, lo, hi);
        sum.w += dot(lo, xl) + dot(hi, xh);
    }
    return sum;
}

void main()
{
    uint t = gl_LocalInvocationID.x, lane = t % LANES, group = gl_WorkGroupID.y + push.base_y, rows = COLS == 1u ? 4u : 1u;
    uint r = ((gl_WorkGroupID.x + push.base_x) * (64u / LANES) + t / LANES) * rows;
    uint n_rows = EXPERTS != 0u ? push.n_out : push.n;
    uint c = COLS * group, n_ranks = EXPERTS == 2u ? push.n_used : 1u;
    vec4 acc = vec4(0.0);
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
        if (COLS != 1u) {
            if (r < n_rows && row < push.n)
                acc += across(row * push.blocks, x, lane, c);
            continue;
        }
        // In this shard: a row before it has wrapped around and is larger than any.
        uvec4 all_rows = row + uvec4(0u, 1u, 2u, 3u), first = min(all_rows, uvec4(push.n - 1u)) * push.blocks;
        bvec4 there = lessThan(all_rows, uvec4(push.n));
        if (r < n_rows && any(there))
            acc += weight * mix(vec4(0.0), down(first, x, lane), there);
    }
    partial[t] = acc;
    barrier();
    if (lane != 0u || r >= n_rows)
        return;
    for (uint n = 1u; n < LANES; n++)
        acc += partial[t + n];
    for (uint i = 0u; i < 4u; i++) {
        uint ri = COLS == 1u ? r + i : r, ci = COLS == 1u ? c : c + i;
        if (ri >= n_rows || (EXPERTS == 0u && ci >= push.n_cols))
            break;
        if (EXPERTS == 1u && values.v[push.ids + c] * push.n_out + ri - push.first >= push.n)
            continue;
        finish(EXPERTS == 0u ? push.first + ri : ri, ci, acc[i]);
    }
}
