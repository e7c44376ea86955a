/* SPDX-License-Identifier: MIT
 * A template's text as tokens: see tree.h. White space around tags is decided here, as Jinja does with trim_blocks and
 * lstrip_blocks: a tag takes the newline behind it and the blanks before it on its line, {%- and -%} take all white space, {%+ and
 * +%} take none. Floor 3. */
#include "text/chat/tree.h"

#include "base/utf8.h"

#include <string.h>

typedef struct lexer {
    lm_parse *p;
    const char *at, *end;
    uint32_t line;
    bool line_starting;                 /* what came last ended with a newline */
    char brackets[LM_TEMPLATE_PARSE_DEPTH];
    size_t n_brackets;
} lexer;

static bool lexer_add(lexer *x, lm_token token)
{
    lm_parse *p = x->p;
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 256;
        lm_token *more = lm_mem_grow(p->mem, p->tokens, cap * sizeof *more, LLM_MEMORY_OTHER);
        if (!more) {
            p->status = lm_fail_memory(p->error, "a chat template", cap * sizeof *more);
            return false;
        }
        p->tokens = more;
        p->cap = cap;
    }
    if (token.line == 0)
        token.line = x->line;
    p->tokens[p->n++] = token;
    return true;
}


static void lexer_move(lexer *x, const char *to)
{
    for (; x->at < to; x->at++)
        x->line += *x->at == '\n';
    x->line_starting = to[-1] == '\n';
}

static const char *lexer_skip_space(const char *at, const char *end)
{
    while (at < end) {
        uint32_t cp;
        size_t n = lm_utf8_decode(at, (size_t)(end - at), false, &cp);
        if (!lm_char_is_space(cp))
            break;
        at += n;
    }
    return at;
}

/* The end of text[from, to) without white space at its end. */
static const char *lexer_strip_right(const char *from, const char *to)
{
    while (to > from) {
        const char *c = to - 1;
        uint32_t cp;
        while (c > from && ((unsigned char)*c & 0xc0) == 0x80)
            c--;
        lm_utf8_decode(c, (size_t)(to - c), false, &cp);
        if (!lm_char_is_space(cp))
            break;
        to = c;
    }
    return to;
}

/* Text before a tag whose sign is `sign`. block: a statement or a comment. */
static bool lexer_data(lexer *x, const char *to, char sign, bool block)
{
    const char *from = x->at, *end = to;
    bool starting = x->line_starting;
    uint32_t line = x->line;
    if (sign == '-') {
        end = lexer_strip_right(from, to);
    } else if (sign != '+' && block) {
        const char *c = to;
        while (c > from && c[-1] != '\n')
            c--;
        if ((c > from || starting) && lexer_strip_right(c, to) == c)
            end = c;
    }
    lexer_move(x, to);
    return end == from || lexer_add(x, (lm_token){ .kind = LM_TOK_DATA, .line = line, .text = { from, (size_t)(end - from) } });
}

/* Behind the end of a statement, a comment or a raw block: from `to` on, where sign stood before it. */
static void lexer_close(lexer *x, const char *to, char sign)
{
    if (sign == '-')
        to = lexer_skip_space(to, x->end);
    else if (sign != '+' && to < x->end && *to == '\n')
        to++;
    lexer_move(x, to);
}

static bool lexer_comment(lexer *x)
{
    uint32_t line = x->line;
    for (const char *c = x->at; c + 1 < x->end; c++)
        if (c[0] == '#' && c[1] == '}') {
            lexer_close(x, c + 2, c > x->at ? c[-1] : 0);
            return true;
        }
    return lm_parse_fail(x->p, LLM_E_FORMAT, line, "this comment has no end: #} is missing");
}

/* At a {% that opens a raw block: what is behind its tag, or NULL. */
static const char *lexer_raw_tag(const lexer *x, const char *at, const char *name, char *sign)
{
    const char *c = at + 2;
    size_t n = strlen(name);
    if (c < x->end && (*c == '-' || *c == '+'))
        c++;
    c = lexer_skip_space(c, x->end);
    if ((size_t)(x->end - c) < n || memcmp(c, name, n) != 0)
        return NULL;
    c = lexer_skip_space(c + n, x->end);
    *sign = 0;
    if (c < x->end && (*c == '-' || *c == '+'))
        *sign = *c++;
    return x->end - c >= 2 && c[0] == '%' && c[1] == '}' ? c + 2 : NULL;
}

static bool lexer_raw(lexer *x, const char *body, char sign)
{
    uint32_t line = x->line;
    lexer_move(x, sign == '-' ? lexer_skip_space(body, x->end) : body);
    for (const char *c = x->at; c + 1 < x->end; c++) {
        const char *behind;
        if (c[0] != '{' || c[1] != '%' || !(behind = lexer_raw_tag(x, c, "endraw", &sign)))
            continue;
        if (!lexer_data(x, c, c[2], true))
            return false;
        lexer_close(x, behind, sign);
        return true;
    }
    return lm_parse_fail(x->p, LLM_E_FORMAT, line, "this raw block has no end: {%% endraw %%} is missing");
}

/* ---- inside of a tag */

static bool lexer_is_digit(char c, int base)
{
    int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
    return d < base;
}

/* Digits, one _ between any two: the end of them. */
static const char *lexer_digits(const char *at, const char *end, int base)
{
    while (at < end && (lexer_is_digit(*at, base) || (*at == '_' && at + 1 < end && lexer_is_digit(at[1], base))))
        at++;
    return at;
}

static bool lexer_number(lexer *x, bool after_dot)
{
    const char *c = x->at, *from = x->at, *more;
    lm_token token = { .kind = LM_TOK_INT, .line = x->line };
    int base = 10;
    if (*c == '0' && c + 2 <= x->end - 1 && strchr("bBoOxX", c[1])) {
        base = (c[1] | 32) == 'b' ? 2 : (c[1] | 32) == 'o' ? 8 : 16;
        if (lexer_is_digit(c[2], base))
            c += 2;
        else
            base = 10;
    }
    c = lexer_digits(c, x->end, base);
    if (base == 10 && !after_dot) {
        more = c;
        if (more + 1 < x->end && *more == '.' && lexer_is_digit(more[1], 10))
            more = lexer_digits(more + 1, x->end, 10);
        if (more < x->end && (*more | 32) == 'e') {
            const char *e = more + 1;
            if (e < x->end && (*e == '+' || *e == '-'))
                e++;
            if (e < x->end && lexer_is_digit(*e, 10))
                more = lexer_digits(e, x->end, 10);
        }
        if (more > c) {
            token.kind = LM_TOK_FLOAT;
            c = more;
            if (!lm_number_parse(from, (size_t)(c - from), &token.f))
                return lm_parse_fail(x->p, LLM_E_FORMAT, x->line, "this is no number");
        }
    }
    if (token.kind == LM_TOK_INT && !lm_number_parse_int(from, (size_t)(c - from), base == 10 ? 10 : 0, &token.i))
        return lm_parse_fail(x->p, LLM_E_UNSUPPORTED, x->line, "a number beyond 64 bits, or one with zeros in front");
    token.text = (llm_str){ from, (size_t)(c - from) };
    lexer_move(x, c);
    return lexer_add(x, token);
}

/* The characters that a \ begins. *at stands behind the \. Python's rules: what it does not know stays as it is. */
static bool lexer_escape(lexer *x, const char **at, const char *end, char *out, size_t *n)
{
    const char *c = *at;
    static const char names[] = "abfnrtv\\'\"", values[] = "\a\b\f\n\r\t\v\\'\"";
    const char *known = *c ? strchr(names, *c) : NULL;
    int digits = *c == 'x' ? 2 : *c == 'u' ? 4 : *c == 'U' ? 8 : 0;
    uint32_t cp = 0;
    if (known) {
        out[(*n)++] = values[known - names];
        *at = c + 1;
    } else if (*c == '\n') {
        *at = c + 1;
    } else if (*c >= '0' && *c <= '7') {
        for (int i = 0; i < 3 && c < end && *c >= '0' && *c <= '7'; i++)
            cp = cp * 8 + (uint32_t)(*c++ - '0');
        *n += lm_utf8_encode(cp, out + *n);
        *at = c;
    } else if (digits) {
        for (c++; digits > 0; digits--, c++) {
            if (c == end || !lexer_is_digit(*c, 16))
                return lm_parse_fail(x->p, LLM_E_FORMAT, x->line, "too few hexadecimal digits behind a \\x, \\u or \\U");
            cp = cp * 16 + (uint32_t)(*c <= '9' ? *c - '0' : (*c | 32) - 'a' + 10);
        }
        *n += lm_utf8_encode(cp, out + *n);
        *at = c;
    } else {
        out[(*n)++] = '\\';             /* and its character follows by itself */
    }
    return true;
}

static bool lexer_string(lexer *x)
{
    const char *c = x->at + 1, *from = c;
    char quote = *x->at, *out;
    size_t n = 0;
    lm_token token = { .kind = LM_TOK_STRING, .line = x->line };
    while (c < x->end && *c != quote)
        c += *c == '\\' && c + 1 < x->end ? 2 : 1;
    if (c >= x->end)
        return lm_parse_fail(x->p, LLM_E_FORMAT, x->line, "this string has no end");
    out = lm_arena_new(x->p->arena, (size_t)(c - from) + 1);
    if (!out) {
        x->p->status = lm_fail_memory(x->p->error, "a chat template", (size_t)(c - from) + 1);
        return false;
    }
    for (const char *s = from; s < c;) {
        if (*s != '\\')
            out[n++] = *s++;
        else if (s++, !lexer_escape(x, &s, c, out, &n))
            return false;
    }
    token.text = (llm_str){ out, n };
    lexer_move(x, c + 1);
    return lexer_add(x, token);
}

static bool lexer_sign(lexer *x)
{
    static const char pairs[] = "//**==!=>=<=", opening[] = "([{", closing[] = ")]}";
    const char *c = x->at, *bracket;
    lm_token token = { .kind = LM_TOK_SIGN, .sign = (unsigned char)*c, .line = x->line };
    size_t n = 1;
    if (c + 1 < x->end)
        for (size_t i = 0; pairs[i]; i += 2)
            if (c[0] == pairs[i] && c[1] == pairs[i + 1]) {
                token.sign = LM_SIGN2((unsigned char)c[0], (unsigned char)c[1]);
                n = 2;
            }
    if (!*c || (n == 1 && !strchr("+-*/%~[](){}><=.:|,;", *c)))
        return lm_parse_fail(x->p, LLM_E_FORMAT, x->line, "unexpected character (byte 0x%02x)", (unsigned)(unsigned char)*c);
    if (n == 1 && strchr(opening, *c)) {
        if (x->n_brackets == sizeof x->brackets)
            return lm_parse_fail(x->p, LLM_E_LIMIT, x->line, "more than %d brackets inside of each other", LM_TEMPLATE_PARSE_DEPTH);
        x->brackets[x->n_brackets++] = closing[strchr(opening, *c) - opening];
    } else if (n == 1 && (bracket = strchr(closing, *c)) != NULL) {
        if (x->n_brackets == 0)
            return lm_parse_fail(x->p, LLM_E_FORMAT, x->line, "unexpected '%c'", *bracket);
        if (x->brackets[--x->n_brackets] != *bracket)
            return lm_parse_fail(x->p, LLM_E_FORMAT, x->line, "unexpected '%c', expected '%c'", *bracket, x->brackets[x->n_brackets]);
    }
    token.text = (llm_str){ c, n };
    lexer_move(x, c + n);
    return lexer_add(x, token);
}

/* At the end of the tag? Takes it. */
static bool lexer_tag_end(lexer *x, bool block)
{
    const char *c = x->at;
    char sign = 0;
    if (x->n_brackets > 0)
        return false;
    if (*c == '-' || (*c == '+' && block))
        sign = *c++;
    if (x->end - c < 2 || c[0] != (block ? '%' : '}') || c[1] != '}')
        return false;
    if (block)
        lexer_close(x, c + 2, sign);
    else
        lexer_move(x, sign == '-' ? lexer_skip_space(c + 2, x->end) : c + 2);
    return true;
}

static bool lexer_tag(lexer *x, bool block)
{
    uint32_t line = x->line;
    size_t first = x->p->n;
    while (x->at < x->end) {
        const char *c = lexer_skip_space(x->at, x->end);
        bool after_dot = x->p->n > first && c == x->at && x->p->tokens[x->p->n - 1].sign == '.';
        if (c > x->at)
            lexer_move(x, c);
        if (x->at == x->end)
            break;
        line = x->line;
        if (lexer_tag_end(x, block))
            return lexer_add(x, (lm_token){ .kind = block ? LM_TOK_BLOCK_END : LM_TOK_PRINT_END, .line = line });
        if (lexer_is_digit(*c, 10)) {
            if (!lexer_number(x, after_dot))
                return false;
        } else if (*c == '_' || lexer_is_digit(*c, 36) || (unsigned char)*c >= 0x80) {
            while (c < x->end && (*c == '_' || lexer_is_digit(*c, 36) || (unsigned char)*c >= 0x80))
                c++;
            if (!lexer_add(x, (lm_token){ .kind = LM_TOK_NAME, .text = { x->at, (size_t)(c - x->at) } }))
                return false;
            lexer_move(x, c);
        } else if (!(*c == '"' || *c == '\'' ? lexer_string(x) : lexer_sign(x))) {
            return false;
        }
    }
    if (x->n_brackets > 0)
        return lm_parse_fail(x->p, LLM_E_FORMAT, line, "the template ends inside of brackets: '%c' is missing", x->brackets[x->n_brackets - 1]);
    return lm_parse_fail(x->p, LLM_E_FORMAT, line, "the template ends inside of a tag: %s is missing", block ? "%}" : "}}");
}

bool lm_lexer_run(lm_parse *p, const char *text, size_t len)
{
    lexer x = { .p = p, .at = text, .end = text + len, .line = 1, .line_starting = true };
    while (x.at < x.end) {
        const char *c = x.at, *raw = NULL;
        char kind, sign, raw_sign = 0;
        while (c < x.end && !(c[0] == '{' && c + 1 < x.end && (c[1] == '{' || c[1] == '%' || c[1] == '#')))
            c++;
        if (c == x.end) {
            if (!lexer_data(&x, c, 0, false))
                return false;
            break;
        }
        kind = c[1];
        sign = c + 2 < x.end ? c[2] : 0;
        if (sign != '-' && sign != '+')
            sign = 0;
        if (c > x.at && !lexer_data(&x, c, sign, kind != '{'))
            return false;
        if (kind == '%' && (raw = lexer_raw_tag(&x, c, "raw", &raw_sign)) != NULL && raw_sign != '+') {
            if (!lexer_raw(&x, raw, raw_sign))
                return false;
            continue;
        }
        lexer_move(&x, c + 2 + (sign != 0));
        if (kind == '#') {
            if (!lexer_comment(&x))
                return false;
        } else if (!lexer_add(&x, (lm_token){ .kind = kind == '%' ? LM_TOK_BLOCK_BEGIN : LM_TOK_PRINT_BEGIN }) || !lexer_tag(&x, kind == '%')) {
            return false;
        }
    }
    return lexer_add(&x, (lm_token){ .kind = LM_TOK_END });
}
