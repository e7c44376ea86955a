/* SPDX-License-Identifier: MIT
 * Pre-tokenizers: see pretokenize.h. Each scanner is given the start of a piece and the end of its container (which counts as
 * the end of text for look-ahead) and returns the end of the piece; what no alternative matches is a piece of its own.
 *
 * Every scanner is linear: no call looks at a byte that it does not return, but for one character and the white space before it. */
#include "text/pretokenize.h"

#include "text/unicode.h"

#include "base/compiler.h"

#include <string.h>

#define PRE_BIT(class_of) (1u << (class_of))
enum {
    PRE_LETTERS = 1 << LM_CLASS_LETTER, PRE_NUMBERS = 1 << LM_CLASS_NUMBER, PRE_MARKS = 1 << LM_CLASS_MARK,
    PRE_SPACES = 1 << LM_CLASS_SPACE, PRE_ALL = 0x7f
};

/* What a stage does: the number is the row of pre_scan. */
enum {
    PRE_NONE = 0,
    PRE_GPT2,           /* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
    PRE_LLAMA3,         /* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
                           \s*[\r\n]+|\s+(?!\S)|\s+ */
    PRE_QWEN2,          /* the same with \p{N} */
    PRE_LLAMA3_NUMBERS, /* the same with \p{N}+ */
    PRE_QWEN35,         /* as PRE_QWEN2, [\p{L}\p{M}]+ for \p{L}+ and [^\s\p{L}\p{M}\p{N}]+ for [^\s\p{L}\p{N}]+ */
    PRE_NUMBER,         /* \p{N} */
    PRE_NUMBER_RUN,     /* \p{N}+ */
    PRE_NUMBER_3,       /* \p{N}{1,3} */
    PRE_DIGITS_3,       /* [0-9][0-9][0-9] */
    PRE_PUNCT,          /* [\p{P}\$\+<=>\^~\|]+ */
    PRE_PUNCT_TICK      /* [\p{P}\$\+<=>\^~\|`]+ */
};

/* Names as files have them, and what else their owners decided. */
static const lm_pre pre_table[] = {
    { "default",         { PRE_PUNCT, PRE_GPT2, PRE_NUMBER_RUN, PRE_DIGITS_3 }, false, false },
    { "llama3",          { PRE_LLAMA3 }, true, true },
    { "llama-v3",        { PRE_LLAMA3 }, true, true },
    { "llama-bpe",       { PRE_LLAMA3 }, true, true },
    { "falcon3",         { PRE_LLAMA3 }, true, true },
    { "falcon-h1",       { PRE_LLAMA3 }, true, true },
    { "pixtral",         { PRE_LLAMA3 }, true, true },
    { "midm-2.0",        { PRE_LLAMA3 }, true, true },
    { "lfm2",            { PRE_LLAMA3 }, true, true },
    { "dbrx",            { PRE_LLAMA3 }, false, false },
    { "smaug-bpe",       { PRE_LLAMA3 }, false, false },
    { "glm4",            { PRE_LLAMA3 }, false, false },
    { "chatglm-bpe",     { PRE_LLAMA3 }, false, false },
    { "minicpm5",        { PRE_NUMBER_3, PRE_LLAMA3_NUMBERS }, true, false },
    { "qwen2",           { PRE_QWEN2 }, false, false },
    { "deepseek-r1-qwen", { PRE_QWEN2 }, false, false },
    { "kormo",           { PRE_QWEN2 }, false, false },
    { "f2llmv2",         { PRE_QWEN2 }, false, false },
    { "megrez",          { PRE_QWEN2 }, false, false },
    { "stablelm2",       { PRE_QWEN2 }, false, false },
    { "hunyuan",         { PRE_QWEN2 }, false, false },
    { "solar-open",      { PRE_QWEN2 }, false, false },
    { "grok-2",          { PRE_QWEN2 }, false, false },
    { "qwen35",          { PRE_QWEN35 }, false, false },
    { "gpt-2",           { PRE_GPT2 }, false, false },
    { "phi-2",           { PRE_GPT2 }, false, false },
    { "gigachat",        { PRE_GPT2 }, false, false },
    { "a.x-4.0",         { PRE_GPT2 }, false, false },
    { "mellum",          { PRE_GPT2 }, false, false },
    { "exaone4",         { PRE_GPT2 }, false, false },
    { "mpt",             { PRE_GPT2 }, false, false },
    { "olmo",            { PRE_GPT2 }, false, false },
    { "jais",            { PRE_GPT2 }, false, false },
    { "trillion",        { PRE_GPT2 }, false, false },
    { "granite-docling", { PRE_GPT2 }, false, false },
    { "starcoder",       { PRE_NUMBER, PRE_GPT2 }, false, false },
    { "refact",          { PRE_NUMBER, PRE_GPT2 }, false, false },
    { "codeshell",       { PRE_NUMBER, PRE_GPT2 }, false, false },
    { "exaone",          { PRE_NUMBER, PRE_GPT2 }, false, false },
    { "minerva-7b",      { PRE_NUMBER, PRE_GPT2 }, false, false },
    { "command-r",       { PRE_NUMBER, PRE_GPT2 }, false, false },
    { "smollm",          { PRE_NUMBER, PRE_GPT2 }, false, false },
    { "mellum2",         { PRE_NUMBER, PRE_GPT2 }, false, false },
    { "falcon",          { PRE_PUNCT_TICK, PRE_GPT2, PRE_DIGITS_3 }, false, false },
};

const lm_pre *lm_pre_find(llm_str name)
{
    if (!name.ptr || name.len == 0)
        return &pre_table[0];
    for (size_t i = 0; i < LM_COUNT(pre_table); i++)
        if (strlen(pre_table[i].name) == name.len && memcmp(pre_table[i].name, name.ptr, name.len) == 0)
            return &pre_table[i];
    return NULL;
}

/* The end of the run of characters whose class is in `classes`. */
static const char *pre_run(const char *at, const char *end, uint32_t classes)
{
    while (at < end) {
        uint32_t class_of;
        size_t n = lm_unicode_step(at, end, &class_of);
        if (!(PRE_BIT(class_of) & classes))
            break;
        at += n;
    }
    return at;
}

static const char *pre_newlines(const char *at, const char *end)
{
    while (at < end && (*at == '\r' || *at == '\n'))
        at++;
    return at;
}

/* \s+(?!\S)|\s+, and \s*[\r\n]+ before them if `lines`. `at` is white space. */
static const char *pre_spaces(const char *at, const char *end, bool lines)
{
    const char *run = at, *last = at, *newline = NULL;
    while (run < end) {
        uint32_t class_of;
        size_t n = lm_unicode_step(run, end, &class_of);
        if (class_of != LM_CLASS_SPACE)
            break;
        if (*run == '\r' || *run == '\n')
            newline = run;
        last = run;
        run += n;
    }
    if (lines && newline)
        return newline + 1;
    return run == end || last == at ? run : last;       /* the last one before a word belongs to the word */
}

/* The end of an English contraction at `at`, which is an apostrophe, or NULL. U+017F is an s to a case-blind expression. */
static const char *pre_contraction(const char *at, const char *end, bool case_blind)
{
    size_t left = (size_t)(end - at);
    uint32_t fold = case_blind ? 0x20u : 0, a, b;
    if (left < 2)
        return NULL;
    a = (unsigned char)at[1];
    if (case_blind && a == 0xc5 && left >= 3 && (unsigned char)at[2] == 0xbf)
        return at + 3;
    if (a >= 0x80)
        return NULL;
    a |= fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return at + 2;
    if (left < 3)
        return NULL;
    b = (unsigned char)at[2];
    if (b >= 0x80)
        return NULL;
    b |= fold;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? at + 3 : NULL;
}

static const char *pre_scan_gpt2(const char *at, const char *end)
{
    uint32_t class_of, classes;
    const char *word = at, *next = at + lm_unicode_step(at, end, &class_of);
    if (*at == '\'') {
        const char *contraction = pre_contraction(at, end, false);
        if (contraction)
            return contraction;
    }
    if (class_of == LM_CLASS_SPACE) {
        if (*at != ' ' || next == end)
            return pre_spaces(at, end, false);
        word = next;
        next += lm_unicode_step(word, end, &class_of);
        if (class_of == LM_CLASS_SPACE)
            return pre_spaces(at, end, false);
    }
    classes = class_of == LM_CLASS_LETTER ? PRE_LETTERS : class_of == LM_CLASS_NUMBER ? PRE_NUMBERS
                                                        : PRE_ALL & ~(PRE_SPACES | PRE_LETTERS | PRE_NUMBERS);
    return pre_run(next, end, classes);
}

/* At most `most` numbers, or all of them if 0. */
static const char *pre_numbers(const char *at, const char *end, uint32_t most)
{
    if (most == 0)
        return pre_run(at, end, PRE_NUMBERS);
    for (uint32_t i = 0; i < most && at < end; i++) {
        uint32_t class_of;
        size_t n = lm_unicode_step(at, end, &class_of);
        if (class_of != LM_CLASS_NUMBER)
            break;
        at += n;
    }
    return at;
}

static const char *pre_scan_llama3(const char *at, const char *end, uint32_t letters, uint32_t numbers)
{
    uint32_t others = PRE_ALL & ~(PRE_SPACES | PRE_NUMBERS | letters), class_of, follows;
    const char *next = at + lm_unicode_step(at, end, &class_of);
    if (*at == '\'') {
        const char *contraction = pre_contraction(at, end, true);
        if (contraction)
            return contraction;
    }
    if (PRE_BIT(class_of) & letters)
        return pre_run(next, end, letters);
    if (class_of == LM_CLASS_NUMBER)
        return pre_numbers(at, end, numbers);
    follows = LM_CLASS_SPACE;
    if (next < end) {
        size_t n = lm_unicode_step(next, end, &follows);
        if ((PRE_BIT(follows) & letters) && *at != '\r' && *at != '\n')
            return pre_run(next + n, end, letters);
    }
    if ((PRE_BIT(class_of) & others) || (*at == ' ' && (PRE_BIT(follows) & others)))
        return pre_newlines(pre_run(next, end, others), end);
    return pre_spaces(at, end, true);
}

static bool pre_is_punct(const char *at, uint32_t class_of, bool tick)
{
    return class_of == LM_CLASS_PUNCT || (*at && strchr("$+<=>^~|", *at)) || (tick && *at == '`');
}

/* A run of punctuation, or all up to the next. */
static const char *pre_scan_punct(const char *at, const char *end, bool tick)
{
    uint32_t class_of;
    const char *next = at + lm_unicode_step(at, end, &class_of);
    bool inside = pre_is_punct(at, class_of, tick);
    while (next < end) {
        size_t n = lm_unicode_step(next, end, &class_of);
        if (pre_is_punct(next, class_of, tick) != inside)
            break;
        next += n;
    }
    return next;
}

/* Up to `most` numbers (0: any), or all up to the next one. */
static const char *pre_scan_numbers(const char *at, const char *end, uint32_t most)
{
    const char *next = pre_numbers(at, end, most);
    return next > at ? next : pre_run(at, end, PRE_ALL & ~PRE_NUMBERS);
}

static size_t pre_digits(const char *at, const char *end)
{
    size_t n = 0;
    while (n < 3 && at + n < end && at[n] >= '0' && at[n] <= '9')
        n++;
    return n;
}

static const char *pre_scan_digits(const char *at, const char *end)
{
    if (pre_digits(at, end) == 3)
        return at + 3;
    while (at < end) {
        size_t n = pre_digits(at, end);
        if (n == 3)
            break;
        at += n + (at + n < end);
    }
    return at;
}

static const char *pre_scan(uint32_t stage, const char *at, const char *end)
{
    switch (stage) {
    case PRE_GPT2:           return pre_scan_gpt2(at, end);
    case PRE_LLAMA3:         return pre_scan_llama3(at, end, PRE_LETTERS, 3);
    case PRE_QWEN2:          return pre_scan_llama3(at, end, PRE_LETTERS, 1);
    case PRE_LLAMA3_NUMBERS: return pre_scan_llama3(at, end, PRE_LETTERS, 0);
    case PRE_QWEN35:         return pre_scan_llama3(at, end, PRE_LETTERS | PRE_MARKS, 1);
    case PRE_NUMBER:         return pre_scan_numbers(at, end, 1);
    case PRE_NUMBER_RUN:     return pre_scan_numbers(at, end, 0);
    case PRE_NUMBER_3:       return pre_scan_numbers(at, end, 3);
    case PRE_DIGITS_3:       return pre_scan_digits(at, end);
    case PRE_PUNCT:          return pre_scan_punct(at, end, false);
    case PRE_PUNCT_TICK:     return pre_scan_punct(at, end, true);
    default:                 return end;
    }
}

void lm_pre_begin(lm_pre_walk *walk, const lm_pre *pre, const char *text, size_t len)
{
    walk->pre = pre;
    walk->at = text;
    walk->end = text + len;
    for (int i = 0; i < LM_PRE_STAGES; i++)
        walk->stage_end[i] = text;
}

/* A stage whose piece is used up takes the next one from the piece of the stage outside it. */
bool lm_pre_next(lm_pre_walk *walk, const char **word)
{
    const char *at = walk->at, *container = walk->end;
    if (at == walk->end)
        return false;
    for (int i = 0; i < LM_PRE_STAGES && walk->pre->stages[i] != PRE_NONE; i++) {
        if (walk->stage_end[i] == at)
            walk->stage_end[i] = pre_scan(walk->pre->stages[i], at, container);
        container = walk->stage_end[i];
    }
    *word = at;
    walk->at = container;
    return true;
}
#undef PRE_BIT
