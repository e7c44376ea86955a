/* SPDX-License-Identifier: MIT */
#include "times.h"

#include <math.h>
#include <stdio.h>

void times_add(times *t, double ms)
{
    int i = (int)(ms * 100);

    t->counts[i < 0 ? 0 : i < TIMES_BUCKETS ? i : TIMES_BUCKETS - 1]++;
    t->n++;
    if (ms > t->max_ms)
        t->max_ms = ms;
}

double times_at(const times *t, double share)
{
    double left = ceil(share * t->n);

    for (int i = 0; i < TIMES_BUCKETS - 1; i++)
        if ((left -= t->counts[i]) <= 0)
            return t->n ? (i + 1) / 100.0 < t->max_ms ? (i + 1) / 100.0 : t->max_ms : 0;
    return t->max_ms;
}

void times_draw(const times *t, canvas *c, int x, int y, int w, int h, double span_ms, double mark_ms, const char *name, SDL_Color color)
{
    enum { BAR = 4 };
    SDL_Color dim = canvas_color(0xa8b4d0, 255);
    int bars = w / BAR, base = y + h - 18, top = y + 22;
    double most = log2(2.0 + t->n);
    char line[96];

    canvas_round(c, (float)x, (float)y, (float)w, (float)h, 8, canvas_color(0x0a1022, 205));
    for (int i = 0; i < bars - 4; i++) {
        int from = (int)(i * span_ms * 100 / (bars - 4)), to = (int)((i + 1) * span_ms * 100 / (bars - 4));
        Uint32 sum = 0;
        for (int k = from; k < (i == bars - 5 ? TIMES_BUCKETS : to) && k < TIMES_BUCKETS; k++)
            sum += t->counts[k];
        if (sum) {
            float high = (float)(log2(1.0 + sum) / most * (base - top));
            canvas_rect(c, (float)(x + 8 + i * BAR), (float)base - high, BAR - 1, high, (from + 1) / 100.0 > mark_ms * 1.25 ? canvas_color(0xf08a6a, 255) : color);
        }
    }
    canvas_rect(c, (float)(x + 8), (float)base, (float)(w - 16), 1, canvas_color(0x4a5678, 255));
    canvas_rect(c, (float)(x + 8 + mark_ms / span_ms * (bars - 4) * BAR), (float)top, 1, (float)(base - top), canvas_color(0xffffff, 130));
    snprintf(line, sizeof line, "%.1f", mark_ms);
    canvas_label(c, c->small, (int)(x + 8 + mark_ms / span_ms * (bars - 4) * BAR), base + 2, 0, dim, line);
    canvas_label(c, c->small, x + 8, base + 2, -1, dim, "0");
    snprintf(line, sizeof line, "%.0f ms and more", span_ms);
    canvas_label(c, c->small, x + w - 8, base + 2, 1, dim, line);
    canvas_label(c, c->small, x + 8, y + 4, -1, color, name);
    snprintf(line, sizeof line, "p50 %.2f   p99 %.2f   max %.2f", times_at(t, 0.5), times_at(t, 0.99), t->max_ms);
    canvas_label(c, c->small, x + w - 8, y + 4, 1, dim, line);
}
