/* SPDX-License-Identifier: MIT
 * JSON as a tree, for schemas: strings decoded, numbers as their text, places for messages. Private to text/grammar. Floor 3. */
#ifndef LM_TEXT_GRAMMAR_DOCUMENT_H
#define LM_TEXT_GRAMMAR_DOCUMENT_H

#include "text/grammar/net.h"
#include "text/json_scan.h"

#include "base/str.h"

typedef struct lm_jvalue {
    int kind;                           /* LM_JSON_* */
    uint32_t n;                         /* children */
    size_t at;                          /* its byte in the text */
    llm_str key;                        /* of a member */
    llm_str text;                       /* STRING: decoded; NUMBER: as it stands there */
    struct lm_jvalue *child, *next, *parent;
} lm_jvalue;

lm_jvalue *lm_document_read(lm_compile *c, const char *text, size_t len);     /* NULL: failed */
const lm_jvalue *lm_jvalue_member(const lm_jvalue *object, const char *key);      /* NULL: none, or no object */
const lm_jvalue *lm_jvalue_find(const lm_jvalue *object, llm_str key);

#endif
