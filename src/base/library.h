/* SPDX-License-Identifier: MIT
 * Libraries opened at run time. Floor 0. Threads: any. */
#ifndef LM_BASE_LIBRARY_H
#define LM_BASE_LIBRARY_H

#include "llm.h"

typedef struct lm_library { void *handle; } lm_library;         /* handle NULL: none */
typedef void (*lm_library_function)(void);                      /* to be cast to what it is */

/* name: as the system's loader searches it; Windows: in the program's folder and the system's alone. E_NOT_FOUND. */
llm_status lm_library_open(const char *name, lm_library *out, llm_error *error);
lm_library_function lm_library_find(lm_library library, const char *symbol);    /* NULL: it has none */
void lm_library_close(lm_library library);                      /* none is fine */

#endif
