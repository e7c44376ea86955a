/* SPDX-License-Identifier: MIT
 * The kernels of activations: every tier against the one before it, bit by bit; the reference against plain double arithmetic.
 * --bench prints rates. */
#include "kernels/tiers.h"

#include <math.h>

static size_t case_length(tiers_run *r)
{
    static const size_t some[] = { 1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 64, 100, 255, 256, 257, 1000 };
    return tiers_below(r, 3) ? some[tiers_below(r, sizeof(some) / sizeof(some[0]))] : 1 + tiers_below(r, 700);
}

static void body_quantize_32(tiers_run *r, size_t kind)
{
    size_t n = 32 * (1 + tiers_below(r, 20));
    float *x = tiers_input(r, n, (int)kind), *d = tiers_floats(r, n / 32);
    int8_t *q = tiers_alloc(r, n);
    int32_t *s = tiers_alloc(r, n / 32 * 4);
    r->k->quantize_32(q, d, s, x, n);
    tiers_emit_floats(r, d, n / 32);
    for (size_t i = 0; i < n; i++)
        tiers_emit(r, (uint32_t)q[i]);
    for (size_t b = 0; b < n / 32; b++) {
        int sum = 0;
        for (size_t i = 0; i < 32; i++) {
            sum += q[b * 32 + i];
            CHECK(q[b * 32 + i] >= -127);
        }
        CHECK(sum == s[b]);
    }
}

static void body_quantize_256(tiers_run *r, size_t kind)
{
    size_t n = 256 * (1 + tiers_below(r, 4));
    float *x = tiers_input(r, n, (int)kind), *d = tiers_floats(r, n / 256);
    int8_t *q = tiers_alloc(r, n);
    int16_t *s = tiers_alloc(r, n / 16 * 2);
    r->k->quantize_256(q, d, s, x, n);
    tiers_emit_floats(r, d, n / 256);
    for (size_t i = 0; i < n; i++)
        tiers_emit(r, (uint32_t)q[i]);
    for (size_t b = 0; b < n / 16; b++) {
        int sum = 0;
        for (size_t i = 0; i < 16; i++) {
            sum += q[b * 16 + i];
            CHECK(q[b * 16 + i] >= -127);
        }
        CHECK(sum == s[b]);
    }
}

static void body_rms_norm(tiers_run *r, size_t kind)
{
    size_t n = case_length(r);
    float *x = tiers_input(r, n, (int)kind), *w = tiers_below(r, 3) ? tiers_input(r, n, (int)kind) : NULL;
    float *y = tiers_below(r, 2) ? x : tiers_floats(r, n);
    r->k->rms_norm(y, x, w, n, tiers_below(r, 2) ? 1e-5f : 0);
    tiers_emit_floats(r, y, n);
}

static void body_add(tiers_run *r, size_t kind)
{
    size_t n = case_length(r), alias = tiers_below(r, 3);
    float *a = tiers_input(r, n, (int)kind), *b = tiers_input(r, n, (int)kind), *y = alias == 0 ? a : alias == 1 ? b : tiers_floats(r, n);
    r->k->add(y, a, b, n);
    tiers_emit_floats(r, y, n);
}

static void body_scale(tiers_run *r, size_t kind)
{
    size_t n = case_length(r);
    float *x = tiers_input(r, n, (int)kind), *y = tiers_below(r, 2) ? x : tiers_floats(r, n);
    r->k->scale(y, x, tiers_normal(r), n);
    tiers_emit_floats(r, y, n);
}

static void body_add_scaled(tiers_run *r, size_t kind)
{
    size_t n = case_length(r);
    float *x = tiers_input(r, n, (int)kind), *y = tiers_input(r, n, (int)kind);
    r->k->add_scaled(y, x, tiers_normal(r), n);
    tiers_emit_floats(r, y, n);
}

static void body_silu_mul(tiers_run *r, size_t kind)
{
    size_t n = case_length(r), alias = tiers_below(r, 3);
    float *a = tiers_input(r, n, (int)kind), *b = tiers_input(r, n, (int)kind), *y = alias == 0 ? a : alias == 1 ? b : tiers_floats(r, n);
    for (size_t i = 0; i < n; i++)
        a[i] *= 8;
    r->k->silu_mul(y, a, b, n);
    tiers_emit_floats(r, y, n);
}

static void body_gelu_mul(tiers_run *r, size_t kind)
{
    size_t n = case_length(r), alias = tiers_below(r, 3);
    float *a = tiers_input(r, n, (int)kind), *b = tiers_input(r, n, (int)kind), *y = alias == 0 ? a : alias == 1 ? b : tiers_floats(r, n);
    for (size_t i = 0; i < n; i++)
        a[i] *= 3;
    r->k->gelu_mul(y, a, b, n);
    tiers_emit_floats(r, y, n);
}

static void body_softcap(tiers_run *r, size_t kind)
{
    size_t n = case_length(r);
    float *x = tiers_input(r, n, (int)kind), *y = tiers_below(r, 2) ? x : tiers_floats(r, n);
    for (size_t i = 0; i < n; i++)
        x[i] *= 20;
    r->k->softcap(y, x, tiers_below(r, 2) ? 30.0f : 0.5f + (float)tiers_below(r, 100), n);
    tiers_emit_floats(r, y, n);
}

static void body_softmax(tiers_run *r, size_t kind)
{
    size_t n = case_length(r);
    float *x = tiers_input(r, n, (int)kind), *y = tiers_below(r, 2) ? x : tiers_floats(r, n);
    r->k->softmax(y, x, n);
    tiers_emit_floats(r, y, n);
}

static void body_rope(tiers_run *r, size_t kind)
{
    size_t n = 2 * (1 + tiers_below(r, 130));
    float *x = tiers_input(r, n, (int)kind), *z = tiers_input(r, n, (int)kind), *cs = tiers_input(r, n, (int)kind);
    r->k->rope_pairs(x, cs, n);
    r->k->rope_halves(z, cs, n);
    tiers_emit_floats(r, x, n);
    tiers_emit_floats(r, z, n);
}

/* Every float that expf, tanhf and a sum can see: all exponents, a slice of mantissas. */
static void sweep_input(size_t variant, float *x, float *one, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = lm_f32_from_bits((uint32_t)((variant * n + i) * 1048573u));
        one[i] = 1;
    }
}

static void body_gelu_sweep(tiers_run *r, size_t variant)
{
    size_t n = 4096;
    float *x = tiers_floats(r, n), *one = tiers_floats(r, n), *y = tiers_floats(r, n);
    sweep_input(variant, x, one, n);
    r->k->gelu_mul(y, x, one, n);
    tiers_emit_floats(r, y, n);
    r->k->softcap(y, x, 30, n);
    tiers_emit_floats(r, y, n);
}

static void body_silu_sweep(tiers_run *r, size_t variant)
{
    size_t n = 4096;
    float *x = tiers_floats(r, n), *one = tiers_floats(r, n), *y = tiers_floats(r, n);
    sweep_input(variant, x, one, n);
    r->k->silu_mul(y, x, one, n);
    tiers_emit_floats(r, y, n);
}

static int near(double got, double want, double tolerance) { return fabs(got - want) <= tolerance * (fabs(want) + 1e-30); }

/* The reference against the same thing said in double. */
static void test_meaning(void)
{
    const lm_kernels *k = &tiers_table[0];
    tiers_run r = { .k = k, .state = 7, .what = "meaning" };
    enum { N = 515 };
    float *x = tiers_input(&r, N, TIERS_NORMAL), *w = tiers_input(&r, N, TIERS_NORMAL), *y = tiers_floats(&r, N);

    double squares = 0;
    for (int i = 0; i < N; i++)
        squares += (double)x[i] * x[i];
    k->rms_norm(y, x, w, N, 1e-6f);
    for (int i = 0; i < N; i++)
        CHECK(near(y[i], x[i] / sqrt(squares / N + 1e-6) * w[i], 1e-6));
    k->rms_norm(y, x, NULL, N, 1e-6f);
    for (int i = 0; i < N; i++)
        CHECK(near(y[i], x[i] / sqrt(squares / N + 1e-6), 1e-6));

    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += exp((double)x[i]);
    k->softmax(y, x, N);
    for (int i = 0; i < N; i++)
        CHECK(near(y[i], exp((double)x[i]) / sum, 1e-6));

    k->silu_mul(y, x, w, N);
    for (int i = 0; i < N; i++)
        CHECK(near(y[i], x[i] / (1 + exp(-(double)x[i])) * w[i], 1e-6));

    k->gelu_mul(y, x, w, N);
    for (int i = 0; i < N; i++) {
        double g = x[i], t = 1 + tanh(sqrt(2 / acos(-1.0)) * (g + 0.044715 * g * g * g));
        CHECK(near(y[i], 0.5 * g * t * w[i], 2e-6));
    }
    for (int i = 0; i < N; i++)
        w[i] = 50 * x[i];
    k->softcap(y, w, 30, N);
    for (int i = 0; i < N; i++)
        CHECK(near(y[i], 30 * tanh(w[i] / 30.0), 1e-6));

    enum { ROT = 100 };
    float z[ROT], cs[ROT];
    for (int j = 0; j < ROT / 2; j++) {
        cs[2 * j] = (float)cos(j * 0.37);
        cs[2 * j + 1] = (float)sin(j * 0.37);
    }
    memcpy(z, x, sizeof(z));
    k->rope_pairs(z, cs, ROT);
    for (int j = 0; j < ROT / 2; j++) {
        double a = x[2 * j], b = x[2 * j + 1], c = cos(j * 0.37), s = sin(j * 0.37);
        CHECK(fabs(z[2 * j] - (a * c - b * s)) < 1e-6 && fabs(z[2 * j + 1] - (a * s + b * c)) < 1e-6);
    }
    memcpy(z, x, sizeof(z));
    k->rope_halves(z, cs, ROT);
    for (int j = 0; j < ROT / 2; j++) {
        double a = x[j], b = x[j + ROT / 2], c = cos(j * 0.37), s = sin(j * 0.37);
        CHECK(fabs(z[j] - (a * c - b * s)) < 1e-6 && fabs(z[j + ROT / 2] - (a * s + b * c)) < 1e-6);
    }

    enum { Q = 512 };
    int8_t q[Q];
    float d[Q / 32];
    int32_t s32[Q / 32];
    int16_t s16[Q / 16];
    k->quantize_32(q, d, s32, x, Q);
    for (int i = 0; i < Q; i++)
        CHECK(fabs((double)q[i] * d[i / 32] - x[i]) <= 0.500001 * d[i / 32]);
    k->quantize_256(q, d, s16, x, Q);
    for (int i = 0; i < Q; i++)
        CHECK(fabs((double)q[i] * d[i / 256] - x[i]) <= 0.500001 * d[i / 256]);

    /* The borders of a block: nothing, next to nothing, too much. */
    float block[32] = { 0 };
    k->quantize_32(q, d, s32, block, 32);
    CHECK(d[0] == 0 && q[0] == 0 && s32[0] == 0);
    block[3] = -0x1p-100f;
    k->quantize_32(q, d, s32, block, 32);
    CHECK(d[0] == 0x1p-100f / 127 && q[3] == -127 && s32[0] == -127);
    block[3] = 0x1.fffffep-101f;
    k->quantize_32(q, d, s32, block, 32);
    CHECK(d[0] == 0 && q[3] == 0);
    block[3] = 0x1.fffffep127f;
    k->quantize_32(q, d, s32, block, 32);
    CHECK(d[0] == 0x1.fffffep127f / 127 && q[3] == 127);
    block[9] = -INFINITY;
    k->quantize_32(q, d, s32, block, 32);
    CHECK(d[0] != d[0] && q[3] == 0 && q[9] == 0 && s32[0] == 0);
    block[9] = NAN;
    k->quantize_32(q, d, s32, block, 32);
    CHECK(d[0] != d[0] && q[3] == 0 && q[9] == 0);
    tiers_release(&r);
}

static void bench(void)
{
    enum { N = 4096 };
    tiers_run r = { .k = &tiers_table[0], .state = 7, .what = "bench" };
    float *x = tiers_input(&r, N, TIERS_NORMAL), *w = tiers_input(&r, N, TIERS_NORMAL), *y = tiers_floats(&r, N), *d = tiers_floats(&r, N / 32);
    int8_t *q = tiers_alloc(&r, N);
    int32_t *s32 = tiers_alloc(&r, N / 32 * 4);
    int16_t *s16 = tiers_alloc(&r, N / 16 * 2);
    float *cs = tiers_floats(&r, N);
    for (int i = 0; i < N; i += 2) {
        cs[i] = (float)cos(i);
        cs[i + 1] = (float)sin(i);
    }
    printf("ns a row of %d:\n%-10s %11s %12s %9s %9s %9s %9s %9s %9s %11s %11s\n", N, "", "quantize_32", "quantize_256", "rms_norm", "add", "silu_mul",
           "gelu_mul", "softcap", "softmax", "rope_pairs", "rope_halves");
    for (int t = 0; t < tiers_count; t++) {
        const lm_kernels *k = &tiers_table[t];
        double s[10];
        TIERS_TIME(s[0], k->quantize_32(q, d, s32, x, N));
        TIERS_TIME(s[1], k->quantize_256(q, d, s16, x, N));
        TIERS_TIME(s[2], k->rms_norm(y, x, w, N, 1e-5f));
        TIERS_TIME(s[3], k->add(y, x, w, N));
        TIERS_TIME(s[4], k->silu_mul(y, x, w, N));
        TIERS_TIME(s[5], k->gelu_mul(y, x, w, N));
        TIERS_TIME(s[6], k->softcap(y, x, 30, N));
        TIERS_TIME(s[7], k->softmax(y, x, N));
        TIERS_TIME(s[8], k->rope_pairs(y, cs, N));
        TIERS_TIME(s[9], k->rope_halves(y, cs, N));
        printf("%-10s %11.0f %12.0f %9.0f %9.0f %9.0f %9.0f %9.0f %9.0f %11.0f %11.0f\n", k->name, s[0] * 1e9, s[1] * 1e9, s[2] * 1e9, s[3] * 1e9,
               s[4] * 1e9, s[5] * 1e9, s[6] * 1e9, s[7] * 1e9, s[8] * 1e9, s[9] * 1e9);
    }
    tiers_release(&r);
}

typedef struct tier_case { const char *name; tiers_body *body; } tier_case;

static void compare_cases(const tier_case *cases, size_t n)
{
    for (size_t c = 0; c < n; c++)
        for (size_t kind = TIERS_NORMAL; kind <= TIERS_HOSTILE; kind++)
            for (uint64_t seed = 0; seed < 200; seed++)
                if (!tiers_compare(cases[c].name, cases[c].body, kind, seed))
                    break;
}

static void compare_sweep(const char *name, tiers_body *body)
{
    for (size_t slice = 0; slice < 256; slice++)
        if (!tiers_compare(name, body, slice, 0))
            break;
}

int main(int argc, char **argv)
{
    static const tier_case cases[] = {
        { "quantize_32", body_quantize_32 }, { "quantize_256", body_quantize_256 }, { "rms_norm", body_rms_norm }, { "add", body_add },
        { "scale", body_scale }, { "add_scaled", body_add_scaled }, { "silu_mul", body_silu_mul }, { "softmax", body_softmax },
        { "rope", body_rope }
    };
    static const tier_case later[] = { { "gelu_mul", body_gelu_mul }, { "softcap", body_softcap } };
    uint64_t mode = lm_fp_enter();
    tiers_init(offsetof(lm_kernels, quantize_32), sizeof(lm_kernels));
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        bench();
        return 0;
    }
    test_meaning();
    compare_cases(cases, sizeof(cases) / sizeof(cases[0]));
    compare_sweep("silu sweep", body_silu_sweep);
    /* Arithmetic number 1, on every machine and compiler. It may change only together with that number, or with this test. */
    CHECK_MSG(tiers_hash == 0x26ac64ff261e55ccu, "the reference gives 0x%llxu", (unsigned long long)tiers_hash);
    compare_cases(later, sizeof(later) / sizeof(later[0]));
    compare_sweep("gelu and softcap sweep", body_gelu_sweep);
    CHECK_MSG(tiers_hash == 0x7a1d3097a49ba2d8u, "the reference gives 0x%llxu", (unsigned long long)tiers_hash);
    lm_fp_leave(mode);
    return TEST_DONE();
}
