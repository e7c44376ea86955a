/* SPDX-License-Identifier: MIT
 * A game at 60 Hz with a character who speaks. The language model thinks on the game's own thread, in llm_session_step, for at most 2 ms of
 * each frame; nothing else of the game knows that it is there. --bench measures what that call costs a frame. */
#include "scene.h"
#include "talker.h"
#include "times.h"
#include "../sdl/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef GAME_BOX
#define GAME_BOX "examples/box/box-q8_0.gguf"
#endif

static const char usage[] =
    "usage: game [OPTION]...\n"
    "Left and Right walk, Space asks for a story (beside the fox: another one), H hides the times, Escape leaves.\n"
    "  -m FILE          a model that converses (default: the model in the box)\n"
    "  --shape NAME     random weights in this shape instead (1b, 135m, ...; Q4_0): what it says is nonsense, how long it takes is not\n"
    "  --bench SECONDS  plays by itself, prints the times and ends\n"
    "  --budget US      microseconds of a frame for the model (default: 2000)\n"
    "  --threads N      threads of the library (default: its own choice)\n"
    "  --font FILE.ttf  a font, where none is found\n"
    "  --script FILE    inputs from a file (examples/sdl/script.h)\n"
    "  --picture FILE   a PNG of the last frame, or where the script's pictures go\n";

typedef struct game_args { const char *model, *shape, *font, *script, *picture; double bench; int budget_us, n_threads; } game_args;

typedef struct game {
    game_args    args;
    canvas       screen;
    scene        scene;
    scene_player player;
    talker       fox;
    script       script;
    text         asked, told;               /* what is said in the two bubbles */
    bool         left, right, quit, hide_times;
    Uint64       n_frames, n_late, last_read;
    int          n_stories;
    times        frames, prefill, decode, steps;    /* steps: both */
    llm_error    error;                     /* why the fox fell silent */
} game;

static const char *const questions[] = {
    "Tell me a story about an owl.", "Tell me a story about a fox and a lantern.", "Tell me a story about a dragon.", "Tell me a story about a fox and a kite.",
    "Tell me a story about the moon.",
};

static bool game_arguments(game_args *a, int argc, char **argv)
{
    *a = (game_args){ .model = GAME_BOX, .budget_us = 2000 };
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!value)
            return false;
        if (strcmp(argv[i], "-m") == 0)
            a->model = value;
        else if (strcmp(argv[i], "--shape") == 0)
            a->shape = value;
        else if (strcmp(argv[i], "--bench") == 0)
            a->bench = atof(value);
        else if (strcmp(argv[i], "--budget") == 0)
            a->budget_us = atoi(value);
        else if (strcmp(argv[i], "--threads") == 0)
            a->n_threads = atoi(value);
        else if (strcmp(argv[i], "--font") == 0)
            a->font = value;
        else if (strcmp(argv[i], "--script") == 0)
            a->script = value;
        else if (strcmp(argv[i], "--picture") == 0)
            a->picture = value;
        else
            return false;
    }
    return true;
}

static double game_now_ms(void)
{
    return 1000.0 * (double)SDL_GetPerformanceCounter() / (double)SDL_GetPerformanceFrequency();
}

static void game_ask(game *g)
{
    /* In a measurement with random weights: 100 to 200 tokens, a byte each, and a few tokens of reply, over and over. */
    static const char plain[] = "once there was a child with a lantern who walked up the hill to the fire, and the fox that sat beside it said: I will tell you something. ";
    const char *question = questions[g->n_stories++ % (int)(sizeof questions / sizeof questions[0])];

    text_clear(&g->asked);
    text_clear(&g->told);
    text_add(&g->asked, question, strlen(question));
    talker_ask(&g->fox, g->args.shape ? plain : question, g->args.shape ? 16 : 0, &g->error);
}

static void game_event(game *g, const SDL_Event *e)
{
    bool down = e->type == SDL_KEYDOWN;

    if (e->type == SDL_QUIT)
        g->quit = true;
    if (e->type != SDL_KEYDOWN && e->type != SDL_KEYUP)
        return;
    switch (e->key.keysym.sym) {
    case SDLK_LEFT: g->left = down; break;
    case SDLK_RIGHT: g->right = down; break;
    case SDLK_ESCAPE: g->quit |= down; break;
    case SDLK_h: g->hide_times ^= down && !e->key.repeat; break;
    case SDLK_SPACE:
        if (down && !e->key.repeat)
            game_ask(g);
        break;
    default: break;
    }
}

/* The model's part of a frame. Only calls that had something to do are counted. */
static void game_think(game *g)
{
    bool listens = talker_listens(&g->fox);
    double began, took;
    char words[5];
    size_t n;

    if (g->fox.thinking) {
        began = game_now_ms();
        talker_think(&g->fox, g->args.budget_us, &g->error);
        took = game_now_ms() - began;
        times_add(listens ? &g->prefill : &g->decode, took);
        times_add(&g->steps, took);
    }
    if (g->n_frames % 4 == 0) {             /* 60 letters a second, however fast it thinks: the session keeps the rest */
        n = talker_read(&g->fox, words, sizeof words);
        text_add(&g->told, words, n);
        if (n > 0)
            g->last_read = g->n_frames;
    }
}

static bool game_speaks(const game *g)
{
    return g->fox.thinking || g->n_frames - g->last_read < 12;
}

static void game_draw(game *g)
{
    canvas *c = &g->screen;
    const int half = (SCENE_WIDTH - 48) / 2;

    scene_draw(&g->scene, c, &g->player, g->n_frames - g->last_read < 8 && g->told.n > 0, talker_listens(&g->fox));
    if (g->told.n > 0)
        scene_bubble(c, &g->told, SCENE_FOX - 6, SCENE_GROUND - 150, 430, SCENE_WIDTH - 20, 8, canvas_color(0xfbf4e2, 245), canvas_color(0x2a2030, 255));
    if (g->asked.n > 0)
        scene_bubble(c, &g->asked, (int)g->player.x, SCENE_GROUND - 96, 20, 420, 2, canvas_color(0xdcecf2, 240), canvas_color(0x20304a, 255));
    else
        canvas_label(c, c->font, (int)g->player.x, SCENE_GROUND - 124, 0, canvas_color(0xdcecf2, 255), "Space: a story, please");
    if (g->error.status < 0)
        canvas_label(c, c->small, SCENE_WIDTH / 2, 8, 0, canvas_color(0xffb0a0, 255), g->error.message);
    if (g->hide_times)
        return;
    times_draw(&g->frames, c, 16, SCENE_HEIGHT - 96, half, 84, 25, 1000.0 / 60, "frame, ms", canvas_color(0x8fd0ff, 255));
    times_draw(&g->steps, c, 32 + half, SCENE_HEIGHT - 96, half, 84, 4, g->args.budget_us / 1000.0, "llm_session_step, ms", canvas_color(0xffcf70, 255));
}

static void game_play(game *g)
{
    const double frame_ms = 1000.0 / 60;
    double started = game_now_ms(), due = started, last = started, now;

    while (!g->quit) {
        SDL_Event e;
        while (SDL_PollEvent(&e))
            game_event(g, &e);
        if (g->args.bench > 0) {
            g->player.x = 200 + 120 * SDL_sinf((float)g->scene.time);
            g->player.walks = true;
            g->player.left = SDL_cosf((float)g->scene.time) < 0;
            if (!game_speaks(g) || (g->args.shape && !g->fox.thinking))
                game_ask(g);
            g->quit |= game_now_ms() - started > 1000 * g->args.bench;
        } else {
            g->player.walks = g->left != g->right;
            if (g->player.walks) {
                g->player.left = g->left;
                g->player.x += (g->left ? -1.0f : 1.0f) * 190.0f / 60;
                g->player.x = g->player.x < 40 ? 40 : g->player.x > SCENE_FIRE - 60 ? SCENE_FIRE - 60 : g->player.x;
            }
        }
        game_think(g);
        scene_move(&g->scene, 1.0 / 60);
        game_draw(g);
        if (g->quit && g->args.picture && !g->args.script)
            canvas_save(&g->screen, g->args.picture);
        script_step(&g->script, &g->screen, game_speaks(g), g->told.bytes);
        SDL_RenderPresent(g->screen.renderer);

        /* The clock of the game, not the screen's, so that the figures are of this program: sleeps, and spins the last millisecond. */
        for (due += frame_ms; (now = game_now_ms()) < due;)
            SDL_Delay(due - now > 2 ? (Uint32)(due - now - 1) : 0);
        if (g->n_frames++ > 0) {            /* the first waits for the window */
            times_add(&g->frames, now - last);
            g->n_late += now - last > frame_ms + 2;
        }
        last = now;
        if (now > due + frame_ms)           /* late by more than a frame: go on from here */
            due = now;
    }
}

static void game_report(const game *g)
{
    const struct { const char *name; const times *t; } rows[] = {
        { "frame", &g->frames }, { "step", &g->steps }, { "  taking in the question", &g->prefill }, { "  speaking", &g->decode },
    };

    printf("%llu frames, %llu of them late by more than 2 ms; at most %d us of a frame for the model\n", (unsigned long long)g->n_frames, (unsigned long long)g->n_late,
           g->args.budget_us);
    printf("%-26s %8s %8s %8s %8s %8s\n", "ms", "n", "p50", "p99", "p99.9", "max");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        printf("%-26s %8u %8.2f %8.2f %8.2f %8.2f\n", rows[i].name, rows[i].t->n, times_at(rows[i].t, 0.5), times_at(rows[i].t, 0.99), times_at(rows[i].t, 0.999), rows[i].t->max_ms);
}

int main(int argc, char **argv)
{
    static game g = { .player = { .x = 90 } };
    bool ready;

    if (!game_arguments(&g.args, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    ready = script_open(&g.script, g.args.script, g.args.picture);
    if (!ready)
        fprintf(stderr, "game: cannot read %s\n", g.args.script);
    if (ready && !(ready = talker_open(&g.fox, g.args.shape ? NULL : g.args.model, g.args.shape, g.args.n_threads, &g.error)))
        fprintf(stderr, "game: %s\n", g.error.message);
    if (ready && !(ready = canvas_open(&g.screen, "The fox by the fire", SCENE_WIDTH, SCENE_HEIGHT, 0, g.args.font)))
        fprintf(stderr, "game: %s\n", g.screen.why);
    if (ready && !(ready = scene_open(&g.scene, &g.screen)))
        fprintf(stderr, "game: %s\n", SDL_GetError());
    if (ready) {
        game_play(&g);
        game_report(&g);
    }
    ready = ready && !g.script.failed && g.error.status >= 0;
    script_close(&g.script);
    scene_close(&g.scene);
    text_clear(&g.asked);
    text_clear(&g.told);
    canvas_close(&g.screen);
    talker_close(&g.fox);
    return !ready;
}
