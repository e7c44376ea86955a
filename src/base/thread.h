/* SPDX-License-Identifier: MIT
 * Threads, locks and waiting on a word, on POSIX and Windows. Floor 0. */
#ifndef LM_BASE_THREAD_H
#define LM_BASE_THREAD_H

#include "llm.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct lm_mutex  { union { void *align; unsigned char bytes[64]; } u; } lm_mutex;
typedef struct lm_thread { union { void *align; unsigned char bytes[16]; } u; } lm_thread;

llm_status lm_mutex_init(lm_mutex *mutex, llm_error *error);
void lm_mutex_lock(lm_mutex *mutex);
bool lm_mutex_try(lm_mutex *mutex);
void lm_mutex_unlock(lm_mutex *mutex);
void lm_mutex_destroy(lm_mutex *mutex);

/* A thread with a stack of at least 512 KiB, all signals blocked. E_LIMIT if the system gives none. */
llm_status lm_thread_start(lm_thread *thread, void (*body)(void *), void *arg, llm_error *error);
void lm_thread_join(lm_thread *thread);

/* Sleeps while *word == expected, until woken or timeout_ns (< 0: none) have passed; may wake for no reason. */
void lm_park(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns);
void lm_unpark_all(_Atomic uint32_t *word);
void lm_cpu_relax(void);                /* one pause of a spin loop */

#endif
