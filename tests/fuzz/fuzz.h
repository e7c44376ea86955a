/* SPDX-License-Identifier: MIT
 * What all fuzz targets share. A target is one file with LLVMFuzzerTestOneInput, fuzz_seeds, and perhaps LLVMFuzzerCustomMutator; with libFuzzer it is a fuzzer, with
 * replay.c a test that needs no clang: seeds, what was found, and a few hundred mutations.
 *
 * What holds for every input: no crash, no report of a sanitizer, a second of processor time at most, at most four times the input and 64 MiB of memory, nothing left
 * over; of every error a status that the header names and a whole message. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "llm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of the target. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void fuzz_seeds(void (*put)(const char *name, const void *data, size_t size));
/* Of libFuzzer, or of replay.c. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

__attribute__((noreturn, format(printf, 4, 5))) void fuzz_fail(const char *file, int line, const char *text, const char *format, ...);
#define FUZZ_CHECK(condition, ...) ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition, __VA_ARGS__))

/* Around each input. begin: the processor's clock is set, memory counts from here. end: all memory taken since was given back. */
void fuzz_begin(size_t input_bytes);
void fuzz_end(void);
/* The same where a model stays, which keeps pages and the like: what is held does not grow from input to input. */
void fuzz_end_kept(void);
/* Other bounds for this input: processor time, and bytes on top of four times the input. Templates and grammars have bounds of their own in the library, in steps and
 * bytes, which are further. */
void fuzz_bounds(int ms, uint64_t bytes);
enum { FUZZ_TEMPLATE_MS = 60000, FUZZ_GRAMMAR_MS = 20000 };

extern llm_allocator fuzz_allocator;
/* Kept for all inputs: one thread, four arenas, passes of few tokens. tier: LLM_CPU_*, 0: the best. */
llm_engine *fuzz_engine(int32_t tier);

/* The call answered one of the statuses of llm.h; its error is whole. Returns the status. */
llm_status fuzz_status(llm_status status, const llm_error *error);
llm_source fuzz_source(const void *data, size_t size);
/* A model that the library must be able to load, by its name in models.c; kept for all inputs. */
llm_model *fuzz_model(llm_engine *engine, const char *name);

/* Numbers out of an input, from its end forward zeros. */
typedef struct fuzz_in { const uint8_t *at, *end; } fuzz_in;
uint32_t fuzz_u8(fuzz_in *in);
uint32_t fuzz_u32(fuzz_in *in);
uint64_t fuzz_u64(fuzz_in *in);
float    fuzz_f32(fuzz_in *in);
/* A number, often a border of its type. */
int64_t  fuzz_odd(fuzz_in *in);
/* Up to `most` bytes, where they lie. */
llm_str  fuzz_bytes(fuzz_in *in, size_t most);
uint64_t fuzz_hash(const void *data, size_t size);

#endif
