/* SPDX-License-Identifier: MIT
 * From claims to cases: references followed, all that is "one of" multiplied out, negations pushed down to facts by De Morgan's laws. What a
 * keyword does not allow to be kept exactly is refused by its name, never passed over. Floor 3.
 *
 * A walk carries a case in the making and a list of what is still to be said of it; where there is a choice, it goes on with a copy each. */
#include "text/grammar/schema.h"

#include <string.h>

enum { SCHEMA_MOST_CASES = 2048, SCHEMA_MOST_DEPTH = 500, SCHEMA_MOST_CLAIMS = 256 };

typedef struct schema_word { const char *name; uint8_t word; } schema_word;
static const schema_word schema_words[] = {
    { "$ref", LM_WORD_REF }, { "$id", LM_WORD_ID }, { "type", LM_WORD_TYPE }, { "enum", LM_WORD_ENUM }, { "const", LM_WORD_CONST },
    { "allOf", LM_WORD_ALL_OF }, { "anyOf", LM_WORD_ANY_OF }, { "oneOf", LM_WORD_ONE_OF }, { "not", LM_WORD_NOT }, { "if", LM_WORD_IF },
    { "then", LM_WORD_THEN }, { "else", LM_WORD_ELSE },
    { "minimum", LM_WORD_MINIMUM }, { "maximum", LM_WORD_MAXIMUM }, { "exclusiveMinimum", LM_WORD_ABOVE }, { "exclusiveMaximum", LM_WORD_BELOW },
    { "multipleOf", LM_WORD_MULTIPLE },
    { "minLength", LM_WORD_MIN_LENGTH }, { "maxLength", LM_WORD_MAX_LENGTH }, { "pattern", LM_WORD_PATTERN }, { "format", LM_WORD_FORMAT },
    { "minItems", LM_WORD_MIN_ITEMS }, { "maxItems", LM_WORD_MAX_ITEMS }, { "uniqueItems", LM_WORD_UNIQUE }, { "items", LM_WORD_ITEMS },
    { "prefixItems", LM_WORD_PREFIX }, { "additionalItems", LM_WORD_MORE_ITEMS }, { "contains", LM_WORD_CONTAINS },
    { "minContains", LM_WORD_MIN_CONTAINS }, { "maxContains", LM_WORD_MAX_CONTAINS },
    { "minProperties", LM_WORD_MIN_MEMBERS }, { "maxProperties", LM_WORD_MAX_MEMBERS }, { "required", LM_WORD_REQUIRED },
    { "properties", LM_WORD_PROPERTIES }, { "patternProperties", LM_WORD_PATTERNS }, { "additionalProperties", LM_WORD_MORE_MEMBERS },
    { "propertyNames", LM_WORD_NAMES }, { "dependentRequired", LM_WORD_DEPENDENT_REQUIRED }, { "dependentSchemas", LM_WORD_DEPENDENT_SCHEMAS },
    { "dependencies", LM_WORD_DEPENDENCIES },
    { "$schema", LM_WORD_NOTE }, { "$defs", LM_WORD_NOTE }, { "definitions", LM_WORD_NOTE }, { "$comment", LM_WORD_NOTE }, { "title", LM_WORD_NOTE },
    { "description", LM_WORD_NOTE }, { "default", LM_WORD_NOTE }, { "examples", LM_WORD_NOTE }, { "deprecated", LM_WORD_NOTE },
    { "readOnly", LM_WORD_NOTE }, { "writeOnly", LM_WORD_NOTE }, { "contentEncoding", LM_WORD_NOTE }, { "contentMediaType", LM_WORD_NOTE },
    { "contentSchema", LM_WORD_NOTE },
};

static int schema_word_of(llm_str key)
{
    for (size_t i = 0; i < LM_COUNT(schema_words); i++)
        if (strlen(schema_words[i].name) == key.len && memcmp(schema_words[i].name, key.ptr, key.len) == 0)
            return schema_words[i].word;
    return LM_WORD_NONE;
}

void lm_schema_refuse(lm_schema *s, const lm_jvalue *value, const char *why)
{
    lm_compile_fail(s->c, LLM_E_UNSUPPORTED, value->at, "\"%.*s\" %s", (int)LM_MIN(value->key.len, (size_t)60), value->key.ptr ? value->key.ptr : "", why);
}

void lm_schema_wrong(lm_schema *s, const lm_jvalue *value, const char *expected)
{
    lm_compile_fail(s->c, LLM_E_FORMAT, value->at, "\"%.*s\": expected %s", (int)LM_MIN(value->key.len, (size_t)60), value->key.ptr ? value->key.ptr : "", expected);
}

bool lm_schema_count(lm_schema *s, const lm_jvalue *value, uint32_t *out)
{
    lm_decimal d;
    *out = 0;
    if (value->kind != LM_JSON_NUMBER || !lm_decimal_read(s->c, value->text, &d) || d.negative || !lm_decimal_is_whole(&d)) {
        lm_schema_wrong(s, value, "a whole number of at least 0");
        return false;
    }
    for (int32_t i = 0; i < d.point; i++) {
        if (*out > 100000000) {                             /* as good as none, and too much for a least one: the states will tell */
            *out = 1000000000;
            return true;
        }
        *out = *out * 10 + (i < (int32_t)d.n ? (uint32_t)(d.digits[i] - '0') : 0);
    }
    return true;
}

/* ---- claims ----------------------------------------------------------------------------------------------------------------- */

static int schema_claim_order(const lm_claim *a, const lm_claim *b)
{
    if (a->node != b->node)
        return a->node->at < b->node->at ? -1 : a->node->at > b->node->at ? 1 : a->node < b->node ? -1 : 1;
    return (a->value * 2 + a->negated) - (b->value * 2 + b->negated);
}

/* Keeps them sorted, each once. What says nothing is left out. */
void lm_claims_add(lm_schema *s, lm_claims *claims, lm_claim claim)
{
    uint32_t i = 0;
    if (!claim.value && claim.node->kind == (claim.negated ? LM_JSON_FALSE : LM_JSON_TRUE))
        return;
    while (i < claims->n && schema_claim_order(&claims->at[i], &claim) < 0)
        i++;
    if (i < claims->n && schema_claim_order(&claims->at[i], &claim) == 0)
        return;
    if (claims->n == SCHEMA_MOST_CLAIMS) {
        lm_compile_fail(s->c, LLM_E_LIMIT, claim.node->at, "more than %d schemas hold of one value", SCHEMA_MOST_CLAIMS);
        return;
    }
    if (claims->n == claims->cap) {
        uint32_t cap = claims->cap ? claims->cap * 2 : 2;
        lm_claim *at = lm_compile_new(s->c, cap, sizeof *at);
        if (!at)
            return;
        if (claims->n)
            memcpy(at, claims->at, claims->n * sizeof *at);
        claims->at = at;
        claims->cap = cap;
    }
    memmove(claims->at + i + 1, claims->at + i, (claims->n - i) * sizeof *claims->at);
    claims->at[i] = claim;
    claims->n++;
}

uint32_t lm_schema_rule(lm_schema *s, lm_claims *claims)
{
    lm_shared_rule **link = &s->rules;
    for (; *link; link = &(*link)->next) {
        const lm_claims *other = &(*link)->claims;
        bool same = other->n == claims->n && lm_compile_work(s->c, 1);
        for (uint32_t i = 0; same && i < claims->n; i++)
            same = schema_claim_order(&other->at[i], &claims->at[i]) == 0;
        if (same)
            return (*link)->rule;
    }
    lm_shared_rule *rule = lm_compile_new(s->c, 1, sizeof *rule);
    if (!rule)
        return 0;
    *rule = (lm_shared_rule){ NULL, *claims, lm_net_rule(s->net, (llm_str){ "", 0 }, claims->n ? claims->at[0].node->at : 0) };
    *link = rule;
    return rule->rule;
}

lm_dfa *lm_schema_pattern(lm_schema *s, const lm_jvalue *node, llm_str pattern, bool anywhere)
{
    for (lm_shared_dfa *d = s->dfas; d; d = d->next)
        if (d->anywhere == anywhere && lm_str_same(d->pattern, pattern))
            return d->dfa;
    lm_shared_dfa *d = lm_compile_new(s->c, 1, sizeof *d);
    if (!d)
        return NULL;
    llm_error why, *error = s->c->error;
    s->c->error = &why;
    lm_dfa *dfa = lm_dfa_of_pattern(s->c, pattern.ptr, pattern.len, anywhere);
    s->c->error = error;
    if (!dfa) {                                             /* told with its place */
        llm_status status = s->c->status;
        s->c->status = LLM_OK;
        lm_compile_fail(s->c, status, node->at, "%s", why.message);
        return NULL;
    }
    *d = (lm_shared_dfa){ s->dfas, pattern, anywhere, dfa };
    s->dfas = d;
    return dfa;
}

/* ---- references ------------------------------------------------------------------------------------------------------------- */

static int schema_hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* One step of a JSON pointer, undone: %XX, ~0, ~1. */
static llm_str schema_step(lm_schema *s, const char **at, const char *end)
{
    const char *from = *at;
    size_t n = 0;
    while (*at < end && **at != '/')
        (*at)++;
    char *text = lm_compile_new(s->c, (size_t)(*at - from) + 1, 1);
    for (const char *c = from; text && c < *at; c++) {
        char byte = *c;
        if (byte == '%' && *at - c > 2 && schema_hex(c[1]) >= 0 && schema_hex(c[2]) >= 0) {
            byte = (char)(schema_hex(c[1]) * 16 + schema_hex(c[2]));
            c += 2;
        }
        if (n > 0 && text[n - 1] == 1 && (byte == '0' || byte == '1'))
            text[n - 1] = byte == '0' ? '~' : '/';
        else
            text[n++] = byte == '~' ? 1 : byte;
    }
    return (llm_str){ text, n };
}

static const lm_jvalue *schema_follow(lm_schema *s, const lm_jvalue *ref)
{
    const lm_jvalue *at = s->root, *id = lm_jvalue_member(s->root, "$id");
    if (ref->kind != LM_JSON_STRING) {
        lm_schema_wrong(s, ref, "a string");
        return NULL;
    }
    const char *c = ref->text.ptr, *end = c + ref->text.len;
    if (id && id->kind == LM_JSON_STRING && id->text.len > 0 && ref->text.len >= id->text.len && memcmp(c, id->text.ptr, id->text.len) == 0 &&
        (c + id->text.len == end || c[id->text.len] == '#'))
        c += id->text.len;
    if (c < end && *c == '#')
        c++;
    else if (c < end) {
        lm_schema_refuse(s, ref, "to another document is not supported");
        return NULL;
    }
    if (c < end && *c != '/') {
        lm_schema_refuse(s, ref, "to an anchor is not supported");
        return NULL;
    }
    while (c < end && at && s->c->status >= 0) {
        c++;
        llm_str step = schema_step(s, &c, end);
        const lm_jvalue *next = NULL;
        if (at->kind == LM_JSON_OBJECT)
            next = lm_jvalue_find(at, step);
        else if (at->kind == LM_JSON_ARRAY) {
            size_t i = 0;
            for (size_t k = 0; k < step.len && i < at->n; k++)
                i = step.ptr[k] >= '0' && step.ptr[k] <= '9' ? i * 10 + (size_t)(step.ptr[k] - '0') : at->n;
            next = step.len && i < at->n ? at->child : NULL;
            for (; next && i > 0; i--)
                next = next->next;
        }
        at = next;
        if (at && at->kind == LM_JSON_OBJECT && lm_jvalue_member(at, "$id") && c < end) {
            lm_schema_refuse(s, ref, "through a schema with an $id of its own is not supported");
            return NULL;
        }
    }
    if (!at && s->c->status >= 0)
        lm_schema_wrong(s, ref, "a place in this schema: there is none of that name");
    return at;
}

/* ---- walks ------------------------------------------------------------------------------------------------------------------ */

enum { SCHEMA_DO_SCHEMA, SCHEMA_DO_VALUE, SCHEMA_DO_ANY, SCHEMA_DO_ANY_VALUE, SCHEMA_DO_ONE, SCHEMA_DO_NOT_ONE, SCHEMA_DO_IF, SCHEMA_DO_DEPEND,
       SCHEMA_DO_NOT_DEPEND };
typedef struct schema_todo {
    const struct schema_todo *next, *from;      /* from: the schema that said so */
    int kind;
    bool negated;
    const lm_jvalue *node;
} schema_todo;

static void schema_walk(lm_schema *s, lm_case now, const schema_todo *list, uint32_t depth);

static const schema_todo *schema_also(lm_schema *s, const schema_todo *list, const schema_todo *from, int kind, const lm_jvalue *node, bool negated)
{
    schema_todo *item = lm_compile_new(s->c, 1, sizeof *item);
    if (item)
        *item = (schema_todo){ list, from, kind, negated, node };
    return item;
}

static lm_fact *schema_fact(lm_schema *s, lm_case *now, int word, const lm_jvalue *node, bool negated)
{
    lm_fact *fact = lm_compile_new(s->c, 1, sizeof *fact);
    if (!fact)
        return NULL;
    *fact = (lm_fact){ .next = now->facts, .word = word, .node = node, .negated = negated };
    now->facts = fact;
    return fact;
}

static void schema_name_fact(lm_schema *s, lm_case *now, int word, const lm_jvalue *node, llm_str name)
{
    lm_fact *fact = schema_fact(s, now, word, node, false);
    if (fact)
        fact->name = name;
}

static bool schema_is_list(lm_schema *s, const lm_jvalue *value)
{
    if (value->kind == LM_JSON_ARRAY && value->n > 0)
        return true;
    lm_schema_wrong(s, value, "an array with at least one item");
    return false;
}

static bool schema_is_array(lm_schema *s, const lm_jvalue *value)
{
    if (value->kind == LM_JSON_ARRAY)
        return true;
    lm_schema_wrong(s, value, "an array");
    return false;
}

static bool schema_is_object(lm_schema *s, const lm_jvalue *value)
{
    if (value->kind == LM_JSON_OBJECT)
        return true;
    lm_schema_wrong(s, value, "an object");
    return false;
}

static bool schema_is_names(lm_schema *s, const lm_jvalue *value)
{
    bool good = value->kind == LM_JSON_ARRAY;
    for (const lm_jvalue *name = good ? value->child : NULL; name; name = name->next)
        good = good && name->kind == LM_JSON_STRING;
    if (!good)
        lm_schema_wrong(s, value, "an array of strings");
    return good;
}

/* Types by name. whole: numbers only without something behind the point. */
static uint32_t schema_types(lm_schema *s, const lm_jvalue *value, bool *whole)
{
    static const struct { const char *name; uint32_t types; } names[] = {
        { "null", LM_TYPE_NULL }, { "boolean", LM_TYPE_FALSE | LM_TYPE_TRUE }, { "number", LM_TYPE_NUMBER }, { "integer", LM_TYPE_NUMBER },
        { "string", LM_TYPE_STRING }, { "array", LM_TYPE_ARRAY }, { "object", LM_TYPE_OBJECT } };
    uint32_t types = 0;
    bool broken = false;
    *whole = false;
    for (const lm_jvalue *one = value->kind == LM_JSON_ARRAY ? value->child : value; one; one = value->kind == LM_JSON_ARRAY ? one->next : NULL) {
        size_t i = 0;
        while (i < LM_COUNT(names) && !(one->kind == LM_JSON_STRING && strlen(names[i].name) == one->text.len && memcmp(names[i].name, one->text.ptr, one->text.len) == 0))
            i++;
        if (i == LM_COUNT(names)) {
            lm_schema_wrong(s, value, "null, boolean, number, integer, string, array, object, or an array of these");
            return 0;
        }
        types |= names[i].types;
        *whole |= i == 3;
        broken |= i == 2;
    }
    *whole = *whole && !broken;
    return types;
}

static uint32_t schema_type_of(const lm_jvalue *value)
{
    return 1u << value->kind;
}

/* True if nothing satisfies both: by what they plainly say of types, constants and required members. False says nothing. */
static bool schema_apart(lm_schema *s, const lm_jvalue *a, const lm_jvalue *b, uint32_t depth);

static const lm_jvalue *schema_resolved(lm_schema *s, const lm_jvalue *node)
{
    for (int i = 0; i < 8; i++) {
        const lm_jvalue *ref = node->n == 1 ? lm_jvalue_member(node, "$ref") : NULL;
        if (!ref)
            break;
        const lm_jvalue *to = schema_follow(s, ref);
        if (!to)
            break;
        node = to;
    }
    return node;
}

static uint32_t schema_plain_types(lm_schema *s, const lm_jvalue *node)
{
    const lm_jvalue *type = lm_jvalue_member(node, "type"), *one = lm_jvalue_member(node, "const"), *some = lm_jvalue_member(node, "enum");
    bool whole;
    uint32_t types = type ? schema_types(s, type, &whole) : LM_TYPE_ANY, found = 0;
    if (one)
        types &= schema_type_of(one);
    for (const lm_jvalue *value = some && some->kind == LM_JSON_ARRAY ? some->child : NULL; value; value = value->next)
        found |= schema_type_of(value);
    return some ? types & found : types;
}

static bool schema_strings_meet(const lm_jvalue *a, const lm_jvalue *b)      /* const or enum each; strings among them */
{
    for (const lm_jvalue *x = a->kind == LM_JSON_ARRAY ? a->child : a; x; x = a->kind == LM_JSON_ARRAY ? x->next : NULL)
        for (const lm_jvalue *y = b->kind == LM_JSON_ARRAY ? b->child : b; y; y = b->kind == LM_JSON_ARRAY ? y->next : NULL)
            if (x->kind != LM_JSON_STRING || y->kind != LM_JSON_STRING || lm_str_same(x->text, y->text))
                return true;
    return false;
}

static bool schema_requires(const lm_jvalue *node, llm_str name)
{
    const lm_jvalue *required = lm_jvalue_member(node, "required");
    for (const lm_jvalue *one = required && required->kind == LM_JSON_ARRAY ? required->child : NULL; one; one = one->next)
        if (one->kind == LM_JSON_STRING && lm_str_same(one->text, name))
            return true;
    return false;
}

static bool schema_forbids(const lm_jvalue *node, llm_str name)
{
    const lm_jvalue *more = lm_jvalue_member(node, "additionalProperties");
    return more && more->kind == LM_JSON_FALSE && !lm_jvalue_member(node, "patternProperties") && !lm_jvalue_find(lm_jvalue_member(node, "properties"), name);
}

static bool schema_apart(lm_schema *s, const lm_jvalue *a, const lm_jvalue *b, uint32_t depth)
{
    a = schema_resolved(s, a);
    b = schema_resolved(s, b);
    if (depth > 8 || a->kind != LM_JSON_OBJECT || b->kind != LM_JSON_OBJECT || !lm_compile_work(s->c, 1 + a->n + b->n))
        return false;
    if ((s->old && (lm_jvalue_member(a, "$ref") || lm_jvalue_member(b, "$ref"))))
        return false;
    uint32_t types = schema_plain_types(s, a) & schema_plain_types(s, b);
    if (types == 0)
        return true;
    const lm_jvalue *x = lm_jvalue_member(a, "const"), *y = lm_jvalue_member(b, "const");
    x = x ? x : lm_jvalue_member(a, "enum");
    y = y ? y : lm_jvalue_member(b, "enum");
    if (x && y && !schema_strings_meet(x, y))
        return true;
    if (types != LM_TYPE_OBJECT)
        return false;
    for (int turn = 0; turn < 2; turn++) {
        const lm_jvalue *p = turn ? b : a, *q = turn ? a : b, *required = lm_jvalue_member(p, "required");
        for (const lm_jvalue *name = required && required->kind == LM_JSON_ARRAY ? required->child : NULL; name; name = name->next) {
            if (name->kind != LM_JSON_STRING)
                continue;
            if (schema_forbids(q, name->text))
                return true;
            const lm_jvalue *mine = lm_jvalue_find(lm_jvalue_member(p, "properties"), name->text), *yours = lm_jvalue_find(lm_jvalue_member(q, "properties"), name->text);
            if (mine && yours && schema_requires(q, name->text) && schema_apart(s, mine, yours, depth + 1))
                return true;
        }
    }
    return false;
}

/* ---- what a keyword says ---------------------------------------------------------------------------------------------------- */

/* Only the first of keywords that are looked at together counts. */
static bool schema_first(const lm_jvalue *value, const char *const *group, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const lm_jvalue *other = lm_jvalue_member(value->parent, group[i]);
        if (other)
            return other == value;
    }
    return false;
}
static const char *const schema_members_group[] = { "properties", "patternProperties", "additionalProperties" };
static const char *const schema_items_group[] = { "items", "prefixItems", "additionalItems" };

/* A schema's keyword holds. */
static void schema_say(lm_schema *s, lm_case *now, const schema_todo *from, const lm_jvalue *value, const schema_todo **list)
{
    const lm_jvalue *owner = value->parent;
    int word = schema_word_of(value->key);
    bool whole;
    switch (word) {
    case LM_WORD_NONE:
        lm_schema_refuse(s, value, "is no keyword that is supported");
        break;
    case LM_WORD_NOTE: case LM_WORD_THEN: case LM_WORD_ELSE: case LM_WORD_MIN_CONTAINS: case LM_WORD_MAX_CONTAINS:
        break;
    case LM_WORD_ID:
        if (owner != s->root)
            lm_schema_refuse(s, value, "inside of a schema is not supported");
        break;
    case LM_WORD_REF: {
        const lm_jvalue *to = schema_follow(s, value);
        if (to)
            *list = schema_also(s, *list, from, SCHEMA_DO_SCHEMA, to, false);
        break;
    }
    case LM_WORD_TYPE:
        now->types &= schema_types(s, value, &whole);
        now->whole |= whole;
        break;
    case LM_WORD_ENUM:
        if (schema_is_array(s, value))
            *list = schema_also(s, *list, from, SCHEMA_DO_ANY_VALUE, value, false);
        break;
    case LM_WORD_CONST:
        *list = schema_also(s, *list, from, SCHEMA_DO_VALUE, value, false);
        break;
    case LM_WORD_ALL_OF:
        for (const lm_jvalue *one = schema_is_list(s, value) ? value->child : NULL; one; one = one->next)
            *list = schema_also(s, *list, from, SCHEMA_DO_SCHEMA, one, false);
        break;
    case LM_WORD_ANY_OF: case LM_WORD_ONE_OF:
        if (schema_is_list(s, value))
            *list = schema_also(s, *list, from, word == LM_WORD_ANY_OF ? SCHEMA_DO_ANY : SCHEMA_DO_ONE, value, false);
        break;
    case LM_WORD_NOT:
        *list = schema_also(s, *list, from, SCHEMA_DO_SCHEMA, value, true);
        break;
    case LM_WORD_IF:
        if (lm_jvalue_member(owner, "then") || lm_jvalue_member(owner, "else"))
            *list = schema_also(s, *list, from, SCHEMA_DO_IF, owner, false);
        break;
    case LM_WORD_REQUIRED:
        for (const lm_jvalue *name = schema_is_names(s, value) ? value->child : NULL; name; name = name->next)
            schema_name_fact(s, now, LM_WORD_REQUIRED, value, name->text);
        break;
    case LM_WORD_DEPENDENT_REQUIRED: case LM_WORD_DEPENDENT_SCHEMAS: case LM_WORD_DEPENDENCIES:
        for (const lm_jvalue *one = schema_is_object(s, value) ? value->child : NULL; one; one = one->next)
            *list = schema_also(s, *list, from, SCHEMA_DO_DEPEND, one, false);
        break;
    case LM_WORD_PROPERTIES: case LM_WORD_PATTERNS: case LM_WORD_MORE_MEMBERS:
        if ((word == LM_WORD_MORE_MEMBERS || schema_is_object(s, value)) && schema_first(value, schema_members_group, LM_COUNT(schema_members_group)))
            schema_fact(s, now, LM_WORD_PROPERTIES, owner, false);
        break;
    case LM_WORD_ITEMS: case LM_WORD_PREFIX: case LM_WORD_MORE_ITEMS:
        if (word == LM_WORD_PREFIX && !schema_is_list(s, value))
            break;
        if (schema_first(value, schema_items_group, LM_COUNT(schema_items_group)))
            schema_fact(s, now, LM_WORD_ITEMS, owner, false);
        break;
    case LM_WORD_CONTAINS:
        schema_fact(s, now, LM_WORD_CONTAINS, owner, false);
        break;
    default:
        schema_fact(s, now, word, value, false);
    }
}

/* A branch of a denial: only objects, arrays ... can break such a keyword. */
static lm_case schema_only(lm_case now, uint32_t types)
{
    now.types &= types;
    return now;
}

static void schema_deny_items(lm_schema *s, lm_case now, const lm_jvalue *owner, const schema_todo *list, uint32_t depth)
{
    const lm_jvalue *prefix = lm_jvalue_member(owner, "prefixItems"), *items = lm_jvalue_member(owner, "items"), *rest = items;
    now = schema_only(now, LM_TYPE_ARRAY);
    if (!prefix && items && items->kind == LM_JSON_ARRAY) {
        prefix = items;
        rest = lm_jvalue_member(owner, "additionalItems");
    }
    uint32_t i = 0;
    for (const lm_jvalue *one = prefix ? prefix->child : NULL; one && now.types; one = one->next, i++) {
        lm_case branch = now;
        lm_fact *fact = schema_fact(s, &branch, LM_WORD_ELEMENT, one, false);
        if (fact) {
            fact->index = i;
            fact->claim = (lm_claim){ one, false, true };
        }
        schema_walk(s, branch, list, depth + 1);
    }
    if (!rest || rest->kind == LM_JSON_TRUE || now.types == 0)
        return;
    if (prefix) {
        lm_schema_refuse(s, rest, "behind items of their own cannot be negated (not, oneOf, if)");
        return;
    }
    lm_fact *fact = schema_fact(s, &now, LM_WORD_SOME, rest, false);
    if (fact)
        fact->claim = (lm_claim){ rest, false, true };
    schema_walk(s, now, list, depth + 1);
}

static void schema_deny_members(lm_schema *s, lm_case now, const lm_jvalue *owner, const schema_todo *list, uint32_t depth)
{
    const lm_jvalue *properties = lm_jvalue_member(owner, "properties"), *more = lm_jvalue_member(owner, "additionalProperties");
    const lm_jvalue *patterns = lm_jvalue_member(owner, "patternProperties");
    now = schema_only(now, LM_TYPE_OBJECT);
    for (const lm_jvalue *one = properties && now.types ? properties->child : NULL; one; one = one->next) {
        if (one->kind == LM_JSON_TRUE)
            continue;
        lm_case branch = now;
        schema_name_fact(s, &branch, LM_WORD_REQUIRED, one, one->key);
        lm_fact *fact = schema_fact(s, &branch, LM_WORD_MEMBER, one, false);
        if (fact) {
            fact->name = one->key;
            fact->claim = (lm_claim){ one, false, true };
        }
        schema_walk(s, branch, list, depth + 1);
    }
    if (now.types == 0)
        return;
    if (patterns && patterns->n)
        lm_schema_refuse(s, patterns, "cannot be negated (not, oneOf, if)");
    if (!more || more->kind == LM_JSON_TRUE)
        return;
    if (more->kind != LM_JSON_FALSE) {
        lm_schema_refuse(s, more, "that is a schema cannot be negated (not, oneOf, if)");
        return;
    }
    schema_fact(s, &now, LM_WORD_OTHER, owner, false);
    schema_walk(s, now, list, depth + 1);
}

/* A schema's keyword does not hold. */
static void schema_deny(lm_schema *s, lm_case now, const schema_todo *from, const lm_jvalue *value, const schema_todo *list, uint32_t depth)
{
    const lm_jvalue *owner = value->parent;
    int word = schema_word_of(value->key);
    uint32_t types;
    bool whole;
    depth++;
    switch (word) {
    case LM_WORD_NONE:
        lm_schema_refuse(s, value, "is no keyword that is supported");
        return;
    case LM_WORD_NOTE: case LM_WORD_THEN: case LM_WORD_ELSE: case LM_WORD_MIN_CONTAINS: case LM_WORD_MAX_CONTAINS:
        return;
    case LM_WORD_ID:
        lm_schema_refuse(s, value, "inside of a schema is not supported");
        return;
    case LM_WORD_REF: {
        const lm_jvalue *to = schema_follow(s, value);
        if (to)
            schema_walk(s, now, schema_also(s, list, from, SCHEMA_DO_SCHEMA, to, true), depth);
        return;
    }
    case LM_WORD_TYPE: {
        types = schema_types(s, value, &whole);
        lm_case other = schema_only(now, ~types);
        if (whole && (now.types & LM_TYPE_NUMBER)) {
            other.types |= LM_TYPE_NUMBER;
            other.broken = true;
        }
        schema_walk(s, other, list, depth);
        return;
    }
    case LM_WORD_ENUM:
        for (const lm_jvalue *one = schema_is_array(s, value) ? value->child : NULL; one; one = one->next)
            list = schema_also(s, list, from, SCHEMA_DO_VALUE, one, true);
        schema_walk(s, now, list, depth);
        return;
    case LM_WORD_CONST:
        schema_walk(s, now, schema_also(s, list, from, SCHEMA_DO_VALUE, value, true), depth);
        return;
    case LM_WORD_ALL_OF:
        if (schema_is_list(s, value))
            schema_walk(s, now, schema_also(s, list, from, SCHEMA_DO_ANY, value, true), depth);
        return;
    case LM_WORD_ANY_OF:
        for (const lm_jvalue *one = schema_is_list(s, value) ? value->child : NULL; one; one = one->next)
            list = schema_also(s, list, from, SCHEMA_DO_SCHEMA, one, true);
        schema_walk(s, now, list, depth);
        return;
    case LM_WORD_ONE_OF:
        if (schema_is_list(s, value))
            schema_walk(s, now, schema_also(s, list, from, SCHEMA_DO_NOT_ONE, value, false), depth);
        return;
    case LM_WORD_NOT:
        schema_walk(s, now, schema_also(s, list, from, SCHEMA_DO_SCHEMA, value, false), depth);
        return;
    case LM_WORD_IF:
        if (lm_jvalue_member(owner, "then") || lm_jvalue_member(owner, "else"))
            schema_walk(s, now, schema_also(s, list, from, SCHEMA_DO_IF, owner, true), depth);
        return;
    case LM_WORD_REQUIRED:
        now = schema_only(now, LM_TYPE_OBJECT);
        for (const lm_jvalue *name = schema_is_names(s, value) ? value->child : NULL; name && now.types; name = name->next) {
            lm_case branch = now;
            schema_name_fact(s, &branch, LM_WORD_ABSENT, value, name->text);
            schema_walk(s, branch, list, depth);
        }
        return;
    case LM_WORD_DEPENDENT_REQUIRED: case LM_WORD_DEPENDENT_SCHEMAS: case LM_WORD_DEPENDENCIES:
        for (const lm_jvalue *one = schema_is_object(s, value) ? value->child : NULL; one; one = one->next)
            schema_walk(s, now, schema_also(s, list, from, SCHEMA_DO_NOT_DEPEND, one, false), depth);
        return;
    case LM_WORD_PROPERTIES: case LM_WORD_PATTERNS: case LM_WORD_MORE_MEMBERS:
        if ((word == LM_WORD_MORE_MEMBERS || schema_is_object(s, value)) && schema_first(value, schema_members_group, LM_COUNT(schema_members_group)))
            schema_deny_members(s, now, owner, list, depth);
        return;
    case LM_WORD_ITEMS: case LM_WORD_PREFIX: case LM_WORD_MORE_ITEMS:
        if (word == LM_WORD_PREFIX && !schema_is_list(s, value))
            return;
        if (schema_first(value, schema_items_group, LM_COUNT(schema_items_group)))
            schema_deny_items(s, now, owner, list, depth);
        return;
    case LM_WORD_CONTAINS:
        now = schema_only(now, LM_TYPE_ARRAY);
        if (now.types && (lm_jvalue_member(owner, "minContains") || lm_jvalue_member(owner, "maxContains")))
            lm_schema_refuse(s, value, "with counts cannot be negated (not, oneOf, if)");
        else {
            lm_fact *fact = schema_fact(s, &now, LM_WORD_EACH, value, false);
            if (fact)
                fact->claim = (lm_claim){ value, false, true };
            schema_walk(s, now, list, depth);
        }
        return;
    case LM_WORD_UNIQUE:
        if (value->kind != LM_JSON_FALSE && (now.types & LM_TYPE_ARRAY))
            lm_schema_refuse(s, value, "is not supported");
        return;
    case LM_WORD_NAMES:
        if (now.types & LM_TYPE_OBJECT)
            lm_schema_refuse(s, value, "cannot be negated (not, oneOf, if)");
        return;
    default:
        types = word >= LM_WORD_MINIMUM && word <= LM_WORD_MULTIPLE ? LM_TYPE_NUMBER : word >= LM_WORD_MIN_LENGTH && word <= LM_WORD_FORMAT ? LM_TYPE_STRING
                : word == LM_WORD_MIN_ITEMS || word == LM_WORD_MAX_ITEMS ? LM_TYPE_ARRAY : LM_TYPE_OBJECT;
        now = schema_only(now, types);
        schema_fact(s, &now, word, value, true);
        schema_walk(s, now, list, depth);
    }
}

static void schema_value(lm_schema *s, lm_case *now, const lm_jvalue *value, bool negated)
{
    uint32_t type = schema_type_of(value);
    if (!negated)
        now->types &= type;
    else if (type & (LM_TYPE_NULL | LM_TYPE_FALSE | LM_TYPE_TRUE))
        now->types &= ~type;
    if (!(now->types & type) || value->kind < LM_JSON_NUMBER)
        return;
    if (negated && value->kind >= LM_JSON_ARRAY) {
        lm_compile_fail(s->c, LLM_E_UNSUPPORTED, value->at, "a constant that is an array or object cannot be negated (not, oneOf, if)");
        return;
    }
    schema_fact(s, now, LM_WORD_VALUE, value, negated);
}

static void schema_depend(lm_schema *s, lm_case now, const schema_todo *item, const schema_todo *list, uint32_t depth)
{
    const lm_jvalue *node = item->node;
    bool names = node->kind == LM_JSON_ARRAY;
    if (names && !schema_is_names(s, node))
        return;
    lm_case there = schema_only(now, LM_TYPE_OBJECT);
    schema_name_fact(s, &there, LM_WORD_REQUIRED, node, node->key);
    if (item->kind == SCHEMA_DO_NOT_DEPEND) {
        for (const lm_jvalue *name = names ? node->child : NULL; name && there.types; name = name->next) {
            lm_case branch = there;
            schema_name_fact(s, &branch, LM_WORD_ABSENT, node, name->text);
            schema_walk(s, branch, list, depth);
        }
        if (!names)
            schema_walk(s, there, schema_also(s, list, item, SCHEMA_DO_SCHEMA, node, true), depth);
        return;
    }
    schema_name_fact(s, &now, LM_WORD_ABSENT, node, node->key);
    schema_walk(s, now, list, depth);
    for (const lm_jvalue *name = names ? node->child : NULL; name; name = name->next)
        schema_name_fact(s, &there, LM_WORD_REQUIRED, node, name->text);
    schema_walk(s, there, names ? list : schema_also(s, list, item, SCHEMA_DO_SCHEMA, node, false), depth);
}

static void schema_one(lm_schema *s, lm_case now, const schema_todo *item, const schema_todo *list, uint32_t depth)
{
    const lm_jvalue *all = item->node;
    if (item->kind == SCHEMA_DO_NOT_ONE) {                  /* none, or two */
        const schema_todo *none = list;
        for (const lm_jvalue *a = all->child; a; a = a->next) {
            none = schema_also(s, none, item, SCHEMA_DO_SCHEMA, a, true);
            for (const lm_jvalue *b = a->next; b; b = b->next)
                if (!schema_apart(s, a, b, 0))
                    schema_walk(s, now, schema_also(s, schema_also(s, list, item, SCHEMA_DO_SCHEMA, a, false), item, SCHEMA_DO_SCHEMA, b, false), depth);
        }
        schema_walk(s, now, none, depth);
        return;
    }
    for (const lm_jvalue *one = all->child; one && s->c->status >= 0; one = one->next) {
        const schema_todo *then = list;
        for (const lm_jvalue *other = all->child; other; other = other->next)
            if (other != one && !schema_apart(s, one, other, 0))
                then = schema_also(s, then, item, SCHEMA_DO_SCHEMA, other, true);
        schema_walk(s, now, schema_also(s, then, item, SCHEMA_DO_SCHEMA, one, false), depth);
    }
}

static void schema_if(lm_schema *s, lm_case now, const schema_todo *item, const schema_todo *list, uint32_t depth)
{
    const lm_jvalue *test = lm_jvalue_member(item->node, "if");
    for (int turn = 0; turn < 2; turn++) {
        const lm_jvalue *then = lm_jvalue_member(item->node, turn ? "else" : "then");
        const schema_todo *todo = list;
        if (!then && item->negated)
            continue;
        if (then)
            todo = schema_also(s, todo, item, SCHEMA_DO_SCHEMA, then, item->negated);
        schema_walk(s, now, schema_also(s, todo, item, SCHEMA_DO_SCHEMA, test, turn != 0), depth);
    }
}

/* The beginning of a schema: false if nothing satisfies it, or on failure. */
static bool schema_enter(lm_schema *s, const schema_todo *item)
{
    const lm_jvalue *node = item->node;
    uint32_t n = 0;
    if (node->kind == LM_JSON_TRUE || node->kind == LM_JSON_FALSE)
        return (node->kind == LM_JSON_TRUE) != item->negated;
    if (node->kind != LM_JSON_OBJECT) {
        lm_compile_fail(s->c, LLM_E_FORMAT, node->at, "expected a schema: an object, true or false");
        return false;
    }
    for (const schema_todo *up = item->from; up; up = up->from)
        if ((up->kind == SCHEMA_DO_SCHEMA && up->node == node) || ++n > SCHEMA_MOST_DEPTH) {
            lm_compile_fail(s->c, LLM_E_FORMAT, node->at, "this schema refers to itself for one and the same value");
            return false;
        }
    const lm_jvalue *ref = s->old && node->n > 1 ? lm_jvalue_member(node, "$ref") : NULL;
    for (const lm_jvalue *other = ref ? node->child : NULL; other; other = other->next)
        if (other != ref && schema_word_of(other->key) != LM_WORD_NOTE) {
            lm_schema_refuse(s, other, "beside $ref does not count in this draft: leave it out");
            return false;
        }
    return true;
}

static void schema_walk(lm_schema *s, lm_case now, const schema_todo *list, uint32_t depth)
{
    if (depth > SCHEMA_MOST_DEPTH)
        lm_compile_fail(s->c, LLM_E_LIMIT, LLM_NUL, "more than %d choices within one another", SCHEMA_MOST_DEPTH);
    while (now.types != 0 && lm_compile_work(s->c, 4)) {
        const schema_todo *item = list;
        if (!item) {
            lm_case *one = ++s->n_cases <= SCHEMA_MOST_CASES ? lm_compile_new(s->c, 1, sizeof *one) : NULL;
            if (s->n_cases > SCHEMA_MOST_CASES)
                lm_compile_fail(s->c, LLM_E_LIMIT, LLM_NUL, "what holds of one value comes to more than %d cases", SCHEMA_MOST_CASES);
            if (!one)
                return;
            *one = now;
            one->next = s->cases;
            s->cases = one;
            return;
        }
        list = item->next;
        const lm_jvalue *node = item->node;
        if (item->kind == SCHEMA_DO_SCHEMA) {
            if (!schema_enter(s, item))
                return;
            for (const lm_jvalue *value = node->child; value && s->c->status >= 0 && node->kind == LM_JSON_OBJECT; value = value->next)
                if (item->negated)
                    schema_deny(s, now, item, value, list, depth);
                else
                    schema_say(s, &now, item, value, &list);
            if (item->negated && node->kind == LM_JSON_OBJECT)
                return;
        } else if (item->kind == SCHEMA_DO_VALUE) {
            schema_value(s, &now, node, item->negated);
        } else if (item->kind == SCHEMA_DO_ANY || item->kind == SCHEMA_DO_ANY_VALUE) {
            int kind = item->kind == SCHEMA_DO_ANY ? SCHEMA_DO_SCHEMA : SCHEMA_DO_VALUE;
            for (const lm_jvalue *one = node->child; one && s->c->status >= 0; one = one->next)
                schema_walk(s, now, schema_also(s, list, item, kind, one, item->negated), depth + 1);
            return;
        } else {
            if (item->kind == SCHEMA_DO_IF)
                schema_if(s, now, item, list, depth + 1);
            else if (item->kind == SCHEMA_DO_ONE || item->kind == SCHEMA_DO_NOT_ONE)
                schema_one(s, now, item, list, depth + 1);
            else
                schema_depend(s, now, item, list, depth + 1);
            return;
        }
    }
}

lm_case *lm_schema_cases(lm_schema *s, const lm_claims *claims)
{
    const schema_todo *list = NULL;
    s->cases = NULL;
    s->n_cases = 0;
    for (uint32_t i = claims->n; i-- > 0;)
        list = schema_also(s, list, NULL, claims->at[i].value ? SCHEMA_DO_VALUE : SCHEMA_DO_SCHEMA, claims->at[i].node, claims->at[i].negated);
    schema_walk(s, (lm_case){ .types = LM_TYPE_ANY }, list, 0);
    return s->c->status >= 0 ? s->cases : NULL;
}

void lm_schema_build(lm_net *net, const char *text, size_t len)
{
    lm_schema s = { .c = net->c, .net = net, .space = UINT32_MAX, .any_char = UINT32_MAX, .free_string = UINT32_MAX, .free_number = UINT32_MAX };
    lm_claims claims = { 0 };
    s.root = lm_document_read(net->c, text, len);
    if (!s.root)
        return;
    const lm_jvalue *draft = lm_jvalue_member(s.root, "$schema");
    bool known = !draft;
    for (size_t i = 0; draft && draft->kind == LM_JSON_STRING && i < draft->text.len; i++) {
        s.old |= draft->text.len - i > 7 && memcmp(draft->text.ptr + i, "draft-0", 7) == 0;
        known |= draft->text.len - i > 16 && memcmp(draft->text.ptr + i, "json-schema.org/", 16) == 0;
    }
    if (!known)
        lm_schema_refuse(&s, draft, "names another language than JSON Schema's drafts");
    lm_claims_add(&s, &claims, (lm_claim){ s.root, false, false });
    lm_schema_rule(&s, &claims);
    for (lm_shared_rule *rule = s.rules; rule && net->c->status >= 0; rule = rule->next)
        for (const lm_case *one = lm_schema_cases(&s, &rule->claims); one && net->c->status >= 0; one = one->next)
            lm_shape_build(&s, one, net->rules[rule->rule].start, net->rules[rule->rule].end);
}
