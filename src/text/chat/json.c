/* SPDX-License-Identifier: MIT
 * JSON to values and back, the way Python's json module writes it: see value.h. Floor 3. */
#include "text/chat/value.h"

#include "text/json_scan.h"

#include "base/utf8.h"

#include <math.h>
#include <string.h>

typedef struct json_reader { lm_jinja *run; lm_json_scan scan; } json_reader;

static bool json_fail(json_reader *r, const char *what)
{
    return lm_jinja_fail(r->run, LLM_E_FORMAT, "%s'%.*s' is no JSON, byte %zu: %s", r->run->globals ? "the variable " : "", (int)LM_MIN(r->run->about.len, (size_t)80),
                         r->run->about.ptr ? r->run->about.ptr : "", (size_t)(r->scan.at - r->scan.start), what);
}

static bool json_problem(json_reader *r)
{
    return json_fail(r, r->scan.problem);
}

static bool json_string(json_reader *r, lm_val *out)        /* behind the " */
{
    size_t room, n;
    char *text;
    if (!lm_json_room(&r->scan, &room))
        return json_problem(r);
    text = lm_jinja_new(r->run, room + 1);
    if (!text)
        return false;
    if (!lm_json_string(&r->scan, text, &n))
        return json_problem(r);
    *out = lm_val_str(text, n);
    return true;
}

static bool json_number(json_reader *r, lm_val *out)
{
    llm_str text;
    bool whole, ok;
    if (!lm_json_number(&r->scan, &text, &whole))
        return json_problem(r);
    out->kind = whole ? LM_VAL_INT : LM_VAL_FLOAT;
    ok = whole ? lm_number_parse_int(text.ptr, text.len, 10, &out->i) : lm_number_parse(text.ptr, text.len, &out->f);
    return ok || json_fail(r, whole ? "a whole number beyond 64 bits" : "this is no number");
}

static bool json_value(json_reader *r, lm_val *out);

static bool json_box(json_reader *r, int kind, lm_val *out)  /* behind the bracket */
{
    bool is_dict = kind == LM_JSON_OBJECT;
    lm_val_list *list = NULL;
    lm_val_dict *dict = NULL;
    lm_val key, value;
    int more;
    if (!(is_dict ? lm_dict_new(r->run, &dict) : lm_list_new(r->run, 0, &list)))
        return false;
    for (bool first = true; (more = lm_json_more(&r->scan, kind, first)) > 0; first = false) {
        if (is_dict) {
            if (!lm_json_name(&r->scan))
                return json_problem(r);
            if (!json_string(r, &key))
                return false;
            if (!lm_json_colon(&r->scan))
                return json_problem(r);
        }
        if (!json_value(r, &value) || !(is_dict ? lm_dict_set(r->run, dict, key, value) : lm_list_add(r->run, list, value)))
            return false;
    }
    *out = is_dict ? (lm_val){ .kind = LM_VAL_DICT, .dict = dict } : lm_list_val(LM_VAL_LIST, list);
    return more == 0 || json_problem(r);
}

static bool json_value(json_reader *r, lm_val *out)
{
    bool ok;
    int kind = lm_json_value(&r->scan);
    if (!lm_jinja_step(r->run, 1))
        return false;
    switch (kind) {
    case LM_JSON_NULL:
        *out = lm_val_none();
        return true;
    case LM_JSON_FALSE: case LM_JSON_TRUE:
        *out = lm_val_bool(kind == LM_JSON_TRUE);
        return true;
    case LM_JSON_NUMBER:
        return json_number(r, out);
    case LM_JSON_STRING:
        return json_string(r, out);
    case LM_JSON_ARRAY: case LM_JSON_OBJECT:
        if (!lm_jinja_enter(r->run))
            return false;
        ok = json_box(r, kind, out);
        lm_jinja_leave(r->run);
        return ok;
    default:
        return json_problem(r);
    }
}

bool lm_json_read(lm_jinja *run, const char *s, size_t len, lm_val *out)
{
    json_reader r = { run, { .start = s, .at = s, .end = s + len, .halves = true } };
    return json_value(&r, out) && (lm_json_over(&r.scan) || json_problem(&r));
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
