/* SPDX-License-Identifier: MIT
 * Where a file's bytes go, first to last: a path, written whole or not at all, or the host's writer. Floor 2.
 * Threads: one at a time. */
#ifndef LM_FILES_SINK_H
#define LM_FILES_SINK_H

#include "base/host.h"
#include "base/status.h"

typedef struct lm_sink lm_sink;

/* desc: complete and of the right size, lengths resolved (the API's business). A PATH: its file is made now, under another name beside
 * it. E_IO, E_NOT_FOUND (no such folder), E_INVALID. Owns: *out; the writer is borrowed as long as it lives. */
llm_status lm_sink_open(lm_host *host, const llm_sink *desc, lm_sink **out, llm_error *error);
/* The same for a path, whose file may only be read once it is there. */
llm_status lm_sink_open_read_only(lm_host *host, const char *path, size_t path_len, lm_sink **out, llm_error *error);
uint64_t   lm_sink_cost(size_t path_len);               /* of the allocator, for a path of this length */
/* The next n bytes. After a failure only drop may follow. */
llm_status lm_sink_write(lm_sink *sink, const void *data, size_t n, llm_error *error);
uint64_t   lm_sink_written(const lm_sink *sink);
/* Writes the name of part `number` of a path, with a NUL, to name: path_len + LM_SINK_SUFFIX bytes. Its length. */
enum { LM_SINK_SUFFIX = sizeof ".part-999" };
size_t     lm_sink_part_name(const char *path, size_t path_len, int number, char *name);
/* Removes what writers of this path that were killed left beside it: parts that begin with these n bytes, or are empty, and have not grown for an hour. */
void       lm_sink_sweep(lm_host *host, llm_str path, const char *magic, size_t n);
/* All is written: a PATH's file takes its place. On failure nothing has changed and nothing is left. drop still follows. */
llm_status lm_sink_end(lm_sink *sink, llm_error *error);
/* Gives the sink up; what was not ended is removed. NULL is fine. */
void       lm_sink_drop(lm_sink *sink);

#endif
