/* SPDX-License-Identifier: MIT
 * libllm perplexity: how well a model foretells a text, and how far its predictions lie from those of a base model.
 *
 * The text's tokens are cut into windows of n_ctx; of each window the model sees all, and tokens that have seen enough are scored:
 *   chunks (the default)   windows side by side; the second half of each is scored
 *   --ppl-stride S         windows every S tokens; the last S of each are scored, so that every token is scored once
 * Where the model wants a BOS, each window's first token becomes one. Chunks and the base file are those of llama.cpp's tool. */
#define _POSIX_C_SOURCE 200809L
#include "json.h"
#include "perplexity.h"
#include "tool.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char base_magic[8] = { '_', 'l', 'o', 'g', 'i', 't', 's', '_' };
enum { MIN_CTX = 8, DEFAULT_CTX = 512, MAX_CTX = 1 << 20 };

typedef struct ppl_state {
    const tool_args *args;
    tool_model  opened;
    llm_session *session;
    llm_token   *tokens;                        /* [n_tokens] of the text or the base file */
    size_t       n_tokens;
    int32_t      n_ctx, n_vocab, n_windows, stride, first;  /* first: position in the window of the first scored token */
    llm_token    bos;                           /* or LLM_TOKEN_NONE */
    llm_token   *window;                        /* [n_ctx] being scored */
    uint16_t    *record;
    FILE        *base;                          /* read or written, or NULL */
    bool         compares;
    const char  *trouble;                       /* of on_score: NULL is none */
    ppl_sum      nll;
    ppl_compare  compare;
} ppl_state;

/* ---- scoring ------------------------------------------------------------------------------------------------------------ */

static void ppl_on_score(void *user, size_t position, const float *logits, int32_t n_vocab)
{
    ppl_state *p = user;
    llm_token token = p->window[position];
    size_t n = ppl_record_items(n_vocab);

    if (p->trouble)
        return;
    ppl_add(&p->nll, ppl_nll(logits, n_vocab, token));
    if (!p->base)
        return;
    if (!p->compares) {
        ppl_record_make(p->record, logits, n_vocab);
        if (fwrite(p->record, sizeof *p->record, n, p->base) != n)
            p->trouble = "cannot write the base file";
    } else if (fread(p->record, sizeof *p->record, n, p->base) != n) {
        p->trouble = "the base file ends too early";
    } else if (!ppl_compare_add(&p->compare, p->record, logits, n_vocab, token)) {
        p->trouble = "no memory for the values of all tokens";
    }
}

static int ppl_window(ppl_state *p, int32_t index)
{
    llm_error error;
    llm_status status;
    size_t from = (size_t)index * (size_t)p->stride;

    memcpy(p->window, p->tokens + from, (size_t)p->n_ctx * sizeof *p->window);
    if (p->bos != LLM_TOKEN_NONE)
        p->window[0] = p->bos;
    if (llm_session_sync(p->session, p->window, (size_t)p->first, 0, &error) != LLM_OK ||
        llm_session_append(p->session, p->window + p->first, (size_t)(p->n_ctx - p->first), LLM_APPEND_SCORE, &error) != LLM_OK)
        return tool_fail(p->args, "cannot take in a window", &error);
    do
        status = llm_session_step(&p->session, 1, LLM_FOREVER, 0, &error);
    while (status == LLM_MORE);
    if (status < 0)
        return tool_fail(p->args, "cannot score a window", &error);
    if (tool_interrupted() || llm_session_state(p->session) == LLM_END_CANCELLED) {
        fprintf(stderr, "libllm %s: interrupted\n", p->args->name);
        return TOOL_INTERRUPTED;
    }
    if (p->trouble) {
        fprintf(stderr, "libllm %s: %s\n", p->args->name, p->trouble);
        return TOOL_FAILED;
    }
    return TOOL_OK;
}

static void ppl_progress(const ppl_state *p, int32_t done, double seconds)
{
    bool terminal = isatty(STDERR_FILENO);
    double rest = seconds / done * (p->n_windows - done);

    if (p->args->quiet || (!terminal && done % 64 != 0 && done != p->n_windows))
        return;
    fprintf(stderr, "%swindow %d of %d: perplexity %.4f, %.0f s left%s", terminal ? "\r" : "", done, p->n_windows, exp(ppl_mean_of(&p->nll).mean), rest,
            terminal && done < p->n_windows ? "   " : terminal ? "             \n" : "\n");
    fflush(stderr);
}

static int ppl_score(ppl_state *p)
{
    double start = tool_seconds();

    for (int32_t i = 0; i < p->n_windows; i++) {
        int code = ppl_window(p, i);
        if (code != TOOL_OK)
            return code;
        ppl_progress(p, i + 1, tool_seconds() - start);
    }
    return TOOL_OK;
}

/* ---- where tokens come from --------------------------------------------------------------------------------------------- */

static int ppl_fail(const ppl_state *p, const char *path, const char *what)
{
    fprintf(stderr, "libllm %s: %s: %s\n", p->args->name, path, what);
    return TOOL_FAILED;
}

static int ppl_room(ppl_state *p)
{
    p->window = malloc((size_t)p->n_ctx * sizeof *p->window);
    p->record = malloc(ppl_record_items(p->n_vocab) * sizeof *p->record);
    return p->window && p->record ? TOOL_OK : ppl_fail(p, "memory", "not enough for a window");
}

static int ppl_from_text(ppl_state *p, const llm_tokenizer *tokenizer)
{
    const tool_args *args = p->args;
    size_t len = 0, n = 0;
    char *text = tool_read_file(args->prompt_file, &len);
    llm_error error;
    int code = TOOL_OK;

    if (!text)
        return ppl_fail(p, args->prompt_file, strerror(errno));
    if (!tokenizer) {
        code = ppl_fail(p, args->model ? args->model : args->shape, "this file has no tokenizer");
    } else if (!(p->tokens = malloc((len + 2) * sizeof *p->tokens))) {
        code = ppl_fail(p, args->prompt_file, "no memory for its tokens");
    } else if (llm_tokenizer_encode(tokenizer, text, len, LLM_ENCODE_ADD_SPECIAL | (args->parse_special ? LLM_ENCODE_PARSE_SPECIAL : 0), p->tokens, len + 2,
                                    &n, &error) != LLM_OK) {
        code = tool_fail(args, "cannot encode the text", &error);
    }
    free(text);
    if (code != TOOL_OK)
        return code;
    p->n_tokens = n;
    p->n_ctx = args->n_ctx ? (int32_t)args->n_ctx : DEFAULT_CTX;
    p->stride = args->ppl_stride ? (int32_t)args->ppl_stride : p->n_ctx;
    if (p->n_ctx < MIN_CTX || p->n_ctx > MAX_CTX || p->stride > p->n_ctx)
        return tool_usage(args, "windows of %d tokens, %d apart: expected %d to %d, and a stride up to the window", p->n_ctx, p->stride, MIN_CTX, MAX_CTX);
    p->first = args->ppl_stride && p->stride < p->n_ctx ? p->n_ctx - p->stride : p->n_ctx / 2 + 1;
    if (p->n_tokens < (size_t)p->n_ctx) {
        fprintf(stderr, "libllm %s: %s has %zu tokens, a window needs %d: give more text, or a smaller window with -c\n", args->name, args->prompt_file,
                p->n_tokens, p->n_ctx);
        return TOOL_FAILED;
    }
    p->n_windows = (int32_t)((p->n_tokens - (size_t)p->n_ctx) / (size_t)p->stride + 1);
    if (args->chunks > 0 && args->chunks < p->n_windows)
        p->n_windows = (int32_t)args->chunks;
    return ppl_room(p);
}

/* The head of a new base file. */
static int ppl_write_base(ppl_state *p)
{
    int32_t head[3] = { p->n_ctx, p->n_vocab, p->n_windows };
    size_t n = (size_t)p->n_windows * (size_t)p->n_ctx;

    p->base = fopen(p->args->save_logits, "wb");
    if (!p->base || fwrite(base_magic, 1, 8, p->base) != 8 || fwrite(head, sizeof head, 1, p->base) != 1 ||
        fwrite(p->tokens, sizeof *p->tokens, n, p->base) != n)
        return ppl_fail(p, p->args->save_logits, strerror(errno));
    return TOOL_OK;
}

static int ppl_from_base(ppl_state *p)
{
    const char *path = p->args->kl_base;
    char magic[8];
    int32_t head[3];
    size_t n;
    uint64_t size;

    p->compares = true;
    if (!(p->base = fopen(path, "rb")))
        return ppl_fail(p, path, strerror(errno));
    if (fread(magic, 1, 8, p->base) != 8 || memcmp(magic, base_magic, 8) != 0 || fread(head, sizeof head, 1, p->base) != 1)
        return ppl_fail(p, path, "this is no base file: write one with --save-all-logits");
    if (head[0] < MIN_CTX || head[0] > MAX_CTX || head[1] < 1 || head[2] < 1)
        return ppl_fail(p, path, "its head is damaged");
    if (head[1] != p->n_vocab) {
        fprintf(stderr, "libllm %s: %s is of a model with %d tokens, this one has %d\n", p->args->name, path, head[1], p->n_vocab);
        return TOOL_FAILED;
    }
    p->n_ctx = p->stride = head[0];
    p->n_windows = head[2];
    p->first = p->n_ctx / 2 + 1;
    n = (size_t)p->n_windows * (size_t)p->n_ctx;
    size = 20 + (uint64_t)n * 4 + (uint64_t)p->n_windows * (uint64_t)(p->n_ctx - p->first) * ppl_record_items(p->n_vocab) * 2;
    if (fseeko(p->base, 0, SEEK_END) != 0 || (uint64_t)ftello(p->base) != size || fseeko(p->base, 20, SEEK_SET) != 0) {
        fprintf(stderr, "libllm %s: %s: expected %llu bytes by its head: it is damaged, or not all was written\n", p->args->name, path,
                (unsigned long long)size);
        return TOOL_FAILED;
    }
    if (!(p->tokens = malloc(n * sizeof *p->tokens)) || fread(p->tokens, sizeof *p->tokens, n, p->base) != n)
        return ppl_fail(p, path, "cannot read its tokens");
    for (size_t i = 0; i < n; i++)
        if (p->tokens[i] < 0 || p->tokens[i] >= p->n_vocab)
            return ppl_fail(p, path, "it has tokens that are not in the vocabulary");
    if (p->args->chunks > 0 && p->args->chunks < p->n_windows)
        p->n_windows = (int32_t)p->args->chunks;
    p->n_tokens = n;
    return ppl_room(p);
}

/* ---- what comes out ----------------------------------------------------------------------------------------------------- */

static void ppl_line(json *j, const char *key, const char *label, double value, double error, const char *unit)
{
    if (j) {
        char name[64];
        json_number(j, key, value);
        if (error >= 0) {
            snprintf(name, sizeof name, "%s_error", key);
            json_number(j, name, error);
        }
    } else if (error >= 0) {
        printf("%-28s %12.6f +/- %.6f%s\n", label, value, error, unit);
    } else {
        printf("%-28s %12.6f%s\n", label, value, unit);
    }
}

static void ppl_results(ppl_state *p)
{
    static const struct { const char *key, *label; double fraction; } quantiles[] = {
        { "max", "largest", 1 }, { "q999", "99.9 %", 0.999 }, { "q99", "99 %", 0.99 }, { "q95", "95 %", 0.95 }, { "median", "median", 0.5 },
        { "q05", "5 %", 0.05 }, { "q01", "1 %", 0.01 }, { "q001", "0.1 %", 0.001 }, { "min", "least", 0 },
    };
    ppl_compare *c = &p->compare;
    ppl_mean nll = ppl_mean_of(&p->nll), base, kl, dp, squares;
    double ppl = exp(nll.mean), n = (double)c->kl.n, same, covariance, log_ratio, log_error;
    json writer = { stdout, 0, true }, *j = p->args->json ? &writer : NULL;
    char key[32], label[48];

    if (j) {
        json_open(j, NULL, '{');
        json_int(j, "n_ctx", p->n_ctx);
        json_int(j, "stride", p->stride);
        json_int(j, "windows", p->n_windows);
        json_uint(j, "scored", p->nll.n);
    } else {
        printf("%d windows of %d tokens, %llu tokens scored\n", p->n_windows, p->n_ctx, (unsigned long long)p->nll.n);
    }
    ppl_line(j, "nll", "negative log-likelihood", nll.mean, nll.error, "");
    ppl_line(j, "perplexity", "perplexity", ppl, ppl * nll.error, "");
    if (p->compares && c->kl.n > 1) {
        base = ppl_mean_of(&c->nll_base);
        kl = ppl_mean_of(&c->kl);
        dp = ppl_mean_of(&c->dp);
        squares = ppl_mean_of(&c->dp_squares);
        same = (double)c->same_top / n;
        covariance = (c->nll_products / n - nll.mean * base.mean) / (n - 1);
        log_ratio = nll.mean - base.mean;
        log_error = nll.error * nll.error + base.error * base.error - 2 * covariance;
        log_error = log_error > 0 ? sqrt(log_error) : 0;
        ppl_line(j, "base_perplexity", "perplexity of the base", exp(base.mean), exp(base.mean) * base.error, "");
        ppl_line(j, "perplexity_ratio", "ratio to the base's", exp(log_ratio), exp(log_ratio) * log_error, "");
        ppl_line(j, "correlation", "correlation", nll.error * base.error > 0 ? covariance / (nll.error * base.error) : 1, -1, "");
        ppl_line(j, "kl", "KL divergence, mean", kl.mean, kl.error, "");
        for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
            snprintf(key, sizeof key, "kl_%s", quantiles[i].key);
            snprintf(label, sizeof label, "KL divergence, %s", quantiles[i].label);
            ppl_line(j, key, label, ppl_quantile(c, c->kls, quantiles[i].fraction), -1, "");
        }
        ppl_line(j, "dp", "change of p(token), mean", 100 * dp.mean, 100 * dp.error, " %");
        ppl_line(j, "dp_rms", "change of p(token), RMS", 100 * sqrt(squares.mean), squares.mean > 0 ? 50 * squares.error / sqrt(squares.mean) : 0, " %");
        for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
            snprintf(key, sizeof key, "dp_%s", quantiles[i].key);
            snprintf(label, sizeof label, "change of p(token), %s", quantiles[i].label);
            ppl_line(j, key, label, 100 * ppl_quantile(c, c->dps, quantiles[i].fraction), -1, " %");
        }
        ppl_line(j, "same_top", "same likeliest token", 100 * same, 100 * sqrt(same * (1 - same) / (n - 1)), " %");
    }
    if (j)
        json_close(j, '}');
}

/* ---- the command -------------------------------------------------------------------------------------------------------- */

/* The token that the model wants at the beginning, if it wants one: what no text at all becomes. */
static llm_token ppl_bos(const llm_tokenizer *tokenizer)
{
    llm_token ids[4];
    size_t n = 0;

    if (tokenizer && llm_tokenizer_encode(tokenizer, "", 0, LLM_ENCODE_ADD_SPECIAL, ids, 4, &n, NULL) == LLM_OK && n > 0 &&
        ids[0] == llm_tokenizer_special(tokenizer, LLM_SPECIAL_BOS))
        return ids[0];
    return LLM_TOKEN_NONE;
}

static int ppl_open(ppl_state *p)
{
    const tool_args *args = p->args;
    const llm_tokenizer *tokenizer;
    llm_model_info info = LLM_INIT(llm_model_info);
    llm_session_desc session = LLM_INIT(llm_session_desc);
    llm_error error;
    int code = tool_open(args, (int32_t)args->n_threads, 0, &p->opened);

    if (code != TOOL_OK)
        return code;
    tokenizer = llm_model_tokenizer(p->opened.model);
    if (llm_model_get_info(p->opened.model, &info, &error) != LLM_OK)
        return tool_fail(args, "cannot read the model", &error);
    p->n_vocab = info.n_vocab;
    p->bos = ppl_bos(tokenizer);
    code = args->kl_base ? ppl_from_base(p) : ppl_from_text(p, tokenizer);
    if (code == TOOL_OK && args->save_logits)
        code = ppl_write_base(p);
    if (code != TOOL_OK)
        return code;
    if (p->n_ctx > info.n_ctx_train && !args->quiet)
        fprintf(stderr, "the model was trained for %d tokens, the windows are longer\n", info.n_ctx_train);
    session.n_ctx = p->n_ctx;
    session.state_type = args->state_type;
    if (llm_session_create(p->opened.model, &session, &p->session, &error) != LLM_OK ||
        llm_session_watch_scores(p->session, ppl_on_score, p, &error) != LLM_OK)
        return tool_fail(args, "cannot start a session", &error);
    tool_watch(p->session);
    return TOOL_OK;
}

int perplexity_main(const tool_args *args)
{
    ppl_state p = { .args = args };
    int code;

    tool_catch_interrupts();
    code = ppl_open(&p);
    if (code == TOOL_OK)
        code = ppl_score(&p);
    if (p.base && fclose(p.base) != 0 && args->save_logits && code == TOOL_OK)
        code = ppl_fail(&p, args->save_logits, strerror(errno));
    if (args->save_logits && p.base && code != TOOL_OK)
        remove(args->save_logits);                      /* half a file is of no use */
    if (code == TOOL_OK)
        ppl_results(&p);
    tool_watch(NULL);
    llm_session_free(p.session);
    tool_close(&p.opened);
    ppl_compare_free(&p.compare);
    free(p.tokens);
    free(p.window);
    free(p.record);
    return code;
}
