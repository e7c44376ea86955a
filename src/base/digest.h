/* SPDX-License-Identifier: MIT
 * Sums of bytes, to notice what was changed by accident: any change inside one word of eight bytes is certain to be seen, and unrelated
 * changes are, but for one in about 2^64. Changes of several words that fit each other can cancel out: no protection against intent. The sum
 * depends on the order of bytes of the machine, and not on how the bytes were cut. Floor 0.
 * Threads: one at a time. */
#ifndef LM_BASE_DIGEST_H
#define LM_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { LM_DIGEST_BLOCK = 32 };
typedef struct lm_digest {
    uint64_t lanes[4], total;
    unsigned char rest[LM_DIGEST_BLOCK];    /* bytes of a block that is not whole yet */
    size_t n_rest;
} lm_digest;

void     lm_digest_begin(lm_digest *digest);
void     lm_digest_add(lm_digest *digest, const void *bytes, size_t n);
uint64_t lm_digest_end(const lm_digest *digest);
uint64_t lm_digest_of(const void *bytes, size_t n);

#endif
