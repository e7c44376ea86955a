/* SPDX-License-Identifier: MIT
 * Libraries opened at run time, POSIX. Owns nothing. Threads: any. */
#if !defined(_WIN32)

#include "base/library.h"

#include "base/status.h"

#include <dlfcn.h>
#include <string.h>

llm_status lm_library_open(const char *name, lm_library *out, llm_error *error)
{
    out->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    return out->handle ? LLM_OK : lm_fail(error, LLM_E_NOT_FOUND, "no library %s", name);
}

lm_library_function lm_library_find(lm_library library, const char *symbol)
{
    void *found = library.handle ? dlsym(library.handle, symbol) : NULL;
    lm_library_function function = NULL;
    memcpy(&function, &found, sizeof function);                 /* ISO C has no cast from one to the other */
    return function;
}

void lm_library_close(lm_library library)
{
    if (library.handle)
        dlclose(library.handle);
}

#else
typedef int lm_library_posix_is_empty;
#endif
