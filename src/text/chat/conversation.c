/* SPDX-License-Identifier: MIT
 * Conversations: see conversation.h. Floor 3. */
#include "text/chat/conversation.h"

#include "text/chat/adapt.h"

#include "base/size.h"
#include "base/utf8.h"

#include <string.h>

typedef struct chat_message {
    lm_template_message said;           /* in one block with this */
    bool has_calls, odd_ids;
} chat_message;

enum { CHAT_PROBED_CONTENT = 1, CHAT_PROBED_SYSTEM = 2, CHAT_PROBED_MERGE = 4, CHAT_PROBED_CALLS = 8, CHAT_PROBED_IDS = 16, CHAT_PROBED_TOOL = 32 };

struct lm_conversation {
    lm_mem *mem;
    lm_template *tpl;
    llm_str tools, variables, bos, eos; /* in `kept` */
    char *kept;
    lm_template_time time;
    uint32_t adapt, probed;             /* LM_ADAPT_*; what was found out so far: CHAT_PROBED_* */
    uint32_t calls_form;                /* LM_ADAPT_CALLS_* that would fit */
    bool bare;                          /* tools and documents that are not there are not even none */
    chat_message **messages;
    size_t n_messages, cap_messages;
};

/* ---- JSON that is looked at, and let go again */

enum { CHAT_LOOK_STEPS = LM_BOUND(10000000, 100000) };

/* A run for looking at JSON: `about` names it in messages. */
static void chat_look_begin(lm_jinja *run, lm_mem *mem, const char *about, llm_error *error)
{
    static const lm_template_options plain;
    *run = (lm_jinja){ .error = error, .options = &plain, .steps = CHAT_LOOK_STEPS, .about = { about, strlen(about) },
                       .limits = { CHAT_LOOK_STEPS, 100, 0, 16 << 20, 256 << 20 } };
    lm_arena_init(&run->arena, mem, LLM_MEMORY_OTHER);
}

static lm_val chat_member(lm_jinja *run, lm_val dict, const char *name)
{
    lm_val *value = NULL;
    if (dict.kind == LM_VAL_DICT)
        lm_dict_find(run, dict.dict, lm_val_str(name, strlen(name)), &value);
    return value ? *value : lm_val_undefined((llm_str){ "", 0 });
}

static bool chat_is_id(lm_val id)
{
    bool good = id.kind == LM_VAL_STR && id.len == 9;
    for (size_t i = 0; good && i < id.len; i++)
        good = (id.s[i] >= '0' && id.s[i] <= '9') || ((id.s[i] | 32) >= 'a' && (id.s[i] | 32) <= 'z');
    return good;
}

static bool chat_check_content(lm_jinja *run, lm_val content)
{
    if (content.kind == LM_VAL_STR || content.kind == LM_VAL_NONE || content.kind == LM_VAL_UNDEFINED)
        return true;
    if (content.kind != LM_VAL_LIST)
        return lm_jinja_fail(run, LLM_E_FORMAT, "a message's content must be a string, null or an array of parts, not %s", lm_val_type(content));
    for (size_t i = 0; i < content.list->n; i++) {
        lm_val part = content.list->at[i], type = chat_member(run, part, "type");
        if (part.kind != LM_VAL_DICT || type.kind != LM_VAL_STR)
            return lm_jinja_fail(run, LLM_E_FORMAT, "part %zu of a message's content must be an object with a \"type\"", i);
        if (!lm_val_is(type, "text", 4))
            return lm_jinja_fail(run, LLM_E_UNSUPPORTED, "part %zu of a message's content is of type '%.*s': only text is supported", i,
                                 (int)LM_MIN(type.len, (size_t)40), type.s);
        if (chat_member(run, part, "text").kind != LM_VAL_STR)
            return lm_jinja_fail(run, LLM_E_FORMAT, "part %zu of a message's content has no \"text\"", i);
    }
    return true;
}

static bool chat_check_calls(lm_jinja *run, lm_val message, chat_message *out)
{
    lm_val calls = chat_member(run, message, "tool_calls"), id = chat_member(run, message, "tool_call_id");
    out->odd_ids = id.kind == LM_VAL_STR && !chat_is_id(id);
    if (calls.kind == LM_VAL_UNDEFINED || calls.kind == LM_VAL_NONE)
        return true;
    if (calls.kind != LM_VAL_LIST)
        return lm_jinja_fail(run, LLM_E_FORMAT, "a message's tool_calls must be an array, not %s", lm_val_type(calls));
    for (size_t i = 0; i < calls.list->n; i++) {
        lm_val function = chat_member(run, calls.list->at[i], "function"), args = chat_member(run, function, "arguments");
        id = chat_member(run, calls.list->at[i], "id");
        out->odd_ids |= !chat_is_id(id);
        if (calls.list->at[i].kind != LM_VAL_DICT || (id.kind != LM_VAL_STR && id.kind != LM_VAL_UNDEFINED && id.kind != LM_VAL_NONE))
            return lm_jinja_fail(run, LLM_E_FORMAT, "tool_calls[%zu] must be an object, its \"id\" a string", i);
        if (function.kind != LM_VAL_DICT || chat_member(run, function, "name").kind != LM_VAL_STR)
            return lm_jinja_fail(run, LLM_E_FORMAT, "tool_calls[%zu] has no \"function\" with a \"name\"", i);
        if (args.kind != LM_VAL_DICT && args.kind != LM_VAL_STR && args.kind != LM_VAL_UNDEFINED)
            return lm_jinja_fail(run, LLM_E_FORMAT, "the arguments of tool_calls[%zu] must be an object, or JSON in a string, not %s", i, lm_val_type(args));
    }
    out->has_calls = calls.list->n != 0;
    return true;
}

static llm_status chat_check_message(lm_mem *mem, chat_message *out, llm_error *error)
{
    static const char *const roles[] = { "system", "user", "assistant", "tool" };   /* those that somebody asks for */
    lm_jinja run;
    lm_val message, role;
    chat_look_begin(&run, mem, "message", error);
    if (lm_json_read(&run, out->said.json.ptr, out->said.json.len, &message)) {
        role = chat_member(&run, message, "role");
        if (message.kind != LM_VAL_DICT || role.kind != LM_VAL_STR || role.len == 0)
            lm_jinja_fail(&run, LLM_E_FORMAT, "a message must be a JSON object with a \"role\"");
        else if (chat_check_content(&run, chat_member(&run, message, "content")) && chat_check_calls(&run, message, out))
            for (size_t i = 0; i < LM_COUNT(roles); i++)
                if (lm_val_is(role, roles[i], strlen(roles[i])))
                    out->said.role = (llm_str){ roles[i], strlen(roles[i]) };
    }
    lm_arena_free(&run.arena);
    return run.status;
}

/* ---- life */

static llm_status chat_check_desc(lm_mem *mem, const lm_conversation_desc *desc, llm_error *error)
{
    static const char *const ours[] = { "messages", "tools", "add_generation_prompt" };
    lm_jinja run;
    lm_val v;
    chat_look_begin(&run, mem, "tools", error);
    if (desc->tools.ptr && lm_json_read(&run, desc->tools.ptr, desc->tools.len, &v) && v.kind != LM_VAL_LIST)
        lm_jinja_fail(&run, LLM_E_FORMAT, "the tools must be a JSON array, not %s", lm_val_type(v));
    run.about = (llm_str){ "variables", 9 };
    if (run.status == LLM_OK && desc->variables.ptr && lm_json_read(&run, desc->variables.ptr, desc->variables.len, &v) && v.kind != LM_VAL_DICT)
        lm_jinja_fail(&run, LLM_E_FORMAT, "the variables must be a JSON object, not %s", lm_val_type(v));
    for (size_t i = 0; run.status == LLM_OK && desc->variables.ptr && i < LM_COUNT(ours); i++)
        if (chat_member(&run, v, ours[i]).kind != LM_VAL_UNDEFINED)
            lm_jinja_fail(&run, LLM_E_INVALID, "the variable '%s' is not for the program to set", ours[i]);
    lm_arena_free(&run.arena);
    return run.status;
}

static bool chat_source_has(llm_str source, const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i + n <= source.len; i++)
        if (memcmp(source.ptr + i, text, n) == 0)
            return true;
    return false;
}

static llm_status chat_keep(lm_conversation *c, const lm_conversation_desc *desc, llm_error *error)
{
    const llm_str given[4] = { desc->tools, desc->variables, desc->bos, desc->eos };
    llm_str *const kept[4] = { &c->tools, &c->variables, &c->bos, &c->eos };
    uint64_t bytes = 4;
    size_t at = 0;
    for (size_t i = 0; i < 4; i++)
        if (given[i].ptr && !lm_add_u64(bytes, given[i].len, &bytes))
            return lm_fail(error, LLM_E_LIMIT, "the tools and variables are too long");
    c->kept = bytes <= SIZE_MAX ? lm_mem_new(c->mem, (size_t)bytes, LLM_MEMORY_OTHER) : NULL;
    if (!c->kept)
        return lm_fail_memory(error, "a conversation's tools and variables", (size_t)bytes);
    for (size_t i = 0; i < 4; i++) {
        if (!given[i].ptr)
            continue;
        if (given[i].len)
            memcpy(c->kept + at, given[i].ptr, given[i].len);
        *kept[i] = (llm_str){ c->kept + at, given[i].len };
        at += given[i].len + 1;
    }
    return LLM_OK;
}

llm_status lm_conversation_new(lm_mem *mem, const lm_conversation_desc *desc, lm_conversation **out, llm_error *error)
{
    lm_conversation *c;
    llm_status status;
    LM_TRY(chat_check_desc(mem, desc, error));
    c = lm_mem_new(mem, sizeof *c, LLM_MEMORY_OTHER);
    if (!c)
        return lm_fail_memory(error, "a conversation", sizeof *c);
    c->mem = mem;
    c->time = desc->time;
    c->bos = c->eos = (llm_str){ "", 0 };
    c->calls_form = chat_source_has(desc->source, "<|tool_call_start|>") || chat_source_has(desc->source, "<|tool_list_start|>") ? LM_ADAPT_CALLS_LFM
                  : chat_source_has(desc->source, "<|tool_call|>") ? LM_ADAPT_CALLS_GRANITE : LM_ADAPT_CALLS_HERMES;
    status = chat_keep(c, desc, error);
    if (status == LLM_OK)
        status = lm_template_parse(mem, desc->source.ptr, desc->source.len, &c->tpl, error);
    if (status != LLM_OK) {
        lm_conversation_free(c);
        return status;
    }
    *out = c;
    return LLM_OK;
}

void lm_conversation_free(lm_conversation *c)
{
    if (!c)
        return;
    lm_conversation_rewind(c, 0);
    lm_mem_free(c->mem, c->messages);
    lm_mem_free(c->mem, c->kept);
    lm_template_free(c->tpl);
    lm_mem_free(c->mem, c);
}

/* ---- messages */

/* A message with room for a copy of both texts; it is not in the list yet, which has room for it. */
static llm_status chat_message_new(lm_conversation *c, llm_str a, llm_str b, chat_message **out, char **texts, llm_error *error)
{
    chat_message *message;
    uint64_t bytes = sizeof *message + 1;
    if (c->n_messages == c->cap_messages) {
        size_t cap = c->cap_messages ? c->cap_messages * 2 : 8;
        chat_message **grown = lm_mem_grow(c->mem, c->messages, cap * sizeof(chat_message *), LLM_MEMORY_OTHER);
        if (!grown)
            return lm_fail_memory(error, "a conversation's messages", cap * sizeof(chat_message *));
        c->messages = grown;
        c->cap_messages = cap;
    }
    if (!lm_add_u64(bytes, a.len, &bytes) || !lm_add_u64(bytes, b.len, &bytes) || bytes > SIZE_MAX)
        return lm_fail(error, LLM_E_LIMIT, "a message of so many bytes");
    message = lm_mem_new(c->mem, (size_t)bytes, LLM_MEMORY_OTHER);
    if (!message)
        return lm_fail_memory(error, "a message", (size_t)bytes);
    *texts = (char *)(message + 1);
    if (a.len)
        memcpy(*texts, a.ptr, a.len);
    if (b.len)
        memcpy(*texts + a.len, b.ptr, b.len);
    *out = message;
    return LLM_OK;
}

llm_status lm_conversation_add(lm_conversation *c, llm_str role, llm_str content, llm_error *error)
{
    chat_message *message = NULL;
    char *texts = NULL;
    if (role.len == 0)
        return lm_fail(error, LLM_E_INVALID, "a message needs a role: \"system\", \"user\", \"assistant\" ...");
    if (!lm_utf8_valid(role.ptr, role.len) || (content.len && !lm_utf8_valid(content.ptr, content.len)))
        return lm_fail(error, LLM_E_INVALID, "the message's %s is not valid UTF-8", lm_utf8_valid(role.ptr, role.len) ? "text" : "role");
    LM_TRY(chat_message_new(c, role, content, &message, &texts, error));
    message->said.role = (llm_str){ texts, role.len };
    message->said.content = (llm_str){ texts + role.len, content.len };
    c->messages[c->n_messages++] = message;
    return LLM_OK;
}

llm_status lm_conversation_add_json(lm_conversation *c, llm_str text, llm_error *error)
{
    chat_message *message = NULL;
    char *texts = NULL;
    llm_status status;
    LM_TRY(chat_message_new(c, text, (llm_str){ NULL, 0 }, &message, &texts, error));
    message->said.json = (llm_str){ texts, text.len };
    status = chat_check_message(c->mem, message, error);
    if (status != LLM_OK) {
        lm_mem_free(c->mem, message);
        return status;
    }
    c->messages[c->n_messages++] = message;
    return LLM_OK;
}

llm_str lm_conversation_tools(const lm_conversation *c) { return c->tools; }
size_t lm_conversation_n_messages(const lm_conversation *c) { return c->n_messages; }

void lm_conversation_rewind(lm_conversation *c, size_t n)
{
    while (c->n_messages > n)
        lm_mem_free(c->mem, c->messages[--c->n_messages]);
}

/* ---- rendering */

static void chat_now(void *user, lm_template_time *out) { *out = ((const lm_conversation *)user)->time; }

static llm_status chat_render(lm_conversation *c, const lm_template_message *messages, size_t n, uint32_t adapt, bool prompt, lm_template_text *out, llm_error *error)
{
    const llm_str null = { "null", 4 };
    lm_template_options options = { .now = c->time.month ? chat_now : NULL, .user = c, .adapt = adapt, .mutable_values = true };
    lm_template_var vars[8];
    size_t k = 0;
    vars[k++] = (lm_template_var){ .name = { "bos_token", 9 }, .text = c->bos, .kind = LM_TEMPLATE_OWN };
    vars[k++] = (lm_template_var){ .name = { "eos_token", 9 }, .text = c->eos, .kind = LM_TEMPLATE_OWN };
    if (!c->bare)
        vars[k++] = (lm_template_var){ .name = { "documents", 9 }, .text = null, .kind = LM_TEMPLATE_JSON };
    if (c->variables.ptr)
        vars[k++] = (lm_template_var){ .name = { "variables", 9 }, .text = c->variables, .kind = LM_TEMPLATE_MEMBERS };
    if (!c->bare || c->tools.ptr)
        vars[k++] = (lm_template_var){ .name = { "tools", 5 }, .text = c->tools.ptr ? c->tools : null, .kind = LM_TEMPLATE_JSON };
    vars[k++] = (lm_template_var){ .name = { "add_generation_prompt", 21 }, .text = { prompt ? "true" : "false", prompt ? 4 : 5 }, .kind = LM_TEMPLATE_JSON };
    vars[k++] = (lm_template_var){ .name = { "messages", 8 }, .kind = LM_TEMPLATE_MESSAGES, .messages = messages, .n_messages = n };
    return lm_template_render(c->tpl, c->mem, vars, k, &options, out, error);
}

/* ---- what the template wants: small conversations are rendered, and looked through for what was said in them */

/* Whether the template takes these messages (JSON, one after another) and shows all the words. A lack of memory ends the search. */
static llm_status chat_probe(lm_conversation *c, const char *const *messages, size_t n, uint32_t adapt, const char *const *words, bool *shows, llm_error *error)
{
    lm_template_message said[3];
    lm_template_text text = { 0 };
    llm_status status;
    for (size_t i = 0; i < n; i++)
        said[i] = (lm_template_message){ .json = { messages[i], strlen(messages[i]) } };
    status = chat_render(c, said, n, adapt, false, &text, error);
    *shows = status == LLM_OK;
    for (; *shows && *words; words++)
        *shows = chat_source_has((llm_str){ text.ptr, text.len }, *words);
    lm_mem_free(c->mem, text.ptr);
    return status == LLM_E_MEMORY ? status : LLM_OK;
}

#define CHAT_USER(word) "{\"role\":\"user\",\"content\":\"" word "\"}"
#define CHAT_CALL(id) "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"" id "\",\"type\":\"function\",\"function\":" \
                      "{\"name\":\"qzfunctionqz\",\"arguments\":{\"qzkeyqz\":\"qzvalueqz\"}}}]}"
static const char *const chat_user[] = { CHAT_USER("qzfirstqz"), "{\"role\":\"assistant\",\"content\":\"qzsecondqz\"}", CHAT_USER("qzthirdqz") };
static const char *const chat_words[] = { "qzfirstqz", "qzsecondqz", "qzthirdqz", NULL };

static llm_status chat_probe_content(lm_conversation *c, llm_error *error)
{
    static const char *const words[] = { "qzfirstqz", NULL };
    bool shows = false;
    for (uint32_t way = 0; way < 4 && !shows; way++) {       /* text, parts; absent tools as none, as transformers has it, or not at all */
        c->bare = way & 1;
        LM_TRY(chat_probe(c, chat_user, 1, way & 2 ? LM_ADAPT_PARTS : 0, words, &shows, error));
        if (shows && (way & 2))
            c->adapt |= LM_ADAPT_PARTS;
    }
    c->bare = c->bare && shows;
    c->probed |= CHAT_PROBED_CONTENT;
    return LLM_OK;
}

static llm_status chat_probe_system(lm_conversation *c, llm_error *error)
{
    static const char *const messages[] = { "{\"role\":\"system\",\"content\":\"qzsystemqz\"}", CHAT_USER("qzfirstqz") };
    static const char *const words[] = { "qzsystemqz", "qzfirstqz", NULL };
    bool shows;
    LM_TRY(chat_probe(c, messages, 2, c->adapt, words, &shows, error));
    if (!shows) {
        LM_TRY(chat_probe(c, messages, 2, c->adapt | LM_ADAPT_SYSTEM, words, &shows, error));
        if (shows)
            c->adapt |= LM_ADAPT_SYSTEM;
    }
    c->probed |= CHAT_PROBED_SYSTEM;
    return LLM_OK;
}

static llm_status chat_probe_merge(lm_conversation *c, llm_error *error)
{
    static const char *const messages[] = { CHAT_USER("qzfirstqz"), CHAT_USER("qzsecondqz") };
    static const char *const words[] = { "qzfirstqz", "qzsecondqz", NULL };
    bool shows, alternates;
    LM_TRY(chat_probe(c, messages, 2, c->adapt, words, &shows, error));
    if (!shows) {
        LM_TRY(chat_probe(c, chat_user, 3, c->adapt, chat_words, &alternates, error));
        LM_TRY(chat_probe(c, messages, 2, c->adapt | LM_ADAPT_MERGE, words, &shows, error));
        if (shows && alternates)
            c->adapt |= LM_ADAPT_MERGE;
    }
    c->probed |= CHAT_PROBED_MERGE;
    return LLM_OK;
}

static llm_status chat_probe_calls(lm_conversation *c, llm_error *error)
{
    static const uint32_t ways[] = { 0, LM_ADAPT_NULL, LM_ADAPT_ARGS_TEXT, LM_ADAPT_ARGS_TEXT | LM_ADAPT_NULL };
    static const char *const messages[] = { CHAT_USER("qzfirstqz"), CHAT_CALL("qzcallid9") };
    static const char *const words[] = { "qzfunctionqz", "qzkeyqz", "qzvalueqz", NULL };
    bool shows = false;
    for (size_t i = 0; i < LM_COUNT(ways) && !shows; i++) {
        LM_TRY(chat_probe(c, messages, 2, c->adapt | ways[i], words, &shows, error));
        if (shows)
            c->adapt |= ways[i];
    }
    if (!shows) {
        LM_TRY(chat_probe(c, messages, 2, c->adapt | c->calls_form, words, &shows, error));
        if (shows)
            c->adapt |= c->calls_form;
    }
    c->probed |= CHAT_PROBED_CALLS;
    return LLM_OK;
}

static llm_status chat_probe_tool(lm_conversation *c, llm_error *error)
{
    static const char *const messages[] = { CHAT_USER("qzfirstqz"), CHAT_CALL("qzcallid9"), "{\"role\":\"tool\",\"tool_call_id\":\"qzcallid9\",\"content\":\"qzresultqz\"}" };
    static const char *const words[] = { "qzresultqz", NULL };
    bool shows;
    LM_TRY(chat_probe(c, messages, 3, c->adapt, words, &shows, error));
    if (!shows) {
        LM_TRY(chat_probe(c, messages, 3, c->adapt | LM_ADAPT_TOOL, words, &shows, error));
        if (shows)
            c->adapt |= LM_ADAPT_TOOL;
    }
    c->probed |= CHAT_PROBED_TOOL;
    return LLM_OK;
}

static llm_status chat_probe_ids(lm_conversation *c, llm_error *error)
{
    static const char *const messages[] = { CHAT_USER("qzfirstqz"), CHAT_CALL("call_of_another_length") };
    static const char *const words[] = { "qzfunctionqz", NULL };
    bool shows;
    LM_TRY(chat_probe(c, messages, 2, c->adapt, words, &shows, error));
    if (!shows) {
        LM_TRY(chat_probe(c, messages, 2, c->adapt | LM_ADAPT_IDS, words, &shows, error));
        if (shows)
            c->adapt |= LM_ADAPT_IDS;
    }
    c->probed |= CHAT_PROBED_IDS;
    return LLM_OK;
}
#undef CHAT_USER
#undef CHAT_CALL

static bool chat_says(const chat_message *message, const char *role)
{
    return message->said.role.len == strlen(role) && memcmp(message->said.role.ptr, role, strlen(role)) == 0;
}

static bool chat_is_user(const lm_conversation *c, const chat_message *message)
{
    return chat_says(message, "user") || ((c->adapt & LM_ADAPT_TOOL) && chat_says(message, "tool"));
}

/* Finds out what these messages ask for, and no more. */
static llm_status chat_prepare(lm_conversation *c, llm_error *error)
{
    const chat_message *before = NULL;
    bool system = false, again = false, calls = false, ids = false, tool = false;
    for (size_t i = 0; i < c->n_messages; i++) {
        system |= chat_says(c->messages[i], "system");
        tool |= chat_says(c->messages[i], "tool");
        calls |= c->messages[i]->has_calls;
        ids |= c->messages[i]->odd_ids;
    }
    if (!(c->probed & CHAT_PROBED_CONTENT))
        LM_TRY(chat_probe_content(c, error));
    if (system && !(c->probed & CHAT_PROBED_SYSTEM))
        LM_TRY(chat_probe_system(c, error));
    if (calls && !(c->probed & CHAT_PROBED_CALLS))
        LM_TRY(chat_probe_calls(c, error));
    if (calls && ids && !(c->probed & CHAT_PROBED_IDS))
        LM_TRY(chat_probe_ids(c, error));
    if (tool && !(c->probed & CHAT_PROBED_TOOL))
        LM_TRY(chat_probe_tool(c, error));
    for (size_t i = 0; i < c->n_messages; i++) {
        const chat_message *now = c->messages[i];
        if ((c->adapt & LM_ADAPT_SYSTEM) && chat_says(now, "system"))
            continue;
        again |= before && ((chat_is_user(c, now) && chat_is_user(c, before)) || (chat_says(now, "assistant") && chat_says(before, "assistant")));
        before = now;
    }
    if (again && !(c->probed & CHAT_PROBED_MERGE))
        LM_TRY(chat_probe_merge(c, error));
    return LLM_OK;
}

llm_status lm_conversation_render(lm_conversation *c, bool prompt, lm_template_text *out, llm_error *error)
{
    lm_template_message *messages;
    llm_status status;
    LM_TRY(chat_prepare(c, error));
    messages = lm_mem_new_array(c->mem, c->n_messages, sizeof *messages, LLM_MEMORY_OTHER);
    if (!messages)
        return lm_fail_memory(error, "a conversation's messages", c->n_messages * sizeof *messages);
    for (size_t i = 0; i < c->n_messages; i++)
        messages[i] = c->messages[i]->said;
    status = chat_render(c, messages, c->n_messages, c->adapt, prompt, out, error);
    lm_mem_free(c->mem, messages);
    return status;
}

/* ---- a time */

static bool chat_digits(const char **at, const char *end, size_t n, int32_t *out)
{
    if ((size_t)(end - *at) < n)
        return false;
    for (*out = 0; n > 0; n--, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

bool lm_template_time_parse(llm_str text, lm_template_time *out)
{
    static const uint8_t days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const char *at = text.ptr, *end = text.ptr + text.len;
    lm_template_time t = { 0 };
    bool ok = chat_digits(&at, end, 4, &t.year) && at < end && *at++ == '-' && chat_digits(&at, end, 2, &t.month) && at < end && *at++ == '-'
              && chat_digits(&at, end, 2, &t.day);
    if (ok && at < end)
        ok = (*at == ' ' || *at == 'T') && (at++, chat_digits(&at, end, 2, &t.hour)) && at < end && *at++ == ':' && chat_digits(&at, end, 2, &t.minute);
    if (ok && at < end)
        ok = *at++ == ':' && chat_digits(&at, end, 2, &t.second);
    ok = ok && at == end && t.month >= 1 && t.month <= 12 && t.day >= 1 && t.day <= days[t.month - 1] && t.hour < 24 && t.minute < 60 && t.second < 61
         && (t.month != 2 || t.day < 29 || (t.year % 4 == 0 && (t.year % 100 != 0 || t.year % 400 == 0)));
    if (ok)
        *out = t;
    return ok;
}
