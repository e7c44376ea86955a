/* SPDX-License-Identifier: MIT
 * Values of templates as text, the way Python writes them: see value.h. Floor 3. */
#include "text/chat/value.h"

#include "text/unicode.h"

#include "base/utf8.h"

#include <string.h>

bool lm_text_add(lm_jinja *run, lm_text *text, const char *s, size_t len)
{
    if (len == 0)
        return true;
    if (!lm_jinja_look(run, 8 + len / 16) || !lm_trust_break(run, text))
        return false;
    if (len > run->limits.output_bytes - text->len)
        return lm_jinja_fail(run, LLM_E_LIMIT, "a text beyond the limit of %zu bytes", run->limits.output_bytes);
    if (len > text->cap - text->len) {
        size_t cap = LM_MAX(text->cap * 2, text->len + len + 64);
        char *ptr = lm_jinja_new(run, cap);
        if (!ptr)
            return false;
        if (text->len)
            memcpy(ptr, text->ptr, text->len);
        text->ptr = ptr;
        text->cap = cap;
    }
    memcpy(text->ptr + text->len, s, len);
    text->len += len;
    return true;
}

static bool print_repr_str(lm_jinja *run, lm_text *text, lm_val v)
{
    bool single = v.len && memchr(v.s, '\'', v.len), twice = v.len && memchr(v.s, '"', v.len);
    const char *quote = single && !twice ? "\"" : "'", *c = v.s, *end = v.s + v.len;
    if (!lm_text_add(run, text, quote, 1))
        return false;
    while (c < end) {
        uint32_t cp;
        char out[12];
        size_t n = lm_utf8_decode(c, (size_t)(end - c), false, &cp), n_out = 0;
        if (cp == (unsigned char)*quote || cp == '\\' || cp == '\n' || cp == '\r' || cp == '\t') {
            out[n_out++] = '\\';
            out[n_out++] = cp == '\n' ? 'n' : cp == '\r' ? 'r' : cp == '\t' ? 't' : (char)cp;
        } else if (cp < 0x20 || cp == 0x7f || (cp >= 0x80 && (lm_unicode_kind(cp) & (LM_OTHER | LM_SPACE)))) {
            int digits = cp < 0x100 ? 2 : cp < 0x10000 ? 4 : 8;
            out[n_out++] = '\\';
            out[n_out++] = digits == 2 ? 'x' : digits == 4 ? 'u' : 'U';
            while (digits-- > 0)
                out[n_out++] = "0123456789abcdef"[cp >> (4 * digits) & 15];
        }
        if (!lm_text_add(run, text, n_out ? out : c, n_out ? n_out : n))
            return false;
        c += n;
    }
    return lm_text_add(run, text, quote, 1);
}

static bool print_repr_list(lm_jinja *run, lm_text *text, lm_val v)
{
    const char *open = v.kind == LM_VAL_TUPLE ? "(" : "[", *close = v.kind == LM_VAL_TUPLE ? ")" : "]";
    if (!lm_text_add(run, text, open, 1))
        return false;
    for (size_t i = 0; i < v.list->n; i++)
        if ((i && !lm_text_add(run, text, ", ", 2)) || !lm_val_repr(run, text, v.list->at[i]))
            return false;
    return (v.kind != LM_VAL_TUPLE || v.list->n != 1 || lm_text_add(run, text, ",", 1)) && lm_text_add(run, text, close, 1);
}

static bool print_repr_dict(lm_jinja *run, lm_text *text, const lm_val_dict *dict)
{
    if (!lm_text_add(run, text, "{", 1))
        return false;
    for (size_t i = 0; i < dict->n; i++)
        if ((i && !lm_text_add(run, text, ", ", 2)) || !lm_val_repr(run, text, dict->at[i].key) || !lm_text_add(run, text, ": ", 2)
            || !lm_val_repr(run, text, dict->at[i].value))
            return false;
    return lm_text_add(run, text, "}", 1);
}

bool lm_val_repr(lm_jinja *run, lm_text *text, lm_val v)
{
    char number[96];
    bool ok;
    if (!lm_jinja_step(run, 1) || !lm_jinja_enter(run))
        return false;
    switch (v.kind) {
    case LM_VAL_UNDEFINED:
        ok = lm_text_add_z(run, text, "Undefined");
        break;
    case LM_VAL_NONE:
        ok = lm_text_add_z(run, text, "None");
        break;
    case LM_VAL_BOOL:
        ok = lm_text_add_z(run, text, v.i ? "True" : "False");
        break;
    case LM_VAL_INT:
        ok = lm_text_add(run, text, number, lm_number_write_int(v.i, number));
        break;
    case LM_VAL_FLOAT:
        ok = lm_text_add(run, text, number, lm_number_write(v.f, number));
        break;
    case LM_VAL_STR:
        ok = (!v.flag || lm_text_add_z(run, text, "Markup(")) && print_repr_str(run, text, v) && (!v.flag || lm_text_add_z(run, text, ")"));
        break;
    case LM_VAL_LIST: case LM_VAL_TUPLE:
        ok = print_repr_list(run, text, v);
        break;
    case LM_VAL_VIEW:
        ok = lm_text_add_z(run, text, v.flag == 0 ? "dict_keys(" : v.flag == 1 ? "dict_values(" : "dict_items(")
             && print_repr_list(run, text, v) && lm_text_add_z(run, text, ")");
        break;
    case LM_VAL_DICT:
        ok = print_repr_dict(run, text, v.dict);
        break;
    case LM_VAL_NAMESPACE:
        ok = lm_text_add_z(run, text, "<Namespace ") && print_repr_dict(run, text, v.dict) && lm_text_add_z(run, text, ">");
        break;
    case LM_VAL_RANGE:
        if (v.list->by == 1)
            lm_print(number, sizeof number, "range(%lld, %lld)", (long long)v.list->from, (long long)v.list->to);
        else
            lm_print(number, sizeof number, "range(%lld, %lld, %lld)", (long long)v.list->from, (long long)v.list->to, (long long)v.list->by);
        ok = lm_text_add_z(run, text, number);
        break;
    default:
        lm_print(number, sizeof number, "<%s object>", lm_val_type(v));
        ok = lm_text_add_z(run, text, number);
        break;
    }
    lm_jinja_leave(run);
    return ok;
}

bool lm_val_print(lm_jinja *run, lm_text *text, lm_val v)
{
    if (v.kind == LM_VAL_STR)
        return lm_text_add_val(run, text, v);
    return v.kind == LM_VAL_UNDEFINED || lm_val_repr(run, text, v);
}

bool lm_val_to_str(lm_jinja *run, lm_val v, lm_val *out)
{
    lm_text text = { 0 };
    if (v.kind == LM_VAL_STR) {
        *out = v;
        return true;
    }
    if (!lm_val_print(run, &text, v))
        return false;
    *out = lm_text_val(&text);
    return true;
}
