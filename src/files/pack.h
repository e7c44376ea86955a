/* SPDX-License-Identifier: MIT
 * A pack: the weights of one model as one device lays them out, in a file that is mapped read-only and used in place. Knows neither devices nor
 * models: what is in a pack is a list of items, what it is for a key. Floor 2.
 *
 *     header (256 bytes, with its digest) . items, each at a multiple of 64 . table: an entry for each item with the digest of its bytes .
 *     the table's digest
 *
 * All but the digests of the items follows from key and list, so a pack fits or it does not: nothing in it is believed. It is read with pread
 * and compared before anything is mapped. A pack is written once, whole, under another name, and never changed. Threads: opening and
 * writing one at a time; an open pack is only read. */
#ifndef LM_FILES_PACK_H
#define LM_FILES_PACK_H

#include "files/catalogue.h"

enum { LM_PACK_VERSION = 1 };           /* of the format; raised with every change, and older ones are made anew */

/* What must be equal. */
typedef struct lm_pack_key {
    const char *device;                 /* whose layout: the backend's name, at most 15 bytes */
    uint32_t layout, arithmetic;        /* numbers of the layout and of docs/ARITHMETIC.md */
    /* The source: bytes of all files; digests of their headers and of a few bytes of each tensor; of the times of their last change. */
    uint64_t source_bytes, source_header, source_samples, source_time;
    bool fresh;                         /* changed so lately that a further change could bear the same time: no key for a pack */
} lm_pack_key;

typedef struct lm_pack_item {
    uint64_t name;                      /* a digest of it */
    uint64_t n_rows, n_cols, first;
    uint64_t bytes;                     /* laid out */
    uint32_t type, is_vector;
} lm_pack_item;

/* The source's part of a key. Reads the headers and at most 64 bytes each of at most 256 tensors. */
llm_status lm_pack_identify(lm_catalogue *catalogue, lm_pack_key *key, llm_error *error);

typedef struct lm_pack lm_pack;
/* For looking through all items before anything is mapped. progress: NULL or called before each and every few MiB; nonzero: E_CANCELLED. */
typedef struct lm_pack_look { int32_t (*progress)(void *user, float fraction); void *user; } lm_pack_look;
/* Owns: *out. E_NOT_FOUND: nothing stands there. E_FORMAT: a pack, or the beginning of one, that does not fit: the message says why; it may
 * be replaced. Others, E_STATE for a file that is no pack: it is left alone. look: NULL: the items' bytes are not held against their digests. */
llm_status  lm_pack_open(lm_host *host, llm_str path, const lm_pack_key *key, const lm_pack_item *items, uint32_t n_items, const lm_pack_look *look,
                         lm_pack **out, llm_error *error);
void        lm_pack_close(lm_pack *pack);                           /* NULL is fine; its bytes must be out of use */
uint64_t    lm_pack_bytes(const lm_pack *pack);                     /* of the file, all mapped */
const void *lm_pack_data(const lm_pack *pack, uint32_t item);       /* at a multiple of 64, until the pack is closed */
/* Removes what processes that were killed left beside it: parts that begin as packs do and have not grown for an hour. */
void        lm_pack_sweep(lm_host *host, llm_str path);

typedef struct lm_pack_writer lm_pack_writer;
/* Owns: *out. Fails as lm_sink_open. */
llm_status lm_pack_write_open(lm_host *host, llm_str path, const lm_pack_key *key, const lm_pack_item *items, uint32_t n_items, lm_pack_writer **out,
                              llm_error *error);
/* All bytes of the next item. */
llm_status lm_pack_write_item(lm_pack_writer *writer, const void *data, llm_error *error);
/* All items have come: the pack takes its place. drop still follows. */
llm_status lm_pack_write_end(lm_pack_writer *writer, llm_error *error);
void       lm_pack_write_drop(lm_pack_writer *writer);              /* what was not ended is removed; NULL is fine */
uint64_t   lm_pack_write_cost(llm_str path, uint32_t n_items);      /* of the allocator, while a pack is written */

#endif
