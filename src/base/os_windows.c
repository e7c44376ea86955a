/* SPDX-License-Identifier: MIT
 * The clock, the cores, memory and files of Windows; os_posix.c is the other half. Paths are UTF-8. */
#if defined(_WIN32)
#include "base/os.h"

#include "base/compiler.h"
#include "base/status.h"

#include <malloc.h>
#include <stdbool.h>
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

enum { OS_PATH_MAX = 4096 };

void *lm_os_allocate(size_t size, size_t align) { return _aligned_malloc(size, align); }
void lm_os_release(void *ptr) { _aligned_free(ptr); }

/* A FILETIME counts tenths of a microsecond since 1601; times further than 285 years from 1970 count as that far. */
static int64_t os_since_1970(FILETIME time)
{
    int64_t since = (int64_t)(((uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime) - 116444736000000000u);
    return LM_MAX(LM_MIN(since, INT64_C(90000000000000000)), -INT64_C(90000000000000000)) * 100;
}

int64_t lm_now_ns(void)
{
    LARGE_INTEGER frequency, now;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    return now.QuadPart / frequency.QuadPart * 1000000000 + now.QuadPart % frequency.QuadPart * 1000000000 / frequency.QuadPart;
}

int64_t lm_os_wall_ns(void)
{
    FILETIME now;
    GetSystemTimeAsFileTime(&now);
    return os_since_1970(now);
}

uint64_t lm_os_process(void) { return GetCurrentProcessId(); }

/* Physical cores of the best efficiency class in this process's group. */
int32_t lm_os_cores(void)
{
    unsigned char bytes[32768];
    DWORD size = sizeof bytes;
    int32_t n = 0;
    BYTE best = 0;
    SYSTEM_INFO system;
    if (GetLogicalProcessorInformationEx(RelationProcessorCore, (void *)bytes, &size))
        for (DWORD at = 0; at < size;) {
            SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX *info = (void *)(bytes + at);
            BYTE class = ((const BYTE *)&info->Processor)[1];   /* EfficiencyClass, which older headers call Reserved */
            if (class > best) {
                best = class;
                n = 0;
            }
            n += class == best;
            at += info->Size;
        }
    if (n > 0)
        return n;
    GetSystemInfo(&system);
    return system.dwNumberOfProcessors < 1 ? 1 : (int32_t)system.dwNumberOfProcessors;
}

static HANDLE os_handle(lm_file file) { return (HANDLE)(intptr_t)file.handle; }

static llm_status os_path(const char *path, size_t len, wchar_t name[OS_PATH_MAX], llm_error *error)
{
    int n;
    if (!path || len == 0)
        return lm_fail(error, LLM_E_INVALID, "the path is empty");
    if (memchr(path, 0, len))
        return lm_fail(error, LLM_E_INVALID, "the path holds a NUL byte");
    n = len < OS_PATH_MAX ? MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, (int)len, name, OS_PATH_MAX - 1) : 0;
    if (n <= 0)
        return lm_fail_at(error, LLM_E_IO, path, len, UINT64_MAX, "cannot open a path of %zu bytes: too long or no UTF-8", len);
    name[n] = 0;
    return LLM_OK;
}

llm_status lm_file_open(const char *path, size_t len, lm_file *out, llm_error *error)
{
    wchar_t name[OS_PATH_MAX];
    HANDLE handle;
    LM_TRY(os_path(path, len, name, error));
    handle = CreateFileW(name, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        DWORD code = GetLastError();
        return lm_fail_at(error, code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND ? LLM_E_NOT_FOUND : LLM_E_IO, path, len, UINT64_MAX,
                          "cannot open '%.*s': %s (error %u)", (int)len, path,
                          code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND ? "no such file"
                          : code == ERROR_ACCESS_DENIED                                ? "permission denied, or a directory"
                                                                                       : "the system refused",
                          (unsigned)code);
    }
    if (GetFileType(handle) != FILE_TYPE_DISK) {
        CloseHandle(handle);
        return lm_fail_at(error, LLM_E_IO, path, len, UINT64_MAX, "cannot read '%.*s': not a regular file", (int)len, path);
    }
    out->handle = (int64_t)(intptr_t)handle;
    return LLM_OK;
}

llm_status lm_file_size(lm_file file, uint64_t *out, llm_error *error)
{
    LARGE_INTEGER size;
    if (GetFileType(os_handle(file)) != FILE_TYPE_DISK || !GetFileSizeEx(os_handle(file), &size))
        return lm_fail(error, LLM_E_IO, "the handle is not a regular file (error %u)", (unsigned)GetLastError());
    *out = (uint64_t)size.QuadPart;
    return LLM_OK;
}

llm_status lm_file_read(lm_file file, uint64_t offset, void *out, size_t n, llm_error *error)
{
    char *to = out;
    while (n > 0) {
        DWORD want = (DWORD)LM_MIN(n, (size_t)1 << 30), got = 0;
        OVERLAPPED place;
        memset(&place, 0, sizeof place);
        place.Offset = (DWORD)offset;
        place.OffsetHigh = (DWORD)(offset >> 32);
        if (!ReadFile(os_handle(file), to, want, &got, &place) && GetLastError() != ERROR_HANDLE_EOF)
            return lm_fail_at(error, LLM_E_IO, NULL, 0, offset, "cannot read %zu bytes at byte %llu: the system refused (error %u)", n, (unsigned long long)offset,
                              (unsigned)GetLastError());
        if (got == 0)
            return lm_fail_at(error, LLM_E_IO, NULL, 0, offset, "the file ends at byte %llu where %zu more bytes were expected: it became shorter while being read",
                              (unsigned long long)offset, n);
        to += got;
        n -= got;
        offset += got;
    }
    return LLM_OK;
}

void lm_file_close(lm_file file) { CloseHandle(os_handle(file)); }

llm_status lm_file_stamp(lm_file file, int64_t *out, llm_error *error)
{
    FILETIME written;
    if (!GetFileTime(os_handle(file), NULL, NULL, &written))
        return lm_fail(error, LLM_E_IO, "cannot ask for the time of the file: the system refused (error %u)", (unsigned)GetLastError());
    *out = os_since_1970(written);
    return LLM_OK;
}

llm_status lm_file_map(lm_file file, uint64_t n, const void **out, llm_error *error)
{
    HANDLE section = NULL;
    const void *bytes = NULL;
    DWORD code = 0;
    if (n > SIZE_MAX)
        return lm_fail(error, LLM_E_LIMIT, "a file of %llu bytes cannot be mapped into this process", (unsigned long long)n);
    section = CreateFileMappingW(os_handle(file), NULL, PAGE_READONLY, (DWORD)(n >> 32), (DWORD)n, NULL);
    if (section)
        bytes = MapViewOfFile(section, FILE_MAP_READ, 0, 0, (SIZE_T)n);
    if (!bytes)
        code = GetLastError();
    if (section)
        CloseHandle(section);                               /* the view keeps it */
    if (!bytes)
        return lm_fail(error, LLM_E_IO, "cannot map %llu bytes: the system refused (error %u)", (unsigned long long)n, (unsigned)code);
    *out = bytes;
    return LLM_OK;
}

void lm_file_unmap(const void *bytes, uint64_t n)
{
    (void)n;
    UnmapViewOfFile(bytes);
}

/* ---- files that are written */

static const char *os_write_error_text(DWORD code)
{
    switch (code) {
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS: return "something stands there already";
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND: return "no such folder";
    case ERROR_ACCESS_DENIED: return "permission denied, a folder, or a file in use";
    case ERROR_SHARING_VIOLATION: return "the file is in use";
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL: return "no space is left on the disk";
    case ERROR_WRITE_PROTECT: return "the disk is read-only";
    default: return "the system refused";
    }
}

static llm_status os_fail_path(llm_error *error, const char *what, const char *path, size_t len, DWORD code)
{
    bool exists = code == ERROR_FILE_EXISTS || code == ERROR_ALREADY_EXISTS, absent = code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND;
    return lm_fail_at(error, exists ? LLM_E_STATE : absent ? LLM_E_NOT_FOUND : LLM_E_IO, path, len, UINT64_MAX, "cannot %s '%.*s': %s (error %u)", what, (int)len, path,
                      os_write_error_text(code), (unsigned)code);
}

llm_status lm_file_create(const char *path, size_t len, bool read_only, lm_file *out, llm_error *error)
{
    (void)read_only;
    wchar_t name[OS_PATH_MAX];
    HANDLE handle;
    LM_TRY(os_path(path, len, name, error));
    handle = CreateFileW(name, GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
    if (handle == INVALID_HANDLE_VALUE)
        return os_fail_path(error, "create", path, len, GetLastError());
    out->handle = (int64_t)(intptr_t)handle;
    return LLM_OK;
}

llm_status lm_file_write(lm_file file, uint64_t offset, const void *data, size_t n, llm_error *error)
{
    const char *from = data;
    while (n > 0) {
        DWORD want = (DWORD)LM_MIN(n, (size_t)1 << 30), put = 0;
        OVERLAPPED place;
        memset(&place, 0, sizeof place);
        place.Offset = (DWORD)offset;
        place.OffsetHigh = (DWORD)(offset >> 32);
        if (!WriteFile(os_handle(file), from, want, &put, &place) || put == 0) {
            DWORD code = GetLastError();
            return lm_fail_at(error, LLM_E_IO, NULL, 0, offset, "cannot write %zu bytes at byte %llu: %s (error %u)", n, (unsigned long long)offset, os_write_error_text(code),
                              (unsigned)code);
        }
        from += put;
        n -= put;
        offset += put;
    }
    return LLM_OK;
}

llm_status lm_file_sync(lm_file file, llm_error *error)
{
    if (!FlushFileBuffers(os_handle(file)))
        return lm_fail(error, LLM_E_IO, "cannot bring what was written to the disk: the system refused (error %u)", (unsigned)GetLastError());
    return LLM_OK;
}

llm_status lm_file_rename(const char *from, size_t from_len, const char *to, size_t to_len, llm_error *error)
{
    wchar_t old[OS_PATH_MAX], name[OS_PATH_MAX];
    LM_TRY(os_path(from, from_len, old, error));
    LM_TRY(os_path(to, to_len, name, error));
    if (!MoveFileExW(old, name, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
        return os_fail_path(error, "replace", to, to_len, GetLastError());
    return LLM_OK;
}

void lm_file_remove(const char *path, size_t len)
{
    wchar_t name[OS_PATH_MAX];
    if (os_path(path, len, name, NULL) == LLM_OK)
        DeleteFileW(name);
}
#else
typedef int lm_os_windows_is_empty;
#endif
