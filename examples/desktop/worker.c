/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include <SDL.h>
#include <llm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct worker_message { bool user; char *text; } worker_message;

struct worker {
    SDL_Thread *thread;
    SDL_mutex *lock;
    SDL_cond *called;
    const char *path;
    int n_threads;
    void (*wake)(void *user);
    void *user;

    /* Under the lock. */
    worker_view view;
    char *question;                         /* asked and not yet taken up */
    bool stop, end;
    char *said;                             /* and not yet looked at */
    size_t n_said, cap_said;
    llm_session *cancellable;               /* the session, while it exists */

    /* The worker's own. */
    llm_engine *engine;
    llm_model *model;
    llm_sampler *sampler;
    llm_session *session;
    llm_chat *chat;
    worker_message *messages;               /* all that was said */
    size_t n_messages, cap_messages, first; /* the chat holds those from `first` on */
};

/* ---- both sides of the lock --------------------------------------------------------------------------------------- */

static bool worker_append(char **bytes, size_t *n, size_t *cap, const char *more, size_t n_more)
{
    if (*cap - *n < n_more + 1) {
        size_t grown_cap = 2 * *cap + n_more + 64;
        char *grown = realloc(*bytes, grown_cap);
        if (!grown)
            return false;
        *bytes = grown;
        *cap = grown_cap;
    }
    memcpy(*bytes + *n, more, n_more);
    *n += n_more;
    (*bytes)[*n] = 0;
    return true;
}

static void worker_state(worker *w, int state, const char *words)
{
    SDL_LockMutex(w->lock);
    w->view.state = state;
    snprintf(w->view.words, sizeof w->view.words, "%s", words);
    SDL_UnlockMutex(w->lock);
    w->wake(w->user);
}

static int32_t worker_progress(void *user, float fraction)
{
    worker *w = user;
    bool end;

    SDL_LockMutex(w->lock);
    w->view.loaded = fraction;
    end = w->end;
    SDL_UnlockMutex(w->lock);
    w->wake(w->user);
    return end;                             /* the window was closed: the load is broken off */
}

/* ---- the conversation, on the worker's thread --------------------------------------------------------------------- */

static bool worker_remember(worker *w, bool user, char *words)
{
    if (w->n_messages == w->cap_messages) {
        worker_message *grown = realloc(w->messages, (2 * w->cap_messages + 16) * sizeof *grown);
        if (!grown) {
            free(words);
            return false;
        }
        w->messages = grown;
        w->cap_messages = 2 * w->cap_messages + 16;
    }
    w->messages[w->n_messages++] = (worker_message){ user, words };
    return true;
}

static llm_status worker_tell(worker *w, const worker_message *m, llm_error *error)
{
    return llm_chat_add(w->chat, m->user ? "user" : "assistant", LLM_NUL, m->text, LLM_NUL, error);
}

/* Puts the conversation into the session; without its oldest messages, where they would leave a reply no room. What the session has
 * already is kept: only what is new is computed. */
static llm_status worker_sync(worker *w, llm_error *error)
{
    size_t most = (size_t)w->view.n_ctx / 2, n = 0;
    llm_status status;

    while ((status = llm_chat_encode(w->chat, 0, NULL, 0, &n, error)) == LLM_E_SPACE && n > most && w->first + 1 < w->n_messages) {
        do
            w->first++;
        while (w->first + 1 < w->n_messages && !w->messages[w->first].user);
        status = llm_chat_rewind(w->chat, 0, error);
        for (size_t i = w->first; status == LLM_OK && i < w->n_messages; i++)
            status = worker_tell(w, &w->messages[i], error);
        if (status < 0)
            return status;
    }
    return status < 0 && status != LLM_E_SPACE ? status : llm_session_sync_chat(w->session, w->chat, 0, error);
}

/* One piece of a reply, handed over as it comes. */
static bool worker_hand_over(worker *w, const char *piece, size_t n)
{
    llm_session_info info = LLM_INIT(llm_session_info);
    bool go_on;

    llm_session_get_info(w->session, &info, NULL);
    SDL_LockMutex(w->lock);
    worker_append(&w->said, &w->n_said, &w->cap_said, piece, n);
    w->view.n_tokens = (int)llm_session_n_tokens(w->session);
    w->view.tokens_per_second = info.generate_us ? 1e6 * (double)info.n_generated / (double)info.generate_us : 0;
    go_on = !w->stop && !w->end;
    SDL_UnlockMutex(w->lock);
    w->wake(w->user);
    return go_on;
}

/* Takes question. */
static void worker_answer(worker *w, char *question)
{
    llm_generate_desc reply = LLM_INIT(llm_generate_desc);
    llm_error error;
    llm_status status;
    char piece[256], *whole = NULL;
    size_t n_whole = 0, cap_whole = 0, n;
    bool go_on = true;
    int32_t end;

    if (!worker_remember(w, true, question)) {
        worker_state(w, WORKER_READY, "not enough memory");
        return;
    }
    reply.sampler = w->sampler;
    reply.seed = w->n_messages;
    if ((status = worker_tell(w, &w->messages[w->n_messages - 1], &error)) == LLM_OK && (status = worker_sync(w, &error)) == LLM_OK)
        status = llm_session_generate(w->session, &reply, &error);
    if (status == LLM_OK)
        do {
            status = llm_session_step(&w->session, 1, LLM_FOREVER, 0, &error);
            do {
                n = llm_session_read_text(w->session, piece, sizeof piece);
                worker_append(&whole, &n_whole, &cap_whole, piece, n);
                go_on = worker_hand_over(w, piece, n);
            } while (n > 0);
        } while (status == LLM_MORE && go_on);
    end = llm_session_state(w->session);
    SDL_LockMutex(w->lock);
    w->view.stopped = !go_on || end == LLM_END_CANCELLED;
    w->stop = false;
    SDL_UnlockMutex(w->lock);
    if (whole && n_whole > 0 && worker_remember(w, false, whole))
        worker_tell(w, &w->messages[w->n_messages - 1], NULL);
    else
        free(n_whole > 0 ? NULL : whole);
    worker_state(w, WORKER_READY, status < 0 ? error.message : end == LLM_END_CONTEXT ? "The context is full: the reply ends here." : "");
}

static bool worker_load(worker *w, llm_error *error)
{
    llm_engine_desc engine = LLM_INIT(llm_engine_desc);
    llm_model_desc model = LLM_INIT(llm_model_desc);
    llm_sampler_desc recipe = LLM_INIT(llm_sampler_desc);
    llm_session_info info = LLM_INIT(llm_session_info);
    llm_model_info about = LLM_INIT(llm_model_info);

    engine.n_threads = w->n_threads;
    model.progress = worker_progress;
    model.user = w;
    recipe.temperature = 0.8f;
    recipe.top_k = 40;
    recipe.top_p = 0.95f;
    recipe.min_p = 0.05f;
    if (llm_engine_create(LLM_ABI, &engine, &w->engine, error) != LLM_OK || llm_model_load(w->engine, w->path, LLM_NUL, &model, &w->model, error) != LLM_OK ||
        llm_sampler_create(llm_model_tokenizer(w->model), &recipe, &w->sampler, error) != LLM_OK || llm_chat_create(w->model, NULL, &w->chat, error) != LLM_OK ||
        llm_session_create(w->model, NULL, &w->session, error) != LLM_OK || llm_session_get_info(w->session, &info, error) != LLM_OK ||
        llm_model_get_info(w->model, &about, error) != LLM_OK)
        return false;
    SDL_LockMutex(w->lock);
    w->cancellable = w->session;
    w->view.n_ctx = info.n_ctx;
    snprintf(w->view.model, sizeof w->view.model, "%.*s", (int)about.name_len, about.name_len ? about.name : "");
    SDL_UnlockMutex(w->lock);
    return true;
}

static int worker_main(void *user)
{
    worker *w = user;
    llm_error error;
    bool loaded = worker_load(w, &error);

    worker_state(w, loaded ? WORKER_READY : WORKER_FAILED, loaded ? "" : error.message);
    while (loaded) {
        char *question;
        SDL_LockMutex(w->lock);
        while (!w->question && !w->end)
            SDL_CondWait(w->called, w->lock);
        question = w->question;
        w->question = NULL;
        if (w->end) {
            SDL_UnlockMutex(w->lock);
            free(question);
            break;
        }
        SDL_UnlockMutex(w->lock);
        worker_answer(w, question);
    }
    return 0;
}

/* ---- the window's side ---------------------------------------------------------------------------------------------- */

worker *worker_start(const char *model_path, int n_threads, void (*wake)(void *user), void *user)
{
    worker *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    w->path = model_path;
    w->n_threads = n_threads;
    w->wake = wake;
    w->user = user;
    w->lock = SDL_CreateMutex();
    w->called = SDL_CreateCond();
    if (w->lock && w->called)
        w->thread = SDL_CreateThread(worker_main, "libllm", w);
    if (!w->thread) {
        worker_end(w);
        return NULL;
    }
    return w;
}

bool worker_ask(worker *w, const char *question)
{
    size_t n = strlen(question) + 1;
    char *copy = malloc(n);
    bool taken;

    if (!copy)
        return false;
    memcpy(copy, question, n);
    SDL_LockMutex(w->lock);
    taken = w->view.state == WORKER_READY && w->n_said == 0;
    if (taken) {
        w->question = copy;
        w->stop = false;
        w->view.state = WORKER_TALKING;
        w->view.stopped = false;
        w->view.tokens_per_second = 0;
        w->view.words[0] = 0;
        SDL_CondSignal(w->called);
    }
    SDL_UnlockMutex(w->lock);
    if (!taken)
        free(copy);
    return taken;
}

void worker_stop(worker *w)
{
    SDL_LockMutex(w->lock);
    if (w->view.state == WORKER_TALKING) {
        w->stop = true;                     /* between two steps; and within one: */
        if (w->cancellable)
            llm_session_cancel(w->cancellable);
    }
    SDL_UnlockMutex(w->lock);
}

size_t worker_look(worker *w, worker_view *view, char *out, size_t cap)
{
    size_t n;

    SDL_LockMutex(w->lock);
    *view = w->view;
    n = w->n_said < cap - 1 ? w->n_said : cap - 1;
    while (n < w->n_said && n > 0 && ((unsigned char)w->said[n] & 0xc0) == 0x80)
        n--;                                /* whole characters */
    if (n > 0) {
        memcpy(out, w->said, n);
        memmove(w->said, w->said + n, w->n_said - n);
        w->n_said -= n;
        if (w->n_said > 0 && view->state == WORKER_READY)
            view->state = WORKER_TALKING;   /* for whom looks, it is still speaking */
    }
    out[n] = 0;
    SDL_UnlockMutex(w->lock);
    return n;
}

void worker_end(worker *w)
{
    if (!w)
        return;
    if (w->thread) {
        SDL_LockMutex(w->lock);
        w->end = true;
        if (w->cancellable)
            llm_session_cancel(w->cancellable);
        SDL_CondSignal(w->called);
        SDL_UnlockMutex(w->lock);
        SDL_WaitThread(w->thread, NULL);
    }
    llm_session_free(w->session);
    llm_chat_free(w->chat);
    llm_sampler_free(w->sampler);
    llm_model_free(w->model);
    llm_engine_free(w->engine);
    for (size_t i = 0; i < w->n_messages; i++)
        free(w->messages[i].text);
    free(w->messages);
    free(w->question);
    free(w->said);
    SDL_DestroyCond(w->called);
    SDL_DestroyMutex(w->lock);
    free(w);
}
