/* SPDX-License-Identifier: MIT
 * llm_complete: completes text for an editor, which runs it as a child process: one JSON object a line in, one a line out.
 *
 *   in   {"id": 7, "prefix": "int main", "suffix": "}\n", "max_tokens": 48, "one_line": true, "show_prompt": false}
 *        {"cancel": true}
 *   out  {"ready": true, "model": "...", "fim": false}            when the model is there
 *        {"id": 7, "text": "(void)"}                              pieces, as they come
 *        {"id": 7, "prompt_tokens": [612, 9]}                     what the model is given, where show_prompt asks for it
 *        {"id": 7, "end": "line", "prompt": 31, "new": 2, "tokens": 3, "ms": 9.1}     the last word on each request
 *        {"error": "..."}                                         with "id", if it is about a request
 *
 * "end" is line, token (the model has ended it), length (max_tokens), context, cancelled. "prompt" counts the tokens that the answer is made from,
 * "new" those of them that the session had not yet taken in: typing on costs these alone. All but "id" and "prefix" may be left out.
 *
 * A request, or a cancel, ends the one in progress, whose last word then is "cancelled". Two threads: the reader takes lines from standard
 * input, keeps the newest request and cancels; the main thread computes. The end of the input ends the program. */
#define _POSIX_C_SOURCE 200809L
#include <llm.h>

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CHUNK = 64,                                 /* tokens of a pass: what a cancel can make the session take in anew, at most */
    MAX_TOKENS = 48,                            /* of an answer, where a request says nothing */
    HEALED = 64                                 /* bytes of a token that may be drawn again */
};

/* What both threads see. `lock` guards all of it, and is held while a cancel is given: so it cannot hit the next request. */
typedef struct desk {
    pthread_mutex_t lock;
    pthread_cond_t  news;
    llm_session    *session;
    cJSON          *next;                       /* the newest request, not yet begun; or NULL */
    bool            stop, closed;               /* the one in progress is to end; the input has ended */
} desk;

typedef struct completer {
    desk           *desk;
    llm_session    *session;
    const llm_tokenizer *tokenizer;
    llm_token       fim[3];                     /* FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE */
    bool            has_fim;
    size_t          n_ctx;
    llm_token      *tokens;                     /* of the prompt in the making */
    size_t          n, cap;
    char            healed[HEALED];             /* bytes that the answer begins with: see heal() */
    size_t          n_healed, n_drawn;          /* how many; how many of them are there already */
} completer;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- talking ----------------------------------------------------------------------------------------------------------------- */

/* Takes the object. One call of stdio a line, so lines of both threads stay whole. */
static void say(cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);
    if (text) {
        printf("%s\n", text);
        fflush(stdout);
    }
    cJSON_free(text);
    cJSON_Delete(object);
}

static cJSON *answer_to(const cJSON *request)
{
    cJSON *answer = cJSON_CreateObject();
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(request, "id");
    if (id)
        cJSON_AddItemToObject(answer, "id", cJSON_Duplicate(id, 1));
    return answer;
}

static void say_error(const cJSON *request, const char *message)
{
    cJSON *answer = answer_to(request);
    cJSON_AddStringToObject(answer, "error", message);
    say(answer);
}

static void say_cancelled(const cJSON *request)
{
    cJSON *answer = answer_to(request);
    cJSON_AddStringToObject(answer, "end", "cancelled");
    say(answer);
}

/* The reader: every line is either the newest request, or ends the one in progress. */
static void *read_lines(void *user)
{
    desk *d = user;
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, stdin) > 0) {
        cJSON *request = cJSON_Parse(line), *dropped;
        bool cancel = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(request, "cancel"));
        if (!cancel && !cJSON_IsString(cJSON_GetObjectItemCaseSensitive(request, "prefix"))) {
            say_error(request, "expected a line of JSON: an object with \"prefix\" or \"cancel\"");
            cJSON_Delete(request);
            continue;
        }
        if (cancel) {
            cJSON_Delete(request);
            request = NULL;
        }
        pthread_mutex_lock(&d->lock);
        dropped = d->next;                      /* never begun */
        d->next = request;
        d->stop = true;
        llm_session_cancel(d->session);         /* anytime, from any thread; within 10 ms on the CPU */
        pthread_cond_signal(&d->news);
        pthread_mutex_unlock(&d->lock);
        if (dropped)
            say_cancelled(dropped);
        cJSON_Delete(dropped);
    }
    free(line);
    pthread_mutex_lock(&d->lock);
    d->stop = d->closed = true;
    llm_session_cancel(d->session);
    pthread_cond_signal(&d->news);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* NULL: there will be none any more. */
static cJSON *next_request(desk *d)
{
    cJSON *request;
    pthread_mutex_lock(&d->lock);
    while (!d->next && !d->closed)
        pthread_cond_wait(&d->news, &d->lock);
    request = d->closed ? NULL : d->next;
    if (request) {
        d->next = NULL;
        d->stop = false;
    }
    pthread_mutex_unlock(&d->lock);
    return request;
}

static bool stopped(desk *d)
{
    bool stop;
    pthread_mutex_lock(&d->lock);
    stop = d->stop;
    pthread_mutex_unlock(&d->lock);
    return stop;
}

/* ---- the prompt -------------------------------------------------------------------------------------------------------------- */

/* Text at the end of the prompt, never as control tokens, whatever it says. flags: LLM_ENCODE_*. */
static llm_status put_text(completer *c, const char *text, uint32_t flags, llm_error *error)
{
    size_t len = strlen(text), n = 0;
    if (c->cap - c->n < len + 8) {
        size_t cap = 2 * (c->n + len) + 64;
        llm_token *grown = realloc(c->tokens, cap * sizeof *grown);
        if (!grown) {
            *error = (llm_error){ .status = LLM_E_MEMORY, .message = "not enough memory for the prompt" };
            return LLM_E_MEMORY;
        }
        c->tokens = grown;
        c->cap = cap;
    }
    llm_status status = llm_tokenizer_encode(c->tokenizer, text, len, flags, c->tokens + c->n, c->cap - c->n - 4, &n, error);
    if (status == LLM_OK)                       /* len + 8, less 4 that stay free for put_token */
        c->n += n;
    return status;
}

static void put_token(completer *c, llm_token token) { c->tokens[c->n++] = token; }

/* Removes tokens from `from` on until at most `room` are left between there and the end. What is removed grows in large steps: were it
 * just enough, each key typed would move all that stays, and the session would have to take it in anew. */
static void cut_front(completer *c, size_t from, size_t room)
{
    size_t n = c->n - from, step = room / 4 + 1, cut;
    if (n <= room)
        return;
    cut = (n - room + step - 1) / step * step;
    memmove(c->tokens + from, c->tokens + from + cut, (n - cut) * sizeof *c->tokens);
    c->n -= cut;
}

/* Tokens end where the typist's hand happens to be: after "the fo" or "he ". A model has hardly seen text cut so ("fox", " saw" are one
 * token each), and goes on badly. So the last token is taken back, and the answer must begin with its bytes, which are not told again.
 * Prompts with a suffix need none of it: models learn filling in from text that was cut anywhere. */
static void heal(completer *c)
{
    llm_token_info info = LLM_INIT(llm_token_info);
    c->n_healed = c->n_drawn = 0;
    if (c->n < 2 || llm_tokenizer_token(c->tokenizer, c->tokens[c->n - 1], &info, NULL) != LLM_OK || info.kind != LLM_TOKEN_NORMAL ||
        info.n_bytes == 0 || info.n_bytes > HEALED || memchr(info.bytes, '\n', info.n_bytes) || ((unsigned char)info.bytes[0] & 0xc0) == 0x80)
        return;
    memcpy(c->healed, info.bytes, info.n_bytes);
    c->n_healed = info.n_bytes;
    c->n--;
}

/* Before each draw: while bytes taken back are due, only tokens that agree with them may come. */
static void allow(void *user, float *logits, int32_t n_vocab)
{
    const completer *c = user;
    const char *due = c->healed + c->n_drawn;
    size_t n_due = c->n_healed - c->n_drawn;
    if (n_due == 0)
        return;
    for (int32_t i = 0; i < n_vocab; i++) {
        llm_token_info info = LLM_INIT(llm_token_info);
        if (llm_tokenizer_token(c->tokenizer, i, &info, NULL) != LLM_OK || info.kind != LLM_TOKEN_NORMAL || info.n_bytes == 0 ||
            memcmp(info.bytes, due, info.n_bytes < n_due ? info.n_bytes : n_due) != 0)
            logits[i] = -INFINITY;
    }
}

/* Plain: the prefix. Filling in: the tokens that say so, around prefix and suffix, in the order that models learn. */
static llm_status make_prompt(completer *c, const char *prefix, const char *suffix, size_t max_tokens, llm_error *error)
{
    size_t room = c->n_ctx > max_tokens + 8 ? c->n_ctx - max_tokens - 8 : 1, begin;
    bool fill = c->has_fim && suffix[strspn(suffix, " \t\r\n")] != 0;
    llm_status status;

    c->n = 0;
    if ((status = put_text(c, "", LLM_ENCODE_ADD_SPECIAL, error)) != LLM_OK)        /* BOS, where the model wants one */
        return status;
    c->n = c->n > 0 && c->tokens[0] == llm_tokenizer_special(c->tokenizer, LLM_SPECIAL_BOS);      /* and no EOS */
    if (fill)
        put_token(c, c->fim[0]);
    begin = c->n;
    if ((status = put_text(c, prefix, 0, error)) != LLM_OK)
        return status;
    if (!fill) {
        cut_front(c, begin, room);
        heal(c);
        return LLM_OK;
    }
    cut_front(c, begin, room - room / 4);
    put_token(c, c->fim[1]);
    begin = c->n;
    if ((status = put_text(c, suffix, LLM_ENCODE_CONTINUES, error)) != LLM_OK)
        return status;
    if (c->n > begin + room / 4)
        c->n = begin + room / 4;
    put_token(c, c->fim[2]);
    c->n_healed = c->n_drawn = 0;
    return LLM_OK;
}

static void show_prompt(const completer *c, const cJSON *request)
{
    cJSON *answer = answer_to(request), *tokens = cJSON_AddArrayToObject(answer, "prompt_tokens");
    for (size_t i = 0; i < c->n; i++)
        cJSON_AddItemToArray(tokens, cJSON_CreateNumber(c->tokens[i]));
    say(answer);
}

/* ---- the answer -------------------------------------------------------------------------------------------------------------- */

/* What can be read now, without what is only said again. *again: bytes of that still to come. */
static void say_pieces(completer *c, const cJSON *request, size_t *again)
{
    char text[512];
    size_t n;
    while ((n = llm_session_read_text(c->session, text, sizeof text)) > 0) {
        size_t skip = n < *again ? n : *again;
        *again -= skip;
        if (n == skip)
            continue;
        cJSON *answer = answer_to(request);
        cJSON_AddStringToObject(answer, "text", text + skip);
        say(answer);
    }
}

static const char *name_of_end(int32_t state)
{
    switch (state) {
    case LLM_END_TOKEN: return "token";
    case LLM_END_STOP: return "line";
    case LLM_END_LENGTH: return "length";
    case LLM_END_CONTEXT: return "context";
    default: return "cancelled";
    }
}

/* The healed bytes that the tokens drawn since `from` have brought. */
static void count_drawn(completer *c, size_t *from)
{
    const llm_token *tokens;
    size_t n;
    if (c->n_drawn == c->n_healed || llm_session_tokens(c->session, &tokens, &n, NULL) != LLM_OK)
        return;
    for (; *from < n && c->n_drawn < c->n_healed; ++*from) {
        llm_token_info info = LLM_INIT(llm_token_info);
        size_t left = c->n_healed - c->n_drawn;
        if (llm_tokenizer_token(c->tokenizer, tokens[*from], &info, NULL) == LLM_OK)
            c->n_drawn += info.n_bytes < left ? info.n_bytes : left;
    }
}

static void complete(completer *c, const cJSON *request)
{
    const char *prefix = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, "prefix"));
    const char *suffix = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, "suffix"));
    const cJSON *most = cJSON_GetObjectItemCaseSensitive(request, "max_tokens");
    const llm_str line_end = { "\n", 1 };
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_session_info before = LLM_INIT(llm_session_info), after = LLM_INIT(llm_session_info);
    double started = now_ms();
    size_t again, from;
    llm_error error;
    llm_status status;

    reply.max_tokens = cJSON_IsNumber(most) && most->valueint > 0 ? most->valueint : MAX_TOKENS;
    if ((size_t)reply.max_tokens > c->n_ctx / 2)
        reply.max_tokens = (int32_t)(c->n_ctx / 2);
    if (!cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(request, "one_line"))) {
        reply.stops = &line_end;
        reply.n_stops = 1;
    }
    reply.on_logits = allow;
    reply.user = c;

    if ((status = make_prompt(c, prefix, suffix ? suffix : "", (size_t)reply.max_tokens, &error)) != LLM_OK) {
        say_error(request, error.message);
        return;
    }
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(request, "show_prompt")))
        show_prompt(c, request);
    if (c->n == 0) {                            /* nothing was typed yet, and the model wants no BOS: there is nothing to go on from */
        cJSON *answer = answer_to(request);
        cJSON_AddStringToObject(answer, "end", "token");
        say(answer);
        return;
    }
    llm_session_get_info(c->session, &before, NULL);
    if ((status = llm_session_sync(c->session, c->tokens, c->n, 0, &error)) == LLM_OK)
        status = llm_session_generate(c->session, &reply, &error);
    again = c->n_healed;
    from = c->n;
    if (status == LLM_OK)
        status = LLM_MORE;
    while (status == LLM_MORE && !stopped(c->desk)) {       /* a cancel that came before `generate` was forgotten there, but not here */
        status = llm_session_step(&c->session, 1, LLM_FOREVER, 0, &error);
        count_drawn(c, &from);
        if (status >= 0)
            say_pieces(c, request, &again);
    }
    if (status < 0) {
        say_error(request, error.message);
        return;
    }
    llm_session_get_info(c->session, &after, NULL);
    cJSON *answer = answer_to(request);
    cJSON_AddStringToObject(answer, "end", name_of_end(status == LLM_MORE ? LLM_END_CANCELLED : llm_session_state(c->session)));
    cJSON_AddNumberToObject(answer, "prompt", (double)c->n);
    cJSON_AddNumberToObject(answer, "new", (double)(after.n_prompt - before.n_prompt));
    cJSON_AddNumberToObject(answer, "tokens", (double)(llm_session_n_tokens(c->session) - c->n));
    cJSON_AddNumberToObject(answer, "ms", (double)(int64_t)((now_ms() - started) * 10) / 10);
    say(answer);
}

/* ---- the beginning and the end ----------------------------------------------------------------------------------------------- */

static void say_ready(const completer *c, const llm_model *model)
{
    llm_model_info info = LLM_INIT(llm_model_info);
    cJSON *answer = cJSON_CreateObject();
    llm_model_get_info(model, &info, NULL);
    cJSON_AddTrueToObject(answer, "ready");
    cJSON_AddStringToObject(answer, "model", info.name ? info.name : "");
    cJSON_AddBoolToObject(answer, "fim", c->has_fim);
    say(answer);
}

int main(int argc, char **argv)
{
    static desk d = { .lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER };
    completer c = { .desk = &d };
    llm_engine_desc engine_desc = LLM_INIT(llm_engine_desc);
    llm_session_desc session_desc = LLM_INIT(llm_session_desc);
    llm_session_info info = LLM_INIT(llm_session_info);
    llm_engine *engine = NULL;
    llm_model *model = NULL;
    pthread_t reader;
    llm_error error = { 0 };
    llm_status status;
    int option, result = 1;

    while ((option = getopt(argc, argv, "t:c:")) != -1 && option != '?') {
        if (option == 't')
            engine_desc.n_threads = atoi(optarg);
        else
            session_desc.n_ctx = atoi(optarg);
    }
    if (option == '?' || optind + 1 != argc)
        return fprintf(stderr, "usage: llm_complete [-t THREADS] [-c CONTEXT] MODEL.gguf\n"), 2;
    engine_desc.n_chunk = CHUNK;
    if ((status = llm_engine_create(LLM_ABI, &engine_desc, &engine, &error)) == LLM_OK &&
        (status = llm_model_load(engine, argv[optind], LLM_NUL, NULL, &model, &error)) == LLM_OK &&
        (status = llm_session_create(model, &session_desc, &c.session, &error)) == LLM_OK)
        status = llm_session_get_info(c.session, &info, &error);
    c.tokenizer = llm_model_tokenizer(model);
    if (status != LLM_OK || !c.tokenizer) {
        say_error(NULL, status != LLM_OK ? error.message : "the model has no vocabulary");
        goto done;
    }
    for (int i = 0; i < 3; i++)
        c.fim[i] = llm_tokenizer_special(c.tokenizer, LLM_SPECIAL_FIM_PREFIX + i);
    c.has_fim = c.fim[0] != LLM_TOKEN_NONE && c.fim[1] != LLM_TOKEN_NONE && c.fim[2] != LLM_TOKEN_NONE;
    c.n_ctx = (size_t)info.n_ctx;
    d.session = c.session;
    say_ready(&c, model);
    if (pthread_create(&reader, NULL, read_lines, &d) != 0) {
        say_error(NULL, "the system gives no thread");
        goto done;
    }
    for (cJSON *request; (request = next_request(&d)) != NULL; cJSON_Delete(request))
        complete(&c, request);
    pthread_join(reader, NULL);
    cJSON_Delete(d.next);
    result = 0;
done:
    free(c.tokens);
    llm_session_free(c.session);
    llm_model_free(model);
    llm_engine_free(engine);
    return result;
}
