/* SPDX-License-Identifier: MIT
 * A reply: what generate asked for, how far it is, and where its reader stands. The reply's tokens are the buffer: text is made from
 * them as it is read, so nothing is lost if the host reads late. Floor 9. Exclusive to its session. */
#ifndef LM_SESSION_REPLY_H
#define LM_SESSION_REPLY_H

#include "session/loaded.h"

#include "text/grammar/grammar.h"

/* What of a reply cannot be found again from its tokens: what stands in a save beside them, and what going on needs. */
typedef struct lm_reply_past {
    bool known;                         /* false: there is none */
    bool over;                          /* ended by a token, a stop or its grammar: does not go on */
    bool strip;                         /* as in lm_reply */
    uint64_t end, n_drawn;              /* its tokens are timeline[end - n_drawn, end) */
    uint64_t n_gone, n_unread;          /* n_unread: bytes of text that nobody has read */
} lm_reply_past;

typedef struct lm_reply {
    uint32_t flags;                     /* LLM_GENERATE_* */
    bool active;                        /* draws go on; false: ended */
    bool strip;                         /* the first token begins the text: it loses the space that its tokenizer puts there */
    bool final;                         /* no byte will follow */
    bool over, cut;                     /* over: as in lm_reply_past; cut: some of its tokens are no more */
    uint64_t seed, max_tokens;          /* max_tokens 0: no bound */
    const llm_sampler *sampler;         /* held; NULL: greedy */
    void (*on_logits)(void *user, float *logits, int32_t n_vocab);
    void *user;
    llm_str *stops; size_t n_stops;     /* into this block, as are all arrays here */
    llm_token *stop_tokens; size_t n_stop_tokens;
    size_t begin, n_drawn;              /* the reply's tokens are timeline[begin, begin + n_drawn) */
    uint64_t n_gone;                    /* drawn, but forgotten since by a context that slid */
    uint64_t n_bytes;                   /* of text, before the end that a stop set */
    uint64_t ready, read;               /* bytes that can be read; that were */
    size_t at_token, at_byte;           /* where `read` is: token of the timeline, byte in it */
    size_t max_stop;                    /* bytes of the longest stop string */
    size_t n_tail;
    lm_place place; size_t n_placed;    /* where the text stands in its grammar, after so many of its tokens; may be lost: grammar.c */
    char *tail;                         /* the last max_stop - 1 bytes, and room for one token more */
} lm_reply;

/* tokens: the timeline that the reply continues. past: for LLM_GENERATE_CONTINUE, what it goes on with. Owns: *out, freed with lm_reply_free. */
llm_status lm_reply_new(const llm_model *model, const llm_generate_desc *desc, const llm_token *tokens, size_t n_tokens, const lm_reply_past *past, lm_reply **out,
                        llm_error *error);
/* reply may be NULL. */
lm_reply_past lm_reply_remember(const lm_reply *reply);
void lm_reply_free(lm_host *host, lm_reply *reply);
/* What a token of the reply adds to its text. i: its place in the timeline. */
llm_str lm_reply_text(const lm_reply *reply, const lm_tokenizer *tokenizer, llm_token token, size_t i);
/* Takes in the token just drawn, which stands at the end of the timeline. Returns LLM_STATE_WORKING or how the reply ended. */
int32_t lm_reply_accept(lm_reply *reply, const lm_tokenizer *tokenizer, llm_token token);
/* No token will follow: what was kept back can be read. */
void lm_reply_end(lm_reply *reply);
/* The timeline was cut to n tokens: unread text beyond is dropped. */
void lm_reply_cut(lm_reply *reply, size_t n_tokens);
/* The most of `wanted` tokens from `keep` on that may be forgotten: text that is not read yet stays. */
size_t lm_reply_may_forget(const lm_reply *reply, size_t keep, size_t wanted);
/* timeline[keep, keep + n) was forgotten; what stood behind has moved down. */
void lm_reply_slide(lm_reply *reply, size_t keep, size_t n);
size_t lm_reply_read(lm_reply *reply, const lm_tokenizer *tokenizer, const llm_token *tokens, char *out, size_t cap);

#endif
