/* SPDX-License-Identifier: MIT
 * Fits: see fit.h. For given levels, the codes follow (the nearest level); for given codes, the best levels follow (least squares). Starting
 * from a grid of ranges, the two are applied in turn, and the candidate of the least error is taken. Nothing here is drawn by chance and
 * nothing depends on the machine: single operations in f32, in one order. Threads: none of its own. */
#include "tensor/fit.h"

#include "tensor/blocks.h"

#include "base/compiler.h"

#include <string.h>

LM_EXACT_ARITHMETIC

#define FIT_ROUND 12582912.0f           /* 1.5 * 2^23: adding it and taking it away rounds to the nearest whole number, ties to even */

static float fit_inverse(float a) { return a != 0 ? 1 / a : 0; }

static int fit_least(const float error[LM_FIT_LANES])
{
    int best = 0;
    for (int c = 1; c < LM_FIT_LANES; c++)
        if (error[c] < error[best])
            best = c;
    return best;
}

/* ---- levels a q + b */

typedef struct fit_sums { float q[LM_FIT_LANES], qq[LM_FIT_LANES], xq[LM_FIT_LANES]; } fit_sums;

static void fit_affine_sums(const float *x, const float *w, int n, float top, const float a[LM_FIT_LANES], const float b[LM_FIT_LANES], fit_sums *sums)
{
    float inverse[LM_FIT_LANES], q_sum[LM_FIT_LANES] = { 0 }, qq[LM_FIT_LANES] = { 0 }, xq[LM_FIT_LANES] = { 0 };
    for (int c = 0; c < LM_FIT_LANES; c++)
        inverse[c] = fit_inverse(a[c]);
    for (int i = 0; i < n; i++) {
        float xi = x[i], wi = w[i];
        for (int c = 0; c < LM_FIT_LANES; c++) {
            float t = (xi - b[c]) * inverse[c];
            t = t > 0 ? t : 0;
            t = t < top ? t : top;
            t = (t + FIT_ROUND) - FIT_ROUND;
            float wq = wi * t;
            q_sum[c] += wq;
            qq[c] += wq * t;
            xq[c] += wq * xi;
        }
    }
    memcpy(sums->q, q_sum, sizeof q_sum);
    memcpy(sums->qq, qq, sizeof qq);
    memcpy(sums->xq, xq, sizeof xq);
}

typedef struct fit_given { float w, x, xx, most; } fit_given;        /* sums of w, w x, w x x; the greatest b allowed */

/* The best a and b for the codes behind these sums, and their error. Codes that are all the same leave a and b as they are. */
static void fit_affine_solve(const fit_given *g, const fit_sums *s, float a[LM_FIT_LANES], float b[LM_FIT_LANES], float error[LM_FIT_LANES])
{
    for (int c = 0; c < LM_FIT_LANES; c++) {
        float det = g->w * s->qq[c] - s->q[c] * s->q[c], na = a[c], nb = b[c];
        if (det > 1e-5f * g->w * s->qq[c]) {
            na = (g->w * s->xq[c] - g->x * s->q[c]) / det;
            nb = (g->x * s->qq[c] - s->q[c] * s->xq[c]) / det;
        }
        if (nb > g->most) {
            nb = g->most;
            na = s->qq[c] > 0 ? (s->xq[c] - nb * s->q[c]) / s->qq[c] : na;
        }
        na = na > 0 ? na : 0;
        a[c] = na;
        b[c] = nb;
        error[c] = g->xx - 2 * (na * s->xq[c] + nb * g->x) + (na * na * s->qq[c] + 2 * na * nb * s->q[c] + nb * nb * g->w);
    }
}

void lm_fit_affine(const float *x, const float *w, int n, float top, bool below, float *out_a, float *out_b)
{
    static const float cut_low[4] = { -0.02f, 0.03f, 0.08f, 0.15f }, cut_high[4] = { -0.02f, 0.03f, 0.08f, 0.15f };
    float low = x[0], high = x[0], y[LM_FIT_MOST], a[LM_FIT_LANES], b[LM_FIT_LANES], error[LM_FIT_LANES], found_a, found_b, found_error;
    fit_given g = { 0, 0, 0, 0 };
    fit_sums sums;
    int best;
    for (int i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    if (below && low > 0)
        low = 0;
    if (!(high > low)) {                                    /* all the same */
        *out_a = 0;
        *out_b = low;
        return;
    }
    for (int i = 0; i < n; i++) {                           /* from the lowest up, so that no precision is lost on what is common to all */
        y[i] = x[i] - low;
        g.w += w[i];
        g.x += w[i] * y[i];
        g.xx += w[i] * y[i] * y[i];
    }
    g.most = below ? -low : high - low;
    for (int c = 0; c < LM_FIT_LANES; c++) {
        float range = high - low, from = range * cut_low[c / 4], to = range - range * cut_high[c % 4];
        b[c] = from < g.most ? from : g.most;
        a[c] = (to - b[c]) / top;
    }
    for (int turn = 0; turn < 2; turn++) {
        fit_affine_sums(y, w, n, top, a, b, &sums);
        fit_affine_solve(&g, &sums, a, b, error);
    }
    best = fit_least(error);
    found_a = a[best], found_b = b[best], found_error = error[best];
    for (int c = 0; c < LM_FIT_LANES; c++) {                /* around it, once more */
        a[c] = found_a * (1 + 0.5f / top * ((float)(c % 4) - 1.5f));
        b[c] = found_b + 0.3f * found_a * ((float)(c / 4) - 1.5f);
        b[c] = b[c] < g.most ? b[c] : g.most;
    }
    fit_affine_sums(y, w, n, top, a, b, &sums);
    fit_affine_solve(&g, &sums, a, b, error);
    best = fit_least(error);
    *out_a = error[best] < found_error ? a[best] : found_a;
    *out_b = (error[best] < found_error ? b[best] : found_b) + low;
    if (below && *out_b > 0)
        *out_b = 0;
}

void lm_fit_affine_errors(const float *x, const float *w, int n, float top, const float a[LM_FIT_LANES], const float b[LM_FIT_LANES], float error[LM_FIT_LANES])
{
    float inverse[LM_FIT_LANES], sum[LM_FIT_LANES] = { 0 };
    for (int c = 0; c < LM_FIT_LANES; c++)
        inverse[c] = fit_inverse(a[c]);
    for (int i = 0; i < n; i++) {
        float xi = x[i], wi = w[i];
        for (int c = 0; c < LM_FIT_LANES; c++) {
            float y = xi - b[c], t = y * inverse[c];
            t = t > 0 ? t : 0;
            t = t < top ? t : top;
            t = (t + FIT_ROUND) - FIT_ROUND;
            y = y - a[c] * t;
            sum[c] += wi * (y * y);
        }
    }
    memcpy(error, sum, sizeof sum);
}

void lm_fit_affine_codes(const float *x, int n, float top, float a, float b, uint8_t *q)
{
    float inverse = fit_inverse(a);
    for (int i = 0; i < n; i++) {
        float t = (x[i] - b) * inverse;
        t = t > 0 ? t : 0;
        t = t < top ? t : top;
        q[i] = (uint8_t)((t + FIT_ROUND) - FIT_ROUND);
    }
}

/* ---- levels a q */

void lm_fit_even(const float *x, const float *w, int n, float half, float *out)
{
    float most = 0, sign = 1, xx = 0, a[LM_FIT_LANES], inverse[LM_FIT_LANES], error[LM_FIT_LANES], qq[LM_FIT_LANES] = { 0 }, xq[LM_FIT_LANES] = { 0 };
    for (int i = 0; i < n; i++) {
        float size = x[i] < 0 ? -x[i] : x[i];
        if (size > most) {
            most = size;
            sign = x[i] < 0 ? 1 : -1;                       /* the one more level below zero is for the farthest value */
        }
        xx += w[i] * x[i] * x[i];
    }
    *out = 0;
    if (!(most > 0))
        return;
    for (int c = 0; c < LM_FIT_LANES; c++) {                /* six lanes of the other sign, whose far end has one level less */
        float levels = c < 10 ? half - 0.6f + 0.15f * (float)c : half - 1.2f + 0.15f * (float)(c - 10);
        a[c] = (c < 10 ? sign : -sign) * most / levels;
        inverse[c] = fit_inverse(a[c]);
    }
    for (int i = 0; i < n; i++) {
        float xi = x[i], wi = w[i];
        for (int c = 0; c < LM_FIT_LANES; c++) {
            float t = xi * inverse[c];
            t = t > -half ? t : -half;
            t = t < half - 1 ? t : half - 1;
            t = (t + FIT_ROUND) - FIT_ROUND;
            float wq = wi * t;
            qq[c] += wq * t;
            xq[c] += wq * xi;
        }
    }
    for (int c = 0; c < LM_FIT_LANES; c++) {
        a[c] = qq[c] > 0 ? xq[c] / qq[c] : a[c];
        error[c] = qq[c] > 0 ? xx - a[c] * xq[c] : xx;
    }
    *out = a[fit_least(error)];
}

void lm_fit_even_errors(const float *x, const float *w, int n, float half, const float a[LM_FIT_LANES], float error[LM_FIT_LANES])
{
    float inverse[LM_FIT_LANES], sum[LM_FIT_LANES] = { 0 };
    for (int c = 0; c < LM_FIT_LANES; c++)
        inverse[c] = fit_inverse(a[c]);
    for (int i = 0; i < n; i++) {
        float xi = x[i], wi = w[i];
        for (int c = 0; c < LM_FIT_LANES; c++) {
            float t = xi * inverse[c], y;
            t = t > -half ? t : -half;
            t = t < half - 1 ? t : half - 1;
            t = (t + FIT_ROUND) - FIT_ROUND;
            y = xi - a[c] * t;
            sum[c] += wi * (y * y);
        }
    }
    memcpy(error, sum, sizeof sum);
}

void lm_fit_even_codes(const float *x, int n, float half, float a, int8_t *q)
{
    float inverse = fit_inverse(a);
    for (int i = 0; i < n; i++) {
        float t = x[i] * inverse;
        t = t > -half ? t : -half;
        t = t < half - 1 ? t : half - 1;
        q[i] = (int8_t)((t + FIT_ROUND) - FIT_ROUND);
    }
}

/* ---- levels a T[q] */

const int8_t lm_fit_iq4_levels[16] = { LM_IQ4_VALUES };

/* The middle between two levels is a whole or a half number: floor(2 t) + 256 says which level is nearest to t, up in the very middle.
 * Entry i is the code of all t in [(i - 256) / 2, (i - 255) / 2). */
static const uint8_t fit_iq4_code[512] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3,
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
    5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8, 8,
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 11,
    11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 13, 13, 13, 13, 13, 13,
    13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14,
    14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
};

/* The places of x / a in the table, for all candidates. */
static void fit_iq4_places(float x, const float inverse[LM_FIT_LANES], int32_t place[LM_FIT_LANES])
{
    for (int c = 0; c < LM_FIT_LANES; c++) {
        float t = x * inverse[c] + 256;
        t = t > 0 ? t : 0;
        t = t < 511 ? t : 511;
        place[c] = (int32_t)t;
    }
}

/* For each candidate 2 / a; a = 0 gives the level nearest to zero. */
static void fit_iq4_inverses(const float a[LM_FIT_LANES], float inverse[LM_FIT_LANES])
{
    for (int c = 0; c < LM_FIT_LANES; c++)
        inverse[c] = 2 * fit_inverse(a[c]);
}

void lm_fit_iq4(const float *x, const float *w, int n, float *out)
{
    float most = 0, sign = 1, xx = 0, a[LM_FIT_LANES], inverse[LM_FIT_LANES], error[LM_FIT_LANES], qq[LM_FIT_LANES] = { 0 }, xq[LM_FIT_LANES] = { 0 };
    for (int i = 0; i < n; i++) {
        float size = x[i] < 0 ? -x[i] : x[i];
        if (size > most) {
            most = size;
            sign = x[i] < 0 ? 1 : -1;                       /* the farther end of the table for the farthest value */
        }
        xx += w[i] * x[i] * x[i];
    }
    *out = 0;
    if (!(most > 0))
        return;
    for (int c = 0; c < LM_FIT_LANES; c++)
        a[c] = c < 8 ? sign * most / (108 + 6 * (float)c) : -sign * most / (98 + 6 * (float)(c - 8));
    fit_iq4_inverses(a, inverse);
    for (int i = 0; i < n; i++) {
        int32_t place[LM_FIT_LANES];
        float level[LM_FIT_LANES], xi = x[i], wi = w[i];
        fit_iq4_places(xi, inverse, place);
        for (int c = 0; c < LM_FIT_LANES; c++)
            level[c] = lm_fit_iq4_levels[fit_iq4_code[place[c]]];
        for (int c = 0; c < LM_FIT_LANES; c++) {
            float wq = wi * level[c];
            qq[c] += wq * level[c];
            xq[c] += wq * xi;
        }
    }
    for (int c = 0; c < LM_FIT_LANES; c++) {
        a[c] = qq[c] > 0 ? xq[c] / qq[c] : a[c];
        error[c] = qq[c] > 0 ? xx - a[c] * xq[c] : xx;
    }
    *out = a[fit_least(error)];
}

void lm_fit_iq4_errors(const float *x, const float *w, int n, const float a[LM_FIT_LANES], float error[LM_FIT_LANES])
{
    float inverse[LM_FIT_LANES], sum[LM_FIT_LANES] = { 0 };
    fit_iq4_inverses(a, inverse);
    for (int i = 0; i < n; i++) {
        int32_t place[LM_FIT_LANES];
        float level[LM_FIT_LANES], xi = x[i], wi = w[i];
        fit_iq4_places(xi, inverse, place);
        for (int c = 0; c < LM_FIT_LANES; c++)
            level[c] = lm_fit_iq4_levels[fit_iq4_code[place[c]]];
        for (int c = 0; c < LM_FIT_LANES; c++) {
            float y = xi - a[c] * level[c];
            sum[c] += wi * (y * y);
        }
    }
    memcpy(error, sum, sizeof sum);
}

void lm_fit_iq4_codes(const float *x, int n, float a, uint8_t *q)
{
    float inverse = 2 * fit_inverse(a);
    for (int i = 0; i < n; i++) {
        float t = x[i] * inverse + 256;
        t = t > 0 ? t : 0;
        t = t < 511 ? t : 511;
        q[i] = fit_iq4_code[(int32_t)t];
    }
}
