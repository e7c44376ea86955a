/* SPDX-License-Identifier: MIT
 * The frequencies that ANGLES turns with: once a program, in double, the same for every backend. Owns nothing. Threads: any. */
#include "ops/ops.h"

#include "base/compiler.h"
#include "base/fmath.h"

LM_EXACT_ARITHMETIC

static double angles_corner(const lm_op_angles *u, double rotations)
{
    return u->n_rot * lm_log64(u->n_ctx_orig / (rotations * 6.283185307179586)) / (2 * lm_log64(u->base));
}

static double angles_floor(double x)                         /* of values that fit */
{
    double whole = (double)(int64_t)x;
    return whole > x ? whole - 1 : whole;
}

void lm_angles_frequencies(const lm_op_angles *u, double *freq, double *mix)
{
    uint32_t n = u->n_rot / 2;
    double low = 0, high = 0;
    if (u->ext_factor != 0) {
        double a = angles_corner(u, u->beta_fast), b = angles_corner(u, u->beta_slow);
        a = a > -1e9 ? (a < 1e9 ? angles_floor(a) : 1e9) : -1e9;
        b = b > -1e9 ? (b < 1e9 ? -angles_floor(-b) : 1e9) : -1e9;
        low = a > 0 ? a : 0;
        high = b < u->n_rot - 1.0 ? b : u->n_rot - 1.0;
    }
    for (uint32_t j = 0; j < n; j++) {
        freq[j] = lm_pow64(u->base, -2.0 * j / u->n_rot);
        double width = high - low > 0.001 ? high - low : 0.001, ramp = (j - low) / width;
        ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
        mix[j] = (1 - ramp) * u->ext_factor;
    }
}
