/* SPDX-License-Identifier: MIT
 * Text cut by sets of characters: scan.h has the expressions. A set is a function that says of a character which set it is in, or
 * 0; nearly all expressions are runs of one set, with or without a space before them. */
#include "text/scan.h"

#include <string.h>

typedef uint32_t sets_of(lm_char c);    /* c is a character: not the end */

/* A run of characters of one set, at most `most` of them; or all up to the next that is in a set. */
LM_INLINE const char *sets_scan(const char *at, const char *end, sets_of *of, size_t most)
{
    lm_char c = lm_char_at(at, end);
    uint32_t set = of(c);
    if (set == 0)
        most = SIZE_MAX;
    for (; c.is && of(c) == set && most > 0; c = lm_char_at(at, end), most--)
        at = c.next;
    return at;
}

/* Runs of a set with one space before them, if there is one: ' ', or any white space if `any`; or all up to the next match. */
LM_INLINE const char *sets_scan_blank(const char *at, const char *end, sets_of *of, bool any)
{
    const char *piece = at;
    for (lm_char c = lm_char_at(at, end); c.is; c = lm_char_at(piece, end)) {
        lm_char first = of(c) || !(any ? c.is & LM_SPACE : c.cp == ' ') ? c : lm_char_at(c.next, end);
        if (first.is && of(first)) {
            if (piece > at)
                return piece;
            for (piece = first.next, c = lm_char_at(piece, end); c.is && of(c); c = lm_char_at(piece, end))
                piece = c.next;
            return piece;
        }
        piece = c.next;
    }
    return end;
}

LM_INLINE bool sets_is_ascii_sign(uint32_t cp)
{
    return (cp >= '!' && cp <= '/') || (cp >= ':' && cp <= '@') || (cp >= '[' && cp <= '`') || (cp >= '{' && cp <= '~');
}

LM_INLINE bool sets_ascii_in(const char *set, uint32_t cp) { return cp > 0 && cp < 0x80 && strchr(set, (int)cp); }

/* ---- by kind ---- */

static uint32_t sets_punct(lm_char c) { return c.is & LM_PUNCT || sets_ascii_in("$+<=>^~|", c.cp); }
static uint32_t sets_punct_tick(lm_char c) { return sets_punct(c) || c.cp == '`'; }
static uint32_t sets_newline(lm_char c) { return c.cp == '\r' || c.cp == '\n'; }
static uint32_t sets_line_feed(lm_char c) { return c.cp == '\n'; }
static uint32_t sets_graph(lm_char c) { return !(c.is & LM_SPACE); }
static uint32_t sets_sign(lm_char c) { return c.is & LM_PUNCT || sets_is_ascii_sign(c.cp); }
static uint32_t sets_letter(lm_char c) { return (c.is & LM_LETTER) != 0; }
static uint32_t sets_punct_only(lm_char c) { return (c.is & LM_PUNCT) != 0; }

const char *lm_scan_punct(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan(at, end, sets_punct, SIZE_MAX); }
const char *lm_scan_punct_tick(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan(at, end, sets_punct_tick, SIZE_MAX); }
const char *lm_scan_newline(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan(at, end, sets_newline, 1); }
const char *lm_scan_lines(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan(at, end, sets_line_feed, SIZE_MAX); }
const char *lm_scan_graphs(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan(at, end, sets_graph, SIZE_MAX); }
const char *lm_scan_each_punct(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan(at, end, sets_sign, 1); }
const char *lm_scan_blank_punct(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan_blank(at, end, sets_punct_only, true); }
const char *lm_scan_blank_letters(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan_blank(at, end, sets_letter, true); }

/* ---- by range ---- */

#define SETS_HAS(set, c) lm_range_has(set, LM_COUNT(set), (c).cp)

static const lm_range sets_cjk_ranges[] = { { 0x3040, 0x30ff }, { 0x4e00, 0x9fa5 } };
static const lm_range sets_cjk_wide_ranges[] = { { 0x800, 0x9fa5 }, { 0xac00, 0xd7ff } };
static const lm_range sets_afmoe_ranges[] = {
    { 0xe40, 0xeff }, { 0x1000, 0x109f }, { 0x1100, 0x11ff }, { 0x1780, 0x17ff },   /* Thai's end and Lao, Burmese, Jamo, Khmer */
    { 0x2f00, 0x2fdf }, { 0x3040, 0x30ff }, { 0x3400, 0x4dbf }, { 0x4e00, 0x9fff }, { 0xa9e0, 0xa9ff }, { 0xaa60, 0xaa7f },
    { 0xac00, 0xd7af }, { 0xf900, 0xfaff }, { 0xff65, 0xff9f },
};
static const lm_range sets_hangul_ranges[] = { { 0x3131, 0x318e }, { 0xac00, 0xd7a3 } };
static const lm_range sets_cjk_punct_ranges[] = {
    { 0x2014, 0x2014 }, { 0x2018, 0x2019 }, { 0x201c, 0x201d }, { 0x2026, 0x2026 }, { 0x3001, 0x303f }, { 0xfe30, 0xfe4f },
    { 0xff01, 0xff01 }, { 0xff0c, 0xff0c }, { 0xff1a, 0xff1b },
};
static const lm_range sets_bopomofo_ranges[] = { { 0x3105, 0x312f } };
static const lm_range sets_marks_ranges[] = {
    { 0x21, 0x2f }, { 0x3a, 0x7e }, { 0x2018, 0x201f }, { 0x3000, 0x3002 }, { 0xff01, 0xff0f }, { 0xff1a, 0xff5e },
};
static const lm_range sets_bloom_ranges[] = {           /* the end of a word; the brackets and the bar were not meant, but are there */
    { '!', '!' }, { '(', ')' }, { ',', ',' }, { '.', '.' }, { '?', '?' }, { '|', '|' }, { 0x60c, 0x60c }, { 0x6d4, 0x6d4 },
    { 0x964, 0x964 }, { 0x2026, 0x2026 }, { 0x3001, 0x3002 }, { 0xff0c, 0xff0c },
};
static const lm_range sets_cased_ranges[] = {           /* roughly Lu, Ll and Lt, as DeepSeek lists them */
    { 0x41, 0x5a }, { 0x61, 0x7a }, { 0xb5, 0xb5 }, { 0xc0, 0xd6 }, { 0xd8, 0xf6 }, { 0xf8, 0x1ba }, { 0x1bc, 0x1bf },
    { 0x1c4, 0x293 }, { 0x295, 0x2af }, { 0x370, 0x373 }, { 0x376, 0x377 }, { 0x37b, 0x37d }, { 0x37f, 0x37f },
    { 0x386, 0x386 }, { 0x388, 0x38a }, { 0x38c, 0x38c }, { 0x38e, 0x3a1 }, { 0x3a3, 0x3f5 }, { 0x3f7, 0x481 },
    { 0x48a, 0x52f }, { 0x531, 0x556 }, { 0x10a0, 0x10c5 }, { 0x13a0, 0x13f5 }, { 0x13f8, 0x13fd }, { 0x1c90, 0x1cba },
    { 0x1cbd, 0x1cbf }, { 0x1d00, 0x1d2b }, { 0x1d6b, 0x1d77 }, { 0x1d79, 0x1d9a }, { 0x1e00, 0x1f15 }, { 0x1f18, 0x1f1d },
    { 0x1f20, 0x1f45 }, { 0x1f48, 0x1f4d }, { 0x1f50, 0x1f57 }, { 0x1f59, 0x1f59 }, { 0x1f5b, 0x1f5b }, { 0x1f5d, 0x1f5d },
    { 0x1f5f, 0x1f7d }, { 0x1f80, 0x1fb4 }, { 0x1fb6, 0x1fbc }, { 0x1fbe, 0x1fbe }, { 0x1fc2, 0x1fc4 }, { 0x1fc6, 0x1fcc },
    { 0x1fd0, 0x1fd3 }, { 0x1fd6, 0x1fdb }, { 0x1fe0, 0x1fec }, { 0x1ff2, 0x1ff4 }, { 0x1ff6, 0x1ffc }, { 0x2102, 0x2102 },
    { 0x2107, 0x2107 }, { 0x210a, 0x2113 }, { 0x2115, 0x2115 }, { 0x2119, 0x211d }, { 0x2124, 0x2124 }, { 0x2126, 0x2126 },
    { 0x2128, 0x2128 }, { 0x212a, 0x212d }, { 0x212f, 0x2134 }, { 0x2139, 0x2139 }, { 0x213c, 0x213f }, { 0x2145, 0x2149 },
    { 0x214e, 0x214e }, { 0x2183, 0x2184 }, { 0x2c00, 0x2c7b }, { 0x2c7e, 0x2ce4 }, { 0x2ceb, 0x2cee }, { 0x2cf2, 0x2cf3 },
    { 0xa640, 0xa66d }, { 0xa680, 0xa69b }, { 0xa722, 0xa76f }, { 0xa771, 0xa787 }, { 0xa78b, 0xa78e }, { 0xab70, 0xabbf },
    { 0xfb00, 0xfb06 }, { 0xfb13, 0xfb17 }, { 0xff21, 0xff3a }, { 0xff41, 0xff5a }, { 0x10400, 0x1044f }, { 0x104b0, 0x104d3 },
    { 0x104d8, 0x104fb }, { 0x10c80, 0x10cb2 }, { 0x10cc0, 0x10cf2 }, { 0x118a0, 0x118df }, { 0x1e900, 0x1e943 },
};

static uint32_t sets_cjk(lm_char c) { return SETS_HAS(sets_cjk_ranges, c); }
static uint32_t sets_cjk_wide(lm_char c) { return SETS_HAS(sets_cjk_wide_ranges, c); }
static uint32_t sets_afmoe(lm_char c) { return SETS_HAS(sets_afmoe_ranges, c); }
static uint32_t sets_youtu(lm_char c)
{
    return SETS_HAS(sets_cjk_ranges, c) ? 1 : SETS_HAS(sets_hangul_ranges, c) ? 2 : SETS_HAS(sets_cjk_punct_ranges, c) ? 3
           : SETS_HAS(sets_bopomofo_ranges, c) ? 4 : 0;
}
static uint32_t sets_cased(lm_char c) { return SETS_HAS(sets_cased_ranges, c); }
static uint32_t sets_marks(lm_char c) { return SETS_HAS(sets_marks_ranges, c); }
static uint32_t sets_bloom(lm_char c) { return !(c.is & LM_SPACE) && !SETS_HAS(sets_bloom_ranges, c); }

const char *lm_scan_cjk(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan(at, end, sets_cjk, SIZE_MAX); }
const char *lm_scan_cjk_wide(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan(at, end, sets_cjk_wide, SIZE_MAX); }
const char *lm_scan_afmoe_scripts(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan(at, end, sets_afmoe, SIZE_MAX); }
const char *lm_scan_youtu_scripts(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan(at, end, sets_youtu, SIZE_MAX); }
const char *lm_scan_blank_cased(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan_blank(at, end, sets_cased, true); }
const char *lm_scan_blank_marks(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan_blank(at, end, sets_marks, true); }
const char *lm_scan_bloom(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan_blank(at, end, sets_bloom, false); }

/* ---- white space at the end, and a few literals ---- */

const char *lm_scan_last_spaces(const char *at, const char *end, const char **mark)
{
    const char *spaces = at, *run = at;
    (void)mark;
    while (run < end) {                                     /* `spaces` is where the white space before `run` begins */
        lm_char c = lm_char_at(run, end);
        run = c.next;
        if (!(c.is & LM_SPACE))
            spaces = run;
    }
    return spaces > at ? spaces : end;
}

/* The piece at `at` of an expression whose match at a place `match` finds (its end, or the place itself). */
LM_INLINE const char *sets_scan_match(const char *at, const char *end, const char *(*match)(const char *, const char *))
{
    const char *piece = match(at, end);
    if (piece > at)
        return piece;
    while (piece < end && match(piece, end) == piece)
        piece++;                                            /* matches begin with ASCII: characters need not be stepped over whole */
    return piece;
}

static const char *sets_sentinel(const char *at, const char *end)
{
    static const char begin[] = "<sentinel:";
    enum { BEGIN = sizeof begin - 1 };
    const char *digits = at + BEGIN, *p = digits;
    if (*at != '<' || end - at < BEGIN || memcmp(at, begin, BEGIN) != 0)
        return at;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p > digits && p < end && *p == '>' ? p + 1 : at;
}

static const char *sets_image(const char *at, const char *end)
{
    const char *letters = at + 6, *p = letters;
    if (*at != 'I' || end - at < 8 || memcmp(at, "IMGIMG", 6) != 0)
        return at;
    while (p < end && p - letters < 4 && *p >= 'A' && *p <= 'I')
        p++;
    return p > letters && p < end && *p == 'Z' ? p + 1 : at;
}

static const char *sets_indent(const char *at, const char *end)
{
    ptrdiff_t n = 0;
    if (*at == '\t' || *at == '\n')
        return at + 1;
    while (n < 4 && n < end - at && at[n] == ' ')
        n++;
    return n == 4 ? at + 4 : n >= 2 ? at + 2 : at;
}

const char *lm_scan_sentinel(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan_match(at, end, sets_sentinel); }
const char *lm_scan_image(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan_match(at, end, sets_image); }
const char *lm_scan_indent(const char *at, const char *end, const char **mark) { return (void)mark, sets_scan_match(at, end, sets_indent); }
#undef SETS_HAS
