/* SPDX-License-Identifier: MIT
 * Finds an architecture by its name. Owns nothing. Threads: any. */
#include "model/arch/arch.h"

#include <string.h>

static const lm_arch *const arch_list[] = {
#define ARCH_ROW(name) &lm_arch_##name,
    LM_ARCHS(ARCH_ROW)
#undef ARCH_ROW
};

const lm_arch *lm_arch_find(llm_str name)
{
    for (size_t i = 0; i < LM_COUNT(arch_list); i++)
        if (name.len == strlen(arch_list[i]->name) && memcmp(name.ptr, arch_list[i]->name, name.len) == 0)
            return arch_list[i];
    return NULL;
}

size_t lm_arch_names(char *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < LM_COUNT(arch_list); i++)
        n += lm_print(out + n, cap - n, i ? ", %s" : "%s", arch_list[i]->name);
    return n;
}
