/* SPDX-License-Identifier: MIT
 * Tokenizers: text to ids and back. Fed with plain arrays, not with files. Immutable after creation, but for a tree under a lock. Floor 3.
 * Facts: SentencePiece's score-merge BPE, GPT-2's byte-level BPE. Threads: shared. */
#ifndef LM_TEXT_TOKENIZER_H
#define LM_TEXT_TOKENIZER_H

#include "text/trie.h"

#include "base/host.h"
#include "base/status.h"

#include <stdbool.h>

enum { LM_VOCAB_SPM = 1, LM_VOCAB_BPE = 2 };            /* tokenizer.ggml.model "llama", "gpt2" */
enum { LM_N_SPECIAL = 16 };                             /* indexed by LLM_SPECIAL_* */
enum { LM_FLAG_UNSET = -1 };                            /* of an int8_t flag: the kind's default */

/* What a vocabulary says. Borrowed for the call of lm_tokenizer_create, which copies what it needs. */
typedef struct lm_vocab_desc {
    int32_t  kind;                                      /* LM_VOCAB_* */
    llm_str  pre;                                       /* pre-tokenizer name of BPE; absent: "default" */
    const llm_str *tokens; uint32_t n_tokens;
    const float   *scores;  uint64_t n_scores;          /* SPM; NULL: all 0 */
    const int32_t *types;   uint64_t n_types;           /* LLM_TOKEN_*; NULL: all normal */
    const llm_str *merges;  uint64_t n_merges;          /* BPE: "left right" */
    int64_t  special[LM_N_SPECIAL];                     /* ids as the file says; -1: not said (then found by text where the field does so) */
    int8_t   add_bos, add_eos, add_space_prefix, ignore_merges;
} lm_vocab_desc;

typedef struct lm_tokenizer lm_tokenizer;
typedef struct lm_span { size_t from, to; } lm_span;    /* bytes [from, to) of a text */

/* E_FORMAT names the lie: wrong counts, NaN scores, an id outside, an unknown token type, a merge whose pieces do not exist ...
 * E_UNSUPPORTED: a pre-tokenizer that is not known. E_LIMIT: a token longer than 64 KiB, an empty vocabulary is E_FORMAT. */
llm_status lm_tokenizer_create(lm_host *host, const lm_vocab_desc *vocab, lm_tokenizer **out, llm_error *error);
void       lm_tokenizer_free(lm_tokenizer *tokenizer);

/* flags: LLM_ENCODE_*. Writes at most cap ids and sets *n to the full number; LLM_E_SPACE if cap is smaller. O(n log n). */
llm_status lm_tokenizer_encode(const lm_tokenizer *tokenizer, const char *text, size_t len, uint32_t flags,
                               llm_token *out, size_t cap, size_t *n, llm_error *error);
/* The same, but control tokens are found only where all their bytes lie in one of these spans, which rise and do not touch. The text is cut nowhere
 * else: where nobody tries to pass text off as a control token, the ids are those of the whole text. */
llm_status lm_tokenizer_encode_spans(const lm_tokenizer *tokenizer, const char *text, size_t len, uint32_t flags, const lm_span *spans, size_t n_spans,
                                     llm_token *out, size_t cap, size_t *n, llm_error *error);
llm_status lm_tokenizer_decode(const lm_tokenizer *tokenizer, const llm_token *tokens, size_t n_tokens, uint32_t flags,
                               char *out, size_t cap, size_t *n, llm_error *error);
uint32_t   lm_tokenizer_n_vocab(const lm_tokenizer *tokenizer);
llm_token  lm_tokenizer_special(const lm_tokenizer *tokenizer, int32_t which);
bool       lm_tokenizer_ends(const lm_tokenizer *tokenizer, llm_token token);       /* end of generation */
bool       lm_tokenizer_adds_bos(const lm_tokenizer *tokenizer);
int32_t    lm_tokenizer_kind(const lm_tokenizer *tokenizer, llm_token token);       /* LLM_TOKEN_NORMAL ... */
/* The bytes a token adds to text ("" for control tokens unless LLM_DECODE_SHOW_SPECIAL). Borrowed. token < n_vocab. */
llm_str    lm_tokenizer_bytes(const lm_tokenizer *tokenizer, llm_token token, uint32_t flags);
/* True if the first token of a text loses its leading space when decoded (SPM with a space prefix). */
bool       lm_tokenizer_strips_space(const lm_tokenizer *tokenizer);


/* What tokens add to a text, as a tree; *out is held for the caller. Made when it is first asked for and kept, so that what asks for it later has it
 * at once; where that fails the tokenizer is as it was. Only what text is made of is in it: no control tokens, none that are unknown or unused. */
llm_status lm_tokenizer_trie(const lm_tokenizer *tokenizer, lm_trie **out, llm_error *error);

#endif
