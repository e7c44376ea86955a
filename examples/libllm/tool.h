/* SPDX-License-Identifier: MIT
 * What the parts of the libllm command share: options, the opened engine and model, messages. The command is a program like any
 * other: it includes llm.h and nothing else of the library. */
#ifndef LIBLLM_TOOL_H
#define LIBLLM_TOOL_H

#include <llm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOOL_OK = 0, TOOL_FAILED = 1, TOOL_USAGE = 2, TOOL_INTERRUPTED = 130 };   /* exit codes */

enum { TOOL_RUN = 1, TOOL_INSPECT = 2, TOOL_BENCH = 4, TOOL_MAKE = 8, TOOL_TOKENIZE = 16, TOOL_PERPLEXITY = 32, TOOL_IMATRIX = 64, TOOL_QUANTIZE = 128,
       TOOL_DEVICES = 256, TOOL_CHAT = 512 };   /* which commands know an option */

enum { TOOL_MAX_LIST = 16, TOOL_MAX_STOPS = 16, TOOL_MAX_GIVEN = 128, TOOL_NAME = 256 };
typedef struct tool_list { int n; int64_t at[TOOL_MAX_LIST]; } tool_list;

typedef struct tool_args {
    int         command;                /* TOOL_RUN ... */
    const char *name;                   /* "run": for messages */
    const char *model, *shape, *type;   /* a file, or random weights of a shape */
    const char *pack;
    uint64_t    weight_seed;
    const char *output;                 /* make */
    const char *prompt, *prompt_file;
    const char *system, *chat_template; /* chat */
    tool_list   prompts, replies, depths, sessions, threads;    /* bench: -p, -n, -d, --sessions, -t */
    int64_t     n_predict, n_ctx, n_threads, n_chunk, repetitions;
    int32_t     cpu_tier, state_type;   /* LLM_CPU_*, LLM_STATE_TYPE_* */
    float       temperature, top_p, min_p, repeat_penalty, frequency_penalty, presence_penalty;
    int64_t     top_k, repeat_last_n;
    float       dynatemp_range, dynatemp_exponent, typical_p, top_n_sigma, xtc_probability, xtc_threshold, dry_multiplier, dry_base;
    float       mirostat_tau, mirostat_eta, adaptive_target, adaptive_decay;
    int64_t     dry_allowed_length, dry_last_n, mirostat;
    llm_str     dry_breakers[TOOL_MAX_STOPS];
    int         n_dry_breakers;
    bool        no_dry_breakers;
    const char *json_schema, *grammar, *regex;      /* two files and an expression; one of them */
    const char *samplers;               /* names with ';' between them; NULL: the usual order */
    uint64_t    seed;
    bool        seed_given, ignore_end, parse_special, hide_prompt, json, full, hash, no_ceilings, quiet, verbose;
    llm_str     stops[TOOL_MAX_STOPS];
    int         n_stops;
    bool        ids, count, no_bos, no_parse_special;   /* tokenize */
    int64_t     ppl_stride, chunks;     /* perplexity */
    const char *save_logits, *kl_base;
    bool        kl;
    bool        process_output;         /* imatrix */
    const char *imatrix;                /* quantize */
    bool        pure, keep_output;
    const char *device;                 /* "cpu", "vulkan", a number; NULL: the best, or the CPU */
    int64_t     device_layers;          /* llm_model_desc.n_device_layers */
    size_t      given[TOOL_MAX_GIVEN];  /* places of the options that the user gave */
    int         n_given;
} tool_args;

/* True if the user gave the option that has this place in tool_args. */
bool tool_given(const tool_args *args, size_t place);

/* Fills args from the words after the command's name. Returns -1 to go on, else an exit code (help was shown, or a usage error
 * was explained). */
int tool_parse(int command, const char *name, int argc, char **argv, tool_args *args);

typedef struct shape_model shape_model;
typedef struct tool_model {
    llm_engine  *engine;
    llm_model   *model;
    shape_model *shape;                 /* random weights, or NULL */
    llm_reader   reader;
    llm_source   source;                /* what the model comes from */
    double       load_seconds;
    char         device[TOOL_NAME];     /* the GPU's name; empty: the CPU */
} tool_model;

/* Opens an engine and the model that args name, with a progress bar on a terminal. n_threads: as llm_engine_desc. Returns an
 * exit code and says on stderr what went wrong. Close it in any case. */
int  tool_open(const tool_args *args, int32_t n_threads, uint32_t model_flags, tool_model *out);
void tool_close(tool_model *model);
void tool_on_log(void *user, int32_t level, const char *text, size_t len);      /* a llm_logger's write, to stderr */
void tool_bar(const char *doing, float fraction, int *shown);                   /* a progress bar on stderr; *shown: -1 at first */

/* True if args may come to a GPU. Then: which device, 0: the CPU, and its name; an exit code. What is no good is told on stderr. */
bool tool_wants_gpus(const tool_args *args);
int  tool_choose(const tool_args *args, llm_engine *engine, int32_t *device, char name[TOOL_NAME]);

/* The path of the model in the box, NULL if it is not there. Valid until the next call. */
const char *tool_box(void);

int  tool_fail(const tool_args *args, const char *doing, const llm_error *error);       /* prints; returns TOOL_FAILED */
int  tool_usage(const tool_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));  /* prints; TOOL_USAGE */
char *tool_read_file(const char *path, size_t *n);      /* whole, NUL-terminated, to be freed; NULL: errno says why. path NULL: standard input */
const char *tool_tier_name(int32_t tier);
/* The mask that was given, or AMX: the command owns its process, and so may ask the system for it. */
int32_t     tool_cpu_tier(const tool_args *args);
void tool_bytes(uint64_t bytes, char out[32]);          /* "1.23 GiB" */
double tool_seconds(void);                              /* a clock that only goes forward */

/* Ctrl-C cancels what is in progress: loading, or the session watched. A second one ends the program. */
void tool_catch_interrupts(void);
void tool_break_reads(bool on);                         /* from now on Ctrl-C ends a read (EINTR), or does not */
void tool_watch(llm_session *session);                  /* NULL: nothing to cancel */
bool tool_interrupted(void);
void tool_clear_interrupt(void);

enum { SAMPLING_MOST_STAGES = 16 };
/* Stages by their names, as --samplers has them. Returns how many, -1 for an unknown or repeated name. */
int  sampling_order(const char *text, uint8_t *order);
/* The sampler that args ask for, with the defaults of the model's file. Returns an exit code. */
int  sampling_make(const tool_args *args, const llm_model *model, llm_sampler **out);

int  run_main(const tool_args *args);
int  chat_main(const tool_args *args);
int  inspect_main(const tool_args *args);
int  bench_main(const tool_args *args);
int  make_main(const tool_args *args);
int  quantize_main(const tool_args *args);
int  tokenize_main(const tool_args *args);
int  perplexity_main(const tool_args *args);
int  imatrix_main(const tool_args *args);
int  devices_main(const tool_args *args);

#endif
