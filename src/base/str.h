/* SPDX-License-Identifier: MIT
 * Texts by pointer and length. Floor 0. */
#ifndef LM_BASE_STR_H
#define LM_BASE_STR_H

#include "llm.h"

#include <stdbool.h>
#include <string.h>

static inline bool lm_str_same(llm_str a, llm_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

#endif
