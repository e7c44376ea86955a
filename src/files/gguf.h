/* SPDX-License-Identifier: MIT
 * One GGUF file's header, for the catalogue alone. Floor 2. */
#ifndef LM_FILES_GGUF_H
#define LM_FILES_GGUF_H

#include "files/catalogue.h"

typedef struct lm_gguf {                /* all in the arenas given */
    lm_key *keys;       size_t n_keys;
    uint32_t *key_index;                /* sorted by name */
    lm_tensor *tensors; size_t n_tensors;
} lm_gguf;

/* Parses and checks the whole header. Keys go into key_arena, tensor infos into info_arena, tensor names into name_arena: three, so that
 * a split model can drop what it reads of its later parts. `number`: the source's, for the infos. On failure the arenas hold leftovers. */
llm_status lm_gguf_read(lm_source *source, uint32_t number, lm_arena *key_arena, lm_arena *info_arena, lm_arena *name_arena, lm_gguf *out,
                        llm_error *error);

/* Sorts index[0..n) (filled here) so that the names at `names + index[i] * stride` (llm_str each) rise. Returns the place of the first
 * of two equal neighbours, or n if all differ. No more than n log n comparisons, whatever the names are. */
size_t lm_names_sort(const void *names, size_t stride, uint32_t *index, size_t n);
/* Place in `names` of the one wanted, or SIZE_MAX. */
size_t lm_names_find(const void *names, size_t stride, const uint32_t *index, size_t n, const char *name, size_t len);

#endif
