/* SPDX-License-Identifier: MIT
 * Attributes, items and signs (+ - * ...) of templates' values: see tree.h. Floor 3. */
#include "text/chat/tree.h"

#include "base/fmath.h"
#include "base/utf8.h"

#include <string.h>

LM_EXACT_ARITHMETIC

bool lm_eval_undefined(lm_jinja *run, lm_val v)
{
    if (v.flag)
        return lm_jinja_fail(run, LLM_E_INVALID, "access to attribute '%.*s' is unsafe: values cannot be changed", (int)v.len, v.s);
    return lm_jinja_fail(run, LLM_E_INVALID, "'%.*s' is undefined", (int)LM_MIN(v.len, (size_t)80), v.s ? v.s : "");
}

/* ---- parts of values */

static bool operator_loop_attribute(const lm_loop *loop, llm_str name, lm_val *out)
{
    int64_t n = (int64_t)loop->items->n, at = (int64_t)loop->at;
    if (lm_name_is(name, "index"))
        *out = lm_val_int(at + 1);
    else if (lm_name_is(name, "index0"))
        *out = lm_val_int(at);
    else if (lm_name_is(name, "revindex"))
        *out = lm_val_int(n - at);
    else if (lm_name_is(name, "revindex0"))
        *out = lm_val_int(n - at - 1);
    else if (lm_name_is(name, "first"))
        *out = lm_val_bool(at == 0);
    else if (lm_name_is(name, "last"))
        *out = lm_val_bool(at == n - 1);
    else if (lm_name_is(name, "length"))
        *out = lm_val_int(n);
    else if (lm_name_is(name, "depth"))
        *out = lm_val_int((int64_t)loop->depth0 + 1);
    else if (lm_name_is(name, "depth0"))
        *out = lm_val_int((int64_t)loop->depth0);
    else if (lm_name_is(name, "previtem"))
        *out = at > 0 ? loop->items->at[at - 1] : lm_val_undefined((llm_str){ "there is no previous item", 25 });
    else if (lm_name_is(name, "nextitem"))
        *out = at + 1 < n ? loop->items->at[at + 1] : lm_val_undefined((llm_str){ "there is no next item", 21 });
    else
        return false;
    return true;
}

bool lm_eval_attribute(lm_jinja *run, lm_val of, llm_str name, lm_val *out)
{
    lm_val *value;
    bool found = false;
    *out = lm_val_undefined(name);
    if (of.kind == LM_VAL_UNDEFINED)
        return lm_eval_undefined(run, of);
    if (of.kind == LM_VAL_LOOP && operator_loop_attribute(of.loop, name, out))
        return true;
    if (of.kind == LM_VAL_MACRO && lm_name_is(name, "name")) {
        *out = lm_val_str(of.macro->name.ptr, of.macro->name.len);
        return true;
    }
    if (of.kind != LM_VAL_NAMESPACE && !lm_method_find(run, of, name, out, &found))
        return false;
    if (found || (of.kind != LM_VAL_DICT && of.kind != LM_VAL_NAMESPACE))
        return true;
    if (!lm_dict_find(run, of.dict, lm_val_str(name.ptr, name.len), &value))
        return false;
    if (value)
        *out = *value;
    return true;
}

bool lm_eval_item(lm_jinja *run, lm_val of, lm_val key, lm_val *out)
{
    lm_val *value, name;
    int64_t n, i;
    if (of.kind == LM_VAL_UNDEFINED)
        return lm_eval_undefined(run, of);
    if (key.kind == LM_VAL_STR)
        *out = lm_val_undefined((llm_str){ key.s, key.len });
    else if (lm_val_to_str(run, key, &name))
        *out = lm_val_undefined((llm_str){ name.s, name.len });
    else
        return false;
    if (of.kind == LM_VAL_DICT && key.kind != LM_VAL_LIST && key.kind != LM_VAL_DICT) {
        if (!lm_dict_find(run, of.dict, key, &value))
            return false;
        if (value) {
            *out = *value;
            return true;
        }
    }
    if (key.kind == LM_VAL_STR)
        return lm_eval_attribute(run, of, (llm_str){ key.s, key.len }, out);
    if (!lm_val_is_whole(key) || (of.kind != LM_VAL_LIST && of.kind != LM_VAL_TUPLE && of.kind != LM_VAL_RANGE && of.kind != LM_VAL_STR))
        return true;
    if (!lm_val_length(run, of, &n))
        return false;
    i = key.i < 0 ? key.i + n : key.i;
    if (i < 0 || i >= n)
        return true;
    if (of.kind == LM_VAL_STR) {
        size_t from = lm_chars_offset(of.s, of.len, (size_t)i);
        uint32_t cp;
        *out = lm_val_part(of, of.s + from, lm_utf8_decode(of.s + from, of.len - from, false, &cp));
        out->flag = of.flag;
    } else {
        *out = of.list->at[i];
    }
    return true;
}

bool lm_eval_path(lm_jinja *run, lm_val of, lm_val path, lm_val *out)
{
    *out = of;
    if (path.kind != LM_VAL_STR)
        return lm_eval_item(run, of, path, out);
    for (const char *at = path.s, *end = path.s + path.len; at <= end;) {
        const char *dot = at;
        lm_val key;
        while (dot < end && *dot != '.')
            dot++;
        key = lm_val_str(at, (size_t)(dot - at));
        if (lm_number_parse_int(key.s, key.len, 10, &key.i))
            key = lm_val_int(key.i);
        else
            key = lm_val_str(at, (size_t)(dot - at));
        if (!lm_eval_item(run, *out, key, out))
            return false;
        at = dot + 1;
    }
    return true;
}

/* Python's slice of n items: first, one behind the last, step. */
static bool operator_slice_bounds(lm_jinja *run, const lm_val part[3], int64_t n, int64_t *from, int64_t *to, int64_t *by)
{
    int64_t *bounds[3] = { from, to, by };
    for (int i = 0; i < 3; i++)
        if (part[i].kind != LM_VAL_NONE && !lm_val_is_whole(part[i]))
            return lm_jinja_fail(run, LLM_E_INVALID, "slice indices must be integers or None, not %s", lm_val_type(part[i]));
    *by = part[2].kind == LM_VAL_NONE ? 1 : part[2].i;
    if (*by == 0)
        return lm_jinja_fail(run, LLM_E_INVALID, "slice step cannot be zero");
    *from = *by > 0 ? 0 : n - 1;
    *to = *by > 0 ? n : -1;
    for (int i = 0; i < 2; i++)
        if (part[i].kind != LM_VAL_NONE) {
            int64_t at = part[i].i, low = *by > 0 ? 0 : -1, high = *by > 0 ? n : n - 1;
            if (at < 0)
                at = at < -n ? low : at + n;
            *bounds[i] = at > high ? high : at;
        }
    return true;
}

bool lm_eval_slice(lm_jinja *run, lm_val of, const lm_val part[3], lm_val *out)
{
    int64_t n, from, to, by;
    lm_val_list *items, *list;
    lm_text text = { 0 };
    if (of.kind == LM_VAL_UNDEFINED)
        return lm_eval_undefined(run, of);
    if (of.kind != LM_VAL_LIST && of.kind != LM_VAL_TUPLE && of.kind != LM_VAL_RANGE && of.kind != LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "'%s' object is not subscriptable", lm_val_type(of));
    if (!lm_val_length(run, of, &n) || !operator_slice_bounds(run, part, n, &from, &to, &by))
        return false;
    if (of.kind == LM_VAL_STR && by == 1) {
        size_t a = lm_chars_offset(of.s, of.len, (size_t)from), b = to > from ? lm_chars_offset(of.s, of.len, (size_t)to) : a;
        *out = lm_val_part(of, of.s + a, b - a);
        out->flag = of.flag;
        return true;
    }
    if (!lm_val_items(run, of, &items) || !lm_list_new(run, 0, &list))
        return false;
    for (int64_t i = from; by > 0 ? i < to : i > to;) {
        if (of.kind == LM_VAL_STR ? !lm_text_add_val(run, &text, items->at[i]) : !lm_list_add(run, list, items->at[i]))
            return false;
        if (by > 0 ? by >= to - i : by <= to - i)
            break;
        i += by;
    }
    *out = of.kind == LM_VAL_STR ? lm_text_val(&text) : lm_list_val(of.kind == LM_VAL_TUPLE ? LM_VAL_TUPLE : LM_VAL_LIST, list);
    return true;
}

/* ---- signs */

static bool operator_sign_fail(lm_jinja *run, uint16_t sign, lm_val a, lm_val b)
{
    char text[3] = { (char)(sign > 255 ? sign >> 8 : sign), (char)(sign > 255 ? sign & 255 : 0), 0 };
    if (a.kind == LM_VAL_UNDEFINED || b.kind == LM_VAL_UNDEFINED)
        return lm_eval_undefined(run, a.kind == LM_VAL_UNDEFINED ? a : b);
    if (sign == '+' && a.kind == LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "can only concatenate str (not \"%s\") to str", lm_val_type(b));
    return lm_jinja_fail(run, LLM_E_INVALID, "unsupported operand type(s) for %s: '%s' and '%s'", text, lm_val_type(a), lm_val_type(b));
}

bool lm_eval_too_big(lm_jinja *run) { return lm_jinja_fail(run, LLM_E_UNSUPPORTED, "a whole number beyond 64 bits"); }

static bool operator_whole(lm_jinja *run, uint16_t sign, int64_t a, int64_t b, lm_val *out)
{
    int64_t x, factor = a;
    switch (sign) {
    case '+':
        if (__builtin_add_overflow(a, b, &x))
            return lm_eval_too_big(run);
        break;
    case '-':
        if (__builtin_sub_overflow(a, b, &x))
            return lm_eval_too_big(run);
        break;
    case '*':
        if (__builtin_mul_overflow(a, b, &x))
            return lm_eval_too_big(run);
        break;
    case '%': case LM_SIGN2('/', '/'):
        if (b == 0)
            return lm_jinja_fail(run, LLM_E_INVALID, "integer division or modulo by zero");
        if (b == -1) {
            if (sign != '%' && a == INT64_MIN)
                return lm_eval_too_big(run);
            x = sign == '%' ? 0 : -a;
        } else if (sign == '%') {
            x = a % b;
            x += x != 0 && (x < 0) != (b < 0) ? b : 0;
        } else {
            x = a / b - (a % b != 0 && (a < 0) != (b < 0));
        }
        break;
    default:                            /* power, b >= 0 */
        for (x = 1; b > 0; b >>= 1) {
            if ((b & 1) && __builtin_mul_overflow(x, factor, &x))
                return lm_eval_too_big(run);
            if (b > 1 && __builtin_mul_overflow(factor, factor, &factor))
                return lm_eval_too_big(run);
        }
        break;
    }
    *out = lm_val_int(x);
    return true;
}

static bool operator_float(lm_jinja *run, uint16_t sign, double a, double b, lm_val *out)
{
    double x;
    switch (sign) {
    case '+':
        x = a + b;
        break;
    case '-':
        x = a - b;
        break;
    case '*':
        x = a * b;
        break;
    case '/': case '%': case LM_SIGN2('/', '/'):
        if (b == 0)
            return lm_jinja_fail(run, LLM_E_INVALID, sign == '/' ? "division by zero" : "float modulo or floor division by zero");
        x = sign == '/' ? a / b : lm_number_floor(a / b);
        if (sign == '%')
            x = a - x * b;
        break;
    default:
        if (!(a > 0))
            return lm_jinja_fail(run, LLM_E_UNSUPPORTED, "a power of what is no positive number");
        x = lm_pow64(a, b);
        break;
    }
    *out = lm_val_float(x);
    return true;
}

static bool operator_repeat(lm_jinja *run, lm_val what, int64_t times, lm_val *out)
{
    lm_text text = { 0 };
    lm_val_list *list;
    if (times > 0 && (what.kind == LM_VAL_STR ? what.len : what.list->n) == 0)
        times = 0;
    if (what.kind == LM_VAL_STR) {
        for (; times > 0; times--)
            if (!lm_jinja_step(run, 1) || !lm_text_add_val(run, &text, what))
                return false;
        *out = lm_text_val(&text);
        return true;
    }
    if (!lm_list_new(run, 0, &list))
        return false;
    for (; times > 0; times--)
        for (size_t i = 0; i < what.list->n; i++)
            if (!lm_list_add(run, list, what.list->at[i]))
                return false;
    *out = lm_list_val(what.kind, list);
    return true;
}

bool lm_eval_binary(lm_jinja *run, uint16_t sign, lm_val a, lm_val b, lm_val *out)
{
    bool a_row = a.kind == LM_VAL_STR || a.kind == LM_VAL_LIST || a.kind == LM_VAL_TUPLE;
    bool b_row = b.kind == LM_VAL_STR || b.kind == LM_VAL_LIST || b.kind == LM_VAL_TUPLE;
    lm_text text = { 0 };
    lm_val_list *list;
    if (lm_val_is_number(a) && lm_val_is_number(b)) {
        if (lm_val_is_whole(a) && lm_val_is_whole(b) && sign != '/' && !(sign == LM_SIGN2('*', '*') && b.i < 0))
            return operator_whole(run, sign, a.i, b.i, out);
        return operator_float(run, sign, lm_val_double(a), lm_val_double(b), out);
    }
    if (sign == '*' && a_row && lm_val_is_whole(b))
        return operator_repeat(run, a, b.i, out);
    if (sign == '*' && b_row && lm_val_is_whole(a))
        return operator_repeat(run, b, a.i, out);
    if (sign == '%' && a.kind == LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_UNSUPPORTED, "formatting with %% is not supported");
    if (sign != '+' || a.kind != b.kind || !a_row)
        return operator_sign_fail(run, sign, a, b);
    if (a.kind == LM_VAL_STR) {         /* beside what is marked safe the other is escaped, in Jinja without autoescape too */
        bool safe = a.flag || b.flag;
        if ((safe && (!lm_str_escape(run, a, &a) || !lm_str_escape(run, b, &b))) || !lm_text_add_val(run, &text, a)
            || !lm_text_add_val(run, &text, b))
            return false;
        *out = lm_text_val(&text);
        out->flag = safe;
        return true;
    }
    if (!lm_list_new(run, a.list->n + b.list->n, &list))
        return false;
    for (size_t i = 0; i < a.list->n + b.list->n; i++)
        if (!lm_list_add(run, list, i < a.list->n ? a.list->at[i] : b.list->at[i - a.list->n]))
            return false;
    *out = lm_list_val(a.kind, list);
    return true;
}

bool lm_eval_compare(lm_jinja *run, uint16_t sign, lm_val a, lm_val b, bool *holds)
{
    char text[3] = { (char)(sign > 255 ? sign >> 8 : sign), (char)(sign > 255 ? sign & 255 : 0), 0 };
    int order;
    if (sign == 'i' || sign == 'n') {
        if (!lm_val_contains(run, b, a, holds))
            return false;
        *holds = *holds == (sign == 'i');
        return true;
    }
    if (sign == LM_SIGN2('=', '=') || sign == LM_SIGN2('!', '=')) {
        if (!lm_val_equal(run, a, b, holds))
            return false;
        *holds = *holds == (sign == LM_SIGN2('=', '='));
        return true;
    }
    if (!lm_val_compare(run, a, b, text, &order))
        return false;
    *holds = text[0] == '<' ? order < 0 || (text[1] && order == 0) : order > 0 || (text[1] && order == 0);
    if ((a.kind == LM_VAL_FLOAT && a.f != a.f) || (b.kind == LM_VAL_FLOAT && b.f != b.f))
        *holds = false;
    return true;
}
