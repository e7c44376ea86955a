/* SPDX-License-Identifier: MIT
 * A GGUF file as a thing to be changed: keys and tensors in lists, bytes that no one checks. Written out again it is a true file, but for
 * what was made a lie. For the models of the hostile corpus and of the fuzzers, and for the fuzzers' mutations. */
#ifndef TESTS_DOC_H
#define TESTS_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {                                  /* GGUF's value types */
    DOC_U8 = 0, DOC_I8 = 1, DOC_U16 = 2, DOC_I16 = 3, DOC_U32 = 4, DOC_I32 = 5, DOC_F32 = 6, DOC_BOOL = 7, DOC_STRING = 8, DOC_ARRAY = 9, DOC_U64 = 10,
    DOC_I64 = 11, DOC_F64 = 12
};
enum { DOC_KEYS = 96, DOC_TENSORS = 96, DOC_DIMS = 8, DOC_POOL = 1 << 20 };

typedef struct doc_key {
    const char *name; size_t name_len;
    uint32_t type;
    unsigned char *value; size_t size;  /* the bytes behind the type: of a string and an array with their lengths */
} doc_key;

typedef struct doc_tensor {
    const char *name; size_t name_len;
    uint32_t n_dims, type;
    uint64_t ne[DOC_DIMS], offset;      /* what the info says */
    unsigned char *data; size_t size;   /* what lies there */
} doc_tensor;

typedef struct doc {
    char     magic[4];
    uint32_t version, align;
    uint64_t add_keys, add_tensors;     /* lies: what the counts say beside the truth, modulo 2^64 */
    doc_key    keys[DOC_KEYS];       size_t n_keys;
    doc_tensor tensors[DOC_TENSORS]; size_t n_tensors;
    const unsigned char *tail; size_t tail_size;        /* of a file that could not be read to its end: the rest as it was */
    bool     tail_in_keys;              /* it stands in place of further keys, else of further infos; else there is none */
    bool     cut;                       /* no data behind the infos */
    unsigned char *pool; size_t used;   /* DOC_POOL bytes; what does not fit is not there */
} doc;

/* An empty file of version 3. doc_free gives it up. */
doc *doc_new(void);
void doc_clear(doc *d);
void doc_free(doc *d);
/* Reads what can be read; never fails. The bytes must live as long as the doc. */
void doc_read(doc *d, const unsigned char *data, size_t size);
/* The file, at most cap bytes; returns its size, or 0 if it is larger. */
size_t doc_write(const doc *d, unsigned char *out, size_t cap);

/* Memory of the doc, zeroed; NULL: there is none left. */
void *doc_room(doc *d, size_t size);
size_t doc_value_bytes(uint32_t type);                      /* of a value of fixed size; else 0 */
/* Bytes of a tensor by its type and shape; 0: unknown, or more than `most`. */
size_t doc_tensor_bytes(const doc_tensor *t, size_t most);

doc_key *doc_find(doc *d, const char *name);                /* or NULL */
/* These replace the key or add it. */
void doc_set(doc *d, const char *name, uint32_t type, const void *value, size_t size);
void doc_u32(doc *d, const char *name, uint32_t value);
void doc_f32(doc *d, const char *name, float value);
void doc_bool(doc *d, const char *name, int value);
void doc_text(doc *d, const char *name, const char *value);
void doc_text_n(doc *d, const char *name, const char *value, size_t len);
void doc_array(doc *d, const char *name, uint32_t item_type, uint64_t n, const void *items, size_t size);
void doc_texts(doc *d, const char *name, size_t n, const char *const *texts);
void doc_drop(doc *d, const char *name);

doc_tensor *doc_find_tensor(doc *d, const char *name);      /* or NULL */
/* Adds a tensor of small values; ne1, ne2: 0 where there are fewer dimensions. */
doc_tensor *doc_add(doc *d, const char *name, uint32_t type, uint64_t ne0, uint64_t ne1, uint64_t ne2);
void doc_drop_tensor(doc *d, const char *name);
/* Fills a tensor's data, by its type, with values that a model can be run with. */
void doc_fill(doc_tensor *t, uint64_t seed);
/* Makes data as large as the shapes say, where that is possible, and offsets as they must be. */
void doc_place(doc *d);

#endif
