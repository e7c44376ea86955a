#version 450
#extension GL_GOOGLE_include_directive : require
// SPDX-License-Identifier: MIT
// The experts of one row: softmax, then the largest one after another (of equals the lowest id). y: rows.
layout(push_constant) uniform Push { uint base_x, base_y, n_expert, n_used, x, ids, weights, normalize; float scale; } push;
#include "common.glsl"
#include "reduce.glsl"

shared float p[1024];
shared uint best_id[64];

void main()
{
    uint t = gl_LocalInvocationID.x, r = gl_WorkGroupID.y + push.base_y, n = push.n_expert;
    float most = -3.4e38, sum = 0.0, used = 0.0;
    for (uint i = t; i < n; i += 64u) {
        p[i] = value(push.x + r * n + i);
        most = max(most, p[i]);
    }
    most = reduce_max(most);
    for (uint i = t; i < n; i += 64u) {
        p[i] = fast_exp(p[i] - most);
        sum += p[i];
    }
    sum = reduce_sum(sum);
    barrier();
    for (uint rank = 0u; rank < push.n_used; rank++) {
        float best = -1.0;
        uint id = n;
        for (uint i = t; i < n; i += 64u)
            if (p[i] > best) {
                best = p[i];
                id = i;
            }
        float top = reduce_max(best);
        best_id[t] = best == top ? id : 0xffffffffu;
        barrier();
        if (t == 0u) {
            for (uint i = 1u; i < 64u; i++)
                best_id[0] = min(best_id[0], best_id[i]);
            uint chosen = min(best_id[0], n - 1u);      // NaN everywhere: an id all the same
            values.v[push.ids + r * push.n_used + rank] = chosen;
            value_set(push.weights + r * push.n_used + rank, top / sum);
            used += top / sum;
            p[chosen] = -2.0;
        }
        barrier();
    }
    if (t == 0u)
        for (uint rank = 0u; rank < push.n_used; rank++) {
            uint at = push.weights + r * push.n_used + rank;
            value_set(at, (push.normalize != 0u ? value(at) / used : value(at)) * push.scale);
        }
}
