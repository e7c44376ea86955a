// SPDX-License-Identifier: MIT
// Sums and maxima over a workgroup through shared memory, in one fixed order. All invocations call; all get the result.
shared float reduce_shared[64];

float reduce_sum(float x)
{
    uint t = gl_LocalInvocationID.x;
    barrier();
    reduce_shared[t] = x;
    barrier();
    for (uint n = 32u; n > 0u; n >>= 1) {
        if (t < n)
            reduce_shared[t] += reduce_shared[t + n];
        barrier();
    }
    return reduce_shared[0];
}

float reduce_max(float x)
{
    uint t = gl_LocalInvocationID.x;
    barrier();
    reduce_shared[t] = x;
    barrier();
    for (uint n = 32u; n > 0u; n >>= 1) {
        if (t < n)
            reduce_shared[t] = max(reduce_shared[t], reduce_shared[t + n]);
        barrier();
    }
    return reduce_shared[0];
}
