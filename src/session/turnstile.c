/* SPDX-License-Identifier: MIT
 * The line in front of the pool of workers. Waiters are records on their threads' stacks.
 *
 * Invariants, under the lock: 1. `held` is true from enter to leave, also while the turn passes from one to the next.
 * 2. A waiter is in the list or has turn == 1, never both. 3. `waiting` is the length of the list.
 * The turn is handed over under the lock, and a waiter takes the lock before it goes, so that its record outlives the wake-up. */
#include "session/turnstile.h"

#include "base/os.h"

llm_status lm_turnstile_init(lm_turnstile *turnstile, llm_error *error)
{
    turnstile->first = turnstile->last = NULL;
    turnstile->held = false;
    atomic_init(&turnstile->waiting, 0);
    return lm_mutex_init(&turnstile->lock, error);
}

void lm_turnstile_destroy(lm_turnstile *turnstile)
{
    lm_mutex_destroy(&turnstile->lock);
}

static void turnstile_unlink(lm_turnstile *turnstile, lm_waiter *waiter)
{
    lm_waiter *before = NULL;
    for (lm_waiter *w = turnstile->first; w != waiter; w = w->next)
        before = w;
    if (before)
        before->next = waiter->next;
    else
        turnstile->first = waiter->next;
    if (turnstile->last == waiter)
        turnstile->last = before;
    atomic_fetch_sub(&turnstile->waiting, 1);
}

bool lm_turnstile_enter(lm_turnstile *turnstile, int64_t deadline_ns)
{
    lm_mutex_lock(&turnstile->lock);
    if (!turnstile->held) {                                 /* then nobody waits: leave hands the turn over directly */
        turnstile->held = true;
        lm_mutex_unlock(&turnstile->lock);
        return true;
    }
    lm_waiter waiter = { .next = NULL };
    atomic_init(&waiter.turn, 0);
    if (turnstile->last)
        turnstile->last->next = &waiter;
    else
        turnstile->first = &waiter;
    turnstile->last = &waiter;
    atomic_fetch_add(&turnstile->waiting, 1);
    lm_mutex_unlock(&turnstile->lock);

    for (;;) {
        int64_t left = -1;
        if (atomic_load(&waiter.turn) == 0 && deadline_ns != INT64_MAX) {
            left = deadline_ns - lm_now_ns();
            if (left <= 0)
                break;
        }
        if (atomic_load(&waiter.turn) != 0)
            break;
        lm_park(&waiter.turn, 0, left);
    }
    lm_mutex_lock(&turnstile->lock);
    bool mine = atomic_load(&waiter.turn) != 0;             /* it may have come in the last moment */
    if (!mine)
        turnstile_unlink(turnstile, &waiter);
    lm_mutex_unlock(&turnstile->lock);
    return mine;
}

void lm_turnstile_leave(lm_turnstile *turnstile)
{
    lm_mutex_lock(&turnstile->lock);
    lm_waiter *next = turnstile->first;
    if (next) {
        turnstile_unlink(turnstile, next);
        atomic_store(&next->turn, 1);
        lm_unpark_all(&next->turn);
    } else {
        turnstile->held = false;
    }
    lm_mutex_unlock(&turnstile->lock);
}
