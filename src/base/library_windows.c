/* SPDX-License-Identifier: MIT
 * Libraries opened at run time, Windows. Owns nothing. Threads: any. */
#if defined(_WIN32)

#include "base/library.h"

#include "base/status.h"

#include <windows.h>

llm_status lm_library_open(const char *name, lm_library *out, llm_error *error)
{
    /* Not from the current folder, nor from PATH: whoever can write there would be run here. */
    out->handle = (void *)LoadLibraryExA(name, NULL, LOAD_LIBRARY_SEARCH_APPLICATION_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);
    return out->handle ? LLM_OK : lm_fail(error, LLM_E_NOT_FOUND, "no library %s", name);
}

lm_library_function lm_library_find(lm_library library, const char *symbol)
{
    return library.handle ? (lm_library_function)GetProcAddress((HMODULE)library.handle, symbol) : NULL;
}

void lm_library_close(lm_library library)
{
    if (library.handle)
        FreeLibrary((HMODULE)library.handle);
}

#else
typedef int lm_library_windows_is_empty;
#endif
