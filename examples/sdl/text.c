/* SPDX-License-Identifier: MIT
 * Text in lines. Each line has a picture of its own, white, made when it is first drawn: drawing it again, in any color, is a copy. */
#include "canvas.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_LINE = 1024 };               /* bytes; longer ones are broken there */

static void text_forget_lines(text *t, int keep)
{
    while (t->n_lines > keep)
        SDL_DestroyTexture(t->lines[--t->n_lines].picture);
}

void text_clear(text *t)
{
    text_forget_lines(t, 0);
    free(t->lines);
    free(t->bytes);
    *t = (text){ 0 };
}

void text_add(text *t, const char *bytes, size_t n)
{
    if (t->cap - t->n < n + 1) {
        size_t cap = 2 * t->cap + n + 64;
        char *grown = realloc(t->bytes, cap);
        if (!grown)
            return;                         /* what does not fit is not shown */
        t->bytes = grown;
        t->cap = cap;
    }
    memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
    t->bytes[t->n] = 0;
}

/* How many bytes of `from` go into one line, and in *next how many are used up, the space or newline at the break included. */
static size_t text_break(const char *from, TTF_Font *font, int width, size_t *next)
{
    char line[TEXT_LINE];
    size_t n = strcspn(from, "\n"), fit = 0;
    bool newline = from[n] == '\n';
    int extent = 0, count = 0;

    if (n > sizeof line - 1) {
        n = sizeof line - 1;
        while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80)
            n--;
        newline = false;
    }
    memcpy(line, from, n);
    line[n] = 0;
    if (TTF_MeasureUTF8(font, line, width, &extent, &count) != 0)
        count = 1;
    while (count > 0 && fit < n) {          /* characters to bytes */
        do
            fit++;
        while (((unsigned char)line[fit] & 0xc0) == 0x80);
        count--;
    }
    if (fit == n) {
        *next = n + newline;
        return n;
    }
    for (size_t i = fit; i > 0; i--)
        if (line[i] == ' ') {
            *next = i + 1;
            return i;
        }
    if (fit == 0)                           /* not even one character: one all the same */
        do
            fit++;
        while (((unsigned char)line[fit] & 0xc0) == 0x80);
    *next = fit;
    return fit;
}

int text_layout(text *t, TTF_Font *font, int width)
{
    size_t at = 0;
    int n = 0;
    bool kept = t->font == font && t->width == width;

    t->font = font;
    t->width = width;
    if (kept && t->n_lines > 0) {           /* only the last line, and the one before whose break may move, can change */
        n = t->n_lines > 1 ? t->n_lines - 2 : 0;
        at = t->lines[n].from;
    }
    while (at < t->n) {
        size_t next, len = text_break(t->bytes + at, font, width, &next);
        if (n < t->n_lines && (t->lines[n].from != at || t->lines[n].len != len || !kept))
            text_forget_lines(t, n);
        if (n == t->n_lines) {
            if (n == t->cap_lines) {
                text_line *grown = realloc(t->lines, (size_t)(2 * n + 8) * sizeof *grown);
                if (!grown)
                    break;
                t->lines = grown;
                t->cap_lines = 2 * n + 8;
            }
            t->lines[t->n_lines++] = (text_line){ at, len, NULL, 0, 0 };
        }
        at += next;
        n++;
    }
    text_forget_lines(t, n);
    return n * TTF_FontLineSkip(font);
}

int text_widest(text *t)
{
    int widest = 0;

    for (int i = 0; i < t->n_lines; i++) {
        text_line *l = &t->lines[i];
        if (l->w == 0 && l->len > 0) {
            char line[TEXT_LINE];
            memcpy(line, t->bytes + l->from, l->len);
            line[l->len] = 0;
            TTF_SizeUTF8(t->font, line, &l->w, NULL);
        }
        widest = l->w > widest ? l->w : widest;
    }
    return widest;
}

void text_draw(text *t, canvas *c, int x, int y, int top, int bottom, SDL_Color color)
{
    int skip = t->font ? TTF_FontLineSkip(t->font) : 0;

    for (int i = 0; i < t->n_lines; i++, y += skip) {
        text_line *l = &t->lines[i];
        bool seen = y + skip > top && y < bottom;
        if (!seen) {
            SDL_DestroyTexture(l->picture);
            l->picture = NULL;
        } else if (!l->picture && l->len > 0) {
            char line[TEXT_LINE];
            SDL_Surface *drawn;
            memcpy(line, t->bytes + l->from, l->len);
            line[l->len] = 0;
            drawn = TTF_RenderUTF8_Blended(t->font, line, (SDL_Color){ 255, 255, 255, 255 });
            l->picture = drawn ? SDL_CreateTextureFromSurface(c->renderer, drawn) : NULL;
            l->w = drawn ? drawn->w : 0;
            l->h = drawn ? drawn->h : 0;
            SDL_FreeSurface(drawn);
        }
        if (seen && l->picture) {
            SDL_Rect at = { x, y, l->w, l->h };
            SDL_SetTextureColorMod(l->picture, color.r, color.g, color.b);
            SDL_SetTextureAlphaMod(l->picture, color.a);
            SDL_RenderCopy(c->renderer, l->picture, NULL, &at);
        }
    }
}
