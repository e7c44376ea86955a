/* SPDX-License-Identifier: MIT
 * What stands between the signs of a call, in each of the forms that models write. Private to text/chat. Floor 3. */
#ifndef LM_TEXT_CHAT_CALLS_H
#define LM_TEXT_CHAT_CALLS_H

#include "text/chat/value.h"

typedef enum lm_call_form {
    LM_CALL_JSON,                       /* {"name": ..., "arguments": {...}}, several of them, or a list */
    LM_CALL_TAGS,                       /* <function=name> <parameter=key>value</parameter> ... </function> */
    LM_CALL_KEYS,                       /* name <arg_key>key</arg_key> <arg_value>value</arg_value> ... */
    LM_CALL_INVOKE,                     /* name="name"> <parameter name="key">value</parameter> ... */
    LM_CALL_ARGS,                       /* name[ARGS]{...}, name[CALL_ID]id[ARGS]{...}, or JSON */
    LM_CALL_SEPARATED,                  /* name, or "function", a sign, name; then JSON, fenced or not */
    LM_CALL_KIMI,                       /* functions.name:0 sign {...} */
    LM_CALL_NAMED,                      /* name>{...} */
    LM_CALL_PYTHON,                     /* [name(key="value", ...), ...] */
    LM_CALL_GEMMA,                      /* call:name{key:value, ...}, strings between signs of their own */
    LM_CALL_BODY                        /* {...}: the name stood before */
} lm_call_form;

/* Adds {name, arguments (a dict), id or none} of each call to `calls`. *is: whether it was one; nothing is added where not.
 * tools: a list, or undefined: what their schemas say tells text from other values. */
bool lm_calls_read(lm_jinja *run, lm_call_form form, llm_str text, llm_str name, lm_val tools, lm_val_list *calls, bool *is);

#endif
