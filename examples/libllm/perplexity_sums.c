/* SPDX-License-Identifier: MIT
 * The arithmetic of libllm perplexity, in double. */
#include "perplexity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void ppl_add(ppl_sum *sum, double value)
{
    sum->sum += value;
    sum->squares += value * value;
    sum->n++;
}

ppl_mean ppl_mean_of(const ppl_sum *sum)
{
    ppl_mean m = { 0, 0 };
    if (sum->n == 0)
        return m;
    m.mean = sum->sum / (double)sum->n;
    if (sum->n > 1) {
        double variance = sum->squares / (double)sum->n - m.mean * m.mean;
        m.error = variance > 0 ? sqrt(variance / (double)(sum->n - 1)) : 0;
    }
    return m;
}

/* log of the sum of exp(logits), and the likeliest token. */
static double sums_log_sum(const float *logits, int32_t n, int32_t *top)
{
    double sum = 0;
    *top = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[*top])
            *top = i;
    for (int32_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - logits[*top]);
    return logits[*top] + log(sum);
}

double ppl_nll(const float *logits, int32_t n_vocab, llm_token token)
{
    int32_t top;
    return sums_log_sum(logits, n_vocab, &top) - logits[token];
}

/* ---- records ------------------------------------------------------------------------------------------------------------ */

enum { RECORD_HEAD = 4 };                                       /* two f32, in u16 items */

size_t ppl_record_items(int32_t n_vocab)
{
    return RECORD_HEAD + 2 * (((size_t)n_vocab + 1) / 2);
}

void ppl_record_make(uint16_t *record, const float *logits, int32_t n_vocab)
{
    int32_t top;
    double log_sum = sums_log_sum(logits, n_vocab, &top);
    float most = logits[top], least = logits[0], head[2];

    for (int32_t i = 1; i < n_vocab; i++)
        least = logits[i] < least ? logits[i] : least;
    least = least < most - 16 ? most - 16 : least;
    head[0] = (most - least) / 65535.0f;
    head[1] = (float)(least - log_sum);
    memset(record, 0, ppl_record_items(n_vocab) * sizeof *record);
    memcpy(record, head, sizeof head);
    for (int32_t i = 0; head[0] > 0 && i < n_vocab; i++)
        if (logits[i] > least) {
            double q = nearbyint(((double)logits[i] - least) / head[0]);
            record[RECORD_HEAD + i] = (uint16_t)(q > 65535 ? 65535 : q);
        }
}

/* ---- comparing ---------------------------------------------------------------------------------------------------------- */

bool ppl_compare_add(ppl_compare *c, const uint16_t *record, const float *logits, int32_t n_vocab, llm_token token)
{
    float head[2];
    int32_t top, base_top = 0;
    double log_sum = sums_log_sum(logits, n_vocab, &top), kl = 0, nll, nll_base, dp;
    const uint16_t *q = record + RECORD_HEAD;

    if (c->kl.n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 4096;
        double *kls = realloc(c->kls, cap * sizeof *kls), *dps;
        c->kls = kls ? kls : c->kls;
        dps = kls ? realloc(c->dps, cap * sizeof *dps) : NULL;
        c->dps = dps ? dps : c->dps;
        if (!dps)
            return false;
        c->cap = cap;
    }
    memcpy(head, record, sizeof head);
    for (int32_t i = 0; i < n_vocab; i++) {
        double base = (double)head[0] * q[i] + head[1];
        base_top = q[i] > q[base_top] ? i : base_top;
        if (base > -16)
            kl += exp(base) * (base - (logits[i] - log_sum));
    }
    nll = log_sum - logits[token];
    nll_base = -((double)head[0] * q[token] + head[1]);
    dp = exp(-nll) - exp(-nll_base);
    c->kls[c->kl.n] = kl;
    c->dps[c->kl.n] = dp;
    c->sorted = false;
    c->same_top += top == base_top;
    c->nll_products += nll * nll_base;
    ppl_add(&c->nll, nll);
    ppl_add(&c->nll_base, nll_base);
    ppl_add(&c->kl, kl);
    ppl_add(&c->dp, dp);
    ppl_add(&c->dp_squares, dp * dp);
    return true;
}

void ppl_compare_free(ppl_compare *c)
{
    free(c->kls);
    free(c->dps);
    memset(c, 0, sizeof *c);
}

static int sums_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double ppl_quantile(ppl_compare *c, const double *values, double fraction)
{
    double at;
    size_t n = c->kl.n, below;

    if (n == 0)
        return 0;
    if (!c->sorted) {
        qsort(c->kls, n, sizeof *c->kls, sums_order);
        qsort(c->dps, n, sizeof *c->dps, sums_order);
        c->sorted = true;
    }
    at = fraction * (double)(n - 1);
    below = (size_t)at;
    return below + 1 < n ? values[below] + (at - (double)below) * (values[below + 1] - values[below]) : values[n - 1];
}
