/* SPDX-License-Identifier: MIT
 * The turnstile: one inside at a time, first come first served, waiters that give up, a count that others can see. */
#include "test.h"

#include "session/turnstile.h"

#include "base/os.h"

static lm_turnstile turnstile;
static _Atomic int inside, order_at, gave_up;
static int order[8];
static _Atomic uint32_t never;

static void pause_ms(int64_t ms)
{
    for (int64_t end = lm_now_ns() + ms * 1000000; lm_now_ns() < end;)
        lm_park(&never, 0, end - lm_now_ns());
}

typedef struct guest { int number; int64_t patience_ns; int rounds; } guest;

static void guest_queue(void *arg)
{
    guest *g = arg;
    if (!lm_turnstile_enter(&turnstile, INT64_MAX)) {
        CHECK(!"sent away without a deadline");
        return;
    }
    CHECK(atomic_fetch_add(&inside, 1) == 0);
    order[atomic_fetch_add(&order_at, 1)] = g->number;
    atomic_fetch_sub(&inside, 1);
    lm_turnstile_leave(&turnstile);
}

static void guest_crowd(void *arg)
{
    guest *g = arg;
    for (int i = 0; i < g->rounds; i++) {
        if (!lm_turnstile_enter(&turnstile, g->patience_ns ? lm_now_ns() + g->patience_ns : INT64_MAX)) {
            atomic_fetch_add(&gave_up, 1);
            continue;
        }
        CHECK(atomic_fetch_add(&inside, 1) == 0);
        for (volatile int k = 0; k < 300; k++)
            ;
        atomic_fetch_sub(&inside, 1);
        lm_turnstile_leave(&turnstile);
    }
}

int main(void)
{
    llm_error error;
    lm_thread threads[8];
    guest guests[8];
    CHECK(lm_turnstile_init(&turnstile, &error) == LLM_OK);
    CHECK(lm_turnstile_enter(&turnstile, 0));               /* free: even with a deadline long past */
    CHECK(atomic_load(&turnstile.waiting) == 0);
    int64_t begin = lm_now_ns();
    CHECK(!lm_turnstile_enter(&turnstile, begin + 5000000) && lm_now_ns() - begin >= 5000000);
    CHECK(!lm_turnstile_enter(&turnstile, begin - 1) && atomic_load(&turnstile.waiting) == 0);
    for (int i = 0; i < 8; i++) {                           /* they come one after another, and go so */
        guests[i] = (guest){ i, 0, 0 };
        CHECK(lm_thread_start(&threads[i], guest_queue, &guests[i], &error) == LLM_OK);
        while (atomic_load(&turnstile.waiting) != (uint32_t)i + 1)
            pause_ms(1);
    }
    lm_turnstile_leave(&turnstile);
    for (int i = 0; i < 8; i++)
        lm_thread_join(&threads[i]);
    for (int i = 0; i < 8; i++)
        CHECK(order[i] == i);
    for (int i = 0; i < 8; i++) {                           /* a crowd, some of it impatient */
        guests[i] = (guest){ i, i & 1 ? 20000 : 0, 2000 };
        CHECK(lm_thread_start(&threads[i], guest_crowd, &guests[i], &error) == LLM_OK);
    }
    for (int i = 0; i < 8; i++)
        lm_thread_join(&threads[i]);
    CHECK(!turnstile.held && !turnstile.first && !turnstile.last && atomic_load(&turnstile.waiting) == 0);
    printf("%d of 8000 gave up\n", atomic_load(&gave_up));
    lm_turnstile_destroy(&turnstile);
    return TEST_DONE();
}
