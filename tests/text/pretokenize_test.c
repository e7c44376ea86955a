/* SPDX-License-Identifier: MIT
 * Pre-tokenizers cut awkward texts as Hugging Face `tokenizers` does with the published expressions: splits.txt, made by
 * tools/gen_split_goldens.py (another such file as an argument). What is no UTF-8 is cut as U+FFFD would be, and the work grows
 * with the text, whatever the text. */
#include "text/pretokenize.h"

#include "base/utf8.h"

#include "test.h"

#include <time.h>

enum { MOST_CASES = 500000 };
static llm_str cases[MOST_CASES];
static size_t n_cases;
static const lm_pre *all[64];           /* every one that splits.txt names */
static size_t n_all;

static size_t unhex(char *text, size_t len)                 /* in place */
{
    for (size_t i = 0; i + 1 < len; i += 2) {
        char digits[3] = { text[i], text[i + 1], 0 };
        text[i / 2] = (char)strtol(digits, NULL, 16);
    }
    return len / 2;
}

static uint32_t flags_of(const char *text)
{
    uint32_t flags = 0;
    for (; *text && *text != ' '; text++)
        flags |= *text == 'w' ? LM_PRE_WHOLE : *text == 'b' ? LM_PRE_BOS : *text == 's' ? LM_PRE_SEP : *text == 'c' ? LM_PRE_CLEAN
                 : *text == 't' ? LM_PRE_CHARS : *text == 'l' ? LM_PRE_LINES : *text == 'g' ? LM_PRE_GRAPHS : *text == 'r' ? LM_PRE_RANKS : 0;
    return flags;
}

/* All the names of a `P` line lead to the same stages, with these flags. */
static const lm_pre *find(char *line)
{
    const lm_pre *first = NULL;
    uint32_t flags = flags_of(line);
    for (char *name = strchr(line, ' '); name;) {
        char *next = strchr(++name, ' ');
        const lm_pre *pre = lm_pre_find((llm_str){ name, next ? (size_t)(next - name) : strlen(name) });
        if (CHECK_MSG(pre != NULL, "%.30s is not known", name))
            CHECK_MSG(pre->flags == flags && (!first || memcmp(pre->stages, first->stages, sizeof pre->stages) == 0), "%.30s: flags %u, not %u", name, pre->flags, flags);
        first = first ? first : pre;
        name = next;
    }
    if (first)
        all[n_all++] = first;
    return first;
}

static bool check_case(const lm_pre *pre, llm_str text, const char *want)
{
    static const char digits[] = "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    lm_pre_walk walk;
    const char *word, *at = want;
    bool same = true;
    lm_pre_begin(&walk, pre, text.ptr, text.len);
    while (lm_pre_next(&walk, &word) && same) {
        size_t n = (size_t)(walk.at - word), size = 0;
        for (; *at == '+'; at++)
            size += 61;
        same = *at && n == size + (size_t)(strchr(digits, *at) - digits) + 1;
        if (same)
            at++;
    }
    if (CHECK_MSG(same && !*at, "%.40s: expected %s, differs after %d pieces", pre->names, want, (int)(at - want)))
        return true;
    fprintf(stderr, "  '%.*s':", (int)text.len, text.ptr);
    for (size_t i = 0; i < text.len && i < 200; i++)
        fprintf(stderr, " %02x", (unsigned char)text.ptr[i]);
    fprintf(stderr, "\n");
    return false;
}

static void check_goldens(const char *path)
{
    const lm_pre *pre = NULL;
    size_t size, at_case = 0, n_failed = 0;
    char *data = test_read_file(path, &size);
    if (!CHECK_MSG(data != NULL, "%s", path))
        return;
    for (char *line = data, *next; line < data + size; line = next) {
        char *end = strchr(line, '\n');
        next = end + 1;
        *end = 0;
        if (line[0] == 'C' && n_cases < MOST_CASES) {
            cases[n_cases++] = (llm_str){ line + 2, unhex(line + 2, (size_t)(end - line) - 2) };
        } else if (line[0] == 'P') {
            CHECK(at_case == 0 || at_case == n_cases);
            at_case = n_failed = 0;
            pre = find(line + 2);
        } else if (line[0] == 'S' && pre) {
            if (n_failed < 3)
                n_failed += !check_case(pre, cases[at_case], line + 2);
            at_case++;
        }
    }
    CHECK(at_case == n_cases && n_all > 30);
    n_cases = 0;
    free(data);
}

/* ---- what is no UTF-8 ---- */

static uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void check_broken(uint64_t seed)
{
    static const char *const parts[] = { "a", "B", "7", " ", "\n", ".", "'s", "\xc3\xa9", "\xe4\xba\xba", "\xf0\x9f\x98\x80", "\xff", "\xe2\x96", "\xc0\x80", "\xed\xa0\x80", "\xf0\x9f", "\x80", "\xcc\x81" };
    for (int i = 0; i < 3000; i++) {
        char text[256], mended[1024];
        size_t len = 0, n_mended = 0, want = random_next(&seed) % 40, where[1025];
        const lm_pre *pre = all[random_next(&seed) % n_all];
        lm_pre_walk walk, other;
        const char *word, *other_word;
        while (len < want) {
            const char *part = parts[random_next(&seed) % LM_COUNT(parts)];
            memcpy(text + len, part, strlen(part));
            len += strlen(part);
        }
        for (size_t at = 0, n; at < len; at += n) {
            uint32_t cp;
            n = lm_utf8_decode(text + at, len - at, false, &cp);
            where[n_mended] = at;
            n_mended += lm_utf8_encode(cp, mended + n_mended);
        }
        where[n_mended] = len;
        lm_pre_begin(&walk, pre, text, len);
        lm_pre_begin(&other, pre, mended, n_mended);
        while (lm_pre_next(&walk, &word)) {
            if (!CHECK(word < walk.at && lm_pre_next(&other, &other_word)))
                return;
            if (!CHECK_MSG(where[other.at - mended] == (size_t)(walk.at - text), "%.40s, round %d", pre->names, i))
                return;
        }
        CHECK(!lm_pre_next(&other, &other_word));
    }
}

/* ---- linear ---- */

static double seconds(const lm_pre *pre, const char *text, size_t len, int rounds)
{
    double best = 1e9;
    for (int i = 0; i < rounds; i++) {
        clock_t start = clock();
        lm_pre_walk walk;
        const char *word;
        double took;
        lm_pre_begin(&walk, pre, text, len);
        while (lm_pre_next(&walk, &word))
            ;
        took = (double)(clock() - start) / CLOCKS_PER_SEC;
        best = took < best ? took : best;
    }
    return best;
}

/* A text 16 times as long takes about 16 times as long; a quadratic scanner would take 256 times. */
static void check_growth(void)
{
    static const char *const units[] = {
        "a", "A", "aA", "Aa", "\xe4\xba\xba", "A\xe4\xba\xba", "\xe4\xba\xba" "A", "e\xcc\x81", "\xcc\x81", "\xcc\x81" "A", "a ", " a", "a b\n",
        " ", "\t", "\n", " \n", "\n ", "\r\n", "\xe3\x80\x80", "0", "000 ", "0a", "\xd9\xa1", "\xc2\xbd", "0\xc2\xbd", ".", "=", "'", "'s", " .", ".\n", "/\n",
        "_", "1_", "\x01", "\x01 ", "1\x01", "\xff", "\xf0\x9f\x98\x80", "<sentinel:", "<sentinel:0", "IMGIMG", "IMGIMGABCDE", "I", "   ", "\xed\x95\x9c", "\xe3\x80\x81",
    };
    enum { SMALL = 1 << 14, LARGE = SMALL * 16 };
    char *text = malloc(LARGE + 8);
    double worst = 0, total = 0, slowest = 0;
    const char *slow = "", *slow_unit = "";
    for (size_t u = 0; u < LM_COUNT(units); u++) {
        size_t n = strlen(units[u]);
        for (size_t i = 0; i < LARGE; i++)
            text[i] = units[u][i % n];
        for (size_t i = 0; i < n_all; i++) {
            double small = seconds(all[i], text, SMALL, 2) + 1e-5, large = seconds(all[i], text, LARGE, 1), times = large / small;
            if (times > 64)                                 /* once more: the machine may have been busy */
                times = seconds(all[i], text, LARGE, 5) / small;
            CHECK_MSG(times < 64, "%.40s: '%s' 16 times as long takes %.0f times as long (%.4f s)", all[i]->names, units[u], times, large);
            worst = times > worst ? times : worst;
            total += large;
            if (large > slowest) {
                slowest = large;
                slow = all[i]->names;
                slow_unit = units[u];
            }
        }
    }
    fprintf(stderr, "%zu pre-tokenizers, %zu texts: %.0f MB/s on average, %.1f times for 16 times the text at worst; slowest %.1f MB/s (%.20s '%s')\n", n_all,
            LM_COUNT(units), LARGE * 1e-6 * (double)(n_all * LM_COUNT(units)) / total, worst, LARGE * 1e-6 / slowest, slow, slow_unit);
    free(text);
}

int main(int argc, char **argv)
{
    const lm_pre *plain = lm_pre_find((llm_str){ NULL, 0 });
    CHECK(plain && plain == lm_pre_find((llm_str){ "", 0 }) && plain == lm_pre_find((llm_str){ "default", 7 }));
    CHECK(!lm_pre_find((llm_str){ "llama", 5 }) && !lm_pre_find((llm_str){ "llama3 llama-v3", 15 }) && !lm_pre_find((llm_str){ " ", 1 }) && !lm_pre_find((llm_str){ "gpt-2 ", 6 }));
    check_goldens(argc > 1 ? argv[1] : LLM_TEST_TREE "/text/data/splits.txt");
    if (argc == 1 && n_all > 0) {
        check_broken(1);
        check_growth();
    }
    return TEST_DONE();
}
