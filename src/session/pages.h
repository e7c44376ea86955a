/* SPDX-License-Identifier: MIT
 * Page numbers and their owners: which pages of a backend's pool are taken, and how many timelines share each. Floor 9.
 * The bytes are the backend's. Threads: shared; everything here is under its own lock. */
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
    uint32_t *owners[LM_MAX_PAGE_CLASSES];              /* [n_owners]: how many tables hold this page */
    uint32_t n_owners[LM_MAX_PAGE_CLASSES];
} lm_pages;

/* A timeline's table: pages[class][position / LM_PAGE_POSITIONS]. All classes have n pages. Exclusive to its session. */
typedef struct lm_page_table {
    uint32_t *pages[LM_MAX_PAGE_CLASSES];               /* into one block */
    uint32_t n, cap;
} lm_page_table;

llm_status lm_pages_open(lm_host *host, lm_backend *backend, const lm_program *program, int32_t state_type, lm_pages *out, llm_error *error);
void lm_pages_close(lm_pages *pages);
uint32_t lm_pages_count(uint64_t n_positions);          /* pages that hold so many positions */

/* Makes positions [begin, end) writable: pages that are missing are taken, shared ones replaced by a copy where something before
 * `begin` stands in them. On failure the table is as it was. */
llm_status lm_page_table_write(lm_pages *pages, lm_page_table *table, uint64_t begin, uint64_t end, llm_error *error);
/* Room for n pages without taking one. */
llm_status lm_page_table_reserve(lm_pages *pages, lm_page_table *table, uint32_t n, llm_error *error);
/* Keeps the first n pages. */
void lm_page_table_cut(lm_pages *pages, lm_page_table *table, uint32_t n);
/* *out, empty, shares the first n pages. */
llm_status lm_page_table_share(lm_pages *pages, const lm_page_table *table, uint32_t n, lm_page_table *out, llm_error *error);
void lm_page_table_free(lm_pages *pages, lm_page_table *table);
uint64_t lm_page_table_block_bytes(uint32_t n_classes, uint32_t cap);

#endif
