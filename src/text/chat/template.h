/* SPDX-License-Identifier: MIT
 * Chat templates: a bounded interpreter of the part of Jinja that models' templates use, with the settings that they are written
 * for (trim_blocks, lstrip_blocks, loop controls, a tojson that escapes nothing for HTML). A template is data from outside: it
 * reaches nothing but the variables it is given, and every render ends within its limits. Floor 3.
 * Threads: a parsed template is read only; renders of it may run side by side. */
#ifndef LM_TEXT_CHAT_TEMPLATE_H
#define LM_TEXT_CHAT_TEMPLATE_H

#include "text/tokenizer.h"

#include "base/mem.h"
#include "base/status.h"

#include <stdbool.h>

typedef struct lm_template lm_template;

/* What a render may take. 0: the default. */
typedef struct lm_template_limits {
    uint64_t steps;                     /* nodes evaluated, items or 32 bytes looked at, 1 KiB copied; 10 million */
    uint32_t depth;                     /* calls and nested values; 100; at most 200 */
    uint32_t reserved;
    size_t   output_bytes;              /* of the text; 16 MiB */
    size_t   memory_bytes;              /* of all values together; 256 MiB */
} lm_template_limits;

typedef struct lm_template_time { int32_t year, month /* 1..12 */, day, hour, minute, second; } lm_template_time;

/* A variable: its value is `text`, as it is or as JSON, or a list of messages. All text is UTF-8. */
enum {
    LM_TEMPLATE_TEXT = 0, LM_TEMPLATE_JSON = 1, LM_TEMPLATE_MESSAGES = 2,
    LM_TEMPLATE_OWN = 3,                /* text that counts as the template's own: that of the model's tokens */
    LM_TEMPLATE_MEMBERS = 4             /* each member of a JSON object is a variable; `name` is for messages */
};
typedef struct lm_template_message { llm_str role, content, json /* an object: then the other two are absent */; } lm_template_message;
typedef struct lm_template_var {
    llm_str name, text;
    int32_t kind;
    uint32_t reserved;
    const lm_template_message *messages;
    size_t n_messages;
} lm_template_var;

typedef struct lm_template_options {
    lm_template_limits limits;
    /* The time for strftime_now; NULL: a template that asks for it is refused. */
    void (*now)(void *user, lm_template_time *out);
    void *user;
    uint32_t adapt;                     /* LM_ADAPT_* of adapt.h: what is done to messages before */
    bool mutable_values;                /* lists and dicts may be changed (append, pop, update ...): Jinja's sandbox forbids it */
} lm_template_options;

enum { LM_TEMPLATE_SOURCE_BYTES = 1 << 20, LM_TEMPLATE_PARSE_DEPTH = 100, LM_TEMPLATE_ELIFS = 500 };

/* Reads a template. E_FORMAT: not Jinja, with the line; E_UNSUPPORTED: a statement that we do not know; E_LIMIT: too long or
 * nested too deep; E_MEMORY. The text is copied. */
llm_status lm_template_parse(lm_mem *mem, const char *text, size_t len, lm_template **out, llm_error *error);
void       lm_template_free(lm_template *tpl);                                  /* NULL is fine */

/* What came out: a block of `mem` with a NUL behind the text, freed by its ptr. `own` (in the same block): the bytes that are the template's own
 * literals, bos_token's and its like, and roles that are words. All others came from messages, tools and variables, or may have. */
typedef struct lm_template_text { char *ptr; size_t len; const lm_span *own; size_t n_own; } lm_template_text;

/* Renders to *out. E_INVALID: the template refuses (raise_exception) or computes something
 * that is an error in Jinja, with the line; E_FORMAT: a variable's JSON; E_LIMIT, E_MEMORY. *out is set on success alone. */
llm_status lm_template_render(const lm_template *tpl, lm_mem *mem, const lm_template_var *vars, size_t n_vars,
                              const lm_template_options *options /* NULL: all defaults */, lm_template_text *out, llm_error *error);

/* Built-in templates by number (NULL: no more; the first is what a model without a template gets) and by name (NULL: none). */
const char *lm_template_builtin_name(size_t i);
const char *lm_template_builtin(const char *name, size_t len);
const char *lm_template_builtin_mark(size_t i);         /* a control token that vocabularies of its family have; or NULL */

#endif
