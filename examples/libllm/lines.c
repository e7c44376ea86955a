/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "lines.h"

#include "tool.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef TOOL_LIBEDIT
#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <wchar.h>
#endif

struct lines {
    const char *prompt, *shown;         /* as given; NULL where the input is no terminal */
    char       *line, *whole;           /* of getline; all lines that go on in one */
    size_t      line_cap, whole_cap, n;
#ifdef TOOL_LIBEDIT
    EditLine   *edit;                   /* NULL: not a terminal that lines can be edited on */
    History    *history;
    char        bytes[8];               /* of a character that is not whole */
    size_t      n_bytes;
#endif
};

enum { READ_FAILED = -1, READ_INTERRUPTED = -2 };

#ifdef TOOL_LIBEDIT
static char *lines_prompt(EditLine *edit)
{
    lines *l = NULL;
    static char none[] = "";
    el_get(edit, EL_CLIENTDATA, &l);
    return l && l->shown ? (char *)(size_t)l->shown : none;
}

/* Waits for a byte. False: Ctrl-C, now or a moment ago, when nobody was waiting yet. */
static bool lines_wait(void)
{
    struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
    sigset_t interrupt, before;
    int got = -1;

    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, &before);
    while (!tool_interrupted() && (got = ppoll(&in, 1, NULL, &before)) < 0 && errno == EINTR)
        continue;                                           /* the window changed, or the program was stopped for a while */
    sigprocmask(SIG_SETMASK, &before, NULL);
    return got > 0 && !tool_interrupted();
}

/* A character from the terminal. Ctrl-C ends the line, which libedit's own function does not. */
static int lines_character(EditLine *edit, wchar_t *out)
{
    lines *l = NULL;
    el_get(edit, EL_CLIENTDATA, &l);
    for (l->n_bytes = 0;;) {
        mbstate_t state;
        size_t used;
        ssize_t n = lines_wait() ? read(STDIN_FILENO, l->bytes + l->n_bytes, 1) : -1;
        if (n <= 0)
            return (int)n;
        memset(&state, 0, sizeof state);
        used = mbrtowc(out, l->bytes, ++l->n_bytes, &state);
        if (used == (size_t)-1) {
            *out = L'?';
            return 1;
        }
        if (used != (size_t)-2 || l->n_bytes == sizeof l->bytes)
            return 1;
    }
}

static void lines_edit_open(lines *l)
{
    HistEvent event;

    if (!l->prompt || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return;
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");                     /* what terminals speak; the model knows nothing else */
    l->edit = el_init("libllm", stdin, stderr, stderr);
    l->history = history_init();
    if (!l->edit || !l->history)
        return;
    history(l->history, &event, H_SETSIZE, 1000);
    history(l->history, &event, H_SETUNIQUE, 1);
    el_set(l->edit, EL_CLIENTDATA, l);
    el_set(l->edit, EL_EDITOR, "emacs");
    el_set(l->edit, EL_PROMPT, lines_prompt);
    el_set(l->edit, EL_HIST, history, l->history);
    el_set(l->edit, EL_GETCFN, lines_character);
    el_set(l->edit, EL_BIND, "\\e[A", "ed-prev-history", NULL);
    el_set(l->edit, EL_BIND, "\\e[B", "ed-next-history", NULL);
    el_set(l->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
}

static void lines_edit_close(lines *l)
{
    if (l->edit)
        el_end(l->edit);
    if (l->history)
        history_end(l->history);
}

/* Bytes of a line, its end included; 0: the end of the input; READ_*. */
static ssize_t lines_edited(lines *l, const char **line)
{
    int n = 0;
    HistEvent event;
    *line = el_gets(l->edit, &n);
    if (tool_interrupted()) {
        el_reset(l->edit);
        return READ_INTERRUPTED;
    }
    if (!*line || n <= 0)
        return n < 0 ? READ_FAILED : 0;
    if (n > 1)
        history(l->history, &event, H_ENTER, *line);
    return n;
}
static bool lines_edits(const lines *l) { return l->edit && l->history; }
#else
static void lines_edit_open(lines *l) { (void)l; }
static void lines_edit_close(lines *l) { (void)l; }
static ssize_t lines_edited(lines *l, const char **line) { return (void)l, (void)line, READ_FAILED; }
static bool lines_edits(const lines *l) { return (void)l, false; }
#endif

lines *lines_open(const char *prompt)
{
    lines *l = calloc(1, sizeof *l);

    if (l) {
        l->prompt = prompt;
        lines_edit_open(l);
    }
    return l;
}

void lines_close(lines *l)
{
    if (!l)
        return;
    lines_edit_close(l);
    free(l->line);
    free(l->whole);
    free(l);
}

static ssize_t lines_plain(lines *l, const char **line)
{
    ssize_t n;

    if (l->shown) {
        fputs(l->shown, stderr);
        fflush(stderr);
    }
    errno = 0;
    tool_break_reads(true);
    n = getline(&l->line, &l->line_cap, stdin);
    tool_break_reads(false);
    *line = l->line;
    if (n >= 0)
        return n;
    if (tool_interrupted()) {
        clearerr(stdin);
        return READ_INTERRUPTED;
    }
    return feof(stdin) ? 0 : READ_FAILED;
}

/* Puts n bytes and a NUL at the end of the whole line. */
static bool lines_add(lines *l, const char *text, size_t n)
{
    if (l->n + n + 1 > l->whole_cap) {
        size_t cap = 2 * (l->n + n + 1);
        char *grown = realloc(l->whole, cap);
        if (!grown)
            return false;
        l->whole = grown;
        l->whole_cap = cap;
    }
    memcpy(l->whole + l->n, text, n);
    l->n += n;
    l->whole[l->n] = 0;
    return true;
}

int lines_read(lines *l, const char **text, size_t *len)
{
    l->n = 0;
    l->shown = l->prompt;
    for (;;) {
        const char *line = NULL;
        ssize_t n = lines_edits(l) ? lines_edited(l, &line) : lines_plain(l, &line);
        bool more;
        if (n == READ_INTERRUPTED)
            return LINES_INTERRUPT;
        if (n < 0 || (n == 0 && l->n == 0))
            return LINES_END;
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            n--;
        more = n > 0 && line[n - 1] == '\\';
        if (!lines_add(l, line, (size_t)n - more) || (more && !lines_add(l, "\n", 1)))
            return LINES_END;
        if (!more)
            break;
        if (l->shown)
            l->shown = ". ";
    }
    *text = l->whole;
    *len = l->n;
    return LINES_TEXT;
}
