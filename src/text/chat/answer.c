/* SPDX-License-Identifier: MIT
 * Replies, taken apart: see answer.h. Floor 3. */
#include "text/chat/answer.h"

#include "text/chat/calls.h"

#include "base/size.h"

#include <string.h>

/* ---- signs, by what a template's text has in it */

enum { ANSWER_THINK, ANSWER_CALL, ANSWER_DROP, ANSWER_HEAD };
enum { ANSWER_WITH_TOOLS = 1, ANSWER_AT_START = 2, ANSWER_UNLESS = 4 };
#define BAR "\xef\xbd\x9c"              /* the wide | and the block of DeepSeek's tokens */
#define BLK "\xe2\x96\x81"

/* needle: in the template, or the sign is not looked for; of the same `open` the first row counts. close: any of several, \f between them;
 * one that begins a call of its own is left where it is; NULL: the end of the reply. */
typedef struct answer_rule { const char *needle, *open, *close; uint8_t kind, form, flags; } answer_rule;
static const answer_rule answer_rules[] = {
    { "</think>", "<think>", "</think>", ANSWER_THINK, 0, 0 },
    { "[/THINK]", "[THINK]", "[/THINK]", ANSWER_THINK, 0, 0 },
    { "</seed:think>", "<seed:think>", "</seed:think>", ANSWER_THINK, 0, 0 },
    { "</mm:think>", "<mm:think>", "</mm:think>", ANSWER_THINK, 0, 0 },
    { "<|END_THINKING|>", "<|START_THINKING|>", "<|END_THINKING|>", ANSWER_THINK, 0, 0 },
    { "<channel|>", "<|channel>thought\n", "<channel|>", ANSWER_THINK, 0, 0 },
    { "[BEGIN FINAL RESPONSE]", "Here are my reasoning steps:\n", "[BEGIN FINAL RESPONSE]", ANSWER_THINK, 0, 0 },
    { "<parameter=", "<tool_call>", "</tool_call>", ANSWER_CALL, LM_CALL_TAGS, 0 },
    { "<arg_key>", "<tool_call>", "</tool_call>", ANSWER_CALL, LM_CALL_KEYS, 0 },
    { "<tool_call>", "<tool_call>", "</tool_call>", ANSWER_CALL, LM_CALL_JSON, 0 },
    { "<seed:tool_call>", "<seed:tool_call>", "</seed:tool_call>", ANSWER_CALL, LM_CALL_TAGS, 0 },
    { "[TOOL_CALLS]", "[TOOL_CALLS]", "[TOOL_CALLS]", ANSWER_CALL, LM_CALL_ARGS, 0 },
    { "<" BAR "tool" BLK "call" BLK "begin" BAR ">", "<" BAR "tool" BLK "call" BLK "begin" BAR ">", "<" BAR "tool" BLK "call" BLK "end" BAR ">", ANSWER_CALL, LM_CALL_SEPARATED, 0 },
    { "<" BAR "tool" BLK "calls" BLK "begin" BAR ">", "<" BAR "tool" BLK "calls" BLK "begin" BAR ">", NULL, ANSWER_DROP, 0, 0 },
    { "<" BAR "tool" BLK "calls" BLK "begin" BAR ">", "<" BAR "tool" BLK "calls" BLK "end" BAR ">", NULL, ANSWER_DROP, 0, 0 },
    { "<|tool_call_begin|>", "<|tool_call_begin|>", "<|tool_call_end|>", ANSWER_CALL, LM_CALL_KIMI, 0 },
    { "<|tool_call_begin|>", "<|tool_calls_section_begin|>", NULL, ANSWER_DROP, 0, 0 },
    { "<|tool_call_begin|>", "<|tool_calls_section_end|>", NULL, ANSWER_DROP, 0, 0 },
    { BAR "DSML" BAR, "<" BAR "DSML" BAR "invoke ", "</" BAR "DSML" BAR "invoke>", ANSWER_CALL, LM_CALL_INVOKE, 0 },
    { BAR "DSML" BAR, "<" BAR "DSML" BAR "function_calls>", NULL, ANSWER_DROP, 0, 0 }, { BAR "DSML" BAR, "</" BAR "DSML" BAR "function_calls>", NULL, ANSWER_DROP, 0, 0 },
    { BAR "DSML" BAR, "<" BAR "DSML" BAR "tool_calls>", NULL, ANSWER_DROP, 0, 0 }, { BAR "DSML" BAR, "</" BAR "DSML" BAR "tool_calls>", NULL, ANSWER_DROP, 0, 0 },
    { "<minimax:tool_call>", "<invoke ", "</invoke>", ANSWER_CALL, LM_CALL_INVOKE, 0 },
    { "<minimax:tool_call>", "<minimax:tool_call>", NULL, ANSWER_DROP, 0, 0 }, { "<minimax:tool_call>", "</minimax:tool_call>", NULL, ANSWER_DROP, 0, 0 },
    { "<function name=", "<function ", "</function>", ANSWER_CALL, LM_CALL_INVOKE, 0 },
    { "<parameter=", "<function=", NULL, ANSWER_DROP, 0, ANSWER_UNLESS },       /* inside of <tool_call>: no sign of its own */
    { "<function=", "<function=", "</function>", ANSWER_CALL, LM_CALL_NAMED, 0 },
    { "<|tool_call|>", "<|tool_call|>", NULL, ANSWER_CALL, LM_CALL_JSON, 0 },
    { "<|START_ACTION|>", "<|START_ACTION|>", "<|END_ACTION|>", ANSWER_CALL, LM_CALL_JSON, 0 },
    { "<|START_RESPONSE|>", "<|START_RESPONSE|>", NULL, ANSWER_DROP, 0, 0 }, { "<|START_RESPONSE|>", "<|END_RESPONSE|>", NULL, ANSWER_DROP, 0, 0 },
    { "<|START_TEXT|>", "<|START_TEXT|>", NULL, ANSWER_DROP, 0, 0 }, { "<|START_TEXT|>", "<|END_TEXT|>", NULL, ANSWER_DROP, 0, 0 },
    { "functools[", "functools", NULL, ANSWER_CALL, LM_CALL_JSON, ANSWER_AT_START },
    { "<|tools_prefix|>", "<|tools_prefix|>", "<|tools_suffix|>", ANSWER_CALL, LM_CALL_JSON, 0 },
    { "<tool_calls>", "<tool_calls>", "</tool_calls>", ANSWER_CALL, LM_CALL_JSON, 0 },
    { "<|tool_list_start|>", "<|tool_call_start|>", "<|tool_call_end|>", ANSWER_CALL, LM_CALL_PYTHON, 0 },
    { "<|tool_call_start|>", "<|tool_call_start|>", "<|tool_call_end|>", ANSWER_CALL, LM_CALL_PYTHON, 0 },
    { "List of tools: [", "<|tool_call_start|>", "<|tool_call_end|>", ANSWER_CALL, LM_CALL_PYTHON, 0 },
    { "<|tool_call>call:", "<|tool_call>", "<tool_call|>", ANSWER_CALL, LM_CALL_GEMMA, 0 },
    { "<|function_call|>", "<|function_call|>", NULL, ANSWER_CALL, LM_CALL_JSON, 0 },
    { "function call<|role_sep|>", "function call<|role_sep|>", NULL, ANSWER_CALL, LM_CALL_JSON, 0 },
    { "<|python_tag|>", "<|python_tag|>", NULL, ANSWER_CALL, LM_CALL_PYTHON, 0 },
    { "\"parameters\": ", "{", NULL, ANSWER_CALL, LM_CALL_JSON, ANSWER_WITH_TOOLS | ANSWER_AT_START },
    { "<|channel|>", "<|channel|>", "<|message|>", ANSWER_HEAD, 0, 0 },
    { "<|channel|>", "<|start|>", "<|message|>", ANSWER_HEAD, 0, 0 },
    { ">>>all", ">>>", "\n", ANSWER_HEAD, 0, 0 },
};
#undef BAR
#undef BLK
enum { ANSWER_RULES = LM_COUNT(answer_rules) };

enum { ANSWER_SAYS, ANSWER_THINKS, ANSWER_CALLS, ANSWER_IN_HEAD };     /* state */

struct lm_answer {
    lm_mem *mem;
    llm_str tools;
    char *text;                         /* [at, n) is undecided */
    size_t at, n, cap;
    size_t looked;                      /* of a call: no end of it before this byte */
    uint8_t rules[ANSWER_RULES]; uint32_t n_rules;
    const answer_rule *rule;            /* of the call, reasoning or head that we are in */
    const answer_rule *head;            /* the family's, or NULL */
    int32_t state;
    bool edge;                          /* white space is dropped: a sign stood before it */
    bool begun;                         /* something was said: signs that stand only at the start are past */
    char name[128]; uint32_t n_name;    /* of a call whose name stood in a head */
    lm_jinja run;                       /* the calls of the last block live in its arena */
    bool running;
    lm_val_list *calls; size_t next_call;
    lm_text args;
};

/* ---- life */

static bool answer_has(llm_str source, const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i + n <= source.len; i++)
        if (source.ptr[i] == text[0] && memcmp(source.ptr + i, text, n) == 0)
            return true;
    return false;
}

llm_status lm_answer_new(lm_mem *mem, llm_str source, llm_str tools, lm_answer **out, llm_error *error)
{
    lm_answer *a = lm_mem_new(mem, sizeof *a, LLM_MEMORY_OTHER);
    if (!a)
        return lm_fail_memory(error, "the parser of replies", sizeof *a);
    a->mem = mem;
    a->tools = tools;
    for (uint32_t i = 0; i < ANSWER_RULES; i++) {
        const answer_rule *rule = &answer_rules[i];
        bool wanted = answer_has(source, rule->needle) && (!(rule->flags & ANSWER_WITH_TOOLS) || tools.ptr);
        if (rule->open[0] == '{')       /* Llama's alone */
            wanted = wanted && answer_has(source, "<|start_header_id|>");
        for (uint32_t k = 0; k < a->n_rules && wanted; k++)
            wanted = strcmp(answer_rules[a->rules[k]].open, rule->open) != 0;
        if (!wanted)
            continue;
        a->rules[a->n_rules++] = (uint8_t)i;
        if (rule->kind == ANSWER_HEAD && !a->head)
            a->head = rule;
    }
    lm_answer_begin(a, (llm_str){ "", 0 });
    *out = a;
    return LLM_OK;
}

static void answer_forget(lm_answer *a)
{
    if (a->running)
        lm_arena_free(&a->run.arena);
    a->running = false;
    a->calls = NULL;
}

void lm_answer_free(lm_answer *a)
{
    if (!a)
        return;
    answer_forget(a);
    lm_mem_free(a->mem, a->text);
    lm_mem_free(a->mem, a);
}

static bool answer_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

void lm_answer_begin(lm_answer *a, llm_str prompt)
{
    answer_forget(a);
    a->at = a->n = a->looked = 0;
    a->state = a->head ? ANSWER_IN_HEAD : ANSWER_SAYS;
    a->rule = a->head;
    a->edge = a->begun = false;
    a->n_name = 0;
    while (prompt.len && answer_space(prompt.ptr[prompt.len - 1]))
        prompt.len--;
    for (uint32_t i = 0; i < a->n_rules; i++) {
        const answer_rule *rule = &answer_rules[a->rules[i]];
        size_t n = strlen(rule->open);
        while (n && answer_space(rule->open[n - 1]))
            n--;
        if (rule->kind == ANSWER_THINK && prompt.len >= n && memcmp(prompt.ptr + prompt.len - n, rule->open, n) == 0) {
            a->state = ANSWER_THINKS;
            a->rule = rule;
            a->edge = true;
        }
    }
}

llm_status lm_answer_reserve(lm_answer *a, size_t len, llm_error *error)
{
    uint64_t n;
    if (a->at) {                        /* what was given out goes */
        memmove(a->text, a->text + a->at, a->n - a->at);
        a->n -= a->at;
        a->looked -= LM_MIN(a->looked, a->at);
        a->at = 0;
    }
    if (!lm_add_u64(a->n, len, &n) || n > INT32_MAX)
        return lm_fail(error, LLM_E_LIMIT, "a reply's undecided part is longer than 2 GiB");
    if (n > a->cap) {
        size_t cap = LM_MAX(a->cap * 2, (size_t)n + 256);
        char *grown = lm_mem_grow(a->mem, a->text, cap, LLM_MEMORY_OTHER);
        if (!grown)
            return lm_fail_memory(error, "a reply's text", cap);
        a->text = grown;
        a->cap = cap;
    }
    return LLM_OK;
}

llm_status lm_answer_feed(lm_answer *a, const char *text, size_t len, llm_error *error)
{
    LM_TRY(lm_answer_reserve(a, len, error));
    if (len)
        memcpy(a->text + a->n, text, len);
    a->n += len;
    return LLM_OK;
}

/* ---- signs in the text */

/* 1: it stands here; 0: it does not; -1: it may, when more comes. */
static int answer_match(const char *at, const char *end, const char *sign, size_t n)
{
    size_t most = LM_MIN((size_t)(end - at), n);
    return memcmp(at, sign, most) != 0 ? 0 : most == n ? 1 : -1;
}

/* The same for any of several, \f between them; *n: bytes of the one. */
static int answer_match_any(const char *at, const char *end, const char *signs, size_t *n)
{
    int found = 0;
    for (; signs; signs = *n < strlen(signs) ? signs + *n + 1 : NULL) {
        int now;
        *n = strcspn(signs, "\f");
        now = answer_match(at, end, signs, *n);
        if (now > 0)
            return 1;
        found = now ? now : found;
    }
    return found;
}

/* What stands at `at` for a reply in this state: the longest sign. */
static int answer_sign(const lm_answer *a, size_t at, bool final, const answer_rule **rule, size_t *n)
{
    const char *end = a->text + a->n;
    int found = 0;
    *n = 0;
    if (a->state == ANSWER_THINKS && a->rule->kind == ANSWER_THINK && (found = answer_match_any(a->text + at, end, a->rule->close, n)) != 0) {
        *rule = NULL;
        return found;
    }
    for (uint32_t i = 0; i < a->n_rules; i++) {
        const answer_rule *row = &answer_rules[a->rules[i]];
        size_t len = strlen(row->open);
        int now;
        if ((row->flags & ANSWER_UNLESS) || (a->state == ANSWER_THINKS && row->kind == ANSWER_THINK) || ((row->flags & ANSWER_AT_START) && a->begun))
            continue;
        now = answer_match(a->text + at, end, row->open, len);
        if (now < 0 && !final)
            return -1;                  /* a longer one may stand here */
        if (now > 0 && len > *n) {
            *rule = row;
            *n = len;
            found = 1;
        }
    }
    if (!found && a->head && a->head->close[0] == '<')
        found = answer_match_any(a->text + at, end, "<|end|>\f<|call|>\f<|return|>", n), *rule = a->head;
    return found;
}

/* ---- calls */

static llm_status answer_read_call(lm_answer *a, const char *text, size_t len, bool *is, llm_error *error)
{
    static const lm_template_options plain;
    lm_val tools = lm_val_undefined((llm_str){ "", 0 });
    llm_status status;
    answer_forget(a);
    a->run = (lm_jinja){ .error = error, .options = &plain, .steps = 10000000, .limits = { 10000000, 100, 0, 16 << 20, 256 << 20 } };
    lm_arena_init(&a->run.arena, a->mem, LLM_MEMORY_OTHER);
    a->running = true;
    a->next_call = 0;
    *is = (!a->tools.ptr || lm_json_read(&a->run, a->tools.ptr, a->tools.len, &tools)) && lm_list_new(&a->run, 0, &a->calls)
          && lm_calls_read(&a->run, a->rule->kind == ANSWER_HEAD ? LM_CALL_BODY : (lm_call_form)a->rule->form, (llm_str){ text, len },
                           (llm_str){ a->name, a->n_name }, tools, a->calls, is)
          && *is && a->calls->n != 0;
    status = a->run.status == LLM_E_MEMORY ? LLM_E_MEMORY : LLM_OK;     /* what passes the limits is no call */
    if (!*is)
        answer_forget(a);
    return status;
}

static llm_status answer_give_call(lm_answer *a, lm_answer_event *out)
{
    static const lm_json_style style = { .item = { .s = ", ", .len = 2, .kind = LM_VAL_STR }, .key = { .s = ": ", .len = 2, .kind = LM_VAL_STR } };
    lm_val_list *call = a->calls->at[a->next_call].list;
    lm_text args = { 0 };
    if (!lm_json_write(&a->run, &args, &style, call->at[1], 0))
        return a->run.status;
    a->next_call++;
    *out = (lm_answer_event){ .kind = LM_ANSWER_CALL, .text = { args.ptr, args.len }, .name = { call->at[0].s, call->at[0].len } };
    if (call->at[2].kind == LM_VAL_STR)
        out->id = (llm_str){ call->at[2].s, call->at[2].len };
    return LLM_OK;
}

/* In a call: looks for its end, and takes it apart. *done: one was found. `from`: where its sign begins, for a text that is none. */
static llm_status answer_call(lm_answer *a, bool final, bool *done, lm_answer_event *out, llm_error *error)
{
    size_t begin = a->at + (a->rule->kind == ANSWER_CALL && a->rule->open[0] != '{' ? strlen(a->rule->open) : 0), to = a->n, n = 0;
    const char *close = a->rule->kind == ANSWER_HEAD ? (a->rule->close[0] == '<' ? "<|call|>\f<|end|>\f<|return|>\f<|start|>\f<|channel|>" : ">>>") : a->rule->close;
    bool is, again, found = false;
    *done = false;
    for (size_t i = LM_MAX(a->looked, begin); close && i < a->n && !found; i++) {
        int now = answer_match_any(a->text + i, a->text + a->n, close, &n);
        if (now < 0 && !final) {
            a->looked = i;
            return LLM_OK;
        }
        found = now > 0;
        to = i;
    }
    if (!found) {
        a->looked = a->n;
        to = a->n;
        n = 0;
        if (!final)
            return LLM_OK;
    }
    again = found && (a->text[to] == '[' || a->text[to] == '>' || memcmp(a->text + to, "<|start|>", LM_MIN(n, (size_t)9)) == 0 || memcmp(a->text + to, "<|channel|>", LM_MIN(n, (size_t)11)) == 0);
    LM_TRY(answer_read_call(a, a->text + begin, to - begin, &is, error));
    to += again ? 0 : n;
    if (!is && to > a->at)
        *out = (lm_answer_event){ .kind = LM_ANSWER_TEXT, .text = { a->text + a->at, to - a->at } };
    a->at = to;
    a->looked = 0;
    a->state = ANSWER_SAYS;
    a->edge = is;
    a->begun = true;
    *done = true;
    return LLM_OK;
}

/* ---- heads: who speaks, and to whom */

static void answer_head_read(lm_answer *a, const char *head, size_t len)
{
    static const char functions[] = "functions.";
    const char *to = NULL, *end = head + len;
    a->n_name = 0;
    if (a->rule->close[0] == '<') {
        for (const char *c = head; c + 3 <= end && !to; c++)
            if (memcmp(c, "to=", 3) == 0)
                to = c + 3;
    } else if (!(len == 3 && memcmp(head, "all", 3) == 0)) {
        to = head;
    }
    if (to) {
        if ((size_t)(end - to) > sizeof functions - 1 && memcmp(to, functions, sizeof functions - 1) == 0)
            to += sizeof functions - 1;
        for (; to < end && *to != ' ' && *to != '<' && *to != '\n' && a->n_name < sizeof a->name; to++)
            a->name[a->n_name++] = *to;
    }
    a->state = a->n_name ? ANSWER_CALLS : ANSWER_SAYS;
    for (const char *c = head; a->state == ANSWER_SAYS && c + 8 <= end; c++)
        if (memcmp(c, "analysis", 8) == 0)
            a->state = ANSWER_THINKS;
}

/* True: the head was read, or can be no head. */
static bool answer_head(lm_answer *a, bool final)
{
    for (size_t i = a->at; i < a->n; i++) {
        size_t n = 0;
        int now = answer_match_any(a->text + i, a->text + a->n, a->rule->close, &n);
        if (now < 0 && !final)
            return false;
        if (now > 0) {
            answer_head_read(a, a->text + a->at, i - a->at);
            a->at = a->looked = i + n;
            return true;
        }
    }
    if (final)
        a->state = ANSWER_SAYS;         /* it was none: text */
    return final;
}

/* ---- the next event */

static void answer_take_sign(lm_answer *a, const answer_rule *rule, size_t n)
{
    a->edge = true;
    if (!rule) {                        /* the end of reasoning */
        a->state = ANSWER_SAYS;
        a->at += n;
    } else if (rule->kind == ANSWER_CALL) {
        a->state = ANSWER_CALLS;        /* from its sign on, in case that it is none */
        a->rule = rule;
        a->looked = 0;
    } else {
        a->at += n;
        a->begun = a->begun || rule->kind != ANSWER_DROP;
        if (rule->kind == ANSWER_THINK)
            a->state = ANSWER_THINKS;
        if (rule->kind == ANSWER_HEAD) {
            a->state = ANSWER_IN_HEAD;
            a->edge = false;
        }
        if (rule->kind != ANSWER_DROP)
            a->rule = rule;
    }
}

llm_status lm_answer_next(lm_answer *a, bool final, lm_answer_event *out, llm_error *error)
{
    *out = (lm_answer_event){ 0 };
    if (a->calls && a->next_call < a->calls->n) {
        llm_status status = answer_give_call(a, out);
        return status == LLM_OK ? status : lm_fail(error, status, "a call's arguments do not fit into memory");
    }
    while (a->at < a->n || a->state == ANSWER_CALLS) {
        const answer_rule *rule = NULL;
        size_t to, spoken, n = 0;
        int sign = 0;
        bool done;
        if (a->state == ANSWER_IN_HEAD) {
            if (!answer_head(a, final))
                return LLM_OK;
            continue;
        }
        if (a->state == ANSWER_CALLS) {
            if (a->at == a->n && !final)
                return LLM_OK;
            LM_TRY(answer_call(a, final, &done, out, error));
            if (!done || out->kind)
                return LLM_OK;
            if (a->calls)
                return lm_answer_next(a, final, out, error);
            continue;
        }
        while (a->edge && a->at < a->n && answer_space(a->text[a->at]))
            a->at++;
        for (to = a->at; to < a->n; to++) {
            sign = answer_sign(a, to, final, &rule, &n);
            if (sign > 0 || (sign < 0 && !final))
                break;
            a->edge = false;
            a->begun = a->begun || !answer_space(a->text[to]);
        }
        /* White space waits for what follows it: before a sign it is dropped, as where reasoning ends. */
        for (spoken = to; spoken > a->at && answer_space(a->text[spoken - 1]);)
            spoken--;
        if (final && to == a->n && a->state == ANSWER_SAYS)
            spoken = to;
        if (a->head)
            spoken = to;                /* its signs stand where they must */
        if (spoken > a->at) {
            *out = (lm_answer_event){ .kind = a->state == ANSWER_THINKS ? LM_ANSWER_REASONING : LM_ANSWER_TEXT, .text = { a->text + a->at, spoken - a->at } };
            a->at = spoken;
            return LLM_OK;
        }
        if (to == a->n || sign < 0)
            return LLM_OK;
        a->at = to;
        answer_take_sign(a, rule, n);
    }
    return LLM_OK;
}
