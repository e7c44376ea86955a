#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// SPDX-License-Identifier: MIT
// Attention with a running maximum and sum, 64 keys at a time. A workgroup has QUERIES queries, heads of one group of a tile of rows, so that
// one read of K and V serves all of them: scores of 4 queries and QUERIES / 4 keys an invocation, then 4 queries and four items of V each.
// x: splits of the keys, parts of a group's heads, heads of K and V; y: tiles of rows. Where keys are split, whoever comes last
// adds the parts up, in one fixed order; the counters were zeroed by head.comp and are zero again afterwards.
layout(constant_id = 0) const uint STATE = 0u;          // LLM_STATE_TYPE_*
layout(constant_id = 1) const uint SOFTCAP = 0u;
layout(constant_id = 2) const uint QUERIES = 4u;        // 4, 8 or 16
layout(constant_id = 3) const uint K_DIM = 64u;
layout(constant_id = 4) const uint V_DIM = 64u;
layout(push_constant) uniform Push {
    uint base_x, base_y;
    uint n_rows, n_head, n_head_kv, heads, parts, tile_rows, splits, window;    // heads: of a group that a workgroup has; tile_rows * heads <= QUERIES
    uint q, y, partials, counters;
    uint page_class, page_positions, page_words, v_words;
    float scale, softcap;
} push;
#define VALUES_ARE coherent
#include "common.glsl"
#include "tables.glsl"
#include "state.glsl"
layout(set = 3, binding = 0) readonly buffer State4 { uvec4 s[]; } state4;     // the same, where rows are whole fours of words

const uint KEYS = QUERIES / 4u;                         // an invocation's, when scores are made
const uint LANES = 64u / KEYS;                          // invocations that share four queries
const uint TEAM = 64u / QUERIES;                        // invocations that share a query, when scores become probabilities
const uint EIGHTS = (K_DIM + 7u) / 8u, FOURS = (V_DIM + 3u) / 4u;
const uint TAKES = (FOURS + LANES - 1u) / LANES;        // fours of V that an invocation has
const uint PARTS = QUERIES != 4u ? 1u : FOURS <= 16u ? 4u : FOURS <= 32u ? 2u : 1u;    // and where there are more invocations than fours, keys are dealt out
const uint FOLD = PARTS > 1u ? 256u : 1u;
const uint ROW = 68u;                                   // scores of a query, with room so that queries lie in different banks
const float MASKED = -3.0e38;

shared vec4 query[QUERIES * 2u * EIGHTS], fold[FOLD];
shared float score[QUERIES * ROW], decay[QUERIES], most_of[64];
shared uint page_at[4], before;

// Items d to d + 7 of K at word `at`, not yet times the scale of int8; zero beyond the head's end.
void key_eight(uint at, uint d, out vec4 lo, out vec4 hi)
{
    if (K_DIM % 8u == 0u && STATE == 0u) {
        uvec4 w = state4.s[(at + d / 2u) / 4u];
        lo = vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
        hi = vec4(unpackHalf2x16(w.z), unpackHalf2x16(w.w));
    } else if (K_DIM % 8u == 0u && STATE == 1u) {
        lo = uintBitsToFloat(state4.s[(at + d) / 4u]);
        hi = uintBitsToFloat(state4.s[(at + d) / 4u + 1u]);
    } else if (K_DIM % 8u == 0u) {
        uint a = state.s[at + 1u + d / 4u], b = state.s[at + 2u + d / 4u];
        lo = vec4(ivec4(int(a) << 24, int(a) << 16, int(a) << 8, int(a)) >> 24);
        hi = vec4(ivec4(int(b) << 24, int(b) << 16, int(b) << 8, int(b)) >> 24);
    } else {
        [[unroll]] for (uint i = 0u; i < 4u; i++) {
            lo[i] = d + i < K_DIM ? state_item(STATE, at, d + i) : 0.0;
            hi[i] = d + 4u + i < K_DIM ? state_item(STATE, at, d + 4u + i) : 0.0;
        }
    }
}

vec4 value_four(uint at, uint d)
{
    if (V_DIM % 4u == 0u && STATE == 0u)
        return vec4(unpackHalf2x16(state.s[at + d / 2u]), unpackHalf2x16(state.s[at + d / 2u + 1u]));
    if (V_DIM % 4u == 0u && STATE == 1u)
        return uintBitsToFloat(state4.s[(at + d) / 4u]);
    if (V_DIM % 4u == 0u) {
        int a = int(state.s[at + 1u + d / 4u]);
        return vec4(ivec4(a << 24, a << 16, a << 8, a) >> 24);
    }
    vec4 x = vec4(0.0);
    [[unroll]] for (uint i = 0u; i < 4u; i++)
        if (d + i < V_DIM)
            x[i] = state_item(STATE, at, d + i);
    return x;
}

// Tiles of 64 keys from `first` on that rows a to b - 1 of one session see.
void seen(uint a, uint b, out uint first, out uint end)
{
    uint begin = row_position(a) + 1u;
    begin = push.window != 0u && begin > push.window ? begin - push.window : 0u;
    first = begin & ~63u;
    end = row_position(b - 1u) + 1u;
}

uint same_slot(uint a, uint last)                       // the row behind the last one of a's session
{
    uint slot = row_slot(a), b = a + 1u;
    while (b < last && row_slot(b) == slot)
        b++;
    return b;
}

void main()
{
    uint t = gl_LocalInvocationID.x, lane = t % LANES, four = 4u * (t / LANES), x = gl_WorkGroupID.x + push.base_x, tile = gl_WorkGroupID.y + push.base_y;
    uint split = x % push.splits, group = x / push.splits, kv = group / push.parts, group_heads = push.n_head / push.n_head_kv, head0 = group % push.parts * push.heads;
    uint row0 = tile * push.tile_rows, row1 = min(row0 + push.tile_rows, push.n_rows), used = 1u;
    uint k_words = state_row_words(STATE, K_DIM), v_words = state_row_words(STATE, V_DIM);
    for (uint a = row0, b; push.splits > 1u && a < row1; a = b) {       // splits that have something to do
        uint first, end;
        b = same_slot(a, row1);
        seen(a, b, first, end);
        used = max(used, min(push.splits, (end - first + 63u) / 64u));
    }
    if (split >= used)                                  // all of the workgroup
        return;

    // Queries are numbered head by head within a row. Those that are not there count as the last ones that are; nobody takes their results.
    for (uint i = t; i < QUERIES * 8u * EIGHTS; i += 64u) {
        uint n = i / (8u * EIGHTS), d = i % (8u * EIGHTS), r = min(row0 + n / push.heads, row1 - 1u), h = min(head0 + n % push.heads, group_heads - 1u);
        query[i / 4u][i & 3u] = d < K_DIM ? value(push.q + (r * push.n_head + kv * group_heads + h) * K_DIM + d) * push.scale : 0.0;
    }
    float most = MASKED, total = 0.0;                   // of query t / TEAM; the total: of this invocation's keys
    vec4 sum[4u * TAKES];
    [[unroll]] for (uint i = 0u; i < 4u * TAKES; i++)
        sum[i] = vec4(0.0);

    for (uint a = row0, b; a < row1; a = b) {
        uint first, end, pages = slot_pages(row_slot(a), push.page_class), position0 = row_position(a);
        b = same_slot(a, row1);
        seen(a, b, first, end);
        uint tiles = (end - first + 63u) / 64u, begin = first + 64u * (split * tiles / used), until = min(end, first + 64u * ((split + 1u) * tiles / used));
        for (uint key0 = begin; key0 < until; key0 += 64u) {
            if (t < 4u)                                 // where its page begins, for every sixteen keys
                page_at[t] = page_number(pages, min(key0 + 16u * t, end - 1u) / push.page_positions) * push.page_words;
            barrier();                                  // and query, and what the last tile has read of score
            uint key = key0 + lane * KEYS;
            if (key < end) {
                float s[4u * KEYS];
                uint at = page_at[(lane * KEYS) >> 4] + ((key % push.page_positions) * push.n_head_kv + kv) * k_words;
                [[unroll]] for (uint i = 0u; i < 4u * KEYS; i++)
                    s[i] = 0.0;
                for (uint e = 0u; e < EIGHTS; e++) {
                    vec4 lo[KEYS], hi[KEYS];
                    [[unroll]] for (uint j = 0u; j < KEYS; j++)
                        key_eight(at + j * push.n_head_kv * k_words, 8u * e, lo[j], hi[j]);
                    [[unroll]] for (uint i = 0u; i < 4u; i++) {
                        vec4 ql = query[((four + i) * EIGHTS + e) * 2u], qh = query[((four + i) * EIGHTS + e) * 2u + 1u];
                        [[unroll]] for (uint j = 0u; j < KEYS; j++)
                            s[i * KEYS + j] += dot(ql, lo[j]) + dot(qh, hi[j]);
                    }
                }
                [[unroll]] for (uint i = 0u; i < 4u; i++) {
                    uint r = row0 + (four + i) / push.heads, p = position0 + r - a;
                    [[unroll]] for (uint j = 0u; j < KEYS; j++) {
                        float y = s[i * KEYS + j];
                        if (STATE == 2u)
                            y *= state_scale(STATE, at + j * push.n_head_kv * k_words);
                        if (SOFTCAP != 0u)
                            y = push.softcap * fast_tanh(y / push.softcap);
                        bool sees = r >= a && r < b && key + j <= p && (push.window == 0u || key + j + push.window > p);
                        score[(four + i) * ROW + lane * KEYS + j] = sees ? y : MASKED;
                    }
                }
            } else {
                [[unroll]] for (uint i = 0u; i < 4u; i++)
                    [[unroll]] for (uint j = 0u; j < KEYS; j++)
                        score[(four + i) * ROW + lane * KEYS + j] = MASKED;
            }
            barrier();
            uint n = t / TEAM, part = t % TEAM;
            float mine[QUERIES], top = most, added = 0.0;
            [[unroll]] for (uint i = 0u; i < QUERIES; i++) {
                mine[i] = score[n * ROW + part + TEAM * i];
                top = max(top, mine[i]);
            }
            most_of[t] = top;
            barrier();
            for (uint i = 0u; i < TEAM; i++)
                top = max(top, most_of[n * TEAM + i]);
            float old = fast_exp(most - top);
            [[unroll]] for (uint i = 0u; i < QUERIES; i++) {
                float p = mine[i] == MASKED ? 0.0 : fast_exp(mine[i] - top);
                added += p;
                if (STATE == 2u) {
                    uint k = part + TEAM * i, j = min(key0 + k, end - 1u);
                    p *= p == 0.0 ? 0.0 : state_scale(STATE, page_at[k >> 4] + push.v_words + ((j % push.page_positions) * push.n_head_kv + kv) * v_words);
                }
                score[n * ROW + part + TEAM * i] = p;
            }
            total = fma(total, old, added);
            most = top;
            if (part == 0u)
                decay[n] = old;
            barrier();
            // Keys before the first that anyone sees may lie in pages that are somebody else's by now, and behind the last one is nothing yet:
            // their neighbours stand in for them, times zero.
            uint low = max(key0, position0 + 1u > push.window && push.window != 0u ? position0 + 1u - push.window : 0u), high = min(end, key0 + 64u) - 1u;
            [[unroll]] for (uint i = 0u; i < 4u; i++) {
                float d = decay[four + i];
                [[unroll]] for (uint j = 0u; j < TAKES; j++)
                    sum[i * TAKES + j] *= d;
            }
            uint mine_of = lane / (LANES / PARTS), take0 = lane % (LANES / PARTS);
            for (uint k0 = ((low - key0) & ~3u) + 4u * mine_of; k0 <= high - key0; k0 += 4u * PARTS) {
                uint page = page_at[k0 >> 4] + push.v_words;
                [[unroll]] for (uint k = k0; k < k0 + 4u; k++) {
                    uint at = page + ((clamp(key0 + k, low, high) % push.page_positions) * push.n_head_kv + kv) * v_words;
                    float p[4];
                    [[unroll]] for (uint i = 0u; i < 4u; i++)
                        p[i] = score[(four + i) * ROW + k];
                    [[unroll]] for (uint j = 0u; j < TAKES; j++) {
                        vec4 v = take0 + LANES * j < FOURS ? value_four(at, 4u * (take0 + LANES * j)) : vec4(0.0);
                        [[unroll]] for (uint i = 0u; i < 4u; i++)
                            sum[i * TAKES + j] = fma(vec4(p[i]), v, sum[i * TAKES + j]);
                    }
                }
            }
            barrier();
        }
    }

    // Sums of a query's total, of dealt out keys; then the result, or a part of it.
    most_of[t] = total;
    if (t % TEAM == 0u)
        decay[t / TEAM] = most;
    barrier();
    if (PARTS > 1u) {
        [[unroll]] for (uint i = 0u; i < 4u; i++)
            fold[4u * t + i & (FOLD - 1u)] = sum[i];
        barrier();
        if (t < 64u / PARTS)
            [[unroll]] for (uint n = 1u; n < PARTS; n++)
                [[unroll]] for (uint i = 0u; i < 4u; i++)
                    sum[i] += fold[4u * (t + n * (64u / PARTS)) + i & (FOLD - 1u)];
    }
    [[unroll]] for (uint i = 0u; i < 4u; i++) {
        uint n = four + i, r = row0 + n / push.heads, h = head0 + n % push.heads;
        if (n / push.heads >= push.tile_rows || r >= row1 || h >= group_heads)
            continue;
        uint out_row = r * push.n_head + kv * group_heads + h, at = used == 1u ? push.y + out_row * V_DIM : push.partials + (out_row * push.splits + split) * (V_DIM + 2u) + 2u;
        float all = 0.0;
        for (uint j = 0u; j < TEAM; j++)
            all += most_of[n * TEAM + j];
        [[unroll]] for (uint j = 0u; j < TAKES; j++)
            [[unroll]] for (uint d = 0u; d < 4u; d++)
                if ((PARTS == 1u || t < 64u / PARTS) && 4u * (lane + LANES * j) + d < V_DIM)
                    value_set(at + 4u * (lane + LANES * j) + d, used == 1u ? sum[i * TAKES + j][d] / all : sum[i * TAKES + j][d]);
        if (used > 1u && lane == 0u) {
            value_set(at - 2u, decay[n]);
            value_set(at - 1u, all);
        }
    }
    if (used == 1u)
        return;

    memoryBarrierBuffer();
    barrier();
    uint counter = push.counters + tile * push.n_head_kv * push.parts + group;
    if (t == 0u)
        before = atomicAdd(values.v[counter], 1u);
    barrier();
    if (before + 1u != used)
        return;
    memoryBarrierBuffer();
    if (t == 0u)
        values.v[counter] = 0u;
    // Of each query: the maxima, then what each split counts for and its share of the total.
    uint there = min((row1 - row0) * push.heads, QUERIES);
    for (uint i = t; i < there * used; i += 64u) {
        uint n = i / used, r = row0 + n / push.heads, h = min(head0 + n % push.heads, group_heads - 1u);
        score[n * ROW + i % used] = value(push.partials + ((r * push.n_head + kv * group_heads + h) * push.splits + i % used) * (V_DIM + 2u));
    }
    barrier();
    for (uint i = t; i < there * used; i += 64u) {
        float top = MASKED;
        for (uint s = 0u; s < used; s++)
            top = max(top, score[i / used * ROW + s]);
        score[i / used * ROW + 34u + i % used] = fast_exp(score[i / used * ROW + i % used] - top);
    }
    barrier();
    for (uint n = 0u; n < there; n++) {
        uint r = row0 + n / push.heads, h = head0 + n % push.heads;
        if (h >= group_heads)
            continue;
        uint out_row = r * push.n_head + kv * group_heads + h, at = push.partials + out_row * push.splits * (V_DIM + 2u);
        float all = 0.0;
        for (uint s = 0u; s < used; s++)
            all = fma(value(at + s * (V_DIM + 2u) + 1u), score[n * ROW + 34u + s], all);
        for (uint d = t; d < V_DIM; d += 64u) {
            float y = 0.0;
            for (uint s = 0u; s < used; s++)
                y = fma(value(at + s * (V_DIM + 2u) + 2u + d), score[n * ROW + 34u + s], y);
            value_set(push.y + out_row * V_DIM + d, y / all);
        }
    }
}
