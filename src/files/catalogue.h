/* SPDX-License-Identifier: MIT
 * What a model sees instead of a file: keys and tensors under GGUF names, whatever container they came from. A tensor is a
 * recipe that yields rows in order. Immutable once opened, but for reading rows. Floor 2.
 *
 * Invariants after lm_catalogue_open: every key is unique, valid UTF-8, without NUL; every array's items lie in the file and
 * have been decoded; every tensor has a known type, 1..4 dims >= 1 whose product and bytes were checked, a unique name,
 * and lies inside its source without overlapping another. String values may hold any bytes. Nothing was allocated by a count
 * that the file's size does not bear. Threads: shared, but for reading rows where reads_alone says so. */
#ifndef LM_FILES_CATALOGUE_H
#define LM_FILES_CATALOGUE_H

#include "files/source.h"
#include "tensor/type.h"

enum {                                  /* value types, GGUF's numbers */
    LM_VALUE_U8 = 0, LM_VALUE_I8 = 1, LM_VALUE_U16 = 2, LM_VALUE_I16 = 3, LM_VALUE_U32 = 4, LM_VALUE_I32 = 5, LM_VALUE_F32 = 6,
    LM_VALUE_BOOL = 7, LM_VALUE_STRING = 8, LM_VALUE_ARRAY = 9, LM_VALUE_U64 = 10, LM_VALUE_I64 = 11, LM_VALUE_F64 = 12
};

typedef struct lm_key {
    llm_str  name;                      /* NUL after it */
    uint32_t type;                      /* LM_VALUE_*; ARRAY: see item_type */
    uint32_t item_type;                 /* of an array */
    uint64_t n_items;                   /* of an array; 1 otherwise */
    const void *items;                  /* native-endian, aligned values; llm_str[] for strings (each with a NUL after it) */
    uint64_t offset;                    /* of the key in its file, for messages */
} lm_key;

typedef struct lm_tensor {
    llm_str  name;
    uint32_t type;                      /* LM_TYPE_* */
    uint32_t n_dims;
    uint64_t ne[4];                     /* ne[0]: values of a row, contiguous; unused dims are 1 */
    uint64_t n_rows;                    /* ne[1] * ne[2] * ne[3] */
    uint64_t row_bytes, bytes;
    uint32_t source;                    /* which of the catalogue's sources */
    uint32_t reserved;
    uint64_t offset;                    /* absolute in that source */
} lm_tensor;

typedef struct lm_catalogue {
    lm_host *host;
    lm_arena arena;                     /* holds all that the pointers below lead to */
    lm_key *keys;       size_t n_keys;
    lm_tensor *tensors; size_t n_tensors;
    lm_source **sources; size_t n_sources;
    uint64_t file_bytes;                /* of all sources together */
    uint32_t *key_index, *tensor_index; /* sorted by name: files/gguf.h */
    uint64_t samples;                   /* lm_catalogue_samples, once read */
    bool sampled;
    bool reads_alone;                   /* a host's reader is among the sources: one thread at a time, the one that loads */
} lm_catalogue;

/* Reads the header of a GGUF file, or of all parts of a split one: `parts` are all parts in order, or the first one by path
 * (the others are then found beside it by its name). Errors name the lie, its key or tensor, and the byte. */
llm_status lm_catalogue_open(lm_host *host, const llm_source *const *parts, size_t n_parts, lm_catalogue **out, llm_error *error);
/* Closes the sources (rows can no longer be read), keeps keys and infos. */
void lm_catalogue_release(lm_catalogue *catalogue);
void lm_catalogue_free(lm_catalogue *catalogue);

const lm_key    *lm_catalogue_key(const lm_catalogue *catalogue, const char *name, size_t len /* or LLM_NUL */);  /* or NULL */
const lm_tensor *lm_catalogue_tensor(const lm_catalogue *catalogue, const char *name);                           /* or NULL */

/* Rows [row, row + n) of a tensor, as file bytes, to out (n * row_bytes). */
llm_status lm_catalogue_rows(lm_catalogue *catalogue, const lm_tensor *tensor, uint64_t row, uint64_t n, void *out, llm_error *error);
/* The same rows where the host has them in memory, at any alignment, until the catalogue is released; NULL: they must be read. */
const void *lm_catalogue_peek(const lm_catalogue *catalogue, const lm_tensor *tensor, uint64_t row, uint64_t n);
/* The same in bytes: [offset, offset + n) of a tensor's. */
llm_status lm_catalogue_bytes(lm_catalogue *catalogue, const lm_tensor *tensor, uint64_t offset, size_t n, void *out, llm_error *error);

/* A digest of 64 bytes from the middle of each tensor, of 256 of them if there are more: tells weights apart that were not made to look alike.
 * They are read once. */
llm_status lm_catalogue_samples(lm_catalogue *catalogue, uint64_t *out, llm_error *error);

/* Typed access. Any integer width is taken and range-checked, f32 and f64 are interchangeable. Absent: *out is left alone and
 * LLM_E_NOT_FOUND is returned without a message; wrong type or out of range: E_FORMAT with a message that names the key.
 * `index` is the item of an array; scalars serve any index (values "per layer or for all"). */
llm_status lm_catalogue_u64(const lm_catalogue *c, const char *key, uint64_t index, uint64_t min, uint64_t max, uint64_t *out, llm_error *error);
llm_status lm_catalogue_f64(const lm_catalogue *c, const char *key, uint64_t index, double *out, llm_error *error);  /* finite */
llm_status lm_catalogue_bool(const lm_catalogue *c, const char *key, uint64_t index, bool *out, llm_error *error);
llm_status lm_catalogue_str(const lm_catalogue *c, const char *key, llm_str *out, llm_error *error);
/* One item as a public llm_meta (without key). */
void lm_key_item(const lm_key *key, uint64_t item, llm_meta *out);

#endif
