/* SPDX-License-Identifier: MIT */
#include "canvas.h"

#include <SDL_image.h>
#include <math.h>
#include <stdio.h>

enum { CANVAS_CORNERS = 64 };

static const char *const canvas_fonts[] = {
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf", "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf", "/usr/share/fonts/noto/NotoSans-Regular.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf", "/usr/share/fonts/liberation/LiberationSans-Regular.ttf",
    "/System/Library/Fonts/Supplemental/Arial.ttf", "C:/Windows/Fonts/segoeui.ttf",
};

static bool canvas_open_fonts(canvas *c, const char *font)
{
    for (size_t i = 0; !font && i < sizeof canvas_fonts / sizeof canvas_fonts[0]; i++) {
        SDL_RWops *file = SDL_RWFromFile(canvas_fonts[i], "rb");
        if (file) {
            SDL_RWclose(file);
            font = canvas_fonts[i];
        }
    }
    if (!font) {
        snprintf(c->why, sizeof c->why, "no font was found: name one with --font FILE.ttf");
        return false;
    }
    c->font = TTF_OpenFont(font, 16);
    c->small = TTF_OpenFont(font, 12);
    c->title = TTF_OpenFont(font, 20);
    if (!c->font || !c->small || !c->title)
        snprintf(c->why, sizeof c->why, "cannot open the font: %s", TTF_GetError());
    return c->font && c->small && c->title;
}

bool canvas_open(canvas *c, const char *title, int width, int height, Uint32 window_flags, const char *font)
{
    *c = (canvas){ 0 };
    SDL_SetHint(SDL_HINT_RENDER_SCALE_QUALITY, "linear");
    SDL_SetHint(SDL_HINT_FRAMEBUFFER_ACCELERATION, "0");    /* where SDL draws on the processor, the way to the screen is not by an OpenGL on the processor */
    SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
    if (SDL_Init(SDL_INIT_VIDEO) != 0 || TTF_Init() != 0 ||
        !(c->window = SDL_CreateWindow(title, SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED, width, height, window_flags)) ||
        !(c->renderer = SDL_CreateRenderer(c->window, -1, 0))) {
        snprintf(c->why, sizeof c->why, "cannot open a window: %s", SDL_GetError());
        return false;
    }
    SDL_SetRenderDrawBlendMode(c->renderer, SDL_BLENDMODE_BLEND);
    return canvas_open_fonts(c, font);
}

void canvas_close(canvas *c)
{
    TTF_Font *fonts[] = { c->font, c->small, c->title };

    for (int i = 0; i < 3; i++)
        if (fonts[i])
            TTF_CloseFont(fonts[i]);
    if (c->renderer)
        SDL_DestroyRenderer(c->renderer);
    if (c->window)
        SDL_DestroyWindow(c->window);
    if (TTF_WasInit())
        TTF_Quit();
    SDL_Quit();
}

bool canvas_save(canvas *c, const char *path)
{
    int w = 0, h = 0;
    bool saved;
    SDL_Surface *picture;

    SDL_GetRendererOutputSize(c->renderer, &w, &h);
    picture = SDL_CreateRGBSurfaceWithFormat(0, w, h, 24, SDL_PIXELFORMAT_RGB24);
    saved = picture && SDL_RenderReadPixels(c->renderer, NULL, SDL_PIXELFORMAT_RGB24, picture->pixels, picture->pitch) == 0 && IMG_SavePNG(picture, path) == 0;
    SDL_FreeSurface(picture);
    return saved;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------- */

SDL_Color canvas_color(Uint32 rgb, Uint8 alpha)
{
    return (SDL_Color){ (Uint8)(rgb >> 16), (Uint8)(rgb >> 8), (Uint8)rgb, alpha };
}

void canvas_rect(canvas *c, float x, float y, float w, float h, SDL_Color color)
{
    SDL_FRect r = { x, y, w, h };
    SDL_SetRenderDrawColor(c->renderer, color.r, color.g, color.b, color.a);
    SDL_RenderFillRectF(c->renderer, &r);
}

/* Triangles around the middle, and around those a rim of one pixel that fades out: a soft edge without multisampling. */
void canvas_shape(canvas *c, const SDL_FPoint *corners, int n, SDL_Color color)
{
    SDL_Vertex v[2 * CANVAS_CORNERS + 1];
    int index[9 * CANVAS_CORNERS], k = 0;
    float x = 0, y = 0;

    if (n > CANVAS_CORNERS)
        n = CANVAS_CORNERS;
    for (int i = 0; i < n; i++)
        x += corners[i].x / (float)n, y += corners[i].y / (float)n;
    v[2 * n] = (SDL_Vertex){ { x, y }, color, { 0, 0 } };
    for (int i = 0; i < n; i++) {
        float dx = corners[i].x - x, dy = corners[i].y - y, length = sqrtf(dx * dx + dy * dy) + 1e-6f;
        int next = (i + 1) % n;
        SDL_Color clear = color;
        clear.a = 0;
        v[i] = (SDL_Vertex){ { corners[i].x - 0.5f * dx / length, corners[i].y - 0.5f * dy / length }, color, { 0, 0 } };
        v[n + i] = (SDL_Vertex){ { corners[i].x + 0.7f * dx / length, corners[i].y + 0.7f * dy / length }, clear, { 0, 0 } };
        index[k++] = 2 * n, index[k++] = i, index[k++] = next;
        index[k++] = i, index[k++] = n + i, index[k++] = n + next;
        index[k++] = i, index[k++] = n + next, index[k++] = next;
    }
    SDL_RenderGeometry(c->renderer, NULL, v, 2 * n + 1, index, k);
}

void canvas_ellipse(canvas *c, float x, float y, float rx, float ry, SDL_Color color)
{
    SDL_FPoint p[CANVAS_CORNERS];
    int n = rx + ry < 16 ? 16 : rx + ry < 60 ? 32 : CANVAS_CORNERS;

    for (int i = 0; i < n; i++)
        p[i] = (SDL_FPoint){ x + rx * cosf(6.2831853f * (float)i / (float)n), y + ry * sinf(6.2831853f * (float)i / (float)n) };
    canvas_shape(c, p, n, color);
}

void canvas_round(canvas *c, float x, float y, float w, float h, float radius, SDL_Color color)
{
    enum { ARC = 8 };
    SDL_FPoint p[4 * ARC];

    for (int i = 0; i < 4 * ARC; i++) {
        int corner = i / ARC;
        float angle = 1.5707963f * ((float)corner + (float)(i % ARC) / (ARC - 1));
        float cx = corner == 0 || corner == 3 ? x + w - radius : x + radius, cy = corner < 2 ? y + h - radius : y + radius;
        p[i] = (SDL_FPoint){ cx + radius * cosf(angle), cy + radius * sinf(angle) };
    }
    canvas_shape(c, p, 4 * ARC, color);
}

int canvas_label(canvas *c, TTF_Font *font, int x, int y, int align, SDL_Color color, const char *string)
{
    SDL_Surface *drawn = *string ? TTF_RenderUTF8_Blended(font, string, color) : NULL;
    SDL_Texture *picture = drawn ? SDL_CreateTextureFromSurface(c->renderer, drawn) : NULL;
    SDL_Rect at = { x, y, drawn ? drawn->w : 0, drawn ? drawn->h : 0 };

    at.x -= align > 0 ? at.w : align == 0 ? at.w / 2 : 0;
    if (picture)
        SDL_RenderCopy(c->renderer, picture, NULL, &at);
    SDL_DestroyTexture(picture);
    SDL_FreeSurface(drawn);
    return at.w;
}
