/* SPDX-License-Identifier: MIT
 * Messages as a template wants them. Programs give contents as texts or as parts, arguments as objects or as JSON in a string, a system message
 * to models that know none; templates differ, and say so by failing or by losing what they are given. What a template needs is found out by
 * conversation.c; here it is done. Private to text/chat. Floor 3. */
#ifndef LM_TEXT_CHAT_ADAPT_H
#define LM_TEXT_CHAT_ADAPT_H

#include "text/chat/value.h"

/* 0: contents are strings, arguments of calls objects, the content beside calls is never none. Else: */
enum {
    LM_ADAPT_PARTS = 1,                 /* contents are lists of {type: "text", text} */
    LM_ADAPT_SYSTEM = 2,                /* there is no system role: what it says stands before what the user says next */
    LM_ADAPT_MERGE = 4,                 /* user and assistant alternate: messages of the same role become one */
    LM_ADAPT_ARGS_TEXT = 8,             /* arguments are JSON in a string */
    LM_ADAPT_NULL = 16,                 /* an empty content beside calls is none */
    LM_ADAPT_IDS = 32,                  /* ids of calls are nine letters or digits */
    LM_ADAPT_CALLS_HERMES = 64,         /* calls are ignored: they become part of the content, in the form that the model writes */
    LM_ADAPT_CALLS_GRANITE = 128, LM_ADAPT_CALLS_LFM = 256,
    LM_ADAPT_TOOL = 512,                /* there is no tool role: the user tells what tools say */
    LM_ADAPT_CALLS = LM_ADAPT_CALLS_HERMES | LM_ADAPT_CALLS_GRANITE | LM_ADAPT_CALLS_LFM
};
/* list: dicts, each with a role, which are changed. */
bool lm_adapt_messages(lm_jinja *run, lm_val_list *list, uint32_t flags);

#endif
