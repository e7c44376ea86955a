/* SPDX-License-Identifier: MIT
 * libllm: the library at the command line. Chooses the command; what they share: messages, interrupts, the clock. */
#define _POSIX_C_SOURCE 200809L
#include "tool.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: libllm COMMAND [OPTION]...\n"
    "\n"
    "  chat        an assistant in the terminal\n"
    "  run         continue a text\n"
    "  devices     what there is to compute on: processor and GPUs\n"
    "  inspect     what a model file holds and how much memory it needs\n"
    "  bench       how fast this machine is, and how near to its ceilings\n"
    "  make        write a model of random weights to a file, for measuring\n"
    "  tokenize    a text as the model sees it\n"
    "  perplexity  how well a model foretells a text, and how far it is from another\n"
    "  imatrix     which weights a text leans on, for quantizing\n"
    "  quantize    write a model file anew with smaller types\n"
    "\n"
    "libllm COMMAND --help tells a command's options. libllm --version tells the library's version.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n";

static const struct {
    const char *name;
    int id;
    int (*main)(const tool_args *);
} commands[] = {
    { "chat", TOOL_CHAT, chat_main },
    { "run", TOOL_RUN, run_main },
    { "inspect", TOOL_INSPECT, inspect_main },
    { "bench", TOOL_BENCH, bench_main },
    { "make", TOOL_MAKE, make_main },
    { "tokenize", TOOL_TOKENIZE, tokenize_main },
    { "perplexity", TOOL_PERPLEXITY, perplexity_main },
    { "imatrix", TOOL_IMATRIX, imatrix_main },
    { "quantize", TOOL_QUANTIZE, quantize_main },
    { "devices", TOOL_DEVICES, devices_main },
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;

    if (!word) {
        fputs(usage, stderr);
        return TOOL_USAGE;
    }
    if (strcmp(word, "--version") == 0) {
        uint32_t version = llm_version();
        printf("libllm %u.%u\n", (unsigned)(version >> 16), (unsigned)(version & 0xffff));
        return TOOL_OK;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (strcmp(word, "help") == 0 && argc == 2)) {
        fputs(usage, stdout);
        return TOOL_OK;
    }
    char help[] = "--help";
    char *asked[] = { argv[0], argv[1], help, NULL };
    if (strcmp(word, "help") == 0) {                /* libllm help run: as if libllm run --help */
        word = argv[2];
        argv = asked;
        argc = 3;
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(word, commands[i].name) == 0) {
            tool_args args;
            int code = tool_parse(commands[i].id, commands[i].name, argc - 1, argv + 1, &args);
            if (code >= 0)
                return code;
            code = commands[i].main(&args);
            if (fflush(stdout) != 0 || ferror(stdout)) {
                fprintf(stderr, "libllm %s: cannot write to standard output\n", args.name);
                return code ? code : TOOL_FAILED;
            }
            return code;
        }
    fprintf(stderr, "libllm: there is no command \"%s\". libllm --help lists them.\n", word);
    return TOOL_USAGE;
}

int tool_fail(const tool_args *args, const char *doing, const llm_error *error)
{
    if (error->status == LLM_E_CANCELLED && tool_interrupted()) {
        fprintf(stderr, "libllm %s: interrupted\n", args->name);
        return TOOL_INTERRUPTED;
    }
    fprintf(stderr, "libllm %s: %s: %s (%s)\n", args->name, doing, error->message, llm_status_name(error->status));
    return TOOL_FAILED;
}

int tool_usage(const tool_args *args, const char *format, ...)
{
    va_list list;

    fprintf(stderr, "libllm %s: ", args->name);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "\nTry libllm %s --help.\n", args->name);
    return TOOL_USAGE;
}

char *tool_read_file(const char *path, size_t *n)
{
    FILE *file = path ? fopen(path, "rb") : stdin;
    size_t cap = 4096, size = 0;
    char *text = file ? malloc(cap + 1) : NULL;

    while (text) {
        size_t got = fread(text + size, 1, cap - size, file);
        char *grown;
        size += got;
        if (got == 0)
            break;
        if (size == cap) {
            grown = realloc(text, (cap *= 2) + 1);
            if (!grown)
                free(text);
            text = grown;
        }
    }
    if (text && ferror(file)) {
        free(text);
        text = NULL;
    }
    if (file && path)
        fclose(file);
    if (text)
        text[size] = 0;
    *n = size;
    return text;
}

int32_t tool_cpu_tier(const tool_args *args) { return args->cpu_tier ? args->cpu_tier : LLM_CPU_AMX; }

const char *tool_tier_name(int32_t tier)
{
    switch (tier) {
    case LLM_CPU_REFERENCE: return "reference";
    case LLM_CPU_AVX2: return "avx2";
    case LLM_CPU_AVX512: return "avx512";
    case LLM_CPU_NEON: return "neon";
    case LLM_CPU_NEON_I8MM: return "neon-i8mm";
    case LLM_CPU_AMX: return "amx";
    default: return "unknown";
    }
}

void tool_bytes(uint64_t bytes, char out[32])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    double value = (double)bytes;
    int unit = 0;

    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 32, unit ? "%.2f %s" : "%.0f %s", value, units[unit]);
}

double tool_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- interrupts: a program's business, never the library's -------------------------------------------------------- */

static _Atomic(llm_session *) watched;
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    llm_session *session = atomic_load(&watched);

    (void)number;
    if (interrupted)
        _exit(TOOL_INTERRUPTED);
    interrupted = 1;
    if (session)
        llm_session_cancel(session);                /* legal here: one atomic store */
}

/* Writing goes on after a signal. Reading does only if it is told to: a line that is waited for ends. */
static void catch_interrupts(int flags)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

void tool_catch_interrupts(void) { catch_interrupts(SA_RESTART); }
void tool_break_reads(bool on) { catch_interrupts(on ? 0 : SA_RESTART); }

void tool_watch(llm_session *session) { atomic_store(&watched, session); }
bool tool_interrupted(void) { return interrupted != 0; }
void tool_clear_interrupt(void) { interrupted = 0; }
