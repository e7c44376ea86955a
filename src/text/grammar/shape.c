/* SPDX-License-Identifier: MIT
 * From a case to states: constants, numbers, strings, arrays. Floor 3.
 *
 * How values are written: no white space but one blank, or a line's end and up to 32 blanks and tabs, behind { [ , : and before } ] (none at
 * all with LLM_GRAMMAR_COMPACT). Strings about whose characters nothing is said, or only how many, in any way JSON has; others with
 * escapes where they must be, the short ones. Numbers about which nothing is said in any way; others without exponent, whole ones
 * without a point. */
#include "text/grammar/schema.h"

#include <string.h>

enum { SHAPE_BLANKS = 32 };

/* Regular expressions for `format`. Dates know their months and leap years; times no leap seconds. */
#define SHAPE_DATE "(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))" \
                   "|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
#define SHAPE_TIME "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d+)?(?:[Zz]|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define SHAPE_BYTE "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
static const struct { const char *name, *pattern; } shape_formats[] = {
    { "date", "^" SHAPE_DATE "$" },
    { "time", "^" SHAPE_TIME "$" },
    { "date-time", "^" SHAPE_DATE "[Tt]" SHAPE_TIME "$" },
    { "uuid", "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$" },
    { "ipv4", "^(?:" SHAPE_BYTE "\\.){3}" SHAPE_BYTE "$" },
};

static uint32_t shape_rule(lm_schema *s, uint32_t *rule)
{
    *rule = lm_net_rule(s->net, (llm_str){ "", 0 }, LLM_NUL);
    return *rule;
}

/* An expression in UTF-8 as a rule of its own. */
static uint32_t shape_expr_rule(lm_schema *s, uint32_t *rule, const char *pattern)
{
    if (*rule != UINT32_MAX)
        return *rule;
    const lm_expr *expr = lm_regex_parse(s->c, pattern, strlen(pattern), LLM_NUL);
    shape_rule(s, rule);
    if (expr && s->c->status >= 0)
        lm_expr_build(s->net, expr, s->net->rules[*rule].start, s->net->rules[*rule].end, LM_CHARS_UTF8);
    return *rule;
}

void lm_shape_space(lm_schema *s, uint32_t from, uint32_t to)
{
    lm_net_empty(s->net, from, to);
    if (s->c->flags & LLM_GRAMMAR_COMPACT)
        return;
    if (s->space == UINT32_MAX) {
        char pattern[32];
        lm_print(pattern, sizeof pattern, " |\\n[ \\t]{0,%d}", SHAPE_BLANKS);
        shape_expr_rule(s, &s->space, pattern);
    }
    lm_net_call(s->net, from, to, s->space);
}

#define SHAPE_CHAR "(?:[ !#-[\\]-\\u{10ffff}]|\\\\(?:[\"\\\\/bfnrt]|u(?:[0-9A-Ca-cE-Fe-f][0-9A-Fa-f]{3}|[Dd][0-7][0-9A-Fa-f]{2}|" \
                   "[Dd][89ABab][0-9A-Fa-f]{2}\\\\u[Dd][C-Fc-f][0-9A-Fa-f]{2})))"

uint32_t lm_shape_any_char(lm_schema *s)
{
    return shape_expr_rule(s, &s->any_char, SHAPE_CHAR);
}

uint32_t lm_shape_free_string(lm_schema *s)
{
    return shape_expr_rule(s, &s->free_string, "\"" SHAPE_CHAR "*\"");
}

void lm_shape_text(lm_schema *s, uint32_t from, uint32_t to, llm_str text)
{
    uint32_t at = lm_net_state(s->net), end = lm_net_state(s->net);
    lm_net_text(s->net, from, at, "\"", 1);
    lm_dfa_build(s->net, lm_dfa_of_text(s->c, text.ptr, text.len), at, end, LM_CHARS_JSON, UINT32_MAX);
    lm_net_text(s->net, end, to, "\"", 1);
}

/* ---- numbers ---------------------------------------------------------------------------------------------------------------- */

static void shape_number(lm_schema *s, const lm_case *one, uint32_t from, uint32_t to)
{
    lm_dfa *all = NULL;
    bool free = !one->whole && !one->broken;
    for (const lm_fact *fact = one->facts; fact; fact = fact->next)
        free &= !((fact->word >= LM_WORD_MINIMUM && fact->word <= LM_WORD_MULTIPLE) || (fact->word == LM_WORD_VALUE && fact->node->kind == LM_JSON_NUMBER));
    if (free) {
        lm_net_call(s->net, from, to, shape_expr_rule(s, &s->free_number, "-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"));
        return;
    }
    const char *pattern = one->broken ? "^-?(?:0|[1-9][0-9]*)\\.[0-9]*[1-9][0-9]*$" : one->whole ? "^-?(?:0|[1-9][0-9]*)$" : "^-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?$";
    if (one->whole && one->broken)
        return;
    all = lm_schema_pattern(s, s->root, (llm_str){ pattern, strlen(pattern) }, true);
    for (const lm_fact *fact = one->facts; fact && all; fact = fact->next) {
        static const uint8_t compares[] = { LM_IS_EQUAL | LM_IS_MORE, LM_IS_LESS | LM_IS_EQUAL, LM_IS_MORE, LM_IS_LESS };
        bool bound = fact->word >= LM_WORD_MINIMUM && fact->word <= LM_WORD_BELOW, multiple = fact->word == LM_WORD_MULTIPLE;
        lm_decimal d;
        if (!bound && !multiple && !(fact->word == LM_WORD_VALUE && fact->node->kind == LM_JSON_NUMBER))
            continue;
        if (fact->node->kind != LM_JSON_NUMBER) {
            lm_schema_wrong(s, fact->node, "a number");
            return;
        }
        if (!lm_decimal_read(s->c, fact->node->text, &d))
            return;
        if (multiple && (d.negative || d.n == 0)) {
            lm_schema_wrong(s, fact->node, "a number above 0");
            return;
        }
        if (bound)
            all = lm_dfa_join(s->c, all, lm_decimal_compare(s->c, &d, compares[fact->word - LM_WORD_MINIMUM]), fact->negated ? LM_DFA_BUT_NOT : LM_DFA_AND);
        else if (multiple)
            all = lm_dfa_join(s->c, all, lm_decimal_multiple(s->c, &d), fact->negated ? LM_DFA_BUT_NOT : LM_DFA_AND);
        else if (fact->negated)
            all = lm_dfa_join(s->c, all, lm_decimal_compare(s->c, &d, LM_IS_EQUAL), LM_DFA_BUT_NOT);
        else {
            llm_str text = lm_decimal_text(s->c, &d);
            all = lm_dfa_join(s->c, all, lm_dfa_of_text(s->c, text.ptr, text.len), LM_DFA_AND);
        }
    }
    lm_dfa_build(s->net, all, from, to, LM_CHARS_UTF8, UINT32_MAX);
}

/* ---- strings ---------------------------------------------------------------------------------------------------------------- */

static lm_dfa *shape_format(lm_schema *s, const lm_jvalue *node)
{
    for (size_t i = 0; node->kind == LM_JSON_STRING && i < LM_COUNT(shape_formats); i++)
        if (strlen(shape_formats[i].name) == node->text.len && memcmp(shape_formats[i].name, node->text.ptr, node->text.len) == 0)
            return lm_schema_pattern(s, node, (llm_str){ shape_formats[i].pattern, strlen(shape_formats[i].pattern) }, true);
    lm_schema_refuse(s, node, "is supported for date, time, date-time, uuid and ipv4");
    return NULL;
}

lm_dfa *lm_shape_string(lm_schema *s, const lm_case *one)
{
    uint32_t min = 0, max = UINT32_MAX, n;
    lm_dfa *all = NULL;
    for (const lm_fact *fact = one->facts; fact && s->c->status >= 0; fact = fact->next) {
        lm_dfa *part = NULL;
        if (fact->word == LM_WORD_MIN_LENGTH || fact->word == LM_WORD_MAX_LENGTH) {
            if (!lm_schema_count(s, fact->node, &n))
                return NULL;
            if ((fact->word == LM_WORD_MIN_LENGTH) == fact->negated && fact->negated && n == 0)
                max = 0, min = 1;                           /* not at least 0: none */
            else if (fact->word == LM_WORD_MIN_LENGTH && !fact->negated)
                min = LM_MAX(min, n);
            else if (fact->word == LM_WORD_MIN_LENGTH)
                max = LM_MIN(max, n - 1);
            else if (!fact->negated)
                max = LM_MIN(max, n);
            else
                min = LM_MAX(min, n + 1);
            continue;
        }
        if (fact->word == LM_WORD_PATTERN) {
            if (fact->node->kind != LM_JSON_STRING) {
                lm_schema_wrong(s, fact->node, "a string");
                return NULL;
            }
            part = lm_schema_pattern(s, fact->node, fact->node->text, true);
        } else if (fact->word == LM_WORD_FORMAT) {
            part = shape_format(s, fact->node);
        } else if (fact->word == LM_WORD_VALUE && fact->node->kind == LM_JSON_STRING) {
            part = lm_dfa_of_text(s->c, fact->node->text.ptr, fact->node->text.len);
        } else {
            continue;
        }
        if (all || fact->negated)
            all = lm_dfa_join(s->c, all ? all : lm_dfa_of_length(s->c, 0, UINT32_MAX), part, fact->negated ? LM_DFA_BUT_NOT : LM_DFA_AND);
        else
            all = part;
    }
    if (s->c->status < 0 || (min == 0 && max == UINT32_MAX))
        return all;
    if (max != UINT32_MAX && max < min) {                   /* nothing */
        lm_dfa *any = lm_dfa_of_length(s->c, 0, UINT32_MAX);
        return lm_dfa_join(s->c, any, any, LM_DFA_BUT_NOT);
    }
    if (LM_MAX(min, max == UINT32_MAX ? 0 : max) > LM_DFA_MOST_STATES - 2) {
        for (const lm_fact *fact = one->facts; fact; fact = fact->next)
            if (fact->word == LM_WORD_MIN_LENGTH || fact->word == LM_WORD_MAX_LENGTH)
                lm_compile_fail(s->c, LLM_E_LIMIT, fact->node->at, "a length above %d", LM_DFA_MOST_STATES - 2);
        return NULL;
    }
    lm_dfa *length = lm_dfa_of_length(s->c, min, max);
    return all ? lm_dfa_join(s->c, all, length, LM_DFA_AND) : length;
}

static void shape_string(lm_schema *s, const lm_case *one, uint32_t from, uint32_t to)
{
    lm_dfa *dfa = lm_shape_string(s, one);
    if (s->c->status < 0)
        return;
    if (!dfa) {
        lm_net_call(s->net, from, to, lm_shape_free_string(s));
        return;
    }
    uint32_t at = lm_net_state(s->net), end = lm_net_state(s->net);
    lm_net_text(s->net, from, at, "\"", 1);
    lm_dfa_build(s->net, dfa, at, end, LM_CHARS_JSON, lm_shape_any_char(s));
    lm_net_text(s->net, end, to, "\"", 1);
}

/* ---- arrays ----------------------------------------------------------------------------------------------------------------- */

typedef struct shape_array {
    uint32_t min, max, prefix;          /* max UINT32_MAX: none; prefix: items that may differ from those behind */
    const lm_fact *contains;            /* or NULL; then so many items of them must be there */
    uint32_t least, most;
    bool some;                          /* `contains` is a SOME */
} shape_array;

static bool shape_array_facts(lm_schema *s, const lm_case *one, shape_array *a)
{
    uint32_t n;
    *a = (shape_array){ .max = UINT32_MAX, .most = UINT32_MAX };
    for (const lm_fact *fact = one->facts; fact && s->c->status >= 0; fact = fact->next) {
        const lm_jvalue *prefix, *least, *most;
        switch (fact->word) {
        case LM_WORD_MIN_ITEMS: case LM_WORD_MAX_ITEMS:
            if (!lm_schema_count(s, fact->node, &n))
                return false;
            if (fact->word == LM_WORD_MIN_ITEMS && fact->negated && n == 0)
                return false;
            if ((fact->word == LM_WORD_MIN_ITEMS) != fact->negated)
                a->min = LM_MAX(a->min, n + fact->negated);
            else
                a->max = LM_MIN(a->max, n - fact->negated);
            break;
        case LM_WORD_UNIQUE:
            if (fact->node->kind != LM_JSON_FALSE && fact->node->kind != LM_JSON_TRUE)
                lm_schema_wrong(s, fact->node, "true or false");
            else if (fact->node->kind == LM_JSON_TRUE)
                lm_schema_refuse(s, fact->node, "is not supported");
            break;
        case LM_WORD_VALUE:
            if (fact->node->kind == LM_JSON_ARRAY) {
                a->min = LM_MAX(a->min, fact->node->n);
                a->max = LM_MIN(a->max, fact->node->n);
                a->prefix = LM_MAX(a->prefix, fact->node->n);
            }
            break;
        case LM_WORD_ITEMS:
            prefix = lm_jvalue_member(fact->node, "prefixItems");
            prefix = prefix ? prefix : lm_jvalue_member(fact->node, "items");
            if (prefix && prefix->kind == LM_JSON_ARRAY)
                a->prefix = LM_MAX(a->prefix, prefix->n);
            break;
        case LM_WORD_ELEMENT:
            a->min = LM_MAX(a->min, fact->index + 1);
            a->prefix = LM_MAX(a->prefix, fact->index + 1);
            break;
        case LM_WORD_CONTAINS: case LM_WORD_SOME:
            a->some = fact->word == LM_WORD_SOME;
            if (a->contains) {
                lm_compile_fail(s->c, LLM_E_UNSUPPORTED, fact->node->at, "\"contains\" is supported once for an array");
                return false;
            }
            a->contains = fact;
            a->least = 1;
            least = a->some ? NULL : lm_jvalue_member(fact->node, "minContains");
            most = a->some ? NULL : lm_jvalue_member(fact->node, "maxContains");
            if ((least && !lm_schema_count(s, least, &a->least)) || (most && !lm_schema_count(s, most, &a->most)))
                return false;
            break;
        default:
            break;
        }
    }
    return s->c->status >= 0 && (a->max == UINT32_MAX || a->min <= a->max);
}

/* What holds of item i; i >= prefix: of those behind. */
static lm_claims shape_item_claims(lm_schema *s, const lm_case *one, uint32_t i)
{
    lm_claims claims = { 0 };
    for (const lm_fact *fact = one->facts; fact && s->c->status >= 0; fact = fact->next) {
        if ((fact->word == LM_WORD_ELEMENT && fact->index == i) || fact->word == LM_WORD_EACH)
            lm_claims_add(s, &claims, fact->claim);
        if (fact->word == LM_WORD_VALUE && fact->node->kind == LM_JSON_ARRAY) {
            const lm_jvalue *item = fact->node->child;
            for (uint32_t k = 0; item && k < i; k++)
                item = item->next;
            if (item)
                lm_claims_add(s, &claims, (lm_claim){ item, true, false });
        }
        if (fact->word != LM_WORD_ITEMS)
            continue;
        const lm_jvalue *prefix = lm_jvalue_member(fact->node, "prefixItems"), *rest = lm_jvalue_member(fact->node, "items");
        if (!prefix && rest && rest->kind == LM_JSON_ARRAY) {
            prefix = rest;
            rest = lm_jvalue_member(fact->node, "additionalItems");
        } else if (!rest && !prefix) {                      /* additionalItems alone says nothing */
            continue;
        }
        const lm_jvalue *item = prefix ? prefix->child : NULL;
        for (uint32_t k = 0; item && k < i; k++)
            item = item->next;
        item = item ? item : rest;
        if (item)
            lm_claims_add(s, &claims, (lm_claim){ item, false, false });
    }
    return claims;
}

static uint32_t shape_with(lm_schema *s, const lm_claims *claims, lm_claim also)
{
    lm_claims both = { 0 };
    for (uint32_t i = 0; i < claims->n; i++)
        lm_claims_add(s, &both, claims->at[i]);
    lm_claims_add(s, &both, also);
    return lm_schema_rule(s, &both);
}

/* States by how many items there are, up to where no more differ, and how many of them are of those that must be contained. */
static void shape_list(lm_schema *s, const lm_case *one, uint32_t from, uint32_t to)
{
    shape_array a;
    lm_net *net = s->net;
    if (!shape_array_facts(s, one, &a))
        return;
    uint32_t rows = LM_MAX(1u, LM_MAX(a.prefix, LM_MAX(a.min, a.max == UINT32_MAX ? 0 : a.max))), kinds = 1;
    rows = a.max == 0 ? 0 : rows;
    if (a.contains)
        kinds = 1 + (a.most == UINT32_MAX ? a.least : a.most);
    if (a.contains && a.least > a.most)
        return;
    if ((uint64_t)(rows + 1) * kinds > LM_NET_MOST_STATES) {
        lm_compile_fail(s->c, LLM_E_LIMIT, LLM_NUL, "an array's numbers of items come to more than %d states", LM_NET_MOST_STATES);
        return;
    }
    uint32_t *states = lm_compile_new(s->c, (size_t)(rows + 1) * kinds, sizeof *states), end = lm_net_state(net), first = lm_net_state(net);
    for (uint32_t i = 0; states && i < (rows + 1) * kinds; i++)
        states[i] = lm_net_state(net);
    if (!states || s->c->status < 0)
        return;
    lm_net_text(net, from, first, "[", 1);
    lm_shape_space(s, first, states[0]);
    lm_net_text(net, end, to, "]", 1);
    lm_claims behind = { 0 };
    for (uint32_t i = 0; i <= rows && lm_compile_work(s->c, kinds); i++) {
        lm_claims claims = i < a.prefix ? shape_item_claims(s, one, i) : behind;
        if (i == a.prefix)
            claims = behind = shape_item_claims(s, one, i);
        lm_claim has = { a.contains ? lm_jvalue_member(a.contains->node, "contains") : NULL, false, false };
        if (a.some)
            has = a.contains->claim;
        lm_claim lacks = { has.node, has.value, !has.negated };
        for (uint32_t k = 0; k < kinds; k++) {
            uint32_t here = states[i * kinds + k], next = LM_MIN(i + 1, rows), turn = lm_net_state(net);
            if (i >= a.min && (!a.contains || k >= a.least)) {
                if (i == 0)
                    lm_net_empty(net, here, end);
                else
                    lm_shape_space(s, here, end);
            }
            if (a.max != UINT32_MAX && i >= a.max)
                continue;
            if (i == 0)
                lm_net_empty(net, here, turn);
            else {
                uint32_t comma = lm_net_state(net);
                lm_net_text(net, here, comma, ",", 1);
                lm_shape_space(s, comma, turn);
            }
            if (!a.contains)
                lm_net_call(net, turn, states[next], lm_schema_rule(s, &claims));
            else {
                lm_net_call(net, turn, states[next * kinds + k], a.most == UINT32_MAX ? lm_schema_rule(s, &claims) : shape_with(s, &claims, lacks));
                if (k + 1 < kinds)
                    lm_net_call(net, turn, states[next * kinds + k + 1], shape_with(s, &claims, has));
            }
        }
    }
}

/* ---- a case ----------------------------------------------------------------------------------------------------------------- */

void lm_shape_build(lm_schema *s, const lm_case *one, uint32_t from, uint32_t to)
{
    if (one->types & LM_TYPE_NULL)
        lm_net_text(s->net, from, to, "null", 4);
    if (one->types & LM_TYPE_FALSE)
        lm_net_text(s->net, from, to, "false", 5);
    if (one->types & LM_TYPE_TRUE)
        lm_net_text(s->net, from, to, "true", 4);
    if (one->types & LM_TYPE_NUMBER)
        shape_number(s, one, from, to);
    if (one->types & LM_TYPE_STRING)
        shape_string(s, one, from, to);
    if (one->types & LM_TYPE_ARRAY)
        shape_list(s, one, from, to);
    if (one->types & LM_TYPE_OBJECT)
        lm_members_build(s, one, from, to);
}
