/* SPDX-License-Identifier: MIT
 * A chat window. The assistant has a thread of its own (worker.c), so the window goes on drawing, scrolling and taking text while a reply is
 * being made; how long its frames were apart meanwhile stands in the status line. */
#include "worker.h"
#include "../sdl/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef DESKTOP_BOX
#define DESKTOP_BOX "examples/box/box-q8_0.gguf"
#endif

static const char usage[] =
    "usage: desktop [OPTION]...\n"
    "Enter sends, Escape stops a reply, the wheel, Page Up and Page Down scroll.\n"
    "  -m FILE          a model that converses (default: the model in the box)\n"
    "  --threads N      threads of the library (default: its own choice)\n"
    "  --font FILE.ttf  a font, where none is found\n"
    "  --script FILE    inputs from a file (examples/sdl/script.h)\n"
    "  --picture FILE   where the script's pictures go\n";

enum { MARGIN = 20, FIELD_HIGH = 46, STATUS_HIGH = 30, HEAD_HIGH = 52, GAP = 12, PAD = 12 };

typedef struct message { bool user, stopped; text text; int high; } message;

typedef struct desktop {
    const char *model, *font, *script_path, *picture;
    int n_threads;
    canvas   screen;
    script   script;
    worker  *worker;
    worker_view view;
    message *messages;
    int      n_messages, cap_messages;
    text     field;                         /* being typed */
    float    scroll, shown;                 /* pixels up from the end: wanted; as drawn, which follows smoothly */
    bool     quit, redraw;
    Uint64   last_frame;                    /* when the last frame was shown, in counts; 0: there is none to measure from */
    double   longest_ms, before_ms;         /* between two frames while a reply was made: in this one or the last; in any */
    Uint64   n_frames, n_all;               /* likewise */
} desktop;

static Uint32 desktop_woken;                /* the type of event that the worker sends */

static void desktop_wake(void *user)        /* on the worker's thread; SDL_PushEvent is for any */
{
    SDL_Event e = { .type = desktop_woken };
    (void)user;
    if (!SDL_HasEvent(desktop_woken))
        SDL_PushEvent(&e);
}

static message *desktop_message(desktop *d, bool user)
{
    if (d->n_messages == d->cap_messages) {
        message *grown = realloc(d->messages, (size_t)(2 * d->cap_messages + 16) * sizeof *grown);
        if (!grown)
            return NULL;
        d->messages = grown;
        d->cap_messages = 2 * d->cap_messages + 16;
    }
    d->messages[d->n_messages] = (message){ .user = user };
    return &d->messages[d->n_messages++];
}

/* ---- inputs --------------------------------------------------------------------------------------------------------- */

static void desktop_send(desktop *d)
{
    message *m;

    if (d->field.n == 0 || !worker_ask(d->worker, d->field.bytes))
        return;                             /* while a reply is made, what is typed stays in the field */
    m = desktop_message(d, true);
    if (m)
        text_add(&m->text, d->field.bytes, d->field.n);
    desktop_message(d, false);
    text_clear(&d->field);
    d->scroll = 0;
    d->before_ms = d->longest_ms > d->before_ms ? d->longest_ms : d->before_ms;
    d->longest_ms = 0;
    d->n_frames = 0;
    d->view.state = WORKER_TALKING;
}

static void desktop_key(desktop *d, SDL_Keycode key)
{
    int w, h;

    SDL_GetWindowSize(d->screen.window, &w, &h);
    if (key == SDLK_RETURN || key == SDLK_KP_ENTER)
        desktop_send(d);
    else if (key == SDLK_ESCAPE)
        worker_stop(d->worker);
    else if (key == SDLK_PAGEUP)
        d->scroll += (float)h / 2;
    else if (key == SDLK_PAGEDOWN)
        d->scroll -= (float)h / 2;
    else if (key == SDLK_END)
        d->scroll = 0;
    else if (key == SDLK_BACKSPACE && d->field.n > 0) {
        do
            d->field.n--;
        while (d->field.n > 0 && ((unsigned char)d->field.bytes[d->field.n] & 0xc0) == 0x80);
        d->field.bytes[d->field.n] = 0;
    }
}

static void desktop_event(desktop *d, const SDL_Event *e)
{
    d->redraw = true;
    if (e->type == SDL_QUIT)
        d->quit = true;
    else if (e->type == SDL_TEXTINPUT)
        text_add(&d->field, e->text.text, strlen(e->text.text));
    else if (e->type == SDL_KEYDOWN)
        desktop_key(d, e->key.keysym.sym);
    else if (e->type == SDL_MOUSEWHEEL)
        d->scroll += 60 * e->wheel.preciseY;
}

/* What the worker has said meanwhile. */
static void desktop_look(desktop *d)
{
    message *m = d->n_messages ? &d->messages[d->n_messages - 1] : NULL;
    char more[4096];
    size_t n = worker_look(d->worker, &d->view, more, sizeof more);

    if (m && !m->user) {
        text_add(&m->text, more, n);
        m->stopped = d->view.stopped;
    }
}

/* ---- drawing -------------------------------------------------------------------------------------------------------- */

static void desktop_draw_message(desktop *d, message *m, int y, int width, int top, int bottom)
{
    canvas *c = &d->screen;
    bool waits = !m->user && m->text.n == 0;
    int wide = waits ? 64 : text_widest(&m->text) + 2 * PAD, x = m->user ? width - MARGIN - wide : MARGIN;

    canvas_round(c, (float)x, (float)y, (float)wide, (float)m->high, 12, m->user ? canvas_color(0x2f6fde, 255) : canvas_color(0xffffff, 255));
    text_draw(&m->text, c, x + PAD, y + PAD - 3, top, bottom, m->user ? canvas_color(0xffffff, 255) : canvas_color(0x22262e, 255));
    for (int i = 0; waits && !m->stopped && d->view.state == WORKER_TALKING && i < 3; i++) {
        float beat = SDL_sinf((float)SDL_GetTicks64() / 130.0f - (float)i);
        canvas_ellipse(c, (float)(x + 18 + 14 * i), (float)y + (float)m->high / 2 - 2 * beat, 4, 4, canvas_color(0x8a93a5, 255));
    }
    if (m->stopped)
        canvas_label(c, c->small, x + wide + 8, y + m->high - 24, -1, canvas_color(0x9aa2b2, 255), "stopped");
}

static void desktop_draw_messages(desktop *d, int width, int top, int bottom)
{
    int all = GAP, y, most = (width - 2 * MARGIN) * 4 / 5 - 2 * PAD;
    SDL_Rect clip = { 0, top, width, bottom - top };

    for (int i = 0; i < d->n_messages; i++) {
        int high = text_layout(&d->messages[i].text, d->screen.font, most);
        d->messages[i].high = (high > 0 ? high : TTF_FontLineSkip(d->screen.font)) + 2 * PAD - 4;
        all += d->messages[i].high + GAP;
    }
    if (d->scroll > (float)(all - (bottom - top)))
        d->scroll = (float)(all - (bottom - top));
    if (d->scroll < 0)
        d->scroll = 0;
    d->shown += (d->scroll - d->shown) * 0.35f;
    d->shown = SDL_fabsf(d->scroll - d->shown) < 0.6f ? d->scroll : d->shown;
    y = (all < bottom - top ? top : bottom - all) + GAP + (int)d->shown;
    SDL_RenderSetClipRect(d->screen.renderer, &clip);
    for (int i = 0; i < d->n_messages; i++) {
        if (y + d->messages[i].high > top && y < bottom)
            desktop_draw_message(d, &d->messages[i], y, width, top, bottom);
        else
            text_draw(&d->messages[i].text, &d->screen, 0, bottom, top, bottom, canvas_color(0, 0));  /* gives up its pictures */
        y += d->messages[i].high + GAP;
    }
    SDL_RenderSetClipRect(d->screen.renderer, NULL);
    if (all > bottom - top) {
        float view = (float)(bottom - top), part = view * view / (float)all;
        canvas_round(&d->screen, (float)width - 10, (float)top + (view - part) * (1 - d->shown / ((float)all - view)), 5, part, 2.5f, canvas_color(0xb4bccb, 255));
    }
}

static void desktop_draw_field(desktop *d, int width, int y)
{
    canvas *c = &d->screen;
    SDL_Rect clip = { MARGIN + 12, y, width - 2 * MARGIN - 24, FIELD_HIGH };
    int wide = 0, shift;
    const char *typed = d->field.n ? d->field.bytes : "";

    canvas_round(c, MARGIN - 1, (float)y - 1, (float)(width - 2 * MARGIN + 2), FIELD_HIGH + 2, 13, canvas_color(0xc3cbd9, 255));
    canvas_round(c, MARGIN, (float)y, (float)(width - 2 * MARGIN), FIELD_HIGH, 12, canvas_color(0xffffff, 255));
    TTF_SizeUTF8(c->font, typed, &wide, NULL);
    shift = wide > clip.w - 4 ? wide - clip.w + 4 : 0;
    SDL_RenderSetClipRect(c->renderer, &clip);
    if (d->field.n)
        canvas_label(c, c->font, clip.x - shift, y + 13, -1, canvas_color(0x22262e, 255), typed);
    else
        canvas_label(c, c->font, clip.x + 6, y + 13, -1, canvas_color(0x9aa2b2, 255), d->view.state == WORKER_TALKING ? "Escape stops the reply" : "Write a message, Enter sends it");
    if (SDL_GetTicks64() / 530 % 2 == 0)
        canvas_rect(c, (float)(clip.x + wide - shift + 1), (float)y + 12, 2, FIELD_HIGH - 24, canvas_color(0x2f6fde, 255));
    SDL_RenderSetClipRect(c->renderer, NULL);
}

static void desktop_draw_status(desktop *d, int width, int y)
{
    canvas *c = &d->screen;
    SDL_Color grey = canvas_color(0x6b7487, 255);
    const worker_view *v = &d->view;
    char line[512];

    if (v->state == WORKER_LOADING) {
        canvas_round(c, MARGIN, (float)y + 10, (float)(width - 2 * MARGIN), 6, 3, canvas_color(0xd5dbe6, 255));
        canvas_round(c, MARGIN, (float)y + 10, 6 + (float)(width - 2 * MARGIN - 6) * v->loaded, 6, 3, canvas_color(0x2f6fde, 255));
        return;
    }
    if (v->words[0]) {
        canvas_label(c, c->small, MARGIN, y + 6, -1, canvas_color(0xc0392b, 255), v->words);
        return;
    }
    if (v->tokens_per_second > 0)
        snprintf(line, sizeof line, "%.0f tokens/s    %d of %d tokens of context", v->tokens_per_second, v->n_tokens, v->n_ctx);
    else
        snprintf(line, sizeof line, "%s", v->state == WORKER_TALKING ? "reading" : "ready");
    canvas_label(c, c->small, MARGIN, y + 6, -1, grey, line);
    if (d->n_frames > 0) {
        snprintf(line, sizeof line, "%llu frames while it spoke, at most %.1f ms apart", (unsigned long long)d->n_frames, d->longest_ms);
        canvas_label(c, c->small, width - MARGIN, y + 6, 1, grey, line);
    }
}

static void desktop_draw(desktop *d)
{
    canvas *c = &d->screen;
    int w, h;

    SDL_GetRendererOutputSize(c->renderer, &w, &h);
    SDL_SetRenderDrawColor(c->renderer, 0xee, 0xf1, 0xf6, 255);
    SDL_RenderClear(c->renderer);
    desktop_draw_messages(d, w, HEAD_HIGH, h - FIELD_HIGH - STATUS_HIGH - 12);
    canvas_rect(c, 0, 0, (float)w, HEAD_HIGH, canvas_color(0xffffff, 255));
    canvas_rect(c, 0, HEAD_HIGH - 1, (float)w, 1, canvas_color(0xd5dbe6, 255));
    canvas_ellipse(c, MARGIN + 8, HEAD_HIGH / 2.0f, 7, 7, d->view.state == WORKER_FAILED ? canvas_color(0xc0392b, 255) : d->view.state == WORKER_LOADING ? canvas_color(0xe0a030, 255) : canvas_color(0x3cb371, 255));
    canvas_label(c, c->title, MARGIN + 26, 13, -1, canvas_color(0x22262e, 255), d->view.state == WORKER_LOADING ? "Loading" : "Assistant");
    canvas_label(c, c->small, w - MARGIN, 19, 1, canvas_color(0x6b7487, 255), d->view.model);
    desktop_draw_field(d, w, h - FIELD_HIGH - STATUS_HIGH - 2);
    desktop_draw_status(d, w, h - STATUS_HIGH);
}

/* ---- the loop ------------------------------------------------------------------------------------------------------- */

/* While a reply comes or something moves: 60 frames a second. Else it sleeps until something happens, or the caret blinks. */
static void desktop_run(desktop *d)
{
    const Uint64 second = SDL_GetPerformanceFrequency();

    while (!d->quit) {
        bool moves = d->view.state == WORKER_TALKING || d->shown != d->scroll || !d->script.ended;
        bool talked = d->view.state == WORKER_TALKING;
        Uint64 passed = SDL_GetPerformanceCounter() - d->last_frame, frame = second / 60;
        SDL_Event e;

        if (moves) {
            while (SDL_PollEvent(&e))
                desktop_event(d, &e);
            passed = SDL_GetPerformanceCounter() - d->last_frame;
            if (passed < frame)
                SDL_Delay((Uint32)((frame - passed) * 1000 / second));
        } else if (SDL_WaitEventTimeout(&e, 265))
            do
                desktop_event(d, &e);
            while (SDL_PollEvent(&e));
        desktop_look(d);
        desktop_draw(d);
        script_step(&d->script, &d->screen, d->view.state == WORKER_TALKING || d->view.state == WORKER_LOADING,
                    d->n_messages ? d->messages[d->n_messages - 1].text.bytes : d->view.words);
        SDL_RenderPresent(d->screen.renderer);
        passed = SDL_GetPerformanceCounter() - d->last_frame;
        d->last_frame += passed;
        if (talked) {                       /* this frame and the one before it belong to a reply */
            double ms = 1000.0 * (double)passed / (double)second;
            d->longest_ms = ms > d->longest_ms && d->n_frames > 0 ? ms : d->longest_ms;
            d->n_frames++;
            d->n_all++;
        }
    }
}

static bool desktop_arguments(desktop *d, int argc, char **argv)
{
    d->model = DESKTOP_BOX;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!value)
            return false;
        if (strcmp(argv[i], "-m") == 0)
            d->model = value;
        else if (strcmp(argv[i], "--threads") == 0)
            d->n_threads = atoi(value);
        else if (strcmp(argv[i], "--font") == 0)
            d->font = value;
        else if (strcmp(argv[i], "--script") == 0)
            d->script_path = value;
        else if (strcmp(argv[i], "--picture") == 0)
            d->picture = value;
        else
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static desktop d;
    bool ready;

    if (!desktop_arguments(&d, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    ready = script_open(&d.script, d.script_path, d.picture);
    if (!ready)
        fprintf(stderr, "desktop: cannot read %s\n", d.script_path);
    if (ready && !(ready = canvas_open(&d.screen, "Assistant", 760, 600, SDL_WINDOW_RESIZABLE, d.font)))
        fprintf(stderr, "desktop: %s\n", d.screen.why);
    if (ready) {
        SDL_SetWindowMinimumSize(d.screen.window, 320, 240);
        SDL_StartTextInput();
        desktop_woken = SDL_RegisterEvents(1);
        d.worker = worker_start(d.model, d.n_threads, desktop_wake, NULL);
        ready = d.worker != NULL;
    }
    if (ready) {
        desktop_run(&d);
        d.before_ms = d.longest_ms > d.before_ms ? d.longest_ms : d.before_ms;
        printf("%llu frames while replies were made, at most %.1f ms apart\n", (unsigned long long)d.n_all, d.before_ms);
    }
    if (ready && d.view.state == WORKER_FAILED) {
        fprintf(stderr, "desktop: %s\n", d.view.words);
        ready = false;
    }
    ready = ready && !d.script.failed;
    worker_end(d.worker);                   /* stops a reply or a load in progress */
    script_close(&d.script);
    for (int i = 0; i < d.n_messages; i++)
        text_clear(&d.messages[i].text);
    free(d.messages);
    text_clear(&d.field);
    canvas_close(&d.screen);
    return !ready;
}
