/* SPDX-License-Identifier: MIT
 * Models of a few KiB: each architecture, each type of weights, each kind of vocabulary, all of which load and run. */
#ifndef TESTS_MODELS_H
#define TESTS_MODELS_H

#include "doc.h"

size_t models_count(void);
const char *models_name(size_t i);
/* Model number i, with its offsets in place. */
void models_make(doc *d, size_t i);
/* The one of that name. */
void models_make_named(doc *d, const char *name);
/* The vocabularies alone: "spm", "bpe", "chars" (BPE of characters), "spm256", "chars256" (with all bytes), "none". */
void models_vocabulary(doc *d, const char *kind);

enum { MODELS_VOCAB = 40, MODELS_BPE_VOCAB = 272, MODELS_MOST = 20 * 1024 };   /* tokens; the most bytes of a file */

#endif
