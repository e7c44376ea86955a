// SPDX-License-Identifier: MIT
// What both products share: their numbers and their epilogue. Outputs r of `n` of the whole matrix, columns c: the rows of the pass.
layout(constant_id = 0) const uint BIAS = 0u;
layout(constant_id = 1) const uint EPILOGUE = 0u;       // 0: none; 1: a + y; 2: a + sigmoid(gate) y; 3: silu(out) y; 4: gelu(out) y
layout(constant_id = 2) const uint SOFTCAP = 0u;
layout(constant_id = 3) const uint EXPERTS = 0u;        // 0: none; 1: column c is a pair (row, rank); 2: the ranks of a row, added in order
layout(constant_id = 4) const uint LANES = 16u;         // invocations that share rows along k (products of few columns); of a subgroup (wide ones)
layout(constant_id = 5) const uint COLS = 1u;           // and their columns: 1 or 4

layout(push_constant) uniform Push {
    uint base_x, base_y;
    uint plane0, plane1, plane2, plane3;
    uint k, blocks, first, n, n_cols;                   // first: the matrix row that these planes begin with; n: rows they hold
    uint x, x_stride, y, y_stride, a, gate;
    uint ids, ranks, n_used, n_out;                     // experts: ids and their weights; outputs of one expert
    uint up0, up1, up2, up3;                            // the second matrix's planes (products of few columns)
    float scale, softcap, eps;                          // eps: of the norm that is in the product (the same)
} push;

layout(set = 2, binding = 0) readonly buffer Bias { float b[]; } bias;

void finish(uint r, uint c, float y)
{
    uint at = push.y + c * push.y_stride + r;
    if (BIAS != 0u)
        y += bias.b[r];
    y *= push.scale;
    if (EPILOGUE == 1u)
        y = value(push.a + c * push.y_stride + r) + y;
    else if (EPILOGUE == 2u)
        y = value(push.a + c * push.y_stride + r) + sigmoid(value(push.gate + c)) * y;
    else if (EPILOGUE == 3u)
        y = silu(value(at)) * y;
    else if (EPILOGUE == 4u)
        y = gelu(value(at)) * y;
    if (SOFTCAP != 0u)
        y = push.softcap * fast_tanh(y / push.softcap);
    value_set(at, y);
}
