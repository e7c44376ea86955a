/* SPDX-License-Identifier: MIT
 * Digits in groups: scan.h has the expressions. Groups of three are counted from the right, as in 1,234,567: a run is looked
 * through once and its end marked, so that a long one costs no more than its length. */
#include "text/scan.h"

/* At most `most` numbers, or all up to the next one. */
LM_INLINE const char *digits_numbers(const char *at, const char *end, size_t most)
{
    const char *numbers = lm_scan_most(at, end, LM_NUMBER, most);
    return numbers > at ? numbers : lm_scan_run(at, end, LM_ANY & ~LM_NUMBER);
}

const char *lm_scan_number(const char *at, const char *end, const char **mark) { return (void)mark, digits_numbers(at, end, 1); }
const char *lm_scan_numbers(const char *at, const char *end, const char **mark) { return (void)mark, digits_numbers(at, end, SIZE_MAX); }
const char *lm_scan_numbers_3(const char *at, const char *end, const char **mark) { return (void)mark, digits_numbers(at, end, 3); }

LM_INLINE bool digits_three(const char *at, const char *end)
{
    size_t n = 0;
    while (n < 3 && at + n < end && at[n] >= '0' && at[n] <= '9')
        n++;
    return n == 3;
}

const char *lm_scan_digits_3(const char *at, const char *end, const char **mark)
{
    (void)mark;
    if (digits_three(at, end))
        return at + 3;
    while (at < end && !digits_three(at, end))
        at++;
    return at;
}

/* The end of the run of these kinds and how many characters it has. */
static const char *digits_run(const char *at, const char *end, uint32_t kinds, size_t *n)
{
    *n = 0;
    for (lm_char c = lm_char_at(at, end); c.is & kinds; c = lm_char_at(at, end), ++*n)
        at = c.next;
    return at;
}

/* Runs in groups of three, the first group taking what is left over; other text up to the next run. `whole`: a run that a word
 * goes on behind is other text. The mark is the end of a run that is cut, up to which groups of three fit exactly. */
LM_INLINE const char *digits_thousands(const char *at, const char *end, const char **mark, uint32_t kinds, bool whole)
{
    const char *gap = at;
    if (*mark > at)
        return lm_scan_skip(at, end, 3);
    while (gap < end) {
        size_t n;
        const char *run = digits_run(gap, end, kinds, &n);
        if (n > 0 && !(whole && lm_unicode_is_word(lm_char_at(run, end)))) {
            if (gap > at)
                return gap;
            *mark = run;
            return lm_scan_skip(at, end, n % 3 ? n % 3 : 3);
        }
        gap = n > 0 ? run : lm_char_at(gap, end).next;
    }
    return end;
}

const char *lm_scan_thousands(const char *at, const char *end, const char **mark) { return digits_thousands(at, end, mark, LM_DIGIT, true); }
const char *lm_scan_thousands_any(const char *at, const char *end, const char **mark) { return digits_thousands(at, end, mark, LM_NUMBER, false); }

/* Cuts before every group of three, but none behind the last: what follows a run belongs to its last group. */
const char *lm_scan_thousand_cuts(const char *at, const char *end, const char **mark)
{
    const char *from = at;
    if (*mark > at) {
        from = lm_scan_skip(at, end, 3);
        if (from < *mark)
            return from;
    }
    while (from < end) {
        size_t n;
        const char *run = digits_run(from, end, LM_DIGIT, &n), *cut = lm_scan_skip(from, end, n % 3);
        if (cut == at && n >= 3)
            cut = lm_scan_skip(at, end, 3);
        if (n >= 3 && cut < run) {
            *mark = run;
            return cut;
        }
        from = n > 0 ? run : lm_char_at(from, end).next;
    }
    return end;
}
