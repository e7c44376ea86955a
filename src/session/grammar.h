/* SPDX-License-Identifier: MIT
 * Grammars as recipes of samplers have them: an automaton over a vocabulary, with tables that all sessions share. Where a reply stands is a
 * number beside it; lost, it is found again by walking over the reply's tokens. Floor 9. Threads: shared; tables are under the lock. */
#ifndef LM_SESSION_GRAMMAR_H
#define LM_SESSION_GRAMMAR_H

#include "session/reply.h"

#include "text/grammar/grammar.h"

#include "base/thread.h"

struct llm_grammar {
    llm_engine *engine;                 /* held */
    _Atomic uint32_t refs;
    uint32_t n_vocab;
    lm_mutex lock;
    lm_trie *trie;                      /* held; the tokenizer's */
    lm_automaton *automaton;
    lm_matcher *matcher;
};

llm_status lm_grammar_new(llm_engine *engine, const lm_tokenizer *tokenizer, int32_t kind, uint32_t flags, const char *text, size_t len, llm_grammar **out,
                          llm_error *error);
void lm_grammar_hold(llm_grammar *grammar);
void lm_grammar_drop(llm_grammar *grammar);

/* The grammar that the reply's recipe has, or NULL. */
llm_grammar *lm_grammar_of(const lm_reply *reply);
/* Logits of tokens that may not come next become -infinity. *over: none may, the text is whole. tokens: the timeline. */
llm_status lm_grammar_mask(lm_reply *reply, const lm_tokenizer *tokenizer, const llm_token *tokens, float *logits, bool *over, llm_error *error);
/* What must come next, as tokens: *n of them, at most cap; *over as above. See docs/STRUCTURED.md for when a span is appended so. */
llm_status lm_grammar_forced(lm_reply *reply, const lm_tokenizer *tokenizer, const llm_token *tokens, llm_token *out, size_t cap, size_t *n, bool *over,
                             llm_error *error);

#endif
