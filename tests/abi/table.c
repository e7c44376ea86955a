/* SPDX-License-Identifier: MIT
 * The table of what programs were compiled against, held against llm.h at compile time. Nothing of a C library is needed, so that it can be
 * compiled for any target. */
#include <llm.h>

#define NARROW (sizeof(void *) == 4)
#define VALUE(name, value) _Static_assert((name) == (value), #name);
#define TYPE(name, wide, narrow) _Static_assert(sizeof(name) == (NARROW ? (narrow) : (wide)), #name);
#define FIELD(type, name, wide, narrow, wide_bytes, narrow_bytes)                                                 \
    _Static_assert(offsetof(type, name) == (NARROW ? (narrow) : (wide)), #type "." #name);                        \
    _Static_assert(sizeof((type *)0)->name == (NARROW ? (narrow_bytes) : (wide_bytes)), "bytes of " #type "." #name);
#define FUNCTION(result, name, parameters) LLM_API result name parameters;
#include "table.inc"
