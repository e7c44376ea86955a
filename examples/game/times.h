/* SPDX-License-Identifier: MIT
 * How long something took, very many times: counted in steps of 10 microseconds, so that any percentile can be told. */
#ifndef GAME_TIMES_H
#define GAME_TIMES_H

#include "../sdl/canvas.h"

enum { TIMES_BUCKETS = 5000 };              /* 50 ms; what is longer counts in the last */
typedef struct times { Uint32 counts[TIMES_BUCKETS]; Uint32 n; double max_ms; } times;

void   times_add(times *t, double ms);
double times_at(const times *t, double share);      /* 0.99: the time that 99 % did not pass, rounded up to 10 us */
/* A histogram from 0 to span_ms, heights by the logarithm of the count, so that one late frame among thousands is seen; a line at mark_ms. */
void   times_draw(const times *t, canvas *c, int x, int y, int w, int h, double span_ms, double mark_ms, const char *name, SDL_Color color);

#endif
