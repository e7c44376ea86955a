/* SPDX-License-Identifier: MIT
 * Threads, locks and parking on POSIX systems. Linux parks on a futex; elsewhere a parked thread looks again every half
 * millisecond, because a table of condition variables would be a mutable global. Our threads take no signal: those are the host's. */
#if !defined(_WIN32)
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "base/thread.h"

#include "base/compiler.h"
#include "base/status.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(lm_mutex), "a mutex fits");
_Static_assert(sizeof(pthread_t) <= sizeof(lm_thread), "a thread fits");

static pthread_mutex_t *thread_mutex(lm_mutex *mutex) { return (pthread_mutex_t *)(void *)mutex->u.bytes; }

llm_status lm_mutex_init(lm_mutex *mutex, llm_error *error)
{
    int code = pthread_mutex_init(thread_mutex(mutex), NULL);
    return code ? lm_fail(error, LLM_E_LIMIT, "the system gives no mutex (error %d)", code) : LLM_OK;
}

void lm_mutex_lock(lm_mutex *mutex) { pthread_mutex_lock(thread_mutex(mutex)); }
bool lm_mutex_try(lm_mutex *mutex) { return pthread_mutex_trylock(thread_mutex(mutex)) == 0; }
void lm_mutex_unlock(lm_mutex *mutex) { pthread_mutex_unlock(thread_mutex(mutex)); }
void lm_mutex_destroy(lm_mutex *mutex) { pthread_mutex_destroy(thread_mutex(mutex)); }

/* What a new thread is to do stands on its maker's stack until the thread has read it. */
typedef struct thread_order {
    void (*body)(void *);
    void *arg;
    _Atomic uint32_t read;
} thread_order;

static void *thread_main(void *at)
{
    thread_order *order = at;
    void (*body)(void *) = order->body;
    void *arg = order->arg;
    atomic_store_explicit(&order->read, 1, memory_order_release);
    lm_unpark_all(&order->read);                            /* only the address is used: it may be gone by now */
    body(arg);
    return NULL;
}

enum { THREAD_STACK = 1024 * 1024 };                        /* thread-local storage of the host comes off it */

llm_status lm_thread_start(lm_thread *thread, void (*body)(void *), void *arg, llm_error *error)
{
    thread_order order = { body, arg, 0 };
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t made;
    int code = pthread_attr_init(&attributes);
    if (code)
        return lm_fail(error, LLM_E_LIMIT, "the system gives no thread (error %d)", code);
    pthread_attr_setstacksize(&attributes, THREAD_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&made, &attributes, thread_main, &order);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (code)
        return lm_fail(error, LLM_E_LIMIT, "the system gives no thread (error %d)", code);
    while (!atomic_load_explicit(&order.read, memory_order_acquire))
        lm_park(&order.read, 0, 1000000);
    memcpy(thread->u.bytes, &made, sizeof made);
    return LLM_OK;
}

void lm_thread_join(lm_thread *thread)
{
    pthread_t made;
    memcpy(&made, thread->u.bytes, sizeof made);
    pthread_join(made, NULL);
}

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void lm_park(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
    struct { long seconds, nanoseconds; } timeout = { (long)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000) };     /* as SYS_futex reads it */
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? NULL : &timeout, NULL, 0);
    errno = saved;
}

void lm_unpark_all(_Atomic uint32_t *word)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    errno = saved;
}
#else
void lm_park(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
    int64_t step = timeout_ns >= 0 && timeout_ns < 500000 ? timeout_ns : 500000;
    struct timespec nap = { 0, (long)step };
    int saved = errno;
    if (atomic_load_explicit(word, memory_order_acquire) == expected)
        nanosleep(&nap, NULL);
    errno = saved;
}

void lm_unpark_all(_Atomic uint32_t *word) { (void)word; }
#endif

#if defined(__x86_64__) || defined(__i386__)
void lm_cpu_relax(void) { __builtin_ia32_pause(); }
#elif defined(__aarch64__) || defined(__arm__)
void lm_cpu_relax(void) { __asm__ __volatile__("yield" ::: "memory"); }
#else
void lm_cpu_relax(void) { __asm__ __volatile__("" ::: "memory"); }
#endif
#else
typedef int lm_thread_posix_is_empty;
#endif
