/* SPDX-License-Identifier: MIT
 * Scanners: the regular expressions of pre-tokenizers, each as a function. For src/text alone. Floor 3. Threads: any.
 *
 * A scanner cuts a text into the matches of its expression and the gaps between them: given the start of a piece it returns the
 * end of that piece. `end` is the end of text to look-ahead as well. It does not know what stands before `at`: no expression here
 * looks back.
 *
 * Every scanner is linear over a whole text. One that must look further ahead than it returns leaves in *mark up to where it has
 * looked, so that its next calls need not: *mark > at only if it was set while scanning the same text; what it says of [at, *mark)
 * is the scanner's own affair. */
#ifndef LM_TEXT_SCAN_H
#define LM_TEXT_SCAN_H

#include "text/unicode.h"

typedef const char *lm_scan(const char *at, const char *end, const char **mark);    /* at < end */

/* The end of the run of characters of these kinds. */
LM_INLINE const char *lm_scan_run(const char *at, const char *end, uint32_t kinds)
{
    for (;;) {
        lm_char c;
        while (at < end && lm_unicode_ascii[(unsigned char)*at] & kinds)
            at++;
        if (at == end || (unsigned char)*at < 0x80)
            return at;
        c = lm_unicode_char(at, end);
        if (!(c.is & kinds))
            return at;
        at = c.next;
    }
}

/* The same of at most n characters. */
LM_INLINE const char *lm_scan_most(const char *at, const char *end, uint32_t kinds, size_t n)
{
    for (lm_char c = lm_char_at(at, end); c.is & kinds && n > 0; c = lm_char_at(at, end), n--)
        at = c.next;
    return at;
}

/* The end of the n-th character, or `end`. */
LM_INLINE const char *lm_scan_skip(const char *at, const char *end, size_t n)
{
    for (; n > 0 && at < end; n--)
        at = lm_char_at(at, end).next;
    return at;
}

/* ---- text into words: scan_words.c. In the expressions
 *   C    is  (?i:'s|'t|'re|'ve|'m|'ll|'d)
 *   TAIL is  \s*[\r\n]+|\s+(?!\S)|\s+
 *   U    is  [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
 *   L    is  [\p{Ll}\p{Lm}\p{Lo}\p{M}]
 * \s*[\r\n] is the same as \s*[\r\n]+, and possessive quantifiers change nothing where they are used: such expressions share a
 * scanner. ---- */

lm_scan lm_scan_gpt2;           /* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
lm_scan lm_scan_llama3;         /* C|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|TAIL */
lm_scan lm_scan_qwen2;          /* the same with \p{N} */
lm_scan lm_scan_minicpm;        /* the same with \p{N}+ */
lm_scan lm_scan_qwen35;         /* C|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|TAIL */
lm_scan lm_scan_seed;           /* C|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|TAIL */
lm_scan lm_scan_jais2;          /* as llama3, with \s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)| ... |\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1} for TAIL */
lm_scan lm_scan_exaone_moe;     /* C|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|TAIL */
lm_scan lm_scan_o200k;          /* [^\r\n\p{L}\p{N}]?U*L+C?|[^\r\n\p{L}\p{N}]?U+L*C?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|TAIL */
lm_scan lm_scan_youtu;          /* the same with \p{N} */
lm_scan lm_scan_tekken;         /* the same with \p{N}, without C? */
lm_scan lm_scan_kimi;           /* \p{Han}+| and o200k with U&&[^\p{Han}], L&&[^\p{Han}], and [\r\n]* for [\r\n/]* */
lm_scan lm_scan_deepseek3;      /* [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|TAIL */

/* ---- sets of characters: scan_sets.c ---- */

lm_scan lm_scan_punct;          /* [\p{P}\$\+<=>\^~\|]+ */
lm_scan lm_scan_punct_tick;     /* [\p{P}\$\+<=>\^~\|`]+ */
lm_scan lm_scan_newline;        /* [\r\n] */
lm_scan lm_scan_lines;          /* [^\n]+|[\n]+ */
lm_scan lm_scan_graphs;         /* \S+ */
lm_scan lm_scan_cjk;            /* [\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+ */
lm_scan lm_scan_cjk_wide;       /* [\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+ */
lm_scan lm_scan_afmoe_scripts;  /* CJK and the scripts of South-East Asia: see the table there */
lm_scan lm_scan_youtu_scripts;  /* Hangul, CJK punctuation, Bopomofo, Han and Kana, each a run of its own: see the tables there */
lm_scan lm_scan_blank_letters;  /* \s?\p{L}+ */
lm_scan lm_scan_blank_punct;    /* \s?\p{P}+ */
lm_scan lm_scan_blank_cased;    /* \s? and letters of the scripts that have case: see the table there */
lm_scan lm_scan_blank_marks;    /* \s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+ */
lm_scan lm_scan_last_spaces;    /* \s+$ */
lm_scan lm_scan_bloom;          /*  ?[^(\s|.,!?…。，、।۔،)]+ */
lm_scan lm_scan_sentinel;       /* <sentinel:[0-9]+> */
lm_scan lm_scan_image;          /* (IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z */
lm_scan lm_scan_indent;         /* ([\t\n]|    |  ) */
lm_scan lm_scan_each_punct;     /* [\p{P}!-/:-@\[-`{-~] */

/* ---- digits: scan_digits.c ---- */

lm_scan lm_scan_number;         /* \p{N} */
lm_scan lm_scan_numbers;        /* \p{N}+ */
lm_scan lm_scan_numbers_3;      /* \p{N}{1,3} */
lm_scan lm_scan_digits_3;       /* [0-9][0-9][0-9] */
lm_scan lm_scan_thousands;      /* \d{1,3}(?=(?:\d{3})*\b) */
lm_scan lm_scan_thousands_any;  /* \p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N})) */
lm_scan lm_scan_thousand_cuts;  /* (?=(\d{3})+(?!\d)), which matches between characters */

#endif
