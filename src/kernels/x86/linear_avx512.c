/* SPDX-License-Identifier: MIT
 * To be written. */
#include "kernels/kernels.h"

void lm_kernels_linear_avx512(lm_kernels *table)
{
    (void)table;
}
