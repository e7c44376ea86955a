/* SPDX-License-Identifier: MIT
 * Pre-tokenizers of BPE: text into words, merges never cross them. Each model family fixed a regular expression (or several, each
 * applied inside the pieces of the one before) and gave the lot a name, which files carry. The expressions are hand-written,
 * linear scanners: scan.h. Floor 3. Threads: any. */
#ifndef LM_TEXT_PRETOKENIZE_H
#define LM_TEXT_PRETOKENIZE_H

#include "text/scan.h"

#include "llm.h"

enum { LM_PRE_STAGES = 6 };

/* What else the owner of a name decided. */
enum {
    LM_PRE_WHOLE = 1,           /* ignore_merges: a word that is a token is that token, whatever the merges say */
    LM_PRE_BOS = 2,             /* BOS is added unless the file says otherwise */
    LM_PRE_SEP = 4,             /* a separator stands between the two texts of a pair; nothing here encodes pairs yet */
    LM_PRE_CLEAN = 8,           /* LLM_DECODE_CLEAN_SPACES takes out what it does */
    LM_PRE_CHARS = 16,          /* tokens are written as text, with U+2581 for a space, and made of characters instead of bytes */
    LM_PRE_LINES = 32,          /* a run of newlines that is a token is that token */
    LM_PRE_GRAPHS = 64,         /* white space is dropped */
    LM_PRE_RANKS = 128          /* without merges ids are ranks: whatever two pieces make a token are merged, the lowest id first */
};

typedef struct lm_pre {
    const char *names;                  /* values of tokenizer.ggml.pre, with spaces between them */
    lm_scan *stages[LM_PRE_STAGES];     /* from the outermost to the innermost; NULL: no more */
    uint32_t flags;
} lm_pre;

/* NULL: not known. An absent or empty name is "default". */
const lm_pre *lm_pre_find(llm_str name);

typedef struct lm_pre_walk {
    const lm_pre *pre;
    const char *at, *end;
    const char *stage_end[LM_PRE_STAGES], *stage_mark[LM_PRE_STAGES];
} lm_pre_walk;

void lm_pre_begin(lm_pre_walk *walk, const lm_pre *pre, const char *text, size_t len);
/* The next word [*word, walk->at); false at the end. Words are never empty and leave no gaps. */
bool lm_pre_next(lm_pre_walk *walk, const char **word);

#endif
