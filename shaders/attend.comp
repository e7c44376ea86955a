#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// Attention of one head of one row over its pages, 64 keys at a time, with a running maximum and sum. x: heads; y: rows.
layout(constant_id = 0) const uint STATE = 0u;          // LLM_STATE_TYPE_*
layout(constant_id = 1) const uint SOFTCAP = 0u;
layout(push_constant) uniform Push {
    uint base_x, base_y;
    uint n_head, n_head_kv, head_dim, v_dim, window;
    uint q, y;
    uint page_class, page_positions, page_words, v_words;
    float scale, softcap;
} push;
#include "common.glsl"
#include "tables.glsl"
#include "reduce.glsl"
#include "state.glsl"

shared float query[512], probability[64];
shared uint value_at[64];

void main()
{
    uint t = gl_LocalInvocationID.x, h = gl_WorkGroupID.x + push.base_x, r = gl_WorkGroupID.y + push.base_y, kv = h / (push.n_head / push.n_head_kv);
    uint position = row_position(r), pages = slot_pages(row_slot(r), push.page_class), end = position + 1u;
    uint begin = push.window != 0u && end > push.window ? end - push.window : 0u;
    uint k_words = state_row_words(STATE, push.head_dim), v_words = state_row_words(STATE, push.v_dim);
    float most = -3.0e38, total = 0.0, acc[8];
    for (uint i = 0u; i < 8u; i++)
        acc[i] = 0.0;
    for (uint i = t; i < push.head_dim; i += 64u)
        query[i] = value(push.q + (r * push.n_head + h) * push.head_dim + i) * push.scale;
    barrier();
    for (uint first = begin; first < end; first += 64u) {
        uint j = first + t, n = min(64u, end - first);
        float score = -3.0e38, v_scale = 0.0;
        if (t < n) {
            uint page = page_number(pages, j / push.page_positions) * push.page_words, place = (j % push.page_positions) * push.n_head_kv + kv, at = page + place * k_words;
            score = 0.0;
            for (uint d = 0u; d < push.head_dim; d++)
                score = fma(query[d], state_item(STATE, at, d), score);
            score *= state_scale(STATE, at);
            if (SOFTCAP != 0u)
                score = push.softcap * fast_tanh(score / push.softcap);
            at = page + push.v_words + place * v_words;
            value_at[t] = at;
            v_scale = state_scale(STATE, at);
        }
        float top = max(most, reduce_max(score)), p = t < n ? fast_exp(score - top) : 0.0, old = fast_exp(most - top);
        probability[t] = p * v_scale;
        total = fma(total, old, reduce_sum(p));         // its barriers publish probability and value_at too
        most = top;
        for (uint i = 0u; i < 8u; i++) {
            uint d = t + 64u * i;
            if (d >= push.v_dim)
                break;
            float sum = acc[i] * old;
            for (uint k = 0u; k < n; k++)
                sum = fma(probability[k], state_item(STATE, value_at[k], d), sum);
            acc[i] = sum;
        }
        barrier();
    }
    for (uint i = 0u; i < 8u; i++) {
        uint d = t + 64u * i;
        if (d < push.v_dim)
            value_set(push.y + (r * push.n_head + h) * push.v_dim + d, acc[i] / total);
    }
}
