/* SPDX-License-Identifier: MIT
 * Grammars: a JSON schema, a regular expression or a GBNF text becomes one automaton over bytes, with a stack where rules call themselves; a
 * matcher walks it over the tokens of a vocabulary and tells which may come next. Fed with plain arrays: knows no files, no tokenizer, no
 * session. Floor 3. The wall of text/grammar: this header is all that others see.
 *
 * Every state of an automaton can reach an end by bytes that are tokens of their own, so no choice of legal tokens is a dead end. */
#ifndef LM_TEXT_GRAMMAR_GRAMMAR_H
#define LM_TEXT_GRAMMAR_GRAMMAR_H

#include "text/trie.h"

#include "base/mem.h"
#include "base/status.h"

#include <stdbool.h>

/* ---- automata (automaton.c). Immutable. Threads: shared ---- */

typedef struct lm_automaton lm_automaton;

/* kind: LLM_GRAMMAR_*, flags too. alone: the bytes that can be written (bits), NULL: all. Fails: FORMAT, UNSUPPORTED (with the place in the text),
 * LIMIT, MEMORY; INVALID (nothing satisfies it). */
llm_status lm_automaton_new(lm_mem *mem, int32_t kind, uint32_t flags, const char *text, size_t len, const uint8_t *alone, lm_automaton **out, llm_error *error);
void lm_automaton_free(lm_mem *mem, lm_automaton *automaton);
uint32_t lm_automaton_n_states(const lm_automaton *automaton);

/* ---- matchers (matcher.c): an automaton made deterministic as it is needed, and masks of tokens, kept. Threads: one at a time ---- */

typedef struct lm_matcher lm_matcher;

/* Where a text stands. Positions of before the matcher threw its tables away are lost: `age` tells. */
typedef struct lm_place { uint32_t at, age; } lm_place;

typedef struct lm_token_mask { const uint64_t *bits; uint32_t n_legal; bool may_end; } lm_token_mask;

/* Both outlive it. limit: bytes of tables to keep; 0: 64 MiB. trie may be NULL: bytes alone. */
llm_status lm_matcher_new(lm_mem *mem, const lm_automaton *automaton, const lm_trie *trie, size_t limit, lm_matcher **out, llm_error *error);
void lm_matcher_free(lm_matcher *matcher);
/* The place before any byte. May throw tables away. */
llm_status lm_matcher_start(lm_matcher *matcher, lm_place *out, llm_error *error);
bool lm_matcher_holds(const lm_matcher *matcher, lm_place place);
/* Moves on; *legal is false if some byte may not come (the place is lost then). LIMIT: the grammar has too many ways to read the text. */
llm_status lm_matcher_advance(lm_matcher *matcher, lm_place *place, const char *bytes, size_t len, bool *legal, llm_error *error);
bool lm_matcher_may_end(const lm_matcher *matcher, lm_place place);
/* Nothing may follow. */
bool lm_matcher_is_over(const lm_matcher *matcher, lm_place place);
/* Legal tokens; end tokens are not among them. Valid until the next call. strip: a token's leading space is dropped (the first of a text). */
llm_status lm_matcher_mask(lm_matcher *matcher, lm_place place, bool strip, lm_token_mask *out, llm_error *error);
/* The bytes that must come next, as many as are certain, at most cap. */
llm_status lm_matcher_forced(lm_matcher *matcher, lm_place place, char *out, size_t cap, size_t *n, llm_error *error);
/* Which bytes may come next: bits. */
void lm_matcher_bytes(const lm_matcher *matcher, lm_place place, uint8_t out[32]);
size_t lm_matcher_bytes_held(const lm_matcher *matcher);

#endif
