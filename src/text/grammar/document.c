/* SPDX-License-Identifier: MIT
 * JSON to a tree. Strict: RFC 8259, keys unique, no half surrogate pairs (they are no text). Floor 3. */
#include "text/grammar/document.h"

#include "base/utf8.h"

#include <string.h>

typedef struct document_reader { lm_compile *c; const char *start, *at, *end; uint32_t depth; } document_reader;

static bool document_fail(document_reader *r, const char *what)
{
    lm_compile_fail(r->c, LLM_E_FORMAT, (size_t)(r->at - r->start), "this is no JSON: %s", what);
    return false;
}

static void document_space(document_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool document_hex(document_reader *r, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        char d = r->at < r->end ? *r->at : 0;
        uint32_t v = d >= '0' && d <= '9' ? (uint32_t)(d - '0') : (d | 32) >= 'a' && (d | 32) <= 'f' ? (uint32_t)((d | 32) - 'a') + 10 : 16;
        if (v == 16)
            return document_fail(r, "expected four hexadecimal digits");
        *out = *out * 16 + v;
    }
    return true;
}

static bool document_escape(document_reader *r, char *out, size_t *n)      /* behind the backslash */
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    uint32_t cp, low = 0;
    char c = r->at < r->end ? *r->at : 0;
    const char *name = c ? strchr(names, c) : NULL;
    if (name) {
        out[(*n)++] = values[name - names];
        r->at++;
        return true;
    }
    if (c != 'u')
        return document_fail(r, "unknown escape");
    r->at++;
    if (!document_hex(r, &cp))
        return false;
    if (cp >= 0xd800 && cp < 0xdc00) {
        if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
            return document_fail(r, "half of a surrogate pair");
        r->at += 2;
        if (!document_hex(r, &low))
            return false;
        if (low < 0xdc00 || low > 0xdfff)
            return document_fail(r, "half of a surrogate pair");
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
    } else if (cp >= 0xdc00 && cp < 0xe000) {
        return document_fail(r, "half of a surrogate pair");
    }
    *n += lm_utf8_encode(cp, out + *n);
    return true;
}

static bool document_string(document_reader *r, llm_str *out)              /* at the quote */
{
    const char *end = ++r->at;
    while (end < r->end && *end != '"')
        end += *end == '\\' && end + 1 < r->end ? 2 : 1;
    if (end >= r->end)
        return document_fail(r, "this string has no end");
    char *text = lm_compile_new(r->c, (size_t)(end - r->at) + 4, 1);
    size_t n = 0;
    if (!text)
        return false;
    while (*r->at != '"') {
        if ((unsigned char)*r->at < 0x20)
            return document_fail(r, "a control character in a string");
        if (*r->at != '\\')
            text[n++] = *r->at++;
        else if (r->at++, !document_escape(r, text, &n))
            return false;
    }
    r->at++;
    *out = (llm_str){ text, n };
    return lm_utf8_valid(text, n) || document_fail(r, "this string is not UTF-8");
}

static bool document_digits(document_reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > from || document_fail(r, "expected a digit");
}

static bool document_number(document_reader *r, lm_jvalue *node)
{
    const char *from = r->at;
    r->at += *r->at == '-';
    const char *digits = r->at;
    if (r->at == r->end || *r->at < '0' || *r->at > '9')
        return document_fail(r, "expected a value");
    if (!document_digits(r))
        return false;
    if (*digits == '0' && r->at - digits > 1)
        return document_fail(r, "a number with zeros in front");
    if (r->at < r->end && *r->at == '.' && (r->at++, !document_digits(r)))
        return false;
    if (r->at < r->end && (*r->at | 32) == 'e') {
        r->at++;
        r->at += r->at < r->end && (*r->at == '+' || *r->at == '-');
        if (!document_digits(r))
            return false;
    }
    node->kind = LM_NODE_NUMBER;
    node->text = (llm_str){ from, (size_t)(r->at - from) };
    return true;
}

static bool document_value(document_reader *r, lm_jvalue *node);

static bool document_children(document_reader *r, lm_jvalue *node)
{
    char end = *r->at == '{' ? '}' : ']';
    lm_jvalue **link = &node->child;
    node->kind = end == '}' ? LM_NODE_OBJECT : LM_NODE_ARRAY;
    r->at++;
    for (;; link = &(*link)->next) {
        document_space(r);
        if (node->n == 0 && r->at < r->end && *r->at == end)
            break;
        lm_jvalue *child = lm_compile_new(r->c, 1, sizeof *child);
        if (!child || !lm_compile_work(r->c, 1))
            return false;
        if (end == '}') {
            if (r->at == r->end || *r->at != '"')
                return document_fail(r, "expected a key in quotes");
            if (!document_string(r, &child->key))
                return false;
            if (!lm_compile_work(r->c, node->n / 4) || lm_jvalue_find(node, child->key))
                return r->c->status >= 0 && document_fail(r, "this key stands here for the second time");
            document_space(r);
            if (r->at == r->end || *r->at != ':')
                return document_fail(r, "expected :");
            r->at++;
        }
        if (!document_value(r, child))
            return false;
        child->parent = node;
        *link = child;
        node->n++;
        document_space(r);
        if (r->at < r->end && *r->at == end)
            break;
        if (r->at == r->end || *r->at != ',')
            return document_fail(r, end == '}' ? "expected , or }" : "expected , or ]");
        r->at++;
    }
    r->at++;
    return true;
}

static bool document_value(document_reader *r, lm_jvalue *node)
{
    static const char *const words[] = { "null", "false", "true" };
    document_space(r);
    node->at = (size_t)(r->at - r->start);
    if (r->at == r->end)
        return document_fail(r, "the text ends where a value was expected");
    if (*r->at == '"') {
        node->kind = LM_NODE_STRING;
        return document_string(r, &node->text);
    }
    if (*r->at == '{' || *r->at == '[') {
        if (++r->depth > LM_NET_MOST_DEPTH) {
            lm_compile_fail(r->c, LLM_E_LIMIT, node->at, "more than %d values within one another", LM_NET_MOST_DEPTH);
            return false;
        }
        bool ok = document_children(r, node);
        r->depth--;
        return ok;
    }
    for (int i = 0; i < 3; i++)
        if ((size_t)(r->end - r->at) >= strlen(words[i]) && memcmp(r->at, words[i], strlen(words[i])) == 0) {
            node->kind = LM_NODE_NULL + i;
            r->at += strlen(words[i]);
            return true;
        }
    return document_number(r, node);
}

lm_jvalue *lm_document_read(lm_compile *c, const char *text, size_t len)
{
    document_reader r = { c, text, text, text + len, 0 };
    lm_jvalue *root = lm_compile_new(c, 1, sizeof *root);
    if (!root || !document_value(&r, root))
        return NULL;
    document_space(&r);
    if (r.at < r.end && !document_fail(&r, "something follows behind the value"))
        return NULL;
    return root;
}

const lm_jvalue *lm_jvalue_find(const lm_jvalue *object, llm_str key)
{
    if (object && object->kind == LM_NODE_OBJECT)
        for (const lm_jvalue *child = object->child; child; child = child->next)
            if (lm_str_same(child->key, key))
                return child;
    return NULL;
}

const lm_jvalue *lm_jvalue_member(const lm_jvalue *object, const char *key)
{
    return lm_jvalue_find(object, (llm_str){ key, strlen(key) });
}
