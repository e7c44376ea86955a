/* SPDX-License-Identifier: MIT
 * JSON to values and back, the way Python's json module writes it: see value.h. Floor 3. */
#include "text/chat/value.h"

#include "base/utf8.h"

#include <math.h>
#include <string.h>

typedef struct json_reader { lm_jinja *run; const char *start, *at, *end; } json_reader;

static bool json_fail(json_reader *r, const char *what)
{
    return lm_jinja_fail(r->run, LLM_E_FORMAT, "%s'%.*s' is no JSON, byte %zu: %s", r->run->globals ? "the variable " : "", (int)LM_MIN(r->run->about.len, (size_t)80),
                         r->run->about.ptr ? r->run->about.ptr : "", (size_t)(r->at - r->start), what);
}

static void json_space(json_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool json_hex(json_reader *r, uint32_t *out)         /* at the four digits */
{
    *out = 0;
    if (r->end - r->at < 4)
        return json_fail(r, "four hexadecimal digits are missing");
    for (int i = 0; i < 4; i++, r->at++) {
        char c = *r->at;
        uint32_t d = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : (c | 32) >= 'a' && (c | 32) <= 'f' ? (uint32_t)((c | 32) - 'a') + 10 : 16;
        if (d == 16)
            return json_fail(r, "this is no hexadecimal digit");
        *out = *out * 16 + d;
    }
    return true;
}

static bool json_string(json_reader *r, lm_val *out)        /* behind the " */
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *c = r->at;
    char *text;
    size_t n = 0;
    while (c < r->end && *c != '"')
        c += *c == '\\' && c + 1 < r->end ? 2 : 1;
    if (c >= r->end)
        return json_fail(r, "this string has no end");
    text = lm_jinja_new(r->run, (size_t)(c - r->at) + 4);
    if (!text)
        return false;
    while (*r->at != '"') {
        const char *name;
        uint32_t cp, low;
        if ((unsigned char)*r->at < 0x20)
            return json_fail(r, "a control character in a string");
        if (*r->at != '\\') {
            text[n++] = *r->at++;
            continue;
        }
        r->at++;
        if (*r->at == 'u') {
            r->at++;
            if (!json_hex(r, &cp))
                return false;
            if (cp >= 0xd800 && cp < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
                const char *back = r->at;
                r->at += 2;
                if (!json_hex(r, &low))
                    return false;
                if (low >= 0xdc00 && low < 0xe000)
                    cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
                else
                    r->at = back;
            }
            n += lm_utf8_encode(cp, text + n);      /* half a pair becomes U+FFFD */
        } else if (*r->at && (name = strchr(names, *r->at)) != NULL) {
            text[n++] = values[name - names];
            r->at++;
        } else {
            return json_fail(r, "unknown escape");
        }
    }
    r->at++;
    if (!lm_utf8_valid(text, n))
        return json_fail(r, "this string is not UTF-8");
    *out = lm_val_str(text, n);
    return true;
}

static bool json_number(json_reader *r, lm_val *out)
{
    const char *from = r->at;
    bool whole = true, ok;
    if (r->at < r->end && *r->at == '-')
        r->at++;
    if (r->at == r->end || *r->at < '0' || *r->at > '9')
        return json_fail(r, "this is no value");
    if (*r->at == '0' && r->at + 1 < r->end && r->at[1] >= '0' && r->at[1] <= '9')
        return json_fail(r, "a number with zeros in front");
    while (r->at < r->end && ((*r->at >= '0' && *r->at <= '9') || *r->at == '.' || *r->at == 'e' || *r->at == 'E'
                              || ((*r->at == '-' || *r->at == '+') && (r->at[-1] | 32) == 'e'))) {
        whole = whole && *r->at >= '0' && *r->at <= '9';
        if (*r->at == '.' && (r->at[-1] < '0' || r->at[-1] > '9' || r->at + 1 == r->end || r->at[1] < '0' || r->at[1] > '9'))
            return json_fail(r, "digits are missing beside the point");
        r->at++;
    }
    out->kind = whole ? LM_VAL_INT : LM_VAL_FLOAT;
    ok = whole ? lm_number_parse_int(from, (size_t)(r->at - from), 10, &out->i) : lm_number_parse(from, (size_t)(r->at - from), &out->f);
    return ok || json_fail(r, whole ? "a whole number beyond 64 bits" : "this is no number");
}

static bool json_value(json_reader *r, lm_val *out);

static bool json_box(json_reader *r, lm_val *out)
{
    bool is_dict = *r->at == '{';
    char end = is_dict ? '}' : ']';
    lm_val_list *list = NULL;
    lm_val_dict *dict = NULL;
    lm_val key, value;
    bool first = true;
    if (!(is_dict ? lm_dict_new(r->run, &dict) : lm_list_new(r->run, 0, &list)))
        return false;
    r->at++;
    for (;; first = false) {
        json_space(r);
        if (first && r->at < r->end && *r->at == end)
            break;
        if (is_dict) {
            if (r->at == r->end || *r->at != '"')
                return json_fail(r, "a key in quotes is missing");
            r->at++;
            if (!json_string(r, &key))
                return false;
            json_space(r);
            if (r->at == r->end || *r->at != ':')
                return json_fail(r, "':' is missing");
            r->at++;
        }
        if (!json_value(r, &value) || !(is_dict ? lm_dict_set(r->run, dict, key, value) : lm_list_add(r->run, list, value)))
            return false;
        json_space(r);
        if (r->at < r->end && *r->at == end)
            break;
        if (r->at == r->end || *r->at != ',')
            return json_fail(r, is_dict ? "',' or '}' is missing" : "',' or ']' is missing");
        r->at++;
    }
    r->at++;
    *out = is_dict ? (lm_val){ .kind = LM_VAL_DICT, .dict = dict } : lm_list_val(LM_VAL_LIST, list);
    return true;
}

static bool json_value(json_reader *r, lm_val *out)
{
    static const struct { const char *name; lm_val value; } words[] = {
        { "true", { .kind = LM_VAL_BOOL, .i = 1 } }, { "false", { .kind = LM_VAL_BOOL } }, { "null", { .kind = LM_VAL_NONE } },
    };
    bool ok;
    json_space(r);
    if (!lm_jinja_step(r->run, 1))
        return false;
    if (r->at == r->end)
        return json_fail(r, "the text ends where a value was expected");
    if (*r->at == '"') {
        r->at++;
        return json_string(r, out);
    }
    if (*r->at == '{' || *r->at == '[') {
        if (!lm_jinja_enter(r->run))
            return false;
        ok = json_box(r, out);
        lm_jinja_leave(r->run);
        return ok;
    }
    for (size_t i = 0; i < LM_COUNT(words); i++) {
        size_t n = strlen(words[i].name);
        if ((size_t)(r->end - r->at) >= n && memcmp(r->at, words[i].name, n) == 0) {
            r->at += n;
            *out = words[i].value;
            return true;
        }
    }
    return json_number(r, out);
}

bool lm_json_read(lm_jinja *run, const char *s, size_t len, lm_val *out)
{
    json_reader r = { run, s, s, s + len };
    if (!json_value(&r, out))
        return false;
    json_space(&r);
    return r.at == r.end || json_fail(&r, "something follows behind the value");
}

/* ---- writing */

static size_t json_put_unit(char out[6], uint32_t unit)
{
    out[0] = '\\', out[1] = 'u';
    for (int i = 0; i < 4; i++)
        out[2 + i] = "0123456789abcdef"[unit >> (12 - 4 * i) & 15];
    return 6;
}

static bool json_write_string(lm_jinja *run, lm_text *text, lm_val v, bool ascii)
{
    static const char names[] = "\"\\bfnrt", values[] = "\"\\\b\f\n\r\t";
    const char *c = v.s, *end = v.s + v.len, *plain = c;
    char out[16];
    if (!lm_text_add(run, text, "\"", 1))
        return false;
    while (c < end) {
        uint32_t cp;
        size_t len = lm_utf8_decode(c, (size_t)(end - c), false, &cp), n;
        const char *known = cp && cp < 0x80 ? strchr(values, (char)cp) : NULL;
        if (!known && cp >= 0x20 && (cp < 0x7f || !ascii)) {
            c += len;
            continue;
        }
        if (known)
            n = lm_print(out, sizeof out, "\\%c", names[known - values]);
        else if (cp >= 0x10000)
            n = json_put_unit(out, 0xd800 + ((cp - 0x10000) >> 10)) + json_put_unit(out + 6, 0xdc00 + ((cp - 0x10000) & 0x3ff));
        else
            n = json_put_unit(out, cp);
        if (!lm_text_add(run, text, plain, (size_t)(c - plain)) || !lm_text_add(run, text, out, n))
            return false;
        plain = c += len;
    }
    return lm_text_add(run, text, plain, (size_t)(c - plain)) && lm_text_add(run, text, "\"", 1);
}

static bool json_break(lm_jinja *run, lm_text *text, const lm_json_style *style, uint32_t level)
{
    if (style->indent.kind != LM_VAL_STR)
        return true;
    if (!lm_text_add(run, text, "\n", 1))
        return false;
    for (; level > 0; level--)
        if (!lm_text_add(run, text, style->indent.s, style->indent.len))
            return false;
    return true;
}

static bool json_key(lm_jinja *run, lm_text *text, const lm_json_style *style, lm_val key)
{
    char number[32];
    size_t n;
    switch (key.kind) {
    case LM_VAL_STR:
        return json_write_string(run, text, key, style->ascii);
    case LM_VAL_NONE:
        return lm_text_add_z(run, text, "\"null\"");
    case LM_VAL_BOOL:
        return lm_text_add_z(run, text, key.i ? "\"true\"" : "\"false\"");
    case LM_VAL_INT: case LM_VAL_FLOAT:
        n = key.kind == LM_VAL_INT ? lm_number_write_int(key.i, number) : lm_number_write(key.f, number);
        return lm_text_add(run, text, "\"", 1) && lm_text_add(run, text, number, n) && lm_text_add(run, text, "\"", 1);
    default:
        return lm_jinja_fail(run, LLM_E_INVALID, "keys must be str, int, float, bool or None, not %s", lm_val_type(key));
    }
}

static bool json_write_list(lm_jinja *run, lm_text *text, const lm_json_style *style, const lm_val_list *list, uint32_t level)
{
    for (size_t i = 0; i < list->n; i++)
        if ((i && !lm_text_add(run, text, style->item.s, style->item.len)) || !json_break(run, text, style, level + 1)
            || !lm_json_write(run, text, style, list->at[i], level + 1))
            return false;
    return list->n == 0 || json_break(run, text, style, level);
}

static bool json_write_dict(lm_jinja *run, lm_text *text, const lm_json_style *style, const lm_val_dict *dict, uint32_t level)
{
    size_t *order = lm_jinja_new(run, (dict->n + 1) * sizeof *order);
    if (!order)
        return false;
    for (size_t i = 0; i < dict->n; i++) {      /* sorted by insertion: dicts in prompts are small, and steps count */
        size_t k = i;
        for (; style->sort && k > 0; k--) {
            int sign;
            if (!lm_jinja_step(run, 1) || !lm_val_compare(run, dict->at[order[k - 1]].key, dict->at[i].key, "<", &sign))
                return false;
            if (sign <= 0)
                break;
            order[k] = order[k - 1];
        }
        order[k] = i;
    }
    for (size_t i = 0; i < dict->n; i++)
        if ((i && !lm_text_add(run, text, style->item.s, style->item.len)) || !json_break(run, text, style, level + 1)
            || !json_key(run, text, style, dict->at[order[i]].key) || !lm_text_add(run, text, style->key.s, style->key.len)
            || !lm_json_write(run, text, style, dict->at[order[i]].value, level + 1))
            return false;
    return dict->n == 0 || json_break(run, text, style, level);
}

bool lm_json_write(lm_jinja *run, lm_text *text, const lm_json_style *style, lm_val v, uint32_t level)
{
    char number[32];
    bool ok, dict = v.kind == LM_VAL_DICT;
    if (!lm_jinja_step(run, 1))
        return false;
    switch (v.kind) {
    case LM_VAL_NONE:
        return lm_text_add_z(run, text, "null");
    case LM_VAL_BOOL:
        return lm_text_add_z(run, text, v.i ? "true" : "false");
    case LM_VAL_INT:
        return lm_text_add(run, text, number, lm_number_write_int(v.i, number));
    case LM_VAL_FLOAT:
        if (!isfinite(v.f))
            return lm_text_add_z(run, text, v.f != v.f ? "NaN" : v.f > 0 ? "Infinity" : "-Infinity");
        return lm_text_add(run, text, number, lm_number_write(v.f, number));
    case LM_VAL_STR:
        return json_write_string(run, text, v, style->ascii);
    case LM_VAL_DICT: case LM_VAL_LIST: case LM_VAL_TUPLE:
        if (!lm_jinja_enter(run))
            return false;
        ok = lm_text_add(run, text, dict ? "{" : "[", 1)
             && (dict ? json_write_dict(run, text, style, v.dict, level) : json_write_list(run, text, style, v.list, level))
             && lm_text_add(run, text, dict ? "}" : "]", 1);
        lm_jinja_leave(run);
        return ok;
    default:
        return lm_jinja_fail(run, LLM_E_INVALID, "Object of type %s is not JSON serializable", lm_val_type(v));
    }
}
