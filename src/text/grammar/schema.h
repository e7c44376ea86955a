/* SPDX-License-Identifier: MIT
 * JSON Schema on its way into a net. What must hold of a value is a list of claims: schemas, constants, each perhaps negated. Claims become
 * cases (schema.c): sets of types with plain facts about each, of which one must hold. Cases become states (shape.c). A value's claims are
 * a rule of the net, made once and called wherever the same are made, so that recursion ends. Private to text/grammar. Floor 3. */
#ifndef LM_TEXT_GRAMMAR_SCHEMA_H
#define LM_TEXT_GRAMMAR_SCHEMA_H

#include "text/grammar/dfa.h"
#include "text/grammar/document.h"

enum { LM_TYPE_NULL = 1, LM_TYPE_FALSE = 2, LM_TYPE_TRUE = 4, LM_TYPE_NUMBER = 8, LM_TYPE_STRING = 16, LM_TYPE_ARRAY = 32, LM_TYPE_OBJECT = 64, LM_TYPE_ANY = 127 };

typedef enum lm_keyword {                  /* keywords */
    LM_WORD_NONE, LM_WORD_NOTE, LM_WORD_REF, LM_WORD_ID, LM_WORD_TYPE, LM_WORD_ENUM, LM_WORD_CONST, LM_WORD_ALL_OF, LM_WORD_ANY_OF, LM_WORD_ONE_OF,
    LM_WORD_NOT, LM_WORD_IF, LM_WORD_THEN, LM_WORD_ELSE,
    LM_WORD_MINIMUM, LM_WORD_MAXIMUM, LM_WORD_ABOVE, LM_WORD_BELOW, LM_WORD_MULTIPLE,
    LM_WORD_MIN_LENGTH, LM_WORD_MAX_LENGTH, LM_WORD_PATTERN, LM_WORD_FORMAT,
    LM_WORD_MIN_ITEMS, LM_WORD_MAX_ITEMS, LM_WORD_UNIQUE, LM_WORD_ITEMS, LM_WORD_PREFIX, LM_WORD_MORE_ITEMS, LM_WORD_CONTAINS, LM_WORD_MIN_CONTAINS,
    LM_WORD_MAX_CONTAINS,
    LM_WORD_MIN_MEMBERS, LM_WORD_MAX_MEMBERS, LM_WORD_REQUIRED, LM_WORD_PROPERTIES, LM_WORD_PATTERNS, LM_WORD_MORE_MEMBERS, LM_WORD_NAMES,
    LM_WORD_DEPENDENT_REQUIRED, LM_WORD_DEPENDENT_SCHEMAS, LM_WORD_DEPENDENCIES,
    /* facts that are no keywords */
    LM_WORD_VALUE,                      /* is, or is not, this constant */
    LM_WORD_ABSENT,                     /* no member of this name */
    LM_WORD_MEMBER,                     /* the claim holds of the member of this name, if it is there */
    LM_WORD_ELEMENT,                    /* the claim holds of the item at `index`, which is there */
    LM_WORD_EACH,                       /* the claim holds of every item */
    LM_WORD_SOME,                       /* the claim holds of some item */
    LM_WORD_OTHER                       /* a member is there that the schema's properties and patternProperties do not name */
} lm_keyword_id;

typedef struct lm_claim { const lm_jvalue *node; bool value, negated; } lm_claim;
typedef struct lm_claims { lm_claim *at; uint32_t n, cap; } lm_claims;

typedef struct lm_fact {
    struct lm_fact *next;
    int word;
    bool negated;
    const lm_jvalue *node;                /* the keyword's value; of PROPERTIES, ITEMS, CONTAINS, OTHER the schema in which they stand; VALUE: it */
    llm_str name;                       /* REQUIRED, ABSENT, MEMBER */
    uint32_t index;
    lm_claim claim;
} lm_fact;

typedef struct lm_case {
    struct lm_case *next;
    uint32_t types;
    bool whole, broken;                 /* numbers: without, with something behind the point */
    lm_fact *facts;
} lm_case;

typedef struct lm_shared_rule { struct lm_shared_rule *next; lm_claims claims; uint32_t rule; } lm_shared_rule;
typedef struct lm_shared_dfa { struct lm_shared_dfa *next; llm_str pattern; bool anywhere; lm_dfa *dfa; } lm_shared_dfa;

typedef struct lm_schema {
    lm_compile *c;
    lm_net *net;
    const lm_jvalue *root;
    bool old;                           /* a draft in which other keywords beside $ref do not count */
    uint32_t n_cases;                   /* of the claims in progress */
    lm_case *cases;
    lm_shared_rule *rules;              /* in the order in which they are built */
    lm_shared_dfa *dfas;
    uint32_t space, any_char, free_string, free_number;      /* rules; UINT32_MAX: not made yet */
} lm_schema;

/* A message about a keyword. */
void lm_schema_refuse(lm_schema *s, const lm_jvalue *value, const char *why);     /* UNSUPPORTED */
void lm_schema_wrong(lm_schema *s, const lm_jvalue *value, const char *expected); /* FORMAT */
bool lm_schema_count(lm_schema *s, const lm_jvalue *value, uint32_t *out);        /* a count of at least 0 */
void lm_claims_add(lm_schema *s, lm_claims *claims, lm_claim claim);
uint32_t lm_schema_rule(lm_schema *s, lm_claims *claims);
/* What the claims come to, any of which will do: NULL also if there are none. */
lm_case *lm_schema_cases(lm_schema *s, const lm_claims *claims);
lm_dfa *lm_schema_pattern(lm_schema *s, const lm_jvalue *node, llm_str pattern, bool anywhere);

/* shape.c */
void lm_shape_build(lm_schema *s, const lm_case *one, uint32_t from, uint32_t to);
lm_dfa *lm_shape_string(lm_schema *s, const lm_case *one);      /* NULL: any string, or failed */
/* members.c */
void lm_members_build(lm_schema *s, const lm_case *one, uint32_t from, uint32_t to);
void lm_shape_space(lm_schema *s, uint32_t from, uint32_t to);  /* white space, or none */
/* A text as a JSON string, between quotes. */
void lm_shape_text(lm_schema *s, uint32_t from, uint32_t to, llm_str text);
uint32_t lm_shape_free_string(lm_schema *s);
uint32_t lm_shape_any_char(lm_schema *s);

#endif
