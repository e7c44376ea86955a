/* SPDX-License-Identifier: MIT
 * A reply's bytes on their way to the reader: see stream.h. */
#include "text/stream.h"

#include "base/utf8.h"

#include <string.h>

size_t lm_stream_find_stop(const char *text, size_t len, size_t from, const llm_str *stops, size_t n_stops)
{
    size_t best = LLM_NUL;
    for (size_t i = 0; i < n_stops; i++) {
        llm_str stop = stops[i];
        size_t at, last;
        if (stop.len == 0 || stop.len > len)
            continue;
        at = from >= stop.len ? from - stop.len + 1 : 0;    /* the first place from which it ends after `from` */
        for (last = len - stop.len; at <= last && at < best; at++) {
            const char *hit = memchr(text + at, stop.ptr[0], last - at + 1);
            if (!hit)
                break;
            at = (size_t)(hit - text);
            if (at < best && memcmp(hit, stop.ptr, stop.len) == 0)
                best = at;
        }
    }
    return best;
}

size_t lm_stream_ready(const char *text, size_t len, bool final, const llm_str *stops, size_t n_stops)
{
    size_t ready = len, back;
    if (final)
        return len;
    for (size_t i = 0; i < n_stops; i++) {
        size_t tail = stops[i].len ? stops[i].len - 1 : 0;
        for (tail = tail < len ? tail : len; tail > len - ready; tail--)
            if (text[len - tail] == stops[i].ptr[0] && memcmp(text + len - tail, stops[i].ptr, tail) == 0) {
                ready = len - tail;
                break;
            }
    }
    for (back = 1; back <= 3 && back <= ready; back++) {    /* an unfinished character has at most three bytes */
        uint32_t cp;
        if (((unsigned char)text[ready - back] & 0xc0) == 0x80)
            continue;
        if (ready == len && lm_utf8_decode(text + ready - back, back, true, &cp) == 0)
            ready -= back;
        break;
    }
    return ready;
}

size_t lm_stream_read(const char *text, size_t ready, bool final, size_t *pos, char *out, size_t cap)
{
    size_t n = 0;
    if (cap == 0)
        return 0;
    while (*pos < ready) {
        uint32_t cp;
        char utf8[4];
        size_t len = lm_utf8_decode(text + *pos, ready - *pos, !final, &cp), n_utf8;
        if (len == 0)
            break;
        n_utf8 = lm_utf8_encode(cp, utf8);
        if (n_utf8 > cap - 1 - n)
            break;
        memcpy(out + n, utf8, n_utf8);
        n += n_utf8;
        *pos += len;
    }
    out[n] = 0;
    return n;
}
