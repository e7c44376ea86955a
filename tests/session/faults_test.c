/* SPDX-License-Identifier: MIT
 * Everything fails once. A whole life - engine, model with its pack, prompt, reply, save, restore, both go on, free - in which the n-th
 * allocation, read, write, look at a clock, thread or Vulkan call fails, for every n: that one alone, or all from it on until somebody mends the machine.
 * Each time a status and no leak; tried again it works; and what is said is always the same. Calls that are interrupted or do half
 * of what was asked are no failure at all.
 *
 * The system's calls are caught by the linker (--wrap, see CMakeLists.txt), the driver is tests/backend/vulkan_null.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include "../api/tiny.h"

#if TEST_VULKAN
#include "../backend/vulkan_null.h"
#endif

#include "session/engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- what fails ----------------------------------------------------------------------------------------------------------- */

enum { NOTHING, MEMORY, READS, WRITES, CLOCKS, THREADS, HICCUPS, VULKAN, N_KINDS };
static const char *const kind_names[N_KINDS] = { "nothing", "an allocation", "a read", "a write", "a clock", "a thread or lock", "an interrupted or short call", "a Vulkan call" };

static struct { int kind, onwards; _Atomic int armed; _Atomic long long calls, fail_at; } fault;

/* The number of this call, from 1, if it is to fail, else 0. */
static long long fails(int kind)
{
    if (kind != fault.kind || !atomic_load(&fault.armed))
        return 0;
    long long call = atomic_fetch_add(&fault.calls, 1) + 1, at = atomic_load(&fault.fail_at);
    return at && (call == at || (fault.onwards && call > at)) ? call : 0;
}

static void mend(void)
{
    atomic_store(&fault.armed, 0);
#if TEST_VULKAN
    null_vk.fail_at = -1;
#endif
}

static int fails_with(int kind, int a, int b)
{
    long long call = fails(kind);
    if (call)
        errno = call % 2 ? a : b;
    return call != 0;
}

/* WRAP(result, name, parameters, arguments, and what may be done instead): the linker sends calls of name here. */
#define WRAP(result, name, parameters, arguments, ...)          \
    result __real_##name parameters;                            \
    result __wrap_##name parameters;                            \
    result __wrap_##name parameters                             \
    {                                                           \
        __VA_ARGS__;                                            \
        return __real_##name arguments;                         \
    }
#define WRAP_BOTH(result, name, parameters, arguments, ...) WRAP(result, name, parameters, arguments, __VA_ARGS__) WRAP(result, name##64, parameters, arguments, __VA_ARGS__)

#define OPENED (flags & (O_WRONLY | O_RDWR) ? WRITES : READS)
WRAP_BOTH(int, open, (const char *path, int flags, unsigned mode), (path, flags, mode), {
    if (fails_with(OPENED, EACCES, OPENED == WRITES ? ENOSPC : EMFILE) || fails_with(HICCUPS, EINTR, EINTR))
        return -1;
})
#define PIECE                                                       \
    long long hiccup = fails(HICCUPS);                              \
    if (hiccup % 2)                                                 \
        return errno = EINTR, -1;                                   \
    if (hiccup && n > 1)                                            \
        n /= 2;
WRAP_BOTH(ssize_t, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at), { PIECE if (fails_with(READS, EIO, ESTALE)) return -1; })
WRAP_BOTH(ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at), { PIECE if (fails_with(WRITES, ENOSPC, EIO)) return -1; })
WRAP(ssize_t, read, (int fd, void *to, size_t n), (fd, to, n), { if (fails_with(READS, EIO, EINTR)) return -1; })
WRAP_BOTH(int, fstat, (int fd, struct stat *info), (fd, info), { if (fails_with(READS, EIO, ESTALE)) return -1; })
WRAP_BOTH(void *, mmap, (void *at, size_t n, int protection, int flags, int fd, off_t offset), (at, n, protection, flags, fd, offset), {
    if (fails_with(READS, ENOMEM, ENODEV))
        return MAP_FAILED;
})
/* Not done: nothing here is about what a disk keeps when the power goes. */
WRAP(int, fsync, (int fd), (fd), { return fails_with(WRITES, EIO, ENOSPC) ? -1 : fcntl(fd, F_GETFD) < 0 ? -1 : 0; })
WRAP(int, rename, (const char *from, const char *to), (from, to), { if (fails_with(WRITES, EACCES, ENOSPC)) return -1; })
WRAP(int, clock_gettime, (clockid_t which, struct timespec *out), (which, out), { if (fails_with(CLOCKS, EINVAL, EPERM)) return -1; })
WRAP(int, pthread_create, (pthread_t *out, const pthread_attr_t *with, void *(*body)(void *), void *arg), (out, with, body, arg), { if (fails(THREADS)) return EAGAIN; })
WRAP(int, pthread_attr_init, (pthread_attr_t *with), (with), { if (fails(THREADS)) return ENOMEM; })
WRAP(int, pthread_mutex_init, (pthread_mutex_t *mutex, const pthread_mutexattr_t *with), (mutex, with), { if (fails(THREADS)) return ENOMEM; })

static _Atomic long long blocks;
static void *fault_allocate(void *user, size_t size, size_t align, int32_t kind)
{
    void *p = NULL;
    (void)user, (void)kind;
    if (fails(MEMORY) || posix_memalign(&p, align < sizeof p ? sizeof p : align, size) != 0)
        return NULL;
    memset(p, 0xa5, size);
    atomic_fetch_add(&blocks, 1);
    return p;
}
static void fault_release(void *user, void *ptr, size_t size, size_t align, int32_t kind)
{
    (void)user, (void)size, (void)align, (void)kind;
    atomic_fetch_sub(&blocks, 1);
    free(ptr);
}

/* ---- a life ------------------------------------------------------------------------------------------------------------------ */

static const tiny_shape shape = { 2, 16, 32, 2, 1, 256, 300, 5, 0 };
static char folder[] = "/tmp/llm-faults-XXXXXX", model_path[64], pack_path[64], saved_path[64];

typedef struct life {
    llm_engine *engine;
    llm_model *model;
    llm_session *first, *second;
    llm_error error;
    int n_failed, lost, afresh;             /* statuses so far; the device is lost; times that all began anew */
} life;

/* What a call has answered: 1: make it again. It may fail once, with what a failing machine explains; from then on: until it is mended,
 * which is when it has failed twice. */
static int again(life *l, llm_status status, const char *call, int *tries)
{
    const llm_error *e = &l->error;
    if (status >= 0)
        return 0;
    l->n_failed++;
    l->lost = fault.kind == VULKAN && (status == LLM_E_DEVICE_LOST || status == LLM_E_NO_DEVICE);
    CHECK_MSG(e->status == status && e->message[0] && strlen(e->message) == e->message_len, "%s: %d with '%s'", call, status, e->message);
    CHECK_MSG(status == LLM_E_MEMORY || status == LLM_E_IO || status == LLM_E_LIMIT || l->lost, "%s, %s %lld: %s: %s", call, kind_names[fault.kind],
              (long long)atomic_load(&fault.fail_at), llm_status_name(status), e->message);
    if (l->lost || !CHECK_MSG(*tries <= fault.onwards, "%s: %s %lld: the machine works again, but: %s", call, kind_names[fault.kind], (long long)atomic_load(&fault.fail_at), e->message))
        return 0;
    if ((*tries)++ == 1)
        mend();
    return 1;
}
#define TRY(call)                                                       \
    do {                                                                \
        int tries_ = 0;                                                 \
        while (again(l, status = (call), #call, &tries_))               \
            ;                                                           \
        if (status < 0)                                                 \
            return status;                                              \
    } while (0)

/* Takes in all that is pending, then says n tokens more, whatever happens on the way. */
static llm_status life_say(life *l, llm_session *s, size_t n)
{
    llm_status status;
    size_t goal = llm_session_n_tokens(s) + n;
    for (int tries = 0;;) {
        llm_generate_desc reply = LLM_INIT(llm_generate_desc);
        reply.max_tokens = (int32_t)(goal - llm_session_n_tokens(s));
        reply.flags = LLM_GENERATE_IGNORE_END;
        if (reply.max_tokens > 0)
            TRY(llm_session_generate(s, &reply, &l->error));
        status = tiny_drain(s, 300, &l->error);
        if (!again(l, status, "step", &tries))
            return status < 0 ? status : llm_session_n_tokens(s) == goal ? LLM_OK : LLM_E_INTERNAL;
        CHECK(llm_session_state(s) < 0);
        TRY(llm_session_rewind(s, llm_session_n_tokens(s), &l->error));
    }
}

static llm_status life_of(life *l, uint64_t *hash)
{
    static const llm_allocator allocator = { .struct_size = sizeof allocator, .allocate = fault_allocate, .release = fault_release };
    llm_engine_desc desc = LLM_INIT(llm_engine_desc);
    llm_vulkan gpu = LLM_INIT(llm_vulkan);
    llm_model_desc with = LLM_INIT(llm_model_desc);
    llm_token tokens[30];
    llm_status status;
    desc.allocator = &allocator;
    desc.n_threads = fault.kind == VULKAN ? 1 : 3;
    desc.n_chunk = 16;
    with.pack = pack_path;
    with.pack_len = LLM_NUL;
#if TEST_VULKAN
    if (fault.kind == VULKAN) {
        gpu.get_proc = null_get_proc;
        desc.flags = LLM_ENGINE_GPUS;
        desc.vulkan = &gpu;
        with.device = 2;
        with.n_device_layers = LLM_ALL_LAYERS;
    }
#endif
    (void)gpu;
    TRY(llm_engine_create(LLM_ABI, &desc, &l->engine, &l->error));
    l->engine->devices.desc.trust = true;                   /* a driver that computes nothing passes no self-test */
    TRY(llm_model_load(l->engine, model_path, LLM_NUL, &with, &l->model, &l->error));
    TRY(llm_session_create(l->model, NULL, &l->first, &l->error));
    TRY(llm_session_append_text(l->first, "hello world", LLM_NUL, 0, &l->error));
    tiny_tokens(tokens, 30, shape.n_vocab, 4);
    TRY(llm_session_append(l->first, tokens, 30, 0, &l->error));
    if ((status = life_say(l, l->first, 6)) < 0)
        return status;
    TRY(llm_session_save(l->first, saved_path, LLM_NUL, NULL, &l->error));
    TRY(llm_session_create(l->model, NULL, &l->second, &l->error));
    TRY(llm_session_restore(l->second, saved_path, LLM_NUL, LLM_RESTORE_NEED_STATE, &l->error));
    *hash = 1;
    for (int i = 0; i < 2; i++) {
        llm_session *s = i ? l->second : l->first;
        const llm_token *all;
        size_t n;
        if ((status = life_say(l, s, 4)) < 0)
            return status;
        TRY(llm_session_rewind(s, llm_session_n_tokens(s), &l->error));
        if ((status = life_say(l, s, 0)) < 0)               /* the last one's logits */
            return status;
        TRY(llm_session_tokens(s, &all, &n, &l->error));
        *hash = tiny_hash(all, n * sizeof *all, *hash) ^ tiny_logits_hash(s);
    }
    return LLM_OK;
}

static void life_end(life *l)
{
    llm_engine_free(l->engine);             /* in no order */
    llm_session_free(l->second);
    llm_model_free(l->model);
    llm_session_free(l->first);
    l->engine = NULL;
    l->model = NULL;
    l->first = l->second = NULL;
}

/* Files in the folder beside the three that may be there. */
static int strangers(void)
{
    int n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.' && strcmp(e->d_name, "model") != 0 && strcmp(e->d_name, "pack") != 0 && strcmp(e->d_name, "saved") != 0)
            n++;
    if (dir)
        closedir(dir);
    return n;
}

static uint64_t wanted[2];                  /* what is said: on the CPU, by a driver that computes nothing */

/* The n-th call fails. Returns how many statuses came of it. */
static int live(long long n)
{
    life l = { .n_failed = 0 };
    uint64_t hash = 0;
    llm_status status;
    unlink(pack_path);
    unlink(saved_path);
    atomic_store(&fault.calls, 0);
    atomic_store(&fault.fail_at, n);
    atomic_store(&fault.armed, 1);
#if TEST_VULKAN
    null_vk.calls = 0;
    null_vk.onwards = fault.onwards;
    null_vk.fail_at = fault.kind == VULKAN && n > 0 ? n - 1 : -1;
#endif
    while ((status = life_of(&l, &hash)) < 0 && l.lost && CHECK_MSG(++l.afresh < 4, "lost for the fourth time: %s", l.error.message)) {
        if (l.afresh == 2 || !fault.onwards)
            mend();
        life_end(&l);                       /* a lost device: everything anew */
    }
    CHECK_MSG(status == LLM_OK, "%s %lld: %s", kind_names[fault.kind], n, l.error.message);
    uint64_t *want = &wanted[fault.kind == VULKAN];
    *want = *want ? *want : hash;
    CHECK_MSG(hash == *want, "%s %lld%s, %d statuses: something else was said", kind_names[fault.kind], n, fault.onwards ? " and all after it" : "", l.n_failed);
    life_end(&l);
    mend();
    CHECK_MSG(atomic_load(&blocks) == 0, "%s %lld: %lld blocks leak", kind_names[fault.kind], n, (long long)atomic_load(&blocks));
    atomic_store(&blocks, 0);
    CHECK_MSG(strangers() == 0, "%s %lld: files are left", kind_names[fault.kind], n);
#if TEST_VULKAN
    CHECK_MSG(null_vk.objects == 0 && null_vk.faults == 0, "%s %lld (%s): %d objects are left", kind_names[fault.kind], n, null_vk.failed, (int)null_vk.objects);
#endif
    return l.n_failed;
}

static long long calls_made(void)
{
#if TEST_VULKAN
    if (fault.kind == VULKAN)
        return null_vk.calls;
#endif
    return atomic_load(&fault.calls);
}

static void test_kind(int kind)
{
    enum { MOST = 20000 };
    fault.kind = kind;
    for (fault.onwards = 0; fault.onwards < (kind == HICCUPS ? 1 : 2); fault.onwards++) {
        long long n = 0, n_statuses = 0;
        live(0);
        for (n = 1; n < MOST && test_failures < 20; n++) {
            n_statuses += live(n);
            if (calls_made() < n)
                break;
        }
        CHECK_MSG(n < MOST && n > 5, "%s: %lld lives", kind_names[kind], n);
        printf("%s%s: %lld lives, %lld statuses\n", kind_names[kind], fault.onwards ? " and all after it" : "", n - 1, n_statuses);
        CHECK(kind == HICCUPS || kind == CLOCKS ? n_statuses == 0 : n_statuses > 3);
    }
}

int main(void)
{
    static const int kinds[] = { MEMORY, READS, WRITES, CLOCKS, THREADS, HICCUPS };
    tiny_file file = tiny_make(&shape);
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct timespec old[2] = { { 1000000000, 5 }, { 1000000000, 5 } };      /* so that packs trust its time */
    if (!mkdtemp(folder))
        return TEST_SKIP("no folder can be made in /tmp");
    snprintf(model_path, sizeof model_path, "%s/model", folder);
    snprintf(pack_path, sizeof pack_path, "%s/pack", folder);
    snprintf(saved_path, sizeof saved_path, "%s/saved", folder);
    FILE *out = fopen(model_path, "wb");
    CHECK(out && fwrite(file.data, 1, file.size, out) == file.size && fclose(out) == 0 && utimensat(AT_FDCWD, model_path, old, 0) == 0);
    mend();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        test_kind(kinds[i]);
#if TEST_VULKAN
    test_kind(VULKAN);
#endif
    unlink(model_path);
    unlink(pack_path);
    unlink(saved_path);
    CHECK(rmdir(folder) == 0);
    free(file.data);
    return TEST_DONE();
}
