#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// SPDX-License-Identifier: MIT
// Products of few columns, and of experts: LANES invocations walk along k, with four rows and one column, or with one row and four columns.
// A norm before them can be part of it: what is multiplied is multiplied with the norm's vector too, its squares are summed on the way, and the sum
// is divided by their root at the end. So can a second matrix of the same shape, whose rows are multiplied with the activation of the first's.
// x: 64 / LANES times the rows; y: groups of COLS columns; experts have one.
#include "common.glsl"
#include "linear.glsl"
layout(constant_id = 6) const uint NORM = 0u;           // 0: none; 1: without a vector; 2: times a vector, in set 2 if there are two matrices, else in set 3
layout(constant_id = 7) const uint TWO = 0u;            // epilogues 3 and 4: their y is of the second matrix, in set 3
#define WEIGHT_TWO
#include "weight.glsl"

shared vec4 partial[64], partial_up[64], partial_squares[64];

float norm_item(uint k) { return TWO != 0u ? bias.b[k] : uintBitsToFloat(weights_up.w[k]); }

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

// The norm's items k to k + 7.
void normed(uint k, out vec4 lo, out vec4 hi)
{
    lo = vec4(1.0);
    hi = vec4(1.0);
    if (NORM != 2u)
        return;
    if (BLOCK != 8 || k + 8u <= push.k) {
        lo = vec4(norm_item(k), norm_item(k + 1u), norm_item(k + 2u), norm_item(k + 3u));
        hi = vec4(norm_item(k + 4u), norm_item(k + 5u), norm_item(k + 6u), norm_item(k + 7u));
        return;
    }
    for (uint i = 0u; i < 4u; i++) {
        if (k + i < push.k)
            lo[i] = norm_item(k + i);
        if (k + 4u + i < push.k)
            hi[i] = norm_item(k + 4u + i);
    }
}

// One row, four columns.
void across(uint first, uint x, uint lane, uint c, inout vec4 sum, inout vec4 sum_up, inout vec4 squares)
{
    vec4 lo, hi, ul, uh, xl, xh, nl, nh;
    for (uint k = 8u * lane; k < push.k; k += 8u * LANES) {
        weight8(0u, first, k, lo, hi);
        if (TWO != 0u)
            weight8(1u, first, k, ul, uh);
        normed(k, nl, nh);
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            if (c + i < push.n_cols) {
                inputs(x + i * push.x_stride + k, k, xl, xh);
                if (NORM != 0u) {
                    squares[i] += dot(xl, xl) + dot(xh, xh);
                    xl *= nl;
                    xh *= nh;
                }
                sum[i] += dot(lo, xl) + dot(hi, xh);
                if (TWO != 0u)
                    sum_up[i] += dot(ul, xl) + dot(uh, xh);
            }
    }
}

// Four rows, one column. Written as a loop: what drivers go through before they unroll it is a quarter.
vec4 down(uint m, uvec4 first, uint k, vec4 xl, vec4 xh)
{
    vec4 sum, lo, hi;
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        weight8(m, first[i], k, lo, hi);
        sum[i] = dot(lo, xl) + dot(hi, xh);
    }
    return sum;
}

void main()
{
    uint t = gl_LocalInvocationID.x, lane = t % LANES, group = gl_WorkGroupID.y + push.base_y, rows = COLS == 1u ? 4u : 1u;
    uint r = ((gl_WorkGroupID.x + push.base_x) * (64u / LANES) + t / LANES) * rows;
    uint n_rows = EXPERTS != 0u ? push.n_out : push.n;
    uint c = COLS * group, n_ranks = EXPERTS == 2u ? push.n_used : 1u;
    vec4 acc = vec4(0.0), up = vec4(0.0), squares = vec4(0.0);
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
                across(row * push.blocks, x, lane, c, acc, up, squares);
            continue;
        }
        // Four rows, one column: what is multiplied is read once. Rows that are not there, in this shard, count as the last one that is, and times
        // zero; nobody else takes their sums. A row before the shard has wrapped around and is larger than any.
        uvec4 all_rows = row + uvec4(0u, 1u, 2u, 3u), first = min(all_rows, uvec4(push.n - 1u)) * push.blocks;
        bvec4 there = lessThan(all_rows, uvec4(push.n));
        if (r < n_rows && any(there)) {
            vec4 sum = vec4(0.0), sum_up = vec4(0.0), xl, xh, nl, nh;
            for (uint k = 8u * lane; k < push.k; k += 8u * LANES) {
                inputs(x + k, k, xl, xh);
                if (NORM != 0u) {
                    squares.x += dot(xl, xl) + dot(xh, xh);
                    normed(k, nl, nh);
                    xl *= nl;
                    xh *= nh;
                }
                sum += down(0u, first, k, xl, xh);
                if (TWO != 0u)
                    sum_up += down(1u, first, k, xl, xh);
            }
            acc += weight * mix(vec4(0.0), sum, there);
            up += mix(vec4(0.0), sum_up, there);
        }
    }
    // Four invocations of the LANES first, then one.
    partial[t] = acc;
    if (TWO != 0u)
        partial_up[t] = up;
    if (NORM != 0u)
        partial_squares[t] = squares;
    barrier();
    if (lane < 4u)
        for (uint n = 4u; n < LANES; n += 4u) {
            acc += partial[t + n];
            if (TWO != 0u)
                up += partial_up[t + n];
            if (NORM != 0u)
                squares += partial_squares[t + n];
        }
    barrier();
    if (lane < 4u) {
        partial[t] = acc;
        if (TWO != 0u)
            partial_up[t] = up;
        if (NORM != 0u)
            partial_squares[t] = squares;
    }
    barrier();
    if (lane != 0u || r >= n_rows)
        return;
    for (uint n = 1u; n < 4u; n++) {
        acc += partial[t + n];
        if (TWO != 0u)
            up += partial_up[t + n];
        if (NORM != 0u)
            squares += partial_squares[t + n];
    }
    if (NORM != 0u) {
        vec4 s = 1.0 / sqrt((COLS == 1u ? squares.xxxx : squares) / float(push.k) + push.eps);
        acc *= s;
        up *= s;
    }
    for (uint i = 0u; i < 4u; i++) {
        uint ri = COLS == 1u ? r + i : r, ci = COLS == 1u ? c : c + i;
        if (ri >= n_rows || (EXPERTS == 0u && ci >= push.n_cols))
            break;
        if (EXPERTS == 1u && values.v[push.ids + c] * push.n_out + ri - push.first >= push.n)
            continue;
        ri = EXPERTS == 0u ? push.first + ri : ri;
        if (TWO != 0u)
            value_set(push.y + ci * push.y_stride + ri, (EPILOGUE == 3u ? silu(acc[i]) : gelu(acc[i])) * push.scale * up[i]);
        else
            finish(ri, ci, acc[i]);
    }
}
