/* SPDX-License-Identifier: MIT
 * The list of architectures: a new one is a file and a line here. Floor 8. */
#ifndef LM_MODEL_ARCH_ARCH_H
#define LM_MODEL_ARCH_ARCH_H

#include "model/model.h"

/* X(name as in general.architecture) */
#define LM_ARCHS(X) \
    X(gemma)        \
    X(gemma2)       \
    X(gemma3)       \
    X(llama)        \
    X(phi3)         \
    X(qwen2)        \
    X(qwen2moe)     \
    X(qwen3)        \
    X(qwen3moe)

#define LM_ARCH_DECLARE(name) extern const lm_arch lm_arch_##name;
LM_ARCHS(LM_ARCH_DECLARE)
#undef LM_ARCH_DECLARE

/* "llama, qwen3": for messages. Returns the length written, at most cap - 1. */
size_t lm_arch_names(char *out, size_t cap);

#endif
