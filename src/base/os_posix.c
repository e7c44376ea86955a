/* SPDX-License-Identifier: MIT
 * The clock, the cores, memory and files of POSIX systems; os_windows.c is the other half. Files are read with pread, so that one that
 * shrinks under us is a status and not a signal; what is mapped is what the caller of lm_file_map answers for. */
#if !defined(_WIN32)
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "base/os.h"

#include "base/compiler.h"
#include "base/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { OS_PATH_MAX = 4096 };

int rename(const char *from, const char *to);               /* POSIX has it in the header of stdio, which is not for us */

#if defined(MADV_HUGEPAGE)
static void os_want_huge_pages(void *ptr, size_t size) { madvise(ptr, size, MADV_HUGEPAGE); }
#else
static void os_want_huge_pages(void *ptr, size_t size) { (void)ptr, (void)size; }
#endif

void *lm_os_allocate(size_t size, size_t align)
{
    void *ptr = NULL;
    int saved = errno, failed = posix_memalign(&ptr, align < sizeof(void *) ? sizeof(void *) : align, size);
    if (!failed && size >= (size_t)4 << 20)
        os_want_huge_pages(ptr, size & ~(size_t)4095);
    errno = saved;
    return failed ? NULL : ptr;
}

void lm_os_release(void *ptr) { free(ptr); }

int64_t lm_now_ns(void)
{
    struct timespec now = { 0, 0 };
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t lm_os_wall_ns(void)
{
    struct timespec now = { 0, 0 };
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t lm_os_process(void) { return (uint64_t)getpid(); }

/* ---- files */

/* strerror depends on the locale and may not be thread-safe. */
static const char *os_error_text(int code)
{
    switch (code) {
    case ENOENT: return "no such file";
    case ENOTDIR: return "a part of the path is no directory";
    case EACCES:
    case EPERM: return "permission denied";
    case ENAMETOOLONG: return "the name is too long";
    case EMFILE:
    case ENFILE: return "too many open files";
    case ELOOP: return "too many symbolic links";
    case EIO: return "input/output error of the device";
    case EBADF: return "not an open descriptor";
    case EISDIR: return "it is a directory";
    case ENOMEM: return "no room in the address space";
    case ENXIO:
    case ENODEV: return "no such device";
    case ESPIPE: return "it cannot be read at an offset";
    case ESTALE: return "the file is gone from its server";
    case ENOSPC: return "no space is left on the device";
    case EDQUOT: return "the user's share of the disk is used up";
    case EFBIG: return "the file would pass the greatest size allowed";
    case EROFS: return "the file system is read-only";
    case EEXIST: return "something stands there already";
    default: return "the system refused";
    }
}

static llm_status os_path(const char *path, size_t len, char name[OS_PATH_MAX], llm_error *error)
{
    if (!path || len == 0)
        return lm_fail(error, LLM_E_INVALID, "the path is empty");
    if (memchr(path, 0, len))
        return lm_fail(error, LLM_E_INVALID, "the path holds a NUL byte");
    if (len >= OS_PATH_MAX)
        return lm_fail_at(error, LLM_E_IO, path, len, UINT64_MAX, "cannot open a path of %zu bytes: at most %d are possible", len, OS_PATH_MAX - 1);
    memcpy(name, path, len);
    name[len] = 0;
    return LLM_OK;
}

llm_status lm_file_open(const char *path, size_t len, lm_file *out, llm_error *error)
{
    char name[OS_PATH_MAX];
    struct stat info;
    int fd, saved = errno;
    LM_TRY(os_path(path, len, name, error));
    do
        fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);  /* a FIFO must not make us wait */
    while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        int code = errno;
        errno = saved;
        return lm_fail_at(error, code == ENOENT || code == ENOTDIR ? LLM_E_NOT_FOUND : LLM_E_IO, path, len, UINT64_MAX, "cannot open '%s': %s (error %d)", name,
                          os_error_text(code), code);
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        errno = saved;
        return lm_fail_at(error, LLM_E_IO, path, len, UINT64_MAX, "cannot read '%s': not a regular file%s", name,
                          S_ISDIR(info.st_mode) ? " but a directory" : "");
    }
    out->handle = fd;
    return LLM_OK;
}

llm_status lm_file_size(lm_file file, uint64_t *out, llm_error *error)
{
    struct stat info;
    int saved = errno, code = 0;
    if (file.handle < 0 || file.handle > INT32_MAX)
        return lm_fail(error, LLM_E_INVALID, "%lld is no file descriptor", (long long)file.handle);
    if (fstat((int)file.handle, &info) != 0)
        code = errno;
    errno = saved;
    if (code)
        return lm_fail(error, LLM_E_IO, "cannot ask for the size of descriptor %d: %s (error %d)", (int)file.handle, os_error_text(code), code);
    if (!S_ISREG(info.st_mode))
        return lm_fail(error, LLM_E_IO, "descriptor %d is not a regular file", (int)file.handle);
    *out = (uint64_t)info.st_size;
    return LLM_OK;
}

llm_status lm_file_read(lm_file file, uint64_t offset, void *out, size_t n, llm_error *error)
{
    int saved = errno;
    char *to = out;
    while (n > 0) {
        size_t want = LM_MIN(n, (size_t)1 << 30);
        ssize_t got = offset > INT64_MAX ? 0 : pread((int)file.handle, to, want, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int code = errno;
            errno = saved;
            return lm_fail_at(error, LLM_E_IO, NULL, 0, offset, "cannot read %zu bytes at byte %llu: %s (error %d)", n, (unsigned long long)offset, os_error_text(code),
                              code);
        }
        if (got == 0)
            return lm_fail_at(error, LLM_E_IO, NULL, 0, offset, "the file ends at byte %llu where %zu more bytes were expected: it became shorter while being read",
                              (unsigned long long)offset, n);
        to += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    errno = saved;
    return LLM_OK;
}

void lm_file_close(lm_file file)
{
    int saved = errno;
    close((int)file.handle);
    errno = saved;
}

/* A file may bear any time: those further than 285 years from 1970 count as that far. */
static int64_t os_stamp_of(int64_t seconds, int64_t ns) { return LM_MAX(LM_MIN(seconds, INT64_C(9000000000)), -INT64_C(9000000000)) * 1000000000 + ns; }
#if defined(__APPLE__)
static int64_t os_stamp(const struct stat *info) { return os_stamp_of(info->st_mtimespec.tv_sec, info->st_mtimespec.tv_nsec); }
#else
static int64_t os_stamp(const struct stat *info) { return os_stamp_of(info->st_mtim.tv_sec, info->st_mtim.tv_nsec); }
#endif

llm_status lm_file_stamp(lm_file file, int64_t *out, llm_error *error)
{
    struct stat info;
    int saved = errno, code = 0;
    if (fstat((int)file.handle, &info) != 0)
        code = errno;
    errno = saved;
    if (code)
        return lm_fail(error, LLM_E_IO, "cannot ask for the time of descriptor %d: %s (error %d)", (int)file.handle, os_error_text(code), code);
    *out = os_stamp(&info);
    return LLM_OK;
}

llm_status lm_file_map(lm_file file, uint64_t n, const void **out, llm_error *error)
{
    int saved = errno, code;
    void *bytes;
    if (n > SIZE_MAX)
        return lm_fail(error, LLM_E_LIMIT, "a file of %llu bytes cannot be mapped into this process", (unsigned long long)n);
    bytes = mmap(NULL, (size_t)n, PROT_READ, MAP_SHARED, (int)file.handle, 0);
    code = errno;
    errno = saved;
    if (bytes == MAP_FAILED)
        return lm_fail(error, LLM_E_IO, "cannot map %llu bytes: %s (error %d)", (unsigned long long)n, os_error_text(code), code);
    *out = bytes;
    return LLM_OK;
}

void lm_file_unmap(const void *bytes, uint64_t n)
{
    int saved = errno;
    munmap((void *)(uintptr_t)bytes, (size_t)n);
    errno = saved;
}

/* ---- files that are written */

static llm_status os_fail_path(llm_error *error, const char *what, const char *name, int code)
{
    return lm_fail_at(error, code == EEXIST ? LLM_E_STATE : code == ENOENT || code == ENOTDIR ? LLM_E_NOT_FOUND : LLM_E_IO, name, strlen(name), UINT64_MAX,
                      "cannot %s '%s': %s (error %d)", what, name, os_error_text(code), code);
}

llm_status lm_file_create(const char *path, size_t len, bool read_only, lm_file *out, llm_error *error)
{
    char name[OS_PATH_MAX];
    int fd, saved = errno, code;
    LM_TRY(os_path(path, len, name, error));
    do
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, read_only ? 0444 : 0666);
    while (fd < 0 && errno == EINTR);
    code = errno;
    errno = saved;
    if (fd < 0)
        return os_fail_path(error, "create", name, code);
    out->handle = fd;
    return LLM_OK;
}

/* Beyond the process's limit a write is a signal, SIGXFSZ, which kills a host that does not expect it. */
static bool os_file_may_grow(uint64_t offset, size_t n)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return true;
    return offset <= limit.rlim_cur && n <= limit.rlim_cur - offset;
}

llm_status lm_file_write(lm_file file, uint64_t offset, const void *data, size_t n, llm_error *error)
{
    int saved = errno, code = n == 0 || os_file_may_grow(offset, n) ? 0 : EFBIG;
    const char *from = data;
    while (n > 0 && !code) {
        size_t want = LM_MIN(n, (size_t)1 << 30);
        ssize_t put = offset > INT64_MAX ? -1 : pwrite((int)file.handle, from, want, (off_t)offset);
        if (put < 0 && offset <= INT64_MAX && errno == EINTR)
            continue;
        if (put <= 0) {
            code = offset > INT64_MAX ? EFBIG : put == 0 ? ENOSPC : errno;
            break;
        }
        from += put;
        n -= (size_t)put;
        offset += (uint64_t)put;
    }
    errno = saved;
    if (code)
        return lm_fail_at(error, LLM_E_IO, NULL, 0, offset, "cannot write %zu bytes at byte %llu: %s (error %d)", n, (unsigned long long)offset, os_error_text(code), code);
    return LLM_OK;
}

llm_status lm_file_sync(lm_file file, llm_error *error)
{
    int saved = errno, failed, code;
    do
        failed = fsync((int)file.handle);
    while (failed && errno == EINTR);
    code = errno;
    errno = saved;
    if (failed)
        return lm_fail(error, LLM_E_IO, "cannot bring what was written to the disk: %s (error %d)", os_error_text(code), code);
    return LLM_OK;
}

/* The new name itself should outlast a loss of power too; where a folder cannot be opened or synced, it is the system's to care. */
static void os_sync_folder(char *name)
{
    char *slash = strrchr(name, '/');
    int fd;
    if (slash)
        slash[slash == name] = 0;
    fd = open(slash ? name : ".", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (fd < 0)
        return;
    (void)!fsync(fd);
    close(fd);
}

llm_status lm_file_rename(const char *from, size_t from_len, const char *to, size_t to_len, llm_error *error)
{
    char name[OS_PATH_MAX], old[OS_PATH_MAX];
    int saved = errno, code = 0;
    LM_TRY(os_path(from, from_len, old, error));
    LM_TRY(os_path(to, to_len, name, error));
    if (rename(old, name) != 0)
        code = errno;
    if (code) {
        errno = saved;
        return os_fail_path(error, "replace", name, code == EEXIST ? EISDIR : code);
    }
    os_sync_folder(name);
    errno = saved;
    return LLM_OK;
}

void lm_file_remove(const char *path, size_t len)
{
    char name[OS_PATH_MAX];
    int saved = errno;
    if (os_path(path, len, name, NULL) == LLM_OK)
        unlink(name);
    errno = saved;
}

/* ---- cores */

#if defined(__linux__)
#include <sched.h>

enum { OS_CPUS = CPU_SETSIZE };

/* A small file of /sys or /proc as text; its length, 0 if it cannot be read. */
static size_t os_read_text(const char *name, char *text, size_t cap)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    text[0] = 0;
    if (fd < 0)
        return 0;
    n = read(fd, text, cap - 1);
    close(fd);
    n = n < 0 ? 0 : n;
    text[n] = 0;
    return (size_t)n;
}

/* Reads digits; moves *at behind them. -1: none there. */
static int64_t os_number(const char **at)
{
    int64_t value = -1;
    while (**at >= '0' && **at <= '9' && value < INT64_MAX / 16)
        value = (value < 0 ? 0 : value) * 10 + (*(*at)++ - '0');
    return value;
}

static int64_t os_cpu_number(int cpu, const char *what)
{
    char name[128], text[64];
    const char *at = text;
    lm_print(name, sizeof name, "/sys/devices/system/cpu/cpu%d/%s", cpu, what);
    return os_read_text(name, text, sizeof text) ? os_number(&at) : -1;
}

/* Takes from `set` all that a list such as "0-7,16" does not name; an unreadable list leaves the set alone. */
static void os_keep_listed(cpu_set_t *set, const char *name)
{
    char text[1024];
    cpu_set_t listed, both;
    const char *at = text;
    if (!os_read_text(name, text, sizeof text))
        return;
    CPU_ZERO(&listed);
    for (;;) {
        int64_t first = os_number(&at), last = first;
        if (first < 0)
            break;
        if (*at == '-') {
            at++;
            last = os_number(&at);
        }
        for (int64_t cpu = first; cpu <= last && cpu < OS_CPUS; cpu++)
            CPU_SET((int)cpu, &listed);
        if (*at != ',')
            break;
        at++;
    }
    CPU_AND(&both, set, &listed);
    if (CPU_COUNT(&both) > 0)
        *set = both;
}

/* ARM tells the relative strength of its cores: the little ones slow a team down more than they help. */
static void os_keep_strong(cpu_set_t *set)
{
    int64_t capacity[OS_CPUS], most = 0;
    for (int cpu = 0; cpu < OS_CPUS; cpu++) {
        capacity[cpu] = CPU_ISSET(cpu, set) ? os_cpu_number(cpu, "cpu_capacity") : -1;
        most = LM_MAX(most, capacity[cpu]);
    }
    for (int cpu = 0; cpu < OS_CPUS; cpu++)
        if (capacity[cpu] >= 0 && capacity[cpu] * 4 < most * 3)
            CPU_CLR(cpu, set);
}

/* A container's share of the time, as whole cores; 0: no bound. */
static int32_t os_quota(void)
{
    char text[64];
    const char *at = text;
    int64_t quota, period;
    if (!os_read_text("/sys/fs/cgroup/cpu.max", text, sizeof text))
        return 0;
    quota = os_number(&at);
    if (quota <= 0 || *at != ' ')
        return 0;
    at++;
    period = os_number(&at);
    return period <= 0 ? 0 : (int32_t)LM_MIN((quota + period - 1) / period, OS_CPUS);
}

int32_t lm_os_cores(void)
{
    cpu_set_t allowed, seen;
    int32_t n = 0, quota;
    int saved = errno;
    CPU_ZERO(&allowed);
    CPU_ZERO(&seen);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        errno = saved;
        return online < 1 ? 1 : (int32_t)online;
    }
    os_keep_listed(&allowed, "/sys/devices/cpu_core/cpus");     /* hybrid x86: the performance cores */
    os_keep_strong(&allowed);
    for (int cpu = 0; cpu < OS_CPUS; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        int64_t first = os_cpu_number(cpu, "topology/thread_siblings_list");    /* the first of a core's threads names it */
        if (first < 0 || first >= OS_CPUS)
            first = cpu;
        n += !CPU_ISSET((int)first, &seen);
        CPU_SET((int)first, &seen);
    }
    quota = os_quota();
    errno = saved;
    n = quota > 0 ? LM_MIN(n, quota) : n;
    return LM_MAX(n, 1);
}
#else
int32_t lm_os_cores(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : (int32_t)online;
}
#endif
#else
typedef int lm_os_posix_is_empty;
#endif
