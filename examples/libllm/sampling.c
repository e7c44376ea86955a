/* SPDX-License-Identifier: MIT
 * From options to a sampler. What the user did not say is as the model's file says (general.sampling.*), then as the defaults say. */
#include "tool.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 0 means the default to the library; here it means 0. */
static float sampling_positive(float x) { return x > 0 ? x : 1e-30f; }

int sampling_order(const char *text, uint8_t *order)
{
    static const struct { const char *name; uint8_t stage; } names[] = {
        { "penalties", LLM_STAGE_PENALTIES }, { "dry", LLM_STAGE_DRY }, { "top_n_sigma", LLM_STAGE_TOP_N_SIGMA }, { "top_k", LLM_STAGE_TOP_K },
        { "typ_p", LLM_STAGE_TYPICAL }, { "typical", LLM_STAGE_TYPICAL }, { "typical_p", LLM_STAGE_TYPICAL }, { "typ", LLM_STAGE_TYPICAL },
        { "top_p", LLM_STAGE_TOP_P }, { "nucleus", LLM_STAGE_TOP_P }, { "min_p", LLM_STAGE_MIN_P }, { "xtc", LLM_STAGE_XTC },
        { "temperature", LLM_STAGE_TEMPERATURE }, { "temp", LLM_STAGE_TEMPERATURE }, { "adaptive_p", 0 },
    };
    int n = 0;
    while (*text) {
        size_t len = strcspn(text, ";"), i, k;
        for (i = 0; i < sizeof names / sizeof names[0]; i++) {      /* '-' is '_', and '_' may be left out */
            const char *name = names[i].name;
            for (k = 0; k < len && (*name || text[k] == '_'); k++) {
                char c = text[k] == '-' ? '_' : text[k];
                if (*name == '_' && c != '_')
                    name++;
                if (c != *name)
                    break;
                name++;
            }
            if (k == len && !*name)
                break;
        }
        if (i == sizeof names / sizeof names[0] || n == SAMPLING_MOST_STAGES)
            return -1;
        for (k = 0; k < (size_t)n; k++)
            if (order[k] == names[i].stage)
                return -1;
        if (names[i].stage)                         /* adaptive-p draws, wherever it is named */
            order[n++] = names[i].stage;
        text += len;
        if (*text)
            text++;
    }
    return n;
}

/* The keys of a file that say how its maker wants it sampled. */
static void sampling_from_file(tool_args *args, const llm_model *model)
{
    static const struct { const char *key; size_t place; bool integer; double least, most; } keys[] = {
        { "general.sampling.temp", offsetof(tool_args, temperature), false, 0, 1e6 },
        { "general.sampling.top_k", offsetof(tool_args, top_k), true, 0, 1e9 },
        { "general.sampling.top_p", offsetof(tool_args, top_p), false, 0, 1 },
        { "general.sampling.min_p", offsetof(tool_args, min_p), false, 0, 1 },
        { "general.sampling.xtc_probability", offsetof(tool_args, xtc_probability), false, 0, 1 },
        { "general.sampling.xtc_threshold", offsetof(tool_args, xtc_threshold), false, 0, 1 },
        { "general.sampling.penalty_last_n", offsetof(tool_args, repeat_last_n), true, -1, 1e9 },
        { "general.sampling.penalty_repeat", offsetof(tool_args, repeat_penalty), false, 0, 1e6 },
        { "general.sampling.mirostat", offsetof(tool_args, mirostat), true, 0, 2 },
        { "general.sampling.mirostat_tau", offsetof(tool_args, mirostat_tau), false, 0, 1000 },
        { "general.sampling.mirostat_eta", offsetof(tool_args, mirostat_eta), false, 0, 1000 },
    };
    llm_meta meta = LLM_INIT(llm_meta);
    uint8_t order[SAMPLING_MOST_STAGES];

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        void *place = (char *)args + keys[i].place;
        if (tool_given(args, keys[i].place) || llm_model_meta_find(model, keys[i].key, LLM_NUL, &meta, NULL) != LLM_OK)
            continue;
        if (meta.type == LLM_META_STRING || meta.type == LLM_META_ARRAY || !(meta.number >= keys[i].least && meta.number <= keys[i].most))
            fprintf(stderr, "libllm %s: the file's %s is out of its range and not used\n", args->name, keys[i].key);
        else if (keys[i].integer)
            *(int64_t *)place = (int64_t)meta.number;
        else
            *(float *)place = (float)meta.number;
    }
    if (!args->samplers && llm_model_meta_find(model, "general.sampling.sequence", LLM_NUL, &meta, NULL) == LLM_OK && meta.type == LLM_META_STRING) {
        if (sampling_order(meta.string, order) < 0)
            fprintf(stderr, "libllm %s: the file's general.sampling.sequence names an unknown stage and is not used\n", args->name);
        else if (args->mirostat == 0)
            args->samplers = meta.string;
    }
}

/* The one grammar that the options name, or NULL. */
static int sampling_grammar(const tool_args *args, const llm_model *model, llm_grammar **out)
{
    const char *path = args->json_schema ? args->json_schema : args->grammar, *text = args->regex;
    int32_t kind = args->json_schema ? LLM_GRAMMAR_JSON_SCHEMA : args->grammar ? LLM_GRAMMAR_GBNF : LLM_GRAMMAR_REGEX;
    size_t len = LLM_NUL;
    char *read = NULL;
    llm_error error;

    if ((args->json_schema != NULL) + (args->grammar != NULL) + (args->regex != NULL) > 1) {
        fprintf(stderr, "libllm %s: --json-schema, --grammar and --regex: one of them\n", args->name);
        return TOOL_USAGE;
    }
    if (!path && !text)
        return TOOL_OK;
    if (path && (text = read = tool_read_file(path, &len)) == NULL) {
        fprintf(stderr, "libllm %s: cannot read %s: %s\n", args->name, path, strerror(errno));
        return TOOL_FAILED;
    }
    llm_status status = llm_grammar_create(llm_model_tokenizer(model), kind, 0, text, len, out, &error);
    free(read);
    return status == LLM_OK ? TOOL_OK : tool_fail(args, path ? path : "--regex", &error);
}

int sampling_make(const tool_args *given, const llm_model *model, llm_sampler **out)
{
    tool_args args = *given;
    llm_sampler_desc desc = LLM_INIT(llm_sampler_desc);
    uint8_t order[SAMPLING_MOST_STAGES];
    llm_error error;

    sampling_from_file(&args, model);
    desc.temperature = args.temperature;
    desc.top_k = (int32_t)args.top_k;
    desc.top_p = args.top_p < 1 ? sampling_positive(args.top_p) : 0;
    desc.min_p = args.min_p;
    desc.penalty_last_n = (int32_t)args.repeat_last_n;
    if (args.repeat_last_n != 0) {
        desc.repeat_penalty = args.repeat_penalty != 1 ? args.repeat_penalty : 0;
        desc.frequency_penalty = args.frequency_penalty;
        desc.presence_penalty = args.presence_penalty;
    }
    desc.dynatemp_range = args.dynatemp_range;
    desc.dynatemp_exponent = sampling_positive(args.dynatemp_exponent);
    desc.typical_p = args.typical_p < 1 ? sampling_positive(args.typical_p) : 0;
    desc.top_n_sigma = args.top_n_sigma > 0 ? args.top_n_sigma : 0;
    desc.xtc_probability = args.xtc_probability;
    desc.xtc_threshold = sampling_positive(args.xtc_threshold);
    desc.dry_multiplier = args.dry_last_n != 0 ? args.dry_multiplier : 0;
    desc.dry_base = args.dry_base;
    desc.dry_allowed_length = (int32_t)args.dry_allowed_length;
    desc.dry_last_n = (int32_t)args.dry_last_n;
    if (args.n_dry_breakers != 0 || args.no_dry_breakers) {
        desc.dry_breakers = args.dry_breakers;
        desc.n_dry_breakers = (size_t)args.n_dry_breakers;
    }
    desc.mirostat = (int32_t)args.mirostat;
    desc.mirostat_tau = sampling_positive(args.mirostat_tau);
    desc.mirostat_eta = sampling_positive(args.mirostat_eta);
    desc.adaptive_target = args.adaptive_target >= 0 ? sampling_positive(args.adaptive_target) : 0;
    desc.adaptive_decay = sampling_positive(args.adaptive_decay);
    if (args.samplers) {
        desc.order = order;
        desc.n_order = (size_t)sampling_order(args.samplers, order);
    }
    llm_grammar *grammar = NULL;
    int result = sampling_grammar(&args, model, &grammar);
    if (result != TOOL_OK)
        return result;
    desc.grammar = grammar;
    llm_status status = llm_sampler_create(llm_model_tokenizer(model), &desc, out, &error);
    llm_grammar_free(grammar);
    if (status != LLM_OK)
        return tool_fail(&args, "cannot make the sampler", &error);
    return TOOL_OK;
}
