/* SPDX-License-Identifier: MIT
 * Saved sessions: a timeline into a file and back (docs/SESSIONS.md). Floor 9. Knows what is in the sections; the container is
 * files/saved. Threads: as the session's. */
#ifndef LM_SESSION_SAVE_H
#define LM_SESSION_SAVE_H

#include "session/session.h"

#include "files/saved.h"

enum { LM_SAVE_MAX_NOTE = 16 << 20 };

/* sink, source, desc: complete, lengths resolved. */
llm_status lm_session_save(llm_session *s, const llm_sink *sink, const llm_save_desc *desc, llm_error *error);
llm_status lm_session_restore(llm_session *s, const llm_source *source, uint32_t flags, llm_error *error);
llm_status lm_saved_info_get(llm_model *model, const llm_source *source, llm_saved_info *out, llm_error *error);
llm_status lm_saved_note_get(llm_model *model, const llm_source *source, void *note, size_t cap, size_t *n, llm_error *error);

/* ---- between save.c and restore.c ---- */

/* How the section of state begins: this, a line for each stream, and for each page class the first position that is there. */
typedef struct lm_save_state { uint32_t n_streams, n_classes; } lm_save_state;
typedef struct lm_save_stream { uint32_t page_class, n_heads, k_dim, v_dim, keep, reserved; } lm_save_stream;
/* What a save knows of a reply beside its tokens: lm_reply_past. */
enum { LM_SAVE_STRIP = 1, LM_SAVE_OVER = 2 };
typedef struct lm_save_reply { uint64_t n_gone, n_unread; uint32_t flags, reserved; } lm_save_reply;
lm_save_stream lm_save_stream_of(const lm_stream *stream);
/* Bytes of one position of a class. */
uint64_t lm_save_row_bytes(const lm_program *program, int32_t state_type, uint32_t page_class);
/* Bytes of the whole section. false: more than 63 bits. */
bool lm_save_state_bytes(const lm_program *program, int32_t state_type, const uint64_t *first, uint64_t n_evaluated, uint64_t *out);
/* Between a page of the canonical layout and rows of the file's: positions [begin, begin + n) of the page, and n rows. */
void lm_save_rows(const lm_program *program, int32_t state_type, uint32_t page_class, unsigned char *page, unsigned char *rows, uint32_t begin, uint32_t n,
                  bool out);

#endif
