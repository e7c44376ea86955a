/* SPDX-License-Identifier: MIT
 * What the game looks like: a hill at night, a fire, a fox that tells stories, and a child with a lantern. Draws; decides nothing. */
#ifndef GAME_SCENE_H
#define GAME_SCENE_H

#include "../sdl/canvas.h"

enum { SCENE_WIDTH = 960, SCENE_HEIGHT = 600, SCENE_GROUND = 470, SCENE_FOX = 640, SCENE_FIRE = 480, SCENE_EMBERS = 40 };

typedef struct scene {
    SDL_Texture *sky;                       /* what never moves */
    struct { float x, y, vx, vy, age, life; } embers[SCENE_EMBERS];
    double time;                            /* seconds */
} scene;

typedef struct scene_player { float x; bool left, walks; } scene_player;

bool scene_open(scene *s, canvas *c);
void scene_close(scene *s);
void scene_move(scene *s, double seconds);
void scene_draw(scene *s, canvas *c, const scene_player *player, bool fox_speaks, bool fox_listens);
/* The last lines of t in a bubble whose point is at (x, y), its right edge at most at `right`. */
void scene_bubble(canvas *c, text *t, int x, int y, int left, int right, int max_lines, SDL_Color paper, SDL_Color ink);

#endif
