/* SPDX-License-Identifier: MIT
 * Models of random weights in the shapes of known ones: a GGUF file that exists only as a function of an offset. The bytes depend
 * on (shape, type, seed) alone. Text from such a model is nonsense; its speed is that of the real one. */
#ifndef LIBLLM_SHAPE_H
#define LIBLLM_SHAPE_H

#include <llm.h>

typedef struct shape_model shape_model;

/* NULL: why says what is wrong with the names, or that memory ran out. */
shape_model *shape_create(const char *shape, const char *type, uint64_t seed, char why[160]);
void         shape_free(shape_model *model);
uint64_t     shape_bytes(const shape_model *model);
/* A llm_reader's read; user is the shape_model. */
llm_status   shape_read(void *user, uint64_t offset, void *out, size_t n);

#endif
