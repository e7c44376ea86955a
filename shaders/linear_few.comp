#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// SPDX-License-Identifier: MIT
// Products of few columns, and of experts: LANES invocations walk along k, sixteen values at a time, with ROWS rows and COLS columns: what is
// multiplied is read once for all rows, a matrix once for all columns. Sums come together in shared memory.
// A norm before them can be part of it: what is multiplied is multiplied with the norm's vector too, its squares are summed on the way, and the sum
// is divided by their root at the end. So can a second matrix of the same shape, whose rows are multiplied with the activation of the first's.
// x: 64 / LANES times the rows; y: groups of COLS columns; experts have one.
#define VALUES_FOURS
#include "common.glsl"
#include "linear.glsl"
layout(constant_id = 6) const uint NORM = 0u;           // 0: none; 1: without a vector; 2: times a vector, in set 2 if there are two matrices, else in set 3
layout(constant_id = 7) const uint TWO = 0u;            // epilogues 3 and 4: their y is of the second matrix, in set 3
#define WEIGHT_TWO
#include "weight.glsl"
layout(set = 2, binding = 0) readonly buffer Bias4 { vec4 b[]; } bias4;

const uint ROWS = COLS != 1u && TWO != 0u ? 4u : 8u;    // src/backend/vulkan/plan.c counts groups with them
const uint N = ROWS * COLS, SUMS = N * (1u + TWO) + (NORM != 0u ? COLS : 0u);
const uint ROOM = 68u;                                  // of a sum's parts, so that neighbours' lie in different banks
shared float parts[SUMS * ROOM];

// Eights of x from `at` and from at + SPAN on, which are items k and k + SPAN of a row: zero beyond its end (plain types of odd length).
void inputs(uint at, uint k, out vec4 x[4])
{
    if (BLOCK != 16 || (((push.x | push.x_stride | push.k) & 3u) == 0u && k + 16u <= push.k)) {
        x[0] = value_four(at);
        x[1] = value_four(at + 4u);
        x[2] = value_four(at + SPAN);
        x[3] = value_four(at + SPAN + 4u);
        return;
    }
    for (uint i = 0u; i < 4u; i++) {
        x[0][i] = k + i < push.k ? value(at + i) : 0.0;
        x[1][i] = k + i + 4u < push.k ? value(at + i + 4u) : 0.0;
        x[2][i] = k + i + 8u < push.k ? value(at + i + 8u) : 0.0;
        x[3][i] = k + i + 12u < push.k ? value(at + i + 12u) : 0.0;
    }
}

vec4 norm_four(uint k) { return TWO != 0u ? bias4.b[k / 4u] : uintBitsToFloat(weights_up4.w[k / 4u]); }
float norm_item(uint k) { return k >= push.k ? 0.0 : TWO != 0u ? bias.b[k] : uintBitsToFloat(weights_up.w[k]); }

// The same of the norm's vector.
void normed(uint k, out vec4 n[4])
{
    n[0] = n[1] = n[2] = n[3] = vec4(1.0);
    if (NORM != 2u)
        return;
    if (BLOCK != 16 || k + 16u <= push.k) {
        n[0] = norm_four(k);
        n[1] = norm_four(k + 4u);
        n[2] = norm_four(k + SPAN);
        n[3] = norm_four(k + SPAN + 4u);
        return;
    }
    for (uint i = 0u; i < 4u; i++) {
        n[0][i] = norm_item(k + i);
        n[1][i] = norm_item(k + i + 4u);
        n[2][i] = norm_item(k + i + 8u);
        n[3][i] = norm_item(k + i + 12u);
    }
}

float more(vec4 a, vec4 b, float sum) { return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum)))); }

// sum + sixteen products. all: the sums of x, of its first eight and of the others.
float products(Sixteen s, vec4 x[4], vec2 all, float sum)
{
    vec4 a = weight_four(s, 0u), b = weight_four(s, 1u), c = weight_four(s, 2u), d = weight_four(s, 3u);
#if SCALES == 0
    return more(d, x[3], more(c, x[2], more(b, x[1], more(a, x[0], sum))));
#elif SCALES == 1
    sum = fma(s.scale.x, more(d, x[3], more(c, x[2], more(b, x[1], more(a, x[0], 0.0)))), sum);
#else
    sum = fma(s.scale.x, more(b, x[1], more(a, x[0], 0.0)), fma(s.scale.y, more(d, x[3], more(c, x[2], 0.0)), sum));
#endif
#if LOWS == 1
    sum = fma(s.low.x, all.x + all.y, sum);
#elif LOWS == 2
    sum = fma(s.low.x, all.x, fma(s.low.y, all.y, sum));
#endif
    return sum;
}

float total(uint i, uint at) { return (parts[i * ROOM + at] + parts[i * ROOM + at + 1u]) + (parts[i * ROOM + at + 2u] + parts[i * ROOM + at + 3u]); }

void main()
{
    uint t = gl_LocalInvocationID.x, lane = t % LANES, r = ((gl_WorkGroupID.x + push.base_x) * (64u / LANES) + t / LANES) * ROWS;
    uint n_rows = EXPERTS != 0u ? push.n_out : push.n, c = COLS * (gl_WorkGroupID.y + push.base_y), n_ranks = EXPERTS == 2u ? push.n_used : 1u, units = push.blocks * BLOCK_UNITS;
    float sum[N], up[N], squares[COLS];                 // of column j and row i: j * ROWS + i
    [[unroll]] for (uint i = 0u; i < N; i++)
        sum[i] = up[i] = 0.0;
    [[unroll]] for (uint j = 0u; j < COLS; j++)
        squares[j] = 0.0;
    for (uint rank = 0u; rank < n_ranks; rank++) {
        uint row = r, x = push.x;
        float weight = 1.0;
        if (EXPERTS == 1u) {
            row = VALUE_WORD(push.ids + c) * push.n_out + r - push.first;
            x = push.x + c / push.n_used * push.x_stride;
        } else if (EXPERTS == 2u) {
            row = VALUE_WORD(push.ids + c * push.n_used + rank) * push.n_out + r - push.first;
            weight = value(push.ranks + c * push.n_used + rank);
            x = push.x + c * push.x_stride + rank * push.k;
        }
        // Rows that are not there, in this shard, count as the last one that is; nobody takes their sums. A row before the shard has wrapped around and is
        // larger than any.
        uint first[ROWS];
        bool some = false;
        [[unroll]] for (uint i = 0u; i < ROWS; i++) {
            first[i] = min(row + i, push.n - 1u) * push.blocks;
            some = some || row + i < push.n;
        }
        if (r >= n_rows || !some)
            continue;
        for (uint u = lane; u < units; u += LANES) {
            uint k = unit_at(u);
            vec4 xs[COLS][4], n[4];
            vec2 all[COLS];
            normed(k, n);
            [[unroll]] for (uint j = 0u; j < COLS; j++) {   // columns that are not there count as the last one that is
                inputs((EXPERTS != 0u ? x : x + min(c + j, push.n_cols - 1u) * push.x_stride) + k, k, xs[j]);
                if (NORM != 0u)
                    squares[j] = more(xs[j][3], xs[j][3], more(xs[j][2], xs[j][2], more(xs[j][1], xs[j][1], more(xs[j][0], xs[j][0], squares[j]))));
                [[unroll]] for (uint q = 0u; q < 4u; q++) {
                    if (NORM == 2u)
                        xs[j][q] *= n[q];
                    if (EXPERTS == 2u)
                        xs[j][q] *= weight;
                }
                vec4 front = xs[j][0] + xs[j][1], back = xs[j][2] + xs[j][3];
                all[j] = vec2((front.x + front.y) + (front.z + front.w), (back.x + back.y) + (back.z + back.w));
            }
            // Written as loops: what drivers go through before they unroll them is an eighth.
            [[unroll]] for (uint i = 0u; i < ROWS; i++) {
                Sixteen s = weight16(0u, first[i], u);
                bool there = EXPERTS != 2u || row + i < push.n;
                [[unroll]] for (uint j = 0u; j < COLS; j++)
                    sum[j * ROWS + i] = there ? products(s, xs[j], all[j], sum[j * ROWS + i]) : sum[j * ROWS + i];
            }
            if (TWO != 0u)
                [[unroll]] for (uint i = 0u; i < ROWS; i++) {
                    Sixteen s = weight16(1u, first[i], u);
                    [[unroll]] for (uint j = 0u; j < COLS; j++)
                        up[j * ROWS + i] = products(s, xs[j], all[j], up[j * ROWS + i]);
                }
        }
    }
    // Of each sum four parts first, by as many invocations as there are, then one.
    [[unroll]] for (uint i = 0u; i < N; i++) {
        parts[i * ROOM + t] = sum[i];
        if (TWO != 0u)
            parts[(N + i) * ROOM + t] = up[i];
    }
    if (NORM != 0u)
        [[unroll]] for (uint j = 0u; j < COLS; j++)
            parts[(SUMS - COLS + j) * ROOM + t] = squares[j];
    barrier();
    for (uint i = lane; i < 4u * SUMS; i += LANES) {
        uint at = (i >> 2) * ROOM + (t - lane) + (i & 3u);
        float y = parts[at];
        for (uint n = 4u; n < LANES; n += 4u)
            y += parts[at + n];
        parts[at] = y;
    }
    barrier();
    for (uint i = lane; i < N; i += LANES) {
        uint ri = r + i % ROWS, ci = c + i / ROWS;
        if (ri >= n_rows || (EXPERTS == 0u && ci >= push.n_cols))
            continue;
        if (EXPERTS == 1u && VALUE_WORD(push.ids + c) * push.n_out + ri - push.first >= push.n)
            continue;
        float y = total(i, t - lane), s = 1.0;
        if (NORM != 0u)
            s = 1.0 / sqrt(total(SUMS - COLS + i / ROWS, t - lane) / float(push.k) + push.eps);
        ri = EXPERTS == 0u ? push.first + ri : ri;
        if (TWO != 0u)
            value_set(push.y + ci * push.y_stride + ri, (EPILOGUE == 3u ? silu(y * s) : gelu(y * s)) * push.scale * (total(N + i, t - lane) * s));
        else
            finish(ri, ci, y * s);
    }
}
