/* SPDX-License-Identifier: MIT
 * The container of saved sessions (docs/SESSIONS.md): a header and sections, each with its size before it and its digest behind it, so that a
 * file is written first byte to last and every byte of it is checked when it is read. Knows what a section is called, not what is in it. Reading
 * believes nothing: sizes are held against the file's before anybody can allocate by them. Floor 2. Threads: one at a time. */
#ifndef LM_FILES_SAVED_H
#define LM_FILES_SAVED_H

#include "files/sink.h"
#include "files/source.h"

#include "base/digest.h"

enum { LM_SAVED_VERSION = 1 };          /* of the format; a file of a higher one is refused, one of a lower one is read for ever */

/* Kinds of sections; they stand in this order, each at most once. */
enum { LM_SAVED_TOKENS = 1, LM_SAVED_MEMORIES = 2, LM_SAVED_SCORES = 3, LM_SAVED_LOGITS = 4, LM_SAVED_NOTE = 5, LM_SAVED_STATE = 6, LM_SAVED_KINDS = 6 };
enum { LM_SAVED_MOST_SECTIONS = LM_SAVED_KINDS + 1 };
#define LM_SAVED_REPLY 0x80000007u      /* with the bit of what may be passed over */

/* Of the header, as it lies in the file. */
typedef struct lm_saved_about {
    uint32_t arithmetic;                /* docs/ARITHMETIC.md */
    int32_t  state_type;                /* LLM_STATE_TYPE_* */
    uint64_t model, vocabulary;         /* fingerprints */
    uint64_t n_tokens, n_evaluated, n_slid, n_reply;
    uint32_t n_ctx, n_vocab, row_flags, reserved;
} lm_saved_about;

typedef struct lm_saved_section { uint32_t kind, reserved; uint64_t bytes; } lm_saved_section;

typedef struct lm_saved_writer { lm_sink *sink; lm_digest digest; uint64_t left, total; } lm_saved_writer;
/* sections: all that will come. The parts of a path that killed writers left long ago are removed. Owns: *out. Fails as lm_sink_open. */
llm_status lm_saved_write_open(lm_host *host, const llm_sink *sink, const lm_saved_about *about, const lm_saved_section *sections, uint32_t n_sections,
                               lm_saved_writer *out, llm_error *error);
llm_status lm_saved_write_section(lm_saved_writer *writer, const lm_saved_section *section, llm_error *error);
llm_status lm_saved_write(lm_saved_writer *writer, const void *data, size_t n, llm_error *error);
llm_status lm_saved_write_section_end(lm_saved_writer *writer, llm_error *error);
/* All sections have come: the file takes its place. drop still follows. */
llm_status lm_saved_write_end(lm_saved_writer *writer, llm_error *error);
void       lm_saved_write_drop(lm_saved_writer *writer);

typedef struct lm_saved {
    lm_source *source;
    uint32_t version, n_sections;       /* n_sections: left to come */
    uint64_t size, at, end;             /* of the file; where the section's payload goes on and ends */
    uint32_t kind, reserved;            /* of the section; 0: none yet */
    lm_digest digest;                   /* of the section so far */
    lm_saved_about about;
} lm_saved;
/* The header is whole, of a known version, and the file as long as it says. Owns: *out; the source is borrowed meanwhile. */
llm_status lm_saved_open(lm_host *host, const llm_source *source, lm_saved *out, llm_error *error);
void       lm_saved_close(lm_saved *saved);
/* LLM_MORE: *out is the next section, which lies in the file. LLM_OK: there is none, and the file ends here. The one before was ended or passed. */
llm_status lm_saved_next(lm_saved *saved, lm_saved_section *out, llm_error *error);
/* The section's next n bytes. Nothing is known of them before lm_saved_end. */
llm_status lm_saved_read(lm_saved *saved, void *out, size_t n, llm_error *error);
/* What is left of the section is read, and all of it held against its digest. */
llm_status lm_saved_end(lm_saved *saved, llm_error *error);
/* The section is left where it is, unread. */
void       lm_saved_pass(lm_saved *saved);

#endif
