/* SPDX-License-Identifier: MIT
 * Writing a GGUF file, version 3: keys and tensor infos first, then the tensors' bytes as they come. Floor 2. Threads: one at a time. */
#ifndef LM_FILES_GGUF_WRITE_H
#define LM_FILES_GGUF_WRITE_H

#include "files/catalogue.h"
#include "files/sink.h"

/* ---- the keys of a new file: those of another one, with changes. Arrays and strings of a catalogue are pointed to, so it must outlive the
 * list; values set here are copied into the list's arena. A key is set where it stands, or appended. Freed with its arena. */
typedef struct lm_key_list { lm_arena *arena; lm_key *keys; size_t n, cap; } lm_key_list;

void       lm_key_list_init(lm_key_list *list, lm_arena *arena);
/* All keys of a catalogue but those that describe a split. */
llm_status lm_key_list_copy(lm_key_list *list, const lm_catalogue *from, llm_error *error);
llm_status lm_key_list_set_u32(lm_key_list *list, const char *name, uint32_t value, llm_error *error);
llm_status lm_key_list_set_string(lm_key_list *list, const char *name, const char *text, size_t len /* or LLM_NUL */, llm_error *error);
llm_status lm_key_list_set_strings(lm_key_list *list, const char *name, const llm_str *items, size_t n, llm_error *error);
void       lm_key_list_remove(lm_key_list *list, const char *name);             /* absent is fine */
const lm_key *lm_key_list_find(const lm_key_list *list, const char *name);      /* or NULL */

/* ---- the file */

typedef struct lm_gguf_writer lm_gguf_writer;

/* Writes the whole header. tensors: in the order of their data; name, type, n_dims and ne are read and copied, the rest follows from them.
 * Alignment: that of the key general.alignment, or 32. What the reader would refuse is refused here: E_INVALID. Owns: *out. */
llm_status lm_gguf_write_open(lm_host *host, const llm_sink *sink, const lm_key *keys, size_t n_keys, const lm_tensor *tensors, size_t n_tensors,
                              lm_gguf_writer **out, llm_error *error);
/* The next n bytes of tensor data, all tensors one after another: they may begin and end anywhere; padding is put in here. */
llm_status lm_gguf_write_data(lm_gguf_writer *writer, const void *data, size_t n, llm_error *error);
/* Every byte of every tensor has come: the file takes its place. E_STATE if bytes are missing. On failure nothing is left. */
llm_status lm_gguf_write_end(lm_gguf_writer *writer, llm_error *error);
/* Gives the writer up, ended or not. NULL is fine. */
void       lm_gguf_write_drop(lm_gguf_writer *writer);

#endif
