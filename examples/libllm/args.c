/* SPDX-License-Identifier: MIT
 * Options: one table says every option's name, who knows it, its kind, its place and its help. */
#define _GNU_SOURCE
#include "tool.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { KIND_FLAG, KIND_TEXT, KIND_INT, KIND_UINT, KIND_FLOAT, KIND_LIST, KIND_TIER, KIND_STATE, KIND_STOP, KIND_BREAKER, KIND_ORDER, KIND_SEED, KIND_HELP };

typedef struct args_option {
    char        letter;                 /* or 0 */
    const char *name;
    int         commands, kind;
    size_t      place;                  /* in tool_args */
    double      least, most;            /* numbers */
    const char *value, *help;
} args_option;

#define AT(field) offsetof(tool_args, field)
#define TALKS (TOOL_RUN | TOOL_CHAT)
#define COMPUTES (TALKS | TOOL_BENCH | TOOL_PERPLEXITY | TOOL_IMATRIX)
#define ALL (COMPUTES | TOOL_INSPECT)
#define MANY 2147483647.0

static const args_option options[] = {
    { 'm', "model", ALL | TOOL_TOKENIZE, KIND_TEXT, AT(model), 0, 0, "FILE", "a GGUF model; of a split one the first file" },
    { 0, "shape", ALL | TOOL_MAKE | TOOL_TOKENIZE, KIND_TEXT, AT(shape), 0, 0, "NAME",
      "instead of a file: random weights in memory; tiny, tiny-qwen3, tiny-moe, 135m, 0.6b, 1b, 3b, 8b" },
    { 0, "type", ALL | TOOL_MAKE, KIND_TEXT, AT(type), 0, 0, "TYPE",
      "their type: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, iq4_nl, mxfp4, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_xs, q4_k_m, q5_k_m (default q4_0)" },
    { 0, "weight-seed", ALL | TOOL_MAKE, KIND_UINT, AT(weight_seed), 0, 0, "N", "their seed (default 1)" },
    { 0, "pack", ALL, KIND_TEXT, AT(pack), 0, 0, "FILE",
      "where the laid-out weights are kept for later loads, which are then instant; made if it is not there or of another model" },
    { 'o', "output", TOOL_MAKE | TOOL_IMATRIX, KIND_TEXT, AT(output), 0, 0, "FILE", "the file to write" },

    { 'p', "prompt", TOOL_RUN, KIND_TEXT, AT(prompt), 0, 0, "TEXT", "the text to continue; without -p and -f: line by line from standard input" },
    { 'p', "prompt", TOOL_CHAT, KIND_TEXT, AT(prompt), 0, 0, "TEXT", "answer this and end, instead of talking" },
    { 0, "system", TOOL_CHAT, KIND_TEXT, AT(system), 0, 0, "TEXT", "what the model is told before all else" },
    { 0, "chat-template", TOOL_CHAT, KIND_TEXT, AT(chat_template), 0, 0, "NAME", "one of the model's templates, or of the library's: chatml, llama3, gemma, mistral, phi3, zephyr (default: the model's)" },
    { 'f', "file", TOOL_RUN, KIND_TEXT, AT(prompt_file), 0, 0, "FILE", "the text to continue, from a file" },
    { 'n', "predict", TALKS, KIND_INT, AT(n_predict), -1, MANY, "N", "at most so many tokens; -1: to the end of the reply or the context (default -1)" },

    { 'p', "prompt", TOOL_TOKENIZE, KIND_TEXT, AT(prompt), 0, 0, "TEXT", "the text; without -p and -f: all of standard input" },
    { 'f', "file", TOOL_TOKENIZE, KIND_TEXT, AT(prompt_file), 0, 0, "FILE", "the text, from a file" },
    { 0, "ids", TOOL_TOKENIZE, KIND_FLAG, AT(ids), 0, 0, NULL, "the ids alone, as a list: [1, 2, 3]" },
    { 0, "no-bos", TOOL_TOKENIZE, KIND_FLAG, AT(no_bos), 0, 0, NULL, "do not put BOS and EOS around it, even if the model wants them" },
    { 0, "no-parse-special", TOOL_TOKENIZE, KIND_FLAG, AT(no_parse_special), 0, 0, NULL, "text like <|im_end|> stays text" },
    { 0, "show-count", TOOL_TOKENIZE, KIND_FLAG, AT(count), 0, 0, NULL, "how many tokens there are, on a line at the end" },

    { 'f', "file", TOOL_PERPLEXITY | TOOL_IMATRIX, KIND_TEXT, AT(prompt_file), 0, 0, "FILE", "the text" },
    { 0, "ppl-stride", TOOL_PERPLEXITY, KIND_INT, AT(ppl_stride), 0, MANY, "N",
      "windows every N tokens, the last N of each scored; 0: windows side by side, their second halves scored (default 0)" },
    { 0, "process-output", TOOL_IMATRIX, KIND_FLAG, AT(process_output), 0, 0, NULL, "the output matrix too" },
    { 0, "imatrix", TOOL_QUANTIZE, KIND_TEXT, AT(imatrix), 0, 0, "FILE", "an importance matrix, from libllm imatrix or llama.cpp: what it calls important is kept exact" },
    { 0, "pure", TOOL_QUANTIZE, KIND_FLAG, AT(pure), 0, 0, NULL, "the one type for every matrix, also those that would get more bits" },
    { 0, "leave-output-tensor", TOOL_QUANTIZE, KIND_FLAG, AT(keep_output), 0, 0, NULL, "the output matrix stays as it is" },
    { 0, "chunks", TOOL_PERPLEXITY | TOOL_IMATRIX, KIND_INT, AT(chunks), -1, MANY, "N", "only so many windows; -1: all (default -1)" },
    { 0, "save-all-logits", TOOL_PERPLEXITY, KIND_TEXT, AT(save_logits), 0, 0, "FILE", "write this model's predictions, as a base to compare others with" },
    { 0, "kl-divergence-base", TOOL_PERPLEXITY, KIND_TEXT, AT(kl_base), 0, 0, "FILE", "a base that was written so; with --kl-divergence" },
    { 0, "kl-divergence", TOOL_PERPLEXITY, KIND_FLAG, AT(kl), 0, 0, NULL, "compare with the base: text and windows are the base's" },

    { 'p', "prompt", TOOL_BENCH, KIND_LIST, AT(prompts), 0, MANY, "N,...", "prefill: tokens of the prompt (default 512)" },
    { 'n', "predict", TOOL_BENCH, KIND_LIST, AT(replies), 0, MANY, "N,...", "decode: tokens one by one (default 128)" },
    { 'd', "depth", TOOL_BENCH, KIND_LIST, AT(depths), 0, MANY, "N,...", "tokens that are in the context before (default 0)" },
    { 0, "sessions", TOOL_BENCH, KIND_LIST, AT(sessions), 1, 64, "N,...", "decode: so many sessions together, a token of each in every pass (default 1)" },
    { 't', "threads", TOOL_BENCH, KIND_LIST, AT(threads), 0, 1024, "N,...", "threads; 0: one per performance core (default 0)" },
    { 'r', "repetitions", TOOL_BENCH, KIND_INT, AT(repetitions), 1, 1000, "N", "runs of each test; the median counts (default 3)" },

    { 't', "threads", TALKS | TOOL_INSPECT | TOOL_PERPLEXITY | TOOL_IMATRIX | TOOL_QUANTIZE, KIND_INT, AT(n_threads), 0, 1024, "N", "threads; 0: one per performance core (default 0)" },
    { 'c', "ctx-size", TALKS | TOOL_BENCH | TOOL_INSPECT, KIND_INT, AT(n_ctx), 0, MANY, "N", "context in tokens; 0: the model's, at most 4096 (default 0)" },
    { 'c', "ctx-size", TOOL_PERPLEXITY | TOOL_IMATRIX, KIND_INT, AT(n_ctx), 0, MANY, "N", "tokens of a window; 0: 512 (default 0)" },
    { 0, "chunk", ALL, KIND_INT, AT(n_chunk), 0, 65536, "N", "most tokens a pass takes in; 0: 512 (default 0)" },
    { 0, "cpu-mask", ALL, KIND_TIER, AT(cpu_tier), 0, 0, "TIER", "no better kernels than: reference, avx2, avx512, neon, neon-i8mm, amx (default: the best). The bits are the same" },
    { 0, "device", COMPUTES, KIND_TEXT, AT(device), 0, 0, "NAME",
      "cpu, vulkan (the best GPU), or a number of libllm devices. run, chat and perplexity: default the best GPU that passes its self-test, else the CPU;\n"
      "                                 the CPU too with -t or --cpu-mask. bench and imatrix: default cpu" },
    { 0, "device-layers", COMPUTES, KIND_INT, AT(device_layers), -1, 1024, "N", "of a GPU: the last N layers run there, the first ones on the CPU; 0: as many as fit, -1: all (default 0)" },
    { 0, "state-type", ALL, KIND_STATE, AT(state_type), 0, 0, "TYPE", "what the model remembers (KV cache): f16, f32, int8 (default f16)" },

    { 0, "temp", TALKS, KIND_FLOAT, AT(temperature), 0, 100, "X", "temperature; 0: always the likeliest token (default 0.8)" },
    { 0, "top-k", TALKS, KIND_INT, AT(top_k), 0, MANY, "N", "draw from the N likeliest; 0: off (default 40)" },
    { 0, "top-p", TALKS, KIND_FLOAT, AT(top_p), 0, 1, "X", "draw from the likeliest of mass X; 1: off (default 0.95)" },
    { 0, "min-p", TALKS, KIND_FLOAT, AT(min_p), 0, 1, "X", "draw from those at least X times as likely as the first; 0: off (default 0.05)" },
    { 0, "repeat-penalty", TALKS, KIND_FLOAT, AT(repeat_penalty), 0, 100, "X", "weaken what was said; 1: off (default 1)" },
    { 0, "repeat-last-n", TALKS, KIND_INT, AT(repeat_last_n), -1, MANY, "N", "penalties look back so far; -1: all (default 64)" },
    { 0, "frequency-penalty", TALKS, KIND_FLOAT, AT(frequency_penalty), -100, 100, "X", "subtracted for each time it was said (default 0)" },
    { 0, "presence-penalty", TALKS, KIND_FLOAT, AT(presence_penalty), -100, 100, "X", "subtracted if it was said (default 0)" },
    { 0, "dynatemp-range", TALKS, KIND_FLOAT, AT(dynatemp_range), 0, 100, "X", "temperature - X where the model is sure, + X where it is not; 0: off (default 0)" },
    { 0, "dynatemp-exp", TALKS, KIND_FLOAT, AT(dynatemp_exponent), 0, 100, "X", "how it runs from one to the other (default 1)" },
    { 0, "typical", TALKS, KIND_FLOAT, AT(typical_p), 0, 1, "X", "draw from the most typical of mass X; 1: off (default 1)" },
    { 0, "top-nsigma", TALKS, KIND_FLOAT, AT(top_n_sigma), -1, 1000, "X", "draw from those within X standard deviations of the best; -1: off (default -1)" },
    { 0, "xtc-probability", TALKS, KIND_FLOAT, AT(xtc_probability), 0, 1, "X", "exclude the top choices but one, this often; 0: off (default 0)" },
    { 0, "xtc-threshold", TALKS, KIND_FLOAT, AT(xtc_threshold), 0, 1, "X", "what is a top choice; over 0.5: off (default 0.1)" },
    { 0, "dry-multiplier", TALKS, KIND_FLOAT, AT(dry_multiplier), 0, 1000, "X", "weaken what would carry on a repetition (DRY); 0: off (default 0)" },
    { 0, "dry-base", TALKS, KIND_FLOAT, AT(dry_base), 1, 1000, "X", "so many times more for each token of it (default 1.75)" },
    { 0, "dry-allowed-length", TALKS, KIND_INT, AT(dry_allowed_length), 1, 1024, "N", "repetitions of fewer tokens are free (default 2)" },
    { 0, "dry-penalty-last-n", TALKS, KIND_INT, AT(dry_last_n), -1, MANY, "N", "DRY looks back so far; -1: all (default -1)" },
    { 0, "dry-sequence-breaker", TALKS, KIND_BREAKER, 0, 0, 0, "TEXT", "repetitions end at this text; several times; \"none\": nowhere (default newline : \" *)" },
    { 0, "mirostat", TALKS, KIND_INT, AT(mirostat), 0, 2, "N", "draw by Mirostat, 1 or 2, in place of all but the temperature; 0: off (default 0)" },
    { 0, "mirostat-ent", TALKS, KIND_FLOAT, AT(mirostat_tau), 0, 1000, "X", "the surprise that it steers to, in bits (default 5)" },
    { 0, "mirostat-lr", TALKS, KIND_FLOAT, AT(mirostat_eta), 0, 1000, "X", "how fast it learns (default 0.1)" },
    { 0, "adaptive-target", TALKS, KIND_FLOAT, AT(adaptive_target), -1, 1, "X", "draw tokens of about this probability (adaptive-p); -1: off (default -1)" },
    { 0, "adaptive-decay", TALKS, KIND_FLOAT, AT(adaptive_decay), 0, 0.99, "X", "of what it remembers (default 0.9)" },
    { 0, "samplers", TALKS, KIND_ORDER, AT(samplers), 0, 0, "NAMES",
      "stages in their order (default penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature)" },
    { 0, "json-schema", TALKS, KIND_TEXT, AT(json_schema), 0, 0, "FILE", "replies are JSON that this JSON Schema allows" },
    { 0, "grammar", TALKS, KIND_TEXT, AT(grammar), 0, 0, "FILE", "replies are texts of this GBNF grammar" },
    { 0, "regex", TALKS, KIND_TEXT, AT(regex), 0, 0, "R", "replies match this regular expression" },
    { 's', "seed", TALKS | TOOL_BENCH, KIND_SEED, AT(seed), 0, 0, "N", "the same seed, the same text (run, chat: default is the time; it is told at the end, and by /stats)" },
    { 0, "stop", TALKS, KIND_STOP, 0, 0, 0, "TEXT", "end the reply before this text; may be given several times" },
    { 0, "ignore-eos", TOOL_RUN, KIND_FLAG, AT(ignore_end), 0, 0, NULL, "go on after an end token" },
    { 0, "parse-special", TOOL_RUN | TOOL_PERPLEXITY | TOOL_IMATRIX, KIND_FLAG, AT(parse_special), 0, 0, NULL, "text like <|im_end|> that is given becomes that control token" },
    { 0, "no-display-prompt", TOOL_RUN, KIND_FLAG, AT(hide_prompt), 0, 0, NULL, "print the reply alone, without the prompt before it" },

    { 0, "full", TOOL_INSPECT, KIND_FLAG, AT(full), 0, 0, NULL, "arrays of the metadata in full" },
    { 0, "hash", TOOL_BENCH, KIND_FLAG, AT(hash), 0, 0, NULL,
      "print only a hash of the logits of a short seeded run: the same for all threads, chunks, tiers and builds" },
    { 0, "no-ceilings", TOOL_BENCH, KIND_FLAG, AT(no_ceilings), 0, 0, NULL, "do not measure the machine's ceilings" },
    { 0, "json", TOOL_INSPECT | TOOL_BENCH | TOOL_TOKENIZE | TOOL_PERPLEXITY, KIND_FLAG, AT(json), 0, 0, NULL, "JSON on standard output" },
    { 'q', "quiet", ALL | TOOL_MAKE | TOOL_TOKENIZE | TOOL_QUANTIZE | TOOL_DEVICES, KIND_FLAG, AT(quiet), 0, 0, NULL, "no progress and no numbers on standard error" },
    { 'v', "verbose", ALL | TOOL_TOKENIZE | TOOL_QUANTIZE | TOOL_DEVICES, KIND_FLAG, AT(verbose), 0, 0, NULL, "the library's log on standard error" },
    { 'h', "help", ALL | TOOL_MAKE | TOOL_TOKENIZE | TOOL_QUANTIZE | TOOL_DEVICES, KIND_HELP, 0, 0, 0, NULL, "this text" },
};
enum { N_OPTIONS = sizeof options / sizeof options[0] };

static const struct { int command; const char *head, *tail; } pages[] = {
    { TOOL_RUN,
      "usage: libllm run [-m FILE] [-p TEXT] [OPTION]...\n\n"
      "Continues a text with the model; without -m with the one that comes with libllm, which tells small stories.\n"
      "Only text goes to standard output; progress and speed go to standard error.\n"
      "Without -p and -f it reads lines: each is put after what was said, an empty one goes on, Ctrl-C ends a reply,\n"
      "Ctrl-D ends. To talk with an assistant, in the form that its model was taught: libllm chat.\n\n",
      "\nlibllm run -m model.gguf -p \"Once upon a time\" -n 120 --temp 0\n" },
    { TOOL_CHAT,
      "usage: libllm chat [-m FILE] [-p TEXT] [OPTION]...\n\n"
      "An assistant in the terminal: it answers what you type, with the model's own chat template. Without -m with the model that comes\n"
      "with libllm, which knows little. /help lists commands, Ctrl-C stops a reply, Ctrl-D ends. Replies go to standard output, all else to\n"
      "standard error; thoughts of models that think first are shown on a terminal only.\n\n",
      "\nlibllm chat -m model.gguf --system \"You are brief.\"\nlibllm chat -p \"What is 17 + 25?\" --temp 0 -q\n" },
    { TOOL_INSPECT,
      "usage: libllm inspect [-m] FILE [OPTION]...\n\n"
      "Shows what a GGUF file holds (metadata, tokenizer, tensors) and the memory that running it would take,\n"
      "without reading its weights.\n\n",
      "\nlibllm inspect model.gguf -c 8192\nlibllm inspect model.gguf --json\n" },
    { TOOL_BENCH,
      "usage: libllm bench (-m FILE | --shape NAME [--type TYPE]) [OPTION]...\n\n"
      "Measures prefill (a prompt at once) and decode (token by token) and compares them with the machine's ceilings, measured\n"
      "before and after: decode with the bandwidth of memory, prefill with the peak of int8 (quantized weights) or f32\n"
      "arithmetic. Weights are made in memory from a seed: speed does not depend on what a model has learnt.\n\n",
      "\nlibllm bench --shape 1b --type q4_0 -t 1,2 -d 0,4096\nlibllm bench -m model.gguf -p 512 -n 128 --json\n" },
    { TOOL_DEVICES,
      "usage: libllm devices [OPTION]...\n\n"
      "Lists the processor and the GPUs that Vulkan's drivers see, with their memory, what they can do, and what the self-test of\n"
      "libllm's shaders found on their drivers. The number is what --device takes.\n\n",
      "\nlibllm devices\nlibllm run --device vulkan -p \"Once upon a time\"\n" },
    { TOOL_MAKE,
      "usage: libllm make --shape NAME [--type TYPE] -o FILE [OPTION]...\n\n"
      "Writes the model of random weights that bench and run make in memory, so that other programs can be measured with it.\n"
      "Its text is nonsense.\n\n",
      "\nlibllm make --shape 1b --type q4_k_m -o random-1b.gguf\n" },
    { TOOL_TOKENIZE,
      "usage: libllm tokenize -m FILE [-p TEXT | -f FILE] [OPTION]...\n\n"
      "Shows a text's tokens, one a line: id and bytes. Reads the vocabulary alone.\n\n",
      "\nlibllm tokenize -m model.gguf -p \"Once upon a time\" --ids\n" },
    { TOOL_IMATRIX,
      "usage: libllm imatrix -m FILE -f TEXT -o FILE [OPTION]...\n\n"
      "Lets the model read a text and writes, for each of its matrices, the sums of the squares of what its columns were multiplied\n"
      "with. libllm quantize --imatrix (and llama.cpp's quantizer) keep exact what counts. Take a text like those the model will see,\n"
      "a hundred windows or more, and a model of full precision.\n\n",
      "\nlibllm imatrix -m model-f16.gguf -f text.txt -o model.imatrix --chunks 200\n" },
    { TOOL_QUANTIZE,
      "usage: libllm quantize IN OUT TYPE [OPTION]...\n\n"
      "Writes the model file IN (F32, F16 or BF16; of a split one the first file) anew as OUT, with smaller weights. A few rows are in\n"
      "memory at a time. OUT is written whole or not at all, and may be IN. TYPE, bits a weight, and what it is for:\n\n"
      "  q8_0     8.5   hardly told from the original        q4_k_m   4.8   the usual one\n"
      "  q6_k     6.6   very near to it                      q4_k_s   4.6   a little smaller\n"
      "  q5_k_m   5.7   between                              iq4_xs   4.3   the smallest here\n"
      "  q5_k_s   5.5   a little smaller                     q4_0     4.5   simple and fast\n"
      "  f32 bf16 f16   from one to another                  iq4_nl q4_1 q5_0 q5_1   for rows of odd lengths\n\n",
      "\nlibllm quantize model-f16.gguf model-q4_k_m.gguf q4_k_m\nlibllm quantize model-f16.gguf model-iq4_xs.gguf iq4_xs --imatrix model.imatrix\n" },
    { TOOL_PERPLEXITY,
      "usage: libllm perplexity -m FILE -f TEXT [-c N] [OPTION]...\n"
      "       libllm perplexity -m FILE -f TEXT --save-all-logits BASE\n"
      "       libllm perplexity -m FILE --kl-divergence-base BASE --kl-divergence\n\n"
      "Tells how well a model foretells a text: exp of the mean -log p of its tokens, with one standard error. It depends on the\n"
      "tokenizer and on the windows: compare like with like. With a base, which another model (often the same before it was\n"
      "quantized) has written, also how far the two models' predictions lie apart, token by token: the Kullback-Leibler divergence.\n"
      "Windows and base files are those of llama.cpp's perplexity tool.\n\n",
      "\nlibllm perplexity -m model-f32.gguf -f text.txt --save-all-logits base.bin\n"
      "libllm perplexity -m model-q4_k_m.gguf --kl-divergence-base base.bin --kl-divergence\n" },
};

static int args_help(int command)
{
    const char *tail = "";

    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (pages[i].command == command) {
            fputs(pages[i].head, stdout);
            tail = pages[i].tail;
        }
    for (int i = 0; i < N_OPTIONS; i++) {
        const args_option *o = &options[i];
        char left[64];
        if (!(o->commands & command))
            continue;
        if (o->letter)
            snprintf(left, sizeof left, "-%c, --%s %s", o->letter, o->name, o->value ? o->value : "");
        else
            snprintf(left, sizeof left, "    --%s %s", o->name, o->value ? o->value : "");
        printf("  %-30s %s\n", left, o->help);
    }
    fputs(tail, stdout);
    return TOOL_OK;
}

/* ---- values: all of the word must be the number, and it must be in its range ---------------------------------------- */

static bool args_int(const char *text, double least, double most, int64_t *out)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (end == text || *end || errno || (double)value < least || (double)value > most)
        return false;
    *out = value;
    return true;
}

static bool args_uint(const char *text, uint64_t *out)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 0);
    if (end == text || *end || errno || strchr(text, '-'))
        return false;
    *out = value;
    return true;
}

static bool args_list(const char *text, double least, double most, tool_list *out)
{
    out->n = 0;
    for (;;) {
        char word[32];
        size_t len = strcspn(text, ",");
        if (len >= sizeof word || out->n == TOOL_MAX_LIST)
            return false;
        memcpy(word, text, len);
        word[len] = 0;
        if (!args_int(word, least, most, &out->at[out->n++]))
            return false;
        if (!text[len])
            return true;
        text += len + 1;
    }
}

/* Puts one value into its place. NULL, or what was expected. */
static const char *args_set(tool_args *args, const args_option *o, const char *text)
{
    static const struct { const char *name; int32_t tier; } tiers[] = {
        { "reference", LLM_CPU_REFERENCE }, { "avx2", LLM_CPU_AVX2 }, { "avx512", LLM_CPU_AVX512 }, { "neon", LLM_CPU_NEON },
        { "neon-i8mm", LLM_CPU_NEON_I8MM }, { "amx", LLM_CPU_AMX },
    };
    static const struct { const char *name; int32_t type; } states[] = { { "f16", LLM_STATE_TYPE_F16 }, { "f32", LLM_STATE_TYPE_F32 }, { "int8", LLM_STATE_TYPE_INT8 } };
    void *place = (char *)args + o->place;

    switch (o->kind) {
    case KIND_FLAG:
        *(bool *)place = true;
        return NULL;
    case KIND_TEXT:
        *(const char **)place = text;
        return NULL;
    case KIND_INT:
        return args_int(text, o->least, o->most, place) ? NULL : "a whole number in its range";
    case KIND_UINT:
        return args_uint(text, place) ? NULL : "a whole number, not negative";
    case KIND_SEED:
        args->seed_given = true;
        return args_uint(text, place) ? NULL : "a whole number, not negative";
    case KIND_FLOAT: {
        char *end;
        double value = strtod(text, &end);
        if (end == text || *end || !(value >= o->least && value <= o->most))
            return "a number in its range";
        *(float *)place = (float)value;
        return NULL;
    }
    case KIND_ORDER: {
        uint8_t order[SAMPLING_MOST_STAGES];
        *(const char **)place = text;
        return sampling_order(text, order) >= 0 ? NULL : "names of stages with ; between them, each once (--help has them all)";
    }
    case KIND_BREAKER:
        args->no_dry_breakers = strcmp(text, "none") == 0;
        if (args->no_dry_breakers)
            args->n_dry_breakers = 0;
        else if (!*text || args->n_dry_breakers == TOOL_MAX_STOPS)
            return "a text, at most 16 times";
        else
            args->dry_breakers[args->n_dry_breakers++] = (llm_str){ text, strlen(text) };
        return NULL;
    case KIND_LIST:
        return args_list(text, o->least, o->most, place) ? NULL : "one to 16 whole numbers with commas between them";
    case KIND_TIER:
        for (size_t i = 0; i < sizeof tiers / sizeof tiers[0]; i++)
            if (strcmp(text, tiers[i].name) == 0) {
                *(int32_t *)place = tiers[i].tier;
                return NULL;
            }
        return "reference, avx2, avx512 or neon";
    case KIND_STATE:
        for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
            if (strcmp(text, states[i].name) == 0) {
                *(int32_t *)place = states[i].type;
                return NULL;
            }
        return "f16, f32 or int8";
    default:                            /* KIND_STOP */
        if (!*text || args->n_stops == TOOL_MAX_STOPS)
            return "a text, at most 16 times";
        args->stops[args->n_stops++] = (llm_str){ text, strlen(text) };
        return NULL;
    }
}

bool tool_given(const tool_args *args, size_t place)
{
    for (int i = 0; i < args->n_given; i++)
        if (args->given[i] == place)
            return true;
    return false;
}

static void args_defaults(tool_args *args)
{
    memset(args, 0, sizeof *args);
    args->type = "q4_0";
    args->weight_seed = 1;
    args->prompts = (tool_list){ 1, { 512 } };
    args->replies = (tool_list){ 1, { 128 } };
    args->depths = (tool_list){ 1, { 0 } };
    args->threads = (tool_list){ 1, { 0 } };
    args->sessions = (tool_list){ 1, { 1 } };
    args->repetitions = 3;
    args->n_predict = -1;
    args->temperature = 0.8f;
    args->top_k = 40;
    args->top_p = 0.95f;
    args->min_p = 0.05f;
    args->repeat_penalty = 1;
    args->repeat_last_n = 64;
    args->dynatemp_exponent = 1;
    args->typical_p = 1;
    args->top_n_sigma = -1;
    args->xtc_threshold = 0.1f;
    args->dry_base = 1.75f;
    args->dry_allowed_length = 2;
    args->dry_last_n = -1;
    args->mirostat_tau = 5;
    args->mirostat_eta = 0.1f;
    args->adaptive_target = -1;
    args->adaptive_decay = 0.9f;
}

/* What the options say together. */
static int args_check(tool_args *args)
{
    if (args->command == TOOL_DEVICES)
        return -1;
    if (args->command == TOOL_MAKE) {
        if (!args->shape || !args->output)
            return tool_usage(args, "give a shape and a file: --shape 1b -o FILE");
        return -1;
    }
    if (args->model && args->shape)
        return tool_usage(args, "give a file (-m) or a shape (--shape), not both");
    if (!args->model && !args->shape && (args->command & TALKS))
        args->model = tool_box();
    if (!args->model && !args->shape)
        return tool_usage(args, "no model: give a GGUF file with -m FILE, or random weights with --shape tiny");
    if (args->prompt && args->prompt_file)
        return tool_usage(args, "give the text with -p or with -f, not both");
    if (args->command == TOOL_IMATRIX && (!args->prompt_file || !args->output))
        return tool_usage(args, "give a text and a file: -f TEXT -o FILE");
    if (args->command == TOOL_PERPLEXITY) {
        if (args->kl != (args->kl_base != NULL))
            return tool_usage(args, args->kl ? "--kl-divergence needs a base: --kl-divergence-base FILE"
                                             : "to compare with the base add --kl-divergence; to write one use --save-all-logits FILE");
        if (args->kl && (args->prompt_file || args->save_logits || args->ppl_stride || args->n_ctx))
            return tool_usage(args, "with --kl-divergence text and windows are the base's: leave out -f, -c, --ppl-stride and --save-all-logits");
        if (args->save_logits && args->ppl_stride)
            return tool_usage(args, "--save-all-logits is for windows side by side: leave out --ppl-stride");
        if (!args->kl && !args->prompt_file)
            return tool_usage(args, "no text: give one with -f FILE");
    }
    return -1;
}

int tool_parse(int command, const char *name, int argc, char **argv, tool_args *args)
{
    struct option longs[N_OPTIONS + 1];
    const args_option *by_value[N_OPTIONS];
    char letters[3 * N_OPTIONS + 3] = ":";
    int n = 0, got;

    args_defaults(args);
    args->command = command;
    args->name = name;
    for (int i = 0; i < N_OPTIONS; i++) {
        const args_option *o = &options[i];
        int takes = o->kind == KIND_FLAG || o->kind == KIND_HELP ? no_argument : required_argument;
        if (!(o->commands & command))
            continue;
        longs[n] = (struct option){ o->name, takes, NULL, 256 + n };
        by_value[n++] = o;
        if (o->letter) {
            char add[3] = { o->letter, takes == required_argument ? ':' : 0, 0 };
            strcat(letters, add);
        }
    }
    memset(&longs[n], 0, sizeof longs[n]);

    optind = 1;
    opterr = 0;
    while ((got = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const args_option *o = NULL;
        const char *expected;
        if (got == ':')
            return tool_usage(args, "%s wants a value", argv[optind - 1]);
        if (got == '?' && optopt > 0 && optopt < 256)
            return tool_usage(args, "there is no option -%c", optopt);
        if (got == '?')
            return tool_usage(args, "there is no option %s, or it takes no value, or its name is cut too short", argv[optind - 1]);
        for (int i = 0; i < n; i++)
            if (got == 256 + i || (got < 256 && by_value[i]->letter == got))
                o = by_value[i];
        if (!o)
            return tool_usage(args, "there is no such option");
        if (o->kind == KIND_HELP)
            return args_help(command);
        if ((expected = args_set(args, o, optarg)) != NULL)
            return tool_usage(args, "--%s %s: expected %s", o->name, optarg ? optarg : "", expected);
        if (args->n_given < TOOL_MAX_GIVEN)
            args->given[args->n_given++] = o->place;
    }
    if (optind < argc && command == TOOL_INSPECT && !args->model)
        args->model = argv[optind++];
    if (command == TOOL_QUANTIZE) {
        if (argc - optind < 3)
            return tool_usage(args, "give the model file, the file to write and a type: libllm quantize IN OUT TYPE");
        args->model = argv[optind++];
        args->output = argv[optind++];
        args->type = argv[optind++];
    }
    if (optind < argc)
        return tool_usage(args, "what is \"%s\"? Texts with spaces need quotation marks", argv[optind]);
    if (!args->seed_given && (command & TALKS)) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        args->seed = ((uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec) & 0xffffffffu;
    }
    return args_check(args);
}
