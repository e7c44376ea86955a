/* SPDX-License-Identifier: MIT
 * The Vulkan backend on a driver that computes nothing: every object is given back, every range lies in its buffer, and when the n-th call
 * fails, for every n, a status with a message comes of it and nothing is leaked. The plan's barriers: a missing one is found. Where a real
 * driver is, every 50th of its calls fails too. */
#include "little.h"

#include "vulkan_null.h"

/* The inside, for the plan: its own header, as this folder's other tests have little.h. */
#include "backend/vulkan/vulkan.h"

static const char *null_what;                               /* for messages */

/* Everything from opening a backend to a pass of a prompt, a second one of single rows, pages out and in. */
static llm_status null_all(little *m, bool real, llm_error *error)
{
    lm_vulkan_desc desc = { .get_proc = null_get_proc, .allow_software = real, .trust = true, .max_slab = 1 << 16, .max_range = 1 << 16 };
    enum { TOKENS = 7 };
    lm_backend *backend = NULL;
    little_rig rig = { 0 };
    llm_token tokens[TOKENS];
    uint32_t n = TOKENS - 3, one = 1;
    little_tokens(m, tokens, TOKENS, 1);
    LM_TRY(lm_vulkan_backend_open(&m->host, &desc, &backend, error));
    llm_status status = little_rig_open(&rig, m, backend, LLM_STATE_TYPE_F16, TOKENS, 1, 8, 3, error);
    if (status == LLM_OK) {
        little_session session, *sessions[1] = { &session };
        const lm_backend_table *t = backend->table;
        int64_t compiles = null_vk.compiles;
        little_session_open(&session, m, tokens, TOKENS);
        status = little_pass(&rig, rig.arena, sessions, &n, 1, -1, NULL, error);
        if (status == LLM_OK)
            status = little_pass(&rig, rig.arena, sessions, &one, 1, -1, NULL, error);
        /* In the air: left there, begun anew in the same arena, and looked at until it has landed. */
        little_no_wait = little_leaves = true;
        null_vk.lag = 2;
        if (status == LLM_OK && null_vk.hang_after == 0) { /* what hangs is looked at for two minutes */
            int64_t sleeps = null_vk.sleeps, submits = null_vk.submits;
            status = little_pass(&rig, rig.arena, sessions, &one, 1, -1, NULL, error);
            CHECK_MSG(status < 0 || (status == LLM_MORE && null_vk.air == 1 && null_vk.submits == submits + 1), "%s: %d, %d in the air", null_what, status, (int)null_vk.air);
            little_leaves = false;
            if (status == LLM_MORE)
                status = little_pass(&rig, rig.arena, sessions, &one, 1, -1, NULL, error);
            CHECK_MSG(null_vk.sleeps == sleeps && (status < 0 || null_vk.air == 0), "%s: %d waits", null_what, (int)(null_vk.sleeps - sleeps));
        }
        little_leaves = true;
        if (status == LLM_OK && (status = little_pass(&rig, rig.arena, sessions, &one, 1, -1, NULL, error)) == LLM_MORE)    /* and what follows does it under way */
            status = LLM_OK;
        little_no_wait = little_leaves = false;
        CHECK_MSG(null_vk.compiles == compiles, "%s: %d pipelines were made in the middle of passes", null_what, (int)(null_vk.compiles - compiles));
        uint64_t bytes = t->pool_page_bytes(backend, rig.pool, 0);
        uint8_t *page = calloc(1, (size_t)bytes);
        if (status == LLM_OK)
            status = t->page_export(backend, rig.pool, 0, session.pages[0][0], page, error);
        if (status == LLM_OK)
            status = t->page_import(backend, rig.pool, 0, session.pages[0][0], page, error);
        uint32_t other = 0;
        if (status == LLM_OK && (status = t->page_take(backend, rig.pool, 0, &other, error)) == LLM_OK) {
            status = t->page_copy(backend, rig.pool, 0, session.pages[0][0], other, error);
            t->page_give(backend, rig.pool, 0, other);
        }
        free(page);
        uint8_t *cache = NULL;
        size_t n_cache = 0;
        if (status == LLM_OK)
            status = t->cache_get(backend, NULL, 0, &n_cache, error);
        cache = malloc(n_cache + 1);
        if (status == LLM_OK)
            status = t->cache_get(backend, cache, n_cache, &n_cache, error);
        if (status == LLM_OK)
            status = t->cache_put(backend, cache, n_cache, error);
        free(cache);
        little_session_close(&rig, &session);
    }
    little_rig_close(&rig);
    null_vk.lag = 0;
    CHECK_MSG(null_vk.air == 0 || null_vk.hang_after > 0, "%s: %d are still in the air", null_what, (int)null_vk.air);
    return status;
}

/* step 1: every call in turn. Returns how many calls a whole pass takes. */
static int64_t null_failures(little *m, bool real, int64_t step)
{
    uint64_t before = atomic_load(&m->host.mem.used);
    int n_optional = 0;
    for (null_vk.fail_at = -1;; null_vk.fail_at = null_vk.fail_at < 0 ? 0 : null_vk.fail_at + step) {      /* first without a failure */
        llm_error error;
        null_vk.calls = 0;
        null_vk.failed = "no call";
        memset(&error, 0, sizeof error);
        llm_status status = null_all(m, real, &error);
        bool reached = null_vk.fail_at < 0 || null_vk.calls > null_vk.fail_at;
        /* Then nothing is known to be there; or a smaller slab is tried. */
        bool optional = !null_vk.onwards && (strcmp(null_vk.failed, "EnumerateDeviceExtensionProperties") == 0 || strcmp(null_vk.failed, "CreateBuffer") == 0 ||
                                             strcmp(null_vk.failed, "AllocateMemory") == 0 || strcmp(null_vk.failed, "BindBufferMemory") == 0 ||
                                             strcmp(null_vk.failed, "GetQueryPoolResults") == 0);
        if (optional && reached)
            n_optional += status == LLM_OK;
        else if (null_vk.fail_at < 0 || !reached)
            CHECK_MSG(status == LLM_OK, "%s, call %d (%s): %s", null_what, (int)null_vk.fail_at, null_vk.failed, error.message);
        else
            CHECK_MSG(status < 0 && error.status == status && error.message_len > 0, "%s, call %d (%s): status %d", null_what, (int)null_vk.fail_at, null_vk.failed, status);
        CHECK_MSG(null_vk.objects == 0, "%s, call %d (%s): %d objects are left", null_what, (int)null_vk.fail_at, null_vk.failed, (int)null_vk.objects);
        if (!CHECK_MSG(atomic_load(&m->host.mem.used) == before && null_vk.faults == 0, "%s, call %d (%s): %s", null_what, (int)null_vk.fail_at, null_vk.failed, error.message))
            break;
        if (!reached)
            break;
    }
    CHECK_MSG(real || n_optional <= null_vk.calls / 4, "%d of %d calls failed without a status", n_optional, (int)null_vk.calls);
    return null_vk.calls;
}

/* The n-th wait ends without the device having ended: nothing is destroyed any more, a status says so, and the host's memory is all back. */
static void null_hangs(little *m)
{
    uint64_t before = atomic_load(&m->host.mem.used);
    int n = 0;
    null_vk.fail_at = -1;
    for (null_vk.hang_after = 1;; null_vk.hang_after++, n++) {
        llm_error error;
        null_vk.waits = 0;
        llm_status status = null_all(m, false, &error);
        bool hung = null_vk.waits > null_vk.hang_after;
        CHECK_MSG(status == (hung ? LLM_E_DEVICE_LOST : LLM_OK), "wait %d: %d", (int)null_vk.hang_after, status);
        CHECK_MSG((null_vk.objects > 0) == hung, "wait %d: %d objects are left", (int)null_vk.hang_after, (int)null_vk.objects);
        null_sweep();
        if (!CHECK_MSG(atomic_load(&m->host.mem.used) == before && null_vk.faults == 0, "wait %d", (int)null_vk.hang_after) || !hung)
            break;
    }
    CHECK_MSG(n > 3, "%d waits", n);
    printf("%d waits hung in turn\n", n);
    null_vk.hang_after = 0;
}

/* Plans of a prompt and of single rows: no hazard as they are, and one wherever a barrier is taken away that is needed. */
static void null_barriers(little *m, uint32_t counts[2])
{
    lm_vulkan_desc desc = { .get_proc = null_get_proc, .trust = true };
    lm_backend *backend = NULL;
    little_rig rig = { 0 };
    llm_error error;
    null_vk.fail_at = -1;
    if (!CHECK_MSG(lm_vulkan_backend_open(&m->host, &desc, &backend, &error) == LLM_OK, "%s", error.message))
        return;
    if (CHECK_MSG(little_rig_open(&rig, m, backend, LLM_STATE_TYPE_F16, 20, 1, 8, 3, &error) == LLM_OK, "%s", error.message)) {
        uint32_t page;
        for (uint32_t c = 0; c < m->program->n_page_classes; c++)
            CHECK(backend->table->page_take(backend, rig.pool, c, &page, &error) == LLM_OK);
        for (uint32_t rows = 1; rows <= 20; rows += 19) {
            lm_vk_arena *arena = (lm_vk_arena *)rig.arena;
            lm_vk_plan plan = { .vk = (lm_vk *)backend, .exec = (lm_vk_exec *)rig.exec, .pool = (lm_vk_pool *)rig.pool, .arena = arena, .n_rows = { rows, rows }, .n_slots = 1, .keys = rows, .deepest = 300,
                                .dispatches = arena->dispatches, .cap = arena->max_dispatches };
            uint32_t n_barriers = 0, found = 0;
            CHECK_MSG(lm_vk_plan_make(&plan, &error) == LLM_OK, "%s", error.message);
            CHECK(lm_vk_plan_hazard(plan.dispatches, plan.n) == UINT32_MAX);
            for (uint32_t i = 0; i < plan.n; i++)
                if (plan.dispatches[i].barrier) {
                    n_barriers++;
                    plan.dispatches[i].barrier = 0;
                    found += lm_vk_plan_hazard(plan.dispatches, plan.n) == i;
                    plan.dispatches[i].barrier = 1;
                }
            CHECK_MSG(n_barriers > 0 && found == n_barriers, "%u of %u missing barriers were found", found, n_barriers);
            if (rows == 1) {
                counts[0] = plan.n;
                counts[1] = n_barriers;
            }
            printf("%u rows: %u dispatches, %u barriers, %u layers\n", rows, plan.n, n_barriers, m->shape.n_layers);
        }
    }
    little_rig_close(&rig);
}

/* What a layer of one row costs: dispatches and barriers, as docs/VULKAN.md counts them. */
static void null_counts(const char *what, const little_shape *shape, uint32_t dispatches, uint32_t barriers)
{
    uint32_t counts[2][2] = { { 0, 0 }, { 0, 0 } };
    for (uint32_t n = 0; n < 2; n++) {
        little_shape layers = *shape;
        little m;
        layers.n_layers = 2 + n;
        if (CHECK(little_open(&m, &layers, NULL)))
            null_barriers(&m, counts[n]);
        little_close(&m);
    }
    CHECK_MSG(counts[1][0] - counts[0][0] == dispatches && counts[1][1] - counts[0][1] == barriers, "%s: %u dispatches and %u barriers a layer, not %u and %u", what,
              counts[1][0] - counts[0][0], counts[1][1] - counts[0][1], dispatches, barriers);
}

static void null_shape(const little_shape *shape)
{
    little m;
    uint32_t counts[2];
    if (CHECK(little_open(&m, shape, NULL))) {
        null_barriers(&m, counts);
        for (null_vk.onwards = 0; null_vk.onwards < 2; null_vk.onwards++)
            printf("%d calls failed in turn%s\n", (int)null_failures(&m, false, 1), null_vk.onwards ? ", with all after them" : "");
        null_vk.onwards = 0;
        null_hangs(&m);
    }
    little_close(&m);
    CHECK(atomic_load(&m.host.mem.used) == 0);
}

/* The same before a real driver. false: there is none. */
static bool null_real(void)
{
    bool there = false;
    static const char *const names[] = { "libvulkan.so.1", "vulkan-1.dll" };
    lm_library library = { NULL };
    lm_library_function found = NULL;
    little m;
    llm_error error;
    for (size_t i = 0; i < LM_COUNT(names) && !library.handle; i++)
        if (lm_library_open(names[i], &library, &error) < 0)
            library.handle = NULL;
    if (library.handle)
        found = lm_library_find(library, "vkGetInstanceProcAddr");
    memcpy(&null_vk.real, &found, sizeof found);
    null_what = "real driver";
    null_vk.fail_at = -1;
    if (null_vk.real && CHECK(little_open(&m, &little_shapes[2], NULL))) {
        llm_status status = null_all(&m, true, &error);
        there = status != LLM_E_NO_DEVICE;
        if (!there)
            printf("no real driver: %s\n", error.message);
        else
            printf("real driver: %d calls, every 50th failed\n", (int)null_failures(&m, true, 50));
        little_close(&m);
    }
    lm_library_close(library);
    return there;
}

/* vulkan_null [real] */
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "real") == 0) {
        if (!null_real())
            return TEST_SKIP("no Vulkan driver on this machine");
        return TEST_DONE();
    }
    null_what = "null driver";
    null_vk.fail_at = -1;
    static const uint32_t types[6] = { LM_TYPE_Q4_0 };
    little_shape dense = little_shapes[0], experts = little_shapes[3], gemma = little_shapes[4];
    memcpy(dense.types, types, sizeof types);
    memcpy(experts.types, types, sizeof types);
    memcpy(gemma.types, types, sizeof types);
    null_counts("dense", &dense, 8, 6);
    null_counts("experts", &experts, 10, 8);
    null_counts("norms after blocks", &gemma, 10, 8);
    null_shape(&little_shapes[0]);
    null_shape(&little_shapes[2]);
    null_shape(&little_shapes[5]);
    return TEST_DONE();
}
