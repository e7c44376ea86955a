/* SPDX-License-Identifier: MIT */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool script_open(script *s, const char *path, const char *picture)
{
    *s = (script){ .picture = picture };
    if (!path) {
        s->ended = true;
        return true;
    }
    s->file = SDL_RWFromFile(path, "rb");
    return s->file != NULL;
}

void script_close(script *s)
{
    if (s->file)
        SDL_RWclose(s->file);
    s->file = NULL;
}

static bool script_read(script *s)
{
    size_t n = 0;
    char c;

    while (SDL_RWread(s->file, &c, 1, 1) == 1 && c != '\n')
        if (n < sizeof s->line - 1 && c != '\r')
            s->line[n++] = c;
    s->line[n] = 0;
    return n > 0 || SDL_RWtell(s->file) < SDL_RWsize(s->file);
}

static void script_key(SDL_Keycode key, bool down)
{
    SDL_Event e = { .type = down ? SDL_KEYDOWN : SDL_KEYUP };

    e.key.state = down ? SDL_PRESSED : SDL_RELEASED;
    e.key.keysym.sym = key;
    e.key.keysym.scancode = SDL_GetScancodeFromKey(key);
    SDL_PushEvent(&e);
}

static void script_type(const char *from)
{
    while (*from) {                         /* an event holds 31 bytes, and whole characters only */
        SDL_Event e = { .type = SDL_TEXTINPUT };
        size_t n = strlen(from) < sizeof e.text.text ? strlen(from) : sizeof e.text.text - 1;
        while (n > 1 && ((unsigned char)from[n] & 0xc0) == 0x80)
            n--;
        memcpy(e.text.text, from, n);
        SDL_PushEvent(&e);
        from += n;
    }
}

static void script_fail(script *s, const char *what, const char *more)
{
    SDL_Event e = { .type = SDL_QUIT };

    fprintf(stderr, "script: %s: %s\n", what, more);
    s->failed = s->ended = true;
    SDL_PushEvent(&e);
}

/* Does the line, or as much of it as can be done now. False: it is not over. */
static bool script_do(script *s, canvas *c, bool busy, const char *said)
{
    char word[16] = "", name[32] = "", rest[256] = "";
    Uint64 passed = SDL_GetTicks64() - s->since;
    SDL_Event e = { 0 };
    int a = 0, b = 0;

    sscanf(s->line, "%15s %255[^\n]", word, rest);
    if (*word == 0 || *word == '#')
        return true;
    if (strcmp(word, "type") == 0)
        script_type(rest);
    else if (strcmp(word, "key") == 0) {
        SDL_Keycode key = SDL_GetKeyFromName(rest);
        if (key == SDLK_UNKNOWN)
            script_fail(s, "there is no such key", rest);
        script_key(key, true);
        script_key(key, false);
    } else if (strcmp(word, "hold") == 0 && sscanf(rest, "%31s %d", name, &a) == 2) {
        bool over = s->held && passed >= (Uint64)a;
        if (!s->held || over)
            script_key(s->held = SDL_GetKeyFromName(name), !over);
        if (over)
            s->held = 0;
        return over;
    } else if (strcmp(word, "wheel") == 0) {
        e.type = SDL_MOUSEWHEEL;
        e.wheel.y = atoi(rest);
        e.wheel.preciseY = (float)e.wheel.y;
        SDL_PushEvent(&e);
    } else if (strcmp(word, "size") == 0 && sscanf(rest, "%d %d", &a, &b) == 2)
        SDL_SetWindowSize(c->window, a, b);
    else if (strcmp(word, "wait") == 0 && strcmp(rest, "idle") == 0)
        return !busy;
    else if (strcmp(word, "wait") == 0 && strcmp(rest, "busy") == 0)
        return busy;
    else if (strcmp(word, "wait") == 0 && sscanf(rest, "letters %d", &a) == 1)
        return !busy || (said && strlen(said) >= (size_t)a);
    else if (strcmp(word, "wait") == 0)
        return passed >= (Uint64)atoi(rest);
    else if (strcmp(word, "expect") == 0) {
        if (!said || !strstr(said, rest)) {
            fprintf(stderr, "script: said: %s\n", said ? said : "nothing");
            script_fail(s, "this was to be said", rest);
        }
    } else if (strcmp(word, "picture") == 0) {
        const char *path = *rest ? rest : s->picture;
        if (path && !canvas_save(c, path))
            script_fail(s, "cannot write the picture", SDL_GetError());
    } else if (strcmp(word, "quit") == 0)
        s->ended = true;
    else
        script_fail(s, "what is this", s->line);
    return true;
}

void script_step(script *s, canvas *c, bool busy, const char *said)
{
    SDL_Event e = { .type = SDL_QUIT };

    if (s->ended)
        return;
    if (s->since && !script_do(s, c, busy, said))
        return;
    s->since = SDL_GetTicks64();            /* a line a frame: what one does is drawn before the next */
    if (s->ended || !script_read(s)) {
        s->ended = true;
        SDL_PushEvent(&e);
    }
}
