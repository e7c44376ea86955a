/* SPDX-License-Identifier: MIT
 * Pre-tokenizers of byte-level BPE: text into words, merges never cross them. Each model family fixed a regular expression
 * (or several, applied one inside the pieces of the other); they are hand-written scanners here. Floor 3. Threads: any. */
#ifndef LM_TEXT_PRETOKENIZE_H
#define LM_TEXT_PRETOKENIZE_H

#include "llm.h"

#include <stdbool.h>

enum { LM_PRE_STAGES = 4 };
typedef struct lm_pre {
    const char *name;                   /* tokenizer.ggml.pre */
    uint8_t stages[LM_PRE_STAGES];      /* scanners from the outermost to the innermost; 0: none */
    bool ignore_merges;                 /* a word that is a token is that token, whatever the merges say */
    bool add_bos;                       /* unless the file says otherwise */
} lm_pre;

/* NULL: not known. An absent or empty name is "default". */
const lm_pre *lm_pre_find(llm_str name);

typedef struct lm_pre_walk {
    const lm_pre *pre;
    const char *at, *end;
    const char *stage_end[LM_PRE_STAGES];
} lm_pre_walk;

void lm_pre_begin(lm_pre_walk *walk, const lm_pre *pre, const char *text, size_t len);
/* The next word [*word, walk->at); false at the end. Words are never empty and leave no gaps. */
bool lm_pre_next(lm_pre_walk *walk, const char **word);

#endif
