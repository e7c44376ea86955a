// SPDX-License-Identifier: MIT
// Where the state of a stream lies: pages of [position][head] rows, K then V; a row is words of f32, of two f16, or a scale and four
// int8 a word.
layout(set = 3, binding = 0) buffer State { uint s[]; } state;

// Words of a head's row at one position.
uint state_row_words(uint kind, uint dim) { return kind == 0u ? (dim + 1u) / 2u : kind == 1u ? dim : 1u + (dim + 3u) / 4u; }

// Item d of the row at `at`, not yet times the scale of int8.
float state_item(uint kind, uint at, uint d)
{
    if (kind == 1u)
        return uintBitsToFloat(state.s[at + d]);
    if (kind == 0u)
        return half_float((state.s[at + (d >> 1)] >> (16u * (d & 1u))) & 0xffffu);
    return float(int(state.s[at + 1u + (d >> 2)] << (24u - 8u * (d & 3u))) >> 24);
}
float state_scale(uint kind, uint at) { return kind == 2u ? uintBitsToFloat(state.s[at]) : 1.0; }
