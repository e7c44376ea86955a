/* SPDX-License-Identifier: MIT
 * The elementary functions against correctly rounded values (fmath_golden.h, made with mpmath). The f32 ones are measured
 * against lm_exp64, which is proven first: every 97th float, all of them with --exhaustive. Prints the largest errors. */
#include "base/cpu.h"
#include "base/fmath.h"
#include "base/half.h"
#include "fmath_golden.h"
#include "test.h"

#include <float.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static double golden_error(double got, double want)
{
    double d = got - want;
    if (got == want)
        return 0;
    return (d < 0 ? -d : d) / (want < 0 ? -want : want);
}

static void test_f64(void)
{
    double worst[5] = { 0 };
    for (size_t i = 0; i < COUNT(golden_exp); i++) {
        double e = golden_error(lm_exp64(golden_exp[i][0]), golden_exp[i][1]);
        worst[0] = e > worst[0] ? e : worst[0];
        CHECK_MSG(e < 3e-16, "exp(%a): %g", golden_exp[i][0], e);
    }
    for (size_t i = 0; i < COUNT(golden_log); i++) {
        double e = golden_error(lm_log64(golden_log[i][0]), golden_log[i][1]);
        worst[1] = e > worst[1] ? e : worst[1];
        CHECK_MSG(e < 3e-16, "log(%a): %g", golden_log[i][0], e);
    }
    for (size_t i = 0; i < COUNT(golden_pow); i++) {
        double e = golden_error(lm_pow64(golden_pow[i][0], golden_pow[i][1]), golden_pow[i][2]);
        worst[2] = e > worst[2] ? e : worst[2];
        /* the logarithm is good to 2^-59 or so, and its error is multiplied by how large the exponent is */
        double exponent = lm_log64(golden_pow[i][2]);
        CHECK_MSG(e < 4e-16 + 4e-18 * (exponent < 0 ? -exponent : exponent), "pow(%a, %a): %g", golden_pow[i][0], golden_pow[i][1], e);
    }
    for (size_t i = 0; i < COUNT(golden_sincos); i++) {
        double s, c, x = golden_sincos[i][0];
        lm_sincos64(x, &s, &c);
        double es = golden_error(s, golden_sincos[i][1]), ec = golden_error(c, golden_sincos[i][2]);
        worst[3] = es > worst[3] ? es : worst[3];
        worst[4] = ec > worst[4] ? ec : worst[4];
        CHECK_MSG(es < 4e-16, "sin(%a): %g", x, es);
        CHECK_MSG(ec < 4e-16, "cos(%a): %g", x, ec);
    }
    printf("largest relative error: exp %.3g log %.3g pow %.3g sin %.3g cos %.3g\n", worst[0], worst[1], worst[2], worst[3], worst[4]);

    double s, c;
    CHECK(lm_exp64(710) == INFINITY && lm_exp64(-746) == 0 && lm_exp64(-745) == 0x1p-1074 && lm_exp64(0) == 1);
    CHECK(lm_exp64(INFINITY) == INFINITY && lm_exp64(-INFINITY) == 0 && lm_exp64(NAN) != lm_exp64(NAN));
    CHECK(lm_log64(0) == -INFINITY && lm_log64(INFINITY) == INFINITY && lm_log64(1) == 0 && lm_log64(-1) != lm_log64(-1));
    CHECK(lm_pow64(7, 0) == 1 && lm_pow64(1, 1e300) == 1 && lm_pow64(2, 10) == 1024 && lm_pow64(2, 2000) == INFINITY && lm_pow64(2, -2000) == 0);
    CHECK(lm_pow64(0, 2) == 0 && lm_pow64(0, -2) == INFINITY && lm_pow64(INFINITY, 2) == INFINITY && lm_pow64(INFINITY, -2) == 0);
    CHECK(lm_pow64(2, NAN) != lm_pow64(2, NAN) && lm_pow64(NAN, 2) != lm_pow64(NAN, 2));
    lm_sincos64(0, &s, &c);
    CHECK(s == 0 && c == 1);
    lm_sincos64(0x1p41, &s, &c);
    CHECK(s != s && c != c);
}

/* The distance of a float from the exact value, in units of the float's last place. */
static double ulps(float got, double want)
{
    double d = (double)got - want, w = want < 0 ? -want : want;
    uint64_t bits;
    memcpy(&bits, &w, 8);
    bits = ((bits >> 52) - 23) << 52;
    double unit;
    memcpy(&unit, &bits, 8);
    return (d < 0 ? -d : d) / unit;
}

static void test_f32(uint32_t step)
{
    double worst_exp = 0, worst_tanh = 0;
    float at_exp = 0, at_tanh = 0;
    for (uint64_t i = lm_bits_from_f32(0x1p-27f); i <= 0x7f800000u; i += step) {
        for (int negative = 0; negative < 2; negative++) {
            float x = lm_f32_from_bits((uint32_t)i | (negative ? 0x80000000u : 0)), y = lm_expf(x);
            if (x > LM_EXPF_HIGH) {
                CHECK(y == INFINITY);
            } else if (x < LM_EXPF_LOW) {
                CHECK(y == 0);
            } else {
                double e = ulps(y, lm_exp64(x));
                if (e > worst_exp) {
                    worst_exp = e;
                    at_exp = x;
                }
            }
        }
        float x = lm_f32_from_bits((uint32_t)i), y = lm_tanhf(x);
        double want = x;
        if (x > 20) {
            want = 1;
        } else if (x > 0.25f) {
            want = 1 - 2 / (lm_exp64(2 * (double)x) + 1);
        } else {                                            /* tanh = (e^x - e^-x) / (e^x + e^-x), both by their series */
            double z = (double)x * x, s = 0, c = 0;
            for (int k = 12; k >= 1; k--) {
                s = (s + 1) * z / (2 * k * (2 * k + 1.0));
                c = (c + 1) * z / (2 * k * (2 * k - 1.0));
            }
            want = x * (1 + s) / (1 + c);
        }
        double e = ulps(y, want);
        if (e > worst_tanh) {
            worst_tanh = e;
            at_tanh = x;
        }
        CHECK(lm_tanhf(-x) == -y);
    }
    printf("largest error in ulp: expf %.4f at %a, tanhf %.4f at %a\n", worst_exp, at_exp, worst_tanh, at_tanh);
    CHECK(worst_exp < 1);
    CHECK(worst_tanh < 1.5);

    CHECK(lm_expf(0) == 1 && lm_expf(-0.0f) == 1 && lm_expf(0x1p-149f) == 1 && lm_expf(NAN) != lm_expf(NAN));
    CHECK(lm_expf(LM_EXPF_HIGH) <= FLT_MAX && lm_expf(LM_EXPF_HIGH) > 3.4e38f && lm_expf(LM_EXPF_LOW) >= FLT_MIN);
    CHECK(lm_bits_from_f32(lm_tanhf(-0.0f)) == 0x80000000u && lm_bits_from_f32(lm_tanhf(0.0f)) == 0);
    CHECK(lm_tanhf(0x1p-149f) == 0x1p-149f && lm_tanhf(INFINITY) == 1 && lm_tanhf(-INFINITY) == -1 && lm_tanhf(NAN) != lm_tanhf(NAN));
}

/* Every way to make many at once gives the bits of lm_expf, whatever the number and place. */
static void test_many(void)
{
    static float x[4096], y[4096];
    const uint32_t features[] = { 0, lm_cpu_features() };
    uint64_t i = 0;
    while (i < 0x100000000u) {
        size_t n = 0;
        for (; n < COUNT(x) && i < 0x100000000u; n++, i += 9973)
            x[n] = lm_f32_from_bits((uint32_t)i);
        for (size_t f = 0; f < COUNT(features); f++) {
            lm_expf_many_for(features[f])(x, 0.0f, y, n);
            for (size_t k = 0; k < n; k++)
                if (!CHECK_MSG(lm_bits_from_f32(y[k]) == lm_bits_from_f32(lm_expf(x[k])) || (x[k] != x[k] && y[k] != y[k]), "expf(%a) = %a among many", x[k], y[k]))
                    return;
        }
    }
    for (size_t f = 0; f < COUNT(features); f++)
        for (size_t n = 0; n < 40; n++) {
            for (size_t k = 0; k < 41; k++)
                x[k] = y[k] = (float)k * 0.37f - 9;
            lm_expf_many_for(features[f])(x, 1.5f, x, n);   /* in place; nothing beyond n */
            for (size_t k = 0; k < 41; k++)
                CHECK(x[k] == (k < n ? lm_expf(y[k] - 1.5f) : y[k]));
        }
}

/* One rounding: against integers of 128 bits where the compiler has them, else against exact cases by hand. */
static void test_fmaf(void)
{
    CHECK(lm_fmaf(1 + 0x1p-23f, 1 + 0x1p-23f, -(1 + 0x1p-22f)) == 0x1p-46f);
    CHECK(lm_fmaf(0x1p-100f, 0x1p-49f, 0.0f) == 0x1p-149f);
    CHECK(lm_fmaf(0x1p-100f, 0x1p-50f, 0.0f) == 0.0f);              /* a tie goes to even */
    CHECK(lm_fmaf(0x1p-100f, 0x1.000002p-50f, 0.0f) == 0x1p-149f);
    /* 1 + 2^-24 is a tie; the product's tail decides: these are rounded twice by double arithmetic alone. */
    CHECK(lm_fmaf(0x1.000002p-12f, 0x1p-12f, 1.0f) == 1 + 0x1p-23f);
    CHECK(lm_fmaf(0x1p-60f, 0x1p-60f, 1 + 0x1p-23f) == 1 + 0x1p-23f);
    CHECK(lm_fmaf(4097.0f, 0x1.ffep-13f, 0x1p-100f) == lm_fmaf(4097.0f, 0x1.ffep-13f, 0.0f));
    CHECK(lm_fmaf(0x1.000001p0f, 1.0f, 0.0f) == 1.0f);
    float a = 0x1.000002p0f, b = 0x1.000002p0f;                       /* a b = 1 + 2^-22 + 2^-46 */
    CHECK(lm_fmaf(a, b * 0x1p-30f, 0x1.000002p24f) == 0x1.000002p24f);
    CHECK(lm_fmaf(a * 0x1p12f, b * 0x1p-13f, 0x1p24f) == 0x1p24f);              /* just above a half: below the unit 2 */
    CHECK(lm_fmaf(a * 0x1p12f, b * 0x1p-12f, 0x1p24f) == 0x1p24f + 2);          /* just above a tie */
    CHECK(lm_fmaf(-a * 0x1p12f, b * 0x1p-13f, 0x1p24f) == 0x1p24f - 1);
    CHECK(lm_fmaf(0x1.fffffep127f, 2.0f, -0x1.fffffep127f) == 0x1.fffffep127f);
    CHECK(lm_fmaf(0x1.fffffep127f, 2.0f, 0.0f) == INFINITY);
    CHECK(lm_fmaf(INFINITY, 1, 1) == INFINITY && lm_fmaf(1, 1, -INFINITY) == -INFINITY);
    float nan = lm_fmaf(INFINITY, 0, 1), nan2 = lm_fmaf(INFINITY, 1, -INFINITY);
    CHECK(nan != nan && nan2 != nan2);
    CHECK(lm_bits_from_f32(lm_fmaf(-0.0f, 1, -0.0f)) == 0x80000000u && lm_bits_from_f32(lm_fmaf(1, 1, -1)) == 0);

    /* Against libm's where that is known to be right. */
#if defined(__GLIBC__) || defined(__APPLE__)
    uint64_t state = 12345;
    for (int i = 0; i < 2000000; i++) {
        float v[3];
        for (int k = 0; k < 3; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            v[k] = lm_f32_from_bits((uint32_t)(state >> 32));
        }
        if (i & 1) {                                        /* exponents that meet, short mantissas: ties */
            v[0] = lm_f32_from_bits((lm_bits_from_f32(v[0]) & 0x80fff800u) | 0x3f000000u);
            v[1] = lm_f32_from_bits((lm_bits_from_f32(v[1]) & 0x80fff000u) | 0x3f000000u);
            v[2] = lm_f32_from_bits((lm_bits_from_f32(v[2]) & 0x87ffffffu) | 0x38000000u);
        }
        float got = lm_fmaf(v[0], v[1], v[2]), want = fmaf(v[0], v[1], v[2]);
        if (!CHECK_MSG((got != got && want != want) || lm_bits_from_f32(got) == lm_bits_from_f32(want),
                       "fmaf(%a, %a, %a) = %a, not %a", v[0], v[1], v[2], want, got))
            break;
    }
#endif
}

int main(int argc, char **argv)
{
    test_fmaf();
    test_f64();
    test_many();
    test_f32(argc > 1 && strcmp(argv[1], "--exhaustive") == 0 ? 1 : 97);
    return TEST_DONE();
}
