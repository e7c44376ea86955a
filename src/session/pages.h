/* SPDX-License-Identifier: MIT
 * Page numbers and their owners: which pages of a backend's pool are taken, and how many timelines share each. Floor 9.
 * The bytes are the backend's. Threads: shared; owners are under a lock, a table is its session's.
 *
 * Streams that keep only their last `keep` positions give pages back from the front: see lm_page_table_trim. */
#ifndef LM_SESSION_PAGES_H
#define LM_SESSION_PAGES_H

#include "backend/backend.h"

#include "base/thread.h"

/* A pool of one model and one state type. */
typedef struct lm_pages {
    lm_backend *backend;
    lm_pool *pool;
    lm_host *host;
    lm_mutex lock;
    uint32_t n_classes;
    uint32_t keep[LM_MAX_PAGE_CLASSES];                 /* the last positions that a class keeps; 0: all */
    uint32_t *owners[LM_MAX_PAGE_CLASSES];              /* [n_owners]: how many tables hold this page */
    uint32_t n_owners[LM_MAX_PAGE_CLASSES];
} lm_pages;

/* A timeline's table: pages[class][position / LM_PAGE_POSITIONS], of which [first, n) are held; before them stands LM_NO_PAGE. Exclusive to
 * its session. */
enum { LM_NO_PAGE = INT32_MAX };
typedef struct lm_page_table {
    uint32_t *pages[LM_MAX_PAGE_CLASSES];               /* into one block */
    uint32_t first[LM_MAX_PAGE_CLASSES], n[LM_MAX_PAGE_CLASSES], cap;
} lm_page_table;

/* Positions before the window that stay in spite of it, so that going back by so many costs nothing. */
enum { LM_PAGE_SLACK = LM_PAGE_POSITIONS };

llm_status lm_pages_open(lm_host *host, lm_backend *backend, const lm_program *program, int32_t state_type, lm_pages *out, llm_error *error);
void lm_pages_close(lm_pages *pages);
uint32_t lm_pages_count(uint64_t n_positions);          /* pages that hold so many positions */
/* The most pages that a timeline of n_ctx positions holds of a class that keeps so many, in passes of at most n_rows. */
uint32_t lm_pages_most(uint32_t keep, uint32_t n_ctx, uint32_t n_rows);
/* The room of a table that will never grow, recycled pages among them. */
uint32_t lm_page_table_room(const lm_program *program, uint32_t n_ctx, uint32_t n_rows);

/* Makes positions [begin, end) writable: pages that are missing are taken, shared ones replaced by a copy where something before
 * `begin` stands in them. On failure the table is as it was. */
llm_status lm_page_table_write(lm_pages *pages, lm_page_table *table, uint64_t begin, uint64_t end, llm_error *error);
/* Room for n pages without taking one. */
llm_status lm_page_table_reserve(lm_pages *pages, lm_page_table *table, uint32_t n, llm_error *error);
/* A class has n pages at least. */
llm_status lm_page_table_extend(lm_pages *pages, lm_page_table *table, uint32_t page_class, uint32_t n, llm_error *error);
/* The pages of an empty class begin at `first`, within the room that was reserved: those before it are not held. */
void lm_page_table_begin(lm_page_table *table, uint32_t page_class, uint32_t first);
/* Nothing stands at page n or after it. */
void lm_page_table_cut(lm_pages *pages, lm_page_table *table, uint32_t n);
/* Gives back what no row at `position` or later sees, but for LM_PAGE_SLACK. No pass of this timeline is in progress. recycle: pages without another
 * owner are kept for positions to come. */
void lm_page_table_trim(lm_pages *pages, lm_page_table *table, uint64_t position, bool recycle);
/* Is all there that rows from `position` on see? */
bool lm_page_table_holds(const lm_pages *pages, const lm_page_table *table, uint64_t position);
/* The pages held become those of the first positions, to be written anew. */
void lm_page_table_restart(lm_pages *pages, lm_page_table *table);
/* *out, empty, shares the pages before n that are held. */
llm_status lm_page_table_share(lm_pages *pages, const lm_page_table *table, uint32_t n, lm_page_table *out, llm_error *error);
void lm_page_table_free(lm_pages *pages, lm_page_table *table);
uint64_t lm_page_table_block_bytes(uint32_t n_classes, uint32_t cap);

#endif
