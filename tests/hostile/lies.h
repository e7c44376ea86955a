/* SPDX-License-Identifier: MIT
 * The hostile corpus, models: each row a model of models.c, which loads and runs, with one lie. Rows go by the classes in which others have failed, A to D:
 * A header and keys, B tensors, C hyper-parameters against tensors, D vocabularies. */
#ifndef TESTS_LIES_H
#define TESTS_LIES_H

#include "fuzz/doc.h"

#include "llm.h"

typedef struct lie {
    const char *row, *what, *base;      /* "A1", in words, the model */
    void (*tell)(doc *d, const struct lie *lie);
    const char *name;                   /* of a key or tensor */
    uint64_t a, b;
    const char *text;
    llm_status status;                  /* of the load; of four tokens, if that is LLM_OK and this is not */
    const char *says;                   /* part of the message */
} lie;

void lies_begin(void);                  /* before the first is told */
extern const lie lies[];
extern const size_t n_lies;

#endif
