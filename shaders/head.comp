#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// One head of one row: norm, rotation, then into the values (q) or the state (k, v). x: heads of q, then of k, then of v; y: rows.
layout(constant_id = 0) const uint STATE = 0u;          // LLM_STATE_TYPE_*
layout(constant_id = 1) const uint ROPE = 0u;           // LM_ROPE_*
layout(constant_id = 2) const uint NORM_Q = 0u;
layout(constant_id = 3) const uint NORM_K = 0u;
layout(push_constant) uniform Push {
    uint base_x, base_y;
    uint n_head, n_head_kv, head_dim, v_dim, n_rot;
    uint q, k, v, angles, out_q;
    uint page_class, page_positions, page_words, v_words;       // v_words: where V begins in a page
    uint counters, n_counters;                          // of attend.comp
    float eps, q_scale;
} push;
#include "common.glsl"
#include "tables.glsl"
#include "reduce.glsl"
#include "state.glsl"
layout(set = 1, binding = 0) readonly buffer NormQ { float v[]; } norm_q;
layout(set = 2, binding = 0) readonly buffer NormK { float v[]; } norm_k;

shared float head[512];

void store(uint at, uint n)
{
    uint t = gl_LocalInvocationID.x;
    if (STATE == 1u) {
        for (uint i = t; i < n; i += 64u)
            state.s[at + i] = floatBitsToUint(head[i]);
    } else if (STATE == 0u) {
        for (uint i = t; i < (n + 1u) / 2u; i += 64u)
            state.s[at + i] = float_half(head[2u * i]) | (2u * i + 1u < n ? float_half(head[2u * i + 1u]) << 16 : 0u);
    } else {
        float most = 0.0;
        for (uint i = t; i < n; i += 64u)
            most = max(most, abs(head[i]));
        most = reduce_max(most);
        float back = most > 0.0 ? 127.0 / most : 0.0;
        if (t == 0u)
            state.s[at] = floatBitsToUint(most / 127.0);
        for (uint i = t; i < (n + 3u) / 4u; i += 64u) {
            uint word = 0u;
            for (uint j = 0u; j < 4u; j++)
                if (4u * i + j < n)
                    word |= (uint(int(roundEven(head[4u * i + j] * back))) & 255u) << (8u * j);
            state.s[at + 1u + i] = word;
        }
    }
}

void main()
{
    uint t = gl_LocalInvocationID.x, h = gl_WorkGroupID.x + push.base_x, r = gl_WorkGroupID.y + push.base_y;
    bool is_q = h < push.n_head, is_v = h >= push.n_head + push.n_head_kv;
    uint n = is_v ? push.v_dim : push.head_dim, kv = is_q ? 0u : is_v ? h - push.n_head - push.n_head_kv : h - push.n_head;
    uint from = is_q ? push.q + (r * push.n_head + h) * n : is_v ? push.v + (r * push.n_head_kv + kv) * n : push.k + (r * push.n_head_kv + kv) * n;
    for (uint i = t; h == 0u && r == 0u && i < push.n_counters; i += 64u)
        values.v[push.counters + i] = 0u;
    float sum = 0.0;
    for (uint i = t; i < n; i += 64u) {
        head[i] = value(from + i);
        sum = fma(head[i], head[i], sum);
    }
    bool normed = (is_q && NORM_Q != 0u) || (!is_q && !is_v && NORM_K != 0u);
    if (NORM_Q != 0u || NORM_K != 0u) {                 // the same for all of the workgroup
        float s = 1.0 / sqrt(reduce_sum(sum) / float(n) + push.eps);
        for (uint i = t; normed && i < n; i += 64u)
            head[i] = head[i] * s * (is_q ? norm_q.v[i] : norm_k.v[i]);
    }
    barrier();
    if (ROPE != 0u && !is_v) {
        uint n_pairs = push.n_rot / 2u;
        for (uint j = t; j < n_pairs; j += 64u) {
            uint a = ROPE == 1u ? 2u * j : j, b = ROPE == 1u ? 2u * j + 1u : j + n_pairs, cs = push.angles + r * push.n_rot + 2u * j;
            float c = value(cs), s = value(cs + 1u), x = head[a], y = head[b];
            head[a] = x * c - y * s;
            head[b] = x * s + y * c;
        }
    }
    barrier();
    if (is_q) {
        for (uint i = t; i < n; i += 64u)
            value_set(push.out_q + (r * push.n_head + h) * n + i, push.q_scale * head[i]);
        return;
    }
    uint position = row_position(r), page = page_number(slot_pages(row_slot(r), push.page_class), position / push.page_positions);
    uint place = (position % push.page_positions) * push.n_head_kv + kv;
    store(page * push.page_words + (is_v ? push.v_words : 0u) + place * state_row_words(STATE, n), n);
}
