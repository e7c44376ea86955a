/* SPDX-License-Identifier: MIT
 * What the files of the tokenizer share: the tokenizer itself, and the work of one call of encode. Floor 3; for src/text alone. */
#ifndef LM_TEXT_ENCODER_H
#define LM_TEXT_ENCODER_H

#include "text/merge.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"

#include "base/thread.h"

#include <string.h>

enum { LM_MARK_KIND = 7, LM_MARK_ENDS = 8, LM_MARK_TEXT = 16 };    /* bits of a mark; TEXT: text that has its bytes may become it */

enum { LM_VOCAB_CHARS = 3 };                                /* what LM_VOCAB_BPE becomes where the pre-tokenizer says so */

/* Special tokens that text is searched for, sorted by their bytes: those that begin with byte b are [first[b], first[b + 1]). */
typedef struct lm_special_index {
    uint32_t *ids;
    uint32_t  n;
    uint32_t  first[257];
    uint8_t   begins[256];              /* 1: a user-defined token begins with this byte; 2: any other */
    uint64_t  best[256];                /* the longest that begins with this byte, of equals the lowest id, as a key of special.c */
} lm_special_index;

/* What is made late, once; so the only thing of a tokenizer that changes. */
typedef struct lm_late { lm_mutex lock; lm_trie *trie /* or NULL */; } lm_late;

/* Invariants: marks, tokens and pairs speak of ids below tokens.n; ids from n_vocab on are characters that are no tokens and
 * never leave encode. special[] holds ids below n_vocab or LLM_TOKEN_NONE. */
struct lm_tokenizer {
    lm_host   *host;
    lm_tokens  tokens;
    lm_pairs   pairs;
    uint32_t  *values;                  /* what pairs.result or pairs.order points to */
    uint8_t   *marks;                   /* [tokens.n]: LLM_TOKEN_* and LM_MARK_* */
    uint32_t   n_vocab;
    int32_t    kind;                    /* LM_VOCAB_*, CHARS too */
    const lm_pre *pre;                  /* BPE; SPM: NULL */
    uint32_t   bytes[256];              /* id that stands for a byte; LM_ID_NONE */
    uint32_t   ascii[128];              /* SPM, CHARS: id of a character, the space being U+2581 too */
    llm_token  special[LM_N_SPECIAL];
    lm_special_index index;
    lm_late   *late;
    bool add_bos, add_eos, add_space_prefix, ignore_merges;
    bool cleans;                        /* what it decodes has spaces that LLM_DECODE_CLEAN_SPACES takes out */
    bool inner_space;                   /* SPM, CHARS: merges cross from a letter to a space */
};

LM_INLINE uint32_t lm_token_kind(const lm_tokenizer *t, uint32_t id) { return t->marks[id] & LM_MARK_KIND; }
/* What ordinary text may become: never a control token, whatever the text says. */
LM_INLINE bool lm_token_plain(const lm_tokenizer *t, uint32_t id)
{
    uint32_t kind = lm_token_kind(t, id);
    return kind == LLM_TOKEN_NORMAL || kind == LLM_TOKEN_USER || kind == LLM_TOKEN_UNUSED;
}

/* ---- one call of encode ---- */

/* Words of up to 15 bytes that became at most 4 tokens, found by their bytes: text repeats itself. */
enum { LM_WORD_BYTES = 15, LM_WORD_TOKENS = 4, LM_WORDS = 4096 };
typedef struct lm_word { uint64_t low, high; uint32_t ids[LM_WORD_TOKENS]; } lm_word;

typedef struct lm_encoder {
    const lm_tokenizer *t;
    llm_token *out; size_t cap, n;      /* n counts on when out is full */
    uint32_t last[LM_WORD_TOKENS];      /* the last ids put, at n % LM_WORD_TOKENS */
    bool unknown;                       /* the last thing put was the unknown token */
    lm_merge_work work;
    lm_word *words;                     /* [LM_WORDS] or NULL */
} lm_encoder;

LM_INLINE void lm_encoder_put(lm_encoder *e, uint32_t id)
{
    if (e->n < e->cap)
        e->out[e->n] = (llm_token)id;
    e->last[e->n % LM_WORD_TOKENS] = id;
    e->n++;
    e->unknown = false;
}
/* Bytes that no token covers: byte tokens, or one unknown token for a run of them, or nothing. */
void lm_encoder_put_unknown(lm_encoder *e, const char *text, size_t len);
/* The slot of a word, of which `room` bytes can be read; NULL if it is too long or nothing is kept. *known: its tokens were put. */
lm_word *lm_encoder_recall(lm_encoder *e, const char *text, size_t len, size_t room, bool *known);
/* Keeps what was put since n_before as the tokens of the word of the last recall. */
void lm_encoder_keep(lm_encoder *e, lm_word *word, const char *text, size_t len, size_t n_before);

/* ---- byte-level BPE: bpe.c, merges.c ---- */

/* Mapped text to bytes; returns how many, and whether every character stood for a byte. out NULL: counts. */
size_t lm_bpe_bytes(llm_str text, char *out, bool *mapped);
llm_status lm_bpe_build(lm_tokenizer *t, const lm_vocab_desc *vocab, llm_error *error);     /* merges.c */
/* A merge is two pieces with a space between them: the first one behind the first character. */
bool lm_bpe_split_merge(llm_str merge, llm_str pieces[2]);
llm_status lm_bpe_merge_lie(llm_error *error, uint64_t index, const char *what);
llm_status lm_bpe_encode(lm_encoder *e, const char *text, size_t len, llm_error *error);

/* ---- SentencePiece: spm.c ---- */

size_t lm_spm_bytes(llm_str text, char *out);               /* U+2581 to spaces */
/* Characters that tokens hold and that are no tokens: a bit per code point in *bits (freed by the caller), their number and bytes. */
llm_status lm_spm_missing(lm_mem *mem, const lm_vocab_desc *vocab, const uint8_t *marks, uint64_t **bits, uint32_t *n, uint64_t *bytes, llm_error *error);
/* t->pairs: every way to cut a token into two, which leads to that token. Lower ids come first until t->pairs.order is set. */
llm_status lm_spm_find_pairs(lm_tokenizer *t, llm_error *error);
llm_status lm_spm_build(lm_tokenizer *t, const lm_vocab_desc *vocab, llm_error *error);
void lm_spm_find_ascii(lm_tokenizer *t);                    /* t->ascii, once all tokens can be found */
llm_status lm_spm_encode(lm_encoder *e, const char *text, size_t len, bool prefix, llm_error *error);

/* ---- BPE of characters: chars.c ---- */

llm_status lm_chars_build(lm_tokenizer *t, const lm_vocab_desc *vocab, llm_error *error);
llm_status lm_chars_encode(lm_encoder *e, const char *text, size_t len, llm_error *error);

/* ---- special tokens: special.c ---- */

/* From ids and texts: the kinds that texts force, special[], ends. Before the bytes of tokens are laid out. */
void lm_special_find(const lm_vocab_desc *vocab, uint8_t *marks, llm_token special[LM_N_SPECIAL]);
llm_status lm_special_build(lm_tokenizer *t, llm_error *error);
/* Where special tokens stand in text: *places, rising, each position << 32 | id; freed by the caller. Control tokens: inside of a span. */
llm_status lm_special_split(const lm_tokenizer *t, const char *text, size_t len, const lm_span *spans, size_t n_spans, uint64_t **places, size_t *n,
                            llm_error *error);

/* ---- decoding: clean.c ---- */

size_t lm_clean_spaces(char *text, size_t len);             /* in place; returns how many bytes are left */

#endif
