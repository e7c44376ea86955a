/* SPDX-License-Identifier: MIT
 * JSON as a tree, for schemas: strings decoded, numbers as their text, places for messages. Private to text/grammar. Floor 3. */
#ifndef LM_TEXT_GRAMMAR_DOCUMENT_H
#define LM_TEXT_GRAMMAR_DOCUMENT_H

#include "text/grammar/net.h"

enum { LM_NODE_NULL, LM_NODE_FALSE, LM_NODE_TRUE, LM_NODE_NUMBER, LM_NODE_STRING, LM_NODE_ARRAY, LM_NODE_OBJECT };

typedef struct lm_jvalue {
    int kind;
    uint32_t n;                         /* children */
    size_t at;                          /* its byte in the text */
    llm_str key;                        /* of a member */
    llm_str text;                       /* STRING: decoded; NUMBER: as it stands there */
    struct lm_jvalue *child, *next, *parent;
} lm_jvalue;

lm_jvalue *lm_document_read(lm_compile *c, const char *text, size_t len);     /* NULL: failed */
const lm_jvalue *lm_jvalue_member(const lm_jvalue *object, const char *key);      /* NULL: none, or no object */
const lm_jvalue *lm_jvalue_find(const lm_jvalue *object, llm_str key);
static inline bool lm_str_same(llm_str a, llm_str b) { return a.len == b.len && (a.len == 0 || __builtin_memcmp(a.ptr, b.ptr, a.len) == 0); }

#endif
