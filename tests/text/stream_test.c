/* SPDX-License-Identifier: MIT
 * Text as it streams: whatever the pieces and the reader's buffer, what is read is what one decoding gives, as valid UTF-8, up
 * to the first stop string; and nothing is shown that later turns out to be one. */
#include "text_data.h"

#include "text/stream.h"

#include "base/utf8.h"

/* The whole text made valid. */
static size_t plain_valid(const char *text, size_t len, char *out)
{
    size_t n = 0, step;
    for (size_t at = 0; at < len; at += step) {
        uint32_t cp;
        step = lm_utf8_decode(text + at, len - at, false, &cp);
        n += lm_utf8_encode(cp, out + n);
    }
    return n;
}

static size_t plain_stop(const char *text, size_t len, const llm_str *stops, size_t n_stops)
{
    for (size_t at = 0; at < len; at++)
        for (size_t i = 0; i < n_stops; i++)
            if (stops[i].len > 0 && stops[i].len <= len - at && memcmp(text + at, stops[i].ptr, stops[i].len) == 0)
                return at;
    return LLM_NUL;
}

/* Feeds text in random pieces as a session does, reading after each with a random small buffer. */
static void check_stream(const char *text, size_t len, const llm_str *stops, size_t n_stops, uint64_t *seed)
{
    char want[2048], got[2048], part[64];
    size_t stop = plain_stop(text, len, stops, n_stops), end = stop == LLM_NUL ? len : stop;
    size_t n_want = plain_valid(text, end, want), n_got = 0, fed = 0, pos = 0, n;
    bool final = false;
    while (!final) {
        size_t piece = test_random(seed) % 5 + 1, from = fed, hit, ready;
        fed = fed + piece < len ? fed + piece : len;
        hit = lm_stream_find_stop(text, fed, from, stops, n_stops);
        if (hit != LLM_NUL) {
            CHECK(hit == stop && hit >= pos);
            fed = hit;
            final = true;
        } else if (fed == len) {
            CHECK(stop == LLM_NUL);
            final = true;
        }
        ready = lm_stream_ready(text, fed, final, stops, n_stops);
        CHECK(ready <= fed && ready >= pos && (!final || ready == fed));
        do {
            size_t cap = test_random(seed) % 12;
            n = lm_stream_read(text, ready, final, &pos, part, cap);
            CHECK(n == 0 || n < cap);
            CHECK(cap == 0 || part[n] == 0);
            memcpy(got + n_got, part, n);
            n_got += n;
            if (cap < 5)
                n = 1;                                      /* too small to count as the end */
        } while (n > 0);
        CHECK(pos <= ready);
    }
    CHECK(pos == end);
    if (!CHECK_MSG(n_got == n_want && memcmp(got, want, n_got) == 0 && lm_utf8_valid(got, n_got), "%zu bytes, expected %zu", n_got, n_want))
        test_print_case("stream", text, len);
}

static void check_few(void)
{
    static const llm_str stops[] = { { "END", 3 }, { "\n\n", 2 }, { "", 0 }, { "ENDLESS", 7 } };
    size_t pos = 0;
    char out[8];
    CHECK(lm_stream_ready("abE", 3, false, stops, 4) == 2 && lm_stream_ready("abEN", 4, false, stops, 4) == 2);
    CHECK(lm_stream_ready("abEN\n", 5, false, stops, 4) == 4 && lm_stream_ready("abENX", 5, false, stops, 4) == 5);
    CHECK(lm_stream_ready("abE", 3, true, stops, 4) == 3 && lm_stream_ready("", 0, false, stops, 4) == 0);
    CHECK(lm_stream_ready("a\xe2\x96", 3, false, stops, 4) == 1 && lm_stream_ready("a\xe2\x96", 3, true, stops, 4) == 3);
    CHECK(lm_stream_ready("a\xf0\x9f\x98", 4, false, NULL, 0) == 1 && lm_stream_ready("a\x80\x80\x80\x80", 5, false, NULL, 0) == 5);
    CHECK(lm_stream_find_stop("xENDLESS", 8, 0, stops, 4) == 1 && lm_stream_find_stop("xENDy", 5, 4, stops, 4) == LLM_NUL);
    CHECK(lm_stream_find_stop("xENDy\n\n", 7, 4, stops, 4) == 5 && lm_stream_find_stop("xEND", 4, 3, stops, 4) == 1);
    CHECK(lm_stream_find_stop("", 0, 0, stops, 4) == LLM_NUL && lm_stream_find_stop("END", 3, 0, NULL, 0) == LLM_NUL);
    CHECK(lm_stream_read("\xe4\xba\xba\xe4", 4, false, &pos, out, 3) == 0 && pos == 0 && out[0] == 0);
    CHECK(lm_stream_read("\xe4\xba\xba\xe4", 4, false, &pos, out, 5) == 3 && pos == 3 && strcmp(out, "\xe4\xba\xba") == 0);
    CHECK(lm_stream_read("\xe4\xba\xba\xe4", 4, false, &pos, out, 5) == 0 && pos == 3);
    CHECK(lm_stream_read("\xe4\xba\xba\xe4", 4, true, &pos, out, 5) == 3 && pos == 4 && strcmp(out, "\xef\xbf\xbd") == 0);
    CHECK(lm_stream_read("abc", 3, true, &pos, out, 0) == 0);
}

int main(void)
{
    static const char *const parts[] = { "a", "b", "ab", "\n", "STOP", "ST", "\xc3\xa9", "\xe4\xba\xba", "\xf0\x9f\x98\x80", "\xe4", "\xff", "\x9f\x98", "\xf0\x9f", "aba", "\xed\xa0\x80" };
    static const llm_str stops[] = { { "STOP", 4 }, { "ababa", 5 }, { "\n\n", 2 }, { "\xe4\xba\xba\xe4\xba\xba", 6 }, { "b\xf0\x9f\x98\x80", 5 }, { "", 0 } };
    uint64_t seed = 5;
    check_few();
    for (int i = 0; i < 20000 && test_failures < 5; i++) {
        char text[600];
        size_t len = 0, most = test_random(&seed) % 60;
        while (len < most) {
            const char *part = parts[test_random(&seed) % LM_COUNT(parts)];
            memcpy(text + len, part, strlen(part));
            len += strlen(part);
        }
        check_stream(text, len, stops, test_random(&seed) % (LM_COUNT(stops) + 1), &seed);
    }
    return TEST_DONE();
}
