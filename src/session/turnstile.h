/* SPDX-License-Identifier: MIT
 * First come, first served: who may compute now. A lock whose waiters stand in line, give up at their deadline, and can be seen by
 * the one inside, so that a long pass makes way for a short one. Floor 9. Knows nothing of sessions. Threads: any. */
#ifndef LM_SESSION_TURNSTILE_H
#define LM_SESSION_TURNSTILE_H

#include "base/thread.h"

typedef struct lm_waiter { struct lm_waiter *next; _Atomic uint32_t turn; } lm_waiter;

typedef struct lm_turnstile {
    lm_mutex lock;                      /* of the line; held for a few instructions only */
    lm_waiter *first, *last;
    bool held;
    _Atomic uint32_t waiting;           /* nonzero: somebody stands in line; fit to be a word of lm_run_control.cancel */
} lm_turnstile;

llm_status lm_turnstile_init(lm_turnstile *turnstile, llm_error *error);
void lm_turnstile_destroy(lm_turnstile *turnstile);
/* True: it is the caller's turn until leave. False: the deadline (lm_now_ns clock, INT64_MAX: none) passed first. */
bool lm_turnstile_enter(lm_turnstile *turnstile, int64_t deadline_ns);
void lm_turnstile_leave(lm_turnstile *turnstile);

#endif
