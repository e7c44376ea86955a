/* SPDX-License-Identifier: MIT
 * The clock, the cores, files. Floor 0. Threads: any. */
#ifndef LM_BASE_OS_H
#define LM_BASE_OS_H

#include "llm.h"

#include <stdbool.h>

/* The C library's memory, for lm_mem alone; align: a power of two. From 4 MiB on, huge pages are asked for. NULL: none left. */
void   *lm_os_allocate(size_t size, size_t align);
void    lm_os_release(void *ptr);

/* Clocks give 0 where the system refuses: then a bound on time is not kept, and nothing else may depend on it. */
int64_t lm_now_ns(void);                /* monotonic */
int64_t lm_os_wall_ns(void);            /* since 1970, by the clock that files are stamped with */
uint64_t lm_os_process(void);           /* the number of this process: another one in a child of fork() */
int32_t lm_os_cores(void);              /* physical performance cores this process may run on; at least 1 */

typedef struct lm_file { int64_t handle; } lm_file;     /* POSIX descriptor or Windows HANDLE */
/* Opens a regular file for reading. path: UTF-8 of `len` bytes. E_IO, E_NOT_FOUND, E_INVALID (a NUL inside). Directories,
 * FIFOs and devices are refused with E_IO. */
llm_status lm_file_open(const char *path, size_t len, lm_file *out, llm_error *error);
llm_status lm_file_size(lm_file file, uint64_t *out, llm_error *error);         /* E_IO if it is no regular file */
llm_status lm_file_read(lm_file file, uint64_t offset, void *out, size_t n, llm_error *error);  /* all n bytes or E_IO */
void       lm_file_close(lm_file file);
/* When the bytes last changed, as lm_os_wall_ns; as fine as the file system keeps it. E_IO. */
llm_status lm_file_stamp(lm_file file, int64_t *out, llm_error *error);
/* The first n bytes (n > 0), read-only and shared with other processes, until unmapped; the file may be closed before. What the caller must
 * see to: a file that becomes shorter, or whose device fails, kills the process that reads there (SIGBUS). E_IO, E_LIMIT. */
llm_status lm_file_map(lm_file file, uint64_t n, const void **out, llm_error *error);
void       lm_file_unmap(const void *bytes, uint64_t n);

/* Writing a file that replaces another one only when it is whole: create it under another name beside it, write, sync, close, rename.
 * The name must be new (E_STATE: something stands there already). read_only: whoever opens it afterwards may only read; where that would
 * keep the file from being replaced (Windows), it is passed over. */
llm_status lm_file_create(const char *path, size_t len, bool read_only, lm_file *out, llm_error *error);
llm_status lm_file_write(lm_file file, uint64_t offset, const void *data, size_t n, llm_error *error);     /* all n bytes or E_IO */
llm_status lm_file_sync(lm_file file, llm_error *error);                        /* it is on the disk, not in a cache */
/* Gives a file a name in the same folder, in one step: whoever looks finds the old file or the new one. */
llm_status lm_file_rename(const char *from, size_t from_len, const char *to, size_t to_len, llm_error *error);
void       lm_file_remove(const char *path, size_t len);                        /* if it can be */

#endif
