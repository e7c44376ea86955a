/* SPDX-License-Identifier: MIT
 * Text into words: the expressions of gpt-2, llama-3, gpt-4o and their kin (scan.h has them). Most are one skeleton,
 *
 *     a contraction | a word, with one character before it | numbers | others, with a space before and newlines behind | white space
 *
 * and differ in what a word is and in a few constants, which are folded into each scanner.
 *
 * Regular expressions try their alternatives in order and give characters back when they get stuck. Where that shows in the
 * result a comment says how the code comes to the same without trying. */
#include "text/scan.h"

#define WORDS_LINES "\r\n"

/* \s+(?!\S)|\s+, and \s*[\r\n]+ before them if `lines`. `at` is white space. The last one before a word belongs to the word. */
static const char *words_spaces(const char *at, const char *end, bool lines)
{
    const char *run = at, *last = at, *newline = NULL;
    for (lm_char c = lm_char_at(run, end); c.is & LM_SPACE; c = lm_char_at(run, end)) {
        if (*run == '\r' || *run == '\n')
            newline = c.next;
        last = run;
        run = c.next;
    }
    if (lines && newline)
        return newline;
    return run == end || last == at ? run : last;
}

static const char *words_tail(const char *at, const char *end, const char **mark)
{
    (void)mark;
    return words_spaces(at, end, true);
}

/* As much white space as the greatest power of two allows that leaves some before a word. Marks the end of the run once it has
 * no newline left: it is looked through once, not for every piece. */
static const char *words_tail_jais2(const char *at, const char *end, const char **mark)
{
    size_t n = 0, size = 512;
    if (*mark <= at) {
        const char *run = lm_scan_run(at, end, LM_SPACE), *newline = run;
        while (newline > at && newline[-1] != '\r' && newline[-1] != '\n')
            newline--;
        if (newline > at)
            return newline;
        *mark = run;
    }
    for (const char *p = at; p < *mark && n <= size; p = lm_char_at(p, end).next)
        n++;
    if (*mark < end && n > 1)
        n--;
    while (size > n)
        size /= 2;
    return lm_scan_skip(at, end, size);
}

/* The end of an English contraction, or `at`, which need not be an apostrophe. U+017F is an s to a case-blind expression. */
static const char *words_contraction(const char *at, const char *end, bool case_blind)
{
    size_t left = (size_t)(end - at);
    uint32_t fold = case_blind ? 0x20u : 0, a, b;
    if (left < 2 || *at != '\'')
        return at;
    a = (unsigned char)at[1];
    if (case_blind && a == 0xc5 && left >= 3 && (unsigned char)at[2] == 0xbf)
        return at + 3;
    if (a >= 0x80)
        return at;
    a |= fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return at + 2;
    if (left < 3)
        return at;
    b = (unsigned char)at[2];
    if (b >= 0x80)
        return at;
    b |= fold;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? at + 3 : at;
}

const char *lm_scan_gpt2(const char *at, const char *end, const char **mark)
{
    lm_char c = lm_char_at(at, end);
    (void)mark;
    if (*at == '\'') {
        const char *contraction = words_contraction(at, end, false);
        if (contraction > at)
            return contraction;
    }
    if (c.is & LM_SPACE) {
        lm_char next = lm_char_at(c.next, end);
        if (*at != ' ' || !next.is || next.is & LM_SPACE)
            return words_spaces(at, end, false);
        c = next;
    }
    return lm_scan_run(c.next, end, c.is & LM_LETTER ? LM_LETTER : c.is & LM_NUMBER ? LM_NUMBER
                                                                 : LM_ANY & ~(LM_SPACE | LM_LETTER | LM_NUMBER));
}

/* ---- the skeleton ---- */

typedef const char *words_word(const char *at, const char *end);        /* the end of the word that begins here; at: none does */

typedef struct words_rule {
    bool contractions;                  /* a piece of their own */
    words_word *word, *other_word;      /* other_word (or NULL): only where no `word` begins, be it a character further on */
    uint32_t most_numbers;              /* at once; 0: all */
    uint32_t others;                    /* kinds */
    const char *behind;                 /* of others: a run of these characters */
    uint32_t most_behind;               /* 0: all */
    lm_scan *tail;
} words_rule;

enum { WORDS_OTHERS = LM_ANY & ~(LM_SPACE | LM_LETTER | LM_NUMBER) };

/* [^\r\n\p{L}\p{N}]?WORD: with the character before it if there is a word behind that. */
LM_INLINE const char *words_prefixed(const char *at, const char *end, lm_char c, words_word *word)
{
    if (!(c.is & (LM_LETTER | LM_NUMBER)) && *at != '\r' && *at != '\n') {
        const char *found = word(c.next, end);
        if (found > c.next)
            return found;
    }
    return word(at, end);
}

LM_INLINE const char *words_behind(const char *at, const char *end, const words_rule *rule)
{
    uint32_t n = 0;
    for (; at < end && (rule->most_behind == 0 || n < rule->most_behind); at++, n++) {
        const char *one = rule->behind;
        while (*one && *one != *at)
            one++;
        if (!*one)
            break;
    }
    return at;
}

LM_INLINE const char *words_scan(const char *at, const char *end, const char **mark, const words_rule *rule)
{
    lm_char c = lm_char_at(at, end), other = c;
    const char *piece = rule->contractions && *at == '\'' ? words_contraction(at, end, true) : at;
    if (piece == at)
        piece = words_prefixed(at, end, c, rule->word);
    if (piece == at && rule->other_word)
        piece = words_prefixed(at, end, c, rule->other_word);
    if (piece > at)
        return piece;
    if (c.is & LM_NUMBER)
        return rule->most_numbers ? lm_scan_most(at, end, LM_NUMBER, rule->most_numbers) : lm_scan_run(at, end, LM_NUMBER);
    if (*at == ' ')
        other = lm_char_at(c.next, end);
    if (other.is & rule->others)
        return words_behind(lm_scan_run(other.next, end, rule->others), end, rule);
    return rule->tail(at, end, mark);
}

/* ---- words are runs of letters ---- */

static const char *words_letters(const char *at, const char *end) { return lm_scan_run(at, end, LM_LETTER); }
static const char *words_letters_marks(const char *at, const char *end) { return lm_scan_run(at, end, LM_LETTER | LM_MARK); }

/* (?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+: words with one space between them. */
static const char *words_phrase(const char *at, const char *end)
{
    lm_char c = lm_char_at(at, end);
    while (c.is & LM_LETTER) {
        at = lm_scan_run(c.next, end, LM_MARK);
        c = lm_char_at(at, end);
        if (c.cp == ' ')
            c = lm_char_at(c.next, end);
    }
    return at;
}

const char *lm_scan_llama3(const char *at, const char *end, const char **mark)
{
    static const words_rule rule = { true, words_letters, NULL, 3, WORDS_OTHERS, WORDS_LINES, 0, words_tail };
    return words_scan(at, end, mark, &rule);
}

const char *lm_scan_qwen2(const char *at, const char *end, const char **mark)
{
    static const words_rule rule = { true, words_letters, NULL, 1, WORDS_OTHERS, WORDS_LINES, 0, words_tail };
    return words_scan(at, end, mark, &rule);
}

const char *lm_scan_minicpm(const char *at, const char *end, const char **mark)
{
    static const words_rule rule = { true, words_letters, NULL, 0, WORDS_OTHERS, WORDS_LINES, 0, words_tail };
    return words_scan(at, end, mark, &rule);
}

const char *lm_scan_qwen35(const char *at, const char *end, const char **mark)
{
    static const words_rule rule = { true, words_letters_marks, NULL, 1, WORDS_OTHERS & ~LM_MARK, WORDS_LINES, 0, words_tail };
    return words_scan(at, end, mark, &rule);
}

const char *lm_scan_seed(const char *at, const char *end, const char **mark)
{
    static const words_rule rule = { true, words_letters, NULL, 1, WORDS_OTHERS, "", 0, words_tail };
    return words_scan(at, end, mark, &rule);
}

const char *lm_scan_jais2(const char *at, const char *end, const char **mark)
{
    static const words_rule rule = { true, words_letters, NULL, 3, WORDS_OTHERS, WORDS_LINES, 0, words_tail_jais2 };
    return words_scan(at, end, mark, &rule);
}

const char *lm_scan_exaone_moe(const char *at, const char *end, const char **mark)
{
    static const words_rule rule = { true, words_phrase, NULL, 1, WORDS_OTHERS, WORDS_LINES, 1, words_tail };
    return words_scan(at, end, mark, &rule);
}

/* ---- words by case: U and L of scan.h have the uncased letters and the marks in common ---- */

enum { WORDS_BOTH = LM_UNCASED | LM_MARK, WORDS_U = LM_UPPER | WORDS_BOTH, WORDS_L = LM_LOWER | WORDS_BOTH };

LM_INLINE lm_char words_cased_char(const char *at, const char *end, bool han_too)
{
    lm_char c = lm_char_at(at, end);
    if (!han_too && c.cp >= 0x2e80 && c.is && lm_unicode_is_han(c.cp))
        c.is = 0;
    return c;
}

LM_INLINE const char *words_cased_run(const char *at, const char *end, uint32_t kinds, bool han_too)
{
    for (lm_char c = words_cased_char(at, end, han_too); c.is & kinds; c = words_cased_char(at, end, han_too))
        at = c.next;
    return at;
}

/* U*L+. A run of U without a lower-case letter behind it gives back its end up to the last character that is in L too. */
LM_INLINE const char *words_lower(const char *at, const char *end, bool han_too)
{
    const char *both = at;
    lm_char c;
    for (c = words_cased_char(at, end, han_too); c.is & WORDS_U; c = words_cased_char(at, end, han_too)) {
        at = c.next;
        if (c.is & WORDS_BOTH)
            both = at;
    }
    return c.is & LM_LOWER ? words_cased_run(c.next, end, WORDS_L, han_too) : both;
}

/* U+L*, where no U*L+ begins: so the run has no character of L in it nor behind it. */
LM_INLINE const char *words_upper(const char *at, const char *end, bool han_too) { return words_cased_run(at, end, WORDS_U, han_too); }

LM_INLINE const char *words_with_contraction(const char *at, const char *word, const char *end)
{
    return word > at ? words_contraction(word, end, true) : at;
}

static const char *words_lower_plain(const char *at, const char *end) { return words_lower(at, end, true); }
static const char *words_upper_plain(const char *at, const char *end) { return words_upper(at, end, true); }
static const char *words_lower_c(const char *at, const char *end) { return words_with_contraction(at, words_lower(at, end, true), end); }
static const char *words_upper_c(const char *at, const char *end) { return words_with_contraction(at, words_upper(at, end, true), end); }
static const char *words_lower_kimi(const char *at, const char *end) { return words_with_contraction(at, words_lower(at, end, false), end); }
static const char *words_upper_kimi(const char *at, const char *end) { return words_with_contraction(at, words_upper(at, end, false), end); }

const char *lm_scan_o200k(const char *at, const char *end, const char **mark)
{
    static const words_rule rule = { false, words_lower_c, words_upper_c, 3, WORDS_OTHERS, WORDS_LINES "/", 0, words_tail };
    return words_scan(at, end, mark, &rule);
}

const char *lm_scan_youtu(const char *at, const char *end, const char **mark)
{
    static const words_rule rule = { false, words_lower_c, words_upper_c, 1, WORDS_OTHERS, WORDS_LINES "/", 0, words_tail };
    return words_scan(at, end, mark, &rule);
}

const char *lm_scan_tekken(const char *at, const char *end, const char **mark)
{
    static const words_rule rule = { false, words_lower_plain, words_upper_plain, 1, WORDS_OTHERS, WORDS_LINES "/", 0, words_tail };
    return words_scan(at, end, mark, &rule);
}

const char *lm_scan_kimi(const char *at, const char *end, const char **mark)
{
    static const words_rule rule = { false, words_lower_kimi, words_upper_kimi, 3, WORDS_OTHERS, WORDS_LINES, 0, words_tail };
    const char *han = at;
    for (lm_char c = lm_char_at(at, end); c.is && lm_unicode_is_han(c.cp); c = lm_char_at(han, end))
        han = c.next;
    return han > at ? han : words_scan(at, end, mark, &rule);
}

/* ---- DeepSeek ---- */

LM_INLINE bool words_is_ascii_letter(uint32_t cp) { return (cp | 0x20) >= 'a' && (cp | 0x20) <= 'z'; }

/* The match that begins here, or `at`. */
static const char *words_deepseek3(const char *at, const char *end)
{
    enum { WORD = LM_LETTER | LM_MARK, SIGN = LM_PUNCT | LM_SYMBOL };
    lm_char c = lm_char_at(at, end), next = lm_char_at(c.next, end);
    if (c.is & SIGN && c.cp < 0x80 && words_is_ascii_letter(next.cp)) {
        for (at = next.next; at < end && words_is_ascii_letter((unsigned char)*at);)
            at++;
        return at;
    }
    if (c.is & WORD || (next.is & WORD && !(c.is & SIGN) && *at != '\r' && *at != '\n'))
        return lm_scan_run(c.next, end, WORD);
    if (c.is & SIGN || (c.cp == ' ' && next.is & SIGN)) {
        at = lm_scan_run(c.next, end, SIGN);
        while (at < end && (*at == '\r' || *at == '\n'))
            at++;
        return at;
    }
    return c.is & LM_SPACE ? words_spaces(at, end, true) : at;
}

/* What is left over, numbers and control characters, is no longer than the text before the next match. That match is tried at
 * every character of it, which costs two characters unless there is one. */
const char *lm_scan_deepseek3(const char *at, const char *end, const char **mark)
{
    const char *match = words_deepseek3(at, end), *gap = at;
    (void)mark;
    if (match > at)
        return match;
    while (gap < end && words_deepseek3(gap, end) == gap)
        gap = lm_char_at(gap, end).next;
    return gap;
}
#undef WORDS_LINES
