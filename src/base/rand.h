/* SPDX-License-Identifier: MIT
 * Counter-based random numbers (Philox 4x32-10, Salmon et al., SC'11): a draw depends on (seed, counter) alone. Floor 0. */
#ifndef LM_BASE_RAND_H
#define LM_BASE_RAND_H

#include <stdint.h>

void   lm_philox(uint64_t seed, uint64_t counter, uint64_t stream, uint32_t out[4]);
double lm_uniform(uint64_t seed, uint64_t counter, uint64_t stream);     /* [0, 1), 53 bits */

#endif
