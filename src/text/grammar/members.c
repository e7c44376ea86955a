/* SPDX-License-Identifier: MIT
 * From a case to states: objects. Members that are named stand in the order in which the schema names them; then come those that are not, in
 * any order. States by how many names are behind, how many members there are (as far as that counts), and whether one was there that a
 * schema does not name, where a negation asks for it. Floor 3. */
#include "text/grammar/schema.h"

#include <string.h>

enum { MEMBERS_MOST_PATTERNS = 5, MEMBERS_MOST_NAMES = 4096 };

typedef struct members_name { llm_str name; bool required, absent; } members_name;

typedef struct members_object {
    lm_schema *s;
    const lm_case *one;
    members_name *names; uint32_t n_names, cap_names;
    uint32_t min, max;                  /* members; max UINT32_MAX: none */
    bool closed;                        /* a constant: nothing but what is named */
    const lm_jvalue *other;               /* OTHER: a member must be there that this schema does not name; or NULL */
    const lm_jvalue *patterns[MEMBERS_MOST_PATTERNS]; uint32_t n_patterns;
    lm_dfa *allowed;                    /* by propertyNames; NULL: all */
    uint32_t kinds, counts;             /* states of a row: [other was there][members, at most counts - 1] */
} members_object;

static members_name *members_add(members_object *o, llm_str name)
{
    lm_compile *c = o->s->c;
    for (uint32_t i = 0; i < o->n_names; i++)
        if (lm_str_same(o->names[i].name, name))
            return &o->names[i];
    lm_compile_work(c, o->n_names / 4 + 1);
    if (o->n_names == o->cap_names) {
        uint32_t cap = o->cap_names ? o->cap_names * 2 : 8;
        members_name *names = o->n_names < MEMBERS_MOST_NAMES ? lm_compile_new(c, cap, sizeof *names) : NULL;
        if (o->n_names >= MEMBERS_MOST_NAMES)
            lm_compile_fail(c, LLM_E_LIMIT, LLM_NUL, "an object with more than %d names", MEMBERS_MOST_NAMES);
        if (!names)
            return NULL;
        if (o->n_names)
            memcpy(names, o->names, o->n_names * sizeof *names);
        o->names = names;
        o->cap_names = cap;
    }
    o->names[o->n_names] = (members_name){ .name = name };
    return &o->names[o->n_names++];
}

static void members_add_all(members_object *o, const lm_jvalue *object)
{
    for (const lm_jvalue *one = object ? object->child : NULL; one && o->s->c->status >= 0; one = one->next)
        members_add(o, one->key);
}

/* What propertyNames says, as a set of names. */
static void members_allow(members_object *o, const lm_jvalue *schema)
{
    lm_schema *s = o->s;
    lm_claims claims = { 0 };
    lm_dfa *any = lm_dfa_of_length(s->c, 0, UINT32_MAX), *all = NULL;
    lm_claims_add(s, &claims, (lm_claim){ schema, false, false });
    for (const lm_case *one = lm_schema_cases(s, &claims); one && s->c->status >= 0; one = one->next) {
        if (!(one->types & LM_TYPE_STRING))
            continue;
        lm_dfa *part = lm_shape_string(s, one);
        part = part ? part : any;
        all = all ? lm_dfa_join(s->c, all, part, LM_DFA_OR) : part;
    }
    all = all ? all : lm_dfa_join(s->c, any, any, LM_DFA_BUT_NOT);
    o->allowed = o->allowed ? lm_dfa_join(s->c, o->allowed, all, LM_DFA_AND) : all;
}

static void members_add_patterns(members_object *o, const lm_jvalue *patterns)
{
    for (const lm_jvalue *one = patterns ? patterns->child : NULL; one; one = one->next) {
        uint32_t i = 0;
        while (i < o->n_patterns && !lm_str_same(o->patterns[i]->key, one->key))
            i++;
        if (i == MEMBERS_MOST_PATTERNS)
            lm_schema_refuse(o->s, patterns, "is supported for up to 5 expressions about an object");
        else if (i == o->n_patterns)
            o->patterns[o->n_patterns++] = one;
    }
}

static bool members_facts(members_object *o)
{
    lm_schema *s = o->s;
    /* Facts stand in the list last first; names are wanted in the order of the schema. */
    uint32_t n = 0, count;
    for (const lm_fact *fact = o->one->facts; fact; fact = fact->next)
        n++;
    const lm_fact **facts = lm_compile_new(s->c, n + 1, sizeof *facts);
    if (!facts)
        return false;
    for (const lm_fact *fact = o->one->facts; fact; fact = fact->next)
        facts[--n] = fact;
    for (uint32_t i = 0; facts[i] && s->c->status >= 0; i++) {
        const lm_fact *fact = facts[i];
        if (fact->word == LM_WORD_PROPERTIES || fact->word == LM_WORD_OTHER) {
            members_add_all(o, lm_jvalue_member(fact->node, "properties"));
            members_add_patterns(o, lm_jvalue_member(fact->node, "patternProperties"));
        }
        if (fact->word == LM_WORD_VALUE && fact->node->kind == LM_JSON_OBJECT)
            members_add_all(o, fact->node);
        if (fact->word == LM_WORD_OTHER) {
            if (o->other) {
                lm_compile_fail(s->c, LLM_E_UNSUPPORTED, fact->node->at, "\"additionalProperties\" can be negated once for an object (not, oneOf, if)");
                return false;
            }
            o->other = fact->node;
        }
    }
    for (uint32_t i = 0; facts[i] && s->c->status >= 0; i++) {
        const lm_fact *fact = facts[i];
        bool least = fact->word == LM_WORD_MIN_MEMBERS;
        members_name *name = fact->word == LM_WORD_REQUIRED || fact->word == LM_WORD_ABSENT || fact->word == LM_WORD_MEMBER ? members_add(o, fact->name) : NULL;
        if (name) {
            name->required |= fact->word == LM_WORD_REQUIRED;
            name->absent |= fact->word == LM_WORD_ABSENT;
        } else if (fact->word == LM_WORD_VALUE && fact->node->kind == LM_JSON_OBJECT) {
            for (const lm_jvalue *one = fact->node->child; one && (name = members_add(o, one->key)) != NULL; one = one->next)
                name->required = true;
            o->closed = true;
        } else if (fact->word == LM_WORD_NAMES) {
            members_allow(o, fact->node);
        } else if (least || fact->word == LM_WORD_MAX_MEMBERS) {
            if (!lm_schema_count(s, fact->node, &count))
                return false;
            if (least && fact->negated && count == 0)
                return false;
            if (least != fact->negated)
                o->min = LM_MAX(o->min, count + fact->negated);
            else
                o->max = LM_MIN(o->max, count - fact->negated);
        }
    }
    return s->c->status >= 0 && (o->max == UINT32_MAX || o->min <= o->max);
}

static bool members_matches(members_object *o, const lm_jvalue *pattern, llm_str name)
{
    lm_dfa *dfa = lm_schema_pattern(o->s, pattern, pattern->key, true);
    return dfa && lm_dfa_has(dfa, name.ptr, name.len);
}

static uint32_t members_pattern(const members_object *o, llm_str key)
{
    for (uint32_t i = 0; i < o->n_patterns; i++)
        if (lm_str_same(o->patterns[i]->key, key))
            return i;
    return 0;
}

/* What holds of a member that matches these patterns (bits); name NULL: one that is not named. */
static lm_claims members_claims(members_object *o, const llm_str *name, uint32_t matched)
{
    lm_schema *s = o->s;
    lm_claims claims = { 0 };
    for (const lm_fact *fact = o->one->facts; fact && s->c->status >= 0; fact = fact->next) {
        if (fact->word == LM_WORD_MEMBER && name && lm_str_same(fact->name, *name))
            lm_claims_add(s, &claims, fact->claim);
        if (fact->word == LM_WORD_VALUE && fact->node->kind == LM_JSON_OBJECT && name) {
            const lm_jvalue *value = lm_jvalue_find(fact->node, *name);
            if (value)
                lm_claims_add(s, &claims, (lm_claim){ value, true, false });
        }
        if (fact->word != LM_WORD_PROPERTIES)
            continue;
        const lm_jvalue *value = name ? lm_jvalue_find(lm_jvalue_member(fact->node, "properties"), *name) : NULL, *patterns = lm_jvalue_member(fact->node, "patternProperties");
        const lm_jvalue *more = lm_jvalue_member(fact->node, "additionalProperties");
        bool known = value != NULL;
        if (value)
            lm_claims_add(s, &claims, (lm_claim){ value, false, false });
        for (const lm_jvalue *one = patterns ? patterns->child : NULL; one; one = one->next)
            if (matched >> members_pattern(o, one->key) & 1) {
                lm_claims_add(s, &claims, (lm_claim){ one, false, false });
                known = true;
            }
        if (!known && more)
            lm_claims_add(s, &claims, (lm_claim){ more, false, false });
    }
    return claims;
}

/* Whether a member is one that `other` does not name. */
static bool members_is_other(members_object *o, const llm_str *name, uint32_t matched)
{
    const lm_jvalue *patterns = o->other ? lm_jvalue_member(o->other, "patternProperties") : NULL;
    if (!o->other || (name && lm_jvalue_find(lm_jvalue_member(o->other, "properties"), *name)))
        return false;
    for (const lm_jvalue *one = patterns ? patterns->child : NULL; one; one = one->next)
        if (matched >> members_pattern(o, one->key) & 1)
            return false;
    return true;
}

static uint32_t members_state(const members_object *o, const uint32_t *row, uint32_t kind, uint32_t count)
{
    return row[kind * o->counts + LM_MIN(count, o->counts - 1)];
}

/* From each state of a row to each of another, one member further: `key` to `done` is written once for each. */
static void members_step(members_object *o, const uint32_t *row, const uint32_t *then, bool other, const llm_str *name, const lm_dfa *keys, uint32_t rule)
{
    lm_schema *s = o->s;
    lm_net *net = s->net;
    for (uint32_t kind = 0; kind < o->kinds; kind++) {
        uint32_t shared = 0, shared_to = 0;
        for (uint32_t count = 0; count < o->counts && s->c->status >= 0; count++) {
            if (o->max != UINT32_MAX && count >= o->max)
                continue;
            uint32_t here = members_state(o, row, kind, count), to = members_state(o, then, other ? o->kinds - 1 : kind, count + 1), key = shared;
            if (!shared || shared_to != to) {
                uint32_t value = lm_net_state(net), colon = lm_net_state(net), after = lm_net_state(net);
                key = shared = lm_net_state(net);
                shared_to = to;
                if (name)
                    lm_shape_text(s, key, colon, *name);
                else if (!keys)
                    lm_net_call(net, key, colon, lm_shape_free_string(s));
                else {
                    uint32_t in = lm_net_state(net), out = lm_net_state(net);
                    lm_net_text(net, key, in, "\"", 1);
                    lm_dfa_build(net, keys, in, out, LM_CHARS_JSON, UINT32_MAX);
                    lm_net_text(net, out, colon, "\"", 1);
                }
                lm_net_text(net, colon, after, ":", 1);
                lm_shape_space(s, after, value);
                lm_net_call(net, value, to, rule);
            }
            if (count == 0)
                lm_net_empty(net, here, key);
            else {
                uint32_t comma = lm_net_state(net);
                lm_net_text(net, here, comma, ",", 1);
                lm_shape_space(s, comma, key);
            }
        }
    }
}

/* Members that no name names, by which patterns they match. */
static void members_others(members_object *o, const uint32_t *row)
{
    lm_schema *s = o->s;
    lm_dfa *keys = o->allowed;
    for (uint32_t i = 0; i < o->n_names && s->c->status >= 0; i++) {
        lm_dfa *name = lm_dfa_of_text(s->c, o->names[i].name.ptr, o->names[i].name.len);
        keys = lm_dfa_join(s->c, keys ? keys : lm_dfa_of_length(s->c, 0, UINT32_MAX), name, LM_DFA_BUT_NOT);
    }
    for (uint32_t matched = 0; matched < 1u << o->n_patterns && s->c->status >= 0; matched++) {
        lm_dfa *these = keys;
        for (uint32_t i = 0; i < o->n_patterns && s->c->status >= 0; i++)
            these = lm_dfa_join(s->c, these ? these : lm_dfa_of_length(s->c, 0, UINT32_MAX), lm_schema_pattern(s, o->patterns[i], o->patterns[i]->key, true),
                                matched >> i & 1 ? LM_DFA_AND : LM_DFA_BUT_NOT);
        lm_claims claims = members_claims(o, NULL, matched);
        if (s->c->status >= 0 && (!these || !lm_dfa_is_empty(s->c, these)))
            members_step(o, row, row, members_is_other(o, NULL, matched), NULL, these, lm_schema_rule(s, &claims));
    }
}

void lm_members_build(lm_schema *s, const lm_case *one, uint32_t from, uint32_t to)
{
    lm_net *net = s->net;
    members_object o = { .s = s, .one = one, .max = UINT32_MAX };
    if (!members_facts(&o))
        return;
    uint32_t n_required = 0, most = LM_MAX(1u, LM_MAX(o.min, o.max == UINT32_MAX ? 0 : o.max));
    for (uint32_t i = 0; i < o.n_names; i++) {
        n_required += o.names[i].required;
        if (o.names[i].required && o.names[i].absent)
            return;
    }
    /* Nothing keeps members without a name apart: two may be the same. So only one of them can count towards a least number. */
    if (o.min > n_required + 1 && !o.closed && !lm_dfa_is_empty(s->c, o.allowed ? o.allowed : lm_dfa_of_length(s->c, 0, UINT32_MAX))) {
        lm_claims claims = members_claims(&o, NULL, 0);
        bool others = o.n_patterns != 0;
        for (const lm_case *any = others ? NULL : lm_schema_cases(s, &claims); any && !others; any = any->next)
            others = true;
        if (others)
            lm_compile_fail(s->c, LLM_E_UNSUPPORTED, one->facts->node->at, "\"minProperties\" is supported up to one more than \"required\" has, or for objects with "
                            "\"additionalProperties\": false");
        if (s->c->status < 0)
            return;
    }
    o.kinds = o.other ? 2 : 1;
    o.counts = LM_MIN(most, LM_MAX(o.n_names, 1u) + (o.closed ? 0 : most)) + 1;
    uint64_t n_states = (uint64_t)(o.n_names + 1) * o.kinds * o.counts;
    if (n_states > LM_NET_MOST_STATES) {
        lm_compile_fail(s->c, LLM_E_LIMIT, LLM_NUL, "an object's names and numbers of members come to more than %d states", LM_NET_MOST_STATES);
        return;
    }
    uint32_t *rows = lm_compile_new(s->c, (size_t)n_states, sizeof *rows), width = o.kinds * o.counts, first = lm_net_state(net), end = lm_net_state(net);
    for (uint32_t i = 0; rows && i < n_states; i++)
        rows[i] = lm_net_state(net);
    if (!rows || s->c->status < 0)
        return;
    lm_net_text(net, from, first, "{", 1);
    lm_shape_space(s, first, rows[0]);
    for (uint32_t i = 0; i < o.n_names && lm_compile_work(s->c, width); i++) {
        const members_name *name = &o.names[i];
        const uint32_t *row = rows + (size_t)i * width, *then = row + width;
        uint32_t matched = 0;
        for (uint32_t k = 0; k < width && !name->required; k++)
            lm_net_empty(net, row[k], then[k]);
        for (uint32_t k = 0; k < o.n_patterns; k++)
            matched |= (uint32_t)members_matches(&o, o.patterns[k], name->name) << k;
        if (name->absent || (o.allowed && !lm_dfa_has(o.allowed, name->name.ptr, name->name.len)))
            continue;
        lm_claims claims = members_claims(&o, &name->name, matched);
        members_step(&o, row, then, members_is_other(&o, &name->name, matched), &name->name, NULL, lm_schema_rule(s, &claims));
    }
    const uint32_t *last = rows + (size_t)o.n_names * width;
    if (!o.closed && s->c->status >= 0)
        members_others(&o, last);
    for (uint32_t count = o.min; count < o.counts && s->c->status >= 0; count++) {
        uint32_t state = members_state(&o, last, o.kinds - 1, count);
        if (count == 0)
            lm_net_empty(net, state, end);
        else
            lm_shape_space(s, state, end);
    }
    lm_net_text(net, end, to, "}", 1);
}
