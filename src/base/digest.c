/* SPDX-License-Identifier: MIT
 * Sums of bytes: see digest.h.
 *
 * Four lanes take a word each in turn: lane = rotate(lane ^ word) * an odd number, which is a bijection of the lane for any word and of the word
 * for any lane, so that one changed word changes the lane for good. At the end the lanes are folded, each step again a bijection of either. */
#include "base/digest.h"

#include "base/compiler.h"

#include <string.h>

#define DIGEST_ODD_0 UINT64_C(0x9e3779b97f4a7c15)
#define DIGEST_ODD_1 UINT64_C(0xd6e8feb86659fd93)

LM_INLINE uint64_t digest_rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }
LM_INLINE uint64_t digest_step(uint64_t lane, uint64_t word) { return digest_rotate(lane ^ word, 29) * DIGEST_ODD_0; }

static void digest_blocks(uint64_t lanes[4], const unsigned char *bytes, size_t n_blocks)
{
    uint64_t a = lanes[0], b = lanes[1], c = lanes[2], d = lanes[3], w[4];
    for (; n_blocks > 0; n_blocks--, bytes += LM_DIGEST_BLOCK) {
        memcpy(w, bytes, sizeof w);
        a = digest_step(a, w[0]);
        b = digest_step(b, w[1]);
        c = digest_step(c, w[2]);
        d = digest_step(d, w[3]);
    }
    lanes[0] = a, lanes[1] = b, lanes[2] = c, lanes[3] = d;
}

void lm_digest_begin(lm_digest *digest)
{
    memset(digest, 0, sizeof *digest);
    for (uint64_t i = 0; i < 4; i++)
        digest->lanes[i] = (i + 1) * DIGEST_ODD_1;
}

void lm_digest_add(lm_digest *digest, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    digest->total += n;
    if (digest->n_rest > 0) {
        size_t take = LM_MIN(n, LM_DIGEST_BLOCK - digest->n_rest);
        if (take > 0)
            memcpy(digest->rest + digest->n_rest, at, take);
        digest->n_rest += take;
        if (digest->n_rest < LM_DIGEST_BLOCK)
            return;
        digest_blocks(digest->lanes, digest->rest, 1);
        digest->n_rest = 0;
        at += take;
        n -= take;
    }
    digest_blocks(digest->lanes, at, n / LM_DIGEST_BLOCK);
    digest->n_rest = n % LM_DIGEST_BLOCK;
    if (digest->n_rest > 0)
        memcpy(digest->rest, at + (n - digest->n_rest), digest->n_rest);
}

uint64_t lm_digest_end(const lm_digest *digest)
{
    uint64_t lanes[4], sum = digest->total * DIGEST_ODD_1;
    unsigned char last[LM_DIGEST_BLOCK] = { 0 };
    memcpy(lanes, digest->lanes, sizeof lanes);
    memcpy(last, digest->rest, digest->n_rest);
    digest_blocks(lanes, last, 1);
    for (int i = 0; i < 4; i++) {
        sum = digest_step(sum, lanes[i]);
        sum ^= sum >> 32;
    }
    sum *= DIGEST_ODD_1;
    return sum ^ sum >> 29;
}

uint64_t lm_digest_of(const void *bytes, size_t n)
{
    lm_digest digest;
    lm_digest_begin(&digest);
    lm_digest_add(&digest, bytes, n);
    return lm_digest_end(&digest);
}
#undef DIGEST_ODD_0
#undef DIGEST_ODD_1
