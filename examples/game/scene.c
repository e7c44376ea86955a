/* SPDX-License-Identifier: MIT */
#include "scene.h"

#include <math.h>
#include <stdlib.h>

static float scene_hash(int x, int y)       /* 0 to 1, the same in every run */
{
    Uint32 h = (Uint32)x * 374761393u + (Uint32)y * 668265263u;

    h = (h ^ (h >> 13)) * 1274126177u;
    return (float)((h ^ (h >> 16)) & 0xffff) / 65535.0f;
}

static float scene_hill(int which, float x)
{
    return which == 0 ? 330 + 40 * sinf(x * 0.006f + 1) + 14 * sinf(x * 0.021f) : which == 1 ? 395 + 30 * sinf(x * 0.008f + 3) + 8 * sinf(x * 0.033f)
                                                                                             : SCENE_GROUND - 8 + 5 * sinf(x * 0.012f);
}

static void scene_mix(float out[3], Uint32 rgb, float share)
{
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    for (int i = 0; i < 3; i++)
        out[i] += ((float)(rgb >> (16 - 8 * i) & 255) - out[i]) * share;
}

/* Sky, moon, stars, hills, ground, and the light of the fire on it: once, pixel by pixel. */
static Uint32 scene_pixel(int px, int py)
{
    float x = (float)px + 0.5f, y = (float)py + 0.5f, color[3] = { 14, 20, 50 };
    float moon = hypotf(x - 150, y - 105), far_hill = scene_hill(0, x), hill = scene_hill(1, x), ground = scene_hill(2, x);
    float fire = expf(-powf((x - SCENE_FIRE) / 190, 2) - powf((y - SCENE_GROUND) / 90, 2));

    scene_mix(color, 0x3a4a86, floorf(y / 8) * 8 / 520);            /* in bands of 8 rows: small as a PNG, and like a print */
    scene_mix(color, 0x8a7aa8, floorf((y - 200) / 8) * 8 / 420);
    scene_mix(color, 0xf5ecd0, 0.20f * (1 - floorf(moon / 12) * 12 / 110));
    if (scene_hash(px / 5, py / 5) > 0.996f && py < 300 && moon > 60)
        scene_mix(color, 0xffffff, hypotf(x - ((float)(px / 5) * 5 + 2.5f), y - ((float)(py / 5) * 5 + 2.5f)) < 1.3f ? 0.85f : 0);
    scene_mix(color, 0xf7f0d8, 46.5f - moon);
    scene_mix(color, 0xdfd4b4, fminf(1, 9.5f - hypotf(x - 138, y - 95)) * 0.8f);
    scene_mix(color, 0xdfd4b4, fminf(1, 6.5f - hypotf(x - 166, y - 118)) * 0.8f);
    scene_mix(color, 0xdfd4b4, fminf(1, 4.5f - hypotf(x - 150, y - 130)) * 0.8f);
    scene_mix(color, 0x2b3468, y - far_hill);
    scene_mix(color, 0x1f2a50, y - hill);
    scene_mix(color, 0x1b2f36, y - ground);
    scene_mix(color, 0x12202a, y - ground - 26);
    if (y > hill)
        scene_mix(color, 0xe89a4a, floorf(fire * 12) / 12 * (y > ground ? 0.45f : 0.10f));
    return (Uint32)color[0] << 16 | (Uint32)color[1] << 8 | (Uint32)color[2];
}

static void scene_ember(scene *s, int i)
{
    s->embers[i].x = SCENE_FIRE + (float)(rand() % 29 - 14);
    s->embers[i].y = SCENE_GROUND - 12;
    s->embers[i].vx = (float)(rand() % 21 - 10);
    s->embers[i].vy = -30 - (float)(rand() % 50);
    s->embers[i].age = 0;
    s->embers[i].life = 0.6f + (float)(rand() % 140) / 100;
}

bool scene_open(scene *s, canvas *c)
{
    Uint32 *pixels = malloc(sizeof *pixels * SCENE_WIDTH * SCENE_HEIGHT);
    int pitch = SCENE_WIDTH * 4;

    *s = (scene){ .sky = SDL_CreateTexture(c->renderer, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STATIC, SCENE_WIDTH, SCENE_HEIGHT) };
    if (!pixels || !s->sky) {
        free(pixels);
        return false;
    }
    for (int y = 0; y < SCENE_HEIGHT; y++)
        for (int x = 0; x < SCENE_WIDTH; x++)
            pixels[y * SCENE_WIDTH + x] = scene_pixel(x, y);
    SDL_UpdateTexture(s->sky, NULL, pixels, pitch);
    free(pixels);
    for (int i = 0; i < SCENE_EMBERS; i++) {
        scene_ember(s, i);
        s->embers[i].age = s->embers[i].life * (float)i / SCENE_EMBERS;
    }
    return true;
}

void scene_close(scene *s)
{
    SDL_DestroyTexture(s->sky);
}

void scene_move(scene *s, double seconds)
{
    float dt = (float)seconds;

    s->time += seconds;
    for (int i = 0; i < SCENE_EMBERS; i++) {
        s->embers[i].age += dt;
        s->embers[i].x += s->embers[i].vx * dt + 12 * dt * sinf((float)s->time * 3 + (float)i);
        s->embers[i].y += s->embers[i].vy * dt;
        if (s->embers[i].age > s->embers[i].life)
            scene_ember(s, i);
    }
}

static void scene_triangle(canvas *c, float x1, float y1, float x2, float y2, float x3, float y3, SDL_Color color)
{
    SDL_FPoint p[3] = { { x1, y1 }, { x2, y2 }, { x3, y3 } };
    canvas_shape(c, p, 3, color);
}

static void scene_draw_fire(const scene *s, canvas *c)
{
    static const Uint32 colors[] = { 0xe8602c, 0xf59a34, 0xffd866 };
    const float x = SCENE_FIRE, y = SCENE_GROUND;
    float glow = 1 + 0.05f * sinf((float)s->time * 9) + 0.04f * sinf((float)s->time * 23);

    for (int i = 2; i > 0; i--)
        canvas_ellipse(c, x, y - 30, 30.0f * (float)i * glow, 26.0f * (float)i * glow, canvas_color(0xffa040, 18));
    for (int i = -2; i <= 2; i++)
        canvas_ellipse(c, x + 13.0f * (float)i, y + 4 + 2.0f * (float)(abs(i) == 2 ? -1 : 0), 8, 5, canvas_color(i % 2 ? 0x4a4f60 : 0x5a6072, 255));
    for (int k = 0; k < 3; k++)
        for (int i = -1; i <= 1; i++) {
            float size = (1 - 0.27f * (float)k) * (i ? 0.72f : 1), sway = 5 * sinf((float)s->time * (6 + (float)i) + (float)k), at = x + 12.0f * (float)i * (1 - 0.25f * (float)k);
            float high = 58 * size * (1 + 0.12f * sinf((float)s->time * 11 + (float)(2 * i + k)));
            SDL_FPoint p[5] = { { at - 13 * size, y - 14 * size }, { at - 8 * size, y }, { at + 8 * size, y }, { at + 13 * size, y - 14 * size }, { at + sway, y - high } };
            canvas_shape(c, p, 5, canvas_color(colors[k], 235));
        }
    for (int i = 0; i < SCENE_EMBERS; i++)
        canvas_rect(c, s->embers[i].x, s->embers[i].y, 2, 2, canvas_color(0xffc860, (Uint8)(220 * (1 - s->embers[i].age / s->embers[i].life))));
}

static void scene_draw_fox(const scene *s, canvas *c, bool speaks, bool listens)
{
    const SDL_Color fur = canvas_color(0xd9743a, 255), light = canvas_color(0xf6e6d0, 255), dark = canvas_color(0x3a2430, 255), shade = canvas_color(0xb85c2c, 255);
    const float x = SCENE_FOX, y = SCENE_GROUND;
    float breath = 1.5f * sinf((float)s->time * 2.2f), tail = 0.25f * sinf((float)s->time * 1.7f);
    float mouth = speaks ? 2.5f + 2.5f * sinf((float)s->time * 17) : 0, ear = listens ? 5 : 0;
    bool blinks = fmod(s->time, 3.7) < 0.12;

    canvas_ellipse(c, x + 4, y + 6, 62, 8, canvas_color(0x000000, 70));
    for (int i = 0; i < 9; i++) {           /* the tail, its tip white */
        float a = 0.15f + 0.15f * (float)i + tail * (float)i / 9, r = 40 + 3.5f * (float)i;
        canvas_ellipse(c, x + 22 + r * cosf(a), y - 12 - r * sinf(a) * 0.9f, 15 - 1.0f * fabsf((float)i - 3), 13 - 1.0f * fabsf((float)i - 3), i > 6 ? light : shade);
    }
    canvas_ellipse(c, x + 12, y - 34, 36, 40, fur);
    canvas_ellipse(c, x - 8, y - 36 + breath, 18, 30, light);
    canvas_ellipse(c, x - 12, y - 2, 14, 7, dark);
    canvas_ellipse(c, x + 16, y - 2, 14, 7, dark);
    scene_triangle(c, x - 38, y - 100 + breath, x - 36, y - 142 + breath - ear, x - 10, y - 112 + breath, fur);
    scene_triangle(c, x + 28, y - 100 + breath, x + 28, y - 142 + breath - ear, x + 2, y - 112 + breath, fur);
    scene_triangle(c, x - 33, y - 108 + breath, x - 33, y - 132 + breath - ear, x - 18, y - 114 + breath, dark);
    scene_triangle(c, x + 24, y - 108 + breath, x + 25, y - 132 + breath - ear, x + 10, y - 114 + breath, dark);
    canvas_ellipse(c, x - 5, y - 92 + breath, 36, 30, fur);
    canvas_ellipse(c, x - 22, y - 80 + breath, 19, 16, light);
    canvas_ellipse(c, x + 12, y - 80 + breath, 19, 16, light);
    if (mouth > 0)
        canvas_ellipse(c, x - 8, y - 66 + breath, 9, mouth + 1, dark);
    canvas_ellipse(c, x - 8, y - 75 + breath, 17, 9, light);
    canvas_ellipse(c, x - 9, y - 81 + breath, 6, 4.5f, dark);
    for (int i = 0; i < 2; i++) {
        float eye = x - 20 + 28.0f * (float)i;
        canvas_ellipse(c, eye, y - 96 + breath, 4.5f, blinks ? 0.8f : 5.5f, dark);
        if (!blinks)
            canvas_ellipse(c, eye - 1.5f, y - 98 + breath, 1.4f, 1.4f, canvas_color(0xffffff, 255));
    }
}

static void scene_draw_player(const scene *s, canvas *c, const scene_player *p)
{
    const SDL_Color coat = canvas_color(0x3f7f9a, 255), hood = canvas_color(0x56a0ba, 255), skin = canvas_color(0xf0cfae, 255), dark = canvas_color(0x22304a, 255);
    float x = p->x, y = SCENE_GROUND + 2, way = p->left ? -1.0f : 1.0f, step = p->walks ? sinf((float)s->time * 13) : 0;
    float bob = p->walks ? -2 * fabsf(step) : 0, lantern = x + way * 27, swing = 3 * sinf((float)s->time * 4);
    SDL_FPoint body[6] = { { x - 10, y - 52 + bob }, { x + 10, y - 52 + bob }, { x + 17, y - 30 + bob }, { x + 20, y - 8 + bob }, { x - 20, y - 8 + bob }, { x - 17, y - 30 + bob } };

    canvas_ellipse(c, x, y + 5, 26, 5, canvas_color(0x000000, 70));
    canvas_ellipse(c, x - 7 + 7 * step, y - 1, 8, 5, dark);
    canvas_ellipse(c, x + 7 - 7 * step, y - 1, 8, 5, dark);
    canvas_shape(c, body, 6, coat);
    canvas_ellipse(c, x, y - 66 + bob, 20, 21, hood);
    canvas_ellipse(c, x + 4 * way, y - 64 + bob, 14, 15, skin);
    canvas_ellipse(c, x + 2 * way, y - 65 + bob, 1.8f, 2.6f, dark);
    canvas_ellipse(c, x + 11 * way, y - 65 + bob, 1.8f, 2.6f, dark);
    canvas_ellipse(c, x + 17 * way, y - 40 + bob, 10, 5, hood);
    for (int i = 3; i > 0; i--)
        canvas_ellipse(c, lantern + swing * 0.4f, y - 28 + bob, 11.0f * (float)i, 11.0f * (float)i, canvas_color(0xffe08a, 22));
    canvas_round(c, lantern - 6 + swing * 0.4f, y - 37 + bob, 12, 16, 3, canvas_color(0xffdf80, 255));
    canvas_rect(c, lantern - 7 + swing * 0.4f, y - 39 + bob, 14, 3, dark);
    canvas_rect(c, lantern - 7 + swing * 0.4f, y - 21 + bob, 14, 3, dark);
}

void scene_draw(scene *s, canvas *c, const scene_player *player, bool fox_speaks, bool fox_listens)
{
    SDL_RenderCopy(c->renderer, s->sky, NULL, NULL);
    scene_draw_fox(s, c, fox_speaks, fox_listens);
    scene_draw_fire(s, c);
    scene_draw_player(s, c, player);
}

void scene_bubble(canvas *c, text *t, int x, int y, int left, int right, int max_lines, SDL_Color paper, SDL_Color ink)
{
    int skip = TTF_FontLineSkip(c->font), high, wide, at, lines;

    text_layout(t, c->font, right - left - 32);
    lines = t->n_lines < max_lines ? t->n_lines : max_lines;
    if (lines == 0)
        return;
    high = lines * skip + 20;
    wide = text_widest(t) + 32;
    at = x - wide / 2;
    at = at + wide > right ? right - wide : at;
    at = at < left ? left : at;
    scene_triangle(c, (float)x - 12, (float)y - 20, (float)x + 12, (float)y - 20, (float)x, (float)y, paper);
    canvas_round(c, (float)at, (float)(y - 16 - high), (float)wide, (float)high, 12, paper);
    text_draw(t, c, at + 16, y - 16 - high + 10 - (t->n_lines - lines) * skip, y - 16 - high + 10 + skip / 2, y - 16 - 8, ink);
}
