/* SPDX-License-Identifier: MIT
 * What libllm perplexity counts: log-likelihoods, and how far two models' predictions lie apart. No input or output but the base file's
 * records. */
#ifndef LIBLLM_PERPLEXITY_H
#define LIBLLM_PERPLEXITY_H

#include <llm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A mean and its standard error, from n values. */
typedef struct ppl_sum { double sum, squares; uint64_t n; } ppl_sum;
typedef struct ppl_mean { double mean, error; } ppl_mean;

void     ppl_add(ppl_sum *sum, double value);
ppl_mean ppl_mean_of(const ppl_sum *sum);

/* -log p(token) by these logits. */
double ppl_nll(const float *logits, int32_t n_vocab, llm_token token);

/* One row of a base file: log-probabilities in 16 bits. Format of llama.cpp's --save-all-logits: f32 scale, f32 least, then n_vocab (made
 * even) u16 q: log p = scale q + least, where everything below the largest - 16 became q = 0. */
size_t ppl_record_items(int32_t n_vocab);                       /* u16 items */
void   ppl_record_make(uint16_t *record, const float *logits, int32_t n_vocab);

/* A model (logits) beside a base (records), token by token. */
typedef struct ppl_compare {
    ppl_sum nll, nll_base, kl, dp, dp_squares;                  /* dp: p(token) - p_base(token) */
    double  nll_products;                                       /* sum of nll * nll_base */
    uint64_t same_top;
    double  *kls, *dps;                                         /* [n] in the order of tokens, owned; sorted by ppl_quantile */
    size_t   cap;
    bool     sorted;
} ppl_compare;

bool   ppl_compare_add(ppl_compare *c, const uint16_t *record, const float *logits, int32_t n_vocab, llm_token token);    /* false: no memory */
void   ppl_compare_free(ppl_compare *c);
/* The value below which `fraction` of all lie, between neighbours in proportion. */
double ppl_quantile(ppl_compare *c, const double *values, double fraction);

#endif
