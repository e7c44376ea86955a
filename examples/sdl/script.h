/* SPDX-License-Identifier: MIT
 * Inputs from a file in place of a person, for tests and pictures. Each becomes an SDL event in the program's own queue, so the program handles it
 * as it would handle a person's. A line each:
 *
 *     type TEXT           key NAME            press and release, by SDL's names: Return, Escape, Backspace, Space
 *     hold NAME MS        wheel N             size WIDTH HEIGHT
 *     wait MS             wait idle           until nothing is being said
 *     wait busy           until something is
 *     wait letters N      until the last text has N bytes, or has come to its end
 *     expect TEXT         the last text that was said has this in it, or the program ends with status 1
 *     picture [FILE]      a PNG of the window; without FILE: the one of --picture
 *     quit                as when the window is closed. So is the end of the file. */
#ifndef EXAMPLE_SCRIPT_H
#define EXAMPLE_SCRIPT_H

#include "canvas.h"

typedef struct script {
    SDL_RWops *file;
    char line[256];                         /* being waited for; empty: read the next one */
    Uint64 since;                           /* SDL_GetTicks64 when the wait began */
    SDL_Keycode held;
    bool ended, failed;
    const char *picture;
} script;

/* path NULL: no script, and nothing of it happens. */
bool script_open(script *s, const char *path, const char *picture);
/* Once a frame, after drawing and before presenting. said: the last text, may be NULL. */
void script_step(script *s, canvas *c, bool busy, const char *said);
void script_close(script *s);

#endif
