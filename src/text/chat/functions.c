/* SPDX-License-Identifier: MIT
 * Functions that every template finds: range, namespace, dict, cycler, joiner, raise_exception, strftime_now. See tree.h. Floor 3. */
#include "text/chat/tree.h"

#include <string.h>

typedef bool function_call(lm_jinja *run, const lm_args *args, lm_val *out);

static bool function_range(lm_jinja *run, const lm_args *args, lm_val *out)
{
    int64_t bounds[3] = { 0, 0, 1 };
    lm_val_list *list;
    uint64_t n;
    if (args->n < 1 || args->n > 3 || args->n_named)
        return lm_jinja_fail(run, LLM_E_INVALID, "range takes 1 to 3 arguments, %zu given", args->n + args->n_named);
    for (size_t i = 0; i < args->n; i++) {
        if (!lm_val_is_whole(args->at[i]))
            return lm_jinja_fail(run, LLM_E_INVALID, "'%s' object cannot be interpreted as an integer", lm_val_type(args->at[i]));
        bounds[args->n == 1 ? 1 : i] = args->at[i].i;
    }
    if (bounds[2] == 0)
        return lm_jinja_fail(run, LLM_E_INVALID, "range() arg 3 must not be zero");
    if (bounds[2] > 0)
        n = bounds[0] < bounds[1] ? ((uint64_t)bounds[1] - (uint64_t)bounds[0] - 1) / (uint64_t)bounds[2] + 1 : 0;
    else
        n = bounds[0] > bounds[1] ? ((uint64_t)bounds[0] - (uint64_t)bounds[1] - 1) / (0 - (uint64_t)bounds[2]) + 1 : 0;
    if (n > 100000)                     /* the sandbox's own limit */
        return lm_jinja_fail(run, LLM_E_INVALID, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).");
    if (!lm_list_new(run, (size_t)n, &list))
        return false;
    for (uint64_t i = 0; i < n; i++)
        if (!lm_list_add(run, list, lm_val_int((int64_t)((uint64_t)bounds[0] + i * (uint64_t)bounds[2]))))
            return false;
    list->from = bounds[0], list->to = bounds[1], list->by = bounds[2];
    *out = lm_list_val(LM_VAL_RANGE, list);
    return true;
}

static bool function_dict_of(lm_jinja *run, const lm_args *args, lm_kind kind, lm_val *out)
{
    lm_val_dict *dict;
    lm_val_list *items, *pair;
    if (args->n > 1)
        return lm_jinja_fail(run, LLM_E_INVALID, "dict expected at most 1 argument, got %zu", args->n);
    if (!lm_dict_new(run, &dict))
        return false;
    if (args->n && args->at[0].kind == LM_VAL_DICT) {
        for (size_t i = 0; i < args->at[0].dict->n; i++)
            if (!lm_dict_set(run, dict, args->at[0].dict->at[i].key, args->at[0].dict->at[i].value))
                return false;
    } else if (args->n) {
        if (!lm_val_items(run, args->at[0], &items))
            return false;
        for (size_t i = 0; i < items->n; i++) {
            if (!lm_val_items(run, items->at[i], &pair))
                return false;
            if (pair->n != 2)
                return lm_jinja_fail(run, LLM_E_INVALID, "dictionary update sequence element %zu has length %zu; 2 is required", i, pair->n);
            if (!lm_dict_set(run, dict, pair->at[0], pair->at[1]))
                return false;
        }
    }
    for (size_t i = 0; i < args->n_named; i++)
        if (!lm_dict_set(run, dict, args->named[i].key, args->named[i].value))
            return false;
    *out = (lm_val){ .kind = (uint8_t)kind, .dict = dict };
    return true;
}

static bool function_dict(lm_jinja *run, const lm_args *args, lm_val *out) { return function_dict_of(run, args, LM_VAL_DICT, out); }
static bool function_namespace(lm_jinja *run, const lm_args *args, lm_val *out) { return function_dict_of(run, args, LM_VAL_NAMESPACE, out); }

static bool function_cycler(lm_jinja *run, const lm_args *args, lm_val *out)
{
    lm_val_list *list;
    if (args->n == 0 || args->n_named)
        return lm_jinja_fail(run, LLM_E_INVALID, "at least one item has to be provided");
    if (!lm_list_new(run, args->n, &list))
        return false;
    for (size_t i = 0; i < args->n; i++)
        if (!lm_list_add(run, list, args->at[i]))
            return false;
    *out = lm_list_val(LM_VAL_CYCLER, list);
    return true;
}

static bool function_joiner(lm_jinja *run, const lm_args *args, lm_val *out)
{
    lm_val_list *list;
    lm_val with = lm_val_str(", ", 2);
    lm_args_get(args, 0, "sep", &with);
    if (!lm_list_new(run, 1, &list) || !lm_list_add(run, list, with))
        return false;
    *out = lm_list_val(LM_VAL_JOINER, list);
    return true;
}

static bool function_raise(lm_jinja *run, const lm_args *args, lm_val *out)
{
    lm_val v = lm_val_str("", 0);
    (void)out;
    lm_args_get(args, 0, "message", &v);
    return lm_val_to_str(run, v, &v)
           && lm_jinja_fail(run, LLM_E_INVALID, "the template refuses: %.*s", (int)LM_MIN(v.len, (size_t)200), v.s);
}

/* ---- time */

static int64_t function_day_number(int64_t year, int64_t month, int64_t day)        /* days since 1970-01-01, Gregorian */
{
    int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static size_t function_digits(char *out, int64_t value, int width, char fill)
{
    char text[24];
    size_t n = lm_print(text, sizeof text, "%lld", (long long)value), k = 0;
    for (; k + n < (size_t)width; k++)
        out[k] = fill;
    memcpy(out + k, text, n);
    return k + n;
}

static bool function_time_part(lm_jinja *run, lm_text *text, const lm_template_time *t, char part)
{
    static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December" };
    static const char *const days[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
    int64_t number = function_day_number(t->year, t->month, t->day), weekday = ((number + 4) % 7 + 7) % 7;
    int64_t hour12 = t->hour % 12 == 0 ? 12 : t->hour % 12;
    static const char parts[] = "ymdHIMSjwu";
    const char *at = strchr(parts, part);
    char out[32];
    if (part && at) {
        const struct { int64_t value; int width; } numbers[] = {
            { t->year % 100, 2 }, { t->month, 2 }, { t->day, 2 }, { t->hour, 2 }, { hour12, 2 }, { t->minute, 2 }, { t->second, 2 },
            { number - function_day_number(t->year, 1, 1) + 1, 3 }, { weekday, 1 }, { weekday ? weekday : 7, 1 },
        };
        return lm_text_add(run, text, out, function_digits(out, numbers[at - parts].value, numbers[at - parts].width, '0'));
    }
    switch (part) {
    case 'Y':
        return lm_text_add(run, text, out, function_digits(out, t->year, 1, '0'));
    case 'e':
        return lm_text_add(run, text, out, function_digits(out, t->day, 2, ' '));
    case 'B':
        return lm_text_add_z(run, text, months[t->month - 1]);
    case 'b': case 'h':
        return lm_text_add(run, text, months[t->month - 1], 3);
    case 'A':
        return lm_text_add_z(run, text, days[weekday]);
    case 'a':
        return lm_text_add(run, text, days[weekday], 3);
    case 'p':
        return lm_text_add(run, text, t->hour < 12 ? "AM" : "PM", 2);
    case '%':
        return lm_text_add(run, text, "%", 1);
    case 'n':
        return lm_text_add(run, text, "\n", 1);
    case 't':
        return lm_text_add(run, text, "\t", 1);
    default:
        return lm_jinja_fail(run, LLM_E_UNSUPPORTED, "strftime_now: %%%c is not supported", part >= 32 && part < 127 ? part : '?');
    }
}

static bool function_strftime(lm_jinja *run, const lm_args *args, lm_val *out)
{
    lm_template_time t = { 0 };
    lm_text text = { 0 };
    lm_val format;
    if (!lm_args_get(args, 0, "format", &format) || format.kind != LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "strftime_now wants a format");
    if (!run->options->now)
        return lm_jinja_fail(run, LLM_E_INVALID, "strftime_now: the program gives no clock");
    run->options->now(run->options->user, &t);
    if (t.month < 1 || t.month > 12 || t.day < 1 || t.day > 31 || t.hour < 0 || t.hour > 23 || t.minute < 0 || t.minute > 59 || t.second < 0 || t.second > 60)
        return lm_jinja_fail(run, LLM_E_INVALID, "strftime_now: the program's clock gives no time");
    for (size_t i = 0; i < format.len; i++) {
        bool part = format.s[i] == '%' && i + 1 < format.len, bare = part && i + 2 < format.len && format.s[i + 1] == '-';
        if (!part) {
            if (!lm_text_add(run, &text, format.s + i, 1))
                return false;
            continue;
        }
        i += bare ? 2 : 1;
        if (!bare) {
            if (!function_time_part(run, &text, &t, format.s[i]))
                return false;
            continue;
        }
        {                               /* %-d and its like: no zeros in front */
            lm_text piece = { 0 };
            size_t skip = 0;
            if (!function_time_part(run, &piece, &t, format.s[i]))
                return false;
            while (skip + 1 < piece.len && (piece.ptr[skip] == '0' || piece.ptr[skip] == ' '))
                skip++;
            if (!lm_text_add(run, &text, piece.ptr + skip, piece.len - skip))
                return false;
        }
    }
    *out = lm_text_val(&text);
    return true;
}

/* ---- all of them */

static const struct { const char *name; function_call *call; } function_rows[] = {
    { "range", function_range }, { "namespace", function_namespace }, { "dict", function_dict }, { "cycler", function_cycler },
    { "joiner", function_joiner }, { "raise_exception", function_raise }, { "strftime_now", function_strftime },
};

bool lm_function_find(llm_str name, lm_val *out)
{
    for (size_t i = 0; i < LM_COUNT(function_rows); i++)
        if (lm_name_is(name, function_rows[i].name)) {
            *out = (lm_val){ .kind = LM_VAL_FUNCTION, .flag = (uint8_t)i };
            return true;
        }
    return false;
}

bool lm_function_call(lm_jinja *run, lm_val f, const lm_args *args, lm_val *out)
{
    if (f.kind == LM_VAL_LOOP) {
        lm_text text = { 0 }, *before = run->out;
        int leave = 0;
        bool ok;
        if (!f.loop->node->flag || args->n != 1)
            return lm_jinja_fail(run, LLM_E_INVALID, "The loop must have the 'recursive' marker to be called recursively.");
        run->out = &text;
        ok = lm_render_loop(run, f.loop->scope, f.loop->node, args->at[0], f.loop->depth0 + 1, &leave);
        run->out = before;
        *out = lm_text_val(&text);
        return ok;
    }
    if (f.kind == LM_VAL_JOINER) {
        *out = f.list->pos++ ? f.list->at[0] : lm_val_str("", 0);
        return true;
    }
    return function_rows[f.flag].call(run, args, out);
}
