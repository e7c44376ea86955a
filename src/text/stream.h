/* SPDX-License-Identifier: MIT
 * A reply's bytes on their way to the reader: holds back half characters and what may become a stop string, replaces what is no
 * UTF-8 by U+FFFD, ends before the first stop string. Pure functions over a byte buffer that the caller owns. Floor 3. */
#ifndef LM_TEXT_STREAM_H
#define LM_TEXT_STREAM_H

#include "llm.h"

#include <stdbool.h>

/* Where the first stop string begins in text[0, len), or LLM_NUL. Only matches that end after byte `from` need be looked for. */
size_t lm_stream_find_stop(const char *text, size_t len, size_t from, const llm_str *stops, size_t n_stops);
/* How many bytes of text[0, len) can be shown now: len minus the longest tail that is a proper prefix of a stop string, and
 * minus an unfinished UTF-8 character at the end. final: nothing more will come, all of it. */
size_t lm_stream_ready(const char *text, size_t len, bool final, const llm_str *stops, size_t n_stops);
/* Copies whole characters of text[*pos, ready) to out as valid UTF-8 and a NUL, at most cap - 1 bytes; moves *pos; returns the
 * bytes written. final: a broken tail becomes U+FFFD too. */
size_t lm_stream_read(const char *text, size_t ready, bool final, size_t *pos, char *out, size_t cap);

#endif
