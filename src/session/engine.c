/* SPDX-License-Identifier: MIT
 * Engines and their lanes. An engine lives as long as its handle or anything made with it.
 *
 * Lanes, under the lock: 1. A lane is free, or taken by one step or one paused pass. 2. A free lane may keep the arena of the
 * last pass: it is reused, enlarged, or closed when another model needs the place. 3. At most n_arenas arenas exist. */
#include "session/engine.h"

#include "base/os.h"

#include <string.h>

enum { ENGINE_DEFAULT_ARENAS = 4, ENGINE_DEFAULT_CHUNK = 512 };

static void engine_close(llm_engine *engine)
{
    for (int32_t i = 0; engine->lanes && i < engine->n_arenas; i++) {
        lm_lane *lane = &engine->lanes[i];
        if (lane->arena)
            lane->backend->table->arena_close(lane->backend, lane->arena);
        lm_mem_free(&engine->host.mem, lane->tables);
    }
    lm_devices_close(&engine->devices);
    for (uint32_t i = engine->n_backends; i-- > 0;)
        engine->backends[i]->table->close(engine->backends[i]);
    lm_mem_free(&engine->host.mem, engine->lanes);
    lm_turnstile_destroy(&engine->turnstile);
    lm_mutex_destroy(&engine->roll);
    lm_mutex_destroy(&engine->lock);
    lm_mem mem;                                             /* the block holds the allocator that frees it */
    lm_mem_init(&mem, &engine->host.mem.hooks, 0);
    atomic_store(&mem.used, atomic_load(&engine->host.mem.used));
    lm_mem_free(&mem, engine);
}

static llm_status engine_check(const llm_engine_desc *desc, llm_error *error)
{
    if (desc->flags & ~(uint32_t)LLM_ENGINE_GPUS)
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_engine_desc.flags is 0x%x: an unknown flag is set", desc->flags);
    if (desc->n_threads < 0 || desc->n_threads > LM_MAX_THREADS)
        return lm_fail(error, LLM_E_INVALID, "llm_engine_desc.n_threads is %d: expected 0 to %d", desc->n_threads, LM_MAX_THREADS);
    if (desc->n_arenas < 0 || desc->n_arenas > LM_MAX_ARENAS)
        return lm_fail(error, LLM_E_INVALID, "llm_engine_desc.n_arenas is %d: expected 0 to %d", desc->n_arenas, LM_MAX_ARENAS);
    if (desc->n_chunk < 0 || desc->n_chunk > LM_MAX_CHUNK)
        return lm_fail(error, LLM_E_INVALID, "llm_engine_desc.n_chunk is %d: expected 0 to %d", desc->n_chunk, LM_MAX_CHUNK);
    if (desc->cpu_tier < 0 || desc->cpu_tier > LLM_CPU_AMX)
        return lm_fail(error, LLM_E_INVALID, "llm_engine_desc.cpu_tier is %d: expected 0 or LLM_CPU_*", desc->cpu_tier);
    return LLM_OK;
}

llm_status lm_engine_new(const llm_engine_desc *desc, llm_engine **out, llm_error *error)
{
    LM_TRY(engine_check(desc, error));
    lm_mem mem;
    lm_mem_init(&mem, desc->allocator, desc->memory_limit);
    llm_engine *engine = lm_mem_new(&mem, sizeof *engine, LLM_MEMORY_OTHER);
    if (!engine)
        return lm_fail_memory(error, "an engine", sizeof *engine);
    lm_mem_init(&engine->host.mem, desc->allocator, desc->memory_limit);
    atomic_store(&engine->host.mem.used, atomic_load(&mem.used));
    atomic_store(&engine->host.mem.peak, atomic_load(&mem.peak));
    if (desc->logger)
        engine->host.logger = *desc->logger;
    engine->process = lm_os_process();
    atomic_init(&engine->refs, 1);
    atomic_init(&engine->lanes_given, 0);
    atomic_init(&engine->n_passes, 0);
    engine->n_arenas = desc->n_arenas ? desc->n_arenas : ENGINE_DEFAULT_ARENAS;
    engine->n_chunk = desc->n_chunk ? desc->n_chunk : ENGINE_DEFAULT_CHUNK;
    if (desc->parallel)
        engine->n_threads = (int32_t)LM_MIN(desc->parallel->n_threads, (uint32_t)LM_MAX_THREADS);
    else
        engine->n_threads = desc->n_threads ? desc->n_threads : LM_MIN(lm_os_cores(), LM_MAX_THREADS);

    llm_status status = lm_mutex_init(&engine->lock, error);
    if (status < 0) {
        lm_mem_free(&mem, engine);
        return status;
    }
    status = lm_mutex_init(&engine->roll, error);
    if (status < 0) {
        lm_mutex_destroy(&engine->lock);
        lm_mem_free(&mem, engine);
        return status;
    }
    status = lm_turnstile_init(&engine->turnstile, error);
    if (status < 0) {
        lm_mutex_destroy(&engine->roll);
        lm_mutex_destroy(&engine->lock);
        lm_mem_free(&mem, engine);
        return status;
    }
    engine->lanes = lm_mem_new_array(&engine->host.mem, (size_t)engine->n_arenas, sizeof *engine->lanes, LLM_MEMORY_OTHER);
    if (!engine->lanes) {
        status = lm_fail_memory(error, "the lanes of an engine", (size_t)engine->n_arenas * sizeof *engine->lanes);
        goto failed;
    }
    lm_cpu_desc cpu = { .n_threads = engine->n_threads, .tier = desc->cpu_tier, .parallel = desc->parallel };
    if ((status = lm_cpu_backend_open(&engine->host, &cpu, &engine->backends[0], error)) < 0)
        goto failed;
    engine->n_backends = 1;
    engine->cpu_tier = lm_cpu_backend_tier(engine->backends[0]);
    if (desc->flags & LLM_ENGINE_GPUS && (status = lm_devices_open(&engine->host, desc->vulkan, &engine->devices, error)) < 0)
        goto failed;
    engine->base_bytes = atomic_load(&engine->host.mem.used);
    *out = engine;
    return LLM_OK;
failed:
    engine_close(engine);
    return status;
}

llm_status lm_engine_add_backend(llm_engine *engine, lm_backend *backend, llm_error *error)
{
    if (engine->n_backends == LM_MAX_BACKENDS)
        return lm_fail(error, LLM_E_LIMIT, "an engine holds at most %d devices", LM_MAX_BACKENDS);
    engine->backends[engine->n_backends++] = backend;
    return LLM_OK;
}

bool lm_engine_is_here(const llm_engine *engine) { return engine->process == lm_os_process(); }

llm_status lm_engine_here(const llm_engine *engine, llm_error *error)
{
    return lm_engine_is_here(engine) ? LLM_OK : lm_fail(error, LLM_E_STATE, "the engine was made before a fork(), by the parent of this process: make a new one here");
}

void lm_engine_hold(llm_engine *engine)
{
    atomic_fetch_add(&engine->refs, 1);
}

void lm_engine_drop(llm_engine *engine)
{
    if (atomic_fetch_sub(&engine->refs, 1) == 1)
        engine_close(engine);
}

void lm_engine_info(const llm_engine *engine, llm_engine_info *out)
{
    out->n_threads = engine->n_threads;
    out->n_arenas = engine->n_arenas;
    out->n_chunk = engine->n_chunk;
    out->cpu_tier = engine->cpu_tier;
    out->memory_used = atomic_load(&engine->host.mem.used);
    out->memory_peak = atomic_load(&engine->host.mem.peak);
}

int32_t lm_engine_n_devices(const llm_engine *engine)
{
    return (int32_t)(engine->n_backends + engine->devices.n_found);
}

llm_status lm_engine_device(llm_engine *engine, int32_t index, llm_device_info *out, llm_error *error)
{
    if (index < 0)
        return lm_fail(error, LLM_E_INVALID, "device index %d is negative", index);
    if (index >= lm_engine_n_devices(engine))
        return lm_fail(error, LLM_E_NOT_FOUND, "no device %d: there are %d", index, lm_engine_n_devices(engine));
    lm_device device = { .name = NULL };
    if ((uint32_t)index < engine->n_backends)
        engine->backends[index]->table->device(engine->backends[index], &device);
    else
        lm_devices_look(&engine->devices, (uint32_t)index - engine->n_backends, &device);
    out->device = index + 1;
    out->kind = device.kind;
    out->name = device.name;
    for (out->name_len = 0; device.name && device.name[out->name_len];)
        out->name_len++;
    out->memory_total = device.memory_total;
    out->memory_free = device.memory_free;
    return LLM_OK;
}

llm_status lm_engine_backend(llm_engine *engine, int32_t device, lm_backend **out, llm_error *error)
{
    uint32_t index = device > 0 ? (uint32_t)device - 1 : 0;
    if (device < 0 || device > lm_engine_n_devices(engine))
        return lm_fail(error, LLM_E_NO_DEVICE, "no device with the id %d: expected 0 (the CPU) or 1 to %d", device, lm_engine_n_devices(engine));
    if (index >= engine->n_backends)
        return lm_devices_backend(&engine->host, &engine->devices, index - engine->n_backends, out, error);
    *out = engine->backends[index];
    return LLM_OK;
}

llm_status lm_engine_device_test(llm_engine *engine, int32_t device, llm_error *error)
{
    lm_backend *backend = NULL;
    LM_TRY(lm_engine_backend(engine, device, &backend, error));
    return backend->table->test ? backend->table->test(backend, error) : LLM_OK;
}

llm_status lm_engine_device_report(llm_engine *engine, int32_t device, char *text, size_t cap, size_t *n, llm_error *error)
{
    lm_backend *backend = NULL;
    lm_device about = { .name = NULL };
    LM_TRY(lm_engine_backend(engine, device, &backend, error));
    backend->table->device(backend, &about);
    char line[300];
    size_t size = backend->table->report ? backend->table->report(backend, NULL, 0) : lm_print(line, sizeof line, "name: %s\nkind: processor\n", about.name);
    if (text && cap > size && backend->table->report)
        size = backend->table->report(backend, text, cap);  /* it may have grown meanwhile */
    else if (text && cap > size)
        memcpy(text, line, size + 1);
    *n = size;
    return !text || cap > size ? LLM_OK : lm_fail(error, LLM_E_SPACE, "the report has %zu bytes and a NUL, there is room for %zu", size, cap);
}

static llm_status engine_compiler(llm_engine *engine, int32_t device, lm_backend **out, llm_error *error)
{
    LM_TRY(lm_engine_backend(engine, device, out, error));
    return (*out)->table->cache_get ? LLM_OK : lm_fail(error, LLM_E_UNSUPPORTED, "device %d compiles nothing that could be kept", device);
}

llm_status lm_engine_device_cache(llm_engine *engine, int32_t device, void *out, size_t cap, size_t *n, llm_error *error)
{
    lm_backend *backend = NULL;
    LM_TRY(engine_compiler(engine, device, &backend, error));
    return backend->table->cache_get(backend, out, cap, n, error);
}

llm_status lm_engine_device_set_cache(llm_engine *engine, int32_t device, const void *data, size_t n, llm_error *error)
{
    lm_backend *backend = NULL;
    LM_TRY(engine_compiler(engine, device, &backend, error));
    return backend->table->cache_put(backend, data, n, error);
}

void lm_engine_parallel(void *engine, uint32_t n, void (*job)(void *data, uint32_t i), void *data)
{
    llm_engine *e = engine;
    lm_turnstile_enter(&e->turnstile, INT64_MAX);
    lm_cpu_backend_parallel(e->backends[0], n, job, data);
    lm_turnstile_leave(&e->turnstile);
}

llm_parallel lm_engine_threads(llm_engine *engine)
{
    llm_parallel parallel = LLM_INIT(llm_parallel);
    parallel.n_threads = (uint32_t)engine->n_threads;
    parallel.user = engine;
    parallel.run = lm_engine_parallel;
    return parallel;
}

/* ---- lanes ------------------------------------------------------------------------------------------------------------ */

/* The arrays of a lane in one block, the strictest alignment first. Returns the block's size; places the arrays if lane is given. */
static uint64_t engine_lane_layout(const lm_lane_need *need, lm_lane *lane, char *block)
{
    uint64_t slots = 0;
    uint64_t members = slots + (uint64_t)need->slots * sizeof(lm_slot);
    uint64_t cancel = members + (uint64_t)need->slots * sizeof(llm_session *);
    uint64_t rows = cancel + ((uint64_t)need->slots + 1) * sizeof(const _Atomic uint32_t *);
    uint64_t n_rows = rows + (uint64_t)need->rows * sizeof(lm_row);
    if (lane) {
        lane->slots = (lm_slot *)(void *)(block + slots);
        lane->members = (llm_session **)(void *)(block + members);
        lane->cancel = (const _Atomic uint32_t **)(void *)(block + cancel);
        lane->rows = (lm_row *)(void *)(block + rows);
        lane->n_rows = (uint32_t *)(void *)(block + n_rows);
    }
    return n_rows + (uint64_t)need->slots * sizeof(uint32_t);
}

uint64_t lm_lane_tables_bytes(const lm_lane_need *need)
{
    return engine_lane_layout(need, NULL, NULL);
}

static bool engine_lane_fits(const lm_lane *lane, const lm_lane_need *need)
{
    return lane->size.rows >= need->rows && lane->size.out >= need->out && lane->size.slots >= need->slots && lane->size.pages >= need->pages;
}

static void engine_lane_close(llm_engine *engine, lm_lane *lane)
{
    if (lane->arena)
        lane->backend->table->arena_close(lane->backend, lane->arena);
    lm_mem_free(&engine->host.mem, lane->tables);
    lane->arena = NULL;
    lane->exec = NULL;
    lane->tables = NULL;
    lane->size = (lm_lane_need){ 0, 0, 0, 0 };
}

/* The old arena goes first: the most that is held counts, and the lane is empty if there is no memory. */
static llm_status engine_lane_open(llm_engine *engine, lm_lane *lane, lm_backend *backend, const lm_exec *exec, const lm_lane_need *need,
                                   llm_error *error)
{
    lm_lane_need size = *need;
    if (lane->exec == exec) {                               /* it grows in every direction, so that sizes settle */
        size.rows = LM_MAX(size.rows, lane->size.rows);
        size.out = LM_MAX(size.out, lane->size.out);
        size.slots = LM_MAX(size.slots, lane->size.slots);
        size.pages = LM_MAX(size.pages, lane->size.pages);
    }
    engine_lane_close(engine, lane);
    uint64_t bytes = lm_lane_tables_bytes(&size);
    lane->tables = lm_mem_new(&engine->host.mem, (size_t)bytes, LLM_MEMORY_ARENA);
    if (!lane->tables)
        return lm_fail_memory(error, "the tables of a pass", (size_t)bytes);
    llm_status status = backend->table->arena_open(backend, exec, size.rows, size.out, size.slots, size.pages, &lane->arena, error);
    if (status < 0) {
        lane->arena = NULL;
        engine_lane_close(engine, lane);
        return status;
    }
    lane->backend = backend;
    lane->exec = exec;
    lane->size = size;
    engine_lane_layout(&size, lane, lane->tables);
    return LLM_OK;
}

llm_status lm_engine_take_lane(llm_engine *engine, lm_backend *backend, const lm_exec *exec, const lm_lane_need *need, lm_lane **out,
                               llm_error *error)
{
    lm_lane *best = NULL;
    int best_rank = 0;
    lm_mutex_lock(&engine->lock);
    for (int32_t i = 0; i < engine->n_arenas && best_rank < 4; i++) {
        lm_lane *lane = &engine->lanes[i];
        if (lane->taken)
            continue;
        int rank = lane->exec == exec ? (engine_lane_fits(lane, need) ? 4 : 3) : lane->exec == NULL ? 2 : 1;
        if (rank > best_rank) {
            best = lane;
            best_rank = rank;
        }
    }
    if (best)
        best->taken = true;
    lm_mutex_unlock(&engine->lock);
    if (!best)
        return LLM_MORE;
    if (best_rank < 4) {
        llm_status status = engine_lane_open(engine, best, backend, exec, need, error);
        if (status < 0) {
            lm_engine_give_lane(engine, best);
            return status;
        }
    }
    *out = best;
    return LLM_OK;
}

void lm_engine_give_lane(llm_engine *engine, lm_lane *lane)
{
    lm_mutex_lock(&engine->lock);
    lane->taken = false;
    lm_mutex_unlock(&engine->lock);
    atomic_fetch_add(&engine->lanes_given, 1);
    lm_unpark_all(&engine->lanes_given);
}

void lm_engine_close_lanes(llm_engine *engine, const lm_exec *exec)
{
    for (int32_t i = 0; exec && i < engine->n_arenas; i++) {
        lm_lane *lane = &engine->lanes[i];
        lm_mutex_lock(&engine->lock);
        bool ours = !lane->taken && lane->exec == exec;
        lane->taken = lane->taken || ours;                  /* closed without the lock: a device may still be at work in it */
        lm_mutex_unlock(&engine->lock);
        if (!ours)
            continue;
        engine_lane_close(engine, lane);
        lm_engine_give_lane(engine, lane);
    }
}

bool lm_engine_close_lane(llm_engine *engine)
{
    for (int32_t i = 0; i < engine->n_arenas; i++) {
        lm_lane *lane = &engine->lanes[i];
        lm_mutex_lock(&engine->lock);
        bool idle = !lane->taken && lane->arena;
        lane->taken = lane->taken || idle;
        lm_mutex_unlock(&engine->lock);
        if (!idle)
            continue;
        engine_lane_close(engine, lane);
        lm_engine_give_lane(engine, lane);
        return true;
    }
    return false;
}
