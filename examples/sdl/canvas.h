/* SPDX-License-Identifier: MIT
 * What the examples with a window share: the window, soft-edged shapes, text in lines, a picture of it all. Nothing here knows of language
 * models. Everything is for the one thread that draws. */
#ifndef EXAMPLE_CANVAS_H
#define EXAMPLE_CANVAS_H

#include <SDL.h>
#include <SDL_ttf.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct canvas {
    SDL_Window *window;
    SDL_Renderer *renderer;
    TTF_Font *font, *small, *title;
    char why[256];                          /* why canvas_open failed */
} canvas;

/* font: a .ttf file, or NULL: one of those that systems have. */
bool canvas_open(canvas *c, const char *title, int width, int height, Uint32 window_flags, const char *font);
void canvas_close(canvas *c);
/* What is drawn, before it is presented, as a PNG file. */
bool canvas_save(canvas *c, const char *path);

SDL_Color canvas_color(Uint32 rgb, Uint8 alpha);
void canvas_rect(canvas *c, float x, float y, float w, float h, SDL_Color color);
void canvas_round(canvas *c, float x, float y, float w, float h, float radius, SDL_Color color);
void canvas_ellipse(canvas *c, float x, float y, float rx, float ry, SDL_Color color);
/* Any convex shape, its corners in either order. */
void canvas_shape(canvas *c, const SDL_FPoint *corners, int n, SDL_Color color);
/* A short text that changes often; returns its width. align -1: it begins at x; 1: it ends there; 0: x is its middle. */
int  canvas_label(canvas *c, TTF_Font *font, int x, int y, int align, SDL_Color color, const char *text);

/* ---- text that grows, in lines of at most a width --------------------------------------------------------------- */

typedef struct text_line { size_t from, len; SDL_Texture *picture; int w, h; } text_line;
typedef struct text {                       /* all zero: empty */
    char *bytes;                            /* UTF-8, NUL-terminated; NULL while there is none */
    size_t n, cap;
    text_line *lines;
    int n_lines, cap_lines;
    TTF_Font *font;
    int width;                              /* what the lines were made for */
} text;

void text_add(text *t, const char *bytes, size_t n);
void text_clear(text *t);
/* Breaks it into lines; those that stay as they were are kept, so that a growing text costs its last line. Returns its height. */
int  text_layout(text *t, TTF_Font *font, int width);
int  text_widest(text *t);
/* Draws the lines that touch [top, bottom); pictures of others are given up. */
void text_draw(text *t, canvas *c, int x, int y, int top, int bottom, SDL_Color color);

#endif
