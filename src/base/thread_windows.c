/* SPDX-License-Identifier: MIT
 * Threads, locks and parking on Windows: slim locks and WaitOnAddress (Windows 8 and later; link synchronization.lib). */
#if defined(_WIN32)
#include "base/thread.h"

#include "base/compiler.h"
#include "base/status.h"

#include <string.h>

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN 1
#endif
#ifndef NOMINMAX
#define NOMINMAX 1
#endif
#include <windows.h>
#undef IN
#undef OUT
#undef near
#undef far

_Static_assert(sizeof(SRWLOCK) <= sizeof(lm_mutex), "a lock fits");
_Static_assert(sizeof(HANDLE) <= sizeof(lm_thread), "a thread fits");

static SRWLOCK *thread_lock(lm_mutex *mutex) { return (SRWLOCK *)(void *)mutex->u.bytes; }

llm_status lm_mutex_init(lm_mutex *mutex, llm_error *error)
{
    (void)error;
    InitializeSRWLock(thread_lock(mutex));
    return LLM_OK;
}

void lm_mutex_lock(lm_mutex *mutex) { AcquireSRWLockExclusive(thread_lock(mutex)); }
bool lm_mutex_try(lm_mutex *mutex) { return TryAcquireSRWLockExclusive(thread_lock(mutex)) != 0; }
void lm_mutex_unlock(lm_mutex *mutex) { ReleaseSRWLockExclusive(thread_lock(mutex)); }
void lm_mutex_destroy(lm_mutex *mutex) { (void)mutex; }

/* What a new thread is to do stands on its maker's stack until the thread has read it. */
typedef struct thread_order {
    void (*body)(void *);
    void *arg;
    _Atomic uint32_t read;
} thread_order;

static DWORD WINAPI thread_main(void *at)
{
    thread_order *order = at;
    void (*body)(void *) = order->body;
    void *arg = order->arg;
    atomic_store_explicit(&order->read, 1, memory_order_release);
    lm_unpark_all(&order->read);
    body(arg);
    return 0;
}

enum { THREAD_STACK = 1024 * 1024 };

llm_status lm_thread_start(lm_thread *thread, void (*body)(void *), void *arg, llm_error *error)
{
    thread_order order = { body, arg, 0 };
    HANDLE made = CreateThread(NULL, THREAD_STACK, thread_main, &order, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (!made)
        return lm_fail(error, LLM_E_LIMIT, "the system gives no thread (error %u)", (unsigned)GetLastError());
    while (!atomic_load_explicit(&order.read, memory_order_acquire))
        lm_park(&order.read, 0, 1000000);
    memcpy(thread->u.bytes, &made, sizeof made);
    return LLM_OK;
}

void lm_thread_join(lm_thread *thread)
{
    HANDLE made;
    memcpy(&made, thread->u.bytes, sizeof made);
    WaitForSingleObject(made, INFINITE);
    CloseHandle(made);
}

void lm_park(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
    int64_t ms = (timeout_ns + 999999) / 1000000;
    WaitOnAddress((volatile void *)word, &expected, sizeof expected, timeout_ns < 0 ? INFINITE : (DWORD)LM_MIN(ms, (int64_t)0x7fffffff));
}

void lm_unpark_all(_Atomic uint32_t *word) { WakeByAddressAll((void *)word); }

void lm_cpu_relax(void) { YieldProcessor(); }
#else
typedef int lm_thread_windows_is_empty;
#endif
