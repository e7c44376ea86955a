/* SPDX-License-Identifier: MIT
 * From drawn tokens to text and to an end.
 *
 * Invariants: 1. read <= ready <= n_bytes, counted in bytes of the reply's tokens. 2. The tail holds the last bytes of the text that
 * may belong to a stop string (fewer than the longest has). 3. A reply that ended has ready == n_bytes. */
#include "session/reply.h"

#include "session/sampler.h"

#include "text/stream.h"

#include "base/size.h"

#include <string.h>

enum { REPLY_CHUNK = 512, REPLY_MAX_STOPS = 4096, REPLY_MAX_STOP_BYTES = 65536 };

static llm_status reply_check(const llm_model *model, const llm_generate_desc *desc, size_t *text_bytes, size_t *max_stop, llm_error *error)
{
    uint32_t n_vocab = model->model->n_vocab;
    if (desc->flags & ~(uint32_t)(LLM_GENERATE_IGNORE_END | LLM_GENERATE_SCORE | LLM_GENERATE_SHOW_SPECIAL | LLM_GENERATE_CONTINUE))
        return lm_fail(error, LLM_E_UNSUPPORTED, "llm_generate_desc.flags is 0x%x: an unknown flag is set", desc->flags);
    if (desc->max_tokens < 0)
        return lm_fail(error, LLM_E_INVALID, "llm_generate_desc.max_tokens is %d: expected 0 or more", desc->max_tokens);
    if (desc->sampler && desc->sampler->n_vocab != n_vocab)
        return lm_fail(error, LLM_E_INVALID, "the sampler was made for %u tokens: this model has %u", desc->sampler->n_vocab, n_vocab);
    if (desc->sampler && desc->sampler->desc.grammar && !model->model->tokenizer)
        return lm_fail(error, LLM_E_STATE, "the sampler has a grammar: this model has no tokenizer");
    if ((desc->n_stops != 0 && !desc->stops) || (desc->n_stop_tokens != 0 && !desc->stop_tokens))
        return lm_fail(error, LLM_E_INVALID, "llm_generate_desc: stops or stop_tokens is NULL where its count is not 0");
    if (desc->n_stops > REPLY_MAX_STOPS || desc->n_stop_tokens > REPLY_MAX_STOPS)
        return lm_fail(error, LLM_E_LIMIT, "llm_generate_desc: at most %d stops and %d stop tokens", REPLY_MAX_STOPS, REPLY_MAX_STOPS);
    *text_bytes = *max_stop = 0;
    for (size_t i = 0; i < desc->n_stops; i++) {
        const llm_str *stop = &desc->stops[i];
        size_t len = stop->ptr && stop->len == LLM_NUL ? strlen(stop->ptr) : stop->len;
        if (!stop->ptr || len == 0)
            return lm_fail(error, LLM_E_INVALID, "llm_generate_desc.stops[%zu] is empty", i);
        if (len > REPLY_MAX_STOP_BYTES)
            return lm_fail(error, LLM_E_LIMIT, "llm_generate_desc.stops[%zu] has %zu bytes: at most %d", i, len, REPLY_MAX_STOP_BYTES);
        *text_bytes += len;
        *max_stop = LM_MAX(*max_stop, len);
    }
    for (size_t i = 0; i < desc->n_stop_tokens; i++)
        if (desc->stop_tokens[i] < 0 || (uint32_t)desc->stop_tokens[i] >= n_vocab)
            return lm_fail(error, LLM_E_INVALID, "llm_generate_desc.stop_tokens[%zu] is %d: the vocabulary has %u", i, desc->stop_tokens[i], n_vocab);
    return LLM_OK;
}

static llm_status reply_check_past(const llm_generate_desc *desc, const lm_reply_past *past, size_t n_tokens, llm_error *error)
{
    if (!past->known || past->end != n_tokens)
        return lm_fail(error, LLM_E_STATE, "the timeline ends with no reply that could go on");
    if (past->over)
        return lm_fail(error, LLM_E_STATE, "the reply has come to its end: it does not go on");
    if (desc->max_tokens != 0 && past->n_drawn + past->n_gone >= (uint64_t)desc->max_tokens)
        return lm_fail(error, LLM_E_INVALID, "llm_generate_desc.max_tokens is %d: the reply that goes on has %llu already", desc->max_tokens,
                       (unsigned long long)(past->n_drawn + past->n_gone));
    if (past->n_gone != 0 && desc->sampler && desc->sampler->desc.grammar)
        return lm_fail(error, LLM_E_STATE, "the context has slid over the reply's beginning: its place in a grammar is lost");
    return LLM_OK;
}

static bool reply_scan(lm_reply *reply, llm_str text);
static void reply_advance(lm_reply *reply, const lm_tokenizer *tokenizer, const llm_token *tokens, size_t n);

/* The reply comes to where it was. */
static llm_status reply_resume(lm_reply *reply, const lm_tokenizer *tokenizer, const llm_token *tokens, const lm_reply_past *past, llm_error *error)
{
    reply->begin = reply->at_token = (size_t)(past->end - past->n_drawn);
    reply->n_drawn = (size_t)past->n_drawn;
    reply->n_gone = past->n_gone;
    reply->strip = past->strip;
    for (size_t i = reply->begin; i < past->end; i++)
        if (reply_scan(reply, lm_reply_text(reply, tokenizer, tokens[i], i)))
            return lm_fail(error, LLM_E_INVALID, "llm_generate_desc.stops: one stands in the reply's text already");
    reply_advance(reply, tokenizer, tokens, (size_t)(reply->n_bytes - LM_MIN(reply->n_bytes, past->n_unread)));
    return LLM_OK;
}

llm_status lm_reply_new(const llm_model *model, const llm_generate_desc *desc, const llm_token *tokens, size_t n_tokens, const lm_reply_past *past, lm_reply **out,
                        llm_error *error)
{
    size_t text_bytes = 0, max_stop = 0;
    LM_TRY(reply_check(model, desc, &text_bytes, &max_stop, error));
    if (desc->flags & LLM_GENERATE_CONTINUE)
        LM_TRY(reply_check_past(desc, past, n_tokens, error));
    size_t tail = max_stop ? max_stop - 1 + model->longest_token : 0;
    size_t bytes = sizeof(lm_reply) + desc->n_stops * sizeof(llm_str) + desc->n_stop_tokens * sizeof(llm_token) + text_bytes + tail;
    lm_reply *reply = lm_mem_new(&model->engine->host.mem, bytes, LLM_MEMORY_OTHER);
    if (!reply)
        return lm_fail_memory(error, "a reply", bytes);
    reply->stops = (llm_str *)(void *)(reply + 1);
    reply->stop_tokens = (llm_token *)(void *)(reply->stops + desc->n_stops);
    char *text = (char *)(reply->stop_tokens + desc->n_stop_tokens);
    for (size_t i = 0; i < desc->n_stops; i++) {
        const llm_str *stop = &desc->stops[i];
        size_t len = stop->len == LLM_NUL ? strlen(stop->ptr) : stop->len;
        memcpy(text, stop->ptr, len);
        reply->stops[i] = (llm_str){ text, len };
        text += len;
    }
    if (desc->n_stop_tokens)
        memcpy(reply->stop_tokens, desc->stop_tokens, desc->n_stop_tokens * sizeof(llm_token));
    reply->tail = text;
    reply->n_stops = desc->n_stops;
    reply->n_stop_tokens = desc->n_stop_tokens;
    reply->max_stop = max_stop;
    reply->flags = desc->flags;
    reply->active = true;
    reply->seed = desc->seed;
    reply->max_tokens = (uint64_t)desc->max_tokens;
    reply->on_logits = desc->on_logits;
    reply->user = desc->user;
    reply->begin = reply->at_token = n_tokens;
    const lm_tokenizer *tokenizer = model->model->tokenizer;
    reply->strip = tokenizer && n_tokens == 1 && lm_tokenizer_strips_space(tokenizer) &&
                   lm_tokenizer_kind(tokenizer, tokens[0]) == LLM_TOKEN_CONTROL;
    if (desc->sampler) {
        reply->sampler = desc->sampler;
        lm_sampler_hold((llm_sampler *)(uintptr_t)desc->sampler);
    }
    llm_status status = desc->flags & LLM_GENERATE_CONTINUE ? reply_resume(reply, tokenizer, tokens, past, error) : LLM_OK;
    if (status < 0) {
        lm_reply_free(&model->engine->host, reply);
        return status;
    }
    *out = reply;
    return LLM_OK;
}

lm_reply_past lm_reply_remember(const lm_reply *reply)
{
    lm_reply_past past = { 0 };
    if (reply && !reply->cut)
        past = (lm_reply_past){ true, reply->over, reply->strip, reply->begin + reply->n_drawn, reply->n_drawn, reply->n_gone, reply->n_bytes - reply->read };
    return past;
}

void lm_reply_free(lm_host *host, lm_reply *reply)
{
    if (!reply)
        return;
    lm_sampler_drop((llm_sampler *)(uintptr_t)reply->sampler);
    lm_mem_free(&host->mem, reply);
}

llm_str lm_reply_text(const lm_reply *reply, const lm_tokenizer *tokenizer, llm_token token, size_t i)
{
    llm_str text = { "", 0 };
    if (tokenizer)
        text = lm_tokenizer_bytes(tokenizer, token, reply->flags & LLM_GENERATE_SHOW_SPECIAL ? LLM_DECODE_SHOW_SPECIAL : 0);
    if (reply->strip && i == reply->begin && text.len > 0 && text.ptr[0] == ' ') {
        text.ptr++;
        text.len--;
    }
    return text;
}

/* Adds text and looks for stops in it. True: one was found, and the text ends before it. */
static bool reply_scan(lm_reply *reply, llm_str text)
{
    reply->n_bytes += text.len;
    if (reply->n_stops == 0) {
        reply->ready = reply->n_bytes;                      /* half characters are held back by the reader */
        return false;
    }
    size_t before = reply->n_tail;
    if (text.len)
        memcpy(reply->tail + before, text.ptr, text.len);
    reply->n_tail += text.len;
    size_t stop = lm_stream_find_stop(reply->tail, reply->n_tail, before, reply->stops, reply->n_stops);
    if (stop != LLM_NUL) {
        reply->n_bytes -= reply->n_tail - stop;
        reply->ready = reply->n_bytes;
        return true;
    }
    reply->ready = reply->n_bytes - (reply->n_tail - lm_stream_ready(reply->tail, reply->n_tail, false, reply->stops, reply->n_stops));
    if (reply->n_tail > reply->max_stop - 1) {
        memmove(reply->tail, reply->tail + (reply->n_tail - (reply->max_stop - 1)), reply->max_stop - 1);
        reply->n_tail = reply->max_stop - 1;
    }
    return false;
}

int32_t lm_reply_accept(lm_reply *reply, const lm_tokenizer *tokenizer, llm_token token)
{
    int32_t end = LLM_STATE_WORKING;
    size_t i = reply->begin + reply->n_drawn++;
    if (tokenizer && !(reply->flags & LLM_GENERATE_IGNORE_END) && lm_tokenizer_ends(tokenizer, token))
        end = LLM_END_TOKEN;
    for (size_t s = 0; s < reply->n_stop_tokens && end == LLM_STATE_WORKING; s++)
        if (reply->stop_tokens[s] == token)
            end = LLM_END_STOP;
    if (end == LLM_STATE_WORKING && reply_scan(reply, lm_reply_text(reply, tokenizer, token, i)))
        end = LLM_END_STOP;
    reply->over = end != LLM_STATE_WORKING;
    if (end == LLM_STATE_WORKING && reply->max_tokens != 0 && reply->n_drawn + reply->n_gone >= reply->max_tokens)
        end = LLM_END_LENGTH;
    if (end != LLM_STATE_WORKING)
        lm_reply_end(reply);
    return end;
}

void lm_reply_end(lm_reply *reply)
{
    reply->active = false;
    reply->final = true;
    reply->ready = reply->n_bytes;
}

void lm_reply_cut(lm_reply *reply, size_t n_tokens)
{
    if (n_tokens >= reply->begin + reply->n_drawn)
        return;
    reply->n_bytes = reply->ready = reply->read;
    reply->final = true;
    reply->cut = true;
}

size_t lm_reply_may_forget(const lm_reply *reply, size_t keep, size_t wanted)
{
    if (reply->read == reply->n_bytes || reply->at_token >= keep + wanted)
        return wanted;
    return reply->at_token > keep ? reply->at_token - keep : 0;
}

void lm_reply_slide(lm_reply *reply, size_t keep, size_t n)
{
    size_t end = reply->begin + reply->n_drawn, from = LM_MAX(reply->begin, keep), to = LM_MIN(end, keep + n), gone = to > from ? to - from : 0;
    reply->n_drawn -= gone;
    reply->n_gone += gone;
    if (reply->begin >= keep && reply->begin < keep + n)
        reply->strip = false;                               /* the first token has gone */
    if (reply->begin >= keep)
        reply->begin = reply->begin >= keep + n ? reply->begin - n : keep;
    if (reply->at_token >= keep + n) {
        reply->at_token -= n;
    } else {
        reply->at_token = reply->begin + reply->n_drawn;    /* all is read */
        reply->at_byte = 0;
    }
}

/* Bytes of the text from the cursor on, as many as fit. */
static size_t reply_gather(const lm_reply *reply, const lm_tokenizer *tokenizer, const llm_token *tokens, char *out, size_t cap)
{
    uint64_t left = reply->ready - reply->read;
    size_t n = 0, at = reply->at_byte;
    cap = left < cap ? (size_t)left : cap;
    for (size_t i = reply->at_token; n < cap; i++, at = 0) {
        llm_str text = lm_reply_text(reply, tokenizer, tokens[i], i);
        size_t take = LM_MIN(text.len - at, cap - n);
        if (take)
            memcpy(out + n, text.ptr + at, take);
        n += take;
    }
    return n;
}

static void reply_advance(lm_reply *reply, const lm_tokenizer *tokenizer, const llm_token *tokens, size_t n)
{
    reply->read += n;
    while (n > 0) {
        size_t left = lm_reply_text(reply, tokenizer, tokens[reply->at_token], reply->at_token).len - reply->at_byte;
        if (n < left) {
            reply->at_byte += n;
            break;
        }
        n -= left;
        reply->at_token++;
        reply->at_byte = 0;
    }
}

size_t lm_reply_read(lm_reply *reply, const lm_tokenizer *tokenizer, const llm_token *tokens, char *out, size_t cap)
{
    size_t written = 0;
    if (cap == 0)
        return 0;
    out[0] = 0;
    while (reply->read < reply->ready) {
        char chunk[REPLY_CHUNK];
        size_t n = reply_gather(reply, tokenizer, tokens, chunk, sizeof chunk), used = 0;
        bool final = reply->final && reply->read + n == reply->ready;
        written += lm_stream_read(chunk, n, final, &used, out + written, cap - written);
        if (used == 0)
            break;
        reply_advance(reply, tokenizer, tokens, used);
    }
    return written;
}
