/* SPDX-License-Identifier: MIT
 * Tests of templates (`x is defined`): see tree.h. Floor 3. */
#include "text/chat/tree.h"

#include <string.h>

enum {
    IS_DEFINED, IS_UNDEFINED, IS_NONE, IS_BOOLEAN, IS_TRUE, IS_FALSE, IS_INTEGER, IS_FLOAT, IS_NUMBER, IS_STRING, IS_MAPPING, IS_ITERABLE,
    IS_SEQUENCE, IS_CALLABLE, IS_LOWER, IS_UPPER, IS_ESCAPED, IS_FILTER, IS_TEST, IS_ODD, IS_EVEN,
    IS_WITH_ARGUMENT, IS_DIVISIBLE = IS_WITH_ARGUMENT, IS_IN, IS_SAME, IS_EQ, IS_NE, IS_LT, IS_LE, IS_GT, IS_GE
};

static const struct { char name[13]; uint8_t which; } is_rows[] = {
    { "defined", IS_DEFINED }, { "undefined", IS_UNDEFINED }, { "none", IS_NONE }, { "boolean", IS_BOOLEAN }, { "true", IS_TRUE },
    { "false", IS_FALSE }, { "integer", IS_INTEGER }, { "float", IS_FLOAT }, { "number", IS_NUMBER }, { "string", IS_STRING },
    { "mapping", IS_MAPPING }, { "iterable", IS_ITERABLE }, { "sequence", IS_SEQUENCE }, { "callable", IS_CALLABLE }, { "lower", IS_LOWER },
    { "upper", IS_UPPER }, { "escaped", IS_ESCAPED }, { "filter", IS_FILTER }, { "test", IS_TEST }, { "odd", IS_ODD }, { "even", IS_EVEN },
    { "divisibleby", IS_DIVISIBLE }, { "in", IS_IN }, { "sameas", IS_SAME }, { "eq", IS_EQ }, { "equalto", IS_EQ }, { "==", IS_EQ },
    { "ne", IS_NE }, { "!=", IS_NE }, { "lt", IS_LT }, { "lessthan", IS_LT }, { "<", IS_LT }, { "le", IS_LE }, { "<=", IS_LE },
    { "gt", IS_GT }, { "greaterthan", IS_GT }, { ">", IS_GT }, { "ge", IS_GE }, { ">=", IS_GE },
};

static int is_which(llm_str name)
{
    for (size_t i = 0; i < LM_COUNT(is_rows); i++)
        if (lm_name_is(name, is_rows[i].name))
            return is_rows[i].which;
    return -1;
}

bool lm_test_known(llm_str name) { return is_which(name) >= 0; }

/* str.islower and str.isupper, of ASCII's letters: one at least, and none of the other case. */
static bool is_cased(lm_jinja *run, lm_val v, bool upper, bool *out)
{
    bool any = false, other = false;
    if (!lm_val_to_str(run, v, &v) || !lm_jinja_look(run, v.len))
        return false;
    for (size_t i = 0; i < v.len; i++) {
        any |= upper ? v.s[i] >= 'A' && v.s[i] <= 'Z' : v.s[i] >= 'a' && v.s[i] <= 'z';
        other |= upper ? v.s[i] >= 'a' && v.s[i] <= 'z' : v.s[i] >= 'A' && v.s[i] <= 'Z';
    }
    *out = any && !other;
    return true;
}

static bool is_remainder(lm_jinja *run, lm_val v, lm_val by, int64_t wanted, bool *out)
{
    lm_val rest, want = lm_val_int(wanted);
    if (v.kind == LM_VAL_STR)
        return lm_jinja_fail(run, LLM_E_INVALID, "a number was expected, not str");
    return lm_eval_binary(run, '%', v, by, &rest) && lm_val_equal(run, rest, want, out);
}

static bool is_same(lm_jinja *run, lm_val a, lm_val b, bool *out)
{
    *out = false;
    if (a.kind != b.kind)
        return true;
    if (a.kind == LM_VAL_LIST || a.kind == LM_VAL_TUPLE || a.kind == LM_VAL_DICT) {
        *out = a.list == b.list;
        return true;
    }
    return lm_val_equal(run, a, b, out);
}

static bool is_pair(lm_jinja *run, int which, lm_val v, lm_val by, bool *out)
{
    static const uint16_t signs[] = { LM_SIGN2('=', '='), LM_SIGN2('!', '='), '<', LM_SIGN2('<', '='), '>', LM_SIGN2('>', '=') };
    switch (which) {
    case IS_DIVISIBLE:
        return is_remainder(run, v, by, 0, out);
    case IS_IN:
        return lm_val_contains(run, by, v, out);
    case IS_SAME:
        return is_same(run, v, by, out);
    default:
        return lm_eval_compare(run, signs[which - IS_EQ], v, by, out);
    }
}

bool lm_test_apply(lm_jinja *run, llm_str name, lm_val v, const lm_args *args, bool *out)
{
    int which = is_which(name);
    bool row = v.kind == LM_VAL_STR || v.kind == LM_VAL_LIST || v.kind == LM_VAL_TUPLE || v.kind == LM_VAL_DICT || v.kind == LM_VAL_RANGE
               || v.kind == LM_VAL_UNDEFINED;
    if (which < 0)
        return lm_jinja_fail(run, LLM_E_INVALID, "No test named '%.*s' found.", (int)LM_MIN(name.len, (size_t)40), name.ptr);
    if (args->n_named || args->n != (which >= IS_WITH_ARGUMENT))
        return lm_jinja_fail(run, LLM_E_INVALID, "the test '%.*s' takes %d arguments, %zu given", (int)name.len, name.ptr,
                             which >= IS_WITH_ARGUMENT, args->n + args->n_named);
    if (!lm_jinja_step(run, 1))
        return false;
    switch (which) {
    case IS_DEFINED: case IS_UNDEFINED:
        *out = (v.kind == LM_VAL_UNDEFINED) == (which == IS_UNDEFINED);
        return true;
    case IS_NONE:
        *out = v.kind == LM_VAL_NONE;
        return true;
    case IS_BOOLEAN:
        *out = v.kind == LM_VAL_BOOL;
        return true;
    case IS_TRUE: case IS_FALSE:
        *out = v.kind == LM_VAL_BOOL && (v.i != 0) == (which == IS_TRUE);
        return true;
    case IS_INTEGER:
        *out = v.kind == LM_VAL_INT;
        return true;
    case IS_FLOAT:
        *out = v.kind == LM_VAL_FLOAT;
        return true;
    case IS_NUMBER:
        *out = lm_val_is_number(v);
        return true;
    case IS_STRING:
        *out = v.kind == LM_VAL_STR;
        return true;
    case IS_MAPPING:
        *out = v.kind == LM_VAL_DICT;
        return true;
    case IS_ITERABLE:
        *out = row || v.kind == LM_VAL_VIEW || v.kind == LM_VAL_GENERATOR || v.kind == LM_VAL_LOOP;
        return true;
    case IS_SEQUENCE:
        *out = row;
        return true;
    case IS_CALLABLE:
        *out = v.kind == LM_VAL_MACRO || v.kind == LM_VAL_METHOD || v.kind == LM_VAL_FUNCTION || v.kind == LM_VAL_JOINER || v.kind == LM_VAL_LOOP
               || v.kind == LM_VAL_UNDEFINED;
        return true;
    case IS_LOWER: case IS_UPPER:
        return is_cased(run, v, which == IS_UPPER, out);
    case IS_ESCAPED:
        *out = v.kind == LM_VAL_STR && v.flag;
        return true;
    case IS_FILTER:
        *out = v.kind == LM_VAL_STR && lm_filter_known((llm_str){ v.s, v.len });
        return true;
    case IS_TEST:
        *out = v.kind == LM_VAL_STR && lm_test_known((llm_str){ v.s, v.len });
        return true;
    case IS_ODD: case IS_EVEN:
        return is_remainder(run, v, lm_val_int(2), which == IS_ODD, out);
    default:
        return is_pair(run, which, v, args->at[0], out);
    }
}
