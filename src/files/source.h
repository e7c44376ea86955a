/* SPDX-License-Identifier: MIT
 * Where bytes come from: a path, a descriptor with offset, a buffer, a reader callback. All reads are checked against the
 * size that was seen when the source was opened. Floor 2. Threads: any at once, but for a READER: one at a time. */
#ifndef LM_FILES_SOURCE_H
#define LM_FILES_SOURCE_H

#include "base/host.h"
#include "base/status.h"

#include <stdbool.h>

typedef struct lm_source lm_source;

/* desc: checked here (kind, lengths). Owns: *out; FD, BUFFER and READER are borrowed as long as it lives. */
llm_status lm_source_open(lm_host *host, const llm_source *desc, lm_source **out, llm_error *error);
void       lm_source_close(lm_source *source);
uint64_t   lm_source_size(const lm_source *source);
/* All n bytes at offset, or E_IO (E_FORMAT when beyond the end: "truncated"). */
llm_status lm_source_read(lm_source *source, uint64_t offset, void *out, size_t n, llm_error *error);
/* The same bytes where they lie, of a BUFFER; NULL: of another kind, or beyond the end. */
const void *lm_source_peek(const lm_source *source, uint64_t offset, uint64_t n);
bool       lm_source_reads_alone(const lm_source *source);     /* a READER */
/* When the file's bytes last changed, of a PATH or FD (lm_file_stamp); another kind has no stamp: E_NOT_FOUND without a message. */
llm_status lm_source_stamp(const lm_source *source, int64_t *out, llm_error *error);
/* A name for messages: the path, "descriptor", "buffer" or "reader". Borrowed. */
const char *lm_source_name(const lm_source *source);
/* The path as given, or length 0: to find the other files of a split model. */
llm_str    lm_source_path(const lm_source *source);

#endif
