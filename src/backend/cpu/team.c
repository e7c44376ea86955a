/* SPDX-License-Identifier: MIT
 * The threads of the CPU backend. Owns the threads and the words they wait on; does not know what they do.
 *
 * A job is open from lm_cpu_team_run until its body has returned on the caller. `gate` counts who is inside and says whether
 * more may enter, so that the caller never waits for a thread that has not come: a thread that the system does not run, or that
 * wakes late, costs its help and nothing else. That, and waiting without spinning when there are more threads than cores, is why
 * four times too many threads are not a disaster.
 *
 * All waiting is on one word, `epoch`, which rises with every signal. A waiter spins a bounded while, then parks; how long it
 * spins follows its luck: after a long sleep it spins less, after a short one more.
 *
 * Invariants: 1. job, data are written only while the gate is closed and empty. 2. A worker enters a job at most once.
 * 3. sleepers is raised before the last look at epoch, epoch before the look at sleepers: no wake is lost.
 * Threads: one caller at a time. */
#include "backend/cpu/cpu.h"

#include "base/cpu.h"
#include "base/os.h"

enum { TEAM_OPEN = 1u << 31 };
enum { TEAM_SPIN_MOST = 2500 };                             /* pauses of the processor: about 20 to 100 us, by maker */
enum { TEAM_SHORT_NS = 60000 };                             /* slept shorter than this: spinning would have been better */

typedef struct team_worker { lm_cpu_team *team; lm_thread thread; uint32_t index; uint32_t reserved; } team_worker;

struct lm_cpu_team {
    lm_host *host;
    void (*body)(void *data, uint32_t worker);
    void *data;
    uint32_t n_workers, spin_most;
    _Atomic uint32_t quit, job;                         /* job: number of the job at hand */
    _Alignas(64) _Atomic uint32_t epoch;
    _Alignas(64) _Atomic uint32_t sleepers;
    _Alignas(64) _Atomic uint32_t gate;
    _Alignas(64) _Atomic uint32_t spin;                 /* pauses to wait before parking: shared, a hint */
    team_worker workers[];
};

uint32_t lm_cpu_team_seen(lm_cpu_team *team) { return atomic_load_explicit(&team->epoch, memory_order_seq_cst); }

void lm_cpu_team_signal(lm_cpu_team *team)
{
    atomic_fetch_add_explicit(&team->epoch, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&team->sleepers, memory_order_seq_cst) != 0)
        lm_unpark_all(&team->epoch);
}

void lm_cpu_team_wait(lm_cpu_team *team, uint32_t seen)
{
    uint32_t spin = atomic_load_explicit(&team->spin, memory_order_relaxed);
    for (uint32_t i = 0; i < spin; i++) {
        if (atomic_load_explicit(&team->epoch, memory_order_acquire) != seen)
            return;
        lm_cpu_relax();
    }
    int64_t before = lm_now_ns();
    atomic_fetch_add_explicit(&team->sleepers, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&team->epoch, memory_order_seq_cst) == seen)
        lm_park(&team->epoch, seen, -1);
    atomic_fetch_sub_explicit(&team->sleepers, 1, memory_order_relaxed);
    spin = lm_now_ns() - before < TEAM_SHORT_NS ? LM_MIN(2 * spin + 16, team->spin_most) : spin - spin / 4;
    atomic_store_explicit(&team->spin, spin, memory_order_relaxed);
}

static bool team_enter(lm_cpu_team *team)
{
    uint32_t gate = atomic_load_explicit(&team->gate, memory_order_relaxed);
    while (gate & TEAM_OPEN)
        if (atomic_compare_exchange_weak_explicit(&team->gate, &gate, gate + 1, memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

static void team_leave(lm_cpu_team *team)
{
    if (atomic_fetch_sub_explicit(&team->gate, 1, memory_order_release) == 1)      /* closed, and the last one out */
        lm_unpark_all(&team->gate);
}

static void team_main(void *arg)
{
    team_worker *worker = arg;
    lm_cpu_team *team = worker->team;
    uint32_t last = 0;
    for (;;) {
        uint32_t seen = lm_cpu_team_seen(team);
        if (atomic_load_explicit(&team->quit, memory_order_acquire))
            return;
        if (atomic_load_explicit(&team->job, memory_order_acquire) != last && team_enter(team)) {
            last = atomic_load_explicit(&team->job, memory_order_relaxed);      /* cannot change while we are inside */
            uint64_t mode = lm_fp_enter();
            team->body(team->data, worker->index);
            lm_fp_leave(mode);
            team_leave(team);
        } else {
            lm_cpu_team_wait(team, seen);
        }
    }
}

void lm_cpu_team_run(lm_cpu_team *team, void (*body)(void *data, uint32_t worker), void *data)
{
    team->body = body;
    team->data = data;
    atomic_fetch_add_explicit(&team->job, 1, memory_order_release);
    atomic_fetch_or_explicit(&team->gate, TEAM_OPEN, memory_order_release);
    lm_cpu_team_signal(team);
    body(data, 0);
    uint32_t gate = atomic_fetch_and_explicit(&team->gate, ~TEAM_OPEN, memory_order_acquire) & ~TEAM_OPEN;
    for (uint32_t i = 0; gate != 0; i++) {
        if (i < team->spin_most)
            lm_cpu_relax();
        else
            lm_park(&team->gate, gate, -1);
        gate = atomic_load_explicit(&team->gate, memory_order_acquire);
    }
}

llm_status lm_cpu_team_open(lm_host *host, uint32_t n_threads, lm_cpu_team **out, llm_error *error)
{
    uint32_t n = n_threads - 1;
    size_t size = sizeof(lm_cpu_team) + n * sizeof(team_worker);
    lm_cpu_team *team = lm_mem_new(&host->mem, size, LLM_MEMORY_OTHER);
    if (!team)
        return lm_fail_memory(error, "the threads' list", size);
    team->host = host;
    team->spin_most = n_threads > (uint32_t)lm_os_cores() ? 0 : TEAM_SPIN_MOST;
    atomic_init(&team->spin, team->spin_most);
    for (uint32_t i = 0; i < n; i++) {
        llm_error why;
        team_worker *worker = &team->workers[i];
        worker->team = team;
        worker->index = i + 1;
        if (lm_thread_start(&worker->thread, team_main, worker, &why) < 0) {
            lm_log(host, LLM_LOG_WARN, "%u of %u threads: %s", i + 1, n_threads, why.message);
            break;
        }
        team->n_workers = i + 1;
    }
    *out = team;
    return LLM_OK;
}

void lm_cpu_team_close(lm_cpu_team *team)
{
    if (!team)
        return;
    atomic_store_explicit(&team->quit, 1, memory_order_release);
    lm_cpu_team_signal(team);
    for (uint32_t i = 0; i < team->n_workers; i++)
        lm_thread_join(&team->workers[i].thread);
    lm_mem_free(&team->host->mem, team);
}
