/* SPDX-License-Identifier: MIT
 * Sums of bytes: the same for every cut; other for every changed, swapped, missing or added byte. */
#include "base/digest.h"

#include "test.h"

enum { N = 300 };

int main(void)
{
    unsigned char bytes[N], other[N];
    uint64_t sums[N + 1];
    for (int i = 0; i < N; i++)
        bytes[i] = (unsigned char)(i * 37 + i / 7);
    for (size_t n = 0; n <= N; n++) {
        sums[n] = lm_digest_of(bytes, n);
        for (size_t i = 0; i < n; i++)
            CHECK(sums[i] != sums[n]);
    }
    for (size_t a = 0; a <= N; a++)
        for (size_t b = a; b <= N; b += 13) {
            lm_digest d;
            lm_digest_begin(&d);
            lm_digest_add(&d, bytes, a);
            lm_digest_add(&d, bytes + a, b - a);
            CHECK(lm_digest_end(&d) == sums[b]);
            lm_digest_add(&d, bytes + b, N - b);
            CHECK(lm_digest_end(&d) == sums[N]);
        }
    for (size_t i = 0; i < N * 8; i++) {                    /* every bit, and every pair with a neighbour's */
        memcpy(other, bytes, N);
        other[i / 8] ^= (unsigned char)(1 << i % 8);
        CHECK(lm_digest_of(other, N) != sums[N]);
        other[(i / 8 + 32) % N] ^= (unsigned char)(1 << i % 8);
        CHECK(lm_digest_of(other, N) != sums[N]);
    }
    for (size_t i = 0; i + 8 < N; i++) {
        memcpy(other, bytes, N);
        other[i] = bytes[i + 8], other[i + 8] = bytes[i];
        CHECK(lm_digest_of(other, N) != sums[N] || bytes[i] == bytes[i + 8]);
    }
    memset(other, 0, N);
    CHECK(lm_digest_of(other, 31) != lm_digest_of(other, 32) && lm_digest_of(other, 32) != lm_digest_of(other, 64) && lm_digest_of(other, 0) != lm_digest_of(other, 1));
    return TEST_DONE();
}
