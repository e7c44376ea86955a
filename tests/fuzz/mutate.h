/* SPDX-License-Identifier: MIT
 * Mutations of GGUF files that keep the container readable: keys, types, lengths, shapes, offsets, values become others, often borders; sizes and offsets are
 * mostly made true again, so that the lie comes further. */
#ifndef TESTS_MUTATE_H
#define TESTS_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* A LLVMFuzzerCustomMutator. */
size_t mutate_gguf(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
/* A LLVMFuzzerCustomCrossOver: keys and tensors of both. */
size_t mutate_cross(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out, size_t max_size, unsigned int seed);

#endif
