/* SPDX-License-Identifier: MIT
 * libllm chat: an assistant in the terminal. The conversation is kept here, message by message; the library's chat makes the model's
 * text of it, and the session knows what the model has taken in. Replies go to standard output, all else to standard error. */
#define _POSIX_C_SOURCE 200809L
#include "json.h"
#include "lines.h"
#include "tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct chat_message { const char *role; char *text, *thought; size_t len, thought_len; } chat_message;    /* thought NULL: none */

typedef struct chat_state {
    const tool_args *args;
    tool_model    opened;
    llm_sampler  *sampler;
    llm_session  *session;
    llm_chat     *chat;                 /* what the model is told: the system message and messages from `first` on */
    lines        *input;
    char         *system;               /* NULL: none */
    chat_message *messages;             /* all that was said, oldest first */
    size_t        n_messages, cap, first;
    uint64_t      n_replies;            /* each draws from a seed of its own */
    bool          terminal, colors;     /* replies go to a terminal; it may be told to dim what is only thought */
    llm_session_info before;            /* as it was when the last reply began: what /stats subtracts */
    int32_t       end;                  /* of the last reply: LLM_END_* */
    bool          said;                 /* there was a reply in this session: what /stats tells of */
} chat_state;

static const char help[] =
    "  /again           the last question once more, for another reply\n"
    "  /reset           forget what was said\n"
    "  /save FILE       the conversation, and what the model has taken in of it, into a file\n"
    "  /load FILE       go on with a saved one\n"
    "  /system [TEXT]   what the model is told before all else; without TEXT: shows it; /system - removes it\n"
    "  /stats           tokens, speed, memory\n"
    "  /help            this\n"
    "  /quit            the end, as Ctrl-D\n"
    "A line that ends in \\ goes on in the next one. //text sends a line that begins with a slash. Ctrl-C stops a reply.\n";

/* A remark, in brackets: not what the model says. */
__attribute__((format(printf, 2, 3))) static void chat_remark(const chat_state *c, const char *format, ...)
{
    va_list list;

    if (c->args->quiet)
        return;
    fputc('(', stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputs(")\n", stderr);
}

static int chat_no_memory(const chat_state *c)
{
    fprintf(stderr, "libllm %s: not enough memory\n", c->args->name);
    return TOOL_FAILED;
}

/* Models and saved files are strangers: what they say may not drive the terminal. */
static void chat_print(FILE *file, bool terminal, const char *text, size_t n)
{
    size_t from = 0;

    if (!terminal) {
        fwrite(text, 1, n, file);
        return;
    }
    for (size_t i = 0; i <= n; i++) {
        unsigned char at = i < n ? (unsigned char)text[i] : 0, next = i + 1 < n ? (unsigned char)text[i + 1] : 0;
        bool c1 = at == 0xc2 && next >= 0x80 && next < 0xa0;
        if (i < n && (at >= 0x20 || at == '\n' || at == '\t') && at != 0x7f && !c1)
            continue;
        fwrite(text + from, 1, i - from, file);
        if (i < n)
            json_print_safe(file, text + i, c1 ? 2 : 1);
        i += c1;
        from = i + 1;
    }
}

/* ---- the conversation ------------------------------------------------------------------------------------------- */

static char *chat_copy(const char *text, size_t len)
{
    char *copy = malloc(len + 1);

    if (copy) {
        memcpy(copy, text, len);
        copy[len] = 0;
    }
    return copy;
}

static void chat_forget(chat_state *c, size_t keep)
{
    while (c->n_messages > keep) {
        chat_message *m = &c->messages[--c->n_messages];
        free(m->text);
        free(m->thought);
    }
    if (c->first > keep)
        c->first = keep;
}

/* Takes text and thought, whether or not there is memory for the message. */
static bool chat_remember(chat_state *c, chat_message message)
{
    if (c->n_messages == c->cap && message.text) {
        size_t cap = c->cap ? 2 * c->cap : 16;
        chat_message *grown = realloc(c->messages, cap * sizeof *grown);
        if (grown) {
            c->messages = grown;
            c->cap = cap;
        }
    }
    if (!message.text || c->n_messages == c->cap) {
        free(message.text);
        free(message.thought);
        return false;
    }
    c->messages[c->n_messages++] = message;
    return true;
}

/* The message into the library's chat. */
static llm_status chat_tell(const chat_state *c, const chat_message *m, llm_error *error)
{
    char *text = NULL;
    size_t n = 0;
    json j = { 0 };
    llm_status status;

    if (!m->thought)
        return llm_chat_add(c->chat, m->role, LLM_NUL, m->text, m->len, error);
    j.file = open_memstream(&text, &n);
    if (j.file) {
        json_open(&j, NULL, '{');
        json_text(&j, "role", m->role);
        json_string(&j, "content", m->text, m->len);
        json_string(&j, "reasoning_content", m->thought, m->thought_len);
        json_close(&j, '}');
        fclose(j.file);
    }
    status = llm_chat_add_json(c->chat, text ? text : "", n, error);
    free(text);
    return status;
}

/* The library's chat anew, of the system message and messages from `first` on. */
static int chat_retell(chat_state *c)
{
    llm_chat_desc desc = LLM_INIT(llm_chat_desc);
    llm_error error;
    char date[32];
    time_t now = time(NULL);
    struct tm day;

    llm_chat_free(c->chat);
    c->chat = NULL;
    if (localtime_r(&now, &day) && strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &day) > 0) {
        desc.date = date;
        desc.date_len = LLM_NUL;
    }
    if (c->args->chat_template) {
        desc.template_name = c->args->chat_template;
        desc.template_name_len = LLM_NUL;
    }
    if (llm_chat_create(c->opened.model, &desc, &c->chat, &error) != LLM_OK)
        return tool_fail(c->args, "cannot begin a conversation", &error);
    if (c->system && llm_chat_add(c->chat, "system", LLM_NUL, c->system, LLM_NUL, &error) != LLM_OK)
        return tool_fail(c->args, "cannot take in the system message", &error);
    for (size_t i = c->first; i < c->n_messages; i++)
        if (chat_tell(c, &c->messages[i], &error) != LLM_OK)
            return tool_fail(c->args, "cannot take in a message", &error);
    return TOOL_OK;
}

/* Leaves out the oldest exchange that the model still sees. False: there is none but the last. */
static bool chat_leave_out(chat_state *c)
{
    size_t next = c->first + 1;

    while (next < c->n_messages && strcmp(c->messages[next].role, "user") != 0)
        next++;
    if (next >= c->n_messages)
        return false;
    c->first = next;
    return true;
}

/* Puts the conversation into the session, without its oldest messages where it would not leave room for a reply: then down to half
 * of the context, so that this happens seldom. */
static int chat_sync(chat_state *c)
{
    llm_session_info info = LLM_INIT(llm_session_info);
    llm_error error;
    size_t n = 0, room, most, first = c->first;
    int code;

    if (llm_session_get_info(c->session, &info, &error) != LLM_OK)
        return tool_fail(c->args, "cannot ask the session", &error);
    room = (size_t)info.n_ctx / 4 < 512 ? (size_t)info.n_ctx / 4 : 512;
    most = (size_t)info.n_ctx - room;
    for (;;) {
        llm_status status = llm_chat_encode(c->chat, 0, NULL, 0, &n, &error);
        if (status != LLM_OK && status != LLM_E_SPACE)
            return tool_fail(c->args, "the model's template does not take this conversation", &error);
        if (n <= most || !chat_leave_out(c))
            break;
        most = (size_t)info.n_ctx / 2;
        if ((code = chat_retell(c)) != TOOL_OK)
            return code;
    }
    if (c->first > first)
        chat_remark(c, "The context of %d tokens is full: the model no longer sees the first %zu messages. More room: -c N. A new beginning: /reset.", info.n_ctx, c->first);
    if (llm_session_sync_chat(c->session, c->chat, 0, &error) == LLM_OK)
        return TOOL_OK;
    if (error.status != LLM_E_CONTEXT_FULL)
        return tool_fail(c->args, "cannot take in the message", &error);
    fprintf(stderr, "libllm %s: this message alone is too long: %zu tokens in a context of %d. Shorten it, or give more room: -c N\n", c->args->name, n, info.n_ctx);
    return TOOL_FAILED;
}

/* ---- a reply ---------------------------------------------------------------------------------------------------- */

typedef struct chat_reply { FILE *text, *thought; chat_message message; bool thinks, said; } chat_reply;

static void chat_event(chat_state *c, chat_reply *r, const llm_chat_event *e)
{
    bool thinks = e->kind == LLM_EVENT_REASONING;

    if (e->kind == LLM_EVENT_CALL) {
        chat_remark(c, "The model calls %.*s(%.*s), and there are no tools here.", (int)e->name_len, e->name, (int)e->text_len, e->text);
        return;
    }
    if (thinks != r->thinks && c->terminal) {
        if (c->colors)
            fputs(thinks ? "\x1b[2m" : "\x1b[0m", stdout);
        if (!thinks)
            fputs("\n\n", stdout);
    }
    r->thinks = thinks;
    if (!thinks || c->terminal)                             /* thoughts are shown to people only */
        chat_print(stdout, c->terminal, e->text, e->text_len);
    fwrite(e->text, 1, e->text_len, thinks ? r->thought : r->text);
    r->said |= !thinks && e->text_len > 0;
}

/* Lets the model answer, onto standard output. TOOL_INTERRUPTED: Ctrl-C came; what was said so far stands in r. */
static int chat_generate(chat_state *c, chat_reply *r)
{
    const tool_args *args = c->args;
    llm_generate_desc desc = LLM_INIT(llm_generate_desc);
    llm_chat_event event = LLM_INIT(llm_chat_event);
    llm_error error;
    llm_status step, status = LLM_OK;

    desc.flags = LLM_GENERATE_SHOW_SPECIAL;
    desc.seed = args->seed + c->n_replies++;
    desc.max_tokens = args->n_predict > 0 ? (int32_t)args->n_predict : 0;
    desc.sampler = c->sampler;
    desc.stops = args->stops;
    desc.n_stops = (size_t)args->n_stops;
    c->before = (llm_session_info)LLM_INIT(llm_session_info);
    if (llm_session_get_info(c->session, &c->before, &error) != LLM_OK || llm_session_generate(c->session, &desc, &error) != LLM_OK)
        return tool_fail(args, "cannot begin a reply", &error);
    do {
        step = llm_session_step(&c->session, 1, LLM_FOREVER, 0, &error);
        while (step >= 0 && (status = llm_chat_read(c->chat, c->session, &event, &error)) == LLM_MORE)
            chat_event(c, r, &event);
        fflush(stdout);
    } while (step == LLM_MORE && status == LLM_OK && !ferror(stdout));
    if (r->thinks && c->colors)
        fputs("\x1b[0m", stdout);
    c->end = llm_session_state(c->session);
    c->said = true;
    if (step < 0 || status < 0)
        return tool_fail(args, "the model failed", &error);
    return c->end == LLM_END_CANCELLED || tool_interrupted() ? TOOL_INTERRUPTED : TOOL_OK;
}

/* Answers the last message, which is the user's. If that fails, or is stopped before a word was said, the question is taken back. */
static int chat_answer(chat_state *c)
{
    chat_reply r = { .message.role = "assistant" };
    llm_error error;
    bool kept;
    int code = chat_sync(c);

    if (code == TOOL_OK) {
        r.text = open_memstream(&r.message.text, &r.message.len);
        r.thought = open_memstream(&r.message.thought, &r.message.thought_len);
        code = r.text && r.thought ? chat_generate(c, &r) : chat_no_memory(c);
        if (r.text)
            fclose(r.text);
        if (r.thought)
            fclose(r.thought);
    }
    if (r.message.thought && r.message.thought_len == 0) {
        free(r.message.thought);
        r.message.thought = NULL;
    }
    if (code == TOOL_OK || (code == TOOL_INTERRUPTED && r.said)) {
        fputc('\n', stdout);
        fflush(stdout);
        kept = chat_remember(c, r.message);
        if (kept && chat_tell(c, &c->messages[c->n_messages - 1], &error) != LLM_OK)
            return tool_fail(c->args, "cannot keep the reply", &error);
        if (code == TOOL_INTERRUPTED)
            chat_remark(c, "stopped");
        else if (c->end == LLM_END_CONTEXT)
            chat_remark(c, "The context is full: the reply ends here. Before the next one the oldest messages are left out. More room: -c N.");
        return kept ? code : chat_no_memory(c);
    }
    free(r.message.text);
    free(r.message.thought);
    if (code == TOOL_INTERRUPTED) {
        fputc('\n', stdout);
        chat_remark(c, "stopped before a word was said: the question is taken back");
    }
    chat_forget(c, c->n_messages - 1);
    if (chat_retell(c) != TOOL_OK)
        return TOOL_FAILED;
    return code;
}

/* ---- saved: the session's file, with the conversation as its note --------------------------------------------------- */

/* A line for each text, "KIND LENGTH", then its bytes and a newline. Kinds: first (its length is the number of messages left out), system,
 * thought (of the next message), and roles. */
static const char note_head[] = "libllm chat 1\n";

static void chat_write_text(FILE *note, const char *kind, const char *text, size_t len)
{
    fprintf(note, "%s %zu\n", kind, len);
    fwrite(text, 1, len, note);
    fputc('\n', note);
}

static int chat_save(chat_state *c, const char *path)
{
    llm_save_desc desc = LLM_INIT(llm_save_desc);
    llm_error error;
    char *text = NULL;
    size_t len = 0;
    FILE *note = open_memstream(&text, &len);
    int code = TOOL_OK;

    if (note) {
        fprintf(note, "%sfirst %zu\n\n", note_head, c->first);
        if (c->system)
            chat_write_text(note, "system", c->system, strlen(c->system));
        for (size_t i = 0; i < c->n_messages; i++) {
            const chat_message *m = &c->messages[i];
            if (m->thought)
                chat_write_text(note, "thought", m->thought, m->thought_len);
            chat_write_text(note, m->role, m->text, m->len);
        }
    }
    if (!note || fclose(note) != 0) {
        free(text);
        return chat_no_memory(c);
    }
    desc.note = text;
    desc.note_len = len;
    if (llm_session_save(c->session, path, LLM_NUL, &desc, &error) == LLM_OK)
        chat_remark(c, "%zu messages and %zu tokens are in %s", c->n_messages, llm_session_n_tokens(c->session), path);
    else
        code = tool_fail(c->args, "cannot save", &error);
    free(text);
    return code;
}

/* The messages of a note into `c`, which has none. False: it is no note of this program, or there is no memory. */
static bool chat_read_note(chat_state *c, const char *note, size_t n)
{
    const char *end = note + n;
    char *thought = NULL;
    size_t thought_len = 0;
    bool good = n >= sizeof note_head - 1 && memcmp(note, note_head, sizeof note_head - 1) == 0;

    for (note += good ? sizeof note_head - 1 : 0; good && note < end;) {
        char kind[16];
        size_t len = 0, left;
        int used = 0;
        const char *text = memchr(note, '\n', (size_t)(end - note));
        if (!text || text - note > 40 || sscanf(note, "%15[a-z] %zu%n", kind, &len, &used) < 2 || note + used != text)
            break;
        text++;
        left = (size_t)(end - text);
        if (strcmp(kind, "first") == 0) {
            c->first = len;
            len = 0;
        }
        if (len >= left || text[len] != '\n')
            break;
        note = text + len + 1;
        if (strcmp(kind, "system") == 0) {
            free(c->system);
            good = (c->system = chat_copy(text, len)) != NULL;
        } else if (strcmp(kind, "thought") == 0) {
            free(thought);
            good = (thought = chat_copy(text, len)) != NULL;
            thought_len = len;
        } else if (strcmp(kind, "user") == 0 || strcmp(kind, "assistant") == 0) {
            const char *role = kind[0] == 'u' ? "user" : "assistant";
            good = chat_remember(c, (chat_message){ .role = role, .text = chat_copy(text, len), .len = len, .thought = thought, .thought_len = thought_len });
            thought = NULL;
        } else if (strcmp(kind, "first") != 0) {
            break;
        }
    }
    free(thought);
    return good && note == end && c->first <= c->n_messages;
}

static void chat_show(const chat_message *m)
{
    fputs(m->role[0] == 'u' ? "you said: " : "it said: ", stderr);
    chat_print(stderr, true, m->text, m->len);
    fputc('\n', stderr);
}

/* What was said before stays as it is if this fails. */
static int chat_load(chat_state *c, const char *path)
{
    llm_source source = LLM_INIT(llm_source);
    llm_error error;
    chat_state read = { .args = c->args, .opened = c->opened, .session = c->session };
    char *note = NULL;
    size_t n = 0;
    llm_status status;
    int code = TOOL_OK;

    source.kind = LLM_SOURCE_PATH;
    source.path = path;
    source.path_len = LLM_NUL;
    status = llm_saved_note(c->opened.model, &source, NULL, 0, &n, &error);
    if (status != LLM_OK && status != LLM_E_SPACE)
        return tool_fail(c->args, "cannot load", &error);
    note = malloc(n + 1);
    if (!note)
        return chat_no_memory(c);
    if (llm_saved_note(c->opened.model, &source, note, n, &n, &error) != LLM_OK) {
        free(note);
        return tool_fail(c->args, "cannot load", &error);
    }
    note[n] = 0;
    if (!chat_read_note(&read, note, n)) {
        fprintf(stderr, "libllm %s: %s is a session, but no conversation of libllm chat\n", c->args->name, path);
        code = TOOL_FAILED;
    }
    free(note);
    if (code == TOOL_OK)
        code = chat_retell(&read);
    status = code == TOOL_OK ? llm_session_restore_from(c->session, &source, 0, &error) : LLM_OK;
    if (status == LLM_E_MISMATCH || status == LLM_E_CONTEXT_FULL)
        chat_remark(c, "%s: the messages are taken in anew", error.message);
    else if (status != LLM_OK)
        code = tool_fail(c->args, "cannot load", &error);
    if (code != TOOL_OK) {                                  /* give back what was read */
        chat_forget(&read, 0);
        free(read.messages);
        free(read.system);
        llm_chat_free(read.chat);
        return code;
    }
    chat_forget(c, 0);
    free(c->messages);
    free(c->system);
    llm_chat_free(c->chat);
    c->messages = read.messages;
    c->n_messages = read.n_messages;
    c->cap = read.cap;
    c->first = read.first;
    c->system = read.system;
    c->chat = read.chat;
    c->said = false;
    for (size_t i = c->n_messages > 2 ? c->n_messages - 2 : 0; i < c->n_messages && !c->args->quiet; i++)
        chat_show(&c->messages[i]);
    chat_remark(c, "%zu messages of %s", c->n_messages, path);
    return TOOL_OK;
}

/* ---- commands --------------------------------------------------------------------------------------------------- */

static int chat_reset(chat_state *c)
{
    chat_forget(c, 0);
    return chat_retell(c);
}

static int chat_system(chat_state *c, const char *text)
{
    char *copy;

    if (!*text) {
        fprintf(stderr, "%s\n", c->system ? c->system : "(there is none)");
        return TOOL_OK;
    }
    copy = strcmp(text, "-") == 0 ? NULL : chat_copy(text, strlen(text));
    free(c->system);
    c->system = copy;
    return chat_retell(c);
}

static int chat_again(chat_state *c)
{
    size_t n = c->n_messages;

    while (n > 0 && strcmp(c->messages[n - 1].role, "user") != 0)
        n--;
    if (n == 0) {
        chat_remark(c, "nothing was asked yet");
        return TOOL_OK;
    }
    chat_forget(c, n);
    if (chat_retell(c) != TOOL_OK)
        return TOOL_FAILED;
    return chat_answer(c);
}

static void chat_stats(chat_state *c)
{
    llm_session_info now = LLM_INIT(llm_session_info);
    llm_chat_info chat = LLM_INIT(llm_chat_info);
    llm_model_info model = LLM_INIT(llm_model_info);
    const llm_session_info *was = &c->before;
    char state[32], weights[32];

    if (llm_session_get_info(c->session, &now, NULL) != LLM_OK || llm_model_get_info(c->opened.model, &model, NULL) != LLM_OK ||
        llm_chat_get_info(c->chat, &chat, NULL) != LLM_OK)
        return;
    tool_bytes(now.state_bytes, state);
    tool_bytes(model.weight_bytes, weights);
    fprintf(stderr, "model      ");
    json_print_safe(stderr, model.name, model.name_len);
    fprintf(stderr, ", %s of weights, loaded in %.2f s, on %s\n", weights, c->opened.load_seconds, c->opened.device[0] ? c->opened.device : "the CPU");
    fprintf(stderr, "template   ");
    json_print_safe(stderr, chat.name, chat.name_len);
    fprintf(stderr, "%s\n", chat.origin == LLM_CHAT_MODEL ? ", the model's own" : ", the library's: the model has none");
    fprintf(stderr, "context    %zu of %d tokens, %zu of %zu messages, %s of state\n", llm_session_n_tokens(c->session), now.n_ctx, c->n_messages - c->first, c->n_messages, state);
    if (c->said)
        fprintf(stderr, "last reply took in %llu tokens at %.1f/s, said %llu at %.1f/s\n", (unsigned long long)(now.n_prompt - was->n_prompt),
                now.prompt_us > was->prompt_us ? 1e6 * (double)(now.n_prompt - was->n_prompt) / (double)(now.prompt_us - was->prompt_us) : 0,
                (unsigned long long)(now.n_generated - was->n_generated),
                now.generate_us > was->generate_us ? 1e6 * (double)(now.n_generated - was->n_generated) / (double)(now.generate_us - was->generate_us) : 0);
    if (c->args->temperature > 0)
        fprintf(stderr, "seed       %llu\n", (unsigned long long)c->args->seed);
}

/* A path as people type it: ~ is their folder. */
static int chat_with_file(chat_state *c, const char *path, int (*act)(chat_state *c, const char *path))
{
    const char *home = strncmp(path, "~/", 2) == 0 ? getenv("HOME") : NULL;
    char whole[4096];

    if (!*path) {
        chat_remark(c, "Which file? For example: /save talk.llm");
        return TOOL_OK;
    }
    snprintf(whole, sizeof whole, "%s%s", home ? home : "", path + (home ? 1 : 0));
    return act(c, whole);
}

/* A line that begins with a slash. *quit: it asks for the end. */
static int chat_command(chat_state *c, const char *line, bool *quit)
{
    size_t n = strcspn(line, " ");
    const char *rest = line + n + strspn(line + n, " ");
    char name[16];

    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), line);
    if (strcmp(name, "/quit") == 0 || strcmp(name, "/exit") == 0 || strcmp(name, "/bye") == 0)
        *quit = true;
    else if (strcmp(name, "/reset") == 0)
        return chat_reset(c);
    else if (strcmp(name, "/system") == 0)
        return chat_system(c, rest);
    else if (strcmp(name, "/again") == 0)
        return chat_again(c);
    else if (strcmp(name, "/stats") == 0)
        chat_stats(c);
    else if (strcmp(name, "/save") == 0 || strcmp(name, "/load") == 0)
        return chat_with_file(c, rest, name[1] == 's' ? chat_save : chat_load);
    else if (strcmp(name, "/help") == 0)
        fputs(help, stderr);
    else
        chat_remark(c, "There is no %s. /help lists what there is; //text sends a line that begins with a slash.", name);
    return TOOL_OK;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static int chat_ask(chat_state *c, const char *text, size_t len)
{
    chat_message message = { .role = "user", .text = chat_copy(text, len), .len = len };
    llm_error error;

    if (!chat_remember(c, message))
        return chat_no_memory(c);
    if (chat_tell(c, &c->messages[c->n_messages - 1], &error) != LLM_OK) {
        chat_forget(c, c->n_messages - 1);
        return tool_fail(c->args, "cannot take in the message", &error);
    }
    return chat_answer(c);
}

static int chat_talk(chat_state *c)
{
    bool person = isatty(STDIN_FILENO) && !c->args->quiet, quit = false;
    int code = TOOL_OK, got;
    const char *line;
    size_t len;

    c->input = lines_open(person ? "> " : NULL);
    if (!c->input)
        return chat_no_memory(c);
    if (person)
        fprintf(stderr, "Ask away. /help lists commands, Ctrl-C stops a reply, Ctrl-D ends.\n");
    while (!quit) {
        got = lines_read(c->input, &line, &len);
        if (got == LINES_END)
            break;
        if (got == LINES_INTERRUPT) {
            if (!person)
                return TOOL_INTERRUPTED;
            fputc('\n', stderr);
            tool_clear_interrupt();
            continue;
        }
        if (len == 0)
            continue;
        if (line[0] == '/' && line[1] != '/')
            code = chat_command(c, line, &quit);
        else
            code = chat_ask(c, line + (line[0] == '/'), len - (line[0] == '/'));
        tool_clear_interrupt();
        if ((code == TOOL_FAILED && !c->chat) || ferror(stdout) || (code != TOOL_OK && !person && code != TOOL_INTERRUPTED))
            return code;                                    /* to people a failure is told, and they go on */
        code = TOOL_OK;
    }
    if (person && !quit)
        fputc('\n', stderr);
    return code;
}

static int chat_open(chat_state *c)
{
    const tool_args *args = c->args;
    llm_session_desc session = LLM_INIT(llm_session_desc);
    llm_error error;
    int code = tool_open(args, (int32_t)args->n_threads, 0, &c->opened);

    if (code == TOOL_OK && !llm_model_tokenizer(c->opened.model)) {
        fprintf(stderr, "libllm chat: this file has no tokenizer, so there is no talking to it\n");
        return TOOL_FAILED;
    }
    if (code == TOOL_OK)
        code = sampling_make(args, c->opened.model, &c->sampler);
    if (code != TOOL_OK)
        return code;
    session.n_ctx = (int32_t)args->n_ctx;
    session.state_type = args->state_type;
    if (llm_session_create(c->opened.model, &session, &c->session, &error) != LLM_OK)
        return tool_fail(args, "cannot start a session", &error);
    tool_watch(c->session);
    if (args->system && !(c->system = chat_copy(args->system, strlen(args->system))))
        return chat_no_memory(c);
    return chat_retell(c);
}

int chat_main(const tool_args *args)
{
    const char *no_color = getenv("NO_COLOR");
    chat_state c = { .args = args, .terminal = isatty(STDOUT_FILENO) };
    int code;

    c.colors = c.terminal && !(no_color && *no_color);
    tool_catch_interrupts();
    code = chat_open(&c);
    if (code == TOOL_OK)
        code = args->prompt ? chat_ask(&c, args->prompt, strlen(args->prompt)) : chat_talk(&c);
    tool_watch(NULL);
    lines_close(c.input);
    chat_forget(&c, 0);
    free(c.messages);
    free(c.system);
    llm_chat_free(c.chat);
    llm_session_free(c.session);
    llm_sampler_free(c.sampler);
    tool_close(&c.opened);
    return code;
}
