/* SPDX-License-Identifier: MIT
 * JSON to a tree. Strict: RFC 8259, keys unique, no half surrogate pairs (they are no text). Floor 3. */
#include "text/grammar/document.h"

#include <string.h>

typedef struct document_reader { lm_compile *c; lm_json_scan scan; uint32_t depth; } document_reader;

static bool document_fail(document_reader *r, const char *what)
{
    lm_compile_fail(r->c, LLM_E_FORMAT, (size_t)(r->scan.at - r->scan.start), "this is no JSON: %s", what);
    return false;
}

static bool document_problem(document_reader *r)
{
    return document_fail(r, r->scan.problem);
}

static bool document_string(document_reader *r, llm_str *out)              /* behind the quote */
{
    size_t room;
    if (!lm_json_room(&r->scan, &room))
        return document_problem(r);
    char *text = lm_compile_new(r->c, room + 1, 1);
    if (!text)
        return false;
    out->ptr = text;
    return lm_json_string(&r->scan, text, &out->len) || document_problem(r);
}

static bool document_value(document_reader *r, lm_jvalue *node);

static bool document_children(document_reader *r, lm_jvalue *node)         /* behind the bracket */
{
    lm_jvalue **link = &node->child;
    int more;
    for (; (more = lm_json_more(&r->scan, node->kind, node->n == 0)) > 0; link = &(*link)->next) {
        lm_jvalue *child = lm_compile_new(r->c, 1, sizeof *child);
        if (!child || !lm_compile_work(r->c, 1))
            return false;
        if (node->kind == LM_JSON_OBJECT) {
            if (!lm_json_name(&r->scan))
                return document_problem(r);
            if (!document_string(r, &child->key))
                return false;
            if (!lm_compile_work(r->c, node->n / 4) || lm_jvalue_find(node, child->key))
                return r->c->status >= 0 && document_fail(r, "this key stands here for the second time");
            if (!lm_json_colon(&r->scan))
                return document_problem(r);
        }
        if (!document_value(r, child))
            return false;
        child->parent = node;
        *link = child;
        node->n++;
    }
    return more == 0 || document_problem(r);
}

static bool document_value(document_reader *r, lm_jvalue *node)
{
    bool ok, whole;
    lm_json_space(&r->scan);
    node->at = (size_t)(r->scan.at - r->scan.start);
    node->kind = lm_json_value(&r->scan);
    switch (node->kind) {
    case LM_JSON_NONE:
        return document_problem(r);
    case LM_JSON_NUMBER:
        return lm_json_number(&r->scan, &node->text, &whole) || document_problem(r);
    case LM_JSON_STRING:
        return document_string(r, &node->text);
    case LM_JSON_ARRAY: case LM_JSON_OBJECT:
        if (++r->depth > LM_NET_MOST_DEPTH) {
            lm_compile_fail(r->c, LLM_E_LIMIT, node->at, "more than %d values within one another", LM_NET_MOST_DEPTH);
            return false;
        }
        ok = document_children(r, node);
        r->depth--;
        return ok;
    default:
        return true;
    }
}

lm_jvalue *lm_document_read(lm_compile *c, const char *text, size_t len)
{
    document_reader r = { c, { .start = text, .at = text, .end = text + len }, 0 };
    lm_jvalue *root = lm_compile_new(c, 1, sizeof *root);
    if (!root || !document_value(&r, root))
        return NULL;
    return lm_json_over(&r.scan) || document_problem(&r) ? root : NULL;
}

const lm_jvalue *lm_jvalue_find(const lm_jvalue *object, llm_str key)
{
    if (object && object->kind == LM_JSON_OBJECT)
        for (const lm_jvalue *child = object->child; child; child = child->next)
            if (lm_str_same(child->key, key))
                return child;
    return NULL;
}

const lm_jvalue *lm_jvalue_member(const lm_jvalue *object, const char *key)
{
    return lm_jvalue_find(object, (llm_str){ key, strlen(key) });
}
