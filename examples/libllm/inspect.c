/* SPDX-License-Identifier: MIT
 * libllm inspect: what a file holds and what running it would take, without reading its weights. What stands in a file may be
 * hostile: it is printed so that it cannot drive a terminal. */
#include "json.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INSPECT_FEW = 8 };               /* items of an array that are shown without --full */

static const struct { int which; const char *name; } inspect_specials[] = {
    { LLM_SPECIAL_BOS, "bos" }, { LLM_SPECIAL_EOS, "eos" }, { LLM_SPECIAL_EOT, "eot" }, { LLM_SPECIAL_EOM, "eom" },
    { LLM_SPECIAL_UNK, "unk" }, { LLM_SPECIAL_SEP, "sep" }, { LLM_SPECIAL_PAD, "pad" }, { LLM_SPECIAL_MASK, "mask" },
    { LLM_SPECIAL_NEWLINE, "newline" }, { LLM_SPECIAL_FIM_PREFIX, "fim_prefix" }, { LLM_SPECIAL_FIM_SUFFIX, "fim_suffix" },
    { LLM_SPECIAL_FIM_MIDDLE, "fim_middle" }, { LLM_SPECIAL_FIM_PAD, "fim_pad" }, { LLM_SPECIAL_FIM_REPO, "fim_repo" },
    { LLM_SPECIAL_FIM_SEP, "fim_sep" },
};
enum { INSPECT_N_SPECIALS = sizeof inspect_specials / sizeof inspect_specials[0] };

static const char *inspect_kind(int32_t type)
{
    static const char *const names[] = { "?", "int", "uint", "float", "bool", "string", "array" };
    return names[type >= LLM_META_INT && type <= LLM_META_ARRAY ? type : 0];
}

typedef struct inspect_sum { char type[16]; uint64_t n, bytes; } inspect_sum;

/* Bytes by type, in order of appearance. Returns how many types there are. */
static int inspect_sums(const llm_model *model, inspect_sum sums[64])
{
    int n = 0;

    for (size_t i = 0; i < llm_model_tensor_count(model); i++) {
        llm_tensor_info t = LLM_INIT(llm_tensor_info);
        int at = 0;
        if (llm_model_tensor_at(model, i, &t, NULL) != LLM_OK)
            continue;
        while (at < n && strcmp(sums[at].type, t.type) != 0)
            at++;
        if (at == 64)
            continue;
        if (at == n) {
            memset(&sums[n], 0, sizeof sums[n]);
            snprintf(sums[n++].type, sizeof sums[0].type, "%s", t.type);
        }
        sums[at].n++;
        sums[at].bytes += t.bytes;
    }
    return n;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------- */

static void inspect_json_value(json *j, const char *key, const llm_meta *m)
{
    switch (m->type) {
    case LLM_META_INT: json_int(j, key, m->integer); break;
    case LLM_META_UINT: json_uint(j, key, (uint64_t)m->integer); break;
    case LLM_META_FLOAT: json_number(j, key, m->number); break;
    case LLM_META_BOOL: json_bool(j, key, m->integer != 0); break;
    case LLM_META_STRING: json_string(j, key, m->string, m->string_len); break;
    default: json_text(j, key, "?"); break;
    }
}

static void inspect_json_meta(json *j, const tool_args *args, const llm_model *model)
{
    json_open(j, "metadata", '[');
    for (size_t i = 0; i < llm_model_meta_count(model); i++) {
        llm_meta m = LLM_INIT(llm_meta);
        if (llm_model_meta_at(model, i, &m, NULL) != LLM_OK)
            continue;
        json_open(j, NULL, '{');
        json_string(j, "key", m.key, m.key_len);
        json_text(j, "type", inspect_kind(m.type));
        if (m.type != LLM_META_ARRAY) {
            inspect_json_value(j, "value", &m);
        } else {
            json_text(j, "item_type", inspect_kind(m.item_type));
            json_uint(j, "n", m.n_items);
            json_open(j, "items", '[');
            for (uint64_t k = 0; k < m.n_items && (args->full || k < INSPECT_FEW); k++) {
                llm_meta item = LLM_INIT(llm_meta);
                if (llm_model_meta_item(model, i, k, &item, NULL) == LLM_OK)
                    inspect_json_value(j, NULL, &item);
            }
            json_close(j, ']');
            json_bool(j, "cut", !args->full && m.n_items > INSPECT_FEW);
        }
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void inspect_json(const tool_args *args, const llm_model *model, const llm_model_info *info, const llm_estimate_info *estimate,
                         const llm_error *no_estimate)
{
    json j = { stdout, 0, true };
    const llm_tokenizer *tokenizer = llm_model_tokenizer(model);

    json_open(&j, NULL, '{');
    json_text(&j, "file", args->model ? args->model : args->shape);
    json_open(&j, "model", '{');
    json_string(&j, "architecture", info->architecture ? info->architecture : "", info->architecture_len);
    json_string(&j, "name", info->name ? info->name : "", info->name_len);
    json_uint(&j, "n_params", info->n_params);
    json_uint(&j, "file_bytes", info->file_bytes);
    json_uint(&j, "weight_bytes", info->weight_bytes);
    json_int(&j, "n_vocab", info->n_vocab);
    json_int(&j, "n_ctx_train", info->n_ctx_train);
    json_int(&j, "n_embd", info->n_embd);
    json_int(&j, "n_layers", info->n_layers);
    json_close(&j, '}');
    json_open(&j, "estimate", '{');
    if (no_estimate) {
        json_text(&j, "error", no_estimate->message);
    } else {
        json_uint(&j, "total_bytes", estimate->total_bytes);
        json_uint(&j, "weight_bytes", estimate->weight_bytes);
        json_uint(&j, "model_bytes", estimate->model_bytes);
        json_uint(&j, "arena_bytes", estimate->arena_bytes);
        json_uint(&j, "session_bytes", estimate->session_bytes);
        json_uint(&j, "mapped_bytes", estimate->mapped_bytes);
    }
    json_close(&j, '}');
    if (tokenizer) {
        json_open(&j, "tokenizer", '{');
        json_int(&j, "n_vocab", llm_tokenizer_n_vocab(tokenizer));
        for (int i = 0; i < INSPECT_N_SPECIALS; i++)
            if (llm_tokenizer_special(tokenizer, inspect_specials[i].which) != LLM_TOKEN_NONE)
                json_int(&j, inspect_specials[i].name, llm_tokenizer_special(tokenizer, inspect_specials[i].which));
        json_close(&j, '}');
    }
    inspect_json_meta(&j, args, model);
    json_open(&j, "tensors", '[');
    for (size_t i = 0; i < llm_model_tensor_count(model); i++) {
        llm_tensor_info t = LLM_INIT(llm_tensor_info);
        if (llm_model_tensor_at(model, i, &t, NULL) != LLM_OK)
            continue;
        json_open(&j, NULL, '{');
        json_string(&j, "name", t.name, t.name_len);
        json_string(&j, "type", t.type, t.type_len);
        json_open(&j, "dims", '[');
        for (uint32_t d = 0; d < t.n_dims && d < 4; d++)
            json_uint(&j, NULL, t.dims[d]);
        json_close(&j, ']');
        json_uint(&j, "bytes", t.bytes);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_close(&j, '}');
}

/* ---- text ------------------------------------------------------------------------------------------------------------- */

static void inspect_value(const llm_meta *m)
{
    enum { LONGEST = 120 };

    switch (m->type) {
    case LLM_META_INT: printf("%lld", (long long)m->integer); break;
    case LLM_META_UINT: printf("%llu", (unsigned long long)m->integer); break;
    case LLM_META_FLOAT: printf("%.9g", m->number); break;
    case LLM_META_BOOL: fputs(m->integer ? "true" : "false", stdout); break;
    case LLM_META_STRING:
        putchar('"');
        json_print_safe(stdout, m->string, m->string_len < LONGEST ? m->string_len : LONGEST);
        fputs(m->string_len > LONGEST ? "...\"" : "\"", stdout);
        break;
    default: putchar('?'); break;
    }
}

static void inspect_line(const char *what, uint64_t bytes)
{
    char text[32];
    tool_bytes(bytes, text);
    printf("  %-28s %s\n", what, text);
}

static void inspect_text(const tool_args *args, const llm_model *model, const llm_model_info *info, const llm_estimate_info *estimate,
                         const llm_error *no_estimate)
{
    const llm_tokenizer *tokenizer = llm_model_tokenizer(model);
    inspect_sum sums[64];
    char bytes[32];
    int n_sums = inspect_sums(model, sums);

    json_print_safe(stdout, args->model ? args->model : args->shape, strlen(args->model ? args->model : args->shape));
    printf("\n  %-28s ", "architecture");
    json_print_safe(stdout, info->architecture ? info->architecture : "", info->architecture_len);
    printf("\n  %-28s ", "name");
    json_print_safe(stdout, info->name ? info->name : "", info->name_len);
    printf("\n  %-28s %.3f million\n", "parameters", (double)info->n_params / 1e6);
    inspect_line("file", info->file_bytes);
    printf("  %-28s %d\n  %-28s %d\n  %-28s %d\n  %-28s %d tokens\n", "layers", info->n_layers, "width", info->n_embd, "vocabulary", info->n_vocab,
           "trained for a context of", info->n_ctx_train);

    printf("\nmemory with one session, its context full\n");
    if (no_estimate) {
        fputs("  not known: ", stdout);
        json_print_safe(stdout, no_estimate->message, no_estimate->message_len);
        putchar('\n');
    } else {
        inspect_line("weights", estimate->weight_bytes);
        inspect_line("model, tokenizer, loading", estimate->model_bytes);
        inspect_line("passes", estimate->arena_bytes);
        inspect_line("session", estimate->session_bytes);
        inspect_line("total", estimate->total_bytes);
        if (estimate->mapped_bytes)
            inspect_line("and mapped, of the pack", estimate->mapped_bytes);
    }

    if (tokenizer) {
        printf("\ntokenizer: %d tokens\n", llm_tokenizer_n_vocab(tokenizer));
        for (int i = 0; i < INSPECT_N_SPECIALS; i++) {
            llm_token id = llm_tokenizer_special(tokenizer, inspect_specials[i].which);
            llm_token_info token = LLM_INIT(llm_token_info);
            if (id == LLM_TOKEN_NONE || llm_tokenizer_token(tokenizer, id, &token, NULL) != LLM_OK)
                continue;
            printf("  %-28s %d \"", inspect_specials[i].name, id);
            json_print_safe(stdout, token.bytes ? token.bytes : "", token.n_bytes);
            puts("\"");
        }
    }

    printf("\nmetadata: %zu keys\n", llm_model_meta_count(model));
    for (size_t i = 0; i < llm_model_meta_count(model); i++) {
        llm_meta m = LLM_INIT(llm_meta);
        if (llm_model_meta_at(model, i, &m, NULL) != LLM_OK)
            continue;
        fputs("  ", stdout);
        json_print_safe(stdout, m.key, m.key_len);
        fputs(" = ", stdout);
        if (m.type != LLM_META_ARRAY) {
            inspect_value(&m);
        } else {
            printf("%llu x %s [", (unsigned long long)m.n_items, inspect_kind(m.item_type));
            for (uint64_t k = 0; k < m.n_items && (args->full || k < INSPECT_FEW); k++) {
                llm_meta item = LLM_INIT(llm_meta);
                if (llm_model_meta_item(model, i, k, &item, NULL) != LLM_OK)
                    continue;
                fputs(k ? ", " : "", stdout);
                inspect_value(&item);
            }
            fputs(!args->full && m.n_items > INSPECT_FEW ? ", ...]" : "]", stdout);
        }
        putchar('\n');
    }

    printf("\ntensors: %zu\n", llm_model_tensor_count(model));
    for (int i = 0; i < n_sums; i++) {
        tool_bytes(sums[i].bytes, bytes);
        printf("  %-10s %6llu tensors  %s\n", sums[i].type, (unsigned long long)sums[i].n, bytes);
    }
    for (size_t i = 0; i < llm_model_tensor_count(model); i++) {
        llm_tensor_info t = LLM_INIT(llm_tensor_info);
        if (llm_model_tensor_at(model, i, &t, NULL) != LLM_OK)
            continue;
        fputs("  ", stdout);
        json_print_safe(stdout, t.name, t.name_len);
        printf("%*s %s [", t.name_len < 32 ? (int)(32 - t.name_len) : 0, "", t.type);
        for (uint32_t d = 0; d < t.n_dims && d < 4; d++)
            printf("%s%llu", d ? ", " : "", (unsigned long long)t.dims[d]);
        tool_bytes(t.bytes, bytes);
        printf("] %s\n", bytes);
    }
}

/* The tokens of a text, one a line: id and bytes. */
/* A model that was opened for its header alone does not know its hyper-parameters: they are read from its keys. */
static void inspect_hyper(const llm_model *model, const llm_model_info *info, const char *name, int32_t *value)
{
    llm_meta m = LLM_INIT(llm_meta);
    char key[128];

    snprintf(key, sizeof key, "%.*s.%s", info->architecture_len < 64 ? (int)info->architecture_len : 64, info->architecture ? info->architecture : "", name);
    if (*value == 0 && llm_model_meta_find(model, key, LLM_NUL, &m, NULL) == LLM_OK && m.type != LLM_META_ARRAY && m.number >= 0 && m.number <= INT32_MAX)
        *value = (int32_t)m.number;
}

int inspect_main(const tool_args *args)
{
    tool_model opened;
    llm_model_info info = LLM_INIT(llm_model_info);
    llm_estimate_info estimate = LLM_INIT(llm_estimate_info);
    llm_session_desc session = LLM_INIT(llm_session_desc);
    llm_model_desc model = LLM_INIT(llm_model_desc);
    llm_error error, no_estimate;
    bool known = false;
    int code;

    tool_catch_interrupts();
    code = tool_open(args, (int32_t)args->n_threads, LLM_MODEL_VOCAB_ONLY, &opened);
    if (code == TOOL_OK) {
        const llm_source *part = &opened.source;
        session.n_ctx = (int32_t)args->n_ctx;
        session.state_type = args->state_type;
        model.pack = args->pack;
        model.pack_len = args->pack ? LLM_NUL : 0;
        known = llm_model_estimate(opened.engine, &part, 1, &model, &session, &estimate, &no_estimate) == LLM_OK;
        if (llm_model_get_info(opened.model, &info, &error) != LLM_OK)
            code = tool_fail(args, "cannot read the model", &error);
        inspect_hyper(opened.model, &info, "context_length", &info.n_ctx_train);
        inspect_hyper(opened.model, &info, "embedding_length", &info.n_embd);
        inspect_hyper(opened.model, &info, "block_count", &info.n_layers);
        if (code == TOOL_OK && args->json)
            inspect_json(args, opened.model, &info, &estimate, known ? NULL : &no_estimate);
        else if (code == TOOL_OK)
            inspect_text(args, opened.model, &info, &estimate, known ? NULL : &no_estimate);
    }
    tool_close(&opened);
    return code;
}
