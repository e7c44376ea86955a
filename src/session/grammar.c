/* SPDX-License-Identifier: MIT
 * Grammars over a tokenizer's vocabulary: masks of logits, and spans of which there is no choice. Floor 9. */
#include "session/grammar.h"

#include "session/sampler.h"

#include <math.h>
#include <string.h>

enum { GRAMMAR_SPAN = 192, GRAMMAR_SPAN_TOKENS = GRAMMAR_SPAN + 4 };

static void grammar_free(llm_grammar *grammar)
{
    llm_engine *engine = grammar->engine;
    lm_mem *mem = &engine->host.mem;
    lm_matcher_free(grammar->matcher);
    lm_automaton_free(mem, grammar->automaton);
    lm_trie_drop(grammar->trie);
    lm_mutex_destroy(&grammar->lock);
    lm_mem_free(mem, grammar);
    lm_engine_drop(engine);
}

llm_status lm_grammar_new(llm_engine *engine, const lm_tokenizer *tokenizer, int32_t kind, uint32_t flags, const char *text, size_t len, llm_grammar **out,
                          llm_error *error)
{
    lm_mem *mem = &engine->host.mem;
    llm_grammar *grammar = lm_mem_new(mem, sizeof *grammar, LLM_MEMORY_OTHER);
    if (!grammar)
        return lm_fail_memory(error, "a grammar", sizeof *grammar);
    llm_status status = lm_mutex_init(&grammar->lock, error);
    if (status < 0) {
        lm_mem_free(mem, grammar);
        return status;
    }
    grammar->engine = engine;
    lm_engine_hold(engine);
    atomic_init(&grammar->refs, 1);
    grammar->n_vocab = lm_tokenizer_n_vocab(tokenizer);
    status = lm_tokenizer_trie(tokenizer, &grammar->trie, error);
    if (status == LLM_OK)
        status = lm_automaton_new(mem, kind, flags, text, len, grammar->trie->alone, &grammar->automaton, error);
    if (status == LLM_OK)
        status = lm_matcher_new(mem, grammar->automaton, grammar->trie, 0, &grammar->matcher, error);
    if (status < 0) {
        grammar_free(grammar);
        return status;
    }
    *out = grammar;
    return LLM_OK;
}

void lm_grammar_hold(llm_grammar *grammar)
{
    atomic_fetch_add(&grammar->refs, 1);
}

void lm_grammar_drop(llm_grammar *grammar)
{
    if (grammar && atomic_fetch_sub(&grammar->refs, 1) == 1)
        grammar_free(grammar);
}

llm_grammar *lm_grammar_of(const lm_reply *reply)
{
    return reply && reply->sampler ? (llm_grammar *)(uintptr_t)reply->sampler->desc.grammar : NULL;
}

/* ---- under the lock --------------------------------------------------------------------------------------------------------- */

/* The reply's place comes up to its last token. */
static llm_status grammar_follow(llm_grammar *g, lm_reply *reply, const lm_tokenizer *tokenizer, const llm_token *tokens, llm_error *error)
{
    if (!lm_matcher_holds(g->matcher, reply->place)) {
        LM_TRY(lm_matcher_start(g->matcher, &reply->place, error));
        reply->n_placed = 0;
    }
    for (; reply->n_placed < reply->n_drawn; reply->n_placed++) {
        size_t at = reply->begin + reply->n_placed;
        llm_str text = lm_reply_text(reply, tokenizer, tokens[at], at);
        bool legal = true;
        llm_status status = lm_matcher_advance(g->matcher, &reply->place, text.ptr, text.len, &legal, error);
        if (status == LLM_OK && !legal)
            status = lm_fail(error, LLM_E_STATE, "token %zu of the reply is not what its grammar allows", reply->n_placed);
        if (status < 0) {
            reply->place = (lm_place){ 0, 0 };
            return status;
        }
    }
    return LLM_OK;
}

/* Sixty-four logits at a time, by what is rarer among them: tokens that may come or the others. */
static void grammar_apply(const lm_trie *trie, const lm_token_mask *mask, bool ends, float *logits)
{
    float none[64], kept[64];
    for (uint32_t k = 0; k < 64; k++)
        none[k] = -INFINITY;
    for (uint32_t i = 0; i * 64 < trie->n_tokens; i++) {
        uint32_t n = LM_MIN(64u, trie->n_tokens - i * 64), most = 0;
        uint64_t all = n == 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1, legal = (mask->bits[i] | (ends ? trie->ends[i] : 0)) & all, rest;
        float *at = logits + (size_t)i * 64;
        for (rest = legal; rest && most < 24; rest &= rest - 1, most++)
            kept[most] = at[__builtin_ctzll(rest)];
        if (rest == 0) {
            memcpy(at, none, n * sizeof *at);
            for (most = 0, rest = legal; rest; rest &= rest - 1)
                at[__builtin_ctzll(rest)] = kept[most++];
            continue;
        }
        for (rest = ~legal & all; rest; rest &= rest - 1)
            at[__builtin_ctzll(rest)] = -INFINITY;
    }
}

llm_status lm_grammar_mask(lm_reply *reply, const lm_tokenizer *tokenizer, const llm_token *tokens, float *logits, bool *over, llm_error *error)
{
    llm_grammar *g = lm_grammar_of(reply);
    lm_token_mask mask = { 0 };
    lm_mutex_lock(&g->lock);
    llm_status status = grammar_follow(g, reply, tokenizer, tokens, error);
    if (status == LLM_OK)
        status = lm_matcher_mask(g->matcher, reply->place, reply->strip && reply->n_drawn == 0, &mask, error);
    if (status == LLM_OK) {
        *over = mask.n_legal == 0;
        grammar_apply(g->trie, &mask, mask.may_end && !(reply->flags & LLM_GENERATE_IGNORE_END), logits);
    }
    lm_mutex_unlock(&g->lock);
    return status;
}

/* Tokens of the span that are the tokenizer's own whatever legal byte comes behind it: the first *n of out. */
static llm_status grammar_span(llm_grammar *g, lm_place place, const lm_tokenizer *tokenizer, char *span, size_t len, llm_token *out, size_t *n,
                               llm_error *error)
{
    llm_token other[GRAMMAR_SPAN_TOKENS];
    uint8_t bytes[32];
    bool legal = true;
    size_t n_other = 0, done = 0;
    LM_TRY(lm_matcher_advance(g->matcher, &place, span, len, &legal, error));
    lm_matcher_bytes(g->matcher, place, bytes);
    LM_TRY(lm_tokenizer_encode(tokenizer, span, len, LLM_ENCODE_CONTINUES, out, GRAMMAR_SPAN_TOKENS, n, error));
    for (uint32_t b = 0; b < 256 && *n > 0; b++) {
        if (!(bytes[b / 8] >> b % 8 & 1))
            continue;
        span[len] = (char)b;
        LM_TRY(lm_tokenizer_encode(tokenizer, span, len + 1, LLM_ENCODE_CONTINUES, other, GRAMMAR_SPAN_TOKENS, &n_other, error));
        size_t same = 0;
        while (same < *n && same < n_other && out[same] == other[same])
            same++;
        *n = same;
    }
    if (!lm_matcher_is_over(g->matcher, place) && *n > 0)
        (*n)--;                                             /* more than a byte may join the last one */
    for (size_t i = 0; i < *n; i++) {                       /* byte for byte what must come, of tokens that a text is made of */
        llm_str text = lm_tokenizer_bytes(tokenizer, out[i], 0);
        int32_t kind = lm_tokenizer_kind(tokenizer, out[i]);
        if (text.len == 0 || done + text.len > len || memcmp(span + done, text.ptr, text.len) != 0 || kind == LLM_TOKEN_CONTROL ||
            kind == LLM_TOKEN_UNKNOWN || lm_tokenizer_ends(tokenizer, out[i]))
            *n = i;
        else
            done += text.len;
    }
    return LLM_OK;
}

llm_status lm_grammar_forced(lm_reply *reply, const lm_tokenizer *tokenizer, const llm_token *tokens, llm_token *out, size_t cap, size_t *n, bool *over,
                             llm_error *error)
{
    llm_grammar *g = lm_grammar_of(reply);
    char span[GRAMMAR_SPAN + 1];
    llm_token ids[GRAMMAR_SPAN_TOKENS];
    size_t len = 0, n_ids = 0;
    *n = 0;
    *over = false;
    lm_mutex_lock(&g->lock);
    llm_status status = grammar_follow(g, reply, tokenizer, tokens, error);
    if (status == LLM_OK) {
        *over = lm_matcher_is_over(g->matcher, reply->place);
        status = lm_matcher_forced(g->matcher, reply->place, span, GRAMMAR_SPAN, &len, error);
    }
    if (status == LLM_OK && len > 1 && len < GRAMMAR_SPAN)
        status = grammar_span(g, reply->place, tokenizer, span, len, ids, &n_ids, error);
    lm_mutex_unlock(&g->lock);
    if (status == LLM_OK && n_ids != 0) {
        *n = LM_MIN(n_ids, cap);
        memcpy(out, ids, *n * sizeof *out);
    }
    return status;
}
