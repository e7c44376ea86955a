/* SPDX-License-Identifier: MIT
 * Elementary functions from + - * / and lm_fmaf alone. The f32 ones are those of docs/ARITHMETIC.md: change no operation, the
 * vector kernels repeat them. The f64 ones serve tables made once (RoPE angles); their series are Taylor's, the pairs
 * (high, low) are unevaluated sums of two doubles. Pure functions. Threads: any. */
#include "base/fmath.h"

#include "base/compiler.h"

LM_EXACT_ARITHMETIC

float lm_expf(float x)
{
    if (!(x <= LM_EXPF_HIGH))
        return x > LM_EXPF_HIGH ? INFINITY : x;
    if (x < LM_EXPF_LOW)
        return 0.0f;
    float t = lm_fmaf(x, LM_EXPF_LOG2E, LM_EXPF_ROUND), n = t - LM_EXPF_ROUND;
    float r = lm_fmaf(n, -LM_EXPF_LN2_HIGH, x);
    r = lm_fmaf(n, -LM_EXPF_LN2_LOW, r);
    float p = LM_EXPF_C6;
    p = lm_fmaf(p, r, LM_EXPF_C5);
    p = lm_fmaf(p, r, LM_EXPF_C4);
    p = lm_fmaf(p, r, LM_EXPF_C3);
    p = lm_fmaf(p, r, LM_EXPF_C2);
    p = lm_fmaf(p, r, 1.0f);
    p = lm_fmaf(p, r, 1.0f);
    /* times 2^n: into the exponent. Never out of range: within the bounds p < 1 where n = 128 and p >= 1 where n = -126. */
    return lm_f32_from_bits(lm_bits_from_f32(p) + (lm_bits_from_f32(t) << 23));
}

float lm_tanhf(float x)
{
    uint32_t bits = lm_bits_from_f32(x), sign = bits & 0x80000000u;
    float z = lm_f32_from_bits(bits & 0x7fffffffu), y;
    if (z < LM_TANHF_BORDER) {
        float z2 = z * z, p = LM_TANHF_C4;
        p = lm_fmaf(p, z2, LM_TANHF_C3);
        p = lm_fmaf(p, z2, LM_TANHF_C2);
        p = lm_fmaf(p, z2, LM_TANHF_C1);
        p = lm_fmaf(p, z2, LM_TANHF_C0);
        y = lm_fmaf(z2 * p, z, z);
    } else {
        y = 1.0f - 2.0f / (lm_expf(z + z) + 1.0f);
    }
    return lm_f32_from_bits(lm_bits_from_f32(y) | sign);
}

/* ---- f64 ---- */

typedef struct fmath_pair { double high, low; } fmath_pair;

/* a + b exactly (Knuth). */
static fmath_pair fmath_two_sum(double a, double b)
{
    double s = a + b, t = s - a;
    return (fmath_pair){ s, (a - (s - t)) + (b - t) };
}

/* a * b exactly (Dekker; no fma, see lm_fmaf). |a|, |b| < 2^996. */
static fmath_pair fmath_two_product(double a, double b)
{
    double p = a * b, ca = a * 134217729.0, cb = b * 134217729.0;       /* 2^27 + 1 */
    double ah = ca - (ca - a), al = a - ah, bh = cb - (cb - b), bl = b - bh;
    return (fmath_pair){ p, ((ah * bh - p) + ah * bl + al * bh) + al * bl };
}

static double fmath_from_bits(uint64_t bits) { double x; memcpy(&x, &bits, 8); return x; }
static uint64_t fmath_to_bits(double x) { uint64_t bits; memcpy(&bits, &x, 8); return bits; }

/* The nearest integer, ties to even; |x| < 2^51. */
static double fmath_round(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

/* 2^n, -1022 <= n <= 1023. */
static double fmath_two_to(int n) { return fmath_from_bits((uint64_t)(n + 1023) << 52); }

#define FMATH_LN2_HIGH 0x1.62e42fefa3800p-1                 /* 42 bits: times an exponent it is exact */
#define FMATH_LN2_LOW  0x1.ef35793c76730p-45

/* exp(high + low), |low| << 1. */
static double fmath_exp_pair(double high, double low)
{
    static const double c[] = {                             /* 1 / k!, k = 2..13 */
        1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
        1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800
    };
    if (!(high <= 709.782712893384))
        return high > 0 ? INFINITY : high;                  /* or NaN */
    if (high < -745.2)
        return 0.0;
    double n = fmath_round(high * 0x1.71547652b82fep+0);
    fmath_pair r = fmath_two_sum(high - n * FMATH_LN2_HIGH, low - n * FMATH_LN2_LOW);
    double p = c[11];
    for (int k = 10; k >= 0; k--)
        p = p * r.high + c[k];
    /* exp(r) = 1 + (r + r^2 p); the low part enters by its first derivative. */
    fmath_pair y = fmath_two_sum(1.0, r.high);
    double small = r.high * r.high * p + (y.low + r.low * (1.0 + r.high));
    double e = y.high + small;
    int exponent = (int)n, half = exponent / 2;             /* in two steps: 1024 and subnormals */
    return e * fmath_two_to(half) * fmath_two_to(exponent - half);
}

/* log(x) as a pair, about 2^-60 relative; x > 0 and finite. */
static fmath_pair fmath_log_pair(double x)
{
    int exponent = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        exponent = -54;
    }
    uint64_t bits = fmath_to_bits(x);
    exponent += (int)(bits >> 52) - 1023;
    double m = fmath_from_bits((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent += 1;
    }
    /* s = f / (2 + f), log m = 2 atanh(s) = 2 s + s^3 (2/3 + 2/5 s^2 + ..), |s| <= 0.1716. f is exact; 2 + f as a pair. */
    double f = m - 1.0;
    fmath_pair below = fmath_two_sum(2.0, f);
    double s = f / below.high;
    fmath_pair product = fmath_two_product(s, below.high);
    double s_low = (((f - product.high) - product.low) - s * below.low) / below.high;
    double z = s * s, p = 0.0;
    for (int k = 25; k >= 3; k -= 2)
        p = p * z + 2.0 / k;
    fmath_pair sum = fmath_two_sum(exponent * FMATH_LN2_HIGH, 2.0 * s);
    double low = sum.low + (exponent * FMATH_LN2_LOW + 2.0 * s_low);
    fmath_pair tail = fmath_two_sum(sum.high, s * z * p);
    return fmath_two_sum(tail.high, tail.low + low);
}

double lm_exp64(double x) { return fmath_exp_pair(x, 0.0); }

double lm_log64(double x)
{
    if (!(x > 0))
        return x == 0 ? -INFINITY : NAN;
    if (x == INFINITY)
        return x;
    return fmath_log_pair(x).high;
}

double lm_pow64(double x, double y)
{
    if (y == 0 || x == 1)
        return 1.0;
    if (!(x > 0) || x == INFINITY)
        return x == 0 || x == INFINITY ? ((x == 0) == (y < 0) ? INFINITY : y == y ? 0.0 : y) : NAN;
    fmath_pair l = fmath_log_pair(x);
    double rough = l.high * y;
    if (!(rough < 1000 && rough > -1000))                   /* NaN, too; keeps the exact product in range */
        return fmath_exp_pair(rough, 0.0);
    fmath_pair product = fmath_two_product(l.high, y);
    fmath_pair e = fmath_two_sum(product.high, product.low + l.low * y);
    return fmath_exp_pair(e.high, e.low);
}

void lm_sincos64(double x, double *sine, double *cosine)
{
    static const double s[] = {                             /* 1/3!, 1/5!, .. 1/17! with signs */
        -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000,
        1.0 / 355687428096000
    };
    static const double c[] = {                             /* 1/4!, 1/6!, .. 1/18! with signs */
        1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000,
        -1.0 / 6402373705728000
    };
    if (!(x <= 0x1p40 && x >= -0x1p40)) {
        *sine = *cosine = NAN;
        return;
    }
    /* x - n pi/2 with pi/2 in three doubles; the first product is exact, so the rest is good to 2^-53 |n| 2^-106. */
    double n = fmath_round(x * 0x1.45f306dc9c883p-1);
    fmath_pair first = fmath_two_product(n, 0x1.921fb54442d18p+0), second = fmath_two_product(n, 0x1.1a62633145c07p-54);
    fmath_pair a = fmath_two_sum(x - first.high, -first.low);       /* x - first.high is exact: they are close */
    fmath_pair b = fmath_two_sum(a.high, -second.high);
    fmath_pair r = fmath_two_sum(b.high, (a.low + b.low) - (second.low - n * 0x1.f1976b7ed8fbcp-110));

    double z = r.high * r.high, ps = s[7], pc = c[7];
    for (int k = 6; k >= 0; k--) {
        ps = ps * z + s[k];
        pc = pc * z + c[k];
    }
    double half = 0.5 * z, top = 1.0 - half;
    double sin_r = r.high + (r.high * z * ps + r.low * top);
    double cos_r = top + (((1.0 - top) - half) + (z * z * pc - r.high * r.low));
    switch ((int64_t)n & 3) {
    case 0:  *sine = sin_r;  *cosine = cos_r;  break;
    case 1:  *sine = cos_r;  *cosine = -sin_r; break;
    case 2:  *sine = -sin_r; *cosine = -cos_r; break;
    default: *sine = -cos_r; *cosine = sin_r;  break;
    }
}

#undef FMATH_LN2_HIGH
#undef FMATH_LN2_LOW
